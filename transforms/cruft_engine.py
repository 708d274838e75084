"""The engine under `strip_cruft`: applies rules to lines and keeps the ledger of what goes.

Decisions:
    Work is on lines, since that is what extraction yields. Each pass looks only at the lines that still stand, as
    they stand; passes repeat until one changes nothing. The result is therefore a fixed point: stripping the output
    again removes nothing.

    A line's rule depends on its words alone and is remembered, so further passes cost little. Where a line stands
    decides whether the rule applies: what precedes the story, what follows its last paragraph, or anywhere.

    Precision first. A marker such as "Related" takes along what follows only as far as it does not read like the
    story; a line that begins with a quotation is somebody's words and stays.

Limits:
    Cruft in the middle of a sentence, or in front of a later paragraph on the same line, stays.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Optional, Protocol

from transforms.cruft_rules import Rule, load_rules
from transforms.cruft_rules.index import Entry, Index
from transforms.cruft_rules.line_words import (
    ASKED,
    ASKING,
    BOILERPLATE,
    CLOSING,
    DATED,
    FIELD,
    LEGALESE,
    MAY_NARRATE,
    NARRATED,
    OFFER,
    PITCH,
    TIMELESS,
)
from transforms.repeated_text import find_repeats

MOST_PASSES = 50  # real pages settle in two or three; the bound keeps hostile input linear
HEAD_LINES = 8
HEAD_STORY_LINES = 2  # after the second paragraph of the story the head is over
OPENER_LINES = 3
OPENER_CHARS = 220  # no dateline seen is longer
SUFFIX_LINES = 4
SUFFIX_WINDOW_CHARS = 420
SHORT_RULE_CHARS = 300  # rules for longer lines are paragraphs in legal language
LONGEST_RULE_CHARS = 3000
STORY_CHARS = 100  # a line this long that ends a sentence reads like the story
UNSTOPPED_CHARS = 30
STORY_LONG_CHARS = 170  # this long, it does even without the full stop
CJK_WEIGHT = 2.5  # a Chinese character carries about as much as two to three Latin ones
CJK_SHARE = 0.2  # of a text's characters, from which on its words are taken to stand without spaces
MOST_BETWEEN = 6  # lines between two lines of cruft that go along: a list of tags or buttons

_FOLD = {
    **{c: '"' for c in "“”„‟«»″〝〞"},
    **{c: "'" for c in "‘’‚‛′‹›`´"},
    **{c: "-" for c in "–—―‒‐‑−"},
    **{c: " " for c in "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000\t"},
    **{c: " " for c in "\u200b\u200e\u200f\ufeff\u2060\u202a\u202b\u202c\u2066\u2067\u2069"},
    "İ": "I",  # its lower case is two characters
    "：": ":",
    "（": "(",
    "）": ")",
    "｜": "|",
}
_FOLDED = frozenset(_FOLD)
_EDGE = (
    " \t\r\f\v\x1c\x1d\x1e\x1f\x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\ufeff\u2060"
)
_SCRIPT_OF = {
    "cyrillic": re.compile(r"[\u0400-\u04ff]"),
    "arabic": re.compile(r"[\u0600-\u06ff]"),
    "devanagari": re.compile(r"[\u0900-\u097f]"),
    "cjk": re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"),
}
_CJK = _SCRIPT_OF["cjk"]
_BULLET = re.compile(r"(?:[-*•·▪◦●■►▶→>»✓✔]|\d{1,2}[.)])\s+")
_ORNAMENT = re.compile(r"[*~|>=\u2190-\u2bff\U0001f000-\U0001faff\ufe0f\u200d ]{1,8}(?=\w)")
# The label of a button in quotes ('click on "Sign up"') is nobody's speech.
_LABEL = re.compile(r'"([0-9A-Za-z\u00c0-\u024f][0-9A-Za-z\u00c0-\u024f +&-]{1,22}[0-9A-Za-z\u00c0-\u024f])"')
_SENTENCE_END = re.compile(r"""[.!?…。！？।؟۔]["')\]]{0,3}$""")
_PARTICLE = re.compile(r"of|and|the|de|del|della|di|da|do|dos|du|des|la|le|van|von|der|den|und|zu|y|e|et|en|al|bin")
_LABELLED = re.compile(r"[:|>]\s*[^\W_]")
_CUT_OFF = re.compile(r"(?:…|\.\.\.|\[(?:…|\.\.\.)\])$")
_CLOCK = re.compile(r"\W{0,2}\d{1,2}[h:.]\d{2}\b")
_FULL_STOP = re.compile(r"""[.。।۔]["')\]]{0,3}$""")
# Places in the last part of a line where glued cruft may start: after a sentence, before a bracket, a dash, an @ or
# before the words a blog's feed tail starts with.
_SEAM = re.compile(
    r"""(?<=[.!?…।。؟:)"'\]])\s*|\s(?=[(\[©@|-])"""
    r"""|\s(?=the post |l'article |la entrada |der beitrag |read more|subscribe )"""
)
_UNSTOPPED = re.compile(r"\W{0,3}[\u0e01-\u0e4e\u0e81-\u0ecd\u1000-\u109f\u1780-\u17d3]")  # Thai, Lao, Burmese, Khmer
_WORD = re.compile(r"[\w\u0900-\u0963\u0966-\u0d7f\u0e31-\u0e4e]+")  # the vowel signs of India and Thailand are no \w


class HasLine(Protocol):
    """What `site_lines` must offer: its version and membership of a line's hash."""

    @property
    def model_version(self) -> str:
        """The version of the job that counted them; part of the rule's name in the ledger."""
        ...

    def __contains__(self, line_hash: object) -> bool:
        """Tell whether the line of this hash is the site's furniture."""
        ...


class Cut(NamedTuple):
    """``text[start:end]`` goes, by `rule`."""

    start: int
    end: int
    rule: str
    kind: str


def fold(text: str) -> str:
    """Return `text` with quotes, dashes and spaces plain, character for character."""
    if text.isascii() and "`" not in text and "\t" not in text:
        return text
    for char in _FOLDED & set(text):  # a handful are there; `str.translate` would look up every character
        text = text.replace(char, _FOLD[char])
    return text


# What own lines may drag along: arrows, bars and dashes of the page's own lists.
_TRAIL = r"""[ :|*…→>›"»-]{0,4}"""
_UNDER = ("marker", "tail")
_ORDER = {"line": 0, "head": 1, "edge": 2, "marker": 3, "tail": 4}


class _Group(NamedTuple):
    """The rules of one script, by use."""

    lines: Index
    glued: Index
    openers: Index


class _Verdict(NamedTuple):
    """The rule that takes a line anywhere, the one in the head, the one after the story."""

    line: Optional[Rule]
    head: Optional[Rule]
    tail: Optional[Rule]


_NO_RULE = _Verdict(None, None, None)


class Engine:
    """A set of rules, indexed. Immutable; one for the process (see `engine`)."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        ranked = [(_ORDER.get(rule.position, 0) * 10_000 + n, rule) for n, rule in enumerate(self.rules)]
        self._groups = {
            script: _Group(
                lines=Index(((k, r) for k, r in of if r.position in _ORDER), tail=_TRAIL),
                glued=Index(((k, r) for k, r in of if r.is_glued or r.position == "suffix"), tail=_TRAIL),
                openers=Index(((k, r) for k, r in of if r.position == "opener"), tail=""),
            )
            for script in ("latin", *_SCRIPT_OF)
            for of in [[(k, r) for k, r in ranked if script in r.scripts or (script == "latin" and not r.scripts)]]
        }

    def groups_for(self, text: str) -> list[_Group]:
        """Return the groups to try on `text`: those of the scripts that occur in it, Latin last."""
        found = [] if text.isascii() else [s for s, pattern in _SCRIPT_OF.items() if pattern.search(text)]
        return [self._groups[s] for s in (*found, "latin")]

    def find_cuts(
        self,
        text: str,
        *,
        title: Optional[str],
        site_lines: Optional[HasLine] = None,
        keep: frozenset[str] = frozenset(),
    ) -> "Ledger":
        """Return what of `text` stands and what goes; rules whose id or kind is in `keep` do not apply."""
        return _Strip(self, text, title, site_lines, keep).run()


class Ledger(NamedTuple):
    """`kept` are the lines that stand, `cuts` what rules removed; both ordered spans of the text."""

    kept: list[tuple[int, int]]
    cuts: list[Cut]


@cache
def engine() -> Engine:
    """Return the engine of all rules, compiled once per process."""
    return Engine(load_rules())


def words_of(low: str, *, is_cjk: Optional[bool] = None) -> list[str]:
    """Return the words of folded lower-case text; where there are no spaces between words, its characters."""
    if _CJK.search(low) if is_cjk is None else is_cjk:
        return [c for c in low if c.isalnum()]
    return _WORD.findall(low)


def squash(text: str) -> str:
    """Return the words of `text`, folded, with one space between: what two lines must share to be the same line."""
    return " ".join(words_of(fold(text).lower()))


class _Strip:
    """One run over one text. `live` are the numbers of the lines that still stand; spans shrink, never move."""

    def __init__(
        self, rules: Engine, text: str, title: Optional[str], site_lines: Optional[HasLine], keep: frozenset[str]
    ) -> None:
        self.keep = keep
        self.quo = _LABEL.sub(r"'\1'", fold(text))
        self.low = self.quo.lower()
        self.groups = [(group, group.lines.awake(self.low)) for group in rules.groups_for(text)]
        self.has_cjk = _CJK.search(text) is not None
        self.is_cjk = False
        self.site_lines = site_lines
        self.cuts: list[Cut] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.memo: dict[str, _Verdict] = {}
        self.done: set[tuple[str, int, int]] = set()  # ends of lines as they were when nothing could be taken off
        self.has_no_repeats = False
        at = 0
        for raw in text.split("\n"):
            bare = raw.strip(_EDGE)
            if bare:
                start = at + raw.index(bare)
                self.starts.append(start)
                self.ends.append(start + len(bare))
            at += len(raw) + 1
        self.live = list(range(len(self.starts)))
        self.title = squash(title) if title else ""

    def run(self) -> Ledger:
        for _ in range(MOST_PASSES):
            before = len(self.cuts)
            if self.has_cjk and self.is_cjk != self._is_mostly_cjk():
                self.is_cjk, self.has_no_repeats = not self.is_cjk, False
            self._openers()
            self._echoes_of_title()
            self._head()
            self._wrapped()
            self._between()
            self._teasers()
            self._lead_ins()
            self._lines()
            self._repeats()
            self._tail()
            self._suffixes()
            if len(self.cuts) == before:
                break
        return Ledger([(self.starts[i], self.ends[i]) for i in self.live], sorted(self.cuts))

    def _is_mostly_cjk(self) -> bool:
        """Of the lines that stand: a name in brackets does not make an English story a Chinese one."""
        standing = [self.quo[self.starts[i] : self.ends[i]] for i in self.live]
        return sum(len(_CJK.findall(line)) for line in standing) >= CJK_SHARE * sum(map(len, standing))

    # -- lines ------------------------------------------------------------------------------------------------------

    def _verdict(self, i: int) -> "_Verdict":
        """The rules that cover line `i` whole, by where they may apply; remembered, since the words decide alone."""
        start, end = self.starts[i], self.ends[i]
        key = self.quo[start:end]
        try:
            return self.memo[key]
        except KeyError:
            self.memo[key] = verdict = self._match(start, end)
            return verdict

    def _match(self, start: int, end: int) -> "_Verdict":
        if end - start > LONGEST_RULE_CHARS or self.low[start] in "\"'":
            return _NO_RULE
        if bullet := _BULLET.match(self.low, start, end):
            return self._match_from(bullet.end() if bullet.end() < end else start, end)
        verdict = self._match_from(start, end)
        if verdict is _NO_RULE and (ornament := _ORNAMENT.match(self.low, start, end)):
            return self._match_from(ornament.end(), end)
        return verdict

    def _match_from(self, start: int, end: int) -> "_Verdict":
        line: Optional[Rule] = None
        head: Optional[Rule] = None
        tail: Optional[Rule] = None
        for group, awake in self.groups:
            for entry in group.lines.candidates(self.low, start, end, awake):
                rule = entry.rule
                if line is not None and (rule.position not in _UNDER or tail is not None):
                    continue  # it goes wherever it stands; is it a label too, under the story?
                if end - start > rule.max_chars or not self._covers(entry, start, end):
                    continue
                if rule.position == "line":
                    line, tail = rule, None
                    continue
                if rule.position in ("head", "edge"):
                    head = head or rule
                if rule.position != "head" and (line is None or rule.block):
                    tail = tail or rule
        if line is not None:
            return _Verdict(line, line, tail or line)
        return _Verdict(None, head, tail) if head or tail else _NO_RULE

    def _tail_rule(self, i: int) -> Optional[Rule]:
        return self._verdict(i).tail

    def _is_kept(self, rule: Rule) -> bool:
        return rule.id in self.keep or rule.kind in self.keep

    def _covers(self, entry: Entry, start: int, end: int) -> bool:
        if self.keep and self._is_kept(entry.rule):
            return False
        text = self.quo if entry.is_case_sensitive else self.low
        return entry.pattern.fullmatch(text, start, end) is not None and not self._is_narrated(entry.rule, start, end)

    def _is_narrated(self, rule: Rule, start: int, end: int) -> bool:
        """Somebody says or writes it: then it is the story, in the words of cruft. Headlines may well say so."""
        if rule.kind in MAY_NARRATE or end - start < 30:
            return False
        if rule.kind == "related":
            if not _FULL_STOP.search(self.low, max(start, end - 5), end):
                return False
            label = self.quo.find(": ", start, end)  # a sentence goes on in small letters, a headline begins
            if label >= 0 and self.quo[label + 2].islower():
                return True
        if rule.kind in TIMELESS and DATED.search(self.low, start, end):
            return True
        return NARRATED.search(self.low, start, end) is not None

    def _chars(self, i: int) -> float:
        length = self.ends[i] - self.starts[i]
        return length * CJK_WEIGHT if self.has_cjk and _CJK.search(self.low, self.starts[i], self.ends[i]) else length

    def _is_story(self, i: int) -> bool:
        """A paragraph a reader would miss."""
        chars = self._chars(i)
        if chars >= STORY_LONG_CHARS:
            return True
        if not _SENTENCE_END.search(self.low, max(self.starts[i], self.ends[i] - 5), self.ends[i]):
            return False
        return chars >= STORY_CHARS or (chars >= 60 and '"' in self.low[self.starts[i] : self.ends[i]])

    def _is_sentence(self, i: int) -> bool:
        """Ends with a full stop and has more than a word or three; or is of some length where nothing ends with one."""
        start, end = self.starts[i], self.ends[i]
        if _FULL_STOP.search(self.low, max(start, end - 5), end):
            return self.low.count(" ", start, end) >= 3 or self._chars(i) >= 40
        return end - start >= UNSTOPPED_CHARS and _UNSTOPPED.match(self.low, start, end) is not None

    def _is_bullet(self, i: int) -> bool:
        return _BULLET.match(self.low, self.starts[i], self.ends[i]) is not None

    def _is_headline(self, i: int) -> bool:
        return not self._is_sentence(i) and self._chars(i) <= STORY_LONG_CHARS

    def _drop(self, i: int, rule: str, kind: str) -> None:
        self.cuts.append(Cut(self.starts[i], self.ends[i], rule, kind))

    def _drop_all(self, dropped: dict[int, Rule]) -> None:
        for i, rule in dropped.items():
            self._drop(i, rule.id, rule.kind)
        if dropped:
            self.live = [i for i in self.live if i not in dropped]

    # -- steps ------------------------------------------------------------------------------------------------------

    def _openers(self) -> None:
        for i in self.live[:OPENER_LINES]:
            while self._peel_opener(i):
                pass
        self._sweep()

    def _peel_opener(self, i: int) -> bool:
        start, end = self.starts[i], self.ends[i]
        if ("opener", start, end) in self.done:
            return False
        stop = min(end, start + OPENER_CHARS)
        for group, _ in self.groups:
            for entry in group.openers.candidates(self.low, start, stop, group.openers.awake(self.low[start:stop])):
                match = entry.pattern.match(self.quo if entry.is_case_sensitive else self.low, start, end)
                if match and match.end() > start and not self._is_kept(entry.rule):
                    self._cut_front(i, match.end(), entry.rule)
                    return self.starts[i] < self.ends[i]
        self.done.add(("opener", start, end))
        return False

    def _cut_front(self, i: int, to: int, rule: Rule) -> None:
        end = self.ends[i]
        start = self.starts[i]
        stop = start + len(self.low[start:to].rstrip(_EDGE))
        self.cuts.append(Cut(start, stop, rule.id, rule.kind))
        self.starts[i] = end - len(self.low[to:end].lstrip(_EDGE))

    def _sweep(self) -> None:
        self.live = [i for i in self.live if self.starts[i] < self.ends[i]]

    def _echoes_of_title(self) -> None:
        if len(self.title) < 12:
            return
        dropped = []
        for at, i in enumerate(self.live):
            low = self.low[self.starts[i] : self.ends[i]]
            if not len(self.title) * 0.8 <= len(low) <= 2 * len(self.title) + 60:
                continue
            words = " ".join(words_of(low))
            if words == self.title or (
                at < 3
                and words.startswith(self.title)
                and len(words) - len(self.title) <= 30
                and not _FULL_STOP.search(low)
                and len(self.live) > at + 1
            ):
                dropped.append(i)
        if len(dropped) < len(self.live):
            for i in dropped:
                self._drop(i, "repeat.headline", "repeated_headline")
            if dropped:
                self.live = [i for i in self.live if i not in dropped]

    def _head(self) -> None:
        dropped: dict[int, Rule] = {}
        stories = 0
        for at, i in enumerate(self.live[:HEAD_LINES]):
            verdict = self._verdict(i)
            if verdict.line is not None:  # `_lines` takes it with what belongs to it
                continue
            if verdict.head is not None:
                dropped[i] = verdict.head
            elif self._is_story(i):
                stories += 1
                if stories == HEAD_STORY_LINES:
                    break
            if at == len(self.live) - 1:
                break
        self._drop_all(dropped)

    def _wrapped(self) -> None:
        """A disclaimer broken into short lines: joined, it is one paragraph that a rule knows."""
        dropped: dict[int, Rule] = {}
        at, live = 0, self.live
        while at < len(live) - 1:
            if not self._goes_on(live[at], live[at + 1]):
                at += 1
                continue
            last = at + 1
            while last < len(live) - 1 and last - at < 16 and self._goes_on(live[last], live[last + 1]):
                last += 1
            joined = " ".join(self.low[self.starts[i] : self.ends[i]] for i in live[at : last + 1])
            rule = next(
                (
                    e.rule
                    for group, awake in self.groups
                    for e in group.lines.candidates(joined, 0, len(joined), awake)
                    if e.rule.max_chars > SHORT_RULE_CHARS
                    and not e.is_case_sensitive
                    and not self._is_kept(e.rule)
                    and e.pattern.fullmatch(joined)
                ),
                None,
            )
            if rule is not None:
                dropped.update((i, rule) for i in live[at : last + 1])
            at = last + 1
        self._drop_all(dropped)

    def _goes_on(self, i: int, following: int) -> bool:
        """Line `i` breaks off in mid-sentence and `following` continues it."""
        start, end = self.starts[i], self.ends[i]
        if not 12 <= end - start <= 130 or _SENTENCE_END.search(self.low, max(start, end - 5), end):
            return False
        first = self.quo[self.starts[following]]
        if first.islower() or self.low[end - 1] in ",;":
            return True
        return end - start >= 45 and first.isalnum() and not first.isupper()  # a quote or a dash begins a new line

    def _lines(self) -> None:
        dropped: dict[int, Rule] = {}
        site = self.site_lines
        for at, i in enumerate(self.live):
            if site is not None and line_key(self.quo[self.starts[i] : self.ends[i]]) in site:
                dropped[i] = _site_rule(site.model_version)
                continue
            verdict = self._verdict(i)
            rule = verdict.line or verdict.tail
            if rule is None or i in dropped:
                continue
            if verdict.line is None and not (rule.is_strong and self._is_followed_by_story(at)):
                continue
            dropped[i] = rule
            # A label takes along what it points at; a label with its headline on the same line has it already.
            takes = rule.kind in CLOSING or (verdict.tail is not None and verdict.tail.block)
            is_closing = takes and at > 1 and not self._is_followed_by_story(at)
            if is_closing or (rule.block and not _LABELLED.search(self.low, self.starts[i], self.ends[i])):
                dropped.update((j, rule) for j in self._inline_block(at))
        self._drop_all(dropped)

    def _between(self) -> None:
        """Short lines under the story between two lines of cruft of which the first closes it: furniture too."""
        live = self.live
        rules = [verdict.line or verdict.tail for verdict in map(self._verdict, live)]
        last = max(
            (at for at, i in enumerate(live) if rules[at] is None and (self._is_story(i) or self._is_sentence(i))),
            default=len(live),
        )
        dropped: dict[int, Rule] = {}
        start: Optional[int] = None
        for at in range(last + 1, len(live)):
            rule = rules[at]
            if rule is None:
                continue
            between = live[start + 1 : at] if start is not None else []
            if len(between) <= MOST_BETWEEN and all(self._is_headline(i) or self._offers(i) for i in between):
                dropped.update((i, rules[start or 0] or rule) for i in between)
            if start is not None or rule.position in ("tail", "marker") or rule.kind in CLOSING | ASKING:
                start = at
        self._drop_all(dropped)

    def _teasers(self) -> None:
        """Headlines under the story, each with its age under it or its rank over it: a list, whatever it is called."""
        live = self.live
        last = max((at for at, i in enumerate(live) if self._is_story(i) or self._is_sentence(i)), default=len(live))
        marks = ["" for _ in live]
        for at in range(last + 1, len(live)):
            rule = self._tail_rule(live[at])
            words = self.low[self.starts[live[at]] : self.ends[live[at]]]
            if rule is not None and rule.kind == "timestamp":
                marks[at] = "age"
            elif len(words) <= 2 and words.isdecimal():
                marks[at] = words
        dropped: dict[int, Rule] = {}
        for at in range(last + 1, len(live) - 2):
            follows, rule = at + 2, self._tail_rule(live[at])
            if marks[at] == "age" == marks[follows] and rule is not None:
                pair = [at - 1, at + 1]
            elif marks[at].isdecimal() and marks[follows] == str(int(marks[at]) + 1):
                pair, rule = [at, at + 1, follows, follows + 1], _RANKED
            else:
                continue
            if all(last < k < len(live) and (marks[k] or self._is_title(live[k])) for k in pair) and rule is not None:
                dropped.update((live[k], rule) for k in pair)
        self._drop_all(dropped)

    def _is_title(self, i: int) -> bool:
        """A headline of four words or more, not known for anything else: no name, no score."""
        return (
            self._verdict(i) is _NO_RULE
            and self._is_headline(i)
            and self.low.count(" ", self.starts[i], self.ends[i]) >= 3
        )

    def _lead_ins(self) -> None:
        """What leads up to a request: its offer, with the heading over it, or its question to the reader."""
        dropped: dict[int, Rule] = {}
        live = self.live
        for at in range(len(live) - 1, 1, -1):
            verdict = self._verdict(live[at])
            rule = verdict.line or verdict.tail
            if rule is None or rule.kind not in ASKING:
                continue
            is_under = not self._is_followed_by_story(at)
            if verdict.line is None and not is_under:
                continue
            above = at - 1
            while above > 0 and at - above <= 3 and self._leads_in(live[above], is_under=is_under):
                dropped[live[above]] = rule
                above -= 1
            i = live[above]
            if above > 0 and above < at - 1 and self._is_heading(i) and self._is_sentence(live[above - 1]):
                dropped[i] = rule
        self._drop_all(dropped)

    def _leads_in(self, i: int, *, is_under: bool) -> bool:
        if self._verdict(i) is not _NO_RULE or self._chars(i) > STORY_CHARS or self._is_bullet(i):
            return False
        if self._offers(i):
            return True
        start, end = self.starts[i], self.ends[i]
        if not is_under or self._is_sentence(i) or '"' in self.low[start:end] or not PITCH.search(self.low, start, end):
            return False
        return self.low[end - 1] != "?" or ASKED.search(self.low, start, end) is not None

    def _offers(self, i: int) -> bool:
        start, end = self.starts[i], self.ends[i]
        return (
            self._chars(i) <= STORY_CHARS
            and '"' not in self.low[start:end]
            and OFFER.search(self.low, start, end) is not None
            and (not self._is_sentence(i) or PITCH.search(self.low, start, end) is not None)
            and NARRATED.search(self.low, start, end) is None
        )

    def _is_heading(self, i: int) -> bool:
        return (
            self._verdict(i) is _NO_RULE
            and self._chars(i) <= 45
            and not _SENTENCE_END.search(self.low, self.starts[i], self.ends[i])
            and not self._is_bullet(i)
        )

    def _is_followed_by_story(self, at: int) -> bool:
        return any(self._verdict(i) is _NO_RULE and self._is_story(i) for i in self.live[at + 1 : at + 12])

    def _inline_block(self, at: int) -> list[int]:
        """Bullets after a marker inside the story, or the one headline it points at; after the story, the list."""
        block: list[int] = []
        if at > 1 and not self._is_followed_by_story(at):
            for i in self.live[at + 1 : at + 12]:
                if self._verdict(i) is not _NO_RULE or not self._is_headline(i):
                    break
                block.append(i)
            return block
        for i in self.live[at + 1 : at + 11]:
            if not self._is_bullet(i) or self._is_story(i):
                break
            block.append(i)
        if not block and at + 1 < len(self.live):
            i = self.live[at + 1]
            introduces = self.low[self.ends[i] - 1] == ":"
            if (
                self._is_headline(i)
                and self._chars(i) >= 18
                and not introduces
                and not self._is_story(i)
                and not _CLOCK.match(self.low, self.starts[i])  # an entry of a live blog is no teaser
            ):
                block.append(i)
        return block

    def _tail(self) -> None:
        """Markers and tail lines from the end upward; `last_story` is the last line that reads like the story."""
        live = self.live
        rules = [self._tail_rule(i) for i in live]
        stories = [at for at, i in enumerate(live) if rules[at] is None and self._is_story(i)]
        first_sentence = next(
            (at for at, i in enumerate(live) if rules[at] is None and (self._is_sentence(i) or self._is_story(i))), None
        )
        if first_sentence is None:
            return
        dropped: dict[int, Rule] = {}
        for at in range(len(live) - 1, first_sentence, -1):
            rule = rules[at]
            if rule is None:
                continue
            reach = self._block_end(at, rule, rules)
            while stories and at < stories[-1] < reach:
                stories.pop()
            if stories and stories[-1] >= reach:
                continue
            for j in range(at, reach):
                dropped.setdefault(live[j], rules[j] or rule)
            if rule.kind in ("pr_contact", "author_bio"):
                for j in range(at - 1, max(first_sentence, at - 4), -1):
                    if rules[j] is not None or not self._is_name(live[j]):
                        break
                    dropped[live[j]] = rule
        self._drop_all(dropped)

    def _block_end(self, at: int, rule: Rule, rules: Sequence[Optional[Rule]]) -> int:
        """The first line after the block of the marker at `at`."""
        live, block = self.live, rule.block or ("list" if rule.kind in CLOSING else "")
        j = at + 1
        if not block:
            return j
        if block == "about":
            taken = 0
            while j < len(live) and taken < 3 and rules[j] is None and self._is_boilerplate(live[j]):
                j += 1
                taken += 1
            if not taken and j < len(live) and rules[j] is None:
                return j
        while j < len(live):
            i = live[j]
            if rules[j] is not None:
                j += 1
                continue
            if block == "list":
                goes = self._is_headline(i)
            elif block == "fields":
                goes = self._is_field(i)
            elif block == "legal":
                goes = not self._is_story(i) or len(set(LEGALESE.findall(self.low, self.starts[i], self.ends[i]))) >= 2
            elif block == "one":
                goes = j == at + 1 and self._is_headline(i)
            else:
                goes = not self._is_story(i)
            if not goes:
                break
            j += 1
        return j

    def _is_boilerplate(self, i: int) -> bool:
        return self._chars(i) >= 60 and BOILERPLATE.search(self.low, self.starts[i], self.ends[i]) is not None

    def _is_name(self, i: int) -> bool:
        """A person's or company's name on a line of its own: few words, all with capitals but a name's particles."""
        words = _WORD.findall(self.quo, self.starts[i], self.ends[i])
        return (
            self._chars(i) <= 60
            and 2 <= len(words) <= 7
            and all(w[0].isupper() or _PARTICLE.fullmatch(w) for w in words)
        )

    def _is_field(self, i: int) -> bool:
        if self._chars(i) <= 90 and not self._is_sentence(i):
            return True
        return self._chars(i) <= 260 and FIELD.search(self.low, self.starts[i], self.ends[i]) is not None

    def _suffixes(self) -> None:
        for i in self.live[-SUFFIX_LINES:]:
            while self.starts[i] < self.ends[i] and self._peel_suffix(i):
                pass
        self._sweep()

    def _peel_suffix(self, i: int) -> bool:
        start, end = self.starts[i], self.ends[i]
        if ("suffix", start, end) in self.done:
            return False
        window = max(start, end - SUFFIX_WINDOW_CHARS)
        awake_by_group = [(group.glued, group.glued.awake(self.low[window:end])) for group, _ in self.groups]
        for seam in _SEAM.finditer(self.low, window, end):
            at = seam.end()
            if at <= start or at >= end:
                continue
            for glued, awake in awake_by_group:
                for entry in glued.candidates(self.low, at, end, awake):
                    if end - at <= entry.rule.max_chars and self._covers(entry, at, end):
                        self.cuts.append(Cut(at, end, entry.rule.id, entry.rule.kind))
                        self.ends[i] = start + len(self.low[start:at].rstrip(_EDGE))
                        return True
        self.done.add(("suffix", start, end))
        return False

    # -- repetition -------------------------------------------------------------------------------------------------

    def _repeats(self) -> None:
        if self.has_no_repeats:  # lines only go, so none can come
            return
        live = self.live
        spans = [(self.starts[i], self.ends[i]) for i in live]
        lines = [words_of(self.low[start:end], is_cjk=self.is_cjk) for start, end in spans]
        cut_off = [_CUT_OFF.search(self.low, start, end) is not None for start, end in spans]
        dropped = find_repeats(lines, cut_off, is_cjk=self.is_cjk)
        if dropped is None:
            self.has_no_repeats = True
            return
        for at, rule in dropped.items():
            self._drop(live[at], rule, "repeated_body")
        self.live = [i for at, i in enumerate(live) if at not in dropped]


_RANKED = Rule("related.ranked", "related", ("any",), "tail", (), "a list of headlines, numbered", (), ())


@cache
def _site_rule(version: str) -> Rule:
    return Rule(f"site_lines.{version}", "site_boilerplate", ("any",), "line", (), "learned from the site", (), ())


def line_key(line: str) -> str:
    """Return what a line is hashed by: its words, folded."""
    return squash(line)
