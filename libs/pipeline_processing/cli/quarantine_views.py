"""What `pipeline-processing quarantine` shows: rows counted by rule, file and agency, and rows themselves.

Values of classified columns are written to an export, which is data, and never to the terminal (law 13).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.errors import ConfigError
from pipeline_processing.cli.terminal import print_json, print_pairs, print_table
from pipeline_processing.processors.silver.frozen_contracts import has_classified, shown_in
from pipeline_processing.quarantine.book import COLUMNS, Filter, is_meant
from pipeline_processing.quarantine.policy import row_rules
from pipeline_processing.quarantine.schema import READER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.model import Json
    from pipeline_processing.quarantine.book import Book

HIDDEN: Final = "(not shown)"
LIMIT: Final = 20
LIGHT: Final = frozenset({"quarantine_id", "agency_id", "source_file", "rules"})
"""The columns that counting needs."""
_OPEN: Final = ("open", "interrupted", "unpublished")
"""States of rows that are not decided for good."""
_TOLD: Final = ("quarantine_id", "source_file", "source_row", "line", "agency_id", "since", "state", "reason")
_DECIDED: Final = ("release_id", "decided_by", "decided_at", "expires_at", "why")
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


@dataclass(slots=True)
class Group:
    """Rows of one rule, file, agency and state; a row that failed two rules counts in both of their groups."""

    rows: int = 0
    oldest: str = ""
    newest: str = ""

    def add(self, rows: int, since: str) -> None:
        """Count rows that are in quarantine since ``since``."""
        self.rows += rows
        self.oldest = min(self.oldest or since, since)
        self.newest = max(self.newest, since)


@dataclass(slots=True)
class Summary:
    """A dataset's quarantine, counted. ``states`` counts each row once."""

    dataset: str
    groups: dict[tuple[str, str, str, str], Group] = field(default_factory=lambda: defaultdict(Group))
    states: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    interrupted: set[str] = field(default_factory=set)

    def add(self, rows: pl.DataFrame) -> None:
        """Count rows of one source."""
        for state, count in rows["state"].value_counts().iter_rows():
            self.states[state] += count
        self.interrupted |= {*rows.filter(rows["state"] == "interrupted")["release_id"]}
        keys = ["rules", "source_file", "agency_id", "state", "since"]
        for rule, file, agency_id, state, since, count in rows.explode("rules").group_by(keys).len().iter_rows():
            self.groups[rule, file, agency_id, state].add(count, since)

    def as_json(self, now: datetime) -> dict[str, Json]:
        """Return all of it."""
        names = ("rule", "file", "agency_id", "state")
        groups = [
            {
                **dict(zip(names, key, strict=True)),
                "rows": group.rows,
                "oldest": group.oldest,
                "newest": group.newest,
                "oldest_age_seconds": round(_age(group.oldest, now)),
            }
            for key, group in self.ordered()
        ]
        return {"dataset": self.dataset, "rows": dict(sorted(self.states.items())), "groups": groups}

    def ordered(self) -> list[tuple[tuple[str, str, str, str], Group]]:
        """Return the groups, those with most rows first."""
        return sorted(self.groups.items(), key=lambda one: (-one[1].rows, one[0]))


async def summarise(book: Book, dataset: str, wanted: Filter, *, is_all: bool) -> Summary:
    """Count the rows that are meant; without ``is_all`` those alone that are not decided."""
    summary = Summary(dataset)
    async for frame in book.rows(wanted, columns=LIGHT):
        rows = frame if is_all else frame.filter(frame["state"].is_in(_OPEN))
        if rows.height:
            summary.add(rows)
    return summary


def print_summaries(summaries: list[Summary], now: datetime) -> None:
    """Print one table of all datasets' groups, and what to do about what is not simply open."""
    rows = [
        (summary.dataset, rule, file, agency_id, state, group.rows, age(group.oldest, now), age(group.newest, now))
        for summary in summaries
        for (rule, file, agency_id, state), group in summary.ordered()
    ]
    if rows:
        print_table(("dataset", "rule", "file", "agency", "state", "rows", "oldest", "newest"), rows)
    for summary in summaries:
        counts = ", ".join(f"{count:,} {state}" for state, count in sorted(summary.states.items()))
        print(f"{summary.dataset}: {counts or 'nothing in quarantine that is meant'}")
        for release_id in sorted(summary.interrupted):
            print(
                f"  release {release_id} was interrupted: resume it by `quarantine release --run-id {release_id}`, or "
                f"give it up by `quarantine abandon {release_id}`"
            )


async def collect(book: Book, wanted: Filter, *, is_all: bool, limit: int | None) -> tuple[list[pl.DataFrame], int]:
    """Return the first ``limit`` rows that are meant, all their columns, and how many there are."""
    frames: list[pl.DataFrame] = []
    total = 0
    async for frame in book.rows(wanted, columns=COLUMNS):
        rows = frame if is_all else frame.filter(frame["state"].is_in(_OPEN))
        held = sum(one.height for one in frames)
        total += rows.height
        if rows.height and (limit is None or held < limit):
            frames.append(rows if limit is None else rows.head(limit - held))
    return frames, total


async def check_rules(book: Book, asked: Sequence[str], contracts: Iterable[Contract]) -> None:
    """ConfigError for a rule that no contract of the dataset has, and that no row in quarantine has failed."""
    known = {name for contract in contracts for name in row_rules(contract)}
    if asked:
        async for frame in book.rows(Filter(), columns=LIGHT):
            known |= {name for rules in frame["rules"] for name in rules}
    for rule in asked:
        if rule.partition(".")[0] != READER and not any(is_meant(name, [rule]) for name in known):
            raise ConfigError(
                f"no rule is called {rule!r}", where="--rule", way_out=f"known: {', '.join(sorted(known)) or 'none'}"
            )


def document_of(row: Mapping[str, Json], contract: Contract | None) -> dict[str, Json]:
    """Return a row as it may be shown; ``hidden`` names what may not be."""
    raw = orjson.loads(row["raw"]) if row["raw"] is not None else None
    shown = shown_in(contract, list(raw or ()))
    document: dict[str, Json] = {name: row[name] for name in _TOLD}
    document["rules"] = list(row["rules"])
    document["decision"] = {n: row[n] for n in _DECIDED if row[n] is not None} if row["release_id"] else None
    document["raw"] = None if raw is None else {name: value for name, value in raw.items() if name in shown}
    document["hidden"] = [name for name in raw or () if name not in shown]
    if row["raw_bytes"] is not None:
        is_open = contract is not None and not has_classified(contract)
        document["record"] = row["raw_bytes"].decode("utf-8", "backslashreplace") if is_open else None
        document["hidden"] += [] if is_open else ["record"]
    return document


def print_rows(frames: list[pl.DataFrame], total: int, contracts: Mapping[str, Contract], *, is_json: bool) -> None:
    """Print rows, each in lines of its own."""
    documents = [
        document_of(row, contracts.get(row["contract_fingerprint"]))
        for frame in frames
        for row in frame.iter_rows(named=True)
    ]
    if is_json:
        print_json({"rows": documents, "total": total})
        return
    for document in documents:
        own = {name: _told(value) for name, value in (document["raw"] or {}).items()}
        hidden = dict.fromkeys(document["hidden"], HIDDEN)
        known = {name: value for name, value in document.items() if name in _TOLD and value is not None}
        decision = {f"  {name}": value for name, value in (document["decision"] or {}).items()}
        record = {"  record": document["record"]} if document.get("record") is not None else {}
        print_pairs(
            {
                **{name: str(value) for name, value in known.items()},
                "rules": "; ".join(document["rules"]),
                **decision,
                **record,
                **{f"  {name}": value for name, value in {**own, **hidden}.items()},
            }
        )
        print()
    more = "" if len(documents) == total else f" (--limit {total} shows all of them)"
    print(f"{len(documents):,} of {total:,} rows{more}")


def age(since: str, now: datetime) -> str:
    """Return how long ago ``since`` was, in its largest unit."""
    seconds = _age(since, now)
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return "now"


def _age(since: str, now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(since)).total_seconds())


def _told(value: Json) -> str:
    return "(null)" if value is None else str(value)
