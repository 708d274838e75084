"""What a benchmark runs in a process of its own, so that start-up, peak memory and caches are its own.

    python -m tests.bench.measure baseline PAGES.jsonl OUT.parquet [text]
    python -m tests.bench.measure backfill PAGES.jsonl LAKE
    python -m tests.bench.measure ingest LAKE FEEDS HOST...
    python -m tests.bench.measure learn LAKE
    python -m tests.bench.measure reclean LAKE

Each prints one line of JSON: seconds beyond the imports, rows, the peak resident memory of the process and of its
largest worker, and by how much the first grew beyond what it was after the imports.
"""

import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional


def _extract(line: str, with_metadata: bool) -> Optional[dict[str, Any]]:
    import trafilatura

    page = json.loads(line)
    if not with_metadata:
        text = trafilatura.extract(page["html"], url=page["url"], include_comments=False)
        return {"url": page["url"], "text": text} if text else None
    document = trafilatura.bare_extraction(page["html"], url=page["url"], with_metadata=True)
    if document is None:
        return None
    held = document.as_dict()
    return {name: held.get(name) for name in ("url", "title", "author", "date", "text", "sitename")}


def _extract_with_metadata(line: str) -> Optional[dict[str, Any]]:
    return _extract(line, True)


def _extract_text(line: str) -> Optional[dict[str, Any]]:
    return _extract(line, False)


def baseline(pages: str, out: str, what: str = "metadata") -> int:
    """What one would write in an afternoon: a pool of two processes over the pages, plain Parquet at the end."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import trafilatura

    del trafilatura  # imported for the workers, which are forked
    work = _extract_text if what == "text" else _extract_with_metadata
    with Path(pages).open(encoding="utf-8") as lines, multiprocessing.get_context("fork").Pool(2) as pool:
        rows = [row for row in pool.imap_unordered(work, lines, chunksize=4) if row]
    pq.write_table(pa.Table.from_pylist(rows), out)
    return len(rows)


def backfill(pages: str, lake: str) -> int:
    """The same pages through the whole job, with two extraction processes."""
    from pipelines import backfill as room
    from pipelines.ingest import new_run_id
    from pipelines.options import Config
    from transforms.lake import open_lake

    _started_now()
    room.backfill(Config(lake=lake, workers=2), [Path(pages)], run_id=new_run_id())
    return open_lake(lake).count_articles()


def ingest(lake: str, feeds: str, *hosts: str) -> int:
    """One scheduled run."""
    from pipelines import ingest as room
    from pipelines.feed_list import read_feed_list
    from pipelines.options import Config
    from transforms.acquire import AcquireConfig
    from transforms.http import parse_allow_host
    from transforms.lake import open_lake

    config = Config(
        lake=lake,
        feeds=tuple(read_feed_list(Path(feeds))),
        acquire=AcquireConfig(
            user_agent="bench", allow_hosts=tuple(parse_allow_host(host) for host in hosts), spacing_seconds=0.0
        ),
        workers=2,
    )
    _started_now()
    room.ingest(config, run_id=room.new_run_id())
    return open_lake(lake).count_articles()


def learn(lake: str) -> int:
    """The lines of all sites of a lake; nothing is stored."""
    from pipelines import learn_command as room
    from pipelines.options import Config
    from transforms.lake import open_lake

    held = open_lake(lake)
    _started_now()
    return len(room.learn(Config(lake=lake), held))


def reclean(lake: str) -> int:
    """All rows of a lake, cleaned again with the lines that are learned first."""
    from apache_beam.utils.timestamp import Timestamp

    from pipelines import learn_command
    from pipelines.options import Config
    from pipelines.reclean_command import Reclean, Wanted
    from transforms.lake import open_lake
    from transforms.site_lines import OpenSiteLines, store_site_lines

    held = open_lake(lake)
    store_site_lines(held, learn_command.learn(Config(lake=lake), held), {}, now=Timestamp.now())
    _started_now()
    return Reclean(held, Wanted(), OpenSiteLines(lake)()).run().changed


_started, _started_mb = time.perf_counter(), 0.0


def _started_now() -> None:
    global _started, _started_mb
    _started, _started_mb = time.perf_counter(), _peak_mb("self")


def main() -> None:
    what, *arguments = sys.argv[1:]
    works: dict[str, Callable[..., int]] = {
        "baseline": baseline,
        "backfill": backfill,
        "ingest": ingest,
        "learn": learn,
        "reclean": reclean,
    }
    work = works[what]
    if what == "baseline":
        import trafilatura  # noqa: F401

        _started_now()
    rows = work(*arguments)
    seconds = time.perf_counter() - _started
    workers = [_peak_mb(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
    waited_for = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    peak_mb = _peak_mb("self")
    peaks = {"peak_mb": peak_mb, "grown_mb": peak_mb - _started_mb, "worker_mb": max([waited_for, *workers])}
    print(json.dumps({"seconds": seconds, "rows": rows, **peaks}))


def _peak_mb(pid: str) -> float:
    # Not ru_maxrss of this process: Linux hands the peak of whoever started it on to it.
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main()
