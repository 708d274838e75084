"""Real `newsbeam ingest` processes, killed and run side by side: every article once, none lost.

The newsroom honours ETags: an entry whose poll took effect too early would be hidden behind a 304 for ever, and the
comparison with what the newsroom holds would show it.
"""

import datetime
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pipelines.demo.newsroom import Newsroom
from transforms import lake as lake_module
from transforms.article_url import article_id_of, article_url
from transforms.check_books import check_books
from transforms.lake import open_lake
from transforms.schemas import ARTICLES, DEAD_LETTERS

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).resolve().parent.parent.parent
_MOST_SECONDS = 120
_FEEDS = 4
STEPS = [
    f"{step}:{table}" for table in ("articles", "dead_letters", "polls") for step in ("before_commit", "after_commit")
]
POINTS = ["poll_harvested", "data_file:articles", *STEPS]


@pytest.fixture(scope="module")
def room() -> Iterator[Newsroom]:
    with Newsroom() as room:
        yield room


class Job:
    """`newsbeam ingest` on a few of the newsroom's feeds, as real processes on one lake."""

    def __init__(self, room: Newsroom, folder: Path) -> None:
        self.folder, self.lake = folder, folder / "lake"
        good = [feed for feed in room.feeds if feed.kind == "ok"]
        # The feeds with dead links first, so that each table is written.
        dead = {link.feed for link in room.dead_links}
        self.feeds = sorted(good, key=lambda feed: feed.url not in dead)[:_FEEDS]
        urls = {feed.url for feed in self.feeds}
        self.expected = {
            article_id_of(article_url(article.url, None)) for article in room.articles if urls & set(article.feeds)
        }
        self.dead = {link.url for link in room.dead_links if link.feed in urls}
        (folder / "feeds.txt").write_text("\n".join(feed.url for feed in self.feeds), "utf-8")
        self._hosts = [f"--allow-host={host}=127.0.0.1/32" for host in room.hosts]

    def start(self, point: str = "-", meeting: str = "-", outrun: str = "outrun") -> subprocess.Popen[bytes]:
        command = ["ingest", "--lake", str(self.lake), "--feeds", str(self.folder / "feeds.txt"), *self._hosts]
        command += ["--spacing-seconds", "0", "--feeds-per-wave", "2"]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.driver", point, meeting, str(self.folder / outrun), *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        out, err = process.communicate(timeout=_MOST_SECONDS)
        assert process.returncode == 0, (out.decode(), err.decode())

    def killed(self, process: subprocess.Popen[bytes]) -> None:
        out, err = process.communicate(timeout=_MOST_SECONDS)
        assert process.returncode == -signal.SIGKILL, (out.decode(), err.decode())

    def check(self) -> None:
        """Every article once and none lost, every dead link on record once, the books of all polls balanced."""
        lake_module._open.pop(self.lake, None)
        lake = open_lake(str(self.lake))
        rows = [tuple(row.values()) for row in lake.read(ARTICLES, ["article_id", "revision"]).to_pylist()]
        assert sorted(rows) == sorted((i, 1) for i in self.expected)
        letters = lake.read(DEAD_LETTERS, ["entry_id", "stage", "attempt", "url", "disposition"]).to_pylist()
        keys = [(row["entry_id"], row["stage"], row["attempt"]) for row in letters]
        assert sorted(keys) == sorted(set(keys))
        assert {row["url"] for row in letters if row["disposition"] == "dead_lettered"} == self.dead
        assert check_books(lake) == []


@pytest.fixture
def job(room: Newsroom, tmp_path: Path) -> Job:
    return Job(room, tmp_path)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point_and_run_again(job: Job, point: str) -> None:
    job.killed(job.start(point))
    job.finish(job.start())
    job.check()


def test_killed_at_random_moments_and_run_again(job: Job) -> None:
    """The seed is new each day and printed; a seed that failed becomes a case of its own."""
    seed = os.environ.get("NEWSBEAM_CHAOS_SEED") or datetime.datetime.now(datetime.UTC).date().isoformat()
    print(f"NEWSBEAM_CHAOS_SEED={seed}")
    dice = random.Random(seed)
    whole = _seconds_of_a_run(job)
    for _ in range(4):
        process = job.start()
        try:
            process.wait(timeout=dice.uniform(0.2, 1.0) * whole)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    job.finish(job.start())
    job.check()


def _seconds_of_a_run(job: Job) -> float:
    other = Job.__new__(Job)
    other.__dict__.update(job.__dict__, lake=job.folder / "measured")
    started = time.monotonic()
    other.finish(other.start())
    return time.monotonic() - started


def test_two_at_the_same_time_on_one_lake(job: Job, tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    processes = [job.start(meeting=str(meeting), outrun=f"outrun{i}") for i in range(2)]
    for process in processes:
        job.finish(process)
    job.check()
    refused = sum(len(_bytes(job.folder / f"outrun{i}")) for i in range(2))
    assert refused >= 1, "both decided on the same version; the fence must have refused one"


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def test_sigterm_lets_the_commit_under_way_finish(job: Job) -> None:
    process = job.start()
    deadline = time.monotonic() + _MOST_SECONDS
    while process.poll() is None and not _commits(job.lake) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=_MOST_SECONDS)
    assert process.returncode in (0, 128 + signal.SIGTERM), err.decode()
    job.finish(job.start())
    job.check()


def _commits(lake: Path) -> Sequence[Path]:
    return list((lake / "articles").glob("date=*/*.parquet"))
