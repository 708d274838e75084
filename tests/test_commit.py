"""commit: what becomes a row, in which order, and what does not."""

import itertools
from collections.abc import Callable, Sequence
from typing import Optional

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import Duration
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import NOON
from tests.test_lake import dead_letter, reopened
from transforms import commit as commit_module
from transforms import lake as lake_module
from transforms.article_url import article_id_of
from transforms.assign_copies import assign_copies
from transforms.check_books import check_books
from transforms.commit import Batch, CommitResult, CommitToLake, commit, is_complete, waiting_polls
from transforms.fingerprint import fingerprint
from transforms.lake import Lake, OutrunError
from transforms.records import CommitItem, Draft, Poll
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS

PIER = (
    "The council of Harrow Bay voted on Monday to rebuild the old pier, which a storm broke in two last winter. "
    "Work is to begin in the spring and will cost nine million crowns, half of it from the county.\n"
    "Shopkeepers on the front had asked for a decision before the season. Ida Marsh, who runs the kiosk at the "
    "landing, said that she had lost a third of her income since the ferries stopped calling there.\n"
    "The engineers propose steel piles in place of oak. A public inquiry into the costs is to report in June."
)
FERRY = (
    "Two ferries collided in fog off Skerry Point early on Thursday, the coastguard said. All ninety passengers "
    "were taken off within the hour and nobody was badly hurt.\n"
    "Both ships stayed afloat and were towed to Lund harbour, where divers will look at their hulls on Friday."
)


def rows(lake: Lake, *columns: str) -> list[tuple[object, ...]]:
    table = reopened(lake).read(ARTICLES, list(columns) or ["article_id", "revision"])
    return sorted(tuple(row.values()) for row in table.to_pylist())


def dead(lake: Lake, *columns: str) -> list[tuple[object, ...]]:
    table = reopened(lake).read(DEAD_LETTERS, list(columns) or ["entry_id", "disposition"])
    return sorted(tuple(row.values()) for row in table.to_pylist())


def test_a_draft_becomes_a_row_with_everything_it_holds(lake: Lake, draft: Callable[..., Draft]) -> None:
    made = draft("a", PIER, authors=["Ida Marsh"], published_at=NOON, url="https://one.example/a?token=s3cret&p=1")
    result = commit(lake, Batch(drafts=[made]), run_id="run", now=NOON)
    assert result == CommitResult(article_new=1)
    (row,) = reopened(lake).read(ARTICLES, ARTICLES.schema.names).to_pylist()
    assert (row["article_id"], row["revision"], row["text"], row["authors"]) == ("a", 1, PIER, ["Ida Marsh"])
    assert row["url"] == "https://one.example/a?token=***&p=1"
    assert (row["run_id"], row["disposition"], row["story_id"]) == ("run", "article_new", "a")
    assert row["published_at"].timestamp() * 1_000_000 == NOON.micros
    assert (row["duplicate_of"], row["copy_kind"]) == (None, None)
    assert row["signature"] == fingerprint(PIER).signature


def test_the_same_batch_twice_writes_once(lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]) -> None:
    batch = Batch(drafts=[draft("a", PIER)], failures=[dead_letter("d")], polls=[poll(("entry of a", "1"), ("d", "1"))])
    first = commit(lake, batch)
    second = commit(reopened(lake), batch)
    assert (first.article_new, first.dead_lettered, first.polls) == (1, 1, 1)
    assert (second.article_new, second.dead_lettered, second.known) == (0, 0, 2)
    assert rows(lake) == [("a", 1)]
    assert dead(lake) == [("d", "dead_lettered")]


def test_a_new_text_is_a_revision_and_an_old_one_is_unchanged(lake: Lake, draft: Callable[..., Draft]) -> None:
    later = NOON + Duration(seconds=60)
    commit(lake, Batch(drafts=[draft("a", PIER)]))
    second = commit(lake, Batch(drafts=[draft("a", FERRY, entry_hash="2", first_seen_at=later)]))
    third = commit(
        reopened(lake), Batch(drafts=[draft("a", PIER.upper(), entry_hash="3", attempt=3, first_seen_at=later)])
    )
    assert (second.article_revision, third.unchanged) == (1, 1)
    assert rows(lake, "article_id", "revision", "disposition") == [
        ("a", 1, "article_new"),
        ("a", 2, "article_revision"),
    ]
    assert dead(lake, "entry_id", "entry_hash", "disposition", "stage", "article_id", "attempt") == [
        ("entry of a", "3", "unchanged", "commit", "a", 3)
    ]


def test_two_entries_with_one_article_are_one_row(lake: Lake, draft: Callable[..., Draft]) -> None:
    result = commit(lake, Batch(drafts=[draft("a", PIER), draft("a", PIER, entry_id="other feed")]))
    assert (result.article_new, result.repeated_in_batch) == (1, 1)
    assert rows(lake, "article_id", "entry_id") == [("a", "entry of a")]
    assert dead(lake) == [("other feed", "repeated_in_batch")]


def test_two_texts_of_one_article_in_one_batch_are_two_revisions_in_order_of_arrival(
    lake: Lake, draft: Callable[..., Draft]
) -> None:
    later = NOON + Duration(seconds=60)
    result = commit(lake, Batch(drafts=[draft("a", FERRY, entry_hash="2", first_seen_at=later), draft("a", PIER)]))
    assert (result.article_new, result.article_revision) == (1, 1)
    assert rows(lake, "revision", "text") == [(1, PIER), (2, FERRY)]


def test_pages_that_share_a_canonical_but_not_a_text_keep_their_own_address(
    lake: Lake, draft: Callable[..., Draft]
) -> None:
    shared = article_id_of("https://one.example/story")
    one = draft(shared, PIER, url="https://one.example/a", entry_id="1")
    two = draft(shared, FERRY, url="https://one.example/b", entry_id="2")
    commit(lake, Batch(drafts=[one, two]))
    commit(lake, Batch(drafts=[draft(shared, FERRY + " More.", url="https://one.example/c", entry_id="3")]))
    assert {r[0] for r in rows(lake, "article_id")} == {
        shared,
        article_id_of("https://one.example/b"),
        article_id_of("https://one.example/c"),
    }


def test_a_copy_is_written_and_marked(lake: Lake, draft: Callable[..., Draft]) -> None:
    later = NOON + Duration(seconds=60)
    commit(lake, Batch(drafts=[draft("a", PIER)]))
    commit(reopened(lake), Batch(drafts=[draft("b", PIER, site="two.example", first_seen_at=later), draft("c", FERRY)]))
    assert rows(lake, "article_id", "duplicate_of", "copy_kind", "story_id") == [
        ("a", None, None, "a"),
        ("b", "a", "exact", "a"),
        ("c", None, None, "c"),
    ]


def test_a_writer_that_was_outrun_looks_again(lake: Lake, draft: Callable[..., Draft]) -> None:
    """The other writer brings the same article first: ours must see it and write nothing."""
    other = reopened(lake)
    real, calls = lake_module.Lake.append, 0

    def append(self: Lake, *args: object, **kwargs: object) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            commit(other, Batch(drafts=[draft("a", PIER)]))
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lake_module.Lake, "append", append)
        result = commit(lake, Batch(drafts=[draft("a", PIER)]))
    assert (result.outrun, result.article_new, result.known) == (1, 0, 1)
    assert rows(lake) == [("a", 1)]


def test_a_polls_row_waits_until_each_new_entry_has_a_disposition(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    finished = poll(("entry of a", "1"), ("entry of b", "1"))
    first = commit(lake, Batch(drafts=[draft("a", PIER)], polls=[finished]))
    assert (first.polls, first.polls_waiting) == (0, 1)
    assert reopened(lake).feed_states(["feed"]) == {}, "the validators must not take effect yet"
    assert list(waiting_polls(lake)) == [finished]
    second = commit(lake, Batch(drafts=[draft("b", FERRY)]))
    assert (second.polls, second.polls_waiting) == (1, 0)
    assert reopened(lake).feed_states(["feed"])["feed"].etag == '"1"'


def test_an_earlier_version_of_an_entry_does_not_complete_a_poll(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    commit(lake, Batch(drafts=[draft("a", PIER)]))
    assert is_complete(lake, poll(("entry of a", "1")))
    assert not is_complete(lake, poll(("entry of a", "2")))


def test_skipping_the_validator_check_would_lose_an_entry(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the check is for: without it the books name an entry that no table has."""
    monkeypatch.setattr(commit_module, "is_complete", lambda lake, poll: True)
    commit(lake, Batch(drafts=[draft("a", PIER)], polls=[poll(("entry of a", "1"), ("lost", "1"))]))
    assert reopened(lake).feed_states(["feed"])["feed"].etag == '"1"', "the feed would now answer 304"
    (line,) = check_books(lake)
    assert "1 new entries are in no table, the first is lost" in line


def test_balanced_books_give_no_line(lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll]) -> None:
    done = poll(("entry of a", "1"), ("d", "1"), known=3)
    commit(lake, Batch(drafts=[draft("a", PIER)], failures=[dead_letter("d")], polls=[done]))
    assert check_books(lake) == []


@pytest.mark.parametrize(
    "wrong, words",
    [({"entries": 5}, "5 entries, but 0 known and 1 new"), ({"new": 2, "entries": 2}, "2 new with 1 ids")],
)
def test_unbalanced_books_are_named(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], wrong: dict[str, int], words: str
) -> None:
    commit(lake, Batch(drafts=[draft("a", PIER)], polls=[poll(("entry of a", "1"), **wrong)]), run_id="r")
    (line,) = check_books(lake, run_id="r")
    assert words in line
    assert check_books(lake, run_id="another run") == []


def test_tables_are_committed_in_order(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], monkeypatch: pytest.MonkeyPatch
) -> None:
    points: list[str] = []
    monkeypatch.setattr(lake_module, "on_point", points.append)
    batch = Batch(drafts=[draft("a", PIER)], failures=[dead_letter("d")], polls=[poll(("entry of a", "1"))])
    commit(lake, batch)
    steps = ("data_file", "before_commit", "after_commit")
    assert points == [f"{step}:{table}" for table in ("articles", "dead_letters", "polls") for step in steps]


@pytest.mark.parametrize("table", ["articles", "dead_letters", "polls"])
@pytest.mark.parametrize("step", ["data_file", "before_commit", "after_commit"])
def test_a_commit_that_stops_at_any_point_is_healed_by_the_next(
    lake: Lake, draft: Callable[..., Draft], poll: Callable[..., Poll], table: str, step: str
) -> None:
    class Stopped(BaseException):
        pass

    def stop(name: str) -> None:
        if name == f"{step}:{table}":
            raise Stopped

    batch = Batch(
        drafts=[draft("a", PIER), draft("b", FERRY)],
        failures=[dead_letter("d")],
        polls=[poll(("entry of a", "1"), ("entry of b", "1"), ("d", "1"))],
    )
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(lake_module, "on_point", stop)
        commit(lake, batch, now=NOON)
    again = reopened(lake)
    commit(again, batch, now=NOON)
    assert rows(lake) == [("a", 1), ("b", 1)]
    assert dead(lake) == [("d", "dead_lettered")]
    assert reopened(lake).read(POLLS, ["feed_id"]).num_rows == (2 if (step, table) == ("after_commit", "polls") else 1)
    assert check_books(again) == []


def test_a_transient_failure_is_written_again_only_after_its_retry_time(lake: Lake) -> None:
    retry_at = NOON + Duration(seconds=900)
    waiting = dead_letter("w", permanent=False, retry_at=retry_at)
    early = dead_letter("w", permanent=False, retry_at=retry_at, failed_at=NOON + Duration(seconds=60))
    due = dead_letter("w", failed_at=retry_at, attempt=2)
    assert commit(lake, Batch(failures=[waiting])).dead_lettered == 1
    assert commit(lake, Batch(failures=[early])).dead_lettered == 0
    assert commit(lake, Batch(failures=[due])).dead_lettered == 1
    assert dead(lake, "entry_id", "attempt", "permanent") == [("w", 1, False), ("w", 2, True)]


def test_a_draft_without_a_fingerprint_is_a_plain_error(lake: Lake) -> None:
    with pytest.raises(ValueError, match="draft x has no fingerprint"):
        commit(lake, Batch(drafts=[Draft("x", text="t", entry_id="e")]))


TEXTS = [PIER, FERRY, PIER.replace("Monday", "Tuesday"), FERRY + "\nThe owners gave no reason.", "Short note."]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=7),
    st.lists(st.integers(0, 7), max_size=3),
)
def test_any_split_of_a_sequence_into_commits_gives_the_same_table(
    tmp_path_factory: pytest.TempPathFactory,
    draft: Callable[..., Draft],
    sequence: list[tuple[int, int]],
    cuts: Sequence[int],
) -> None:
    drafts = [
        draft(f"a{article}", TEXTS[text], entry_id=f"e{i}", first_seen_at=NOON + Duration(seconds=i))
        for i, (article, text) in enumerate(sequence)
    ]

    def table(cuts: Sequence[int]) -> list[tuple[Optional[object], ...]]:
        lake = lake_module.open_lake(str(tmp_path_factory.mktemp("split") / "lake"))
        edges = [0, *sorted(c for c in cuts if c <= len(drafts)), len(drafts)]
        for start, end in itertools.pairwise(edges):
            commit(lake, Batch(drafts=drafts[start:end]))
        return rows(lake, "article_id", "revision", "text", "duplicate_of", "story_id", "copy_kind")

    assert table(cuts) == table([])


def test_the_transform_commits_a_wave_and_gives_its_result(lake: Lake, draft: Callable[..., Draft]) -> None:
    items = [CommitItem(draft=draft("a", PIER)), CommitItem(failure=dead_letter("d"))]
    with _TestPipeline(runner="FnApiRunner") as pipeline:
        results = pipeline | beam.Create(items) | CommitToLake(lake_uri=str(lake.root), run_id="run")
        assert_that(results, equal_to([CommitResult(article_new=1, dead_lettered=1)]))
    assert rows(lake, "article_id", "run_id") == [("a", "run")]


def test_a_commit_that_is_always_outrun_gives_up_with_a_word(
    lake: Lake, draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    def outrun(*args: object, **kwargs: object) -> str:
        raise OutrunError("Concurrent transaction failed.")

    monkeypatch.setattr(lake_module.Lake, "append", outrun)
    monkeypatch.setattr(commit_module, "MOST_TRIES", 3)
    with pytest.raises(lake_module.LakeError, match="3 commits in a row were outrun"):
        commit(lake, Batch(drafts=[draft("a", PIER)]))


def test_a_process_that_runs_on_over_the_window_forgets_what_a_new_one_would_not_load(
    lake: Lake, draft: Callable[..., Draft]
) -> None:
    text = "The county council voted to mend the old bridge at Hallam before the winter rains arrive this year. " * 4
    commit(lake, Batch([draft("old", text)]), now=NOON)
    for days, expected in ((commit_module.COPY_WINDOW_DAYS, "old"), (commit_module.COPY_WINDOW_DAYS + 1, None)):
        later = NOON + Duration(seconds=86_400 * days)
        probe = draft(f"after {days}", text, first_seen_at=later)
        running, started = commit_module._memory_of(lake), commit_module._Memory()
        running.refresh(lake, later)
        started.refresh(lake, later)
        (found,), (fresh,) = (assign_copies(memory.copies, [probe]) for memory in (running, started))
        assert (found.duplicate_of, fresh.duplicate_of) == (expected, expected)
