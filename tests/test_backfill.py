"""backfill: archives through the whole graph, in stretches, once."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipelines import backfill as backfill_module
from pipelines.backfill import backfill
from pipelines.options import Config
from transforms.check_books import check_books
from transforms.errors import UsageError
from transforms.lake import Lake, open_lake
from transforms.schemas import ARTICLES, DEAD_LETTERS, POLLS

TOWNS = ["Lund", "Harrow Bay", "Skerry Point", "Velm", "Ostra", "Merrin", "Talheim"]


def story(number: int) -> str:
    town = TOWNS[number % len(TOWNS)]
    words = [
        f"The council of {town} decided on Monday to close bridge {number} to lorries, since its piers are cracked.",
        f"Engineers had measured the cracks in {town} for {number + 2} months and found that they grow by the week.",
        f"A ferry will take lorries across until bridge {number} is repaired; the town pays {number * 3} crowns a trip.",
        f"Carriers in {town} asked for a date. There is none, said the mayor, before the {number}th report is in.",
    ]
    return "\n".join(words)


def page(number: int) -> str:
    paragraphs = "".join(f"<p>{line}</p>" for line in story(number).split("\n"))
    return f'<html lang="en"><head><title>Bridge {number} closes</title></head><body><article>{paragraphs}</article></body></html>'


def archive(path: Path, lines: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def pages(count: int) -> list[object]:
    return [{"url": f"https://bay.example/2026/bridge-{n}-closes", "html": page(n)} for n in range(1, count + 1)]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(lake=str(tmp_path / "lake"), pages_per_wave=3, workers=1, strict=True)


def texts(lake: Lake) -> dict[str, str]:
    return {row["url"]: row["text"] for row in lake.read(ARTICLES, ["url", "text"]).to_pylist()}


def test_an_archive_is_read_in_stretches_and_only_once(config: Config, tmp_path: Path) -> None:
    file = archive(tmp_path / "pages.jsonl", pages(7))
    lines: list[str] = []
    backfill(config, [file], run_id="one", progress=lines.append)
    lake = open_lake(config.lake)
    assert texts(lake) == {f"https://bay.example/2026/bridge-{n}-closes": story(n) for n in range(1, 8)}
    assert lines == [
        "pages.jsonl: stretch 2, 3 entries from record 4",
        "pages.jsonl: stretch 3, 1 entries from record 7",
    ]
    backfill(config, [file], run_id="two")
    polls = lake.read(POLLS, ["run_id", "entries", "known", "new", "format", "url"]).to_pylist()
    assert sorted(tuple(p.values()) for p in polls) == [
        ("one", 1, 0, 1, "jsonl", "pages.jsonl"),
        ("one", 3, 0, 3, "jsonl", "pages.jsonl"),
        ("one", 3, 0, 3, "jsonl", "pages.jsonl"),
        ("two", 1, 1, 0, "jsonl", "pages.jsonl"),
        ("two", 3, 3, 0, "jsonl", "pages.jsonl"),
        ("two", 3, 3, 0, "jsonl", "pages.jsonl"),
    ]
    assert check_books(lake) == []


def test_a_run_that_died_goes_on_where_it_was(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = archive(tmp_path / "pages.jsonl", pages(7))
    real = backfill_module.build
    numbers: list[int] = []

    def die_in_the_second(pipeline: object, path: Path, number: int, *rest: object) -> None:
        numbers.append(number)
        if number == 1:
            raise KeyboardInterrupt
        real(pipeline, path, number, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(backfill_module, "build", die_in_the_second)
        backfill(config, [file], run_id="one")
    assert open_lake(config.lake).count_articles() == 3
    backfill(config, [file], run_id="two")
    assert open_lake(config.lake).count_articles() == 7


def test_an_engine_that_reads_elsewhere_finds_the_stretch_by_its_number(config: Config, tmp_path: Path) -> None:
    file = archive(tmp_path / "pages.jsonl", pages(5))
    open_lake(config.lake)
    read = backfill_module._ReadStretch(config.lake, 3)
    found = [item.url for item in read.process((str(file), 1)) if hasattr(item, "html")]
    assert found == ["https://bay.example/2026/bridge-4-closes", "https://bay.example/2026/bridge-5-closes"]


def test_texts_are_taken_as_they_are_and_bad_lines_are_dead_letters(config: Config, tmp_path: Path) -> None:
    record = {
        "url": "https://bay.example/2026/notes",
        "text": story(3) + "\n\nSubscribe to our newsletter to get the latest posts sent to your email.",
        "title": "Bridge notes",
        "published": "2026-03-04T05:06:07Z",
    }
    file = tmp_path / "mixed.jsonl"
    file.write_text(json.dumps(record) + "\n{broken\n" + json.dumps({"html": "<p>no url</p>"}) + "\n", "utf-8")
    backfill(replace(config, pages_per_wave=10), [file], run_id="one")
    lake = open_lake(config.lake)
    (row,) = lake.read(ARTICLES, ["title", "text", "published_at", "origin", "language"]).to_pylist()
    assert (row["title"], row["text"], row["origin"], row["language"]) == ("Bridge notes", story(3), "archive", "en")
    assert row["published_at"].isoformat() == "2026-03-04T05:06:07+00:00"
    letters = {row["reason"]: row["message"] for row in lake.read(DEAD_LETTERS, ["reason", "message"]).to_pylist()}
    assert set(letters) == {"bad_json", "missing_url"}
    assert letters["bad_json"].startswith("mixed.jsonl line 2 ")


@pytest.mark.parametrize("content, words", [(b"", "is empty"), (b"PK\x03\x04 zip", "is no archive")])
def test_what_is_no_archive_is_refused(config: Config, tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "x.warc"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        backfill(config, [file], run_id="one")
    with pytest.raises(UsageError, match="there is no archive"):
        backfill(config, [tmp_path / "none.warc"], run_id="one")


def test_a_warc_as_common_crawl_has_it(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "CC-NEWS-20260304000000-00001.warc.gz"
    with file.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for number in (1, 2):
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1")
            url = f"https://bay.example/2026/bridge-{number}-closes"
            body = io.BytesIO(page(number).encode())
            writer.write_record(writer.create_warc_record(url, "response", payload=body, http_headers=headers))
    backfill(config, [file], run_id="one")
    lake = open_lake(config.lake)
    assert texts(lake) == {f"https://bay.example/2026/bridge-{n}-closes": story(n) for n in (1, 2)}
    (poll,) = lake.read(POLLS, ["format", "entries"]).to_pylist()
    assert poll == {"format": "warc", "entries": 2}
