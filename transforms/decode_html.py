"""Bytes of a page to characters: which charset, and whether it is text at all.

Decisions:
    The order is that of the WHATWG standard (byte order mark, HTTP, meta) with one exception that was measured to be
    right: bytes that are valid UTF-8 and use it are UTF-8, whatever is declared. Bytes with a few bad places among
    many good ones (a cut comment, an advert in another charset) stay UTF-8 as well, the bad ones replaced.

    Declared names are read as browsers read them: iso-8859-1 means windows-1252, gb2312 means gb18030 and so on.

Limits: without any declaration and not UTF-8, the charset is guessed from a sample, windows-1252 when in doubt.
"""

import codecs
import re
from typing import Optional

from charset_normalizer import from_bytes

from transforms.errors import RejectedError

_HEAD_BYTES = 4096  # the standard asks for 1024; some pages put a licence first
_SAMPLE_BYTES = 20_000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,400}?(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{2,40})", re.IGNORECASE
)
_HTTP = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{2,40})", re.IGNORECASE)
# What browsers take these names for: the superset that pages really use.
_READ_AS = {
    "iso-8859-1": "cp1252", "iso8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "l1": "cp1252",
    "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-9": "cp1254", "latin5": "cp1254", "iso-8859-11": "cp874",
    "tis-620": "cp874", "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs", "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932",
    "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "utf8": "utf-8", "unicode": "utf-8", "utf-16": "utf-8",
    "x-mac-roman": "mac_roman", "windows-874": "cp874",
}  # fmt: skip
# Python calls them text encodings, but no page is written in them: two raise whatever is asked, one takes the square of
# the time, the rest turn escapes into characters that are no characters.
_NEVER_READ = frozenset(("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf_7"))
_BINARY = (
    b"%PDF", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"PK\x03\x04", b"\x1f\x8b", b"RIFF", b"ID3", b"OggS",
    b"\x00\x00\x00\x18ftyp", b"\x00\x00\x00\x20ftyp", b"\x00\x00\x01\x00", b"BZh", b"\xfd7zXZ",
    b"7z\xbc\xaf", b"Rar!", b"\x7fELF", b"\xd0\xcf\x11\xe0", b"wOF2", b"\x28\xb5\x2f\xfd",
)  # fmt: skip
_NOT_TEXT_TYPES = re.compile(
    r"\s*(?:image|audio|video|font)/|\s*application/(?:pdf|zip|gzip|x-tar|msword|vnd\.)", re.IGNORECASE
)
_CONTROL = bytes(b for b in (*range(32), 127) if b not in b"\t\n\r")
_HIGH_CONTROL = re.compile(rb"\xc2[\x80-\x9f]")
_HIGH_REFERENCE = re.compile(rb"&#(?:(1[2-5]\d)|x([89][0-9a-f]))(?![0-9a-f]);?", re.IGNORECASE)
_OF_HIGH_CONTROL = {b: bytes([b]).decode("cp1252", "ignore").encode() for b in range(128, 160)}
_WIDE = re.compile(rb"<\x00|\x00<")
_NOT_ASCII = re.compile(rb"[\x80-\xff][^<>]{0,60}")


def html_as_utf8(data: bytes, *, content_type: Optional[str] = None) -> bytes:
    """Return a page as UTF-8; bytes that cannot be decoded become U+FFFD, control characters go.

    Args:
        data: the body as received, already decompressed.
        content_type: the HTTP header, for its charset; None when unknown.

    Raises:
        RejectedError: `not_text`, the bytes are no text (a PDF, an image, an archive), or there are none.
    """
    _reject_binary(data, content_type)
    for mark, charset in _BOMS:
        if data.startswith(mark):
            return _without_controls(data[len(mark) if charset == "utf-8" else 0 :].decode(charset, "replace").encode())
    return _without_controls(_utf8(data, content_type))


def _without_controls(utf8: bytes) -> bytes:
    """Return a page without control characters; those from 128 to 159 are read as windows-1252, as browsers do."""
    utf8 = utf8.translate(None, _CONTROL)
    if _HIGH_CONTROL.search(utf8):
        utf8 = _HIGH_CONTROL.sub(lambda m: _OF_HIGH_CONTROL[m[0][1]], utf8)
    if b"&#1" in utf8 or b"&#x" in utf8 or b"&#X" in utf8:
        utf8 = _HIGH_REFERENCE.sub(lambda m: _OF_HIGH_CONTROL.get(int(m[1] or b"0x" + m[2], 0), m[0]), utf8)
    return utf8


def _reject_binary(data: bytes, content_type: Optional[str]) -> None:
    if not data.strip():
        raise RejectedError("the page is empty", reason="not_text")
    start = data[:1024]
    if start.lstrip()[:8].startswith(_BINARY) or start.startswith(_BINARY):
        raise RejectedError("the page is a binary file, not text", reason="not_text")
    if content_type and _NOT_TEXT_TYPES.match(content_type) and b"<" not in start:
        raise RejectedError(f"the page is {content_type.partition(';')[0][:80]!r}, not text", reason="not_text")
    wide = start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or (b"<\x00" in start or b"\x00<" in start)
    odd = sum(byte < 9 or 13 < byte < 27 for byte in start)
    if odd * 30 > len(start) and not wide:
        raise RejectedError("the page is a binary file, not text", reason="not_text")


def _utf8(data: bytes, content_type: Optional[str]) -> bytes:
    wide = _WIDE.search(data[:200])
    if wide:
        return data.decode("utf-16-le" if wide[0][:1] == b"<" else "utf-16-be", "replace").encode()
    declared = _declared(data, content_type)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        # ISO-2022-JP is valid ASCII whose Japanese hides behind escape characters.
        if declared != "iso2022_jp":
            return data
    if declared in (None, "utf-8", "cp1252"):
        text = data.decode("utf-8", "replace")
        bad = text.count("\ufffd")
        good = sum(not c.isascii() for c in text[:200_000]) - bad
        if good >= bad:  # by chance other charsets hardly ever look like UTF-8, so half of it is proof enough
            return text.encode()
    if declared == "utf-8" or declared is None:
        declared = _guessed(data)
    return data.decode(declared, "replace").encode("utf-8", "replace")


def _declared(data: bytes, content_type: Optional[str]) -> Optional[str]:
    http = _HTTP.search(content_type or "")
    meta = _META.search(data[:_HEAD_BYTES])
    for name in (http[1] if http else None, meta[1].decode("ascii") if meta else None):
        if name:
            name = _READ_AS.get(name.lower(), name.lower())
            try:
                codec = codecs.lookup(name)
            except (LookupError, ValueError):
                continue
            if codec._is_text_encoding and codec.name.replace("-", "_") not in _NEVER_READ:
                return codec.name
    return None


def _guessed(data: bytes) -> str:
    """Guess from a sample of the bytes that are not ASCII, with what follows them."""
    sample = b" ".join(_NOT_ASCII.findall(data[:1_000_000]))[:_SAMPLE_BYTES]
    best = from_bytes(sample).best() if sample else None
    name = best.encoding if best is not None else "cp1252"
    return _READ_AS.get(name.replace("_", "-"), name) if name not in ("utf_8", "ascii") else "cp1252"
