"""What the commit has decided as rows of the tables: plain values, without a lake. A room of commit.

Decisions:
    A row holds the columns of its table and no others, so what a record has beside them goes no further than here.

    Addresses are masked here at the latest: an article's by the names of its parameters only, so that it stays usable.
"""

import functools
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from apache_beam.utils.timestamp import Timestamp

from transforms.article_url import article_id_of, article_url
from transforms.errors import mask_url
from transforms.fingerprint import FINGERPRINT_VERSION
from transforms.records import CopyAssignment, Draft, Fingerprint, Row, StoryAssignment, field_names
from transforms.schemas import ARTICLES, TableSchema


def article_row(
    draft: Draft,
    revision: int,
    copy: CopyAssignment,
    story: StoryAssignment,
    *,
    run_id: str,
    committed_at: Timestamp,
) -> dict[str, Any]:
    """Return the row of an article as it was decided on."""
    held = fingerprint_of(draft)
    values = values_of(draft)
    values.update(
        revision=revision,
        url=mask_url(draft.url, by_name_only=True),
        canonical_url=mask_url(draft.canonical_url, by_name_only=True) if draft.canonical_url else None,
        removed=[values_of(removal) for removal in draft.removed],
        topics=[values_of(topic) for topic in draft.topics],
        words=held.tokens,
        text_hash=held.text_hash,
        signature=held.signature,
        bands=held.bands,
        terms=held.terms,
        fingerprint_version=FINGERPRINT_VERSION,
        duplicate_of=copy.duplicate_of,
        similarity=copy.similarity,
        copy_kind=copy.copy_kind,
        story_id=story.story_id,
        disposition="article_new" if revision == 1 else "article_revision",
        page_id=page_id_of(draft),
    )
    return row_of(ARTICLES, values, run_id, committed_at)


def same_text_row(draft: Draft, disposition: str) -> dict[str, Any]:
    """Return the values of a dead letter that says where the text of `draft` stands already."""
    where = "an earlier revision" if disposition == "unchanged" else "another entry of the same commit"
    return {
        "entry_id": draft.entry_id,
        "entry_hash": draft.entry_hash,
        "feed_id": draft.feed_id,
        "url": mask_url(draft.url, by_name_only=True),
        "stage": "commit",
        "disposition": disposition,
        "reason": disposition,
        "message": f"the text of article {draft.article_id} is that of {where}",
        "permanent": True,
        "attempt": draft.attempt,
        "article_id": draft.article_id,
        "failed_at": draft.first_seen_at,
    }


def values_of(record: Row) -> dict[str, Any]:
    """Return the fields of a record by name, as they are."""
    return {name: getattr(record, name) for name in field_names(type(record))}


def row_of(table: TableSchema, values: Mapping[str, Any], run_id: str, committed_at: Timestamp) -> dict[str, Any]:
    """Return the row of `table` that `values` make: its columns only, times as integers (microseconds)."""
    common = {"run_id": run_id, "committed_at": committed_at, "newsbeam_version": _version()}
    out = {}
    for name in table.file_schema.names:
        value = common.get(name, values.get(name))
        out[name] = value.micros if isinstance(value, Timestamp) else list(value) if isinstance(value, tuple) else value
    return out


@functools.cache
def _version() -> str:
    return importlib.metadata.version("newsbeam")


def page_id_of(draft: Draft) -> str:
    """Return the id that the page's own address gives, whatever canonical address it names."""
    return article_id_of(article_url(draft.url, None)) if draft.url else draft.article_id


def fingerprint_of(draft: Draft) -> Fingerprint:
    """Return the fingerprint of `draft`; ValueError where it has none, which is a defect of the graph."""
    if draft.fingerprint is None:
        raise ValueError(f"draft {draft.article_id} has no fingerprint; run FingerprintArticles before the commit")
    return draft.fingerprint
