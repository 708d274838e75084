"""Which articles tell the same story (event): single-pass clustering of key terms, in the order of arrival.

Decisions:
    Each article is compared with those before it by the key terms of its fingerprint: the cosine of term weights,
    where a term weighs more the higher it ranks in its article, the rarer it is among the articles remembered, and if
    it stands in the new article's headline (for headlines of old ones the lake would have to be read as well). It
    joins the story whose nearest members (`STORY_MEMBERS`) are similar enough on average, else it opens one under its
    own id. The average keeps stories from growing together through one article that mentions both; a single nearest
    member decides only when it is almost the same text.

    Automatic reports and other texts of one mould share words, not facts: where names and figures are much less alike
    than the terms as a whole, the likeness is discounted (`FACT_RATIO`).

    How rare a term is, is counted over the rows before the article, one after another. Therefore any split of a
    sequence into batches gives the same stories, and nothing depends on the clock. `RARITY_PRIOR` stands for news
    that was never seen, so that the first articles of an empty lake are judged soberly.

    Stories are not merged later: ids that readers hold stay what they were. An article keeps its story through its
    revisions; the newest revision speaks for it.

Evidence: tests/eval/test_eval_stories.py; thresholds were chosen on one half of the open stories, the other half
confirms them.

Limits: articles further apart than `WINDOW_MICROS` do not meet; two known languages never do. A story that breaks in
two languages is two stories. Candidates come from an article's rarest terms, as many as `MOST_POSTINGS`
allows. Scripts without capitals have only figures for facts, so that texts of one mould are told apart less well.
Memory: 0.6 KB an article; at most 67 million articles, since places have 32 bits.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Optional
from zlib import crc32

import numpy as np
import numpy.typing as npt

from transforms.records import Draft, StoryAssignment
from transforms.row_memory import arrival, as_list, grown, language_code

MOST_TERMS = 32
WINDOW_MICROS = 5 * 24 * 3600 * 1_000_000  # reporting on one event fades within days
STORY_SIMILARITY = 0.24
SAME_TEXT_SIMILARITY = 0.85
LEAST_FACTS = 3  # terms that are names or figures; with fewer, facts say nothing
FACT_RATIO = 0.6  # of the likeness of facts to that of all terms; the more alike two texts are, the more is asked
FACT_RATIO_SLOPE = 0.6
MOST_FACT_RATIO = 0.95
TEMPLATE_PENALTY = 0.25
STORY_MEMBERS = 5
RARITY_PRIOR = 300.0
RANK_DECAY = 0.1
TITLE_BOOST = 1.5
MOST_POSTINGS = 4000  # looked through for one article, the rarest terms first
MOST_NEIGHBOURS = 60
MOST_SEGMENTS = 6

_WORD = re.compile(r"\w+")
_Longs = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_RANK_WEIGHT: _Floats = 1.0 / (1.0 + RANK_DECAY * np.arange(MOST_TERMS, dtype=np.float64))


class StoryMemory:
    """What stories are decided against: the key terms of each article, and its story.

    `load` and `commit` append rows; `assign_stories` changes nothing that later decisions see. How rare a term is
    counts over the rows held, so two processes decide alike when they hold the same rows: load at least
    `WINDOW_MICROS`, and start afresh by the same rule.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.stories: list[str] = []
        self.table = _Rows.empty()
        self.alive = np.zeros(0, dtype=bool)
        self.segments: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]] = []
        self.numbers: dict[int, int] = {0: 0}
        self.counts = np.zeros(1, dtype=np.int64)
        self.newest_row: dict[str, int] = {}
        self.story_sizes: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return the number of articles that are remembered."""
        return len(self.newest_row)

    def load(self, columns: Mapping[str, Any]) -> None:
        """Append rows of the lake, in commit order (within a commit by first_seen_at, article_id).

        Args:
            columns: equally long sequences, numpy arrays or Arrow arrays: ``article_id`` (str), ``story_id`` (str),
                ``terms`` (a list of integers each), ``first_seen_at`` (integer microseconds UTC), ``language``
                (optional str). Others are not read.

        Raises:
            ValueError: the columns differ in length.
        """
        ids, stories, terms, times, languages = (
            as_list(columns[name]) for name in ("article_id", "story_id", "terms", "first_seen_at", "language")
        )
        if not len(ids) == len(stories) == len(terms) == len(times) == len(languages):
            raise ValueError(f"columns differ in length: {len(ids)} ids, {len(stories)} story_id, {len(terms)} terms")
        self._append(ids, stories, *_raw_terms(terms), *_moments(times, languages))

    def commit(self, batch: Sequence[Draft], assignments: Sequence[StoryAssignment]) -> None:
        """Remember a batch as it was assigned.

        Raises:
            ValueError: the assignments are not those of this batch, in its order.
        """
        if [draft.article_id for draft in batch] != [given.article_id for given in assignments]:
            raise ValueError("the assignments are not those of this batch")
        order = arrival(batch)
        drafts = [batch[n] for n in order]
        self._append([d.article_id for d in drafts], [assignments[n].story_id for n in order], *_of_drafts(drafts))

    def _append(
        self,
        ids: Sequence[str],
        stories: Sequence[str],
        raw: _Longs,
        facts: npt.NDArray[np.bool_],
        times: _Longs,
        languages: _Longs,
    ) -> None:
        first = len(self.ids)
        terms, fresh = _numbered(raw, self.numbers)
        self.numbers.update(fresh)
        self.counts = np.bincount(terms.reshape(-1), minlength=len(self.numbers)) + np.pad(self.counts, (0, len(fresh)))
        self.table = self.table.grown(first, _Rows(terms, facts, times, languages))
        self.alive = grown(self.alive, first, np.ones(len(ids), dtype=bool))
        self.ids.extend(ids)
        self.stories.extend(stories)
        for row, (article_id, story_id) in enumerate(zip(ids, stories, strict=True), first):
            replaced = self.newest_row.get(article_id)
            if replaced is not None:
                self.story_sizes[self.stories[replaced]] -= 1
                self.alive[replaced] = False
            self.newest_row[article_id] = row
            self.story_sizes[story_id] += 1
        rows, ranks = np.nonzero(terms)
        keys, places = terms[rows, ranks], ((first + rows) * MOST_TERMS + ranks).astype(np.int32)
        # Segments grow like the digits of a number, so that a row is sorted again only a logarithmic number of times.
        while self.segments and (len(self.segments[-1][0]) <= 2 * len(keys) or len(self.segments) >= MOST_SEGMENTS):
            last_keys, last_places = self.segments.pop()
            keys, places = np.concatenate((last_keys, keys)), np.concatenate((last_places, places))
        order = np.argsort(keys)
        self.segments.append((keys[order], places[order]))


class _Rows:
    """The columns that decisions read: `terms` (numbers, 0 for none) and `facts` are (n, 32), the others (n,)."""

    __slots__ = ("facts", "languages", "terms", "times")

    def __init__(
        self, terms: npt.NDArray[np.int32], facts: npt.NDArray[np.bool_], times: _Longs, languages: _Longs
    ) -> None:
        self.terms, self.facts, self.times, self.languages = terms, facts, times, languages

    @classmethod
    def empty(cls) -> "_Rows":
        none = np.zeros(0, dtype=np.int64)
        matrix = none.reshape(0, MOST_TERMS)
        return cls(matrix.astype(np.int32), matrix.astype(bool), none, none)

    def grown(self, used: int, other: "_Rows") -> "_Rows":
        return _Rows(*(grown(getattr(self, name), used, getattr(other, name)) for name in _COLUMNS))


_COLUMNS = ("terms", "facts", "times", "languages")


def _raw_terms(cells: Sequence[Any]) -> tuple[_Longs, npt.NDArray[np.bool_]]:
    """Return terms as (n, 32) with zeros behind, and which are facts: a key term's lowest bit says so."""
    matrix = np.zeros((len(cells), MOST_TERMS), dtype=np.int64)
    lengths = np.array([min(len(cell or ()), MOST_TERMS) for cell in cells], dtype=np.int64)
    filled = np.arange(MOST_TERMS) < lengths[:, None]
    matrix[filled] = [term for cell in cells for term in (cell or ())[:MOST_TERMS]]
    return matrix >> 1, (matrix & 1).astype(bool)


def _moments(times: Sequence[Any], languages: Sequence[Any]) -> tuple[_Longs, _Longs]:
    codes = [language_code(name) for name in languages]
    return np.array([moment or 0 for moment in times], dtype=np.int64), np.array(codes, dtype=np.int64)


def _of_drafts(drafts: Sequence[Draft]) -> tuple[_Longs, npt.NDArray[np.bool_], _Longs, _Longs]:
    terms = [draft.fingerprint.terms if draft.fingerprint else () for draft in drafts]
    moments = _moments([draft.first_seen_at.micros for draft in drafts], [draft.language for draft in drafts])
    return (*_raw_terms(terms), *moments)


def _numbered(raw: _Longs, numbers: Mapping[int, int]) -> tuple[npt.NDArray[np.int32], dict[int, int]]:
    """Return `raw` with each term replaced by its number, and the numbers of terms that had none."""
    unique, inverse = np.unique(raw, return_inverse=True)
    fresh: dict[int, int] = {}
    known = [
        numbers[term] if term in numbers else fresh.setdefault(term, len(numbers) + len(fresh))
        for term in unique.tolist()
    ]
    return np.array(known, dtype=np.int32)[inverse].reshape(raw.shape), fresh


def assign_stories(memory: StoryMemory, batch: Sequence[Draft]) -> Sequence[StoryAssignment]:
    """Return for each draft of `batch`, in its order, the story it belongs to.

    Pure: `memory` is read only. Drafts are decided in order of arrival (first_seen_at, article_id), each against the
    memory and the drafts before it. A story's id is the article_id of its first article.
    """
    order = arrival(batch)
    view = _View(memory, [batch[n] for n in order])
    story_of = dict(zip(order, [view.decide(place) for place in range(len(order))], strict=True))
    return tuple(StoryAssignment(draft.article_id, story_of[n]) for n, draft in enumerate(batch))


class _View:
    """A memory with the drafts of a batch behind it: the draft at `place` is row ``len(memory.ids) + place``."""

    def __init__(self, memory: StoryMemory, drafts: Sequence[Draft]) -> None:
        self.memory, self.drafts = memory, drafts
        self.first = len(memory.ids)
        self.raw, facts, times, languages = _of_drafts(drafts)
        terms, fresh = _numbered(self.raw, memory.numbers)
        self.own = _Rows(terms, facts, times, languages)
        self.counts = np.pad(memory.counts, (0, len(fresh)))
        self.alive = np.concatenate((memory.alive[: self.first], np.zeros(len(drafts), dtype=bool)))
        self.found = [
            (places, np.searchsorted(keys, terms, "left"), np.searchsorted(keys, terms, "right"))
            for keys, places in memory.segments
        ]
        self.places_of_term: dict[int, list[int]] = {}
        self.stories: list[str] = []
        self.newest_row: dict[str, int] = {}
        self.story_sizes: Counter[str] = Counter()

    def decide(self, place: int) -> str:
        article_id, row = self.drafts[place].article_id, self.first + place
        earlier = self.newest_row.get(article_id, self.memory.newest_row.get(article_id))
        if earlier is None:
            story_id = self._nearest_story(place) or article_id
        else:
            story_id = self._story(earlier)
            self.story_sizes[story_id] -= 1
            self.alive[earlier] = False
        self.stories.append(story_id)
        self.newest_row[article_id] = row
        self.alive[row] = True
        self.story_sizes[story_id] += 1
        terms = self.own.terms[place]
        np.add.at(self.counts, terms, 1)
        for rank in np.flatnonzero(terms).tolist():
            self.places_of_term.setdefault(int(terms[rank]), []).append(row * MOST_TERMS + rank)
        return story_id

    def _nearest_story(self, place: int) -> Optional[str]:
        rows = self._neighbours(place)
        if not len(rows):
            return None
        similarity = self._similarity(place, rows)
        by_story: dict[str, list[float]] = {}
        for row, value in zip(rows.tolist(), similarity.tolist(), strict=True):
            by_story.setdefault(self._story(row), []).append(value)
        nearest = int(np.argmax(similarity))
        if similarity[nearest] >= SAME_TEXT_SIMILARITY:
            return self._story(int(rows[nearest]))
        best, best_score = None, STORY_SIMILARITY
        # Rows ascend, so stories come in the order of their first neighbour and the earliest of equals is kept.
        for story_id, values in by_story.items():
            size = self.memory.story_sizes[story_id] + self.story_sizes[story_id]
            nearest_values = sorted(values, reverse=True)[:STORY_MEMBERS]
            score = sum(nearest_values) / max(1, min(STORY_MEMBERS, size))
            if score > best_score:
                best, best_score = story_id, score
        return best

    def _neighbours(self, place: int) -> _Longs:
        """Return the rows that share the most weight with a draft, at most `MOST_NEIGHBOURS`, ascending."""
        terms = self.own.terms[place]
        rarity, counts = self._rarity(terms), np.where(terms != 0, self.counts[terms], 0)
        parts, weights, budget = [], [], MOST_POSTINGS
        for rank in np.argsort(counts, kind="stable").tolist():
            if not counts[rank]:
                continue
            budget -= int(counts[rank])
            if budget < 0:
                break
            stretches = [places[left[place, rank] : right[place, rank]] for places, left, right in self.found]
            stretches.append(np.array(self.places_of_term.get(int(terms[rank]), ()), dtype=np.int32))
            found = np.concatenate(stretches)
            parts.append(found // MOST_TERMS)
            weights.append(_RANK_WEIGHT[found % MOST_TERMS] * (_RANK_WEIGHT[rank] * rarity[rank] ** 2))
        if not parts:
            return np.zeros(0, dtype=np.int64)
        rows, inverse = np.unique(np.concatenate(parts).astype(np.int64), return_inverse=True)
        shared = np.bincount(inverse, weights=np.concatenate(weights))
        fitting = self._fitting(place, rows)
        rows, shared = rows[fitting], shared[fitting]
        return np.sort(rows[np.argsort(-shared, kind="stable")[:MOST_NEIGHBOURS]])

    def _fitting(self, place: int, rows: _Longs) -> npt.NDArray[np.bool_]:
        """Return which rows are of the window, of a language that may be the same, and the newest of their article."""
        near = np.abs(self._gather("times", rows) - self.own.times[place]) <= WINDOW_MICROS
        languages, language = self._gather("languages", rows), self.own.languages[place]
        near &= (languages == language) | (languages < 0) | (language < 0)
        return near & self.alive[rows]

    def _similarity(self, place: int, rows: _Longs) -> _Floats:
        """Return how alike a draft and each of `rows` are, 0..1."""
        own_terms, own_facts = self.own.terms[place], self.own.facts[place]
        boost = np.where(np.isin(self.raw[place], _title_terms(self.drafts[place].title)), TITLE_BOOST, 1.0)
        own = _RANK_WEIGHT * boost * self._rarity(own_terms)
        terms, facts = self._gather("terms", rows), self._gather("facts", rows)
        theirs = _RANK_WEIGHT * self._rarity(terms)
        order = np.argsort(own_terms)
        slot = order[np.minimum(np.searchsorted(own_terms[order], terms), MOST_TERMS - 1)]
        shared = np.where((own_terms[slot] == terms) & (terms != 0), own[slot] * theirs, 0.0)
        whole = _cosine(shared, own, theirs)
        by_facts = _cosine(shared * (facts | own_facts[slot]), own * own_facts, theirs * facts)
        telling = (own_facts.sum() >= LEAST_FACTS) & (facts.sum(axis=1) >= LEAST_FACTS)
        asked = np.minimum(MOST_FACT_RATIO, FACT_RATIO + FACT_RATIO_SLOPE * whole)
        return np.where(telling & (by_facts < asked * whole), TEMPLATE_PENALTY * whole, whole)

    def _rarity(self, terms: _Longs) -> _Floats:
        """Return the inverse document frequency of terms among the rows before the one that is being decided."""
        seen = self.first + len(self.stories)
        rarity = np.log((RARITY_PRIOR + seen) / (1.0 + np.minimum(self.counts[terms], seen)))
        return np.where(terms != 0, rarity, 0.0)

    def _gather(self, name: str, rows: _Longs) -> Any:
        split = int(np.searchsorted(rows, self.first))
        past, own = getattr(self.memory.table, name), getattr(self.own, name)
        return np.concatenate((past[rows[:split]], own[rows[split:] - self.first]))

    def _story(self, row: int) -> str:
        return self.memory.stories[row] if row < self.first else self.stories[row - self.first]


def _cosine(shared: _Floats, own: _Floats, theirs: _Floats) -> _Floats:
    """Return the cosines of one vector with each row of a matrix, given the products of what they share."""
    norms = np.sqrt((own**2).sum() * (theirs**2).sum(axis=1))
    return np.divide(shared.sum(axis=1), norms, out=np.zeros(len(theirs)), where=norms > 0)


def _title_terms(title: Optional[str]) -> _Longs:
    """Return the hashes a headline's words have as key terms; a test holds this and fingerprint.py together."""
    words = _WORD.findall(unicodedata.normalize("NFKC", title or "").casefold())
    values = np.array([crc32(word.encode("utf-8", "surrogatepass")) for word in words], dtype=np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # SplitMix64's finaliser
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (values ^ (values >> np.uint64(31))).view(np.int64) >> np.int64(33)
