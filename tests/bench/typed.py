"""Typed rows with known faults, in Parquet, and fifteen checks that find them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline_processing.contracts.model import Check, Column, Contract

if TYPE_CHECKING:
    from pathlib import Path

BATCH: Final = 65_536
_RANKS: Final = ("Officer", "Sergeant", "Lieutenant", "Captain", "Detective", "Offcer")
_STATES: Final = ("IL", "IN", "WI", "Illinois")
_DAY: Final = 86_400_000_000


def write(path: Path, rows: int) -> None:
    """Write ``rows`` rows, a batch a row group."""
    generator = np.random.default_rng(rows)

    def some(share: float) -> pl.Series:
        return pl.Series(generator.random(rows) < share)

    keys = np.where(generator.random(rows) < 0.01, generator.integers(0, rows, rows), np.arange(rows))
    hired = generator.integers(-2_000, 18_500, rows)
    columns = pl.DataFrame(
        {
            "key": keys,
            "version": generator.integers(0, 10, rows),
            "last_name": pl.Series(
                ["Smith", "Nguyen", "Kowalski", "Featherstonehaugh-Cholmondeley-Marjoribanks"]
            ).gather(generator.choice(4, rows, p=(0.4, 0.4, 0.199, 0.001))),
            "hired": hired,
            "left": hired + generator.integers(-50, 9_000, rows),
            "salary": generator.normal(90_000, 30_000, rows).round(2),
            "age": generator.integers(15, 112, rows),
            "rank": pl.Series(_RANKS).gather(generator.choice(6, rows, p=(0.5, 0.2, 0.1, 0.1, 0.099, 0.001))),
            "state": pl.Series(_STATES).gather(generator.choice(4, rows, p=(0.8, 0.1, 0.099, 0.001))),
        }
    )
    moments = [(pl.col(name) * _DAY).cast(pl.Datetime("us", "UTC")).alias(name) for name in ("hired", "left")]
    case_id = (
        pl.when(some(0.001))
        .then(None)
        .when(some(0.001))
        .then(pl.lit("CPD-12"))
        .otherwise("CPD-" + pl.col("key").cast(pl.String).str.zfill(10))
    )
    frame = columns.select(
        case_id.alias("case_id"),
        "version",
        pl.when(~some(0.002)).then(pl.col("last_name")),
        *(pl.when(~some(share)).then(one) for one, share in zip(moments, (0.001, 0.3), strict=True)),
        "salary",
        "age",
        "rank",
        "state",
        pl.int_range(pl.len(), dtype=pl.UInt64).alias("_row"),
    )
    frame.write_parquet(path, compression="lz4", row_group_size=BATCH)


def contract() -> Contract:
    """Return the contract of those rows."""
    return Contract(
        id="typed",
        version="1.0.0",
        dataset="typed",
        fingerprint="0123456789abcdef",
        columns=(
            Column("case_id", "string", pattern=r"^CPD-\d{10}$", min_length=14, max_length=14),
            Column("version", "integer", minimum=1, maximum=9),
            Column("last_name", "string", max_length=40),
            Column(
                "hired", "timestamp", minimum="1970-01-01T00:00:00Z", maximum="2020-01-01T00:00:00Z", timezone="UTC"
            ),
            Column("left", "timestamp", timezone="UTC"),
            Column("salary", "number", minimum=0, maximum=200_000),
            Column("age", "integer", minimum=16, maximum=110),
            Column("rank", "string", enum=_RANKS[:-1]),
            Column("state", "string", pattern="^[A-Z]{2}$"),
        ),
        checks=(
            *(Check(f"{name}.required", "required", name) for name in ("case_id", "last_name", "hired")),
            *(Check(f"{name}.pattern", "pattern", name) for name in ("case_id", "state")),
            *(Check(f"{name}.length", "length", name) for name in ("case_id", "last_name")),
            *(Check(f"{name}.range", "range", name) for name in ("version", "hired", "salary", "age")),
            Check("rank.enum", "enum", "rank"),
            Check("version.required", "required", "version"),
            Check("left_after_hired", "row", expression='"left" >= hired'),
            Check("case_id.unique", "unique", "case_id"),
        ),
    )
