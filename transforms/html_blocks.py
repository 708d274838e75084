"""HTML to blocks of text in reading order, and what a page labels as something else than its story.

Decisions:
    One walk with an explicit stack, so that depth costs nothing but memory; elements whose content is never text are
    not entered. A line break splits a block: publishers separate paragraphs by <br> as often as poets separate lines,
    and two lines lost into one would be worse than one paragraph in two lines.

    Labels (class and id) are split into words and compared as words, not as substrings: "share" must not match
    "shareholders-meeting", nor "ad" "loading".

No Beam here: worker processes import this module.
"""

import re
from typing import Any, NamedTuple

# Never text of a page.
UNREAD_TAGS = frozenset((
    "applet", "audio", "base", "button", "canvas", "datalist", "dialog", "embed", "frame", "frameset", "head",
    "iframe", "input", "link", "map", "math", "meta", "noscript", "object", "option", "progress", "script",
    "select", "style", "svg", "template", "textarea", "title", "video",
))  # fmt: skip
# Pictures and their captions.
PICTURE_TAGS = frozenset(["figure", "figcaption", "picture", "img"])
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "img", "ins", "kbd", "label", "mark", "nobr", "picture", "q", "rb", "rp", "rt", "ruby", "s", "samp", "small",
    "source", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
))  # fmt: skip

# Words by which pages label what is not the story, seen across many publishing systems: single words where the word
# says it, pairs (two hyphens between them) where it takes two.
_OTHER_THAN_STORY = re.compile(
    r"-(?:"
    r"shar(?:e(?!--(?:price|value|capital|holder))|es|ing|ebar|ethis|edaddy)|social|socials|sociable|addthis"
    r"|addtoany|sharethis|related|relateds|recirc|recirculation|recommend|recommended|recommends|recommendation"
    r"|recommendations|recos?|newsletter|newsletters|subscribe|subscription|signup|sign--up|abo|promo|promos"
    r"|promotion|promobox|ad|ads|adv|advert|adverts|advertisement|advertising|adslot|adbox|sponsor|sponsored"
    r"|sponsors|werbung|anzeige|publicidad|pub|dfp|outbrain|taboola|plista|nativendo|comment(?!ar|at)[a-z]*"
    r"|disqus|discussion|respond|(?:leser|nutzer)?kommentare?|kommentar(?:bereich|liste|box)|comentarios?"
    r"|commentaires|commenti|reacties|yorumlar|caption|captions|credit|credits|copyright"
    r"|imagecaption|img--desc|bildunterschrift|excerpt|excerpts|profile|profiles|register|registration|byline"
    r"|bylines|author|authors|autor|autoren|writer|writers|auteur|bio|biography|contributors?|tags|taglist"
    r"|tag--list|topics|keywords|breadcrumb|breadcrumbs|crumbs|pagination|pager|pagenav|sidebar|rail"
    r"|right--rail|popup|modal|overlay|tooltip|lightbox|cookie|cookies|consent|gdpr|onetrust|piano|regwall"
    r"|login|signin"
    r"|paywall--(?:barrier|promo|offer|modal|overlay|box|message|teaser|hint|gate|cta|banner|notice)|footer|nav"
    r"|navigation|navbar|menu|topbar|toolbar|masthead|widget|gallery|slideshow|carousel|slider|swiper|playlist"
    r"|player|video|audio|podcast|jwplayer|brightcove|infogram|teaser|teasers|teaserlist|most--read"
    r"|most--popular|most--viewed|mostread|trending|popular|read--more|readmore|read--next|up--next|read--also"
    r"|also--read|more--on|more--from|more--stories|see--also|you--may|next--article|further|weiterlesen"
    r"|lesetipp|mehr--zum|mehr--zu|meta|metadata|dateline|timestamp|datetime|published|pubdate|publish--date"
    r"|publication--date|updated|reading--time|readtime|rating|ratings|poll|quiz|survey|feedback|reactions?"
    r"|vote|votes|print|printfriendly|download|app--promo|follow|followus|follow--us|hidden(?=-$)|disclaimer"
    r"|disclosure|affiliate|sr--only|screen--reader|visually--hidden|visuallyhidden|noprint|skip--link|infobox"
    r"|factbox|disrupt|toc|table--of--contents|donate|donation|membership|whatsapp|telegram|facebook|button|btn"
    r"|embed|embedded|instagram|twitter|tweet|tiktok|youtube|cta|postmetadata|post--footer|entry--footer"
    r"|entry--utility|post--utility|reviews|news--letter|image-{0,2}description|icaption"
    r"|link--?tipps|steady|citate|(?:suggested|how--to)--cit(?:ation|e)|interesting--articles|rss-{0,2}summary"
    r"|(?:img|image|images|picture|pic|photo|foto|bild|absatzbild|media)(?:--[a-z]+)?--(?:description|desc|info|infotext"
    r"|legende?)|pic--?box|ai--?(?:article--)?summary|(?:single|entry|article)--?postmeta|singlepostmeta|postmeta"
    r"|app--(?:hint|banner)|(?:auth|identity)--screen|identity--intro"
    r"|pushlayer|push--(?:layer|notifications?|message|banner)"
    r")-"
)
# Labels that stand on whole pages or on the story itself as often as on something else.
_ALSO_STORY = re.compile(
    r"-(?:article|story|post|entry|content|main|body|text)--"
    r"(?:body|text|content|main|wrapper|inner|container|page|paragraph|copy)-"
    r"|-(?:has|with|no|without|is|single|type)-"
)
# Not believed as soon as a notable part of the prose stands under them: they say how something looks or loads.
_LOOSE_LABELS = frozenset((
    "<form>", "audio", "author", "autor", "btn", "button", "byline", "carousel", "embed", "embedded", "factbox",
    "gallery", "header", "hidden", "infobox", "login", "meta", "modal", "overlay", "player", "poll", "popup",
    "print", "promo", "pub", "quiz", "rail", "right--rail", "sidebar", "slider", "slideshow", "swiper", "tags",
    "teaser", "toc", "tooltip", "topics", "video", "widget", "writer",
))  # fmt: skip
# Long threads and lists may outweigh a short story, so their weight proves nothing.
_FIRM_LABELS = frozenset((
    "<footer>", "comments", "consent", "cookie", "cookies", "discussion", "disqus", "excerpt", "excerpts", "gdpr",
    "newsletter", "onetrust", "outbrain", "plista",
    "recommendations", "recommended", "related", "respond", "taboola",
))  # fmt: skip
# Not even where a label speaks of text, content or a page as well, unless a notable part of the prose is there.
_NEVER_STORY = frozenset(("newsletter", "onetrust", "outbrain", "plista", "taboola"))
# Places beside or below a story, whatever stands there.
BESIDE_STORY = frozenset(("<aside>", "<footer>", "footer", "rail", "right--rail", "sidebar"))
_COMMENTS = re.compile(r"(?:leser|nutzer)?komm?entar|comm?ent|reacties|yorumlar")
_UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
# Spans for screen readers repeat or explain what stands beside them.
READ_ALOUD = frozenset(["sr--only", "screen--reader", "visually--hidden", "visuallyhidden"])
_HIDING_NAMES = frozenset(["hidden", "hide", "d-none", "is-hidden", "js-hidden", "u-hidden"])
_SHOWING_NAME = re.compile(r":(?:block|flex|grid|inline)|^d-\w\w-")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_UTILITY = re.compile(r"[:\[\]/]")  # "print:hidden", "w-1/2": how it looks on some screens, not what it is
_MOST_LABEL_CHARS = 400
HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])

# The share of the page's prose above which a label is not believed.
_LOOSE_SHARE = 0.2
_USUAL_SHARE = 0.35

_labels_seen: dict[str, tuple[str, ...]] = {}


class Block(NamedTuple):
    """A paragraph: its text (white space single), the element that holds it, and how many characters are links."""

    text: str
    element: Any
    link_chars: int


def blocks_of(root: Any, *, unread: frozenset[str] = UNREAD_TAGS) -> list[Block]:
    """Return the blocks of text beneath `root` in document order; none is empty.

    Args:
        root: an lxml element; not changed.
        unread: tags that are not entered.
    """
    blocks: list[Block] = []
    parts: list[str] = []
    linked = 0
    holder = root
    links_open = 0

    def end_block() -> None:
        nonlocal linked
        if parts:
            text = " ".join("".join(parts).split())
            if text:
                blocks.append(Block(text, holder, linked))
            parts.clear()
        linked = 0

    if root.text:
        parts.append(root.text)
    stack: list[tuple[Any, Any, Any]] = [(root, iter(root), root)]
    while stack:
        element, children, outer = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
            if not stack:
                break
            tag = element.tag
            if tag == "a":
                links_open -= 1
            elif tag not in _INLINE:
                end_block()
                holder = outer
            if element.tail:
                parts.append(element.tail)
                if links_open:
                    linked += len(element.tail.strip())
            continue
        tag = child.tag
        if not isinstance(tag, str) or tag in unread:
            pass
        elif tag == "br" or tag == "hr":
            end_block()
        else:
            outer_holder = holder
            if tag == "a":
                links_open += 1
            elif tag not in _INLINE:
                end_block()
                holder = child
            if child.text:
                parts.append(child.text)
                if links_open:
                    linked += len(child.text.strip())
            stack.append((child, iter(child), outer_holder))
            continue
        if child.tail:
            parts.append(child.tail)
            if links_open:
                linked += len(child.tail.strip())
    end_block()
    return blocks


def is_wrong_label(word: str, weight: int, clean: int, total: int) -> bool:
    """Whether so much of the page's prose stands under a label that it must mean something else here."""
    if word.endswith("--part"):
        return weight > _LOOSE_SHARE * total
    if word in _FIRM_LABELS:
        return weight > 0.5 * total and clean < 0.1 * total
    return weight > (_LOOSE_SHARE if word in _LOOSE_LABELS else _USUAL_SHARE) * total


def _word(found: str) -> str:
    word = found.strip("-")
    return "comments" if _COMMENTS.match(word) else word


def names_of(element: Any) -> str:
    """Return the words of the element's class in lower case, hyphens around and two between: ``-entry--title-``."""
    return "-" + "--".join(_WORDS.findall((element.get("class") or "")[:_MOST_LABEL_CHARS])).lower() + "-"


def labels_of(element: Any) -> tuple[str, ...]:
    """Return the words of the element's class and id that say it is something else than the story."""
    if element.tag in HEADINGS:
        return ()  # their ids are made of the heading's words; a heading goes with its box or stays with its paragraph
    name = element.get("id") or ""
    label = f"{(element.get('class') or '')[:_MOST_LABEL_CHARS]} {name if len(name) < 30 else ''}"
    words = _labels_seen.get(label)
    if words is None:
        if len(_labels_seen) > 20_000:
            _labels_seen.clear()
        names = label.split()
        said = " ".join(name for name in names if not _UTILITY.search(name))
        split = "-" + "--".join(_WORDS.findall(said)).lower() + "-"
        if not _HIDING_NAMES.isdisjoint(names) and not any(_SHOWING_NAME.search(name) for name in names):
            split += "hidden-"
        words = tuple(dict.fromkeys(_word(m[0]) for m in _OTHER_THAN_STORY.finditer(split)))
        if words and _ALSO_STORY.search(split):
            words = tuple(f"{word}--part" for word in words if word in _NEVER_STORY)
        _labels_seen[label] = words
    if element.tag != "p" and (element.get("aria-hidden") == "true" or _UNSEEN.search(element.get("style") or "")):
        return (*words, "hidden")
    return words
