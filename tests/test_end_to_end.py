"""The whole job over real HTTP on loopback: feeds in, clean rows in the lake, and nothing twice."""

import difflib
import html
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from apache_beam.utils.timestamp import Timestamp

from pipelines.demo.command import config_for
from pipelines.demo.newsroom import Newsroom
from pipelines.ingest import ingest
from pipelines.options import Config
from pipelines.report import RunSummary, summarise
from tests.servers import Reply, ScriptedServer, with_validators
from transforms import lake as lake_module
from transforms.acquire import AcquireConfig
from transforms.article_url import article_id_of, article_url
from transforms.check_books import check_books
from transforms.errors import LakeError
from transforms.lake import Lake, open_lake
from transforms.records import FeedSpec, feed_id_of
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS


@pytest.fixture(scope="module", params=["FnApiRunner", "DirectRunner"])
def runner(request: pytest.FixtureRequest) -> str:
    """The engines of bounded runs; DirectRunner delegates to one that is tested by name, and must pass too."""
    return str(request.param)


@pytest.fixture(scope="module")
def room(runner: str) -> Iterator[Newsroom]:
    with Newsroom() as room:
        yield room


def run(config: Config, run_id: str) -> tuple[Lake, RunSummary]:
    started = time.time()
    ingest(config, run_id=run_id)
    lake = open_lake(config.lake)
    return lake, summarise(lake, run_id, feeds=len(config.feeds), started=started)


@pytest.fixture(scope="module")
def two_rounds(
    runner: str, room: Newsroom, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Lake, RunSummary, RunSummary]:
    """The newsroom ingested in both of its rounds."""
    config = replace(
        config_for(room, str(tmp_path_factory.mktemp("e2e") / "lake"), user_agent="test"), runner=runner, strict=True
    )
    lake, first = run(config, "first")
    room.advance()
    lake, second = run(config, "second")
    return lake, first, second


def rows_by_article(lake: Lake) -> dict[str, dict[str, object]]:
    names = ["article_id", "url", "title", "text", "language", "duplicate_of", "origin", "revision", "published_at"]
    return {row["article_id"]: row for row in lake.read(ARTICLES, names).to_pylist()}


def id_of(url: str) -> str:
    return article_id_of(article_url(url, None))


def test_every_article_of_the_newsroom_is_in_the_lake_once(
    room: Newsroom, two_rounds: tuple[Lake, RunSummary, RunSummary]
) -> None:
    lake, first, _ = two_rounds
    ids = lake.read(ARTICLES, ["article_id"])["article_id"].to_pylist()
    assert sorted(ids) == sorted(id_of(article.url) for article in room.articles)
    assert first.written == len(room.articles)


def test_the_second_round_writes_nothing(room: Newsroom, two_rounds: tuple[Lake, RunSummary, RunSummary]) -> None:
    _, _, second = two_rounds
    good = [feed for feed in room.feeds if feed.kind == "ok"]
    changed = sum(feed.changes for feed in good)
    assert second.written == 0
    assert second.new == 0
    assert second.polls["not_modified"] == len(good) - changed
    assert second.polls["ok"] == changed
    assert second.polls["failed"] == len(room.feeds) - len(good)


def test_the_texts_are_the_stories_and_nothing_else(
    room: Newsroom, two_rounds: tuple[Lake, RunSummary, RunSummary]
) -> None:
    rows = rows_by_article(two_rounds[0])
    wrong = []
    for article in room.articles:
        text = str(rows[id_of(article.url)]["text"])
        if text != article.body:
            wrong.append(
                "\n".join(
                    [article.url, *difflib.unified_diff(article.body.split("\n"), text.split("\n"), n=0, lineterm="")]
                )
            )
    assert not wrong, "\n\n".join(wrong)


def test_titles_languages_and_times_are_the_publishers(
    room: Newsroom, two_rounds: tuple[Lake, RunSummary, RunSummary]
) -> None:
    rows = rows_by_article(two_rounds[0])
    for article in room.articles:
        row = rows[id_of(article.url)]
        assert (row["title"], row["language"], row["origin"]) == (article.title, article.language, article.origin)
        assert row["published_at"] == article.published_at, article.url


def test_copies_name_the_first_of_their_group(room: Newsroom, two_rounds: tuple[Lake, RunSummary, RunSummary]) -> None:
    rows = rows_by_article(two_rounds[0])
    groups: dict[str, set[str]] = {}
    for article in room.articles:
        if article.copies:
            groups.setdefault(article.copies, set()).add(id_of(article.url))
    assert groups
    for members in groups.values():
        named = {rows[i]["duplicate_of"] for i in members}
        heads = named - {None}
        assert len(heads) == 1, (members, named)
        assert heads <= members
        assert [rows[i]["duplicate_of"] for i in members].count(None) == 1
    alone = {id_of(a.url) for a in room.articles if not a.copies}
    assert [rows[i]["url"] for i in alone if rows[i]["duplicate_of"]] == []


def test_what_failed_is_on_record(room: Newsroom, two_rounds: tuple[Lake, RunSummary, RunSummary]) -> None:
    lake, first, _ = two_rounds
    letters = {
        (row["url"], row["reason"])
        for row in lake.read(DEAD_LETTERS, ["url", "reason", "disposition"]).to_pylist()
        if row["disposition"] == "dead_lettered"
    }
    assert {url for url, _ in letters} == {link.url for link in room.dead_links}
    missing = {link.url for link in room.dead_links if link.kind == "missing"}
    assert {url for url, reason in letters if reason == "http_404"} == missing
    failed = {feed.url for feed in room.feeds if feed.kind != "ok"}
    polls = lake.read(POLLS, ["url", "status", "reason"]).to_pylist()
    assert {poll["url"] for poll in polls if poll["status"] == "failed"} == failed
    assert all(poll["reason"] for poll in polls if poll["status"] == "failed")
    assert len(first.failed_feeds) == len(failed)


def test_the_books_balance(two_rounds: tuple[Lake, RunSummary, RunSummary]) -> None:
    assert check_books(two_rounds[0]) == []


def test_no_request_was_for_a_page_twice(room: Newsroom, two_rounds: tuple[Lake, RunSummary, RunSummary]) -> None:
    asked = [f"http://{request.host}{request.path}" for request in room.log if request.status == 200]
    feeds = {feed.url for feed in room.feeds}
    pages = [url for url in asked if url not in feeds and not url.endswith("/robots.txt")]
    assert len(pages) == len(set(pages)) > 60


def test_a_run_in_waves_is_the_same_as_one_wave(room: Newsroom, tmp_path: Path) -> None:
    config = replace(config_for(room, str(tmp_path / "lake"), user_agent="test"), feeds_per_wave=4)
    lines: list[str] = []
    ingest(config, run_id="waves", progress=lines.append)
    assert lines[0] == f"wave 1 of {-(-len(config.feeds) // 4)}: 4 feeds"
    assert set(rows_by_article(open_lake(config.lake))) == {id_of(article.url) for article in room.articles}


# ---- the acceptance case: two real articles as pages ------------------------------------------------------------------


def page_of(title: str, body: str, *, name: str) -> str:
    """Return an ordinary article page whose container holds `body`, a line a paragraph; blank lines are gaps."""
    paragraphs = "\n".join(f"<p>{html.escape(line)}</p>" for line in body.split("\n") if line.strip())
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)} | {name}</title>
<meta property="og:title" content="{html.escape(title)}"><meta property="og:type" content="article"></head>
<body><header><nav><a href="/">Home</a> <a href="/world">World</a> <a href="/business">Business</a></nav></header>
<main><article><h1>{html.escape(title)}</h1>
{paragraphs}
</article></main><aside><h2>Elsewhere</h2><ul><li><a href="/x">Another matter</a></li></ul></aside>
<footer><p>{name}. Imprint, privacy.</p></footer></body></html>"""


def rss(*links: str) -> str:
    items = "".join(
        f"<item><title>Item {i}</title><link>{link}</link><guid>{link}</guid></item>" for i, link in enumerate(links)
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>Wire</title>{items}</channel></rss>'


def settings(server: ScriptedServer, lake: Path, *hosts: str, feeds: list[str]) -> Config:
    return Config(
        lake=str(lake),
        feeds=tuple(FeedSpec(feed_id_of(url), url) for url in feeds),
        acquire=AcquireConfig(
            user_agent="test", allow_hosts=tuple(server.allow(host) for host in hosts), spacing_seconds=0.0
        ),
        strict=True,
    )


def test_the_two_seed_articles_end_clean_in_the_lake(shared: Path, tmp_path: Path) -> None:
    seeds = sorted((shared / "seeds").glob("*.txt"))
    assert len(seeds) == 2
    with ScriptedServer({}) as server:
        expected, links = {}, []
        for number, seed in enumerate(seeds):
            text = seed.read_text("utf-8")
            first, _, rest = text.partition("\n")
            title, body = (first, rest) if rest.startswith("(MENAFN)") else ("A deal over TikTok is near", text)
            host = f"site{number}.example"
            link = server.url(f"/2025/09/story-{number}", host=host)
            server.routes[f"{host}/2025/09/story-{number}"] = Reply(body=page_of(title, body, name=f"Site {number}"))
            links.append(link)
            expected[id_of(link)] = (shared / "seeds" / "expected" / seed.name).read_text("utf-8").rstrip("\n")
        server.routes["wire.example/feed"] = Reply(body=rss(*links), content_type="application/rss+xml")
        hosts = ["wire.example", "site0.example", "site1.example"]
        config = settings(server, tmp_path / "lake", *hosts, feeds=[server.url("/feed", host="wire.example")])
        lake, _ = run(config, "seeds")
    rows = rows_by_article(lake)
    assert {i: row["text"] for i, row in rows.items()} == expected


# ---- failure -------------------------------------------------------------------------------------------------------------


STORY = (
    "<p>"
    + "</p><p>".join(
        f"Paragraph {i} of the report tells what the harbour board of Lund decided about berth {i}, and what it will cost "
        f"the town in the years to come, according to its treasurer."
        for i in range(1, 7)
    )
    + "</p>"
)


def test_one_bad_item_never_stops_the_others(tmp_path: Path) -> None:
    with ScriptedServer({}) as server:
        host = "one.example"
        good = server.url("/good-story-2026", host=host)
        cases = {
            "/missing-1": Reply(status=404),
            "/teapot-2": Reply(status=410),
            "/binary-3": Reply(body=bytes(range(256)) * 40, content_type="application/pdf"),
            "/empty-4": Reply(body=b""),
            "/menu-5": Reply(body="<html><body><nav><a href='/'>Home</a></nav></body></html>"),
            "/reset-6": Reply(reset=True),
        }
        server.routes["/good-story-2026"] = Reply(
            body=f"<html><body><article><h1>Berths</h1>{STORY}</article></body></html>"
        )
        server.routes.update(cases)
        feed = rss(good, *(server.url(path, host=host) for path in cases))
        server.routes["/feed"] = with_validators(feed, etag='"a"')
        server.routes["/broken"] = Reply(body="Service page, back soon", content_type="application/rss+xml")
        server.routes["/error"] = Reply(status=500)
        urls = [server.url(path, host=host) for path in ("/broken", "/error", "/feed", "/none")]
        urls.append("http://127.0.0.2:9/feed")
        lake, summary = run(settings(server, tmp_path / "lake", host, feeds=urls), "bad")
    assert summary.written == 1
    assert sum(summary.failures.values()) == len(cases)
    assert summary.polls["ok"] == 1
    assert summary.polls["failed"] == 4
    assert any("127.0.0.2" in line and "--allow-host" in line for line in summary.failed_feeds)
    assert check_books(lake) == []


def test_an_entry_that_was_lost_on_the_way_fails_the_run_and_is_polled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transforms.commit import Batch

    real: Callable[..., Batch] = Batch.of
    with ScriptedServer({}) as server:
        host = "one.example"
        for number in (1, 2):
            story = STORY.replace("Lund", f"Port {number}").replace("berth", "quay" * number)
            server.routes[f"/story-{number}-2026"] = Reply(body=f"<html><body><article>{story}</article></body></html>")
        feed = rss(*(server.url(f"/story-{n}-2026", host=host) for n in (1, 2)))
        server.routes["/feed"] = with_validators(feed, etag='"a"')
        config = settings(server, tmp_path / "lake", host, feeds=[server.url("/feed", host=host)])
        with monkeypatch.context() as patched:
            patched.setattr(Batch, "of", staticmethod(lambda items: replace(b := real(items), drafts=b.drafts[:1])))
            with pytest.raises(LakeError, match=r"books of run lossy do not balance: poll of http://one\.example"):
                ingest(config, run_id="lossy")
        lake_module._open.clear()  # a new process
        lake, summary = run(config, "again")
        requests = [seen for seen in server.log if seen.path == "/feed"]
    assert "if-none-match" not in requests[-1].headers
    assert (summary.known, summary.new, summary.written) == (1, 1, 1)
    assert lake.count_articles() == 2


def test_a_text_that_changes_is_a_revision(tmp_path: Path) -> None:
    with ScriptedServer({}) as server:
        host = "one.example"
        link = server.url("/story-2026-1", host=host)

        def serve(story: str, summary: str, etag: str) -> None:
            server.routes["/story-2026-1"] = Reply(body=f"<html><body><article>{story}</article></body></html>")
            body = rss(link).replace("</item>", f"<description>{summary}</description></item>")
            server.routes["/feed"] = with_validators(body, etag=etag)

        config = settings(server, tmp_path / "lake", host, feeds=[server.url("/feed", host=host)])
        serve(STORY, "one", '"1"')
        run(config, "1")
        serve(STORY + "<p>On Tuesday the board withdrew its plan for berth 4 after protests.</p>", "two", '"2"')
        _, second = run(config, "2")
        serve(STORY, "three", '"3"')
        lake, third = run(config, "3")
    assert second.dispositions == {"article_revision": 1}
    assert third.dispositions == {"unchanged": 1}
    assert [r["revision"] for r in lake.read(ARTICLES, ["revision"]).sort_by("revision").to_pylist()] == [1, 2]


def test_secrets_stay_out_of_rows(tmp_path: Path) -> None:
    with ScriptedServer({}) as server:
        host = "one.example"
        link = server.url("/story-2026-1", host=host) + "?token=hush1&id=7"
        server.routes["/story-2026-1"] = Reply(body=f"<html><body><article>{STORY}</article></body></html>")
        server.routes["/feed"] = Reply(body=rss(link).replace("&id", "&amp;id"), content_type="application/rss+xml")
        feed = server.url("/feed", host=host).replace("http://", "http://user:hush2@") + "?key=hush3"
        lake, summary = run(settings(server, tmp_path / "lake", host, feeds=[feed]), "1")
        assert [seen.query for seen in server.log if seen.path == "/feed"] == ["key=hush3"]
    assert summary.written == 1
    for spec in (ARTICLES, DEAD_LETTERS, POLLS):
        assert "hush" not in str(lake.read(spec, spec.schema.names).to_pylist())
    assert re.search(r"http://\*\*\*@one\.example:\d+/feed\?key=\*\*\*", str(lake.read(POLLS, ["url"]).to_pylist()))


def test_now_is_the_time_of_first_sight(room: Newsroom, two_rounds: tuple[Lake, RunSummary, RunSummary]) -> None:
    rows = two_rounds[0].read(ARTICLES, ["first_seen_at", "committed_at"]).to_pylist()
    assert all(row["first_seen_at"] <= row["committed_at"] for row in rows)
    assert abs(Timestamp.now().seconds() - rows[0]["first_seen_at"].timestamp()) < 3600
