"""A day of polling ten thousand feeds on a fake clock: what each policy asks, moves and misses.

    python -m tests.polling.simulate            write the table into docs/polling.md
    python -m tests.polling.simulate --check    say whether it is there already
    python -m tests.polling.simulate --kinds    our own day by kind of feed

Decisions:
    The measured day begins when a policy knows its feeds (`SETTLING_DAYS`), as a worker that runs on does; our first
    day is a row of its own. After the day each feed is polled until it has been seen once more, uncounted, so that
    the last items of the day have their delay as well.

    An item's delay is from its publication to the first answer that shows it. What had left the feed by then, or is
    never shown, is lost, and counted apart. Delays are taken over items: a wire's count as often as it publishes.

    A wish is what a server says about when to come again: Retry-After, ttl and max-age, 410 (never). A request that
    comes sooner goes against it.
"""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from tests.polling.policies import (
    Answer,
    Hourly,
    HourlyUnconditional,
    MediaCloud,
    MinifluxEntryFrequency,
    MinifluxRoundRobin,
    Newsbeam,
    NewsCrawl,
    Policy,
    TenMinutes,
)
from tests.polling.population import DAY, HEADER_BYTES, HOUR, MINUTE, Feed, population, stamp
from transforms.errors import IngestError
from transforms.http import Response
from transforms.poll_feeds import declared_seconds, retry_after_seconds

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "polling.md"
BEGIN, END = "<!-- table: make polling -->", "<!-- end of table -->"
FEEDS = 10_000
TICK_SECONDS = 30.0
SETTLING_DAYS = 4.0
GRACE_DAYS = 2.0

Make = Callable[[Feed, random.Random, float], Policy]


@dataclass(frozen=True)
class Run:
    """A row of the table: a policy, and when it began."""

    name: str
    make: Make
    began_days_before: float = SETTLING_DAYS


RUNS = (
    Run("every hour, without validators", HourlyUnconditional, 2 * HOUR / DAY),
    Run("every hour", Hourly, 2 * HOUR / DAY),
    Run("every 10 minutes", TenMinutes, 2 * HOUR / DAY),
    Run("Miniflux, round robin, 60 min", MinifluxRoundRobin),
    Run("Miniflux, entry frequency", MinifluxEntryFrequency),
    Run("news-crawl", NewsCrawl),
    Run("Media Cloud", MediaCloud),
    Run("**newsbeam**", Newsbeam),
    Run("newsbeam, its first day", Newsbeam, 0.0),
    Run("newsbeam, its tenth day", Newsbeam, 9.0),  # each server that answers 304 has been asked in full once
)


@dataclass
class Tally:
    """What one run, or one kind of feed in it, comes to."""

    requests: int = 0
    unmodified: int = 0
    bytes: int = 0
    unwished: int = 0
    items: int = 0
    lost: int = 0
    delays: list[float] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take in `other`."""
        for name in ("requests", "unmodified", "bytes", "unwished", "items", "lost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.delays.extend(other.delays)

    def delay(self, share: float) -> float:
        """Return the delay that this share of the items seen does not exceed, in seconds."""
        held = sorted(self.delays)
        return held[min(int(share * len(held)), len(held) - 1)] if held else 0.0


def simulate(feed: Feed, run: Run, seed: str = "run") -> Tally:
    """Return what `run` makes of one feed; feeds do not touch each other, so one goes after the other."""
    tally = Tally()
    policy = run.make(feed, random.Random(f"{seed} {feed.number}"), -run.began_days_before * DAY)
    first, last = feed.published_by(0.0), feed.published_by(DAY)
    tally.items = last - first
    at, asked_before, seen, wished_until = policy.first_at, None, 0, 0.0
    while at < (1 + GRACE_DAYS) * DAY:
        at = -(-at // TICK_SECONDS) * TICK_SECONDS
        answer = _ask(feed, policy, at, asked_before, seen)
        is_counted = 0 <= at < DAY
        if is_counted:
            _count(tally, answer, is_unwished=at < wished_until)
        if answer.parsed is not None:
            shown_to = feed.published_by(at)
            shown_from = max(shown_to - feed.shown, seen)
            tally.lost += max(min(shown_from, last) - max(seen, first), 0)
            tally.delays.extend(at - feed.items[i] for i in range(max(shown_from, first), min(shown_to, last)))
            seen = shown_to
        wished_until = at + _wish(feed, answer)
        if at >= DAY and (seen >= last):
            break
        asked_before, at = at, policy.next_at(answer)
    tally.lost += max(last - max(seen, first), 0)
    return tally


def _ask(feed: Feed, policy: Policy, at: float, asked_before: Optional[float], seen: int) -> Answer:
    response: Optional[Response] = None
    try:
        response = feed.answer(policy.headers(at), at, asked_before)
        status = policy.verdict(response, at)
    except IngestError as error:
        return Answer(at, response, error=error)
    if status != "parse":
        return Answer(at, response, status=status)
    shown_to = feed.published_by(at)
    fresh = min(shown_to - seen, feed.shown)
    return Answer(at, response, status="ok", parsed=feed.parsed(at), fresh=fresh)


def _count(tally: Tally, answer: Answer, *, is_unwished: bool) -> None:
    response = answer.response
    hops = 1 + (len(response.redirects) if response is not None else 0)
    tally.requests += hops
    tally.bytes += hops * HEADER_BYTES + (response.bytes_on_wire if response is not None else 0)
    tally.unmodified += answer.status == "not_modified"
    tally.unwished += is_unwished


def _wish(feed: Feed, answer: Answer) -> float:
    """Return for how many seconds the server wishes to be left alone."""
    if answer.response is None:
        return 0.0
    if answer.response.status == 410:
        return 365 * DAY
    if answer.error is not None:
        return retry_after_seconds(answer.response.headers, stamp(answer.at)) or 0.0
    return declared_seconds(answer.response.headers, feed.ttl_seconds)


def simulate_all(feeds: Sequence[Feed], run: Run) -> dict[str, Tally]:
    """Return a tally by kind of feed."""
    tallies: dict[str, Tally] = {}
    for feed in feeds:
        tallies.setdefault(feed.kind.name, Tally()).add(simulate(feed, run))
    return tallies


def total(tallies: dict[str, Tally]) -> Tally:
    """Return the sum."""
    whole = Tally()
    for tally in tallies.values():
        whole.add(tally)
    return whole


def row(name: str, tally: Tally) -> str:
    """Return a line of the table."""
    delays = " | ".join(f"{tally.delay(share) / MINUTE:,.0f}" for share in (0.5, 0.9, 0.99))
    per_thousand = 1000 * tally.lost / tally.items if tally.items else 0.0
    return (
        f"| {name} | {tally.requests:,} | {100 * tally.unmodified / max(tally.requests, 1):.0f} % | "
        f"{tally.bytes / 1e6:,.0f} | {delays} | {per_thousand:.1f} | {tally.unwished:,} |"
    )


HEAD = (
    "| policy | requests | of them 304 | MB | median | p90 | p99 | lost of 1,000 | against a wish |",
    "|---|---|---|---|---|---|---|---|---|",
)


def table(feeds: Sequence[Feed], runs: Sequence[Run] = RUNS) -> Iterator[str]:
    """Yield the lines of the table."""
    yield from HEAD
    for run in runs:
        yield row(run.name, total(simulate_all(feeds, run)))


def kinds(feeds: Sequence[Feed], run: Run) -> Iterator[str]:
    """Yield one run by kind of feed."""
    yield from HEAD
    for name, tally in simulate_all(feeds, run).items():
        yield row(name, tally)


def with_table(page: str, lines: Sequence[str]) -> str:
    """Return the page with these lines where its table is."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, *lines, END + after])


def main() -> int:
    """Run what the arguments ask for; the exit status is 1 when the page is not up to date."""
    feeds = population(FEEDS)
    if "--kinds" in sys.argv:
        print("\n".join(kinds(feeds, next(run for run in RUNS if run.make is Newsbeam))))
        return 0
    page = PAGE.read_text("utf-8")
    written = with_table(page, list(table(feeds)))
    if "--check" in sys.argv:
        if page != written:
            print("docs/polling.md is not what the simulation says; run `make polling`", file=sys.stderr)
        return int(page != written)
    PAGE.write_text(written, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
