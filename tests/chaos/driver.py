"""A real `newsbeam ingest` process that kills itself at a named point, or meets another one there.

    python -m tests.chaos.driver POINT|- MEETING|- OUTRUN_FILE ARGUMENTS OF newsbeam...

POINT: kill -9 of the own process at ``poll_harvested`` or at a point of the lake's commit (see `transforms.lake`).
MEETING: a folder in which two processes wait for each other before their first commit of articles, so that both have
decided on the same version of the table. OUTRUN_FILE gets a byte each time the fence refused this process.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MOST_WAIT_SECONDS = 120.0


def main(arguments: Sequence[str]) -> int:
    point, meeting, outrun_file, *command = arguments
    from transforms import acquire
    from transforms import lake as lake_module
    from transforms.records import Poll

    met = False

    def on_point(name: str) -> None:
        nonlocal met
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)
        if meeting != "-" and name == "before_commit:articles" and not met:
            met = True
            _wait_for_the_other(Path(meeting))

    lake_module.on_point = on_point
    harvest = acquire.Acquirer.harvest
    append = lake_module.Lake.append

    def harvest_and_die(self: Any, *args: Any, **kwargs: Any) -> Any:
        items = harvest(self, *args, **kwargs)
        if any(isinstance(item, Poll) and item.new for item in items):
            os.kill(os.getpid(), signal.SIGKILL)
        return items

    def append_and_count(self: Any, *args: Any, **kwargs: Any) -> str:
        try:
            return append(self, *args, **kwargs)
        except lake_module.OutrunError:
            with Path(outrun_file).open("ab") as file:
                file.write(b".")
            raise

    if point == "poll_harvested":
        acquire.Acquirer.harvest = harvest_and_die  # type: ignore[method-assign]
    lake_module.Lake.append = append_and_count  # type: ignore[method-assign]
    from pipelines.cli import main as newsbeam

    return newsbeam(command)


def _wait_for_the_other(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    until = time.monotonic() + _MOST_WAIT_SECONDS
    while len(list(folder.iterdir())) < 2:
        if time.monotonic() > until:
            raise TimeoutError(f"the other process did not come to {folder}")
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
