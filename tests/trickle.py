"""A news server whose items appear over time, and the truth that the lake is compared with afterwards.

    with Trickle(items=1000, seconds=60, seed="2026-05-04") as trickle:
        ... start a worker on trickle.feeds with --allow-host for each of trickle.allow_hosts ...
        trickle.start()
        trickle.wait_finished(90)
        ... wait until the worker is through ...
        assert compare(lake, trickle) == []
        print(percentile(freshness(lake, trickle), 0.99))

    python -m tests.trickle --port 8099 --items 1000 --seconds 60      # the same in a process of its own

`TrickleProcess` starts the latter and has the same attributes, so that no `kill` aimed at a worker takes it along.

Decisions:
    What is visible follows from the clock alone: an item whose moment has come is in its feed and at its address, and
    nothing has to run for that. Feed and page change in the same instant, so a page never says more than its feed.

    Everything but the dates follows from the seed and the port. Texts are made from sentences with many places to fill,
    so that no two articles resemble each other, and each is exactly what extraction finds on its page.

    Feeds have an ETag, and a Last-Modified once the second it names is over: within it a further item could appear
    that a 304 would then hide. So an entry is lost for ever only by a client that believes a validator too early.

Limits: HTTP/1.1 without TLS, compression and ranges; an entry stands in one feed only.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import random
import sys
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from html import escape
from pathlib import Path
from typing import Any, Optional, Union

from aiohttp import web

from tests.compare_lake import Truth
from tests.news_texts import Writer
from tests.poison_work import POISONS, poison_mark
from tests.server_process import ServerProcess
from transforms.article_url import article_id_of, article_url

ROOT = Path(__file__).resolve().parent.parent
Seed = Union[int, str]

GERMAN_SHARE = 0.3
BURST_SHARE = 0.3  # of the items; they appear together, as after a press conference
BURST_EVERY_SECONDS = 10.0
THIRD_SHARE = 0.25  # of the copies; they are the second copy of their article
MOST_SUMMARY_CHARS = 180  # below what newsbeam would take for an article's text where the page is missing

SLOW_HOST = "slowpage.example"
SILENT_HOST = "silent.example"
POINTING_HOST = "pointing.example"
POISON_HOST = "poison.example"
_SITES = ("alderton", "brackwater", "cindermoor", "dunholt", "elmsworth", "fennick", "gallowmere", "hexby", "ilverton")
_CONTROL_HOSTS = ("127.0.0.1", "localhost")

# ---- what appears, and when ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Version:
    """One state of an article: when it appears (seconds after the start), and what it then says."""

    offset: float
    title: str
    paragraphs: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.paragraphs)


@dataclass
class _Article:
    """An entry of one feed and the page it links. `kind`: news, copy, dead, flaky, slow, silent, poison."""

    number: int
    host: str
    path: str
    feed: int
    german: bool
    versions: list[_Version]
    kind: str = "news"
    poison: str = ""
    copies: list["_Article"] = field(default_factory=list)

    def version_at(self, elapsed: float) -> Optional[_Version]:
        """Return what the page says then; None before it appeared."""
        return next((v for v in reversed(self.versions) if v.offset <= elapsed), None)


@dataclass(frozen=True)
class _Feed:
    host: str
    path: str
    is_atom: bool
    title: str


class _Plan:
    """The articles of all feeds: all that follows from the seed."""

    def __init__(
        self,
        *,
        items: int,
        seconds: float,
        sites: int,
        feeds: int,
        seed: Seed,
        updated: float,
        copied: float,
        dead_links: int,
        flaky_pages: int,
        slow_page: bool,
        dead_host: bool,
        poison: Sequence[str],
    ) -> None:
        self._dice, self._seconds = random.Random(seed), seconds
        hosts = [f"{_SITES[n % len(_SITES)]}{n // len(_SITES) or ''}.example" for n in range(min(sites, feeds))]
        self.feeds = [
            _Feed(hosts[n % len(hosts)], f"/feeds/{n}.xml", n % 2 == 1, f"Desk {n} of {hosts[n % len(hosts)]}")
            for n in range(feeds)
        ]
        self.articles: list[_Article] = []
        self._ordinary = feeds
        self._write_items(items, updated, copied)
        plain = [a for a in self.articles if a.kind == "news" and len(a.versions) == 1 and not a.copies]
        for article in self._dice.sample(plain, min(flaky_pages, len(plain))):
            article.kind = "flaky"
        for _ in range(dead_links):
            self._new(self._dice.uniform(0, seconds), self._dice.randrange(feeds), kind="dead")
        if slow_page:
            self._new(0.1 * seconds, self._own_feed(SLOW_HOST), kind="slow")
        if dead_host:
            self._own_feed(SILENT_HOST)
            self._new(0.1 * seconds, self._own_feed(POINTING_HOST), kind="silent", host=SILENT_HOST)
        if poison:
            feed = self._own_feed(POISON_HOST)
            for n, kind in enumerate(poison):
                self._new((n + 1) / (len(poison) + 1) * 0.5 * seconds, feed, kind="poison").poison = kind

    def _own_feed(self, host: str) -> int:
        self.feeds.append(_Feed(host, "/feeds/own.xml", False, f"All of {host}"))
        return len(self.feeds) - 1

    def _write_items(self, items: int, updated: float, copied: float) -> None:
        updates, copies = round(items * updated), round(items * copied)
        kinds = ["update"] * updates + ["copy"] * copies + ["new"] * (items - updates - copies)
        self._dice.shuffle(kinds)
        plain: list[_Article] = []  # what may yet be updated or copied
        copied_once: list[_Article] = []
        late: list[str] = []
        for offset in self._moments(items):
            kind = late.pop() if late and plain else kinds.pop()
            if kind != "new" and not plain:
                # Nothing there yet to be updated or copied: it comes later, in the place of a new one.
                late.append(kind)
                kinds.remove("new")
                kind = "new"
            if kind == "new":
                plain.append(self._new(offset, self._dice.randrange(self._ordinary)))
                continue
            if kind == "copy" and copied_once and self._dice.random() < THIRD_SHARE:
                article = copied_once.pop()
                article.copies.append(self._copy(article, offset))
                continue
            place = self._dice.randrange(len(plain))
            plain[place], plain[-1] = plain[-1], plain[place]
            article = plain.pop()
            if kind == "update":
                article.versions.append(self._changed(article, offset))
            else:
                article.copies.append(self._copy(article, offset))
                copied_once.append(article)

    def _moments(self, items: int) -> list[float]:
        bursts = [self._dice.uniform(0, self._seconds) for _ in range(1 + int(self._seconds / BURST_EVERY_SECONDS))]
        draws = (
            self._dice.choice(bursts) if self._dice.random() < BURST_SHARE else self._dice.uniform(0, self._seconds)
            for _ in range(items)
        )
        return sorted(map(_exact, draws))

    def _new(self, offset: float, feed: int, *, kind: str = "news", host: Optional[str] = None) -> _Article:
        german = self._dice.random() < GERMAN_SHARE
        writer = Writer(self._dice, german)
        title = writer.title()
        paragraphs = tuple(writer.paragraph() for _ in range(self._dice.randint(3, 6)))
        return self._add(_Version(_exact(offset), title, paragraphs), feed, german, kind, host or self.feeds[feed].host)

    def _changed(self, article: _Article, offset: float) -> _Version:
        """Return the article with another headline, one paragraph rewritten and one more at the end."""
        writer = Writer(self._dice, article.german)
        paragraphs = list(article.versions[-1].paragraphs)
        paragraphs[self._dice.randrange(len(paragraphs))] = writer.paragraph()
        return _Version(offset, writer.title(), (*paragraphs, writer.paragraph()))

    def _copy(self, article: _Article, offset: float) -> _Article:
        others = [n for n in range(self._ordinary) if self.feeds[n].host != article.host]
        feed = self._dice.choice(others)
        first = article.versions[0]
        version = _Version(offset, first.title, first.paragraphs)
        return self._add(version, feed, article.german, "copy", self.feeds[feed].host)

    def _add(self, version: _Version, feed: int, german: bool, kind: str, host: str) -> _Article:
        number = len(self.articles)
        slug = "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in version.title.lower()).split())
        article = _Article(number, host, f"/news/{slug[:60].strip('-')}-{number}", feed, german, [version], kind)
        self.articles.append(article)
        return article


def _exact(offset: float) -> float:
    """Return `offset` cut to what can be added to a time of day without rounding, so that moments compare as meant."""
    return math.floor(offset * 1024) / 1024


@dataclass(frozen=True)
class Request:
    """A request: when it came (time of day), for what, and the status of its answer; 0 where none was sent."""

    at: float
    host: str
    path: str
    status: int


# ---- the server ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FeedBody:
    body: bytes
    etag: str
    changed_at: float


_Answer = tuple[int, bytes, Mapping[str, str]]


class Trickle:
    """The server; see the module's docstring. Listens from ``with`` on, with empty feeds; `start` lets items appear.

    Args:
        items: how many items appear, updates and copies included; dead links and special pages come on top.
        seconds: in which time they do.
        sites: hosts of the ordinary feeds, at most as many as there are feeds.
        feeds: ordinary feeds; each item appears in one of them.
        seed: decides texts, moments and places.
        clock: the time of day in seconds.
        port: on 127.0.0.1; 0 takes a free one.
        updated: share of the items that are updates of an article.
        copied: share of the items that are copies of an article on another site.
        dead_links: further entries whose page answers 404.
        flaky_pages: articles whose page answers 503 to the first request.
        page_bytes: about how large a page is; what is added is scripts and lists of links, as in the pages of today.
        listed: how many entries a feed lists, the newest; None for all.
        slow_page_seconds: with it there is a feed of its own with one page that takes so long.
        dead_host: adds a host that accepts connections and never answers: a feed there, and a page there that the
            feed of a living host links.
        poison: kinds of `tests.poison_work.POISONS`; a feed of its own has a page of each.

    Attributes:
        feeds: addresses of the feeds, the ordinary ones first.
        hosts: the names to pin to 127.0.0.1.
        allow_hosts: the same as values for ``--allow-host``.
        port: the port in use.
        started_at: time of day of the start; None before.
        begun: is set by the start.

    Raises:
        ValueError: the arguments contradict each other.
        OSError: the port is taken (from ``with``).
    """

    def __init__(
        self,
        items: int = 1000,
        seconds: float = 60.0,
        sites: int = 6,
        feeds: int = 12,
        *,
        seed: Seed = 0,
        clock: Callable[[], float] = time.time,
        port: int = 0,
        updated: float = 0.1,
        copied: float = 0.1,
        dead_links: int = 5,
        flaky_pages: int = 3,
        page_bytes: int = 0,
        listed: Optional[int] = None,
        slow_page_seconds: Optional[float] = None,
        dead_host: bool = False,
        poison: Sequence[str] = (),
    ) -> None:
        if min(items, sites, feeds) < 1 or seconds < 0 or updated < 0 or copied < 0:
            raise ValueError(f"out of range: {items=} {seconds=} {sites=} {feeds=} {updated=} {copied=}")
        if round(items * updated) + round(items * copied) > items // 2:
            raise ValueError(f"at most half of the items can be updates and copies, not {updated} + {copied}")
        if round(items * copied) and min(sites, feeds) < 2:
            raise ValueError("copies need two sites with a feed each")
        if unknown := set(poison) - set(POISONS):
            raise ValueError(f"no poison is called {sorted(unknown)[0]!r}; there are {', '.join(POISONS)}")
        self._plan = _Plan(
            items=items,
            seconds=seconds,
            sites=sites,
            feeds=feeds,
            seed=seed,
            updated=updated,
            copied=copied,
            dead_links=dead_links,
            flaky_pages=flaky_pages,
            slow_page=slow_page_seconds is not None,
            dead_host=dead_host,
            poison=poison,
        )
        self._ballast = _ballast(page_bytes)
        self.seconds, self.port = seconds, port
        self.started_at: Optional[float] = None
        self.begun = threading.Event()
        self._clock, self._listed, self._slow_seconds = clock, listed, slow_page_seconds or 0.0
        self._log: list[Request] = []
        self._asked: set[int] = set()
        self._pages = {(a.host, a.path): a for a in self._plan.articles}
        self._feeds = {(f.host, f.path): n for n, f in enumerate(self._plan.feeds)}
        self._events: list[list[tuple[float, _Article, _Version]]] = [[] for _ in self._plan.feeds]
        for article in self._plan.articles:
            self._events[article.feed] += [(version.offset, article, version) for version in article.versions]
        for events in self._events:
            events.sort(key=lambda event: (event[0], event[1].number))
        self._moments = [[offset for offset, _, _ in events] for events in self._events]
        self._bodies: dict[int, tuple[int, _FeedBody]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="trickle", daemon=True)
        self._runner: Optional[web.ServerRunner] = None

    # ---- for tests -----------------------------------------------------------------------------------------------

    def __enter__(self) -> "Trickle":
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def start(self) -> float:
        """Let the items begin to appear; return the time of day. A second call changes nothing."""
        if self.started_at is None:
            self.started_at = self._clock()
            self.begun.set()
        return self.started_at

    @property
    def feeds(self) -> Sequence[str]:
        return [self._url(feed.host, feed.path) for feed in self._plan.feeds]

    @property
    def hosts(self) -> Sequence[str]:
        return sorted({host for host, _ in [*self._feeds, *self._pages]})

    @property
    def allow_hosts(self) -> Sequence[str]:
        return [f"{host}=127.0.0.1/32" for host in self.hosts]

    @property
    def requests(self) -> Sequence[Request]:
        """All requests so far, in the order of arrival."""
        return list(self._log)

    @property
    def appeared_at(self) -> Mapping[str, Sequence[float]]:
        """By address the time of day at which each version appears (or will); empty before the start."""
        started = self.started_at
        if started is None:
            return {}
        return {self._url(a.host, a.path): [started + v.offset for v in a.versions] for a in self._plan.articles}

    @property
    def finished(self) -> bool:
        """Whether all items have appeared."""
        return self.started_at is not None and self._clock() >= self.started_at + self.seconds

    def wait_finished(self, deadline_seconds: float) -> None:
        """Return when all items have appeared; TimeoutError if they have not by then."""
        _wait(lambda: self.finished, deadline_seconds, "not all items have appeared")

    def expected(self) -> Truth:
        """Return what the lake must hold in the end."""
        plan = self._plan
        ids = {a.number: article_id_of(article_url(self._url(a.host, a.path), None)) for a in plan.articles}
        real = [a for a in plan.articles if a.kind in ("news", "copy", "flaky", "slow")]
        of_kind: dict[str, list[_Article]] = defaultdict(list)
        for article in plan.articles:
            of_kind[article.kind].append(article)
        return Truth(
            articles={ids[a.number]: [v.text for v in a.versions] for a in real},
            appeared={ids[a.number]: [v.offset for v in a.versions] for a in real},
            urls={ids[a.number]: self._url(a.host, a.path) for a in real},
            copy_groups=[[ids[m.number] for m in (a, *a.copies)] for a in real if a.copies],
            dead=[self._url(a.host, a.path) for a in of_kind["dead"]],
            flaky=[ids[a.number] for a in of_kind["flaky"]],
            slow=[ids[a.number] for a in of_kind["slow"]],
            silent=[self._url(a.host, a.path) for a in of_kind["silent"]],
            poison={self._url(a.host, a.path): POISONS[a.poison] for a in of_kind["poison"]},
            started_at=self.started_at,
        )

    # ---- serving -------------------------------------------------------------------------------------------------

    def _url(self, host: str, path: str) -> str:
        return f"http://{host}:{self.port}{path}"

    async def _open(self) -> None:
        server = web.Server(self._answer, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=512)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def _close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        host, path = request.host.partition(":")[0], request.path
        at = self._clock()
        if host in _CONTROL_HOSTS and path.startswith("/-/"):
            return web.Response(text=self._control(path[3:]), content_type="application/json")
        if host == SILENT_HOST:
            self._log.append(Request(at, host, path, 0))
            await asyncio.Event().wait()
        if host == SLOW_HOST and (host, path) in self._pages:
            await asyncio.sleep(self._slow_seconds)
        status, body, headers = self._look_up(host, path, request.headers, self._clock())
        self._log.append(Request(at, host, path, status))
        return web.Response(status=status, body=body, headers=headers)

    def _control(self, what: str) -> str:
        if what == "start":
            return json.dumps(self.start())
        if what == "requests":
            return json.dumps([asdict(request) for request in self._log])
        return self.expected().to_json()

    def _look_up(self, host: str, path: str, asked: Mapping[str, str], now: float) -> _Answer:
        elapsed = now - self.started_at if self.started_at is not None else -1.0
        feed = self._feeds.get((host, path))
        if feed is not None:
            return self._feed_answer(feed, asked, elapsed, now)
        article = self._pages.get((host, path))
        version = article.version_at(elapsed) if article is not None else None
        html = {"Content-Type": "text/html; charset=utf-8"}
        if article is None or version is None or article.kind == "dead":
            return 404, b"<!DOCTYPE html><title>404</title><h1>Nothing here</h1>", html
        if article.kind == "flaky" and article.number not in self._asked:
            self._asked.add(article.number)
            return 503, b"<!DOCTYPE html><title>503</title><h1>Try again</h1>", html
        return 200, self._page(article, version), html

    def _feed_answer(self, feed: int, asked: Mapping[str, str], elapsed: float, now: float) -> _Answer:
        held = self._feed_body(feed, bisect_right(self._moments[feed], elapsed))
        headers = {"ETag": held.etag}
        last_modified = math.floor(held.changed_at)
        if math.floor(now) > last_modified:  # else more may appear in the second that it names
            headers["Last-Modified"] = formatdate(last_modified, usegmt=True)
        if _is_unchanged(asked, held.etag, last_modified):
            return 304, b"", headers
        kind = "atom" if self._plan.feeds[feed].is_atom else "rss"
        return 200, held.body, {**headers, "Content-Type": f"application/{kind}+xml; charset=utf-8"}

    def _feed_body(self, feed: int, visible: int) -> _FeedBody:
        """Return the feed with its first `visible` events; rendered once for each of them."""
        known = self._bodies.get(feed)
        if known is not None and known[0] == visible:
            return known[1]
        listed: dict[int, tuple[_Article, _Version]] = {}
        for _, article, version in self._events[feed][:visible]:
            listed.pop(article.number, None)
            listed[article.number] = (article, version)
        newest = list(reversed(listed.values()))[: self._listed]
        started = self.started_at or 0.0
        changed_at = started + self._moments[feed][visible - 1] if visible else started
        render = _render_atom if self._plan.feeds[feed].is_atom else _render_rss
        body = render(self._plan.feeds[feed], [self._entry(a, v) for a, v in newest], changed_at).encode()
        made = _FeedBody(body, f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"', changed_at)
        self._bodies[feed] = (visible, made)
        return made

    def _entry(self, article: _Article, version: _Version) -> "_Entry":
        started = self.started_at or 0.0
        summary = version.paragraphs[0]
        if len(summary) > MOST_SUMMARY_CHARS:
            summary = summary[:MOST_SUMMARY_CHARS].rpartition(" ")[0] + " …"
        return _Entry(
            guid=f"tag:{article.host},2026:{article.number}",
            url=self._url(article.host, article.path),
            title=version.title,
            summary=summary,
            published=started + article.versions[0].offset,
            updated=started + version.offset,
        )

    def _page(self, article: _Article, version: _Version) -> bytes:
        page = _render_page(article, version, self._url(article.host, article.path), self.started_at or 0.0)
        return page.replace(b"</body>", self._ballast + b"</body>") if self._ballast else page


def _is_unchanged(asked: Mapping[str, str], etag: str, last_modified: int) -> bool:
    """Return whether a 304 is due; If-None-Match goes before the date. Source: RFC 9110, 13.2.2."""
    known = asked.get("If-None-Match")
    if known is not None:
        return known.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}
    try:
        since = parsedate_to_datetime(asked.get("If-Modified-Since", ""))
    except (TypeError, ValueError):
        return False
    return last_modified <= since.timestamp()


# ---- rendering ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    guid: str
    url: str
    title: str
    summary: str
    published: float
    updated: float


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _render_rss(feed: _Feed, entries: Iterable[_Entry], changed_at: float) -> str:
    items = "".join(
        f'<item><guid isPermaLink="false">{escape(e.guid)}</guid><title>{escape(e.title)}</title>'
        f"<link>{escape(e.url)}</link><description>{escape(e.summary)}</description>"
        f"<pubDate>{formatdate(e.published, usegmt=True)}</pubDate>"
        f"<dcterms:modified>{_iso(e.updated)}</dcterms:modified></item>\n"
        for e in entries
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0" xmlns:dcterms="http://purl.org/dc/terms/"><channel>'
        f"<title>{escape(feed.title)}</title><link>http://{feed.host}/</link><description>News</description>"
        f"<lastBuildDate>{formatdate(changed_at, usegmt=True)}</lastBuildDate>\n{items}</channel></rss>\n"
    )


def _render_atom(feed: _Feed, entries: Iterable[_Entry], changed_at: float) -> str:
    items = "".join(
        f'<entry><id>{escape(e.guid)}</id><title>{escape(e.title)}</title><link href="{escape(e.url)}"/>'
        f"<published>{_iso(e.published)}</published><updated>{_iso(e.updated)}</updated>"
        f"<summary>{escape(e.summary)}</summary></entry>\n"
        for e in entries
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">'
        f"<id>tag:{feed.host},2026:{feed.path}</id><title>{escape(feed.title)}</title>"
        f"<updated>{_iso(changed_at)}</updated>\n{items}</feed>\n"
    )


# Four ways to build a page: what stands around the story, and how a paragraph is written.
_WRAPPERS = (
    (
        '<header><a href="/">{site}</a><nav><ul><li><a href="/home">Home</a></li><li><a href="/world">World</a></li>'
        '</ul></nav></header><main><article><h1>{title}</h1><time datetime="{iso}"></time>{body}</article></main>'
        '<aside><ul><li><a href="/a-1">Harbour</a></li><li><a href="/a-2">Schools</a></li></ul></aside>'
        "<footer><p>{site}</p></footer>",
        "<p>{}</p>",
    ),
    (
        '<div id="top"><div class="menu"><a href="/">Start</a> <a href="/sport">Sport</a></div></div>'
        '<div class="content"><h1 class="headline">{title}</h1><div class="article-body">{body}</div></div>'
        '<div class="footer"><a href="/imprint">Imprint</a> <a href="/privacy">Privacy</a></div>',
        '<p class="text">{}</p>',
    ),
    (
        '<nav><a href="/">{site}</a></nav><section class="story"><h2>{title}</h2><div itemprop="articleBody">{body}'
        '</div></section><nav class="more"><a href="/n-1">Ferries</a><a href="/n-2">Council</a></nav>',
        "<div><p>{}</p></div>",
    ),
    (
        '<table><tr><td><a href="/">{site}</a></td><td><a href="/archive">Archive</a></td></tr></table>'
        '<main role="main"><h1>{title}</h1><article class="post"><div class="entry-content">{body}</div></article></main>',
        "<p>{}</p>\n",
    ),
)


def _ballast(size: int) -> bytes:
    """Return about `size` bytes of what surrounds a story: a third script, the rest a footer's links to other pages.

    In the open pages the median page has 254 kB, 2,000 tags and 170 links, and 74 kB of scripts and styles.
    """
    scripts = "".join(
        f"<script>(function(q){{q.push({{slot:'s{n}',sizes:[[300,250],[728,90]],page:'story'}})}})(window.q||[]);</script>"
        for n in range(size // 330)
    )
    links = "".join(
        f'<li class="footer__item footer__item--compact u-mt-{n % 9} js-track" data-track-position="{n}" data-module="list">'
        f'<div class="footer__cell"><a class="footer__link link link--plain" href="/section-{n % 7}/page-{n}" rel="noopener" '
        f'data-track-label="footer"><span class="link__text">Page {n}</span></a></div></li>'
        for n in range(size * 2 // 3 // 340)
    )
    return f"{scripts}<footer><ul>{links}</ul></footer>".encode() if size else b""


def _render_page(article: _Article, version: _Version, url: str, started: float) -> bytes:
    around, paragraph = _WRAPPERS[sum(article.host.encode()) % len(_WRAPPERS)]
    body = "".join(paragraph.format(escape(line, quote=False)) for line in version.paragraphs)
    title, iso = escape(version.title), _iso(started + article.versions[0].offset)
    page = around.format(site=article.host, title=title, iso=iso, body=body)
    mark = poison_mark(article.poison) if article.poison else ""
    return (
        f'<!DOCTYPE html><html lang="{"de" if article.german else "en"}"><head><meta charset="utf-8">'
        f'<title>{title}</title><link rel="canonical" href="{url}"><meta property="og:title" content="{title}">'
        f'<meta property="article:published_time" content="{iso}">'
        f'<meta property="article:modified_time" content="{_iso(started + version.offset)}">{mark}</head>'
        f"<body>{page}</body></html>"
    ).encode()


# ---- in a process of its own --------------------------------------------------------------------------------------


class TrickleProcess(ServerProcess):
    """A `Trickle` in a process of its own; it ends with this object, and with this process, however that ends.

    Args:
        **settings: as for `Trickle`, but for the clock.

    Attributes:
        pid: of the process.
        feeds, hosts, allow_hosts, port, seconds, started_at: as those of `Trickle`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__("tests.trickle", "--until-eof", "--settings", json.dumps(settings))
        self.started_at: Optional[float] = None

    def listens(self, said: str) -> None:
        """Take note of the feeds and where they are."""
        told = json.loads(said)
        self.feeds: Sequence[str] = told["feeds"]
        self.hosts: Sequence[str] = told["hosts"]
        self.allow_hosts: Sequence[str] = told["allow_hosts"]
        self.port, self.seconds = int(told["port"]), float(told["seconds"])

    def start(self) -> float:
        """As `Trickle.start`."""
        started = float(self.ask("start"))
        self.started_at = started
        return started

    @property
    def requests(self) -> Sequence[Request]:
        """As `Trickle.requests`."""
        return [Request(**request) for request in self.ask("requests")]

    @property
    def appeared_at(self) -> Mapping[str, Sequence[float]]:
        """As `Trickle.appeared_at`, but for articles only."""
        truth = self.expected()
        if truth.started_at is None:
            return {}
        return {truth.urls[i]: [truth.started_at + offset for offset in held] for i, held in truth.appeared.items()}

    @property
    def finished(self) -> bool:
        """Whether all items have appeared."""
        return self.started_at is not None and time.time() >= self.started_at + self.seconds

    def wait_finished(self, deadline_seconds: float) -> None:
        """Return when all items have appeared; TimeoutError if they have not by then."""
        _wait(lambda: self.finished, deadline_seconds, "not all items have appeared")

    def expected(self) -> Truth:
        """As `Trickle.expected`."""
        return Truth(**self.ask("truth"))


def _wait(condition: Callable[[], bool], deadline_seconds: float, complaint: str) -> None:
    end = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{complaint} within {deadline_seconds:g} s")
        time.sleep(0.02)


def main(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C, or until the standard input ends; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.trickle", description="News that appear over time.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--sites", type=int, default=6)
    parser.add_argument("--feeds", type=int, default=12)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--slow-page-seconds", type=float)
    parser.add_argument("--dead-host", action="store_true")
    parser.add_argument("--poison", default="", help=f"kinds, separated by commas: {','.join(POISONS)}")
    parser.add_argument("--truth", type=Path, help="write the truth to this file when the items begin to appear")
    parser.add_argument("--wait", action="store_true", help="start at GET /-/start, not at once")
    parser.add_argument("--settings", type=json.loads, help="all arguments of Trickle as JSON; implies --wait")
    parser.add_argument("--until-eof", action="store_true", help="end when the standard input does")
    given = parser.parse_args(arguments)
    settings = given.settings
    if settings is None:
        names = ("port", "items", "seconds", "sites", "feeds", "seed", "slow_page_seconds", "dead_host")
        settings = {name: getattr(given, name) for name in names}
        settings["poison"] = [kind for kind in given.poison.split(",") if kind]
    with Trickle(**settings) as trickle, contextlib.suppress(KeyboardInterrupt):
        if given.settings is None and not given.wait:
            trickle.start()
        told = {name: getattr(trickle, name) for name in ("port", "seconds", "feeds", "hosts", "allow_hosts")}
        told.update(started_at=trickle.started_at, truth=str(given.truth) if given.truth else None)
        if given.truth and trickle.started_at is not None:
            _write_truth(trickle, given.truth)
        elif given.truth:
            threading.Thread(target=_write_truth, args=(trickle, given.truth), daemon=True).start()
        print(json.dumps(told), flush=True)
        if given.until_eof:
            sys.stdin.read()
        else:
            threading.Event().wait()
    return 0


def _write_truth(trickle: Trickle, file: Path) -> None:
    trickle.begun.wait()
    unfinished = file.with_name(f"{file.name}.part")
    unfinished.write_text(trickle.expected().to_json(), "utf-8")
    unfinished.replace(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
