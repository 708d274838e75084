"""Feeds parsed in workers: the same rows as here, bounds that hold, and nothing left behind."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
from apache_beam.utils.timestamp import Timestamp

from tests import parse_tasks
from tests.servers import Reply, ScriptedServer
from tests.test_acquire import HOST, Memory, config, drain, only, spec
from tests.test_worker_pool import is_alive, wait_until
from transforms.acquirer import Acquirer
from transforms.discover_feeds import parse_or_suggest
from transforms.errors import IngestError, RejectedError, TransientError
from transforms.feed_parser import WORKERS, EntryValues, FeedParser, FeedValues, rows_of
from transforms.harvest_queue import Item
from transforms.records import FeedEntry, NestedSitemap, ParsedFeed, Poll, field_names
from transforms.worker_pool import Outcome, WorkerStartError, close_shared_pools

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = sorted(path for path in (ROOT / "tests/golden/feeds").iterdir() if path.suffix in {".xml", ".json"})
MEMORY = 600_000_000
TASKS = FeedParser(parse_tasks.read, deadline_seconds=1.0, memory_bytes=MEMORY)
INDEX = b"<sitemapindex><sitemap><loc>/a.xml</loc><lastmod>2026-03-01</lastmod></sitemap></sitemapindex>"
NEWS = (
    b'<urlset xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"><url><loc>https://a.example/1</loc><news:news>'
    b"<news:title>One</news:title><news:publication_date>2026-03-01</news:publication_date></news:news></url></urlset>"
)


@pytest.fixture(autouse=True)
def no_workers_left() -> Iterator[None]:
    yield
    close_shared_pools()


def in_worker(parser: FeedParser, body: bytes, url: str) -> Any:
    """What a worker makes of a feed: the rows, or reason and message of the error."""
    try:
        return parser.finish(parser.submit(body, url=url).result(60), url=url)
    except IngestError as error:
        return error.reason, error.message


def here(parser: FeedParser, body: bytes, url: str) -> Any:
    try:
        return parser(body, url=url)
    except IngestError as error:
        return error.reason, error.message


def test_a_worker_makes_the_same_rows() -> None:
    url = "https://a.example/feed.xml"
    bodies = [*(path.read_bytes() for path in GOLDEN), INDEX, NEWS, b"", b"<html><body>no</body></html>", b'{"a": 1}']
    made = [in_worker(parse_or_suggest, body, url) for body in bodies]
    assert made == [here(parse_or_suggest, body, url) for body in bodies]
    assert sum(isinstance(one, ParsedFeed) and bool(one.entries) for one in made) > 5


def test_plain_values_have_the_fields_of_the_rows() -> None:
    def plain(cls: type) -> list[str]:
        return [name.replace("_at", "_micros") for name in field_names(cls)]

    assert list(EntryValues._fields) == plain(FeedEntry)
    assert list(FeedValues._fields) == plain(ParsedFeed)
    entry = EntryValues("k", "h", "u", "t", "s", "x", ("a",), 1, None, "en", ("tag",))
    assert rows_of(FeedValues("rss", [entry], "T", "s", "de", 60, ["w"], [("n", 2), ("m", None)])) == ParsedFeed(
        "rss",
        [FeedEntry("k", "h", "u", "t", "s", "x", ["a"], Timestamp(micros=1), None, "en", ["tag"])],
        "T",
        "s",
        "de",
        60,
        ["w"],
        [NestedSitemap("n", Timestamp(micros=2)), NestedSitemap("m")],
    )


@pytest.mark.parametrize(
    "outcome, error, reason",
    [
        (Outcome("timeout", message="m"), RejectedError, "parse_timeout"),
        (Outcome("memory", message="m"), RejectedError, "parse_memory"),
        (Outcome("crash", message="m"), RejectedError, "parse_crash"),
        (Outcome("rejected", None, "not_a_feed", "m"), RejectedError, "not_a_feed"),
        (Outcome("transient", None, "busy", "m"), TransientError, "busy"),
        (Outcome("bug", None, "bug", "m"), RuntimeError, None),
        (Outcome("start", message="m"), WorkerStartError, None),
    ],
)
def test_what_becomes_of_a_feed_that_was_not_read(
    outcome: Outcome, error: type[Exception], reason: Optional[str]
) -> None:
    with pytest.raises(error, match="m") as raised:
        TASKS.finish(outcome, url="https://a.example/?key=secret")
    assert type(raised.value) is error
    assert getattr(raised.value, "reason", None) == reason
    assert "secret" not in str(vars(raised.value))


def polled(bodies: dict[str, str], *, parse: FeedParser = TASKS) -> dict[str, Poll]:
    """What one acquirer says of feeds with these bodies, by name."""
    with ScriptedServer({f"/{name}": Reply(body=body) for name, body in bodies.items()}) as server:
        feeds = {name: spec(server.url(f"/{name}", host=HOST)) for name in bodies}
        acquirer = Acquirer(config(server, max_requests_per_site=20), memory=Memory(), parse=parse)
        try:
            items: list[Item] = drain(acquirer, list(feeds.values()), seconds=120)
        finally:
            acquirer.close()
    by_id = {poll.feed_id: poll for poll in only(Poll, items)}
    return {name: by_id[feed.feed_id] for name, feed in feeds.items()}


@pytest.mark.parametrize("stuck", ["spin", "spin-in-C"])
def test_feeds_that_hang_hold_nobody_else_for_long(stuck: str) -> None:
    polls = polled({**{f"stuck{n}": stuck for n in range(5)}, "well": "feed a b"})
    assert [polls.pop("well").entries] == [2]
    assert {(poll.status, poll.reason, poll.failures_in_a_row) for poll in polls.values()} == {
        ("failed", "parse_timeout", 1)
    }


def test_a_feed_that_costs_too_much_or_kills_its_worker_is_a_failed_poll() -> None:
    bodies = {"memory": "allocate", "crash": "segfault", "refused": "reject", "later": "transient", "bug": "defect"}
    polls = polled({**bodies, "well": "feed a"}, parse=FeedParser(parse_tasks.read, memory_bytes=MEMORY))
    assert {name: poll.reason for name, poll in polls.items()} == {
        "memory": "parse_memory",
        "crash": "parse_crash",
        "refused": "no_article",
        "later": "busy",
        "bug": "bug",
        "well": None,
    }
    assert "KeyError: 0 at worker_tasks.py" in (polls["bug"].message or "")


def test_where_no_worker_starts_the_poll_says_so() -> None:
    def nowhere(item: Any) -> FeedValues:
        raise AssertionError

    with pytest.raises(ValueError, match=r"<locals>\.nowhere"):
        FeedParser(nowhere)
    nowhere.__module__, nowhere.__qualname__ = "tests.parse_tasks", "nowhere"
    (poll,) = polled({"a": "feed a"}, parse=FeedParser(nowhere)).values()
    assert (poll.status, poll.reason) == ("failed", "bug")
    assert "do not start" in (poll.message or "")


def test_closing_leaves_a_feed_that_hangs() -> None:
    with ScriptedServer({"/stuck": Reply(body="spin")}) as server:
        acquirer = Acquirer(
            config(server),
            memory=Memory(),
            parse=FeedParser(parse_tasks.read, deadline_seconds=600, memory_bytes=MEMORY),
        )
        acquirer.start([spec(server.url("/stuck", host=HOST))])
        assert wait_until(lambda: bool(server.log))
        acquirer.close()
        assert not acquirer._thread.is_alive()


HANGS = """
import sys, time
sys.path.insert(0, {root!r})
from tests import parse_tasks
from transforms.feed_parser import FeedParser, shared_pool
parser = FeedParser(parse_tasks.read, deadline_seconds=600)
parser.submit(b"spin", url="https://a.example/")
pool = shared_pool("tests.parse_tasks:read", workers={workers}, deadline_seconds=600, memory_bytes=parser.memory_bytes)
while not pool.worker_pids():
    time.sleep(0.01)
print(*pool.worker_pids(), flush=True)
"""


def test_a_process_that_ends_while_a_feed_hangs_ends_at_once_and_leaves_nobody_behind() -> None:
    script = HANGS.format(root=str(ROOT), workers=WORKERS)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: not any(is_alive(int(pid)) for pid in done.stdout.split()))
    assert done.stdout.split()


def test_a_worker_that_parses_needs_neither_beam_nor_the_http_client() -> None:
    code = "import sys, transforms.discover_feeds; print({'apache_beam', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
