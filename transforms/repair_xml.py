"""Bytes of an XML feed -> text that a parser can be trusted with: decoded, bounded, repaired where it is broken.

Decisions:
    * The text is decoded here and handed on as UTF-8, because the declared encoding is wrong too often: bytes that
      are valid UTF-8 are UTF-8 whatever is declared, ``iso-8859-1`` means windows-1252 as in browsers, and a byte that
      fits nothing is read as windows-1252 and flagged, never a reason to lose a feed.
    * The document type declaration never reaches a parser. Entities it defines are refused unless each is a short
      literal (feeds do define ``&nbsp;``), so no entity can expand to much more than it takes to name it.
    * A well-formed document is not touched. A broken one is repaired for the faults that feeds have most (bare
      ampersands, HTML entities, control characters, a missing end, output of a script before or after it), since the
      strict parser keeps namespaces and is faster than the lenient one.
    * Every step is a linear scan.

Limits: what nobody declares is guessed from the bytes, for scripts other than Latin; Latin is windows-1252.
"""

import codecs
import re
from html.entities import html5
from typing import Any, NamedTuple, Optional
from xml.parsers import expat

from charset_normalizer import from_bytes

from transforms.errors import RejectedError

MOST_DEPTH = 200  # real feeds with XHTML inside stay below 60
MOST_ATTRIBUTES = 256  # of one element; real ones stay below 30
MOST_NAMESPACES = 256  # of a document; feedparser's search is linear in them, for each element
MOST_ENTITIES = 300  # HTML's Latin-1 set, which some feeds copy, has 96; all of HTML 4 has 252
MOST_ENTITY_CHARS = 16  # so that a reference cannot expand to more than about five times its own length
GUESS_BYTES = 200_000  # of a feed's beginning, to see what kind of script it is in
SAMPLE_BYTES = 8_000  # of words in that script; guessing takes some milliseconds for each of them
LEAST_HIGH_BYTES = 10  # fewer tell nothing
JUNK_SCAN_CHARS = 65536  # how far to look for a feed behind the output of a broken script

_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:\-]{1,40})["']""")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9._:\-]{1,40})""", re.IGNORECASE)
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_NAME = re.compile(r"<((?:[A-Za-z_][\w.\-]*:)?[A-Za-z_][\w.\-]*)")
_SUBSET_END = re.compile(r"\]\s*>")
_ENTITY = re.compile(r"""<!ENTITY\s+([A-Za-z_][\w.\-]*)\s+(?:"([^"<%]*)"|'([^'<%]*)')\s*>""")
_PUBLIC_ENTITIES = re.compile(r"""<!ENTITY\s+%\s+\w{1,40}\s+PUBLIC\s+"-//W3C//[^"<>]*"\s+"[^"<>]*"\s*>""")
_CHARREFS_ONLY = re.compile(r"(?:[^&]|&#[0-9]{1,7};|&#x[0-9A-Fa-f]{1,6};)*\Z")
_FEED_START = re.compile(r"<(?:rss\s|rss>|rdf:RDF\s|(?:\w{1,20}:)?feed\s)")
_FEED_START_IN_HTML = re.compile(r"<(?:rss\s[^<>]*version|feed\s[^<>]*xmlns)")
_AMPERSAND = re.compile(
    r"&(?!(?:lt|gt|amp|quot|apos);)(?:#([0-9]{1,8});|#[xX]([0-9A-Fa-f]{1,8});|([A-Za-z][A-Za-z0-9]{1,31});)?"
)
_TAG = re.compile(r"<(/?)([A-Za-z_][^\s/<>]*+)[^<>]*+>")
_SPACE = re.compile(r"\s*")
_NOT_NESTING = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
    | {"p", "li", "dt", "dd", "tr", "td", "th", "option"}  # HTML lets their ends be left out
)
FEED_ROOTS = frozenset({"rss", "rdf", "feed", "channel"})
# Python knows these as encodings; no document is written in them, and some raise what no handler catches.
_NO_ENCODINGS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "unicode_escape"}) | frozenset(
    {"raw_unicode_escape", "undefined", "charmap", "mbcs", "oem", "utf-7"}
)
_HTML_ROOTS = frozenset({"html", "head", "body"})


# What undeclared feeds were found in; of several spellings of one set, the one that holds the others.
_GUESSED = (
    "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874", "cp932", "cp949", "gb18030", "big5hkscs", "big5",
    "iso8859_5",
)  # fmt: skip
_NO_WORD = re.compile(rb"[\s<>&]+")
_ASCII = bytes(range(128))


class RepairedXml(NamedTuple):
    """A document without prolog. `root` is the local name of its first element, in lower case."""

    text: str
    root: str
    well_formed: bool
    warnings: tuple[str, ...]


class _LimitError(Exception):
    """Raised out of the scan's handlers; becomes a `RejectedError` that knows the address."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _read_as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    # The five bytes that windows-1252 leaves open become nothing, the rest what they most often are.
    return bad.decode("cp1252", "ignore"), error.end


codecs.register_error("newsbeam_windows_1252", _read_as_windows_1252)


def decode_markup(body: bytes, *, content_type: Optional[str]) -> tuple[str, tuple[str, ...]]:
    """Return `body` as text, and slugs of what was wrong with its encoding.

    Order: byte order mark; the zero bytes of UTF-16 and UTF-32 without one; what is declared, by the XML declaration
    or else the content type, unless the bytes are valid UTF-8; a guess where nothing was declared, or UTF-8 or
    Latin-1, which servers declare by default, and the bytes look like neither; UTF-8 with stray bytes read as
    windows-1252.

    Source: XML 1.0 appendix F; RFC 7303, section 3; the WHATWG encoding standard's labels.
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if body.startswith(mark):
            return _decode(body[len(mark) :], name)
    sniffed = _sniff_zero_bytes(body[:64])
    if sniffed:
        return _decode(body, sniffed)
    in_xml = _ENCODING.match(body[:512])
    in_header = _CHARSET.search(content_type or "")
    declared = _codec_name(in_xml.group(1).decode("ascii") if in_xml else in_header.group(1) if in_header else None)
    if declared and declared not in {"utf-8", "cp1252", "ascii"} and not declared.startswith(("utf-16", "utf-32")):
        stateful = declared.startswith(("iso2022", "hz", "utf-7"))  # their bytes are ASCII, so UTF-8 proves nothing
        if stateful or not _is_utf8(body):
            return _decode(body, declared)
    if _is_utf8(body):
        wrong = declared not in {None, "utf-8", "ascii"} and not body.isascii()
        return body.decode("utf-8"), ("encoding_mismatch",) if wrong else ()
    guessed = _guess_script(body)
    if guessed:
        return body.decode(guessed, "replace"), ("guessed_encoding",)
    if declared == "cp1252":
        return _decode(body, "cp1252")
    return body.decode("utf-8", "newsbeam_windows_1252"), ("undecodable_bytes",)


def _guess_script(body: bytes) -> Optional[str]:
    """Return the encoding of bytes that are not UTF-8 and look like words of a script without Latin letters, or None.

    Letters outside of ASCII are a few of a word in Latin scripts; in the others they make up the words. UTF-8 with a
    few bad places is no case for guessing: its good places say what it is.
    """
    words = [word for word in _NO_WORD.split(body[:GUESS_BYTES]) if not word.isascii()]
    sample = b" ".join(words)[:SAMPLE_BYTES]
    high = sample.translate(None, _ASCII)
    if len(high) < LEAST_HIGH_BYTES or 2 * len(high) < len(sample):
        return None
    if sample.decode("utf-8", "replace").count("\ufffd") * 10 < len(high):
        return None
    # Kana lie on two rows of their own in EUC-JP, where Korean and Chinese hardly write anything.
    pairs = high[::2]
    if (pairs.count(0xA4) + pairs.count(0xA5)) * 4 > len(pairs):
        try:
            body.decode("euc_jp")
        except UnicodeDecodeError:
            pass
        else:
            return "euc_jp"
    best = from_bytes(sample, cp_isolation=list(_GUESSED)).best()
    return best.encoding if best is not None and best.encoding in _GUESSED else None


def _decode(body: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    try:
        return body.decode(name), ()
    except UnicodeDecodeError:
        stray = "newsbeam_windows_1252" if name in {"utf-8", "cp1252"} else "replace"
        return body.decode(name, stray), ("undecodable_bytes",)


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _codec_name(label: Optional[str]) -> Optional[str]:
    if not label:
        return None
    try:
        info = codecs.lookup(label)
    except (LookupError, ValueError):
        return None
    if not getattr(info, "_is_text_encoding", True):
        return None
    name = info.name
    if name in _NO_ENCODINGS:
        return None
    # Browsers read these labels as their supersets, and pages are written for browsers.
    return {"iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "iso8859-9": "cp1254"}.get(name, name)


def _sniff_zero_bytes(head: bytes) -> Optional[str]:
    for pattern, name in (
        (b"\x3c\x00\x00\x00", "utf-32-le"),
        (b"\x00\x00\x00\x3c", "utf-32-be"),
        (b"\x3c\x00", "utf-16-le"),
        (b"\x00\x3c", "utf-16-be"),
        (b"\x7b\x00", "utf-16-le"),
        (b"\x00\x7b", "utf-16-be"),
    ):
        # One zero byte may be a slip; a second character in the same pattern is an encoding.
        if head.startswith(pattern) and len(head) > 4 and head[len(pattern) :][:4].count(0) >= 2:
            return name
    return "cp037" if head.startswith(b"\x4c\x6f\xa7\x94") else None


def repair_xml(body: bytes, *, url: str, content_type: Optional[str]) -> RepairedXml:
    """Return the document in `body` from its first element on, repaired where it is not well-formed.

    Raises:
        RejectedError: html_page, not_a_feed (no element at all), entity_definitions, too_deep, attribute_bomb.

    Source: the threats of OWASP's XML security sheet; the faults, from reading broken feeds of the open sets.
    """
    text, notes = decode_markup(body, content_type=content_type)
    warnings = list(notes)
    if _ILLEGAL.search(text):
        text = _ILLEGAL.sub("", text)
        warnings.append("control_characters")
    text, root = _from_root(text, url, warnings)
    text, complete = _to_end(text, root, warnings)
    try:
        fault = _scan(text)
        if fault is not None:
            text = _escape_ampersands(text)
            fault = _scan(text)
            warnings.append("not_well_formed")
        if fault is not None:
            _scan_loosely(text)
    except _LimitError as error:
        raise RejectedError(str(error), reason=error.reason, url=url) from None
    if not complete:
        warnings.append("truncated")
    return RepairedXml(text, root.rpartition(":")[2].lower(), fault is None, tuple(dict.fromkeys(warnings)))


def _from_root(text: str, url: str, warnings: list[str]) -> tuple[str, str]:
    """Skip declaration, comments and document type; return the text from the first element on, and its name."""
    at, html = 0, False
    entities: dict[str, str] = {}
    while True:
        at = _after_space(text, at)
        if text.startswith("<!--", at):
            end = text.find("-->", at)
            at = end + 3 if end >= 0 else len(text)
        elif text.startswith("<?", at):
            end = text.find("?>", at)
            at = end + 2 if end >= 0 else len(text)
        elif text[at : at + 9].upper() == "<!DOCTYPE":
            html = html or text[at + 9 : at + 20].split()[:1] in (["html"], ["HTML"], ["html>"], ["HTML>"])
            at = _after_doctype(text, at, url, entities)
        else:
            break
    name = _NAME.match(text, at)
    local = name.group(1).rpartition(":")[2].lower() if name else ""
    html = html or local in _HTML_ROOTS
    if local not in FEED_ROOTS:
        start = (_FEED_START_IN_HTML if html else _FEED_START).search(text, at, at + JUNK_SCAN_CHARS)
        if start:
            warnings.append("junk_before_feed")
            at = start.start()
            name = _NAME.match(text, at)
        elif html or re.search(r"<(?:html|body|head)[\s>]", text[at : at + 2048], re.IGNORECASE):
            raise RejectedError(
                'an HTML page, not a feed; list the address that its <link rel="alternate"> names',
                reason="html_page",
                url=url,
            )
    if name is None:
        raise RejectedError("Not a feed: there is no XML element at its start", reason="not_a_feed", url=url)
    text = text[at:]
    if entities:
        text = re.sub(r"&([A-Za-z_][\w.\-]*);", lambda m: entities.get(m.group(1), m.group()), text)
    return text, name.group(1)


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _after_doctype(text: str, at: int, url: str, entities: dict[str, str]) -> int:
    close, bracket = text.find(">", at), text.find("[", at)
    if close < 0:
        return len(text)
    if bracket < 0 or bracket > close:
        return close + 1
    end = _SUBSET_END.search(text, bracket)
    # HTML's own entity files are named by some feeds; they are not fetched, their entities are known.
    subset = _PUBLIC_ENTITIES.sub("", text[bracket : end.start() if end else len(text)])
    defined = subset.upper().count("<!ENTITY")
    found = _ENTITY.findall(subset) if defined <= MOST_ENTITIES else []
    for name, double, single in found:
        value = double or single
        if len(value) <= MOST_ENTITY_CHARS and _CHARREFS_ONLY.match(value):
            entities.setdefault(name, value)
    if len(found) != defined or len(entities) != len({name for name, _, _ in found}):
        raise RejectedError(
            f"Its document type defines {defined} entities, which are refused (they can expand without bound)",
            reason="entity_definitions",
            url=url,
        )
    return end.end() if end else len(text)


def _to_end(text: str, root: str, warnings: list[str]) -> tuple[str, bool]:
    """Cut what follows the root's end; where the end is missing, end after the last complete entry."""
    end = text.rfind(f"</{root}")
    if end >= 0:
        close = text.find(">", end)
        if close < 0 and len(text.rstrip()) == end + len(root) + 2:
            return f"{text.rstrip()}>", True
        if close >= 0:
            if text[close + 1 :].strip():
                warnings.append("junk_after_feed")
            return text[: close + 1], True
    prefix, _, local = root.rpartition(":")
    entry = f"{prefix}:entry" if prefix and local == "feed" else "entry" if local == "feed" else "item"
    last = text.rfind(f"</{entry}>")
    if last < 0:
        return text, text.rstrip().endswith("/>")
    cut = text[: last + len(entry) + 3]
    inside_channel = local == "rss" and "<channel" in cut and "</channel>" not in text[last:]
    return f"{cut}{'</channel>' if inside_channel else ''}</{root}>", False


def _scan(text: str) -> Optional[expat.ExpatError]:
    """Read the document once without keeping anything; return its first fault in well-formedness, if it has one."""
    depth = 0
    namespaces: set[str] = set()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MOST_DEPTH:
            raise _LimitError("too_deep", f"Elements nested more than {MOST_DEPTH} deep")
        if attributes:
            namespaces.update(a for a in attributes if a.startswith("xmlns"))
            if len(attributes) > MOST_ATTRIBUTES or len(namespaces) > MOST_NAMESPACES:
                raise _LimitError("attribute_bomb", f"More than {MOST_ATTRIBUTES} attributes or namespaces")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    parser: Any = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(text.encode("utf-8"), True)
    except expat.ExpatError as fault:
        return fault
    return None


def _scan_loosely(text: str) -> None:
    """The same limit on depth for what is not well-formed, where tags that HTML leaves open do not count."""
    depth = 0
    for tag in _TAG.finditer(text):
        name = tag.group(2).lower()
        if name in {"item", "entry"}:
            depth = 2
        elif name not in _NOT_NESTING and not tag.group().endswith("/>"):
            depth = max(0, depth - 1) if tag.group(1) else depth + 1
        if depth > MOST_DEPTH:
            raise _LimitError("too_deep", f"Elements nested more than {MOST_DEPTH} deep")


def _escape_ampersands(text: str) -> str:
    """Resolve HTML's entities, drop impossible character references and escape bare ampersands, outside of CDATA."""
    pieces, at = [], 0
    while at < len(text):
        start = text.find("<![CDATA[", at)
        if start < 0:
            pieces.append(_AMPERSAND.sub(_reference, text[at:]))
            break
        pieces.append(_AMPERSAND.sub(_reference, text[at:start]))
        end = text.find("]]>", start)
        at = len(text) if end < 0 else end + 3
        pieces.append(text[start:at])
    return "".join(pieces)


def _reference(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if decimal or hexadecimal:
        point = int(decimal) if decimal else int(hexadecimal, 16)
        legal = (
            point in (9, 10, 13) or 0x20 <= point <= 0xD7FF or 0xE000 <= point <= 0xFFFD or 0x10000 <= point <= 0x10FFFF
        )
        return match.group() if legal else ""
    if name:
        meaning = html5.get(f"{name};")
        if meaning:
            return meaning.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "&amp;" + match.group()[1:]
