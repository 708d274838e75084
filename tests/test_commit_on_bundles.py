"""commit_on_bundles: what is kept while the lake is away, what breaks a commit, and the step in a pipeline."""

import logging
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline
from apache_beam.utils.timestamp import Timestamp

from tests.conftest import NOON
from transforms import commit_on_bundles, telemetry
from transforms.check_books import check_books
from transforms.commit import waiting_polls
from transforms.commit_on_bundles import CommitOnBundles, CommitService
from transforms.lake import Lake
from transforms.records import CommitItem, Draft, Poll
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS

TEXT = "The council of Hallam mends its bridge before the winter rains arrive, and the ferry carries walkers. " * 6


class Clock:
    def __init__(self) -> None:
        self.now = 1_770_000_100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(lake: Lake, clock: Clock) -> CommitService:
    return CommitService(str(lake.root), "run", clock=clock, jitter=lambda: 0.5)


def ids(lake: Lake) -> list[str]:
    lake.refresh()
    return sorted(lake.read(ARTICLES, ["article_id"])["article_id"].to_pylist())


def counted(metric: Any) -> float:
    return float(metric._value.get())


@pytest.fixture
def away(lake: Lake) -> Iterator[Callable[[], None]]:
    """A function that takes the lake away, and when called again brings it back."""
    elsewhere = lake.root.with_name("elsewhere")

    def toggle() -> None:
        source, target = (lake.root, elsewhere) if lake.root.exists() else (elsewhere, lake.root)
        shutil.move(source, target)

    yield toggle
    if elsewhere.exists():
        toggle()


def test_items_of_a_bundle_are_committed_counted_and_told(
    lake: Lake,
    service: CommitService,
    draft: Callable[..., Draft],
    poll: Callable[..., Poll],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = counted(telemetry.ENTRIES.labels("article_new"))
    with caplog.at_level(logging.INFO):
        service.offer([CommitItem(draft=draft("a", TEXT)), CommitItem(poll=poll(("entry of a", "1")))])
    (line,) = [record for record in caplog.records if record.name == "newsbeam.commit"]
    told = vars(line)
    assert (line.getMessage(), told["run_id"], told["article_new"]) == ("committed 1 article_new", "run", 1)
    assert ids(lake) == ["a"]
    assert len(lake.read(POLLS, ["feed_id"])) == 1
    assert counted(telemetry.ENTRIES.labels("article_new")) == before + 1
    assert (service.offered_items, service.pending_items, service.committed_at) == (2, 0, 1_770_000_100.0)


def test_a_lake_that_is_away_costs_nothing_but_time(
    lake: Lake, service: CommitService, clock: Clock, away: Callable[[], None], draft: Callable[..., Draft]
) -> None:
    away()
    service.offer([CommitItem(draft=draft("a", TEXT))])
    service.offer([CommitItem(draft=draft("b", TEXT[::-1]))])
    assert service.pending_items == 2
    assert not lake.root.exists(), "no lake may be made where the old one will be again"
    away()
    service.offer([])  # too early: the next try is a second after the last
    assert service.pending_items == 2
    clock.now += 1.5
    service.offer([])
    assert (service.pending_items, ids(lake)) == (0, ["a", "b"])


def test_tries_keep_growing_distance_up_to_a_bound(
    service: CommitService, clock: Clock, away: Callable[[], None], draft: Callable[..., Draft]
) -> None:
    away()
    failures = telemetry.COMMIT_FAILURES.labels("lake_unreadable"), telemetry.COMMIT_FAILURES.labels("no_lake")
    before = sum(map(counted, failures))
    service.offer([CommitItem(draft=draft("a", TEXT))])
    tried_at = [0]
    for second in range(1, 120):
        clock.now += 1.0
        had = sum(map(counted, failures))
        service.offer([])
        if sum(map(counted, failures)) > had:
            tried_at.append(second)
    distances = [later - earlier for earlier, later in pairwise(tried_at)]
    assert distances == [1, 2, 4, 8, 16, 30, 30]
    assert sum(map(counted, failures)) == before + 8


def test_a_drain_tries_at_once(
    lake: Lake, service: CommitService, away: Callable[[], None], draft: Callable[..., Draft]
) -> None:
    away()
    service.offer([CommitItem(draft=draft("a", TEXT))])
    away()
    service.offer([], at_once=True)
    assert ids(lake) == ["a"]


def test_an_item_that_breaks_the_commit_becomes_a_dead_letter_and_stops_no_other(
    lake: Lake, service: CommitService, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    poison = draft("p", TEXT[::-1], fingerprint=None, url="https://one.example/p")
    items = [CommitItem(draft=draft(name, f"{name} " + TEXT[i * 7 :])) for i, name in enumerate("abc")]
    items.insert(1, CommitItem(draft=poison))
    items.append(CommitItem(poll=poll(*((f"entry of {name}", "1") for name in "abcp"))))
    service.offer(items)
    assert ids(lake) == ["a", "b", "c"]
    (letter,) = lake.read(DEAD_LETTERS, ["reason", "stage", "url", "permanent", "message"]).to_pylist()
    assert (letter["reason"], letter["stage"], letter["permanent"]) == ("bug", "commit", True)
    assert (letter["url"], "no fingerprint" in letter["message"]) == ("https://one.example/p", True)
    assert (waiting_polls(lake), check_books(lake)) == ([], [])


def test_a_poll_whose_entries_never_come_is_given_up_after_an_hour(
    lake: Lake, service: CommitService, clock: Clock, draft: Callable[..., Draft], poll: Callable[..., Poll]
) -> None:
    before = counted(telemetry.BOOKS_UNBALANCED)
    service.offer([CommitItem(poll=poll(("lost", "1"), polled_at=Timestamp.of(clock.now)))])
    assert len(waiting_polls(lake)) == 1
    clock.now += 3_500.0
    service.offer([CommitItem(draft=draft("a", TEXT))])
    assert len(waiting_polls(lake)) == 1
    clock.now += 200.0
    service.offer([CommitItem(draft=draft("b", TEXT[::-1]))])
    assert waiting_polls(lake) == []
    assert counted(telemetry.BOOKS_UNBALANCED) == before + 1
    assert len(lake.read(POLLS, ["feed_id"])) == 0


def test_as_a_step_it_commits_each_bundle_and_passes_over_empty_items(
    lake: Lake, draft: Callable[..., Draft], tmp_path: Path
) -> None:
    uri = str(lake.root)
    items = [CommitItem(draft=draft("a", TEXT, first_seen_at=NOON)), CommitItem()]
    try:
        pipeline = _TestPipeline(runner="FnApiRunner")
        with pipeline:
            _ = (
                pipeline
                | beam.Create(items).with_output_types(CommitItem)
                | CommitOnBundles(lake_uri=uri, run_id="run 7")
            )
        assert commit_on_bundles._services[uri].offered_items == 1
    finally:
        commit_on_bundles._services.pop(uri, None)
    assert ids(lake) == ["a"]
    assert lake.read(ARTICLES, ["run_id"])["run_id"].to_pylist() == ["run 7"]
