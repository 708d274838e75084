"""One record a line, whatever is in it, and no secret of an address in any part of it."""

import json
import logging
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.json_logs import (
    MOST_CHARS,
    MOST_EXTRA_CHARS,
    JsonFormatter,
    TextFormatter,
    mask_addresses,
    use_json_logs,
    use_text_logs,
)

TOKEN = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4"
FORMATTERS = [JsonFormatter(), TextFormatter()]


def record(message: object = "a word", *args: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("newsbeam.x").makeRecord(
        "newsbeam.x", logging.WARNING, "file.py", 7, message, args, None, extra=extra
    )
    made.created = 1_770_000_000.1239
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert line.isprintable()
    return json.loads(line, parse_constant=pytest.fail)


def as_text(made: logging.LogRecord) -> str:
    line = TextFormatter().format(made)
    assert len(line.splitlines()) == 1
    return line


def fail(error: BaseException, cause: Optional[BaseException] = None) -> None:
    raise error from cause


def raised(error: BaseException, cause: Optional[BaseException] = None) -> logging.LogRecord:
    made = record("it failed")
    try:
        fail(error, cause)
    except BaseException:
        made.exc_info = sys.exc_info()
    return made


def test_a_record_is_one_object_with_time_level_logger_message_and_ids() -> None:
    assert as_json(record("polled %s in %d ms", "it", 12, run_id="r", feed_id="f", entries=3, known=None, ok=True)) == {
        "time": "2026-02-02T02:40:00.123Z",
        "level": "WARNING",
        "logger": "newsbeam.x",
        "message": "polled it in 12 ms",
        "run_id": "r",
        "feed_id": "f",
        "entries": 3,
        "known": None,
        "ok": True,
    }


def test_the_time_is_rfc_3339_in_utc_with_milliseconds() -> None:
    made = record()
    made.created = 1_770_000_000.0
    assert as_json(made)["time"] == "2026-02-02T02:40:00.000Z"
    now = as_json(logging.makeLogRecord({}))["time"]
    assert abs(datetime.fromisoformat(now).timestamp() - datetime.now(UTC).timestamp()) < 60


def test_text_is_one_line_with_the_same_parts() -> None:
    line = as_text(record("two\nlines\x1b[31m\u2028 and\x85a third", run_id="r", feed_id="a b"))
    assert line == "2026-02-02T02:40:00.123Z WARNING newsbeam.x: two lines [31m and a third run_id=r feed_id=a b"


def test_an_exception_is_type_message_and_stack() -> None:
    made = raised(ValueError("bad\nvalue"))
    exc = as_json(made)["exc"]
    assert (exc["type"], exc["message"]) == ("ValueError", "bad\nvalue")
    assert exc["stack"].startswith("Traceback")
    assert "in raised" in exc["stack"]
    inner, outer = line_of("raise error from cause"), line_of("fail(error, cause)")
    assert as_text(made).endswith(f"| ValueError: bad value [{__file__}:{inner} fail < {__file__}:{outer} raised]")


def line_of(code: str) -> int:
    with open(__file__, encoding="utf-8") as file:
        return next(number for number, line in enumerate(file, 1) if line.strip() == code)


def test_the_causes_of_an_exception_are_told() -> None:
    made = raised(json.JSONDecodeError("outer", "", 0), KeyError("inner"))
    exc = as_json(made)["exc"]
    assert exc["type"] == "json.decoder.JSONDecodeError"
    assert "KeyError: 'inner'" in exc["stack"]
    assert "| from KeyError: 'inner'" in as_text(made)


def test_a_stack_that_was_asked_for_is_told() -> None:
    made = record()
    made.stack_info = f"Stack\n https://one.example/?token={TOKEN}"
    assert as_json(made)["stack"] == "Stack\n https://one.example/?token=***"


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


DEEP: list[Any] = []
for _ in range(5_000):
    DEEP = [DEEP]
ROUND: list[Any] = []
ROUND.append(ROUND)


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
@pytest.mark.parametrize(
    "made",
    [
        pytest.param(record("%d", "no number"), id="arguments that do not fit"),
        pytest.param(record("%s %s", 1), id="too few arguments"),
        pytest.param(record("none", 1), id="too many arguments"),
        pytest.param(record(Hostile()), id="a message without words"),
        pytest.param(record("%s", Hostile()), id="an argument without words"),
        pytest.param(record(None), id="no message"),
        pytest.param(record(b"bytes"), id="bytes for a message"),
        pytest.param(record(entry_id=Hostile()), id="an id without words"),
        pytest.param(record(entry_id=DEEP), id="deep"),
        pytest.param(record(entry_id=ROUND), id="round"),
        pytest.param(record(entry_id=10**5_000), id="an endless number"),
        pytest.param(record(entry_id=float("nan"), other=float("-inf")), id="no number"),
        pytest.param(record(entry_id="\ud800\x00\u2028\r\n"), id="broken Unicode"),
        pytest.param(record("\ud800\x00\u2028\r\n"), id="a broken message"),
        pytest.param(record(html=b"x" * 10_000_000), id="a page"),
        pytest.param(record(entry_id="x" * 1_000_000, other=["y" * 1_000_000]), id="long"),
        pytest.param(raised(SilentError()), id="an exception without words"),
        pytest.param(raised(ValueError("x" * 1_000_000)), id="a long exception"),
        pytest.param(raised(ExceptionGroup("several", [ValueError(1), SilentError()])), id="several exceptions"),
        pytest.param(raised(KeyboardInterrupt()), id="no Exception"),
    ],
)
def test_every_record_becomes_one_bounded_line(formatter: logging.Formatter, made: logging.LogRecord) -> None:
    line = formatter.format(made)
    assert len(line.splitlines()) == 1
    assert len(line) < 4 * MOST_CHARS
    assert "2026-02-02T02:40:00.123Z" in line
    if isinstance(formatter, JsonFormatter):
        assert json.loads(line, parse_constant=pytest.fail)["logger"] == "newsbeam.x"


def test_a_value_that_json_lacks_is_its_repr_bounded() -> None:
    line = as_json(record(ids=("a", "b"), at=datetime(2026, 1, 1, tzinfo=UTC), page=b"x" * 9_999, long="y" * 9_999))
    assert line["ids"] == "('a', 'b')"
    assert line["at"] == repr(datetime(2026, 1, 1, tzinfo=UTC))
    assert line["page"].startswith("b'xxx")
    assert (len(line["page"]), len(line["long"])) == (MOST_EXTRA_CHARS, MOST_EXTRA_CHARS)


def test_an_id_cannot_take_the_place_of_a_part_of_the_record() -> None:
    line = as_json(record(time="t", level="l", logger="g", exc="e"))
    assert (line["time"], line["level"], line["logger"]) == ("2026-02-02T02:40:00.123Z", "WARNING", "newsbeam.x")
    assert (line["extra_time"], line["extra_level"], line["extra_logger"], line["extra_exc"]) == ("t", "l", "g", "e")


def test_a_long_message_is_cut_at_its_end_and_a_long_stack_at_its_beginning() -> None:
    made = raised(ValueError("x" * 2 * MOST_CHARS + "end"))
    made.msg = "begin" + "y" * 2 * MOST_CHARS
    line = as_json(made)
    assert line["message"].startswith("beginy")
    assert len(line["message"]) == MOST_CHARS
    assert line["exc"]["stack"].rstrip().endswith("xend")
    assert len(line["exc"]["stack"]) == MOST_CHARS
    assert "ValueError" in as_text(made)


@pytest.mark.parametrize(
    "text, masked",
    [
        ("nothing to hide", "nothing to hide"),
        ("see https://one.example/a?b=c.", "see https://one.example/a?b=c."),
        ("https://user:pass@one.example/feed", "https://***@one.example/feed"),
        ("HTTPS://user@one.example/feed", "https://***@one.example/feed"),
        ("'https://u:pa'ss@one.example/x'", "'https://***@one.example/x'"),
        (f"get https://one.example/?token={TOKEN}, then rest", "get https://one.example/?token=***, then rest"),
        (f"(https://one.example/f/{TOKEN})", "(https://one.example/f/***)"),
        (f'{{"url":"https://one.example/f/{TOKEN}","n":1}}', '{"url":"https://one.example/f/***","n":1}'),
        (f"<https://one.example/{TOKEN}> https://two.example/?key=1", "<https://one.example/***> https://two.example/?key=***"),
        (f"http://[::1]:80/?key={TOKEN}", "http://[::1]:80/?key=***"),
        ("at http://[::1]", "at http://[::1]"),
        ("http://[::1", "(unreadable address)"),
        ("https://archive.example/https://u:p@one.example/x", "https://archive.example/https://***@one.example/x"),
        ("s3://key:secret@bucket/lake", "s3://***@bucket/lake"),
        ("mail a@b.example about https://one.example/a@b", "mail a@b.example about https://one.example/a@b"),
    ],
)  # fmt: skip
def test_secrets_are_masked_in_every_address_of_a_text(text: str, masked: str) -> None:
    assert mask_addresses(text) == masked


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
def test_no_part_of_a_record_holds_a_secret(formatter: logging.Formatter) -> None:
    address = f"https://user:hunter2@one.example/feed?token={TOKEN}"
    made = record("get %s", address, url=address, both=[address])
    made.exc_info = raised(ValueError(f"cannot get {address}"), OSError(address)).exc_info
    line = formatter.format(made)
    assert "hunter2" not in line
    assert TOKEN not in line
    assert "one.example/feed?token=***" in line
    made = record("%d", address)
    assert "hunter2" not in formatter.format(made)


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.floats() | st.binary()))
def test_any_text_becomes_one_readable_line(message: str, name: str, values: dict[str, Any]) -> None:
    made = record(message)
    vars(made).update({f"{name}_{key}_id": value for key, value in values.items()})
    assert as_json(made)["level"] == "WARNING"
    as_text(made)


@pytest.mark.parametrize(
    "piece", ["http://", "https://a@", "://", "://a", "https://a/?x=[", "x@", "https://a/?token=b&", "[", "a"]
)
def test_masking_takes_time_in_proportion_to_the_text(piece: str) -> None:
    text = "https://" + piece * (400_000 // len(piece))
    began = time.process_time()
    mask_addresses(text)
    assert time.process_time() - began < 5, "linear: some hundredths of a second; quadratic: minutes"


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, threading.excepthook
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    threading.excepthook = hook


@pytest.mark.usefixtures("restored_logging")
def test_use_replaces_what_writes_to_the_terminal_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    plain, other = logging.StreamHandler(), logging.NullHandler()
    root.addHandler(plain)
    root.addHandler(other)
    use_text_logs("INFO")
    use_json_logs(logging.INFO)
    assert plain not in root.handlers
    assert other in root.handlers
    logging.getLogger("newsbeam.y").info("once", extra={"run_id": "r"})
    logging.getLogger("newsbeam.y").debug("too quiet")
    out, err = capsys.readouterr()
    assert out == ""
    assert [(line["message"], line["run_id"]) for line in map(json.loads, err.splitlines())] == [("once", "r")]
    use_text_logs(logging.ERROR)
    logging.getLogger("newsbeam.y").error("as text")
    assert capsys.readouterr().err.endswith("ERROR newsbeam.y: as text\n")


@pytest.mark.usefixtures("restored_logging")
def test_a_thread_that_dies_and_a_warning_are_records(capsys: pytest.CaptureFixture[str]) -> None:
    use_json_logs()

    def die() -> None:
        raise ValueError("https://user:hunter2@one.example/")

    thread = threading.Thread(target=die, name="doomed")
    thread.start()
    thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old\nways", stacklevel=1)
    died, warned = map(json.loads, capsys.readouterr().err.splitlines())
    assert died["message"] == "thread doomed died"
    assert died["exc"]["message"] == "https://***@one.example/"
    assert (warned["logger"], "old\nways" in warned["message"]) == ("py.warnings", True)


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        use_json_logs("LOUD")


def test_lines_of_many_threads_stay_whole_in_a_real_process() -> None:
    code = """
import logging, threading
from pipelines.json_logs import use_json_logs
use_json_logs("INFO")
def talk(n):
    for i in range(50):
        logging.getLogger("newsbeam").info("line %d\\n", i, extra={"entry_id": str(n) * 200})
threads = [threading.Thread(target=talk, args=(n,)) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert sorted((line["entry_id"][0], line["message"]) for line in lines) == sorted(
        (str(n), f"line {i}\n") for n in range(4) for i in range(50)
    )
