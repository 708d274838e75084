"""What goes on beside the graph in the process that works: status pages, upkeep, memory, how the feeds stand.

Started with the first bundle, once a process (`transforms.acquire_on_ticks.Attendant`), wherever the engine's workers
run. Nothing here decides anything about rows.
"""

import logging
import threading
import time
from typing import Optional

from apache_beam.utils.timestamp import Timestamp

from pipelines.json_logs import use_json_logs, use_text_logs
from pipelines.options import StreamConfig
from pipelines.status_server import Health, StatusServer, judge_health
from transforms import telemetry
from transforms.acquire_on_ticks import AcquisitionService, service_of
from transforms.commit_on_bundles import commit_service_of
from transforms.lake import Lake, open_lake
from transforms.return_memory import return_free_memory
from transforms.upkeep import Upkeep
from transforms.watch_feeds import watch_feeds

_log = logging.getLogger("newsbeam.attend")

TICKS_WITHOUT_HARVEST = 12
LEAST_SILENT_SECONDS = 60.0  # a machine that sleeps or a page that is cut off takes shorter
START_SECONDS = 180.0  # engine, workers and their imports on a slow machine; measured 6 to 20 s
FIRST_STANDING_SECONDS = 10.0  # when the first polls are committed
STANDING_SECONDS = 60.0
RETURN_MEMORY_SECONDS = 20.0
LOOK_SECONDS = 1.0

_started = time.time()
_status: Optional[StatusServer] = None
_status_lock = threading.Lock()


def silent_seconds(tick_seconds: float) -> float:
    """Return after how long without a harvest a stream is taken for dead."""
    return max(TICKS_WITHOUT_HARVEST * tick_seconds, LEAST_SILENT_SECONDS)


def set_up_process(lake_uri: str, settings: StreamConfig, run_id: str) -> None:
    """Set up the log and the status pages of this process, if that has not been done.

    Raises:
        UsageError: the address cannot be listened on.
    """
    global _status
    with _status_lock:
        if _status is not None:
            return
        (use_json_logs if settings.log_format == "json" else use_text_logs)(logging.WARNING)
        logging.getLogger("newsbeam").setLevel(logging.INFO)
        logging.getLogger("apache_beam").setLevel(logging.ERROR)
        commit_service_of(lake_uri, run_id)
        status = StatusServer(settings.status_address or "127.0.0.1:0", lambda: _health(lake_uri, settings))
        if settings.status_address is not None:
            status.start()
        _status = status


def _health(lake_uri: str, settings: StreamConfig) -> Health:
    service = service_of(lake_uri)
    return judge_health(
        now=time.time(),
        started_at=_started if service is None else service.started_at,
        last_harvest_at=None if service is None else service.harvested_at,
        last_commit_at=commit_service_of(lake_uri).committed_at,
        tick_seconds=silent_seconds(settings.tick_seconds) / TICKS_WITHOUT_HARVEST,
        ticks_without_harvest_allowed=TICKS_WITHOUT_HARVEST,
        polling_stopped=service is not None and not service.is_polling,
        draining=service is not None and service.is_winding_down,
        startup_grace_seconds=START_SECONDS,
        entries_in_flight=0 if service is None else service.entries_in_flight,
    )


class Attend:
    """Attends to the service of a process; picklable.

    Args:
        lake_uri: where the lake is.
        settings: of the stream.
        run_id: of the stream.
    """

    def __init__(self, lake_uri: str, settings: StreamConfig, run_id: str) -> None:
        self._lake_uri, self._settings, self._run_id = lake_uri, settings, run_id

    def __call__(self, service: AcquisitionService) -> None:
        """Start what goes on beside the graph."""
        set_up_process(self._lake_uri, self._settings, self._run_id)
        lake = open_lake(self._lake_uri, create=False)
        threading.Thread(target=_attend, args=(service, lake), name="newsbeam-attend", daemon=True).start()


def _attend(service: AcquisitionService, lake: Lake) -> None:
    upkeep, standing_at = Upkeep(lake), time.monotonic() + FIRST_STANDING_SECONDS
    memory_at = time.monotonic() + RETURN_MEMORY_SECONDS
    while not service.is_winding_down:
        time.sleep(LOOK_SECONDS)
        if (done := upkeep.run_if_due()) is not None and done.error:
            _log.warning("upkeep of the lake: %s", done.error)
        if time.monotonic() >= memory_at:
            memory_at = time.monotonic() + RETURN_MEMORY_SECONDS
            return_free_memory()
        if time.monotonic() >= standing_at:
            standing_at = time.monotonic() + STANDING_SECONDS
            try:
                tell_standing(lake, [feed.feed_id for feed in service.feeds])
            except Exception as error:  # a lake that is away is the commit's business
                _log.debug("how the feeds stand cannot be told: %s", error)


def tell_standing(lake: Lake, feed_ids: list[str]) -> None:
    """Set the gauges of how the listed feeds stand.

    Raises:
        LakeError: a data file cannot be read.
    """
    standing = watch_feeds(lake, feed_ids, Timestamp.of(time.time()))
    for state, count in standing.counts.items():
        telemetry.FEEDS.labels(state).set(count)
    telemetry.FEEDS_SILENT.set(len(standing.silent))
