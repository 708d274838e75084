"""A feed -> a broken feed: what `mutate` makes depends on its seed feeds and its random numbers alone.

Decisions:
    * Bytes and structure are both mutated: flipped bits find faults in decoding, but a feed that still looks like one
      finds those behind the parser.
    * The pieces to insert are what feeds are broken by in the open (see tests/test_parse_feed.py), and what attacks use.
"""

import codecs
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

MOST_BYTES = 20_000  # small feeds make many cases a second
CONTENT_TYPES = (
    None, None, "text/xml", "application/rss+xml; charset=utf-8", "text/html; charset=iso-8859-1", "image/png", "",
    "text/xml; charset=utf-16", "application/json", "text/plain; charset=shift_jis", "x; charset=\"'\x00", "charset=idna",
)  # fmt: skip
CODECS = (
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "cp1252", "iso-8859-15", "cp1251",
    "koi8-r", "shift_jis", "euc-jp", "iso-2022-jp", "gb18030", "big5", "euc-kr", "hz", "utf-7", "cp037", "no-such",
    "idna", "punycode", "unicode_escape", "rot13", "undefined", "hex", "mbcs", "cp874", "cp1255", "cp1256",
)  # fmt: skip
NAMESPACES = (
    b"http://www.w3.org/2005/Atom", b"http://purl.org/atom/ns#", b"http://purl.org/rss/1.0/", b"", b"urn:x",
    b"http://purl.org/dc/elements/1.1/", b"http://www.w3.org/1999/xhtml", b"http://search.yahoo.com/mrss/",
    b"http://www.georss.org/georss", b"http://www.opengis.net/gml", b"http://www.itunes.com/DTDs/PodCast-1.0.dtd",
    b"http://podlove.org/simple-chapters", b"http://www.w3.org/XML/1998/namespace", b"http://www.w3.org/2000/xmlns/",
    b"http://my.netscape.com/rdf/simple/0.9/", b"http://www.w3.org/1999/02/22-rdf-syntax-ns#", b"\xff",
)  # fmt: skip
TAGS = (
    b"item", b"entry", b"channel", b"feed", b"rss", b"title", b"link", b"guid", b"id", b"pubDate", b"dc:date", b"content",
    b"updated", b"published", b"author", b"name", b"summary", b"description", b"content:encoded", b"media:group", b"script",
    b"media:thumbnail", b"media:content", b"georss:point", b"georss:polygon", b"gml:pos", b"gml:Point", b"gml:posList",
    b"psc:chapters", b"psc:chapter", b"itunes:image", b"itunes:duration", b"xhtml:div", b"div", b"image", b"url", b"cloud",
    b"source", b"category", b"ttl", b"language", b"sy:updatePeriod", b"feedburner:origLink", b"textinput", b"enclosure",
    b"skipHours", b"creativeCommons:license", b"thr:in-reply-to", b"validity", b"dcterms:valid", b"rdf:RDF", b"svg:svg",
)  # fmt: skip
VALUES = (
    b"", b" ", b"0", b"-1", b"9" * 40, b"1e999", b"NaN", b"\x00", b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"&#0;",
    b"&#xD800;", b"&#x110000;", b"&#128;", b"&#133;", b"&#8232;", b"&#" + b"9" * 50 + b";", b"&amp;#0;", b"&amp;#x1b;",
    b"&nbsp;", b"&nosuch;", b"&", b"&amp;amp;amp;", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<?php", b"?>", b"<", b">",
    b"http://[::1", b"http://a:b/", b"http://a:99999999/", b"//", b"///", b"http://", b"javascript:alert(1)", b"\\\\x",
    b"http://xn--/", b"http://\xe2\x84\x80.example/", b"data:,x", b"file:///x", b"http://a.example/?utm_source=x&url=//",
    b"https://www.google.com/url?url=http://[", b"?", b"#", b"mailto:a@b", b"@", b"a@b (x)", b"(@)", b"<a@b>", b", ,",
    b"Mon, 32 Foo 99999 99:99:99 +9999", b"0000-00-00T00:00:00Z", b"9999-12-31T23:59:59-23:59", b"-0001-01-01", b"1/1/1",
    b"2026-W53-7", b"2026-366", b"20260302T99", b"\xd9\xa1\xd9\xa2", b"\xc2\xb2", b"1772434800", b"253402300800000",
    b"Tue Feb 30 2026", b"2026-02-30T25:61:61+25:00", b"24:00", b"2026-01-01T24:00:00Z", b"12 de marzo de 2026",
    b"2026\xeb\x85\x84 3\xec\x9b\x94 2\xec\x9d\xbc", b"\xe2\x80\xae", b"\xef\xbb\xbf", b"\x1b[31m", b"\r\nX: y", b"%00",
)  # fmt: skip
SUBSETS = (
    b'<!DOCTYPE x [<!ENTITY a "b">]>', b'<!DOCTYPE x [<!ENTITY a "&a;">]>', b"<!DOCTYPE html>", b"<!DOCTYPE",
    b'<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///x">%p;]>', b'<!DOCTYPE rss PUBLIC "-//x" "y">', b"<!DOCTYPE x [",
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "http://a.example/">]>', b'<!DOCTYPE x [<!ATTLIST rss a CDATA "b">]>',
)  # fmt: skip

_ELEMENT = re.compile(rb"<([A-Za-z][\w:.\-]{0,40})(?:\s[^<>]{0,400})?>([^<>]{0,2000})</\1\s*>")
_TAG = re.compile(rb"</?[A-Za-z][\w:.\-]{0,40}[^<>]{0,400}>")
_ATTRIBUTE = re.compile(rb"""([\w:.\-]{1,40})=("[^"<>]{0,400}"|'[^'<>]{0,400}')""")
_DECLARED = re.compile(rb"""encoding=["'][\w\-]{1,20}["']""")


def mutate(rng: random.Random, feeds: Sequence[bytes]) -> bytes:
    """Return one of `feeds`, mutated one to six times, at most `MOST_BYTES` long."""
    body = rng.choice(feeds)
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 6))):
        body = rng.choice(_MUTATIONS)(rng, body, feeds)[:MOST_BYTES]
    return body


def _span(rng: random.Random, body: bytes, most: int = 200) -> tuple[int, int]:
    start = rng.randint(0, len(body))
    return start, min(len(body), start + rng.randint(0, most))


def truncate(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    start = rng.randint(0, len(body))
    return body[:start] if rng.random() < 0.8 else body[start:]


def flip_bits(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    data = bytearray(body)
    for _ in range(rng.choice((1, 1, 3, 20)) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    start, stop = _span(rng, body)
    return body[:start] + body[stop:]


def repeat(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    start, stop = _span(rng, body, 60)
    return body[:stop] + body[start:stop] * rng.choice((1, 1, 2, 30, 300)) + body[stop:]


def _insert(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    start, stop = _span(rng, body, 10)
    tag = rng.choice(TAGS)
    pieces = (rng.choice(VALUES), b"<%b>" % tag, b"</%b>" % tag, b"<%b/>" % tag, rng.randbytes(rng.randint(1, 4)))
    return body[:start] + rng.choice(pieces) + body[rng.choice((start, stop)) :]


def _element(rng: random.Random, body: bytes) -> tuple[int, int, bytes]:
    """One element without children: where it starts and ends, and its name; an empty span where there is none."""
    found = _ELEMENT.search(body, rng.randint(0, len(body))) or _ELEMENT.search(body)
    return (found.start(), found.end(), found[1]) if found else (len(body), len(body), b"x")


def copy_element(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    """Put an element, of this feed or another, somewhere else."""
    source = rng.choice((body, rng.choice(feeds)))
    start, stop, _ = _element(rng, source)
    place = rng.choice(list(_TAG.finditer(body)) or [None])
    at = place.end() if place else 0
    return body[:at] + source[start:stop] * rng.choice((1, 2)) + body[at:]


def remove_tag(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    tags = list(_TAG.finditer(body))
    if not tags:
        return body
    tag = rng.choice(tags)
    return body[: tag.start()] + body[tag.end() :]


def _nest(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    start, stop, name = _element(rng, body)
    tag, times = rng.choice((name, rng.choice(TAGS))), rng.choice((1, 2, 8, 250))
    ends = b"</%b>" % tag * rng.choice((times, times, times - 1, 0))
    return body[:start] + b"<%b>" % tag * times + body[start:stop] + ends + body[stop:]


def _rename(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    _, _, name = _element(rng, body)
    new = rng.choice((rng.choice(TAGS), name.upper(), b"x:" + name, name.rpartition(b":")[2]))
    return re.sub(rb"(</?)" + re.escape(name) + rb"\b", lambda m: m[1] + new, body, count=rng.choice((0, 1, 2)))


def _set_value(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    """Replace what an element or an attribute says."""
    if rng.random() < 0.3:
        attributes = list(_ATTRIBUTE.finditer(body))
        if attributes:
            one = rng.choice(attributes)
            return body[: one.start(2) + 1] + rng.choice(VALUES) + body[one.end(2) - 1 :]
    found = _ELEMENT.search(body, rng.randint(0, len(body))) or _ELEMENT.search(body)
    if not found:
        return body
    value = rng.choice((rng.choice(VALUES), found[2] + rng.choice(VALUES), rng.choice(VALUES) + found[2]))
    return body[: found.start(2)] + value + body[found.end(2) :]


def _swap_namespace(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    declared = re.findall(rb"""xmlns[:\w]{0,20}=["']([^"'<>]{0,100})["']""", body)
    if declared and rng.random() < 0.6:
        return body.replace(rng.choice(declared), rng.choice(NAMESPACES))
    prefix = rng.choice(
        (b"", b":media", b":dc", b":gml", b":content", b":a", b":xml", b":xmlns", b":itunes", b":xhtml")
    )
    place = rng.choice(list(_TAG.finditer(body)) or [None])
    at = place.end() - 1 if place else len(body)
    return body[:at] + b' xmlns%b="%b"' % (prefix, rng.choice(NAMESPACES)) + body[at:]


def _swap_encoding(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    """Declare another encoding, or write the feed in it, or both."""
    codec = rng.choice(CODECS)
    if rng.random() < 0.6:
        label = b'encoding="%b"' % codec.encode()
        body = _DECLARED.sub(label, body) if _DECLARED.search(body) else b'<?xml version="1.0" %b?>' % label + body
    if rng.random() < 0.6:
        try:
            body = body.decode("utf-8", "replace").encode(codec, "replace")
        except (LookupError, UnicodeError, TypeError):
            return rng.choice((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF32_BE)) + body
    return body


def splice(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    other = rng.choice(feeds)
    here, there = (list(_TAG.finditer(b)) for b in (body, other))
    if not here or not there or rng.random() < 0.2:
        return body[: rng.randint(0, len(body))] + other[rng.randint(0, len(other)) :]
    return body[: rng.choice(here).end()] + other[rng.choice(there).start() :]


def _wrap(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    """Put something before or after the document, or a document type into it."""
    junk = rng.choice((b"<b>Warning</b>: x on line 3\n", b"<html><body>", b"\n\n", b"\xef\xbb\xbf", b"{", b"<!-- x",
                       b"<?xml?>", rng.choice(VALUES), *SUBSETS, rng.choice(feeds)))  # fmt: skip
    where = rng.random()
    if where < 0.2:
        return body + junk
    if where < 0.6:
        return junk + body
    start = body.find(b"?>") + 2 if b"?>" in body else 0
    return body[:start] + junk + body[start:]


def _break_json(rng: random.Random, body: bytes, feeds: Sequence[bytes]) -> bytes:
    """Replace one value of a JSON feed by one of another kind; what is no JSON is flipped."""
    try:
        feed = json.loads(body)
    except (ValueError, RecursionError):
        return flip_bits(rng, body, feeds)
    odd: tuple[Any, ...] = (
        None,
        True,
        -1,
        1e300,
        "",
        " ",
        "\ud800",
        "\x00",
        [],
        {},
        [[]],
        "9" * 400,
        10**30,
        {"id": {}},
        "http://[",
        [None],
    )
    node: Any = feed
    while isinstance(node, (dict, list)) and node:
        key: Any = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        if rng.random() < 0.4 or not isinstance(node[key], (dict, list)):
            node[key] = rng.choice((*odd, rng.choice(VALUES).decode("latin-1")))
            break
        node = node[key]
    return json.dumps(feed, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")


_MUTATIONS: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    truncate, flip_bits, cut, repeat, _insert, _insert, copy_element, copy_element, remove_tag, _nest, _rename,
    _set_value, _set_value, _set_value, _swap_namespace, _swap_encoding, splice, _wrap, _break_json,
)  # fmt: skip
