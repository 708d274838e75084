"""What an answer is: cases in golden/answers, written before the code, and what must hold for any bytes."""

import argparse
import time
import tomllib
from pathlib import Path
from typing import Any, Optional

import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pipelines.options import read_config
from transforms.dead_letters import MOST_ATTEMPTS, failure_of
from transforms.errors import IngestError, RejectedError, TransientError, UsageError
from transforms.extract_text import extract_article
from transforms.http import Response
from transforms.look_at_page import MOST_CHARS, look_at
from transforms.pace_hosts import Robots
from transforms.page_reservations import (
    DEFAULT_SIGNALS,
    SIGNALS,
    known_signals,
    read_tdm_file,
    reservations,
    reserved_by_file,
)
from transforms.poll_feeds import error_of_status
from transforms.read_page import CHALLENGE_SECONDS, PageAnswer, address_to_follow, read_page
from transforms.records import Page

NOON = Timestamp(1_770_000_000)
URL = "https://paper.example/politics/night-ferry-kept-for-winter-123"
GOLDEN = Path(__file__).parent / "golden" / "answers"
DECLARED = '<meta property="og:type" content="article"><meta property="article:published_time" content="2026-11-12">'
# What pages of large sites carry around whatever they show: menus, a sign-in form, a consent layer, bot sensors.
CHROME = """
<script src="/cdn-cgi/challenge-platform/scripts/jsd/main.js"></script><script src="https://js.datadome.co/tags.js"></script>
<script src="/_Incapsula_Resource?SWJIYLWA=719d34d31c8e3a6e6fffd425f7e032f3"></script><script>window._pxAppId='PX1'</script>
<nav><a href="/">Home</a><a href="/politics">Politics</a><a href="/login">Sign in</a><a href="/404">?</a></nav>
<form action="/login"><input type="email"><input type="password"><button>Log in</button></form>
<div id="cmp"><button>Accept all</button><button>Settings</button></div>
<footer><a href="/privacy">Privacy settings</a><a href="/cookies">Cookies</a></footer>"""


def load(name: str) -> list[dict[str, Any]]:
    cases = tomllib.loads((GOLDEN / f"{name}.toml").read_text("utf-8"))["case"]
    assert len({case["name"] for case in cases}) == len(cases)
    return cases


STORIES = tomllib.loads((GOLDEN / "walls.toml").read_text("utf-8"))["stories"]
WALLS, ARTICLES, FOLLOW, RESERVATIONS = map(load, ("walls", "articles", "follow", "reservations"))


def html_of(case: dict[str, Any]) -> str:
    html = case["html"].replace("@CHROME@", CHROME).replace("@DECLARED@", DECLARED)
    for language, story in STORIES.items():
        html = html.replace(f"@STORY:{language}@", story)
    assert "@" not in html or "@STORY" not in html
    return html


def answer_of(case: dict[str, Any]) -> Response:
    headers = CIMultiDict(case.get("headers", {"Content-Type": "text/html; charset=utf-8"}))
    declared = headers.get("Content-Type", "").partition("charset=")[2]
    hops = case.get("redirects", [case["url"]] if "asked" in case else [])
    return Response(
        url=case["url"],
        status=case.get("status", 200),
        headers=headers,
        body=html_of(case).encode(case.get("charset") or declared or "utf-8"),
        redirects=tuple((302, hop) for hop in hops),
    )


def reason_of(case: dict[str, Any], **how: Any) -> str:
    try:
        read_page(answer_of(case), NOON, asked=case.get("asked"), **how)
    except IngestError as error:
        return error.reason
    return ""


@pytest.mark.parametrize("case", WALLS, ids=lambda case: case["name"])
def test_what_is_no_article_ends_with_its_slug(case: dict[str, Any]) -> None:
    assert reason_of(case) == case["reason"]


@pytest.mark.parametrize("case", ARTICLES, ids=lambda case: case["name"])
def test_an_article_is_kept_whatever_it_is_about(case: dict[str, Any]) -> None:
    assert reason_of(case) == ""


def test_there_are_more_pages_to_keep_than_to_refuse() -> None:
    assert len(ARTICLES) >= len(WALLS)


@pytest.mark.parametrize("case", [c for c in WALLS if c["reason"] in ("consent_wall", "login_required", "soft_404")])
def test_a_wall_that_declares_an_article_is_left_to_extraction_unless_redirects_tell(case: dict[str, Any]) -> None:
    if "asked" not in case:
        assert reason_of({**case, "html": DECLARED + case["html"], "headers": {}}) == ""


@pytest.mark.parametrize("case", FOLLOW, ids=lambda case: case["name"])
def test_a_stub_is_followed_and_a_page_is_not(case: dict[str, Any]) -> None:
    page = PageAnswer(case["url"], html_of(case).encode(), "text/html; charset=utf-8")
    assert address_to_follow(page) == (case["to"] or None)


@pytest.mark.parametrize("case", FOLLOW, ids=lambda case: case["name"])
def test_a_stub_is_no_wall(case: dict[str, Any]) -> None:
    assert reason_of(case) == ""


@pytest.mark.parametrize("case", RESERVATIONS, ids=lambda case: case["name"])
def test_what_a_page_reserves(case: dict[str, Any]) -> None:
    headers, body = CIMultiDict(case.get("headers", [])), case["html"].encode()
    metas = look_at(body, None).metas
    assert sorted(reservations(headers, metas, product="newsbeam")) == case["signals"]
    answer = Response("https://news.example/a", 200, headers, body + b"<p>x")
    for signal in SIGNALS:
        held = signal in case["signals"]
        try:
            read_page(answer, NOON, honour=(signal,), product="newsbeam")
        except RejectedError as error:
            assert (error.reason, held) == ("reserved", True)
            assert signal in error.message
        else:
            assert not held
    read_page(answer, NOON, product="newsbeam")


def test_a_long_page_can_reserve_too() -> None:
    story = b"<p>" + b"The ferry stayed in harbour. " * 400 + b"</p>"
    assert look_at(story, None).story > 10_000
    for head in (
        b'<head><meta name="tdm-reservation" content="1"></head><body>',
        b'<meta name="tdm-reservation" content=1>',
    ):
        with pytest.raises(RejectedError) as caught:
            read_page(Response("https://n.example/a", 200, {}, head + story), NOON, honour=DEFAULT_SIGNALS)
        assert caught.value.reason == "reserved"


@pytest.mark.parametrize(
    ("status", "body", "path", "allowed"),
    [
        (200, '[{"location": "/", "tdm-reservation": 1}]', "/a", False),
        (200, '[{"location": "/news/", "tdm-reservation": 1}]', "/a", True),
        (200, '[{"location": "/news/*.html", "tdm-reservation": 1}]', "/news/a.html", False),
        (
            200,
            '[{"location": "/", "tdm-reservation": 1}, {"location": "/free/", "tdm-reservation": 0}]',
            "/free/a",
            True,
        ),
        (200, '[{"location": "/", "tdm-reservation": 0}]', "/a", True),
        (200, '[{"location": "/", "tdm-reservation": "1"}]', "/a", False),
        (200, '[{"location": "/x\\nDisallow: /", "tdm-reservation": 1}]', "/a", True),
        (200, '{"location": "/", "tdm-reservation": 1}', "/a", True),
        (200, "[" * 100_000, "/a", True),
        (200, '[1, null, {}, {"location": 5, "tdm-reservation": 1}]', "/a", True),
        (200, "<html>", "/a", True),
        (404, '[{"location": "/", "tdm-reservation": 1}]', "/a", True),
        (500, "", "/a", True),
    ],
)
def test_a_sites_tdm_file(status: int, body: str, path: str, allowed: bool) -> None:
    error = reserved_by_file("https://news.example" + path, read_tdm_file(status, body.encode()))
    assert (error is None) == allowed
    assert error is None or error.reason == "reserved"


def test_without_a_file_nothing_is_reserved() -> None:
    assert reserved_by_file("https://news.example/a", Robots(None, "")) is None


def test_an_unknown_signal_is_named() -> None:
    assert known_signals(["noai", "noindex"]) == ("noai", "noindex")
    with pytest.raises(UsageError, match=r"'noai,noindex'.*tdm-reservation"):
        known_signals(["noai,noindex"])


# ---- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "reason"),
    [
        ("Sorry, this page isn’t here: 404", ""),
        ("The page you are looking for could not be found.", "soft_404"),
        ("Oops! We can't find the page you're looking for", "soft_404"),
        ("HTTP 404", "soft_404"),
        ("404 Not Found", "soft_404"),
        ("This article has been removed", "soft_404"),
        ("Dieser Artikel ist leider nicht mehr verfügbar", "soft_404"),
        ("Die angeforderte Seite konnte nicht gefunden werden!", "soft_404"),
        ("Cet article n’est plus disponible", "soft_404"),
        ("La noticia que busca ya no existe", "soft_404"),
        ("O conteúdo não está disponível", "soft_404"),
        ("Artikkelia ei löytynyt", "soft_404"),
        ("Fant ikke siden", "soft_404"),
        ("Siden finnes ikke lenger", "soft_404"),
        ("Stránka nebyla nalezena", "soft_404"),
        ("Сторінку не знайдено", "soft_404"),
        ("Η σελίδα δεν βρέθηκε", "soft_404"),
        ("Az oldal nem található", "soft_404"),
        ("Pagina nu a fost găsită", "soft_404"),
        ("הדף לא נמצא", "soft_404"),
        ("존재하지 않는 페이지입니다", "soft_404"),
        ("Document found", ""),
        ("Page found after 600 years", ""),
        ("Missing page found", ""),
        ("Lost file deleted by mistake, court told", ""),
        ("Story of a lighthouse no longer lit", ""),
        ("Der Artikel 5 ist nicht mehr zeitgemäß", ""),
        ("La page est tournée", ""),
        ("404", "soft_404"),
        ("Area code 404", ""),
    ],
)
def test_headings_of_missing_pages(heading: str, reason: str) -> None:
    html = f"<html><head><title>The News</title></head><body><h1>{heading}</h1><p>Short.</p></body></html>"
    assert reason_of({"url": URL, "html": html}) == reason


@pytest.mark.parametrize(
    "words",
    [
        "the page you are looking for ", "die seite ", "page ", "n't ", "not ", "la página que buscas ", "404 ", "ページ",
        "we value your privacy ", "error ", "cookie settings ", "sign in to ", " - ", "oops ", "? ", "|",
    ],
)  # fmt: skip
def test_no_heading_takes_long_to_match(words: str) -> None:
    heading = (words * 500)[:5_000]
    html = f"<title>{heading}</title>" + f"<h1>{heading}</h1>" * 40
    began = time.process_time()
    reason_of({"url": URL, "html": html, "headers": {}})
    assert time.process_time() - began < 1.0


# ---- what may pass, and what a dead letter says ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "may_pass"),
    [(408, True), (425, True), (429, True), (500, True), (502, True), (503, True), (504, True), (520, True)]
    + [(status, False) for status in (204, 206, 300, 304, 400, 401, 402, 403, 404, 406, 409, 410, 418, 423, 451, 499)],
)
def test_only_what_may_pass_is_tried_again(status: int, may_pass: bool) -> None:
    answer = Response("https://news.example/a", status, CIMultiDict(), b"x")
    error = error_of_status(answer, NOON)
    assert isinstance(error, TransientError if may_pass else RejectedError)
    with pytest.raises(IngestError) as caught:
        read_page(answer, NOON)
    assert (type(caught.value), caught.value.reason) == (type(error), f"http_{status}")
    failure = failure_of(page_row(1), caught.value, stage="fetch", now=NOON)
    assert failure.permanent is not may_pass
    assert (failure.retry_at is None) is not may_pass


def test_a_challenge_is_tried_again_after_hours_and_not_for_ever() -> None:
    case = next(case for case in WALLS if case["reason"] == "challenge")
    with pytest.raises(TransientError) as caught:
        read_page(answer_of(case), NOON)
    first, last = (failure_of(page_row(n), caught.value, stage="fetch", now=NOON) for n in (1, MOST_ATTEMPTS))
    assert not first.permanent
    assert first.retry_at is not None
    assert first.retry_at - NOON >= CHALLENGE_SECONDS
    assert last.permanent


def test_a_wall_is_permanent_and_its_message_hides_tokens() -> None:
    for case in WALLS:
        url = case["url"] + ("&" if "?" in case["url"] else "?") + "token=s3cret"
        try:
            read_page(answer_of({**case, "url": url}), NOON, asked=case.get("asked"))
        except IngestError as error:
            assert "s3cret" not in f"{error} {error.url}"
            failure = failure_of(page_row(1), error, stage="fetch", now=NOON)
            assert failure.permanent is (case["reason"] not in ("challenge", "http_503"))


def page_row(attempt: int) -> Page:
    return Page(
        entry_id="e",
        entry_hash="h",
        feed_id="f",
        url="https://news.example/a",
        origin="page",
        first_seen_at=NOON,
        attempt=attempt,
    )


def test_a_paywall_and_a_sign_in_page_are_told_apart() -> None:
    """A teaser with a form is a page: extraction says paywalled, or marks the story; a form alone wants a sign-in."""
    head = f'<title>Night ferry kept</title>{DECLARED}<script type="application/ld+json">{{"@type":"NewsArticle","isAccessibleForFree":false}}</script>'
    form = '<div class="paywall"><h2>Sign in</h2><form><input type="password"></form></div>'
    teaser = "<p>The harbour council voted on Tuesday to keep the ferry.</p>"
    for text in (teaser, STORIES["en"]):
        page = read_page(answer_of({"url": URL, "html": f"<html><head>{head}</head><body>{text}{form}</body>"}), NOON)
        if text != teaser:
            assert extract_article(page.body, url=page.url).is_paywalled
        else:
            with pytest.raises(RejectedError) as caught:
                extract_article(page.body, url=page.url)
            assert caught.value.reason == "paywalled"
    assert (
        reason_of({"url": URL, "html": f"<html><head><title>Sign in</title></head><body>{form}</body>"})
        == "login_required"
    )


# ---- any bytes -------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.sampled_from(
            [b"<", b">", b'"', b"'", b"<meta ", b"<title>", b"</title>", b"<script>", b"</script", b"<!--", b"-->", b"<a ",
             b"name=", b"content=", b"http-equiv=refresh ", b"0;url=", b"//[", b"\xff", b"\0", b"&#0;", b"&#x110000;", b"<h1>",
             b"http://[::1", b" ", b"404", b"charset=utf-7", b"charset=hex", b"<noscript>", b"<link rel=canonical href="]
        )
    ).map(b"".join),
    st.sampled_from([None, "text/html", "text/html; charset=utf-16", "text/html; charset=zlib", "\udcff"]),
)  # fmt: skip
def test_any_bytes_are_read(body: bytes, content_type: Optional[str]) -> None:
    headers = CIMultiDict({"Content-Type": content_type} if content_type else {})
    try:
        page = read_page(Response("https://n.example/a", 200, headers, body), NOON, asked="https://n.example/b-c-d-e")
    except IngestError as error:
        assert error.reason in ("empty_page", "not_text", "soft_404", "challenge", "consent_wall", "login_required")
    else:
        to = address_to_follow(page)
        assert to is None or to.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    "piece",
    [
        "<", "<a ", '<a "', "<a '", "<a b=", "<meta name=", "<!--", "<script", "<script>", "</script", "<p>x", "<h1>x",
        "<title>", "<div>", "&#", "&amp", "a", " ", "<a b='", '<meta content="x', "<style>", "<svg><title>", "<html ",
        "=", '"="', "<meta a=a",
    ],
)  # fmt: skip
def test_a_hostile_page_costs_no_more_than_its_length(piece: str) -> None:
    """Doubling the page must not quadruple the time; what is asserted is far below what a quadratic pass would take."""
    body = (piece * (MOST_CHARS // len(piece))).encode()
    began = time.process_time()
    page = PageAnswer("https://news.example/a", body, None)
    look_at(body, None)
    address_to_follow(PageAnswer(page.url, body[:60_000], None))
    assert time.process_time() - began < 3.0


@given(st.text(), st.text(alphabet="/?&=#@:[].%0aA-é", max_size=60), st.text(alphabet="/?&=#@:[].%0aA-é", max_size=60))
def test_any_address_is_read(title: str, asked: str, url: str) -> None:
    body = f"<title>{title}</title><a href='{url}'>redirect</a><link rel=canonical href='{asked}'>".encode(
        "utf-8", "replace"
    )
    response = Response(
        "https://" + url, 200, CIMultiDict(), body, ((302, "https://" + asked), (302, "https://" + url))
    )
    try:
        address_to_follow(read_page(response, NOON, asked="https://" + asked))
    except IngestError as error:
        assert error.reason in ("not_text", "soft_404", "challenge", "consent_wall", "login_required")


# ---- the setting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ['["nosuch"]', '"noai"', "[1]"])
def test_a_setting_that_is_no_list_of_signals_is_refused_by_name(tmp_path: Path, value: str) -> None:
    config = tmp_path / "newsbeam.toml"
    config.write_text(f"[http]\nhonour_reservations = {value}\n", "utf-8")
    with pytest.raises(UsageError, match="honour_reservations"):
        read_config(argparse.Namespace(config=str(config)), version="1")


@pytest.mark.parametrize(("line", "taken"), [("", False), ("feed_text_for_reserved = true", True)])
def test_what_a_feed_has_of_a_reserved_page_is_taken_by_setting(tmp_path: Path, line: str, taken: bool) -> None:
    config = tmp_path / "newsbeam.toml"
    config.write_text(f"[http]\n{line}\n", "utf-8")
    settings = read_config(argparse.Namespace(config=str(config)), version="1")
    assert settings.acquire.feed_text_for_reserved is taken


def test_a_setting_of_yes_or_no_is_nothing_else(tmp_path: Path) -> None:
    config = tmp_path / "newsbeam.toml"
    config.write_text('[http]\nfeed_text_for_reserved = "no"\n', "utf-8")
    with pytest.raises(UsageError, match="feed_text_for_reserved"):
        read_config(argparse.Namespace(config=str(config)), version="1")
