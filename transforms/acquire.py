"""Feeds polled and pages fetched, as one step of the graph.

Decisions:
    Beam only starts and harvests a service (`acquirer.Acquirer`: an asyncio loop in its own thread), so extraction of
    the first pages overlaps with waiting for the last, and nothing of acquisition lives in Beam's state.

    `parse` is handed in, because capabilities do not import each other.

    The rooms: acquirer.py (the service), acquire_on_ticks.py (the same in an unbounded pipeline), poll_feeds.py
    (decisions on feeds), entry_pages.py (decisions on entries), fetch_pages.py (requests in turn, robots.txt, each
    page once), pace_hosts.py (whose turn it is), harvest_queue.py.

Limits: in batch each wave is one element on one worker; what is remembered of hosts is shared within a process.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Optional

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.typehints.decorators import no_annotations

from transforms.acquirer import AcquireConfig, Acquirer, Memory, Parse
from transforms.dead_letters import NAMESPACE
from transforms.fetch_pages import HostMemory
from transforms.harvest_queue import Item
from transforms.records import Failure, Page, Poll, Wave

__all__ = ["Acquire", "AcquireConfig", "Acquired", "Acquirer", "HostMemory", "Item", "Memory", "Parse"]


class Acquired(NamedTuple):
    """What acquisition puts out: `pages` to extract, `failures` of entries, `polls` with their books."""

    pages: Any
    failures: Any
    polls: Any


_POLL_STATUSES = ("ok", "not_modified", "unchanged", "failed")
MemoryFactory = Callable[[], Memory]

_PROCESS_HOSTS = HostMemory()  # one per process: the next wave keeps its distance from the last


class OpenLake:
    """Opens the lake as a memory; a class of its own because it is pickled to the workers."""

    def __init__(self, lake_uri: str, *, create: bool = True) -> None:
        self._lake_uri, self._create = lake_uri, create

    def __call__(self) -> Memory:
        """Return the lake."""
        from transforms.lake import open_lake

        return open_lake(self._lake_uri, create=self._create)


def tagged(item: Item) -> Any:
    """Return `item` as what a step with the outputs failures, polls and pages (main) puts out."""
    if isinstance(item, Poll):
        return beam.pvalue.TaggedOutput("polls", item)
    return beam.pvalue.TaggedOutput("failures", item) if isinstance(item, Failure) else item


class _AcquireWave(beam.DoFn):
    def __init__(
        self, memory_factory: MemoryFactory, config: AcquireConfig, parse: Parse, respect_schedule: bool
    ) -> None:
        self._memory_factory, self._config, self._parse = memory_factory, config, parse
        self._respect_schedule = respect_schedule
        self._polls = {s: Metrics.counter(NAMESPACE, f"polls_{s}") for s in _POLL_STATUSES}
        self._pages = {o: Metrics.counter(NAMESPACE, f"pages_from_{o}") for o in ("page", "feed")}
        self._feed_bytes = Metrics.counter(NAMESPACE, "feed_bytes")
        self._page_bytes = Metrics.counter(NAMESPACE, "page_bytes")
        self._rejected = Metrics.counter(NAMESPACE, "fetch_rejected_items")
        self._acquirer: Optional[Acquirer] = None

    def setup(self) -> None:
        self._acquirer = Acquirer(
            self._config,
            memory=self._memory_factory(),
            parse=self._parse,
            respect_schedule=self._respect_schedule,
            hosts=_PROCESS_HOSTS,
        )

    def process(self, wave: Wave) -> Iterable[Any]:
        acquirer = self._acquirer
        assert acquirer is not None
        acquirer.start(wave.feeds)
        yield from map(self._counted, acquirer.harvest_all())

    def teardown(self) -> None:
        if self._acquirer is not None:
            self._acquirer.close()
            self._acquirer = None

    def _counted(self, item: Item) -> Any:
        if isinstance(item, Poll):
            self._polls[item.status].inc()
            self._feed_bytes.inc(item.bytes_received)
        elif isinstance(item, Failure):
            self._rejected.inc()
        else:
            self._pages[item.origin].inc()
            self._page_bytes.inc(len(item.html or b""))
        return tagged(item)


class Acquire(beam.PTransform):
    """Poll the feeds of each `Wave` and fetch what is new: PCollection[Wave] -> `Acquired`.

    Bounded input (a wave ends when its slowest feed has); unbounded pipelines have `AcquireOnTicks`. Each
    wave is one element, handled by one worker; parallelism is the acquirer's own. Pages are large: consume them in
    the same fused stage. At least once: a wave that is started again polls again, and the commit sorts it out.

    Failures: entries that could not be had (stage ``fetch``). Feeds that could not be polled are rows of `polls`.
    Metrics: ``polls_<status>``, ``feed_bytes`` (on the wire), ``pages_from_page``, ``pages_from_feed``,
    ``page_bytes``, ``fetch_rejected_items``.

    Args:
        lake_uri: the lake that says what is known.
        config: see `AcquireConfig`.
        parse: `parse_feed`, or what has its signature; picklable.
        respect_schedule: poll only feeds whose adaptive interval says so.
        memory_factory: opens something else than the lake (tests); picklable.

    Example::

        acquired = waves | "acquire" >> Acquire(lake_uri="lake", config=config, parse=parse_feed)
    """

    def __init__(
        self,
        *,
        lake_uri: str,
        config: AcquireConfig,
        parse: Parse,
        respect_schedule: bool = False,
        memory_factory: Optional[MemoryFactory] = None,
    ) -> None:
        super().__init__()
        self._memory_factory = memory_factory or OpenLake(lake_uri)
        self._config, self._parse, self._respect_schedule = config, parse, respect_schedule

    @no_annotations
    def expand(self, waves: beam.PCollection) -> Acquired:
        """Return pages, failures and polls."""
        work = _AcquireWave(self._memory_factory, self._config, self._parse, self._respect_schedule)
        outputs = waves | "poll and fetch" >> beam.ParDo(work).with_outputs("failures", "polls", main="pages")
        outputs.pages.element_type = Page
        outputs.failures.element_type = Failure
        outputs.polls.element_type = Poll
        return Acquired(outputs.pages, outputs.failures, outputs.polls)
