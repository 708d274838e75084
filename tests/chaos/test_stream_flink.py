"""The streaming worker on a real standalone Flink cluster, whose processes are killed."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.flink_jobs import FlinkJobs
from tests.compare_lake import compare, freshness, percentile
from tests.engines import FlinkCluster, wait_until
from tests.stream_job import StreamJob
from tests.trickle import TrickleProcess

pytestmark = [pytest.mark.chaos, pytest.mark.engines, pytest.mark.timeout(900)]

ITEMS, SECONDS = 1000, 130.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FlinkCluster]:
    (tmp_path / "flink").mkdir()
    with FlinkCluster(tmp_path / "flink") as cluster:
        yield cluster


def wait_for_checkpoint(cluster: FlinkCluster, job_id: str, *, after: int) -> None:
    wait_until(lambda: cluster.completed_checkpoints(job_id) > after, seconds=60.0, what="a checkpoint")


def state_bytes(cluster: FlinkCluster, job_id: str) -> int:
    latest: Any = cluster.checkpoints(job_id)["latest"]["completed"]
    return int(latest["state_size"])


def test_a_thousand_items_and_a_cluster_whose_processes_are_killed(cluster: FlinkCluster, tmp_path: Path) -> None:
    with TrickleProcess(items=ITEMS, seconds=SECONDS, seed="flink", dead_links=20) as trickle:
        engine = ["--runner", "flink", "--job-server", cluster.job_server_address]
        engine += [
            "--flink-master",
            cluster.rest_address,
            "--worker-pool",
            cluster.worker_pool_address,
            "--checkpoint-interval",
            "2s",
        ]
        job = StreamJob(trickle, tmp_path, engine=engine, tick="2s")
        try:
            launcher = job.start()
            job.wait_running()
            job_id = cluster.wait_for_running_job()
            trickle.start()
            job.wait_for_articles(20, seconds=120.0)
            for kill in ("taskmanager", "worker pool", "taskmanager"):
                had, checkpoints = len(job.articles()), cluster.completed_checkpoints(job_id)
                wait_for_checkpoint(cluster, job_id, after=checkpoints)
                if kill == "taskmanager":
                    cluster.kill_taskmanager()
                    cluster.start_taskmanager()
                else:
                    cluster.kill_worker_pool()
                    cluster.start_worker_pool()
                job.wait_for_articles(had + 20, seconds=120.0)
            trickle.wait_finished(300.0)
            job.wait_until_right(seconds=120.0)
            assert cluster.dropped_due_to_lateness(job_id) == 0
            launched = int(cluster.jobs()[0]["name"].rpartition("-")[2]) / 1000
            told = FlinkJobs(cluster.rest_address, str(job.lake), launched_at=launched).count_commits
            before = wait_until(told, seconds=30.0, what="the cluster tells how much came to the commit")
            wait_until(lambda: (told() or 0) > before, seconds=30.0, what="the count the watchdog goes by grows")
            print(f"last checkpoint {state_bytes(cluster, job_id)} bytes")
            assert cluster.restored_checkpoints(job_id) >= 3
            job.drain(launcher)
            assert running(cluster) == []
            # A fresh start from the lake is as right as a recovery from the checkpoint.
            # A launcher that is killed leaves its job behind; the next ends it and starts its own.
            killed = job.start()
            job.wait_running()
            killed.kill()
            again = job.start()
            job.wait_running()
            started = time.time()
            job.wait_until(lambda: newest_poll(job) > started, seconds=120.0, what="a poll by the fresh start")
            wait_until(lambda: len(running(cluster)) == 1, seconds=30.0, what="the job of the killed launcher ends")
            assert compare(str(job.lake), trickle) == []
            job.drain(again)
            assert compare(str(job.lake), trickle) == []
            seconds = freshness(str(job.lake), trickle)
            print(f"freshness with kills: p50 {percentile(seconds, 0.5):.1f} s, p99 {percentile(seconds, 0.99):.1f} s")
        finally:
            job.close()


def running(cluster: FlinkCluster) -> list[Any]:
    return [held for held in cluster.jobs() if held["state"] in ("RUNNING", "RESTARTING", "CREATED", "CANCELLING")]


def newest_poll(job: StreamJob) -> float:
    polled = [at.timestamp() for at in job.read_polls("polled_at")]
    return max(polled, default=0.0)
