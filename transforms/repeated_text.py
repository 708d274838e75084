"""Finds what stands twice in a text: a body, a paragraph, a teaser of a paragraph nearby.

Decisions:
    Repetition is found by word 5-grams that were seen earlier: blind to quotes, spacing and line breaks. A text
    without a repeated 5-gram, the common case, is done after one set comparison.

    What comes second goes. A teaser goes first: with it gone, the paragraph it was cut from is no repetition.

Limits:
    A paragraph that was rewritten between its two places stays.
"""

from collections.abc import Sequence
from typing import Optional

NGRAM = 5
CJK_NGRAM = 12
REPEAT_WORDS = 24  # the shortest run of lines that counts as a repeated body: of three lines, or at the end
REPEAT_PAIR_WORDS = 40  # of two lines that more follow: a lead may say again what a summary above it said
REPEAT_LINE_WORDS = 14  # the shortest single paragraph that counts as repeated
LEAST_REPEATED_NGRAMS = 3  # what the shortest echo repeats; news repeat names of five words now and then
TEASER_WORDS = 7


def find_repeats(
    lines: Sequence[Sequence[str]], is_cut_off: Sequence[bool], *, is_cjk: bool
) -> Optional[dict[int, str]]:
    """Return the numbers of the lines that repeat others, each with its rule; None: no words come again at all.

    Args:
        lines: the words of each line, or its characters where there are no spaces between words.
        is_cut_off: whether the line ends in dots, as a teaser does.
        is_cjk: `lines` are characters.
    """
    n = CJK_NGRAM if is_cjk else NGRAM
    inside = [gram for line in lines for gram in zip(*(line[k:] for k in range(n)), strict=False)]
    if len(inside) - len(set(inside)) < LEAST_REPEATED_NGRAMS:
        return None
    flat = [word for line in lines for word in line]
    grams = list(zip(*(flat[k:] for k in range(n)), strict=False))
    first_at: dict[tuple[str, ...], int] = {}
    last_at: dict[tuple[str, ...], int] = {}
    for at, gram in enumerate(grams):
        first_at.setdefault(gram, at)
        last_at[gram] = at
    begins, at = [], 0
    for line in lines:
        begins.append(at)
        at += len(line)
    seen = [_share(grams, b, len(line), n, first_at) for b, line in zip(begins, lines, strict=True)]
    weight = 2 if is_cjk else 1
    return _echoes(lines, is_cut_off, seen, grams, begins, n, last_at, weight) or _repeated_runs(
        lines, seen, begins, weight
    )


def _share(
    grams: Sequence[tuple[str, ...]], begin: int, length: int, n: int, first_at: dict[tuple[str, ...], int]
) -> float:
    """The share of a line's n-grams that occurred before it; -1 if it is too short to tell."""
    count = length - n + 1
    if count < 1:
        return -1.0
    return sum(first_at[grams[k]] < begin for k in range(begin, begin + count)) / count


def _repeated_runs(
    lines: Sequence[Sequence[str]], seen: Sequence[float], begins: Sequence[int], weight: int
) -> dict[int, str]:
    """Runs of lines whose every word was there before, in whatever lines."""
    dropped: dict[int, str] = {}
    earlier = set()
    at = 0
    while at < len(lines):
        if seen[at] < 0.9:
            earlier.add(" ".join(lines[at]))
            at += 1
            continue
        end = at
        while end < len(lines) and (seen[end] >= 0.9 or (seen[end] < 0 and " ".join(lines[end]) in earlier)):
            end += 1
        words = [len(line) / weight for line in lines[at:end]]
        whole = sum(words)
        # A refrain or a chorus comes again too: short lines count only where most of what precedes them returns.
        if (
            end - at >= 2
            and whole >= (REPEAT_WORDS if end - at >= 3 or end == len(lines) else REPEAT_PAIR_WORDS)
            and (max(words) >= REPEAT_LINE_WORDS or whole >= 0.8 * begins[at] / weight)
        ) or (end - at == 1 and whole >= REPEAT_LINE_WORDS and " ".join(lines[at]) in earlier):
            dropped.update((k, "repeat.body") for k in range(at, end))
        at = end
    return dropped


def _echoes(
    lines: Sequence[Sequence[str]],
    is_cut_off: Sequence[bool],
    seen: Sequence[float],
    grams: Sequence[tuple[str, ...]],
    begins: Sequence[int],
    n: int,
    last_at: dict[tuple[str, ...], int],
    weight: int,
) -> dict[int, str]:
    """A teaser that breaks off: a line that a longer one nearby goes on from.

    A pull quote repeats a sentence whole and is kept: so does a story that quotes the same words again.
    """
    dropped: dict[int, str] = {}
    text = [" ".join(line) for line in lines]
    for at, line in enumerate(lines):
        count = len(line) - n + 1
        if not is_cut_off[at] or not TEASER_WORDS * weight <= len(line) <= 60 * weight or count < 1:
            continue
        later = sum(last_at[grams[k]] >= begins[at] + len(line) for k in range(begins[at], begins[at] + count)) / count
        if max(later, seen[at]) < 0.6:
            continue
        for other in (*range(max(0, at - 6), at), *range(at + 1, min(len(lines), at + 7))):
            if other in dropped or len(lines[other]) <= len(line):
                continue
            if text[other].startswith(text[at].rsplit(" ", 1)[0]):
                dropped[at] = "repeat.teaser"
                break
    return dropped
