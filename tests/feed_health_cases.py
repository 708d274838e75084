"""Polls of a feed and how the feed stands: written before the code that judges it.

`TROUBLES`: a name, the polls oldest first (hours before now, and fields of the row), the trouble they amount to.
`MOVES`: where the newest good polls were redirected to for good, oldest first, and the address that is suggested.
`RATES`: (hours before now, new entries) of polls, and new entries a day.
"""

from typing import Any, Optional

GOOD: dict[str, Any] = {"status": "ok", "new": 2}
SAME: dict[str, Any] = {"status": "not_modified", "new": 0}
FAILED: dict[str, Any] = {"status": "failed", "reason": "http_503", "message": "HTTP 503"}
NEW_HOME = "https://new.example/feed"
MOVED: dict[str, Any] = {**GOOD, "state": "moved", "moved_to": NEW_HOME}


def _failed(count: int, state: str = "ok", reason: str = "http_503") -> dict[str, Any]:
    return {**FAILED, "failures_in_a_row": count, "state": state, "reason": reason}


TROUBLES: list[tuple[str, list[tuple[float, dict[str, Any]]], str]] = [
    ("never polled", [], "never_polled"),
    ("brought news an hour ago", [(25, GOOD), (1, GOOD)], "ok"),
    ("unchanged since yesterday", [(25, GOOD), (1, SAME)], "ok"),
    ("failed once", [(25, GOOD), (1, _failed(1))], "failing"),
    ("failed three times", [(25, GOOD), (3, _failed(1)), (2, _failed(2)), (1, _failed(3, "backing_off"))], "failing"),
    ("failed and came back", [(3, _failed(2)), (1, SAME), (0.5, GOOD)], "ok"),
    ("asked us to wait, and we did", [(25, GOOD), (1, _failed(0, "backing_off", "host_asked_to_wait"))], "failing"),
    ("never answered", [(9, _failed(1)), (1, _failed(2))], "failing"),
    ("gone", [(99, GOOD), (1, _failed(1, "gone", "http_410"))], "gone"),
    ("moved once", [(50, GOOD), (25, GOOD), (1, MOVED)], "ok"),
    ("moved for three polls", [(50, MOVED), (25, MOVED), (1, MOVED)], "moved"),
    ("moved, and fails at the new place", [(50, MOVED), (25, MOVED), (2, MOVED), (1, _failed(1))], "failing"),
    (
        "daily for weeks, then nothing but the same",
        [(24 * day, GOOD) for day in range(60, 20, -1)] + [(24 * day, SAME) for day in range(20, 0, -1)],
        "silent",
    ),
    ("never brought anything", [(24 * day, SAME) for day in range(60, 0, -1)], "silent"),
]

MOVES: list[tuple[list[Optional[str]], Optional[str]]] = [
    ([], None),
    ([None], None),
    ([NEW_HOME], None),
    ([NEW_HOME, NEW_HOME], None),
    ([NEW_HOME, NEW_HOME, NEW_HOME], NEW_HOME),
    ([None, NEW_HOME, NEW_HOME, NEW_HOME], NEW_HOME),
    ([NEW_HOME, NEW_HOME, NEW_HOME, None], None),
    ([NEW_HOME, None, NEW_HOME, NEW_HOME], None),
    (["https://other.example/", NEW_HOME, NEW_HOME], None),
    ([*["https://old.example/feed"] * 3], None),  # to the address that is listed
]

RATES: list[tuple[list[tuple[float, int]], Optional[float]]] = [
    ([], None),
    ([(5, 40)], None),  # what was there at the first poll came at any time before it
    ([(48, 40), (24, 3), (0, 5)], 4.0),
    ([(48, 0), (24, 0)], 0.0),
    ([(2, 40), (1, 3), (0, 5)], 8.0),  # less than a day counts as a day
    ([(240, 7), (0, 5)], 0.5),
]
