"""The articles table as analysts read it: DuckDB, Polars, pandas, each by the way docs/reading.md gives."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import deltalake
import duckdb
import pandas
import polars
import pyarrow.dataset as ds
import pyarrow.fs
import pytest

from tests.conftest import NOON
from transforms.commit import Batch, commit
from transforms.lake import Lake, arrow_dataset
from transforms.records import Draft, Removal, Topic

TEXT = "The council of Harrow Bay voted on Monday to rebuild the old pier.\nWork begins in the spring, the mayor said."


@pytest.fixture
def articles(lake: Lake, draft: Callable[..., Draft]) -> Path:
    """A table of three articles in two commits, with nested columns filled."""
    topics = [Topic("11000000", "politics and government", 0.5, ["council"])]
    removed = [Removal("wire_opener", "opener", 0, 9, "(MENAFN) ")]
    first = draft("a", TEXT, topics=topics, removed=removed, published_at=NOON)
    commit(lake, Batch(drafts=[first, draft("b", TEXT, site="two.example", entry_id="b")]), now=NOON)
    commit(lake, Batch(drafts=[draft("c", "Another matter altogether, told in its own few words.")]))
    return lake.root / "articles"


def test_duckdb_over_the_arrow_dataset(articles: Path) -> None:
    data = arrow_dataset(str(articles.parent), "articles")
    query = "select site, count(*) as n, count(duplicate_of) as copies from data group by site order by site"
    assert duckdb.sql(query).fetchall() == [("one.example", 2, 0), ("two.example", 1, 1)]
    topics = duckdb.sql("select t.label from data, unnest(topics) as u(t)").fetchall()
    assert topics == [("politics and government",)]
    assert data.schema.field("story_id").metadata[b"description"]


def test_polars_reads_the_table(articles: Path) -> None:
    frame = polars.from_arrow(arrow_dataset(str(articles.parent), "articles").to_table())
    assert isinstance(frame, polars.DataFrame)
    row = frame.filter(polars.col("article_id") == "a").row(0, named=True)
    assert row["text"] == TEXT
    assert row["published_at"] == datetime.fromtimestamp(int(NOON.micros) / 1e6, UTC)
    assert row["removed"][0]["rule"] == "wire_opener"
    assert row["date"] == datetime.fromtimestamp(int(NOON.micros) / 1e6, UTC).date()
    assert polars.scan_delta(str(articles)).select("article_id").collect().height == 3


def test_pandas_reads_the_table(articles: Path) -> None:
    frame = arrow_dataset(str(articles.parent), "articles").to_table(columns=["article_id", "duplicate_of"]).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert sorted(frame["article_id"]) == ["a", "b", "c"]
    assert frame.set_index("article_id").loc["b", "duplicate_of"] == "a"


def test_the_delta_library_itself_reads_the_table(articles: Path) -> None:
    table = deltalake.DeltaTable(str(articles))
    rows = deltalake.QueryBuilder().register("articles", table).execute("select count(*) as n from articles").read_all()
    assert rows["n"].to_pylist() == [3]


def test_plain_parquet_files_hold_the_columns(articles: Path) -> None:
    """Between compaction and vacuum a glob counts twice, as docs/reading.md says; a fresh lake has no such files."""
    data = ds.dataset(
        str(articles),
        format="parquet",
        partitioning="hive",
        exclude_invalid_files=True,
        filesystem=pyarrow.fs.LocalFileSystem(),
    )
    assert data.count_rows() == 3
