"""What must hold of `parse_feed` for any bytes whatever; `fault_in` says in one line what does not.

* Nothing but an `IngestError` is raised, its message one bounded line.
* The time is bounded: `MOST_SECONDS` of this process' CPU for a feed of some kilobytes.
* Each row can be stored: keys unique and bounded, addresses http(s) or "", dates plausible, no control characters, and
  together no longer than a small multiple of what was read.
* The same bytes give the same rows.
"""

import re
import signal
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Optional
from urllib.parse import urlsplit

from apache_beam.utils.timestamp import Timestamp

from transforms.article_url import MOST_URL_CHARS
from transforms.errors import IngestError
from transforms.parse_feed import MOST_AUTHORS, MOST_ENTRIES, MOST_TAGS, parse_feed
from transforms.records import FeedEntry, ParsedFeed

URL = "https://paper.example/feeds/top.xml"
NOW = Timestamp.from_rfc3339("2026-03-03T12:00:00Z")
MOST_SECONDS = 3.0  # feeds of 20 kB take some milliseconds; a busy machine weighs little on CPU time
GROWTH = 12  # a bare "<" of HTML becomes "&lt;", in text and summary; a key repeats its entry's link and title
LEAST, LAST = Timestamp.from_rfc3339("1900-01-01T00:00:00Z"), Timestamp.from_rfc3339("2026-03-04T12:00:00Z")
SLUG = re.compile(r"[a-z][a-z0-9_]{2,40}\Z")
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8}){0,3}\Z")
NOT_ON_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
NOT_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
FORMATS = {"rss", "rdf", "atom", "json"}

Parse = Callable[..., ParsedFeed]


class _TooSlow(BaseException):
    """No Exception, so that nothing on the way catches it."""


def _stop(number: int, frame: Optional[FrameType]) -> None:
    raise _TooSlow


def fault_in(
    body: bytes, content_type: Optional[str], *, parse: Parse = parse_feed, twice: bool = True
) -> Optional[str]:
    """Return what is wrong with how `parse` treats `body`, read `twice` to see chance; None if nothing is."""
    before = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    start = time.process_time()
    try:
        feed = parse(body, url=URL, content_type=content_type, now=NOW)
        again = parse(body, url=URL, content_type=content_type, now=NOW) if twice else feed
    except _TooSlow:
        return f"slower than {MOST_SECONDS} s"
    except IngestError as error:
        bad = not SLUG.match(error.reason) or len(str(error)) > 600 or NOT_ON_A_LINE.search(str(error))
        return f"error that cannot be stored: {error.reason} {str(error)[:200]!r}" if bad else None
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {where.name}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    if time.process_time() - start > MOST_SECONDS:
        return f"slower than {MOST_SECONDS} s"
    if feed != again:
        return "two readings differ"
    return fault_of_rows(feed, len(body))


def fault_of_rows(feed: ParsedFeed, body_bytes: int) -> Optional[str]:
    if feed.format not in FORMATS or not all(SLUG.match(w) for w in feed.warnings) or len(feed.warnings) > 30:
        return f"format or warnings: {feed.format} {feed.warnings}"
    if len({entry.key for entry in feed.entries}) != len(feed.entries):
        return "keys are not unique"
    if len(feed.entries) > MOST_ENTRIES:
        return "too many entries"
    if feed.ttl_seconds is not None and not 60 <= feed.ttl_seconds <= 31 * 86400:
        return f"ttl: {feed.ttl_seconds}"
    lines = [feed.title, feed.site_url, feed.language]
    total = sum(len(line or "") for line in lines)
    for entry in feed.entries:
        fault = fault_of_entry(entry)
        if fault:
            return fault
        total += sum(len(t or "") for t in (entry.key, entry.url, entry.title, entry.summary_html, entry.text_html))
    odd = next((line for line in lines if line and NOT_ON_A_LINE.search(line)), None)
    if odd is not None:
        return f"control characters about the feed: {odd[:80]!r}"
    return f"{total} characters out of {body_bytes} bytes" if total > GROWTH * body_bytes + 2000 else None


def fault_of_entry(entry: FeedEntry) -> Optional[str]:
    if not entry.key or len(entry.key) > 2 * MOST_URL_CHARS or not re.fullmatch("[0-9a-f]{16}", entry.entry_hash):
        return f"key or hash: {entry.key[:80]!r} {entry.entry_hash}"
    if entry.url and (urlsplit(entry.url).scheme not in {"http", "https"} or len(entry.url) > MOST_URL_CHARS):
        return f"address: {entry.url[:80]!r}"
    for date in (entry.published_at, entry.updated_at):
        if date is not None and not LEAST <= date <= LAST:
            return f"date: {date}"
    if entry.language is not None and not LANGUAGE.match(entry.language):
        return f"language: {entry.language!r}"
    if len(entry.authors) > MOST_AUTHORS or len(entry.tags) > MOST_TAGS or "" in (*entry.authors, *entry.tags):
        return "names or tags"
    if any(value == "" for value in (entry.title, entry.summary_html, entry.text_html)):
        return 'what is missing must be None, not ""'
    for line in (*entry.key.split("\n"), entry.url, entry.title, *entry.authors, *entry.tags):
        if line and NOT_ON_A_LINE.search(line):
            return f"control characters: {line[:80]!r}"
    for text in (entry.summary_html, entry.text_html):
        if text and NOT_IN_TEXT.search(text):
            return f"control characters in a text: {NOT_IN_TEXT.findall(text)[:3]!r}"
    return None


def shortened(body: bytes, fault: str, judge: Callable[[bytes], Optional[str]], *, seconds: float) -> bytes:
    """Return the least of `body` in which `judge` still sees a fault of the same kind: ever smaller stretches go."""
    kind, until, piece = fault.split(":")[0], time.monotonic() + seconds, max(len(body) // 2, 1)
    while piece and time.monotonic() < until:
        at, shorter = 0, False
        while at < len(body) and time.monotonic() < until:
            without = body[:at] + body[at + piece :]
            left = judge(without)
            if left is not None and left.split(":")[0] == kind:
                body, shorter = without, True
            else:
                at += piece
        piece = piece if shorter and piece > 1 else piece // 2
    return body
