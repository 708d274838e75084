"""Pages fetched by requests that take their turn: what lies between acquire.py and the two it is made of.

Decisions:
    Pages wait for robots.txt before they are given a turn, not while they hold one, so that nothing waits in a
    circle.

    One address is fetched once for all who want it, and the answer kept for some minutes, since the feeds of a site
    list the same pages but are polled one after the other.

    A page that is only the way to another (read_page.py) is followed once, with the leave of the other's robots.txt
    and a turn at its site, as a redirect is. Where an address led to another site is remembered: an aggregator's link
    is asked for once, however often its entry is tried again.

    Everything here runs on one event loop. Results are handed to callbacks, since ten thousand pages that wait for
    their site are then ten thousand small records instead of as many sleeping tasks.

Limits: a cookie lives for one chain of redirects, so it is gone when a stub is followed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional, Union

from transforms import telemetry
from transforms.article_url import site_of
from transforms.errors import RejectedError, TransientError, mask_url
from transforms.http import Response
from transforms.pace_hosts import ROBOTS_MOST_BYTES, Robots, SiteClocks, origin_of, product_of, read_robots
from transforms.page_reservations import DEFAULT_SIGNALS, MOST_TDM_BYTES, read_tdm_file, reserved_by_file
from transforms.polite_client import PoliteClient, Turn
from transforms.read_page import PageAnswer, address_to_follow, read_page

PAGE_ACCEPT = "text/html,application/xhtml+xml;q=0.9,text/plain;q=0.5"
KEPT_BYTES = 32 * 1024 * 1024
KEPT_SECONDS = 300.0  # a story that several feeds list is fetched once
ROBOTS_SECONDS = 86_400.0  # RFC 9309, 2.4: no longer than a day
ROBOTS_RETRY_SECONDS = 600.0
MOST_ORIGINS = 20_000
_NO_SITE = frozenset({"dns_failed", "connect_failed"})  # says more than that its robots.txt cannot be had
MOST_RESOLVED = 20_000

Outcome = Union[PageAnswer, Exception]
Rules = Union[Robots, Exception]  # or what makes them unknown
RulesKnown = dict[tuple[str, str], tuple[float, Rules]]  # by product and origin, and until when


@dataclass
class HostMemory:
    """What a process remembers of hosts beyond one acquirer.

    Clocks by site; robots.txt and tdmrep.json by product and origin; where addresses led that led to another site.
    """

    clocks: SiteClocks = field(default_factory=SiteClocks)
    robots: RulesKnown = field(default_factory=dict)
    tdm_files: RulesKnown = field(default_factory=dict)
    resolved: dict[str, str] = field(default_factory=dict)


class PageFetcher:
    """Fetches pages once for all who want them, as robots.txt and their publishers allow.

    Args:
        polite: sends the requests.
        user_agent: whose rules count.
        honour_robots: False asks no robots.txt.
        hosts: where rules are remembered.
        clock: monotonic, in seconds.
        honour_reservations: which of page_reservations.SIGNALS reject a page.
    """

    def __init__(
        self,
        polite: PoliteClient,
        *,
        user_agent: str,
        honour_robots: bool,
        hosts: HostMemory,
        clock: Callable[[], float],
        honour_reservations: Sequence[str] = DEFAULT_SIGNALS,
    ) -> None:
        self._polite, self._clock = polite, clock
        self._product, self._honoured = product_of(user_agent), frozenset(honour_reservations)
        self._resolved = hosts.resolved
        self._wanted: dict[str, list[Callable[[Outcome], None]]] = {}
        self._kept: OrderedDict[str, tuple[float, Outcome, int]] = OrderedDict()
        self._kept_bytes = 0
        self._robots = self._tdm_file = None
        if honour_robots:
            self._robots = RobotsFile(polite, user_agent, hosts.robots, clock)
        if "tdm-file" in self._honoured:
            self._tdm_file = _OriginFile(
                polite,
                "/.well-known/tdmrep.json",
                MOST_TDM_BYTES,
                lambda _, response: read_tdm_file(response.status, response.body),
                hosts.tdm_files,
                clock,
                self._product,
            )

    def want(self, url: str, then: Callable[[Outcome], None], *, afresh: bool = False) -> None:
        """Call `then` with the page at `url`, or why it cannot be had; possibly at once.

        `afresh` takes no answer that was kept: for an entry that has changed, or is tried again.

        Errors are what `HttpClient.fetch` and `read_page` raise, and what `RobotsFile.check` does.
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
        start = self._resolved.get(url, url)

        def allowed(robots: Rules) -> None:
            refusal = _refusal(robots, start)
            if refusal is not None:
                self._answer(url, refusal)
            else:
                self._polite.when_due(
                    start, lambda turn: self._fetch(turn, url, start), lambda error: self._answer(url, error)
                )

        self._ask_robots(start, allowed)

    async def _fetch(self, turn: Turn, url: str, start: str) -> None:
        outcome: Outcome
        try:
            outcome = await self._page(turn, url, start)
            self._remember(url, outcome.url)
        except Exception as error:
            outcome = error
            if not isinstance(error, TransientError):
                self._resolved.pop(url, None)
        self._answer(url, outcome)

    async def _page(self, turn: Turn, url: str, start: str) -> PageAnswer:
        page = await self._ask(turn, url, start)
        target = address_to_follow(page) if start == url else None
        if target is not None:
            self._remember(url, target)
            await self.check_robots(target)
            await self._polite.enter(turn, target)
            page = await self._ask(turn, url, target)
        if self._tdm_file is not None and page.tdm_reserved is None:
            rules = await self._tdm_file.rules_for(page.url)
            refusal = reserved_by_file(page.url, rules) if isinstance(rules, Robots) else None
            if refusal is not None:
                raise refusal
        return page

    async def _ask(self, turn: Turn, url: str, start: str) -> PageAnswer:
        """Return the page at `start`, which stands for what was linked to as `url`."""
        with telemetry.FETCH_SECONDS.labels("page").time():
            response = await self._polite.fetch(
                turn, start, headers={"Accept": PAGE_ACCEPT}, text_only=True, check_hop=self.check_robots
            )
        if start != url:
            response = replace(response, redirects=((302, start), *response.redirects))
        return read_page(response, self._polite.now(), asked=url, honour=self._honoured, product=self._product)

    def _remember(self, url: str, resolved: str) -> None:
        if site_of(resolved) == site_of(url):
            return
        while len(self._resolved) >= MOST_RESOLVED and url not in self._resolved:
            del self._resolved[next(iter(self._resolved))]
        self._resolved[url] = resolved

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

    def _ask_robots(self, url: str, then: Callable[[Rules], None]) -> None:
        if self._robots is None:
            then(Robots(None, ""))
        else:
            self._robots.ask(url, then)

    async def check_robots(self, url: str) -> None:
        """Raise as `RobotsFile.check` where robots.txt is honoured."""
        if self._robots is not None:
            await self._robots.check(url)


class _OriginFile:
    """A file that says what holds for an origin: asked for once a day, by whoever needs it first.

    Args:
        polite: sends the request.
        path: of the file.
        most_bytes: that are read of it.
        read: returns the rules in an answer of an origin; None when they are to be waited for.
        known: where they are remembered, by `product` and origin.
        clock: monotonic, in seconds.
        product: whose rules they are.
    """

    def __init__(
        self,
        polite: PoliteClient,
        path: str,
        most_bytes: int,
        read: Callable[[str, Response], Optional[Robots]],
        known: RulesKnown,
        clock: Callable[[], float],
        product: str,
    ) -> None:
        self._polite, self._path, self._most_bytes, self._read = polite, path, most_bytes, read
        self._known, self._clock, self._product = known, clock, product
        self._waiting: dict[str, list[Callable[[Rules], None]]] = {}

    def ask(self, url: str, then: Callable[[Rules], None]) -> None:
        """Call `then` with the rules for `url`, or with what makes them unknown; possibly at once."""
        origin = origin_of(url)
        known = self._known.get((self._product, origin))
        if known is not None and known[0] > self._clock():
            then(known[1])
            return
        if origin in self._waiting:
            self._waiting[origin].append(then)
            return
        self._waiting[origin] = [then]
        self._polite.when_due(url, lambda turn: self._fetch(turn, origin), lambda error: self._tell(origin, error))

    async def rules_for(self, url: str) -> Rules:
        """Return the rules for `url`, or what makes them unknown."""
        told: asyncio.Future[Rules] = asyncio.get_running_loop().create_future()
        self.ask(url, lambda robots: None if told.done() else told.set_result(robots))
        return await told

    async def _fetch(self, turn: Turn, origin: str) -> None:
        rules: Rules
        try:
            response = await self._polite.fetch(turn, origin + self._path, max_bytes=self._most_bytes, cut=True)
            rules = self._read(origin, response) or self._unreachable(origin)
        except TransientError as error:
            rules = self._unreachable(origin, error)
        except RejectedError:
            rules = Robots(None, "")  # nothing that could be read: as good as none (RFC 9309, 2.3.1.3)
        except Exception as error:
            self._tell(origin, error)
            return
        if len(self._known) >= MOST_ORIGINS:
            self._known.clear()
        keep = ROBOTS_SECONDS if isinstance(rules, Robots) else ROBOTS_RETRY_SECONDS
        self._known[self._product, origin] = (self._clock() + keep, rules)
        self._tell(origin, rules)

    def _tell(self, origin: str, rules: Rules) -> None:
        for then in self._waiting.pop(origin, ()):
            then(rules)

    def _unreachable(self, origin: str, error: Optional[TransientError] = None) -> TransientError:
        if error is not None and error.reason in _NO_SITE:
            return TransientError(error.message, reason=error.reason, url=origin)
        message = f"{origin}{self._path} cannot be had for now; try again later"
        return TransientError(message, reason="robots_unreachable", url=origin)


class RobotsFile(_OriginFile):
    """What the robots.txt of each origin permits `user_agent`; `seen` is called with an origin and its answer."""

    def __init__(
        self,
        polite: PoliteClient,
        user_agent: str,
        known: RulesKnown,
        clock: Callable[[], float],
        seen: Callable[[str, Response], None] = lambda origin, response: None,
    ) -> None:
        def read(origin: str, response: Response) -> Optional[Robots]:
            seen(origin, response)
            robots = read_robots(response.status, response.body, user_agent=user_agent)
            if robots is not None and robots.crawl_delay_seconds:
                polite.slow_down(origin, robots.crawl_delay_seconds)
            return robots

        super().__init__(polite, "/robots.txt", ROBOTS_MOST_BYTES, read, known, clock, product_of(user_agent))

    async def check(self, url: str) -> None:
        """Let pass what may be asked.

        Raises:
            TransientError: robots_unreachable, host_asked_to_wait, host_silent, dns_failed, connect_failed.
            RejectedError: robots_disallowed, bad_url.
        """
        refusal = _refusal(await self.rules_for(url), url)
        if refusal is not None:
            raise refusal.with_traceback(None)  # it is remembered: raised again and again its traceback would grow


def _refusal(robots: Rules, url: str) -> Optional[Exception]:
    if isinstance(robots, Exception):
        return robots
    if robots.allows(url):
        return None
    return RejectedError(f"{mask_url(url)}: robots.txt forbids it", reason="robots_disallowed", url=url)
