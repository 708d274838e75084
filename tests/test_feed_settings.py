"""Feeds in the settings file and in lists beside it: what a run is given of them."""

import argparse
import logging
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from pipelines import feeds_command, options
from pipelines.options import TEMPLATE, FeedList, read_config, read_feeds
from transforms.errors import UsageError
from transforms.lake import open_lake

SETTINGS = """\
lake = "lake"
contact = "mailto:desk@example.org"
feed_lists = ["more.txt"]

[[feeds]]
url = "https://a.example/feed"
token = { file = "a.token" }
min_interval = "5m"

[[feeds]]
url = "https://b.example/feed"
pause = true
token = { env = "NOT_SET_ANYWHERE" }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    (tmp_path / "newsbeam.toml").write_text(SETTINGS)
    (tmp_path / "more.txt").write_text("https://c.example/feed\nhttps://a.example/feed\n")
    (tmp_path / "a.token").write_text("s3cr3t\n")
    return tmp_path


def flags(folder: Path, **given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"config": str(folder / "newsbeam.toml"), "feeds": None, "urls": None, **given})


def test_paused_feeds_are_listed_but_not_polled(folder: Path) -> None:
    listed = read_feeds(flags(folder))
    assert [(feed.url[8], feed.is_paused) for feed in listed] == [("a", False), ("b", True), ("c", False)]
    polled = read_config(flags(folder), version="1", needs_feeds=True).feeds
    assert [feed.url[8] for feed in polled] == ["a", "c"]
    assert polled[0].min_interval_seconds == 300


def test_a_feed_that_is_listed_twice_counts_as_it_is_listed_first(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_feeds(flags(folder))[0].headers
    assert "https://a.example/feed is listed twice, differently" in caplog.text
    caplog.clear()
    assert not read_feeds(flags(folder, feeds=[str(folder / "more.txt"), str(folder / "more.txt")]))[0].headers
    assert caplog.text == ""


def test_a_run_without_a_secret_is_refused_and_names_the_feed(folder: Path) -> None:
    (folder / "a.token").unlink()
    with pytest.raises(UsageError, match=r"newsbeam\.toml line 5: https://a\.example/feed: secret file .*a\.token"):
        read_config(flags(folder), version="1", needs_feeds=True)
    assert len(read_feeds(flags(folder))) == 3  # a list can be looked at without


def test_no_secret_is_pickled_to_workers(folder: Path) -> None:
    config = read_config(flags(folder), version="1", needs_feeds=True)
    feeds = FeedList(flags(folder), version="1")
    data = pickle.dumps((config, feeds))
    assert b"s3cr3t" not in data
    sent_back, _ = pickle.loads(data)
    assert sent_back.acquire.feed_headers(sent_back.feeds[0]) == {"Authorization": "Bearer s3cr3t"}


def test_the_settings_are_read_once_at_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, count = options._read_toml, [0]

    def counted(path: Path) -> Any:
        count[0] += 1
        return read(path)

    monkeypatch.setattr(options, "_read_toml", counted)
    feeds = FeedList(flags(folder), version="1")
    assert [len(feeds.config.feeds), *count] == [2, 1]
    open_lake(str(folder / "lake"))
    check = argparse.ArgumentParser()
    feeds_command.add_flags(check, options)
    feeds_command.run(check.parse_args(["check", "--config", str(folder / "newsbeam.toml")]))
    assert count == [2]


def test_a_stream_takes_over_a_pause_and_refuses_a_list_without_its_secret(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    feeds = FeedList(flags(folder), version="1")
    assert [feed.url[8] for feed in feeds()] == ["a", "c"]
    path = folder / "newsbeam.toml"
    path.write_text(SETTINGS.replace('min_interval = "5m"', "pause = true"))
    assert [feed.url[8] for feed in feeds()] == ["c"]
    path.write_text(SETTINGS.replace("pause = true", "pause = false"))
    assert [feed.url[8] for feed in feeds()] == ["c"]
    assert "environment variable NOT_SET_ANYWHERE is not set" in caplog.text


def test_every_setting_that_the_template_shows_can_be_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = TEMPLATE[TEMPLATE.index("[[feeds]]") :]
    shown = re.sub(r"(?m)^# (?=[a-z_]+ = )", "", feed)
    assert shown.count("\n# ") == 0
    monkeypatch.setenv("EXAMPLE_PASSWORD", "x")
    monkeypatch.setenv("EXAMPLE_KEY", "y")
    (tmp_path / "example.token").write_text("z")
    for kept, left in (("user|password", "token"), ("token", "user|password")):
        (tmp_path / "newsbeam.toml").write_text(re.sub(rf"(?m)^(?:{left}) = .*\n", "", shown))
        (spec,) = read_config(flags(tmp_path, feeds=None), version="1", needs_feeds=True).feeds or read_feeds(
            flags(tmp_path)
        )
        assert (spec.is_paused, spec.min_interval_seconds, spec.max_interval_seconds) == (True, 600, 21_600)
        assert [header.name for header in spec.headers] == ["Authorization", "Accept-Language", "X-Api-Key"], kept
