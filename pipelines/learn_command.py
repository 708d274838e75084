"""`newsbeam learn`: the lines that sites repeat under their stories, from the lake's articles into its site_lines.

From then on each step that strips cruft removes them (a running stream within a minute); `newsbeam reclean` applies
them to the rows that are there.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

from pipelines.ingest import pipeline_of
from pipelines.options import BATCH_RUNNERS, Config
from transforms.errors import one_line
from transforms.lake import Lake, open_lake
from transforms.learn_site_lines import LearnSiteLines, SiteLine, files_to_learn_from, model_version_of
from transforms.site_lines import samples_of, store_site_lines

_LINES_SHOWN = 5  # of a site; --json has all


def add_flags(parser: argparse.ArgumentParser, options: Any) -> None:
    """Add the flags of `newsbeam learn`."""
    parser.add_argument("--dry-run", action="store_true", help="print what would be learned, and store nothing")
    options.add_common_flags(parser)
    parser.add_argument(
        "--runner", default=BATCH_RUNNERS[0], choices=BATCH_RUNNERS, help="Beam engine (default: FnApiRunner)"
    )
    parser.add_argument("--json", action="store_true", help="print the lines with their evidence as JSON")


def run(args: argparse.Namespace) -> int:
    """Run `newsbeam learn`."""
    from pipelines import cli
    from pipelines.options import read_config

    config = read_config(args, version=cli.version())
    lake = open_lake(config.lake, create=False)
    lines = learn(config, lake)
    samples = samples_of(lake, lines)
    is_new = not args.dry_run and store_site_lines(lake, lines, samples, now=Timestamp.of(time.time()))
    if args.json:
        print(json.dumps(_as_json(lines, samples, is_new), ensure_ascii=False))
    else:
        print("\n".join(_report(lines, samples, is_new=is_new, is_dry_run=args.dry_run)))
    return 0


def learn(config: Config, lake: Lake) -> list[SiteLine]:
    """Return the lines of all sites, as the articles of `lake` have them now; the order is that of site and hash.

    Raises:
        LakeError: the lake cannot be read.
    """
    files = files_to_learn_from(lake)
    if not files:
        return []
    with tempfile.TemporaryDirectory(prefix="newsbeam-learn-") as folder:
        path = Path(folder, "lines.json")
        with pipeline_of(config) as pipeline:
            learned = (
                pipeline | "files" >> beam.Create(files) | "learn site lines" >> LearnSiteLines(lake_uri=config.lake)
            )
            _ = (
                learned
                | "all" >> beam.combiners.ToList()
                | "hand over" >> beam.Map(_hand_over, str(path)).with_output_types(int)
            )
        lines = [SiteLine(**values) for values in json.loads(path.read_text("utf-8"))]
    return sorted(lines, key=lambda line: (line.site, line.line_hash))


def _hand_over(lines: Sequence[SiteLine], path: str) -> int:
    Path(path).write_text(json.dumps([asdict(line) for line in lines]), "utf-8")
    return len(lines)


def _report(
    lines: Sequence[SiteLine], samples: Mapping[tuple[str, str], str], *, is_new: bool, is_dry_run: bool
) -> list[str]:
    by_site = {site: list(of_site) for site, of_site in groupby(lines, key=lambda line: line.site)}
    out = [f"learned   {len(lines)} {'line' if len(lines) == 1 else 'lines'} of {len(by_site)} sites"]
    if lines:
        out[0] += f", version {model_version_of(lines)}"
    if not is_dry_run:
        out.append("stored    " + ("for all runs from now on" if is_new else "nothing: that is what was known"))
    for site, of_site in by_site.items():
        out.append(f"{site}: {len(of_site)}")
        for line in sorted(of_site, key=lambda line: (-line.articles, line.line_hash))[:_LINES_SHOWN]:
            sample = one_line(samples.get((line.site, line.line_hash), ""), limit=80)
            out.append(f"  {line.articles:6,} articles, {line.days:3} days, {line.article_share:4.0%}  {sample}")
    return out


def _as_json(lines: Sequence[SiteLine], samples: Mapping[tuple[str, str], str], is_new: bool) -> dict[str, Any]:
    return {
        "model_version": model_version_of(lines) if lines else None,
        "is_new": is_new,
        "lines": [asdict(line) | {"line": samples.get((line.site, line.line_hash), "")} for line in lines],
    }
