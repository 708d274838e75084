"""What test_bench_polling runs in a process of its own, so that processor time and peak memory are the acquirer's.

    python -m tests.bench.poll_rounds '{"urls": [...], "hosts": [...], "spacing_seconds": 1.0}'

Polls all feeds twice with one acquirer, then asks the same requests of the second round of the HTTP client alone.
Prints one line of JSON.
"""

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from apache_beam.utils.timestamp import Timestamp

from tests.bench.feed_hosts import LoopLag
from transforms.acquire import AcquireConfig, Acquirer, Item
from transforms.acquirer import FEED_ACCEPT
from transforms.errors import IngestError
from transforms.http import HttpClient, parse_allow_host
from transforms.parse_feed import parse_feed
from transforms.poll_feeds import request_headers
from transforms.records import FeedSpec, FeedState, KnownContent, Poll, feed_id_of

STATE_FIELDS = ("feed_id", "etag", "last_modified", "content_hash", "state", "failures_in_a_row", "polled_at")


class Memory:
    """A lake of two dictionaries, committed to at once."""

    def __init__(self) -> None:
        self.states: dict[str, FeedState] = {}
        self.known: set[tuple[str, str]] = set()

    def feed_states(self, feed_ids: Sequence[str]) -> Mapping[str, FeedState]:
        return {feed_id: self.states[feed_id] for feed_id in feed_ids if feed_id in self.states}

    def entry_attempts(self, pairs: Sequence[tuple[str, str]], now: Timestamp) -> Sequence[int]:
        return [int(pair not in self.known) for pair in pairs]

    def known_contents(self, feed_id: str, entry_hashes: Sequence[str]) -> Sequence[Optional[KnownContent]]:
        return [None] * len(entry_hashes)

    def has_due_retries(self, feed_id: str, now: Timestamp) -> bool:
        return False

    def refresh(self) -> None:
        pass

    def commit(self, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, Poll):
                fields: dict[str, Any] = {name: getattr(item, name) for name in STATE_FIELDS}
                self.states[item.feed_id] = FeedState(**fields, next_due_at=item.next_due_at)
            else:
                self.known.add((item.entry_id, item.entry_hash))


def poll_all(acquirer: Acquirer, memory: Memory, feeds: Sequence[FeedSpec]) -> dict[str, Any]:
    """Poll `feeds`; return how it went."""
    told: dict[str, Any] = {"began": time.monotonic(), "statuses": Counter()}
    cpu = time.process_time()
    acquirer.start(feeds)
    while True:
        items = acquirer.harvest()
        memory.commit(items)
        told["statuses"].update(item.status for item in items if isinstance(item, Poll))
        if not items and acquirer.idle:
            break
    return {**told, "ended": time.monotonic(), "cpu_seconds": time.process_time() - cpu}


async def ask_all(client: HttpClient, requests: Sequence[tuple[str, dict[str, str]]], at_once: int) -> float:
    """Send the requests with nothing around them; return the processor time."""
    leave = asyncio.Semaphore(at_once)

    async def ask(url: str, headers: dict[str, str]) -> None:
        async with leave:
            with contextlib.suppress(IngestError):
                await client.fetch(url, headers=headers)

    cpu = time.process_time()
    await asyncio.gather(*(ask(url, headers) for url, headers in requests))
    cpu = time.process_time() - cpu
    await client.close()
    return cpu


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    logging.disable(logging.CRITICAL)
    settings = json.loads(sys.argv[1])
    feeds = [FeedSpec(feed_id_of(url), url) for url in settings["urls"]]
    allow = tuple(parse_allow_host(f"{host}=127.0.0.1/32") for host in settings["hosts"])
    config = AcquireConfig(user_agent="bench", allow_hosts=allow, spacing_seconds=settings["spacing_seconds"])
    memory = Memory()
    acquirer = Acquirer(config, memory=memory, parse=parse_feed)
    lag = LoopLag(acquirer._loop)
    try:
        rounds = [poll_all(acquirer, memory, feeds) for _ in range(2)]
    finally:
        acquirer.close()
    states = [memory.states[feed.feed_id] for feed in feeds]
    now = Timestamp.now()
    requests = [(f.url, {"Accept": FEED_ACCEPT, **request_headers(s, now)}) for f, s in zip(feeds, states, strict=True)]
    client = HttpClient(user_agent="bench", allow_hosts=allow)
    alone = asyncio.run(ask_all(client, requests, config.max_concurrent_requests))
    print(
        json.dumps(
            {"rounds": rounds, "client_cpu_seconds": alone, "peak_mb": peak_mb(), "lag_seconds": lag.worst_seconds}
        )
    )


if __name__ == "__main__":
    main()
