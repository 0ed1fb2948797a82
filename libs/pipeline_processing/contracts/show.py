"""A contract as it was understood: what a person reads, and what a program does."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline_processing.contracts.model import Check, Column, Contract
    from pipeline_processing.model import Json


def as_json(contract: Contract) -> dict[str, Json]:
    """Return all of the contract, with what is derived from it."""
    return {
        **asdict(contract),
        "primary_key": list(contract.primary_key),
        "partition_by": list(contract.partition_by),
    }


def column_row(column: Column) -> tuple[str, str, str, str, str]:
    """Return a column's name, type, origin, rules and care (classification and protection), as texts."""
    return (column.name, _type(column), _origin(column), ", ".join(_rules(column)), _care(column))


def check_row(check: Check) -> tuple[str, str, str, str]:
    """Return a check's name, kind, what it asks and what it does, as texts."""
    asks = check.expression or ", ".join(f"{name}={value}" for name, value in check.arguments.items())
    if check.threshold:
        asks = f"{asks} {threshold_text(check)}".strip()
    return (check.name, check.kind, asks, check.action)


def threshold_text(check: Check) -> str:
    """Return a check's threshold: ``< 5 percent``; empty where it has none."""
    if check.threshold is None:
        return ""
    values = " and ".join(str(value) for value in check.threshold.values)
    unit = "days" if check.kind == "freshness" else "" if check.kind == "sql" else check.threshold.unit
    return f"{check.threshold.operator} {values} {unit}".strip()


def rules_of(contract: Contract) -> Iterator[tuple[str, str]]:
    """Yield the table's own rules by name."""
    yield "primary key", ", ".join(contract.primary_key)
    yield "partitioned by", ", ".join(contract.partition_by)
    if contract.dedupe:
        order = [f"{name} {'desc' if descending else 'asc'}" for name, descending in contract.dedupe.order]
        yield "deduplicated", f"by {', '.join(contract.dedupe.key)}; first by {', '.join(order) or 'row'}"
    for reference in contract.references:
        yield f"reference {reference.name}", reference.path or reference.query or ""
    for level in contract.sla:
        yield (
            f"level {level.property}",
            " ".join(str(part) for part in (level.value, level.unit, level.element) if part),
        )
    yield "unknown columns", contract.unknown_columns
    if contract.quarantine.max_share < 1:
        yield "file fails above", f"{contract.quarantine.max_share:.2%} of its rows in quarantine"


def _type(column: Column) -> str:
    precise = column.physical_type if (column.physical_type or "").lower().startswith(("decimal", "numeric")) else None
    return precise or column.logical_type


def _origin(column: Column) -> str:
    if column.derive:
        return f"= {column.derive}"
    if column.lookup:
        return f"{column.lookup.reference}.{column.lookup.take}"
    steps = [step.name for step in column.normalise]
    return " > ".join([" | ".join(column.sources), *steps])


def _rules(column: Column) -> Iterator[str]:
    lengths, limits = (column.min_length, column.max_length), (column.minimum, column.maximum)
    told = {
        f"key {column.primary_key_position}": column.primary_key_position is not None,
        "required": column.required,
        "unique": column.unique,
        f"one of {len(column.enum)}: {_few(column.enum)}": bool(column.enum),
        f"matches {column.pattern}": bool(column.pattern),
        f"length {_range(*lengths)}": lengths != (None, None),
        _range(*limits): limits != (None, None),
        f"> {column.exclusive_minimum}": column.exclusive_minimum is not None,
        f"< {column.exclusive_maximum}": column.exclusive_maximum is not None,
        f"multiple of {column.multiple_of}": column.multiple_of is not None,
    }
    yield from (text for text, is_set in told.items() if is_set)


def _range(low: Json, high: Json) -> str:
    return f"{'' if low is None else low}..{'' if high is None else high}"


def _few(values: Sequence[str], most: int = 4) -> str:
    return ", ".join(values[:most]) + (", …" if len(values) > most else "")


def _care(column: Column) -> str:
    return " ".join(part for part in (column.classification, column.protection) if part)
