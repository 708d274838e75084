"""What a page says about its article: title, authors, dates, language, canonical address, section, paywall.

One pass over the parsed tree collects the few elements that carry metadata; JSON-LD is read from its scripts. What
costs a further walk (microdata, RDFa, the visible byline) is looked for only where these leave something open.

Decisions:
    For each field the sources are asked in the order of how seldom they are wrong on news pages: JSON-LD of the
    article (`json_ld.py`), then OpenGraph and the publishing systems' own meta names, then microdata, RDFa and links,
    then what a reader sees (`visible_byline.py`). Names of meta elements are compared by their letters: systems write
    article:published_time, article:published:time and articlePublishedTime.

    The headline is JSON-LD's, or else OpenGraph's, unless no second source has that and one confirms what the page
    shows. JSON-LD's is not outvoted: where it differs, the others are mostly made for search engines. A kicker that the
    markup sets apart from the headline is none of it, unless the publisher counts it in elsewhere.

    Titles lose the site's name only where another source proves what the headline is, or where the tail equals the
    site's name: a headline may itself hold a dash or a bar.

    People are authors before desks and agencies, and these before nobody.

    A publication time more than a day in the future is a template's or an embargo's, and the next source is asked; how
    times are read is in `page_times.py`.

    A canonical address that cannot be this article's (a home or section page of the site) gives way to one that can.

No Beam here: worker processes that extract import this module and must start fast. Times are microseconds since the
epoch, UTC.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

from transforms.article_url import article_url, join_address, normalise_url, site_of
from transforms.collect_metadata import MAX_VALUES, Linked, collect, linked, microdata
from transforms.json_ld import (
    PAGES,
    Described,
    addresses_in,
    described_article,
    json_ld_nodes,
    named_by_id,
    names_of,
    organisations_in,
    plain_address,
    text_of,
    types_of,
)
from transforms.page_times import Moment, day_comes_first, day_in_address, most_exact, read_moment
from transforms.plain_values import (
    MOST_VALUE_CHARS,
    clean,
    first,
    letters,
    plain_line,
    strings,
    unescaped,
    without_tags,
)
from transforms.read_byline import is_desk, names_in, says_by, without_repeats
from transforms.visible_byline import Seen, visible_byline

MICROS_PER_DAY = 86_400_000_000
_MAX_TITLE_CHARS = 500
_MAX_INGREDIENTS, _MAX_INGREDIENT_CHARS = 100, 200
_MAX_BODY_CHARS = 1_000_000  # of an articleBody, as of any story
_MAX_ADDRESS_CHARS = 4_000
_MAX_AUTHORS = 12
_MAX_KEYWORDS = 30
_MAX_SECTION_CHARS = 80
_CUT_AT_LEAST, _CUT_AT_MOST = 100, 112  # search engines cut headlines at 110, and some systems deliver the cut one

# Names as `_folded` gives them.
_TITLE_METAS = (
    "ogtitle", "twittertitle", "parselytitle", "sailthrutitle", "dctitle", "dctermstitle", "title", "headline",
)  # fmt: skip
_AUTHOR_METAS = (
    "author", "articleauthor", "ogarticleauthor", "parselyauthor", "sailthruauthor", "byl", "cxenseparseauthor",
    "authors", "articleauthorname", "byline",
)  # fmt: skip
_SURNAME_FIRST_METAS = ("dccreator", "dctermscreator", "citationauthor")  # "Ruud, Lena" is the custom there
_PUBLISHED_METAS = (
    "articlepublishedtime", "ogarticlepublishedtime", "ogpublishedtime", "articlepublished", "datepublished",
    "parselypubdate", "sailthrudate", "cxenseparserecspublishtime", "dctermscreated", "dcdateissued", "dctermsissued",
    "dctermsdate", "dcdate", "publishdate", "pubdate", "publishedtime", "publicationdate", "daterelease",
    "releasedate", "citationpublicationdate", "articledateoriginal", "lastmodifiedoriginal", "date",
)  # fmt: skip
_UPDATED_METAS = (
    "articlemodifiedtime", "ogarticlemodifiedtime", "ogupdatedtime", "articleupdatedtime", "datemodified",
    "dctermsmodified", "dcdatemodified", "lastmodified", "revised", "lastmod", "articleupdated",
)  # fmt: skip
_SECTION_METAS = (
    "articlesection", "ogarticlesection", "parselysection", "sailthruverticals", "cxenseparsesection", "section",
    "category",
)  # fmt: skip
_KEYWORD_METAS = ("newskeywords", "keywords", "parselytags", "sailthrutags")
_SITE_METAS = ("ogsitename", "applicationname", "twitterappnameiphone", "publisher", "dcpublisher")
_PAYWALL_METAS = (
    "articlecontenttier", "ogarticlecontenttier", "contenttier", "cxenseparsepaywall", "paywall", "access",
    "ispaywall",
)  # fmt: skip
_PAYWALLED = frozenset((
    "locked", "metered", "paid", "premium", "paywall", "true", "yes", "1", "subscriber", "subscribers",
))  # fmt: skip


_LINE_ENDS = re.compile(r"<(?:/p|/div|/h[1-6]|/li|br\s*/?)>", re.IGNORECASE)
_UNSTORABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TAIL = re.compile(r"\s+[|\-–—·•»«:/]+\s+|\s*(?:[|｜丨_]|--+)\s*")
_TAIL_EAST_ASIAN = re.compile(
    r"(?<=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af」』”》！？])[-－–—:：]+(?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
)
_FRONT = re.compile(r"\s*[|｜:：]\s+|\s+[-–—]\s+")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
_HOME = re.compile(
    r"home(?:page)?|start(?:seite|side|sida)?|accueil|inicio|início|portada|anasayfa|главная|головна|الرئيسية|होम|首页|首頁|"
    r"ホーム|トップ|홈|beranda",
    re.IGNORECASE,
)
_NEW_PART = re.compile(r"\s*[|\-–—·•:(\[]")
_TEMPLATE = re.compile(r"[{}<>]")
_LIST_OF_SECTIONS = re.compile(r",\S|,\Z")
_PLACE = re.compile(r"\d{1,4}", re.ASCII)
_LISTED = re.compile(r"[,;，、،؛]")


class PageMetadata(NamedTuple):
    """What a page says of its article, as plain values; times in microseconds since the epoch, UTC.

    `titles` are all headlines the page names (cleaned, best first, without repeats): whoever reads the text can tell a
    repeated headline by them. `article_body` is JSON-LD's own text, an alarm and a fallback, not the truth.
    `ingredients` are those of a recipe, a line each: short lines that are the story nevertheless.
    """

    title: Optional[str] = None
    titles: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    published_micros: Optional[int] = None
    updated_micros: Optional[int] = None
    language: Optional[str] = None
    canonical_url: Optional[str] = None
    site_name: Optional[str] = None
    section: Optional[str] = None
    keywords: tuple[str, ...] = ()
    is_paywalled: bool = False
    description: Optional[str] = None
    article_body: Optional[str] = None
    ingredients: tuple[str, ...] = ()


def scan_metadata(tree: Any, *, url: str, now_micros: int) -> PageMetadata:
    """Return what the page says about its article.

    Args:
        tree: the root of the parsed page (lxml); not changed.
        url: the page's address; relative canonical addresses are resolved against it.
        now_micros: the time of reading; later publication times (beyond a day) are not believed.
    """
    return _Scan(tree, url, now_micros + MICROS_PER_DAY).metadata()


class _Scan:
    """One page being read; what is dear to find is found when it is first asked for."""

    def __init__(self, tree: Any, url: str, latest_micros: int) -> None:
        self.tree, self.url, self.latest_micros = tree, url, latest_micros
        self.found = found = collect(tree)
        self.nodes = json_ld_nodes(found.scripts)
        self.by_id = named_by_id(self.nodes)
        base = (join_address(url, found.base[:_MAX_ADDRESS_CHARS]) if found.base else "") or url
        self.named_addresses = [
            joined
            for said in (*found.canonical[:1], *found.metas.get("ogurl", ())[:1])
            if (joined := _address(base, said))
        ]
        self.described: Described = described_article(
            self.nodes,
            (url, *self.named_addresses),
            (*(t for h in found.headings for t in h[:2]), *found.metas.get("ogtitle", ()), found.html_title or ""),
        )
        self.article = self.described.node
        self.site_name = self._site_name()
        self.host = letters(plain_address(url).partition("/")[0])
        self.language = self._language()
        self.day_first = day_comes_first(self.language)
        self._microdata: Optional[dict[str, list[str]]] = None
        self._linked: Optional[Linked] = None
        self._seen: Optional[Seen] = None
        self.titles: tuple[str, ...] = ()
        self.proven: set[str] = set()  # the letters of headlines, before any site's name goes

    def metadata(self) -> PageMetadata:
        self.titles = tuple(self._titles())
        published = self._published()
        updated = self._moments([text_of(self.article.get("dateModified")), *self._metas(_UPDATED_METAS)])
        if not updated and not self.article:
            times = [time for time, kind in self.found.times if kind == "updated"]
            updated = self._moments([*self.microdata("datemodified"), *times])
        found, article = self.found, self.article
        return PageMetadata(
            title=self.titles[0] if self.titles else None,
            titles=self.titles,
            authors=tuple(self._authors()[:_MAX_AUTHORS]),
            published_micros=published,
            updated_micros=updated[0].micros if updated else None,
            language=self.language,
            canonical_url=self._canonical(),
            site_name=self.site_name,
            section=self._section(),
            keywords=tuple(self._keywords()),
            is_paywalled=self._is_paywalled(),
            description=clean(first(found.metas.get("ogdescription", ())) or first(found.metas.get("description", ())))
            or None,
            article_body=_article_body(article),
            ingredients=_ingredients(self.nodes),
        )

    # --- what is found when it is asked for -----------------------------------------------------------------------

    def microdata(self, name: str) -> list[str]:
        if self._microdata is None:
            self._microdata = microdata(self.tree)
        return self._microdata.get(name, [])

    def linked(self) -> Linked:
        if self._linked is None:
            self._linked = linked(self.tree)
        return self._linked

    def seen(self) -> Seen:
        if self._seen is None:
            self._seen = visible_byline(
                self.tree, self.titles, day_first=self.day_first, latest_seconds=self.latest_micros / 1e6
            )
        return self._seen

    # --- fields ---------------------------------------------------------------------------------------------------

    def _titles(self) -> list[str]:
        """Return the page's headlines, cleaned, best first."""
        found = self.found
        stated = clean(text_of(self.article.get("headline")) or text_of(self.article.get("name")))
        if not stated:
            stated = clean(first(self.microdata("headline")))
        metas = [clean(t) for t in self._metas(_TITLE_METAS)]
        page_title = clean(found.html_title)
        heading = self._heading([*([stated] if self.article else []), *metas, page_title])
        if heading and not self.article and letters(stated).endswith(letters(heading)):
            stated = heading  # microdata's is the same element, kicker and all
        proofs = list(dict.fromkeys(t for t in (stated, *metas, heading) if t))
        self.proven = {letters(t) for t in proofs}
        cleaned = [self._without_site(t) for t in (*proofs, page_title) if t]
        if heading and not self.article and letters(heading) != letters(cleaned[0]):
            # Twitter's title is a copy of OpenGraph's and no witness of its own.
            said = [{letters(self._without_site(t)) for t in source if t} for source in (metas, [page_title])]
            if any(letters(heading) in s for s in said) and not all(letters(cleaned[0]) in s for s in said):
                cleaned.insert(0, self._without_site(heading))
        return list(dict.fromkeys(t[:_MAX_TITLE_CHARS] for t in _whole_first(cleaned) if t))

    def _heading(self, others: list[str]) -> str:
        """Return the h1 that is the headline, with or without its kicker; "" where none can be told to be it."""
        said = [letters(t) for t in others if t]
        headings = [h for h in self.found.headings if not self._is_sites(letters(h.text))]
        if len(headings) > 1:
            headings = [h for h in headings if any(letters(t) in s for t in h[:2] for s in said)][:1]
        if not headings:
            return ""
        whole, bare, is_marked = headings[0]
        # A page's title has the site's name behind.
        if whole == bare or any(s.startswith(letters(whole)) for s in said):
            return whole
        kicker = letters(whole).removesuffix(letters(bare))
        is_apart = is_marked and not any(kicker in s for s in said)
        return bare if is_apart or any(s.startswith(letters(bare)) for s in said) else whole

    def _is_sites(self, name: str) -> bool:
        """Whether letters are those of the site's name, or of a part of its host's."""
        return bool(name) and (
            name == letters(self.site_name or "")
            or (len(name) >= 3 and name in self._host_labels())
            or name == self.host
        )

    def _host_labels(self) -> list[str]:
        host = plain_address(self.url).partition("/")[0].partition(":")[0]
        return [letters(label) for label in host.split(".")]

    def _without_site(self, title: str) -> str:
        """Return `title` without the site's name, where a shorter headline or the name itself proves it one."""
        name = letters(self.site_name or "")
        cuts = [*_TAIL.finditer(title), *_TAIL_EAST_ASIAN.finditer(title)]
        for cut in sorted(cuts, key=lambda found: -found.start())[:3]:
            head, tail = title[: cut.start()].strip(), letters(title[cut.end() :])
            if len(head.encode("utf-8", "ignore")) < 8:
                break
            named = len(name) >= 3 and (tail == name or (len(name) >= 4 and tail.startswith(name)))
            if letters(head) in self.proven or named or (len(tail) >= 4 and tail in self.host):
                return head
        front = _FRONT.search(title[:100])
        if front and letters(title[front.end() :]) in self.proven and self._names_site(letters(title[: front.start()])):
            return title[front.end() :].strip()
        return title

    def _names_site(self, name: str) -> bool:
        return self._is_sites(name) or (len(name) >= 4 and name in self.host)

    def _authors(self) -> list[str]:
        """Return the people whom the best source names; an agency or desk, or else the paper, where none does."""
        agencies: list[str] = []
        papers: list[str] = []
        for source in self._author_sources():
            names = without_repeats([name for name in source if name])
            others = [n for n in names if not self._is_sites(letters(n))]
            people = [n for n in others if not is_desk(n)]
            # "Sundvik Post, Sundvik, Norway": beside a paper or a desk, a single word is its place.
            if people and (len(people) == len(names) or any(" " in n or not n.isascii() for n in people)):
                return [self._with_fewer_capitals(n) for n in others]
            # Likewise beside an agency's or a company's name.
            known = [n for n in names if is_desk(n) or n not in others] or names
            papers = papers or known
            agencies = agencies or (known if any(is_desk(n) for n in others) else [])
        return agencies or papers

    def _author_sources(self) -> Iterator[list[str]]:
        for key in ("author", "creator"):
            value = self.article.get(key)
            organisations = organisations_in(value, self.by_id)
            yield [n for v in names_of(value, self.by_id) for n in _names(clean(v), v in organisations)]
        yield from self._author_metas()
        yield [n for v in self.microdata("author") for n in names_in(clean(v))]
        yield [n for v in self.linked().authors for n in names_in(clean(v))]
        yield self.seen().names

    def _author_metas(self) -> Iterator[list[str]]:
        found = self.found
        for name in _AUTHOR_METAS:
            yield [n for v in found.metas.get(name, ()) for n in names_in(clean(v))]
        for name in _SURNAME_FIRST_METAS:
            yield [n for v in found.metas.get(name, ()) for n in names_in(_surname_last(clean(v)))]
        if says_by(clean(first(found.metas.get("twitterlabel1", ())))):
            yield names_in(clean(first(found.metas.get("twitterdata1", ()))))

    def _with_fewer_capitals(self, name: str) -> str:
        """Return a name in capitals as another meta element writes it."""
        if not name.isupper():
            return name
        written = (n for names in self._author_metas() for n in names if n.casefold() == name.casefold())
        return without_repeats([name, *written])[0]

    def _published(self) -> Optional[int]:
        found = self.found
        stated = [text_of(self.article.get("datePublished")), *self._metas(_PUBLISHED_METAS)]
        moments = self._moments(stated)
        if not moments:
            times = [time for time, kind in found.times if kind == "published"]
            created = text_of(self.article.get("dateCreated"))
            moments = self._moments([*self.microdata("datepublished"), created, *times])
        if not moments:
            moments = self._moments(self.linked().dates)
        if moments:
            updated = [text_of(self.article.get("dateModified")), *self._metas(_UPDATED_METAS)]
            return most_exact(moments, self._moments([*updated, *(time for time, _ in found.times)])).micros
        url_day = self._moments([day_in_address(self.url)])
        loose = self._moments([time for time, kind in found.times if kind == ""][:1])
        if loose and (not url_day or abs(loose[0].micros - url_day[0].micros) <= 2 * MICROS_PER_DAY):
            return loose[0].micros
        if url_day:
            return url_day[0].micros
        seconds = self.seen().seconds
        return None if seconds is None else int(seconds * 1_000_000)

    def _moments(self, values: Iterable[Optional[str]]) -> list[Moment]:
        """Return the times that can be read and believed, in their order."""
        read = (read_moment(value, self.day_first) for value in values if value)
        return [moment for moment in read if moment is not None and moment.micros <= self.latest_micros]

    def _language(self) -> Optional[str]:
        tree, metas = self.tree, self.found.metas
        root = tree if tree.tag == "html" else tree.getroottree().getroot()
        said = self.article.get("inLanguage")
        if isinstance(said, dict):
            said = said.get("alternateName") or said.get("name")
        declared = (
            root.get("lang") or root.get("xml:lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang"),
            first(strings(said)),
            *(first(metas.get(name, ())) for name in ("contentlanguage", "oglocale", "language", "dclanguage")),
        )
        tags = (d.partition(",")[0].partition(".")[0].strip() for d in declared if d)
        return next((tag for tag in tags if _LANGUAGE.fullmatch(tag)), None)

    def _canonical(self) -> Optional[str]:
        article = self.article if self.described.is_own else {}
        more = (a for key in ("mainEntityOfPage", "url", "@id") for a in addresses_in(article.get(key)))
        named = [*self.named_addresses, *(a for said in islice(more, 5) if (a := _address(self.url, said)))]
        return first(a for a in named if self._may_be_this_article(a)) or first(
            a for a in self.named_addresses if urlsplit(a).path.strip("/")
        )

    def _may_be_this_article(self, address: str) -> bool:
        named = normalise_url(address)
        if site_of(named) != site_of(self.url):
            return urlsplit(named).path.strip("/") != ""
        return article_url(self.url, address) == named

    def _site_name(self) -> Optional[str]:
        name = first(self._metas(_SITE_METAS[:1])) or first(names_of(self.article.get("publisher"), self.by_id))
        if not name:
            website = next((n for n in self.nodes if "website" in types_of(n)), {})
            name = text_of(website.get("name")) or first(self._metas(_SITE_METAS[1:]))
        return _short(name)

    def _section(self) -> Optional[str]:
        stated = (*strings(self.article.get("articleSection"))[:1], *self._metas(_SECTION_METAS)[:1])
        return first(_section_in(s) for s in stated) or self._section_of_breadcrumbs()

    def _section_of_breadcrumbs(self) -> Optional[str]:
        """Return the first step below the home page that is not the article."""
        trail = next((n.get("itemListElement") for n in self.nodes if "breadcrumblist" in types_of(n)), None)
        steps: list[tuple[int, str, str]] = []
        for item in islice(trail if isinstance(trail, list) else (), MAX_VALUES):
            if not isinstance(item, dict):
                continue
            target = item.get("item")
            inner = target if isinstance(target, dict) else {}
            name = clean(text_of(item.get("name")) or text_of(inner.get("name")))
            address = join_address(
                self.url, text_of(target) or text_of(inner.get("@id")) or text_of(inner.get("url")) or ""
            )
            position = item.get("position")
            place = (
                int(position) if isinstance(position, (int, str)) and _PLACE.fullmatch(str(position)) else len(steps)
            )
            steps.append((place, name, address))
        own = {letters(t) for t in self.titles}
        for _, name, address in sorted(steps):
            is_home = _HOME.fullmatch(name) is not None or (bool(address) and not urlsplit(address).path.strip("/"))
            is_article = letters(name) in own or plain_address(address) == plain_address(self.url)
            if name and not is_home and not is_article and not self._is_sites(letters(name)):
                return _section_in(name)
        return None

    def _keywords(self) -> list[str]:
        found = self.found
        raw = (
            names_of(self.article.get("keywords"), self.by_id)
            or found.metas.get("articletag", [])
            or self._metas(_KEYWORD_METAS)[:1]
            or ([] if self.article else self.linked().tags)
        )
        words = [
            clean(w) for value in raw for w in (_LISTED.split(value[:MOST_VALUE_CHARS]) if len(raw) == 1 else [value])
        ]
        return list(dict.fromkeys(w for w in words if 1 < len(w) <= 80))[:_MAX_KEYWORDS]

    def _is_paywalled(self) -> bool:
        own = {plain_address(a) for a in (self.url, *self.named_addresses)}
        pages = (
            node
            for node in self.nodes
            if any(t in PAGES for t in types_of(node))
            and own.issuperset(plain_address(a) for key in ("url", "@id") for a in addresses_in(node.get(key)))
        )
        for node in (self.article if self.described.is_own else {}, *pages):
            is_free = _is_free(node)
            if is_free is not None:
                return not is_free
            parts = node.get("hasPart")
            if any(_is_free(part) is False for part in (parts if isinstance(parts, list) else [parts])):
                return True
        return any(v.strip().lower() in _PAYWALLED for v in self._metas(_PAYWALL_METAS))

    def _metas(self, names: Iterable[str]) -> list[str]:
        return [value for name in names for value in self.found.metas.get(name, ())]


# --- small readers ------------------------------------------------------------------------------------------------


def _address(base: str, said: str) -> str:
    """Return the address that a page names; "" where it is none that can be stored."""
    said = said.strip()
    if not said or len(said) > _MAX_ADDRESS_CHARS or _UNSTORABLE.search(said):
        return ""
    return join_address(base, said)


def _whole_first(titles: list[str]) -> list[str]:
    """Put a headline that begins as the first does, but is not cut, before it."""
    cut = titles[0] if titles else ""
    begin = cut.rstrip("….").rstrip()
    if cut.endswith(("…", "...")):
        begin = begin[:60]
    elif not _CUT_AT_LEAST <= len(cut) <= _CUT_AT_MOST:
        return titles
    longer = (t for t in titles[1:] if begin and t.startswith(begin) and len(t) > len(cut))
    whole = next((t for t in longer if not _NEW_PART.match(t[len(begin) :])), None)
    return [whole, *titles] if whole else titles


def _section_in(stated: str) -> Optional[str]:
    """Return the section, or the first of a list; None where a template or a sentence stands in its place."""
    section = clean(stated)
    if section.count(",") > 1 or _LIST_OF_SECTIONS.search(section):
        section = section.partition(",")[0]
    is_none = len(section) > _MAX_SECTION_CHARS or _TEMPLATE.search(section) or _HOME.fullmatch(section)
    return section if section and not is_none else None


def _names(said: str, is_organisation: bool) -> list[str]:
    """Return the names in a value; that of an organisation is one, "Ministry of Bridges and Ferries"."""
    names = names_in(said)
    return [said] if is_organisation and len(names) > 1 and not any(sign in said for sign in ",;|/") else names


def _surname_last(name: str) -> str:
    """Return "Ruud, Lena" as "Lena Ruud"; other names as they are."""
    surname, comma, given = name.partition(",")
    is_one = bool(comma) and "," not in given and len(surname.split()) <= 2 and 0 < len(given.split()) <= 2
    return f"{given.strip()} {surname.strip()}" if is_one else name


def _is_free(node: Any) -> Optional[bool]:
    """What an object says of being free to read; None where it says nothing."""
    value = node.get("isAccessibleForFree") if isinstance(node, dict) else None
    if not isinstance(value, (bool, int, str)):
        return None
    return str(value)[-100:].rpartition("/")[2].strip().lower() not in ("false", "0", "no")


def _article_body(article: dict[str, Any]) -> Optional[str]:
    body = text_of(article.get("articleBody"))
    if not body or len(body) < 100:
        return None
    body = _LINE_ENDS.sub("\n", unescaped(body[:_MAX_BODY_CHARS]))
    lines = (plain_line(unescaped(without_tags(line))) for line in body.splitlines())
    return "\n".join(line for line in lines if line) or None


def _ingredients(nodes: list[dict[str, Any]]) -> tuple[str, ...]:
    stated = next((n["recipeIngredient"] for n in nodes if "recipe" in types_of(n) and "recipeIngredient" in n), ())
    lines = (plain_line(unescaped(line[:_MAX_INGREDIENT_CHARS])) for line in strings(stated)[:_MAX_INGREDIENTS])
    return tuple(line for line in lines if line)


def _short(value: Optional[str]) -> Optional[str]:
    return clean(value)[:200] or None
