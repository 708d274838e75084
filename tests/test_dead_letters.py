"""dead_letters: what becomes of an item whose step raises."""

import json
import pickle
from collections.abc import Callable

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import Duration

from tests.conftest import NOON
from transforms.dead_letters import MOST_ATTEMPTS, RETRY_MOST_SECONDS, MapOrReject, failure_of
from transforms.errors import RejectedError, TransientError
from transforms.records import Draft, Failure


def by_title(draft: Draft) -> Draft:
    if draft.title == "rejected":
        raise RejectedError("no story on the page", reason="no_story")
    if draft.title == "bug":
        raise KeyError("byline")
    return draft


def short(failure: Failure) -> tuple[str, str, str, bool]:
    return (failure.entry_id, failure.stage, failure.reason, failure.permanent)


def test_each_item_is_a_row_or_a_failure(draft: Callable[..., Draft]) -> None:
    drafts = [draft(title, "t", title=title, entry_id=title) for title in ("good", "rejected", "bug")]
    with _TestPipeline(runner="FnApiRunner") as pipeline:
        out = pipeline | beam.Create(drafts) | MapOrReject(by_title, stage="strip", output_type=Draft)
        assert_that(out.rows, equal_to(drafts[:1]), "rows")
        wanted = [("rejected", "strip", "no_story", True), ("bug", "strip", "bug", True)]
        assert_that(out.failures | beam.Map(short), equal_to(wanted), "failures")


def test_strict_raises_a_defect(draft: Callable[..., Draft]) -> None:
    pipeline = _TestPipeline(runner="FnApiRunner")
    _ = (
        pipeline
        | beam.Create([draft("a", "t", title="bug")])
        | MapOrReject(by_title, stage="strip", output_type=Draft, strict=True)
    )
    with pytest.raises(KeyError, match="byline"):
        pipeline.run()


def test_a_defect_names_its_place(draft: Callable[..., Draft]) -> None:
    made = draft("a", "t", title="bug", url="https://a.example/x?token=hush")
    with pytest.raises(KeyError) as caught:
        by_title(made)
    failure = failure_of(made, caught.value, stage="tag", now=NOON)
    assert failure.message.startswith("KeyError: 'byline' at test_dead_letters.py:")
    assert failure.url == "https://a.example/x?token=***"
    assert json.loads(failure.replay or "")["title"] == "bug"
    assert pickle.loads(pickle.dumps(failure)) == failure


@pytest.mark.parametrize(
    "attempt, asked, waits", [(1, None, 900), (2, None, 1800), (1, 5000, 5000), (1, 1e9, RETRY_MOST_SECONDS)]
)
def test_a_transient_failure_waits_longer_each_time(
    draft: Callable[..., Draft], attempt: int, asked: float | None, waits: float
) -> None:
    error = TransientError("busy", reason="http_503", retry_after_seconds=asked)
    failure = failure_of(draft("a", "t", attempt=attempt), error, stage="fetch", now=NOON)
    assert not failure.permanent
    assert failure.retry_at == NOON + Duration(seconds=waits)


def test_the_last_attempt_is_final(draft: Callable[..., Draft]) -> None:
    failure = failure_of(draft("a", "t", attempt=MOST_ATTEMPTS), TransientError("busy"), stage="fetch", now=NOON)
    assert (failure.permanent, failure.retry_at) == (True, None)
