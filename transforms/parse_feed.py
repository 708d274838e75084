"""A feed's bytes -> its entries: RSS 0.9x to 2.0, RSS 1.0 (RDF), Atom 0.3 and 1.0, CDF, JSON Feed 1.x.

Decisions:
    * XML goes through `repair_xml` first, so feedparser always sees bounded UTF-8 and its strict parser nearly always
      succeeds; `bozo` is therefore no reason for anything. A feed is rejected only when nothing could be read.
    * feedparser neither sanitises nor rewrites links inside of texts: nothing is rendered here, the text step reads
      the HTML by itself, and both together take three quarters of feedparser's time (1.27 ms an entry with a
      kilobyte of text, 0.32 without).
    * feedparser is given a stream, never bytes or text, since it would open what looks like a path or an address.
    * An entry is the same entry as long as its guid (else link, else title and text) is the same. A guid that is used
      for several links within one document names none of them alone: all of them get guid and link as key, not only
      the later ones, so that the order of the document does not matter.
    * `entry_hash` covers what a reader would read (title, link, words of the texts), not markup: counting pixels,
      scripts and advertisements inside of feeds change at each request. Neither key nor hash has the parameters of a
      link that follow readers around, for the same reason; `url` keeps them.
    * A guid is the same whichever of feedparser's parsers read it, so that a feed that breaks for a day does not come
      anew.
    * A link through an aggregator that says where it leads is replaced by that address.
    * Dates are UTC (see `read_dates`).
    * No Beam is imported here, nor by what this module imports, since worker processes parse (see `feed_parser`).

Limits: enclosures, podcasts' chapters and the like are ignored; languages are given as declared; texts in base64 are
not decoded; titles end after `MOST_TITLE_CHARS`; links through aggregators that must be asked where they lead stay as
they are.
"""

import html
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Optional
from urllib.parse import parse_qsl, urlsplit

import feedparser

from transforms.article_url import join_address, normalise_url
from transforms.digests import digest64
from transforms.errors import RejectedError, one_line
from transforms.feed_parser import EntryValues, FeedItem, FeedParser, FeedValues
from transforms.parse_json_feed import parse_json_feed
from transforms.read_dates import believe_date, date_seconds
from transforms.repair_xml import FEED_ROOTS, decode_markup, repair_xml

MOST_ENTRIES = 10_000  # the largest feeds of the open sets have some hundreds; sitemaps are another matter
MOST_KEY_CHARS = 2048  # of a guid; what is longer is known by its hash
MOST_TITLE_CHARS = 1000  # the longest headlines have some 300; what is longer is a text in the wrong place
MOST_SALVAGED = 500  # entries read one by one after feedparser failed on the whole
MOST_TAGS = 50
MOST_AUTHORS = 30
MOST_TTL_SECONDS = 31 * 86400

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,3}\Z")
_MARKUP = re.compile(r"<[/!?]?[A-Za-z][^<>]*+>")
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NOT_ON_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HIDDEN = re.compile(r"<(script|style|template)\b[^<>]*+>", re.IGNORECASE)
_HIDDEN_ENDS = {n: re.compile(rf"</{n}\b[^<>]*+>?", re.IGNORECASE) for n in ("script", "style", "template")}
_ESCAPED_AMPERSAND = re.compile(r"&(?:amp;)+")
_REDIRECT_BY_QUERY = re.compile(
    r"(?:www\.)?google\.[a-z.]{2,6}/url\Z|(?:www\.)?bing\.com/news/apiclick\.aspx\Z|lm?\.(?:facebook|instagram)\.com/(?:l\.php)?\Z"
)
_REDIRECT_BY_PATH = re.compile(r"(?:[a-z]{2}\.)?rd\.yahoo\.com/")
_END_OF_ENTRY = re.compile(r"</(?:\w{1,20}:)?(?:item|entry)\s*>")
_ADDRESS = re.compile(r"[^\s()<>@]*+@[^\s()<>@]*+")
_START_OF_ENTRY = re.compile(r"<(?:\w{1,20}:)?(?:item|entry)[\s>]")
_TEXT_TYPES = frozenset({"", "text/plain", "text/html", "application/xhtml+xml"})
_PERIODS = {"hourly": 3600, "daily": 86400, "weekly": 7 * 86400, "monthly": 30 * 86400, "yearly": 365 * 86400}


_add_tag = feedparser.mixin._FeedParserMixin._add_tag


def _add_tag_within_bounds(self: Any, term: Any, scheme: Any, label: Any) -> None:
    """What feedparser does, which looks for each tag among all before it, for no more tags than are kept."""
    if len(self._get_context().setdefault("tags", [])) < MOST_TAGS:
        _add_tag(self, term, scheme, label)


feedparser.mixin._FeedParserMixin._add_tag = _add_tag_within_bounds


class _Draft(NamedTuple):
    """An entry as its format names it, before identity: texts are HTML, dates seconds since the epoch."""

    guid: str
    url: str
    title: str
    summary_html: str
    text_html: str
    authors: Sequence[str]
    published: Optional[float]
    updated: Optional[float]
    language: Optional[str]
    tags: Sequence[str]


def read_feed(item: FeedItem) -> FeedValues:
    """Return the feed in a document, its entries in the document's order.

    Raises:
        RejectedError: empty_body, html_page, not_a_feed, broken_feed, too_deep, attribute_bomb, entity_definitions.
    """
    if not item.body.strip():
        raise RejectedError("The answer has no content", reason="empty_body", url=item.url)
    feed = _from_json(*item[:4]) if _looks_like_json(item.body) else _from_xml(*item[:4])
    return feed._replace(entries=feed.entries[: item.most_entries])


parse_feed = FeedParser(read_feed)


def _looks_like_json(body: bytes) -> bool:
    head = body[:64].replace(b"\x00", b"").removeprefix(b"\xef\xbb\xbf").removeprefix(b"\xff\xfe")
    return head.removeprefix(b"\xfe\xff").lstrip().startswith((b"{", b"["))


def _from_json(body: bytes, url: str, content_type: Optional[str], now_seconds: float) -> FeedValues:
    text, notes = decode_markup(body, content_type=content_type)
    warnings = list(notes)
    feed = parse_json_feed(text, url=url)
    warnings.extend(feed.warnings)
    drafts = [
        _Draft(
            guid=_guid(item.id),
            url=_direct(_absolute(url, item.url, warnings)),
            title=plain_words(_unescape(item.title), unescape=False)[:MOST_TITLE_CHARS].strip(),
            summary_html=_NOT_IN_TEXT.sub("", item.summary_html),
            text_html=_NOT_IN_TEXT.sub("", item.content_html),
            authors=_unique(item.authors, MOST_AUTHORS),
            published=date_seconds(item.date_published, warnings),
            updated=date_seconds(item.date_modified, warnings),
            language=item.language,
            tags=_unique(item.tags, MOST_TAGS),
        )
        for item in feed.items[:MOST_ENTRIES]
    ]
    if len(feed.items) > MOST_ENTRIES:
        warnings.append("too_many_entries")
    return FeedValues(
        format="json",
        entries=_identify(drafts, now_seconds, warnings),
        title=plain_words(_unescape(feed.title), unescape=False) or None,
        site_url=join_address(url, feed.home_page_url) or None,
        language=_language(feed.language),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _from_xml(body: bytes, url: str, content_type: Optional[str], now_seconds: float) -> FeedValues:
    document = repair_xml(body, url=url, content_type=content_type)
    warnings = list(document.warnings)
    text = _first_entries(document.text, warnings)
    parsed = _read_entries(text, url, warnings)
    version = str(dict.get(parsed, "version") or "")
    about = parsed.feed
    if not parsed.entries and not version and not _string(about, "title"):
        if document.root in FEED_ROOTS:
            raise RejectedError("It starts like a feed, but no feed could be read", reason="broken_feed", url=url)
        raise RejectedError(f"Not a feed: its first element is <{document.root[:40]}>", reason="not_a_feed", url=url)
    atom = version.startswith("atom")
    drafts = [_draft_of(entry, url, atom, warnings) for entry in parsed.entries]
    if atom and (by_all := _authors(about)):  # RFC 4287, 4.2.1: an entry without authors has its feed's
        drafts = [draft if draft.authors else draft._replace(authors=by_all) for draft in drafts]
    return FeedValues(
        format="atom" if atom else "rdf" if document.root == "rdf" else "rss",
        entries=_identify(drafts, now_seconds, warnings),
        title=_title(about, atom) or None,
        site_url=join_address(url, _string(about, "link")) or None,
        language=_language(_string(about, "language")),
        ttl_seconds=_ttl_seconds(about),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _read_entries(text: str, url: str, warnings: list[str]) -> Any:
    """Return what feedparser reads; where it raises, what it reads of the entries one by one, without the others."""
    try:
        return _run_feedparser(text)
    except Exception as error:  # feedparser raises what its callbacks raise for odd elements: any kind
        reason = one_line(f"{type(error).__name__}: {error}", limit=200)
    start = text[: text.find(">") + 1] + ("<channel>" if text.startswith("<rss") else "")
    whole, at = None, 0
    for _ in range(MOST_SALVAGED):
        opening = _START_OF_ENTRY.search(text, at)
        closing = _END_OF_ENTRY.search(text, opening.end()) if opening else None
        if opening is None or closing is None:
            break
        at = closing.end()
        try:
            one = _run_feedparser(start + text[opening.start() : at])
        except Exception:
            warnings.append("broken_entry")
            continue
        if whole is None:
            whole = one
        else:
            whole.entries.extend(one.entries)
    if whole is None or not whole.entries:
        raise RejectedError(f"The feed is broken beyond repair ({reason})", reason="broken_feed", url=url)
    first = _START_OF_ENTRY.search(text)
    if first:
        try:
            whole.feed = _run_feedparser(text[: first.start()]).feed
        except Exception:
            warnings.append("broken_head")
    warnings.append("salvaged")
    return whole


def _run_feedparser(text: str) -> Any:
    return feedparser.parse(
        io.BytesIO(text.encode("utf-8", "replace")),
        # Without an address of its own, it resolves links by xml:base alone, and guids by nothing that may change.
        response_headers={"content-type": "application/xml; charset=utf-8"},
        sanitize_html=False,
        resolve_relative_uris=False,
    )


def _first_entries(text: str, warnings: list[str]) -> str:
    """Cut the document after as many entries as are read, so that an endless one costs no more."""
    if text.count("</") <= MOST_ENTRIES:
        return text
    for count, end in enumerate(_END_OF_ENTRY.finditer(text), start=1):
        if count == MOST_ENTRIES:
            last = text.rfind("</")
            if _END_OF_ENTRY.search(text, end.end()):
                warnings.append("too_many_entries")
                kept = text[: end.end()]
                closing = "</channel>" if text.startswith("<rss") and "</channel" not in kept else ""
                return f"{kept}{closing}{text[last:]}"
    return text


def _draft_of(entry: Any, base: str, atom: bool, warnings: list[str]) -> _Draft:
    summary, content = _texts(entry, atom)
    published_at = date_seconds(_string(entry, "published"), warnings)
    if published_at is None:
        published_at = date_seconds(_string(entry, "created"), warnings)
    updated_at = date_seconds(_string(entry, "updated"), warnings)
    if published_at is None and not atom:
        published_at = updated_at  # dc:date, which feedparser calls updated, is all that RSS 1.0 has
    link = _string(entry, "feedburner_origlink") or _string(entry, "pheedo_origlink") or _link_of(entry)
    return _Draft(
        guid=_guid(_string(entry, "id")),
        url=_direct(_absolute(base, link, warnings)),
        title=_title(entry, atom),
        summary_html=summary,
        text_html=content,
        authors=_authors(entry),
        published=published_at,
        updated=updated_at,
        language=_string(dict.get(entry, "title_detail"), "language") or None,
        tags=_unique((_string(t, "label") or _string(t, "term") for t in dict.get(entry, "tags") or ()), MOST_TAGS),
    )


def _link_of(entry: Any) -> str:
    link = _string(entry, "link")
    if link:
        return link
    for other in dict.get(entry, "links") or ():
        if _string(other, "rel") in {"", "alternate"} and _string(other, "href"):
            return _string(other, "href")
    guid = _string(entry, "id")
    return guid if guid.startswith(("http://", "https://")) else ""


def _texts(entry: Any, atom: bool) -> tuple[str, str]:
    """Return summary and full text as HTML; the full text is "" where it says no more than the summary."""
    summary = _as_html(_string(entry, "summary"), dict.get(entry, "summary_detail"), atom)
    parts = [p for p in dict.get(entry, "content") or () if _string(p, "type").lower() in _TEXT_TYPES]
    content = max((_as_html(_string(p, "value"), p, atom) for p in parts), key=len, default="")
    if summary == content or any(_string(entry, "summary") == _string(p, "value") for p in parts):
        return "", content  # feedparser repeats a lone content as summary
    if len(plain_words(content)) <= len(plain_words(summary)):
        return summary, ""
    return summary, content


def _as_html(value: str, detail: Any, atom: bool) -> str:
    value = value.strip()
    kind = _string(detail, "type").lower() if detail else ""
    if value and kind == "text/plain" and (atom or not _MARKUP.search(value)):
        return _paragraphs(value)
    return value


def _paragraphs(text: str) -> str:
    """Plain text as HTML: blank lines part paragraphs."""
    parts = re.split(r"\n[ \t\r]*\n", text)
    return "".join(f"<p>{html.escape(part.strip(), quote=False)}</p>" for part in parts if part.strip())


def _title(element: Any, atom: bool) -> str:
    detail = dict.get(element, "title_detail")
    literal = (
        bool(detail) and _string(detail, "type") == "text/plain" and not _REFERENCE.search(_string(detail, "value"))
    )
    title = _string(element, "title")
    if literal and not atom:  # plain because a script is none of the tags that feedparser takes for HTML
        title = _without_hidden(title)
    return plain_words(title, unescape=not literal)[:MOST_TITLE_CHARS].strip()


def plain_words(text: str, *, unescape: bool = True) -> str:
    """The words of `text`, white space folded; with `unescape`, without markup and references."""
    if unescape:
        if "<" in text:
            text = _MARKUP.sub(" ", _without_hidden(_without_comments(text)))
        text = _unescape(text)
    return " ".join(_NOT_ON_A_LINE.sub(" ", text).split())


def _without_hidden(text: str) -> str:
    """Leave out what browsers do not show; a start without end is only a tag, in a title about tags."""
    kept, at, endless = [], 0, set()
    while (start := _HIDDEN.search(text, at)) is not None:
        name = start[1].lower()
        end = None if name in endless else _HIDDEN_ENDS[name].search(text, start.end())
        if end is None:
            endless.add(name)
        kept.append(text[at : start.start() if end else start.end()])
        at = end.end() if end else start.end()
    return "".join((*kept, text[at:]))


def _without_comments(text: str) -> str:
    pieces, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        pieces.append(text[at:start])
        at = end + 3
    return "".join((*pieces, text[at:]))


def _unescape(text: str) -> str:
    if "&" not in text:
        return text
    try:
        return html.unescape(text)
    except ValueError:  # a reference of thousands of digits
        return text


def _authors(element: Any) -> tuple[str, ...]:
    names = [_string(author, "name") for author in dict.get(element, "authors") or () if author]
    written = _string(element, "author")
    if len(names) <= 1 and (not any(names) or "@" in written):
        # feedparser cuts addresses of newer top-level domains in two and takes the rest for a name.
        names = [_ADDRESS.sub(" ", written).strip(" ()<>[],;:\"'")]
    return _unique((plain_words(name) for name in names if "@" not in name), MOST_AUTHORS)


def _unique(values: Iterable[str], most: int) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(v for v in (" ".join(_NOT_ON_A_LINE.sub(" ", value).split())[:200] for value in values) if v)
    )[:most]


def _string(element: Any, name: str) -> str:
    # dict.get, because feedparser's own answers for `updated` and others with another field, and a warning.
    value = dict.get(element, name) if isinstance(element, dict) else None
    # Its lenient parser resolves references to what no row can hold.
    return _NOT_IN_TEXT.sub("", value) if isinstance(value, str) else ""


def _absolute(base: str, link: str, warnings: list[str]) -> str:
    address = join_address(base, link)
    if not address and link.strip():
        warnings.append("unusable_link")
    return address


def _direct(url: str) -> str:
    """Return the address that an aggregator's link leads to where the link itself says it, else `url`.

    Source: links of Google Alerts, Bing News and Yahoo feeds, and Facebook's, as their feeds carry them.
    """
    parts = urlsplit(url)
    place = f"{parts.hostname}{parts.path}"
    if _REDIRECT_BY_QUERY.match(place):
        query = dict(parse_qsl(parts.query, max_num_fields=None))
        to = query.get("url") or query.get("u") or query.get("q") or ""
    elif _REDIRECT_BY_PATH.match(place) and "/*" in parts.path:
        to = url.partition("/*")[2]
    else:
        return url
    return join_address("", to) or url


def _guid(written: str) -> str:
    """Return a guid as one line; its ampersands are escaped or not, depending on which parser read the feed."""
    guid = " ".join(_NOT_ON_A_LINE.sub(" ", _ESCAPED_AMPERSAND.sub("&", written)).split())
    return guid if len(guid) <= MOST_KEY_CHARS else digest64(guid)


def _untracked(url: str) -> str:
    """Return an address without the parameters that follow readers around, which may change from poll to poll."""
    bare = normalise_url(url) if "?" in url else ""
    if not bare:
        return url
    if bare.partition("?")[2].count("&") == urlsplit(url).query.count("&") and "?" in bare:
        return url
    fragment = urlsplit(url).fragment
    return f"{bare}#{fragment}" if fragment else bare


def _language(declared: Optional[str]) -> Optional[str]:
    declared = (declared or "").strip()
    return declared.replace("_", "-").lower() if _LANGUAGE.match(declared) else None


def _ttl_seconds(about: Any) -> Optional[int]:
    ttl = _string(about, "ttl").strip()
    if ttl.isascii() and ttl.isdigit() and 0 < len(ttl) < 9 and int(ttl):
        return min(int(ttl) * 60, MOST_TTL_SECONDS)
    period = _PERIODS.get(_string(about, "sy_updateperiod").strip().lower())
    if period is None:
        return None
    frequency = _string(about, "sy_updatefrequency").strip()
    times = int(frequency) if frequency.isascii() and frequency.isdigit() and 0 < len(frequency) < 6 else 1
    return min(max(period // max(times, 1), 60), MOST_TTL_SECONDS)


def _identify(drafts: Sequence[_Draft], now_seconds: float, warnings: list[str]) -> tuple[EntryValues, ...]:
    """Give each entry its key and hash; of entries with the same key keep the first."""
    words = [(plain_words(d.summary_html), plain_words(d.text_html)) for d in drafts]
    links = [_untracked(d.url) for d in drafts]
    guids = [_untracked(d.guid) if d.guid == d.url else d.guid for d in drafts]
    first = [g or u or digest64(d.title, *w) for g, u, d, w in zip(guids, links, drafts, words, strict=True)]
    # What else names an entry whose key others use as well: the link behind a guid, the title behind a link.
    second = [(u or d.title) if d.guid else d.title for u, d in zip(links, drafts, strict=True)]
    shared = {
        key for key, count in Counter(key for key, _ in set(zip(first, second, strict=True))).items() if count > 1
    }
    if shared:
        warnings.append("reused_guid")
    entries: dict[str, EntryValues] = {}
    for draft, link, (summary, text), key, other in zip(drafts, links, words, first, second, strict=True):
        if not (draft.url or draft.title or summary or text):
            warnings.append("empty_entry")
            continue
        key = f"{key}\n{other}" if key in shared else key
        if key in entries:
            warnings.append("repeated_entry")
            continue
        entries[key] = EntryValues(
            key=key,
            entry_hash=digest64(draft.title, link, summary, text),
            url=draft.url,
            title=draft.title or None,
            summary_html=draft.summary_html or None,
            text_html=draft.text_html or None,
            authors=draft.authors,
            published_micros=believe_date(draft.published, now_seconds=now_seconds, warnings=warnings),
            updated_micros=believe_date(draft.updated, now_seconds=now_seconds, warnings=warnings),
            language=_language(draft.language),
            tags=draft.tags,
        )
    return tuple(entries.values())
