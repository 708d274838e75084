"""What a site's articles are, and which of their lines are its furniture: the cases that learning is judged by.

Each case is a list of rows of articles (the columns that learning reads) and the lines that must be learned, no more
and no fewer. Names and texts are invented.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Optional

from transforms.records import digest64

FIRST_DAY = datetime(2026, 3, 1, 9, tzinfo=UTC)
SITE = "harrow.example"

LABEL = "More stories from the harbour desk"
NOTICE = "© 2026 Harrow Bay Post"
PARAGRAPH = "The Harrow Bay Post is printed at the old mill and delivered by boat to the islands every morning."
CHINESE = "哈罗湾邮报编辑部版权所有未经许可"
APPEAL = "Anyone who saw the driver is asked to call the station on the quay, day or night."

_NOUNS = ["council", "harbour", "ferry", "school", "bridge", "market", "mayor", "storm", "engineer", "farm", "court"]
_VERBS = ["closes", "opens", "repairs", "sells", "visits", "measures", "paints", "moves", "counts", "leaves", "finds"]
INGREDIENTS = [
    "two cloves of garlic",
    "salt and black pepper",
    "a pinch of sugar",
    "butter for the pan",
    "flour as needed",
    "one large onion",
    "cream for serving",
    "parsley and chives",
    "olive oil for frying",
]


def sentence(dice: random.Random) -> str:
    """A sentence of a story that hardly comes twice."""
    words = [dice.choice(_NOUNS), dice.choice(_VERBS), "the", dice.choice(_NOUNS), f"number {dice.randrange(10**6)}"]
    return f"The {' '.join(words)} after the meeting of {dice.randrange(10**4)} people in the hall on the hill."


def article(
    number: int,
    day: int,
    lines: Sequence[str],
    *,
    copy_of: Optional[str] = None,
    revision: int = 1,
    origin: str = "page",
    published_day: Optional[int] = None,
    removed: Sequence[dict[str, Any]] = (),
    site: str = SITE,
) -> dict[str, Any]:
    """A row of articles; `day` is when it was seen."""
    text = "\n".join(lines)
    published = None if published_day is None else FIRST_DAY + timedelta(days=published_day)
    return {
        "site": site,
        "article_id": f"{number:016x}",
        "revision": revision,
        "duplicate_of": copy_of,
        "text_hash": digest64("text", text),
        "origin": origin,
        "published_at": published,
        "first_seen_at": FIRST_DAY + timedelta(days=day, seconds=number),
        "text": text,
        "removed": list(removed),
    }


def site(
    days: int, per_day: int, lines_of: Callable[[random.Random, int, int], Sequence[str]], seed: int = 1
) -> list[dict[str, Any]]:
    """A site's articles, `per_day` on each of `days` days; `lines_of` makes one from dice, its number and its day."""
    dice = random.Random(seed)
    return [
        article(day * per_day + n, day, lines_of(dice, day * per_day + n, day))
        for day in range(days)
        for n in range(per_day)
    ]


def story(dice: random.Random, sentences: int = 4) -> list[str]:
    """The paragraphs of a story."""
    return [sentence(dice) for _ in range(sentences)]


@dataclass(frozen=True)
class Case:
    """Rows of one site, and what must be learned of them."""

    name: str
    rows: Sequence[dict[str, Any]]
    learned: frozenset[str] = frozenset()


def _with_tail(*tail: str, share: float = 1.0) -> Callable[[random.Random, int, int], Sequence[str]]:
    return lambda dice, number, day: [*story(dice), *(tail if dice.random() < share else ())]


def _burst() -> list[dict[str, Any]]:
    rows = site(12, 5, _with_tail())
    dice = random.Random(2)
    return rows + [article(1_000 + n, 6, [*story(dice), LABEL]) for n in range(300)]


def _two_bursts_and_a_drip() -> list[dict[str, Any]]:
    rows = _burst()
    dice = random.Random(3)
    rows += [article(2_000 + n, 8, [*story(dice), LABEL]) for n in range(300)]
    return rows + [article(3_000 + day, day, [*story(dice), LABEL]) for day in (1, 3)]


def _copies() -> list[dict[str, Any]]:
    dice = random.Random(4)
    first = f"{5_000:016x}"
    copies = [
        article(5_000 + n, n % 12, [*story(dice, 3), LABEL, NOTICE], copy_of=first if n else None) for n in range(80)
    ]
    return site(12, 3, _with_tail()) + copies


def _revisions() -> list[dict[str, Any]]:
    dice = random.Random(5)
    rows = [article(6_000, n % 12, [*story(dice), LABEL], revision=n + 1) for n in range(80)]
    return site(12, 3, _with_tail()) + rows


def _same_text() -> list[dict[str, Any]]:
    text = [*story(random.Random(6)), LABEL]
    return site(12, 3, _with_tail()) + [article(7_000 + n, n % 12, text) for n in range(80)]


def _recipes() -> list[dict[str, Any]]:
    def recipe(dice: random.Random, number: int, day: int) -> Sequence[str]:
        steps = [*story(dice, 3), *(["Leave it to rest for an hour"] if dice.random() < 0.4 else story(dice, 1))]
        return [*steps, "Ingredients for four people", *dice.sample(INGREDIENTS, 5)]

    return site(20, 6, recipe)


def _poems() -> list[dict[str, Any]]:
    def poem(dice: random.Random, number: int, day: int) -> Sequence[str]:
        verses = story(dice, 3)
        return [v for verse in verses for v in (verse, "And the tide goes out again")][
            : -1 if dice.random() < 0.3 else 6
        ]

    return site(20, 6, poem)


def _redesign() -> list[dict[str, Any]]:
    return site(60, 3, lambda dice, n, day: [*story(dice), NOTICE if day >= 45 else LABEL])


def _archive() -> list[dict[str, Any]]:
    dice = random.Random(7)
    return [article(n, 400, [*story(dice), LABEL], origin="archive", published_day=n % 15) for n in range(75)]


def _dated_by_the_publisher() -> list[dict[str, Any]]:
    dice = random.Random(8)
    return [article(n, 40, [*story(dice), LABEL], published_day=n % 15) for n in range(75)]


def _learned_before() -> list[dict[str, Any]]:
    def rows() -> Iterator[dict[str, Any]]:
        for held in site(14, 5, _with_tail(LABEL)):
            text, _, line = held["text"].rpartition("\n")
            spans = [("whitespace", "whitespace", "\n"), ("site_lines.0ld", "site_boilerplate", line)]
            removed, at = [], len(text)
            for rule, kind, stretch in spans:
                removed.append({"rule": rule, "kind": kind, "start": at, "end": at + len(stretch), "text": stretch})
                at += len(stretch)
            yield {**held, "text": text, "removed": removed}

    return list(rows())


def _removed_by_a_rule() -> list[dict[str, Any]]:
    rows = _learned_before()
    for held in rows:
        held["removed"][1]["rule"] = "credit.copyright"
    return rows


CASES = [
    Case("a label after each story", site(14, 5, _with_tail(LABEL)), frozenset({LABEL})),
    Case("several in a row", site(14, 5, _with_tail(LABEL, NOTICE)), frozenset({LABEL, NOTICE})),
    Case("in three of four articles", site(30, 6, _with_tail(LABEL, share=0.75)), frozenset({LABEL})),
    Case("in half of the articles", site(30, 6, _with_tail(LABEL, share=0.5))),
    Case("a paragraph on few days", site(9, 10, _with_tail(PARAGRAPH))),
    Case("a paragraph in few articles", site(20, 2, _with_tail(PARAGRAPH))),
    Case("a paragraph on many days in many articles", site(20, 6, _with_tail(PARAGRAPH)), frozenset({PARAGRAPH})),
    Case("a paragraph in three of five articles", site(20, 6, _with_tail(PARAGRAPH, share=0.6))),
    Case("in Chinese", site(14, 5, _with_tail(CHINESE)), frozenset({CHINESE})),
    Case("a site with few articles", site(14, 2, _with_tail(LABEL))),
    Case("a site of four days", site(4, 20, _with_tail(LABEL))),
    Case(
        "one article that repeats itself",
        [*site(14, 5, _with_tail()), article(900, 3, [sentence(random.Random(9)), *[LABEL] * 90])],
    ),
    Case("a burst on one day", _burst()),
    Case("bursts on two days and a drip", _two_bursts_and_a_drip()),
    Case("copies of one article", _copies()),
    Case("revisions of one article", _revisions()),
    Case("one text under many addresses", _same_text()),
    Case("dated by the publisher, seen on one day", _dated_by_the_publisher()),
    Case("an archive read in an hour", _archive(), frozenset({LABEL})),
    Case("a redesign", _redesign(), frozenset({LABEL, NOTICE})),
    Case("learned before", _learned_before(), frozenset({LABEL})),
    Case("removed by a rule", _removed_by_a_rule()),
    Case("a quotation", site(20, 6, _with_tail('"We will be there," she said'))),
    Case("words in quotes", site(20, 6, _with_tail('As he put it: "the sea is not for sale" today'))),
    Case("in front of the story", site(20, 6, lambda dice, n, day: ["What we know about it", *story(dice)])),
    Case("between its paragraphs", site(20, 6, lambda dice, n, day: [*story(dice, 2), LABEL, *story(dice, 2)])),
    Case("what introduces something", site(20, 6, _with_tail("The table after the match day:"))),
    Case("a label of one word", site(20, 6, _with_tail("Ingredients"))),
    Case("a list of the story", site(20, 6, lambda dice, n, day: [*story(dice), *dice.sample(INGREDIENTS, 3)])),
    Case("recipes", _recipes()),
    Case("a refrain", _poems()),
    Case("an appeal in some stories", site(20, 6, _with_tail(APPEAL, share=0.4))),
    Case("articles that are nothing but templates", site(20, 6, lambda dice, n, day: [LABEL, NOTICE, f"No. {n}"])),
]
