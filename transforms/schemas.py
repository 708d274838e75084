"""The lake's tables: explicit Arrow schemas, a description for each column, one version number.

Decisions:
    Ids are 16 hex digits (64 bits): readable in any tool, eight bytes in memory, and at 30 million articles the chance
    of one collision is about 2 in 100,000. The schema only grows: a column is added with a new `SCHEMA_VERSION` and
    read as null from older files; none is renamed, retyped or removed.

docs/schema.md is generated from this file (`make docs`) and compared in CI.
"""

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 2

_TIME = pa.timestamp("us", tz="UTC")


def _column(name: str, kind: pa.DataType, description: str, *, required: bool = False) -> pa.Field:
    # Delta and Spark show the key "comment"; "description" is what Arrow readers look for.
    return pa.field(name, kind, nullable=not required, metadata={"comment": description, "description": description})


@dataclass(frozen=True)
class TableSchema:
    """One table of the lake: its Arrow schema (partition column last), its key and what it holds."""

    name: str
    key: tuple[str, ...]
    description: str
    schema: pa.Schema

    @property
    def file_schema(self) -> pa.Schema:
        """The schema of a data file: everything but the partition column, which the folder's name holds."""
        return self.schema.remove(self.schema.get_field_index("date"))


_TOPIC = pa.struct(
    [("code", pa.string()), ("label", pa.string()), ("score", pa.float32()), ("evidence", pa.list_(pa.string()))]
)
_REMOVAL = pa.struct(
    [
        ("rule", pa.string()),
        ("kind", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("text", pa.string()),
    ]
)
_DATE = _column("date", pa.date32(), "UTC day of the commit; the partition. Publication time is `published_at`.")

ARTICLES = TableSchema(
    name="articles",
    key=("article_id", "revision"),
    description="One row a revision of an article: the clean story, what was removed, copies, topics, provenance.",
    schema=pa.schema(
        [
            _column("article_id", pa.string(), "Hash of the article's normalised address.", required=True),
            _column(
                "revision", pa.int32(), "1 for the first text seen, then one more for each new text.", required=True
            ),
            _column("url", pa.string(), "Address of the page after redirects, secrets masked."),
            _column("canonical_url", pa.string(), "What the page names as its canonical address, believed or not."),
            _column("site", pa.string(), "Registrable domain of the page (host and port where it has none)."),
            _column("site_name", pa.string(), "The site's name as the page gives it."),
            _column("title", pa.string(), "Headline, without the site's name and the wire's marks."),
            _column("published_title", pa.string(), "The headline as it came, where `title` differs; else null."),
            _column("text", pa.string(), "The story: one paragraph a line, syndication cruft removed."),
            _column("language", pa.string(), "Primary language subtag (en, de); null where it is not known."),
            _column("authors", pa.list_(pa.string()), "Authors named by the page, else by the feed."),
            _column("published_at", _TIME, "When the publisher says it was published; null where it does not say."),
            _column("updated_at", _TIME, "When the publisher says it was last changed."),
            _column("first_seen_at", _TIME, "When the poll that brought this revision saw the entry.", required=True),
            _column("committed_at", _TIME, "When the row was decided on and written.", required=True),
            _column("summary", pa.string(), "The feed's own summary, as plain text, without cruft."),
            _column("published_summary", pa.string(), "The summary as it came, where `summary` differs; else null."),
            _column("section", pa.string(), "The publisher's section, where the page names one."),
            _column("keywords", pa.list_(pa.string()), "The publisher's keywords, where the page names them."),
            _column(
                "feed_tags",
                pa.list_(pa.string()),
                "Categories of the feed's entry, then the tags of the feed in its list.",
            ),
            _column("is_paywalled", pa.bool_(), "The page says that it shows only part of the story."),
            _column("origin", pa.string(), "Where the text came from: page, feed (the feed's own text) or archive."),
            _column("words", pa.int32(), "Words of `text` (characters for Chinese, Japanese and Korean)."),
            _column(
                "removed",
                pa.list_(_REMOVAL),
                "What was removed: rule, kind, offsets (code points) in the extracted text, and the text itself; "
                "kept and removed together are the extracted text.",
            ),
            _column(
                "topics", pa.list_(_TOPIC), "IPTC Media Topics with a score in 0..1 and the words that speak for them."
            ),
            _column(
                "duplicate_of", pa.string(), "article_id of the first article with this text; null: it is no copy."
            ),
            _column("similarity", pa.float32(), "Likeness to `duplicate_of`, 0..1."),
            _column("copy_kind", pa.string(), "exact, near or contained; null: it is no copy."),
            _column("syndicated_from", pa.string(), "The wire or distributor the text names as its source."),
            _column("story_id", pa.string(), "The event: article_id of the story's first article."),
            _column("disposition", pa.string(), "article_new or article_revision."),
            _column("text_hash", pa.string(), "Hash of the text with case, punctuation and white space folded."),
            _column(
                "signature",
                pa.binary(),
                "MinHash, 16-bit values, little-endian: 128 of the text's shingles, then 64 of its names and figures.",
            ),
            _column("bands", pa.list_(pa.int64()), "LSH band hashes of the signature."),
            _column(
                "terms",
                pa.list_(pa.int64()),
                "Hashed key terms, most telling first; lowest bit: a name or figure.",
            ),
            _column("fingerprint_version", pa.int32(), "Signatures, bands and terms of two versions do not compare."),
            _column(
                "rules_version",
                pa.string(),
                "What `text` was cleaned with: the version of the rules, that of the site's learned lines after a +, "
                "kinds that were kept after a -. A file none of whose rows newer rules change keeps its older one.",
            ),
            _column("page_id", pa.string(), "Hash of the page's own normalised address, whatever its canonical says."),
            _column("entry_id", pa.string(), "The feed's entry (or archive's record) it came from.", required=True),
            _column("entry_hash", pa.string(), "Hash of the entry's content when it was fetched."),
            _column("feed_id", pa.string(), "The feed it came from; see polls."),
            _column("attempt", pa.int32(), "How many times this entry had been tried, this time included."),
            _column("run_id", pa.string(), "The run that wrote the row."),
            _column("newsbeam_version", pa.string(), "Version of newsbeam that wrote the row."),
            _DATE,
        ]
    ),
)

DEAD_LETTERS = TableSchema(
    name="dead_letters",
    key=("entry_id", "stage", "attempt"),
    description="Entries that became no row: failures, and entries whose text the lake already held.",
    schema=pa.schema(
        [
            _column("entry_id", pa.string(), "The feed's entry (or archive's record).", required=True),
            _column("entry_hash", pa.string(), "Hash of the entry's content when it was tried."),
            _column("feed_id", pa.string(), "The feed it came from; see polls."),
            _column("url", pa.string(), "Its address, secrets masked."),
            _column(
                "stage",
                pa.string(),
                "Where it ended: poll (reading the feed or archive), fetch, extract, strip, fingerprint, tag, commit.",
            ),
            _column(
                "disposition",
                pa.string(),
                "dead_lettered: it failed. unchanged: the article's text was known. repeated_in_batch: "
                "another entry brought the same text in the same commit.",
            ),
            _column("reason", pa.string(), "A slug: http_404, no_article, extraction_timeout, bug, ..."),
            _column("message", pa.string(), "One line for a person."),
            _column("permanent", pa.bool_(), "False: it is tried again when the feed is polled after `retry_at`."),
            _column("retry_at", _TIME, "When a transient failure is tried again."),
            _column(
                "attempt", pa.int32(), "How many times this entry had been tried, this time included.", required=True
            ),
            _column("article_id", pa.string(), "The article it turned out to be (unchanged, repeated_in_batch)."),
            _column("replay", pa.string(), "JSON with what a second try needs."),
            _column("failed_at", _TIME, "When it failed."),
            _column("committed_at", _TIME, "When the row was written.", required=True),
            _column("run_id", pa.string(), "The run that wrote the row."),
            _DATE,
        ]
    ),
)

POLLS = TableSchema(
    name="polls",
    key=("feed_id", "polled_at"),
    description="One row a poll of a feed (or stretch of an archive), with its books; the newest row is its state.",
    schema=pa.schema(
        [
            _column("feed_id", pa.string(), "Hash of the feed's full address.", required=True),
            _column("polled_at", _TIME, "When the poll began.", required=True),
            _column("url", pa.string(), "The feed's address, secrets masked."),
            _column("feed_title", pa.string(), "The feed's own title."),
            _column("status", pa.string(), "ok, not_modified (304), unchanged (200, same content) or failed."),
            _column("state", pa.string(), "ok, backing_off, moved or gone."),
            _column("http_status", pa.int32(), "The last HTTP status; null where there was no answer."),
            _column("reason", pa.string(), "Slug of the failure."),
            _column("message", pa.string(), "The failure in one line."),
            _column("format", pa.string(), "rss, rdf, atom, json; warc or jsonl for an archive."),
            _column("etag", pa.string(), "Validator for the next poll."),
            _column("last_modified", pa.string(), "Validator for the next poll."),
            _column(
                "content_hash",
                pa.string(),
                "Hash of the body, to see a change that the validators deny; null after a part (226).",
            ),
            _column(
                "unmodified_since",
                _TIME,
                "When the first 304 came, where nothing else has come since; null: the last answer was another. After "
                "about a week the feed is asked in full.",
            ),
            _column("duration_ms", pa.int32(), "From the request to the last byte."),
            _column("bytes_received", pa.int64(), "Bytes on the wire."),
            _column("entries", pa.int32(), "Entries of the feed. The books: entries = known + new."),
            _column("known", pa.int32(), "Entries that the lake already had (or that wait for their retry time)."),
            _column("new", pa.int32(), "Entries that this poll set out to get."),
            _column("new_entry_ids", pa.list_(pa.string()), "Their ids; each is in articles or dead_letters."),
            _column("failures_in_a_row", pa.int32(), "Failed polls since the last good one."),
            _column("next_due_at", _TIME, "When a scheduler should poll again."),
            _column("moved_to", pa.string(), "Where a permanent redirect points, secrets masked."),
            _column("warnings", pa.list_(pa.string()), "Slugs of what had to be forgiven in the feed."),
            _column("run_id", pa.string(), "The run that wrote the row."),
            _column("committed_at", _TIME, "When the row was written.", required=True),
            _DATE,
        ]
    ),
)

SITE_LINES = TableSchema(
    name="site_lines",
    key=("site", "line_hash", "model_version"),
    description="Lines that a site repeats under many of its stories, as `newsbeam learn` last counted them; "
    "strip_cruft removes them. Only the newest version is here: what an older one removed stands with its text in "
    "`articles.removed`.",
    schema=pa.schema(
        [
            _column("site", pa.string(), "Registrable domain, as in articles.", required=True),
            _column("line_hash", pa.string(), "Hash of the line's words, folded.", required=True),
            _column(
                "model_version",
                pa.string(),
                "Hash of the limits of learning and of all lines that were learned; "
                "the rule `site_lines.<version>` of a removal names it.",
                required=True,
            ),
            _column("line", pa.string(), "The line as it stood in the first of these articles, shortened."),
            _column("articles", pa.int32(), "Distinct articles of the site in which it stood (copies count once)."),
            _column("busiest_day_articles", pa.int32(), "Those of the day that had most of them."),
            _column("days", pa.int32(), "Distinct UTC days on which these were seen."),
            _column(
                "article_share",
                pa.float32(),
                "Share of the site's articles between its first and last day that have it, without its busiest day.",
            ),
            _column("tail_share", pa.float32(), "Share of its articles in which nothing of the story follows it."),
            _column("neighbour_share", pa.float32(), "Share of its articles in which the same line stands beside it."),
            _column("first_day", pa.date32(), "UTC day on which the first of its articles was seen."),
            _column("last_day", pa.date32(), "UTC day on which the last of its articles was seen."),
            _column("committed_at", _TIME, "When this version was learned.", required=True),
            _DATE,
        ]
    ),
)

TABLES = (ARTICLES, DEAD_LETTERS, POLLS)  # those a commit writes, which every lake has
ALL_TABLES = (*TABLES, SITE_LINES)
