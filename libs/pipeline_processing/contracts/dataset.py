"""One dataset of a contract: its columns, its checks, and our rules at the table."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from pipeline_processing.contracts.columns import column_of, regex_fault
from pipeline_processing.contracts.expressions import (
    columns_read,
    expression_fault,
    key_columns,
    query_fault,
)
from pipeline_processing.contracts.faults import meant
from pipeline_processing.contracts.model import Check, Dedupe, Drift, Format, QuarantinePolicy, Reference
from pipeline_processing.contracts.quality import action_of, column_quality, table_quality, threshold_of
from pipeline_processing.contracts.rules import kinds_of, own_checks
from pipeline_processing.contracts.scope import ours
from pipeline_processing.contracts.types import polars_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from open_data_contract_standard.model import SchemaObject, SchemaProperty

    from pipeline_processing.contracts.model import Action, CheckKind, Column, Severity
    from pipeline_processing.contracts.scope import Scope
    from pipeline_processing.model import Json

_NEEDS_WIDTHS: Final = "fixed"


def columns_and_checks(source: SchemaObject, scope: Scope) -> tuple[tuple[Column, ...], tuple[Check, ...]]:
    """Return the dataset's columns and checks as far as they are sound."""
    properties = source.properties or []
    columns: list[Column] = []
    stated: list[Check] = []
    for one in properties:
        column, checks = column_quality(column_of(one, scope), one.quality or (), scope)
        columns.append(column)
        stated.extend(checks)
    columns = _placed(columns, properties, scope)
    _synonyms_known(columns, scope)
    _derived(columns, scope)
    custom = ours(source.customProperties)
    actions = custom.get("actions", {})
    by_column = {one.name or "": ours(one.customProperties).get("actions", {}) for one in properties}
    _actions_apply(columns, by_column, scope)
    replaced = {(check.kind, check.column) for check in stated}
    own = own_checks(columns, actions, by_column)
    found = [
        *(check for check in own if (check.kind, check.column) not in replaced),
        *stated,
        *table_quality(source.quality or (), scope),
        *_row_rules(custom.get("rowRules", ()), columns, scope),
        *_overlaps(custom.get("overlaps", ()), columns, scope),
    ]
    distinct = _distinct(found)
    _queries_run(distinct, columns, scope)
    for name in sorted({check.name for check in distinct if check.name in scope.declared or check.name[0] == "_"}):
        scope.faults.add(
            f"{scope.place}.quality.{name}", "a check has the name of a column, or begins with _", "rename it"
        )
    return tuple(columns), distinct


def dedupe_of(custom: Mapping[str, Json], columns: Iterable[Column], scope: Scope) -> Dedupe | None:
    """Return which rows count as the same, and which of them stays."""
    given = custom.get("dedupe")
    if given is None:
        return None
    place = f"{scope.place}.customProperties.dedupe"
    order: list[tuple[str, bool]] = []
    for text in given.get("order", ()):
        name, _, direction = text.rpartition(" ")
        column, descending = (name, direction == "desc") if direction in {"asc", "desc"} and name else (text, False)
        order.append((column, descending))
    scope.known(f"{place}.key", given["key"])
    scope.known(f"{place}.order", [name for name, _ in order])
    for column_name in [one.name for one in columns if one.protection and one.name in dict(order)]:
        scope.faults.add(f"{place}.order", f"{column_name} is protected: its digests have no order", "order by another")
    return Dedupe(tuple(given["key"]), tuple(order))


def references_of(custom: Mapping[str, Json], columns: Iterable[Column], scope: Scope) -> tuple[Reference, ...]:
    """Return the reference tables; every lookup's must be among them."""
    place = f"{scope.place}.customProperties.references"
    found: dict[str, Reference] = {}
    for one in custom.get("references", ()):
        if ("path" in one) == ("query" in one):
            scope.faults.add(f"{place}.{one['name']}", "exactly one of path and query is needed")
        if one["name"] in found:
            scope.faults.add(f"{place}.{one['name']}", "the name stands twice")
        found[one["name"]] = Reference(one["name"], one.get("path"), one.get("query"))
    for column in columns:
        if column.lookup and column.lookup.reference not in found:
            where = f"{scope.column_place(column.name)}.customProperties.lookup.reference"
            way_out = meant(column.lookup.reference, found) if found else "customProperties references of the table"
            scope.faults.add(where, f"there is no reference {column.lookup.reference!r}", way_out)
    return tuple(found.values())


def format_of(custom: Mapping[str, Json], scope: Scope) -> Format:
    """Return how the source files are written."""
    given = custom.get("format", {})
    place = f"{scope.place}.customProperties.format"
    if "totals" in given and (fault := regex_fault(given["totals"])):
        scope.faults.add(f"{place}.totals", fault)
    if (given.get("kind") == _NEEDS_WIDTHS) != ("widths" in given):
        scope.faults.add(f"{place}.widths", "kind: fixed and widths belong together", "give both, or neither")
    spans = sorted((one["start"], one["start"] + one["length"], one["name"]) for one in given.get("widths", ()))
    for (_, end, name), (start, _, following) in itertools.pairwise(spans):
        if start < end:
            scope.faults.add(f"{place}.widths", f"{following} begins inside {name}")
    default = Format()
    return Format(
        kind=given.get("kind"),
        delimiter=given.get("delimiter"),
        quote=given.get("quote", default.quote),
        encoding=given.get("encoding"),
        header_row=given.get("headerRow"),
        names=tuple(given.get("names", ())),
        sheet=given.get("sheet"),
        records=given.get("records"),
        widths=tuple((one["name"], one["start"], one["length"]) for one in given.get("widths", ())),
        null_values=tuple(given.get("nullValues", default.null_values)),
        totals=given.get("totals"),
    )


def drift_of(custom: Mapping[str, Json]) -> Drift:
    """Return when a profile counts as drifted."""
    given, default = custom.get("drift", {}), Drift()
    return Drift(
        psi=given.get("psi", default.psi),
        null_rate=given.get("nullRate", default.null_rate),
        rows=given.get("rows", default.rows),
        new_categories=given.get("newCategories", default.new_categories),
        lost_categories=given.get("lostCategories", default.lost_categories),
        action=given.get("action", default.action),
    )


def quarantine_of(custom: Mapping[str, Json]) -> QuarantinePolicy:
    """Return how much of a file may be quarantined."""
    given, default = custom.get("quarantine", {}), QuarantinePolicy()
    return QuarantinePolicy(given.get("maxShare", default.max_share), given.get("keepRaw", default.keep_raw))


def _placed(columns: Sequence[Column], properties: Sequence[SchemaProperty], scope: Scope) -> list[Column]:
    """Return the columns with a position for each of the key's and the partition's.

    Those that say none come after those that do, in the document's order.
    """
    keyed = _positions(
        [
            (column.primary_key_position, one.primaryKeyPosition)
            for column, one in zip(columns, properties, strict=True)
        ],
        "primaryKeyPosition",
        scope,
    )
    parted = _positions(
        [
            (column.partition_position, one.partitionKeyPosition)
            for column, one in zip(columns, properties, strict=True)
        ],
        "partitionKeyPosition",
        scope,
    )
    return [
        replace(column, primary_key_position=key, partition_position=partition)
        for column, key, partition in zip(columns, keyed, parted, strict=True)
    ]


def _positions(given: Sequence[tuple[int | None, int | None]], field: str, scope: Scope) -> list[int | None]:
    taken = [said for position, said in given if position is not None and said is not None and said > 0]
    for number in sorted({number for number in taken if taken.count(number) > 1}):
        scope.faults.add(f"{scope.place}.properties", f"{field} {number} stands twice")
    following = itertools.count(max(taken, default=0) + 1)
    return [
        None if position is None else said if said is not None and said > 0 else next(following)
        for position, said in given
    ]


def _synonyms_known(columns: Iterable[Column], scope: Scope) -> None:
    for column in columns:
        for value in sorted({value for value in column.synonyms.values() if value not in column.enum}):
            place = f"{scope.column_place(column.name)}.customProperties.valueSynonyms.{value}"
            way_out = meant(value, column.enum) if column.enum else "list the allowed values: enum"
            scope.faults.add(place, f"{value!r} is not an allowed value of the column", way_out)


def _derived(columns: Sequence[Column], scope: Scope) -> None:
    types = {column.name: polars_type(column) for column in columns}
    reads = {column.name: columns_read(column.derive) for column in columns if column.derive}
    for column in columns:
        if column.derive is None:
            continue
        place = f"{scope.column_place(column.name)}.customProperties.derive"
        keyed = key_columns(column.derive)
        if keyed is not None:
            scope.known(place, keyed)
        elif fault := expression_fault(column.derive, types):
            scope.faults.add(place, fault, "a Polars SQL expression over the other columns of the row")
        if _in_a_circle(column.name, reads):
            scope.faults.add(place, "the column reads itself, or a column that does", "break the circle")


def _in_a_circle(name: str, reads: Mapping[str, frozenset[str]]) -> bool:
    seen: set[str] = set()
    waiting = list(reads[name])
    while waiting:
        other = waiting.pop()
        if other == name:
            return True
        if other not in seen:
            seen.add(other)
            waiting.extend(reads.get(other, ()))
    return False


def _actions_apply(columns: Iterable[Column], by_column: Mapping[str, Mapping[str, Action]], scope: Scope) -> None:
    for column in columns:
        for kind in sorted(by_column.get(column.name, {}).keys() - kinds_of(column)):
            place = f"{scope.column_place(column.name)}.customProperties.actions.{kind}"
            scope.faults.add(place, f"the column has no rule of kind {kind}", meant(kind, sorted(kinds_of(column))))


def _queries_run(checks: Iterable[Check], columns: Sequence[Column], scope: Scope) -> None:
    types = {column.name: polars_type(column) for column in columns}
    for check in checks:
        if check.kind == "sql" and check.expression:
            fault = query_fault(check.expression, dataset=scope.dataset, columns=types)
            place = scope.column_place(check.column) if check.column else scope.place
            if fault and types.keys() >= set(scope.declared):
                scope.faults.add(f"{place}.quality.{check.name}.query", fault, "one SELECT that gives one number")


def _rule(given: Mapping[str, Json], kind: CheckKind, place: str, scope: Scope) -> Check:
    severity = cast("Severity", given.get("severity", "warning" if given.get("action") == "warn" else "error"))
    threshold = None
    try:
        threshold = threshold_of(given, given.get("unit"))
    except ValueError as error:
        scope.faults.add(place, str(error), "one operator a rule")
    if "unit" in given and threshold is None:
        scope.faults.add(f"{place}.unit", "a unit without an operator", "such as mustBeLessThan: 5")
    return Check(
        given["name"],
        kind,
        given.get("column"),
        action=action_of(kind, severity, given.get("action")),
        severity=severity,
        dimension=given.get("dimension", "consistency"),
        description=given.get("description", ""),
        threshold=threshold,
    )


def _row_rules(given: Iterable[Mapping[str, Json]], columns: Sequence[Column], scope: Scope) -> list[Check]:
    types = {column.name: polars_type(column) for column in columns}
    checks: list[Check] = []
    for one in given:
        place = f"{scope.place}.customProperties.rowRules.{one['name']}"
        if "column" in one:
            scope.known(f"{place}.column", [one["column"]])
        fault = expression_fault(one["expression"], types, boolean=True, may_say_today=True)
        if fault:
            scope.faults.add(f"{place}.expression", fault, "a Polars SQL expression that is true where the rule holds")
        checks.append(replace(_rule(one, "row", place, scope), expression=one["expression"]))
    return checks


def _overlaps(given: Iterable[Mapping[str, Json]], columns: Sequence[Column], scope: Scope) -> list[Check]:
    types = {column.name: column.logical_type for column in columns}
    checks: list[Check] = []
    for one in given:
        place = f"{scope.place}.customProperties.overlaps.{one['name']}"
        scope.known(f"{place}.by", one["by"])
        ends = [one["start"], one["end"]]
        if scope.known(place, ends) and len({types.get(name) for name in ends}) > 1:
            scope.faults.add(place, f"{one['start']} and {one['end']} are of different types")
        closed = {"closed": True} if one.get("closed") else {}
        arguments = {"by": list(one["by"]), "start": one["start"], "end": one["end"], **closed}
        checks.append(replace(_rule(one, "overlap", place, scope), arguments=arguments))
    return checks


def _distinct(checks: Sequence[Check]) -> tuple[Check, ...]:
    names: dict[str, int] = {}
    distinct: list[Check] = []
    for check in checks:
        count = names[check.name] = names.get(check.name, 0) + 1
        distinct.append(check if count == 1 else replace(check, name=f"{check.name}_{count}"))
    return tuple(distinct)
