"""How the listed feeds stand, and which have fallen silent: they answer, but bring nothing new any more.

Decisions:
    A feed that fails says so by its state. One that answers for weeks with the same entries, because the site moved its
    news elsewhere, says nothing, and nobody misses it; readers of every kind are asked to tell
    (Ranchero-Software/NetNewsWire#1107, FreshRSS/FreshRSS#3750, mediacloud/web-search#287).

    One number of days fits no two feeds, and a count's mean and deviation (mediacloud/web-search#301) need a lot of
    news before they say anything, and fit no feed that rests at weekends. So a feed is measured by its own pauses, from
    one day with news to the next: it is silent when its last news is older than three days and than twice its longest
    pause but one of the last 13 weeks (a monthly feed has two pauses in them). The longest pauses are where weekends
    and weekly issues show, which an average hides; twice, because chance alone makes one pause longer than all before
    it now and then; all but one, so that one holiday, or a week in which this worker stood still, does not double the
    patience for months. Below four pauses there is none to spare, and below two weeks of history no weekend has been
    seen twice: patience is then at least 31 days, after which mediacloud/rss-fetcher, too, takes a feed for one that
    brings nothing.

    What counts is the time from the last news to the last poll, not to now: while nobody polls, nobody can know. Feeds
    that back off or are gone are not called silent as well; one trouble, one number.

    A feed without any news in the weeks looked at is silent, so that a dead one does not leave the list by and by.

Measured (20 feeds of each kind over 60 weeks, simulated; falsely silent in % of the time, noticed after):
    weekdays only, 2 to 10 times a day: 0 %, 6 days. Twelve times a day without weekends: 0 %, 3 days. Weekly: 0 %, 16
    days. Monthly: 0 %, 63 days. At random moments once a day: 0.05 %, 8 days; once in three days: 0.5 %, 19 days; once
    a week: 6 %, 28 days. Three times the pause makes the last three rare, but a weekday feed noticed after 9 days only.

Limits: a poll that tries a failed entry again, or meets an edited one, counts as news. A feed that had no entry yet
when it was listed is called silent from its first poll. A feed that slows down is called silent once, until the longer
pauses are two of its history.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Optional

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from apache_beam.utils.timestamp import Timestamp

from transforms.lake import Lake
from transforms.records import FeedState
from transforms.schemas import POLLS

STATES = ("ok", "backing_off", "moved", "gone", "never_polled")
ANSWERING = ("ok", "moved")
HISTORY_DAYS = 91
SHORTEST_PATIENCE_SECONDS = 3 * 86_400.0
UNKNOWN_PATIENCE_SECONDS = 31 * 86_400.0
KNOWN_AFTER_SECONDS = 14 * 86_400.0
PAUSES_TO_SPARE_ONE = 4
TIMES_ITS_PAUSE = 2.0
FILES_AT_ONCE = 50  # the lake is locked while they are read: 25 to 70 ms, as busy as the machine is

_DAY_MICROS = 86_400_000_000


@dataclass(frozen=True)
class Standing:
    """How feeds stand: how many in each of `STATES` (all named, also with 0), and the silent ones' ids, sorted."""

    counts: Mapping[str, int]
    silent: Sequence[str]


def feed_standing(
    states: Mapping[str, FeedState], history: Mapping[str, Sequence[Timestamp]], now: Timestamp
) -> Standing:
    """Return how feeds stand by the state of their newest polls, and which of them have fallen silent.

    Args:
        states: of every listed feed by feed_id; one without `polled_at` has never been polled.
        history: feed_id -> when polls brought news, in any order, over the last `HISTORY_DAYS`; of a day the last is
            enough (see `read_history`). It must be as new as `states`, or a new feed looks silent.
        now: the time.
    """
    counts = dict.fromkeys(STATES, 0)
    silent = []
    for feed_id, state in states.items():
        name = state.state if state.polled_at is not None else "never_polled"
        counts[name] = counts.get(name, 0) + 1
        if name in ANSWERING and is_silent(history.get(feed_id, ()), polled_at=state.polled_at, now=now):
            silent.append(feed_id)
    return Standing(counts=counts, silent=tuple(sorted(silent)))


def is_silent(news: Sequence[Timestamp], *, polled_at: Optional[Timestamp], now: Timestamp) -> bool:
    """Return whether a feed that answers has fallen silent.

    Args:
        news: when polls brought news, over the last `HISTORY_DAYS`.
        polled_at: when it was polled last; None is never, and then nothing is known.
        now: the time, in case a clock ran ahead when it was polled.
    """
    if polled_at is None:
        return False
    if not news:
        return True
    last = max(at.micros for at in news)
    return (min(polled_at.micros, now.micros) - last) / 1e6 > patience_seconds(news)


def patience_seconds(news: Sequence[Timestamp]) -> float:
    """Return how long a feed with these times of news may bring nothing before it is called silent.

    A day counts once, with its last news, so that a busy day weighs no more than a quiet one.
    """
    days = last_of_days([at.micros for at in news])
    pauses = sorted((later - earlier) / 1e6 for earlier, later in pairwise(days))
    spared = 1 if len(pauses) >= PAUSES_TO_SPARE_ONE else 0
    usual = pauses[-1 - spared] if pauses else 0.0
    known = bool(days) and (days[-1] - days[0]) / 1e6 >= KNOWN_AFTER_SECONDS
    return max(TIMES_ITS_PAUSE * usual, SHORTEST_PATIENCE_SECONDS if known else UNKNOWN_PATIENCE_SECONDS)


def last_of_days(micros: Sequence[int]) -> Sequence[int]:
    """Return of these times (microseconds) the last of each UTC day, in order."""
    return sorted({at // _DAY_MICROS: at for at in sorted(micros)}.values())


def first_day(now: Timestamp) -> str:
    """Return the first day (ISO) of the history that `feed_standing` goes by."""
    return (datetime.fromtimestamp(now.micros / 1e6, UTC) - timedelta(days=HISTORY_DAYS)).date().isoformat()


def read_history(lake: Lake, feed_ids: Sequence[str], since_day: str) -> Mapping[str, Sequence[Timestamp]]:
    """Return for each feed with news since a day when polls brought it: of each UTC day the last, in order.

    It reads three columns of the days' files, in stretches, so that no commit waits for all of them. 100,000 polls of
    500 feeds take 0.3 s in 100 files and 1.3 s in 1,000 (CPU, measured): ask for it every few minutes, not each tick.

    Args:
        lake: the lake.
        feed_ids: of which feeds.
        since_day: the first day, ISO (see `first_day`).

    Raises:
        LakeError: a data file cannot be read.
    """
    lake.refresh(POLLS)
    with lake.lock:
        files = lake.data_files(POLLS, days=(since_day, "9999-12-31"))
    wanted = pa.array(sorted(set(feed_ids)), pa.string())
    found = []
    for start in range(0, len(files), FILES_AT_ONCE):
        found.append(_last_of_days(lake, files[start : start + FILES_AT_ONCE], wanted))
        time.sleep(0.001)  # a lock is not fair: whoever waits for the lake gets it while nobody asks
    if not found:
        return {}
    rows = _newest_by_day(pa.concat_tables(found)).sort_by([("feed_id", "ascending"), ("at", "ascending")])
    history: dict[str, list[Timestamp]] = {}
    for feed_id, at in zip(rows["feed_id"].to_pylist(), rows["at"].to_pylist(), strict=True):
        history.setdefault(feed_id, []).append(Timestamp(micros=at))
    return history


def _last_of_days(lake: Lake, files: Sequence[str], wanted: pa.Array) -> pa.Table:
    rows = lake.read(POLLS, ["feed_id", "polled_at"], keep=ds.field("new") > 0, files=files)
    rows = rows.filter(pc.is_in(rows["feed_id"], value_set=wanted))
    at = rows["polled_at"].cast(pa.int64())
    day = pc.divide(at, pa.scalar(_DAY_MICROS, pa.int64()))
    return _newest_by_day(pa.table({"feed_id": rows["feed_id"], "day": day, "at": at}))


def _newest_by_day(rows: pa.Table) -> pa.Table:
    newest = rows.group_by(["feed_id", "day"]).aggregate([("at", "max")])
    return newest.select(["feed_id", "day", "at_max"]).rename_columns(["feed_id", "day", "at"])


def watch_feeds(lake: Lake, feed_ids: Sequence[str], now: Timestamp) -> Standing:
    """Return how the listed feeds stand by what the lake holds.

    The states are taken before the history is read, so that no feed is judged by a history older than its state.

    Raises:
        LakeError: a data file cannot be read.
    """
    states = lake.feed_states(feed_ids)
    history = read_history(lake, feed_ids, first_day(now))
    return feed_standing({feed_id: states.get(feed_id, FeedState(feed_id)) for feed_id in feed_ids}, history, now)
