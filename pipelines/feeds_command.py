"""`newsbeam feeds`: what can be done with a list of feeds without polling any: `check` its health, `export` it.

Decisions:
    `check` polls nothing: it says what the lake knows, so that it can be asked at any time, beside a worker that runs.
    Without a list it takes the feeds that the lake has polls of.

    `export` leaves out a feed whose address holds a secret, and says so: a masked address would be a feed that nobody
    has. Secrets of headers are named in a list, not written, so they need no such care.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, Optional

from apache_beam.utils.timestamp import Timestamp

from pipelines import discover_command
from pipelines.feed_health import TROUBLES, FeedHealth, feeds_of_lake, read_health, worst_first
from pipelines.feed_list import to_opml, to_plain, to_toml
from pipelines.feed_tables import show_interval
from transforms.errors import UsageError, mask_url
from transforms.lake import open_lake
from transforms.records import FeedSpec


class _Action(NamedTuple):
    summary: str
    add_flags: Callable[[argparse.ArgumentParser, Any], None]
    run: Callable[[argparse.Namespace], int]


def add_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    """Add the actions of `newsbeam feeds` and their flags."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, action in _ACTIONS.items():
        described = f"{action.summary[0].upper()}{action.summary[1:]}."
        its = actions.add_parser(name, help=action.summary, description=described)
        action.add_flags(its, options)
        its.set_defaults(run_action=action.run)


def run(args: argparse.Namespace) -> int:
    """Run `newsbeam feeds`."""
    action: Callable[[argparse.Namespace], int] = args.run_action
    return action(args)


# ---- check --------------------------------------------------------------------------------------------------------


def _check_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    parser.add_argument("--feeds", action="append", metavar="FILE", help="a list of feeds (default: the settings')")
    options.add_common_flags(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="for people or machines (text)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument(
        "--fail-on",
        choices=("never", *TROUBLES),
        default="never",
        help="exit with 1 when a feed has this trouble or a worse one (worst first: gone; default: never)",
    )


def _check(args: argparse.Namespace) -> int:
    from pipelines.cli import version
    from pipelines.options import read_config, read_feeds, read_settings

    data = read_settings(args)
    lake = open_lake(read_config(args, version=version(), data=data).lake, create=False)
    now = Timestamp.of(time.time())
    found = worst_first(read_health(lake, read_feeds(args, data) or feeds_of_lake(lake), now))
    if args.format == "json":
        print(json.dumps([as_json(feed) for feed in found], ensure_ascii=False, indent=2))
    else:
        print("\n".join(table(found, now)))
    return int(fails(found, args.fail_on))


def fails(found: Sequence[FeedHealth], worst_allowed: str) -> bool:
    """Return whether some feed has the trouble named, or a worse one; "never" allows all."""
    if worst_allowed == "never":
        return False
    bad = TROUBLES[: TROUBLES.index(worst_allowed) + 1]
    return any(feed.trouble in bad for feed in found)


def as_json(feed: FeedHealth) -> dict[str, Any]:
    """Return `feed` as plain data, times as ISO 8601."""
    held = {f.name: getattr(feed, f.name) for f in fields(feed)}
    return {name: value.to_rfc3339() if isinstance(value, Timestamp) else value for name, value in held.items()}


def table(found: Sequence[FeedHealth], now: Timestamp) -> Iterator[str]:
    """Yield the lines of a table for a person, and how many feeds have which trouble."""
    head = ("state", "last success", "interval", "new/day", "validators", "errors", "feed")
    rows = [
        (
            feed.trouble,
            _ago(feed.last_success_at, now),
            _about(feed.interval_seconds),
            "-" if feed.new_per_day is None else f"{feed.new_per_day:.1f}",
            feed.validators or "-",
            str(feed.failures_in_a_row or "-"),
            f"{feed.url}{_remark(feed, now)}",
        )
        for feed in found
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    for row in (head, *rows):
        yield "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]])
    counts = Counter(feed.trouble for feed in found)
    yield f"{len(found)} feeds: " + (", ".join(f"{count} {name}" for name, count in counts.items()) or "none")


def _remark(feed: FeedHealth, now: Timestamp) -> str:
    """Return what there is to say, or to do, about a feed."""
    said = []
    if feed.trouble in ("gone", "failing"):
        message = (feed.message or "").removeprefix(f"{feed.url}: ")
        said.append(f"{feed.reason}: {message}" if message else str(feed.reason))
    if feed.trouble == "silent":
        said.append(
            "no news in three months" if feed.last_news_at is None else f"last news {_ago(feed.last_news_at, now)}"
        )
    if feed.suggested_url:
        said.append(f"has moved; list {feed.suggested_url} instead")
    return f"  ({'; '.join(said)})" if said else ""


def _ago(at: Optional[Timestamp], now: Timestamp) -> str:
    return "never" if at is None else f"{_about((now.micros - at.micros) / 1e6)} ago"


def _about(seconds: Optional[float]) -> str:
    """Return a length of time in its largest unit, rounded."""
    if seconds is None:
        return "-"
    unit = next((unit for unit in (86_400, 3_600, 60) if seconds >= unit), 1)
    return show_interval(max(round(seconds / unit), 0) * unit or 0)


# ---- export -------------------------------------------------------------------------------------------------------


def _export_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    parser.add_argument("--feeds", action="append", metavar="FILE", help="a list of feeds (default: the settings')")
    parser.add_argument("--config", metavar="FILE", help=f"settings file (default: {options.CONFIG_NAME}, if any)")
    parser.add_argument("--format", choices=tuple(_WRITERS), default="opml", help="what to write (default: opml)")
    parser.add_argument("--secrets", action="store_true", help="also feeds whose address holds a token or password")


def _export(args: argparse.Namespace) -> int:
    from pipelines.options import CONFIG_NAME, read_feeds

    feeds = read_feeds(args)
    if not feeds:
        raise UsageError(f"no feeds: give --feeds FILE, or list them in {args.config or CONFIG_NAME}")
    listed = [feed for feed in feeds if args.secrets or mask_url(feed.url) == feed.url]
    if len(listed) < len(feeds):
        _say(f"left out {len(feeds) - len(listed)} feeds whose address seems to hold a secret; --secrets takes them in")
    if args.format != "toml" and any(has_more_than_opml(feed) for feed in listed):
        _say(f"headers and intervals cannot be said in {args.format}; --format toml has them")
    sys.stdout.write(_WRITERS[args.format](listed))
    return 0


def has_more_than_opml(feed: FeedSpec) -> bool:
    """Return whether `feed` has what only TOML can say."""
    return bool(feed.headers) or feed.min_interval_seconds is not None or feed.max_interval_seconds is not None


def _say(line: str) -> None:
    print(f"newsbeam: {line}", file=sys.stderr)


_WRITERS: dict[str, Callable[[Sequence[FeedSpec]], str]] = {
    "opml": lambda feeds: to_opml(feeds).decode("utf-8"),
    "toml": to_toml,
    "text": to_plain,
}

_ACTIONS = {
    "discover": _Action("find the feeds and sitemaps of a site", discover_command.add_flags, discover_command.run),
    "check": _Action("say how the feeds of a list stand, by what the lake knows; polls nothing", _check_flags, _check),
    "export": _Action("write the list of feeds as OPML, TOML or text, without its secrets", _export_flags, _export),
}
