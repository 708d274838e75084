"""`newsbeam replay`: entries that failed are tried again now, permanent dead letters as well, without polling.

Decisions:
    What is to be tried is read from dead_letters: an entry whose newest try is one, since a dead letter with a later
    try is resolved (an article, a text that was known, or a newer dead letter). So a replay that is started twice, or
    beside a worker that retries, does no harm: whoever comes second finds the attempt made.

    The page is fetched by its address, with what the feed said of the entry, as politely as ever (robots.txt, budgets,
    permanent dead letters notwithstanding), and goes through the same graph. A success is a row of articles with the
    next attempt, a failure a new dead letter; one that was permanent stays so, since only a replay would retry it.

    A wave's own books: each entry that was set out must have been tried once more when the wave is committed.

Limits: entries without an address, or with a secret in it that the lake has not, cannot be tried (polling their feed
can bring them again while it lists them); nor can records of archives, whose page of today would be another one. Each
try counts towards the 24 of an entry, after which changed versions of it are not fetched.
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Optional

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from apache_beam.utils.timestamp import Timestamp

from pipelines.feed_list import feeds_from_urls
from pipelines.feed_tables import parse_interval
from pipelines.ingest import clean, new_run_id, pipeline_of
from pipelines.options import Config
from pipelines.report import summarise
from transforms.acquire import AcquireConfig, Acquirer, HostMemory, tagged
from transforms.article_url import site_of
from transforms.commit import CommitToLake
from transforms.dead_letters import page_to_replay
from transforms.discover_feeds import parse_or_suggest
from transforms.errors import LakeError, RejectedError, UsageError
from transforms.lake import Lake, open_lake
from transforms.records import Failure, Page, Poll
from transforms.schemas import DEAD_LETTERS, POLLS

ENTRIES_PER_WAVE = 500  # committed together, and lost together if the machine dies in the middle

_HOSTS = HostMemory()  # one per process: the next wave keeps its distance from the last


@dataclass(frozen=True)
class Wanted:
    """Which dead letters are meant; what is empty means all. `since` is Unix seconds."""

    reasons: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    feed_ids: tuple[str, ...] = ()
    since: Optional[float] = None


@dataclass
class Choice:
    """What is to be tried: pages, each by its reason, and how many cannot be, by why."""

    pages: list[Page] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


def add_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    """Add the flags of `newsbeam replay`."""
    parser.add_argument(
        "--reason", action="append", default=[], metavar="SLUG", help="only of this reason: http_404, ... (repeatable)"
    )
    parser.add_argument("--site", action="append", default=[], metavar="DOMAIN", help="only of this site (repeatable)")
    parser.add_argument(
        "--feed", action="append", default=[], metavar="URL|ID", help="only of this feed, by address or feed_id"
    )
    parser.add_argument("--since", metavar="DAY|TIME", help="only what failed since: 2026-01-31 (UTC), or 12h, 7d ago")
    parser.add_argument("--dry-run", action="store_true", help="say how many would be tried, and try none")
    options.add_common_flags(parser)
    options.add_http_flags(parser)
    options.add_run_flags(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Run `newsbeam replay`."""
    from pipelines import cli
    from pipelines.options import read_config

    config = read_config(args, version=cli.version())
    started = time.time()
    wanted = read_wanted(args, now=started)
    lake = open_lake(config.lake, create=False)
    choice = choose(lake, wanted, Timestamp.of(started))
    if args.dry_run:
        print(json.dumps(_as_json(choice)) if args.json else "\n".join(_lines(choice, "would be tried")))
        return 0
    run_id = new_run_id()
    cli._finish_commit_on_signal(lake)
    replay(config, choice.pages, run_id=run_id, progress=cli._say)
    summary = summarise(lake, run_id, feeds=0, started=started)
    if args.json:
        print(json.dumps(_as_json(choice) | summary.as_json(), ensure_ascii=False))
    else:
        # The summary begins with what was polled, which here is nothing.
        lines = [line for line in summary.lines() if not line.startswith(("polled ", "entries "))]
        print("\n".join([*_lines(choice, "tried"), *lines]))
    return 0


def read_wanted(args: argparse.Namespace, *, now: float) -> Wanted:
    """Return what the flags mean.

    Raises:
        UsageError: a feed that is neither address nor id, a site that is none, or a time that cannot be read.
    """
    feed_ids = []
    for name in args.feed:
        if re.fullmatch(r"[0-9a-f]{16}", name):
            feed_ids.append(name)
        else:
            feed_ids += [feed.feed_id for feed in feeds_from_urls([name], "--feed")]
    return Wanted(tuple(args.reason), sites_named(args.site), tuple(feed_ids), since_named(args.since, now))


def sites_named(names: Sequence[str]) -> tuple[str, ...]:
    """Return the registrable domains that values of ``--site`` mean.

    Raises:
        UsageError: one is no domain.
    """
    sites = []
    for name in names:
        site = site_of(f"https://{name}/") if "/" not in name else ""
        if not site:
            raise UsageError(f"--site {name!r} is no domain; write it as example.org")
        sites.append(site)
    return tuple(sites)


def since_named(text: Optional[str], now: float) -> Optional[float]:
    """Return the Unix seconds that the value of ``--since`` means; None where there is none.

    Raises:
        UsageError: it is neither a day nor a time.
    """
    if text is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).timestamp()
    except ValueError:
        pass
    try:
        return now - parse_interval(text)
    except ValueError:
        raise UsageError(f"--since {text!r} is neither a day such as 2026-01-31 nor a time such as 12h or 7d") from None


# ---- what is to be tried ------------------------------------------------------------------------------------------


def choose(lake: Lake, wanted: Wanted, now: Timestamp) -> Choice:
    """Return what of the lake's dead letters is to be tried again."""
    keep = ds.field("disposition") == "dead_lettered"
    if wanted.reasons:
        keep = keep & ds.field("reason").isin(list(wanted.reasons))
    if wanted.feed_ids:
        keep = keep & ds.field("feed_id").isin(list(wanted.feed_ids))
    days = None
    if wanted.since is not None:
        since = datetime.fromtimestamp(wanted.since, UTC)
        keep = keep & (ds.field("failed_at") >= since)
        days = (since.date().isoformat(), "9999-12-31")
    columns = ["entry_id", "entry_hash", "feed_id", "url", "reason", "attempt", "failed_at", "replay"]
    rows = lake.read(DEAD_LETTERS, columns, keep=keep, days=days)
    lake.refresh()
    # Most dead letters of an old lake are resolved: their entries were tried again since.
    made = pa.array(lake.attempts_made(rows["entry_id"].to_pylist()), pa.int64())
    letters = rows.filter(pc.greater_equal(rows["attempt"].cast(pa.int64()), made)).to_pylist()
    archives = lake.read(POLLS, ["feed_id"], keep=ds.field("format").isin(["warc", "jsonl"]))
    return choice_of(letters, set(archives["feed_id"].to_pylist()), sites=wanted.sites, now=now)


def choice_of(
    letters: Sequence[Mapping[str, Any]], archives: set[str], *, sites: Sequence[str], now: Timestamp
) -> Choice:
    """Return what of `letters` is to be tried, and what cannot be.

    Args:
        letters: rows of dead_letters: failures that are their entry's newest try.
        archives: feed_ids that are archives.
        sites: registrable domains; empty for all.
        now: when they are tried.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for letter in letters:
        held = newest.get(letter["entry_id"])  # two versions of an entry may have failed in the same try
        if held is None or held["failed_at"] < letter["failed_at"]:
            newest[letter["entry_id"]] = letter
    choice = Choice()
    for letter in newest.values():
        if sites and site_of(letter["url"] or "") not in sites:
            continue
        if letter["feed_id"] in archives:
            choice.skipped["of_an_archive"] += 1
            continue
        try:
            choice.pages.append(page_to_replay(letter, attempt=letter["attempt"] + 1, now=now))
            choice.reasons[letter["reason"]] += 1
        except RejectedError as error:
            choice.skipped[error.reason] += 1
    return choice


def _lines(choice: Choice, verb: str) -> Sequence[str]:
    count = len(choice.pages)
    lines = [f"{count:,} {'entry' if count == 1 else 'entries'} {verb}{_in_brackets(choice.reasons)}"]
    if choice.skipped:
        lines.append(f"{sum(choice.skipped.values()):,} cannot be tried{_in_brackets(choice.skipped)}")
    return lines


def _in_brackets(counts: Counter[str]) -> str:
    most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return f" ({', '.join(f'{count} {name}' for name, count in most_first)})" if counts else ""


def _as_json(choice: Choice) -> dict[str, Any]:
    return {"tried": len(choice.pages), "reasons": dict(choice.reasons), "skipped": dict(choice.skipped)}


# ---- trying it ----------------------------------------------------------------------------------------------------


def replay(
    config: Config, pages: Sequence[Page], *, run_id: str, progress: Callable[[str], None] = lambda line: None
) -> None:
    """Fetch `pages` and commit what comes of them, in waves.

    Args:
        config: the settings.
        pages: see `choose`.
        run_id: goes into each row.
        progress: is called with a line at the start of each wave but a first and only one.

    Raises:
        LakeError: the lake cannot be used, or an entry was lost on the way. Waves before stay committed.
    """
    waves = [pages[start : start + ENTRIES_PER_WAVE] for start in range(0, len(pages), ENTRIES_PER_WAVE)]
    for number, wave in enumerate(waves, 1):
        if len(waves) > 1:
            progress(f"wave {number} of {len(waves)}: {len(wave)} entries")
        with pipeline_of(config) as pipeline:
            build(pipeline, wave, config, run_id)
        _require_tried(open_lake(config.lake), wave, run_id)


def build(pipeline: beam.Pipeline, wave: Sequence[Page], config: Config, run_id: str) -> None:
    """Build the graph of one wave: fetch, then as for pages of feeds that were polled."""
    fetched = (
        pipeline
        | "entries" >> beam.Create([list(wave)])
        | "fetch again" >> beam.ParDo(_FetchAgain(config)).with_outputs("failures", "polls", main="pages")
    )
    fetched.pages.element_type, fetched.failures.element_type, fetched.polls.element_type = Page, Failure, Poll
    items = clean(fetched.pages, fetched.failures, fetched.polls, config)
    _ = items | "commit" >> CommitToLake(lake_uri=config.lake, run_id=run_id, is_replay=True)


class _FetchAgain(beam.DoFn):
    def __init__(self, config: Config) -> None:
        self._lake_uri = config.lake
        self._acquire: AcquireConfig = config.acquire

    def process(self, pages: Sequence[Page]) -> Iterable[Any]:
        acquirer = Acquirer(self._acquire, memory=open_lake(self._lake_uri), parse=parse_or_suggest, hosts=_HOSTS)
        try:
            acquirer.start_pages(pages)
            yield from map(tagged, acquirer.harvest_all())
        finally:
            acquirer.close()


def _require_tried(lake: Lake, wave: Sequence[Page], run_id: str) -> None:
    made = lake.attempts_made([page.entry_id for page in wave])
    lost = [page.entry_id for page, attempts in zip(wave, made, strict=True) if attempts < page.attempt]
    if lost:
        raise LakeError(
            f"the books of run {run_id} do not balance: {len(lost)} of {len(wave)} entries never came to the commit, "
            f"the first is {lost[0]}; run again: they are tried anew",
            reason="unbalanced_books",
        )
