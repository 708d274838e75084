"""The service that polls feeds and fetches pages, one per worker process: the room behind acquire.py.

Decisions:
    `Acquirer` is an asyncio loop in a daemon thread. `start` hands it feeds and returns; `harvest` takes what is
    finished. So a slow host never holds a bundle, and extraction of the first pages overlaps with waiting for the
    last. All state is the loop thread's own; only the queue of finished items is shared, under one lock. When that
    queue is full nothing new is started until it has been harvested.

    A `Poll` is put into that queue after everything that came of it, and its row says what it all was: entries =
    known + new. Whatever goes wrong in between becomes an item as well (a `Failure`, or a poll of reason ``bug``):
    nothing is lost in silence, and harvest cannot wait for what will never come.

    The full text in a feed is taken as it is; only else is the page fetched. A page that cannot be had, now or ever,
    falls back to what text the feed has, and `Page.origin` says so (entry_pages.py has the exceptions); one that may
    be had later is a transient failure.

    What is under way is remembered by feed until its entries are known to the memory or `in_flight_seconds` have
    passed: a second poll would fetch the same entries again and count them twice. Where the schedule is followed, a
    poll without entries is remembered as well, until its row is committed. The sum of those entries is what a lake
    that is away can cost: beyond `max_entries_in_flight` nothing is polled.

Limits: formats beyond what `parse` reads and discovery are not here.
"""

import asyncio
import concurrent.futures
import functools
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional, Protocol

from apache_beam.utils.timestamp import Timestamp

from transforms import telemetry
from transforms.dead_letters import failure_of
from transforms.entry_pages import attempt_by_content, feed_text_stands_in, ids_change, page_of
from transforms.errors import IngestError, LakeError, RejectedError, mask_url
from transforms.feed_parser import FeedParser
from transforms.fetch_pages import HostMemory, Outcome, PageFetcher
from transforms.gather_sitemaps import gather_nested
from transforms.harvest_queue import HarvestQueue, Item
from transforms.http import AllowedHost, HttpClient, Proxy, Response
from transforms.pace_hosts import HostBudget
from transforms.page_reservations import DEFAULT_SIGNALS
from transforms.polite_client import PoliteClient, Turn
from transforms.poll_feeds import (
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
    decide,
    error_of_status,
    is_due,
    read_answer,
    request_headers,
)
from transforms.read_page import PageAnswer
from transforms.records import FeedEntry, FeedSpec, FeedState, KnownContent, Page, ParsedFeed, Poll, entry_id_of

_log = logging.getLogger("newsbeam.acquire")

Parse = Callable[..., ParsedFeed]

FEED_ACCEPT = "application/atom+xml,application/rss+xml,application/feed+json,application/xml;q=0.9,*/*;q=0.5"
PARSE_THREADS = 2  # for what is made of parsed feeds, and for whatever `parse` is no FeedParser


@dataclass(frozen=True)
class AcquireConfig:
    """How to acquire; frozen and picklable.

    Args:
        user_agent: names the crawler and a contact; its first word is what robots.txt calls it.
        allow_hosts: hosts that may be reached although their address is not public.
        proxy: through which everything is fetched; None for directly.
        total_timeout_seconds: wall clock of one exchange, redirects and body included.
        max_body_bytes: of a feed or page, decoded.
        max_concurrent_requests: in all.
        max_requests_per_site: under way at one registrable domain.
        spacing_seconds: between two starts at one registrable domain; 0 only for servers of one's own.
        max_site_wait_seconds: a site that asks for a longer wait is left for the next run.
        max_entries_per_feed: the newest of a longer feed, as listed.
        max_new_per_poll: new entries taken from one poll; the rest is left for the next. None for all.
        full_text_min_chars: a feed's text of at least this much, and not ending as a teaser, needs no page.
        honour_robots: for pages; feeds were listed by the user.
        honour_reservations: which of `page_reservations.SIGNALS` reject a page.
        feed_text_for_reserved: take what text the feed has of a page that is rejected so.
        shortest_interval_seconds: between two polls of a feed, where the schedule is followed.
        longest_interval_seconds: likewise.
        in_flight_seconds: how long a poll that was put out is waited for; then its feed is polled again.
        max_entries_in_flight: seen and not committed; from there on nothing is polled. None for no bound.
        feed_headers: returns what a feed of its own headers is asked with, secrets looked up; picklable. It may read
            files, and is called for each poll on a thread of the acquirer. None sends none.
    """

    user_agent: str
    allow_hosts: tuple[AllowedHost, ...] = ()
    proxy: Optional[Proxy] = None
    total_timeout_seconds: float = 30.0
    max_body_bytes: int = 15 * 1024 * 1024
    max_concurrent_requests: int = 200
    max_requests_per_site: int = 2
    spacing_seconds: float = 1.0
    max_site_wait_seconds: float = 120.0
    max_entries_per_feed: int = 2_000
    max_new_per_poll: Optional[int] = None
    full_text_min_chars: int = 600
    honour_robots: bool = True
    honour_reservations: tuple[str, ...] = DEFAULT_SIGNALS
    feed_text_for_reserved: bool = False
    shortest_interval_seconds: float = SHORTEST_SECONDS
    longest_interval_seconds: float = LONGEST_SECONDS
    in_flight_seconds: float = 900.0
    max_entries_in_flight: Optional[int] = None
    feed_headers: Optional[Callable[[FeedSpec], Mapping[str, str]]] = None

    def __post_init__(self) -> None:
        """Check the values; ValueError names the first that is wrong."""
        if not self.user_agent.strip():
            raise ValueError("user_agent is empty; name the crawler and a contact address")
        at_least = {
            "total_timeout_seconds": 0.001,
            "max_body_bytes": 1,
            "max_concurrent_requests": 1,
            "max_requests_per_site": 1,
            "spacing_seconds": 0,
            "max_site_wait_seconds": 0,
            "max_entries_per_feed": 1,
            "full_text_min_chars": 1,
            "shortest_interval_seconds": 0.001,
            "longest_interval_seconds": self.shortest_interval_seconds,
            "in_flight_seconds": 0.001,
        }
        for name, least in at_least.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.max_new_per_poll is not None and self.max_new_per_poll < 1:
            raise ValueError(f"max_new_per_poll must be at least 1 or None, not {self.max_new_per_poll}")


def interval_bounds(spec: FeedSpec, shortest: float, longest: float) -> tuple[float, float]:
    """Return the bounds of a feed's interval: the worker's `shortest` and `longest`, but where the list says otherwise.

    A bound of the list moves the worker's other one out of its way.
    """
    least, most = spec.min_interval_seconds, spec.max_interval_seconds
    if least is None:
        least = shortest if most is None else min(shortest, most)
    return least, max(longest, least) if most is None else most


class Memory(Protocol):
    """What acquisition asks of the lake."""

    def feed_states(self, feed_ids: Sequence[str]) -> Mapping[str, FeedState]:
        """Return the state of each feed that has been polled."""

    def entry_attempts(self, pairs: Sequence[tuple[str, str]], now: Timestamp) -> Sequence[int]:
        """Return for each (entry_id, entry_hash) 0 when it is known, else the number of the attempt that is next."""

    def known_contents(self, feed_id: str, entry_hashes: Sequence[str]) -> Sequence[Optional[KnownContent]]:
        """Return for each `entry_hash` what is known of it within the feed, whatever the entry's id."""

    def has_due_retries(self, feed_id: str, now: Timestamp) -> bool:
        """Return whether an entry of the feed waits to be tried again now."""

    def refresh(self) -> None:
        """Look at what others have committed (asked by an acquirer that runs on)."""


@dataclass
class _Run:
    """One poll of one feed, until its row is put out; `pending` counts what is still to be put out before."""

    spec: FeedSpec
    state: FeedState
    has_due_retries: bool
    polled_at: Timestamp
    started: float
    poll: Optional[Poll] = None
    pending: int = 0
    has_lost_entries: bool = False


@dataclass(frozen=True)
class _InFlight:
    polled_at: Timestamp
    pairs: tuple[tuple[str, str], ...]
    attempts: tuple[int, ...]
    until: float


class Acquirer:
    """Polls feeds and fetches pages on a thread of its own. `start` and `harvest` may be called from any thread.

    Delivery: every feed handed to `start` that is due ends in exactly one `Poll`, put out after a `Page` or a
    `Failure` for each of its new entries; one that is not due, or under way already, in nothing.

    Args:
        config: see `AcquireConfig`.
        memory: what is known; called on one thread of the acquirer, never twice at the same time.
        parse: reads a feed: ``parse(body, url=..., content_type=...)``; called on threads of the acquirer, which
            nothing can stop. A `FeedParser` reads in worker processes instead, within its bounds.
        respect_schedule: poll only what its adaptive interval says is due.
        runs_on: `start` looks first at what others have committed, and while the memory cannot be asked polls nothing
            instead of stopping.
        clock: the time of day in seconds.
        rng: jitter.
        hosts: what is remembered of hosts from before.

    Attributes:
        entries_in_flight: how many entries were seen and not committed when work was last started.
        is_full: whether that is so many that nothing new is polled.
        is_away: whether the memory could not be asked when work was last started.
    """

    def __init__(
        self,
        config: AcquireConfig,
        *,
        memory: Memory,
        parse: Parse,
        respect_schedule: bool = False,
        runs_on: bool = False,
        clock: Callable[[], float] = time.time,
        rng: Optional[random.Random] = None,
        hosts: Optional[HostMemory] = None,
    ) -> None:
        hosts = hosts or HostMemory()
        self._config, self._memory, self._parse = config, memory, parse
        self._respect_schedule, self._runs_on = respect_schedule, runs_on
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._finished = HarvestQueue()
        self._stopping = False
        self.entries_in_flight = 0
        self.is_full = self.is_away = False
        self._runs: dict[str, _Run] = {}
        self._in_flight: dict[str, _InFlight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._memory_thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="newsbeam-memory")
        self._parse_threads = concurrent.futures.ThreadPoolExecutor(PARSE_THREADS, thread_name_prefix="newsbeam-parse")
        self._loop = asyncio.new_event_loop()
        self._client = HttpClient(
            user_agent=config.user_agent,
            allow_hosts=config.allow_hosts,
            proxy=config.proxy,
            total_timeout_seconds=config.total_timeout_seconds,
            max_body_bytes=config.max_body_bytes,
        )
        self._budget = HostBudget(
            at_once=config.max_concurrent_requests,
            at_once_per_site=config.max_requests_per_site,
            spacing_seconds=config.spacing_seconds,
            max_wait_seconds=config.max_site_wait_seconds,
            now=self._loop.time,
            call_later=lambda seconds, call: self._loop.call_later(seconds, self._guarded, call),
            clocks=hosts.clocks,
        )
        self._polite = PoliteClient(self._client, self._budget, spawn=self._spawn, now=self._now)
        self._pages = PageFetcher(
            self._polite,
            user_agent=config.user_agent,
            honour_robots=config.honour_robots,
            honour_reservations=config.honour_reservations,
            hosts=hosts,
            clock=self._loop.time,
        )
        self._thread = threading.Thread(target=self._run_loop, name="newsbeam-acquirer", daemon=True)
        self._thread.start()

    # ---- from any thread -------------------------------------------------------------------------------------------

    def start(self, feeds: Sequence[FeedSpec]) -> None:
        """Begin with `feeds` and return at once."""
        feeds = list({spec.feed_id: spec for spec in feeds}.values())
        if self._finished.closed:
            raise RuntimeError("the acquirer is closed")
        self._finished.count(len(feeds))
        self._loop.call_soon_threadsafe(self._guarded, lambda: self._spawn(self._begin(feeds)))

    def start_pages(self, pages: Sequence[Page]) -> None:
        """Fetch `pages` again and return at once; each ends in exactly one `Page` or `Failure`. No feed is polled."""
        if self._finished.closed:
            raise RuntimeError("the acquirer is closed")
        self._finished.count(len(pages))
        self._loop.call_soon_threadsafe(self._guarded, lambda: self._fetch_again(pages))

    def harvest(self, max_items: int = 100, timeout_seconds: float = 1.0) -> list[Item]:
        """Return finished items, oldest first; waits up to `timeout_seconds` for one, not when `idle`.

        Raises:
            LakeError: the memory cannot be asked; the run stops with what it says.
        """
        items, made_room = self._finished.take(max_items, timeout_seconds)
        if made_room:
            self._loop.call_soon_threadsafe(self._guarded, self._resume)
        return items

    def harvest_all(self) -> Iterator[Item]:
        """Yield finished items until the acquirer is idle; raises as `harvest` does."""
        while True:
            items = self.harvest()
            yield from items
            if not items and self.idle:
                return

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing left to harvest."""
        return self._finished.is_idle()

    @property
    def requests_under_way(self) -> int:
        """How many requests wait for an answer."""
        return self._budget.under_way

    @property
    def waiting_items(self) -> int:
        """How many finished items wait to be harvested."""
        return len(self._finished)

    def wind_down(self) -> None:
        """Start nothing any more, neither polls nor pages; what is under way is finished and can be harvested."""
        self._stopping = True
        self._loop.call_soon_threadsafe(self._guarded, self._budget.pause)

    def close(self) -> None:
        """Stop, leaving what is under way; its polls are never put out, so that nothing of them counts."""
        with self._finished.changed:
            if self._finished.closed:
                return
            self._finished.closed = True
            self._finished.changed.notify_all()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._memory_thread.shutdown(wait=False, cancel_futures=True)
        self._parse_threads.shutdown(wait=False, cancel_futures=True)

    # ---- on the loop's thread --------------------------------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._budget.pause()  # turns that are given back now must start nothing
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._client.close())
        finally:
            self._loop.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a defect outside all that is caught: better an end with a word than a wait without
            self._finished.stop(error)

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._finished.stop(error)

    def _resume(self) -> None:
        if not self._finished.paused and not self._stopping:  # it may have filled up again since
            self._budget.resume()

    def _now(self) -> Timestamp:
        return Timestamp.of(self._clock())

    def _put(self, item: Item) -> None:
        if self._finished.put(item):
            self._budget.pause()

    def _ask_memory(self, question: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return self._loop.run_in_executor(self._memory_thread, question, *args)

    # ---- feeds -----------------------------------------------------------------------------------------------------

    async def _begin(self, listed: Sequence[FeedSpec]) -> None:
        now = self._now()
        feeds = [spec for spec in listed if spec.feed_id not in self._runs]
        runs = [_Run(spec, FeedState(spec.feed_id), False, now, self._loop.time()) for spec in feeds]
        self._runs.update((run.spec.feed_id, run) for run in runs)
        self._finished.count(len(feeds) - len(listed))
        in_flight = dict(self._in_flight)
        try:
            states, retries, waiting, lost = await self._ask_memory(self._recall, feeds, in_flight, now)
        except LakeError as error:
            if not self._runs_on:
                self._finished.stop(error)
                return
            self._be_away(runs, error)
            return
        except Exception as error:
            for run in runs:
                self._fail(run, error)
            return
        if self.is_away:
            _log.warning("the lake can be read again; polling goes on")
        self.is_away = False
        # What was put out while the memory was asked is on its way as well.
        waiting |= {feed_id: f for feed_id, f in self._in_flight.items() if in_flight.get(feed_id) is not f}
        self._in_flight = waiting
        self.entries_in_flight = sum(len(flight.pairs) for flight in waiting.values())
        limit = self._config.max_entries_in_flight
        self.is_full = limit is not None and self.entries_in_flight >= limit
        is_stopped = self._stopping or self.is_full
        telemetry.ENTRIES_IN_FLIGHT.set(self.entries_in_flight)
        telemetry.POLLING_STOPPED.set(is_stopped)
        for run in runs:
            feed_id = run.spec.feed_id
            run.state = states.get(feed_id) or run.state
            run.has_due_retries = feed_id in retries
            run.has_lost_entries = feed_id in lost
            early = is_due(run.state, now, respect_schedule=self._respect_schedule)
            if early == "not_yet_due" and run.has_due_retries:
                early = None
            if is_stopped or feed_id in waiting or early is not None:
                del self._runs[feed_id]
                self._finished.count(-1)
                continue
            self._submit(run)

    def _be_away(self, runs: Sequence[_Run], error: LakeError) -> None:
        if not self.is_away:
            _log.error("the lake cannot be read, so nothing is polled until it can: %s", error)
        self.is_away = True
        telemetry.POLLING_STOPPED.set(1)
        for run in runs:
            del self._runs[run.spec.feed_id]
        self._finished.count(-len(runs))

    def _recall(
        self, feeds: Sequence[FeedSpec], in_flight: Mapping[str, _InFlight], now: Timestamp
    ) -> tuple[Mapping[str, FeedState], set[str], dict[str, _InFlight], set[str]]:
        """Return the feeds' states, which have retries due, what is on its way, and what never arrived (in time)."""
        if self._runs_on:
            self._memory.refresh()
        ids = [spec.feed_id for spec in feeds]
        states = self._memory.feed_states([*ids, *in_flight])
        retries = {feed_id for feed_id in ids if feed_id in states and self._memory.has_due_retries(feed_id, now)}
        waiting = {
            feed_id: flight
            for feed_id, flight in in_flight.items()
            if not self._has_arrived(flight, states.get(feed_id), now)
        }
        lost = {feed_id for feed_id, flight in waiting.items() if self._clock() >= flight.until}
        return states, retries, {feed_id: waiting[feed_id] for feed_id in waiting.keys() - lost}, lost

    def _recall_entries(
        self, feed_id: str, entries: Sequence[tuple[str, FeedEntry]], now: Timestamp
    ) -> tuple[Sequence[int], Optional[set[str]]]:
        """Return the next attempt of each entry (0: known), and which are only looked at again; None where ids hold."""
        attempts = list(self._memory.entry_attempts([(entry_id, e.entry_hash) for entry_id, e in entries], now))
        if attempts.count(1) < 2:
            return attempts, None
        contents = self._memory.known_contents(feed_id, [entry.entry_hash for _, entry in entries])
        if not ids_change(attempts, contents):
            return attempts, None
        again = set()
        for i, ((entry_id, entry), content) in enumerate(zip(entries, contents, strict=True)):
            if content is not None and attempts[i] == 1:
                attempts[i] = attempt_by_content(
                    entry, content, now, full_text_min_chars=self._config.full_text_min_chars
                )
                if content.is_final and attempts[i]:
                    again.add(entry_id)
        return attempts, again

    def _has_arrived(self, flight: _InFlight, state: Optional[FeedState], now: Timestamp) -> bool:
        if state is not None and state.polled_at is not None and state.polled_at >= flight.polled_at:
            return True
        next_attempts = self._memory.entry_attempts(flight.pairs, now) if flight.pairs else []
        entries_arrived = all(n == 0 or n > made for n, made in zip(next_attempts, flight.attempts, strict=True))
        # With a schedule to follow, only the row of the poll says when the feed is due again.
        return entries_arrived and (not self._respect_schedule or bool(flight.pairs))

    def _submit(self, run: _Run) -> None:
        self._polite.when_due(run.spec.url, lambda turn: self._poll(run, turn), lambda error: self._fail(run, error))

    async def _poll(self, run: _Run, turn: Turn) -> None:
        response: Optional[Response] = None
        run.polled_at, run.started = self._now(), self._loop.time()
        conditional = {} if run.has_due_retries else request_headers(run.state, run.polled_at)
        try:
            own = await self._own_headers(run.spec)
            with telemetry.FETCH_SECONDS.labels("feed").time():
                response = await self._polite.fetch(
                    turn, run.spec.url, headers={"Accept": FEED_ACCEPT, **own, **conditional}
                )
            status = read_answer(run.state, response, sent=conditional, now=run.polled_at)
            parsed = None
            if status == "parse" or (status == "unchanged" and run.has_due_retries):
                status = "ok"
                parsed = await self._read_feed(response)
                if parsed.nested:
                    since = None if run.state.failures_in_a_row else run.state.polled_at
                    parsed = await gather_nested(
                        parsed, url=response.url, read=self._read_nested, now=run.polled_at, since=since
                    )
            await self._take(run, response, status, parsed)
        except LakeError as error:
            self._finished.stop(error)
        except Exception as error:
            self._fail(run, error, response)
        finally:
            self._polite.release(turn)  # it is held still where the headers could not be had

    async def _own_headers(self, spec: FeedSpec) -> Mapping[str, str]:
        """Return the feed's own headers; the client sends them to the feed's own origin alone."""
        if self._config.feed_headers is None or not spec.headers:
            return {}
        return await self._loop.run_in_executor(self._parse_threads, self._config.feed_headers, spec)

    async def _read_nested(self, url: str) -> ParsedFeed:
        await self._pages.check_robots(url)
        response = await self._polite.get(url, headers={"Accept": FEED_ACCEPT}, check_hop=self._pages.check_robots)
        if response.status != 200:
            raise error_of_status(response, self._now())
        return await self._read_feed(response)

    async def _read_feed(self, response: Response) -> ParsedFeed:
        parse, url, content_type = self._parse, response.url, response.headers.get("Content-Type")
        if isinstance(parse, FeedParser):
            most = self._config.max_entries_per_feed + 1  # one more, so that it is seen that there are more
            parsing = parse.submit(response.body, url=url, content_type=content_type, most_entries=most)
            outcome = await asyncio.wrap_future(parsing)
            work = functools.partial(parse.finish, outcome, url=url)
        else:
            work = functools.partial(parse, response.body, url=url, content_type=content_type)
        return await self._loop.run_in_executor(self._parse_threads, work)

    async def _take(self, run: _Run, response: Response, status: str, parsed: Optional[ParsedFeed]) -> None:
        """Turn the entries of an answer into pages, failures and wishes, and fix what the poll's row will say."""
        config, spec, now = self._config, run.spec, run.polled_at
        listed = {entry_id_of(spec.feed_id, e.key): e for e in reversed(parsed.entries if parsed is not None else ())}
        entries = list(reversed(listed.items()))  # the first of those that share a key
        warnings = ["entries_capped"] if len(entries) > config.max_entries_per_feed else []
        entries = entries[: config.max_entries_per_feed]
        attempts: Sequence[int] = ()
        again: Optional[set[str]] = None
        if entries:
            attempts, again = await self._ask_memory(self._recall_entries, spec.feed_id, entries, now)
            warnings += ["ids_change"] if again is not None else []
        new = [(i, entry, int(n)) for (i, entry), n in zip(entries, attempts, strict=True) if n > 0]
        taken = new[: config.max_new_per_poll]
        pages: list[Page] = []
        if taken:
            language = parsed.language if parsed is not None else None
            pages = await self._loop.run_in_executor(self._parse_threads, self._pages_of, run, taken, language)
            # A page that is gone by now must not put the feed's teaser in the place of its article.
            pages = [replace(page, text=None) if page.entry_id in (again or ()) else page for page in pages]
        shortest, longest = interval_bounds(spec, config.shortest_interval_seconds, config.longest_interval_seconds)
        poll = decide(
            run.state,
            url=spec.url,
            polled_at=now,
            response=response,
            status=status,
            parsed=parsed,
            entries=len(entries) - (len(new) - len(taken)),
            new_entries=[(page.entry_id, page.entry_hash) for page in pages],
            fresh=sum(page.attempt == 1 for page in pages),
            deferred=len(new) - len(taken),
            warnings=warnings,
            duration_ms=self._ms_since(run),
            jitter=self._rng.random(),
            shortest_seconds=shortest,
            longest_seconds=longest,
        )
        # From here on nothing awaits: the poll and its pages begin together or not at all.
        run.poll = poll
        if pages or self._respect_schedule:
            self._remember(run, pages)
        run.pending = len(pages) + 1
        for page in pages:
            self._acquire(run, page)
        self._settle(run)

    def _pages_of(self, run: _Run, taken: Sequence[tuple[str, FeedEntry, int]], language: Optional[str]) -> list[Page]:
        return [
            page_of(
                entry,
                entry_id=entry_id,
                spec=run.spec,
                seen_at=run.polled_at,
                attempt=attempt,
                language=language,
                full_text_min_chars=self._config.full_text_min_chars,
            )
            for entry_id, entry, attempt in taken
        ]

    def _fail(self, run: _Run, error: Exception, response: Optional[Response] = None) -> None:
        """Put out the poll of a feed that could not be polled; an error of no known kind is a defect of ours."""
        if run.poll is not None:  # its pages are on their way and will put it out
            self._finished.stop(error)
            return
        if not isinstance(error, IngestError):
            error = RejectedError(f"{mask_url(run.spec.url)}: {type(error).__name__}: {error}", reason="bug")
        run.poll = decide(
            run.state,
            url=run.spec.url,
            polled_at=run.polled_at,
            response=response,
            error=error,
            duration_ms=self._ms_since(run),
            jitter=self._rng.random(),
        )
        if self._respect_schedule:
            self._remember(run, ())
        run.pending = 1
        self._settle(run)

    def _remember(self, run: _Run, pages: Sequence[Page]) -> None:
        self._in_flight[run.spec.feed_id] = _InFlight(
            run.polled_at,
            tuple((page.entry_id, page.entry_hash) for page in pages),
            tuple(page.attempt for page in pages),
            self._clock() + self._config.in_flight_seconds,
        )

    def _settle(self, run: _Run) -> None:
        run.pending -= 1
        if run.pending:
            return
        assert run.poll is not None
        self._runs.pop(run.spec.feed_id, None)
        self._put(run.poll)
        self._finished.count(-1)

    def _ms_since(self, run: _Run) -> int:
        return round((self._loop.time() - run.started) * 1000)

    # ---- pages -----------------------------------------------------------------------------------------------------

    def _acquire(self, run: _Run, page: Page) -> None:
        if page.origin == "feed":
            self._deliver(run, page)
        elif not page.url:
            self._deliver(run, page, RejectedError("an entry with neither a link nor a text", reason="no_link"))
        else:
            # A page that was kept may be older than an entry that has changed meanwhile.
            afresh = page.attempt > 1 or run.has_lost_entries
            self._pages.want(page.url, lambda outcome: self._deliver(run, page, outcome), afresh=afresh)

    def _deliver(self, run: _Run, page: Page, outcome: Optional[Outcome] = None) -> None:
        self._put(self._item_of(page, outcome))
        self._settle(run)

    def _fetch_again(self, pages: Sequence[Page]) -> None:
        for page in pages:
            self._pages.want(page.url, functools.partial(self._deliver_again, page), afresh=True)

    def _deliver_again(self, page: Page, outcome: Outcome) -> None:
        self._put(self._item_of(page, outcome))
        self._finished.count(-1)

    def _item_of(self, page: Page, outcome: Optional[Outcome]) -> Item:
        """Return what became of an entry: its page, its feed's text, or a failure."""
        item: Item = page
        if isinstance(outcome, PageAnswer):
            item = replace(page, url=outcome.url, html=outcome.body, content_type=outcome.content_type)
        elif outcome is not None:
            if feed_text_stands_in(page, outcome, for_reserved=self._config.feed_text_for_reserved):
                item = replace(page, origin="feed")
            else:
                item = failure_of(page, outcome, stage="fetch", now=self._now())
        return item
