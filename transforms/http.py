"""HTTP for a worker that follows links written by strangers; it and open_tunnel.py alone open outgoing sockets.

Decisions:
    Every address is checked twice: in the resolver, so that a forbidden answer is named before anything is tried, and
    in aiohttp's socket factory, which is called with the very address that is about to be connected to. Nothing can
    come between the second check and the connection: not a name that resolves differently the next time, not an
    address written as a number, not a redirect. Redirects are followed here, hop by hop, each a request like the first.

    A pool keeps connections per host name, so one opened under an allowance is never used for another name.

    Bodies are decompressed in bounded steps (bounded_body.py): aiohttp's own way has no cap. What is neither header nor
    body (interim answers, the framing of chunks) is counted with it, by a handler that aiohttp takes through an
    attribute that is not public; the floods of tests/hostile would run on if it were no longer called.

    The wall clock covers the whole exchange, since a server that drips defeats any timeout per read. Waiting for
    leave to ask the next host (`before_hop`) is not counted: that is our own politeness, not the server's doing.

    Cookies live for one chain of redirects: consent pages need them, nothing else may remember anything. What the
    caller sent as headers goes to another origin only if it cannot be a secret.

    Proxies from the environment are ignored: a proxy would resolve names where nothing here can check them. One that
    the operator names is given what was checked here (open_tunnel.py).

    A request whose connection closes before the answer is repeated once, since kept-open connections do that. Not by
    aiohttp, which would do so at once: the server may have seen the first, so the second waits for leave as well.
"""

import asyncio
import base64
import functools
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import unquote

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage, PayloadEncodingError
from multidict import CIMultiDict
from yarl import URL

from transforms.address_rules import AddressRules, AllowedHost, parse_allow_host
from transforms.bounded_body import ACCEPT_ENCODING, BoundedBody, coding_of
from transforms.errors import IngestError, RejectedError, TransientError, mask_url, one_line
from transforms.open_tunnel import Proxy, ProxyError, TunnelConnector, parse_proxy
from transforms.resolve_names import CheckedResolver, ForbiddenAddressError

__all__ = ["AllowedHost", "HttpClient", "Proxy", "Response", "fetch_once", "parse_allow_host", "parse_proxy"]

MOST_URL_CHARS = 8_192
MOST_HEADER_BYTES = 32_768  # one field; real security policies pass aiohttp's 8,190
MOST_HEADERS = 200
MOST_BESIDE_BYTES = 1024 * 1024  # of headers, chunk sizes and the like beside the body
DNS_TTL_SECONDS = 60
KEEP_OPEN_SECONDS = 3.0  # covers the spacing between two pages of a site; longer would hold thousands of files open

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS_FOR_ANYONE = frozenset({"accept", "accept-language", "if-none-match", "if-modified-since", "a-im"})
_TEXT_TYPE = re.compile(
    r"(?:text/(?:html|xml|plain)|application/(?:xhtml\+xml|xml)|[a-z]+/[a-z.\-]+\+xml)", re.IGNORECASE
)
_CONTROL_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_URL_CONTROL = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True)
class Response:
    """The last answer of a chain of redirects.

    `url` is where it came from, without fragment; `body` is decoded; `redirects` holds (status, the address it pointed
    to) of each hop; `bytes_on_wire` counts the body as it was sent, compressed.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    redirects: tuple[tuple[int, str], ...] = ()
    bytes_on_wire: int = 0


class _FloodError(aiohttp.ClientError):
    """More came than a body may have, counting what is no body as well."""


class _BrokenOffError(aiohttp.ClientError):
    """The connection closed before there was an answer."""


async def _ask_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a request by itself."""
    try:
        return await send(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenOffError(str(error)) from error


class _CountedHandler(ResponseHandler):
    """Counts all that a server sends in answer to one request: what lies outside of the body never ends otherwise."""

    most_bytes = 0
    _left = 0

    def set_response_params(self, **params: Any) -> None:
        self._left = self.most_bytes
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 and self.transport is not None:
            flood = _FloodError()
            self._parser = None  # or the end of the connection would be told instead
            if self._payload is not None:
                self._payload.set_exception(flood)
            self.set_exception(flood)
            self.transport.abort()
            return
        super().data_received(data)


_HOST_UNDER_WAY: ContextVar[str] = ContextVar("_HOST_UNDER_WAY", default="")


@dataclass
class _Chain:
    """What one fetch carries from hop to hop."""

    url: URL
    headers: CIMultiDict[str]
    redirects: list[tuple[int, str]] = field(default_factory=list)
    cookies: Optional[aiohttp.CookieJar] = None


class HttpClient:
    """Fetches what others link to; see the module's docstring for what it will not do.

    Belongs to the event loop of its first `fetch`; `close` it there. Safe for any number of fetches at once: it sets
    no limit of its own.

    Args:
        user_agent: sent with every request; should name a contact.
        allow_hosts: what may be reached although it is not public.
        proxy: through which everything goes; None for directly.
        connect_timeout_seconds: for each connection, TLS included.
        total_timeout_seconds: wall clock of one fetch, redirects and body included.
        max_body_bytes: of a body, decoded and on the wire alike.
        max_redirects: hops that are followed before giving up.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        allow_hosts: tuple[AllowedHost, ...] = (),
        proxy: Optional[Proxy] = None,
        connect_timeout_seconds: float = 10.0,
        total_timeout_seconds: float = 30.0,
        max_body_bytes: int = 15 * 1024 * 1024,
        max_redirects: int = 5,
    ) -> None:
        if not user_agent.strip() or _CONTROL_IN_HEADER.search(user_agent):
            raise ValueError(f"user_agent must be one line of text, not {user_agent!r}")
        self._user_agent = user_agent
        self._rules = AddressRules(tuple(allow_hosts))
        self._proxy = proxy
        self._connect_timeout_seconds = connect_timeout_seconds
        self._total_timeout_seconds = total_timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._max_redirects = max_redirects
        self._opened: Optional[aiohttp.ClientSession] = None
        self._resolver = CheckedResolver(self._rules)

    async def fetch(
        self,
        url: str,
        *,
        headers: Optional[Mapping[str, str]] = None,
        max_bytes: Optional[int] = None,
        text_only: bool = False,
        cut: bool = False,
        before_hop: Optional[Callable[[str], Awaitable[None]]] = None,
    ) -> Response:
        """Return the answer of `url`, whatever its status.

        Args:
            url: http or https; user and password in it become an Authorization header.
            headers: sent along; to another origin only those that cannot be secret.
            max_bytes: cap of the body instead of the client's own.
            text_only: refuse an answer of 2xx that says it is no text (HTML, XML, plain) before reading it.
            cut: give the beginning of a body that is larger than its cap, unless it is compressed.
            before_hop: awaited with the address of each redirect, and of what is repeated, before it is asked; may
                raise. Not on the clock.

        Raises:
            TransientError: dns_failed, connect_failed, timeout, connection_reset, proxy_failed.
            RejectedError: forbidden_address, too_large, too_many_redirects, bad_url, bad_encoding, bad_response,
                tls_failed, not_text.
        """
        chain = self._chain(url, headers or {})
        try:
            async with asyncio.timeout(self._total_timeout_seconds) as deadline:
                may_repeat = True
                while len(chain.redirects) <= self._max_redirects:
                    try:
                        answer = await self._hop(chain, max_bytes or self._max_body_bytes, text_only, cut)
                    except _BrokenOffError:
                        if not may_repeat:
                            raise
                        may_repeat, answer = False, None
                    if answer is not None:
                        return answer
                    if before_hop is not None:
                        await _off_the_clock(deadline, before_hop(str(chain.url)))
        except IngestError:
            raise
        except Exception as error:
            raise self._as_ingest_error(error, str(chain.url)) from error
        raise RejectedError(
            f"{mask_url(url)}: more than {self._max_redirects} redirects", reason="too_many_redirects", url=url
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None
        await self._resolver.close()

    async def __aenter__(self) -> "HttpClient":
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self.close()

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            options: dict[str, Any] = {
                "limit": 0,
                "resolver": self._resolver,
                "ttl_dns_cache": DNS_TTL_SECONDS,
                "keepalive_timeout": KEEP_OPEN_SECONDS,
            }
            connector = (
                aiohttp.TCPConnector(socket_factory=self._checked_socket, **options)
                if self._proxy is None
                else TunnelConnector(self._proxy, self._check_address, **options)
            )
            handler = type("_Handler", (_CountedHandler,), {"most_bytes": self._max_body_bytes + MOST_BESIDE_BYTES})
            connector._factory = functools.partial(handler, loop=connector._loop)
            self._opened = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                middlewares=(_ask_once,),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_seconds),
                max_line_size=MOST_HEADER_BYTES,
                max_field_size=MOST_HEADER_BYTES,
                max_headers=MOST_HEADERS,
            )
        return self._opened

    def _check_address(self, address_info: tuple[Any, ...]) -> None:
        host, address = _HOST_UNDER_WAY.get(), str(address_info[4][0])
        if not self._rules.permit(host, address):
            raise ForbiddenAddressError(host, address)

    def _checked_socket(self, address_info: tuple[Any, ...]) -> socket.socket:
        self._check_address(address_info)
        family, kind, protocol, _, _ = address_info
        return socket.socket(family=family, type=kind, proto=protocol)

    def _chain(self, url: str, headers: Mapping[str, str]) -> _Chain:
        target = _parse_url(url)
        own = CIMultiDict(
            {name: value for name, value in headers.items() if not _CONTROL_IN_HEADER.search(name + value)}
        )
        if target.user is not None and "Authorization" not in own:
            pair = f"{unquote(target.user)}:{unquote(target.password or '')}".encode()
            own["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        return _Chain(target.with_user(None), own)

    async def _hop(self, chain: _Chain, most_bytes: int, text_only: bool, cut: bool) -> Optional[Response]:
        """Ask once: the answer, or None when it was a redirect, whose target is then in `chain`."""
        url = chain.url
        _HOST_UNDER_WAY.set(url.raw_host or "")
        headers = chain.headers.copy()
        headers["User-Agent"] = self._user_agent
        headers["Accept-Encoding"] = ACCEPT_ENCODING
        headers.setdefault("Accept", "*/*")
        cookies = chain.cookies.filter_cookies(url) if chain.cookies is not None else None
        async with self._session().get(url, headers=headers, cookies=cookies, allow_redirects=False) as answer:
            location = answer.headers.get("Location") if answer.status in _REDIRECTS else None
            if location is None:
                body = await self._read(answer, str(url), most_bytes, text_only, cut)
                return Response(
                    url=str(url),
                    status=answer.status,
                    headers=CIMultiDict((name, _printable(value)) for name, value in answer.headers.items()),
                    body=body.finish(),
                    redirects=tuple(chain.redirects),
                    bytes_on_wire=body.bytes_on_wire,
                )
            if answer.cookies:
                chain.cookies = chain.cookies or aiohttp.CookieJar(unsafe=True)
                chain.cookies.update_cookies(answer.cookies, url)
        self._turn(chain, answer.status, location)
        return None

    def _turn(self, chain: _Chain, status: int, location: str) -> None:
        try:
            target = chain.url.join(URL(location.strip()))
        except ValueError:
            raise _bad_url(str(chain.url), "redirects to what is no address") from None
        target = _parse_url(str(target), told_by=str(chain.url)).with_user(None)
        if not _keeps_origin(chain.url, target):
            for name in [name for name in chain.headers if name.lower() not in _HEADERS_FOR_ANYONE]:
                chain.headers.popall(name, None)
        chain.redirects.append((status, str(target)))
        chain.url = target

    async def _read(
        self, answer: aiohttp.ClientResponse, url: str, most_bytes: int, text_only: bool, cut: bool
    ) -> BoundedBody:
        coding = coding_of(answer.headers.getall("Content-Encoding", []), url)
        body, cut = BoundedBody(url, coding, most_bytes), cut and not coding
        content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if text_only and 200 <= answer.status < 300 and content_type and not _TEXT_TYPE.fullmatch(content_type):
            raise RejectedError(
                f"{mask_url(url)}: is {_printable(content_type)[:80]}, not a text", reason="not_text", url=url
            )
        if not cut and answer.content_length is not None and answer.content_length > most_bytes:
            body.bytes_on_wire = most_bytes
            body.feed(b"+")
        async for chunk in answer.content.iter_any():
            if cut and body.bytes_on_wire + len(chunk) > most_bytes:
                body.feed(chunk[: most_bytes - body.bytes_on_wire])
                break
            body.feed(chunk)
        return body

    def _as_ingest_error(self, error: Exception, url: str) -> IngestError:
        """Return what `error` means for `url`; what is no network error is a defect and raised as it is."""
        cause = getattr(error, "os_error", None)
        kind: type[IngestError] = TransientError
        if isinstance(cause, ForbiddenAddressError):
            network = f"{cause.address}/{128 if ':' in cause.address else 32}"
            kind, reason = RejectedError, "forbidden_address"
            what = f"{cause.host} resolves to {cause.address}, which is not public; "
            what += f"allow it with --allow-host {cause.host}={network}"
        elif isinstance(cause, ProxyError):
            reason, what = cause.reason, str(cause)
        elif isinstance(error, aiohttp.ConnectionTimeoutError):
            reason, what = "timeout", f"no connection within {self._connect_timeout_seconds:g} seconds"
        elif isinstance(error, TimeoutError):
            reason, what = "timeout", f"not finished within {self._total_timeout_seconds:g} seconds"
        elif isinstance(error, aiohttp.ClientConnectorDNSError):
            reason, what = "dns_failed", "the name cannot be resolved"
        elif isinstance(cause, ssl.SSLEOFError):
            reason, what = "connection_reset", "closed during the TLS handshake"
        elif isinstance(error, aiohttp.ClientSSLError):
            kind, reason = RejectedError, "tls_failed"
            what = f"TLS failed: {getattr(error, 'certificate_error', None) or cause or error}"
        elif isinstance(error, aiohttp.ClientConnectorError):
            reason, what = "connect_failed", (cause.strerror if cause is not None else None) or "no connection"
        elif isinstance(error, aiohttp.InvalidURL):
            kind, reason, what = RejectedError, "bad_url", "is not an address that can be asked"
        elif isinstance(error, aiohttp.ClientResponseError):
            kind, reason, what = RejectedError, "bad_response", f"the answer is not HTTP: {error.message}"
        elif isinstance(error.__cause__, BadHttpMessage) and not isinstance(error.__cause__, PayloadEncodingError):
            # The same, said by the connection's end: which of the two comes first is chance. A body that is cut off is
            # a PayloadEncodingError, and may be whole the next time.
            kind, reason, what = RejectedError, "bad_response", f"the answer is not HTTP: {error.__cause__.message}"
        elif isinstance(error, _FloodError) or isinstance(error.__cause__, _FloodError):
            kind, reason, what = RejectedError, "too_large", "sends more than a body may have"
        elif isinstance(error, (aiohttp.ClientError, OSError)):
            reason, what = "connection_reset", f"the connection broke off ({error})"
        elif isinstance(error, UnicodeError):
            kind, reason, what = RejectedError, "bad_url", "has a host name that cannot be resolved"
        else:
            raise error
        return kind(f"{mask_url(url)}: {one_line(what)}", reason=reason, url=url)


async def _off_the_clock(deadline: asyncio.Timeout, waiting: Awaitable[None]) -> None:
    """Await `waiting` with the deadline suspended."""
    loop = asyncio.get_running_loop()
    left = (deadline.when() or loop.time()) - loop.time()
    deadline.reschedule(None)
    await waiting
    deadline.reschedule(loop.time() + left)


def _parse_url(url: str, *, told_by: Optional[str] = None) -> URL:
    """Return `url` without its fragment; `told_by` is who redirected to it, for the message."""
    about = told_by or url
    how = "redirects to an address that" if told_by else "the address"
    url = url.strip()
    if len(url) > MOST_URL_CHARS:
        raise _bad_url(about, f"{how} is longer than {MOST_URL_CHARS:,} characters")
    try:
        parsed = URL(_URL_CONTROL.sub(lambda c: f"%{ord(c.group()):02X}", url)).with_fragment(None)
        has_port = parsed.port is not None
    except ValueError:
        raise _bad_url(about, f"{how} cannot be read") from None
    if parsed.scheme not in ("http", "https") or not parsed.raw_host or not has_port:
        raise _bad_url(about, f"{how} is not http or https")
    return parsed


def _bad_url(url: str, what: str) -> RejectedError:
    return RejectedError(f"{mask_url(url)}: {what}", reason="bad_url", url=url)


def _keeps_origin(old: URL, new: URL) -> bool:
    """Same scheme, host and port; the step from http to https of one host counts, as in common clients."""
    if old.origin() == new.origin():
        return True
    upgrades = (old.scheme, old.port, new.scheme, new.port) == ("http", 80, "https", 443)
    return upgrades and old.raw_host == new.raw_host


def _printable(value: str) -> str:
    """Return `value` without what no row can hold: aiohttp turns undecodable bytes into lone surrogates."""
    return value.encode("utf-8", "replace").decode("utf-8")


def fetch_once(
    url: str,
    *,
    user_agent: str,
    allow_hosts: tuple[AllowedHost, ...] = (),
    proxy: Optional[Proxy] = None,
    headers: Optional[Mapping[str, str]] = None,
    total_timeout_seconds: float = 30.0,
    max_body_bytes: int = 15 * 1024 * 1024,
    text_only: bool = False,
) -> Response:
    """Return the answer of `url`, synchronously: for commands that need one page. Raises as `HttpClient.fetch`."""

    async def fetch() -> Response:
        async with HttpClient(
            user_agent=user_agent,
            allow_hosts=allow_hosts,
            proxy=proxy,
            total_timeout_seconds=total_timeout_seconds,
            max_body_bytes=max_body_bytes,
        ) as client:
            return await client.fetch(url, headers=headers, text_only=text_only)

    return asyncio.run(fetch())
