"""The top topic of BBC articles against their class, and how often no topic is given.

The classes are mapped to IPTC's top level. Near-copies are left out before the split, so no article stands in both
halves. Constants and words were set on half A; both halves are reported (``pytest -s``), and the floor holds for half B.
An article of class politics about a trial is tagged with law first, which counts as an error here.
"""

import gzip
import hashlib
import json
import re
import time
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from transforms.tag_topics import tag_topics

pytestmark = pytest.mark.eval

CLASSES = {
    "business": "medtop:04000000",
    "entertainment": "medtop:01000000",
    "politics": "medtop:11000000",
    "sport": "medtop:15000000",
    "tech": "medtop:13000000",
}
SHINGLE_TOKENS = 5
COPY_SHARE = 0.5  # of an article's shingles that an earlier one holds


def _without_copies(articles: list[dict[str, str]]) -> list[dict[str, str]]:
    kept: list[dict[str, str]] = []
    holders: dict[str, list[int]] = defaultdict(list)
    for article in articles:
        words = re.findall(r"\w+", article["body"].lower())
        shingles = {" ".join(words[i : i + SHINGLE_TOKENS]) for i in range(len(words) - SHINGLE_TOKENS + 1)}
        shared = Counter(holder for shingle in shingles for holder in holders[shingle])
        if shared and shared.most_common(1)[0][1] >= COPY_SHARE * len(shingles):
            continue
        for shingle in shingles:
            holders[shingle].append(len(kept))
        kept.append(article)
    return kept


def _half(article: dict[str, str]) -> str:
    return "ab"[hashlib.sha1(article["title"].encode()).digest()[-1] % 2]


def test_top_topic_of_bbc_articles(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with gzip.open(shared / "data" / "topics" / "bbc.jsonl.gz", "rt", encoding="utf-8") as lines:
        articles = _without_copies([json.loads(line) for line in lines])
    right: Counter[str] = Counter()
    among: Counter[str] = Counter()
    silent: Counter[str] = Counter()
    count: Counter[str] = Counter()
    start = time.process_time()
    for article in articles:
        half = _half(article)
        codes = [topic.code for topic in tag_topics(article["title"], article["body"], language="en")]
        count[half] += 1
        right[half] += codes[:1] == [CLASSES[article["label"]]]
        among[half] += CLASSES[article["label"]] in codes
        silent[half] += not codes
    spent_ms = (time.process_time() - start) / len(articles) * 1000
    with capsys.disabled():
        for half in "ab":
            print(
                f"\ntopics, BBC half {half}: {count[half]} articles, top topic right {right[half] / count[half]:.3f}, "
                f"class among the topics {among[half] / count[half]:.3f}, no topic {silent[half] / count[half]:.3f}",
                end="",
            )
        print(f"; {spent_ms:.2f} ms an article")
    floors = tomllib.loads((Path(__file__).parent / "floors.toml").read_text("utf-8"))["topics"]
    assert len(articles) > 1900
    assert right["b"] / count["b"] >= floors["bbc_top_topic_accuracy"]
    assert among["b"] / count["b"] >= floors["bbc_class_among_topics"]
