"""Learning lines on open stories: a heap of real articles teaches nothing but the furniture that is put under them."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from transforms.learn_site_lines import article_lines, learn_lines
from transforms.strip_cruft import line_hash

pytestmark = pytest.mark.eval

DAYS = 40


@pytest.mark.parametrize("furniture", ["", "Made above the quay of Harrow Bay"])
def test_exactly_the_furniture_of_real_articles_is_learned(shared: Path, furniture: str) -> None:
    with gzip.open(shared / "data" / "stories" / "stories.jsonl.gz", "rt", encoding="utf-8") as file:
        bodies = [json.loads(line)["body"] for line in file]
    rows: list[dict[str, Any]] = [
        {
            "site": "heap.example",
            "article_id": f"{number:016x}",
            "revision": 1,
            "duplicate_of": None,
            "text_hash": str(number),
            "origin": "page",
            "published_at": None,
            "first_seen_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number % DAYS),
            "text": f"{body}\n{furniture}",
            "removed": [],
        }
        for number, body in enumerate(bodies)
    ]
    learned = learn_lines(held for row in rows if (held := article_lines(row)) is not None)
    print(f"\n{len(rows):,} open stories as one site: {len(learned)} lines learned")
    assert [line.line_hash for line in learned] == ([line_hash(furniture)] if furniture else [])
