"""Settings: the only file that sees the command line, the environment and TOML; what it returns is frozen.

Decisions:
    A setting exists when a reasonable person would miss it. The file holds what belongs to an installation (lake,
    contact, feeds), flags override it for one run. The environment holds nothing but secrets: those that a list of
    feeds names (see feed_secrets.py), and the proxy's credentials.

    Whoever polls the web says who they are: without a contact only hosts of --allow-host are polled.
"""

import argparse
import contextlib
import logging
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

from pipelines.feed_list import feeds_from_tables, feeds_from_urls, read_feed_list
from pipelines.feed_secrets import request_headers_of
from pipelines.feed_tables import parse_interval
from transforms.acquire import AcquireConfig
from transforms.address_rules import AddressRules
from transforms.errors import UsageError, mask_url, one_line
from transforms.http import AllowedHost, Proxy, parse_allow_host, parse_proxy
from transforms.page_reservations import known_signals
from transforms.poll_feeds import LONGEST_SECONDS, SHORTEST_SECONDS
from transforms.records import FeedSpec
from transforms.strip_cruft import kinds_to_keep

_log = logging.getLogger("newsbeam.options")

CONFIG_NAME = "newsbeam.toml"
BATCH_RUNNERS = ("FnApiRunner", "DirectRunner")
FEEDS_PER_WAVE = 200
NEW_PER_POLL = 300  # at a second a page this takes five minutes; a longer first poll goes on in the next run
MOST_ENTRIES_IN_FLIGHT = 3_000  # what a stream keeps while the lake is away: about 30 MB of rows
PAGES_PER_WAVE = 2_000  # archived pages: about 20 MB of rows, and what a crash can lose
PROXY_AUTH = "NEWSBEAM_PROXY_AUTH"

_MAIL_ADDRESS = re.compile(r"(?:mailto:)?[^\s@/:<>()]+@[^\s@/:<>().]+(?:\.[^\s@/:<>().]+)+", re.IGNORECASE)

TEMPLATE = """\
# newsbeam.toml: what `newsbeam ingest` reads when it is started in this folder.
# Flags win over this file; `newsbeam ingest --help` lists them.

# Where the rows go: a folder, made at the first run. Relative to this file.
lake = "lake"

# Who is polling: publishers see it in the User-Agent. A page or a mail address.
contact = "mailto:you@example.org"

# Lists of feeds beside the tables below: OPML, TOML tables as below, or one address a line. Relative to this file.
# feed_lists = ["feeds.opml", "more.txt"]

# What of the cruft stays in the stories all the same; `newsbeam clean --keep-kind x page.html` lists the kinds.
# keep_kinds = ["author_bio", "opinion_note", "pr_about"]

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
# A proxy for everything that is fetched; it must allow CONNECT to the ports 443 and 80. Its credentials are taken from
# NEWSBEAM_PROXY_AUTH=USER:PASSWORD in the environment. Proxies of the environment itself are ignored.
# proxy = "http://proxy.example:3128"
# Which words of publishers reject a page (dead letter "reserved"): tdm-reservation (text and data mining is reserved,
# by the page or its header), tdm-file (the same in /.well-known/tdmrep.json; one more request a host and day), noindex,
# noarchive, noai (robots directives; a third of news pages say noarchive, which speaks of copies that are shown).
# honour_reservations = ["tdm-reservation"]
# A page that cannot be had is replaced by what text its feed has, also where robots.txt forbids the page. Not so one
# that is rejected for such a word: it speaks of the text, wherever that stands. To take the feed's text all the same:
# feed_text_for_reserved = true

# One table a feed. Only `url` is needed.
[[feeds]]
url = "https://example.org/feed.xml"
# title = "Example"
# language = "en"
# tags = ["local"]
# pause = true                        # listed, but not polled
# min_interval = "10m"                # bounds of its polling in a stream
# max_interval = "6h"
# user = "reader"                     # secrets are outside of this file, in a variable or a file (relative to this one)
# password = { env = "EXAMPLE_PASSWORD" }
# token = { file = "example.token" }  # instead of user and password
# headers = { Accept-Language = "de", X-Api-Key = { env = "EXAMPLE_KEY" } }
"""

_KNOWN = {
    "": {"lake", "contact", "feed_lists", "feeds_per_wave", "http", "feeds", "workers", "keep_kinds"},
    "http": {
        "spacing_seconds",
        "requests_per_domain",
        "timeout_seconds",
        "allow_hosts",
        "max_body_bytes",
        "proxy",
        "honour_reservations",
        "feed_text_for_reserved",
    },
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
    keep_kinds: frozenset[str] = frozenset()


def user_agent_of(version: str, contact: Optional[str]) -> str:
    """Return the User-Agent: product, version and, where there is one, whom to write to."""
    return f"newsbeam/{version}" + (f" (+{one_line(contact, limit=120)})" if contact else "")


def check_contact(contact: Optional[str], *, urls: Iterable[str], allow_hosts: tuple[AllowedHost, ...]) -> None:
    """Refuse to poll the web without saying who polls.

    Args:
        contact: a mail address, or the address of a page.
        urls: what is to be polled; hosts that `allow_hosts` names are one's own and need no contact.
        allow_hosts: of the same run.

    Raises:
        UsageError: there is no contact where one is needed, or it is neither of the two.
    """
    how = "--contact ADDRESS, or contact in newsbeam.toml: a mail address, or a page that says who you are"
    if contact and not _is_contact(contact):
        raise UsageError(f"contact {one_line(contact, limit=120)!r} is no address that a publisher could use; {how}")
    rules = AddressRules(allow_hosts)
    strange = None if contact else next((host for host in map(_host_of, urls) if not rules.names(host)), None)
    if strange is not None:
        raise UsageError(f"no contact: publishers, such as {strange}, must be able to reach whoever polls them; {how}")


def _is_contact(text: str) -> bool:
    is_page = text.lower().startswith(("http://", "https://")) and "." in _host_of(text)
    return is_page or _MAIL_ADDRESS.fullmatch(text.strip()) is not None


def _host_of(url: str) -> str:
    try:
        return urlsplit(url.strip()).hostname or ""
    except ValueError:
        return ""


def read_proxy(args: argparse.Namespace, http: Mapping[str, Any]) -> Optional[Proxy]:
    """Return the proxy that the flag or [http] names; its credentials may stand in the environment.

    Raises:
        UsageError: it is not http://HOST:PORT.
    """
    text = getattr(args, "proxy", None) or http.get("proxy")
    return parse_proxy(text, credentials=os.environ.get(PROXY_AUTH, "")) if text else None


def add_common_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every command which reads settings has."""
    parser.add_argument(
        "--config", metavar="FILE", help=f"settings file (default: {CONFIG_NAME} in this folder, if any)"
    )
    parser.add_argument("--lake", metavar="DIR", help="where the lake is (default: the file's, else ./lake)")


def add_keep_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag of commands that strip cruft."""
    parser.add_argument(
        "--keep-kind",
        action="append",
        default=[],
        metavar="KIND",
        help="cruft that stays: author_bio, opinion_note, ... (repeatable; replaces keep_kinds of the file)",
    )


def read_keep_kinds(args: argparse.Namespace) -> frozenset[str]:
    """Return the kinds of cruft that stay, as the flag or the settings file names them.

    Raises:
        UsageError: there is no such kind, or the file cannot be read.
    """
    return _keep_kinds(args, read_settings(args))


def _keep_kinds(args: argparse.Namespace, data: Mapping[str, Any]) -> frozenset[str]:
    names = getattr(args, "keep_kind", None) or data.get("keep_kinds", [])
    return kinds_to_keep([str(name) for name in names])


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of commands that run the graph."""
    add_keep_flag(parser)
    parser.add_argument("--workers", type=positive, metavar="N", help="extraction processes (default: one a core)")
    parser.add_argument(
        "--runner",
        default="FnApiRunner",
        choices=BATCH_RUNNERS,
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
    parser.add_argument(
        "--contact", metavar="ADDRESS", help="page or mail address for the User-Agent; needed to poll the web"
    )
    parser.add_argument(
        "--proxy", metavar="URL", help=f"http://HOST:PORT for all that is fetched; credentials in {PROXY_AUTH}"
    )
    parser.add_argument("--spacing-seconds", type=seconds, metavar="S", help="between two requests to one domain")
    parser.add_argument("--timeout-seconds", type=seconds, metavar="S", help="for a whole request")


@dataclass(frozen=True)
class StreamConfig:
    """What a streaming run needs to know beside `Config`; see `newsbeam stream --help` for the meaning of each."""

    runner: str = "prism"
    tick_seconds: float = 10.0
    status_address: Optional[str] = "127.0.0.1:9464"
    log_format: str = "text"
    shards: int = 1
    prism: Optional[str] = None
    job_server: Optional[str] = None
    flink_master: Optional[str] = None
    worker_pool: Optional[str] = None
    checkpoint_seconds: float = 30.0
    checkpoint_dir: Optional[str] = None
    beam_options: tuple[str, ...] = ()


def add_stream_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the streaming worker."""
    default = StreamConfig()
    parser.add_argument(
        "--runner", default=default.runner, choices=("prism", "flink", "dataflow"), help="engine (default: prism)"
    )
    parser.add_argument(
        "--tick", type=interval, default=default.tick_seconds, metavar="TIME", help="how often work starts (10s)"
    )
    parser.add_argument(
        "--min-interval", type=interval, default=60.0, metavar="TIME", help="between two polls of a feed (60s)"
    )
    parser.add_argument(
        "--max-interval", type=interval, default=86_400.0, metavar="TIME", help="likewise, of a quiet one (1d)"
    )
    add_keep_flag(parser)
    parser.add_argument("--workers", type=positive, metavar="N", help="extraction processes (default: one a core)")
    parser.add_argument(
        "--status-address",
        default=default.status_address,
        metavar="HOST:PORT",
        help="where /healthz and /metrics are (default: %(default)s; none for nowhere)",
    )
    parser.add_argument("--log-format", default="text", choices=("text", "json"), help="lines for people or machines")
    parser.add_argument("--prism", metavar="FILE", help="the Prism program (default: made by `make prism`, or on PATH)")
    flink = parser.add_argument_group("Flink")
    flink.add_argument(
        "--job-server", metavar="JAR|HOST:PORT", help="Beam's job server (default: made by `make flink-jar`)"
    )
    flink.add_argument("--flink-master", metavar="HOST:PORT", help="a cluster's REST address (default: one in the jar)")
    flink.add_argument(
        "--worker-pool", metavar="HOST:PORT", help="Beam's worker pool beside each TaskManager (default: this process)"
    )
    flink.add_argument("--checkpoint-dir", metavar="URI", help="where checkpoints are kept (default: the cluster's)")
    flink.add_argument(
        "--checkpoint-interval",
        type=interval,
        default=default.checkpoint_seconds,
        metavar="TIME",
        help="between two checkpoints (30s)",
    )
    flink.add_argument("--shards", type=positive, default=1, metavar="N", help="parts the feeds are dealt to (1)")
    flink.add_argument(
        "--beam-option", action="append", default=[], metavar="--NAME=VALUE", help="a further option for Beam"
    )


def read_stream_config(args: argparse.Namespace) -> StreamConfig:
    """Return the settings of the stream that the flags in `args` make.

    Raises:
        UsageError: flags that do not fit together.
    """
    flags = {"job_server": "--job-server", "flink_master": "--flink-master", "worker_pool": "--worker-pool"}
    for name, flag in flags.items():
        if getattr(args, name) and args.runner != "flink":
            raise UsageError(f"{flag} is for --runner flink, not {args.runner}")
    if args.max_interval < args.min_interval:
        raise UsageError(f"--max-interval {args.max_interval:g}s is shorter than --min-interval {args.min_interval:g}s")
    return StreamConfig(
        runner=args.runner,
        tick_seconds=args.tick,
        status_address=None if args.status_address == "none" else args.status_address,
        log_format=args.log_format,
        shards=args.shards,
        prism=args.prism,
        job_server=args.job_server,
        flink_master=args.flink_master,
        worker_pool=args.worker_pool,
        checkpoint_seconds=args.checkpoint_interval,
        checkpoint_dir=args.checkpoint_dir,
        beam_options=tuple(args.beam_option),
    )


class FeedList:
    """The feeds as listed now: reads the lists again when one of their files has changed. Picklable.

    A list that cannot be read, or has a mistake in it, is said once, and the feeds stay as they were; so do they where
    the files are not (a worker on another machine).

    Attributes:
        config: the settings they were listed with.
    """

    def __init__(self, args: argparse.Namespace, *, version: str) -> None:
        data = read_settings(args)
        # The contact stands in a file that a worker elsewhere may not have.
        self._args = argparse.Namespace(**{**vars(args), "contact": _contact(args, data)})
        self._version = version
        self.config = read_config(args, version=version, needs_feeds=True, data=data)
        self._seen = self._times(data)

    def __call__(self) -> Sequence[FeedSpec]:
        """Return the feeds."""
        times = self._times()
        if times != self._seen and any(times.values()):
            self._seen = times
            try:
                config = read_config(self._args, version=self._version, needs_feeds=True)
            except UsageError as error:
                _log.error("the feed list is not taken over: %s", error)
            else:
                _log.warning(
                    "the feed list has changed: %d feeds, before %d", len(config.feeds), len(self.config.feeds)
                )
                self.config = config
        return self.config.feeds

    def _times(self, data: Optional[Mapping[str, Any]] = None) -> Mapping[str, Optional[tuple[int, int]]]:
        path = _path(self._args)
        paths = [path, *map(Path, self._args.feeds or ())]
        with contextlib.suppress(UsageError):
            data = read_settings(self._args) if data is None else data
            paths += [path.parent / str(name) for name in data.get("feed_lists", [])]
        times: dict[str, Optional[tuple[int, int]]] = {}
        for path in paths:
            try:
                held = path.stat()
                times[str(path)] = (held.st_mtime_ns, held.st_size)
            except OSError:
                times[str(path)] = None
        return times


def read_config(
    args: argparse.Namespace, *, version: str, needs_feeds: bool = False, data: Optional[Mapping[str, Any]] = None
) -> Config:
    """Return the settings that the file and the flags in `args` make; `data` is the file where it has been read.

    Raises:
        UsageError: a file cannot be read, a key is unknown or has a wrong type, or no feed is given where needed.
    """
    data = read_settings(args) if data is None else data
    http = data.get("http", {})
    allow = [*http.get("allow_hosts", []), *getattr(args, "allow_host", [])]
    contact = _contact(args, data)
    acquire = AcquireConfig(
        user_agent=user_agent_of(version, contact),
        allow_hosts=tuple(parse_allow_host(text) for text in allow),
        max_new_per_poll=NEW_PER_POLL,
        shortest_interval_seconds=getattr(args, "min_interval", SHORTEST_SECONDS),
        longest_interval_seconds=getattr(args, "max_interval", LONGEST_SECONDS),
        max_entries_in_flight=MOST_ENTRIES_IN_FLIGHT,
        feed_headers=request_headers_of,
    )
    changes: dict[str, Any] = {}
    for name, setting, flag in (
        ("spacing_seconds", "spacing_seconds", "spacing_seconds"),
        ("requests_per_domain", "max_requests_per_site", None),
        ("timeout_seconds", "total_timeout_seconds", "timeout_seconds"),
        ("max_body_bytes", "max_body_bytes", None),
        ("feed_text_for_reserved", "feed_text_for_reserved", None),
    ):
        given = getattr(args, flag, None) if flag else None
        value = given if given is not None else http.get(name)
        if value is not None:
            changes[setting] = value
    proxy = read_proxy(args, http)
    if proxy is not None:
        changes["proxy"] = proxy
    if "honour_reservations" in http:
        changes["honour_reservations"] = known_signals(http["honour_reservations"])
    lake = getattr(args, "lake", None) or (str(_path(args).parent / data["lake"]) if "lake" in data else "lake")
    config = Config(
        lake=lake,
        acquire=replace(acquire, **changes),
        feeds_per_wave=getattr(args, "feeds_per_wave", None) or data.get("feeds_per_wave", FEEDS_PER_WAVE),
        pages_per_wave=getattr(args, "pages_per_wave", None) or PAGES_PER_WAVE,
        workers=getattr(args, "workers", None) or data.get("workers"),
        runner=args.runner if getattr(args, "runner", None) in BATCH_RUNNERS else BATCH_RUNNERS[0],
        only_due=getattr(args, "only_due", False),
        strict=getattr(args, "strict", False),
        keep_kinds=_keep_kinds(args, data),
    )
    if needs_feeds:
        feeds = read_feeds(args, data, needs_secrets=True)
        if not feeds:
            raise UsageError(
                f"no feeds: give addresses or --feeds FILE, or list them in {_path(args)} (`newsbeam init` writes one)"
            )
        config = replace(config, feeds=tuple(feed for feed in feeds if not feed.is_paused))
    check_contact(contact, urls=[feed.url for feed in config.feeds], allow_hosts=acquire.allow_hosts)
    return config


def _path(args: argparse.Namespace) -> Path:
    return Path(getattr(args, "config", None) or CONFIG_NAME)


def read_settings(args: argparse.Namespace) -> Mapping[str, Any]:
    """Return what the settings file holds, checked; nothing where there is none and none is named.

    Raises:
        UsageError: it cannot be read, a key is unknown or has a wrong type.
    """
    path = _path(args)
    return _read_toml(path) if getattr(args, "config", None) or path.exists() else {}


def _contact(args: argparse.Namespace, data: Mapping[str, Any]) -> Optional[str]:
    return getattr(args, "contact", None) or data.get("contact")


def read_feeds(
    args: argparse.Namespace, data: Optional[Mapping[str, Any]] = None, *, needs_secrets: bool = False
) -> tuple[FeedSpec, ...]:
    """Return the feeds of arguments and lists when there are any, else of the settings file; paused ones as well.

    A feed that is listed twice counts as it is listed first.

    Args:
        args: flags; `urls`, `feeds` (lists) and `config` are looked at.
        data: the settings file, where it has been read.
        needs_secrets: refuse feeds whose secrets cannot be had here.

    Raises:
        UsageError: a list cannot be read or is wrong. No feed at all is no error here.
    """
    path = _path(args)
    feeds: list[FeedSpec] = []
    for name in getattr(args, "feeds", None) or []:
        feeds.extend(read_feed_list(Path(name), needs_secrets=needs_secrets))
    feeds.extend(feeds_from_urls(getattr(args, "urls", None) or []))
    if not feeds:
        data = read_settings(args) if data is None else data
        tables = data.get("feeds", [])
        if tables:
            text = path.read_text("utf-8")
            feeds.extend(feeds_from_tables(tables, text, str(path), path.parent, needs_secrets=needs_secrets))
        for name in data.get("feed_lists", []):
            feeds.extend(read_feed_list(path.parent / name, needs_secrets=needs_secrets))
    unique: dict[str, FeedSpec] = {}
    for feed in feeds:
        kept = unique.setdefault(feed.feed_id, feed)
        if _how_polled(kept) != _how_polled(feed):
            _log.warning("%s is listed twice, differently; it counts as it is listed first", mask_url(feed.url))
    return tuple(unique.values())


def _how_polled(feed: FeedSpec) -> tuple[Any, ...]:
    return feed.headers, feed.is_paused, feed.min_interval_seconds, feed.max_interval_seconds


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
        ("", "keep_kinds", list),
        ("http", "allow_hosts", list),
        ("http", "proxy", str),
        ("http", "honour_reservations", list),
        ("http", "feed_text_for_reserved", bool),
        ("http", "spacing_seconds", (int, float)),
        ("http", "timeout_seconds", (int, float)),
        ("http", "requests_per_domain", int),
        ("http", "max_body_bytes", int),
    ):
        held = data.get("http", {}) if section else data
        if name in held and (not isinstance(held[name], kind) or (isinstance(held[name], int) and held[name] < 0)):
            raise UsageError(f"{path}: {name} = {held[name]!r} is not what it should be; see `newsbeam init`")
    return data


def positive(text: str) -> int:
    """Return a whole number of at least 1, or say that it is none (an argparse type)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return value


def interval(text: str) -> float:
    """Return the seconds of a time such as 10s, 5m, 1h, 1d or 2.5, or say that it is none (an argparse type)."""
    try:
        return parse_interval(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} {error}") from None


def seconds(text: str) -> float:
    """Return a number of seconds from 0 to a day, or say that it is none (an argparse type)."""
    value = float(text)
    if not 0 <= value < 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds between 0 and a day")
    return value
