"""Archived pages (WARC, JSONL) through the same graph, without polling.

Decisions:
    A stretch of an archive is one bounded pipeline, as a wave of feeds is, and leaves one row in polls with its books:
    reading the same archive again finds its entries known and goes on where a killed run stopped.

    The pages of a stretch wait in this process and the pipeline is given their number, so that HTML crosses no
    shuffle; an engine that runs the step elsewhere reads the archive again up to that stretch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from pipelines.archives import ArchiveWave, archive_id, waves
from pipelines.ingest import clean, pipeline_of, require_balanced_books, today
from pipelines.options import Config
from transforms.commit import CommitToLake
from transforms.errors import UsageError
from transforms.lake import Lake, open_lake
from transforms.records import Failure, Page, Poll

_waiting: dict[tuple[str, int], ArchiveWave] = {}


def backfill(
    config: Config,
    archives: Sequence[Path],
    *,
    run_id: str,
    progress: Callable[[str], None] = lambda line: None,
) -> None:
    """Commit the pages of `archives` that the lake does not have.

    Args:
        config: the settings; `config.lake` is made where it does not exist.
        archives: files, read one after the other.
        run_id: goes into each row.
        progress: is called with a line at the start of each stretch but a first and only one.

    Raises:
        UsageError: a file cannot be read or is no archive. Files are checked before any work begins.
        LakeError: the lake cannot be used, or the books do not balance. Stretches before stay committed.
    """
    for path in archives:
        archive_id(path)
        if path.stat().st_size == 0:
            raise UsageError(f"{path} is empty; give a WARC or JSONL file")
    open_lake(config.lake)
    since_day = today()
    for path in archives:
        for wave in waves(path, pages_per_wave=config.pages_per_wave):
            if wave.number or len(archives) > 1:
                progress(
                    f"{path.name}: stretch {wave.number + 1}, {wave.entries} entries from record {wave.first_record}"
                )
            _waiting[str(path), wave.number] = wave
            try:
                with pipeline_of(config) as pipeline:
                    build(pipeline, path, wave.number, config, run_id)
            finally:
                _waiting.pop((str(path), wave.number), None)
            require_balanced_books(config.lake, run_id, since_day)


def build(pipeline: beam.Pipeline, path: Path, number: int, config: Config, run_id: str) -> None:
    """Build the graph of one stretch: read, then as for pages from the web."""
    read = (
        pipeline
        | "stretch" >> beam.Create([(str(path), number)])
        | "read archive"
        >> beam.ParDo(_ReadStretch(config.lake, config.pages_per_wave)).with_outputs("failures", "polls", main="pages")
    )
    read.pages.element_type, read.failures.element_type, read.polls.element_type = Page, Failure, Poll
    items = clean(read.pages, read.failures, read.polls, config)
    _ = items | "commit" >> CommitToLake(lake_uri=config.lake, run_id=run_id)


def new_entries(lake: Lake, wave: ArchiveWave, now: Timestamp) -> tuple[list[Page], list[Failure]]:
    """Return the pages and failures of `wave` whose entries the lake does not know, with the number of the attempt."""
    pages = zip(wave.pages, lake.entry_attempts([(p.entry_id, p.entry_hash) for p in wave.pages], now), strict=True)
    failures = zip(
        wave.failures, lake.entry_attempts([(f.entry_id, f.entry_hash) for f in wave.failures], now), strict=True
    )
    return (
        [replace(page, attempt=attempt) for page, attempt in pages if attempt],
        [replace(failure, attempt=attempt) for failure, attempt in failures if attempt],
    )


def poll_of(path: Path, wave: ArchiveWave, new: Sequence[Any], now: Timestamp) -> Poll:
    """Return the poll row of a stretch; `new` are its new pages and failures."""
    kind = "warc" if ".warc" in path.name.lower() else "jsonl"
    return Poll(
        feed_id=archive_id(path),
        url=path.name,
        polled_at=now,
        status="ok",
        format=kind,
        bytes_received=sum(len(page.html or b"") + len(page.text or "") for page in wave.pages),
        entries=wave.entries,
        known=wave.entries - len(new),
        new=len(new),
        new_entry_ids=[item.entry_id for item in new],
        new_entry_hashes=[item.entry_hash for item in new],
    )


class _ReadStretch(beam.DoFn):
    def __init__(self, lake_uri: str, pages_per_wave: int) -> None:
        self._lake_uri, self._pages_per_wave = lake_uri, pages_per_wave

    def process(self, element: tuple[str, int]) -> Iterable[Any]:
        name, number = element
        wave: Optional[ArchiveWave] = _waiting.get((name, number))
        if wave is None:
            wave = next(w for w in waves(Path(name), pages_per_wave=self._pages_per_wave) if w.number == number)
        now = Timestamp.now()
        pages, failures = new_entries(open_lake(self._lake_uri), wave, now)
        yield from pages
        for failure in failures:
            yield beam.pvalue.TaggedOutput("failures", failure)
        yield beam.pvalue.TaggedOutput("polls", poll_of(Path(name), wave, [*pages, *failures], now))
