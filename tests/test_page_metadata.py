"""What a page says about its article; each case is one source or one quirk of many pages' templates."""

import json
from datetime import UTC, datetime
from typing import Any, Optional

import lxml.html
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.page_metadata import PageMetadata, parse_time_micros, scan_metadata

URL = "https://www.sundvik-post.example/politics/bridge-stays-closed-4711"
NOW = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000


def scan(head: str = "", body: str = "<p>text</p>", *, url: str = URL, html: str = '<html lang="en">') -> PageMetadata:
    return scan_metadata(
        lxml.html.document_fromstring(f"{html}<head>{head}</head><body>{body}</body></html>"), url=url, now_micros=NOW
    )


def json_ld(*values: Any) -> str:
    return "".join(
        f'<script type="application/ld+json">{v if isinstance(v, str) else json.dumps(v)}</script>' for v in values
    )


def meta(**values: str) -> str:
    return "".join(f'<meta property="{name.replace("__", ":")}" content="{value}">' for name, value in values.items())


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000)


# --- titles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head, body, title",
    [
        ("<title>Bridge stays closed | Sundvik Post</title>", "", "Bridge stays closed"),
        ("<title>Bridge stays closed - The Daily Herald</title>", "", "Bridge stays closed - The Daily Herald"),
        ("<title>Bridge stays closed - The Daily Herald</title>" + meta(og__site_name="The Daily Herald"), "", "Bridge stays closed"),
        ("<title>Bridge stays closed - The Daily Herald</title>" + meta(og__title="Bridge stays closed"), "", "Bridge stays closed"),
        (meta(og__title="Bridge stays closed - The Daily Herald") + json_ld({"@type": "NewsArticle", "headline": "Bridge stays closed"}), "", "Bridge stays closed"),
        ("<title>Sundvik - a town without a bridge</title>", "<h1>Sundvik - a town without a bridge</h1>", "Sundvik - a town without a bridge"),
        ("<title>x</title>", "<h1>Bridge stays closed</h1>", "Bridge stays closed"),
        (meta(og__title="Holt &amp;amp; Ruud &amp;#8211; the &lt;b&gt;bridge&lt;/b&gt;"), "", "Holt & Ruud – the bridge"),
        (json_ld({"@type": "NewsArticle", "headline": "Bridge stays closed until the end of the year and the…"})
         + meta(og__title="Bridge stays closed until the end of the year and the ferry runs"), "", "Bridge stays closed until the end of the year and the ferry runs"),
        ("", "", None),
        ("<title>  </title>", "", None),
    ],
)  # fmt: skip
def test_title(head: str, body: str, title: Optional[str]) -> None:
    assert scan(head, body).title == title


def test_a_title_in_a_picture_is_not_the_pages() -> None:
    assert scan(body="<svg><title>Logo of the paper</title></svg><p>x</p>").title is None


# --- json-ld -----------------------------------------------------------------------------------------------------

NEWS = {"@type": "NewsArticle", "headline": "Bridge stays closed", "datePublished": "2026-01-12T17:30:00+01:00"}


@pytest.mark.parametrize(
    "script",
    [
        json.dumps(NEWS),
        json.dumps([NEWS]),
        json.dumps({"@context": "https://schema.org", "@graph": [{"@type": "WebSite", "name": "x"}, NEWS]}),
        json.dumps({"@type": "WebPage", "mainEntity": NEWS}),
        json.dumps({**NEWS, "@type": ["NewsArticle", "Thing"]}),
        json.dumps({**NEWS, "@type": "http://schema.org/NewsArticle"}),
        "<!-- " + json.dumps(NEWS) + " -->",
        "//<![CDATA[\n" + json.dumps(NEWS) + "\n//]]>",
        json.dumps(NEWS) + ";",
        json.dumps(NEWS)[:-1] + ",}",
        json.dumps(NEWS).replace("stays closed", "stays\nclosed"),
    ],
)
def test_json_ld_in_its_many_forms(script: str) -> None:
    found = scan(json_ld("{broken", script))
    assert found.title == "Bridge stays closed"
    assert found.published_micros == micros("2026-01-12T16:30:00+00:00")


def test_of_several_articles_the_pages_own_is_believed() -> None:
    other = {
        "@type": "NewsArticle",
        "headline": "Fleet at anchor",
        "url": "https://www.sundvik-post.example/fleet",
        "author": {"name": "Ivo Petz"},
    }
    own = {
        "@type": "Article",
        "headline": "Bridge stays closed",
        "mainEntityOfPage": {"@id": URL + "#a"},
        "author": {"name": "Lena Ruud"},
    }
    assert scan(json_ld(other, own)).authors == ("Lena Ruud",)
    assert scan(json_ld(other, {**own, "mainEntityOfPage": None}), "<h1>Bridge stays closed</h1>").authors == (
        "Lena Ruud",
    )


def test_what_is_no_article_says_nothing() -> None:
    found = scan(
        json_ld(
            {"@type": "Organization", "name": "Sundvik Post", "datePublished": "2020-01-01"},
            {"@type": "Recipe", "name": "Cake"},
        )
    )
    assert (found.title, found.published_micros) == (None, None)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=20), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["@type", "@graph", "@id", "headline", "author", "name", "datePublished", "keywords", "publisher", "isAccessibleForFree", "mainEntityOfPage", "articleBody", "inLanguage", "articleSection", "url"]),
    inner | st.sampled_from(["NewsArticle", "2026-01-12"]), max_size=6), max_leaves=12))  # fmt: skip
def test_any_json_is_survived(value: Any) -> None:
    found = scan(json_ld({"@type": "NewsArticle", "x": value}, value, [value]))
    assert found.title is None or found.title.strip()


# --- authors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "author, names",
    [
        ("Lena Ruud", ("Lena Ruud",)),
        ({"@type": "Person", "name": "Lena Ruud"}, ("Lena Ruud",)),
        ([{"name": "Lena Ruud"}, {"name": "Ivo Petz"}], ("Lena Ruud", "Ivo Petz")),
        ({"name": ["Lena Ruud", "Ivo Petz"]}, ("Lena Ruud", "Ivo Petz")),
        ("By Lena Ruud and Ivo Petz", ("Lena Ruud", "Ivo Petz")),
        ("Von Lena Ruud, Ivo Petz und Karl Holm", ("Lena Ruud", "Ivo Petz", "Karl Holm")),
        ("https://www.sundvik-post.example/authors/7", ()),
        ("desk@sundvik-post.example", ()),
        ({"@type": "Person", "name": ""}, ()),
        (None, ()),
        ([{"name": "Lena Ruud"}, {"name": "Lena Ruud"}], ("Lena Ruud",)),
        ("Sandra Vonlanthen", ("Sandra Vonlanthen",)),
    ],
)
def test_authors(author: Any, names: tuple[str, ...]) -> None:
    assert scan(json_ld({"@type": "NewsArticle", "headline": "x", "author": author})).authors == names


def test_people_go_before_the_paper_and_the_paper_before_nobody() -> None:
    paper = {
        "@type": "NewsArticle",
        "headline": "x",
        "author": {"name": "Sundvik Post"},
        "publisher": {"name": "Sundvik Post"},
    }
    assert scan(json_ld(paper) + '<meta name="author" content="Lena Ruud">').authors == ("Lena Ruud",)
    assert scan(json_ld(paper)).authors == ("Sundvik Post",)


@pytest.mark.parametrize(
    "head, body",
    [
        ('<meta name="author" content="Lena Ruud">', ""),
        ('<meta name="parsely-author" content="Lena Ruud">', ""),
        ("", '<a rel="author" href="/a">Lena Ruud</a>'),
        ("", '<div itemprop="author" itemscope><span itemprop="name">Lena Ruud</span>, Nordhaven</div>'),
        (
            json_ld(
                {
                    "@graph": [
                        {"@type": "NewsArticle", "author": {"@id": "#lena"}},
                        {"@type": "Person", "@id": "#lena", "name": "Lena Ruud"},
                    ]
                }
            ),
            "",
        ),
    ],
)
def test_authors_from_elsewhere(head: str, body: str) -> None:
    assert scan(head, body).authors == ("Lena Ruud",)


# --- times -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written, read",
    [
        ("2026-01-12T17:30:00+01:00", "2026-01-12T16:30:00+00:00"),
        ("2026-01-12T17:30:00.123Z", "2026-01-12T17:30:00.123+00:00"),
        ("2026-01-12T17:30:00+0100", "2026-01-12T16:30:00+00:00"),
        ("2026-01-12 17:30", "2026-01-12T17:30:00+00:00"),
        ("2026-01-12T17:30:00+01:00[Europe/Oslo]", "2026-01-12T16:30:00+00:00"),
        ("20260112T173000Z", "2026-01-12T17:30:00+00:00"),
        ("20260112", "2026-01-12T00:00:00+00:00"),
        ("2026-01-12", "2026-01-12T00:00:00+00:00"),
        ("Mon, 12 Jan 2026 17:30:00 +0100", "2026-01-12T16:30:00+00:00"),
        ("1768235400", "2026-01-12T16:30:00+00:00"),
        ("1768235400000", "2026-01-12T16:30:00+00:00"),
        ("2026-01-12T23:59:60Z", "2026-01-12T23:59:59+00:00"),
    ],
)
def test_times_that_are_read(written: str, read: str) -> None:
    assert parse_time_micros(written) == micros(read)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "yesterday",
        "0000-00-00",
        "1970-01-01T00:00:00Z",
        "2026-13-45",
        "12/01/2026",
        "0001-01-01",
        "99999999999999",
        "2026-01-12T25:00",
        "2026-01-12T10:00:00+99:99",
    ],
)
def test_what_is_no_time_is_none(written: str) -> None:
    assert parse_time_micros(written) is None


@given(st.text(max_size=100))
def test_any_text_is_survived_as_a_time(text: str) -> None:
    parse_time_micros(text)


@pytest.mark.parametrize(
    "head, body, url",
    [
        (meta(article__published_time="2026-01-12"), "", URL),
        ('<meta itemprop="datePublished" content="2026-01-12">', "", URL),
        ("", '<time itemprop="datePublished" datetime="2026-01-12">January</time>', URL),
        ("", '<time datetime="2026-01-12">January</time><time datetime="2026-02-01">later</time>', URL),
        (
            "",
            '<time class="updated" datetime="2026-03-01">x</time><time class="published" datetime="2026-01-12">y</time>',
            URL,
        ),
        ("", "", "https://www.sundvik-post.example/2026/01/12/bridge"),
        ("", "", "https://www.sundvik-post.example/politics/2026-01-12-bridge"),
    ],
)
def test_publication_from_elsewhere(head: str, body: str, url: str) -> None:
    assert scan(head, body, url=url).published_micros == micros("2026-01-12T00:00:00+00:00")


def test_later_than_a_day_from_now_is_not_believed() -> None:
    assert scan(meta(article__published_time="2026-06-01T20:00:00Z")).published_micros is not None
    assert scan(meta(article__published_time="2026-06-03T00:00:00Z")).published_micros is None
    assert scan(meta(article__modified_time="2036-06-03T00:00:00Z")).updated_micros is None


# --- the rest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head, canonical",
    [
        ('<link rel="canonical" href="https://a.example/b">', "https://a.example/b"),
        ('<link rel="Canonical" href="/b?x=1">', "https://www.sundvik-post.example/b?x=1"),
        ('<base href="https://cdn.example/x/"><link rel="canonical" href="b">', "https://cdn.example/x/b"),
        (meta(og__url="https://a.example/c"), "https://a.example/c"),
        ('<link rel="canonical" href="javascript:void(0)">', None),
        ('<link rel="canonical" href="http://[">', None),
        ('<link rel="alternate" href="/amp">', None),
    ],
)
def test_canonical(head: str, canonical: Optional[str]) -> None:
    assert scan(head).canonical_url == canonical


@pytest.mark.parametrize(
    "html, head, language",
    [
        ('<html lang="en-GB">', "", "en-GB"),
        ('<html xml:lang="de">', "", "de"),
        ("<html>", json_ld({"@type": "NewsArticle", "inLanguage": "fr"}), "fr"),
        ("<html>", '<meta http-equiv="content-language" content="es, en">', "es"),
        ("<html>", meta(og__locale="pt_BR"), "pt_BR"),
        ('<html lang="">', "", None),
    ],
)
def test_declared_language(html: str, head: str, language: Optional[str]) -> None:
    assert scan(head, html=html).language == language


@pytest.mark.parametrize(
    "head, walled",
    [
        (json_ld({"@type": "NewsArticle", "isAccessibleForFree": False}), True),
        (json_ld({"@type": "NewsArticle", "isAccessibleForFree": "False"}), True),
        (json_ld({"@type": "NewsArticle", "isAccessibleForFree": "http://schema.org/False"}), True),
        (json_ld({"@type": "NewsArticle", "isAccessibleForFree": True}) + meta(article__content_tier="locked"), False),
        (meta(article__content_tier="metered"), True),
        (meta(article__content_tier="free"), False),
        ("", False),
    ],
)
def test_paywall(head: str, walled: bool) -> None:
    assert scan(head).is_paywalled is walled


def test_section_keywords_and_site() -> None:
    article = {
        "@type": "NewsArticle",
        "articleSection": ["Politics", "Local"],
        "keywords": ["bridge", "ferry", "bridge"],
        "publisher": {"name": "Sundvik Post"},
    }
    found = scan(json_ld(article))
    assert (found.section, found.keywords, found.site_name) == ("Politics", ("bridge", "ferry"), "Sundvik Post")
    found = scan(
        '<meta name="keywords" content="bridge, ferry ,, x">' + meta(article__section="Local", og__site_name="The Post")
    )
    assert (found.section, found.keywords, found.site_name) == ("Local", ("bridge", "ferry"), "The Post")


def test_what_cannot_be_stored_is_left_out() -> None:
    script = '{"@type": "NewsArticle", "headline": "Bridge\\u0000 stays\\ud83d closed", "author": "A\\u001bnn Lee"}'
    found = scan(json_ld(script) + '<link rel="canonical" href="/a\u2028b">')
    assert (found.title, found.authors, found.canonical_url) == ("Bridge stays closed", ("Ann Lee",), None)


@pytest.mark.parametrize(
    "value",
    [
        {"headline": f"Bridge &#{'9' * 5000}; closed", "articleBody": f"The bridge &#{'9' * 5000}; is closed. " * 9},
        {"isAccessibleForFree": [[]], "author": {"name": {"name": [1]}}},
    ],
)
def test_values_of_the_wrong_kind_are_survived(value: dict[str, Any]) -> None:
    assert scan(json_ld({"@type": "NewsArticle", "datePublished": "2026-01-12", **value})).published_micros == micros(
        "2026-01-12T00:00:00+00:00"
    )


def test_article_body_is_plain_text_in_paragraphs() -> None:
    body = "<p>The bridge stays closed until the end of the year.</p><p>A ferry runs &amp; it is free of charge for all pupils of Sundvik.</p>"
    found = scan(
        json_ld({"@type": "NewsArticle", "articleBody": body}).replace("</", "<\\/").replace("<\\/script>", "</script>")
    )
    assert (
        found.article_body
        == "The bridge stays closed until the end of the year.\nA ferry runs & it is free of charge for all pupils of Sundvik."
    )
