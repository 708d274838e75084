"""A page -> a broken page: what `mutate` makes depends on its seed pages and its random numbers alone.

Decisions:
    * Most mutations are of structure, as templates, editors and proxies break it; bytes are flipped as for feeds.
    * Something huge (deep nesting, giant attributes, megabytes of script) comes once in some hundred pages, since one
      such page takes the time of a hundred; tests/fuzz/worst_pages.py has each kind at its full size.
"""

import json
import random
import re
from collections.abc import Callable, Sequence

from tests.fuzz.mutate_feeds import (
    CODECS,
    VALUES,
    copy_element,
    cut,
    flip_bits,
    remove_tag,
    repeat,
    splice,
    truncate,
)

MOST_BYTES = 200_000
CONTENT_TYPES = (
    None, None, None, "text/html", "text/html; charset=utf-8", "text/html; charset=iso-8859-1", "image/png", "",
    "application/xhtml+xml; charset=utf-16", "text/html; charset=shift_jis", "application/pdf", "x; charset=\"'\x00",
    *(f"text/html; charset={codec}" for codec in CODECS),
)  # fmt: skip
TAGS = (
    b"div", b"p", b"span", b"a", b"li", b"ul", b"ol", b"table", b"tr", b"td", b"th", b"tbody", b"caption", b"h1", b"h2",
    b"h6", b"b", b"i", b"font", b"br", b"hr", b"article", b"main", b"section", b"aside", b"header", b"footer", b"nav",
    b"figure", b"figcaption", b"blockquote", b"pre", b"code", b"dl", b"dt", b"dd", b"form", b"fieldset", b"label",
    b"button", b"select", b"option", b"textarea", b"input", b"script", b"style", b"noscript", b"template", b"iframe",
    b"svg", b"math", b"title", b"head", b"body", b"html", b"frameset", b"noframes", b"object", b"video", b"time", b"ruby",
    b"rt", b"q", b"sub", b"plaintext", b"xmp", b"center", b"marquee", b"custom-element", b"o:p", b"meta", b"link", b"base",
    b"address", b"details", b"summary", b"dialog", b"menu", b"picture", b"img", b"del", b"ins", b"mark", b"wbr", b"bdo",
)  # fmt: skip
LABELS = (
    b"hidden", b"related", b"newsletter-signup", b"share-bar", b"comments", b"teaser", b"sidebar", b"article-body", b"ad",
    b"byline", b"author", b"caption", b"sr-only", b"paywall__barrier", b"post-content", b"md:hidden w-1/2", b"footer",
)  # fmt: skip
ATTRIBUTES = (
    b'style="display:none"', b'aria-hidden="true"', b'dir="rtl"', b'lang="ar"', b'itemprop="author"', b'rel="author"',
    b'itemprop="headline"', b'itemprop="datePublished"', b'itemprop="articleBody"', b"hidden", b'datetime="0000-00-00"',
    b'role="dialog"', b'contenteditable', b'=""', b"'", b'"', b"<", b"/", b'class', b'class="\xff"', b'id=""', b"=",
)  # fmt: skip
TEXTS = (
    "\u05d4\u05d2\u05e9\u05e8 \u05e0\u05e1\u05d2\u05e8 \u05e2\u05d3 \u05e1\u05d5\u05e3 \u05d4\u05e9\u05e0\u05d4. ",
    "\u0627\u0644\u062c\u0633\u0631 \u0645\u063a\u0644\u0642 \u062d\u062a\u0649 \u0646\u0647\u0627\u064a\u0629 \u0627\u0644\u0639\u0627\u0645\u060c \u0642\u0627\u0644. ",
    "\u202eecalp a fo eman eht\u202c ", "\u2066\u2067\u2069\u200f\u200e", "\u200b\u200c\u200d\ufeff\u00ad", "\u2028\u2029\u0085",
    "\u6a4b\u306f\u5e74\u672b\u307e\u3067\u9589\u9396\u3055\u308c\u308b\u3002", "\U0001f309\U0001f468\u200d\U0001f469", "e\u0301" * 40, "a\u0300\u0316" * 9,
    "&#0;&#1;&#x1b;&#xD800;&#xFFFE;&#x110000;&#128;", "&amp;lt;script&amp;gt;", "&NotEqualTilde;&nbsp;&zwj;&lrm;", "&#" + "9" * 5000 + ";",
    "\x00", "\x1b[31m", "]]>", "<![CDATA[ a ]]>", "{{ title }}", "<?php echo 1 ?>", "<%= x %>", "\r", "\t" * 90, "x" * 3000, ". " * 400,
)  # fmt: skip
DATES = (
    "0000-00-00", "0001-01-01T00:00:00+14:00", "1970-01-01", "9999-12-31T23:59:59-23:59", "2026-02-30", "2026-01-01T24:00",
    "99999999999999999999", "1e999", "-1", "Mon, 32 Foo 99999 99:99:99 +9999", "2026-13-01", "1772434800", "1772434800000",
    "10000-01-01", "2026-01-01T00:00:00+99:99", "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0660\u0661", "2026-W53-7", "today", "\u00b2\u00b2\u00b2\u00b2-01-01", "2026-01-01T00:00:00.999999999Z",
    "2038-01-19T03:14:08Z", "Tue, 29 Feb 2023 10:00:00 GMT", "1/1/1", "0" * 400, "2026-01-01[Europe/Berlin]", "1990-01-01T00:00:00-23:59",
)  # fmt: skip

_TAG = re.compile(rb"<(/?)([A-Za-z][\w:.\-]{0,40})[^<>]{0,400}>")
_LD = re.compile(rb"<script[^<>]{0,80}ld\+json[^<>]{0,80}>", re.IGNORECASE)
_CHARSET = re.compile(rb"charset=[\"']?[\w\-]{1,20}", re.IGNORECASE)


def mutate(rng: random.Random, pages: Sequence[bytes]) -> bytes:
    """Return one of `pages`, mutated one to eight times; at most `MOST_BYTES` long but for something huge in it."""
    body = rng.choice(pages)
    for _ in range(rng.choice((1, 2, 2, 3, 4, 6, 8))):
        body = rng.choice(_MUTATIONS)(rng, body, pages)[:MOST_BYTES]
    return _grow(rng, body) if rng.random() < 0.01 else body


def _insert(rng: random.Random, body: bytes, piece: bytes) -> bytes:
    """Put `piece` behind a tag, mostly within the body."""
    tags = list(_TAG.finditer(body, max(0, body.find(b"<body")) if rng.random() < 0.8 else 0))
    at = rng.choice(tags).end() if tags else rng.randint(0, len(body))
    return body[:at] + piece + body[at:]


def _drop_tags(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    """Take away some or all tags of a name, or only those that open or close."""
    name = rng.choice((rng.choice(TAGS), b"p", b"body", b"html", b"head", b"article", b"div", b"script", b"title"))
    which, share = rng.choice((b"/?", b"/", b"")), rng.choice((1.0, 1.0, 0.5))
    tags = re.compile(rb"<" + which + name + rb"\b[^<>]{0,400}>", re.IGNORECASE)
    return tags.sub(lambda m: b"" if rng.random() < share else m[0], body)


def _rename_tags(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    """Make other elements of all elements of a name: paragraphs of links, divisions of table cells."""
    old = rng.choice((b"p", b"p", b"div", b"article", b"h1", b"li", b"a", b"span", b"section"))
    new = rng.choice((*TAGS, old.upper()))
    return re.sub(rb"(</?)" + old + rb"\b", lambda m: m[1] + new, body, flags=re.IGNORECASE)


def _insert_tags(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    """Open or close elements where none should be, or nest them."""
    tag, times = rng.choice(TAGS), rng.choice((1, 1, 1, 3, 40, 300))
    opening, closing = b"<%b>" % tag * times, b"</%b>" % tag * rng.choice((times, times, times - 1, 0))
    if rng.random() < 0.3:
        opening = b"<table><tr><td>" * times
        closing = b"</td></tr></table>" * rng.choice((times, 0))
    return _insert(rng, body, rng.choice((opening, closing, opening + closing, opening + b" words. " + closing)))


def _set_attribute(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    """Give an element, or all elements of a name, an attribute: a label, odd quotes, something hidden."""
    what = rng.choice((*ATTRIBUTES, *(b'class="%b"' % label for label in LABELS)))
    name = rng.choice((b"p", b"div", b"article", b"body", b"html", b"h1", rng.choice(TAGS)))
    return re.sub(rb"<%b\b" % name, lambda m: m[0] + b" " + what, body, count=rng.choice((0, 0, 1, 3)))


def _insert_text(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    piece = rng.choice(TEXTS).encode() if rng.random() < 0.7 else rng.choice(VALUES)
    return _insert(rng, body, piece * rng.choice((1, 1, 1, 20)))


def _set_date(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    """Say an absurd date where pages say theirs."""
    date = rng.choice(DATES)
    pieces = (
        f'<meta property="article:published_time" content="{date}">',
        f'<meta itemprop="dateModified" content="{date}">',
        f'<time class="published" datetime="{date}">{date}</time>',
        f'<script type="application/ld+json">{{"@type":"NewsArticle","datePublished":"{date}","dateModified":["{date}"]}}</script>',
    )
    if rng.random() < 0.5:
        return re.sub(rb"\d{4}-\d\d-\d\d[T\d:.Z+]{0,24}", lambda _: date.encode(), body)
    return _insert(rng, body, rng.choice(pieces).encode())


def _json_ld(rng: random.Random, depth: int = 0) -> object:
    """Some JSON as JSON-LD may be: the right names with any values, however nested."""
    kind = rng.random()
    if depth > 6 or kind < 0.35:
        return rng.choice((None, True, -1, 1e300, "", " ", "\ud800", "a\x00b", "\u2028", "9" * 400, 10**30, rng.choice(DATES),
                           "NewsArticle", "http://[", "<p>One.</p><p>Two.</p>" * 9, "&#" + "9" * 5000 + ";", rng.choice(TEXTS)))  # fmt: skip
    if kind < 0.55:
        return [_json_ld(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 5)))]
    names = ("@type", "@id", "@graph", "headline", "name", "author", "creator", "datePublished", "dateModified", "url",
             "articleBody", "articleSection", "keywords", "publisher", "mainEntity", "mainEntityOfPage", "inLanguage",
             "isAccessibleForFree")  # fmt: skip
    return {
        "@type": rng.choice(("NewsArticle", "WebPage", ["Article"], None)),
        **{rng.choice(names): _json_ld(rng, depth + 1) for _ in range(rng.choice((1, 3, 6)))},
    }


def _insert_json_ld(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    text = json.dumps(_json_ld(rng), ensure_ascii=rng.random() < 0.6).encode("utf-8", "surrogatepass")
    if rng.random() < 0.3:
        text = rng.choice(
            (b"[" * 2000, b'{"@graph":' * 900 + b"1", text[: len(text) // 2], b"<!--" + text, text + b";,")
        )
    script = b'<script type="application/ld+json">' + text + b"</script>"
    return _insert(rng, _LD.sub(b"<script>", body) if rng.random() < 0.5 else body, script)


def _swap_charset(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    """Declare another charset, or write the page or a part of it in one."""
    codec = rng.choice(CODECS)
    if rng.random() < 0.6:
        label = b"charset=" + codec.encode()
        body = _CHARSET.sub(label, body) if _CHARSET.search(body) else b"<meta %b>" % label + body
    start = rng.choice((0, 0, rng.randint(0, len(body))))
    try:
        return body[:start] + body[start:].decode("utf-8", "replace").encode(codec, "replace")
    except (LookupError, UnicodeError, TypeError):
        return body


def _shuffle(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    """Put the stretches between some tags into another order."""
    cuts = sorted(m.start() for m in rng.choices(list(_TAG.finditer(body)) or [re.match(b"", b"")], k=6) if m)
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    rng.shuffle(pieces)
    return b"".join(pieces)


def _repeat_metadata(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    """Repeat what stands in the head, by the hundred."""
    metas = re.findall(rb"<(?:meta|link|title|h1)\b[^<>]{0,400}>", body)
    return _insert(rng, body, (rng.choice(metas) if metas else b"<h1>A</h1>") * rng.choice((2, 30, 900)))


def _grow(rng: random.Random, body: bytes) -> bytes:
    """Put something huge into a page; its size is drawn evenly over the orders of magnitude."""
    times = int(10 ** rng.uniform(3, 5))
    tag = rng.choice(TAGS)
    pieces = (
        b"<%b>" % tag * times,
        b"<%b>word. " % tag * times,
        b"<table><tr><td>a. " * (times // 4),
        b'<p class="' + b"a b-c " * times * 5 + b'">',
        b'<img alt="' + b"x" * times * 50,
        b"<script>" + b"var a = 'b < c';" * times + b"</script>",
        b"<p>" + b"The council met on Monday. " * times + b"</p>",
        b"<p>a<br>" * times,
        b'<a href="/x">x</a> ' * times,
        b'<script type="application/ld+json">' + b"[" * times + b"</script>",
        b'<script type="application/ld+json">[' + b'{"@type":"Article","headline":"a"},' * times + b"1]</script>",
        b'<meta property="og:title" content="a - b">' * times,
        b"&amp;&#65;" * times * 3,
        b"<!--" * times,
    )
    return _insert(rng, body, rng.choice(pieces))


_MUTATIONS: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    truncate, flip_bits, cut, repeat, copy_element, remove_tag, splice, _drop_tags, _drop_tags, _rename_tags, _rename_tags,
    _insert_tags, _insert_tags, _set_attribute, _set_attribute, _insert_text, _insert_text, _set_date, _insert_json_ld,
    _insert_json_ld, _swap_charset, _shuffle, _repeat_metadata,
)  # fmt: skip
