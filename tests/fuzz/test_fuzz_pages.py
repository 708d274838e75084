"""Mutated pages: whatever is read, the result can be stored or the page is refused, in bounded time and memory.

`make fuzz` takes thirty thousand (FUZZ_PAGES=n: as many as that), `make test` some hundreds. The seed is the day's date,
printed; FUZZ_SEED=... repeats a run. A page that fails is shortened and printed as a case for FOUND below.
"""

import functools
import os
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Optional

import pytest

from pipelines.demo.newsroom import Newsroom
from tests.fuzz import judge_page
from tests.fuzz.judge_feed import shortened
from tests.fuzz.judge_page import WORKER_BYTES, Verdict, judge, judging_pool, verdicts
from tests.fuzz.mutate_pages import CONTENT_TYPES, mutate
from tests.fuzz.worst_pages import WORST, page
from transforms.errors import RejectedError
from transforms.extract_core import Extraction
from transforms.worker_pool import WorkerPool

PAGES = int(os.environ.get("FUZZ_PAGES", "400"))
SEED = os.environ.get("FUZZ_SEED") or datetime.now(UTC).strftime("%Y-%m-%d")
MOST_SHOWN = 5

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are measured as Linux tells them"
)


@functools.cache
def seed_pages() -> tuple[bytes, ...]:
    """The sample newsroom's pages: six templates, stories in two languages, cruft of all kinds."""
    with Newsroom(clock=lambda: datetime(2026, 3, 2, 12, tzinfo=UTC)) as room:
        port = b":%d" % room.port
        pages = [room.body_of(article.url).replace(port, b"") for article in room.articles if article.origin == "page"]
    return (*pages, page(b""), b"<p>" + b"Nothing but a paragraph of some length, and no page around it. " * 3)


def case(number: int) -> tuple[bytes, Optional[str], bool]:
    rng = random.Random(f"{SEED} page {number}")
    return mutate(rng, seed_pages()), rng.choice(CONTENT_TYPES), number % 8 == 0


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """New workers for each test: what pages before have left behind is not what a page takes."""
    pool = judging_pool()
    yield pool
    pool.close()


@pytest.mark.timeout(300 + PAGES // 10)
def test_mutated_pages_give_what_can_be_stored_or_a_reason(pool: WorkerPool) -> None:
    print(f"\n{PAGES} mutated pages, FUZZ_SEED={SEED}, of {len(seed_pages())} seed pages")
    first: dict[str, tuple[int, Verdict]] = {}
    kinds: Counter[str] = Counter()
    for number, verdict in enumerate(verdicts((case(n) for n in range(PAGES)), pool=pool)):
        if verdict.fault is not None:
            kind = verdict.fault.split(":")[0]
            kinds[kind] += 1
            first.setdefault(kind, (number, verdict))
    for kind, (number, verdict) in list(first.items())[:MOST_SHOWN]:
        html, content_type, twice = case(number)

        def fault_in(html: bytes, content_type: Optional[str] = content_type, twice: bool = twice) -> Optional[str]:
            return next(verdicts([(html, content_type, twice)], pool=pool)).fault

        short = shortened(html, verdict.fault or "", fault_in, seconds=20)
        print(
            f"    # {number}: {verdict.fault}\n    ({short[:5000]!r}, {content_type!r}),\n# {kinds[kind]} of this kind"
        )
    assert not kinds, f"FUZZ_SEED={SEED}: {dict(kinds)}"


def test_the_worst_pages_are_bounded_in_time_and_memory(pool: WorkerPool) -> None:
    found = dict(zip(WORST, verdicts(((make(), None, False) for make in WORST.values()), pool=pool), strict=True))
    slowest = max(found, key=lambda name: found[name].seconds)
    largest = max(found, key=lambda name: found[name].grown_bytes)
    print(
        f"\nworst pages: {found[slowest].seconds:.2f} s ({slowest}), {found[largest].grown_bytes / 1e6:.0f} MB ({largest})"
    )
    assert [f"{name}: {verdict.fault}" for name, verdict in found.items() if verdict.fault] == []


def test_the_same_seed_gives_the_same_pages() -> None:
    bodies = [case(number)[0] for number in range(100)]
    assert bodies == [case(number)[0] for number in range(100)]
    assert len(set(bodies)) > 95


# Pages that the fuzz found, as short as they get.
FOUND = (
    (b'99999999999", [null]], "url": null, "date.<p>Two.lisher": "&#1b;', "text/html; charset=utf-8-sig"),
    (b'mark"><time clas><noframes>Mar "&#' + b"9" * 4301, "text/html; charset=idna"),
)


@pytest.mark.parametrize("html, content_type", FOUND)
def test_what_the_fuzz_found(html: bytes, content_type: Optional[str]) -> None:
    assert judge((html, content_type, True))[0] is None


# The judge itself: each fault it is there for is seen.

GOOD = Extraction(title="Bridge stays closed", text="The bridge stays closed.\nIt was washed out.")


@pytest.mark.parametrize(
    "changes, fault",
    [
        ({}, None),
        ({"text": ""}, "text"),
        ({"text": "x" * 2_000}, "text"),
        ({"text": "a\x00b"}, "line of the text"),
        ({"text": "a\n\nb"}, "line of the text"),
        ({"text": "half \ud83d"}, "line of the text"),
        ({"title": "a\nb"}, "name"),
        ({"title": " "}, "name"),
        ({"authors": ("Ann", "\udc80")}, "name"),
        ({"authors": ["Ann"]}, "names"),
        ({"keywords": ("a",) * 40}, "names"),
        ({"language": "klingonian"}, "language"),
        ({"published_micros": 0}, "time"),
        ({"updated_micros": 99 * 10**15}, "time"),
        ({"canonical_url": "javascript:alert(1)"}, "address"),
        ({"is_paywalled": None}, "paywall"),
    ],
)  # fmt: skip
def test_the_judge_sees_what_cannot_be_stored(changes: dict[str, Any], fault: Optional[str]) -> None:
    found = Verdict(*judge((b"<p>" * 40, None, True), extract=lambda item: (GOOD._replace(**changes), True))).fault
    assert found is None if fault is None else str(found).startswith(fault)


def test_the_judge_sees_chance_and_messages_that_cannot_be_stored() -> None:
    titles = iter(["a", "b"])
    chance = judge((b"<p>" * 40, None, True), extract=lambda item: (GOOD._replace(title=next(titles)), True))
    assert chance[0] == "two readings differ"

    def refuses(item: object) -> tuple[Extraction, bool]:
        raise RejectedError("two\nlines", reason="no_article")

    assert "cannot be stored" in str(judge((b"", None, False), extract=refuses)[0])


def test_the_judge_sees_time_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def spins(item: object) -> tuple[Extraction, bool]:
        return GOOD._replace(title=f"Bridge {sum(range(5_000_000))}"), True

    def holds(item: object) -> tuple[Extraction, bool]:
        return GOOD._replace(title=f"Bridge {len(b'x' * 80_000_000)}"), True

    assert judge((b"<p>" * 40, None, False), extract=spins)[0] is None
    monkeypatch.setattr(judge_page, "MOST_SECONDS", 0.01)
    monkeypatch.setattr(judge_page, "MOST_GROWN_BYTES", 40_000_000)
    monkeypatch.setattr(judge_page, "_idle_bytes", 0)
    assert str(judge((b"<p>" * 40, None, False), extract=spins)[0]).startswith("slow")
    monkeypatch.setattr(judge_page, "MOST_SECONDS", 10.0)
    assert str(judge((b"<p>" * 40, None, False), extract=holds)[0]).startswith("large")


def test_the_judge_sees_what_ends_a_process() -> None:
    pool = WorkerPool("tests.worker_tasks:do", workers=1, deadline_seconds=2.0, memory_bytes=WORKER_BYTES)
    try:
        faults = [str(next(verdicts([case], pool=pool)).fault) for case in (("exit", 3), ("spin", 0), ("defect", "x"))]
    finally:
        pool.close()
    assert [fault.split(":")[0] for fault in faults] == ["crash", "timeout", "bug"]
