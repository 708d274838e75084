"""Copies: what is one, what is none, which article is the canonical, and that no order of commits changes it."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import assign_copies as copies
from transforms import fingerprint as prints
from transforms.assign_copies import CopyMemory, assign_copies
from transforms.fingerprint import fingerprint
from transforms.records import CopyAssignment, Draft

GOLDEN = Path(__file__).parent / "golden" / "copies"


def cases(name):
    with (GOLDEN / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [pytest.param(case, id=case["name"]) for case in map(json.loads, lines)]


COPIES = [param.values[0] for param in cases("copies")]
SISTERS = [param.values[0] for param in cases("sister_events")]
WIRE = COPIES[0]["first"]
PARAGRAPHS = WIRE.split("\n\n")


def article(article_id, text, *, seen=0, language="en"):
    first_seen_at = Timestamp(1_000_000 + seen)
    return Draft(article_id, text=text, language=language, fingerprint=fingerprint(text), first_seen_at=first_seen_at)


def decide(*drafts):
    """Return (duplicate_of, copy_kind) for each draft, decided as one batch."""
    return [(one.duplicate_of, one.copy_kind) for one in assign_copies(CopyMemory(), drafts)]


def run(batches, memory=None):
    memory = CopyMemory() if memory is None else memory
    result: list[CopyAssignment] = []
    for batch in batches:
        found = assign_copies(memory, batch)
        memory.commit(batch, found)
        result.extend(found)
    return result


@pytest.mark.parametrize("case", cases("copies"))
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two commits"])
def test_copies_are_found(case, together):
    drafts = [article(n, case[n], language=case["language"]) for n in ("first", "second")]
    _, second = run([drafts] if together else [drafts[:1], drafts[1:]])
    assert second.duplicate_of == "first"
    assert second.copy_kind in case["expected"]
    assert 0.0 < second.similarity <= 1.0


@pytest.mark.parametrize("case", cases("sister_events"))
@pytest.mark.parametrize("swapped", [False, True], ids=["as written", "swapped"])
def test_sister_events_are_no_copies(case, swapped):
    drafts = [article(n, case[n], language=case["language"]) for n in ("first", "second")]
    if swapped:
        drafts = [article("first", case["second"]), article("second", case["first"])]
    assert decide(*drafts) == [(None, None), (None, None)]


def test_an_exact_copy_has_similarity_one():
    assert assign_copies(CopyMemory(), [article("a", WIRE), article("b", WIRE.upper())])[1] == CopyAssignment(
        "b", "a", 1.0, "exact"
    )


def test_the_first_to_arrive_is_the_canonical_whatever_the_order_of_the_batch():
    late, early = article("a", WIRE, seen=9), article("b", WIRE, seen=3)
    assert decide(late, early) == [("b", "exact"), (None, None)]


def test_at_the_same_moment_the_smaller_id_is_the_canonical():
    assert decide(article("z", WIRE), article("m", WIRE)) == [("m", "exact"), (None, None)]


def test_an_excerpt_is_contained_in_the_longer_text_but_not_the_other_way_round():
    short = "\n\n".join(PARAGRAPHS[:2])
    long = WIRE + "\n\n" + "\n\n".join(COPIES[-5]["first"].split("\n\n")[:2])
    assert decide(article("a", long), article("b", short)) == [(None, None), ("a", "contained")]
    assert decide(article("a", short), article("b", long)) == [(None, None), (None, None)]


@pytest.mark.parametrize(
    "first, second, found",
    [("en", "en-GB", True), ("en", None, True), ("und", "en", True), ("en", "de", False), ("EN_us", "en", True)],
)
def test_texts_in_two_languages_are_no_copies(first, second, found):
    drafts = article("a", WIRE, language=first), article("b", WIRE, language=second)
    assert decide(*drafts)[1] == (("a", "exact") if found else (None, None))
    assert [g.duplicate_of for g in run([[draft] for draft in drafts])] == [None, "a" if found else None]


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ("Ferry strike ends at midnight, union says.", "FERRY STRIKE ends at midnight, union says", ("a", "exact")),
        ("Ferry strike ends at midnight, union says.", "Ferry strike ends at noon, union says.", (None, None)),
        ("Photo: agency", "Photo: agency", (None, None)),
        ("", "", (None, None)),
    ],
    ids=["equal", "almost equal", "too short to say anything", "empty"],
)
def test_short_texts_are_copies_only_if_equal(first, second, expected):
    assert decide(article("a", first), article("b", second))[1] == expected


def test_a_draft_without_fingerprint_is_nobodys_copy():
    bare = Draft("a", text=WIRE)
    memory = CopyMemory()
    assert [one.duplicate_of for one in run([[bare], [bare], [article("b", WIRE)]], memory)] == [None] * 3


def test_a_fingerprint_of_another_layout_is_compared_by_its_text_hash_only():
    strange = Draft("a", language="en", fingerprint=prints.Fingerprint("feed", b"12", (1, 2), 300, ()))
    equal = Draft("b", language="en", fingerprint=prints.Fingerprint("feed", b"", (), 300, ()))
    assert decide(strange, equal, article("c", WIRE)) == [(None, None), ("a", "exact"), (None, None)]


def test_a_copy_of_a_copy_names_the_canonical():
    middle = "\n\n".join(PARAGRAPHS[:6])
    last = "A headline of its own\n\n" + "\n\n".join(PARAGRAPHS[:5])
    found = run([[article("a", WIRE)], [article("b", middle)], [article("c", middle), article("d", last)]])
    assert [g.duplicate_of for g in found] == [None, "a", "a", "a"]
    # What it says of the similarity is about the article it names.
    assert found[2].similarity == found[1].similarity
    assert found[2].copy_kind == "near"


def test_a_story_that_is_updated_again_and_again_does_not_drift_into_one_family():
    english = [case["first"] for case in COPIES[:1] + SISTERS if case["language"] == "en"]
    sentences = [sentence for text in english for sentence in text.split(". ")]
    versions = [". ".join(sentences[n : n + 12]) for n in range(0, 40, 2)]
    found = run([[article(f"{n:02d}", text, seen=n) for n, text in enumerate(versions)]])
    shingles = [set(pairwise(text.split())) for text in versions]
    for n, one in enumerate(found):
        if one.duplicate_of is not None:
            other = shingles[int(one.duplicate_of)]
            assert len(shingles[n] & other) / len(shingles[n] | other) > 0.3
    assert sum(one.duplicate_of is None for one in found) > 3


def test_a_revision_is_not_a_copy_of_itself():
    assert [g.duplicate_of for g in run([[article("a", WIRE)], [article("a", WIRE + " More.")]])] == [None, None]
    assert decide(article("a", WIRE), article("a", WIRE)) == [(None, None), (None, None)]


def test_a_revision_of_a_canonical_stays_one():
    other = COPIES[-1]["first"]
    steps = [[article("x", other)], [article("a", WIRE)], [article("b", WIRE)], [article("a", other)]]
    assert [g.duplicate_of for g in run(steps)] == [None, None, "a", None]
    in_one = [article(d.article_id, d.text, seen=n) for n, [d] in enumerate(steps)]
    assert [g.duplicate_of for g in run([in_one])] == [None, None, "a", None]


def test_a_revision_of_a_copy_is_assigned_anew():
    other = SISTERS[2]["first"]
    steps = [
        [article("a", WIRE)],
        [article("b", WIRE)],
        [article("b", other)],
        [article("c", WIRE)],
        [article("d", other)],
    ]
    assert [g.duplicate_of for g in run(steps)] == [None, "a", None, "a", "b"]


def test_the_text_of_an_older_revision_is_still_known():
    steps = [[article("a", WIRE)], [article("a", COPIES[-1]["first"])], [article("b", WIRE)]]
    assert [g.duplicate_of for g in run(steps)] == [None, None, "a"]


def test_deciding_changes_nothing():
    memory = CopyMemory()
    batch = [article("a", WIRE), article("b", WIRE)]
    assert assign_copies(memory, batch) == assign_copies(memory, batch)
    assert len(memory) == 0


def test_assignments_of_another_batch_are_refused():
    with pytest.raises(ValueError, match="not those of this batch"):
        CopyMemory().commit([article("a", WIRE)], [CopyAssignment("b")])


def test_an_empty_batch_is_fine():
    memory = CopyMemory()
    memory.commit([], assign_copies(memory, []))
    assert len(memory) == 0


# Texts that tempt: whole stories, cut, wrapped and edited versions of them, templates, short lines.
TEXTS = [case[part] for case in COPIES + SISTERS for part in ("first", "second")]
TEXTS += ["\n\n".join(PARAGRAPHS[:n]) for n in range(1, 7)] + ["\n\n".join(PARAGRAPHS[n:]) for n in range(1, 5)]
TEXTS += ["Ferry strike ends at midnight, union says.", "Advertisement", ""]


@st.composite
def sequences(draw):
    """Return a sequence of articles in order of arrival, with revisions and equal moments, and where to cut it."""
    count = draw(st.integers(2, 14))
    seen, drafts = 0, []
    for _ in range(count):
        seen += draw(st.integers(0, 1))
        language = draw(st.sampled_from(["en", "en", "de", None]))
        drafts.append(
            article(draw(st.sampled_from("abcdefghij")), draw(st.sampled_from(TEXTS)), seen=seen, language=language)
        )
    drafts.sort(key=lambda draft: (draft.first_seen_at, draft.article_id))
    cuts = sorted(draw(st.sets(st.integers(1, count - 1), max_size=count - 1)))
    return drafts, [drafts[start:end] for start, end in pairwise([0, *cuts, count])]


@given(sequences())
@settings(max_examples=150, deadline=None)
def test_any_split_of_a_sequence_gives_the_same_copies(case):
    drafts, batches = case
    assert run(batches) == run([drafts]) == run([[draft] for draft in drafts])


@given(sequences(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_within_a_batch_does_not_matter(case, random):
    drafts = list({draft.article_id: draft for draft in case[0]}.values())
    shuffled = list(drafts)
    random.shuffle(shuffled)
    expected = {one.article_id: one for one in assign_copies(CopyMemory(), drafts)}
    assert {one.article_id: one for one in assign_copies(CopyMemory(), shuffled)} == expected


@given(sequences())
@settings(max_examples=100, deadline=None)
def test_nothing_points_at_a_copy(case):
    _, batches = case
    latest = {}
    for one in run(batches):
        latest[one.article_id] = one.duplicate_of
        assert one.duplicate_of != one.article_id
        assert latest.get(one.duplicate_of) is None
    for original in filter(None, latest.values()):
        assert latest[original] is None


def columns_of(drafts, found):
    return {
        "article_id": [d.article_id for d in drafts],
        "text_hash": [d.fingerprint.text_hash for d in drafts],
        "signature": [d.fingerprint.signature for d in drafts],
        "bands": [list(d.fingerprint.bands) for d in drafts],
        "tokens": [d.fingerprint.tokens for d in drafts],
        "language": [d.language for d in drafts],
        "duplicate_of": [g.duplicate_of for g in found],
    }


def as_arrow(columns):
    return {name: pa.chunked_array([pa.array(cells)]) for name, cells in columns.items()}


def as_numpy(columns):
    return {
        **columns,
        "bands": np.array(columns["bands"], dtype=np.int64),
        "tokens": np.array(columns["tokens"]),
        "signature": b"".join(columns["signature"]),
    }


@given(sequences())
@settings(max_examples=60, deadline=None)
def test_a_memory_filled_from_columns_decides_like_one_that_grew(case):
    drafts, batches = case
    for shape in (dict, as_arrow, as_numpy):
        memory = CopyMemory()
        past = [draft for batch in batches[:-1] for draft in batch]
        if past:
            memory.load(shape(columns_of(past, run(batches[:-1]))))
        assert list(assign_copies(memory, batches[-1])) == run([drafts])[len(past) :]


def test_columns_may_hold_articles_without_fingerprint():
    columns = columns_of([article("a", WIRE)], [CopyAssignment("a")])
    for name in ("text_hash", "signature", "bands", "tokens", "language"):
        columns[name] = [*columns[name], None]
    columns["article_id"].append("b")
    columns["duplicate_of"].append(None)
    for shape in (dict, as_arrow):
        memory = CopyMemory()
        memory.load(shape(columns))
        assert len(memory) == 2
        assert assign_copies(memory, [article("c", WIRE)])[0].duplicate_of == "a"


def test_columns_of_different_length_are_refused():
    columns = columns_of([article("a", WIRE)], [CopyAssignment("a")])
    with pytest.raises(ValueError, match="differ in length"):
        CopyMemory().load({**columns, "duplicate_of": []})


def test_what_is_removed_is_no_longer_found():
    memory = CopyMemory()
    run([[article("a", WIRE)], [article("b", WIRE)]], memory)
    memory.remove(["a", "unheard of"])
    # The copy goes on naming the article it was a copy of, so that the family keeps its name.
    assert assign_copies(memory, [article("c", WIRE)])[0].duplicate_of == "a"
    memory.remove(["b"])
    assert assign_copies(memory, [article("c", WIRE)])[0].duplicate_of is None
    assert len(memory) == 0


def test_a_removed_copy_that_returns_is_judged_by_its_new_text():
    memory = CopyMemory()
    run([[article("a", WIRE)], [article("b", WIRE)]], memory)
    memory.remove(["b"])
    other = COPIES[-1]["first"]
    run([[article("b", other)]], memory)
    assert assign_copies(memory, [article("c", other)])[0].duplicate_of == "b"


def test_many_commits_find_what_one_would():
    texts = [f"{WIRE} {' '.join(f'word{n}x{m}' for m in range(400))}" for n in range(60)]
    memory = CopyMemory()
    run([[article(f"{n:03d}", text, seen=n)] for n, text in enumerate(texts)], memory)
    found = assign_copies(memory, [article(f"copy{n:03d}", text, seen=100 + n) for n, text in enumerate(texts)])
    assert [g.duplicate_of for g in found] == [f"{n:03d}" for n in range(60)]


def test_a_crowded_band_keeps_the_newest(monkeypatch):
    # One text in eight languages: never copies of one another, all in the same bands.
    monkeypatch.setattr(copies, "BUCKET_ROWS", 3)
    drafts = [article(language, WIRE, seen=n, language=language) for n, language in enumerate("abcdefgh")]
    again = [article("of h", WIRE, seen=20, language="h"), article("of a", WIRE, seen=21, language="a")]
    for batches in ([drafts + again], [drafts, again], [drafts[:4], drafts[4:] + again], [[d] for d in drafts + again]):
        assert [one.duplicate_of for one in run(batches)] == [None] * 8 + ["h", None]


def test_the_two_files_agree_on_the_layout_of_a_signature():
    assert (copies.SHINGLE_VALUES, copies.FACT_VALUES, copies.BANDS) == (
        prints.SHINGLE_VALUES,
        prints.FACT_VALUES,
        prints.BANDS,
    )
