"""flink_jobs: which jobs of a cluster are a lake's, and which a launcher ends."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines import flink_jobs
from pipelines.flink_jobs import FlinkJobs
from tests.servers import Reply, ScriptedServer, Seen
from transforms.errors import EngineFailedError


class Cluster:
    """Flink's REST interface as far as it is used: jobs by id; a cancelled one ends when it is looked at again."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[str, str]] = {}
        self.comes_later: list[tuple[str, str]] = []
        self.server = ScriptedServer({"/jobs/overview": self._overview})

    @property
    def master(self) -> str:
        return f"{self.server.address}:{self.server.port}"

    def add(self, job_id: str, name: str) -> None:
        self.jobs[job_id] = (name, "RUNNING")
        self.server.routes[f"/jobs/{job_id}"] = lambda seen: self._cancel(job_id, seen)

    def running(self) -> set[str]:
        return {job_id for job_id, (_, state) in self.jobs.items() if state in ("RUNNING", "CANCELLING")}

    def _overview(self, seen: Seen) -> Reply:
        told = [{"jid": job_id, "name": name, "state": state} for job_id, (name, state) in self.jobs.items()]
        for job_id, (name, state) in self.jobs.items():
            if state == "CANCELLING":
                self.jobs[job_id] = (name, "CANCELED")
        if self.comes_later:
            self.add(*self.comes_later.pop())
        return Reply(body=json.dumps({"jobs": told}))

    def _cancel(self, job_id: str, seen: Seen) -> Reply:
        assert (seen.method, seen.query) == ("PATCH", "mode=cancel")
        name, state = self.jobs[job_id]
        self.jobs[job_id] = (name, "CANCELLING" if state == "RUNNING" else state)
        return Reply(status=202, body="{}")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    with cluster.server:
        yield cluster


def jobs_of(cluster: Cluster, launched_at: float, lake: str = "lake") -> FlinkJobs:
    return FlinkJobs(cluster.master, lake, launched_at=launched_at)


def test_a_launcher_ends_the_jobs_of_earlier_ones_for_its_lake_and_no_others(cluster: Cluster) -> None:
    cluster.add("a", jobs_of(cluster, 10.0).name)
    cluster.add("b", jobs_of(cluster, 10.0, lake="other").name)
    cluster.add("c", jobs_of(cluster, 30.0).name)
    cluster.add("d", "somebody else's")
    jobs_of(cluster, 20.0).end_earlier(wait=True)
    assert cluster.running() == {"b", "c", "d"}


def test_a_job_of_an_earlier_launcher_that_comes_late_is_ended_when_it_is_seen(cluster: Cluster) -> None:
    jobs = jobs_of(cluster, 20.0)
    jobs.end_earlier(wait=True)
    cluster.add("own", jobs.name)
    cluster.add("late", jobs_of(cluster, 10.0).name)
    jobs.end_earlier()
    assert cluster.jobs["late"][1] == "CANCELLING"
    assert cluster.jobs["own"][1] == "RUNNING"


def test_the_end_waits_for_a_job_that_was_submitted_and_has_not_come(cluster: Cluster) -> None:
    jobs = jobs_of(cluster, 20.0)
    jobs.is_submitted = True
    cluster.comes_later.append(("own", jobs.name))
    jobs.end()
    assert cluster.jobs == {"own": (jobs.name, "CANCELED")}


@pytest.mark.parametrize("is_submitted", [True, False])
def test_a_job_that_never_comes_is_said_only_if_it_was_submitted(
    cluster: Cluster, is_submitted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flink_jobs, "END_SECONDS", 0.5)
    jobs = jobs_of(cluster, 20.0)
    jobs.is_submitted = is_submitted
    if is_submitted:
        with pytest.raises(EngineFailedError, match="the job never came to Flink at"):
            jobs.end()
    else:
        jobs.end()


def test_commits_are_counted_over_the_vertices_that_commit(cluster: Cluster) -> None:
    jobs = jobs_of(cluster, 20.0)
    assert jobs.count_commits() is None
    cluster.add("own", jobs.name)
    vertices = [{"id": "v1", "name": "acquire"}, {"id": "v2", "name": "commit/commit"}]
    cluster.server.routes["/jobs/own"] = Reply(body=json.dumps({"vertices": vertices}))
    cluster.server.routes["/jobs/own/vertices/v2/subtasks/metrics"] = Reply(
        body=json.dumps([{"id": "numRecordsIn", "sum": 42.0}])
    )
    assert jobs.count_commits() == 42


def asks(jobs: FlinkJobs) -> list[Callable[[], Any]]:
    return [lambda: jobs.end_earlier(wait=True), jobs.end]


@pytest.mark.parametrize("ask", [0, 1])
@pytest.mark.parametrize("body", ["<html>", "[]", "{}"])
def test_what_is_no_flink_is_named_with_its_flag(cluster: Cluster, body: str, ask: int) -> None:
    cluster.server.routes["/jobs/overview"] = Reply(body=body)
    jobs = jobs_of(cluster, 20.0)
    with pytest.raises(EngineFailedError, match=rf"{cluster.master} cannot be used .*is --flink-master right\?"):
        asks(jobs)[ask]()
    jobs.end_earlier()  # while it runs, a cluster that does not answer is only told
    assert jobs.count_commits() is None


def test_without_a_cluster_there_are_no_jobs() -> None:
    jobs = FlinkJobs(None, "lake")
    jobs.is_submitted = True
    jobs.end_earlier(wait=True)
    jobs.end()
    assert jobs.count_commits() is None
