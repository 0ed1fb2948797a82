"""What was decided about quarantined rows: one row a decision, appended and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import date

DECISIONS: Final = pl.Schema(
    {
        "quarantine_id": pl.String(),
        "decision": pl.String(),
        "rules": pl.List(pl.String()),
        "reason": pl.String(),
        "decided_by": pl.String(),
        "decided_at": pl.String(),
        "expires_at": pl.String(),
        "release_id": pl.String(),
        "run_id": pl.String(),
        "source_file": pl.String(),
        "base": pl.String(),
    }
)
"""One row for each row that left quarantine.

``rules`` are those that the row had failed, or for a waiver those that it waives. ``run_id`` is the run of the release.
``base`` is the run that had put the row into quarantine: once a later run has read the source anew, the decision says
nothing about what that run found. Times are ISO 8601; ``expires_at`` is a date, and null but for waivers.
"""

Kind = Literal["released", "waived"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one release or waiver decides about all of its rows."""

    decision: Kind
    reason: str
    decided_by: str
    decided_at: str
    release_id: str
    base: str
    waived: tuple[str, ...] = ()
    expires_at: str | None = None


def decided(rows: pl.DataFrame, ruling: Ruling, *, source: str) -> pl.DataFrame:
    """Return the decisions about ``rows``, which have ``quarantine_id`` and ``rules``, in their order."""
    rules = pl.lit(list(ruling.waived), pl.List(pl.String())) if ruling.decision == "waived" else pl.col("rules")
    columns = {
        "quarantine_id": pl.col("quarantine_id"),
        "decision": pl.lit(ruling.decision),
        "rules": rules,
        "reason": pl.lit(ruling.reason),
        "decided_by": pl.lit(ruling.decided_by),
        "decided_at": pl.lit(ruling.decided_at),
        "expires_at": pl.lit(ruling.expires_at),
        "release_id": pl.lit(ruling.release_id),
        "run_id": pl.lit(ruling.release_id),
        "source_file": pl.lit(source),
        "base": pl.lit(ruling.base),
    }
    return rows.select(columns[name].cast(dtype).alias(name) for name, dtype in DECISIONS.items())


def active_waivers(
    decisions: Iterable[pl.DataFrame], *, today: date, rolled_back: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Return the rules waived by source; a waiver holds for every version of its source until it has expired."""
    found: dict[str, set[str]] = {}
    for frame in decisions:
        active = frame.filter(
            (pl.col("decision") == "waived")
            & (pl.col("expires_at") >= today.isoformat())
            & ~pl.col("release_id").is_in(list(rolled_back))
        ).select("source_file", pl.col("rules"))
        for source, rules in active.unique().iter_rows():
            found.setdefault(source, set()).update(rules)
    return {source: tuple(sorted(rules)) for source, rules in sorted(found.items())}
