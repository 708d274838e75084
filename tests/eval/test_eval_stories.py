"""Copies and stories on the open data, against floors that only rise.

* Copies: pairs of bodies whose sets of five-word shingles have a Jaccard similarity of at least 0.5 are the truth; a
  pair is found when both are of one family. Families also join what is cut more deeply, so precision is taken twice:
  against that truth, and against what a reader would call a copy (similarity 0.3, or three quarters of the shorter).
* Stories: B-cubed F1 of a single pass in the order of the file, over bodies alone (a headline in this set belongs to
  several bodies of its story, so that it would give the answer away). Thresholds were chosen on half a of the stories.
"""

import gzip
import hashlib
import json
import re
import tomllib
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import pytest

from transforms.assign_copies import CopyMemory, assign_copies
from transforms.cluster_stories import StoryMemory, assign_stories
from transforms.fingerprint import fingerprint
from transforms.records import Draft

pytestmark = pytest.mark.eval

FLOORS = tomllib.loads((Path(__file__).parent / "floors.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows(shared):
    with gzip.open(shared / "data" / "stories" / "stories.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def drafts(rows):
    return [
        Draft(f"{n:05d}", text=row["body"], language="en", fingerprint=fingerprint(row["body"]))
        for n, row in enumerate(rows)
    ]


def pair_similarities(texts):
    """Return (Jaccard, part of the shorter) for each pair of texts that share a five-word shingle."""
    shingles = []
    for text in texts:
        words = re.findall(r"\w+", text.casefold())
        shingles.append({tuple(words[n : n + 5]) for n in range(max(1, len(words) - 4))})
    holders = defaultdict(list)
    for n, own in enumerate(shingles):
        for shingle in own:
            holders[shingle].append(n)
    shared = Counter(pair for found in holders.values() if len(found) < 200 for pair in combinations(found, 2))
    return {
        (a, b): (count / len(shingles[a] | shingles[b]), count / min(len(shingles[a]), len(shingles[b])))
        for (a, b), count in shared.items()
    }


def bcubed(found, truth):
    """Return (F1, precision, recall). Source: Bagga and Baldwin 1998."""
    both, by_found, by_truth = Counter(zip(found, truth, strict=True)), Counter(found), Counter(truth)
    precision = sum(count**2 / by_found[one] for (one, _), count in both.items()) / len(found)
    recall = sum(count**2 / by_truth[two] for (_, two), count in both.items()) / len(found)
    return 2 * precision * recall / (precision + recall), precision, recall


def half_of(story):
    return "ab"[hashlib.md5(str(story).encode(), usedforsecurity=False).digest()[0] & 1]


def check(table, measured):
    print(f"[{table}]", " ".join(f"{name} {value:.3f}" for name, value in measured.items()))
    short = {name: (value, FLOORS[table][name]) for name, value in measured.items() if value < FLOORS[table][name]}
    assert not short, f"below the floor (measured, floor): {short}"


def test_copies(rows, drafts):
    similarity = pair_similarities([row["body"] for row in rows])
    truth = {pair for pair, (jaccard, _) in similarity.items() if jaccard >= 0.5}
    copies = {pair for pair, (jaccard, part) in similarity.items() if jaccard >= 0.3 or part >= 0.75}
    families = defaultdict(list)
    for n, one in enumerate(assign_copies(CopyMemory(), drafts)):
        families[one.duplicate_of or one.article_id].append(n)
    found = {pair for family in families.values() for pair in combinations(family, 2)}
    assert len(truth) > 100
    check(
        "copies",
        {
            "recall": len(found & truth) / len(truth),
            "precision_of_half": len(found & truth) / len(found),
            "precision": len(found & copies) / len(found),
            "same_story": sum(rows[a]["story"] == rows[b]["story"] for a, b in found) / len(found),
        },
    )


def test_stories(rows, drafts):
    measured: dict[str, float] = {}
    for name, halves in (("half_a", "a"), ("half_b", "b"), ("all", "ab")):
        chosen = [n for n, row in enumerate(rows) if half_of(row["story"]) in halves]
        found = assign_stories(StoryMemory(), [drafts[n] for n in chosen])
        f1, precision, recall = bcubed([one.story_id for one in found], [rows[n]["story"] for n in chosen])
        measured |= {f"{name}_f1": f1, f"{name}_precision": precision, f"{name}_recall": recall}
    check("stories", measured)


def test_copies_are_of_one_story(drafts):
    story_of = {one.article_id: one.story_id for one in assign_stories(StoryMemory(), drafts)}
    pairs = [(one.article_id, one.duplicate_of) for one in assign_copies(CopyMemory(), drafts) if one.duplicate_of]
    together = sum(story_of[copy] == story_of[original] for copy, original in pairs) / len(pairs)
    check("stories", {"copies_together": together})
