"""What the lake costs as it grows: a scheduled run with nothing new, the three-thousandth commit, opening it folded."""

import random
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
from apache_beam.utils.timestamp import Timestamp

from tests.bench.test_bench_backfill import measure
from tests.servers import Reply, ScriptedServer, with_validators
from transforms.commit import Batch, commit
from transforms.fingerprint import fingerprint
from transforms.lake import Lake, open_lake
from transforms.records import Draft, Poll, digest64, entry_id_of, feed_id_of
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS
from transforms.upkeep import Upkeep, fold

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

ARTICLES_IN_LAKE = 100_000
A_COMMIT = 1_000
MOST_SECONDS_WITH_NOTHING_NEW = 1.5
FEEDS, ENTRIES = 20, 50
MOST_GROWTH = 1.5


def fill(lake: Lake, articles: int) -> None:
    """Write `articles` rows as a real lake has them: ids, hashes and fingerprints of full size, texts of 2 kB."""
    now = Timestamp.now()
    rng = np.random.default_rng(7)
    sample = fingerprint("some words of an article that is as long as others are " * 8)
    words = ["harbour", "council", "budget", "river", "minister", "league", "storm", "market", "school", "bridge"]
    dice = random.Random(7)
    texts = [" ".join(dice.choices(words, k=300)) for _ in range(50)]
    for start in range(0, articles, A_COMMIT):
        bands = rng.integers(-(2**62), 2**62, (A_COMMIT, len(sample.bands)))
        rows = [
            {
                "article_id": digest64("a", str(i)),
                "revision": 1,
                "title": f"Headline {i}",
                "text": texts[i % len(texts)],
                "site": f"site{i % 300}.example",
                "language": "en",
                "text_hash": digest64("t", str(i)),
                "signature": rng.bytes(len(sample.signature)),
                "bands": bands[i - start].tolist(),
                "words": 300,
                "terms": list(sample.terms),
                "page_id": digest64("a", str(i)),
                "entry_id": digest64("e", str(i)),
                "entry_hash": digest64("h", str(i)),
                "feed_id": digest64("f", str(i % 500)),
                "story_id": digest64("a", str(i)),
                "attempt": 1,
                "first_seen_at": now.micros,
                "committed_at": now.micros,
            }
            for i in range(start, start + A_COMMIT)
        ]
        lake.append(ARTICLES, rows, committed_at=now)
        lake.refresh()


def test_nothing_new_at_a_large_lake_is_fast(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    lake = open_lake(str(tmp_path / "lake"))
    fill(lake, ARTICLES_IN_LAKE)
    assert lake.count_articles() == ARTICLES_IN_LAKE
    with ScriptedServer({}) as server:
        urls = []
        for number in range(FEEDS):
            host = f"host{number}.example"
            links = [server.url(f"/a{i}", host=host) for i in range(ENTRIES)]
            items = "".join(
                f"<item><title>T{i}</title><link>{x}</link><guid>{x}</guid></item>" for i, x in enumerate(links)
            )
            body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>F</title>{items}</channel></rss>'
            server.routes[f"{host}/feed"] = with_validators(body, etag='"1"')
            story = (
                "<p>"
                + "The board met again and put the matter off until the autumn session of the court. " * 8
                + "</p>"
            )
            for i in range(ENTRIES):
                server.routes[f"{host}/a{i}"] = Reply(
                    body=f"<html><body><article>{story}{host} {i}</article></body></html>"
                )
            urls.append(server.url("/feed", host=host))
        (tmp_path / "feeds.txt").write_text("\n".join(urls), "utf-8")
        hosts = [f"host{number}.example=127.0.0.1/32" for number in range(FEEDS)]
        arguments = ("ingest", str(tmp_path / "lake"), str(tmp_path / "feeds.txt"), *hosts)
        first = measure(*arguments)
        second = measure(*arguments)
    print(
        f"\ningest with nothing new at {first['rows']:,} articles: {second['seconds']:.2f} s beyond the imports "
        f"({FEEDS} feeds, all 304; at most {MOST_SECONDS_WITH_NOTHING_NEW}), peak {second['peak_mb']:.0f} MB"
    )
    assert second["rows"] == first["rows"] > ARTICLES_IN_LAKE
    assert second["seconds"] < MOST_SECONDS_WITH_NOTHING_NEW


class Worker:
    """A streaming worker's commits and upkeep on one lake, in a time of day that passes with each tick."""

    def __init__(self, root: Path, *, tick: int, started: float) -> None:
        self.lake = open_lake(str(root))
        self._now, self._tick = started, tick
        self._upkeep = Upkeep(self.lake, clock=lambda: self._now)
        self._dice = random.Random(1)
        self._words = [f"word{i}" for i in range(2_000)]
        self.folded, self.steps = 0, [0.0]

    def commit(self) -> float:
        """Commit ten new articles and their poll; return the seconds that took."""
        self._now += self._tick
        now = Timestamp(int(self._now))
        feed = feed_id_of("https://site.example/feed")
        drafts = []
        for i in range(10):
            text = " ".join(self._dice.choices(self._words, k=200))
            url = f"https://site{i}.example/{now.micros}"
            drafts.append(
                Draft(
                    digest64("article", url),
                    title=text[:60],
                    text=text,
                    language="en",
                    site=f"site{i}.example",
                    fingerprint=fingerprint(text),
                    entry_id=entry_id_of(feed, url),
                    entry_hash="1",
                    feed_id=feed,
                    url=url,
                    first_seen_at=now,
                )
            )
        poll = Poll(
            feed_id=feed,
            url="https://site.example/feed",
            polled_at=now,
            status="ok",
            entries=10,
            new=10,
            new_entry_ids=[draft.entry_id for draft in drafts],
            new_entry_hashes=["1"] * 10,
        )
        started = time.perf_counter()
        result = commit(self.lake, Batch(drafts=drafts, polls=[poll]), now=now)
        seconds = time.perf_counter() - started
        assert (result.article_new, result.polls) == (10, 1)
        step = self._upkeep.run_if_due()
        if step is not None:
            assert step.error is None
            self.folded += step.folded_files
            self.steps.append(step.seconds)
        return seconds


def test_a_late_commit_costs_about_what_an_early_one_costs(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Commits up to the 3,000th (the 300th on the sample) in turns with those up to the 100th of a young lake.

    Workers with a tick of 10 s (on the sample of 100 s, so that as many hours pass) and upkeep every 5 minutes. The
    last commit falls on a full hour, when the most files wait to be folded. In turns, because a machine is not equally
    fast at all times.
    """
    commits, tick = (300, 100) if request.config.getoption("--bench-sample") else (3_000, 10)
    ten_oclock = int(time.time()) // 86_400 * 86_400 - 86_400 + 10 * 3_600
    old = Worker(tmp_path / "old", tick=tick, started=ten_oclock - commits * tick)
    young = Worker(tmp_path / "young", tick=tick, started=ten_oclock - 100 * tick)
    for _ in range(commits - 20):
        old.commit()
    for _ in range(100 - 20):
        young.commit()
    late, early = (
        statistics.median(times) for times in zip(*[(old.commit(), young.commit()) for _ in range(20)], strict=True)
    )
    files = len(old.lake.data_files(ARTICLES))
    print(
        f"\ncommit {commits} against commit 100: {1000 * late:.0f} ms / {1000 * early:.0f} ms = {late / early:.2f} "
        f"(at most {MOST_GROWTH}); {files} files of articles are left, {old.folded} files of all tables were folded in "
        f"{sum(old.steps):.1f} s, the longest step took {max(old.steps):.2f} s"
    )
    assert old.folded > commits
    assert late <= MOST_GROWTH * early


def test_a_folded_lake_opens_faster(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """1,000 commits (200 on the sample), opened as a process that starts does it, before and after the fold."""
    commits = 200 if request.config.getoption("--bench-sample") else 1_000
    root = tmp_path / "lake"
    lake = open_lake(str(root))
    now = Timestamp(int(time.time()) // 86_400 * 86_400 - 86_400)
    for number in range(commits):
        row = {"entry_id": digest64("e", str(number)), "attempt": 1, "permanent": True, "committed_at": now.micros}
        lake.append(DEAD_LETTERS, [row], committed_at=now)
        poll = {
            "feed_id": digest64("f", str(number % 50)),
            "polled_at": now.micros + number,
            "committed_at": now.micros,
        }
        lake.append(POLLS, [poll], committed_at=now)
        lake.refresh()

    def opening() -> float:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            Lake(root).refresh()
            times.append(time.perf_counter() - started)
        return min(times)

    before = opening()
    started = time.perf_counter()
    result = fold(lake, now=time.time())
    took = time.perf_counter() - started
    after = opening()
    print(
        f"\nopening a lake of {commits} commits: {1000 * before:.0f} ms, folded ({result.folded_files} files to "
        f"{result.written_files} in {took:.1f} s) {1000 * after:.0f} ms"
    )
    assert after < before / 3
