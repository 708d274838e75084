"""Pages to articles: the text a reader would call the story, and what the page says about it.

Decisions:
    The work itself is in `extract_core.py` and free of Beam, so that worker processes start fast; here its plain
    values become rows. `extract_article` runs in the caller's process; the transform runs the same code in processes
    that can be killed (`worker_pool.py`), since no HTML library is safe against every page: one page of the open data
    takes another extractor 40 s and 9 GB.

    The graph never waits for one page: a DoFn has a few pages under way for each worker and emits what has finished,
    in any order; what is left at the end of a bundle is emitted then. A page that costs too much becomes a dead
    letter (`extraction_timeout`, `extraction_memory`, `extraction_crash`) and its worker is replaced. An unbounded
    pipeline does not wait for such a page at the end of a bundle either: the next bundle of this process emits it, and
    if none comes its entry is polled again, since its poll has not taken effect.

Limits: only text in the page's HTML is found; pages that draw their text by script are `no_article`.
"""

import math
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import WindowedValue
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.timestamp import Timestamp

from transforms import telemetry
from transforms.article_url import article_id_of, article_url, normalise_url, site_of
from transforms.dead_letters import NAMESPACE, Mapped, failure_of
from transforms.errors import IngestError, RejectedError, TransientError
from transforms.extract_core import Extraction, Item, extract_item, extract_page
from transforms.records import Draft, ExtractedArticle, Failure, Page
from transforms.worker_pool import Lane, Outcome, WorkerPool, shared_pool

WORK = "transforms.extract_core:extract_item"
DEADLINE_SECONDS = 10.0  # a hundred times the slowest page that gave an article on the open data
MEMORY_BYTES = 1_500_000_000  # address space, of which an idle worker has 0.4; a 20 MB page needs 0.5 more
CARRY_SECONDS = 0.5  # what is not done so long after the last page of a bundle is carried over
CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_UNDER_WAY_PER_WORKER = 3  # one at work, two waiting, so that no worker waits for the runner
_KILLED = {
    "timeout": "extraction_timeout",
    "memory": "extraction_memory",
    "crash": "extraction_crash",
}


def extract_article(
    html: bytes, *, url: str, content_type: Optional[str] = None, now: Optional[Timestamp] = None
) -> ExtractedArticle:
    """Return the article of a page.

    Args:
        html: the page as received, decompressed, in any charset.
        url: its address after redirects; relative addresses in the page refer to it.
        content_type: the HTTP header, for its charset; None when unknown.
        now: the time of reading (default: the clock); later publication times are not believed.

    Returns:
        Text with one paragraph a line, without the page's own headline; `canonical_url` is what the page says and not
        yet believed (see `article_url.article_url`).

    Raises:
        RejectedError: there is no article to be had. Reasons: ``not_text`` (binary, empty), ``no_article``,
            ``too_short``, ``paywalled``, ``too_large`` (elements, not bytes).
    """
    found = extract_page(html, url=url, content_type=content_type, now_micros=_micros(now))
    return ExtractedArticle(
        title=found.title,
        text=found.text,
        authors=found.authors,
        published_at=_timestamp(found.published_micros),
        updated_at=_timestamp(found.updated_micros),
        language=found.language,
        canonical_url=found.canonical_url,
        site_name=found.site_name,
        section=found.section,
        keywords=found.keywords,
        is_paywalled=found.is_paywalled,
    )


def draft_of(page: Page, *, now: Optional[Timestamp] = None) -> Draft:
    """Return the article of a page, or of the text it came with, as a row before assignment.

    The page's own word goes before the feed's: title, publication, language, authors. A page that is no article falls
    back to the feed's text (`origin` is then ``feed``).

    Raises:
        RejectedError: see `extract_article`.
    """
    return _draft(page, *extract_item(_item_of(page, now)))


def _item_of(page: Page, now: Optional[Timestamp] = None) -> Item:
    return Item(page.html, page.text, page.url, page.content_type, page.title, page.language, _micros(now))


def _draft(page: Page, found: Extraction, from_page: bool) -> Draft:
    url = article_url(page.url, found.canonical_url)
    own_text = "feed" if page.html is not None or page.origin == "page" else page.origin
    return Draft(
        article_id=article_id_of(url or f"entry:{page.entry_id}"),
        title=found.title or page.title,
        text=found.text,
        language=found.language,
        site=site_of(url) or None,
        published_at=_timestamp(found.published_micros) or page.published_at,
        entry_id=page.entry_id,
        entry_hash=page.entry_hash,
        feed_id=page.feed_id,
        url=url or normalise_url(page.url) or page.url,
        canonical_url=found.canonical_url,
        origin=page.origin if from_page else own_text,
        first_seen_at=page.first_seen_at,
        updated_at=_timestamp(found.updated_micros) or page.updated_at,
        authors=found.authors or page.authors,
        site_name=found.site_name,
        section=found.section,
        keywords=found.keywords,
        is_paywalled=found.is_paywalled,
        summary=page.summary,
        feed_tags=page.feed_tags,
        attempt=page.attempt,
    )


def _timestamp(micros: Optional[int]) -> Optional[Timestamp]:
    return None if micros is None else Timestamp(micros=micros)


def _micros(now: Optional[Timestamp]) -> int:
    return int(time.time() * 1e6) if now is None else now.micros


class ExtractionBugError(RuntimeError):
    """Extraction failed in a way that is a defect of newsbeam's, in a worker process."""


class _ExtractEach(beam.DoFn):
    def __init__(
        self, work: str, workers: int, deadline_seconds: float, memory_bytes: int, strict: bool, carry_over: bool
    ) -> None:
        self._work, self._workers, self._strict, self._carry_over = work, workers, strict, carry_over
        self._deadline_seconds, self._memory_bytes = deadline_seconds, memory_bytes
        self._extracted = Metrics.counter(NAMESPACE, "extract_out_articles")
        self._pages = Metrics.counter(NAMESPACE, "extract_in_pages")
        self._chars = Metrics.distribution(NAMESPACE, "extract_article_chars")
        self._rejected = Metrics.counter(NAMESPACE, "extract_rejected_items")
        self._killed = Metrics.counter(NAMESPACE, "extract_killed_items")
        self._bugs = Metrics.counter(NAMESPACE, "extract_bug_items")
        self._pool: Optional[WorkerPool] = None
        self._lane: Optional[Lane] = None

    def setup(self) -> None:
        self._pool = shared_pool(
            self._work, workers=self._workers, deadline_seconds=self._deadline_seconds, memory_bytes=self._memory_bytes
        )

    def start_bundle(self) -> None:
        # What a failed bundle left under way belongs to a lane that nobody reads any more.
        assert self._pool is not None
        self._lane = self._pool.open_lane(resume=self._carry_over)

    def process(
        self,
        page: Page,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterable[Any]:
        lane = self._lane
        assert lane is not None
        self._pages.inc()
        lane.submit((page, timestamp, window, time.monotonic()), tuple(_item_of(page)))
        yield from self._emit(lane.take())
        while lane.in_flight >= _UNDER_WAY_PER_WORKER * self._workers:
            yield from self._emit(lane.take(wait=True))

    def finish_bundle(self) -> Iterable[Any]:
        lane, self._lane = self._lane, None
        until = time.monotonic() + CARRY_SECONDS
        while lane is not None and lane.in_flight:
            left = until - time.monotonic() if self._carry_over else None
            if left is not None and left <= 0:
                assert self._pool is not None
                self._pool.leave(lane)
                return
            yield from self._emit(lane.take(wait=True, timeout_seconds=left))

    def _emit(self, done: list[tuple[Any, Outcome]]) -> Iterator[Any]:
        for (page, timestamp, window, since), outcome in done:
            telemetry.EXTRACT_SECONDS.observe(time.monotonic() - since)
            try:
                draft = self._draft(page, outcome)
            except (IngestError, ExtractionBugError) as error:
                yield beam.pvalue.TaggedOutput(
                    "failures", WindowedValue(failure_of(page, error, stage="extract"), timestamp, (window,))
                )
            else:
                self._extracted.inc()
                self._chars.update(len(draft.text))
                yield WindowedValue(draft, timestamp, (window,))

    def _draft(self, page: Page, outcome: Outcome) -> Draft:
        if outcome.kind == "ok":
            return _draft(page, *outcome.value)
        if outcome.kind == "bug":
            self._bugs.inc()
            error = ExtractionBugError(f"{outcome.message} ({page.url})")
            if self._strict:
                # Outside the graph's dead letters: the run asked to stop at a defect.
                raise RuntimeError(str(error)) from error
            raise error
        self._rejected.inc()
        if outcome.kind in _KILLED:
            self._killed.inc()
            raise RejectedError(
                f"extraction was stopped: {outcome.message}", reason=_KILLED[outcome.kind], url=page.url
            )
        kind = TransientError if outcome.kind == "transient" else RejectedError
        raise kind(outcome.message, reason=outcome.reason, url=page.url)


class ExtractText(beam.PTransform):
    """Turn pages into drafts: PCollection[Page] -> Mapped(rows: Draft, failures: Failure).

    Bounded or unbounded; one draft or one failure for each page, with the page's timestamp and window, in any order.
    Parallelism: `workers` processes for each process of the runner, shared by its threads and kept from wave to wave.
    No state. Failures: permanent, of stage ``extract``; reasons as `extract_article` has them, and
    ``extraction_timeout``, ``extraction_memory``, ``extraction_crash``. Metrics: ``extract_in_pages``,
    ``extract_out_articles``, ``extract_article_chars``, ``extract_rejected_items``, ``extract_killed_items``,
    ``extract_bug_items``.

    Args:
        workers: processes; default: `processors`.
        deadline_seconds: wall time for one page.
        memory_bytes: address space of one worker.
        strict: raise a defect of ours instead of making it a dead letter.
        carry_over: leave pages under way to the next bundle of the process; for unbounded pipelines whose bundles come
            at intervals and which can be asked again for what is lost with the process.
        work: import path of what workers run; tests give their own.
    """

    def __init__(
        self,
        *,
        workers: Optional[int] = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        strict: bool = False,
        carry_over: bool = False,
        work: str = WORK,
    ) -> None:
        super().__init__()
        workers = processors() if workers is None else workers
        if workers < 1 or deadline_seconds <= 0 or memory_bytes < 100_000_000:
            raise ValueError(f"limits out of range: {workers=} {deadline_seconds=} {memory_bytes=}")
        self._fn = _ExtractEach(work, workers, deadline_seconds, memory_bytes, strict, carry_over)

    @no_annotations
    def expand(self, pages: beam.PCollection) -> Mapped:
        """Return the drafts and the failures."""
        outputs = pages | "extract each" >> beam.ParDo(self._fn).with_outputs("failures", main="rows")
        outputs.rows.element_type = Draft
        outputs.failures.element_type = Failure
        return Mapped(outputs.rows, outputs.failures)


def processors(quota_file: Path = CGROUP_QUOTA) -> int:
    """Return how many processors this process may use: those it may run on, or its container's share if that is less.

    Args:
        quota_file: `cpu.max` of the control group: microseconds in each period, or ``max``. Source: Linux cgroup v2.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
        share = math.ceil(int(quota) / int(period)) if quota != "max" else allowed
    except (OSError, ValueError, ZeroDivisionError):
        share = allowed
    return max(1, min(allowed, share))
