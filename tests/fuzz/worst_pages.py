"""The worst pages: each kind of hugeness at its full size, around or beside a story of five paragraphs.

Sizes are those of a body that acquisition lets through (10 MB), script of 20 MB as archives may hold it.
"""

from collections.abc import Callable

STORY = b"".join(
    b"<p>The bridge over the Sund stays closed until the end of the year, pier %d of it having been washed out.</p>" % n
    for n in range(5)
)


def page(body: bytes, head: bytes = b"") -> bytes:
    """Return an HTML page with the story and something else."""
    return b"<!doctype html><html lang=en><head><title>Bridge stays closed</title>%b</head><body><article><h1>Bridge stays closed</h1>%b%b" % (head, STORY, body)  # fmt: skip


def ld(json: bytes) -> bytes:
    return b'<script type="application/ld+json">' + json + b"</script>"


def numbered(piece: bytes, times: int) -> bytes:
    return b"".join(piece % n for n in range(times))


WORST: dict[str, Callable[[], bytes]] = {
    "100,000 nested divs": lambda: page(b"<div>" * 100_000 + STORY),
    "100,000 nested divs with words": lambda: page(b"<div>words of it. " * 100_000),
    "100,000 nested divs around the story": lambda: b"<div>" * 100_000 + STORY,
    "100,000 nested paragraphs and spans": lambda: page(b"<p><span>word. " * 50_000),
    "100,000 nested fonts": lambda: page(b"<font color=red>word. " * 100_000),
    "100,000 nested links": lambda: page(b"<a href=/x>word. " * 100_000),
    "50,000 nested lists": lambda: page(b"<ul><li>word. " * 50_000),
    "50,000 nested quotes": lambda: page(b"<blockquote>word. " * 50_000),
    "50,000 nested headings": lambda: page(b"<h1>word. " * 50_000),
    "50,000 nested figures": lambda: page(b"<figure>word. " * 50_000),
    "30,000 tables in tables": lambda: page(b"<table><tr><td>word. " * 30_000),
    "700 tables in tables": lambda: page(b"<table><tr><td>a. " * 700),
    "tables twelve deep, 300 times": lambda: page((b"<table><tr><td>a. " * 12 + b"</table>" * 12) * 300),
    "30,000 nested authors": lambda: page(b"<div itemprop=author>word. " * 30_000),
    "share bars around lines": lambda: (
        b"<html><body>" + b"<div class=sharedaddy>" * 120 + (b"words of no sentence " * 5 + b"<br>") * 18_000
    ),
    "notices far inside": lambda: (
        b"<html><body><h1>A headline</h1>" + b"<div class=excerpt>" * 3_000 + b"<p class=deck>This AI summary of them" * 2_000
    ),
    "30,000 nested related boxes": lambda: page(b"<div class=related>word. " * 30_000),
    "10 MB of paragraphs": lambda: page(b"<p>The council met. " * 500_000),
    "10 MB of empty elements": lambda: page(b"<p></p>" * 1_400_000),
    "10 MB of line breaks": lambda: page(b"<p>" + b"a word<br>" * 1_000_000),
    "10 MB of list items": lambda: page(b"<ul>" + b"<li>item" * 1_200_000),
    "10 MB of cells": lambda: page(b"<table>" + b"<tr><td>a<td>b" * 700_000),
    "10 MB of links": lambda: page(b"<p>" + b"<a href='/a'>a</a> " * 500_000),
    "10 MB of one paragraph": lambda: page(b"<p>" + b"The council met on Monday. " * 370_000),
    "10 MB of one word": lambda: page(b"<p>" + b"x" * 10_000_000),
    "10 MB of spaces": lambda: page(b"<p>" + b" " * 10_000_000 + b"word."),
    "10 MB of full stops and quotes": lambda: page(b"<p>" + b'."' * 5_000_000 + b"x"),
    "10 MB of long paragraphs and their pieces": lambda: page(
        numbered(b"<p>%d The council met on Monday, as it does in each week but not in May. ", 40_000)
        + numbered(b"<div>" + b"Nothing was said of the bridge on day %d of the week at all." * 1 + b" a" * 900 + b"</div>", 3_000)
    ),
    "10 MB of angle brackets": lambda: page(b"<" * 10_000_000),
    "10 MB of ampersands": lambda: page(b"<p>" + b"&" * 10_000_000),
    "10 MB of entities": lambda: page(b"<p>" + b"&amp;&#x41;&bogus;" * 550_000),
    "10 MB of scripts": lambda: page(b"<script></script>" * 600_000 + STORY),
    "10 MB of styles": lambda: page(b"<style>a{}</style>" * 560_000 + STORY),
    "10 MB of comments": lambda: page(b"<!--x-->" * 1_200_000),
    "10 MB of comments that never end": lambda: page(b"<!--" * 2_500_000),
    "10 MB of closing tags": lambda: page(b"</div></p></b>" * 700_000),
    "10 MB of processing instructions": lambda: page(b"<?x " * 2_500_000),
    "20 MB of script": lambda: page(b"<script>" + b"var x = 'a < b'; " * 1_200_000 + b"</script>" + STORY),
    "20 MB of scripts": lambda: page(b"<script>var x = 'a < b';</script>" * 600_000 + STORY),
    "a script that never ends": lambda: page(b"<script>" + b"x" * 10_000_000),
    "an attribute of 10 MB": lambda: page(b'<p title="' + b"a" * 10_000_000 + b'">' + STORY),
    "a class of 10 MB": lambda: page(b'<p class="' + b"a-b cD " * 1_400_000 + b'">' + STORY),
    "a style of 10 MB": lambda: page(b'<p style="' + b"display " * 1_250_000 + b'">' + STORY),
    "an attribute that never ends": lambda: page(b'<p title="' + b"a" * 10_000_000),
    "100,000 attributes": lambda: page(b"<p " + numbered(b"a%d=1 ", 100_000) + b">" + STORY),
    "classes of 400 letters, each another": lambda: page(numbered(b"<div class=a%d" + b"x" * 380 + b">a</div>", 25_000)),
    "a picture in an attribute": lambda: page(b'<img src="data:image/png;base64,' + b"A" * 10_000_000 + b'">' + STORY),
    "300,000 metas of one name": lambda: page(b"", b'<meta property="og:title" content="a - b">' * 250_000),
    "200,000 metas of other names": lambda: page(b"", numbered(b'<meta name="n%d" content="x">', 200_000)),
    "30,000 long titles": lambda: page(b"", numbered(b'<meta property="og:title" content="%d ' + b"a - " * 80 + b'">', 30_000)),
    "200,000 authors": lambda: page(numbered(b'<a rel="author" href=/a>Ann %d</a>', 200_000)),
    "200,000 times": lambda: page(b'<time datetime="Mon, 32 Foo 99999">x</time>' * 200_000),
    "200,000 headlines": lambda: page(numbered(b"<h1>Bridge %d</h1>", 200_000)),
    "a title of 10 MB": lambda: page(b"", b"<title>" + b"a - " * 2_500_000),
    "a canonical address of 10 MB": lambda: page(b"", b'<link rel=canonical href="' + b"a/" * 5_000_000 + b'">'),
    "JSON-LD of 20 MB": lambda: page(b"", ld(b'{"@type":"NewsArticle","x":"' + b"a" * 20_000_000 + b'"}')),
    "JSON-LD nested 100,000 deep": lambda: page(b"", ld(b"[" * 100_000) + ld(b'{"@graph":' * 100_000)),
    "JSON-LD nested 900 deep everywhere": lambda: page(
        b"", ld(b'{"@type":"NewsArticle","isAccessibleForFree":' + b"[" * 900 + b"]" * 900 + b',"author":' + b'{"name":' * 900 + b"1" + b"}" * 901)
    ),
    "JSON-LD with 50,000 articles": lambda: page(b"", ld(b"[" + b",".join([b'{"@type":"NewsArticle","headline":"a"}'] * 50_000) + b"]")),
    "JSON-LD in 100,000 scripts": lambda: page(b"", ld(b"{}") * 100_000 + ld(b"{,") * 50_000),
    "JSON-LD with a million names": lambda: page(b"", ld(b'{"@type":"NewsArticle","author":[' + b'"Ann Lee",' * 190_000 + b'"Bo"]}')),
    "JSON-LD with a text of 2 MB": lambda: page(b"", ld(b'{"@type":"NewsArticle","articleBody":"' + b"<p>&amp;lt;One. " * 110_000 + b'"}')),
    "punycode": lambda: b"<meta charset=punycode>" + page(b"") + "br\u00fccke ".encode("cp1252") * 100_000,
    "no charset, all of them": lambda: page(bytes(range(128, 256)) * 70_000),
    "UTF-16 without a mark": lambda: page(b"<p>The council met. " * 100_000).decode().encode("utf-16-le"),
    "UTF-32": lambda: page(b"<p>The council met. " * 60_000).decode().encode("utf-32"),
    "10 MB of plain text": lambda: b"The council met on Monday.\n" * 370_000,
    "10 MB of NULs": lambda: page(b"\x00" * 10_000_000),
    "10 MB of right-to-left marks": lambda: page(b"<p>" + "\u202e\u05d0 ".encode() * 1_600_000),
    "10 MB of combining marks": lambda: page(b"<p>a" + "\u0301".encode() * 5_000_000),
    "10 MB of Japanese": lambda: page(b"<p>" + "\u6a4b\u306f\u9589\u9396\u3055\u308c\u308b\u3002".encode() * 400_000),
    "a story of many thin containers": lambda: page(numbered(b"<div><div><p>Sentence %d of it, which is short.</p></div></div>", 60_000)),
}  # fmt: skip
