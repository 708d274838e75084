"""The command line: `newsbeam <command>`. Each command is a function here or in a room of its own.

Exit status: 0 done, 1 the run failed, 2 bad usage or configuration. Ctrl-C and SIGTERM let the commit under way
finish. Beam takes two seconds to import, so a command imports what it runs when it runs.
"""

import argparse
import atexit
import importlib
import importlib.metadata
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Optional

from pipelines import help_texts as texts

_log = logging.getLogger("newsbeam")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command; return its exit status."""
    parser = _parser()
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        parser.print_help()
        return 2
    name = next((argument for argument in argv if not argument.startswith("-")), "")
    if name in _COMMANDS:
        _quieten()
        from pipelines import options

        _COMMANDS[name].add_flags(parser.commands[name], options)
    args = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], int] = args.run
    from transforms.errors import IngestError, UsageError

    try:
        return run(args)
    except UsageError as error:
        print(f"newsbeam: {error}", file=sys.stderr)
        return 2
    except IngestError as error:
        print(f"newsbeam: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if getattr(args, "strict", False):
            raise
        cause = _cause(error)
        print(f"newsbeam: {cause}", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    commands: dict[str, argparse.ArgumentParser]


def _parser() -> _Parser:
    parser = _Parser(
        prog="newsbeam",
        description="News feeds in, clean article rows in a Parquet lake.",
        epilog="newsbeam COMMAND --help has an example of each.",
    )
    parser.add_argument("--version", action="version", version=f"newsbeam {version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parser.commands = {}
    for name, command in _COMMANDS.items():
        parser.commands[name] = commands.add_parser(
            name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            epilog=texts.EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.commands[name].set_defaults(run=command.run)
    return parser


def version() -> str:
    """Return newsbeam's version."""
    return importlib.metadata.version("newsbeam")


# ---- init ---------------------------------------------------------------------------------------------------------


def _init_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    parser.add_argument("path", nargs="?", default=options.CONFIG_NAME, help="where to write it (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def _init(args: argparse.Namespace) -> int:
    from pipelines.options import TEMPLATE
    from transforms.errors import UsageError

    path = Path(args.path)
    try:
        with path.open("w" if args.force else "x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already; --force replaces it") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    print(f"wrote {path}; put your feeds into it, then run: newsbeam ingest")
    return 0


# ---- ingest and backfill ------------------------------------------------------------------------------------------


def _ingest_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    parser.add_argument("urls", nargs="*", metavar="URL", help="feeds to poll, instead of the settings file's")
    parser.add_argument("--feeds", action="append", metavar="FILE", help="a list of feeds: OPML, or one address a line")
    options.add_common_flags(parser)
    options.add_http_flags(parser)
    options.add_run_flags(parser)
    parser.add_argument("--feeds-per-wave", type=options.positive, metavar="N", help="feeds polled together (200)")
    parser.add_argument("--only-due", action="store_true", help="poll only feeds whose next_due_at has passed")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _ingest(args: argparse.Namespace) -> int:
    from pipelines.ingest import ingest, new_run_id
    from pipelines.options import read_config
    from transforms.lake import open_lake

    config = read_config(args, version=version(), needs_feeds=True)
    run_id, started = new_run_id(), time.time()
    lake = open_lake(config.lake)
    _finish_commit_on_signal(lake)
    try:
        ingest(config, run_id=run_id, progress=_say)
    finally:
        all_failed = _print_summary(lake, run_id, len(config.feeds), started, args)
    if all_failed:
        _say("newsbeam: every feed failed; is this machine's network up?")
    return int(all_failed)


def _stream_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    parser.add_argument("urls", nargs="*", metavar="URL", help="feeds to poll, instead of the settings file's")
    parser.add_argument("--feeds", action="append", metavar="FILE", help="a list of feeds, read again when it changes")
    options.add_common_flags(parser)
    options.add_http_flags(parser)
    options.add_stream_flags(parser)


def _stream(args: argparse.Namespace) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))  # until it runs there is nothing to drain
    from pipelines.ingest import new_run_id
    from pipelines.options import FeedList, read_stream_config

    settings = read_stream_config(args)
    feeds = FeedList(args, version=version())
    from pipelines.stream import stream

    stream(feeds.config, settings, feeds, run_id=new_run_id(), say=_say)
    atexit.register(_leave_drained)
    return 0


def _leave_drained() -> None:
    """End with 0 and leave the interpreter as it is.

    Threads of the engine's client may still run, and crash a process whose interpreter is taken down under them (seen
    once in some hundred drains: SIGSEGV, with everything committed).
    """
    from transforms.worker_pool import close_shared_pools

    close_shared_pools()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _backfill_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    parser.add_argument("archives", nargs="+", metavar="FILE", help="WARC or JSONL, plain or gzipped")
    options.add_common_flags(parser)
    options.add_run_flags(parser)
    parser.add_argument("--pages-per-wave", type=options.positive, metavar="N", help="pages committed together (2,000)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _backfill(args: argparse.Namespace) -> int:
    from pipelines.backfill import backfill
    from pipelines.ingest import new_run_id
    from pipelines.options import read_config
    from transforms.lake import open_lake

    config = read_config(args, version=version())
    run_id, started = new_run_id(), time.time()
    lake = open_lake(config.lake)
    _finish_commit_on_signal(lake)
    try:
        backfill(config, [Path(name) for name in args.archives], run_id=run_id, progress=_say)
    finally:
        _print_summary(
            lake, run_id, len(args.archives), started, args, what=("stretch of an archive", "stretches of archives")
        )
    return 0


def _print_summary(
    lake: Any,
    run_id: str,
    feeds: int,
    started: float,
    args: argparse.Namespace,
    *,
    what: tuple[str, str] = ("feed", "feeds"),
) -> bool:
    """Print what the run did; return whether every poll failed."""
    from pipelines.report import summarise

    summary = summarise(lake, run_id, feeds=feeds, started=started)
    if args.json:
        print(json.dumps(summary.as_json(), ensure_ascii=False))
    else:
        print("\n".join(summary.lines(what=what)))
    return summary.all_failed


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _finish_commit_on_signal(lake: Any) -> None:
    """On Ctrl-C or SIGTERM wait for the commit under way (all three tables), then end at once.

    A commit holds the lake's lock from its first table to its last; whoever gets the lock in between knows that none
    is under way. What had not reached a commit is polled again by the next run.
    """

    def stop(number: int, frame: Optional[FrameType]) -> None:
        with lake.lock:
            _say("newsbeam: stopped; what was committed stays, the rest is polled again by the next run")
            sys.stderr.flush()
            os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


# ---- the commands -------------------------------------------------------------------------------------------------


class _Command(NamedTuple):
    """A command: what it is for, and the functions that add its flags and run it (imported when they are needed)."""

    summary: str
    add_flags: Callable[[argparse.ArgumentParser, Any], None]
    run: Callable[[argparse.Namespace], int]


def _in_room(module: str, summary: str) -> _Command:
    """Return the command whose `add_flags` and `run` live in a module of their own."""

    def add_flags(parser: argparse.ArgumentParser, options: Any) -> None:
        importlib.import_module(module).add_flags(parser, options)

    def run(args: argparse.Namespace) -> int:
        return int(importlib.import_module(module).run(args))

    return _Command(summary, add_flags, run)


_COMMANDS = {
    "demo": _in_room("pipelines.demo.command", "run the whole job on the embedded sample newsroom, offline"),
    "init": _Command("write a commented newsbeam.toml", _init_flags, _init),
    "ingest": _Command("poll feeds once and commit what is new to the lake", _ingest_flags, _ingest),
    "stream": _Command("poll feeds for as long as it runs and commit what is new", _stream_flags, _stream),
    "backfill": _Command("commit archived pages (WARC or JSONL) to the lake", _backfill_flags, _backfill),
    "replay": _in_room("pipelines.replay_command", "try entries that failed again now"),
    "learn": _in_room("pipelines.learn_command", "learn the lines that sites repeat under their stories"),
    "reclean": _in_room("pipelines.reclean_command", "apply newer rules and learned lines to rows of the lake"),
    "clean": _in_room("pipelines.clean_page", "print the story of one page or text file"),
    "feeds": _in_room("pipelines.feeds_command", "check the health of a list of feeds, or export it"),
    "show": _in_room("pipelines.show_article", "print one article of the lake, and why it is as it is"),
}


def _cause(error: BaseException) -> str:
    """Return one line for an error that came out of the engine: our own words where it wraps one of ours."""
    from transforms.errors import IngestError, one_line

    seen: Optional[BaseException] = error
    while seen is not None:
        if isinstance(seen, IngestError):
            return str(seen)
        seen = seen.__cause__ or seen.__context__
    return one_line(f"{type(error).__name__}: {error}", limit=2000)


def _quieten() -> None:
    """Keep Beam's remarks about optional parts, and its progress, out of a user's terminal."""
    logging.basicConfig(level=logging.WARNING, format="newsbeam: %(message)s")
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    logging.getLogger("root").addFilter(lambda record: "apitools" not in record.getMessage())


if __name__ == "__main__":
    sys.exit(main())
