"""What worker processes run when pages may be poison: `extract_item`, unless the page itself says how to misbehave.

    ExtractText(work="tests.poison_work:extract_or_misbehave")

A page that carries `poison_mark(kind)` makes its worker do what `POISONS` says of that kind; every other page is
extracted as ever. A marked page is otherwise a whole article, so that it would become a row if nothing misbehaved.

Limits: a test should cost the machine little, so ``hang`` sleeps instead of spinning, and ``allocate`` takes address
space, which is what a worker's limit counts, without touching the memory.
"""

import os
import re
import resource
import time
from collections.abc import Mapping
from typing import Any, Final

from transforms.extract_core import extract_item

# How each kind ends: the reason of its dead letter.
POISONS: Final[Mapping[str, str]] = {
    "hang": "extraction_timeout",
    "allocate": "extraction_memory",
    "crash": "extraction_crash",
    "raise": "bug",
}
_MARK = re.compile(rb'<meta name="x-poison" content="([a-z]+)">')
_PIECE_BYTES = 50_000_000
_held: list[bytes] = []


class UnexpectedError(Exception):
    """What nobody expects of an extraction: none of the project's own errors."""


def poison_mark(kind: str) -> str:
    """Return the element that makes a page misbehave as `kind` does.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in POISONS:
        raise ValueError(f"no poison is called {kind!r}; there are {', '.join(POISONS)}")
    return f'<meta name="x-poison" content="{kind}">'


def extract_or_misbehave(item: Any) -> Any:
    """Return what `extract_item` does, or do not return, as the page's mark says."""
    mark = _MARK.search(item[0] or b"")
    if mark is not None:
        _misbehave(mark[1].decode())
    return extract_item(item)


def _misbehave(kind: str) -> None:
    if kind == "hang":
        while True:
            time.sleep(3600)
    if kind == "allocate":
        while True:
            _held.append(bytes(_PIECE_BYTES))  # calloc: pages that nobody writes to are never there
    if kind == "crash":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the test wants the end, not a core file
        os.abort()
    raise UnexpectedError(f"poison of kind {kind}")
