"""Title and text -> IPTC Media Topics, each with the words of the article that speak for it.

Decisions:
    * A transparent lexicon for each language (transforms/taxonomy/*.toml) and arithmetic that can be redone by hand,
      rather than a model: an analyst who asks why an article is tagged gets the words, a wrong tag is mended by
      moving a word, and it costs a fraction of a millisecond.
    * No topic rather than a wrong one: a topic needs several points from different words and a fair share of what
      the strongest topic has.
    * The title counts most, the first words more than the rest, and the tenth mention of a word hardly more than the
      fifth. A term counts for its topic and for the top-level topic above it; the longest term wins.
    * One pass: tokens are made once, each is looked up once (and remembered), so cost does not grow with the lexicon.
    * A language without a lexicon, or an unknown one, has no topics.

Limits: only the languages in transforms/taxonomy; only the beginning of very long texts is read. Topics are what the
article's words say, not what a newsroom would file it under.
"""

import csv
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Optional

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from transforms.dead_letters import MapOrReject, Mapped
from transforms.records import Draft, Topic

TAXONOMY = Path(__file__).parent / "taxonomy"
RANKS = {"strong": 3.0, "good": 2.0, "weak": 1.0}

MOST_CHARS = 12_000  # about 2,000 words: where an article has said what it is about
LEDE_TOKENS = 60  # about the first two paragraphs
TITLE_FACTOR, LEDE_FACTOR = 3.0, 2.0
# The next four were set on one half of the BBC set (see tests/eval/test_eval_topics.py), the other half only reported.
LEAST_POINTS = 6.0  # from different words, so that one word alone, however strong, makes no topic
LEAST_SHARE = 0.45  # of what the strongest top-level topic has
LEAST_SHARE_BELOW = 0.35  # of its top-level topic, for a topic below it
LEAST_SCORE = 0.4
LEAST_SCORE_BELOW = 0.3  # of a topic below the top level, whose top-level topic has LEAST_SCORE
HALF_SCORE_POINTS = 16.0  # weighed points that give half of the full strength
MOST_TOPICS = 5
MOST_EVIDENCE = 6

_TOKEN = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_GERMAN_ENDINGS = ("innen", "ern", "en", "er", "es", "em", "in", "n", "e", "s")
_ROMANCE_ENDINGS = ("es", "s", "x")


class _Lexicon(NamedTuple):
    """A language's terms: `topics` of a term as (code, points), its own and the top-level ones above."""

    topics: Mapping[str, Sequence[tuple[str, float]]]
    words: frozenset[str]  # all single words that occur in terms
    starts: Mapping[str, int]  # first word of a longer term -> how many words the longest has
    prefixes: frozenset[str]
    suffixes: frozenset[str]
    endings: tuple[str, ...]
    resolved: dict[str, str]  # token -> the word of the lexicon that it is, "" for none; filled while running


class _Concept(NamedTuple):
    label: str
    top: str
    level: int


def tag_topics(title: str, text: str, *, language: Optional[str]) -> Sequence[Topic]:
    """Return the topics of an article, the strongest first, at most five; none where nothing is certain enough.

    Args:
        title: the headline; "" for none.
        text: the story.
        language: its code (``en``, ``de-AT``); None, or one without a lexicon, has no topics.

    Returns:
        Topics with `score` in 0..1: strength (points found, saturating) times the root of the share (of the
        strongest topic's points). A topic below the top level follows the top-level one that it belongs to; its
        score is that one's, times the root of its share in it.
    """
    lexicon = _lexicon_of((language or "").lower().replace("_", "-").partition("-")[0])
    if lexicon is None:
        return ()
    found = _find_terms(lexicon, title, text[:MOST_CHARS])
    return _score(lexicon, found)


def languages() -> tuple[str, ...]:
    """Return the codes of the languages that have a lexicon."""
    return tuple(sorted(path.stem for path in TAXONOMY.glob("*.toml")))


def _find_terms(lexicon: _Lexicon, title: str, text: str) -> dict[str, tuple[float, str]]:
    """Return each term found, with the sum of its mentions' factors and the words as they first stood."""
    found: dict[str, tuple[float, str]] = {}
    for part, is_title in ((title, True), (text, False)):
        tokens = _TOKEN.findall(part)
        known = [_resolve(lexicon, token) for token in tokens]
        at, last = 0, len(tokens)
        while at < last:
            word = known[at]
            if not word:
                at += 1
                continue
            length = min(lexicon.starts.get(word, 1), last - at)
            term = word
            while length > 1:
                term = " ".join(known[at : at + length])
                if term in lexicon.topics:
                    break
                length -= 1
            else:
                term = word
            if term in lexicon.topics:
                factor = TITLE_FACTOR if is_title else LEDE_FACTOR if at < LEDE_TOKENS else 1.0
                before = found.get(term)
                shown = before[1] if before else " ".join(tokens[at : at + length])
                found[term] = ((before[0] if before else 0.0) + factor, shown)
            at += length
    return found


def _score(lexicon: _Lexicon, found: Mapping[str, tuple[float, str]]) -> Sequence[Topic]:
    weighed: dict[str, float] = {}
    points: dict[str, float] = {}
    evidence: dict[str, list[tuple[float, str]]] = {}
    for term, (mentions, shown) in found.items():
        repeated = math.log2(1.0 + mentions)
        for code, point in lexicon.topics[term]:
            weighed[code] = weighed.get(code, 0.0) + point * repeated
            points[code] = points.get(code, 0.0) + point
            evidence.setdefault(code, []).append((-point * repeated, shown))
    concepts = _concepts()
    tops = {code: value for code, value in weighed.items() if concepts[code].level == 1}
    most = max(tops.values(), default=0.0)
    scores: dict[str, float] = {}
    for code, value in sorted(weighed.items(), key=lambda item: concepts[item[0]].level):
        top = concepts[code].top
        share = value / (most if code == top else weighed[top])
        if points[code] < LEAST_POINTS or share < (LEAST_SHARE if code == top else LEAST_SHARE_BELOW):
            continue
        if code == top:
            score, least = value / (value + HALF_SCORE_POINTS) * math.sqrt(share), LEAST_SCORE
        else:
            score, least = scores.get(top, 0.0) * math.sqrt(share), LEAST_SCORE_BELOW
        if score >= least:
            scores[code] = score
    ranked = sorted(scores, key=lambda c: (-scores[c], concepts[c].level, c))[:MOST_TOPICS]
    return tuple(
        Topic(
            code=code,
            label=concepts[code].label,
            score=round(scores[code], 4),
            evidence=tuple(dict.fromkeys(shown for _, shown in sorted(evidence[code])))[:MOST_EVIDENCE],
        )
        for code in ranked
    )


def _resolve(lexicon: _Lexicon, token: str) -> str:
    """Return the word of the lexicon that `token` is (itself, its singular, its compound's part), "" for none."""
    word = lexicon.resolved.get(token)
    if word is None:
        word = _look_up(lexicon, token)
        if len(lexicon.resolved) >= 200_000:  # a long stream has more names than memory
            lexicon.resolved.clear()
        lexicon.resolved[token] = word
    return word


def _look_up(lexicon: _Lexicon, token: str) -> str:
    words = lexicon.words
    if token in words:
        return token
    word = token.lower().replace("’", "'")
    word = word.removesuffix("'s").removesuffix("s'") if word not in words else word
    # French and Italian articles stand before an apostrophe.
    if word not in words and "'" in word:
        word = word.rpartition("'")[2]
    if word in words:
        return word
    for ending in lexicon.endings:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            if ending == "ies":
                stem += "y"
            if stem in words:
                return stem
    for end in range(len(word) - 1, 2, -1):
        if f"{word[:end]}*" in lexicon.prefixes:
            return f"{word[:end]}*"
    for start in range(1, len(word) - 2):
        if f"*{word[start:]}" in lexicon.suffixes:
            return f"*{word[start:]}"
        for ending in lexicon.endings if lexicon.suffixes else ():
            if word.endswith(ending) and f"*{word[start : -len(ending)]}" in lexicon.suffixes:
                return f"*{word[start : -len(ending)]}"
    return ""


@cache
def _concepts() -> Mapping[str, _Concept]:
    with (TAXONOMY / "media_topics.csv").open(encoding="utf-8", newline="") as file:
        return {row["code"]: _Concept(row["label"], row["top"], int(row["level"])) for row in csv.DictReader(file)}


@cache
def _lexicon_of(language: str) -> Optional[_Lexicon]:
    path = TAXONOMY / f"{language}.toml"
    if not language.isalpha() or not path.is_file():
        return None
    tables = tomllib.loads(path.read_text("utf-8"))
    concepts = _concepts()
    gathered: dict[str, dict[str, float]] = {}
    ignored = tables.pop("ignore", {"words": ""})["words"]
    for digits, ranks in tables.items():
        code = f"medtop:{digits}"
        for rank, terms in ranks.items():
            for written in terms.split(","):
                term = " ".join(written.split())
                if not term:
                    continue
                topics = gathered.setdefault(term, {})
                for each in (code, concepts[code].top):
                    topics[each] = max(topics.get(each, 0.0), RANKS[rank])
    starts: dict[str, int] = {}
    words = {word for term in ignored.split(",") for word in term.split()}
    for term in gathered:
        parts = term.split(" ")
        words.update(parts)
        if len(parts) > 1:
            starts[parts[0]] = max(starts.get(parts[0], 1), len(parts))
    return _Lexicon(
        topics={term: tuple(topics.items()) for term, topics in gathered.items()},
        words=frozenset(words),
        starts=starts,
        prefixes=frozenset(w for w in words if w.endswith("*")),
        suffixes=frozenset(w for w in words if w.startswith("*")),
        endings=_GERMAN_ENDINGS if language == "de" else ("ies", "es", "s") if language == "en" else _ROMANCE_ENDINGS,
        resolved={},
    )


class TagTopics(beam.PTransform):
    """Draft -> Draft with `topics`, of its title and clean text.

    Bounded or unbounded; one row or one failure for each input; no state beyond a word cache in each process.
    Metrics: ``tag_rejected_items``, ``tag_bug_items``.

    Args:
        strict: raise what is a defect of ours instead of making it a dead letter.

    Example:
        tagged = drafts | "tag topics" >> TagTopics()
        tagged.rows, tagged.failures
    """

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__()
        self._strict = strict

    @no_annotations
    def expand(self, drafts: beam.PCollection) -> Mapped:
        """Return the tagged drafts and the failures."""
        return drafts | "tag" >> MapOrReject(_tag, stage="tag", output_type=Draft, strict=self._strict)


def _tag(draft: Draft) -> Any:
    topics = tag_topics(draft.title or "", draft.text, language=draft.language)
    return replace(draft, topics=topics)
