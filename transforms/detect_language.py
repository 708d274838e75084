"""Which language a text is in, where the page does not say or says what cannot be.

Decisions:
    A guess that can say "I do not know" is worth more than one that is always something: the language steers cruft
    rules and copy detection, and None switches them to what holds in every language. Scripts decide alone where they
    belong to one language; in the Latin, Cyrillic and Arabic scripts the commonest words of each language are
    counted, and the winner needs a share of the words that running prose always has and a clear lead.

    What the page declares wins unless the text contradicts it: another script, or another language's common words
    with a clear lead while its own are all but absent. Templates that declare "en" everywhere are common.

Limits: languages without a list here are never guessed, only believed when declared; close relatives (Bosnian and
Croatian, Malay and Indonesian) are not told apart. Mixed pages get the language of most of their words.
"""

import re
from collections import Counter
from typing import Optional

_SAMPLE_CHARS = 3000  # beyond that the shares no longer move
_MIN_LETTERS = 20
_MIN_WORDS = 25  # below, one quotation decides
_SURE_SHARE = 0.14  # running prose has 25-45 % common words; lists and names fall below 10 %
_LEAD = 1.5  # winner over runner-up: relatives such as es and pt share about half of their common words
_CONTRADICTED = 3.0

_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")

# The commonest words of each language, those with several meanings across languages included: the lead decides.
_COMMON_WORDS = {
    "en": """
    the of and to in a is that for it was on with as be at by this have from or had not are but which they his he
    were been their has an will would who more said its after about when there what you we she her
    """,
    "de": """
    der die das und in zu den ist von mit sich des auf für im dem nicht ein eine als auch es an werden aus er hat
    dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis
    mehr durch
    """,
    "fr": """
    de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec son ont aux d
    l mais cette comme ou été était ses elle nous vous leur fait être deux même aussi sans après
    """,
    "es": """
    de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque esta
    entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante fue era ha son
    """,
    "pt": """
    de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou
    ser quando muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo aos
    """,
    "it": """
    di e il la che in un a per è una sono del con non si da le dei i al nel come più della alla lo anche ma gli ha
    delle degli nella dal dalla ed su o questo tra stato essere hanno se cui sul era dopo suo sua
    """,
    "nl": """
    de van het een en in is dat op te zijn met voor niet aan er om ook als dan maar bij uit nog door naar heeft ze
    wordt hij over tot deze of meer je was worden die wel geen hebben al kan dit zich werd
    """,
    "sv": """
    och i att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan när nu
    efter också vid mot ut skulle under hade eller ska sedan över blir alla bara mellan
    """,
    "da": """
    og i at det er en til på som for med den de af der ikke har et om var han men sig jeg fra vi så kan når nu efter
    også ved mod ud skal blev hvor være hun over mere blevet havde eller siger ville
    """,
    "no": """
    og i det er på som en til å av for at med de ikke den har om et var han men seg jeg fra vi så kan når nå etter
    også ved mot ut skal ble hvor være hun over mer blitt hadde eller sier ville noe
    """,
    "fi": """
    ja on ei että se oli hän mutta ovat kun niin myös mukaan joka sen ole kuin hänen vuonna tai jos voi sitä mitä
    olisi vielä ollut tämä vain nyt sekä jälkeen kanssa jo ennen mukana
    """,
    "pl": """
    w i na z się do nie jest to że o jak a po za od przez dla są ale czy by ma już tym tego jego które który oraz
    także był było co ich tylko może będzie przed być ze roku
    """,
    "cs": """
    a v se na je že to s z do o i ve jako pro za by ale k po která který si jsou od jeho podle byl také jen při aby
    už bude však tak roce když bylo není nebo mezi
    """,
    "ro": """
    de și în a la cu pe nu că care din o mai un este să pentru au fi ce se sunt al fost lui ale dar prin după ca sau
    această între sa până foarte despre va lor
    """,
    "hu": """
    a az és hogy nem is egy van meg de ez már csak azt volt mint még el szerint után ha vagy pedig most lesz több
    sem lehet ezt kell között nagy minden ami aki
    """,
    "tr": """
    ve bir bu da de için ile olarak çok daha olan en sonra gibi kadar ise olduğu ancak ne var her değil o oldu yeni
    göre dedi ya diye şekilde iki yıl
    """,
    "id": """
    yang dan di dengan untuk dari pada ini itu dalam tidak adalah ke akan oleh juga telah karena saat ada bisa kata
    tersebut sudah para lebih kami menjadi atau seorang seperti
    """,
    "vi": """
    và của là có cho trong được với các không những một đã người này để khi từ đến về tại ra sẽ năm như cũng vào
    nhưng việc theo trên
    """,
    "ru": """
    и в на с не что по из как он к для за от его это но а о у так же все было до при после был году или только если
    она они также еще который уже были может
    """,
    "uk": """
    і в на з не що та до у за це як його для про від він але по а який під час також було після їх вона вони які або
    щоб ще був року має
    """,
    "bg": """
    и на в за да се от с че по не е са като до това при ще към беше който след или те той която без още което обаче
    само пред когато има през
    """,
    "sr": """
    и у је да на се за од са што не су о а као из до ће које који није по то али након он само или бити
    """,
    "ar": """
    في من على أن إلى عن التي الذي مع هذا هذه ما لا كان بعد كما قال بين وقد ذلك خلال حيث عام كل أو لم قبل إن وفي
    """,
    "fa": """
    و در به از که این را با است برای آن یک خود تا کرد بر هم نیز گفت شد می ها شده او اما باید کند دارد های بود
    """,
    "ur": """
    کے کی میں ہے اور سے کا کو پر نے کہ یہ ہیں کہا اس ایک بھی تھا نہیں جو تو ان کر ہو گیا تھے لیے گے
    """,
}
_LISTS = {language: frozenset(words.split()) for language, words in _COMMON_WORDS.items()}
_BY_SCRIPT = {
    "latin": tuple(
        ["en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "no", "fi", "pl", "cs", "ro", "hu", "tr", "id", "vi"]
    ),
    "cyrillic": ("ru", "uk", "bg", "sr"),
    "arabic": ("ar", "fa", "ur"),
}
# A script that one language has (almost) to itself in the news; Devanagari also writes Marathi and Nepali.
_LANGUAGE_OF_SCRIPT = {
    "greek": "el", "hebrew": "he", "devanagari": "hi", "bengali": "bn", "gurmukhi": "pa", "gujarati": "gu",
    "tamil": "ta", "telugu": "te", "kannada": "kn", "malayalam": "ml", "sinhala": "si", "thai": "th",
    "burmese": "my", "georgian": "ka",
    "ethiopic": "am", "khmer": "km", "armenian": "hy", "hangul": "ko", "kana": "ja", "han": "zh",
}  # fmt: skip
_ALSO_WRITTEN = {
    "devanagari": ("hi", "mr", "ne"),
    "bengali": ("bn", "as"),
    "hebrew": ("he", "yi"),
    "ethiopic": ("am", "ti"),
}
# Languages that are at home in a script, for those that have no word list; anything else may be in Latin letters.
_NOT_LATIN = {
    "cyrillic": frozenset(["ru", "uk", "bg", "sr", "be", "mk", "kk", "ky", "mn", "tg", "tt", "uz", "bs"]),
    "arabic": frozenset(["ar", "fa", "ur", "ps", "ku", "ckb", "sd", "ug"]),
    "han": frozenset(["zh", "ja", "yue"]),
    "kana": frozenset(["ja"]),
    "hangul": frozenset(["ko"]),
}
_ALSO_LATIN = frozenset(["sr", "bs", "uz", "ku", "kk", "tt"])
_NEVER_LATIN = frozenset(_LANGUAGE_OF_SCRIPT.values()).union(*_NOT_LATIN.values()) - _ALSO_LATIN
_RANGES = (
    (0x0041, 0x024F, "latin"), (0x0370, 0x03FF, "greek"), (0x0400, 0x052F, "cyrillic"),
    (0x0530, 0x058F, "armenian"), (0x0590, 0x05FF, "hebrew"), (0x0600, 0x077F, "arabic"),
    (0x08A0, 0x08FF, "arabic"), (0x0900, 0x097F, "devanagari"),
    (0x0980, 0x09FF, "bengali"), (0x0A00, 0x0A7F, "gurmukhi"), (0x0A80, 0x0AFF, "gujarati"), (0x0B80, 0x0BFF, "tamil"),
    (0x0C00, 0x0C7F, "telugu"), (0x0C80, 0x0CFF, "kannada"), (0x0D00, 0x0D7F, "malayalam"), (0x0D80, 0x0DFF, "sinhala"),
    (0x0E00, 0x0E7F, "thai"), (0x1000, 0x109F, "burmese"), (0x10A0, 0x10FF, "georgian"), (0x1200, 0x137F, "ethiopic"),
    (0x1780, 0x17FF, "khmer"), (0x1E00, 0x1EFF, "latin"), (0x1F00, 0x1FFF, "greek"), (0x3040, 0x30FF, "kana"),
    (0x3400, 0x9FFF, "han"), (0xAC00, 0xD7AF, "hangul"), (0xFB50, 0xFDFF, "arabic"), (0xFE70, 0xFEFF, "arabic"),
)  # fmt: skip
_TAG = re.compile(r"\s*([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{1,8}){0,4}\s*")
# Codes that name the same language as another (ISO 639-1 retired codes, Norwegian's two written forms).
_SAME = {
    "iw": "he",
    "in": "id",
    "ji": "yi",
    "nb": "no",
    "nn": "no",
    "sh": "sr",
    "jp": "ja",
    "cn": "zh",
    "cz": "cs",
    "ua": "uk",
}


def language_tag(declared: Optional[str]) -> Optional[str]:
    """Return the primary subtag of a language tag in lower case ("en-GB" -> "en"); None when it is none."""
    match = _TAG.fullmatch(declared or "")
    if match is None:
        return None
    code = match[1].lower()
    return None if code in ("und", "mul", "zxx", "xx", "xxx") else _SAME.get(code, code)


def detect_language(text: str) -> Optional[str]:
    """Return the ISO 639-1 code of the language `text` is written in; None when that is not clear."""
    script = _script_of(text)
    if script is None:
        return None
    if script in _LANGUAGE_OF_SCRIPT:
        return _LANGUAGE_OF_SCRIPT[script]
    shares = _shares(text, script)
    return shares[0][1] if shares and shares[0][0] >= _SURE_SHARE and shares[0][0] >= _LEAD * shares[1][0] else None


def choose_language(declared: Optional[str], text: str) -> Optional[str]:
    """Return the language of `text`: the declared one unless the text contradicts it, a guess where none is declared.

    Args:
        declared: what the page (or its feed) says, as a language tag; None when it says nothing.
        text: the article's text.
    """
    told = language_tag(declared)
    if told is None:
        return detect_language(text)
    script = _script_of(text)
    if script is None:
        return told
    if script in _LANGUAGE_OF_SCRIPT:
        belong = _NOT_LATIN.get(script) or frozenset(_ALSO_WRITTEN.get(script, (_LANGUAGE_OF_SCRIPT[script],)))
        return told if told in belong else _LANGUAGE_OF_SCRIPT[script]
    at_home = _NOT_LATIN.get(script)
    if told not in at_home if at_home else told in _NEVER_LATIN:
        return detect_language(text)
    shares = _shares(text, script)
    own = next((share for share, language in shares if language == told), None)
    if own is None:
        return told  # without a list of its own nothing can speak against it: Afrikaans would be Dutch
    best, guess = shares[0]
    return guess if best >= _SURE_SHARE and best >= _CONTRADICTED * own else told


def _script_of(text: str) -> Optional[str]:
    """Return the script of most letters; kana makes Japanese of a text that is mostly Han."""
    counts: dict[str, int] = {}
    for letter, times in Counter(_LETTER.findall(text[:_SAMPLE_CHARS])).items():
        script = _script_of_letter(letter)
        counts[script] = counts.get(script, 0) + times
    counts.pop("", None)
    total = sum(counts.values())
    if total < _MIN_LETTERS:
        return None
    east_asian = counts.get("han", 0) + counts.get("kana", 0)
    # One Han letter is about three Latin ones, so names in Latin letters must not outvote them.
    if east_asian * 3 >= total and east_asian:
        return "kana" if counts.get("kana", 0) * 10 >= east_asian else "han"
    script, most = max(counts.items(), key=lambda item: item[1])
    return script if most * 2 >= total else None


_LETTER_SCRIPTS: dict[str, str] = {}


def _script_of_letter(letter: str) -> str:
    known = _LETTER_SCRIPTS.get(letter)
    if known is None:
        point = ord(letter)
        known = next((script for low, high, script in _RANGES if low <= point <= high), "")
        _LETTER_SCRIPTS[letter] = known  # bounded by the letters of the ranges and the planes in use
    return known


def _shares(text: str, script: str) -> list[tuple[float, str]]:
    """Return, best first, which share of the words each language of `script` counts among its common ones."""
    words = _WORD.findall(text[:_SAMPLE_CHARS].lower())
    if len(words) < _MIN_WORDS:
        return []
    counts = Counter(words)
    shares = [(sum(counts[w] for w in counts.keys() & _LISTS[lang]) / len(words), lang) for lang in _BY_SCRIPT[script]]
    return sorted(shares, key=lambda share: (-share[0], share[1]))
