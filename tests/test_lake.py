"""lake: creation, refusal, the fence, and the memory that is read back."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.utils.timestamp import Duration, Timestamp

from tests.conftest import NOON
from transforms import lake as lake_module
from transforms import lake_table
from transforms.commit import Batch, commit
from transforms.errors import LakeError
from transforms.lake import Lake, OutrunError, open_lake
from transforms.records import Draft, Failure, KnownContent, Poll
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS, SCHEMA_VERSION, TABLES

TEXT = "The council of Harrow Bay voted on Monday to rebuild the old pier. Work begins in the spring."


def reopened(lake: Lake) -> Lake:
    """The same folder as another process would open it: with a memory of its own."""
    lake_module._open.pop(lake.root, None)
    return open_lake(str(lake.root))


def dead_letter(entry_id: str, **fields: object) -> Failure:
    values: dict[str, object] = {
        "entry_hash": "1",
        "feed_id": "feed",
        "url": "https://one.example/a",
        "stage": "fetch",
        "reason": "http_404",
        "message": "gone",
        "failed_at": NOON,
    }
    return Failure(entry_id, **{**values, **fields})  # type: ignore[arg-type]


def test_a_new_lake_has_three_described_tables(lake: Lake) -> None:
    for spec in TABLES:
        table = deltalake.DeltaTable(str(lake.root / spec.name))
        assert table.metadata().name == f"newsbeam.{spec.name}"
        assert table.metadata().configuration["newsbeam.schemaVersion"] == str(SCHEMA_VERSION)
        assert table.metadata().partition_columns == ["date"]
        assert [f.name for f in table.schema().fields] == spec.schema.names
        assert all(f.metadata["comment"] for f in table.schema().fields)


def test_data_files_carry_the_descriptions_too(lake: Lake, draft: Callable[..., Draft]) -> None:
    commit(lake, Batch(drafts=[draft("a", TEXT)]))
    lake.refresh()
    (file,) = lake.data_files(ARTICLES)
    schema = pq.read_schema(lake.root / "articles" / file)
    assert schema.field("story_id").metadata[b"description"].startswith(b"The event")


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(LakeError, match=r"not a lake: it holds 'thesis\.txt'.*empty or a new folder"):
        open_lake(str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(LakeError, match="is a file; give a folder"):
        open_lake(str(tmp_path / "x"))


def test_reading_commands_do_not_make_a_lake(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="there is no lake"):
        open_lake(str(tmp_path / "none"), create=False)
    assert not (tmp_path / "none").exists()


def test_a_lake_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    for spec in TABLES:
        deltalake.DeltaTable.create(
            str(root / spec.name),
            spec.schema,
            configuration={"newsbeam.schemaVersion": str(SCHEMA_VERSION + 1)},
            raise_if_key_not_exists=False,
        )
    with pytest.raises(LakeError, match=f"schema version {SCHEMA_VERSION + 1}.*upgrade newsbeam") as caught:
        open_lake(str(root))
    assert caught.value.reason == "lake_newer_schema"


def test_a_lake_of_an_older_schema_reads_on_and_each_table_grows_with_its_next_write(
    tmp_path: Path, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    root, later = tmp_path / "lake", NOON + Duration(seconds=60)
    lacks = ("unmodified_since", "rules_version")
    for spec in TABLES:
        old = pa.schema([field for field in spec.schema if field.name not in lacks])
        deltalake.DeltaTable.create(
            str(root / spec.name),
            old,
            partition_by=["date"],
            configuration={"newsbeam.schemaVersion": "1"},
            raise_if_key_not_exists=False,
        )
    rows = [{"feed_id": "feed", "polled_at": NOON.micros, "etag": '"1"', "committed_at": NOON.micros, "date": 20_000}]
    old = pa.schema([field for field in POLLS.schema if field.name not in lacks])
    deltalake.write_deltalake(str(root / "polls"), pa.Table.from_pylist(rows, schema=old), mode="append")
    assert open_lake(str(root), create=False).feed_states(["feed"])["feed"].etag == '"1"'
    assert deltalake.DeltaTable(str(root / "polls")).version() == 1, "a reader changes nothing"
    lake_module._open.pop(root)
    lake = open_lake(str(root))
    commit(
        lake, Batch([draft("a", TEXT)], [dead_letter("d")], [poll(polled_at=later, unmodified_since=later)]), now=later
    )
    for held in (lake, reopened(lake)):
        assert held.feed_states(["feed"])["feed"].unmodified_since == later
        assert held.read(POLLS, ["unmodified_since"])["unmodified_since"].null_count == 1
    for spec in TABLES:
        table = deltalake.DeltaTable(str(root / spec.name))
        assert {field.name for field in table.schema().fields} == set(spec.schema.names)
        assert all(field.metadata["comment"] for field in table.schema().fields)
        assert table.metadata().configuration["newsbeam.schemaVersion"] == str(SCHEMA_VERSION)
    grown = deltalake.DeltaTable(str(root / "polls"))
    assert grown.version() == 4  # created, a row, a column, the version, a row: and nothing by opening it again


def test_an_object_store_is_refused_by_name() -> None:
    with pytest.raises(LakeError, match="only local folders"):
        open_lake("s3://bucket/lake")


def test_a_full_disk_gives_one_line_and_leaves_what_was_committed(
    lake: Lake, draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(lake, Batch(drafts=[draft("a", TEXT)]))

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pyarrow.parquet.write_table", full)
        with pytest.raises(LakeError, match="disk is full; free some space") as caught:
            commit(lake, Batch(drafts=[draft("b", TEXT + " More.")]))
    assert caught.value.reason == "lake_full"
    assert reopened(lake).count_articles() == 1
    files = [p for p in (lake.root / "articles").rglob("*.parquet") if "_delta_log" not in p.parts]
    assert len(files) == 1


@pytest.mark.parametrize("point", [None, "before_commit:articles"])
def test_a_lake_that_goes_away_under_a_commit_is_not_made_anew(
    lake: Lake, draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch, point: Optional[str]
) -> None:
    commit(lake, Batch(drafts=[draft("a", TEXT)]))
    away = lake.root.with_name("away")

    def unmount(name: Optional[str]) -> None:
        if name == point:
            lake.root.rename(away)

    monkeypatch.setattr(lake_module, "on_point", unmount)
    if point is None:
        unmount(None)
    with pytest.raises(LakeError):
        lake.append(ARTICLES, [_row("b")], committed_at=NOON)
    assert not lake.root.exists()
    away.rename(lake.root)
    assert reopened(lake).count_articles() == 1


def test_the_fence_refuses_a_writer_whose_view_is_stale(lake: Lake, draft: Callable[..., Draft]) -> None:
    other = reopened(lake)
    commit(other, Batch(drafts=[draft("a", TEXT)]))
    with pytest.raises(OutrunError):
        lake.append(ARTICLES, [_row("b")], committed_at=NOON)
    lake.refresh()
    lake.append(ARTICLES, [_row("b")], committed_at=NOON)
    assert sorted(reopened(lake).read(ARTICLES, ["article_id"])["article_id"].to_pylist()) == ["a", "b"]


def test_with_a_second_application_id_both_writers_would_succeed(
    lake: Lake, draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why there is one `APP_ID`: this is the loss of the fence that a second one would bring."""
    other = reopened(lake)
    commit(other, Batch(drafts=[draft("a", TEXT)]))
    monkeypatch.setattr(lake_table, "APP_ID", "another")
    lake.append(ARTICLES, [_row("a")], committed_at=NOON)
    assert reopened(lake).read(ARTICLES, ["article_id"])["article_id"].to_pylist() == ["a", "a"]


def test_an_outrun_writer_leaves_no_file(lake: Lake, draft: Callable[..., Draft]) -> None:
    commit(reopened(lake), Batch(drafts=[draft("a", TEXT)]))
    with pytest.raises(OutrunError):
        lake.append(ARTICLES, [_row("b")], committed_at=NOON)
    assert len(list((lake.root / "articles").glob("date=*/*.parquet"))) == 1


def test_the_memory_is_the_same_when_it_is_read_back(lake: Lake, draft: Callable[..., Draft]) -> None:
    later = NOON + Duration(seconds=600)
    waiting = dead_letter("w", permanent=False, retry_at=later)
    commit(lake, Batch(drafts=[draft("a", TEXT)], failures=[dead_letter("d"), waiting]), now=NOON)
    asked = [("entry of a", "1"), ("entry of a", "2"), ("d", "1"), ("w", "1"), ("new", "1")]
    for held in (lake, reopened(lake)):
        assert held.entry_attempts(asked, NOON) == [0, 2, 0, 0, 1]
        assert held.entry_attempts(asked, later) == [0, 2, 0, 2, 1]
        assert not held.has_due_retries("feed", NOON)
        assert held.has_due_retries("feed", later)
        assert held.revision("a") == 1
        assert held.count_articles() == 1


def test_a_retry_that_succeeded_is_due_no_more(lake: Lake, draft: Callable[..., Draft]) -> None:
    later = NOON + Duration(seconds=600)
    commit(lake, Batch(failures=[dead_letter("entry of a", permanent=False, retry_at=later)]), now=NOON)
    assert lake.has_due_retries("feed", later)
    commit(lake, Batch(drafts=[draft("a", TEXT, first_seen_at=later, attempt=2)]), now=later)
    assert not lake.has_due_retries("feed", later + Duration(seconds=1))
    assert lake.entry_attempts([("entry of a", "1")], later) == [0]


def test_a_retry_whose_entry_has_left_the_feed_is_due_no_more(lake: Lake, poll: Callable[..., Poll]) -> None:
    later, still_later = NOON + Duration(seconds=600), NOON + Duration(seconds=1200)
    commit(lake, Batch(failures=[dead_letter("w", permanent=False, retry_at=later)]), now=NOON)
    commit(lake, Batch(polls=[poll(polled_at=later, status="failed", failures_in_a_row=1)]), now=later)
    assert lake.has_due_retries("feed", later)
    commit(lake, Batch(polls=[poll(polled_at=still_later)]), now=still_later)
    assert not lake.has_due_retries("feed", still_later)


def test_an_entry_that_changes_each_time_is_left_in_peace(lake: Lake) -> None:
    many = lake_module.MOST_ATTEMPTS_OF_AN_ENTRY
    commit(lake, Batch(failures=[dead_letter("e", entry_hash=str(i), attempt=i) for i in range(1, many)]))
    assert lake.entry_attempts([("e", "new")], NOON) == [many]
    commit(lake, Batch(failures=[dead_letter("e", entry_hash=str(many), attempt=many)]))
    assert lake.entry_attempts([("e", "newer")], NOON) == [0]


def test_a_content_is_known_under_its_feed_whatever_the_entry(lake: Lake, draft: Callable[..., Draft]) -> None:
    retry_at, later = NOON + Duration(seconds=600), NOON + Duration(seconds=900)
    waiting = dead_letter("w", entry_hash="w", permanent=False, retry_at=retry_at, attempt=2)
    commit(lake, Batch([draft("a", TEXT, entry_hash="a")], [dead_letter("d", entry_hash="d"), waiting]), now=NOON)
    asked, at = ["a", "d", "w", "new"], NOON.micros // 1_000_000
    for held in (lake, reopened(lake)):
        assert held.known_contents("feed", asked) == [
            KnownContent(1, at, True),
            KnownContent(1, at, True),
            KnownContent(2, at + 600, False),
            None,
        ]
        assert held.known_contents("another feed", asked) == [None] * 4
        assert held.known_contents("feed", []) == []
    commit(lake, Batch(failures=[dead_letter("another id", entry_hash="w", attempt=3)]), now=later)
    for held in (lake, reopened(lake)):
        assert held.known_contents("feed", ["w"]) == [KnownContent(3, at + 900, True)]


def test_the_newest_poll_is_the_feeds_state(lake: Lake, poll: Callable[..., Poll]) -> None:
    later = NOON + Duration(seconds=60)
    commit(lake, Batch(polls=[poll(polled_at=later, etag='"2"', state="moved")]))
    commit(lake, Batch(polls=[poll(etag='"1"')]))
    for held in (lake, reopened(lake)):
        state = held.feed_states(["feed", "never"])
        assert set(state) == {"feed"}
        assert (state["feed"].etag, state["feed"].state, state["feed"].polled_at) == ('"2"', "moved", later)


def test_a_lake_that_another_process_wrote_to_is_seen_after_a_refresh(lake: Lake, draft: Callable[..., Draft]) -> None:
    commit(reopened(lake), Batch(drafts=[draft("a", TEXT)]))
    assert lake.revision("a") == 0
    lake.refresh()
    assert lake.revision("a") == 1


def test_a_lost_data_file_is_named(lake: Lake, draft: Callable[..., Draft]) -> None:
    commit(lake, Batch(drafts=[draft("a", TEXT)]))
    for file in (lake.root / "articles").glob("date=*/*.parquet"):
        file.unlink()
    with pytest.raises(LakeError, match="a data file cannot be read"):
        reopened(lake)


def test_the_log_is_checkpointed_and_opens_from_the_checkpoint(lake: Lake) -> None:
    for number in range(52):
        lake.append(DEAD_LETTERS, [{**_dead(f"e{number}")}], committed_at=NOON)
        lake.refresh()
    checkpoints = list((lake.root / "dead_letters" / "_delta_log").glob("*.checkpoint.parquet"))
    assert [file.name[:20] for file in checkpoints] == [f"{49:020}"]
    assert reopened(lake).has_entries(["e0", "e51", "e52"]).tolist() == [True, True, False]


def test_a_commit_removes_the_log_entries_that_have_expired(lake: Lake) -> None:
    """Within the log's retention, and from the newest checkpoint before it on, everything stays."""
    log = lake.root / "dead_letters" / "_delta_log"
    for number in range(60):
        lake.append(DEAD_LETTERS, [_dead(f"e{number}")], committed_at=NOON)
        lake.refresh()
    assert len(list(log.glob("*[0-9].json"))) == 61
    expired = time.time() - 8 * 86_400
    for file in [*log.glob("*[0-9].json"), *log.glob("*.checkpoint.parquet")]:
        if int(file.name[:20]) < 55:
            os.utime(file, (expired, expired))
    lake.append(DEAD_LETTERS, [_dead("e60")], committed_at=NOON)
    assert sorted(int(file.stem) for file in log.glob("*[0-9].json")) == list(range(49, 62))
    assert reopened(lake).read(DEAD_LETTERS, ["entry_id"]).num_rows == 61


def test_a_later_retry_time_holds_in_whatever_order_the_files_are_read(lake: Lake) -> None:
    later, last = NOON + Duration(seconds=600), NOON + Duration(seconds=6_000)
    for at, until in ((NOON, later), (later, last)):
        failure = dead_letter("w", permanent=False, retry_at=until, failed_at=at)
        commit(lake, Batch(failures=[failure]), now=at)
    for files in (lake.data_files(DEAD_LETTERS), lake.data_files(DEAD_LETTERS)[::-1]):
        held = Lake(lake.root)
        for file in files:
            held._load_dead_letters(held._tables[DEAD_LETTERS.name], [file])
        assert [held.has_due_retries("feed", at) for at in (later, last)] == [False, True]


def test_partitions_follow_the_day_of_the_commit(lake: Lake, poll: Callable[..., Poll]) -> None:
    commit(lake, Batch(polls=[poll()]), now=Timestamp.from_rfc3339("2026-03-04T23:59:59Z"))
    assert [p.name for p in (lake.root / "polls").glob("date=*")] == ["date=2026-03-04"]
    lake.refresh()
    assert lake.data_files(POLLS, days=("2026-03-05", "2026-03-06")) == []
    assert len(lake.data_files(POLLS, days=("2026-03-04", "2026-03-04"))) == 1


def _row(article_id: str) -> dict[str, object]:
    return {
        "article_id": article_id,
        "revision": 1,
        "entry_id": f"entry of {article_id}",
        "first_seen_at": NOON.micros,
        "committed_at": NOON.micros,
    }


def _dead(entry_id: str) -> dict[str, object]:
    return {"entry_id": entry_id, "attempt": 1, "permanent": True, "committed_at": NOON.micros}
