"""A site's page -> where its feeds may be: what the page declares and links, what its software suggests.

Decisions:
    * `discover_feeds` only reads the page and guesses; `find_feeds` (find_feeds.py) asks. What a page declares comes
      first, then what it links, then what its software is known to serve, then common addresses.
    * Feeds of comments go last whatever they are, by address and by title, in the languages that news is written in.
    * Anchors to other sites are not this site's feeds, except those to hosts that serve feeds for others.
    * Sitemaps that robots.txt names are candidates too, news before others, for sites without any feed.
    * The page is read as a stream of tags, never as a tree, so neither depth nor a missing end matters.

Limits: feeds that only a script would reveal are not found.

Source: the WHATWG HTML standard for rel=alternate (rel=feed is of its older drafts); the addresses from the
documentation of each software, and their order from mratmeyer/rsslookup#4, which counted them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional
from urllib.parse import unquote, urljoin, urlsplit

from lxml import etree

from transforms.article_url import join_address, site_of
from transforms.errors import RejectedError, mask_url
from transforms.feed_parser import FeedItem, FeedParser, FeedValues
from transforms.parse_sitemap import read_sitemap
from transforms.repair_xml import decode_markup

MOST_PAGE_BYTES = 3 * 1024 * 1024  # the longest page of the open set has 2.2
MOST_TAGS = 5_000  # of a kind; a page of nothing but links has some thousands
MOST_CANDIDATES = 200

_FEED_TYPE = re.compile(
    r"(?:application|text)/(?:x[.-])?(?:rss|atom|rdf)(?:\+xml)?|application/(?:feed\+json|feed)", re.IGNORECASE
)
_VAGUE_TYPE = re.compile(r"(?:application|text)/(?:xml|json)", re.IGNORECASE)
_FEED_TITLE = re.compile(r"\b(?:rss|atom|feeds?|json ?feed)\b", re.IGNORECASE)
_FEED_SEGMENT = re.compile(r"(?:rss|atom|rdf|feeds?|rss[_-]?feeds?|rss2|backend)", re.IGNORECASE)
_FEED_NAME = re.compile(
    r"(?:[\w-]{1,60}[._-])?(?:rss|atom|rdf|feeds?|rss[_-]?feeds?)(?:[._-]?\d{1,2}(?:\.\d)?)?"
    r"(?:\.(?:xml|json|php|aspx?|cms|html?|do|jsp))?|[^/]{1,80}\.(?:rss|atom|rdf)",
    re.IGNORECASE,
)
_FEED_QUERY = re.compile(
    r"(?:^|[&;?])(?:(?:feed|_?format|type|output|alt|mode|view|page)=(?:rss\d?|atom|rdf|feed|backend)|rss(?:=[^&]*)?)(?:$|[&;])",
    re.IGNORECASE,
)
_ANCHOR_TEXT = re.compile(r"\b(?:RSS|Atom)(?![A-Za-z])|\bfeeds?\b", re.IGNORECASE)
_LONGEST_ANCHOR_TEXT = 40
_FEED_HOST = re.compile(r"(?:feeds?|rss)\d?\.|(?:[\w-]+\.)*(?:feedburner\.com|feedpress\.(?:it|me)|feedblitz\.com)\Z")
_NO_FEED_FILE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|ico|css|js|pdf|zip|mp[34]|opml)\Z", re.IGNORECASE)
_EMBEDDED = re.compile(r"https?(?:://|%3A%2F%2F)[^\s\"'<>;]+", re.IGNORECASE)
# "Comments" as generators and editors write it; a feed so called is not the paper's own.
_COMMENTS = re.compile(
    r"comment(?!ary\b|aries\b)|koment|komment|kommentt|coment[aá]ri|commenti\b|reacties|комментари|коментар|yorum|コメント|评论|評論|留言"
    r"|댓글|تعليق|टिप्पणि|মন্তব্য|bình luận|σχόλι|תגובות|نظرات|ความคิดเห็น|replies",
    re.IGNORECASE,
)
_COMMENTS_ADDRESS = re.compile(r"(?:^|[/=_.-])comments?(?:$|[/&_.-])", re.IGNORECASE)
_WORDPRESS_FILES = re.compile(r"\A(https?://[^/\s]+(?:/[^/\s]+){0,3}?)?/wp-(?:content|includes|json)/", re.IGNORECASE)
_HOST = re.compile(r"(?:https?:)?//([^/?#\s]{1,253})", re.IGNORECASE)
_SITEMAP_LINE = re.compile(r"^[ \t]*sitemap[ \t]*:[ \t]*([^\s#]+)", re.IGNORECASE | re.MULTILINE)
_CHARSET = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{2,40})", re.IGNORECASE)

# What gives a software away, and where its feed is, relative to the site's home (or the page, with ./).
_SOFTWARE = tuple(
    (re.compile(sign, re.IGNORECASE), paths)
    for sign, paths in (
        (r"wordpress", ("feed/",)),
        (r"blogger|blogspot\.com", ("feeds/posts/default",)),
        (r"drupal", ("rss.xml",)),
        (r"\bghost\b", ("rss/",)),
        (r"substack", ("feed",)),
        (r"squarespace", ("blog?format=rss", "news?format=rss")),
        (r"\bwix\b|wixstatic|parastorage", ("blog-feed.xml",)),
        (r"joomla", ("?format=feed&type=rss",)),
        (r"\bhugo\b", ("index.xml",)),
        (r"jekyll", ("feed.xml",)),
        (r"\bhexo\b", ("atom.xml",)),
        (r"gatsby", ("rss.xml",)),
        (r"typo3", ("rss.xml", "?type=9818")),
        (r"tumblr", ("rss",)),
        (r"discourse", ("latest.rss",)),
        (r"movable type", ("atom.xml", "index.rdf", "index.xml")),
        (r"shopify", ("blogs/news.atom",)),
        (r"pelican", ("feeds/all.atom.xml",)),
        (r"\bspip\b", ("spip.php?page=backend",)),
        (r"webflow", ("blog/rss.xml", "rss.xml")),
        (r"writefreely", ("feed/",)),
        (r"mkdocs|material for mkdocs", ("feed_rss_created.xml",)),
        (r"docusaurus", ("blog/rss.xml",)),
        (r"astro\b|eleventy", ("rss.xml", "feed.xml")),
    )
)
_COMMON_PATHS = (
    "feed",
    "feed.xml",
    "rss.xml",
    "atom.xml",
    "index.xml",
    "rss",
    "rss/",
    "feeds",
    "feed.json",
    "index.rdf",
)

# How a candidate was found, most trusted first.
HOW = ("itself", "link", "anchor", "software", "path", "sitemap")


class Candidate(NamedTuple):
    """An address that may be a feed; `how` is one of `HOW`, `title` what the page calls it ("" for nothing)."""

    url: str
    how: str
    title: str = ""
    is_comments: bool = False

    @property
    def is_named(self) -> bool:
        """Whether the page itself names it."""
        return self.how in ("link", "anchor")


# ---- reading a page ------------------------------------------------------------------------------------------------


def discover_feeds(page: bytes, *, url: str, content_type: Optional[str] = None) -> tuple[Candidate, ...]:
    """Return the addresses where the site of `page` may have feeds, best first; each once.

    Args:
        page: HTML.
        url: where it came from, after redirects.
        content_type: the header's value, for the encoding of titles.
    """
    seen = _read_page(page, content_type)
    base = _joined(url, seen.base) or url
    candidates = [*_declared(seen, base), *_linked(seen, base, url), *_suggested(seen, url), *_common(url)]
    return tuple(ranked(candidates))[:MOST_CANDIDATES]


def discover_sitemaps(robots: bytes, *, url: str) -> tuple[Candidate, ...]:
    """Return the sitemaps that a robots.txt names, those of news first. They may be on other hosts."""
    text, _ = decode_markup(robots[: 512 * 1024], content_type=None)
    found = dict.fromkeys(_joined(url, line) for line in _SITEMAP_LINE.findall(text))
    named = [address for address in found if address]
    news = [address for address in named if "news" in urlsplit(address).path.lower()]
    return tuple(Candidate(address, "sitemap") for address in dict.fromkeys((*news, *named)))


def suggest_feed(page: bytes, *, url: str, content_type: Optional[str] = None) -> Optional[str]:
    """Return the feed that a page names best, for whoever listed the page instead; None when it names none."""
    for candidate in discover_feeds(page, url=url, content_type=content_type):
        if candidate.is_named and not candidate.is_comments:
            return candidate.url
    return None


def read_or_suggest(item: FeedItem) -> FeedValues:
    """Return the feed or sitemap in a document, as `read_sitemap`; the error of a page says which feed it names."""
    try:
        return read_sitemap(item)
    except RejectedError as error:
        if error.reason != "html_page":
            raise
        named = suggest_feed(item.body, url=item.url, content_type=item.content_type)
        remedy = f"list the feed that it names: {mask_url(named)}" if named else "it names no feed"
        raise RejectedError(
            f"an HTML page, not a feed; {remedy} (`newsbeam feeds discover` looks further)",
            reason="html_page",
            url=item.url,
        ) from error


parse_or_suggest = FeedParser(read_or_suggest)


class _Tags:
    """Collects from a stream of tags what says something of feeds."""

    def __init__(self) -> None:
        self.base = ""
        self.links: list[dict[str, str]] = []
        self.anchors: list[tuple[str, str]] = []
        self.metas: list[tuple[str, str]] = []
        self.signs: list[str] = []
        self._anchor: Optional[list[str]] = None
        self._counts: Counter[str] = Counter()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._counts[tag] >= MOST_TAGS:
            return
        self._counts[tag] += 1
        if tag == "a" and attributes.get("href"):
            self._close()
            self._anchor = [attributes["href"], attributes.get("title", ""), attributes.get("aria-label", "")]
        elif tag == "link":
            self.links.append(dict(attributes))
            self.signs.append(attributes.get("href", ""))
        elif tag == "base" and not self.base:
            self.base = attributes.get("href", "")
        elif tag == "meta":
            name = attributes.get("name") or attributes.get("property") or ""
            self.metas.append((name.lower(), attributes.get("content", "")))
        elif tag in ("script", "img"):
            self.signs.append(attributes.get("src", ""))
            if self._anchor is not None:
                self._anchor.append(attributes.get("alt", ""))

    def data(self, text: str) -> None:
        if self._anchor is not None and len(self._anchor) < 20:
            self._anchor.append(text[:200])

    def end(self, tag: str) -> None:
        if tag == "a":
            self._close()

    def comment(self, text: str) -> None:
        pass

    def close(self) -> "_Tags":
        self._close()
        return self

    def _close(self) -> None:
        if self._anchor is not None:
            self.anchors.append((self._anchor[0], " ".join(" ".join(self._anchor[1:]).split())))
            self._anchor = None


def _read_page(page: bytes, content_type: Optional[str]) -> _Tags:
    page = page[:MOST_PAGE_BYTES]
    declared = _CHARSET.search(page[:4096])
    charset = f"{content_type or ''}; charset={declared[1].decode()}" if declared else content_type
    text, _ = decode_markup(page, content_type=charset)
    tags = _Tags()
    if not text.strip():
        return tags
    parser = etree.HTMLParser(target=tags, encoding="utf-8", recover=True, no_network=True)
    try:
        parser.feed(text.encode("utf-8", "replace"))
        parser.close()
    except etree.LxmlError:  # what was read up to there counts
        tags.close()
    return tags


def _declared(seen: _Tags, base: str) -> Iterator[Candidate]:
    for link in seen.links:
        rels = set(link.get("rel", "").lower().split())
        kind = link.get("type", "").partition(";")[0].strip()
        href, title = link.get("href", ""), link.get("title", "")
        if "stylesheet" in rels or not rels & {"alternate", "feed", "service.feed"}:
            continue
        is_feed = bool(_FEED_TYPE.fullmatch(kind)) or "feed" in rels
        if not is_feed and _VAGUE_TYPE.fullmatch(kind):
            is_feed = bool(_FEED_TITLE.search(title)) or _looks_like_feed(_joined(base, href))
        if is_feed:
            yield _candidate(_joined(base, href), "link", title)
    for name, content in seen.metas:
        if name == "msapplication-notification":
            for embedded in _EMBEDDED.findall(unquote(content).partition("?")[2]):
                yield _candidate(_joined(base, embedded.partition("&")[0]), "link", "")


def _linked(seen: _Tags, base: str, url: str) -> Iterator[Candidate]:
    site = site_of(url)
    for href, text in seen.anchors:
        address = _joined(base, href)
        if not address or _NO_FEED_FILE.search(urlsplit(address).path):
            continue
        if site_of(address) != site:
            if _FEED_HOST.match(urlsplit(address).hostname or ""):
                yield _candidate(address, "anchor", text)
            for embedded in _EMBEDDED.findall(address.partition("://")[2]):
                inner = _joined(base, unquote(embedded))
                if inner and site_of(inner) == site and _looks_like_feed(inner):
                    yield _candidate(inner, "anchor", text)
        elif spelling_of(address) != spelling_of(url) and (_looks_like_feed(address) or _is_feed_text(text)):
            yield _candidate(address, "anchor", text)


def _suggested(seen: _Tags, url: str) -> Iterator[Candidate]:
    home = home_of(url)
    parts = urlsplit(url)
    writer = re.match(r"/(@[\w.-]+|[\w-]+)", parts.path)
    if parts.hostname == "medium.com" and writer:
        yield Candidate(f"{home}feed/{writer[1]}", "software")
    for sign in seen.signs:
        folder = _WORDPRESS_FILES.match(sign)
        if folder and (not folder[1] or site_of(folder[1]) == site_of(url)):
            yield Candidate(f"{folder[1]}/feed/" if folder[1] else f"{home}feed/", "software")
            break
    generators = [content for name, content in seen.metas if name in ("generator", "al:ios:app_name")]
    hosts = dict.fromkeys(host[1] for host in map(_HOST.match, seen.signs) if host)
    told = " ".join([*generators, *hosts, parts.hostname or ""])
    for software, paths in _SOFTWARE:
        if software.search(told):
            yield from (Candidate(home + path, "software") for path in paths)
    if re.search(r"\bmedium\b", " ".join(generators), re.IGNORECASE) and parts.hostname != "medium.com":
        yield Candidate(f"{home}feed", "software")


def _common(url: str) -> Iterator[Candidate]:
    home, folder = home_of(url), urljoin(url, ".")
    if not home:
        return
    yield from (Candidate(home + path, "path") for path in _COMMON_PATHS)
    if folder != home:
        yield from (Candidate(folder + path, "path") for path in _COMMON_PATHS[:3])


def _candidate(address: str, how: str, title: str) -> Candidate:
    title = " ".join(title.split())[:200]
    is_comments = names_comments(title) or bool(_COMMENTS_ADDRESS.search(address.partition("://")[2]))
    return Candidate(address, how, title, is_comments)


def names_comments(title: str) -> bool:
    """Return whether a feed so called is one of comments."""
    return bool(_COMMENTS.search(title))


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates in order of trust, those of comments last; of two spellings of one address the first."""
    first: dict[str, Candidate] = {}
    for one in sorted((c for c in candidates if c.url), key=lambda c: (c.is_comments, HOW.index(c.how))):
        first.setdefault(spelling_of(one.url), one)
    return list(first.values())


def _is_feed_text(text: str) -> bool:
    return len(text) <= _LONGEST_ANCHOR_TEXT and bool(_ANCHOR_TEXT.search(text))


def _looks_like_feed(address: str) -> bool:
    if not address:
        return False
    parts = urlsplit(address)
    segments = [segment for segment in parts.path.split("/") if segment]
    return (
        any(_FEED_SEGMENT.fullmatch(segment) for segment in segments)
        or bool(segments and _FEED_NAME.fullmatch(segments[-1]))
        or bool(_FEED_QUERY.search(parts.query))
    )


def _joined(base: str, href: str) -> str:
    """Return `href` as an absolute http(s) address without its fragment, "" where it is none or nothing else."""
    href = href.strip()
    if href.lower().startswith("feed:"):
        rest = href[5:]
        href = rest if rest.lower().startswith(("http://", "https://")) else "https:" + rest
    return "" if href.startswith("#") else join_address(base, href).partition("#")[0]


def home_of(url: str) -> str:
    """Return the address of the site's home, with a slash at its end; "" where `url` is no http address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/" if parts.scheme in ("http", "https") else ""


def spelling_of(url: str) -> str:
    """Return what two spellings of one address share: everything but scheme, www, and a slash at the end."""
    rest = url.partition("#")[0].partition("://")[2]
    host, slash, path = rest.partition("/")
    return f"{host.lower().removeprefix('www.')}{slash}{path}".rstrip("/")
