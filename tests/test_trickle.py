"""The trickle: what it serves and when, that its texts are what it says they are, and that `compare` names each fault."""

import asyncio
import copy
import http.client
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate
from itertools import combinations
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

import aiohttp
import pytest
from apache_beam.utils.timestamp import Duration, Timestamp

from pipelines.ingest import ingest
from pipelines.options import Config
from tests.compare_lake import Truth, compare, freshness, percentile
from tests.conftest import ROOT
from tests.poison_work import POISONS, poison_mark
from tests.trickle import POISON_HOST, SILENT_HOST, SLOW_HOST, Trickle, TrickleProcess, main
from transforms.acquire import AcquireConfig
from transforms.address_rules import parse_allow_host
from transforms.assign_copies import CopyMemory, assign_copies
from transforms.commit import Batch, commit
from transforms.extract_core import Item
from transforms.extract_text import extract_article
from transforms.fingerprint import fingerprint
from transforms.lake import Lake, open_lake
from transforms.parse_feed import parse_feed
from transforms.records import Draft, Failure, FeedEntry, FeedSpec, Poll, feed_id_of
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS
from transforms.strip_cruft import strip_cruft
from transforms.worker_pool import Outcome, WorkerPool

NOON = 1_770_000_000.0


class Clock:
    """The time of day, moved by hand."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def ask(server: Any, url: str, headers: Optional[Mapping[str, str]] = None) -> tuple[int, Mapping[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", parts.path, headers={"Host": parts.netloc, **(headers or {})})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, {name.title(): value for name, value in answer.getheaders()}, body
    finally:
        connection.close()


def entries_of(server: Any, url: str) -> list[FeedEntry]:
    status, headers, body = ask(server, url)
    assert status == 200
    return list(parse_feed(body, url=url, content_type=headers["Content-Type"]).entries)


def listing(server: Any) -> dict[str, FeedEntry]:
    """What all feeds list at the moment, by address."""
    return {entry.url: entry for url in server.feeds for entry in entries_of(server, url)}


# ---- texts --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thousand() -> Truth:
    return Trickle(items=1000, seed="texts").expected()


def test_a_thousand_items_are_quickly_made_and_shared_out_as_asked() -> None:
    began = time.process_time()
    truth = Trickle(items=1000, seed="speed", updated=0.1, copied=0.1, dead_links=7, flaky_pages=4).expected()
    assert time.process_time() - began < 2
    updated = sum(len(texts) - 1 for texts in truth.articles.values())
    copies = sum(len(group) - 1 for group in truth.copy_groups)
    assert (len(truth.articles), updated, copies) == (900, 100, 100)
    assert max(map(len, truth.copy_groups)) == 3
    assert (len(truth.dead), len(truth.flaky)) == (7, 4)


def test_everything_follows_from_the_seed() -> None:
    def told(seed: str) -> list[object]:
        truth = Trickle(items=60, seed=seed).expected()
        return [list(truth.articles.values()), list(truth.appeared.values()), list(truth.urls.values())]

    assert told("a") == told("a") != told("b")


def test_paragraphs_have_the_length_of_news(thousand: Truth) -> None:
    paragraphs = [text.split("\n") for texts in thousand.articles.values() for text in texts]
    assert {len(lines) for lines in paragraphs} <= {3, 4, 5, 6, 7}  # an update adds one
    assert all(40 <= len(line.split()) <= 80 for lines in paragraphs for line in lines)


def test_texts_resemble_no_other_but_their_copies(thousand: Truth) -> None:
    """By counting shared shingles, which says more than the signatures that the next test goes by."""
    group_of = {article_id: n for n, group in enumerate(thousand.copy_groups) for article_id in group}
    holders: dict[int, list[int]] = defaultdict(list)
    sizes = []
    ids = list(thousand.articles)
    for n, article_id in enumerate(ids):
        words = re.findall(r"\w+", thousand.articles[article_id][-1].lower())
        shingles = {hash(tuple(words[i : i + 5])) for i in range(len(words) - 4)}
        sizes.append(len(shingles))
        for shingle in shingles:
            holders[shingle].append(n)
    shared = Counter(pair for held in holders.values() if len(held) > 1 for pair in combinations(held, 2))
    assert shared, "not one shared shingle: the test compares nothing"
    for (a, b), count in shared.items():
        jaccard = count / (sizes[a] + sizes[b] - count)
        if group_of.get(ids[a], -1) == group_of.get(ids[b], -2):
            assert jaccard == 1
        else:
            assert jaccard < 0.2


def test_copies_are_found_exactly_as_meant(thousand: Truth) -> None:
    german = {i for i, texts in thousand.articles.items() if " die " in texts[0]}
    assert 0.2 < len(german) / len(thousand.articles) < 0.4
    shown = [
        (thousand.appeared[article_id][n], article_id, text)
        for article_id, texts in thousand.articles.items()
        for n, text in enumerate(texts)
    ]
    memory = CopyMemory()
    found = {}
    for offset, article_id, text in sorted(shown):
        language = "de" if article_id in german else "en"
        seen_at = Timestamp(NOON + offset)
        draft = Draft(article_id, text=text, language=language, fingerprint=fingerprint(text), first_seen_at=seen_at)
        given = assign_copies(memory, [draft])
        memory.commit([draft], given)
        found[article_id] = given[0].duplicate_of
    first_of = {a: group[0] for group in thousand.copy_groups for a in group[1:]}
    assert found == {article_id: first_of.get(article_id) for article_id in thousand.articles}


def test_nothing_of_a_text_is_cruft(thousand: Truth) -> None:
    for texts in list(thousand.articles.values())[::5]:
        for text in texts:
            clean = strip_cruft(text, title=None, site="alderton.example", language=None)
            assert (clean.text, clean.removed) == (text, ())


def test_extraction_finds_exactly_the_text_on_every_kind_of_page() -> None:
    clock = Clock()
    with Trickle(items=60, seconds=10, seed="pages", flaky_pages=0, clock=clock) as trickle:
        truth = trickle.expected()
        trickle.start()
        clock.now += 10
        hosts = set()
        for article_id, url in truth.urls.items():
            status, _, body = ask(trickle, url)
            assert status == 200
            article = extract_article(body, url=url)
            assert article.text == truth.articles[article_id][-1]
            assert article.language == ("de" if " die " in article.text else "en")
            hosts.add(urlsplit(url).hostname)
        assert len(hosts) == 6


# ---- appearing ----------------------------------------------------------------------------------------------------


def test_an_item_is_in_its_feed_and_at_its_address_from_its_moment_on() -> None:
    clock = Clock()
    with Trickle(items=40, seconds=100, seed="moments", flaky_pages=0, dead_links=0, clock=clock) as trickle:
        assert listing(trickle) == {}
        assert not trickle.finished
        assert trickle.appeared_at == {}
        assert trickle.start() == NOON
        moments = sorted({at for held in trickle.appeared_at.values() for at in held})
        assert moments[0] >= NOON
        assert moments[-1] <= NOON + 100
        for moment in moments[::5]:
            clock.now = moment - 0.001
            before = set(listing(trickle))
            clock.now = moment
            listed = listing(trickle)
            due = {url for url, held in trickle.appeared_at.items() if held[0] <= moment}
            assert set(listed) == due
            for url in due - before:
                assert ask(trickle, url)[0] == 200
            for url in set(trickle.appeared_at) - due:
                assert ask(trickle, url)[0] == 404
        assert not trickle.finished
        clock.now = NOON + 100
        assert trickle.finished
        trickle.wait_finished(0)


def test_moments_are_spread_out_and_come_in_bursts() -> None:
    truth = Trickle(items=1000, seconds=60, seed="bursts").expected()
    moments = [offset for held in truth.appeared.values() for offset in held]
    tenths = Counter(min(int(offset / 6), 9) for offset in moments)
    assert min(tenths[n] for n in range(10)) > 30
    assert max(Counter(moments).values()) > 20


def test_an_update_changes_title_entry_and_page_at_once_and_moves_to_the_top() -> None:
    clock = Clock()
    with Trickle(items=40, seconds=100, feeds=4, seed="updates", updated=0.3, clock=clock) as trickle:
        trickle.start()
        truth = trickle.expected()
        assert sum(len(texts) == 2 for texts in truth.articles.values()) == 12
        for article_id, texts in truth.articles.items():
            if len(texts) == 1 or truth.appeared[article_id][0] == truth.appeared[article_id][1]:
                continue
            url = truth.urls[article_id]
            clock.now = trickle.appeared_at[url][1] - 0.001
            before, old = listing(trickle)[url], extract_article(ask(trickle, url)[2], url=url)
            clock.now += 0.001
            (feed,) = [f for f in trickle.feeds if any(entry.url == url for entry in entries_of(trickle, f))]
            after, new = entries_of(trickle, feed)[0], extract_article(ask(trickle, url)[2], url=url)
            assert (after.url, after.key) == (url, before.key)
            assert after.entry_hash != before.entry_hash
            assert after.title != before.title
            assert before.updated_at is not None
            assert after.updated_at is not None
            assert after.updated_at >= before.updated_at
            assert [old.text, new.text] == list(texts)


def test_a_feed_lists_no_more_than_it_is_told_to() -> None:
    clock = Clock()
    with Trickle(items=50, seconds=0, feeds=2, sites=2, seed="listed", listed=7, clock=clock) as trickle:
        trickle.start()
        assert [len(entries_of(trickle, feed)) for feed in trickle.feeds] == [7, 7]


# ---- validators ---------------------------------------------------------------------------------------------------


def test_a_validator_hides_nothing_that_it_was_not_given_for() -> None:
    """At each moment of each feed: 304 to what was given now, and to nothing that was given before."""
    clock = Clock()
    with Trickle(items=60, seconds=5, feeds=2, sites=2, seed="validators", clock=clock) as trickle:
        trickle.start()
        for feed in trickle.feeds:
            clock.now = NOON
            answers: dict[bytes, tuple[str, Optional[str]]] = {}
            for step in range(80):
                clock.now = NOON + step / 10
                status, headers, body = ask(trickle, feed)
                assert status == 200
                dated = headers.get("Last-Modified")
                for old, (etag, since) in answers.items():
                    expected = 304 if old == body else 200
                    assert ask(trickle, feed, {"If-None-Match": etag})[0] == expected
                    if since:
                        assert ask(trickle, feed, {"If-Modified-Since": since})[0] == expected
                        assert ask(trickle, feed, {"If-None-Match": etag, "If-Modified-Since": since})[0] == expected
                answers = dict(list(answers.items())[-3:]) | {body: (headers["Etag"], dated)}
            assert dated is not None
            assert "Cache-Control" not in headers


def test_a_second_that_is_not_over_is_no_validator() -> None:
    clock = Clock()
    with Trickle(items=1, seconds=0, feeds=1, sites=1, seed=1, updated=0, copied=0, clock=clock) as trickle:
        trickle.start()
        for after, expected in ((0.0, None), (0.9, None), (1.0, formatdate(NOON, usegmt=True))):
            clock.now = NOON + after
            assert ask(trickle, trickle.feeds[0])[1].get("Last-Modified") == expected


# ---- what goes wrong on purpose -----------------------------------------------------------------------------------


def test_dead_links_are_404_and_flaky_pages_503_once() -> None:
    clock = Clock()
    with Trickle(items=30, seconds=0, seed="dead", dead_links=3, flaky_pages=2, clock=clock) as trickle:
        trickle.start()
        truth = trickle.expected()
        listed = listing(trickle)
        assert len(truth.dead) == 3
        assert set(truth.dead) <= set(listed)
        for url in truth.dead:
            assert [ask(trickle, url)[0] for _ in range(2)] == [404, 404]
            assert len(listed[url].summary_html or "") < 200  # else newsbeam takes it for the article's text
        for article_id in truth.flaky:
            assert [ask(trickle, truth.urls[article_id])[0] for _ in range(3)] == [503, 200, 200]
        paths = [(request.path, request.status) for request in trickle.requests][-6:]
        assert [status for _, status in paths] == [503, 200, 200, 503, 200, 200]
        assert all(request.at == NOON for request in trickle.requests)


def test_a_slow_page_and_a_silent_host_have_feeds_of_their_own_and_hold_nobody() -> None:
    with Trickle(items=10, seconds=0, seed="slow", slow_page_seconds=0.8, dead_host=True, dead_links=0) as trickle:
        trickle.start()
        truth = trickle.expected()
        ordinary, slow_feed, silent_feed, pointing_feed = trickle.feeds[:-3], *trickle.feeds[-3:]
        assert SILENT_HOST in trickle.hosts
        (slow,) = truth.slow
        (silent,) = truth.silent
        assert [e.url for e in entries_of(trickle, slow_feed)] == [truth.urls[slow]]
        assert [e.url for e in entries_of(trickle, pointing_feed)] == [silent]
        assert urlsplit(silent).hostname == urlsplit(silent_feed).hostname == SILENT_HOST
        with ThreadPoolExecutor(2) as pool:
            late = pool.submit(lambda: (time.monotonic(), ask(trickle, truth.urls[slow]), time.monotonic()))
            never = pool.submit(_wait_in_vain, trickle, silent)
            while not any(r.host == SILENT_HOST for r in trickle.requests):
                assert not never.done()
            for feed in ordinary:
                entries_of(trickle, feed)
            assert not late.done()
            began, (status, _, body), ended = late.result()
            assert never.result() == b""
        assert (status, ended - began >= 0.8) == (200, True)
        assert extract_article(body, url=truth.urls[slow]).text == truth.articles[slow][0]
        assert urlsplit(truth.urls[slow]).hostname == SLOW_HOST


def _wait_in_vain(trickle: Trickle, url: str) -> bytes:
    """Return what came within a second."""
    connection = http.client.HTTPConnection("127.0.0.1", trickle.port, timeout=1)
    try:
        connection.request("GET", urlsplit(url).path, headers={"Host": urlsplit(url).netloc})
        return connection.getresponse().read()
    except TimeoutError:
        return b""
    finally:
        connection.close()


def test_poison_pages_misbehave_in_their_worker_and_all_others_are_extracted() -> None:
    with Trickle(items=4, seconds=0, feeds=2, seed="poison", poison=list(POISONS), flaky_pages=0) as trickle:
        trickle.start()
        truth = trickle.expected()
        assert sorted(truth.poison.values()) == sorted(POISONS.values())
        assert not set(truth.poison) & set(truth.urls.values())
        pages = {entry.url: ask(trickle, entry.url)[2] for entry in entries_of(trickle, trickle.feeds[-1])}
        assert set(pages) == set(truth.poison)
        assert {urlsplit(url).hostname for url in pages} == {POISON_HOST}
        article_id, url = next(iter(truth.urls.items()))
        pages[url] = ask(trickle, url)[2]
    pool = WorkerPool("tests.poison_work:extract_or_misbehave", workers=2, deadline_seconds=2, memory_bytes=700_000_000)
    try:
        lane = pool.open_lane()
        for address, html in pages.items():
            lane.submit(address, tuple(Item(html, None, address, None, None, None, 0)))
        done: dict[str, Outcome] = {}
        while lane.in_flight:
            done.update(lane.take(wait=True))
    finally:
        pool.close()
    kinds = {"extraction_timeout": "timeout", "extraction_memory": "memory", "extraction_crash": "crash", "bug": "bug"}
    assert {url: done[url].kind for url in truth.poison} == {u: kinds[reason] for u, reason in truth.poison.items()}
    extraction, from_page = done[url].value
    assert (extraction.text, from_page) == (truth.articles[article_id][0], True)


def test_a_poison_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no poison is called 'arsenic'; there are hang"):
        Trickle(items=1, poison=["arsenic"])
    with pytest.raises(ValueError, match="no poison is called 'arsenic'"):
        poison_mark("arsenic")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"items": 0}, "out of range: items=0"),
        ({"items": 10, "updated": 0.4, "copied": 0.3}, "at most half"),
        ({"items": 10, "sites": 1}, "copies need two sites"),
        ({"items": 10, "feeds": 1}, "copies need two sites"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Trickle(**settings)


# ---- the server ---------------------------------------------------------------------------------------------------


def test_two_hundred_connections_at_once_are_kept_alive() -> None:
    """All 200 are open at the same time, and each is used three times."""

    async def run(trickle: Trickle) -> list[int]:
        everybody = asyncio.Barrier(200)
        url = f"http://127.0.0.1:{trickle.port}{urlsplit(trickle.feeds[0]).path}"
        host = {"Host": urlsplit(trickle.feeds[0]).netloc}

        async def one() -> list[int]:
            connector = aiohttp.TCPConnector(limit=1)
            opened: list[int] = []
            trace = aiohttp.TraceConfig()

            async def count(*_: object) -> None:
                opened.append(1)

            trace.on_connection_create_end.append(count)
            async with aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as session:
                statuses = []
                for _ in range(3):
                    async with session.get(url, headers=host) as answer:
                        await answer.read()
                        statuses.append(answer.status)
                    await everybody.wait()
            return [*statuses, len(opened)]

        return [n for held in await asyncio.gather(*(one() for _ in range(200))) for n in held]

    with Trickle(items=100, seconds=0, seed="many") as trickle:
        trickle.start()
        assert Counter(asyncio.run(run(trickle))) == {200: 600, 1: 200}


def test_its_own_process_serves_the_same_and_tells_the_truth() -> None:
    settings: dict[str, Any] = {"items": 30, "seconds": 0.2, "seed": "own", "flaky_pages": 0}
    with TrickleProcess(**settings) as other:
        assert listing(other) == {}
        assert other.expected().started_at is None
        assert not other.finished
        started = other.start()
        assert other.start() == started
        other.wait_finished(10)
        truth = other.expected()
        same = Trickle(**settings, port=other.port)
        assert truth == replace(Truth.from_json(same.expected().to_json()), started_at=started)
        assert (other.feeds, other.allow_hosts) == (list(same.feeds), list(same.allow_hosts))
        assert set(listing(other)) == set(truth.urls.values()) | set(truth.dead)
        url = next(iter(truth.urls.values()))
        assert other.appeared_at[url][0] == started + next(iter(truth.appeared.values()))[0]
        assert Counter(r.path for r in other.requests)["/feeds/0.xml"] == 2
        pid = other.pid
    assert not _is_alive(pid)


def test_its_own_process_ends_with_one_that_is_killed() -> None:
    code = (
        "import os, signal, subprocess, sys\n"
        "command = [sys.executable, '-m', 'tests.trickle', '--until-eof', '--items=4', '--wait']\n"
        "other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)\n"
        "print(bool(other.stdout.readline()), other.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    listened, pid = killed.stdout.split()
    assert listened == "True"
    end = time.monotonic() + 30
    while _is_alive(int(pid)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_started_by_hand_it_prints_what_a_worker_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    file = tmp_path / "truth.json"
    arguments = ["--items=6", "--seconds=0", "--seed=9", "--dead-host", "--poison=hang,raise", "--until-eof"]
    assert main([*arguments, f"--truth={file}"]) == 0
    told = json.loads(capsys.readouterr().out)
    truth = Truth.from_json(file.read_text("utf-8"))
    assert told["truth"] == str(file)
    assert told["started_at"] == truth.started_at is not None
    assert len(told["feeds"]) == 12 + 2 + 1
    assert f"{SILENT_HOST}=127.0.0.1/32" in told["allow_hosts"]
    assert sorted(truth.poison.values()) == ["bug", "extraction_timeout"]
    assert all(f":{told['port']}/" in url for url in truth.urls.values())


# ---- compare ------------------------------------------------------------------------------------------------------

Rows = dict[str, list[dict[str, Any]]]
SETTINGS: dict[str, Any] = {
    "items": 20,
    "seconds": 30.0,
    "seed": "compare",
    "updated": 0.2,
    "copied": 0.2,
    "dead_links": 2,
    "flaky_pages": 1,
    "slow_page_seconds": 60.0,
    "dead_host": True,
    "poison": ["hang", "raise"],
}


@pytest.fixture(scope="module")
def truth() -> Truth:
    return replace(Trickle(**SETTINGS).expected(), started_at=NOON)


def drafts_of(truth: Truth) -> Iterator[Draft]:
    """A draft of each text, in the order of appearance; each article is an entry of its own."""
    shown = [(truth.appeared[i][n], i, n, text) for i, texts in truth.articles.items() for n, text in enumerate(texts)]
    for offset, article_id, n, text in sorted(shown):
        yield Draft(
            article_id=article_id,
            title=f"About {article_id}",
            text=text,
            language="de" if " die " in text else "en",
            site="alderton.example",
            fingerprint=fingerprint(text),
            entry_id=f"entry of {article_id}",
            entry_hash=str(n),
            feed_id="feed",
            url=truth.urls[article_id],
            first_seen_at=Timestamp(NOON + offset),
            attempt=n + 1,
        )


def failures_of(truth: Truth) -> Iterator[Failure]:
    wanted = {**dict.fromkeys(truth.dead, "http_404"), **truth.poison}
    for url, reason in wanted.items():
        stage = "fetch" if reason == "http_404" else "extract"
        yield Failure(f"entry of {url}", "0", "feed", url, stage, reason, "told", Timestamp(NOON))
    again = Timestamp(NOON + 900)
    for url, reason in {truth.urls[truth.flaky[0]]: "http_503", truth.silent[0]: "robots_unreachable"}.items():
        now = Timestamp(NOON)
        yield Failure(f"waiting {url}", "0", "feed", url, "fetch", reason, "told", now, permanent=False, retry_at=again)


def right_lake(truth: Truth, folder: Path) -> Lake:
    """A lake as a worker without fault leaves it: one commit for each text, one for the rest."""
    lake = open_lake(str(folder))
    beside = {*truth.slow, *truth.flaky}
    drafts = [draft for draft in drafts_of(truth) if draft.article_id not in beside]
    for draft in drafts:
        commit(lake, Batch(drafts=[draft]), now=draft.first_seen_at + Duration(seconds=2))
    failures = list(failures_of(truth))
    pairs = [(draft.entry_id, draft.entry_hash) for draft in drafts] + [(f.entry_id, f.entry_hash) for f in failures]
    poll = Poll(
        feed_id="feed",
        url="http://alderton.example/feed",
        polled_at=Timestamp(NOON),
        status="ok",
        entries=len(pairs) + 3,
        known=3,
        new=len(pairs),
        new_entry_ids=[entry_id for entry_id, _ in pairs],
        new_entry_hashes=[entry_hash for _, entry_hash in pairs],
    )
    commit(lake, Batch(failures=failures, polls=[poll]), now=Timestamp(NOON + 40))
    return lake


@pytest.fixture(scope="module")
def right(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return right_lake(truth, tmp_path_factory.mktemp("compare") / "lake")


@pytest.fixture(scope="module")
def right_rows(right: Lake) -> Rows:
    """The rows of the right lake in the order of their commits."""
    tables = (ARTICLES, DEAD_LETTERS, POLLS)
    return {
        table.name: right.read(table, table.file_schema.names).sort_by("committed_at").to_pylist() for table in tables
    }


@pytest.fixture
def rows(right_rows: Rows) -> Rows:
    """The same, to be spoilt."""
    return copy.deepcopy(right_rows)


def lake_of(rows: Rows, folder: Path) -> str:
    """A lake with exactly these rows, which the commit would not have written."""
    lake = open_lake(str(folder))
    for table in (ARTICLES, DEAD_LETTERS, POLLS):
        lake.append(table, rows[table.name], committed_at=Timestamp(NOON))
    return str(folder)


def test_a_right_lake_has_no_difference(truth: Truth, right: Lake, rows: Rows, tmp_path: Path) -> None:
    assert compare(str(right.root), truth) == []
    assert compare(lake_of(rows, tmp_path / "lake"), truth) == []
    copies = [row for row in rows["articles"] if row["duplicate_of"]]
    assert len(copies) == sum(len(group) - 1 for group in truth.copy_groups) == 4
    assert sum(row["revision"] == 2 for row in rows["articles"]) == 4


def test_an_update_may_hide_the_text_before_it(truth: Truth, rows: Rows, tmp_path: Path) -> None:
    changed = {i for i, texts in truth.articles.items() if len(texts) == 2}
    kept = [row for row in rows["articles"] if (row["article_id"], row["revision"]) not in {(i, 1) for i in changed}]
    rows["articles"] = [{**row, "revision": 1} for row in kept]
    assert compare(lake_of(rows, tmp_path / "lake"), truth) == []


def test_flaky_slow_and_changed_pages_may_end_either_way(truth: Truth, rows: Rows, tmp_path: Path) -> None:
    template = rows["articles"][0]
    for article_id in (*truth.flaky, *truth.slow):
        there = {"article_id": article_id, "text": truth.articles[article_id][0], "duplicate_of": None, "revision": 1}
        rows["articles"].append({**template, **there})
    updated = next(i for i, texts in truth.articles.items() if len(texts) == 2)
    letter = {"disposition": "unchanged", "article_id": updated, "reason": "unchanged", "url": truth.urls[updated]}
    rows["dead_letters"].append({**rows["dead_letters"][0], **letter, "entry_id": "late"})
    assert compare(lake_of(rows, tmp_path / "lake"), truth) == []


def test_a_worker_that_was_stopped_lacks_things_but_nothing_is_wrong(truth: Truth, rows: Rows, tmp_path: Path) -> None:
    rows["articles"] = [row for row in rows["articles"] if row["revision"] == 1][:6]
    rows["dead_letters"] = rows["dead_letters"][:1]
    rows["polls"] = [{**rows["polls"][0], "new": 0, "entries": 3, "new_entry_ids": []}]
    lake = lake_of(rows, tmp_path / "lake")
    assert compare(lake, truth, complete=False) == []
    assert len(compare(lake, truth)) > 10


class Spoiler:
    """Changes to right rows; `plain` is an article that is neither changed nor copied, `group` one of copies."""

    def __init__(self, truth: Truth, rows: Rows) -> None:
        self.truth, self.articles, self.letters, self.polls = truth, *(rows[name] for name in rows)
        grouped = {i for group in truth.copy_groups for i in group}
        there = [row["article_id"] for row in self.articles]
        self.plain, self.other = [i for i in there if there.count(i) == 1 and i not in grouped][:2]
        self.updated = next(i for i in there if there.count(i) == 2)
        self.group = max(truth.copy_groups, key=len)

    def of(self, article_id: str, revision: int = 1) -> dict[str, Any]:
        return next(r for r in self.articles if (r["article_id"], r["revision"]) == (article_id, revision))

    def letter(self, reason: str) -> dict[str, Any]:
        return next(row for row in self.letters if row["reason"] == reason)

    def missing(self) -> str:
        self.articles.remove(self.of(self.plain))
        return f"article {self.plain} .* is missing$"

    def missing_with_a_letter(self) -> str:
        self.articles.remove(self.of(self.plain))
        url = self.truth.urls[self.plain]
        self.letters.append({**self.letter("http_503"), "url": url, "reason": "connect_failed", "entry_id": "x"})
        return f"article {self.plain} .* is missing; dead letters of it say connect_failed"

    def extra(self) -> str:
        self.articles.append({**self.of(self.plain), "article_id": "0" * 16, "url": "http://dunholt.example/extra"})
        return r"article 0{16} \(http://dunholt.example/extra\) is there, but is no article"

    def doubled(self) -> str:
        self.articles.append(dict(self.of(self.plain)))
        return f"articles: {self.plain}, 1 is there 2 times"

    def wrong_text(self) -> str:
        self.of(self.plain)["text"] += " And more."
        return f"article {self.plain} .* revision 1 has a wrong text"

    def text_of_another(self) -> str:
        self.of(self.plain)["text"] = self.of(self.other)["text"]
        return f"article {self.plain} .* revision 1 has a wrong text"

    def last_text_missing(self) -> str:
        self.articles.remove(self.of(self.updated, 2))
        return f"article {self.updated} .* has text 1 of 2 as its last"

    def wrong_order(self) -> str:
        one, two = self.of(self.updated), self.of(self.updated, 2)
        one["text"], two["text"] = two["text"], one["text"]
        return f"article {self.updated} .* has its texts in the wrong order: \\[2, 1\\]"

    def one_text_twice(self) -> str:
        self.of(self.updated)["text"] = self.of(self.updated, 2)["text"]
        return f"article {self.updated} .* has one text in several revisions: \\[2, 2\\]"

    def revision_skipped(self) -> str:
        self.of(self.updated, 2)["revision"] = 3
        return f"article {self.updated} .* has revisions \\[1, 3\\]"

    def copy_not_marked(self) -> str:
        twin = next(i for i in self.group if self.of(i)["duplicate_of"])
        self.of(twin)["duplicate_of"] = None
        return f"copies {', '.join(self.group)}: 2 of them are no copy, not one"

    def copies_of_each_other(self) -> str:
        twin = next(i for i in self.group if self.of(i)["duplicate_of"])
        self.of(self.of(twin)["duplicate_of"])["duplicate_of"] = twin
        return f"copies {', '.join(self.group)}: 0 of them are no copy, not one"

    def chain(self) -> str:
        first, second, third = self.group
        self.of(first)["duplicate_of"], self.of(second)["duplicate_of"] = None, first
        self.of(third)["duplicate_of"] = second
        return f"article {third} .* is marked as a copy of {second}, which is itself a copy"

    def copy_of_itself(self) -> str:
        self.of(self.plain)["duplicate_of"] = self.plain
        return f"article {self.plain} .* is marked as a copy of itself"

    def copy_outside_its_group(self) -> str:
        self.of(self.plain)["duplicate_of"] = self.other
        return f"article {self.plain} .* is marked as a copy of {self.other}, which has another text"

    def copy_of_what_is_not_there(self) -> str:
        first = next(i for i in self.group if not self.of(i)["duplicate_of"])
        self.articles.remove(self.of(first))
        return f"is marked as a copy of {first}, which is not there"

    def letter_without_reason(self) -> str:
        self.letter("http_503")["reason"] = ""
        return "dead letter of .* has no reason"

    def letter_that_is_a_bug(self) -> str:
        self.letter("http_404").update(reason="bug", message="KeyError: 7")
        return "dead letter of .* has the reason bug: KeyError: 7"

    def letter_with_another_reason(self) -> str:
        self.letter("extraction_timeout")["reason"] = "extraction_crash"
        return "has the reason extraction_crash, not extraction_timeout"

    def letter_of_an_article(self) -> str:
        url = self.truth.urls[self.plain]
        self.letters.append({**self.letter("http_404"), "url": url, "reason": "no_article", "entry_id": "x"})
        return f"dead letter of {url} \\(no_article\\) gives up an article for good"

    def letter_of_nothing(self) -> str:
        self.letters.append({**self.letter("http_404"), "url": "http://hexby.example/x", "entry_id": "x"})
        return r"dead letter of http://hexby.example/x \(http_404\), which no feed lists"

    def unchanged_without_a_change(self) -> str:
        said = {"disposition": "unchanged", "article_id": self.plain, "entry_id": "x", "reason": "unchanged"}
        self.letters.append({**self.letter("http_404"), **said})
        return "says unchanged of an article that never changed"

    def dead_link_not_on_record(self) -> str:
        letter = self.letter("http_404")
        self.letters.remove(letter)
        return f"{letter['url']} is not on record as http_404"

    def dead_link_only_for_now(self) -> str:
        letter = self.letter("http_404")
        letter["permanent"] = False
        return f"{letter['url']} is not on record as http_404"

    def poison_not_on_record(self) -> str:
        letter = self.letter("extraction_timeout")
        self.letters.remove(letter)
        return f"{letter['url']} is not on record as extraction_timeout"

    def letter_twice(self) -> str:
        letter = {**self.letter("http_404"), "attempt": 2}
        self.letters.append(letter)
        return f"dead letter of {letter['url']} is on record 2 times"

    def letter_doubled(self) -> str:
        letter = self.letter("http_503")
        self.letters.append(dict(letter))
        return f"dead_letters: {letter['entry_id']}, fetch, 1 is there 2 times"

    def poll_doubled(self) -> str:
        self.polls.append(dict(self.polls[0]))
        return "polls: feed, .* is there 2 times"

    def books_that_do_not_add_up(self) -> str:
        self.polls[0]["known"] += 1
        return "poll of http://alderton.example/feed at .* entries, but"

    def entry_in_no_table(self) -> str:
        poll = self.polls[0]
        poll.update(entries=poll["entries"] + 1, new=poll["new"] + 1, new_entry_ids=[*poll["new_entry_ids"], "lost"])
        return "1 new entries are in no table, the first is lost"


FAULTS = {
    name: fault for name, fault in vars(Spoiler).items() if not name.startswith("_") and name not in ("of", "letter")
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_named(name: str, truth: Truth, rows: Rows, tmp_path: Path) -> None:
    fault: Callable[[Spoiler], str] = FAULTS[name]
    words = fault(Spoiler(truth, rows))
    lines = compare(lake_of(rows, tmp_path / "lake"), truth)
    assert any(re.search(words, line) for line in lines), lines


def test_a_lake_that_is_open_here_is_read_anew_and_left_open(truth: Truth, tmp_path: Path) -> None:
    lake = right_lake(truth, tmp_path / "lake")
    assert compare(str(lake.root), truth) == []
    article_id = "f" * 16
    extra = replace(next(iter(drafts_of(truth))), article_id=article_id, entry_id="extra", url="http://hexby.example/e")
    commit(lake, Batch(drafts=[replace(extra, text="Short news.", fingerprint=fingerprint("Short news."))]))
    assert len(compare(str(lake.root), truth)) == 1
    assert open_lake(str(lake.root)) is lake


# ---- freshness ----------------------------------------------------------------------------------------------------


def test_freshness_goes_from_appearance_to_commit(truth: Truth, right: Lake) -> None:
    held = freshness(str(right.root), truth)
    texts = sum(len(texts) for i, texts in truth.articles.items() if i not in {*truth.flaky, *truth.slow})
    assert len(held) == texts == 20 - 1
    assert held == pytest.approx([2.0] * texts, abs=1e-3)


def test_freshness_counts_neither_slow_nor_flaky_pages_nor_what_has_not_begun(
    truth: Truth, rows: Rows, tmp_path: Path
) -> None:
    template = rows["articles"][0]
    before = len(rows["articles"])
    for article_id in (*truth.flaky, *truth.slow):
        rows["articles"].append({**template, "article_id": article_id, "text": truth.articles[article_id][0]})
    lake = lake_of(rows, tmp_path / "lake")
    assert len(freshness(lake, truth)) == before
    with pytest.raises(ValueError, match="never started"):
        freshness(lake, replace(truth, started_at=None))


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="nothing was committed"):
        percentile([], 0.5)


# ---- all of it ----------------------------------------------------------------------------------------------------


def test_batch_runs_in_the_middle_and_at_the_end_leave_a_right_lake(tmp_path: Path) -> None:
    """FnApiRunner. Half of the items are there at the first run; the second run meets updates, copies and retries."""
    clock = Clock()
    settings: dict[str, Any] = {"items": 80, "seconds": 50, "sites": 4, "feeds": 5, "updated": 0.2, "copied": 0.2}
    with Trickle(**settings, seed="batch", clock=clock) as trickle:
        trickle.start()
        config = Config(
            lake=str(tmp_path / "lake"),
            feeds=tuple(FeedSpec(feed_id_of(url), url) for url in trickle.feeds),
            acquire=AcquireConfig(
                user_agent="test",
                allow_hosts=tuple(parse_allow_host(value) for value in trickle.allow_hosts),
                spacing_seconds=0,
                max_requests_per_site=8,
            ),
            workers=1,
        )
        clock.now += 25
        ingest(config, run_id="first")
        assert compare(config.lake, trickle, complete=False) == []
        assert any(line.endswith("is missing") for line in compare(config.lake, trickle))
        clock.now += 25
        ingest(config, run_id="second")
        assert compare(config.lake, trickle) == []
        revisions = open_lake(config.lake).read(ARTICLES, ["revision"])["revision"].to_pylist()
        assert Counter(revisions)[2] > 0
