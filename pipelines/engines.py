"""The engines a stream runs on: what must be started for each, and the options Beam is given.

Decisions:
    Prism is started here and not by Beam: it must end with this process however that ends (`setpriv --pdeathsig`,
    where there is one), and Beam's own starter takes over Ctrl-C.

    Versions that were tested together stand in deploy/README.md; nothing is downloaded here.
"""

import collections
import contextlib
import functools
import http.client
import json
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Optional

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.options import StreamConfig
from transforms.errors import IngestError, UsageError, one_line
from transforms.records import digest64

_log = logging.getLogger("newsbeam.engine")

FLINK_VERSION = "1.19"
PRISM_SECONDS = 30.0
CANCEL_SECONDS = 20.0
ENGINES = Path(".engines")  # where `make engines` puts them


class EngineFailedError(IngestError):
    """An engine could not be started, or has ended; starting again is safe."""


class Engine:
    """An engine that is ready for a job.

    `options` are Beam's; `is_local` says whether its workers run in this process. Where they do not, `count_commits`
    returns how many items have come to the commit so far (each tick sends one), or None when that cannot be known.
    """

    def __init__(
        self,
        options: PipelineOptions,
        *,
        is_local: bool,
        process: Optional["subprocess.Popen[str]"] = None,
        count_commits: Callable[[], Optional[int]] = lambda: None,
    ) -> None:
        self.options, self.is_local, self._process = options, is_local, process
        self.count_commits = count_commits

    def check(self) -> None:
        """Raise EngineFailedError when the engine has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise EngineFailedError(f"Prism ended with status {self._process.returncode}", reason="engine_ended")


@contextlib.contextmanager
def open_engine(settings: StreamConfig, lake_uri: str) -> Iterator[Engine]:
    """Start what `settings.runner` needs, and stop it in the end. On a cluster a lake has one job at a time.

    Raises:
        UsageError: a program is missing; the message names the remedy.
        EngineFailedError: it does not start.
    """
    if settings.runner == "prism":
        with _prism(settings) as engine:
            yield engine
    elif settings.runner == "flink":
        name = "newsbeam-" + digest64(str(Path(lake_uri).absolute()))
        options = _flink_options(settings, name)
        cancel_flink_jobs(settings.flink_master, name)  # of a launcher that was killed: it would poll everything twice
        try:
            yield Engine(
                options,
                is_local=settings.worker_pool is None,
                count_commits=functools.partial(count_flink_commits, settings.flink_master, name),
            )
        finally:
            cancel_flink_jobs(settings.flink_master, name)
    else:
        raise UsageError(
            "--runner dataflow: a stream on Dataflow needs a lake that its workers reach, and newsbeam can hold a lake "
            "in a local folder only so far; use prism or flink"
        )


def _options(settings: StreamConfig, *options: str) -> PipelineOptions:
    # Several harness threads would only wait for the one harvest; a bundle may last as long as it needs.
    common = ["--streaming", "--sdk_worker_parallelism=1", *options, *settings.beam_options]
    return PipelineOptions(common)


# ---- Prism --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _prism(settings: StreamConfig) -> Iterator[Engine]:
    port = _free_port()
    command = [str(prism_program(settings.prism)), f"--job_port={port}", "--serve_http=false", "--log_level=warn"]
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "KILL", *command]
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    last_words, reader = _forward(process)
    try:
        _wait_for_port(process, port, last_words, reader)
        options = _options(
            settings, "--runner=PrismRunner", f"--job_endpoint=127.0.0.1:{port}", "--environment_type=LOOPBACK"
        )
        yield Engine(options, is_local=True, process=process)
    finally:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(1)


def prism_program(named: Optional[str] = None) -> Path:
    """Return the Prism program: the named one, the one `make prism` made, or one on the PATH.

    Raises:
        UsageError: there is none, or the named one cannot be run.
    """
    if named is not None:
        if not os.access(named, os.X_OK) or not Path(named).is_file():
            raise UsageError(f"--prism {named} is no program; `make prism` makes one")
        return Path(named).absolute()
    made = ENGINES / f"prism-{apache_beam.__version__}" / "prism"
    cached = Path.home() / ".apache_beam" / "cache" / "prism" / "bin" / "prism"
    found = shutil.which("prism")
    for candidate in (made, cached, Path(found) if found else None):
        if candidate is not None and os.access(candidate, os.X_OK):
            return candidate.absolute()
    raise UsageError(
        "there is no Prism, the engine that runs a stream on one machine: `make prism` builds it (needs Go), or "
        f"`go install github.com/apache/beam/sdks/v2/go/cmd/prism@v{apache_beam.__version__}` and --prism FILE"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _forward(process: "subprocess.Popen[str]") -> tuple[Sequence[str], threading.Thread]:
    """Log what Prism says; return its last lines (filled as they come), and who reads them until it ends."""
    last_words: collections.deque[str] = collections.deque(maxlen=20)

    def read(lines: IO[str]) -> None:
        with lines:
            for line in lines:
                last_words.append(line.rstrip())
                _log.debug("prism: %s", line.rstrip())

    assert process.stdout is not None
    reader = threading.Thread(target=read, args=(process.stdout,), name="newsbeam-prism", daemon=True)
    reader.start()
    return last_words, reader


def _wait_for_port(
    process: "subprocess.Popen[str]", port: int, last_words: Sequence[str], reader: threading.Thread
) -> None:
    until = time.monotonic() + PRISM_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            reader.join(1)
            raise EngineFailedError(
                f"Prism ended with status {process.returncode}: {' | '.join(last_words)[-500:]}", reason="engine_ended"
            )
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise EngineFailedError(f"Prism does not listen after {PRISM_SECONDS:.0f} s", reason="engine_ended")


# ---- Flink --------------------------------------------------------------------------------------------------------


def _flink_options(settings: StreamConfig, job_name: str) -> PipelineOptions:
    milliseconds = round(settings.checkpoint_seconds * 1000)
    options = [f"--job_name={job_name}", f"--checkpointing_interval={milliseconds}"]
    options.append(f"--parallelism={settings.shards}")
    # Without it a first checkpoint that falls into the first bundle keeps the source's one element for ever: the job
    # is RUNNING and no tick ever comes (measured: 0 of 3 starts ticked without it, 3 of 3 with it).
    options.append("--finish_bundle_before_checkpointing")
    if settings.checkpoint_dir:
        options += ["--state_backend=filesystem", f"--state_backend_storage_path={settings.checkpoint_dir}"]
    if settings.worker_pool:
        options += ["--environment_type=EXTERNAL", f"--environment_config={settings.worker_pool}"]
    else:
        options.append("--environment_type=LOOPBACK")
    server = settings.job_server or str(_job_server_jar())
    if server.endswith(".jar"):
        if not Path(server).is_file():
            raise UsageError(f"--job-server {server}: there is no such file; `make flink-jar` makes it")
        if shutil.which("java") is None:
            raise UsageError("--runner flink needs Java for Beam's job server, or the address of a running one")
        options += ["--runner=FlinkRunner", f"--flink_version={FLINK_VERSION}", f"--flink_job_server_jar={server}"]
        options.append(f"--flink_master={settings.flink_master or '[local]'}")
    elif settings.flink_master is None:
        raise UsageError("with a running --job-server give its cluster's --flink-master as well: jobs are ended there")
    else:
        options += ["--runner=PortableRunner", f"--job_endpoint={server}"]
    return _options(settings, *options)


def cancel_flink_jobs(master: Optional[str], name: str) -> None:
    """Cancel the jobs of that name and wait until they have ended; without a cluster there are none.

    Beam's own cancelling lets the job run on when its job server waits for it (measured), so the cluster is asked.

    Raises:
        EngineFailedError: the cluster does not answer, or does not end them.
    """
    if master is None:
        return
    try:
        until = time.monotonic() + CANCEL_SECONDS
        while jobs := _flink_jobs(master, name):
            if time.monotonic() > until:
                raise EngineFailedError(f"Flink at {master} does not end job {jobs[0]}", reason="engine_failed")
            for job_id in jobs:
                _ask_flink(master, f"/jobs/{job_id}?mode=cancel", method="PATCH")
            time.sleep(0.3)
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise EngineFailedError(
            f"Flink's REST interface at {master} cannot be used ({one_line(str(error))}); is --flink-master right?",
            reason="engine_failed",
        ) from error


def count_flink_commits(master: Optional[str], name: str) -> Optional[int]:
    """Return how many items the commit of the job of that name was sent; None when the cluster does not say.

    Beam's own metrics of a job come when it has ended (measured on job server 2.62), so the cluster is asked.
    """
    if master is None:
        return None
    try:
        count = None
        for job in _flink_jobs(master, name):
            for vertex in _ask_flink(master, f"/jobs/{job}")["vertices"]:
                if "commit" in vertex["name"]:
                    path = f"/jobs/{job}/vertices/{vertex['id']}/subtasks/metrics?get=numRecordsIn&agg=sum"
                    count = (count or 0) + sum(int(metric["sum"]) for metric in _ask_flink(master, path))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        _log.debug("Flink at %s does not tell its metrics: %s", master, error)
        return None
    return count


def _flink_jobs(master: str, name: str) -> list[str]:
    return [
        job["jid"]
        for job in _ask_flink(master, "/jobs/overview")["jobs"]
        if job["name"] == name and job["state"] not in ("FINISHED", "CANCELED", "FAILED")
    ]


def _ask_flink(master: str, path: str, *, method: str = "GET") -> Any:
    connection = http.client.HTTPConnection(master, timeout=5)
    try:
        connection.request(method, path)
        return json.loads(connection.getresponse().read() or "null")
    finally:
        connection.close()


def _job_server_jar() -> Path:
    jars = sorted(ENGINES.glob("*job-server*.jar"))
    if not jars:
        raise UsageError(
            "there is no job server for Flink: `make flink-jar` builds it (needs Maven and Java), or give --job-server"
        )
    return jars[-1].absolute()
