"""What learning the lines of sites, and cleaning rows again, cost against cleaning the same texts; their memory."""

import random
import time
from pathlib import Path

import pytest
from apache_beam.utils.timestamp import Timestamp

from tests.bench.test_bench_backfill import measure
from transforms.lake import open_lake
from transforms.records import digest64
from transforms.schemas import ARTICLES
from transforms.strip_cruft import strip_cruft

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

ARTICLES_IN_LAKE, ARTICLES_IN_SAMPLE, RECLEANED = 50_000, 5_000, 2_000
A_COMMIT = 1_000
SITES, DAYS = 50, 60
MOST_OF_STRIPPING = 2.0  # a row that is read, hashed and shuffled, against `strip_cruft` on its text
MOST_MB_BEYOND_IMPORTS = 250
MOST_OF_STRIPPING_AGAIN = 8.0  # and fingerprint, topics, the row read twice and written, start-up


def fill(root: Path, articles: int) -> list[str]:
    """Articles of 2 kB in 16 lines, the last two of which are their site's; return the texts of the last commit."""
    lake = open_lake(str(root))
    dice = random.Random(7)
    words = [f"word{n}" for n in range(3_000)]
    start = 1_780_000_000
    for first in range(0, articles, A_COMMIT):
        rows = []
        for number in range(first, first + A_COMMIT):
            site = f"site{number % SITES}.example"
            lines = [" ".join(dice.choices(words, k=20)).capitalize() + "." for _ in range(14)]
            seen = Timestamp(start + number * DAYS * 86_400 // articles)
            name = digest64("a", str(number))
            rows.append(
                {
                    "article_id": name,
                    "revision": 1,
                    "site": site,
                    "origin": "page",
                    "language": "en",
                    "text": "\n".join([*lines, f"Made above the quay by {site}", f"{site} is read on the islands"]),
                    "text_hash": digest64("t", str(number)),
                    "page_id": name,
                    "entry_id": name,
                    "entry_hash": "1",
                    "first_seen_at": seen.micros,
                    "committed_at": seen.micros,
                }
            )
        lake.append(ARTICLES, rows, committed_at=seen)
        lake.refresh()
    return [str(row["text"]) for row in rows]


def seconds_to_strip(texts: list[str]) -> float:
    """Return what cleaning one of `texts` takes here and now."""
    strip_cruft(texts[0], title=None, site=None, language="en")
    started = time.perf_counter()
    for text in texts:
        strip_cruft(text, title="A headline", site=None, language="en")
    return (time.perf_counter() - started) / len(texts)


def test_learning_costs_little_time_and_memory(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    articles = ARTICLES_IN_SAMPLE if request.config.getoption("--bench-sample") else ARTICLES_IN_LAKE
    stripping = seconds_to_strip(fill(tmp_path / "lake", articles))
    told = measure("learn", str(tmp_path / "lake"))
    ratio = told["seconds"] / articles / stripping
    print(
        f"\nlearning from {articles:,} articles of {SITES} sites: {told['seconds']:.1f} s, "
        f"{articles / told['seconds']:,.0f} rows a second, {ratio:.2f} of stripping the same texts "
        f"(at most {MOST_OF_STRIPPING}), {told['grown_mb']:.0f} MB beyond the imports "
        f"(at most {MOST_MB_BEYOND_IMPORTS}), {told['rows']} lines"
    )
    assert told["rows"] == 2 * SITES
    assert ratio <= MOST_OF_STRIPPING
    assert told["grown_mb"] <= MOST_MB_BEYOND_IMPORTS


def test_cleaning_rows_again_costs_little_time_and_memory(tmp_path: Path) -> None:
    stripping = seconds_to_strip(fill(tmp_path / "lake", RECLEANED))
    told = measure("reclean", str(tmp_path / "lake"))
    ratio = told["seconds"] / RECLEANED / stripping
    print(
        f"\ncleaning {RECLEANED:,} rows again, all of which change: {told['seconds']:.1f} s, "
        f"{RECLEANED / told['seconds']:,.0f} rows a second, {ratio:.1f} of stripping the same texts "
        f"(at most {MOST_OF_STRIPPING_AGAIN}), {told['grown_mb']:.0f} MB beyond the imports (at most {MOST_MB_BEYOND_IMPORTS})"
    )
    assert told["rows"] == RECLEANED
    assert ratio <= MOST_OF_STRIPPING_AGAIN
    assert told["grown_mb"] <= MOST_MB_BEYOND_IMPORTS
