"""Upkeep: a lake that is written to every few seconds stays as fast as a young one.

A commit costs about a file, and deltalake looks at every file of a table at each commit (measured: 25 ms with 100
files, 70 ms with 1,500). So the small files of closed hours are folded into one, those of a closed day into one again,
and what was replaced, or left behind by a killed writer, is removed a day later.

Decisions:
    A fold changes no row: the files of one partition are copied row by row into one, in the order of their commits,
    under the same schema, and one Delta transaction with `dataChange` false exchanges them. `DeltaTable.optimize` is
    not used: it writes with another Parquet writer (the columns' descriptions are lost), takes no list of files, and
    leaves no trace by which a process can tell that it knows the rows of the new file.

    Nothing takes the lake's lock: upkeep works on a handle of its own and meets the process's commits as it would meet
    another process. A commit that meets a fold goes through; a fold that meets a commit tries again, and one that finds
    its files gone gives up.

    A step is bounded by files and bytes, so that it takes about a second, and the largest group goes first: that is
    where a step saves most. New files are folded before folded ones, so that a row is copied about three times in all.

    Checkpoints and the clean-up of the log need nothing here: deltalake makes them with the commits (tests/test_lake.py
    holds it to that).

Limits: one fold reads at most `MOST_BYTES` of Parquet and holds one row group of it in memory.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms import lake as lake_module
from transforms.errors import LakeError, one_line
from transforms.lake import Lake
from transforms.lake_table import DataFile, TableUpkeep
from transforms.schemas import TABLES, TableSchema

HOUR_SECONDS, DAY_SECONDS = 3_600, 86_400
MOST_FILES = 150  # a file of one commit (46 columns) is copied in 6 ms of CPU
MOST_BYTES = 128 << 20  # of Parquet; an article takes 2 to 5 kB of it
WHOLE_BYTES = MOST_BYTES // 2  # from here on a file is large enough for any reader, and two smaller ones fit a fold
ROW_GROUP_ROWS, ROW_GROUP_BYTES = 10_000, 64 << 20
VACUUM_EVERY_SECONDS = 6 * HOUR_SECONDS


@dataclass(frozen=True)
class FoldResult:
    """What a fold did: how many files became how many, how often others were faster, and whether more is left."""

    folded_files: int = 0
    written_files: int = 0
    outrun: int = 0
    more: bool = False


@dataclass(frozen=True)
class UpkeepResult:
    """What one step of upkeep did; `error` is None or one line that says why it ended early."""

    folded_files: int = 0
    written_files: int = 0
    removed_files: int = 0
    outrun: int = 0
    more: bool = False
    seconds: float = 0.0
    error: Optional[str] = None


def next_fold(
    files: Sequence[DataFile],
    *,
    now: float,
    older_than_hours: float = 1.0,
    most_files: int = MOST_FILES,
    most_bytes: int = MOST_BYTES,
) -> Sequence[DataFile]:
    """Return the files of a table to fold into one next, in the order of their commits; empty when there is nothing.

    A group is what one closed hour holds, or all of a closed day: closed when it is over and its newest rows were
    committed more than `older_than_hours` ago. The group with the most files is taken.

    Args:
        files: all data files of the table.
        now: Unix seconds.
        older_than_hours: how old the newest rows must be.
        most_files: at most as many, at least 2.
        most_bytes: at most as many; a file of half of it or more is left alone.
    """
    groups: dict[tuple[str, int], list[DataFile]] = {}
    for file in files:
        day_ends = int(file.committed_at) // DAY_SECONDS * DAY_SECONDS + DAY_SECONDS
        hour = -1 if day_ends + older_than_hours * HOUR_SECONDS <= now else int(file.committed_at) // HOUR_SECONDS
        groups.setdefault((file.day, hour), []).append(file)
    best: list[DataFile] = []
    for (_, hour), group in sorted(groups.items()):
        newest = max(file.committed_at for file in group)
        if newest + older_than_hours * HOUR_SECONDS > now or (hour + 1) * HOUR_SECONDS > now:
            continue
        chosen = _chosen(group, most_files, most_bytes)
        if len(chosen) > max(1, len(best)):
            best = chosen
    return best


def _chosen(group: Sequence[DataFile], most_files: int, most_bytes: int) -> list[DataFile]:
    small = [file for file in group if file.size_bytes < most_bytes // 2]
    unfolded = [file for file in small if not file.is_folded]
    chosen: list[DataFile] = []
    size = 0
    for file in sorted(unfolded if len(unfolded) > 1 else small, key=lambda f: (f.committed_at, f.path)):
        size += file.size_bytes
        if size > most_bytes or len(chosen) == most_files:
            break
        chosen.append(file)
    return chosen


def fold(
    lake: Lake,
    *,
    now: float,
    older_than_hours: float = 1.0,
    most_files: int = MOST_FILES,
    deadline_seconds: Optional[float] = None,
    tables: Sequence[TableSchema] = TABLES,
) -> FoldResult:
    """Fold the data files of closed hours and days; no row changes, and a second call finds nothing to do.

    Safe beside writers and other folds, in this process and in others.

    Args:
        lake: an open lake; its lock is not taken.
        now: Unix seconds.
        older_than_hours: how old the newest rows of an hour must be.
        most_files: into one file go at most as many.
        deadline_seconds: begin no second file after that; None goes on until nothing is left.
        tables: which tables.

    Raises:
        LakeError: a table cannot be read or written; it is as it was.
    """
    ends = None if deadline_seconds is None else time.monotonic() + deadline_seconds
    folded = written = outrun = 0
    more = False
    for table in tables:
        view = lake.table_upkeep(table)
        while True:
            sources = next_fold(view.files(), now=now, older_than_hours=older_than_hours, most_files=most_files)
            if not sources:
                break
            if ends is not None and written + outrun > 0 and time.monotonic() >= ends:
                more = True
                break
            if not _replace_files(view, sources, now):
                outrun += 1
                break
            folded, written = folded + len(sources), written + 1
    return FoldResult(folded, written, outrun, more)


def rewrite(
    lake: Lake, table: TableSchema, sources: Sequence[DataFile], change: Callable[[pa.Table], pa.Table], *, now: float
) -> bool:
    """Rewrite the rows of data files with other values, into one file and in one transaction.

    Safe beside writers and folds: whoever decides on the older version meanwhile is refused and decides again, and
    readers find all of the old rows or all of the new. Killed at any point, the table is as before or as after.

    Args:
        lake: an open lake; its lock is not taken.
        table: which table.
        sources: data files of one partition, in the order of their commits.
        change: is given the rows in parts of at most 10,000 and returns as many, under the same keys and schema.
        now: Unix seconds.

    Returns:
        False when one of the files is gone (folded, or rewritten by another); nothing was changed then.

    Raises:
        LakeError: the table cannot be read or written; it is as it was.
    """
    return _replace_files(lake.table_upkeep(table), sources, now, change)


def _replace_files(
    view: TableUpkeep,
    sources: Sequence[DataFile],
    now: float,
    change: Optional[Callable[[pa.Table], pa.Table]] = None,
) -> bool:
    what = "fold" if change is None else "rewrite"
    path = view.new_path(sources[0].day, is_rewritten=change is not None)
    file = view.root / path
    try:
        size, rows, key_range = _copy_rows(view, sources, file, change)
    except (OSError, pa.ArrowException, LakeError) as error:
        file.unlink(missing_ok=True)
        if isinstance(error, LakeError):
            raise
        raise LakeError(
            f"lake table {view.root}: {len(sources)} files of {sources[0].day} cannot be copied ({what}) "
            f"({one_line(str(error))}); its rows are as they were",
            reason="lake_upkeep",
        ) from error
    lake_module.on_point(f"before_{what}:{view.spec.name}")
    is_rewritten = change is not None
    if not view.replace(
        sources, path, size_bytes=size, rows=rows, key_range=key_range, now=now, is_rewritten=is_rewritten
    ):
        file.unlink(missing_ok=True)
        return False
    lake_module.on_point(f"after_{what}:{view.spec.name}")
    return True


def _copy_rows(
    view: TableUpkeep,
    sources: Sequence[DataFile],
    file: Path,
    change: Optional[Callable[[pa.Table], pa.Table]],
) -> tuple[int, int, tuple[str, str]]:
    """Write the rows of `sources` to `file`; return its size, its rows and the range of the key's first column."""
    schema, key = view.spec.file_schema, view.spec.key[0]
    held: list[pa.Table] = []
    rows = held_rows = held_bytes = 0
    least, greatest = [], []
    # `lake.append` writes so; a folded file should differ from its sources in its length alone.
    with (
        file.open("wb") as sink,
        pq.ParquetWriter(sink, schema, compression="zstd", compression_level=3) as writer,
    ):
        for source in sources:
            with pq.ParquetFile(view.root / source.path) as parquet:
                for batch in parquet.iter_batches(ROW_GROUP_ROWS):
                    part = _in_schema(pa.Table.from_batches([batch]), schema, view.root / source.path)
                    part = part if change is None else change(part)
                    ends = pc.min_max(part[key]).as_py()
                    least.append(ends["min"])
                    greatest.append(ends["max"])
                    rows += part.num_rows
                    held.append(part)
                    held_rows, held_bytes = held_rows + part.num_rows, held_bytes + part.nbytes
                    if held_rows >= ROW_GROUP_ROWS or held_bytes > ROW_GROUP_BYTES:
                        writer.write_table(pa.concat_tables(held), row_group_size=ROW_GROUP_ROWS)
                        held, held_rows, held_bytes = [], 0, 0
        if held:
            writer.write_table(pa.concat_tables(held), row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata(view.footer(sources))
        writer.close()
        sink.flush()
        os.fsync(sink.fileno())
        size = sink.tell()
    return size, rows, (min(least), max(greatest))


def _in_schema(part: pa.Table, schema: pa.Schema, file: Path) -> pa.Table:
    """Return `part` with all columns of `schema`: those a file of an older version lacks are null."""
    unknown = set(part.column_names) - set(schema.names)
    if unknown:
        raise LakeError(
            f"{file} has a column {min(unknown)!r} that this newsbeam does not know; upgrade newsbeam",
            reason="lake_newer_schema",
        )
    if part.schema.equals(schema):
        return part
    columns: list[Any] = [
        part[f.name].cast(f.type) if f.name in part.column_names else pa.nulls(part.num_rows, f.type) for f in schema
    ]
    return pa.table(columns, schema=schema)


class Upkeep:
    """The upkeep of a running worker: call `run_if_due` every second or so, from any one thread.

    Most calls only look at the clock. A step opens each table anew (about 20 ms each), folds until its deadline and
    twice a day or so looks for files to remove. While there is more to fold it is due again after `step_seconds`
    instead of `interval_seconds`.

    Args:
        lake: an open lake.
        clock: Unix seconds.
        interval_seconds: between two looks at a lake in good order.
        step_seconds: a step begins no second file after that, and rests as long while more is left.
        older_than_hours: how old the newest rows of an hour must be.
        most_files: into one file go at most as many, which bounds how far a step overruns.
    """

    def __init__(
        self,
        lake: Lake,
        *,
        clock: Callable[[], float] = time.time,
        interval_seconds: float = 300.0,
        step_seconds: float = 1.0,
        older_than_hours: float = 1.0,
        most_files: int = MOST_FILES,
    ) -> None:
        if interval_seconds <= 0 or step_seconds <= 0 or older_than_hours < 0 or most_files < 2:
            raise ValueError(
                f"interval_seconds {interval_seconds} and step_seconds {step_seconds} must be above 0, "
                f"older_than_hours {older_than_hours} not below 0, most_files {most_files} at least 2"
            )
        self._lake, self._clock = lake, clock
        self._interval_seconds, self._step_seconds = interval_seconds, step_seconds
        self._older_than_hours, self._most_files = older_than_hours, most_files
        self._due = self._vacuum_due = clock()

    def run_if_due(self) -> Optional[UpkeepResult]:
        """Do one step when it is time; None when it is not. Raises nothing: what went wrong is in the result."""
        now = self._clock()
        if now < self._due:
            return None
        started = time.monotonic()
        folded, removed, error = FoldResult(), 0, None
        try:
            folded = fold(
                self._lake,
                now=now,
                older_than_hours=self._older_than_hours,
                most_files=self._most_files,
                deadline_seconds=self._step_seconds,
            )
            if not folded.more and now >= self._vacuum_due:
                removed = sum(self._lake.table_upkeep(table).vacuum() for table in TABLES)
                self._vacuum_due = now + VACUUM_EVERY_SECONDS
        except Exception as problem:  # a thread that only keeps order must not end for anything; the result says it
            error = one_line(str(problem)) or type(problem).__name__
        self._due = self._clock() + (self._step_seconds if folded.more else self._interval_seconds)
        return UpkeepResult(
            folded_files=folded.folded_files,
            written_files=folded.written_files,
            removed_files=removed,
            outrun=folded.outrun,
            more=folded.more,
            seconds=time.monotonic() - started,
            error=error,
        )
