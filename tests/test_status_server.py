"""The worker's own address: health by cases, and a real server on loopback asked by good and bad clients."""

import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Optional
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pipelines import status_server
from pipelines.status_server import Health, StatusServer, judge_health, parse_address, wants_openmetrics
from transforms import telemetry
from transforms.errors import UsageError

READY = Health(live=True, ready=True, last_harvest_age_seconds=1.5, last_commit_age_seconds=20.0, entries_in_flight=7)


def judged(
    *,
    now: float = 1_000.0,
    started: float = 0.0,
    harvest: Optional[float] = 995.0,
    commit: Optional[float] = 900.0,
    stopped: bool = False,
    draining: bool = False,
) -> Health:
    return judge_health(
        now=now,
        started_at=started,
        last_harvest_at=harvest,
        last_commit_at=commit,
        tick_seconds=10.0,
        ticks_without_harvest_allowed=3,
        polling_stopped=stopped,
        draining=draining,
        startup_grace_seconds=60.0,
        entries_in_flight=7,
    )


@pytest.mark.parametrize(
    "health, live, ready, reason",
    [
        pytest.param(judged(), True, True, None, id="harvests"),
        pytest.param(judged(harvest=970.0), True, True, None, id="as old as allowed"),
        pytest.param(judged(harvest=969.9), False, False, "no_harvest", id="too old"),
        pytest.param(judged(started=910.0, harvest=None), True, False, "starting", id="starting, within the grace"),
        pytest.param(judged(started=909.9, harvest=None), False, False, "no_harvest", id="never came to its first"),
        pytest.param(judged(started=990.0, harvest=900.0), False, False, "no_harvest", id="no grace after the first"),
        pytest.param(judged(stopped=True), True, False, "polling_stopped", id="too much under way"),
        pytest.param(judged(draining=True), True, False, "draining", id="draining"),
        pytest.param(judged(draining=True, harvest=100.0), True, False, "draining", id="draining, and slow at it"),
        pytest.param(judged(draining=True, harvest=None), True, False, "draining", id="draining before the first"),
        pytest.param(judged(draining=True, stopped=True), True, False, "draining", id="draining comes first"),
        pytest.param(judged(commit=None), True, True, None, id="nothing to commit yet"),
        pytest.param(judged(commit=1.0), True, True, None, id="a quiet night"),
        pytest.param(judged(now=990.0), True, True, None, id="a clock that was set back"),
    ],
)
def test_health_is_judged_by_the_last_harvest(health: Health, live: bool, ready: bool, reason: Optional[str]) -> None:
    assert (health.live, health.ready, health.reason) == (live, ready, reason)


def test_health_says_how_old_the_last_harvest_and_commit_are() -> None:
    health = judged(stopped=True)
    assert (health.last_harvest_age_seconds, health.last_commit_age_seconds) == (5.0, 100.0)
    assert (health.entries_in_flight, health.polling_stopped) == (7, True)
    fresh = judged(harvest=None, commit=None)
    assert (fresh.last_harvest_age_seconds, fresh.last_commit_age_seconds) == (None, None)
    assert judged(now=990.0).last_harvest_age_seconds == 0.0


@pytest.mark.parametrize(
    "address, parts",
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("worker-1.example:80", ("worker-1.example", 80)),
        ("[::1]:9464", ("::1", 9464)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_an_address_is_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert parse_address(address) == parts


@pytest.mark.parametrize(
    "address",
    ["", "9464", ":9464", "localhost", "localhost:", "::1:9464", "[::1]", "[one]:1", "127.0.0.1:65536", "127.0.0.1:-1",
     "127.0.0.1:٣", "http://127.0.0.1:9464", "a b:1", "one\n:1", "127.0.0.1:9464\n"],
)  # fmt: skip
def test_a_malformed_address_is_refused_with_what_to_give_instead(address: str) -> None:
    with pytest.raises(UsageError, match=r"is not HOST:PORT.*127\.0\.0\.1:9464") as caught:
        StatusServer(address, lambda: READY)
    assert "\n" not in str(caught.value)


def test_a_port_in_use_is_refused_with_the_address_and_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = StatusServer(address, lambda: READY)
        with pytest.raises(UsageError, match=f"{address} cannot be listened on .*in use.*--status-address"):
            server.start()
        server.close()


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no-such-host.invalid:0", f"{'a' * 64}.example:0"])
def test_an_address_that_is_not_ours_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="cannot be listened on"):
        StatusServer(address, lambda: READY).start()


class Worker:
    """A status server whose worker says what the test puts here."""

    def __init__(self) -> None:
        self.health = READY
        self.ask: Callable[[], Health] = lambda: self.health
        self.registry = CollectorRegistry()
        self.counter = Counter("seen", 'With a "quoted" word.', ["kind"], registry=self.registry)
        self.server = StatusServer("127.0.0.1:0", lambda: self.ask(), registry=self.registry)

    @property
    def where(self) -> tuple[str, int]:
        parts = urlsplit(self.server.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def get(
        self, path: str, *, method: str = "GET", headers: Optional[dict[str, str]] = None, body: Optional[bytes] = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(*self.where, timeout=30)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def send(self, request: bytes) -> bytes:
        """Send bytes as they are; return all that comes back."""
        with socket.create_connection(self.where, timeout=30) as connection:
            connection.sendall(request)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65_536):
        received += part
    return received


def sent_away(connection: socket.socket) -> bool:
    """Return whether the connection ends without an answer (the system may say so by a reset)."""
    try:
        return read_all(connection) == b""
    except ConnectionError:
        return True


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    with worker.server:
        yield worker


def test_healthz_gives_the_health_as_json(worker: Worker) -> None:
    response, body = worker.get("/healthz")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "live": True,
        "ready": True,
        "reason": None,
        "last_harvest_age_seconds": 1.5,
        "last_commit_age_seconds": 20.0,
        "entries_in_flight": 7,
        "polling_stopped": False,
    }


@pytest.mark.parametrize(
    "live, ready, statuses", [(True, True, (200, 200, 200)), (True, False, (200, 200, 503)), (False, False, (503,) * 3)]
)
def test_liveness_and_readiness_are_statuses(
    worker: Worker, live: bool, ready: bool, statuses: tuple[int, ...]
) -> None:
    worker.health = Health(live=live, ready=ready, reason=None if ready else "draining")
    for path, status in zip(("/healthz", "/livez", "/readyz"), statuses, strict=True):
        response, body = worker.get(path + "?verbose=1")
        assert (response.status, json.loads(body)["live"]) == (status, live)
        head, nothing = worker.get(path, method="HEAD")
        assert (head.status, nothing) == (status, b"")
        assert head.headers["Content-Length"] == response.headers["Content-Length"]


def test_health_holds_no_number_that_json_lacks(worker: Worker) -> None:
    worker.health = Health(live=True, ready=True, last_commit_age_seconds=float("inf"))
    body = worker.get("/healthz")[1]
    assert json.loads(body, parse_constant=pytest.fail)["last_commit_age_seconds"] is None


def test_a_worker_that_cannot_say_how_it_is_is_not_live(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Health:
        raise KeyError("secret")

    worker.ask = fail
    response, body = worker.get("/healthz")
    assert response.status == 503
    assert json.loads(body) == {"live": False, "ready": False, "reason": "health_unknown"}
    assert "cannot say how it is" in caplog.text


def test_metrics_come_as_text_and_as_openmetrics(worker: Worker) -> None:
    worker.counter.labels('a\\b\n"c"').inc(3)
    response, body = worker.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    families = {family.name: family for family in parse_text(body.decode())}
    assert [(s.name, s.labels, s.value) for s in families["seen"].samples][:1] == [
        ("seen_total", {"kind": 'a\\b\n"c"'}, 3.0)
    ]
    response, body = worker.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    families = {family.name: family for family in parse_openmetrics(body.decode())}
    assert families["seen"].samples[0].value == 3.0


def test_the_real_metrics_parse_in_both_formats() -> None:
    with StatusServer("127.0.0.1:0", lambda: READY) as server:
        for accept, parse in (("", parse_text), ("application/openmetrics-text", parse_openmetrics)):
            connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
            connection.request("GET", "/metrics", headers={"Accept": accept})
            names = {family.name for family in parse(connection.getresponse().read().decode())}
            connection.close()
            assert {"newsbeam_feeds_silent", "newsbeam_freshness_seconds", "process_resident_memory_bytes"} <= names
            assert names >= {family.name for family in telemetry.REGISTRY.collect()}


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    "accept, wants",
    [
        (PROMETHEUS, True),
        ("", False),
        ("*/*", False),
        ("text/html, */*", False),
        ("application/openmetrics-text", True),
        ("APPLICATION/OpenMetrics-Text; Q=0.1", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.5, text/plain", False),
        ("text/plain;q=0.5, application/openmetrics-text;q=0.5", True),
        ("application/openmetrics-text;q=nan", False),
        (";;;,,,q=", False),
    ],
)
def test_the_format_is_what_the_client_prefers(accept: str, wants: bool) -> None:
    assert wants_openmetrics(accept) is wants


def test_a_metric_that_cannot_be_read_is_an_error_without_details(worker: Worker) -> None:
    class Broken:
        def collect(self) -> Iterator[object]:
            raise RuntimeError("secret")
            yield

    worker.registry._collector_to_names[Broken()] = []  # type: ignore[index]
    response, body = worker.get("/metrics")
    assert response.status == 500
    assert b"secret" not in body
    assert worker.get("/healthz")[0].status == 200


def test_the_root_names_what_there_is(worker: Worker) -> None:
    response, body = worker.get("/")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    assert all(path in body.decode() for path in ("/healthz", "/livez", "/readyz", "/metrics"))


@pytest.mark.parametrize("path", ["/nothing", "/healthz/", "/HEALTHZ", "/metrics/x", "/..", "/%68ealthz", "*", "x"])
def test_any_other_path_is_not_found(worker: Worker, path: str) -> None:
    assert worker.get(path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "NONSENSE"])
def test_any_other_method_is_refused_even_with_a_body(worker: Worker, method: str) -> None:
    response, body = worker.get("/healthz", method=method, body=b"x" * 50_000)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert body == b"only GET and HEAD\n"


MARK = b"<script>alert(7)</script>"


@pytest.mark.parametrize(
    "request_bytes, status",
    [
        pytest.param(b"GET /" + MARK + b" HTTP/1.1\r\nHost: x\r\n\r\n", 404, id="path"),
        pytest.param(MARK + b" / HTTP/1.1\r\n\r\n", 405, id="method"),
        pytest.param(b"GET / " + MARK + b"\r\n\r\n", 400, id="version"),
        pytest.param(b"GET / HTTP/9." + MARK + b"\r\n\r\n", 400, id="number of the version"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", 505, id="newer version"),
        pytest.param(b"GET a b " + MARK + b" HTTP/1.1\r\n\r\n", 400, id="too many words"),
        pytest.param(MARK + b"\r\n\r\n", 400, id="one word"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=9." + MARK + b"\r\n\r\n", 200, id="accept"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0\r\n X-Evil: " + MARK + b"\r\n\r\n", 200, id="folded header"),
        pytest.param(b"GET /metrics?name[]=" + MARK + b" HTTP/1.1\r\n\r\n", 200, id="query"),
        pytest.param(b"GET /" + MARK * 4_000 + b" HTTP/1.1\r\n\r\n", 431, id="long line"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: " + MARK * 4_000 + b"\r\n\r\n", 431, id="long header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 150 + b"\r\n", 431, id="many headers"),
        pytest.param(b"GET /nothing\r\n\r\n", 404, id="without a version"),
        pytest.param(b"GET / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", 200, id="expectation"),
    ],
)  # fmt: skip
def test_a_hostile_request_gets_one_answer_that_repeats_nothing(
    worker: Worker, request_bytes: bytes, status: int
) -> None:
    answer = worker.send(request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"script" not in answer
    assert b"Evil" not in answer
    assert b"Python" not in answer
    assert worker.get("/healthz")[0].status == 200


def test_a_second_request_on_the_connection_is_not_answered(worker: Worker) -> None:
    assert worker.send(b"GET / HTTP/1.1\r\n\r\n" * 2).count(b"HTTP/1.1 200") == 1


def test_many_clients_at_once_all_get_an_answer(worker: Worker) -> None:
    statuses: list[int] = []
    lock = threading.Lock()

    def ask() -> None:
        for path in ("/healthz", "/metrics"):
            status = worker.get(path)[0].status
            with lock:
                statuses.append(status)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 24


def test_a_slow_client_is_cut_off_however_it_drips(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_server, "CLIENT_SECONDS", 0.5)
    with socket.create_connection(worker.where, timeout=0.05) as drip:
        deadline = time.monotonic() + 20
        ended = False
        while not ended and time.monotonic() < deadline:
            try:
                drip.sendall(b"G")
                ended = drip.recv(100) == b""
            except TimeoutError:
                pass  # still being waited for
            except ConnectionError:
                ended = True
        assert ended
    with socket.create_connection(worker.where, timeout=20) as mute:
        assert sent_away(mute)


def test_clients_that_hold_their_connections_keep_no_probe_out(worker: Worker) -> None:
    held = [socket.create_connection(worker.where, timeout=30) for _ in range(3 * status_server.MOST_CONNECTIONS)]
    try:
        for connection in held:
            connection.sendall(b"GET /healthz HT")
        for _ in range(5):
            assert worker.get("/healthz")[0].status == 200
        clients = [thread for thread in threading.enumerate() if thread.name == "status-client"]
        assert len(clients) <= status_server.MOST_CONNECTIONS
    finally:
        for connection in held:
            connection.close()


def test_a_health_that_hangs_keeps_the_threads_bounded_and_close_does_not_wait(worker: Worker) -> None:
    release = threading.Event()

    def hang() -> Health:
        release.wait(60)
        return READY

    worker.ask = hang
    held = []
    try:
        for _ in range(status_server.MOST_CONNECTIONS + 2):
            connection = socket.create_connection(worker.where, timeout=30)
            connection.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            held.append(connection)
        assert sent_away(held[-1])  # no thread came free for it, so it was sent away
        clients = [thread for thread in threading.enumerate() if thread.name == "status-client"]
        assert len(clients) == status_server.MOST_CONNECTIONS
        began = time.monotonic()
        worker.server.close()
        assert time.monotonic() - began < 5
    finally:
        release.set()
        for connection in held:
            connection.close()


def test_after_close_nobody_listens_and_the_port_is_free(worker: Worker) -> None:
    host, port = worker.where
    with socket.create_connection((host, port), timeout=30) as waiting:
        waiting.sendall(b"GET")
        worker.server.close()
        worker.server.close()
        assert sent_away(waiting)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=5)
    with StatusServer(f"{host}:{port}", lambda: READY) as again:
        assert again.url == f"http://{host}:{port}"


def test_a_server_starts_once_and_has_an_address_from_then_on() -> None:
    server = StatusServer("127.0.0.1:0", lambda: READY)
    server.close()
    with pytest.raises(RuntimeError):
        _ = server.url
    with server, pytest.raises(RuntimeError):
        server.start()


def test_it_serves_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with StatusServer("[::1]:0", lambda: READY) as server:
        assert server.url.startswith("http://[::1]:")
        connection = http.client.HTTPConnection("::1", urlsplit(server.url).port, timeout=30)
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
        connection.close()


def test_requests_are_logged_for_debugging_only_and_on_one_line(
    worker: Worker, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger="newsbeam.status"):
        worker.send(b"GET /x\x1b[31m HTTP/1.1\r\n\r\n")
    assert [record.levelno for record in caplog.records if "GET" in record.getMessage()] == [logging.DEBUG]
    assert "\x1b" not in caplog.text
    assert capfd.readouterr() == ("", "")
