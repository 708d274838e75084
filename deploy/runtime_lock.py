"""Print the part of requirements.lock that a deployment needs: no test tools, the hashes kept.

    python deploy/runtime_lock.py requirements.lock                  what newsbeam needs to run
    python deploy/runtime_lock.py requirements.lock setuptools       what the named packages need

Decisions:
    The lock says behind `# via` who wants each package, so a second lock, which could disagree, is not needed.

Limits: reads what `make lock` writes (uv's annotations), not every requirements file.
"""

import re
import sys
from pathlib import Path

PROJECT = "newsbeam (pyproject.toml)"
_NAME = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==")


def closure(lock: str, *roots: str) -> str:
    """Return the entries of `lock` that `roots` stand for or need, in its order.

    Raises:
        ValueError: a line is not of the form that is read, or a root is not in the lock.
    """
    entries: dict[str, list[str]] = {}
    wanted_by: dict[str, set[str]] = {}
    name = ""
    for line in lock.splitlines():
        if match := _NAME.match(line):
            name = match["name"]
            entries.setdefault(name, [])  # a name stands twice where Pythons need different versions
            wanted_by.setdefault(name, set())
        elif line and not line.startswith((" ", "#")):
            raise ValueError(f"not a pinned package: {line!r}")
        elif not name:
            continue
        entries[name].append(line)
        if (comment := line.strip()).startswith("#"):
            wanted_by[name].add(comment.lstrip("# ").removeprefix("via").strip())
    kept = {root for root in roots if root in entries}
    if unknown := set(roots) - kept - {PROJECT}:
        raise ValueError(f"not in the lock: {', '.join(sorted(unknown))}")
    reached = {*roots}
    while more := {name for name, by in wanted_by.items() if by & reached} - kept:
        kept |= more
        reached |= more
    return "".join(f"{line}\n" for name, lines in entries.items() if name in kept for line in lines)


if __name__ == "__main__":
    sys.stdout.write(closure(Path(sys.argv[1]).read_text("utf-8"), *(sys.argv[2:] or [PROJECT])))
