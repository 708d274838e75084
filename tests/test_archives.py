import base64
import gzip
import io
import json
from pathlib import Path
from typing import Any, Optional

import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipelines import archives
from pipelines.archives import ArchiveFailure, ArchiveRecord, archive_id, page_of, read_archive, waves
from pipelines.read_inflated import DamageError, Inflated
from transforms.errors import UsageError

NOW = Timestamp(1_770_000_000)


def html(title: str) -> bytes:
    return f"<!DOCTYPE html><html><head><title>{title}</title><body><p>{title} says more.</p></body></html>".encode()


def warc(records: list[dict[str, Any]], *, gzipped: bool = True) -> bytes:
    """A WARC as warcio writes it; each record: url, body, and what differs from a page answered with 200."""
    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=gzipped)
    writer.write_record(writer.create_warcinfo_record("news.warc", {"software": "test"}))
    for given_record in records:
        headers = [
            ("Content-Type", given_record.get("type", "text/html; charset=utf-8")),
            *given_record.get("headers", []),
        ]
        kind = given_record.get("kind", "response")
        http = StatusAndHeaders(given_record.get("status", "200 OK"), headers, protocol="HTTP/1.1")
        writer.write_record(
            writer.create_warc_record(
                given_record["url"],
                kind,
                payload=io.BytesIO(given_record["body"]),
                http_headers=http if kind in ("response", "request") else None,
                warc_content_type=given_record.get("type", "") if kind == "resource" else "",
            )
        )
    return buffer.getvalue()


def pages(*names: str) -> list[dict[str, Any]]:
    return [{"url": f"https://paper.example/{name}", "body": html(name)} for name in names]


def put(tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[list[ArchiveRecord], list[ArchiveFailure]]:
    found = list(read_archive(path))
    return [r for r in found if isinstance(r, ArchiveRecord)], [r for r in found if isinstance(r, ArchiveFailure)]


def names(records: list[ArchiveRecord]) -> list[str]:
    return [record.url.rpartition("/")[2] for record in records]


# WARC


@pytest.mark.parametrize("gzipped", [True, False])
def test_warc_yields_its_pages(tmp_path, gzipped):
    path = put(tmp_path, "CC-NEWS-1.warc.gz", warc(pages("a", "b"), gzipped=gzipped))
    first, second = read_archive(path)
    assert first == ArchiveRecord("https://paper.example/a", 2, html("a"), None, "text/html; charset=utf-8")
    assert isinstance(second, ArchiveRecord)
    assert (second.url, second.position, second.html) == ("https://paper.example/b", 3, html("b"))


def test_warc_gzipped_as_a_whole_reads_alike(tmp_path):
    plain = warc(pages("a", "b"), gzipped=False)
    records, failures = read(put(tmp_path, "a.warc.gz", gzip.compress(plain)))
    assert (names(records), failures) == (["a", "b"], [])


def test_what_is_no_page_passes_silently(tmp_path):
    others = [
        {"url": "https://paper.example/a", "body": b"", "kind": "request"},
        {"url": "https://paper.example/x.png", "body": b"\x89PNG", "type": "image/png"},
        {"url": "https://paper.example/gone", "body": html("gone"), "status": "404 Not Found"},
        {"url": "https://paper.example/moved", "body": html("moved"), "status": "301 Moved"},
        {"url": "https://paper.example/robots.txt", "body": b"User-agent: *", "type": "text/plain"},
        {"url": "dns:paper.example", "body": b"192.0.2.1", "kind": "resource", "type": "text/dns"},
        {"url": "https://paper.example/saved", "body": html("saved"), "kind": "resource", "type": "text/html"},
    ]
    records, failures = read(put(tmp_path, "a.warc", warc(others, gzipped=False)))
    assert (names(records), failures) == (["saved"], [])
    assert records[0].html == html("saved")


def test_transfer_and_content_coding_are_undone(tmp_path):
    squeezed = gzip.compress(html("squeezed"))
    chunked = (
        b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (html("chunked")[:30], html("chunked")[30:]))
        + b"0\r\n\r\n"
    )
    coded = [
        {"url": "https://paper.example/squeezed", "body": squeezed, "headers": [("Content-Encoding", "gzip")]},
        {"url": "https://paper.example/chunked", "body": chunked, "headers": [("Transfer-Encoding", "chunked")]},
        {"url": "https://paper.example/kept", "body": html("kept"), "headers": [("Content-Encoding", "br")]},
        {"url": "https://paper.example/odd", "body": b"\x0b\x02\x80<?", "headers": [("Content-Encoding", "zstd")]},
    ]
    records, failures = read(put(tmp_path, "a.warc.gz", warc(coded)))
    assert [record.html for record in records[:2]] == [html("squeezed"), html("chunked")]
    assert failures[-1].reason == "unreadable_coding"
    assert failures[-1].url == "https://paper.example/odd"


def test_a_bad_record_does_not_stop_the_others(tmp_path):
    plain = warc(pages("a", "b", "c"), gzipped=False)
    start = plain.index(b"https://paper.example/b")
    length_at = plain.index(b"Content-Length:", start)
    broken = plain[:length_at] + b"Content-Length: many" + plain[plain.index(b"\r\n", length_at) :]
    records, failures = read(put(tmp_path, "a.warc", broken))
    assert names(records) == ["a", "c"]
    assert [(f.reason, f.position) for f in failures] == [("bad_record", 3)]
    assert failures[0].message == "a.warc record 3 has no readable Content-Length"


def test_a_record_longer_than_it_says_is_noticed(tmp_path):
    plain = warc(pages("a", "b", "c"), gzipped=False)
    end_of_b = plain.index(b"b says more.</p></body></html>") + len(b"b says more.</p></body></html>")
    records, failures = read(put(tmp_path, "a.warc", plain[:end_of_b] + b"tail\nof junk" + plain[end_of_b:]))
    assert names(records) == ["a", "b", "c"]
    assert [f.reason for f in failures] == ["bad_record"]


def test_a_damaged_member_is_one_failure(tmp_path):
    whole = warc(pages("a", "b", "c"))
    starts = [i for i in range(len(whole)) if whole.startswith(b"\x1f\x8b\x08", i)]
    at = starts[2] + 60
    records, failures = read(put(tmp_path, "a.warc.gz", whole[:at] + b"\xff\x00\xff\x00" + whole[at + 4 :]))
    assert names(records) == ["a", "c"]
    assert [f.reason for f in failures] == ["damaged_archive"]
    assert "a.warc.gz record 3" in failures[0].message


def test_a_damaged_first_member_is_one_failure_too(tmp_path):
    whole = warc(pages("a", "b"))
    records, failures = read(put(tmp_path, "a.warc.gz", whole[:10] + b"\xff" * 20 + whole[30:]))
    assert names(records) == ["a", "b"]
    assert [f.reason for f in failures] == ["damaged_archive"]


@pytest.mark.parametrize("gzipped", [True, False])
def test_a_file_that_breaks_off_yields_what_is_whole(tmp_path, gzipped):
    whole = warc(pages("a", "b", "c"), gzipped=gzipped)
    records, failures = read(put(tmp_path, "a.warc.gz", whole[:-60]))
    assert names(records) == ["a", "b"]
    assert [f.reason for f in failures] == ["truncated_archive"]


def test_a_bomb_is_refused_by_size(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_PAGE_BYTES", 1000)
    bomb = {
        "url": "https://paper.example/bomb",
        "body": gzip.compress(b"<" * 10**6),
        "headers": [("Content-Encoding", "gzip")],
    }
    records, failures = read(put(tmp_path, "a.warc.gz", warc([bomb, *pages("a")])))
    assert (names(records), [f.reason for f in failures]) == (["a"], ["too_large"])


def test_a_record_beyond_the_cap_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_RECORD_BYTES", 2000)
    big = {"url": "https://paper.example/big", "body": b"<p>" * 2000}
    records, failures = read(put(tmp_path, "a.warc.gz", warc([big, *pages("a")])))
    assert (names(records), [f.reason for f in failures]) == (["a"], ["too_large"])


# JSONL


def lines(*rows: Any) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_jsonl_in_its_three_shapes(tmp_path, name):
    data = lines(
        {"url": "https://a.example/1", "html": "<p>Grüße</p>", "title": " One  more "},
        {
            "url": "https://a.example/2",
            "html_base64": base64.b64encode(b"<p>\xfc</p>").decode(),
            "content_type": "text/html; charset=latin-1",
        },
        b"",
        {
            "url": "https://a.example/3",
            "text": "Line.\nLine.",
            "published": "2026-03-02T10:00:00+01:00",
            "language": "DE",
            "authors": ["A", "A", 3],
        },
        {"url": "https://a.example/4", "text": "x", "published": "Mon, 02 Mar 2026 09:00:00 GMT", "authors": "B. Venn"},
        {"url": "https://a.example/5", "text": "x", "published": "one day"},
        {"url": "https://a.example/6", "text": "x", "published": 1772442000},
    )
    path = put(tmp_path, name, gzip.compress(data) if name.endswith("gz") else data)
    nine = Timestamp.from_rfc3339("2026-03-02T09:00:00Z")
    assert list(read_archive(path)) == [
        ArchiveRecord("https://a.example/1", 1, "<p>Grüße</p>".encode(), None, "text/html; charset=utf-8", "One more"),
        ArchiveRecord("https://a.example/2", 2, b"<p>\xfc</p>", None, "text/html; charset=latin-1"),
        ArchiveRecord("https://a.example/3", 4, None, "Line.\nLine.", None, None, nine, "de", ("A",)),
        ArchiveRecord("https://a.example/4", 5, None, "x", None, None, nine, None, ("B. Venn",)),
        ArchiveRecord("https://a.example/5", 6, None, "x"),
        ArchiveRecord("https://a.example/6", 7, None, "x", None, None, nine),
    ]


@pytest.mark.parametrize(
    "row, reason",
    [
        (b"{not json", "bad_json"),
        (b"\xff\xfe\x00", "bad_json"),
        (b"[1]", "bad_json"),
        (b'{"a":' * 100_000, "bad_json"),
        ({"html": "<p>x"}, "missing_url"),
        ({"url": "ftp://a.example/", "html": "<p>x"}, "missing_url"),
        ({"url": 3, "html": "<p>x"}, "missing_url"),
        ({"url": "https://a.example/1"}, "missing_content"),
        ({"url": "https://a.example/1", "html": 3}, "missing_content"),
        ({"url": "https://a.example/1", "html_base64": "%%%"}, "bad_base64"),
    ],
)
def test_a_bad_line_names_itself_and_stops_nothing(tmp_path, row, reason):
    good = {"url": "https://a.example/ok", "text": "x"}
    records, failures = read(put(tmp_path, "a.jsonl", lines(good, row, good)))
    assert [record.position for record in records] == [1, 3]
    assert [(f.reason, f.position) for f in failures] == [(reason, 2)]
    assert "a.jsonl line 2" in failures[0].message


def test_a_line_beyond_the_cap_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_RECORD_BYTES", 100)
    good = {"url": "https://a.example/ok", "text": "x"}
    records, failures = read(
        put(tmp_path, "a.jsonl", lines(good, {"url": "https://a.example/", "text": "x" * 500}, good))
    )
    assert [record.position for record in records] == [1, 3]
    assert [f.reason for f in failures] == ["too_large"]


def test_jsonl_that_breaks_off(tmp_path):
    data = gzip.compress(lines(*({"url": f"https://a.example/{i}", "text": f"{i * 7919}"} for i in range(3000))))
    records, failures = read(put(tmp_path, "a.jsonl.gz", data[: len(data) // 2]))
    assert 500 < len(records) < 3000
    assert [f.reason for f in failures] == ["truncated_archive"]


# Files


def test_what_is_no_archive(tmp_path):
    for data, message in ((b"a,b\n", "is no archive"), (b"\x28\xb5\x2f\xfd\x00", "zstd")):
        with pytest.raises(UsageError, match=message):
            list(read_archive(put(tmp_path, "x", data)))
    with pytest.raises(UsageError, match="there is no archive"):
        list(read_archive(tmp_path / "missing.warc"))
    with pytest.raises(UsageError, match="cannot be read"):
        archive_id(tmp_path)
    assert [type(r) for r in read_archive(put(tmp_path, "empty", b""))] == [ArchiveFailure]


def test_an_archive_is_the_same_in_another_folder(tmp_path):
    data = warc(pages("a"))
    (tmp_path / "other").mkdir()
    here, there = put(tmp_path, "a.warc.gz", data), put(tmp_path / "other", "a.warc.gz", data)
    assert archive_id(here) == archive_id(there)
    assert archive_id(here) != archive_id(put(tmp_path, "b.warc.gz", data))
    assert archive_id(here) != archive_id(put(tmp_path / "other", "a.warc.gz", warc(pages("b"))))


# Pages and stretches


def test_page_identity_is_the_address_and_its_hash_the_content():
    def page(position: int, body: bytes, title: Optional[str] = None) -> Any:
        return page_of(
            ArchiveRecord("https://a.example/1", position, body, title=title), feed_id="f", first_seen_at=NOW
        )

    one = page(1, b"<p>x")
    assert (one.entry_id, one.entry_hash) == (page(9, b"<p>x").entry_id, page(9, b"<p>x").entry_hash)
    assert one.entry_id == page(1, b"<p>y").entry_id
    assert len({one.entry_hash, page(1, b"<p>y").entry_hash, page(1, b"<p>x", "T").entry_hash}) == 3
    assert (one.origin, one.html, one.first_seen_at) == ("archive", b"<p>x", NOW)


def test_waves_cut_by_count_and_hold_failures_and_repeats(tmp_path):
    rows: list[Any] = [{"url": f"https://a.example/{i}", "text": f"text {i}"} for i in range(5)]
    rows[1:1] = [b"{", rows[0]]
    found = list(waves(put(tmp_path, "a.jsonl", lines(*rows)), pages_per_wave=3, now=NOW))
    assert [(w.number, w.first_record, len(w.pages), len(w.failures), w.repeated) for w in found] == [
        (0, 1, 2, 1, 1),
        (1, 5, 3, 0, 0),
    ]
    (failure,) = found[0].failures
    assert (failure.stage, failure.reason, failure.permanent, failure.url) == ("poll", "bad_json", True, "a.jsonl")
    assert failure.feed_id == found[0].pages[0].feed_id == archive_id(tmp_path / "a.jsonl")


def test_waves_cut_by_bytes(tmp_path):
    rows = [{"url": f"https://a.example/{i}", "text": "x" * 600} for i in range(4)]
    found = list(waves(put(tmp_path, "a.jsonl", lines(*rows)), bytes_per_wave=1000, now=NOW))
    assert [len(w.pages) for w in found] == [2, 2]
    with pytest.raises(ValueError, match="pages_per_wave is 0"):
        next(waves(tmp_path / "a.jsonl", pages_per_wave=0))


def test_reading_again_gives_the_same_entries(tmp_path):
    path = put(tmp_path, "a.warc.gz", warc(pages("a", "b", "c")))
    runs = [[(p.entry_id, p.entry_hash) for w in waves(path, pages_per_wave=n) for p in w.pages] for n in (1, 2, 50)]
    assert runs[0] == runs[1] == runs[2]
    assert len(set(runs[0])) == 3


# Streams


@given(
    parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
)
def test_any_gzip_of_members_reads_as_its_parts(tmp_path_factory, parts, sizes):
    path = put(tmp_path_factory.mktemp("gz"), "x.gz", b"".join(map(gzip.compress, parts)))
    stream, got, turn = Inflated(path), b"", 0
    while data := stream.read(sizes[turn % len(sizes)]):
        got, turn = got + data, turn + 1
    assert (got, stream.truncated) == (b"".join(parts), False)


@settings(deadline=None)
@given(at=st.integers(0, 2000), junk=st.binary(min_size=1, max_size=6), gzipped=st.booleans())
def test_damage_anywhere_raises_nothing_else(tmp_path_factory, at, junk, gzipped):
    whole = warc(pages("a", "b", "c"), gzipped=gzipped)
    at %= len(whole)
    path = put(tmp_path_factory.mktemp("w"), "x.warc", whole[:at] + junk + whole[at + len(junk) :])
    if at < 64:
        return  # a damaged start makes it no archive
    records, failures = read(path)
    assert len(records) >= 2 or failures


def test_damage_is_raised_once_and_reading_goes_on(tmp_path):
    middle = bytearray(gzip.compress(bytes(range(256)) * 40))
    middle[20:40] = b"\xff" * 20
    stream = Inflated(put(tmp_path, "x.gz", gzip.compress(b"one") + bytes(middle) + gzip.compress(b"three")))
    assert stream.read(100) == b"one"
    with pytest.raises(DamageError):
        list(iter(lambda: stream.read(100), b""))
    assert stream.read(100) == b"three"
    assert stream.read(100) == b""
