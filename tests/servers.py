"""A real HTTP/1.1 server on loopback whose every answer is scripted, for tests and demonstrations of bad behaviour.

    with ScriptedServer({"/feed": Reply(body=b"..."), "news.test/page": answer_of_a_function}) as server:
        client = HttpClient(user_agent="test", allow_hosts=[server.allow("news.test")])
        ... server.url("/page", host="news.test") ...
        assert [seen.path for seen in server.log] == ["/page"]

A route is a `Reply`, or a function from `Seen` (the request) to a `Reply`; it is found by ``host/path`` first, then by
``/path`` (the query is not part of it), else the answer is 404. Routes may be changed while the server runs. It runs
on one asyncio loop in a thread, so hundreds of connections cost little and a slow route holds nobody else.
"""

import asyncio
import email.utils
import gzip
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Self, Union
from urllib.parse import urlsplit

from transforms.address_rules import AllowedHost, parse_allow_host


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names in lower case, `at` by the monotonic clock, `connection` counts up."""

    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    at: float
    connection: int


@dataclass(frozen=True)
class Reply:
    """What is sent back.

    Content-Length is added unless `headers` has one (or Transfer-Encoding), or `until_close`. `delay_seconds` passes
    before the first byte; with `drip_seconds` the body goes out `drip_bytes` at a time with that pause between.
    `raw` is sent instead of everything else. `reset` closes the connection without an answer (or after the body).
    """

    status: int = 200
    body: Union[bytes, str] = b""
    content_type: Optional[str] = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    drip_bytes: int = 1
    until_close: bool = False
    raw: Optional[bytes] = None
    reset: bool = False


Route = Union[Reply, Callable[[Seen], Reply]]


def with_validators(body: Union[bytes, str], *, etag: str, content_type: str = "application/rss+xml") -> Route:
    """Return a route that answers 304 to a request whose If-None-Match is `etag`."""

    def answer(seen: Seen) -> Reply:
        if seen.headers.get("if-none-match") == etag:
            return Reply(status=304, headers={"ETag": etag}, content_type=None)
        return Reply(body=body, content_type=content_type, headers={"ETag": etag})

    return answer


def gzipped(reply: Reply) -> Reply:
    """Return `reply` with its body compressed."""
    body = reply.body.encode() if isinstance(reply.body, str) else reply.body
    return replace(reply, body=gzip.compress(body, 6), headers={**reply.headers, "Content-Encoding": "gzip"})


class ScriptedServer:
    """See the module's docstring. `log` lists every request in the order of arrival; `most_at_once` by host."""

    def __init__(
        self,
        routes: Optional[Mapping[str, Route]] = None,
        *,
        address: str = "127.0.0.1",
        tls: Optional[ssl.SSLContext] = None,
    ) -> None:
        self.routes: dict[str, Route] = dict(routes or {})
        self.log: list[Seen] = []
        self.most_at_once: dict[str, int] = {}
        self.address, self._tls = address, tls
        self.port = 0
        self._at_once: dict[str, int] = {}
        self._connections = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="scripted-server", daemon=True)
        self._stop: Optional[asyncio.Event] = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *exc_info: Any) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def url(self, path: str, *, host: Optional[str] = None) -> str:
        """Return the address of `path`; `host` is a name that the client pins to this server (see `allow`)."""
        return f"http://{host or self.address}:{self.port}{path}"

    def allow(self, host: Optional[str] = None) -> AllowedHost:
        """Return what lets a client reach this server under `host`, or under its bare address."""
        return parse_allow_host(f"{host}={self.address}/32" if host else self.address)

    def paths(self, host: Optional[str] = None) -> list[str]:
        """Return the paths that were asked for, in order; of one host, or of all."""
        return [seen.path for seen in list(self.log) if host is None or seen.host == host]

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._converse(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, self.address, 0, backlog=512, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = self._connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen = _request_of(head, connection)
                self.log.append(seen)
                if not await self._answer(seen, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        """Send the answer; False when the connection ends with it."""
        self._at_once[seen.host] = self._at_once.get(seen.host, 0) + 1
        self.most_at_once[seen.host] = max(self.most_at_once.get(seen.host, 0), self._at_once[seen.host])
        try:
            return await self._send(self._reply_to(seen), writer)
        finally:
            self._at_once[seen.host] -= 1

    def _reply_to(self, seen: Seen) -> Reply:
        route = self.routes.get(seen.host + seen.path) or self.routes.get(seen.path)
        if route is None:
            return Reply(status=404, body="not here")
        return route if isinstance(route, Reply) else route(seen)

    async def _send(self, reply: Reply, writer: asyncio.StreamWriter) -> bool:
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        if reply.raw is not None:
            writer.write(reply.raw)
            await writer.drain()
            return False
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        if reply.reset and not body:
            writer.transport.abort()
            return False
        names = {name.lower() for name in reply.headers}
        lines = [f"HTTP/1.1 {reply.status} Scripted", f"Date: {email.utils.formatdate(time.time(), usegmt=True)}"]
        if reply.content_type is not None and "content-type" not in names:
            lines.append(f"Content-Type: {reply.content_type}")
        if not reply.until_close and not names & {"content-length", "transfer-encoding"} and reply.status != 304:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))
        if reply.drip_seconds:
            for start in range(0, len(body), reply.drip_bytes):
                writer.write(body[start : start + reply.drip_bytes])
                await writer.drain()
                await asyncio.sleep(reply.drip_seconds)
        else:
            writer.write(body)
        await writer.drain()
        if reply.reset:
            writer.transport.abort()
        return not (reply.reset or reply.until_close)


def _request_of(head: bytes, connection: int) -> Seen:
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
    }
    parts = urlsplit(target)
    host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
    return Seen(method, host, parts.path, parts.query, headers, time.monotonic(), connection)
