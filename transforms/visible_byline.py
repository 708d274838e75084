"""Who wrote a story, and when, as a reader sees it: the byline and the date beside the headline.

Asked only where a page states neither, since it costs more and is wrong more often than what is stated.

Decisions:
    Only what stands close to the headline counts: before the first paragraphs of prose after it, or just above it. A
    date elsewhere is today's, or another story's.

    A date must be all that a short line says, but for words such as "Published" and the day of the week, unless the
    markup calls it a date. A byline must begin as one ("By", "Von", "Автор:"), be called one by the markup, or be a
    link to an author's page.

Limits: bylines beneath the story; headlines that are no h1 to h3.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple, Optional

from transforms.plain_values import letters, plain_line
from transforms.read_byline import visible_names, without_repeats
from transforms.read_dates import read_date

MOST_ELEMENTS = 150  # looked at after a headline
PROSE_CHARS = 300  # in paragraphs: where the story has begun; a standfirst is shorter
MOST_LINE_CHARS = 160
MOST_ABOVE = 12  # elements of what stands above a headline; a site's header has more
MOST_HEADINGS = 60
MOST_WITHIN = 400  # elements of one line

_UNSEEN = frozenset((
    "figure", "nav", "aside", "form", "script", "style", "svg", "picture", "button", "noscript", "template", "select",
))  # fmt: skip
_UNSEEN_WITHIN = frozenset(("script", "style", "svg", "button", "noscript", "template"))
_BYLINE = re.compile(
    r"by-?line|author|auteur|autor|verfasser|writer|reporter|journalist|redacteur|yazar|muhabir|penulis|firma"
)
_NOT_BYLINE = re.compile(
    r"bio|about|image|photo|avatar|credit|comment|social|share|follow|newsletter|related|teaser|caption|descr|card|"
    r"authori[sz]"
)
_NOT_WITHIN = re.compile(r"licen[cs]e|credit|copyright|caption|comment")
_AUTHOR_PAGE = re.compile(
    r"/(?:authors?|autor(?:e|en|es|in|i)?|auteurs?|people|person|profile?s?|journalist\w*|redac\w+|redak\w+|"
    r"contributors?|writers?|columnists?|staff|reporters?|by|firmas?|yazar\w*|penulis|team)/"
)
_DATE = re.compile(r"date|datum|fecha|time|publish|posted|created|tarih|stamp|pubblicat|publicad|veroeffentlicht")
_UPDATE = re.compile(
    r"updat|aktualis|mis à jour|mise à jour|actuali[sz]|aggiorn|atualiz|bijgewerkt|gewijzigd|modif|geändert|revised|"
    r"edited|oppdater|uppdater|opdater|päivitetty|aktualiz|güncel|обновл|оновл|изменен|تحديث|अपडेट|更新|수정|"
    r"diperbarui|cập nhật|\bstand\b"
)
_WORD = re.compile(r"(?:[^\W\d_]|[\u0900-\u0eff])+")
# What a line may say beside its date.
_SAID = (
    "thứ tháng hai ba tư năm sáu bảy chủ nhật δευτέρα τρίτη τετάρτη πέμπτη παρασκευή σάββατο κυριακή δημοσίευση "
    "понеділок вівторок середа четвер пʼятниця субота неділя pondělí úterý středa čtvrtek pátek neděle vydáno "
    "hétfő kedd szerda csütörtök péntek szombat vasárnap luni marți miercuri joi vineri sâmbătă duminică publicat "
    "pressemitteilung pressemeldung meldung press release communiqué comunicado comunicato persbericht "
    "published publish posted on at the of by am um uhr im vom o clock date time created first original "
    "veröffentlicht erschienen erstellt datum publié publiée parution le à publicado publicada el a las de "
    "del hs hrs horas às em pubblicato pubblicata il alle ore gepubliceerd geplaatst op om publicerad "
    "publicerat publisert kl klokken julkaistu opublikowano data publikacji dodano r yayınlanma yayın tarihi "
    "saat giriş опубликовано опубликована дата в г год года время час опубліковано نشر في تاريخ النشر الساعة "
    "م ص هـ प्रकाशित को बजे पर 发布 发布时间 发表 时间 来源 公開 掲載 配信 投稿 입력 등록 작성 승인 기사입력 "
    "diterbitkan pukul wib wita wit ngày lúc đăng monday tuesday wednesday thursday friday saturday sunday "
    "mon tue tues wed thu thur thurs fri sat sun montag dienstag mittwoch donnerstag freitag samstag "
    "sonnabend sonntag mo di mi do fr sa so lundi mardi mercredi jeudi vendredi samedi dimanche lunes martes "
    "miércoles jueves viernes sábado domingo lunedì martedì mercoledì giovedì venerdì sabato domenica "
    "segunda terça quarta quinta sexta feira maandag dinsdag woensdag donderdag vrijdag zaterdag zondag "
    "mandag tirsdag onsdag torsdag fredag lørdag søndag måndag tisdag lördag söndag poniedziałek wtorek "
    "środa czwartek piątek sobota niedziela pazartesi salı çarşamba perşembe cuma cumartesi pazar "
    "понедельник вторник среда четверг пятница суббота воскресенье الاثنين الإثنين الثلاثاء الأربعاء الخميس "
    "الجمعة السبت الأحد सोमवार मंगलवार बुधवार गुरुवार शुक्रवार शनिवार रविवार senin selasa rabu kamis jumat "
    "sabtu minggu utc gmt cet cest mez mesz msk ist est edt cst cdt mst mdt pst pdt bst pm h min 星期 星期一 "
    "星期二 星期三 星期四 星期五 星期六 星期日 周一 周二 周三 周四 周五 周六 周日"
)
_SAID_OF_DATES = frozenset(_SAID.split())
_PARTING = re.compile(r"[|•·]|来源|來源|作者|记者|記者|编辑|編輯|责编")
# Signs that stand between the numbers of a date in East Asia, and days of the week in brackets.
_SIGNS = re.compile(
    "[(（][月火水木金土日월화수목금토일][)）]|[月火水木金土日월화수목금토일]曜日|[월화수목금토일]요일|上午|下午|午前|午後|오전|오후|"
    "[年月日時时分秒点點년월일시분초]"
)


class Seen(NamedTuple):
    """The names in the byline, and the day and time beside it in seconds since the epoch; None where none is shown."""

    names: list[str]
    seconds: Optional[float]


def visible_byline(tree: Any, titles: tuple[str, ...], *, day_first: Optional[bool], latest_seconds: float) -> Seen:
    """Return what stands beside the headline.

    Args:
        tree: the parsed page; not changed.
        titles: the headlines that the page names.
        day_first: whether the page's language has the day before the month.
        latest_seconds: later dates are not the story's.
    """
    headline = _headline(tree, titles)
    if headline is None:
        return Seen([], None)
    names: list[str] = []
    seconds: Optional[float] = None
    for element in (*islice(_after(headline), MOST_ELEMENTS), *islice(_above(headline), 2 * MOST_ABOVE)):
        line = seen_text(element, MOST_LINE_CHARS + 1)
        if not line or len(line) > MOST_LINE_CHARS:
            continue
        label = _label_of(element)
        if not names and not _NOT_BYLINE.search(label) and not _NOT_WITHIN.search(_label_of(element.getparent())):
            names = _names(element, line, label)
        if seconds is None:
            seconds = _seconds(line, label if element.tag != "time" else "time", day_first, latest_seconds)
        if names and seconds is not None:
            break
    return Seen(names, seconds)


def _label_of(element: Any) -> str:
    return "" if element is None else f"{element.get('class', '')} {element.get('id', '')}".lower()


def seen_text(element: Any, most_chars: int) -> str:
    """Return an element's text as it is seen, elements apart from one another; cut after `most_chars`."""
    parts: list[str] = []
    length = 0
    for _, text, _ in texts_within(element):
        parts.append(text)
        length += len(text)
        if length > most_chars:
            break
    return plain_line(" ".join(parts))


def texts_within(root: Any) -> Iterator[tuple[Any, str, int]]:
    """Yield each text that is seen within an element: the element that it begins, None behind one; the text; the depth.

    No more than `MOST_WITHIN` elements are looked at, so that thousands of empty ones cost nothing.
    """
    element, depth = root, 0
    for _ in range(MOST_WITHIN):
        inner = None
        if element.tag not in _UNSEEN_WITHIN:
            yield element, element.text or "", depth
            inner = next(element.iterchildren(), None)
        if inner is not None:
            element, depth = inner, depth + 1
            continue
        while element is not root:
            depth -= 1
            yield None, (" " if element.tag == "br" else "") + (element.tail or ""), depth
            beside = element.getnext()
            if beside is not None:
                element, depth = beside, depth + 1
                break
            element = element.getparent()
        else:
            return


def _headline(tree: Any, titles: tuple[str, ...]) -> Any:
    named = {letters(title) for title in titles}
    first = None
    for heading in islice(tree.iter("h1", "h2", "h3"), MOST_HEADINGS):
        if letters(seen_text(heading, 500)) in named:
            return heading
        if first is None and heading.tag == "h1":
            first = heading
    return first


def _after(headline: Any) -> Iterator[Any]:
    """Yield the elements after a headline, up to the story's prose."""
    prose = 0
    above = headline
    while above is not None and above.tag != "body":
        for beside in above.itersiblings():
            for element in _seen_within(beside):
                yield element
                if element.tag == "p":
                    prose += len(seen_text(element, PROSE_CHARS))
                    if prose >= PROSE_CHARS:
                        return
        above = above.getparent()


def _above(headline: Any) -> Iterator[Any]:
    """Yield the elements just above a headline, beside it and beside what holds it."""
    for holder in (headline, headline.getparent()):
        if holder is None or holder.getparent() is None or holder.getparent().tag in ("body", "html"):
            return
        for beside in islice(holder.itersiblings(preceding=True), 3):
            within = list(islice(_seen_within(beside), MOST_ABOVE + 1))
            if len(within) <= MOST_ABOVE:
                yield from within


def _seen_within(element: Any) -> Iterator[Any]:
    stack = [element]
    while stack:
        top = stack.pop()
        if isinstance(top.tag, str) and top.tag not in _UNSEEN:
            yield top
            stack.extend(reversed(top))


def _names(element: Any, line: str, label: str) -> list[str]:
    is_byline = _BYLINE.search(label) is not None
    links = [
        name
        for link in islice(element.iter("a"), 12)
        if is_byline or _AUTHOR_PAGE.search((link.get("href") or "").lower())
        for name in visible_names(seen_text(link, MOST_LINE_CHARS), is_byline=True)
    ]
    return without_repeats(links) or visible_names(line, is_byline=is_byline)


def _seconds(line: str, label: str, day_first: Optional[bool], latest_seconds: float) -> Optional[float]:
    """Return the time that a line gives as that of publication."""
    if not any(char.isdecimal() for char in line):
        return None
    lower = line.lower()
    update = _UPDATE.search(lower)
    if update:
        # "Published 12 May, updated 13 May", or the other way round.
        before = lower[: update.start()]
        lower = before if any(char.isdecimal() for char in before) else ""
    is_called_date = _DATE.search(label) is not None and "updat" not in label and "modif" not in label
    if not lower:
        return None
    if not is_called_date and not _is_only_a_date(lower):
        # "12 May 2026 | Lena Ruud | 3 comments"
        parts = (part for part in _PARTING.split(lower) if any(char.isdecimal() for char in part))
        lower = next((part for part in parts if _is_only_a_date(part)), "")
    seconds = read_date(lower.strip(" |·•,-–—"), day_first=day_first)
    earliest = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
    return seconds if seconds is not None and earliest <= seconds <= latest_seconds else None


def _is_only_a_date(line: str) -> bool:
    words = [word for word in _WORD.findall(_SIGNS.sub(" ", line)) if word not in _SAID_OF_DATES]
    return len(words) <= 1 and all(read_date(f"1 {word} 2001") is not None or len(word) == 1 for word in words)
