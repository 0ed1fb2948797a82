"""Checks that are one figure of the whole file: library metrics, SQL, freshness."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.contracts.expressions import over, query, query_fault
from pipeline_processing.quality.masks import schema
from pipeline_processing.quality.whole_file import duplicates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pipeline_processing.contracts.model import Check, Contract
    from pipeline_processing.model import Json

_OBSERVED: Final = ("nullValues", "missingValues", "invalidValues")
_METRICS: Final = (*_OBSERVED, "duplicateValues", "rowCount")


def columns_of(check: Check) -> frozenset[str]:
    """Return the columns that a figure needs, but for SQL, whose columns its query names."""
    named = _properties(check) if check.kind == "metric" else ()
    return frozenset({*named, *((check.column,) if check.column else ())})


def names(check: Check, column: str) -> bool:
    """Say whether an SQL check's query has ``column`` as a word."""
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", check.expression or "") is not None


def refuse(check: Check, contract: Contract) -> None:
    """Raise ConfigError where a figure can not be measured: an unknown metric, a query that is not one number."""
    where = f"{contract.id} {contract.version}, check {check.name}"
    if check.kind == "metric" and metric_of(check) not in _METRICS:
        raise ConfigError(f"unknown metric {metric_of(check)!r}", where=where, way_out=f"use {', '.join(_METRICS)}")
    if check.kind == "freshness" and (
        check.column is None
        or check.threshold is None
        or not schema(contract, {check.column})[check.column].is_temporal()
    ):
        raise ConfigError("freshness needs a column of dates or timestamps, and a threshold", where=where)
    if check.kind == "sql":
        told, said = query(check.expression or "", dataset=contract.dataset, column=check.column)
        if said := said or query_fault(told, dataset=contract.dataset, columns=schema(contract)):
            raise ConfigError(f"the query is refused: {said}", where=where, way_out="write one SELECT of one number")


def metric_of(check: Check) -> str:
    """Return the library metric that a check of kind *metric* takes."""
    return str(check.arguments.get("metric") or check.expression or "")


def is_observed(check: Check) -> bool:
    """Say whether a figure is taken batch by batch, over clear values, and not from the staged file."""
    return check.kind == "freshness" or (check.kind == "metric" and metric_of(check) in _OBSERVED)


def is_row_count(check: Check) -> bool:
    """Say whether the figure is the number of rows, which an empty file has too."""
    return check.kind == "metric" and metric_of(check) == "rowCount"


def observed(check: Check, *, today: date) -> tuple[pl.Expr, pl.Expr]:
    """Return, over a batch, how many rows were looked at and how many count; of freshness, the least age in days.

    An age is in whole days, and that of values up to today: one wrong date must not make old rows fresh.
    """
    if check.kind == "freshness":
        age = (pl.lit(today) - pl.col(check.column or "").dt.date()).dt.total_days()
        return (age >= 0).sum().cast(pl.Int64), age.filter(age >= 0).min()
    return pl.len().cast(pl.Int64), _bad(check).sum().cast(pl.Int64)


def duplicate_rows(check: Check, staged: pl.LazyFrame, *, rows: int) -> int:
    """Return how many rows share their values with another row."""
    return len(duplicates(staged, _properties(check), rows=rows))


def answer(check: Check, contract: Contract, staged: pl.LazyFrame, *, today: date) -> float | None:
    """Return the number that an SQL check's query gives; None where it gives null.

    ConfigError where it stumbles over a value, which the error keeps to itself.
    """
    where = f"{contract.id} {contract.version}, check {check.name}"
    try:
        return _one_number(_run(check, contract, staged, today), where)
    except pl.exceptions.PolarsError:
        raise ConfigError("the query stumbles over a value", where=where, way_out="use TRY_CAST") from None


def _bad(check: Check) -> pl.Expr:
    """Return where a value counts: null, missing (by the arguments' list, null where it has one) or not valid."""
    value = pl.col(check.column or "")
    match metric_of(check):
        case "nullValues":
            return value.is_null()
        case "missingValues":
            listed = _listed(check, "missingValues")
            texts = [f"{one}" for one in listed if one is not None]
            bad = value.cast(pl.String).is_in(texts).fill_null(value=False)
            return bad | value.is_null() if None in listed or not listed else bad
        case _:
            return _invalid(check, value)


def _invalid(check: Check, value: pl.Expr) -> pl.Expr:
    text = value.cast(pl.String)
    tests = []
    if valid := _listed(check, "validValues"):
        tests.append(~text.is_in([f"{one}" for one in valid if one is not None]))
    if pattern := check.arguments.get("pattern"):
        tests.append(~text.str.contains(str(pattern)))
    return pl.any_horizontal(tests).fill_null(value=False) if tests else pl.lit(value=False)


def _run(check: Check, contract: Contract, staged: pl.LazyFrame, today: date) -> pl.DataFrame:
    told, _ = query(check.expression or "", dataset=contract.dataset, column=check.column)
    context = pl.SQLContext({"the_file": staged, contract.dataset: staged})
    return context.execute(over(told, "the_file", today)).collect(engine="streaming")


def _one_number(frame: pl.DataFrame, where: str) -> float | None:
    is_number = frame.width == 1 and (frame.dtypes[0].is_numeric() or frame.dtypes[0] in {pl.Boolean, pl.Null})
    if not is_number or len(frame) != 1:
        shape = f"{len(frame)} rows of {', '.join(map(str, frame.dtypes))}"
        raise ConfigError(f"the query gives {shape}", where=where, way_out="select exactly one number")
    value = frame.item()
    return None if value is None else float(value)


def _properties(check: Check) -> Sequence[str]:
    return tuple(_listed(check, "properties")) or ((check.column,) if check.column else ())


def _listed(check: Check, name: str) -> Sequence[Json]:
    value = check.arguments.get(name)
    return () if value is None else value if isinstance(value, list | tuple) else (value,)
