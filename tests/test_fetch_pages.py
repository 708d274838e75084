"""Pages fetched from real servers on loopback: what is followed, what is asked, and what is refused."""

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Optional

import pytest
from apache_beam.utils.timestamp import Timestamp

from tests.servers import Reply, Route, ScriptedServer, Seen
from transforms import fetch_pages
from transforms.errors import IngestError, TransientError
from transforms.fetch_pages import HostMemory, Outcome, PageFetcher
from transforms.http import HttpClient
from transforms.pace_hosts import HostBudget
from transforms.page_reservations import DEFAULT_SIGNALS, SIGNALS
from transforms.polite_client import PoliteClient

STORY = "<p>" + "The ferry to Orlo Island stayed in harbour while its engine was looked at. " * 20 + "</p>"
HOSTS = ("news.test", "other.test", "go.test", "consent.group.test")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def fetched(
    server: ScriptedServer,
    *urls: str,
    hosts: Optional[HostMemory] = None,
    honour: Sequence[str] = DEFAULT_SIGNALS,
    at_once: bool = False,
    honour_robots: bool = True,
) -> list[Outcome]:
    """Return what comes of each address, one after the other or `at_once`; no turn may be left over."""

    async def run() -> list[Outcome]:
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()

        def spawn(work: Coroutine[Any, Any, None]) -> None:
            tasks.add(task := loop.create_task(work))
            task.add_done_callback(tasks.discard)

        budget = HostBudget(
            at_once=20,
            at_once_per_site=1,
            spacing_seconds=0,
            max_wait_seconds=1,
            now=loop.time,
            call_later=loop.call_later,
        )
        allowed = tuple(server.allow(host) for host in HOSTS)
        async with HttpClient(user_agent="newsbeam-test/1", allow_hosts=allowed, total_timeout_seconds=5) as client:
            fetcher = PageFetcher(
                PoliteClient(client, budget, spawn=spawn, now=lambda: Timestamp(1_770_000_000)),
                user_agent="newsbeam-test/1",
                honour_robots=honour_robots,
                hosts=hosts or HostMemory(),
                clock=loop.time,
                honour_reservations=honour,
            )
            waiting: list[asyncio.Future[Outcome]] = []
            for url in urls:
                waiting.append(loop.create_future())
                fetcher.want(url, waiting[-1].set_result, afresh=True)
                if not at_once:
                    await waiting[-1]
            outcomes = list(await asyncio.gather(*waiting))
            while tasks:
                await asyncio.sleep(0)
            assert budget.under_way == 0
            return outcomes

    return asyncio.run(asyncio.wait_for(run(), 20))


def named(outcomes: Sequence[Outcome]) -> list[str]:
    """The address of each page, the slug of each failure."""
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, IngestError):
            raise outcome
    return [outcome.reason if isinstance(outcome, IngestError) else outcome.url for outcome in outcomes]  # type: ignore[union-attr]


def refresh(to: str) -> Reply:
    return Reply(body=f'<html><head><meta http-equiv="refresh" content="0; url={to}"></head></html>')


def moved(to: str, **headers: str) -> Reply:
    return Reply(302, headers={"Location": to, **headers})


# ---- consent and cookies ---------------------------------------------------------------------------------------------


def test_a_consent_redirect_that_sets_a_cookie_and_comes_back_gives_the_page(server: ScriptedServer) -> None:
    url, form = server.url("/a-b-c-1", host="news.test"), server.url("/collectConsent", host="consent.group.test")

    def page(seen: Seen) -> Reply:
        return Reply(body=STORY) if "consented=1" in seen.headers.get("cookie", "") else moved(form)

    server.routes["news.test/a-b-c-1"] = page
    server.routes["/collectConsent"] = moved(server.url("/copy", host="news.test"))
    server.routes["news.test/copy"] = moved(url, **{"Set-Cookie": "consented=1; path=/"})
    assert named(fetched(server, url)) == [url]
    assert server.paths("news.test").count("/a-b-c-1") == 2


def test_a_consent_form_that_wants_an_answer_is_named_and_not_answered(server: ScriptedServer) -> None:
    url = server.url("/a-b-c-1", host="news.test")
    server.routes["news.test/a-b-c-1"] = moved(server.url("/v2/collectConsent?x=1", host="consent.group.test"))
    server.routes["/v2/collectConsent"] = Reply(body="<title>Group</title><form><button>Accept all</button></form>")
    assert named(fetched(server, url)) == ["consent_wall"]
    assert server.paths("consent.group.test") == ["/robots.txt", "/v2/collectConsent"]


def test_a_page_that_works_with_a_cookie_only_is_a_consent_wall(server: ScriptedServer) -> None:
    url = server.url("/a-b-c-1", host="news.test")

    def page(seen: Seen) -> Reply:
        stub = refresh(url)
        return Reply(body=STORY) if "cookie" in seen.headers else Reply(body=stub.body, headers={"Set-Cookie": "a=b"})

    server.routes["/a-b-c-1"] = page
    assert named(fetched(server, url)) == ["consent_wall"]
    assert server.paths() == ["/robots.txt", "/a-b-c-1"]


# ---- stubs -----------------------------------------------------------------------------------------------------------


def test_a_stub_leads_to_the_page_and_where_it_led_is_remembered(server: ScriptedServer) -> None:
    stub, page = server.url("/x7", host="go.test"), server.url("/a-b-c-1", host="news.test")
    server.routes["go.test/x7"] = refresh(page)
    server.routes["news.test/a-b-c-1"] = Reply(body=STORY)
    hosts = HostMemory()
    assert named(fetched(server, stub, stub, hosts=hosts)) == [page, page]
    assert server.paths("go.test") == ["/robots.txt", "/x7"]
    assert server.paths("news.test") == ["/robots.txt", "/a-b-c-1", "/a-b-c-1"]
    assert named(fetched(server, stub, hosts=hosts)) == [page]
    assert server.paths("go.test").count("/x7") == 1


def test_a_redirect_to_another_site_is_remembered_as_well_and_one_within_it_is_not(server: ScriptedServer) -> None:
    away, within = server.url("/x7", host="go.test"), server.url("/x8", host="news.test")
    page = server.url("/a-b-c-1", host="news.test")
    server.routes["go.test/x7"] = server.routes["news.test/x8"] = moved(page)
    server.routes["news.test/a-b-c-1"] = Reply(body=STORY)
    assert named(fetched(server, away, within, away, within)) == [page] * 4
    assert (server.paths().count("/x7"), server.paths().count("/x8")) == (1, 2)


def test_what_was_remembered_is_forgotten_when_it_fails(server: ScriptedServer) -> None:
    stub = server.url("/x7", host="go.test")
    old, new = (server.url(path, host="news.test") for path in ("/old-a-b-1", "/new-a-b-1"))
    server.routes["go.test/x7"] = refresh(new)
    server.routes["news.test/new-a-b-1"] = Reply(body=STORY)
    hosts = HostMemory(resolved={stub: old})
    assert named(fetched(server, stub, stub, hosts=hosts)) == ["http_404", new]
    assert hosts.resolved == {stub: new}


def test_a_page_that_may_be_had_later_is_then_asked_for_without_its_stub(server: ScriptedServer) -> None:
    stub, page = server.url("/x7", host="go.test"), server.url("/a-b-c-1", host="news.test")
    server.routes["go.test/x7"] = refresh(page)
    answers = iter([Reply(503)])
    server.routes["/a-b-c-1"] = lambda seen: next(answers, Reply(body=STORY))
    assert named(fetched(server, stub, stub)) == ["http_503", page]
    assert server.paths("go.test") == ["/robots.txt", "/x7"]


def test_what_is_remembered_is_bounded(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_pages, "MOST_RESOLVED", 2)
    urls = [server.url(f"/x{n}", host="go.test") for n in range(4)]
    server.routes["news.test/a-b-c-1"] = Reply(body=STORY)
    for n in range(4):
        server.routes[f"/x{n}"] = refresh(server.url("/a-b-c-1", host="news.test"))
    hosts = HostMemory()
    fetched(server, *urls, hosts=hosts)
    assert list(hosts.resolved) == urls[2:]


def test_a_stub_of_a_stub_is_not_followed(server: ScriptedServer) -> None:
    first, second = server.url("/1", host="go.test"), server.url("/2", host="go.test")
    server.routes["/1"], server.routes["/2"] = refresh(second), refresh(first)
    assert named(fetched(server, first)) == [second]
    assert server.paths() == ["/robots.txt", "/1", "/2"]


def test_a_stub_needs_the_leave_of_the_robots_txt_it_leads_to(server: ScriptedServer) -> None:
    server.routes["go.test/x7"] = refresh(server.url("/a-b-c-1", host="news.test"))
    server.routes["news.test/robots.txt"] = Reply(body="User-agent: *\nDisallow: /")
    assert named(fetched(server, server.url("/x7", host="go.test"))) == ["robots_disallowed"]
    assert server.paths("news.test") == ["/robots.txt"]


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "forbidden_address"),
        ("http://[::ffff:10.0.0.1]/", "forbidden_address"),
        ("http://{news}/", "soft_404"),
        ("http://{news}/gone-a-b-1", "http_404"),
        ("http://{news}/login?next=/x7", "login_required"),
        ("http://{news}/held", "http_429"),
    ],
)
def test_a_stub_that_leads_nowhere(server: ScriptedServer, to: str, reason: str) -> None:
    server.routes["news.test/"] = Reply(body=STORY)
    server.routes["news.test/held"] = Reply(429, headers={"Retry-After": "600"})
    server.routes["news.test/login"] = Reply(body="<title>Sign in</title><input type=password>")
    server.routes["news.test/a-b-c-x7"] = refresh(to.replace("{news}", f"news.test:{server.port}"))
    stub = server.url("/a-b-c-x7", host="news.test")
    assert named(fetched(server, stub, honour_robots=False)) == [reason]


def test_a_stub_to_a_site_that_asked_for_a_long_wait_is_left_for_later(server: ScriptedServer) -> None:
    held, stub = server.url("/held", host="news.test"), server.url("/x7", host="go.test")
    server.routes["/held"] = Reply(429, headers={"Retry-After": "600"})
    server.routes["/x7"] = refresh(server.url("/a-b-c-1", host="news.test"))
    assert named(fetched(server, held, stub)) == ["http_429", "host_asked_to_wait"]
    assert "/a-b-c-1" not in server.paths()


def test_a_story_is_not_left_for_its_canonical_on_another_site(server: ScriptedServer) -> None:
    url = server.url("/a-b-c-1", host="news.test")
    named_as = server.url("/a-b-c-1", host="other.test")
    server.routes["/a-b-c-1"] = Reply(body=f'<head><link rel="canonical" href="{named_as}"></head>{STORY}')
    assert named(fetched(server, url)) == [url]
    assert server.paths("other.test") == []


# ---- robots.txt ------------------------------------------------------------------------------------------------------


def test_a_host_that_is_not_there_is_named_as_such_and_not_asked_again(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def no_such_name(host: str, *args: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("transforms.resolve_names._look_up", no_such_name)
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://news.test:{free.getsockname()[1]}"
        urls = ["http://nowhere.test/a-b-c-1", f"{closed}/a-b-c-1", "http://nowhere.test/a-b-c-2", f"{closed}/a-b-c-2"]
        outcomes = fetched(server, *urls)
    assert named(outcomes) == ["dns_failed", "connect_failed"] * 2
    assert asked == ["nowhere.test"]
    assert all(isinstance(outcome, TransientError) and "/robots.txt" in outcome.message for outcome in outcomes)


# ---- reservations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("honour", "reply", "reason"),
    [
        (DEFAULT_SIGNALS, Reply(body=STORY, headers={"tdm-reservation": "1"}), "reserved"),
        ((), Reply(body=STORY, headers={"tdm-reservation": "1"}), ""),
        (DEFAULT_SIGNALS, Reply(body=STORY, headers={"X-Robots-Tag": "noindex, noarchive, noai"}), ""),
        (("noarchive",), Reply(body=STORY, headers={"X-Robots-Tag": "newsbeam-test: noarchive"}), "reserved"),
        (("noarchive",), Reply(body=STORY, headers={"X-Robots-Tag": "newsbeam-other: noarchive"}), ""),
        (("noai",), Reply(body='<head><meta name="robots" content="noai"></head>' + STORY), "reserved"),
    ],
)
def test_what_a_page_reserves_is_honoured_by_setting(
    server: ScriptedServer, honour: Sequence[str], reply: Reply, reason: str
) -> None:
    server.routes["/a-b-c-1"] = reply
    url = server.url("/a-b-c-1", host="news.test")
    assert named(fetched(server, url, honour=honour)) == [reason or url]
    assert server.paths() == ["/robots.txt", "/a-b-c-1"]


RESERVED = '[{"location": "/news/", "tdm-reservation": 1}]'


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (Reply(body=RESERVED, content_type="application/json"), "reserved"),
        (Reply(body="<html>"), ""),
        (Reply(404), ""),
        (Reply(500), ""),
        (Reply(reset=True), ""),
        (Reply(body=RESERVED + " " * 300_000), "reserved"),  # its beginning says so
        (Reply(body=RESERVED[:-1] + " " * 300_000 + "]"), ""),
    ],
)
def test_a_sites_file_is_asked_for_once_and_what_it_does_not_say_is_free(
    server: ScriptedServer, file: Route, reason: str
) -> None:
    server.routes["/.well-known/tdmrep.json"] = file
    urls = [server.url(path, host="news.test") for path in ("/news/a-b-c-1", "/news/a-b-c-2", "/sport/a-b-c-3")]
    server.routes.update({url.partition(str(server.port))[2]: Reply(body=STORY) for url in urls})
    hosts = HostMemory()
    expected = [reason or url for url in urls[:2]] + urls[2:]
    assert named(fetched(server, *urls, honour=tuple(SIGNALS), at_once=True, hosts=hosts)) == expected
    assert named(fetched(server, *urls, honour=tuple(SIGNALS), hosts=hosts)) == expected
    assert server.paths().count("/.well-known/tdmrep.json") in (
        (1, 2) if isinstance(file, Reply) and file.reset else (1,)
    )


def test_the_file_is_not_asked_for_unless_it_is_honoured(server: ScriptedServer) -> None:
    server.routes["/a-b-c-1"] = Reply(body=STORY)
    fetched(server, server.url("/a-b-c-1", host="news.test"))
    assert server.paths() == ["/robots.txt", "/a-b-c-1"]


def test_a_page_that_is_free_by_its_own_word_is_free_against_the_file(server: ScriptedServer) -> None:
    server.routes["/.well-known/tdmrep.json"] = Reply(body=RESERVED)
    server.routes["/news/a-b-c-1"] = Reply(body=STORY, headers={"tdm-reservation": "0"})
    url = server.url("/news/a-b-c-1", host="news.test")
    assert named(fetched(server, url, honour=tuple(SIGNALS))) == [url]
