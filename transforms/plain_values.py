"""Values that a page's metadata holds as plain text: entities resolved, markup gone, what cannot be stored left out."""

import re
from collections.abc import Iterable
from html import unescape
from typing import Any, Optional

MOST_VALUE_CHARS = 4_000  # of any one value; what is longer is no title, name or section

_NO_LETTER = re.compile(r"[\W_]+")
_SPACE = re.compile(r"\s+")
# JSON can escape what no page can hold; soft hyphens are the page's layout.
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\ud800-\udfff]+")
_TAGS = re.compile(r"<[^<>]{0,400}>")


def clean(value: Optional[str]) -> str:
    """Plain text of a metadata value: entities (also escaped twice) resolved, tags gone, white space single."""
    if not value:
        return ""
    text = value[:MOST_VALUE_CHARS]
    if "&" in text:
        text = unescaped(unescaped(text))
    if "<" in text:
        text = without_tags(text)
    return plain_line(text)


def plain_line(text: str) -> str:
    """One line of text: white space single, no characters that cannot be stored."""
    return _NOT_TEXT.sub("", _SPACE.sub(" ", text)).strip(" \u200b\ufeff")


def without_tags(text: str) -> str:
    """Text without what looks like tags."""
    return _TAGS.sub("", text)


def unescaped(text: str) -> str:
    """Text with its entities resolved, once."""
    try:
        return unescape(text)
    except ValueError:  # a number of more than 4,300 digits
        return text


def letters(value: str) -> str:
    """The text without case, punctuation and spaces: what makes two headlines the same to a reader."""
    return _NO_LETTER.sub("", value.casefold())


def strings(value: Any) -> list[str]:
    """The texts in a value of JSON: itself, or those of a list."""
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str) and v.strip()]


def first(values: Iterable[Optional[str]]) -> Optional[str]:
    """The first that says something."""
    return next((v for v in values if v), None)
