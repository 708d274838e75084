"""Which lines a site repeats under its stories: counted over the lake, so that `strip_cruft` can take them away.

`learn_lines` decides for one site from the hashes of its articles' lines; `LearnSiteLines` runs it over the lake.

Decisions:
    Precision first: a line is learned when it can hardly be anything else. It stands, after all of the story, in most
    of the site's articles, on many days, and beside the same neighbour. Nothing is learned that stands in front of a
    story: what is the same there each day may be a label that belongs to it (ingredients, what we know).

    Evidence is counted so that nobody can make it up. Copies, revisions and one text under two addresses count once;
    the day on which a line stood in most articles does not count at all; what a feed brings counts on the day it was
    *seen*, whatever date it bears. (An archive is read in an hour, by who runs newsbeam: its pages count on the day
    they bear.) A burst without the line can only make newsbeam forget it, which loses nothing.

    Counted is what the rules leave, together with what learned lines took before: else a line would be forgotten as
    soon as it was learned, and come back.

    A line that reads like a paragraph needs several times the evidence; a quotation, a list item, a label of one or
    two words and what introduces something (a colon) are never learned.

    Deterministic: articles are put in order before anything is counted, the window ends with the lake's newest day,
    and the version is a hash of the limits and of all that was learned. The same lake gives the same version, whatever
    the order, the engine or the number of workers.

Limits: a site with fewer than `LEAST_SITE_ARTICLES` articles learns nothing, nor do lines between paragraphs. Of a site
the newest `MOST_ARTICLES_OF_A_SITE` are looked at, which bounds a worker's memory (about 0.5 KB each).
"""

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Optional

import apache_beam as beam
import numpy as np

from transforms.cruft_engine import fold, line_key
from transforms.lake import Lake, open_lake
from transforms.records import CleanText, Removal, Row, digest64, row
from transforms.schemas import ARTICLES
from transforms.strip_cruft import SITE_RULE, line_hash, removals_of, restore

WINDOW_DAYS = 90  # a redesign of a site is forgotten within; learning reads no more than that
LEAST_SITE_ARTICLES = 30
MOST_ARTICLES_OF_A_SITE = 20_000
MOST_LINES_OF_A_SITE = 100  # bounds what a worker of the graph keeps; real pages have a dozen
LEAST_NEIGHBOUR_SHARE = 0.6
LEAST_WORDS = 3  # one or two are a label, which may belong to the story (Ingredients, Full time)
LEAST_CHARS = 6  # of scripts without spaces, where each character counts as a word
MOST_CHARS = 600
PARAGRAPH_CHARS = 100
SAMPLE_CHARS = 200

LINE, PARAGRAPH, NEVER = 0, 1, 2  # the more, the more cautious
_QUOTED = re.compile(r'"([^"]*)"')
_QUOTED_WORDS = 3  # a name in quotes is no quotation
_SENTENCE_ENDS = tuple(".!?…。！？।؟۔")
_DAY_MICROS = 86_400_000_000


@dataclass(frozen=True)
class Bar:
    """What a line must reach; the day on which it stood in most articles is left out of the first three.

    Attributes:
        articles: distinct articles in which it stands.
        days: distinct days on which these were seen.
        article_share: its share of the site's articles between its first and its last day.
        tail_share: in how many of its articles nothing of the story follows it.
    """

    articles: int
    days: int
    article_share: float
    tail_share: float


BARS: Mapping[int, Bar] = {LINE: Bar(12, 5, 0.6, 0.95), PARAGRAPH: Bar(40, 10, 0.8, 0.98)}


@row
@dataclass(frozen=True)
class ArticleLines(Row):
    """One row of articles as learning sees it.

    `family` is the article it is a copy of, else itself; `day` counts from 1970; `hashes` holds the 8-byte hash of each
    line, `kinds` a byte for each: LINE, PARAGRAPH or NEVER.
    """

    site: str
    article_id: str
    revision: int
    family: str
    text_hash: str
    day: int
    hashes: bytes
    kinds: bytes


@row
@dataclass(frozen=True)
class SiteLine(Row):
    """A line and its evidence; `article_id`, `revision` name the first article it stands in."""

    site: str
    line_hash: str
    articles: int
    busiest_day_articles: int
    days: int
    article_share: float
    tail_share: float
    neighbour_share: float
    first_day: int
    last_day: int
    article_id: str
    revision: int


def lines_to_count(text: str, removed: Sequence[Removal]) -> list[str]:
    """Return the lines of an article that rules leave, those that learned lines took included."""
    extracted = restore(CleanText(text, removed))
    pieces, at = [], 0
    for removal in removed:
        if removal.kind != "whitespace" and not removal.rule.startswith(SITE_RULE):
            pieces.append(extracted[at : removal.start])
            at = removal.end
    pieces.append(extracted[at:])
    return [line for line in map(str.strip, "".join(pieces).split("\n")) if line]


def kind_of(line: str) -> int:
    """Return how much evidence a line needs: LINE, PARAGRAPH, or NEVER when it is never learned."""
    words = line_key(line).count(" ") + 1
    plain = fold(line)
    if words < LEAST_WORDS or not LEAST_CHARS <= len(line) <= MOST_CHARS:
        return NEVER
    if plain[0] in "\"'-•*·" or plain[0].isdigit() or plain[-1] in ":,;":
        return NEVER
    if any(quoted.count(" ") + 1 >= _QUOTED_WORDS for quoted in _QUOTED.findall(plain)):
        return NEVER
    if plain.rstrip("\"')]").endswith(_SENTENCE_ENDS) or len(line) >= PARAGRAPH_CHARS:
        return PARAGRAPH
    return LINE


def article_lines(values: Mapping[str, Any]) -> Optional[ArticleLines]:
    """Return a row of articles (columns `COLUMNS`) for learning; None for one without site or text."""
    if not values["site"] or not values["text"]:
        return None
    removed = removals_of(values["removed"])
    lines = lines_to_count(values["text"], removed)
    return ArticleLines(
        site=values["site"],
        article_id=values["article_id"],
        revision=values["revision"],
        family=values["duplicate_of"] or values["article_id"],
        text_hash=values["text_hash"] or "",
        day=_day_of(values),
        hashes=b"".join(bytes.fromhex(line_hash(line)) for line in lines),
        kinds=bytes(map(kind_of, lines)),
    )


COLUMNS = (
    "site",
    "article_id",
    "revision",
    "duplicate_of",
    "text_hash",
    "origin",
    "published_at",
    "first_seen_at",
    "text",
    "removed",
)


def _day_of(values: Mapping[str, Any]) -> int:
    seen: datetime = values["first_seen_at"]
    published: Optional[datetime] = values["published_at"]
    at = published if values["origin"] == "archive" and published is not None and published < seen else seen
    return int(at.timestamp()) // 86_400


def distinct_articles(articles: Iterable[ArticleLines]) -> list[ArticleLines]:
    """Return the articles of one site that count, in order: the newest revision of each, and no text twice."""
    newest: dict[str, ArticleLines] = {}
    for article in heapq.nlargest(MOST_ARTICLES_OF_A_SITE, articles, key=lambda a: (a.day, a.article_id, a.revision)):
        held = newest.get(article.article_id)
        if held is None or held.revision < article.revision:
            newest[article.article_id] = article
    seen: set[object] = set()
    distinct = []
    for article in sorted(newest.values(), key=lambda a: (a.day, a.article_id)):
        names = {("family", article.family), ("text", article.text_hash), ("lines", article.hashes)}
        if seen.isdisjoint(names):
            distinct.append(article)
        seen |= names
    return distinct


@dataclass
class _Found:
    """What was counted of one line."""

    first: ArticleLines
    kind: int = LINE
    days: Counter[int] = field(default_factory=Counter)
    tails: int = 0
    before: Counter[int] = field(default_factory=Counter)
    after: Counter[int] = field(default_factory=Counter)


def learn_lines(articles: Iterable[ArticleLines]) -> list[SiteLine]:
    """Return the lines of one site that are its furniture, those in most articles first.

    Args:
        articles: of one site, in any order; rows of one article may be among them several times.
    """
    distinct = distinct_articles(articles)
    if len(distinct) < LEAST_SITE_ARTICLES:
        return []
    hashes = [np.frombuffer(article.hashes, dtype=">u8") for article in distinct]
    values, counts = np.unique(np.concatenate([np.unique(held) for held in hashes]), return_counts=True)
    recurring = set(values[counts > BARS[LINE].articles].tolist())
    site_days = Counter(article.day for article in distinct)
    found: dict[int, _Found] = {}
    for article, held in zip(distinct, hashes, strict=True):
        _count(found, article, held.tolist(), recurring)
    lines = [_site_line(value, counted, site_days) for value, counted in found.items()]
    learned = [line for line, counted in zip(lines, found.values(), strict=True) if is_furniture(line, counted.kind)]
    return sorted(learned, key=lambda line: (-line.articles, line.line_hash))[:MOST_LINES_OF_A_SITE]


def _count(found: dict[int, _Found], article: ArticleLines, lines: Sequence[int], recurring: set[int]) -> None:
    tail = len(lines)
    while tail and lines[tail - 1] in recurring:
        tail -= 1
    if tail == 0:  # nothing of it is a story: it says nothing of where the story ends
        tail = len(lines)
    seen: set[int] = set()
    for at, value in enumerate(lines):
        if value not in recurring:
            continue
        counted = found.setdefault(value, _Found(article))
        counted.kind = max(counted.kind, article.kinds[at])
        if value in seen:  # a refrain counts where it stands first
            continue
        seen.add(value)
        counted.days[article.day] += 1
        counted.tails += at >= tail
        counted.before[lines[at - 1] if at else -1] += 1
        counted.after[lines[at + 1] if at + 1 < len(lines) else -1] += 1


def _site_line(value: int, counted: _Found, site_days: Mapping[int, int]) -> SiteLine:
    articles = counted.days.total()
    first, last = min(counted.days), max(counted.days)
    busiest = max(counted.days, key=lambda day: (counted.days[day], day))
    of_site = sum(count for day, count in site_days.items() if first <= day <= last and day != busiest)
    beside = max(max(counted.before.values()), max(counted.after.values()))
    return SiteLine(
        site=counted.first.site,
        line_hash=f"{value:016x}",
        articles=articles,
        busiest_day_articles=counted.days[busiest],
        days=len(counted.days),
        article_share=(articles - counted.days[busiest]) / of_site if of_site else 0.0,
        tail_share=counted.tails / articles,
        neighbour_share=beside / articles,
        first_day=first,
        last_day=last,
        article_id=counted.first.article_id,
        revision=counted.first.revision,
    )


def is_furniture(line: SiteLine, kind: int) -> bool:
    """Tell whether the evidence for a line is enough; `kind` is the most cautious of `kind_of` where it stands."""
    bar = BARS.get(kind)
    return bar is not None and (
        line.articles - line.busiest_day_articles >= bar.articles
        and line.days - 1 >= bar.days
        and line.article_share >= bar.article_share
        and line.tail_share >= bar.tail_share
        and line.neighbour_share >= LEAST_NEIGHBOUR_SHARE
    )


def model_version_of(lines: Iterable[SiteLine]) -> str:
    """Return the version of what was learned: a hash of the limits and the lines, not of how often they were seen."""
    limits = [LEAST_SITE_ARTICLES, LEAST_NEIGHBOUR_SHARE, LEAST_WORDS, MOST_LINES_OF_A_SITE, sorted(BARS.items())]
    return digest64("site_lines", repr(limits), *sorted(f"{line.site} {line.line_hash}" for line in lines))[:8]


class _ReadArticles(beam.DoFn):
    def __init__(self, lake_uri: str) -> None:
        self._lake_uri = lake_uri

    def process(self, file: str) -> Iterator[tuple[str, ArticleLines]]:
        lake = open_lake(self._lake_uri, create=False)
        for batch in lake.batches(ARTICLES, COLUMNS, [file]):
            for values in batch.to_pylist():
                article = article_lines(values)
                if article is not None:
                    yield article.site, article


class LearnSiteLines(beam.PTransform):
    """Learn the lines that sites repeat: PCollection[str] (data files of articles) -> PCollection[SiteLine].

    Bounded. Data files are read where they are named, in small batches; only hashes are shuffled (about 9 bytes a line
    of an article), by site; a site is decided on by one worker. No failures: a file that cannot be read fails the run,
    since what was learned from a part of the lake would be another version.

    Args:
        lake_uri: where the lake is; every worker must reach it.

    Example::

        learned = pipeline | "files" >> beam.Create(files_to_learn_from(lake)) | LearnSiteLines(lake_uri="lake")
    """

    def __init__(self, *, lake_uri: str) -> None:
        super().__init__()
        self._lake_uri = lake_uri

    def expand(self, files: beam.PCollection) -> beam.PCollection:
        """Return the learned lines of all sites."""
        return (
            files
            | "spread" >> beam.Reshuffle()
            | "read articles" >> beam.ParDo(_ReadArticles(self._lake_uri)).with_output_types(tuple[str, ArticleLines])
            | "by site" >> beam.GroupByKey()
            | "learn" >> beam.FlatMap(_learn_site).with_output_types(SiteLine)
        )


def _learn_site(by_site: tuple[str, Iterable[ArticleLines]]) -> list[SiteLine]:
    return learn_lines(by_site[1])


def files_to_learn_from(lake: Lake) -> list[str]:
    """Return the data files of articles that were committed in the last `WINDOW_DAYS` of the lake."""
    with lake.lock:
        lake.refresh(ARTICLES)
        files = sorted(lake.data_files(ARTICLES))
    if not files:
        return []
    since = date.fromisoformat(max(file[5:15] for file in files)) - timedelta(days=WINDOW_DAYS)
    return [file for file in files if file[5:15] > since.isoformat()]
