"""The learned lines of sites in the lake: stored by `newsbeam learn`, watched by the steps that strip cruft.

Decisions:
    The table holds one version, replaced in one transaction; a version that is there already is not written again. So
    a reader finds all of one version or all of another, and the table does not grow. What an older version removed is
    in the ledgers of the articles, with its text.

    A step asks for a site's lines with each article: that is a look into a dictionary. The table is looked at when a
    graph begins, and in a stream once a minute (a listing of its log); it is read when there is a new version. A lake
    that is away changes nothing: the lines stay as they were.

Limits: all sites' lines are in the memory of each process, at most 100 a site and about 130 bytes each.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Optional

import pyarrow.dataset as ds
from apache_beam.utils.timestamp import Timestamp

from transforms.errors import LakeError
from transforms.lake import Lake, OutrunError
from transforms.lake_table import TableView
from transforms.learn_site_lines import COLUMNS, SAMPLE_CHARS, SiteLine, lines_to_count, model_version_of
from transforms.records import field_names
from transforms.schemas import ARTICLES, SITE_LINES
from transforms.strip_cruft import LearnedLines, line_hash, removals_of

_log = logging.getLogger("newsbeam.site_lines")

LOOK_SECONDS = 60.0
_MOST_TRIES = 20


# ---- stored ---------------------------------------------------------------------------------------------------------


def samples_of(lake: Lake, lines: Sequence[SiteLine]) -> Mapping[tuple[str, str], str]:
    """Return the words of each line by (site, line_hash), from the article that it names.

    Raises:
        LakeError: the lake cannot be read.
    """
    wanted = {(line.article_id, line.revision) for line in lines}
    keep = ds.field("article_id").isin(sorted({article_id for article_id, _ in wanted}))
    hashes = {(line.site, line.line_hash) for line in lines}
    samples: dict[tuple[str, str], str] = {}
    for values in lake.read(ARTICLES, COLUMNS, keep=keep).to_pylist() if lines else ():
        if (values["article_id"], values["revision"]) not in wanted:
            continue
        removed = removals_of(values["removed"])
        for text in lines_to_count(values["text"] or "", removed):
            key = (values["site"], line_hash(text))
            if key in hashes:
                samples.setdefault(key, text)
    return samples


def store_site_lines(
    lake: Lake, lines: Sequence[SiteLine], samples: Mapping[tuple[str, str], str], *, now: Timestamp
) -> bool:
    """Make `lines` what the lake's steps go by; return False when they are that already (nothing is written then).

    Raises:
        LakeError: the table cannot be written; the lines are as they were.
    """
    version = model_version_of(lines)
    for _ in range(_MOST_TRIES):
        held = lines_in(lake)
        if (version if lines else None) == (held[0]["model_version"] if held else None):
            return False
        try:
            lake.replace_rows(SITE_LINES, _rows(lines, version, samples, now), committed_at=now)
        except OutrunError:
            continue
        lake.table_upkeep(SITE_LINES).vacuum()
        return True
    raise LakeError(
        f"{_MOST_TRIES} writes of site_lines were outrun; run one `newsbeam learn` at a time", reason="outrun"
    )


def lines_in(lake: Lake) -> list[dict[str, Any]]:
    """Return the rows of site_lines by site and number of articles; none where nothing was learned.

    Raises:
        LakeError: the table cannot be read.
    """
    view = TableView(str(lake.root), SITE_LINES)
    view.version()
    order = [("site", "ascending"), ("articles", "descending"), ("line_hash", "ascending")]
    return list(view.read(SITE_LINES.file_schema.names).sort_by(order).to_pylist())


def _rows(
    lines: Sequence[SiteLine], version: str, samples: Mapping[tuple[str, str], str], now: Timestamp
) -> list[dict[str, Any]]:
    rows = []
    for line in sorted(lines, key=lambda line: (line.site, line.line_hash)):
        values: dict[str, Any] = {name: getattr(line, name) for name in field_names(SiteLine)}
        sample = samples.get((line.site, line.line_hash), "")
        values |= {
            "model_version": version,
            "line": sample if len(sample) <= SAMPLE_CHARS else sample[: SAMPLE_CHARS - 1] + "…",
            "first_day": _EPOCH + timedelta(days=line.first_day),
            "last_day": _EPOCH + timedelta(days=line.last_day),
            "committed_at": now.micros,
        }
        rows.append({name: values[name] for name in SITE_LINES.file_schema.names})
    return rows


_EPOCH = date(1970, 1, 1)


# ---- watched --------------------------------------------------------------------------------------------------------


class WatchedSiteLines:
    """The learned lines of all sites, as new as the last look; `lines_of` may be called from any thread.

    Args:
        lake_uri: where the lake is; it need not be there.
        clock: seconds that only grow.
    """

    def __init__(self, lake_uri: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._view, self._clock = TableView(lake_uri, SITE_LINES), clock
        self._lock = threading.Lock()
        self._version = -1
        self._due = 0.0
        self._is_away = False
        self._lines: Mapping[str, LearnedLines] = {}
        self._asked: set[str] = set()

    def lines_of(self, site: Optional[str]) -> Optional[LearnedLines]:
        """Return the lines of a site (registrable domain); None where there are none."""
        if self._clock() >= self._due:
            self.look()
        return self._lines.get(site or "")

    def look_once(self, who: str) -> None:
        """Look at the table if `who` has not been here before."""
        if who not in self._asked:
            self.look()
            self._asked.add(who)

    def look(self) -> None:
        """Take over the newest version now. Raises nothing: a lake that is away leaves the lines as they were."""
        with self._lock:
            self._due = self._clock() + LOOK_SECONDS
            try:
                version = self._view.version()
                if version != self._version:
                    self._lines, self._version = self._read(), version
            except LakeError as error:
                if not self._is_away:
                    _log.warning("the learned lines stay as they were: %s", error)
                self._is_away = True
            else:
                self._is_away = False

    def _read(self) -> Mapping[str, LearnedLines]:
        held = self._view.read(["site", "line_hash", "model_version"]).to_pylist()
        hashes: dict[tuple[str, str], set[str]] = {}
        for values in held:
            hashes.setdefault((values["site"], values["model_version"]), set()).add(values["line_hash"])
        return {site: LearnedLines(version, frozenset(lines)) for (site, version), lines in sorted(hashes.items())}


_watched: dict[str, WatchedSiteLines] = {}
_watched_lock = threading.Lock()


class OpenSiteLines:
    """Gives the steps of one graph the learned lines, in whatever process they run: one memory a process and lake.

    Args:
        lake_uri: where the lake is.
    """

    def __init__(self, lake_uri: str) -> None:
        self._lake_uri, self._graph = lake_uri, uuid.uuid4().hex

    def __call__(self) -> WatchedSiteLines:
        """Return the lines; the table is looked at when a graph asks for the first time."""
        watched = _watched.get(self._lake_uri)
        if watched is None:
            with _watched_lock:
                watched = _watched.setdefault(self._lake_uri, WatchedSiteLines(self._lake_uri))
        watched.look_once(self._graph)
        return watched
