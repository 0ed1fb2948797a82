"""Row-local checks as Polars expressions: True where a row fails. Nulls fail *required* alone.

Every expression is row by row, so a batch's masks do not depend on the batches beside it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.contracts.expressions import columns_read, expression_fault, on_day
from pipeline_processing.contracts.model import fault
from pipeline_processing.contracts.types import polars_type

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pipeline_processing.contracts.model import Check, Column, Contract
    from pipeline_processing.model import Json

_NEARLY: Final = 1e-9
"""How far a float may be from a whole number of multiples, relative to it."""


def mask(check: Check, contract: Contract, *, today: date) -> pl.Expr:
    """Return the expression of a row-local check, named after it; ConfigError where its SQL is wrong."""
    match check.kind:
        case "row":
            expr = ~condition(check, today=today)
        case "required":
            expr = _absent(_column(check), contract)
        case _:
            expr = _of_column(check, contract.column(_column(check)))
    return expr.fill_null(value=False).alias(check.name)


def refuse(check: Check, contract: Contract, *, today: date) -> None:
    """Raise ConfigError where the mask of ``check`` does not compile or can not run on the contract's types."""
    if check.kind == "row":
        text = check.expression or ""
        types = schema(contract, columns_read(text))
        if said := expression_fault(text, types, boolean=True, may_say_today=True):
            raise _wrong(check, contract, f"is refused: {said}", "write one SQL condition on a row")
    expr = mask(check, contract, today=today)
    read = frozenset(expr.meta.root_names())
    faults = {fault(kind, check.column or ""): pl.Boolean() for kind in ("type", "lookup")}
    try:
        pl.DataFrame(schema={**schema(contract, read), **faults}).select(expr)
    except pl.exceptions.PolarsError as error:
        raise _wrong(check, contract, f"can not run: {_first_line(error)}", "look at the column's type") from error


def looked_at(check: Check, *, today: date) -> pl.Expr:
    """Return how many rows of a frame a row-local check applies to."""
    match check.kind:
        case "required":
            count = pl.len()
        case "row":
            count = condition(check, today=today).is_not_null().sum()
        case "type" | "lookup":
            column = _column(check)
            count = pl.col(column).count() + (pl.col(fault(check.kind, column)) & pl.col(column).is_null()).sum()
        case _:
            count = pl.col(_column(check)).count()
    return count.cast(pl.Int64).alias(check.name)


def reads(check: Check, *, today: date) -> frozenset[str]:
    """Return the columns that a row-local check reads."""
    if check.kind == "row":
        return frozenset(condition(check, today=today).meta.root_names())
    return frozenset({_column(check)})


def condition(check: Check, *, today: date) -> pl.Expr:
    """Return what a *row* check asks of a row: true, false, or null where it does not apply; `refuse` it before."""
    return pl.sql_expr(on_day(check.expression or "", today))


def schema(contract: Contract, names: Collection[str] | None = None) -> dict[str, pl.DataType]:
    """Return the types that the contract's columns, or those of them in ``names``, have before protection."""
    return {column.name: polars_type(column) for column in contract.columns if names is None or column.name in names}


def _of_column(check: Check, column: Column) -> pl.Expr:
    value = pl.col(column.name)
    match check.kind:
        case "type" | "lookup":
            return pl.col(fault(check.kind, column.name))
        case "enum":
            return ~_comparable(value, column).is_in([_limit(column, one) for one in column.enum])
        case "pattern":
            return ~_text(value, column).str.contains(_pattern(check, column))
        case "length":
            return _outside_length(_text(value, column).str.len_chars(), column)
        case "range":
            return _outside(value, column)
        case "multiple_of":
            return _uneven(value, column)
    raise ConfigError(f"is of kind {check.kind}, which is not decided row by row", where=check.name)


def _absent(name: str, contract: Contract) -> pl.Expr:
    """Return where a column has no value: an unreadable one fails its *type* alone, unless that lets the row pass."""
    value = pl.col(name)
    if any(one.kind == "type" and one.column == name and _is_strict(one) for one in contract.checks):
        return value.is_null() & ~pl.col(fault("type", name))
    return value.is_null()


def _is_strict(check: Check) -> bool:
    """Say whether no row that fails the check is published."""
    return check.action == "quarantine" or (check.action != "warn" and check.threshold is None)


def _pattern(check: Check, column: Column) -> str:
    pattern = column.pattern or ""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"the pattern can not be read: {_first_line(error)}",
            where=check.name,
            way_out="write it for Rust's regex crate: no look-around, no back-references",
        ) from error
    return pattern


def _outside_length(length: pl.Expr, column: Column) -> pl.Expr:
    bounds = []
    if column.min_length is not None:
        bounds.append(length < column.min_length)
    if column.max_length is not None:
        bounds.append(length > column.max_length)
    return pl.any_horizontal(bounds)


def _outside(value: pl.Expr, column: Column) -> pl.Expr:
    """Return where a value is outside its limits. NaN is outside any."""
    value = _comparable(value, column)
    tests: tuple[tuple[Json, Callable[[pl.Expr, pl.Expr], pl.Expr]], ...] = (
        (column.minimum, lambda one, limit: one < limit),
        (column.maximum, lambda one, limit: one > limit),
        (column.exclusive_minimum, lambda one, limit: one <= limit),
        (column.exclusive_maximum, lambda one, limit: one >= limit),
    )
    bounds = [test(value, pl.lit(_limit(column, limit))) for limit, test in tests if limit is not None]
    if polars_type(column).is_float():
        bounds.append(value.is_nan())
    return pl.any_horizontal(bounds)


def _text(value: pl.Expr, column: Column) -> pl.Expr:
    return value if column.logical_type == "string" else value.cast(pl.String)


def _comparable(value: pl.Expr, column: Column) -> pl.Expr:
    """Return a value as `_limit` gives its limits: a moment as UTC's, one without an offset as if it were."""
    if column.logical_type != "timestamp":
        return value
    return value.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _limit(column: Column, limit: Json) -> Json:  # noqa: PLR0911 - one return a type
    """Return a limit or an enum's value as the column's type; ConfigError where it is none."""
    try:
        match column.logical_type:
            case "date":
                return date.fromisoformat(str(limit))
            case "timestamp":
                moment = datetime.fromisoformat(str(limit))
                return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
            case "time":
                return time.fromisoformat(str(limit))
            case "integer":
                number = Decimal(str(limit))
                return int(number) if number % 1 == 0 else float(number)
            case "number":
                return Decimal(str(limit)) if polars_type(column).is_decimal() else float(limit)
            case "boolean":
                return limit if isinstance(limit, bool) else {"true": True, "false": False}[str(limit).lower()]
            case "string":
                return str(limit)
    except (ValueError, ArithmeticError, KeyError) as error:
        raise ConfigError(
            f"{limit!r} is no {column.logical_type}", where=f"column {column.name}", way_out="write ISO 8601 for dates"
        ) from error


def _uneven(value: pl.Expr, column: Column) -> pl.Expr:
    step = column.multiple_of or 1
    if column.logical_type == "integer" and float(step).is_integer():
        return value % int(step) != 0
    times = value.cast(pl.Float64) / float(step)
    return ((times - times.round()).abs() > _NEARLY * pl.max_horizontal(times.abs(), 1.0)) | ~times.is_finite()


def _column(check: Check) -> str:
    if check.column is None:
        raise ConfigError(f"is a {check.kind} check of no column", where=check.name)
    return check.column


def _where(check: Check, contract: Contract) -> str:
    return f"{contract.id} {contract.version}, check {check.name}"


def _wrong(check: Check, contract: Contract, what: str, way_out: str) -> ConfigError:
    return ConfigError(f"its expression {what}", where=_where(check, contract), way_out=way_out)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
