"""Strip what syndication, publishers and blog software put around a story, and keep a ledger of it.

`strip_cruft` takes the extracted text of an article and returns the story, one paragraph a line, with every removed
stretch on record: rule, kind, offsets, text. Kept and removed together are the input, to the character (`restore`).

Decisions:
    The rules are data (transforms/cruft_rules), the engine that applies them to lines is transforms/cruft_engine.py
    (what stands twice: transforms/repeated_text.py); this file is the contract, the ledger and the Beam step.

    Nothing that reads like a paragraph of the story goes unless a rule covers it whole: a lost sentence is worse than
    a kept advert.

    Dropped white space is in the ledger too (kind ``whitespace``), so that nothing is lost that is not on record.

    What a text was cleaned with has a name (`rules_version`), made from the rules and the engine themselves, so that
    nobody has to remember to raise a number; `newsbeam reclean` goes by it.

Limits:
    Cruft inside a sentence stays. The city of a removed dateline is on record only.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Optional, Protocol

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from transforms.clean_title import clean_title
from transforms.cruft_engine import Cut, Ledger, engine, line_key
from transforms.cruft_rules import load_rules
from transforms.dead_letters import MapOrReject, Mapped
from transforms.errors import RejectedError, UsageError
from transforms.records import CleanText, Draft, Removal, digest64, field_names

LEAST_STORY_CHARS = 20  # shorter than any news in brief seen; longer than a lone label
SITE_RULE = "site_lines."  # what the rule of a learned line is called, before the version of the lines
_SITE_KIND = "site_boilerplate"

# Names by which a removed opener or credit gives away who sent the story; the first that is found counts.
_SENDERS = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("MENAFN", r"MENAFN"),
        ("EIN Presswire", r"EIN ?Presswire"),
        ("Business Wire", r"(?i:business ?wire)"),
        ("PR Newswire", r"(?i:PR ?Newswire)"),
        ("GlobeNewswire", r"(?i:globe ?newswire)"),
        ("ACCESS Newswire", r"(?i:access(?:wire| newswire))"),
        ("Newsfile", r"Newsfile"),
        ("news aktuell", r"\(ots\)|news aktuell"),
        ("SyndiGate", r"(?i:syndigate)"),
        ("TNS", r"\bTNS\b|(?i:tribune content agency|tribune news service|mcclatchy-tribune)"),
        ("Dow Jones", r"Dow Jones"),
        ("RTTNews", r"RTTNews"),
        ("Reuters", r"(?i:reuters)|رويترز|ロイター"),
        ("AP", r"\bAP\b|Associated Press"),
        ("AFP", r"\bAFP\b|Agence France-Presse|أ ?ف ?ب|法新社"),
        ("dpa", r"\bdpa\b|د ?ب ?أ"),
        ("EFE", r"\bEFE\b"),
        ("ANSA", r"\bANSA\b"),
        ("UPI", r"\bUPI\b"),
        ("PTI", r"\bPTI\b|भाषा"),
        ("IANS", r"\bIANS\b|आईएएनएस"),
        ("ANI", r"\bANI\b"),
        ("Xinhua", r"Xinhua|新华社|新華社"),
        ("China News Service", r"中新[网社]"),
        ("TASS", r"\bTASS\b|ТАСС"),
        ("RIA Novosti", r"РИА Новости"),
        ("Interfax", r"(?i:interfax)|Интерфакс"),
        ("Anadolu Agency", r"\(AA\)|Anadolu"),
        ("Lusa", r"\bLusa\b"),
        ("ANP", r"\bANP\b"),
        ("APA", r"\bAPA\b"),
        ("Europa Press", r"(?i:europa press)"),
        ("Adnkronos", r"(?i:adnkronos)"),
        ("Belga", r"(?i:\bbelga\b)"),
        ("Bloomberg", r"Bloomberg"),
        ("CNN", r"\bCNN\b"),
        ("Antara", r"(?i:\bantara\b)"),
        ("Yonhap", r"Yonhap|연합뉴스"),
        ("Kyodo", r"Kyodo|共同"),
        ("The Conversation", r"The Conversation"),
    )
)
_SENDER_KINDS = frozenset(
    {"wire_opener", "pr_opener", "wire_credit", "syndicator_credit", "syndicator_legal", "distributor", "dow_jones"}
)


class SiteLines(Protocol):
    """The lines that a site repeats under many of its stories, as a set of `line_hash` values with a version."""

    @property
    def model_version(self) -> str:
        """The version of the job that counted them; part of the rule's name in the ledger."""
        ...

    def __contains__(self, line_hash: object) -> bool:
        """Tell whether the line of this hash is the site's furniture."""
        ...


@dataclass(frozen=True)
class LearnedLines:
    """`SiteLines` in memory.

    Args:
        model_version: the version of the job that counted them; part of the rule's name in the ledger.
        hashes: `line_hash` of each line.
    """

    model_version: str
    hashes: frozenset[str]

    def __contains__(self, line_hash: object) -> bool:
        """Tell whether the line of this hash is the site's furniture."""
        return line_hash in self.hashes


class SitesLines(Protocol):
    """The learned lines of all sites, as a step of the graph asks for them."""

    def lines_of(self, site: Optional[str]) -> Optional[SiteLines]:
        """Return the lines of a site (registrable domain), None where there are none."""
        ...


OpenSitesLines = Callable[[], SitesLines]


def line_hash(line: str) -> str:
    """Return the hash (16 hex digits) of a line: blind to case, quotes, punctuation and white space."""
    return digest64("line", line_key(line))


class _ByHash:
    """Lets the engine ask with the words of a line for what is stored by its hash."""

    def __init__(self, site_lines: SiteLines) -> None:
        self._site_lines, self.model_version = site_lines, site_lines.model_version

    def __contains__(self, key: object) -> bool:
        return bool(key) and digest64("line", str(key)) in self._site_lines


def strip_cruft(
    text: str,
    *,
    title: Optional[str],
    site: Optional[str],
    language: Optional[str],
    site_lines: Optional[SiteLines] = None,
    keep: frozenset[str] = frozenset(),
) -> CleanText:
    """Return the story in `text`, one paragraph a line without blank lines, and the ledger of what was removed.

    Idempotent: stripping the returned text removes nothing. Any string is accepted; a text that is all cruft gives
    an empty story.

    Args:
        text: the extracted text, lines separated by line feeds.
        title: the headline, if known: repeated in the text it is removed.
        site: the registrable domain; not used by today's rules.
        language: BCP 47; not used by today's rules, which go by script (English cruft on other stories is common).
        site_lines: lines learned for the site; a line among them goes.
        keep: kinds and ids of rules that are not applied (see `kinds_to_keep`).
    """
    learned = _ByHash(site_lines) if site_lines is not None and _SITE_KIND not in keep else None
    return _clean_text(text, engine().find_cuts(text, title=title, site_lines=learned, keep=keep))


def kinds_to_keep(names: Sequence[str]) -> frozenset[str]:
    """Return `names` when each is a kind or the id of a rule.

    Raises:
        UsageError: one is not.
    """
    if not names:
        return frozenset()
    kinds = {rule.kind for rule in load_rules()} | {_SITE_KIND}
    ids = {rule.id for rule in load_rules()}
    for name in names:
        if name not in kinds and name not in ids:
            raise UsageError(
                f"keep_kinds: unknown kind {name!r}; known are {', '.join(sorted(kinds))}, and the ids of rules"
            )
    return frozenset(names)


def rules_version(site_lines: Optional[SiteLines] = None, keep: frozenset[str] = frozenset()) -> str:
    """Return the name of what a text is cleaned with: ``1f0c9a3e``, ``1f0c9a3e+77ab02de``, ``1f0c9a3e-author_bio``."""
    learned = f"+{site_lines.model_version}" if site_lines is not None and _SITE_KIND not in keep else ""
    return _version_of_rules() + learned + (f"-{','.join(sorted(keep))}" if keep else "")


@cache
def _version_of_rules() -> str:
    files = [f for f in resources.files("transforms.cruft_rules").iterdir() if f.name.endswith((".py", ".toml"))]
    files += [resources.files("transforms").joinpath(name) for name in ("cruft_engine.py", "repeated_text.py")]
    return digest64("rules", *(f.read_text("utf-8") for f in sorted(files, key=lambda f: f.name)))[:8]


def _clean_text(text: str, ledger: Ledger) -> CleanText:
    """Turn spans into text and removals; between two kept lines exactly the first line feed stays."""
    removed: list[Removal] = []
    pieces: list[str] = []
    cuts = iter([*ledger.cuts, None])
    cut = next(cuts)
    at = 0
    for n, (start, end) in enumerate([*ledger.kept, (len(text), len(text))]):
        feed = text.index("\n", at) if 0 < n < len(ledger.kept) else -1
        inside: list[Cut] = []
        while cut is not None and cut.start < start:
            inside.append(cut)
            cut = next(cuts)
        removed += _removals(text, at, start, feed, inside)
        if feed >= 0:
            pieces.append("\n")
        pieces.append(text[start:end])
        at = end
    return CleanText(text="".join(pieces), removed=tuple(removed))


def _removals(text: str, start: int, end: int, feed: int, cuts: Sequence[Cut]) -> Iterable[Removal]:
    """Cover ``text[start:end]`` without the kept line feed; cuts of one rule on lines in a row become one removal."""
    spans: list[tuple[int, int, str, str]] = []
    at = start
    for cut in cuts:
        if spans and spans[-1][2] == cut.rule and not text[at : cut.start].strip() and not at <= feed < cut.start:
            spans[-1] = (spans[-1][0], cut.end, cut.rule, cut.kind)
        else:
            spans += [(a, b, "whitespace", "whitespace") for a, b in _around(at, cut.start, feed)]
            spans.append((cut.start, cut.end, cut.rule, cut.kind))
        at = cut.end
    spans += [(a, b, "whitespace", "whitespace") for a, b in _around(at, end, feed)]
    return [Removal(rule=rule, kind=kind, start=a, end=b, text=text[a:b]) for a, b, rule, kind in spans]


def _around(start: int, end: int, feed: int) -> Iterable[tuple[int, int]]:
    parts = [(start, feed), (feed + 1, end)] if start <= feed < end else [(start, end)]
    return [(a, b) for a, b in parts if a < b]


def restore(clean: CleanText) -> str:
    """Return the text that `clean` was made from, from kept and removed stretches alone."""
    pieces: list[str] = []
    kept, length = 0, 0
    for removal in clean.removed:
        take = removal.start - length
        pieces += [clean.text[kept : kept + take], removal.text]
        kept += take
        length = removal.end
    pieces.append(clean.text[kept:])
    return "".join(pieces)


def removals_of(structs: Optional[Iterable[Mapping[str, Any]]]) -> tuple[Removal, ...]:
    """Return the ledger that a column `removed` holds."""
    return tuple(Removal(**{name: held[name] for name in field_names(Removal)}) for held in structs or ())


def syndicated_from(removed: Sequence[Removal]) -> Optional[str]:
    """Return who sent the story (``MENAFN``, ``Reuters``, ``dpa``) as removed openers and credits say, else None.

    "Contributed to this report" is no sign: the story may still be the site's own.
    """
    for removal in removed:
        if removal.kind in _SENDER_KINDS:
            for name, pattern in _SENDERS:
                if pattern.search(removal.text):
                    return name
    return None


def _clean_headings(draft: Draft) -> Draft:
    """Clean headline and summary; what was published stays beside each that changes."""
    title = clean_title(draft.title or "", site_name=draft.site_name, site=draft.site) or None
    summary = (draft.summary and strip_cruft(draft.summary, title=None, site=draft.site, language=None).text) or None
    return dataclasses.replace(
        draft,
        title=title,
        summary=summary,
        published_title=draft.title if draft.title != title else None,
        published_summary=draft.summary if draft.summary != summary else None,
    )


def require_story(clean: CleanText, url: Optional[str]) -> None:
    """Refuse a text of which nothing worth a row is left.

    Raises:
        RejectedError: no_story or too_short.
    """
    if not clean.text:
        raise RejectedError("nothing of the text is a story", reason="no_story", url=url)
    if len(clean.text) < LEAST_STORY_CHARS:
        raise RejectedError(f"the story has {len(clean.text)} characters", reason="too_short", url=url)


class _StripDraft:
    def __init__(self, keep: frozenset[str], open_site_lines: Optional[OpenSitesLines]) -> None:
        self._keep, self._open_site_lines = keep, open_site_lines

    def __call__(self, draft: Draft) -> Draft:
        draft = _clean_headings(draft)
        lines = self._open_site_lines().lines_of(draft.site) if self._open_site_lines is not None else None
        clean = strip_cruft(
            draft.text, title=draft.title, site=draft.site, language=draft.language, site_lines=lines, keep=self._keep
        )
        require_story(clean, draft.url or None)
        return dataclasses.replace(
            draft,
            text=clean.text,
            removed=clean.removed,
            syndicated_from=draft.syndicated_from or syndicated_from(clean.removed),
            rules_version=rules_version(lines, self._keep),
        )


class StripCruft(beam.PTransform):
    """Replace each Draft's extracted text by the story in it; the ledger goes into `Draft.removed`.

    Draft -> Mapped(Draft, Failure). Bounded or unbounded; one output or one failure for each input; no state; any
    parallelism. Failures: ``no_story`` (all of it was cruft), ``too_short`` (under 20 characters). Metrics:
    ``strip_rejected_items``, ``strip_bug_items``.

    Example::

        stripped = drafts | "strip cruft" >> StripCruft()
        stripped.rows, stripped.failures

    Args:
        strict: raise defects instead of making them dead letters (tests, batch runs that ask for it).
        keep: kinds and ids of rules that are not applied.
        open_site_lines: picklable; returns the learned lines of all sites, the same object each time in a process and
            without reading anything for each call. None: no line is learned.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        keep: frozenset[str] = frozenset(),
        open_site_lines: Optional[OpenSitesLines] = None,
    ) -> None:
        super().__init__()
        self._strict = strict
        self._strip = _StripDraft(kinds_to_keep(sorted(keep)), open_site_lines)

    @no_annotations
    def expand(self, drafts: beam.PCollection) -> Mapped:
        """Return the cleaned drafts and the failures."""
        return drafts | "strip" >> MapOrReject(self._strip, stage="strip", output_type=Draft, strict=self._strict)
