"""What a page says about its article: title, authors, dates, language, canonical address, section, paywall.

One pass over the parsed tree collects the few elements that carry metadata; JSON-LD is read from its scripts. No
XPath runs, since those are what makes metadata dear elsewhere (13 ms a page against 0.3 here).

Decisions:
    For each field the sources are asked in the order of how seldom they are wrong on news pages: JSON-LD of the
    article, then OpenGraph and the publishing systems' own meta names, then microdata, then visible elements.
    Where a page carries several article objects (teasers of others), the one that names this page's address or
    headline is believed, else the first.

    Titles lose the site's name only where another source proves what the headline is, or where the tail equals the
    site's name: a headline may itself hold a dash or a bar.

    A time without a zone is taken as UTC, since most systems that omit the zone store UTC; a publication time more
    than a day in the future is a template's or an embargo's, and becomes None.

No Beam here: worker processes that extract import this module and must start fast. Times are microseconds since the
epoch, UTC.
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from html import unescape
from itertools import islice
from typing import Any, NamedTuple, Optional
from urllib.parse import urljoin, urlsplit

MICROS_PER_DAY = 86_400_000_000
_MAX_JSON_LD_CHARS = 2_000_000  # one page in a thousand carries more, and then it is no metadata
_MAX_NODES = 2_000
_MAX_SCRIPTS = 200
_MAX_TITLE_CHARS = 500
_MAX_VALUE_CHARS = 4_000  # of any one value; what is longer is no title, name or section
_MAX_BODY_CHARS = 1_000_000  # of an articleBody, as of any story
_MAX_ADDRESS_CHARS = 4_000
_MAX_VALUES = 30  # of one name on one page; the most that says something is a list of tags
_MAX_AUTHORS = 12
_MAX_KEYWORDS = 30
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # the web has nothing older; 0000-00-00 and 1970 are empty fields

# schema.org types of an article, the more telling first.
_ARTICLE_TYPES = (
    "newsarticle", "reportagenewsarticle", "analysisnewsarticle", "opinionnewsarticle", "backgroundnewsarticle",
    "reviewnewsarticle", "askpublicnewsarticle", "liveblogposting", "article", "blogposting", "satiricalarticle",
    "advertisercontentarticle", "scholarlyarticle", "techarticle", "report", "socialmediaposting", "review",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(_ARTICLE_TYPES)}

_TITLE_METAS = (
    "og:title", "twitter:title", "parsely-title", "sailthru.title", "dc.title", "dcterms.title", "title", "headline",
)  # fmt: skip
_AUTHOR_METAS = (
    "author", "article:author", "og:article:author", "parsely-author", "sailthru.author", "dc.creator",
    "dcterms.creator", "byl", "cxenseparse:author", "authors", "article:author_name", "article.author",
    "citation_author",
)  # fmt: skip
_PUBLISHED_METAS = (
    "article:published_time", "og:article:published_time", "og:published_time", "article:published", "datepublished",
    "parsely-pub-date", "sailthru.date", "cxenseparse:recs:publishtime", "dcterms.created", "dc.date.issued",
    "dcterms.issued", "dcterms.date", "dc.date", "publish-date", "publish_date", "publishdate", "pubdate", "pub_date",
    "published_time", "publication_date", "article.published", "date.release", "release_date",
    "citation_publication_date", "article_date_original", "date_published", "last-modified-original", "date",
)  # fmt: skip
_UPDATED_METAS = (
    "article:modified_time", "og:article:modified_time", "og:updated_time", "article:updated_time", "datemodified",
    "dcterms.modified", "dc.date.modified", "last-modified", "revised", "lastmod", "article.updated", "date_modified",
)  # fmt: skip
_SECTION_METAS = (
    "article:section", "og:article:section", "parsely-section", "sailthru.verticals", "cxenseparse:section",
    "section", "category",
)  # fmt: skip
_KEYWORD_METAS = ("news_keywords", "keywords", "parsely-tags", "sailthru.tags")
_SITE_METAS = (
    "og:site_name", "application-name", "twitter:app:name:iphone", "publisher", "dc.publisher",
)  # fmt: skip
_PAYWALL_METAS = (
    "article:content_tier", "og:article:content_tier", "content_tier", "cxenseparse:paywall", "paywall", "access",
    "ispaywall",
)  # fmt: skip
_PAYWALLED = frozenset((
    "locked", "metered", "paid", "premium", "paywall", "true", "yes", "1", "subscriber", "subscribers",
))  # fmt: skip

_NO_LETTER = re.compile(r"[\W_]+")
_SPACE = re.compile(r"\s+")
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]+")  # JSON can escape what no page can hold
_NOT_IN_ADDRESS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TAGS = re.compile(r"<[^<>]{0,400}>")
_ISO = re.compile(
    r"\s*(\d{4})-?(\d{2})-?(\d{2})"
    r"(?:[T\s]{1,2}(\d{1,2}):?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?\s*(?:\[[^\]]{1,40}\])?\s*",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"\s*(\d{10}|\d{13})(?:\.\d+)?\s*")
_URL_DAY = re.compile(r"/((?:19|20)\d{2})[/-]?(0[1-9]|1[0-2])[/-]?(0[1-9]|[12]\d|3[01])(?=[/_.-]|$)")
_SEPARATED_TAIL = re.compile(r"\s+[|\-–—·•»«:/]+\s+|\s*[|｜]\s*")
_BY = re.compile(r"^(?:by|von|par|por|di|door|av|af|przez|autor(?:e|in|en)?|text|words by)\s*:?\s+", re.IGNORECASE)
_AND = re.compile(r"\s*(?:,|;|\||\s(?:and|und|et|y|e|en|och|og|i|&)\s)\s*", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://|www\.|@|\.(?:com|org|net|html?|php)\b", re.IGNORECASE)


class PageMetadata(NamedTuple):
    """What a page says of its article, as plain values; times in microseconds since the epoch, UTC.

    `titles` are all headlines the page names (cleaned, best first, without repeats): whoever reads the text can tell a
    repeated headline by them. `article_body` is JSON-LD's own text, an alarm and a fallback, not the truth.
    """

    title: Optional[str] = None
    titles: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    published_micros: Optional[int] = None
    updated_micros: Optional[int] = None
    language: Optional[str] = None
    canonical_url: Optional[str] = None
    site_name: Optional[str] = None
    section: Optional[str] = None
    keywords: tuple[str, ...] = ()
    is_paywalled: bool = False
    description: Optional[str] = None
    article_body: Optional[str] = None


class _Found(NamedTuple):
    """The elements that carry metadata, as they stand in the page."""

    metas: dict[str, list[str]]
    canonical: list[str]
    scripts: list[str]
    times: list[tuple[str, str]]  # (datetime, "published" | "updated" | "")
    headings: list[str]
    html_title: Optional[str]
    itemprops: dict[str, list[str]]
    rel_authors: list[str]
    base: Optional[str]


def scan_metadata(tree: Any, *, url: str, now_micros: int) -> PageMetadata:
    """Return what the page says about its article.

    Args:
        tree: the root of the parsed page (lxml.html); not changed.
        url: the page's address; relative canonical addresses are resolved against it.
        now_micros: the time of reading; later publication times (beyond a day) are not believed.
    """
    found = _collect(tree)
    nodes = list(_json_ld_nodes(found.scripts))
    canonical = _absolute(_first(found.canonical) or _first(found.metas.get("og:url", ())), found.base or url)
    article = _article_node(nodes, {_plain(url), _plain(canonical or url)}, found)
    site_name = _site_name(article, nodes, found)
    titles = _titles(article, found, site_name, url)
    published = _first_time(
        [
            _text(article.get("datePublished")),
            *_meta_values(found, _PUBLISHED_METAS),
            *found.itemprops.get("datepublished", ()),
            _text(article.get("dateCreated")),
            *(time for time, kind in found.times if kind == "published"),
            *(time for time, kind in found.times[:1] if kind == ""),
            _url_day(url),
        ]
    )
    updated = _first_time(
        [
            _text(article.get("dateModified")),
            *_meta_values(found, _UPDATED_METAS),
            *found.itemprops.get("datemodified", ()),
            *(time for time, kind in found.times if kind == "updated"),
        ]
    )
    latest = now_micros + MICROS_PER_DAY
    return PageMetadata(
        title=titles[0] if titles else None,
        titles=tuple(titles),
        authors=tuple(_authors(article, nodes, found, site_name)),
        published_micros=published if published is not None and published <= latest else None,
        updated_micros=updated if updated is not None and updated <= latest else None,
        language=_language(tree, article, found),
        canonical_url=canonical,
        site_name=site_name,
        section=_short(_first(_strings(article.get("articleSection"))) or _first(_meta_values(found, _SECTION_METAS))),
        keywords=tuple(_keywords(article, found)),
        is_paywalled=_is_paywalled(article, nodes, found),
        description=_clean(_first(found.metas.get("og:description", ())) or _first(found.metas.get("description", ())))
        or None,
        article_body=_article_body(article),
    )


def parse_time_micros(value: str) -> Optional[int]:
    """Return a time in microseconds since the epoch, UTC; None when `value` is no time this side of 1990.

    Reads ISO 8601 in its basic, extended and sloppy forms, RFC 2822, and epoch seconds or milliseconds. Without a zone
    the time is taken as UTC; without a time of day it is midnight UTC.
    """
    value = value[:80]
    match = _ISO.fullmatch(value)
    try:
        if match:
            year, month, day, hour, minute, second, fraction, zone = match.groups()
            moment = datetime(
                int(year), int(month), int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59),
                int((fraction or "0")[:6].ljust(6, "0")), tzinfo=_zone(zone),
            )  # fmt: skip
        elif match := _EPOCH.fullmatch(value):
            moment = datetime.fromtimestamp(int(match[1]) / (1000 if len(match[1]) == 13 else 1), tz=UTC)
        else:
            moment = parsedate_to_datetime(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
        if moment < _EARLIEST:
            return None
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _zone(zone: Optional[str]) -> timezone:
    if zone is None or not zone.startswith(("+", "-")):
        return UTC
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0))
    return timezone(-offset if zone[0] == "-" else offset)


# --- collecting ---------------------------------------------------------------------------------------------------


def _collect(tree: Any) -> _Found:
    metas: dict[str, list[str]] = {}
    itemprops: dict[str, list[str]] = {}
    canonical: list[str] = []
    scripts: list[str] = []
    times: list[tuple[str, str]] = []
    headings: list[str] = []
    rel_authors: list[str] = []
    html_title = base = None
    for element in tree.iter("meta", "link", "script", "time", "h1", "title", "base"):
        tag = element.tag
        if tag == "meta":
            content = element.get("content")
            if content and content.strip():
                for attribute in ("property", "name", "http-equiv"):
                    name = element.get(attribute)
                    if name:
                        _add(metas, name.strip().lower(), content)
                if element.get("itemprop"):
                    _add(itemprops, element.get("itemprop").lower(), content)
        elif tag == "script":
            # iOS apps and CMS write application/ld+json with parameters or other case.
            if "ld+json" in (element.get("type") or "").lower() and element.text and len(scripts) < _MAX_SCRIPTS:
                scripts.append(element.text)
        elif tag == "link":
            if "canonical" in (element.get("rel") or "").lower().split() and element.get("href") and not canonical:
                canonical.append(element.get("href").strip())
        elif tag == "time":
            if element.get("datetime") and len(times) < _MAX_VALUES:
                times.append((element.get("datetime"), _kind_of_time(element)))
        elif tag == "h1":
            heading = _clean(_inner_text(element)) if len(headings) < _MAX_VALUES else ""
            if heading:
                headings.append(heading)
        elif tag == "base":
            base = base or element.get("href")
        elif (
            html_title is None and element.text and element.getparent() is not None and element.getparent().tag != "svg"
        ):
            html_title = element.text
    for element in tree.xpath("//*[@itemprop]"):
        prop = element.get("itemprop").lower()
        if element.tag == "meta":
            continue
        if prop in ("datepublished", "datemodified"):
            _add(itemprops, prop, element.get("datetime") or element.get("content") or "")
        elif prop in ("author", "headline") and len(itemprops.get(prop, ())) < _MAX_AUTHORS:
            _add(itemprops, prop, _microdata_name(element) if prop == "author" else _clean(_inner_text(element)))
    for element in tree.iter("a"):
        if element.get("rel") == "author" and len(rel_authors) < _MAX_AUTHORS:
            rel_authors.append(_clean(_inner_text(element)))
    return _Found(metas, canonical, scripts, times, headings, html_title, itemprops, rel_authors, base)


def _add(values: dict[str, list[str]], name: str, value: str) -> None:
    known = values.setdefault(name, [])
    if len(known) < _MAX_VALUES:
        known.append(value)


def _inner_text(element: Any) -> str:
    """Return the text within an element, as far as any value goes."""
    parts: list[str] = []
    length = 0
    for part in element.itertext():
        parts.append(part)
        length += len(part)
        if length > _MAX_VALUE_CHARS:
            break
    return "".join(parts)


def _kind_of_time(element: Any) -> str:
    """Whether a <time> says so itself that it is the publication or the update; "" when it does not say."""
    said = f"{element.get('itemprop', '')} {element.get('class', '')} {element.get('pubdate', '-')}".lower()
    if "modified" in said or "update" in said:
        return "updated"
    if "publish" in said or not said.endswith(" -") or "entry-date" in said:
        return "published"
    return ""


def _microdata_name(element: Any) -> str:
    for inner in islice(element.iter(), _MAX_NODES):
        if inner is not element and inner.get("itemprop") == "name":
            return _clean(inner.get("content") or _inner_text(inner))
    return _clean(element.get("content") or _inner_text(element))


def _json_ld_nodes(scripts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of all JSON-LD scripts, outermost first; at most `_MAX_NODES`."""
    left = _MAX_NODES
    for script in scripts:
        stack = [_load_json(script)]
        while stack and left:
            value = stack.pop()
            if isinstance(value, list):
                stack.extend(reversed(value))
            elif isinstance(value, dict):
                left -= 1
                yield value
                stack.extend(
                    value[key]
                    for key in ("mainEntity", "mainEntityOfPage", "@graph")
                    if isinstance(value.get(key), (dict, list))
                )


def _load_json(script: str) -> Any:
    """Return the parsed script, None when it cannot be read; wrapping comments and stray commas are forgiven."""
    if len(script) > _MAX_JSON_LD_CHARS:
        return None
    text = script.strip()
    for opener, closer in (
        ("<!--", "-->"),
        ("//<![CDATA[", "//]]>"),
        ("<![CDATA[", "]]>"),
        ("/*<![CDATA[*/", "/*]]>*/"),
    ):
        if text.startswith(opener):
            text = text.removeprefix(opener).removesuffix(closer).strip()
    text = text.rstrip(";\ufeff ").lstrip("\ufeff")
    for attempt in (text, re.sub(r",(\s*[}\]])", r"\1", text)):
        try:
            return json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _article_node(nodes: list[dict[str, Any]], addresses: set[str], found: _Found) -> dict[str, Any]:
    """Return the object that describes this page's article; {} when there is none."""
    best: tuple[tuple[int, int, int], dict[str, Any]] = ((9, 99, 0), {})
    headlines = {_fold(h) for h in (*found.headings, *found.metas.get("og:title", ()))}
    for position, node in enumerate(nodes):
        ranks = [_RANK[t] for t in _types(node) if t in _RANK]
        if not ranks:
            continue
        named = {_plain(a) for key in ("url", "@id", "mainEntityOfPage") for a in _addresses(node.get(key))}
        mine = 0 if addresses & named or _fold(_text(node.get("headline")) or "-") in headlines else 1
        rated = (mine, min(ranks), position)
        if rated < best[0]:
            best = (rated, node)
    return best[1]


def _types(node: dict[str, Any]) -> list[str]:
    return [t.rpartition("/")[2].lower() for t in _strings(node.get("@type"))]


# --- fields -------------------------------------------------------------------------------------------------------


def _titles(article: dict[str, Any], found: _Found, site_name: Optional[str], url: str) -> list[str]:
    """Return the page's headlines, cleaned, best first."""
    host = _letters(_plain(url).partition("/")[0])
    headline = _clean(_text(article.get("headline")) or _text(article.get("name")))
    raw = [headline, *(_clean(t) for t in found.itemprops.get("headline", ())[:1])]
    raw += [_clean(t) for t in _meta_values(found, _TITLE_METAS)]
    raw += (
        found.headings[:1]
        if len(found.headings) == 1
        else [h for h in found.headings if any(_fold(h) in _fold(t) for t in raw if t)][:1]
    )
    page_title = _clean(found.html_title)
    others = [t for t in raw if t]
    cleaned = [_without_site(t, others, site_name, host) for t in [*others, *([page_title] if page_title else [])]]
    if headline.endswith(("…", "...")):
        # Search engines cut headlines at 110 characters, and some systems deliver the cut one.
        whole = next(
            (t for t in cleaned[1:] if t.startswith(headline.rstrip("….")[:60]) and len(t) > len(headline)), None
        )
        cleaned = [whole, *cleaned] if whole else cleaned
    return list(dict.fromkeys(t[:_MAX_TITLE_CHARS] for t in cleaned if t))


def _without_site(title: str, proofs: list[str], site_name: Optional[str], host: str) -> str:
    """Return `title` without the site's name at its end, where a shorter headline or the name itself proves it one."""
    known = {_letters(proof) for proof in proofs}
    name = _letters(site_name or "")
    for cut in reversed(list(_SEPARATED_TAIL.finditer(title))[-3:]):
        head, tail = title[: cut.start()].strip(), _letters(title[cut.end() :])
        if len(head) < 8:
            break
        named = len(name) >= 3 and (tail == name or (len(name) >= 4 and tail.startswith(name)))
        if _letters(head) in known or named or (len(tail) >= 4 and tail in host):
            return head
    return title


def _site_name(article: dict[str, Any], nodes: list[dict[str, Any]], found: _Found) -> Optional[str]:
    name = _first(_meta_values(found, _SITE_METAS[:1])) or _first(_names(article.get("publisher")))
    if not name:
        website = next((n for n in nodes if "website" in _types(n)), {})
        name = _text(website.get("name")) or _first(_meta_values(found, _SITE_METAS[1:]))
    return _short(name)


def _authors(
    article: dict[str, Any], nodes: list[dict[str, Any]], found: _Found, site_name: Optional[str]
) -> list[str]:
    by_id = {n["@id"]: n for n in nodes if isinstance(n.get("@id"), str) and n.get("name")}
    candidates = (
        _names(article.get("author"), by_id),
        _names(article.get("creator"), by_id),
        found.itemprops.get("author", []),
        _meta_values(found, _AUTHOR_METAS),
        found.rel_authors,
    )
    fallback: list[str] = []
    for source in candidates:
        names = list(dict.fromkeys(n for value in source for n in _split_names(_clean(value))))[:_MAX_AUTHORS]
        people = [n for n in names if not site_name or _letters(n) != _letters(site_name)]
        if people:
            return people
        fallback = fallback or names
    return fallback


def _split_names(value: str) -> list[str]:
    """Return the single names of a byline; a name keeps its case and its title."""
    if not value or len(value) > 300 or _ADDRESS.search(value):
        return []
    value = _BY.sub("", value)
    names = [_BY.sub("", n.strip(" .,;:|-–—\"'")) for n in _AND.split(value)]
    return [n for n in names if 1 < len(n) <= 80 and not n.isdigit() and not n.startswith("(") and ":" not in n]


def _keywords(article: dict[str, Any], found: _Found) -> list[str]:
    raw = (
        _strings(article.get("keywords"))
        or found.metas.get("article:tag", [])
        or _meta_values(found, _KEYWORD_METAS)[:1]
    )
    words = [_clean(w) for value in raw for w in (value.split(",") if len(raw) == 1 else [value])]
    return list(dict.fromkeys(w for w in words if 1 < len(w) <= 80))[:_MAX_KEYWORDS]


def _is_paywalled(article: dict[str, Any], nodes: list[dict[str, Any]], found: _Found) -> bool:
    free = article.get("isAccessibleForFree")
    if free is None:
        free = next(
            (n["isAccessibleForFree"] for n in nodes if "isAccessibleForFree" in n and "webpage" in _types(n)), None
        )
    if isinstance(free, (bool, int, str)):
        return str(free).rpartition("/")[2].strip().lower() in ("false", "0", "no")
    return any(v.strip().lower() in _PAYWALLED for v in _meta_values(found, _PAYWALL_METAS))


def _language(tree: Any, article: dict[str, Any], found: _Found) -> Optional[str]:
    root = tree if tree.tag == "html" else tree.getroottree().getroot()
    declared = (
        root.get("lang") or root.get("xml:lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang"),
        _first(_strings(article.get("inLanguage"))),
        _first(found.metas.get("content-language", ())),
        _first(found.metas.get("og:locale", ())),
        _first(found.metas.get("language", ())) or _first(found.metas.get("dc.language", ())),
    )
    return next((d.split(",")[0].strip() for d in declared if d and d.strip()), None)


def _article_body(article: dict[str, Any]) -> Optional[str]:
    body = _text(article.get("articleBody"))
    if not body or len(body) < 100:
        return None
    body = re.sub(r"(?i)<(?:/p|/div|/h[1-6]|/li|br\s*/?)>", "\n", _unescape(body[:_MAX_BODY_CHARS]))
    lines = (_plain_line(_unescape(_TAGS.sub("", line))) for line in body.splitlines())
    return "\n".join(line for line in lines if line) or None


# --- small readers ------------------------------------------------------------------------------------------------


def _meta_values(found: _Found, names: Iterable[str]) -> list[str]:
    return [value for name in names for value in found.metas.get(name, ())]


def _first_time(values: Iterable[Optional[str]]) -> Optional[int]:
    return next((t for t in (parse_time_micros(v) for v in values if v) if t is not None), None)


def _url_day(url: str) -> Optional[str]:
    match = _URL_DAY.search(url.partition("://")[2].partition("?")[0].partition("#")[0])
    return "-".join(match.groups()) if match else None


def _absolute(address: Optional[str], base: str) -> Optional[str]:
    if not address or len(address) > _MAX_ADDRESS_CHARS:
        return None
    try:
        absolute = urljoin(base[:_MAX_ADDRESS_CHARS], address.strip())
        scheme = urlsplit(absolute).scheme
    except ValueError:
        return None
    return absolute if scheme in ("http", "https") and not _NOT_IN_ADDRESS.search(absolute) else None


def _plain(address: str) -> str:
    """An address for comparison: without scheme, www, query, fragment and trailing slash."""
    rest = address.partition("://")[2] or address
    return rest.partition("#")[0].partition("?")[0].removeprefix("www.").rstrip("/").lower()


def _addresses(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = value.get("@id") or value.get("url")
    return [v for v in _strings(value) if "://" in v]


def _names(value: Any, by_id: Optional[dict[str, dict[str, Any]]] = None) -> list[str]:
    names: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            if not item.get("name") and by_id and isinstance(item.get("@id"), str):
                item = by_id.get(item["@id"], item)
            names.extend(_strings(item.get("name")))
        elif isinstance(item, str):
            names.append(item)
    return names


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str) and v.strip()]


def _text(value: Any) -> Optional[str]:
    return _first(_strings(value))


def _first(values: Iterable[str]) -> Optional[str]:
    return next((v for v in values if v), None)


def _clean(value: Optional[str]) -> str:
    """Plain text of a metadata value: entities (also escaped twice) resolved, tags gone, white space single."""
    if not value:
        return ""
    text = value[:_MAX_VALUE_CHARS]
    if "&" in text:
        text = _unescape(_unescape(text))
    if "<" in text:
        text = _TAGS.sub("", text)
    return _plain_line(text)


def _plain_line(text: str) -> str:
    return _NOT_TEXT.sub("", _SPACE.sub(" ", text)).strip(" \u200b\ufeff")


def _unescape(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:  # a number of more than 4,300 digits
        return text


def _short(value: Optional[str]) -> Optional[str]:
    return _clean(value)[:200] or None


def _fold(value: str) -> str:
    return _SPACE.sub(" ", _unescape(value[:_MAX_VALUE_CHARS])).strip().casefold()


def _letters(value: str) -> str:
    return _NO_LETTER.sub("", value.casefold())
