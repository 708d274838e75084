"""Finds, for a line, the few patterns that could match it, by its first letters or by words it must contain.

Decisions:
    Five hundred patterns a line would cost more than the extraction. Nearly all of them start with a known word, so
    they are filed under the first three letters after leading punctuation; those that start with anything are tried
    only if the line holds one of the strings they cannot do without. Both are read off the parsed pattern, so that a
    rule's author need not think of it. A test compares the index with trying every pattern.

    Which of those strings a text holds is asked of its words, and what a word holds is remembered: news use the same
    few thousand words again and again.

    Patterns are compiled when first needed: most processes never see Korean.

Limits:
    The parser of `re` is not public; the shape of its trees has been the same from Python 3.11 to 3.13.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Optional

from transforms.cruft_rules import Rule

KEY_CHARS = 3
MOST_BRANCHES = 600  # a pattern with more beginnings is filed as one that may start with anything
MOST_KEYS = 20_000  # bound of the cache on hostile text
MOST_WORDS = 80_000  # what a process that reads a few languages meets again; under 10 MB
LONGEST_WORD = 20  # what is longer is an address, or a text without spaces: it does not come again
_LEADING = re.compile(r"[\W_]*")
_DIGITS = {ord(zero) + n: "0" for zero in "0٠۰०০௦๐０" for n in range(10)}  # all digits are filed under 0
_NONWORD = re.compile(r"[\W_]")


class Entry:
    """One pattern of one rule. `order` decides which of two matching entries wins."""

    def __init__(self, rule: Rule, pattern: str, order: tuple[int, int], tail: str) -> None:
        self.rule, self.order = rule, order
        self._source = f"(?:{pattern}){tail}"
        self.is_case_sensitive = rule.is_case_sensitive
        self.needs: tuple[str, ...] = ()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return re.compile(self._source)


class Index:
    """Patterns filed by how they begin and what they need."""

    def __init__(self, rules: Iterable[tuple[int, Rule]], *, tail: str) -> None:
        self._by_key: dict[str, list[Entry]] = {}
        self._needless: list[Entry] = []  # may start with anything and need nothing
        self._needing: dict[str, list[Entry]] = {}  # the others, by each string they cannot do without
        self._merged: dict[str, tuple[Entry, ...]] = {}
        for rank, rule in rules:
            for n, pattern in enumerate(rule.patterns):
                entry = Entry(rule, pattern, (rank, n), tail)
                tree = parser.parse(pattern)
                keys = _beginnings(tree)
                needs = _needs(tree) or set()
                entry.needs = tuple(sorted(needs)) if needs and _worth(needs) > 1.5 else ()
                if keys is not None and "" not in keys:
                    for key in keys:
                        self._by_key.setdefault(key, []).append(entry)
                elif entry.needs:
                    for need in entry.needs:
                        self._needing.setdefault(need, []).append(entry)
                else:
                    self._needless.append(entry)
        # Each of those strings is looked for by its longest piece without a space, in the words of a text.
        self._by_piece: dict[str, list[str]] = {}
        for need in self._needing:
            self._by_piece.setdefault(max(need.split(), key=len), []).append(need)
        self._short_pieces = tuple(piece for piece in self._by_piece if len(piece) < KEY_CHARS)
        self._by_begin: dict[tuple[str, ...], list[str]] = {}  # the other pieces, by their first letters
        for piece in self._by_piece.keys() - set(self._short_pieces):
            self._by_begin.setdefault(tuple(piece[:KEY_CHARS]), []).append(piece)
        self._idle: set[str] = set()  # words that are known to hold no piece: nearly all of a text's
        self._held: dict[str, tuple[str, ...]] = {}  # the others, with the pieces in them

    def awake(self, low: str) -> tuple[tuple[Entry, tuple[str, ...]], ...]:
        """Return the entries that may start with anything and whose strings `low` holds, with those strings.

        Asked once a text; `candidates` then looks for the few strings that are there, line by line.
        """
        pieces = {piece for piece in self._short_pieces if piece in low}
        for word in set(low.split()) - self._idle:
            held = self._held.get(word)
            pieces.update(self._pieces_of(word) if held is None else held)
        there: dict[Entry, tuple[str, ...]] = dict.fromkeys(self._needless, ())
        for piece in pieces:
            for need in self._by_piece[piece]:
                if need in low:
                    for entry in self._needing[need]:
                        there[entry] = (*there.get(entry, ()), need)
        return tuple(there.items())

    def _pieces_of(self, word: str) -> tuple[str, ...]:
        begins = self._by_begin.keys() & set(zip(word, word[1:], word[2:], strict=False))
        held = tuple(piece for begin in begins for piece in self._by_begin[begin] if piece in word) if begins else ()
        if len(word) <= LONGEST_WORD:
            if len(self._idle) + len(self._held) >= MOST_WORDS:
                self._idle.clear()
                self._held.clear()
            if held:
                self._held[word] = held
            else:
                self._idle.add(word)
        return held

    def candidates(
        self, low: str, start: int, end: int, awake: Sequence[tuple[Entry, tuple[str, ...]]]
    ) -> Sequence[Entry]:
        """Return the entries that could match ``low[start:end]`` from its start, those that win first."""
        begin = _LEADING.match(low, start, end).end()  # type: ignore[union-attr]
        key = low[begin : min(begin + KEY_CHARS, end)]
        if not key.isalpha():
            key = key.translate(_DIGITS)
        merged = self._merged.get(key)
        if merged is None:
            found = [e for k in range(1, len(key) + 1) for e in self._by_key.get(key[:k], ())]
            merged = tuple(sorted(set(found), key=_order_of))
            if len(self._merged) >= MOST_KEYS:
                self._merged.clear()
            self._merged[key] = merged
        length = end - start
        more = [
            entry
            for entry, needs in awake
            if length <= entry.rule.max_chars and (not needs or any(low.find(need, start, end) >= 0 for need in needs))
        ]
        return sorted({*merged, *more}, key=_order_of) if more else merged


def _order_of(entry: Entry) -> tuple[int, int]:
    return entry.order


def _beginnings(tree: Any) -> Optional[set[str]]:
    """The first letters of all a pattern matches, after punctuation; "" where it may be anything; None if too many."""
    done, open_ends = _walk(list(tree), {""})
    keys = done | {prefix for prefix in open_ends}
    return keys if len(keys) <= MOST_BRANCHES else None


def _walk(items: Sequence[Any], prefixes: set[str]) -> tuple[set[str], set[str]]:
    """Extend `prefixes` by `items`: those complete (long enough, or followed by anything), and those still open."""
    done: set[str] = set()
    for op, value in items:
        if not prefixes or len(done) + len(prefixes) > MOST_BRANCHES:
            break
        if op is sre.LITERAL:
            prefixes = {_add(p, chr(value)) for p in prefixes}
        elif op is sre.IN:
            chars = _chars_of(value)
            if chars is None:
                if _is_punctuation(value):
                    done |= {p for p in prefixes if p}
                    prefixes = {p for p in prefixes if not p}
                else:
                    return done | prefixes, set()
            else:
                prefixes = {_add(p, c) for p in prefixes for c in chars}
        elif op is sre.SUBPATTERN:
            ended, prefixes = _walk(list(value[-1]), prefixes)
            done |= ended
        elif op is sre.BRANCH:
            open_now: set[str] = set()
            for branch in value[1]:
                ended, still = _walk(list(branch), prefixes)
                done |= ended
                open_now |= still
            prefixes = open_now
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            least, most, body = value
            if len(body) == 1 and _is_skipped(body[0]):
                if any(prefixes):  # punctuation inside a beginning: what follows is not adjacent
                    done |= {p for p in prefixes if p}
                    prefixes = {p for p in prefixes if not p}
                continue
            skipped = prefixes if least == 0 else set()
            ended, still = _walk(list(body), prefixes)
            done |= ended
            if most > 1:
                done |= {p for p in still if len(p) < KEY_CHARS and p}
                if "" in still:
                    done.add("")
            prefixes = skipped | still
        elif op in (sre.AT, sre.ASSERT_NOT, sre.ASSERT):
            continue
        else:
            return done | prefixes, set()
        full = {p for p in prefixes if len(p) >= KEY_CHARS}
        done |= full
        prefixes = prefixes - full
    return done, prefixes


def _add(prefix: str, char: str) -> str:
    char = "0" if char.isdecimal() else char.lower()
    if not prefix and _NONWORD.match(char):
        return ""
    return prefix + char


def _chars_of(charset: Sequence[Any]) -> Optional[list[str]]:
    chars: list[str] = []
    for op, value in charset:
        if op is sre.LITERAL:
            chars.append(chr(value))
        elif op is sre.CATEGORY and value is sre.CATEGORY_DIGIT:
            chars.append("0")
        elif op is sre.RANGE and value[1] - value[0] < 12:
            chars += [chr(c) for c in range(value[0], value[1] + 1)]
        else:
            return None
    return chars if len(chars) <= 24 else None


def _is_skipped(item: Any) -> bool:
    """The item matches only what `candidates` skips at the beginning of a line."""
    op, value = item
    return (op is sre.IN and _is_punctuation(value)) or (op is sre.LITERAL and bool(_NONWORD.match(chr(value))))


def _is_punctuation(charset: Sequence[Any]) -> bool:
    """The set holds no letter or digit, so it is part of what `candidates` skips."""
    for op, value in charset:
        if op is sre.LITERAL and _NONWORD.match(chr(value)):
            continue
        if op is sre.CATEGORY and value in (sre.CATEGORY_NOT_WORD, sre.CATEGORY_SPACE):
            continue
        return False
    return True


def _needs(tree: Any) -> Optional[set[str]]:
    """Strings of which every match holds at least one, lower case; None if nothing useful can be said."""
    best: Optional[set[str]] = None
    run = ""

    def better(candidate: Optional[set[str]]) -> None:
        nonlocal best
        if not candidate or len(candidate) > 160 or not all(candidate):
            return
        if best is None or _worth(candidate) > _worth(best):
            best = candidate

    for op, value in list(tree):
        if op is sre.LITERAL:
            run += chr(value).lower()
            continue
        better({run} if run else None)
        run = ""
        if op is sre.SUBPATTERN:
            better(_needs(value[-1]))
        elif op is sre.ASSERT and value[0] > 0:
            better(_needs(value[1]))
        elif op is sre.BRANCH:
            parts = [_needs(branch) for branch in value[1]]
            better(set().union(*parts) if all(parts) else None)  # type: ignore[arg-type]
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT) and value[0] >= 1:
            better(_needs(value[2]))
        elif op is sre.IN:
            chars = None if any(o is sre.CATEGORY for o, _ in value) else _chars_of(value)
            better({c.lower() for c in chars} if chars else None)
    better({run} if run else None)
    return best


def _worth(needs: set[str]) -> float:
    """Long strings are rare in text; many strings cost time. Brackets and slashes are rare though short."""
    shortest = min(3.5 if s in "(/[【©@|#{" else len(s) if s != " " else 0 for s in needs)
    return min(shortest, 8) - len(needs) / 40
