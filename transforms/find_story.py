"""Where on a page the story stands: a parsed page in, its lines out.

The way: one walk over the tree collects blocks of text, setting aside what the page itself labels as something else
(share bars, related lists, newsletter boxes, comments). From the body the walk descends into the child that holds
most of the prose until the prose spreads over several children: that element is the story's container. Its blocks are
then judged one by one: headings need a paragraph after them, lists and lines that are links go, and what stands between
headline and first sentence goes unless it is prose.

Decisions:
    trafilatura asks five XPaths with regular expressions of the whole page, makes four copies of the tree and runs a
    second extractor to compare: 27-35 ms on the open pages. This walk takes about 5 ms and is at least as good
    where it is sure; where it is not, the caller asks trafilatura (see `extract_core.py`).

    What a page labels as something else is not believed when much of its prose would go with it.

No Beam here: worker processes import this module.
"""

import re
from typing import Any, NamedTuple, Optional

from transforms.html_blocks import BESIDE_STORY, HEADINGS, READ_ALOUD, UNREAD_TAGS, is_wrong_label, labels_of, names_of

_NO_LETTER = re.compile(r"[\W_]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SENTENCE_END = re.compile(r"[.!?…؟।॥։][\"'”’»›“‘)\]]*$|[。！？][」』”）]*$")
_SENTENCE_INSIDE = re.compile(r"[.!?…؟।։][\"'”’»›“‘)\]]*\s|[。！？]")

_ADDRESS = re.compile(r"https?://|\bwww\.")

_SKIPPED_TAGS = UNREAD_TAGS | frozenset(
    ["nav", "figcaption", "picture", "img", "menu", "fieldset", "legend", "label", "rp", "rt"]
)
_WITHOUT_SCRIPTS = _SKIPPED_TAGS - {"noscript"}
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "figure", "font",
    "i", "ins", "kbd", "mark", "nobr", "q", "rb", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub",
    "sup", "td", "th", "time", "tt", "u", "var", "wbr",
))  # fmt: skip
_OF_TAG = {"footer": ("<footer>",), "form": ("<form>",), "aside": ("<aside>",)}
_TEXT_TAGS = frozenset(["p", "li", "tr", "blockquote", "dd", "dt", "pre"])


class Story(NamedTuple):
    """The story's lines in order; `share` is how much of the page's prose they are (0..1), `chars` their length."""

    lines: tuple[str, ...]
    share: float
    chars: int


class _Block:
    __slots__ = ("_letters", "element", "flagged", "link_chars", "prose", "tag", "text")

    def __init__(self, text: str, element: Any, link_chars: int, flagged: bool) -> None:
        self.text, self.element, self.link_chars, self.flagged = text, element, link_chars, flagged
        self.tag = tag = element.tag
        self.prose = 0 if flagged else _prose(text, tag, link_chars)
        self._letters: Optional[str] = None

    @property
    def letters(self) -> str:
        """The text without case, punctuation and spaces: what makes two lines the same to a reader."""
        if self._letters is None:
            self._letters = _letters(self.text)
        return self._letters


def find_story(
    tree: Any, titles: tuple[str, ...], description: Optional[str] = None, *, without_scripts: bool = False
) -> Optional[Story]:
    """Return the story of a page; None when nothing on it is prose.

    Args:
        tree: the parsed page; not changed.
        titles: the headlines the page names.
        description: what the page says it is about (og:description); a line that repeats it is the standfirst.
        without_scripts: read as a browser without scripts does: what stands in <noscript> as well.
    """
    body = tree.find(".//body") if tree.tag != "body" else tree
    if body is None:
        body = tree
    folded = {_letters(t) for t in titles}
    believed_not: frozenset[str] = frozenset()
    for _ in range(5):
        blocks, weights, flagged = _walk(body, believed_not, _WITHOUT_SCRIPTS if without_scripts else _SKIPPED_TAGS)
        # Many small boxes of one label are what the label says; one big element, or paragraphs, may be the story.
        by_word: dict[str, int] = {}
        in_paragraphs: dict[str, int] = {}
        for element, (word, weight) in flagged.items():
            if element.tag == "p":
                in_paragraphs[word] = weight = in_paragraphs.get(word, 0) + weight
            by_word[word] = max(by_word.get(word, 0), weight)
        clean = weights.get(body, 0)
        total = clean + sum(weight for _, weight in flagged.values())
        wrong = frozenset(word for word, weight in by_word.items() if is_wrong_label(word, weight, clean, total))
        if wrong & BESIDE_STORY:
            # What follows the headline may be a poem, a list, a form: no sidebar of its length is the story then.
            apart = 2 * _chars_after_headline(blocks, folded)
            wrong -= {word for word in BESIDE_STORY if by_word.get(word, 0) < apart}
        if not wrong:
            break
        believed_not |= wrong
    if not clean:
        return None
    headline = _headline(blocks, folded)
    machine = _machine_summary(blocks, headline, weights, clean)
    if machine is not None:
        blocks = [b for b in blocks if b.element not in machine]
    container = _container(body, weights, headline)
    within = set(container.iter())
    story = _without_whole_copies(_story_blocks([b for b in blocks if b.element in within], folded))
    standfirst = _standfirst(blocks, headline, story, _letters(description or ""), folded)
    lines = [b.text for b in (*standfirst, *story)]
    chars = sum(map(len, lines))
    return Story(tuple(lines), min(1.0, chars / max(1, clean)), chars)


def _chars_after_headline(blocks: list[_Block], folded: set[str]) -> int:
    """How much text, prose or not, follows the headline outside of all that the page labels as something else."""
    apart = [b for b in blocks if not b.flagged and not _is_linked(b.text, b.link_chars)]
    headline = next((i for i, b in enumerate(apart) if b.tag in HEADINGS and b.letters in folded), len(apart))
    return sum(len(b.text) for b in apart[headline + 1 :])


def _walk(
    body: Any, believed_not: frozenset[str], skipped: frozenset[str]
) -> tuple[list[_Block], dict[Any, int], dict[Any, tuple[str, int]]]:
    """Return the page's blocks, the prose beneath each element, and that beneath each labelled one."""
    blocks: list[_Block] = []
    weights: dict[Any, int] = {}
    flagged: dict[Any, tuple[str, int]] = {}
    parts: list[str] = []
    linked = 0
    open_links = open_figures = 0
    flags = 0
    path: list[Any] = [body]  # the block elements around the present place
    sums: list[int] = [0]

    def end_block() -> None:
        nonlocal linked
        if parts:
            text = " ".join("".join(parts).split()).strip(" \u200b|")
            parts.clear()
            if text:
                holder = path[-1]
                block = _Block(text, holder, linked, flags > 0)
                blocks.append(block)
                sums[-1] += _prose(text, holder.tag, linked) if block.flagged else block.prose
        linked = 0

    if body.text:
        parts.append(body.text)
    stack: list[tuple[Any, Any, str]] = [(body, iter(body), "")]
    while stack:
        element, children, is_flagged = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
            tag = element.tag
            if tag == "a":
                open_links -= 1
            elif tag == "figure":
                open_figures -= 1
            elif tag not in _INLINE:
                end_block()
                weight = sums.pop()
                path.pop()
                if is_flagged:
                    flags -= 1
                    flagged[element] = (is_flagged, weight)
                else:
                    weights[element] = weight
                    if sums:
                        sums[-1] += weight
            if not stack:
                break
            if element.tail:
                parts.append(element.tail)
                if open_links:
                    linked += len(element.tail.strip())
            continue
        tag = child.tag
        if not isinstance(tag, str) or tag in skipped:
            pass
        elif tag == "br" or tag == "hr":
            end_block()
        else:
            labelled = ""
            if tag == "a":
                open_links += 1
            elif tag in _INLINE:
                if tag == "time" and path[-1].tag not in _TEXT_TAGS:
                    # Beside the story it is when the page was made; within a sentence it is part of it.
                    if child.tail:
                        parts.append(child.tail)
                    continue
                if tag in ("td", "th"):
                    if parts:
                        parts.append(" | ")
                elif tag == "figure":
                    # One within another stands or falls with it; to look into each would take the square of the time.
                    if not open_figures and next(child.iter("blockquote", "table"), None) is None:
                        if child.tail:
                            parts.append(child.tail)
                        continue
                    open_figures += 1
                elif tag == "span" and child.get("class") and not READ_ALOUD.isdisjoint(labels_of(child)):
                    if child.tail:
                        parts.append(child.tail)
                    continue
            else:
                end_block()
                path.append(child)
                sums.append(0)
                labelled = next(
                    (word for word in (*_OF_TAG.get(tag, ()), *labels_of(child)) if word not in believed_not), ""
                )
                flags += bool(labelled)
            if child.text:
                parts.append(child.text)
                if open_links:
                    linked += len(child.text.strip())
            stack.append((child, iter(child), labelled))
            continue
        if child.tail:
            parts.append(child.tail)
            if open_links:
                linked += len(child.tail.strip())
    return blocks, weights, flagged


def _prose(text: str, tag: str, link_chars: int) -> int:
    """How many characters of prose a block is: 0 for labels, links, headings and other short lines."""
    length = len(text)
    if length < 20 or tag in HEADINGS or _is_linked(text, link_chars):
        return 0
    wide = len(_CJK.findall(text[:400]))
    if wide * 4 > min(length, 400):
        length *= 2
    if length >= 120 or (length >= 40 and (_SENTENCE_END.search(text) or _SENTENCE_INSIDE.search(text))):
        return length - link_chars // 2
    return 0


def _is_linked(text: str, link_chars: int) -> bool:
    """Whether a block is a link and not a sentence with links in it."""
    own = len(text) - link_chars
    if own < 8 and _ADDRESS.search(text):
        return False  # an address that is written out is information, not a way to another story
    return link_chars > 0 and (own < 8 or (own < link_chars and not _SENTENCE_END.search(text)))


_SAME_CHARS = 50
_WHOLE_CHARS = 1500
MOST_STORY_CHARS = 1_000_000  # no story is longer; a dump of a database is
_MOST_PIECES = 30  # of a story, looked for in each long block: enough to know it again
_MOST_STANDFIRSTS = 8
_MOST_APART = 10  # blocks from the first paragraph back to what belongs to it, on a page whose headline is not known
_NAMED_CHARS = 30
_STANDFIRST = re.compile(
    r"-(?:standfirst|deck|dek|sub--?title|sub--?head(?:line|ing)?|lead|lede|intro|introduction|chapo|chapeau|sapo"
    r"|entradilla|bajada|copete|vorspann|ingress|excerpts?|summary|abstract)-"
)
_NOTICE_CHARS = 250
_MOST_SUMMARY = 0.4  # of the page's prose
_MOST_BEFORE_SUMMARY = 800  # characters of prose between headline and the notice: a standfirst and captions
_QUOTED = re.compile(r"[\"“”„«»「『]")
_SUMMARY_WORD = (
    r"(?:summar(?:y|ies|i[sz]ed)|key (?:points|takeaways)|zusammen(?:fassung|gefasst)|résumé|resumen|resumo|riassunto"
    r"|sintesi|samenvatting|sammenfatning|sammendrag|sammanfattning|streszczeni|özet|краткое содержание|саммари"
    r"|ملخص|सारांश|要約|摘要|요약)"
)
_MACHINE_WORD = (
    r"(?:(?-i:(?<![A-Za-z])(?:AI|KI|IA|A\.I\.)(?![A-Za-z]))|\bgpt|chatgpt|openai|artifici|künstlich|maschinell"
    r"|yapay zek|нейросет|искусственн|ذكاء|एआई|人工知能|人工智能|인공지능)"
)
_BY_MACHINE = re.compile(
    rf"{_SUMMARY_WORD}.{{0,120}}{_MACHINE_WORD}|{_MACHINE_WORD}.{{0,60}}{_SUMMARY_WORD}", re.IGNORECASE
)
_SUMMARY_BOX = re.compile(
    r"-(?:ai|ki|ia|gpt|sum|summary|bullets?|takeaways|tldr|zusammenfassung|resumen|resume|disclaimer)-"
)
_EXCERPTS = frozenset(["excerpt", "excerpts"])
_OPENING_CHARS = 40  # a heading before the first paragraph: shorter ones are labels
_LONG_HEADING_CHARS = 80  # a standfirst may be a heading: a sentence, or what follows the headline at once
_MOST_BEFORE = 200  # blocks before a story that are looked at
_NEARLY_ALL = 0.8
_NO_CONTAINERS = frozenset(["p", "li", "blockquote", "ol", "ul", "dl"])
_SMALL_CHARS = 2000  # of a short story a tenth is a paragraph


def _container(body: Any, weights: dict[Any, int], headline: Any) -> Any:
    """Return the innermost element that still holds nearly all the prose, or the headline and much of the prose."""
    above_headline = set(headline.iterancestors()) if headline is not None else set()
    node = body
    while True:
        here = weights.get(node, 0)
        children = [c for c in node if c in weights]
        best = max(children, key=lambda c: weights[c], default=None)
        if best is None or best.tag in _NO_CONTAINERS:
            return node
        if weights[best] < (_NEARLY_ALL if here > _SMALL_CHARS else 0.9) * here:
            best = next((c for c in children if c in above_headline and weights[c] > 0.3 * here), None)
            if best is None:
                return node
        node = best


def _machine_summary(blocks: list[_Block], headline: Any, weights: dict[Any, int], total: int) -> Optional[set[Any]]:
    """Return the elements of a box above the story which says that a machine wrote this summary; None without one."""
    begin = next((i for i, b in enumerate(blocks) if b.element is headline), 0) if headline is not None else 0
    before = 0
    for block in blocks[begin:]:
        if len(block.text) <= _NOTICE_CHARS and _BY_MACHINE.search(block.text) and not _QUOTED.search(block.text):
            is_named = False
            for box in (block.element, *block.element.iterancestors()):
                weight = weights.get(box, 0)
                if weight > _MOST_SUMMARY * total:
                    break
                is_named = is_named or _SUMMARY_BOX.search(names_of(box)) is not None
                if is_named and weight > block.prose:
                    return set(box.iter())
        before += block.prose
        if before > _MOST_BEFORE_SUMMARY:
            break
    return None


def _headline(blocks: list[_Block], folded: set[str]) -> Any:
    """Return the element of the page's headline; None when it cannot be told."""
    headings = [b for b in blocks if b.tag in HEADINGS]
    for block in headings:
        if block.letters in folded:
            return block.element
    return next(
        (b.element for b in headings if b.tag == "h1" and not b.flagged and not _is_linked(b.text, b.link_chars)), None
    )


def _story_blocks(blocks: list[_Block], folded: set[str]) -> list[_Block]:
    start = next((i + 1 for i, b in enumerate(blocks) if b.tag in HEADINGS and b.letters in folded), 0)
    if sum(b.prose for b in blocks[:start]) > 0.3 * sum(b.prose for b in blocks):
        start = 0
    in_divs = sum(b.prose for b in blocks if b.tag not in _TEXT_TAGS)
    text_tags = _TEXT_TAGS | {"div", "section", "article"} if in_divs * 2 > sum(b.prose for b in blocks) else _TEXT_TAGS
    kept: list[_Block] = []
    waiting: list[_Block] = []  # headings need a paragraph after them
    left = MOST_STORY_CHARS
    for block in blocks[start:]:
        if left < 0:
            break
        left -= len(block.text)
        letters = block.letters
        if block.flagged or letters in folded:
            continue
        if block.tag in HEADINGS:
            opens = kept or len(block.text) >= _OPENING_CHARS
            if opens and not _is_linked(block.text, block.link_chars):
                waiting.append(block)
        elif block.prose or (kept and block.tag in text_tags and not _is_linked(block.text, block.link_chars)):
            kept += [*waiting, block]
            waiting = []
    return kept


def _without_whole_copies(story: list[_Block]) -> list[_Block]:
    """Drop a block that holds several of the others: the whole text once more, for search or for reading aloud."""
    if all(len(b.text) < _WHOLE_CHARS for b in story):
        return story
    pieces = [b.letters for b in story if _SAME_CHARS <= len(b.text) < _WHOLE_CHARS][:_MOST_PIECES]
    whole = {
        b
        for b in story
        if len(b.text) >= _WHOLE_CHARS and sum(p in letters for letters in [b.letters] for p in pieces) >= 3
    }
    return [b for b in story if b not in whole]


def _standfirst(
    blocks: list[_Block], headline: Any, story: list[_Block], description: str, folded: set[str]
) -> list[_Block]:
    """Return what stands between the headline and the first paragraph and belongs to the story."""
    if not story:
        return []
    end = next(i for i, b in enumerate(blocks) if b is story[0])
    begin = next((i + 1 for i, b in enumerate(blocks) if b.element is headline), None) if headline is not None else None
    told = {b.letters for b in story[:_MOST_BEFORE]}
    found: list[_Block] = []
    for position in range(max(0, end - _MOST_BEFORE), end):
        block = blocks[position]
        letters = block.letters
        if len(letters) < 20 or letters in told or letters in folded:
            continue
        described = len(description) >= 30 and (
            letters.startswith(description[:40]) or description.startswith(letters[:60])
        )
        near_headline = begin is None or begin - 8 <= position
        after_headline = end - position <= _MOST_APART if begin is None else begin <= position
        if not (described and near_headline) and not (after_headline and _leads(block, position == begin, folded)):
            continue
        if any(letters in t or t in letters for t in told if len(t) > 30):
            continue
        told.add(letters)
        found.append(block)
        if len(found) == _MOST_STANDFIRSTS:
            break
    return found


def _leads(block: _Block, is_first: bool, folded: set[str]) -> bool:
    """Whether a block between headline and story, the first one there or a later one, belongs to the story."""
    if _is_linked(block.text, block.link_chars):
        return False
    is_named = len(block.text) >= _NAMED_CHARS and _is_named_standfirst(block)
    if block.flagged:
        return is_named
    if block.tag not in HEADINGS:
        return is_named or block.prose > 0
    if any(len(title) >= _SAME_CHARS / 2 and title in block.letters for title in folded):
        return False
    is_told = is_first or _SENTENCE_END.search(block.text) is not None
    return is_named or (len(block.text) >= _LONG_HEADING_CHARS and is_told)


def _is_named_standfirst(block: _Block) -> bool:
    """Whether the page calls a block its standfirst; what it labels as something else besides is none."""
    around = (block.element, *block.element.iterancestors())
    if not any(_STANDFIRST.search(names_of(element)) for element in around[:2]):
        return False
    return not block.flagged or all(_EXCERPTS.issuperset(labels_of(element)) for element in around)


def _letters(text: str) -> str:
    return _NO_LETTER.sub("", text.casefold())
