"""Wanted and unwanted segments on 990 open pages, mostly blogs, shops and associations: robustness beyond news."""

import contextlib
import importlib.util
import json
import tomllib
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from transforms.article_url import site_of
from transforms.errors import RejectedError
from transforms.extract_text import extract_article
from transforms.strip_cruft import strip_cruft

pytestmark = pytest.mark.eval

FLOORS = tomllib.loads((Path(__file__).parent / "floors.toml").read_text("utf-8"))["snippets"]


class Count:
    """Wanted segments found and missed, unwanted ones found."""

    def __init__(self) -> None:
        self.found = self.missed = self.wrong = 0

    def add(self, row: dict[str, Any], text: str) -> None:
        text = " ".join(text.split())
        hits = sum(" ".join(wanted.split()) in text for wanted in row["with"])
        self.found += hits
        self.missed += len(row["with"]) - hits
        self.wrong += sum(" ".join(unwanted.split()) in text for unwanted in row["without"])

    @property
    def f1(self) -> float:
        return 2 * self.found / max(1, 2 * self.found + self.wrong + self.missed)


def test_segments_hold_their_floors(shared: Path) -> None:
    """As extracted, and as it stands in the lake: extracted and stripped."""
    spec = importlib.util.spec_from_file_location("score_text", shared / "data" / "score_text.py")
    assert spec is not None
    assert spec.loader is not None
    score = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    counts = {name: Count() for name in ("half_a", "half_b", "all", "stripped_a", "stripped_b", "stripped")}
    folder = shared / "data" / "snippets"
    with zipfile.ZipFile(folder / "pages.zip") as files:
        for line in (folder / "snippets.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            text = stripped = ""
            with contextlib.suppress(RejectedError):
                article = extract_article(files.read(row["file"]), url=row["url"])
                text, site = article.text, site_of(row["url"])
                stripped = strip_cruft(text, title=article.title, site=site, language=article.language).text
            half = score.half(urlsplit(row["url"]).netloc)
            for name in (f"half_{half}", "all"):
                counts[name].add(row, text)
            for name in (f"stripped_{half}", "stripped"):
                counts[name].add(row, stripped)
    for name, count in counts.items():
        print(f"snippets {name}: F1 {count.f1:.4f}")
        assert count.f1 >= FLOORS[f"{name}_f1"], name
