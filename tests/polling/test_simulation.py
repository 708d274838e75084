"""The simulated day: its servers do as they are named, its book-keeping is right, and docs/polling.md says what it finds."""

import random
import re
from typing import Any, Optional

import pytest

from tests.polling import simulate as room
from tests.polling.policies import Answer, Hourly, Newsbeam
from tests.polling.population import DAY, HOUR, KINDS, MINUTE, Feed, Kind, population
from tests.polling.simulate import FEEDS, RUNS, Run, Tally, simulate, simulate_all, total
from transforms.errors import TransientError

NEWSBEAM = next(run for run in RUNS if run.name == "**newsbeam**")


def feed(
    items: Any = (-HOUR, 30.0), *, server: str = "well", validators: str = "both", shown: int = 10, **fields: Any
) -> Feed:
    kind = Kind("kind", 1.0, (1, 1), (1,) * 24, (shown,), server)
    given: dict[str, Any] = {"wire_bytes": 1000, "declared": "", "dates": "right", "redirect": 0, **fields}
    return Feed(number=1, kind=kind, items=list(items), shown=shown, validators=validators, **given)


# ---- the servers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("validators", "then", "after_news"),
    [
        ("both", 304, 200),
        ("etag", 304, 200),
        ("date", 304, 200),
        ("none", 200, 200),
        ("none, new bytes", 200, 200),
        ("new etag", 200, 200),
        ("stuck etag", 200, 200),
        ("304 for ever", 304, 304),
    ],
)
def test_a_server_answers_validators_as_it_is_named(validators: str, then: int, after_news: int) -> None:
    one = feed(validators=validators)
    first = one.answer({}, 0.0, None)
    names = {"If-None-Match": first.headers.get("ETag"), "If-Modified-Since": first.headers.get("Last-Modified")}
    asked = {name: value for name, value in names.items() if value}
    assert (first.status, first.bytes_on_wire) == (200, 1000)
    again = one.answer(asked, 10.0, 0.0)
    assert again.status == then
    assert (again.body == first.body) == (then == 200 and validators != "none, new bytes")
    later = one.answer(asked, 40.0, 10.0)
    assert later.status == after_news
    assert later.body != first.body


@pytest.mark.parametrize(
    ("server", "asked_before", "status"),
    [
        ("dead", None, 404),
        ("gone", None, 410),
        ("throttled", None, 200),
        ("throttled", 50.0 - 20 * MINUTE, 429),
        ("throttled", 50.0 - 30 * MINUTE, 200),
    ],
)
def test_a_server_that_fails(server: str, asked_before: Optional[float], status: int) -> None:
    one = feed(server=server)
    one.number = 4
    assert one.answer({}, 50.0, asked_before).status == status


def test_a_server_that_fails_at_times_and_one_that_is_away() -> None:
    one = feed(server="failing", outages=[(100.0, 200.0)])
    assert [one.answer({}, at, None).status for at in (99.0, 100.0, 199.0, 200.0)] == [200, 503, 503, 200]
    with pytest.raises(TransientError, match="no such name"):
        feed(server="dead").answer({}, 0.0, None)


def test_a_feed_shows_its_newest_entries_first() -> None:
    got = feed([float(i) for i in range(20)], shown=3).parsed(9.5)
    assert [entry.published_at.micros % 100_000_000 for entry in got.entries if entry.published_at] == [9e6, 8e6, 7e6]


def test_the_population_is_the_same_each_time_and_holds_every_kind_in_its_share() -> None:
    first, again = population(200, until_days=0.0), population(200, until_days=0.0)
    assert first == again
    counted = {kind.name: sum(one.kind is kind for one in first) for kind in KINDS}
    assert counted == {kind.name: round(kind.share * 200) for kind in KINDS}
    assert sum(kind.share for kind in KINDS) == pytest.approx(1.0)


# ---- the books -------------------------------------------------------------------------------------------------------


class _OnTheHour(Hourly):
    def __init__(self, one: Feed, rng: random.Random, begins: float) -> None:
        super().__init__(one, rng, begins)
        self.first_at = begins


class _EveryTwoMinutes(_OnTheHour):
    def seconds(self, answer: Answer) -> float:
        return 2 * MINUTE


ON_THE_HOUR = Run("on the hour", _OnTheHour, HOUR / DAY)


def test_delays_run_from_publication_to_the_first_answer_that_shows_an_item() -> None:
    got = simulate(feed([-10.0, 0.5, 30 * MINUTE, DAY - 60.0, DAY + 60.0]), ON_THE_HOUR)
    assert sorted(got.delays) == [60.0, 30 * MINUTE, HOUR - 0.5]
    assert (got.items, got.lost) == (3, 0)
    assert got.requests == 24
    assert got.unmodified == 22  # all but those at 00:00 (an item of before) and at 01:00
    assert got.bytes == 24 * room.HEADER_BYTES + 2 * 1000


def test_what_has_left_the_feed_or_is_never_shown_is_lost() -> None:
    got = simulate(feed([float(i) for i in range(1, 11)], shown=4), ON_THE_HOUR)
    assert (got.items, got.lost, len(got.delays)) == (10, 6, 4)
    got = simulate(feed([float(i) for i in range(1, 11)], validators="304 for ever"), ON_THE_HOUR)
    assert (got.items, got.lost, got.delays) == (10, 10, [])


def test_a_server_that_answers_304_for_ever_is_believed_for_a_week_and_then_never_again() -> None:
    one = feed([(n / 4 - 14) * DAY for n in range(72)], validators="304 for ever", shown=40)
    fifth_day, tenth_day = (simulate(one, Run("begun", Newsbeam, days)) for days in (4.0, 9.0))
    assert (fifth_day.items, fifth_day.lost) == (tenth_day.items, tenth_day.lost) == (4, 0)
    assert DAY < max(fifth_day.delays) < 4 * DAY
    assert max(tenth_day.delays) < 3 * HOUR
    assert simulate(one, ON_THE_HOUR).lost == 4


@pytest.mark.parametrize(
    ("one", "unwished"),
    [
        (feed(), 0),
        (feed(declared="ttl 60"), 0),
        (feed(declared="ttl 1440"), 24),
        (feed(declared="max-age=300"), 0),
        (feed(server="gone"), 24),
        (feed(server="throttled"), 0),
    ],
)
def test_requests_against_a_wish(one: Feed, unwished: int) -> None:
    assert simulate(one, ON_THE_HOUR).unwished == unwished


def test_a_server_that_says_when_to_come_again_is_counted_each_time_it_is_not_heeded() -> None:
    assert simulate(feed(server="throttled"), Run("often", _EveryTwoMinutes, 0.0)).unwished == DAY / (2 * MINUTE) - 2


def test_a_redirect_is_a_request() -> None:
    assert simulate(feed(redirect=301), ON_THE_HOUR).requests == 48


def test_a_delay_is_that_of_a_share_of_the_items() -> None:
    tally = Tally(delays=[float(i) for i in range(100)])
    assert [tally.delay(share) for share in (0.0, 0.5, 0.99, 1.0)] == [0.0, 50.0, 99.0, 99.0]


# ---- what it shows ---------------------------------------------------------------------------------------------------


def test_newsbeam_asks_less_than_hourly_polls_and_never_against_a_wish() -> None:
    feeds = population(400)
    ours, hourly = (total(simulate_all(feeds, run)) for run in (NEWSBEAM, RUNS[1]))
    assert ours.unwished == 0
    assert ours.requests < 0.6 * hourly.requests
    assert ours.bytes < 0.9 * hourly.bytes
    assert ours.delay(0.5) < hourly.delay(0.5)


def test_the_page_is_about_this_simulation() -> None:
    """To a tolerance, as far as a tenth of the feeds goes; `make bench` checks it to the digit."""
    cells = next(line for line in room.PAGE.read_text("utf-8").splitlines() if line.startswith("| **newsbeam**"))
    requests, _, megabytes, median, *_ = [float(re.sub(r"[,%]", "", cell)) for cell in cells.strip("| ").split("|")[1:]]
    ours = total(simulate_all(population(FEEDS, step=10), NEWSBEAM))
    assert 10 * ours.requests == pytest.approx(requests, rel=0.1)
    assert 10 * ours.bytes / 1e6 == pytest.approx(megabytes, rel=0.15)
    assert ours.delay(0.5) / MINUTE == pytest.approx(median, rel=0.2)


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--bench-sample"):
        pytest.skip("all policies over all feeds take minutes")
    page = room.PAGE.read_text("utf-8")
    assert page == room.with_table(page, list(room.table(population(FEEDS)))), "run `make polling`"
