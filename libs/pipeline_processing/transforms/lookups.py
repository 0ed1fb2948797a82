"""Values taken from reference tables, and the rows that found none there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.transforms.columns import read_as
from pipeline_processing.transforms.reading import spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline_processing.contracts.model import Column

_VALUE, _HIT = "?value", "?hit"


def compile_lookup(
    column: Column, references: Mapping[str, pl.DataFrame], schema: Mapping[str, pl.DataType]
) -> Callable[[pl.DataFrame], tuple[pl.Series, pl.Series]]:
    """Return a function of a frame to the column's values and where a row with a whole key found no match.

    ConfigError where the reference is not there, lacks a column, has a key twice, or a value that is not of the type.
    """
    lookup = column.lookup
    if lookup is None:  # pragma: no cover - the caller asks only for columns with one
        raise ValueError(column.name)
    where = f"lookup of column {column.name!r} in {lookup.reference!r}"
    table = references.get(lookup.reference)
    if table is None:
        raise ConfigError("there is no such reference table", where=where)
    for name in (*lookup.on.values(), lookup.take):
        if name not in table.columns:
            raise ConfigError(f"the reference has no column {name!r}", where=where)
    for name in lookup.on:
        if name not in schema:
            raise ConfigError(f"the contract has no column {name!r}", where=where)
    ours = list(lookup.on)
    known = _known(table, lookup.on, lookup.take, schema, dtype=schema[column.name], where=where)

    def find(frame: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
        joined = frame.select(ours).join(known, on=ours, how="left", maintain_order="left")
        asked = joined.select(pl.all_horizontal(pl.col(ours).is_not_null()))[:, 0]
        return joined[_VALUE].alias(column.name), asked & joined[_HIT].is_null()

    return find


def _known(
    table: pl.DataFrame,
    on: Mapping[str, str],
    take: str,
    schema: Mapping[str, pl.DataType],
    *,
    dtype: pl.DataType,
    where: str,
) -> pl.DataFrame:
    """Return the reference as our key columns, in our types, and the value; rows without a whole key left out."""
    keys = [_typed(table[theirs], schema[ours], where).alias(ours) for ours, theirs in on.items()]
    value = _typed(table[take], dtype, where).alias(_VALUE)
    known = pl.DataFrame([*keys, value]).with_columns(pl.lit(value=True).alias(_HIT)).drop_nulls(list(on))
    twice = known.select(pl.struct(list(on)).is_duplicated())[:, 0]
    if twice.any():
        raise ConfigError(
            f"{twice.sum()} rows of the reference share their key ({', '.join(on.values())}) with another",
            where=where,
            way_out="make the reference's key unique, or look up by more columns",
        )
    return known


def _typed(values: pl.Series, dtype: pl.DataType, where: str) -> pl.Series:
    """Return a reference's values in a column's type; ConfigError where one is not of it."""
    if values.dtype == dtype:
        return values
    if values.dtype == pl.String:
        typed = read_as(values, dtype)
        lost = spelled(values).is_not_null() & typed.is_null()
    else:
        typed = values.cast(dtype, strict=False)
        lost = values.is_not_null() & (typed.is_null() | (typed.cast(values.dtype, strict=False) != values))
    if lost.any():
        raise ConfigError(
            f"{lost.sum()} values of the reference's column {values.name!r} are not of the type {dtype}", where=where
        )
    return typed
