"""A feed with headers and bounds of its own: who is sent its secrets, and what comes of a secret that is missing."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Optional

import pytest
from apache_beam.utils.timestamp import Timestamp

from pipelines.feed_secrets import request_headers_of
from tests.servers import Reply, ScriptedServer
from transforms.acquire import AcquireConfig, Acquirer, Item
from transforms.acquirer import interval_bounds
from transforms.records import (
    FeedEntry,
    FeedHeader,
    FeedSpec,
    FeedState,
    KnownContent,
    ParsedFeed,
    Poll,
    feed_id_of,
)

OWN, OTHER = "own.test", "other.test"
FEED = json.dumps([{"key": "1", "entry_hash": "h", "url": ""}])


class Memory:
    """A lake that knows nothing."""

    def feed_states(self, feed_ids: Sequence[str]) -> Mapping[str, FeedState]:
        return {}

    def entry_attempts(self, pairs: Sequence[tuple[str, str]], now: Timestamp) -> Sequence[int]:
        return [1 for _ in pairs]

    def known_contents(self, feed_id: str, entry_hashes: Sequence[str]) -> Sequence[Optional[KnownContent]]:
        return [None] * len(entry_hashes)

    def has_due_retries(self, feed_id: str, now: Timestamp) -> bool:
        return False

    def refresh(self) -> None:
        pass


def parse(body: bytes, *, url: str, content_type: Optional[str] = None) -> ParsedFeed:
    return ParsedFeed("json", [FeedEntry(**entry) for entry in json.loads(body)])


def polls(server: ScriptedServer, *feeds: FeedSpec, **settings: object) -> list[Poll]:
    acquirer = Acquirer(
        AcquireConfig(
            user_agent="newsbeam-test/1 (+mailto:t@example.org)",
            allow_hosts=(server.allow(OWN), server.allow(OTHER)),
            spacing_seconds=0,
            max_requests_per_site=1,
            feed_headers=request_headers_of,
            **settings,  # type: ignore[arg-type]
        ),
        memory=Memory(),
        parse=parse,
    )
    try:
        acquirer.start(feeds)
        items: list[Item] = []
        until = time.monotonic() + 20
        while not acquirer.idle:
            assert time.monotonic() < until
            items += acquirer.harvest(timeout_seconds=0.2)
        return [item for item in items if isinstance(item, Poll)]
    finally:
        acquirer.close()


def spec(url: str, *headers: FeedHeader, **fields: object) -> FeedSpec:
    return FeedSpec(feed_id_of(url), url, headers=headers, **fields)  # type: ignore[arg-type]


TOKEN = FeedHeader("Authorization", env="OWN_TOKEN", scheme="Bearer")
KEY = FeedHeader("X-Api-Key", env="OWN_TOKEN")
EDITION = FeedHeader("X-Edition", value="de")


def test_own_headers_go_to_the_feeds_own_origin_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_TOKEN", "s3cr3t")
    with ScriptedServer() as server:
        server.routes = {
            f"{OWN}/feed": Reply(status=302, headers={"Location": server.url("/moved", host=OWN)}),
            f"{OWN}/moved": Reply(status=301, headers={"Location": server.url("/feed", host=OTHER)}),
            f"{OTHER}/feed": Reply(body=FEED),
        }
        (poll,) = polls(server, spec(server.url("/feed", host=OWN), TOKEN, KEY, EDITION))
        assert poll.status == "ok"
        seen = [(s.host, s.path, *(s.headers.get(n) for n in ("authorization", "x-api-key"))) for s in server.log]
        assert seen == [
            (OWN, "/feed", "Bearer s3cr3t", "s3cr3t"),
            (OWN, "/moved", "Bearer s3cr3t", "s3cr3t"),
            (OTHER, "/feed", None, None),
        ]
        assert "s3cr3t" not in repr(poll)


def test_a_secret_that_is_missing_fails_its_feed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OWN_TOKEN", raising=False)
    with ScriptedServer({"/a": Reply(body=FEED), "/b": Reply(body=FEED)}) as server:
        without, healthy = server.url("/a", host=OWN), server.url("/b", host=OWN)
        # One request at a time: the turn of the first must be given back, or the second never gets one.
        found = {poll.feed_id: poll for poll in polls(server, spec(without, TOKEN), spec(healthy, EDITION))}
        failed = found[feed_id_of(without)]
        assert (failed.status, failed.reason, failed.failures_in_a_row) == ("failed", "secret_missing", 0)
        assert "environment variable OWN_TOKEN is not set" in (failed.message or "")
        assert found[feed_id_of(healthy)].status == "ok"
        assert server.paths() == ["/b"]


def test_an_entrys_page_is_not_sent_the_feeds_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_TOKEN", "s3cr3t")
    with ScriptedServer() as server:
        entry = {"key": "1", "entry_hash": "h", "url": server.url("/page", host=OWN)}
        server.routes = {"/feed": Reply(body=json.dumps([entry])), "/page": Reply(body="<p>a page</p>")}
        polls(server, spec(server.url("/feed", host=OWN), TOKEN), honour_robots=False)
        assert [(s.path, "authorization" in s.headers) for s in server.log] == [("/feed", True), ("/page", False)]


@pytest.mark.parametrize(
    "own, wanted",
    [
        ((None, None), (600, 86_400)),
        ((60, None), (60, 86_400)),
        ((None, 7_200), (600, 7_200)),
        ((60, 120), (60, 120)),
        ((None, 60), (60, 60)),  # asked for more often than the worker's shortest
        ((200_000, None), (200_000, 200_000)),  # and more seldom than its longest
    ],
)
def test_interval_bounds(own: tuple[Optional[float], Optional[float]], wanted: tuple[float, float]) -> None:
    shortest, longest = own
    feed = spec("https://a.example/", min_interval_seconds=shortest, max_interval_seconds=longest)
    assert interval_bounds(feed, 600, 86_400) == wanted


def test_the_next_poll_is_due_within_the_feeds_own_bounds() -> None:
    with ScriptedServer({"/feed": Reply(body=FEED)}) as server:
        url = server.url("/feed", host=OWN)
        (poll,) = polls(server, spec(url, min_interval_seconds=50_000.0, max_interval_seconds=50_000.0))
        assert poll.next_due_at is not None
        assert (poll.next_due_at.micros - poll.polled_at.micros) / 1e6 == 50_000
