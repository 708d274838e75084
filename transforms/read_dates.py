"""A date as feeds write it -> seconds since the epoch.

Decisions:
    * One reader for all shapes, and none of feedparser's: its own answers with a wrong day where it should with none
      (``2026年3月2日`` is the first of November to it, ``02-03-2026`` is in 2002), and passes over most names of zones.
    * The time and what follows it are taken out first; what is left names a day, as year-month-day, day-month-year, or
      with the name of a month, which may be of any language in `_MONTHS`.
    * A wrong day is worse than none. Two numbers with slashes that could both be the month are read only beside AM or
      PM, which stands for the order of the United States; a year alone names no day.
    * What lies more than a day ahead is dated now, since the entry has been seen, and flagged; what lies at the epoch
      or before 1900 means "not known".
    * What names no zone is UTC, except in Korean, which is written in one zone. Abbreviations that several zones share
      mean the one with the most readers (IST is India's, CST North America's).

Limits: calendars other than the Gregorian, but for the years of Thai dates; names of zones by city; a zone that is no
zone is passed over.

Source: RFC 5322, 3.3 and 4.3; ISO 8601; names of months from the Unicode CLDR.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Optional

MOST_ZONE_MINUTES = 14 * 60  # Kiribati's; what is more is no zone
MOST_CHARS = 120  # the longest real ones have about 50
FUTURE_SECONDS = 86_400.0  # clocks and zones are wrong by hours; more than a day is an error or an announcement
_LEAST_SECONDS = -2_208_988_800.0  # 1900

# What Python's own reader reads as this module would, in a tenth of the time: most dates in Atom and sitemaps.
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-5][0-9](?:\.[0-9]{1,6})?)?(?:Z|[+-](?:0[0-9]|1[0-3]):?[0-5][0-9])?)?\Z"
)
_EPOCH = re.compile(r"[0-9]{10}(?:[0-9]{3})?\Z")
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[t ]?([0-9]{2})([0-9]{2})([0-9]{2})?)?(?![0-9])")
_TIME = re.compile(
    r"(?P<before>오전|오후|午前|午後|上午|下午)?\s?"
    r"(?<![0-9])(?P<hour>[0-9]{1,2})\s?(?:[:時时시]\s?|h(?=[0-9]))(?P<minute>[0-9]{2})[분分]?"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<part>[0-9]{1,9}))?|\s?(?P<second_named>[0-9]{1,2})[초秒])?"
    r"(?:\s?(?P<after>[ap])\.?\s?m\b\.?)?"
    r"|(?<![0-9])(?P<hour12>[0-9]{1,2})\s?(?P<after12>[ap])\.?m\b\.?"
)
_ZONE = re.compile(
    r"\s*\(?(?P<name>[a-z]{1,5}(?![a-z]))?\s?(?:(?P<sign>[+\-−])(?P<hours>[0-9]{1,2})(?::?(?P<minutes>[0-9]{2}))?(?![0-9]))?"
)
_YEAR_FIRST = re.compile(
    r"(?<![0-9])([0-9]{4})\s?[-/.年년]\s?([0-9]{1,2})(?:\s?[-/.月월]\s?([0-9]{1,2})(?![0-9])|\s?[月월]?\s*\Z)"
)
_YEAR_LAST = re.compile(r"(?<![0-9])([0-9]{1,2})([./-])\s?([0-9]{1,2})\2\s?([0-9]{4})(?![0-9])")
_WORD = re.compile(r"[0-9]+|(?:[^\W\d_]|[\u0900-\u0eff])+")

_ZONES = {
    name: round(hours * 60)
    for names, hours in (
        ("z ut utc gmt wet", 0), ("cet met mez bst west wat", 1), ("cest mest mesz eet sast cat", 2),
        ("eest msk trt eat", 3), ("gst", 4), ("pkt", 5), ("ist", 5.5), ("ict wib", 7), ("hkt sgt wita awst pht", 8),
        ("jst kst wit", 9), ("acst", 9.5), ("aest", 10), ("acdt", 10.5), ("aedt", 11), ("nzst", 12), ("nzdt", 13),
        ("ndt", -2.5), ("brt art adt", -3), ("nst", -3.5), ("edt ast clt", -4), ("est cdt pet cot et", -5),
        ("cst mdt ct", -6), ("mst pdt mt", -7), ("pst akdt pt", -8), ("akst", -9), ("hst", -10),
    )
    for name in names.split()
}  # fmt: skip
_KOREAN, _KOREAN_MINUTES = re.compile("[가-힣]"), 9 * 60

# A word with a star is the beginning of names; the others are whole names or abbreviations.
_MONTHS_AS_WRITTEN = (
    "jan* ene enero gen gennaio gener ian* jaanuar* yanvar* sijecnja sausio янв* яну* січ* ιαν* oca ocak sty"
    " styczen stycznia led leden ledna tammi* يناير جانفي جنوری ژانویه ינואר जनवरी जन जानेवारी জানুয়ারি"
    " জানুয়ারী มกราคม",
    "feb* fev* veebruar* veljace vasario shkurt* фев* лют* φεβ* sub subat lut luty lutego unor* helmi* فبراير"
    " فيفري شباط فروری فوریه פברואר फ़रवरी फरवरी फेब्रुवारी ফেব্রুয়ারি ফেব্রুয়ারী กุมภาพันธ์",
    "mar mars march marz* marc marco marca marcius marec martie marts mart mrz mrt maart maalis* marzec brez*"
    " ozujka kovo мар март* берез* μαρ* مارس آذار مارچ מרץ מרס मार्च মার্চ มีนาคม",
    "apr* avr* abr* prill* апр* квіт* απρ* nis nisan kwi* dub duben dubna huhti* travnja balandzio أبريل أفريل"
    " نيسان اپریل آوریل אפריל अप्रैल एप्रिल এপ্রিল เมษายน",
    "may mai maio mayo maj maja maijs maggio mag mei majus mayis maig touko* kvet* svibnja geguzes май мая мај"
    " трав* μαι* مايو ماي أيار مئی מאי मई মে พฤษภาคม",
    "jun* giu* juin juuni* iun* iyun* qershor* haz haziran cze czerwiec czerwca cerven cervna kesa* lipnja"
    " birzelio июн* юни черв* ιουν* ιον يونيو جوان حزيران جون ژوئن יוני जून জুন มิถุนายน",
    "jul* lug* juil* juuli* iul* iyul* korrik* tem temmuz lip lipiec lipca cervenec cervence heina* srpnja"
    " liepos июл* юли лип* ιουλ* ιολ يوليو يوليوز جويلية تموز جولائی ژوئیه יולי जुलाई जुलै জুলাই กรกฎาคม",
    "aug* ago* agu* aou* avgust* avqust* gusht* sie sierpnia sierpien srp* elo* kolovoza rugpjucio авг* серп*"
    " αυγ* أغسطس غشت أوت آب اگست اوت אוגוסט अगस्त ऑगस्ट আগস্ট สิงหาคม",
    "sep* set setembro settembre szept* sentabr* sentyabr* shtator* wrz* zari syys* eyl* rujna rugsejo сен*"
    " сеп* верес* σεπ* سبتمبر شتنبر أيلول ستمبر سپتامبر ספטמבר सितंबर सितम्बर सप्टेंबर সেপ্টেম্বর กันยายน",
    "oct* okt* out outubro ott* ekim eki paz pazd* rij* loka* tetor* spalio окт* жовт* οκτ* أكتوبر اکتوبر"
    " اکتبر אוקטובר अक्टूबर अक्तूबर ऑक्टोबर অক্টোবর ตุลาคม",
    "nov* noi* noyabr* nentor* lis listopad* kas kasim marras* studenog studenoga lapkricio ноя* ное* лист*"
    " νοε* نوفمبر نونبر نومبر نوامبر נובמבר नवंबर नवम्बर नोव्हेंबर নভেম্বর พฤศจิกายน",
    "dec* dez* dic* des desember desembre detsember* dekabr* dhjetor* gru* pros prosinec prosince prosinca"
    " joulu* ara aralik gruodzio дек* груд* δεκ* ديسمبر دجنبر دسمبر دسامبر דצמבר दिसंबर दिसम्बर डिसेंबर"
    " ডিসেম্বর ธันวาคม",
)
# Months of two words, as the Levant and Vietnam have them.
_TWO_WORDS = (("كانون الثاني", "jan"), ("تشرين الاول", "oct"), ("تشرين الثاني", "nov"), ("كانون الاول", "dec"))
_THANG = re.compile(r"\bthang ([1-9]|1[0-2])\b")
_ENGLISH = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_BUDDHIST_YEARS = 543  # Thai dates count from 543 BC; no date of ours is in the 25th century


# From Devanagari to Lao marks are vowels, and tell words apart.
_INDIC_FIRST, _INDIC_LAST = "\u0900", "\u0eff"


def _folded(text: str) -> str:
    """Lower case without accents, so that März, Marz and MÄRZ are one word; all digits as 0 to 9."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", text.casefold().replace("ı", "i"))
    kept = (_folded_char(c) for c in decomposed if unicodedata.category(c) != "Mn" or _INDIC_FIRST <= c <= _INDIC_LAST)
    return unicodedata.normalize("NFC", "".join(kept))


def _folded_char(char: str) -> str:
    """A digit of any script as ours; other characters are themselves."""
    digit = unicodedata.decimal(char, None)
    return char if digit is None else str(digit)


_NAMED = {
    _folded(word.rstrip("*")): (month, word.endswith("*"))
    for month, words in enumerate(_MONTHS_AS_WRITTEN, start=1)
    for word in words.split()
}
_LONGEST = max(map(len, _NAMED))


def read_date(text: str, *, day_first: Optional[bool] = None) -> Optional[float]:
    """Return a date as seconds since the epoch; None where it names no day.

    Args:
        text: as written in a feed, a page or an archive. What names no zone is read as UTC.
        day_first: whether the day stands before the month between slashes; None where nobody knows.
    """
    if _ISO.match(text):
        try:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        except ValueError:  # 24:00, and days that there are not
            pass
    return _read_any(text, day_first)


def date_seconds(
    written: str, warnings: list[str], *, read: Callable[[str], Optional[float]] = read_date
) -> Optional[float]:
    """Return a date as seconds since the epoch; None where nothing is written, and, flagged, where it is no date."""
    written = written.strip()
    seconds = read(written) if written else None
    if written and seconds is None:
        warnings.append("unreadable_date")
    return seconds


def believe_date(seconds: Optional[float], *, now_seconds: float, warnings: list[str]) -> Optional[int]:
    """Return a date as microseconds since the epoch, None where there is none; the future is now.

    Args:
        seconds: since the epoch, None where none was read.
        now_seconds: the time.
        warnings: gets future_date and implausible_date.
    """
    if seconds is None:
        return None
    if seconds > now_seconds + FUTURE_SECONDS:
        warnings.append("future_date")
        seconds = now_seconds
    if abs(seconds) < 86_400.0 or seconds < _LEAST_SECONDS:
        warnings.append("implausible_date")
        return None
    return round(seconds * 1_000_000)


def _read_any(text: str, day_first: Optional[bool] = None) -> Optional[float]:
    if len(text) > MOST_CHARS:
        return None
    text = _folded(" ".join(unicodedata.normalize("NFKC", text).split()))
    if _EPOCH.match(text):
        return int(text) / (1000.0 if len(text) == 13 else 1.0)
    try:
        return _read(text, day_first)
    except (ValueError, OverflowError):  # a day, hour or year that there is not
        return None


def _read(text: str, day_first: Optional[bool]) -> Optional[float]:
    compact = _COMPACT.match(text)
    if compact:
        year, month, day_of_month, *clock_read = (int(number) for number in compact.groups("0"))
        minutes, _ = _zone_after(text, compact.end())
        day = datetime(year, month, day_of_month, tzinfo=UTC)
        return (day + _clock(*clock_read) - timedelta(minutes=minutes)).timestamp()
    time = _TIME.search(text)
    if time is None:
        found = _day_of(text, day_first)
        return None if found is None else found.timestamp()
    minutes, end = _zone_after(text, time.end())
    half = time["after"] or time["after12"]
    if day_first is None and half is not None:
        day_first = False
    found = _day_of(f"{text[: time.start()]} {text[end:]}", day_first)
    if found is None:
        return None
    hour = int(time["hour"] or time["hour12"])
    if (half == "p" or time["before"] in {"오후", "午後", "下午"}) and hour < 12:
        hour += 12
    elif (half == "a" or time["before"] in {"오전", "午前", "上午"}) and hour == 12:
        hour = 0
    second = int(time["second"] or time["second_named"] or 0)
    clock = _clock(hour, int(time["minute"] or 0), second, int((time["part"] or "0").ljust(6, "0")[:6]))
    return (found + clock - timedelta(minutes=minutes)).timestamp()


def _clock(hour: int, minute: int, second: int, micros: int = 0) -> timedelta:
    """The time of a day; 24:00 is the end of it, and a leap second its last whole one."""
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and minute + second > 0):
        raise ValueError(hour, minute, second)
    return timedelta(hours=hour, minutes=minute, seconds=min(second, 59), microseconds=micros)


def _zone_after(text: str, at: int) -> tuple[int, int]:
    """The zone written at `at`, in minutes east of Greenwich, and where what is written of it ends."""
    zone = _ZONE.match(text, at)
    if zone is None or (zone["sign"] is None and zone["name"] not in _ZONES):
        return (_KOREAN_MINUTES if _KOREAN.search(text) else 0), at
    if zone["sign"] is None:
        return _ZONES[zone["name"]], zone.end()
    minutes = int(zone["hours"]) * 60 + int(zone["minutes"] or 0)
    if minutes > MOST_ZONE_MINUTES:
        return 0, zone.end()
    return minutes if zone["sign"] == "+" else -minutes, zone.end()


def _day_of(text: str, day_first: Optional[bool]) -> Optional[datetime]:
    found = _YEAR_FIRST.search(text)
    if found:
        return datetime(int(found[1]), int(found[2]), int(found[3] or 1), tzinfo=UTC)
    found = _YEAR_LAST.search(text)
    if found:
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        if second > 12 or (found[2] == "/" and first <= 12 and day_first is False):
            first, second = second, first
        elif found[2] == "/" and first <= 12 and first != second and day_first is None:
            return None
        return datetime(year, second, first, tzinfo=UTC)
    if not text.isascii():
        for words, month in _TWO_WORDS:
            text = text.replace(words, month)
    text = _THANG.sub(lambda found: _ENGLISH[int(found[1]) - 1], text)
    return _named_day(_WORD.findall(text))


def _named_day(words: list[str]) -> Optional[datetime]:
    """The day that a month's name and the numbers around it name: 2 March 2026, March 2, 2026, 2026 March 2."""
    months = [(at, month) for at, word in enumerate(words) if (month := _month_of(word))]
    if not months:
        return None
    # "mar., 3 mars" is a Tuesday: a day of the week stands in front of the number.
    at, month = next(((at, month) for at, month in months if _is_day(_number_before(words, at))), months[0])
    years = [word for word in words if len(word) == 4 and word.isdigit()]
    before, after = _number_before(words, at), [word for word in words[at + 1 :] if word.isdigit()]
    if not years:
        # Two digits are a year only where mail writes them: 2 Mar 26.
        if not _is_day(before) or not after or len(after[0]) != 2:
            return None
        return datetime(int(after[0]) + (2000 if int(after[0]) < 50 else 1900), month, int(before), tzinfo=UTC)
    day = before if _is_day(before) else next((number for number in after if number != years[0]), "")
    year = int(years[0])
    year -= _BUDDHIST_YEARS if year >= 2400 else 0
    return datetime(year, month, int(day), tzinfo=UTC) if _is_day(day) else None


def _is_day(number: str) -> bool:
    return 0 < len(number) <= 2 and 1 <= int(number) <= 31


def _number_before(words: list[str], at: int) -> str:
    """The number in front of a month, past words such as de, of, er and nd; "" where there is none."""
    for word in reversed(words[max(0, at - 3) : at]):
        if word.isdigit():
            return word
        if len(word) > 2:
            break
    return ""


def _month_of(word: str) -> int:
    month, _ = _NAMED.get(word, (0, False))
    if not month and word[0] == "ב":  # Hebrew writes "in January" as one word
        month, _ = _NAMED.get(word[1:], (0, False))
    for length in range(min(len(word) - 1, _LONGEST), 2, -1):
        if month:
            break
        found, is_beginning = _NAMED.get(word[:length], (0, False))
        month = found if is_beginning else 0
    return month
