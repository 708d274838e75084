"""The elements of a page that carry metadata, as they stand there: one walk for the usual ones, and more when asked.

Decisions:
    `collect` walks over the few kinds of elements that most metadata is in, in a third of a millisecond; microdata,
    RDFa and links to authors take an XPath each, and are for pages on which these leave something open.

    Microdata and RDFa are those of the first article on the page: comments have authors, and teasers dates.

    Names of meta elements are compared by their letters (`folded`).

Source: HTML, microdata (WHATWG); RDFa Lite 1.1 (W3C); schema.org, Dublin Core and SIOC as Drupal uses them.
"""

import re
from itertools import islice
from typing import Any, NamedTuple, Optional

from lxml.etree import XPath

from transforms.json_ld import PAGES, RANK
from transforms.plain_values import MOST_VALUE_CHARS, clean
from transforms.visible_byline import seen_text, texts_within

MAX_VALUES = 30  # of one name on one page; the most that says something is a list of tags
_MAX_SCRIPTS = 200
_MAX_MARKED = 2_000  # elements with microdata or RDFa
_MAX_DEPTH = 60  # of what a property is looked up in
_MAX_AUTHORS = 12
_LEAST_HEADLINE = 8  # characters of what is left when a kicker goes
_HEADING_TAGS = ("h1", "h2", "h3", "h4")
_RDFA_DATES = frozenset(("datepublished", "datecreated", "created", "date", "issued"))
_RDFA_AUTHORS = frozenset(("schema:author", "dc:creator", "dcterms:creator", "sioc:has_creator"))
_WITH_MICRODATA = XPath("descendant::*[@itemprop]")
_WITH_RDFA_OR_REL = XPath("descendant::*[@property or @rel]")
_NO_PUNCTUATION = str.maketrans("", "", ":._- ")
_KICKER = re.compile(
    r"kicker|overline|eyebrow|topline|roofline|dachzeile|spitzmarke|pre-?title|surtitle|surtitre|antetitulo|occhiello|"
    r"cintillo|headline-intro"
)


class Heading(NamedTuple):
    """An h1: its text, that behind its first element, which may be a kicker, and whether the markup calls it one."""

    text: str
    without_kicker: str
    is_marked: bool


class Found(NamedTuple):
    """The elements that carry metadata, as they stand in the page."""

    metas: dict[str, list[str]]
    canonical: list[str]
    scripts: list[str]
    times: list[tuple[str, str]]  # (datetime, "published" | "updated" | ""), those after the first h1 first
    headings: list[Heading]
    html_title: Optional[str]
    base: Optional[str]


class Linked(NamedTuple):
    """What RDFa and links say of the article."""

    dates: list[str]
    authors: list[str]
    tags: list[str]


def collect(tree: Any) -> Found:
    """Return what most metadata is in."""
    metas: dict[str, list[str]] = {}
    canonical: list[str] = []
    scripts: list[str] = []
    times: list[tuple[str, str, bool]] = []
    headings: list[Heading] = []
    html_title = base = None
    seen_h1 = False
    for element in tree.iter("meta", "link", "script", "time", "h1", "title", "base"):
        tag = element.tag
        if tag == "meta":
            content = element.get("content")
            if content and content.strip():
                for attribute in ("property", "name", "http-equiv"):
                    name = element.get(attribute)
                    if name:
                        _add(metas, folded(name), content)
        elif tag == "script":
            # iOS apps and CMS write application/ld+json with parameters or other case.
            if "ld+json" in (element.get("type") or "").lower() and element.text and len(scripts) < _MAX_SCRIPTS:
                scripts.append(element.text)
        elif tag == "link":
            if "canonical" in (element.get("rel") or "").lower().split() and element.get("href") and not canonical:
                canonical.append(element.get("href"))
        elif tag == "time":
            if element.get("datetime") and len(times) < MAX_VALUES:
                times.append((element.get("datetime"), _kind_of_time(element), not seen_h1))
        elif tag == "h1":
            seen_h1 = True
            heading = _read_heading(element) if len(headings) < MAX_VALUES else None
            if heading is not None:
                headings.append(heading)
        elif tag == "base":
            base = base or element.get("href")
        elif (
            html_title is None and element.text and element.getparent() is not None and element.getparent().tag != "svg"
        ):
            html_title = element.text
    ordered = [(value, kind) for value, kind, _ in sorted(times, key=lambda time: time[2])]
    return Found(metas, canonical, scripts, ordered, headings, html_title, base)


def folded(name: str) -> str:
    """Return the letters of a meta element's name: systems write article:published_time and articlePublishedTime."""
    return name[:100].lower().translate(_NO_PUNCTUATION)


def _add(values: dict[str, list[str]], name: str, value: str) -> None:
    known = values.setdefault(name, [])
    if len(known) < MAX_VALUES:
        known.append(value)


def _kind_of_time(element: Any) -> str:
    """Whether a <time> says so itself that it is the publication or the update; "" when it does not say."""
    said = f"{element.get('itemprop', '')} {element.get('class', '')}".lower()
    # WordPress marks the only date of a page as both.
    if "publish" in said or "entry-date" in said or element.get("pubdate") is not None:
        return "published"
    return "updated" if "modified" in said or "update" in said else ""


def _read_heading(heading: Any) -> Optional[Heading]:
    """Return the text of an h1, elements that stand in lines of their own apart from one another."""
    parts: list[str] = []
    first = None
    end_of_first = 0
    for element, text, depth in texts_within(heading):
        if first is None and depth == 1 and element is not None and not "".join(parts).strip():
            first = element
        elif first is not None and depth == 0 and not end_of_first:
            end_of_first = len(parts)
        if text:
            if parts and _are_two_lines(parts[-1], text):
                parts.append(" ")
            parts.append(text)
    whole = clean("".join(parts))
    bare = clean("".join(parts[end_of_first:])).lstrip(" -–—:|•·/") if end_of_first else ""
    if len(bare) < _LEAST_HEADLINE:
        bare = whole
    is_marked = first is not None and _KICKER.search(first.get("class", "").lower()) is not None
    return Heading(whole, bare, is_marked) if whole else None


def _are_two_lines(before: str, after: str) -> bool:
    """Whether two texts are: "Traffic" and "Bridge closed", also "Traffic:" and "bridge"; not "B" and "ridge"."""
    last = before[-1]
    if last.isspace() or not after[0].isalnum():
        return False
    if last in ":.!?»”":
        return True
    return after[0].isupper() and last.isalnum() and (not last.isupper() or (len(before) > 2 and after[1:2].islower()))


def microdata(tree: Any) -> dict[str, list[str]]:
    """Return the values of the properties of the first article that microdata speaks of; names in lower case."""
    values: dict[str, list[str]] = {}
    article = None
    for element in islice(_WITH_MICRODATA(tree), _MAX_MARKED):
        props = element.get("itemprop").lower().split()
        wanted = [p for p in props if p in ("datepublished", "datemodified", "author", "headline")]
        if "name" in props and element.tag in _HEADING_TAGS:
            wanted.append("headline")
        if not wanted:
            continue
        scope = next((a for a in islice(element.iterancestors(), _MAX_DEPTH) if a.get("itemscope") is not None), None)
        kind = "" if scope is None else (scope.get("itemtype") or "").rpartition("/")[2].strip().lower()
        if scope is not None and kind not in PAGES:
            if kind and kind not in RANK and kind != "creativework":
                continue
            article = scope if article is None else article
            if scope is not article:
                continue
        for prop in wanted:
            if len(values.get(prop, ())) >= MAX_VALUES:
                continue
            _add(values, prop, _name_within(element) if prop == "author" else _value_of(element))
    return values


def linked(tree: Any) -> Linked:
    """Return what RDFa and links say: of several that name authors, those that stand with the first."""
    dates: list[str] = []
    authors: list[str] = []
    tags: list[str] = []
    beside = None
    for element in islice(_WITH_RDFA_OR_REL(tree), _MAX_MARKED):
        if element.tag in ("meta", "link"):
            continue
        names = {token.rpartition(":")[2] for token in (element.get("property") or "").lower().split()}
        rels = (element.get("rel") or "").lower().split()
        if names & _RDFA_DATES and len(dates) < MAX_VALUES:
            dates.append(_value_of(element))
        if names & {"author", "creator"} or "author" in rels or _RDFA_AUTHORS.intersection(rels):
            name = _value_of(element)
            around = list(islice(element.iterancestors(), _MAX_DEPTH))
            holder = around[1] if len(around) > 1 else None
            if any(a.tag == "figure" for a in around):  # the picture's
                continue
            beside = holder if not authors else beside
            if name and holder is beside and len(authors) < _MAX_AUTHORS:
                authors.append(name)
        if rels == ["tag"] and len(tags) < MAX_VALUES:
            tags.append(seen_text(element, 200))
    return Linked(dates, authors, tags)


def _value_of(element: Any) -> str:
    # Blogger gives times in titles.
    stated = (
        element.get("content") or element.get("datetime") or (element.get("title") if element.tag == "abbr" else "")
    )
    return stated or seen_text(element, MOST_VALUE_CHARS)


def _name_within(element: Any) -> str:
    for inner in islice(element.iter(), MAX_VALUES):
        if inner is not element and "name" in (inner.get("itemprop") or "").lower().split():
            return _value_of(inner)
    return _value_of(element)
