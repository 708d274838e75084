"""Which feeds have fallen silent: the rule by cases, and the history as the polls table gives it."""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOON
from transforms import watch_feeds as watch
from transforms.commit import Batch, commit
from transforms.lake import Lake
from transforms.records import FeedState, Poll
from transforms.schemas import POLLS
from transforms.watch_feeds import feed_standing, is_silent, last_of_days, patience_seconds, read_history

DAY = 86_400
EPOCH = 1_767_571_200  # Monday, 5 January 2026, 00:00 UTC


def days(*numbers: float) -> list[Timestamp]:
    return [Timestamp(EPOCH + number * DAY) for number in numbers]


def at(day: float) -> Timestamp:
    return Timestamp(EPOCH + day * DAY)


WEEKDAYS = [day + 0.5 for day in range(28) if day % 7 < 5]
DAILY = [day + 0.5 for day in range(28)]
WEEKLY = [0.5, 7.5, 14.5, 21.5, 28.5, 35.5]


@pytest.mark.parametrize(
    "news, patience_days",
    [
        pytest.param((), 31, id="no news at all: nothing is known"),
        pytest.param((0.5,), 31, id="one day: nothing is known"),
        pytest.param((0.1, 0.2, 0.3, 0.4, 0.5), 31, id="a busy day is one day"),
        pytest.param(DAILY[:13], 31, id="daily, but less than two weeks of it"),
        pytest.param(DAILY[:15], 3, id="daily for two weeks"),
        pytest.param(WEEKDAYS, 6, id="weekdays: twice the weekend"),
        pytest.param(WEEKLY, 14, id="weekly"),
        pytest.param((0.5, 30.5), 60, id="monthly: one pause is all there is to go by"),
        pytest.param((*DAILY[:10], *DAILY[20:]), 3, id="one outage of 11 days is forgiven"),
        pytest.param((*DAILY[:8], *DAILY[14:20], *DAILY[26:]), 14, id="two pauses of a week are its way"),
        pytest.param((0.5, 1.5, 2.5, 16.5), 28, id="three pauses: none to spare"),
        pytest.param((0.5, 1.5, 2.5, 16.5, 17.5), 3, id="four pauses: the longest is spared"),
    ],
)
def test_patience_follows_the_pauses_of_the_feed(news: Sequence[float], patience_days: float) -> None:
    assert patience_seconds(days(*news)) == pytest.approx(patience_days * DAY)


@pytest.mark.parametrize(
    "news, polled, now, silent",
    [
        pytest.param(DAILY, 30.5, 30.6, False, id="three days are no silence yet"),
        pytest.param(DAILY, 30.6, 30.7, True, id="more than three days are"),
        pytest.param(DAILY, 29.0, 90.0, False, id="who did not poll does not know"),
        pytest.param(DAILY, 90.0, 29.0, False, id="polled by a clock that ran ahead"),
        pytest.param(WEEKDAYS, 28.5, 28.5, False, id="a weekend"),
        pytest.param(WEEKDAYS, 29.9, 29.9, False, id="a long weekend"),
        pytest.param(WEEKDAYS, 31.6, 31.6, True, id="a week"),
        pytest.param((0.5,), 31.4, 31.4, False, id="new and quiet"),
        pytest.param((0.5,), 31.6, 31.6, True, id="new and quiet for a month"),
        pytest.param((), 1.0, 1.0, True, id="polled, and no news in all the weeks"),
    ],
)
def test_a_feed_is_silent_when_its_news_is_older_than_its_patience(
    news: Sequence[float], polled: float, now: float, silent: bool
) -> None:
    assert is_silent(days(*news), polled_at=at(polled), now=at(now)) is silent


def test_a_feed_that_was_never_polled_is_not_silent() -> None:
    assert not is_silent((), polled_at=None, now=at(1))


def test_standing_counts_states_and_names_the_silent_among_those_that_answer() -> None:
    def polled(feed_id: str, state: str) -> FeedState:
        return FeedState(feed_id, state=state, polled_at=at(60))

    states = {
        "quiet": polled("quiet", "ok"),
        "busy": polled("busy", "ok"),
        "moved and quiet": polled("moved and quiet", "moved"),
        "failing": polled("failing", "backing_off"),
        "gone": polled("gone", "gone"),
        "listed today": FeedState("listed today"),
    }
    history = {name: days(*DAILY) for name in ("quiet", "moved and quiet", "failing", "gone")}
    history["busy"] = days(*DAILY, 59.9)
    standing = feed_standing(states, history, at(60))
    assert standing.counts == {"ok": 2, "backing_off": 1, "moved": 1, "gone": 1, "never_polled": 1}
    assert standing.silent == ("moved and quiet", "quiet")


def test_standing_names_every_state_without_any_feed() -> None:
    standing = feed_standing({}, {}, at(0))
    assert standing.counts == dict.fromkeys(watch.STATES, 0)
    assert standing.silent == ()


@given(st.lists(st.floats(0, 90), max_size=60), st.floats(0, 120), st.randoms(use_true_random=False))
def test_order_and_the_rest_of_a_day_change_nothing(news: list[float], now: float, draw: random.Random) -> None:
    times = days(*news)
    thinned = [Timestamp(micros=micros) for micros in last_of_days([time.micros for time in times])]
    shuffled = draw.sample(times, len(times))
    assert patience_seconds(thinned) == patience_seconds(times) == patience_seconds(shuffled)
    assert is_silent(thinned, polled_at=at(now), now=at(now)) == is_silent(shuffled, polled_at=at(now), now=at(now))


def on_weekdays(draw: random.Random) -> list[float]:
    return [day + draw.uniform(0.3, 0.8) for day in range(120) if day % 7 < 5 for _ in range(2)]


def on_sundays(draw: random.Random) -> list[float]:
    return [day + draw.uniform(-0.5, 0.5) for day in range(6, 120, 7)]


def all_the_time(draw: random.Random) -> list[float]:
    return sorted(draw.uniform(0, 120) for _ in range(1_440))


@pytest.mark.parametrize(
    "publish, noticed_days", [(on_weekdays, 7), (on_sundays, 17), (all_the_time, 3.2)], ids=lambda value: str(value)
)
def test_a_steady_feed_is_never_called_silent_and_soon_once_it_is(
    publish: Callable[[random.Random], list[float]], noticed_days: float
) -> None:
    for seed in range(5):
        news = publish(random.Random(seed))
        for half_day in range(2 * 35, 2 * 118):
            seen = days(*[day for day in news if day <= half_day / 2])
            assert not is_silent(seen, polled_at=at(half_day / 2), now=at(half_day / 2)), (seed, half_day / 2)
        end = news[-1] + noticed_days
        assert is_silent(days(*news), polled_at=at(end), now=at(end)), seed


def test_history_is_the_last_news_of_each_day_of_the_listed_feeds(
    lake: Lake, poll: Callable[..., Poll], draft: Callable[..., Any]
) -> None:
    hours = {"a": (0, 1, 23, 24, 49), "b": (5,), "other": (1,)}
    midnight = Timestamp(NOON.micros // 1_000_000 // DAY * DAY)
    polls = [
        poll((f"{feed}{hour}", "1"), feed_id=feed, polled_at=midnight + hour * 3_600)
        for feed, at_hours in hours.items()
        for hour in at_hours
    ]
    quiet = [poll(known=3, feed_id=feed, polled_at=midnight + 50 * 3_600) for feed in ("a", "b", "quiet")]
    drafts = [
        draft(f"article of {one.new_entry_ids[0]}", f"Text {one.new_entry_ids[0]} " * 9, entry_id=one.new_entry_ids[0])
        for one in polls
    ]
    commit(lake, Batch(drafts=drafts, polls=[*polls[:4], *quiet]), run_id="run", now=midnight + 51 * 3_600)
    commit(lake, Batch(polls=polls[4:]), run_id="run", now=midnight + 51 * 3_600)
    day = (midnight + 51 * 3_600).to_utc_datetime(has_tz=True).date()
    history = read_history(lake, ["a", "b", "quiet"], day.isoformat())
    assert history == {
        "a": [midnight + hour * 3_600 for hour in (23, 24, 49)],
        "b": [midnight + 5 * 3_600],
    }
    assert read_history(lake, ["a"], (day + timedelta(days=1)).isoformat()) == {}
    standing = watch.watch_feeds(lake, ["a", "b", "quiet", "unknown"], midnight + 51 * 3_600)
    assert standing.counts == {"ok": 3, "backing_off": 0, "moved": 0, "gone": 0, "never_polled": 1}
    assert standing.silent == ("quiet",)


def test_history_of_an_empty_lake_is_empty(lake: Lake) -> None:
    assert read_history(lake, ["a"], "2026-01-01") == {}


def test_first_day_is_13_weeks_ago() -> None:
    assert watch.first_day(Timestamp.from_utc_datetime(datetime(2026, 5, 1, 3, tzinfo=UTC))) == "2026-01-30"


def rows_of_polls(count: int, *, feeds: int, start: Timestamp) -> list[dict[str, Any]]:
    begin = start.to_utc_datetime(has_tz=True)
    return [
        {
            "feed_id": f"{number % feeds:016x}",
            "polled_at": begin + timedelta(seconds=60 * number),
            "status": "ok",
            "state": "ok",
            "entries": 20,
            "known": 20 - number % 3,
            "new": number % 3,
            "new_entry_ids": [],
            "warnings": [],
            "committed_at": begin + timedelta(seconds=60 * number),
        }
        for number in range(count)
    ]


def test_history_is_read_in_stretches_and_costs_little_at_100_000_polls(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "FILES_AT_ONCE", 3)
    rows = rows_of_polls(100_000, feeds=500, start=NOON)
    for start in range(0, len(rows), 10_000):
        lake.refresh(POLLS)
        lake.append(POLLS, rows[start : start + 10_000], committed_at=NOON + 60 * start)
    feed_ids = [f"{number:016x}" for number in range(500)]
    began = time.process_time()
    history = read_history(lake, feed_ids, "2026-01-01")
    seconds = time.process_time() - began
    assert set(history) == set(feed_ids)
    micros: dict[str, list[int]] = {}
    for row in rows:
        if row["new"]:
            micros.setdefault(row["feed_id"], []).append(int(row["polled_at"].timestamp()) * 1_000_000)
    assert {feed: [one.micros for one in times] for feed, times in history.items()} == {
        feed: last_of_days(times) for feed, times in micros.items()
    }
    assert seconds < 5, "measured: 0.3 in 100 files"
