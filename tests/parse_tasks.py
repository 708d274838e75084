"""A reader of feeds whose bodies are orders: what the workers of test_feed_parser.py run."""

from tests.worker_tasks import do
from transforms.feed_parser import EntryValues, FeedItem, FeedValues


def read(item: FeedItem) -> FeedValues:
    """Return a feed of the entries that ``feed KEY ...`` names, else do what the body says (see worker_tasks.py)."""
    what, *values = item.body.decode().split()
    if what != "feed":
        do((what.replace("-", " "), int(values[0]) if values else 0))
    return FeedValues("rss", [EntryValues(key, f"hash of {key}", "") for key in values])
