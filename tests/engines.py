"""The engines that tests run pipelines on: a Prism binary, and a real standalone Flink cluster in processes of its own.

    prism = prism_binary()                             # skips the test where there is none, builds it in CI
    with FlinkCluster(tmp_path / "flink") as flink:    # likewise
        ... flink.rest_address, flink.worker_pool_address, flink.job_server_address ...
        flink.kill_taskmanager()
        flink.start_taskmanager()

Decisions:
    Every process of a cluster, and whatever it starts, carries a mark in its environment. So the harness that outlives
    a killed worker pool (and belongs to nobody then) is found, and `close` can prove that nothing is left.

    Kills are SIGKILL: crashes are what these clusters are for. The kernel kills the cluster with the test process,
    where setpriv is at hand; it does so when the *thread* that started it ends, so enter from the main thread.

    One cluster starts in 10 to 20 s and takes about 1.5 GB: share it between the tests of a module.

    A streaming job needs `STREAMING_ARGUMENTS`, or it may start and never tick.

Limits: Linux only (/proc). Ports are picked free and then bound by Java a moment later; another process could be
faster.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

import pytest

from tests.conftest import ROOT

MARK = "NEWSBEAM_TEST_ENGINE"
START_SECONDS = 150.0  # a cold disk on a busy machine with 2 cores; measured 10 to 50
RECOVERY_SECONDS = 90.0
# Without it a checkpoint that falls into the first bundle keeps that bundle's output until the next one, which the
# source of one impulse never has: tasks RUNNING, checkpoints completing, not one tick. Measured with a checkpoint every
# 500 ms, turn about on one cluster: 3 of 3 starts tick with it, 0 of 3 without.
STREAMING_ARGUMENTS = ("--finish_bundle_before_checkpointing",)
_ENGINES = ROOT / ".engines"
_CLUSTER = ROOT / "deploy" / "flink" / "cluster.sh"
_LOG_TAIL_LINES = 40


def prism_binary() -> Path:
    """Prism of the installed Beam's version; where it is missing, CI builds it and others skip."""
    prism = _ENGINES / f"prism-{version('apache-beam')}" / "prism"
    _need(prism, target="prism", name="Prism")
    return prism


def flink_job_server() -> Path:
    """The jar of Beam's Flink job server; where it is missing, CI builds it and others skip."""
    jar = _ENGINES / "flink-job-server.jar"
    _need(jar, target="flink-jar", name="the Flink job server")
    if shutil.which("java") is None:
        _give_up("no Java to run Flink with")
    return jar


def wait_until(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Ask `condition` again until it is true and return its value; AssertionError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)


def marked_processes(mark: str) -> list[int]:
    """The living processes that carry `mark` (or one that begins so) in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if any(entry.startswith(wanted) for entry in (folder / "environ").read_bytes().split(b"\0")):
                found.append(int(folder.name))
    return found


def kill_marked(mark: str) -> None:
    """SIGKILL to every process with `mark`, and to those they start meanwhile, until none is left."""

    def none_left() -> bool:
        pids = marked_processes(mark)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    wait_until(none_left, seconds=20.0, what=f"all processes marked {mark} are gone")


def dies_with_us() -> list[str]:
    """The words before a command whose process the kernel shall kill with ours; none where setpriv is missing."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


class FlinkCluster:
    """A JobManager, a TaskManager, a Beam worker pool and a job server, each one process, as a context manager.

    Logs are files in `work_dir`; their ends are printed when the block is left by an exception. Checkpoints are in
    `work_dir`/checkpoints. `heartbeat` of the configuration says how long Flink takes to notice a kill: up to 8 s.
    """

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.job_server_jar = flink_job_server()
        rest, rpc, worker, job = free_ports(4)
        self.rest_address = f"localhost:{rest}"
        self.rest_url = f"http://{self.rest_address}"
        self.worker_pool_address = f"localhost:{worker}"
        self.job_server_address = f"localhost:{job}"
        self.mark = uuid.uuid4().hex
        self._ports = {"REST_PORT": rest, "RPC_PORT": rpc, "WORKER_PORT": worker, "JOB_PORT": job}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "FlinkCluster":
        self.work_dir.mkdir(parents=True, exist_ok=True)
        try:
            for role in ("jobmanager", "taskmanager", "workers", "jobserver"):
                self._start(role)
            self._wait_for("a TaskManager with the JobManager", self._taskmanagers)
            for address in (self.worker_pool_address, self.job_server_address):
                self._wait_for(f"a listener at {address}", functools.partial(listens, address))
        except BaseException:
            print(self.log_tails())
            self.close()
            raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is not None:
            print(self.log_tails())
        self.close()

    def close(self) -> None:
        """Kill everything; raises AssertionError if a process survives that."""
        kill_marked(self.mark)
        for process in self._processes.values():
            process.wait()

    def submission_arguments(self, *, worker_pool: bool = True) -> list[str]:
        """What a Beam pipeline needs to run here: through the job server, on the worker pool (or in its launcher)."""
        where = ["--environment_type=LOOPBACK"]
        if worker_pool:
            where = ["--environment_type=EXTERNAL", f"--environment_config={self.worker_pool_address}"]
        return ["--runner=PortableRunner", f"--job_endpoint={self.job_server_address}", *where]

    def kill_taskmanager(self) -> None:
        """SIGKILL; the JobManager notices within its heartbeat timeout."""
        self._kill("taskmanager")

    def start_taskmanager(self) -> None:
        """Start a new one and wait until the JobManager knows it."""
        known = set(self._taskmanagers())
        self._start("taskmanager")
        self._wait_for("the new TaskManager with the JobManager", lambda: set(self._taskmanagers()) - known)

    def fresh_taskmanager(self) -> None:
        """Replace the TaskManager by a new one, for a test that must not inherit what an earlier job left in it."""
        self.kill_taskmanager()
        self.start_taskmanager()

    def kill_worker_pool(self) -> None:
        """SIGKILL to the pool and to the workers it has started (they would live on without it)."""
        self._kill("workers")

    def start_worker_pool(self) -> None:
        """Start a new one on the same port and wait until it listens."""
        self._start("workers")
        self._wait_for("the new worker pool", lambda: listens(self.worker_pool_address))

    def processes(self, role: str = "") -> list[int]:
        """The living processes of the cluster, or of jobmanager, taskmanager, workers or jobserver alone."""
        return marked_processes(f"{self.mark}:{role}")

    def get(self, path: str) -> Any:
        """The decoded JSON answer of the REST interface."""
        with urllib.request.urlopen(self.rest_url + path, timeout=10) as answer:
            return json.load(answer)

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, each with `jid`, `name`, `state`, as Flink tells them; newest first."""
        jobs: list[dict[str, Any]] = self.get("/jobs/overview")["jobs"]
        return sorted(jobs, key=lambda job: -job["start-time"])

    def job_id(self) -> str:
        """The one job that has not ended."""
        (job,) = [job for job in self.jobs() if job["state"] not in ("FINISHED", "CANCELED", "FAILED")]
        return str(job["jid"])

    def wait_for_running_job(self) -> str:
        """The id of the one job that has not ended, once all its tasks run (a job is RUNNING long before)."""

        def running() -> Optional[str]:
            for job in self.jobs():
                if job["state"] == "RUNNING" and job["tasks"]["running"] == job["tasks"]["total"]:
                    return str(job["jid"])
            return None

        return str(wait_until(running, seconds=START_SECONDS, what="a job whose tasks all run"))

    def cancel(self, job_id: str) -> None:
        """Cancel a job and wait until it has ended."""
        request = urllib.request.Request(f"{self.rest_url}/jobs/{job_id}?mode=cancel", method="PATCH")
        urllib.request.urlopen(request, timeout=10).close()
        wait_until(
            lambda: self.get(f"/jobs/{job_id}")["state"] in ("CANCELED", "FINISHED", "FAILED"),
            seconds=RECOVERY_SECONDS,
            what=f"the end of the cancelled job {job_id}",
        )

    def checkpoints(self, job_id: str) -> dict[str, Any]:
        """Flink's account of a job's checkpoints: `counts` (completed, restored, ...), `latest`, `history`."""
        account: dict[str, Any] = self.get(f"/jobs/{job_id}/checkpoints")
        return account

    def completed_checkpoints(self, job_id: str) -> int:
        """How many checkpoints of a job have completed."""
        return int(self.checkpoints(job_id)["counts"]["completed"])

    def restored_checkpoints(self, job_id: str) -> int:
        """How many times a job has started again from a checkpoint."""
        return int(self.checkpoints(job_id)["counts"]["restored"])

    def job_metrics(self, job_id: str, suffix: str) -> dict[str, float]:
        """A running job's metrics whose names end with `suffix`, summed over the subtasks, by vertex and name.

        Flink collects metrics in the background and answers with none at first: waits until every vertex has some.
        """
        values: dict[str, float] = {}
        for vertex in self.get(f"/jobs/{job_id}")["vertices"]:
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
            metrics = wait_until(
                functools.partial(self.get, path), seconds=RECOVERY_SECONDS, what=f"metrics of {vertex['name']}"
            )
            for name in [metric["id"] for metric in metrics if metric["id"].endswith(suffix)]:
                for metric in self.get(f"{path}?get={urllib.parse.quote(name)}&agg=sum"):
                    values[f"{vertex['name']}: {name}"] = metric["sum"]
        return values

    def dropped_due_to_lateness(self, job_id: str) -> int:
        """Rows a running job has dropped as late since its last (re)start."""
        return int(sum(self.job_metrics(job_id, "droppedDueToLateness").values()))

    def log_tails(self) -> str:
        """The ends of all logs, for a failure's report."""
        parts = []
        for log in sorted(self.work_dir.glob("*.log")):
            lines = log.read_text("utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
            parts.append("\n".join([f"--- {log} (its end)", *lines]))
        return "\n".join(parts)

    def _start(self, role: str) -> None:
        ports = {name: str(port) for name, port in self._ports.items()}
        environment = {**os.environ, **ports, "PYTHON": sys.executable, MARK: f"{self.mark}:{role}"}
        with (self.work_dir / f"{role}.log").open("ab") as log:
            self._processes[role] = subprocess.Popen(
                [*dies_with_us(), str(_CLUSTER), role, str(self.work_dir)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
            )

    def _kill(self, role: str) -> None:
        assert self.processes(role), f"there is no {role} to kill"
        kill_marked(f"{self.mark}:{role}")
        self._processes[role].wait()

    def _taskmanagers(self) -> list[str]:
        try:
            return [each["id"] for each in self.get("/taskmanagers")["taskmanagers"]]
        except (urllib.error.URLError, OSError):
            return []  # not up yet; a dead JobManager is told by _wait_for

    def _wait_for(self, what: str, condition: Callable[[], Any]) -> None:
        def reached_or_dead() -> Any:
            for role, process in self._processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{role} has ended with {process.returncode} before: {what}")
            return condition()

        wait_until(reached_or_dead, seconds=START_SECONDS, what=what)


def _need(built: Path, *, target: str, name: str) -> None:
    """Build `built` by `make target` in CI, skip elsewhere, unless it is there."""
    if built.exists():
        return
    if not os.environ.get("CI"):
        pytest.skip(f"{name} is not built (make {target})")
    result = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode or not built.exists():
        pytest.fail(f"make {target} failed: {result.stdout}{result.stderr}")


def _give_up(message: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def free_ports(count: int) -> Sequence[int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as sockets:
        bound = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in bound:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in bound]


def listens(address: str) -> bool:
    """Whether something accepts connections at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
