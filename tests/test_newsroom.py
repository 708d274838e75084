"""The sample newsroom: what it serves, how it answers validators, and that its texts are what it says they are."""

import http.client
import json
import re
import subprocess
import sys
import threading
from calendar import timegm
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import combinations
from typing import Optional
from urllib.parse import urlsplit

import feedparser
import pytest

from pipelines.demo.newsroom import Newsroom
from pipelines.demo.sites import SITES, SampleArticle
from pipelines.demo.wrappers import STRAY_BYTES

NOON = datetime(2026, 5, 4, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def room() -> Iterator[Newsroom]:
    with Newsroom(clock=lambda: NOON) as opened:
        yield opened


def ask(
    room: Newsroom, url: str, headers: Optional[Mapping[str, str]] = None, method: str = "GET"
) -> tuple[int, Mapping[str, str], bytes]:
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection("127.0.0.1", room.port, timeout=10)
    try:
        connection.request(method, path, headers={"Host": parts.netloc, **(headers or {})})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def validators(headers: Mapping[str, str]) -> dict[str, str]:
    pairs = (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since"))
    return {question: headers[name] for name, question in pairs if name in headers}


def links_of(feed_format: str, body: bytes) -> list[str]:
    if feed_format == "json":
        return [item["url"] for item in json.loads(body)["items"]]
    return [entry.link.partition("?")[0] for entry in feedparser.parse(body).entries]


def visible(body: bytes, charset: str) -> str:
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", body.decode(charset, "replace"), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def squeezed(text: str) -> str:
    return re.sub(r"\W+", "", text)


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[i:] for i in range(5)), strict=False))


def jaccard(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    return len(a & b) / len(a | b)


def charset_of(article: SampleArticle) -> str:
    return next(site.charset for site in SITES if site.host == article.site)


def test_it_is_as_large_as_it_should_be(room: Newsroom) -> None:
    good = [feed for feed in room.feeds if feed.kind == "ok"]
    languages = [article.language for article in room.articles]
    assert len(room.hosts) == 6
    assert all(host.endswith(".example") for host in room.hosts)
    assert len(good) >= 8
    assert {feed.format for feed in good} == {"rss", "rdf", "atom", "json", "fulltext"}
    assert sorted(feed.kind for feed in room.feeds if feed.kind != "ok") == ["broken", "error"]
    assert len(room.articles) >= 60
    assert languages.count("en") >= 35
    assert languages.count("de") >= 20
    assert {article.site for article in room.articles} == set(room.hosts)
    assert len({article.url for article in room.articles}) == len(room.articles)
    assert sum(len(article.feeds) > 1 for article in room.articles) >= 5


def test_good_feeds_parse_and_list_what_the_truth_says(room: Newsroom) -> None:
    for feed in room.feeds:
        if feed.kind != "ok":
            continue
        status, headers, body = ask(room, feed.url)
        assert status == 200
        assert validators(headers), feed.url
        links = links_of(feed.format, body)
        expected = {a.url for a in room.articles if feed.url in a.feeds}
        expected |= {link.url for link in room.dead_links if link.feed == feed.url}
        assert set(links) == expected, feed.url
        assert len(links) == feed.entries
        assert 6 <= feed.entries <= 15
        if feed.format != "json":
            parsed = feedparser.parse(body, response_headers={"content-type": headers["Content-Type"]})
            assert not parsed.bozo, (feed.url, parsed.get("bozo_exception"))
            assert all(entry.get("id") or feed.format == "rdf" for entry in parsed.entries)
            assert all(entry.get("published_parsed") or entry.get("updated_parsed") for entry in parsed.entries)
            assert parsed.feed.language == feed.language


def test_titles_and_dates_in_feeds_are_those_of_the_truth(room: Newsroom) -> None:
    by_url = {article.url: article for article in room.articles}
    for feed in room.feeds:
        if feed.kind != "ok" or feed.format == "json":
            continue
        for entry in feedparser.parse(room.body_of(feed.url)).entries:
            article = by_url.get(entry.link.partition("?")[0])
            if article is None:
                continue
            when = datetime.fromtimestamp(timegm(entry.get("published_parsed") or entry.updated_parsed), UTC)
            assert entry.title == article.title
            assert when == article.published_at


def test_bad_feeds_are_bad(room: Newsroom) -> None:
    broken = next(feed for feed in room.feeds if feed.kind == "broken")
    error = next(feed for feed in room.feeds if feed.kind == "error")
    status, _, body = ask(room, broken.url)
    assert status == 200
    assert body
    parsed = feedparser.parse(body)
    assert parsed.bozo
    assert not parsed.entries
    assert ask(room, error.url)[0] == 500


def test_the_json_feed_is_version_1_1(room: Newsroom) -> None:
    feed = next(feed for feed in room.feeds if feed.format == "json")
    data = json.loads(room.body_of(feed.url))
    assert data["version"] == "https://jsonfeed.org/version/1.1"
    assert all(item["id"] and item["content_html"] and item["date_published"] for item in data["items"])


def test_the_windows_1252_feed_is_not_utf_8(room: Newsroom) -> None:
    feed = next(feed for feed in room.feeds if "talheimer" in feed.url)
    body = room.body_of(feed.url)
    with pytest.raises(UnicodeDecodeError):
        body.decode("utf-8")
    text = body.decode("windows-1252")
    assert text.startswith('<?xml version="1.0" encoding="windows-1252"?>')
    assert "Spätfrost" in text
    page = next(a for a in room.articles if a.site == urlsplit(feed.url).hostname)
    assert ask(room, page.url)[1]["Content-Type"] == "text/html; charset=windows-1252"


def test_the_full_text_feed_carries_the_text_and_has_no_pages(room: Newsroom) -> None:
    feed = next(feed for feed in room.feeds if feed.format == "fulltext")
    entries = {entry.link: entry for entry in feedparser.parse(room.body_of(feed.url)).entries}
    texts = [article for article in room.articles if article.origin == "feed"]
    assert len(texts) == len(entries) >= 6
    for article in texts:
        content = visible(entries[article.url].content[0].value.encode(), "utf-8")
        assert squeezed(article.body) in squeezed(content)
        assert squeezed(article.cruft[0].phrase) in squeezed(content)
        assert ask(room, article.url)[0] == 404


def test_pages_hold_their_stories_and_their_cruft(room: Newsroom) -> None:
    for article in room.articles:
        if article.origin != "page":
            continue
        status, headers, body = ask(room, article.url)
        assert status == 200
        assert headers["ETag"]
        assert 8_000 <= len(body) <= 30_000, article.url
        text = squeezed(visible(body, charset_of(article)))
        for paragraph in article.paragraphs:
            assert squeezed(paragraph) in text, (article.url, paragraph)
        for cruft in article.cruft:
            assert squeezed(cruft.phrase) in text, (article.url, cruft.kind)
            assert squeezed(cruft.phrase) not in squeezed(article.body)
        assert article.opener in visible(body, charset_of(article))
        assert article.credit in visible(body, charset_of(article))
        assert f'<link rel="canonical" href="{article.url}"'.encode() in body


def test_every_kind_of_cruft_is_there(room: Newsroom) -> None:
    kinds = {(a.language, cruft.kind) for a in room.articles for cruft in a.cruft}
    both = {"read_also", "newsletter", "share", "legal", "popular", "appeared_first", "comments"}
    assert {kind for language, kind in kinds if language == "en"} == both | {"support"}
    assert {kind for language, kind in kinds if language == "de"} == both


def test_texts_are_long_enough_and_distinct_outside_their_groups(room: Newsroom) -> None:
    sets = [(article, shingles(article.body)) for article in room.articles]
    for article in room.articles:
        assert len(article.body.split()) >= 150, article.url
        assert 5 <= len(article.paragraphs) <= 14, article.url
    for (a, a_set), (b, b_set) in combinations(sets, 2):
        if a.copies is None or a.copies != b.copies:
            assert jaccard(a_set, b_set) < 0.2, (a.url, b.url)


def test_copy_groups_are_what_they_say(room: Newsroom) -> None:
    groups: dict[str, list[SampleArticle]] = {}
    for article in room.articles:
        if article.copies:
            groups.setdefault(article.copies, []).append(article)
    wires = [group for group in groups.values() if group[0].copy_kind == "wire"]
    rewrites = [group for group in groups.values() if group[0].copy_kind == "rewrite"]
    assert sorted(len(group) for group in wires) == [2, 4]
    for group in wires:
        assert len({a.site for a in group}) == len(group)
        assert len({a.body for a in group}) == 1
        assert len({a.title for a in group}) == len(group)
        assert len({a.opener for a in group}) == len(group)
    assert [len(group) for group in rewrites] == [2]
    first, second = rewrites[0]
    assert first.site != second.site
    assert 0.5 < jaccard(shingles(first.body), shingles(second.body)) < 0.95
    own_words = [a for a in room.articles if a.event and not a.copies]
    events = {event: [a for a in own_words if a.event == event] for event in {a.event for a in own_words}}
    assert sorted(len(told) for told in events.values()) == [2, 3]


def test_subheadings_are_headings_in_the_page_and_lines_of_the_body(room: Newsroom) -> None:
    with_headings = [a for a in room.articles if a.subheadings]
    assert {a.site for a in with_headings} == set(room.hosts)
    for article in with_headings:
        page = room.body_of(article.url).decode(charset_of(article), "replace")
        assert all(heading in article.paragraphs for heading in article.subheadings)
        assert all(re.search(rf"<(h[23]|b)[^>]*>{re.escape(h)}</", page) for h in article.subheadings)


def test_dateline_carries_the_day_of_publication(room: Newsroom) -> None:
    assert "HALVERTON, May 4 (Nordwire) -" in {article.opener for article in room.articles}


def test_the_repeated_body_and_the_stray_bytes(room: Newsroom) -> None:
    repeated = [a for a in room.articles if a.special == "repeated_body"]
    stray = [a for a in room.articles if a.special == "undecodable"]
    assert len(repeated) == len(stray) == 1
    page = visible(room.body_of(repeated[0].url), "utf-8")
    assert all(page.count(paragraph) >= 2 for paragraph in repeated[0].paragraphs)
    body = room.body_of(stray[0].url)
    assert STRAY_BYTES in body
    with pytest.raises(UnicodeDecodeError):
        body.decode("utf-8")
    assert body.replace(STRAY_BYTES, b"").decode("utf-8")


def test_dead_links_lead_to_no_article(room: Newsroom) -> None:
    assert sorted(link.kind for link in room.dead_links) == ["missing", "missing", "missing", "no_article"]
    for link in room.dead_links:
        status, _, body = ask(room, link.url)
        assert status == (404 if link.kind == "missing" else 200)
        assert b"<p" not in body


def test_dates_are_fresh_and_count_from_the_start(room: Newsroom) -> None:
    start = NOON.replace(second=0)
    assert all(timedelta(0) < start - a.published_at < timedelta(hours=48) for a in room.articles)


def test_sites_answer_by_host_header_only(room: Newsroom) -> None:
    path = urlsplit(room.feeds[0].url).path
    assert ask(room, f"http://127.0.0.1:{room.port}{path}")[0] == 404
    assert ask(room, f"http://nowhere.example:{room.port}{path}")[0] == 404
    assert ask(room, f"http://HARBOUR-COURIER.example{path}")[0] == 200
    assert ask(room, f"{room.base_url('harbour-courier.example')}{path}?x=1")[0] == 200
    with pytest.raises(ValueError, match=r"nowhere\.example"):
        room.base_url("nowhere.example")


def test_robots_forbid_no_article(room: Newsroom) -> None:
    answers = {host: ask(room, f"{room.base_url(host)}/robots.txt") for host in room.hosts}
    assert {status for status, _, _ in answers.values()} == {200, 404}
    rules = [line for _, _, body in answers.values() for line in body.decode().splitlines()]
    forbidden = [line.partition(":")[2].strip() for line in rules if line.startswith("Disallow:")]
    forbidden = [path for path in forbidden if path]
    assert forbidden
    assert not any(urlsplit(a.url).path.startswith(path) for a in room.articles for path in forbidden)


def test_rounds_answer_validators() -> None:
    with Newsroom(clock=lambda: NOON) as room:
        good = [feed for feed in room.feeds if feed.kind == "ok"]
        first = {feed.url: ask(room, feed.url) for feed in good}
        assert {status for status, _, _ in first.values()} == {200}
        for _round in (2, 3):
            room.advance()
            second = {feed.url: ask(room, feed.url, validators(first[feed.url][1])) for feed in good}
            for feed in good:
                status, headers, body = second[feed.url]
                if not feed.changes:
                    assert status == 304, feed.url
                    assert body == b""
                    continue
                assert status == 200, feed.url
                assert body != first[feed.url][2]
                assert validators(headers) != validators(first[feed.url][1])
                assert links_of(feed.format, body) == links_of(feed.format, first[feed.url][2])
                first[feed.url] = second[feed.url]
        assert sum(feed.changes for feed in good) * 2 == len(good)


def test_a_validator_of_another_version_is_no_match(room: Newsroom) -> None:
    feed = next(f for f in room.feeds if f.format == "json")
    _, headers, _ = ask(room, feed.url)
    old = {"If-None-Match": '"other"', "If-Modified-Since": headers["Last-Modified"]}
    assert ask(room, feed.url, old)[0] == 200
    assert ask(room, feed.url, {"If-None-Match": f'"other", W/{headers["ETag"]}'})[0] == 304
    assert ask(room, feed.url, {"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"})[0] == 200
    assert ask(room, feed.url, {"If-Modified-Since": "yesterday"})[0] == 200


def test_one_connection_serves_many_requests_and_all_are_logged() -> None:
    with Newsroom(clock=lambda: NOON) as room:
        feed = urlsplit(room.feeds[0].url)
        connection = http.client.HTTPConnection("127.0.0.1", room.port, timeout=10)
        connection.connect()
        used = connection.sock
        for method in ("GET", "HEAD", "GET"):
            connection.request(method, feed.path, headers={"Host": feed.netloc, "User-Agent": "probe/1"})
            response = connection.getresponse()
            assert len(response.read()) == (0 if method == "HEAD" else int(response.headers["Content-Length"]))
        assert connection.sock is used
        assert [(r.method, r.status, r.host, r.path) for r in room.log] == [
            (method, 200, feed.netloc, feed.path) for method in ("GET", "HEAD", "GET")
        ]
        assert room.log[0].headers["User-Agent"] == "probe/1"
        assert room.log[0].bytes_sent == len(room.body_of(room.feeds[0].url))
        assert room.log[1].bytes_sent == 0
        assert room.log[0].at_seconds <= room.log[2].at_seconds
        connection.close()


def test_parallel_requests_are_all_answered(room: Newsroom) -> None:
    before = len(room.log)
    urls = [article.url for article in room.articles if article.origin == "page"]
    statuses: list[int] = []

    def work(part: int) -> None:
        statuses.extend(ask(room, url)[0] for url in urls[part::8])

    threads = [threading.Thread(target=work, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * len(urls)
    assert len(room.log) - before == len(urls)


def test_two_newsrooms_at_one_start_serve_the_same() -> None:
    with Newsroom(clock=lambda: NOON) as one, Newsroom(clock=lambda: NOON) as other:
        for a, b in zip(one.articles, other.articles, strict=True):
            assert a.body == b.body
            assert a.url.replace(str(one.port), "") == b.url.replace(str(other.port), "")
            assert [c.phrase for c in a.cruft] == [c.phrase for c in b.cruft]


def test_closing_ends_open_connections() -> None:
    room = Newsroom()
    connection = http.client.HTTPConnection("127.0.0.1", room.port, timeout=10)
    feed = urlsplit(room.feeds[0].url)
    connection.request("GET", feed.path, headers={"Host": feed.netloc})
    connection.getresponse().read()
    assert connection.sock is not None
    room.close()
    assert connection.sock.recv(1) == b""
    connection.close()
    room.close()


def test_wrong_arguments_and_a_taken_port_are_one_clear_line(room: Newsroom) -> None:
    command = [sys.executable, "-m", "pipelines.demo.newsroom"]
    wrong = subprocess.run([*command, "--prot", "1"], capture_output=True, text=True, timeout=60)
    taken = subprocess.run([*command, "--port", str(room.port)], capture_output=True, text=True, timeout=60)
    assert (wrong.returncode, wrong.stderr.strip()) == (2, "usage: python -m pipelines.demo.newsroom [--port N]")
    assert taken.returncode == 1
    assert str(room.port) in taken.stderr
    assert len(taken.stderr.splitlines()) == 1
