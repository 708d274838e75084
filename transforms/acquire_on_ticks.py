"""Acquisition in an unbounded pipeline: ticks start what is due and harvest what is finished.

Decisions:
    One `AcquisitionService` a process, whatever the engine makes of DoFn instances, bundles and retries: a second
    acquirer would poll the same feeds again. It lives until the process ends.

    A tick harvests and never waits for a host: it takes what is finished, stays a moment for what is about to be, and
    ends when the next tick is due. So under load one harvest follows the other, and the commit of the last one runs
    beside it. A tick whose next was due before the last harvest ended, or that cannot wait for the one under way, does
    nothing: after a stop of the engine the ticks of an hour arrive at once.

    Feeds are dealt to shards by registrable domain, so that the distance to a host is kept by one process alone.

    A lake that cannot be read stops new polls and nothing else: what is finished goes on to the commit, which waits.

Limits: a page is fetched on the budget of its own site, which with several shards may be another process's too.
"""

import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Optional, Protocol

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.timestamp import Timestamp

from transforms import telemetry
from transforms.acquire import Acquired, MemoryFactory, OpenLake, tagged
from transforms.acquirer import AcquireConfig, Acquirer, Memory, Parse
from transforms.article_url import site_of
from transforms.harvest_queue import Item
from transforms.records import Failure, FeedSpec, Page, Poll

WAIT_SHARE_OF_TICK = 0.5  # how long a tick waits for the harvest under way, which is to end when it is due
SETTLE_SHARE_OF_TICK = 0.2  # how long a harvest stays when nothing comes; a poll on a fast host takes less
LONGEST_SETTLE_SECONDS = 1.0
ITEMS_AT_ONCE = 20

FeedSource = Callable[[], Sequence[FeedSpec]]


class Attendant(Protocol):
    """Is shown the service of a process once, when it starts: metrics, upkeep, whatever watches it."""

    def __call__(self, service: "AcquisitionService") -> None:
        """Attend to `service` until the process ends; must return."""


class AcquisitionService:
    """The one acquirer of a process, driven by ticks. `tick` may be called from any thread.

    Args:
        config: see `AcquireConfig`.
        memory: what is known (the lake).
        parse: `parse_feed`.
        feeds: returns the feeds as they are listed now.
        tick_seconds: the interval of the ticks.
        clock: the time of day in seconds.
    """

    def __init__(
        self,
        config: AcquireConfig,
        *,
        memory: Memory,
        parse: Parse,
        feeds: FeedSource,
        tick_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._acquirer = Acquirer(config, memory=memory, parse=parse, respect_schedule=True, runs_on=True, clock=clock)
        self._feeds, self._tick_seconds, self._clock = feeds, tick_seconds, clock
        self._harvesting = threading.Lock()
        self._ended: dict[int, float] = {}
        self.is_winding_down = False
        self.started_at = clock()
        self.harvested_at: Optional[float] = None
        self.harvests = self.harvested_items = 0

    @property
    def feeds(self) -> Sequence[FeedSpec]:
        """The feeds as listed now."""
        return self._feeds()

    @property
    def idle(self) -> bool:
        """Whether no request is under way and nothing waits to be harvested."""
        return not self._acquirer.requests_under_way and not self._acquirer.waiting_items

    @property
    def entries_in_flight(self) -> int:
        """How many entries were seen and not committed when work was last started."""
        return self._acquirer.entries_in_flight

    @property
    def requests_under_way(self) -> int:
        """How many requests wait for an answer."""
        return self._acquirer.requests_under_way

    @property
    def is_polling(self) -> bool:
        """Whether new polls are started at all."""
        return not self.is_winding_down and not self._acquirer.is_away and not self._acquirer.is_full

    def wind_down(self) -> None:
        """Start nothing any more; ticks go on harvesting what is under way."""
        self.is_winding_down = True
        self._acquirer.wind_down()

    def close(self) -> None:
        """Stop at once; what is under way is left, as when the process ends."""
        self._acquirer.close()

    def tick(self, at: Timestamp, shard: int = 0, shards: int = 1) -> Iterator[Item]:
        """Start what is due among the feeds of a shard, and yield what is finished.

        Args:
            at: the time the tick was made for.
            shard: number of the shard, from 0.
            shards: how many there are.
        """
        if not self._harvesting.acquire(timeout=WAIT_SHARE_OF_TICK * self._tick_seconds):
            telemetry.TICKS.labels("stale").inc()
            return
        try:
            if at.micros / 1e6 <= self._ended.get(shard, 0.0) - self._tick_seconds:
                telemetry.TICKS.labels("stale").inc()
                return
            self._start(shard, shards)
            yield from self._harvest(at)
            self.harvests += 1
            telemetry.TICKS.labels("harvested").inc()
        finally:
            self.harvested_at = self._ended[shard] = self._clock()
            telemetry.HARVESTED_AT.set(self.harvested_at)
            self._harvesting.release()

    def _start(self, shard: int, shards: int) -> None:
        if not self.is_winding_down:
            feeds = self._feeds()
            self._acquirer.start(feeds if shards == 1 else [feed for feed in feeds if shard_of(feed, shards) == shard])

    def _harvest(self, at: Timestamp) -> Iterator[Item]:
        now = time.monotonic()
        due = self._tick_seconds - (self._clock() - at.micros / 1e6)  # until the next tick
        until = now + min(self._tick_seconds, max(due, 0.5 * self._tick_seconds))
        settle = min(LONGEST_SETTLE_SECONDS, SETTLE_SHARE_OF_TICK * self._tick_seconds)
        settled_at = now + settle
        while now < until:
            items = self._acquirer.harvest(ITEMS_AT_ONCE, max(0.0, min(until, settled_at) - now))
            if not items:
                return
            for item in items:
                self.harvested_items += 1
                yield item
            now = time.monotonic()
            settled_at = now + settle


def shard_of(feed: FeedSpec, shards: int) -> int:
    """Return the shard of a feed: a number below `shards`, the same for all feeds of a registrable domain."""
    return zlib.crc32((site_of(feed.url) or feed.url).encode()) % shards


_services: dict[str, AcquisitionService] = {}
_services_lock = threading.Lock()


def service_of(name: str) -> Optional[AcquisitionService]:
    """Return this process's service of that name (the lake's address), if it has started."""
    return _services.get(name)


class _HarvestOnTick(beam.DoFn):
    def __init__(
        self,
        name: str,
        memory_factory: MemoryFactory,
        config: AcquireConfig,
        parse: Parse,
        feeds: FeedSource,
        tick_seconds: float,
        attendant: Optional[Attendant],
    ) -> None:
        self._name, self._memory_factory, self._config, self._parse = name, memory_factory, config, parse
        self._feeds, self._tick_seconds, self._attendant = feeds, tick_seconds, attendant
        self._service: Optional[AcquisitionService] = None

    def setup(self) -> None:
        with _services_lock:
            if self._name not in _services:
                service = AcquisitionService(
                    self._config,
                    memory=self._memory_factory(),
                    parse=self._parse,
                    feeds=self._feeds,
                    tick_seconds=self._tick_seconds,
                )
                if self._attendant is not None:
                    self._attendant(service)
                _services[self._name] = service
            self._service = _services[self._name]

    def process(self, element: tuple[int, int], at: Any = beam.DoFn.TimestampParam) -> Iterable[Any]:
        assert self._service is not None
        for item in self._service.tick(at, *element):
            if isinstance(item, Poll):
                telemetry.POLLS.labels(item.status).inc()
            yield tagged(item)
        yield beam.pvalue.TaggedOutput("ticks", element[0])


class AcquireOnTicks(beam.PTransform):
    """Poll feeds and fetch what is new, tick by tick: PCollection[(shard, shards)] -> (`Acquired`, ticks).

    Unbounded; at least once: what an engine drops after the harvest is polled again when `in_flight_seconds` are
    over, and what is harvested twice the commit sorts out. Parallelism: shards; one service a process. No Beam state.
    The shard of each tick is put out as well, so that a commit that waits is tried again when nothing else comes.
    Metrics: those of `telemetry`.

    Args:
        lake_uri: the lake that says what is known; must exist.
        config: see `AcquireConfig`.
        parse: `parse_feed`; picklable.
        feeds: returns the feeds as listed now; picklable.
        tick_seconds: the interval of the ticks.
        attendant: is shown the service when it starts; picklable.
        memory_factory: opens something else than the lake (tests); picklable.
    """

    def __init__(
        self,
        *,
        lake_uri: str,
        config: AcquireConfig,
        parse: Parse,
        feeds: FeedSource,
        tick_seconds: float,
        attendant: Optional[Attendant] = None,
        memory_factory: Optional[MemoryFactory] = None,
    ) -> None:
        super().__init__()
        if tick_seconds <= 0:
            raise ValueError(f"tick_seconds must be positive, not {tick_seconds}")
        memory_factory = memory_factory or OpenLake(lake_uri, create=False)
        self._fn = _HarvestOnTick(lake_uri, memory_factory, config, parse, feeds, tick_seconds, attendant)

    @no_annotations
    def expand(self, ticks: beam.PCollection) -> Any:
        """Return what was acquired, and the ticks."""
        outputs = ticks | "start and harvest" >> beam.ParDo(self._fn).with_outputs(
            "failures", "polls", "ticks", main="pages"
        )
        outputs.pages.element_type = Page
        outputs.failures.element_type = Failure
        outputs.polls.element_type = Poll
        outputs.ticks.element_type = int
        return Acquired(outputs.pages, outputs.failures, outputs.polls), outputs.ticks
