"""Rung 5: Prometheus takes the rules, they name what is exported, and each is raised when, and only when, it should."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chart import tools
from tests.chart.alert_cases import CASES, Case
from tests.chart.objects import Objects
from tests.chart.promql import strangers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.rendering import Chart

    Rule = dict[str, Any]


def rung(chart: Chart) -> list[str]:
    """Check every set of rules that some example renders; run all cases against it."""
    seen: dict[str, list[dict[str, Any]]] = {}
    for render in chart.renders():
        for one in Objects.of_text(render.text).of("PrometheusRule"):
            groups = one["spec"]["groups"]
            seen.setdefault(json.dumps(groups), groups)
    if not seen:
        return ["no example installs the alerts: nothing would be checked"]
    return [fault for groups in seen.values() for fault in _faults(groups)]


def _faults(groups: list[dict[str, Any]]) -> Iterator[str]:
    rules = rules_of(groups)
    with tempfile.TemporaryDirectory() as folder:
        checked = check("check", Path(folder), rules={"groups": groups})
        if checked.returncode:
            yield f"promtool refuses the rules: {' '.join((checked.stdout + checked.stderr).split())}"
            return
        for name, rule in rules.items():
            yield from (f"{name}: {fault}" for fault in strangers(rule["expr"]))
        tested = run(Path(folder), list(rules.values()), [case for case in CASES if case.alert in rules])
        if tested.returncode:
            yield f"cases are told otherwise: {' '.join((tested.stdout + tested.stderr).split())}"
    yield from (
        f"{name} has no case that raises it" for name in rules if not any(c.alert == name and c.told for c in CASES)
    )


def rules_of(groups: list[dict[str, Any]]) -> dict[str, Rule]:
    """Return the rules by their alerts' names."""
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def check(command: str, folder: Path, **files: object) -> subprocess.CompletedProcess[str]:
    """Run ``promtool check rules``, or ``test``, over the last of the files that are written first."""
    for name, content in files.items():  # JSON is YAML
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    last = f"{list(files)[-1]}.yaml"
    tool = tools.promtool()
    return subprocess.run([tool, command, "rules", last], cwd=folder, capture_output=True, text=True, check=False)


def run(folder: Path, rules: list[Rule], cases: list[Case]) -> subprocess.CompletedProcess[str]:
    """Let promtool play the cases; it fails where an alert is raised that should not be, or the reverse."""
    labels = {rule["alert"]: rule["labels"] for rule in rules}
    tests = [
        {
            "interval": "1m",
            "name": f"{case.alert}: {case.what}",
            "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
            "alert_rule_test": [
                {
                    "eval_time": case.at,
                    "alertname": case.alert,
                    "exp_alerts": expected(case, labels[case.alert]) if case.told else [],
                }
            ],
        }
        for case in cases
    ]
    group = {"name": "under-test", "rules": [bare(rule) for rule in rules]}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    return check("test", folder, rules={"groups": [group]}, tests=document)


def bare(rule: Rule, **changed: str) -> Rule:
    """Return the rule with its summary as its only annotation: promtool compares all of them."""
    return {**rule, **changed, "annotations": {"summary": rule["annotations"]["summary"]}}


def expected(case: Case, labels: dict[str, str]) -> list[dict[str, Any]]:
    """Return the one alert that a case raises."""
    return [{"exp_labels": {**labels, **case.labels}, "exp_annotations": {"summary": case.told}}]
