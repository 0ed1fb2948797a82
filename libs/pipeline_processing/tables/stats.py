"""What the table's log says of a Parquet file's columns, so that readers can leave the file out (data skipping)."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pipeline_processing.model import Json

ROW_GROUP: Final = 65_536
"""Rows of a row group of a data file: what a reader, and the pass that writes it, holds at once."""
_PREFIX: Final = 32
"""Characters of a text's bound: Delta Lake's own writers cut there too."""


def described(path: Path, told_of: Collection[str]) -> tuple[int, dict[str, Json]]:
    """Return the rows of a file, and ``minValues``, ``maxValues`` and ``nullCount`` of those columns in ``told_of``."""
    scanned = pl.scan_parquet(path, glob=False, low_memory=True, cache=False)
    schema = scanned.collect_schema()
    counted = [name for name in schema if name in told_of]
    bounded = [name for name in counted if not (schema[name].is_nested() or isinstance(schema[name], pl.Boolean))]
    found = (
        scanned.select(
            pl.len().alias("rows"),
            *(pl.col(name).null_count().alias(f"nulls {name}") for name in counted),
            *(pl.col(name).min().alias(f"least {name}") for name in bounded),
            *(pl.col(name).max().alias(f"most {name}") for name in bounded),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    least = {name: _least(found[f"least {name}"]) for name in bounded}
    most = {name: _most(found[f"most {name}"]) for name in bounded}
    told = [name for name in bounded if least[name] is not None and most[name] is not None]
    return found["rows"], {
        "minValues": {name: least[name] for name in told},
        "maxValues": {name: most[name] for name in told},
        "nullCount": {name: found[f"nulls {name}"] for name in counted},
    }


def _least(value: object) -> Json:
    return value[:_PREFIX] if isinstance(value, str) else _json(value)


def _most(value: object) -> Json:
    """Return a bound that is not below ``value``: a text that is cut off gets the greatest character there is."""
    if isinstance(value, str):
        return value if len(value) <= _PREFIX else value[:_PREFIX] + "\U0010ffff"
    return _json(value)


def _json(value: object) -> Json:
    match value:
        case int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            near = float(value)  # JSON spells it by its shortest digits, which are the decimal's own up to 15
            return near if Decimal(repr(near)) == value else None
        case datetime() | date() | time():
            return value.isoformat()
    return None
