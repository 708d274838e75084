import csv
import time
import tomllib

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as _TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from transforms.records import Draft
from transforms.tag_topics import (
    LEAST_SCORE_BELOW,
    MOST_EVIDENCE,
    MOST_TOPICS,
    RANKS,
    TAXONOMY,
    TagTopics,
    languages,
    tag_topics,
)

# Written for these tests: what each speaks of is plain to a reader.
ARTICLES = [
    (
        "en",
        "Varga strikes late as Kelbrook reach cup final",
        "Striker Ilse Varga scored in injury time as Kelbrook beat Orrin 2-1 in the semi-final on Saturday. "
        "The goalkeeper had saved a penalty before half-time, and the referee showed a red card to Orrin's captain. "
        "The coach praised his midfielders and the fans in the stadium.",
        ["medtop:15000000", "medtop:20001065"],
    ),
    (
        "en",
        "Tarn Steel shares fall after profit warning",
        "Shares in Tarn Steel fell 12% on the stock exchange after the manufacturer issued a profit warning. "
        "The chief executive blamed weak demand and the exchange rate. Analysts expect revenue and earnings to fall "
        "again next quarter, and shareholders may lose their dividend.",
        ["medtop:04000000"],
    ),
    (
        "en",
        "Parliament rejects coalition's tax bill",
        "The prime minister lost a vote in parliament on Tuesday when lawmakers of her own party voted with the "
        "opposition. The opposition leader called for a general election. Cabinet ministers defended the legislation.",
        ["medtop:11000000"],
    ),
    (
        "en",
        "Telescope finds water in the air of a far planet",
        "Astronomers using a space telescope have found water vapour around a planet outside the solar system. "
        "The scientists, led by a physicist in Marrow Bay, say the research needs another spacecraft.",
        ["medtop:13000000", "medtop:20000717"],
    ),
    (
        "en",
        "Man jailed for burglary",
        "A judge at the crown court sentenced a burglar to four years in prison. The defendant had pleaded guilty; "
        "the jury heard that police arrested him after a robbery. The prosecutor spoke of a serious crime.",
        ["medtop:02000000"],
    ),
    (
        "de",
        "Seeburg steigt in die Bundesliga auf",
        "Der Trainer lobte seine Mannschaft nach dem Sieg im letzten Spiel der Saison. Stürmer Ole Brandt traf vor "
        "der Halbzeit per Elfmeter, der Torwart hielt das Ergebnis fest. Die Fans feierten im Stadion.",
        ["medtop:15000000", "medtop:20001065"],
    ),
    (
        "de",
        "Landtagswahl: Koalition verliert Mehrheit",
        "Die Ministerpräsidentin hat bei der Landtagswahl ihre Mehrheit verloren. Die Opposition fordert Neuwahlen, "
        "die Partei des Innenministers berät am Abend. Die Wahlbeteiligung lag bei 71 Prozent.",
        ["medtop:11000000", "medtop:20000574"],
    ),
    (
        "de",
        "Großbrand in Lagerhalle: Feuerwehr im Einsatz",
        "In einer Lagerhalle in Ohlau ist am Morgen ein Feuer ausgebrochen. Die Feuerwehr war mit 80 Kräften vor Ort, "
        "die Rettungskräfte brachten drei Verletzte in Sicherheit. Die Brandursache ist unklar, der Sachschaden hoch.",
        ["medtop:03000000", "medtop:20000150"],
    ),
    (
        "es",
        "El alcalde de Ribera pierde la moción de censura",
        "El ayuntamiento votó el martes. La oposición reunió los votos de tres partidos y el candidato del gobierno "
        "perdió la alcaldía. La ministra pidió elecciones y una reforma de la ley electoral.",
        ["medtop:11000000"],
    ),
    (
        "fr",
        "Grève des trains : les syndicats reconduisent le mouvement",
        "Les syndicats appellent les salariés à la grève lundi. La CGT demande une hausse des salaires et dénonce des "
        "licenciements. Les grévistes rejettent la convention collective que propose l'employeur.",
        ["medtop:09000000"],
    ),
]


@pytest.mark.parametrize("language, title, text, expected", ARTICLES, ids=[a[1] for a in ARTICLES])
def test_what_an_article_speaks_of(language, title, text, expected):
    codes = [topic.code for topic in tag_topics(title, text, language=language)]
    assert codes[0] == expected[0]
    assert set(expected) <= set(codes)


def test_evidence_stands_in_the_article_as_written():
    _, title, text, _ = ARTICLES[1]
    (topic, *_) = tag_topics(title, text, language="en")
    assert topic.label == "economy, business and finance"
    assert {"shares", "profit warning"} <= set(topic.evidence)
    assert all(words in f"{title}\n{text}" for words in topic.evidence)


@pytest.mark.parametrize("language", [None, "", "xx", "tlh", "../en", "e n"])
def test_no_topics_without_a_lexicon(language):
    assert tag_topics(ARTICLES[0][1], ARTICLES[0][2], language=language) == ()


@pytest.mark.parametrize("language", ["en", "EN", "en-GB", "en_US"])
def test_regions_share_their_language(language):
    assert tag_topics(ARTICLES[0][1], ARTICLES[0][2], language=language)[0].code == "medtop:15000000"


@pytest.mark.parametrize(
    "title, text",
    [
        ("", ""),
        ("Notice", "The office is closed on Monday. Please use the door at the side."),
        # One strong word, or figures of speech, make no topic.
        ("A marathon of a meeting", "The committee sat until two in the morning and nobody went home."),
        ("Her goal", "She said that her goal was to win the battle against clutter in her own kitchen."),
    ],
)
def test_no_topic_rather_than_a_wrong_one(title, text):
    assert tag_topics(title, text, language="en") == ()


def test_the_title_counts_more_than_the_end():
    politics = "The prime minister and the opposition leader met lawmakers in parliament."
    sport = "The goalkeeper and the striker met the head coach in the stadium."
    filler = "Nothing else was said about it all that long day. " * 20
    one = tag_topics(politics, filler + sport, language="en")
    other = tag_topics(sport, filler + politics, language="en")
    assert one[0].code == "medtop:11000000"
    assert other[0].code == "medtop:15000000"


def test_the_longest_term_wins():
    text = "The White House said so. White House officials repeated it, and the White House press office too."
    evidence = {w for t in tag_topics("White House and Senate agree", text, language="en") for w in t.evidence}
    assert "White House" in evidence
    assert "House" not in evidence


def test_german_compounds_and_words_that_only_look_like_them():
    text = (
        "Der Kommunalwahlkampf begann mit dem Wahlkampfauftakt der Partei; die Wählerinnen hörten den Ministerinnen zu."
    )
    (topic, *_) = tag_topics("Kommunalwahlkampf beginnt", text, language="de")
    assert topic.code == "medtop:11000000"
    assert {"Kommunalwahlkampf", "Wahlkampfauftakt", "Ministerinnen"} <= set(topic.evidence)
    menu = "Die Auswahl ist groß, die Anzahl der Gerichte auch. Beispielsweise ist die Auswahl der Torten gut."
    assert tag_topics("Große Auswahl", menu, language="de") == ()


@given(title=st.text(max_size=60), text=st.text(max_size=400), language=st.sampled_from(languages()))
def test_any_text_gives_few_certain_and_ranked_topics(title, text, language):
    topics = tag_topics(title, text, language=language)
    assert len(topics) <= MOST_TOPICS
    assert all(LEAST_SCORE_BELOW <= topic.score <= 1.0 and topic.evidence for topic in topics)
    assert [topic.score for topic in topics] == sorted((topic.score for topic in topics), reverse=True)


WORDS = st.lists(st.sampled_from(" ".join(a[2] for a in ARTICLES).split()), max_size=200).map(" ".join)


@given(title=WORDS, text=WORDS, language=st.sampled_from(languages()))
def test_a_topic_below_the_top_follows_its_top(title, text, language):
    top_of = {row["code"]: row["top"] for row in _vocabulary()}
    topics = tag_topics(title, text, language=language)
    assert len({topic.code for topic in topics}) == len(topics)
    assert all(len(topic.evidence) <= MOST_EVIDENCE for topic in topics)
    for place, topic in enumerate(topics):
        assert top_of[topic.code] in [before.code for before in topics[: place + 1]]


def _vocabulary() -> list[dict[str, str]]:
    with (TAXONOMY / "media_topics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("language", languages())
def test_lexicons_are_well_formed(language):
    tables = tomllib.loads((TAXONOMY / f"{language}.toml").read_text("utf-8"))
    tables.pop("ignore", None)
    tops = {row["code"] for row in _vocabulary() if row["level"] == "1"}
    codes = {row["code"] for row in _vocabulary()}
    assert tops <= {f"medtop:{digits}" for digits in tables}
    for digits, ranks in tables.items():
        assert f"medtop:{digits}" in codes, digits
        assert set(ranks) <= set(RANKS), digits
        terms = [" ".join(term.split()) for rank in ranks.values() for term in rank.split(",")]
        assert all(terms), f"{digits} has an empty term"
        assert all(len(term.split()) <= 5 for term in terms), digits
        assert [t for t in terms if "*" in t.strip("*")] == [], digits


def test_cost_is_linear_and_small():
    """An article of 600 words costs well under a millisecond on a free core; ten times that is a defect."""
    title, text = ARTICLES[0][1], " ".join(a[2] for a in ARTICLES[:5]) * 3
    tag_topics(title, text, language="en")
    start = time.process_time()
    for _ in range(50):
        tag_topics(title, text, language="en")
    assert (time.process_time() - start) / 50 < 0.01


def test_transform_tags_drafts():
    _, title, text, expected = ARTICLES[0]
    drafts = [
        Draft(article_id="1", title=title, text=text, language="en"),
        Draft(article_id="2", title=None, text="", language=None),
    ]
    with _TestPipeline(runner="FnApiRunner") as pipeline:
        tagged = pipeline | beam.Create(drafts) | "tag topics" >> TagTopics(strict=True)
        found = tagged.rows | beam.Map(lambda d: (d.article_id, [t.code for t in d.topics][:2]))
        assert_that(found, equal_to([("1", expected), ("2", [])]), label="rows")
        assert_that(tagged.failures, equal_to([]), label="failures")
