"""A test server in a process of its own: it ends with its `with`, and with this process, however that ends."""

import json
import subprocess
import sys
import urllib.request
from typing import Any, Optional, Self

from tests.conftest import ROOT


class ServerProcess:
    """A module that prints one line when it listens, and serves until its standard input ends.

    Subclasses read `said`, that line, in `listens`, and set `port`. What they answer at ``/-/...`` is for `ask`.
    """

    port = 0

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: Optional[subprocess.Popen[bytes]] = None

    def listens(self, said: str) -> None:
        """Take note of what the server says of itself."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._process = process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError(f"{self._command[2]} ended with status {process.returncode} before it listened")
        self.pid = process.pid
        self.listens(line.decode())
        return self

    def __exit__(self, *exc_info: object) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def ask(self, what: str) -> Any:
        """Return what the server answers of itself, as data."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/{what}", timeout=30) as answer:
            return json.load(answer)
