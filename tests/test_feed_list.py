from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.feed_list import feeds_from_opml, feeds_from_plain, feeds_from_urls, read_feed_list, to_opml
from transforms.errors import UsageError
from transforms.records import FeedSpec, feed_id_of

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


def spec(url: str, title: Optional[str] = None, language: Optional[str] = None, *tags: str) -> FeedSpec:
    return FeedSpec(feed_id_of(url), url, title, language, tags)


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
        (b"<?xml version='1.0' encoding='klingon'?><opml/>", "klingon|unknown encoding"),
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


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=12)


@given(
    st.lists(
        st.builds(
            lambda path, title, tags: spec(
                f"https://a.example/{len(path)}?q={path}", title, "de", *dict.fromkeys(tags)
            ),
            st.from_regex(r"[a-z0-9&=]{1,10}", fullmatch=True),
            WORDS,
            st.lists(WORDS.map(lambda w: w.strip("/,").replace(",", "")).filter(bool), max_size=3),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda feed: feed.url,
    )
)
def test_opml_round_trip(feeds):
    assert feeds_from_opml(to_opml(feeds), "x") == feeds
