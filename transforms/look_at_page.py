"""What can be seen of a page at a glance: its head, its headings, how much text it has. A room of fetch_pages.

Decisions:
    This runs on the event loop for every page, so it must be cheap and cannot be led astray: no tree is built, each
    pass goes forward only, and a page of a million characters costs as much as one of ten million. Of a page whose
    head declares an article, as nine in ten do, or with much text only the head is read: neither is ever a wall.

    Scripts, styles and comments are taken out first: what they hold is nothing that the page says.

    Text counts by weight: a Chinese, Japanese or Korean character says as much as about three Latin letters.

Limits: an unclosed script hides the rest of the page, as in browsers. Single quotes around a ">" are not understood.
"""

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Optional

MOST_CHARS = 1_000_000
MOST_TAGS = 6_000
MUCH_TEXT = 4_000  # weight in runs of text; no wall that was seen has as much, hardly a report has less
BLOCK_WEIGHT = 60  # from here on a block is a sentence, not a label
_MOST_TEXT = 4_000
_MOST_SCRIPT = 4_000
_MOST_HEAD = 50_000  # of a page that has none: what is read as if it were one
_HEAD_BYTES = 128 * 1024  # what is decoded first; most heads end within
_MOST_ATTRIBUTES = 8_000

_HIDDEN = re.compile(r"<(?:!--|(script|style)\b)", re.IGNORECASE)
_ENDS = {
    "": re.compile("-->"),
    "script": re.compile(r"</script\b", re.IGNORECASE),
    "style": re.compile(r"</style\b", re.IGNORECASE),
}
_RUN = re.compile(r">([^<>]{40,})<")
_HEAD_ENDS = re.compile(r"</head\b|<body\b", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})")
_ATTRIBUTE = re.compile(
    r"(?<![a-zA-Z0-9:._-])([a-zA-Z:_-][a-zA-Z0-9:._-]{0,40})\s{0,9}=\s{0,9}(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>]{1,2000}))"
)
_DENSE = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_INLINE = frozenset((
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "mark", "q", "s", "small", "span", "strong",
    "sub", "sup", "time", "u", "wbr",
))  # fmt: skip
_CHARSET = re.compile(rb"charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([A-Za-z0-9_:.\-]{2,40})", re.IGNORECASE)
_DECLARES = re.compile(
    r"\"@type\"\s{0,9}:\s{0,9}\[?\s{0,9}\"[A-Za-z]{0,20}(?:Article|BlogPosting)\""
    r"|schema\.org/[A-Za-z]{0,20}(?:Article|BlogPosting)\b"
)


@dataclass
class Look:
    """What a page shows.

    `metas` by name or property in lower case; `refreshes` are the contents of meta refresh, with whether they stand in
    a noscript; `weight` is that of all text outside links, `story` that of its sentences. Of a page that is declared or
    has much text (`story` >= MUCH_TEXT) only what its head says is filled in.
    """

    metas: dict[str, list[str]] = field(default_factory=dict)
    title: str = ""
    h1: list[str] = field(default_factory=list)
    h2: list[str] = field(default_factory=list)
    buttons: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    canonical: Optional[str] = None
    refreshes: list[tuple[str, bool]] = field(default_factory=list)
    scripts: str = ""
    text: str = ""
    weight: int = 0
    story: int = 0
    has_password: bool = False
    is_declared: bool = False  # it says itself that it is an article; JSON-LD is asked only where there is little text

    @property
    def headings(self) -> list[str]:
        """The first level of headings that there is."""
        return self.h1 or self.h2


def look_at(body: bytes, content_type: Optional[str]) -> Look:
    """Return what can be seen of a page; raises nothing, whatever the bytes are."""
    html = _characters(body[:_HEAD_BYTES], content_type)
    look, has_end = _look_at_head(html)
    if len(body) > _HEAD_BYTES and not (has_end and look.is_declared):
        html = _characters(body[: 2 * MOST_CHARS], content_type)[:MOST_CHARS]
        look = look if has_end else _look_at_head(html)[0]
    if look.is_declared:
        return look
    shown, scripts = _without_hidden(html)
    story = sum(map(len, _RUN.findall(shown)))
    look.story = story if story >= MUCH_TEXT else 0
    look.is_declared = not look.story and _DECLARES.search(html) is not None
    if not look.story and not look.is_declared:
        look = Look(scripts=scripts)
        _read_tags(shown, look, look)
        look.is_declared = _says_article(look)
    return look


def _look_at_head(html: str) -> tuple[Look, bool]:
    """Return what the head of a page says, and whether it ends within `html`."""
    shown, _ = _without_hidden(html, until=_HEAD_ENDS)
    end = _HEAD_ENDS.search(shown)
    look = Look()
    _read_tags(shown[: end.start() if end is not None else _MOST_HEAD], Look(), look)
    look.is_declared = _says_article(look)
    return look, end is not None


def _says_article(look: Look) -> bool:
    kinds = look.metas.get("og:type", ())
    return "article:published_time" in look.metas or any(kind.strip().lower().startswith("article") for kind in kinds)


def weight_of(text: str) -> int:
    """Return how much `text` says, in Latin letters."""
    return len(text) + 2 * len(_DENSE.findall(text))


def _characters(body: bytes, content_type: Optional[str]) -> str:
    """The words that are looked for must be readable; what is not is of no importance here."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return body.decode("utf-16", "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start > len(body) - 4:  # cut in the middle of a character
            return body.decode("utf-8", "replace")
    declared = _CHARSET.search((content_type or "").encode("ascii", "replace")) or _CHARSET.search(body[:4096])
    try:
        return body.decode(declared[1].decode("ascii") if declared else "utf-8", "replace")
    except (LookupError, UnicodeError):
        return body.decode("utf-8", "replace")


def _without_hidden(html: str, *, until: Optional[re.Pattern[str]] = None) -> tuple[str, str]:
    """Return the page without scripts, styles and comments, and the start of its scripts that run.

    With `until`, at least as far as what it matches outside of those.
    """
    shown: list[str] = []
    scripts: list[str] = []
    at = kept = 0
    while (opening := _HIDDEN.search(html, at)) is not None:
        shown.append(html[at : opening.start()])
        if until is not None and until.search(shown[-1]) is not None:
            return "".join(shown), "\n".join(scripts)
        kind = (opening[1] or "").lower()
        end = _ENDS[kind].search(html, opening.end())
        inside = html[opening.end() : end.start() if end is not None else len(html)]
        if kind == "script" and kept < _MOST_SCRIPT:
            scripts.append(inside.partition(">")[2][: _MOST_SCRIPT - kept])
            kept += len(scripts[-1])
        if end is None:
            return "".join(shown), "\n".join(scripts)
        at = end.end()
        if kind:
            at = html.find(">", at) + 1 or len(html)
    shown.append(html[at:])
    return "".join(shown), "\n".join(scripts)


def _read_tags(html: str, look: Look, head: Look) -> None:
    """Fill `look` with what the tags of `html` say; what belongs to a head into `head`."""
    captured: dict[str, list[str]] = {}  # the text of the open title, heading or button
    block: list[str] = []
    texts: list[str] = []
    in_link = in_noscript = False
    at = 0
    for _ in range(MOST_TAGS):
        opening = _TAG.search(html, at)
        text = _plain(html[at : opening.start() if opening is not None else len(html)])
        if text:
            for held in captured.values():
                held.append(text)
            if "title" not in captured:
                texts.append(text)
                if not in_link:
                    block.append(text)
        name = opening[2].lower() if opening is not None else "body"
        if name not in _INLINE and block:
            weight = weight_of(" ".join(block))
            look.weight += weight
            look.story += weight if weight >= BLOCK_WEIGHT else 0
            block.clear()
        if opening is None:
            break
        end = _end_of_tag(html, opening.end())
        inside, at = html[opening.end() : end][:_MOST_ATTRIBUTES], end + 1
        if name == "a":
            in_link = not opening[1]
        elif name == "noscript":
            in_noscript = not opening[1]
        if opening[1]:
            held = captured.pop(name, [])
            _keep(name, " ".join(held), look, head)
        elif name in ("title", "h1", "h2", "button"):
            captured[name] = []
        if not opening[1] and name in ("meta", "link", "a", "input"):
            _note(name, _attributes(inside), in_noscript, look, head)
    look.text = " ".join(texts)[:_MOST_TEXT]


def _keep(name: str, text: str, look: Look, head: Look) -> None:
    if name == "title":
        head.title = head.title or text[:500]
    elif name == "button" and text:
        look.buttons.append(text[:200])
    elif name in ("h1", "h2") and text and len(look.h1) + len(look.h2) < 40:
        (look.h1 if name == "h1" else look.h2).append(text[:500])


def _note(name: str, said: dict[str, str], in_noscript: bool, look: Look, head: Look) -> None:
    if name == "meta":
        if said.get("http-equiv", "").strip().lower() == "refresh":
            head.refreshes.append((said.get("content", ""), in_noscript))
        for key in {said.get("name", "").strip().lower(), said.get("property", "").strip().lower()} - {""}:
            head.metas.setdefault(key, []).append(said.get("content", ""))
    elif name == "link":
        if "canonical" in said.get("rel", "").lower().split() and head.canonical is None:
            head.canonical = said.get("href")
    elif name == "a":
        if said.get("href") and len(look.links) < 200:
            look.links.append(said["href"])
    elif said.get("type", "").lower() == "password":
        look.has_password = True
    elif said.get("type", "").lower() in ("submit", "button") and said.get("value"):
        look.buttons.append(said["value"][:200])


def _end_of_tag(html: str, start: int) -> int:
    """Return where the tag ends: the first ">" outside double quotes, looked for in a few places only."""
    first = end = html.find(">", start)
    for _ in range(8):
        if end < 0:
            break
        if html.count('"', start, end) % 2 == 0:
            return end
        end = html.find(">", end + 1)
    return first if first >= 0 else len(html)


def _attributes(inside: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(inside):
        said.setdefault(name.lower(), unescape(double or single or bare))
    return said


def _plain(text: str) -> str:
    return " ".join(unescape(text).split()) if text and not text.isspace() else ""
