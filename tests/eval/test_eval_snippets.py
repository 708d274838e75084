"""Wanted and unwanted segments on 990 open pages, mostly blogs, shops and associations: robustness beyond news."""

import importlib.util
import json
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from transforms.errors import RejectedError
from transforms.extract_text import extract_article

pytestmark = pytest.mark.eval

FLOORS = tomllib.loads((Path(__file__).parent / "floors.toml").read_text("utf-8"))["snippets"]


def test_segments_hold_their_floors(shared: Path) -> None:
    spec = importlib.util.spec_from_file_location("score_text", shared / "data" / "score_text.py")
    assert spec is not None
    assert spec.loader is not None
    score = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    counts = {"a": [0, 0, 0], "b": [0, 0, 0]}  # wanted found, unwanted found, wanted missed
    folder = shared / "data" / "snippets"
    with zipfile.ZipFile(folder / "pages.zip") as files:
        for line in (folder / "snippets.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            try:
                text = " ".join(extract_article(files.read(row["file"]), url=row["url"]).text.split())
            except RejectedError:
                text = ""
            hits = sum(" ".join(wanted.split()) in text for wanted in row["with"])
            count = counts[score.half(urlsplit(row["url"]).netloc)]
            count[0] += hits
            count[1] += sum(" ".join(unwanted.split()) in text for unwanted in row["without"])
            count[2] += len(row["with"]) - hits
    counts["all"] = [a + b for a, b in zip(counts["a"], counts["b"], strict=True)]
    for name, (found, wrong, missed) in counts.items():
        f1 = 2 * found / (2 * found + wrong + missed)
        print(f"snippets {name}: F1 {f1:.4f}")
        assert f1 >= FLOORS["all_f1" if name == "all" else f"half_{name}_f1"], name
