"""Logs of a worker that runs: one record a line, as JSON for machines or as text for a terminal.

Decisions:
    A JSON line holds ASCII only, with escapes: no control character, line separator or broken Unicode of an outside
    text can break it, whatever encoding standard error has.

    Whatever a record says passes one mask: credentials and values that look like tokens are taken out of every address
    in a message, in the ids given beside it and in a stack trace. Who logs need not think of it.

    A record that cannot be written as asked is written as far as it can be; a formatter that raises would print its
    own stack trace between the lines.

    Handlers of others (a worker's, which carries records to Beam's runner) stay; only what writes to the terminal is
    replaced.

Limits: secrets that stand in no address are not found. Messages and stack traces are cut at `MOST_CHARS`.
"""

import json
import logging
import math
import re
import reprlib
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Optional, Union

from transforms.errors import mask_url, one_line

MOST_CHARS = 8_192  # container runtimes cut lines at 16 KiB
MOST_EXTRA_CHARS = 1_024
MOST_FRAMES = 8

# Linear: each scan begins at a literal and its class holds no character a second scan of the same stretch begins with.
_USERINFO = re.compile(r"://[^\s/?#\"<>]*@")
_ADDRESS = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)
_CLOSING = ".,;:!?)]}"
_OWN_KEYS = ("time", "level", "logger", "message", "exc", "stack")
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = MOST_EXTRA_CHARS


def use_json_logs(level: Union[int, str] = logging.INFO) -> None:
    """Write every record of at least `level` to standard error as one JSON object a line."""
    _use(JsonFormatter(), level)


def use_text_logs(level: Union[int, str] = logging.INFO) -> None:
    """Write every record of at least `level` to standard error as one line of text."""
    _use(TextFormatter(), level)


def _use(formatter: logging.Formatter, level: Union[int, str]) -> None:
    root = logging.getLogger()
    root.setLevel(level)
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and handler.stream in _terminal():
            root.removeHandler(handler)
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root.addHandler(handler)
    # What would be printed beside the log becomes a record of it.
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_that_died


def _terminal() -> tuple[Any, ...]:
    return (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)


def _log_thread_that_died(died: threading.ExceptHookArgs) -> None:
    if died.exc_value is None or died.exc_type is SystemExit:
        return
    name = died.thread.name if died.thread is not None else "?"
    logging.getLogger("newsbeam.threads").error(
        "thread %s died", name, exc_info=(died.exc_type, died.exc_value, died.exc_traceback)
    )


class JsonFormatter(logging.Formatter):
    """Makes one JSON object of a record.

    `time` is RFC 3339 in UTC with milliseconds; then level, logger, message; what was given as `extra` under its own
    name (run_id, feed_id, ...; ``extra_`` before a name of ours); `exc` with type, message and stack; `stack` where
    `stack_info` was asked for.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; never raises."""
        try:
            line: dict[str, Any] = {
                "time": _time(record),
                "level": record.levelname,
                "logger": record.name,
                "message": _shorten(mask_addresses(_message(record)), MOST_CHARS),
            }
            for name, value in _extras(record).items():
                line[f"extra_{name}" if name in _OWN_KEYS else name] = value
            if record.exc_info and record.exc_info[1] is not None:
                line["exc"] = _exception(record.exc_info[1])
            if record.stack_info:
                line["stack"] = _shorten_front(mask_addresses(record.stack_info), MOST_CHARS)
            return json.dumps(line, allow_nan=False)
        except Exception as error:
            return json.dumps(
                {
                    "time": _time(record),
                    "level": str(record.levelname),
                    "logger": str(record.name),
                    "message": _unwritable(error),
                }
            )


class TextFormatter(logging.Formatter):
    """Makes one line of text of a record: time, level, logger, message, ids; an exception with where it came from."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; never raises."""
        try:
            message = _shorten(mask_addresses(_message(record)), MOST_CHARS // 2)  # leaves room for what follows
            parts = [_time(record), record.levelname, f"{record.name}:", message]
            parts += [f"{name}={value}" for name, value in _extras(record).items()]
            if record.exc_info and record.exc_info[1] is not None:
                parts.append(_origin(record.exc_info[1]))
            return one_line(" ".join(parts), limit=MOST_CHARS)
        except Exception as error:
            return one_line(f"{_time(record)} {record.levelname} {record.name}: {_unwritable(error)}")


def _unwritable(error: Exception) -> str:
    return f"a record that cannot be written ({type(error).__name__})"


def mask_addresses(text: str) -> str:
    """Return `text` with the secrets masked in each address that stands in it (see `mask_url`); linear in its length.

    Credentials go from addresses of every scheme, token-like values from those of http and https.
    """
    if "://" not in text:
        return text
    return _ADDRESS.sub(_masked, _USERINFO.sub("://***@", text))


def _masked(match: re.Match[str]) -> str:
    """Mask one address; punctuation that closes a sentence or a bracket around it stays outside."""
    address = match[0].rstrip(_CLOSING)
    if "[" in address and "]" not in address:  # of an IPv6 address
        address = match[0]
    return mask_url(address) + match[0][len(address) :]


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit the format, or that cannot be shown
        return f"{_shown(record.msg)} {_shown(record.args)}"


def _extras(record: logging.LogRecord) -> Mapping[str, Any]:
    return {str(name): _plain(value) for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}


def _plain(value: Any) -> Any:
    """Return a value that JSON has; of any other its repr, masked and bounded."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() <= 64:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    shown = str(value) if type(value) is str else _shown(value)
    return _shorten(mask_addresses(shown), MOST_EXTRA_CHARS)


def _shown(value: Any) -> str:
    try:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return repr(bytes(value[:MOST_EXTRA_CHARS]))
        return _repr.repr(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


def _exception(error: BaseException) -> dict[str, str]:
    stack = "".join(traceback.format_exception(error))
    return {
        "type": _type_name(error),
        "message": _shorten(mask_addresses(_said(error)), MOST_CHARS),
        # The end of a stack trace is where it happened.
        "stack": _shorten_front(mask_addresses(stack), MOST_CHARS),
    }


def _origin(error: BaseException) -> str:
    """Return an exception, and those behind it, with the places it passed, the innermost first, on one line."""
    shown, seen = [], set[int]()
    behind: Optional[BaseException] = error
    while behind is not None and id(behind) not in seen and len(seen) < MOST_FRAMES:
        seen.add(id(behind))
        frames = traceback.extract_tb(behind.__traceback__)[-MOST_FRAMES:]
        places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
        shown.append(mask_addresses(f"{_type_name(behind)}: {_said(behind)} [{places}]"))
        behind = behind.__cause__ or (None if behind.__suppress_context__ else behind.__context__)
    return "| " + " | from ".join(shown)


def _type_name(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its message cannot be shown)"


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _shorten_front(text: str, limit: int) -> str:
    return text if len(text) <= limit else "…" + text[-(limit - 1) :]
