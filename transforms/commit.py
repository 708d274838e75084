"""The commit: the one place that decides what becomes a row, and the one that writes rows.

`commit(lake, batch)` takes the process-wide lock, brings the memory to the newest table version, decides, writes and
commits; if another writer was faster it starts over. Called from any thread, process or engine, in any order, twice
with the same batch: the table is the same.

Decisions:
    Tables are committed in the order articles, dead_letters, polls. A crash in between leaves rows whose poll is
    missing: the next poll finds the entries known and its own books balance.

    A poll's row, and with it its validators, is written only when every new entry of the poll has a committed
    disposition. Until then it waits in this process; if the process dies it was never there, and the feed is polled
    again without the validators that would have hidden the missing entries.

    An entry whose text the lake already holds leaves a dead letter of disposition unchanged or repeated_in_batch:
    else it would be fetched again at each poll, and the books could not name it.

Limits: one commit at a time a process; copies are looked for among the last `COPY_WINDOW_DAYS` of commits.
"""

import random
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Optional

import apache_beam as beam
import pyarrow.compute as pc
import pyarrow.dataset as ds
from apache_beam.metrics import Metrics
from apache_beam.utils.timestamp import Timestamp

from transforms.assign_copies import CopyMemory, assign_copies
from transforms.cluster_stories import StoryMemory, assign_stories
from transforms.dead_letters import NAMESPACE
from transforms.errors import LakeError
from transforms.fingerprint import FINGERPRINT_VERSION
from transforms.lake import FOR_EVER, Lake, OutrunError, open_lake
from transforms.make_rows import article_row, fingerprint_of, page_id_of, row_of, same_text_row, values_of
from transforms.records import CommitItem, Draft, Failure, Poll, Row, field_names, row
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS

COPY_WINDOW_DAYS = 30  # wire copy is reprinted within days; a month holds its stragglers
STORY_WINDOW_DAYS = 7
MOST_TRIES = 100  # measured: beside a second writer 25 commits needed 11 further tries, 3 at most for one


@dataclass(frozen=True)
class Batch:
    """What one commit is given: articles to be, dead letters to be, and finished polls. Any may be empty."""

    drafts: Sequence[Draft] = ()
    failures: Sequence[Failure] = ()
    polls: Sequence[Poll] = ()

    @staticmethod
    def of(items: Iterable[CommitItem]) -> "Batch":
        """Return the batch that `items` make."""
        held = list(items)
        return Batch(
            drafts=[i.draft for i in held if i.draft is not None],
            failures=[i.failure for i in held if i.failure is not None],
            polls=[i.poll for i in held if i.poll is not None],
        )


@row
@dataclass(frozen=True)
class CommitResult(Row):
    """What one commit did: entries by disposition, polls written, polls that wait, and how often it was outrun."""

    article_new: int = 0
    article_revision: int = 0
    unchanged: int = 0
    known: int = 0
    repeated_in_batch: int = 0
    dead_lettered: int = 0
    polls: int = 0
    polls_waiting: int = 0
    outrun: int = 0


@dataclass
class _Decision:
    """What is to become of a batch, against one version of the lake."""

    articles: list[Draft] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)
    dead_letters: list[Mapping[str, Any]] = field(default_factory=list)
    later: list[Draft] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class _Memory:
    """What assignment remembers, filled from the lake and kept for the life of the process."""

    def __init__(self) -> None:
        self._start_afresh()
        self.day = ""
        self.waiting_polls: dict[tuple[str, int], Poll] = {}

    def _start_afresh(self) -> None:
        self.copies, self.stories = CopyMemory(), StoryMemory()
        self.seen: set[str] = set()

    def refresh(self, lake: Lake, now: Timestamp) -> None:
        """Load the articles of files that are new since the last time, within the windows.

        With each UTC day it starts afresh: what a process that starts now would not load must neither weigh on the
        decisions of one that runs on, nor take its memory.
        """
        midnight = datetime.combine(now.to_utc_datetime(has_tz=True).date(), datetime.min.time(), UTC)
        stories_since = int((midnight - timedelta(days=STORY_WINDOW_DAYS)).timestamp()) * 1_000_000
        day = midnight.date().isoformat()
        if self.day and day > self.day:
            self._start_afresh()
        self.day = max(day, self.day)
        days = ((midnight - timedelta(days=COPY_WINDOW_DAYS)).date().isoformat(), "9999-12-31")
        new = lake.unread_files(ARTICLES, self.seen, days=days)
        if new is None:
            # Folded from files that are in this memory and from others: it cannot take the others alone.
            self._start_afresh()
            new = lake.data_files(ARTICLES, days=days)
        if not new:
            return
        columns = ["article_id", "text_hash", "signature", "bands", "words", "language", "duplicate_of"]
        columns += ["story_id", "terms", "first_seen_at", "committed_at"]
        rows = lake.read(ARTICLES, columns, files=new, keep=ds.field("fingerprint_version") == FINGERPRINT_VERSION)
        rows = rows.sort_by([(name, "ascending") for name in ("committed_at", "first_seen_at", "article_id")])
        rows = rows.set_column(
            rows.schema.get_field_index("first_seen_at"), "first_seen_at", rows["first_seen_at"].cast("int64")
        )
        copies = ("article_id", "text_hash", "signature", "bands", "language", "duplicate_of")
        self.copies.load({name: rows[name] for name in copies} | {"tokens": rows["words"]})
        recent = rows.filter(pc.greater_equal(rows["committed_at"].cast("int64"), stories_since))
        stories = ("article_id", "story_id", "terms", "first_seen_at", "language")
        self.stories.load({name: recent[name] for name in stories})
        self.seen.update(new)


_memories: "weakref.WeakKeyDictionary[Lake, _Memory]" = weakref.WeakKeyDictionary()


def _memory_of(lake: Lake) -> _Memory:
    return _memories.setdefault(lake, _Memory())


def commit(
    lake: Lake, batch: Batch, *, run_id: str = "", now: Optional[Timestamp] = None, is_replay: bool = False
) -> CommitResult:
    """Decide on `batch` against the newest version of the lake, and write it. Idempotent.

    Args:
        lake: an open lake.
        batch: drafts, failures and finished polls, in any order.
        run_id: goes into each row.
        now: the time of the commit (and its partition); None is the clock.
        is_replay: what is in `batch` was tried again on request, though its last dead letter was permanent or still
            waits for its time: an entry is then known when it was tried as often before.

    Returns:
        Counts by disposition.

    Raises:
        LakeError: the lake cannot be written; what was committed before stays, nothing else was written.
    """
    counts: Counter[str] = Counter()
    with lake.lock:
        memory = _memory_of(lake)
        failures: list[Mapping[str, Any]] = [values_of(f) for f in batch.failures]
        drafts: Sequence[Draft] = batch.drafts
        while drafts or failures:
            decision = _commit_articles(lake, memory, drafts, run_id, now, counts, is_replay)
            _commit_dead_letters(lake, [*decision.dead_letters, *failures], run_id, now, counts, is_replay)
            counts.update(decision.counts)
            drafts, failures = decision.later, []
        for poll in batch.polls:
            memory.waiting_polls[poll.feed_id, poll.polled_at.micros] = poll
        _commit_polls(lake, memory, run_id, now, counts)
        counts["polls_waiting"] = len(memory.waiting_polls)
    return CommitResult(**{name: counts[name] for name in field_names(CommitResult)})


def give_up_polls(lake: Lake, before: Timestamp) -> Sequence[Poll]:
    """Forget the polls that have waited since `before` for entries that never came, and return them.

    Their validators never took effect, so their feeds are polled again as if they had not been.
    """
    with lake.lock:
        waiting = _memory_of(lake).waiting_polls
        given_up = {key: poll for key, poll in waiting.items() if poll.polled_at < before}
        for key in given_up:
            del waiting[key]
        return list(given_up.values())


def waiting_polls(lake: Lake) -> Sequence[Poll]:
    """Return the finished polls whose rows this process holds back, because some entry has no disposition yet."""
    with lake.lock:
        return list(_memory_of(lake).waiting_polls.values())


# ---- articles -----------------------------------------------------------------------------------------------------


def _commit_articles(
    lake: Lake,
    memory: _Memory,
    drafts: Sequence[Draft],
    run_id: str,
    now: Optional[Timestamp],
    counts: Counter[str],
    is_replay: bool,
) -> _Decision:
    for committed_at in _tries(now, counts):
        lake.refresh(ARTICLES, DEAD_LETTERS)
        decision = _decide(lake, drafts, is_replay)
        if not decision.articles:
            return decision
        memory.refresh(lake, committed_at)
        copies = assign_copies(memory.copies, decision.articles)
        stories = assign_stories(memory.stories, decision.articles)
        rows = [
            article_row(draft, revision, copy, story, run_id=run_id, committed_at=committed_at)
            for draft, revision, copy, story in zip(decision.articles, decision.revisions, copies, stories, strict=True)
        ]
        try:
            memory.seen.add(lake.append(ARTICLES, rows, committed_at=committed_at))
        except OutrunError:
            counts["outrun"] += 1
            continue
        memory.copies.commit(decision.articles, copies)
        memory.stories.commit(decision.articles, stories)
        lake.refresh(ARTICLES)
        return decision
    raise AssertionError("unreachable: _tries raises")


def _decide(lake: Lake, drafts: Sequence[Draft], is_replay: bool) -> _Decision:
    """Sort `drafts` into articles, dead letters and known entries; pure in the lake's memory.

    Arrival order is (first_seen_at, article_id). A second text of one article in the same batch waits for the next
    round, and with it all that arrived after it: assignment sees each article once, and in order.
    """
    decision = _Decision()
    pairs: set[tuple[str, str]] = set()
    texts: dict[str, set[str]] = {}
    arrived = sorted(drafts, key=lambda d: (d.first_seen_at, d.article_id, d.entry_id, d.entry_hash))
    for position, draft in enumerate(arrived):
        pair = (draft.entry_id, draft.entry_hash)
        if pair in pairs or _is_known(lake, pair, draft.first_seen_at.micros, draft.attempt, is_replay):
            decision.counts["known"] += 1
            continue
        pairs.add(pair)
        draft = _with_trusted_id(lake, draft, decision.articles)
        text_hash = fingerprint_of(draft).text_hash
        in_batch = texts.setdefault(draft.article_id, set())
        if lake.has_text(draft.article_id, text_hash):
            decision.counts["unchanged"] += 1
            decision.dead_letters.append(same_text_row(draft, "unchanged"))
        elif text_hash in in_batch:
            decision.counts["repeated_in_batch"] += 1
            decision.dead_letters.append(same_text_row(draft, "repeated_in_batch"))
        elif in_batch:
            decision.later = arrived[position:]
            break
        else:
            in_batch.add(text_hash)
            revision = lake.revision(draft.article_id) + 1
            decision.counts["article_new" if revision == 1 else "article_revision"] += 1
            decision.articles.append(draft)
            decision.revisions.append(revision)
    return decision


def _is_known(lake: Lake, pair: tuple[str, str], at: int, attempt: int, is_replay: bool) -> bool:
    """Return whether a version of an entry that was seen or failed at `at` (microseconds) has its disposition.

    One that is tried again on request has one in any case; what tells whether this try has been committed, or another
    was faster, is the number of the attempt.
    """
    if is_replay:
        return lake.attempts_made(pair[:1])[0] >= attempt
    return lake.known_until(*pair) > at


def _with_trusted_id(lake: Lake, draft: Draft, batch: Sequence[Draft]) -> Draft:
    """Return `draft` under its page's own address when pages with different texts share its canonical address."""
    page_id = page_id_of(draft)
    if page_id == draft.article_id or not draft.url:
        return draft
    text_hash = fingerprint_of(draft).text_hash
    shared = (
        lake.revision(draft.article_id) > 0
        and not lake.has_page(draft.article_id, page_id)
        and not lake.has_text(draft.article_id, text_hash)
    ) or any(
        other.article_id == draft.article_id
        and page_id_of(other) != page_id
        and fingerprint_of(other).text_hash != text_hash
        for other in batch
    )
    return _replaced(draft, article_id=page_id) if shared else draft


def _replaced(draft: Draft, **changes: Any) -> Draft:
    return Draft(**{**values_of(draft), **changes})


# ---- dead letters and polls ---------------------------------------------------------------------------------------


def _commit_dead_letters(
    lake: Lake,
    rows: Sequence[Mapping[str, Any]],
    run_id: str,
    now: Optional[Timestamp],
    counts: Counter[str],
    is_replay: bool,
) -> None:
    if not rows:
        return
    for committed_at in _tries(now, counts):
        lake.refresh(DEAD_LETTERS)
        fresh: dict[tuple[str, str], Mapping[str, Any]] = {}
        for held in rows:
            pair = (held["entry_id"], held["entry_hash"])
            if not _is_known(lake, pair, held["failed_at"].micros, held["attempt"], is_replay):
                if lake.known_until(*pair) == FOR_EVER:  # it stays permanent: nobody would try it at its time
                    held = {**held, "permanent": True, "retry_at": None}
                fresh.setdefault(pair, held)
        if fresh:
            try:
                lake.append(
                    DEAD_LETTERS,
                    [row_of(DEAD_LETTERS, r, run_id, committed_at) for r in fresh.values()],
                    committed_at=committed_at,
                )
            except OutrunError:
                counts["outrun"] += 1
                continue
            lake.refresh(DEAD_LETTERS)
        failed = [r for r in rows if r["disposition"] == "dead_lettered"]
        written = sum(1 for r in fresh.values() if r["disposition"] == "dead_lettered")
        counts["dead_lettered"] += written
        counts["known"] += len(failed) - written
        return


def _commit_polls(lake: Lake, memory: _Memory, run_id: str, now: Optional[Timestamp], counts: Counter[str]) -> None:
    if not memory.waiting_polls:
        return
    for committed_at in _tries(now, counts):
        lake.refresh(POLLS)
        ready = {key: poll for key, poll in memory.waiting_polls.items() if is_complete(lake, poll)}
        if not ready:
            return
        rows = [row_of(POLLS, values_of(poll), run_id, committed_at) for poll in ready.values()]
        try:
            lake.append(POLLS, rows, committed_at=committed_at)
        except OutrunError:
            counts["outrun"] += 1
            continue
        counts["polls"] += len(ready)
        for key in ready:
            del memory.waiting_polls[key]
        lake.refresh(POLLS)
        return


def is_complete(lake: Lake, poll: Poll) -> bool:
    """Return whether every new entry of `poll` has a committed disposition, so that its validators may take effect."""
    if len(poll.new_entry_hashes) != len(poll.new_entry_ids):
        raise ValueError(f"poll of feed {poll.feed_id}: new_entry_ids and new_entry_hashes differ in length")
    return bool(lake.has_disposition(poll.new_entry_ids, poll.new_entry_hashes).all())


def _tries(now: Optional[Timestamp], counts: Counter[str]) -> Iterable[Timestamp]:
    """Yield the time of each try to commit; raise when too many were outrun."""
    for number in range(MOST_TRIES):
        if number:
            time.sleep(random.uniform(0, 0.02 * min(number, 10)))  # noqa: S311 - jitter, not a secret
        yield now or Timestamp.of(time.time())
    raise LakeError(
        f"{MOST_TRIES} commits in a row were outrun by other writers; run fewer writers on this lake", reason="outrun"
    )


# ---- the PTransform -----------------------------------------------------------------------------------------------


class _Commit(beam.DoFn):
    def __init__(self, lake_uri: str, run_id: str, is_replay: bool) -> None:
        self._lake_uri, self._run_id, self._is_replay = lake_uri, run_id, is_replay
        self._counters = {
            name: Metrics.counter(NAMESPACE, f"commit_{name}_items") for name in field_names(CommitResult)
        }

    def process(self, keyed: tuple[str, Iterable[CommitItem]]) -> Iterable[CommitResult]:
        batch = Batch.of(keyed[1])
        result = commit(open_lake(self._lake_uri), batch, run_id=self._run_id, is_replay=self._is_replay)
        for name, counter in self._counters.items():
            counter.inc(getattr(result, name))
        yield result


class CommitToLake(beam.PTransform):
    """Commit all items of a bounded pipeline to the lake, in one commit a table.

    PCollection[CommitItem] -> PCollection[CommitResult] (one). Bounded input only; every row exactly once by key, in
    however many attempts; no parallelism (one key), since one commit decides at a time; memory: the items of a wave.
    Metrics: ``commit_<disposition>_items``.

    Args:
        lake_uri: where the lake is.
        run_id: goes into each row.
        is_replay: see `commit`.
    """

    def __init__(self, *, lake_uri: str, run_id: str, is_replay: bool = False) -> None:
        super().__init__()
        self._lake_uri, self._run_id, self._is_replay = lake_uri, run_id, is_replay

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Return the result of the commit."""
        return (
            items
            | "one key" >> beam.Map(_under_one_key).with_output_types(tuple[str, CommitItem])
            | "gather" >> beam.GroupByKey()
            | "commit"
            >> beam.ParDo(_Commit(self._lake_uri, self._run_id, self._is_replay)).with_output_types(CommitResult)
        )


def _under_one_key(item: CommitItem) -> tuple[str, CommitItem]:
    return ("lake", item)
