"""The command line: exit status, one clear line for bad input, and what each command prints."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines import cli, help_texts
from pipelines.demo.newsroom import Newsroom
from tests.conftest import NOON, ROOT
from transforms.commit import Batch, commit
from transforms.lake import Lake
from transforms.records import Draft, Removal, Topic

WHO = ["--contact", "mailto:you@example.org"]


def newsbeam(*arguments: str) -> int:
    return cli.main(list(arguments))


@pytest.fixture(scope="module")
def room() -> Iterator[Newsroom]:
    with Newsroom() as room:
        yield room


def allow(room: Newsroom) -> list[str]:
    return [f"--allow-host={host}=127.0.0.1/32" for host in room.hosts] + ["--spacing-seconds", "0"]


@pytest.mark.parametrize("command", sorted(help_texts.EXAMPLES))
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        newsbeam(command, "--help")
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"newsbeam {command}" in out.split("example", 1)[1]


def test_no_command_and_an_unknown_one_are_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert newsbeam() == 2
    with pytest.raises(SystemExit) as ended:
        newsbeam("inject")
    assert ended.value.code == 2
    assert "invalid choice: 'inject'" in capsys.readouterr().err


def test_version_starts_without_beam() -> None:
    code = "import sys, pipelines.cli as c; c._parser(); sys.exit('apache_beam' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_init_writes_a_file_that_ingest_can_read_and_keeps_one_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.options import Config

    monkeypatch.chdir(tmp_path)
    assert newsbeam("init") == 0
    seen: list[Config] = []
    monkeypatch.setattr("pipelines.ingest.ingest", lambda config, **kwargs: seen.append(config))
    assert newsbeam("ingest") == 0
    assert [feed.url for feed in seen[0].feeds] == ["https://example.org/feed.xml"]
    assert seen[0].acquire.user_agent == f"newsbeam/{cli.version()} (+mailto:you@example.org)"
    assert newsbeam("init") == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "toml, words",
    [
        ("lake = ", "cannot be read"),
        ("lakes = 'x'", "unknown setting 'lakes'; known are"),
        ("[http]\nspacing = 1", "unknown setting 'spacing' in [http]"),
        ("feeds_per_wave = 'many'", "feeds_per_wave = 'many' is not what it should be"),
        ("keep_kinds = 'author_bio'", "keep_kinds = 'author_bio' is not what it should be"),
        (
            "keep_kinds = ['bios']",
            "keep_kinds: unknown kind 'bios'; known are advert, affiliate, app, audio_widget, author_bio",
        ),
        ("[[feeds]]\ntitle = 'x'", "[[feeds]] table 1 has no url"),
        (
            "[[feeds]]\nurl = 'https://a.example/f'\nlang = 'en'",
            "line 1: the feed 'https://a.example/f' has an unknown key 'lang'",
        ),
        ("lake = 'x'", "no feeds: give addresses or --feeds FILE"),
    ],
)
def test_a_wrong_settings_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], toml: str, words: str
) -> None:
    path = tmp_path / "newsbeam.toml"
    path.write_text(toml, "utf-8")
    assert newsbeam("ingest", "--config", str(path)) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_a_feed_list_with_a_typo_is_named_by_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "feeds.txt"
    path.write_text("https://a.example/feed\nhtps://b.example/feed\n", "utf-8")
    assert newsbeam("ingest", "--feeds", str(path), "--lake", str(tmp_path / "lake")) == 2
    err = capsys.readouterr().err
    assert "feeds.txt" in err
    assert "line 2" in err
    assert "htps://b.example/feed" in err
    assert not (tmp_path / "lake").exists()


def test_a_lake_that_is_none_fails_the_run_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert newsbeam("ingest", "https://a.example/feed", "--lake", str(tmp_path), *WHO) == 1
    assert "is not a lake: it holds 'thesis.txt'" in capsys.readouterr().err


def test_ingest_says_what_it_did_and_as_json(
    room: Newsroom, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = next(f for f in room.feeds if f.kind == "ok")
    lake = str(tmp_path / "lake")
    assert newsbeam("ingest", feed.url, "--lake", lake, *allow(room)) == 0
    out = capsys.readouterr().out
    assert "polled    1 feed in " in out
    assert newsbeam("ingest", feed.url, "--lake", lake, "--json", *allow(room)) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["written"], summary["new"], summary["polls"]) == (0, 0, {"not_modified": 1})


def test_a_run_in_which_every_feed_failed_has_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newsbeam("ingest", "http://127.0.0.1:9/feed", "--lake", str(tmp_path / "lake"), *WHO) == 1
    out, err = capsys.readouterr()
    assert "forbidden_address" in out
    assert err == "newsbeam: every feed failed; is this machine's network up?\n"


# ---- clean --------------------------------------------------------------------------------------------------------------


def test_clean_prints_exactly_the_expected_lines_of_each_seed(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in sorted((shared / "seeds").glob("*.txt")):
        assert newsbeam("clean", str(seed)) == 0
        expected = (shared / "seeds" / "expected" / seed.name).read_text("utf-8")
        assert capsys.readouterr().out == expected.rstrip("\n") + "\n"


def test_clean_shows_the_headline_of_the_first_seed_as_title(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (seed,) = (shared / "seeds").glob("000_*.txt")
    assert newsbeam("clean", str(seed), "--format", "json") == 0
    page = json.loads(capsys.readouterr().out)
    assert page["title"] == seed.read_text("utf-8").split("\n")[0]
    assert page["syndicated_from"] == "MENAFN"
    assert {removal["kind"] for removal in page["removed"]} > {"whitespace"}


PAGE = """<!DOCTYPE html><html lang="en"><head><title>Pier to be rebuilt | The Bay Post</title>
<meta property="og:title" content="Pier to be rebuilt"></head><body><nav><a href="/">Home</a></nav><article>
<h1>Pier to be rebuilt</h1>
<p>The council of Harrow Bay voted on Monday to rebuild the old pier, which a storm broke in two last winter.</p>
<p>Work is to begin in the spring and will cost nine million crowns, half of it from the county.</p>
<p>Shopkeepers on the front had asked for a decision before the season begins, the mayor said on Tuesday.</p>
<p>Subscribe to our newsletter to get the latest posts sent to your email.</p></article></body></html>"""


def test_clean_of_a_page_from_stdin_explains_itself(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "clean", "-", "--url", "https://bay.example/pier-2026", "--explain"],
        input=PAGE.encode(),
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    story = result.stdout.decode().splitlines()
    assert [line.split()[0] for line in story] == ["The", "Work", "Shopkeepers"]
    explained = result.stderr.decode()
    assert "title: Pier to be rebuilt" in explained
    assert "[-Subscribe to our newsletter" in explained
    assert "newsletter" in explained.rsplit("removed:", 1)[1]


def test_kinds_of_the_settings_file_stay_unless_flags_name_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.options import Config

    monkeypatch.chdir(tmp_path)
    Path("newsbeam.toml").write_text("contact = 'mailto:you@example.org'\nkeep_kinds = ['newsletter']\n", "utf-8")
    Path("page.html").write_text(PAGE, "utf-8")
    prompt = "Subscribe to our newsletter to get the latest posts sent to your email."
    assert newsbeam("clean", "page.html") == 0
    assert capsys.readouterr().out.splitlines()[-1] == prompt
    assert newsbeam("clean", "page.html", "--keep-kind", "author_bio") == 0
    assert prompt not in capsys.readouterr().out
    seen: list[Config] = []
    monkeypatch.setattr("pipelines.ingest.ingest", lambda config, **kwargs: seen.append(config))
    for flags in ([], ["--keep-kind", "author_bio", "--keep-kind", "pr_about"]):
        assert newsbeam("ingest", "https://a.example/feed", *flags) == 0
    assert [set(config.keep_kinds) for config in seen] == [{"newsletter"}, {"author_bio", "pr_about"}]


@pytest.mark.parametrize(
    "text, title",
    [
        ("Pier to be rebuilt\n\nThe council voted on Monday.", "Pier to be rebuilt"),
        ("Pier to be rebuilt\n(AP) — The council voted on Monday to rebuild it.", "Pier to be rebuilt"),
        ("Trade talks resume in U.S.\n\nThe council voted on Monday.", "Trade talks resume in U.S."),
        ("Pier to be rebuilt\nThe council voted on Monday.", None),
        ("The council voted on Monday.\n\nWork begins in spring.", None),
        ("“It will be rebuilt.”\n\nSo said the mayor.", None),
        ("One line only", None),
        ("A long first line " * 12 + "\n\nThe council voted.", None),
    ],
)
def test_the_first_line_is_a_headline_only_where_that_is_certain(text: str, title: str | None) -> None:
    from pipelines.clean_page import split_headline

    assert split_headline(text)[0] == title


def test_clean_explains_without_obeying_the_control_characters_of_a_text() -> None:
    from pipelines.clean_page import clean_plain_text, explain

    page = clean_plain_text(
        "UPDATE 1-Bridge shut at Hallam\n\nThe bridge \x1b[31mwas shut on Monday, the county said.\n"
    )
    lines = "\n".join(explain(page, color=False))
    assert "\x1b" not in lines
    assert "\\x1b[31mwas shut" in lines
    assert lines.startswith("title: Bridge shut at Hallam\npublished as: UPDATE 1-Bridge shut at Hallam\n")


@pytest.mark.parametrize(
    "data, words",
    [(b"\x89PNG\r\n\x1a\n\x00\x00\x00", "neither a page nor a text"), (b"<html><body></body></html>", "")],
)
def test_clean_of_what_is_no_article_fails_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, words: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    assert newsbeam("clean", str(path)) == 1
    err = capsys.readouterr().err
    assert words in err
    assert err.startswith("newsbeam: ")
    assert err.count("\n") == 1


def test_clean_of_a_missing_file_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newsbeam("clean", str(tmp_path / "none.html")) == 2
    assert "none.html cannot be read: No such file" in capsys.readouterr().err


def test_clean_of_an_address_fetches_it(room: Newsroom, capsys: pytest.CaptureFixture[str]) -> None:
    article = next(a for a in room.articles if a.origin == "page" and not a.special)
    assert newsbeam("clean", article.url, *allow(room)) == 0
    assert capsys.readouterr().out == article.body + "\n"


def test_clean_refuses_an_address_inside_the_network(room: Newsroom, capsys: pytest.CaptureFixture[str]) -> None:
    assert newsbeam("clean", f"http://127.0.0.1:{room.port}/") == 1
    assert "--allow-host" in capsys.readouterr().err


# ---- show ---------------------------------------------------------------------------------------------------------------


def test_show_tells_why_an_article_is_as_it_is(
    lake: Lake, draft: Callable[..., Draft], capsys: pytest.CaptureFixture[str]
) -> None:
    text = "The council of Harrow Bay voted on Monday to rebuild the old pier.\nWork begins in the spring, it said."
    topics = [Topic("11000000", "politics and government", 0.5, ["council"])]
    removed = [Removal("menafn_opener", "wire_opener", 0, 9, "(MENAFN) ")]
    first = draft(
        "00000000000000aa", text, topics=topics, removed=removed, title="Pier to be rebuilt", syndicated_from="MENAFN"
    )
    copy = draft("00000000000000bb", text, site="two.example", title="A pier returns", entry_id="b")
    commit(lake, Batch(drafts=[first, copy]), now=NOON)
    assert newsbeam("show", "00000000000000aa", "--lake", str(lake.root)) == 0
    out = capsys.readouterr().out
    for words in (
        "Pier to be rebuilt",
        "the text names MENAFN as its source",
        "00000000000000bb exact 1.00  two.example: A pier returns",
        "politics and government  because of: council",
        "wire_opener            menafn_opener",
    ):
        assert words in out
    assert newsbeam("show", "a pier returns", "--lake", str(lake.root)) == 0
    assert "exact copy (1.00) of 00000000000000aa" in capsys.readouterr().out
    assert newsbeam("show", "00000000000000bb", "--lake", str(lake.root), "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["duplicate_of"] == "00000000000000aa"


def test_show_of_what_is_not_there(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newsbeam("show", "00000000000000ff", "--lake", str(lake.root)) == 2
    assert "has no article 00000000000000ff" in capsys.readouterr().err
    assert newsbeam("show", "x", "--lake", str(tmp_path / "none")) == 1
    assert "there is no lake" in capsys.readouterr().err


def test_backfill_of_a_page_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "pages.jsonl"
    lines = [json.dumps({"url": "https://bay.example/pier-2026", "html": PAGE}), "not json"]
    archive.write_text("\n".join(lines) + "\n", "utf-8")
    lake = str(tmp_path / "lake")
    assert newsbeam("backfill", str(archive), "--lake", lake, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["written"], summary["entries"], sum(summary["failures"].values())) == (1, 2, 1)
    assert "pages.jsonl" in summary["failed_entries"][0]
    assert newsbeam("backfill", str(archive), "--lake", lake, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["written"], again["known"], again["new"]) == (0, 2, 0)
