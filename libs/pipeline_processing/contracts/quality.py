"""The standard's quality checks: library metrics, SQL, text; and the actions they take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from pipeline_processing.contracts.columns import enum_texts, regex_fault
from pipeline_processing.contracts.expressions import query
from pipeline_processing.contracts.extensions import OPERATORS
from pipeline_processing.contracts.faults import meant
from pipeline_processing.contracts.model import ROW_KINDS, Check, Threshold
from pipeline_processing.contracts.scope import ours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from open_data_contract_standard.model import DataQuality

    from pipeline_processing.contracts.model import Action, CheckKind, Column, Operator, Severity
    from pipeline_processing.contracts.scope import Scope
    from pipeline_processing.model import Json

_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "nullValues": (),
    "missingValues": ("missingValues",),
    "invalidValues": ("validValues", "pattern"),
    "duplicateValues": ("properties",),
    "rowCount": (),
}
_AT_TABLE: Final = frozenset({"duplicateValues", "rowCount"})
_NONE_AT_ALL: Final = (Threshold("=", (0,)), Threshold("<=", (0,)), Threshold("<", (1,)))
_METRIC_DIMENSIONS: Final = {
    "nullValues": "completeness",
    "missingValues": "completeness",
    "invalidValues": "conformity",
    "duplicateValues": "uniqueness",
    "rowCount": "coverage",
}


@dataclass(frozen=True, slots=True)
class _Site:
    """One check in its document."""

    scope: Scope
    source: DataQuality
    place: str
    column: Column | None

    def fault(self, field: str, what: str, way_out: str = "") -> None:
        self.scope.faults.add(f"{self.place}.{field}" if field else self.place, what, way_out)


def column_quality(column: Column, source: Sequence[DataQuality], scope: Scope) -> tuple[Column, tuple[Check, ...]]:
    """Return the column with the rules that its quality checks state, and the checks.

    A metric that allows none (``mustBe: 0``) is the column's rule itself, row by row: nullValues is *required*,
    duplicateValues is *unique*, invalidValues is *enum* or *pattern*.
    """
    checks: list[Check] = []
    for number, one in enumerate(source, 1):
        site = _Site(scope, one, _place(f"{scope.column_place(column.name)}.quality", one, number), column)
        check = _check(site)
        if check is None:
            continue
        column, check = _as_rule(site, column, check)
        checks.append(check)
    return column, tuple(checks)


def table_quality(source: Sequence[DataQuality], scope: Scope) -> tuple[Check, ...]:
    """Return the checks that stand at the table."""
    sites = (_Site(scope, one, _place(f"{scope.place}.quality", one, n), None) for n, one in enumerate(source, 1))
    return tuple(check for site in sites if (check := _check(site)) is not None)


def action_of(kind: CheckKind, severity: Severity, wish: Action | None) -> Action:
    """Return what a check does: its wish, else *warn* below error, *quarantine* for rows, *fail_file* else."""
    if wish is not None:
        return wish
    if severity != "error":
        return "warn"
    return "quarantine" if kind in ROW_KINDS else "fail_file"


def threshold_of(operators: Mapping[str, Json], unit: str | None) -> Threshold | None:
    """Return the threshold of the operator that is given, None where there is none; ValueError for several."""
    given = {name: operators[name] for name in OPERATORS if operators.get(name) is not None}
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} are both given")
    for name, value in given.items():
        values = tuple(value) if isinstance(value, list) else (value,)
        if len(values) > 1 and values[0] > values[1]:
            raise ValueError(f"{name} begins with the larger number")
        return Threshold(cast("Operator", OPERATORS[name]), values, "percent" if unit == "percent" else "rows")
    return None


def _place(place: str, one: DataQuality, number: int) -> str:
    return f"{place}.{one.name or one.metric or one.rule or number}"


def _check(site: _Site) -> Check | None:
    source = site.source
    metric = source.metric or source.rule
    if source.metric and source.rule and source.metric != source.rule:
        site.fault("rule", "metric and rule are both given", "rule is the old name of metric: leave it out")
    kind = source.type or ("library" if metric else "sql" if source.query else "text" if source.description else "")
    match kind:
        case "text":
            return _text(site)
        case "sql":
            return _sql(site)
        case "library" if metric:
            return _library(site, metric)
    site.fault("metric" if kind == "library" else "type", "it says not what is checked", "metric, query or type: text")
    return None


def _named(site: _Site, kind: CheckKind, default: str, threshold: Threshold | None) -> Check:
    source = site.source
    severity = cast("Severity", source.severity or "error")
    wish = ours(source.customProperties).get("action")
    owner = f"{site.column.name}." if site.column else ""
    return Check(
        source.name or f"{owner}{default}",
        kind,
        site.column.name if site.column else None,
        action=action_of(kind, severity, wish),
        severity=severity,
        dimension=source.dimension,
        description=source.description or "",
        threshold=threshold,
    )


def _text(site: _Site) -> Check:
    for field in ("metric", "query", "unit", *OPERATORS):
        if getattr(site.source, field) is not None:
            site.fault(field, "a check of type text is for people alone", "type: library or sql, or leave it out")
    check = _named(site, "text", "text", None)
    return replace(check, action="warn")


def _threshold(site: _Site) -> Threshold | None:
    try:
        threshold = threshold_of(site.source.model_dump(), site.source.unit)
    except ValueError as error:
        site.fault("", str(error), "one operator a check")
        return None
    if threshold is None:
        site.fault("", "it has no operator", "such as mustBe: 0")
    return threshold


def _sql(site: _Site) -> Check | None:
    source = site.source
    for field in ("metric", "arguments"):
        if getattr(source, field):
            site.fault(field, "belongs to checks of type library", "leave it out")
    threshold = _threshold(site)
    if source.query is None:
        site.fault("query", "the query is missing")
        return None
    told, fault = query(source.query, dataset=site.scope.dataset, column=site.column.name if site.column else None)
    if fault:
        site.fault("query", fault, "one SELECT over {table} that gives one number")
        told = ""
    check = _named(site, "sql", "sql", threshold)
    if check.action == "quarantine":
        site.fault("customProperties.action", "a query names no rows to quarantine", "warn, fail_file or fail_run")
    return replace(check, expression=told)


def _library(site: _Site, metric: str) -> Check | None:
    source, column = site.source, site.column
    if source.query:
        site.fault("query", "belongs to checks of type sql", "leave it out")
    threshold = _threshold(site)
    if column is None and metric not in _AT_TABLE:
        site.fault("metric", f"{metric} is a check of a column", "move it to the column's quality")
        return None
    if column is not None and metric == "rowCount":
        site.fault("metric", "rowCount is a check of the table", "move it to the table's quality")
        return None
    if metric == "rowCount" and source.unit == "percent":
        site.fault("unit", "rowCount has no percentage", "unit: rows")
    _whole(site, threshold)
    arguments = _arguments(site, metric) or _implied(site, metric)
    check = _named(site, "metric", metric, threshold)
    return replace(
        check,
        expression=None,
        dimension=check.dimension or _METRIC_DIMENSIONS[metric],
        arguments={"metric": metric, **arguments},
    )


def _whole(site: _Site, threshold: Threshold | None) -> None:
    for value in threshold.values if threshold else ():
        if not isinstance(value, int | float) or isinstance(value, bool):
            site.fault("", f"{value!r} is not a number: metrics count", "such as mustBe: 0")


def _arguments(site: _Site, metric: str) -> Mapping[str, Json]:
    given = dict(site.source.arguments or {})
    allowed = () if metric == "duplicateValues" and site.column else _ARGUMENTS[metric]
    for name in sorted(given.keys() - set(allowed)):
        way_out = meant(name, allowed) if allowed else "leave it out"
        site.fault(f"arguments.{name}", f"{metric} has no argument {name} here", way_out)
        del given[name]
    for name, value in given.items():
        if name == "pattern":
            fault = regex_fault(value) if isinstance(value, str) else "a pattern is a text"
            if fault:
                site.fault("arguments.pattern", fault)
        elif not isinstance(value, list) or not value:
            site.fault(f"arguments.{name}", "a list was expected")
        elif name == "properties":
            site.scope.known(f"{site.place}.arguments.properties", [str(one) for one in value])
    if allowed and not given and not _implied(site, metric):
        site.fault("arguments", f"{metric} needs {' or '.join(allowed)}")
    return given


def _implied(site: _Site, metric: str) -> Mapping[str, Json]:
    """Return what *invalid* means where the check does not say it: not of the column's own values."""
    column = site.column
    if metric != "invalidValues" or column is None or not column.enum:
        return {}
    return {"validValues": [int(text) if column.logical_type == "integer" else text for text in column.enum]}


def _as_rule(site: _Site, column: Column, check: Check) -> tuple[Column, Check]:
    rule = _rule_of(check) if check.kind == "metric" and _allows_none(check.threshold) else None
    wish = ours(site.source.customProperties).get("action")
    if rule is None:
        if wish == "quarantine" and check.kind != "sql":
            way_out = (
                "mustBe: 0 of nullValues, invalidValues or duplicateValues quarantines rows; else warn or fail_file"
            )
            site.fault("customProperties.action", "this check names no rows to quarantine", way_out)
        return column, check
    values = {name: value for name, value in check.arguments.items() if name != "metric"}
    if rule == "required":
        column = replace(column, required=True)
    elif rule == "unique":
        column = replace(column, unique=True)
    elif rule == "enum":
        if not isinstance(values["validValues"], list):
            return column, check
        enum = enum_texts(site.scope, f"{site.place}.arguments.validValues", column.logical_type, values["validValues"])
        if column.enum and column.enum != enum:
            site.fault("arguments.validValues", "the column has another list of values", "one list")
        column = replace(column, enum=enum)
    else:
        if column.pattern and column.pattern != values["pattern"]:
            site.fault("arguments.pattern", "the column has another pattern", "one pattern")
        column = replace(column, pattern=values["pattern"])
    name = site.source.name or f"{column.name}.{rule}"
    action = action_of(rule, check.severity, wish)
    return column, replace(check, name=name, kind=rule, action=action, threshold=None, arguments={})


def _rule_of(check: Check) -> CheckKind | None:
    match check.arguments:
        case {"metric": "nullValues"}:
            return "required"
        case {"metric": "duplicateValues"}:
            return "unique"
        case {"metric": "invalidValues", "validValues": _, "pattern": _}:
            return None
        case {"metric": "invalidValues", "validValues": _}:
            return "enum"
        case {"metric": "invalidValues", "pattern": _}:
            return "pattern"
    return None


def _allows_none(threshold: Threshold | None) -> bool:
    return threshold is not None and (
        threshold in _NONE_AT_ALL
        or (threshold.unit == "percent" and threshold.operator in {"=", "<="} and threshold.values == (0,))
    )
