"""The budget of hosts by a clock of its own: who starts when, without a second passing."""

import heapq
from collections.abc import Callable
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.pace_hosts import (
    MOST_SILENT,
    SILENT_SECONDS,
    HostBudget,
    SiteClocks,
    origin_of,
    product_of,
    read_robots,
)


class Timers:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.time = 0.0
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0
        self._cancelled: set[int] = set()

    def now(self) -> float:
        return self.time

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        self._made += 1
        number = self._made
        heapq.heappush(self._waiting, (self.time + seconds, number, call))
        cancelled = self._cancelled

        class Handle:
            def cancel(self) -> None:
                cancelled.add(number)

        return Handle()

    def run_until(self, time: float) -> None:
        while self._waiting and self._waiting[0][0] <= time:
            at, number, call = heapq.heappop(self._waiting)
            if number not in self._cancelled:
                self.time = max(self.time, at)
                call()
        self.time = max(self.time, time)


class Site:
    """Work that notes when it was started or refused, and is over when it is told."""

    def __init__(self, timers: Timers, *, clocks: Optional[SiteClocks] = None, **given: Any) -> None:
        self.timers = timers
        settings = {"at_once": 100, "at_once_per_site": 100, "spacing_seconds": 0.0, "max_wait_seconds": 120.0, **given}
        self.budget = HostBudget(now=timers.now, call_later=timers.call_later, clocks=clocks, **settings)
        self.started: list[tuple[str, float]] = []
        self.refused: list[tuple[str, float]] = []

    def submit(self, name: str, *, first: bool = False, host: str = "") -> None:
        self.budget.submit(
            name.partition("/")[0],
            lambda: self.started.append((name, self.timers.time)),
            lambda seconds: self.refused.append((name, seconds)),
            first=first,
            host=host,
        )


def test_starts_at_a_site_are_spaced_and_other_sites_do_not_wait() -> None:
    timers = Timers()
    work = Site(timers, spacing_seconds=2.0)
    for name in ("a/1", "a/2", "b/1", "a/3"):
        work.submit(name)
    timers.run_until(10)
    assert work.started == [("a/1", 0), ("b/1", 0), ("a/2", 2), ("a/3", 4)]


def test_the_distance_to_the_next_counts_from_when_a_request_goes_out() -> None:
    timers = Timers()
    work = Site(timers, spacing_seconds=2.0)
    for name in ("a/1", "a/2", "a/3"):
        work.submit(name)
    timers.run_until(1.5)  # the loop was late, or a secret had to be read
    work.budget.begin("a")
    work.budget.begin(None)
    timers.run_until(10)
    assert work.started == [("a/1", 0), ("a/2", 3.5), ("a/3", 5.5)]


def test_a_site_has_few_at_once() -> None:
    timers = Timers()
    work = Site(timers, at_once_per_site=2)
    for n in range(4):
        work.submit(f"a/{n}")
    assert [name for name, _ in work.started] == ["a/0", "a/1"]
    timers.run_until(7)
    work.budget.release("a")
    assert work.started[2:] == [("a/2", 7)]


def test_a_place_in_all_goes_round_the_sites() -> None:
    work = Site(Timers(), at_once=1)
    for name in ("a/1", "a/2", "b/1", "c/1"):
        work.submit(name)
    for _ in range(3):
        work.budget.release(work.started[-1][0].partition("/")[0])
    assert [name for name, _ in work.started] == ["a/1", "a/2", "b/1", "c/1"]


def test_what_continues_goes_first() -> None:
    timers = Timers()
    work = Site(timers, spacing_seconds=1.0)
    for name in ("a/1", "a/2"):
        work.submit(name)
    work.submit("a/hop", first=True)
    timers.run_until(5)
    assert [name for name, _ in work.started] == ["a/1", "a/hop", "a/2"]


def test_a_host_that_gives_no_answer_is_left_alone_and_only_that_host() -> None:
    timers = Timers()
    work = Site(timers, at_once_per_site=1)
    for n in range(8):
        work.submit(f"a/dead{n}", host="dead.a")
    work.submit("a/live", host="live.a")
    for _ in range(MOST_SILENT):
        work.budget.silent("a", "dead.a")
        work.budget.release("a")
    assert [name for name, _ in work.started] == [*(f"a/dead{n}" for n in range(MOST_SILENT)), "a/live"]
    assert work.refused == [(f"a/dead{n}", SILENT_SECONDS) for n in range(MOST_SILENT, 8)]
    assert [work.budget.is_silent(host) for host in ("dead.a", "live.a", "")] == [True, False, False]
    timers.run_until(SILENT_SECONDS - 1)
    work.submit("a/early", host="dead.a")
    assert work.refused[-1] == ("a/early", 1.0)


@pytest.mark.parametrize(("answers", "refused"), [(False, True), (True, False)])
def test_one_attempt_after_its_time_decides_anew(answers: bool, refused: bool) -> None:
    timers = Timers()
    work = Site(timers)
    for _ in range(MOST_SILENT):
        work.budget.silent("a", "dead.a")
    timers.run_until(SILENT_SECONDS)
    work.submit("a/probe", host="dead.a")
    assert work.started == [("a/probe", SILENT_SECONDS)]
    if answers:
        work.budget.answered("dead.a")
    else:
        work.budget.silent("a", "dead.a")
    work.submit("a/next", host="dead.a")
    assert bool(work.refused) is refused


def test_silences_count_only_in_a_row() -> None:
    work = Site(Timers())
    for _ in range(3):
        for _ in range(MOST_SILENT - 1):
            work.budget.silent("a", "slow.a")
        work.budget.answered("slow.a")
    assert not work.budget.is_silent("slow.a")


def test_a_short_hold_is_waited_for_and_a_long_one_refused() -> None:
    timers = Timers()
    work = Site(timers, at_once_per_site=1)
    work.submit("a/1")
    work.submit("a/2")
    work.budget.hold("a", 30)
    work.budget.release("a")
    timers.run_until(29)
    assert len(work.started) == 1
    timers.run_until(30)
    assert work.started[1:] == [("a/2", 30)]
    work.submit("a/3")
    work.budget.hold("a", 500)
    assert work.refused == [("a/3", 500)]
    work.budget.release("a")
    timers.run_until(400)
    work.submit("a/4")
    assert work.refused[1:] == [("a/4", 130)]
    timers.run_until(420)
    work.submit("a/5")
    timers.run_until(530)
    assert work.started[2:] == [("a/5", 530)]


def test_a_hold_without_a_time_doubles_and_is_forgotten() -> None:
    timers = Timers()
    clocks = SiteClocks()
    work = Site(timers, clocks=clocks)
    waits = []
    for pause in (0, 1, 1, 3000):
        timers.run_until(max(clocks.of("a", timers.time).held_until, timers.time) + pause)
        work.budget.hold("a", None)
        work.budget.hold("a", None)  # another answer to what was under way
        waits.append(clocks.of("a", timers.time).held_until - timers.time)
    assert waits == [60, 120, 240, 60]


def test_a_hold_is_at_most_a_day() -> None:
    clocks = SiteClocks()
    Site(Timers(), clocks=clocks).budget.hold("a", 1e9)
    assert clocks.of("a", 0).held_until == 86_400


def test_a_crawl_delay_spaces_and_is_believed_up_to_half_a_minute() -> None:
    timers = Timers()
    work = Site(timers)
    work.budget.slow_down("a", 1000)
    for n in range(3):
        work.submit(f"a/{n}")
    timers.run_until(100)
    assert [at for _, at in work.started] == [0, 30, 60]


def test_a_pause_starts_nothing_and_the_end_of_it_everything() -> None:
    work = Site(Timers())
    work.budget.pause()
    for name in ("a/1", "b/1"):
        work.submit(name)
    assert work.started == []
    work.budget.resume()
    assert [name for name, _ in work.started] == ["a/1", "b/1"]


def test_the_next_budget_keeps_its_distance_from_the_last() -> None:
    timers, clocks = Timers(), SiteClocks()
    for _ in range(2):
        work = Site(timers, clocks=clocks, spacing_seconds=5.0)
        work.submit("a/1")
    timers.run_until(10)
    assert work.started == [("a/1", 5)]


@settings(max_examples=150, deadline=None)
@given(
    jobs=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5), st.booleans()), max_size=40),
    at_once=st.integers(1, 5),
    per_site=st.integers(1, 3),
    spacing=st.sampled_from([0.0, 0.5, 2.0]),
    holds=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 300)), max_size=3),
)
def test_every_job_is_started_or_refused_once_and_no_limit_is_ever_passed(
    jobs: list[tuple[str, float, bool]], at_once: int, per_site: int, spacing: float, holds: list[tuple[str, float]]
) -> None:
    timers = Timers()
    budget = HostBudget(
        at_once=at_once, at_once_per_site=per_site, spacing_seconds=spacing, max_wait_seconds=120.0,
        now=timers.now, call_later=timers.call_later,
    )  # fmt: skip
    under_way = dict.fromkeys("abc", 0)
    last_start = dict.fromkeys("abc", -1e9)
    ended: list[int] = []

    def submit(number: int, site: str, seconds: float, first: bool) -> None:
        def start() -> None:
            under_way[site] += 1
            assert under_way[site] <= per_site
            assert sum(under_way.values()) <= at_once
            assert timers.time - last_start[site] >= spacing - 1e-9
            last_start[site] = timers.time
            timers.call_later(seconds, end)

        def end() -> None:
            under_way[site] -= 1
            ended.append(number)
            budget.release(site)

        budget.submit(site, start, lambda wait: ended.append(number), first=first)

    for number, (site, seconds, first) in enumerate(jobs):
        submit(number, site, seconds, first)
    for site, seconds in holds:
        timers.run_until(timers.time + 1)
        budget.hold(site, seconds)
    timers.run_until(10_000)
    assert sorted(ended) == list(range(len(jobs)))
    assert budget._lanes == {}
    assert budget._free == at_once


# ---- robots.txt ------------------------------------------------------------------------------------------------------

AGENT = "newsbeam/1.2 (+mailto:x@example.org)"


@pytest.mark.parametrize(
    ("status", "body", "allowed"),
    [
        (200, b"User-agent: *\nDisallow: /private", {"/": True, "/private/x": False}),
        (200, b"User-agent: newsbeam\nDisallow:\n\nUser-agent: *\nDisallow: /", {"/": True}),
        (200, b"User-agent: newsbeamer\nDisallow: /", {"/": True}),
        (200, b"\xef\xbb\xbfUser-agent: *\nDisallow: /*.pdf$\nAllow: /a*b", {"/x.pdf": False, "/x.pdf?y": True}),
        (200, b"<html>not a robots file", {"/": True}),
        (200, b"", {"/": True}),
        (404, b"User-agent: *\nDisallow: /", {"/": True}),
        (401, b"", {"/": True}),
        (302, b"", {"/": True}),
        (500, b"", None),
        (503, b"", None),
        (429, b"", None),
    ],
)
def test_robots(status: int, body: bytes, allowed: Optional[dict[str, bool]]) -> None:
    robots = read_robots(status, body, user_agent=AGENT)
    if allowed is None:
        assert robots is None
    else:
        assert robots is not None
        assert {path: robots.allows("https://a.test" + path) for path in allowed} == allowed


def test_a_crawl_delay_is_read() -> None:
    for value, seconds in (("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", 0.0)):
        robots = read_robots(200, f"User-agent: *\nCrawl-delay: {value}".encode(), user_agent=AGENT)
        assert robots is not None
        assert robots.crawl_delay_seconds == seconds


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("HTTP://A.test/x?y", "http://a.test"),
        ("https://a.test:8443/", "https://a.test:8443"),
        ("http://u:p@[::1]:80/", "http://[::1]:80"),
        ("http://[", ""),
    ],
)
def test_an_origin_holds_no_password(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_the_product_is_the_first_word_without_its_version() -> None:
    assert (product_of(AGENT), product_of("bare"), product_of("two words/3")) == ("newsbeam", "bare", "two")
