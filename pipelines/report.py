"""What a run did, read back from the lake it wrote: the same words for a terminal and, as data, for machines.

The summary is computed from committed rows alone, never from counters in memory, so that it says what a reader of
the lake will see.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import pyarrow.dataset as ds

from transforms.lake import Lake
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS

FEEDS = ("feed", "feeds")
_EXAMPLES = 5  # failures named one by one; the rest are counted


@dataclass
class RunSummary:
    """What one run polled and wrote; counts by slug, most frequent first in the text."""

    run_id: str
    lake: str
    seconds: float
    feeds: int = 0
    polls: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    known: int = 0
    new: int = 0
    bytes_received: int = 0
    dispositions: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    stories: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    sites: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    removed_chars: int = 0
    topics: Counter[str] = field(default_factory=Counter)
    tagged: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    failed_feeds: list[str] = field(default_factory=list)
    failed_entries: list[str] = field(default_factory=list)
    articles_in_lake: int = 0

    @property
    def all_failed(self) -> bool:
        """Whether something was polled and every poll failed: rather our network than that many publishers."""
        return 0 < sum(self.polls.values()) == self.polls["failed"]

    @property
    def written(self) -> int:
        """Rows written to articles."""
        return self.dispositions["article_new"] + self.dispositions["article_revision"]

    def as_json(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: dict(v) if isinstance(v, Counter) else v for n, v in held.items()} | {"written": self.written}

    def lines(self, *, what: tuple[str, str] = FEEDS) -> Sequence[str]:
        """Return the summary as lines for a person; `what` was polled, in singular and plural."""
        polled = sum(self.polls.values())
        skipped = f", {self.feeds - polled} not due" if what == FEEDS and self.feeds > polled else ""
        out = [
            f"polled    {_of(polled, *what)} in {self.seconds:.1f} s: {_counts(self.polls)}{skipped}",
            f"entries   {self.entries}: {self.known} known, {self.new} new ({_size(self.bytes_received)} of feeds)"
            if what == FEEDS
            else f"entries   {self.entries}: {self.known} known, {self.new} new",
            f"written   {_of(self.written, 'article', 'articles')}"
            + (
                f" ({self.dispositions['article_new']} new, {self.dispositions['article_revision']} revised)"
                f" from {_of(len(self.sites), 'site', 'sites')} in {_names(self.languages)}"
                if self.written
                else ""
            ),
        ]
        same = {name: self.dispositions[name] for name in ("unchanged", "repeated_in_batch") if self.dispositions[name]}
        if same:
            out.append(f"same text {_counts(Counter(same))}")
        if self.written:
            stories = _of(self.stories, "story", "stories")
            out.append(f"copies    {sum(self.copies.values())}{_in_brackets(self.copies)}; {stories}")
            out.append(f"removed   {self.removed_chars:,} characters{_in_brackets(self.removed, most=8)}")
            out.append(f"tagged    {self.tagged}{_in_brackets(self.topics, most=6)}")
        if self.failures:
            out.append(f"failed    {_of(sum(self.failures.values()), 'entry', 'entries')}{_in_brackets(self.failures)}")
            out += [f"          {line}" for line in self.failed_entries[:_EXAMPLES]]
        if self.failed_feeds:
            out.append(f"feeds failed: {len(self.failed_feeds)}")
            out += [f"          {line}" for line in self.failed_feeds[:_EXAMPLES]]
        out.append(f"lake      {self.lake}: {_of(self.articles_in_lake, 'article', 'articles')} (run {self.run_id})")
        return out


def summarise(lake: Lake, run_id: str, *, feeds: int, started: float) -> RunSummary:
    """Return what run `run_id`, begun at `started` (Unix time) with so many `feeds`, wrote to `lake`."""
    out = RunSummary(run_id=run_id, lake=str(lake.root), seconds=time.time() - started, feeds=feeds)
    days = (datetime.fromtimestamp(started, UTC).date().isoformat(), "9999-12-31")
    mine = ds.field("run_id") == run_id
    for poll in lake.read(
        POLLS,
        ["url", "status", "entries", "known", "new", "bytes_received", "reason", "message"],
        keep=mine,
        days=days,
    ).to_pylist():
        out.polls[poll["status"]] += 1
        out.entries += poll["entries"] or 0
        out.known += poll["known"] or 0
        out.new += poll["new"] or 0
        out.bytes_received += poll["bytes_received"] or 0
        if poll["status"] == "failed":
            out.failed_feeds.append(_failure_line(poll))
    stories = set()
    columns = ["disposition", "copy_kind", "story_id", "language", "site", "topics", "removed"]
    for row in lake.read(ARTICLES, columns, keep=mine, days=days).to_pylist():
        out.dispositions[row["disposition"]] += 1
        out.languages[row["language"] or "unknown"] += 1
        out.sites[row["site"] or "unknown"] += 1
        stories.add(row["story_id"])
        if row["copy_kind"]:
            out.copies[row["copy_kind"]] += 1
        for removal in row["removed"] or []:
            if removal["kind"] != "whitespace":
                out.removed[removal["kind"]] += 1
                out.removed_chars += removal["end"] - removal["start"]
        out.tagged += bool(row["topics"])
        out.topics.update(topic["label"] for topic in row["topics"] or [])
    out.stories = len(stories)
    for row in lake.read(DEAD_LETTERS, ["disposition", "url", "reason", "message"], keep=mine, days=days).to_pylist():
        out.dispositions[row["disposition"]] += 1
        if row["disposition"] == "dead_lettered":
            out.failures[row["reason"]] += 1
            out.failed_entries.append(_failure_line(row))
    out.articles_in_lake = lake.count_articles()
    return out


def _failure_line(row: Mapping[str, Any]) -> str:
    """Return what failed, the slug, and the message where it says more than the two."""
    message = (row["message"] or "").removeprefix(f"{row['url']}: ")
    return f"{row['url']}: {row['reason']}" + (f" ({message})" if message else "")


def _of(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _counts(counter: Counter[str], *, most: int = 20) -> str:
    named = [f"{count} {name}" for name, count in counter.most_common(most)]
    rest = len(counter) - most
    return ", ".join(named + ([f"{rest} more kinds"] if rest > 0 else [])) or "none"


def _in_brackets(counter: Counter[str], *, most: int = 20) -> str:
    return f" ({_counts(counter, most=most)})" if counter else ""


def _names(counter: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counter.most_common(6))


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
