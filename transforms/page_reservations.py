"""What a publisher reserves, and how it says so. A room of fetch_pages.

Decisions:
    What counts is a setting, a list of SIGNALS; a page that carries one of them is rejected as ``reserved``. By default
    that is the reservation of text and data mining, since mining is what newsbeam does and the law of the EU gives this
    signal force. The others speak of other uses: an agency's copy says noindex, a third of news pages say noarchive.

    A reservation covers the text, not one address of it: what the feed has of a reserved page is not taken in its
    place, unless the setting feed_text_for_reserved says so (entry_pages.feed_text_stands_in). A page that robots.txt
    forbids is another matter: that is about fetching.

    The more specific word counts, the head of the page before its header before the file of the site (Source: TDM
    Reservation Protocol, final report of 2024). Robots directives count when they are addressed to all crawlers or to
    this one by its product name.

Limits: a tdmrep.json that cannot be had says nothing. Where the feed carries the full text its page is not asked for,
so what that page reserves is not known.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Optional

from protego import Protego

from transforms.errors import RejectedError, UsageError, mask_url
from transforms.pace_hosts import Robots

# What a page can reserve, and what it means:
SIGNALS = {
    "tdm-reservation": "text and data mining is reserved (TDMRep: a header, or a meta in the page)",
    "tdm-file": "the same in the site's /.well-known/tdmrep.json; costs one request an origin and day",
    "noindex": "not to be listed by search engines (robots meta, X-Robots-Tag); agencies' copies often say so",
    "noarchive": "no copy of the page to be shown (likewise); a third of news pages say so",
    "noai": "not to be used to train models (likewise)",
}
DEFAULT_SIGNALS = ("tdm-reservation",)

_VALUED = frozenset(("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"))
_MEANS = {"noindex": "noindex", "none": "noindex", "noarchive": "noarchive", "nocache": "noarchive", "noai": "noai"}
MOST_TDM_BYTES = 256 * 1024
_MOST_TDM_RULES = 1_000


def reservations(headers: Mapping[str, str], metas: Mapping[str, Sequence[str]], *, product: str) -> frozenset[str]:
    """Return which of SIGNALS an answer carries; tdm-file is not among them, being said elsewhere.

    Args:
        headers: of the answer; a name may come more than once.
        metas: contents of the page's meta elements by name, in lower case.
        product: the crawler's product name.
    """
    product = product.lower()
    found: set[str] = set()
    for value in (*metas.get("robots", ()), *(metas.get(product, ()) if product else ())):
        found |= _directives(value)
    for name, value in headers.items():
        if name.lower() == "x-robots-tag":
            agent, colon, rest = value.partition(":")
            agent = agent.strip().lower()
            if not colon or "," in agent or agent in _VALUED:
                found |= _directives(value)
            elif agent in (product, "*"):
                found |= _directives(rest)
    if tdm_reserved(headers, metas):
        found.add("tdm-reservation")
    return frozenset(found)


def _directives(value: str) -> set[str]:
    words = (word.strip().lower() for word in value[:2_000].split(","))
    return {_MEANS[word] for word in words if word in _MEANS}


def tdm_reserved(headers: Mapping[str, str], metas: Mapping[str, Sequence[str]]) -> Optional[bool]:
    """Return whether an answer reserves text and data mining; None when it says nothing."""
    for value in (*metas.get("tdm-reservation", ()), headers.get("tdm-reservation", "")):
        if value.strip() in ("0", "1"):
            return value.strip() == "1"
    return None


def read_tdm_file(status: int, body: bytes) -> Robots:
    """Return what a site's tdmrep.json permits; everything, when there is none that can be read.

    Its locations are patterns as in robots.txt, so they are read by the same parser: reserved is what is disallowed.
    """
    lines = ["User-agent: *"]
    try:
        rules = json.loads(body[:MOST_TDM_BYTES]) if status == 200 else []
    except (ValueError, RecursionError):
        rules = []
    for rule in rules[:_MOST_TDM_RULES] if isinstance(rules, list) else ():
        location = rule.get("location") if isinstance(rule, dict) else None
        said = str(rule.get("tdm-reservation")) if location else ""
        if isinstance(location, str) and said in ("0", "1") and "\n" not in location and "\r" not in location:
            lines.append(("Disallow: " if said == "1" else "Allow: ") + location[:2_000])
    return Robots(Protego.parse("\n".join(lines)) if len(lines) > 1 else None, "*")


def reserved_by_file(url: str, rules: Robots) -> Optional[RejectedError]:
    """Return the error of a page that a site's tdmrep.json reserves, else None."""
    return None if rules.allows(url) else reserved_error(url, "tdm-file")


def known_signals(names: Sequence[str]) -> tuple[str, ...]:
    """Return `names` when each is one of SIGNALS.

    Raises:
        UsageError: one is not.
    """
    for name in names:
        if name not in SIGNALS:
            raise UsageError(f"honour_reservations: unknown signal {name!r}; known are {', '.join(SIGNALS)}")
    return tuple(names)


def reserved_error(url: str, signal: str) -> RejectedError:
    """Return the error of a page that is reserved by `signal`."""
    return RejectedError(
        f"{mask_url(url)}: reserved by its publisher ({signal}); the setting honour_reservations says what counts",
        reason="reserved",
        url=url,
    )
