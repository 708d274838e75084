"""Mutated feeds: whatever is read, nothing but an `IngestError` is raised, in bounded time, and the rows can be stored.

`make fuzz` takes half a million (FUZZ_FEEDS=n: as many as that), `make test` some hundreds. The seed is the day's date,
printed; FUZZ_SEED=... repeats a run. A feed that fails is shortened and printed as a case for tests/test_parse_feed.py.
"""

import functools
import multiprocessing
import os
import random
import zipfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Optional

import pytest

from tests.fuzz import judge_feed
from tests.fuzz.judge_feed import fault_in, shortened
from tests.fuzz.mutate_feeds import CONTENT_TYPES, mutate
from transforms.errors import RejectedError
from transforms.records import FeedEntry, ParsedFeed

GOLDEN = Path(__file__).parents[1] / "golden" / "feeds"
FEEDS = int(os.environ.get("FUZZ_FEEDS", "600"))
SEED = os.environ.get("FUZZ_SEED") or datetime.now(UTC).strftime("%Y-%m-%d")
BATCH = 500
MOST_SHOWN = 5
SMALL_BYTES = 3_000
OWN_SEEDS = (
    b'<CHANNEL HREF="http://a.example/"><TITLE>T</TITLE><ITEM HREF="http://a.example/1" LASTMOD="2026-03-01T10:00Z">'
    b"<TITLE>One</TITLE><ABSTRACT>Words of it.</ABSTRACT></ITEM></CHANNEL>",
    b'<rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/" xmlns:gml="http://www.opengis.net/gml" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>T</title><ttl>30</ttl><item><title>A</title>'
    b"<link>https://a.example/1?utm_source=rss&amp;id=1</link><guid>1</guid><dc:date>2026-03-01</dc:date>"
    b'<media:group><media:content url="x.mp4"/><media:title>B</media:title></media:group><gml:pos>1 2</gml:pos>'
    b"</item><item><title>B</title><link>https://www.google.com/url?url=https%3A%2F%2Fb.example%2F2&amp;ct=ga</link>"
    b"<pubDate>lun., 2 mars 2026 08:00:00 +0100</pubDate><guid>2</guid></item></channel></rss>",
    b'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>https://a.example/1'
    b"</loc><lastmod>2026-03-01</lastmod></url></urlset>",
    b"<!DOCTYPE html><html><head><title>Home</title></head><body><p>Words</p></body></html>",
)


class Found(NamedTuple):
    """A mutated feed that is treated wrongly."""

    number: int
    body: bytes
    content_type: Optional[str]
    fault: str


@functools.cache
def seed_feeds(shared: Optional[str]) -> tuple[tuple[bytes, ...], ...]:
    """Own feeds, and the small ones of the open data; both are drawn from alike often."""
    own = (*OWN_SEEDS, *(p.read_bytes() for p in sorted(GOLDEN.iterdir()) if p.suffix in {".xml", ".json"}))
    if shared is None:
        return (own,)
    bodies = []
    for archive in ("feedparser.zip", "feed-rs.zip"):
        with zipfile.ZipFile(Path(shared) / "data" / "feeds" / archive) as files:
            small = (i for i in files.infolist() if i.file_size <= SMALL_BYTES and "/sanitize/" not in i.filename)
            bodies += [files.read(i) for i in small if not i.filename.endswith((".serde.json", "/"))]
    return own, tuple(bodies)


def case(number: int, seeds: Sequence[Sequence[bytes]]) -> tuple[bytes, Optional[str]]:
    rng = random.Random(f"{SEED} {number}")
    return mutate(rng, rng.choice(seeds)), rng.choice(CONTENT_TYPES)


def run_batch(start: int, stop: int, shared: Optional[str]) -> list[Found]:
    seeds, found = seed_feeds(shared), []
    for number in range(start, stop):
        body, content_type = case(number, seeds)
        fault = fault_in(body, content_type, twice=number % 4 == 0)
        if fault is not None:
            found.append(Found(number, body, content_type, fault))
    return found


@pytest.mark.timeout(120 + FEEDS // 100)
def test_mutated_feeds_give_sound_rows_or_a_reason(request: pytest.FixtureRequest) -> None:
    try:
        shared: Optional[str] = str(request.getfixturevalue("shared"))
    except pytest.skip.Exception:
        shared = None
    batches = [(at, min(at + BATCH, FEEDS), shared) for at in range(0, FEEDS, BATCH)]
    print(f"\n{FEEDS} mutated feeds, FUZZ_SEED={SEED}, of {sum(map(len, seed_feeds(shared)))} seed feeds")
    if FEEDS <= 2 * BATCH:  # less work than starting processes
        found = [one for batch in batches for one in run_batch(*batch)]
    else:
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            found = [one for some in pool.starmap(run_batch, batches, chunksize=1) for one in some]
    kinds = Counter(one.fault.split(":")[0] for one in found)
    first = {one.fault.split(":")[0]: one for one in reversed(found)}
    for kind, one in list(first.items())[:MOST_SHOWN]:
        judge = functools.partial(fault_in, content_type=one.content_type)
        print(as_case(one._replace(body=shortened(one.body, one.fault, judge, seconds=20))))
        print(f"# {kinds[kind]} of this kind")
    assert not kinds, f"FUZZ_SEED={SEED}: {dict(kinds)}"


def as_case(found: Found) -> str:
    """The feed as a row of FOUND in tests/test_parse_feed.py."""
    return f"    # {found.number}: {found.fault}\n    ({found.body!r}, {found.content_type!r}),"


# The judge itself: each fault it is there for is seen.

ENTRY = FeedEntry("k", "0" * 16, "https://a.example/", title="A")


def rows(**changes: object) -> ParsedFeed:
    return ParsedFeed("rss", [FeedEntry(**{**vars(ENTRY), **changes})])


@pytest.mark.parametrize(
    "feed, fault",
    [
        (ParsedFeed("rss", [ENTRY]), None),
        (ParsedFeed("rss", [ENTRY, ENTRY]), "keys are not unique"),
        (ParsedFeed("html", []), "format"),
        (ParsedFeed("rss", [], title="a\x1b[31m"), "control characters"),
        (ParsedFeed("rss", [], ttl_seconds=0), "ttl"),
        (rows(key=""), "key"),
        (rows(url="javascript:alert(1)"), "address"),
        (rows(title="a\nb"), "control characters"),
        (rows(text_html="a\x00"), "control characters in a text"),
        (rows(text_html="x" * 10_000), "characters out of"),
        (rows(language="klingonian"), "language"),
        (rows(summary_html=""), "what is missing"),
    ],
)
def test_the_judge_sees_rows_that_cannot_be_stored(feed, fault):
    found = fault_in(b"<rss/>", None, parse=lambda body, **_: feed)
    assert found is None if fault is None else fault in str(found)


def test_the_judge_sees_exceptions_endless_loops_and_chance(monkeypatch):
    monkeypatch.setattr(judge_feed, "MOST_SECONDS", 0.3)

    def fails(body: bytes, **_: object) -> ParsedFeed:
        raise KeyError("pos")

    def refuses(body: bytes, **_: object) -> ParsedFeed:
        raise RejectedError("two\nlines", reason="not_a_feed")

    def loops(body: bytes, **_: object) -> ParsedFeed:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    titles = iter("ab")
    assert fault_in(b"", None, parse=fails) == "KeyError in fails: 'pos'"
    assert "cannot be stored" in str(fault_in(b"", None, parse=refuses))
    assert "slower" in str(fault_in(b"", None, parse=loops))
    assert fault_in(b"", None, parse=lambda b, **_: ParsedFeed("rss", [], title=next(titles))) == "two readings differ"


def test_a_feed_that_fails_is_shortened_to_what_fails():
    def fails(body: bytes, **_: object) -> ParsedFeed:
        if b"<gml:pos>" in body:
            raise KeyError("pos")
        return ParsedFeed("rss", [])

    body = b"<rss><channel>" + b"words " * 100 + b"<gml:pos>1 2</gml:pos></channel></rss>"
    judge = functools.partial(fault_in, content_type=None, parse=fails)
    short = shortened(body, "KeyError in fails: x", judge, seconds=10)
    assert short == b"<gml:pos>"
    assert as_case(Found(7, short, None, "KeyError")) == "    # 7: KeyError\n    (b'<gml:pos>', None),"


def test_the_same_seed_gives_the_same_feeds():
    seeds = seed_feeds(None)
    bodies = [case(number, seeds)[0] for number in range(200)]
    assert bodies == [case(number, seeds)[0] for number in range(200)]
    assert len(set(bodies)) > 190
