"""Archived pages, WARC and JSONL, plain or gzipped -> records, and stretches of them for one pipeline each.

Decisions:
    * Records are framed here and only then given to warcio, one at a time: its own reader ends at the first record
      it cannot read, and this one goes on at the next. Memory holds one record.
    * A record that cannot be used is an `ArchiveFailure` that names file and line or record. What an archive holds
      besides pages (requests, images, robots.txt, answers other than 200) is no failure and passes silently.
    * An archive is the same archive when its name (without folder) and its first 64 KiB are: reading it again from
      another place finds every entry known. An entry is its address within the archive, wherever in the file it
      stands.
    * A stretch ends after so many pages or so many bytes, so memory is bounded whatever the pages are.

Limits: WARC's `revisit` records hold no page and are passed over; zstd is not read. A page captured twice in one
archive is one entry; within a stretch each different content of it is kept, the last to come is the newest.
"""

import base64
import binascii
import hashlib
import io
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union
from urllib.parse import urlsplit

from apache_beam.utils.timestamp import Timestamp
from warcio.archiveiterator import ArchiveIterator

from pipelines.read_inflated import DamageError, Inflated
from transforms.errors import UsageError, mask_url, one_line
from transforms.read_dates import read_date
from transforms.records import Failure, Page, digest64, entry_id_of, feed_id_of

PAGES_PER_WAVE = 2000
BYTES_PER_WAVE = 128 * 1024 * 1024
MOST_PAGE_BYTES = 10 * 1024 * 1024  # decoded, as for pages from the web
MOST_RECORD_BYTES = 64 * 1024 * 1024  # a line of JSONL, a record of WARC: the size that Common Crawl cuts at is 1 MiB
IDENTITY_BYTES = 65536

_HTML_TYPES = ("text/html", "application/xhtml+xml")
_JSON_HTML = "text/html; charset=utf-8"


class ArchiveRecord(NamedTuple):
    """One archived page: `html` or `text`; `position` counts lines or records from 1."""

    url: str
    position: int
    html: Optional[bytes] = None
    text: Optional[str] = None
    content_type: Optional[str] = None
    title: Optional[str] = None
    published_at: Optional[Timestamp] = None
    language: Optional[str] = None
    authors: tuple[str, ...] = ()


class ArchiveFailure(NamedTuple):
    """A line or record that cannot be used; `message` names file and place."""

    position: int
    reason: str
    message: str
    url: str = ""


class ArchiveWave(NamedTuple):
    """One stretch of an archive: `number` from 0, `first_record` the position of its first record, from 1.

    `entries` counts its distinct entries: each is in `pages` or in `failures`. `repeated` counts records left out
    because the same page with the same content had come before in the stretch.
    """

    number: int
    first_record: int
    pages: tuple[Page, ...]
    failures: tuple[Failure, ...]
    repeated: int

    @property
    def entries(self) -> int:
        """How many entries the stretch has: pages and failures."""
        return len(self.pages) + len(self.failures)


Read = Union[ArchiveRecord, ArchiveFailure]


def archive_id(path: Path) -> str:
    """Return the feed_id of the archive at `path`: of its name and its first 64 KiB.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(IDENTITY_BYTES)
    except OSError as error:
        raise UsageError(_unreadable(path, error)) from error
    return feed_id_of(f"archive:{path.name}:{hashlib.blake2b(head, digest_size=8).hexdigest()}")


def read_archive(path: Path) -> Iterator[Read]:
    """Yield what the archive at `path` holds, in its order; a bad record never stops the others.

    Raises:
        UsageError: before anything is yielded: the file cannot be read, or is neither WARC nor JSONL.
    """
    try:
        raw = Inflated(path)
    except OSError as error:
        raise UsageError(_unreadable(path, error)) from error
    with raw, io.BufferedReader(raw, 1 << 16) as stream:
        try:
            head = stream.peek(64)
        except DamageError as error:
            yield ArchiveFailure(0, "damaged_archive", f"{path.name}: the gzip data is damaged at its start ({error})")
            head = _first_undamaged(stream)
            if not head:
                return
        head = head[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
        if head.startswith(b"WARC/"):
            yield from _read_warc(path.name, raw, stream)
        elif head.startswith(b"{"):
            yield from _read_jsonl(path.name, raw, stream)
        elif head:
            kind = (
                "is zstd, which is not read; unpack it first"
                if head.startswith(b"\x28\xb5\x2f\xfd")
                else "is no archive"
            )
            raise UsageError(f"{path.name} {kind} (WARC or JSONL, plain or gzipped)")
        else:
            yield ArchiveFailure(0, "empty_archive", f"{path.name} is empty")


def _first_undamaged(stream: Any) -> bytes:
    while True:
        try:
            return stream.peek(64)
        except DamageError:
            continue


def waves(
    path: Path,
    *,
    pages_per_wave: int = PAGES_PER_WAVE,
    bytes_per_wave: int = BYTES_PER_WAVE,
    now: Optional[Timestamp] = None,
) -> Iterator[ArchiveWave]:
    """Yield the archive at `path` in stretches of at most `pages_per_wave` pages and failures; one at a time in memory.

    Args:
        path: the archive.
        pages_per_wave: how many entries a stretch has at most; at least 1.
        bytes_per_wave: a stretch ends when its pages are this large together.
        now: when the pages were first seen, which is now unless said otherwise.

    Raises:
        UsageError: see `read_archive`.
    """
    if pages_per_wave < 1:
        raise ValueError(f"pages_per_wave is {pages_per_wave}; it must be at least 1")
    feed_id, name = archive_id(path), path.name
    now = now or Timestamp(time.time())
    number, first, size, repeated = 0, 1, 0, 0
    pages: dict[tuple[str, str], Page] = {}
    failures: dict[str, Failure] = {}
    for record in read_archive(path):
        if len(pages) + len(failures) >= pages_per_wave or size >= bytes_per_wave:
            yield ArchiveWave(number, first, tuple(pages.values()), tuple(failures.values()), repeated)
            number, first, size, repeated, pages, failures = number + 1, record.position, 0, 0, {}, {}
        if isinstance(record, ArchiveFailure):
            failure = _failure_of(record, feed_id, name, now)
            failures[failure.entry_id] = failure
            continue
        page = page_of(record, feed_id=feed_id, first_seen_at=now)
        if (page.entry_id, page.entry_hash) in pages:
            repeated += 1
            continue
        pages[page.entry_id, page.entry_hash] = page
        size += len(page.html or b"") + len(page.text or "")
    if pages or failures:
        yield ArchiveWave(number, first, tuple(pages.values()), tuple(failures.values()), repeated)


def page_of(record: ArchiveRecord, *, feed_id: str, first_seen_at: Timestamp) -> Page:
    """Return the `Page` of an archived record: its identity is its address, its hash that of what it holds."""
    content = record.html if record.html is not None else (record.text or "").encode("utf-8")
    published = str(record.published_at.micros) if record.published_at else ""
    return Page(
        entry_id=entry_id_of(feed_id, record.url),
        entry_hash=digest64(
            record.url, record.title or "", published, hashlib.blake2b(content, digest_size=16).hexdigest()
        ),
        feed_id=feed_id,
        url=record.url,
        origin="archive",
        first_seen_at=first_seen_at,
        html=record.html,
        text=record.text,
        title=record.title,
        authors=record.authors,
        published_at=record.published_at,
        language=record.language,
        content_type=record.content_type,
    )


def _failure_of(failure: ArchiveFailure, feed_id: str, name: str, now: Timestamp) -> Failure:
    # Without an address the place in the archive is all the identity there is; it is stable, as the archive is.
    key = failure.url or f"record {failure.position}"
    return Failure(
        entry_id=entry_id_of(feed_id, f"{failure.reason}\n{key}"),
        entry_hash=digest64(failure.reason, failure.message),
        feed_id=feed_id,
        url=mask_url(failure.url) if failure.url else name,
        stage="poll",
        reason=failure.reason,
        message=failure.message,
        failed_at=now,
    )


# JSONL


def _read_jsonl(name: str, raw: Inflated, stream: io.BufferedIOBase) -> Iterator[Read]:
    position = 0
    while True:
        position += 1
        where = f"{name} line {position}"
        try:
            line = stream.readline(MOST_RECORD_BYTES + 1)
            if len(line) > MOST_RECORD_BYTES:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(1 << 20)
                yield ArchiveFailure(position, "too_large", f"{where} is longer than {MOST_RECORD_BYTES // 2**20} MiB")
                continue
        except DamageError as error:
            yield ArchiveFailure(position, "damaged_archive", f"{where}: the gzip data is damaged here ({error})")
            continue
        if raw.truncated and not line.endswith(b"\n"):
            yield ArchiveFailure(position, "truncated_archive", f"{where}: the file breaks off here; fetch it again")
            return
        if not line:
            return
        if line.strip():
            yield _of_json(line, position, where)


def _of_json(line: bytes, position: int, where: str) -> Read:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        return ArchiveFailure(position, "bad_json", f"{where} is not JSON: {one_line(str(error), limit=120)}")
    if not isinstance(data, dict):
        return ArchiveFailure(position, "bad_json", f"{where} is JSON, but no object")
    url = _text(data, "url").strip()
    if not _is_web_address(url):
        return ArchiveFailure(position, "missing_url", f"{where} has no http(s) address under 'url'")
    html: Optional[bytes] = _text(data, "html").encode("utf-8") or None
    declared = _JSON_HTML
    if html is None and _text(data, "html_base64"):
        try:
            html, declared = base64.b64decode(_text(data, "html_base64"), validate=True), _text(data, "content_type")
        except (binascii.Error, ValueError) as error:
            return ArchiveFailure(position, "bad_base64", f"{where}: html_base64 is not base64 ({error})", url)
    text = _text(data, "text") or None
    if html is None and text is None:
        return ArchiveFailure(position, "missing_content", f"{where} has neither html, html_base64 nor text", url)
    if len(html or b"") > MOST_PAGE_BYTES or len(text or "") > MOST_PAGE_BYTES:
        return ArchiveFailure(position, "too_large", f"{where}: more than {MOST_PAGE_BYTES // 2**20} MiB", url)
    return ArchiveRecord(
        url=url,
        position=position,
        html=html,
        text=None if html is not None else text,
        content_type=(declared or None) if html is not None else None,
        title=" ".join(_text(data, "title").split()) or None,
        published_at=_published(data),
        language=_text(data, "language").strip().lower() or None,
        authors=_authors(data),
    )


def _published(data: Mapping[str, Any]) -> Optional[Timestamp]:
    value = data.get("published")
    written = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(data, "published")
    seconds = read_date(" ".join(written.split())) if written.strip() else None
    return None if seconds is None else Timestamp(micros=round(seconds * 1_000_000))


def _authors(data: Mapping[str, Any]) -> tuple[str, ...]:
    given = data.get("authors")
    names = given if isinstance(given, list) else [given]
    return tuple(dict.fromkeys(" ".join(n.split()) for n in names if isinstance(n, str) and n.strip()))


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    # JSON can write half of a surrogate pair, which no encoding can store.
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


# WARC


def _read_warc(name: str, raw: Inflated, stream: io.BufferedIOBase) -> Iterator[Read]:
    """Frame records by their Content-Length; where one does not end as it says, go on at the next that starts."""
    position, line = 0, b""
    while True:
        where = f"{name} record {position + 1}"
        try:
            if not line.startswith(b"WARC/"):
                line = stream.readline(1 << 16)
            if not line:
                break
            if not line.startswith(b"WARC/"):
                if line.strip() and position:  # garbage between records: the one before it was not what it said
                    position += 1
                    yield ArchiveFailure(position, "bad_record", f"{where}: no WARC record starts here")
                    line = _next_start(stream)
                continue
            position += 1
            header, length, line = _header_of(stream, line)
            if length is None:
                yield ArchiveFailure(position, "bad_record", f"{where} has no readable Content-Length")
                line = line or _next_start(stream)
                continue
            if length > MOST_RECORD_BYTES:
                yield ArchiveFailure(position, "too_large", f"{where} is longer than {MOST_RECORD_BYTES // 2**20} MiB")
                _skip(stream, length)
                continue
            body = stream.read(length)
        except DamageError as error:
            position = max(position, 1)
            yield ArchiveFailure(position, "damaged_archive", f"{where}: the gzip data is damaged here ({error})")
            line = b""
            continue
        if len(body) < length:
            yield ArchiveFailure(position, "truncated_archive", f"{where}: the file breaks off here; fetch it again")
            return
        record = _of_warc(header + body, position, where)
        if record is not None:
            yield record
    if raw.truncated:
        yield ArchiveFailure(position + 1, "truncated_archive", f"{name}: the file breaks off behind record {position}")


def _header_of(stream: io.BufferedIOBase, first: bytes) -> tuple[bytes, Optional[int], bytes]:
    """Return a record's header, its Content-Length, and the start of the next record if that came too early."""
    lines, length = [first], None
    for _ in range(1000):
        line = stream.readline(1 << 16)
        if line.startswith(b"WARC/1"):
            return b"", None, line
        lines.append(line)
        if not line.strip():
            return b"".join(lines), length, b""
        field, _, value = line.partition(b":")
        if field.strip().lower() == b"content-length" and value.strip().isdigit() and len(value) < 20:
            length = int(value)
    return b"", None, b""


def _next_start(stream: io.BufferedIOBase) -> bytes:
    while True:
        line = stream.readline(1 << 16)
        if not line or line.startswith(b"WARC/1"):
            return line


def _skip(stream: io.BufferedIOBase, length: int) -> None:
    while length > 0 and (data := stream.read(min(length, 1 << 20))):
        length -= len(data)


def _of_warc(data: bytes, position: int, where: str) -> Optional[Read]:
    """Return the page in one whole record, None where it holds something else."""
    url = ""
    try:
        record = next(iter(ArchiveIterator(io.BytesIO(data))))
        if record.rec_type not in ("response", "resource"):
            return None
        url = (record.rec_headers.get_header("WARC-Target-URI") or "").strip("<> ")
        if not _is_web_address(url):
            return None  # dns: and the like
        if record.rec_type == "response":
            if record.http_headers is None or record.http_headers.get_statuscode() != "200":
                return None
            content_type = record.http_headers.get_header("Content-Type") or ""
            coding = (record.http_headers.get_header("Content-Encoding") or "").strip().lower()
        else:
            content_type, coding = record.rec_headers.get_header("Content-Type") or "", ""
        if content_type and not content_type.strip().lower().startswith(_HTML_TYPES):
            return None
        body = record.content_stream().read(MOST_PAGE_BYTES + 1)
    except Exception as error:  # warcio lets out what its parts raise: any kind, for a record that is not as it says
        return ArchiveFailure(
            position, "bad_record", f"{where} cannot be read ({type(error).__name__}: {one_line(str(error))})", url
        )
    if len(body) > MOST_PAGE_BYTES:
        return ArchiveFailure(position, "too_large", f"{where}: more than {MOST_PAGE_BYTES // 2**20} MiB", url)
    # Some crawlers store the decoded body under the header of the encoded one, so the body decides.
    if coding not in ("", "identity", "gzip", "deflate") and b"<" not in body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]:
        return ArchiveFailure(position, "unreadable_coding", f"{where}: its {coding} body cannot be decoded", url)
    if b"<" not in body:
        return ArchiveFailure(position, "empty_body", f"{where} holds no HTML", url)
    return ArchiveRecord(url=url, position=position, html=body, content_type=content_type or None)


def _unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no archive {path}; give the path of a WARC or JSONL file"
    return f"archive {path} cannot be read: {error.strerror or one_line(str(error))}"
