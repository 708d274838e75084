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

import importlib.metadata
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

from transforms.article_url import article_id_of, article_url
from transforms.assign_copies import CopyMemory, assign_copies
from transforms.cluster_stories import StoryMemory, assign_stories
from transforms.dead_letters import NAMESPACE
from transforms.errors import LakeError, mask_url
from transforms.fingerprint import FINGERPRINT_VERSION
from transforms.lake import FOR_EVER, Lake, OutrunError, open_lake
from transforms.records import (
    CommitItem,
    CopyAssignment,
    Draft,
    Failure,
    Fingerprint,
    Poll,
    Row,
    StoryAssignment,
    field_names,
    row,
)
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS, TableSchema

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
        failures: list[Mapping[str, Any]] = [_failure_row(f) for f in batch.failures]
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
            _article_row(draft, revision, copy, story, run_id=run_id, committed_at=committed_at)
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
        text_hash = _fingerprint(draft).text_hash
        in_batch = texts.setdefault(draft.article_id, set())
        if lake.has_text(draft.article_id, text_hash):
            decision.counts["unchanged"] += 1
            decision.dead_letters.append(_same_text_row(draft, "unchanged"))
        elif text_hash in in_batch:
            decision.counts["repeated_in_batch"] += 1
            decision.dead_letters.append(_same_text_row(draft, "repeated_in_batch"))
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
    page_id = _page_id(draft)
    if page_id == draft.article_id or not draft.url:
        return draft
    text_hash = _fingerprint(draft).text_hash
    shared = (
        lake.revision(draft.article_id) > 0
        and not lake.has_page(draft.article_id, page_id)
        and not lake.has_text(draft.article_id, text_hash)
    ) or any(
        other.article_id == draft.article_id
        and _page_id(other) != page_id
        and _fingerprint(other).text_hash != text_hash
        for other in batch
    )
    return _replaced(draft, article_id=page_id) if shared else draft


def _page_id(draft: Draft) -> str:
    return article_id_of(article_url(draft.url, None)) if draft.url else draft.article_id


def _fingerprint(draft: Draft) -> Fingerprint:
    if draft.fingerprint is None:
        raise ValueError(f"draft {draft.article_id} has no fingerprint; run FingerprintArticles before the commit")
    return draft.fingerprint


def _replaced(draft: Draft, **changes: Any) -> Draft:
    return Draft(**{name: changes.get(name, getattr(draft, name)) for name in field_names(Draft)})


def _article_row(
    draft: Draft,
    revision: int,
    copy: CopyAssignment,
    story: StoryAssignment,
    *,
    run_id: str,
    committed_at: Timestamp,
) -> dict[str, Any]:
    held = _fingerprint(draft)
    values = {name: getattr(draft, name) for name in field_names(Draft)}
    values.update(
        revision=revision,
        url=mask_url(draft.url, by_name_only=True),
        canonical_url=mask_url(draft.canonical_url, by_name_only=True) if draft.canonical_url else None,
        removed=[{name: getattr(r, name) for name in field_names(type(r))} for r in draft.removed],
        topics=[{name: getattr(t, name) for name in field_names(type(t))} for t in draft.topics],
        words=held.tokens,
        text_hash=held.text_hash,
        signature=held.signature,
        bands=held.bands,
        terms=held.terms,
        fingerprint_version=FINGERPRINT_VERSION,
        duplicate_of=copy.duplicate_of,
        similarity=copy.similarity,
        copy_kind=copy.copy_kind,
        story_id=story.story_id,
        disposition="article_new" if revision == 1 else "article_revision",
        page_id=_page_id(draft),
    )
    return _row_of(ARTICLES, values, run_id, committed_at)


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
                    [_row_of(DEAD_LETTERS, r, run_id, committed_at) for r in fresh.values()],
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
        rows = [_row_of(POLLS, _poll_values(poll), run_id, committed_at) for poll in ready.values()]
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


def _same_text_row(draft: Draft, disposition: str) -> dict[str, Any]:
    where = "an earlier revision" if disposition == "unchanged" else "another entry of the same commit"
    return {
        "entry_id": draft.entry_id,
        "entry_hash": draft.entry_hash,
        "feed_id": draft.feed_id,
        "url": mask_url(draft.url, by_name_only=True),
        "stage": "commit",
        "disposition": disposition,
        "reason": disposition,
        "message": f"the text of article {draft.article_id} is that of {where}",
        "permanent": True,
        "attempt": draft.attempt,
        "article_id": draft.article_id,
        "failed_at": draft.first_seen_at,
    }


def _failure_row(failure: Failure) -> dict[str, Any]:
    return {name: getattr(failure, name) for name in field_names(Failure)}


def _poll_values(poll: Poll) -> dict[str, Any]:
    return {name: getattr(poll, name) for name in field_names(Poll)}


def _row_of(table: TableSchema, values: Mapping[str, Any], run_id: str, committed_at: Timestamp) -> dict[str, Any]:
    """Return the row of `table` that `values` make: its columns only, times as integers (microseconds)."""
    common = {"run_id": run_id, "committed_at": committed_at, "newsbeam_version": _version()}
    out = {}
    for name in table.file_schema.names:
        value = common.get(name, values.get(name))
        out[name] = value.micros if isinstance(value, Timestamp) else list(value) if isinstance(value, tuple) else value
    return out


def _version() -> str:
    global _version_text
    if _version_text is None:
        _version_text = importlib.metadata.version("newsbeam")
    return _version_text


_version_text: Optional[str] = None


def _tries(now: Optional[Timestamp], counts: Counter[str]) -> Iterable[Timestamp]:
    """Yield the time of each try to commit; raise when too many were outrun."""
    for number in range(MOST_TRIES):
        if number:
            time.sleep(random.uniform(0, 0.02 * min(number, 10)))  # noqa: S311 - jitter, not a secret
        yield now or Timestamp.of(time.time())
    raise LakeError(
        f"{MOST_TRIES} commits in a row were outrun by other writers; run fewer writers on this lake", reason="outrun"
    )


# ---- the books ----------------------------------------------------------------------------------------------------


def check_books(lake: Lake, *, run_id: Optional[str] = None, since_day: Optional[str] = None) -> Sequence[str]:
    """Return a line for each poll whose books do not balance; empty when all do.

    For every poll row, entries = known + new, there are as many ids as `new` says, and each id is in articles or
    dead_letters.

    Args:
        lake: an open lake.
        run_id: look at this run's polls only; None looks at all.
        since_day: look at polls committed on this UTC day (ISO) and later; None looks at all.
    """
    columns = ["url", "polled_at", "entries", "known", "new", "new_entry_ids"]
    keep = None if run_id is None else ds.field("run_id") == run_id
    lines = []
    with lake.lock:
        lake.refresh()
        days = None if since_day is None else (since_day, "9999-12-31")
        for poll in lake.read(POLLS, columns, keep=keep, days=days).to_pylist():
            name = f"poll of {poll['url']} at {poll['polled_at']:%Y-%m-%d %H:%M:%S}"
            ids = poll["new_entry_ids"] or []
            if poll["entries"] != poll["known"] + poll["new"] or poll["new"] != len(ids):
                lines.append(
                    f"{name}: {poll['entries']} entries, but {poll['known']} known and {poll['new']} new "
                    f"with {len(ids)} ids"
                )
            missing = [i for i, there in zip(ids, lake.has_entries(ids), strict=True) if not there] if ids else []
            if missing:
                lines.append(f"{name}: {len(missing)} new entries are in no table, the first is {missing[0]}")
    return lines


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
