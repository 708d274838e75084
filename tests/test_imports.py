"""Imports go one way: records, errors | http, lake | capabilities | commit | pipelines; capabilities never meet."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What each layer may import is what stands above it. A file that is not named is a capability or belongs to one.
FOUNDATION = {
    "errors",
    "records",
    "dead_letters",
    "schemas",
    "key_map",
    "digests",
    "article_url",
    "detect_language",
    "read_dates",
    "row_memory",
    "telemetry",
}
OUTSIDE = {
    "http",
    "open_tunnel",
    "resolve_names",
    "address_rules",
    "bounded_body",
    "lake",
    "lake_table",
    "worker_pool",
    "feed_parser",
}
ONLY_USER = {"feedparser": "parse_feed", "trafilatura": "extract_text", "deltalake": "lake", "aiohttp": "http"}
# A capability that has outgrown one file: its rooms may import one another.
ROOMS = {
    "http": {"open_tunnel", "resolve_names"},
    "lake": {"lake_table"},
    "extract_text": {
        "extract_core",
        "find_story",
        "story_edges",
        "walk_page",
        "page_metadata",
        "collect_metadata",
        "page_times",
        "plain_values",
        "json_ld",
        "read_byline",
        "visible_byline",
        "decode_html",
        "html_blocks",
    },
    "parse_feed": {"parse_json_feed", "repair_xml", "parse_sitemap", "discover_feeds", "find_feeds"},
    "acquire": {
        "acquirer",
        "acquire_on_ticks",
        "poll_feeds",
        "harvest_queue",
        "gather_sitemaps",
        "entry_pages",
        "fetch_pages",
        "polite_client",
        "look_at_page",
        "read_page",
        "page_reservations",
        "pace_hosts",
    },
    "strip_cruft": {"cruft_rules", "cruft_engine", "repeated_text", "clean_title", "learn_site_lines", "site_lines"},
    "commit": {"commit_on_bundles", "make_rows", "check_books"},
}
# Who may open a connection: what checks addresses, and what speaks to the operator's own engine. (status_server only
# takes words from http.client, and listens.)
OPENS_SOCKETS = {"transforms/http", "transforms/open_tunnel"} | {
    f"pipelines/{name}" for name in ("engines", "flink_jobs", "status_server")
}
SOCKET_CALLS = {"socket", "create_connection", "open_connection", "sock_connect", "create_datagram_endpoint"}
SOCKET_LIBRARIES = {"http.client", "urllib.request", "urllib3", "requests", "httpx", "ftplib", "smtplib"}
CAPABILITIES = {
    "parse_feed",
    "poll_feeds",
    "acquire",
    "extract_text",
    "strip_cruft",
    "fingerprint",
    "assign_copies",
    "cluster_stories",
    "tag_topics",
    "watch_feeds",
    "upkeep",
}


def layer(module: str) -> int:
    if module in FOUNDATION:
        return 0
    if module in OUTSIDE:
        return 1
    return 3 if capability(module) == "commit" else 2


def capability(module: str) -> str:
    return next((name for name, rooms in ROOMS.items() if module in rooms), module)


def violations(module: str, imported: set[str]) -> list[str]:
    """Return what is wrong with `module` of transforms/ importing `imported` (dotted names)."""
    found = []
    for name in sorted(imported):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if top == "pipelines":
            found.append(f"{module} imports {name}: pipelines stand to the right of everything")
        elif top == "transforms" and target:
            if layer(target) > layer(module):
                found.append(f"{module} imports {name}: that is to its right")
            elif layer(target) == layer(module) == 2 and capability(target) != capability(module):
                found.append(f"{module} imports {name}: capabilities never import each other")
        elif top in ONLY_USER and capability(module) != ONLY_USER[top]:
            found.append(f"{module} imports {top}: only {ONLY_USER[top]} does")
    return found


def imports_of(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"imports are absolute, unlike that of {node.module}"
            names.update([node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)])
    return names


def ways_out(source: str) -> set[str]:
    """Return what of `source` opens a connection by itself, or could: calls and libraries by name."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    called = {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in calls}
    return called & SOCKET_CALLS | imports_of(source) & SOCKET_LIBRARIES


MODULES = sorted((ROOT / "transforms").glob("[!_]*.py"))


def test_every_capability_has_its_file() -> None:
    assert {path.stem for path in MODULES} >= CAPABILITIES | {"commit", "lake", "http", "records", "errors"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_go_one_way(path: Path) -> None:
    assert violations(path.stem, imports_of(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "module, imported",
    [
        ("records", "transforms.lake"),
        ("lake", "transforms.commit"),
        ("http", "transforms.acquire"),
        ("acquire", "transforms.parse_feed"),
        ("parse_json_feed", "transforms.strip_cruft"),
        ("tag_topics", "transforms.commit"),
        ("commit", "pipelines.ingest"),
        ("commit", "deltalake"),
        ("acquire", "aiohttp"),
    ],
)
def test_the_rule_sees_a_wrong_import(module: str, imported: str) -> None:
    assert len(violations(module, {imported})) == 1


@pytest.mark.parametrize(
    "module, imported", [("commit", "transforms.assign_copies"), ("acquire", "transforms.http"), ("lake", "deltalake")]
)
def test_the_rule_allows_what_is_to_the_left(module: str, imported: str) -> None:
    assert violations(module, {imported}) == []


def test_only_the_client_and_its_tunnel_open_connections() -> None:
    paths = [*MODULES, *(ROOT / "pipelines").glob("*.py")]
    found = {f"{path.parent.name}/{path.stem}" for path in paths if ways_out(path.read_text("utf-8"))}
    assert found == OPENS_SOCKETS


@pytest.mark.parametrize(
    "source",
    [
        "import socket\npeer = socket.socket()",
        "from socket import create_connection\ncreate_connection(('a', 1))",
        "async def ask(): await asyncio.open_connection('a', 1)",
        "import urllib.request",
        "from urllib import request",
        "from http import client",
        "import httpx",
    ],
)
def test_the_search_for_connections_sees_each_way(source: str) -> None:
    assert len(ways_out(source)) == 1
