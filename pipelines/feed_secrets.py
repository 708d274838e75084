"""The headers a feed is asked with, and the secrets in them: looked up at each request, where the request is made.

Decisions:
    A list names where a secret is (an environment variable, a file), never the secret. So a list can be shown, kept
    under version control and pickled to workers, and a secret that is replaced counts from the next poll on.

    A secret that is missing fails that feed alone, as a failed poll that says what is missing: to ask without it would
    look like a feed that is gone. A run that starts without it is refused before anything is polled.

Limits: read on the machine that polls; there must be the variable or the file.
"""

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path

from transforms.errors import TransientError, mask_url
from transforms.records import FeedHeader, FeedSpec

MOST_SECRET_BYTES = 8_192  # what common servers take as one header

_NOT_SENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


def request_headers_of(feed: FeedSpec) -> Mapping[str, str]:
    """Return the headers of `feed` with their values; for the feed's own origin only.

    Raises:
        TransientError: secret_missing, naming the variable or file, never what is in it.
    """
    try:
        return {header.name: _value(header, os.environ) for header in feed.headers}
    except ValueError as error:
        raise TransientError(f"{mask_url(feed.url)}: {error}", reason="secret_missing", url=feed.url) from None


def is_one_line(value: str) -> bool:
    """Return whether `value` can be sent as a header."""
    return not _NOT_SENDABLE.search(value)


def _value(header: FeedHeader, environ: Mapping[str, str]) -> str:
    if header.value is not None:
        return header.value
    if header.env is not None:
        where, remedy = f"environment variable {header.env}", "set it where newsbeam runs"
        if header.env not in environ:
            raise ValueError(f"{where} is not set; {remedy}")
        secret = environ[header.env]
    else:
        where, remedy = f"secret file {header.file}", "it must hold one line, the secret"
        secret = _read(Path(header.file or ""), where)
    secret = secret.strip()
    if not secret:
        raise ValueError(f"{where} is empty; {remedy}")
    if not is_one_line(secret):
        raise ValueError(f"{where} is more than one line of text; {remedy}")
    if header.scheme == "Basic":
        return "Basic " + base64.b64encode(f"{header.user}:{secret}".encode()).decode("ascii")
    return f"{header.scheme} {secret}" if header.scheme else secret


def _read(path: Path, where: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{where} cannot be read ({error.strerror}); check its path and rights") from None
    if len(data) > MOST_SECRET_BYTES:
        raise ValueError(f"{where} is longer than {MOST_SECRET_BYTES:,} bytes; it must hold one line, the secret")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{where} is no text in UTF-8; it must hold one line, the secret") from None
