"""Cruft on composed cases: public blocks of cruft set around gold stories, news that looks like cruft among them.

Publishers were split by a hash of their site. Rules were written from the golden cases and from general knowledge of the
field and tuned on half A; half B was looked at only as figures, so its figure says what to expect of publishers that
nobody has seen. Floors hold for both halves and for all.
"""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.eval

ROOT = Path(__file__).resolve().parent.parent.parent


def half_of(block: dict[str, Any]) -> str:
    return "ab"[int(hashlib.sha256((block["site"] or "none").encode()).hexdigest(), 16) % 2]


def measure(shared: Path, folder: Path, half: str) -> dict[str, float]:
    """Compose the cases of a half ("" is all) and return the scorer's totals."""
    data = shared / "data" / "cruft"
    blocks = [json.loads(line) for line in (data / "blocks.jsonl").read_text("utf-8").splitlines()]
    chosen = folder / f"blocks{half}.jsonl"
    chosen.write_text("\n".join(json.dumps(b) for b in blocks if not half or half_of(b) == half) + "\n", "utf-8")
    cases, result = folder / f"cases{half}.jsonl", folder / f"result{half}.json"
    # Relative, and run from the data's folder: the composer draws its bodies by the path it is given as it is spelled.
    bodies = "pages:../pages/pages.jsonl"
    for command in (
        [str(data / "make_cases.py"), str(cases), "--bodies", bodies, "--cruft", str(chosen)],
        [str(data / "score.py"), str(cases), "--stripper", "transforms.strip_cruft:strip_cruft",
         "--sys-path", str(ROOT), "--json", str(result)],
    ):  # fmt: skip
        subprocess.run([sys.executable, *command], check=True, cwd=data, capture_output=True)
    total = json.loads(result.read_text("utf-8"))["total"]
    return {
        "blocks": total["block_recall"],
        "macro": total["macro_class_block_recall"],
        "lost_per_1000": total["loss_per_1000"],
        "negatives": total["negative_survival"],
        "cruftless": total["cruftless_exact"],
        "lines": total["recall"],
    }


@pytest.mark.parametrize("half", ["a", "b", ""])
def test_cruft_stays_above_the_floors(
    shared: Path, tmp_path: Path, half: str, capsys: pytest.CaptureFixture[str]
) -> None:
    floors = tomllib.loads((Path(__file__).parent / "floors.toml").read_text("utf-8"))["cruft"]
    figures = measure(shared, tmp_path, half)
    name = f"half_{half}" if half else "all"
    with capsys.disabled():
        print(f"\ncruft {name}: " + "  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    assert figures["blocks"] >= floors[f"{name}_blocks"]
    assert figures["macro"] >= floors[f"{name}_macro"]
    assert figures["negatives"] >= floors[f"{name}_negatives"]
    assert figures["cruftless"] >= floors[f"{name}_cruftless"]
    assert figures["lost_per_1000"] <= floors[f"{name}_most_lost_per_1000"]
