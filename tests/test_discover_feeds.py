"""Finding feeds: what a site's page says, in which order it is believed, and what is found by asking."""

from typing import NamedTuple

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
    PageCase("a page nested without end", "<div>" * 100_000 + link("/late.xml"), ()),
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
