"""The rows that travel through the graph, and the identities they carry.

Every row is a frozen dataclass registered with Beam's row coder, so elements are schema-checked and deterministic.
Rules measured on Beam 2.77: no annotations import from the future, `Optional[X]` and never ``X | None``, sequences
come back as lists and are therefore coerced to tuples in `__post_init__`, no `kw_only` (rows are rebuilt positionally).

Times are `Timestamp` (microseconds, UTC). Text offsets are code points.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, NamedTuple, Optional, TypeVar, get_origin, get_type_hints

from apache_beam import coders
from apache_beam.utils.timestamp import Timestamp

from transforms.digests import digest64


def feed_id_of(url: str) -> str:
    """Return the id of a feed: a hash of its full address as listed, so that rows need not hold the address."""
    return digest64("feed", url)


def entry_id_of(feed_id: str, key: str) -> str:
    """Return the id of an entry: its feed and its key within the feed (guid, else link, else title)."""
    return digest64("entry", feed_id, key)


_EPOCH = Timestamp(0)


class Row:
    """The base of rows: sequences are tuples, so that a row is hashable and equal to itself after a round trip."""

    _sequences: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Coerce the sequences, which Beam hands back as lists."""
        for name in self._sequences:
            object.__setattr__(self, name, tuple(getattr(self, name) or ()))


_R = TypeVar("_R", bound=Row)


def row(cls: type[_R]) -> type[_R]:
    """Register a frozen dataclass as a Beam row.

    The schema's id (a UUID, or Java refuses it) is made from its name and fields: with Beam's own, a new one in each
    process, a worker in another process would not know the class again and decode its rows as named tuples.
    """
    hints = get_type_hints(cls)
    shape = f"newsbeam.{cls.__name__} {[(f.name, str(hints[f.name])) for f in fields(cls)]}"  # type: ignore[arg-type]
    cls._beam_schema_id = str(uuid.uuid5(uuid.NAMESPACE_OID, shape))  # type: ignore[attr-defined]
    cls._sequences = tuple(f.name for f in fields(cls) if get_origin(hints[f.name]) is Sequence)  # type: ignore[arg-type]
    coders.registry.register_row(cls)
    return cls


@row
@dataclass(frozen=True)
class FeedHeader(Row):
    """A header that a feed is asked with: its value, or only where the value is, so that no secret travels.

    `env` names an environment variable, `file` a file; `scheme` says that what is there is a token (Bearer) or the
    password of `user` (Basic).
    """

    name: str
    value: Optional[str] = None
    env: Optional[str] = None
    file: Optional[str] = None
    scheme: Optional[str] = None
    user: Optional[str] = None


@row
@dataclass(frozen=True)
class FeedSpec(Row):
    """A feed as listed by the user. `url` may hold secrets: it never goes into a row or a log (use `mask_url`).

    `min_interval_seconds` and `max_interval_seconds` bound its own polling in place of the worker's bounds.
    """

    feed_id: str
    url: str
    title: Optional[str] = None
    language: Optional[str] = None
    tags: Sequence[str] = ()
    headers: Sequence[FeedHeader] = ()
    is_paused: bool = False
    min_interval_seconds: Optional[float] = None
    max_interval_seconds: Optional[float] = None


@row
@dataclass(frozen=True)
class Wave(Row):
    """The feeds that one bounded pipeline polls together (batch)."""

    feeds: Sequence[FeedSpec]


@row
@dataclass(frozen=True)
class FeedEntry(Row):
    """One entry of a parsed feed.

    `key` is its identity within the feed: guid, else link, else a hash of title and text. `entry_hash` covers title,
    link and texts (not `updated_at`, which some servers set to now). `text_html` is the full text where the feed
    carries it, `summary_html` the rest. `url` is absolute, or "" when the entry has none.
    """

    key: str
    entry_hash: str
    url: str
    title: Optional[str] = None
    summary_html: Optional[str] = None
    text_html: Optional[str] = None
    authors: Sequence[str] = ()
    published_at: Optional[Timestamp] = None
    updated_at: Optional[Timestamp] = None
    language: Optional[str] = None
    tags: Sequence[str] = ()


class KnownContent(NamedTuple):
    """What the lake holds of an entry's content (`entry_hash`) within its feed, whatever id the entry had.

    `attempts` were made. `at_seconds` is when the last of them was committed; or, where that one failed and may pass
    (not `is_final`), when it is to be tried again.
    """

    attempts: int
    at_seconds: int
    is_final: bool


def newest_first(entry: FeedEntry) -> float:
    """Return what entries are sorted by to have the newest first, and those without a date at the end."""
    at = entry.published_at or entry.updated_at
    return -at.micros / 1e6 if at is not None else 0.0


@row
@dataclass(frozen=True)
class NestedSitemap(Row):
    """A sitemap that an index names; `lastmod` is None where the index does not say."""

    url: str
    lastmod: Optional[Timestamp] = None


@row
@dataclass(frozen=True)
class ParsedFeed(Row):
    """A parsed feed. `format` is one of rss, rdf, atom, json, sitemap, sitemap_index.

    `warnings` are slugs of what had to be forgiven; `nested` is what an index names.
    """

    format: str
    entries: Sequence[FeedEntry]
    title: Optional[str] = None
    site_url: Optional[str] = None
    language: Optional[str] = None
    ttl_seconds: Optional[int] = None
    warnings: Sequence[str] = ()
    nested: Sequence[NestedSitemap] = ()


@row
@dataclass(frozen=True)
class FeedState(Row):
    """What the newest committed poll says of a feed: the only state polling has.

    `unmodified_since` is when the first of the 304 came that the feed has answered alone since then; else None.
    """

    feed_id: str
    etag: Optional[str] = None
    last_modified: Optional[str] = None
    content_hash: Optional[str] = None
    state: str = "ok"
    failures_in_a_row: int = 0
    next_due_at: Optional[Timestamp] = None
    polled_at: Optional[Timestamp] = None
    unmodified_since: Optional[Timestamp] = None


@row
@dataclass(frozen=True)
class Page(Row):
    """An entry with what is to be extracted: `html` of the fetched page, or `feed_html`/`text` where there is no page.

    `url` is the address after redirects, `origin` says where the text will come from: page, feed (the feed's own
    text), archive. Only harvest, extract, clean and tag see a Page; it never crosses a shuffle.
    """

    entry_id: str
    entry_hash: str
    feed_id: str
    url: str
    origin: str
    first_seen_at: Timestamp
    html: Optional[bytes] = None
    text: Optional[str] = None
    title: Optional[str] = None
    summary: Optional[str] = None
    authors: Sequence[str] = ()
    published_at: Optional[Timestamp] = None
    updated_at: Optional[Timestamp] = None
    language: Optional[str] = None
    feed_tags: Sequence[str] = ()
    attempt: int = 1
    content_type: Optional[str] = None


@row
@dataclass(frozen=True)
class ExtractedArticle(Row):
    """What a page says it is. `text` has one paragraph a line; `published_at` is None where the page does not say."""

    title: Optional[str]
    text: str
    authors: Sequence[str] = ()
    published_at: Optional[Timestamp] = None
    updated_at: Optional[Timestamp] = None
    language: Optional[str] = None
    canonical_url: Optional[str] = None
    site_name: Optional[str] = None
    section: Optional[str] = None
    keywords: Sequence[str] = ()
    is_paywalled: bool = False


@row
@dataclass(frozen=True)
class Removal(Row):
    """One stretch of the extracted text that was removed: ``extracted[start:end]``, in code points."""

    rule: str
    kind: str
    start: int
    end: int
    text: str = ""


@row
@dataclass(frozen=True)
class CleanText(Row):
    """The story. Kept and removed stretches together are the extracted text, to the character."""

    text: str
    removed: Sequence[Removal] = ()


@row
@dataclass(frozen=True)
class Fingerprint(Row):
    """What copies and stories are found by.

    `text_hash` is a 64-bit hash (16 hex digits) of the text with case, punctuation and white space folded; `signature`
    the MinHash of its shingles (16-bit values, little-endian); `bands` LSH band hashes as signed 64-bit integers;
    `tokens` the number of words (CJK: characters); `terms` hashed key terms for story clustering, most telling first.
    """

    text_hash: str
    signature: bytes = b""
    bands: Sequence[int] = ()
    tokens: int = 0
    terms: Sequence[int] = ()


@row
@dataclass(frozen=True)
class Topic(Row):
    """An IPTC Media Topic with a score in 0..1 and the words of the article that speak for it."""

    code: str
    label: str
    score: float
    evidence: Sequence[str] = ()


@row
@dataclass(frozen=True)
class Draft(Row):
    """An article before assignment: everything about it that does not depend on what the lake holds.

    `text` is the text as it stands after the last step that ran (extracted, then clean); `site` the registrable
    domain. `first_seen_at` orders arrival. Rows `removed` refer to the extracted text; `published_title` and
    `published_summary` are headline and summary as they came, where cleaning changed them.
    """

    article_id: str
    title: Optional[str] = None
    text: str = ""
    language: Optional[str] = None
    site: Optional[str] = None
    published_at: Optional[Timestamp] = None
    fingerprint: Optional[Fingerprint] = None
    entry_id: str = ""
    entry_hash: str = ""
    feed_id: str = ""
    url: str = ""
    canonical_url: Optional[str] = None
    origin: str = "page"
    first_seen_at: Timestamp = _EPOCH
    updated_at: Optional[Timestamp] = None
    authors: Sequence[str] = ()
    site_name: Optional[str] = None
    section: Optional[str] = None
    keywords: Sequence[str] = ()
    is_paywalled: bool = False
    summary: Optional[str] = None
    feed_tags: Sequence[str] = ()
    removed: Sequence[Removal] = ()
    topics: Sequence[Topic] = ()
    syndicated_from: Optional[str] = None
    attempt: int = 1
    rules_version: Optional[str] = None
    published_title: Optional[str] = None
    published_summary: Optional[str] = None


@row
@dataclass(frozen=True)
class CopyAssignment(Row):
    """Whether an article is a copy. `duplicate_of` names the canonical article; kind is exact, near, or contained."""

    article_id: str
    duplicate_of: Optional[str] = None
    similarity: Optional[float] = None
    copy_kind: Optional[str] = None


@row
@dataclass(frozen=True)
class StoryAssignment(Row):
    """The story (event) an article belongs to; an article of no known story opens one under its own id."""

    article_id: str
    story_id: str


@row
@dataclass(frozen=True)
class Failure(Row):
    """An item that did not become a row: a dead letter in the making.

    `stage` is poll, fetch, extract, strip, fingerprint, tag or commit; `reason` a slug; `permanent` False means that
    it is tried again at `retry_at`. `replay` is JSON with what a second try needs. `disposition` is dead_lettered for
    failures; the commit records unchanged and repeated_in_batch the same way, so that each new entry of a poll is
    found in articles or dead_letters.
    """

    entry_id: str
    entry_hash: str
    feed_id: str
    url: str
    stage: str
    reason: str
    message: str
    failed_at: Timestamp
    permanent: bool = True
    retry_at: Optional[Timestamp] = None
    attempt: int = 1
    replay: Optional[str] = None
    disposition: str = "dead_lettered"


@row
@dataclass(frozen=True)
class Poll(Row):
    """One poll of a feed (or one stretch of an archive), with its books: entries = known + new.

    `status` is ok, not_modified, unchanged (200 with the content hash of last time) or failed. The validators take
    effect when this row is committed, which is when every entry in `new_entry_ids`, in the version that its place in
    `new_entry_hashes` names, has a committed disposition.
    """

    feed_id: str
    url: str
    polled_at: Timestamp
    status: str
    state: str = "ok"
    http_status: Optional[int] = None
    reason: Optional[str] = None
    message: Optional[str] = None
    format: Optional[str] = None
    feed_title: Optional[str] = None
    etag: Optional[str] = None
    last_modified: Optional[str] = None
    content_hash: Optional[str] = None
    duration_ms: int = 0
    bytes_received: int = 0
    entries: int = 0
    known: int = 0
    new: int = 0
    new_entry_ids: Sequence[str] = ()
    failures_in_a_row: int = 0
    next_due_at: Optional[Timestamp] = None
    moved_to: Optional[str] = None
    warnings: Sequence[str] = ()
    new_entry_hashes: Sequence[str] = ()
    unmodified_since: Optional[Timestamp] = None


@row
@dataclass(frozen=True)
class CommitItem(Row):
    """What travels to the commit: exactly one of its fields is set."""

    draft: Optional[Draft] = None
    failure: Optional[Failure] = None
    poll: Optional[Poll] = None


def field_names(cls: type) -> tuple[str, ...]:
    """Return the names of a row's fields, in order."""
    return tuple(f.name for f in fields(cls))
