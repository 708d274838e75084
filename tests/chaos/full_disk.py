"""Runs inside a mount namespace whose lake lies on a disk of a megabyte: a run that fits, one on a full disk, one after.

python -m tests.chaos.full_disk DISK FEED_OF_THE_FIRST_RUN LIST_OF_ALL_FEEDS FURTHER ARGUMENTS OF ingest...
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_LEFT_BYTES = 4096


def main(arguments: Sequence[str]) -> None:
    disk, first, all_feeds, *rest = Path(arguments[0]), *arguments[1:]
    from pipelines.cli import main as newsbeam
    from transforms.lake import open_lake
    from transforms.schemas import ARTICLES

    lake = str(disk / "lake")

    def run(*feeds: str) -> tuple[int, str]:
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            status = newsbeam(["ingest", *feeds, "--lake", lake, *rest])
        return status, err.getvalue()

    def articles() -> list[str]:
        return sorted(open_lake(lake).read(ARTICLES, ["article_id"])["article_id"].to_pylist())

    before = run(first)[0]
    had = articles()
    with (disk / "ballast").open("wb") as file:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        file.write(b"x" * (free - _LEFT_BYTES))
    full, words = run("--feeds", all_feeds)
    kept = articles()
    (disk / "ballast").unlink()
    after = run("--feeds", all_feeds)[0]
    print(
        json.dumps(
            {"statuses": [before, full, after], "words": words, "had": had, "kept": kept, "articles": articles()}
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
