"""The jobs of one lake on a Flink cluster, by the cluster's REST interface.

Decisions:
    A job's name says whose it is: ``newsbeam-``, a hash of the lake's path, and when its launcher started. A job of an
    earlier launch is ended whenever it is seen, not only at the start: a job server may submit one seconds after its
    launcher was killed (measured: 5 s, beside the job of the next launcher).

    Beam's own cancelling lets a job run on when its job server waits for it (measured), and Beam tells a job's metrics
    only when it has ended (job server 2.62): the cluster is asked for both.
"""

import http.client
import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

from transforms.errors import EngineFailedError, one_line
from transforms.records import digest64

_log = logging.getLogger("newsbeam.engine")

END_SECONDS = 20.0
_ENDED = ("FINISHED", "CANCELED", "FAILED")


class FlinkJobs:
    """This launch's job, and those of earlier launches for the same lake.

    Args:
        master: host and port of the cluster's REST interface; None is no cluster, which has no jobs.
        lake_uri: the lake.
        launched_at: when this launcher started, in seconds (default: the clock).

    Attributes:
        name: what the job is to be called.
        is_submitted: whether it was handed to a job server.
    """

    def __init__(self, master: Optional[str], lake_uri: str, *, launched_at: Optional[float] = None) -> None:
        self._master = master
        self._lake = f"newsbeam-{digest64(str(Path(lake_uri).absolute()))}-"
        self._launched = round((time.time() if launched_at is None else launched_at) * 1000)
        self.name = f"{self._lake}{self._launched}"
        self.is_submitted = False

    def end_earlier(self, *, wait: bool = False) -> None:
        """Cancel the jobs of earlier launches; with `wait` until they have ended.

        Raises:
            EngineFailedError: with `wait`, the cluster does not answer or does not end them.
        """
        try:
            self._end(lambda name: self._launch_of(name) < self._launched, wait=wait)
        except EngineFailedError as error:
            if wait:
                raise
            _log.warning("%s", error)

    def end(self) -> None:
        """Cancel this launch's job and earlier ones, and wait until they have ended.

        One that was submitted and has not come to the cluster is waited for: it would run for ever.

        Raises:
            EngineFailedError: the cluster does not answer, or does not end them.
        """
        self._end(lambda name: self._launch_of(name) <= self._launched, wait=True)
        until = time.monotonic() + END_SECONDS
        while self._master and self.is_submitted and not self._jobs(lambda name: name == self.name, ended=True):
            if time.monotonic() > until:
                raise EngineFailedError(f"the job never came to Flink at {self._master}")
            time.sleep(0.3)
        self._end(lambda name: name == self.name, wait=True)

    def count_commits(self) -> Optional[int]:
        """Return how many items the commit of this launch's job was sent; None when the cluster does not say."""
        try:
            count = None
            for job in self._jobs(lambda name: name == self.name):
                for vertex in self._ask(f"/jobs/{job}")["vertices"]:
                    if "commit" in vertex["name"]:
                        path = f"/jobs/{job}/vertices/{vertex['id']}/subtasks/metrics?get=numRecordsIn&agg=sum"
                        count = (count or 0) + sum(int(metric["sum"]) for metric in self._ask(path))
        except (EngineFailedError, ValueError, KeyError, TypeError) as error:
            _log.debug("Flink at %s does not tell its metrics: %s", self._master, error)
            return None
        return count

    def _launch_of(self, name: str) -> float:
        launch = name.removeprefix(self._lake)
        return int(launch) if name.startswith(self._lake) and launch.isdecimal() else float("inf")

    def _end(self, is_meant: Callable[[str], bool], *, wait: bool) -> None:
        until = time.monotonic() + END_SECONDS
        while jobs := self._jobs(is_meant):
            if time.monotonic() > until:
                raise EngineFailedError(f"Flink at {self._master} does not end job {jobs[0]}")
            for job in jobs:
                self._ask(f"/jobs/{job}?mode=cancel", method="PATCH")
            if not wait:
                return
            time.sleep(0.3)

    def _jobs(self, is_meant: Callable[[str], bool], *, ended: bool = False) -> Sequence[str]:
        """Return the ids of the jobs whose name is meant, with `ended` also of those that have ended."""
        if self._master is None:
            return []
        overview = self._ask("/jobs/overview")
        try:
            return [j["jid"] for j in overview["jobs"] if is_meant(j["name"]) and (ended or j["state"] not in _ENDED)]
        except (KeyError, TypeError) as error:
            raise self._unusable(error) from error

    def _ask(self, path: str, *, method: str = "GET") -> Any:
        assert self._master is not None
        try:
            connection = http.client.HTTPConnection(self._master, timeout=5)
            try:
                connection.request(method, path)
                return json.loads(connection.getresponse().read() or "null")
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> EngineFailedError:
        return EngineFailedError(
            f"Flink's REST interface at {self._master} cannot be used ({one_line(str(error))}); "
            "is --flink-master right?"
        )
