"""What Prometheus is told to scrape: the pods that have metrics, with the labels that alerts and dashboard go by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.chart.objects import Objects, matches
from tests.chart.promql import strangers
from tests.chart.rendering import template

from exported_metrics import TARGET

if TYPE_CHECKING:
    from tests.chart.rendering import Chart


def objects(chart: Chart) -> Objects:
    values = chart.path / "ci" / "production.yaml"
    return Objects.of_text(template(chart.path, values, chart.kubernetes[0], chart.helms[0]))


def discovered(labels: dict[str, str]) -> dict[str, str]:
    """Return a pod's labels as Prometheus' discovery spells them: what is no letter or digit is an underscore."""
    return {
        f"__meta_kubernetes_pod_label_{re.sub(r'[^a-zA-Z0-9]', '_', name)}": value for name, value in labels.items()
    }


def relabelled(relabelings: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, str]:
    """Return the labels that a target gets; a rule without a pattern copies its sources, and an empty label is none."""
    found = discovered(labels)
    made = {rule["targetLabel"]: ";".join(found.get(one, "") for one in rule["sourceLabels"]) for rule in relabelings}
    return {name: value for name, value in made.items() if value}


def test_each_worker_is_scraped_under_its_lane_and_pool_and_the_monitor_under_none(chart: Chart) -> None:
    found = objects(chart)
    (monitor,) = found.of("PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    targets = [
        (pods.labels["app.kubernetes.io/component"], relabelled(endpoint["relabelings"], pods.labels))
        for pods in found.pods()
        if matches(monitor["spec"]["selector"], pods.labels)
    ]
    assert [
        ("monitor", {}),
        ("worker", {"lane": "backfill", "pool": "backfill"}),
        ("worker", {"lane": "live", "pool": "live"}),
    ] == sorted(targets, key=str)
    assert {label for _, target in targets for label in target} <= TARGET


def test_what_is_scraped_is_all_that_serves_metrics(chart: Chart) -> None:
    found = objects(chart)
    (monitor,) = found.of("PodMonitor")
    serving = {
        pods.owner
        for pods in found.pods()
        for container in pods.containers
        if any(port.get("name") == "http" for port in container.get("ports") or ())
    }
    scraped = {pods.owner for pods in found.pods() if matches(monitor["spec"]["selector"], pods.labels)}
    assert serving == scraped
    assert serving


def test_what_keda_asks_prometheus_for_is_exported(chart: Chart) -> None:
    asked = {
        trigger["metadata"]["query"]
        for values in chart.values()
        for one in Objects.of_text(template(chart.path, values, chart.kubernetes[0], chart.helms[0])).all
        if one.get("kind") in {"ScaledObject", "ScaledJob"}
        for trigger in one["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    }
    assert {} == {query: found for query in asked if (found := list(strangers(query)))}
    assert asked
