"""`newsbeam feeds discover URL`: which feeds a site has, and the lines that follow them.

Decisions:
    What is asked takes its turn as in a run: one request at a time and site, spaced, as robots.txt allows. A feed that
    robots.txt forbids is named all the same, since robots.txt does not govern feeds that the user lists.

    Addresses of feeds are printed in full, since they are what was asked for; errors show them masked.

    The table goes to stdout, the best feed's line last; with ``--format toml`` or ``json`` stdout holds only that.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Optional

from apache_beam.utils.timestamp import Timestamp

from transforms.errors import UsageError, mask_url, one_line
from transforms.fetch_pages import RobotsFile
from transforms.find_feeds import MOST_REQUESTS, Finding, FoundFeed, find_feeds
from transforms.http import AllowedHost, HttpClient, Proxy, Response, parse_allow_host
from transforms.pace_hosts import HostBudget, origin_of
from transforms.polite_client import PoliteClient

SPACING_SECONDS = 1.0
TIMEOUT_SECONDS = 30.0
MOST_WAIT_SECONDS = 60.0  # a site that asks for more is asked another day: somebody sits before this command
ACCEPT = "text/html,application/xhtml+xml,application/rss+xml,application/atom+xml,application/feed+json,*/*;q=0.8"
_WORTH_A_WORD = ("link", "anchor")  # attempts on what the site itself names; guesses that failed say nothing


def add_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    """Add the flags of `newsbeam feeds discover`."""
    parser.add_argument("url", metavar="URL", help="a site's home page, any of its pages, or what may be a feed")
    parser.add_argument("--format", choices=("text", "json", "toml"), default="text", help="what to print (text)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument(
        "--most-requests",
        type=options.positive,
        default=MOST_REQUESTS,
        metavar="N",
        help="requests in all (default: %(default)s)",
    )
    options.add_http_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Run `newsbeam feeds discover`; 1 when nothing was found."""
    from pipelines.cli import version
    from pipelines.options import read_proxy, user_agent_of

    url = _start(args.url)
    spacing, timeout = args.spacing_seconds, args.timeout_seconds
    finding = asyncio.run(
        _find(
            url,
            user_agent=user_agent_of(version(), args.contact),
            allow_hosts=tuple(parse_allow_host(text) for text in args.allow_host),
            spacing_seconds=SPACING_SECONDS if spacing is None else spacing,
            timeout_seconds=TIMEOUT_SECONDS if timeout is None else timeout,
            most_requests=args.most_requests,
            proxy=read_proxy(args, {}),
        )
    )
    if args.format == "json":
        print(json.dumps(as_json(url, finding), ensure_ascii=False, indent=2))
    else:
        lines = as_toml(finding) if args.format == "toml" else as_text(finding)
        print("\n".join(lines), end="\n" if finding.feeds else "")
    if not finding.feeds:
        print("\n".join(_nothing_found(url, finding)), file=sys.stderr)
    return 0 if finding.feeds else 1


def as_text(finding: Finding) -> Iterator[str]:
    """Yield a table of what was found, and a line for the feed list."""
    if not finding.feeds:
        return
    yield f"{'format':14} {'entries':>7}  {'newest':10}  {'language':8}  {'found by':8}  title"
    for feed in finding.feeds:
        newest = feed.newest_at.to_rfc3339()[:10] if feed.newest_at is not None else "-"
        entries = "-" if feed.format == "sitemap_index" else str(feed.entries)
        title = one_line(feed.title or "-", limit=60) + (" (comments)" if feed.is_comments else "")
        yield f"{feed.format:14} {entries:>7}  {newest:10}  {feed.language or '-':8}  {feed.how:8}  {title}"
        yield f"  {feed.url}" + (f"  (same entries as {feed.same_as})" if feed.same_as else "")
    yield from _attempts(finding)
    yield ""
    yield "the best one, as a line for a feed list:"
    best = finding.feeds[0]
    yield " ".join((best.url, one_line((best.title or "").replace("#", ""), limit=200))).rstrip()


def as_toml(finding: Finding) -> Iterator[str]:
    """Yield tables for newsbeam.toml: the feeds that have entries of their own and are not of comments."""
    for feed in _worth_listing(finding):
        yield "[[feeds]]"
        for name, value in (("url", feed.url), ("title", feed.title), ("language", feed.language)):
            if value:
                # A JSON string of one line without control characters is a TOML string.
                yield f"{name} = {json.dumps(one_line(value, limit=8192), ensure_ascii=False)}"
        yield ""


def as_json(url: str, finding: Finding) -> dict[str, Any]:
    """Return what was found as plain data."""
    return {
        "url": mask_url(url),
        "requests": finding.requests,
        "feeds": [
            {
                **feed._asdict(),
                "newest_at": feed.newest_at.to_rfc3339() if feed.newest_at is not None else None,
            }
            for feed in finding.feeds
        ],
        "attempts": [attempt._asdict() for attempt in finding.attempts],
    }


def _worth_listing(finding: Finding) -> Sequence[FoundFeed]:
    own = [feed for feed in finding.feeds if feed.same_as is None]
    return [feed for feed in own if not feed.is_comments] or own


def _attempts(finding: Finding) -> Iterator[str]:
    for attempt in finding.attempts:
        if attempt.how in _WORTH_A_WORD and attempt.reason != "html_page":
            yield f"not read: {attempt.url} ({attempt.reason})"
            if attempt.reason == "robots_disallowed":
                yield "  its robots.txt forbids this search to ask for it; a feed that you list yourself is polled"


def _nothing_found(url: str, finding: Finding) -> Iterator[str]:
    yield f"newsbeam: no feed found at {mask_url(url)} ({finding.requests} requests); try one of its section pages"
    yield from _attempts(finding)


def _start(written: str) -> str:
    url = written.strip()
    if "://" not in url:
        url = f"https://{url}"
    if not origin_of(url).startswith(("http://", "https://")) or not url.partition("://")[2].strip("/"):
        raise UsageError(f"{mask_url(url)} is not an http(s) address; write it as https://host/path")
    return url


# ---- asking --------------------------------------------------------------------------------------------------------


async def _find(
    url: str,
    *,
    user_agent: str,
    allow_hosts: tuple[AllowedHost, ...],
    spacing_seconds: float,
    timeout_seconds: float,
    most_requests: int,
    proxy: Optional[Proxy],
) -> Finding:
    async with _TellingClient(
        user_agent=user_agent, allow_hosts=allow_hosts, proxy=proxy, total_timeout_seconds=timeout_seconds
    ) as client:
        polite = PoliteFetch(client, user_agent=user_agent, spacing_seconds=spacing_seconds)
        return await find_feeds(url, polite.fetch, now=Timestamp.of(time.time()), most_requests=most_requests)


class _TellingClient(HttpClient):
    """Says on a terminal what it asks for."""

    async def fetch(self, url: str, **options: Any) -> Response:
        if sys.stderr.isatty():
            print(f"asking {mask_url(url)}", file=sys.stderr, flush=True)
        return await super().fetch(url, **options)


class PoliteFetch:
    """Asks one address after the other, spaced by site and as robots.txt allows. Lives on the running loop.

    Args:
        client: sends.
        user_agent: whose rules count.
        spacing_seconds: between two requests to one site; more where its robots.txt asks for more.
    """

    def __init__(self, client: HttpClient, *, user_agent: str, spacing_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        budget = HostBudget(
            at_once=1,
            at_once_per_site=1,
            spacing_seconds=spacing_seconds,
            max_wait_seconds=MOST_WAIT_SECONDS,
            now=loop.time,
            call_later=loop.call_later,
        )
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them by weak references only
        self._polite = PoliteClient(client, budget, now=lambda: Timestamp.of(time.time()), spawn=self._spawn)
        self._answers: dict[str, Response] = {}
        self._robots = RobotsFile(self._polite, user_agent, {}, loop.time, self._answers.__setitem__)

    async def fetch(self, url: str) -> Response:
        """Return the answer of `url`, whatever its status; robots.txt is asked for once.

        Raises:
            IngestError: as `HttpClient.fetch` and `RobotsFile.check`.
        """
        origin = origin_of(url)
        if url != f"{origin}/robots.txt":
            await self._robots.check(url)
        else:
            await self._robots.rules_for(url)
            if origin in self._answers:
                return self._answers[origin]
        return await self._polite.get(url, check_hop=self._robots.check, headers={"Accept": ACCEPT})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
