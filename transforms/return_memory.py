"""Free memory back to the system: what a long-lived process has freed does not stay its own.

Decisions:
    The C library keeps what is freed between what is held, in an arena for each few threads. A stream lets pages of a
    quarter of a megabyte through a dozen threads, and so seems to grow by some kilobytes with each article for as long
    as it runs, though it holds no more than before (measured: 396 to 471 MB in five minutes, 424 MB of it held).
    Returning it takes 3 to 12 ms, once in a while.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Optional


@cache
def _malloc_trim() -> Optional[Callable[[int], int]]:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return found


def return_free_memory() -> bool:
    """Return what this process has freed to the system; False where the C library cannot (glibc can)."""
    trim = _malloc_trim()
    if trim is None:
        return False
    trim(0)
    return True
