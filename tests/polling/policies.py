"""Who polls: newsbeam's own decisions, fixed intervals, and the rules of three peers as far as they are simple.

Decisions:
    A policy turns an answer into the time of the next request; what it remembers of a feed is its own. Ours is driven
    through the very functions that the worker calls. The peers' are written from what is known of their parameters,
    so a row of the table says what such a rule does, not what the program does.

Limits: budgets of hosts, batches and queues are not simulated; neither are the peers' caps on bodies and entries.
"""

import random
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Optional, Protocol

from tests.polling.population import DAY, HOUR, MINUTE, Feed, stamp
from transforms.errors import IngestError
from transforms.http import Response
from transforms.poll_feeds import content_hash, decide, declared_seconds, is_due, read_answer, request_headers
from transforms.records import FeedState, ParsedFeed, field_names

STATE_FIELDS = tuple(name for name in field_names(FeedState) if name != "feed_id")


@dataclass(frozen=True)
class Answer:
    """What came of one request.

    `error` is why there is no feed; `parsed` is None when nothing had to be read; `fresh` of its entries were not
    known before.
    """

    at: float
    response: Optional[Response]
    error: Optional[IngestError] = None
    status: str = "failed"
    parsed: Optional[ParsedFeed] = None
    fresh: int = 0


class Policy(Protocol):
    """When to ask, and what: one object polls one feed."""

    first_at: float

    def headers(self, at: float) -> dict[str, str]:
        """Return the validators to send."""

    def verdict(self, response: Response, at: float) -> str:
        """Return not_modified, unchanged or parse, as `read_answer`; raise IngestError when it brings no feed."""

    def next_at(self, answer: Answer) -> float:
        """Take the answer; return when to ask again."""


class Newsbeam:
    """`transforms.poll_feeds`, as the streaming worker drives it."""

    def __init__(self, feed: Feed, rng: random.Random, begins: float) -> None:
        self._feed, self._rng = feed, rng
        self._state = FeedState(feed_id="f")
        self.first_at = begins + rng.uniform(0, 10 * MINUTE)  # what the budgets of the hosts make of a start

    def headers(self, at: float) -> dict[str, str]:
        return request_headers(self._state, stamp(at))

    def verdict(self, response: Response, at: float) -> str:
        return read_answer(self._state, response, sent=self.headers(at), now=stamp(at))

    def next_at(self, answer: Answer) -> float:
        now = stamp(answer.at)
        assert is_due(self._state, now, respect_schedule=True) is None
        entries = answer.parsed.entries if answer.parsed is not None else ()
        poll = decide(
            self._state,
            url=self._feed.url,
            polled_at=now,
            response=answer.response,
            error=answer.error,
            status=answer.status,
            parsed=answer.parsed,
            entries=len(entries),
            new_entries=[("e", "h")] * answer.fresh,
            fresh=answer.fresh,
            jitter=self._rng.random(),
        )
        self._state = FeedState("f", **{name: getattr(poll, name) for name in STATE_FIELDS})
        assert poll.next_due_at is not None
        return answer.at + (poll.next_due_at.micros - now.micros) / 1e6


class _Peer:
    """What the others have in common: validators taken as they come, a content hash, an interval."""

    sends_validators = True
    interval = HOUR

    def __init__(self, feed: Feed, rng: random.Random, begins: float) -> None:
        self._feed, self._rng = feed, rng
        self._state = FeedState(feed_id="f")
        self.first_at = begins + rng.uniform(0, self.interval)

    def headers(self, at: float) -> dict[str, str]:
        return request_headers(self._state, stamp(at)) if self.sends_validators else {}

    def verdict(self, response: Response, at: float) -> str:
        return read_answer(self._state, response, sent=self.headers(at), now=stamp(at))

    def next_at(self, answer: Answer) -> float:
        if answer.error is None and answer.response is not None and answer.status != "not_modified":
            headers = answer.response.headers
            self._state = replace(
                self._state,
                etag=headers.get("ETag"),
                last_modified=headers.get("Last-Modified"),
                content_hash=content_hash(answer.response.body),
            )
        return answer.at + self.seconds(answer)

    def seconds(self, answer: Answer) -> float:
        return self.interval


class Hourly(_Peer):
    """Every hour, come what may."""


class HourlyUnconditional(_Peer):
    """The same without validators."""

    sends_validators = False


class TenMinutes(_Peer):
    """Every ten minutes."""

    interval = 10 * MINUTE


class MinifluxRoundRobin(_Peer):
    """Miniflux as it comes: an hour or what the feed asks for; no more after three errors in a row."""

    errors = 0

    def seconds(self, answer: Answer) -> float:
        self.errors = self.errors + 1 if answer.error is not None else 0
        if self.errors >= 3:
            return 365 * DAY
        asked = getattr(answer.error, "retry_after_seconds", None) or _declared(answer)
        return min(max(self.usual(answer), asked), DAY)

    def usual(self, answer: Answer) -> float:
        return self.interval


class MinifluxEntryFrequency(MinifluxRoundRobin):
    """Miniflux's other scheduler: a week by the entries of the last week, 5 minutes to 24 hours."""

    def usual(self, answer: Answer) -> float:
        items, at = self._feed.items, answer.at
        entries = bisect_right(items, at) - bisect_right(items, at - 7 * DAY)
        return min(max(7 * DAY / max(entries, 1), 5 * MINUTE), DAY)


class NewsCrawl(_Peer):
    """news-crawl's adaptive scheduler: x1.5 unchanged, x0.8 changed, from 12 hours, 90 minutes to 90 days."""

    interval = 12 * HOUR
    errors = 0

    def seconds(self, answer: Answer) -> float:
        if answer.error is not None:
            self.errors += 1
            return 3 * DAY if self.errors < 3 else 60 * DAY
        self.errors = 0
        self.interval *= 0.8 if answer.status == "ok" else 1.5
        self.interval = min(max(self.interval, 90 * MINUTE), 90 * DAY)
        return self.interval


@dataclass
class _Strikes:
    count: float = 0.0
    successes: int = 0


class MediaCloud(_Peer):
    """Media Cloud's rss-fetcher: from 6 hours by the share of known entries, strikes lengthen, 10 minutes to a day."""

    sends_validators = False
    interval = 6 * HOUR

    def __init__(self, feed: Feed, rng: random.Random, begins: float) -> None:
        super().__init__(feed, rng, begins)
        self._strikes = _Strikes()

    def seconds(self, answer: Answer) -> float:
        strikes = self._strikes
        if answer.error is not None:
            strikes.count += 1.0 if answer.error.reason in ("http_410",) else 0.5
            strikes.successes = 0
            asked = getattr(answer.error, "retry_after_seconds", None) or 0.0
            spread = self._rng.uniform(0, HOUR) if answer.error.reason == "http_429" else 0.0
            return min(max(self.interval * max(strikes.count, 1), asked) + spread, DAY)
        strikes.count, strikes.successes = 0.0, strikes.successes + 1
        if strikes.successes > 2:
            entries = len(answer.parsed.entries) if answer.parsed is not None else 0
            known = 1 - answer.fresh / entries if entries else 1.0
            if known >= 0.67:
                self.interval += 10 * MINUTE
            elif known < 0.33:
                self.interval = 6 * HOUR if self.interval > 6 * HOUR else self.interval - HOUR
        declared = float(self._feed.ttl_seconds or 0)
        self.interval = min(max(self.interval, 10 * MINUTE, declared), DAY)
        return self.interval


def _declared(answer: Answer) -> float:
    if answer.response is None:
        return 0.0
    ttl = answer.parsed.ttl_seconds if answer.parsed is not None else None
    return declared_seconds(answer.response.headers, ttl)
