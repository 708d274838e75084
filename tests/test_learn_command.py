"""learn, then clean and reclean: an archive of two sites, learned from, and what comes after it."""

import json
import random
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.backfill import backfill
from pipelines.learn_command import learn
from pipelines.options import Config
from tests.site_line_cases import sentence
from transforms import site_lines as site_lines_module
from transforms.check_books import check_books
from transforms.lake import Lake, arrow_dataset, open_lake
from transforms.learn_site_lines import model_version_of
from transforms.schemas import ARTICLES
from transforms.site_lines import lines_in
from transforms.strip_cruft import rules_version

LABEL = "Made above the quay of Harrow Bay"
NOTICE = "Taken to the islands by the morning boat"
FURNITURE = {"harrow.example": (LABEL, NOTICE), "lund.example": ()}
REFRAIN = "And the tide goes out again, as it did"


def archive(path: Path, days: range, per_day: int = 3) -> dict[str, list[str]]:
    """Write an archive of two sites; return the story of each address."""
    dice = random.Random(f"{days}")
    stories: dict[str, list[str]] = {}
    with path.open("w", encoding="utf-8") as file:
        for day in days:
            for site, tail in FURNITURE.items():
                for number in range(per_day):
                    url = f"https://{site}/2026/01/{day + 1:02}/story-{number}"
                    stories[url] = [sentence(dice), REFRAIN, sentence(dice), sentence(dice)]
                    held = {
                        "url": url,
                        "text": "\n".join([*stories[url], *tail]),
                        "title": f"Story {number} of day {day}",
                        "published": f"2026-01-{day + 1:02}T0{number}:00:00Z",
                    }
                    file.write(json.dumps(held) + "\n")
    return stories


def texts(lake: Lake) -> dict[str, list[str]]:
    return {row["url"]: row["text"].split("\n") for row in lake.read(ARTICLES, ["url", "text"]).to_pylist()}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(site_lines_module, "_watched", {})
    return Config(lake=str(tmp_path / "lake"), workers=1, strict=True)


@pytest.mark.parametrize("runner", ["FnApiRunner", "DirectRunner"])
def test_what_was_learned_is_removed_from_what_comes_and_from_what_is_there(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], runner: str
) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    stories = archive(old, range(14))
    backfill(config, [old], run_id="old")
    lake = open_lake(config.lake)
    whole = {url: [*story, *FURNITURE[url.split("/")[2]]] for url, story in stories.items()}
    assert texts(lake) == whole

    assert cli.main(["learn", "--dry-run", "--lake", config.lake, "--runner", runner]) == 0
    told = capsys.readouterr().out.split("\n")
    assert lines_in(lake) == []
    assert cli.main(["learn", "--lake", config.lake, "--runner", runner]) == 0
    version = lines_in(lake)[0]["model_version"]
    assert told[:2] == [f"learned   2 lines of 1 sites, version {version}", "harrow.example: 2"]
    assert sorted(line.split("% ")[1].strip() for line in told[2:4]) == sorted([LABEL, NOTICE])
    assert "stored    for all runs from now on" in capsys.readouterr().out
    assert {row["line"] for row in lines_in(lake)} == {LABEL, NOTICE}
    assert arrow_dataset(config.lake, "site_lines").count_rows() == 2

    stories |= archive(new, range(14, 18))
    backfill(config, [new], run_id="new")
    held = texts(lake)
    assert {url: held[url] for url in stories if url not in whole} == {
        u: s for u, s in stories.items() if u not in whole
    }
    assert {url: held[url] for url in whole} == whole

    assert cli.main(["reclean", "--lake", config.lake, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["changed"], done["goes"], done["returns"]) == (42, {"site_lines": 42}, {})
    lake.refresh()
    assert texts(lake) == stories
    versions = {row["site"]: row["rules_version"] for row in lake.read(ARTICLES, ["site", "rules_version"]).to_pylist()}
    assert versions == {"harrow.example": f"{rules_version()}+{version}", "lund.example": rules_version()}
    assert check_books(lake) == []

    # Learned again, from rows that lack the lines by now: nothing has changed.
    again = learn(config, lake)
    assert model_version_of(again) == version
    assert max(line.articles for line in again) == 54
    assert cli.main(["learn", "--json", "--lake", config.lake, "--runner", runner]) == 0
    learned = json.loads(capsys.readouterr().out)
    assert (learned["is_new"], learned["model_version"]) == (False, version)
    assert {line["line"] for line in learned["lines"]} == {LABEL, NOTICE}


def test_an_empty_lake_teaches_nothing(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    open_lake(config.lake)
    assert cli.main(["learn", "--lake", config.lake]) == 0
    assert capsys.readouterr().out == "learned   0 lines of 0 sites\nstored    nothing: that is what was known\n"
