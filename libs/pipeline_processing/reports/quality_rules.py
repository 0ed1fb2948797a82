"""What each rule of a contract asks of a value, in words for whoever sent the file. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.contracts.model import Check, Column, Contract

_MOST_VALUES: Final = 20
"""Allowed values that are listed; of more only the number is told."""
READER_ASKS: Final[Mapping[str, str]] = {
    f"reader.{reason.replace(' ', '_')}": words
    for reason, words in {
        "ragged": "has as many fields as the header",
        "bad quote": "has no text behind a closing quote; a quote within a value stands twice",
        "unclosed quote": "closes every quote that it opens",
        "nul byte": "has no NUL byte",
        "undecodable": "has only characters of the file's encoding",
        "too long": "is no longer than a record may be",
        "bad json": "is JSON",
        "not an object": "is a JSON object",
        "duplicate key": "has each key once",
        "too deep": "is not nested deeper than is read",
    }.items()
}
"""By the rule of a reader's reject: what a record has to be."""
_TYPES: Final[Mapping[str, str]] = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "timestamp": "a date with a time",
    "time": "a time of day",
}


def asked_of(contract: Contract) -> dict[str, str]:
    """Return by rule what it asks, where more can be said than its kind says; the reader's rules too.

    The allowed values of a classified column are not told.
    """
    found = {check.name: words for check in contract.checks if (words := _asked(check, contract))}
    return {**READER_ASKS, **found}


def _asked(check: Check, contract: Contract) -> str:
    if check.kind == "primary_key":
        return f"the key {', '.join(contract.primary_key)} is there once only"
    if check.kind == "row":
        return f"holds: {' '.join((check.expression or '').split())}"
    return "" if check.column is None else _of_column(check, contract.column(check.column))


def _of_column(check: Check, column: Column) -> str:  # noqa: PLR0911 - one return a kind
    match check.kind:
        case "type":
            return f"can be read as {_TYPES[column.logical_type]}" if column.logical_type in _TYPES else ""
        case "enum":
            return _values(column)
        case "pattern":
            return f"has the form {column.pattern}"
        case "length":
            return f"has {_between(column.min_length, column.max_length)} characters"
        case "range":
            return _limits(column)
        case "multiple_of":
            return f"is a whole multiple of {column.multiple_of}"
        case "lookup":
            return f"is found in {column.lookup.reference}" if column.lookup else ""
        case _:
            return ""


def _values(column: Column) -> str:
    if column.is_classified or len(column.enum) > _MOST_VALUES:
        return f"is one of the {len(column.enum):,} allowed values"
    return f"is one of {', '.join(column.enum)}"


def _between(low: int | None, high: int | None) -> str:
    if low == high:
        return str(low)
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"{low} to {high}"


def _limits(column: Column) -> str:
    told = (
        ("at least", column.minimum),
        ("more than", column.exclusive_minimum),
        ("at most", column.maximum),
        ("less than", column.exclusive_maximum),
    )
    return f"is {' and '.join(f'{words} {limit}' for words, limit in told if limit is not None)}"
