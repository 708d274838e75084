"""The list of what hostile and broken servers do, and how each must end; docs/hostile-zoo.md is made from it.

Decisions:
    The list was written before the server and the tests: what is expected follows from the RFCs, from what users of
    other fetchers reported, and from what a worker can bear, not from what the code does.

    A case is a site of its own, ``<name>.test``, whose feed is at /feed. It is polled in one run with a healthy feed,
    with the production settings but for the clock of one exchange, which is `CLOCK_SECONDS` here, and that of parsing,
    which is `PARSE_SECONDS`. Feeds and sitemaps are polled alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

CLOCK_SECONDS = 2.0
PARSE_SECONDS = 12.0
MOST_BODY_BYTES = 15 * 1024 * 1024
KIB = 1024
MIB = 1024 * KIB
CAPPED = MOST_BODY_BYTES + 4 * MIB  # what buffers of both systems hold comes on top of what was read
SOME = -1  # of an ending: one or more


@dataclass(frozen=True)
class Case:
    """One behaviour.

    Attributes:
        name: of the case and its host.
        does: what the server does.
        known_from: a public thread, a standard, or a class of attack.
        polls: how each poll of its feed ends, in order: a status (ok, unchanged, ...) or the slug of the failure.
        entries: how its entries end, over all polls: ``page`` (fetched), ``feed`` (the feed's own text), or a slug;
            and how many of each.
        most_bytes: what the site may get rid of over the wire, headers included.
        most_seconds: wall clock of the whole run.
        most_requests: that reach the site; of an article they are feed, robots.txt, reservation and page.
        warns: slug that the last poll's row must carry.
        due_hours: the feed is due again after at least and at most so many hours.
        extracts: how the extraction of the fetched page ends: ok, or survives where any end within its limits will do.
        needs: the content coding that must be offered for the case to make sense.
    """

    name: str
    does: str
    known_from: str
    polls: tuple[str, ...] = ("ok",)
    entries: Mapping[str, int] = field(default_factory=dict)
    most_bytes: int = 16 * KIB
    most_seconds: float = 6.0
    most_requests: int = 4
    warns: str = ""
    due_hours: Optional[tuple[float, float]] = None
    extracts: str = ""
    needs: str = ""


FETCH_SPEC = "RFC 9110"
SSRF = "stringer-rss/stringer#1548, miniflux/v2#3947"
PARSER_SSRF = "feedparser#559, fastladder#575"

_SLOW = (
    Case("drip-header", "sends its headers byte by byte, without end", "MrZoller/vantage-point#59", ("timeout",)),
    Case("drip-body", "sends a byte of the feed now and then", "kurtmckee/feedparser#76, #263", ("timeout",)),
    Case("silence", "accepts the connection and never answers", "fhamborg/news-please#256", ("timeout",)),
    Case("silence-after-head", "promises a body and sends none", "fhamborg/news-please#256", ("timeout",)),
    Case("slow-redirects", "answers each hop in time, all of them not", "mmcdole/gofeed#269", ("timeout",), most_requests=6),
    Case("endless-1xx", "sends informational answers for ever", "RFC 9110, 15.2", ("too_large",), most_bytes=CAPPED),
    Case("endless-headers", "never stops sending header fields", "aio-libs/aiohttp#12736", ("bad_response",), most_bytes=4 * MIB),
    Case("endless-status-line", "never ends its first line", "aio-libs/aiohttp#12736", ("bad_response",), most_bytes=4 * MIB),
    Case("huge-header", "sends one header field of 10 MB", "aio-libs/aiohttp#12736", ("bad_response",), most_bytes=4 * MIB),
    Case("endless-body", "never stops sending", "kurtmckee/feedparser#263", ("too_large",), most_bytes=CAPPED),
    Case("endless-chunks", "sends chunks for ever", "RFC 9112, 7.1", ("too_large",), most_bytes=CAPPED),
    Case("endless-chunk-extension", "begins a chunk extension and never ends it", "RFC 9112, 7.1.1; CVE-2023-39326", ("too_large",), most_bytes=CAPPED),
    Case("tiny-chunks", "hides each byte of the body behind a kilobyte of chunk extension", "CVE-2023-39326", ("too_large",), most_bytes=CAPPED),
    Case("endless-trailers", "sends trailer fields for ever behind the last chunk", "RFC 9112, 7.1.2", ("bad_response",), most_bytes=CAPPED),
    Case("redirect-with-endless-body", "redirects to the feed, with a body that never ends", FETCH_SPEC, entries={"feed": 1}, most_bytes=8 * MIB),
    Case("set-cookie-flood", "sets 100 cookies of 4 KB with a redirect", "RFC 6265, 6.1", entries={"feed": 1}, most_bytes=512 * KIB),
)  # fmt: skip

_ADDRESSES = (
    Case("to-metadata", "redirects to 169.254.169.254", SSRF, ("forbidden_address",)),
    Case("to-mapped", "redirects to [::ffff:10.0.0.1]", SSRF, ("forbidden_address",)),
    Case("to-hex", "redirects to 0x7f000001", SSRF, ("forbidden_address",)),
    Case("to-decimal", "redirects to 2130706433", SSRF, ("bad_url",)),
    Case("to-octal", "redirects to 0177.0.0.1", SSRF, ("bad_url",)),
    Case("to-short", "redirects to 127.1", SSRF, ("bad_url",)),
    Case("to-zero", "redirects to 0.0.0.0", SSRF, ("forbidden_address",)),
    Case("to-nat64", "redirects to [64:ff9b::7f00:1]", "RFC 6052", ("forbidden_address",)),
    Case("to-link-local", "redirects to [fe80::1]", SSRF, ("forbidden_address",)),
    Case("to-userinfo", "redirects to an inner address dressed as a user's name: http://news.example@127.0.0.1/", SSRF, ("forbidden_address",)),
    Case("to-wide-digits", "redirects to an inner address in full-width digits and stops", "UTS 46, 4", ("forbidden_address",)),
    Case("to-inner-name", "redirects to a name that resolves to 10.0.0.1", "fastladder/fastladder#575", ("forbidden_address",)),
    Case("to-itself-elsewhere", "its name resolves to another, inner address the second time", "SamSaffron/term-llm#437", ("forbidden_address",)),
    Case("to-file", "redirects to file:///etc/passwd", "stringer-rss/stringer#1548", ("bad_url",)),
    Case("to-javascript", "redirects to javascript:alert(1)", FETCH_SPEC, ("bad_url",)),
    Case("to-gopher", "redirects to gopher://", "class of attack: SSRF by other protocols", ("bad_url",)),
    Case("to-data", "redirects to data:application/rss+xml,...", FETCH_SPEC, ("bad_url",)),
    Case("to-nonsense", "redirects to http://[::1", FETCH_SPEC, ("bad_url",)),
    Case("to-nowhere", "answers 302 without a Location", "RFC 9110, 15.4", ("http_302",)),
    Case("to-itself", "redirects to itself", "RFC 9110, 15.4", ("too_many_redirects",), most_requests=6),
    Case("to-ever-new", "redirects to a new address each time", "RFC 9110, 15.4", ("too_many_redirects",), most_requests=6),
    Case("to-cookie-wall", "redirects to itself until its cookie comes back", "consent walls of news sites", entries={"feed": 1}),
    Case("links-inside", "its entries link to private addresses", "jina-ai/reader#1252", entries={"forbidden_address": 4}),
    Case("links-other-schemes", "its entries link to javascript:, data:, file: and mailto:", "feedparser#559", entries={"no_link": 4}, warns="unusable_link"),
    Case("self-signed", "shows a certificate that nobody vouches for", "RFC 9110, 4.3.4", ("tls_failed",)),
)  # fmt: skip

_CODINGS = (
    Case("bomb-gzip", "sends 100 MB of nothing, as gzip", "miniflux/v2 (15 MiB after decompression); gocolly/colly#886", ("too_large",), most_bytes=256 * KIB),
    Case("bomb-deflate", "sends 100 MB of nothing, as deflate", "libwww-perl/HTTP-Message#206", ("too_large",), most_bytes=256 * KIB),
    Case("bomb-members", "sends empty gzip members for ever", "RFC 1952, 2.2", ("bad_encoding",), most_bytes=CAPPED, most_seconds=12),
    Case("bomb-br", "sends 100 MB of nothing, as brotli", "mnot/httplint#145", ("too_large",), needs="br"),
    Case("bomb-zstd", "sends 100 MB of nothing, as zstd", "headroomlabs-ai/headroom#3325", ("too_large",), needs="zstd"),
    Case("window-zstd", "asks for a zstd window of 1 GB", "RFC 8878, 3.1.1.1.2", ("bad_encoding",), needs="zstd"),
    Case("nested-gzip", "says gzip twice and means it", "RFC 9110, 8.4", ("bad_encoding",)),
    Case("gzip-in-gzip", "compresses twice and says so once; what is left is a gzip file, as of a sitemap, and read as one", "RFC 9110, 8.4", entries={"feed": 1}),
    Case("truncated-gzip", "ends in the middle of its compressed stream", "RFC 1952", ("bad_encoding",)),
    Case("gzip-in-name-only", "says gzip and sends plain text", "RFC 9110, 8.4", ("bad_encoding",)),
    Case("unasked-coding", "answers in a coding that was not asked for", "RFC 9110, 12.5.3", ("bad_encoding",)),
    Case("gzip-of-nothing", "says gzip and sends no byte", "RFC 9110, 8.4", ("empty_body",)),
)  # fmt: skip

_FRAMING = (
    Case("length-too-short", "says 20 bytes and sends a feed", "RFC 9112, 6.3", ("bad_response",)),
    Case("length-too-long", "says 100,000 bytes, sends a feed and closes", "RFC 9112, 6.3", ("connection_reset",)),
    Case("length-negative", "says -1 bytes", "RFC 9112, 6.3", ("bad_response",)),
    Case("length-beyond-all", "says 10^30 bytes", "RFC 9112, 6.3", ("bad_response",)),
    Case("lengths-differ", "sends two different Content-Lengths", "RFC 9112, 6.3 (response splitting)", ("bad_response",)),
    Case("length-and-chunked", "sends Content-Length and Transfer-Encoding", "RFC 9112, 6.1 (request smuggling)", ("bad_response",)),
    Case("broken-chunk", "sends a chunk whose size is no number", "RFC 9112, 7.1", ("bad_response",)),
    Case("chunks-cut-off", "closes before the last chunk", "RFC 9112, 8", ("connection_reset",)),
    Case("reset", "resets the connection instead of answering", "mediacloud/story-indexer (retried statuses)", ("connection_reset",)),
    Case("reset-in-body", "resets the connection in the middle of the body", "RFC 9112, 8", ("connection_reset",)),
    Case("http-09", "sends a feed without any header", "RFC 9112, 2.3", ("bad_response",)),
    Case("status-nonsense", "answers with a status that is no number", "RFC 9112, 4", ("bad_response",)),
    Case("nul-in-header", "sends a NUL in a header field", "RFC 9110, 5.5", ("bad_response",)),
    Case("smuggled-answer", "sends a second answer behind the first", "RFC 9112, 11.1 (response splitting)", ("ok", "unchanged"), {"feed": 1}),
    Case("switching-protocols", "answers 101 to a plain request", "RFC 9110, 15.2.2", ("http_101",)),
)  # fmt: skip

_STATUS = (
    Case("status-999", "answers 999", "sites that turn crawlers away", ("http_999",)),
    Case("status-206", "answers 206 with half a feed that nobody asked for", "RFC 9110, 15.3.7", ("http_206",)),
    Case("status-204", "answers 204", "RFC 9110, 15.3.5", ("http_204",)),
    Case("status-401", "answers 401", FETCH_SPEC, ("http_401",)),
    Case("status-403", "answers 403", "apache/stormcrawler#1984", ("http_403",)),
    Case("status-404", "answers 404", "miniflux/v2#879 (feeds recover)", ("http_404",), due_hours=(0.2, 24)),
    Case("status-410", "answers 410", "mediacloud/web-search#680", ("http_410",), due_hours=(24 * 28, 24 * 32)),
    Case("status-451", "answers 451", "RFC 7725", ("http_451",)),
    Case("empty", "answers 200 without a byte", "feed fetchers' bug trackers", ("empty_body",)),
    Case("blank", "answers 200 with white space", "feed fetchers' bug trackers", ("empty_body",)),
    Case("304-unasked", "answers 304 to an unconditional request", "RFC 9110, 15.4.5", ("http_304",)),
    Case("retry-ten-years", "answers 429 and asks for ten years", "mediacloud/rss-fetcher (a value of 88 h was seen)", ("http_429",), due_hours=(23, 27)),
    Case("retry-negative", "answers 503 with Retry-After: -1", "lemon24/reader#307", ("http_503",), due_hours=(0.2, 24)),
    Case("retry-garbage", "answers 429 with an unreadable Retry-After", "apache/stormcrawler#867", ("http_429",), due_hours=(0.2, 24)),
    Case("retry-year-9999", "answers 503 until the year 9999", "FreshRSS/FreshRSS#7571", ("http_503",), due_hours=(23, 27)),
    Case("fresh-for-ever", "says max-age=99999999999 and ttl 99999999999", "miniflux/v2#2198", entries={"feed": 1}, due_hours=(0.1, 24.1)),
    Case("226-without-im", "answers with a part of the feed that it does not call one", "RFC 3229, 10.5.2", ("ok", "http_226", "unchanged"), {"feed": 1}, warns="validators_mistrusted"),
    Case("etag-stuck", "sends the same ETag with ever new content, and never 304", "miniflux/miniflux-legacy#218, rss-fetcher", ("ok", "ok", "ok"), {"feed": 3}, warns="validators_mistrusted"),
    Case("etag-huge", "sends an ETag of 100 KB", "RFC 9110, 8.8.3", ("bad_response",), most_bytes=256 * KIB),
    Case("etag-large", "sends an ETag of 20 KB, which must not be sent back", "RFC 9110, 8.8.3", ("ok", "unchanged"), {"feed": 1}, most_bytes=64 * KIB),
    Case("etag-with-line-end", "sends an ETag with a bare carriage return and a header behind it", "RFC 9112, 2.2", ("bad_response",)),
    Case("last-modified-nonsense", "says it was changed 'yesterday, perhaps'", "RFC 9110, 8.8.2", ("ok", "unchanged"), {"feed": 1}),
)  # fmt: skip

_DOCUMENTS = (
    Case("html-as-feed", "serves an HTML page", "mediacloud/rss-fetcher (detected after the parse)", ("html_page",)),
    Case("feed-as-png", "serves a feed as image/png", "feed validators' most common warning", entries={"feed": 1}),
    Case("error-as-json", "answers 200 with {\"error\": ...}", "feeds behind an API gateway", ("not_a_feed",)),
    Case("guid-reused", "gives three articles the same guid", "cocopuff2u/MOFA#24, feedbin/support#573", entries={"feed": 3}, warns="reused_guid"),
    Case("guids-ever-new", "gives its article a new guid at each poll; the page is fetched once", "feedbin/support#580, FreshRSS/FreshRSS#4487", ("ok", "ok"), {"page": SOME}, most_requests=5),
    Case("all-guids-ever-new", "gives each of its articles a new guid at each poll", "feedbin/support#580, FreshRSS/FreshRSS#4487", ("ok", "ok", "ok"), {"page": 3}, most_bytes=64 * KIB, most_requests=8, warns="ids_change"),
    Case("50000-entries", "lists 50,000 entries", "fundus/rss-fetcher (at most 2,000 a feed)", entries={"no_link": 2000}, warns="entries_capped", most_bytes=4 * MIB, most_seconds=30),
    Case("10000-entries-one-silent-host", "lists 10,000 entries on a host that answers nothing but robots.txt", "mediacloud/story-indexer (a dead host is skipped for ten minutes)", entries={"timeout": SOME, "host_silent": SOME}, most_bytes=2 * MIB, most_seconds=20, most_requests=10),
    Case("utf-16-without-mark", "sends UTF-16 without a byte order mark", "XML 1.0, appendix F", entries={"feed": 1}),
    Case("nuls", "has NULs between its letters", "mmcdole/gofeed#284", entries={"feed": 1}, warns="control_characters"),
    Case("mixed-encodings", "mixes UTF-8 and windows-1252", "kurtmckee/feedparser#421", entries={"feed": 1}, warns="undecodable_bytes"),
    Case("wrong-encoding", "says UTF-16 and sends UTF-8", "ForNeVeR/fornever.me#278", entries={"feed": 1}, warns="encoding_mismatch"),
    Case("encoding-that-is-none", "declares encodings that are codecs of Python, not of documents", "Python's codec registry", entries={"feed": 1}),
    Case("billion-laughs", "defines entities in terms of each other", "CVE-2013-0340", ("entity_definitions",)),
    Case("quadratic-blowup", "names one entity of 100 KB 10,000 times", "CVE-2013-0340", ("entity_definitions",), most_bytes=256 * KIB),
    Case("entity-from-file", "defines an entity as file:///etc/passwd", "kurtmckee/feedparser#107", ("entity_definitions",)),
    Case("entity-from-web", "defines an entity as an address of its own", "kurtmckee/feedparser#107", ("entity_definitions",), most_requests=1),
    Case("dtd-from-web", "names a document type at an address of its own", "kurtmckee/feedparser#107", entries={"feed": 1}, most_requests=1),
    Case("stylesheets", "names 100,000 style sheets before its root", "class of attack: XSLT", entries={"feed": 1}, most_requests=1, most_bytes=8 * MIB, most_seconds=12),
    Case("elements-100000-deep", "nests 100,000 elements", "libexpat, CVE-2022-25313", ("too_deep",), most_bytes=2 * MIB),
    Case("elements-3500000", "has 3,500,000 empty elements in one entry, which take minutes to parse", "class of attack: XML limits", ("parse_timeout",), most_bytes=CAPPED, most_seconds=30),
    Case("attribute-of-1-mb", "has an attribute of 1 MB", "class of attack: XML limits", entries={"feed": 1}, most_bytes=2 * MIB),
    Case("attributes-100000", "has an element with 100,000 attributes", "class of attack: XML limits", ("attribute_bomb",), most_bytes=4 * MIB),
    Case("namespaces-10000", "declares 10,000 namespaces", "class of attack: XML limits", ("attribute_bomb",), most_bytes=2 * MIB),
    Case("comment-flood", "has 1,000,000 comments", "class of attack: XML limits", entries={"feed": 1}, most_bytes=12 * MIB, most_seconds=20),
    Case("comment-never-closed", "opens a comment and never closes it", "class of attack: XML limits", ("not_a_feed",)),
    Case("cdata-never-closed", "opens a CDATA section in its second entry and never closes it", "feeds cut off by their cache", entries={"feed": 1, "no_link": 1}),
    Case("angle-brackets", "sends 14 MB of '<'", "class of attack: backtracking", ("not_a_feed",), most_bytes=CAPPED, most_seconds=12),
    Case("ampersands", "has 512 KB of '&' in a title", "class of attack: backtracking", entries={"feed": 1}, most_bytes=1 * MIB, most_seconds=12),
    Case("json-100000-deep", "nests 100,000 arrays of JSON", "CPython's recursion limit", ("too_deep",), most_bytes=512 * KIB),
    Case("json-huge-number", "has a number of 100,000 digits", "CVE-2020-10735", ("broken_feed",), most_bytes=512 * KIB),
    Case("json-broken-surrogates", "writes half a surrogate pair", "RFC 8259, 8.2", entries={"feed": 1}),
    Case("title-of-5-mb", "has a title of 5 MB", "class of attack: rows without bound", entries={"feed": 1}, most_bytes=6 * MIB, most_seconds=12),
    Case("link-of-1-mb", "has a link of 1 MB", "RFC 9110, 4.1", entries={"no_link": 1}, most_bytes=2 * MIB, warns="unusable_link"),
    Case("tag-flood", "gives its article 5,000 tags", "feedparser looks for each among all before it", entries={"feed": 1}, most_bytes=512 * KIB, most_seconds=2.5),
    Case("dates-beyond-all", "dates its articles to the years 0, 99999 and -1", "class of attack: overflow", entries={"feed": 3}, warns="unreadable_date"),
    Case("log-injection", "has line ends and terminal codes in titles, headers, its status line and its links", "CWE-117", entries={"feed": 1, "http_404": 1}),
    Case("log-injection-in-failure", "has them where an error message quotes it", "CWE-117", ("not_a_feed",)),
    Case("log-injection-in-json", "has them in JSON, which can write any character", "CWE-117", entries={"feed": 1}),
    Case("links-to-itself", "lists itself as an article", "feeds of feeds", entries={"page": 1}, extracts="survives"),
)  # fmt: skip

_SITEMAPS = (
    Case("sitemap-50000", "lists 50,000 pages, dated, and lets nobody read them", "the protocol's own bound; sitemaps.org", entries={"robots_disallowed": 2000}, warns="entries_capped", most_bytes=8 * MIB, most_seconds=12),
    Case("sitemap-50000-gzip", "sends the same as a gzip file", "sitemaps.org", entries={"robots_disallowed": 2000}, warns="entries_capped", most_bytes=1 * MIB, most_seconds=12),
    Case("sitemap-bomb-gzip", "has a gzip file of 100 MB of nothing for a sitemap", "gocolly/colly#886", ("too_large",), most_bytes=256 * KIB),
    Case("sitemap-bomb-of-pages", "has a gzip file of a million pages, well-formed, 60 MB", "gocolly/colly#886", ("too_large",), most_bytes=1 * MIB),
    Case("sitemap-gzip-cut-off", "has half a gzip file for a sitemap", "RFC 1952", ("bad_encoding",)),
    Case("sitemap-gzip-in-gzip", "has a gzip file in a gzip file for a sitemap", "class of attack: nested archives", ("not_a_feed",)),
    Case("sitemap-billion-laughs", "defines entities in terms of each other before its pages", "CVE-2013-0340", ("entity_definitions",)),
    Case("sitemap-100000-deep", "nests 100,000 elements in a page", "libexpat, CVE-2022-25313", ("too_deep",), most_bytes=2 * MIB),
    Case("sitemap-links-inside", "lists pages at private addresses", SSRF, entries={"forbidden_address": 4}, warns="foreign_links"),
    Case("sitemap-of-the-future", "dates its pages to the year 2099", "generators with a wrong clock", entries={"page": 1}, warns="future_date"),
    Case("sitemap-index-cyclic", "has an index whose sitemaps are indexes that name each other, the index and themselves", "sitemaps.org (an index may not name an index; many do)", warns="cyclic_sitemap"),
    Case("sitemap-index-endless", "has an index whose only sitemap is a new index each time", "class of attack: crawler traps", most_requests=7),
    Case("sitemap-index-50000", "has an index of 50,000 sitemaps that are not there", "the protocol's own bound; sitemaps.org", ("http_404",), most_bytes=8 * MIB, most_seconds=12, most_requests=7),
    Case("sitemap-index-inside", "has an index of sitemaps at private addresses", SSRF, warns="foreign_sitemap", most_requests=1),
    Case("sitemap-index-inner-name", "has an index of a sitemap on a host of its own that resolves to 10.0.0.1", SSRF, ("forbidden_address",), most_requests=1),
    Case("sitemap-index-redirects-inside", "has an index of a sitemap that redirects to 169.254.169.254", SSRF, ("forbidden_address",)),
    Case("sitemap-index-drips", "has an index of a sitemap that sends a byte now and then", "fhamborg/news-please#256", ("timeout",)),
    Case("sitemap-index-half-bad", "has an index of a good sitemap, a bomb and a page", "feed fetchers' bug trackers", entries={"page": 1}, warns="nested_too_large", most_requests=7, most_bytes=256 * KIB),
)  # fmt: skip

_PAGES = (
    Case("page-100000-deep", "nests 100,000 elements of HTML", "adbar/trafilatura#704", entries={"page": 1}, most_bytes=2 * MIB, extracts="survives"),
    Case("page-20-mb-script", "hides the story behind 20 MB of script", "miniflux/v2 (15 MiB)", entries={"too_large": 1}, most_bytes=CAPPED),
    Case("page-6-mb-script", "hides the story behind 6 MB of script", "adbar/trafilatura#216", entries={"page": 1}, most_bytes=CAPPED, extracts="ok"),
    Case("page-refreshes", "refreshes to itself in its head", "HTML, 4.2.5.3", entries={"page": 1}, extracts="ok"),
    Case("page-to-itself", "redirects to itself", "RFC 9110, 15.4", entries={"too_many_redirects": 1}, most_requests=9),
    Case("page-to-metadata", "redirects to 169.254.169.254", SSRF, entries={"forbidden_address": 1}),
    Case("page-is-film", "is a film without end", "mediacloud/story-indexer (text types only)", entries={"not_text": 1}, most_bytes=8 * MIB),
    Case("page-of-nuls", "is binary and does not say what", "mediacloud/story-indexer", entries={"not_text": 1}),
    Case("page-empty", "is empty", FETCH_SPEC, entries={"empty_page": 1}),
    Case("page-drips", "sends a byte now and then", "fhamborg/news-please#256", entries={"timeout": 1}),
    Case("page-bomb", "is a gzip bomb", "gocolly/colly#886", entries={"too_large": 1}, most_bytes=256 * KIB),
    Case("page-feed-has-text", "is never to be had, but the feed has a summary of it", "readers' full-text modes", entries={"feed": 1}),
)  # fmt: skip

_ROBOTS = (
    Case("robots-endless", "forbids everything and then goes on for ever", "RFC 9309, 2.5", entries={"robots_disallowed": 1}, most_bytes=8 * MIB),
    Case("robots-drips", "sends a byte of robots.txt now and then", "RFC 9309, 2.3.1.4", entries={"robots_unreachable": 1}),
    Case("robots-500", "answers 500 for robots.txt", "RFC 9309, 2.3.1.4", entries={"robots_unreachable": 1}),
    Case("robots-to-itself", "redirects robots.txt to itself", "RFC 9309, 2.3.1.2", entries={"page": 1}, most_requests=9),
    Case("robots-inside", "redirects robots.txt to 127.0.0.1", "RFC 9309, 2.3.1.2", entries={"page": 1}),
    Case("robots-nuls", "sends robots.txt full of NULs", "RFC 9309, 2.2", entries={"page": 1}),
    Case("robots-html", "sends its home page as robots.txt", "soft 404s", entries={"page": 1}),
    Case("robots-stars", "has rules of many stars for a long address", "samclarke/robots-parser#12, yasserg/crawler4j#425", entries={"page": 1}),
    Case("robots-20000-rules", "has 20,000 rules with stars", "class of attack: backtracking", entries={"page": 1}, most_bytes=1 * MIB, most_seconds=10),
    Case("robots-delay-beyond-all", "asks for a crawl-delay of 10^300 seconds", "StormCrawler (at most 120 s)", entries={"page": 1}),
    Case("robots-delay-nan", "asks for a crawl-delay of nan", "class of attack: arithmetic", entries={"page": 1}),
)  # fmt: skip

CASES: Mapping[str, tuple[Case, ...]] = {
    "Slow and endless": _SLOW,
    "Addresses and redirects": _ADDRESSES,
    "Content codings": _CODINGS,
    "Framing": _FRAMING,
    "Statuses and validators": _STATUS,
    "Documents": _DOCUMENTS,
    "Sitemaps": _SITEMAPS,
    "Pages": _PAGES,
    "robots.txt": _ROBOTS,
}
ALL_CASES: tuple[Case, ...] = tuple(case for cases in CASES.values() for case in cases)
