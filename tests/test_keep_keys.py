from typing import Any

import pytest

from transforms.keep_keys import keep_keys, known_keys
from transforms.records import FeedEntry


def entry(key: str, words: str, url: str = "https://a.example/1") -> FeedEntry:
    return FeedEntry(key, f"hash of {words}", url, title=words)


@pytest.mark.parametrize(
    "before, now, keys",
    [
        pytest.param([entry("g1", "One")], [entry("g1", "One")], ["g1"], id="nothing changed"),
        pytest.param([entry("g1", "One")], [entry("g2", "One")], ["g1"], id="only the guid changed"),
        pytest.param([entry("g1", "One")], [entry("g2", "One, edited")], ["g2"], id="the words changed as well"),
        pytest.param([], [entry("g1", "One")], ["g1"], id="the first poll"),
        pytest.param([entry("g1", "One")], [entry("g2", "One"), entry("g1", "Two")], ["g2", "g1"], id="the guid is another's now"),
        pytest.param([entry("g1", "One")], [entry("g2", "One"), entry("g3", "One")], ["g2", "g3"], id="two look alike now"),
        pytest.param([entry("g1", "One"), entry("g2", "One")], [entry("g3", "One")], ["g3"], id="two looked alike before"),
        pytest.param([entry("g1", "One", url="")], [entry("g2", "One", url="")], ["g2"], id="no link to know it by"),
        pytest.param(
            [entry("g1", "One"), entry("g2", "Two")], [entry("h2", "Two"), entry("h1", "One")], ["g2", "g1"], id="all guids are new"
        ),
    ],
)  # fmt: skip
def test_an_entry_whose_guid_alone_changed_keeps_its_key(before: Any, now: Any, keys: list[str]):
    kept = keep_keys(now, known_keys(before))
    assert [e.key for e in kept] == keys
    assert [(e.entry_hash, e.url, e.title) for e in kept] == [(e.entry_hash, e.url, e.title) for e in now]


def test_the_first_key_lasts_however_often_the_guid_changes():
    known: dict[str, str] = {}
    for poll in range(5):
        (kept,) = keep_keys([entry(f"g{poll}", "One")], known)
        assert kept.key == "g0"
        known = known_keys([kept])
