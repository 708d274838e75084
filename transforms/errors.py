"""The error tree, and the one place that turns an exception into a dead letter.

* IngestError
  x TransientError    may pass by itself: retried, bounded (a slow server, a full disk, a busy lake)
  x RejectedError     will not pass: a dead letter with a reason slug (no article, not a feed, forbidden address)
  x LakeError         the lake cannot be used as it is: the run stops with one line that says what to do
  x UsageError        the command line, the configuration or a feed list is wrong: exit status 2
  x EngineFailedError   what a stream runs on does not start, or has ended: starting again is safe

Every error carries what it is about (`url`: already masked, `reason`: a slug) and survives pickling, which Beam's
workers need.
"""

import re
from typing import Any, Optional
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

_SECRET_NAME = re.compile(
    r"(?:^|[_\-.])(?:key|apikey|token|secret|pass|passwd|password|pwd|sig|signature|auth|authorization|session|sid|code|jwt|hash|credential)s?(?:$|[_\-.])"
    r"|apikey|accesskey|access_?token",
    re.IGNORECASE,
)
_LONG_OPAQUE = re.compile(r"^(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_\-]{24,}$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class IngestError(Exception):
    """The root: something about the outside world, or about how newsbeam was asked, is wrong.

    Args:
        message: one line that names the thing and, where there is one, the remedy.
        reason: a slug of lower-case words joined by ``_``; it becomes `dead_letters.reason`.
        url: the address it is about; stored masked (see `mask_url`).
    """

    default_reason = "ingest_error"

    def __init__(self, message: str, *, reason: Optional[str] = None, url: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.url = mask_url(url) if url else None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.reason, self.url, self.__dict__.copy()))

    def __str__(self) -> str:
        return self.message


class TransientError(IngestError):
    """May pass by itself; `retry_after_seconds` is what the other side asked for, if it did."""

    default_reason = "transient"

    def __init__(
        self,
        message: str,
        *,
        reason: Optional[str] = None,
        url: Optional[str] = None,
        retry_after_seconds: Optional[float] = None,
    ) -> None:
        super().__init__(message, reason=reason, url=url)
        self.retry_after_seconds = retry_after_seconds


class RejectedError(IngestError):
    """Will not pass by itself: the item becomes a permanent dead letter under its `reason`."""

    default_reason = "rejected"


class LakeError(IngestError):
    """The lake cannot be used as it is (not a lake, newer schema, full disk); nothing committed is touched."""

    default_reason = "lake"


class UsageError(IngestError):
    """The command line, the configuration or a feed list is wrong; the message names the line and the remedy."""

    default_reason = "usage"


class EngineFailedError(IngestError):
    """An engine could not be started, has ended or does not do as asked; starting again is safe."""

    default_reason = "engine_failed"


def _rebuild(cls: type, message: str, reason: str, url: Optional[str], state: dict[str, Any]) -> IngestError:
    error = cls(message, reason=reason, url=url)
    error.__dict__.update(state)
    return error


def mask_url(url: str, *, by_name_only: bool = False) -> str:
    """Return `url` with credentials and values that look like tokens replaced by ``***``.

    User and password go, and each query value whose name speaks of a secret. Feed addresses also lose long opaque
    query values and path segments (a private feed's token often is one); page addresses, which must stay usable, are
    masked `by_name_only`. An address that cannot be parsed is replaced whole, since nothing is known about it.
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        query = "&".join(
            f"{quote(name)}=***"
            if _SECRET_NAME.search(name) or (not by_name_only and _LONG_OPAQUE.match(value))
            else f"{quote(name)}={quote(value)}"
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        )
    except ValueError:
        return "(unreadable address)"
    if "@" in parts.netloc:
        host = "***@" + host
    masked_query = query if "***" in query else parts.query
    path = parts.path
    if not by_name_only:
        path = "/".join("***" if _opaque_segment(segment) else segment for segment in path.split("/"))
    return one_line(urlunsplit((parts.scheme, host, path, masked_query, parts.fragment)), limit=2048)


def _opaque_segment(segment: str) -> bool:
    """A token has many changes between letters and digits; a slug or an article number has words or few changes."""
    if "-" in segment or not _LONG_OPAQUE.match(segment):
        return False
    return len(re.findall(r"(?<=\d)[A-Za-z]|(?<=[A-Za-z])\d", segment)) >= 6


def one_line(text: str, *, limit: int = 400) -> str:
    """Return `text` on one line, control characters as spaces, at most `limit` characters: safe for logs and rows."""
    flat = " ".join(_CONTROL.sub(" ", text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
