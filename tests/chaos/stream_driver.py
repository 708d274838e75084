"""A real `newsbeam stream` process that fails in a chosen way.

    python -m tests.chaos.stream_driver JSON ARGUMENTS OF newsbeam...

JSON: an object with any of
    point: kill -9 of the own process at ``poll_harvested``, ``before_offer``, or a point of the lake's commit
    drop: how many bundles with articles in them are lost between harvest and commit
    in_flight_seconds: how long a poll is waited for before its feed is polled again
    slow_commit_seconds: how much longer each commit of articles takes
    work: import path of what extraction workers run
    journal: a file that gets a line for each entry harvested, arrived at the commit, and committed
"""

import dataclasses
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any


def main(arguments: Sequence[str]) -> int:
    wish, *command = arguments
    told = json.loads(wish)
    from pipelines import options
    from transforms import acquire_on_ticks, commit_on_bundles, extract_text
    from transforms import lake as lake_module
    from transforms.records import CommitItem, Poll

    point = told.get("point")
    journal = open(told["journal"], "a", buffering=1) if told.get("journal") else None  # noqa: SIM115
    journal_lock = threading.Lock()

    def write(step: str, entries: Iterator[str]) -> None:
        if journal is not None:
            with journal_lock:
                journal.writelines(f"{step} {entry}\n" for entry in entries)

    def die_at(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_point(name: str) -> None:
        if name == "before_commit:articles" and told.get("slow_commit_seconds"):
            time.sleep(told["slow_commit_seconds"])
        die_at(name)

    lake_module.on_point = on_point
    tick = acquire_on_ticks.AcquisitionService.tick

    def tick_and_tell(self: Any, *args: Any) -> Iterator[Any]:
        for item in tick(self, *args):
            if isinstance(item, Poll):
                if item.new:
                    die_at("poll_harvested")
            else:
                write("harvested", iter([f"{item.entry_id} {item.entry_hash}"]))
            yield item

    acquire_on_ticks.AcquisitionService.tick = tick_and_tell  # type: ignore[method-assign, assignment]
    offer = commit_on_bundles.CommitService.offer
    to_drop = [int(told.get("drop", 0))]
    deciding = threading.Lock()

    def offer_and_tell(self: Any, items: Sequence[CommitItem], **options: Any) -> None:
        has_articles = any(item.draft is not None for item in items)
        if has_articles:
            die_at("before_offer")
        if has_articles and to_drop[0]:
            to_drop[0] -= 1
            return
        write("arrived", (f"{i.draft.entry_id} {i.draft.entry_hash}" for i in items if i.draft is not None))
        offer(self, items, **options)

    commit_on_bundles.CommitService.offer = offer_and_tell  # type: ignore[method-assign]
    commit = commit_on_bundles.commit

    def commit_alone(*args: Any, **kwargs: Any) -> Any:
        if not deciding.acquire(blocking=False):
            write("overlap", iter(["two commits at a time"]))
            deciding.acquire()
        try:
            return commit(*args, **kwargs)
        finally:
            deciding.release()

    commit_on_bundles.commit = commit_alone
    if told.get("work"):
        (extract_text.ExtractText.__init__.__kwdefaults__ or {})["work"] = told["work"]
    if told.get("in_flight_seconds"):
        read = options.read_config

        def read_and_change(*args: Any, **kwargs: Any) -> Any:
            config = read(*args, **kwargs)
            acquire = dataclasses.replace(config.acquire, in_flight_seconds=told["in_flight_seconds"])
            return dataclasses.replace(config, acquire=acquire)

        options.read_config = read_and_change
    from pipelines.cli import main as newsbeam

    return newsbeam(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
