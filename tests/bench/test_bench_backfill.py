"""`newsbeam backfill` of the open pages against trafilatura in a pool, both with two processes, in one run.

Ratios: wall time beyond the imports at most 1.3 of `bare_extraction(with_metadata=True)` with plain Parquet; against
text-only trafilatura it is stated. The floor is the same on the sample and on all pages.
"""

import gzip
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.ingest import build, new_run_id, pipeline_of
from pipelines.options import Config
from tests.conftest import ROOT
from transforms.lake import open_lake
from transforms.records import Wave

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

MOST_OF_BASELINE = 1.3
SAMPLE = 300


def open_pages(shared: Path) -> Iterator[dict[str, str]]:
    """Yield url and html of the 1,248 open pages."""
    data = shared / "data"
    for line in (data / "pages" / "pages.jsonl").read_text("utf-8").splitlines():
        page = json.loads(line)
        html = gzip.decompress((data / "pages" / page["html"]).read_bytes())
        yield {"url": page["url"], "html": html.decode("utf-8", "replace")}
    with zipfile.ZipFile(data / "snippets" / "pages.zip") as archive:
        for line in (data / "snippets" / "snippets.jsonl").read_text("utf-8").splitlines():
            page = json.loads(line)
            yield {"url": page["url"], "html": archive.read(page["file"]).decode("utf-8", "replace")}


@pytest.fixture(scope="module")
def pages(shared: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The pages as JSONL: every fourth or so on the sample, so that all kinds are in it."""
    path = tmp_path_factory.mktemp("pages") / "pages.jsonl"
    every = list(open_pages(shared))
    step = max(1, len(every) // SAMPLE) if request.config.getoption("--bench-sample") else 1
    with path.open("w", encoding="utf-8") as file:
        for page in every[::step]:
            file.write(json.dumps(page) + "\n")
    return path


def measure(*arguments: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-m", "tests.bench.measure", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_backfill_costs_at_most_what_bare_extraction_costs(pages: Path, tmp_path: Path) -> None:
    with_metadata = measure("baseline", str(pages), str(tmp_path / "metadata.parquet"))
    text_only = measure("baseline", str(pages), str(tmp_path / "text.parquet"), "text")
    ours = measure("backfill", str(pages), str(tmp_path / "lake"))
    ratio = ours["seconds"] / with_metadata["seconds"]
    count = len(pages.read_text("utf-8").splitlines())
    print(
        f"\nbackfill of {count} pages, 2 processes: {ours['seconds']:.1f} s, {ours['rows']} articles, "
        f"peak {ours['peak_mb']:.0f} MB and {ours['worker_mb']:.0f} MB a worker\n"
        f"  trafilatura with metadata: {with_metadata['seconds']:.1f} s, {with_metadata['rows']} rows, "
        f"{with_metadata['worker_mb']:.0f} MB a worker; ratio {ratio:.2f} (at most {MOST_OF_BASELINE})\n"
        f"  trafilatura text only: {text_only['seconds']:.1f} s; ratio {ours['seconds'] / text_only['seconds']:.2f}"
    )
    assert ours["rows"] > 0.9 * with_metadata["rows"]
    assert ratio <= MOST_OF_BASELINE


def test_a_further_wave_costs_little_to_start(pages: Path, tmp_path: Path) -> None:
    """A wave of nothing is what starting one costs; a wave of archived pages is what it is compared with."""
    whole = measure("backfill", str(pages), str(tmp_path / "lake"))["seconds"]
    config = Config(lake=str(tmp_path / "empty"))
    open_lake(config.lake)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        with pipeline_of(config) as pipeline:
            build(pipeline, Wave(()), config, new_run_id())
        seconds.append(time.perf_counter() - started)
    further = min(seconds[1:])
    print(f"\nstart-up of a further wave: {further:.2f} s, {100 * further / whole:.1f} % of a wave of {whole:.1f} s")
    assert further < 0.10 * whole
