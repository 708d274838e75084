"""Sitemaps as sites write them: what is listed, what is nested, what is forgiven and what is refused."""

import asyncio
import contextlib
import gzip
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Optional, Union

import pytest
from apache_beam.utils.timestamp import Duration, Timestamp

from transforms import gather_sitemaps
from transforms import parse_sitemap as parse_sitemap_module
from transforms.errors import IngestError, RejectedError, TransientError
from transforms.gather_sitemaps import choose_nested, gather_nested
from transforms.parse_sitemap import (
    is_sitemap,
    parse_sitemap,
)
from transforms.records import FeedEntry, NestedSitemap, ParsedFeed, digest64

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
    Case("the future is now and flagged", urlset(page(A, "2026-03-09T00:00:00Z")), (Listed(A, updated="2026-03-03T12:00:00Z"),), (), ("future_date",)),
    Case("a date with a zone and no colon", urlset(page(A, "2026-03-01T10:00:00.5-0500")), (Listed(A, updated="2026-03-01T15:00:00.500000Z"),)),
    Case("a day's end", urlset(page(A, "2026-03-01T24:00:00Z")), (Listed(A, updated="2026-03-02T00:00:00Z"),)),
    Case("hours ahead are a wrong zone", urlset(page(A, "2026-03-03T20:00:00Z")), (Listed(A, updated="2026-03-03T20:00:00Z"),)),
    # indexes
    Case("an index", index(nested(f"{A}.xml", "2026-03-01") + nested(f"{B}.xml.gz")), (),
         ((f"{A}.xml", "2026-03-01T00:00:00Z"), (f"{B}.xml.gz", None)), format="sitemap_index"),
    Case("an index of the future", index(nested(f"{A}.xml", "2027-01-01")), (), ((f"{A}.xml", "2026-03-03T12:00:00Z"),), ("future_date",), format="sitemap_index"),
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


def at(text: str) -> Timestamp:
    return Timestamp.from_rfc3339(text)


NOW = at("2026-03-03T12:00:00Z")


def read(body: bytes, **options: Any) -> ParsedFeed:
    return parse_sitemap(body, **{"url": URL, "now": NOW, **options})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_sitemap_lists(case: Case):
    if case.reason:
        with pytest.raises(RejectedError) as refused:
            read(case.body, url=case.url, content_type=case.content_type)
        assert refused.value.reason == case.reason
        return
    parsed = read(case.body, url=case.url, content_type=case.content_type)
    assert parsed.format == case.format
    assert [Listed(e.url, e.title, text(e.published_at), text(e.updated_at)) for e in parsed.entries] == list(
        case.entries
    )
    assert tuple((n.url, text(n.lastmod)) for n in parsed.nested) == case.nested
    assert parsed.warnings == case.warnings
    assert all(entry.key == entry.url for entry in parsed.entries)


def text(moment: Optional[Timestamp]) -> Optional[str]:
    return moment.to_rfc3339() if moment is not None else None


@pytest.mark.parametrize("case", [case for case in CASES if not case.reason], ids=lambda case: case.name)
def test_gzipped_it_lists_the_same(case: Case):
    plain = read(case.body, url=case.url, content_type=case.content_type)
    assert read(gzip.compress(case.body), url=case.url, content_type="application/gzip") == plain


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_source_is_what_it_is(case: Case):
    if case.reason:
        with pytest.raises(RejectedError) as refused:
            parse_sitemap(case.body, url=case.url, content_type=case.content_type, now=NOW)
        assert refused.value.reason == case.reason
    else:
        feed = parse_sitemap(case.body, url=case.url, content_type=case.content_type, now=NOW)
        assert (feed.format, [e.url for e in feed.entries]) == (case.format, [e.url for e in case.entries])


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-01T10:00:00Z", "2026-03-01", "2026-03-04T07:00:00Z", "2026-03-09", "2099-01-01T00:00:00+02:00", "",
        "1970-01-01T00:00:00Z", "1800-01-01", "yesterday", "0000-00-00", "9999-12-31T23:59:59Z", "99999-01-01",
    ],
)  # fmt: skip
def test_a_date_means_the_same_in_a_sitemap_and_in_a_feed(written: str):
    item = f"<item><title>a</title><link>{A}</link><pubDate>{written}</pubDate></item>"
    feed = read(f'<rss version="2.0"><channel>{item}</channel></rss>'.encode())
    sitemap = read(urlset(page(A, more=story("a", written)), NEWS))
    assert sitemap.entries[0].published_at == feed.entries[0].published_at
    assert sitemap.warnings == feed.warnings


def test_news_have_a_name_a_language_and_keywords():
    body = urlset(
        page(A, more=story("F", "2026-03-02", language="zh-cn", more="<news:keywords>ferry, , port</news:keywords>")),
        NEWS,
    )
    parsed = read(body)
    assert (parsed.title, parsed.language) == ("The Paper", "zh-cn")
    assert (parsed.entries[0].tags, parsed.entries[0].language) == (("ferry", "port"), "zh-cn")
    assert parsed.title == "The Paper"


@pytest.mark.parametrize(
    "body, format",
    [
        (b'<rss version="2.0"><channel><title>T</title><item><title>a</title><link>https://paper.example/a</link></item></channel></rss>', "rss"),
        (b'<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title><entry><title>a</title><link href="https://paper.example/a"/></entry></feed>', "atom"),
        (b'{"version":"https://jsonfeed.org/version/1.1","title":"T","items":[{"id":"1","url":"https://paper.example/a"}]}', "json"),
    ],
)  # fmt: skip
def test_a_feed_where_a_sitemap_was_expected(body: bytes, format: str):
    parsed = read(body)
    assert (parsed.format, [e.url for e in parsed.entries], parsed.title) == (format, [A], "T")
    assert parse_sitemap(body, url=URL, now=NOW).format == format


def test_a_feed_that_quotes_a_sitemap_is_a_feed():
    item = "<item><title>a</title><description><![CDATA[<urlset><url>]]></description></item>"
    assert not is_sitemap(f'<rss version="2.0"><channel>{item}</channel></rss>'.encode())


# The hash of an entry: what fetches a page again


def hash_of(lastmod: str, *, is_news: bool, title: str = "Ferry", now: Timestamp = NOW) -> str:
    more = story(title, "2026-03-03T08:00:00Z") if is_news else ""
    return read(urlset(page(A, lastmod, more), NEWS), now=now).entries[0].entry_hash


def test_a_lastmod_alone_changes_nothing():
    assert len({hash_of(day, is_news=False) for day in ("2026-03-01", "2026-03-02", "2026-03-03T08:00:00Z", "")}) == 1


@pytest.mark.parametrize(
    "lastmod, counts",
    [
        ("2026-03-03T08:00:00Z", False),
        ("2026-03-03T07:00:00Z", False),
        ("2026-03-03T09:30:00Z", True),
        ("2026-03-03T11:30:00Z", False),
        ("2026-03-03T12:00:00Z", False),
        ("", False),
    ],
)
def test_in_a_news_sitemap_a_settled_change_counts(lastmod: str, counts: bool):
    assert (hash_of(lastmod, is_news=True) != hash_of("", is_news=True)) == counts


def test_a_generator_that_always_says_now_never_counts():
    hours = [NOW + Duration(seconds=3600 * hour) for hour in range(30)]
    assert len({hash_of(hour.to_rfc3339(), is_news=True, now=hour) for hour in hours}) == 1


def test_a_new_title_counts():
    assert hash_of("", is_news=True) != hash_of("", is_news=True, title="Ferry sails again")


# Bounds


@pytest.mark.parametrize("broken", [False, True])
def test_so_many_pages_and_no_more(broken: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parse_sitemap_module, "MOST_URLS", 100)
    forgiven = {"salvaged"} if broken else set()
    for count, warnings in ((100, set()), (101, {"too_many_entries"}), (300, {"too_many_entries"})):
        body = urlset("".join(page(f"{A}/{i}") for i in range(count)))
        parsed = read(body.replace(b"</url>", b"", 1) if broken else body)
        assert (len(parsed.entries), set(parsed.warnings)) == (100, warnings | forgiven)


@pytest.mark.parametrize("broken", [False, True])
def test_a_full_sitemap_costs_little_more_than_its_rows(broken: bool):
    body = urlset("".join(page(f"{A}/{i}", "2026-03-01T10:00:00+01:00") for i in range(5_000)))
    body = body.replace(b"</url>", b"", 1) if broken else body

    def make_rows() -> None:
        for i in range(5_000):
            FeedEntry(f"{A}/{i}", digest64("", f"{A}/{i}"), f"{A}/{i}", updated_at=Timestamp(i))

    assert len(read(body).entries) == 5_000
    # The least of three: a collection of garbage falls on one or the other, and takes as long as either.
    rounds = [(seconds_of(lambda: read(body)), seconds_of(make_rows)) for _ in range(3)]
    assert min(reading for reading, _ in rounds) < 25 * min(making for _, making in rounds)


def seconds_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize(
    "start, again",
    [
        (b"<urlset>", b"<url>"),
        (b"<urlset>", b"<url><loc>"),
        (b"<urlset><url>", b"<loc><![CDATA["),
        (b"<urlset><url><loc>http://", b"aaaaaaa"),
        (b"<sitemapindex>", b"<sitemap "),
        (b"<urlset>", b"&"),
        (b"<urlset>", b"<url><loc>&amp;amp;"),
        (b"<urlset>", b"<url\t"),
        (b"", b"<!--"),
        (b"", b"http://x/\n"),
        (b"http://x/", b"\t "),
    ],
)
def test_time_is_linear_in_what_is_hostile(start: bytes, again: bytes):
    def cost(times: int) -> float:
        began = time.process_time()
        with contextlib.suppress(RejectedError):
            read(start + again * times)
        return time.process_time() - began

    assert cost(40_000) < 16 * cost(5_000) + 0.2


def test_a_bomb_in_gzip_stops_at_its_cap():
    with pytest.raises(RejectedError, match="larger than") as refused:
        read(gzip.compress(bytes(50_000_000)), most_bytes=1_000_000)
    assert refused.value.reason == "too_large"


def test_half_a_gzip_file_is_refused():
    with pytest.raises(RejectedError) as refused:
        read(gzip.compress(urlset(page(A)))[:-12])
    assert refused.value.reason == "bad_encoding"


# Indexes


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_which_nested_sitemaps_are_read(choice: Choice):
    named = [NestedSitemap(f"https://news.example/{name}", moment(day)) for name, day in choice.named]
    chosen = choose_nested(named, now=NOW, since=at(choice.since) if choice.since else None, most=choice.most)
    assert tuple(one.url.removeprefix("https://news.example/") for one in chosen) == choice.chosen


def moment(day: Optional[str]) -> Optional[Timestamp]:
    return None if day is None else at(day if "T" in day else f"{day}T00:00:00Z")


def gather(
    files: dict[str, Union[bytes, IngestError]], *, most: int = 5, since: Optional[Timestamp] = None
) -> tuple[ParsedFeed, list[str]]:
    """Return what comes of `files["sitemap.xml"]`, and the names that were asked for."""
    asked: list[str] = []

    async def ask(url: str) -> ParsedFeed:
        name = url.removeprefix("https://paper.example/")
        asked.append(name)
        found = files.get(name, RejectedError("not there", reason="http_404"))
        if isinstance(found, IngestError):
            raise found
        return read(found, url=url)

    first = files["sitemap.xml"]
    assert isinstance(first, bytes)
    return asyncio.run(gather_nested(read(first), url=URL, read=ask, now=NOW, most=most, since=since)), asked


def on_paper(name: str, lastmod: str = "") -> str:
    return nested(f"https://paper.example/{name}", lastmod)


def test_choosing_among_many_names_holds_no_event_loop_up(monkeypatch: pytest.MonkeyPatch):
    chosen_by: list[threading.Thread] = []

    def choose(*args: Any, **options: Any) -> tuple[NestedSitemap, ...]:
        chosen_by.append(threading.current_thread())
        return choose_nested(*args, **options)

    monkeypatch.setattr(gather_sitemaps, "choose_nested", choose)
    for many in (2, 1_000):
        names = "".join(on_paper(f"{n}.xml") for n in range(many))
        gather({"sitemap.xml": index(names), "0.xml": urlset(page(A))})
    assert [thread is threading.main_thread() for thread in chosen_by] == [True, True, False, True]


def test_an_index_gives_the_entries_of_what_it_names():
    parsed, asked = gather(
        {
            "sitemap.xml": index(on_paper("1.xml", "2026-03-01") + on_paper("2.xml.gz", "2026-03-02")),
            "1.xml": urlset(page(A, "2026-03-01") + page(B)),
            "2.xml.gz": gzip.compress(urlset(page(C, "2026-03-02") + page(B))),
        }
    )
    assert ([e.url for e in parsed.entries], asked) == ([C, A, B], ["2.xml.gz", "1.xml"])
    assert (parsed.format, parsed.warnings) == ("sitemap_index", ())


def test_cycles_end():
    parsed, asked = gather(
        {
            "sitemap.xml": index(on_paper("1.xml")),
            "1.xml": index(on_paper("2.xml") + on_paper("sitemap.xml")),
            "2.xml": index(on_paper("1.xml") + on_paper("SITEMAP.xml")),
        }
    )
    assert (parsed.entries, asked, parsed.warnings) == ((), ["1.xml", "2.xml"], ("cyclic_sitemap",))


def test_an_index_that_always_names_new_ones_ends_with_its_bound():
    files: dict[str, Union[bytes, IngestError]] = {f"{i}.xml": index(on_paper(f"{i + 1}.xml")) for i in range(50)}
    files["sitemap.xml"] = index(on_paper("0.xml"))
    assert gather(files, most=7)[1] == [f"{i}.xml" for i in range(7)]


def test_what_is_left_out_is_said():
    files: dict[str, Union[bytes, IngestError]] = {f"{i}.xml": urlset(page(f"{A}{i}")) for i in range(9)}
    files["sitemap.xml"] = index("".join(on_paper(f"{i}.xml") for i in range(9)))
    parsed, asked = gather(files, most=2)
    assert (len(parsed.entries), asked, parsed.warnings) == (2, ["0.xml", "8.xml"], ("sitemaps_left_out",))


def test_a_nested_one_that_fails_costs_itself():
    parsed, _ = gather({"sitemap.xml": index(on_paper("1.xml") + on_paper("2.xml")), "2.xml": urlset(page(A))})
    assert ([e.url for e in parsed.entries], parsed.warnings) == ([A], ("nested_http_404",))


def test_when_all_fail_the_poll_does():
    with pytest.raises(TransientError, match="slow"):
        gather({"sitemap.xml": index(on_paper("1.xml")), "1.xml": TransientError("slow", reason="timeout")})


def test_a_sitemap_without_nested_ones_asks_nothing():
    assert gather({"sitemap.xml": urlset(page(A))})[1] == []
