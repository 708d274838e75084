"""Settings: the only file that sees the command line, the environment and TOML; what it returns is frozen.

Decisions:
    A setting exists when a reasonable person would miss it. The file holds what belongs to an installation (lake,
    contact, feeds), flags override it for one run, and nothing is read from the environment so far.
"""

import argparse
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from pipelines.feed_list import feeds_from_urls, read_feed_list
from transforms.acquire import AcquireConfig
from transforms.errors import UsageError, one_line
from transforms.http import parse_allow_host
from transforms.records import FeedSpec

CONFIG_NAME = "newsbeam.toml"
FEEDS_PER_WAVE = 200
NEW_PER_POLL = 300  # at a second a page this takes five minutes; a longer first poll goes on in the next run
PAGES_PER_WAVE = 2_000  # archived pages: about 20 MB of rows, and what a crash can lose

TEMPLATE = """\
# newsbeam.toml: what `newsbeam ingest` reads when it is started in this folder.
# Flags win over this file; `newsbeam ingest --help` lists them.

# Where the rows go: a folder, made at the first run. Relative to this file.
lake = "lake"

# Who is polling: publishers see it in the User-Agent. A page or a mail address.
contact = "mailto:you@example.org"

# Lists of feeds beside the tables below: OPML, or one address a line. Relative to this file.
# feed_lists = ["feeds.opml", "more.txt"]

# Feeds polled together, and lost together if the machine dies in the middle.
# feeds_per_wave = 200

[http]
# Seconds between two requests to one registrable domain, and how many may be under way.
# spacing_seconds = 1.0
# requests_per_domain = 2
# Seconds a whole request may take, redirects and body included.
# timeout_seconds = 30
# Addresses inside your network that may be fetched: NAME=CIDR, or an address.
# allow_hosts = ["intranet.example=10.1.2.0/24"]

# One table a feed. Only `url` is needed.
[[feeds]]
url = "https://example.org/feed.xml"
# title = "Example"
# language = "en"
# tags = ["local"]
"""

_KNOWN = {
    "": {"lake", "contact", "feed_lists", "feeds_per_wave", "http", "feeds", "workers"},
    "http": {"spacing_seconds", "requests_per_domain", "timeout_seconds", "allow_hosts", "max_body_bytes"},
    "feeds": {"url", "title", "language", "tags"},
}


@dataclass(frozen=True)
class Config:
    """Everything a run needs to know; see `newsbeam ingest --help` for the meaning of each."""

    lake: str = "lake"
    feeds: tuple[FeedSpec, ...] = ()
    acquire: AcquireConfig = field(default_factory=lambda: AcquireConfig(user_agent="newsbeam"))
    feeds_per_wave: int = FEEDS_PER_WAVE
    pages_per_wave: int = PAGES_PER_WAVE
    workers: Optional[int] = None
    runner: str = "FnApiRunner"
    only_due: bool = False
    strict: bool = False


def user_agent_of(version: str, contact: Optional[str]) -> str:
    """Return the User-Agent: product, version and, where there is one, whom to write to."""
    return f"newsbeam/{version}" + (f" (+{one_line(contact, limit=120)})" if contact else "")


def add_common_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every command which reads settings has."""
    parser.add_argument(
        "--config", metavar="FILE", help=f"settings file (default: {CONFIG_NAME} in this folder, if any)"
    )
    parser.add_argument("--lake", metavar="DIR", help="where the lake is (default: the file's, else ./lake)")


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of commands that run the graph."""
    parser.add_argument("--workers", type=positive, metavar="N", help="extraction processes (default: one a core)")
    parser.add_argument(
        "--runner",
        default="FnApiRunner",
        choices=("FnApiRunner", "DirectRunner"),
        help="Beam engine of this bounded run (default: FnApiRunner)",
    )
    parser.add_argument("--strict", action="store_true", help="stop at an unexpected error instead of recording it")


def add_http_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of commands that fetch."""
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME=CIDR",
        help="allow a host inside your network; a single address pins the name to it (repeatable)",
    )
    parser.add_argument("--contact", metavar="ADDRESS", help="page or mail address for the User-Agent")
    parser.add_argument("--spacing-seconds", type=seconds, metavar="S", help="between two requests to one domain")
    parser.add_argument("--timeout-seconds", type=seconds, metavar="S", help="for a whole request")


def read_config(args: argparse.Namespace, *, version: str, needs_feeds: bool = False) -> Config:
    """Return the settings that the file and the flags in `args` make.

    Raises:
        UsageError: a file cannot be read, a key is unknown or has a wrong type, or no feed is given where needed.
    """
    named = getattr(args, "config", None)
    path = Path(named or CONFIG_NAME)
    data: Mapping[str, Any] = {}
    if named or path.exists():
        data = _read_toml(path)
    folder = path.parent
    http = data.get("http", {})
    allow = [*http.get("allow_hosts", []), *getattr(args, "allow_host", [])]
    contact = getattr(args, "contact", None) or data.get("contact")
    acquire = AcquireConfig(
        user_agent=user_agent_of(version, contact),
        allow_hosts=tuple(parse_allow_host(text) for text in allow),
        max_new_per_poll=NEW_PER_POLL,
    )
    changes: dict[str, Any] = {}
    for name, setting, flag in (
        ("spacing_seconds", "spacing_seconds", "spacing_seconds"),
        ("requests_per_domain", "max_requests_per_site", None),
        ("timeout_seconds", "total_timeout_seconds", "timeout_seconds"),
        ("max_body_bytes", "max_body_bytes", None),
    ):
        given = getattr(args, flag, None) if flag else None
        value = given if given is not None else http.get(name)
        if value is not None:
            changes[setting] = value
    lake = getattr(args, "lake", None) or (str(folder / data["lake"]) if "lake" in data else "lake")
    config = Config(
        lake=lake,
        acquire=replace(acquire, **changes),
        feeds_per_wave=getattr(args, "feeds_per_wave", None) or data.get("feeds_per_wave", FEEDS_PER_WAVE),
        pages_per_wave=getattr(args, "pages_per_wave", None) or PAGES_PER_WAVE,
        workers=getattr(args, "workers", None) or data.get("workers"),
        runner=getattr(args, "runner", "FnApiRunner"),
        only_due=getattr(args, "only_due", False),
        strict=getattr(args, "strict", False),
    )
    if needs_feeds:
        config = replace(config, feeds=_feeds(args, data, path))
    return config


def _feeds(args: argparse.Namespace, data: Mapping[str, Any], path: Path) -> tuple[FeedSpec, ...]:
    """Return the feeds of arguments and lists when there are any, else of the settings file."""
    feeds: list[FeedSpec] = []
    for name in args.feeds or []:
        feeds.extend(read_feed_list(Path(name)))
    feeds.extend(feeds_from_urls(args.urls or []))
    if not feeds:
        for number, table in enumerate(data.get("feeds", []), 1):
            unknown = set(table) - _KNOWN["feeds"]
            if unknown or not isinstance(table.get("url"), str):
                raise UsageError(
                    f"{path}: [[feeds]] table {number} "
                    + (f"has an unknown key {sorted(unknown)[0]!r}" if unknown else "has no url")
                    + f"; its keys are {', '.join(sorted(_KNOWN['feeds']))}"
                )
            (feed,) = feeds_from_urls([table["url"]])
            feeds.append(
                replace(
                    feed, title=table.get("title"), language=table.get("language"), tags=tuple(table.get("tags", ()))
                )
            )
        for name in data.get("feed_lists", []):
            feeds.extend(read_feed_list(path.parent / name))
    if not feeds:
        raise UsageError(
            f"no feeds: give addresses or --feeds FILE, or list them in {path} (`newsbeam init` writes one)"
        )
    return tuple({feed.feed_id: feed for feed in feeds}.values())


def _read_toml(path: Path) -> Mapping[str, Any]:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"there is no settings file {path}; `newsbeam init` writes one") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"settings file {path} cannot be read: {one_line(str(error))}") from error
    for section, table in (("", data), ("http", data.get("http", {}))):
        if not isinstance(table, dict):
            raise UsageError(f"{path}: [{section}] must be a table")
        unknown = sorted(set(table) - _KNOWN[section])
        if unknown:
            where = f" in [{section}]" if section else ""
            raise UsageError(
                f"{path}: unknown setting {unknown[0]!r}{where}; known are {', '.join(sorted(_KNOWN[section]))}"
            )
    for section, name, kind in (
        ("", "lake", str),
        ("", "contact", str),
        ("", "feed_lists", list),
        ("", "feeds_per_wave", int),
        ("", "workers", int),
        ("", "feeds", list),
        ("http", "allow_hosts", list),
        ("http", "spacing_seconds", (int, float)),
        ("http", "timeout_seconds", (int, float)),
        ("http", "requests_per_domain", int),
        ("http", "max_body_bytes", int),
    ):
        held = data.get("http", {}) if section else data
        if name in held and (not isinstance(held[name], kind) or (isinstance(held[name], int) and held[name] < 0)):
            raise UsageError(f"{path}: {name} = {held[name]!r} is not what it should be; see `newsbeam init`")
    return data


def default_workers() -> int:
    """Return how many extraction processes to use: one for each core this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def positive(text: str) -> int:
    """Return a whole number of at least 1, or say that it is none (an argparse type)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return value


def seconds(text: str) -> float:
    """Return a number of seconds from 0 to a day, or say that it is none (an argparse type)."""
    value = float(text)
    if not 0 <= value < 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds between 0 and a day")
    return value
