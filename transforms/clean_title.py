"""Clean a headline: the site's name, the wire's own marks and entities escaped twice are no part of it.

A page's headline has mostly lost its site's suffix before (page_metadata has several headlines to compare); a feed's
has not, and a feed's is all there is where the page names none.

Decisions:
    The site's name goes only where it is proven: as the page gives it, or as the letters of the site's domain. A dash
    or a bar alone proves nothing: "Spider-Man - the musical".

    What tells the state of a wire's copy goes (UPDATE 2-, CORRECTED-, BREAKING:, "(AP)"). What tells a reader what
    kind of piece it is stays (Exclusive, Opinion, WATCH, Live): publishers count it as their headline. "- Reuters"
    after a headline stays, for it says who says so.

    In upper case only, as wires set them: "Update on the bridge", "Breaking: Dancers reach the final" are headlines.

    The caller keeps the headline as it was published where it differs (`published_title`), so nothing is lost.
"""

import html
import re
from typing import Optional

MOST_ROUNDS = 8  # a headline carries three or four of these marks at most; the bound keeps hostile input linear
LEAST_HEADLINE_LETTERS = 4  # what is left when a site's name goes must be a headline
LEAST_NAME_LETTERS = 3
SUFFIX_CHARS = 120  # no name of a site with its section is longer

# "&amp;amp;#039;" is one entity, escaped three times.
_ENTITY = re.compile(r"&(?:amp;|#0{0,4}38;|#x0{0,4}26;)*(#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,20}\d{0,2});", re.IGNORECASE)
_SPACE = re.compile(r"[\s\u200b\ufeff]+")
# Between letters of East Asia a dash stands without spaces; French sets a colon between two.
_EAST_ASIAN = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_SEPARATOR = re.compile(
    r" (?:[-–—|·•»›:]|::) |\s?[|｜丨_](?=\S)|\s?[|｜丨](?=\s)"
    rf"|(?<=[{_EAST_ASIAN}])[-－–—]{{1,2}}(?=[{_EAST_ASIAN}])"
)
_SECTION = re.compile(
    r"(?:local |world |top |latest |breaking )?(?:news|sports?|politics|business|world|opinion|culture|entertainment|"
    r"lifestyle|health|tech(?:nology)?|science|economy|national|international)|"
    r"nachrichten|politik|wirtschaft|sport|kultur|panorama|regional|lokales|"
    r"noticias|política|economía|deportes|cultura|sociedad|internacional|"
    r"actualités?|politique|économie|société|monde|notizie|cronaca|politica|economia|esteri|"
    r"haber(?:ler)?|gündem|spor|ekonomi|новости|политика|экономика|общество|спорт|"
    r"أخبار|سياسة|اقتصاد|رياضة|समाचार|राजनीति|खेल|新闻|新聞|财经|体育",
    re.IGNORECASE,
)
_AFTER_NAME = re.compile(r"(?:online|news|newspaper|digital|tv|website|com|app|epaper)?")
_ARTICLE = re.compile(r"^(?:the|die|der|das|el|la|le|les|il|lo) ")
_LEADING = re.compile(
    r"(?:(?:RPT|REFILED?|REPEAT|CORRECTED|RECAST|(?:UPDATE|WRAPUP|RPT-UPDATE) ?\d{1,2})"
    r"(?: ?-? ?\((?:OFFICIAL|[A-Z ]{3,20})\))? ?- ?)(?=[^\W\d_]|[\"'“‘«])"
    r"|#?(?:UPDATED?|BREAKING(?: NEWS)?|Breaking News|JUST IN|DEVELOPING|EILMELDUNG|Eilmeldung|EIL|ÚLTIMA HORA|"
    r"ULTIMA HORA|SON DAKİKA|Son Dakika|СРОЧНО|Срочно|عاجل|ब्रेकिंग(?: न्यूज)?|快讯|快訊|突发)(?: ?[:：|｜] ?| [-–—] )"
    r"|\+\+\+ ?(?:EILMELDUNG|Eilmeldung|EIL|Eil|Ticker|UPDATE) ?\+\+\+ ?"
)
_WIRE = r"AP|Reuters|AFP|dpa|UPI|EFE|ANSA|PTI|IANS|ANI|Xinhua|TASS|Lusa|Belga|APA|sda|AA|DHA|İHA|ТАСС|भाषा|رويترز"
_BRACKETED = re.compile(rf"[(\[](?:{_WIRE})[)\]]")
_STATE_AT_END = re.compile(r" [(\[](?:UPDATED?|Updated?)[)\]]$")


def clean_title(title: str, *, site_name: Optional[str] = None, site: Optional[str] = None) -> str:
    """Return the headline in `title`; never empty unless `title` is. Idempotent.

    Args:
        title: the headline as a feed or page gives it, one line or several.
        site_name: what the page calls its site, if known.
        site: the registrable domain, whose letters prove a name as well.
    """
    names = _names_of(site_name, site)
    clean = _plain(title)
    for _ in range(MOST_ROUNDS):
        shorter = _without_marks(_without_site(clean, names))
        if not shorter or shorter == clean:
            break
        clean = shorter
    return clean


def _plain(title: str) -> str:
    """Decode entities, however often they were escaped, and make one line of it."""
    return _SPACE.sub(" ", _ENTITY.sub(lambda m: html.unescape(f"&{m.group(1)};"), title)).strip()


def _without_marks(title: str) -> str:
    for shorter in (
        _LEADING.sub("", title, count=1) if _LEADING.match(title) else title,
        _STATE_AT_END.sub("", title),
        *(title[m.end() :] for m in [_BRACKETED.match(title)] if m),
        *(
            title[: m.start()]
            for m in [_BRACKETED.search(title, max(0, len(title) - 12))]
            if m and m.end() == len(title)
        ),
    ):
        if shorter != title and _is_headline(shorter):
            return shorter.strip()
    return title


def _without_site(title: str, names: frozenset[str]) -> str:
    """Cut the site's name and, between bars, its section off the end; or the name and a bar off the beginning."""
    cuts = list(_SEPARATOR.finditer(title, max(0, len(title) - SUFFIX_CHARS)))
    for cut in reversed(cuts):
        head = title[: cut.start()].rstrip()
        if _is_name(title[cut.end() :], names) and _is_headline(head):
            section = cuts[cuts.index(cut) - 1] if cut is not cuts[0] else None
            if section and "|" in section.group(0) and _SECTION.fullmatch(title[section.end() : cut.start()].strip()):
                shorter = title[: section.start()].rstrip()
                return shorter if _is_headline(shorter) else head
            return head
    first = _SEPARATOR.search(title, 0, SUFFIX_CHARS)
    if (
        first
        and "|" in first.group(0)
        and _is_name(title[: first.start()], names)
        and _is_headline(title[first.end() :])
    ):
        return title[first.end() :].lstrip()
    return title


def _is_headline(title: str) -> bool:
    return len(_letters(title)) >= LEAST_HEADLINE_LETTERS


def _is_name(tail: str, names: frozenset[str]) -> bool:
    letters = _letters(tail)
    return any(letters.startswith(n) and _AFTER_NAME.fullmatch(letters, len(n)) is not None for n in names)


def _names_of(site_name: Optional[str], site: Optional[str]) -> frozenset[str]:
    """The letters of what the site may be called: its name, its domain, its domain without the last parts."""
    found = [_letters(site_name or ""), _letters(site or ""), _letters((site or "").partition(".")[0])]
    return frozenset(name for name in found if len(name) >= LEAST_NAME_LETTERS)


def _letters(text: str) -> str:
    bare = _ARTICLE.sub("", text.strip().lower())
    return "".join(char for char in bare if char.isalnum())
