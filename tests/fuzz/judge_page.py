"""What must hold of extraction for any bytes whatever; `judge` says in one line what does not.

* Nothing but a `RejectedError` is raised, its message one bounded line.
* Time and memory are bounded: `MOST_SECONDS` of CPU and `MOST_GROWN_BYTES` above the idle worker for any page.
* The result can be stored: no control characters, no halves of surrogate pairs, plausible times, bounded names.
* The same bytes give the same result.

`judge` runs in the processes of a `WorkerPool`, as extraction does in a run: a page that crashes the interpreter or never
ends is one more verdict.
"""

import ctypes
import gc
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

from transforms.errors import RejectedError
from transforms.extract_core import Extraction, Item, extract_item
from transforms.worker_pool import WorkerPool

URL = "https://paper.example/2026/03/02/bridge-stays-closed-4711"
NOW_MICROS = 1_772_539_200_000_000  # 2026-03-03 12:00 UTC
MOST_SECONDS = 2.0
MOST_GROWN_BYTES = 300_000_000
DEADLINE_SECONDS = 60.0  # of wall time: CPU decides, this only ends what never ends
WORKER_BYTES = 4_000_000_000  # of address space: wide, so that what has grown too much is measured and told
GROWTH = 12  # an entity of four characters may be one; nothing else grows
LEAST_MICROS, LAST_MICROS = 631_152_000_000_000, NOW_MICROS + 86_400_000_000  # from 1990 to a day from now
SLUG = re.compile(r"[a-z][a-z0-9_]{2,40}\Z")
LANGUAGE = re.compile(r"[a-z]{2,3}\Z")
NOT_ON_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LIBC = ctypes.CDLL(None)
_idle_bytes = 0

Extract = Callable[[Item], tuple[Extraction, bool]]


class Verdict(NamedTuple):
    """What is wrong with how a page was treated (None: nothing), and what it took."""

    fault: Optional[str]
    seconds: float = 0.0
    grown_bytes: int = 0


def judge(
    case: tuple[bytes, Optional[str], bool], *, extract: Extract = extract_item
) -> tuple[Optional[str], float, int]:
    """Return the fields of a `Verdict` on (a page, its content type, whether to read it twice)."""
    html, content_type, twice = case
    idle = _idle()
    item = Item(html, None, URL, content_type, None, None, NOW_MICROS)
    start, fault = time.process_time(), None
    try:
        found = extract(item)
        seconds = time.process_time() - start
        if twice and extract(item) != found:
            fault = "two readings differ"
        fault = fault or fault_of_result(*found, len(html))
    except RejectedError as error:
        seconds = time.process_time() - start
        if not SLUG.match(error.reason) or len(str(error)) > 600 or NOT_ON_A_LINE.search(str(error)):
            fault = f"error that cannot be stored: {error.reason} {str(error)[:200]!r}"
    grown = max(0, memory_bytes("VmHWM") - idle)
    if fault is None and seconds > MOST_SECONDS:
        fault = f"slow: {seconds:.1f} s"
    if fault is None and grown > MOST_GROWN_BYTES:
        fault = f"large: {grown / 1e6:.0f} MB above the idle worker"
    return fault, seconds, grown  # plain, since it crosses to another process


def _idle() -> int:
    """Forget the peak of the page before; return what this process takes without a page."""
    global _idle_bytes
    gc.collect()
    _LIBC.malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    _idle_bytes = _idle_bytes or memory_bytes("VmRSS")
    return _idle_bytes


def memory_bytes(field: str) -> int:
    """Return a field of this process' memory: VmRSS, VmHWM."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def fault_of_result(found: Extraction, from_page: bool, page_bytes: int) -> Optional[str]:
    if not from_page:
        return "a text that the page did not have"
    text = found.text
    if not text or len(text) > GROWTH * page_bytes or len(text) > 1_000_000:
        return f"text: {len(text)} characters out of {page_bytes} bytes"
    lines = text.split("\n")
    odd = next((line for line in lines if line != line.strip() or not line or NOT_ON_A_LINE.search(line)), None)
    if odd is not None:
        return f"line of the text: {odd[:80]!r}"
    if found.language is not None and not LANGUAGE.match(found.language):
        return f"language: {found.language!r}"
    for micros in (found.published_micros, found.updated_micros):
        if micros is not None and not (isinstance(micros, int) and LEAST_MICROS <= micros <= LAST_MICROS):
            return f"time: {micros!r}"
    return _fault_of_names(found)


def _fault_of_names(found: Extraction) -> Optional[str]:
    address = found.canonical_url
    if address is not None and (urlsplit(address).scheme not in {"http", "https"} or len(address) > 4_000):
        return f"address: {address[:80]!r}"
    if not isinstance(found.is_paywalled, bool):
        return f"paywall: {found.is_paywalled!r}"
    for lists, most in ((found.authors, 12), (found.keywords, 30)):
        if not isinstance(lists, tuple) or len(lists) > most or "" in lists:
            return f"names: {lists[:3]!r}"
    names = (found.title, found.site_name, found.section, address, *found.authors, *found.keywords)
    for name in (name for name in names if name is not None):
        if not isinstance(name, str) or not name.strip() or len(name) > 4_000 or NOT_ON_A_LINE.search(name):
            return f"name: {name[:80]!r}"
    return None


def verdicts(cases: Iterable[Any], *, pool: WorkerPool) -> Iterator[Verdict]:
    """Yield the verdicts on `cases` in their order; the pool is a `judging_pool`."""
    lane, waiting, found = pool.open_lane(), enumerate(cases), dict[int, Verdict]()
    following, more = 0, True
    while more or lane.in_flight:
        while more and lane.in_flight < 2 * pool.workers:
            case = next(waiting, None)
            more = case is not None
            if case is not None:
                lane.submit(*case)
        for number, outcome in lane.take(wait=True):
            told = outcome.kind == "ok"
            found[number] = Verdict(*outcome.value) if told else Verdict(f"{outcome.kind}: {outcome.message}")
        while following in found:
            yield found.pop(following)
            following += 1


def judging_pool() -> WorkerPool:
    """Return a pool whose processes judge, to be closed."""
    return WorkerPool(
        "tests.fuzz.judge_page:judge",
        workers=os.cpu_count() or 1,
        deadline_seconds=DEADLINE_SECONDS,
        memory_bytes=WORKER_BYTES,
    )
