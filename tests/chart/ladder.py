"""The rungs, dearest last: each takes a chart and tells, in words, all that it finds wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chart import alerts, dashboard, helm, policy, schemas, semantics, tools, yaml_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chart.rendering import Chart

CHART = tools.ROOT / "charts" / "pipeline-processing"

RUNGS: dict[str, Callable[[Chart], list[str]]] = {
    "yaml": yaml_files.rung,
    "helm": helm.rung,
    "schemas": schemas.rung,
    "semantics": semantics.rung,
    "alerts": alerts.rung,
    "dashboard": dashboard.rung,
    "policy": policy.rung,
}
