"""Service levels: kept as they stand; latency and freshness become checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline_processing.contracts.faults import meant
from pipeline_processing.contracts.model import Check, Sla, Threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from open_data_contract_standard.model import ServiceLevelAgreementProperty

    from pipeline_processing.contracts.faults import Faults
    from pipeline_processing.contracts.model import Column

_DAY: Final = 86_400
UNITS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), _DAY),
    **dict.fromkeys(("w", "week", "weeks"), 7 * _DAY),
    **dict.fromkeys(("mo", "month", "months"), 30 * _DAY),
    **dict.fromkeys(("y", "yr", "year", "years"), 365 * _DAY),
}
"""Seconds of a unit, compared without regard to case. A month is 30 days, a year 365; ``m`` is ambiguous and refused."""
_OTHER_UNITS: Final = frozenset({"percent", "%", "rows"})
_CHECKED: Final = {"latency": "latency", "ly": "latency", "freshness": "freshness", "fr": "freshness"}


def sla_of(
    source: Iterable[ServiceLevelAgreementProperty],
    default_element: str | None,
    dataset: str,
    datasets: Mapping[str, Sequence[Column]],
    faults: Faults,
) -> tuple[tuple[Sla, ...], tuple[Check, ...]]:
    """Return the service levels that are about ``dataset``, or about none, and the checks that some of them make."""
    levels: list[Sla] = []
    checks: list[Check] = []
    for one in source:
        name = one.property or ""
        place = f"slaProperties.{name}"
        unit = (one.unit or "").strip().lower()
        if unit and unit not in UNITS and unit not in _OTHER_UNITS:
            faults.add(f"{place}.unit", f"{one.unit} is not a unit that we know", meant(unit, UNITS))
        element = one.element or default_element
        kind = _CHECKED.get(name.strip().lower())
        elements = [part.strip() for part in (element or "").split(",") if part.strip()]
        ours = [part for part in elements if part.split(".")[0] in {dataset, *_names(datasets[dataset])}]
        if elements and not ours and any(part.split(".")[0] in datasets for part in elements):
            continue  # it is about another table of the document
        levels.append(Sla(name, one.value, one.unit, element, one.description or ""))
        if kind:
            if not elements:
                faults.add(place, f"{name} needs the column that tells the age", "element: table.column")
            checks += [
                check
                for part in ours or elements
                if (check := _freshness(kind, one, part, dataset, datasets, place, faults))
            ]
    return tuple(levels), tuple(checks)


def _names(columns: Sequence[Column]) -> set[str]:
    return {column.name for column in columns}


def _freshness(
    kind: str,
    one: ServiceLevelAgreementProperty,
    element: str,
    dataset: str,
    datasets: Mapping[str, Sequence[Column]],
    place: str,
    faults: Faults,
) -> Check | None:
    name = element.removeprefix(f"{dataset}.")
    column = next((column for column in datasets[dataset] if column.name == name), None)
    if column is None:
        faults.add(f"{place}.element", f"there is no column {element!r}", meant(name, _names(datasets[dataset])))
        return None
    if column.logical_type not in {"date", "timestamp"}:
        faults.add(f"{place}.element", f"{name} is of type {column.logical_type}", "a date or a timestamp")
    unit = (one.unit or "d").strip().lower()
    try:
        amount = float(one.value) if one.value is not None and not isinstance(one.value, bool) else -1
    except ValueError:
        amount = -1
    if amount < 0:
        faults.add(
            f"{place}.value", f"{one.value!r} is not a length of time", "a number, with its unit: value: 4, unit: d"
        )
        return None
    if unit not in UNITS:
        if unit in _OTHER_UNITS:
            faults.add(f"{place}.unit", f"{unit} is not a unit of time", "one of d, h, min, …")
        return None
    return Check(
        f"{name}.{kind}",
        "freshness",
        name,
        action="warn",
        severity="warning",
        dimension="timeliness",
        description=one.description or "",
        threshold=Threshold("<=", (amount * UNITS[unit],)),
        arguments={"seconds": amount * UNITS[unit], "property": kind},
    )
