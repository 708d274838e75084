"""Sitemaps as sites write them: what is listed, what is nested, what is forgiven and what is refused."""

from typing import NamedTuple, Optional

PLAIN = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
NEWS = f'{PLAIN} xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'
MEDIA = (
    f'{PLAIN} xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
    ' xmlns:video="http://www.google.com/schemas/sitemap-video/1.1" xmlns:xhtml="http://www.w3.org/1999/xhtml"'
)
URL = "https://paper.example/sitemap.xml"
A, B, C = "https://paper.example/a", "https://paper.example/b", "https://paper.example/c"


class Listed(NamedTuple):
    """An entry as expected; times in RFC 3339, None where there is none."""

    url: str
    title: Optional[str] = None
    published: Optional[str] = None
    updated: Optional[str] = None


class Case(NamedTuple):
    """A document and what is to be read of it: `reason` where it is refused."""

    name: str
    body: bytes
    entries: tuple[Listed, ...] = ()
    nested: tuple[tuple[str, Optional[str]], ...] = ()
    warnings: tuple[str, ...] = ()
    reason: str = ""
    format: str = "sitemap"
    url: str = URL
    content_type: Optional[str] = "application/xml"


def urlset(urls: str, spaces: str = PLAIN) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {spaces}>{urls}</urlset>'.encode()


def index(sitemaps: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<sitemapindex {PLAIN}>{sitemaps}</sitemapindex>'.encode()


def page(loc: str, lastmod: str = "", more: str = "") -> str:
    return f"<url><loc>{loc}</loc>{f'<lastmod>{lastmod}</lastmod>' if lastmod else ''}{more}</url>"


def story(title: str, date: str, *, language: str = "en", more: str = "") -> str:
    return (
        f"<news:news><news:publication><news:name>The Paper</news:name><news:language>{language}</news:language>"
        f"</news:publication><news:publication_date>{date}</news:publication_date><news:title>{title}</news:title>"
        f"{more}</news:news>"
    )


def nested(loc: str, lastmod: str = "") -> str:
    return f"<sitemap><loc>{loc}</loc>{f'<lastmod>{lastmod}</lastmod>' if lastmod else ''}</sitemap>"


# The clock of all cases stands at 2026-03-03T12:00:00Z.
CASES = [
    Case("plain", urlset(page(A) + page(B)), (Listed(A), Listed(B))),
    Case(
        "newest first, undated ones after them as listed",
        urlset(page(A) + page(B, "2026-02-01") + page(C, "2026-03-01T10:00:00Z")),
        (Listed(C, updated="2026-03-01T10:00:00Z"), Listed(B, updated="2026-02-01T00:00:00Z"), Listed(A)),
    ),
    Case("no namespace", urlset(page(A), ""), (Listed(A),)),
    Case(
        "prefixed elements",
        b'<s:urlset xmlns:s="http://www.sitemaps.org/schemas/sitemap/0.9"><s:url><s:loc>' + A.encode() + b"</s:loc>"
        b"<s:lastmod>2026-03-01</s:lastmod></s:url></s:urlset>",
        (Listed(A, updated="2026-03-01T00:00:00Z"),),
    ),
    Case("upper case elements", f"<URLSET><URL><LOC>{A}</LOC></URL></URLSET>".encode(), (Listed(A),)),
    Case(
        "news",
        urlset(page(A, more=story("Ferry &amp; bridge closed", "2026-03-03T08:00:00+01:00")), NEWS),
        (Listed(A, "Ferry & bridge closed", "2026-03-03T07:00:00Z"),),
    ),
    Case(
        "news under another prefix",
        urlset(
            page(A, more=story("Ferry", "2026-03-02").replace("news:", "n:")),
            f'{PLAIN} xmlns:n="http://www.google.com/schemas/sitemap-news/0.9"',
        ),
        (Listed(A, "Ferry", "2026-03-02T00:00:00Z"),),
    ),
    Case(
        "title in CDATA with markup and folded lines",
        urlset(page(A, more=story("<![CDATA[Ferry <b>closed</b>\n  again]]>", "2026-03-02")), NEWS),
        (Listed(A, "Ferry closed again", "2026-03-02T00:00:00Z"),),
    ),
    Case(
        "pictures, films and translations are no pages of their own",
        urlset(
            page(
                A,
                more="<image:image><image:loc>https://img.example/1.jpg</image:loc><image:title>A ferry</image:title>"
                "</image:image><video:video><video:title>Film</video:title><video:player_loc>https://v.example/1"
                "</video:player_loc><video:publication_date>2020-01-01</video:publication_date></video:video>"
                f'<xhtml:link rel="alternate" hreflang="de" href="{B}"/>',
            ),
            MEDIA,
        ),
        (Listed(A),),
    ),
    Case("white space and CDATA around an address", urlset(page(f"\n  <![CDATA[ {A} ]]>\n")), (Listed(A),)),
    Case("an address escaped twice", urlset(page(f"{A}?x=1&amp;amp;y=2")), (Listed(f"{A}?x=1&y=2"),)),
    Case("a relative address", urlset(page("/a")), (Listed(A),)),
    Case("an address of another scheme", urlset(page("javascript:void(0)") + page(A)), (Listed(A),), (), ("unusable_link",)),
    Case("an address missing", urlset("<url><lastmod>2026-01-01</lastmod></url>" + page(A)), (Listed(A),), (), ("unusable_link",)),
    Case("a page listed twice", urlset(page(A) + page(A) + page(B)), (Listed(A), Listed(B)), (), ("repeated_entry",)),
    Case("pages of other sites stay, and are flagged", urlset(page(A) + page("https://other.example/x")),
         (Listed(A), Listed("https://other.example/x")), (), ("foreign_links",)),
    Case("pages of a sister host are not foreign", urlset(page("https://www.paper.example/x")), (Listed("https://www.paper.example/x"),)),
    Case("an empty list", urlset("")),
    Case("an empty element", b"<urlset/>"),
    # dates
    Case("a date with a zone", urlset(page(A, "2026-03-01T10:00:00-05:00")), (Listed(A, updated="2026-03-01T15:00:00Z"),)),
    Case("a date without seconds", urlset(page(A, "2026-03-01T10:00+00:00")), (Listed(A, updated="2026-03-01T10:00:00Z"),)),
    Case("a month", urlset(page(A, "2026-02")), (Listed(A, updated="2026-02-01T00:00:00Z"),)),
    Case("a year", urlset(page(A, "2025")), (Listed(A, updated="2025-01-01T00:00:00Z"),)),
    Case("a day without zeros", urlset(page(A, "2026-3-1")), (Listed(A, updated="2026-03-01T00:00:00Z"),)),
    Case("a date with the name of its zone", urlset(page(A, "2026-03-01 10:00:00 UTC")), (Listed(A, updated="2026-03-01T10:00:00Z"),)),
    Case("a date of RFC 5322", urlset(page(A, "Sun, 01 Mar 2026 10:00:00 GMT")), (Listed(A, updated="2026-03-01T10:00:00Z"),)),
    Case("nanoseconds", urlset(page(A, "2026-03-01T10:00:00.123456789Z")), (Listed(A, updated="2026-03-01T10:00:00.123456Z"),)),
    Case("what is no date", urlset(page(A, "yesterday")), (Listed(A),), (), ("unreadable_date",)),
    Case("zeros for a date", urlset(page(A, "0000-00-00")), (Listed(A),), (), ("unreadable_date",)),
    Case("an empty date is a missing one", urlset("<url><loc>" + A + "</loc><lastmod/></url>"), (Listed(A),)),
    Case("the epoch", urlset(page(A, "1970-01-01T00:00:00Z")), (Listed(A),), (), ("implausible_date",)),
    Case("the future", urlset(page(A, "2026-03-09T00:00:00Z")), (Listed(A),), (), ("future_date",)),
    Case("hours ahead are a wrong zone", urlset(page(A, "2026-03-03T20:00:00Z")), (Listed(A, updated="2026-03-03T20:00:00Z"),)),
    # indexes
    Case("an index", index(nested(f"{A}.xml", "2026-03-01") + nested(f"{B}.xml.gz")), (),
         ((f"{A}.xml", "2026-03-01T00:00:00Z"), (f"{B}.xml.gz", None)), format="sitemap_index"),
    Case("an index that names itself", index(nested(URL) + nested(f"{A}.xml")), (), ((f"{A}.xml", None),), ("self_reference",), format="sitemap_index"),
    Case("an index that names other sites", index(nested("https://other.example/s.xml") + nested(f"{A}.xml")), (),
         ((f"{A}.xml", None),), ("foreign_sitemap",), format="sitemap_index"),
    Case("an index with a page in it", index(nested(f"{A}.xml") + page(B)), (Listed(B),), ((f"{A}.xml", None),), format="sitemap_index"),
    # text
    Case("one address a line", f"\ufeff{A}\r\n\r\n {B} \n".encode(), (Listed(A), Listed(B)), content_type="text/plain"),
    Case("text with a line that is no address", f"{A}\nhello world\n".encode(), (Listed(A),), (), ("unusable_link",), content_type="text/plain"),
    Case("text that is none", b"User-agent: *\nDisallow: /\n", reason="not_a_feed", content_type="text/plain"),
    # what is broken
    Case("bare ampersands", urlset(page(f"{A}?x=1&y=2")), (Listed(f"{A}?x=1&y=2"),), (), ("not_well_formed",)),
    Case("cut off", urlset(page(A, "2026-03-01") + page(B))[:-30], (Listed(A, updated="2026-03-01T00:00:00Z"),), (), ("truncated",)),
    Case("an end tag missing in the middle", urlset(page(A) + f"<url><loc>{B}</loc>" + page(C)), (Listed(A), Listed(B), Listed(C)), (), ("salvaged",)),
    Case("an undeclared prefix", urlset(page(A, more=story("Ferry", "2026-03-02"))), (Listed(A, "Ferry", "2026-03-02T00:00:00Z"),)),
    Case("output of a script before it", b"<br />\n<b>Warning</b>: file not found in /x.php\n" + urlset(page(A)), (Listed(A),), (), ("junk_before_feed",)),
    Case("lines before the declaration", b"\n\n" + urlset(page(A)), (Listed(A),)),
    Case("a comment after it", urlset(page(A)) + b"<!-- made in 0.1 s -->", (Listed(A),), (), ("junk_after_feed",)),
    Case("a style sheet", b'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="/s.xsl"?>' + urlset(page(A))[39:], (Listed(A),)),
    Case("UTF-16", urlset(page(A)).decode().replace("UTF-8", "UTF-16").encode("utf-16"), (Listed(A),)),
    Case("windows-1252 that says it is UTF-8", urlset(page(A, more=story("Caf\xe9", "2026-03-02")), NEWS).decode().encode("cp1252"),
         (Listed(A, "Café", "2026-03-02T00:00:00Z"),), (), ("undecodable_bytes",)),
    Case("control characters", urlset(page(A + "\x0b")), (Listed(A),), (), ("control_characters",)),
    Case("a wrong content type", urlset(page(A)), (Listed(A),), content_type="text/html"),
    # what is refused
    Case("nothing", b"  \n", reason="empty_body"),
    Case("a page", b"<!doctype html><html><body>not found</body></html>", reason="html_page", content_type="text/html"),
    Case("other XML", b"<catalogue><book/></catalogue>", reason="not_a_feed"),
    Case("billion laughs", b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 50 + b'"><!ENTITY b "&a;&a;">]>' + urlset(page("&b;"))[39:], reason="entity_definitions"),
    Case("elements nested without end", b"<urlset>" + b"<x>" * 5000, reason="too_deep"),
    Case("attributes without end", b"<urlset " + b" ".join(b'a%d="1"' % i for i in range(5000)) + b"/>", reason="attribute_bomb"),
    Case("a picture", b"\x89PNG\r\n\x1a\n" + bytes(64), reason="not_a_feed", content_type="image/png"),
]  # fmt: skip


class Choice(NamedTuple):
    """What an index names, as (name, lastmod), and which of them are to be read, in order."""

    name: str
    named: tuple[tuple[str, Optional[str]], ...]
    chosen: tuple[str, ...]
    since: Optional[str] = None
    most: int = 3


CHOICES = [
    Choice("all of a few", (("a", None), ("b", None)), ("a", "b")),
    Choice("the newest", (("a", "2024-01-01"), ("b", "2026-03-03"), ("c", "2026-01-01"), ("d", "2025-01-01")), ("b", "c", "d")),
    Choice("those of news before newer ones", (("a", "2026-03-03"), ("news-sitemap.xml", "2026-03-01"), ("b", "2026-03-02")),
           ("news-sitemap.xml", "a", "b")),
    Choice("by the date in their names", (("sitemap-2025-12.xml", None), ("sitemap-2026-02.xml", None), ("sitemap-2026-03.xml", None)),
           ("sitemap-2026-03.xml", "sitemap-2026-02.xml"), most=2),
    Choice("by the date in their queries", (("s.xml?yyyy=2025&mm=12", None), ("s.xml?yyyy=2026&mm=03", None)), ("s.xml?yyyy=2026&mm=03",), most=1),
    Choice("the name tells where all dates are the same",
           (("s-2025.xml", "2026-03-03"), ("s-2026.xml", "2026-03-03")), ("s-2026.xml",), most=1),
    Choice("without any sign both ends", tuple((f"s{i}.xml", None) for i in range(1, 7)), ("s1.xml", "s6.xml", "s2.xml")),
    Choice("no lists of sections, people and pictures beside stories",
           (("category-sitemap.xml", "2026-03-03"), ("author-sitemap.xml", "2026-03-03"), ("post-sitemap.xml", "2026-03-01"),
            ("wp-sitemap-taxonomies-post_tag-1.xml", None), ("image-sitemap.xml", "2026-03-03")), ("post-sitemap.xml",)),
    Choice("but where there is nothing else", (("category-sitemap.xml", None),), ("category-sitemap.xml",)),
    Choice("a page of the list is no list of pages", (("sitemap.xml?page=1", None), ("sitemap.xml?page=2", None)),
           ("sitemap.xml?page=1", "sitemap.xml?page=2")),
    Choice("only what changed since", (("a", "2026-02-01"), ("b", "2026-03-03"), ("c", "2026-03-02T11:00:00Z")), ("b", "c"), since="2026-03-03T09:00:00Z"),
    Choice("a day that began before the last poll may go on", (("a", "2026-03-03"),), ("a",), since="2026-03-03T09:00:00Z"),
    Choice("past months are over", (("s-2026-01.xml", None), ("s-2026-03.xml", None)), ("s-2026-03.xml",), since="2026-03-03T09:00:00Z"),
    Choice("undated ones are always looked at", (("a", None), ("b", "2026-01-01")), ("a",), since="2026-03-03T09:00:00Z"),
    Choice("nothing changed", (("a", "2026-01-01"), ("b", "2026-01-01")), (), since="2026-03-03T09:00:00Z"),
    Choice("nothing named", (), ()),
]  # fmt: skip
