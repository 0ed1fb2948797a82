"""Rung `semantics`, and each check of it by a fault of a single object."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
from tests.chart import rendering, schemas, semantics
from tests.chart.documents import parse
from tests.chart.objects import Objects
from tests.chart.semantic_faults import OBJECT_FAULTS, ObjectFault
from tests.chart.semantics import cron
from tests.chart.semantics.quantities import amount
from tests.chart.semantics.subject import Subject

from pipeline_processing.deployment import merged

if TYPE_CHECKING:
    from tests.chart.rendering import Chart


def test_what_is_rendered_holds_together(chart: Chart) -> None:
    assert [] == semantics.rung(chart)


@pytest.fixture(scope="module")
def subjects(chart: Chart) -> list[Subject]:
    """Two examples that together have every kind of object; the first has no ScaledJob, the second no hook."""
    paths = [chart.path / "ci" / name for name in ("production.yaml", "many-pools.yaml")]
    texts = [rendering.template(chart.path, path, chart.kubernetes[0], chart.helms[0]) for path in paths]
    return [semantics.subject(chart, path, text) for path, text in zip(paths, texts, strict=True)]


@pytest.mark.parametrize("fault", OBJECT_FAULTS, ids=lambda fault: f"{fault.kind}: {fault.says}")
def test_a_fault_of_one_object_is_told(fault: ObjectFault, subjects: list[Subject]) -> None:
    whole = next(subject for subject in subjects if subject.objects.of(fault.kind))
    assert [] == semantics.findings(whole)
    broken = Subject(Objects(deepcopy(tuple(whole.objects.all))), whole.values)
    fault.plant(broken.objects.of(fault.kind)[0])
    found = semantics.findings(broken)
    assert [] != [finding for finding in found if fault.says in finding], found


def test_keda_takes_a_workloads_role_only_where_its_account_names_one(subjects: list[Subject]) -> None:
    production, many_pools = (Subject(Objects(deepcopy(tuple(one.objects.all))), one.values) for one in subjects)
    for subject in (production, many_pools):
        for one in subject.objects.of("TriggerAuthentication"):
            one["spec"]["podIdentity"] = {"provider": "aws", "identityOwner": "workload"}
    assert [] == semantics.findings(production)
    found = semantics.findings(many_pools)
    assert [] != found
    assert [] == [finding for finding in found if not finding.endswith("has no role for KEDA to take")]


def test_a_release_whose_names_would_be_too_long_is_refused_with_the_way_out(chart: Chart) -> None:
    for values in chart.values():
        try:
            text = rendering.template(
                chart.path, values, chart.kubernetes[0], chart.helms[0], release=rendering.LONGEST_RELEASE
            )
        except rendering.RenderError as error:
            assert "are allowed: shorten its name, or set fullnameOverride" in str(error)  # noqa: PT017 - or none is raised
        else:
            assert [] == semantics.findings(semantics.subject(chart, values, text))


@pytest.mark.parametrize("word", ["123", "1e5", "0x1f", "on", "y", "null"])
def test_a_name_that_yaml_would_take_for_something_else_stays_a_name(
    chart: Chart, tmp_path_factory: pytest.TempPathFactory, word: str
) -> None:
    """Kubernetes refuses a label, or a reference, that is a number or a boolean."""
    (example,) = parse((chart.path / "ci" / "production.yaml").read_text(encoding="utf-8"))
    awkward = {
        "image": {"pullSecrets": [word]},
        "secrets": [word],
        "contracts": {"configMap": word},
        "commonLabels": {"team": word},
        "identity": {"operator": {"create": False, "serviceAccount": word}},
        "pools": [example["pools"][0], example["pools"][1] | {"name": word, "priorityClassName": word}],
        "schedules": [example["schedules"][0] | {"name": word}],
    }
    # JSON, since Helm's YAML would take the words for something else in the values already.
    values = tmp_path_factory.mktemp("awkward") / "values.json"
    values.write_text(json.dumps(merged(example, awkward)), encoding="utf-8")
    text = rendering.template(chart.path, values, "1.34.0", "4.3", release=word)
    assert [] == semantics.findings(semantics.subject(chart, values, text))
    assert [] == [fault for one in Objects.of_text(text).all for fault in schemas.faults(one, "1.34.0")]


@pytest.mark.parametrize(
    "line", ["0 1 * * *", "*/5 0-23/2 1,15 jan-MAR mon-fri", "@daily", "0 0 29 2 *", "0 0 31 2 1", "? ? ? * 0"]
)
def test_a_schedule_that_the_controller_takes_has_no_fault(line: str) -> None:
    assert "" == cron.fault(line)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("60 1 * * *", "outside 0 to 59"),
        ("0 1 * * 7", "outside 0 to 6"),
        ("0 1 0 * *", "outside 1 to 31"),
        ("0 5-1 * * *", "runs backwards"),
        ("*/0 1 * * *", "outside"),
        ("0 1 * foo *", "is no number"),
        ("0 1 * * * *", "has 6 fields"),
        ("0 0 30 feb *", "is never due"),
        ("@every 5m", "has 2 fields"),
        ("CRON_TZ=UTC 0 1 * * *", "belongs into timeZone"),
        ("0 1 L * *", "is no number"),
    ],
)
def test_a_schedule_that_it_refuses_or_never_starts_has_one(line: str, fault: str) -> None:
    assert fault in cron.fault(line)


def test_quantities_are_compared_by_what_they_are_worth() -> None:
    assert amount("500m") * 2 == amount(1) == amount("1.0")
    assert amount("1Gi") == amount("1024Mi") > amount("1G") == amount("1000M")
