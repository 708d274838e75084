"""How many real article pages the signs of walls reject, on the open data: none may be; and what looking for them costs.

That look is taken on the event loop, where all requests wait for it: it must cost no more than parsing the page does.
"""

import gzip
import json
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import lxml.html
import pytest
from apache_beam.utils.timestamp import Timestamp

from transforms.errors import IngestError
from transforms.http import Response
from transforms.page_reservations import DEFAULT_SIGNALS
from transforms.read_page import PageAnswer, address_to_follow, read_page

pytestmark = pytest.mark.eval

NOON = Timestamp(1_770_000_000)


def open_pages(shared: Path) -> Iterator[tuple[str, bytes]]:
    folder = shared / "data" / "pages"
    for line in (folder / "pages.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        yield row["url"], gzip.decompress((folder / row["html"]).read_bytes())


def snippet_pages(shared: Path) -> Iterator[tuple[str, bytes]]:
    """Pages as saved, with the text that a reader wants of each: shops, blogs and government offices among them."""
    folder = shared / "data" / "snippets"
    with zipfile.ZipFile(folder / "pages.zip") as archive:
        files = {name.rpartition("/")[2]: name for name in archive.namelist()}
        for line in (folder / "snippets.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["file"] in files:
                yield row["url"], archive.read(files[row["file"]])


@pytest.mark.parametrize(("pages", "at_least", "most_of_parsing"), [(open_pages, 258, 0.6), (snippet_pages, 900, 1.1)])
def test_no_article_is_taken_for_a_wall_or_a_stub(
    shared: Path, pages: object, at_least: int, most_of_parsing: float
) -> None:
    assert callable(pages)
    rejected: list[tuple[str, str]] = []
    reserved: Counter[str] = Counter()
    count, spent, parsing = 0, 0.0, 0.0
    for url, html in pages(shared):
        answer = Response(url, 200, {"Content-Type": "text/html"}, html)
        began = time.process_time()
        try:
            page = read_page(answer, NOON, asked=url)
        except IngestError as error:
            rejected.append((error.reason, url))
        else:
            to = address_to_follow(PageAnswer(page.url, page.body, page.content_type))
            if to is not None:
                rejected.append((f"followed to {to}", url))
        spent += time.process_time() - began
        began = time.process_time()
        lxml.html.document_fromstring(html)
        parsing += time.process_time() - began
        count += 1
        try:
            read_page(answer, NOON, asked=url, honour=DEFAULT_SIGNALS, product="newsbeam")
        except IngestError as error:
            reserved[error.reason] += 1
    print(
        f"read_page: {count} pages, {len(rejected)} rejected, {reserved['reserved']} reserved, {spent / count * 1e3:.2f} ms each, "
        f"{spent / parsing:.2f} of parsing it"
    )
    assert count >= at_least
    assert rejected == []
    assert spent <= most_of_parsing * parsing
