"""The checks that a dataset's columns make by themselves: type, required, enum, pattern, … as `<column>.<kind>`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline_processing.contracts.model import Check
from pipeline_processing.contracts.steps import FALLIBLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline_processing.contracts.model import Action, CheckKind, Column, Severity

_DEFAULT: Final[Mapping[str, Action]] = {"lookup": "warn"}
_DIMENSIONS: Final[Mapping[str, str]] = {
    "type": "conformity",
    "required": "completeness",
    "enum": "conformity",
    "pattern": "conformity",
    "length": "conformity",
    "range": "accuracy",
    "multiple_of": "accuracy",
    "unique": "uniqueness",
    "primary_key": "uniqueness",
    "lookup": "consistency",
}


def own_checks(
    columns: Sequence[Column], actions: Mapping[str, Action], by_column: Mapping[str, Mapping[str, Action]]
) -> Iterator[Check]:
    """Yield the checks of every column, then that of the primary key (named ``primary_key``)."""
    for column in columns:
        merged = {**actions, **by_column.get(column.name, {})}
        for kind in _kinds(column):
            yield _check(f"{column.name}.{kind}", kind, column.name, merged)
    if any(column.primary_key_position is not None for column in columns):
        yield _check("primary_key", "primary_key", None, actions)


def kinds_of(column: Column) -> frozenset[CheckKind]:
    """Return the kinds of the checks that the column makes by itself."""
    return frozenset(_kinds(column))


def _kinds(column: Column) -> Iterator[CheckKind]:
    if _may_be_unreadable(column):
        yield "type"
    if column.lookup:
        yield "lookup"
    if column.required:
        yield "required"
    if column.enum:
        yield "enum"
    if column.pattern:
        yield "pattern"
    if column.min_length is not None or column.max_length is not None:
        yield "length"
    limits = (column.minimum, column.maximum, column.exclusive_minimum, column.exclusive_maximum)
    if any(limit is not None for limit in limits):
        yield "range"
    if column.multiple_of is not None:
        yield "multiple_of"
    if column.unique:
        yield "unique"


def _may_be_unreadable(column: Column) -> bool:
    """Say whether a value may be there that the column's type can not hold; derived ones overflow, too."""
    if column.logical_type != "string":
        return bool(column.sources or column.derive)
    return any(step.name in FALLIBLE for step in column.normalise)


def _check(name: str, kind: CheckKind, column: str | None, actions: Mapping[str, Action]) -> Check:
    action = actions.get(kind, _DEFAULT.get(kind, "quarantine"))
    severity: Severity = "warning" if action == "warn" else "error"
    return Check(name, kind, column, action=action, severity=severity, dimension=_DIMENSIONS[kind])
