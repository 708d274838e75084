"""site_lines: stored in one transaction, read again only when they changed, and there whatever becomes of the lake."""

import pickle
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from tests.conftest import NOON
from transforms import lake as lake_module
from transforms import site_lines as site_lines_module
from transforms.errors import LakeError
from transforms.lake import Lake, arrow_dataset, open_lake
from transforms.learn_site_lines import SiteLine, model_version_of
from transforms.records import Draft
from transforms.schemas import SITE_LINES
from transforms.site_lines import LOOK_SECONDS, OpenSiteLines, WatchedSiteLines, lines_in, store_site_lines
from transforms.strip_cruft import StripCruft, line_hash, rules_version

FURNITURE = "Made above the quay of Harrow Bay"
STORY = "The council of Harrow Bay voted on Monday to rebuild the old pier, and work begins in the spring of next year."


def line(text: str, site: str = "one.example", **fields: Any) -> SiteLine:
    values = {
        "articles": 40,
        "busiest_day_articles": 5,
        "days": 9,
        "article_share": 0.9,
        "tail_share": 1.0,
        "neighbour_share": 1.0,
        "first_day": 20_500,
        "last_day": 20_520,
        "article_id": "a",
        "revision": 1,
    }
    return SiteLine(site=site, line_hash=line_hash(text), **{**values, **fields})


def store(lake: Lake, *lines: SiteLine, text: str = FURNITURE) -> bool:
    return store_site_lines(lake, lines, {(held.site, held.line_hash): text for held in lines}, now=NOON)


def files_of(lake: Lake) -> list[Path]:
    return sorted((lake.root / "site_lines").glob("date=*/*.parquet"))


def test_a_version_replaces_the_one_before_and_the_same_one_is_not_written(lake: Lake) -> None:
    assert lines_in(lake) == []
    assert store(lake, line(FURNITURE))
    before = files_of(lake)
    assert not store(lake, line(FURNITURE, articles=41))
    assert files_of(lake) == before
    assert store(lake, line("© Bay Post", "two.example"), line(FURNITURE), text="x" * 300)
    rows = lines_in(lake)
    assert [(row["site"], row["articles"]) for row in rows] == [("one.example", 40), ("two.example", 40)]
    assert {row["model_version"] for row in rows} == {
        model_version_of([line(FURNITURE), line("© Bay Post", "two.example")])
    }
    assert rows[0]["line"] == "x" * 199 + "…"
    assert (rows[0]["first_day"], rows[0]["last_day"]) == (date(2026, 2, 16), date(2026, 3, 8))
    assert store(lake)
    assert lines_in(lake) == []
    assert not store(lake)


def test_a_lake_has_the_table_when_something_was_learned(lake: Lake) -> None:
    assert not (lake.root / "site_lines").exists()
    with pytest.raises(LakeError, match="no table 'site_lines'; its tables are articles, dead_letters, polls"):
        arrow_dataset(str(lake.root), "site_lines")
    store(lake, line(FURNITURE))
    assert arrow_dataset(str(lake.root), "site_lines").to_table().num_rows == 1
    lake_module._open.pop(lake.root)
    assert lines_in(open_lake(str(lake.root), create=False))[0]["line"] == FURNITURE


def test_who_meets_another_writer_looks_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    store(lake, line("First of all of them"))

    def meet(name: str) -> None:
        if name == "before_commit:site_lines":
            monkeypatch.setattr(lake_module, "on_point", lambda name: None)
            lake_module._open.pop(lake.root)
            other = open_lake(str(lake.root))
            lake_module._open[lake.root] = lake
            assert store(other, line("Second of all of them"))

    monkeypatch.setattr(lake_module, "on_point", meet)
    assert store(lake, line("Third of all of them"))
    assert [row["line_hash"] for row in lines_in(lake)] == [line_hash("Third of all of them")]


# ---- watched --------------------------------------------------------------------------------------------------------


def test_a_new_version_is_seen_within_a_minute_and_nothing_is_read_before(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    watched = WatchedSiteLines(str(lake.root), clock=lambda: now[0])
    looks: list[int] = []
    reads: list[list[str]] = []
    view = watched._view
    version, read = view.version, view.read

    def counting_version() -> int:
        looks.append(1)
        return version()

    def counting_read(columns: list[str]) -> pa.Table:
        reads.append(columns)
        return read(columns)

    monkeypatch.setattr(view, "version", counting_version)
    monkeypatch.setattr(view, "read", counting_read)
    assert [watched.lines_of("one.example") for _ in range(50)] == [None] * 50
    store(lake, line(FURNITURE))
    assert watched.lines_of("one.example") is None
    assert (len(looks), len(reads)) == (1, 0)
    now[0] = LOOK_SECONDS
    learned = watched.lines_of("one.example")
    assert learned is not None
    assert line_hash(FURNITURE.upper()) in learned
    assert line_hash("Something else altogether") not in learned
    assert watched.lines_of("two.example") is None
    assert watched.lines_of(None) is None
    now[0] = 2 * LOOK_SECONDS
    assert watched.lines_of("one.example") is learned
    assert (len(looks), len(reads)) == (3, 1)
    store(lake)
    now[0] = 3 * LOOK_SECONDS
    assert watched.lines_of("one.example") is None


def test_a_lake_that_is_away_leaves_the_lines_as_they_were(
    lake: Lake, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    store(lake, line(FURNITURE))
    watched = WatchedSiteLines(str(lake.root), clock=lambda: now[0])
    assert watched.lines_of("one.example") is not None
    away = lake.root.rename(lake.root.with_name("away"))
    for _ in range(3):
        now[0] += LOOK_SECONDS
        assert watched.lines_of("one.example") is not None
    shutil.move(away, lake.root)

    def broken() -> int:
        raise LakeError("a disk is missing")

    with monkeypatch.context() as patched:
        patched.setattr(watched._view, "version", broken)
        for _ in range(3):
            now[0] += LOOK_SECONDS
            assert watched.lines_of("one.example") is not None
    assert [record.getMessage() for record in caplog.records] == [
        "the learned lines stay as they were: a disk is missing"
    ]
    store(lake, line("Another line of it", "two.example"))
    now[0] += LOOK_SECONDS
    assert watched.lines_of("one.example") is None
    assert watched.lines_of("two.example") is not None


def test_a_graph_begins_with_the_newest_version(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_lines_module, "_watched", {})
    first = OpenSiteLines(str(lake.root))
    assert first().lines_of("one.example") is None
    store(lake, line(FURNITURE))
    assert first().lines_of("one.example") is None
    second = pickle.loads(pickle.dumps(OpenSiteLines(str(lake.root))))
    assert second().lines_of("one.example") is not None
    assert first() is second()


def test_the_step_goes_by_the_lines_of_the_lake(lake: Lake, draft: Callable[..., Draft]) -> None:
    drafts = [draft(site, f"{STORY}\n{FURNITURE}", site=f"{site}.example") for site in ("one", "two")]

    def strip() -> None:
        with beam.Pipeline(runner="FnApiRunner") as pipeline:
            stripped = pipeline | beam.Create(drafts) | StripCruft(open_site_lines=OpenSiteLines(str(lake.root)))
            told = stripped.rows | beam.Map(_told)
            assert_that(told, equal_to(wanted))

    version = model_version_of([line(FURNITURE)])
    plain: tuple[Any, ...] = ("two.example", f"{STORY}\n{FURNITURE}", [], rules_version())
    wanted = [("one.example", f"{STORY}\n{FURNITURE}", [], rules_version()), plain]
    strip()
    store(lake, line(FURNITURE))
    wanted = [("one.example", STORY, [f"site_lines.{version}"], f"{rules_version()}+{version}"), plain]
    strip()


def _told(draft: Draft) -> tuple[Any, ...]:
    rules = [removal.rule for removal in draft.removed if removal.kind != "whitespace"]
    return draft.site, draft.text, rules, draft.rules_version


def test_the_table_describes_its_columns() -> None:
    assert SITE_LINES.key == ("site", "line_hash", "model_version")
    assert all(field.metadata[b"description"] for field in SITE_LINES.schema)
