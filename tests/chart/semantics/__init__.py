"""Rung 4: what no schema knows. Each check reads one render and yields what is wrong with it, in words."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from tests.chart import rendering
from tests.chart.documents import parse
from tests.chart.objects import Objects
from tests.chart.semantics import jobs, keda, names, pods, product, references, roles
from tests.chart.semantics.subject import Subject

from pipeline_processing.deployment import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.chart.rendering import Chart

CHECKS: tuple[Callable[[Subject], Iterator[str]], ...] = (
    *names.CHECKS,
    *pods.CHECKS,
    *references.CHECKS,
    *roles.CHECKS,
    *keda.CHECKS,
    *jobs.CHECKS,
    *product.CHECKS,
)


def rung(chart: Chart) -> list[str]:
    """Run every check over every render that differs from the others."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    for values in chart.values():
        for kubernetes in chart.kubernetes:
            text = rendering.template(chart.path, values, kubernetes, chart.helms[0])
            if text not in seen:
                seen.add(text)
                found |= dict.fromkeys(f"{values.name}: {each}" for each in findings(subject(chart, values, text)))
    return list(found)


def subject(chart: Chart, values: Path, text: str) -> Subject:
    """Return a render with the values that it came from."""
    said: dict[str, Any] = reduce(merged, (_values(path) for path in (chart.path / "values.yaml", values)), {})
    return Subject(Objects.of_text(text), said)


def findings(one: Subject, checks: tuple[Callable[[Subject], Iterator[str]], ...] = CHECKS) -> list[str]:
    """Return what the checks find. One that can not read the objects at all found something, too."""
    found: list[str] = []
    for check in checks:
        try:
            found += check(one)
        except (AttributeError, KeyError, IndexError, StopIteration, TypeError, ValueError) as error:
            found.append(f"{check.__name__} can not read this: {type(error).__name__} {error}")
    return found


def _values(path: Path) -> dict[str, Any]:
    return dict(next(iter(parse(path.read_text(encoding="utf-8"))), {}))
