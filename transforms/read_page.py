"""What an answer to a request for an article is: the page, a wall before it, or nothing. A room of fetch_pages.

Decisions:
    A story that is lost is worse than a wall that is kept, since extraction looks at every page again. So no sign is
    believed alone: a wall has its words as a whole heading, not within one, and little text beside them; a page that
    declares itself an article is never taken for one. Redirects are believed sooner, since an article's address that
    ends at a consent form, a sign-in page or the front page has said what it is.

    A challenge is the only wall that may pass by itself, but not soon: it is tried again after hours. Nothing here
    answers one.

    A stub is followed for what it is (a refresh at once, a script and nothing else, "click here"), and for its
    canonical when it has next to no text. A page with text is never left for its canonical: an agency's story on a
    paper's site is the paper's page.

Limits: walls are known by their words in the languages below. What only a script would show is not seen.
"""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Optional
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from apache_beam.utils.timestamp import Timestamp

from transforms.article_url import join_address, normalise_url, site_of
from transforms.errors import RejectedError, TransientError, mask_url, one_line
from transforms.http import Response
from transforms.look_at_page import MUCH_TEXT, Look, look_at
from transforms.page_reservations import reservations, reserved_error, tdm_reserved
from transforms.poll_feeds import error_of_status

CHALLENGE_SECONDS = 6 * 3600.0  # a site that guards itself does so for hours; sooner would only prove its point
_CHALLENGE_STATUS = frozenset((200, 202, 403, 405, 429, 503))
_TINY = 100  # weight of text: a line or two, as on a page that only points elsewhere
_LITTLE = 600  # a form with its explanations
_LEGAL = 1_500  # a consent form with all its purposes
_TEASERS = 3_000  # an error page that lists other stories


class PageAnswer(NamedTuple):
    """A page as fetched: the address after redirects, its bytes and what its header says they are.

    `tdm_reserved` is whether it reserves text and data mining by its own word; None when it says nothing.
    """

    url: str
    body: bytes
    content_type: Optional[str]
    tdm_reserved: Optional[bool] = None


def read_page(
    response: Response, now: Timestamp, *, asked: Optional[str] = None, honour: Collection[str] = (), product: str = ""
) -> PageAnswer:
    """Return the page in an answer.

    Args:
        response: what came.
        now: the time, for a Retry-After that is a date.
        asked: the address that the entry linked to; None where it is that of the answer.
        honour: which of page_reservations.SIGNALS reject a page.
        product: the crawler's product name, as robots directives call it.

    Raises:
        TransientError: http_408, http_425, http_429, http_5xx, challenge.
        RejectedError: http_* of another status than 200, empty_page, not_text, consent_wall, login_required, soft_404,
            reserved.
    """
    url, status = response.url, response.status
    # Only an answer that could be a challenge or a page is worth a look.
    content_type = response.headers.get("Content-Type")
    look = look_at(response.body, content_type) if status in _CHALLENGE_STATUS else Look()
    if _is_challenge(response, look):
        raise TransientError(
            f"{mask_url(url)}: the site wants proof of a human reader; tried again in some hours",
            reason="challenge",
            url=url,
            retry_after_seconds=CHALLENGE_SECONDS,
        )
    if status != 200:
        raise error_of_status(response, now)
    if not response.body.strip():
        raise RejectedError(f"{mask_url(url)}: an empty page", reason="empty_page", url=url)
    # UTF-16 has NULs and says so by its first two bytes or its header; images and archives have them and say nothing.
    if not content_type and b"\0" in response.body[:1024] and response.body[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise RejectedError(f"{mask_url(url)}: not a text", reason="not_text", url=url)
    way = _Way(asked or url, url, tuple(target for _, target in response.redirects))
    for is_wall, reason, what in (
        (_is_consent_wall, "consent_wall", "a consent form stands before the page"),
        (_is_login, "login_required", "the page wants its readers to sign in"),
        (_is_missing, "soft_404", "the article is not there: its address gives an error page or a section"),
    ):
        if is_wall(way, look, response.headers):
            raise RejectedError(f"{mask_url(url)}: {what}", reason=reason, url=url)
    kept = sorted(reservations(response.headers, look.metas, product=product) & set(honour))
    if kept:
        raise reserved_error(url, kept[0])
    return PageAnswer(
        url,
        response.body,
        one_line(content_type, limit=200) if content_type else None,
        tdm_reserved(response.headers, look.metas),
    )


class _Way(NamedTuple):
    """From the address asked, by way of redirects, to that of the answer."""

    asked: str
    url: str
    redirects: tuple[str, ...]

    @property
    def was_sent_on(self) -> bool:
        return normalise_url(self.asked) != normalise_url(self.url)


def _headings(path: Path) -> dict[str, re.Pattern[str]]:
    """Return what matches a heading of each kind of wall, in any language."""
    words = tomllib.loads(path.read_text("utf-8"))
    what = words.pop("what")
    return {
        kind: re.compile(
            "|".join(
                phrase.replace("{what}", what.get(language, ""))
                for language, phrases in by_language.items()
                for phrase in phrases
            )
        )
        for kind, by_language in words.items()
    }


_HEADINGS = _headings(Path(__file__).with_name("wall_words.toml"))

# ---- challenges ------------------------------------------------------------------------------------------------------

_CHALLENGE_HEADERS = ("cf-mitigated", "x-vercel-mitigated", "x-amzn-waf-action")
# What the pages of bot guards hold, and pages that are merely guarded do not (those carry their sensors).
_CHALLENGE_CODE = re.compile(
    r"\b_cf_chl_opt\b|\bcf-browser-verification\b|//(?:geo|ct|c)\.captcha-delivery\.com/|'host':'geo\.captcha-delivery"
    r"|\bid=[\"']?px-captcha\b|_Incapsula_Resource\?SWUDNSAI|Incapsula incident ID|\bgokuProps\b|\banubis_challenge\b"
    r"|\bsucuri_cloudproxy_js\b|\bbm-verify=|/_sec/(?:verify|cp_challenge)\b|\bsec-if-cpt-container\b"
    r"|//check\.ddos-guard\.net/|\bawsWafCookieDomainList\b",
)


def _is_challenge(response: Response, look: Look) -> bool:
    if any(response.headers.get(name, "").strip().lower() in ("challenge", "captcha") for name in _CHALLENGE_HEADERS):
        return True
    if look.is_declared or look.story >= _LITTLE or response.status not in _CHALLENGE_STATUS:
        return False
    if _CHALLENGE_CODE.search(response.body[:200_000].decode("latin-1")):
        return True
    words = _parts(look.title)
    return look.weight < _LITTLE and any(_HEADINGS["challenge"].fullmatch(part) for part in (words[:1] + words[-1:]))


# ---- consent ---------------------------------------------------------------------------------------------------------

_CONSENT_HOST = re.compile(r"(?:cookie-?)?consents?|consent-?manager|cookie-?wall|privacy-?(?:gate|wall)")
_CONSENT_PATH = re.compile(
    r"(?:cookies?-?|gdpr-?|tcf-?|collect-?)?consents?|consent-?(?:wall|gate|page|form|redirect)|cookie-?(?:wall|gate)"
    r"|privacy-?(?:wall|gate)|zustimmung|einwilligung|consentement|consentimiento|consenso|toestemming|samtykke|samtycke",
    re.IGNORECASE,
)
_COOKIES_PATH = re.compile(
    r"(?:no-?cookies?|cookies?-?(?:absent|required|disabled|error)|enable-?cookies)(?:\.\w{1,5})?", re.IGNORECASE
)
_CONSENT_WORDS = re.compile(
    r"cookie|privacy|personal data|datenschutz|einwilligung|vie privée|privacidad|prywatno|конфиденц|クッキー"
    r"|プライバシー|隐私",
    re.IGNORECASE,
)
_ACCEPTS = re.compile(
    r"\baccept|\bagree|\bi consent|akzept|zustimm|einverstanden|acept|accett|aceit|akkoord|godkänn|godta|hyväksy|akcept"
    r"|zgadzam|принять|соглас|同意|동의|kabul|قبول|αποδοχή|souhlas|elfogad",
    re.IGNORECASE,
)
_NEEDS_COOKIES = re.compile(
    r"enable|allow|does not accept|disabled|required|aktivier|zulassen|erlauben|activ|habilit|attiv|abilit|inschakel"
    r"|aktivera|włącz|включ|有効|启用|啟用",
    re.IGNORECASE,
)
_BROWSER = re.compile(
    r"browser|navigateur|navegador|webbläsare|przegląda|браузер|ブラウザ|浏览器|瀏覽器|this (?:page|site)",
    re.IGNORECASE,
)


def _is_consent_wall(way: _Way, look: Look, headers: Mapping[str, str]) -> bool:
    if way.was_sent_on:
        host, steps = _labels(way.url), _steps(way.url)
        comes_back = _names(way.url, way.asked)
        if len(host) > 2 and _CONSENT_HOST.fullmatch(host[0]) and host != _labels(way.asked):
            return True
        at_form = any(_CONSENT_PATH.fullmatch(step) for step in steps if step not in _steps(way.asked))
        if at_form and (comes_back or (_is_bare(look, _LEGAL) and not _tells_apart(way.url))):
            return True
        if steps and _COOKIES_PATH.fullmatch(steps[-1]) and _is_bare(look, _LITTLE):
            return True
    if not _is_bare(look, _LEGAL):
        return False
    # A layer over a story has its heading as well, so either the title says it or every heading does.
    titled = any(_HEADINGS["consent"].fullmatch(part) for part in _parts(look.title))
    headed = bool(look.headings) and all(_HEADINGS["consent"].fullmatch(_plain(text)) for text in look.headings)
    if (titled or headed) and _CONSENT_WORDS.search(look.text):
        return any(_ACCEPTS.search(label) for label in look.buttons)
    if look.weight < 250 and "cookies" in look.text.lower() and _NEEDS_COOKIES.search(look.text):
        return _BROWSER.search(look.text) is not None and all("cookie" in text.lower() for text in look.headings)
    # A stub that sets a cookie and loads itself again would do so for ever here.
    return look.weight < _TINY and "Set-Cookie" in headers and any(
        target is not None and normalise_url(target) == normalise_url(way.url) for target in _refreshed(look, way.url)
    )  # fmt: skip


# ---- signing in ------------------------------------------------------------------------------------------------------

_LOGIN = (
    r"log-?in|log-?on|sign-?in|sso|oauth2?|authorize|wp-login|anmelden|anmeldung|einloggen|connexion|se-connecter"
    r"|identification|iniciar-sesion|inicio-sesion|acceder|entrar|accedi|inloggen|logga-in|logg-inn|log-ind|kirjaudu"
    r"|zaloguj|logowanie|giris|vhod"
)
_LOGIN_HOST = re.compile(r"log-?in|sign-?in|sso|auth|oauth|passport|idp|accounts?")
_LOGIN_PATH = re.compile(rf"(?:{_LOGIN})(?:\.(?:php|html?|aspx?|jsp|do))?", re.IGNORECASE)


def _is_login(way: _Way, look: Look, headers: Mapping[str, str]) -> bool:
    if not _is_bare(look, _LITTLE):
        return False
    if way.was_sent_on and not _signs_in(way.asked) and _signs_in(way.url):
        return look.has_password or look.weight < _LITTLE
    named = [*look.headings[:1], *_parts(look.title)]
    return look.has_password and any(_HEADINGS["login"].fullmatch(_plain(text)) for text in named)


def _signs_in(url: str) -> bool:
    host = _labels(url)
    if len(host) > 2 and _LOGIN_HOST.fullmatch(host[0]):
        return True
    return any(_LOGIN_PATH.fullmatch(step) for step in _steps(url)) and not _tells_apart(url)


# ---- missing pages ---------------------------------------------------------------------------------------------------

_MISSING_PATH = re.compile(
    r"(?:error-?)?40[34]|error|(?:page-?)?not-?found|page-?404|seite-?nicht-?gefunden|page-?introuvable|no-?encontrad[ao]",
    re.IGNORECASE,
)
_FRONT_STEP = re.compile(
    r"index\.\w{2,5}|home|start|(?:default|home)\.\w{2,5}|[a-z]{2}(?:[-_][a-z]{2})?", re.IGNORECASE
)
_VIEW_STEPS = re.compile(r"(?:amp|print|drucken|index\.\w{2,5}|page|seite|\d{1,3}|amp\.html?|all|full)", re.IGNORECASE)


def _is_missing(way: _Way, look: Look, headers: Mapping[str, str]) -> bool:
    if way.was_sent_on and _leads_away(way, look):
        return True
    if not _is_bare(look, _TEASERS):
        return False
    said = [_plain(text) for text in look.headings]
    if any(_HEADINGS["missing"].fullmatch(text) for text in said[:3]):
        return True
    # A headline that goes on after the words is a headline.
    return any(
        _HEADINGS["missing"].fullmatch(part) and not any(part in text for text in said) for part in _parts(look.title)
    )


def _leads_away(way: _Way, look: Look) -> bool:
    """Whether redirects lead from an article to a front page, a section above it or an error page."""
    steps = _steps(way.url)
    if steps and _MISSING_PATH.fullmatch(steps[-1].partition(".")[0]) and _is_bare(look, _TEASERS):
        return True
    site = site_of(way.url)
    articles = [url for url in (way.asked, *way.redirects) if site_of(url) == site and _tells_apart(url)]
    if not articles or _tells_apart(way.url):
        return False
    if not steps or (len(steps) == 1 and _FRONT_STEP.fullmatch(steps[0])):
        return not _split(way.url).query or any(_split(url).path.strip("/") for url in articles)
    if look.is_declared:
        return False
    below = [_steps(url) for url in articles]
    return any(
        len(above) > len(steps)
        and above[: len(steps)] == steps
        and not all(_VIEW_STEPS.fullmatch(step) for step in above[len(steps) :])
        for above in below
    )


# ---- stubs -----------------------------------------------------------------------------------------------------------

_MOST_STUB_BYTES = 64 * 1024
_REFRESH = re.compile(
    r"\s{0,9}(\d{1,6})(?:\.\d{0,9})?\s{0,9}(?:[;,]\s{0,9}(?:url\s{0,9}=\s{0,9})?[\"']?([^\"']{0,4000}))?", re.IGNORECASE
)
_SCRIPT_GOES = re.compile(
    r"(?:window\.|document\.|self\.|top\.)?location(?:\.href)?\s{0,9}=\s{0,9}[\"'](https?:[^\"'\s]{1,4000})[\"']"
    r"|location\.(?:replace|assign)\(\s{0,9}[\"'](https?:[^\"'\s]{1,4000})[\"']"
)
_GOES_ON = re.compile(
    r"redirect|click here|weitergeleitet|weiterleitung|redirig|réorient|redirecc|redirecion|reindirizz|omgeleid"
    r"|doorverw|doorgestuurd|omdirig|przekierow|перенаправ|リダイレクト|跳转|跳轉|이동합니다",
    re.IGNORECASE,
)


def address_to_follow(page: PageAnswer) -> Optional[str]:
    """Return the address of the real page when `page` is only the way to it; else None.

    Never that of the page itself, and never what is no http(s) address. A page with text is never left, whatever its
    canonical says.
    """
    if len(page.body) > _MOST_STUB_BYTES:
        return None
    look = look_at(page.body, page.content_type)
    if look.is_declared or look.story >= _LITTLE:
        return None
    for target in _ways_on(look, page.url):
        if site_of(target) and normalise_url(target) != normalise_url(page.url):
            return target
    return None


def _ways_on(look: Look, url: str) -> Iterator[str]:
    yield from (target for target in _refreshed(look, url) if target is not None)
    if look.weight >= _TINY:
        return
    goes = _SCRIPT_GOES.search(look.scripts)
    if goes is not None and not look.text.replace(look.title, "") and len(look.scripts) < 600:
        yield (goes[1] or goes[2]).replace("\\/", "/")
    links = {link for link in (_joined(url, link) for link in look.links) if link}
    if len(links) == 1 and _GOES_ON.search(f"{look.title} {look.text}"):
        yield links.pop()
    named = _joined(url, look.canonical or "")
    if named and _split(named).path.strip("/") and not _is_spelling_of(named, url):
        yield named


def _is_spelling_of(named: str, url: str) -> bool:
    """Whether two addresses differ in no more than scheme, subdomain, parameters and a slash."""
    return site_of(named) == site_of(url) and _steps(named) == _steps(url)


def _refreshed(look: Look, url: str) -> Iterator[Optional[str]]:
    """Yield where the page goes at once: its own address where it loads itself again."""
    for content, in_noscript in look.refreshes:
        said = _REFRESH.match(content)
        if said is None or int(said[1]) > 1:
            continue
        target = _joined(url, said[2].strip()) if said[2] else url
        # For readers without scripts sites have a page that says so; only a shortener sends them to another site.
        if not in_noscript or (target is not None and site_of(target) != site_of(url)):
            yield target


def _joined(url: str, target: str) -> Optional[str]:
    return join_address(url, target).partition("#")[0] or None


# ---- addresses and words ---------------------------------------------------------------------------------------------

_EDGES = " \t.,:;!?¡¿…'\"“”„«»‹›()[]。！？、"
_OOPS = re.compile(
    r"(?:oops|ooops|sorry|uh-oh|whoops|hoppla|ups|oh je|désolée?|lo sentimos|ops|hmm|404)[\s,.!:…\-–—|]{1,5}"
)
_SEPARATED = re.compile(r"\s[|\-–—·•«»‹›:]+\s|\s?[|｜]\s?")


def _plain(text: str) -> str:
    """Return words in lower case, without the marks at their ends and an "Oops" before them."""
    plain = " ".join(text[:500].replace("’", "'").lower().split()).strip(_EDGES)
    return _OOPS.sub("", plain, count=1).strip(_EDGES) if _OOPS.match(plain) else plain


def _parts(title: str) -> list[str]:
    """Return the whole title and what stands before and after the marks that set a site's name apart."""
    parts = [_plain(part) for part in _SEPARATED.split(title[:500])]
    return [part for part in dict.fromkeys([_plain(title), parts[0], parts[-1]]) if part]


def _is_bare(look: Look, most: int) -> bool:
    return not look.is_declared and look.story < min(most, MUCH_TEXT)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _labels(url: str) -> list[str]:
    return (_split(url).hostname or "").lower().split(".")


def _steps(url: str) -> list[str]:
    return [step for step in unquote(_split(url).path).split("/") if step]


def _tells_apart(url: str) -> bool:
    """Whether an address has a number or a headline, which a section's has not."""
    parts = _split(normalise_url(url))  # without what follows readers: numbers as well
    last = parts.path.rstrip("/").rpartition("/")[2]
    if any(c.isdigit() for c in parts.path) or sum(map(last.count, "-_+")) >= 2 or len(last) > 40:
        return True
    by_number = not last or "." in last  # /?p=17 and /story.php?id=17
    return by_number and any(value.isdigit() for _, value in parse_qsl(parts.query[:4_000]))


def _names(url: str, asked: str) -> bool:
    """Whether a parameter of `url` holds the address to come back to."""
    wanted, path = _labels(asked), _split(asked).path.rstrip("/")
    for _, value in parse_qsl(_split(url).query[:16_000]):
        value = unquote(value)
        if ".".join(wanted) in value or (len(path) > 1 and path in value):
            return True
    return False
