"""One feed as a TOML table, [[feeds]], and back: everything that can be said of a feed.

    [[feeds]]
    url = "https://example.org/feed.xml"
    title = "Example"
    language = "en"
    tags = ["local"]
    pause = true                          # listed, but not polled
    min_interval = "10m"                  # bounds of its polling, in place of the worker's
    max_interval = "6h"
    user = "reader"                       # with a password: Authorization: Basic
    password = { env = "EXAMPLE_PASSWORD" }
    token = { file = "secrets/example" }  # instead of both: Authorization: Bearer
    headers = { Accept-Language = "de", X-Api-Key = { env = "EXAMPLE_KEY" } }

Decisions:
    What can be a secret is never written into a list: a header whose name speaks of one must say where its value is.
    Paths of secrets are relative to the list, as in other settings files.

    Headers that newsbeam sets itself are refused, since what is set twice is a riddle: the conditional ones would hide
    news, another Host would ask a feed that nobody sees in the list.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from pipelines.feed_secrets import is_one_line
from transforms.errors import one_line
from transforms.records import FeedHeader, FeedSpec, feed_id_of

KEYS = (
    "url",
    "title",
    "language",
    "tags",
    "pause",
    "min_interval",
    "max_interval",
    "user",
    "password",
    "token",
    "headers",
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_INTERVAL = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,4}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~\-]{1,100}")  # RFC 9110, 5.6.2: a token
_SECRET_HEADER = re.compile(r"auth|cookie|token|key|secret|password|session|credential|signature", re.IGNORECASE)
_OWN_HEADERS = frozenset(
    {"host", "user-agent", "connection", "content-length", "content-type", "transfer-encoding", "accept-encoding"}
    | {"if-none-match", "if-modified-since", "if-match", "if-range", "range", "te", "trailer", "upgrade", "expect"}
    | {"proxy-authorization", "keep-alive"}
)
_WHERE = '{ env = "NAME" } or { file = "PATH" }'


class WrongTableError(ValueError):
    """A key or value of a table is wrong; becomes a `UsageError` that knows the file and the line."""


def parse_interval(text: str) -> float:
    """Return the seconds of a time such as 10s, 5m, 1h, 1d or 2.5; ValueError says what is wrong with it."""
    match = _INTERVAL.fullmatch(text.strip())
    value = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if not 0.1 <= value <= 30 * 86_400:
        raise ValueError("is not a time between 100ms and 30d, such as 10s, 5m or 1h")
    return round(value, 3)


def show_interval(seconds: float) -> str:
    """Return `seconds` as `parse_interval` reads it, in the largest unit that fits exactly; to the millisecond."""
    millis = round(seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(_UNITS[unit] * 1000)
        if millis >= size and millis % size == 0:
            return f"{millis // size}{unit}"
    return f"{millis}ms"


def is_language(text: str) -> bool:
    """Return whether `text` is shaped as a language tag (en, de-AT)."""
    return _LANGUAGE.fullmatch(text) is not None


def feed_of_table(url: str, table: Mapping[str, Any], folder: Path) -> FeedSpec:
    """Return the feed at `url` (checked before) that `table` describes.

    Args:
        url: the table's address.
        table: as TOML has it.
        folder: what paths of secrets are relative to.

    Raises:
        WrongTableError: a key or value is wrong; the message names it and the remedy, and holds no secret.
    """
    unknown = sorted(set(table) - set(KEYS))
    if unknown:
        raise WrongTableError(f"has an unknown key {unknown[0]!r}; its keys are {', '.join(KEYS)}")
    language = _text(table, "language")
    if language is not None and not is_language(language):
        raise WrongTableError(f"has language = {language!r}; write a tag such as en or de-AT")
    tags = table.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise WrongTableError(f'has tags = {tags!r}; write a list of texts, such as ["local"]')
    pause = table.get("pause", False)
    if not isinstance(pause, bool):
        raise WrongTableError(f"has pause = {pause!r}; write true or false")
    shortest, longest = _interval(table, "min_interval"), _interval(table, "max_interval")
    if shortest is not None and longest is not None and longest < shortest:
        raise WrongTableError(
            f"has max_interval = {table['max_interval']!r}, shorter than min_interval = {table['min_interval']!r}"
        )
    return FeedSpec(
        feed_id=feed_id_of(url),
        url=url,
        title=_text(table, "title"),
        language=language,
        tags=tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip())),
        headers=_headers(table, folder),
        is_paused=pause,
        min_interval_seconds=shortest,
        max_interval_seconds=longest,
    )


def table_of_feed(feed: FeedSpec) -> str:
    """Return `feed` as a TOML table, its address in full."""
    lines = ["[[feeds]]", f"url = {_quoted(feed.url)}"]
    lines += [f"{name} = {_quoted(value)}" for name in ("title", "language") if (value := getattr(feed, name))]
    if feed.tags:
        lines.append(f"tags = [{', '.join(map(_quoted, feed.tags))}]")
    if feed.is_paused:
        lines.append("pause = true")
    for name, seconds in (("min", feed.min_interval_seconds), ("max", feed.max_interval_seconds)):
        if seconds is not None:
            lines.append(f'{name}_interval = "{show_interval(seconds)}"')
    others = []
    for header in feed.headers:
        where = (
            _quoted(header.value)
            if header.value is not None
            else f"{{ env = {_quoted(header.env)} }}"
            if header.env is not None
            else f"{{ file = {_quoted(header.file or '')} }}"
        )
        if header.scheme == "Basic":
            lines += [f"user = {_quoted(header.user or '')}", f"password = {where}"]
        elif header.scheme == "Bearer":
            lines.append(f"token = {where}")
        else:
            others.append(f"{_quoted(header.name)} = {where}")
    if others:
        lines.append(f"headers = {{ {', '.join(others)} }}")
    return "\n".join([*lines, ""])


def _text(table: Mapping[str, Any], key: str) -> Optional[str]:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise WrongTableError(f"has {key} = {value!r}; write a text")
    return one_line(value) or None if value is not None else None


def _interval(table: Mapping[str, Any], key: str) -> Optional[float]:
    value = table.get(key)
    if value is None:
        return None
    try:
        return parse_interval(str(value) if not isinstance(value, bool) else "")
    except ValueError as error:
        raise WrongTableError(f"has {key} = {value!r}, which {error}") from None


def _headers(table: Mapping[str, Any], folder: Path) -> Sequence[FeedHeader]:
    found = []
    user = _text(table, "user")
    if (user is None) != ("password" not in table):
        raise WrongTableError("has only one of user and password; give both, or a token")
    if user is not None and ":" in user:
        raise WrongTableError("has a colon in user, which cannot be sent (RFC 7617); give the name alone")
    if user is not None and "token" in table:
        raise WrongTableError("has a token and a password; give one of them")
    if user is not None:
        found.append(_secret("password", table["password"], folder, "Authorization", "Basic", user))
    if "token" in table:
        found.append(_secret("token", table["token"], folder, "Authorization", "Bearer"))
    listed = table.get("headers", {})
    if not isinstance(listed, dict):
        raise WrongTableError('has headers that are no table; write { Accept-Language = "de" }')
    for name, value in listed.items():
        found.append(_header(name, value, folder))
        if name.lower() in {header.name.lower() for header in found[:-1]}:
            raise WrongTableError(f"sets the header {name} twice; keep one")
    return found


def _header(name: str, value: Any, folder: Path) -> FeedHeader:
    if not _HEADER_NAME.fullmatch(name):
        raise WrongTableError(f"has headers with {one_line(name, limit=60)!r}, which is not the name of a header")
    if name.lower() in _OWN_HEADERS:
        remedy = "; give a contact in the settings instead" if name.lower() == "user-agent" else "; leave it out"
        raise WrongTableError(f"has the header {name}, which is set by newsbeam{remedy}")
    if isinstance(value, dict):
        return _secret(f"header {name}", value, folder, name)
    if _SECRET_HEADER.search(name):
        raise WrongTableError(f"has a secret in the header {name}; keep it outside the list and write {_WHERE}")
    if not isinstance(value, str):
        raise WrongTableError(f"has the header {name}, whose value is not a text; write a text, or {_WHERE}")
    if not is_one_line(value):
        raise WrongTableError(f"has the header {name}, whose value is not one line of text")
    return FeedHeader("Accept" if name.lower() == "accept" else name, value=value.strip())


def _secret(
    what: str, where: Any, folder: Path, name: str, scheme: Optional[str] = None, user: Optional[str] = None
) -> FeedHeader:
    if isinstance(where, dict) and set(where) == {"env", "file"}:
        raise WrongTableError(f"has a {what} in two places; write either {_WHERE}")
    held = next(iter(where.values())) if isinstance(where, dict) and set(where) in ({"env"}, {"file"}) else None
    if not isinstance(held, str) or not held.strip() or "\0" in held:
        raise WrongTableError(f"has a {what} that says nothing of where it is; write {_WHERE}")
    if "env" in where:
        return FeedHeader(name, env=held, scheme=scheme, user=user)
    return FeedHeader(name, file=str((folder / Path(held).expanduser()).absolute()), scheme=scheme, user=user)


def _quoted(text: str) -> str:
    """Return `text` as a TOML string: JSON's escapes are TOML's, but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
