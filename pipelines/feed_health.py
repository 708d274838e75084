"""How each feed of a list stands, from the lake's polls alone: pure functions, and what reads their input.

Decisions:
    The trouble of a feed is one word, the worst that is true: gone, failing, silent (it answers, and brings nothing for
    much longer than its own rhythm; see transforms/watch_feeds.py), moved, never_polled. One trouble, one remedy.

    A new address is suggested when the last three good polls were redirected there for good: publishers undo a 301 as
    they undo anything else, and entries hang on the address that is listed.

    News a day is counted from the second poll of the last two weeks on: what the first one brings came at any time.

Limits: news are entries that polls set out to get, so an entry that is tried again, or was edited, counts again. Every
poll of the last two weeks is read at once, about 150 bytes each; of feeds that were not well in them, all polls.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Optional

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from apache_beam.utils.timestamp import Timestamp

from transforms.errors import mask_url
from transforms.lake import Lake
from transforms.records import FeedSpec
from transforms.schemas import POLLS
from transforms.watch_feeds import first_day, is_silent, read_history

TROUBLES = ("gone", "failing", "silent", "moved", "never_polled")
NO_TROUBLE = ("ok", "paused")
RATE_DAYS = 14
MOVED_POLLS = 3
NEWEST_POLLS = 6  # enough to find three good ones beside a few failures

_DAY_MICROS = 86_400_000_000
_COLUMNS = [
    *("feed_id", "polled_at", "status", "state", "reason", "message", "etag", "last_modified", "new"),
    *("failures_in_a_row", "next_due_at", "moved_to"),
]


@dataclass(frozen=True)
class FeedHealth:
    """How one feed stands; addresses are masked.

    `trouble` is one of `TROUBLES` or `NO_TROUBLE`; `validators` etag, last-modified, both, none or mistrusted, None
    where no good poll is known; `suggested_url` where the feed should be listed instead.
    """

    feed_id: str
    url: str
    title: Optional[str]
    trouble: str
    polled_at: Optional[Timestamp] = None
    last_success_at: Optional[Timestamp] = None
    last_news_at: Optional[Timestamp] = None
    interval_seconds: Optional[float] = None
    new_per_day: Optional[float] = None
    validators: Optional[str] = None
    failures_in_a_row: int = 0
    reason: Optional[str] = None
    message: Optional[str] = None
    suggested_url: Optional[str] = None


def health_of(
    feed: FeedSpec,
    newest: Sequence[Mapping[str, Any]],
    *,
    news: Sequence[Timestamp],
    now: Timestamp,
    last_success_at: Optional[Timestamp] = None,
    rate: Optional[float] = None,
) -> FeedHealth:
    """Return how `feed` stands.

    Args:
        feed: as listed.
        newest: its newest polls, oldest first, as rows of the lake with times in microseconds.
        news: when polls brought news (see `read_history`).
        now: the time.
        last_success_at: of the last poll that did not fail.
        rate: new entries a day.
    """
    url = mask_url(feed.url)
    common: dict[str, Any] = {"feed_id": feed.feed_id, "url": url, "title": feed.title}
    if not newest:
        return FeedHealth(**common, trouble="paused" if feed.is_paused else "never_polled")
    last = newest[-1]
    good = [poll for poll in newest if poll["status"] != "failed"]
    suggested = suggested_address([poll["moved_to"] for poll in good], url)
    polled_at = Timestamp(micros=last["polled_at"])
    if feed.is_paused:
        trouble = "paused"
    elif last["state"] == "gone":
        trouble = "gone"
    elif last["status"] == "failed":
        trouble = "failing"
    elif is_silent(news, polled_at=polled_at, now=now):
        trouble = "silent"
    else:
        trouble = "moved" if suggested else "ok"
    due = last["next_due_at"]
    return FeedHealth(
        **common,
        trouble=trouble,
        polled_at=polled_at,
        last_success_at=last_success_at,
        last_news_at=max(news, default=None),
        interval_seconds=(due - last["polled_at"]) / 1e6 if due is not None else None,
        new_per_day=rate,
        validators=validators_of(good[-1]["etag"], good[-1]["last_modified"]) if good else None,
        failures_in_a_row=last["failures_in_a_row"] or 0,
        reason=last["reason"],
        message=last["message"],
        suggested_url=suggested,
    )


def suggested_address(moves: Sequence[Optional[str]], listed: str) -> Optional[str]:
    """Return the address a feed should be listed under; None for the one it is `listed` under.

    Args:
        moves: where its newest good polls were redirected to for good, oldest first; None for one that was not.
        listed: its address, masked as those are.
    """
    last = set(moves[-MOVED_POLLS:])
    target = moves[-1] if len(moves) >= MOVED_POLLS and len(last) == 1 else None
    return target if target != listed else None


def new_per_day(polled_at: Sequence[int], new: Sequence[int]) -> Optional[float]:
    """Return the new entries a day; None for fewer than two polls. Less than a day counts as a day.

    Args:
        polled_at: times of good polls in microseconds, in order.
        new: how many new entries each of them had.
    """
    if len(polled_at) < 2:
        return None
    return float(sum(new[1:])) / max((polled_at[-1] - polled_at[0]) / _DAY_MICROS, 1.0)


def validators_of(etag: Optional[str], last_modified: Optional[str]) -> str:
    """Return which validators a feed is asked with: etag, last-modified, both, none, or mistrusted ("" in the row)."""
    if "" in (etag, last_modified):
        return "mistrusted"
    if etag and last_modified:
        return "both"
    return "etag" if etag else "last-modified" if last_modified else "none"


def worst_first(found: Sequence[FeedHealth]) -> Sequence[FeedHealth]:
    """Return `found` by trouble; within it, those that did without a good poll for longest first."""
    order = {name: place for place, name in enumerate((*TROUBLES, *NO_TROUBLE))}
    return sorted(
        found,
        key=lambda feed: (
            order[feed.trouble],
            feed.last_success_at.micros if feed.last_success_at is not None else -1,
            -feed.failures_in_a_row,
            feed.url,
        ),
    )


# ---- reading the lake ---------------------------------------------------------------------------------------------


def read_health(lake: Lake, feeds: Sequence[FeedSpec], now: Timestamp) -> Sequence[FeedHealth]:
    """Return how `feeds` stand by what the lake holds, in their order.

    Raises:
        LakeError: a data file cannot be read.
    """
    ids = [feed.feed_id for feed in feeds]
    lake.refresh(POLLS)
    since = (datetime.fromtimestamp(now.micros / 1e6, UTC) - timedelta(days=RATE_DAYS)).date()
    since_micros = int(datetime.combine(since, datetime.min.time(), UTC).timestamp()) * 1_000_000
    rows = _read(lake, ids, (since.isoformat(), "9999-12-31"))
    well = set(rows.filter(pc.not_equal(rows["status"], "failed"))["feed_id"].unique().to_pylist())
    earlier = sorted(lake.feed_states(ids).keys() - well)
    if earlier:
        before = (since - timedelta(days=1)).isoformat()
        rows = pa.concat_tables([rows, _read(lake, earlier, ("0000-01-01", before))])
    history = read_history(lake, ids, first_day(now))
    seen = dict(_by_feed(rows, since_micros))
    found = []
    for feed in feeds:
        newest, last_success_at, rate = seen.get(feed.feed_id, ((), None, None))
        news = history.get(feed.feed_id, ())
        found.append(health_of(feed, newest, news=news, now=now, last_success_at=last_success_at, rate=rate))
    return found


def feeds_of_lake(lake: Lake) -> Sequence[FeedSpec]:
    """Return the feeds that the lake has polls of, with masked addresses; archives are none."""
    rows = lake.read(POLLS, ["feed_id", "url", "format"])
    newest = rows.group_by("feed_id").aggregate([("url", "max"), ("format", "max")]).to_pylist()
    return [FeedSpec(row["feed_id"], row["url_max"]) for row in newest if row["format_max"] not in ("warc", "jsonl")]


def _read(lake: Lake, feed_ids: Sequence[str], days: tuple[str, str]) -> pa.Table:
    wanted = pa.array(feed_ids, pa.string())
    rows = lake.read(POLLS, _COLUMNS, keep=ds.field("feed_id").isin(wanted), days=days)
    for name in ("polled_at", "next_due_at"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, rows[name].cast(pa.int64()))
    return rows


def _by_feed(
    rows: pa.Table, rate_since: int
) -> Iterator[tuple[str, tuple[Sequence[Mapping[str, Any]], Optional[Timestamp], Optional[float]]]]:
    """Yield for each feed its newest polls, when it last answered, and its news a day since `rate_since`."""
    rows = rows.sort_by([("feed_id", "ascending"), ("polled_at", "ascending")])
    if not rows.num_rows:
        return
    codes = rows["feed_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    ends = np.append(np.flatnonzero(np.diff(codes)) + 1, rows.num_rows).tolist()
    at = rows["polled_at"].to_numpy()
    new = rows["new"].fill_null(0).to_numpy()
    is_good = pc.not_equal(rows["status"], "failed").to_numpy()
    start = 0
    for end in ends:
        newest = rows.slice(max(start, end - NEWEST_POLLS), min(end - start, NEWEST_POLLS)).to_pylist()
        good = start + np.flatnonzero(is_good[start:end])
        last_success_at = Timestamp(micros=int(at[good[-1]])) if len(good) else None
        recent = good[at[good] >= rate_since]
        yield newest[-1]["feed_id"], (newest, last_success_at, new_per_day(at[recent], new[recent]))
        start = end
