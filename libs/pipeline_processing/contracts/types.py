"""The type that a contract's column has in memory and in silver: read, checked and profiled as one and the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.contracts.model import Column, LogicalType

TYPES: Final[Mapping[LogicalType, pl.DataType]] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us", "UTC"),
    "time": pl.Time(),
}
MOST_DIGITS: Final = 38
"""Of a decimal: more hold neither Polars nor Delta Lake."""
_DECIMAL: Final = re.compile(r"^\s*(?:decimal|numeric)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)\s*$", re.IGNORECASE)


def polars_type(column: Column) -> pl.DataType:
    """Return the column's type, before any protection.

    A number is a decimal only where its physical type gives a precision that can be kept: without one, as with
    ``decimal`` alone, it is a float, which holds NaN.
    """
    decimal = decimal_of(column.physical_type) if column.logical_type == "number" else None
    if decimal is None or not can_be_kept(*decimal):
        return TYPES[column.logical_type]
    return pl.Decimal(*decimal)


def decimal_of(physical_type: str | None) -> tuple[int, int] | None:
    """Return precision and scale of ``decimal(p,s)``; None for other types."""
    found = _DECIMAL.match(physical_type or "")
    return (int(found[1]), int(found[2] or 0)) if found else None


def can_be_kept(precision: int, scale: int) -> bool:
    """Say whether a table can hold such a decimal."""
    return 0 < precision <= MOST_DIGITS and scale <= precision
