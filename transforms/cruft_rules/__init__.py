"""The cruft rules as data: one TOML file per family of kinds, read once and checked when read.

A rule says what a piece of cruft looks like, where it may stand, where its wording was seen, and gives cases of its
own, both ways. The tests run every rule's cases; docs are generated from them.

Decisions:
    Patterns are plain regular expressions over *folded* text: quotes, dashes and spaces made plain and (unless the
    rule says ``case = true``) lower case, all one character for one, so that offsets stay those of the input. A
    pattern always covers a whole line, or starts at a line's beginning or at the end of a sentence: it is anchored by
    its position and never searched for inside a sentence.

    ``%name%`` in a pattern is a macro of ``words.toml``: the names of wires, months, addresses. A new wire is one
    word there.

Positions:
    * opener: before the story on one of the first lines, which goes on after it
    * suffix: after the last sentence of one of the last lines
    * head:   a line of its own before the story is under way
    * line:   a line of its own anywhere
    * tail:   a line of its own after which no story comes
    * marker: as tail, and it takes along the lines after it that its `block` describes
    * edge:   head or tail

Blocks (what a marker takes along; never a paragraph that reads like the story, unless said here):
    * one:    the next line, if it reads like a headline
    * list:   bullets and lines that read like headlines
    * fields: names, numbers and addresses of a contact
    * rest:   everything that is not a paragraph of the story
    * legal:  as rest, and paragraphs in legal language
    * about:  up to three paragraphs about the company named in the marker, then as rest
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

POSITIONS = ("opener", "suffix", "head", "line", "tail", "marker", "edge")
BLOCKS = ("", "one", "list", "fields", "rest", "legal", "about")
SCRIPTS: Mapping[str, str] = {
    "ru": "cyrillic",
    "uk": "cyrillic",
    "ar": "arabic",
    "fa": "arabic",
    "ur": "arabic",
    "hi": "devanagari",
    "zh": "cjk",
    "ja": "cjk",
    "ko": "cjk",
}

_MACRO = re.compile(r"%([a-z_]+)%")


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        id: family and name, ``related.read_also_de``; what the ledger shows.
        kind: what is removed (see docs/cruft.md).
        languages: where it was seen; ``any`` is tried everywhere. Only the script decides what is tried: English
            cruft on a German story is common.
        position: see the module.
        patterns: regular expressions over folded text.
        block: what a marker takes along.
        is_case_sensitive: match the text with its capitals (names of wires and places).
        is_glued: the line may also hang behind the last sentence of a paragraph.
        is_strong: a marker that goes, with its bullets and one headline, even when the story goes on after it.
        max_chars: the longest line it may cover.
        is_verified: a real page backs it; False where only general knowledge does.
        source: where the wording was seen.
        positive: texts (lines) that hold the cruft and nothing of the story besides ``~`` lines.
        negative: lines of a story that hold its trigger and stay.
    """

    id: str
    kind: str
    languages: Sequence[str]
    position: str
    patterns: Sequence[str]
    source: str
    positive: Sequence[str]
    negative: Sequence[str]
    block: str = ""
    is_case_sensitive: bool = False
    is_glued: bool = False
    is_strong: bool = False
    max_chars: int = 300
    is_verified: bool = True

    @property
    def scripts(self) -> frozenset[str]:
        """The scripts in which it is tried."""
        return frozenset(SCRIPTS.get(language, "latin") for language in self.languages if language != "any")


def _expand(pattern: str, words: Mapping[str, str]) -> str:
    for _ in range(4):
        expanded = _MACRO.sub(lambda m: words[m.group(1)], pattern)
        if expanded == pattern:
            return pattern
        pattern = expanded
    raise ValueError(f"macros nest too deeply in {pattern!r}")


def _lower(pattern: str) -> str:
    """Lower-case the letters a pattern spells out; what follows a backslash stays as it is."""
    return re.sub(r"\\.|[^\\]+", lambda m: m.group(0) if m.group(0)[0] == "\\" else m.group(0).lower(), pattern)


def _read(name: str, table: Mapping[str, object], words: Mapping[str, str]) -> Rule:
    known = {
        "id", "kind", "languages", "position", "patterns", "source", "positive", "negative",
        "block", "case", "glued", "strong", "max_chars", "verified",
    }  # fmt: skip
    if unknown := set(table) - known:
        raise ValueError(f"{name}: rule {table.get('id')!r} has unknown keys {sorted(unknown)}")
    is_case_sensitive = bool(table.get("case", False))
    patterns = [_expand(p, words) for p in table["patterns"]]  # type: ignore[attr-defined]
    rule = Rule(
        id=str(table["id"]),
        kind=str(table["kind"]),
        languages=tuple(table["languages"]),  # type: ignore[arg-type]
        position=str(table["position"]),
        patterns=tuple(patterns if is_case_sensitive else map(_lower, patterns)),
        source=str(table["source"]),
        positive=tuple(table["positive"]),  # type: ignore[arg-type]
        negative=tuple(table["negative"]),  # type: ignore[arg-type]
        block=str(table.get("block", "")),
        is_case_sensitive=is_case_sensitive,
        is_glued=bool(table.get("glued", False)),
        is_strong=bool(table.get("strong", False)),
        max_chars=int(table.get("max_chars", 300)),  # type: ignore[call-overload]
        is_verified=bool(table.get("verified", True)),
    )
    if rule.position not in POSITIONS or rule.block not in BLOCKS:
        raise ValueError(f"{name}: rule {rule.id!r} has position {rule.position!r}, block {rule.block!r}")
    return rule


def load_kinds() -> Mapping[str, str]:
    """Return what each kind of cruft is, by its name in the ledger."""
    kinds: dict[str, str] = tomllib.loads(resources.files(__name__).joinpath("kinds.toml").read_text(encoding="utf-8"))
    return kinds


@cache
def load_rules() -> tuple[Rule, ...]:
    """Return all rules in the order of their files and lines.

    Raises:
        ValueError: a file holds an unknown key, position, block or kind, or an id twice.
    """
    folder = resources.files(__name__)
    words = tomllib.loads(folder.joinpath("words.toml").read_text(encoding="utf-8"))
    rules: list[Rule] = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml") and file.name not in ("words.toml", "kinds.toml"):
            tables: Iterable[Mapping[str, object]] = tomllib.loads(file.read_text(encoding="utf-8"))["rule"]
            rules += [_read(file.name, table, words) for table in tables]
    if unknown := {rule.kind for rule in rules} - set(load_kinds()):
        raise ValueError(f"kinds that kinds.toml does not know: {sorted(unknown)}")
    ids = [rule.id for rule in rules]
    if twice := {i for i in ids if ids.count(i) > 1}:
        raise ValueError(f"rule ids given twice: {sorted(twice)}")
    return tuple(rules)
