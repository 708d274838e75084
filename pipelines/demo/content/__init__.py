"""The texts of the sample newsroom, and the small reader of the files that hold them.

Every text was written for this project; people, places, companies and agencies are invented; only the
opener of one distributor has the form that a real one uses. One Markdown file a site, so that a person can read and
edit the stories as stories. Agency texts that several sites carry live once, in wire.md.

A file is a list of articles::

    # The headline
    slug: a-name-for-the-address
    section: Harbour
    author: Mara Lindqvist
    age: 5.5                  hours before the start of the newsroom
    feeds: news business      names of the site's feeds that list it; the first feed without this line

    One paragraph a line, blank lines between.

    ## A subheading is a paragraph of the story like any other

Further keys: `tags`, `event` (articles about the same event share it), `copies` and `copy_kind` (a group of copies and
what they are: wire, rewrite), `wire` (the body stands in wire.md under that slug), `opener` and `credit` (what the site
puts before and after a wire text; `{date}` is the day of publication), `special` (repeated_body, undecodable).

Decisions: Markdown, not TOML or JSON, because paragraphs then need no quoting and diffs read as prose.
Limits: no inline markup; a paragraph is one line.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

FOLDER = Path(__file__).parent

_KEYS = frozenset(
    {
        "slug",
        "section",
        "author",
        "age",
        "feeds",
        "tags",
        "event",
        "copies",
        "copy_kind",
        "wire",
        "opener",
        "credit",
        "special",
    }
)


@dataclass(frozen=True)
class Story:
    """One article as written. `paragraphs` hold subheadings too; `age_hours` counts back from the newsroom's start."""

    title: str
    slug: str
    section: str
    author: str
    age_hours: float
    paragraphs: tuple[str, ...]
    subheadings: frozenset[str] = frozenset()
    feeds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    event: Optional[str] = None
    copies: Optional[str] = None
    copy_kind: Optional[str] = None
    opener: str = ""
    credit: str = ""
    special: Optional[str] = None


def load_stories(name: str) -> tuple[Story, ...]:
    """Return the stories of ``content/<name>.md``, newest first.

    Raises:
        ValueError: a file breaks the format; the message names the file and the headline.
    """
    wire = {fields["slug"]: body for fields, body in _read_articles("wire")}
    stories = [_story(name, fields, body, wire) for fields, body in _read_articles(name)]
    return tuple(sorted(stories, key=lambda s: (s.age_hours, s.slug)))


def load_template(name: str) -> str:
    """Return the text of ``content/<name>.html``."""
    return (FOLDER / f"{name}.html").read_text(encoding="utf-8")


def _read_articles(name: str) -> list[tuple[dict[str, str], list[str]]]:
    articles: list[tuple[dict[str, str], list[str]]] = []
    in_head = False
    for line in (FOLDER / f"{name}.md").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("# "):
            articles.append(({"title": text[2:]}, []))
            in_head = True
        elif in_head and text:
            fields = articles[-1][0]
            key, colon, value = text.partition(":")
            if not colon or key not in _KEYS:
                raise ValueError(f"{name}.md: unknown key {key!r} under {fields['title']!r}; one of {sorted(_KEYS)}")
            fields[key] = value.strip()
        elif text:
            articles[-1][1].append(text)
        else:
            in_head = False
    return articles


def _story(name: str, fields: dict[str, str], body: list[str], wire: dict[str, list[str]]) -> Story:
    lines = wire[fields["wire"]] if "wire" in fields else body
    missing = {"slug", "section", "age"} - fields.keys()
    if missing or not lines:
        raise ValueError(f"{name}.md: {fields['title']!r} lacks {sorted(missing) or 'a text'}")
    return Story(
        title=fields["title"],
        slug=fields["slug"],
        section=fields["section"],
        author=fields.get("author", ""),
        age_hours=float(fields["age"]),
        paragraphs=tuple(line.removeprefix("## ") for line in lines),
        subheadings=frozenset(line[3:] for line in lines if line.startswith("## ")),
        feeds=tuple(fields.get("feeds", "").split()),
        tags=tuple(tag.strip() for tag in fields.get("tags", "").split(",") if tag.strip()),
        event=fields.get("event"),
        copies=fields.get("copies"),
        copy_kind=fields.get("copy_kind"),
        opener=fields.get("opener", ""),
        credit=fields.get("credit", ""),
        special=fields.get("special"),
    )
