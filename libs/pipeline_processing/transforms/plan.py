"""A contract and a file's header, compiled: what turns each batch of texts into the contract's typed rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
from polars import selectors as cs

from pipeline_processing.contracts.model import LINEAGE, fault
from pipeline_processing.contracts.types import polars_type
from pipeline_processing.transforms import headers
from pipeline_processing.transforms.choices import suggestions_of
from pipeline_processing.transforms.columns import compile_column, published_schema
from pipeline_processing.transforms.derive import Derived, compile_derived, in_order
from pipeline_processing.transforms.lookups import compile_lookup
from pipeline_processing.transforms.protection import protector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.transforms.choices import Suggestion
    from pipeline_processing.transforms.columns import ColumnPlan

ROW: Final = "_row"
LINE: Final = "_line"
"""The readers' columns of a record's number and line; they pass through `Plan.normalise` as they are."""


def compile_plan(
    contract: Contract,
    header: Sequence[str],
    *,
    agency_id: str,
    source: str,
    source_version: str,
    references: Mapping[str, pl.DataFrame] | None = None,
    token_key: bytes | None = None,
) -> Plan:
    """Compile ``contract`` for a file with this ``header``; ConfigError for what the contract's author must change.

    ``references`` are the snapshots of the contract's reference tables by name; ``token_key`` is needed where a column
    is protected. A plan remembers values it has seen (for speed, and for `Plan.suggestions`): one file, one plan.
    """
    types = {column.name: polars_type(column) for column in contract.columns}
    chosen = headers.match(contract.columns, header)
    read = [
        compile_column(column, chosen[column.name], contract.format.null_values)
        for column in contract.columns
        if column.name in chosen
    ]
    protectors = {
        column.name: protector(column.protection, token_key, column=column.name)
        for column in contract.columns
        if column.protection is not None
    }
    makers = _makers(contract, types, references or {}, protectors)
    return Plan(
        _Compiled(
            sourced=tuple(column.name for column in contract.columns if headers.sources_of(column)),
            header=tuple(header),
            secret=headers.feeding((c for c in contract.columns if c.protection is not None), header),
            chosen=chosen,
            types=types,
            read=read,
            makers=makers,
            protectors=protectors,
            lineage=(agency_id, source, source_version),
            schema=published_schema(contract),
        )
    )


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes one derived or looked-up column of a frame that has those it reads."""

    column: str
    inputs: Sequence[str]
    make: Callable[[pl.DataFrame], tuple[pl.Series, Mapping[str, pl.Series]]]
    faults: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Compiled:
    sourced: tuple[str, ...]
    header: tuple[str, ...]
    secret: Mapping[str, str]
    chosen: Mapping[str, str]
    types: Mapping[str, pl.DataType]
    read: Sequence[ColumnPlan]
    makers: Sequence[_Maker]
    protectors: Mapping[str, Callable[[pl.Series], pl.Series]]
    lineage: tuple[str, str, str]
    schema: Mapping[str, pl.DataType]


class Plan:
    """What `compile_plan` gives. Each method takes one batch or frame and returns a new one."""

    def __init__(self, compiled: _Compiled) -> None:
        self._types, self._read, self._makers = compiled.types, compiled.read, compiled.makers
        self._protectors, self._lineage, self._schema = compiled.protectors, compiled.lineage, compiled.schema
        self._secret = compiled.secret
        self.sources: Mapping[str, str] = compiled.chosen
        """Column of the contract → the name in the header that it is read from."""
        self.missing: tuple[str, ...] = tuple(name for name in compiled.sourced if name not in compiled.chosen)
        """Columns of the contract of which no source is in the header: all null."""
        used = set(compiled.chosen.values())
        self.unread: tuple[str, ...] = tuple(name for name in compiled.header if name not in used)
        """Names in the header that no column reads."""

    @property
    def schema(self) -> Mapping[str, pl.DataType]:
        """Return the names and types of what `finish` gives."""
        return self._schema

    @property
    def faults(self) -> tuple[str, ...]:
        """Return the names of the fault columns that `normalise` adds."""
        typed = [fault("type", column.name) for column in self._read if column.fallible]
        return (*typed, *(name for maker in self._makers for name in maker.faults))

    def normalise(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return the contract's columns in its order and types, then ``_row`` and ``_line``, then the fault columns.

        A fault column is True where the source says something that could not be read; the value is null there.
        Nothing here looks at another row: a row gives the same in whatever batch it comes.
        """
        heads = batch.select(column.head for column in self._read)
        values: dict[str, pl.Series] = {}
        faults: dict[str, pl.Series] = {}
        for column in self._read:
            values[column.name], wrong = column.finish(heads[column.name])
            if wrong is not None:
                faults[fault("type", column.name)] = wrong
        for name in self.missing:
            values[name] = pl.repeat(None, batch.height, dtype=self._types[name], eager=True)
        for maker in self._makers:
            values[maker.column], found = maker.make(_frame({name: values[name] for name in maker.inputs}))
            faults |= found
        ordered = {name: values[name] for name in self._types}
        return _frame({**ordered, ROW: batch[ROW], LINE: batch[LINE], **{name: faults[name] for name in self.faults}})

    def protect(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return ``frame`` with the values of protected columns replaced by keyed digests; call it once only."""
        return frame.with_columns(
            protect(frame[name]) for name, protect in self._protectors.items() if name in frame.columns
        )

    def protect_raw(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return the reader's ``batch`` with the texts that feed protected columns, or could, replaced in the same way.

        A second column of the file under another of a protected column's names is not read, but no less secret.
        """
        return batch.with_columns(
            self._protectors[column](batch[name]) for name, column in self._secret.items() if name in batch.columns
        )

    def finish(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return normalised rows as they are published: protected, with lineage, in the order of `schema`."""
        kept = self.protect(frame.select(*self._types, ROW))
        lineage = [
            pl.lit(value, pl.String).alias(name) for name, value in zip(LINEAGE[:-1], self._lineage, strict=True)
        ]
        texts = (cs.time().dt.to_string("%H:%M:%S%.f"), pl.col(ROW).cast(pl.Int64).alias(LINEAGE[-1]))
        return kept.with_columns(*lineage, *texts).select(*self._schema)

    def suggestions(self) -> tuple[Suggestion, ...]:
        """Return the enums' values that matched nothing so far, counted, with the nearest allowed value of each."""
        return suggestions_of(column.enum for column in self._read if column.enum is not None)


def _makers(
    contract: Contract,
    types: Mapping[str, pl.DataType],
    references: Mapping[str, pl.DataFrame],
    protectors: Mapping[str, Callable[[pl.Series], pl.Series]],
) -> list[_Maker]:
    makers: dict[str, _Maker] = {}
    for column in contract.columns:
        if column.lookup is not None:
            find = compile_lookup(column, references, types)
            makers[column.name] = _looking_up(column.name, tuple(column.lookup.on), find)
        elif column.derive is not None:
            derived = compile_derived(column.name, column.derive, types)
            makers[column.name] = _deriving(derived, types[column.name], protectors)
    return [makers[name] for name in in_order({name: maker.inputs for name, maker in makers.items()})]


def _looking_up(
    name: str, inputs: tuple[str, ...], find: Callable[[pl.DataFrame], tuple[pl.Series, pl.Series]]
) -> _Maker:
    def make(frame: pl.DataFrame) -> tuple[pl.Series, Mapping[str, pl.Series]]:
        value, lost = find(frame)
        return value, {fault("lookup", name): lost}

    return _Maker(name, inputs, make, (fault("lookup", name),))


def _deriving(
    derived: Derived, dtype: pl.DataType, protectors: Mapping[str, Callable[[pl.Series], pl.Series]]
) -> _Maker:
    hidden = [name for name in derived.inputs if name in protectors] if derived.is_key else []
    faults = () if dtype == pl.String else (fault("type", derived.column),)

    def make(frame: pl.DataFrame) -> tuple[pl.Series, Mapping[str, pl.Series]]:
        # A digest without a secret over a protected value would let it be guessed: keys are made of its token.
        if hidden:
            frame = frame.with_columns(protectors[name](frame[name]) for name in hidden)
        value = derived.evaluate(frame)
        typed = value.cast(dtype, strict=False).alias(derived.column)
        return typed, {name: value.is_not_null() & typed.is_null() for name in faults}

    return _Maker(derived.column, derived.inputs, make, faults)


def _frame(columns: Mapping[str, pl.Series]) -> pl.DataFrame:
    return pl.DataFrame([series.alias(name) for name, series in columns.items()])
