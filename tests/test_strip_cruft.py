"""strip_cruft: the golden cases, every rule's own cases, the ledger's properties, the cost, and the Beam step."""

import random
import re
import time
import tomllib
from pathlib import Path
from typing import Any, Optional

import pytest
from apache_beam import Create, Map
from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.cruft_engine import Engine, engine, fold, words_of
from transforms.cruft_rules import Rule, load_rules
from transforms.errors import UsageError
from transforms.records import Draft, Removal
from transforms.strip_cruft import (
    LearnedLines,
    StripCruft,
    _StripDraft,
    kinds_to_keep,
    line_hash,
    restore,
    rules_version,
    strip_cruft,
    syndicated_from,
)

GOLDEN = Path(__file__).parent / "golden" / "cruft"
STORY = (
    "The county council voted on Tuesday evening to mend the old bridge at Hallam before the winter rains arrive.",
    "Engineers had warned in May that the northern pier was sinking by a finger's breadth every single month.",
    "The work should take nine weeks, and the ferry will carry walkers across the water for nothing until then.",
)


def strip_lines(lines: list[str], *, title: Optional[str] = None) -> list[str]:
    return strip_cruft("\n".join(lines), title=title, site=None, language=None).text.split("\n")


def keep_lines(lines: list[str], keep: frozenset[str] = frozenset()) -> list[str]:
    text = "\n".join(lines)
    return [text[start:end] for start, end in engine().find_cuts(text, title=None, keep=keep).kept]


# -- golden cases ---------------------------------------------------------------------------------------------------------


def golden_cases() -> list[Any]:
    cases = []
    for path in sorted(GOLDEN.glob("*.toml")):
        for case in tomllib.loads(path.read_text("utf-8"))["case"]:
            cases.append(pytest.param(case, id=case["id"]))
    return cases


@pytest.mark.parametrize("case", golden_cases())
def test_golden_case(case: dict[str, str]) -> None:
    given_lines: list[str] = []
    expected: list[str] = []
    for line in case["text"].strip("\n").split("\n"):
        verdict, rest = line[0], line[2:]
        raw, _, kept = rest.partition(" => ")
        given_lines.append(raw)
        if verdict != "x":
            expected.append(kept or raw)
    assert strip_lines(given_lines, title=case.get("title")) == expected


@pytest.mark.parametrize(
    "name, has_headline", [("000_ba41809d1e17fb01.txt", True), ("004_ca18781ca6a41879.txt", False)]
)
def test_seed_comes_out_exactly(shared: Path, name: str, has_headline: bool) -> None:
    text = (shared / "seeds" / name).read_text("utf-8")
    title = None
    if has_headline:
        title, _, text = text.partition("\n")
    clean = strip_cruft(text, title=title, site=None, language="en")
    assert clean.text.split("\n") == (shared / "seeds" / "expected" / name).read_text("utf-8").rstrip("\n").split("\n")
    assert restore(clean) == text


# -- rules ----------------------------------------------------------------------------------------------------------------

RULES = [pytest.param(rule, id=rule.id) for rule in load_rules()]


def arrange(rule: Rule, positive: str) -> list[str]:
    """Put a rule's example where its position says it stands."""
    cruft = positive.split("\n")
    if rule.position == "opener":
        return [f"{positive} {STORY[0]}", *STORY[1:]]
    if rule.position == "suffix":
        return [*STORY[:2], f"{STORY[2]} {positive}"]
    if rule.position == "head":
        return [*cruft, *STORY]
    if rule.position == "line":
        return [STORY[0], *cruft, *STORY[1:]]
    return [*STORY, *cruft]


def triggers(text: str) -> set[str]:
    return set(
        re.findall(
            r"[\u3400-\u9fff\uac00-\ud7a3]|[\u0900-\u097f]{2,}|[^\W\d_\u3400-\u9fff]{2,}|[*]{2,}", fold(text).lower()
        )
    )


@pytest.mark.parametrize("rule", RULES)
def test_rule_has_evidence(rule: Rule) -> None:
    assert len(rule.source) > 10
    assert rule.positive
    assert rule.negative
    assert rule.languages


@pytest.mark.parametrize("rule", RULES)
def test_rule_takes_its_examples_and_nothing_of_the_story(rule: Rule) -> None:
    for positive in rule.positive:
        assert keep_lines(arrange(rule, positive)) == list(STORY), positive


@pytest.mark.parametrize("rule", RULES)
def test_without_the_rule_an_example_stays(rule: Rule) -> None:
    without = frozenset([rule.id])
    assert any(keep_lines(arrange(rule, positive), without) != list(STORY) for positive in rule.positive)


@pytest.mark.parametrize("rule", RULES)
def test_rule_leaves_the_story_that_speaks_in_its_words(rule: Rule) -> None:
    words = set().union(*map(triggers, rule.positive))
    assert any(triggers(negative) & words for negative in rule.negative)
    for negative in rule.negative:
        for at in (1, 3):
            lines = [*STORY[:at], negative, *STORY[at:]]
            assert keep_lines(lines) == lines


def test_index_finds_what_trying_every_pattern_finds() -> None:
    lines = [line for rule in load_rules() for text in (*rule.positive, *rule.negative) for line in text.split("\n")]
    checked = 0
    for group in engine()._groups.values():
        filed = [*group.lines._by_key.values(), *group.lines._needing.values(), group.lines._needless]
        entries = {entry for found in filed for entry in found}
        for line in lines:
            plain = fold(line)
            low = plain.lower()
            candidates = set(group.lines.candidates(low, 0, len(low), group.lines.awake(low)))
            for entry in entries - candidates:
                text = plain if entry.is_case_sensitive else low
                assert len(low) > entry.rule.max_chars or not entry.pattern.fullmatch(text), (entry.rule.id, line)
                checked += 1
    assert checked > 10_000


def test_rule_ids_are_unique_and_positions_known() -> None:
    rules = load_rules()
    assert len({rule.id for rule in rules}) == len(rules)
    with pytest.raises(ValueError, match="position"):
        from transforms.cruft_rules import _read

        _read("x.toml", {"id": "a", "kind": "k", "languages": [], "position": "nowhere", "patterns": [], "source": "",
                         "positive": [], "negative": []}, {})  # fmt: skip


def test_the_order_of_rules_does_not_matter_for_the_text() -> None:
    backwards = Engine(tuple(reversed(load_rules())))
    for case in (c.values[0] for c in golden_cases()):
        lines = [line[2:].partition(" => ")[0] for line in case["text"].strip("\n").split("\n")]
        text = "\n".join(lines)
        assert backwards.find_cuts(text, title=None).kept == engine().find_cuts(text, title=None).kept, case["id"]


@pytest.mark.parametrize("folder", ["unseen", "unseen2"])
def test_the_order_of_rules_does_not_matter_for_blocks_of_publishers_nobody_saw(folder: str) -> None:
    backwards = Engine(tuple(reversed(load_rules())))
    stories: dict[str, Any] = {}
    for name in ("unseen", "unseen2"):
        stories |= tomllib.loads((GOLDEN / name / "stories.toml").read_text("utf-8"))
    blocks = tomllib.loads((GOLDEN / folder / "blocks.toml").read_text("utf-8"))["blocks"]
    negatives = tomllib.loads((GOLDEN / folder / "negatives.toml").read_text("utf-8"))
    texts = [(block["language"], text) for block in blocks for text in block["texts"]]
    texts += [(language, text) for language, of in negatives.items() for text in of["lines"]]
    for language, block in texts:
        text = "\n".join([*stories[language]["lines"], block])
        assert backwards.find_cuts(text, title=None).kept == engine().find_cuts(text, title=None).kept, block


def test_a_kind_can_be_kept() -> None:
    bio = "Ella Marsh is a reporter for The Hallam Lantern. She covers water and mills."
    assert keep_lines([*STORY, bio]) == list(STORY)
    assert keep_lines([*STORY, bio], frozenset(["author_bio"])) == [*STORY, bio]


# -- ledger ---------------------------------------------------------------------------------------------------------------


def test_ledger_names_rule_kind_and_offsets() -> None:
    text = "(MENAFN) " + "\n\n".join(STORY) + "\n\nLegal Disclaimer:\nAll is as is.\n"
    clean = strip_cruft(text, title=None, site=None, language="en")
    assert clean.text == "\n".join(STORY)
    opener = clean.removed[0]
    assert (opener.rule, opener.kind, opener.start, opener.end, opener.text) == (
        "opener.wire_in_brackets",
        "wire_opener",
        0,
        8,
        "(MENAFN)",
    )
    assert {removal.kind for removal in clean.removed} == {"wire_opener", "whitespace", "syndicator_legal"}
    assert restore(clean) == text


def test_all_cruft_gives_an_empty_story() -> None:
    text = "Advertisement\n\nADVERTISEMENT\n"
    clean = strip_cruft(text, title=None, site=None, language=None)
    assert clean.text == ""
    assert restore(clean) == text


def test_headline_inside_the_text_goes_and_headings_stay() -> None:
    lines = ["Bridge at Hallam to be mended", STORY[0], "Nine weeks of work", *STORY[1:]]
    assert strip_lines(lines, title="Bridge at Hallam to be mended") == [STORY[0], "Nine weeks of work", *STORY[1:]]


PIECES = st.sampled_from(
    [
        *STORY,
        *(
            line
            for rule in load_rules()
            for text in (*rule.positive[:2], *rule.negative[:1])
            for line in text.split("\n")
        ),
        "",
        "  ",
        "\u00a0",
        "\r",
        "A heading",
        "- A bullet",
        "“Carry the water home,” they sang.",
        "The county council voted on Tuesday evening to mend the old […]",
        "的",
        "İ",
    ]
)
TEXTS = st.one_of(
    st.lists(st.one_of(PIECES, st.tuples(PIECES, PIECES).map(" ".join)), max_size=14).map("\n".join),
    st.text(max_size=200),
)


def test_what_falls_away_does_not_change_what_counts_as_a_word_the_next_time() -> None:
    """With its repetitions the text was of two scripts, without them it is English: n-grams are those of what stands."""
    latin = "The bridge at Hallam closed on Monday after engineers found a crack."
    text = "\n".join(
        ["的"] * 3 + ["新华社北京电"] * 3 + ["这座桥星期一关闭。"] * 2 + [latin] * 2 + ["Sign up for our newsletter"]
    )
    once = strip_cruft(text, title=None, site=None, language=None)
    assert strip_cruft(once.text, title=None, site=None, language=None).text == once.text


@settings(max_examples=250, deadline=None)
@given(TEXTS, st.sampled_from([None, STORY[0], "A heading", "Bridge at Hallam"]))
def test_kept_and_removed_are_the_input_and_stripping_again_removes_nothing(text: str, title: Optional[str]) -> None:
    clean = strip_cruft(text, title=title, site=None, language=None)
    assert restore(clean) == text
    at = 0
    kept = 0
    for removal in clean.removed:
        assert at <= removal.start < removal.end
        assert removal.text == text[removal.start : removal.end]
        kept += removal.start - at
        at = removal.end
    assert kept + len(text) - at == len(clean.text)
    if clean.text:
        assert all(line and line == line.strip() for line in clean.text.split("\n"))
    again = strip_cruft(clean.text, title=title, site=None, language=None)
    assert again.text == clean.text
    assert not again.removed


def test_cost_grows_with_the_text_not_faster() -> None:
    def seconds(copies: int) -> float:
        paragraphs = [f"{line[:-1]} in year {n}, {n * 7}." for n in range(copies) for line in STORY]
        text = "\n".join([*paragraphs, "Share this:", *["Read more: a bridge " * 3] * copies, "(" * 50 * copies])
        start = time.process_time()
        strip_cruft(text, title=None, site=None, language=None)
        return time.process_time() - start

    seconds(50)
    once = min(seconds(200) for _ in range(3))
    twice = min(seconds(400) for _ in range(3))
    assert twice < 3.2 * once + 0.02


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rule", RULES)
def test_no_pattern_backtracks_out_of_bounds(rule: Rule) -> None:
    """A line that almost matches, of the rule's own words again and again: an ambiguous loop would take for ever."""
    longest = min(rule.max_chars, 1200)
    rng = random.Random(rule.id)
    for pattern in rule.patterns:
        compiled = re.compile(pattern)
        words = sorted(set(re.findall(r"[^\W\d_]{2,}", pattern))) or ["a"]
        texts = [f"{word} " * longest for word in rng.sample(words, min(len(words), 12))]
        texts += [piece * longest for piece in ("a ", "Aa ", "A. ", "Aa, ", "1 ", "10:10 ", "a-", ". ", "(a) ", "a@a.")]
        texts += [" ".join(rng.choices(words, k=longest)) for _ in range(6)]
        for text in texts:
            for start in ("", rule.positive[0].split("\n")[0] + " "):
                line = fold(f"{start}{text}")[: longest - 1] + "\x01"
                before = time.process_time()
                compiled.fullmatch(line if rule.is_case_sensitive else line.lower())
                assert time.process_time() - before < 0.2, (pattern[:80], line[:80])


# -- learned lines --------------------------------------------------------------------------------------------------------


def test_learned_line_goes_and_others_stay() -> None:
    furniture = "The Lantern has been printed at the old mill since 1903"
    learned = LearnedLines("7", frozenset([line_hash("the lantern has been PRINTED at the old mill since 1903.")]))
    lines = [STORY[0], furniture, *STORY[1:]]
    clean = strip_cruft("\n".join(lines), title=None, site="lantern.example", language="en", site_lines=learned)
    assert clean.text.split("\n") == list(STORY)
    assert [r.rule for r in clean.removed if r.kind != "whitespace"] == ["site_lines.7"]
    assert strip_lines(lines) == lines


# -- kinds that are kept --------------------------------------------------------------------------------------------------

PROMPT = "Subscribe to our newsletter to get the latest posts sent to your email."
CREDIT = "© 2026 The Lantern. All rights reserved."


@pytest.mark.parametrize(
    "keep, left",
    [
        ([], []),
        (["newsletter"], [PROMPT]),
        (["credit.copyright"], [CREDIT]),
        (["copyright", "newsletter"], [PROMPT, CREDIT]),
        (["author_bio"], []),
    ],
)
def test_kinds_and_rules_that_are_kept_stay(keep: list[str], left: list[str]) -> None:
    lines = [*STORY, PROMPT, CREDIT]
    clean = strip_cruft("\n".join(lines), title=None, site=None, language="en", keep=kinds_to_keep(keep))
    assert clean.text.split("\n") == [*STORY, *left]
    assert restore(clean) == "\n".join(lines)


def test_learned_lines_are_a_kind_too() -> None:
    learned = LearnedLines("7", frozenset([line_hash("Printed at the old mill")]))
    text = "\n".join([*STORY, "Printed at the old mill"])
    keep = kinds_to_keep(["site_boilerplate"])
    assert strip_cruft(text, title=None, site=None, language="en", site_lines=learned, keep=keep).text == text


def test_an_unknown_kind_is_an_error_with_the_list() -> None:
    with pytest.raises(UsageError, match=r"keep_kinds: unknown kind 'bios'; known are advert, affiliate, .*author_bio"):
        kinds_to_keep(["author_bio", "bios"])


def test_what_a_text_was_cleaned_with_has_a_name() -> None:
    plain = rules_version()
    assert re.fullmatch(r"[0-9a-f]{8}", plain)
    assert rules_version(LearnedLines("7", frozenset())) == f"{plain}+7"
    assert rules_version(LearnedLines("7", frozenset()), frozenset({"b", "a"})) == f"{plain}+7-a,b"
    assert (
        rules_version(LearnedLines("7", frozenset()), kinds_to_keep(["site_boilerplate"]))
        == f"{plain}-site_boilerplate"
    )


# -- who sent it ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opener, sender",
    [
        ("(MENAFN)", "MENAFN"),
        ("LONDON, March 4 (Reuters) -", "Reuters"),
        ("LOWER HALLAM, Vt. (AP) —", "AP"),
        ("Berlin (dpa) -", "dpa"),
        ("Madrid, 4 mar (EFE).-", "EFE"),
        ("SAN FRANCISCO, Sept. 15, 2026--(BUSINESS WIRE)--", "Business Wire"),
        ("Köln (ots) -", "news aktuell"),
    ],
)
def test_syndicated_from_the_opener(opener: str, sender: str) -> None:
    clean = strip_cruft("\n".join([f"{opener} {STORY[0]}", *STORY[1:]]), title=None, site=None, language=None)
    assert clean.text.split("\n") == list(STORY)
    assert syndicated_from(clean.removed) == sender


def test_a_contributor_is_no_sender() -> None:
    assert syndicated_from([Removal("credit.contributed", "contributed", 0, 5, "Associated Press writer")]) is None
    assert syndicated_from([]) is None


# -- Beam -----------------------------------------------------------------------------------------------------------------


def test_strip_cruft_step_cleans_and_rejects() -> None:
    drafts = [
        Draft("a", title="Bridge", text=f"(MENAFN) {STORY[0]}\nAdvertisement\n{STORY[1]}", entry_id="1"),
        Draft("b", text="Advertisement\n", entry_id="2"),
        Draft("c", text="Bridge shut.", entry_id="3"),
        Draft("d", text=f"(AP) {STORY[0]}", syndicated_from="dpa", entry_id="4"),
    ]
    with _TestPipeline(runner="FnApiRunner") as pipeline:
        stripped = pipeline | Create(drafts) | "strip cruft" >> StripCruft(strict=True)
        assert_that(
            stripped.rows | "row" >> Map(lambda d: (d.article_id, d.text, d.syndicated_from, len(d.removed) > 0)),
            equal_to([("a", f"{STORY[0]}\n{STORY[1]}", "MENAFN", True), ("d", STORY[0], "dpa", True)]),
            label="rows",
        )
        assert_that(
            stripped.failures | "failure" >> Map(lambda f: (f.entry_id, f.stage, f.reason, f.permanent)),
            equal_to([("2", "strip", "no_story", True), ("3", "strip", "too_short", True)]),
            label="failures",
        )


def test_headline_and_summary_are_cleaned_and_stand_as_published_beside_it() -> None:
    draft = Draft(
        "a",
        title="UPDATE 1-Bridge shut - The Hallam Lantern",
        summary=f"(AP) {STORY[0]} The post Bridge shut appeared first on The Hallam Lantern.",
        text=STORY[0],
        site="hallamlantern.example",
    )
    clean = _StripDraft(frozenset(), None)(draft)
    assert (clean.title, clean.summary) == ("Bridge shut", STORY[0])
    assert (clean.published_title, clean.published_summary) == (draft.title, draft.summary)
    plain = _StripDraft(frozenset(), None)(Draft("b", title="Bridge shut", summary=STORY[0], text=STORY[1]))
    assert (plain.title, plain.summary, plain.published_title, plain.published_summary) == (
        "Bridge shut",
        STORY[0],
        None,
        None,
    )
    nothing = _StripDraft(frozenset(), None)(Draft("c", summary="Advertisement", text=STORY[1]))
    assert (nothing.title, nothing.summary, nothing.published_summary) == (None, None, "Advertisement")


def test_a_chinese_name_in_brackets_does_not_turn_words_into_characters() -> None:
    refrain = "“We will carry it home,” the choir sang."
    lines = [STORY[0], refrain, STORY[1].replace("pier", "pier (北橋墩)"), refrain, STORY[2]]
    assert strip_lines(lines) == lines


@pytest.mark.parametrize("line", ["– Vi skal bære den hjem, sier Hansen.", "‘We carried the whole bridge home’"])
def test_a_prompt_without_a_full_stop_does_not_take_the_next_line_along(line: str) -> None:
    prompt = "Never miss a story. Check out more newsletters"
    assert strip_lines([STORY[0], STORY[1], prompt, line, STORY[2]]) == [STORY[0], STORY[1], line, STORY[2]]


def test_a_poll_takes_its_question_along_and_not_the_line_that_introduces_the_story() -> None:
    poll = ["Take our poll - story continues below", "Which party do you trust more in the county?"]
    intro = "Here's a look at what we know, and what we don't, about the bridge:"
    assert strip_lines([STORY[0], *poll, intro, *STORY[1:]]) == [STORY[0], intro, *STORY[1:]]


def test_a_contact_takes_the_company_above_it_along_and_not_a_heading_of_the_story() -> None:
    contact = ["Media Contact", "Tom Albright", "+1 555-0142"]
    assert strip_lines([*STORY, "Bank of the Hallam", *contact]) == list(STORY)
    assert strip_lines([*STORY, "Best for Walkers", *contact]) == [*STORY, "Best for Walkers"]


@pytest.mark.parametrize(
    "teasers",
    [
        ["Ferry owner seeks four million", "2 hours ago", "Mill strike enters third week", "5 hours ago"],
        [
            "1",
            "Ferry owner seeks four million",
            "2",
            "Mill strike enters third week",
            "3",
            "Why sheep prices are rising",
        ],
    ],
)
def test_headlines_under_the_story_with_their_age_or_rank_are_a_list_of_teasers(teasers: list[str]) -> None:
    assert strip_lines([*STORY, *teasers]) == list(STORY)
    bare = [line for line in teasers if " ago" not in line and not line.isdecimal()]
    assert strip_lines([*STORY, *bare]) == [*STORY, *bare]


def test_standings_are_no_teasers() -> None:
    standings = ["1", "Hallam Rovers", "2", "Dunmore Town", "3", "Branton"]
    assert strip_lines([*STORY, *standings]) == [*STORY, *standings]


def test_a_form_takes_its_offer_and_the_heading_over_it_along_and_not_a_sentence_of_the_story() -> None:
    form = ["The Morning Lantern", "All you need to know, every weekday at 7", "Enter your email"]
    assert strip_lines([*STORY[:2], *form, STORY[2]]) == list(STORY)
    told = ["Nine weeks of work", "The ferry is free.", "Enter your email"]
    assert strip_lines([*STORY[:2], *told, STORY[2]]) == [*STORY[:2], *told[:2], STORY[2]]


def test_the_label_of_a_button_in_quotes_is_nobodys_speech() -> None:
    consent = "By clicking “Sign up”, you agree to our terms of use and our privacy policy."
    assert strip_lines([*STORY, consent]) == list(STORY)


def test_words_of_scripts_with_vowel_signs_are_whole() -> None:
    assert words_of("परिषद ने पुराने पुल को देखा।") == ["परिषद", "ने", "पुराने", "पुल", "को", "देखा"]
    assert words_of("সেতু বন্ধ থাকবে") == ["সেতু", "বন্ধ", "থাকবে"]


def test_a_sentence_of_a_script_without_full_stops_is_no_headline_of_a_list() -> None:
    story = "วิศวกรของจังหวัดเตือนว่าตอม่อด้านเหนือของสะพานเก่าทรุดลงทุกเดือนและจะต้องซ่อมก่อนฤดูฝนปีหน้า " * 2
    last = "วิศวกรเตือนว่าตอม่อด้านเหนือทรุดลงทุกเดือน"
    text = "\n".join((story.strip(), "Related", "Wheat", last))
    assert last in strip_cruft(text, title=None, site=None, language="th").text.split("\n")


@pytest.mark.parametrize(
    "line, language",
    [
        ("☞ 밀값 오름세 계속", "ko"),
        ("▲ 석교리의 낡은 다리. (사진=석교군)", "ko"),
        ("Об этом сообщает «Вести долины».", "ru"),
    ],
)
def test_a_mark_or_a_quotation_is_part_of_the_line_for_rules_that_name_it(line: str, language: str) -> None:
    story = [
        "The county council voted on Tuesday evening to mend the old bridge at Hallam before the winter rains arrive.",
        "The work should take nine weeks, and the ferry will carry walkers across the water for nothing until then.",
    ]
    text = "\n".join([*story, line])
    assert strip_cruft(text, title=None, site=None, language=language).text.split("\n") == story
