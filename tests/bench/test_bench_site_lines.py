"""What learning the lines of sites costs: rows a second through the Beam job, and the memory of its process."""

import random
from pathlib import Path

import pytest
from apache_beam.utils.timestamp import Timestamp

from tests.bench.test_bench_backfill import measure
from transforms.lake import open_lake
from transforms.records import digest64
from transforms.schemas import ARTICLES

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

ARTICLES_IN_LAKE, ARTICLES_IN_SAMPLE = 50_000, 5_000
A_COMMIT = 1_000
SITES, DAYS = 50, 60
LEAST_ROWS_A_SECOND = 400
MOST_MB_BEYOND_IMPORTS = 450


def fill(root: Path, articles: int) -> None:
    """Articles of 2 kB in 16 lines, the last two of which are their site's."""
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


def test_learning_reads_many_rows_a_second_in_bounded_memory(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    articles = ARTICLES_IN_SAMPLE if request.config.getoption("--bench-sample") else ARTICLES_IN_LAKE
    fill(tmp_path / "lake", articles)
    told = measure("learn", str(tmp_path / "lake"))
    rate = articles / told["seconds"]
    print(
        f"\nlearning from {articles:,} articles of {SITES} sites: {told['seconds']:.1f} s, {rate:,.0f} rows a second "
        f"(at least {LEAST_ROWS_A_SECOND}), {told['grown_mb']:.0f} MB beyond the imports "
        f"(at most {MOST_MB_BEYOND_IMPORTS}), {told['rows']} lines"
    )
    assert told["rows"] == 2 * SITES
    assert rate >= LEAST_ROWS_A_SECOND
    assert told["grown_mb"] <= MOST_MB_BEYOND_IMPORTS
