"""Write the pages of docs/ that are generated from the code, or check that they are up to date (`make check`)."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

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


PAGES: dict[str, Callable[[], Iterator[str]]] = {"schema.md": schema_page}


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
