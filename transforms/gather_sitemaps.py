"""What an index of sitemaps leads to: which of those it names are read now, and their entries as one feed's.

Decisions:
    An index is polled as one feed. What it names is asked within the same poll, a bounded number of requests, each
    with a turn of its own and as robots.txt allows, since the user listed the index and not them.

    Lists that ended before the last poll are left out, so a poller does not become a crawler of archives.

Limits: of an archive that was there before the first poll only what the bound allows is ever read.
"""

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Optional
from urllib.parse import unquote, urlsplit

from apache_beam.utils.timestamp import Duration, Timestamp

from transforms.article_url import address_key
from transforms.errors import IngestError
from transforms.records import NestedSitemap, ParsedFeed, newest_first

MOST_GATHERED = 50_000
MOST_NESTED = 5  # requests that one poll of an index leads to: the newest lists hold the newest pages
_MANY_NESTED = 500  # names, from which on choosing among them would hold the event loop up
OVERLAP_SECONDS = 86_400.0  # a lastmod may be a mere day, in any zone
_NEWS_NAME = re.compile(r"news|latest|recent|nachrichten|noticia|actualit|notizi|novosti", re.IGNORECASE)
_NO_STORIES_NAME = re.compile(
    r"(?:\b|_)(?:categor(?:y|ies)|tags?|authors?|users?|taxonom(?:y|ies)|images?|pictures?|videos?|products?)(?:\b|_)",
    re.IGNORECASE,
)
_DATE_IN_NAME = re.compile(
    r"(?<!\d)(20\d\d)(?:\D{0,4}(0[1-9]|1[0-2])(?!\d{3})(?:\D{0,4}(0[1-9]|[12]\d|3[01]))?)?(?!\d)"
)


def choose_nested(
    nested: Sequence[NestedSitemap],
    *,
    now: Timestamp,
    since: Optional[Timestamp] = None,
    most: int = MOST_NESTED,
) -> tuple[NestedSitemap, ...]:
    """Return which of an index's sitemaps to read now, the most promising first.

    Lists of sections, tags, people and pictures are left out where there are others. What names news comes first, then
    the newest lastmod (by day: many lists are rebuilt together), then the newest date in the name. Without any sign
    the newest pages stand at one end of the list, and nobody knows which, so it is read from both.

    Args:
        nested: in the index's order.
        now: the time.
        since: the last poll; lists that ended before it are left out, with a day's overlap. None for the first.
        most: how many.
    """
    named = [(one, _name_of(one.url)) for one in nested]
    wanted = [(one, name) for one, name in named if not _NO_STORIES_NAME.search(name)] or named
    last, this_year = len(wanted) - 1, now.to_utc_datetime().year
    ranked: list[tuple[tuple[Any, ...], int, NestedSitemap]] = []
    for place, (one, name) in enumerate(wanted):
        dated = _date_in(name, this_year)
        if since is not None and _is_over(one, dated, since):
            continue
        day = -(one.lastmod.micros // 86_400_000_000) if one.lastmod is not None else 0
        newest = tuple(-part for part in dated) if dated is not None else (0,)
        is_news = bool(_NEWS_NAME.search(name))
        ranked.append(((not is_news, day, newest, min(place, last - place)), place, one))
    return tuple(one for _, _, one in sorted(ranked, key=lambda r: r[:2])[:most])


async def gather_nested(
    first: ParsedFeed,
    *,
    url: str,
    read: Callable[[str], Awaitable[ParsedFeed]],
    now: Timestamp,
    since: Optional[Timestamp] = None,
    most: int = MOST_NESTED,
) -> ParsedFeed:
    """Return `first` with the entries of the sitemaps it names, read now as `choose_nested` says.

    An index within an index is followed as well; each address is asked once, and there are `most` requests in all, so
    cycles end. A nested sitemap that cannot be had or read costs its own entries and a warning, not the poll; when
    none of those asked could be had, the last error is raised.

    Args:
        first: as parsed; without nested sitemaps it is returned as it is.
        url: where it came from.
        read: fetches an address, politely and as robots.txt allows, and parses it, away from the event loop; raises
            IngestError.
        now: the time.
        since: the last poll, see `choose_nested`.
        most: requests.
    """
    asked = {address_key(url)}
    entries = {entry.key: entry for entry in first.entries}
    warnings, error, has_read = list(first.warnings), None, False

    async def choose(nested: Sequence[NestedSitemap], most: int) -> tuple[NestedSitemap, ...]:
        # Fifty thousand names take a second: beside the loop, whose other hosts go on.
        work = functools.partial(choose_nested, nested, now=now, since=since, most=most)
        return await asyncio.to_thread(work) if len(nested) > _MANY_NESTED else work()

    waiting, left = list(await choose(first.nested, most)), most
    if len(waiting) < len(first.nested):
        warnings.append("sitemaps_left_out")
    while waiting and left > 0:
        one = waiting.pop(0)
        if address_key(one.url) in asked:
            warnings.append("cyclic_sitemap")
            continue
        asked.add(address_key(one.url))
        left -= 1
        try:
            parsed = await read(one.url)
        except IngestError as failed:
            warnings.append(f"nested_{failed.reason}")
            error = failed
            continue
        has_read = True
        warnings.extend(parsed.warnings)
        for entry in parsed.entries:
            entries.setdefault(entry.key, entry)
        waiting = [*await choose(parsed.nested, left), *waiting]
    if error is not None and not has_read and not entries:
        raise error
    newest = sorted(entries.values(), key=newest_first)
    return replace(first, entries=tuple(newest[:MOST_GATHERED]), nested=(), warnings=tuple(dict.fromkeys(warnings)))


def _name_of(url: str) -> str:
    """Return what of an address names the sitemap: path and query; a host called news says nothing of one list."""
    parts = urlsplit(url)
    return unquote(f"{parts.path}?{parts.query}")


def _date_in(name: str, this_year: int) -> Optional[tuple[int, ...]]:
    """Return (year), (year, month) or (year, month, day); a year to come is some other number."""
    dates = [tuple(int(part) for part in found if part) for found in _DATE_IN_NAME.findall(name)]
    return max((date for date in dates if date[0] <= this_year), key=len, default=None)


def _is_over(one: NestedSitemap, dated: Optional[tuple[int, ...]], since: Timestamp) -> bool:
    """Whether nothing can have been added to a list since then."""
    known_until = since - Duration(seconds=OVERLAP_SECONDS)
    if one.lastmod is not None:
        return bool(one.lastmod < known_until)
    if dated is None:
        return False
    day = known_until.to_utc_datetime()
    return dated < (day.year, day.month, day.day)[: len(dated)]
