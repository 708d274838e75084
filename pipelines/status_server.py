"""What a supervisor and Prometheus ask of a worker that runs: /healthz, /readyz, /livez, /metrics, over HTTP.

Decisions:
    The standard library's server, because five fixed answers need no framework, and a thread a connection, because a
    thread that waits for a slow client costs the worker nothing. One request a connection: a scrape each 15 seconds
    gains nothing from keeping it open, and what ends by itself cannot pile up.

    A client that is slow, or malicious, can hold neither a thread for long nor all of them: a connection has
    `CLIENT_SECONDS` from its first byte to its last, however it drips, and where `MOST_CONNECTIONS` are open the oldest
    is cut off for the newest, so that a liveness probe gets through while somebody holds the rest open.

    Live means "a restart would not help": ticks are harvested. A lake that is away, or polling that is stopped because
    too much is under way, leaves the worker live (a restart would throw away what it keeps) and makes it not ready.

    What comes in a request is compared with fixed words and never repeated in an answer.

Limits: no encryption and no password; it is meant for loopback, or for a network of its own. An answer says nothing of
feeds or articles, only ages and counts.

Source: RFC 9110 (HEAD, 405 with Allow, Accept); Kubernetes' probes, which take 200 to 399 for yes.
"""

import contextlib
import http.client
import http.server
import io
import json
import logging
import math
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Optional

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from transforms import telemetry
from transforms.errors import UsageError, one_line

CLIENT_SECONDS = 10.0
MOST_CONNECTIONS = 16
MOST_REQUEST_BYTES = 16_384  # Prometheus sends about 500, a browser with many cookies some thousands
LINGER_SECONDS = 1.0

_ADDRESS = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45}(?:%[\w.\-]{1,32})?)\]|(?P<host>[\w.\-]{1,253})):(?P<port>[0-9]{1,5})",
    re.ASCII,
)
_TEXT = "text/plain; charset=utf-8"
_INDEX = """newsbeam worker

/healthz  200 while the worker is live, else 503; JSON
/livez    the same
/readyz   200 while the worker is ready (live, harvested once, not draining, polling), else 503; JSON
/metrics  for Prometheus, as text or OpenMetrics
"""
_log = logging.getLogger("newsbeam.status")


@dataclass(frozen=True)
class Health:
    """How a worker is.

    `reason` is None for a worker that is ready, else the first that holds of: no_harvest (not live: a restart may
    help), draining, starting (no harvest yet), polling_stopped. Ages are None before the first of their kind.
    """

    live: bool
    ready: bool
    reason: Optional[str] = None
    last_harvest_age_seconds: Optional[float] = None
    last_commit_age_seconds: Optional[float] = None
    entries_in_flight: int = 0
    polling_stopped: bool = False


def judge_health(
    *,
    now: float,
    started_at: float,
    last_harvest_at: Optional[float],
    last_commit_at: Optional[float],
    tick_seconds: float,
    ticks_without_harvest_allowed: int,
    polling_stopped: bool,
    draining: bool,
    startup_grace_seconds: float = 60.0,
    entries_in_flight: int = 0,
) -> Health:
    """Return how a worker is, from what it last did; all times are seconds of one clock, better a monotonic one.

    It is live while the last harvest is at most `ticks_without_harvest_allowed` ticks old, before the first harvest
    while its start is not older than that and `startup_grace_seconds` (an engine takes a while to deliver its first
    tick). A worker that drains stays live: whoever asked it to stop has a deadline of their own, and a supervisor that
    kills it meanwhile would lose the commit under way. Commits are not asked for: a quiet night has none, and while
    the lake is away a restart would lose what the worker keeps.

    Args:
        now: the time.
        started_at: when the worker started.
        last_harvest_at: when a tick last harvested; None before the first.
        last_commit_at: when the last commit ended; None before the first.
        tick_seconds: time between ticks.
        ticks_without_harvest_allowed: how many ticks may pass without a harvest.
        polling_stopped: no poll is started because too much is under way.
        draining: the worker was asked to stop.
        startup_grace_seconds: added to what the first harvest may take.
        entries_in_flight: entries seen and not committed yet; shown as it is.
    """
    allowed = tick_seconds * ticks_without_harvest_allowed
    if last_harvest_at is None:
        on_time = now - started_at <= allowed + startup_grace_seconds
    else:
        on_time = now - last_harvest_at <= allowed
    live = on_time or draining
    reasons = (
        ("no_harvest", not live),
        ("draining", draining),
        ("starting", last_harvest_at is None),
        ("polling_stopped", polling_stopped),
    )
    reason = next((name for name, holds in reasons if holds), None)
    return Health(
        live=live,
        ready=reason is None,
        reason=reason,
        last_harvest_age_seconds=_age(now, last_harvest_at),
        last_commit_age_seconds=_age(now, last_commit_at),
        entries_in_flight=entries_in_flight,
        polling_stopped=polling_stopped,
    )


def _age(now: float, at: Optional[float]) -> Optional[float]:
    return None if at is None else round(max(now - at, 0.0), 3)  # a clock that was set back makes no negative age


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[IPv6]:port``.

    Raises:
        UsageError: it is neither.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65_535:
        raise UsageError(
            f"status address {one_line(address, limit=80)!r} is not HOST:PORT: give one such as 127.0.0.1:9464, "
            "[::1]:9464, or 0.0.0.0:9464 for all interfaces"
        )
    return match["v6"] or match["host"], int(match["port"])


class StatusServer:
    """Serves a worker's health and metrics until `close`; usable as a context manager.

    Args:
        address: ``host:port`` or ``[IPv6]:port``; port 0 takes any that is free.
        health: says how the worker is; called for each question, in a thread of the server, so it must be quick and
            must not wait for a lock that the worker holds long.
        registry: whose metrics are shown.

    Raises:
        UsageError: the address is malformed.
    """

    def __init__(
        self, address: str, health: Callable[[], Health], *, registry: CollectorRegistry = telemetry.REGISTRY
    ) -> None:
        self._address = address
        self._host, self._port = parse_address(address)
        self._health, self._registry = health, registry
        self._server: Optional[_Server] = None
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Listen, and answer in threads of its own.

        Raises:
            UsageError: the address cannot be listened on.
        """
        if self._server is not None:
            raise RuntimeError("the status server has been started already")
        try:
            family, _, _, _, where = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._server = _Server(family, where, self._health, self._registry)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                f"status address {self._address} cannot be listened on ({one_line(why)}): give another with "
                "--status-address HOST:PORT (port 0 takes any that is free), or none"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="status-server", daemon=True
        )
        self._thread.start()
        _log.debug("listening on %s", self.url)

    @property
    def url(self) -> str:
        """Where it answers, with the port it got: ``http://127.0.0.1:9464``."""
        if self._server is None:
            raise RuntimeError("the status server has not been started")
        host, port = self._server.server_address[:2]
        name = str(host).replace("%", "%25")
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def close(self) -> None:
        """Stop listening and cut off who is connected; more than once is once."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_off_all()
        self._thread.join()
        self._thread = None

    def __enter__(self) -> "StatusServer":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Server(socketserver.TCPServer):
    """Accepts connections and gives each a thread, a bounded number at a time.

    Not http.server's own class, which looks the host's name up when it binds: where DNS is away that takes seconds.
    """

    allow_reuse_address = True
    allow_reuse_port = False  # two workers on one port would answer each other's probes
    request_queue_size = 64

    def __init__(self, family: int, where: Any, health: Callable[[], Health], registry: CollectorRegistry) -> None:
        self.address_family = family
        self.health, self.registry = health, registry
        self._free = threading.Semaphore(MOST_CONNECTIONS)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, None] = {}  # in the order of their arrival
        super().__init__(where, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            # Without file descriptors left, the connection stays in the queue and the loop would spin on it.
            time.sleep(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self._cut_off_oldest()
            if not self._free.acquire(timeout=1.0):
                self.shutdown_request(request)
                return
        with self._lock:
            self._open[request] = None
        try:
            threading.Thread(
                target=self._serve, args=(request, client_address), name="status-client", daemon=True
            ).start()
        except RuntimeError:  # no thread to be had
            self._forget(request)
            self.shutdown_request(request)

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self._forget(request)
            self.shutdown_request(request)

    def _forget(self, request: socket.socket) -> None:
        with self._lock:
            del self._open[request]
        self._free.release()

    def _cut_off_oldest(self) -> None:
        with self._lock:
            oldest = next(iter(self._open), None)
            if oldest is not None:
                _cut_off(oldest)

    def cut_off_all(self) -> None:
        with self._lock:
            for request in self._open:
                _cut_off(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a connection ended early", exc_info=True)


def _cut_off(request: socket.socket) -> None:
    """End a connection that another thread reads from: that thread sees its end."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _BoundedReader(io.RawIOBase):
    """Reads a socket until a moment, and so much at most."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline, self._left = connection, deadline, MOST_REQUEST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise http.client.LineTooLong("request")
        _set_deadline(self._connection, self._deadline)
        count = self._connection.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count


def _set_deadline(connection: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the client was too slow")
    connection.settimeout(left)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Reads one request and answers it."""

    server: _Server
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self._deadline = time.monotonic() + CLIENT_SECONDS
        # What an answer to an unreadable request line needs.
        self.command, self.requestline, self.request_version = "", "", self.default_request_version
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_BoundedReader(self.connection, self._deadline))

    def handle(self) -> None:
        try:
            try:
                self.raw_requestline = self.rfile.readline()
                if not self.raw_requestline.strip() or not self.parse_request():
                    return
            except http.client.LineTooLong:
                self.send_error(431)
                return
            self._answer(self.command, self.path.partition("?")[0])
        except (TimeoutError, ConnectionError, BrokenPipeError):
            _log.debug("a client was too slow, or left")

    def handle_expect_100(self) -> bool:
        return True  # no request with a body is answered with success, so none is asked for

    def _answer(self, method: str, path: str) -> None:
        if method not in ("GET", "HEAD"):
            self._send(405, _TEXT, b"only GET and HEAD\n", allow="GET, HEAD")
        elif path in ("/healthz", "/livez", "/readyz"):
            self._send_health(path)
        elif path == "/metrics":
            self._send_metrics()
        elif path == "/":
            self._send(200, _TEXT, _INDEX.encode())
        else:
            self._send(404, _TEXT, b"not found; / names what there is\n")

    def _send_health(self, path: str) -> None:
        try:
            health = self.server.health()
            good = health.ready if path == "/readyz" else health.live
            body = {name: _finite(value) for name, value in asdict(health).items()}
        except Exception:
            _log.exception("the worker cannot say how it is")
            good, body = False, {"live": False, "ready": False, "reason": "health_unknown"}
        self._send(200 if good else 503, "application/json", json.dumps(body).encode() + b"\n")

    def _send_metrics(self) -> None:
        # The encoder is chosen by one of two words of ours: the library repeats what a client asks for in its answer.
        accepted = "application/openmetrics-text" if wants_openmetrics(self.headers.get("Accept", "")) else ""
        encode, content_type = choose_encoder(accepted)
        try:
            body = encode(self.server.registry)
        except Exception:
            _log.exception("the metrics cannot be shown")
            self._send(500, _TEXT, b"the metrics cannot be shown; see the worker's log\n")
            return
        self._send(200, content_type, body)

    def send_error(self, code: int, message: Optional[str] = None, explain: Optional[str] = None) -> None:
        """Answer a request that cannot be read; `message` and `explain` repeat parts of it and are left out."""
        phrase = http.client.responses.get(code, "error")
        self._send(code, _TEXT, f"{phrase.lower()}\n".encode())

    def _send(self, status: int, content_type: str, body: bytes, *, allow: Optional[str] = None) -> None:
        _set_deadline(self.connection, self._deadline)
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        if allow is not None:
            self.send_header("Allow", allow)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self._hang_up()

    def _hang_up(self) -> None:
        """Say that the answer is whole, and read on a little.

        Closing while something unread lies in the socket makes the system reset the connection, and the client may
        lose an answer it had received (RFC 9112, 9.6).
        """
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(LINGER_SECONDS)
        left = MOST_REQUEST_BYTES * 4
        while left > 0 and time.monotonic() < self._deadline:
            received = len(self.connection.recv(left))
            if not received:
                return
            left -= received

    def version_string(self) -> str:
        return "newsbeam"

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug("%s", one_line(format % args))


def wants_openmetrics(accept: str) -> bool:
    """Return whether an Accept header asks for OpenMetrics at least as much as for the plain text format."""
    wishes = dict(sorted(_wishes(accept), key=lambda wish: wish[1]))  # of several wishes for one type the best counts
    wished = wishes.get("application/openmetrics-text", 0.0)
    return wished > 0 and wished >= wishes.get("text/plain", 0.0)


def _wishes(accept: str) -> Iterator[tuple[str, float]]:
    """Yield media type and weight of each wish in an Accept header; a weight that cannot be read is none."""
    for wish in accept.split(","):
        name, *parameters = (part.strip().lower() for part in wish.split(";"))
        weight = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        yield name, float(weight) if re.fullmatch(r"[01](?:\.[0-9]{0,3})?", weight) else 0.0


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
