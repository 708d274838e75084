"""What to ask of a feed, when, and what its answer means: tables of (state, answer, clock)."""

from typing import Any, Optional

import pytest
from apache_beam.utils.timestamp import Duration, Timestamp
from multidict import CIMultiDict

from transforms.errors import IngestError, RejectedError, TransientError
from transforms.http import Response
from transforms.poll_feeds import (
    UNMODIFIED_SECONDS,
    content_hash,
    decide,
    declared_seconds,
    is_due,
    permanent_target,
    read_answer,
    request_headers,
    retry_after_seconds,
)
from transforms.records import FeedEntry, FeedState, ParsedFeed, Poll, field_names

NOW = Timestamp(1_770_000_000)  # Mon, 02 Feb 2026 02:40:00 GMT
URL = "https://news.test/feed?key=s3cretvalue"
MINUTE, HOUR, DAY = 60, 3_600, 86_400
AT_NOW, IN_AN_HOUR = "Mon, 02 Feb 2026 02:40:00 GMT", "Mon, 02 Feb 2026 03:40:00 GMT"
TAG = {"If-None-Match": "e", "A-IM": "feed"}


def state(feed_id: str = "f", **fields: Any) -> FeedState:
    return FeedState(feed_id=feed_id, **fields)


def answer(status: int = 200, body: bytes = b"<rss/>", redirects: Any = (), **headers: str) -> Response:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Response(URL, status, named, body, redirects, len(body))


def row(before: FeedState, response: Optional[Response] = None, **given: Any) -> Poll:
    return decide(before, url=URL, polled_at=NOW, response=response, **given)


def due_in(poll: Poll) -> float:
    assert poll.next_due_at is not None
    return (poll.next_due_at.micros - NOW.micros) / 1e6


def after(poll: Poll) -> FeedState:
    """What the lake makes of a committed poll."""
    return state(**{name: getattr(poll, name) for name in field_names(FeedState)})


# ---- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "headers"),
    [
        (state(), {}),
        (state(etag='W/"a b"'), {"If-None-Match": 'W/"a b"', "A-IM": "feed"}),
        (
            state(etag="no-quotes", last_modified="yesterday"),
            {"If-None-Match": "no-quotes", "If-Modified-Since": "yesterday", "A-IM": "feed"},
        ),
        (state(etag="", last_modified=""), {}),
        (state(etag="", last_modified="Mon"), {"If-Modified-Since": "Mon"}),
        (state(etag='"a"\r\nX-Evil: 1'), {}),
        (state(etag='"\udcff"'), {}),
    ],
)
def test_validators_are_sent_as_they_came_or_not_at_all(before: FeedState, headers: dict[str, str]) -> None:
    assert request_headers(before, NOW) == headers


@pytest.mark.parametrize(
    ("since", "in_full"),
    [
        (None, False),
        (NOW, False),
        (NOW - 5 * DAY, False),
        (NOW - 7 * DAY, True),
        (NOW - 70 * DAY, True),
        (NOW + 70 * DAY, False),  # the clock was set back
    ],
)
def test_a_feed_that_has_answered_304_alone_for_a_week_is_asked_in_full(
    since: Optional[Timestamp], in_full: bool
) -> None:
    for number in range(20):
        before = state(f"feed {number}", etag='"1"', last_modified="Mon", unmodified_since=since)
        assert (request_headers(before, NOW) == {}) is in_full


def test_feeds_that_started_together_are_not_asked_in_full_together() -> None:
    hours = [0] * 168
    for number in range(1_000):
        before = state(f"feed {number}", etag='"1"', unmodified_since=NOW)
        hours[next(hour for hour in range(168) if not request_headers(before, NOW + (hour + 1) * HOUR))] += 1
    assert max(hours) < 60  # all within 42 hours, 24 an hour on average
    assert sum(count > 0 for count in hours) > 35


# ---- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "batch", "streaming"),
    [
        (state(), None, None),
        (state(next_due_at=NOW + 1), None, "not_yet_due"),
        (state(next_due_at=NOW), None, None),
        (state(state="moved", next_due_at=NOW + 1), None, "not_yet_due"),
        (state(failures_in_a_row=2, next_due_at=NOW + 1), None, "not_yet_due"),
        (state(state="backing_off", failures_in_a_row=3, next_due_at=NOW + 1), "backing_off", "backing_off"),
        (state(state="backing_off", failures_in_a_row=3, next_due_at=NOW), None, None),
        (state(state="gone", next_due_at=NOW + 1), "gone", "gone"),
        (state(state="gone", next_due_at=NOW), None, None),
    ],
)
def test_a_feed_is_due(before: FeedState, batch: Optional[str], streaming: Optional[str]) -> None:
    assert is_due(before, NOW, respect_schedule=False) == batch
    assert is_due(before, NOW, respect_schedule=True) == streaming


# ---- what came -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "response", "sent", "verdict"),
    [
        (state(), answer(), {}, "parse"),
        (state(content_hash=content_hash(b"<rss/>")), answer(), TAG, "unchanged"),
        (state(content_hash=content_hash(b"<rss />")), answer(), TAG, "parse"),
        (state(etag="e"), answer(304, b""), TAG, "not_modified"),
        (state(last_modified="Mon"), answer(304, b""), {"If-Modified-Since": "Mon"}, "not_modified"),
        (state(etag="e"), answer(226, IM="feed"), TAG, "parse"),
        (state(etag="e"), answer(226, IM=" Feed "), TAG, "parse"),
        (state(etag="e"), answer(226, IM="feed", Delta_Base="e"), TAG, "parse"),
        # The part that came last time says nothing about the part that comes now.
        (state(etag="e", content_hash=content_hash(b"<rss/>")), answer(226, IM="feed"), TAG, "parse"),
    ],
)
def test_an_answer_that_brings_something(
    before: FeedState, response: Response, sent: dict[str, str], verdict: str
) -> None:
    assert read_answer(before, response, sent=sent, now=NOW) == verdict


@pytest.mark.parametrize(
    ("response", "sent"),
    [
        (answer(226, IM="feed"), {}),  # nobody asked
        (answer(226, IM="feed"), {"If-Modified-Since": "Mon"}),
        (answer(226, IM="feed"), {"If-None-Match": "e"}),  # nobody asked for a part
        (answer(226), {"If-None-Match": "e", "A-IM": "feed"}),
        (answer(226, IM=""), {"If-None-Match": "e", "A-IM": "feed"}),
        (answer(226, IM="vcdiff"), {"If-None-Match": "e", "A-IM": "feed"}),
        (answer(226, IM="feed, gzip"), {"If-None-Match": "e", "A-IM": "feed"}),
        (answer(226, IM="feed", Delta_Base="another"), {"If-None-Match": "e", "A-IM": "feed"}),
    ],
)
def test_a_part_that_was_not_asked_for_is_no_answer(response: Response, sent: dict[str, str]) -> None:
    with pytest.raises(RejectedError) as caught:
        read_answer(state(etag="e"), response, sent=sent, now=NOW)
    assert caught.value.reason == "http_226"


def test_an_empty_part_is_no_answer() -> None:
    with pytest.raises(RejectedError) as caught:
        read_answer(state(etag="e"), answer(226, b" ", IM="feed"), sent=TAG, now=NOW)
    assert caught.value.reason == "empty_body"


@pytest.mark.parametrize(
    ("response", "kind", "reason", "wait"),
    [
        (answer(304, b""), RejectedError, "http_304", None),
        (answer(200, b" \n"), RejectedError, "empty_body", None),
        (answer(204, b""), RejectedError, "http_204", None),
        (answer(302, b""), RejectedError, "http_302", None),
        (answer(403), RejectedError, "http_403", None),
        (answer(404), RejectedError, "http_404", None),
        (answer(410), RejectedError, "http_410", None),
        (answer(408), TransientError, "http_408", None),
        (answer(429), TransientError, "http_429", None),
        (answer(429, Retry_After="120"), TransientError, "http_429", 120.0),
        (answer(503, Retry_After="7"), TransientError, "http_503", 7.0),
        (answer(500, Retry_After="7"), TransientError, "http_500", None),
    ],
)
def test_an_answer_that_brings_nothing(response: Response, kind: type, reason: str, wait: Optional[float]) -> None:
    with pytest.raises(IngestError) as caught:
        read_answer(state(), response, sent={}, now=NOW)
    assert (type(caught.value), caught.value.reason) == (kind, reason)
    assert getattr(caught.value, "retry_after_seconds", None) == wait
    assert "s3cretvalue" not in caught.value.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "99999999999999999999"}, DAY),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "Mon, 02 Feb 2026 02:50:00 GMT"}, 600.0),
        ({"Retry-After": "Mon, 02 Feb 2026 02:50:00 GMT", "Date": "Mon, 02 Feb 2026 02:49:00 GMT"}, 60.0),
        ({"Retry-After": "Sun, 01 Feb 2026 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "Fri, 02 Feb 2029 00:00:00 GMT"}, DAY),
        ({"Retry-After": "Mon, 99 Feb 99999999999 99:99:99 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: Optional[float]) -> None:
    assert retry_after_seconds(CIMultiDict(headers), NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "ttl", "seconds"),
    [
        ({}, None, 0),
        ({}, 900, 900),
        ({"Cache-Control": "public, max-age=1800"}, 900, 1800),
        ({"Cache-Control": 'MAX-AGE="60"'}, 900, 900),
        ({"Cache-Control": "no-cache, max-age=1800"}, None, 0),
        ({"Cache-Control": "s-maxage=1800"}, None, 0),
        ({"Cache-Control": "max-age=99999999999"}, None, DAY),
        ({"Expires": "Mon, 02 Feb 2026 03:40:00 GMT", "Date": "Mon, 02 Feb 2026 02:40:00 GMT"}, None, HOUR),
        ({"Expires": "0", "Date": "Mon, 02 Feb 2026 02:40:00 GMT"}, None, 0),
        *(
            ({"Cache-Control": control, "Expires": IN_AN_HOUR, "Date": AT_NOW}, ttl, seconds)
            for control, ttl, seconds in (
                ("public", None, HOUR),
                ("private, must-revalidate", None, HOUR),
                ("public", 7_200, 7_200),
                ("s-maxage=60", None, HOUR),  # that is for shared caches, and we are none
                ("public, max-age=60", None, MINUTE),
                ("max-age=0", None, 0),
                ("max-age=soon", None, 0),  # RFC 9111, 4.2.1: what cannot be read is stale
                ("no-cache", None, 0),
                ("public, no-store", None, 0),
            )
        ),
    ],
)
def test_what_a_feed_asks_for(headers: dict[str, str], ttl: Optional[int], seconds: float) -> None:
    assert declared_seconds(CIMultiDict(headers), ttl) == seconds


# ---- the row ---------------------------------------------------------------------------------------------------------


def test_a_first_poll() -> None:
    got = row(
        state(),
        answer(ETag='"1"', Last_Modified="Mon"),
        status="ok",
        parsed=ParsedFeed("rss", (), title="The Lintwick Post", warnings=("no_guid",)),
        entries=5,
        new_entries=[("a", "1"), ("b", "2")],
        fresh=2,
        duration_ms=12,
    )
    assert got == Poll(
        feed_id="f",
        url="https://news.test/feed?key=***",
        polled_at=NOW,
        status="ok",
        http_status=200,
        format="rss",
        feed_title="The Lintwick Post",
        etag='"1"',
        last_modified="Mon",
        content_hash=content_hash(b"<rss/>"),
        duration_ms=12,
        bytes_received=6,
        entries=5,
        known=3,
        new=2,
        new_entry_ids=("a", "b"),
        new_entry_hashes=("1", "2"),
        next_due_at=NOW + HOUR,
        warnings=("no_guid",),
    )


def test_a_304_keeps_what_was_there() -> None:
    before = state(etag='"1"', last_modified="Mon", content_hash="c", failures_in_a_row=2)
    got = row(before, answer(304, b"", ETag='"2"'), status="not_modified")
    assert (got.status, got.etag, got.last_modified, got.content_hash) == ("not_modified", '"1"', "Mon", "c")
    assert (got.entries, got.known, got.new, got.failures_in_a_row) == (0, 0, 0, 0)


def test_a_304_says_since_when_there_was_nothing_else() -> None:
    first = row(state(etag='"1"'), answer(304, b""), status="not_modified")
    assert first.unmodified_since == NOW
    since = NOW - 3 * DAY
    before = state(etag='"1"', content_hash="c", unmodified_since=since)
    assert row(before, answer(304, b""), status="not_modified").unmodified_since == since
    assert row(before, error=TransientError("x", reason="timeout")).unmodified_since == since
    for response, status in ((answer(), "ok"), (answer(), "unchanged"), (answer(226, IM="feed"), "ok")):
        assert row(before, response, status=status).unmodified_since is None


def test_a_server_that_answers_304_for_ever_is_found_out_within_a_week() -> None:
    """Polled each day; it has news each day, and one ETag for all of them."""
    current, now, in_full = state(), NOW, []
    for day in range(20):
        sent = request_headers(current, now)
        if sent:
            got = decide(current, url=URL, polled_at=now, response=answer(304, b""), status="not_modified")
        else:
            in_full.append(day)
            news = answer(body=b"%d" % day, ETag='"1"')
            got = decide(
                current, url=URL, polled_at=now, response=news, status=read_status(current, news, sent),
                entries=9, new_entries=[("e", "h")], fresh=1,
            )  # fmt: skip
        current, now = after(got), now + DAY
    first, second, *later = in_full
    assert (first, second <= 1 + UNMODIFIED_SECONDS / DAY) == (0, True)
    assert current.etag == ""
    assert later == list(range(second + 1, 20))


def read_status(before: FeedState, response: Response, sent: dict[str, str]) -> str:
    return {"parse": "ok"}.get(verdict := read_answer(before, response, sent=sent, now=NOW), verdict)


def test_a_part_leaves_nothing_to_compare_the_whole_with_and_its_validators_are_taken() -> None:
    before = state(etag='"1"', last_modified="Mon", content_hash="c")
    got = row(
        before, answer(226, IM="feed", ETag='"2"', Last_Modified="Tue"), status="ok", entries=2,
        new_entries=[("a", "1")], fresh=1,
    )  # fmt: skip
    assert (got.status, got.http_status, got.etag, got.last_modified) == ("ok", 226, '"2"', "Tue")
    assert (got.content_hash, got.entries, got.known, got.new) == (None, 2, 1, 1)


@pytest.mark.parametrize("content", ["c", None])
def test_news_in_a_part_under_the_same_etag_are_a_lie(content: Optional[str]) -> None:
    before = state(etag='"1"', content_hash=content)
    got = row(before, answer(226, IM="feed", ETag='"1"'), status="ok", entries=1, new_entries=[("a", "1")], fresh=1)
    assert (got.etag, got.warnings) == ("", ("validators_mistrusted",))


@pytest.mark.parametrize("reason", ["http_226", "empty_body", "not_a_feed"])
def test_a_part_that_cannot_be_used_is_not_asked_for_again(reason: str) -> None:
    before = state(etag='"1"', last_modified="Mon", content_hash="c")
    got = row(before, answer(226), error=RejectedError("x", reason=reason))
    assert (got.etag, got.last_modified, got.warnings) == ("", "Mon", ("validators_mistrusted",))
    assert request_headers(after(got), NOW) == {"If-Modified-Since": "Mon"}


def test_the_same_content_under_a_new_validator_is_unchanged_and_the_validator_taken() -> None:
    before = state(etag='"1"', content_hash=content_hash(b"<rss/>"))
    got = row(before, answer(ETag='"2"'), status="unchanged")
    assert (got.status, got.etag, got.content_hash) == ("unchanged", '"2"', content_hash(b"<rss/>"))


@pytest.mark.parametrize(
    ("error", "before", "then", "failures", "least", "most"),
    [
        (TransientError("x", reason="timeout"), state(), "ok", 1, 900, 990),
        (TransientError("x", reason="timeout"), state(failures_in_a_row=1), "ok", 2, 1800, 1980),
        (RejectedError("x", reason="not_a_feed"), state(failures_in_a_row=2), "backing_off", 3, HOUR, 1.1 * HOUR),
        (RejectedError("x", reason="http_404"), state(failures_in_a_row=3), "backing_off", 4, 2 * HOUR, 2.2 * HOUR),
        (RejectedError("x", reason="http_404"), state(failures_in_a_row=500), "backing_off", 501, DAY, 1.1 * DAY),
        (TransientError("x", reason="http_429", retry_after_seconds=7200), state(), "backing_off", 1, 7200, 7920),
        (TransientError("x", reason="http_503", retry_after_seconds=5), state(), "backing_off", 1, 900, 990),
        (
            TransientError("x", reason="host_asked_to_wait", retry_after_seconds=5000),
            state(),
            "backing_off",
            0,
            5000,
            5500,
        ),
        (RejectedError("x", reason="http_410"), state(), "gone", 1, 30 * DAY, 30 * DAY),
    ],
)
@pytest.mark.parametrize("jitter", [0.0, 0.999])
def test_a_failure_backs_off_and_keeps_the_validators(
    error: IngestError, before: FeedState, then: str, failures: int, least: float, most: float, jitter: float
) -> None:
    before = state(etag='"1"', last_modified="Mon", content_hash="c", failures_in_a_row=before.failures_in_a_row)
    got = row(before, error=error, jitter=jitter)
    assert (got.status, got.state, got.reason, got.failures_in_a_row) == ("failed", then, error.reason, failures)
    assert (got.etag, got.last_modified, got.content_hash) == ('"1"', "Mon", "c")
    assert least <= due_in(got) <= most


def test_three_failures_in_a_row_wait_and_a_success_ends_it() -> None:
    now, current, waited = NOW, state(), []
    for _ in range(4):
        got = decide(current, url=URL, polled_at=now, error=TransientError("x", reason="timeout"))
        current = after(got)
        waited.append(is_due(current, now + 1, respect_schedule=False))
    assert waited == [None, None, "backing_off", "backing_off"]
    assert got.next_due_at is not None
    assert is_due(current, got.next_due_at, respect_schedule=False) is None
    healed = after(row(current, answer(), status="ok"))
    assert (healed.state, healed.failures_in_a_row) == ("ok", 0)
    assert is_due(healed, NOW + 1, respect_schedule=False) is None


def test_a_failure_with_an_answer_says_which() -> None:
    got = row(state(), answer(404, b"not here"), error=RejectedError("no\nfeed", reason="http_404"))
    assert (got.http_status, got.bytes_received, got.message) == (404, 8, "no feed")


def test_the_interval_shrinks_with_news_and_grows_without_within_bounds() -> None:
    current, now, seen = state(), NOW, []
    for step in range(60):
        fresh = 20 if step < 20 else 0
        got = decide(
            current, url=URL, polled_at=now, response=answer(body=b"%d" % step), status="ok",
            entries=20, new_entries=[("e", "h")] * fresh, fresh=fresh,
        )  # fmt: skip
        assert got.next_due_at is not None
        seen.append((got.next_due_at.micros - now.micros) / 1e6)
        current, now = after(got), got.next_due_at
    assert seen[0] == HOUR
    assert seen[:20] == sorted(seen[:20], reverse=True)
    assert seen[20:] == sorted(seen[20:])
    assert (min(seen), max(seen)) == (10 * MINUTE, DAY)


@pytest.mark.parametrize(
    ("interval", "passed", "fresh", "deferred", "due"),
    [
        (HOUR, HOUR, 1, 0, HOUR),
        (HOUR, HOUR, 4, 0, 30 * MINUTE),  # an entry every 15 minutes
        (HOUR, HOUR, 1, 3, 30 * MINUTE),  # what was left for the next poll has come as well
        (HOUR, HOUR, 400, 0, 10 * MINUTE),
        (DAY, DAY, 24, 0, HOUR),  # a burst after silence ends it at once
        (20 * MINUTE, 20 * MINUTE, 1, 0, 20 * MINUTE),  # news never makes it longer
        (DAY, DAY, 1, 0, 24**0.5 * HOUR),
        (HOUR, 4 * HOUR, 4, 0, HOUR),  # polled late
        (HOUR, HOUR, 0, 0, 1.25 * HOUR),
        (HOUR, 5 * HOUR, 0, 0, 1.25 * HOUR),
        (HOUR, 6 * MINUTE, 0, 0, HOUR),  # polled early, for a retry
        (DAY, DAY, 0, 0, DAY),
        (HOUR, -HOUR, 1, 0, 10 * MINUTE),  # the clock was set back
    ],
)
def test_the_next_interval(interval: float, passed: float, fresh: int, deferred: int, due: float) -> None:
    polled_at = NOW - Duration(seconds=passed)
    before = state(polled_at=polled_at, next_due_at=polled_at + Duration(seconds=interval))
    got = row(
        before, answer(), status="ok", entries=400, new_entries=[("e", "h")] * fresh, fresh=fresh, deferred=deferred
    )
    assert due_in(got) == pytest.approx(due)


@pytest.mark.parametrize("before", [state(), state(polled_at=NOW - DAY, next_due_at=NOW, failures_in_a_row=9)])
@pytest.mark.parametrize(
    ("ages", "due"),
    [
        ([], HOUR),
        ([None] * 20, HOUR),
        ([15 * MINUTE * (n + 1) for n in range(20)], 30 * MINUTE),
        ([15 * MINUTE * (n + 1) for n in reversed(range(20))], 30 * MINUTE),  # listed the other way round
        ([15 * MINUTE * (n + 1) for n in range(5)], 30 * MINUTE),
        ([15 * MINUTE * (n + 1) for n in range(4)], HOUR),  # too few
        ([0] * 20, HOUR),  # all of now
        ([-HOUR] * 3 + [15 * MINUTE * (n + 1) for n in range(10)], 30 * MINUTE),  # announced for later
        ([600 * DAY + n for n in range(10)], DAY),  # silent for long
        ([7 * DAY * (n + 1) for n in range(10)], (7 * 24) ** 0.5 * HOUR),
        ([MINUTE * (n + 1) for n in range(10)], 10 * MINUTE),
    ],
)
def test_without_an_interval_to_go_on_from_the_dates_of_the_entries_serve(
    before: FeedState, ages: list[Any], due: float
) -> None:
    dates = [NOW - Duration(seconds=age) if age is not None else None for age in ages]
    parsed = ParsedFeed("rss", [FeedEntry("k", "h", "", published_at=date) for date in dates])
    got = row(before, answer(), status="ok", parsed=parsed, entries=len(ages), new_entries=[("e", "h")], fresh=1)
    assert due_in(got) == pytest.approx(due)


@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_the_interval_is_never_shorter_than_what_the_feed_asks_for(jitter: float) -> None:
    before = state(polled_at=NOW - 600, next_due_at=NOW)
    heard = answer(Cache_Control="max-age=7200")
    polled = row(before, heard, status="ok", fresh=1, entries=1, new_entries=[("e", "h")], jitter=jitter)
    assert due_in(polled) == 7200
    assert due_in(row(before, answer(), status="ok", parsed=ParsedFeed("rss", (), ttl_seconds=10 * DAY))) == DAY


@pytest.mark.parametrize("jitter", [0.0, 0.25, 0.999])
def test_jitter_is_small_and_stays_within_bounds(jitter: float) -> None:
    assert 0.95 * HOUR <= due_in(row(state(), answer(), status="ok", jitter=jitter)) <= 1.05 * HOUR


def test_an_interval_after_failures_starts_over() -> None:
    before = state(polled_at=NOW - DAY, next_due_at=NOW, failures_in_a_row=9, state="backing_off")
    assert due_in(row(before, answer(), status="ok", fresh=1, entries=1, new_entries=[("e", "h")])) == HOUR


@pytest.mark.parametrize(
    ("redirects", "target"),
    [
        ((), None),
        (((301, "https://a/"),), "https://a/"),
        (((308, "https://a/"), (301, "https://b/"), (302, "https://c/"), (301, "https://d/")), "https://b/"),
        (((302, "https://a/"), (301, "https://b/")), None),
        (((307, "https://a/"),), None),
    ],
)
def test_only_permanent_redirects_move_a_feed(redirects: Any, target: Optional[str]) -> None:
    assert permanent_target(redirects) == target
    got = row(state(), answer(redirects=redirects), status="ok")
    assert (got.state, got.moved_to) == ("moved" if target else "ok", target)


def test_where_a_feed_has_moved_is_masked() -> None:
    got = row(state(), answer(redirects=((301, "https://ann:pw@a.test/?token=abc"),)), status="ok")
    assert got.moved_to == "https://***@a.test/?token=***"


@pytest.mark.parametrize(
    ("before", "headers", "fresh", "kept"),
    [
        ({"etag": '"1"'}, {"ETag": '"1"'}, 1, ("", None)),
        ({"etag": '"1"', "last_modified": "M"}, {"ETag": '"1"', "Last_Modified": "M"}, 1, ("", "")),
        ({"etag": '"1"'}, {"ETag": '"2"'}, 1, ('"2"', None)),
        ({"etag": '"1"'}, {"ETag": '"1"'}, 0, ('"1"', None)),  # a comment with the time of day
        ({"last_modified": "M"}, {"Last_Modified": "M"}, 1, (None, "")),
        ({"etag": '"1"', "last_modified": "M"}, {"ETag": '"2"', "Last_Modified": "M"}, 1, ('"2"', "M")),
        ({"etag": ""}, {"ETag": '"7"'}, 0, ("", None)),  # mistrust stays
    ],
)
def test_a_validator_that_hid_new_entries_is_mistrusted(
    before: dict[str, str], headers: dict[str, Any], fresh: int, kept: Any
) -> None:
    new = [("e", "h")] * fresh
    got = row(
        state(content_hash="old", **before), answer(**headers), status="ok", entries=1, new_entries=new, fresh=fresh
    )
    assert (got.etag, got.last_modified) == kept
    assert ("validators_mistrusted" in got.warnings) == ("" in kept)


def test_a_retry_in_unchanged_content_is_no_lie() -> None:
    before = state(etag='"1"', content_hash=content_hash(b"<rss/>"))
    got = row(before, answer(ETag='"1"'), status="ok", entries=1, new_entries=[("e", "h")], fresh=0)
    assert got.etag == '"1"'


def test_entries_left_for_the_next_poll_let_no_validator_hide_them() -> None:
    got = row(
        state(),
        answer(ETag='"1"', Last_Modified="M"),
        status="ok",
        entries=2,
        new_entries=[("e", "h")],
        fresh=1,
        deferred=3,
    )
    assert (got.etag, got.last_modified, got.content_hash) == (None, None, None)
    assert (got.entries, got.known, got.new, got.warnings) == (2, 1, 1, ("entries_deferred",))


@pytest.mark.parametrize("etag", ['"' + "x" * 2000 + '"', '"a\tb"', ""])
def test_a_validator_that_no_row_should_hold_is_dropped(etag: str) -> None:
    assert row(state(), answer(ETag=etag), status="ok").etag is None
