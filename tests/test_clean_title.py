"""Headlines: cases of several publishers and languages, and what must hold for any."""

import tomllib
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.clean_title import clean_title

CASES = tomllib.loads((Path(__file__).parent / "golden" / "titles.toml").read_text("utf-8"))


def clean(published: str, name: str, site: str) -> str:
    return clean_title(published, site_name=name or None, site=site or None)


@pytest.mark.parametrize("published, name, site, expected", CASES["cut"], ids=lambda v: v[:40])
def test_what_is_not_the_headline_goes(published: str, name: str, site: str, expected: str) -> None:
    assert clean(published, name, site) == expected
    assert clean(expected, name, site) == expected


@pytest.mark.parametrize("published, name, site", CASES["kept"], ids=lambda v: v[:40])
def test_what_belongs_to_the_headline_stays(published: str, name: str, site: str) -> None:
    assert clean(published, name, site) == published


PIECES = st.sampled_from(
    [case[0] for case in (*CASES["cut"], *CASES["kept"])]
    + [" - ", " | ", "UPDATE 1-", "(AP)", "&amp;", "&amp;amp;", "Hallam Lantern", "News", "", "\u200f", "_"]
)


@given(st.one_of(st.lists(PIECES, max_size=5).map(" ".join), st.text(max_size=80)))
def test_a_clean_headline_stays_as_it_is_and_is_never_empty(published: str) -> None:
    once = clean(published, "Hallam Lantern", "hallamlantern.example")
    assert clean(once, "Hallam Lantern", "hallamlantern.example") == once
    assert once or not any(char.isalnum() for char in published)


@pytest.mark.parametrize("piece", [" - Hallam Lantern", "UPDATE 1-", "&amp;", "(AP) ", "| ", "&" * 50, " "])
def test_cost_grows_with_the_headline_not_faster(piece: str) -> None:
    def seconds(copies: int) -> float:
        began = process_time()
        clean("x" + piece * copies + "y", "Hallam Lantern", "hl.example")
        return process_time() - began

    seconds(10)
    once, twice = (min(seconds(n) for _ in range(3)) for n in (2000, 4000))
    assert twice < 4 * once + 0.02


def test_a_title_of_nothing_stays_nothing() -> None:
    assert clean("", "", "") == clean(" \n", "", "") == ""
