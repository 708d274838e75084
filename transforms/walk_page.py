"""A parsed page in reading order: blocks of text, the prose beneath each element, and what the page labels otherwise.

A room of extract_text. No Beam here: worker processes import this module.
"""

import re
from typing import Any, Optional

from transforms.html_blocks import HEADINGS, READ_ALOUD, UNREAD_TAGS, labels_of
from transforms.plain_values import letters as letters_of

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
SENTENCE_END = re.compile(r"[.!?…؟।॥։][\"'”’»›“‘)\]]*$|[。！？][」』”）]*$")
_SENTENCE_INSIDE = re.compile(r"[.!?…؟।։][\"'”’»›“‘)\]]*\s|[。！？]")

_ADDRESS = re.compile(r"https?://|\bwww\.|[\w.+-]{1,64}@[\w-]{1,60}\.\w")

_SKIPPED_TAGS = UNREAD_TAGS | frozenset(
    ["nav", "figcaption", "picture", "img", "menu", "fieldset", "legend", "label", "rp", "rt"]
)
_WITHOUT_SCRIPTS = _SKIPPED_TAGS - {"noscript"}
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "figure", "font",
    "i", "ins", "kbd", "mark", "nobr", "q", "rb", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub",
    "sup", "td", "th", "time", "tt", "u", "var", "wbr",
))  # fmt: skip
MOST_TOLD_CHARS = 250
TEXT_TAGS = frozenset(["p", "li", "tr", "blockquote", "dd", "dt", "pre"])
_OF_TAG = {"footer": ("<footer>",), "form": ("<form>",), "aside": ("<aside>",)}


class Block:
    """A paragraph: its text and element, characters of links and of prose; flagged: labelled as something else."""

    __slots__ = ("_letters", "element", "flagged", "link_chars", "prose", "tag", "text")

    def __init__(self, text: str, element: Any, link_chars: int, flagged: bool) -> None:
        self.text, self.element, self.link_chars, self.flagged = text, element, link_chars, flagged
        self.tag = tag = element.tag
        self.prose = 0 if flagged else _prose(text, tag, link_chars)
        self._letters: Optional[str] = None

    @property
    def letters(self) -> str:
        """See `plain_values.letters`."""
        if self._letters is None:
            self._letters = letters_of(self.text)
        return self._letters


def walk(
    body: Any,
    believed_not: frozenset[str],
    *,
    without_scripts: bool = False,
    told: frozenset[str] = frozenset(),
) -> tuple[list[Block], dict[Any, int], dict[Any, tuple[str, int]]]:
    """Return the page's blocks, the prose beneath each element, and the label of each labelled one with its prose.

    Args:
        body: an lxml element; not changed.
        believed_not: labels that mean something else on this page.
        without_scripts: read as a browser without scripts does: what stands in <noscript> as well.
        told: letters of lines that are the story, however short.
    """
    skipped = _WITHOUT_SCRIPTS if without_scripts else _SKIPPED_TAGS
    blocks: list[Block] = []
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
                block = Block(text, holder, linked, flags > 0)
                if told and not block.flagged and len(text) < MOST_TOLD_CHARS and block.letters in told:
                    block.prose = len(text)
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
                if tag == "time" and path[-1].tag not in TEXT_TAGS:
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
    if length < 20 or tag in HEADINGS or is_linked(text, link_chars):
        return 0
    wide = len(_CJK.findall(text[:400]))
    if wide * 4 > min(length, 400):
        length *= 2
    if length >= 120 or (length >= 40 and (SENTENCE_END.search(text) or _SENTENCE_INSIDE.search(text))):
        return length - link_chars // 2
    return 0


def is_linked(text: str, link_chars: int) -> bool:
    """Whether a block is a link and not a sentence with links in it."""
    own = len(text) - link_chars
    if own < 8 and _ADDRESS.search(text):
        return False  # an address that is written out is information, not a way to another story
    return link_chars > 0 and (own < 8 or (own < link_chars and not SENTENCE_END.search(text)))
