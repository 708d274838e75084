"""No connection goes where the rules forbid: watched at the socket, for every spelling, redirect, name and proxy.

The recorder is a hook of the interpreter (`sys.addaudithook`), which sees each `socket.connect` of this process before
it happens, whoever made it. Forbidden doors are real servers on other addresses of loopback: a request that went
through would be in their log. What is not loopback is recorded and then stopped by the hook, so that even a client
without any rules sends nothing out of this machine. A proxy is a real one too; what it was asked for is looked at.
"""

import argparse
import asyncio
import contextlib
import pickle
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Optional, Union

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipelines.cli import main
from pipelines.demo.newsroom import Newsroom
from pipelines.options import FeedList, check_contact, read_proxy
from tests.servers import Reply, ScriptedServer
from transforms.address_rules import AddressRules, parse_allow_host
from transforms.errors import IngestError, RejectedError, TransientError, UsageError
from transforms.http import HttpClient, Response
from transforms.open_tunnel import Proxy, TunnelConnector, parse_proxy

AGENT = "newsbeam-test/1 (+mailto:test@example.org)"
HOST = "news.test"
DOOR, DOOR_6 = "127.9.9.9", "::1"  # where nothing may go; the front door is 127.0.0.1
FRONT = "127.0.0.1"

# ---- the recorder -----------------------------------------------------------------------------------------------

_connected: list[str] = []
_watching = False


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in ("socket.connect", "socket.sendto") and isinstance(arguments[-1], tuple):
        address = str(arguments[-1][0])
        _connected.append(address)
        if not address.startswith("127.") and address != "::1":
            raise PermissionError(f"a test would have connected to {address}")


sys.addaudithook(_record)


@pytest.fixture(autouse=True)
def connected() -> Iterator[list[str]]:
    """The addresses that were connected to since the test began."""
    global _watching
    _connected.clear()
    _watching = True
    yield _connected
    _watching = False


def test_the_recorder_sees_and_stops_what_would_leave_this_machine(connected: list[str]) -> None:
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family) as peer, pytest.raises(PermissionError):
            peer.connect((address, 9))
    assert connected == ["192.0.2.1", "2001:db8::1"]


@pytest.fixture(autouse=True)
def no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names resolve by a table; spellings of addresses as the system's own resolver reads them, which asks nobody."""
    answer_dns(monkeypatch, {})


def answer_dns(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Let each name of `answers` resolve to its first list, then to its second, ...; the last one stays."""
    asked: dict[str, int] = {}

    def look_up(host: str, port: int, family: int) -> list[tuple[Any, ...]]:
        name = host.rstrip(".").lower()
        rounds = {"localhost": [[FRONT, DOOR_6]], **answers}.get(name)
        addresses: Sequence[str] = [host]
        if rounds is not None:
            addresses = rounds[min(asked.get(name, 0), len(rounds) - 1)]
            asked[name] = asked.get(name, 0) + 1
        found: list[tuple[Any, ...]] = []
        for address in addresses:
            found += socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return found

    monkeypatch.setattr("transforms.resolve_names._look_up", look_up)


# ---- the servers ------------------------------------------------------------------------------------------------


@dataclass
class SmallProxy:
    """A CONNECT proxy on loopback; `asked` lists the targets, `refuse` is a status to answer with instead, `says` bytes."""

    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    refuse: Optional[int] = None
    says: Optional[bytes] = None
    says_more: bytes = b""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://{FRONT}:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split(" ", 2)
            self.heads.append(head)
            self.asked.append(target)
            if self.says is not None:
                writer.write(self.says)
                return
            if method != "CONNECT" or self.refuse is not None:
                writer.write(b"HTTP/1.1 %d Refused\r\nContent-Length: 2\r\n\r\nno" % (self.refuse or 405))
                return
            host, _, port = target.rpartition(":")
            there, out = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\nX-Proxy: small\r\n\r\n" + self.says_more)
            with contextlib.closing(out):
                await asyncio.gather(_pump(reader, out), _pump(there, writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


@pytest.fixture
def front() -> Iterator[ScriptedServer]:
    with ScriptedServer({"/": Reply(body="hello")}) as running:
        yield running


@pytest.fixture
def door(front: ScriptedServer) -> Iterator[ScriptedServer]:
    with ScriptedServer({"/": Reply(body="the inner secret")}, address=DOOR) as running:
        yield running
        assert running.log == []


def fetch(
    front: ScriptedServer,
    *paths: str,
    proxy: Union[SmallProxy, Proxy, None] = None,
    allow: Sequence[str] = (f"{HOST}={FRONT}/32",),
    credentials: str = "",
    **options: Any,
) -> list[Response]:
    """Fetch one after the other with one client; through `proxy`, which then runs on the client's loop."""

    async def run() -> list[Response]:
        async with contextlib.AsyncExitStack() as stack:
            through = proxy if isinstance(proxy, Proxy) else None
            if isinstance(proxy, SmallProxy):
                server = await asyncio.start_server(proxy.serve, FRONT, 0)
                stack.callback(server.close)
                proxy.port = server.sockets[0].getsockname()[1]
                through = parse_proxy(proxy.url, credentials=credentials)
            allowed = tuple(parse_allow_host(text) for text in allow)
            client = HttpClient(user_agent=AGENT, allow_hosts=allowed, proxy=through, **options)
            await stack.enter_async_context(client)
            urls = [path if "://" in path else front.url(path, host=HOST) for path in paths]
            return [await client.fetch(url) for url in urls]

    return asyncio.run(run())


def refusal(front: ScriptedServer, *paths: str, **options: Any) -> IngestError:
    with pytest.raises(IngestError) as caught:
        fetch(front, *paths, **options)
    return caught.value


@pytest.fixture(params=["direct", "proxy"])
def way(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Options of `fetch`: without and with a proxy, which must only ever have been asked for the front door."""
    if request.param == "direct":
        yield {}
        return
    proxy = SmallProxy()
    yield {"proxy": proxy}
    assert {target.rpartition(":")[0] for target in proxy.asked} <= {FRONT}


# ---- spellings --------------------------------------------------------------------------------------------------

FORBIDDEN = [
    f"http://{host}:PORT/"
    for host in (
        "127.9.9.9",
        "127.0.0.1",
        "127.1",
        "127.9.2313",
        "2131298569",
        "0x7f090909",
        "0x7f.9.9.9",
        "0177.011.011.011",
        "127.9.9.9.",
        "localhost",
        "LOCALHOST.",
        "0",
        "0.0.0.0",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.9.9.9]",
        "[::ffff:7f09:909]",
        "[::127.9.9.9]",
        "[64:ff9b::7f09:909]",
        "[64:ff9b:1::7f09:909]",
        "[2002:7f09:909::1]",
        "[2001:0:7f09:909::]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "0xa9fea9fe",
        "2852039166",
        "100.100.100.200",
        "168.63.129.16",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "１２７.９.９.９",
        "①②⑦.⑨.⑨.⑨",
        "127。9。9。9",
        "%31%32%37.9.9.9",
        "news.test@127.9.9.9",
        "news.test:80@127.9.9.9",
    )
] + [
    "http://127.9.9.9:PORT#@news.test/",
    "http://127.9.9.9:PORT?@news.test/",
    "http://news.test\\@127.9.9.9:PORT/",
    "http:\\\\127.9.9.9:PORT\\",
    "http:/\t/127.9.9.9:PORT/",
    "HTTP://127.9.9.9:PORT/",
    "https://127.9.9.9:PORT/",
]
REASONS = {"forbidden_address", "bad_url", "dns_failed"}


@pytest.mark.parametrize("spelling", FORBIDDEN)
def test_no_spelling_of_a_forbidden_address_is_connected_to(
    front: ScriptedServer, door: ScriptedServer, way: dict[str, Any], connected: list[str], spelling: str
) -> None:
    error = refusal(front, spelling.replace("PORT", str(door.port)), **way)
    assert (type(error), error.reason in REASONS) in ((RejectedError, True), (TransientError, True))
    assert connected == []


@pytest.mark.parametrize("spelling", FORBIDDEN)
def test_no_redirect_leads_to_a_forbidden_address(
    front: ScriptedServer, door: ScriptedServer, way: dict[str, Any], connected: list[str], spelling: str
) -> None:
    target = spelling.replace("PORT", str(door.port))
    front.routes["/go"] = Reply(302, headers={"Location": target.replace("\t", "%09")})
    try:
        (got,) = fetch(front, "/go", **way)
    except IngestError as error:
        assert error.reason in REASONS
    else:  # it could be read as a path of the site itself
        assert (got.status, got.url.startswith(front.url("/", host=HOST))) == (404, True)
    assert set(connected) == {FRONT}


def test_a_chain_that_ends_at_a_forbidden_address_is_cut_there(
    front: ScriptedServer, door: ScriptedServer, way: dict[str, Any], connected: list[str]
) -> None:
    for n, status in enumerate((301, 302, 303, 307)):
        front.routes[f"/{n}"] = Reply(status, headers={"Location": f"/{n + 1}"})
    front.routes["/4"] = Reply(308, headers={"Location": f"//{DOOR}:{door.port}/"})
    error = refusal(front, "/0", **way)
    assert error.reason == "forbidden_address"
    assert f"--allow-host {DOOR}={DOOR}/32" in error.message
    assert set(connected) == {FRONT}


# ---- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers",
    [
        [DOOR],
        [DOOR_6],
        [DOOR, DOOR_6],
        ["::ffff:127.9.9.9"],
        ["64:ff9b::7f09:909"],
        ["169.254.169.254"],
        ["10.0.0.1", "fd00::1", "100.64.0.1"],
    ],
)
def test_a_name_that_resolves_inside_is_not_connected_to(
    front: ScriptedServer,
    door: ScriptedServer,
    way: dict[str, Any],
    connected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    answers: list[str],
) -> None:
    answer_dns(monkeypatch, {"inside.test": [answers]})
    assert refusal(front, f"http://inside.test:{door.port}/", **way).reason == "forbidden_address"
    assert connected == []


def test_of_several_answers_only_the_permitted_is_connected_to(
    front: ScriptedServer, way: dict[str, Any], connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_dns(monkeypatch, {"both.test": [[DOOR_6, DOOR, "10.0.0.1", FRONT]]})
    (got,) = fetch(front, front.url("/", host="both.test"), allow=[f"both.test={FRONT}/31"], **way)
    assert got.body == b"hello"
    assert set(connected) == {FRONT}


def test_a_name_that_resolves_elsewhere_the_second_time_is_not_followed_there(
    front: ScriptedServer,
    door: ScriptedServer,
    way: dict[str, Any],
    connected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transforms.http.DNS_TTL_SECONDS", 0)
    monkeypatch.setattr("transforms.http.KEEP_OPEN_SECONDS", 0)
    answer_dns(monkeypatch, {"turns.test": [[FRONT], [DOOR]]})
    front.routes["/"] = Reply(302, headers={"Location": f"http://turns.test:{door.port}/", "Connection": "close"})
    error = refusal(front, front.url("/", host="turns.test"), allow=[f"turns.test={FRONT}/31"], **way)
    assert error.reason == "forbidden_address"
    assert front.paths() == ["/"]
    assert set(connected) == {FRONT}


def test_a_resolver_that_lies_is_caught_where_the_connection_is_made(
    front: ScriptedServer,
    door: ScriptedServer,
    way: dict[str, Any],
    connected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AddressRules, "pinned_addresses", lambda self, host: [DOOR])
    assert refusal(front, f"http://rebind.test:{door.port}/", **way).reason == "forbidden_address"
    assert connected == []


def test_what_is_allowed_for_one_name_is_not_for_another(
    front: ScriptedServer, way: dict[str, Any], connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_dns(monkeypatch, {"other.test": [[FRONT]]})
    assert fetch(front, "/", **way)[0].body == b"hello"
    connected.clear()
    assert refusal(front, "/", front.url("/", host="other.test"), **way).reason == "forbidden_address"
    assert set(connected) == {FRONT}
    assert front.paths("other.test") == []


# ---- the proxy --------------------------------------------------------------------------------------------------


def test_a_proxy_is_given_the_checked_address_and_the_server_the_name(
    front: ScriptedServer, connected: list[str]
) -> None:
    proxy = SmallProxy()
    front.routes["/go"] = Reply(302, headers={"Location": "/"})
    first, second = fetch(front, "/go?a=1", "/", proxy=proxy)
    assert (first.body, second.body) == (b"hello", b"hello")
    assert first.url == front.url("/", host=HOST)
    assert proxy.asked == [f"{FRONT}:{front.port}"]
    assert [seen.headers["host"] for seen in front.log] == [f"{HOST}:{front.port}"] * 3
    assert HOST not in proxy.heads[0]
    assert "user-agent" not in proxy.heads[0].lower()


def test_a_proxy_is_given_an_address_of_ipv6_in_brackets() -> None:
    with ScriptedServer({"/": Reply(body="six")}, address=DOOR_6) as six:
        proxy = SmallProxy()
        (got,) = fetch(six, f"http://{HOST}:{six.port}/", proxy=proxy, allow=[f"{HOST}={DOOR_6}"])
    assert (got.body, proxy.asked) == (b"six", [f"[{DOOR_6}]:{six.port}"])


def test_a_proxy_itself_needs_no_allowance_and_gives_none(front: ScriptedServer, connected: list[str]) -> None:
    proxy = SmallProxy()
    error = refusal(front, front.url("/"), proxy=proxy, allow=())
    assert error.reason == "forbidden_address"
    assert (proxy.asked, connected) == ([], [])


@pytest.mark.parametrize("credentials", ["ann:p@ss word", ""])
def test_a_proxy_is_told_the_credentials_and_nobody_else(front: ScriptedServer, credentials: str) -> None:
    proxy = SmallProxy()
    fetch(front, "/", proxy=proxy, credentials=credentials)
    assert ("Proxy-Authorization: Basic YW5uOnBAc3Mgd29yZA==\r\n" in proxy.heads[0]) == bool(credentials)
    assert "proxy-authorization" not in front.log[0].headers


@pytest.mark.parametrize(
    ("refuse", "kind", "reason", "words"),
    [
        (407, TransientError, "proxy_failed", "wants credentials: NEWSBEAM_PROXY_AUTH"),
        (403, TransientError, "proxy_failed", "answered 403"),
        (502, TransientError, "connect_failed", "answered 502"),
        (504, TransientError, "connect_failed", "answered 504"),
    ],
)
def test_a_proxy_that_refuses_is_no_fault_of_the_story(
    front: ScriptedServer, refuse: int, kind: type, reason: str, words: str
) -> None:
    error = refusal(front, "/", proxy=SmallProxy(refuse=refuse), credentials="ann:s3cret")
    assert (type(error), error.reason) == (kind, reason)
    assert words in error.message
    assert "s3cret" not in error.message


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-x\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_000]
)
def test_what_is_no_proxy_is_said_to_be_none(front: ScriptedServer, said: bytes) -> None:
    error = refusal(front, "/", proxy=SmallProxy(says=said))
    assert (type(error), error.reason) == (TransientError, "proxy_failed")
    assert front.log == []


def test_a_proxy_that_says_more_than_it_was_asked_is_not_listened_to(front: ScriptedServer) -> None:
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake"
    assert refusal(front, "/", proxy=SmallProxy(says_more=smuggled)).reason == "proxy_failed"


def test_a_proxy_that_is_not_there_is_named(front: ScriptedServer) -> None:
    with contextlib.closing(socket.socket()) as free:
        free.bind((FRONT, 0))
        port = free.getsockname()[1]
        error = refusal(front, "/", proxy=parse_proxy(f"http://u:s3cret@{FRONT}:{port}"))
    assert (type(error), error.reason) == (TransientError, "proxy_failed")
    assert f"{FRONT}:{port}" in error.message
    assert "s3cret" not in error.message
    assert front.log == []


def test_with_a_proxy_no_socket_is_made_in_any_other_way(
    front: ScriptedServer, connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's library could stop calling the hook that goes through the proxy; then nothing may go out."""
    monkeypatch.delattr(TunnelConnector, "_wrap_create_connection")
    assert refusal(front, "/", proxy=SmallProxy()).reason == "proxy_failed"
    assert connected == []


@pytest.mark.parametrize("name", [HOST, "other.test"])
def test_tls_through_a_proxy_is_verified_against_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    context, authority = certified(tmp_path, name)
    trusting = ssl.create_default_context(cafile=str(authority))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    proxy, names = SmallProxy(), list[Optional[str]]()
    context.sni_callback = lambda _, server_name, __: names.append(server_name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
        writer.close()

    async def run() -> Response:
        async with contextlib.AsyncExitStack() as stack:
            there = await asyncio.start_server(answer, FRONT, 0, ssl=context)
            between = await asyncio.start_server(proxy.serve, FRONT, 0)
            stack.callback(there.close)
            stack.callback(between.close)
            through = parse_proxy(f"http://{FRONT}:{between.sockets[0].getsockname()[1]}")
            allowed = (parse_allow_host(f"{HOST}={FRONT}"),)
            client = HttpClient(user_agent=AGENT, allow_hosts=allowed, proxy=through)
            await stack.enter_async_context(client)
            return await client.fetch(f"https://{HOST}:{there.sockets[0].getsockname()[1]}/")

    if name == HOST:
        assert asyncio.run(run()).body == b"secret"
    else:
        with pytest.raises(RejectedError, match="certificate") as caught:
            asyncio.run(run())
        assert caught.value.reason == "tls_failed"
    assert [target.rpartition(":")[0] for target in proxy.asked] == [FRONT]
    assert names == [HOST]


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context for `name`, and the file of the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    number = x509.random_serial_number()
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), number, now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public, both = folder / "authority.pem", folder / "both.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    both.write_bytes(key.private_bytes(*form) + public.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, public


@pytest.mark.parametrize(
    ("text", "credentials", "host", "port", "pair"),
    [
        ("http://proxy.example:3128", "", "proxy.example", 3128, ""),
        ("HTTP://Proxy.example:3128/", "", "proxy.example", 3128, ""),
        ("http://10.0.0.1:8080", "", "10.0.0.1", 8080, ""),
        ("http://[fd00::1]:8080", "", "fd00::1", 8080, ""),
        ("http://proxy.example", "", "proxy.example", 80, ""),
        ("http://ann:p%40ss@proxy.example:1", "", "proxy.example", 1, "ann:p@ss"),
        ("http://ann:p%40ss@proxy.example:1", "bob:other", "proxy.example", 1, "ann:p@ss"),
        ("http://proxy.example:1", "bob:o:ther", "proxy.example", 1, "bob:o:ther"),
    ],
)
def test_a_proxy_is_read(text: str, credentials: str, host: str, port: int, pair: str) -> None:
    proxy = parse_proxy(text, credentials=credentials)
    assert (proxy.host, proxy.port, proxy.credentials) == (host, port, pair)
    assert pickle.loads(pickle.dumps(proxy)) == proxy
    assert not pair or pair not in repr(proxy)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy.example:3128",
        "https://u:s3cret@proxy.example",
        "socks5://u:s3cret@proxy.example:1080",
        "http://",
        "http://:80",
        "http://u:s3cret@proxy.example:99999",
        "http://u:s3cret@proxy.example:x",
        "http://u:s3cret@proxy.example/path",
        "http://u:s3cret@[::1",
    ],
)
def test_a_mistyped_proxy_says_how_to_write_it_and_tells_no_secret(text: str) -> None:
    with pytest.raises(UsageError, match="http://HOST:PORT") as caught:
        parse_proxy(text)
    assert "s3cret" not in caught.value.message


# ---- settings ---------------------------------------------------------------------------------------------------

FEED = "https://news.example/feed"


@pytest.mark.parametrize(
    "contact",
    [
        "me@example.org",
        "mailto:me@example.org",
        "MAILTO:me+news@mail.example.co.uk",
        "https://example.org/bot",
        "HTTP://example.org",
        "redaktion@bücher.example",
    ],
)
def test_a_mail_address_or_a_page_is_a_contact(contact: str) -> None:
    check_contact(contact, urls=[FEED], allow_hosts=())


@pytest.mark.parametrize(
    "contact", ["me", "me@", "@example.org", "me@host", "https://", "https://bot", "ftp://a.b/", " "]
)
@pytest.mark.parametrize("urls", [[FEED], []])
def test_what_nobody_could_write_to_is_no_contact(contact: str, urls: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^contact .* --contact ADDRESS, or contact in newsbeam.toml"):
        check_contact(contact, urls=urls, allow_hosts=())


@pytest.mark.parametrize("contact", [None, ""])
@pytest.mark.parametrize(
    ("urls", "allowed"),
    [
        ([FEED], []),
        ([FEED], ["other.example=10.0.0.0/8"]),
        (["http://10.0.0.1/feed", FEED], ["10.0.0.1"]),
        (["http://[::1/feed"], ["news.example=10.0.0.0/8"]),
    ],
)
def test_the_web_is_not_polled_without_a_contact(contact: Optional[str], urls: list[str], allowed: list[str]) -> None:
    hosts = tuple(map(parse_allow_host, allowed))
    with pytest.raises(UsageError, match=r"^no contact: .* --contact ADDRESS, or contact in newsbeam.toml"):
        check_contact(contact, urls=urls, allow_hosts=hosts)


def test_hosts_of_ones_own_are_polled_without_a_contact() -> None:
    hosts = tuple(map(parse_allow_host, ["News.example.=10.0.0.0/8", "127.0.0.1", "[::1]"]))
    check_contact(None, urls=[FEED, "http://127.0.0.1:80/f", "http://[::1]:80/f"], allow_hosts=hosts)
    check_contact(None, urls=[], allow_hosts=())


@pytest.mark.parametrize("command", ["ingest", "stream"])
def test_a_run_without_a_contact_is_bad_usage_and_makes_no_lake(
    command: str,
    tmp_path: Path,
    connected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command, FEED, "--lake", "lake"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("newsbeam: no contact: publishers, such as news.example,")
    assert (err.count("\n"), list(tmp_path.iterdir()), connected) == (1, [], [])


def test_a_list_that_grows_is_taken_over_where_the_settings_file_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "newsbeam.toml").write_text('contact = "me@example.org"\n', "utf-8")
    listed = tmp_path / "feeds.txt"
    listed.write_text(f"{FEED}\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    feeds = FeedList(argparse.Namespace(feeds=[str(listed)], urls=[]), version="1")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    listed.write_text(f"{FEED}\nhttps://two.example/feed\n", "utf-8")
    assert [feed.url for feed in pickle.loads(pickle.dumps(feeds))()] == [FEED, "https://two.example/feed"]


@pytest.mark.parametrize(
    ("flag", "setting", "environment", "expected"),
    [
        (None, None, "", None),
        ("http://a.example:1", "http://b.example:2", "", Proxy("a.example", 1)),
        (None, "http://b.example:2", "ann:s3cret", Proxy("b.example", 2, "ann:s3cret")),
        ("http://bob:x@a.example:1", None, "ann:s3cret", Proxy("a.example", 1, "bob:x")),
    ],
)
def test_a_proxy_is_named_by_flag_or_settings_and_by_nothing_else(
    flag: Optional[str],
    setting: Optional[str],
    environment: str,
    expected: Optional[Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://c.example:3")
    monkeypatch.setenv("NEWSBEAM_PROXY_AUTH", environment)
    assert read_proxy(argparse.Namespace(proxy=flag), {"proxy": setting} if setting else {}) == expected


def test_a_run_fetches_feeds_robots_and_pages_through_the_proxy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy, loop = SmallProxy(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(proxy.serve, FRONT, 0), loop).result(10)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        with Newsroom() as room:
            feed = next(feed for feed in room.feeds if feed.kind == "ok")
            allowed = [f"--allow-host={host}={FRONT}/32" for host in room.hosts]
            command = ["ingest", feed.url, "--lake", str(tmp_path / "lake"), "--spacing-seconds", "0", *allowed]
            assert main([*command, "--proxy", proxy.url, "--json"]) == 0
            page = next(article for article in room.articles if article.origin == "page" and not article.special)
            before = len(proxy.asked)
            assert main(["clean", page.url, "--proxy", proxy.url, *allowed]) == 0
            assert set(proxy.asked) == {f"{FRONT}:{room.port}"}
            assert len(proxy.asked) == before + 1
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
    assert '"written": 0' not in capsys.readouterr().out
