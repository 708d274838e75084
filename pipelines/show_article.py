"""`newsbeam show`: one article of the lake, with what was removed, its copies, its story, its topics, and why."""

import argparse
import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.dataset as ds

from transforms.errors import UsageError
from transforms.lake import Lake, open_lake
from transforms.schemas import ARTICLES

_HIDDEN = {"signature", "bands", "terms"}  # for machines; nothing a person reads


def add_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    """Add the flags of `newsbeam show`."""
    parser.add_argument("article", metavar="ARTICLE", help="an article_id, or part of a title or address")
    options.add_common_flags(parser)
    parser.add_argument("--json", action="store_true", help="print the rows (all revisions) as JSON")


def run(args: argparse.Namespace) -> int:
    """Run `newsbeam show`."""
    from pipelines.cli import version
    from pipelines.options import read_config

    lake = open_lake(read_config(args, version=version()).lake, create=False)
    revisions = find_article(lake, args.article)
    if args.json:
        print(json.dumps(revisions, ensure_ascii=False, default=str, indent=2))
    else:
        print("\n".join(describe(lake, revisions)))
    return 0


def find_article(lake: Lake, wanted: str) -> list[dict[str, Any]]:
    """Return the revisions of the article that `wanted` names, oldest first.

    Raises:
        UsageError: no article, or more than one, is meant.
    """
    columns = [name for name in ARTICLES.schema.names if name not in _HIDDEN]
    if re.fullmatch(r"[0-9a-f]{16}", wanted):
        rows = lake.read(ARTICLES, columns, keep=ds.field("article_id") == wanted).to_pylist()
        if not rows:
            raise UsageError(f"lake {lake.root} has no article {wanted}")
        return sorted(rows, key=lambda row: row["revision"])
    names = lake.read(ARTICLES, ["article_id", "title", "url", "revision"]).to_pylist()
    needle = wanted.casefold()
    found = {
        row["article_id"]: row
        for row in names
        if needle in (row["title"] or "").casefold() or needle in (row["url"] or "").casefold()
    }
    if len(found) != 1:
        some = "; ".join(f"{i} {row['title']}" for i, row in list(found.items())[:8])
        raise UsageError(
            f"{len(found)} articles of lake {lake.root} match {wanted!r}" + (f", for example: {some}" if found else "")
        )
    return find_article(lake, next(iter(found)))


def describe(lake: Lake, revisions: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the article's newest revision as lines for a person."""
    row = revisions[-1]
    yield row["title"] or "(no headline)"
    yield row["url"]
    yield ""
    for name in (
        "site",
        "language",
        "authors",
        "published_at",
        "updated_at",
        "first_seen_at",
        "committed_at",
        "section",
    ):
        value = row[name]
        if value not in (None, [], ""):
            shown = (
                ", ".join(value)
                if isinstance(value, list)
                else f"{value:%Y-%m-%d %H:%M} UTC"
                if "_at" in name
                else value
            )
            yield f"{name:15} {shown}"
    yield f"{'revision':15} {row['revision']} ({len(revisions)} in the lake)"
    yield f"{'origin':15} {row['origin']}; entry {row['entry_id']} of feed {row['feed_id']}, run {row['run_id']}"
    yield ""
    for paragraph in row["text"].split("\n"):
        yield textwrap.fill(paragraph, 100)
    yield ""
    yield from _assignment(lake, row)
    yield "topics"
    for topic in row["topics"] or []:
        yield f"  {topic['score']:.2f}  {topic['code']}  {topic['label']}  because of: {', '.join(topic['evidence'])}"
    if not row["topics"]:
        yield "  none: no topic's words were frequent enough"
    removed = [r for r in row["removed"] or [] if r["kind"] != "whitespace"]
    yield f"removed ({sum(r['end'] - r['start'] for r in removed)} characters)"
    for removal in removed:
        yield f"  {removal['kind']:22} {removal['rule']:32} {' '.join(removal['text'].split())[:90]}"


def _assignment(lake: Lake, row: dict[str, Any]) -> Iterator[str]:
    columns = ["article_id", "site", "title", "duplicate_of", "similarity", "copy_kind", "story_id"]
    head = row["duplicate_of"] or row["article_id"]
    related = lake.read(
        ARTICLES,
        columns,
        keep=(ds.field("duplicate_of") == head)
        | (ds.field("article_id") == head)
        | (ds.field("story_id") == row["story_id"]),
    ).to_pylist()
    others = {r["article_id"]: r for r in related if r["article_id"] != row["article_id"]}
    if row["syndicated_from"]:
        yield f"the text names {row['syndicated_from']} as its source"
    if row["duplicate_of"]:
        original = others.get(row["duplicate_of"], {"site": "?", "title": "?"})
        yield (
            f"{row['copy_kind']} copy ({row['similarity']:.2f}) of {row['duplicate_of']} "
            f"{original['site']}: {original['title']}"
        )
    copies = [r for r in others.values() if r["duplicate_of"] == row["article_id"]]
    if copies:
        yield "copies of it"
        yield from (
            f"  {r['article_id']} {r['copy_kind']} {r['similarity']:.2f}  {r['site']}: {r['title']}" for r in copies
        )
    story = [r for r in others.values() if r["story_id"] == row["story_id"] and r["duplicate_of"] != row["article_id"]]
    yield f"story {row['story_id']}" + ("" if story else ": no other article so far")
    yield from (f"  {r['article_id']} {r['site']}: {r['title']}" for r in story)
