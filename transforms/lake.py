"""The lake: Delta tables on a local folder, and the process's memory of what they hold. Only user of deltalake.

Decisions:
    The table log gives atomic commits and a fence. Delta refuses a writer whose view is stale only when both writers
    name the same application id, so every commit names `APP_ID` and goes through the `DeltaTable` it was decided on:
    the later one fails, looks again and decides again (measured: with different ids both succeed).

    A data file is written and flushed to disk before the log names it; its name is random and never used again, so a
    crash leaves at most a file that no reader sees.

    The memory holds keys only (see key_map.py): which entries have a disposition, how often they were tried, the
    newest revision of each article and the texts it has had, the newest poll of each feed. It is read from the files
    that are new since the last look and can be rebuilt at any time.

    A folded file (see upkeep.py) names in its footer the files it was made of. Who has read those has read it, and
    opens no more than the footer. The names go down one step only; what was folded again is followed through the
    footers of files that lie in the folder until they are vacuumed.

    A fold commits on exactly the version it looked at, without deltalake's own retries: those let two folds of the same
    files through, and every row was there twice (measured with 1.6.6). It names no application id, so that it never
    outruns a writer of rows.

Limits: local folders; memory of about 96 bytes an article, 16 of them for its content (looked up in 2 us). A file that
no version names is removed when it has lain for `KEPT_HOURS`: a writer that is suspended for longer between its data
file and its commit would commit a lost file.
"""

import contextlib
import errno
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Optional

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
from apache_beam.utils.timestamp import Timestamp
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from transforms.errors import LakeError, one_line
from transforms.key_map import KeyMap, key_of, keys_of, mix
from transforms.records import FeedState, KnownContent
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS, SCHEMA_VERSION, TABLES, TableSchema

APP_ID = "newsbeam"
FOR_EVER = (1 << 63) - 1  # "known until": an entry that is never tried again in this version
MOST_ATTEMPTS_OF_AN_ENTRY = 24  # an entry whose content changes each time holds the time of day (lemon24/reader#225)

KEPT_HOURS = 24  # replaced files stay as long for whoever reads an older version; their names weigh on checkpoints

_MOST_PACKED_ATTEMPTS = 255
_FOLD_TRIES = _GROW_TRIES = 10  # beside a writer that commits without a pause about every second try is outrun
_FOLDED_FROM = b"newsbeam.folded_from"
_FOLDED_PREFIX = "fold-"
_SCHEMA_PROPERTY = "newsbeam.schemaVersion"
_CONFIGURATION = {
    # Opening with a checkpoint each 50 commits stays near 40 ms where the bare log takes 400 ms at 1,000 commits.
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.enableExpiredLogCleanup": "true",
    "delta.deletedFileRetentionDuration": f"interval {KEPT_HOURS} hours",
    _SCHEMA_PROPERTY: str(SCHEMA_VERSION),
}

on_point: Callable[[str], None] = lambda name: None  # noqa: E731 - replaced by tests that kill the process at a point


class OutrunError(Exception):
    """Another writer committed first: look again and decide again."""


@dataclass(frozen=True)
class DataFile:
    """A data file of a table: its path below the table, its size, and when its rows were committed (Unix seconds).

    The time of a folded file is that of its newest rows.
    """

    path: str
    size_bytes: int
    committed_at: float

    @property
    def day(self) -> str:
        """The partition, an ISO day."""
        return self.path[5:15]

    @property
    def is_folded(self) -> bool:
        """Whether it was made of other files."""
        return _is_folded(self.path)


def _is_folded(path: str) -> bool:
    return path.rpartition("/")[2].startswith(_FOLDED_PREFIX)


class _Table:
    """One Delta table: the handle decisions are made on, and the files the memory has read."""

    def __init__(self, root: Path, spec: TableSchema) -> None:
        self.root, self.spec = root / spec.name, spec
        self.handle = deltalake.DeltaTable(str(self.root))
        self.seen: set[str] = set()
        self._files: tuple[int, list[str]] = (-1, [])
        self.check_schema_version()

    @property
    def schema_version(self) -> int:
        return int(self.handle.metadata().configuration.get(_SCHEMA_PROPERTY, "0"))

    def check_schema_version(self) -> None:
        if self.schema_version > SCHEMA_VERSION:
            raise LakeError(
                f"lake {self.root.parent} has schema version {self.schema_version}, this newsbeam knows "
                f"{SCHEMA_VERSION}: upgrade newsbeam",
                reason="lake_newer_schema",
            )

    def grow(self) -> None:
        """Name the columns that a table of an older version lacks; what only its files have, other programs miss."""
        for tries_left in reversed(range(_GROW_TRIES)):
            if self.schema_version >= SCHEMA_VERSION:
                return
            held = {field.name for field in self.handle.schema().fields}
            missing = [field for field in self.spec.schema if field.name not in held]
            try:
                if missing:
                    self.handle.alter.add_columns(deltalake.Schema.from_arrow(pa.schema(missing)).fields)
                self.handle.alter.set_table_properties(
                    {_SCHEMA_PROPERTY: str(SCHEMA_VERSION)}, raise_if_not_exists=False
                )
            except CommitFailedError:  # another process committed, perhaps the same
                if not tries_left:
                    raise
                self.refresh()

    def refresh(self) -> None:
        try:
            self.handle.update_incremental()
        except DeltaError:
            # The log before our version may have been cleaned up while this process slept.
            try:
                self.handle = deltalake.DeltaTable(str(self.root))
            except (DeltaError, OSError) as error:
                raise LakeError(
                    f"lake table {self.root} cannot be read ({one_line(str(error))}); is its disk there?",
                    reason="lake_unreadable",
                ) from error

    def files(self) -> list[str]:
        version = self.handle.version()
        if self._files[0] != version:
            self._files = (version, pa.table(self.handle.get_add_actions(flatten=True))["path"].to_pylist())
        return self._files[1]

    def unread(self, files: Sequence[str], seen: set[str]) -> tuple[list[str], list[str]]:
        """Return which of `files` hold only rows that a memory which has read `seen` lacks, and which hold some.

        Files folded from what is in `seen` take the place of these there.
        """
        fresh, mixed = [], []
        for file in files:
            if file in seen:
                continue
            held, lacks = self._origins(file, seen) if seen else (set(), True)
            if not held:
                fresh.append(file)
            elif lacks:
                mixed.append(file)
            else:
                seen -= held
                seen.add(file)
        return fresh, mixed

    def _origins(self, file: str, seen: set[str]) -> tuple[set[str], bool]:
        """Return which names of `seen` went into `file`, and whether anything else did."""
        if file in seen:
            return {file}, False
        if not _is_folded(file):
            return set(), True
        try:
            names = json.loads(pq.read_metadata(self.root / file).metadata[_FOLDED_FROM])
        except (OSError, ValueError, KeyError, TypeError):
            return {file}, True  # cannot be told: it may hold both
        folder = file.rpartition("/")[0]
        parts = [self._origins(f"{folder}/{name}", seen) for name in names]
        return set().union(*(held for held, _ in parts)), any(lacks for _, lacks in parts)

    def read(self, files: Sequence[str], columns: Sequence[str], keep: Optional[ds.Expression] = None) -> pa.Table:
        """Return `columns` of `files` (relative paths), in the order of the files."""
        if not files:
            return self.spec.schema.empty_table().select(list(columns))
        try:
            return self.dataset(files).to_table(columns=list(columns), filter=keep)
        except (OSError, pa.ArrowInvalid) as error:
            raise LakeError(
                f"lake table {self.root}: a data file cannot be read ({one_line(str(error))}); restore it from a copy",
                reason="lake_unreadable",
            ) from error

    def dataset(self, files: Sequence[str]) -> ds.Dataset:
        # A file system of our own: deltalake's, used through pyarrow, aborted the interpreter at exit in half the runs.
        return ds.dataset(
            list(files),
            schema=self.spec.schema,
            format="parquet",
            filesystem=pyarrow.fs.SubTreeFileSystem(str(self.root), pyarrow.fs.LocalFileSystem()),
            partitioning=ds.partitioning(pa.schema([self.spec.schema.field("date")]), flavor="hive"),
        )


class Lake:
    """An open lake. One instance a process and folder (see `open_lake`); thread-safe under `lock`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self._tables = {spec.name: _Table(root, spec) for spec in TABLES}
        self._pairs = KeyMap()  # (entry_id, entry_hash) -> known until (microseconds)
        self._attempts = KeyMap()  # entry_id -> attempts made
        self._contents = KeyMap()  # (feed_id, entry_hash) -> its last attempt, see `_packed`
        self._revisions = KeyMap()  # article_id -> newest revision
        self._texts = KeyMap()  # (article_id, text_hash) -> 1
        self._pages = KeyMap()  # (article_id, page_id) -> 1
        self._waiting: dict[str, dict[int, int]] = {}  # feed_id -> pair -> retry_at of transient failures
        self._feeds: dict[str, FeedState] = {}

    # ---- reading -------------------------------------------------------------------------------------------------

    def refresh(self, *tables: TableSchema) -> None:
        """Bring the memory to the newest version of `tables` (of all, when none is named); costs what is new."""
        load = {
            ARTICLES.name: self._load_articles,
            DEAD_LETTERS.name: self._load_dead_letters,
            POLLS.name: self._load_polls,
        }
        with self.lock:
            for spec in tables or TABLES:
                table = self._tables[spec.name]
                table.refresh()
                fresh, mixed = table.unread(table.files(), table.seen)
                if fresh or mixed:
                    # What is read twice changes nothing: the greatest value of a key holds.
                    load[spec.name](table, sorted(fresh + mixed))
                    table.seen.update(fresh, mixed)

    def _load_articles(self, table: _Table, files: Sequence[str]) -> None:
        columns = ["article_id", "revision", "text_hash", "page_id", "entry_id", "entry_hash", "attempt"]
        rows = table.read(files, [*columns, "feed_id", "committed_at"])
        articles, entries, hashes = (keys_of(rows[name]) for name in ("article_id", "entry_id", "entry_hash"))
        self._revisions.add(articles, _ints(rows["revision"]))
        self._texts.add(mix(articles, keys_of(rows["text_hash"])), 1)
        self._pages.add(mix(articles, keys_of(rows["page_id"])), 1)
        self._pairs.add(mix(entries, hashes), FOR_EVER)
        self._attempts.add(entries, _ints(rows["attempt"]))
        last = _packed(rows["attempt"], _micros(rows["committed_at"]), True)
        self._contents.add(mix(_keys_of_few(rows["feed_id"]), hashes), last)

    def _load_dead_letters(self, table: _Table, files: Sequence[str]) -> None:
        columns = ("entry_id", "entry_hash", "feed_id", "permanent", "retry_at", "attempt", "committed_at")
        rows = table.read(files, columns)
        entries, hashes = keys_of(rows["entry_id"]), keys_of(rows["entry_hash"])
        pairs = mix(entries, hashes)
        retry_at = _micros(rows["retry_at"])
        permanent = rows["permanent"].fill_null(True).to_numpy(zero_copy_only=False)
        until = np.where(permanent, FOR_EVER, retry_at)
        self._pairs.add(pairs, until)
        self._attempts.add(entries, _ints(rows["attempt"]))
        last = _packed(rows["attempt"], np.where(permanent, _micros(rows["committed_at"]), retry_at), permanent)
        self._contents.add(mix(_keys_of_few(rows["feed_id"]), hashes), last)
        for i in np.flatnonzero(~permanent):
            waiting, pair = self._waiting.setdefault(rows["feed_id"][int(i)].as_py(), {}), int(pairs[i])
            waiting[pair] = max(int(until[i]), waiting.get(pair, 0))

    def _load_polls(self, table: _Table, files: Sequence[str]) -> None:
        columns = ["feed_id", "polled_at", "etag", "last_modified", "content_hash", "state"]
        columns += ["failures_in_a_row", "next_due_at", "unmodified_since"]
        rows = table.read(files, columns).sort_by("polled_at")
        newest = {row["feed_id"]: row for row in rows.to_pylist()} if rows.num_rows < 50_000 else _newest(rows)
        for feed_id, row in newest.items():
            held = self._feeds.get(feed_id)
            polled_at = _timestamp(row["polled_at"])
            if held is None or held.polled_at is None or (polled_at is not None and held.polled_at <= polled_at):
                self._feeds[feed_id] = FeedState(
                    feed_id=feed_id,
                    etag=row["etag"],
                    last_modified=row["last_modified"],
                    content_hash=row["content_hash"],
                    state=row["state"] or "ok",
                    failures_in_a_row=row["failures_in_a_row"] or 0,
                    next_due_at=_timestamp(row["next_due_at"]),
                    polled_at=polled_at,
                    unmodified_since=_timestamp(row["unmodified_since"]),
                )

    def read(
        self,
        table: TableSchema,
        columns: Sequence[str],
        *,
        keep: Optional[ds.Expression] = None,
        days: Optional[tuple[str, str]] = None,
        files: Optional[Sequence[str]] = None,
    ) -> pa.Table:
        """Return `columns` of a table's newest version.

        Args:
            table: which table.
            columns: column names.
            keep: a pyarrow filter; None keeps all rows.
            days: first and last partition (ISO days) to look in; None looks in all.
            files: read these data files only (relative paths, as `data_files` gives them).
        """
        with self.lock:
            held = self._tables[table.name]
            if files is None:
                held.refresh()
                files = self.data_files(table, days=days)
            return held.read(files, columns, keep)

    def data_files(self, table: TableSchema, *, days: Optional[tuple[str, str]] = None) -> list[str]:
        """Return the data files of a table in the version last looked at; relative paths ``date=…/….parquet``."""
        files = self._tables[table.name].files()
        return [f for f in files if days is None or days[0] <= f[5:15] <= days[1]]

    def unread_files(
        self, table: TableSchema, seen: set[str], *, days: Optional[tuple[str, str]] = None
    ) -> Optional[list[str]]:
        """Return the data files (of the version last looked at) whose rows are not in those of `seen`.

        For memories to which reading a row twice is not harmless. A file that was folded from files of `seen` holds
        nothing new: it takes their place in `seen`. The caller adds the returned files when it has read them.

        Args:
            table: which table.
            seen: the files that were read; changed here.
            days: first and last partition (ISO days) to look in; None looks in all.

        Returns:
            None when a file was folded from files of `seen` and from others: the memory must begin afresh, with an
            empty `seen`. It happens to a process that did not look at the lake between the commit of a file by another
            process and its fold, an hour later.
        """
        fresh, mixed = self._tables[table.name].unread(self.data_files(table, days=days), seen)
        return None if mixed else fresh

    def table_upkeep(self, table: TableSchema) -> "TableUpkeep":
        """Return a view of one table for its upkeep: with a handle of its own, so that commits need not wait.

        Raises:
            LakeError: the table cannot be read.
        """
        return TableUpkeep(self.root, table)

    # ---- what the acquirer asks ----------------------------------------------------------------------------------

    def feed_states(self, feed_ids: Sequence[str]) -> Mapping[str, FeedState]:
        """Return the state of each feed that has been polled."""
        with self.lock:
            return {feed_id: self._feeds[feed_id] for feed_id in feed_ids if feed_id in self._feeds}

    def entry_attempts(self, pairs: Sequence[tuple[str, str]], now: Timestamp) -> Sequence[int]:
        """Return for each (entry_id, entry_hash) 0 when it is known, else the number of the attempt that is next.

        Known: in articles, in a permanent dead letter, waiting for its retry time, or changed too often.
        """
        with self.lock:
            entries = keys_of([entry for entry, _ in pairs])
            until = self._pairs.get(mix(entries, keys_of([entry_hash for _, entry_hash in pairs])), default=-1)
            made = self._attempts.get(entries)
            known = (until > now.micros) | (made >= MOST_ATTEMPTS_OF_AN_ENTRY)
            return np.where(known, 0, made + 1).tolist()

    def known_contents(self, feed_id: str, entry_hashes: Sequence[str]) -> Sequence[Optional[KnownContent]]:
        """Return for each `entry_hash` what is known of it within the feed, whatever the entry's id."""
        with self.lock:
            last = self._contents.get(mix(key_of(feed_id), keys_of(entry_hashes)), default=-1).tolist()
        return [_unpacked(packed) if packed >= 0 else None for packed in last]

    def attempts_made(self, entry_ids: Sequence[str]) -> Sequence[int]:
        """Return how often each entry was tried, whatever version of it; 0 for one that never was."""
        with self.lock:
            return self._attempts.get(keys_of(entry_ids)).tolist() if entry_ids else []

    def has_due_retries(self, feed_id: str, now: Timestamp) -> bool:
        """Return whether a transient failure of this feed waits to be tried again now.

        It waits no more when it was tried again, or when a good poll since its time did not list it: it has left the
        feed, and asking without validators for ever would not bring it back.
        """
        with self.lock:
            state = self._feeds.get(feed_id)
            good_poll = state.polled_at.micros if state and state.polled_at and not state.failures_in_a_row else -1
            waiting = self._waiting.get(feed_id, {})
            for pair, at in list(waiting.items()):
                if at <= now.micros and (at <= good_poll or self._pairs.get_one(pair) > at):
                    del waiting[pair]
            return any(at <= now.micros for at in waiting.values())

    # ---- what the commit asks ------------------------------------------------------------------------------------

    def known_until(self, entry_id: str, entry_hash: str) -> int:
        """Return until when (microseconds) this version of the entry is known; -1 when it has no disposition."""
        return self._pairs.get_one(int(mix(key_of(entry_id), key_of(entry_hash))), default=-1)

    def has_disposition(self, entry_ids: Sequence[str], entry_hashes: Sequence[str]) -> np.ndarray:
        """Return for each version of an entry whether it is in articles or dead_letters (bool)."""
        return self._pairs.holds(mix(keys_of(entry_ids), keys_of(entry_hashes)))

    def revision(self, article_id: str) -> int:
        """Return the newest revision of an article; 0 when there is none."""
        return self._revisions.get_one(key_of(article_id))

    def has_text(self, article_id: str, text_hash: str) -> bool:
        """Return whether some revision of the article has this text."""
        return self._texts.get_one(int(mix(key_of(article_id), key_of(text_hash)))) > 0

    def has_page(self, article_id: str, page_id: str) -> bool:
        """Return whether some revision of the article came from this page."""
        return self._pages.get_one(int(mix(key_of(article_id), key_of(page_id)))) > 0

    def count_articles(self) -> int:
        """Return how many articles (not revisions) the lake holds."""
        return len(self._revisions)

    def has_entries(self, entry_ids: Sequence[str]) -> np.ndarray:
        """Return for each entry whether any version of it is in articles or dead_letters (bool)."""
        return self._attempts.holds(keys_of(entry_ids))

    # ---- writing -------------------------------------------------------------------------------------------------

    def append(self, table: TableSchema, rows: Sequence[Mapping[str, Any]], *, committed_at: Timestamp) -> str:
        """Write `rows` to one data file and commit it on the version last looked at; return the file's path.

        Raises:
            OutrunError: another newsbeam committed to this table since `refresh`; nothing was written.
            LakeError: the disk is full, or the folder cannot be written; nothing was written.
        """
        held = self._tables[table.name]
        day = committed_at.to_utc_datetime(has_tz=True).date().isoformat()
        path = f"date={day}/{uuid.uuid4().hex}.parquet"
        with self._unwritten_on_error(held.root / path):
            data = pa.Table.from_pylist([dict(row) for row in rows], schema=table.file_schema)
            size = _write_file(held.root / path, data)
            on_point(f"data_file:{table.name}")
            action = AddAction(
                path=path,
                size=size,
                partition_values={"date": day},
                modification_time=committed_at.micros // 1000,
                data_change=True,
                stats=_stats(data.num_rows, table.key[0], *_range(data[table.key[0]])),
            )
            on_point(f"before_commit:{table.name}")
            held.handle.create_write_transaction(
                [action],
                "append",
                table.schema,
                partition_by=["date"],
                commit_properties=deltalake.CommitProperties(
                    app_transactions=[deltalake.Transaction(APP_ID, held.handle.version() + 1)]
                ),
            )
        on_point(f"after_commit:{table.name}")
        return path

    @contextlib.contextmanager
    def _unwritten_on_error(self, file: Path) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as error:
            message = str(error)
            if isinstance(error, DeltaError) and ("oncurrent" in message or isinstance(error, CommitFailedError)):
                _remove(file)
                raise OutrunError(message) from error
            full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in message
            if not isinstance(error, DeltaError):
                _remove(file)  # a failed log write may have landed all the same: then the file is needed
            raise LakeError(
                f"lake {self.root}: the disk is full; free some space and run again (nothing committed was touched)"
                if full
                else f"lake {self.root} cannot be written ({one_line(message)}); check the folder and run again",
                reason="lake_full" if full else "lake_unwritable",
            ) from error


class TableUpkeep:
    """One table, as upkeep sees and changes it: which files there are, and that some become one.

    Nothing here takes the lake's lock or touches the memory; the process's own commits meet it as they would meet
    another process.
    """

    def __init__(self, root: Path, spec: TableSchema) -> None:
        self.spec = spec
        with self._readable(root / spec.name):
            self._table = _Table(root, spec)
        self.root = self._table.root

    def files(self) -> Sequence[DataFile]:
        """Return the data files of the version this view was opened on, or folded to."""
        with self._readable(self.root):
            held = pa.table(self._table.handle.get_add_actions(flatten=True))
        columns = (held[name].to_pylist() for name in ("path", "size_bytes", "modification_time"))
        return [DataFile(path, size, at / 1000) for path, size, at in zip(*columns, strict=True)]

    def new_path(self, day: str) -> str:
        """Return a path for a folded file of a partition; never the same twice."""
        return f"date={day}/{_FOLDED_PREFIX}{uuid.uuid4().hex}.parquet"

    def footer(self, sources: Sequence[DataFile]) -> Mapping[bytes, bytes]:
        """Return what the footer of a file folded from `sources` must hold, for those who have read these."""
        return {_FOLDED_FROM: json.dumps([f.path.rpartition("/")[2] for f in sources]).encode("ascii")}

    def replace(
        self,
        sources: Sequence[DataFile],
        path: str,
        *,
        size_bytes: int,
        rows: int,
        key_range: tuple[str, str],
        now: float,
    ) -> bool:
        """Commit that the file at `path` stands for `sources` from now on, in one transaction that changes no row.

        Args:
            sources: data files of one partition.
            path: a file with exactly their rows, written and flushed.
            size_bytes: its size.
            rows: how many rows it has.
            key_range: least and greatest value of the first column of the table's key.
            now: Unix seconds; the sources are kept for `KEPT_HOURS` from then.

        Returns:
            False when others were faster: a source is gone, or each try was outrun. Nothing was changed then.

        Raises:
            LakeError: the table cannot be read or written.
        """
        day = sources[0].day
        add = AddAction(
            path=path,
            size=size_bytes,
            partition_values={"date": day},
            modification_time=int(max(f.committed_at for f in sources) * 1000),
            data_change=False,
            stats=_stats(rows, self.spec.key[0], *key_range),
        )
        removes = [RemoveAction(f.path, False, int(now * 1000), f.size_bytes, {"date": day}) for f in sources]
        with self._readable(self.root):
            for _ in range(_FOLD_TRIES):
                self._table.refresh()
                self._table.check_schema_version()
                if path in self._table.files():
                    return True  # a try that was reported as failed had landed
                if not {f.path for f in sources} <= set(self._table.files()):
                    return False
                try:
                    self._table.handle.create_write_transaction(
                        [add, *removes],
                        "append",
                        self.spec.schema,
                        partition_by=["date"],
                        commit_properties=deltalake.CommitProperties(max_commit_retries=0),
                    )
                except CommitFailedError:
                    continue
                self._table.refresh()
                return True
            self._table.refresh()
            return path in self._table.files()

    def vacuum(self) -> int:
        """Remove files that no version needs and that were replaced, or left by a killed writer, `KEPT_HOURS` ago.

        Returns:
            How many files were removed.

        Raises:
            LakeError: the table cannot be read or written.
        """
        with self._readable(self.root):
            self._table.refresh()
            # What is asked first is answered without a commit; it goes on naming files that were removed before.
            due = [f for f in self._table.handle.vacuum(dry_run=True, full=True) if (self.root / f).exists()]
            if due:
                self._table.handle.vacuum(dry_run=False, full=True)
            return len(due)

    @staticmethod
    @contextlib.contextmanager
    def _readable(root: Path) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as error:
            raise LakeError(
                f"lake table {root} cannot be folded ({one_line(str(error))}); its rows are as they were",
                reason="lake_upkeep",
            ) from error


def _write_file(file: Path, data: pa.Table) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as sink:
        pq.write_table(data, sink, compression="zstd", compression_level=3, row_group_size=10_000)
        sink.flush()
        os.fsync(sink.fileno())
        return sink.tell()


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)


def _stats(rows: int, key: str, least: str, greatest: str) -> str:
    """Return Delta's statistics of a file: its rows, and the range of its key for readers that skip files."""
    return json.dumps({"numRecords": rows, "minValues": {key: least}, "maxValues": {key: greatest}})


def _range(keys: pa.ChunkedArray) -> tuple[str, str]:
    values = keys.to_pylist()
    return min(values), max(values)


def _ints(column: pa.ChunkedArray) -> np.ndarray:
    return column.fill_null(0).to_numpy().astype(np.int64)


def _micros(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.int64()).fill_null(FOR_EVER).to_numpy()


def _keys_of_few(column: pa.ChunkedArray) -> np.ndarray:
    """Return the keys of a column of ids in which the same few come again and again."""
    encoded = column.fill_null("").combine_chunks().dictionary_encode()
    return keys_of(encoded.dictionary)[encoded.indices.to_numpy()]


def _packed(attempts: pa.ChunkedArray, at_micros: np.ndarray, is_final: Any) -> np.ndarray:
    """Return `KnownContent` as integers of which the greatest is the latest: 16 bytes a content with its key."""
    made = np.minimum(_ints(attempts), _MOST_PACKED_ATTEMPTS)
    return (at_micros // 1_000_000 << 9) | (np.asarray(is_final, dtype=np.int64) << 8) | made


def _unpacked(packed: int) -> KnownContent:
    return KnownContent(packed & _MOST_PACKED_ATTEMPTS, packed >> 9, bool(packed >> 8 & 1))


def _newest(rows: pa.Table) -> dict[str, dict[str, Any]]:
    """Return the last row of each feed, without making Python objects of all of them."""
    feed_ids = rows["feed_id"].to_pylist()
    last = {feed_id: i for i, feed_id in enumerate(feed_ids)}
    return {row["feed_id"]: row for row in rows.take(list(last.values())).to_pylist()}


def _timestamp(value: Optional[datetime]) -> Optional[Timestamp]:
    return None if value is None else Timestamp.from_utc_datetime(value.astimezone(UTC))


def arrow_dataset(uri: str, table: str) -> ds.Dataset:
    """Return the newest version of a table as an Arrow dataset: how a program of your own reads the lake.

    DuckDB, Polars and pandas read it with filters pushed down to the files, and need no extension for it.

    Args:
        uri: the lake's folder.
        table: articles, dead_letters or polls.

    Raises:
        LakeError: there is no such table.
    """
    lake = open_lake(uri, create=False)
    if table not in lake._tables:
        raise LakeError(
            f"lake {uri} has no table {table!r}; its tables are {', '.join(lake._tables)}", reason="no_table"
        )
    with lake.lock:
        return lake._tables[table].dataset(lake._tables[table].files())


_open: dict[Path, Lake] = {}
_open_lock = threading.Lock()


def open_lake(uri: str, *, create: bool = True) -> Lake:
    """Return the lake at `uri` (a local folder), the same object for the same folder within a process.

    Args:
        uri: a path, or ``file://`` and a path.
        create: make the lake where the folder is missing or empty.

    Raises:
        LakeError: the folder holds something else, the lake is of a newer schema, or it cannot be read or written.
    """
    path = uri.removeprefix("file://")
    if "://" in path:
        raise LakeError(
            f"lake {one_line(uri)}: only local folders can hold a lake so far; give a path", reason="lake_unsupported"
        )
    root = Path(path).absolute()
    with _open_lock:
        lake = _open.get(root)
        if lake is None or not (root / ARTICLES.name).exists():
            lake = _open[root] = _open_or_create(root, create)
    lake.refresh()
    return lake


def _open_or_create(root: Path, create: bool) -> Lake:
    try:
        if root.exists() and not root.is_dir():
            raise LakeError(f"lake {root} is a file; give a folder", reason="not_a_lake")
        here = {p.name for p in root.iterdir()} if root.exists() else set()
        if here and not here & {spec.name for spec in TABLES}:
            raise LakeError(
                f"{root} is not a lake: it holds {sorted(here)[0]!r} but no table of newsbeam; "
                "give an empty or a new folder",
                reason="not_a_lake",
            )
        if create:
            for spec in TABLES:
                _create_table(root, spec)
        elif not here:
            raise LakeError(f"there is no lake at {root}; run `newsbeam ingest` first", reason="no_lake")
        lake = Lake(root)
        for table in lake._tables.values() if create else ():
            table.grow()
    except TableNotFoundError as error:
        raise LakeError(
            f"{root} is not a whole lake ({one_line(str(error))}); give an empty folder or restore it",
            reason="not_a_lake",
        ) from error
    except (DeltaError, OSError) as error:
        raise LakeError(
            f"lake {root} cannot be opened ({one_line(str(error))}); check the folder and its rights",
            reason="lake_unreadable",
        ) from error
    return lake


def _create_table(root: Path, spec: TableSchema) -> None:
    folder = root / spec.name
    if (folder / "_delta_log").exists() and deltalake.DeltaTable.is_deltatable(str(folder)):
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        deltalake.DeltaTable.create(
            str(folder),
            spec.schema,
            mode="ignore",
            partition_by=["date"],
            name=f"newsbeam.{spec.name}",
            description=spec.description,
            configuration=dict(_CONFIGURATION),
            raise_if_key_not_exists=False,
        )
    except DeltaError:
        # Another process may have created it at the same moment; if it is there, that is what was wanted.
        if not deltalake.DeltaTable.is_deltatable(str(folder)):
            raise
