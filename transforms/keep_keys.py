"""Entries whose guid changes from poll to poll keep the key they had: two pure functions.

Decisions:
    An entry is taken for one of the poll before only when everything but its guid is the same (title, link and words,
    which `entry_hash` covers), when nothing else in either poll looks like it, and when its old key is gone. So no
    entry is lost: what differs in anything is new, and is fetched.

Limits: what is known is what the process polled last; after a start such a feed is read once as if it were new, which
the commit notices by the articles' addresses and texts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from transforms.records import FeedEntry


def known_keys(entries: Sequence[FeedEntry]) -> dict[str, str]:
    """Return the keys of a poll's entries by `entry_hash`, of those that have a link and look like no other."""
    seen = Counter(entry.entry_hash for entry in entries)
    return {entry.entry_hash: entry.key for entry in entries if entry.url and seen[entry.entry_hash] == 1}


def keep_keys(entries: Sequence[FeedEntry], known: Mapping[str, str]) -> tuple[FeedEntry, ...]:
    """Return `entries`, those whose guid alone changed under the key they had.

    Args:
        entries: of one poll, their keys unique.
        known: `known_keys` of what this function returned for the poll before.
    """
    present = {entry.key for entry in entries}
    alike = known_keys(entries)
    kept = []
    for entry in entries:
        key = known.get(entry.entry_hash) if entry.entry_hash in alike else None
        kept.append(replace(entry, key=key) if key is not None and key not in present else entry)
    return tuple(kept)
