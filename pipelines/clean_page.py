"""`newsbeam clean`: one page or text in, the story out, and on request what was removed and by which rule.

The story goes to stdout and the explanation to stderr, so that ``newsbeam clean page.html --explain > story.txt``
does what it looks like.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from transforms.article_url import site_of
from transforms.clean_title import clean_title
from transforms.detect_language import detect_language
from transforms.errors import RejectedError, UsageError
from transforms.extract_text import extract_article
from transforms.records import CleanText, ExtractedArticle
from transforms.strip_cruft import strip_cruft, syndicated_from

_MOST_HEADLINE_CHARS = 160
_SENTENCE_END = re.compile(r"[.!?…。！？।؟]['\"”’»)\]]*$")
_ABBREVIATION_END = re.compile(r"\b(?:[A-Z]\.)+$")
_HTML_START = re.compile(
    rb"^[\s\xef\xbb\xbf]*<(?:!doctype|html|head|body|\?xml|!--|meta|article|div|section|p)\b", re.IGNORECASE
)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a page must not move the cursor of who reads it

_RED, _DIM, _BOLD, _PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True)
class CleanedPage:
    """One page or text, cleaned. `extracted` is the text before removal; `clean.removed` has offsets into it."""

    title: Optional[str]
    extracted: str
    clean: CleanText
    article: ExtractedArticle
    url: str

    def as_json(self) -> dict[str, Any]:
        """Return the page as plain data."""
        article = self.article
        return {
            "url": self.url or None,
            "title": self.title,
            "published_title": article.title if article.title != self.title else None,
            "text": self.clean.text,
            "language": article.language,
            "authors": list(article.authors),
            "published_at": article.published_at.to_rfc3339() if article.published_at else None,
            "canonical_url": article.canonical_url,
            "is_paywalled": article.is_paywalled,
            "syndicated_from": syndicated_from(self.clean.removed),
            "removed": [
                {"rule": r.rule, "kind": r.kind, "start": r.start, "end": r.end, "text": r.text}
                for r in self.clean.removed
            ],
        }


def clean_bytes(
    data: bytes, *, url: str = "", content_type: Optional[str] = None, keep: frozenset[str] = frozenset()
) -> CleanedPage:
    """Return the story of a page (HTML) or a plain text, told apart by how it begins and by `content_type`.

    Kinds of cruft and rules in `keep` are not removed.

    Raises:
        RejectedError: the page holds no article, or the bytes are no text.
    """
    if _HTML_START.match(data[:2000]) or (content_type or "").startswith(("text/html", "application/xhtml")):
        article = extract_article(data, url=url)
        site = site_of(url) or None
        title = clean_title(article.title or "", site_name=article.site_name, site=site) or None
        clean = strip_cruft(article.text, title=title, site=site, language=article.language, keep=keep)
        return CleanedPage(title, article.text, clean, article, url)
    if b"\x00" in data[:4096]:
        raise RejectedError("the input is neither a page nor a text (it holds NUL bytes)", reason="not_text", url=url)
    return clean_plain_text(_decode(data), url=url, keep=keep)


def clean_plain_text(text: str, *, url: str = "", keep: frozenset[str] = frozenset()) -> CleanedPage:
    """Return the story of a plain text; its first line is the headline only where that is certain."""
    published, body = split_headline(text)
    language = detect_language(body)
    site = site_of(url) or None
    title = clean_title(published or "", site=site) or None
    clean = strip_cruft(body, title=title, site=site, language=language, keep=keep)
    return CleanedPage(title, body, clean, ExtractedArticle(title=published, text=body, language=language), url)


def split_headline(text: str) -> tuple[Optional[str], str]:
    """Return the headline and the rest, or None and `text` when the first line is not certainly one.

    It is one when it is short, does not end a sentence, and a wire's opener or a blank line follows.
    """
    first, _, rest = text.removeprefix("\ufeff").lstrip("\r\n").partition("\n")
    first = first.strip()
    if not first or not rest.strip() or len(first) > _MOST_HEADLINE_CHARS:
        return None, text
    if _SENTENCE_END.search(first) and not _ABBREVIATION_END.search(first):
        return None, text
    if rest.partition("\n")[0].strip() and not _starts_with_opener(rest):
        return None, text
    return first, rest


def _starts_with_opener(text: str) -> bool:
    removed = strip_cruft(text, title=None, site=None, language=None).removed
    return any(r.start == 0 and "opener" in r.kind for r in removed)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def add_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    """Add the flags of `newsbeam clean`."""
    parser.add_argument("source", metavar="FILE|URL|-", help="a page or text on disk, on the web, or - for stdin")
    parser.add_argument("--url", default="", help="the page's address, when it is read from disk or stdin")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="what to print (default: text)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument("--explain", action="store_true", help="show on stderr what was removed, and by which rule")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colour of --explain")
    options.add_keep_flag(parser)
    options.add_http_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Run `newsbeam clean`."""
    from pipelines.options import read_keep_kinds

    keep = read_keep_kinds(args)
    data, url, content_type = _read(args)
    page = clean_bytes(data, url=url, content_type=content_type, keep=keep)
    if args.format == "json":
        print(json.dumps(page.as_json(), ensure_ascii=False, indent=2))
    else:
        print(_visible(page.clean.text) if sys.stdout.isatty() else page.clean.text)
    if args.explain:
        color = args.color == "always" or (args.color == "auto" and sys.stderr.isatty())
        print("\n".join(explain(page, color=color)), file=sys.stderr)
    elif page.title and args.format == "text" and sys.stderr.isatty():
        print(f"{_DIM}title: {_visible(page.title)}{_PLAIN}", file=sys.stderr)
    return 0


def _read(args: argparse.Namespace) -> tuple[bytes, str, Optional[str]]:
    if re.match(r"https?://", args.source, re.IGNORECASE):
        from pipelines.cli import version
        from pipelines.options import read_proxy, user_agent_of
        from transforms.http import fetch_once, parse_allow_host

        response = fetch_once(
            args.source,
            user_agent=user_agent_of(version(), args.contact),
            allow_hosts=tuple(parse_allow_host(text) for text in args.allow_host),
            proxy=read_proxy(args, {}),
        )
        if response.status != 200:
            raise RejectedError(
                f"{args.source} answered {response.status}; nothing to clean", reason=f"http_{response.status}"
            )
        return response.body, args.url or response.url, response.headers.get("content-type")
    try:
        data = sys.stdin.buffer.read() if args.source == "-" else Path(args.source).read_bytes()
    except OSError as error:
        raise UsageError(f"{args.source} cannot be read: {error.strerror}") from error
    return data, args.url, None


def _visible(text: str) -> str:
    """Return `text` with control characters spelled out."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m.group(0)):02x}", text)


def explain(page: CleanedPage, *, color: bool) -> Iterator[str]:
    """Yield the extracted text with what was removed marked, then the rules that did it."""
    yield f"title: {_visible(page.title)}" if page.title else "title: (none)"
    if page.article.title and page.article.title != page.title:
        yield f"published as: {_visible(page.article.title)}"
    out, at = [], 0
    for removal in page.clean.removed:
        out.append(_visible(page.extracted[at : removal.start]))
        stretch = _visible(page.extracted[removal.start : removal.end])
        if removal.kind == "whitespace":
            out.append("\n" if "\n" in stretch else stretch)
        elif color:
            out.append(f"{_RED}{stretch}{_PLAIN}{_DIM} [{removal.rule}]{_PLAIN}")
        else:
            out.append(f"[-{stretch}-]{{{removal.rule}}}")
        at = removal.end
    out.append(_visible(page.extracted[at:]))
    yield "".join(out)
    rules = [r for r in page.clean.removed if r.kind != "whitespace"]
    chars = sum(r.end - r.start for r in rules)
    yield f"removed: {chars} of {len(page.extracted)} characters in {len(rules)} stretches"
    for removal in rules:
        name = f"{removal.kind:24} {removal.rule:36}"
        yield f"  {_BOLD + name + _PLAIN if color else name} {_visible(' '.join(removal.text.split())[:100])}"
