"""acquire_on_ticks: what a tick starts and harvests, what it leaves alone, and the step in a pipeline."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from tests.servers import Reply, ScriptedServer
from tests.test_acquire import HOST, STORY, Memory, config, entry, listing, only, parse, spec
from transforms import acquire_on_ticks
from transforms.acquire import Acquirer
from transforms.acquire_on_ticks import AcquireOnTicks, AcquisitionService, service_of, shard_of
from transforms.article_url import site_of
from transforms.errors import LakeError
from transforms.harvest_queue import Item
from transforms.records import FeedSpec, FeedState, Page, Poll

Open = Callable[..., AcquisitionService]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def opened(server: ScriptedServer, memory: Memory) -> Iterator[Open]:
    open_ones: list[AcquisitionService] = []

    def open_one(
        feeds: Sequence[FeedSpec], *, tick_seconds: float = 5.0, clock: Any = time.time, **fields: Any
    ) -> AcquisitionService:
        fields = {"shortest_interval_seconds": 0.001, "longest_interval_seconds": 0.001, **fields}
        service = AcquisitionService(
            config(server, **fields),
            memory=memory,
            parse=parse,
            feeds=lambda: feeds,
            tick_seconds=tick_seconds,
            clock=clock,
        )
        open_ones.append(service)
        return service

    yield open_one
    for one in open_ones:
        one.close()


def now() -> Timestamp:
    return Timestamp.of(time.time())


def harvest(service: AcquisitionService, *, seconds: float = 20.0) -> list[Item]:
    """Tick until nothing is under way."""
    until = time.monotonic() + seconds
    items = list(service.tick(now()))
    while not service.idle:
        assert time.monotonic() < until
        items += service.tick(now())
    return items


def test_a_tick_brings_what_feeds_have_and_the_next_brings_it_no_more(
    server: ScriptedServer, memory: Memory, opened: Open
) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("a", text_html=STORY)))
    service = opened([spec(server.url("/feed", host=HOST))])
    items = harvest(service)
    assert [type(item) for item in items] == [Page, Poll]
    assert (service.harvested_items, service.harvests >= 1) == (2, True)
    memory.commit(items)
    assert [item.new for item in only(Poll, harvest(service))] == [0]


def test_a_tick_whose_next_was_due_before_the_last_harvest_ended_does_nothing(
    server: ScriptedServer, opened: Open
) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("a", text_html=STORY)))
    clock = [1_800_000_000.0]
    service = opened([spec(server.url("/feed", host=HOST))], tick_seconds=5.0, clock=lambda: clock[0])
    assert list(service.tick(Timestamp.of(clock[0])))
    asked = len(server.log)
    for late in (3_600.0, 5.0):  # the ticks of an hour arrive at once
        assert list(service.tick(Timestamp.of(clock[0] - late))) == []
    assert (len(server.log), service.harvests) == (asked, 1)
    # The next one is due while the harvest runs under load, and it begins when that ends.
    list(service.tick(Timestamp.of(clock[0] - 4.9)))
    assert service.harvests == 2


def test_a_tick_that_meets_a_harvest_under_way_does_nothing(server: ScriptedServer, opened: Open) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("a", text_html=STORY)))
    service = opened([spec(server.url("/feed", host=HOST))])
    under_way = service.tick(now())
    assert isinstance(next(under_way), Page)
    assert list(service.tick(now())) == []
    assert [type(item) for item in under_way] == [Poll]
    assert service.harvests == 1


def test_a_host_that_hangs_holds_no_tick(server: ScriptedServer, opened: Open) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("a", text_html=STORY)))
    server.routes["/hangs"] = Reply(body=b"x" * 10, delay_seconds=30.0)
    feeds = [spec(server.url(path, host=host)) for path, host in (("/feed", HOST), ("/hangs", "other.test"))]
    service = opened(feeds, tick_seconds=2.0)
    started = time.monotonic()
    items = list(service.tick(now()))
    assert time.monotonic() - started < 2.0
    assert [type(item) for item in items] == [Page, Poll]
    assert not service.idle


def test_a_poll_that_is_not_committed_yet_is_not_repeated(server: ScriptedServer, memory: Memory, opened: Open) -> None:
    server.routes["/feed"] = Reply(body=listing())
    clock = [time.time()]
    service = opened([spec(server.url("/feed", host=HOST))], clock=lambda: clock[0], in_flight_seconds=60.0)
    items = list(service.tick(Timestamp.of(clock[0])))
    clock[0] += 30.0
    assert list(service.tick(Timestamp.of(clock[0]))) == []
    memory.commit(items)
    clock[0] += 1.0
    assert len(only(Poll, list(service.tick(Timestamp.of(clock[0]))))) == 1


class SlowMemory(Memory):
    """Whose second look at the lake takes until it is told, and begins while the first feed's entries are read."""

    def __init__(self, begin: Callable[[], None]) -> None:
        super().__init__()
        self.begin, self.looks, self.told = begin, 0, threading.Event()

    def feed_states(self, feed_ids: Sequence[str]) -> Mapping[str, FeedState]:
        self.looks += 1
        assert self.looks != 2 or self.told.wait(20.0)
        return super().feed_states(feed_ids)

    def entry_attempts(self, pairs: Sequence[tuple[str, str]], now: Timestamp) -> Sequence[int]:
        begin, self.begin = self.begin, lambda: None
        begin()
        return super().entry_attempts(pairs, now)


def test_what_was_put_out_while_the_lake_was_looked_at_is_on_its_way_as_well(server: ScriptedServer) -> None:
    feeds = [spec(server.url(path, host=HOST)) for path in ("/feed", "/other")]
    server.routes["/feed"] = Reply(body=listing(entry("a", text_html=STORY)))
    server.routes["/other"] = Reply(body=listing())
    memory = SlowMemory(lambda: acquirer.start(feeds[1:]))
    settings = config(server, shortest_interval_seconds=0.001, longest_interval_seconds=0.001)
    acquirer = Acquirer(settings, memory=memory, parse=parse, respect_schedule=True, runs_on=True)
    try:
        acquirer.start(feeds[:1])
        items: list[Item] = []
        while not only(Poll, items):
            items += acquirer.harvest()
        memory.told.set()
        items += acquirer.harvest_all()
        acquirer.start(feeds[:1])
        items += acquirer.harvest_all()
    finally:
        memory.told.set()
        acquirer.close()
    assert [poll.feed_id for poll in only(Poll, items)] == [feed.feed_id for feed in feeds]


def test_what_is_lost_on_the_way_is_polled_again_and_its_page_fetched_afresh(
    server: ScriptedServer, opened: Open
) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("a", server.url("/a", host=HOST))))
    server.routes["/a"] = Reply(body="<p>as it was")
    clock = [time.time()]
    service = opened([spec(server.url("/feed", host=HOST))], clock=lambda: clock[0], in_flight_seconds=5.0)
    (page,) = only(Page, list(service.tick(Timestamp.of(clock[0]))))
    assert page.html == b"<p>as it was"
    server.routes["/feed"] = Reply(body=listing(entry("a", server.url("/a", host=HOST), title="Now other")))
    server.routes["/a"] = Reply(body="<p>as it is now")
    clock[0] += 6.0
    (page,) = only(Page, list(service.tick(Timestamp.of(clock[0]))))
    assert page.html == b"<p>as it is now"


def test_too_much_in_flight_stops_polls_until_it_is_committed(
    server: ScriptedServer, memory: Memory, opened: Open
) -> None:
    server.routes["/feed"] = Reply(body=listing(*(entry(f"e{i}", text_html=STORY) for i in range(5))))
    server.routes["/other"] = Reply(body=listing(entry("o", text_html=STORY)))
    feeds = [spec(server.url("/feed", host=HOST))]
    service = opened(feeds, max_entries_in_flight=5)
    items = harvest(service)
    feeds.append(spec(server.url("/other", host=HOST)))
    assert harvest(service) == []
    assert (service.is_polling, service.entries_in_flight) == (False, 5)
    memory.commit(items)
    assert len(only(Page, harvest(service))) == 1
    assert service.is_polling


def test_a_lake_that_cannot_be_read_stops_polls_and_not_the_harvest(
    server: ScriptedServer, memory: Memory, opened: Open
) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("a", text_html=STORY)))
    service = opened([spec(server.url("/feed", host=HOST))])
    memory.fails = LakeError("the disk is not there", reason="lake_unreadable")
    assert list(service.tick(now())) == []
    assert (len(server.log), service.is_polling, service.harvests) == (0, False, 1)
    memory.fails = None
    assert len(only(Page, harvest(service))) == 1


def test_winding_down_starts_nothing_and_harvests_what_is_under_way(server: ScriptedServer, opened: Open) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("a", text_html=STORY)), delay_seconds=0.5)
    service = opened([spec(server.url("/feed", host=HOST))], tick_seconds=0.2)
    items = list(service.tick(now()))
    until = time.monotonic() + 20.0
    while not server.log:
        assert time.monotonic() < until
        items += service.tick(now())
    service.wind_down()
    items += harvest(service)
    assert [type(item) for item in items] == [Page, Poll]
    asked = len(server.log)
    assert list(service.tick(now())) == []
    assert len(server.log) == asked


def test_shards_share_no_site_and_leave_no_feed_out() -> None:
    feeds = [spec(f"https://{host}.site{n}.example/feed") for n in range(50) for host in ("www", "rss")]
    shards = [[feed for feed in feeds if shard_of(feed, 4) == shard] for shard in range(4)]
    assert sorted(f.feed_id for part in shards for f in part) == sorted(f.feed_id for f in feeds)
    sites = [{site_of(feed.url) for feed in part} for part in shards]
    assert all(sites)
    assert sum(map(len, sites)) == len(set().union(*sites))


def test_as_a_step_it_puts_out_pages_polls_and_its_ticks(server: ScriptedServer) -> None:
    server.routes["/feed"] = Reply(body=listing(entry("a", text_html=STORY)))
    feeds = [spec(server.url("/feed", host=HOST))]
    name = f"lake of {server.url('/')}"
    seen: list[AcquisitionService] = []
    _attended[name] = seen
    step = AcquireOnTicks(
        lake_uri=name,
        config=replace(config(server), shortest_interval_seconds=0.001),
        parse=parse,
        feeds=_Listed(feeds),
        tick_seconds=5.0,
        attendant=_Attendant(name),
        memory_factory=Memory,
    )
    try:
        pipeline = _TestPipeline(runner="FnApiRunner")
        with pipeline:
            ticks = pipeline | beam.Create([(0, 1)]) | beam.Map(lambda e: TimestampedValue(e, time.time()))
            acquired, put_out = ticks | step
            assert_that(acquired.pages | "title" >> beam.Map(lambda page: page.title), equal_to(["About a"]), "pages")
            assert_that(acquired.polls | "new" >> beam.Map(lambda poll: poll.new), equal_to([1]), "polls")
            assert_that(put_out, equal_to([0]), "ticks")
        assert seen == [service_of(name)]
    finally:
        service = acquire_on_ticks._services.pop(name, None)
        if service is not None:
            service.close()


_attended: dict[str, list[AcquisitionService]] = {}


class _Listed:
    def __init__(self, feeds: Sequence[FeedSpec]) -> None:
        self._feeds = feeds

    def __call__(self) -> Sequence[FeedSpec]:
        return self._feeds


class _Attendant:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, service: AcquisitionService) -> None:
        _attended[self._name].append(service)


def test_a_tick_of_no_length_is_refused() -> None:
    with pytest.raises(ValueError, match="tick_seconds must be positive, not 0"):
        AcquireOnTicks(lake_uri="x", config=None, parse=parse, feeds=_Listed([]), tick_seconds=0)  # type: ignore[arg-type]
