"""Polling many hosts: no slower than their spacing dictates, cheap when nothing is new, within every domain's budget.

The hosts are a server process that logs what it sees; the acquirer is measured in a process of its own.
"""

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from apache_beam.utils.timestamp import Timestamp

from tests.bench.feed_hosts import ROOT, Exchange, FeedHosts, LoopLag
from tests.bench.poll_rounds import Memory, poll_all
from transforms.acquire import AcquireConfig, Acquirer
from transforms.acquire_on_ticks import AcquisitionService
from transforms.http import parse_allow_host
from transforms.parse_feed import parse_feed
from transforms.records import FeedSpec, Page, Poll, feed_id_of

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

MOST_OF_SPACING = 1.3
MOST_OF_BYTES = 0.05
MOST_MEMORY_MB = 400
MOST_CPU_SECONDS = 0.001
LATE_SECONDS = 0.25  # of an arrival, and what the loops on either side were late
REQUESTS_AT_ONCE = AcquireConfig.max_requests_per_site


@dataclass(frozen=True)
class Size:
    """Of a benchmark: feeds over hosts, the largest with `largest`."""

    feeds: int
    hosts: int
    largest: int
    spacing_seconds: float
    latency: tuple[float, float]


WHOLE = Size(2_000, 400, 40, 1.0, (0.05, 3.0))
SAMPLE = Size(120, 40, 11, 0.4, (0.02, 0.4))


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Size:
    return SAMPLE if request.config.getoption("--bench-sample") else WHOLE


def feeds_of_hosts(size: Size) -> list[int]:
    """Return how many feeds each host has: a few have many, as publishers do (a power law)."""
    counts = [max(1, round(size.largest / rank**0.45)) for rank in range(1, size.hosts + 1)]
    rank = size.hosts - 1
    while sum(counts) != size.feeds:  # the small ones make up the difference
        counts[rank] = max(1, counts[rank] + (1 if sum(counts) < size.feeds else -1))
        rank = rank - 1 if rank > size.hosts // 2 else size.hosts - 1
    return counts


def late_seconds(server: FeedHosts, lag_seconds: float) -> float:
    """Return how late a request that was sent in its time may be seen: it waits for each loop at least twice."""
    return LATE_SECONDS + 2 * (server.lag_seconds() + lag_seconds)


def over_budget(log: Sequence[Exchange], spacing_seconds: float, late: float = LATE_SECONDS) -> list[str]:
    """Return where a site saw more than its budget: starts too close, or too many at once.

    What is sent in time arrives a little later: any n starts must span n - 1 spacings, less `late`.
    """
    by_site: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in log:
        by_site[exchange.site].append(exchange)
    wrong = []
    for site, seen in by_site.items():
        earliest = float("-inf")  # of the starts before, moved on by their spacings
        for n, began in enumerate(sorted(exchange.began for exchange in seen)):
            ahead = earliest - (began - n * spacing_seconds)
            if ahead > late:
                wrong.append(f"{site}: request {n} comes {ahead:.2f} s too soon")
            earliest = max(earliest, began - n * spacing_seconds)
        changes = sorted([(e.ended, -1) for e in seen] + [(e.began, 1) for e in seen])
        at_once = 0
        for at, change in changes:
            at_once += change
            if at_once > REQUESTS_AT_ONCE:
                wrong.append(f"{site}: {at_once} requests at once at {at:.2f}")
    return wrong


def between(log: Sequence[Exchange], told: Any) -> list[Exchange]:
    return [exchange for exchange in log if told["began"] <= exchange.began < told["ended"]]


@pytest.mark.parametrize(
    ("starts", "ends", "wrong"),
    [
        ((0, 1, 2, 3), (0.1, 1.1, 2.1, 3.1), 0),
        ((0.2, 1, 2.2, 3), (0.8, 1.1, 2.8, 3.1), 0),
        ((0, 0.2, 2, 3), (0.1, 0.3, 2.1, 3.1), 1),
        ((0, 0.8, 1.6, 2.4), (0.1, 0.9, 1.7, 2.5), 2),
        ((0, 1, 2), (9, 9, 9), 1),
        ((0, 1, 2), (9, 2, 9), 0),
    ],
)
def test_what_a_budget_is(starts: Sequence[float], ends: Sequence[float], wrong: int) -> None:
    log = [Exchange("a.test", "/", 200, began, ended, 0) for began, ended in zip(starts, ends, strict=True)]
    assert len(over_budget(log, 1.0)) == wrong


def test_rounds_of_feeds(size: Size) -> None:
    counts = feeds_of_hosts(size)
    hosts = [f"host{n}.test" for n in range(size.hosts)]
    assert (len(counts), sum(counts)) == (size.hosts, size.feeds)
    with FeedHosts(latency=size.latency, failing=0.05) as server:
        urls = [server.url(host, f"/feed/{n}") for host, count in zip(hosts, counts, strict=True) for n in range(count)]
        settings = {"urls": urls, "hosts": hosts, "spacing_seconds": size.spacing_seconds}
        command = [sys.executable, "-m", "tests.bench.poll_rounds", json.dumps(settings)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=500)
        log = server.log()
        told = json.loads(done.stdout)
        late = late_seconds(server, told["lag_seconds"])
    first, second = told["rounds"]
    dictated = (max(counts) - 1) * size.spacing_seconds
    seconds = [held["ended"] - held["began"] for held in (first, second)]
    moved = [sum(exchange.bytes for exchange in between(log, held)) for held in (first, second)]
    beyond = (second["cpu_seconds"] - told["client_cpu_seconds"]) / size.feeds
    print(
        f"\n{size.feeds:,} feeds on {size.hosts} hosts: {seconds[0]:.1f} s and {seconds[1]:.1f} s, spacing dictates "
        f"{dictated:.1f} s (ratios {seconds[0] / dictated:.2f}, {seconds[1] / dictated:.2f}); "
        f"{moved[0] / 1e6:.1f} MB, then {moved[1] / 1e6:.2f} MB ({100 * moved[1] / moved[0]:.1f} %); "
        f"peak {told['peak_mb']:.0f} MB; an unchanged poll {1000 * second['cpu_seconds'] / size.feeds:.2f} ms of CPU, "
        f"{1000 * beyond:.2f} ms beyond the client's {1000 * told['client_cpu_seconds'] / size.feeds:.2f} ms; "
        f"arrivals up to {late:.2f} s late"
    )
    failing = sum(first["statuses"].get(status, 0) for status in ("failed",))
    assert 0.02 * size.feeds < failing < 0.08 * size.feeds
    assert first["statuses"] == {"ok": size.feeds - failing, "failed": failing}
    assert second["statuses"] == {"not_modified": size.feeds - failing, "failed": failing}
    assert over_budget([e for e in log if e.began < second["ended"]], size.spacing_seconds, late) == []
    assert max(seconds) <= MOST_OF_SPACING * dictated
    assert moved[1] <= MOST_OF_BYTES * moved[0]
    assert told["peak_mb"] < MOST_MEMORY_MB
    assert beyond < MOST_CPU_SECONDS


# ---- feeds and pages on one domain -----------------------------------------------------------------------------------


def newsrooms(server: FeedHosts, sites: int, feeds: int) -> tuple[list[FeedSpec], list[str]]:
    """Return feeds at ``www.`` of each site, and the hosts of those and of their pages."""
    urls = [server.url(f"www.site{n}.test", f"/feed/{k}") for n in range(sites) for k in range(feeds)]
    hosts = [f"{name}.site{n}.test" for n in range(sites) for name in ("www", "news")]
    return [FeedSpec(feed_id_of(url), url) for url in urls], hosts


def settings_of(hosts: Sequence[str], spacing_seconds: float, **fields: Any) -> AcquireConfig:
    allow = tuple(parse_allow_host(f"{host}=127.0.0.1/32") for host in hosts)
    return AcquireConfig(user_agent="bench", allow_hosts=allow, spacing_seconds=spacing_seconds, **fields)


def test_feeds_and_pages_share_a_budget_in_batch(size: Size) -> None:
    spacing = size.spacing_seconds
    with FeedHosts(latency=(0.02, 3 * spacing), growing=True) as server:
        feeds, hosts = newsrooms(server, sites=10, feeds=3)
        memory = Memory()
        acquirer = Acquirer(settings_of(hosts, spacing), memory=memory, parse=parse_feed)
        lag = LoopLag(acquirer._loop)
        try:
            for _ in range(2):
                poll_all(acquirer, memory, feeds)
        finally:
            acquirer.close()
        log, late = server.log(), late_seconds(server, lag.worst_seconds)
    assert len([e for e in log if e.path.startswith("/page/")]) == 10 * 3 * 3
    assert over_budget(log, spacing, late) == []


def test_feeds_and_pages_share_a_budget_in_a_stream(size: Size) -> None:
    spacing, tick_seconds, rounds = 0.25, 0.5, 3 if size is SAMPLE else 20
    with FeedHosts(latency=(0.02, 3 * spacing), growing=True) as server:
        feeds, hosts = newsrooms(server, sites=10, feeds=3)
        bounds = {"shortest_interval_seconds": tick_seconds, "longest_interval_seconds": tick_seconds}
        memory = Memory()
        service = AcquisitionService(
            settings_of(hosts, spacing, **bounds),
            memory=memory,
            parse=parse_feed,
            feeds=lambda: feeds,
            tick_seconds=tick_seconds,
        )
        lag = LoopLag(service._acquirer._loop)
        polls = pages = 0
        until = time.monotonic() + 120.0
        try:
            while polls < rounds * len(feeds) and time.monotonic() < until:
                at = time.time()
                items = list(service.tick(Timestamp.of(at)))
                polls += sum(isinstance(item, Poll) for item in items)
                pages += sum(isinstance(item, Page) for item in items)
                memory.commit(items)
                time.sleep(max(0.0, at + tick_seconds - time.time()))  # the pace of the ticks; it decides nothing
        finally:
            service.close()
        log, late = server.log(), late_seconds(server, lag.worst_seconds)
    assert polls >= rounds * len(feeds)
    assert pages > polls
    assert over_budget(log, spacing, late) == []
