"""What a file's rows would be against what they are in the table: added, gone, changed, column by column. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline_processing.contracts.model import LINEAGE

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.contracts.model import Contract

KINDS: Final = ("added", "gone", "changed")
EXAMPLES: Final = 3
"""Keys shown of each kind of difference."""
_SOURCE_FILE: Final = LINEAGE[1]
_SOURCE_ROW: Final = LINEAGE[3]
_NTH: Final = "?nth"
"""Which of the rows with an equal key: they are compared in the order of the file."""
_BEFORE: Final = "?before"
_THERE: Final = "?there"
_WAS_THERE: Final = "?was there"


@dataclass(frozen=True, slots=True)
class Difference:
    """Rows before and after, compared by ``key``; ``examples`` are keys by kind, of unclassified columns only."""

    key: Sequence[str]
    before: int
    after: int
    added: int
    gone: int
    changed: int
    by_column: Mapping[str, int] = field(default_factory=dict)
    """Of the changed rows, how many differ in each column; columns that never differ are not named."""
    new_columns: Sequence[str] = ()
    lost_columns: Sequence[str] = ()
    retyped: Mapping[str, str] = field(default_factory=dict)
    """Columns of another type than before; their values are compared as texts."""
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def is_none(self) -> bool:
        """Say whether readers of the table would see no difference."""
        return not (self.added or self.gone or self.changed or self.new_columns or self.lost_columns or self.retyped)


def rows_of(files: Sequence[tuple[Path, Mapping[str, str | None]]], source: str) -> pl.LazyFrame | None:
    """Return the rows that came from ``source``, of Parquet files each with its partition's values; None without files.

    Partition columns come as texts.
    """
    frames = [
        pl.scan_parquet(path, glob=False).with_columns(
            *(pl.lit(value, pl.String).alias(name) for name, value in partition.items())
        )
        for path, partition in files
    ]
    if not frames:
        return None
    return pl.concat(frames, how="diagonal_relaxed").filter(pl.col(_SOURCE_FILE) == source)


def compare(before: pl.LazyFrame | None, after: pl.LazyFrame | None, contract: Contract) -> Difference:
    """Compare by the contract's primary key where both sides have it, else by the row's number in the source.

    A row that only moved in its source counts as the same where there is a primary key.
    """
    if before is None or after is None:
        return _one_sided(before, after)
    old, new = before.collect_schema(), after.collect_schema()
    key = contract.primary_key
    if not key or not all(name in old and name in new for name in key):
        key = (_SOURCE_ROW,)
    names = [column.name for column in contract.columns if column.name in new]
    values = [name for name in names if name in old and name not in key]
    retyped = {name: f"{old[name]} → {new[name]}" for name in values if old[name] != new[name]}
    as_text = {*retyped, *(name for name in key if old[name] != new[name])}
    joined = _keyed(after, key, values, as_text, _THERE).join(
        _keyed(before, key, values, as_text, _WAS_THERE),
        on=[*key, _NTH],
        how="full",
        coalesce=True,
        nulls_equal=True,
        suffix=_BEFORE,
    )
    is_added, is_gone = pl.col(_WAS_THERE).is_null(), pl.col(_THERE).is_null()
    differs = {name: pl.col(name).ne_missing(pl.col(f"{name}{_BEFORE}")) & ~is_added & ~is_gone for name in values}
    marked = joined.select(
        *key,
        pl.any_horizontal(*differs.values()).alias("?changed") if values else pl.lit(value=False).alias("?changed"),
        is_added.alias("?added"),
        is_gone.alias("?gone"),
        **{f"?in {name}": differing for name, differing in differs.items()},
    )
    figures = marked.select(pl.len().alias("?rows"), pl.col("^[?].+$").sum()).collect(engine="streaming")
    of = figures.row(0, named=True)
    return Difference(
        key=key,
        before=of["?rows"] - of["?added"],
        after=of["?rows"] - of["?gone"],
        added=of["?added"],
        gone=of["?gone"],
        changed=of["?changed"],
        by_column={name: count for name in values if (count := of[f"?in {name}"])},
        new_columns=[name for name in names if name not in old],
        lost_columns=[name for name in old if name not in new and name not in LINEAGE],
        retyped=retyped,
        examples={}
        if _is_classified(key, contract)
        else _examples(marked, key, [kind for kind in KINDS if of[f"?{kind}"]]),
    )


def _one_sided(before: pl.LazyFrame | None, after: pl.LazyFrame | None) -> Difference:
    was, will_be = (
        0 if side is None else side.select(pl.len()).collect(engine="streaming").item() for side in (before, after)
    )
    return Difference((_SOURCE_ROW,), was, will_be, added=will_be, gone=was, changed=0)


def _keyed(
    rows: pl.LazyFrame, key: Sequence[str], values: Sequence[str], as_text: set[str], there: str
) -> pl.LazyFrame:
    """Return the key, which of its rows each one is, and the values, comparable with the other side's."""
    return (
        rows.sort(_SOURCE_ROW)
        .select(*(pl.col(name).cast(pl.String) if name in as_text else pl.col(name) for name in (*key, *values)))
        .with_columns(
            pl.int_range(pl.len()).over(key).alias(_NTH),
            pl.lit(value=True).alias(there),
        )
    )


def _examples(marked: pl.LazyFrame, key: Sequence[str], kinds: Sequence[str]) -> dict[str, list[str]]:
    shown = {}
    for kind in kinds:
        found = marked.filter(f"?{kind}").select(*key).bottom_k(EXAMPLES, by=list(key)).sort(*key)
        rows = found.collect(engine="streaming").rows()
        shown[kind] = [", ".join(f"{name}={value}" for name, value in zip(key, row, strict=True)) for row in rows]
    return shown


def _is_classified(key: Sequence[str], contract: Contract) -> bool:
    return any(contract.column(name).is_classified for name in key if name not in LINEAGE)
