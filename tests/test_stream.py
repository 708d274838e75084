"""stream: its flags, the list of feeds that is read again, and what is said when an engine is missing."""

import argparse
import logging
import os
import pickle
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Optional

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import attend_worker, engines, options, stream
from pipelines.cli import main
from pipelines.options import FeedList, StreamConfig, read_stream_config
from transforms.errors import UsageError

WHO = ["--contact", "mailto:you@example.org"]


@pytest.fixture
def flags() -> Callable[..., argparse.Namespace]:
    def parse(*words: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser(exit_on_error=False)
        parser.add_argument("urls", nargs="*")
        parser.add_argument("--feeds", action="append")
        options.add_common_flags(parser)
        options.add_http_flags(parser)
        options.add_stream_flags(parser)
        return parser.parse_args(words)

    return parse


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10.0), ("500ms", 0.5), ("5m", 300.0), ("1h", 3600.0), ("1d", 86_400.0), ("2.5", 2.5)]
)
def test_a_time_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert options.interval(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0s", "50ms", "31d", "1e3", "5 minutes", "١s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time between 100ms and 30d"):
        options.interval(text)


def test_flags_become_settings(flags: Callable[..., argparse.Namespace]) -> None:
    assert read_stream_config(flags()) == StreamConfig()
    words = ["--runner", "flink", "--flink-master", "jm:8081", "--worker-pool", "localhost:50000", "--tick", "5s"]
    settings = read_stream_config(flags(*words, "--status-address", "none", "--beam-option=--x=1"))
    assert (settings.flink_master, settings.worker_pool, settings.tick_seconds) == ("jm:8081", "localhost:50000", 5.0)
    assert (settings.status_address, settings.beam_options) == (None, ("--x=1",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--worker-pool", "a:1"], "--worker-pool is for --runner flink, not prism"),
        (["--min-interval", "1h", "--max-interval", "1m"], "--max-interval 60s is shorter than --min-interval 3600s"),
    ],
)
def test_flags_that_do_not_fit_together_are_named(
    flags: Callable[..., argparse.Namespace], words: Sequence[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_stream_config(flags(*words))


def test_the_feed_list_is_read_again_when_it_has_changed(
    flags: Callable[..., argparse.Namespace], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = tmp_path / "feeds.txt"
    clock = iter(range(1_700_000_000, 1_700_000_100))

    def write(text: str) -> None:
        listed.write_text(text, "utf-8")
        at = next(clock)
        os.utime(listed, (at, at))

    write("https://one.example/feed\n")
    feeds: FeedList = pickle.loads(pickle.dumps(FeedList(flags("--feeds", str(listed), *WHO), version="1")))
    assert [feed.url for feed in feeds()] == ["https://one.example/feed"]
    write("https://one.example/feed\nhttps://two.example/feed\n")
    assert [feed.url for feed in feeds()] == ["https://one.example/feed", "https://two.example/feed"]
    write("https://one.example/feed\nnonsense\n")
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        assert len(feeds()) == 2
        assert len(feeds()) == 2
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["the feed list is not taken over"]
    listed.unlink()
    assert len(feeds()) == 2
    write("https://three.example/feed\n")
    assert [feed.url for feed in feeds()] == ["https://three.example/feed"]


def test_a_missing_prism_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"`make prism` builds it .*go install .*prism@v\d"):
        engines.prism_program()
    with pytest.raises(UsageError, match="no program"):
        engines.prism_program(str(tmp_path / "prism"))
    made = tmp_path / "prism"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    assert engines.prism_program() == made


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runner", "flink"], "`make flink-jar` builds it"),
        (["--runner", "flink", "--job-server", "none.jar"], "none.jar: there is no such file"),
        (["--runner", "flink", "--job-server", "localhost:1"], "give its cluster's --flink-master as well"),
        (["--runner", "dataflow"], "Dataflow needs a lake that its workers reach"),
        (["--prism", "nowhere"], "--prism nowhere is no program"),
        (["--status-address", "nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_started_is_bad_usage_in_one_line(
    words: Sequence[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    prism = tmp_path / "prism"
    prism.write_text("#!/bin/sh\n")
    prism.chmod(0o755)
    flags = ["--prism", str(prism), *words] if "--runner" not in words else words
    command = ["stream", "https://one.example/feed", "--lake", str(tmp_path / "lake"), *WHO, *flags]
    assert main(command) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("newsbeam: ")]
    assert message in line


def test_an_engine_that_ends_at_once_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prism = tmp_path / "prism"
    prism.write_text("#!/bin/sh\necho out of luck\nexit 7\n")
    prism.chmod(0o755)
    command = ["stream", "https://one.example/feed", "--lake", str(tmp_path / "lake"), *WHO]
    command += ["--prism", str(prism)]
    assert main([*command, "--status-address", "127.0.0.1:0"]) == 1
    assert "Prism ended with status 7: out of luck" in capsys.readouterr().err


class _Result:
    """A job that runs, or has ended."""

    def __init__(self, state: str) -> None:
        self.state = state


class _Elsewhere(engines.Engine):
    """An engine whose workers run elsewhere and whose commits are counted so; the last count stays."""

    def __init__(self, counts: Sequence[Optional[int]]) -> None:
        super().__init__(PipelineOptions([]), is_local=False)
        self._left = list(counts)

    def count_commits(self) -> Optional[int]:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


def watch(state: str, counts: Sequence[Optional[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend_worker, "LEAST_SILENT_SECONDS", 0.5)
    monkeypatch.setattr(stream, "START_SECONDS", 0.5)
    settings = StreamConfig(tick_seconds=0.01)
    stream._watch(_Elsewhere(counts), _Result(state), options.Config(), settings, threading.Event())


def test_a_job_that_ends_by_itself_fails_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(stream.StreamFailedError, match=r"the job ended by itself \(FAILED\)"):
        watch("FAILED", [0], monkeypatch)


def test_a_job_that_was_restarted_and_counts_anew_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.125 s a look, 0.5 s without a change allowed: ten looks at a count below its highest are no silence.
    ticks = [50, *range(1, 11)]
    started = time.monotonic()
    with pytest.raises(stream.StreamFailedError, match="nothing was harvested"):
        watch("RUNNING", ticks, monkeypatch)
    assert time.monotonic() - started >= 0.125 * len(ticks) + 0.5


@pytest.mark.parametrize("ticks", [[0], [1, 2, 3], [None, None, None, None, None, None, 0]])
def test_a_job_that_never_harvests_or_stops_to_fails_loudly(
    ticks: Sequence[Optional[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    with pytest.raises(stream.StreamFailedError, match="nothing was harvested for 0 s; starting again is safe"):
        watch("RUNNING", ticks, monkeypatch)
    assert time.monotonic() - started >= 0.5
