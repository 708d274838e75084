"""The work of extraction on plain values: bytes of a page in, text and metadata out. Worker processes run this.

Decisions:
    The page is parsed once; the metadata scan and the text extraction share the tree.

    No Beam here and nothing that imports it: a worker must start in a fraction of a second. `extract_text.py` turns
    the plain values into rows.

    JSON-LD's articleBody is a fallback for pages whose visible text could not be found. Believed blindly it loses
    (2.9 points on the open pages): it is often cut, and often has no paragraphs.
"""

import logging
import re
from typing import Any, NamedTuple, Optional

import lxml.etree
import lxml.html
from trafilatura import bare_extraction
from trafilatura.settings import Extractor

from transforms.decode_html import html_as_utf8
from transforms.detect_language import choose_language
from transforms.errors import RejectedError
from transforms.find_story import MOST_STORY_CHARS, find_story
from transforms.html_blocks import PICTURE_TAGS, UNREAD_TAGS, blocks_of, labels_of
from transforms.page_metadata import PageMetadata, scan_metadata
from transforms.plain_values import letters

# What it would log is why a page was rejected, and that is the dead letter's business.
logging.getLogger("trafilatura").setLevel(logging.CRITICAL)

_MIN_CHARS = 60  # the shortest flash news; CJK letters count three, since one carries as much as three Latin ones
_TINY_CHARS = 700  # below, an articleBody twice as long is believed
_SURE_CHARS = 600  # a found story shorter than this is compared with trafilatura's
_MOST_TAGS = 150_000  # elements cost time and memory as bytes do not; the open pages have 10,000 at most
_MOST_ATTRIBUTES = 10_000  # of one element: the parser compares each with all before it
_LONG_TAG_BYTES = 50_000
_MOST_COMPARED_TAGS = 20_000  # what trafilatura takes grows faster than the page
_MOST_NESTED_TABLES = 12  # likewise with the cube of their depth: 7 s for 700; pages laid out by tables have up to 8
_MOST_DEPTH = 250  # and with the product of depth and paragraphs: 3 s for 2,000 of each; pages have some tens
_WITHOUT_TEXT = (
    "script",
    "style",
    "noscript",
    "svg",
    "iframe",
    "template",
    "object",
    "embed",
    "select",
    "button",
    "input",
    "textarea",
    "canvas",
    "video",
    "audio",
    "link",
    "meta",
)
_BOX_LABELS = frozenset(["sharedaddy", "share", "sharethis", "addtoany", "social", "newsletter", "comments"])
_MOST_BOXES, _BOX_CHARS = 100, 400
_OPTIONS = Extractor(output_format="python", comments=False)
_SPACE = re.compile(r"[^\S\n]+")
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]+")  # what unescaping twice may bring
_TAG_BEGIN = re.compile(rb"<[A-Za-z]")
_HIDDEN_BEGIN = re.compile(rb"<(?:script|style)[\s>/]", re.IGNORECASE)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SENTENCE_END = re.compile(r"[.!?…。！？؟।॥։][\"'”’»›“‘)\]]*(?:\s|$)|[。！？]")
_MARKUP = re.compile(r"<(?:/?[a-zA-Z][a-zA-Z0-9]{0,15}(?:\s[^<>]{0,2000})?/?|!--)|&(?:[a-zA-Z]{2,8}|#\d{1,6});")
_BINARY_LEFT = "\ufffd"


class Extraction(NamedTuple):
    """What was found, as plain values: the fields of ExtractedArticle with times in microseconds since the epoch."""

    title: Optional[str]
    text: str
    authors: tuple[str, ...] = ()
    published_micros: Optional[int] = None
    updated_micros: Optional[int] = None
    language: Optional[str] = None
    canonical_url: Optional[str] = None
    site_name: Optional[str] = None
    section: Optional[str] = None
    keywords: tuple[str, ...] = ()
    is_paywalled: bool = False


class Item(NamedTuple):
    """What a worker gets: a page, a feed's own text, or both; `hint_language` is what the feed says."""

    html: Optional[bytes]
    text: Optional[str]
    url: str
    content_type: Optional[str]
    title: Optional[str]
    language: Optional[str]
    now_micros: int


def extract_item(item: Item) -> tuple[Extraction, bool]:
    """Return what could be had of an item, and whether it came from its page (else from its own text).

    Raises:
        RejectedError: the page has no article and there is no text beside it.
    """
    if not isinstance(item, Item):
        item = Item(*item)
    if item.html is not None:
        try:
            return extract_page(
                item.html,
                url=item.url,
                content_type=item.content_type,
                now_micros=item.now_micros,
                language=item.language,
            ), True
        except RejectedError:
            if not item.text or not item.text.strip():
                raise
    return read_text(item.text or "", url=item.url, title=item.title, language=item.language), False


def extract_page(
    html: bytes, *, url: str, now_micros: int, content_type: Optional[str] = None, language: Optional[str] = None
) -> Extraction:
    """Return the article of a page; see `transforms.extract_text.extract_article`."""
    utf8 = html_as_utf8(html, content_type=content_type)
    tags, attributes = _count_markup(utf8)
    if tags > _MOST_TAGS or attributes > _MOST_ATTRIBUTES:
        what = f"{tags} elements" if tags > _MOST_TAGS else f"an element with {attributes} attributes"
        raise RejectedError(f"the page has {what}, more than any story", reason="too_large", url=url)
    tree = _parse(utf8, url)
    metadata = scan_metadata(tree, url=url, now_micros=now_micros)
    text = _without_headline(_story_of(tree, metadata, tags, utf8), metadata.titles)
    if metadata.article_body and _weight(text) < min(_TINY_CHARS, _weight(metadata.article_body) / 2):
        text = _without_headline(_tidy(metadata.article_body), metadata.titles)
    _reject_unless_story(text, metadata, url)
    return Extraction(
        title=metadata.title,
        text=text,
        authors=metadata.authors,
        published_micros=metadata.published_micros,
        updated_micros=metadata.updated_micros,
        language=choose_language(metadata.language or language, text),
        canonical_url=metadata.canonical_url,
        site_name=metadata.site_name,
        section=metadata.section,
        keywords=metadata.keywords,
        is_paywalled=metadata.is_paywalled,
    )


def read_text(text: str, *, url: str, title: Optional[str], language: Optional[str]) -> Extraction:
    """Return the article that a feed or an archive carries itself, as plain text or as an HTML fragment.

    Every paragraph is kept: what stands in a feed's text was chosen by the publisher; cruft is the next step's work.

    Raises:
        RejectedError: `too_short`, there is next to nothing.
    """
    if _MARKUP.search(text):
        root = _parse(f"<html><body><div>{text}</div></body></html>".encode("utf-8", "replace"), url)
        lines = [block.text for block in blocks_of(root, unread=UNREAD_TAGS | PICTURE_TAGS)]
    else:
        lines = [" ".join(line.split()) for line in text.splitlines()]
    story = _without_headline("\n".join(line for line in lines if line)[:MOST_STORY_CHARS], (title,) if title else ())
    if _weight(story) < _MIN_CHARS:
        raise RejectedError(f"the text has {len(story)} characters, too few for a story", reason="too_short", url=url)
    return Extraction(title=title, text=story, language=choose_language(language, story))


def _parse(utf8: bytes, url: str, parser_class: Any = lxml.etree.HTMLParser) -> Any:
    """Return the root of a page.

    The elements of lxml.html, which trafilatura wants, ask Python for their class each time they are shown: a tenth of
    the time of a walk.
    """
    parser = parser_class(
        collect_ids=False,
        default_doctype=False,
        encoding="utf-8",
        remove_comments=True,
        remove_pis=True,
        huge_tree=True,
    )
    try:
        tree = lxml.etree.fromstring(utf8, parser)
    except (lxml.etree.LxmlError, ValueError, AssertionError) as error:
        raise RejectedError("the page cannot be read as HTML", reason="no_article", url=url) from error
    if tree is None:
        raise RejectedError("the page is empty", reason="no_article", url=url)
    return tree


def _count_markup(utf8: bytes) -> tuple[int, int]:
    """Return, roughly, how many elements a page has and how many attributes a single one at most."""
    tags = utf8.count(b"<")
    if tags > _MOST_COMPARED_TAGS:
        # Scripts and styles are parsed and then passed over: two cost what an element of the text does.
        tags = len(_TAG_BEGIN.findall(utf8)) - len(_HIDDEN_BEGIN.findall(utf8)) // 2
    pieces = utf8.split(b"<", _MOST_TAGS)
    long = (piece.partition(b">")[0] for piece in pieces if len(piece) > _LONG_TAG_BYTES)
    return tags, max((tag.count(b"=") for tag in long if tag[:1].isalpha()), default=0)


def _story_of(tree: Any, metadata: PageMetadata, tags: int, utf8: bytes) -> str:
    story = find_story(tree, metadata.titles, metadata.description, told=metadata.ingredients)
    if story is not None and (story.chars >= _SURE_CHARS or story.share >= 0.8) and story.share >= 0.4:
        return _tidy("\n".join(story.lines))
    own = _tidy("\n".join(story.lines)) if story is not None else ""
    if len(own) < _SURE_CHARS and tree.find(".//noscript") is not None:
        unscripted = find_story(tree, metadata.titles, metadata.description, without_scripts=True)
        if unscripted is not None and unscripted.chars > max(_SURE_CHARS, 2 * len(own)):
            return _tidy("\n".join(unscripted.lines))
    if tags > _MOST_COMPARED_TAGS or _nests_deeply(tree):
        return own
    tree = _parse(utf8, "", lxml.html.HTMLParser)
    lxml.etree.strip_elements(tree, *_WITHOUT_TEXT, with_tail=False)
    _drop_boxes(tree)
    try:
        document = bare_extraction(tree, options=_OPTIONS)
    except ValueError:  # it reads "&#9…;" of more than 4,300 digits as a number
        return own
    other = _tidy((document.text if document is not None else "") or "")
    return other if len(other) > 1.2 * len(own) else own


def _drop_boxes(tree: Any) -> None:
    """Remove small boxes that are never the story, whatever else the page labels."""
    labelled = [e for e in tree.iter("div", "section", "ul") if not _BOX_LABELS.isdisjoint(labels_of(e))]
    for element in labelled[:_MOST_BOXES]:
        if element.getparent() is not None and _is_small(element):
            element.drop_tree()


def _is_small(element: Any) -> bool:
    left = _BOX_CHARS
    for text in element.itertext():
        left -= len(text)
        if left < 0:
            return False
    return True


def _nests_deeply(tree: Any) -> bool:
    depth = tables = 0
    for event, element in lxml.etree.iterwalk(tree, events=("start", "end")):
        step = 1 if event == "start" else -1
        depth += step
        tables += step if element.tag == "table" else 0
        if depth > _MOST_DEPTH or tables > _MOST_NESTED_TABLES:
            return True
    return False


def _tidy(text: str) -> str:
    lines = (_SPACE.sub(" ", line).strip() for line in _NOT_TEXT.sub("", text[:MOST_STORY_CHARS]).splitlines())
    return "\n".join(line for line in lines if line)


def _without_headline(text: str, titles: tuple[str, ...]) -> str:
    """Return `text` without the page's own headline as its first line."""
    first, _, rest = text.partition("\n")
    bare = letters(first)
    return rest if rest and bare and any(bare == letters(title) for title in titles) else text


def _reject_unless_story(text: str, metadata: PageMetadata, url: str) -> None:
    sentences = [line for line in text.splitlines() if _SENTENCE_END.search(line)]
    if not text:
        reason, what = "no_article", "the page has no article"
    elif not sentences:
        reason, what = "no_article", "nothing on the page reads like a story"
    elif _weight(text) < _MIN_CHARS:
        reason, what = "too_short", f"the story has {len(text)} characters, too few"
    elif not any(_weight(line) >= 40 for line in sentences) and (len(sentences) < 4 or _weight(text) < 300):
        reason, what = "no_article", "nothing on the page reads like a story"
    elif text.count(_BINARY_LEFT) * 5 > len(text):
        raise RejectedError("the page is not text in any charset", reason="not_text", url=url)
    else:
        return
    if metadata.is_paywalled:  # what is shown of it is no story, and the page says why
        reason, what = "paywalled", "the story is behind a paywall"
    raise RejectedError(what, reason=reason, url=url)


def _weight(text: str) -> int:
    return len(text) + 2 * len(_CJK.findall(text[:2000]))
