"""`newsbeam feeds discover` against a server on loopback: what it asks, what it prints, how it ends."""

import argparse
import contextlib
import json
import socket
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pipelines import options
from pipelines.discover_command import add_flags, run
from pipelines.feed_list import feeds_from_plain
from tests.servers import Reply, Route, ScriptedServer
from transforms.errors import RejectedError, TransientError, UsageError

ITEM = "<item><title>The ferry stayed in harbour</title><link>/a{}</link><pubDate>Mon, 02 Mar 2026 08:00:00 GMT</pubDate></item>"
FEED = (
    '<rss version="2.0"><channel><title>The "Paper" &amp; more</title><language>en</language>'
    + ITEM.format(1) + ITEM.format(2) + "</channel></rss>"
)  # fmt: skip
COMMENTS = f'<rss version="2.0"><channel><title>Comments</title>{ITEM.format(3)}</channel></rss>'
HOME = (
    '<!doctype html><html><head><link rel="alternate" type="application/rss+xml" href="/c.xml" title="Comments">'
    '<link rel="alternate" type="application/rss+xml" href="/feed.xml?token=s3cret1"></head><body>News</body></html>'
)
SITE: dict[str, Route] = {
    "/": Reply(body=HOME),
    "/feed.xml": Reply(body=FEED, content_type="application/rss+xml"),
    "/c.xml": Reply(body=COMMENTS, content_type="application/xml"),
}
Discover = Callable[..., tuple[int, str, str, ScriptedServer]]


@pytest.fixture
def discover(capsys: pytest.CaptureFixture[str]) -> Discover:
    """A function that runs the command on a site and returns its status, stdout, stderr and the server."""

    def do(routes: Mapping[str, Route], *flags: str, path: str = "/") -> tuple[int, str, str, ScriptedServer]:
        with ScriptedServer(routes) as server:
            parser = argparse.ArgumentParser()
            add_flags(parser, options)
            fixed = [
                "--allow-host",
                "127.0.0.1",
                "--contact",
                "mailto:desk@paper.example",
                "--spacing-seconds",
                "0.001",
            ]
            status = run(parser.parse_args([server.url(path), *fixed, *flags]))
        out, err = capsys.readouterr()
        return status, out, err, server

    return do


def test_a_table_and_a_line_for_the_feed_list(discover: Discover):
    status, out, err, server = discover(SITE)
    lines = out.splitlines()
    feed = server.url("/feed.xml?token=s3cret1")
    assert (status, err) == (0, "")
    assert lines[1].split(None, 5)[:5] == ["rss", "2", "2026-03-02", "en", "link"]
    assert lines[2].strip() == feed
    assert lines[3].endswith("Comments (comments)")
    (listed,) = feeds_from_plain(lines[-1], "stdout")
    assert (listed.url, listed.title) == (feed, 'The "Paper" & more')


def test_a_title_can_neither_colour_the_terminal_nor_add_a_line(discover: Discover):
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "\x1b[31mred\n[[feeds]]", "items": []}
    site = {"/": Reply(body=json.dumps(feed), content_type="application/feed+json")}
    for chosen in ("text", "toml"):
        _, out, _, _ = discover(site, "--format", chosen)
        assert "\x1b" not in out
        assert "red [[feeds]]" in out


def test_toml_can_be_pasted(discover: Discover):
    status, out, _, server = discover(SITE, "--format", "toml")
    assert status == 0
    assert tomllib.loads(out) == {
        "feeds": [{"url": server.url("/feed.xml?token=s3cret1"), "title": 'The "Paper" & more', "language": "en"}]
    }


def test_json_tells_all(discover: Discover):
    status, out, _, server = discover({**SITE, "/c.xml": Reply(status=500)}, "--json")
    told = json.loads(out)
    assert (status, told["url"], told["requests"]) == (0, server.url("/"), 4)
    assert [(f["url"], f["format"], f["entries"], f["newest_at"]) for f in told["feeds"]] == [
        (server.url("/feed.xml?token=s3cret1"), "rss", 2, "2026-03-02T08:00:00Z")
    ]
    assert told["attempts"] == [{"url": server.url("/c.xml"), "how": "link", "reason": "http_500"}]


def test_nothing_found_is_said_and_fails(discover: Discover):
    status, out, err, _ = discover({"/": Reply(body="<html><body>no feeds</body></html>")}, "--most-requests", "4")
    assert (status, out) == (1, "")
    assert err.startswith("newsbeam: no feed found at http://127.0.0.1:")
    assert "(4 requests)" in err


def test_nothing_found_as_json(discover: Discover):
    status, out, _, _ = discover({"/": Reply(body="<html></html>")}, "--json", "--most-requests", "2")
    assert (status, json.loads(out)["feeds"]) == (1, [])


def test_robots_txt_is_asked_once_and_first(discover: Discover):
    _, _, _, server = discover(SITE)
    assert server.paths() == ["/robots.txt", "/", "/feed.xml", "/c.xml"]
    assert {seen.headers["user-agent"].partition("/")[0] for seen in server.log} == {"newsbeam"}
    assert all("mailto:desk@paper.example" in seen.headers["user-agent"] for seen in server.log)


def test_what_robots_txt_forbids_is_named_but_not_asked(discover: Discover):
    robots = Reply(body="User-agent: *\nDisallow: /feed.xml\n", content_type="text/plain")
    status, out, _, server = discover({**SITE, "/robots.txt": robots}, "--most-requests", "3")
    assert status == 0
    assert "/feed.xml" not in server.paths()
    assert f"not read: {server.url('/feed.xml?token=s3cret1')} (robots_disallowed)" in out


def test_a_redirect_to_what_robots_txt_forbids_is_not_followed(discover: Discover):
    site = {
        **SITE,
        "/robots.txt": Reply(body="User-agent: *\nDisallow: /private/\n", content_type="text/plain"),
        "/feed.xml": Reply(status=302, headers={"Location": "/private/feed.xml"}),
        "/private/feed.xml": SITE["/feed.xml"],
    }
    _, _, _, server = discover(site, "--most-requests", "3")
    assert "/private/feed.xml" not in server.paths()


def test_a_site_whose_robots_txt_fails_is_left_alone(discover: Discover):
    with pytest.raises(TransientError) as failed:
        discover({**SITE, "/robots.txt": Reply(status=503)})
    assert failed.value.reason == "robots_unreachable"
    assert failed.value.message.endswith("/robots.txt cannot be had for now; try again later")


@pytest.mark.parametrize(("host", "reason"), [("nowhere.test", "dns_failed"), ("127.0.0.1", "connect_failed")])
def test_a_site_that_is_not_there_is_named_as_such(monkeypatch: pytest.MonkeyPatch, host: str, reason: str):
    def no_such_name(*args: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("transforms.resolve_names._look_up", no_such_name)
    parser = argparse.ArgumentParser()
    add_flags(parser, options)
    with contextlib.closing(socket.socket()) as free, pytest.raises(TransientError) as failed:
        free.bind(("127.0.0.1", 0))
        run(parser.parse_args([f"http://{host}:{free.getsockname()[1]}/", "--allow-host", "127.0.0.1"]))
    assert failed.value.reason == reason


def test_an_address_that_cannot_be_had(discover: Discover):
    with pytest.raises(RejectedError, match=r"/gone\?token=\*\*\*: HTTP 404"):
        discover(SITE, path="/gone?token=s3cret1")


def test_an_address_inside_the_network_is_refused():
    parser = argparse.ArgumentParser()
    add_flags(parser, options)
    with pytest.raises(RejectedError) as refused:
        run(parser.parse_args(["http://127.0.0.1:9/"]))
    assert refused.value.reason == "forbidden_address"


@pytest.mark.parametrize("written", ["ftp://paper.example/", "https://", "javascript:alert(1)//", "http://["])
def test_what_is_no_address_is_bad_usage(written: str):
    parser = argparse.ArgumentParser()
    add_flags(parser, options)
    with pytest.raises(UsageError):
        run(parser.parse_args([written]))
