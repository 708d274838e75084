"""Which feeds a site has: what discover_feeds.py makes of its pages, asked for and read.

Decisions:
    * Within a bound of requests, and believing nothing that did not parse. What nothing but the software or custom
      speaks for is only asked when what the page names brought nothing.
    * A page that lists a site's feeds in anchors ("RSS") is read as a second page: papers declare one and list fifty.
    * Of two addresses with the same entries the more trusted one is named, and the other said to be the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Optional
from urllib.parse import urlsplit

from apache_beam.utils.timestamp import Duration, Timestamp

from transforms.detect_language import detect_language
from transforms.discover_feeds import (
    HOW,
    Candidate,
    discover_feeds,
    discover_sitemaps,
    home_of,
    names_comments,
    ranked,
    spelling_of,
)
from transforms.errors import IngestError, RejectedError, mask_url
from transforms.http import Response
from transforms.parse_sitemap import parse_sitemap
from transforms.records import FeedEntry

MOST_REQUESTS = 25
MOST_SITEMAPS = 3
QUIET_SECONDS = 180 * 86_400.0  # a feed without news for half a year is hardly the one that is meant
MOST_GUESSES = 10  # how many addresses are tried that nothing speaks for

_COMMON_SITEMAPS = ("news-sitemap.xml", "sitemap-news.xml", "sitemap.xml")


class FoundFeed(NamedTuple):
    """A feed that answered and was read. `same_as` is the address of a better one with the same entries."""

    url: str
    how: str
    format: str
    title: Optional[str]
    language: Optional[str]
    entries: int
    newest_at: Optional[Timestamp]
    is_comments: bool = False
    same_as: Optional[str] = None


class Attempt(NamedTuple):
    """An address that was asked and is no feed."""

    url: str
    how: str
    reason: str


@dataclass
class Finding:
    """What came of a search: `feeds` best first, and the addresses that were asked in vain."""

    feeds: list[FoundFeed] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    requests: int = 0


Fetch = Callable[[str], Awaitable[Response]]


async def find_feeds(url: str, fetch: Fetch, *, now: Timestamp, most_requests: int = MOST_REQUESTS) -> Finding:
    """Return the feeds of the site at `url`: an address of its home, of any of its pages, or of a feed.

    Args:
        url: where to start.
        fetch: returns the answer of an address whatever its status, politely and as robots.txt allows; raises
            IngestError.
        now: what dates are compared with.
        most_requests: in all; redirects and the robots.txt that `fetch` asks by itself not counted.

    Raises:
        IngestError: the address itself cannot be had (http_* for a status other than 200).
    """
    return await _Search(url, fetch, now, most_requests).run()


class _Search:
    """One search; `_known` are the addresses that were asked or led to."""

    def __init__(self, url: str, fetch: Fetch, now: Timestamp, most_requests: int) -> None:
        self._url, self._fetch, self._now, self._most = url, fetch, now, most_requests
        self._known: set[str] = set()
        self._keys: list[tuple[frozenset[str], FoundFeed]] = []
        self._finding = Finding()

    async def run(self) -> Finding:
        first = await self._ask(self._url)
        found = self._read(Candidate(self._url, "itself"), first)
        if found is None:
            home = home_of(first.url)
            candidates = self._candidates(first)
            if spelling_of(home) != spelling_of(first.url) and not any(c.is_named for c in candidates):
                candidates = ranked([*candidates, *await self._candidates_at(home)])
            await self._try(candidates)
            await self._try_sitemaps(home_of(first.url))
        self._finding.feeds.sort(
            key=lambda f: (f.same_as is not None, f.is_comments, self._is_quiet(f), HOW.index(f.how))
        )
        return self._finding

    def _is_quiet(self, feed: FoundFeed) -> bool:
        if feed.newest_at is None:
            return not feed.entries and not feed.format.startswith("sitemap")
        return bool(feed.newest_at < self._now - Duration(seconds=QUIET_SECONDS))

    async def _try(self, candidates: Sequence[Candidate]) -> None:
        named = [c for c in candidates if c.is_named]
        await self._verify(named, follow=True)
        if not self._has_feed():
            await self._verify([c for c in candidates if c.how == "software"][:MOST_GUESSES])
        if not self._has_feed():
            await self._verify([c for c in candidates if c.how == "path"][:MOST_GUESSES], first_only=True)

    async def _try_sitemaps(self, home: str) -> None:
        """Where there is a feed only sitemaps of news are worth a request, elsewhere any."""
        candidates: Sequence[Candidate] = ()
        if self._finding.requests >= self._most:
            return
        try:
            robots = await self._ask(home + "robots.txt")
            candidates = discover_sitemaps(robots.body, url=robots.url)
        except IngestError:
            pass
        if self._has_feed():
            await self._verify([c for c in candidates if "news" in urlsplit(c.url).path.lower()][:MOST_SITEMAPS])
        else:
            guesses = () if candidates else tuple(Candidate(home + path, "sitemap") for path in _COMMON_SITEMAPS)
            await self._verify((*candidates[:MOST_SITEMAPS], *guesses), first_only=not candidates)

    async def _verify(self, candidates: Sequence[Candidate], *, follow: bool = False, first_only: bool = False) -> None:
        for candidate in candidates:
            if self._finding.requests >= self._most:
                return
            if spelling_of(candidate.url) in self._known:
                continue
            try:
                answer = await self._ask(candidate.url)
                found = self._read(candidate, answer)
            except IngestError as error:
                self._finding.attempts.append(Attempt(candidate.url, candidate.how, error.reason))
                continue
            if found is None:
                self._finding.attempts.append(Attempt(candidate.url, candidate.how, "html_page"))
                if follow and candidate.how == "anchor":
                    listed = [c for c in self._candidates(answer) if c.is_named]
                    await self._verify(listed[: self._most // 2])
            elif first_only and not found.is_comments:
                return

    async def _ask(self, url: str) -> Response:
        """Return the answer of `url` when it has status 200."""
        self._known.add(spelling_of(url))
        self._finding.requests += 1
        answer = await self._fetch(url)
        self._known.add(spelling_of(answer.url))
        if answer.status != 200:
            raise RejectedError(
                f"{mask_url(answer.url)}: HTTP {answer.status}", reason=f"http_{answer.status}", url=answer.url
            )
        return answer

    def _candidates(self, answer: Response) -> list[Candidate]:
        return list(discover_feeds(answer.body, url=answer.url, content_type=answer.headers.get("Content-Type")))

    async def _candidates_at(self, url: str) -> list[Candidate]:
        try:
            return self._candidates(await self._ask(url))
        except IngestError:
            return []

    def _read(self, candidate: Candidate, answer: Response) -> Optional[FoundFeed]:
        """Note the feed in an answer and return it; None for a page.

        Raises:
            RejectedError: it is neither.
        """
        content_type = answer.headers.get("Content-Type")
        try:
            parsed = parse_sitemap(answer.body, url=answer.url, content_type=content_type, now=self._now)
        except RejectedError as error:
            if error.reason == "html_page" or (candidate.how == "itself" and error.reason == "not_a_feed"):
                return None
            raise
        dates = [d for d in (e.published_at or e.updated_at for e in parsed.entries) if d is not None]
        dates += [n.lastmod for n in parsed.nested if n.lastmod is not None]
        found = FoundFeed(
            url=answer.url,
            how=candidate.how,
            format=parsed.format,
            title=parsed.title or candidate.title or None,
            language=parsed.language or _language_of(parsed.entries),
            entries=len(parsed.entries),
            newest_at=max(dates, default=None),
            is_comments=candidate.is_comments or names_comments(parsed.title or ""),
        )
        keys = frozenset(spelling_of(entry.url or entry.key) for entry in parsed.entries)
        for others, better in self._keys:
            if keys and len(keys & others) >= 0.8 * max(len(keys), len(others)):
                found = found._replace(same_as=better.url)
                break
        else:
            self._keys.append((keys, found))
        if not any(spelling_of(feed.url) == spelling_of(found.url) for feed in self._finding.feeds):
            self._finding.feeds.append(found)
        return found

    def _has_feed(self) -> bool:
        return any(not feed.is_comments for feed in self._finding.feeds)


def _language_of(entries: Sequence[FeedEntry]) -> Optional[str]:
    return detect_language(" ".join(entry.title for entry in entries[:50] if entry.title))
