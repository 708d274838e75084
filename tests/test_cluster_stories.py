"""Stories: one event is one story, two events are two, and that no order of commits changes it."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.cluster_stories import (
    MOST_TERMS,
    WINDOW_MICROS,
    StoryMemory,
    _title_terms,
    assign_stories,
)
from transforms.fingerprint import MOST_TERMS as FINGERPRINT_TERMS
from transforms.fingerprint import fingerprint
from transforms.records import Draft, Fingerprint, StoryAssignment

GOLDEN = Path(__file__).parent / "golden" / "copies"


def cases(name):
    with (GOLDEN / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


COPIES = cases("copies")
SISTERS = cases("sister_events")
WIRE = COPIES[0]["first"]

# Three desks on one event, each in its own words, and one on another event of the same kind.
MINE = [
    """Thirty-four zinc miners walked free near Liskerton on Thursday after almost a week under ground. Rescuers had
    bored a shaft of more than 200 metres to reach the gallery where the men had taken refuge when water broke in.
    Relatives cheered as shift leader Domenic Abara, the oldest of them, left the steel capsule. Orrin Metals, the
    owner, faces an inquiry. Deputy Interior Minister Karla Venn called it a day of relief.""",
    """The owner of the flooded Liskerton mine ignored warnings about old workings for years, documents suggest. Orrin
    Metals was fined twice before the accident that trapped 34 miners for six days. Prosecutors now want to know who
    signed the maps. Hugh Lattimer, a spokesman for Orrin Metals, would not comment. Karla Venn, the deputy interior
    minister, promised a new mining law before the summer.""",
    WIRE,
]
FERRY = """The ferry Alma Castrel ran aground off Port Elwin on Tuesday with 212 people on board. Nobody was hurt, the
harbour master Ines Thorwald said. Divers found a tear in the hull of the Alma Castrel. The ferry is to be towed to the
yard in Dunhaven, and the Elwin Line has cancelled its crossings until Friday."""


def article(article_id, text, *, title=None, seen=0.0, language="en"):
    return Draft(
        article_id,
        title=title,
        text=text,
        language=language,
        fingerprint=fingerprint(text),
        first_seen_at=Timestamp(1_000_000 + seen),
    )


def run(batches, memory=None):
    memory = StoryMemory() if memory is None else memory
    result: list[StoryAssignment] = []
    for batch in batches:
        found = assign_stories(memory, batch)
        memory.commit(batch, found)
        result.extend(found)
    return result


def stories(*drafts):
    return [one.story_id for one in assign_stories(StoryMemory(), drafts)]


def test_reports_of_one_event_are_one_story_and_another_event_is_another():
    drafts = [article("a", MINE[0]), article("b", FERRY), article("c", MINE[1]), article("d", MINE[2])]
    assert stories(*drafts) == ["a", "b", "a", "a"]
    assert [one.story_id for one in run([[draft] for draft in drafts])] == ["a", "b", "a", "a"]


@pytest.mark.parametrize("case", COPIES, ids=[case["name"] for case in COPIES])
def test_copies_are_of_the_same_story(case):
    drafts = [article(part, case[part], language=case["language"]) for part in ("first", "second")]
    assert stories(*drafts) == ["first", "first"]


@pytest.mark.parametrize(
    "name", ["two earthquakes", "dos sismos", "quarterly results of two firms", "the same weekly column"]
)
def test_texts_of_one_mould_about_other_things_are_not_one_story(name):
    case = next(case for case in SISTERS if case["name"].startswith(name))
    assert stories(article("a", case["first"]), article("b", case["second"])) == ["a", "b"]


def test_the_first_to_arrive_names_the_story():
    assert stories(article("a", MINE[0], seen=9), article("b", MINE[1], seen=3)) == ["b", "b"]
    assert stories(article("z", MINE[0]), article("m", MINE[1])) == ["m", "m"]


def test_articles_far_apart_in_time_do_not_meet():
    window = WINDOW_MICROS / 1e6
    assert stories(article("a", MINE[0]), article("b", MINE[1], seen=window)) == ["a", "a"]
    assert stories(article("a", MINE[0]), article("b", MINE[1], seen=window + 1)) == ["a", "b"]


@pytest.mark.parametrize("second, expected", [("en-GB", "a"), (None, "a"), ("de", "b")])
def test_two_languages_are_two_stories(second, expected):
    assert stories(article("a", MINE[0]), article("b", MINE[0], language=second))[1] == expected


def test_an_article_without_fingerprint_or_words_is_a_story_of_its_own():
    assert stories(Draft("a", text=WIRE), Draft("b", text=WIRE), article("c", ""), article("d", "")) == list("abcd")


def test_a_revision_keeps_its_story_and_the_new_text_speaks_for_it():
    steps = [[article("a", MINE[0])], [article("b", MINE[1])], [article("b", FERRY)], [article("c", FERRY)]]
    assert [one.story_id for one in run(steps)] == ["a", "a", "a", "a"]
    # The text that "a" no longer has finds nothing any more.
    steps = [[article("a", MINE[0])], [article("a", FERRY)], [article("b", MINE[0])]]
    assert [one.story_id for one in run(steps)] == ["a", "a", "b"]


def test_words_of_the_headline_weigh_more():
    title_terms = set(_title_terms("Ferry Alma Castrel runs AGROUND off Port Elwin").tolist())
    body_terms = {term >> 1 for term in fingerprint(FERRY).terms}
    words = ("ferry", "alma", "castrel", "aground", "port", "elwin")
    assert len(title_terms & body_terms) == len(words)


def test_deciding_changes_nothing():
    memory = StoryMemory()
    batch = [article("a", MINE[0]), article("b", MINE[1])]
    assert assign_stories(memory, batch) == assign_stories(memory, batch)
    assert len(memory) == 0


def test_assignments_of_another_batch_are_refused():
    with pytest.raises(ValueError, match="not those of this batch"):
        StoryMemory().commit([article("a", WIRE)], [StoryAssignment("b", "b")])


TEXTS = [case[part] for case in COPIES + SISTERS for part in ("first", "second")] + MINE + [FERRY, "", "Advertisement"]
TITLES = [None, "All miners rescued at Liskerton", "Ferry Alma Castrel aground", "Erdbeben"]


@st.composite
def sequences(draw):
    """Return a sequence of articles in order of arrival, with revisions and equal moments, and where to cut it."""
    count = draw(st.integers(2, 14))
    seen, drafts = 0.0, []
    for _ in range(count):
        seen += draw(st.sampled_from([0, 0, 1, 3600, 2 * 86400]))
        article_id, text = draw(st.sampled_from("abcdefghijkl")), draw(st.sampled_from(TEXTS))
        title, language = draw(st.sampled_from(TITLES)), draw(st.sampled_from(["en", "en", "de", None]))
        drafts.append(article(article_id, text, title=title, seen=seen, language=language))
    drafts.sort(key=lambda draft: (draft.first_seen_at, draft.article_id))
    cuts = sorted(draw(st.sets(st.integers(1, count - 1), max_size=count - 1)))
    return drafts, [drafts[start:end] for start, end in pairwise([0, *cuts, count])]


@given(sequences())
@settings(max_examples=100, deadline=None)
def test_any_split_of_a_sequence_gives_the_same_stories(case):
    drafts, batches = case
    assert run(batches) == run([drafts]) == run([[draft] for draft in drafts])


@given(sequences(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_within_a_batch_does_not_matter(case, random):
    drafts = list({draft.article_id: draft for draft in case[0]}.values())
    shuffled = list(drafts)
    random.shuffle(shuffled)
    expected = {one.article_id: one for one in assign_stories(StoryMemory(), drafts)}
    assert {one.article_id: one for one in assign_stories(StoryMemory(), shuffled)} == expected


def columns_of(drafts, found):
    return {
        "article_id": [draft.article_id for draft in drafts],
        "story_id": [one.story_id for one in found],
        "terms": [list(draft.fingerprint.terms) for draft in drafts],
        "title": [draft.title for draft in drafts],
        "first_seen_at": [draft.first_seen_at.micros for draft in drafts],
        "language": [draft.language for draft in drafts],
    }


def as_arrow(columns):
    types = {"terms": pa.list_(pa.int64()), "title": pa.string(), "language": pa.string()}
    return {name: pa.chunked_array([pa.array(cells, types.get(name))]) for name, cells in columns.items()}


def as_numpy(columns):
    return {**columns, "first_seen_at": np.array(columns["first_seen_at"], dtype=np.int64)}


@given(sequences())
@settings(max_examples=50, deadline=None)
def test_a_memory_filled_from_columns_decides_like_one_that_grew(case):
    drafts, batches = case
    past = [draft for batch in batches[:-1] for draft in batch]
    for shape in (dict, as_arrow, as_numpy):
        memory = StoryMemory()
        if past:
            memory.load(shape(columns_of(past, run(batches[:-1]))))
        assert list(assign_stories(memory, batches[-1])) == run([drafts])[len(past) :]


def test_columns_may_hold_nothing_where_an_article_has_nothing():
    columns = columns_of([article("a", MINE[0])], [StoryAssignment("a", "a")])
    for name in ("terms", "title", "language"):
        columns[name].append(None)
    columns["article_id"].append("b")
    columns["story_id"].append("b")
    columns["first_seen_at"].append(0)
    memory = StoryMemory()
    memory.load(as_arrow(columns))
    assert assign_stories(memory, [article("c", MINE[1])])[0].story_id == "a"


def test_columns_of_different_length_are_refused():
    columns = columns_of([article("a", WIRE)], [StoryAssignment("a", "a")])
    with pytest.raises(ValueError, match="differ in length"):
        StoryMemory().load({**columns, "story_id": []})


def test_more_terms_than_expected_are_cut():
    long = Draft("a", language="en", fingerprint=Fingerprint("0", terms=tuple(range(2, 200, 2))))
    assert stories(long, Draft("b", language="en", fingerprint=long.fingerprint)) == ["a", "a"]


def test_the_two_files_agree_on_the_number_of_terms():
    assert MOST_TERMS == FINGERPRINT_TERMS
