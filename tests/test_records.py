"""records: every row type has a deterministic row coder and survives a round trip."""

import dataclasses
import subprocess
import sys

import pytest
from apache_beam import coders
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from transforms import records
from transforms.commit import CommitResult
from transforms.records import (
    CommitItem,
    Draft,
    Failure,
    FeedSpec,
    Fingerprint,
    Poll,
    Removal,
    Row,
    Topic,
    Wave,
    digest64,
    entry_id_of,
    feed_id_of,
)

ROWS = [cls for cls in vars(records).values() if isinstance(cls, type) and issubclass(cls, Row) and cls is not Row]


@pytest.mark.parametrize("cls", [*ROWS, CommitResult], ids=lambda cls: cls.__name__)
def test_every_row_has_a_deterministic_row_coder(cls: type) -> None:
    coder = coders.registry.get_coder(cls)
    assert isinstance(coder, coders.RowCoder)
    assert coder.is_deterministic()


TIMES = st.integers(-(2**50), 2**50).map(lambda micros: Timestamp(micros=micros))
NAMES = st.text(max_size=8)
DRAFTS = st.builds(
    Draft,
    article_id=NAMES,
    text=st.text(),
    title=st.none() | NAMES,
    published_at=st.none() | TIMES,
    authors=st.lists(NAMES, max_size=3),
    removed=st.lists(st.builds(Removal, NAMES, NAMES, st.integers(0, 9), st.integers(0, 9), NAMES), max_size=2),
    topics=st.lists(st.builds(Topic, NAMES, NAMES, st.floats(0, 1), st.lists(NAMES, max_size=2)), max_size=2),
    fingerprint=st.none()
    | st.builds(Fingerprint, NAMES, st.binary(max_size=8), st.lists(st.integers(-9, 9), max_size=2)),
)
POLLS = st.builds(Poll, NAMES, NAMES, TIMES, NAMES, new_entry_ids=st.lists(NAMES, max_size=3), etag=st.none() | NAMES)
FAILURES = st.builds(Failure, NAMES, NAMES, NAMES, NAMES, NAMES, NAMES, NAMES, TIMES, retry_at=st.none() | TIMES)


@given(st.builds(CommitItem, st.none() | DRAFTS, st.none() | FAILURES, st.none() | POLLS))
def test_what_travels_to_the_commit_survives_the_trip(item: CommitItem) -> None:
    coder = coders.registry.get_coder(CommitItem)
    back = coder.decode(coder.encode(item))
    assert back == item
    assert hash(back) == hash(item)


def test_sequences_are_tuples_and_rows_are_frozen() -> None:
    wave = Wave([FeedSpec("id", "https://a.example/feed", tags=["x"])])
    assert wave.feeds == (FeedSpec("id", "https://a.example/feed", tags=("x",)),)
    with pytest.raises(dataclasses.FrozenInstanceError):
        wave.feeds = ()  # type: ignore[misc]


def test_ids_are_stable_for_ever() -> None:
    """These values are in lakes: they must not change."""
    assert feed_id_of("https://a.example/feed") == "fcba8825bf20fbe2"
    assert entry_id_of("fcba8825bf20fbe2", "guid-1") == "47853d67bc15eede"


def test_parts_of_a_digest_do_not_run_into_one_another() -> None:
    assert digest64("ab", "c") != digest64("a", "bc") != digest64("abc")


def test_a_worker_in_another_process_knows_the_classes_again() -> None:
    removal = Removal("r", "k", 0, 1, "x")
    item = CommitItem(draft=Draft("a", text="x", removed=[removal], first_seen_at=Timestamp(5)))
    coder = coders.registry.get_coder(CommitItem)
    context = PipelineContext()
    message = context.coders.get_id(coder), context.to_runner_api().SerializeToString(), coder.encode(item)
    script = (
        "import ast, sys\n"
        "from apache_beam.portability.api import beam_runner_api_pb2\n"
        "from apache_beam.runners.pipeline_context import PipelineContext\n"
        "import transforms.records as records\n"
        "name, components, data = ast.literal_eval(sys.stdin.read())\n"
        "components = beam_runner_api_pb2.Components.FromString(components)\n"
        "item = PipelineContext(components).coders.get_by_id(name).decode(data)\n"
        "print(type(item) is records.CommitItem, type(item.draft) is records.Draft,"
        " type(item.draft.removed[0]) is records.Removal, item.draft.removed[0].text)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], input=repr(message), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.stdout == "True True True x\n", result.stderr
