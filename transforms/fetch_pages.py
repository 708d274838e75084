"""Requests that take their turn, and pages fetched by them: what lies between acquire.py and the two it is made of.

Decisions:
    Every request has a turn in the budget of its site, and a redirect gives it back and waits for one at the site it
    leads to; that wait is not on the request's clock. Nothing holds two turns, so nothing can wait in a circle.

    Pages wait for robots.txt before they are given a turn, not while they hold one, for the same reason.

    One address is fetched once for all who want it, and the answer kept for some minutes, since the feeds of a site
    list the same pages but are polled one after the other.

    Everything here runs on one event loop. Results are handed to callbacks, since ten thousand pages that wait for
    their site are then ten thousand small records instead of as many sleeping tasks.

Limits: consent walls and soft 404s are not recognised.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional, Union

from apache_beam.utils.timestamp import Timestamp

from transforms import telemetry
from transforms.article_url import site_of
from transforms.errors import RejectedError, TransientError, mask_url, one_line
from transforms.http import HttpClient, Response
from transforms.pace_hosts import ROBOTS_MOST_BYTES, HostBudget, Robots, SiteClocks, origin_of, product_of, read_robots
from transforms.poll_feeds import error_of_status

PAGE_ACCEPT = "text/html,application/xhtml+xml;q=0.9,text/plain;q=0.5"
KEPT_BYTES = 32 * 1024 * 1024
KEPT_SECONDS = 300.0  # a story that several feeds list is fetched once
ROBOTS_SECONDS = 86_400.0  # RFC 9309, 2.4: no longer than a day
ROBOTS_RETRY_SECONDS = 600.0
MOST_ORIGINS = 20_000

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class PageAnswer(NamedTuple):
    """A page as fetched: the address after redirects, its bytes and what its header says they are."""

    url: str
    body: bytes
    content_type: Optional[str]


Outcome = Union[PageAnswer, Exception]


def read_page(response: Response, now: Timestamp) -> PageAnswer:
    """Return the page in an answer.

    Raises:
        TransientError: http_408, http_429, http_5xx.
        RejectedError: http_* of another status than 200, empty_page, not_text.
    """
    if response.status != 200:
        raise error_of_status(response, now)
    if not response.body.strip():
        raise RejectedError(f"{mask_url(response.url)}: an empty page", reason="empty_page", url=response.url)
    content_type = response.headers.get("Content-Type")
    # UTF-16 has NULs and says so by its first two bytes or its header; images and archives have them and say nothing.
    if not content_type and b"\0" in response.body[:1024] and response.body[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise RejectedError(f"{mask_url(response.url)}: not a text", reason="not_text", url=response.url)
    return PageAnswer(response.url, response.body, one_line(content_type, limit=200) if content_type else None)


@dataclass
class Turn:
    """A place in the budget of `site`; None when it has been given back."""

    site: Optional[str]


@dataclass
class HostMemory:
    """What a process remembers of hosts beyond one acquirer: clocks by site, robots.txt by product and origin."""

    clocks: SiteClocks = field(default_factory=SiteClocks)
    robots: dict[tuple[str, str], tuple[float, Optional[Robots]]] = field(default_factory=dict)


class PoliteClient:
    """An HTTP client whose every request, redirects included, waits for its turn.

    Args:
        client: sends.
        budget: gives the turns.
        spawn: runs a coroutine as a task of the loop.
        now: the time of day, for a Retry-After that is a date.
    """

    def __init__(self, client: HttpClient, budget: HostBudget, *, spawn: Spawn, now: Callable[[], Timestamp]) -> None:
        self._client, self._budget, self._spawn, self.now = client, budget, spawn, now

    def when_due(
        self, url: str, work: Callable[[Turn], Coroutine[Any, Any, None]], refused: Callable[[Exception], None]
    ) -> None:
        """Run `work` with a turn at the site of `url` when there is one; `work` must end in `fetch` or `release`.

        `refused` is called instead with bad_url (no http address) or host_asked_to_wait.
        """
        site = site_of(url)
        if not site:
            refused(RejectedError(f"{mask_url(url)}: is not an http address", reason="bad_url", url=url))
            return
        self._budget.submit(
            site,
            lambda: self._spawn(work(Turn(site))),
            lambda seconds: refused(_asked_to_wait(url, seconds)),
        )

    async def fetch(
        self,
        turn: Turn,
        url: str,
        *,
        check_hop: Optional[Callable[[str], Awaitable[None]]] = None,
        **options: Any,
    ) -> Response:
        """Return what `HttpClient.fetch` does, and give the turn back in any case.

        Args:
            turn: at the site of `url`.
            url: as for `HttpClient.fetch`.
            check_hop: awaited with the target of each redirect, while no turn is held; may raise.
            **options: as for `HttpClient.fetch`.
        """

        async def move(target: str) -> None:
            self.release(turn)
            if check_hop is not None:
                await check_hop(target)
            await self._enter(turn, target)

        try:
            response = await self._client.fetch(url, before_hop=move, **options)
            self._heed(response)
            return response
        finally:
            self.release(turn)

    async def get(self, url: str, **options: Any) -> Response:
        """Wait for a turn at the site of `url`, then do as `fetch`: for what continues work that has begun."""
        if not site_of(url):
            raise RejectedError(f"{mask_url(url)}: is not an http address", reason="bad_url", url=url)
        turn = Turn(None)
        await self._enter(turn, url)
        return await self.fetch(turn, url, **options)

    def release(self, turn: Turn) -> None:
        """Give the turn back, if it is held."""
        if turn.site is not None:
            site, turn.site = turn.site, None
            self._budget.release(site)

    def slow_down(self, url: str, spacing_seconds: float) -> None:
        """Space the requests to the site of `url` by at least this."""
        self._budget.slow_down(site_of(url), spacing_seconds)

    def _heed(self, response: Response) -> None:
        """Hold the site of an answer that asks for it; before the turn is given back, or the next would start."""
        if response.status in (429, 503):
            wait = getattr(error_of_status(response, self.now()), "retry_after_seconds", None)
            if wait is not None or response.status == 429:
                self._budget.hold(site_of(response.url), wait)

    async def _enter(self, turn: Turn, target: str) -> None:
        site = site_of(target)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            if begun.done():  # cancelled while it waited
                self._budget.release(site)
            else:
                turn.site = site
                begun.set_result(None)

        def refuse(seconds: float) -> None:
            if not begun.done():
                begun.set_exception(_asked_to_wait(target, seconds))

        self._budget.submit(site, begin, refuse, first=True)
        await begun


class PageFetcher:
    """Fetches pages once for all who want them, as robots.txt allows.

    Args:
        polite: sends the requests.
        user_agent: whose rules count.
        honour_robots: False asks no robots.txt.
        hosts: where rules are remembered.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        polite: PoliteClient,
        *,
        user_agent: str,
        honour_robots: bool,
        hosts: HostMemory,
        clock: Callable[[], float],
    ) -> None:
        self._polite, self._hosts, self._clock = polite, hosts, clock
        self._user_agent, self._honour_robots = user_agent, honour_robots
        self._wanted: dict[str, list[Callable[[Outcome], None]]] = {}
        self._kept: OrderedDict[str, tuple[float, Outcome, int]] = OrderedDict()
        self._kept_bytes = 0
        self._robots_waiting: dict[str, list[Callable[[Union[Robots, Exception]], None]]] = {}

    def want(self, url: str, then: Callable[[Outcome], None], *, afresh: bool = False) -> None:
        """Call `then` with the page at `url`, or why it cannot be had; possibly at once.

        `afresh` takes no answer that was kept: for an entry that has changed, or is tried again.

        Errors are what `HttpClient.fetch` and `read_page` raise, and robots_disallowed, robots_unreachable,
        host_asked_to_wait.
        """
        url = url.partition("#")[0]
        if url in self._wanted:
            self._wanted[url].append(then)
            return
        kept = None if afresh else self._recently(url)
        if kept is not None:
            then(kept)
            return
        self._wanted[url] = [then]

        def allowed(robots: Union[Robots, Exception]) -> None:
            refusal = _refusal(robots, url)
            if refusal is not None:
                self._answer(url, refusal)
            else:
                self._polite.when_due(url, lambda turn: self._fetch(turn, url), lambda error: self._answer(url, error))

        self._ask_robots(url, allowed)

    async def _fetch(self, turn: Turn, url: str) -> None:
        outcome: Outcome
        try:
            with telemetry.FETCH_SECONDS.labels("page").time():
                response = await self._polite.fetch(
                    turn, url, headers={"Accept": PAGE_ACCEPT}, text_only=True, check_hop=self.check_robots
                )
            outcome = read_page(response, self._polite.now())
        except Exception as error:
            outcome = error
        self._answer(url, outcome)

    def _answer(self, url: str, outcome: Outcome) -> None:
        """Give what came of `url` to everyone who wants it, and keep it a while for those who are about to."""
        self._forget(url)
        size = len(outcome.body) if isinstance(outcome, PageAnswer) else 200
        self._kept[url] = (self._clock() + KEPT_SECONDS, outcome, size)
        self._kept_bytes += size
        while self._kept_bytes > KEPT_BYTES:
            self._forget(next(iter(self._kept)))
        for then in self._wanted.pop(url, ()):
            then(outcome)

    def _recently(self, url: str) -> Optional[Outcome]:
        kept = self._kept.get(url)
        if kept is None or kept[0] > self._clock():
            return kept[1] if kept is not None else None
        self._forget(url)
        return None

    def _forget(self, url: str) -> None:
        kept = self._kept.pop(url, None)
        self._kept_bytes -= kept[2] if kept is not None else 0

    # ---- robots.txt ------------------------------------------------------------------------------------------------

    def _ask_robots(self, url: str, then: Callable[[Union[Robots, Exception]], None]) -> None:
        """Call `then` with the rules for `url`, or with what makes them unknown; possibly at once."""
        origin = origin_of(url)
        if not self._honour_robots:
            then(Robots(None, ""))
            return
        known = self._hosts.robots.get((product_of(self._user_agent), origin))
        if known is not None and known[0] > self._clock():
            then(known[1] or _unreachable(origin))
            return
        if origin in self._robots_waiting:
            self._robots_waiting[origin].append(then)
            return
        self._robots_waiting[origin] = [then]
        self._polite.when_due(
            url, lambda turn: self._fetch_robots(turn, origin), lambda error: self._tell_robots(origin, error)
        )

    async def check_robots(self, url: str) -> None:
        """Raise robots_disallowed or robots_unreachable where `url` may not be asked."""
        told: asyncio.Future[Union[Robots, Exception]] = asyncio.get_running_loop().create_future()
        self._ask_robots(url, lambda robots: None if told.done() else told.set_result(robots))
        refusal = _refusal(await told, url)
        if refusal is not None:
            raise refusal

    async def _fetch_robots(self, turn: Turn, origin: str) -> None:
        robots: Optional[Robots]
        try:
            response = await self._polite.fetch(turn, origin + "/robots.txt", max_bytes=ROBOTS_MOST_BYTES)
            robots = read_robots(response.status, response.body, user_agent=self._user_agent)
        except TransientError:
            robots = None
        except RejectedError:
            robots = Robots(None, "")  # nothing that could be read: as good as none (RFC 9309, 2.3.1.3)
        except Exception as error:
            self._tell_robots(origin, error)
            return
        if len(self._hosts.robots) >= MOST_ORIGINS:
            self._hosts.robots.clear()
        keep = ROBOTS_SECONDS if robots is not None else ROBOTS_RETRY_SECONDS
        self._hosts.robots[product_of(self._user_agent), origin] = (self._clock() + keep, robots)
        if robots is not None and robots.crawl_delay_seconds:
            self._polite.slow_down(origin, robots.crawl_delay_seconds)
        self._tell_robots(origin, robots or _unreachable(origin))

    def _tell_robots(self, origin: str, robots: Union[Robots, Exception]) -> None:
        for then in self._robots_waiting.pop(origin, ()):
            then(robots)


def _refusal(robots: Union[Robots, Exception], url: str) -> Optional[Exception]:
    if isinstance(robots, Exception):
        return robots
    if robots.allows(url):
        return None
    return RejectedError(f"{mask_url(url)}: robots.txt forbids it", reason="robots_disallowed", url=url)


def _unreachable(origin: str) -> TransientError:
    return TransientError(f"{origin}/robots.txt cannot be had for now", reason="robots_unreachable", url=origin)


def _asked_to_wait(url: str, seconds: float) -> TransientError:
    return TransientError(
        f"{mask_url(url)}: its site asked to be left alone for {seconds:.0f} seconds",
        reason="host_asked_to_wait",
        url=url,
        retry_after_seconds=seconds,
    )
