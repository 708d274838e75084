"""The open feeds: each of over 2,100 files parses or is refused under a reason, and the values agree with expectations.

feedparser's files say in a comment what feedparser must find. What newsbeam carries of that (title, link, texts, names,
dates, tags, language, kind) is compared; where it differs, the file stands under a class in feed_differences.toml, with
the reason and how many there are. Fields newsbeam does not carry are counted. Texts are compared by their words, as
the text step reads them. feed-rs' files carry the values feed-rs finds.
"""

import ast
import calendar
import fnmatch
import json
import re
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional
from urllib.parse import urljoin

import pytest

from transforms.errors import IngestError
from transforms.parse_feed import parse_feed, plain_words
from transforms.records import FeedEntry, ParsedFeed
from transforms.repair_xml import decode_markup

pytestmark = pytest.mark.eval

HERE = Path(__file__).parent
FLOORS = tomllib.loads((HERE / "floors.toml").read_text(encoding="utf-8"))["feeds"]
BASE = "http://127.0.0.1:8097/"  # where feedparser's own tests are served: some expect it in front of relative links
EXPECT = re.compile(r"Expect:\s*(.*?)\s*(?:-->|\n)")
HEADER = re.compile(r"^Header:[ \t]*([\w-]+):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
# newsbeam leaves out an entry that has neither link nor words; with a link, the rest of it can be compared.
END_OF_ENTRY = re.compile(rb"</(item|entry)>")
FILLERS = {b"item": b"<link>http://filler.example/</link>", b"entry": b'<link href="http://filler.example/"/>'}
PATH = re.compile(r"\['(\w+)'\]|\.(\w+)|\[(\d+)\]|^(\w+)")


class Judged(NamedTuple):
    """What became of one expectation: agrees (None: newsbeam does not carry the field) and the field's name."""

    agrees: Optional[bool]
    field: str
    wanted: object = None
    found: object = None


def open_feeds(shared: Path, archive: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(shared / "data" / "feeds" / archive) as files:
        for name in files.namelist():
            if not name.endswith(("/", ".serde.json")):
                yield name, files.read(name)


def expectations(text: str) -> list[tuple[str, object]]:
    """The clauses of a comment that compare a field with a value: (path such as ``entries[0].title``, value)."""
    found = EXPECT.search(text)
    node = ast.parse(found[1], mode="eval").body if found else ast.Constant(value=None)
    clauses = node.values if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And) else [node]
    pairs = []
    for clause in clauses:
        if isinstance(clause, ast.Compare) and isinstance(clause.ops[0], ast.Eq):
            try:
                pairs.append((dotted(ast.unparse(clause.left)), ast.literal_eval(clause.comparators[0])))
            except ValueError:  # compared with something that is computed
                pairs.append((dotted(ast.unparse(clause.left)), NotImplemented))
    return pairs


def dotted(path: str) -> str:
    """``entries[0]['title_detail']['value']`` -> ``entries.0.title_detail.value``."""
    inner = path[4:-1] if path.startswith("len(") else path
    name = ".".join(next(filter(None, part)) for part in PATH.findall(inner))
    return f"{name}.length()" if inner is not path else name


def judge(feed: ParsedFeed, path: str, wanted: Any) -> Judged:
    root, *rest = path.split(".")
    entry = None
    if root == "entries" and rest and rest[0].isdigit():
        if int(rest[0]) >= len(feed.entries):
            return Judged(False, "entry", path, None)
        entry, rest = feed.entries[int(rest[0])], rest[1:]
    field = ".".join(part for part in rest if not part.isdigit())
    number = next((int(part) for part in rest if part.isdigit()), 0)
    if wanted is NotImplemented:
        return Judged(None, field)
    agrees, found = compare(feed, entry, root, field, number, wanted)
    return Judged(agrees, field or root, wanted, found)


def compare(
    feed: ParsedFeed, entry: Optional[FeedEntry], root: str, field: str, number: int, wanted: Any
) -> tuple[Optional[bool], object]:
    if root == "version":
        kinds = {"rss090": "rdf", "rss10": "rdf", "cdf": "rss"}
        return feed.format == kinds.get(wanted, "atom" if wanted.startswith("atom") else "rss"), feed.format
    if root == "entries" and field == "length()":
        return len(feed.entries) == wanted, len(feed.entries)
    if entry is None and root != "feed":
        return None, None
    if field in {"title", "title_detail.value"}:
        found = (entry or feed).title
        return (found or "") == plain_words(wanted), found
    if field == "link":
        found = entry.url if entry else feed.site_url or ""
        return found.rstrip("/") == wanted.rstrip("/"), found
    if entry is None:
        if field == "language":
            return feed.language == wanted.lower(), feed.language
        return (feed.ttl_seconds == int(wanted) * 60, feed.ttl_seconds) if field == "ttl" else (None, None)
    if field in {"description", "summary", "summary_detail.value", "content.value"} and number == 0:
        both = [plain_words(text) for text in (entry.summary_html, entry.text_html) if text] or [""]
        return plain_words(wanted) in both, both
    if field in {"id", "guid"}:
        return entry.key == wanted, entry.key
    if field in {"author_detail.name", "authors.name", "author"}:
        return number < len(entry.authors) and entry.authors[number] == re.sub(
            r"\s*\(.*@.*\)$", "", wanted
        ), entry.authors
    if field in {"tags.label", "tags.term", "category"}:
        return wanted in entry.tags, entry.tags
    if field == "tags.length()":
        return len(entry.tags) == wanted, entry.tags
    if field in {"published_parsed", "updated_parsed", "created_parsed"}:
        when = {entry.published_at, entry.updated_at} if field != "updated_parsed" else {entry.updated_at}
        return calendar.timegm(wanted) in {float(w) for w in when if w}, when
    return None, None


def test_feedparsers_expectations_hold_or_the_difference_has_a_reason(shared: Path) -> None:
    judged: dict[str, list[Judged]] = {}
    for name, body in open_feeds(shared, "feedparser.zip"):
        text = decode_markup(body, content_type=None)[0]
        headers = {key.lower(): value for key, value in HEADER.findall(text)}
        url = urljoin(BASE + name, headers.get("content-location", ""))
        try:
            feed = parse_feed(body, url=url, content_type=headers.get("content-type"))
        except IngestError as error:
            judged[name] = [Judged(False, error.reason)]
            continue
        assert len({entry.key for entry in feed.entries}) == len(feed.entries), name
        if "empty_entry" in feed.warnings:
            filled = END_OF_ENTRY.sub(lambda m: FILLERS[m[1]] + m[0], body)
            feed = parse_feed(filled, url=url, content_type=headers.get("content-type"))
        judged[name] = [judge(feed, path, wanted) for path, wanted in expectations(text)]
    differ = {name for name, those in judged.items() if any(one.agrees is False for one in those)}
    agree = {name for name, those in judged.items() if any(one.agrees for one in those)} - differ
    classes = tomllib.loads((HERE / "feed_differences.toml").read_text(encoding="utf-8"))
    for name in sorted(differ):
        if not any(fnmatch.fnmatch(name, pattern) for row in classes.values() for pattern in row["files"]):
            print(name, [one for one in judged[name] if one.agrees is False])
    rate = len(agree) / len(agree | differ)
    print(f"\nfeedparser's files: {len(judged)}, agree {len(agree)}, differ {len(differ)} ({rate:.1%} of those that say "
          f"anything newsbeam carries agree)")  # fmt: skip
    listed: Counter[str] = Counter()
    for title, row in classes.items():
        matched = {n for n in differ if any(fnmatch.fnmatch(n, pattern) for pattern in row["files"])}
        listed[title] = len(matched)
        print(f"  {len(matched):4d} {title}: {row['reason']}")
        differ -= matched
    not_carried = Counter(one.field for those in judged.values() for one in those if one.agrees is None)
    print(f"  fields not carried: {sum(not_carried.values())} values, most: {not_carried.most_common(8)}")
    assert not differ
    assert listed == {title: row["count"] for title, row in classes.items()}
    assert len(judged) >= FLOORS["feedparser_files"]
    assert rate >= FLOORS["feedparser_agree"]


def test_values_agree_with_feed_rs(shared: Path) -> None:
    """Entry counts are equal; most titles, links and dates as well: those that differ were read.

    They are hosts in lower case, links that stay relative there, and links that lead through an aggregator.
    """
    same: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    refused = set()
    with zipfile.ZipFile(shared / "data" / "feeds" / "feed-rs.zip") as files:
        names = files.namelist()
        for source in (n for n in names if not n.endswith(("/", ".serde.json"))):
            try:
                feed = parse_feed(files.read(source), url="http://example.org/")
            except IngestError:
                refused.add(source.rpartition("/")[2])
                continue
            values = source.rpartition(".")[0] + ".serde.json"
            if values in names:
                for kind, agrees in against_feed_rs(feed, json.loads(files.read(values))["entries"]):
                    seen[kind] += 1
                    same[kind] += bool(agrees)
    print("\nfeed-rs' files:", ", ".join(f"{kind} {same[kind]} of {seen[kind]}" for kind in seen))
    assert refused == {"xml_sample_1.xml", "xml_sample_2.xml"}  # XML, but no feeds
    assert {kind: same[kind] / seen[kind] >= FLOORS[f"feed_rs_{kind}"] for kind in seen} == dict.fromkeys(seen, True)
    assert seen["entry_count"] >= FLOORS["feed_rs_files"]


def against_feed_rs(feed: ParsedFeed, expected: list[Any]) -> Iterator[tuple[str, object]]:
    yield "entry_count", len(feed.entries) == len(expected)
    for entry, wanted in zip(feed.entries, expected, strict=False):
        title = " ".join(((wanted.get("title") or {}).get("content") or "").split())
        links = [link["href"].rstrip("/") for link in wanted.get("links", [])]
        date = (wanted.get("published") or "")[:19]
        yield "title", (entry.title or "") == title
        yield "link", not links or entry.url.rstrip("/") in links or "//feedproxy." in links[0]
        yield "date", not date or (entry.published_at and entry.published_at.to_rfc3339()[:19] == date)
