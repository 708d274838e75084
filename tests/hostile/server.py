"""A real HTTP server on loopback with every behaviour that cases.py lists; what it sends is counted by host.

`HostileServer` adds to `ScriptedServer` replies in pieces (endless ones too), TLS, and the count. `stock` gives it the
behaviours: the routes of a case are those of the host ``<name>.test``.
"""

import asyncio
import base64
import functools
import gzip
import itertools
import json
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from tests.servers import Reply, Route, ScriptedServer, Seen

KIB = 1024
STORY = "The ferry to Orlo Island stayed in harbour while its engine was looked at. " * 12
PAGE = f"<html><head><title>The ferry stays</title></head><body><article><p>{STORY}</p><p>{STORY}</p></article>"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\n"
HEALTHY = "healthy.test"
HEALTHY_PAGES = 3
SEND_BUFFER_BYTES = 64 * KIB  # the system would grow it to megabytes, and what waits there counts as sent
BOMB_BYTES = 100 * 1024 * KIB
# 100 MiB of zero bytes at quality 9: the standard library cannot make it.
BOMB_BR = bytes.fromhex(
    "cbffff3f002400e2b14072effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ffff1f001200715800baf77ffcffff0340"
    "02200e0b40f7fe8fffff7f004800c46101e8defff1ffff0f000980382c00ddfb3ffeffff012001108705a07bffc7ffff3f002400e2b00074"
    "effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ffff1f001200715800baf77ff9ffff034002200e0b40f7fe07"
)


@dataclass(frozen=True)
class Flow(Reply):
    """Raw bytes, sent piece by piece with a pause after each; then the connection is closed, or held for ever."""

    pieces: Callable[[], Iterable[bytes]] = tuple
    pause_seconds: float = 0.0
    then: str = "close"  # close, hold, or go on to the next request


class _Counted:
    """What the server uses of a StreamWriter, counting what the other side takes."""

    def __init__(self, writer: Any, count: Callable[[int], None]) -> None:
        self._writer, self._count = writer, count
        self._waiting: list[bytes] = []
        self.transport = writer.transport

    def write(self, data: bytes) -> None:
        self._waiting.append(data)

    async def drain(self) -> None:
        data, self._waiting = b"".join(self._waiting), []
        for start in range(0, len(data), SEND_BUFFER_BYTES):
            piece = data[start : start + SEND_BUFFER_BYTES]
            self._writer.write(piece)
            self._count(len(piece))
            await self._writer.drain()


class HostileServer(ScriptedServer):
    """`sent` counts bytes by host; see `Flow` and `ScriptedServer`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sent: dict[str, int] = {}

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

        def count(size: int) -> None:
            self.sent[seen.host] = self.sent.get(seen.host, 0) + size

        return await super()._answer(seen, _Counted(writer, count))  # type: ignore[arg-type]

    def _reply_to(self, seen: Seen) -> Reply:
        if self.routes.keys().isdisjoint((seen.host + seen.path, seen.path)) and seen.host in self.routes:
            seen = replace(seen, path="")  # what a host does at every other address
        return super()._reply_to(seen)

    async def _send(self, reply: Reply, writer: asyncio.StreamWriter) -> bool:
        if not isinstance(reply, Flow):
            return await super()._send(reply, writer)
        for piece in reply.pieces():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(reply.pause_seconds)
        if reply.then == "hold":
            await asyncio.Event().wait()
        return reply.then == "go on"


# ---- documents -------------------------------------------------------------------------------------------------------


def item(number: int = 0, *, link: str = "", text: str = STORY, more: str = "", title: str = "About it") -> str:
    """Return an RSS item; with a text it needs no page, without one it needs its link."""
    content = f"<content:encoded>{text}</content:encoded>" if text else ""
    address = f"<link>{link}</link>" if link else ""
    return f'<item><guid isPermaLink="false">{number}</guid><title>{title}</title>{address}{content}{more}</item>'


def rss(*items: str, head: str = "", before: str = '<?xml version="1.0"?>') -> str:
    """Return an RSS document."""
    space = 'xmlns:content="http://purl.org/rss/1.0/modules/content/"'
    return f'{before}<rss version="2.0" {space}><channel><title>A feed</title>{head}{"".join(items)}</channel></rss>'


FEED = rss(item())


def feed(body: Any = FEED, **fields: Any) -> Reply:
    """Return a feed as it should be served."""
    return Reply(**{"body": body, "content_type": "application/rss+xml", **fields})


def to(target: str, **fields: Any) -> Reply:
    """Return a redirect."""
    return Reply(302, headers={"Location": target}, **fields)


def raw(head: str, body: str = FEED, status: str = "HTTP/1.1 200 OK") -> Reply:
    """Return an answer with exactly these headers."""
    return Reply(raw=f"{status}\r\n{head}\r\n\r\n{body}".encode("utf-8", "surrogateescape"))


def for_ever(piece: bytes, *before: bytes) -> Callable[[], Iterator[bytes]]:
    """Return pieces without end."""
    return lambda: itertools.chain(before, itertools.repeat(piece))


def endless(piece: bytes, *before: bytes, pause_seconds: float = 0.0) -> Flow:
    """Return a flow without end."""
    return Flow(pieces=for_ever(piece, *before), pause_seconds=pause_seconds)


def coded(coding: str, body: bytes) -> Reply:
    """Return a body that says it is compressed."""
    return feed(body, headers={"Content-Encoding": coding})


@functools.cache
def bomb(coding: str) -> Reply:
    """Return an answer that becomes `BOMB_BYTES` when decoded."""
    return coded(coding, _bomb(coding))


def _bomb(coding: str) -> bytes:
    if coding == "br":
        return BOMB_BR
    if coding == "zstd":
        return _zstd(b"\x58")
    made = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    zeros = bytes(1024 * KIB)
    return b"".join(made.compress(zeros) for _ in range(BOMB_BYTES // len(zeros))) + made.flush()


def _zstd(window: bytes) -> bytes:
    """Return a zstd frame of repeated zeros. Source: RFC 8878, 3.1.1: magic, descriptor, window, blocks of one byte."""
    count = BOMB_BYTES // (128 * KIB)
    blocks = [((128 * KIB) << 3 | 1 << 1 | (n == count - 1)).to_bytes(3, "little") + b"\0" for n in range(count)]
    return b"\x28\xb5\x2f\xfd\x00" + window + b"".join(blocks)


def doctype(subset: str, text: str = "&a;") -> Reply:
    """Return a feed with this document type, whose title is `text`."""
    return feed(rss(item(title=text), before=f'<?xml version="1.0"?><!DOCTYPE rss {subset}>'))


def numbered(form: str, count: int) -> str:
    """Return `form` so many times, each with its number."""
    return "".join(map(form.format, range(count)))


# ---- behaviours ------------------------------------------------------------------------------------------------------

Routes = Mapping[str, Route]
EVIL = "\x1b[31m\r\n1970-01-01 ERROR forged\x9b2J\u2028"


def slow(server: HostileServer) -> Mapping[str, Routes]:
    """Return what never ends, or not in time."""
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    spaces = b" " * 64 * KIB
    cookies = "\r\n".join(f"Set-Cookie: c{n}={'x' * 4000}" for n in range(100))
    return {
        "drip-header": {"/feed": endless(b"a", HEAD + b"X-Long: ", pause_seconds=0.05)},
        "drip-body": {"/feed": endless(b" ", HEAD + b"\r\n<rss>", pause_seconds=0.05)},
        "silence": {"/feed": Flow(then="hold")},
        "silence-after-head": {"/feed": Flow(pieces=lambda: [HEAD + b"Content-Length: 1000\r\n\r\n"], then="hold")},
        "slow-redirects": {"/feed": lambda seen: to("/feed?again", delay_seconds=0.7)},
        "endless-1xx": {"/feed": endless(b"HTTP/1.1 103 Early Hints\r\nLink: </" + b"s" * 16 * KIB + b">\r\n\r\n")},
        "endless-headers": {"/feed": endless(b"X-More: and more\r\n" * 500, HEAD)},
        "endless-status-line": {"/feed": endless(b"a" * 64 * KIB, b"HTTP/1.1 200 ")},
        "huge-header": {"/feed": Flow(pieces=lambda: [HEAD + b"X: ", *[b"a" * 64 * KIB] * 160, b"\r\n\r\n"])},
        "endless-body": {"/feed": endless(spaces, HEAD + b"\r\n<rss>")},
        "endless-chunks": {"/feed": endless(b"10000\r\n" + spaces + b"\r\n", chunked)},
        "endless-chunk-extension": {"/feed": endless(b"a" * 64 * KIB, chunked + b"5;")},
        "tiny-chunks": {"/feed": endless((b"1;" + b"a" * KIB + b"\r\nx\r\n") * 60, chunked)},
        "endless-trailers": {"/feed": endless(b"X-More: and more\r\n" * 500, chunked + b"1\r\nx\r\n0\r\n")},
        "redirect-with-endless-body": {
            "/feed": endless(spaces, b"HTTP/1.1 302 Found\r\nLocation: /real\r\n\r\n"),
            "/real": feed(),
        },
        "set-cookie-flood": {
            "/feed": raw(f"Location: /real\r\nContent-Length: 0\r\n{cookies}", "", "HTTP/1.1 302 Found"),
            "/real": feed(),
        },
    }


def addresses(server: HostileServer) -> Mapping[str, Routes]:
    """Return what leads where nobody should go."""
    port = server.port
    targets = {
        "metadata": "http://169.254.169.254/latest/meta-data/",
        "mapped": "http://[::ffff:10.0.0.1]/",
        "hex": f"http://0x7f000001:{port}/",
        "decimal": f"http://2130706433:{port}/",
        "octal": f"http://0177.0.0.1:{port}/",
        "short": f"http://127.1:{port}/",
        "zero": f"http://0.0.0.0:{port}/",
        "nat64": f"http://[64:ff9b::7f00:1]:{port}/",
        "link-local": "http://[fe80::1]/",
        "userinfo": f"http://news.example@127.0.0.1:{port}/",
        "wide-digits": f"http://１２７。０。０。１:{port}/",
        "inner-name": f"http://inner.test:{port}/",
        "itself-elsewhere": "http://to-itself-elsewhere.test/feed",
        "file": "file:///etc/passwd",
        "javascript": "javascript:alert(1)",
        "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
        "data": "data:application/rss+xml,<rss/>",
        "nonsense": "http://[::1",
    }
    inner = ["http://10.0.0.1/", "http://169.254.169.254/latest", f"http://[::1]:{port}/", f"http://localhost:{port}/"]
    others = ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "mailto:a@example.org"]

    def wall(seen: Seen) -> Reply:
        if "passed=1" in seen.headers.get("cookie", ""):
            return feed()
        return Reply(302, headers={"Location": "/feed", "Set-Cookie": "passed=1; Path=/"})

    return {
        **{f"to-{name}": {"/feed": to(target)} for name, target in targets.items()},
        "to-nowhere": {"/feed": Reply(302)},
        "to-itself": {"/feed": to("/feed")},
        "to-ever-new": {"/feed": lambda seen: to(f"/feed?{seen.query}x")},
        "to-cookie-wall": {"/feed": wall},
        "links-inside": {"/feed": feed(rss(*(item(n, link=url, text="") for n, url in enumerate(inner))))},
        "links-other-schemes": {"/feed": feed(rss(*(item(n, link=url, text="") for n, url in enumerate(others))))},
        "self-signed": {"/feed": feed()},
    }


def codings(server: HostileServer) -> Mapping[str, Routes]:
    """Return bodies that are not what their coding says, or far more."""
    packed = gzip.compress(FEED.encode())
    members = HEAD + b"Content-Encoding: gzip\r\n\r\n"
    return {
        "bomb-gzip": {"/feed": bomb("gzip")},
        "bomb-deflate": {"/feed": bomb("deflate")},
        "bomb-members": {"/feed": endless(gzip.compress(b"") * 3000, members)},
        "bomb-br": {"/feed": bomb("br")},
        "bomb-zstd": {"/feed": bomb("zstd")},
        "window-zstd": {"/feed": coded("zstd", _zstd(b"\xa0"))},
        "nested-gzip": {"/feed": coded("gzip, gzip", gzip.compress(packed))},
        "gzip-in-gzip": {"/feed": coded("gzip", gzip.compress(packed))},
        "truncated-gzip": {"/feed": coded("gzip", packed[:-12])},
        "gzip-in-name-only": {"/feed": coded("gzip", FEED.encode())},
        "unasked-coding": {"/feed": coded("bzip2", base64.b64decode("QlpoOTFBWSZTWQAAAAA="))},
        "gzip-of-nothing": {"/feed": coded("gzip", b"")},
    }


def framing(server: HostileServer) -> Mapping[str, Routes]:
    """Return messages that are not framed as HTTP says."""
    size = len(FEED.encode())
    typed = "Content-Type: application/rss+xml"
    good = f"HTTP/1.1 200 OK\r\n{typed}\r\nContent-Length: {size}\r\n\r\n{FEED}".encode()
    forged = good.replace(b"About it", b"Forged! ")
    chunk = f"{size:x}\r\n{FEED}\r\n"
    return {
        "length-too-short": {"/feed": raw(f"{typed}\r\nContent-Length: 20")},
        "length-too-long": {"/feed": raw(f"{typed}\r\nContent-Length: 100000")},
        "length-negative": {"/feed": raw(f"{typed}\r\nContent-Length: -1")},
        "length-beyond-all": {"/feed": raw(f"{typed}\r\nContent-Length: {10**30}")},
        "lengths-differ": {"/feed": raw(f"{typed}\r\nContent-Length: {size}\r\nContent-Length: 20")},
        "length-and-chunked": {
            "/feed": raw(f"{typed}\r\nContent-Length: 20\r\nTransfer-Encoding: chunked", f"{chunk}0\r\n\r\n")
        },
        "broken-chunk": {"/feed": raw(f"{typed}\r\nTransfer-Encoding: chunked", f"zz\r\n{FEED}\r\n0\r\n\r\n")},
        "chunks-cut-off": {"/feed": raw(f"{typed}\r\nTransfer-Encoding: chunked", chunk)},
        "reset": {"/feed": Reply(reset=True)},
        "reset-in-body": {"/feed": feed(headers={"Content-Length": "100000"}, reset=True)},
        "http-09": {"/feed": Reply(raw=FEED.encode())},
        "status-nonsense": {"/feed": raw(typed, status="HTTP/1.1 okay")},
        "nul-in-header": {"/feed": raw(f"{typed}\r\nX: a\0b\r\nContent-Length: {size}")},
        "smuggled-answer": {"/feed": Flow(pieces=lambda: [good + forged], then="go on")},
        "switching-protocols": {
            "/feed": Flow(
                pieces=lambda: [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
                then="hold",
            )
        },
    }


def statuses(server: HostileServer) -> Mapping[str, Routes]:
    """Return statuses and validators that say what they should not."""
    plain = ("999", "206", "204", "401", "403", "404", "410", "451")
    waits = {
        "retry-ten-years": (429, "315360000"),
        "retry-negative": (503, "-1"),
        "retry-garbage": (429, "in a while"),
        "retry-year-9999": (503, "Fri, 31 Dec 9999 23:59:59 GMT"),
    }
    stuck = itertools.count()
    once = itertools.count()
    fresh = {"Cache-Control": "max-age=99999999999"}
    evil_tag = f'ETag: "a\rX-Forged: b"\r\nContent-Length: {len(FEED.encode())}'
    return {
        **{f"status-{status}": {"/feed": feed(status=int(status))} for status in plain if status != "204"},
        "status-204": {"/feed": Reply(204, content_type=None, headers={"X-None": "1"})},
        **{name: {"/feed": Reply(status, headers={"Retry-After": text})} for name, (status, text) in waits.items()},
        "empty": {"/feed": feed("")},
        "blank": {"/feed": feed(" \r\n\t ")},
        "304-unasked": {"/feed": Reply(304, content_type=None)},
        "fresh-for-ever": {"/feed": feed(rss(item(), head="<ttl>99999999999</ttl>"), headers=fresh)},
        "226-without-im": {
            "/feed": lambda seen: Reply(226, FEED) if "a-im" in seen.headers else feed(headers={"ETag": '"1"'})
        },
        "etag-stuck": {"/feed": lambda seen: feed(rss(item(next(stuck))), headers={"ETag": '"same"'})},
        "etag-huge": {"/feed": feed(headers={"ETag": '"' + "x" * 100 * KIB + '"'})},
        "etag-large": {"/feed": feed(headers={"ETag": '"' + "x" * 20 * KIB + '"'})},
        "etag-with-line-end": {"/feed": raw(evil_tag)},
        "last-modified-nonsense": {"/feed": feed(headers={"Last-Modified": f"yesterday, perhaps {next(once)}"})},
    }


def documents(server: HostileServer) -> Mapping[str, Routes]:
    """Return documents that mean harm, or are broken as documents are."""
    changing = itertools.count()
    utf8 = rss(item(text=STORY + "Grüße aus Köln"))
    deep = "<a>" * 100_000 + "</a>" * 100_000
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    many = numbered("<item><title>{}</title></item>", 50_000)
    silent = "http://10000-entries-one-silent-host.test:{port}/{n}"
    links = "".join(
        f"<item><link>{silent.format(port=server.port, n=n)}</link><title>{n}</title></item>" for n in range(10_000)
    )
    attributes = numbered(' a{}="1"', 100_000)
    namespaces = numbered(' xmlns:a{0}="u:{0}"', 10_000)
    own = "http://{}.test:" + str(server.port)
    evil_link = own.format("log-injection") + "/%0d%0a1970-01-01 ERROR forged\x1b[31m"
    evil_item = {
        "id": "1",
        "url": "http://x.test/" + EVIL,
        "title": EVIL,
        "content_html": STORY,
        "authors": [{"name": EVIL}],
        "tags": [EVIL],
    }
    evil_json = {"version": "https://jsonfeed.org/version/1.1", "title": EVIL, "items": [evil_item]}
    half = {"version": "https://jsonfeed.org/version/1.1", "items": [{"id": "\ud800", "content_html": STORY}]}
    dates = ("Mon, 01 Jan 0000 00:00:00 GMT", "Fri, 01 Jan 99999 00:00:00 GMT", "-1-01-01T00:00:00Z")
    bodies: dict[str, Any] = {
        "guid-reused": rss(*(item(7, text=STORY + str(n), link=f"http://x.test/{n}", title=str(n)) for n in range(3))),
        "50000-entries": rss(many),
        "10000-entries-one-silent-host": rss(links),
        "utf-16-without-mark": utf8.replace('"1.0"', '"1.0" encoding="utf-16"').encode("utf-16-le"),
        "nuls": FEED.replace("ferry", "fer\0ry"),
        "mixed-encodings": utf8.encode().replace(b"K\xc3\xb6ln", b"K\xf6ln"),
        "wrong-encoding": utf8.replace('"1.0"', '"1.0" encoding="utf-16"'),
        "encoding-that-is-none": utf8.replace('"1.0"', '"1.0" encoding="punycode"'),
        "stylesheets": rss(item(), before=f'<?xml-stylesheet href="{own.format("stylesheets")}/x.xsl"?>' * 100_000),
        "elements-100000-deep": rss(item(text=""), deep),
        "elements-3500000": rss(item(text="<a/>" * 3_500_000)),
        "attribute-of-1-mb": rss(item(more=f'<source url="{"x" * 1024 * KIB}"/>')),
        "attributes-100000": rss(item(more=f"<source {attributes}/>")),
        "namespaces-10000": rss(item(more=f"<source {namespaces}/>")),
        "comment-flood": rss("<!---->" * 1_000_000, item()),
        "comment-never-closed": "<!-- " + FEED.replace("-->", ""),
        "cdata-never-closed": rss(item(), "<item><title>Second</title><description><![CDATA[It ends"),
        "angle-brackets": "<" * (14 * 1024 * KIB),
        "ampersands": rss(item(title="&" * (512 * KIB))),
        "title-of-5-mb": rss(item(title="word " * 1024 * KIB)),
        "link-of-1-mb": rss(item(text="", link="http://x.test/" + "x" * 1024 * KIB)),
        "tag-flood": rss(item(more=numbered("<category>{}</category>", 5_000))),
        "dates-beyond-all": rss(*(item(n, more=f"<pubDate>{date}</pubDate>") for n, date in enumerate(dates))),
        "links-to-itself": rss(item(text="", link=own.format("links-to-itself") + "/feed")),
        "log-injection-in-failure": f"<x\x9b{EVIL}/>",
    }
    return {
        **{name: {"/feed": feed(body)} for name, body in bodies.items()},
        "html-as-feed": {"/feed": feed(PAGE)},
        "feed-as-png": {"/feed": feed(content_type="image/png")},
        "error-as-json": {"/feed": feed('{"error": "no such feed"}', content_type="application/json")},
        "guids-ever-new": {
            "/feed": lambda seen: feed(
                rss(item(next(changing), text="", link=own.format("guids-ever-new") + "/story"))
            ),
            "/story": Reply(body=PAGE),
        },
        "all-guids-ever-new": {
            "/feed": lambda seen: feed(
                rss(
                    *(
                        item(next(changing), text="", link=own.format("all-guids-ever-new") + f"/story-{n}")
                        for n in range(3)
                    )
                )
            ),
            **{f"/story-{n}": Reply(body=PAGE) for n in range(3)},
        },
        "10000-entries-one-silent-host": {
            "/feed": feed(bodies["10000-entries-one-silent-host"]),
            "/robots.txt": Reply(404),
            "": Flow(then="hold"),
        },
        "billion-laughs": {"/feed": doctype(f'[<!ENTITY a0 "ha">{laughs}]', "&a9;")},
        "quadratic-blowup": {"/feed": doctype(f'[<!ENTITY a "{"x" * 100 * KIB}">]', "&a;" * 10_000)},
        "entity-from-file": {"/feed": doctype('[<!ENTITY a SYSTEM "file:///etc/passwd">]')},
        "entity-from-web": {"/feed": doctype(f'[<!ENTITY a SYSTEM "{own.format("entity-from-web")}/a">]')},
        "dtd-from-web": {"/feed": doctype(f'SYSTEM "{own.format("dtd-from-web")}/a.dtd"', "About it")},
        "json-100000-deep": {"/feed": feed("[" * 100_000 + "]" * 100_000, content_type="application/feed+json")},
        "json-huge-number": {
            "/feed": feed('{"version": "https://jsonfeed.org/version/1.1", "items": [], "n": ' + "9" * 100_000 + "}")
        },
        "json-broken-surrogates": {"/feed": feed(json.dumps(half))},
        "log-injection": {
            "/feed": raw(
                "X-Evil: a\x1b[31mb\r\nContent-Type: application/rss+xml; \x1b[31m",
                rss(item(1, title="&#27;[31m&#13;&#10;ERROR \x9b2J"), item(2, text="", link=quote(evil_link, safe=":/%[ \x1b"))),
                "HTTP/1.1 200 \x1b[31mOK",
            )
        },
        "log-injection-in-json": {"/feed": feed(json.dumps(evil_json), content_type="application/feed+json")},
    }  # fmt: skip


def sitemaps(server: HostileServer) -> Mapping[str, Routes]:
    """Return sitemaps and indexes that mean harm; robots.txt forbids /closed and what is below."""
    own = "http://sitemap-{}.test:" + str(server.port)
    dated = "<url><loc>{}/closed/{{}}</loc><lastmod>2026-03-01T10:00:00+01:00</lastmod></url>"
    pages = {name: urlset(numbered(dated.format(own.format(name)), 50_000)) for name in ("50000", "50000-gzip")}
    inside = ["http://10.0.0.1/", "http://169.254.169.254/latest", f"http://[::1]:{server.port}/"]
    inside.append(f"http://localhost:{server.port}/")
    names = {name: own.format(name) for name in ("index-cyclic", "index-endless", "index-50000", "index-half-bad")}
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    story = Reply(body=PAGE)

    @functools.cache
    def bomb_of_pages() -> bytes:
        return gzip.compress(urlset(listed(own.format("bomb-of-pages") + "/a") * 1_000_000).encode(), 6)

    def next_index(seen: Seen) -> Reply:
        return sitemap(index(f"{names['index-endless']}/more?{seen.query}1"))

    def nested(name: str, reply: Route, host: str = "") -> Routes:
        address = own.format(name) if not host else f"http://{host}:{server.port}"
        return {"/feed": sitemap(index(f"{address}/nested.xml")), "/nested.xml": reply}

    cycle = [f"{names['index-cyclic']}/{path}" for path in ("feed", "1.xml", "2.xml")]
    made: dict[str, Routes] = {
        "50000": {"/feed": sitemap(pages["50000"])},
        "50000-gzip": {"/feed": gzip_file(gzip.compress(pages["50000-gzip"].encode(), 6))},
        "bomb-gzip": {"/feed": gzip_file(_bomb("gzip"))},
        "bomb-of-pages": {"/feed": lambda seen: gzip_file(bomb_of_pages())},
        "gzip-cut-off": {"/feed": gzip_file(gzip.compress(urlset(listed("/a")).encode())[:-12])},
        "gzip-in-gzip": {"/feed": gzip_file(gzip.compress(gzip.compress(urlset(listed("/a")).encode())))},
        "billion-laughs": {"/feed": sitemap(f'<!DOCTYPE urlset [<!ENTITY a0 "ha">{laughs}]>{urlset(listed("/&a9;"))}')},
        "100000-deep": {"/feed": sitemap(urlset(f"<url>{'<a>' * 100_000}{'</a>' * 100_000}</url>"))},
        "links-inside": {"/feed": sitemap(urlset("".join(map(listed, inside))))},
        "of-the-future": {
            "/feed": sitemap(urlset("<url><loc>/story</loc><lastmod>2099-01-01</lastmod></url>")),
            "/story": story,
        },
        "index-cyclic": {f"/{path}": sitemap(index(*cycle)) for path in ("feed", "1.xml", "2.xml")},
        "index-endless": {"/feed": next_index, "/more": next_index},
        "index-50000": {"/feed": sitemap(index(*(f"{names['index-50000']}/{n}.xml" for n in range(50_000))))},
        "index-inside": {"/feed": sitemap(index(*inside))},
        "index-inner-name": nested("index-inner-name", Reply(404), host="inner.sitemap-index-inner-name.test"),
        "index-redirects-inside": nested("index-redirects-inside", to("http://169.254.169.254/latest/meta-data/")),
        "index-drips": nested("index-drips", endless(b" ", HEAD + b"\r\n<urlset>", pause_seconds=0.05)),
        "index-half-bad": {
            "/feed": sitemap(index(*(f"{names['index-half-bad']}/{name}" for name in ("a.xml", "b.xml.gz", "c")))),
            "/a.xml": sitemap(urlset(listed("/story"))),
            "/b.xml.gz": gzip_file(_bomb("gzip")),
            "/c": Reply(body=PAGE),
            "/story": story,
        },
    }
    rules = Reply(body="User-agent: *\nDisallow: /closed", content_type="text/plain")
    return {f"sitemap-{name}": {"/robots.txt": rules, **routes} for name, routes in made.items()}


def sitemap(body: str) -> Reply:
    """Return a sitemap as it should be served."""
    return feed(body, content_type="application/xml")


def gzip_file(body: bytes) -> Reply:
    """Return a gzip file that is no coding of the answer."""
    return feed(body, content_type="application/gzip")


def urlset(urls: str) -> str:
    """Return a sitemap of these elements."""
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'


def listed(loc: str) -> str:
    """Return a page of a sitemap."""
    return f"<url><loc>{loc}</loc></url>"


def index(*locs: str) -> str:
    """Return an index of sitemaps."""
    named = "".join(f"<sitemap><loc>{loc}</loc></sitemap>" for loc in locs)
    return f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{named}</sitemapindex>'


def pages(server: HostileServer) -> Mapping[str, Routes]:
    """Return articles that mean harm; each feed lists one."""
    script = "<script>var x = 1;</script>"
    stories: dict[str, Route] = {
        "100000-deep": Reply(body=PAGE + "<div>" * 100_000),
        "20-mb-script": Reply(body=PAGE + script * (20 * 1024 * KIB // len(script))),
        "6-mb-script": Reply(body=PAGE.replace("<body>", "<body>" + script * (6 * 1024 * KIB // len(script)))),
        "refreshes": Reply(body=PAGE.replace("<head>", '<head><meta http-equiv="refresh" content="0">')),
        "to-itself": to("/story"),
        "to-metadata": to("http://169.254.169.254/latest/meta-data/"),
        "is-film": endless(bytes(64 * KIB), b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"),
        "of-nuls": Reply(body=b"\0\1\2" * 1000, content_type=None),
        "empty": Reply(body=" \n"),
        "drips": endless(b" ", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", pause_seconds=0.05),
        "bomb": replace(bomb("gzip"), content_type="text/html"),
        "feed-has-text": Reply(404),
    }
    more = {"feed-has-text": f"<description>{STORY}</description>"}
    return {
        f"page-{name}": listing(server, f"page-{name}", story, more.get(name, "")) for name, story in stories.items()
    }


def robots(server: HostileServer) -> Mapping[str, Routes]:
    """Return rules that cannot be read, or not in time; each feed lists one article at a long address."""
    stars = "User-agent: *\n" + f"Disallow: /{'*a' * 40}*b\nDisallow: /{'*' * 400}b\nAllow: /{'*a' * 40}*c\n" * 20
    many = "User-agent: *\n" + "".join(f"Disallow: /*{n}*a*b\n" for n in range(20_000))
    rules: dict[str, Route] = {
        "endless": endless(b"# and so on\n" * 500, b"HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /\n"),
        "drips": endless(b"#", b"HTTP/1.1 200 OK\r\n\r\n", pause_seconds=0.05),
        "500": Reply(500),
        "to-itself": to("/robots.txt"),
        "inside": to(f"http://127.0.0.1:{server.port}/robots.txt"),
        "nuls": Reply(body=bytes(10_000), content_type="text/plain"),
        "html": Reply(body=PAGE),
        "stars": Reply(body=stars, content_type="text/plain"),
        "20000-rules": Reply(body=many, content_type="text/plain"),
        "delay-beyond-all": Reply(body="User-agent: *\nCrawl-delay: 1e300\n", content_type="text/plain"),
        "delay-nan": Reply(body="User-agent: *\nCrawl-delay: nan\n", content_type="text/plain"),
    }
    made = {}
    for name, rule in rules.items():
        path = "/" + "a" * 400 if name in ("stars", "20000-rules") else "/story"
        made[f"robots-{name}"] = {**listing(server, f"robots-{name}", Reply(body=PAGE), path=path), "/robots.txt": rule}
    return made


def listing(server: HostileServer, name: str, story: Route, more: str = "", *, path: str = "/story") -> Routes:
    """Return a feed of one article without its text, and the article."""
    entry = item(text="", link=server.url(path, host=f"{name}.test"), more=more)
    return {"/feed": feed(rss(entry)), path: story}


def stock(server: HostileServer) -> set[str]:
    """Give the server all behaviours and the healthy feed; return the names of the cases it can play."""
    played: dict[str, Routes] = {}
    for group in (slow, addresses, codings, framing, statuses, documents, sitemaps, pages, robots):
        played.update(group(server))
    for name, routes in played.items():
        server.routes.update({f"{name}.test{path}": route for path, route in routes.items()})
    stories = [f"/story{n}" for n in range(HEALTHY_PAGES)]
    links = [item(n, text="", link=server.url(path, host=HEALTHY)) for n, path in enumerate(stories)]
    server.routes[f"{HEALTHY}/feed"] = feed(rss(*links))
    server.routes.update({HEALTHY + path: Reply(body=PAGE) for path in stories})
    return set(played)
