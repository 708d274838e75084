"""Times as pages state them: to the microsecond, with how exact they are.

Decisions:
    A time without a zone is taken as UTC, since most systems that omit the zone store UTC, unless the same clock time
    stands elsewhere on the page with its zone; a day is made exact by a source that has the hour of the same day.

    Of two numbers with slashes the page's language says which is the day; in English its country does, or nobody.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple, Optional

from transforms.read_dates import read_date

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # the web has nothing older; 0000-00-00 and 1970 are empty fields
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = re.compile(r"\s*(\d{10}|\d{13})(?:\.\d+)?\s*")
_URL_DAY = re.compile(r"/((?:19|20)\d{2})[/-]?(0[1-9]|1[0-2])[/-]?(0[1-9]|[12]\d|3[01])(?=[/_.-]|$)")
_HAS_ZONE = re.compile(r"(?:\d\s*Z|[A-Z]{3,4}|[+-]\d{2}:?\d{2}|:\d{2}[+-]\d{2})\)?\s*\Z")
_HAS_CLOCK = re.compile(r"\d:\d\d|T\d{4}")
_MONTH_FIRST_COUNTRIES = frozenset(("us", "ph", "pr", "fm", "pw"))
_MANY_ORDERS = frozenset(("en", "fil", "tl"))  # languages whose countries differ on day and month
_ISO = re.compile(
    r"\s*(\d{4})-?(\d{2})-?(\d{2})"
    r"(?:[T\s]{1,2}(\d{1,2}):?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?\s*"
    r"(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?\s*(?:\[[^\]]{1,40}\])?\s*",
    re.IGNORECASE,
)


class Moment(NamedTuple):
    """A time as written."""

    micros: int
    clock: datetime  # as written, without its zone
    exactness: int  # 0: a day, 1: a time without a zone, 2: a time with one


def parse_time_micros(value: str, *, day_first: Optional[bool] = None) -> Optional[int]:
    """Return a time in microseconds since the epoch, UTC; None when `value` is no time this side of 1990.

    Reads ISO 8601 in its basic, extended and sloppy forms, epoch seconds or milliseconds, and what people write (see
    `read_dates`). Without a zone the time is taken as UTC; without a time of day it is midnight UTC.
    """
    moment = read_moment(value, day_first)
    return None if moment is None else moment.micros


def read_moment(value: str, day_first: Optional[bool] = None) -> Optional[Moment]:
    """Return the time that `value` states; see `parse_time_micros`."""
    value = value[:80]
    match = _ISO.fullmatch(value)
    exactness = 2
    try:
        if match:
            year, month, day, hour, minute, second, fraction, zone = match.groups()
            moment = datetime(
                int(year), int(month), int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59),
                int((fraction or "0")[:6].ljust(6, "0")), tzinfo=_zone(zone),
            )  # fmt: skip
            exactness = 0 if hour is None else 1 if zone is None else 2
        elif match := _EPOCH.fullmatch(value):
            moment = datetime.fromtimestamp(int(match[1]) / (1000 if len(match[1]) == 13 else 1), tz=UTC)
        else:
            seconds = read_date(value.strip(), day_first=day_first)
            if seconds is None:
                return None
            moment = datetime.fromtimestamp(seconds, tz=UTC)
            exactness = 0 if not _HAS_CLOCK.search(value) else 2 if _HAS_ZONE.search(value) else 1
        if moment < _EARLIEST:
            return None
        micros = (moment - _EPOCH_START) // timedelta(microseconds=1)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return Moment(micros, moment.replace(tzinfo=None), exactness)


def _zone(zone: Optional[str]) -> timezone:
    if zone is None or not zone.startswith(("+", "-")):
        return UTC
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0))
    return timezone(-offset if zone[0] == "-" else offset)


def day_comes_first(language: Optional[str]) -> Optional[bool]:
    """Whether the day stands before the month; None where the language's countries differ and none is named."""
    if language is None:
        return None
    name, *parts = language.lower().replace("_", "-").split("-")
    country = next((part for part in parts if len(part) == 2), "")
    if country in _MONTH_FIRST_COUNTRIES:
        return False
    if name in _MANY_ORDERS or country == "ca":
        return True if country not in ("", "ca", "za") else None
    return True


def most_exact(moments: list[Moment], others: Iterable[Moment]) -> Moment:
    """Return the first of `moments`, or one that says the same more exactly; `others` of the page only give a zone."""
    best = moments[0]
    if best.exactness == 0:
        best = max((m for m in moments if m.clock.date() == best.clock.date()), key=lambda m: m.exactness)
    if best.exactness == 1:
        minute = best.clock.replace(second=0, microsecond=0)
        zoned = (m for m in (*moments, *others) if m.exactness == 2)
        best = next((m for m in zoned if m.clock.replace(second=0, microsecond=0) == minute), best)
    return best


def day_in_address(url: str) -> Optional[str]:
    """Return the day that an address holds, as /2026/01/12/; None where it holds none."""
    match = _URL_DAY.search(url.partition("://")[2].partition("?")[0].partition("#")[0])
    return "-".join(match.groups()) if match else None
