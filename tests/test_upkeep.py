"""upkeep: which files are folded, that a fold changes no row, and that nobody is disturbed by it.

python -m tests.test_upkeep commit|fold LAKE     # the processes of the tests below
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.utils.timestamp import Duration, Timestamp

from tests.conftest import NOON
from tests.kill_points import kill_at
from transforms import commit as commit_module
from transforms import lake as lake_module
from transforms.check_books import check_books
from transforms.commit import Batch, commit
from transforms.errors import LakeError
from transforms.fingerprint import fingerprint
from transforms.lake import Lake, arrow_dataset, open_lake
from transforms.lake_table import KEPT_HOURS, DataFile, Table
from transforms.records import Draft, Failure, Poll
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS, SCHEMA_VERSION, TABLES, TableSchema
from transforms.upkeep import Upkeep, fold, next_fold

ROOT = Path(__file__).resolve().parent.parent
TEXT = "The council of Harrow Bay voted on Monday to rebuild the old pier, and work begins in the spring of next year."
HOUR, DAY = 3_600, 86_400
MIDNIGHT = int(NOON.micros // 1_000_000) // DAY * DAY
LONG_AFTER = MIDNIGHT + 30.0 * DAY
COMMITS = 30
_MOST_SECONDS = 120


def data_file(name: str, at: float, size: int = 10) -> DataFile:
    day = Timestamp(int(at)).to_utc_datetime(has_tz=True).date().isoformat()
    return DataFile(f"date={day}/{name}.parquet", size, at)


def hour_of(hour: float, *names: str) -> list[DataFile]:
    return [data_file(name, MIDNIGHT + hour * HOUR + number) for number, name in enumerate(names)]


# ---- the decision -------------------------------------------------------------------------------------------------

MIXED_HOUR = [*hour_of(3, "b", "fold-x"), data_file("a", MIDNIGHT + 3 * HOUR + 9)]


@pytest.mark.parametrize(
    "files, now_hours, wanted",
    [
        pytest.param([], 100, "", id="no files"),
        pytest.param(hour_of(3, "a"), 100, "", id="one file"),
        pytest.param(hour_of(3, "a", "b"), 3.5, "", id="the hour is not over"),
        pytest.param(hour_of(3, "a", "b"), 4.0, "", id="over, but younger than an hour"),
        pytest.param(hour_of(3, "a", "b"), 4.1, "ab", id="closed"),
        pytest.param(hour_of(3, "a", "b") + hour_of(4, "c", "d"), 5.1, "ab", id="the closed hour only"),
        pytest.param(hour_of(3, "a") + hour_of(4, "b"), 6, "", id="an hour's only file stays until the day is over"),
        pytest.param(hour_of(3, "a") + hour_of(4, "b"), 24.9, "", id="the day is over, but not for an hour"),
        pytest.param(hour_of(3, "a") + hour_of(4, "b"), 25, "ab", id="a closed day"),
        pytest.param(hour_of(3, "a") + hour_of(27, "b"), 200, "", id="never across days"),
        pytest.param(hour_of(3, "a", "b") + hour_of(5, "c", "d", "e"), 9, "cde", id="the largest group first"),
        pytest.param(hour_of(3, "a", "b") + hour_of(5, "c", "d"), 9, "ab", id="of equals the oldest"),
        pytest.param(hour_of(3, *"edcba"), 9, "edcb", id="at most four, the oldest"),
        pytest.param(MIXED_HOUR, 9, "ba", id="new files before folded ones"),
        pytest.param(hour_of(3, "fold-a", "b"), 9, "fold-ab", id="a straggler joins the folded file"),
        pytest.param(hour_of(3, "fold-a", "fold-b"), 9, "fold-afold-b", id="folded files are folded again"),
        pytest.param(
            [data_file("a", MIDNIGHT, 500), *hour_of(0.5, "b", "c")], 9, "bc", id="a large file is left alone"
        ),
        pytest.param([data_file(n, MIDNIGHT, 400) for n in "abc"], 9, "ab", id="at most a thousand bytes"),
        pytest.param([data_file(n, MIDNIGHT, 500) for n in "abc"], 9, "", id="large files only"),
    ],
)
def test_what_is_folded_next(files: Sequence[DataFile], now_hours: float, wanted: str) -> None:
    for given in (files, files[::-1]):
        chosen = next_fold(given, now=MIDNIGHT + now_hours * HOUR, most_files=4, most_bytes=1_000)
        assert "".join(Path(file.path).stem for file in chosen) == wanted


def test_any_pile_of_files_becomes_one_a_day_in_few_steps() -> None:
    files = [data_file(str(i), MIDNIGHT + 10.0 * i) for i in range(8_640)]
    copied = steps = 0
    while chosen := next_fold(files, now=LONG_AFTER, most_files=400):
        gone = set(chosen)
        copied, steps = copied + len(chosen), steps + 1
        merged = DataFile(
            f"{chosen[0].path[:16]}fold-{steps}", sum(f.size_bytes for f in chosen), chosen[-1].committed_at
        )
        files = [file for file in files if file not in gone] + [merged]
    assert [file.size_bytes for file in files] == [86_400]
    assert steps == 23
    assert copied < 8_700


# ---- a fold changes no row ----------------------------------------------------------------------------------------


def fill(lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], hours: int = 2) -> None:
    """Four commits an hour, each with an article, a copy of the first, failures and a poll; each table gets a file."""
    for number in range(4 * hours):
        now = NOON + Duration(seconds=900 * number)
        new = [(f"entry of {kind}{number}", "1") for kind in "abwd"]
        drafts = [
            draft(f"a{number}", f"{TEXT} This is story {number} of {number * 7} in the county.", first_seen_at=now),
            draft(f"b{number}", TEXT, first_seen_at=now, authors=("Ann",), site="two.example"),
        ]
        failures = [
            Failure(
                f"entry of {kind}{number}",
                entry_hash="1",
                feed_id="feed",
                url="https://one.example/x",
                stage="fetch",
                reason="timeout",
                message="slow",
                permanent=kind == "d",
                retry_at=None if kind == "d" else now + Duration(seconds=60 * HOUR),
                failed_at=now,
            )
            for kind in "wd"
        ]
        commit(
            lake,
            Batch(drafts=drafts, failures=failures, polls=[poll(*new, polled_at=now, etag=f'"{number}"')]),
            run_id=f"run{number}",
            now=now,
        )


def all_rows(lake: Lake, table: TableSchema) -> pa.Table:
    rows = lake.read(table, table.schema.names)
    return rows.sort_by([(name, "ascending") for name in table.key])


def reopened(lake: Lake) -> Lake:
    """The same folder as another process would open it: with a memory of its own."""
    lake_module._open.pop(lake.root, None)
    return open_lake(str(lake.root))


def memory_of(lake: Lake) -> dict[str, Any]:
    """What the memories hold, in a form that can be compared."""
    lake.refresh()
    assignments = commit_module._memory_of(lake)
    assignments.refresh(lake, NOON + Duration(seconds=10 * HOUR))
    entries = [(f"entry of {kind}{number}", "1") for kind in "abwdx" for number in range(9)]
    later = NOON + Duration(seconds=59 * HOUR)
    return {
        "attempts": [lake.entry_attempts(entries, at) for at in (NOON, later, later + Duration(seconds=9 * HOUR))],
        "contents": [lake.known_contents("feed", ["1", "2", "3"])],
        "articles": lake.count_articles(),
        "revisions": [lake.revision(f"{kind}{number}") for kind in "abx" for number in range(9)],
        "feeds": lake.feed_states(["feed"]),
        "retries": [lake.has_due_retries("feed", later + Duration(seconds=h * HOUR)) for h in range(6)],
        "copies": sorted(assignments.copies.ids),
        "canonicals": assignments.copies.canonical_of,
        "stories": sorted(zip(assignments.stories.ids, assignments.stories.stories, strict=True)),
        "terms": int(assignments.stories.counts.sum()),
        "story_sizes": dict(assignments.stories.story_sizes),
    }


def test_a_fold_changes_no_row_and_leaves_few_files(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll)
    before = {table.name: all_rows(lake, table) for table in TABLES}
    columns = {table.name: _delta_schema(lake, table) for table in TABLES}
    result = fold(lake, now=LONG_AFTER)
    assert (result.folded_files, result.written_files, result.outrun, result.more) == (24, 3, 0, False)
    for held in (lake, reopened(lake)):
        for table in TABLES:
            assert all_rows(held, table).equals(before[table.name])
            assert len(held.data_files(table)) == 1
        assert check_books(held) == []
    for table in TABLES:
        assert _delta_schema(lake, table) == columns[table.name]


def _delta_schema(lake: Lake, table: TableSchema) -> Any:
    return json.loads(deltalake.DeltaTable(str(lake.root / table.name)).schema().to_json())


def test_a_folded_file_is_written_as_a_commit_writes_one(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll)
    fold(lake, now=LONG_AFTER)
    lake.refresh()
    for table in TABLES:
        (name,) = lake.data_files(table)
        file = lake.root / table.name / name
        with pq.ParquetFile(file) as parquet:
            assert parquet.schema_arrow.remove_metadata().equals(table.file_schema.remove_metadata())
            for field in table.file_schema:
                assert parquet.schema_arrow.field(field.name).metadata[b"description"] == field.metadata[b"description"]
            assert parquet.metadata.row_group(0).column(0).compression == "ZSTD"
            times = parquet.read(["committed_at"])["committed_at"].to_pylist()
        assert times == sorted(times)
        (action,) = pa.table(deltalake.DeltaTable(str(file.parents[1])).get_add_actions(flatten=True)).to_pylist()
        keys = all_rows(lake, table)[table.key[0]].to_pylist()
        assert (action["num_records"], action["size_bytes"]) == (len(keys), file.stat().st_size)
        assert (action[f"min.{table.key[0]}"], action[f"max.{table.key[0]}"]) == (min(keys), max(keys))


def test_hours_are_folded_first_and_the_day_when_it_is_over(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll, hours=3)
    before = all_rows(lake, ARTICLES)
    counts = []
    for now in (NOON.micros / 1e6 + 2.1 * HOUR, NOON.micros / 1e6 + 5 * HOUR, LONG_AFTER):
        fold(lake, now=now)
        lake.refresh()
        counts.append(len(lake.data_files(ARTICLES)))
        assert all_rows(lake, ARTICLES).equals(before)
    assert counts[0] < 12
    assert counts[1:] == [
        len({t // HOUR for t in range(int(NOON.micros / 1e6), int(NOON.micros / 1e6) + 3 * HOUR, 900)}),
        1,
    ]


def test_a_second_fold_finds_nothing_to_do(lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]) -> None:
    fill(lake, draft, poll)
    fold(lake, now=LONG_AFTER)
    files = sorted(lake.root.rglob("*.parquet"))
    assert fold(lake, now=LONG_AFTER + 7 * DAY).written_files == 0
    assert sorted(lake.root.rglob("*.parquet")) == files


def test_the_memory_of_who_folded_who_watched_and_who_starts_is_one(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll)
    watcher = reopened(lake)
    wanted = memory_of(watcher)
    assert wanted["articles"] == 16
    assert len(wanted["canonicals"]) >= 7
    fold(lake, now=NOON.micros / 1e6 + 10 * HOUR)
    assert memory_of(lake) == memory_of(watcher) == memory_of(reopened(lake)) == wanted
    fold(lake, now=LONG_AFTER)
    assert memory_of(lake) == memory_of(watcher) == memory_of(reopened(lake)) == wanted
    repeated = draft("b0", TEXT, first_seen_at=NOON)
    for held in (lake, watcher, reopened(lake)):
        assert commit(held, Batch(drafts=[repeated]), now=NOON + Duration(seconds=10 * HOUR)).known == 1


def test_who_knows_the_rows_opens_no_more_than_the_footer(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake, draft, poll)
    memory_of(lake)
    fold(lake, now=NOON.micros / 1e6 + 10 * HOUR)
    fold(lake, now=LONG_AFTER)  # the day, out of files this process has never looked at
    read: list[str] = []
    genuine = Table.read

    def reading(self: Any, files: Sequence[str], *args: Any) -> pa.Table:
        read.extend(files)
        return genuine(self, files, *args)

    monkeypatch.setattr(Table, "read", reading)
    memory_of(lake)
    assert read == []
    memory_of(reopened(lake))
    assert len(read) == 4


def test_a_memory_that_missed_what_was_folded_begins_afresh(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll)
    asleep, unaware = reopened(lake), set(lake.data_files(ARTICLES))
    memory_of(asleep)
    lake.refresh()
    commit(lake, Batch(drafts=[draft("a8", TEXT)]), now=NOON + Duration(seconds=4 * HOUR))
    fold(lake, now=LONG_AFTER)
    lake.refresh()
    assert lake.unread_files(ARTICLES, set(unaware)) is None
    assert lake.unread_files(ARTICLES, set()) == lake.data_files(ARTICLES)
    wanted = memory_of(reopened(lake))
    assert wanted["articles"] == 17
    assert memory_of(asleep) == wanted


def test_files_of_which_nothing_is_known_are_read(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll, hours=1)
    known = set(lake.data_files(ARTICLES))
    for number in range(2):
        at = NOON + Duration(seconds=2 * DAY + number)
        commit(lake, Batch(drafts=[draft(f"c{number}", TEXT, first_seen_at=at)]), now=at)
    fold(lake, now=LONG_AFTER)
    lake.refresh()
    unread = lake.unread_files(ARTICLES, known)
    assert unread is not None
    assert [file[5:15] for file in unread] == [max(lake.data_files(ARTICLES))[5:15]]
    assert len(known) == 1


def test_a_file_of_an_older_version_gets_nulls_and_one_of_a_newer_is_left_alone(lake: Lake) -> None:
    fields = {"attempt": 1, "permanent": True, "committed_at": NOON.micros}
    for number in range(2):
        lake.append(DEAD_LETTERS, [{"entry_id": f"e{number}", **fields}], committed_at=NOON)
        lake.refresh()
    first, second = (lake.root / "dead_letters" / file for file in lake.data_files(DEAD_LETTERS))
    pq.write_table(pq.ParquetFile(first).read().drop_columns(["replay"]), first)
    before = all_rows(lake, DEAD_LETTERS)
    written = pq.ParquetFile(second).read()
    pq.write_table(written.append_column("mood", pa.array(["good"])), second)
    with pytest.raises(LakeError, match="a column 'mood' that this newsbeam does not know"):
        fold(lake, now=LONG_AFTER)
    assert len(list((lake.root / "dead_letters").glob("date=*/*"))) == 2
    pq.write_table(written, second)
    assert fold(lake, now=LONG_AFTER).written_files == 1
    assert all_rows(lake, DEAD_LETTERS).equals(before)


def test_a_lake_of_a_newer_schema_is_not_folded(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll, hours=1)
    newer = {"newsbeam.schemaVersion": str(SCHEMA_VERSION + 1)}
    deltalake.DeltaTable(str(lake.root / "articles")).alter.set_table_properties(newer, raise_if_not_exists=False)
    with pytest.raises(LakeError, match="upgrade newsbeam"):
        fold(lake, now=LONG_AFTER)


# ---- beside readers, writers and other folds ----------------------------------------------------------------------


def test_readers_of_before_during_and_after(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake, draft, poll)
    counts: list[int] = []
    dataset = arrow_dataset(str(lake.root), "articles")

    def count(name: str = "") -> None:
        if name in ("", "before_fold:articles", "after_fold:articles"):
            for articles in (dataset, arrow_dataset(str(reopened(lake).root), "articles")):
                with duckdb.connect() as connection:
                    connection.register("articles", articles)
                    found = connection.sql("select count(*), count(distinct article_id) from articles").fetchall()
                    counts.extend(found[0])

    monkeypatch.setattr(lake_module, "on_point", count)
    fold(lake, now=LONG_AFTER)
    count()
    assert counts == [16] * 12


def test_a_commit_that_meets_a_fold_goes_through(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake, draft, poll)

    def folding(name: str) -> None:
        if name == "before_commit:articles":
            monkeypatch.setattr(lake_module, "on_point", lambda name: None)
            assert fold(lake, now=LONG_AFTER, tables=[ARTICLES]).written_files == 1

    monkeypatch.setattr(lake_module, "on_point", folding)
    result = commit(lake, Batch(drafts=[draft("late", TEXT)]), now=NOON + Duration(seconds=9 * HOUR))
    assert (result.article_new, result.outrun) == (1, 0)
    assert len(lake.data_files(ARTICLES)) == 2
    assert all_rows(reopened(lake), ARTICLES).num_rows == 17


def test_a_fold_that_meets_a_commit_tries_again(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake, draft, poll)
    genuine = Table.check_schema_version
    pending = ["late", "later"]

    def committing(self: Any) -> None:
        """Between the look at the newest version and the commit on it."""
        genuine(self)
        if pending and threading.current_thread().name == "fold" and self.spec is ARTICLES:
            article = pending.pop()
            threading.current_thread().name = "commit"
            commit(lake, Batch(drafts=[draft(article, TEXT)]), now=NOON + Duration(seconds=9 * HOUR))
            threading.current_thread().name = "fold"

    view = lake.table_upkeep(ARTICLES)
    monkeypatch.setattr(Table, "check_schema_version", committing)
    monkeypatch.setattr(lake, "table_upkeep", lambda table: view)
    threading.current_thread().name = "fold"
    try:
        result = fold(lake, now=LONG_AFTER, tables=[ARTICLES])
    finally:
        threading.current_thread().name = "MainThread"
    assert pending == []
    assert (result.outrun, result.more) == (0, False)
    rows = all_rows(reopened(lake), ARTICLES)
    assert sorted(rows["article_id"].to_pylist())[-2:] == ["late", "later"]
    assert rows.num_rows == 18
    assert len(reopened(lake).data_files(ARTICLES)) == 1


def test_of_two_folds_of_the_same_files_one_gives_up(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], monkeypatch: pytest.MonkeyPatch
) -> None:
    """deltalake lets both through when it may retry, and every row is there twice (measured with 1.6.6)."""
    fill(lake, draft, poll)
    before = all_rows(lake, ARTICLES)

    def folding(name: str) -> None:
        monkeypatch.setattr(lake_module, "on_point", lambda name: None)
        assert fold(lake, now=LONG_AFTER, tables=[ARTICLES]).written_files == 1

    monkeypatch.setattr(lake_module, "on_point", folding)
    result = fold(lake, now=LONG_AFTER, tables=[ARTICLES])
    assert (result.written_files, result.outrun) == (0, 1)
    assert all_rows(reopened(lake), ARTICLES).equals(before)
    assert len(list((lake.root / "articles").glob("date=*/fold-*"))) == 1


def test_a_fold_does_not_wait_for_the_lock(lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]) -> None:
    fill(lake, draft, poll)
    with lake.lock:
        folding = threading.Thread(target=fold, args=(lake,), kwargs={"now": LONG_AFTER}, daemon=True)
        folding.start()
        folding.join(_MOST_SECONDS)
        assert not folding.is_alive()
    lake.refresh()
    assert len(lake.data_files(ARTICLES)) == 1


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.test_upkeep", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_process_that_commits_and_two_that_fold_lose_and_double_nothing(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll)
    folding = [start("fold", str(lake.root)) for _ in range(2)]
    committing = start("commit", str(lake.root))
    try:
        out, err = committing.communicate(timeout=_MOST_SECONDS)
        assert committing.returncode == 0, err.decode()
        (lake.root.parent / "enough").touch()
        folds = 0
        for process in folding:
            told, problem = process.communicate(timeout=_MOST_SECONDS)
            assert process.returncode == 0, problem.decode()
            folds += int(told.split()[-1])
    finally:
        for process in (*folding, committing):
            process.kill()
    assert int(out.split()[-1]) == COMMITS
    assert folds > 0
    held = reopened(lake)
    ids = held.read(ARTICLES, ["article_id"])["article_id"].to_pylist()
    assert sorted(ids) == sorted([f"{k}{n}" for k in "ab" for n in range(8)] + [f"p{n}" for n in range(COMMITS)])
    assert held.read(POLLS, ["feed_id"]).num_rows == 8 + COMMITS
    assert check_books(held) == []
    wanted = memory_of(held)
    assert memory_of(lake) == wanted
    fold(held, now=LONG_AFTER)
    assert [len(reopened(lake).data_files(table)) for table in TABLES] == [1, 1, 1]
    assert memory_of(reopened(lake)) == wanted


@pytest.mark.parametrize("point", ["in_file", "before_fold:articles", "after_fold:articles", "before_fold:polls"])
def test_killed_in_the_middle_of_a_fold(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], point: str
) -> None:
    fill(lake, draft, poll)
    before = {table.name: all_rows(lake, table) for table in TABLES}
    killed = start("fold", str(lake.root), point)
    _, err = killed.communicate(timeout=_MOST_SECONDS)
    assert killed.returncode == -signal.SIGKILL, err.decode()
    named = {file for table in TABLES for file in _files_on_disk(lake, table)} - _all_named(lake)
    assert len(named) == (0 if point.startswith("after") else 1)
    held = reopened(lake)
    for table in TABLES:
        assert all_rows(held, table).equals(before[table.name])
    fold(held, now=LONG_AFTER)
    for table in TABLES:
        assert all_rows(reopened(lake), table).equals(before[table.name])
    for file in named:  # a day later
        os.utime(file, (time.time() - 2 * DAY,) * 2)
    assert sum(held.table_upkeep(table).vacuum() for table in TABLES) >= len(named)
    assert not any(file.exists() for file in named)
    for table in TABLES:
        assert all_rows(reopened(lake), table).equals(before[table.name])


def _files_on_disk(lake: Lake, table: TableSchema) -> set[Path]:
    return set((lake.root / table.name).glob("date=*/*.parquet"))


def _all_named(lake: Lake) -> set[Path]:
    """The files that any version of a table names."""
    named = set()
    for table in TABLES:
        for entry in (lake.root / table.name / "_delta_log").glob("*.json"):
            text = entry.read_text("utf-8")
            named |= {file for file in _files_on_disk(lake, table) if file.name in text}
    return named


# ---- what is removed, and the worker's side -----------------------------------------------------------------------


def test_replaced_files_stay_for_a_day(lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]) -> None:
    fill(lake, draft, poll)
    before = all_rows(lake, ARTICLES)
    fold(lake, now=time.time() - (KEPT_HOURS - 1) * HOUR, tables=[POLLS])
    fold(lake, now=time.time() - (KEPT_HOURS + 1) * HOUR, tables=[ARTICLES])
    assert [lake.table_upkeep(table).vacuum() for table in TABLES] == [8, 0, 0]
    assert [len(_files_on_disk(lake, table)) for table in TABLES] == [1, 8, 9]
    version = deltalake.DeltaTable(str(lake.root / "articles")).version()
    assert lake.table_upkeep(ARTICLES).vacuum() == 0
    assert deltalake.DeltaTable(str(lake.root / "articles")).version() == version
    assert all_rows(reopened(lake), ARTICLES).equals(before)
    assert commit(lake, Batch(drafts=[draft("late", TEXT)])).outrun == 0


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_upkeep_is_due_at_its_interval(lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]) -> None:
    fill(lake, draft, poll)
    clock = Clock(LONG_AFTER)
    upkeep = Upkeep(lake, clock=clock)
    first = upkeep.run_if_due()
    assert first is not None
    assert (first.folded_files, first.written_files, first.error, first.more) == (24, 3, None, False)
    assert upkeep.run_if_due() is None
    clock.now += 299
    assert upkeep.run_if_due() is None
    clock.now += 1
    second = upkeep.run_if_due()
    assert second is not None
    assert (second.folded_files, second.error) == (0, None)


def test_upkeep_with_more_to_do_is_due_again_soon(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll)
    clock = Clock(LONG_AFTER)
    upkeep = Upkeep(lake, clock=clock, step_seconds=1e-6, most_files=4)
    written = []
    while (result := upkeep.run_if_due()) is not None and result.more:
        written.append(result.written_files)
        assert len(written) < 50
        assert upkeep.run_if_due() is None
        clock.now += 1
    assert result is not None
    assert [*written, result.written_files] == [1] * 9  # of 8 files of a table 4, the other 4, then both
    assert [len(reopened(lake).data_files(table)) for table in TABLES] == [1, 1, 1]


def test_upkeep_of_a_lake_that_is_away_says_so_and_goes_on(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    fill(lake, draft, poll)
    clock = Clock(LONG_AFTER)
    upkeep = Upkeep(lake, clock=clock)
    away = lake.root.rename(lake.root.with_name("away"))
    result = upkeep.run_if_due()
    assert result is not None
    assert result.error is not None
    assert "\n" not in result.error
    assert str(lake.root) in result.error
    away.rename(lake.root)
    clock.now += 300
    result = upkeep.run_if_due()
    assert result is not None
    assert (result.error, result.written_files) == (None, 3)


@pytest.mark.parametrize("setting", ["interval_seconds", "step_seconds", "most_files"])
def test_settings_without_sense_are_refused(lake: Lake, setting: str) -> None:
    values: dict[str, Any] = {setting: 0}
    with pytest.raises(ValueError, match=f"{setting} 0"):
        Upkeep(lake, **values)


# ---- the processes ------------------------------------------------------------------------------------------------


def main(what: str, root: str, point: Optional[str] = None) -> None:
    lake = open_lake(root)
    if what == "commit":
        new = 0
        for number in range(COMMITS):
            now = NOON + Duration(seconds=60 * number)
            text = f"{TEXT} Process story {number}: the harbour master counted {number * 13} boats."
            draft = Draft(
                f"p{number}",
                title=text,
                text=text,
                language="en",
                site="one.example",
                fingerprint=fingerprint(text),
                entry_id=f"entry of p{number}",
                entry_hash="1",
                feed_id="other",
                first_seen_at=now,
            )
            poll = Poll(
                feed_id="other",
                url="https://one.example/other",
                polled_at=now,
                status="ok",
                entries=1,
                known=0,
                new=1,
                new_entry_ids=[draft.entry_id],
                new_entry_hashes=["1"],
            )
            new += commit(lake, Batch(drafts=[draft], polls=[poll]), now=now).article_new
        print(new)
        return

    kill_at(point)
    folds = 0
    enough = Path(root).parent / "enough"
    while True:
        last = enough.exists() or point is not None
        folds += fold(lake, now=LONG_AFTER).written_files
        if last:
            break
    print(folds)


if __name__ == "__main__":
    main(*sys.argv[1:])
