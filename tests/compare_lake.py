"""What a lake must hold when a worker is through, and what is different about the one there is.

    assert compare(lake, trickle) == []
    print(percentile(freshness(lake, trickle), 0.99))

Decisions:
    An update may appear before anybody saw the text it replaces. What must be there is the last text; what may be
    there is each earlier one, in order.

Limits: `freshness` goes by `committed_at`, which is taken at the beginning of the commit.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Protocol, Union

from transforms.check_books import check_books
from transforms.lake import Lake
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS, TableSchema


@dataclass(frozen=True)
class Truth:
    """What the lake must hold when all items have appeared and the worker is through.

    Attributes:
        articles: texts by article_id, in the order of their appearance; the last must be there.
        appeared: by article_id the moment each text became visible, in seconds after the start.
        urls: addresses by article_id.
        copy_groups: article_ids with the same text, of which exactly one is the canonical.
        dead: addresses that answer 404.
        flaky: article_ids whose page answered 503 once: missing while a transient dead letter is on record.
        slow: article_ids that may be missing: their page takes as long as it takes.
        silent: addresses on a host that never answers: no article, and a dead letter or none.
        poison: addresses of pages that misbehave, and the reason of the dead letter that must come of each.
        started_at: time of day of the start; None when nothing has started.
    """

    articles: Mapping[str, Sequence[str]]
    appeared: Mapping[str, Sequence[float]]
    urls: Mapping[str, str]
    copy_groups: Sequence[Sequence[str]]
    dead: Sequence[str] = ()
    flaky: Sequence[str] = ()
    slow: Sequence[str] = ()
    silent: Sequence[str] = ()
    poison: Mapping[str, str] = field(default_factory=dict)
    started_at: Optional[float] = None

    def to_json(self) -> str:
        """Return it as a JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> "Truth":
        """Return what `to_json` wrote."""
        return Truth(**json.loads(text))


class HasTruth(Protocol):
    """A `Trickle` or `TrickleProcess`."""

    def expected(self) -> Truth:
        """Return the truth."""


def compare(lake_uri: str, truth: Union[Truth, HasTruth], *, complete: bool = True) -> list[str]:
    """Return a line for each difference between a lake that nobody is writing to and the truth; empty when right.

    Args:
        lake_uri: a local folder; it is read anew, whatever this process has open.
        truth: a `Truth`, or the server that has one.
        complete: False for a worker that was stopped on its way: what is missing is then no difference.
    """
    held = truth if isinstance(truth, Truth) else truth.expected()
    lake = _read_anew(lake_uri)
    columns = ["article_id", "revision", "url", "text", "duplicate_of"]
    rows = lake.read(ARTICLES, columns).to_pylist()
    columns = ["entry_id", "stage", "attempt", "url", "disposition", "reason", "message", "permanent", "article_id"]
    letters = lake.read(DEAD_LETTERS, columns).to_pylist()
    return [
        *_doubled_keys(lake),
        *_wrong_articles(held, rows, letters, complete),
        *_wrong_copies(held, rows),
        *_wrong_letters(held, letters, complete),
        *check_books(lake),
    ]


def _read_anew(lake_uri: str) -> Lake:
    lake = Lake(Path(lake_uri.removeprefix("file://")).absolute())
    lake.refresh()
    return lake


def _doubled_keys(lake: Lake) -> Iterator[str]:
    tables: Sequence[TableSchema] = (ARTICLES, DEAD_LETTERS, POLLS)
    for table in tables:
        keys = Counter(tuple(row.values()) for row in lake.read(table, list(table.key)).to_pylist())
        for key, count in sorted(keys.items()):
            if count > 1:
                yield f"{table.name}: {', '.join(map(str, key))} is there {count} times"


def _wrong_articles(
    truth: Truth, rows: Sequence[Mapping[str, Any]], letters: Sequence[Mapping[str, Any]], complete: bool
) -> Iterator[str]:
    texts_of: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        texts_of[row["article_id"]][row["revision"]].add(row["text"])
        if row["article_id"] not in truth.articles:
            yield f"article {row['article_id']} ({row['url']}) is there, but is no article"
    failed: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for letter in letters:
        if letter["disposition"] == "dead_lettered":
            failed[letter["url"]].append(letter)
    for article_id, texts in truth.articles.items():
        name = f"article {article_id} ({truth.urls[article_id]})"
        if article_id in texts_of:
            yield from _wrong_revisions(name, texts, texts_of[article_id], complete)
            continue
        why = failed[truth.urls[article_id]]
        waits = article_id in truth.flaky and any(not letter["permanent"] for letter in why)
        if complete and not waits and article_id not in truth.slow:
            reasons = ", ".join(sorted({str(letter["reason"]) for letter in why}))
            yield f"{name} is missing" + (f"; dead letters of it say {reasons}" if reasons else "")


def _wrong_revisions(name: str, texts: Sequence[str], found: Mapping[int, set[str]], complete: bool) -> Iterator[str]:
    if sorted(found) != list(range(1, len(found) + 1)):
        yield f"{name} has revisions {sorted(found)}"
    places = []
    for revision, held in sorted(found.items()):
        for text in sorted(held):
            if text in texts:
                places.append(list(texts).index(text))
            else:
                yield f"{name} revision {revision} has a wrong text: {text[:60]!r}…"
    if places != sorted(places):
        yield f"{name} has its texts in the wrong order: {[place + 1 for place in places]}"
    if len(places) > len(set(places)):
        yield f"{name} has one text in several revisions: {[place + 1 for place in places]}"
    if complete and places and len(texts) - 1 not in places:
        yield f"{name} has text {max(places) + 1} of {len(texts)} as its last"


def _wrong_copies(truth: Truth, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    group_of = {article_id: set(group) for group in truth.copy_groups for article_id in group}
    named = {row["article_id"]: row["duplicate_of"] for row in sorted(rows, key=lambda row: row["revision"])}
    for row in rows:
        article_id, original = row["article_id"], row["duplicate_of"]
        if original is None:
            continue
        name = f"article {article_id} ({row['url']})"
        if article_id == original:
            yield f"{name} is marked as a copy of itself"
        elif original not in group_of.get(article_id, set()):
            yield f"{name} is marked as a copy of {original}, which has another text"
        elif original not in named:
            yield f"{name} is marked as a copy of {original}, which is not there"
        elif named[original] is not None:
            yield f"{name} is marked as a copy of {original}, which is itself a copy"
    for group in truth.copy_groups:
        there = [article_id for article_id in group if article_id in named]
        canonical = [article_id for article_id in there if named[article_id] is None]
        if there and len(canonical) != 1:
            yield f"copies {', '.join(group)}: {len(canonical)} of them are no copy, not one"


def _wrong_letters(truth: Truth, letters: Sequence[Mapping[str, Any]], complete: bool) -> Iterator[str]:
    wanted = {**dict.fromkeys(truth.dead, "http_404"), **truth.poison}
    articles = set(truth.urls.values())
    slow = {truth.urls[article_id] for article_id in truth.slow}
    permanent: Counter[str] = Counter()
    for letter in letters:
        url, reason = letter["url"], letter["reason"]
        name = f"dead letter of {url}"
        if letter["disposition"] != "dead_lettered":
            if len(truth.articles.get(letter["article_id"], ())) < 2:
                yield f"{name} says {letter['disposition']} of an article that never changed"
            continue
        permanent[url] += bool(letter["permanent"])
        if not reason:
            yield f"{name} has no reason"
        elif reason == "bug" and wanted.get(url) != "bug":
            yield f"{name} has the reason bug: {letter['message']}"
        elif url in wanted:
            if letter["permanent"] and reason != wanted[url]:
                yield f"{name} has the reason {reason}, not {wanted[url]}"
        elif url not in articles and url not in truth.silent:
            yield f"{name} ({reason}), which no feed lists"
        elif letter["permanent"] and url in articles - slow:
            yield f"{name} ({reason}) gives up an article for good"
    for url, reason in wanted.items():
        if permanent[url] > 1:
            yield f"dead letter of {url} is on record {permanent[url]} times"
        if complete and not permanent[url]:
            yield f"{url} is not on record as {reason}"


# ---- freshness ----------------------------------------------------------------------------------------------------


def freshness(lake_uri: str, truth: Union[Truth, HasTruth]) -> list[float]:
    """Return the seconds from the appearance of each text in the lake to its commit, ascending.

    A text that was replaced before it was seen has no row and does not count; nor do pages that are slow, or not
    served at first, by design. Repeated rows and wrong texts are `compare`'s business.

    Raises:
        ValueError: nothing has started yet.
    """
    held = truth if isinstance(truth, Truth) else truth.expected()
    if held.started_at is None:
        raise ValueError("nothing has appeared yet: the trickle was never started")
    beside = {*held.slow, *held.flaky}
    found = []
    for row in _read_anew(lake_uri).read(ARTICLES, ["article_id", "text", "committed_at"]).to_pylist():
        texts = list(held.articles.get(row["article_id"], ()))
        if row["text"] in texts and row["article_id"] not in beside:
            appeared = held.started_at + held.appeared[row["article_id"]][texts.index(row["text"])]
            found.append(row["committed_at"].timestamp() - appeared)
    return sorted(found)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` (0..1) of them do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values: nothing was committed")
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
