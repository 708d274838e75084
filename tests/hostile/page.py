"""Write docs/hostile-zoo.md from the list of cases (`make docs`)."""

from pathlib import Path

from tests.hostile.cases import ALL_CASES, CASES, CLOCK_SECONDS, KIB, MIB, PARSE_SECONDS, SOME, Case

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "hostile-zoo.md"


def page_text() -> str:
    """Return the page."""
    lines = [
        "# The hostile zoo",
        "",
        "Generated from `tests/hostile/cases.py` by `make docs`; `tests/hostile/test_zoo.py` plays every case against",
        f"a real server on loopback. {len(ALL_CASES)} behaviours of servers, each polled together with a healthy feed whose",
        f"articles must all arrive. One exchange has a clock of {CLOCK_SECONDS:g} seconds there, and parsing one of "
        f"{PARSE_SECONDS:g} (30 each by",
        "default); all other settings are those of production. In every case the books balance, no connection goes to an address that the rules forbid,",
        "and no control character reaches a row, the log or a request.",
        "",
        "*ends* is how each poll of the feed ends (a status, or the reason of its failure), then what becomes of its",
        "entries: `page` (fetched), `feed` (the feed's own text), or the reason of a dead letter. The caps are on what",
        "the server gets rid of, on the wall clock of the whole run, and on requests.",
    ]
    for heading, cases in CASES.items():
        lines += [
            "",
            f"## {heading}",
            "",
            "| case | the server | known from | ends | at most |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(case) for case in cases]
    return "\n".join(lines) + "\n"


def _row(case: Case) -> str:
    ends = ", ".join(f"`{poll}`" for poll in case.polls)
    if case.entries:
        counted = (
            f"`{name}`" + (f" x {count:,}" if count not in (1, SOME) else "") for name, count in case.entries.items()
        )
        ends += "; entries: " + ", ".join(counted)
    if case.warns:
        ends += f"; warns `{case.warns}`"
    caps = f"{_size(case.most_bytes)}, {case.most_seconds:g} s, {case.most_requests} requests"
    name = f"{case.name} (where {case.needs} is offered)" if case.needs else case.name
    return " | ".join(("| " + name, _cell(case.does), _cell(case.known_from), ends, caps + " |"))


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count // KIB} KiB"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page_text(), "utf-8")
