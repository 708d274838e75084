"""A sitemap's bytes -> its pages as entries of a feed, or the sitemaps it names: XML, gzipped, plain text, with news.

Decisions:
    * A sitemap is read as a feed of format ``sitemap``: a page is an entry, its address the entry's key. A list of
      sitemaps (``sitemap_index``) has no entries of its own; `choose_nested` says which of those it names are worth a
      request now, and `gather_nested` reads them within a bound.
    * What a page's lastmod says changes nothing in `entry_hash`, as an update time changes nothing in a feed's: too
      many generators write the time of the request, and each change would fetch a whole archive again. Only in a news
      sitemap it counts, since those hold two days of stories and corrections are what is wanted: there, when it lies
      after the publication and is older than an hour. What always says "now" is never that old, so it never counts.
    * Entries are sorted newest first, those without a date behind them as listed, since sitemaps come in any order and
      whoever caps the entries of a feed keeps the first.
    * Pages of other sites stay and are flagged (papers do share a sitemap between two domains); sitemaps of other
      sites are not followed, since an index speaks for its own site only.
    * XML goes through `repair_xml` as feeds do. What is still broken then is read field by field, up to where it ends.
    * A feed that stands where a sitemap was expected is read as the feed it is, and the other way round.

Limits: 50,000 pages or nested sitemaps a document. Pictures, films and translations in it are ignored.

Source: https://www.sitemaps.org/protocol.html; the news namespace as Google documents it.
"""

import contextlib
import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, Optional
from xml.parsers import expat

from transforms.article_url import MOST_URL_CHARS, address_key, join_address, site_of
from transforms.bounded_body import BoundedBody
from transforms.digests import digest64
from transforms.feed_parser import EntryValues, FeedItem, FeedParser, FeedValues
from transforms.parse_feed import MOST_TAGS, read_feed
from transforms.read_dates import believe_date, date_seconds, read_date
from transforms.repair_xml import JUNK_SCAN_CHARS, RepairedXml, decode_markup, repair_xml

MOST_URLS = 50_000  # what the protocol allows in one document
MOST_FIELD_CHARS = 8192
MOST_TAG_CHARS = 200
MOST_INFLATED_BYTES = 15 * 1024 * 1024  # as a body that came compressed by its coding
SETTLED_SECONDS = 3600.0  # how old a change in a news sitemap must be to count

_ROOT = re.compile(
    r"<(?:[A-Za-z_][\w.\-]{0,20}:)?(?:(urlset|sitemapindex)|rss|rdf|feed|channel|html|head|body)[\s>/]", re.IGNORECASE
)
_ADDRESS_LINE = re.compile(r"https?://\S+\s*\Z", re.IGNORECASE)
_PART_OF_DATE = re.compile(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?\Z")
_NAME_OF_UTC = re.compile(r"\s?(?:UTC|GMT|Z)(?:\[UTC\])?\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z]{2,8})?\Z")
_MARKUP = re.compile(r"<[/!?]?[A-Za-z][^<>]*+>")
_BLOCK = re.compile(r"<((?:\w{1,20}:)?)(url|sitemap)(?:\s[^<>]*)?>", re.IGNORECASE)
_FIELDS = {  # (parent, element) -> what it is
    ("url", "loc"): "loc",
    ("url", "lastmod"): "lastmod",
    ("sitemap", "loc"): "loc",
    ("sitemap", "lastmod"): "lastmod",
    ("news", "title"): "title",
    ("news", "publication_date"): "published",
    ("news", "keywords"): "keywords",
    ("publication", "name"): "name",
    ("publication", "language"): "language",
}


class _Listed(NamedTuple):
    """A page or sitemap as the document names it; "" for what is missing."""

    is_sitemap: bool
    loc: str
    lastmod: str = ""
    title: str = ""
    published: str = ""
    keywords: str = ""
    name: str = ""
    language: str = ""


def is_sitemap(body: bytes, *, content_type: Optional[str] = None) -> bool:
    """Return whether `body` is a sitemap by its first element, an address by its first line, or anything gzipped."""
    if _is_gzip(body):
        return True
    text, _ = decode_markup(body[:JUNK_SCAN_CHARS], content_type=content_type)
    root = _ROOT.search(text)
    return bool(root and root[1]) or (root is None and _starts_with_address(text))


def read_sitemap(item: FeedItem, *, most_bytes: int = MOST_INFLATED_BYTES) -> FeedValues:
    """Return what a sitemap lists; a feed in its place as that feed's entries.

    Args:
        item: the document; a gzip file is inflated here.
        most_bytes: cap of an inflated gzip file.

    Raises:
        RejectedError: too_large, bad_encoding (gzip), and what `read_feed` refuses: empty_body, html_page,
            not_a_feed, broken_feed, too_deep, attribute_bomb, entity_definitions.
    """
    body, url, content_type, now_seconds, _ = item
    if _is_gzip(body):
        inflated = BoundedBody(url, "gzip", most_bytes)
        inflated.feed(body)
        body = inflated.finish()
    if not is_sitemap(body, content_type=content_type):
        return read_feed(item._replace(body=body))
    text, notes = decode_markup(body, content_type=content_type)
    warnings = list(notes)
    if _starts_with_address(text):
        root, listed = "urlset", _read_lines(text)
    else:
        document = _repaired(text, url, warnings)
        root, listed = document.root, _read(document, warnings)
    if len(listed) > MOST_URLS:
        warnings.append("too_many_entries")
    feed = _assembled(root, listed[:MOST_URLS], url, now_seconds, warnings)
    return feed._replace(entries=feed.entries[: item.most_entries])


parse_sitemap = FeedParser(read_sitemap)


def _is_gzip(body: bytes) -> bool:
    return body.startswith(b"\x1f\x8b\x08")


def _starts_with_address(text: str) -> bool:
    first = text.lstrip("\ufeff \t\r\n")[: MOST_URL_CHARS + 1].splitlines()
    return bool(first) and bool(_ADDRESS_LINE.match(first[0]))


# ---- reading ------------------------------------------------------------------------------------------------------


def _read_lines(text: str) -> list[_Listed]:
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines() if not line.isspace()]
    return [_Listed(is_sitemap=False, loc=line if _ADDRESS_LINE.match(line) else "") for line in lines if line]


def _repaired(text: str, url: str, warnings: list[str]) -> RepairedXml:
    """Return the document from its root on, through what guards and repairs feeds."""
    root = _ROOT.search(text)
    start = root.start() if root else 0
    # An entity's definition stands before the root, and `repair_xml` is who judges it.
    if not re.search(r"<!ENTITY", text[:start], re.IGNORECASE):
        if re.search(r"<(?![!?])", re.sub(r"<!--[^>]*-->", "", text[:start])):
            warnings.append("junk_before_feed")
        text = text[start:]
    document = repair_xml(text.encode("utf-8", "replace"), url=url, content_type=None)
    warnings.extend(document.warnings)
    return document


def _read(document: RepairedXml, warnings: list[str]) -> list[_Listed]:
    if document.well_formed:
        return _read_elements(document.text)
    if "truncated" not in warnings:
        warnings.append("salvaged")
    # Escaped ampersands did not mend it, so saying so would only hide what did.
    warnings[:] = [w for w in warnings if w != "not_well_formed"]
    return list(_salvage(document.text))


class _EnoughError(Exception):
    """Raised out of a handler to end the parser's work."""


def _read_elements(text: str) -> list[_Listed]:
    """Return what a well-formed document lists, one more than is taken at most."""
    listed: list[_Listed] = []
    path: list[str] = []
    known: dict[str, str] = {}
    block = ""
    fields: dict[str, str] = {}
    field = ""
    pieces: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal block, field
        local = known.get(name)
        if local is None:
            local = known[name] = name.rpartition(":")[2].lower()
        if not block:
            if local in ("url", "sitemap"):
                block = local
                fields.clear()
        elif path:
            field = _FIELDS.get((path[-1], local), "")
            pieces.clear()
        path.append(local)

    def end(name: str) -> None:
        nonlocal block, field
        closed = path.pop()
        if field:
            fields.setdefault(field, "".join(pieces)[:MOST_FIELD_CHARS])
            field = ""
        elif closed == block and block not in path:
            listed.append(_Listed(is_sitemap=block == "sitemap", **{"loc": "", **fields}))
            block = ""
            if len(listed) > MOST_URLS:
                raise _EnoughError

    def characters(data: str) -> None:
        if field:
            pieces.append(data)

    parser: Any = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters
    with contextlib.suppress(_EnoughError):
        parser.Parse(text.encode("utf-8"), True)
    return listed


def _salvage(text: str) -> Iterator[_Listed]:
    """Yield what a broken document lists: each stretch from one opening tag to the next is searched for its fields."""
    blocks = list(_BLOCK.finditer(text))
    ends = [*(block.start() for block in blocks[1:]), len(text)]
    for block, end in list(zip(blocks, ends[: len(blocks)], strict=True))[: MOST_URLS + 1]:
        stretch = text[block.end() : end]
        loc = _field(stretch, f"{block[1]}loc")
        if not loc and end == len(text):
            continue  # cut off before its address was complete
        has_news = "<news:" in stretch
        yield _Listed(
            is_sitemap=block[2].lower() == "sitemap",
            loc=loc,
            lastmod=_field(stretch, f"{block[1]}lastmod"),
            title=_field(stretch, "news:title") if has_news else "",
            published=_field(stretch, "news:publication_date") if has_news else "",
            language=_field(stretch, "news:language") if has_news else "",
            name=_field(stretch, "news:name") if has_news else "",
        )


def _field(stretch: str, name: str) -> str:
    found = _field_pattern(name).search(stretch)
    if found is None:
        return ""
    return (found[1] or html.unescape(found[2] or ""))[:MOST_FIELD_CHARS]


@lru_cache(maxsize=64)
def _field_pattern(name: str) -> re.Pattern[str]:
    value = r"(?:<!\[CDATA\[([^\]]*)\]\]>|([^<]*)<)"
    return re.compile(rf"<{re.escape(name)}(?:\s[^<>]*)?>\s*+{value}", re.IGNORECASE)


# ---- meaning ------------------------------------------------------------------------------------------------------


def _assembled(root: str, listed: Sequence[_Listed], url: str, now: float, warnings: list[str]) -> FeedValues:
    site, own = site_of(url), address_key(url)
    entries: dict[str, EntryValues] = {}
    nested: dict[str, Optional[int]] = {}
    for one in listed:
        address = join_address(url, html.unescape(one.loc) if "&amp;" in one.loc else one.loc)
        if not address:
            warnings.append("unusable_link")
            continue
        is_foreign = bool(site) and not _is_on(address, site)
        if one.is_sitemap:
            if address_key(address) == own:
                warnings.append("self_reference")
            elif is_foreign:
                warnings.append("foreign_sitemap")
            else:
                nested.setdefault(address, _micros(one.lastmod, now, warnings))
            continue
        if is_foreign:
            warnings.append("foreign_links")
        if address in entries:
            warnings.append("repeated_entry")
            continue
        entries[address] = _entry(one, address, now, warnings)
    names = Counter(_words(one.name) for one in listed if one.name)
    languages = Counter(one.language.strip() for one in listed if one.language)
    return FeedValues(
        format="sitemap_index" if root == "sitemapindex" else "sitemap",
        entries=sorted(entries.values(), key=lambda entry: -(entry.published_micros or entry.updated_micros or 0)),
        nested=tuple(nested.items()),
        title=next((name for name, _ in names.most_common(1)), None) or None,
        language=_language(languages.most_common(1)[0][0]) if languages else None,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _entry(one: _Listed, address: str, now: float, warnings: list[str]) -> EntryValues:
    published = _micros(one.published, now, warnings)
    updated = _micros(one.lastmod, now, warnings)
    title = _words(one.title) if one.title else ""
    parts = [title, address]
    if published is not None and updated is not None and published < updated < (now - SETTLED_SECONDS) * 1e6:
        parts.append(str(updated))
    return EntryValues(
        address,
        digest64(*parts),
        address,
        title=title or None,
        published_micros=published,
        updated_micros=updated,
        language=_language(one.language.strip()) if one.language else None,
        tags=_keywords(one.keywords) if one.keywords else (),
    )


def _keywords(written: str) -> tuple[str, ...]:
    words = (_words(word)[:MOST_TAG_CHARS] for word in written.split(","))
    return tuple(dict.fromkeys(word for word in words if word))[:MOST_TAGS]


def _is_on(address: str, site: str) -> bool:
    # The registrable domain costs ten times as much as this, for what nearly every address of a sitemap is.
    host = address.partition("://")[2].partition("/")[0].partition(":")[0]
    return host == site or host.endswith("." + site) or site_of(address) == site


def _words(text: str) -> str:
    if "<" in text:
        text = _MARKUP.sub(" ", text)
    return " ".join(html.unescape(text).split()) if "&" in text else " ".join(text.split())


def _language(declared: str) -> Optional[str]:
    return declared.lower() if _LANGUAGE.match(declared) else None


def _micros(written: str, now: float, warnings: list[str]) -> Optional[int]:
    if not written:
        return None
    return believe_date(date_seconds(written, warnings, read=_seconds), now_seconds=now, warnings=warnings)


def _seconds(written: str) -> Optional[float]:
    """Read a date as feeds have them, or a part of one, which the protocol allows."""
    part = _PART_OF_DATE.match(written) if len(written) <= 10 else None
    if part is None:
        return read_date(_NAME_OF_UTC.sub("+00:00", written) if written[-1] in "CT]" else written)
    try:
        return datetime(int(part[1]), int(part[2] or 1), int(part[3] or 1), tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
