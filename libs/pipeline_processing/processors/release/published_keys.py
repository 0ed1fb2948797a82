"""Released rows against the rest of their file: a key that a published row has is not given out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline_processing.contracts.model import LINEAGE
from pipeline_processing.processors.backfill.difference import rows_of
from pipeline_processing.quarantine.policy import DEDUPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline_processing.contracts.model import Contract

    Files = Sequence[tuple[Path, Mapping[str, str | None]]]
    """Parquet files, each with its partition's values."""

_ROW: Final = LINEAGE[-1]


@dataclass(frozen=True, slots=True)
class Key:
    """Columns that are unique in a file, and the rule that says so."""

    rule: str
    columns: tuple[str, ...]
    has_equal_nulls: bool = False


def keys_of(contract: Contract) -> list[Key]:
    """Return the keys that the contract holds rows back for; `DEDUPE` is the rule of its dedupe key."""
    columns = {
        check.name: contract.primary_key if check.kind == "primary_key" else (check.column,)
        for check in contract.checks
        if check.kind in {"unique", "primary_key"} and check.action != "warn"
    }
    keys = [Key(rule, tuple(name for name in names if name)) for rule, names in columns.items()]
    if contract.dedupe is not None:
        keys.append(Key(DEDUPE, contract.dedupe.key, has_equal_nulls=True))
    return [key for key in keys if key.columns]


def taken_keys(released: Files, published: Files, source: str, keys: Sequence[Key]) -> pl.DataFrame:
    """Return ``source_row`` and ``rules`` of the released rows whose key a published row of ``source`` has."""
    rows, there = rows_of(released, source), rows_of(published, source)
    found = pl.DataFrame(schema={"source_row": pl.Int64(), "rules": pl.String()})
    if rows is None or there is None:
        return _by_row(found)
    known = {*rows.collect_schema()} & {*there.collect_schema()}
    for key in keys:
        if not known.issuperset(key.columns):  # a new column: no published row has a value there
            continue
        texts = [pl.col(name).cast(pl.String) for name in key.columns]
        shared = rows.select(_ROW, *texts).join(
            there.select(texts), on=list(key.columns), how="semi", nulls_equal=key.has_equal_nulls
        )
        taken = shared.select(pl.col(_ROW).alias("source_row"), pl.lit(key.rule).alias("rules"))
        found = pl.concat([found, taken.collect(engine="streaming")])
    return _by_row(found)


def _by_row(found: pl.DataFrame) -> pl.DataFrame:
    return found.group_by("source_row").agg(pl.col("rules").sort()).sort("source_row")
