"""Scheduled batch runs: feeds in, clean rows in the lake. The graph is `build`, on one screen.

Decisions:
    A run goes in waves of feeds, one bounded pipeline each: all fetches of a pipeline end before its commit, so a
    crash loses at most the wave under way, and the next run polls those feeds again.

    HTML never crosses a shuffle: acquire, extract, strip, fingerprint and tag are fused; only clean rows travel to
    the one key under which the commit decides.

    FnApiRunner is named: `DirectRunner` may change engines silently (it is accepted, and tested once end to end).
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.options import Config
from transforms.acquire import Acquire
from transforms.check_books import check_books
from transforms.commit import CommitToLake, waiting_polls
from transforms.discover_feeds import parse_or_suggest
from transforms.errors import LakeError
from transforms.extract_text import ExtractText
from transforms.fingerprint import FingerprintArticles
from transforms.lake import open_lake
from transforms.records import CommitItem, Draft, Failure, FeedSpec, Poll, Wave
from transforms.site_lines import OpenSiteLines
from transforms.strip_cruft import StripCruft
from transforms.tag_topics import TagTopics


def build(pipeline: beam.Pipeline, wave: Wave, config: Config, run_id: str) -> None:
    """Build the graph of one wave: poll, fetch, extract, strip, fingerprint, tag, commit."""
    acquired = (
        pipeline
        | "wave" >> beam.Create([wave])
        | "acquire"
        >> Acquire(
            lake_uri=config.lake, config=config.acquire, parse=parse_or_suggest, respect_schedule=config.only_due
        )
    )
    items = clean(acquired.pages, acquired.failures, acquired.polls, config)
    _ = items | "commit" >> CommitToLake(lake_uri=config.lake, run_id=run_id)


def clean(pages: Any, failures: Any, polls: Any, config: Config, *, is_stream: bool = False) -> Any:
    """Build the rest of the graph, which archives and streams share: from pages to what is committed."""
    extracted = pages | "extract text" >> ExtractText(
        workers=config.workers, strict=config.strict, carry_over=is_stream
    )
    stripped = extracted.rows | "strip cruft" >> StripCruft(
        strict=config.strict, keep=config.keep_kinds, open_site_lines=OpenSiteLines(config.lake)
    )
    fingerprinted = stripped.rows | "fingerprint" >> FingerprintArticles(strict=config.strict)
    tagged = fingerprinted.rows | "tag topics" >> TagTopics(strict=config.strict)
    all_failures = (
        failures,
        extracted.failures,
        stripped.failures,
        fingerprinted.failures,
        tagged.failures,
    ) | "all failures" >> beam.Flatten()
    return (
        tagged.rows | "articles" >> beam.Map(_of_draft),
        all_failures | "dead letters" >> beam.Map(_of_failure),
        polls | "polls" >> beam.Map(_of_poll),
    ) | "items" >> beam.Flatten()


def _of_draft(draft: Draft) -> CommitItem:
    return CommitItem(draft=draft)


def _of_failure(failure: Failure) -> CommitItem:
    return CommitItem(failure=failure)


def _of_poll(poll: Poll) -> CommitItem:
    return CommitItem(poll=poll)


def new_run_id() -> str:
    """Return an id for a run: its start in UTC and something that no other run has."""
    return f"{datetime.fromtimestamp(time.time(), UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def pipeline_of(config: Config) -> beam.Pipeline:
    """Return an empty pipeline on the engine that `config` names; nothing is read from the command line."""
    return beam.Pipeline(runner=config.runner, options=PipelineOptions([]))


def ingest(config: Config, *, run_id: str, progress: Callable[[str], None] = lambda line: None) -> None:
    """Poll `config.feeds` once, in waves, and commit what is new.

    Args:
        config: the settings; `config.lake` is made where it does not exist.
        run_id: goes into each row (see `new_run_id`).
        progress: is called with a line at the start of each wave but a first and only one.

    Raises:
        LakeError: the lake cannot be used, or the books of this run do not balance. Waves before stay committed.
    """
    open_lake(config.lake)
    since_day = today()
    waves = list(_waves(config.feeds, config.feeds_per_wave))
    for number, feeds in enumerate(waves, 1):
        if len(waves) > 1:
            progress(f"wave {number} of {len(waves)}: {len(feeds)} feeds")
        with pipeline_of(config) as pipeline:
            build(pipeline, Wave(feeds), config, run_id)
        require_balanced_books(config.lake, run_id, since_day)


def today() -> str:
    """Return the UTC day (ISO): rows that are committed from now on are in its partition or a later one."""
    return datetime.fromtimestamp(time.time(), UTC).date().isoformat()


def require_balanced_books(lake_uri: str, run_id: str, since_day: str) -> None:
    """Raise LakeError when an entry of this run's polls has no disposition: something was lost on the way."""
    lake = open_lake(lake_uri)
    lines = [
        f"poll of {poll.url}: {len(poll.new_entry_ids)} new entries, some of which never came to the commit"
        for poll in waiting_polls(lake)
    ]
    lines += check_books(lake, run_id=run_id, since_day=since_day)
    if lines:
        raise LakeError(
            f"the books of run {run_id} do not balance: {lines[0]}"
            + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")
            + "; run again: entries without a disposition are polled anew",
            reason="unbalanced_books",
        )


def _waves(feeds: Sequence[FeedSpec], feeds_per_wave: int) -> Iterator[Sequence[FeedSpec]]:
    for start in range(0, len(feeds), feeds_per_wave):
        yield feeds[start : start + feeds_per_wave]
