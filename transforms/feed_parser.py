"""How a feed is parsed within bounds: in a worker process that can be killed, whatever reads it.

A `FeedParser` is made of a function that reads bytes into plain values. Called, it parses here; by `submit` and
`finish` the same happens in a worker process (worker_pool.py), and rows are made of its values in this one.

Decisions:
    No Beam here and in what reads feeds. A worker then starts in 0.4 s of CPU and has 40 MB; with Beam it takes seconds
    and more address space than it may have.

    Whoever polls sends every feed to a worker, small ones too. A thread cannot be killed, and what is inside of a regex
    or a C parser holds the interpreter's lock, so that one feed could stop a whole process. It also is cheaper for the
    process that polls: a feed of 17 kB costs it 0.8 ms instead of 12, of 1 MB 6 instead of 260 (and the worker 2 ms
    more than the parsing).

    Entries that nobody wants are left behind in the worker: the rows of a sitemap of 50,000 would take as long as a
    third of its parsing.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from transforms.errors import RejectedError, TransientError
from transforms.worker_pool import Outcome, WorkerStartError, shared_pool

if TYPE_CHECKING:
    from apache_beam.utils.timestamp import Timestamp

    from transforms.records import ParsedFeed

DEADLINE_SECONDS = 30.0  # 10,000 entries of 1.5 kB, the most of a feed that is taken, need about 3 s
MEMORY_BYTES = 1_000_000_000  # address space; the costliest of a dozen bodies of 15 MB made for the purpose took 0.43
WORKERS = 2  # one goes on while the other has a feed that will be stopped

# What becomes of a feed whose worker had to be ended.
_KILLED = {"timeout": "parse_timeout", "memory": "parse_memory", "crash": "parse_crash"}


class FeedItem(NamedTuple):
    """A document to be read.

    `body` is without content coding, `url` where it came from, `now_seconds` the time. Entries beyond `most_entries`
    are not wanted.
    """

    body: bytes
    url: str
    content_type: Optional[str]
    now_seconds: float
    most_entries: Optional[int] = None


class EntryValues(NamedTuple):
    """A `FeedEntry` as plain values, in its order; times in microseconds since the epoch."""

    key: str
    entry_hash: str
    url: str
    title: Optional[str] = None
    summary_html: Optional[str] = None
    text_html: Optional[str] = None
    authors: Sequence[str] = ()
    published_micros: Optional[int] = None
    updated_micros: Optional[int] = None
    language: Optional[str] = None
    tags: Sequence[str] = ()


class FeedValues(NamedTuple):
    """A `ParsedFeed` as plain values, in its order; `nested` are addresses and times."""

    format: str
    entries: Sequence[EntryValues]
    title: Optional[str] = None
    site_url: Optional[str] = None
    language: Optional[str] = None
    ttl_seconds: Optional[int] = None
    warnings: Sequence[str] = ()
    nested: Sequence[tuple[str, Optional[int]]] = ()


def rows_of(feed: FeedValues) -> "ParsedFeed":
    """Return the rows that plain values stand for."""
    from apache_beam.utils.timestamp import Timestamp  # not at the top: this module is a worker's as well

    from transforms.records import FeedEntry, NestedSitemap, ParsedFeed

    def at(micros: Optional[int]) -> Optional[Timestamp]:
        return None if micros is None else Timestamp(micros=micros)

    return ParsedFeed(
        feed.format,
        [FeedEntry(*e[:7], at(e.published_micros), at(e.updated_micros), *e[9:]) for e in feed.entries],
        *feed[2:7],
        [NestedSitemap(url, at(micros)) for url, micros in feed.nested],
    )


@dataclass(frozen=True)
class FeedParser:
    """What parses feeds, here or in a worker process; picklable.

    Args:
        read: a function of a module, from `FeedItem` to `FeedValues`; its module imports no Beam. It raises IngestError
            for what it refuses.
        deadline_seconds: wall time for one feed in a worker.
        memory_bytes: address space of a worker.
    """

    read: Callable[..., FeedValues]
    deadline_seconds: float = DEADLINE_SECONDS
    memory_bytes: int = MEMORY_BYTES

    def __post_init__(self) -> None:
        """Check that a worker can find the function."""
        if not self.read.__qualname__.isidentifier():
            raise ValueError(f"read must be a function of a module, got {self.read.__qualname__}")

    def __call__(
        self,
        body: bytes,
        *,
        url: str,
        content_type: Optional[str] = None,
        now: Optional["Timestamp"] = None,
        **options: Any,
    ) -> "ParsedFeed":
        """Return the feed in `body`, parsed in this process, without bounds.

        Args:
            body: the decoded (not compressed) body, at most as long as the fetch allows.
            url: the address it came from; relative links resolve against it.
            content_type: the header's value; it only helps to find the encoding.
            now: what dates are compared with to see whether they lie in the future; the current time by default.
            options: of `read`.

        Raises:
            RejectedError: as `read` does.
        """
        now_seconds = float(now) if now is not None else time.time()
        return rows_of(self.read(FeedItem(body, url, content_type, now_seconds), **options))

    def submit(
        self, body: bytes, *, url: str, content_type: Optional[str] = None, most_entries: Optional[int] = None
    ) -> "Future[Outcome]":
        """Begin to parse in a worker process; what comes of it is for `finish`. See `__call__` and `FeedItem`."""
        pool = shared_pool(
            f"{self.read.__module__}:{self.read.__qualname__}",
            workers=WORKERS,
            deadline_seconds=self.deadline_seconds,
            memory_bytes=self.memory_bytes,
        )
        return pool.submit(FeedItem(body, url, content_type, time.time(), most_entries))

    def finish(self, outcome: Outcome, *, url: str) -> "ParsedFeed":
        """Return the feed that a worker has parsed.

        Raises:
            RejectedError: as `read` does; parse_timeout, parse_memory, parse_crash where the worker had to be ended.
            WorkerStartError: there are no workers.
            RuntimeError: `read` has a defect.
        """
        if outcome.kind == "ok":
            return rows_of(outcome.value)
        if outcome.kind in _KILLED:
            raise RejectedError(
                f"parsing the feed was stopped: {outcome.message}", reason=_KILLED[outcome.kind], url=url
            )
        if outcome.kind == "start":
            raise WorkerStartError(outcome.message)
        if outcome.kind == "bug":
            raise RuntimeError(outcome.message)
        kind = TransientError if outcome.kind == "transient" else RejectedError
        raise kind(outcome.message, reason=outcome.reason, url=url)
