"""`newsbeam reclean`: newer rules and learned lines applied to rows that are in the lake, without fetching.

Decisions:
    Kept and removed text together are what was extracted, so a row can be cleaned again as if it came today. What comes
    out replaces the row of the same article and revision: it is no new revision, since the publisher changed nothing.

    The text decides what else is made anew: the ledger, the number of words, the fingerprint (an entry that is fetched
    again must find its text known), topics, and the sender where the ledger had named it. Copies and stories stay as
    they were assigned: readers hold their ids, and a line of cruft more or less moves no article to another story.

    A data file of which a row changes is rewritten whole, with its neighbours of the same day, in one transaction
    under the writers' fence (`transforms.upkeep.rewrite`): a running stream decides again, a reader sees the old rows
    or the new, and a killed run leaves whole files done. What is done is found to be done when it runs again.

    Nothing is left out silently: a row of which no story would be left, or whose ledger does not fit its text, stays as
    it is and is counted with the reason.

Limits: run it with the settings of the stream (`keep_kinds`), or the same article will be cleaned in two ways. A
process that runs on with older rules takes a fetched article's older text for known until it is restarted. A stream
reads the window of its memory again after each day of the last month that is rewritten.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Optional

import pyarrow as pa

from pipelines.replay_command import since_named, sites_named
from transforms.errors import LakeError, RejectedError, one_line
from transforms.fingerprint import FINGERPRINT_VERSION, fingerprint
from transforms.lake import Lake, open_lake
from transforms.lake_table import DataFile
from transforms.records import CleanText, Removal, Topic, field_names
from transforms.schemas import ARTICLES
from transforms.site_lines import OpenSiteLines
from transforms.strip_cruft import (
    SITE_RULE,
    SiteLines,
    SitesLines,
    removals_of,
    require_story,
    restore,
    rules_version,
    strip_cruft,
    syndicated_from,
)
from transforms.tag_topics import tag_topics
from transforms.upkeep import rewrite

BATCH_BYTES = 64 << 20  # of Parquet, rewritten together; a larger file alone
MOST_HELD_ROWS = 5_000  # what is cleaned again is held from the look at a file to its copy; about 10 KB each
SAMPLES = 10
_NAMES_SHOWN = 5
_MOST_TRIES = 10  # a worker's upkeep folds a file of a day a few times
_COLUMNS = (
    "article_id",
    "revision",
    "title",
    "text",
    "site",
    "language",
    "removed",
    "syndicated_from",
    "rules_version",
    "committed_at",
)


@dataclass(frozen=True)
class Wanted:
    """Which rows are meant: of these sites (none: all), committed since (Unix seconds), and what stays in them."""

    sites: tuple[str, ...] = ()
    since: Optional[float] = None
    keep: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Change:
    """What happens to one row: stretches that go and that come back, each with its rule."""

    article_id: str
    revision: int
    site: str
    goes: Sequence[tuple[str, str]]
    returns: Sequence[tuple[str, str]]


@dataclass
class Recleaned:
    """What was done, or would be: rows looked at, rows changed by site, stretches by rule, rows refused by reason."""

    rows: int = 0
    files: int = 0
    sites: Counter[str] = field(default_factory=Counter)
    goes: Counter[str] = field(default_factory=Counter)
    returns: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refused_ids: list[str] = field(default_factory=list)
    samples: list[Change] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """How many rows changed."""
        return self.sites.total()

    def count(self, change: Change) -> None:
        """Count the change of one row."""
        self.sites[change.site] += 1
        self.goes.update(rule for rule, _ in change.goes)
        self.returns.update(rule for rule, _ in change.returns)
        if len(self.samples) < SAMPLES:
            self.samples.append(change)

    def add(self, other: "Recleaned") -> None:
        """Add what was done elsewhere."""
        self.rows, self.files = self.rows + other.rows, self.files + other.files
        for name in ("sites", "goes", "returns", "refused"):
            getattr(self, name).update(getattr(other, name))
        self.refused_ids = [*self.refused_ids, *other.refused_ids][:SAMPLES]
        self.samples = [*self.samples, *other.samples][:SAMPLES]


# ---- one row --------------------------------------------------------------------------------------------------------


def clean_again(values: Mapping[str, Any], lines: SitesLines, keep: frozenset[str]) -> Optional[CleanText]:
    """Return the story of a row of articles as today's rules have it; None when they change nothing.

    That learned lines have another version, but remove the same, is no change.

    Args:
        values: article_id, title, text, site, language and removed of the row.
        lines: the learned lines of all sites.
        keep: kinds and ids of rules that are not applied.

    Raises:
        RejectedError: no_story, too_short (nothing would be left), broken_ledger (text and removed do not fit).
    """
    held = CleanText(values["text"] or "", removals_of(values["removed"]))
    if not is_whole(held):
        raise RejectedError(f"article {values['article_id']}: text and ledger do not fit", reason="broken_ledger")
    site = values["site"]
    clean = strip_cruft(
        restore(held),
        title=values["title"],
        site=site,
        language=values["language"],
        site_lines=lines.lines_of(site),
        keep=keep,
    )
    if clean.text == held.text and _cuts(clean.removed) == _cuts(held.removed):
        return None
    require_story(clean, None)
    return clean


def is_whole(clean: CleanText) -> bool:
    """Tell whether kept and removed stretches make one text: in order, each as long as its offsets say."""
    at = kept = 0
    for removal in clean.removed:
        if removal.start < at or removal.end - removal.start != len(removal.text):
            return False
        kept += removal.start - at
        at = removal.end
    return kept <= len(clean.text)


def _cuts(removed: Sequence[Removal]) -> list[tuple[str, int, int]]:
    return [(_rule_name(r.rule), r.start, r.end) for r in removed]


def _rule_name(rule: str) -> str:
    return SITE_RULE.rstrip(".") if rule.startswith(SITE_RULE) else rule


def change_of(values: Mapping[str, Any], clean: CleanText) -> Change:
    """Return what becoming `clean` does to a row."""
    before = [r for r in removals_of(values["removed"]) if r.kind != "whitespace"]
    after = [r for r in clean.removed if r.kind != "whitespace"]
    spans = [{(r.start, r.end) for r in held} for held in (before, after)]
    return Change(
        article_id=values["article_id"],
        revision=values["revision"],
        site=values["site"] or "",
        goes=[(_rule_name(r.rule), r.text) for r in after if (r.start, r.end) not in spans[0]],
        returns=[(_rule_name(r.rule), r.text) for r in before if (r.start, r.end) not in spans[1]],
    )


def columns_of(values: Mapping[str, Any], clean: CleanText) -> dict[str, Any]:
    """Return the columns of a row that follow from its text, for the row that becomes `clean`."""
    held = fingerprint(clean.text)
    topics = tag_topics(values["title"] or "", clean.text, language=values["language"])
    sender = values["syndicated_from"]
    if sender == syndicated_from(removals_of(values["removed"])):  # else the page itself had named it
        sender = syndicated_from(clean.removed)
    return {
        "text": clean.text,
        "removed": [{name: getattr(r, name) for name in field_names(Removal)} for r in clean.removed],
        "syndicated_from": sender,
        "topics": [{name: _plain(getattr(topic, name)) for name in field_names(Topic)} for topic in topics],
        "words": held.tokens,
        "text_hash": held.text_hash,
        "signature": held.signature,
        "bands": list(held.bands),
        "terms": list(held.terms),
        "fingerprint_version": FINGERPRINT_VERSION,
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# ---- the lake -------------------------------------------------------------------------------------------------------


_Stories = dict[tuple[str, int], Optional[CleanText]]  # by article_id and revision; None: to be cleaned once more


class Reclean:
    """Cleans the rows of a lake again.

    Args:
        lake: an open lake.
        wanted: which rows.
        lines: the learned lines of all sites.
        clock: Unix seconds.
    """

    def __init__(
        self, lake: Lake, wanted: Wanted, lines: SitesLines, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._lake, self._wanted, self._lines, self._clock = lake, wanted, lines, clock
        self._since = datetime.fromtimestamp(wanted.since or 0.0, UTC)
        self._refused: set[tuple[str, int]] = set()  # they keep the version of what they were cleaned with

    def run(self, *, is_dry_run: bool = False, progress: Callable[[str], None] = lambda line: None) -> Recleaned:
        """Go through the lake day by day, the oldest first; with `is_dry_run` nothing is written.

        Raises:
            LakeError: the lake cannot be read or written; the days before are done.
        """
        done = Recleaned()
        since = self._since.date().isoformat()
        days = sorted({file.day for file in self._lake.table_upkeep(ARTICLES).files() if file.day >= since})
        for number, day in enumerate(days, 1):
            if len(days) > 1:
                progress(f"day {day}, {number} of {len(days)}: {done.changed:,} rows so far")
            self._do_day(day, done, is_dry_run)
        return done

    def _do_day(self, day: str, done: Recleaned, is_dry_run: bool) -> None:
        seen: set[str] = set()
        for _ in range(_MOST_TRIES):
            files = [f for f in self._lake.table_upkeep(ARTICLES).files() if f.day == day and f.path not in seen]
            for batch in _batches(files):
                found, sources, stories = self._look_at(batch)
                if sources and not is_dry_run:
                    if not rewrite(self._lake, ARTICLES, sources, self._changing(stories), now=self._clock()):
                        break  # folded meanwhile: look at the day again
                    found.files = len(sources)
                seen.update(file.path for file in batch)
                done.add(found)
            else:
                return
        raise LakeError(
            f"lake {self._lake.root}: the files of {day} were replaced {_MOST_TRIES} times by others; run again",
            reason="outrun",
        )

    def _look_at(self, files: Sequence[DataFile]) -> tuple[Recleaned, list[DataFile], _Stories]:
        """Return what cleaning the rows of `files` comes to, the files to be rewritten, and what rows become."""
        found = Recleaned()
        sources: list[DataFile] = []
        stories: _Stories = {}
        for file in files:
            changed = len(stories)
            for part in self._lake.batches(ARTICLES, _COLUMNS, [file.path]):
                for values in part.to_pylist():
                    clean = self._look_at_row(values, found) if self._is_wanted(values) else None
                    if clean is not None:
                        stories[_key(values)] = clean if len(stories) < MOST_HELD_ROWS else None
            if len(stories) > changed:
                sources.append(file)
        return found, sources, stories

    def _is_wanted(self, values: Mapping[str, Any]) -> bool:
        """Tell whether a row is meant, and was cleaned with anything else than what there is now."""
        sites = self._wanted.sites
        return (
            values["rules_version"] != self._version_for(values["site"])
            and (not sites or values["site"] in sites)
            and values["committed_at"] >= self._since
        )

    def _version_for(self, site: Optional[str]) -> str:
        return rules_version(self._lines.lines_of(site), self._wanted.keep)

    def _look_at_row(self, values: Mapping[str, Any], found: Recleaned) -> Optional[CleanText]:
        found.rows += 1
        try:
            clean = clean_again(values, self._lines, self._wanted.keep)
        except RejectedError as error:
            found.refused[error.reason] += 1
            found.refused_ids.append(values["article_id"])
            self._refused.add(_key(values))
            return None
        if clean is not None:
            found.count(change_of(values, clean))
        return clean

    def _changing(self, stories: _Stories) -> Callable[[pa.Table], pa.Table]:
        """Return what makes the rows of a part anew: those of `stories`, and the version of all that are meant."""

        def change(part: pa.Table) -> pa.Table:
            rows = part.to_pylist()
            for values in rows:
                key = _key(values)
                if key in self._refused or not self._is_wanted(values):
                    continue
                if key in stories:
                    clean = stories[key] or clean_again(values, self._lines, self._wanted.keep)
                    if clean is not None:
                        values.update(columns_of(values, clean))
                values["rules_version"] = self._version_for(values["site"])
            return pa.Table.from_pylist(rows, schema=part.schema)

        return change


def _key(values: Mapping[str, Any]) -> tuple[str, int]:
    return values["article_id"], values["revision"]


def _batches(files: Sequence[DataFile]) -> list[list[DataFile]]:
    """Return `files` in the order of their commits, in groups of at most `BATCH_BYTES` (or one larger file)."""
    batches: list[list[DataFile]] = []
    size = BATCH_BYTES + 1
    for file in sorted(files, key=lambda f: (f.committed_at, f.path)):
        if size + file.size_bytes > BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(file)
        size += file.size_bytes
    return batches


class OneVersion:
    """The learned lines as they were at first: one run goes by one version, whatever is learned meanwhile."""

    def __init__(self, lines: SitesLines) -> None:
        self._lines = lines
        self._held: dict[Optional[str], Optional[SiteLines]] = {}

    def lines_of(self, site: Optional[str]) -> Optional[SiteLines]:
        """Return the lines of a site; None where there are none."""
        if site not in self._held:
            self._held[site] = self._lines.lines_of(site)
        return self._held[site]


# ---- the command ----------------------------------------------------------------------------------------------------


def add_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    """Add the flags of `newsbeam reclean`."""
    parser.add_argument("--site", action="append", default=[], metavar="DOMAIN", help="only of this site (repeatable)")
    parser.add_argument(
        "--since", metavar="DAY|TIME", help="only rows committed since: 2026-01-31 (UTC), or 12h, 7d ago"
    )
    parser.add_argument("--dry-run", action="store_true", help="say how many rows would change and how; change none")
    options.add_keep_flag(parser)
    options.add_common_flags(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Run `newsbeam reclean`."""
    from pipelines import cli
    from pipelines.options import read_config

    config = read_config(args, version=cli.version())
    wanted = Wanted(sites_named(args.site), since_named(args.since, time.time()), config.keep_kinds)
    lake = open_lake(config.lake, create=False)
    lines = OneVersion(OpenSiteLines(config.lake)())
    try:
        done = Reclean(lake, wanted, lines).run(is_dry_run=args.dry_run, progress=cli._say)
    except KeyboardInterrupt:
        cli._say("newsbeam: stopped; what was rewritten stays, run again for the rest")
        return 130
    if args.json:
        print(json.dumps(_as_json(done), ensure_ascii=False))
    else:
        print("\n".join(_report(done, is_dry_run=args.dry_run)))
    return 0


def _as_json(done: Recleaned) -> dict[str, Any]:
    return vars(done) | {"changed": done.changed, "samples": [vars(change) for change in done.samples]}


def _report(done: Recleaned, *, is_dry_run: bool) -> list[str]:
    verb = "would change" if is_dry_run else "changed"
    out = [f"looked at {done.rows:,} rows of other rules; {done.changed:,} {verb}{_in_brackets(done.sites)}"]
    for name, counts in (("removed", done.goes), ("restored", done.returns)):
        if counts:
            out.append(f"{name:9} {counts.total():,} stretches{_in_brackets(counts)}")
    if done.refused:
        ids = ", ".join(done.refused_ids[:3])
        out.append(f"left      {done.refused.total():,} rows as they are{_in_brackets(done.refused)}: {ids}")
    for change in done.samples:
        out.append(f"{change.article_id} revision {change.revision}, {change.site}")
        for sign, stretches in (("-", change.goes), ("+", change.returns)):
            out += [f"  {sign} {rule}: {one_line(text, limit=100)}" for rule, text in stretches]
    return out


def _in_brackets(counts: Counter[str]) -> str:
    most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    told = [f"{count:,} {name}" for name, count in most_first[:_NAMES_SHOWN]]
    told += [f"{len(most_first) - _NAMES_SHOWN} more"] if len(most_first) > _NAMES_SHOWN else []
    return f" ({', '.join(told)})" if told else ""
