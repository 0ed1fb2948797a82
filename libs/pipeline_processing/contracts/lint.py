"""What is odd about a contract that loads: warnings, each with its place and a way out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pipeline_processing.contracts.document import parse
from pipeline_processing.contracts.expressions import columns_read
from pipeline_processing.contracts.faults import Fault
from pipeline_processing.contracts.load import examine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline_processing.contracts.model import Column, Contract
    from pipeline_processing.model import Json

_GRAVE: Final = frozenset({"restricted", "secret", "highly confidential", "sensitive", "pii", "phi"})
"""Classifications whose values should not be written in the clear."""
_PERSONAL: Final = re.compile(
    r"(^|_)(ssn|social_security\w*|dob|birth\w*|last_name|first_name|surname|full_name|phone\w*|e?mail|address|"
    r"passport\w*|licen[cs]e_no)($|_)"
)
_MADE_OF_TEXT: Final = ("date", "timestamp", "time")


def lint(text: str, *, source: str = "contract") -> tuple[tuple[Contract, ...], tuple[Fault, ...], tuple[Fault, ...]]:
    """Return the contracts of a document, its faults and its warnings. ContractError where it is not even YAML.

    With faults the contracts are not whole, and warnings may be missing.
    """
    parsed = parse(text, source=source)
    contracts, faults = examine(parsed)
    warnings = [warning for contract in contracts for warning in warnings_of(contract)]
    return contracts, faults.all(), tuple(dict.fromkeys([*warnings, *_of_document(parsed)]))


def warnings_of(contract: Contract) -> Iterator[Fault]:
    """Yield what is odd about one dataset."""
    place = f"schema.{contract.dataset}"
    if not contract.primary_key:
        yield Fault(place, "it has no primary key", "primaryKey: true on the columns that tell rows apart")
    for column in contract.columns:
        yield from _of_column(column, f"{place}.properties.{column.name}")
    yield from _of_keys(contract, place)
    used = {column.lookup.reference for column in contract.columns if column.lookup}
    for reference in contract.references:
        if reference.name not in used:
            where = f"{place}.customProperties.references.{reference.name}"
            yield Fault(where, "no column looks anything up in it", "leave it out")
    if not any(check.action != "warn" for check in contract.checks):
        yield Fault(place, "no check does more than warn", "action: quarantine, fail_file or fail_run where it matters")


def _of_column(column: Column, place: str) -> Iterator[Fault]:
    if column.classification in _GRAVE and column.protection is None:
        what = f"its values are {column.classification}, and are written in the clear"
        yield Fault(f"{place}.classification", what, "customProperties protect: hash or tokenise")
    if column.protection and column.classification in {None, "public"}:
        yield Fault(place, "it is protected, but not classified: nobody can tell why", "classification")
    if not column.is_classified and _PERSONAL.search(column.name.lower()):
        yield Fault(
            place, "its name is that of personal data, and it is not classified", "classification: confidential"
        )
    if column.primary_key_position is not None and not column.required:
        yield Fault(f"{place}.required", "a column of the primary key may be null", "required: true")
    if column.logical_type in _MADE_OF_TEXT and column.sources and not _says_format(column):
        way_out = "logicalTypeOptions format, or customProperties normalise with formats or order"
        what = f"no format of its {column.logical_type}s is said: only what can not be mistaken is read"
        yield Fault(place, what, way_out)
    for number, example in enumerate(column.examples, 1):
        why = example_fault(column, example)
        if why and not column.normalise:
            yield Fault(f"{place}.examples.{number}", f"the example does not fit the column: {why}", "mend one of them")


def _says_format(column: Column) -> bool:
    return any(step.name == column.logical_type for step in column.normalise)


def example_fault(column: Column, example: Json) -> str | None:
    """Say which of the column's own rules an example breaks; None where it breaks none."""
    text = str(example)
    if column.logical_type in {"integer", "number"}:
        return _number_fault(column, example)
    if column.enum and text not in column.enum:
        return "it is not among the allowed values"
    if column.logical_type != "string":
        return None
    if column.pattern and not _matches(column.pattern, text):
        return "it does not match the pattern"
    if (column.min_length or 0) > len(text) or len(text) > (column.max_length or len(text)):
        return "it has another length"
    return None


def _number_fault(column: Column, example: Json) -> str | None:
    try:
        value = float(example)
    except (TypeError, ValueError):
        return "it is no number"
    if column.enum and str(example) not in column.enum:
        return "it is not among the allowed values"
    low, high = column.minimum, column.maximum
    above, below = column.exclusive_minimum, column.exclusive_maximum
    is_outside = (low is not None and value < float(low)) or (high is not None and value > float(high))
    is_on = (above is not None and value <= float(above)) or (below is not None and value >= float(below))
    return "it is outside the limits" if is_outside or is_on else None


def _matches(pattern: str, text: str) -> bool:
    import polars as pl  # noqa: PLC0415 - the engine is asked only where there is an example to try

    return bool(pl.Series([text]).str.contains(pattern)[0])


def _of_keys(contract: Contract, place: str) -> Iterator[Fault]:
    for name in contract.partition_by:
        column = next((column for column in contract.columns if column.name == name), None)
        if column and column.is_classified:
            yield Fault(
                f"{place}.properties.{name}", "it is classified, and stands in folder names", "partition by another"
            )
        if column and not column.required:
            yield Fault(f"{place}.properties.{name}.required", "rows may have no partition", "required: true")
    for column in contract.columns:
        if column.derive and column.protection is None and not column.is_classified:
            read = columns_read(column.derive)
            secret = sorted(other.name for other in contract.columns if other.name in read and other.is_classified)
            if secret:
                what = f"it is made of {', '.join(secret)}, which is classified, and is not classified itself"
                yield Fault(f"{place}.properties.{column.name}", what, "classification")


def _of_document(parsed: Mapping[str, Json]) -> Iterator[Fault]:
    """Yield what only the document tells: fields that describe, where a reader may think that they act."""
    for table in _dicts(parsed.get("schema")):
        for column in _dicts(table.get("properties")):
            place = f"schema.{table.get('name')}.properties.{column.get('name')}"
            if column.get("transformLogic"):
                yield Fault(f"{place}.transformLogic", "it is described, not executed", "customProperties derive")
            if column.get("enum") and parsed.get("apiVersion") != "v3.2.0":
                what = "enum is of v3.2.0 of the standard: other tools may refuse it in an earlier one"
                yield Fault(f"{place}.enum", what, "quality invalidValues with validValues and mustBe: 0")


def _dicts(value: Json) -> list[dict[str, Json]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
