"""What changed between two versions of a contract, and which of it breaks those who read the data or send it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_processing.contracts.model import Check, Column, Contract
    from pipeline_processing.model import Json

_SILENT: Final = frozenset({"description", "examples"})
"""Fields that say something to people alone."""
_WEIGHT: Final = {"warn": 0, "quarantine": 1, "fail_file": 2, "fail_run": 3}


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``breaking``: data that was fine, or who reads it, may be so no longer; ``why`` says what of it."""

    place: str
    what: str
    breaking: bool = False
    why: str = ""

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.place}: {self.what}" + (f" ({self.why})" if self.why else "")


def diff(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Return every change of one dataset, those that break first."""
    changes = [*_columns(old, new), *_checks(old, new), *_table(old, new)]
    return tuple(sorted(changes, key=lambda change: not change.breaking))


def _columns(old: Contract, new: Contract) -> Iterator[Change]:
    was, now = {column.name: column for column in old.columns}, {column.name: column for column in new.columns}
    for name in was:
        if name not in now:
            yield Change(f"column {name}", "is gone", breaking=True, why="who reads it finds it no more")
    for name, column in now.items():
        if name in was:
            yield from _column(was[name], column)
        elif column.required:
            why = "rows without it were fine, and fail now"
            yield Change(f"column {name}", "is new, and required", breaking=True, why=why)
        else:
            yield Change(f"column {name}", "is new")
    if list(was) != list(now) and set(was) == set(now):
        yield Change("columns", "stand in another order")


def _column(old: Column, new: Column) -> Iterator[Change]:
    for field in fields(new):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if was == now:
            continue
        place = f"column {new.name}"
        if field.name in _SILENT:
            yield Change(place, f"{field.name} reads otherwise")
        else:
            why = _why(field.name, was, now)
            yield Change(place, f"{field.name}: {_shown(was)} -> {_shown(now)}", breaking=bool(why), why=why)


_TYPE: Final = "who reads it gets values of another type"
_TOLD_APART: Final = "rows are told apart, or laid out, by other columns"
_ALWAYS: Final = {
    "logical_type": _TYPE,
    "physical_type": _TYPE,
    "timezone": _TYPE,
    "primary_key_position": _TOLD_APART,
    "partition_position": _TOLD_APART,
    "protection": "its values are written otherwise, and join no more with those before",
    "classification": "",
}
_AT_LEAST: Final = frozenset({"min_length", "minimum", "exclusive_minimum"})
_AT_MOST: Final = frozenset({"max_length", "maximum", "exclusive_maximum"})


def _why(field: str, was: Json, now: Json) -> str:
    """Say why a change of a column's field breaks; empty where it does not."""
    if field in _ALWAYS:
        return _ALWAYS[field]
    if field in {"required", "unique", "pattern", "multiple_of"}:
        return "values that were fine may fail now" if now else ""
    if field in _AT_LEAST | _AT_MOST:
        return "the limit is tighter" if _is_tighter(field, was, now) else ""
    if field in {"enum", "sources", "synonyms"}:
        return _why_fewer(field, was, now)
    return "its values may come out otherwise"


def _is_tighter(field: str, was: Json, now: Json) -> bool:
    if now is None or was is None:
        return now is not None
    return bool(_order(now) > _order(was) if field in _AT_LEAST else _order(now) < _order(was))


def _why_fewer(field: str, was: Json, now: Json) -> str:
    gone = ", ".join(sorted(set(was) - set(now)))
    if field == "enum":
        return "" if not now else "values are limited now" if not was else f"no longer allowed: {gone}" if gone else ""
    if not gone:
        return ""
    return f"headers no longer read: {gone}" if field == "sources" else f"spellings no longer known: {gone}"


def _order(value: Json) -> tuple[int, Json]:
    """Return what orders limits: numbers among themselves, ISO 8601 texts among themselves."""
    return (1, value) if isinstance(value, str) else (0, value)


def _checks(old: Contract, new: Contract) -> Iterator[Change]:
    was, now = {check.name: check for check in old.checks}, {check.name: check for check in new.checks}
    own = {f"{column.name}.{kind}" for column in new.columns for kind in _OF_COLUMNS}
    for name in was:
        if name not in now and name not in own:
            yield Change(f"check {name}", "is gone")
    for name, check in now.items():
        if name not in was:
            if name not in own:
                yield Change(
                    f"check {name}",
                    f"is new, and does {check.action}",
                    breaking=check.action != "warn",
                    why="data that was fine may fail now" if check.action != "warn" else "",
                )
        else:
            yield from _check(was[name], check)


_OF_COLUMNS: Final = ("type", "required", "enum", "pattern", "length", "range", "multiple_of", "unique")
"""Kinds of checks whose coming and going the column's own fields tell."""


def _check(old: Check, new: Check) -> Iterator[Change]:
    for field in fields(new):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if was == now or field.name in {"severity", "dimension"}:
            continue
        is_graver = field.name == "action" and _WEIGHT[now] > _WEIGHT[was]
        is_other = field.name in {"threshold", "expression", "arguments", "kind", "column"} and new.action != "warn"
        why = "it does more than before" if is_graver else "data that was fine may fail now" if is_other else ""
        what = f"{field.name}: {_shown(was)} -> {_shown(now)}" if field.name != "description" else "reads otherwise"
        yield Change(f"check {new.name}", what, breaking=bool(why), why=why)


def _table(old: Contract, new: Contract) -> Iterator[Change]:
    reasons = {
        "dataset": "the table has another name",
        "dedupe": "other rows stay",
        "unknown_columns": "files that were fine fail now" if new.unknown_columns == "fail_file" else "",
        "quarantine": "files that were fine may fail now"
        if new.quarantine.max_share < old.quarantine.max_share
        else "",
        "references": "values may be looked up elsewhere",
        "format": "files may be read otherwise",
        "drift": "",
        "sla": "",
        "status": "",
        "description": "",
    }
    for field, why in reasons.items():
        was, now = getattr(old, field), getattr(new, field)
        if was != now:
            what = "reads otherwise" if field == "description" else f"{_shown(was)} -> {_shown(now)}"
            yield Change(field, what, breaking=bool(why), why=why)


def _shown(value: Json) -> str:
    if value is None or value in ((), {}):
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - what fits on a line
