"""Examples shown by `newsbeam COMMAND --help`; tests run each of them as far as it can be run offline."""

EXAMPLES = {
    "demo": """\
examples:
  newsbeam demo --lake /tmp/newsroom
  newsbeam demo --stream                              the streaming worker on Prism, until Ctrl-C
""",
    "init": """\
example:
  newsbeam init && $EDITOR newsbeam.toml && newsbeam ingest
""",
    "ingest": """\
examples:
  newsbeam ingest                                     feeds and lake of newsbeam.toml
  newsbeam ingest --lake news --feeds feeds.opml      feeds of a list; contact of newsbeam.toml
  newsbeam ingest --lake news https://example.org/feed.xml --contact mailto:you@example.org
""",
    "stream": """\
examples:
  newsbeam stream                                     feeds and lake of newsbeam.toml, on Prism; Ctrl-C drains
  newsbeam stream --lake news --feeds feeds.opml --tick 10s --log-format json
  newsbeam stream --runner flink --flink-master jobmanager:8081 --worker-pool localhost:50000
""",
    "backfill": """\
examples:
  newsbeam backfill --lake news CC-NEWS-20260101000000-00001.warc.gz
  newsbeam backfill --lake news pages.jsonl.gz        lines with url and html, or url, text, title, published
""",
    "replay": """\
examples:
  newsbeam replay --dry-run                           how many dead letters would be tried again, by reason
  newsbeam replay --reason http_503 --since 2d        a site was down
  newsbeam replay --site example.org                  permanent dead letters as well
""",
    "learn": """\
examples:
  newsbeam learn --dry-run                            what would be learned, with the evidence
  newsbeam learn && newsbeam reclean                  once a day or week: learn, then clean what is there
""",
    "reclean": """\
examples:
  newsbeam reclean --dry-run                          how many rows would change, and samples of what
  newsbeam reclean --site example.org --since 7d
""",
    "clean": """\
examples:
  newsbeam clean https://example.org/2026/story.html
  newsbeam clean page.html --url https://example.org/2026/story.html --explain
  newsbeam clean - --format json < story.txt
""",
    "feeds": """\
examples:
  newsbeam feeds check                                feeds and lake of newsbeam.toml, the worst first
  newsbeam feeds check --lake news --feeds feeds.opml --fail-on gone
  newsbeam feeds export --format toml > feeds.toml    for another program, or another place
""",
    "show": """\
example:
  newsbeam show 3f9a2c41d07be655 --lake news
""",
}
