"""feeds check and export: how each feed of a list stands, and the list in another program's words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest
from apache_beam.utils.timestamp import Timestamp

from pipelines import cli
from pipelines.feed_health import (
    NEWEST_POLLS,
    NO_TROUBLE,
    TROUBLES,
    FeedHealth,
    feeds_of_lake,
    health_of,
    new_per_day,
    read_health,
    suggested_address,
    validators_of,
    worst_first,
)
from pipelines.feed_list import read_feed_list
from pipelines.feeds_command import as_json, fails, table
from tests.conftest import NOON
from tests.feed_health_cases import MOVES, RATES
from tests.feed_health_cases import TROUBLES as TROUBLE_CASES
from transforms.commit import Batch, commit
from transforms.lake import Lake
from transforms.records import FeedSpec, Poll, feed_id_of

URL = "https://old.example/feed"
FEED = FeedSpec(feed_id_of(URL), URL, "The Old")


def before(hours: float) -> Timestamp:
    return Timestamp(micros=NOON.micros - int(hours * 3_600_000_000))


def row_of(hours: float, fields: dict[str, Any]) -> dict[str, Any]:
    at = before(hours).micros
    row = {
        "polled_at": at,
        "state": "ok",
        "reason": None,
        "message": None,
        "etag": None,
        "last_modified": None,
        "new": 0,
    }
    return row | {"failures_in_a_row": 0, "next_due_at": at + 3_600_000_000, "moved_to": None} | fields


@pytest.mark.parametrize("polls, wanted", [case[1:] for case in TROUBLE_CASES], ids=[case[0] for case in TROUBLE_CASES])
def test_trouble(polls: list[tuple[float, dict[str, Any]]], wanted: str) -> None:
    rows = [row_of(*poll) for poll in polls]
    news = [Timestamp(micros=row["polled_at"]) for row in rows if row["new"]]
    assert health_of(FEED, rows[-NEWEST_POLLS:], news=news, now=NOON).trouble == wanted


@pytest.mark.parametrize("moves, wanted", MOVES)
def test_suggested_address(moves: list[Optional[str]], wanted: Optional[str]) -> None:
    assert suggested_address(moves, URL) == wanted


@pytest.mark.parametrize("polls, wanted", RATES)
def test_new_per_day(polls: list[tuple[float, int]], wanted: Optional[float]) -> None:
    assert new_per_day([before(hours).micros for hours, _ in polls], [new for _, new in polls]) == wanted


@pytest.mark.parametrize(
    "etag, last_modified, wanted",
    [
        (None, None, "none"),
        ('"1"', None, "etag"),
        (None, "Mon", "last-modified"),
        ('"1"', "Mon", "both"),
        ("", "Mon", "mistrusted"),
        ('"1"', "", "mistrusted"),
    ],
)
def test_validators(etag: Optional[str], last_modified: Optional[str], wanted: str) -> None:
    assert validators_of(etag, last_modified) == wanted


def test_a_paused_feed_has_no_trouble() -> None:
    paused = FeedSpec(FEED.feed_id, URL, is_paused=True)
    assert health_of(paused, [], news=[], now=NOON).trouble == "paused"
    assert health_of(paused, [row_of(1, {"status": "failed", "state": "gone"})], news=[], now=NOON).trouble == "paused"


def test_the_worst_come_first() -> None:
    made = [
        FeedHealth("1", "b", None, "ok"),
        FeedHealth("2", "b", None, "failing", last_success_at=before(1)),
        FeedHealth("3", "b", None, "failing", last_success_at=before(9)),
        FeedHealth("4", "b", None, "paused"),
        FeedHealth("5", "b", None, "failing"),
        FeedHealth("6", "b", None, "gone"),
        FeedHealth("7", "a", None, "ok"),
    ]
    assert [feed.feed_id for feed in worst_first(made)] == ["6", "5", "3", "2", "7", "1", "4"]


@pytest.mark.parametrize("trouble", [*TROUBLES, *NO_TROUBLE])
@pytest.mark.parametrize("limit", ["never", *TROUBLES])
def test_fail_on(trouble: str, limit: str) -> None:
    severity = [*TROUBLES, *NO_TROUBLE]
    wanted = limit != "never" and severity.index(trouble) <= severity.index(limit)
    assert fails([FeedHealth("1", "a", None, "ok"), FeedHealth("2", "b", None, trouble)], limit) == wanted


@pytest.fixture
def polled(lake: Lake, poll: Callable[..., Poll]) -> Lake:
    """A lake with a feed that is well, one that fails since long ago, one that has moved, and an archive."""

    def add(url: str, hours: float, **fields: Any) -> None:
        at = before(hours)
        made = poll(feed_id=feed_id_of(url), url=url, polled_at=at, next_due_at=before(hours - 2), **fields)
        commit(lake, Batch(polls=[made]), now=at)

    add("https://well.example/f", 50, etag='"1"', last_modified="x")
    add("https://well.example/f", 2, status="not_modified", last_modified="x")
    add("https://ill.example/f", 24 * 40, etag=None)
    for days in (30, 20, 10):
        add(
            "https://ill.example/f",
            24 * days,
            status="failed",
            reason="dns_failed",
            message="no such name",
            failures_in_a_row=4,
        )
    for hours in (72, 48, 24):
        add("https://old.example/f", hours, state="moved", moved_to="https://new.example/f", etag=None)
    add("pages.warc.gz", 24, format="warc")
    return lake


LISTED = [
    FeedSpec(feed_id_of(url), url)
    for url in ("https://well.example/f", "https://ill.example/f", "https://old.example/f", "https://never.example/f")
]


def test_health_is_read_from_the_polls(polled: Lake) -> None:
    well, ill, moved, never = read_health(polled, LISTED, NOON)
    assert (well.trouble, well.validators, well.interval_seconds, well.new_per_day) == ("silent", "both", 7_200, 0.0)
    assert well.last_success_at == before(2)
    assert (ill.trouble, ill.last_success_at, ill.reason, ill.failures_in_a_row) == (
        "failing",
        before(960),
        "dns_failed",
        4,
    )
    assert (ill.new_per_day, ill.validators) == (None, "none")
    assert moved.suggested_url == "https://new.example/f"
    assert (never.trouble, never.polled_at) == ("never_polled", None)


def test_without_a_list_the_lakes_feeds_are_taken(polled: Lake) -> None:
    assert {feed.url for feed in feeds_of_lake(polled)} == {feed.url for feed in LISTED[:3]}


def test_the_table(polled: Lake) -> None:
    lines = list(table(worst_first(read_health(polled, LISTED, NOON)), NOON))
    assert lines == [
        "state         last success  interval  new/day  validators  errors  feed",
        "failing       40d ago       2h        -        none        4       https://ill.example/f  (dns_failed: no such name)",
        "silent        1d ago        2h        0.0      none        -       https://old.example/f  (no news in three months; "
        "has moved; list https://new.example/f instead)",
        "silent        2h ago        2h        0.0      both        -       https://well.example/f  (no news in three months)",
        "never_polled  never         -         -        -           -       https://never.example/f",
        "4 feeds: 1 failing, 2 silent, 1 never_polled",
    ]


def test_check_on_the_command_line(
    polled: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.time", lambda: NOON.micros / 1e6)
    path = tmp_path / "feeds.txt"
    path.write_text("https://well.example/f\nhttps://u:s3cr3t@ill.example/f\n")
    lake = ["--lake", str(polled.root)]
    assert cli.main(["feeds", "check", *lake, "--feeds", str(path), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(feed["url"], feed["trouble"]) for feed in found] == [
        ("https://well.example/f", "silent"),
        ("https://***@ill.example/f", "never_polled"),
    ]
    assert found[0]["last_success_at"].startswith("2026-02-02T00:40:00")
    assert cli.main(["feeds", "check", *lake, "--feeds", str(path), "--fail-on", "gone"]) == 0
    assert cli.main(["feeds", "check", *lake, "--fail-on", "failing"]) == 1
    out = capsys.readouterr().out
    assert "3 feeds: 1 failing, 2 silent" in out
    assert "s3cr3t" not in out


def test_json_has_every_field() -> None:
    made = as_json(FeedHealth("1", "a", None, "ok", polled_at=NOON))
    assert (made["polled_at"], made["new_per_day"]) == ("2026-02-02T02:40:00Z", None)


LIST = """\
[[feeds]]
url = "https://a.example/feed"
title = "A"
tags = ["local"]
token = { env = "A_TOKEN" }
max_interval = "1h"

[[feeds]]
url = "https://b.example/feed?token=s3cr3t"
pause = true
"""


@pytest.mark.parametrize("kind", ["opml", "toml", "text"])
@pytest.mark.parametrize("secrets", [False, True])
def test_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str, secrets: bool
) -> None:
    monkeypatch.delenv("A_TOKEN", raising=False)  # a list can be exported where its secrets are not
    path, out = tmp_path / "list", tmp_path / "out"
    path.write_text(LIST)
    flags = ["feeds", "export", "--feeds", str(path), "--format", kind, *(["--secrets"] if secrets else [])]
    assert cli.main(flags) == 0
    text, err = capsys.readouterr()
    out.write_text(text, "utf-8")
    kept = read_feed_list(path)[: 2 if secrets else 1]
    back = read_feed_list(out)
    if kind == "toml":
        assert back == kept
    else:
        assert [feed.url for feed in back] == [feed.url for feed in kept if kind == "opml" or not feed.is_paused]
    assert ("s3cr3t" in text) == secrets
    assert ("left out 1 feeds" in err) != secrets
    assert ("--format toml has them" in err) == (kind != "toml")


def test_export_of_nothing_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["feeds", "export"]) == 2
    assert "no feeds: give --feeds FILE" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        cli.main(["feeds"])
    assert ended.value.code == 2
