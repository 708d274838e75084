"""The pages of the sample newsroom: six sites' furniture around the same kind of story.

Each site has its own template (``content/<site>.html``), its own paragraph markup and its own cruft *inside* the
article's container, where an extractor keeps it: share rows, teasers, newsletter prompts, popular lists, legal tails,
comments, credits. Which article gets which follows from its position, so that every run serves the same.

Decisions: plain string templates; the sites must differ as sites do, so they share nothing but this file's code.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from html import escape
from string import Template

from pipelines.demo.content import load_template
from pipelines.demo.sites import Cruft, SampleArticle, Site

STRAY_BYTES = b"\xff\xfe\x93"
_STRAY_MARK = "[[stray]]"

_PROMOTED = (
    "Modular Greenhouse Market Outlook: Growth Drivers And Key Players",
    "Qadrant Token Presale Passes Third Milestone Ahead Of Listing",
    "What Does The Global Industrial Adhesives Report Reveal?",
    "Larkspur Holdings Announces Quarterly Dividend",
    "Pellworth Brokers Opens Regional Office In Astera Bay",
    "Five Trends That Shape The Frozen Bakery Industry",
    "Solvane Mining Completes Drill Programme At Copper Ridge",
    "Why Analysts Watch The Velmora Currency This Quarter",
    "Brightloom Named Among Top Workplaces For Third Year",
    "Smart Irrigation Market Size, Share And Forecast",
    "Oakhurst Capital Reveals New Fund For Mid-Sized Firms",
    "Tavira Resorts Launches Winter Loyalty Programme",
)

_MONTHS_DE = (
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
)
_MONTHS_EN = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def long_date(when: datetime, language: str) -> str:
    """Return a day as a reader of `language` (en, de) writes it."""
    if language == "de":
        return f"{when.day}. {_MONTHS_DE[when.month - 1]} {when.year}"
    return f"{_MONTHS_EN[when.month - 1]} {when.day}, {when.year}"


def _link(article: SampleArticle) -> str:
    return f'<a href="{escape(article.url)}">{escape(article.title, quote=False)}</a>'


def choose_cruft(
    site: Site, article: SampleArticle, position: int, others: Sequence[SampleArticle]
) -> tuple[Cruft, ...]:
    """Return what the site puts into the article's container besides the story.

    Args:
        site: the site.
        article: the article, still without cruft.
        position: its place among the site's articles, 0 for the newest.
        others: the site's other articles (at least 3).
    """
    return tuple(_CHOOSERS[site.key](site, article, position, others))


def _harbour(site: Site, article: SampleArticle, position: int, others: Sequence[SampleArticle]) -> list[Cruft]:
    found = []
    if position % 2 == 0:
        teaser = others[position % len(others)]
        phrase = f"Read also: {teaser.title}"
        found.append(Cruft("read_also", "inline", f"<p><strong>Read also:</strong> {_link(teaser)}</p>", phrase))
    if position % 3 != 2:
        phrase = "Sign up for our morning newsletter and get the Courier in your inbox every weekday at 6."
        found.append(Cruft("newsletter", "after", f"<p><em>{phrase}</em></p>", phrase))
    items = "".join(f'<li><a href="#{n.lower()}">{n}</a></li>' for n in ("Facebook", "WhatsApp", "Email", "Print"))
    found.append(Cruft("share", "after", f"<p>Share this article</p>\n<ul>{items}</ul>", "Share this article"))
    if position % 4 == 1:
        phrase = "© Harbour Courier. All rights reserved. No part of this report may be republished without permission."
        found.append(Cruft("legal", "after", f"<p>{phrase}</p>", phrase))
    return found


def _ledger(site: Site, article: SampleArticle, position: int, others: Sequence[SampleArticle]) -> list[Cruft]:
    found = []
    if position % 3 == 0:
        html = (
            '<div class="robots-nocontent"><h3>Share this:</h3><ul>'
            '<li><a href="?share=x">Click to share on X (Opens in new window)</a></li>'
            '<li><a href="?share=facebook">Click to share on Facebook (Opens in new window)</a></li></ul></div>'
        )
        found.append(Cruft("share", "after", html, "Share this:"))
    phrase = f"The post {article.title} appeared first on {site.name}."
    html = f'<p>The post {_link(article)} appeared first on <a href="/">{site.name}</a>.</p>'
    found.append(Cruft("appeared_first", "after", html, phrase))
    if position % 2 == 0:
        html = (
            f"<div class='wp-block-group'><p class='has-text-align-center'>Discover more from {site.name}</p>\n"
            "<p class='has-text-align-center'>Subscribe to get the latest posts sent to your email.</p></div>"
        )
        found.append(Cruft("newsletter", "after", html, "Subscribe to get the latest posts sent to your email."))
    return found


def _meridian(site: Site, article: SampleArticle, position: int, others: Sequence[SampleArticle]) -> list[Cruft]:
    legal = (
        f"{site.name} passes this information on “as is” and without warranty of any kind. We take no responsibility "
        "or liability for the accuracy, completeness, legality or reliability of the text, images, videos or licences "
        "in this article. Complaints and copyright issues related to it should be sent to the provider above."
    )
    start = position * 5 % len(_PROMOTED)
    picked = [_PROMOTED[(start + i) % len(_PROMOTED)] for i in range(5)]
    items = "\n".join(f'<li data-href="/promoted/{start + i}">{t}</li>' for i, t in enumerate(picked))
    return [
        Cruft("legal", "after", f"<p><b>Legal Disclaimer:</b></p>\n<p>{legal}</p>", legal),
        Cruft(
            "popular",
            "after",
            f"<h3>Most popular stories</h3>\n<p>Market Research</p>\n<ul>\n{items}\n</ul>",
            picked[0],
        ),
        Cruft("comments", "after", "<h3>Comments</h3>\n<p>No comment</p>", "No comment"),
    ]


def _orrery(site: Site, article: SampleArticle, position: int, others: Sequence[SampleArticle]) -> list[Cruft]:
    if article.origin == "feed":
        return [Cruft("appeared_first", "after", "", f"The post {article.title} appeared first on {site.name}.")]
    found = []
    if position % 3 == 0:
        teaser = others[position % len(others)]
        phrase = f"You might also like: {teaser.title}"
        found.append(Cruft("read_also", "inline", f"<p>You might also like: {_link(teaser)}</p>", phrase))
    if position % 2 == 0:
        phrase = "Orrery Review is paid for by its readers. If you value slow journalism, become a member today."
        found.append(Cruft("support", "after", f"<p>{phrase}</p>", phrase))
    phrase = "Sign up to the Orrery newsletter for one long read every Sunday."
    found.append(Cruft("newsletter", "after", f"<p>{phrase}</p>", phrase))
    return found


def _bote(site: Site, article: SampleArticle, position: int, others: Sequence[SampleArticle]) -> list[Cruft]:
    found = []
    if position % 2 == 0:
        teaser = others[position % len(others)]
        html = f"<p><b>Lesen Sie auch:</b> {_link(teaser)}</p>"
        found.append(Cruft("read_also", "inline", html, f"Lesen Sie auch: {teaser.title}"))
    if position % 3 != 1:
        phrase = (
            "Abonnieren Sie unseren Newsletter und erhalten Sie die wichtigsten Nachrichten jeden Morgen per E-Mail."
        )
        found.append(Cruft("newsletter", "after", f"<p>{phrase}</p>", phrase))
    html = "<p>Artikel teilen</p><ul><li>Facebook</li><li>WhatsApp</li><li>E-Mail</li><li>Drucken</li></ul>"
    found.append(Cruft("share", "after", html, "Artikel teilen"))
    if position % 4 == 0:
        html = "<h4>Kommentare</h4><p>Noch keine Kommentare vorhanden.</p>"
        found.append(Cruft("comments", "after", html, "Noch keine Kommentare vorhanden."))
    return found


def _norder(site: Site, article: SampleArticle, position: int, others: Sequence[SampleArticle]) -> list[Cruft]:
    found = []
    if position % 3 == 0:
        picked = [others[(position + i) % len(others)] for i in range(3)]
        items = "".join(f"<li>{_link(a)}</li>" for a in picked)
        found.append(
            Cruft("popular", "after", f"<h3>Meistgelesene Artikel</h3><ul>{items}</ul>", "Meistgelesene Artikel")
        )
    html = f'<p>Der Beitrag {_link(article)} erschien zuerst auf <a href="/">{site.name}</a>.</p>'
    found.append(
        Cruft("appeared_first", "after", html, f"Der Beitrag {article.title} erschien zuerst auf {site.name}.")
    )
    if position % 2 == 0:
        phrase = (
            "Haftungsausschluss: Alle Angaben in diesem Beitrag erfolgen ohne Gewähr. Die Redaktion übernimmt keine "
            "Haftung für die Richtigkeit, Vollständigkeit und Aktualität der Inhalte."
        )
        found.append(Cruft("legal", "after", f"<p><small>{phrase}</small></p>", phrase))
    return found


_CHOOSERS = {
    "harbour-courier": _harbour,
    "northern-ledger": _ledger,
    "meridian-post": _meridian,
    "orrery-review": _orrery,
    "talheimer-bote": _bote,
    "norderfelder-zeitung": _norder,
}

# How each site writes a paragraph and a subheading.
_MARKUP = {
    "harbour-courier": ('<p class="story-text">{}</p>', '<h2 class="story-sub">{}</h2>'),
    "northern-ledger": ("<p>{}</p>", '<h3 class="wp-block-heading">{}</h3>'),
    "meridian-post": ("<p>{}</p>", "<p><b>{}</b></p>"),
    "orrery-review": ('<p data-block="text">{}</p>', "<h2>{}</h2>"),
    "talheimer-bote": ('<p class="artikeltext">{}</p>', '<p class="zwischentitel"><b>{}</b></p>'),
    "norderfelder-zeitung": ('<p class="nz-absatz">{}</p>', '<h2 class="nz-zwischen">{}</h2>'),
}


def render_page(site: Site, article: SampleArticle, others: Sequence[SampleArticle], *, base: str) -> bytes:
    """Return the page of an article in the site's charset; `others` fill its lists."""
    when = article.published_at.astimezone(site.zone)
    page = Template(load_template(site.key)).substitute(
        _furniture(site, others, base),
        title=escape(article.title),
        headline=escape(article.title, quote=False),
        description=escape(article.summary),
        url=escape(article.url),
        section=escape(article.section),
        author=escape(article.author or f"{site.name} staff"),
        published=when.isoformat(),
        day=long_date(when, site.language),
        clock=f"{when:%H:%M}",
        year=str(when.year),
        tags=escape(", ".join(article.tags)),
        json_ld=_json_ld(site, article, when, base),
        body=_body(site, article),
        caption=_caption(article),
    )
    return _encode(page, site.charset)


def render_gallery(site: Site, title: str, others: Sequence[SampleArticle], *, base: str) -> bytes:
    """Return a page that is no article: pictures without a text, and a cookie wall."""
    menu = _furniture(site, others, base)["menu"]
    pictures = "".join(f'<li><img src="/media/week/{n}.jpg" alt=""></li>' for n in range(1, 25))
    page = (
        f'<!DOCTYPE html><html lang="{site.language}"><head><meta charset="{site.charset}">'
        f"<title>{escape(title)}</title></head><body><nav><ul>{menu}</ul></nav><div class='wall'>"
        f"<button>Accept all cookies</button><button>Settings</button></div><ol class='slides'>{pictures}</ol>"
        f"<footer>{site.name}</footer></body></html>"
    )
    return _encode(page, site.charset)


def render_home(site: Site, articles: Sequence[SampleArticle], *, base: str) -> bytes:
    """Return the front page: feeds in the head, headlines with teasers beneath."""
    kinds = {"atom": "application/atom+xml", "json": "application/feed+json", "rdf": "application/rdf+xml"}
    links = "".join(
        f'<link rel="alternate" type="{kinds.get(f.format, "application/rss+xml")}" title="{f.title}" href="{f.path}">'
        for f in site.feeds
    )
    items = "".join(f"<li><h2>{_link(a)}</h2><p>{escape(a.summary, quote=False)}</p></li>" for a in articles)
    page = (
        f'<!DOCTYPE html><html lang="{site.language}"><head><meta charset="{site.charset}">'
        f"<title>{site.name}</title>{links}</head><body><h1>{site.name}</h1><p>{site.claim}</p><ul>{items}</ul></body></html>"
    )
    return _encode(page, site.charset)


def _encode(page: str, charset: str) -> bytes:
    return page.encode(charset, "xmlcharrefreplace").replace(_STRAY_MARK.encode(), STRAY_BYTES)


def _caption(article: SampleArticle) -> str:
    stray = f" {_STRAY_MARK}" if article.special == "undecodable" else ""
    return f"{escape(article.section)}{stray}"


def _body(site: Site, article: SampleArticle) -> str:
    paragraph, subheading = _MARKUP[site.key]
    lines = list(article.paragraphs)
    lines[0] = f"{article.opener} {lines[0]}" if article.opener else lines[0]
    blocks = [
        (subheading if line in article.subheadings else paragraph).format(escape(line, quote=False)) for line in lines
    ]
    if article.special == "repeated_body":
        blocks += [paragraph.format(escape(line, quote=False)) for line in article.paragraphs]
    inline = [c.html for c in article.cruft if c.place == "inline"]
    blocks[2:2] = inline
    if article.credit:
        blocks.append(paragraph.format(escape(article.credit, quote=False)))
    blocks += [c.html for c in article.cruft if c.place == "after"]
    return "\n".join(blocks)


def _furniture(site: Site, others: Sequence[SampleArticle], base: str) -> dict[str, str]:
    menu = "".join(
        f'<li class="menu-item menu-item-{n}"><a href="{base}/{re.sub("[^a-z]+", "-", s.lower())}/">{s}</a></li>\n'
        for n, s in enumerate(site.sections)
    )
    related = "".join(
        f'<li class="teaser"><a href="{escape(a.url)}"><img src="/media/teaser/{n}.jpg" alt="" '
        f'loading="lazy" width="320" height="180">'
        f'<span class="kicker">{escape(a.section)}</span> <span class="teaser-title">'
        f"{escape(a.title, quote=False)}</span></a></li>\n"
        for n, a in enumerate(others[:6])
    )
    latest = "".join(
        f'<li><time datetime="{a.published_at.isoformat()}">{a.published_at.astimezone(site.zone):%H:%M}</time> '
        f"{_link(a)}</li>\n"
        for a in others[:8]
    )
    return {"base": base, "menu": menu, "related": related, "latest": latest}


def _json_ld(site: Site, article: SampleArticle, when: datetime, base: str) -> str:
    data = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "mainEntityOfPage": {"@type": "WebPage", "@id": article.url},
        "headline": article.title,
        "description": article.summary,
        "datePublished": when.isoformat(),
        "dateModified": when.isoformat(),
        "articleSection": article.section,
        "keywords": list(article.tags),
        "inLanguage": site.language,
        "isAccessibleForFree": True,
        "author": [{"@type": "Person", "name": article.author or f"{site.name} staff"}],
        "publisher": {"@type": "NewsMediaOrganization", "name": site.name, "url": f"{base}/"},
    }
    return json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
