"""`newsbeam stream` as real processes on the items of a `Trickle`, for tests and benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from tests.compare_lake import compare
from tests.conftest import ROOT
from tests.engines import MARK, kill_marked, marked_processes, prism_binary, wait_until
from tests.trickle import Trickle, TrickleProcess
from transforms.lake import Lake
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS

MOST_START_SECONDS = 60.0
MOST_DRAIN_SECONDS = 30.0


class StreamJob:
    """One lake, one list of feeds, and the workers that are started on them one after the other.

    Args:
        trickle: where the news come from.
        folder: for the lake, the list and the logs.
        engine: flags that choose the engine; default: Prism.
        tick: the interval of the ticks.
        feeds: the feeds to begin with; default: all of the trickle's.
        flags: further flags.
    """

    def __init__(
        self,
        trickle: Union[Trickle, TrickleProcess],
        folder: Path,
        *,
        engine: Optional[Sequence[str]] = None,
        tick: str = "1s",
        feeds: Optional[Sequence[str]] = None,
        flags: Sequence[str] = (),
    ) -> None:
        self.trickle, self.folder, self.lake = trickle, folder, folder / "lake"
        self.mark = f"stream-{os.getpid()}-{time.monotonic_ns()}"
        self.feed_list = folder / "feeds.txt"
        self.list_feeds(trickle.feeds if feeds is None else feeds)
        self.journal = folder / "journal.txt"
        self.log = folder / "worker.log"
        engine = ["--prism", str(prism_binary())] if engine is None else engine
        hosts = [f"--allow-host={value}" for value in trickle.allow_hosts]
        self.common = ["--lake", str(self.lake), "--feeds", str(self.feed_list), "--spacing-seconds", "0", *hosts]
        self.command = ["stream", *self.common, *engine, "--tick", tick, "--min-interval", "500ms"]
        # An interval a little below the tick, so that each tick finds each feed due.
        self.command += ["--max-interval", f"{0.8 * float(tick.removesuffix('s')):g}s"]
        self.command += ["--status-address", "127.0.0.1:0", *flags]

    def list_feeds(self, feeds: Sequence[str]) -> None:
        self.feed_list.write_text("\n".join(feeds) + "\n", "utf-8")

    def start(self, *, flags: Sequence[str] = (), **wishes: Any) -> "subprocess.Popen[bytes]":
        """Start a worker; `wishes` are those of `tests.chaos.stream_driver`."""
        wishes.setdefault("journal", str(self.journal))
        self._log_begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.stream_driver", json.dumps(wishes), *self.command, *flags],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, MARK: self.mark},
                start_new_session=True,
            )

    def ingest(self, lake: Optional[Path] = None) -> "subprocess.Popen[bytes]":
        """Start a batch run on the same feeds, into the same lake or another."""
        flags = [*self.common, "--lake", str(lake or self.lake)]
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "ingest", *flags],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, MARK: self.mark},
        )

    def wait_until(self, condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
        try:
            return wait_until(condition, seconds=seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_tail()}") from None

    def wait_running(self) -> None:
        """Wait until the worker that was started last says that it runs."""

        def says_so() -> bool:
            return b"streaming " in self.log.read_bytes()[self._log_begins :]

        self.wait_until(says_so, seconds=MOST_START_SECONDS, what="the worker runs")

    def wait_for_articles(self, count: int = 1, *, seconds: float = MOST_START_SECONDS) -> None:
        self.wait_until(lambda: len(self.articles()) >= count, seconds=seconds, what=f"{count} articles in the lake")

    def wait_until_right(self, *, seconds: float) -> None:
        """Wait until the lake is what the trickle says; show what still differs when it never is."""
        differences: list[str] = ["nothing was compared"]

        def is_right() -> bool:
            differences[:] = compare(str(self.lake), self.trickle) if self._has_lake() else ["there is no lake yet"]
            return not differences

        deadline = time.monotonic() + seconds
        while not is_right():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"after {seconds:.0f} s {len(differences)} differences: {differences[:10]}\n{self.log_tail()}"
                )
            time.sleep(0.5)

    def articles(self) -> list[str]:
        """The ids of the articles, as a reader sees them now."""
        return [] if not self._has_lake() else self._read().read(ARTICLES, ["article_id"])["article_id"].to_pylist()

    def read_polls(self, column: str) -> list[Any]:
        """A column of the polls, as a reader sees them now."""
        return list(self._read().read(POLLS, [column])[column].to_pylist())

    def _has_lake(self) -> bool:
        return (self.lake / "polls" / "_delta_log" / f"{0:020}.json").exists()  # the table that is made last

    def _read(self) -> Lake:
        lake = Lake(self.lake)
        lake.refresh()
        return lake

    def drain(self, process: "subprocess.Popen[bytes]") -> float:
        """SIGTERM; the worker must end with 0 in time and leave no process. Return how long it took."""
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(MOST_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not drained after {MOST_DRAIN_SECONDS:.0f} s\n{self.log_tail()}") from None
        took = time.monotonic() - started
        assert status == 0, self.log_tail()
        self.wait_until(lambda: not marked_processes(self.mark), seconds=5.0, what="no process is left behind")
        return took

    def killed(self, process: "subprocess.Popen[bytes]", *, seconds: float = MOST_START_SECONDS) -> None:
        """Wait until the worker has killed itself, and all that it started is gone by itself."""
        try:
            assert process.wait(seconds) == -signal.SIGKILL, self.log_tail()
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"did not come to the point where it dies ({process.args!r})\n{self.log_tail()}"
            ) from None
        self.wait_until(lambda: not marked_processes(self.mark), seconds=15.0, what="its processes end with it")

    def check_ids(self) -> None:
        """Whatever was harvested, by whichever worker, has a disposition; nothing arrived that was not harvested."""
        steps: dict[str, set[tuple[str, str]]] = {"harvested": set(), "arrived": set(), "overlap": set()}
        for line in self.journal.read_text("utf-8").splitlines():
            step, _, rest = line.partition(" ")
            entry, _, version = rest.partition(" ")
            steps[step].add((entry, version))
        assert not steps["overlap"], "two commits were decided at a time"
        assert steps["arrived"] <= steps["harvested"]
        lake = self._read()
        held = {
            (row["entry_id"], row["entry_hash"])
            for table in (ARTICLES, DEAD_LETTERS)
            for row in lake.read(table, ["entry_id", "entry_hash"]).to_pylist()
        }
        assert held <= steps["harvested"]
        # An entry that changed between two polls may have been harvested in a version that nobody lists any more.
        lost = {entry for entry, _ in steps["harvested"]} - {entry for entry, _ in held}
        assert not lost, sorted(lost)[:5]

    def log_tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4000:] if self.log.exists() else ""

    def ask(self, url: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def close(self) -> None:
        kill_marked(self.mark)
