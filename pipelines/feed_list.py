"""Lists of feeds: OPML, plain text, arguments -> `FeedSpec`s; and back to OPML.

Decisions:
    * A list is told by its content, not by its name. What is a feed or a page itself is refused with the remedy.
    * A wrong line refuses the list: a typo that is skipped is a source that is silently never read. All wrong lines
      are named at once.
    * A feed listed twice is polled once; the note says so. Addresses are compared after what cannot matter: case of
      scheme and host, the default port, the fragment.
    * Messages show addresses masked, since a list may hold tokens.

Limits: OPML `include`s are not followed; groups become tags.
"""

import logging
import xml.sax
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit, urlunsplit
from xml.sax.saxutils import quoteattr

import defusedxml.sax
from defusedxml import DefusedXmlException

from transforms.errors import UsageError, mask_url, one_line
from transforms.records import FeedSpec, feed_id_of
from transforms.repair_xml import decode_markup

MOST_LIST_BYTES = 64 * 1024 * 1024  # a list of a million feeds has about 100 bytes a line
MOST_NAMED_FAULTS = 5

_SCHEMES = {"http": 80, "https": 443}
_log = logging.getLogger(__name__)


def read_feed_list(path: Path, *, note: Callable[[str], None] = _log.info) -> list[FeedSpec]:
    """Return the feeds of the list at `path`: OPML where it is XML, else one address a line.

    Args:
        path: the list.
        note: is called with one line for what is harmless but worth knowing (feeds listed twice).

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
    outlines = _Outlines()
    try:
        defusedxml.sax.parseString(data, outlines, forbid_dtd=False)
    except DefusedXmlException as error:
        raise UsageError(f"{name} defines entities, which are refused; remove its document type") from error
    except xml.sax.SAXParseException as error:
        where = f"{name} line {error.getLineNumber()}"
        raise UsageError(
            f"{where}: not well-formed XML ({error.getMessage()}); mend it or export the list again"
        ) from error
    except (ValueError, LookupError, UnicodeError) as error:
        raise UsageError(f"{name} cannot be read as XML: {one_line(str(error))}") from error
    if outlines.root != "opml":
        kind = {"rss": "a feed", "feed": "a feed", "rdf": "a feed", "html": "a web page"}.get(
            outlines.root, "other XML"
        )
        raise UsageError(f"{name} is {kind}, not a list of feeds; give its address instead, or an OPML file")
    return _checked(outlines.found, outlines.faults, name, note)


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
        self._groups: list[Optional[str]] = []
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
        if "xmlurl" not in given:
            self._groups.append(title)
            return
        self._groups.append(None)
        line = self._locator.getLineNumber() if self._locator else 0
        url, fault = _address(given["xmlurl"])
        if fault:
            self.faults.append((line, fault))
            return
        categories = (part.strip("/ ") for part in given.get("category", "").split(","))
        tags = dict.fromkeys(tag for tag in (*self._groups, *categories) if tag)
        shown = None if title == mask_url(url) else title
        feed = FeedSpec(feed_id_of(url), url, shown, given.get("language") or None, tuple(tags))
        self.found.append((line, feed))

    def endElement(self, name: str) -> None:
        if name.lower() == "outline" and self._groups:
            self._groups.pop()


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
