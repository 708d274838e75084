"""The six sites of the sample newsroom: their names, habits and feeds, and what a test may know about an article.

Pure data: `newsroom` serves it, `wrappers` and `feeds` render it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Optional


@dataclass(frozen=True)
class FeedPlan:
    """One feed of a site. `changes` says whether its bytes and validators differ from round to round.

    `format` is rss, rdf, atom, json, fulltext (RSS with content:encoded, no pages) or none; `kind` is ok, broken or
    error; `validators` is which of etag and last_modified the server sends.
    """

    name: str
    path: str
    title: str
    format: str = "rss"
    kind: str = "ok"
    changes: bool = False
    validators: tuple[str, ...] = ("etag", "last_modified")


@dataclass(frozen=True)
class Extra:
    """An entry of a feed whose page is no article: `kind` is missing (404) or no_article."""

    feed: str
    path: str
    title: str
    age_hours: float
    kind: str = "missing"


@dataclass(frozen=True)
class Site:
    """One site: `path` is a format string over section, slug, number and the date; `robots` None answers 404."""

    key: str
    host: str
    name: str
    language: str
    claim: str
    path: str
    first_number: int
    feeds: tuple[FeedPlan, ...]
    extras: tuple[Extra, ...] = ()
    sections: tuple[str, ...] = ()
    charset: str = "utf-8"
    utc_offset_hours: int = 0
    robots: Optional[str] = None

    @property
    def zone(self) -> tzinfo:
        """Return the site's zone, a fixed offset from UTC."""
        return timezone(timedelta(hours=self.utc_offset_hours))


@dataclass(frozen=True)
class Cruft:
    """Something that is not the story but stands inside the article's container.

    `phrase` is its telling visible text: it is in the served page and must not be in the clean one. `place` is inline
    (between two paragraphs) or after (behind the last).
    """

    kind: str
    place: str
    html: str
    phrase: str


@dataclass(frozen=True)
class SampleArticle:
    """The truth about one article: what a perfect pipeline would write.

    `body` is the story with one paragraph a line, without openers, credits and cruft. `origin` is page, or feed where
    the text stands in the feed only. `feeds` are the addresses of the feeds that list it. Articles that share
    `copies` are copies of one another (`copy_kind` wire or rewrite), articles that share `event` tell of one event.
    """

    site: str
    url: str
    language: str
    title: str
    paragraphs: tuple[str, ...]
    section: str
    author: str
    published_at: datetime
    feeds: tuple[str, ...]
    origin: str = "page"
    subheadings: frozenset[str] = frozenset()
    tags: tuple[str, ...] = ()
    event: Optional[str] = None
    copies: Optional[str] = None
    copy_kind: Optional[str] = None
    opener: str = ""
    credit: str = ""
    special: Optional[str] = None
    cruft: tuple[Cruft, ...] = ()

    @property
    def body(self) -> str:
        """Return the clean text, one paragraph a line."""
        return "\n".join(self.paragraphs)

    @property
    def summary(self) -> str:
        """Return the teaser that feeds and meta tags carry: the first sentence."""
        first = self.paragraphs[0]
        end = first.find(". ")
        return first if end < 0 else first[: end + 1]


_ALLOW_ALL = "User-agent: *\nDisallow:\n"

SITES: tuple[Site, ...] = (
    Site(
        key="harbour-courier",
        host="harbour-courier.example",
        name="Harbour Courier",
        language="en",
        claim="News from Halverton and the Sound since 1887",
        path="/{section}/{slug}-{number}.html",
        first_number=48211,
        sections=("Harbour", "City", "Politics", "Business", "Courts", "Culture", "Sport", "Weather", "Health"),
        robots="User-agent: *\nDisallow: /subscribers/account/\n\nSitemap: {base}/sitemap.xml\n",
        feeds=(
            FeedPlan("news", "/feeds/news.xml", "Harbour Courier: all news", changes=True),
            FeedPlan("business", "/feeds/business.xml", "Harbour Courier: business", validators=("etag",)),
            FeedPlan("events", "/feeds/events.xml", "Harbour Courier: what's on", kind="broken", format="none"),
        ),
        extras=(Extra("news", "/city/council-diary-for-the-week-48190.html", "Council diary for the week", 30.5),),
    ),
    Site(
        key="northern-ledger",
        host="northern-ledger.example",
        name="Northern Ledger",
        language="en",
        claim="Economy, policy and markets in the north",
        path="/{date:%Y/%m/%d}/{slug}/",
        first_number=9120,
        sections=("Economy", "Companies", "Policy", "Energy", "Technology", "Opinion"),
        feeds=(FeedPlan("main", "/feed/atom/", "Northern Ledger", format="atom", changes=True, validators=("etag",)),),
        extras=(Extra("main", "/2019/01/01/correction-notice/", "Correction notice", 41.2),),
    ),
    Site(
        key="meridian-post",
        host="meridian-post.example",
        name="Meridian Post",
        language="en",
        claim="The world, distributed",
        path="/news/{number}/{slug}",
        first_number=1107310,
        sections=("World", "Politics", "Science", "Health", "Sport", "Transport"),
        robots=_ALLOW_ALL,
        feeds=(
            FeedPlan("world", "/rss/world.rdf", "Meridian Post World", format="rdf", validators=("last_modified",)),
            FeedPlan("sport", "/rss/sport.xml", "Meridian Post Sport", changes=True, validators=("last_modified",)),
            FeedPlan("markets", "/rss/markets.xml", "Meridian Post Markets", kind="error", format="none"),
        ),
        extras=(
            Extra("world", "/gallery/1107288/the-week-in-pictures", "The week in pictures", 26.0, kind="no_article"),
        ),
    ),
    Site(
        key="orrery-review",
        host="orrery-review.example",
        name="Orrery Review",
        language="en",
        claim="Science and technology, read slowly",
        path="/articles/{slug}",
        first_number=310,
        sections=("Science", "Technology", "Climate", "Medicine", "Space"),
        robots="User-agent: *\nAllow: /\nDisallow: /drafts/\n",
        feeds=(
            FeedPlan("main", "/feed.json", "Orrery Review", format="json"),
            FeedPlan("briefs", "/briefs/feed/", "Orrery Review: Briefs", format="fulltext", changes=True),
        ),
    ),
    Site(
        key="talheimer-bote",
        host="talheimer-bote.example",
        name="Talheimer Bote",
        language="de",
        claim="Die Zeitung für das Untere Wiesental",
        path="/{section}/{slug}-art{number}",
        first_number=702144,
        sections=("Lokales", "Politik", "Wirtschaft", "Sport", "Kultur", "Wetter", "Gesundheit"),
        charset="windows-1252",
        utc_offset_hours=2,
        feeds=(FeedPlan("main", "/rss.xml", "Talheimer Bote", validators=("etag", "last_modified")),),
    ),
    Site(
        key="norderfelder-zeitung",
        host="norderfelder-zeitung.example",
        name="Norderfelder Zeitung",
        language="de",
        claim="Unabhängig seit 1921",
        path="/{section}/artikel/{slug}.html",
        first_number=5530,
        sections=("Norderfeld", "Politik", "Wirtschaft", "Wissen", "Sport", "Verkehr", "Gericht"),
        utc_offset_hours=2,
        robots="User-agent: *\nDisallow: /suche/\n",
        feeds=(
            FeedPlan("main", "/feed/atom.xml", "Norderfelder Zeitung", format="atom"),
            FeedPlan("sport", "/feed/sport.xml", "Norderfelder Zeitung: Sport", changes=True, validators=("etag",)),
        ),
        extras=(Extra("main", "/norderfeld/artikel/leserbriefe.html", "Leserbriefe der Woche", 37.4),),
    ),
)
