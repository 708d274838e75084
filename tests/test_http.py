"""The HTTP client against a real server on loopback: what it refuses, what it survives, what it carries."""

import asyncio
import contextlib
import gzip
import ipaddress
import pickle
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Optional

import aiohttp
import brotli
import pytest
from aiohttp.http_exceptions import BadHttpMessage, ContentLengthError, LineTooLong, TransferEncodingError
from backports import zstd
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers import Reply, ScriptedServer, Seen, gzipped, with_validators
from transforms.address_rules import AddressRules, AllowedHost, is_public, parse_allow_host
from transforms.bounded_body import MOST_MEMBERS, BoundedBody
from transforms.errors import IngestError, RejectedError, TransientError, UsageError
from transforms.http import HttpClient, Response, fetch_once
from transforms.resolve_names import CheckedResolver

AGENT = "newsbeam-test/1 (+mailto:test@example.org)"
HOST = "news.test"
MIB = 1024 * 1024


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def fetch(server: ScriptedServer, path: str, *, host: str = HOST, client: Any = None, **kwargs: Any) -> Response:
    options = {"user_agent": AGENT, "allow_hosts": (server.allow(HOST), server.allow("other.test")), **(client or {})}

    async def run() -> Response:
        async with HttpClient(**options) as http:
            url = path if "://" in path else server.url(path, host=host)
            return await http.fetch(url, **kwargs)

    return asyncio.run(run())


def refusal(server: ScriptedServer, path: str, **kwargs: Any) -> IngestError:
    with pytest.raises(IngestError) as caught:
        fetch(server, path, **kwargs)
    return caught.value


# ---- addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.1.2",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.7.7",
        "169.254.169.254",
        "169.254.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "168.63.129.16",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "fec0::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "64:ff9b:1::1",
        "5f00::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::10.0.0.1",
        "::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:20::1",
    ],
)
def test_an_address_that_is_not_anyones_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert not AddressRules().permit("name.test", address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_a_public_address_is_public_in_each_of_its_forms(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert AddressRules().permit("name.test", address)


def test_what_cannot_be_read_as_an_address_is_not_permitted() -> None:
    assert not AddressRules().permit("name.test", "not an address")


@pytest.mark.parametrize(
    ("text", "name", "network", "pinned"),
    [
        ("news.test=127.0.0.1/32", "news.test", "127.0.0.1/32", "127.0.0.1"),
        ("News.Test.=127.0.0.1", "news.test", "127.0.0.1/32", "127.0.0.1"),
        ("inner.test=10.0.0.0/8", "inner.test", "10.0.0.0/8", None),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1/32", None),
        ("[::1]", "::1", "::1/128", None),
        ("six.test=[fd00::7]", "six.test", "fd00::7/128", "fd00::7"),
        ("bücher.test=10.1.1.1", "xn--bcher-kva.test", "10.1.1.1/32", "10.1.1.1"),
    ],
)
def test_allow_host_binds_a_name_and_a_range(text: str, name: str, network: str, pinned: Any) -> None:
    allowed = parse_allow_host(text)
    assert (allowed.name, str(allowed.network), allowed.pinned_address) == (name, network, pinned)
    assert pickle.loads(pickle.dumps(allowed)) == allowed


@pytest.mark.parametrize(
    "text", ["", "news.test", "=10.0.0.0/8", "news.test=", "news.test=ten", "a=b=c", "news.test=10.0.0.0/99"]
)
def test_a_mistyped_allow_host_says_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageError, match="write NAME=CIDR"):
        parse_allow_host(text)


def test_an_allowance_is_for_its_name_and_its_range_only() -> None:
    rules = AddressRules((parse_allow_host("inner.test=10.0.0.0/8"),))
    assert rules.permit("inner.test", "10.9.9.9")
    assert rules.permit("INNER.test.", "::ffff:10.9.9.9")
    assert rules.permit("inner.test", "8.8.8.8")
    assert not rules.permit("inner.test", "192.168.0.1")
    assert not rules.permit("outer.test", "10.9.9.9")
    assert not rules.permit("10.9.9.9", "10.9.9.9")


def test_loopback_is_forbidden_unless_allowed(server: ScriptedServer) -> None:
    error = refusal(server, server.url("/"), client={"allow_hosts": ()})
    assert (type(error), error.reason) == (RejectedError, "forbidden_address")
    assert "--allow-host 127.0.0.1=127.0.0.1/32" in error.message
    assert server.log == []
    server.routes["/"] = Reply(body="hello")
    assert fetch(server, server.url("/"), client={"allow_hosts": (server.allow(),)}).body == b"hello"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0",
        "[::]",
        "0.0.0.0",
    ],
)
def test_loopback_by_any_other_name_is_forbidden(server: ScriptedServer, host: str) -> None:
    error = refusal(server, f"http://{host}:{server.port}/")
    assert error.reason in ("forbidden_address", "bad_url", "dns_failed")
    assert server.log == []


def test_a_name_that_resolves_inside_is_forbidden_and_the_message_says_how_to_allow_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.resolve_names._look_up", lambda *a: [(2, 1, 6, "", ("127.0.0.1", server.port))])
    error = refusal(server, f"http://inside.test:{server.port}/x?token=abc123")
    assert error.reason == "forbidden_address"
    assert "inside.test resolves to 127.0.0.1" in error.message
    assert "--allow-host inside.test=127.0.0.1/32" in error.message
    assert "abc123" not in error.message


def test_of_several_answers_of_dns_only_the_permitted_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(2, 1, 6, "", (address, 80)) for address in ("10.0.0.1", "8.8.8.8", "127.0.0.1", "8.8.8.8")]
    monkeypatch.setattr("transforms.resolve_names._look_up", lambda *a: answers)
    tried = asyncio.run(CheckedResolver(AddressRules()).resolve("both.test", 80))
    assert [answer["host"] for answer in tried] == ["8.8.8.8"]


def test_a_resolver_that_lies_is_caught_at_the_socket(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AddressRules, "pinned_addresses", lambda self, host: ["127.0.0.1"])
    error = refusal(server, f"http://rebind.test:{server.port}/")
    assert error.reason == "forbidden_address"
    assert server.log == []


def test_no_socket_is_made_outside_the_check(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []
    real = BaseSelectorEventLoop.sock_connect

    async def record(self: Any, sock: Any, address: Any) -> None:
        connected.append(address)
        await real(self, sock, address)

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", record)
    server.routes["/"] = Reply(302, headers={"Location": "http://169.254.169.254/latest/meta-data"})
    assert refusal(server, "/").reason == "forbidden_address"
    assert connected == [("127.0.0.1", server.port)]


def test_a_redirect_to_a_forbidden_address_is_refused(server: ScriptedServer) -> None:
    for target in ("http://169.254.169.254/", "http://[::ffff:10.0.0.1]/", f"http://127.0.0.1:{server.port}/inner"):
        server.routes["/go"] = Reply(301, headers={"Location": target})
        assert refusal(server, "/go").reason == "forbidden_address"
    assert set(server.paths()) == {"/go"}


def test_a_pinned_name_needs_no_dns(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_dns(*args: Any) -> Any:
        raise AssertionError(f"asked DNS for {args}")

    monkeypatch.setattr("transforms.resolve_names._look_up", no_dns)
    server.routes["/"] = Reply(body="pinned")
    assert fetch(server, "/").body == b"pinned"
    assert server.log[0].headers["host"] == f"{HOST}:{server.port}"


def test_proxies_of_the_environment_are_ignored(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.routes["/"] = Reply(body="direct")
    assert fetch(server, "/").body == b"direct"


# ---- requests and answers -----------------------------------------------------------------------------------


def test_a_page_comes_with_its_headers_and_its_final_address(server: ScriptedServer) -> None:
    server.routes["/"] = Reply(body="<p>Grüße", headers={"X-Thing": "one"})
    got = fetch(server, "/?a=1#part")
    assert (got.url, got.status, got.body.decode()) == (server.url("/?a=1", host=HOST), 200, "<p>Grüße")
    assert got.headers["x-thing"] == got.headers["X-THING"] == "one"
    assert (got.redirects, got.bytes_on_wire) == ((), len(got.body))
    assert server.log[0].headers["user-agent"] == AGENT
    assert server.log[0].headers["accept-encoding"] == "gzip, deflate, br, zstd"


def test_a_conditional_request_is_honoured(server: ScriptedServer) -> None:
    server.routes["/feed"] = with_validators("<rss/>", etag='W/"one"')
    first = fetch(server, "/feed")
    second = fetch(server, "/feed", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status, second.status, second.body) == (200, 304, b"")


@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
def test_a_status_is_no_error_here(server: ScriptedServer, status: int) -> None:
    server.routes["/"] = Reply(status, body="sorry", headers={"Retry-After": "7"})
    got = fetch(server, "/")
    assert (got.status, got.body, got.headers["retry-after"]) == (status, b"sorry", "7")


TEXT = b"All quiet in the harbour of Lintwick. " * 500
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0note"  # RFC 8878, 3.1.2: a frame that holds nothing of the content


def deflated(data: bytes) -> bytes:
    raw = zlib.compressobj(wbits=-15)
    return raw.compress(data) + raw.flush()


def zstd_of_window(data: bytes, *, bits: int) -> bytes:
    compressor = zstd.ZstdCompressor(
        options={zstd.CompressionParameter.window_log: bits, zstd.CompressionParameter.content_size_flag: 0}
    )
    return compressor.compress(data) + compressor.flush()


CODED = [
    ("gzip", gzip.compress(TEXT)),
    ("x-gzip", gzip.compress(TEXT)),
    ("GZip", gzip.compress(TEXT)),
    ("gzip", gzip.compress(TEXT[:900]) + gzip.compress(TEXT[900:]) + b"\0\0"),
    ("gzip", gzip.compress(TEXT) + b"\n<!-- rubbish behind the end -->"),
    ("deflate", zlib.compress(TEXT)),
    ("deflate", deflated(TEXT)),
    ("br", brotli.compress(TEXT)),
    ("BR", brotli.compress(TEXT, quality=1)),
    ("zstd", zstd.compress(TEXT)),
    ("zstd", zstd.compress(TEXT, level=1) + zstd.compress(b"")),
    ("zstd", zstd.compress(TEXT[:900]) + SKIPPABLE + zstd.compress(TEXT[900:])),
    ("zstd", SKIPPABLE + zstd.compress(TEXT) + b"rubbish"),
    ("zstd", zstd_of_window(TEXT, bits=23)),
    ("identity", TEXT),
    ("utf-8", TEXT),
]


@pytest.mark.parametrize(("coding", "body"), CODED, ids=[f"{n}-{coding}" for n, (coding, _) in enumerate(CODED)])
def test_each_coding_is_decoded(server: ScriptedServer, coding: str, body: bytes) -> None:
    server.routes["/"] = Reply(body=body, headers={"Content-Encoding": coding}, drip_seconds=0.001, drip_bytes=101)
    got = fetch(server, "/")
    assert got.body == TEXT
    assert got.bytes_on_wire == len(body)


@pytest.mark.parametrize(
    ("coding", "body"),
    [(coding, body) for coding, body in CODED if coding in ("gzip", "deflate", "br", "zstd")],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000_000])
def test_how_a_body_is_cut_into_chunks_makes_no_difference(coding: str, body: bytes, size: int) -> None:
    held = BoundedBody("http://news.test/", coding, MIB)
    for start in range(0, len(body), size):
        held.feed(body[start : start + size])
    assert held.finish() == TEXT


def test_a_member_that_ends_with_its_chunk_does_not_end_the_body() -> None:
    for coding, compress in (("gzip", gzip.compress), ("zstd", zstd.compress)):
        held = BoundedBody("http://news.test/", coding, MIB)
        for part in (b"one, ", b"two, ", b"three"):
            held.feed(compress(part))
        assert held.finish() == b"one, two, three"


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("gzip", b"<html>plain after all"),
        ("gzip", gzip.compress(b"cut off" * 1000)[:-20]),
        ("gzip", gzip.compress(b"whole") + gzip.compress(b"cut off" * 1000)[:-20]),
        ("gzip", b"\x1f"),
        ("deflate", b"\x78\x9c" + b"\xff" * 50),
        ("deflate", deflated(TEXT)[:-1]),
        ("br", b"<html>plain after all"),
        ("br", brotli.compress(TEXT)[:-1]),
        ("br", brotli.compress(TEXT)[:1]),
        ("br", brotli.compress(TEXT) + b"rubbish"),
        ("zstd", b"<html>plain after all"),
        ("zstd", b"(\xb5/\xfd"),
        ("zstd", b"(\xb5"),
        ("zstd", zstd.compress(TEXT)[:-1]),
        ("zstd", zstd.compress(TEXT) + zstd.compress(TEXT)[:-1]),
        ("zstd", zstd_of_window(TEXT, bits=24)),
        ("gzip, gzip", gzip.compress(gzip.compress(b"twice"))),
        ("br, zstd", zstd.compress(brotli.compress(b"twice"))),
        ("compress", b"\x1f\x9d\x90"),
        ("dcb", b"\xffDCB"),
    ],
)
def test_a_body_that_is_not_what_its_header_says_is_rejected(server: ScriptedServer, header: str, body: bytes) -> None:
    server.routes["/"] = Reply(body=body, headers={"Content-Encoding": header})
    assert refusal(server, "/").reason == "bad_encoding"


def bomb(coding: str, mebibytes: int) -> bytes:
    """That many MiB of NULs, compressed piece by piece."""
    if coding == "br":
        squeezer = brotli.Compressor(quality=5)
        return b"".join(squeezer.process(bytes(MIB)) for _ in range(mebibytes)) + squeezer.finish()
    if coding == "zstd":
        return zstd.compress(bytes(mebibytes * MIB))
    return zlib.compress(bytes(mebibytes * MIB), wbits=31 if coding == "gzip" else 15)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_cut_at_the_cap(server: ScriptedServer, coding: str) -> None:
    server.routes["/"] = Reply(body=bomb(coding, 64), headers={"Content-Encoding": coding})
    error = refusal(server, "/", client={"max_body_bytes": MIB})
    assert (type(error), error.reason) == (RejectedError, "too_large")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_never_takes_much_more_memory_than_the_cap(coding: str) -> None:
    held = BoundedBody("http://news.test/", coding, MIB)
    body = bomb(coding, 256)
    tracemalloc.start()
    try:
        with pytest.raises(RejectedError, match="larger than"):
            held.feed(body[: 100 * 1024])
            held.feed(body[100 * 1024 :])
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("coding", "empty"), [("gzip", gzip.compress(b"")), ("zstd", SKIPPABLE)])
def test_members_that_hold_nothing_do_not_follow_one_another_without_end(coding: str, empty: bytes) -> None:
    held = BoundedBody("http://news.test/", coding, 100 * MIB)
    held.feed(empty * MOST_MEMBERS)
    with pytest.raises(RejectedError, match="more than 10,000 streams") as caught:
        held.feed(empty)
    assert caught.value.reason == "bad_encoding"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_of_exactly_the_cap_is_whole(coding: str) -> None:
    held = BoundedBody("http://news.test/", coding, MIB)
    held.feed(bomb(coding, 1))
    assert held.finish() == bytes(MIB)


def test_a_body_is_cut_at_the_cap_with_and_without_a_length(server: ScriptedServer) -> None:
    server.routes["/said"] = Reply(headers={"Content-Length": str(200 * MIB)}, body=b"x")
    server.routes["/unsaid"] = Reply(body=bytes(3 * MIB), until_close=True)
    for path in ("/said", "/unsaid"):
        assert refusal(server, path, max_bytes=MIB).reason == "too_large"
    server.routes["/exact"] = gzipped(Reply(body=bytes(MIB)))
    assert len(fetch(server, "/exact", max_bytes=MIB).body) == MIB


def test_a_slow_drip_is_cut_by_the_wall_clock(server: ScriptedServer) -> None:
    server.routes["/body"] = Reply(body=b"x" * 10_000, drip_seconds=0.05)
    server.routes["/head"] = Reply(delay_seconds=30)
    for path in ("/body", "/head"):
        started = time.monotonic()
        error = refusal(server, path, client={"total_timeout_seconds": 0.3})
        assert (type(error), error.reason) == (TransientError, "timeout")
        assert time.monotonic() - started < 5


def test_redirects_share_one_clock(server: ScriptedServer) -> None:
    for n in range(5):
        server.routes[f"/{n}"] = Reply(302, delay_seconds=0.2, headers={"Location": f"/{n + 1}"})
    assert refusal(server, "/0", client={"total_timeout_seconds": 0.5}).reason == "timeout"


def test_waiting_for_leave_is_not_on_the_clock(server: ScriptedServer) -> None:
    server.routes["/0"] = Reply(302, headers={"Location": "/1"})
    server.routes["/1"] = Reply(body="there")
    asked: list[str] = []

    async def wait(url: str) -> None:
        asked.append(url)
        await asyncio.sleep(0.6)

    got = fetch(server, "/0", client={"total_timeout_seconds": 0.5}, before_hop=wait)
    assert got.body == b"there"
    assert asked == [server.url("/1", host=HOST)]


def test_the_clock_goes_on_after_waiting_for_leave(server: ScriptedServer) -> None:
    server.routes["/0"] = Reply(302, headers={"Location": "/1"})
    server.routes["/1"] = Reply(delay_seconds=30)

    async def wait(url: str) -> None:
        await asyncio.sleep(0)

    assert refusal(server, "/0", client={"total_timeout_seconds": 0.4}, before_hop=wait).reason == "timeout"


@pytest.mark.parametrize("broken", [Reply(reset=True), Reply(raw=b"")], ids=["reset", "closed"])
def test_what_breaks_off_before_an_answer_is_repeated_once_when_there_is_leave(
    server: ScriptedServer, broken: Reply
) -> None:
    server.routes["/"] = lambda seen: broken if len(server.log) == 1 else Reply(body="there")
    asked: list[str] = []

    async def wait(url: str) -> None:
        asked.append(f"{url} after {len(server.log)}")

    assert fetch(server, "/", before_hop=wait).body == b"there"
    assert asked == [f"{server.url('/', host=HOST)} after 1"]


def test_what_breaks_off_twice_is_given_up(server: ScriptedServer) -> None:
    server.routes["/"] = Reply(reset=True)
    assert refusal(server, "/").reason == "connection_reset"
    assert len(server.log) == 2


def test_what_breaks_off_in_the_middle_of_an_answer_is_not_repeated(server: ScriptedServer) -> None:
    server.routes["/"] = Reply(body="half", headers={"Content-Length": "400"}, reset=True)
    assert refusal(server, "/").reason == "connection_reset"
    assert len(server.log) == 1


# ---- redirects ----------------------------------------------------------------------------------------------


def test_redirects_are_recorded_in_order(server: ScriptedServer) -> None:
    server.routes["/a"] = Reply(301, headers={"Location": "/b?x=1"})
    server.routes["/b"] = Reply(302, headers={"Location": f"//other.test:{server.port}/c#top"})
    server.routes["other.test/c"] = Reply(body="end")
    got = fetch(server, "/a")
    end = server.url("/c", host="other.test")
    assert got.redirects == ((301, server.url("/b?x=1", host=HOST)), (302, end))
    assert (got.url, got.body) == (end, b"end")


def test_a_loop_ends(server: ScriptedServer) -> None:
    server.routes["/a"] = Reply(302, headers={"Location": "/a"})
    error = refusal(server, "/a", client={"max_redirects": 3})
    assert (error.reason, len(server.log)) == ("too_many_redirects", 4)


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "gopher://x/", "javascript:alert(1)", "http://[::1", "http://h:99999/"]
)
def test_a_redirect_leads_to_http_or_nowhere(server: ScriptedServer, target: str) -> None:
    server.routes["/"] = Reply(302, headers={"Location": target})
    assert refusal(server, "/").reason == "bad_url"


def test_a_redirect_without_a_target_is_an_answer(server: ScriptedServer) -> None:
    server.routes["/"] = Reply(302, body="no target")
    assert (fetch(server, "/").status, fetch(server, "/").body) == (302, b"no target")


def test_cookies_live_for_one_chain(server: ScriptedServer) -> None:
    def consent(seen: Seen) -> Reply:
        if "agreed=yes" in seen.headers.get("cookie", ""):
            return Reply(body="the page")
        return Reply(302, headers={"Location": "/consent", "Set-Cookie": "agreed=yes; Path=/"})

    server.routes["/page"] = consent
    server.routes["/consent"] = Reply(302, headers={"Location": "/page"})

    async def run() -> None:
        async with HttpClient(user_agent=AGENT, allow_hosts=(server.allow(HOST),)) as client:
            for _ in range(2):
                assert (await client.fetch(server.url("/page", host=HOST))).body == b"the page"

    asyncio.run(run())
    assert ["cookie" in seen.headers for seen in server.log] == [False, True, True] * 2


def test_what_may_be_secret_stays_with_its_origin(server: ScriptedServer) -> None:
    server.routes[f"{HOST}/same"] = Reply(302, headers={"Location": "/away"})
    server.routes[f"{HOST}/away"] = Reply(302, headers={"Location": server.url("/end", host="other.test")})
    server.routes["other.test/end"] = Reply(body="end")
    sent = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "Accept": "text/html", "If-None-Match": '"e"'}
    fetch(server, "/same", headers=sent)
    assert ["s3cret" in str(dict(seen.headers)) for seen in server.log] == [True, True, False]
    assert [seen.headers["if-none-match"] for seen in server.log] == ['"e"'] * 3


def test_a_password_in_the_address_is_sent_as_a_header_and_never_told(server: ScriptedServer) -> None:
    server.routes["/"] = Reply(body="in")
    got = fetch(server, f"http://ann:p%40ss@{HOST}:{server.port}/")
    assert server.log[0].headers["authorization"] == "Basic YW5uOnBAc3M="
    assert "ann" not in got.url
    server.routes["/"] = Reply(302, headers={"Location": "ftp://x/"})
    assert "p%40ss" not in refusal(server, f"http://ann:p%40ss@{HOST}:{server.port}/").message


# ---- bad servers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "news.test/x",
        "ftp://news.test/",
        "http://",
        "http:///x",
        "http://h:0x/",
        "http://[zz]/",
        "http://a..b/",
        "mailto:a@b",
        "http://" + "a" * 9000,
    ],
)
def test_what_is_no_address_is_rejected_before_any_request(server: ScriptedServer, url: str) -> None:
    async def run() -> None:
        async with HttpClient(user_agent=AGENT) as client:
            await client.fetch(url)

    with pytest.raises(IngestError) as caught:
        asyncio.run(run())
    assert caught.value.reason in ("bad_url", "dns_failed")


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (Reply(reset=True), TransientError, "connection_reset"),
        (Reply(body="half", headers={"Content-Length": "400"}, reset=True), TransientError, "connection_reset"),
        (Reply(raw=b""), TransientError, "connection_reset"),
        (Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), RejectedError, "bad_response"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n"), RejectedError, "bad_response"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 300_000 + b"\r\n\r\n"), RejectedError, "bad_response"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx"), RejectedError, "bad_response"),
    ],
)
def test_a_broken_server_gives_a_slug(server: ScriptedServer, reply: Reply, kind: type, reason: str) -> None:
    server.routes["/"] = reply
    error = refusal(server, "/")
    assert (type(error), error.reason) == (kind, reason)
    assert "\n" not in error.message
    assert server.url("/", host=HOST) in error.message


@pytest.mark.parametrize(
    ("cause", "kind", "reason"),
    [
        (BadHttpMessage("Too many trailers"), RejectedError, "bad_response"),
        (LineTooLong(b"X-A", 1), RejectedError, "bad_response"),
        (TransferEncodingError("Not enough data"), TransientError, "connection_reset"),
        (ContentLengthError("Not enough data"), TransientError, "connection_reset"),
        (ConnectionResetError(), TransientError, "connection_reset"),
    ],
)
def test_what_breaks_a_body_decides_whether_it_may_be_whole_the_next_time(
    cause: Exception, kind: type, reason: str
) -> None:
    """A server that speaks no HTTP in the middle of a body is told by the parser or by the end of the connection."""
    error = aiohttp.ClientPayloadError("Response payload is not completed")
    error.__cause__ = cause
    told = HttpClient(user_agent=AGENT)._as_ingest_error(error, "http://news.example/feed")
    assert (type(told), told.reason) == (kind, reason)


def test_a_closed_port_is_transient(server: ScriptedServer) -> None:
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        error = refusal(server, f"http://{HOST}:{free.getsockname()[1]}/")
    assert (type(error), error.reason) == (TransientError, "connect_failed")


def test_a_name_that_does_not_resolve_is_transient(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("transforms.resolve_names._look_up", fails)
    error = refusal(server, "http://nowhere.test/")
    assert (type(error), error.reason) == (TransientError, "dns_failed")


def test_plain_http_on_a_tls_port_is_rejected(server: ScriptedServer) -> None:
    with one_answer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        error = refusal(server, f"https://{HOST}:{port}/")
    assert (type(error), error.reason) == (RejectedError, "tls_failed")


def test_a_certificate_that_nobody_vouches_for_is_rejected(server: ScriptedServer, tmp_path: Path) -> None:
    with one_answer(b"", tls=self_signed(tmp_path)) as port:
        error = refusal(server, f"https://{HOST}:{port}/")
    assert (type(error), error.reason) == (RejectedError, "tls_failed")
    assert "certificate" in error.message


@contextlib.contextmanager
def one_answer(answer: bytes, *, tls: Optional[ssl.SSLContext] = None) -> Iterator[int]:
    """A server that sends the same bytes to whoever connects, once."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            peer, _ = listener.accept()
            with peer:
                if tls is not None:
                    peer = tls.wrap_socket(peer, server_side=True)
                peer.recv(100)
                peer.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
    thread.join(5)


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both = folder / "both.pem"
    both.write_bytes(key.private_bytes(*form) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


def test_text_only_refuses_what_says_it_is_none(server: ScriptedServer) -> None:
    server.routes["/film"] = Reply(content_type="video/mp4", body=bytes(5000))
    server.routes["/error"] = Reply(404, content_type="image/png", body=b"x")
    assert refusal(server, "/film", text_only=True).reason == "not_text"
    assert fetch(server, "/error", text_only=True).status == 404
    for kind in (
        "text/html",
        "application/xhtml+xml; charset=x",
        "text/plain",
        "application/xml",
        "application/rss+xml",
        None,
    ):
        server.routes["/text"] = Reply(content_type=kind, body=b"x")
        assert fetch(server, "/text", text_only=True).body == b"x"


def test_bytes_in_headers_that_are_no_text_cannot_reach_a_row(server: ScriptedServer) -> None:
    server.routes["/"] = Reply(headers={"ETag": b'"\xff\xfe"'.decode("utf-8", "surrogateescape")})
    assert fetch(server, "/").headers["etag"].encode("utf-8") == b'"??"'


def test_fetch_once_is_for_commands(server: ScriptedServer) -> None:
    server.routes["/"] = Reply(body="once")
    allowed = AllowedHost("127.0.0.1", ipaddress.ip_network("127.0.0.1/32"))
    assert fetch_once(server.url("/"), user_agent=AGENT, allow_hosts=(allowed,)).body == b"once"


@pytest.mark.parametrize("agent", ["", "  ", "two\r\nlines"])
def test_a_user_agent_is_one_line(agent: str) -> None:
    with pytest.raises(ValueError, match="user_agent"):
        HttpClient(user_agent=agent)
