"""Write the pages of docs/ that are generated from the code, or check that they are up to date (`make check`)."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from transforms.cruft_rules import Rule, load_kinds, load_rules
from transforms.schemas import ALL_TABLES, SCHEMA_VERSION

DOCS = Path(__file__).resolve().parent.parent / "docs"


def schema_page() -> Iterator[str]:
    """Yield docs/schema.md: the tables, their keys and columns."""
    yield "# The lake's tables"
    yield ""
    yield (
        f"Schema version {SCHEMA_VERSION}. Generated from `transforms/schemas.py` by `make docs`; the same "
        "descriptions are in the tables' own metadata. Columns are added, never renamed, retyped or removed."
    )
    for table in ALL_TABLES:
        yield from ("", f"## {table.name}", "", table.description, "")
        yield f"Key: `{', '.join(table.key)}`. Partition: `date`."
        yield from ("", "| column | type | what it holds |", "|---|---|---|")
        for field in table.schema:
            required = "" if field.nullable else ", always set"
            description = field.metadata[b"description"].decode().replace("|", "\\|")
            yield f"| `{field.name}` | {type_name(field.type)}{required} | {description} |"


def type_name(kind: pa.DataType) -> str:
    """Return an Arrow type as a reader of SQL would name it."""
    if pa.types.is_list(kind):
        return f"list of {type_name(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "struct(" + ", ".join(f"{f.name} {type_name(f.type)}" for f in kind) + ")"
    names = {"timestamp[us, tz=UTC]": "timestamp (UTC, microseconds)", "date32[day]": "date", "bool": "boolean"}
    return names.get(str(kind), str(kind))


_PLACES = {
    "opener": "before the first sentence",
    "suffix": "behind the last sentence",
    "head": "a line over the story",
    "line": "a line anywhere",
    "tail": "a line under the story",
    "marker": "a line under the story, with what follows",
    "edge": "a line over or under the story",
}


def cruft_page() -> Iterator[str]:
    """Yield docs/cruft.md: the kinds of cruft, and each rule with one text it removes and one it keeps."""
    rules, kinds = load_rules(), load_kinds()
    unverified = sum(not rule.is_verified for rule in rules)
    yield "# What is removed, and what is not"
    yield ""
    yield (
        f"Generated from `transforms/cruft_rules/` by `make docs`: {len(rules)} rules with "
        f"{sum(len(rule.patterns) for rule in rules)} patterns. {unverified} are *unverified*: written from general "
        "knowledge, no real page has backed them yet. `any` is tried on every text; else only the script decides: "
        "English cruft on a story in another language is common. Which rule removed what stands in each row's "
        "`removed`, and `newsbeam clean --explain` shows it. Examples are invented; ⏎ ends a line."
    )
    yield ""
    yield "| kind | what it is | rules | unverified | languages |"
    yield "|---|---|---|---|---|"
    for kind, meaning in kinds.items():
        of = [rule for rule in rules if rule.kind == kind]
        languages = " ".join(dict.fromkeys(language for rule in of for language in sorted(rule.languages)))
        yield f"| {kind} | {meaning} | {len(of) or '-'} | {sum(not r.is_verified for r in of) or '-'} | {languages} |"
    for kind, meaning in kinds.items():
        if of := [rule for rule in rules if rule.kind == kind]:
            yield from ("", f"## {kind}", "", f"{meaning[0].upper()}{meaning[1:]}.", "")
            yield from ("| rule | where | removed | kept |", "|---|---|---|---|")
            yield from map(_rule_row, of)


def _rule_row(rule: Rule) -> str:
    place = _PLACES[rule.position] + (", or glued to one" if rule.is_glued else "")
    about = f"`{rule.id}` ({' '.join(rule.languages)}{'' if rule.is_verified else '; unverified'})"
    return f"| {about} | {place} | {_example(rule.positive[0])} | {_example(rule.negative[0])} |"


def _example(text: str) -> str:
    short = text if len(text) <= 160 else f"{text[:159]}…"
    return "`` " + short.replace("\n", " ⏎ ").replace("|", "\\|") + " ``"


PAGES: dict[str, Callable[[], Iterator[str]]] = {"schema.md": schema_page, "cruft.md": cruft_page}


def main() -> int:
    """Write the pages; with ``--check`` say which differ and return 1."""
    stale = []
    for name, page in PAGES.items():
        text = "\n".join(page()) + "\n"
        path = DOCS / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                DOCS.mkdir(exist_ok=True)
                path.write_text(text, "utf-8")
    if "--check" in sys.argv:
        if stale:
            print(f"docs/{stale[0]} is not what the code says; run `make docs`", file=sys.stderr)
        return bool(stale)
    print(f"docs: {len(stale)} of {len(PAGES)} pages written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
