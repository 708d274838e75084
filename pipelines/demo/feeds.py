"""The feeds of the sample newsroom in the dialects that newsrooms really send.

RSS 2.0, RSS with the full text, RSS 1.0 (RDF), Atom 1.0 and JSON Feed 1.1. Written as text, not with an XML library:
feeds in the wild are templates too, and each has its own habits (permalink or opaque guids, HTML or plain summaries,
tracking parameters). `stamp` is the only thing that may differ between two rounds. The JSON feed's content_html is only
the teaser, as it is in many: a reader that takes any content for the full text would store one sentence.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from html import escape
from typing import Optional

from pipelines.demo.sites import FeedPlan, SampleArticle, Site

CONTENT_TYPES = {
    "rss": "application/rss+xml; charset={charset}",
    "fulltext": "application/rss+xml; charset={charset}",
    "rdf": "application/rdf+xml; charset={charset}",
    "atom": "application/atom+xml; charset={charset}",
    "json": "application/feed+json",
    "none": "text/xml; charset={charset}",
}

BROKEN = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n<html lang="en">'
    b"<head><title>Halverton what&rsquo;s on</title>\n"
    b'<link rel=stylesheet href="/assets/events.css"></head>\n<body class=events><div id="app"><p>Template error in '
    b"calendar.tpl line 88: unexpected end of file, expecting <b>&lt;/item&gt;</b> <![CDATA[ near <pre>&nbsp;<item"
)


@dataclass(frozen=True)
class FeedItem:
    """One entry as a feed lists it: `article` is None for entries that lead nowhere."""

    number: int
    url: str
    title: str
    published_at: datetime
    article: Optional[SampleArticle] = None


def render_feed(plan: FeedPlan, site: Site, items: Sequence[FeedItem], *, base: str, stamp: datetime) -> bytes:
    """Return the bytes of a feed, in the site's charset (JSON: UTF-8). `stamp` is when it says it was built."""
    if plan.format == "none":
        return BROKEN
    if plan.format == "json":
        return _json_feed(plan, site, items, base)
    text = {"rss": _rss, "fulltext": _rss, "rdf": _rdf, "atom": _atom}[plan.format](plan, site, items, base, stamp)
    return text.encode(site.charset, "xmlcharrefreplace")


def _summary(item: FeedItem) -> str:
    return item.article.summary if item.article else ""


def _rss(plan: FeedPlan, site: Site, items: Sequence[FeedItem], base: str, stamp: datetime) -> str:
    out = [
        f'<?xml version="1.0" encoding="{site.charset}"?>',
        '<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:atom="http://www.w3.org/2005/Atom"'
        ' xmlns:content="http://purl.org/rss/1.0/modules/content/">',
        "<channel>",
        f"<title>{escape(plan.title)}</title>",
        f"<link>{base}/</link>",
        f'<atom:link href="{base}{plan.path}" rel="self" type="application/rss+xml"/>',
        f"<description>{escape(site.claim)}</description>",
        f"<language>{site.language}</language>",
        f"<lastBuildDate>{format_datetime(stamp)}</lastBuildDate>",
        "<ttl>30</ttl>",
    ]
    for item in items:
        out += ["<item>", *_rss_item(plan, site, item), "</item>"]
    return "\n".join([*out, "</channel>", "</rss>", ""])


def _rss_item(plan: FeedPlan, site: Site, item: FeedItem) -> list[str]:
    link = (
        f"{item.url}?utm_source=rss&utm_medium=feed&utm_campaign={plan.name}" if plan.name == "business" else item.url
    )
    lines = [
        f"<title>{escape(item.title, quote=False)}</title>",
        f"<link>{escape(link)}</link>",
        f"<pubDate>{format_datetime(item.published_at.astimezone(site.zone))}</pubDate>",
    ]
    if plan.name == "business":
        lines.append(f'<guid isPermaLink="true">{escape(item.url)}</guid>')
    elif plan.format == "fulltext":
        lines.append(f'<guid isPermaLink="false">{site.host}/?p={item.number}</guid>')
    else:
        lines.append(f'<guid isPermaLink="false">{site.key}-{item.number}</guid>')
    article = item.article
    if article is None:
        return lines
    lines.append(f"<dc:creator>{escape(article.author)}</dc:creator>")
    lines += [f"<category>{escape(tag)}</category>" for tag in (article.section, *article.tags)]
    if plan.format == "fulltext":
        footer = (
            f'<p>The post <a href="{item.url}">{escape(item.title, quote=False)}</a> appeared first on '
            f'<a href="https://{site.host}">{site.name}</a>.</p>'
        )
        paragraphs = "\n".join(f"<p>{escape(p, quote=False)}</p>" for p in article.paragraphs)
        lines.append(f"<description><![CDATA[{article.summary} [&#8230;]]]></description>")
        lines.append(f"<content:encoded><![CDATA[{paragraphs}\n{footer}\n]]></content:encoded>")
    elif plan.name in ("business", "sport"):
        image = f'<img src="/media/{item.number}_thumb.jpg" alt="" width="120" height="80"/>'
        lines.append(f"<description><![CDATA[{image}<p>{escape(article.summary, quote=False)}</p>]]></description>")
    else:
        lines.append(f"<description>{escape(article.summary, quote=False)}</description>")
    return lines


def _rdf(plan: FeedPlan, site: Site, items: Sequence[FeedItem], base: str, stamp: datetime) -> str:
    out = [
        f'<?xml version="1.0" encoding="{site.charset}"?>',
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/">',
        f'<channel rdf:about="{base}{plan.path}">',
        f"<title>{escape(plan.title)}</title>",
        f"<link>{base}/</link>",
        f"<description>{escape(site.claim)}</description>",
        f"<dc:language>{site.language}</dc:language>",
        f"<dc:date>{stamp.isoformat()}</dc:date>",
        "<items><rdf:Seq>",
        *(f'<rdf:li rdf:resource="{escape(item.url)}"/>' for item in items),
        "</rdf:Seq></items>",
        "</channel>",
    ]
    for item in items:
        out += [
            f'<item rdf:about="{escape(item.url)}">',
            f"<title>{escape(item.title, quote=False)}</title>",
            f"<link>{escape(item.url)}</link>",
            f"<description>{escape(_summary(item), quote=False)}</description>",
            f"<dc:date>{item.published_at.astimezone(site.zone).isoformat()}</dc:date>",
            *([f"<dc:creator>{escape(item.article.author)}</dc:creator>"] if item.article else []),
            "</item>",
        ]
    return "\n".join([*out, "</rdf:RDF>", ""])


def _atom(plan: FeedPlan, site: Site, items: Sequence[FeedItem], base: str, stamp: datetime) -> str:
    out = [
        f'<?xml version="1.0" encoding="{site.charset}"?>',
        f'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="{site.language}">',
        f"<title>{escape(plan.title)}</title>",
        f"<subtitle>{escape(site.claim)}</subtitle>",
        f'<link rel="self" type="application/atom+xml" href="{base}{plan.path}"/>',
        f'<link rel="alternate" type="text/html" href="{base}/"/>',
        f"<id>tag:{site.host},2014:{plan.path}</id>",
        f"<updated>{stamp.isoformat()}</updated>",
    ]
    for item in items:
        when = item.published_at.astimezone(site.zone).isoformat()
        out += [
            "<entry>",
            f"<title>{escape(item.title, quote=False)}</title>",
            f'<link rel="alternate" type="text/html" href="{escape(item.url)}"/>',
            f"<id>tag:{site.host},2014:entry-{item.number}</id>",
            f"<published>{when}</published>",
            f"<updated>{when}</updated>",
        ]
        if item.article:
            out += [
                f"<author><name>{escape(item.article.author or site.name)}</name></author>",
                *(f'<category term="{escape(tag)}"/>' for tag in (item.article.section, *item.article.tags)),
                f'<summary type="html">{escape("<p>" + escape(_summary(item), quote=False) + "</p>")}</summary>',
            ]
        out.append("</entry>")
    return "\n".join([*out, "</feed>", ""])


def _json_feed(plan: FeedPlan, site: Site, items: Sequence[FeedItem], base: str) -> bytes:
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": plan.title,
        "description": site.claim,
        "home_page_url": f"{base}/",
        "feed_url": f"{base}{plan.path}",
        "language": site.language,
        "items": [
            {
                "id": f"{site.key}/{item.number}",
                "url": item.url,
                "title": item.title,
                "summary": _summary(item),
                "content_html": f"<p>{escape(_summary(item), quote=False)}</p>",
                "date_published": item.published_at.isoformat().replace("+00:00", "Z"),
                "authors": [{"name": item.article.author}] if item.article and item.article.author else [],
                "tags": list(item.article.tags) if item.article else [],
            }
            for item in items
        ],
    }
    return json.dumps(feed, ensure_ascii=False, indent=1).encode()
