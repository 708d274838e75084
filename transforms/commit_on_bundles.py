"""The commit in an unbounded pipeline: what a bundle brought is committed at its end, or when the lake is back.

Decisions:
    No windows and no grouping: rows travel under one key to a step that gathers its bundle and calls `commit` when the
    bundle ends. The key keeps an engine from spreading the step over machines; that it also runs where an engine
    does not serialise a key (Prism) is why one lock a process guards the commit and a fence in the table guards it
    between processes.

    A lake that is away must not fail the bundle: the engine would restart the job and throw away what was fetched.
    What could not be committed is kept in this process and tried again, with growing distance, by the bundles that
    follow (each tick sends one). It stays bounded because acquisition stops when too much is in flight, and it may be
    lost with the process, because its polls have not taken effect.

    An item that breaks the commit itself is looked for by halves and becomes a dead letter of reason ``bug``.

Limits: one `CommitService` a process and lake; a poll whose entries never come is given up after an hour.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Optional

import apache_beam as beam
from apache_beam.coders import StrUtf8Coder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from apache_beam.utils.timestamp import Duration, Timestamp

from transforms import telemetry
from transforms.commit import Batch, CommitResult, commit, give_up_polls, waiting_polls
from transforms.dead_letters import failure_of
from transforms.errors import IngestError, LakeError
from transforms.lake import open_lake
from transforms.records import CommitItem, field_names

_log = logging.getLogger("newsbeam.commit")

FIRST_BACK_OFF_SECONDS = 1.0
LONGEST_BACK_OFF_SECONDS = 30.0
POLL_GIVEN_UP_SECONDS = 3_600.0
_DISPOSITIONS = tuple(name for name in field_names(CommitResult) if name not in ("polls", "polls_waiting", "outrun"))


class CommitService:
    """Commits the items of this process, now or when the lake is back. `offer` may be called from any thread.

    Args:
        lake_uri: where the lake is; it must exist.
        run_id: goes into each row.
        clock: the time of day in seconds.
        jitter: 0 to 1, for the distance of tries.
    """

    def __init__(
        self,
        lake_uri: str,
        run_id: str,
        *,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._lake_uri, self._run_id, self._clock, self._jitter = lake_uri, run_id, clock, jitter
        self._lock = threading.Lock()
        self._pending: list[CommitItem] = []
        self._failures_in_a_row = 0
        self._next_try_at = 0.0
        self.offered_items = 0
        self.committed_at: Optional[float] = None

    @property
    def pending_items(self) -> int:
        """How many items wait for the lake."""
        return len(self._pending)

    def offer(self, items: Sequence[CommitItem], *, at_once: bool = False) -> None:
        """Commit `items` and what waits; when the lake is away, keep them.

        Args:
            items: what a bundle brought; may be empty.
            at_once: try even if the last try failed a moment ago.
        """
        with self._lock:
            self._pending.extend(items)
            self.offered_items += len(items)
            if self._pending and (at_once or self._clock() >= self._next_try_at):
                self._commit_pending()
            telemetry.COMMIT_PENDING.set(len(self._pending))

    def _commit_pending(self) -> None:
        batch, self._pending = self._pending, []
        started = self._clock()
        try:
            self._commit(batch)
        except LakeError as error:
            self._pending = batch
            self._back_off(error)
            return
        if self._failures_in_a_row:
            _log.warning("the lake takes commits again; nothing was lost")
        self._failures_in_a_row, self._next_try_at = 0, 0.0
        self.committed_at = self._clock()
        telemetry.COMMITTED_AT.set(self.committed_at)
        telemetry.COMMIT_SECONDS.observe(self.committed_at - started)
        telemetry.COMMIT_ITEMS.observe(len(batch))

    def _commit(self, items: Sequence[CommitItem]) -> None:
        """Commit `items`; an item that breaks the commit is taken out of the halves it is in."""
        lake = open_lake(self._lake_uri, create=False)
        try:
            result = commit(lake, Batch.of(items), run_id=self._run_id)
        except LakeError:
            raise
        except Exception as error:
            if len(items) == 1:
                self._bury(items[0], error)
            else:
                half = len(items) // 2
                self._commit(items[:half])
                self._commit(items[half:])
            return
        self._tell(items, result)
        given_up = give_up_polls(lake, Timestamp.of(self._clock()) - Duration(seconds=POLL_GIVEN_UP_SECONDS))
        for poll in given_up:
            ids = {"run_id": self._run_id, "feed_id": poll.feed_id}
            _log.error("entries of a poll of %s never came to the commit; it is polled again", poll.url, extra=ids)
        telemetry.BOOKS_UNBALANCED.inc(len(given_up))
        telemetry.POLLS_WAITING.set(len(waiting_polls(lake)))

    def _tell(self, items: Sequence[CommitItem], result: CommitResult) -> None:
        """Say in metrics and in the log what a commit has done."""
        counts = {name: getattr(result, name) for name in _DISPOSITIONS}
        for name, count in counts.items():
            telemetry.ENTRIES.labels(name).inc(count)
        if any(counts.values()):
            told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            _log.info("committed %s", told, extra={"run_id": self._run_id, "polls": result.polls, **counts})
        now = self._clock()
        for item in items:
            if item.draft is not None:
                telemetry.FRESHNESS_SECONDS.observe(max(0.0, now - item.draft.first_seen_at.micros / 1e6))
            elif item.failure is not None:
                lost = item.failure
                telemetry.DEAD_LETTERS.labels(lost.stage, lost.reason).inc()
                if lost.reason == "bug":
                    ids = {name: getattr(lost, name) for name in ("entry_id", "feed_id", "stage", "url")}
                    _log.error("a defect cost an entry: %s", lost.message, extra={"run_id": self._run_id, **ids})

    def _bury(self, item: CommitItem, error: Exception) -> None:
        """Make a dead letter of the item that broke the commit; a poll cannot be one and is polled again."""
        _log.error("an item breaks the commit: %s: %s", type(error).__name__, error, exc_info=error)
        if item.draft is None:
            telemetry.BOOKS_UNBALANCED.inc()
            return
        self._commit([CommitItem(failure=failure_of(item.draft, error, stage="commit"))])

    def _back_off(self, error: IngestError) -> None:
        telemetry.COMMIT_FAILURES.labels(error.reason).inc()
        wait = min(FIRST_BACK_OFF_SECONDS * 2 ** min(self._failures_in_a_row, 10), LONGEST_BACK_OFF_SECONDS)
        self._failures_in_a_row += 1
        self._next_try_at = self._clock() + wait * (0.75 + 0.5 * self._jitter())
        _log.error("%s; %d items wait and are tried again in %.0f s", error, len(self._pending), wait)


_services: dict[str, CommitService] = {}
_services_lock = threading.Lock()


def commit_service_of(lake_uri: str, run_id: str = "") -> CommitService:
    """Return this process's commit service of a lake; made at the first call."""
    with _services_lock:
        if lake_uri not in _services:
            _services[lake_uri] = CommitService(lake_uri, run_id)
        return _services[lake_uri]


# Declared, so that an engine keeps a key at one place; what it would hold lives in the lake.
_UNUSED = beam.DoFn.StateParam(ReadModifyWriteStateSpec("unused", StrUtf8Coder()))


class _CommitBundle(beam.DoFn):
    def __init__(self, lake_uri: str, run_id: str) -> None:
        self._lake_uri, self._run_id = lake_uri, run_id
        self._items: list[CommitItem] = []

    def start_bundle(self) -> None:
        self._items = []

    def process(self, keyed: tuple[str, CommitItem], unused: Any = _UNUSED) -> Iterable[Any]:
        if keyed[1] != _NOTHING:
            self._items.append(keyed[1])
        return ()

    def finish_bundle(self) -> None:
        items, self._items = self._items, []
        commit_service_of(self._lake_uri, self._run_id).offer(items)


_NOTHING = CommitItem()


class CommitOnBundles(beam.PTransform):
    """Commit the items of an unbounded pipeline, bundle by bundle: PCollection[CommitItem] -> nothing.

    Unbounded, in the global window; every row exactly once by key however often an engine repeats it. One commit at a
    time a process. An item with nothing in it (of a tick) lets what waits be tried again. Memory: the items of a
    bundle, and what waits while the lake is away, which never fails a bundle.

    Args:
        lake_uri: where the lake is; it must exist.
        run_id: goes into each row.
    """

    def __init__(self, *, lake_uri: str, run_id: str) -> None:
        super().__init__()
        self._lake_uri, self._run_id = lake_uri, run_id

    def expand(self, items: beam.PCollection) -> Any:
        """Return an empty collection."""
        return (
            items
            | "one key" >> beam.Map(_under_one_key).with_output_types(tuple[str, CommitItem])
            | "commit" >> beam.ParDo(_CommitBundle(self._lake_uri, self._run_id)).with_output_types(str)
            # Prism (2.77) waits in a busy loop for a bundle of a stage that puts nothing out to another: a processor
            # less for the commit itself (measured: the commits of 1,000 rows took 4 s instead of 1).
            | "keep Prism calm" >> beam.Reshuffle()
            | "nothing more" >> beam.Map(str)
        )


def _under_one_key(item: CommitItem) -> tuple[str, CommitItem]:
    return ("lake", item)
