"""Rung `dashboard`: every expression parses, and every metric and label in it is exported."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from tests.chart import dashboard
from tests.chart.objects import Objects
from tests.chart.promql import strangers
from tests.chart.rendering import template
from tests.chart.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.rendering import Chart

SOURCE = ROOT / "charts/pipeline-processing/files/dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(SOURCE.read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
DRAWN = [panel for panel in PANELS if panel["type"] != "row"]
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
GRAFANAS = {"__rate_interval", "__interval", "__range"}


def test_every_expression_parses_and_names_what_is_exported(chart: Chart, promtool: Path) -> None:
    assert [] == dashboard.rung(chart)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ('sum(pipeline_item_total{namespace="a"})', "pipeline_item_total is exported by nobody"),
        ('sum(rate(pipeline_items{namespace="a"}[5m]))', "pipeline_items is exported by nobody"),
        ('pipeline_dead_letters{lain="a"}', "pipeline_dead_letters has no label lain"),
        ('sum by (pool, queue) (pipeline_in_flight{namespace="a"})', "queue is a label of no metric in "),
        ("sum(pipeline_in_flight)", "sum(pipeline_in_flight): no selector"),
        ('pipeline_in_flight{namespace="a"} / pipeline_draining', "pipeline_draining is chosen without a namespace"),
    ],
)
def test_the_check_itself_finds_each_fault(expression: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in strangers(expression))


def test_a_legend_names_labels_that_its_expression_keeps() -> None:
    wrong = []
    for panel in DRAWN:
        for target in panel["targets"]:
            kept = {
                label.strip()
                for labels in re.findall(r"\bby \(([^()]*)\)", target["expr"])
                for label in labels.split(",")
            }
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            wrong += [f"{panel['title']}: {label}" for label in named - kept]
    assert [] == wrong


def test_every_variable_is_declared_and_used() -> None:
    text = json.dumps([PANELS, [variable.get("query") for variable in VARIABLES]])
    used = set(re.findall(r"\$\{?(\w+)", text)) - GRAFANAS
    assert {variable["name"] for variable in VARIABLES} == used


def test_variables_are_filled_from_what_is_exported() -> None:
    queries = [variable["query"]["query"] for variable in VARIABLES if variable["type"] == "query"]
    found = re.findall(r"label_values\((\w+)(\{[^}]*\})?, (\w+)\)", "\n".join(queries))
    assert ["namespace", "lane", "pool"] == [label for _, _, label in found]
    asked = [f"sum by ({label}) ({metric}{matchers or '{}'})" for metric, matchers, label in found]
    faults = [fault for expression in asked for fault in strangers(expression)]
    assert [] == faults


def test_panels_say_what_they_show_and_ask_the_chosen_prometheus() -> None:
    assert [] == [panel["title"] for panel in DRAWN if not panel.get("description")]
    sources = [panel["datasource"] for panel in DRAWN] + [t["datasource"] for panel in DRAWN for t in panel["targets"]]
    assert [] == [source for source in sources if source != {"type": "prometheus", "uid": "${datasource}"}]


def test_panels_have_places_of_their_own() -> None:
    assert len(PANELS) == len({panel["id"] for panel in PANELS})
    overlapping = [
        (one["title"], other["title"])
        for one, other in combinations(PANELS, 2)
        if _overlap(one["gridPos"], other["gridPos"])
    ]
    assert [] == overlapping
    assert [] == [panel["title"] for panel in PANELS if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24]


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


def test_the_chart_ships_the_dashboard_as_it_is(chart: Chart) -> None:
    text = template(chart.path, chart.path / "ci" / "production.yaml", chart.kubernetes[0], chart.helms[0])
    (found,) = [one for one in Objects.of_text(text).of("ConfigMap") if one["metadata"]["name"].endswith("-dashboard")]
    assert DASHBOARD == json.loads(found["data"]["pipeline-processing.json"])
    assert "1" == found["metadata"]["labels"]["grafana_dashboard"]
