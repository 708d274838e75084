"""One Delta table of a lake: its log, its data files, and its upkeep. A room of lake.

Decisions:
    A folded file (see upkeep.py) names in its footer the files it was made of. Who has read those has read it, and
    opens no more than the footer. The names go down one step only; what was folded again is followed through the
    footers of files that lie in the folder until they are vacuumed.

    A rewritten file (see `TableUpkeep.replace`) has the same rows with other texts: it names its sources likewise, but
    a memory that holds them must read it. What cannot take a row twice begins afresh then.

    A fold commits on exactly the version it looked at, without deltalake's own retries: those let two folds of the same
    files through, and every row was there twice (measured with 1.6.6). It names no application id, so that it never
    outruns a writer of rows.

Limits: a file that no version names is removed when it has lain for `KEPT_HOURS`: a writer that is suspended for longer
between its data file and its commit would commit a lost file.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import deltalake
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from transforms.errors import LakeError, one_line
from transforms.schemas import SCHEMA_VERSION, TableSchema

APP_ID = "newsbeam"
KEPT_HOURS = 24  # replaced files stay as long for whoever reads an older version; their names weigh on checkpoints

_FOLD_TRIES = 10  # beside a writer that commits without a pause about every second try is outrun
_FOLDED_FROM = b"newsbeam.folded_from"
_FOLDED_PREFIX, _REWRITTEN_PREFIX = "fold-", "rewrite-"
_SCHEMA_PROPERTY = "newsbeam.schemaVersion"
_CONFIGURATION = {
    # Opening with a checkpoint each 50 commits stays near 40 ms where the bare log takes 400 ms at 1,000 commits.
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.enableExpiredLogCleanup": "true",
    "delta.deletedFileRetentionDuration": f"interval {KEPT_HOURS} hours",
    _SCHEMA_PROPERTY: str(SCHEMA_VERSION),
}


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
    return path.rpartition("/")[2].startswith((_FOLDED_PREFIX, _REWRITTEN_PREFIX))


class Table:
    """One Delta table: the handle decisions are made on, and the files the memory has read.

    Args:
        root: the lake's folder.
        spec: which table.

    Raises:
        LakeError: it is of a newer schema.
    """

    def __init__(self, root: Path, spec: TableSchema) -> None:
        self.root, self.spec = root / spec.name, spec
        self.handle = deltalake.DeltaTable(str(self.root))
        self.seen: set[str] = set()
        self._is_grown = False
        self._files: tuple[int, list[str]] = (-1, [])
        self.check_schema_version()

    def check_schema_version(self) -> None:
        """Raise LakeError when a newer newsbeam has written the table."""
        version = self._schema_version()
        if version > SCHEMA_VERSION:
            raise LakeError(
                f"lake {self.root.parent} has schema version {version}, this newsbeam knows {SCHEMA_VERSION}: "
                "upgrade newsbeam",
                reason="lake_newer_schema",
            )

    def _schema_version(self) -> int:
        return int(self.handle.metadata().configuration.get(_SCHEMA_PROPERTY, "0"))

    def grow(self) -> bool:
        """Add the columns that the table lacks because an older newsbeam made it; return whether there were any.

        The handle stands on a newer version then, which may hold rows of others.
        """
        if self._is_grown or self._schema_version() >= SCHEMA_VERSION:
            self._is_grown = True
            return False
        held = {field.name for field in self.handle.schema().fields}
        wanted = deltalake.Schema.from_arrow(self.spec.schema).fields
        if missing := [field for field in wanted if field.name not in held]:
            self.handle.alter.add_columns(missing)
        # Last: a growth that broke off in between is finished by the next writer.
        self.handle.alter.set_table_properties({_SCHEMA_PROPERTY: str(SCHEMA_VERSION)}, raise_if_not_exists=False)
        return True

    def refresh(self) -> None:
        """Look at the newest version; LakeError when it cannot be read."""
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

    def fence(self) -> deltalake.Transaction:
        """Return what a commit on the version of the handle names, so that it meets no other such commit."""
        return deltalake.Transaction(APP_ID, self.handle.version() + 1)

    def files(self) -> list[str]:
        """Return the data files of the version last looked at; relative paths."""
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
        is_rewritten = file.rpartition("/")[2].startswith(_REWRITTEN_PREFIX)
        return set().union(*(held for held, _ in parts)), is_rewritten or any(lacks for _, lacks in parts)

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
        """Return `files` as an Arrow dataset."""
        # A file system of our own: deltalake's, used through pyarrow, aborted the interpreter at exit in half the runs.
        return ds.dataset(
            list(files),
            schema=self.spec.schema,
            format="parquet",
            filesystem=pyarrow.fs.SubTreeFileSystem(str(self.root), pyarrow.fs.LocalFileSystem()),
            partitioning=ds.partitioning(pa.schema([self.spec.schema.field("date")]), flavor="hive"),
        )


class TableUpkeep:
    """One table, as upkeep sees and changes it: which files there are, and that some become one.

    Nothing here takes the lake's lock or touches the memory; the process's own commits meet it as they would meet
    another process.
    """

    def __init__(self, root: Path, spec: TableSchema) -> None:
        self.spec = spec
        with self._readable(root / spec.name):
            self._table = Table(root, spec)
        self.root = self._table.root

    def files(self) -> Sequence[DataFile]:
        """Return the data files of the version this view was opened on, or folded to."""
        with self._readable(self.root):
            held = pa.table(self._table.handle.get_add_actions(flatten=True))
        columns = (held[name].to_pylist() for name in ("path", "size_bytes", "modification_time"))
        return [DataFile(path, size, at / 1000) for path, size, at in zip(*columns, strict=True)]

    def new_path(self, day: str, *, is_rewritten: bool = False) -> str:
        """Return a path for a folded or rewritten file of a partition; never the same twice."""
        return f"date={day}/{_REWRITTEN_PREFIX if is_rewritten else _FOLDED_PREFIX}{uuid.uuid4().hex}.parquet"

    def footer(self, sources: Sequence[DataFile]) -> Mapping[bytes, bytes]:
        """Return what the footer of a file made of `sources` must hold, for those who have read these."""
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
        is_rewritten: bool = False,
    ) -> bool:
        """Commit that the file at `path` stands for `sources` from now on, in one transaction.

        Args:
            sources: data files of one partition.
            path: a file with exactly their rows, written and flushed.
            size_bytes: its size.
            rows: how many rows it has.
            key_range: least and greatest value of the first column of the table's key.
            now: Unix seconds; the sources are kept for `KEPT_HOURS` from then.
            is_rewritten: its rows have the same keys, but other values. Who decides on the older version meanwhile
                is refused and decides again, as beside any writer of rows.

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
            data_change=is_rewritten,
            stats=stats_of(rows, self.spec.key[0], *key_range),
        )
        removes = [RemoveAction(f.path, is_rewritten, int(now * 1000), f.size_bytes, {"date": day}) for f in sources]
        with self._readable(self.root):
            self._table.grow()
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
                        commit_properties=deltalake.CommitProperties(
                            max_commit_retries=0, app_transactions=[self._table.fence()] if is_rewritten else None
                        ),
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
                f"lake table {root} cannot be read or written ({one_line(str(error))}); its rows are as they were",
                reason="lake_upkeep",
            ) from error


class TableView:
    """One table as a reader sees it who looks at it again and again: a handle of its own, no lock, no memory.

    Args:
        uri: the lake's folder.
        spec: which table; it need not be there yet.

    Raises:
        LakeError: the lake is no local folder.
    """

    def __init__(self, uri: str, spec: TableSchema) -> None:
        self._root, self._spec = folder_of(uri), spec
        self._table: Optional[Table] = None

    def version(self) -> int:
        """Look at the table and return its newest version; -1 while there is none. Costs a listing where none is new.

        Raises:
            LakeError: the table cannot be read.
        """
        if self._table is None and not (self._root / self._spec.name / "_delta_log").exists():
            return -1
        try:
            if self._table is None:
                self._table = Table(self._root, self._spec)
            else:
                self._table.refresh()
            return int(self._table.handle.version())
        except (DeltaError, OSError) as error:
            raise LakeError(
                f"lake table {self._root / self._spec.name} cannot be read ({one_line(str(error))})",
                reason="lake_unreadable",
            ) from error

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return `columns` of the version last looked at; no rows while there is no table.

        Raises:
            LakeError: a data file cannot be read.
        """
        if self._table is None:
            return self._spec.schema.empty_table().select(list(columns))
        return self._table.read(self._table.files(), columns)


def folder_of(uri: str) -> Path:
    """Return the folder that a lake's address names; LakeError when it is no local one."""
    path = uri.removeprefix("file://")
    if "://" in path:
        raise LakeError(
            f"lake {one_line(uri)}: only local folders can hold a lake so far; give a path", reason="lake_unsupported"
        )
    return Path(path).absolute()


def create_table(root: Path, spec: TableSchema) -> None:
    """Make the table in the lake at `root` unless it is there; DeltaError, OSError when it cannot be."""
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


def write_file(file: Path, data: pa.Table) -> int:
    """Write `data` to a file that is not there yet, and flush it to disk; return its bytes."""
    file.parent.mkdir(exist_ok=True)  # the day's folder alone: a lake that has gone away is not made anew
    with file.open("wb") as sink:
        pq.write_table(data, sink, compression="zstd", compression_level=3, row_group_size=10_000)
        sink.flush()
        os.fsync(sink.fileno())
        return sink.tell()


def stats_of(rows: int, key: str, least: str, greatest: str) -> str:
    """Return Delta's statistics of a file: its rows, and the range of its key for readers that skip files."""
    return json.dumps({"numRecords": rows, "minValues": {key: least}, "maxValues": {key: greatest}})
