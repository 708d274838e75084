"""Who may be asked, and when: one budget per site for feeds and pages, and what a site's robots.txt permits.

Decisions:
    `HostBudget` starts work, it does not make work wait: what is queued is a pair of callbacks, not a sleeping task,
    so a hundred thousand pages of one slow site cost a queue and hold nobody else up. It is driven by an injected
    clock and timer, so its tests need no time.

    A site is a registrable domain (`article_url.site_of`): subdomains share machines and owners. Starts are spaced,
    at most a few requests run at once, and a Retry-After holds the whole site. Work that would wait longer than
    `max_wait_seconds` for that is refused at once and becomes a retry: the wave must end.

    A host that gives no answer several times in a row (silence, a refused or broken connection) is left alone for
    some minutes, and only it, not its site: else a list of its pages would wait for a clock each, for hours. What is
    queued for it is refused at once, and one attempt after that time decides anew.

    What is known of a site (`SiteClocks`) outlives a budget: one per process, so the first request of a wave keeps
    its distance from the last one of the wave before.

    robots.txt as RFC 9309 reads it: 4xx allows all, 5xx and silence forbid for now.

Limits: several processes on one machine each keep their own budget.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Protocol
from urllib.parse import urlsplit

from protego import Protego

from transforms.errors import one_line

LONGEST_CRAWL_DELAY_SECONDS = 30.0  # Nutch and StormCrawler stop believing there as well
FIRST_HOLD_SECONDS = 60.0  # after a 429 that names no time; doubles (stormcrawler#867)
LONGEST_HOLD_SECONDS = 86_400.0
HOLD_FORGOTTEN_SECONDS = 1_800.0
MOST_SITES_REMEMBERED = 50_000
MOST_SILENT = 4  # exchanges without an answer, in a row: two clocks of a site that is asked two at a time
SILENT_SECONDS = 600.0  # mediacloud/story-indexer leaves a host that refuses connections alone for as long
ROBOTS_MOST_BYTES = 512 * 1024  # RFC 9309, 2.5: at least 500 KiB


@dataclass
class SiteClock:
    """What is remembered of one site; times by the budget's clock."""

    next_start_at: float = 0.0
    held_until: float = 0.0
    spacing_seconds: float = 0.0
    holds_in_a_row: int = 0


@dataclass
class _Silence:
    in_a_row: int = 0
    until: float = 0.0


class SiteClocks:
    """The clocks of all sites, by site; forgets those that have nothing more to say. Silent hosts are kept beside."""

    def __init__(self) -> None:
        self._clocks: dict[str, SiteClock] = {}
        self._silences: dict[str, _Silence] = {}

    def of(self, site: str, now: float) -> SiteClock:
        """Return the clock of `site`, a new one if there is none."""
        clock = self._clocks.get(site)
        if clock is None:
            if len(self._clocks) >= MOST_SITES_REMEMBERED:
                idle = now - HOLD_FORGOTTEN_SECONDS
                self._clocks = {s: c for s, c in self._clocks.items() if max(c.next_start_at, c.held_until) > idle}
            clock = self._clocks[site] = SiteClock()
        return clock

    def silent(self, host: str, now: float) -> bool:
        """Count an exchange with `host` that brought no answer; return whether it is to be left alone from now on."""
        if len(self._silences) >= MOST_SITES_REMEMBERED:
            self._silences.clear()
        silence = self._silences.setdefault(host, _Silence())
        silence.in_a_row += 1
        if silence.in_a_row < MOST_SILENT:
            return False
        silence.until = now + SILENT_SECONDS
        return True

    def answered(self, host: str) -> None:
        """Forget that `host` was silent."""
        self._silences.pop(host, None)

    def silent_seconds(self, host: str, now: float) -> float:
        """Return how long `host` is still to be left alone; 0 when it may be asked."""
        silence = self._silences.get(host)
        return max(silence.until - now, 0.0) if silence is not None else 0.0


class Timer(Protocol):
    """What `call_later` returns, as asyncio's TimerHandle."""

    def cancel(self) -> None:
        """Do not call."""


class _Job(NamedTuple):
    start: Callable[[], None]
    refuse: Callable[[float], None]
    host: str


@dataclass
class _Lane:
    clock: SiteClock
    queue: deque[_Job] = field(default_factory=deque)
    active: int = 0
    timer: Optional[Timer] = None


class HostBudget:
    """Starts requests when their site's turn comes. Not thread-safe: it lives on one event loop.

    Args:
        at_once: requests under way in all.
        at_once_per_site: of those, per site.
        spacing_seconds: between two starts at a site; 0 for none.
        max_wait_seconds: a site that asks for more than this is not waited for.
        now: a monotonic clock.
        call_later: calls a function after so many seconds, as an event loop's.
        clocks: what is known of sites from before.
    """

    def __init__(
        self,
        *,
        at_once: int,
        at_once_per_site: int,
        spacing_seconds: float,
        max_wait_seconds: float,
        now: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
        clocks: Optional[SiteClocks] = None,
    ) -> None:
        self._at_once = self._free = at_once
        self._at_once_per_site = at_once_per_site
        self._spacing_seconds = spacing_seconds
        self._max_wait_seconds = max_wait_seconds
        self._now = now
        self._call_later = call_later
        self._clocks = clocks or SiteClocks()
        self._lanes: dict[str, _Lane] = {}
        self._blocked: dict[str, None] = {}  # sites whose turn it is, in the order they wait for a free place
        self._paused = False

    def submit(
        self,
        site: str,
        start: Callable[[], None],
        refuse: Callable[[float], None],
        *,
        first: bool = False,
        host: str = "",
    ) -> None:
        """Call `start` when a request to `site` may begin, now or later; `release` the site when it is over.

        `refuse` is called instead, with the seconds to wait, when the site is held for longer than is waited for, or
        its `host` (see `silent`) is left alone. With `first` the work goes before what is queued: it continues what
        has begun.
        """
        now = self._now()
        lane = self._lanes.get(site)
        clock = lane.clock if lane is not None else self._clocks.of(site, now)
        silent = self._clocks.silent_seconds(host, now)
        if silent or clock.held_until - now > self._max_wait_seconds:
            refuse(max(silent, clock.held_until - now))
            return
        if lane is None:
            lane = self._lanes[site] = _Lane(clock)
        job = _Job(start, refuse, host)
        if first:
            lane.queue.appendleft(job)
        else:
            lane.queue.append(job)
        self._pump(site)

    def begin(self, site: Optional[str]) -> None:
        """Note that a request with a turn at `site` goes out now: the next keeps its distance from here.

        Between `start` and this lie whatever the loop was late and what the request needed first. None is no turn.
        """
        if site is not None:
            self._space(self._lanes[site].clock)

    def release(self, site: str) -> None:
        """Give the place of a finished request back."""
        self._lanes[site].active -= 1
        self._free += 1
        self._pump(site)
        self._pump_blocked()

    def hold(self, site: str, seconds: Optional[float]) -> None:
        """Ask nothing of `site` for `seconds`; None when it asked for less without saying how long (429)."""
        now = self._now()
        clock = self._clocks.of(site, now)
        if now - clock.held_until > HOLD_FORGOTTEN_SECONDS:
            clock.holds_in_a_row = 0
        if seconds is None:
            if clock.held_until > now:
                return  # an answer to what was under way when the hold began
            seconds = FIRST_HOLD_SECONDS * 2**clock.holds_in_a_row
            clock.holds_in_a_row = min(clock.holds_in_a_row + 1, 16)
        clock.held_until = max(clock.held_until, now + min(seconds, LONGEST_HOLD_SECONDS))
        if clock.held_until - now <= self._max_wait_seconds or site not in self._lanes:
            return
        refused, self._lanes[site].queue = self._lanes[site].queue, deque()
        for job in refused:
            job.refuse(clock.held_until - now)
        self._pump(site)

    def silent(self, site: str, host: str) -> None:
        """Note that `host` of `site` gave no answer; after `MOST_SILENT` in a row it is asked nothing for a while."""
        now = self._now()
        if not self._clocks.silent(host, now) or site not in self._lanes:
            return
        lane = self._lanes[site]
        refused = [job for job in lane.queue if job.host == host]
        lane.queue = deque(job for job in lane.queue if job.host != host)
        for job in refused:
            job.refuse(SILENT_SECONDS)
        self._pump(site)

    def answered(self, host: str) -> None:
        """Note that `host` gave an answer, of whatever kind."""
        self._clocks.answered(host)

    def is_silent(self, host: str) -> bool:
        """Return whether `host` is left alone because it gave no answer."""
        return self._clocks.silent_seconds(host, self._now()) > 0

    def slow_down(self, site: str, spacing_seconds: float) -> None:
        """Space the requests to `site` by at least this (its crawl-delay), up to half a minute."""
        clock = self._clocks.of(site, self._now())
        clock.spacing_seconds = max(clock.spacing_seconds, min(spacing_seconds, LONGEST_CRAWL_DELAY_SECONDS))

    @property
    def under_way(self) -> int:
        """How many requests have begun and not ended."""
        return self._at_once - self._free

    def pause(self) -> None:
        """Start nothing until `resume`; what is under way goes on."""
        self._paused = True

    def resume(self) -> None:
        """Start again what is due."""
        self._paused = False
        self._pump_blocked()

    def _pump_blocked(self) -> None:
        while self._blocked and self._free > 0 and not self._paused:
            site = next(iter(self._blocked))
            del self._blocked[site]
            self._pump(site)

    def _pump(self, site: str) -> None:
        """Start what `site` may start now, and see to it that the rest is looked at when its time comes."""
        lane = self._lanes.get(site)
        if lane is None:
            return
        while lane.queue and lane.active < self._at_once_per_site:
            if self._paused or self._free <= 0:
                self._blocked.setdefault(site)
                return
            now = self._now()
            wait = max(lane.clock.next_start_at, lane.clock.held_until) - now
            if wait > 0:
                if lane.timer is None:
                    lane.timer = self._call_later(wait, lambda: self._wake(site))
                return
            job = lane.queue.popleft()
            lane.active += 1
            self._free -= 1
            self._space(lane.clock)
            job.start()
        if not lane.queue and not lane.active:
            if lane.timer is not None:
                lane.timer.cancel()
            self._lanes.pop(site, None)

    def _space(self, clock: SiteClock) -> None:
        clock.next_start_at = self._now() + max(self._spacing_seconds, clock.spacing_seconds)

    def _wake(self, site: str) -> None:
        lane = self._lanes.get(site)
        if lane is not None:
            lane.timer = None
            self._pump(site)


class Robots:
    """What a site's robots.txt permits one user agent; `None` rules permit everything."""

    def __init__(self, rules: Optional[Protego], product: str) -> None:
        self._rules, self._product = rules, product

    def allows(self, url: str) -> bool:
        """Return whether `url` may be fetched."""
        return self._rules is None or bool(self._rules.can_fetch(url, self._product))

    @property
    def crawl_delay_seconds(self) -> float:
        """The spacing the site asks for; 0 when it asks for none."""
        delay = self._rules.crawl_delay(self._product) if self._rules is not None else None
        return float(delay) if delay is not None and delay > 0 else 0.0


def read_robots(status: int, body: bytes, *, user_agent: str) -> Optional[Robots]:
    """Return what an answer to /robots.txt permits; None when it is to be waited for (429, 5xx).

    Source: RFC 9309, 2.3.1: "unavailable" (4xx) permits everything, "unreachable" (5xx) nothing; 429 is what large
    crawlers count among the latter.
    """
    product = product_of(user_agent)
    if status == 429 or status >= 500:
        return None
    if not 200 <= status < 300:
        return Robots(None, product)
    return Robots(Protego.parse(body.decode("utf-8-sig", "replace")), product)


def product_of(user_agent: str) -> str:
    """Return the product token that robots.txt groups name: the first word without its version."""
    return one_line(user_agent).partition(" ")[0].partition("/")[0]


def origin_of(url: str) -> str:
    """Return scheme, host and port of `url`: what a robots.txt speaks for; "" where it cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme.lower()}://{host}" + (f":{port}" if port is not None else "")
