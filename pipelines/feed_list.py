"""Lists of feeds: OPML, TOML, plain text, arguments -> `FeedSpec`s; and back.

Decisions:
    * A list is told by its content, not by its name. What is a feed or a page itself is refused with the remedy.
    * OPML says what it has a custom for: title, language, groups and categories as tags, and isComment for a feed that
      is paused. Everything that can be said of a feed is said in TOML (see feed_tables.py).
    * OPML is written by many programs, so it is decoded as feeds are, and what is not well-formed is mended where that
      loses nothing (bare ampersands, HTML entities, control characters). A list that ends in the middle is refused.
    * A wrong line refuses the list: a typo that is skipped is a source that is silently never read. All wrong lines
      are named at once.
    * A feed listed twice is polled once; the note says so. Addresses are compared after what cannot matter: case of
      scheme and host, the default port, the fragment.
    * Messages show addresses masked, since a list may hold tokens.

Limits: OPML `include`s are not followed; groups become tags.
"""

import logging
import re
import tomllib
import xml.sax
from collections.abc import Callable, Iterable, Mapping, Sequence
from html.entities import html5
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit, urlunsplit
from xml.sax.saxutils import escape, quoteattr

import defusedxml.sax
from defusedxml import DefusedXmlException, ExternalReferenceForbidden

from pipelines.feed_secrets import request_headers_of
from pipelines.feed_tables import WrongTableError, feed_of_table, is_language, table_of_feed
from transforms.errors import TransientError, UsageError, mask_url, one_line
from transforms.records import FeedSpec, feed_id_of
from transforms.repair_xml import decode_markup

MOST_LIST_BYTES = 64 * 1024 * 1024  # a list of a million feeds has about 100 bytes a line
MOST_NAMED_FAULTS = 5
MOST_GROUPS = 100  # within one another; each is a tag of the feeds in it

_TOML_START = re.compile(r"(?:\s|#[^\n]*\n)*+(?:\[|[\w\-]+[ \t]*=)")
_TABLE = re.compile(r"[ \t]*\[\[[ \t]*feeds[ \t]*\]\]")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_AMPERSAND = re.compile(
    r"&(?!(?:lt|gt|amp|quot|apos);|#[0-9]{1,7};|#x[0-9A-Fa-f]{1,6};)(?:([A-Za-z][A-Za-z0-9]{1,31});)?"
)
_XML_DECLARATION = re.compile(r"\s*+<\?xml\b[^>]{0,400}\?>")
_SCHEMES = {"http": 80, "https": 443}
_log = logging.getLogger(__name__)


def read_feed_list(
    path: Path, *, note: Callable[[str], None] = _log.info, needs_secrets: bool = False
) -> list[FeedSpec]:
    """Return the feeds of the list at `path`: OPML where it is XML, TOML where it has tables, else an address a line.

    Args:
        path: the list.
        note: is called with one line for what is harmless but worth knowing (feeds listed twice).
        needs_secrets: refuse the list when a secret that it names cannot be had here.

    Raises:
        UsageError: the file cannot be read, is no list, or has lines that are wrong; it names file, line and remedy.
    """
    try:
        if path.stat().st_size > MOST_LIST_BYTES:
            raise UsageError(f"{path} is no feed list: it is larger than {MOST_LIST_BYTES // 2**20} MiB")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no feed list {path}; give the path of an OPML file or of one address a line"
        ) from error
    except OSError as error:
        raise UsageError(f"feed list {path} cannot be read: {error.strerror or one_line(str(error))}") from error
    text, _ = decode_markup(data, content_type=None)
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return feeds_from_opml(data, str(path), note=note)
    if _TOML_START.match(text):
        return feeds_from_toml(text, str(path), path.parent, note=note, needs_secrets=needs_secrets)
    return feeds_from_plain(text, str(path), note=note)


def feeds_from_plain(text: str, name: str, *, note: Callable[[str], None] = _log.info) -> list[FeedSpec]:
    """Return the feeds of `text`, a line each: an address and, after white space, its title.

    Blank lines count as nothing, and so does what follows a ``#`` at the start of a line or after white space.

    Raises:
        UsageError: `name` and line of what is no http(s) address; or no feed at all.
    """
    found: list[tuple[int, FeedSpec]] = []
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        words = _without_comment(line).split(None, 1)
        if not words:
            continue
        url, fault = _address(words[0])
        if fault:
            faults.append((number, fault))
        else:
            title = " ".join(words[1].split()) if len(words) > 1 else None
            found.append((number, FeedSpec(feed_id=feed_id_of(url), url=url, title=title)))
    return _checked(found, faults, name, note)


def feeds_from_urls(
    urls: Iterable[str], name: str = "command line", *, note: Callable[[str], None] = _log.info
) -> list[FeedSpec]:
    """Return the feeds at `urls`; no address at all is no error here.

    Raises:
        UsageError: an address that is none, with its place in `urls`.
    """
    found: list[tuple[int, FeedSpec]] = []
    faults: list[tuple[int, str]] = []
    for number, written in enumerate(urls, start=1):
        url, fault = _address(written.strip())
        if fault:
            faults.append((number, fault))
        else:
            found.append((number, FeedSpec(feed_id=feed_id_of(url), url=url)))
    return _checked(found, faults, name, note, unit="address", may_be_empty=True)


def feeds_from_opml(data: bytes, name: str, *, note: Callable[[str], None] = _log.info) -> list[FeedSpec]:
    """Return the feeds of an OPML file; the titles of the groups around a feed, and its categories, are its tags.

    Raises:
        UsageError: not XML, not OPML, entities in it, an outline whose xmlUrl is no http(s) address, or no feed at all.

    Source: OPML 2.0, http://opml.org/spec2.opml ("Subscription lists").
    """
    text, _ = decode_markup(data, content_type=None)
    # What is declared was true of the bytes; the line stays, so that the numbers of those below do.
    declared = _XML_DECLARATION.match(text)
    if declared is not None:
        text = "\n" * declared.group().count("\n") + text[declared.end() :]
    try:
        outlines = _read_outlines(text)
    except (xml.sax.SAXParseException, ExternalReferenceForbidden) as error:
        mended = _mended(text)
        if mended is None:
            if isinstance(error, ExternalReferenceForbidden):
                raise UsageError(f"{name} refers to other files, which are not read; export the list again") from error
            where = f"{name} line {error.getLineNumber()}"
            raise UsageError(
                f"{where}: not well-formed XML ({error.getMessage()}); mend it or export the list again"
            ) from error
        outlines = mended
    except DefusedXmlException as error:
        raise UsageError(f"{name} defines entities, which are refused; remove its document type") from error
    except (xml.sax.SAXException, ValueError, LookupError) as error:
        raise UsageError(f"{name} cannot be read as XML: {one_line(str(error))}") from error
    if outlines.root != "opml":
        kind = {"rss": "a feed", "feed": "a feed", "rdf": "a feed", "html": "a web page"}.get(
            outlines.root, "other XML"
        )
        raise UsageError(f"{name} is {kind}, not a list of feeds; give its address instead, or an OPML file")
    if outlines.sites_without_feed:
        note(f"{name}: {outlines.sites_without_feed} outlines name a site (htmlUrl) but no feed of it (xmlUrl)")
    return _checked(outlines.found, outlines.faults, name, note)


def feeds_from_toml(
    text: str, name: str, folder: Path, *, note: Callable[[str], None] = _log.info, needs_secrets: bool = False
) -> list[FeedSpec]:
    """Return the feeds of a TOML list: nothing but [[feeds]] tables (see feed_tables.py).

    Raises:
        UsageError: not TOML, something else in it, a table that is wrong (with its line), or no feed at all.
    """
    try:
        data = tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is not TOML: {one_line(str(error))}; mend it") from error
    others = sorted(set(data) - {"feeds"})
    if others:
        raise UsageError(
            f"{name} has {others[0]!r}, but a list of feeds has [[feeds]] tables alone; "
            "a whole settings file is given by --config"
        )
    tables = data.get("feeds", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{name}: feeds are listed as [[feeds]], in double brackets, one table each")
    return feeds_from_tables(tables, text, name, folder, note=note, needs_secrets=needs_secrets)


def feeds_from_tables(
    tables: Sequence[Mapping[str, Any]],
    text: str,
    name: str,
    folder: Path,
    *,
    note: Callable[[str], None] = _log.info,
    needs_secrets: bool = False,
) -> list[FeedSpec]:
    """Return the feeds of [[feeds]] tables.

    Args:
        tables: as TOML has them.
        text: where they were read, for the numbers of their lines.
        name: of the file, for messages.
        folder: what paths of secrets are relative to.
        note: as for `read_feed_list`.
        needs_secrets: likewise; those of feeds that are paused are not needed.

    Raises:
        UsageError: a table is wrong, with its line, or there is none.
    """
    starts = [number for number, line in enumerate(text.split("\n"), 1) if _TABLE.match(line)]
    unit, numbers = ("line", starts) if len(starts) == len(tables) else ("table", list(range(1, len(tables) + 1)))
    found: list[tuple[int, FeedSpec]] = []
    faults: list[tuple[int, str]] = []
    for order, (number, table) in enumerate(zip(numbers, tables, strict=True), 1):
        written = table.get("url")
        if not isinstance(written, str):
            faults.append((number, f"[[feeds]] table {order} has no url"))
            continue
        url, fault = _address(written.strip())
        try:
            if not fault:
                feed = feed_of_table(url, table, folder)
                if needs_secrets and not feed.is_paused:
                    request_headers_of(feed)
                found.append((number, feed))
        except WrongTableError as error:
            fault = f"the feed {_shown(url)} {error}"
        except TransientError as error:
            fault = error.message
        if fault:
            faults.append((number, fault))
    return _checked(found, faults, name, note, unit=unit)


def to_toml(feeds: Sequence[FeedSpec]) -> str:
    """Return `feeds` as [[feeds]] tables, addresses in full; secrets are named, not written."""
    return "\n".join(table_of_feed(feed) for feed in feeds)


def to_plain(feeds: Sequence[FeedSpec]) -> str:
    """Return `feeds` as lines of address and title; a paused one is a comment. Addresses are in full."""
    return "".join(
        f"{'# paused: ' if feed.is_paused else ''}{feed.url} {_plain_title(feed.title or '')}".rstrip() + "\n"
        for feed in feeds
    )


def _plain_title(title: str) -> str:
    """Return a title that does not turn into a comment."""
    return one_line(title).replace(" #", " ").lstrip("#")


def to_opml(feeds: Sequence[FeedSpec], *, title: str = "newsbeam feeds") -> bytes:
    """Return `feeds` as OPML 2.0 in UTF-8, addresses in full: the file is as secret as the list."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<opml version="2.0">',
        f"  <head><title>{_text(title)}</title></head>",
    ]
    lines.append("  <body>")
    for feed in feeds:
        attributes = {"type": "rss", "text": feed.title or mask_url(feed.url), "xmlUrl": feed.url}
        if feed.title:
            attributes["title"] = feed.title
        if feed.language:
            attributes["language"] = feed.language
        if feed.tags:
            attributes["category"] = ",".join(tag.replace(",", " ") for tag in feed.tags)
        if feed.is_paused:
            attributes["isComment"] = "true"
        written = " ".join(f"{name}={_attribute(value)}" for name, value in attributes.items())
        lines.append(f"    <outline {written}/>")
    lines += ["  </body>", "</opml>", ""]
    return "\n".join(lines).encode("utf-8")


class _Outlines(xml.sax.ContentHandler):
    """Collects the feeds of an OPML document with their lines and groups."""

    def __init__(self) -> None:
        super().__init__()
        self.root = ""
        self.found: list[tuple[int, FeedSpec]] = []
        self.faults: list[tuple[int, str]] = []
        self.sites_without_feed = 0
        self._groups: list[tuple[Optional[str], bool]] = []  # of each open outline: its title, is it paused
        self._locator: Any = None

    def setDocumentLocator(self, locator: Any) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: Any) -> None:
        if not self.root:
            self.root = name.rpartition(":")[2].lower()
        if name.lower() != "outline":
            return
        given = {key.lower(): " ".join(attrs[key].split()) for key in attrs.getNames()}
        title = given.get("title") or given.get("text") or None
        # OPML 2.0: what is commented out stays listed, and what is below it counts as commented out too.
        is_paused = given.get("iscomment", "").lower() == "true" or bool(self._groups and self._groups[-1][1])
        if len(self._groups) >= MOST_GROUPS:
            raise xml.sax.SAXNotSupportedException(f"outlines are nested more than {MOST_GROUPS} deep")
        if not given.get("xmlurl"):
            self._groups.append((title, is_paused))
            self.sites_without_feed += bool(given.get("htmlurl"))
            return
        groups = [group for group, _ in self._groups]
        self._groups.append((None, is_paused))
        line = self._locator.getLineNumber() if self._locator else 0
        url, fault = _address(given["xmlurl"])
        if fault:
            self.faults.append((line, fault))
            return
        categories = (part.strip("/ ") for part in given.get("category", "").split(","))
        tags = dict.fromkeys(tag for tag in (*groups, *categories) if tag)
        shown = None if title == mask_url(url) else title
        language = given.get("language", "")  # exports say "unknown" where they do not know
        feed = FeedSpec(
            feed_id_of(url), url, shown, language if is_language(language) else None, tuple(tags), is_paused=is_paused
        )
        self.found.append((line, feed))

    def endElement(self, name: str) -> None:
        if name.lower() == "outline" and self._groups:
            self._groups.pop()


def _read_outlines(text: str) -> _Outlines:
    outlines = _Outlines()
    defusedxml.sax.parseString(text.encode("utf-8", "replace"), outlines, forbid_dtd=False)
    return outlines


def _mended(text: str) -> Optional[_Outlines]:
    """Return the outlines of `text`, mended where that loses nothing; None where it is still not well-formed."""
    start = text.lower().find("<opml")
    if start < 0:
        return None
    mended = _AMPERSAND.sub(_escaped, _ILLEGAL.sub("", text[start:]))
    try:
        return _read_outlines("\n" * text.count("\n", 0, start) + mended)
    except (xml.sax.SAXParseException, DefusedXmlException):
        return None


def _escaped(match: re.Match[str]) -> str:
    meaning = html5.get(f"{match[1]};") if match[1] else None
    return escape(meaning) if meaning else "&amp;" + match.group()[1:]


def _without_comment(line: str) -> str:
    if line.lstrip().startswith("#"):
        return ""
    for mark in (" #", "\t#"):
        line = line.partition(mark)[0]
    return line


def _address(written: str) -> tuple[str, str]:
    """Return an address and ""; or, where `written` is none, what is wrong with it and how it should be written."""
    # feed://host/path and feed:https://host/path are how old readers registered themselves.
    url = written
    if url.lower().startswith("feed:"):
        rest = url[5:]
        url = rest if rest.lower().startswith(("http://", "https://")) else "https://" + rest.lstrip("/")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return "", f"{_shown(written)} is not an address ({error})"
    if parts.scheme.lower() not in _SCHEMES:
        rest = url.partition("://")[2] if "://" in url else url
        rest = rest.lstrip("/:")
        likely = "." in rest.partition("/")[0] and not rest.startswith(".") and "@" not in rest
        remedy = f"; write it as {mask_url('https://' + rest)}" if likely else "; write it as https://host/path"
        return "", f"{_shown(written)} is not an http(s) address{remedy}"
    if not host or any(c.isspace() or ord(c) < 32 for c in url):
        return "", f"{_shown(written)} names no host; write it as https://host/path"
    netloc = parts.netloc.rpartition("@")
    bare = f"[{host}]" if ":" in host else host
    shown_port = "" if port is None or port == _SCHEMES[parts.scheme.lower()] else f":{port}"
    return urlunsplit(
        (parts.scheme.lower(), f"{netloc[0]}{netloc[1]}{bare}{shown_port}", parts.path, parts.query, "")
    ), ""


def _shown(written: str) -> str:
    masked = mask_url(written) if "://" in written else one_line(written)
    return f"'{one_line(masked, limit=120)}'"


def _checked(
    found: Sequence[tuple[int, FeedSpec]],
    faults: Sequence[tuple[int, str]],
    name: str,
    note: Callable[[str], None],
    *,
    unit: str = "line",
    may_be_empty: bool = False,
) -> list[FeedSpec]:
    if faults:
        number, fault = faults[0]
        others = ", ".join(str(other) for other, _ in faults[1:MOST_NAMED_FAULTS])
        more = " and more" if len(faults) > MOST_NAMED_FAULTS else ""
        tail = f" (also {unit}s {others}{more})" if others else ""
        raise UsageError(f"{name} {unit} {number}: {fault}{tail}")
    feeds: dict[str, FeedSpec] = {}
    lines: dict[str, int] = {}
    repeated: list[str] = []
    for number, feed in found:
        if feed.feed_id in feeds:
            repeated.append(f"{unit} {number} repeats {unit} {lines[feed.feed_id]}")
        else:
            feeds[feed.feed_id], lines[feed.feed_id] = feed, number
    if repeated:
        more = f" and {len(repeated) - MOST_NAMED_FAULTS} more" if len(repeated) > MOST_NAMED_FAULTS else ""
        note(f"{name}: {', '.join(repeated[:MOST_NAMED_FAULTS])}{more}; each feed is polled once")
    if not feeds and not may_be_empty:
        raise UsageError(f"{name} names no feed; write one address a line")
    return list(feeds.values())


def _text(value: str) -> str:
    return _attribute(value)[1:-1]


def _attribute(value: str) -> str:
    return quoteattr(one_line(value, limit=8192), {'"': "&quot;"})
