"""The engines a stream runs on: what must be started for each, and the options Beam is given.

Decisions:
    Prism and Flink's job server are started here and not by Beam: they must end with this process however that ends
    (`setpriv --pdeathsig`, where there is one), and Beam's own starters take over Ctrl-C and leave Java behind.

    Versions that were tested together stand in deploy/README.md; nothing is downloaded here.
"""

import collections
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Optional

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.flink_jobs import FlinkJobs
from pipelines.options import StreamConfig
from transforms.errors import EngineFailedError, UsageError

_log = logging.getLogger("newsbeam.engine")

START_SECONDS = 30.0
ENGINES = Path(".engines")  # where `make engines` puts them


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
        process: Optional["_Process"] = None,
        jobs: Optional[FlinkJobs] = None,
    ) -> None:
        self.options, self.is_local, self._process, self._jobs = options, is_local, process, jobs

    def check(self) -> None:
        """End what earlier launchers left behind; raise EngineFailedError when the engine itself has ended."""
        if self._process is not None:
            self._process.check()
        if self._jobs is not None:
            self._jobs.end_earlier()

    def job_is_submitted(self) -> None:
        """Take note that there is a job, which `open_engine` is to end."""
        if self._jobs is not None:
            self._jobs.is_submitted = True

    def count_commits(self) -> Optional[int]:
        """Return how many items have come to the commit; None when that is not known."""
        return None if self._jobs is None else self._jobs.count_commits()


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
        with _flink(settings, lake_uri) as engine:
            yield engine
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
    with _Process("Prism", command, port) as process:
        options = _options(
            settings, "--runner=PrismRunner", f"--job_endpoint=127.0.0.1:{port}", "--environment_type=LOOPBACK"
        )
        yield Engine(options, is_local=True, process=process)


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


# ---- Flink --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _flink(settings: StreamConfig, lake_uri: str) -> Iterator[Engine]:
    server = settings.job_server or str(_job_server_jar())
    with contextlib.ExitStack() as stack:
        process = None
        if server.endswith(".jar"):
            process = stack.enter_context(_job_server(server, settings.flink_master))
            server = process.address
        elif settings.flink_master is None:
            raise UsageError(
                "with a running --job-server give its cluster's --flink-master as well: jobs are ended there"
            )
        jobs = FlinkJobs(settings.flink_master, lake_uri)
        jobs.end_earlier(wait=True)  # of a launcher that was killed: it would poll everything twice
        stack.callback(jobs.end)
        options = _options(settings, *_flink_options(settings, server, jobs.name))
        yield Engine(options, is_local=settings.worker_pool is None, process=process, jobs=jobs)


def _flink_options(settings: StreamConfig, server: str, job_name: str) -> Sequence[str]:
    milliseconds = round(settings.checkpoint_seconds * 1000)
    options = ["--runner=PortableRunner", f"--job_endpoint={server}", f"--job_name={job_name}"]
    options += [f"--checkpointing_interval={milliseconds}", f"--parallelism={settings.shards}"]
    # Without it a first checkpoint that falls into the first bundle keeps the source's one element for ever: the job
    # is RUNNING and no tick ever comes (measured: 0 of 3 starts ticked without it, 3 of 3 with it).
    options.append("--finish_bundle_before_checkpointing")
    if settings.checkpoint_dir:
        options += ["--state_backend=filesystem", f"--state_backend_storage_path={settings.checkpoint_dir}"]
    if settings.worker_pool:
        return [*options, "--environment_type=EXTERNAL", f"--environment_config={settings.worker_pool}"]
    return [*options, "--environment_type=LOOPBACK"]


def _job_server(jar: str, master: Optional[str]) -> "_Process":
    if not Path(jar).is_file():
        raise UsageError(f"--job-server {jar}: there is no such file; `make flink-jar` makes it")
    java = shutil.which("java")
    if java is None:
        raise UsageError("--runner flink needs Java for Beam's job server, or the address of a running one")
    port = _free_port()
    command = [java, "-jar", jar, f"--flink-master={master or '[local]'}", f"--job-port={port}", "--job-host=127.0.0.1"]
    return _Process("Flink's job server", [*command, "--artifact-port=0", "--expansion-port=0"], port)


def _job_server_jar() -> Path:
    jars = sorted(ENGINES.glob("*job-server*.jar"))
    if not jars:
        raise UsageError(
            "there is no job server for Flink: `make flink-jar` builds it (needs Maven and Java), or give --job-server"
        )
    return jars[-1].absolute()


# ---- programs -----------------------------------------------------------------------------------------------------


class _Process:
    """A program that serves a port on loopback, from `with` to its end; it ends with this process as well.

    Raises:
        EngineFailedError: it does not come up; its last words are in the message.
    """

    def __init__(self, name: str, command: Sequence[str], port: int) -> None:
        self._name, self._command, self._port = name, list(command), port
        self._last_words: collections.deque[str] = collections.deque(maxlen=20)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._port}"

    def check(self) -> None:
        """Raise EngineFailedError when it has ended."""
        if self._process.poll() is not None:
            self._reader.join(1)
            raise EngineFailedError(
                f"{self._name} ended with status {self._process.returncode}: {' | '.join(self._last_words)[-500:]}",
                reason="engine_ended",
            )

    def __enter__(self) -> "_Process":
        setpriv = shutil.which("setpriv")
        command = [setpriv, "--pdeathsig", "KILL", *self._command] if setpriv else self._command
        self._process = subprocess.Popen(  # noqa: S603 - our own programs
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._forward, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        try:
            self._wait_for_port()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1)

    def _forward(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self._last_words.append(line.rstrip())
                _log.debug("%s: %s", self._name, line.rstrip())

    def _wait_for_port(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.check()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.05)
        raise EngineFailedError(f"{self._name} does not listen after {START_SECONDS:.0f} s", reason="engine_ended")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
