"""Which article is a copy of which: decided from fingerprints alone, in the order of arrival.

Decisions:
    Order is arrival: commits one after another, within a batch (first_seen_at, article_id). The first article of a
    family is its canonical; every copy names the canonical, never another copy, so two copies cannot point at each
    other, and any split of a sequence into batches gives the same assignments. Nothing depends on the clock.

    Precision first. Two texts are near-copies when their shingles say so *and* their facts (figures and names) do not
    say otherwise: automatic reports and standing columns share half of their sentences and none of their facts.
    Evidence for the thresholds: tests/golden/copies, and the open stories, where pairs below `NEAR_SIMILARITY` are
    mostly rewrites that share quotations.

    A later article whose text is nearly all inside an earlier one is ``contained`` (an excerpt). An earlier one inside
    a much longer later one is not: calling the longer text the copy would hide what it adds.

    A copy of a copy must resemble the canonical as well (`FAMILY_SIMILARITY`), or a story that is updated every hour
    would drift: the last version would be called a copy of a first one it shares nothing with.

    Revisions. A draft whose article_id is known is assigned anew, from its new text, and never to itself. An article
    that others were ever assigned to stays canonical, whatever its revisions say: otherwise copies would point at a
    copy. Older revisions stay in the memory, because other sites copy those as well.

Limits: texts in two languages are never copies; below `LEAST_TOKENS_NEAR` words only equal texts are copies, below
`LEAST_TOKENS_EXACT` none. At most the newest `BUCKET_ROWS` articles of a band are compared. A draft without a
fingerprint, or with one of another layout, is at most an exact copy. Memory: 0.8 KB an article.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from transforms.records import CopyAssignment, Draft, Fingerprint, digest64
from transforms.row_memory import UNKNOWN_LANGUAGE, arrival, as_list, grown, language_code

# How fingerprint.py lays out a signature; a test holds the two together.
SHINGLE_VALUES = 128
FACT_VALUES = 64
SIGNATURE_VALUES = SHINGLE_VALUES + FACT_VALUES
BANDS = 20

NEAR_SIMILARITY = 0.47
LEAST_FACT_SIMILARITY = 0.4
LEAST_SUM = 1.0  # of both: a pair may be weak in one of them, not in both
CERTAIN_SIMILARITY = 0.7  # from here on facts may be half as alike: short texts have few of them
NO_FACTS_SIMILARITY = 0.6  # asked of texts without facts, which cannot be told from templates otherwise
EXCERPT_SIMILARITY = 0.2
EXCERPT_CONTAINMENT = 0.85
EXCERPT_FACT_RATIO = 0.6  # facts an excerpt must share, as a part of its similarity
FAMILY_SIMILARITY = 0.38
LEAST_TOKENS_EXACT = 5
LEAST_TOKENS_NEAR = 20
LEAST_TOKENS_EXCERPT = 40
BUCKET_ROWS = 512
MOST_SEGMENTS = 6

_NO_FACTS = 0xFFFF
_Longs = npt.NDArray[np.int64]


class CopyMemory:
    """What copies are decided against: one row for each committed revision, in commit order.

    `load` and `commit` append rows, `remove` forgets articles; `assign_copies` changes nothing. The index is a few
    sorted arrays of (key, row), where keys are the band hashes and the text hash of the row.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.table = _Table.empty()
        self.alive = np.zeros(0, dtype=bool)
        self.segments: list[tuple[_Longs, _Longs]] = []
        self.newest_row: dict[str, int] = {}
        self.older_rows: dict[str, list[int]] = {}
        self.canonical_of: dict[str, str] = {}
        self.pointed_at: set[str] = set()

    def __len__(self) -> int:
        """Return the number of revisions that are remembered."""
        return int(self.alive[: len(self.ids)].sum())

    def load(self, columns: Mapping[str, Any]) -> None:
        """Append rows of the lake, in commit order (within a commit by first_seen_at, article_id).

        Args:
            columns: equally long sequences, numpy arrays or Arrow arrays:
                ``article_id`` (str), ``text_hash`` (str), ``signature`` (bytes each; or one buffer of 384 bytes a
                row), ``bands`` (20 integers each; or a 2-D array), ``tokens`` (int), ``language`` (optional str),
                ``duplicate_of`` (optional str).

        Raises:
            ValueError: the columns differ in length.
        """
        ids, duplicates = as_list(columns["article_id"]), as_list(columns["duplicate_of"])
        table = _Table.of(*(columns[name] for name in ("text_hash", "signature", "bands", "tokens", "language")))
        if not len(ids) == len(duplicates) == len(table.hashes):
            raise ValueError(f"columns differ in length: {len(ids)} ids, {len(duplicates)} duplicate_of")
        self._append(ids, table, duplicates)

    def commit(self, batch: Sequence[Draft], assignments: Sequence[CopyAssignment]) -> None:
        """Remember a batch as it was assigned.

        Raises:
            ValueError: the assignments are not those of this batch, in its order.
        """
        if [draft.article_id for draft in batch] != [given.article_id for given in assignments]:
            raise ValueError("the assignments are not those of this batch")
        order = arrival(batch)
        self._append(
            [batch[n].article_id for n in order],
            _Table.of_drafts([batch[n] for n in order]),
            [assignments[n].duplicate_of for n in order],
        )

    def remove(self, article_ids: Iterable[str]) -> None:
        """Forget all revisions of these articles (expiry, `newsbeam forget`); copies go on naming them."""
        for article_id in article_ids:
            self.alive[self.rows_of(article_id)] = False
            self.newest_row.pop(article_id, None)
            self.canonical_of.pop(article_id, None)
            self.older_rows.pop(article_id, None)

    def rows_of(self, article_id: str) -> list[int]:
        """Return the rows of an article's revisions, oldest first."""
        if article_id not in self.newest_row:
            return []
        return [*self.older_rows.get(article_id, ()), self.newest_row[article_id]]

    def _append(self, ids: Sequence[str], table: "_Table", duplicates: Sequence[Optional[str]]) -> None:
        first = len(self.ids)
        self.table = self.table.grown(first, table)
        self.alive = grown(self.alive, first, np.ones(len(ids), dtype=bool))
        self.ids.extend(ids)
        fresh = dict(zip(ids, range(first, first + len(ids)), strict=True))
        if len(fresh) == len(ids) and self.newest_row.keys().isdisjoint(fresh):
            self.newest_row.update(fresh)
        else:
            for row, article_id in enumerate(ids, first):
                if article_id in self.newest_row:
                    self.older_rows.setdefault(article_id, []).append(self.newest_row[article_id])
                    self.canonical_of.pop(article_id, None)
                self.newest_row[article_id] = row
        newest = dict(zip(ids, duplicates, strict=True))
        self.canonical_of.update({article_id: original for article_id, original in newest.items() if original})
        self.pointed_at.update(original for original in duplicates if original)
        rows = np.arange(first, first + len(ids))
        comparable = table.comparable()
        keys = np.concatenate((table.hashes, table.bands[comparable].reshape(-1)))
        rows = np.concatenate((rows, np.repeat(rows[comparable], BANDS)))
        # Segments grow like the digits of a number, so that a row is sorted again only a logarithmic number of times.
        while self.segments and (len(self.segments[-1][0]) <= 2 * len(keys) or len(self.segments) >= MOST_SEGMENTS):
            last_keys, last_rows = self.segments.pop()
            keys, rows = np.concatenate((last_keys, keys)), np.concatenate((last_rows, rows))
        order = np.argsort(keys)
        self.segments.append((keys[order], rows[order]))


class _Table:
    """The columns that decisions read: `signatures` is (n, 192), `bands` (n, 20), the others (n,)."""

    __slots__ = ("bands", "hashes", "languages", "signatures", "tokens")

    def __init__(
        self,
        hashes: _Longs,
        signatures: npt.NDArray[np.uint16],
        bands: _Longs,
        tokens: npt.NDArray[np.int32],
        languages: npt.NDArray[np.int32],
    ) -> None:
        self.hashes, self.signatures, self.bands = hashes, signatures, bands
        self.tokens, self.languages = tokens, languages

    @classmethod
    def of(cls, hashes: Any, signatures: Any, bands: Any, tokens: Any, languages: Any) -> "_Table":
        count = len(hashes)
        table = cls(
            np.array([_hash_key(h or "") for h in as_list(hashes)], dtype=np.uint64).view(np.int64),
            _signature_matrix(signatures, count),
            _band_matrix(bands, count),
            np.array([number or 0 for number in as_list(tokens)], dtype=np.int32),
            np.array([language_code(name) for name in as_list(languages)], dtype=np.int32),
        )
        if not count == len(table.tokens) == len(table.languages):
            raise ValueError(f"columns differ in length: {count} text_hash, {len(table.tokens)} tokens")
        return table

    @classmethod
    def of_drafts(cls, drafts: Sequence[Draft]) -> "_Table":
        prints = [draft.fingerprint or Fingerprint("") for draft in drafts]
        return cls.of(
            [p.text_hash for p in prints],
            [p.signature for p in prints],
            [p.bands for p in prints],
            [p.tokens for p in prints],
            [draft.language for draft in drafts],
        )

    @classmethod
    def empty(cls) -> "_Table":
        return cls.of((), (), (), (), ())

    def grown(self, used: int, other: "_Table") -> "_Table":
        return _Table(
            grown(self.hashes, used, other.hashes),
            grown(self.signatures, used, other.signatures),
            # Bands are needed only to build the index.
            self.bands,
            grown(self.tokens, used, other.tokens),
            grown(self.languages, used, other.languages),
        )

    def comparable(self) -> npt.NDArray[np.bool_]:
        """Return which rows have a signature that says something: long enough, and of the layout known here."""
        return (self.tokens >= LEAST_TOKENS_NEAR) & self.signatures.any(axis=1)


def assign_copies(memory: CopyMemory, batch: Sequence[Draft]) -> Sequence[CopyAssignment]:
    """Return for each draft of `batch`, in its order, whether it is a copy and of what.

    Pure: `memory` is read only. Drafts are decided in order of arrival (first_seen_at, article_id), each against the
    memory and the drafts before it, so that the result does not depend on how a sequence is cut into batches.

    `similarity` is the estimated Jaccard similarity of shingles with the canonical (1.0 for ``exact``); for
    ``contained`` the part of the article's shingles that the other text holds.
    """
    order = arrival(batch)
    view = _View(memory, [batch[n] for n in order])
    decided = [view.decide(place) for place in range(len(order))]
    result: list[Optional[CopyAssignment]] = [None] * len(batch)
    for place, n in enumerate(order):
        result[n] = decided[place]
    return tuple(given for given in result if given is not None)


class _View:
    """A memory with the drafts of a batch behind it: the draft at `place` is row ``len(memory.ids) + place``."""

    def __init__(self, memory: CopyMemory, drafts: Sequence[Draft]) -> None:
        self.memory, self.drafts = memory, drafts
        self.first = len(memory.ids)
        self.table = _Table.of_drafts(drafts)
        self.comparable = self.table.comparable()
        self.keys = np.concatenate((self.table.hashes[:, None], self.table.bands), axis=1)
        self.found = [
            (rows, np.searchsorted(keys, self.keys, "left"), np.searchsorted(keys, self.keys, "right"))
            for keys, rows in memory.segments
        ]
        self.rows_of_key: dict[int, list[int]] = {}
        self.rows_of_article: dict[str, list[int]] = {}
        self.canonical_of: dict[str, Optional[str]] = {}
        self.pointed_at: set[str] = set()

    def decide(self, place: int) -> CopyAssignment:
        given = self._assignment(place)
        article_id, row = given.article_id, self.first + place
        self.rows_of_article.setdefault(article_id, []).append(row)
        self.canonical_of[article_id] = given.duplicate_of
        if given.duplicate_of is not None:
            self.pointed_at.add(given.duplicate_of)
        for key in self.keys[place, : 1 + BANDS if self.comparable[place] else 1].tolist():
            self.rows_of_key.setdefault(key, []).append(row)
        return given

    def _assignment(self, place: int) -> CopyAssignment:
        article_id = self.drafts[place].article_id
        alone = CopyAssignment(article_id)
        if self.table.tokens[place] < LEAST_TOKENS_EXACT:
            return alone
        if article_id in self.pointed_at or article_id in self.memory.pointed_at:
            return alone
        rows = self._candidates(place)
        if not len(rows):
            return alone
        hashes = self._gather("hashes", rows)
        for row in rows[hashes == self.table.hashes[place]].tolist():
            original = self._canonical(self._id(row))
            if original == self._id(row) or not self._rows_of(original):
                return CopyAssignment(article_id, original, 1.0, "exact")
        if not self.comparable[place]:
            return alone
        return self._nearest(place, rows)

    def _nearest(self, place: int, rows: _Longs) -> CopyAssignment:
        """Return the assignment to the family of the most similar of `rows`, if that is similar enough."""
        article_id = self.drafts[place].article_id
        similarity, near, contained, containment = self._compare(place, rows)
        # By falling similarity; rows ascend, so that the earliest of equals comes first.
        for n in np.argsort(-similarity, kind="stable").tolist():
            if not near[n] and not contained[n]:
                continue
            matched = self._id(int(rows[n]))
            original = self._canonical(matched)
            if original == matched or not self._rows_of(original):
                if near[n]:
                    return CopyAssignment(article_id, original, float(similarity[n]), "near")
                return CopyAssignment(article_id, original, float(containment[n]), "contained")
            family, is_near, is_contained, family_containment = self._compare(place, self._rows_of(original))
            best = int(np.argmax(family))
            if family[best] >= FAMILY_SIMILARITY or is_near[best]:
                return CopyAssignment(article_id, original, float(family[best]), "near")
            if is_contained[best]:
                return CopyAssignment(article_id, original, float(family_containment[best]), "contained")
        return CopyAssignment(article_id)

    def _compare(self, place: int, rows: Any) -> tuple[Any, Any, Any, Any]:
        """Compare a draft with earlier rows: estimated similarity, near?, contained?, estimated containment."""
        rows = np.asarray(rows, dtype=np.int64)
        own, other = self.table.signatures[place], self._gather("signatures", rows)
        equal = other == own
        similarity = equal[:, :SHINGLE_VALUES].mean(axis=1)
        facts = equal[:, SHINGLE_VALUES:].mean(axis=1)
        bare = np.all(other[:, SHINGLE_VALUES:] == _NO_FACTS, axis=1) | bool(np.all(own[SHINGLE_VALUES:] == _NO_FACTS))
        near = (
            (similarity >= NEAR_SIMILARITY) & (facts >= LEAST_FACT_SIMILARITY) & (similarity + facts >= LEAST_SUM)
        ) | ((similarity >= CERTAIN_SIMILARITY) & (facts >= LEAST_FACT_SIMILARITY / 2))
        near = np.where(bare, similarity >= NO_FACTS_SIMILARITY, near)
        tokens, other_tokens = int(self.table.tokens[place]), self._gather("tokens", rows)
        # |A and B| follows from J and the sizes: J (|A| + |B|) / (1 + J).
        containment = np.minimum(similarity * (tokens + other_tokens) / (1 + similarity) / max(tokens, 1), 1.0)
        contained = (
            (containment >= EXCERPT_CONTAINMENT)
            & (similarity >= EXCERPT_SIMILARITY)
            & (facts >= EXCERPT_FACT_RATIO * similarity)
            & (tokens < other_tokens)
            & (tokens >= LEAST_TOKENS_EXCERPT)
            & ~bare
            & ~near
        )
        return similarity, near, contained, containment

    def _candidates(self, place: int) -> _Longs:
        """Return the earlier rows that share a key with a draft, ascending; other articles in its language only."""
        parts: list[Any] = []
        for column in range(1 + BANDS if self.comparable[place] else 1):
            own = self.rows_of_key.get(int(self.keys[place, column]), [])[-BUCKET_ROWS:]
            stretches = [rows[left[place, column] : right[place, column]] for rows, left, right in self.found]
            bucket = sum(map(len, stretches))
            if bucket + len(own) > BUCKET_ROWS:
                stretches = (
                    [np.sort(np.concatenate(stretches))[len(own) - BUCKET_ROWS :]] if len(own) < BUCKET_ROWS else []
                )
            parts.extend(stretch for stretch in stretches if len(stretch))
            if own:
                parts.append(np.array(own, dtype=np.int64))
        if not parts:
            return np.zeros(0, dtype=np.int64)
        rows = np.unique(np.concatenate(parts))
        languages, language = self._gather("languages", rows), self.table.languages[place]
        if language != UNKNOWN_LANGUAGE:
            rows = rows[(languages == language) | (languages == UNKNOWN_LANGUAGE)]
        earlier = rows[rows < self.first]
        rows = np.concatenate((earlier[self.memory.alive[earlier]], rows[rows >= self.first]))
        article_id = self.drafts[place].article_id
        return rows[[self._id(row) != article_id for row in rows.tolist()]] if len(rows) else rows

    def _gather(self, name: str, rows: _Longs) -> Any:
        """Return the cells of a column for `rows`, which ascend: memory first, batch behind."""
        split = int(np.searchsorted(rows, self.first))
        past, own = getattr(self.memory.table, name), getattr(self.table, name)
        if split == len(rows):
            return past[rows]
        return np.concatenate((past[rows[:split]], own[rows[split:] - self.first]))

    def _id(self, row: int) -> str:
        return self.memory.ids[row] if row < self.first else self.drafts[row - self.first].article_id

    def _rows_of(self, article_id: str) -> list[int]:
        return self.memory.rows_of(article_id) + self.rows_of_article.get(article_id, [])

    def _canonical(self, article_id: str) -> str:
        if article_id in self.canonical_of:
            return self.canonical_of[article_id] or article_id
        return self.memory.canonical_of.get(article_id, article_id)


def _hash_key(text_hash: str) -> int:
    try:
        return int(text_hash, 16) & 0xFFFFFFFFFFFFFFFF
    except ValueError:
        return int(digest64(text_hash), 16)


def _signature_matrix(column: Any, count: int) -> npt.NDArray[np.uint16]:
    """Return signatures as a matrix of (count, 192); one of another width as zeros, which are compared with nothing."""
    width = 2 * SIGNATURE_VALUES
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    if isinstance(column, np.ndarray) and column.ndim == 2:
        column = np.ascontiguousarray(column).tobytes()
    elif str(getattr(column, "type", "")) == "binary" and not column.null_count and count:
        ends = np.frombuffer(column.buffers()[1], dtype=np.int32)[column.offset : column.offset + count + 1]
        if np.all(np.diff(ends) == width):
            column = memoryview(column.buffers()[2])[int(ends[0]) : int(ends[-1])]
    if not isinstance(column, (bytes, bytearray, memoryview)):
        blank = bytes(width)
        column = b"".join([c if c is not None and len(c) == width else blank for c in as_list(column)])
    return np.frombuffer(column, dtype="<u2").reshape(count, SIGNATURE_VALUES)


def _band_matrix(column: Any, count: int) -> _Longs:
    """Return band hashes as a matrix of (count, 20); a row of another width as zeros."""
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    if hasattr(column, "flatten") and not isinstance(column, np.ndarray):
        flat = np.asarray(column.flatten(), dtype=np.int64)
        widths = np.asarray(column.value_lengths().fill_null(0)) if count else np.zeros(0)
        if len(flat) == count * BANDS and np.all(widths == BANDS):
            return flat.reshape(count, BANDS)
    if isinstance(column, np.ndarray) and column.ndim == 2:
        return column.astype(np.int64, copy=False).reshape(count, BANDS)
    blank = (0,) * BANDS
    cells = [cell if cell is not None and len(cell) == BANDS else blank for cell in as_list(column)]
    return np.array(cells, dtype=np.int64).reshape(count, BANDS)
