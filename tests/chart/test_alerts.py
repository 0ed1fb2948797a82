"""Rung `alerts`: the rules as Helm renders them, by Prometheus' own checker."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.chart import alerts
from tests.chart.alert_cases import CASES, PREFIX, Case
from tests.chart.alerts import check, rules_of, run
from tests.chart.documents import parse
from tests.chart.objects import Objects
from tests.chart.rendering import template
from tests.chart.tools import ROOT
from tests.chart.varied import Varied, only

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.rendering import Chart

    Groups = list[dict[str, Any]]

SOURCE = ROOT / "charts/pipeline-processing/files/alerts.yaml"
ALERTS = [rule["alert"] for group in parse(SOURCE.read_text())[0]["groups"] for rule in group["rules"]]
TURNED = {" > ": " < ", " < ": " > ", " == ": " != ", "absent(": "count("}
COMPARISON = re.compile(r"(?: > | < | == |absent\()(?!.*(?: [<>] | == ))", re.DOTALL)
"""The last of an expression: the threshold's."""


@pytest.fixture(scope="module")
def groups(chart: Chart) -> Groups:
    text = template(chart.path, chart.path / "ci" / "production.yaml", chart.kubernetes[0], chart.helms[0])
    (rule,) = Objects.of_text(text).of("PrometheusRule")
    return list(rule["spec"]["groups"])


def test_the_rules_are_taken_name_what_is_exported_and_are_raised_as_they_should(chart: Chart, promtool: Path) -> None:
    assert [] == alerts.rung(chart)


def test_prometheus_takes_the_rules(groups: Groups, promtool: Path, tmp_path: Path) -> None:
    checked = check("check", tmp_path, rules={"groups": groups})
    assert 0 == checked.returncode, checked.stdout + checked.stderr
    assert f"{len(ALERTS)} rules found" in checked.stdout


def test_every_alert_has_cases_that_raise_it_and_cases_that_do_not() -> None:
    raised = Counter(case.alert for case in CASES if case.told)
    quiet = Counter(case.alert for case in CASES if not case.told)
    assert set(ALERTS) == set(raised) == set(quiet)
    assert len(ALERTS) == len(set(ALERTS))


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("renamed", [('"fleet"', '"other"'), (PREFIX, "other-pipeline-processing")])
def test_an_alert_is_deaf_to_other_releases(
    alert: str, renamed: tuple[str, str], groups: Groups, promtool: Path, tmp_path: Path
) -> None:
    """Two releases in one cluster or one namespace: the one's alerts say nothing of the other's lanes and pods."""
    cases = [
        Case(case.alert, case.what, {name.replace(*renamed): v for name, v in case.series.items()}, case.at)
        for case in CASES
        if case.alert == alert and case.told
    ]
    heard = run(tmp_path, [rules_of(groups)[alert]], cases).returncode
    assert heard == (alert in {"PipelineMonitorAbsent", "PipelineKubeStateMetricsAbsent"})


def test_the_monitor_of_another_release_beside_it_hides_no_absent_one(
    groups: Groups, promtool: Path, tmp_path: Path
) -> None:
    other = 'pipeline_monitor_refreshed_timestamp_seconds{namespace="fleet",pod="other-monitor-1",lane="live"}'
    told = f"No monitor of fleet/{PREFIX} is scraped."
    case = Case("PipelineMonitorAbsent", "another's", {other: "0+60x40"}, "20m", told, {"namespace": "fleet"})
    played = run(tmp_path, [rules_of(groups)["PipelineMonitorAbsent"]], [case])
    assert 0 == played.returncode, played.stdout + played.stderr


def test_an_alert_names_its_release(groups: Groups) -> None:
    assert {PREFIX} == {rule["labels"]["release"] for rule in rules_of(groups).values()}


@pytest.mark.parametrize("alert", ALERTS)
def test_the_cases_notice_an_alert_that_is_wrong(alert: str, groups: Groups, promtool: Path, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.alert == alert]
    rule = rules_of(groups)[alert]
    turned = COMPARISON.sub(lambda found: TURNED[found[0]], rule["expr"])
    assert turned != rule["expr"]
    wrong = {"turned": {"expr": turned}, "hasty": {"for": "0m"}, "patient": {"for": "2h"}}
    missed = [what for what, how in wrong.items() if not run(tmp_path, [{**rule, **how}], cases).returncode]
    assert [] == missed


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_to_do(alert: str, groups: Groups) -> None:
    rule = rules_of(groups)[alert]
    assert {"summary", "description", "runbook"} == set(rule["annotations"])
    assert f"docs/operations.md#{alert.lower()}" == rule["annotations"]["runbook"]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert "${" not in json.dumps(rule)


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    assert ALERTS == re.findall(r"^### (Pipeline\w+)$", page, re.MULTILINE)


def test_without_kube_state_metrics_no_alert_waits_for_it(chart: Chart, groups: Groups, tmp_path: Path) -> None:
    found = Varied(chart, tmp_path).objects({"prometheusRule": {"kubeStateMetrics": False}}, of="production")
    left = rules_of(only(found, "PrometheusRule")["spec"]["groups"])
    resting = {name for name, rule in rules_of(groups).items() if re.match(r"[^=]*\bkube_", rule["expr"])}
    assert set(ALERTS) - resting == set(left)
    assert {"PipelinePodNotReady", "PipelineScheduleMissed", "PipelineKubeStateMetricsAbsent"} < resting
    assert left == {name: rule for name, rule in rules_of(groups).items() if name in left}


def test_thresholds_are_those_of_the_values(chart: Chart, tmp_path: Path) -> None:
    values = {
        "settings": {"PIPELINE_CONTROL_BUCKET": "control"},
        "monitor": {"intervalSeconds": 300},
        "prometheusRule": {
            "thresholds": {
                "queueAgeSeconds": 77,
                "queueAgeSecondsByLane": {"backfill": 777, "of-nobody": 7},
                "retentionWarningHours": 99,
                "retentionCriticalHours": 33,
            },
        },
    }
    base = parse((chart.path / "ci" / "production.yaml").read_text())[0]
    merged = {**base, **values, "prometheusRule": {**base["prometheusRule"], **values["prometheusRule"]}}
    (tmp_path / "values.yaml").write_text(json.dumps(merged))
    text = template(chart.path, tmp_path / "values.yaml", chart.kubernetes[0], chart.helms[0])
    (rule,) = Objects.of_text(text).of("PrometheusRule")
    found = rules_of(rule["spec"]["groups"])
    ends = {
        "PipelineDeadLettersExpireSoon": "< 99 * 3600",
        "PipelineDeadLettersExpireNow": "< 33 * 3600",
        "PipelineMonitorStale": "> 1500",
    }
    assert ends == {alert: found[alert]["expr"][-len(end) :] for alert, end in ends.items()}
    ages = re.findall(r"vector\((\d+)\), \"lane\", \"([\w-]+)\"", found["PipelineQueueAgeHigh"]["expr"])
    assert [("777", "backfill"), ("77", "live")] == ages
