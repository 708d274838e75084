"""Feed lists and what is to be read from them: written before the code that reads them, and judging it.

`WRONG_TABLES`: TOML lists with one mistake, and the words that the message must hold. `ODD_OPML`: what the exports of
other programs look like, and the addresses (with title) that are in them.
"""

A = 'url = "https://a.example/feed"\n'

WRONG_TABLES: list[tuple[str, tuple[str, ...]]] = [
    ('[[feeds]]\ntitle = "x"', ("line 1", "has no url")),
    ("[[feeds]]\nurl = 5", ("line 1", "has no url")),
    ('[[feeds]]\nurl = "htps://a.example/feed"', ("line 1", "htps://a.example/feed", "write it as https://")),
    (f'# mine\n[[feeds]]\n{A}lang = "en"', ("line 2", "https://a.example/feed", "unknown key 'lang'", "language")),
    (f"[[feeds]]\n{A}\n[[feeds]]\nurl = 'https://b.example/'\npaused = true", ("line 4", "'paused'", "pause")),
    (f'[[feeds]]\n{A}pause = "yes"', ("pause = 'yes'", "true or false")),
    (f"[[feeds]]\n{A}title = 5", ("title = 5", "a text")),
    (f'[[feeds]]\n{A}tags = "local"', ("tags = 'local'", "list of texts")),
    (f"[[feeds]]\n{A}tags = [1]", ("tags = [1]", "list of texts")),
    (f'[[feeds]]\n{A}language = "English"', ("language = 'English'", "en")),
    (f'[[feeds]]\n{A}min_interval = "often"', ("min_interval = 'often'", "10s, 5m or 1h")),
    (f"[[feeds]]\n{A}min_interval = 0", ("min_interval = 0", "between 100ms and 30d")),
    (f'[[feeds]]\n{A}max_interval = "31d"', ("max_interval = '31d'", "between 100ms and 30d")),
    (f"[[feeds]]\n{A}min_interval = true", ("min_interval = True", "10s, 5m or 1h")),
    (f'[[feeds]]\n{A}min_interval = "2h"\nmax_interval = "1h"', ("max_interval", "shorter than min_interval")),
    (f'[[feeds]]\n{A}token = "s3cr3t"', ("token", '{ env = "NAME" }', '{ file = "PATH" }')),
    (f"[[feeds]]\n{A}token = {{ enf = 'X' }}", ("token", '{ env = "NAME" }')),
    (f"[[feeds]]\n{A}token = {{ env = 'X', file = 'y' }}", ("token", "either")),
    (f"[[feeds]]\n{A}token = {{ env = '' }}", ("token", '{ env = "NAME" }')),
    (f"[[feeds]]\n{A}token = {{ env = 'NO_SUCH_THING' }}", ("line 1", "NO_SUCH_THING", "is not set")),
    (f"[[feeds]]\n{A}token = {{ file = 'no-such-file' }}", ("no-such-file", "cannot be read")),
    (f"[[feeds]]\n{A}token = {{ file = 'empty' }}", ("empty", "is empty")),
    (f"[[feeds]]\n{A}token = {{ file = 'two-lines' }}", ("two-lines", "one line")),
    (f"[[feeds]]\n{A}token = {{ file = 'huge' }}", ("huge", "longer than")),
    (f"[[feeds]]\n{A}token = {{ file = '.' }}", ("cannot be read",)),
    (f'[[feeds]]\n{A}user = "me"', ("user", "password")),
    (f"[[feeds]]\n{A}password = {{ env = 'HOME' }}", ("password", "user")),
    (f"[[feeds]]\n{A}user = 'a:b'\npassword = {{ env = 'HOME' }}", ("user", "colon")),
    (f"[[feeds]]\n{A}user = 'a'\npassword = {{ env = 'HOME' }}\ntoken = {{ env = 'HOME' }}", ("token", "password")),
    (f"[[feeds]]\n{A}headers = 'X-A: 1'", ("headers", "table")),
    (f"[[feeds]]\n{A}headers = {{ X-A = 1 }}", ("X-A", "a text")),
    (f"[[feeds]]\n{A}headers = {{ 'X A' = 'b' }}", ("'X A'", "name of a header")),
    (f'[[feeds]]\n{A}headers = {{ X-A = "b\\r\\nHost: evil" }}', ("X-A", "one line")),
    (f"[[feeds]]\n{A}headers = {{ X-A = 'a', x-a = 'b' }}", ("x-a", "twice")),
    (f"[[feeds]]\n{A}headers = {{ Authorization = 's3cr3t' }}", ("Authorization", '{ env = "NAME" }')),
    (f"[[feeds]]\n{A}headers = {{ Cookie = 's3cr3t' }}", ("Cookie", '{ env = "NAME" }')),
    (f"[[feeds]]\n{A}headers = {{ X-Api-Key = 's3cr3t' }}", ("X-Api-Key", '{ env = "NAME" }')),
    (f"[[feeds]]\n{A}headers = {{ PRIVATE-TOKEN = 's3cr3t' }}", ("PRIVATE-TOKEN", '{ env = "NAME" }')),
    (
        f"[[feeds]]\n{A}token = {{ env = 'HOME' }}\nheaders = {{ authorization = {{ env = 'HOME' }} }}",
        ("authorization", "twice"),
    ),
    (f"[[feeds]]\n{A}headers = {{ Host = 'b.example' }}", ("Host", "is set by newsbeam")),
    (f"[[feeds]]\n{A}headers = {{ If-None-Match = 'x' }}", ("If-None-Match", "is set by newsbeam")),
    (f"[[feeds]]\n{A}headers = {{ User-Agent = 'x' }}", ("User-Agent", "is set by newsbeam", "contact")),
    (f'lake = "x"\n[[feeds]]\n{A}', ("'lake'", "--config")),
    (f"[[feed]]\n{A}", ("'feed'", "[[feeds]]")),
    ("[[feeds]]\nurl = \n", ("line 2", "not TOML")),
    ("[feeds]\nurl = 'https://a.example/'", ("[[feeds]]",)),
    ("feeds = []", ("names no feed",)),
]

_HEAD = '<opml version="2.0"><head><title>x</title></head><body>'
_TAIL = "</body></opml>"


def _opml(body: str, *, prolog: str = '<?xml version="1.0" encoding="UTF-8"?>') -> str:
    return f"{prolog}{_HEAD}{body}{_TAIL}"


ODD_OPML: list[tuple[str, bytes, list[tuple[str, str]]]] = [
    (
        "bare ampersands in addresses",
        _opml('<outline text="A & B" xmlUrl="https://a.example/rss?x=1&y=2"/>').encode(),
        [("https://a.example/rss?x=1&y=2", "A & B")],
    ),
    (
        "HTML entities",
        _opml('<outline text="Caf&eacute;&nbsp;News" xmlUrl="https://a.example/rss"/>').encode(),
        [("https://a.example/rss", "Café News")],
    ),
    (
        "declared UTF-8, written in windows-1252",
        _opml('<outline text="Küste" xmlUrl="https://a.example/rss"/>').encode("windows-1252"),
        [("https://a.example/rss", "Küste")],
    ),
    (
        "declared iso-8859-1, written in UTF-8",
        _opml(
            '<outline text="Küste" xmlUrl="https://a.example/rss"/>',
            prolog='<?xml version="1.0" encoding="ISO-8859-1"?>',
        ).encode(),
        [("https://a.example/rss", "Küste")],
    ),
    (
        "UTF-16 with its mark, declared UTF-8",
        _opml('<outline text="Küste" xmlUrl="https://a.example/rss"/>').encode("utf-16"),
        [("https://a.example/rss", "Küste")],
    ),
    (
        "a blank line before the declaration",
        b"\n" + _opml('<outline text="A" xmlUrl="https://a.example/rss"/>').encode(),
        [("https://a.example/rss", "A")],
    ),
    (
        "a control character in a title",
        _opml('<outline text="A\x08B" xmlUrl="https://a.example/rss"/>').encode(),
        [("https://a.example/rss", "AB")],
    ),
    (
        "nested outlines, one a feed and a group at once, htmlUrl alone is no feed",
        _opml(
            '<outline text="G"><outline text="H" xmlUrl="https://h.example/"><outline text="I" '
            'xmlUrl="https://i.example/"/></outline></outline><outline text="site" htmlUrl="https://s.example/"/>'
        ).encode(),
        [("https://h.example/", "H"), ("https://i.example/", "I")],
    ),
    (
        "an outline without an address beside others",
        _opml('<outline text="A" xmlUrl=""/><outline text="B" xmlUrl="https://b.example/"/>').encode(),
        [("https://b.example/", "B")],
    ),
    (
        "a document type without entities",
        _opml(
            '<outline text="A" xmlUrl="https://a.example/"/>',
            prolog='<!DOCTYPE opml SYSTEM "http://127.0.0.1:9/opml.dtd">',
        ).encode(),
        [("https://a.example/", "A")],
    ),
    (
        "the same feed twice, in two groups",
        _opml(
            '<outline text="G"><outline text="A" xmlUrl="https://a.example/"/></outline>'
            '<outline text="H"><outline text="A2" xmlUrl="HTTPS://A.example:443/"/></outline>'
        ).encode(),
        [("https://a.example/", "A")],
    ),
]
