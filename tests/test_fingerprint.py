"""Fingerprints: stable to the bit, blind to typography, sharp enough to measure similarity."""

import hashlib

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.fingerprint import (
    BANDS,
    FACT_VALUES,
    SHINGLE_VALUES,
    SIGNATURE_BYTES,
    FingerprintArticles,
    _marked,
    fingerprint,
)
from transforms.records import Draft

ENGLISH = (
    "The ferry Alma Castrel ran aground off Port Elwin on Tuesday with 212 people on board. Nobody was hurt, the "
    "harbour master Ines Thorwald said. The ferry is to be towed to the yard in Dunhaven, 41 miles away."
)
GERMAN = "Die Fähre lief am Dienstag vor Hohenbrück auf Grund. Straßen am Hafen waren für drei Stunden gesperrt."
CHINESE = "临海市水务局周三表示，持续四天的城区停水已全部恢复，约12万户居民可以正常用水。"
HINDI = "नदी के किनारे बसे गाँव में सोमवार को पानी भर गया और लोग स्कूल में ठहरे।"


def values(text):
    return np.frombuffer(fingerprint(text).signature, dtype="<u2")


def estimate(a, b):
    return float((values(a)[:SHINGLE_VALUES] == values(b)[:SHINGLE_VALUES]).mean())


PINNED = {
    ENGLISH: "5317871091b7888c",
    GERMAN: "03edc63769e4889c",
    CHINESE: "d2e73fd372c00e15",
    HINDI: "2613157a92101abc",
    "": "6e60caaf2e06dd2e",
}


def digest_of(print_):
    """One value for the whole fingerprint."""
    parts = repr((print_.text_hash, print_.signature.hex(), print_.bands, print_.tokens, print_.terms))
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


@pytest.mark.parametrize("text", PINNED, ids=["english", "german", "chinese", "hindi", "empty"])
def test_values_never_change_because_lakes_hold_them(text):
    assert digest_of(fingerprint(text)) == PINNED[text]


def test_the_layout_is_as_documented():
    print_ = fingerprint(ENGLISH)
    assert len(print_.text_hash) == 16
    assert int(print_.text_hash, 16) >= 0
    assert len(print_.signature) == SIGNATURE_BYTES == 2 * (SHINGLE_VALUES + FACT_VALUES)
    assert len(print_.bands) == BANDS
    assert all(-(2**63) <= band < 2**63 for band in print_.bands)
    assert print_.tokens == 39
    assert 0 < len(print_.terms) <= 32
    assert all(-(2**31) <= term < 2**31 for term in print_.terms)


@pytest.mark.parametrize(
    "variant",
    [
        ENGLISH.upper(),
        ENGLISH.replace(" ", "  \n"),
        ENGLISH.replace(". ", "… “").replace(",", "\u00a0–"),
        ENGLISH.replace("harbour", "har\u00adbour").replace("ferry", "fer\u200bry"),
        ENGLISH.replace("ff", "ﬀ").replace("212", "２１２"),
    ],
    ids=["case", "white space", "punctuation", "invisible characters", "compatibility forms"],
)
def test_typography_does_not_change_the_text_hash(variant):
    assert variant != ENGLISH
    assert fingerprint(variant).text_hash == fingerprint(ENGLISH).text_hash
    assert values(variant)[:SHINGLE_VALUES].tolist() == values(ENGLISH)[:SHINGLE_VALUES].tolist()


@pytest.mark.parametrize("other", [ENGLISH.replace("212", "213"), ENGLISH + " More.", ENGLISH.replace("Nobody", "One")])
def test_another_word_changes_the_text_hash(other):
    assert fingerprint(other).text_hash != fingerprint(ENGLISH).text_hash


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=300))
@settings(max_examples=200)
def test_ascii_texts_read_the_same_on_the_short_way_and_on_the_long_one(text):
    _, short = _marked(text)
    _, long = _marked(text + " ж")
    assert short.replace("\x1f", " ").split() == long.replace("\x1f", " ").split()[:-1]


@given(st.text(max_size=200))
def test_any_text_has_a_fingerprint_of_the_same_shape(text):
    print_ = fingerprint(text)
    assert len(print_.signature) == SIGNATURE_BYTES
    assert len(print_.bands) == BANDS
    assert fingerprint(text) == print_


def test_a_text_without_words_says_nothing():
    print_ = fingerprint("\u2014 \u2026 !!")
    assert print_.tokens == 0
    assert print_.terms == ()
    assert set(np.frombuffer(print_.signature, dtype="<u2").tolist()) == {0xFFFF}


def test_scripts_without_spaces_are_counted_by_character():
    assert fingerprint("水务局表示").tokens == 5
    assert fingerprint("水务局 12 号").tokens == 5
    assert fingerprint("น้ำท่วม").tokens > 1


def test_vowel_signs_do_not_split_words():
    assert fingerprint(HINDI).tokens == len(HINDI.split())


@pytest.mark.parametrize("shared, total", [(300, 400), (200, 400), (100, 400)])
def test_similarity_is_estimated_within_its_standard_error(shared, total):
    # Words are numbers in letters; each text has `total` shingles, of which `shared` are common.
    letters = str.maketrans("0123456789", "abcdefghij")

    def words(start, count):
        return " ".join(str(10_000 + n).translate(letters) for n in range(start, start + count))

    common = words(0, shared + 4)
    first = common + " " + words(1000, total - shared)
    second = common + " " + words(2000, total - shared)
    jaccard = shared / (2 * total - shared)
    assert abs(estimate(first, second) - jaccard) < 4 * (jaccard * (1 - jaccard) / SHINGLE_VALUES) ** 0.5


def test_unrelated_texts_share_nothing():
    assert estimate(ENGLISH * 3, GERMAN * 3) == 0.0
    assert not set(fingerprint(ENGLISH).bands) & set(fingerprint(GERMAN).bands)


def test_a_long_text_is_read_to_its_end():
    long = " ".join(f"word{n}" for n in range(8000))
    half = " ".join(f"word{n}" for n in range(4000))
    assert abs(estimate(long, half) - 0.5) < 0.18


def test_facts_are_names_and_figures():
    facts = slice(SHINGLE_VALUES, None)
    plain = "Nothing here is a name and nothing is a figure. So the second part is empty."
    assert set(values(plain)[facts].tolist()) == {0xFFFF}
    other_words = (
        "Somebody saw how Alma Castrel went past Port Elwin with 212 aboard, Ines Thorwald wrote, 41 from Dunhaven."
    )
    changed = ENGLISH.replace("Elwin", "Marrow").replace("41", "9")
    same_facts = float((values(ENGLISH)[facts] == values(other_words)[facts]).mean())
    other_facts = float((values(ENGLISH)[facts] == values(changed)[facts]).mean())
    assert same_facts > 0.7 > other_facts
    assert estimate(ENGLISH, other_words) < 0.1


def test_key_terms_put_names_first_and_mark_them():
    terms = fingerprint(ENGLISH).terms
    leading = {
        term for text in ("x Alma.", "x Castrel.", "x Elwin.", "x Thorwald.") for term in fingerprint(text).terms
    }
    assert leading <= set(terms[:10])
    assert all(term & 1 for term in leading)
    assert not fingerprint("x ferry.").terms[0] & 1


def test_chinese_has_key_terms():
    assert len(fingerprint(CHINESE).terms) > 10


def test_a_text_must_be_a_string():
    with pytest.raises(TypeError, match="not bytes"):
        fingerprint(b"ferry")  # type: ignore[arg-type]


def test_transform_fills_the_fingerprint_and_keeps_the_rest():
    drafts = [Draft("a", title="Ferry aground", text=ENGLISH, language="en"), Draft("b", text=GERMAN)]
    with _TestPipeline(runner="FnApiRunner") as pipeline:
        out = pipeline | beam.Create(drafts) | FingerprintArticles(strict=True)
        expected = [
            ("a", "Ferry aground", fingerprint(ENGLISH)),
            ("b", None, fingerprint(GERMAN)),
        ]
        seen = out.rows | beam.Map(lambda draft: (draft.article_id, draft.title, draft.fingerprint))
        assert_that(seen, equal_to(expected), label="rows")
        assert_that(out.failures, equal_to([]), label="failures")
