"""The sample newsroom's server: real HTTP on loopback, six sites by their Host header, every request logged.

`newsbeam demo` and the end-to-end tests poll it as they would poll the world: feeds with validators, pages with cruft,
pages that are gone, a feed that is broken and one that answers 500. Everything is rendered when the newsroom opens, so
that a request costs a dictionary look-up, and each run is the same but for the dates, which count back from the start.

Decisions: a real server and not a fake fetcher, because connections, headers, bytes and timing are what polling gets
wrong. The names end in .example (RFC 2606) and exist nowhere: clients must pin them to 127.0.0.1, which also proves
that nothing leaves the machine. The standard library's server suffices; responses leave in one write, since Nagle's
algorithm and delayed acknowledgements would otherwise cost 40 ms each.

Limits: HTTP/1.1 GET and HEAD, no TLS, no compression, no ranges.

Example::

    with Newsroom() as room:
        print(room.feeds[0].url, room.port)
        room.advance()          # half of the feeds now answer 304 to their validators, the others come with new bytes
"""

import contextlib
import hashlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Optional
from urllib.parse import urlsplit

from pipelines.demo.content import Story, load_stories
from pipelines.demo.feeds import CONTENT_TYPES, FeedItem, render_feed
from pipelines.demo.sites import SITES, FeedPlan, SampleArticle, Site
from pipelines.demo.wrappers import choose_cruft, long_date, render_gallery, render_home, render_page

_LOGGED_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "If-None-Match", "If-Modified-Since", "Connection")


@dataclass(frozen=True)
class SampleFeed:
    """A feed as a user would list it. `kind` is ok, broken or error; `entries` counts what an ok feed lists.

    `changes` says that it answers 200 with new validators in the second round, where the others answer 304.
    """

    url: str
    title: str
    language: str
    kind: str
    format: str
    entries: int
    changes: bool


@dataclass(frozen=True)
class DeadLink:
    """An entry of a feed that leads to no article: `kind` is missing (404) or no_article (a page without a text)."""

    url: str
    title: str
    feed: str
    kind: str


@dataclass(frozen=True)
class LoggedRequest:
    """One answered request. `at_seconds` is monotonic; `headers` are those that polling is judged by."""

    method: str
    host: str
    path: str
    status: int
    bytes_sent: int
    round: int
    at_seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Resource:
    body: bytes
    content_type: str
    status: int = 200
    etag: Optional[str] = None
    last_modified: Optional[datetime] = None


_NOT_FOUND = _Resource(
    b"<!DOCTYPE html><html><head><title>404</title></head><body><h1>Not found</h1></body></html>", "text/html", 404
)
_SERVER_ERROR = _Resource(
    b"<html><body><h1>500 Internal Server Error</h1><p>feed renderer: no backend</p></body></html>", "text/html", 500
)


class Newsroom:
    """The running newsroom. A context manager; `port` 0 takes a free one.

    Args:
        port: TCP port on 127.0.0.1.
        clock: returns now, aware; publication dates count back from its value at construction (to the minute).

    Attributes:
        articles: what a perfect pipeline would write, newest first within each site.
        feeds: the feeds to poll, good and bad.
        dead_links: entries that lead to no article.
        hosts: the names to pin to 127.0.0.1.
        port: the port in use.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int = 0, *, clock: Optional[Callable[[], datetime]] = None) -> None:
        now = clock() if clock else datetime.now(UTC)
        self.started_at = now.astimezone(UTC).replace(second=0, microsecond=0)
        self._lock = threading.Lock()
        self._log: list[LoggedRequest] = []
        self._round = 1
        self._server = _Server(("127.0.0.1", port), self)
        self.port = int(self._server.server_address[1])
        self.hosts = tuple(site.host for site in SITES)
        self._resources: dict[tuple[str, str], _Resource] = {}
        self._changing: dict[tuple[str, str], Callable[[int], _Resource]] = {}
        articles: list[SampleArticle] = []
        feeds: list[SampleFeed] = []
        dead_links: list[DeadLink] = []
        for site in SITES:
            self._open_site(site, articles, feeds, dead_links)
        self.articles = tuple(articles)
        self.feeds = tuple(feeds)
        self.dead_links = tuple(dead_links)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="newsroom", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Newsroom":
        return self

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and end every connection. Twice does no harm."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.drop_connections()

    def base_url(self, host: str) -> str:
        """Return the scheme, name and port under which a site is served, without a trailing slash."""
        if host not in self.hosts:
            raise ValueError(f"{host!r} is no site of the newsroom; one of {', '.join(self.hosts)}")
        return f"http://{host}:{self.port}"

    def advance(self) -> None:
        """Begin the next round: feeds that change get new bytes and validators; the entries stay."""
        with self._lock:
            self._round += 1
            for key, render in self._changing.items():
                self._resources[key] = render(self._round)

    @property
    def round(self) -> int:
        """Return the number of the round under way, from 1."""
        with self._lock:
            return self._round

    @property
    def log(self) -> tuple[LoggedRequest, ...]:
        """Return the requests answered so far, in the order of their answers."""
        with self._lock:
            return tuple(self._log)

    def body_of(self, url: str) -> bytes:
        """Return the bytes served at an address in this round. Raises KeyError where nothing is."""
        parts = urlsplit(url)
        with self._lock:
            return self._resources[(parts.hostname or "", parts.path)].body

    def _resource(self, host: str, path: str) -> _Resource:
        name = host.rpartition(":")[0] or host
        with self._lock:
            return self._resources.get((name.lower(), urlsplit(path).path), _NOT_FOUND)

    def _record(self, request: LoggedRequest) -> None:
        with self._lock:
            self._log.append(request)

    def _open_site(
        self, site: Site, articles: list[SampleArticle], feeds: list[SampleFeed], dead_links: list[DeadLink]
    ) -> None:
        base = self.base_url(site.host)
        html = f"text/html; charset={site.charset}"
        stories = load_stories(site.key)
        plain = [self._article(site, story, number, base) for number, story in _numbered(site, stories)]
        items: dict[str, list[FeedItem]] = {f"{base}{plan.path}": [] for plan in site.feeds}
        written = []
        for position, article in enumerate(plain):
            others = [*plain[position + 1 :], *plain[:position]]
            cruft = choose_cruft(site, article, position, others)
            done = replace(article, cruft=cruft)
            written.append(done)
            if done.origin == "page":
                page = render_page(site, done, others, base=base)
                self._resources[(site.host, urlsplit(done.url).path)] = _page(page, html, done.published_at)
            for feed in done.feeds:
                number = site.first_number + len(plain) - position
                items[feed].append(FeedItem(number, done.url, done.title, done.published_at, done))
        for number, extra in enumerate(site.extras):
            feed = f"{base}{_plan(site, extra.feed).path}"
            url = f"{base}{extra.path}"
            when = self.started_at - timedelta(hours=extra.age_hours)
            items[feed].append(FeedItem(site.first_number - 1 - number, url, extra.title, when))
            dead_links.append(DeadLink(url=url, title=extra.title, feed=feed, kind=extra.kind))
            if extra.kind == "no_article":
                gallery = render_gallery(site, extra.title, plain, base=base)
                self._resources[(site.host, extra.path)] = _page(gallery, html, when)
        for plan in site.feeds:
            listed = sorted(items[f"{base}{plan.path}"], key=lambda i: i.published_at, reverse=True)
            feeds.append(self._open_feed(site, plan, listed, base))
        articles += written
        self._resources[(site.host, "/")] = _page(render_home(site, written, base=base), html, self.started_at)
        if site.robots is not None:
            robots = site.robots.format(base=base).encode()
            self._resources[(site.host, "/robots.txt")] = _Resource(robots, "text/plain; charset=utf-8")

    def _article(self, site: Site, story: Story, number: int, base: str) -> SampleArticle:
        when = (self.started_at - timedelta(hours=story.age_hours)).replace(second=0)
        names = story.feeds or (site.feeds[0].name,)
        plans = [_plan(site, name) for name in names]
        in_feed_only = any(plan.format == "fulltext" for plan in plans)
        path = "/briefs/{slug}/" if in_feed_only else site.path
        local = when.astimezone(site.zone)
        url = base + path.format(section=_slug(story.section), slug=story.slug, number=number, date=local)
        day = long_date(local, site.language).rpartition(f" {local.year}")[0].rstrip(",")
        return SampleArticle(
            site=site.host,
            url=url,
            language=site.language,
            title=story.title,
            paragraphs=story.paragraphs,
            section=story.section,
            author=story.author,
            published_at=when,
            feeds=tuple(f"{base}{plan.path}" for plan in plans),
            origin="feed" if in_feed_only else "page",
            subheadings=story.subheadings,
            tags=story.tags,
            event=story.event,
            copies=story.copies,
            copy_kind=story.copy_kind,
            opener=story.opener.format(date=day),
            credit=story.credit,
            special=story.special,
        )

    def _open_feed(self, site: Site, plan: FeedPlan, items: list[FeedItem], base: str) -> SampleFeed:
        content_type = CONTENT_TYPES[plan.format].format(charset=site.charset)
        newest = max((item.published_at for item in items), default=self.started_at)

        def render(round_number: int) -> _Resource:
            stamp = newest + timedelta(minutes=round_number - 1)
            body = render_feed(plan, site, items, base=base, stamp=stamp)
            etag = _etag(body, weak=plan.format == "atom") if "etag" in plan.validators else None
            modified = stamp if "last_modified" in plan.validators else None
            return _Resource(body, content_type, etag=etag, last_modified=modified)

        key = (site.host, plan.path)
        self._resources[key] = _SERVER_ERROR if plan.kind == "error" else render(1)
        if plan.changes:
            self._changing[key] = render
        return SampleFeed(
            url=f"{base}{plan.path}",
            title=plan.title,
            language=site.language,
            kind=plan.kind,
            format=plan.format,
            entries=len(items),
            changes=plan.changes,
        )


def _numbered(site: Site, stories: tuple[Story, ...]) -> list[tuple[int, Story]]:
    return [(site.first_number + len(stories) - position, story) for position, story in enumerate(stories)]


def _plan(site: Site, name: str) -> FeedPlan:
    for plan in site.feeds:
        if plan.name == name:
            return plan
    raise ValueError(f"{site.key} has no feed {name!r}; one of {[plan.name for plan in site.feeds]}")


def _slug(section: str) -> str:
    return section.lower().replace(" ", "-").replace("ä", "ae").replace("ö", "oe").replace("ü", "ue")


def _etag(body: bytes, *, weak: bool = False) -> str:
    tag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
    return f"W/{tag}" if weak else tag


def _page(body: bytes, content_type: str, modified: datetime) -> _Resource:
    return _Resource(body, content_type, etag=_etag(body), last_modified=modified)


def _is_unchanged(resource: _Resource, if_none_match: Optional[str], if_modified_since: Optional[str]) -> bool:
    """Return whether a 304 is due: weak comparison, the ETag first. Source: RFC 9110, sections 13.1.2-3 and 13.2.2."""
    if resource.status != 200:
        return False
    if if_none_match is not None:
        known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        return resource.etag is not None and ("*" in known or resource.etag.removeprefix("W/") in known)
    if if_modified_since is not None and resource.last_modified is not None:
        try:
            return resource.last_modified <= parsedate_to_datetime(if_modified_since)
        except (TypeError, ValueError):
            return False
    return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], room: Newsroom) -> None:
        self.room = room
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer.server_bind asks the resolver for its own name, which takes seconds on a machine without a network.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "newsroom", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away (or is killed by a test) is no event for the server.
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def drop_connections(self) -> None:
        with self._open_lock:
            waiting = list(self._open)
        for connection in waiting:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed by its own thread in the meantime


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "newsroom"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # one write a response
    timeout = 60

    server: _Server

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def _answer(self, *, send_body: bool) -> None:
        room = self.server.room
        host = self.headers.get("Host", "")
        resource = room._resource(host, self.path)
        headers = self.headers
        unchanged = _is_unchanged(resource, headers.get("If-None-Match"), headers.get("If-Modified-Since"))
        status = 304 if unchanged else resource.status
        body = b"" if unchanged or not send_body else resource.body
        self.send_response(status)
        if not unchanged:
            self.send_header("Content-Type", resource.content_type)
            self.send_header("Content-Length", str(len(resource.body)))
        if resource.etag:
            self.send_header("ETag", resource.etag)
        if resource.last_modified:
            self.send_header("Last-Modified", format_datetime(resource.last_modified, usegmt=True))
        self.end_headers()
        # Logged before the bytes leave: whoever has the answer finds it in the log.
        room._record(
            LoggedRequest(
                method=self.command,
                host=host,
                path=self.path,
                status=status,
                bytes_sent=len(body),
                round=room.round,
                at_seconds=time.monotonic(),
                headers={name: headers[name] for name in _LOGGED_HEADERS if name in headers},
            )
        )
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the newsroom keeps its own log."""


def main(arguments: list[str]) -> int:
    """Serve the newsroom until Ctrl-C; ``--port N`` chooses the port. Returns the exit status."""
    port = 0
    if len(arguments) == 2 and arguments[0] == "--port" and arguments[1].isdecimal():
        port = int(arguments[1])
    elif arguments:
        print("usage: python -m pipelines.demo.newsroom [--port N]", file=sys.stderr)
        return 2
    try:
        room = Newsroom(port)
    except (OSError, OverflowError) as error:
        print(f"cannot listen on port {port}: {error}; choose another with --port", file=sys.stderr)
        return 1
    with room:
        print(f"{len(room.articles)} articles on {len(room.hosts)} sites at 127.0.0.1:{room.port}; Ctrl-C ends it")
        for feed in room.feeds:
            print(f"  {feed.kind:6}  {feed.language}  {feed.url}  {feed.title}")
        host = room.hosts[0]
        print(f"try: curl --resolve {host}:{room.port}:127.0.0.1 {room.feeds[0].url}")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
