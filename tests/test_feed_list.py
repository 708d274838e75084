from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.feed_list import (
    MOST_GROUPS,
    feeds_from_opml,
    feeds_from_plain,
    feeds_from_toml,
    feeds_from_urls,
    read_feed_list,
    to_opml,
    to_plain,
    to_toml,
)
from pipelines.feed_secrets import request_headers_of
from pipelines.feed_tables import parse_interval, show_interval
from tests.feed_list_cases import ODD_OPML, WRONG_TABLES
from transforms.errors import TransientError, UsageError
from transforms.records import FeedHeader, FeedSpec, feed_id_of

OPML = """<?xml version="1.0" encoding="UTF-8"?>
<!-- exported -->
<opml version="1.1">
  <head><title>Küste</title></head>
  <body>
    <outline text="Regional">
      <outline text="Courier" title="The Courier" type="rss" xmlUrl="https://courier.example/rss"
               htmlUrl="https://courier.example/" language="en"/>
      <outline text="Ports">
        <outline text="Seebote" xmlURL="HTTPS://Bote.example:443/feed#top" category="/news/harbour,/de"/>
      </outline>
    </outline>
    <outline text="Quay" xmlUrl="feed://quay.example/atom?a=1&amp;b=2"/>
  </body>
</opml>
"""


def spec(
    url: str, title: Optional[str] = None, language: Optional[str] = None, *tags: str, is_paused: bool = False
) -> FeedSpec:
    return FeedSpec(feed_id_of(url), url, title, language, tags, is_paused=is_paused)


def test_opml_groups_and_categories_are_tags():
    assert feeds_from_opml(OPML.encode(), "a.opml") == [
        spec("https://courier.example/rss", "The Courier", "en", "Regional"),
        spec("https://bote.example/feed", "Seebote", None, "Regional", "Ports", "news/harbour", "de"),
        spec("https://quay.example/atom?a=1&b=2", "Quay"),
    ]


def test_plain_list():
    text = (
        "\ufeff# my feeds\n\nhttps://a.example/rss\n  https://b.example/x#frag   The  B Paper # the good one\n"
        "https://c.example/?q=a%23b\n"
    )
    assert feeds_from_plain(text, "feeds.txt") == [
        spec("https://a.example/rss"),
        spec("https://b.example/x", "The B Paper"),
        spec("https://c.example/?q=a%23b"),
    ]


@pytest.mark.parametrize(
    "line, message",
    [
        ("htps://a.example/rss", "'htps://a.example/rss' is not an http(s) address; write it as https://a.example/rss"),
        ("a.example/rss", "'a.example/rss' is not an http(s) address; write it as https://a.example/rss"),
        ("https:/a.example/rss", "'https:/a.example/rss' names no host; write it as https://host/path"),
        ("ftp://a.example/rss", "'ftp://a.example/rss' is not an http(s) address; write it as https://a.example/rss"),
        ("feeds", "'feeds' is not an http(s) address; write it as https://host/path"),
        ("https://[::1/x", "'(unreadable address)' is not an address (Invalid IPv6 URL)"),
        ("https://a.example:port/x", "is not an address (Port could not be cast to integer value as 'port')"),
        ("htps://u:secret@a.example/x", "'htps://***@a.example/x' is not an http(s) address"),
    ],
)
def test_a_typo_names_file_line_and_remedy(line, message):
    with pytest.raises(UsageError) as error:
        feeds_from_plain(f"# list\nhttps://ok.example/\n{line}\n", "feeds.txt")
    assert str(error.value).startswith("feeds.txt line 3: ")
    assert message in str(error.value)
    assert "secret" not in str(error.value)


def test_all_wrong_lines_are_named_at_once():
    with pytest.raises(UsageError) as error:
        feeds_from_plain("one\nhttps://a.example/\ntwo\nthree\n", "feeds.txt")
    assert str(error.value).endswith("(also lines 3, 4)")


def test_opml_faults_name_their_lines():
    with pytest.raises(UsageError, match=r"a\.opml line 7: 'htps://courier"):
        feeds_from_opml(OPML.replace("https://courier.example/rss", "htps://courier.example/rss").encode(), "a.opml")
    with pytest.raises(UsageError, match=r"a\.opml line 14: not well-formed XML"):
        feeds_from_opml(OPML.replace("  </body>", "  </bdy>").encode(), "a.opml")


@pytest.mark.parametrize(
    "data, message",
    [
        (b"<rss version='2.0'><channel/></rss>", "is a feed, not a list of feeds"),
        (b"<html><body/></html>", "is a web page, not a list"),
        (b"<opml><body/></opml>", "names no feed"),
        (b"<!DOCTYPE o [<!ENTITY a 'b'>]><opml><body><outline xmlUrl='&a;'/></body></opml>", "defines entities"),
        (b"<?xml version='1.0' encoding='klingon'?><opml/>", "names no feed"),
        (b"<opml><body><outline xmlUrl='https://a.example/'/>", "not well-formed XML"),
        (b"<opml><body>" + b"<outline text='g'>" * (MOST_GROUPS + 1), "nested more than"),
    ],
)
def test_what_is_no_opml(data, message):
    with pytest.raises(UsageError, match=message):
        feeds_from_opml(data, "x.opml")


def test_a_feed_listed_twice_is_polled_once_with_a_note():
    notes: list[str] = []
    feeds = feeds_from_plain("https://a.example/\nHTTPS://A.example:443/#x Again\n", "f.txt", note=notes.append)
    assert feeds == [spec("https://a.example/")]
    assert notes == ["f.txt: line 2 repeats line 1; each feed is polled once"]


def test_a_site_without_a_feed_is_noted():
    notes: list[str] = []
    text = '<opml><body><outline htmlUrl="https://s.example/"/><outline xmlUrl="https://a.example/"/></body></opml>'
    assert feeds_from_opml(text.encode(), "x.opml", note=notes.append) == [spec("https://a.example/")]
    assert notes == ["x.opml: 1 outlines name a site (htmlUrl) but no feed of it (xmlUrl)"]


def test_arguments():
    assert feeds_from_urls([]) == []
    assert feeds_from_urls(["https://a.example/?key=1", " http://b.example "]) == [
        spec("https://a.example/?key=1"),
        spec("http://b.example"),
    ]
    with pytest.raises(UsageError, match="command line address 2: 'b' is not"):
        feeds_from_urls(["https://a.example/", "b"])


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"])
def test_a_file_is_told_by_its_content(tmp_path, codec):
    path = tmp_path / "list"
    path.write_bytes("https://a.example/ Küste\n".encode(codec))
    assert read_feed_list(path) == [spec("https://a.example/", "Küste")]
    path.write_bytes(OPML.replace("UTF-8", codec.removesuffix("-sig")).encode(codec))
    assert [feed.title for feed in read_feed_list(path)] == ["The Courier", "Seebote", "Quay"]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="there is no feed list"):
        read_feed_list(tmp_path / "missing.opml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_feed_list(tmp_path)
    (tmp_path / "empty").write_bytes(b"# nothing yet\n")
    with pytest.raises(UsageError, match="names no feed"):
        read_feed_list(tmp_path / "empty")


@pytest.mark.parametrize("data, wanted", [case[1:] for case in ODD_OPML], ids=[case[0] for case in ODD_OPML])
def test_opml_of_other_programs(data, wanted):
    assert [(feed.url, feed.title) for feed in feeds_from_opml(data, "x.opml")] == wanted


def test_a_mended_opml_names_the_lines_of_the_file():
    text = '<?xml version="1.0"?>\n<!-- a -->\n<opml><body>\n<outline text="A & B" xmlUrl="htps://a.example/"/></body></opml>'
    with pytest.raises(UsageError, match=r"x\.opml line 4: 'htps"):
        feeds_from_opml(text.encode(), "x.opml")


def test_opml_of_a_paused_group_and_an_unknown_language():
    text = """<opml version="2.0"><body><outline text="G" isComment="true">
        <outline text="A" xmlUrl="https://a.example/" language="unknown"/></outline>
        <outline text="B" xmlUrl="https://b.example/" language="en-us" isComment="false"/></body></opml>"""
    first, second = feeds_from_opml(text.encode(), "x.opml")
    assert (first.is_paused, first.language, second.is_paused, second.language) == (True, None, False, "en-us")


@pytest.fixture
def folder(tmp_path):
    for name, held in {"empty": b" \n", "two-lines": b"one\ntwo\n", "huge": b"x" * 8_193, "token": b"t0k3n\n"}.items():
        (tmp_path / name).write_bytes(held)
    return tmp_path


@pytest.mark.parametrize("text, words", WRONG_TABLES, ids=range(len(WRONG_TABLES)))
def test_a_wrong_table_is_named_with_the_remedy(folder, monkeypatch, text, words):
    monkeypatch.setenv("HOME", "/h")
    (folder / "feeds.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        read_feed_list(folder / "feeds.toml", needs_secrets=True)
    message = str(error.value)
    assert message.startswith(str(folder / "feeds.toml"))
    for word in words:
        assert word in message
    assert "s3cr3t" not in message


FULL = """\ufeff# a list
[[feeds]]
url = "https://a.example/feed?key=abc"
title = "The A"
language = "de-AT"
tags = ["local", "ports", "local"]
pause = true
min_interval = "90s"
max_interval = 7200
user = "me"
password = { env = "A_PASSWORD" }
headers = { accept = "text/xml", X-Key = { file = "token" } }

[[feeds]]
url = "https://b.example/"
token = { file = "token" }
"""


def test_a_toml_list(folder):
    path = folder / "list"
    path.write_text(FULL, "utf-8")
    first, second = read_feed_list(path, needs_secrets=False)
    assert first == FeedSpec(
        feed_id_of("https://a.example/feed?key=abc"),
        "https://a.example/feed?key=abc",
        "The A",
        "de-AT",
        ("local", "ports"),
        (
            FeedHeader("Authorization", env="A_PASSWORD", scheme="Basic", user="me"),
            FeedHeader("Accept", value="text/xml"),
            FeedHeader("X-Key", file=str(folder / "token")),
        ),
        True,
        90.0,
        7_200.0,
    )
    assert second.headers == (FeedHeader("Authorization", file=str(folder / "token"), scheme="Bearer"),)


def test_a_paused_feed_needs_no_secret(folder):
    (folder / "list").write_text(FULL, "utf-8")
    assert len(read_feed_list(folder / "list", needs_secrets=True)) == 2


def test_secrets_are_looked_up_at_each_request(folder, monkeypatch):
    (folder / "list").write_text(FULL, "utf-8")
    first, second = read_feed_list(folder / "list")
    monkeypatch.setenv("A_PASSWORD", "pässword")
    assert request_headers_of(first) == {
        "Authorization": "Basic bWU6cMOkc3N3b3Jk",
        "Accept": "text/xml",
        "X-Key": "t0k3n",
    }
    assert request_headers_of(second) == {"Authorization": "Bearer t0k3n"}
    (folder / "token").write_text("other")
    assert request_headers_of(second) == {"Authorization": "Bearer other"}
    (folder / "token").unlink()
    with pytest.raises(TransientError) as error:
        request_headers_of(second)
    assert error.value.reason == "secret_missing"
    assert str(error.value).startswith("https://b.example/: secret file ")


def test_a_secret_is_in_no_printed_form(folder, monkeypatch):
    monkeypatch.setenv("A_PASSWORD", "s3cr3t")
    (folder / "token").write_text("s3cr3t")
    (folder / "list").write_text(FULL, "utf-8")
    feeds = read_feed_list(folder / "list", needs_secrets=True)
    assert "s3cr3t" not in repr(feeds) + to_toml(feeds) + to_plain(feeds) + to_opml(feeds).decode()


def test_the_first_mistake_is_said_and_the_lines_of_the_others(folder):
    text = '[[feeds]]\nurl = "a"\n[[feeds]]\nurl = "https://b.example/"\n[[feeds]]\nurl = "https://c.example/"\npause = 1\n'
    with pytest.raises(UsageError) as error:
        feeds_from_toml(text, "f.toml", folder)
    assert str(error.value).startswith("f.toml line 1: 'a' is not")
    assert str(error.value).endswith("(also lines 5)")


@pytest.mark.parametrize("seconds, shown", [(0.5, "500ms"), (1, "1s"), (90, "90s"), (3_600, "1h"), (86_400, "1d")])
def test_intervals(seconds, shown):
    assert show_interval(seconds) == shown
    assert parse_interval(shown) == seconds


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=12)


TAGS = st.lists(WORDS.map(lambda w: w.strip("/,").replace(",", "")).filter(bool), max_size=3)
PLAIN_FEEDS = st.builds(
    lambda path, title, tags, paused: spec(
        f"https://a.example/{len(path)}?q={path}", title, "de", *dict.fromkeys(tags), is_paused=paused
    ),
    st.from_regex(r"[a-z0-9&=]{1,10}", fullmatch=True),
    WORDS,
    TAGS,
    st.booleans(),
)
SECRETS = st.sampled_from(
    [
        (),
        (FeedHeader("Authorization", env="A B", scheme="Basic", user='m"e'), FeedHeader("X-A", value="1\t2")),
        (FeedHeader("Authorization", file="/a/b 'c'", scheme="Bearer"), FeedHeader("X-Token", env="T")),
    ]
)
INTERVALS = st.none() | st.integers(1, 20_000).map(lambda tenths: tenths / 10)


@given(st.lists(PLAIN_FEEDS, min_size=1, max_size=4, unique_by=lambda feed: feed.url))
def test_opml_round_trip(feeds):
    assert feeds_from_opml(to_opml(feeds), "x") == feeds


@given(
    st.lists(PLAIN_FEEDS, min_size=1, max_size=4, unique_by=lambda feed: feed.url),
    SECRETS,
    INTERVALS,
    st.integers(0, 9),
)
def test_toml_round_trip(feeds, headers, shortest, more):
    longest = None if shortest is None else round(shortest + more, 3)
    given = [
        replace(feed, headers=headers, min_interval_seconds=shortest, max_interval_seconds=longest) for feed in feeds
    ]
    assert feeds_from_toml(to_toml(given), "x", Path("/")) == given


@given(st.lists(PLAIN_FEEDS, min_size=1, max_size=4, unique_by=lambda feed: feed.url))
def test_plain_round_trip(feeds):
    listed = [feed for feed in feeds if not feed.is_paused]
    text = to_plain([*feeds, spec("https://z.example/")])
    assert [feed.url for feed in feeds_from_plain(text, "x")] == [*(feed.url for feed in listed), "https://z.example/"]
