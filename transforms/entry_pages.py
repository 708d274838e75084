"""What an entry of a feed is worth by itself, and the page that is to be made of it: pure functions.

Decisions:
    An entry is known by its id and content. Where most of a feed's known entries come under ids that are not known, its
    ids change by themselves (a random guid, a session, the time of day), and the content alone names an entry. What
    the content says depends on where the article is: the words of the feed are the article or all there is, so the same
    words are known for ever; a page behind a link may have changed under the same title, as weather and live pages do,
    so it is looked at once a day unless its date says that the lake has had it since it was published. A feed with a
    few entries of the kind, and ids that stay, is none whose ids change, and neither is one of a single entry. Where
    all ids changed once, with a new system, what is still listed when half of a document has come since is looked at
    again: the commit finds its text.

    A feed's text counts as the full text only when it is long and does not end as teasers do. Taking a teaser for the
    article would lose most of a story for good; fetching a page that was not needed costs one request.

    What the feed has of an entry travels with its page: a page that cannot be had, or turns out to be no article,
    falls back to it.

    A page that its publisher reserves does not: the reservation speaks of what is published there, not of one way to
    get it. robots.txt speaks of the way alone, and what is in a feed is given away by its publisher, so that stays.
"""

import html
import re
from collections.abc import Sequence
from typing import Optional

from apache_beam.utils.timestamp import Timestamp

from transforms.dead_letters import MOST_ATTEMPTS
from transforms.errors import IngestError, TransientError
from transforms.records import FeedEntry, FeedSpec, KnownContent, Page

FALLBACK_CHARS = 200  # a summary of less is a headline, no text of an article
MOST_SUMMARY_CHARS = 2_000
LOOK_AGAIN_SECONDS = 86_400  # what keeps its title and address is made anew each day at most, or says so by its words

_NOT_SHOWN = re.compile(r"<(script|style|template)\b", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_TEASER_END = re.compile(
    r"(?:…|\.\.\.|\b(?:read more|continue reading|more »|weiterlesen|mehr lesen|lire la suite|leer más"
    r"|seguir leyendo|leggi tutto|lees verder|läs mer|les mer|læs mere|leia mais|czytaj (?:więcej|dalej)))\W{0,8}$",
    re.IGNORECASE,
)


def plain_text(markup: str) -> str:
    """Return the words of an HTML fragment on one line: enough to measure it and to show a summary."""
    return " ".join(html.unescape(_TAG.sub(" ", _without_scripts(markup))).split())


def _without_scripts(markup: str) -> str:
    """Return `markup` without what is never shown; an element that does not end hides the rest, as in browsers."""
    kept, at = [], 0
    folded = ""
    while (opening := _NOT_SHOWN.search(markup, at)) is not None:
        folded = folded or markup.lower()
        kept.append(markup[at : opening.start()])
        # Lowering may change the length (İ); what is then cut a little off is only measured, never stored.
        at = folded.find("</" + opening[1].lower(), opening.end())
        if at < 0:
            return " ".join(kept)
    return " ".join([*kept, markup[at:]])


def has_full_text(entry: FeedEntry, min_chars: int) -> bool:
    """Return whether the feed carries the text itself: at least `min_chars` of it, and not cut off as teasers are."""
    if not entry.text_html or len(entry.text_html) < min_chars:
        return False
    text = plain_text(entry.text_html)
    return len(text) >= min_chars and not _TEASER_END.search(text[-60:])


def feed_text(entry: FeedEntry) -> Optional[str]:
    """Return the most that a feed has of an entry, as markup; None if it is no more than a headline."""
    longest = max((entry.text_html or "", entry.summary_html or ""), key=len)
    return longest if len(longest) >= FALLBACK_CHARS <= len(plain_text(longest)) else None


def ids_change(attempts: Sequence[int], contents: Sequence[Optional[KnownContent]]) -> bool:
    """Return whether the ids of a feed change by themselves, by one document of it.

    Args:
        attempts: of each entry the number of the attempt that its id says is next; 1 for an id that is not known.
        contents: what is known of its content.
    """
    by_content = sum(n == 1 and content is not None for n, content in zip(attempts, contents, strict=True))
    return by_content > max(1, sum(n != 1 for n in attempts))


def attempt_by_content(entry: FeedEntry, content: KnownContent, now: Timestamp, *, full_text_min_chars: int) -> int:
    """Return 0 when an entry is known by its content, else the number of the attempt that is next.

    Args:
        entry: of a feed whose ids change.
        content: what is known of it.
        now: the time.
        full_text_min_chars: see `has_full_text`.
    """
    due_at = content.at_seconds
    if content.is_final:
        has_page = bool(entry.url) and not has_full_text(entry, full_text_min_chars)
        is_older = entry.published_at is not None and entry.published_at.micros <= content.at_seconds * 1_000_000
        if is_older or not has_page:
            return 0
        due_at += LOOK_AGAIN_SECONDS
    return content.attempts + 1 if now.micros >= due_at * 1_000_000 else 0


def page_of(
    entry: FeedEntry,
    *,
    entry_id: str,
    spec: FeedSpec,
    seen_at: Timestamp,
    attempt: int = 1,
    language: Optional[str] = None,
    full_text_min_chars: int = 600,
) -> Page:
    """Return the entry as a page: of origin ``feed`` when nothing is to be fetched, else ``page`` without its HTML.

    Args:
        entry: an entry, new or to be tried again.
        entry_id: its id.
        spec: the feed it is from.
        seen_at: when its feed was polled.
        attempt: counts from 1.
        language: what the feed says of itself.
        full_text_min_chars: see `has_full_text`.
    """
    full = has_full_text(entry, full_text_min_chars)
    text = entry.text_html if full else feed_text(entry)
    summary = plain_text(entry.summary_html)[:MOST_SUMMARY_CHARS] if entry.summary_html else None
    return Page(
        entry_id=entry_id,
        entry_hash=entry.entry_hash,
        feed_id=spec.feed_id,
        url=entry.url,
        origin="feed" if full or (text is not None and not entry.url) else "page",
        first_seen_at=seen_at,
        text=text,
        title=entry.title,
        summary=summary or None,
        authors=entry.authors,
        published_at=entry.published_at,
        updated_at=entry.updated_at,
        language=entry.language or language or spec.language,
        feed_tags=tuple(dict.fromkeys((*entry.tags, *spec.tags))),
        attempt=attempt,
    )


def feed_text_stands_in(page: Page, error: Exception, *, for_reserved: bool) -> bool:
    """Return whether the feed's text is taken for `page`, which cannot be had because of `error`.

    Not while the page may still be had, and not for a defect of ours.

    Args:
        page: what is to be fetched, with the feed's text, if any.
        error: why it cannot be had.
        for_reserved: take it for a page that its publisher reserves as well.
    """
    if page.text is None or not isinstance(error, IngestError):
        return False
    if isinstance(error, TransientError):
        return page.attempt >= MOST_ATTEMPTS
    return for_reserved or error.reason != "reserved"
