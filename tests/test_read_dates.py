"""Dates written by machines are read back to the second; the shapes that people write are in test_parse_feed.py."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.read_dates import read_date

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
