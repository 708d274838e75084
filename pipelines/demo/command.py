"""`newsbeam demo`: the real pipeline, twice, on the embedded newsroom; then what happened and what to try next.

With ``--stream`` the streaming worker runs on the newsroom instead, until it is stopped.
"""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.demo.newsroom import Newsroom
from pipelines.ingest import ingest, new_run_id
from pipelines.options import Config, StreamConfig, user_agent_of
from pipelines.report import RunSummary, summarise
from transforms.acquire import AcquireConfig
from transforms.errors import UsageError
from transforms.http import parse_allow_host
from transforms.lake import Lake, open_lake
from transforms.records import FeedSpec, feed_id_of
from transforms.schemas import ARTICLES

STREAM_TICK_SECONDS = 2.0


def add_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    """Add the flags of `newsbeam demo`."""
    parser.add_argument("--lake", metavar="DIR", help="where to write (default: a new temporary folder)")
    parser.add_argument(
        "--workers", type=options.positive, metavar="N", help="extraction processes (default: one a core)"
    )
    parser.add_argument("--json", action="store_true", help="print both summaries as JSON")
    parser.add_argument("--stream", action="store_true", help="run the streaming worker on it (on Prism) until Ctrl-C")
    parser.add_argument("--prism", metavar="FILE", help="with --stream: the Prism program")
    parser.add_argument(
        "--status-address",
        default=options.StreamConfig().status_address,
        metavar="HOST:PORT",
        help="with --stream: where /healthz and /metrics are (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run `newsbeam demo`."""
    from pipelines.cli import version

    folder = Path(args.lake) if args.lake else Path(tempfile.mkdtemp(prefix="newsbeam-demo-")) / "lake"
    if args.lake and folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; the demo wants a new lake (give another folder, or remove it)")
    with Newsroom() as room:
        config = config_for(room, str(folder), user_agent=user_agent_of(version(), "the sample newsroom"))
        config = replace(config, workers=args.workers)
        if args.stream:
            return _stream(config, args, folder)
        if not args.json:
            sites = len({article.site for article in room.articles})
            print(f"The sample newsroom: {sites} sites, {len(config.feeds)} feeds, on this machine's loopback.\n")
        first = _round(config, room, args, "Round 1: an empty lake")
        room.advance()
        second = _round(config, room, args, "Round 2: half of the feeds say 304, the others come with new validators")
    if args.json:
        print(json.dumps([first.as_json(), second.as_json()], ensure_ascii=False))
    else:
        print("\n".join(_what_next(open_lake(str(folder)), folder)))
    if second.written:
        print(f"newsbeam: the second round wrote {second.written} articles; it should write none", file=sys.stderr)
        return 1
    return 0


def _stream(config: Config, args: argparse.Namespace, folder: Path) -> int:
    from pipelines.stream import stream

    acquire = replace(config.acquire, shortest_interval_seconds=1.0, longest_interval_seconds=STREAM_TICK_SECONDS)
    config = replace(config, acquire=acquire)
    settings = StreamConfig(tick_seconds=STREAM_TICK_SECONDS, status_address=args.status_address, prism=args.prism)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    say("The sample newsroom, as a stream. Ctrl-C drains it. Meanwhile, in another terminal:")
    say(f"  curl http://{args.status_address}/healthz")
    say(f"  curl -s http://{args.status_address}/metrics | grep newsbeam_entries")
    stream(config, settings, Feeds(config.feeds), run_id=new_run_id(), say=say)
    print("\n".join(_what_next(open_lake(str(folder)), folder)))
    return 0


class Feeds:
    """The feeds of a stream that has no list to read again; picklable."""

    def __init__(self, feeds: Sequence[FeedSpec]) -> None:
        self._feeds = feeds

    def __call__(self) -> Sequence[FeedSpec]:
        """Return the feeds."""
        return self._feeds


def config_for(room: Newsroom, lake: str, *, user_agent: str) -> Config:
    """Return settings that poll `room`: its names pinned to loopback, and no waiting between requests."""
    return Config(
        lake=lake,
        feeds=tuple(
            FeedSpec(feed_id_of(feed.url), feed.url, title=feed.title, language=feed.language) for feed in room.feeds
        ),
        acquire=AcquireConfig(
            user_agent=user_agent,
            allow_hosts=tuple(parse_allow_host(f"{host}=127.0.0.1/32") for host in room.hosts),
            spacing_seconds=0.0,
        ),
    )


def _round(config: Config, room: Newsroom, args: argparse.Namespace, title: str) -> RunSummary:
    run_id, started = new_run_id(), time.time()
    ingest(config, run_id=run_id)
    summary = summarise(open_lake(config.lake), run_id, feeds=len(config.feeds), started=started)
    if not args.json:
        print(title)
        print("\n".join(f"  {line}" for line in summary.lines()))
        print(flush=True)
    return summary


def _what_next(lake: Lake, folder: Path) -> Iterator[str]:
    columns = ["article_id", "duplicate_of"]
    copied = [row["duplicate_of"] for row in lake.read(ARTICLES, columns).to_pylist() if row["duplicate_of"]]
    shown = max(set(copied), key=lambda i: (copied.count(i), i)) if copied else "ARTICLE"
    python = shlex.quote(sys.executable)
    program = "newsbeam" if shutil.which("newsbeam") else shlex.quote(str(Path(sys.executable).parent / "newsbeam"))
    query = "select site, count(*) as articles, count(duplicate_of) as copies from articles group by site"
    code = (
        "from deltalake import DeltaTable as T, QueryBuilder as Q; "
        f"Q().register('articles', T({str(folder / 'articles')!r})).execute('{query}').show()"
    )
    yield "Try next:"
    yield f"  {program} show {shown} --lake {shlex.quote(str(folder))}"
    yield f"  {python} -c {shlex.quote(code)}"
    yield f"  {program} init"
