"""Robustness on the open feeds: each of over 2,100 files parses or is refused under a reason; nothing else is raised.

How well the values agree with feed-rs's expectations is counted too: entries, titles and links.
"""

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from transforms.errors import RejectedError
from transforms.parse_feed import parse_feed

pytestmark = pytest.mark.eval

# Files that hold no feed, or a channel definition (CDF) without title and items; each was read.
NO_FEEDS = {
    "tests/illformed/rss_empty_document.xml",
    "tests/wellformed/cdf/channel_abstract_map_description.xml",
    "tests/wellformed/cdf/channel_abstract_map_tagline.xml",
    "tests/wellformed/cdf/channel_href_map_link.xml",
    "tests/wellformed/cdf/channel_href_map_links.xml",
    "tests/wellformed/cdf/channel_lastmod.xml",
    "tests/wellformed/cdf/channel_lastmod_parsed.xml",
    "feed-rs/fixture/xml/xml_sample_1.xml",
    "feed-rs/fixture/xml/xml_sample_2.xml",
}


@pytest.mark.parametrize("archive, least", [("feedparser.zip", 2100), ("feed-rs.zip", 68)])
def test_every_open_feed_parses_or_is_refused(shared: Path, archive: str, least: int) -> None:
    read, refused = 0, set()
    with zipfile.ZipFile(shared / "data" / "feeds" / archive) as files:
        for name in files.namelist():
            if name.endswith("/") or name.endswith(".serde.json"):
                continue
            read += 1
            try:
                feed = parse_feed(files.read(name), url="https://paper.example/feed.xml")
            except RejectedError:
                refused.add(name)
            else:
                assert len({entry.key for entry in feed.entries}) == len(feed.entries), name
    assert read >= least
    assert refused == {name for name in NO_FEEDS if name.startswith("feed-rs" if "feed-rs" in archive else "tests/")}


def test_values_agree_with_feed_rs(shared: Path) -> None:
    same: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    with zipfile.ZipFile(shared / "data" / "feeds" / "feed-rs.zip") as files:
        names = files.namelist()
        for name in (n for n in names if n.endswith(".serde.json")):
            stem = name.removesuffix(".serde.json")
            source = next(n for n in names if n.startswith(stem + ".") and not n.endswith(".serde.json"))
            expected = json.loads(files.read(name))["entries"]
            feed = parse_feed(files.read(source), url="http://example.org/")
            assert len(feed.entries) == len(expected), source
            for entry, wanted in zip(feed.entries, expected, strict=True):
                title = " ".join(((wanted.get("title") or {}).get("content") or "").split())
                links = [link["href"].rstrip("/") for link in wanted.get("links", [])]
                date = (wanted.get("published") or "")[:19]
                for kind, agrees in (
                    ("title", (entry.title or "") == title),
                    ("link", not links or entry.url.rstrip("/") in links or "//feedproxy." in links[0]),
                    ("date", not date or (entry.published_at and entry.published_at.to_rfc3339()[:19] == date)),
                ):
                    seen[kind] += 1
                    same[kind] += bool(agrees)
    # All that differ were read: hosts in lower case, links that are relative there.
    assert {kind: seen[kind] - same[kind] <= 0.05 * seen[kind] for kind in seen} == dict.fromkeys(seen, True)
    assert seen["title"] > 90
