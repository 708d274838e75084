"""Where an exception on one item becomes a dead letter, for every step of the graph.

Decisions:
    A step's composite returns `Mapped(rows, failures)`; the graph flattens all failures into the commit. Beam's own
    `with_exception_handling` was measured to lose the step's name and the row types, so the step catches by itself.

    `RejectedError` and `TransientError` are expected and say their reason. Anything else is a defect of ours: it
    becomes a dead letter of reason ``bug`` with the exception's type and last line, so that a poison item cannot stop
    the worker; with `strict` (batch runs that ask for it, and tests) it is raised.
"""

import json
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Optional

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.timestamp import Duration, Timestamp

from transforms.errors import IngestError, RejectedError, TransientError, mask_url, one_line
from transforms.records import Failure, Page

NAMESPACE = "newsbeam"

RETRY_FIRST_SECONDS = 15 * 60.0  # the first wait of a transient failure; doubles up to a day
RETRY_MOST_SECONDS = 24 * 3600.0
_TEXTS, _LISTS, _TIMES = ("title", "summary", "language"), ("authors", "feed_tags"), ("published_at", "updated_at")
MOST_ATTEMPTS = 6  # about eight hours in all; then the failure is permanent


class Mapped(NamedTuple):
    """What a step makes of its input: the rows that went through, and a `Failure` for each that did not."""

    rows: Any
    failures: Any


def failure_of(item: Any, error: BaseException, *, stage: str, now: Optional[Timestamp] = None) -> Failure:
    """Return the dead letter of `item` (a Page or a Draft) that failed at `stage` with `error`."""
    now = now or Timestamp.of(time.time())
    attempt = int(item.attempt)
    transient = isinstance(error, TransientError) and attempt < MOST_ATTEMPTS
    wait = 0.0
    if isinstance(error, IngestError):
        reason, message = error.reason, error.message
        wait = max(getattr(error, "retry_after_seconds", None) or 0.0, RETRY_FIRST_SECONDS * 2 ** (attempt - 1))
    else:
        last = traceback.extract_tb(error.__traceback__)
        where = f" at {last[-1].filename.rpartition('/')[2]}:{last[-1].lineno}" if last else ""
        reason, message = "bug", f"{type(error).__name__}: {error}{where}"
    return Failure(
        entry_id=item.entry_id,
        entry_hash=item.entry_hash,
        feed_id=item.feed_id,
        url=mask_url(item.url),
        stage=stage,
        reason=reason,
        message=one_line(message),
        failed_at=now,
        permanent=not transient,
        retry_at=now + Duration(seconds=min(wait, RETRY_MOST_SECONDS)) if transient else None,
        attempt=attempt,
        replay=replay_of(item),
    )


def replay_of(item: Any) -> str:
    """Return what a second try of `item` (a Page or a Draft) needs, as JSON: its address and what its feed said of it.

    The address is masked as those of articles are, so that it stays usable but where it holds a secret by its name.
    """
    held: dict[str, Any] = {"url": mask_url(item.url, by_name_only=True)}
    held.update({name: getattr(item, name) for name in _TEXTS})
    held.update({name: list(getattr(item, name)) for name in _LISTS})
    times = {name: getattr(item, name) for name in _TIMES}
    held.update({name: at.to_rfc3339() for name, at in times.items() if at is not None})
    return json.dumps({name: value for name, value in held.items() if value}, ensure_ascii=False)


def page_to_replay(letter: Mapping[str, Any], *, attempt: int, now: Timestamp) -> Page:
    """Return the page, to be fetched, that a row of dead_letters came from.

    Args:
        letter: entry_id, entry_hash, feed_id and replay of the row.
        attempt: the number of the try.
        now: when it is tried.

    Raises:
        RejectedError: no_link (it has no http address), masked_link (its address holds a secret that the lake has not).
    """
    try:
        held = json.loads(letter["replay"] or "{}")
    except ValueError:
        held = {}
    held = held if isinstance(held, dict) else {}
    url = str(held.get("url") or "")
    if not url.lower().startswith(("http://", "https://")):
        raise RejectedError(f"entry {letter['entry_id']} has no address to fetch", reason="no_link")
    if "***" in url:
        raise RejectedError(f"{url}: the secret in this address is not in the lake", reason="masked_link", url=url)
    told: dict[str, Any] = {name: str(held[name]) for name in _TEXTS if held.get(name)}
    told.update({name: [str(each) for each in held[name]] for name in _LISTS if isinstance(held.get(name), list)})
    told.update({name: at for name in _TIMES if (at := _time(held.get(name))) is not None})
    return Page(
        entry_id=letter["entry_id"],
        entry_hash=letter["entry_hash"] or "",
        feed_id=letter["feed_id"] or "",
        url=url,
        origin="page",
        first_seen_at=now,
        attempt=attempt,
        **told,
    )


def _time(text: Any) -> Optional[Timestamp]:
    try:
        return Timestamp.from_rfc3339(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


class _TryEach(beam.DoFn):
    def __init__(self, fn: Callable[[Any], Any], stage: str, strict: bool) -> None:
        self._fn, self._stage, self._strict = fn, stage, strict
        self._rejected = Metrics.counter(NAMESPACE, f"{stage}_rejected_items")
        self._bugs = Metrics.counter(NAMESPACE, f"{stage}_bug_items")

    def process(self, item: Any) -> Iterable[Any]:
        try:
            result = self._fn(item)
        except IngestError as error:
            self._rejected.inc()
            yield beam.pvalue.TaggedOutput("failures", failure_of(item, error, stage=self._stage))
        except Exception as error:
            if self._strict:
                raise
            self._bugs.inc()
            yield beam.pvalue.TaggedOutput("failures", failure_of(item, error, stage=self._stage))
        else:
            yield result


class MapOrReject(beam.PTransform):
    """Apply `fn` to each item; one that raises becomes a `Failure` of `stage` instead.

    Bounded or unbounded; one output row or one failure for each input; no state. Metrics:
    ``<stage>_rejected_items``, ``<stage>_bug_items``.

    Args:
        fn: a function of one row; Beam infers nothing from it, so `output_type` says what it returns.
        stage: the name dead letters carry (extract, strip, fingerprint, tag).
        output_type: the row type of what `fn` returns.
        strict: raise what is neither rejected nor transient instead of making it a dead letter.
    """

    def __init__(self, fn: Callable[[Any], Any], *, stage: str, output_type: type, strict: bool = False) -> None:
        super().__init__()
        self._fn, self._stage, self._output_type, self._strict = fn, stage, output_type, strict

    @no_annotations  # Beam knows no type for a NamedTuple of collections, and says so at each use
    def expand(self, items: beam.PCollection) -> Mapped:
        """Return the mapped rows and the failures."""
        outputs = items | "try each" >> beam.ParDo(_TryEach(self._fn, self._stage, self._strict)).with_outputs(
            "failures", main="rows"
        )
        outputs.rows.element_type = self._output_type
        outputs.failures.element_type = Failure
        return Mapped(outputs.rows, outputs.failures)
