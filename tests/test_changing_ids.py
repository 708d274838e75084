"""Feeds whose ids change by themselves, on a real lake: each article once, and nothing that differs taken for the same."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from apache_beam.utils.timestamp import Timestamp

from tests.conftest import NOON
from tests.servers import Reply, ScriptedServer
from tests.test_acquire import HOST, STORY, balanced, config, drain, only, spec
from transforms import lake as lake_module
from transforms.acquirer import Acquirer
from transforms.article_url import article_id_of
from transforms.check_books import check_books
from transforms.commit import Batch, commit
from transforms.lake import Lake, open_lake
from transforms.records import Draft, Failure, FeedEntry, Page, ParsedFeed, Poll
from transforms.schemas import ARTICLES, POLLS


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.mark.parametrize("dated", [True, False])
def test_a_feed_whose_ids_change_with_each_poll_brings_each_article_once(
    tmp_path: Path, draft: Callable[..., Draft], server: ScriptedServer, dated: bool
) -> None:
    """On a lake that is opened anew for each poll: nothing is remembered but rows."""
    numbers, texts = count(), [f"Story {n}. {STORY}" for n in range(6)]
    published = Timestamp(1_700_000_000) if dated else None

    def body(shown: Sequence[int]) -> Callable[..., ParsedFeed]:
        def read(body: bytes, **given: Any) -> ParsedFeed:
            urls = [server.url(f"/story-{n}", host=HOST) for n in shown]
            entries = [
                FeedEntry(
                    key=f"session {next(numbers)}",
                    entry_hash=f"hash of {texts[n]}",
                    url=url,
                    title=f"Story {n}",
                    summary_html=STORY[:300],
                    published_at=published,
                )
                for n, url in zip(shown, urls, strict=True)
            ]
            return ParsedFeed("rss", entries)

        return read

    def poll_once(shown: Sequence[int], later: float = 0.0) -> Poll:
        lake, now = opened(), time.time() + later
        server.routes["/feed"] = Reply(body=f"<rss>{next(numbers)}")
        acquirer = Acquirer(config(server), memory=lake, parse=body(shown), clock=lambda: now)
        try:
            items = drain(acquirer, [feed])
        finally:
            acquirer.close()
        assert balanced(items)
        drafts = [
            draft(
                article_id_of(page.url), page.text if page.origin == "feed" else texts[int(page.url[-1])],
                url=page.url, entry_id=page.entry_id, entry_hash=page.entry_hash, feed_id=page.feed_id,
                first_seen_at=page.first_seen_at, attempt=page.attempt,
            )
            for page in only(Page, items)
        ]  # fmt: skip
        batch = Batch(drafts, only(Failure, items), only(Poll, items))
        assert commit(lake, batch, now=Timestamp.of(now)).polls_waiting == 0
        assert check_books(lake) == []
        (poll,) = batch.polls
        return poll

    def opened() -> Lake:
        lake_module._open.pop(tmp_path / "lake", None)
        return open_lake(str(tmp_path / "lake"))

    feed = spec(server.url("/feed", host=HOST))
    for n in range(6):
        server.routes[f"/story-{n}"] = Reply(body=f"<p>{texts[n]}")
    server.routes["/story-4"] = Reply(503)
    first, second, third = poll_once(range(5)), poll_once(range(5)), poll_once(range(6))
    assert [(poll.entries, poll.known, poll.new) for poll in (first, second, third)] == [
        (5, 0, 5),
        (5, 5, 0),
        (6, 5, 1),
    ]
    assert ["ids_change" in poll.warnings for poll in (first, second, third)] == [False, True, True]
    server.routes["/story-4"] = Reply(body=f"<p>{texts[4]}")
    texts[5] += " It has left again."  # a changed text is a change, whatever the id
    later = poll_once(range(6), later=1_000.0)
    assert (later.known, later.new) == (4, 2)
    assert server.paths().count("/story-0") == 1
    rows = opened().read(ARTICLES, ["url", "revision", "attempt"]).to_pylist()
    assert sorted((row["url"][-1], row["revision"], row["attempt"]) for row in rows) == [
        ("0", 1, 1), ("1", 1, 1), ("2", 1, 1), ("3", 1, 1), ("4", 1, 2), ("5", 1, 1), ("5", 2, 1),
    ]  # fmt: skip
    server.routes["/story-3"] = Reply(404)  # what the feed says of it must not take the place of what the lake has
    looked_at_again = poll_once(range(6), later=2 * 86_400.0)
    assert looked_at_again.new == (0 if dated else 6)
    assert sorted(opened().read(ARTICLES, ["revision"])["revision"].to_pylist()) == [1] * 6 + [2]


def test_two_that_poll_a_feed_of_changing_ids_at_once_leave_one_article(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    """Neither could know of the other: the commit finds the text, and each new entry has its row."""
    texts = [f"Story {n}. {STORY}" for n in range(2)]
    for worker in ("a", "b"):
        drafts = [draft(f"article {n}", texts[n], entry_id=f"{worker}{n}", entry_hash=str(n)) for n in range(2)]
        pairs = [(one.entry_id, one.entry_hash) for one in drafts]
        commit(lake, Batch(drafts, polls=[poll(*pairs, polled_at=NOON + (worker == "b"))]))
    assert lake.count_articles() == 2
    assert lake.read(POLLS, ["new"])["new"].to_pylist() == [2, 2]
    assert check_books(lake) == []
