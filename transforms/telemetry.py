"""What the streaming worker measures of itself: one registry a process, in Prometheus' terms.

Decisions:
    Beam's own counters stay for batch, where an engine adds them up over workers; these are for whoever watches one
    process while it runs. They are module-level objects because a metric is one thing in a process, as a logger is.

    Every counter counts what has happened, every gauge is set by whoever changes what it shows; asking for the metrics
    reads nothing but this memory, so that a scrape can neither wait for the lake nor for the network.

Limits: labels hold words of ours only (dispositions, slugs, kinds), never a feed, a site or an address: their number
is bounded, and nothing secret can leak through them.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

disable_created_metrics()  # a time beside each counter, which nobody reads
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

ENTRIES = Counter("newsbeam_entries", "Entries by disposition.", ["disposition"], registry=REGISTRY)
DEAD_LETTERS = Counter("newsbeam_dead_letters", "Dead letters.", ["stage", "reason"], registry=REGISTRY)
POLLS = Counter("newsbeam_polls", "Finished polls by status.", ["status"], registry=REGISTRY)
FEEDS = Gauge("newsbeam_feeds", "Listed feeds by state of their newest poll.", ["state"], registry=REGISTRY)
FEEDS_SILENT = Gauge(
    "newsbeam_feeds_silent", "Listed feeds whose last new entry is older than they used to take.", registry=REGISTRY
)
FETCH_SECONDS = Histogram(
    "newsbeam_fetch_seconds",
    "One exchange, redirects and body included.",
    ["kind"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
EXTRACT_SECONDS = Histogram(
    "newsbeam_extract_seconds", "A page from its queue to its text.", buckets=_SECONDS, registry=REGISTRY
)
FRESHNESS_SECONDS = Histogram(
    "newsbeam_freshness_seconds",
    "An article from being seen in a feed to its committed row.",
    buckets=(1, 2.5, 5, 10, 15, 20, 30, 60, 120, 300, 900),
    registry=REGISTRY,
)
COMMIT_SECONDS = Histogram("newsbeam_commit_seconds", "One commit.", buckets=_SECONDS, registry=REGISTRY)
COMMIT_ITEMS = Histogram(
    "newsbeam_commit_items",
    "Items of one commit: drafts, failures, polls.",
    buckets=(1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500),
    registry=REGISTRY,
)
COMMIT_FAILURES = Counter("newsbeam_commit_failures", "Commits that the lake refused.", ["reason"], registry=REGISTRY)
COMMITTED_AT = Gauge("newsbeam_last_commit_timestamp_seconds", "When the last commit ended.", registry=REGISTRY)
COMMIT_PENDING = Gauge("newsbeam_commit_pending_items", "Items that wait for a lake that is away.", registry=REGISTRY)
POLLS_WAITING = Gauge(
    "newsbeam_polls_waiting", "Finished polls with entries whose disposition is not committed yet.", registry=REGISTRY
)
BOOKS_UNBALANCED = Counter(
    "newsbeam_polls_unbalanced",
    "Polls given up because entries of theirs never came to the commit; they are polled again.",
    registry=REGISTRY,
)
TICKS = Counter("newsbeam_ticks", "Ticks by what came of them: harvested, stale.", ["result"], registry=REGISTRY)
HARVESTED_AT = Gauge("newsbeam_last_harvest_timestamp_seconds", "When a tick last harvested.", registry=REGISTRY)
HARVEST_QUEUE_PAGES = Gauge("newsbeam_harvest_queue_pages", "Fetched pages that wait.", registry=REGISTRY)
HARVEST_QUEUE_BYTES = Gauge("newsbeam_harvest_queue_bytes", "What the waiting pages take.", registry=REGISTRY)
ENTRIES_IN_FLIGHT = Gauge("newsbeam_entries_in_flight", "Entries seen and not committed yet.", registry=REGISTRY)
POLLING_STOPPED = Gauge(
    "newsbeam_polling_stopped", "1 while no poll is started because too much is under way.", registry=REGISTRY
)
