"""Tunnels through the operator's own proxy: beside http.py the only file that opens outgoing sockets.

Decisions:
    A proxy that the operator names is told the address that was checked, never a name, and is only asked for tunnels
    (CONNECT), for http as well: a request by absolute address would have to carry the name in its Host, which a proxy
    must replace by what stands in the address (RFC 9112, 3.2.2), so that the wrong site of a shared server would
    answer. Within the tunnel everything is as without one: name, TLS, cookies, pool. It is opened where aiohttp
    connects, by a method that is not public (aiohttp-socks overrides it too); if it were no longer called, no socket
    could be made.

    The proxy's own address is not checked, since the operator named it; what it is asked to connect to is.

Limits: a proxy must allow CONNECT to the ports of the feeds, 80 among them, and may itself speak plain HTTP only.
"""

import asyncio
import base64
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp

from transforms.errors import UsageError

MOST_ANSWER_BYTES = 32_768  # of a proxy, to CONNECT

_PROXY_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")


@dataclass(frozen=True)
class Proxy:
    """The operator's own proxy: exempt from the rules, and trusted to connect to the address it is given."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)  # user:password


def parse_proxy(text: str, *, credentials: str = "") -> Proxy:
    """Return the proxy at ``http://[USER:PASSWORD@]HOST:PORT``; `credentials` count when the address has none.

    Raises:
        UsageError: it is something else; the message does not repeat it, since it may hold a password.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host = None
    if not host or parts.scheme != "http" or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError("--proxy: write http://HOST:PORT (plain HTTP; https and SOCKS proxies are not supported)")
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(host, port, credentials)


class ProxyError(OSError):
    """The proxy gave no tunnel; `reason` says whether it is the proxy's doing or that of where it was to lead."""

    def __init__(self, message: str, reason: str = "proxy_failed") -> None:
        super().__init__(message)
        self.reason = reason


class TunnelConnector(aiohttp.TCPConnector):
    """Reaches every server through `proxy`, at the addresses that `check` lets pass."""

    def __init__(self, proxy: Proxy, check: Callable[[tuple[Any, ...]], None], **options: Any) -> None:
        super().__init__(socket_factory=_refuse_socket, **options)
        self._proxy, self._check = proxy, check

    async def _wrap_create_connection(
        self, *args: Any, addr_infos: list[Any], req: Any, timeout: Any, client_error: Any = None, **kwargs: Any
    ) -> Any:
        kind = client_error or aiohttp.ClientConnectorError
        # IPv4 first: whether the proxy has IPv6 is not known here. aiohttp comes back without those that failed.
        chosen = next((info for info in addr_infos if info[0] == socket.AF_INET), addr_infos[0])
        try:
            self._check(chosen)
            async with asyncio.timeout(timeout.sock_connect):
                tunnel = await _open_tunnel(self._proxy, *chosen[4][:2])
        except TimeoutError as error:
            raise kind(req.connection_key, ProxyError(f"{_named(self._proxy)} does not answer")) from error
        except OSError as error:
            raise kind(req.connection_key, error) from error
        return await self._wrap_existing_connection(
            *args, req=req, timeout=timeout, client_error=kind, sock=tunnel, **kwargs
        )


def _refuse_socket(address_info: tuple[Any, ...]) -> socket.socket:
    raise ProxyError("no way but through the proxy is allowed")


async def _open_tunnel(proxy: Proxy, address: str, port: int) -> socket.socket:
    """Return a socket that leads through `proxy` to `address`; raises ProxyError."""
    try:
        tunnel = await _connect(proxy.host, proxy.port)
        try:
            await _ask_for_tunnel(tunnel, proxy, f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
        except BaseException:
            tunnel.close()
            raise
    except ProxyError:
        raise
    except (OSError, UnicodeError) as error:
        raise ProxyError(f"{_named(proxy)} cannot be reached ({getattr(error, 'strerror', '') or error})") from error
    return tunnel


async def _connect(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    failed = OSError("no address")
    for family, kind, protocol, _, where in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        peer = socket.socket(family, kind, protocol)
        peer.setblocking(False)
        try:
            await loop.sock_connect(peer, where)
        except OSError as error:
            peer.close()
            failed = error
        except BaseException:
            peer.close()
            raise
        else:
            return peer
    raise failed


async def _ask_for_tunnel(tunnel: socket.socket, proxy: Proxy, target: str) -> None:
    loop = asyncio.get_running_loop()
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.credentials:
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(proxy.credentials.encode()).decode("ascii"))
    await loop.sock_sendall(tunnel, ("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    said = b""
    while b"\r\n\r\n" not in said:
        more = await loop.sock_recv(tunnel, 4_096)
        said += more
        if not more or len(said) > MOST_ANSWER_BYTES:
            raise ProxyError(f"{_named(proxy)} does not answer as a proxy")
    match = _PROXY_STATUS.match(said)
    status = int(match[1]) if match is not None else 0
    if 200 <= status < 300:
        if not said.endswith(b"\r\n\r\n"):  # the server speaks second, so this could only be the proxy's own
            raise ProxyError(f"{_named(proxy)} says more than it was asked")
        return
    if not status:
        raise ProxyError(f"{_named(proxy)} does not answer as a proxy")
    if status == 407:
        raise ProxyError(f"{_named(proxy)} wants credentials: NEWSBEAM_PROXY_AUTH=USER:PASSWORD, or in its address")
    hint = "; it must allow CONNECT to this port" if status < 500 else ""
    raise ProxyError(
        f"{_named(proxy)} answered {status} to CONNECT {target}{hint}",
        reason="proxy_failed" if status < 500 else "connect_failed",
    )


def _named(proxy: Proxy) -> str:
    return f"the proxy {proxy.host}:{proxy.port}"
