"""What the thread of the acquirer and those who harvest it share: finished items, and how many feeds are under way.

Decisions:
    One condition guards it all, so that "nothing under way and nothing to harvest" can be asked as one question.

    The queue never refuses an item, since what is finished must go somewhere; it says when it is full, and whoever
    fills it stops starting work. It is open again when half empty, so that work does not start and stop by the piece.
"""

import threading
from collections import deque
from typing import Optional, Union

from transforms import telemetry
from transforms.records import Failure, Page, Poll

Item = Union[Page, Failure, Poll]

MOST_WAITING_PAGES = 400
MOST_WAITING_BYTES = 64 * 1024 * 1024


class HarvestQueue:
    """Finished items in order, and the count of feeds under way; every method may be called from any thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._items: deque[tuple[Item, int]] = deque()
        self._pages = self._bytes = 0
        self.under_way = 0
        self.fatal: Optional[BaseException] = None
        self.closed = False
        self.paused = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> bool:
        """Append an item; True when that filled the queue."""
        size = len(item.html or b"") + len(item.text or "") if isinstance(item, Page) else 0
        with self.changed:
            self._items.append((item, size))
            self._pages += isinstance(item, Page)
            self._bytes += size
            self._tell()
            self.changed.notify_all()
            if self.paused or not self._is_full(1.0):
                return False
            self.paused = True
            return True

    def take(self, max_items: int, timeout_seconds: float) -> tuple[list[Item], bool]:
        """Return the oldest items, and whether that made room in a full queue; waits for the first."""
        with self.changed:
            self.changed.wait_for(self._has_news, timeout_seconds)
            if self.fatal is not None:
                raise self.fatal
            if self.closed:
                raise RuntimeError("the acquirer is closed")
            items: list[Item] = []
            while self._items and len(items) < max_items:
                item, size = self._items.popleft()
                items.append(item)
                self._pages -= isinstance(item, Page)
                self._bytes -= size
            self._tell()
            made_room = self.paused and not self._is_full(0.5)
            if made_room:
                self.paused = False
            return items, made_room

    def count(self, change: int) -> None:
        """Change the number of feeds under way."""
        with self.changed:
            self.under_way += change
            self.changed.notify_all()

    def stop(self, error: BaseException) -> None:
        """Let the next `take` raise `error`."""
        with self.changed:
            self.fatal = self.fatal or error
            self.changed.notify_all()

    def is_idle(self) -> bool:
        """Return whether nothing is under way and nothing waits."""
        with self.changed:
            return not self.under_way and not self._items

    def _has_news(self) -> bool:
        return bool(self._items) or self.fatal is not None or self.closed or not self.under_way

    def _tell(self) -> None:
        telemetry.HARVEST_QUEUE_PAGES.set(self._pages)
        telemetry.HARVEST_QUEUE_BYTES.set(self._bytes)

    def _is_full(self, share: float) -> bool:
        return self._pages >= MOST_WAITING_PAGES * share or self._bytes >= MOST_WAITING_BYTES * share
