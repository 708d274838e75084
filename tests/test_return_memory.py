"""Memory that was freed between what is held goes back to the system."""

import os
from pathlib import Path

import pytest

from transforms.return_memory import return_free_memory

PIECE_BYTES = 60_000  # below what the C library takes from the system piece by piece


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_what_was_freed_between_what_is_held_is_returned() -> None:
    if not return_free_memory():
        pytest.skip("this C library returns memory by itself or not at all")
    pieces = [bytes([n % 251]) * PIECE_BYTES for n in range(3_000)]
    held = pieces[::50]
    before = resident_bytes()
    pieces.clear()
    assert return_free_memory()
    assert before - resident_bytes() > 100_000_000
    assert len(held) == 60
