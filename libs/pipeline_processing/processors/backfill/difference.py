"""What a file's rows would be against what they are in the table: added, gone, changed, column by column. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

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
BUCKET_ROWS: Final = 400_000
"""Rows of both sides that are compared at once, about."""


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


def compare(
    before: pl.LazyFrame | None, after: pl.LazyFrame | None, contract: Contract, *, bucket_rows: int = BUCKET_ROWS
) -> Difference:
    """Compare by the contract's primary key where both sides have it, else by the row's number in the source.

    A row that only moved in its source counts as the same where there is a primary key. Memory does not grow with the
    rows: the keys fall into buckets, each of which is compared by itself.
    """
    was, will_be = (0 if side is None else _height(side) for side in (before, after))
    if before is None or after is None:
        return Difference((_SOURCE_ROW,), was, will_be, added=will_be, gone=was, changed=0)
    old, new = before.collect_schema(), after.collect_schema()
    names = [column.name for column in contract.columns if column.name in new]
    compared = _Compared.of(old, new, names, contract.primary_key)
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    buckets = max(1, math.ceil((was + will_be) / bucket_rows))
    for bucket in range(buckets):
        marked = _marked(compared.side(before, bucket, buckets), compared.side(after, bucket, buckets), compared)
        counts.update(marked.select(pl.col("^[?].+$").sum().cast(pl.Int64)).row(0, named=True))
        if not _is_classified(compared.key, contract):
            _add_examples(examples, marked, compared.key)
    return Difference(
        key=compared.key,
        before=was,
        after=will_be,
        added=counts["?added"],
        gone=counts["?gone"],
        changed=counts["?changed"],
        by_column={name: count for name in compared.values if (count := counts[f"?in {name}"])},
        new_columns=[name for name in names if name not in old],
        lost_columns=[name for name in old if name not in new and name not in LINEAGE],
        retyped={name: f"{old[name]} → {new[name]}" for name in compared.values if old[name] != new[name]},
        examples=examples,
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    """Which columns of both sides are compared, by which key; ``as_text`` are of different types."""

    key: tuple[str, ...]
    values: tuple[str, ...]
    as_text: frozenset[str]

    @classmethod
    def of(cls, old: pl.Schema, new: pl.Schema, names: Sequence[str], primary_key: tuple[str, ...]) -> Self:
        is_keyed = bool(primary_key) and all(name in old and name in new for name in primary_key)
        key = primary_key if is_keyed else (_SOURCE_ROW,)
        values = tuple(name for name in names if name in old and name not in key)
        return cls(key, values, frozenset(name for name in (*key, *values) if old[name] != new[name]))

    def side(self, rows: pl.LazyFrame, bucket: int, buckets: int) -> pl.DataFrame:
        """Return one bucket's rows: the key, which of the rows with that key each one is, and the values."""
        columns = [
            pl.col(name).cast(pl.String) if name in self.as_text else pl.col(name) for name in (*self.key, *self.values)
        ]
        of_bucket = rows.select(*columns, pl.col(_SOURCE_ROW).alias(_NTH))
        if buckets > 1:
            of_bucket = of_bucket.filter(pl.struct(*self.key).hash() % buckets == bucket)
        found = of_bucket.collect(engine="streaming")
        return found.with_columns(pl.col(_NTH).rank("ordinal").over(self.key), pl.lit(value=True).alias(_THERE))


def _marked(before: pl.DataFrame, after: pl.DataFrame, compared: _Compared) -> pl.DataFrame:
    """Return the keys of both sides with Booleans: added, gone, changed, and changed in which column."""
    there, was_there = pl.col(_THERE).is_not_null(), pl.col(f"{_THERE}{_BEFORE}").is_not_null()
    differs = {
        f"?in {name}": pl.col(name).ne_missing(pl.col(f"{name}{_BEFORE}")) & there & was_there
        for name in compared.values
    }
    is_changed = pl.any_horizontal(*differs.values()) if differs else pl.lit(value=False)
    return after.join(
        before, on=[*compared.key, _NTH], how="full", coalesce=True, nulls_equal=True, suffix=_BEFORE
    ).select(
        *compared.key,
        is_changed.alias("?changed"),
        was_there.not_().alias("?added"),
        there.not_().alias("?gone"),
        **differs,
    )


def _height(rows: pl.LazyFrame) -> int:
    height: int = rows.select(pl.len()).collect(engine="streaming").item()
    return height


def _add_examples(examples: dict[str, list[str]], marked: pl.DataFrame, key: Sequence[str]) -> None:
    """Add the least keys of each kind, as long as there are few: of many buckets not those of all."""
    for kind in KINDS:
        lacking = EXAMPLES - len(examples.get(kind, ()))
        found = marked.filter(f"?{kind}").select(*key).sort(*key).head(lacking) if lacking else marked.clear()
        if found.height:
            told = [", ".join(f"{name}={value}" for name, value in row.items()) for row in found.iter_rows(named=True)]
            examples[kind] = [*examples.get(kind, ()), *told]


def _is_classified(key: Sequence[str], contract: Contract) -> bool:
    return any(contract.column(name).is_classified for name in key if name not in LINEAGE)
