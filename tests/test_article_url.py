from typing import Optional

import pytest

from transforms.article_url import MOST_URL_CHARS, article_id_of, article_url, join_address, normalise_url, site_of


@pytest.mark.parametrize(
    "url, normal",
    [
        ("HTTPS://News.Example.COM:443/A/b.html#comments", "https://news.example.com/A/b.html"),
        ("http://news.example.com:80", "http://news.example.com/"),
        ("http://news.example.com:8080/a", "http://news.example.com:8080/a"),
        ("https://news.example.com/a/?utm_source=x&id=7&UTM_Medium=y&fbclid=z", "https://news.example.com/a/?id=7"),
        ("https://news.example.com/a?b=2&a=1", "https://news.example.com/a?b=2&a=1"),
        ("https://news.example.com/a?mc_cid=1&gclid=2", "https://news.example.com/a"),
        ("https://reader:secret@news.example.com/a", "https://news.example.com/a"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
        ("http://[2001:DB8::1]:8080/a", "http://[2001:db8::1]:8080/a"),
        ("https://news.example.com./a", "https://news.example.com/a"),
        ("/a/b", ""),
        ("mailto:desk@example.com", ""),
        ("http://news.example.com:port/", ""),
        ("http://[", ""),
        ("", ""),
    ],
)
def test_normal_form(url: str, normal: str) -> None:
    assert normalise_url(url) == normal
    assert normalise_url(normal) == normal


@pytest.mark.parametrize("name", ["id", "p", "page", "ref", "source", "cid", "s", "article", "story"])
def test_parameters_that_can_be_content_stay(name: str) -> None:
    url = f"https://news.example.com/a?{name}=42"
    assert normalise_url(url) == url


PAGE = "https://www.paper.example.co.uk/politics/2026/harbour-vote-delayed-again-7731"


@pytest.mark.parametrize(
    "canonical, believed",
    [
        (None, False),
        ("", False),
        ("https://paper.example.co.uk/politics/2026/harbour-vote-delayed-again-7731", True),
        ("https://www.paper.example.co.uk/p/harbour-vote-delayed-7731", True),
        ("/politics/2026/harbour-vote-delayed-again-7731?utm_source=self", False),
        ("/politics/2026/harbour-vote-7731", True),
        ("https://www.paper.example.co.uk/", False),
        ("https://www.paper.example.co.uk", False),
        ("https://www.paper.example.co.uk/politics/", False),
        ("https://www.paper.example.co.uk/politics/2026", False),
        ("https://www.paper.example.co.uk/world", False),
        ("https://www.other.example.com/politics/2026/harbour-vote-delayed-again-7731", False),
        ("https://other.co.uk/politics/2026/harbour-vote-delayed-again-7731", False),
        ("javascript:void(0)", False),
        ("http://[", False),
    ],
)
def test_a_canonical_is_believed_within_its_site_and_for_articles_only(
    canonical: Optional[str], believed: bool
) -> None:
    chosen = article_url(PAGE, canonical)
    assert (chosen != PAGE) == believed


@pytest.mark.parametrize(
    "page, canonical, chosen",
    [
        ("https://a.example/2026/05/the-story/amp/", "https://a.example/2026/05/the-story/", "canonical"),
        ("https://a.example/story-1234/index.html", "https://a.example/story-1234", "canonical"),
        ("https://a.example/story-1234?page=2", "https://a.example/story-1234", "canonical"),
        ("https://a.example/article.php?id=12", "https://a.example/article.php", "page"),
        ("https://a.example/news?id=12", "https://a.example/news?id=12&full=1", "page"),
        ("https://a.example/story-1234/", "https://a.example/story-1234", "canonical"),
        ("https://a.example/feuilleton/opern", "https://a.example/kultur/opern", "canonical"),
    ],
)
def test_views_of_an_article_and_templates_that_drop_its_number(page: str, canonical: str, chosen: str) -> None:
    assert article_url(page, canonical) == (canonical if chosen == "canonical" else page)


@pytest.mark.parametrize(
    "url, site",
    [
        ("https://www.paper.example.co.uk/a", "example.co.uk"),
        ("https://News.Example.com:8443/a", "example.com"),
        ("http://127.0.0.1:8080/a", "127.0.0.1:8080"),
        ("http://[::1]:8080/a", "[::1]:8080"),
        ("http://localhost:8080/a", "localhost:8080"),
        ("http://newsroom/a", "newsroom"),
        ("https://anna.github.io/a", "anna.github.io"),
        ("https://co.uk/a", "co.uk"),
        ("https://www.sundvik.example/a", "sundvik.example"),
        ("https://news.intranet.local:8080/a", "intranet.local"),
        ("not an address", ""),
    ],
)
def test_site(url: str, site: str) -> None:
    assert site_of(url) == site


def test_two_servers_on_one_machine_are_two_sites() -> None:
    page = "http://127.0.0.1:8001/stories/the-long-story-1"
    assert article_url(page, "http://127.0.0.1:8002/stories/the-long-story-1") == page
    assert article_url(page, "http://127.0.0.1:8001/stories/story-1") == "http://127.0.0.1:8001/stories/story-1"


def test_ids_differ_by_address_and_do_not_change() -> None:
    assert article_id_of("https://a.example/1") != article_id_of("https://a.example/2")
    # Rows in existing lakes carry this id: a change of the hash would write every article again.
    assert article_id_of("https://a.example/1") == "7e68e45dcbd248d6"


BASE = "https://paper.example/news/feed.xml?x=1"


@pytest.mark.parametrize(
    "written, joined",
    [
        ("https://a.example/x?y=1#z", "https://a.example/x?y=1#z"),
        ("http://a.example", "http://a.example"),
        ("HTTPS://a.example/x", "https://a.example/x"),
        ("http://a.example:8080/x", "http://a.example:8080/x"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x"),
        ("https://bücher.example/ä", "https://bücher.example/ä"),
        ("/a", "https://paper.example/a"),
        ("b", "https://paper.example/news/b"),
        ("../b", "https://paper.example/b"),
        ("//cdn.example/a", "https://cdn.example/a"),
        ("?id=1", "https://paper.example/news/feed.xml?id=1"),
        ("#top", "https://paper.example/news/feed.xml?x=1#top"),
        # White space: none at the ends; a line break inside is none (as in browsers); any other is one escaped space.
        (" \t/a\r\n", "https://paper.example/a"),
        ("https://a.example/one\ntwo", "https://a.example/onetwo"),
        ("https://a.example/one\r\n\ttwo", "https://a.example/onetwo"),
        ("https://a.example/one two", "https://a.example/one%20two"),
        ("https://a.example/one  two", "https://a.example/one%20two"),
        ("https://a.example/one \n  two", "https://a.example/one%20two"),
        ("/ä ö?q=a b", "https://paper.example/ä%20ö?q=a%20b"),
        ("\u2028/a", "https://paper.example/a"),
        # What can be in no address is no part of one.
        ("/a\x00b", "https://paper.example/a%20b"),
        ("/a\x85b", "https://paper.example/a%20b"),
        ("https://a.example/\x1b[31m", "https://a.example/%20[31m"),
        # What is no address of the web.
        ("", ""),
        (" \n", ""),
        ("javascript:alert(1)", ""),
        ("data:text/html,hi", ""),
        ("mailto:desk@a.example", ""),
        ("ftp://a.example/x", ""),
        ("file:///etc/passwd", ""),
        ("http://", ""),
        ("http:///a", ""),
        ("http://[::1", ""),
        ("http://a.example:port/", ""),
        ("http://a.example:99999/", ""),
    ],
)
def test_an_address_is_joined_to_what_a_browser_would_ask_for_or_to_nothing(written: str, joined: str) -> None:
    assert join_address(BASE, written) == joined
    assert join_address(BASE, joined) == joined
    assert joined == "" or join_address("", joined) == joined


def test_an_address_longer_than_any_server_takes_is_none() -> None:
    longest = "https://a.example/" + "x" * (MOST_URL_CHARS - 18)
    assert join_address(BASE, longest) == longest
    assert join_address(BASE, longest + "x") == ""
    assert join_address("https://a.example/", "y" * MOST_URL_CHARS) == ""
