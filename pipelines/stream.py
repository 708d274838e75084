"""The streaming worker: the same functions as `ingest`, unbounded. The graph is `build`; `stream` runs it.

Decisions:
    Ticks, no windows, no grouping before the commit: what was tried and refused on Prism and Flink stands in
    docs/architecture.md ("Engines").

    Where the engine's workers run in this process (Prism, and Flink without a worker pool), this module drains it:
    nothing new is started, what is under way is finished, the commit under way ends. Elsewhere the job is cancelled;
    what was in flight is polled again by the next run, as after a crash.

    A stream that harvests nothing for a while ends with an error instead of repairing itself: a supervisor starts it
    again with a fresh process, and starting fresh from the lake is always right.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Optional

import apache_beam as beam
from apache_beam.io.flink.flink_streaming_impulse_source import FlinkStreamingImpulseSource
from apache_beam.runners.runner import PipelineState
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from pipelines.attend_worker import START_SECONDS, Attend, set_up_process, silent_seconds
from pipelines.engines import Engine, open_engine
from pipelines.ingest import clean
from pipelines.options import Config, StreamConfig
from pipelines.status_server import parse_address
from transforms.acquire_on_ticks import AcquireOnTicks, FeedSource, service_of
from transforms.commit_on_bundles import CommitOnBundles, commit_service_of
from transforms.discover_feeds import parse_or_suggest
from transforms.errors import IngestError
from transforms.lake import open_lake
from transforms.records import CommitItem

_log = logging.getLogger("newsbeam.stream")

DRAIN_SECONDS = 20.0
CANCEL_SECONDS = 5.0


def build(
    pipeline: beam.Pipeline, config: Config, settings: StreamConfig, feeds: FeedSource, run_id: str, started: Timestamp
) -> None:
    """Build the graph: ticks start and harvest, then as in batch, then one commit a bundle."""
    acquired, ticks = (
        pipeline
        | "ticks" >> _ticks(settings, started)
        | "shards" >> beam.FlatMap(_shards, settings.shards)
        | "spread" >> beam.Reshuffle()
        | "acquire"
        >> AcquireOnTicks(
            lake_uri=config.lake,
            config=config.acquire,
            parse=parse_or_suggest,
            feeds=feeds,
            tick_seconds=settings.tick_seconds,
            attendant=Attend(config.lake, settings, run_id),
        )
    )
    items = clean(acquired.pages, acquired.failures, acquired.polls, config, is_stream=True)
    _ = (
        (items, ticks | "empty items" >> beam.Map(_nothing))
        | "and ticks" >> beam.Flatten()
        | "commit" >> CommitOnBundles(lake_uri=config.lake, run_id=run_id)
    )


def _ticks(settings: StreamConfig, started: Timestamp) -> beam.PTransform:
    if settings.runner == "flink":
        return _FlinkTicks(settings.tick_seconds)
    return PeriodicImpulse(start_timestamp=started, fire_interval=settings.tick_seconds)


class _FlinkTicks(beam.PTransform):
    """Ticks of Flink's own source: PBegin -> PCollection of nothing in particular, with the time it came at.

    PeriodicImpulse leaves 5 kB in Flink's checkpoint with each tick, for ever (measured: 202 kB at the start, 2.5 MB
    after 500 ticks); this source keeps nothing. It gives no watermark, and nothing in this graph waits for one.
    """

    def __init__(self, tick_seconds: float) -> None:
        super().__init__()
        self._source = FlinkStreamingImpulseSource().set_interval_ms(round(tick_seconds * 1000))

    def expand(self, begin: Any) -> Any:
        """Return the ticks."""
        return begin | "source" >> self._source | "now" >> beam.Map(_dated_now)


def _dated_now(tick: Any) -> Any:
    return TimestampedValue(tick, Timestamp.of(time.time()))


def _shards(tick: Any, shards: int) -> list[tuple[int, int]]:
    return [(shard, shards) for shard in range(shards)]


def _nothing(tick: int) -> CommitItem:
    return CommitItem()


class StreamFailedError(IngestError):
    """The stream ended by itself, or hangs; starting it again is safe."""


def stream(
    config: Config,
    settings: StreamConfig,
    feeds: FeedSource,
    *,
    run_id: str,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Run until SIGTERM or Ctrl-C, then drain. Call it from the main thread.

    Args:
        config: the settings; `config.lake` is made where it does not exist.
        settings: those of the stream.
        feeds: the feeds as listed now.
        run_id: goes into each row.
        say: is called with a line when it runs, and when it stops.

    Raises:
        StreamFailedError: the job failed, or nothing was harvested for a while.
        UsageError: the engine cannot be started as asked for.
        LakeError: the lake cannot be used at the start.
    """
    if settings.status_address is not None:
        parse_address(settings.status_address)  # before anything is started
    open_lake(config.lake)
    stop = threading.Event()

    def on_signal(number: int, frame: Optional[FrameType]) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    with open_engine(settings, config.lake) as engine:
        if engine.is_local:
            set_up_process(config.lake, settings, run_id)
        pipeline = beam.Pipeline(options=engine.options)
        build(pipeline, config, settings, feeds, run_id, Timestamp.of(time.time()))
        if stop.is_set():
            return
        result = pipeline.run()
        engine.job_is_submitted()
        for number in (signal.SIGTERM, signal.SIGINT):  # an engine's start may have set its own
            signal.signal(number, on_signal)
        where = f"; status on http://{settings.status_address}/" if settings.status_address else ""
        say(f"streaming {len(feeds())} feeds into {config.lake} on {settings.runner}{where}")
        try:
            _watch(engine, result, config, settings, stop)
            say("stopping: what is under way is finished first")
            for name in ("apache_beam", "newsbeam.threads"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # what breaks off now is meant to
            if engine.is_local:
                _drain(config.lake)
        finally:
            _cancel(result)


def _watch(engine: Engine, result: Any, config: Config, settings: StreamConfig, stop: threading.Event) -> None:
    """Return when asked to stop; raise when the job has ended or harvests nothing."""
    allowed = silent_seconds(settings.tick_seconds)
    progress, progressed_at = 0, time.monotonic() + START_SECONDS - allowed
    while not stop.wait(1.0 if engine.is_local else min(5.0, allowed / 4)):
        engine.check()
        state = result.state
        if PipelineState.is_terminal(state):
            raise StreamFailedError(f"the job ended by itself ({state}); its log says why", reason="job_ended")
        told = _harvests(config) if engine.is_local else engine.count_commits()
        if told is None:  # the cluster does not say: only the job's state is watched
            progressed_at = max(progressed_at, time.monotonic())
        elif told != progress:  # less than before: an engine counts anew when it has restarted
            progress, progressed_at = told, time.monotonic()
        elif time.monotonic() - progressed_at > allowed:
            raise StreamFailedError(
                f"nothing was harvested for {allowed:.0f} s; starting again is safe", reason="no_harvest"
            )


def _harvests(config: Config) -> int:
    service = service_of(config.lake)
    return 0 if service is None else service.harvests


def _drain(lake_uri: str) -> None:
    """Start nothing, and wait until what was harvested is committed."""
    service, commits = service_of(lake_uri), commit_service_of(lake_uri)
    if service is None:
        return
    service.wind_down()
    until = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < until:
        if service.idle and service.harvested_items <= commits.offered_items:
            break
        time.sleep(0.05)
    commits.offer([], at_once=True)  # also waits for the commit under way
    left = service.requests_under_way + max(0, service.harvested_items - commits.offered_items) + commits.pending_items
    if left:
        _log.warning("%d requests or items are left to the next run, which polls them again", left)


def _cancel(result: Any) -> None:
    """Cancel the job; an engine that does not answer is left behind, since it ends with its processes."""
    thread = threading.Thread(target=_cancel_quietly, args=(result,), daemon=True)
    thread.start()
    thread.join(CANCEL_SECONDS)


def _cancel_quietly(result: Any) -> None:
    try:
        result.cancel()
    except Exception as error:
        _log.debug("the job could not be cancelled: %s", error)
