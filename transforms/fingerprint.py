"""What copies and stories are found by: a MinHash signature, band hashes and key terms of a text.

Decisions:
    The hash is specified here, to the bit, because the values live in the lake for years and articles of different
    years are compared: words are hashed with CRC-32, mixed with a fixed 64-bit finaliser and permuted by constants
    drawn from SplitMix64. MinHash libraries leave their hash function to the release; rensa 0.5 names none. In numpy
    it costs about as much as the folding of the text. `tests/test_fingerprint.py` pins values.

    Shingles are five words; in scripts without spaces (Han, kana, Thai, Lao, Khmer, Burmese) eight characters, which
    is about as much text. Measured on the open stories, five words put articles of one event by different desks below
    0.1 and copies above 0.4; two words mix them.

    Automatic reports (earthquakes, results, weather) share their sentences and differ in names and figures: their
    shingle similarity reaches 0.5. So the signature has a second part, a MinHash of the text's *facts* (figures, and
    words written with a capital inside a sentence), by which `assign_copies` tells them from copies.

    Two values a band, twenty bands: a pair of similarity 0.47 is found with probability 0.99, one of 0.3 (an excerpt)
    with 0.85.

    Key terms (at most 32) are hashes of 31 bits, shifted by one; the lowest bit says that the word is a fact. How rare
    a term is in the news is not known here: the story memory counts it.

Layout of `signature`: ``SHINGLE_VALUES`` 16-bit little-endian values of shingles, then ``FACT_VALUES`` of facts. A text
without facts has 0xFFFF in the second part, a text without words in both.

Limits: classes of characters come from Python's Unicode tables; characters assigned since Unicode 14 may fold
differently between Python versions. Scripts without capitals have figures as their only facts.
"""

import re
import unicodedata
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from zlib import crc32

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from apache_beam.typehints.decorators import no_annotations

from transforms.dead_letters import MapOrReject, Mapped
from transforms.records import Draft, Fingerprint, digest64

SHINGLE_VALUES = 128  # standard error 0.044 at similarity 0.5
FACT_VALUES = 64  # standard error 0.06: it only has to tell 0.2 from 0.6
SIGNATURE_BYTES = 2 * (SHINGLE_VALUES + FACT_VALUES)
BANDS = 20
BAND_VALUES = 2
SHINGLE_WORDS = 5
SHINGLE_CHARACTERS = 8
MOST_TERMS = 32
PAIR_LENGTH = 6  # what a pair of characters of a script without spaces counts as, in letters
EARLY_WORDS = 100  # about the headline paragraph and the one after
FINGERPRINT_VERSION = 1  # of everything above and below; values of different versions must not be compared

_CHUNK_SHINGLES = 2048  # bounds the permuted matrix at 1 MB, which stays in the cache


def _character_class(*categories: str) -> str:
    """Return the characters of the basic plane in `categories` as the inside of a regular expression's class."""
    ranges: list[list[int]] = []
    for code in range(0x10000):
        if unicodedata.category(chr(code)) in categories:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in ranges)


# Vowel signs and accents are no "word characters" to Python's \\w; without them Hindi and Thai words fall to pieces.
_WORDS = re.compile(rf"[\w{_character_class('Mn', 'Mc')}\x1f]+")
_SENTENCE_END = re.compile("[.!?:;\n\r]+")
_UNSPACED = re.compile(
    "([\u0e00-\u0edf\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f])"
)
# The same for ASCII alone, in a fifth of the time: sentence ends, letters and digits, everything else.
_ASCII_SPACED = bytes(
    0x1F if chr(code) in ".!?:;\n\r" else code if chr(code).isalnum() and code < 128 else 0x20 for code in range(256)
)
_NAME = re.compile(rf" ([{_character_class('Lu', 'Lt')}][^ \x1f]+)")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_SEPARATOR = str.maketrans("", "", ".,:")
_ASCII_NAME = re.compile(r" ([A-Z][^ \x1f]+)")

_Hashes = npt.NDArray[np.uint64]


def _splitmix64(seed: int, count: int) -> npt.NDArray[np.uint64]:
    """Return `count` values of SplitMix64 from `seed`. Source: Steele, Lea, Flood, OOPSLA 2014."""
    values = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        values.append(z ^ (z >> 31))
    return np.array(values, dtype=np.uint64)


def _constants(seed: int, count: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    drawn = _splitmix64(seed, 2 * count)
    high = (drawn >> np.uint64(32)).astype(np.uint32)
    return high[:count] | np.uint32(1), high[count:]


_POSITION = _splitmix64(1, SHINGLE_CHARACTERS) | np.uint64(1)
_SHINGLE_FACTOR, _SHINGLE_MASK = _constants(2, SHINGLE_VALUES)
_FACT_FACTOR, _FACT_MASK = _constants(3, FACT_VALUES)
_BAND_FACTOR = _splitmix64(4, BAND_VALUES) | np.uint64(1)
_BAND_OFFSET = _splitmix64(5, BANDS)


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the SplitMix64 finaliser of `values`: every bit of the input moves every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _hashes(words: str) -> npt.NDArray[np.uint64]:
    """Return the CRC-32 of each word of `words`, which are separated by spaces."""
    encoded = words.encode("utf-8", "surrogatepass").split()
    return np.array(list(map(crc32, encoded)), dtype=np.uint64)


def _minima(
    items: npt.NDArray[np.uint64], factor: npt.NDArray[np.uint32], mask: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """Return the least permuted value of `items` for each permutation; 0xFFFFFFFF for no items."""
    small = (items >> np.uint64(32)).astype(np.uint32)
    least = np.full(len(factor), 0xFFFFFFFF, dtype=np.uint32)
    for start in range(0, len(small), _CHUNK_SHINGLES):
        part = small[None, start : start + _CHUNK_SHINGLES] ^ mask[:, None]
        part *= factor[:, None]
        np.minimum(least, part.min(axis=1), out=least)
    return least


def _values(least: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint16]:
    """Return 16 well-mixed bits of each minimum (minima themselves are all small numbers)."""
    mixed = (_mix(least.astype(np.uint64)) >> np.uint64(48)).astype(np.uint16)
    mixed[least == 0xFFFFFFFF] = 0xFFFF
    return mixed


@lru_cache(maxsize=0x10000)
def _stand_in(character: str) -> str:
    """Return what a character outside ASCII counts as: itself, nothing (invisible), a full stop or a space."""
    kind = unicodedata.category(character)
    if kind == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return ""
    if kind[0] in "LNM":
        return character
    return "." if character in "…。！？；：｡।۔؟\u2028\u2029" else " "


def _marked(text: str) -> tuple[str, str]:
    r"""Return `text` folded to NFKC, and its words with one space between them; \x1f stands before a sentence."""
    if not text.isascii():
        for character in {c for c in set(text) if c > "\x7f"}:
            stand_in = _stand_in(character)
            if stand_in != character:
                text = text.replace(character, stand_in)
    if text.isascii():
        spaced = b"\x1f" + text.encode("ascii").translate(_ASCII_SPACED)
        return text, b" ".join(spaced.split()).decode("ascii").replace("\x1f ", "\x1f")
    text = unicodedata.normalize("NFKC", text)
    sentences = "\x1f" + _SENTENCE_END.sub("\x1f", text.replace("\x1f", " ").replace("_", " "))
    return text, _UNSPACED.sub(r" \1 ", " ".join(_WORDS.findall(sentences))).replace("\x1f ", "\x1f")


_TRUE = np.array([True])
# By length in characters: short words are function words in most languages.
_LENGTH_WEIGHT = np.array([0, 0, 0, 0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


def _key_terms(words: _Hashes, lengths: npt.NDArray[np.int64], names: _Hashes, numbers: _Hashes) -> tuple[int, ...]:
    """Return at most `MOST_TERMS` key terms of hashed words, most telling first.

    A word tells the more the oftener it stands in the text, the longer it is and the earlier it comes; a name tells
    most. Nothing here knows a language: how common a word is in the news is the business of the story memory.
    """
    if not len(words):
        return ()
    order = np.argsort(words, kind="stable")
    ranked = words[order]
    starts = np.flatnonzero(np.concatenate((_TRUE, ranked[1:] != ranked[:-1])))
    distinct, first = ranked[starts], order[starts]
    score = np.diff(starts, append=len(words)) * _LENGTH_WEIGHT[np.minimum(lengths[first], 10)]
    score[first < EARLY_WORDS] *= 1.3
    is_number = np.bincount(_places(distinct, numbers), minlength=len(distinct)) > 0
    score[is_number] = np.where(lengths[first[is_number]] >= 3, 0.5, 0.0)
    named = np.bincount(_places(distinct, names), minlength=len(distinct))
    score += 2.0 * np.sqrt(named)
    best = np.lexsort((first, -score))[:MOST_TERMS]
    best = best[score[best] > 0]
    facts = (is_number | (named > 0))[best].astype(np.int64)
    return tuple((2 * (_mix(distinct[best]).view(np.int64) >> np.int64(33)) + facts).tolist())


def _places(distinct: _Hashes, wanted: _Hashes) -> npt.NDArray[np.int64]:
    """Return where in `distinct`, which ascends, the values of `wanted` stand, without those that do not."""
    places = np.minimum(np.searchsorted(distinct, wanted), len(distinct) - 1)
    return places[distinct[places] == wanted]


def fingerprint(text: str) -> Fingerprint:
    """Return the fingerprint of an article's text.

    Case, punctuation, white space and compatibility forms (NFKC) do not matter. `tokens` counts words, and characters
    in scripts without spaces. Linear in the length of the text (see `tests/test_fingerprint.py` for the cost).

    Raises:
        TypeError: `text` is not a string.
    """
    if not isinstance(text, str):
        raise TypeError(f"fingerprint needs a text, not {type(text).__name__}")
    plain, marked = _marked(text)
    folded = marked.replace("\x1f", " ").casefold()
    words = folded.split()
    hashed = _hashes(folded)
    names = _hashes(" ".join((_ASCII_NAME if marked.isascii() else _NAME).findall(marked)).casefold())
    numbers = _hashes(" ".join(_NUMBER.findall(plain)).translate(_SEPARATOR))

    unspaced = [] if marked.isascii() else _UNSPACED.findall(marked)
    size = SHINGLE_CHARACTERS if 2 * len(unspaced) > len(words) else SHINGLE_WORDS
    count = max(len(words) - size + 1, min(len(words), 1))
    padded = np.concatenate((hashed, np.zeros(max(0, size - len(words)), dtype=np.uint64)))
    shingles = np.zeros(count, dtype=np.uint64)
    for place in range(size):
        shingles += padded[place : place + count] * _POSITION[place]
    least = _minima(_mix(shingles), _SHINGLE_FACTOR, _SHINGLE_MASK)
    facts = _minima(_mix(np.concatenate((names, numbers))), _FACT_FACTOR, _FACT_MASK)
    rows = least[: BANDS * BAND_VALUES].astype(np.uint64).reshape(BANDS, BAND_VALUES)
    bands = _mix((rows * _BAND_FACTOR).sum(axis=1, dtype=np.uint64) + _BAND_OFFSET).view(np.int64)

    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    if unspaced:
        # Pairs of neighbours stand for words where words are not marked.
        characters = set(unspaced)
        pairs = [a + b for a, b in pairwise(words) if a in characters and b in characters]
        hashed = np.concatenate((hashed, _hashes(" ".join(pairs))))
        lengths = np.concatenate((lengths, np.full(len(pairs), PAIR_LENGTH, dtype=np.int64)))
    return Fingerprint(
        text_hash=digest64("text", " ".join(words)),
        signature=_values(np.concatenate((least, facts))).astype("<u2").tobytes(),
        bands=tuple(bands.tolist()),
        tokens=len(words),
        terms=_key_terms(hashed, lengths, names, numbers),
    )


class FingerprintArticles(beam.PTransform):
    """Drafts in, the same drafts with their fingerprint out.

    PCollection[Draft] -> `Mapped` (rows: Draft, failures: Failure of stage ``fingerprint``). Bounded or unbounded; one
    output for each input; no state, so as parallel as its input.

    Args:
        strict: raise a defect instead of making it a dead letter.

    Example:
        ``fingerprinted = stripped.rows | "Fingerprint" >> FingerprintArticles()``
    """

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__()
        self._strict = strict

    @no_annotations
    def expand(self, drafts: beam.PCollection) -> Mapped:
        """Return the drafts with fingerprints, and the failures."""
        return drafts | "fingerprint" >> MapOrReject(
            _with_fingerprint, stage="fingerprint", output_type=Draft, strict=self._strict
        )


def _with_fingerprint(draft: Draft) -> Draft:
    return replace(draft, fingerprint=fingerprint(draft.text))
