"""A process that dies at a named point of its work on the lake, as by kill -9."""

import os
import signal
from typing import Any, Optional

import pyarrow.parquet as pq

from transforms import lake as lake_module


def kill_at(point: Optional[str]) -> None:
    """Let this process kill itself when it comes to `point`; None never does.

    Args:
        point: of `transforms.lake.on_point`, or ``in_file``: when part of a rewritten file has been written.
    """

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def on_point(name: str) -> None:
        if name == point:
            die()

    lake_module.on_point = on_point
    if point == "in_file":
        write = pq.ParquetWriter.write_table

        def write_half(self: Any, *args: Any, **kwargs: Any) -> None:
            write(self, *args, **kwargs)
            die()

        pq.ParquetWriter.write_table = write_half
