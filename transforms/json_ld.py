"""JSON-LD of a page: its scripts to objects, and which of them describes the page's article.

Decisions:
    Scripts that are nearly JSON are read: wrapped in comments, with commas too many, several objects in a row, entities
    for quotes.

    Where a page carries several articles (teasers of others), the one that names this page's address or headline is
    believed. One that names another address is another article: what it says of a paywall is not believed, and nothing
    is where there are several of them.

Source: JSON-LD 1.1 (W3C), for @graph, @id, @list and @value; schema.org for the types.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Optional

from transforms.plain_values import clean, first, letters, strings, unescaped

MOST_CHARS = 2_000_000  # one page in a thousand carries more, and then it is no metadata
MOST_NODES = 2_000
MOST_PEOPLE = 100  # of one article; live blogs name dozens

# schema.org types of an article, the more telling first.
_ARTICLE_TYPES = (
    "newsarticle", "reportagenewsarticle", "analysisnewsarticle", "opinionnewsarticle", "backgroundnewsarticle",
    "reviewnewsarticle", "askpublicnewsarticle", "liveblogposting", "article", "blogposting", "satiricalarticle",
    "advertisercontentarticle", "scholarlyarticle", "techarticle", "report", "socialmediaposting", "review",
    "claimreview",
)  # fmt: skip
PAGES = ("webpage", "itempage", "collectionpage")
RANK = {name: rank for rank, name in enumerate(_ARTICLE_TYPES)}
_WRAPPED = (("<!--", "-->"), ("//<![CDATA[", "//]]>"), ("<![CDATA[", "]]>"), ("/*<![CDATA[*/", "/*]]>*/"))
_COMMA_TOO_MANY = re.compile(r",(\s*[}\]])")
_BETWEEN_VALUES = re.compile(r"[\s,;]*")
_SITE_PREFIX = re.compile(r"(?:www|m|mobile|amp)\.")
_VIEW = re.compile(r"(?:/amp|/amp\.html|\.amp|/index\.html?)?/*\Z")
_LEAST_HEADLINE = 12  # letters of a headline that another must share with it to be the same


class Described(NamedTuple):
    """The object that describes this page's article; `is_own` is False where it names another address."""

    node: dict[str, Any]
    is_own: bool


def json_ld_nodes(scripts: Iterable[str]) -> list[dict[str, Any]]:
    """Return the objects of all scripts, outermost first; at most `MOST_NODES`."""
    nodes: list[dict[str, Any]] = []
    left = MOST_CHARS
    for script in scripts:
        if len(script) > left:
            continue
        left -= len(script)
        stack = list(reversed(list(_values(script))))
        while stack and len(nodes) < MOST_NODES:
            value = stack.pop()
            if isinstance(value, list):
                stack.extend(reversed(value[:MOST_NODES]))
            elif isinstance(value, dict):
                nodes.append(value)
                stack.extend(
                    value[key]
                    for key in ("mainEntity", "mainEntityOfPage", "@graph")
                    if isinstance(value.get(key), (dict, list))
                )
    return nodes


def _values(script: str) -> Iterator[Any]:
    text = script.strip()
    for opener, closer in _WRAPPED:
        if text.startswith(opener):
            text = text.removeprefix(opener).removesuffix(closer).strip()
    text = text.rstrip(";\ufeff ").lstrip("\ufeff")
    for mended in (str, _without_slips, unescaped):
        try:
            yield json.loads(mended(text), strict=False)
        except RecursionError:
            return
        except ValueError:
            continue
        return
    yield from _values_in_a_row(text)


def _without_slips(text: str) -> str:
    """What hand-made templates get wrong: a comma after the last value, an escaped apostrophe."""
    return _COMMA_TOO_MANY.sub(r"\1", text.replace("\\'", "'"))


def _values_in_a_row(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(strict=False)
    at = 0
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield value
        between = _BETWEEN_VALUES.match(text, at)
        at = between.end() if between else at


def described_article(nodes: list[dict[str, Any]], addresses: Iterable[str], headlines: Iterable[str]) -> Described:
    """Return the object that describes this page's article; an empty one where there is none.

    Args:
        nodes: what `json_ld_nodes` gave.
        addresses: those of the page: its own and the canonical one.
        headlines: those that the page shows or names elsewhere.
    """
    own = {plain_address(a) for a in addresses if a}
    shown = {letters(h) for h in headlines if h}
    best: tuple[tuple[int, int, int], dict[str, Any]] = ((9, 99, 0), {})
    for position, node in enumerate(nodes):
        rank = min((RANK[t] for t in types_of(node) if t in RANK), default=None)
        if rank is None:
            continue
        # An @id may be a name in the system's own database; the home page is often given for the page.
        said = {plain_address(a) for key in ("url", "mainEntityOfPage") for a in addresses_in(node.get(key))}
        named = {address for address in said if "/" in address}
        ids = {plain_address(a) for a in addresses_in(node.get("@id"))}
        is_named = bool((named | ids) & own) or _is_shown(letters(clean(text_of(node.get("headline")))), shown)
        rated = (0 if is_named else 1 if not named else 2, rank, position)
        if rated < best[0]:
            best = (rated, node)
    elsewhere = best[0][0] == 2
    if elsewhere and sum(1 for node in nodes if any(t in RANK for t in types_of(node))) > 1:
        return Described({}, True)
    return Described(best[1], not elsewhere)


def _is_shown(headline: str, shown: set[str]) -> bool:
    if headline in shown:
        return bool(headline)
    # One may be cut, or have the kicker or the site's name as well.
    return len(headline) >= _LEAST_HEADLINE and any(
        headline in other or (len(other) >= _LEAST_HEADLINE and other in headline) for other in shown
    )


def plain_address(address: str) -> str:
    """An address for comparison: without scheme, www, query, fragment and what only names a view."""
    rest = (address.partition("://")[2] or address).partition("#")[0].partition("?")[0].lower()
    return _VIEW.sub("", _SITE_PREFIX.sub("", rest, count=1) if _SITE_PREFIX.match(rest) else rest, count=1)


def types_of(node: dict[str, Any]) -> list[str]:
    """The types of an object, in lower case and without their vocabulary."""
    return [t.rpartition("/")[2].rpartition(":")[2].lower() for t in strings(node.get("@type"))]


def addresses_in(value: Any) -> list[str]:
    """The absolute addresses that a value names: itself, or the object's."""
    if isinstance(value, dict):
        value = value.get("@id") or value.get("url")
    return [v for v in strings(value) if "://" in v]


def named_by_id(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The objects with a name that others refer to."""
    return {n["@id"]: n for n in nodes if isinstance(n.get("@id"), str) and (n.get("name") or n.get("familyName"))}


def _items(value: Any, by_id: dict[str, dict[str, Any]]) -> Iterator[Any]:
    """Yield the objects and texts in a value, references followed; at most `MOST_PEOPLE`."""
    if isinstance(value, dict) and "@list" in value:
        value = value["@list"]
    for item in value[:MOST_PEOPLE] if isinstance(value, list) else [value]:
        if isinstance(item, dict) and not item.get("name") and isinstance(item.get("@id"), str):
            item = by_id.get(item["@id"], item)
        yield item


def names_of(value: Any, by_id: dict[str, dict[str, Any]]) -> list[str]:
    """The names of the people, organisations or things in a value."""
    names: list[str] = []
    for item in _items(value, by_id):
        if isinstance(item, dict):
            whole = [text_of(item.get("givenName")), text_of(item.get("familyName"))]
            given = item.get("name")
            said = [text_of(given)] if isinstance(given, dict) else strings(given)
            names.extend(n for n in said or [" ".join(n for n in whole if n)] if n)
        elif isinstance(item, str):
            names.append(item)
    return names[:MOST_PEOPLE]


def organisations_in(value: Any, by_id: dict[str, dict[str, Any]]) -> set[str]:
    """Those names in a value that are of organisations."""
    items = (item for item in _items(value, by_id) if isinstance(item, dict))
    return {n for item in items if any("organization" in t for t in types_of(item)) for n in strings(item.get("name"))}


def text_of(value: Any) -> Optional[str]:
    """The first text in a value, also where it is given with a language."""
    if isinstance(value, dict):
        value = value.get("@value")
    return first(strings(value))
