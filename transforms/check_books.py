"""The books: whether every entry that a poll saw is accounted for. A room of commit."""

from collections.abc import Sequence
from typing import Optional

import pyarrow.dataset as ds

from transforms.lake import Lake
from transforms.schemas import POLLS


def check_books(lake: Lake, *, run_id: Optional[str] = None, since_day: Optional[str] = None) -> Sequence[str]:
    """Return a line for each poll whose books do not balance; empty when all do.

    For every poll row, entries = known + new, there are as many ids as `new` says, and each id is in articles or
    dead_letters.

    Args:
        lake: an open lake.
        run_id: look at this run's polls only; None looks at all.
        since_day: look at polls committed on this UTC day (ISO) and later; None looks at all.
    """
    columns = ["url", "polled_at", "entries", "known", "new", "new_entry_ids"]
    keep = None if run_id is None else ds.field("run_id") == run_id
    lines = []
    with lake.lock:
        lake.refresh()
        days = None if since_day is None else (since_day, "9999-12-31")
        for poll in lake.read(POLLS, columns, keep=keep, days=days).to_pylist():
            name = f"poll of {poll['url']} at {poll['polled_at']:%Y-%m-%d %H:%M:%S}"
            ids = poll["new_entry_ids"] or []
            if poll["entries"] != poll["known"] + poll["new"] or poll["new"] != len(ids):
                lines.append(
                    f"{name}: {poll['entries']} entries, but {poll['known']} known and {poll['new']} new "
                    f"with {len(ids)} ids"
                )
            missing = [i for i, there in zip(ids, lake.has_entries(ids), strict=True) if not there] if ids else []
            if missing:
                lines.append(f"{name}: {len(missing)} new entries are in no table, the first is {missing[0]}")
    return lines
