"""learn_site_lines: what is furniture and what is not, and that the same lake gives the same version."""

import random
from dataclasses import replace
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import Timestamp

from tests.conftest import NOON
from tests.site_line_cases import CASES, FIRST_DAY, LABEL, NOTICE, SITE, Case, article, site, story
from transforms.lake import Lake
from transforms.learn_site_lines import (
    LINE,
    NEVER,
    PARAGRAPH,
    LearnSiteLines,
    SiteLine,
    article_lines,
    files_to_learn_from,
    is_furniture,
    kind_of,
    learn_lines,
    lines_to_count,
    model_version_of,
)
from transforms.records import Removal
from transforms.schemas import ARTICLES
from transforms.strip_cruft import line_hash


def learned_of(rows: list[dict[str, Any]]) -> list[SiteLine]:
    return learn_lines(held for row in rows if (held := article_lines(row)) is not None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exactly_the_furniture_is_learned(case: Case) -> None:
    hashes = {line_hash(line): line for row in case.rows for line in row["text"].split("\n") if line}
    hashes |= {
        line_hash(held["text"]): held["text"] for row in case.rows for held in row["removed"] if held["text"].strip()
    }
    assert {hashes[line.line_hash] for line in learned_of(list(case.rows))} == case.learned


@pytest.mark.parametrize(
    "line, kind",
    [
        ("More stories from the harbour desk", LINE),
        ("© 2026 Harrow Bay Post", LINE),
        ("Read the whole story in the paper.", PARAGRAPH),
        ("word " * 25, PARAGRAPH),
        ("Ingredients", NEVER),
        ("Full time", NEVER),
        ("- 2 large eggs", NEVER),
        ("2 large eggs and milk", NEVER),
        ("• the old pier bridge", NEVER),
        ("“We will be there” she said", NEVER),
        ("‘We will be there’ she said", NEVER),
        ("He called it «a very long day» again", NEVER),
        ("Subscribe to the “Tide” newsletter today", LINE),
        ("What you need for it:", NEVER),
        ("word " * 130, NEVER),
        ("***", NEVER),
    ],
)
def test_how_much_evidence_a_line_needs(line: str, kind: int) -> None:
    assert kind_of(line.strip()) == kind


def test_what_is_counted_is_what_rules_leave() -> None:
    extracted = "(AP) The story begins.\nIt ends.\nOur desk writes daily\nAll rights reserved"
    removed = []
    for rule, stretch in (
        ("opener.x", "(AP)"),
        ("site_lines.1", "Our desk writes daily"),
        ("credit.x", "All rights reserved"),
    ):
        start = extracted.index(stretch)
        removed.append(Removal(rule, "x", start, start + len(stretch), stretch))
    kept, at = [], 0
    for removal in removed:
        kept.append(extracted[at : removal.start])
        at = removal.end
    assert lines_to_count("".join(kept) + extracted[at:], removed) == [
        "The story begins.",
        "It ends.",
        "Our desk writes daily",
    ]


LEARNED = SiteLine(SITE, "0" * 16, 30, 3, 8, 0.9, 1.0, 1.0, 0, 9, "a", 1)


@pytest.mark.parametrize(
    "change",
    [
        {"busiest_day_articles": 19},
        {"days": 5},
        {"article_share": 0.59},
        {"tail_share": 0.94},
        {"neighbour_share": 0.59},
    ],
)
def test_each_kind_of_evidence_is_needed(change: dict[str, Any]) -> None:
    assert is_furniture(LEARNED, LINE)
    assert not is_furniture(LEARNED, PARAGRAPH)
    assert not is_furniture(LEARNED, NEVER)
    assert not is_furniture(replace(LEARNED, **change), LINE)


def test_the_evidence_is_what_was_counted() -> None:
    rows = site(10, 4, lambda dice, n, day: [*story(dice), *([LABEL, NOTICE] if n % 10 else [NOTICE])])
    dice = random.Random(3)
    rows += [article(500 + n, 4, [*story(dice), LABEL, NOTICE]) for n in range(6)]
    by_hash = {line.line_hash: line for line in learned_of(rows)}
    label, notice = by_hash[line_hash(LABEL)], by_hash[line_hash(NOTICE)]
    assert (notice.articles, notice.days, notice.busiest_day_articles) == (46, 10, 10)
    assert (notice.article_share, notice.tail_share, notice.neighbour_share) == (1.0, 1.0, 1.0)
    assert (label.articles, label.days, label.busiest_day_articles) == (42, 10, 10)
    assert label.article_share == pytest.approx(32 / 36)
    first = int(FIRST_DAY.timestamp()) // 86_400
    assert (notice.first_day, notice.last_day, notice.article_id) == (first, first + 9, f"{0:016x}")
    assert label.article_id == f"{1:016x}"


def test_the_order_of_articles_and_what_comes_twice_do_not_matter() -> None:
    rows = [row for case in CASES for row in case.rows][:4_000]
    wanted = learned_of(rows)
    assert wanted == learned_of(rows)
    for seed in range(3):
        shuffled = rows + rows[:500]
        random.Random(seed).shuffle(shuffled)
        assert learned_of(shuffled) == wanted


def test_the_version_names_the_lines_and_not_how_often_they_were_seen() -> None:
    rows = site(14, 5, lambda dice, n, day: [*story(dice), LABEL])
    fewer, more = learned_of(rows[:-5]), learned_of(rows)
    assert fewer[0].articles < more[0].articles
    assert model_version_of(fewer) == model_version_of(more)
    assert model_version_of([*more, replace(more[0], line_hash="f" * 16)]) != model_version_of(more)
    assert model_version_of(reversed(more)) == model_version_of(more)


# ---- over the lake --------------------------------------------------------------------------------------------------


def put(lake: Lake, rows: list[dict[str, Any]], *, at: Timestamp = NOON, parts: int = 1) -> None:
    """Write rows of articles as they are, in as many data files."""
    for part in range(parts):
        held = [
            {
                **row,
                "entry_id": row["article_id"],
                "entry_hash": "1",
                "page_id": row["article_id"],
                "title": "A headline",
                "committed_at": at.micros,
                "first_seen_at": int(row["first_seen_at"].timestamp()) * 1_000_000,
            }
            for row in rows[part::parts]
        ]
        lake.append(ARTICLES, held, committed_at=at)
        lake.refresh()


@pytest.mark.parametrize("parts", [1, 5])
def test_the_lake_gives_the_lines_of_all_sites(lake: Lake, parts: int) -> None:
    rows = site(14, 5, lambda dice, n, day: [*story(dice), LABEL])
    others = site(14, 5, lambda dice, n, day: [*story(dice), NOTICE], seed=2)
    others = [{**row, "site": "two.example", "article_id": f"b{row['article_id'][1:]}"} for row in others]
    put(lake, rows + others, parts=parts)
    wanted = learned_of(rows) + learned_of(others)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        files = files_to_learn_from(lake)
        assert len(files) == parts
        learned = pipeline | beam.Create(files) | LearnSiteLines(lake_uri=str(lake.root))
        assert_that(learned, equal_to(wanted))
    assert [line.site for line in wanted] == [SITE, "two.example"]


def test_the_window_ends_with_the_lakes_newest_day(lake: Lake) -> None:
    rows = site(3, 1, lambda dice, n, day: story(dice))
    for n, days in enumerate((0, 60, 100)):
        put(lake, [rows[n]], at=NOON + days * 86_400)
    assert [file[5:15] for file in files_to_learn_from(lake)] == [
        (NOON + days * 86_400).to_utc_datetime().date().isoformat() for days in (60, 100)
    ]
