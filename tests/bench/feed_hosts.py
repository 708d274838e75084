"""Hundreds of news hosts in a process of their own: feeds, pages and robots.txt, each host with its latency, all logged.

    with FeedHosts(hosts=400, latency=(0.05, 3.0), failing=0.05, feeds=[...]) as hosts:
        ... hosts.allow, hosts.url("host7.test", "/feed/3") ...
        hosts.log()

One listening socket serves all names. ``/feed/N`` is RSS with validators that answers 304; where `growing`, a feed has
a further entry at each request, whose page is at ``news.`` of its domain; else its entries carry their full text. The
share `failing` of the feeds answers 500, 404 or not at all. The process ends with this object, however that ends.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple, Optional

from tests.server_process import ServerProcess
from tests.servers import Reply, ScriptedServer, Seen

ROOT = Path(__file__).resolve().parents[2]
SENTENCES = (
    "The ferry to Orlo Island stayed in harbour while its engine was looked at.",
    "Nobody aboard had noticed anything but the silence, the harbour master said.",
    "The baker of the island had flour for three days and hoped for four.",
    "A second boat was asked for in Lintwick, which has two and lends one gladly.",
)


class Exchange(NamedTuple):
    """A request as its server saw it: times by the system's monotonic clock, bytes of the answer, headers included."""

    site: str
    path: str
    status: int
    began: float
    ended: float
    bytes: int


def latency_of(host: str, least: float, most: float) -> float:
    """Return what a host takes to answer, in seconds: as often between 50 and 100 ms as between 1.5 and 3 s."""
    return float(least * (most / least) ** random.Random(f"latency {host}").random())


def is_failing(host: str, path: str, share: float) -> bool:
    """Return whether the feed at `path` is one that fails."""
    return random.Random(f"failing {host} {path}").random() < share


class LoopLag:
    """Watches how late an event loop runs what is due: by so much, a few times over, what it sends or sees is late.

    May be made on any thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.worst_seconds = 0.0
        self._loop = loop
        loop.call_soon_threadsafe(self._beat, None)

    def _beat(self, due: Optional[float]) -> None:
        now = self._loop.time()
        self.worst_seconds = max(self.worst_seconds, now - (due if due is not None else now))
        self._loop.call_at(now + 0.05, self._beat, now + 0.05)


class _Counting:
    """A stream writer that counts."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.transport = writer.transport
        self.bytes = 0

    def write(self, data: bytes) -> None:
        self.bytes += len(data)
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()


class _Hosts(ScriptedServer):
    def __init__(self, *, latency: tuple[float, float], failing: float, growing: bool) -> None:
        super().__init__()
        self._latency, self._failing, self._growing = latency, failing, growing
        self._asked: dict[str, int] = {}
        self.exchanges: list[Exchange] = []
        self._feeds: dict[str, bytes] = {}
        self._lag = LoopLag(self._loop)

    async def _answer(self, seen: Seen, writer: Any) -> bool:
        if seen.path.startswith("/-/"):
            told = self.exchanges if seen.path == "/-/log" else self._lag.worst_seconds
            return await self._send(Reply(body=json.dumps(told)), writer)
        reply, counting = self._reply_to(seen), _Counting(writer)
        try:
            return await self._send(reply, counting)  # type: ignore[arg-type]
        finally:
            now = asyncio.get_running_loop().time()
            site = ".".join(seen.host.split(".")[-2:])
            self.exchanges.append(Exchange(site, seen.path, reply.status, seen.at, now, counting.bytes))

    def _reply_to(self, seen: Seen) -> Reply:
        delay = latency_of(seen.host, *self._latency)
        if seen.path == "/robots.txt":
            return Reply(body="User-agent: *\nAllow: /\n", content_type="text/plain", delay_seconds=delay)
        if not seen.path.startswith("/feed/"):
            return Reply(body=f"<title>A page</title><p>{' '.join(SENTENCES)}", delay_seconds=delay)
        if is_failing(seen.host, seen.path, self._failing):
            how = len(seen.path) % 3
            return Reply(
                status=(500, 404, 200)[how], body=b"" if how == 2 else b"no", reset=how == 2, delay_seconds=delay
            )
        where = seen.host + seen.path
        self._asked[where] = self._asked.get(where, 0) + 1
        etag = f'"{self._asked[where] if self._growing else 1}"'
        if seen.headers.get("if-none-match") == etag:
            return Reply(status=304, headers={"ETag": etag}, content_type=None, delay_seconds=delay)
        return Reply(
            body=self._feed(seen.host, where),
            headers={"ETag": etag, "Last-Modified": "Mon, 02 Feb 2026 02:40:00 GMT"},
            content_type="application/rss+xml",
            delay_seconds=delay,
        )

    def _feed(self, host: str, where: str) -> bytes:
        if self._growing:
            numbers = range(1, self._asked[where] + 2)
            page = f"http://news.{host.partition('.')[2]}:{self.port}/page/{where.rpartition('/')[2]}"
            items = [f"<item><title>No. {n}</title><link>{page}-{n}</link></item>" for n in numbers]
            return _rss(where, items)
        if where not in self._feeds:
            rng = random.Random(where)
            text = [" ".join(rng.choice(SENTENCES) for _ in range(24)) for _ in range(6)]
            items = [
                f"<item><title>{where} {n}</title><link>http://{host}/{n}</link><guid>{where} {n}</guid>"
                f"<content:encoded><![CDATA[<p>{text[n]}</p>]]></content:encoded></item>"
                for n in range(6)
            ]
            self._feeds[where] = _rss(where, items)
        return self._feeds[where]


def _rss(title: str, items: list[str]) -> bytes:
    head = '<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>'
    return f"{head}{title}</title>{''.join(items)}</channel></rss>".encode()


class FeedHosts(ServerProcess):
    """See the module's docstring.

    Args:
        latency: of a host, from and to, in seconds.
        failing: share of the feeds that fail.
        growing: whether feeds have a new entry each time they are asked.

    Attributes:
        port: of all hosts.
    """

    def __init__(self, *, latency: tuple[float, float], failing: float = 0.0, growing: bool = False) -> None:
        settings = {"latency": latency, "failing": failing, "growing": growing}
        super().__init__("tests.bench.feed_hosts", json.dumps(settings))

    def listens(self, said: str) -> None:
        """Take note of the port."""
        self.port = int(said)

    def url(self, host: str, path: str) -> str:
        """Return the address of `path` at a host of any name."""
        return f"http://{host}:{self.port}{path}"

    def log(self) -> list[Exchange]:
        """Return all exchanges so far, in the order in which they ended."""
        return [Exchange(*held) for held in self.ask("log")]

    def lag_seconds(self) -> float:
        """Return how late the server has been at most."""
        return float(self.ask("lag"))


def main() -> None:
    settings = json.loads(sys.argv[1])
    with _Hosts(**{**settings, "latency": tuple(settings["latency"])}) as hosts:
        print(hosts.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
