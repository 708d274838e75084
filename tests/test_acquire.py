"""The acquirer against real servers on loopback: what comes out, in which order, and what the servers saw."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Optional

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import Timestamp

from tests.servers import Reply, Route, ScriptedServer, Seen, with_validators
from transforms import harvest_queue
from transforms.acquire import Acquire, AcquireConfig, Acquirer, Item
from transforms.dead_letters import page_to_replay
from transforms.entry_pages import (
    attempt_by_content,
    feed_text,
    feed_text_stands_in,
    has_full_text,
    ids_change,
    page_of,
    plain_text,
)
from transforms.errors import LakeError, RejectedError, TransientError
from transforms.fetch_pages import HostMemory
from transforms.records import (
    Failure,
    FeedEntry,
    FeedSpec,
    FeedState,
    KnownContent,
    Page,
    ParsedFeed,
    Poll,
    Wave,
    entry_id_of,
    feed_id_of,
    field_names,
)

HOST = "news.test"
STORY = "The ferry to Orlo Island stayed in harbour while its engine was looked at. " * 12


class Memory:
    """A lake of two dictionaries; `commit` does what the commit would."""

    def __init__(self) -> None:
        self.states: dict[str, FeedState] = {}
        self.attempts: dict[tuple[str, str], int] = {}
        self.contents: dict[tuple[str, str], KnownContent] = {}
        self.due_retries: set[str] = set()
        self.fails: Optional[Exception] = None

    def feed_states(self, feed_ids: Sequence[str]) -> Mapping[str, FeedState]:
        if self.fails is not None:
            raise self.fails
        return {feed_id: self.states[feed_id] for feed_id in feed_ids if feed_id in self.states}

    def entry_attempts(self, pairs: Sequence[tuple[str, str]], now: Timestamp) -> Sequence[int]:
        return [self.attempts.get(pair, 1) for pair in pairs]

    def known_contents(self, feed_id: str, entry_hashes: Sequence[str]) -> Sequence[Optional[KnownContent]]:
        return [self.contents.get((feed_id, entry_hash)) for entry_hash in entry_hashes]

    def has_due_retries(self, feed_id: str, now: Timestamp) -> bool:
        return feed_id in self.due_retries

    def refresh(self) -> None:
        if self.fails is not None:
            raise self.fails

    def commit(self, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, Poll):
                self.states[item.feed_id] = FeedState(**{name: getattr(item, name) for name in field_names(FeedState)})
            else:
                self.attempts[item.entry_id, item.entry_hash] = 0
                self.contents[item.feed_id, item.entry_hash] = KnownContent(item.attempt, int(time.time()), True)


def parse(body: bytes, *, url: str, content_type: Optional[str] = None) -> ParsedFeed:
    """A feed of these tests is a JSON list of entries, or a poison."""
    if body == b"poison":
        raise ZeroDivisionError("poison")
    try:
        entries = json.loads(body)
    except ValueError:
        raise RejectedError("not a feed", reason="not_a_feed", url=url) from None
    return ParsedFeed("json", [FeedEntry(**entry) for entry in entries], title="A feed", language="en")


def listing(*entries: Mapping[str, Any]) -> bytes:
    return json.dumps(list(entries)).encode()


def entry(key: str, url: str = "", **fields: Any) -> dict[str, Any]:
    return {"key": key, "entry_hash": f"hash of {key}", "url": url, "title": f"About {key}", **fields}


def spec(url: str, **fields: Any) -> FeedSpec:
    return FeedSpec(feed_id=feed_id_of(url), url=url, **fields)


def config(server: ScriptedServer, **fields: Any) -> AcquireConfig:
    hosts = tuple(server.allow(host) for host in (HOST, "other.test", "third.test"))
    return AcquireConfig(
        **{
            "user_agent": "newsbeam-test/1 (+mailto:t@example.org)",
            "allow_hosts": hosts,
            "spacing_seconds": 0,
            **fields,
        }
    )


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def memory() -> Memory:
    return Memory()


Open = Callable[..., Acquirer]


@pytest.fixture
def opened(server: ScriptedServer, memory: Memory) -> Iterator[Open]:
    """A function that opens an acquirer on the server; closed at the end, which must not hang."""
    open_ones: list[Acquirer] = []

    def open_one(
        *, respect_schedule: bool = False, hosts: Any = None, clock: Any = time.time, **fields: Any
    ) -> Acquirer:
        open_ones.append(
            Acquirer(
                config(server, **fields),
                memory=memory,
                parse=parse,
                respect_schedule=respect_schedule,
                hosts=hosts,
                clock=clock,
            )
        )
        return open_ones[-1]

    yield open_one
    for one in open_ones:
        one.close()
        assert not one._thread.is_alive()


def drain(acquirer: Acquirer, feeds: Sequence[FeedSpec], *, seconds: float = 20.0) -> list[Item]:
    acquirer.start(feeds)
    items: list[Item] = []
    deadline = time.monotonic() + seconds
    while not acquirer.idle:
        items += acquirer.harvest()
        assert time.monotonic() < deadline, f"still not idle, {len(items)} items so far"
    return items


def only(kind: type, items: Sequence[Item]) -> list[Any]:
    return [item for item in items if isinstance(item, kind)]


def balanced(items: Sequence[Item]) -> bool:
    """Each new entry of a poll came before it as a page or a failure, and nothing else did."""
    come: list[tuple[str, str]] = []
    for item in items:
        if isinstance(item, Poll):
            mine = [entry_id for feed_id, entry_id in come if feed_id == item.feed_id]
            if sorted(mine) != sorted(item.new_entry_ids) or item.entries != item.known + item.new:
                return False
        else:
            come.append((item.feed_id, item.entry_id))
    return True


# ---- an entry by itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("", ""),
        ("<p>Two&nbsp;words &amp; more</p>\n<p>x", "Two words & more x"),
        ("a<script>var p = '<p>';</script>b<STYLE>p{}</STYLE >c", "a b c"),
        ("kept<script>never ends " + "<script>" * 3, "kept"),
        ("1 < 2 and <b>3</b>", "1 < 2 and 3"),
    ],
)
def test_plain_text(markup: str, words: str) -> None:
    assert plain_text(markup) == words


def test_plain_text_is_linear() -> None:
    for flood in ("<script>", "<", "<script></script", "<!--"):
        started = time.perf_counter()
        plain_text(flood * 200_000)
        assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("text", "full"),
    [
        (f"<p>{STORY}</p>", True),
        (f"<p>{STORY[:300]}</p>", False),
        (None, False),
        (f"<p>{STORY} […]</p>", False),
        (f"<p>{STORY} [&#8230;]</p>", False),
        (f'<p>{STORY}... <a href="/x">Read more</a> &raquo;</p>', False),
        (f"<p>{STORY}</p><p>Weiterlesen</p>", False),
        (f"<p>{STORY}</p><p>He said we should read more books.</p>", True),
        ("<p></p>" * 500, False),
    ],
)
def test_a_teaser_is_not_the_full_text(text: Optional[str], full: bool) -> None:
    assert has_full_text(FeedEntry("k", "h", "", text_html=text), 600) is full


@pytest.mark.parametrize(
    ("summary", "text", "kept"),
    [(None, None, None), ("short", None, None), (STORY, None, STORY), (STORY[:250], STORY, STORY)],
)
def test_the_most_that_a_feed_has(summary: Optional[str], text: Optional[str], kept: Optional[str]) -> None:
    assert feed_text(FeedEntry("k", "h", "", summary_html=summary, text_html=text)) == kept


@pytest.mark.parametrize(
    ("error", "attempt", "stands_in", "stands_in_for_reserved"),
    [
        (RejectedError("gone", reason="http_404"), 1, True, True),
        (RejectedError("a wall", reason="consent_wall"), 1, True, True),
        (RejectedError("robots.txt is about fetching", reason="robots_disallowed"), 1, True, True),
        (RejectedError("the publisher's will about the text", reason="reserved"), 1, False, True),
        (RejectedError("likewise, tried again", reason="reserved"), 6, False, True),
        (TransientError("may pass", reason="http_503"), 1, False, False),
        (TransientError("may pass", reason="robots_unreachable"), 5, False, False),
        (TransientError("will not pass", reason="http_503"), 6, True, True),
        (ZeroDivisionError("a defect is never covered up"), 6, False, False),
    ],
)
def test_when_the_feeds_text_stands_in_for_the_page(
    error: Exception, attempt: int, stands_in: bool, stands_in_for_reserved: bool
) -> None:
    page = page_of(
        FeedEntry("k", "h", "https://news.example/k", summary_html=STORY[:300]),
        entry_id="e", spec=spec("https://news.example/feed"), seen_at=Timestamp(0), attempt=attempt,
    )  # fmt: skip
    assert feed_text_stands_in(page, error, for_reserved=False) is stands_in
    assert feed_text_stands_in(page, error, for_reserved=True) is stands_in_for_reserved
    assert not feed_text_stands_in(replace(page, text=None), error, for_reserved=True)


WEEK = 7 * 86_400


def known(at: int = 1_000_000, attempts: int = 1, *, is_final: bool = True) -> KnownContent:
    return KnownContent(attempts, at, is_final)


@pytest.mark.parametrize(
    ("attempts", "contents", "change"),
    [
        ([], [], False),
        ([1, 1, 1], [None, None, None], False),  # a feed that is new
        ([1, 1, 1], [known(), known(), known()], True),
        ([1, 1, 1], [known(), known(), None], True),
        ([1, 1, 1], [known(is_final=False), known(is_final=False), None], True),
        ([1], [known()], False),  # one entry says nothing: the weather under today's id looks alike
        ([1, 1, 1], [known(), None, None], False),
        ([0, 0, 0, 1, 1], [known()] * 5, False),  # two live pages under new ids in a feed whose other ids stay
        ([0, 1, 1], [known()] * 3, True),
        ([0, 0, 1, 1], [known()] * 4, False),
        ([2, 2, 1, 1], [None, None, known(), known()], False),  # known ids, of changed content or to be tried again
    ],
)
def test_a_feeds_ids_change_when_most_of_what_is_known_is_known_by_content_alone(
    attempts: list[int], contents: list[Optional[KnownContent]], change: bool
) -> None:
    assert ids_change(attempts, contents) is change


PAGE_ENTRY = FeedEntry("k", "h", "https://a.test/live", title="Live")


@pytest.mark.parametrize(
    ("entry", "content", "passed", "attempt"),
    [
        # A page behind a link may have changed, and a new id may be how the feed says so: one look a day.
        (PAGE_ENTRY, known(), 600, 0),
        (PAGE_ENTRY, known(), 86_399, 0),
        (PAGE_ENTRY, known(), 86_400, 2),
        (PAGE_ENTRY, known(attempts=7), WEEK, 8),
        (replace(PAGE_ENTRY, published_at=Timestamp(1_000_001)), known(), 600, 0),
        (replace(PAGE_ENTRY, published_at=Timestamp(1_000_001)), known(), WEEK, 2),
        (replace(PAGE_ENTRY, updated_at=Timestamp(999_999)), known(), WEEK, 2),
        # It was published before the lake had it.
        (replace(PAGE_ENTRY, published_at=Timestamp(999_999)), known(), WEEK, 0),
        # No page is fetched: the same words are the same article, or the same failure.
        (replace(PAGE_ENTRY, text_html=f"<p>{STORY}</p>"), known(), WEEK, 0),
        (replace(PAGE_ENTRY, text_html=f"<p>{STORY[:300]}</p>"), known(), WEEK, 2),
        (replace(PAGE_ENTRY, url=""), known(), WEEK, 0),
        (replace(PAGE_ENTRY, url="", summary_html=STORY), known(), WEEK, 0),
        # What failed and may pass is tried when it is due, whatever the id.
        (PAGE_ENTRY, known(attempts=3, is_final=False), -1, 0),
        (PAGE_ENTRY, known(attempts=3, is_final=False), 0, 4),
        (replace(PAGE_ENTRY, published_at=Timestamp(1)), known(is_final=False), 0, 2),
    ],
)
def test_an_entry_of_known_content_under_an_id_that_is_not(
    entry: FeedEntry, content: KnownContent, passed: int, attempt: int
) -> None:
    now = Timestamp(content.at_seconds + passed)
    assert attempt_by_content(entry, content, now, full_text_min_chars=600) == attempt


def test_a_page_carries_what_the_feed_says() -> None:
    page = page_of(
        FeedEntry(
            "k", "h", "https://a.test/1", title="T", summary_html="<p>A &lt;b&gt;", authors=("Ann",), tags=("ships",)
        ),
        entry_id="e",
        spec=FeedSpec("f", "https://a.test/feed", language="de", tags=("mine",)),
        seen_at=Timestamp(5),
        attempt=2,
    )
    assert page == Page(
        "e", "h", "f", "https://a.test/1", "page", Timestamp(5),
        title="T", summary="A <b>", authors=("Ann",), language="de", feed_tags=("ships", "mine"), attempt=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("of_entry", "of_list", "tags"),
    [
        ((), (), ()),
        ((), ("local", "harbour"), ("local", "harbour")),
        (("ships",), (), ("ships",)),
        (("ships", "local"), ("local", "mine"), ("ships", "local", "mine")),
    ],
)
def test_the_tags_of_an_entry_come_before_those_of_the_list(
    of_entry: tuple[str, ...], of_list: tuple[str, ...], tags: tuple[str, ...]
) -> None:
    entry, listed = FeedEntry("k", "h", "", tags=of_entry), FeedSpec("f", "https://a.test/feed", tags=of_list)
    assert page_of(entry, entry_id="e", spec=listed, seen_at=Timestamp(5)).feed_tags == tags


# ---- what comes out --------------------------------------------------------------------------------------------------


def test_a_feed_with_pages(server: ScriptedServer, memory: Memory, opened: Open) -> None:
    urls = [server.url(f"/story-{n}?x=1#top", host=HOST) for n in range(3)]
    server.routes["/feed"] = Reply(
        body=listing(*(entry(f"k{n}", url) for n, url in enumerate(urls))), headers={"ETag": '"1"'}
    )
    for n in range(3):
        server.routes[f"/story-{n}"] = Reply(body=f"<p>story {n}", content_type="text/html; charset=latin-1")
    feed = spec(server.url("/feed", host=HOST), tags=("mine",))
    items = drain(opened(), [feed])
    assert isinstance(items[-1], Poll)
    assert balanced(items)
    pages = sorted(only(Page, items), key=lambda page: page.url)
    assert [(p.url, p.html, p.origin, p.title, p.content_type) for p in pages] == [
        (urls[n].partition("#")[0], b"<p>story %d" % n, "page", f"About k{n}", "text/html; charset=latin-1")
        for n in range(3)
    ]
    assert {p.entry_id for p in pages} == {entry_id_of(feed.feed_id, f"k{n}") for n in range(3)}
    (poll,) = only(Poll, items)
    assert (poll.status, poll.etag, poll.entries, poll.known, poll.new) == ("ok", '"1"', 3, 0, 3)
    assert {p.first_seen_at for p in pages} == {poll.polled_at}
    assert len(items) == 4


def test_the_second_poll_is_conditional_and_known_entries_are_not_fetched(
    server: ScriptedServer, memory: Memory, opened: Open
) -> None:
    body = listing(entry("k", server.url("/story", host=HOST)))
    server.routes["/feed"] = with_validators(body, etag='"1"')
    server.routes["/other"] = Reply(body=body, headers={"ETag": '"a"'})
    server.routes["/story"] = Reply(body="<p>story")
    feeds = [spec(server.url(path, host=HOST)) for path in ("/feed", "/other")]
    acquirer = opened()
    memory.commit(drain(acquirer, feeds))
    server.log.clear()
    server.routes["/other"] = Reply(body=body, headers={"ETag": '"b"'})
    again = drain(acquirer, feeds)
    assert sorted(server.paths()) == ["/feed", "/other"]
    assert {poll.feed_id: poll.status for poll in only(Poll, again)} == {
        feeds[0].feed_id: "not_modified",
        feeds[1].feed_id: "unchanged",
    }
    assert len(again) == 2
    memory.commit(again)
    changed = [*json.loads(body), entry("l", server.url("/story", host=HOST) + "-2")]
    server.routes["/other"] = Reply(body=listing(*changed))
    (failure, poll) = drain(acquirer, feeds[1:])
    assert (poll.entries, poll.known, poll.new, failure.reason) == (2, 1, 1, "http_404")  # type: ignore[union-attr]


def test_full_text_in_the_feed_needs_no_page(server: ScriptedServer, opened: Open) -> None:
    url = server.url("/story", host=HOST)
    server.routes["/feed"] = Reply(body=listing(entry("k", url, text_html=f"<p>{STORY}</p>")))
    page, _ = drain(opened(), [spec(server.url("/feed", host=HOST))])
    assert isinstance(page, Page)
    assert (page.origin, page.text, page.html, page.url) == ("feed", f"<p>{STORY}</p>", None, url)
    assert server.paths() == ["/feed"]


@pytest.mark.parametrize(
    ("route", "reason", "permanent"),
    [
        (Reply(404), "http_404", True),
        (Reply(410), "http_410", True),
        (Reply(403), "http_403", True),
        (Reply(500), "http_500", False),
        (Reply(408), "http_408", False),
        (Reply(429), "http_429", False),
        (Reply(reset=True), "connection_reset", False),
        (Reply(delay_seconds=9), "timeout", False),
        (Reply(body=b" "), "empty_page", True),
        (Reply(body=b"\x89PNG\0\0", content_type=None), "not_text", True),
        (Reply(body=b"x", content_type="application/pdf"), "not_text", True),
        (Reply(302, headers={"Location": "http://169.254.169.254/"}), "forbidden_address", True),
        (Reply(302, headers={"Location": "/story"}), "too_many_redirects", True),
        (Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}), "bad_encoding", True),
    ],
)
def test_a_page_that_cannot_be_had_is_a_failure(
    server: ScriptedServer, opened: Open, route: Reply, reason: str, permanent: bool
) -> None:
    url = server.url("/story?token=s3cret", host=HOST)
    server.routes["/feed"] = Reply(body=listing(entry("k", url)))
    server.routes["/story"] = route
    failure, poll = drain(opened(total_timeout_seconds=1.0), [spec(server.url("/feed", host=HOST))])
    assert isinstance(failure, Failure)
    assert isinstance(poll, Poll)
    assert (failure.stage, failure.reason, failure.permanent) == ("fetch", reason, permanent)
    assert (failure.retry_at is None) == permanent
    assert "s3cret" not in str(failure)
    assert poll.new_entry_ids == (failure.entry_id,)


@pytest.mark.parametrize(
    ("status", "attempt", "falls_back"), [(404, 1, True), (500, 1, False), (500, 5, False), (500, 6, True)]
)
def test_the_feeds_text_stands_in_when_the_page_will_not_be_had(
    server: ScriptedServer, memory: Memory, opened: Open, status: int, attempt: int, falls_back: bool
) -> None:
    feed = spec(server.url("/feed", host=HOST))
    server.routes["/feed"] = Reply(body=listing(entry("k", server.url("/story", host=HOST), summary_html=STORY[:300])))
    server.routes["/story"] = Reply(status)
    memory.attempts[entry_id_of(feed.feed_id, "k"), "hash of k"] = attempt
    item, _ = drain(opened(), [feed])
    assert isinstance(item, Page) is falls_back
    assert item.attempt == attempt  # type: ignore[union-attr]
    if isinstance(item, Page):
        assert (item.origin, item.text, item.html) == ("feed", STORY[:300], None)


@pytest.mark.parametrize(
    ("honour", "said", "taken"),
    [
        (("tdm-reservation",), {"tdm-reservation": "1"}, "reserved"),
        (("tdm-file",), {}, "reserved"),
        (("noarchive",), {"X-Robots-Tag": "noarchive"}, "reserved"),
        (("noindex",), {"X-Robots-Tag": "noindex"}, "reserved"),
        ((), {"tdm-reservation": "1", "X-Robots-Tag": "noindex, noarchive"}, "page"),
    ],
)
def test_a_reservation_holds_for_the_feeds_copy_unless_the_setting_says_otherwise(
    server: ScriptedServer, opened: Open, honour: tuple[str, ...], said: Mapping[str, str], taken: str
) -> None:
    url = server.url("/story", host=HOST)
    server.routes["/feed"] = Reply(body=listing(entry("k", url, summary_html=STORY[:300])))
    server.routes["/story"] = Reply(body=f"<p>{STORY}", headers=said)
    server.routes["/.well-known/tdmrep.json"] = Reply(body='[{"location": "/", "tdm-reservation": 1}]')
    feed = spec(server.url("/feed", host=HOST))
    item, _ = drain(opened(honour_reservations=honour), [feed])
    if isinstance(item, Failure):
        assert (item.reason, item.stage, item.permanent) == (taken, "fetch", True)
        letter = {name: getattr(item, name) for name in ("entry_id", "entry_hash", "feed_id", "replay")}
        again = page_to_replay(letter, attempt=2, now=Timestamp(0))
        assert (again.url, again.title, again.summary) == (url, "About k", STORY[:300].strip())
    else:
        assert (item.origin, taken) == ("page", "page")  # type: ignore[union-attr]
    item, _ = drain(opened(honour_reservations=honour, feed_text_for_reserved=True), [feed])
    assert isinstance(item, Page)
    assert item.origin == ("page" if taken == "page" else "feed")


def test_a_page_that_robots_txt_forbids_is_what_its_feed_syndicates(server: ScriptedServer, opened: Open) -> None:
    server.routes["/robots.txt"] = Reply(body="User-agent: *\nDisallow: /story")
    server.routes["/feed"] = Reply(body=listing(entry("k", server.url("/story", host=HOST), summary_html=STORY[:300])))
    item, _ = drain(opened(), [spec(server.url("/feed", host=HOST))])
    assert (item.origin, item.text) == ("feed", STORY[:300])  # type: ignore[union-attr]
    assert "/story" not in server.paths()


def test_an_entry_without_a_link_is_its_text_or_nothing(server: ScriptedServer, opened: Open) -> None:
    server.routes["/feed"] = Reply(
        body=listing(entry("a", summary_html=STORY[:300]), entry("b"), entry("c", "mailto:x@y.test"))
    )
    items = drain(opened(), [spec(server.url("/feed", host=HOST))])
    assert [(item.origin, item.text) for item in only(Page, items)] == [("feed", STORY[:300])]
    assert [item.reason for item in only(Failure, items)] == ["no_link", "bad_url"]
    assert balanced(items)


@pytest.mark.parametrize(
    ("route", "reason", "http_status"),
    [
        (Reply(body="<html>no feed"), "not_a_feed", 200),
        (Reply(body="poison"), "bug", 200),
        (Reply(404), "http_404", 404),
        (Reply(500), "http_500", 500),
        (Reply(reset=True), "connection_reset", None),
        (Reply(body=bytes(3_000_000)), "too_large", None),
        (Reply(body=b""), "empty_body", 200),
        (Reply(raw=b"220 ftp ready\r\n"), "bad_response", None),
    ],
)
def test_one_bad_feed_is_a_failed_poll_and_stops_no_other(
    server: ScriptedServer, opened: Open, route: Route, reason: str, http_status: Optional[int]
) -> None:
    server.routes["/bad"] = route
    server.routes["other.test/good"] = Reply(body=listing(entry("k", text_html=STORY)))
    feeds = [spec(server.url("/bad", host=HOST)), spec(server.url("/good", host="other.test"))]
    items = drain(opened(max_body_bytes=1_000_000), feeds)
    polls = {poll.feed_id: poll for poll in only(Poll, items)}
    bad, good = polls[feeds[0].feed_id], polls[feeds[1].feed_id]
    assert (bad.status, bad.reason, bad.http_status, bad.failures_in_a_row) == ("failed", reason, http_status, 1)
    assert (good.status, good.new) == ("ok", 1)
    assert len(items) == 3


def test_a_feed_that_is_no_address_fails_by_name(opened: Open) -> None:
    (poll,) = drain(opened(), [spec("news.test/feed")])
    assert isinstance(poll, Poll)
    assert (poll.status, poll.reason) == ("failed", "bad_url")


def test_garbage_of_every_kind_ends(server: ScriptedServer, opened: Open) -> None:
    strange = [
        "http://[",
        "//x",
        "http://\udcff/",
        "javascript:1",
        "http://a.test:99999/",
        "http://" + "a" * 9000,
        "\0",
        "http://",
    ]
    server.routes["/feed"] = Reply(
        body=listing(*(entry(f"k{n}\udcff", url, title="\0\n") for n, url in enumerate(strange)))
    )
    items = drain(opened(), [spec(server.url("/feed", host=HOST))])
    assert len(only(Failure, items)) == len(strange)
    assert {failure.stage for failure in only(Failure, items)} == {"fetch"}
    assert balanced(items)


def test_entries_are_capped_and_repeated_ones_count_once(server: ScriptedServer, opened: Open) -> None:
    many = [entry(f"k{n // 2}", text_html=f"{n} {STORY}") for n in range(20)]
    server.routes["/feed"] = Reply(body=listing(*many))
    items = drain(opened(max_entries_per_feed=4), [spec(server.url("/feed", host=HOST))])
    assert [page.text.partition(" ")[0] for page in only(Page, items)] == ["0", "2", "4", "6"]
    (poll,) = only(Poll, items)
    assert (poll.entries, poll.new, poll.warnings) == (4, 4, ("entries_capped",))


def test_what_is_left_for_the_next_poll_is_polled_again(server: ScriptedServer, memory: Memory, opened: Open) -> None:
    server.routes["/feed"] = with_validators(listing(*(entry(f"k{n}", text_html=STORY) for n in range(5))), etag='"1"')
    feed, acquirer = spec(server.url("/feed", host=HOST)), opened(max_new_per_poll=2)
    counts = []
    for _ in range(4):
        items = drain(acquirer, [feed])
        memory.commit(items)
        poll = only(Poll, items)[0]
        assert balanced(items)
        counts.append((poll.status, poll.known, poll.new, poll.etag))
    assert counts == [("ok", 0, 2, None), ("ok", 2, 2, None), ("ok", 4, 1, '"1"'), ("not_modified", 0, 0, '"1"')]


def test_a_retry_that_is_due_makes_the_poll_unconditional(server: ScriptedServer, memory: Memory, opened: Open) -> None:
    url = server.url("/story", host=HOST)
    server.routes["/feed"] = with_validators(listing(entry("k", url)), etag='"1"')
    server.routes["/story"] = Reply(503)
    feed = spec(server.url("/feed", host=HOST))
    items = drain(opened(), [feed])
    assert only(Failure, items)[0].reason == "http_503"
    memory.commit(items)
    server.routes["/story"] = Reply(body="<p>back")
    memory.due_retries.add(feed.feed_id)
    memory.attempts[entry_id_of(feed.feed_id, "k"), "hash of k"] = 2
    page, poll = drain(opened(), [feed])
    assert isinstance(page, Page)
    assert isinstance(poll, Poll)
    assert (page.html, page.attempt) == (b"<p>back", 2)
    assert (poll.status, poll.new, poll.etag) == ("ok", 1, '"1"')


def test_a_part_of_a_feed_is_read_and_its_validators_are_sent_the_next_time(
    server: ScriptedServer, memory: Memory, opened: Open
) -> None:
    def answer(seen: Seen) -> Reply:
        asked = seen.headers.get("if-none-match"), seen.headers.get("a-im")
        if asked == ('"1"', "feed"):
            part = listing(entry("new", text_html=STORY))
            return Reply(226, part, headers={"IM": "feed", "ETag": '"2"', "Delta-Base": '"1"'})
        if asked == ('"2"', "feed"):
            return Reply(304)
        return Reply(body=listing(entry("old", text_html=STORY)), headers={"ETag": '"1"'})

    server.routes["/feed"] = answer
    feed, acquirer, counts = spec(server.url("/feed", host=HOST)), opened(), []
    for _ in range(3):
        items = drain(acquirer, [feed])
        memory.commit(items)
        (poll,) = only(Poll, items)
        assert balanced(items)
        counts.append((poll.status, poll.http_status, poll.entries, poll.known, poll.new, poll.etag))
    assert counts == [
        ("ok", 200, 1, 0, 1, '"1"'),
        ("ok", 226, 1, 0, 1, '"2"'),
        ("not_modified", 304, 0, 0, 0, '"2"'),
    ]


def test_a_week_of_304_is_followed_by_a_poll_without_validators(
    server: ScriptedServer, memory: Memory, opened: Open
) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("k", text_html=STORY)), headers={"ETag": '"1"'})
    feed = spec(server.url("/feed", host=HOST))
    since = Timestamp.of(time.time() - 8 * 86_400)
    memory.states[feed.feed_id] = FeedState(feed.feed_id, etag='"1"', content_hash="old", unmodified_since=since)
    _, poll = drain(opened(), [feed])
    assert isinstance(poll, Poll)
    assert not {"if-none-match", "a-im"} & server.log[-1].headers.keys()
    assert (poll.new, poll.etag, poll.unmodified_since) == (1, "", None)
    assert "validators_mistrusted" in poll.warnings


def test_a_feed_that_is_not_due_is_not_asked(server: ScriptedServer, memory: Memory, opened: Open) -> None:
    server.routes["/feed"] = Reply(body=listing())
    feed = spec(server.url("/feed", host=HOST))
    soon = Timestamp.of(time.time() + 1000)
    memory.states[feed.feed_id] = FeedState(feed.feed_id, next_due_at=soon)
    assert len(drain(opened(), [feed])) == 1
    assert drain(opened(respect_schedule=True), [feed]) == []
    memory.states[feed.feed_id] = FeedState(feed.feed_id, state="gone", next_due_at=soon)
    assert drain(opened(), [feed]) == []
    assert server.paths() == ["/feed"]


def test_a_feed_whose_entries_are_on_their_way_is_left_alone_until_they_arrive_or_expire(
    server: ScriptedServer, memory: Memory, opened: Open
) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("k", text_html=STORY)))
    feed = spec(server.url("/feed", host=HOST))
    clock = [1_770_000_000.0]
    acquirer = opened(clock=lambda: clock[0])
    items = drain(acquirer, [feed])
    assert drain(acquirer, [feed]) == []
    clock[0] += AcquireConfig(user_agent="x").in_flight_seconds + 1
    assert len(drain(acquirer, [feed])) == 2
    memory.commit(items)
    assert [poll.status for poll in only(Poll, drain(acquirer, [feed]))] == ["unchanged"]
    assert len(server.log) == 3


def test_the_same_feed_at_once_is_polled_once(server: ScriptedServer, opened: Open) -> None:
    server.routes["/feed"] = Reply(body=listing(), delay_seconds=0.3)
    feed = spec(server.url("/feed", host=HOST))
    acquirer = opened()
    acquirer.start([feed, feed])
    assert len(drain(acquirer, [feed])) == 1
    assert server.paths() == ["/feed"]


def test_a_page_that_several_entries_name_is_fetched_once(server: ScriptedServer, opened: Open) -> None:
    url = server.url("/story", host=HOST)
    for n in range(3):
        server.routes[f"/feed{n}"] = Reply(
            body=listing(entry("k", f"{url}#{n}"), entry("l", url)), delay_seconds=0.1 * n
        )
    server.routes["/story"] = Reply(body="<p>once", delay_seconds=0.15)
    items = drain(opened(), [spec(server.url(f"/feed{n}", host=HOST)) for n in range(3)])
    assert server.paths().count("/story") == 1
    assert [page.html for page in only(Page, items)] == [b"<p>once"] * 6
    assert balanced(items)


def test_a_broken_lake_ends_the_run_with_its_word(memory: Memory, opened: Open) -> None:
    memory.fails = LakeError("the lake is of a newer schema")
    acquirer = opened()
    acquirer.start([spec("http://news.test/feed")])
    with pytest.raises(LakeError, match="newer schema"):
        acquirer.harvest(timeout_seconds=10)


def test_a_defect_in_the_memory_is_a_failed_poll(memory: Memory, opened: Open) -> None:
    memory.fails = ZeroDivisionError("oh")
    (poll,) = drain(opened(), [spec("http://news.test/feed")])
    assert isinstance(poll, Poll)
    assert (poll.reason, poll.message) == ("bug", "http://news.test/feed: ZeroDivisionError: oh")


def test_what_is_closed_says_so(opened: Open) -> None:
    acquirer = opened()
    acquirer.close()
    with pytest.raises(RuntimeError, match="closed"):
        acquirer.start([])
    with pytest.raises(RuntimeError, match="closed"):
        acquirer.harvest()


def test_closing_in_the_middle_does_not_hang(server: ScriptedServer, opened: Open) -> None:
    server.routes["/feed"] = Reply(delay_seconds=60)
    acquirer = opened()
    acquirer.start([spec(server.url(f"/feed?{n}", host=HOST)) for n in range(10)])
    while not server.log:
        assert acquirer.harvest(timeout_seconds=0.05) == []
    started = time.monotonic()
    acquirer.close()
    assert time.monotonic() - started < 5


def test_a_full_queue_pauses_fetching_until_it_is_harvested(
    server: ScriptedServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harvest_queue, "MOST_WAITING_PAGES", 10)
    server.routes["/feed"] = Reply(body=listing(*(entry(f"k{n}", server.url(f"/s{n}", host=HOST)) for n in range(60))))
    for n in range(60):
        server.routes[f"/s{n}"] = Reply(body="<p>x")
    acquirer = opened(honour_robots=False)
    acquirer.start([spec(server.url("/feed", host=HOST))])
    while not acquirer._finished.paused:
        time.sleep(0.01)  # decides nothing: only waits for the queue to fill, which nothing empties
    assert len(server.paths()) <= 1 + 10 + 2
    items = drain(acquirer, [])
    assert len(only(Page, items)) == 60
    assert balanced(items)


# ---- manners ---------------------------------------------------------------------------------------------------------


def starts(server: ScriptedServer, host: str) -> list[float]:
    return [seen.at for seen in server.log if seen.host == host]


def test_requests_to_one_site_are_spaced_and_few_at_once_while_others_go_on(
    server: ScriptedServer, opened: Open
) -> None:
    for host in (HOST, "other.test"):
        urls = [server.url(f"/s{n}", host=host) for n in range(3)]
        server.routes[f"{host}/feed"] = Reply(body=listing(*(entry(url, url) for url in urls)))
    for n in range(3):
        server.routes[f"/s{n}"] = Reply(body="<p>x", delay_seconds=0.5)
    feeds = [spec(server.url("/feed", host=host)) for host in (HOST, "other.test")]
    items = drain(opened(spacing_seconds=0.3), feeds)
    assert len(only(Page, items)) == 6
    for host in (HOST, "other.test"):
        times = starts(server, host)
        assert len(times) == 5  # feed, robots.txt, three pages
        # The server notes arrivals: a first one that was slow to connect may come a little late, never 0.2 s.
        assert all(later - earlier > 0.1 for earlier, later in pairwise(times))
        assert times[-1] - times[0] > 0.8
        assert server.most_at_once[host] == 2
    assert starts(server, "other.test")[0] < starts(server, HOST)[2]


def test_a_redirect_waits_for_its_turn_at_the_site_it_leads_to(server: ScriptedServer, opened: Open) -> None:
    urls = [server.url(f"/go{n}", host=host) for n, host in enumerate((HOST, "other.test"))]
    for n in range(2):
        server.routes[f"/go{n}"] = Reply(302, headers={"Location": server.url(f"/s{n}", host="third.test")})
        server.routes[f"/s{n}"] = Reply(body="<p>x")
    server.routes["/feed"] = Reply(body=listing(*(entry(url, url) for url in urls)))
    items = drain(opened(spacing_seconds=0.3, max_requests_per_site=1), [spec(server.url("/feed", host=HOST))])
    assert {page.url for page in only(Page, items)} == {server.url(f"/s{n}", host="third.test") for n in range(2)}
    times = starts(server, "third.test")
    assert sorted(server.paths("third.test")) == ["/robots.txt", "/s0", "/s1"]
    assert all(later - earlier > 0.1 for earlier, later in pairwise(times))
    assert server.most_at_once["third.test"] == 1


def test_a_site_that_asks_for_a_long_wait_is_left_for_the_next_run(server: ScriptedServer, opened: Open) -> None:
    server.routes["/feed"] = Reply(body=listing(*(entry(f"k{n}", server.url(f"/s{n}", host=HOST)) for n in range(5))))
    for n in range(5):
        server.routes[f"/s{n}"] = Reply(429, headers={"Retry-After": "3000"})
    hosts = HostMemory()
    feed = spec(server.url("/feed", host=HOST))
    items = drain(opened(hosts=hosts, max_requests_per_site=1), [feed])
    failures = only(Failure, items)
    assert [failure.reason for failure in failures] == ["host_asked_to_wait"] * 4 + ["http_429"]
    assert all(not f.permanent and f.retry_at - f.failed_at > 2900 for f in failures)
    assert server.paths() == ["/feed", "/robots.txt", "/s0"]
    assert balanced(items)
    (poll,) = drain(opened(hosts=hosts), [spec(server.url("/feed2", host=HOST))])
    assert isinstance(poll, Poll)
    assert (poll.reason, poll.state, poll.failures_in_a_row) == ("host_asked_to_wait", "backing_off", 0)
    assert "/feed2" not in server.paths()


def test_a_short_retry_after_is_waited_for(server: ScriptedServer, opened: Open) -> None:
    answers = iter([Reply(503, headers={"Retry-After": "1"})])
    server.routes["/s0"] = lambda seen: next(answers, Reply(body="<p>x"))
    server.routes["/s1"] = Reply(body="<p>y")
    server.routes["/feed"] = Reply(body=listing(*(entry(f"k{n}", server.url(f"/s{n}", host=HOST)) for n in range(2))))
    items = drain(opened(max_requests_per_site=1), [spec(server.url("/feed", host=HOST))])
    assert [(type(item).__name__) for item in items] == ["Failure", "Page", "Poll"]
    times = starts(server, HOST)
    assert times[-1] - times[-2] > 0.7


@pytest.mark.parametrize(
    ("robots", "outcomes"),
    [
        (
            Reply(body="User-agent: newsbeam-test\nDisallow: /private\n\nUser-agent: *\nDisallow: /\n"),
            ["page", "robots_disallowed"],
        ),
        (Reply(body="User-agent: *\nDisallow: /\n"), ["robots_disallowed"] * 2),
        (Reply(404), ["page", "page"]),
        (Reply(403), ["page", "page"]),
        (Reply(body=b"\xff\xfe\0\0junk" * 50), ["page", "page"]),
        (Reply(body=bytes(600_000)), ["page", "page"]),
        (Reply(500), ["robots_unreachable"] * 2),
        (Reply(429, headers={"Retry-After": "1"}), ["robots_unreachable"] * 2),
        (Reply(reset=True), ["robots_unreachable"] * 2),
        (Reply(302, headers={"Location": "http://other.test:{port}/robots.txt"}), ["page", "robots_disallowed"]),
    ],
)
def test_robots_txt_governs_pages(server: ScriptedServer, opened: Open, robots: Reply, outcomes: list[str]) -> None:
    headers = {name: value.replace("{port}", str(server.port)) for name, value in robots.headers.items()}
    server.routes[f"{HOST}/robots.txt"] = replace(robots, headers=headers)
    server.routes["other.test/robots.txt"] = Reply(body="User-agent: *\nDisallow: /private")
    server.routes["/feed"] = Reply(
        body=listing(entry("a", server.url("/open", host=HOST)), entry("b", server.url("/private", host=HOST)))
    )
    server.routes["/open"] = server.routes["/private"] = Reply(body="<p>x")
    hosts = HostMemory()
    items = drain(opened(hosts=hosts), [spec(server.url("/feed", host=HOST))])
    became = [page.origin for page in only(Page, items)] + [failure.reason for failure in only(Failure, items)]
    assert sorted(became) == outcomes
    robots_asked = server.paths(HOST).count("/robots.txt")
    drain(opened(hosts=hosts), [spec(server.url("/feed?again", host=HOST))])
    assert server.paths(HOST).count("/robots.txt") == robots_asked


def test_robots_txt_counts_where_a_redirect_leads(server: ScriptedServer, opened: Open) -> None:
    server.routes["other.test/robots.txt"] = Reply(body="User-agent: *\nDisallow: /")
    server.routes["/go"] = Reply(302, headers={"Location": server.url("/story", host="other.test")})
    server.routes["/feed"] = Reply(body=listing(entry("k", server.url("/go", host=HOST))))
    failure, _ = drain(opened(), [spec(server.url("/feed", host=HOST))])
    assert failure.reason == "robots_disallowed"  # type: ignore[union-attr]
    assert server.paths("other.test") == ["/robots.txt"]


def test_crawl_delay_spaces_the_site(server: ScriptedServer, opened: Open) -> None:
    server.routes["/robots.txt"] = Reply(body="User-agent: *\nCrawl-delay: 0.5\n")
    server.routes["/feed"] = Reply(body=listing(*(entry(f"k{n}", server.url(f"/s{n}", host=HOST)) for n in range(3))))
    drain(opened(), [spec(server.url("/feed", host=HOST))])
    pages = [seen.at for seen in server.log if seen.path.startswith("/s")]
    assert [later - earlier > 0.25 for earlier, later in pairwise(pages)] == [True, True]


def test_the_clock_of_a_site_outlives_the_acquirer(server: ScriptedServer, opened: Open) -> None:
    server.routes["/feed"] = Reply(body=listing())
    hosts = HostMemory()
    for n in range(2):
        drain(opened(hosts=hosts, spacing_seconds=0.5), [spec(server.url(f"/feed?{n}", host=HOST))])
    times = starts(server, HOST)
    assert times[1] - times[0] > 0.25


# ---- settings and the graph ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"user_agent": " "}, "user_agent"),
        ({"spacing_seconds": -1}, "spacing_seconds"),
        ({"max_concurrent_requests": 0}, "max_concurrent_requests"),
        ({"max_new_per_poll": 0}, "max_new_per_poll"),
        ({"total_timeout_seconds": float("nan")}, "total_timeout_seconds"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        AcquireConfig(**{"user_agent": "x", **fields})


def make_memory() -> Memory:
    return Memory()


def test_acquire_in_a_pipeline(server: ScriptedServer) -> None:
    server.routes["/feed"] = Reply(
        body=listing(
            entry("a", server.url("/a", host=HOST)),
            entry("b", server.url("/b", host=HOST)),
            entry("c", text_html=STORY),
        )
    )
    server.routes["/a"] = Reply(body="<p>a")
    server.routes["/broken"] = Reply(500)
    feeds = [spec(server.url(path, host=HOST)) for path in ("/feed", "/broken")]
    pipeline = _TestPipeline(runner="FnApiRunner")
    with pipeline:
        acquired = (
            pipeline
            | beam.Create([Wave(feeds)])
            | Acquire(lake_uri="none", config=config(server), parse=parse, memory_factory=make_memory)
        )
        assert (acquired.pages.element_type, acquired.polls.element_type) == (Page, Poll)
        pages = acquired.pages | "page" >> beam.Map(lambda page: (page.title, page.origin, page.html))
        failures = acquired.failures | "failure" >> beam.Map(lambda failure: (failure.reason, failure.url))
        polls = acquired.polls | "poll" >> beam.Map(lambda poll: (poll.status, poll.new, poll.reason))
        assert_that(pages, equal_to([("About a", "page", b"<p>a"), ("About c", "feed", None)]), label="pages")
        assert_that(failures, equal_to([("http_404", server.url("/b", host=HOST))]), label="failures")
        assert_that(polls, equal_to([("ok", 3, None), ("failed", 0, "http_500")]), label="polls")
    counted = {found.key.metric.name: found.committed for found in pipeline.result.metrics().query()["counters"]}
    assert counted == counted | {
        "polls_ok": 1,
        "polls_failed": 1,
        "pages_from_page": 1,
        "pages_from_feed": 1,
        "page_bytes": 4,
        "fetch_rejected_items": 1,
    }
    assert not [thread for thread in threading.enumerate() if thread.name == "newsbeam-acquirer"]


def test_the_lake_is_a_memory(server: ScriptedServer, tmp_path: Path) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("c", text_html=STORY)))
    with _TestPipeline(runner="FnApiRunner") as pipeline:
        acquired = (
            pipeline
            | beam.Create([Wave([spec(server.url("/feed", host=HOST))])])
            | Acquire(lake_uri=str(tmp_path / "lake"), config=config(server), parse=parse)
        )
        assert_that(acquired.polls | beam.Map(lambda poll: poll.new), equal_to([1]))
