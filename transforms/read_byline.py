"""Bylines to names: what a page states as its author, or shows beneath its headline, in many languages.

Decisions:
    What is stated (JSON-LD, meta elements) is believed to be names, and only what is none goes: "By" and its like,
    addresses, roles ("Lena Ruud, Political Editor"), the agency's or author's code in brackets, "for The Post".

    What is shown must look like a byline: a word that says so, then names of two words or more, each with a capital.
    A line that begins with "By" is as often a sentence.

    Words that join names are also parts of names (Ortega y Gasset, Costa e Silva): they part only what has two words on
    either side.

    A desk, an agency or the paper is an author only where nobody else is named (`is_desk`).

Limits: names keep their order and case; "Ruud, Lena" is two names unless the caller knows better.
"""

import re

MOST_CHARS = 300  # of a byline; what is longer is a text
MOST_NAME_CHARS = 80
MOST_NAME_WORDS = 10
MOST_VISIBLE_WORDS = 5  # of a name that only its place on the page says to be one

_MAIL = re.compile(r"[^\s@<>()\[\],;:/]{1,64}@[^\s@<>()\[\],;/]{2,120}|(?<![^\s(])@\w{1,40}")
_ADDRESS = re.compile(r"https?://|\bwww\.|\.(?:com|org|net|html?|php)\b", re.IGNORECASE)
_WHOLE_IN_BRACKETS = re.compile(r"\s*[(（]([^()（）]{1,80})[)）]\s*")
_IN_BRACKETS = re.compile(r"[(（\[][^()（）\[\]]{0,60}[)）\]]")
# A preposition, after a word for what it is that was written; or a word for whoever wrote it, mostly with a colon.
_BY = re.compile(
    r"(?:"
    r"(?:view |see |read )?(?:all |more )?(?:(?:words|text|stor(?:y|ies)|report(?:ed|ing)?|articles?|posts?|posted|"
    r"opinion|analysis|comment|review|interview|written|published|created|submitted|contributed) )?by"
    r"|(?:zeige )?(?:alle )?(?:beiträge|artikel) von|(?:voir )?tous les articles (?:de|par)|"
    r"(?:ver )?todas las entradas (?:de|por)|(?:visualizza )?tutti gli articoli di|(?:ver )?todos os posts de|"
    r"(?:bekijk )?alle berichten van"
    r"|(?:eine? [^\W\d]{3,30} |(?:text|kommentar|analyse|interview|bericht|reportage|verfasst|geschrieben) )?von"
    r"|(?:propos recueillis |publié |écrit |rédigé |texte )?par"
    r"|(?:escrito |publicado |texto )?por|(?:a cura |articolo |testo |intervista )?di|scritto da"
    r"|(?:geschreven )?door|(?:skrevet |skriven |tekst |text )?a[vf]|przez|(?:ditulis )?oleh|bởi|द्वारा"
    r"|(?:text[eo]?|tekst|words|authors?|auto(?:r|re|res|rin|ren|ra|ras|rka|ři)|auteurs?|verfasser(?:in)?|forfatter|penulis|"
    r"tác giả|yazan|yazar|muhabir|haber|автор(?:ы|и|ка)?|текст|беседовал[аи]?|подготовил[аи]?|записал[аи]?|"
    r"بقلم|كتبت?|إعداد|लेखक|लेखिका|रिपोर्ट|"
    r"作者|文字?|撰文|采写|(?:本报|本報|特约)?(?:记者|記者)|取材・文|執筆|筆者|著者|글|글쓴이)(?=\s|[:：/／=＝-])"
    r")(?:\s*[:：/／=＝]\s*|\s+[-–—]\s+|\s+|\Z)",
    re.IGNORECASE,
)
_NAME_TOO = frozenset(["di", "von", "av", "af", "por", "par", "by"])  # "Di Holm" is somebody, "di Lena Holm" a byline
_PICTURES = re.compile(
    r"(?:©|\(c\)|cc by|"
    r"photo|foto|fotó|image|picture|illustration|video|camera|graphic|bild|grafik|zdjęci|фото|видео|تصوير|फोटो|摄影|撮影|사진)",
    re.IGNORECASE,
)
_OTHERS_WORK = re.compile(
    r"(?:edit(?:ed|ing)|translat(?:ed|ion)|additional reporting|with additional reporting) by|(?:with )?files from|"
    r"redigiert von|übersetzt von|traduit par|traducido por|tradotto da",
    re.IGNORECASE,
)
_PARTED = re.compile(
    r"\s*(?:\s[-–—]\s|[;|•、，،,/](?:\s(?:and|und|et|y|e|&)\s)?|\s(?:and|und|et|avec|with|mit|con|com|&|और|एवं|và)\s|(?<=[가-힣])[·ㆍ](?=[가-힣]))\s*",
    re.IGNORECASE,
)
_JOINED = re.compile(r"\s(?:y|e|i|en|og|och|ve|и|і|та|dan|ja|a|και|și|و)\s", re.IGNORECASE)
_EDGES = " .,;:|-–—\"'“”„«»*•·_＝=\u200b"
_SUFFIX = re.compile(r"(?:Jr|Sr|II|III|IV)\.?", re.IGNORECASE)
_DEGREE = re.compile(r"(?:ph\.?d|m\.?d|mph|mba|esq|cfa|cpa|msc|m\.?a|b\.?a|j\.?d|d\.?phil|rn)\.?", re.IGNORECASE)
_FOR_WHOM = re.compile(
    r"\s(?:[Ff]or|für|pour|para|in|aus|from|à|reporting)\s(?:[Tt]he |die |der |das |le |la )?(?=[^\W\d_a-zа-я])"
)
_NOT_IN_NAMES = re.compile(r"[:{}<>=]")
_SHORT_AT_END = re.compile(r"\s[^\W\d_]{1,2}\.\Z")
_ROLE_BEHIND = re.compile(r"(?<=\w)\s?(?:记者|記者|特派員|論説委員|(?:선임|인턴|객원|전문)?기자|특파원|통신원)\Z")
_NOBODY = frozenset((
    "admin", "administrator", "superuser", "super user", "siteadmin", "publisher", "no author", "no byline",
    "root", "webmaster", "user", "guest", "null", "none", "undefined", "unknown", "anonymous", "n/a", "na",
    "author", "autor", "auteur", "by", "von", "test", "false", "true",
))  # fmt: skip
_ROLE = re.compile(
    r"(?:editors?|correspondents?|reporters?|writers?|columnists?|journalists?|producers?|analysts?|contributors?|chief|"
    r"redakteur(?:in)?|chefredakteur(?:in)?|korrespondent(?:in)?|reporterin|rédact(?:eur|rice)|journaliste|"
    r"correspondante?|grand reporter|periodista|redactora?|corresponsal|editora?|giornalista|inviat[oa]|corrispondente|"
    r"jornalista|repórter|correspondente|verslaggever|redacteur|muhabiri?|editörü?|yazarı?|dziennikarz|wartawan|"
    r"(?:корреспондент|журналист|редактор|обозреватель)\w{0,4}|кореспондент\w{0,4}|مراسلة?|محررة?|صحفية?|संवाददाता|रिपोर्टर)",
    re.IGNORECASE,
)
_WORD = re.compile(r"(?:[^\W_]|[’'\u0900-\u0eff])+")
_DESK = re.compile(
    r"(?:news|newsroom|newsdesk|newswire|desk|staff|editorial|agenc(?:y|ies)|agence|agencias?|agenzi[ae]|agentur(?:en)?|"
    r"ajansı?|redazione|redacci[oó]n|r[ée]daction|reda[çc][ãa]o|redactie|redaktion(?:en)?|\w{2,20}redaktion|redaksjon(?:en)?|"
    r"redaksi|toimitus|redakcja|redakce|редакци[яи]|редакція|новости|merkezi|team|online|nachrichten|noticias|notizie|"
    r"هيئة|تحرير|التحرير|وكالات|متابعات|डेस्क|ब्यूरो|एजेंसी|टीम)",
    re.IGNORECASE,
)
_DESK_WITHIN = re.compile(
    r"associated press|press association|canadian press|agence france|(?:编辑|編集|編輯|편집)(?:部|국|부)|뉴스팀|"
    r"通讯社|通信社|新闻网|新聞社|日报|日報",
    re.IGNORECASE,
)
_AGENCIES = frozenset((
    "AP", "AFP", "dpa", "DPA", "SID", "epd", "KNA", "APA", "sda", "SDA", "ATS", "UPI", "PTI", "ANI", "IANS", "EFE",
    "ANSA", "AGI", "Adnkronos", "Lusa", "Belga", "ANP", "NTB", "Ritzau", "TT", "STT", "PAP", "ČTK", "MTI", "TASS",
    "Reuters", "REUTERS", "Bloomberg", "Xinhua", "Kyodo", "Jiji", "Yonhap", "Antara", "Bernama", "AAP", "WAM", "SPA",
    "KUNA", "AA", "DHA", "İHA", "ТАСС", "Интерфакс", "РИА", "УНИАН", "Укринформ", "رويترز", "भाषा", "新华社",
    "연합뉴스",
))  # fmt: skip
_LOGIN = re.compile(r"[a-z0-9_.-]+", re.ASCII)
_COMPANY = re.compile(r"\s(?:g?mbh|ag|kg|inc|ltd|llc|corp|plc|s\.p\.a|e\.\s?v)\.?\Z", re.IGNORECASE)
_PARTICLES = frozenset((
    "de", "del", "della", "di", "da", "do", "dos", "das", "du", "des", "van", "von", "vom", "der", "den", "zu", "zur",
    "la", "le", "el", "al", "bin", "bint", "ibn", "ben", "y", "e", "i", "ter", "ten", "af", "av", "of", "und", "dela",
    "san",
))  # fmt: skip
# A number, a sign that parts, a day of the week before its date, a label of what follows.
_END_OF_NAMES = re.compile(
    r"[\d\n·•|]|\s[-–—]\s|[（(]|\s(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|(?:Mon|Diens|Donners|Frei|Sams|Sonn)tag|"
    r"Mittwoch)[,.]?\s|\s[^\W\d_]{2,20}:"
)
_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{2,6}|[가-힣]{2,4}")
_CHINESE_LABEL = re.compile(r"(?:作者|记者|記者|撰文|采写)\s?[:：]")  # after the date and the source
_KOREAN_LINE = re.compile(r"[가-힣]{2,4}(?:[·ㆍ, ]{1,2}[가-힣]{2,4}){0,3}\s(?:선임|인턴|객원|전문)?기자(?!\w)")


def names_in(stated: str) -> list[str]:
    """Return the names in what a page states as its author, one line without markup; [] where it names nobody."""
    if not stated or len(stated) > MOST_CHARS:
        return []
    bare = _MAIL.sub(" ", stated)
    if _ADDRESS.search(bare):
        return []
    whole = _WHOLE_IN_BRACKETS.fullmatch(bare)
    bare = _without_by(" ".join((whole[1] if whole else _IN_BRACKETS.sub(" ", bare)).split()))
    names: list[str] = []
    for piece in _PARTED.split(bare):
        for name in _parted_where_both_are_names(piece):
            if name and _SUFFIX.fullmatch(name) and names:
                names[-1] += f", {name}"
            elif not _PICTURES.match(name) and not _OTHERS_WORK.match(name):
                names.append(_bare_name(name))
    names = [name for name in names if _is_name(name)]
    people = [name for name in names if not any(_ROLE.fullmatch(word) for word in _WORD.findall(name))]
    return without_repeats(people or names)


def visible_names(line: str, *, is_byline: bool = False) -> list[str]:
    """Return the names in a line of text that stands beside a headline; [] where it is no byline.

    Args:
        line: one line without markup.
        is_byline: whether the page's markup says that it is a byline; else the line itself must.
    """
    line = line.strip()
    if len(line) > MOST_CHARS or _PICTURES.match(line):
        return []
    chinese = _CHINESE_LABEL.search(line)
    if chinese:
        line = line[chinese.start() :]
    korean = _KOREAN_LINE.match(line)
    by = _BY.match(line)
    if not (korean or by or is_byline):
        return []
    rest = korean.group() if korean else line[by.end() if by else 0 :]
    end = _END_OF_NAMES.search(rest)
    names = names_in(rest[: end.start()] if end else rest)
    if not is_byline and any(len(name.split()) > MOST_VISIBLE_WORDS for name in names):
        return []  # a sentence, or a list of other stories
    return [name for name in map(_without_what_follows, names) if _looks_like_a_name(name)]


def says_by(label: str) -> bool:
    """Whether a label, such as "Written by", announces an author."""
    return _BY.fullmatch(label.strip()[:MOST_CHARS]) is not None


def is_desk(name: str) -> bool:
    """Whether a name is that of a desk, an agency, a company or a login, and not of a person."""
    words = _WORD.findall(name)
    return (
        not words
        or words[0] in _AGENCIES
        or _LOGIN.fullmatch(name) is not None
        or _COMPANY.search(name) is not None
        or any(_DESK.fullmatch(word) or _ROLE.fullmatch(word) for word in words)
        or _DESK_WITHIN.search(name) is not None
    )


def without_repeats(names: list[str]) -> list[str]:
    """Return each name once, as it is written with the fewest capitals."""
    kept: dict[str, str] = {}
    for name in names:
        known = kept.setdefault(name.casefold(), name)
        if known.isupper() and not name.isupper():
            kept[name.casefold()] = name
    return list(kept.values())


def _without_by(text: str) -> str:
    text = text.strip(_EDGES.replace(".", ""))
    found = _BY.match(text)
    if not found:
        return text
    rest = text[found.end() :]
    word = found.group().strip()
    if word.casefold() in _NAME_TOO - {"by"} and word[0].isupper() and rest and " " not in rest:
        return text
    return rest


def _parted_where_both_are_names(piece: str) -> list[str]:
    for found in _JOINED.finditer(piece):
        left, right = piece[: found.start()], piece[found.end() :]
        if " " in left.strip() and " " in right.strip():
            return [left, *_parted_where_both_are_names(right)]
    return [piece]


def _bare_name(piece: str) -> str:
    name = _without_by(piece)
    for_whom = _FOR_WHOM.search(name)
    if for_whom and " " in name[: for_whom.start()].strip():
        name = name[: for_whom.start()]
    name = _ROLE_BEHIND.sub("", name).strip(_EDGES.replace(".", "")).lstrip(".")
    # The dot is a sentence's behind a word, and the name's own behind "Jr" or "C".
    return name if _SHORT_AT_END.search(name) else name.rstrip(".").strip(_EDGES)


def _is_name(name: str) -> bool:
    return (
        1 < len(name) <= MOST_NAME_CHARS
        and len(name.split()) <= MOST_NAME_WORDS
        and not _NOT_IN_NAMES.search(name)
        and any(char.isalpha() for char in name)
        and name.casefold() not in _NOBODY
        and not _DEGREE.fullmatch(name)
    )


def _without_what_follows(name: str) -> str:
    """A name without the small words that lead to a date, and once where a picture's text says it as well."""
    words = name.split()
    while words and (words[-1] in _PARTICLES or not any(char.isalpha() for char in words[-1])):
        words.pop()
    half = len(words) // 2
    return " ".join(words[:half] if half and words[:half] == words[half:] else words)


def _looks_like_a_name(name: str) -> bool:
    """Two to five words, each with a capital where its script has any; or two to six letters of East Asia."""
    if _EAST_ASIAN.fullmatch(name):
        return True
    words = name.split()
    if not 2 <= len(words) <= MOST_VISIBLE_WORDS or any(char.isdigit() for char in name):
        return False
    return all(word[0].isupper() or word in _PARTICLES or word[0] == word[0].upper() for word in words) and any(
        word not in _PARTICLES for word in words[1:]
    )
