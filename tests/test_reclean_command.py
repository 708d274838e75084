"""reclean: rows as today's rules would have them, in their place, once, whatever happens meanwhile.

python -m tests.test_reclean_command LAKE POINT     # the process that is killed at a point
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import deltalake
import pyarrow.parquet as pq
import pytest
from apache_beam.utils.timestamp import Duration

from pipelines import cli
from pipelines.reclean_command import Reclean, Wanted, clean_again, is_whole
from tests.conftest import NOON
from tests.kill_points import kill_at
from tests.test_site_lines import line, store
from tests.test_upkeep import LONG_AFTER, all_rows, memory_of, reopened
from transforms import lake as lake_module
from transforms import site_lines as site_lines_module
from transforms.commit import Batch, commit
from transforms.errors import RejectedError
from transforms.fingerprint import fingerprint
from transforms.lake import Lake, open_lake
from transforms.records import CleanText, Draft, Removal
from transforms.schemas import ARTICLES, SCHEMA_VERSION
from transforms.site_lines import OpenSiteLines
from transforms.strip_cruft import LearnedLines, line_hash, restore, rules_version, strip_cruft
from transforms.upkeep import fold

ROOT = Path(__file__).resolve().parent.parent
STORY = (
    "The council of Harrow Bay voted on Monday to rebuild the old pier, and work begins in the spring of next year.",
    "The mayor said that the ferry goes on until then, and that nobody on the islands needs to change plans.",
)
PROMPT = "Subscribe to our newsletter to get the latest posts sent to your email."
FURNITURE = "Made above the quay of Harrow Bay"
_MOST_SECONDS = 120

Make = Callable[..., Draft]


class Lines:
    """Learned lines as a test has them."""

    def __init__(self, *texts: str, version: str = "1", site: str = "one.example") -> None:
        self._site, self._lines = site, LearnedLines(version, frozenset(map(line_hash, texts)))

    def lines_of(self, site: Optional[str]) -> Optional[LearnedLines]:
        return self._lines if site == self._site and self._lines.hashes else None


NONE_LEARNED = Lines()


def came(
    draft: Make, name: str, extracted: str, *, lines: Lines = NONE_LEARNED, ruleless: bool = False, **fields: Any
) -> Draft:
    """An article as it was cleaned when it came: with `lines`, or (`ruleless`) by rules that knew nothing."""
    clean = CleanText(extracted)
    if not ruleless:
        site = fields.get("site", "one.example")
        clean = strip_cruft(extracted, title=None, site=site, language="en", site_lines=lines.lines_of(site))
    values = {"title": f"About the pier, part {name}", "rules_version": "0ld", "removed": clean.removed, **fields}
    return draft(name, clean.text, **values)


def told(name: str, *more: str) -> str:
    return "\n".join([STORY[0], f"It is said of {name} that {STORY[1][0].lower()}{STORY[1][1:]}", *more])


# Whichever rule it is that takes the prompt today.
[PROMPT_RULE] = [
    removal.rule
    for removal in strip_cruft(told("a", PROMPT), title="T", site=None, language="en").removed
    if removal.kind == "newsletter"
]


def rows(lake: Lake) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["article_id"], row["revision"]): row for row in all_rows(lake, ARTICLES).to_pylist()}


def reclean(lake: Lake, lines: Lines = NONE_LEARNED, **wanted: Any) -> Any:
    done = Reclean(lake, Wanted(**wanted), lines, clock=lambda: LONG_AFTER).run()
    lake.refresh()
    return done


# ---- one row --------------------------------------------------------------------------------------------------------


def values_of(text: str, removed: Sequence[Removal] = ()) -> dict[str, Any]:
    fields = ("rule", "kind", "start", "end", "text")
    ledger = [{name: getattr(removal, name) for name in fields} for removal in removed]
    return {"article_id": "a", "title": "T", "text": text, "site": "one.example", "language": "en", "removed": ledger}


def test_a_row_that_the_rules_leave_is_not_changed() -> None:
    clean = strip_cruft(
        told("a", PROMPT, FURNITURE),
        title="T",
        site=None,
        language="en",
        site_lines=Lines(FURNITURE).lines_of("one.example"),
    )
    assert clean.removed
    assert clean_again(values_of(clean.text, clean.removed), Lines(FURNITURE), frozenset()) is None
    renamed = clean_again(values_of(clean.text, clean.removed), Lines(FURNITURE, version="2"), frozenset())
    assert renamed is None


def test_a_kind_that_is_kept_comes_back() -> None:
    clean = strip_cruft(told("a", PROMPT), title="T", site=None, language="en")
    again = clean_again(values_of(clean.text, clean.removed), NONE_LEARNED, frozenset({"newsletter"}))
    assert again is not None
    assert again.text == told("a", PROMPT)


@pytest.mark.parametrize(
    "text, removed, reason",
    [
        (PROMPT, [], "no_story"),
        ("The pier is closed\nIt is closed", [], "too_short"),
        ("ab", [Removal("x", "x", 1, 5, "abc")], "broken_ledger"),
        ("ab", [Removal("x", "x", 1, 3, "ab"), Removal("x", "x", 2, 4, "ab")], "broken_ledger"),
        ("ab", [Removal("x", "x", 7, 9, "ab")], "broken_ledger"),
    ],
)
def test_what_cannot_be_cleaned_again_is_named(text: str, removed: Sequence[Removal], reason: str) -> None:
    with pytest.raises(RejectedError) as caught:
        clean_again(values_of(text, removed), Lines("The pier is closed"), frozenset())
    assert caught.value.reason == reason


def test_a_ledger_that_fits_is_whole() -> None:
    clean = strip_cruft(told("a", "", PROMPT, "  "), title=None, site=None, language=None)
    assert is_whole(clean)
    assert restore(clean) == told("a", "", PROMPT, "  ")


# ---- the lake -------------------------------------------------------------------------------------------------------


def test_rows_of_older_rules_become_as_if_they_came_today(lake: Lake, draft: Make) -> None:
    old = came(draft, "a", told("a", PROMPT), ruleless=True, fingerprint=fingerprint(told("a", PROMPT)))
    fine = came(draft, "b", told("b"), rules_version=rules_version())
    left = came(draft, "c", told("c"))
    commit(lake, Batch(drafts=[old, fine, left]), run_id="r", now=NOON)
    before = rows(lake)
    done = reclean(lake)
    after = rows(lake)
    assert (done.rows, done.changed, dict(done.goes), dict(done.returns)) == (2, 1, {PROMPT_RULE: 1}, {})
    assert after["b", 1] == before["b", 1]
    assert after["c", 1] == before["c", 1] | {"rules_version": rules_version()}
    row, held = after["a", 1], fingerprint(told("a"))
    assert row["text"] == told("a")
    assert (row["text_hash"], row["signature"], row["words"]) == (held.text_hash, held.signature, held.tokens)
    assert (tuple(row["bands"]), tuple(row["terms"])) == (held.bands, held.terms)
    assert restore(CleanText(row["text"], [Removal(**r) for r in row["removed"]])) == told("a", PROMPT)
    changed = {name for name in row if row[name] != before["a", 1][name]}
    assert changed == {"text", "removed", "words", "text_hash", "signature", "bands", "terms", "rules_version"}


def test_a_line_that_was_wrongly_removed_is_restored_to_the_character(lake: Lake, draft: Make) -> None:
    extracted = told("a", f"  {FURNITURE} ", "", PROMPT, "The ferry is free on Sundays until the end of June.\n")
    first = came(draft, "a", extracted, lines=Lines(FURNITURE, "The ferry is free on Sundays until the end of June."))
    assert "ferry is free" not in first.text
    commit(lake, Batch(drafts=[first]), now=NOON)
    done = reclean(lake, Lines(FURNITURE, version="2"))
    (row,) = rows(lake).values()
    assert row["text"] == told("a", "The ferry is free on Sundays until the end of June.")
    assert restore(CleanText(row["text"], [Removal(**r) for r in row["removed"]])) == extracted
    assert "site_lines.2" in {removal["rule"] for removal in row["removed"]}
    assert row["rules_version"] == f"{rules_version()}+2"
    assert done.returns == {"site_lines": 1}
    assert done.samples[0].returns == [("site_lines", "The ferry is free on Sundays until the end of June.")]


def test_twice_changes_nothing(lake: Lake, draft: Make) -> None:
    drafts = [came(draft, name, told(name, PROMPT), ruleless=name < "c") for name in "abcd"]
    commit(lake, Batch(drafts=drafts), now=NOON)
    assert reclean(lake).changed == 2
    before, files = rows(lake), sorted(lake.root.rglob("*.parquet"))
    done = reclean(lake)
    assert (done.rows, done.changed, done.files) == (0, 0, 0)
    assert rows(lake) == before
    assert sorted(lake.root.rglob("*.parquet")) == files


def test_a_row_that_cannot_be_cleaned_stays_whole_beside_one_that_can(lake: Lake, draft: Make) -> None:
    can = came(draft, "a", told("a", PROMPT), ruleless=True)
    cannot = came(draft, "e", PROMPT, ruleless=True, site="three.example")
    commit(lake, Batch(drafts=[can, cannot]), now=NOON)
    before = rows(lake)
    for changed in (1, 0):
        done = reclean(lake)
        assert (done.changed, dict(done.refused), done.refused_ids) == (changed, {"no_story": 1}, ["e"])
    assert rows(lake)["e", 1] == before["e", 1]
    assert rows(lake)["a", 1]["text"] == told("a")


def fill(lake: Lake, draft: Make) -> None:
    """Three days of four commits, each with an article of older rules, one of today's and one of another site."""
    for number in range(12):
        now = NOON + Duration(seconds=6 * 3_600 * number)
        drafts = [
            came(draft, f"a{number}", told(f"a{number}", PROMPT), ruleless=True, first_seen_at=now),
            came(draft, f"b{number}", told(f"b{number}"), first_seen_at=now, rules_version=rules_version()),
            came(draft, f"c{number}", told(f"c{number}", PROMPT), ruleless=True, first_seen_at=now, site="two.example"),
        ]
        commit(lake, Batch(drafts=drafts), now=now)


def test_only_the_site_and_the_days_that_are_meant(lake: Lake, draft: Make) -> None:
    fill(lake, draft)
    since = (NOON + Duration(seconds=30 * 3_600)).micros / 1e6
    done = reclean(lake, sites=("two.example",), since=since)
    assert dict(done.sites) == {"two.example": 7}
    cleaned = {key for key, row in rows(lake).items() if PROMPT not in row["text"]}
    assert {name for name, _ in cleaned if name[0] != "b"} == {f"c{number}" for number in range(5, 12)}


def test_copies_and_stories_stay_and_memories_follow(lake: Lake, draft: Make) -> None:
    fill(lake, draft)
    watcher = reopened(lake)
    memory_of(watcher)
    assigned = {key: (row["duplicate_of"], row["copy_kind"], row["story_id"]) for key, row in rows(lake).items()}
    assert any(duplicate for duplicate, _, _ in assigned.values())
    assert reclean(lake).changed == 24
    assert {k: (r["duplicate_of"], r["copy_kind"], r["story_id"]) for k, r in rows(lake).items()} == assigned
    wanted = memory_of(reopened(lake))
    assert memory_of(watcher) == memory_of(lake) == wanted
    late = NOON + Duration(seconds=67 * 3_600)
    commit(lake, Batch(drafts=[came(draft, "late", told("late"), first_seen_at=late)]), now=late)
    wanted = memory_of(reopened(lake))
    fold(lake, now=LONG_AFTER)
    assert len(reopened(lake).data_files(ARTICLES)) == 3
    assert memory_of(watcher) == memory_of(lake) == memory_of(reopened(lake)) == wanted


def test_an_entry_that_is_fetched_again_finds_its_recleaned_text_known(lake: Lake, draft: Make) -> None:
    fill(lake, draft)
    watcher = reopened(lake)
    memory_of(watcher)
    reclean(lake)
    later = NOON + Duration(seconds=90 * 3_600)
    again = came(draft, "a0", told("a0", PROMPT), entry_hash="2", first_seen_at=later)
    for held in (watcher, lake, reopened(lake)):
        result = commit(held, Batch(drafts=[replace(again, entry_hash=f"{id(held)}")]), now=later)
        assert (result.unchanged, result.article_revision) == (1, 0)


def test_a_commit_that_meets_a_reclean_decides_again(lake: Lake, draft: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(lake, draft)
    other = reopened(lake)
    lake_module._open[lake.root] = lake

    def recleaning(name: str) -> None:
        if name == "before_commit:articles":
            monkeypatch.setattr(lake_module, "on_point", lambda name: None)
            assert reclean(other).changed == 24

    monkeypatch.setattr(lake_module, "on_point", recleaning)
    later = NOON + Duration(seconds=90 * 3_600)
    late = came(draft, "late", told("late"), first_seen_at=later)
    result = commit(lake, Batch(drafts=[late]), now=later)
    assert (result.article_new, result.outrun) >= (1, 1)
    ids = [key[0] for key in rows(reopened(lake))]
    assert len(ids) == len(set(ids)) == 37


def test_a_reclean_that_meets_commits_and_folds_goes_on(
    lake: Lake, draft: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(lake, draft)
    met: list[str] = []

    def meeting(name: str) -> None:
        if name == "before_rewrite:articles" and len(met) < 2:
            met.append(name)
            other = reopened(lake)
            later = NOON + Duration(seconds=200 * 3_600)
            late = came(draft, f"late{len(met)}", told(f"late{len(met)}"), first_seen_at=later)
            commit(other, Batch(drafts=[late]), now=later)
            fold(other, now=LONG_AFTER)
            lake_module._open[lake.root] = lake

    monkeypatch.setattr(lake_module, "on_point", meeting)
    done = reclean(lake)
    held = rows(reopened(lake))
    assert len(met) == 2
    assert done.changed == 24
    assert len(held) == 38
    assert not any(PROMPT in row["text"] for row in held.values())


@pytest.mark.parametrize("point", ["in_file", "before_rewrite:articles", "after_rewrite:articles"])
def test_killed_in_the_middle_it_is_finished_by_the_next_run(lake: Lake, draft: Make, point: str) -> None:
    fill(lake, draft)
    before = rows(lake)
    killed = subprocess.Popen(
        [sys.executable, "-m", "tests.test_reclean_command", str(lake.root), point],
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    _, err = killed.communicate(timeout=_MOST_SECONDS)
    assert killed.returncode == -signal.SIGKILL, err.decode()
    half = rows(reopened(lake))
    assert half.keys() == before.keys()
    changed = [key for key in half if half[key] != before[key]]
    assert bool(changed) == point.startswith("after")
    done = reclean(lake)
    assert done.changed == 24 - len(changed)
    after = rows(reopened(lake))
    assert after.keys() == before.keys()
    assert not any(PROMPT in row["text"] for row in after.values())
    named = {lake.root / "articles" / name for name in reopened(lake).data_files(ARTICLES)}
    left = set((lake.root / "articles").glob("date=*/*.parquet")) - named
    for file in left:  # a day later
        os.utime(file, (time.time() - 2 * 86_400,) * 2)
    assert lake.table_upkeep(ARTICLES).vacuum() >= (0 if point.startswith("after") else 1)
    assert rows(reopened(lake)) == after


def test_files_that_are_replaced_stay_for_who_reads_them(lake: Lake, draft: Make) -> None:
    fill(lake, draft)
    dataset = lake_module.arrow_dataset(str(lake.root), "articles")
    assert Reclean(lake, Wanted(), NONE_LEARNED).run().files == 12
    lake.table_upkeep(ARTICLES).vacuum()
    texts = dataset.to_table(columns=["text"])["text"].to_pylist()
    assert sum(PROMPT in text for text in texts) == 24


def test_a_lake_of_an_older_version_grows_by_a_column(tmp_path: Path, draft: Make) -> None:
    root = tmp_path / "lake"
    fresh = open_lake(str(root))
    fill(fresh, draft)
    lake_module._open.pop(fresh.root)
    folder = root / "articles"
    for file in folder.glob("date=*/*.parquet"):
        pq.write_table(pq.ParquetFile(file).read().drop_columns(["rules_version"]), file)
    first = min((folder / "_delta_log").glob("*.json"))
    lines = []
    for text in first.read_text("utf-8").splitlines():
        action = json.loads(text)
        if "metaData" in action:
            schema = json.loads(action["metaData"]["schemaString"])
            schema["fields"] = [field for field in schema["fields"] if field["name"] != "rules_version"]
            action["metaData"]["schemaString"] = json.dumps(schema)
            action["metaData"]["configuration"]["newsbeam.schemaVersion"] = "1"
        lines.append(json.dumps(action))
    first.write_text("\n".join(lines) + "\n", "utf-8")
    lake = open_lake(str(root), create=False)
    assert {row["rules_version"] for row in rows(lake).values()} == {None}
    assert reclean(lake).changed == 24
    table = deltalake.DeltaTable(str(folder))
    assert table.metadata().configuration["newsbeam.schemaVersion"] == str(SCHEMA_VERSION)
    assert "rules_version" in [field.name for field in table.schema().fields]
    later = NOON + Duration(seconds=90 * 3_600)
    assert (
        commit(lake, Batch(drafts=[came(draft, "new", told("new"), first_seen_at=later)]), now=later).article_new == 1
    )
    assert len(rows(reopened(lake))) == 37


# ---- the command ----------------------------------------------------------------------------------------------------


def newsbeam(*arguments: str) -> int:
    return cli.main(list(arguments))


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    lake: Lake, draft: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_lines_module, "_watched", {})
    fill(lake, draft)
    empty = came(draft, "e", PROMPT, ruleless=True, site="three.example")
    commit(lake, Batch(drafts=[empty]), now=NOON)
    store(lake, line(STORY[0], "two.example"))
    before = rows(lake)
    assert newsbeam("reclean", "--dry-run", "--lake", str(lake.root)) == 0
    out = capsys.readouterr().out.split("\n")
    assert out[0] == "looked at 25 rows of other rules; 24 would change (12 one.example, 12 two.example)"
    assert out[1] == f"removed   36 stretches (24 {PROMPT_RULE}, 12 site_lines)"
    assert out[2] == "left      1 rows as they are (1 no_story): e"
    assert f"  - {PROMPT_RULE}: {PROMPT}" in out
    assert rows(lake) == before
    assert newsbeam("reclean", "--json", "--site", "two.example", "--lake", str(lake.root)) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["rows"], done["changed"], done["refused"]) == (12, 12, {})
    assert rows(lake)["c0", 1]["text"].startswith("It is said of c0")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--site", "a/b"], "--site 'a/b' is no domain"),
        (["--since", "soon"], "--since 'soon' is neither a day"),
        (["--keep-kind", "adverts"], "keep_kinds: unknown kind 'adverts'; known are advert, affiliate, app"),
    ],
)
def test_bad_usage_is_named(lake: Lake, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert newsbeam("reclean", "--lake", str(lake.root), *arguments) == 2
    assert words in capsys.readouterr().err


def test_without_a_lake_there_is_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("learn", "reclean"):
        assert newsbeam(command, "--lake", str(tmp_path / "none")) == 1
        assert "there is no lake" in capsys.readouterr().err


def main(root: str, point: str) -> None:
    kill_at(point)
    lake = open_lake(root, create=False)
    Reclean(lake, Wanted(), OpenSiteLines(root)()).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
