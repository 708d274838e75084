"""The engines start, run a pipeline end to end, survive a crash, and leave no process behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

import pytest

from tests.conftest import ROOT
from tests.engines import (
    MARK,
    RECOVERY_SECONDS,
    START_SECONDS,
    STREAMING_ARGUMENTS,
    FlinkCluster,
    flink_job_server,
    free_ports,
    kill_marked,
    listens,
    marked_processes,
    prism_binary,
    wait_until,
)

pytestmark = pytest.mark.engines
SQUARES = ["0", "1", "4", "9", "16"]


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    with FlinkCluster(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster
    assert cluster.processes() == []


@pytest.fixture
def mark() -> Iterator[str]:
    """A mark for the processes of one launcher; whatever carries it is killed in the end."""
    value = uuid.uuid4().hex
    yield value
    kill_marked(value)


def launch(kind: str, out_file: Path, options: Sequence[str], *, mark: str) -> "subprocess.Popen[bytes]":
    with out_file.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.tiny_pipeline", kind, str(out_file), *options],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, MARK: mark},
        )


def lines_of(path: Path) -> Optional[list[str]]:
    return path.read_text("utf-8").splitlines() if path.exists() else None


def log_of(out_file: Path) -> str:
    return out_file.with_suffix(".log").read_text("utf-8", errors="replace")


def prism_that_dies_with_its_launcher(folder: Path) -> Path:
    wrapper = folder / "prism"
    wrapper.write_text(f'#!/bin/sh\nexec setpriv --pdeathsig KILL "{prism_binary()}" "$@"\n', "utf-8")
    wrapper.chmod(0o755)
    return wrapper


def on_prism(prism: Path) -> list[str]:
    return ["--runner=PrismRunner", f"--prism_location={prism}", "--environment_type=LOOPBACK"]


def test_prism_runs_a_pipeline_and_ends_with_it(tmp_path: Path, mark: str) -> None:
    out_file = tmp_path / "out.txt"
    process = launch("squares", out_file, on_prism(prism_binary()), mark=mark)
    assert process.wait(timeout=START_SECONDS) == 0, log_of(out_file)
    assert sorted(lines_of(out_file) or [], key=int) == SQUARES
    assert marked_processes(mark) == []


def test_prism_behind_a_wrapper_dies_with_a_killed_launcher(tmp_path: Path, mark: str) -> None:
    out_file = tmp_path / "out.txt"
    process = launch("ticks", out_file, on_prism(prism_that_dies_with_its_launcher(tmp_path)), mark=mark)
    wait_until(lambda: lines_of(out_file), seconds=START_SECONDS, what="the first tick on Prism")
    assert len(marked_processes(mark)) == 2  # the launcher and Prism
    process.kill()
    process.wait()
    wait_until(lambda: not marked_processes(mark), seconds=10, what="Prism ends after its launcher was killed")


@pytest.mark.parametrize("worker_pool", [True, False], ids=["worker pool", "loopback"])
def test_flink_runs_a_pipeline(tmp_path: Path, flink: FlinkCluster, mark: str, worker_pool: bool) -> None:
    out_file = tmp_path / "out.txt"
    process = launch("squares", out_file, flink.submission_arguments(worker_pool=worker_pool), mark=mark)
    assert process.wait(timeout=START_SECONDS) == 0, log_of(out_file) + flink.log_tails()
    assert sorted(lines_of(out_file) or [], key=int) == SQUARES
    assert marked_processes(mark) == []
    assert flink.jobs()[0]["state"] == "FINISHED"


@contextlib.contextmanager
def running_job(kind: str, out_file: Path, flink: FlinkCluster, mark: str) -> Iterator[str]:
    """The id of a job on the worker pool whose tasks all run; cancelled in the end."""
    options = [*flink.submission_arguments(), *STREAMING_ARGUMENTS, "--checkpointing_interval=500"]
    launch(kind, out_file, options, mark=mark)
    job_id = flink.wait_for_running_job()
    try:
        yield job_id
    except BaseException:
        print(log_of(out_file), flink.log_tails())
        raise
    finally:
        flink.cancel(job_id)


def goes_on(flink: FlinkCluster, job_id: str, out_file: Path, *, restored: int, after: str) -> None:
    """Wait for a restart from a checkpoint beyond the first `restored` ones, and then for further ticks."""
    wait_until(
        lambda: flink.restored_checkpoints(job_id) > restored,
        seconds=RECOVERY_SECONDS,
        what=f"a restart from a checkpoint after {after}",
    )
    seen = len(lines_of(out_file) or [])
    wait_until(
        lambda: len(lines_of(out_file) or []) > seen + 3, seconds=RECOVERY_SECONDS, what=f"further ticks after {after}"
    )


def test_a_job_goes_on_after_its_taskmanager_and_its_workers_were_killed(
    tmp_path: Path, flink: FlinkCluster, mark: str
) -> None:
    out_file = tmp_path / "ticks.txt"
    with running_job("ticks", out_file, flink, mark) as job_id:
        wait_until(lambda: lines_of(out_file), seconds=RECOVERY_SECONDS, what="the first tick")
        wait_until(lambda: flink.completed_checkpoints(job_id), seconds=RECOVERY_SECONDS, what="the first checkpoint")
        assert len(flink.processes("workers")) == 2  # the pool and one worker
        for kill, start in (
            (flink.kill_taskmanager, flink.start_taskmanager),
            (flink.kill_worker_pool, flink.start_worker_pool),
        ):
            restored = flink.restored_checkpoints(job_id)
            kill()
            start()
            goes_on(flink, job_id, out_file, restored=restored, after=kill.__name__)
        assert flink.checkpoints(job_id)["latest"]["restored"]["external_path"].startswith("file:")
        assert flink.dropped_due_to_lateness(job_id) == 0


def test_rows_dropped_as_late_are_counted(tmp_path: Path, flink: FlinkCluster, mark: str) -> None:
    with running_job("late", tmp_path / "late.txt", flink, mark) as job_id:
        wait_until(lambda: flink.dropped_due_to_lateness(job_id) > 0, seconds=RECOVERY_SECONDS, what="a late row")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_the_script_for_all_ends_with_all_its_processes(
    tmp_path: Path, mark: str, signal_number: signal.Signals
) -> None:
    flink_job_server()
    ports = dict(zip(("REST_PORT", "RPC_PORT", "WORKER_PORT", "JOB_PORT"), map(str, free_ports(4)), strict=True))
    process = subprocess.Popen(
        [str(ROOT / "deploy" / "flink" / "cluster.sh"), "all", str(tmp_path)],
        env={**os.environ, **ports, "PYTHON": sys.executable, MARK: mark},
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: len(marked_processes(mark)) >= 5, seconds=START_SECONDS, what="the script and its four")
    wait_until(lambda: listens(f"localhost:{ports['WORKER_PORT']}"), seconds=START_SECONDS, what="the worker pool")
    process.send_signal(signal_number)
    process.wait(timeout=30)
    wait_until(lambda: not marked_processes(mark), seconds=10, what="nothing is left of `cluster.sh all`")


def test_the_versions_of_flink_agree() -> None:
    pom = (ROOT / "deploy" / "flink" / "pom.xml").read_text("utf-8")
    jars = (ROOT / "deploy" / "flink" / "requirements.txt").read_text("utf-8")
    minor = re.search(r"<flink.version>(.+)</flink.version>", pom)
    full = re.search(r"apache-flink-libraries==(\S+)", jars)
    assert minor is not None
    assert full is not None
    assert full[1].startswith(f"{minor[1]}.")
