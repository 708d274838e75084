"""What to ask of a feed, when, and what its answer means: pure functions of (feed state, answer, clock).

Decisions:
    Nothing here counts until the `Poll` row is committed. So the validators in it take effect only together with the
    entries that came with them, and a failed poll keeps what was there.

    Validators are opaque: they are sent back as they came. No single signal is trusted: the hash of the content says
    "unchanged" beside them, and a validator that stayed the same while new entries appeared is never sent again; it
    is stored as "" (mistrusted), which differs from None (the feed has none). That nothing but new entries counts as
    a lie is deliberate: many feeds carry the time of day, and a weak validator may cover that.

    Nothing but 304 is ever seen of a server that answers it to whatever it is sent, so a feed that has answered nothing
    else for about a week is asked without validators. An honest one then sends one body in a week.

    A part of a feed (226, RFC 3229) is asked for beside the ETag, and taken where the answer says that it is one. One
    that cannot be taken makes the ETag mistrusted, or the feed would fail at each poll for a question of ours.

    States: ``ok``; ``backing_off``, which must not be asked before `next_due_at` (it said so, or failed three times in
    a row; two failures are weather); ``moved``, asked at its listed address until the list says otherwise; ``gone``,
    asked once a month, since servers are known to say 410 by mistake.

    `next_due_at` adapts: after new entries to the geometric mean of the time between them and an hour, if that is
    sooner; without any x1.25; never shorter than what the feed asks for (ttl, max-age, Expires), in 10 minutes to 24
    hours. For a given number of requests, delays over all entries are least when each feed is asked in proportion to
    the square root of its rate. The dates of the entries serve where there is no interval to go on from. In batch the
    user's schedule decides and only feeds that must not be asked are left out; a streaming worker goes by
    `next_due_at`. What it comes to is measured in docs/polling.md.

Limits: a server that answers 304 to whatever it is sent, but gives each answer in full a new validator, is believed
for a week each time. A ttl is known only from an answer that is read: when a 304 follows on a failure, the hour holds.

Source: the parameters of mediacloud/rss-fetcher (10 min floor, a day as ceiling, back-off that never ends),
miniflux and lemon24/reader (headers), RFC 9110, 9111, 3229 and "RFC3229+feed" (B. Wyman, 2004); Sia, Cho and Cho,
Efficient Monitoring Algorithm for Fast News Alerts (2007), for the share of the requests that a feed should have.
"""

import email.utils
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from apache_beam.utils.timestamp import Duration, Timestamp

from transforms.errors import IngestError, RejectedError, TransientError, mask_url, one_line
from transforms.http import Response
from transforms.records import FeedState, ParsedFeed, Poll, digest64

SHORTEST_SECONDS = 600.0
LONGEST_SECONDS = 86_400.0
FIRST_SECONDS = 3_600.0
SLOWER = 1.25
DATED_ENTRIES, LEAST_DATED_ENTRIES = 10, 5  # what an estimate from dates goes by
SHORTEST_GAP_SECONDS = 60.0  # dates closer than that are when the feed was made, not when its entries were
BACK_OFF_SECONDS = 900.0  # after the first failure; doubles: an hour after the third, a day from the eighth on
FAILURES_ARE_WEATHER = 2
GONE_SECONDS = 30 * 86_400.0
# What a server that lies can hide; an honest feed that is quiet is polled about once a day, and sends a body in seven.
UNMODIFIED_SECONDS = 7 * 86_400.0
UNMODIFIED_SPREAD = 0.25  # of it, by feed: those that started together are asked in full over two days
MOST_VALIDATOR_CHARS = 1_024
MISTRUSTED = ""

_NOT_THE_FEEDS_FAULT = ("host_asked_to_wait", "host_silent", "secret_missing")
_NOT_SENDABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{0,9})", re.IGNORECASE)
_NO_CACHE = re.compile(r"(?:^|,)\s*no-(?:cache|store)\b", re.IGNORECASE)


def request_headers(state: FeedState, now: Timestamp) -> dict[str, str]:
    """Return the headers of a conditional request: both validators, as they came; none that is mistrusted.

    Beside an ETag only what is new since is asked for (RFC 3229, 10.5.3). A feed that is due for an answer in full is
    asked with none of them.
    """
    if _is_in_full(state, now):
        return {}
    validators = {"If-None-Match": state.etag, "If-Modified-Since": state.last_modified}
    headers = {name: value for name, value in validators.items() if value and not _NOT_SENDABLE.search(value)}
    return headers | {"A-IM": "feed"} if "If-None-Match" in headers else headers


def _is_in_full(state: FeedState, now: Timestamp) -> bool:
    if state.unmodified_since is None:
        return False
    # By the feed and not by chance: drawn anew at each poll, the least of many draws would count.
    share = int(digest64("in full", state.feed_id), 16) / 2**64
    return _seconds(now) - _seconds(state.unmodified_since) >= UNMODIFIED_SECONDS * (1 - UNMODIFIED_SPREAD * share)


def is_due(state: FeedState, now: Timestamp, *, respect_schedule: bool) -> Optional[str]:
    """Return None when the feed is to be polled now, else why not: gone, backing_off, not_yet_due.

    Args:
        state: as the newest committed poll left it; a feed without one has never been polled and is due.
        now: the time.
        respect_schedule: also wait for `next_due_at` where the feed does not insist (streaming).
    """
    if state.next_due_at is None or now >= state.next_due_at:
        return None
    if state.state in ("gone", "backing_off"):
        return state.state
    return "not_yet_due" if respect_schedule else None


def content_hash(body: bytes) -> str:
    """Return what tells one body of a feed from another: 16 hex digits."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def read_answer(state: FeedState, response: Response, *, sent: Mapping[str, str], now: Timestamp) -> str:
    """Return what to do with an answer: not_modified, unchanged (same content as last time), or parse.

    Args:
        state: what is known of the feed.
        response: what came.
        sent: the conditional headers of the request; a 304 to a plain request says nothing.
        now: the time, for a Retry-After that is a date.

    Raises:
        TransientError: http_408, http_425, http_429, http_5xx.
        RejectedError: any other status that brings no feed, empty_body.
    """
    status = response.status
    if status == 304 and sent:
        return "not_modified"
    is_part = status == 226 and _is_part_as_asked(response, sent)
    if status == 200 or is_part:
        if not response.body.strip():
            raise RejectedError(f"{mask_url(response.url)}: an empty answer", reason="empty_body", url=response.url)
        return "unchanged" if not is_part and content_hash(response.body) == state.content_hash else "parse"
    raise error_of_status(response, now)


def _is_part_as_asked(response: Response, sent: Mapping[str, str]) -> bool:
    """Return whether a 226 is what is new since the ETag that was sent: one made in another way cannot be read.

    Source: RFC 3229, 10.5.2 (IM names all that was done, and only what A-IM asked for) and 10.5.1 (Delta-Base).
    """
    made_by, base = response.headers.get("IM", ""), response.headers.get("Delta-Base")
    return "A-IM" in sent and made_by.strip().lower() == sent["A-IM"] and base in (None, sent.get("If-None-Match"))


def error_of_status(response: Response, now: Timestamp) -> IngestError:
    """Return the error that a status other than success is; transient for those that may pass (408, 425, 429, 5xx)."""
    status, url = response.status, response.url
    message, reason = f"{mask_url(url)}: HTTP {status}", f"http_{status}"
    if status in (408, 425, 429) or status >= 500:
        wait = retry_after_seconds(response.headers, now) if status in (429, 503) else None
        return TransientError(message, reason=reason, url=url, retry_after_seconds=wait)
    return RejectedError(message, reason=reason, url=url)


def retry_after_seconds(headers: Mapping[str, str], now: Timestamp) -> Optional[float]:
    """Return how long a Retry-After asks to wait, at most a day; None without one that can be read.

    A date is taken relative to the server's own Date. Source: RFC 9110, 10.2.3; a day as in mediacloud/rss-fetcher,
    which has seen 88 hours.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_SECONDS)
    until = _http_date(value)
    if until is None:
        return None
    since = _http_date(headers.get("Date", ""))
    return min(max(until - (since if since is not None else _seconds(now)), 0.0), LONGEST_SECONDS)


def declared_seconds(headers: Mapping[str, str], ttl_seconds: Optional[int] = None) -> float:
    """Return the interval that the feed asks for by ttl, max-age or Expires, at most a day; 0 when it asks for none.

    Without max-age Expires holds, whatever else Cache-Control says but no-cache and no-store. s-maxage is not looked
    at: it tells shared caches how long to serve others, who are to have news sooner than that; a publisher clears them.
    Source: RFC 9111, 4.2.1, 5.2.2.10 and 5.3.
    """
    asked = float(ttl_seconds or 0)
    control = headers.get("Cache-Control", "")
    max_age = _MAX_AGE.search(control)
    if _NO_CACHE.search(control):
        pass
    elif max_age is not None:
        asked = max(asked, float(max_age[1] or 0))
    else:
        expires, since = _http_date(headers.get("Expires", "")), _http_date(headers.get("Date", ""))
        if expires is not None and since is not None:
            asked = max(asked, expires - since)
    return min(max(asked, 0.0), LONGEST_SECONDS)


def decide(
    state: FeedState,
    *,
    url: str,
    polled_at: Timestamp,
    response: Optional[Response] = None,
    error: Optional[IngestError] = None,
    status: str = "failed",
    parsed: Optional[ParsedFeed] = None,
    entries: int = 0,
    new_entries: Sequence[tuple[str, str]] = (),
    fresh: int = 0,
    deferred: int = 0,
    warnings: Sequence[str] = (),
    duration_ms: int = 0,
    jitter: float = 0.5,
    shortest_seconds: float = SHORTEST_SECONDS,
    longest_seconds: float = LONGEST_SECONDS,
) -> Poll:
    """Return the row of a poll: how it went, what is remembered of it, when the feed is due again.

    Args:
        state: what was known before.
        url: the feed's address as listed; masked in the row.
        polled_at: when the poll started.
        response: the answer, also where it was of no use; None when there was none.
        error: why the poll failed.
        status: ok, not_modified, unchanged, or failed (whenever there is an `error`).
        parsed: the feed, for status ok.
        entries: how many entries came, known and new.
        new_entries: the new ones: (entry_id, entry_hash).
        fresh: how many of those were never tried before.
        deferred: how many new ones were left for the next poll: no validator may then hide them.
        warnings: slugs beside those of `parsed`.
        duration_ms: of the whole poll.
        jitter: 0 to 1, drawn by the caller.
        shortest_seconds: between two polls of a healthy feed.
        longest_seconds: likewise.
    """
    headers: Mapping[str, str] = response.headers if response is not None else {}
    moved_to = permanent_target(response.redirects) if response is not None else None
    noted = [*(parsed.warnings if parsed is not None else ()), *warnings]
    common: dict[str, Any] = {
        "feed_id": state.feed_id,
        "url": mask_url(url),
        "polled_at": polled_at,
        "http_status": response.status if response is not None else None,
        "bytes_received": response.bytes_on_wire if response is not None else 0,
        "duration_ms": duration_ms,
        "moved_to": mask_url(moved_to) if moved_to is not None else None,
    }
    if error is not None:
        etag = state.etag
        if etag and response is not None and response.status == 226:
            etag = MISTRUSTED
            noted.append("validators_mistrusted")
        failures = state.failures_in_a_row + (error.reason not in _NOT_THE_FEEDS_FAULT)
        after, wait = _after_failure(error, failures, jitter)
        return Poll(
            **common,
            status="failed",
            state=after,
            reason=error.reason,
            message=one_line(error.message),
            etag=etag,
            last_modified=state.last_modified,
            content_hash=state.content_hash,
            failures_in_a_row=failures,
            next_due_at=polled_at + Duration(seconds=wait),
            warnings=noted,
            unmodified_since=state.unmodified_since,
        )
    assert response is not None
    is_part = response.status == 226
    hashed = state.content_hash if status == "not_modified" else content_hash(response.body)
    lied = bool(fresh) and (is_part or hashed != state.content_hash)
    etag, last_modified = _validators(state, headers, status, lied=lied)
    if is_part:
        hashed = None  # it says nothing of the whole
    if MISTRUSTED in (etag, last_modified):
        noted.append("validators_mistrusted")
    if deferred or (parsed is not None and parsed.format == "sitemap_index"):
        etag = last_modified = hashed = None  # what an index names changes without it
    if deferred:
        noted.append("entries_deferred")
    declared = declared_seconds(headers, parsed.ttl_seconds if parsed is not None else None)
    wait = _interval(state, polled_at, fresh + deferred, parsed)
    wait = min(max(wait * (0.95 + 0.1 * jitter), declared, shortest_seconds), longest_seconds)
    return Poll(
        **common,
        status=status,
        state="moved" if moved_to is not None else "ok",
        format=parsed.format if parsed is not None else None,
        feed_title=parsed.title if parsed is not None else None,
        etag=etag,
        last_modified=last_modified,
        content_hash=hashed,
        entries=entries,
        known=entries - len(new_entries),
        new=len(new_entries),
        new_entry_ids=[entry_id for entry_id, _ in new_entries],
        new_entry_hashes=[entry_hash for _, entry_hash in new_entries],
        next_due_at=polled_at + Duration(seconds=wait),
        warnings=noted,
        unmodified_since=(state.unmodified_since or polled_at) if status == "not_modified" else None,
    )


def permanent_target(redirects: Sequence[tuple[int, str]]) -> Optional[str]:
    """Return where the feed has moved: the last target of the leading 301 and 308; a 302 or 307 is passing."""
    moved_to = None
    for status, target in redirects:
        if status not in (301, 308):
            break
        moved_to = target
    return moved_to


def _after_failure(error: IngestError, failures: int, jitter: float) -> tuple[str, float]:
    if error.reason == "http_410":
        return "gone", GONE_SECONDS
    back_off = min(BACK_OFF_SECONDS * 2 ** min(max(failures - 1, 0), 16), LONGEST_SECONDS)
    asked = getattr(error, "retry_after_seconds", None)
    waits = asked is not None or failures > FAILURES_ARE_WEATHER
    return "backing_off" if waits else "ok", max(back_off, asked or 0.0) * (1 + 0.1 * jitter)


def _validators(
    state: FeedState, headers: Mapping[str, str], status: str, *, lied: bool
) -> tuple[Optional[str], Optional[str]]:
    if status == "not_modified":
        return state.etag, state.last_modified
    etag, last_modified = _storable(headers.get("ETag")), _storable(headers.get("Last-Modified"))
    # Where both are sent the server goes by the ETag (RFC 9110, 13.2.2), so a Last-Modified beside it proves nothing.
    etag_lied = lied and etag is not None and etag == state.etag
    date_lied = lied and last_modified is not None and last_modified == state.last_modified
    if state.etag == MISTRUSTED or etag_lied:
        etag = MISTRUSTED
    if state.last_modified == MISTRUSTED or (date_lied and not etag):
        last_modified = MISTRUSTED
    return etag, last_modified


def _storable(value: Optional[str]) -> Optional[str]:
    if not value or len(value) > MOST_VALIDATOR_CHARS or _NOT_SENDABLE.search(value):
        return None
    return value


def _interval(state: FeedState, polled_at: Timestamp, fresh: int, parsed: Optional[ParsedFeed]) -> float:
    if state.polled_at is None or state.next_due_at is None or state.failures_in_a_row:
        gap = _gap_of_dates(parsed, polled_at) if parsed is not None else None
        return _between_polls(gap) if gap is not None else FIRST_SECONDS
    last = _seconds(state.next_due_at) - _seconds(state.polled_at)
    passed = _seconds(polled_at) - _seconds(state.polled_at)
    if fresh:
        return min(last, _between_polls(max(passed, 0.0) / fresh))
    return max(last, min(last, passed) * SLOWER)  # a poll before its time that finds nothing says little


def _between_polls(gap_seconds: float) -> float:
    return math.sqrt(gap_seconds * FIRST_SECONDS)


def _gap_of_dates(parsed: ParsedFeed, polled_at: Timestamp) -> Optional[float]:
    """Return the time between the newest entries by their dates, until now; None when these cannot be gone by."""
    now = _seconds(polled_at)
    dates = sorted((_seconds(e.published_at) for e in parsed.entries if e.published_at is not None), reverse=True)
    newest = [date for date in dates if date <= now][:DATED_ENTRIES]
    if len(newest) < LEAST_DATED_ENTRIES:
        return None
    gap = (now - newest[-1]) / len(newest)
    return gap if gap >= SHORTEST_GAP_SECONDS else None


def _http_date(value: str) -> Optional[float]:
    try:
        parsed = email.utils.parsedate_tz(value[:64]) if value else None
        return float(email.utils.mktime_tz(parsed)) if parsed is not None else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _seconds(at: Timestamp) -> float:
    return float(at.micros) / 1e6
