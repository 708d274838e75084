"""Fixtures shared by all tests.

* samples: drafts, polls and failures with sensible defaults
* folders: `lake`, an open and empty lake in a temporary folder
* shared: the open data beside the project, for `eval` and `bench`
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from apache_beam.utils.timestamp import Timestamp

from transforms.fingerprint import fingerprint
from transforms.lake import Lake, open_lake
from transforms.records import Draft, Poll

ROOT = Path(__file__).resolve().parent.parent
NOON = Timestamp(1_770_000_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bench-sample", action="store_true", help="run the benchmarks on a sample (make bench-quick)")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return open_lake(str(tmp_path / "lake"))


@pytest.fixture
def draft() -> Callable[..., Draft]:
    """A function that makes a draft; every field can be given, the rest follow from `article_id` and `text`."""

    def make(article_id: str, text: str, **fields: object) -> Draft:
        values: dict[str, object] = {
            "title": f"About {article_id}",
            "language": "en",
            "site": "one.example",
            "fingerprint": fingerprint(text),
            "entry_id": f"entry of {article_id}",
            "entry_hash": "1",
            "feed_id": "feed",
            "first_seen_at": NOON,
        }
        return Draft(article_id=article_id, text=text, **{**values, **fields})  # type: ignore[arg-type]

    return make


@pytest.fixture
def poll() -> Callable[..., Poll]:
    """A function that makes a finished poll of `feed` with these (entry_id, entry_hash) as its new entries."""

    def make(*new: tuple[str, str], known: int = 0, **fields: object) -> Poll:
        values: dict[str, object] = {
            "feed_id": "feed",
            "url": "https://one.example/feed",
            "polled_at": NOON,
            "status": "ok",
            "etag": '"1"',
            "entries": known + len(new),
            "known": known,
            "new": len(new),
            "new_entry_ids": [entry for entry, _ in new],
            "new_entry_hashes": [entry_hash for _, entry_hash in new],
        }
        return Poll(**{**values, **fields})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the open data; a test that needs it is skipped where it is missing, but fails in CI."""
    folder = Path(os.environ.get("NEWSBEAM_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        message = f"the open data is not at {folder}; set NEWSBEAM_SHARED to where it is"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
