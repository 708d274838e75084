"""What an article's address is: normal form, site, identity, and how far rel=canonical is believed.

Decisions:
    The normal form changes only what cannot change the resource: case of scheme and host, the default port, the
    fragment, credentials, and parameters that exist to follow readers around. Nothing is sorted and a trailing slash
    stays, since servers may tell those apart; two spellings of one article are the business of copy assignment, which
    compares texts, while a wrong merge here could never be undone.

    A page may rename itself only within its own registrable domain: otherwise an aggregator whose canonical names the
    original would write rows under the other site's identity. Nor may it name a home or section page, a frequent
    mistake of templates that would merge all articles of a site into one.

    The public suffix list is the one tldextract carries (with its private part: two blogs on one host are two sites);
    it is never downloaded, and nothing is written to a cache.

Limits: parameters that follow readers under names of a site's own making stay. An article reached under two such
addresses is two articles, the second marked as a copy of the first.
"""

import ipaddress
import re
from functools import lru_cache
from typing import Optional
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import tldextract

from transforms.digests import digest64

_SUFFIXES = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)
_DEFAULT_PORTS = {"http": 80, "https": 443}
MOST_URL_CHARS = 4096  # the longest address that browsers and servers agree on is about half of it

_UNPRINTED = re.compile("[\x00-\x20\x7f-\x9f\u2028\u2029]+")
# What joining leaves as it is, which most addresses are; to know that takes a tenth of the time of joining them.
_WHOLE = re.compile(
    r"https?://[A-Za-z0-9.-]+(?::[1-5]?[0-9]{1,4})?"
    "(?:/[^\x00-\x20\x7f-\x9f\u2028\u2029?#;]*)?(?:[?][^\x00-\x20\x7f-\x9f\u2028\u2029#;]+)?"
)

# Names that vendors of mail, advertising and analytics document for following a reader; a name that is anywhere in
# use for content (id, cid, ref, source, page, p, s) must not be here.
_TRACKING_PREFIXES = ("utm_", "pk_", "mtm_", "piwik_", "hsa_", "at_custom", "guce_", "oly_", "ns_m", "stm_")
_TRACKING_NAMES = frozenset(
    [
        "fbclid",
        "gclid",
        "gclsrc",
        "dclid",
        "gbraid",
        "wbraid",
        "msclkid",
        "yclid",
        "ysclid",
        "twclid",
        "ttclid",
        "li_fat_id",
        "igshid",
        "igsh",
        "epik",
        "rdt_cid",
        "srsltid",
        "mc_cid",
        "mc_eid",
        "mkt_tok",
        "_ga",
        "_gl",
        "_gac",
        "_hsenc",
        "_hsmi",
        "__hstc",
        "__hssc",
        "__hsfp",
        "hsctatracking",
        "vero_id",
        "vero_conv",
        "wickedid",
        "at_medium",
        "at_campaign",
        "at_creation",
        "at_link_id",
        "at_link_type",
        "at_link_origin",
        "at_format",
        "at_ptr_name",
        "at_bbc_team",
        "ns_source",
        "ns_campaign",
        "ns_linkname",
        "ns_fee",
        "ocid",
        "smid",
        "ftag",
        "xtor",
        "wt_mc",
        "wt_zmc",
        "cmpid",
        "cmp_id",
        "icid",
        "ito",
        "guccounter",
        "__twitter_impression",
        "sr_share",
        "tblci",
        "obclick",
        "oborigurl",
        "spm",
        "scm_id",
        "mbid",
        "trk_contact",
        "trk_msg",
        "trk_module",
        "trk_sid",
    ]
)
# What may follow an article's own address in that of one of its views.
_VIEW_SUFFIX = re.compile(
    r"/?(?:amp|amp\.html?|amphtml|print|drucken|index\.(?:html?|php|aspx?)|(?:page|seite)[/-]?\d{1,3})?/?"
)


def join_address(base: str, written: str) -> str:
    """Return the absolute http(s) address that `written` means in a document from `base`; "" where it means none.

    White space at the ends is no part of it. Inside, a run of line breaks and tabs is none either, since documents are
    folded; any other run of what cannot stand in an address is one escaped space. Fragments stay.

    Source: the URL standard of the WHATWG, 4.4, for line breaks; it escapes each space of a run.
    """
    written = written.strip()
    if len(written) <= MOST_URL_CHARS and _WHOLE.fullmatch(written):
        return written
    if not written:
        return ""
    written = _UNPRINTED.sub(lambda run: "%20" if run.group().strip("\t\r\n") else "", written)
    try:
        parts = _split(urljoin(base, written))
    except ValueError:
        return ""
    joined = urlunsplit(parts) if parts is not None else ""
    return joined if len(joined) <= MOST_URL_CHARS else ""


def normalise_url(url: str) -> str:
    """Return `url` in normal form; "" when it is not an absolute http(s) address.

    Raises nothing: an address that cannot be parsed has no normal form.
    """
    parts = _split(url)
    if parts is None:
        return ""
    query = "&".join(p for p in parts.query.split("&") if p and not _follows_readers(p))
    return urlunsplit((parts.scheme.lower(), _host_and_port(parts), parts.path or "/", query, ""))


def article_url(final_url: str, canonical: Optional[str]) -> str:
    """Return the address an article is known by: the page's own canonical where it can be believed, else `final_url`.

    Args:
        final_url: the address after redirects.
        canonical: what the page says (rel=canonical), absolute or relative to `final_url`; None when it says nothing.
    """
    own = normalise_url(final_url)
    if not canonical or not own:
        return own
    named = normalise_url(join_address(final_url, canonical))
    if not named or named == own or site_of(named) != site_of(own):
        return own
    return named if _names_an_article(urlsplit(named), urlsplit(own)) else own


def site_of(url: str) -> str:
    """Return the registrable domain of `url`; host, or host:port, of an IP address or a name without public suffix."""
    parts = _split(url)
    if parts is None:
        return ""
    netloc = _host_and_port(parts)
    return _registrable_domain((parts.hostname or "").rstrip(".").lower()) or netloc


def article_id_of(normalised_url: str) -> str:
    """Return the id of the article at `normalised_url` (see `normalise_url`): 16 hex digits."""
    return digest64("article", normalised_url)


@lru_cache(maxsize=8192)
def _registrable_domain(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        found = _SUFFIXES(_ascii_host(host))
        if not found.suffix and "." in host:
            # A name no rule covers has a suffix of one label (Source: publicsuffix.org/list, algorithm, step 2).
            return ".".join(_ascii_host(host).split(".")[-2:])
        return found.top_domain_under_public_suffix
    return ""


def _split(url: str) -> Optional[SplitResult]:
    try:
        parts = urlsplit(url.strip())
        parts.port  # noqa: B018 - raises ValueError where the port is no number
    except ValueError:
        return None
    return parts if parts.scheme.lower() in _DEFAULT_PORTS and parts.hostname else None


def _host_and_port(parts: SplitResult) -> str:
    host = _ascii_host((parts.hostname or "").lower().rstrip("."))
    if ":" in host:
        host = f"[{host}]"
    port = parts.port
    return host if port in (None, _DEFAULT_PORTS[parts.scheme.lower()]) else f"{host}:{port}"


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _follows_readers(parameter: str) -> bool:
    name = parameter.partition("=")[0].lower()
    return name in _TRACKING_NAMES or name.startswith(_TRACKING_PREFIXES)


def _names_an_article(named: SplitResult, own: SplitResult) -> bool:
    """Whether the canonical `named` can be the article at `own`, and not a home, section or error page."""
    path, own_path = named.path.rstrip("/"), own.path.rstrip("/")
    if not path:
        return False
    if own_path.startswith(path + "/") and not _VIEW_SUFFIX.fullmatch(own_path[len(path) :]):
        return False
    if path == own_path and own.query and not named.query:
        # /article?id=7 whose template drops the number would be one article for the whole site.
        return _tells_articles_apart(path)
    return _tells_articles_apart(path) or not (_tells_articles_apart(own_path) or own.query)


def _tells_articles_apart(path: str) -> bool:
    """A section is a word or two; an article's path has a number or a headline somewhere."""
    last = path.rpartition("/")[2]
    return any(c.isdigit() for c in path) or last.count("-") + last.count("_") + last.count("+") >= 2 or len(last) > 40


def address_key(url: str) -> str:
    """Return what two spellings of one address share: no scheme, fragment, case or slash at the end."""
    return url.partition("#")[0].partition("://")[2].lower().rstrip("/")
