"""What the lake costs as it grows: a scheduled run with nothing new, and the thousandth commit."""

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
from transforms.records import Draft, digest64, entry_id_of, feed_id_of
from transforms.schemas import ARTICLES

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


def test_a_late_commit_costs_about_what_an_early_one_costs(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The middle of commits 40-60 against the middle of the last 20 of 1,000 (of 300 on the sample)."""
    commits = 300 if request.config.getoption("--bench-sample") else 1_000
    lake = open_lake(str(tmp_path / "lake"))
    dice = random.Random(1)
    words = [f"word{i}" for i in range(2_000)]
    now = int(Timestamp.now().micros)
    seconds = []
    for number in range(commits + 10):
        drafts = []
        for i in range(10):
            text = " ".join(dice.choices(words, k=200))
            url = f"https://site{i}.example/{number}"
            feed = feed_id_of(url)
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
                    first_seen_at=Timestamp(micros=now + number),
                )
            )
        started = time.perf_counter()
        assert commit(lake, Batch(drafts=drafts)).article_new == 10
        seconds.append(time.perf_counter() - started)
    early, late = statistics.median(seconds[40:60]), statistics.median(seconds[-20:])
    print(
        f"\ncommit {commits} against commit 50: {1000 * late:.0f} ms / {1000 * early:.0f} ms = {late / early:.2f} "
        f"(at most {MOST_GROWTH})"
    )
    assert late <= MOST_GROWTH * early
