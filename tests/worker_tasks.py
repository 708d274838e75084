"""What the workers of test_worker_pool.py run: functions that end well, fail, spin, allocate and die."""

import ctypes
import os
import time
from typing import Any

from transforms.errors import RejectedError, TransientError
from transforms.extract_core import extract_item

held: list[bytearray] = []


def do(item: tuple[str, Any]) -> Any:
    what, value = item
    if what == "double":
        return value * 2
    if what == "pid":
        return os.getpid()
    if what == "spin":
        while True:
            pass
    if what == "spin in C":
        ctypes.PyDLL(None).sleep(3600)  # PyDLL holds the interpreter's lock: no Python thread can step in
    if what == "sleep":
        time.sleep(value)
        return value
    if what == "allocate":
        while True:
            held.append(bytearray(10_000_000))
    if what == "allocate and return":
        return len(bytearray(value))
    if what == "exit":
        os._exit(value)
    if what == "segfault":
        ctypes.string_at(0)
    if what == "reject":
        raise RejectedError("nothing here", reason="no_article")
    if what == "transient":
        raise TransientError("try later", reason="busy")
    if what == "defect":
        raise KeyError(value)
    if what == "print":
        print(value)
        return value
    raise AssertionError(what)


def extract(item: Any) -> Any:
    """As the real extraction, but the page's first word may be an order; for the tests of ExtractText."""
    html = item[0] or b""
    if html.startswith(b"!"):
        what, _, value = html[1:].decode().partition(" ")
        return do((what, int(value or 0)))
    return extract_item(item)
