from typing import Optional

import pytest

from transforms.article_url import article_id_of, article_url, normalise_url, site_of


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
