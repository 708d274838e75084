"""A real full disk: one line, nothing committed is touched, and the next run makes it good."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.demo.newsroom import Newsroom
from tests.conftest import ROOT
from transforms.article_url import article_id_of, article_url

pytestmark = pytest.mark.chaos


def in_own_mounts(command: str) -> list[str]:
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command]


def need_mounts(folder: Path) -> None:
    """Skip where no disk of our own can be mounted (no util-linux, or no user namespaces); fail in CI."""
    probe = in_own_mounts(f"mount -t tmpfs -o size=64k tmpfs {shlex.quote(str(folder))}")
    if shutil.which("unshare") and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return
    message = "no user namespace to mount a small disk in (unshare --user --mount)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def test_a_full_disk_fails_the_run_with_one_line_and_loses_nothing(tmp_path: Path) -> None:
    need_mounts(tmp_path)
    with Newsroom() as room:
        good = [feed for feed in room.feeds if feed.kind == "ok"]
        (tmp_path.parent / "feeds.txt").write_text("\n".join(feed.url for feed in good), "utf-8")
        hosts = [f"--allow-host={host}=127.0.0.1/32" for host in room.hosts]
        disk = str(tmp_path)
        command = [sys.executable, "-m", "tests.chaos.full_disk", disk, good[0].url]
        command += [str(tmp_path.parent / "feeds.txt"), *hosts, "--spacing-seconds", "0"]
        mounted = f"mount -t tmpfs -o size=3m tmpfs {shlex.quote(disk)} && exec {shlex.join(command)}"
        result = subprocess.run(
            in_own_mounts(mounted), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert result.returncode == 0, result.stderr
        told = json.loads(result.stdout.splitlines()[-1])
        expected = sorted(article_id_of(article_url(article.url, None)) for article in room.articles)
    assert told["statuses"] == [0, 1, 0]
    assert 0 < len(told["had"]) < len(expected)
    assert told["kept"] == told["had"]
    (line,) = [line for line in told["words"].splitlines() if line.startswith("newsbeam: ")]
    assert "the disk is full; free some space and run again (nothing committed was touched)" in line
    assert told["articles"] == expected
