"""JSON Feed 1.x -> its items as they are named there; `parse_feed` gives them identity, links and dates.

Decisions:
    * Only the shape is judged here. A value of the wrong type is as good as missing; an item that is no object is
      left out and flagged; a feed without `version` is read if it has items that look like items.
    * Plain text becomes HTML here, so that everything after it knows one kind of text.

Source: https://www.jsonfeed.org/version/1.1/ and /version/1/ (`author` and numeric ids are of 1.0 and still common).
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from transforms.errors import RejectedError

_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")


class JsonItem(NamedTuple):
    """One item; "" for what is missing, dates as written."""

    id: str
    url: str
    title: str
    summary_html: str
    content_html: str
    authors: Sequence[str]
    date_published: str
    date_modified: str
    language: str
    tags: Sequence[str]


class JsonFeed(NamedTuple):
    """A JSON Feed; "" for what is missing."""

    title: str
    home_page_url: str
    language: str
    items: Sequence[JsonItem]
    warnings: Sequence[str]


def parse_json_feed(text: str, *, url: str) -> JsonFeed:
    """Return the JSON Feed in `text`.

    Raises:
        RejectedError: not_a_feed (other JSON), broken_feed (not JSON, but it says it is a JSON Feed), too_deep.
    """
    claims = "jsonfeed.org" in text[:4096]
    try:
        feed = json.loads(text)
    except RecursionError:
        raise RejectedError("JSON nested too deep", reason="too_deep", url=url) from None
    except ValueError as error:
        reason = "broken_feed" if claims else "not_a_feed"
        raise RejectedError(f"Not readable as JSON: {error}", reason=reason, url=url) from None
    items = feed.get("items") if isinstance(feed, dict) else None
    if not isinstance(items, list):
        if claims and isinstance(feed, dict):
            raise RejectedError("A JSON Feed without a list of items", reason="broken_feed", url=url)
        raise RejectedError("JSON, but no JSON Feed (it has no list of items)", reason="not_a_feed", url=url)
    warnings = []
    if not _text(feed, "version").startswith(("https://jsonfeed.org/version/", "http://jsonfeed.org/version/",
                                              "https://www.jsonfeed.org/version/")):  # fmt: skip
        if not any(isinstance(i, dict) and (i.get("id") or i.get("url")) for i in items):
            raise RejectedError(
                "JSON, but no JSON Feed (neither its version nor its items)", reason="not_a_feed", url=url
            )
        warnings.append("no_version")
    if not all(isinstance(item, dict) for item in items):
        warnings.append("broken_entry")
    return JsonFeed(
        title=_text(feed, "title"),
        home_page_url=_text(feed, "home_page_url"),
        language=_text(feed, "language"),
        items=tuple(_item(item, feed) for item in items if isinstance(item, dict)),
        warnings=tuple(warnings),
    )


def _item(item: Mapping[str, Any], feed: Mapping[str, Any]) -> JsonItem:
    content = _text(item, "content_html") or _paragraphs(_text(item, "content_text"))
    identity = item.get("id")
    plain_number = isinstance(identity, (int, float)) and not isinstance(identity, bool)
    return JsonItem(
        id=str(identity) if plain_number else _text(item, "id"),
        # A link blog's `url` is its own note, `external_url` what the note is about: the item is the note.
        url=_text(item, "url") or _text(item, "external_url"),
        title=_text(item, "title"),
        summary_html=_paragraphs(_text(item, "summary")),
        content_html=content,
        authors=_names(item) or _names(feed),
        date_published=_text(item, "date_published"),
        date_modified=_text(item, "date_modified"),
        language=_text(item, "language"),
        tags=tuple(tag for tag in _list(item, "tags") if isinstance(tag, str)),
    )


def _names(element: Mapping[str, Any]) -> tuple[str, ...]:
    people = [*_list(element, "authors"), element.get("author")]
    return tuple(dict.fromkeys(_text(p, "name") for p in people if isinstance(p, dict) and _text(p, "name")))


def _paragraphs(text: str) -> str:
    parts = (part.strip() for part in _BLANK_LINE.split(text))
    return "".join(f"<p>{html.escape(part, quote=False)}</p>" for part in parts if part)


def _list(element: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = element.get(name)
    return value if isinstance(value, list) else ()


def _text(element: Mapping[str, Any], name: str) -> str:
    value = element.get(name)
    if not isinstance(value, str):
        return ""
    # JSON can write half of a surrogate pair, which no encoding can store.
    return value.encode("utf-8", "replace").decode("utf-8").strip()
