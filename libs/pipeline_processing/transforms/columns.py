"""One column's way from its source's text to its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl
from polars import selectors as cs

from etl_core.errors import ConfigError
from pipeline_processing.contracts import steps as table
from pipeline_processing.contracts.model import LINEAGE, Step
from pipeline_processing.contracts.types import MOST_DIGITS, TYPES, can_be_kept, decimal_of, polars_type
from pipeline_processing.transforms import choices, contacts, dates, numbers, people, places, reading, texts
from pipeline_processing.transforms.memo import by_distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline_processing.contracts.model import Column, Contract
    from pipeline_processing.model import Json
    from pipeline_processing.transforms.reading import SeriesStep, TextStep

_WHOLE: Final = pl.Decimal(MOST_DIGITS, 0)
"""What numbers and amounts are read as where integers are made of them: a float would round those beyond 2**53."""

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
    "date": frozenset({"date"}),
    "timestamp": frozenset({"timestamp", "date"}),
    "time": frozenset({"time"}),
}
"""Which steps give a value of a type; a column of the type without one of them gets the step of the type's own name."""
_MAY_PRECEDE: Final[Mapping[str, frozenset[str]]] = {"integer": frozenset({"number", "money"})}
"""Steps of another type that a column may have before its own. Not a timestamp for a date: its day would be UTC's."""


def published_schema(contract: Contract) -> dict[str, pl.DataType]:
    """Return the names and types of a silver table's columns: protected ones, and times of day, are texts."""
    types = {column.name: pl.String() if column.protection else polars_type(column) for column in contract.columns}
    texts = {name: pl.String() if isinstance(dtype, pl.Time) else dtype for name, dtype in types.items()}
    return {**texts, **dict.fromkeys(LINEAGE[:-1], pl.String()), LINEAGE[-1]: pl.Int64()}


def read_as(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Read texts as a type, the way of a column without steps; null where that can not be."""
    if isinstance(dtype, pl.Decimal | pl.Float64):
        return numbers.number({}, dtype)(values).value
    kind = next(name for name, one in TYPES.items() if one == dtype)
    if kind == "integer":
        return numbers.integer({}, dtype)(values).value
    return _SERIES_STEPS[kind]({})(values).value


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
    _check_decimal(column)
    dtype, steps = polars_type(column), _steps_of(column)
    is_text = column.logical_type == "string"
    fallible = not is_text or any(step.name in table.FALLIBLE for step in steps)
    enum = choices.Enum(column) if (column.enum or column.synonyms) else None
    # Synonyms of a typed column stand for its texts, those of a text column for its values.
    reads = next((place for place, step in enumerate(steps) if step.name in table.FALLIBLE), len(steps))
    place = len(steps) if is_text else reads
    chain = _Chain(nulls=null_values)
    for step in steps[:place]:
        chain.add(step, dtype)
    chain.add_series(enum)
    for step in steps[place:]:
        chain.add(step, dtype)
    return chain.build(column.name, dtype, source, fallible=fallible, enum=enum)


def _check_decimal(column: Column) -> None:
    decimal = decimal_of(column.physical_type) if column.logical_type == "number" else None
    if decimal is not None and not can_be_kept(*decimal):
        raise ConfigError(
            f"{column.physical_type} is no decimal type",
            where=f"column {column.name!r}",
            way_out=f"at most decimal({MOST_DIGITS},{MOST_DIGITS})",
        )


def _steps_of(column: Column) -> list[Step]:
    """Return the column's steps, the one that reads its type among them, each with options that are right."""
    steps = list(column.normalise)
    if column.logical_type != "string" and not any(s.name in _READS[column.logical_type] for s in steps):
        steps.append(Step(column.logical_type))
    for step in steps:
        _check_place(step, column)
        for problem in table.problems(step):
            raise ConfigError(problem, where=f"column {column.name!r}")
    return [_in_zone(step, column.timezone) for step in steps] if column.timezone else steps


def _check_place(step: Step, column: Column) -> None:
    kind = column.logical_type
    if kind == "string" or all(step.name not in names for names in _READS.values()):
        return
    if step.name not in _READS[kind] | _MAY_PRECEDE.get(kind, frozenset()):
        raise ConfigError(
            f"the step {step.name!r} gives no {kind}",
            where=f"column {column.name!r}",
            way_out=f"use one of {', '.join(sorted(_READS[kind]))}",
        )


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

    def add(self, step: Step, dtype: pl.DataType) -> None:
        """Add the step; numbers are read as what the column's type needs."""
        if step.name in texts.TEXT_STEPS:
            self._add_text(texts.TEXT_STEPS[step.name](step.options), costly=step.name in texts.COSTLY)
        elif step.name in numbers.NUMBER_STEPS:
            inexact = dtype if dtype.is_decimal() else _WHOLE if dtype.is_integer() else pl.Float64()
            target = pl.Int64() if step.name == "integer" else inexact
            self.add_series(numbers.NUMBER_STEPS[step.name](step.options, target))
        else:
            self.add_series(_SERIES_STEPS[step.name](step.options))

    def _add_text(self, step: TextStep, *, costly: bool) -> None:
        if costly or self._fused or self._tail:
            self._fused.append(step)
        else:
            self._head.append(step)

    def add_series(self, step: SeriesStep | None) -> None:
        """Add a step of Series; None is none."""
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
