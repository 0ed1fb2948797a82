"""Service levels: kept as they stand; latency and freshness become checks."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from pipeline_processing.contracts.faults import meant
from pipeline_processing.contracts.model import Check, Sla, Threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from open_data_contract_standard.model import ServiceLevelAgreementProperty

    from pipeline_processing.contracts.model import Column
    from pipeline_processing.contracts.scope import Scope

UNITS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1 / 86_400),
    **dict.fromkeys(("min", "minute", "minutes"), 1 / 1440),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 1 / 24),
    **dict.fromkeys(("d", "day", "days"), 1),
    **dict.fromkeys(("w", "week", "weeks"), 7),
    **dict.fromkeys(("mo", "month", "months"), 30),
    **dict.fromkeys(("y", "yr", "year", "years"), 365),
}
"""Days of a unit, in any case. A month is 30 days, a year 365; ``m`` is ambiguous, and refused."""
_OTHER_UNITS: Final = frozenset({"percent", "%", "rows"})
_CHECKED: Final = {"latency": "latency", "ly": "latency", "freshness": "freshness", "fr": "freshness"}


def sla_of(
    source: Iterable[ServiceLevelAgreementProperty],
    default_element: str | None,
    datasets: Mapping[str, Sequence[Column]],
    scope: Scope,
) -> tuple[tuple[Sla, ...], tuple[Check, ...]]:
    """Return the service levels that are about the scope's table, or about none, and the checks that some make.

    ``datasets`` are all tables of the document.
    """
    levels: list[Sla] = []
    checks: list[Check] = []
    for one in source:
        name, element = one.property or "", one.element or default_element
        _check_unit(one, scope)
        elements = [part.strip() for part in (element or "").split(",") if part.strip()]
        ours = [part for part in elements if not _is_of_another(part, datasets, scope)]
        if elements and not ours:
            continue
        levels.append(Sla(name, one.value, one.unit, element, one.description or ""))
        kind = _CHECKED.get(name.strip().lower())
        if kind and not elements:
            scope.faults.add(_place(one), f"{name} needs the column that tells the age", "element: table.column")
        elif kind:
            found = (_freshness(kind, one, part, datasets[scope.dataset], scope) for part in ours)
            checks.extend(check for check in found if check is not None)
    return tuple(levels), tuple(checks)


def _place(one: ServiceLevelAgreementProperty) -> str:
    return f"slaProperties.{one.property}"


def _unit(one: ServiceLevelAgreementProperty) -> str:
    return (one.unit or "").strip().lower()


def _check_unit(one: ServiceLevelAgreementProperty, scope: Scope) -> None:
    if _unit(one) and _unit(one) not in UNITS and _unit(one) not in _OTHER_UNITS:
        scope.faults.add(f"{_place(one)}.unit", f"{one.unit} is not a unit that we know", meant(_unit(one), UNITS))


def _is_of_another(element: str, datasets: Mapping[str, Sequence[Column]], scope: Scope) -> bool:
    table = element.partition(".")[0]
    return table != scope.dataset and table in datasets and table not in scope.declared


def _freshness(
    kind: str, one: ServiceLevelAgreementProperty, element: str, columns: Sequence[Column], scope: Scope
) -> Check | None:
    name = element.removeprefix(f"{scope.dataset}.")
    column = next((column for column in columns if column.name == name), None)
    if column is None:
        scope.faults.add(f"{_place(one)}.element", f"there is no column {element!r}", meant(name, scope.declared))
        return None
    if column.logical_type not in {"date", "timestamp"}:
        what = f"{name} is of type {column.logical_type}"
        scope.faults.add(f"{_place(one)}.element", what, "a date or a timestamp")
    days = _days(one, scope)
    if days is None:
        return None
    return Check(
        f"{name}.{kind}",
        "freshness",
        name,
        action="warn",
        severity="warning",
        dimension="timeliness",
        description=one.description or "",
        threshold=Threshold("<=", (days,)),
        arguments={"unit": "d", "property": kind},
    )


def _days(one: ServiceLevelAgreementProperty, scope: Scope) -> float | None:
    try:
        amount = -1.0 if one.value is None or isinstance(one.value, bool) else float(one.value)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < inf:
        what = f"{one.value!r} is not a length of time"
        scope.faults.add(f"{_place(one)}.value", what, "a number, with its unit: value: 4, unit: d")
        return None
    if _unit(one) in _OTHER_UNITS:
        scope.faults.add(f"{_place(one)}.unit", f"{one.unit} is not a unit of time", meant("", UNITS))
    return amount * UNITS.get(_unit(one) or "d", 0)
