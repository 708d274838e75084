"""Finding feeds: what a site's page says, in which order it is believed, and what is found by asking."""

import asyncio
import time
from typing import NamedTuple, Optional, Union

import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.discover_feeds import (
    MOST_CANDIDATES,
    discover_feeds,
    discover_sitemaps,
    parse_or_suggest,
    suggest_feed,
)
from transforms.errors import IngestError, RejectedError, TransientError
from transforms.find_feeds import Finding, FoundFeed, find_feeds
from transforms.http import Response

HOME = "https://paper.example/"


class PageCase(NamedTuple):
    """A page, and the feeds it names, best first; `guesses` are among what is tried after those, in this order."""

    name: str
    html: str
    named: tuple[str, ...]
    guesses: tuple[str, ...] = ()
    url: str = HOME


def link(href: str, kind: str = "application/rss+xml", title: str = "", rel: str = "alternate") -> str:
    return f'<link rel="{rel}" type="{kind}" title="{title}" href="{href}">'


def head(*parts: str, lang: str = "en", generator: str = "") -> str:
    meta = f'<meta name="generator" content="{generator}">' if generator else ""
    return f'<!doctype html><html lang="{lang}"><head>{meta}{"".join(parts)}</head><body><p>Stories</p></body></html>'


def body(*parts: str, lang: str = "en") -> str:
    return f'<!doctype html><html lang="{lang}"><head><title>x</title></head><body>{"".join(parts)}</body></html>'


def at(path: str, site: str = "https://paper.example/") -> str:
    return site + path


PAGES = [
    # what is declared
    PageCase("RSS", head(link("/feed.xml")), (at("feed.xml"),)),
    PageCase("Atom before RSS stays as listed", head(link("a.atom", "application/atom+xml"), link("b.rss")), (at("a.atom"), at("b.rss"))),
    PageCase("JSON Feed", head(link("/feed.json", "application/feed+json")), (at("feed.json"),)),
    PageCase("JSON that is no feed", head(link("/wp-json/wp/v2/posts/1", "application/json"), link("/x?format=json", "application/json+oembed")), ()),
    PageCase("JSON that calls itself a feed", head(link("/feed.json", "application/json", "JSON Feed")), (at("feed.json"),)),
    PageCase("oEmbed as XML is no feed", head(link("/oembed?format=xml", "text/xml+oembed")), ()),
    PageCase("RDF", head(link("/index.rdf", "application/rdf+xml")), (at("index.rdf"),)),
    PageCase("plain XML that is named like a feed", head(link("/rss/all", "text/xml")), (at("rss/all"),)),
    PageCase("plain XML that is not", head(link("/opensearch.xml", "application/xml")), ()),
    PageCase("rel=feed", head('<link rel="feed" href="/all">'), (at("all"),)),
    PageCase("rel=alternate of translations and styles", head('<link rel="alternate" hreflang="de" href="/de/">', link("/x.css", "text/css", rel="alternate stylesheet")), ()),
    PageCase("several values of rel, in capitals, with parameters in the type",
             head('<LINK REL="ALTERNATE HOME" TYPE="Application/RSS+XML; charset=utf-8" HREF="/r">'), (at("r"),)),
    PageCase("base", head('<base href="https://cdn.paper.example/site/">', link("feed.xml")), ("https://cdn.paper.example/site/feed.xml",)),
    PageCase("a relative base", head('<base href="/en/">', link("feed.xml")), (at("en/feed.xml"),)),
    PageCase("relative to a page below", head(link("../rss.xml")), (at("rss.xml"),), url=at("news/today")),
    PageCase("without a scheme", head(link("//feeds.paper.example/all")), ("https://feeds.paper.example/all",)),
    PageCase("feed: addresses", head(link("feed://paper.example/r"), link("feed:https://paper.example/s")), (at("r"), at("s"))),
    PageCase("the same feed twice, one with a slash more", head(link("/feed"), link("/feed/"), link("http://paper.example/feed")), (at("feed"),)),
    PageCase("white space in the address", head(link(" /feed.xml\n")), (at("feed.xml"),)),
    PageCase("what is no address", head(link("javascript:x()"), link("http://["), link("")), ()),
    PageCase("entities in the address", head(link("/?format=feed&amp;type=rss")), (at("?format=feed&type=rss"),)),
    PageCase("links in the body", body(link("/feed.xml")), (at("feed.xml"),)),
    PageCase("in a comment there is nothing", head("<!-- " + link("/old.xml") + " -->"), ()),
    # comments go last, in many languages
    *(
        PageCase(f"comments: {title}", head(link("/c", title=title), link("/f", title="x")), (at("f"), at("c")))
        for title in (
            "Comments on: Paper", "Paper » Comments Feed", "Kommentare", "Paper » Kommentar-Feed", "Flux des commentaires",
            "Feed de los comentarios", "Comentários", "Commenti", "Reacties", "Лента комментариев", "Коментарі",
            "Komentarze", "Yorumlar", "コメント", "评论", "댓글", "التعليقات", "टिप्पणियां", "Bình luận", "Komentar",
        )
    ),
    PageCase("comments by address", head(link("/comments/feed/"), link("/feed/")), (at("feed/"), at("comments/feed/"))),
    # what is linked
    PageCase("an anchor to a feed", body('<a href="/rss.xml">subscribe</a>'), (at("rss.xml"),)),
    PageCase("declared ones before linked ones", head(link("/feed.xml")) + '<a href="/rss/sport.xml">Sport</a>', (at("feed.xml"), at("rss/sport.xml"))),
    PageCase("a page of feeds, by its text", body('<a href="/services/alles">RSS-Feeds</a>', lang="de"), (at("services/alles"),)),
    PageCase("by the text of its picture", body('<a href="/x1"><img src="i.png" alt="RSS"></a>'), (at("x1"),)),
    PageCase("SPIP", body('<a href="spip.php?page=backend">Suivre la vie du site</a>', lang="fr"), (at("spip.php?page=backend"),)),
    PageCase("queries", body('<a href="/?feed=rss2">a</a><a href="/news?_format=rss">b</a><a href="/x?output=atom">c</a>'),
             (at("?feed=rss2"), at("news?_format=rss"), at("x?output=atom"))),
    PageCase("words that only look like it", body('<a href="/feedback">a</a><a href="/atomic-energy">b</a><a href="/brussels">c</a>'
             '<a href="/farm/cattle-feeding">d</a><a href="/news/rdfa-in-use">e</a>'), ()),
    PageCase("feeds of other sites are theirs", body('<a href="https://other.example/feed.xml">x</a>'), ()),
    PageCase("but a feed host speaks for its users", body('<a href="https://feeds.feedburner.com/paper">RSS</a>'), ("https://feeds.feedburner.com/paper",)),
    PageCase("a reader's button holds the address",
             body('<a href="https://reader.example/i/subscription/feed/https%3A%2F%2Fpaper.example%2Frss.xml">Add</a>'), (at("rss.xml"),)),
    PageCase("no mail, no script, no file", body('<a href="mailto:rss@paper.example">RSS</a><a href="javascript:rss()">RSS</a><a href="/rss.png">RSS</a>'), ()),
    PageCase("pinned sites' notices", head('<meta name="msapplication-notification" content="frequency=30;polling-uri=http://n.example/?feed=https://paper.example/feed/&amp;id=1;cycle=1">'),
             (at("feed/"),)),
    # what the site's software suggests
    PageCase("WordPress", head(generator="WordPress 6.8"), (), (at("feed/"),)),
    PageCase("WordPress in a folder", head('<script src="https://paper.example/blog/wp-content/themes/x.js"></script>'), (), (at("blog/feed/"),)),
    PageCase("Blogger", head(generator="blogger"), (), (at("feeds/posts/default"),)),
    PageCase("Drupal", head(generator="Drupal 10 (https://www.drupal.org)"), (), (at("rss.xml"),)),
    PageCase("Ghost", head(generator="Ghost 5.90"), (), (at("rss/"),)),
    PageCase("Medium", head('<meta property="al:ios:app_name" content="Medium">'), (), ("https://medium.com/feed/@writer",), "https://medium.com/@writer"),
    PageCase("Substack", head('<link rel="preconnect" href="https://substackcdn.com">'), (), (at("feed"),)),
    PageCase("Squarespace", head("<!-- This is Squarespace. -->", '<script src="https://static1.squarespace.com/a.js"></script>'), (), (at("blog?format=rss"),)),
    PageCase("Wix", head(generator="Wix.com Website Builder"), (), (at("blog-feed.xml"),)),
    PageCase("Joomla", head(generator="Joomla! - Open Source Content Management"), (), (at("?format=feed&type=rss"),)),
    PageCase("Hugo", head(generator="Hugo 0.140"), (), (at("index.xml"),)),
    PageCase("Jekyll", head(generator="Jekyll v4.3"), (), (at("feed.xml"),)),
    PageCase("Hexo", head(generator="Hexo 7.0"), (), (at("atom.xml"),)),
    PageCase("TYPO3", head(generator="TYPO3 CMS", lang="de"), (), (at("rss.xml"),)),
    PageCase("Tumblr", head('<link rel="stylesheet" href="https://assets.tumblr.com/x.css">'), (), (at("rss"),)),
    PageCase("Discourse", head(generator="Discourse 3.4"), (), (at("latest.rss"),)),
    PageCase("Movable Type", head(generator="Movable Type 7", lang="ja"), (), (at("atom.xml"), at("index.rdf"))),
    PageCase("Shopify", head('<script src="https://cdn.shopify.com/a.js"></script>'), (), (at("blogs/news.atom"),)),
    # what is common
    PageCase("nothing said at all", head(lang="ar"), (), (at("feed"), at("feed.xml"), at("rss.xml"), at("atom.xml"))),
    PageCase("the folder of the page too", head(), (), (at("feed"), at("sport/feed")), at("sport/")),
    PageCase("an empty page", "", ()),
    PageCase("a page nested without end", "<div>" * 100_000 + link("/late.xml"), (at("late.xml"),)),
    PageCase("a page cut off in a tag", '<html><head><link rel="alternate" type="application/rss+xml" href="/a.xml"><link rel="alter', (at("a.xml"),)),
    PageCase("Chinese", head(link("/rss", title="澎湃新闻"), lang="zh"), (at("rss"),)),
    PageCase("Hindi, linked only", body('<a href="/rssfeeds/-2128936835.cms">आर एस एस</a>', lang="hi"), (at("rssfeeds/-2128936835.cms"),)),
]  # fmt: skip

ROBOTS = """\
User-agent: *
Disallow: /private
sitemap: https://paper.example/sitemap.xml
Sitemap:https://paper.example/news-sitemap.xml  # for search engines
Sitemap: /relative.xml
Sitemap: https://paper.example/sitemap.xml
Sitemap: ftp://paper.example/x.xml
Sitemap: https://files.example/paper/sitemap.xml.gz
"""
# News first, then as listed. Another host may be named: robots.txt speaks for the site.
SITEMAPS = (
    at("news-sitemap.xml"),
    at("sitemap.xml"),
    at("relative.xml"),
    "https://files.example/paper/sitemap.xml.gz",
)


@pytest.mark.parametrize("case", PAGES, ids=lambda case: case.name)
def test_what_a_page_names(case: PageCase):
    found = discover_feeds(case.html.encode(), url=case.url)
    assert tuple(c.url for c in found if c.how in ("link", "anchor")) == case.named
    guessed = [c.url for c in found if c.how in ("software", "path")]
    assert [url for url in guessed if url in case.guesses] == list(case.guesses)
    if case.guesses and "said" not in case.name and "folder of the page" not in case.name:
        assert tuple(guessed[: len(case.guesses)]) == case.guesses


def test_robots_txt_names_sitemaps():
    assert tuple(c.url for c in discover_sitemaps(ROBOTS.encode(), url=at("robots.txt"))) == SITEMAPS


def test_commentary_is_opinion_and_no_comments():
    found = discover_feeds(head(link("/a", title="Commentary"), link("/b", title="News")).encode(), url=HOME)
    assert [c.url for c in found[:2]] == [at("a"), at("b")]


@pytest.mark.parametrize(
    "encoding, declared",
    [("utf-8", None), ("koi8-r", "text/html; charset=koi8-r"), ("utf-16", None), ("shift_jis", None)],
)
def test_titles_in_any_encoding(encoding: str, declared: Optional[str]):
    title = "Комментарии" if encoding != "shift_jis" else "コメント"
    meta = f'<meta charset="{encoding}">' if encoding == "shift_jis" else ""
    page = head(meta, link("/c", title=title), link("/f")).encode(encoding)
    assert discover_feeds(page, url=HOME, content_type=declared)[0].url == at("f")


@given(st.lists(st.sampled_from(["<a href='/rss'>", "<link rel=alternate type=application/rss+xml href=", "'/f'>", "<base href=", "http://[",
                                 "</a>", "<!--", "-->", "<![CDATA[", "<?", "&#0;", "\x00", "\ud800", "<svg><a xlink:href=x>", ">", "é", "<title>"]), max_size=12))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_page_is_too_broken(parts: list[str]):
    page = "".join(parts).encode("utf-8", "surrogatepass")
    assert all(c.url.startswith(("http://", "https://")) for c in discover_feeds(page, url=HOME))


def test_a_page_offers_the_feed_it_names():
    assert suggest_feed(head(link("/c", title="Comments"), link("/f")).encode(), url=HOME) == at("f")
    assert suggest_feed(head(generator="WordPress").encode(), url=HOME) is None


@pytest.mark.parametrize(
    "parts, said",
    [
        (
            (link("/f?token=s3cret1"),),
            "an HTML page, not a feed; list the feed that it names: https://paper.example/f?token=*** ",
        ),
        ((link("/c", title="Comments"),), "an HTML page, not a feed; it names no feed "),
        ((), "an HTML page, not a feed; it names no feed "),
    ],
)
def test_a_page_served_as_a_feed_is_refused_with_the_remedy(parts: tuple[str, ...], said: str):
    with pytest.raises(RejectedError) as refused:
        parse_or_suggest(head(*parts).encode(), url=HOME)
    assert refused.value.reason == "html_page"
    assert refused.value.message.startswith(said)


def test_what_is_no_page_is_read_as_ever():
    assert parse_or_suggest(feed("P", "a").encode(), url=HOME).title == "P"
    with pytest.raises(RejectedError) as refused:
        parse_or_suggest(b"<catalogue/>", url=HOME)
    assert refused.value.reason == "not_a_feed"


# Asking

NOW = Timestamp.from_rfc3339("2026-03-03T12:00:00Z")


def feed(title: str, *slugs: str, language: str = "", date: str = "Mon, 02 Mar 2026 08:00:00 GMT") -> str:
    items = "".join(
        f"<item><title>{slug}</title><link>{HOME}{slug}</link><pubDate>{date}</pubDate></item>" for slug in slugs
    )
    declared = f"<language>{language}</language>" if language else ""
    return f'<rss version="2.0"><channel><title>{title}</title>{declared}{items}</channel></rss>'


def search(site: dict[str, Union[str, IngestError]], *, start: str = "", most: int = 25) -> tuple[Finding, list[str]]:
    """Return what is found on a site of `site`, by path below HOME, and the paths that were asked for."""
    asked: list[str] = []

    async def fetch(url: str) -> Response:
        path = url.removeprefix(HOME)
        asked.append(path)
        found = site.get(path)
        if isinstance(found, IngestError):
            raise found
        if found is None:
            return Response(url=url, status=404, headers={}, body=b"not here")
        if found.startswith(HOME):
            return await fetch(found)
        return Response(url=url, status=200, headers={"Content-Type": "text/html"}, body=found.encode())

    return asyncio.run(find_feeds(HOME + start, fetch, now=NOW, most_requests=most)), asked


def found_at(finding: Finding) -> list[str]:
    return [f.url.removeprefix(HOME) for f in finding.feeds]


def test_a_declared_feed_is_read_and_described():
    finding, asked = search({"": head(link("/feed.xml")), "feed.xml": feed("The Paper", "a", "b", language="en-GB")})
    assert finding.feeds == [
        FoundFeed(
            at("feed.xml"), "link", "rss", "The Paper", "en-gb", 2, Timestamp.from_rfc3339("2026-03-02T08:00:00Z")
        )
    ]
    assert asked == ["", "feed.xml", "robots.txt"]
    assert finding.requests == 3


def test_a_feed_that_is_given_is_the_answer():
    finding, asked = search({"feed.xml": feed("The Paper", "a")}, start="feed.xml")
    assert ([(f.url, f.how) for f in finding.feeds], asked) == ([(at("feed.xml"), "itself")], ["feed.xml"])


def test_the_language_is_read_from_the_titles_where_none_is_declared():
    titles = ("Το πλοίο για το νησί μένει στο λιμάνι", "Η νέα γέφυρα θα ανοίξει τον Μάιο")
    items = "".join(f"<item><title>{title}</title><link>{HOME}{n}</link></item>" for n, title in enumerate(titles))
    finding, _ = search(
        {"": head(link("/f")), "f": f'<rss version="2.0"><channel><title>x</title>{items}</channel></rss>'}
    )
    assert finding.feeds[0].language == "el"


def test_declared_feeds_spare_the_guesses():
    _, asked = search({"": head(link("/feed.xml"), generator="WordPress"), "feed.xml": feed("P", "a")})
    assert "feed/" not in asked


def test_guesses_end_with_the_first_that_answers():
    finding, asked = search({"": head(), "feed.xml": feed("P", "a"), "rss.xml": feed("P", "b")})
    assert (found_at(finding), asked) == (["feed.xml"], ["", "feed", "feed.xml", "robots.txt"])


def test_what_software_suggests_comes_before_common_paths():
    finding, asked = search({"": head(generator="blogger"), "feeds/posts/default": feed("P", "a")})
    assert (found_at(finding), asked[:2]) == (["feeds/posts/default"], ["", "feeds/posts/default"])


def test_a_page_below_leads_to_the_home_page():
    finding, asked = search(
        {"2026/story": head(), "": head(link("/f.xml")), "f.xml": feed("P", "a")}, start="2026/story"
    )
    assert (found_at(finding), asked[:3]) == (["f.xml"], ["2026/story", "", "f.xml"])


def test_a_page_that_lists_feeds_is_read():
    listing = body('<a href="/rss/sport.xml">Sport</a><a href="/rss/city.xml">City</a>')
    finding, _ = search(
        {
            "": body('<a href="/rss">RSS</a>'),
            "rss": listing,
            "rss/sport.xml": feed("S", "a"),
            "rss/city.xml": feed("C", "b"),
        }
    )
    assert found_at(finding) == ["rss/sport.xml", "rss/city.xml"]
    assert ("https://paper.example/rss", "html_page") in [(a.url, a.reason) for a in finding.attempts]


def test_the_same_entries_under_another_address_are_named_once():
    finding, _ = search(
        {
            "": head(link("/a.xml"), link("/b.xml"), link("/c.xml")),
            "a.xml": feed("P", "a", "b"),
            "b.xml": feed("P", "b", "a"),
            "c.xml": feed("P", "c"),
        }
    )
    assert [(f.url, f.same_as) for f in finding.feeds] == [
        (at("a.xml"), None),
        (at("c.xml"), None),
        (at("b.xml"), at("a.xml")),
    ]


def test_an_address_that_redirects_to_a_known_one_is_named_once():
    finding, _ = search({"": head(link("/old"), link("/feed.xml")), "old": at("feed.xml"), "feed.xml": feed("P", "a")})
    assert found_at(finding) == ["feed.xml"]


def test_comments_and_quiet_feeds_go_last():
    site = {
        "": head(link("/old.xml"), link("/comments.xml"), link("/new.xml")),
        "old.xml": feed("Old", "x", date="Mon, 02 Mar 2020 08:00:00 GMT"),
        "comments.xml": feed("Comments on The Paper", "y"),
        "new.xml": feed("New", "z"),
    }
    assert found_at(search({**site})[0]) == ["new.xml", "old.xml", "comments.xml"]


def test_only_comments_are_not_enough_to_stop():
    finding, _ = search(
        {"": head(link("/comments/feed")), "comments/feed": feed("Comments", "c"), "rss.xml": feed("P", "a")}
    )
    assert found_at(finding) == ["rss.xml", "comments/feed"]


SITEMAP = f"<urlset><url><loc>{HOME}a</loc><lastmod>2026-03-01</lastmod></url></urlset>"


def test_without_a_feed_a_sitemap_will_do():
    finding, asked = search({"": head(), "robots.txt": f"Sitemap: {HOME}map.xml", "map.xml": SITEMAP})
    assert [(f.url, f.how, f.format, f.entries) for f in finding.feeds] == [(at("map.xml"), "sitemap", "sitemap", 1)]
    assert asked[-2:] == ["robots.txt", "map.xml"]


def test_beside_a_feed_only_a_sitemap_of_news_is_asked():
    robots = f"Sitemap: {HOME}map.xml\nSitemap: {HOME}news.xml"
    site = {"": head(link("/f")), "f": feed("P", "b"), "robots.txt": robots, "map.xml": SITEMAP, "news.xml": SITEMAP}
    finding, asked = search({**site})
    assert (found_at(finding), "map.xml" in asked) == (["f", "news.xml"], False)


def test_common_sitemaps_where_robots_txt_names_none():
    assert found_at(search({"": head(), "sitemap.xml": SITEMAP})[0]) == ["sitemap.xml"]


def test_what_fails_is_told():
    finding, _ = search(
        {
            "": head(link("/a"), link("/b"), link("/c")),
            "a": TransientError("slow", reason="timeout"),
            "b": "<catalogue/>",
        }
    )
    assert [(a.url, a.reason) for a in finding.attempts[:3]] == [
        (at("a"), "timeout"),
        (at("b"), "not_a_feed"),
        (at("c"), "http_404"),
    ]


def test_requests_are_bounded():
    site: dict[str, Union[str, IngestError]] = {"": head(*(link(f"/{i}.xml") for i in range(100)))}
    finding, asked = search({**site, **{f"{i}.xml": feed("P", str(i)) for i in range(100)}}, most=7)
    assert (len(finding.feeds), len(asked), finding.requests) == (6, 7, 7)


def test_a_site_without_anything():
    finding, asked = search({"": head()})
    assert finding.feeds == []
    assert len(asked) == len(set(asked)) <= 25


def test_an_address_that_cannot_be_had_is_an_error():
    with pytest.raises(RejectedError) as refused:
        search({})
    assert refused.value.reason == "http_404"


@pytest.mark.parametrize(
    "again",
    [
        "<a href=/rss{n}>RSS</a>",
        "<link rel=alternate type=text/xml href=rss{n}>",
        "<a href='?rss=;rss=",
        "<meta charset",
    ],
)
def test_reading_a_page_is_bounded(again: str):
    def cost(times: int) -> float:
        page = "".join(again.replace("{n}", str(n)) for n in range(times)).encode()
        began = time.process_time()
        assert len(discover_feeds(page, url=HOME)) <= MOST_CANDIDATES
        return time.process_time() - began

    assert cost(16_000) < 16 * cost(2_000) + 0.2
