"""A site's page -> the feeds it has: what the page declares and links, what its software suggests, what answers.

Decisions:
    * `discover_feeds` only reads the page and guesses; `find_feeds` asks, within a bound of requests, and believes
      nothing that did not parse. What a page declares comes first, then what it links, then what its software is known
      to serve, then common addresses; the last two are only asked when the first two brought nothing.
    * Feeds of comments go last whatever they are, by address and by title, in the languages that news is written in.
    * A page that lists a site's feeds in anchors ("RSS") is read as a second page: papers declare one and list fifty.
    * Anchors to other sites are not this site's feeds, except those to hosts that serve feeds for others.
    * Sitemaps that robots.txt names are candidates too, news before others, for sites without any feed.
    * The page is read as a stream of tags, never as a tree, so neither depth nor a missing end matters.

Limits: feeds that only a script would reveal are not found.

Source: the WHATWG HTML standard for rel=alternate (rel=feed is of its older drafts); the addresses from the
documentation of each software, and their order from mratmeyer/rsslookup#4, which counted them.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Optional
from urllib.parse import unquote, urljoin, urlsplit

from lxml import etree

from transforms.article_url import join_address, site_of
from transforms.detect_language import detect_language
from transforms.errors import IngestError, RejectedError, mask_url
from transforms.feed_parser import FeedItem, FeedParser, FeedValues
from transforms.parse_sitemap import parse_sitemap, read_sitemap
from transforms.repair_xml import decode_markup

if TYPE_CHECKING:  # at run time these would bring Beam and the HTTP client into the workers that parse
    from apache_beam.utils.timestamp import Timestamp

    from transforms.http import Response
    from transforms.records import FeedEntry

MOST_PAGE_BYTES = 3 * 1024 * 1024  # the longest page of the open set has 2.2
MOST_TAGS = 5_000  # of a kind; a page of nothing but links has some thousands
MOST_CANDIDATES = 200
MOST_REQUESTS = 25
MOST_SITEMAPS = 3
QUIET_SECONDS = 180 * 86_400.0  # a feed without news for half a year is hardly the one that is meant
MOST_GUESSES = 10  # how many addresses are tried that nothing speaks for

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
_COMMON_SITEMAPS = ("news-sitemap.xml", "sitemap-news.xml", "sitemap.xml")

# How a candidate was found, most trusted first.
HOW = ("itself", "link", "anchor", "software", "path", "sitemap")


class Candidate(NamedTuple):
    """An address that may be a feed; `how` is one of `HOW`, `title` what the page calls it ("" for nothing)."""

    url: str
    how: str
    title: str = ""
    is_comments: bool = False


class FoundFeed(NamedTuple):
    """A feed that answered and was read. `same_as` is the address of a better one with the same entries."""

    url: str
    how: str
    format: str
    title: Optional[str]
    language: Optional[str]
    entries: int
    newest_at: Optional["Timestamp"]
    is_comments: bool = False
    same_as: Optional[str] = None


class Attempt(NamedTuple):
    """An address that was asked and is no feed."""

    url: str
    how: str
    reason: str


@dataclass
class Finding:
    """What came of a search: `feeds` best first, and the addresses that were asked in vain."""

    feeds: list[FoundFeed] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    requests: int = 0


Fetch = Callable[[str], Awaitable["Response"]]


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
    return tuple(_ranked(candidates))[:MOST_CANDIDATES]


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
        if candidate.how in ("link", "anchor") and not candidate.is_comments:
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
        elif _same(address) != _same(url) and (_looks_like_feed(address) or _is_feed_text(text)):
            yield _candidate(address, "anchor", text)


def _suggested(seen: _Tags, url: str) -> Iterator[Candidate]:
    home = _home(url)
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
    home, folder = _home(url), urljoin(url, ".")
    if not home:
        return
    yield from (Candidate(home + path, "path") for path in _COMMON_PATHS)
    if folder != home:
        yield from (Candidate(folder + path, "path") for path in _COMMON_PATHS[:3])


def _candidate(address: str, how: str, title: str) -> Candidate:
    title = " ".join(title.split())[:200]
    is_comments = bool(_COMMENTS.search(title)) or bool(_COMMENTS_ADDRESS.search(address.partition("://")[2]))
    return Candidate(address, how, title, is_comments)


def _ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates in order of trust, those of comments last; of two spellings of one address the first."""
    first: dict[str, Candidate] = {}
    for one in sorted((c for c in candidates if c.url), key=lambda c: (c.is_comments, HOW.index(c.how))):
        first.setdefault(_same(one.url), one)
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


def _home(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/" if parts.scheme in ("http", "https") else ""


def _same(url: str) -> str:
    """What two spellings of one address share: everything but scheme, www, and a slash at the end."""
    rest = url.partition("#")[0].partition("://")[2]
    host, slash, path = rest.partition("/")
    return f"{host.lower().removeprefix('www.')}{slash}{path}".rstrip("/")


# ---- asking --------------------------------------------------------------------------------------------------------


async def find_feeds(url: str, fetch: Fetch, *, now: "Timestamp", most_requests: int = MOST_REQUESTS) -> Finding:
    """Return the feeds of the site at `url`: an address of its home, of any of its pages, or of a feed.

    Args:
        url: where to start.
        fetch: returns the answer of an address whatever its status, politely and as robots.txt allows; raises
            IngestError.
        now: what dates are compared with.
        most_requests: in all; redirects and the robots.txt that `fetch` asks by itself not counted.

    Raises:
        IngestError: the address itself cannot be had (http_* for a status other than 200).
    """
    return await _Search(url, fetch, now, most_requests).run()


class _Search:
    """One search; `_known` are the addresses that were asked or led to."""

    def __init__(self, url: str, fetch: Fetch, now: "Timestamp", most_requests: int) -> None:
        self._url, self._fetch, self._now, self._most = url, fetch, now, most_requests
        self._known: set[str] = set()
        self._keys: list[tuple[frozenset[str], FoundFeed]] = []
        self._finding = Finding()

    async def run(self) -> Finding:
        first = await self._ask(self._url)
        found = self._read(Candidate(self._url, "itself"), first)
        if found is None:
            home = _home(first.url)
            candidates = self._candidates(first)
            if _same(home) != _same(first.url) and not any(_is_named(c) for c in candidates):
                candidates = _ranked([*candidates, *await self._candidates_at(home)])
            await self._try(candidates)
            await self._try_sitemaps(_home(first.url))
        self._finding.feeds.sort(
            key=lambda f: (f.same_as is not None, f.is_comments, self._is_quiet(f), HOW.index(f.how))
        )
        return self._finding

    def _is_quiet(self, feed: FoundFeed) -> bool:
        if feed.newest_at is None:
            return not feed.entries and not feed.format.startswith("sitemap")
        return bool(feed.newest_at.micros < self._now.micros - QUIET_SECONDS * 1e6)

    async def _try(self, candidates: Sequence[Candidate]) -> None:
        named = [c for c in candidates if _is_named(c)]
        await self._verify(named, follow=True)
        if not self._has_feed():
            await self._verify([c for c in candidates if c.how == "software"][:MOST_GUESSES])
        if not self._has_feed():
            await self._verify([c for c in candidates if c.how == "path"][:MOST_GUESSES], first_only=True)

    async def _try_sitemaps(self, home: str) -> None:
        """Where there is a feed only sitemaps of news are worth a request, elsewhere any."""
        candidates: Sequence[Candidate] = ()
        if self._finding.requests >= self._most:
            return
        try:
            robots = await self._ask(home + "robots.txt")
            candidates = discover_sitemaps(robots.body, url=robots.url)
        except IngestError:
            pass
        if self._has_feed():
            await self._verify([c for c in candidates if "news" in urlsplit(c.url).path.lower()][:MOST_SITEMAPS])
        else:
            guesses = () if candidates else tuple(Candidate(home + path, "sitemap") for path in _COMMON_SITEMAPS)
            await self._verify((*candidates[:MOST_SITEMAPS], *guesses), first_only=not candidates)

    async def _verify(self, candidates: Sequence[Candidate], *, follow: bool = False, first_only: bool = False) -> None:
        for candidate in candidates:
            if self._finding.requests >= self._most:
                return
            if _same(candidate.url) in self._known:
                continue
            try:
                answer = await self._ask(candidate.url)
                found = self._read(candidate, answer)
            except IngestError as error:
                self._finding.attempts.append(Attempt(candidate.url, candidate.how, error.reason))
                continue
            if found is None:
                self._finding.attempts.append(Attempt(candidate.url, candidate.how, "html_page"))
                if follow and candidate.how == "anchor":
                    listed = [c for c in self._candidates(answer) if _is_named(c)]
                    await self._verify(listed[: self._most // 2])
            elif first_only and not found.is_comments:
                return

    async def _ask(self, url: str) -> "Response":
        """Return the answer of `url` when it has status 200."""
        self._known.add(_same(url))
        self._finding.requests += 1
        answer = await self._fetch(url)
        self._known.add(_same(answer.url))
        if answer.status != 200:
            raise RejectedError(
                f"{mask_url(answer.url)}: HTTP {answer.status}", reason=f"http_{answer.status}", url=answer.url
            )
        return answer

    def _candidates(self, answer: "Response") -> list[Candidate]:
        return list(discover_feeds(answer.body, url=answer.url, content_type=answer.headers.get("Content-Type")))

    async def _candidates_at(self, url: str) -> list[Candidate]:
        try:
            return self._candidates(await self._ask(url))
        except IngestError:
            return []

    def _read(self, candidate: Candidate, answer: "Response") -> Optional[FoundFeed]:
        """Note the feed in an answer and return it; None for a page.

        Raises:
            RejectedError: it is neither.
        """
        content_type = answer.headers.get("Content-Type")
        try:
            parsed = parse_sitemap(answer.body, url=answer.url, content_type=content_type, now=self._now)
        except RejectedError as error:
            if error.reason == "html_page" or (candidate.how == "itself" and error.reason == "not_a_feed"):
                return None
            raise
        dates = [d for d in (e.published_at or e.updated_at for e in parsed.entries) if d is not None]
        dates += [n.lastmod for n in parsed.nested if n.lastmod is not None]
        found = FoundFeed(
            url=answer.url,
            how=candidate.how,
            format=parsed.format,
            title=parsed.title or candidate.title or None,
            language=parsed.language or _language_of(parsed.entries),
            entries=len(parsed.entries),
            newest_at=max(dates, default=None),
            is_comments=candidate.is_comments or bool(_COMMENTS.search(parsed.title or "")),
        )
        keys = frozenset(_same(entry.url or entry.key) for entry in parsed.entries)
        for others, better in self._keys:
            if keys and len(keys & others) >= 0.8 * max(len(keys), len(others)):
                found = found._replace(same_as=better.url)
                break
        else:
            self._keys.append((keys, found))
        if not any(_same(feed.url) == _same(found.url) for feed in self._finding.feeds):
            self._finding.feeds.append(found)
        return found

    def _has_feed(self) -> bool:
        return any(not feed.is_comments for feed in self._finding.feeds)


def _is_named(candidate: Candidate) -> bool:
    return candidate.how in ("link", "anchor")


def _language_of(entries: Sequence["FeedEntry"]) -> Optional[str]:
    return detect_language(" ".join(entry.title for entry in entries[:50] if entry.title))
