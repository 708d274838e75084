"""replay: what failed is tried again now; a success is a row, and its dead letter is resolved."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Optional

import pytest
from apache_beam.utils.timestamp import Duration, Timestamp

from pipelines import cli
from pipelines.ingest import ingest
from pipelines.options import Config
from pipelines.replay_command import Wanted, choice_of, choose, read_wanted, replay
from tests.conftest import NOON
from tests.servers import Reply, ScriptedServer
from transforms.acquire import AcquireConfig
from transforms.check_books import check_books
from transforms.commit import Batch, CommitResult, commit
from transforms.dead_letters import failure_of, page_to_replay, replay_of
from transforms.errors import LakeError, RejectedError, TransientError, UsageError
from transforms.lake import Lake, open_lake
from transforms.records import Draft, Failure, FeedSpec, Page, feed_id_of
from transforms.schemas import ARTICLES, DEAD_LETTERS

HOST = "news.test"
LATER = NOON + Duration(seconds=60)
PIER = "The council of Lund will rebuild the pier in spring, and the ferry goes on until then."

PAGE = Page(
    entry_id="00000000000000e1",
    entry_hash="1",
    feed_id="00000000000000f1",
    url="https://one.example/2026/pier?ref=abcdefghij0123456789ABCDEFGHIJ",
    origin="page",
    first_seen_at=NOON,
    title="Pier",
    summary="It is rebuilt.",
    authors=("A. Berg",),
    published_at=Timestamp(1_769_000_000, 250_000),
    language="en",
    feed_tags=("local",),
)


def test_a_dead_letter_holds_what_a_second_try_needs() -> None:
    letter = failure_of(PAGE, TransientError("busy", reason="http_503"), stage="fetch", now=NOON)
    row = {"entry_id": letter.entry_id, "entry_hash": "1", "feed_id": letter.feed_id, "replay": letter.replay}
    assert page_to_replay(row, attempt=2, now=LATER) == replace(PAGE, attempt=2, first_seen_at=LATER)


@pytest.mark.parametrize(
    "held, reason",
    [
        (None, "no_link"),
        ("[]", "no_link"),
        ("{broken", "no_link"),
        ('{"url": "ftp://a.example/"}', "no_link"),
        (replay_of(replace(PAGE, url="https://one.example/x?token=s3cr3t")), "masked_link"),
    ],
)
def test_what_cannot_be_tried_again(held: Optional[str], reason: str) -> None:
    row = {"entry_id": "e", "entry_hash": "1", "feed_id": "f", "replay": held}
    with pytest.raises(RejectedError) as error:
        page_to_replay(row, attempt=2, now=LATER)
    assert error.value.reason == reason


def test_odd_fields_of_a_dead_letter_are_forgiven() -> None:
    held = {"url": "https://a.example/", "published_at": "soon", "authors": "x", "title": 5}
    page = page_to_replay(
        {"entry_id": "e", "entry_hash": None, "feed_id": None, "replay": json.dumps(held)}, attempt=2, now=LATER
    )
    assert (page.title, page.published_at, page.authors, page.entry_hash) == ("5", None, (), "")


# ---- what the commit makes of it ----------------------------------------------------------------------------------


def failed(error: Exception, *, attempt: int = 1, at: Timestamp = NOON) -> Failure:
    return failure_of(replace(PAGE, attempt=attempt), error, stage="fetch", now=at)


GONE = RejectedError("gone", reason="http_404")
BUSY = TransientError("busy", reason="http_503")


def letters(lake: Lake) -> list[tuple[int, str, bool]]:
    rows = lake.read(DEAD_LETTERS, ["attempt", "reason", "permanent"]).to_pylist()
    return sorted((row["attempt"], row["reason"], row["permanent"]) for row in rows)


@pytest.mark.parametrize("first", [GONE, BUSY], ids=["permanent", "transient"])
def test_a_replayed_success_becomes_a_row_once(lake: Lake, draft: Callable[..., Draft], first: Exception) -> None:
    commit(lake, Batch(failures=[failed(first)]), now=NOON)
    made = draft("a", PIER, entry_id=PAGE.entry_id, attempt=2, first_seen_at=LATER)
    assert commit(lake, Batch(drafts=[made])) == CommitResult(known=1)  # by a poll it would still be known
    assert commit(lake, Batch(drafts=[made]), is_replay=True) == CommitResult(article_new=1)
    assert commit(lake, Batch(drafts=[made]), is_replay=True) == CommitResult(known=1)
    assert lake.entry_attempts([(PAGE.entry_id, "1")], LATER) == [0]
    assert not lake.has_due_retries(PAGE.feed_id, LATER + Duration(seconds=86_400))
    assert choose(lake, Wanted(), LATER).pages == []


def test_a_replayed_failure_is_a_new_dead_letter_once(lake: Lake) -> None:
    commit(lake, Batch(failures=[failed(GONE)]), now=NOON)
    again = Batch(failures=[failed(BUSY, attempt=2, at=LATER)])
    assert commit(lake, again, is_replay=True) == CommitResult(dead_lettered=1)
    assert commit(lake, again, is_replay=True) == CommitResult(known=1)
    # It was permanent, so no poll would try it at its time; and the row does not say that one will.
    assert letters(lake) == [(1, "http_404", True), (2, "http_503", True)]
    (page,) = choose(lake, Wanted(), LATER).pages
    assert page.attempt == 3


def test_a_transient_one_that_fails_again_waits_for_its_time(lake: Lake) -> None:
    commit(lake, Batch(failures=[failed(BUSY)]), now=NOON)
    commit(lake, Batch(failures=[failed(BUSY, attempt=2, at=LATER)]), is_replay=True)
    assert letters(lake) == [(1, "http_503", False), (2, "http_503", False)]
    due = LATER + Duration(seconds=1_800)
    assert not lake.has_due_retries(PAGE.feed_id, LATER + Duration(seconds=1_700))
    assert lake.has_due_retries(PAGE.feed_id, due)
    assert lake.entry_attempts([(PAGE.entry_id, "1")], due) == [3]


def test_a_poll_that_was_faster_counts(lake: Lake, draft: Callable[..., Draft]) -> None:
    commit(lake, Batch(failures=[failed(BUSY)]), now=NOON)
    due = NOON + Duration(seconds=3_600)
    polled = draft("a", PIER, entry_id=PAGE.entry_id, feed_id=PAGE.feed_id, attempt=2, first_seen_at=due)
    commit(lake, Batch(drafts=[polled]))
    assert commit(lake, Batch(failures=[failed(GONE, attempt=2, at=due)]), is_replay=True) == CommitResult(known=1)
    assert letters(lake) == [(1, "http_503", False)]


def test_a_text_that_is_known_resolves_it_too(lake: Lake, draft: Callable[..., Draft]) -> None:
    commit(lake, Batch(drafts=[draft("a", PIER)], failures=[failed(GONE)]), now=NOON)
    made = draft("a", PIER, entry_id=PAGE.entry_id, attempt=2, first_seen_at=LATER)
    assert commit(lake, Batch(drafts=[made]), is_replay=True) == CommitResult(unchanged=1)
    assert choose(lake, Wanted(), LATER).pages == []


# ---- the choice ---------------------------------------------------------------------------------------------------


def letter(entry: str, **fields: Any) -> dict[str, Any]:
    url = fields.pop("url", "https://news.one.example/x")
    row = {"entry_id": entry, "entry_hash": "1", "feed_id": "f", "reason": "http_404", "attempt": 1, "url": url}
    return row | {"failed_at": datetime(2026, 1, 1, tzinfo=UTC), "replay": json.dumps({"url": url})} | fields


@pytest.mark.parametrize(
    "rows, sites, tried, skipped",
    [
        ([], [], [], {}),
        ([letter("a"), letter("b", attempt=2)], [], [("a", 2), ("b", 3)], {}),
        ([letter("a"), letter("a", entry_hash="2")], [], [("a", 2)], {}),
        ([letter("a"), letter("b", url="https://two.example/x")], ["two.example"], [("b", 2)], {}),
        ([letter("a", feed_id="archive")], [], [], {"of_an_archive": 1}),
        ([letter("a", url="")], [], [], {"no_link": 1}),
        ([letter("a", url="https://one.example/?key=***")], [], [], {"masked_link": 1}),
        ([letter("a", url="https://one.example/?key=***")], ["two.example"], [], {}),
    ],
)
def test_choice(
    rows: list[dict[str, Any]], sites: list[str], tried: list[tuple[str, int]], skipped: dict[str, int]
) -> None:
    choice = choice_of(rows, {"archive"}, sites=sites, now=LATER)
    assert [(page.entry_id, page.attempt) for page in choice.pages] == tried
    assert dict(choice.skipped) == skipped
    assert sum(choice.reasons.values()) == len(tried)


def test_the_choice_is_made_by_reason_feed_and_time(lake: Lake) -> None:
    old = failed(GONE)
    new = replace(old, entry_id="00000000000000e2", feed_id="00000000000000f2", reason="http_410", failed_at=LATER)
    commit(lake, Batch(failures=[old, new]), now=LATER)

    def chosen(**wanted: Any) -> list[str]:
        return sorted(page.entry_id for page in choose(lake, Wanted(**wanted), LATER).pages)

    assert chosen() == [old.entry_id, new.entry_id]
    assert chosen(reasons=("http_410",)) == [new.entry_id]
    assert chosen(feed_ids=(old.feed_id,)) == [old.entry_id]
    assert chosen(since=LATER.micros / 1e6) == [new.entry_id]
    assert chosen(sites=("other.example",)) == []


@pytest.mark.parametrize(
    "flags, wanted",
    [
        ([], Wanted()),
        (["--reason", "http_404", "--reason", "bug"], Wanted(reasons=("http_404", "bug"))),
        (["--site", "News.One.example"], Wanted(sites=("one.example",))),
        (["--feed", "00000000000000f1"], Wanted(feed_ids=("00000000000000f1",))),
        (["--feed", "HTTPS://a.example:443/f"], Wanted(feed_ids=(feed_id_of("https://a.example/f"),))),
        (["--since", "2026-01-31"], Wanted(since=1_769_817_600.0)),
        (["--since", "2h"], Wanted(since=NOON.micros / 1e6 - 7_200)),
    ],
)
def test_flags(flags: list[str], wanted: Wanted) -> None:
    assert read_wanted(parsed(flags), now=NOON.micros / 1e6) == wanted


@pytest.mark.parametrize(
    "flags, words",
    [(["--since", "soon"], "neither a day"), (["--site", "https://a"], "no domain"), (["--feed", "a"], "--feed")],
)
def test_wrong_flags(flags: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_wanted(parsed(flags), now=0.0)


def parsed(flags: list[str]) -> Any:
    import argparse

    from pipelines import options, replay_command

    parser = argparse.ArgumentParser()
    replay_command.add_flags(parser, options)
    return parser.parse_args(flags)


# ---- end to end ---------------------------------------------------------------------------------------------------


def page(town: str) -> str:
    lines = [
        f"The council of {town} decided on Monday to close its bridge to lorries, since its piers are cracked.",
        f"Engineers had measured the cracks in {town} for two years and found that they grow by the week.",
        f"A ferry will take lorries across until the bridge of {town} is repaired; the town pays for each trip.",
        f"Carriers in {town} asked for a date. There is none, said the mayor, before the report is in.",
    ]
    body = "".join(f"<p>{line}</p>" for line in lines)
    return f'<html lang="en"><head><title>Bridge of {town}</title></head><body><article>{body}</article></body></html>'


@pytest.fixture
def site() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        items = "".join(
            f"<item><guid>{town}</guid><title>Bridge of {town}</title><category>roads</category>"
            f"<pubDate>Mon, 02 Feb 2026 03:04:05 GMT</pubDate><link>{server.url(f'/2026/{town}-bridge', host=HOST)}</link></item>"
            for town in ("lund", "velm", "ostra")
        )
        server.routes = {
            "/feed": Reply(body=f'<rss version="2.0"><channel><title>N</title>{items}</channel></rss>'),
            "/2026/lund-bridge": Reply(body=page("Lund")),
            "/2026/velm-bridge": Reply(status=404),
            "/2026/ostra-bridge": Reply(status=503),
        }
        yield server


def test_dead_letters_are_replayed_without_polling(
    site: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, root = site.url("/feed", host=HOST), str(tmp_path / "lake")
    acquire = AcquireConfig(user_agent="newsbeam-test/1", allow_hosts=(site.allow(HOST),), spacing_seconds=0)
    config = Config(lake=root, feeds=(FeedSpec(feed_id_of(url), url),), acquire=acquire, workers=1, strict=True)
    ingest(config, run_id="one")
    lake = open_lake(root)
    assert [reason for _, reason, _ in letters(lake)] == ["http_404", "http_503"]
    flags = ["--lake", root, "--allow-host", f"{HOST}=127.0.0.1/32", "--spacing-seconds", "0", "--workers", "1"]

    site.routes["/2026/velm-bridge"] = Reply(body=page("Velm"))
    site.log.clear()
    assert cli.main(["replay", "--dry-run", *flags]) == 0
    assert capsys.readouterr().out.splitlines() == ["2 entries would be tried (1 http_404, 1 http_503)"]
    assert site.log == []

    assert cli.main(["replay", *flags]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 entries tried (1 http_404, 1 http_503)\nwritten   1 article (1 new, 0 revised)")
    assert "failed    1 entry (1 http_503)" in out
    assert set(site.paths()) == {"/robots.txt", "/2026/velm-bridge", "/2026/ostra-bridge"}
    rows = lake.read(ARTICLES, ["title", "attempt", "published_at", "feed_tags", "feed_id"]).to_pylist()
    (row,) = [row for row in rows if row["attempt"] == 2]
    assert (row["title"], row["feed_tags"], row["feed_id"]) == ("Bridge of Velm", ["roads"], feed_id_of(url))
    assert row["published_at"] == datetime(2026, 2, 2, 3, 4, 5, tzinfo=UTC)
    assert letters(lake) == [(1, "http_404", True), (1, "http_503", False), (2, "http_503", False)]

    site.routes["/2026/ostra-bridge"] = Reply(body=page("Ostra"))
    assert cli.main(["replay", "--site", HOST, "--json", *flags]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["tried"], summary["written"], summary["reasons"]) == (1, 1, {"http_503": 1})
    assert cli.main(["replay", *flags]) == 0
    assert capsys.readouterr().out.startswith("0 entries tried\nwritten   0 articles")
    assert check_books(lake) == []
    ingest(config, run_id="two")
    assert lake.read(ARTICLES, ["article_id"]).num_rows == 3


def test_an_entry_that_is_lost_fails_the_run(lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit(lake, Batch(failures=[failed(GONE)]), now=NOON)
    pages = choose(lake, Wanted(), LATER).pages
    monkeypatch.setattr("pipelines.replay_command.build", lambda pipeline, *rest: None)
    with pytest.raises(LakeError, match="1 of 1 entries never came to the commit"):
        replay(Config(lake=str(lake.root)), pages, run_id="r")
