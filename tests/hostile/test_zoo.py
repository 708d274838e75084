"""Every behaviour of cases.py against the real acquirer, with a healthy feed in the same run.

Each run also shows: no socket was opened but to the servers on loopback, the books balance, and nothing that a server
wrote reached a row, the log or a later request as a control character or without bound.
"""

import dataclasses
import logging
import re
import socket
import time
from asyncio.selector_events import BaseSelectorEventLoop
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from tests.hostile.cases import ALL_CASES, CLOCK_SECONDS, MOST_BODY_BYTES, PARSE_SECONDS, SOME, Case
from tests.hostile.page import PAGE, page_text
from tests.hostile.server import HEALTHY, HEALTHY_PAGES, HostileServer, stock
from tests.test_acquire import Memory, balanced, drain, only, spec
from tests.test_http import self_signed
from transforms.acquirer import AcquireConfig, Acquirer
from transforms.address_rules import AllowedHost, parse_allow_host
from transforms.discover_feeds import read_or_suggest
from transforms.extract_text import DEADLINE_SECONDS, MEMORY_BYTES, WORK
from transforms.extract_text import _item_of as item_of
from transforms.feed_parser import FeedParser
from transforms.harvest_queue import Item
from transforms.records import Failure, FeedSpec, Page, Poll
from transforms.worker_pool import WorkerPool

MOST_ROW_CHARS = 64 * 1024  # of a row, texts left out; the ids of new entries are fewer than 2,000 of 16 characters
MOST_REQUEST_HEADER_CHARS = 8 * 1024  # what servers commonly take
LATE_NAME = "to-itself-elsewhere.test"
INNER_NAMES = ("inner.test", "inner.sitemap-index-inner-name.test")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Zoo(NamedTuple):
    plain: HostileServer
    tls: HostileServer
    played: set[str]

    def feed(self, case: Case) -> FeedSpec:
        host = f"{case.name}.test"
        if case.name == "self-signed":
            return spec(self.tls.url("/feed", host=host).replace("http:", "https:"))
        return spec(self.plain.url("/feed", host=host))

    def allowed(self) -> tuple[AllowedHost, ...]:
        pinned = [self.plain.allow(f"{case.name}.test") for case in ALL_CASES if f"{case.name}.test" != LATE_NAME]
        return (*pinned, self.plain.allow(HEALTHY), parse_allow_host(f"{LATE_NAME}=127.0.0.0/30"))


class Run(NamedTuple):
    items: list[Item]
    rounds: list[list[Item]]
    seconds: float
    bytes: int
    requests: int


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    with HostileServer() as plain, HostileServer(tls=self_signed(tmp_path_factory.mktemp("tls"))) as tls:
        yield Zoo(plain, tls, stock(plain))


@pytest.fixture
def connected(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The addresses that were connected to; names resolve to what this says, nothing else does."""
    seen: list[Any] = []
    real = BaseSelectorEventLoop.sock_connect
    late = iter(["127.0.0.1"])

    async def record(self: Any, sock: Any, address: Any) -> None:
        seen.append(address)
        await real(self, sock, address)

    def resolve(host: str, port: int, *args: Any) -> list[tuple[Any, ...]]:
        known = {**dict.fromkeys(INNER_NAMES, "10.0.0.1"), "localhost": "127.0.0.1"}
        address = next(late, "10.0.0.1") if host == LATE_NAME else known.get(host)
        if address is not None:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        try:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (socket.inet_ntoa(socket.inet_aton(host)), port))]
        except OSError:
            raise socket.gaierror(socket.EAI_NONAME, "no such name in the zoo") from None

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", record)
    monkeypatch.setattr("transforms.resolve_names._look_up", resolve)
    return seen


def run(zoo: Zoo, case: Case) -> Run:
    """Poll the case's feed as often as it says; the healthy one with the first of them."""
    memory = Memory()
    host = f"{case.name}.test"
    before, sent_before = len(zoo.plain.log), zoo.plain.sent.get(host, 0)
    config = AcquireConfig(
        user_agent="newsbeam-zoo/1 (+mailto:zoo@example.org)",
        allow_hosts=zoo.allowed(),
        spacing_seconds=0,
        total_timeout_seconds=CLOCK_SECONDS,
        max_body_bytes=MOST_BODY_BYTES,
    )
    acquirer = Acquirer(config, memory=memory, parse=FeedParser(read_or_suggest, deadline_seconds=PARSE_SECONDS))
    started = time.monotonic()
    rounds = []
    try:
        for number in range(len(case.polls)):
            feeds = [zoo.feed(case)] if number else [zoo.feed(case), spec(zoo.plain.url("/feed", host=HEALTHY))]
            rounds.append(drain(acquirer, feeds, seconds=case.most_seconds + 10))
            memory.commit(rounds[-1])
        seconds = time.monotonic() - started
    finally:
        acquirer.close()
    items = [item for some in rounds for item in some]
    asked = [seen for seen in zoo.plain.log[before:] if seen.host == host]
    for seen in asked:
        assert all(
            len(value) <= MOST_REQUEST_HEADER_CHARS and not _CONTROL.search(value) for value in seen.headers.values()
        )
    return Run(items, rounds, seconds, zoo.plain.sent.get(host, 0) - sent_before, len(asked))


def ending(item: Any) -> str:
    return item.reason if isinstance(item, Failure) else str(item.origin)


def strings(value: Any, *, but: Sequence[str] = ()) -> Iterator[str]:
    """Every text in a row."""
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if field.name not in but:
            yield from (
                text for text in (inner if isinstance(inner, (list, tuple)) else [inner]) if isinstance(text, str)
            )


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_case(case: Case, zoo: Zoo, connected: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    done = run(zoo, case)
    mine = zoo.feed(case).feed_id
    if case.needs and case.needs not in zoo.plain.log[-1].headers["accept-encoding"]:
        pytest.skip(f"{case.needs} is not offered")

    healthy = [item for item in done.items if item.feed_id != mine]
    assert [item.status for item in only(Poll, healthy)] == ["ok"]
    assert [item.origin for item in only(Page, healthy)] == ["page"] * HEALTHY_PAGES

    polls = [item for item in only(Poll, done.items) if item.feed_id == mine]
    entries = Counter(ending(item) for item in done.items if item.feed_id == mine and not isinstance(item, Poll))
    assert tuple(poll.reason or poll.status for poll in polls) == case.polls, [poll.message for poll in polls]
    assert entries.keys() == case.entries.keys()
    assert all(entries[name] == count for name, count in case.entries.items() if count != SOME)
    assert all(balanced(some) for some in done.rounds)
    assert not case.warns or case.warns in polls[-1].warnings

    assert done.bytes <= case.most_bytes
    assert done.seconds <= case.most_seconds
    assert done.requests <= case.most_requests
    assert {address[0] for address in connected} <= {"127.0.0.1"}
    assert {address[1] for address in connected} <= {zoo.plain.port, zoo.tls.port}
    if case.due_hours is not None:
        wait = (polls[-1].next_due_at - polls[-1].polled_at).micros / 3.6e9
        assert case.due_hours[0] <= wait <= case.due_hours[1]

    for record in caplog.records:
        assert not _CONTROL.search(record.getMessage()), record
    for item in done.items:
        texts = list(strings(item, but=("text", "html", "summary")))
        assert not [text for text in texts if _CONTROL.search(text)]
        assert sum(map(len, texts)) <= MOST_ROW_CHARS


EXTRACTED = [case for case in ALL_CASES if case.extracts]


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(WORK, workers=1, deadline_seconds=DEADLINE_SECONDS, memory_bytes=MEMORY_BYTES)
    yield made
    made.close()


@pytest.mark.parametrize("case", EXTRACTED, ids=[case.name for case in EXTRACTED])
def test_a_page_that_was_taken_is_read_within_its_limits(
    case: Case, zoo: Zoo, connected: list[Any], pool: WorkerPool
) -> None:
    pages = [item for item in only(Page, run(zoo, case).items) if item.feed_id == zoo.feed(case).feed_id]
    lane = pool.open_lane()
    lane.submit(case.name, tuple(item_of(pages[0])))
    ((_, outcome),) = lane.take(wait=True)
    assert outcome.kind in (("ok",) if case.extracts == "ok" else ("ok", "rejected", "timeout", "memory")), outcome


def test_every_case_is_played_and_every_behaviour_is_listed(zoo: Zoo) -> None:
    assert zoo.played == {case.name for case in ALL_CASES}
    assert len(ALL_CASES) == len({case.name for case in ALL_CASES}) >= 60


def test_the_page_in_docs_is_what_the_cases_say() -> None:
    assert PAGE.read_text("utf-8") == page_text(), "run `make docs`"
