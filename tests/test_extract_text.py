"""Pages to articles: what is kept, what the page says about it, what is refused, and that nothing gets stuck."""

import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from transforms.article_url import article_id_of
from transforms.errors import RejectedError
from transforms.extract_text import CARRY_SECONDS, ExtractText, draft_of, extract_article, processors
from transforms.records import Page

URL = "https://www.sundvik-post.example/politics/2026/bridge-stays-closed-4711"
PARAGRAPHS = [
    "The bridge over the Sund will stay closed until the end of the year, the council of Sundvik decided on Monday.",
    "“We cannot let a school bus drive over it,” said the mayor, Maren Holt. “Not before the piers have been tested.”",
    "The flood of last November had washed out two of the five piers, and engineers from Nordhaven found cracks in a third.",
    "Until then a ferry will run every twenty minutes between the old harbour and the market, free of charge for pupils.",
    "Shopkeepers on the island fear for their Christmas trade and have asked the county for help.",
]
TITLE = "Bridge stays closed until the end of the year"


def page_of(*body: str, head: str = "", lang: str = "en") -> bytes:
    text = "\n".join(body) or story()
    return f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{TITLE} | Sundvik Post</title>{head}</head><body>{text}</body></html>'.encode()


def story(*between: str) -> str:
    parts = [f"<p>{p}</p>" for p in PARAGRAPHS]
    return f"<article><h1>{TITLE}</h1>{''.join((*parts[:3], *between, *parts[3:]))}</article>"


def text_of(html: bytes, **more: Any) -> list[str]:
    return extract_article(html, url=URL, **more).text.split("\n")


def test_the_story_and_nothing_else() -> None:
    html = page_of(
        '<header><nav><ul><li><a href="/">Home</a></li><li><a href="/politics">Politics</a></li></ul></nav></header>',
        f"<main>{story()}</main>",
        '<aside class="related"><h2>More on this</h2><ul><li><a href="/1">Ferry timetable changed again this winter</a></li></ul></aside>',
        '<section id="comments"><h3>Comments</h3><p>I have been saying this for years and nobody has ever listened to me. It is a shame.</p></section>',
        "<footer><p>Copyright Sundvik Post 2026. All rights reserved. No part of this site may be reproduced without permission.</p></footer>",
    )
    assert text_of(html) == PARAGRAPHS


@pytest.mark.parametrize(
    "furniture",
    [
        '<div class="newsletter-signup"><p>Get the morning briefing in your inbox every day, free of charge. Sign up now.</p></div>',
        '<div class="share-bar"><p>Share this story with your friends on all your networks, wherever they may be today.</p></div>',
        '<figure><img src="x.jpg"><figcaption>The bridge over the Sund in November, after the flood. Photo: Ivo Petz</figcaption></figure>',
        '<div class="related-articles"><p><a href="/2">Ferry timetable changed again this winter, says the harbour master.</a></p></div>',
        '<p><a href="/3">Read also: why the ferry was late again this week</a></p>',
        "<script>var a = 'This is a sentence in a script. It must never be read as text of the story.';</script>",
        '<ul><li><a href="/4">Harbour fees to rise again next spring</a></li><li><a href="/5">Island school gets a new roof at last</a></li></ul>',
        '<div class="advertisement"><p>The best boots for the whole family. Now at half the price in all our shops in town.</p></div>',
        '<aside><p>The Sund is eleven kilometres long and at its narrowest point four hundred metres wide, says the almanac.</p></aside>',
    ],
)  # fmt: skip
def test_furniture_inside_the_story_goes(furniture: str) -> None:
    assert text_of(page_of(story(furniture))) == PARAGRAPHS


@pytest.mark.parametrize(
    "markup, lines",
    [
        ("<h2>What happens now</h2>", ["What happens now"]),
        ("<blockquote><p>Nobody asked us. Nobody ever does.</p></blockquote>", ["Nobody asked us. Nobody ever does."]),
        ("<ul><li>400 g of flour</li><li>2 eggs</li></ul>", ["400 g of flour", "2 eggs"]),
        ("<p>“Yes.”</p><p>“No.”</p>", ["“Yes.”", "“No.”"]),
        ("<table><tr><td>Sundvik</td><td>3</td></tr><tr><td>Nordhaven</td><td>1</td></tr></table>", ["Sundvik | 3", "Nordhaven | 1"]),
        ("<p>First line<br>second line</p>", ["First line", "second line"]),
        ('<p>The <a href="/plan">plan of the county</a> says <b>otherwise</b>.</p>', ["The plan of the county says otherwise."]),
        ('<p class="share-price">The share price of the ferry company rose by a tenth on Monday, to 4.20 crowns.</p>', None),
        ('<div id="advent-market"><p>The Advent market will move to the old harbour this year, the council said.</p></div>', None),
    ],
)  # fmt: skip
def test_what_belongs_to_the_story_stays(markup: str, lines: Optional[list[str]]) -> None:
    got = text_of(page_of(story(markup)))
    if lines is None:
        assert len(got) == len(PARAGRAPHS) + 1
    else:
        assert got == [*PARAGRAPHS[:3], *lines, *PARAGRAPHS[3:]]


def test_a_label_that_covers_the_whole_story_is_not_believed() -> None:
    html = page_of(
        f'<div class="widget teaser sidebar-layout"><h1>{TITLE}</h1>'
        + "".join(f"<p>{p}</p>" for p in PARAGRAPHS)
        + "</div>"
    )
    assert text_of(html) == PARAGRAPHS


def test_a_standfirst_outside_the_body_is_part_of_the_story() -> None:
    lead = "The council wants the piers tested first; a ferry will carry pupils for free until the work is done."
    html = page_of(
        f'<div class="head"><h1>{TITLE}</h1><p class="teaser-text">{lead}</p></div><div class="body">'
        + "".join(f"<p>{p}</p>" for p in PARAGRAPHS)
        + "</div>",
        head=f'<meta property="og:description" content="{lead}">',
    )
    assert text_of(html) == [lead, *PARAGRAPHS]


LEAD = "Engineers want the piers tested first, and a ferry will carry pupils for free until the work is done"


def head_and_body(head: str) -> bytes:
    paragraphs = "".join(f"<p>{p}</p>" for p in PARAGRAPHS)
    return page_of(f'<main><div class="head"><h1>{TITLE}</h1>{head}</div><div class="text">{paragraphs}</div></main>')


@pytest.mark.parametrize(
    "head, lines",
    [
        (f"<h2>{LEAD}</h2>", [LEAD]),  # without a full stop, at once under the headline
        ('<h2 class="article-deck">Ferry carries pupils free of charge</h2>', ["Ferry carries pupils free of charge"]),
        (f'<p class="detail__excerpt">{LEAD}.</p>', [LEAD + "."]),  # a label that says "teaser" elsewhere
        (f'<div class="post-excerpt"><p>{LEAD}.</p></div><span class="byline">By Ivo Petz</span>', [LEAD + "."]),
        ("".join(f"<p>Line {n} tells at once what happened there.</p>" for n in "abcde"), [f"Line {n} tells at once what happened there." for n in "abcde"]),
        (f'<h2><a href="/9">{LEAD}</a></h2>', []),
        (f'<div class="related-excerpt sidebar"><p>{LEAD}.</p></div>', []),
        (f"<h2>{TITLE}: what the council decided on Monday and why it took eleven months</h2>", []),
    ],
)  # fmt: skip
def test_what_leads_from_the_headline_to_the_story_belongs_to_it(head: str, lines: list[str]) -> None:
    assert text_of(head_and_body(head)) == [*lines, *PARAGRAPHS]


def test_paragraphs_above_an_advert_belong_to_a_story_whose_headline_the_page_names_differently() -> None:
    html = page_of(
        f'<main><h2>A bridge and its five piers</h2><div class="a"><p>{LEAD}.</p></div><div class="b"><p>{PARAGRAPHS[0]}</p></div>'
        f'<div class="c">{"".join(f"<p>{p}</p>" for p in PARAGRAPHS[1:] * 3)}</div></main>'
    )
    assert text_of(html)[:3] == [f"{LEAD}.", *PARAGRAPHS[:2]]


@pytest.mark.parametrize(
    "notice",
    [
        "This summary was generated by AI and may contain mistakes.",
        "Diese Zusammenfassung wurde künstlich erzeugt und von der Redaktion geprüft.",
        "Résumé généré par l'intelligence artificielle",
        "Краткое содержание создано нейросетью",
        "AI 요약은 원문과 다를 수 있습니다.",
    ],
)
def test_a_machines_summary_above_the_story_goes(notice: str) -> None:
    points = "".join(f"<li>{p.replace('the', 'a')}</li>" for p in PARAGRAPHS[:2])
    box = f'<div class="panel ai__panel"><div><p>{notice}</p></div><ul>{points}</ul></div>'
    assert text_of(head_and_body(box)) == PARAGRAPHS


def test_a_story_about_machines_that_write_summaries_stays_whole() -> None:
    lead = "Summaries written by AI cost newspapers a third of their readers, a study by the ministry of Sundvik says."
    html = page_of(
        f'<article><h1>{TITLE}</h1><div class="intro"><p>{lead}</p><p>{LEAD}.</p></div>'
        + "".join(f"<p>{p}</p>" for p in PARAGRAPHS)
        + "</article>"
    )
    assert text_of(html) == [lead, f"{LEAD}.", *PARAGRAPHS]


@pytest.mark.parametrize(
    "label", ["commentlinks", "user-commentsection", "leserkommentare", "commenti", "post_comentarios"]
)
def test_a_thread_of_comments_longer_than_the_story_is_not_the_story(label: str) -> None:
    thread = "".join(
        f"<li><h4>reader{n}</h4><div><p>I have said so for {n} years and nobody has listened, least of all the council.</p></div></li>"
        for n in range(2, 30)
    )
    assert text_of(page_of(f'<main>{story()}<div class="sect {label}"><ul>{thread}</ul></div></main>')) == PARAGRAPHS


def test_commentary_is_no_thread_of_comments() -> None:
    assert text_of(page_of(f'<div class="commentary">{story()}</div>')) == PARAGRAPHS
    assert text_of(
        page_of(story('<p class="commentary">The county has slept for eleven months, and it sleeps still.</p>'))
    )[3].startswith("The county")


@pytest.mark.parametrize(
    "heading",
    ["3 comments", "Total comments: 0", "Kommentare insgesamt: 4", "Kommentare (12)", "Leserkommentare", "Leave a Reply", "Laisser un commentaire", "Комментарии", "Keine Kommentare"],
)  # fmt: skip
def test_a_story_ends_where_its_comments_begin_also_where_nothing_labels_them(heading: str) -> None:
    said = "<p>Anna K.</p>" + "".join(
        f"<p>I have said so for {n} years and nobody has listened, least of all the council.</p>" for n in (2, 3)
    )
    paragraphs = "".join(f"<p>{p}</p>" for p in PARAGRAPHS)
    html = page_of(f"<article><h1>{TITLE}</h1>{paragraphs}<h3>{heading}</h3>{said}</article>")
    assert text_of(html) == PARAGRAPHS


@pytest.mark.parametrize(
    "heading", ["Comments on the plan are due in May", "Kommentar", "Comments", "What the comments said"]
)
def test_a_story_goes_on_after_a_heading_about_comments(heading: str) -> None:
    head = "".join(f"<p>{p}</p>" for p in PARAGRAPHS)
    html = page_of(
        f"<article><h1>{TITLE}</h1>{head}<h3>{heading}</h3>{''.join(f'<p>{p} Again.</p>' for p in PARAGRAPHS)}</article>"
    )
    assert text_of(html)[-len(PARAGRAPHS) :] == [f"{p} Again." for p in PARAGRAPHS]


@pytest.mark.parametrize(
    "label",
    ["picBox full", "detail-img__description", "absatzbild__info", "aiArticleSummary", "singlepostmeta", "app-hint",
     "newsletter-widget__text__new-story-page", "identity-screen-form", "imagedescription", "rssSummary", "steady-box", "citate"],
)  # fmt: skip
def test_what_is_labelled_otherwise_goes_though_the_label_speaks_of_pages_as_well(label: str) -> None:
    said = "The piers of the bridge in November, when the water stood at its highest. Ask us for more."
    assert text_of(page_of(story(f'<div class="{label}"><p>{said}</p></div>'))) == PARAGRAPHS


@pytest.mark.parametrize("label", ["newsletter-post-content", "newsletter-story-body"])
def test_a_letter_to_subscribers_is_a_story_where_it_is_the_page(label: str) -> None:
    above = (
        "<div><p>The Post writes to its readers each Monday, and what it wrote stands here for all. Read on.</p></div>"
    )
    assert text_of(page_of(f'{above}<div class="{label}">{story()}</div>'))[-len(PARAGRAPHS) :] == PARAGRAPHS


@pytest.mark.parametrize(
    "caption",
    [
        "Figure 2: The piers in November",
        "Abbildung 4: Die Pfeiler im November.",
        "Abb.: Pfeiler",
        "Рис. 3: Опоры моста",
        "Crédits photos : Ivo Petz",
        "Bildnachweis: Sundvik Post",
        "The piers in November. (Photo: Ivo Petz)",
    ],
)
def test_numbered_captions_go_wherever_they_stand(caption: str) -> None:
    assert text_of(page_of(story(f"<p>{caption}</p>"))) == PARAGRAPHS
    assert (
        len(
            text_of(
                page_of(
                    story("<p>Figure skating comes back to Sundvik: the hall opens in March, the council said.</p>")
                )
            )
        )
        == len(PARAGRAPHS) + 1
    )


def test_a_short_paragraph_right_above_the_first_long_one_is_the_storys() -> None:
    body = "".join(f"<p>{p}</p>" for p in PARAGRAPHS)
    html = page_of(
        f"<div><h1>{TITLE}</h1><p>By Ivo Petz</p><p>12 May 2026</p><p>Dear readers of the Post!</p>{body}</div>"
    )
    assert text_of(html) == ["Dear readers of the Post!", *PARAGRAPHS]


def test_the_ingredients_of_a_recipe_are_its_story_wherever_they_stand() -> None:
    ingredients = ["65 g butter", "1 tin of mandarins, about 300 g", "2 eggs"]
    stated = json.dumps({"@type": "Recipe", "name": TITLE, "recipeIngredient": ingredients})
    rows = "".join(
        f"<tr><td>{amount}</td><td>{what}</td></tr>" for amount, _, what in (i.partition(" ") for i in ingredients)
    )
    steps = "".join(f"<p>{p}</p>" for p in PARAGRAPHS)
    body = f'<main><h1>{TITLE}</h1><table>{rows}</table><div class="steps">{steps}</div></main>'
    head = f'<script type="application/ld+json">{stated}</script>'
    assert text_of(page_of(body, head=head)) == [
        "65 | g butter",
        "1 | tin of mandarins, about 300 g",
        "2 | eggs",
        *PARAGRAPHS,
    ]
    assert text_of(page_of(body)) == PARAGRAPHS


def test_an_address_that_is_written_out_is_no_way_to_another_story() -> None:
    line = '<p><a href="mailto:bridge@post.example">bridge@post.example</a></p>'
    assert "bridge@post.example" in text_of(page_of(story(line)))


def test_a_story_that_stands_in_noscript_alone_is_found() -> None:
    paragraphs = "".join(f"<p>{p}</p>" for p in PARAGRAPHS * 2)
    html = page_of(
        f'<div class="post"><h1>{TITLE}</h1><script>draw("x")</script><noscript>{paragraphs}</noscript></div>'
    )
    assert text_of(html)[: len(PARAGRAPHS)] == PARAGRAPHS
    pixel = "<noscript><img src='/p.gif'><p>Please turn on JavaScript. This page needs it to work as you expect it.</p></noscript>"
    assert text_of(page_of(pixel, story())) == PARAGRAPHS


def test_share_bars_and_the_like_stay_out_where_the_story_is_looked_for_another_way() -> None:
    html = page_of(
        f'<div class="post"><p>{PARAGRAPHS[0]}</p><pre>Post 4711, Sundvik, the bridge and its five piers as they stood in May.\n'
        + "Pier two, washed out in November. " * 8
        + '</pre><div class="sharedaddy sd-sharing"><h3>Share this:</h3><p>Like this? Loading the buttons now.</p></div></div>'
    )
    assert "Share this" not in extract_article(html, url=URL).text


def test_a_german_quotation_ends_a_sentence() -> None:
    html = page_of(
        "<div><h1>Kurz</h1><p>„Ich weiß, ich bin müde und sollte das vielleicht nicht sagen…“</p></div>", lang="de"
    )
    assert text_of(html) == ["„Ich weiß, ich bin müde und sollte das vielleicht nicht sagen…“"]


def test_a_story_split_over_several_containers_is_whole() -> None:
    boxes = "".join(f'<div class="part"><p>{p}</p></div><div class="ad-slot"></div>' for p in PARAGRAPHS)
    assert text_of(page_of(f"<main><h1>{TITLE}</h1>{boxes}</main>")) == PARAGRAPHS


def test_a_second_article_appended_below_is_not_part_of_the_first() -> None:
    other = "".join(
        f"<p>Something quite different happened in Nordhaven, where the {n} ships of the fleet lay at anchor.</p>"
        for n in ("nine", "ten", "old", "new", "red")
    )
    html = page_of(f"<main>{story()}<article><h1>Fleet lies at anchor</h1>{other}</article></main>")
    assert text_of(html) == PARAGRAPHS


def test_paragraphs_separated_by_line_breaks() -> None:
    html = page_of(f"<div class='text'><h1>{TITLE}</h1>" + "<br><br>".join(PARAGRAPHS) + "</div>")
    assert text_of(html) == PARAGRAPHS


@pytest.mark.parametrize("heading", ["<h1>{}</h1>", "<p><b>{}</b></p>", "<div class='kicker'>{}</div>"])
def test_the_headline_is_not_repeated_in_the_text(heading: str) -> None:
    html = page_of("<article>" + heading.format(TITLE) + "".join(f"<p>{p}</p>" for p in PARAGRAPHS) + "</article>")
    article = extract_article(html, url=URL)
    assert article.title == TITLE
    assert article.text.split("\n") == PARAGRAPHS


def test_what_the_page_says_arrives_as_rows() -> None:
    head = """<link rel="canonical" href="/politics/2026/bridge-4711"><meta property="og:site_name" content="Sundvik Post">
      <script type="application/ld+json">{"@type": "NewsArticle", "headline": "Bridge stays closed until the end of the year",
      "author": [{"@type": "Person", "name": "Lena Ruud"}], "datePublished": "2026-01-12T17:30:00+01:00",
      "dateModified": "2026-01-12T18:00:00Z", "articleSection": "Politics", "isAccessibleForFree": false}</script>"""
    article = extract_article(page_of(head=head), url=URL, now=Timestamp(1_790_000_000))
    assert article.authors == ("Lena Ruud",)
    assert article.published_at == Timestamp.from_rfc3339("2026-01-12T16:30:00Z")
    assert article.updated_at == Timestamp.from_rfc3339("2026-01-12T18:00:00Z")
    assert article.canonical_url == "https://www.sundvik-post.example/politics/2026/bridge-4711"
    assert (article.site_name, article.section, article.is_paywalled) == ("Sundvik Post", "Politics", True)
    assert article.language == "en"


def test_a_publication_in_the_future_is_not_believed() -> None:
    head = '<meta property="article:published_time" content="2026-01-14T00:00:00Z">'
    at = Timestamp.from_rfc3339
    assert extract_article(page_of(head=head), url=URL, now=at("2026-01-13T06:00:00Z")).published_at == at(
        "2026-01-14T00:00:00Z"
    )
    assert extract_article(page_of(head=head), url=URL, now=at("2026-01-12T06:00:00Z")).published_at is None


# --- charsets ----------------------------------------------------------------------------------------------------

GERMAN = [
    "Die Brücke über den Sund bleibt bis zum Jahresende gesperrt, beschloss der Gemeinderat von Süderhövel am Montag.",
    "„Wir können keinen Schulbus darüber fahren lassen“, sagte die Bürgermeisterin Käthe Größling. Das sei zu gefährlich.",
    "Bis dahin fährt alle zwanzig Minuten eine Fähre zwischen dem alten Hafen und dem Markt, für Schüler kostenlos.",
]


@pytest.mark.parametrize(
    "charset, meta, header",
    [
        ("utf-8", None, None),
        ("utf-8", "iso-8859-1", None),  # declared wrongly: the bytes are valid UTF-8
        ("utf-8-sig", None, None),
        ("utf-16", None, None),
        ("cp1252", "iso-8859-1", None),
        ("cp1252", "windows-1252", None),
        ("cp1252", None, "text/html; charset=windows-1252"),
        ("cp1252", "utf-8", "text/html; charset=ISO-8859-1"),  # HTTP goes before the page
        ("cp1252", None, None),
        ("cp1252", "no-such-charset", None),
        ("mac_roman", "x-mac-roman", None),
    ],
)
def test_charsets(charset: str, meta: Optional[str], header: Optional[str]) -> None:
    head = f'<meta charset="{meta}">' if meta else ""
    html = f"<html><head>{head}<title>Brücke</title></head><body>{''.join(f'<p>{p}</p>' for p in GERMAN)}</body></html>"
    assert text_of(html.encode(charset), content_type=header) == GERMAN


def test_japanese_in_its_old_charsets() -> None:
    lines = [
        "小さな町の議会は月曜日、洪水で傷んだ橋を年末まで閉鎖すると決めた。",
        "町長は「安全が確かめられるまで通学バスを走らせることはできない」と述べた。",
    ] * 2
    body = "".join(f"<p>{line}{n}。</p>" for n, line in enumerate(lines))
    for charset, name in (("shift_jis", "Shift_JIS"), ("euc_jp", "EUC-JP"), ("iso2022_jp", "ISO-2022-JP")):
        html = f'<html><head><meta http-equiv="Content-Type" content="text/html; charset={name}"></head><body>{body}</body></html>'
        article = extract_article(html.encode(charset), url=URL)
        assert article.text.split("\n") == [f"{line}{n}。" for n, line in enumerate(lines)], name
        assert article.language == "ja"


def test_a_few_bad_bytes_do_not_spoil_a_page() -> None:
    html = page_of(story()).replace(b"washed out", b"washed \xff\xfe out").replace("“We".encode(), b"\x93We")
    got = text_of(html)
    assert got[0] == PARAGRAPHS[0]
    assert got[4] == PARAGRAPHS[4]
    assert "\ufffd" in got[2]


def test_control_characters_do_not_reach_the_text() -> None:
    html = page_of(story()).replace(b"Monday", b"Mon\x00\x08\x1bday")
    assert text_of(html) == PARAGRAPHS


@pytest.mark.parametrize(
    "written, read",
    [("open &#150; or shut", "open – or shut"), ("the mayor&#x92;s", "the mayor’s"), ("wait\u0085", "wait…"), ("&#1501;&#x96ab;", "\u05dd\u96ab"), ("a\x7fb&#129;c", "abc")],
)  # fmt: skip
def test_controls_of_old_pages_are_read_as_browsers_read_them(written: str, read: str) -> None:
    assert (
        text_of(page_of(story(f"<p>The bridge is {written}, they say.</p>")))[3] == f"The bridge is {read}, they say."
    )


@pytest.mark.parametrize("name", ["punycode", "idna", "undefined", "unicode_escape", "utf-7", "rot13", "hex"])
def test_names_that_no_page_is_written_in_are_not_read(name: str) -> None:
    header = f"text/html; charset={name}"
    html = page_of("".join(f"<p>{p}</p>" for p in GERMAN)).decode().encode("cp1252")
    assert text_of(html.replace(b"utf-8", b"cp1252"), content_type=header) == GERMAN


# --- refused -----------------------------------------------------------------------------------------------------

NAVIGATION = "<ul>" + "".join(f'<li><a href="/{n}">Section {n}</a></li>' for n in range(80)) + "</ul>"


@pytest.mark.parametrize(
    "html, reason",
    [
        (b"", "not_text"),
        (b"  \n ", "not_text"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj", "not_text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 20, "not_text"),
        (bytes(range(256)) * 40, "not_text"),
        (b"<html><body></body></html>", "no_article"),
        (b"<html></html>", "no_article"),
        (b"<", "no_article"),
        (b"<!-- only a comment -->", "no_article"),
        (b"<html><body>" + NAVIGATION.encode() + b"</body></html>", "no_article"),
        (b"<html><body><p>Page not found</p></body></html>", "no_article"),
        (b"<html><body><h1>403</h1></body></html>", "no_article"),
        (b'{"error": "no such page"}', "no_article"),
        (b"<html><body><p>The bridge stays closed, says council.</p></body></html>", "too_short"),
    ],
)
def test_pages_without_an_article_are_refused(html: bytes, reason: str) -> None:
    with pytest.raises(RejectedError) as refused:
        extract_article(html, url=URL)
    assert refused.value.reason == reason
    assert refused.value.url == URL or reason == "not_text"


def ld(*nodes: dict[str, Any]) -> str:
    return f'<script type="application/ld+json">{json.dumps(nodes)}</script>'


OWN = {"@type": "NewsArticle", "headline": TITLE, "mainEntityOfPage": URL}
RELATED = {"@type": "NewsArticle", "headline": "Ferry fares rise", "url": "https://www.sundvik-post.example/2", "isAccessibleForFree": False}  # fmt: skip
WALLS = {
    "false": ld({**OWN, "isAccessibleForFree": False}),
    "False as a word": ld({**OWN, "isAccessibleForFree": "False"}),
    "false by its address": ld({**OWN, "isAccessibleForFree": "https://schema.org/False"}),
    "a part by its selector": ld(
        {
            **OWN,
            "isAccessibleForFree": "False",
            "hasPart": {"@type": "WebPageElement", "isAccessibleForFree": "False", "cssSelector": ".wall"},
        }
    ),
    "said of the page": ld(OWN, {"@type": "WebPage", "isAccessibleForFree": False}),
    "in a graph": ld({"@graph": [{"@type": "WebSite"}, {**OWN, "isAccessibleForFree": False}]}),
    "locked": '<meta property="article:content_tier" content="locked">',
    "metered": '<meta property="article:content_tier" content="metered">',
}
NO_WALLS = {
    "nothing said": ld(OWN),
    "free, a related story is not": ld({**OWN, "isAccessibleForFree": True}, RELATED),
    "free, one before it is not": ld(RELATED, {**OWN, "isAccessibleForFree": "True"}),
    "one that it mentions is not": ld({**OWN, "mentions": [RELATED]}),
    "one in a list is not": ld({"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": RELATED}]}),
    "a free tier": '<meta property="article:content_tier" content="free">',
    "a word of the body": '<meta name="description" content="locked">',
}
TEASERS = {
    "a line": "<p>The bridge stays closed, says council.</p>",
    "a line amid a large menu": f"{NAVIGATION}<p>The bridge stays closed, says council.</p>{NAVIGATION}",
    "a line that breaks off amid a large menu": f"{NAVIGATION}<p>The bridge over the Sund will stay</p>{NAVIGATION}",
    "lines amid a large menu": f"{NAVIGATION}<p>No bus may cross.</p><p>A ferry runs.</p><p>Read on.</p>{NAVIGATION}",
    "a headline amid a large menu": f"{NAVIGATION}<h1>{TITLE}</h1>{NAVIGATION}",
    "a wall alone": f'<h1>{TITLE}</h1><div class="wall"><a href="/subscribe">Subscribe to read</a></div>',
    "nothing": "<div></div>",
}


@pytest.mark.parametrize("teaser", TEASERS)
@pytest.mark.parametrize("wall", WALLS)
def test_a_teaser_in_front_of_a_wall_is_told_from_a_page_without_a_story(wall: str, teaser: str) -> None:
    with pytest.raises(RejectedError) as refused:
        extract_article(page_of(TEASERS[teaser], head=WALLS[wall]), url=URL)
    assert refused.value.reason == "paywalled"


@pytest.mark.parametrize("teaser", TEASERS)
@pytest.mark.parametrize("said", NO_WALLS)
def test_no_wall_is_seen_where_the_page_does_not_say_it_of_its_own_story(said: str, teaser: str) -> None:
    with pytest.raises(RejectedError) as refused:
        extract_article(page_of(TEASERS[teaser], head=NO_WALLS[said]), url=URL)
    assert refused.value.reason in ("no_article", "too_short")
    article = extract_article(page_of(story(), head=NO_WALLS[said]), url=URL)
    assert (article.text.split("\n"), article.is_paywalled) == (PARAGRAPHS, False)


@pytest.mark.parametrize("wall", WALLS)
def test_a_story_that_is_shown_is_kept_and_marked_whatever_its_page_says_of_a_wall(wall: str) -> None:
    article = extract_article(page_of(story(), head=WALLS[wall]), url=URL)
    assert (article.text.split("\n"), article.is_paywalled) == (PARAGRAPHS, True)


def test_what_is_no_text_is_not_behind_a_wall() -> None:
    rubbish = f"<p>{'�. ' * 100}The bridge over the Sund will stay closed until the end of the year.</p>"
    with pytest.raises(RejectedError) as refused:
        extract_article(page_of(rubbish, head=WALLS["locked"]), url=URL)
    assert refused.value.reason == "not_text"


def test_the_articles_own_text_in_its_metadata_is_the_fallback() -> None:
    body = "\\n".join(p.replace('"', "'") for p in PARAGRAPHS)
    head = f'<script type="application/ld+json">{{"@type": "NewsArticle", "headline": "{TITLE}", "articleBody": "{body}"}}</script>'
    assert text_of(page_of("<div id='app'></div>", head=head)) == PARAGRAPHS


# --- hostile -----------------------------------------------------------------------------------------------------

HOSTILE = {
    "100,000 nested divs": b"<html><body>" + b"<div>" * 100_000 + story().encode(),
    "100,000 nested fonts around each word": b"<html><body>" + b"".join(b"<font>word. " for _ in range(100_000)),
    "20 MB of script": page_of(story("<script>" + "var x = 'a < b'; " * 1_200_000 + "</script>")),
    "a script that never ends": page_of(story() + "<script>" + "x" * 1_000_000),
    "an attribute of 5 MB": page_of(f'<p title="{"a" * 5_000_000}">short</p>' + story()),
    "an attribute that never ends": page_of(story() + '<p title="' + "a" * 1_000_000),
    "no body": f"<title>x</title>{story()}".encode(),
    "no html at all": "".join(f"<p>{p}</p>" for p in PARAGRAPHS).encode(),
    "frames": b"<html><frameset><frame src='/a'></frameset><noframes>none</noframes></html>",
    "100,000 list items": page_of(story("<ul>" + "<li>item</li>" * 100_000 + "</ul>")),
    "a million entities": page_of(story("<p>" + "&amp;&#x41;&bogus;" * 300_000 + "</p>")),
    "a million angle brackets": page_of(story() + "<" * 1_000_000),
    "200,000 links in one paragraph": page_of(story("<p>" + "<a href='/a'>a</a>" * 200_000 + "</p>")),
    "metadata nested deeply": page_of(head='<script type="application/ld+json">' + "[" * 100_000 + "</script>"),
    "metadata that repeats": page_of(head='<script type="application/ld+json">[' + ",".join(['{"@type":"NewsArticle"}'] * 50_000) + "]</script>"),
    "200,000 meta elements": page_of(head='<meta property="article:tag" content="x, y">' * 200_000),
    "a title of 1 MB": page_of(head=f'<meta property="og:title" content="{"a - " * 250_000}">'),
    "one line of 3 MB": page_of(f"<article><p>{'The bridge stays closed. ' * 120_000}</p></article>"),
    "half a character at the end": story().encode() + b"\xe2\x80",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pages_end_in_a_text_or_a_clear_refusal(name: str) -> None:
    began = time.process_time()
    try:
        assert extract_article(HOSTILE[name], url=URL).text
    except RejectedError as refused:
        assert refused.reason in {"no_article", "too_short", "not_text", "too_large"}
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "name", ["20 MB of script", "a script that never ends", "an attribute of 5 MB", "no body", "no html at all"]
)
def test_the_story_survives_what_stands_beside_it(name: str) -> None:
    assert text_of(HOSTILE[name]) == PARAGRAPHS


@pytest.mark.parametrize(
    "markup",
    ["<div>", "<p>The bridge stays closed. ", "<li>a <a href='/b'>b</a>", "<", "&amp;", '<a title="', "<!--", "<b><i>"],
)
def test_time_grows_no_faster_than_the_page(markup: str) -> None:
    def seconds(times: int) -> float:
        html = page_of(story() + markup * times)
        best = 1e9
        for _ in range(3):
            began = time.process_time()
            with contextlib.suppress(RejectedError):
                extract_article(html, url=URL)
            best = min(best, time.process_time() - began)
        return best

    # Four times the page, at most nine times the time: quadratic work would take sixteen times as long.
    assert seconds(40_000) < 9 * seconds(10_000) + 0.05


# --- drafts ------------------------------------------------------------------------------------------------------


def given(**fields: Any) -> Page:
    values: dict[str, Any] = {
        "entry_id": "e1",
        "entry_hash": "h1",
        "feed_id": "f1",
        "url": URL + "?utm_source=rss",
        "origin": "page",
        "first_seen_at": Timestamp(1_780_000_000),
        "title": "Feed: bridge closed",
        "authors": ["Feed Author"],
        "published_at": Timestamp(1_779_000_000),
        "language": "sv",
        "summary": "In short.",
        "feed_tags": ["local"],
        "attempt": 2,
    }
    return Page(**{**values, **fields})


def test_a_draft_takes_the_pages_word_before_the_feeds() -> None:
    head = '<meta name="author" content="Lena Ruud"><meta property="article:published_time" content="2026-05-20T10:00:00Z">'
    draft = draft_of(given(html=page_of(head=head)))
    assert draft.text.split("\n") == PARAGRAPHS
    assert (draft.title, draft.authors, draft.language) == (TITLE, ("Lena Ruud",), "en")
    assert draft.published_at == Timestamp.from_rfc3339("2026-05-20T10:00:00Z")
    assert (draft.url, draft.article_id, draft.site) == (URL, article_id_of(URL), "sundvik-post.example")
    assert (draft.entry_id, draft.entry_hash, draft.feed_id, draft.origin, draft.attempt) == (
        "e1",
        "h1",
        "f1",
        "page",
        2,
    )
    assert (draft.summary, draft.feed_tags, draft.first_seen_at) == ("In short.", ("local",), Timestamp(1_780_000_000))


def test_what_the_page_does_not_say_comes_from_the_feed() -> None:
    html = ("<html><body>" + "".join(f"<p>{p}</p>" for p in PARAGRAPHS) + "</body></html>").encode()
    draft = draft_of(given(html=html, language="en"))
    assert (draft.title, draft.authors, draft.language) == ("Feed: bridge closed", ("Feed Author",), "en")
    assert draft.published_at == Timestamp(1_779_000_000)


def test_a_canonical_address_within_the_site_is_the_articles() -> None:
    canonical = "https://www.sundvik-post.example/p/bridge-4711"
    draft = draft_of(given(html=page_of(head=f'<link rel="canonical" href="{canonical}">')))
    assert (draft.url, draft.article_id) == (canonical, article_id_of(canonical))
    foreign = "https://www.wire.example/stories/bridge-4711"
    draft = draft_of(given(html=page_of(head=f'<link rel="canonical" href="{foreign}">')))
    assert (draft.url, draft.canonical_url) == (URL, foreign)


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(PARAGRAPHS),
        "\n\n".join(f"  {p} " for p in PARAGRAPHS),
        "".join(f"<p>{p}</p>" for p in PARAGRAPHS),
        "<br/><br/>".join(PARAGRAPHS),
        "<div class='related'>" + "".join(f"<p class='newsletter'>{p}</p>" for p in PARAGRAPHS) + "</div>",
        f"<h1>{TITLE}</h1><figure><img src='x.jpg'><figcaption>The bridge.</figcaption></figure>"
        + "".join(f"<p>{p}</p>" for p in PARAGRAPHS),
    ],
)
def test_a_feeds_own_text_keeps_every_paragraph(text: str) -> None:
    draft = draft_of(given(text=text, origin="feed", title=TITLE))
    assert draft.text.split("\n") == PARAGRAPHS
    assert (draft.origin, draft.title, draft.language) == ("feed", TITLE, "en")


@pytest.mark.parametrize("text", ["a < b and 5 > 3, " + PARAGRAPHS[0], PARAGRAPHS[0] + " Q&A follows; R&D; <3"])
def test_plain_text_with_odd_signs_is_not_read_as_markup(text: str) -> None:
    assert draft_of(given(text=text, origin="archive")).text == text


def test_a_page_that_is_no_article_falls_back_to_the_feeds_text() -> None:
    draft = draft_of(given(html=b"<html><body>" + NAVIGATION.encode(), text="\n".join(PARAGRAPHS)))
    assert draft.text.split("\n") == PARAGRAPHS
    assert draft.origin == "feed"
    assert draft.title == "Feed: bridge closed"


def test_nothing_to_fall_back_on_is_refused() -> None:
    for page in (
        given(html=b"<html></html>"),
        given(html=b"<html></html>", text=" "),
        given(text="<p>Short.</p>", origin="feed"),
        given(origin="feed"),
    ):
        with pytest.raises(RejectedError):
            draft_of(page)


def test_an_entry_without_an_address_has_an_identity_of_its_own() -> None:
    one = draft_of(given(url="", text="\n".join(PARAGRAPHS), origin="feed"))
    other = draft_of(given(url="", entry_id="e2", text="\n".join(PARAGRAPHS), origin="feed"))
    assert one.article_id != other.article_id
    assert (one.url, one.site) == ("", None)


# --- the transform -----------------------------------------------------------------------------------------------


def test_extract_text_maps_pages_to_drafts_and_failures() -> None:
    pages = [given(entry_id=f"e{n}", html=page_of()) for n in range(20)]
    pages += [
        given(entry_id="nav", html=b"<html><body>" + NAVIGATION.encode()),
        given(entry_id="pdf", html=b"%PDF-1.7"),
    ]
    with _TestPipeline(runner="FnApiRunner") as pipeline:
        mapped = pipeline | beam.Create(pages) | ExtractText(workers=2, strict=True)
        drafts = mapped.rows | "drafts" >> beam.Map(lambda d: (d.entry_id, d.text))
        failures = mapped.failures | "failures" >> beam.Map(lambda f: (f.entry_id, f.stage, f.reason, f.permanent))
        assert_that(drafts, equal_to([(f"e{n}", "\n".join(PARAGRAPHS)) for n in range(20)]), "drafts are right")
        assert_that(
            failures,
            equal_to([("nav", "extract", "no_article", True), ("pdf", "extract", "not_text", True)]),
            "failures are right",
        )


@pytest.mark.parametrize(
    "bad, deadline_seconds",
    [
        ({"spin": "extraction_timeout"}, 1.0),
        ({"allocate": "extraction_memory", "exit": "extraction_crash", "defect": "bug"}, 60.0),
    ],
)
def test_pages_that_cost_too_much_are_dead_letters_and_the_rest_goes_on(
    bad: dict[str, str], deadline_seconds: float
) -> None:
    pages = [given(entry_id=f"e{n}", html=page_of()) for n in range(6)]
    pages[2:2] = [given(entry_id=what, html=f"!{what} 3".encode()) for what in bad]
    with _TestPipeline(runner="FnApiRunner") as pipeline:
        mapped = (
            pipeline
            | beam.Create(pages)
            | ExtractText(
                workers=2,
                deadline_seconds=deadline_seconds,
                memory_bytes=600_000_000,
                work="tests.worker_tasks:extract",
            )
        )
        assert_that(mapped.rows | beam.Map(lambda d: d.entry_id), equal_to([f"e{n}" for n in range(6)]), "the rest")
        dead = mapped.failures | "dead" >> beam.Map(lambda f: (f.entry_id, f.reason, f.permanent, f.attempt))
        assert_that(dead, equal_to([(what, reason, True, 2) for what, reason in bad.items()]), "the dead")


def test_a_page_that_hangs_holds_no_bundle_of_a_stream_and_comes_with_a_later_one() -> None:
    deadline = 4 * CARRY_SECONDS
    first, second = (
        ExtractText(workers=2, deadline_seconds=deadline, work="tests.worker_tasks:extract", carry_over=True)._fn
        for _ in range(2)  # an engine may take another instance for the next bundle
    )
    pages = [given(entry_id="hangs", html=b"!spin 3"), given(entry_id="quick", html=page_of())]
    started = time.monotonic()
    out = bundle_of(first, pages)
    assert time.monotonic() - started < deadline
    while len(out) < 2:
        assert time.monotonic() < started + 60.0
        out += bundle_of(second, [])
    (late,) = [value for value in out if isinstance(value, beam.pvalue.TaggedOutput)]
    assert (late.tag, late.value.value.entry_id, late.value.value.reason) == ("failures", "hangs", "extraction_timeout")
    assert [value.value.entry_id for value in out if value is not late] == ["quick"]
    assert bundle_of(first, []) == bundle_of(second, []) == []


def bundle_of(fn: Any, pages: Sequence[Page]) -> list[Any]:
    """Give one bundle of pages to a DoFn and return what it puts out."""
    fn.setup()
    fn.start_bundle()
    out = [value for page in pages for value in fn.process(page, Timestamp(0), GlobalWindow())]
    return [*out, *fn.finish_bundle()]


def test_strict_raises_a_defect() -> None:
    with pytest.raises(Exception, match="KeyError: 3"), _TestPipeline(runner="FnApiRunner") as pipeline:
        pages = pipeline | beam.Create([given(html=b"!defect 3")])
        pages | ExtractText(workers=1, strict=True, work="tests.worker_tasks:extract")


def test_drafts_keep_the_timestamps_of_their_pages() -> None:
    pages = [TimestampedValue(given(entry_id=f"e{n}", html=page_of()), n) for n in range(8)]
    with _TestPipeline(runner="FnApiRunner") as pipeline:
        mapped = pipeline | beam.Create(pages) | beam.Map(lambda v: v).with_output_types(Page) | ExtractText(workers=1)
        stamped = mapped.rows | "stamp" >> beam.Map(_stamp)
        assert_that(stamped, equal_to([(f"e{n}", float(n)) for n in range(8)]))


def _stamp(draft: Any, at: Any = beam.DoFn.TimestampParam) -> tuple[str, float]:
    return draft.entry_id, float(at)


@pytest.mark.parametrize("settings", [{"workers": 0}, {"deadline_seconds": 0}, {"memory_bytes": 1}])
def test_limits_out_of_range_are_told(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        ExtractText(**settings)


@pytest.mark.parametrize(
    ("quota", "share"), [("50000 100000", 1), ("150000 100000", 2), ("max 100000", 64), ("0 0", 64), ("odd", 64)]
)
def test_a_containers_share_of_the_processors_counts(
    quota: str, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    told = tmp_path / "cpu.max"
    told.write_text(quota + "\n")
    assert processors(told) == share
    assert processors(tmp_path / "none") == 64
