"""The lake: Delta tables on a local folder, and the process's memory of what they hold.

It and lake_table.py are the only users of deltalake.

Decisions:
    The table log gives atomic commits and a fence. Delta refuses a writer whose view is stale only when both writers
    name the same application id, so every commit names `APP_ID` and goes through the `DeltaTable` it was decided on:
    the later one fails, looks again and decides again (measured: with different ids both succeed).

    A data file is written and flushed to disk before the log names it; its name is random and never used again, so a
    crash leaves at most a file that no reader sees.

    The memory holds keys only (see key_map.py): which entries have a disposition, how often they were tried, the
    newest revision of each article and the texts it has had, the newest poll of each feed. It is read from the files
    that are new since the last look and can be rebuilt at any time.

Limits: local folders; memory of about 96 bytes an article, 16 of them for its content (looked up in 2 us).
"""

import contextlib
import errno
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Optional

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from apache_beam.utils.timestamp import Timestamp
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from transforms.errors import LakeError, one_line
from transforms.key_map import KeyMap, key_of, keys_of, mix
from transforms.lake_table import Table, TableUpkeep, create_table, folder_of, stats_of, write_file
from transforms.records import FeedState, KnownContent
from transforms.schemas import ALL_TABLES, ARTICLES, DEAD_LETTERS, POLLS, SCHEMA_VERSION, TABLES, TableSchema

FOR_EVER = (1 << 63) - 1  # "known until": an entry that is never tried again in this version
MOST_ATTEMPTS_OF_AN_ENTRY = 24  # an entry whose content changes each time holds the time of day (lemon24/reader#225)

_MOST_PACKED_ATTEMPTS = 255

on_point: Callable[[str], None] = lambda name: None  # noqa: E731 - replaced by tests that kill the process at a point


class OutrunError(Exception):
    """Another writer committed first: look again and decide again."""


class Lake:
    """An open lake. One instance a process and folder (see `open_lake`); thread-safe under `lock`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self._tables = {spec.name: Table(root, spec) for spec in TABLES}
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

    def _load_articles(self, table: Table, files: Sequence[str]) -> None:
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

    def _load_dead_letters(self, table: Table, files: Sequence[str]) -> None:
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

    def _load_polls(self, table: Table, files: Sequence[str]) -> None:
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
            held = self._table(table)
            if files is None:
                held.refresh()
                files = self.data_files(table, days=days)
            return held.read(files, columns, keep)

    def batches(
        self, table: TableSchema, columns: Sequence[str], files: Sequence[str], *, keep: Optional[ds.Expression] = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield `columns` of `files` (relative paths) in small batches, whatever the size of a file.

        Raises:
            LakeError: a data file cannot be read.
        """
        held = self._table(table)
        try:
            yield from held.dataset(files).to_batches(
                columns=list(columns), filter=keep, batch_size=1_000, batch_readahead=1, fragment_readahead=1
            )
        except (OSError, pa.ArrowInvalid) as error:
            raise LakeError(
                f"lake table {held.root}: a data file cannot be read ({one_line(str(error))}); restore it from a copy",
                reason="lake_unreadable",
            ) from error

    def _table(self, spec: TableSchema) -> Table:
        """Return a table; one that is made when it is first written (site_lines) is opened when it is first needed."""
        held = self._tables.get(spec.name)
        if held is None:
            held = self._tables[spec.name] = Table(self.root, spec)
        return held

    def data_files(self, table: TableSchema, *, days: Optional[tuple[str, str]] = None) -> list[str]:
        """Return the data files of a table in the version last looked at; relative paths ``date=…/….parquet``."""
        files = self._table(table).files()
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
            if held.grow():
                raise OutrunError(f"{table.name} has got the columns of schema version {SCHEMA_VERSION}")
            action = self._written(held, path, rows, committed_at)
            on_point(f"data_file:{table.name}")
            on_point(f"before_commit:{table.name}")
            held.handle.create_write_transaction(
                [action],
                "append",
                table.schema,
                partition_by=["date"],
                commit_properties=deltalake.CommitProperties(app_transactions=[held.fence()]),
            )
        on_point(f"after_commit:{table.name}")
        return path

    def replace_rows(self, table: TableSchema, rows: Sequence[Mapping[str, Any]], *, committed_at: Timestamp) -> None:
        """Make `rows` all that a table holds, in one transaction; the table is made where it is missing.

        For tables that hold what was learned, never for those that remember what came.

        Raises:
            OutrunError: another newsbeam wrote to this table meanwhile; nothing was changed.
            LakeError: the disk is full, or the folder cannot be written; nothing was changed.
        """
        with self.lock:
            path = f"date={committed_at.to_utc_datetime(has_tz=True).date().isoformat()}/{uuid.uuid4().hex}.parquet"
            with self._unwritten_on_error(self.root / table.name / path):
                create_table(self.root, table)
                held = self._table(table)
                held.refresh()
                if held.grow():
                    raise OutrunError(f"{table.name} has got the columns of schema version {SCHEMA_VERSION}")
                old = pa.table(held.handle.get_add_actions(flatten=True)).select(["path", "size_bytes"]).to_pylist()
                removes = [
                    RemoveAction(
                        f["path"], True, committed_at.micros // 1000, f["size_bytes"], {"date": f["path"][5:15]}
                    )
                    for f in old
                ]
                adds = [self._written(held, path, rows, committed_at)] if rows else []
                on_point(f"before_commit:{table.name}")
                if adds or removes:
                    held.handle.create_write_transaction(
                        [*adds, *removes],
                        "append",
                        table.schema,
                        partition_by=["date"],
                        commit_properties=deltalake.CommitProperties(
                            max_commit_retries=0, app_transactions=[held.fence()]
                        ),
                    )

    @staticmethod
    def _written(held: Table, path: str, rows: Sequence[Mapping[str, Any]], committed_at: Timestamp) -> AddAction:
        """Write `rows` to a data file and return the action that adds it."""
        data = pa.Table.from_pylist([dict(row) for row in rows], schema=held.spec.file_schema)
        return AddAction(
            path=path,
            size=write_file(held.root / path, data),
            partition_values={"date": path[5:15]},
            modification_time=committed_at.micros // 1000,
            data_change=True,
            stats=stats_of(data.num_rows, held.spec.key[0], *_range(data[held.spec.key[0]])),
        )

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


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)


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
        table: articles, dead_letters, polls or site_lines (which is there when `newsbeam learn` has run).

    Raises:
        LakeError: there is no such table.
    """
    lake = open_lake(uri, create=False)
    here = {spec.name: spec for spec in ALL_TABLES if (lake.root / spec.name / "_delta_log").exists()}
    if table not in here:
        raise LakeError(f"lake {uri} has no table {table!r}; its tables are {', '.join(here)}", reason="no_table")
    with lake.lock:
        held = lake._table(here[table])
        held.refresh()
        return held.dataset(held.files())


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
    root = folder_of(uri)
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
                create_table(root, spec)
        elif not here:
            raise LakeError(f"there is no lake at {root}; run `newsbeam ingest` first", reason="no_lake")
        return Lake(root)
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
