"""Dates written by machines are read back to the second; the shapes that people write are in test_parse_feed.py."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import read_dates
from transforms.read_dates import believe_date, read_date

ZONES = st.integers(-48, 56).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
MOMENTS = st.builds(datetime.fromtimestamp, st.integers(-2_208_000_000, 7_000_000_000), ZONES)


@pytest.mark.parametrize(
    "shape",
    [
        "%Y-%m-%dT%H:%M:%S%z",
        "%Y%m%dT%H%M%S%z",
        "%Y/%m/%d %H:%M:%S %z",
        "%a, %d %b %Y %H:%M:%S %z",
        "%A, %B %d, %Y %I:%M:%S %p %z",
        "%a %b %d %H:%M:%S %z %Y",
        "%a %b %d %Y %H:%M:%S GMT%z (zone)",
        "%d-%m-%Y %H:%M:%S %z",
    ],
)
@settings(max_examples=60, deadline=None)
@given(moment=MOMENTS)
def test_what_is_written_is_read(shape: str, moment: datetime):
    assert read_date(moment.strftime(shape)) == moment.timestamp()


@settings(max_examples=100, deadline=None)
@given(moment=MOMENTS)
def test_without_a_zone_it_is_utc(moment: datetime):
    assert read_date(moment.strftime("%d.%m.%Y %H:%M:%S")) == moment.replace(tzinfo=UTC).timestamp()


@settings(max_examples=300, deadline=None)
@given(text=st.text("0123456789:.-/+ TZpamMarche年月日오후,", max_size=40) | st.text(max_size=40))
def test_any_text_is_a_moment_of_the_calendar_or_none(text: str):
    seconds = read_date(text)
    assert seconds is None or -62_200_000_000 < seconds < 253_500_000_000


ISO_SHAPES = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M%z", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")


@settings(max_examples=300, deadline=None)
@given(
    moment=MOMENTS,
    shape=st.sampled_from(ISO_SHAPES),
    noise=st.text("0123456789-+:.TZ ", max_size=2),
    at=st.integers(0, 30),
)
def test_the_short_way_through_iso_8601_gives_what_the_long_one_does(moment: datetime, shape: str, noise: str, at: int):
    written = moment.strftime(shape)
    written = written[:at] + noise + written[at + len(noise) :]
    assert read_date(written) == read_dates._read_any(written)


@pytest.mark.parametrize(
    "written",
    ["12 जनवरी 2026", "१२ जनवरी २०२६", "12 جنوری 2026", "١٢ يناير ٢٠٢٦", "12 كانون الثاني 2026", "12 ינואר 2026", "12 בינואר 2026",
     "12 ژانویه 2026", "12 জানুয়ারি 2026", "2026 m. sausio 12 d.", "12 tháng 1, 2026", "12 Tháng 1 2026", "12 มกราคม 2026"],
)  # fmt: skip
def test_months_of_further_languages(written: str):
    assert read_date(written) == datetime(2026, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "written", ["12 تشرين الأول 2026", "12 أكتوبر/تشرين الأول 2026", "12 ตุลาคม 2569", "12 okt 2026"]
)
def test_months_of_two_words_and_years_of_another_count(written: str):
    assert read_date(written) == datetime(2026, 10, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "written, day_first, day",
    [
        ("03/05/2026", None, None),
        ("03/05/2026", True, (5, 3)),
        ("03/05/2026", False, (3, 5)),
        ("03/05/2026 17:30", True, (5, 3)),
        ("03/25/2026", True, (3, 25)),
        ("25/03/2026", False, (3, 25)),
        ("03/05/2026 5:30 PM", None, (3, 5)),
        ("03/05/2026 5:30 PM", True, (5, 3)),
        ("03-05-2026", None, (5, 3)),
        ("03.05.2026", False, (5, 3)),
        ("2026/03/05", True, (3, 5)),
    ],
)
def test_who_reads_says_whether_the_day_comes_first(
    written: str, day_first: Optional[bool], day: Optional[tuple[int, int]]
):
    seconds = read_date(written, day_first=day_first)
    read = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    assert (read and (read.month, read.day)) == day


NOON = 1_772_539_200.0  # 2026-03-03T12:00:00Z


@pytest.mark.parametrize(
    "seconds, micros, warnings",
    [
        (None, None, []),
        (NOON - 0.5, 1_772_539_199_500_000, []),
        (NOON + 86_400.0, 1_772_625_600_000_000, []),
        (NOON + 86_401.0, 1_772_539_200_000_000, ["future_date"]),
        (253_402_300_799.0, 1_772_539_200_000_000, ["future_date"]),
        (0.0, None, ["implausible_date"]),
        (-86_399.0, None, ["implausible_date"]),
        (86_400.0, 86_400_000_000, []),
        (-2_208_988_800.0, -2_208_988_800_000_000, []),
        (-2_208_988_801.0, None, ["implausible_date"]),
    ],
)
def test_what_is_believed_of_a_date(seconds: Optional[float], micros: Optional[int], warnings: list[str]):
    said: list[str] = []
    assert (believe_date(seconds, now_seconds=NOON, warnings=said), said) == (micros, warnings)
