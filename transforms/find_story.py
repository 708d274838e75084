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

from itertools import islice
from typing import Any, NamedTuple, Optional

from transforms.html_blocks import BESIDE_STORY, HEADINGS, is_wrong_label
from transforms.plain_values import letters as letters_of
from transforms.story_edges import comments_begin, is_caption, machine_summary, standfirst
from transforms.walk_page import TEXT_TAGS, Block, is_linked, walk


class Story(NamedTuple):
    """The story's lines in order; `share` is how much of the page's prose they are (0..1), `chars` their length."""

    lines: tuple[str, ...]
    share: float
    chars: int


def find_story(
    tree: Any,
    titles: tuple[str, ...],
    description: Optional[str] = None,
    *,
    told: tuple[str, ...] = (),
    without_scripts: bool = False,
) -> Optional[Story]:
    """Return the story of a page; None when nothing on it is prose.

    Args:
        tree: the parsed page; not changed.
        titles: the headlines the page names.
        description: what the page says it is about (og:description); a line that repeats it is the standfirst.
        told: lines that the page names as its story, however short: the ingredients of a recipe.
        without_scripts: read as a browser without scripts does: what stands in <noscript> as well.
    """
    body = tree.find(".//body") if tree.tag != "body" else tree
    if body is None:
        body = tree
    folded = {letters_of(t) for t in titles}
    lines_told = frozenset(letters_of(line) for line in told)
    believed_not: frozenset[str] = frozenset()
    for _ in range(5):
        blocks, weights, flagged = walk(body, believed_not, without_scripts=without_scripts, told=lines_told)
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
    machine = machine_summary(blocks, headline, weights, clean)
    if machine is not None:
        blocks = [b for b in blocks if b.element not in machine]
    if (end := comments_begin(blocks, headline)) is not None:
        clean -= sum(b.prose for b in blocks[end:])
        blocks = blocks[:end]
    container = _container(body, weights, headline)
    if lines_told:
        container = _around_told(container, [b for b in blocks if b.prose and b.letters in lines_told], weights)
    within = set(container.iter())
    story = _without_whole_copies(_story_blocks([b for b in blocks if b.element in within], folded))
    above = standfirst(blocks, headline, story, letters_of(description or ""), folded)
    lines = [b.text for b in (*above, *story)]
    chars = sum(map(len, lines))
    return Story(tuple(lines), min(1.0, chars / max(1, clean)), chars)


def _chars_after_headline(blocks: list[Block], folded: set[str]) -> int:
    """How much text, prose or not, follows the headline outside of all that the page labels as something else."""
    apart = [b for b in blocks if not b.flagged and not is_linked(b.text, b.link_chars)]
    headline = next((i for i, b in enumerate(apart) if b.tag in HEADINGS and b.letters in folded), len(apart))
    return sum(len(b.text) for b in apart[headline + 1 :])


_SAME_CHARS = 50
_WHOLE_CHARS = 1500
MOST_STORY_CHARS = 1_000_000  # no story is longer; a dump of a database is
_MOST_PIECES = 30  # of a story, looked for in each long block: enough to know it again
_OPENING_CHARS = 40  # a heading before the first paragraph: shorter ones are labels
_NEARLY_ALL = 0.8
_MOST_AROUND = 1.3
_MOST_LEVELS = 6
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


def _around_told(container: Any, told: list[Block], weights: dict[Any, int]) -> Any:
    """Return the element around `container` that holds most of what the page names as its story; others stay out."""
    left = {b.element for b in told}.difference(container.iter())
    most = _MOST_AROUND * weights.get(container, 0) + sum(b.prose for b in told)
    for outer in islice(container.iterancestors(), _MOST_LEVELS) if left else ():
        if weights.get(outer, most + 1) > most:
            break
        if len(left.intersection(outer.iter())) * 2 > len(left):
            return outer
    return container


def _headline(blocks: list[Block], folded: set[str]) -> Any:
    """Return the element of the page's headline; None when it cannot be told."""
    headings = [b for b in blocks if b.tag in HEADINGS]
    for block in headings:
        if block.letters in folded:
            return block.element
    return next(
        (b.element for b in headings if b.tag == "h1" and not b.flagged and not is_linked(b.text, b.link_chars)), None
    )


def _story_blocks(blocks: list[Block], folded: set[str]) -> list[Block]:
    start = next((i + 1 for i, b in enumerate(blocks) if b.tag in HEADINGS and b.letters in folded), 0)
    if sum(b.prose for b in blocks[:start]) > 0.3 * sum(b.prose for b in blocks):
        start = 0
    in_divs = sum(b.prose for b in blocks if b.tag not in TEXT_TAGS)
    text_tags = TEXT_TAGS | {"div", "section", "article"} if in_divs * 2 > sum(b.prose for b in blocks) else TEXT_TAGS
    kept: list[Block] = []
    waiting: list[Block] = []  # headings need a paragraph after them
    left = MOST_STORY_CHARS
    for block in blocks[start:]:
        if left < 0:
            break
        left -= len(block.text)
        letters = block.letters
        if block.flagged or letters in folded or is_caption(block):
            continue
        if block.tag in HEADINGS:
            opens = kept or len(block.text) >= _OPENING_CHARS
            if opens and not is_linked(block.text, block.link_chars):
                waiting.append(block)
        elif block.prose or (kept and block.tag in text_tags and not is_linked(block.text, block.link_chars)):
            kept += [*waiting, block]
            waiting = []
    return kept


def _without_whole_copies(story: list[Block]) -> list[Block]:
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
