"""One column's way from its source's text to its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl
from polars import selectors as cs

from etl_core.errors import ConfigError
from pipeline_processing.contracts import steps as table
from pipeline_processing.contracts.expressions import decimal_of
from pipeline_processing.contracts.model import LINEAGE, Step
from pipeline_processing.transforms import choices, contacts, dates, numbers, people, places, reading, texts
from pipeline_processing.transforms.memo import by_distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline_processing.contracts.model import Column, Contract
    from pipeline_processing.model import Json
    from pipeline_processing.transforms.reading import SeriesStep, TextStep

TYPES: Final[Mapping[str, pl.DataType]] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us", "UTC"),
    "time": pl.Time(),
}
_MOST_DIGITS: Final = 38

_SERIES_STEPS: Final[Mapping[str, Callable[[Mapping[str, Json]], SeriesStep]]] = {
    "person_name": people.person_name,
    "date": dates.read_dates,
    "timestamp": dates.read_timestamps,
    "time": dates.read_times,
    "phone": contacts.phone,
    "email": contacts.email,
    "us_state": places.us_state,
    "us_address": places.us_address,
    "boolean": choices.boolean,
}
_READS: Final[Mapping[str, frozenset[str]]] = {
    "integer": frozenset({"integer"}),
    "number": frozenset({"integer", "number", "money"}),
    "boolean": frozenset({"boolean"}),
    "date": frozenset({"date", "timestamp"}),
    "timestamp": frozenset({"timestamp", "date"}),
    "time": frozenset({"time"}),
}
"""Which steps give a value of a type; a column of the type without one of them gets the step of the type's own name."""


def published_schema(contract: Contract) -> dict[str, pl.DataType]:
    """Return the names and types of a silver table's columns: protected ones, and times of day, are texts."""
    types = {column.name: pl.String() if column.protection else type_of(column) for column in contract.columns}
    texts = {name: pl.String() if isinstance(dtype, pl.Time) else dtype for name, dtype in types.items()}
    return {**texts, **dict.fromkeys(LINEAGE[:-1], pl.String()), LINEAGE[-1]: pl.Int64()}


def type_of(column: Column) -> pl.DataType:
    """Return a column's type in memory; ConfigError for decimals that no table can hold."""
    decimal = decimal_of(column.physical_type)
    if column.logical_type != "number" or decimal is None:
        return TYPES[column.logical_type]
    precision, scale = decimal
    if not 0 < precision <= _MOST_DIGITS or scale > precision:
        raise ConfigError(
            f"{column.physical_type} is no decimal type",
            where=f"column {column.name!r}",
            way_out="at most decimal(38,38)",
        )
    return pl.Decimal(precision, scale)


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """How one column is read. ``head`` runs in the batch's one `select`; ``tail`` on the Series that it gives."""

    name: str
    dtype: pl.DataType
    head: pl.Expr
    tail: Sequence[SeriesStep]
    fallible: bool
    enum: choices.Enum | None = field(default=None)

    def finish(self, value: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        """Return the typed values, and where text could not be read (None for a column where that can not be)."""
        fault: pl.Series | None = None
        for step in self.tail:
            result = step(value if value.dtype == pl.String else value.cast(pl.String))
            value = result.value
            if result.fault is not None:
                fault = result.fault if fault is None else fault | result.fault
        if value.dtype != self.dtype:
            cast = value.cast(self.dtype, strict=False)
            lost = value.is_not_null() & cast.is_null()
            value, fault = cast, lost if fault is None else fault | lost
        if self.fallible and fault is None:
            fault = pl.repeat(False, len(value), eager=True)  # noqa: FBT003 - the value to repeat
        return value.alias(self.name), fault


def compile_column(column: Column, source: str, null_values: Sequence[str]) -> ColumnPlan:
    """Compile one column that is read from ``source``; ConfigError names a step or an option that is none."""
    dtype = type_of(column)
    steps = list(column.normalise)
    if column.logical_type != "string" and not any(s.name in _READS[column.logical_type] for s in steps):
        steps.append(Step(column.logical_type))
    if column.timezone:
        steps = [_in_zone(step, column.timezone) for step in steps]
    for step in steps:
        for problem in table.problems(step):
            raise ConfigError(problem, where=f"column {column.name!r}")
    enum = choices.Enum(column) if (column.enum or column.synonyms) else None
    plan = _Chain(nulls=null_values)
    placed = enum is None
    for step in steps:
        if not placed and step.name in table.FALLIBLE and column.logical_type != "string":
            plan.add_series(enum)
            placed = True
        if step.name in texts.TEXT_STEPS:
            plan.add_text(texts.TEXT_STEPS[step.name](step.options), costly=step.name in texts.COSTLY)
        elif step.name in numbers.NUMBER_STEPS:
            target = pl.Int64() if step.name == "integer" else dtype if dtype.is_decimal() else pl.Float64()
            plan.add_series(numbers.NUMBER_STEPS[step.name](step.options, target))
        else:
            plan.add_series(_SERIES_STEPS[step.name](step.options))
    if not placed:
        plan.add_series(enum)
    fallible = column.logical_type != "string" or any(s.name in table.FALLIBLE for s in steps)
    return plan.build(column.name, dtype, source, fallible=fallible, enum=enum)


def _in_zone(step: Step, zone: str) -> Step:
    """Give a timestamp without a zone of its own the column's."""
    return Step(step.name, {"timezone": zone, **step.options}) if step.name == "timestamp" else step


class _Chain:
    """Collects steps: the cheap text steps that come first make the head, runs of others go by distinct values."""

    def __init__(self, nulls: Sequence[str]) -> None:
        self._nulls = nulls
        self._head: list[TextStep] = []
        self._tail: list[SeriesStep] = []
        self._fused: list[TextStep] = []

    def add_text(self, step: TextStep, *, costly: bool) -> None:
        if costly or self._fused or self._tail:
            self._fused.append(step)
        else:
            self._head.append(step)

    def add_series(self, step: SeriesStep | None) -> None:
        self._flush()
        if step is not None:
            self._tail.append(step)

    def _flush(self) -> None:
        if self._fused:
            self._tail.append(_on_distinct(tuple(self._fused), empty_is_null="" in self._nulls))
            self._fused = []

    def build(
        self, name: str, dtype: pl.DataType, source: str, *, fallible: bool, enum: choices.Enum | None
    ) -> ColumnPlan:
        self._flush()
        text = cs.by_name(source).as_expr()  # pl.col takes a header like ^x$ for a regular expression
        words = [value for value in self._nulls if value]
        if words:
            text = pl.when(~text.str.strip_chars().is_in(words)).then(text)
        for step in self._head:
            text = step(text)
        if "" in self._nulls:
            text = pl.when(text != "").then(text)
        return ColumnPlan(name, dtype, text.alias(name), tuple(self._tail), fallible, enum)


def _on_distinct(steps: Sequence[TextStep], *, empty_is_null: bool) -> SeriesStep:
    expression = pl.col("_")
    for step in steps:
        expression = step(expression)
    if empty_is_null:
        expression = pl.when(expression != "").then(expression)

    def apply(values: pl.Series) -> pl.Series:
        return values.to_frame("_").select(expression.alias("_")).to_series()

    return lambda values: reading.Reading(by_distinct(values, apply))
