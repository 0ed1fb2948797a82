"""A table's columns: from a Polars schema to Delta Lake's types, and what may change between two commits. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.tables import TableSchema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline_processing.model import Json

_PLAIN: Final[dict[type[pl.DataType], str]] = {
    pl.Boolean: "boolean",
    pl.Int8: "byte",
    pl.Int16: "short",
    pl.Int32: "integer",
    pl.Int64: "long",
    pl.Float32: "float",
    pl.Float64: "double",
    pl.String: "string",
    pl.Date: "date",
    pl.Binary: "binary",
}
_WAYS_OUT: Final[dict[type[pl.DataType], str]] = {
    pl.Time: "write it as text, such as 23:59:00",
    pl.Duration: "write it as a number",
    pl.Datetime: "write it in microseconds",
    pl.Null: "give the column a type",
    pl.Categorical: "write it as text",
    pl.Enum: "write it as text",
}
# delta-rs itself takes UInt32 for a signed integer without a word: what is past 2**31 would come back negative.
_OTHERWISE: Final = "write it as a signed number, a text or a date"


def schema_of(columns: Mapping[str, pl.DataType], *, partition_by: Sequence[str] = ()) -> TableSchema:
    """Return the table's schema for a Polars schema; ConfigError naming a column whose type no table can hold.

    ``columns`` are the table's, so the partition columns, which the files do not have, are among them.
    """
    for name in partition_by:
        if name not in columns:
            raise ConfigError(f"there is no column {name}", where="partition columns", way_out="name an existing one")
        if columns[name].is_nested() or isinstance(columns[name], pl.Binary):
            raise ConfigError(f"column {name} can not partition a table", way_out="partition by a text, number or date")
    return TableSchema({name: _type_of(name, dtype) for name, dtype in columns.items()}, tuple(partition_by))


def merged(table: TableSchema | None, files: TableSchema | None, *, where: str) -> TableSchema:
    """Return the schema of a table that takes in files of the schema ``files``; its own columns keep their place.

    New columns are null in older files, and those that the files lack are null in them. ConfigError where a column
    changes its type, or the partitioning differs.
    """
    if files is None or table is None:
        found = files or table
        if found is None:
            raise ConfigError("the table does not exist", where=where, way_out="publish to it first")
        return found
    if files.partition_by != table.partition_by:
        raise ConfigError(
            f"it is partitioned by {_named(table.partition_by)}, the contract says {_named(files.partition_by)}",
            where=where,
            way_out="publish to a table of another name, or keep the partition columns",
        )
    for name, kind in files.columns.items():
        if (stands := table.columns.get(name, kind)) != kind:
            raise ConfigError(
                f"column {name} is {stands} in the table and {kind} in the contract",
                where=where,
                way_out=f"give the column another name, or keep its type {stands}",
            )
    return TableSchema({**table.columns, **files.columns}, table.partition_by)


def has_naive_timestamps(schema: TableSchema) -> bool:
    """Say whether a column, at any depth, is a timestamp without a time zone: a feature that readers must know."""
    return any(_mentions(kind, "timestamp_ntz") for kind in schema.columns.values())


def to_json(schema: TableSchema) -> Json:
    """Return the schema as Delta Lake's log spells it."""
    return {"type": "struct", "fields": [_field(name, kind) for name, kind in schema.columns.items()]}


def from_json(struct: Json, partition_by: Sequence[str]) -> TableSchema:
    """Return what `to_json` spelt."""
    return TableSchema({field["name"]: field["type"] for field in struct["fields"]}, tuple(partition_by))


def _field(name: str, kind: Json) -> Json:
    return {"name": name, "type": kind, "nullable": True, "metadata": {}}


def _type_of(name: str, dtype: pl.DataType) -> Json:
    match dtype:
        case pl.Datetime(time_unit="us", time_zone=zone):
            return "timestamp_ntz" if zone is None else "timestamp"
        case pl.Decimal(precision=precision, scale=scale):
            return f"decimal({precision},{scale})"
        case pl.List(inner=inner):
            return {"type": "array", "elementType": _type_of(name, _instance(inner)), "containsNull": True}
        case pl.Struct(fields=fields):
            parts = [_field(field.name, _type_of(f"{name}.{field.name}", _instance(field.dtype))) for field in fields]
            return {"type": "struct", "fields": parts}
    if kind := _PLAIN.get(type(dtype)):
        return kind
    way_out = _WAYS_OUT.get(type(dtype), _OTHERWISE)
    raise ConfigError(f"column {name} is {dtype}, which a table can not hold", where="table schema", way_out=way_out)


def _instance(dtype: object) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[return-value]  # either is legal in Polars


def _mentions(kind: Json, name: str) -> bool:
    if isinstance(kind, dict):
        return any(_mentions(part, name) for key, part in kind.items() if key != "name")
    return any(_mentions(part, name) for part in kind) if isinstance(kind, list) else kind == name


def _named(columns: Sequence[str]) -> str:
    return ", ".join(columns) or "nothing"
