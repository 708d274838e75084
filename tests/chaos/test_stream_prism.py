"""Real `newsbeam stream` workers on Prism, with everything that happens to a worker happening to it."""

import datetime
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.demo.newsroom import Newsroom
from tests.compare_lake import compare, freshness, percentile
from tests.conftest import ROOT
from tests.engines import MARK, free_ports, kill_marked, marked_processes, prism_binary, wait_until
from tests.stream_job import StreamJob
from tests.trickle import Trickle, TrickleProcess
from transforms.lake import Lake
from transforms.schemas import ARTICLES

pytestmark = [pytest.mark.chaos, pytest.mark.engines, pytest.mark.timeout(900)]

POINTS = ["poll_harvested", "before_offer", "data_file:articles"]
POINTS += [f"{step}:{t}" for t in ("articles", "dead_letters", "polls") for step in ("before_commit", "after_commit")]
RANDOM_KILLS = 5
NEWS_SECONDS = 220.0  # each of the twenty starts takes some seconds, and needs news to be killed by


@pytest.fixture(autouse=True)
def _prism() -> None:
    prism_binary()


class Jobs:
    """Makes jobs, and sees to it that nothing of them is left."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._jobs = folder, list[StreamJob]()

    def __call__(self, trickle: Any, **settings: Any) -> StreamJob:
        folder = self._folder / str(len(self._jobs))
        folder.mkdir()
        job = StreamJob(trickle, folder, **settings)
        self._jobs.append(job)
        return job

    def close(self) -> None:
        for job in self._jobs:
            job.close()


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(tmp_path)
    yield made
    made.close()


def seed_of_the_day() -> str:
    """New each day and printed; a seed that failed becomes a case of its own."""
    seed = os.environ.get("NEWSBEAM_CHAOS_SEED") or datetime.datetime.now(datetime.UTC).date().isoformat()
    print(f"NEWSBEAM_CHAOS_SEED={seed}")
    return seed


def test_a_thousand_items_and_a_worker_that_is_killed_over_and_over(jobs: Jobs) -> None:
    seed = seed_of_the_day()
    dice = random.Random(seed)
    with TrickleProcess(items=1000, seconds=NEWS_SECONDS, seed=seed, dead_links=80) as trickle:
        job = jobs(trickle)
        trickle.start()
        points = POINTS * 2
        dice.shuffle(points)
        for point in points:
            job.killed(job.start(point=point), seconds=120.0)
        for _ in range(RANDOM_KILLS):
            process = job.start()
            until = time.monotonic() + dice.uniform(1.0, 12.0)
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            process.kill()
            job.killed(process)
        last = job.start()
        job.wait_running()
        trickle.wait_finished(300.0)
        job.wait_until_right(seconds=120.0)
        job.drain(last)
        job.check_ids()
        assert compare(str(job.lake), trickle) == []


def test_commits_that_take_longer_than_a_tick_are_decided_one_after_the_other(jobs: Jobs) -> None:
    with Trickle(items=120, seconds=20.0, seed="slow commits") as trickle:
        job = jobs(trickle)
        process = job.start(slow_commit_seconds=3.0)
        job.wait_until(lambda: (job.lake / "polls").exists(), seconds=60.0, what="a lake")
        trickle.start()
        trickle.wait_finished(60.0)
        job.wait_until_right(seconds=90.0)
        job.drain(process)
        job.check_ids()


def test_rows_that_are_lost_before_the_commit_are_polled_again_and_written(jobs: Jobs) -> None:
    with Trickle(items=60, seconds=5.0, seed="lost rows") as trickle:
        job = jobs(trickle)
        trickle.start()
        process = job.start(drop=2, in_flight_seconds=4.0)
        trickle.wait_finished(60.0)
        job.wait_until_right(seconds=90.0)
        job.drain(process)


def test_a_lake_that_is_away_for_half_a_minute_loses_nothing(jobs: Jobs) -> None:
    with Trickle(items=150, seconds=40.0, seed="lake away") as trickle:
        job = jobs(trickle)
        process = job.start()
        trickle.start()
        job.wait_for_articles()
        away = job.folder / "away"
        job.lake.rename(away)
        back = threading.Event()
        threading.Timer(30.0, back.set).start()
        assert back.wait(60.0)
        assert process.poll() is None, job.log_tail()
        assert not job.lake.exists(), "a lake was made where the old one will be mounted again"
        away.rename(job.lake)
        trickle.wait_finished(90.0)
        job.wait_until_right(seconds=90.0)
        job.drain(process)
        job.check_ids()
        assert "nothing was lost" in job.log.read_text("utf-8")


def test_poison_pages_a_slow_page_and_a_silent_host_hold_nothing_up(jobs: Jobs) -> None:
    from tests.poison_work import POISONS

    with Trickle(
        items=200, seconds=60.0, seed="poison", poison=list(POISONS), slow_page_seconds=60.0, dead_host=True
    ) as trickle:
        job = jobs(trickle, tick="5s")
        process = job.start(work="tests.poison_work:extract_or_misbehave")
        job.wait_until(lambda: (job.lake / "polls").exists(), seconds=60.0, what="a lake")
        trickle.start()
        trickle.wait_finished(90.0)
        job.wait_until_right(seconds=120.0)
        seconds = freshness(str(job.lake), trickle)
        job.drain(process)
        print(f"freshness p50 {percentile(seconds, 0.5):.1f} s, p99 {percentile(seconds, 0.99):.1f} s")
        assert percentile(seconds, 0.99) < 20.0


def test_a_feed_that_is_added_while_it_runs_and_a_batch_run_beside_it(jobs: Jobs) -> None:
    with Trickle(items=150, seconds=15.0, seed="added feed") as trickle:
        job = jobs(trickle, feeds=trickle.feeds[:-1])
        process = job.start()
        trickle.start()
        job.wait_for_articles()
        batch = job.ingest()
        job.list_feeds(trickle.feeds)
        assert batch.wait(120.0) == 0, batch.stderr.read().decode() if batch.stderr else ""
        trickle.wait_finished(60.0)
        job.wait_until_right(seconds=90.0)
        job.drain(process)


def test_sigterm_in_the_middle_of_a_commit_lets_it_end(jobs: Jobs) -> None:
    with Trickle(items=40, seconds=0.0, seed="sigterm", flaky_pages=0) as trickle:
        job = jobs(trickle)
        trickle.start()
        process = job.start(slow_commit_seconds=6.0)
        # A data file without a row that a reader sees: the commit has begun and has not ended.
        job.wait_until(lambda: list(job.lake.glob("articles/date=*/*.parquet")), seconds=60.0, what="a data file")
        assert job.articles() == []
        job.drain(process)
        assert len(job.articles()) > 0
        assert compare(str(job.lake), trickle, complete=False) == []
        last = job.start()
        job.wait_running()
        job.wait_until_right(seconds=60.0)
        job.drain(last)


def test_a_stream_and_a_batch_run_make_the_same_of_the_same_items(jobs: Jobs) -> None:
    with Trickle(items=200, seconds=10.0, seed="same", flaky_pages=0) as trickle:
        job = jobs(trickle)
        process = job.start()
        trickle.start()
        trickle.wait_finished(60.0)
        job.wait_until_right(seconds=90.0)
        job.drain(process)
        other = job.folder / "batch"
        batch = job.ingest(other)
        assert batch.wait(200.0) == 0, batch.stderr.read().decode() if batch.stderr else ""
    assert newest_texts(job.lake) == newest_texts(other)
    assert copy_groups(job.lake) == copy_groups(other)


def newest_texts(folder: Path) -> dict[str, str]:
    columns = ["article_id", "revision", "title", "text"]
    rows = sorted(read(folder, columns), key=lambda row: row["revision"])
    return {row["article_id"]: row["title"] + "\n" + row["text"] for row in rows}


def copy_groups(folder: Path) -> set[frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for row in read(folder, ["article_id", "duplicate_of"]):
        if row["duplicate_of"]:
            groups.setdefault(row["duplicate_of"], {row["duplicate_of"]}).add(row["article_id"])
    return {frozenset(group) for group in groups.values()}


def read(folder: Path, columns: list[str]) -> list[dict[str, Any]]:
    lake = Lake(folder)
    lake.refresh()
    return list(lake.read(ARTICLES, columns).to_pylist())


def test_the_demo_as_a_stream_can_be_watched_and_stopped(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    status = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "pipelines.cli", "demo", "--stream", "--lake", str(tmp_path / "lake")]
    command += ["--status-address", status, "--prism", str(prism_binary())]
    with Newsroom() as room:
        articles = len({article.url for article in room.articles})
    mark = f"demo-{os.getpid()}"
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, MARK: mark}
    )
    try:

        def answer(path: str) -> str:
            try:
                with urllib.request.urlopen(f"http://{status}/{path}", timeout=5) as page:
                    return str(page.read().decode())
            except OSError:
                return ""

        wait_until(lambda: answer("readyz"), seconds=60.0, what="the worker is ready")
        wanted = f'newsbeam_entries_total{{disposition="article_new"}} {articles}.0'
        wait_until(lambda: wanted in answer("metrics"), seconds=60.0, what=wanted)
        assert json.loads(answer("healthz"))["live"] is True
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30.0)
        assert process.returncode == 0, err
        assert "Try next:" in out
        assert "stopping: what is under way is finished first" in err
        wait_until(lambda: not marked_processes(mark), seconds=5.0, what="no process is left behind")
    finally:
        kill_marked(mark)


def test_ctrl_c_drains_as_sigterm_does(jobs: Jobs) -> None:
    with Trickle(items=10, seconds=0.0, seed="ctrl-c", flaky_pages=0) as trickle:
        job = jobs(trickle)
        trickle.start()
        process = job.start()
        job.wait_until_right(seconds=90.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(30.0) == 0, job.log_tail()
