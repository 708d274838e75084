"""Ten thousand feeds as they are met, each a pure function from (what is asked, when) to an answer.

Decisions:
    A feed is its list of publication times and the way its server talks. Nothing is drawn while a simulation runs, so
    every policy meets the same news in the same weather, and a run is repeated to the byte.

    Bodies are a few bytes that differ when the feed's would; `Response.bytes_on_wire` says what they would weigh.

Where the shares come from ("assumed" where nothing could be found that counts it):
    Rates: Travers, Hmedeh, Vouzoukidou et al. 2014 (IJWIS), 8,155 productive feeds of 12,611 over eight months: 17 %
    of the feeds make 97 % of the items, 31 a day each. Liu, Ramasubramanian, Sirer 2005 (IMC), 100,000 feeds: 55 %
    change within the hour, 25 % not for days. Vogels 2004, 23,000 subscribed feeds: 15 % without news for six weeks.
    Dead, gone, failing, throttled, moved: assumed; Media Cloud's and FreshRSS' threads name all of them.
    Validators: about 60 % of feeds answer 304 (FeedLounge 2006). How the others fail to: assumed.
    Declared intervals: WordPress writes "hourly" into every feed; the rest assumed.
    Sizes: below 10 KB as a rule, with a heavy tail (Liu et al.); a large one weighs 160 KB compressed.

Limits: no week-ends, no edited entries, one host a feed, clocks that are right.
"""

import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Optional, TypeVar

from apache_beam.utils.timestamp import Timestamp
from multidict import CIMultiDict

from transforms.errors import TransientError
from transforms.http import Response
from transforms.records import FeedEntry, ParsedFeed

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
EPOCH = 1_770_000_000.0  # the measured day begins here, at midnight of the first time zone
HISTORY_DAYS = 60.0  # a feed shows nothing older
HEADER_BYTES = 500  # of a request and its answer, compressed or not
SEED = "feeds"

_Value = TypeVar("_Value")

# Publications by hour of the local day. A newsroom: quiet nights, a morning burst, a long day, a thin evening.
NEWSROOM = (2, 1, 1, 1, 2, 6, 14, 24, 25, 20, 15, 14, 14, 13, 13, 13, 13, 13, 12, 10, 8, 7, 5, 3)
OFFICE = (0, 0, 0, 0, 0, 0, 1, 3, 8, 12, 12, 10, 8, 10, 12, 12, 10, 7, 4, 3, 2, 2, 1, 0)
ROUND_THE_CLOCK = (7, 6, 6, 6, 7, 8, 9, 10, 11, 12, 12, 12, 12, 12, 12, 12, 12, 11, 10, 9, 9, 8, 8, 7)


class Kind(NamedTuple):
    """What publishes alike: its share of all feeds, items a day (from, to), hours, entries shown."""

    name: str
    share: float
    items_a_day: tuple[float, float]
    hours: tuple[int, ...]
    entries: tuple[int, ...]
    server: str = "well"


KINDS = (
    Kind("wire", 0.01, (240, 720), ROUND_THE_CLOCK, (50, 100)),
    Kind("daily", 0.14, (30, 120), NEWSROOM, (20, 30, 50, 100)),
    Kind("regional", 0.20, (4, 25), NEWSROOM, (10, 20, 30)),
    Kind("magazine", 0.15, (0.4, 2), OFFICE, (10, 20)),
    Kind("weekly", 0.25, (0.05, 0.3), OFFICE, (10, 20)),
    Kind("silent", 0.15, (0, 0), OFFICE, (10, 20)),
    Kind("dead", 0.05, (0, 0), OFFICE, (10,), "dead"),
    Kind("gone", 0.01, (0, 0), OFFICE, (10,), "gone"),
    Kind("failing", 0.03, (4, 60), NEWSROOM, (20,), "failing"),
    Kind("throttled", 0.01, (4, 60), NEWSROOM, (20,), "throttled"),
)
ZONES_HOURS = (0, 0, 1, 1, 1, 2, 5, 8, 9, -3, -5, -5, -6, -8)  # where feeds are written
VALIDATORS = {  # what a server does about conditional requests
    "both": 38,
    "etag": 12,
    "date": 10,
    "none": 22,  # and the same bytes as long as there is no news
    "none, new bytes": 12,  # a time of day or a counter in every answer
    "new etag": 4,  # one a machine, or one an answer
    "stuck etag": 1.5,  # never changes, and is not looked at
    "304 for ever": 0.5,
}
DECLARED_BY_NEWSROOMS = {"": 55, "max-age=300": 25, "ttl 15": 5, "ttl 60": 15}
DECLARED_BY_OTHERS = {"": 35, "ttl 60": 40, "max-age=300": 10, "no-cache": 8, "max-age=3600": 4, "ttl 1440": 3}
DATES = {"right": 90, "none": 8, "now": 2}  # of the entries: when published, nothing, the time of the request
REDIRECTS = {0: 97, 301: 2, 302: 1}
THROTTLE_SECONDS = 1_800  # a throttled server answers 429 to whoever comes sooner


@dataclass
class Feed:
    """A feed and its server; `items` are publication times, seconds from the start of the measured day."""

    number: int
    kind: Kind
    items: list[float]
    shown: int
    wire_bytes: int
    validators: str
    declared: str
    dates: str
    redirect: int
    outages: list[tuple[float, float]] = field(default_factory=list)
    _made: dict[int, FeedEntry] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it is listed."""
        return f"https://feed{self.number}.test/rss"

    @property
    def ttl_seconds(self) -> Optional[int]:
        """What the feed itself asks for."""
        return int(self.declared[4:]) * 60 if self.declared.startswith("ttl") else None

    def published_by(self, at: float) -> int:
        """Return how many items there are at `at`."""
        return bisect_right(self.items, at)

    def answer(self, headers: dict[str, str], at: float, asked_before: Optional[float]) -> Response:
        """Return the answer to a request with `headers`.

        Args:
            headers: If-None-Match, If-Modified-Since or neither.
            at: when.
            asked_before: when it was asked last, by whoever asks now.

        Raises:
            TransientError: there is none.
        """
        server = self.kind.server
        if server == "dead" and self.number % 5 < 2:
            raise TransientError("no such name", reason="dns_failed", url=self.url)
        if server in ("dead", "gone"):
            return self._plain(404 if server == "dead" else 410)
        if server == "failing" and any(start <= at < end for start, end in self.outages):
            return self._plain(503 if self.number % 2 else 500)
        if server == "throttled" and asked_before is not None and at - asked_before < THROTTLE_SECONDS:
            return self._plain(429, {"Retry-After": str(THROTTLE_SECONDS)})
        return self._feed(headers, at)

    def _plain(self, status: int, headers: Optional[dict[str, str]] = None) -> Response:
        return Response(self.url, status, CIMultiDict(headers or {}), b"sorry", (), 300)

    def _feed(self, asked: dict[str, str], at: float) -> Response:
        version = self.published_by(at)
        way = self.validators
        told: dict[str, str] = {}
        if way in ("both", "etag"):
            told["ETag"] = f'"{version}"'
        elif way == "new etag":
            told["ETag"] = f'"{version}-{at}"'
        elif way in ("stuck etag", "304 for ever"):
            told["ETag"] = '"1"'
        if way in ("both", "date"):
            told["Last-Modified"] = f"version {version}"
        if self.declared and not self.declared.startswith("ttl"):
            told["Cache-Control"] = self.declared
        redirects = ((self.redirect, f"{self.url}/new"),) if self.redirect else ()
        tag, date = asked.get("If-None-Match"), asked.get("If-Modified-Since")
        is_same = tag == told.get("ETag") if tag is not None else date is not None and date == told.get("Last-Modified")
        if is_same and way not in ("none", "none, new bytes", "new etag", "stuck etag"):
            return Response(self.url, 304, CIMultiDict(told), b"", redirects, 0)
        body = b"%d %f" % (version, at) if way == "none, new bytes" else b"%d" % version
        return Response(self.url, 200, CIMultiDict(told), body, redirects, self.wire_bytes)

    def parsed(self, at: float) -> ParsedFeed:
        """Return what the body at `at` is read as."""
        version = self.published_by(at)
        shown = range(max(version - self.shown, 0), version)
        if self.dates == "now":
            entries = [_entry(stamp(at))] * len(shown)
        elif self.dates == "none":
            entries = [_entry(None)] * len(shown)
        else:
            self._made = {i: self._made.get(i) or _entry(stamp(self.items[i])) for i in shown}
            entries = list(self._made.values())
        return ParsedFeed("rss", entries[::-1], ttl_seconds=self.ttl_seconds)


def stamp(at: float) -> Timestamp:
    """Return the time of day that is `at` seconds from the start of the measured day."""
    return Timestamp(micros=round((EPOCH + at) * 1e6))


def _entry(published_at: Optional[Timestamp]) -> FeedEntry:
    return FeedEntry("key", "hash", "https://feed.test/item", published_at=published_at)


def population(count: int = 10_000, *, step: int = 1, until_days: float = 4.0) -> list[Feed]:
    """Return `count` feeds, kinds in their proportions; or each `step`-th of them.

    Their items reach from `HISTORY_DAYS` before the measured day, or less for those that publish much, to `until_days`.
    """
    kinds = [kind for kind in KINDS for _ in range(round(kind.share * count))]
    return [_feed(kinds[number], number, until_days) for number in range(0, len(kinds), step)]


def _feed(kind: Kind, number: int, until_days: float) -> Feed:
    rng = random.Random(f"{SEED} {number}")
    least, most = kind.items_a_day
    rate = least * (most / least) ** rng.random() if least else 0.0
    shown = rng.choice(kind.entries)
    declared = DECLARED_BY_NEWSROOMS if kind.name in ("wire", "daily") else DECLARED_BY_OTHERS
    feed = Feed(
        number,
        kind,
        _items(rng, rate, kind.hours, shown, until_days),
        shown,
        wire_bytes=round(min(rng.lognormvariate(9.2, 0.9), 200_000)),  # median 10 KB
        validators=_draw(rng, VALIDATORS),
        declared=_draw(rng, declared),
        dates=_draw(rng, DATES),
        redirect=_draw(rng, REDIRECTS) if kind.server == "well" else 0,
    )
    if kind.server == "failing":
        feed.outages = _outages(rng, until_days)
    return feed


def _items(rng: random.Random, rate: float, hours: tuple[int, ...], shown: int, until_days: float) -> list[float]:
    zone = rng.choice(ZONES_HOURS)
    if not rate:
        return sorted(-rng.uniform(45, 700) * DAY for _ in range(shown))
    at = -min(HISTORY_DAYS, 10.0 + 1.5 * shown / rate) * DAY
    most = max(hours)
    gap = DAY / rate * (sum(hours) / 24 / most)
    items: list[float] = []
    while True:  # a Poisson process thinned to the hours of the day
        at += rng.expovariate(1 / gap)
        if at >= until_days * DAY:
            return items
        if rng.random() * most < hours[int(at // HOUR + zone) % 24]:
            items.append(at)


def _outages(rng: random.Random, until_days: float) -> list[tuple[float, float]]:
    """Return stretches without service: a sixth of the time, an hour and a half each."""
    outages, at = [], -10.0 * DAY
    while at < until_days * DAY:
        at += rng.expovariate(1 / (7.5 * HOUR))
        end = at + rng.expovariate(1 / (1.5 * HOUR))
        outages.append((at, end))
        at = end
    return outages


def _draw(rng: random.Random, weights: Mapping[_Value, float]) -> _Value:
    return rng.choices(list(weights), list(weights.values()))[0]
