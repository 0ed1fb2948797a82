"""Who pods are in AWS, and with whose rights KEDA counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.chart.varied import Varied, container, only

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.rendering import Chart


@pytest.fixture
def varied(chart: Chart, tmp_path: Path) -> Varied:
    return Varied(chart, tmp_path)


def test_a_role_that_only_the_values_know_plugs_in(varied: Varied) -> None:
    arn = "arn:aws:iam::111122223333:role/pipeline-tables"
    made = varied.objects(
        {
            "identity": {
                "kind": "irsa",
                "tables": {"roleArn": arn},
                "theirs": {"create": False, "serviceAccount": "own"},
            },
            "pools": [
                {"name": "tables", "lane": "live", "role": "tables"},
                {"name": "theirs", "lane": "live", "role": "theirs"},
            ],
            "schedules": [{"name": "vacuum", "command": ["run", "vacuum"], "cron": "@daily", "role": "tables"}],
        },
        of="production",
    )
    name = "pipeline-pipeline-processing-tables"
    account = next(one for one in made.of("ServiceAccount") if one["metadata"]["name"] == name)
    assert arn == account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    told = {pods.owner: pods.spec["serviceAccountName"] for pods in made.pods()}
    assert {"worker-tables": name, "vacuum": name, "worker-theirs": "own"} == {
        end: account
        for owner, account in told.items()
        for end in ("worker-tables", "vacuum", "worker-theirs")
        if owner.endswith(f"-{end}")
    }


def test_the_monitor_may_do_less_than_the_operator_whose_pod_ends_by_itself(varied: Varied) -> None:
    made = varied.objects({"operator": {"seconds": 90}})
    pods = {pods.labels["app.kubernetes.io/component"]: pods.spec for pods in made.pods()}
    assert ["pipeline-pipeline-processing-monitor", "pipeline-pipeline-processing-operator"] == [
        pods[component]["serviceAccountName"] for component in ("monitor", "operator")
    ]
    cron = only(made, "CronJob")["spec"]
    assert (True, 690) == (cron["suspend"], cron["jobTemplate"]["spec"]["activeDeadlineSeconds"])
    (waiting,) = pods["operator"]["containers"]
    assert (["sleep"], ["90"]) == (waiting["command"], waiting["args"])
    assert pods["monitor"]["containers"][0]["envFrom"] == waiting["envFrom"]


@pytest.mark.parametrize(
    ("over", "of", "expected"),
    [
        ({}, "irsa", {"podIdentity": {"provider": "aws", "identityOwner": "keda"}}),
        (
            {},
            "pod-identity",
            {"podIdentity": {"provider": "aws", "roleArn": "arn:aws:iam::111122223333:role/pipeline-keda"}},
        ),
    ],
    ids=["KEDA's own role", "a role that it takes"],
)
def test_keda_counts_with_the_role_that_it_was_given(varied: Varied, over: object, of: str, expected: object) -> None:
    assert expected == only(varied.objects(over, of=of), "TriggerAuthentication")["spec"]


def test_keda_counts_with_the_workers_keys_where_there_are_no_roles(varied: Varied) -> None:
    made = varied.objects({"poolDefaults": {"scaling": {"kind": "deployment"}}}, of="no-keda")
    keys = only(made, "TriggerAuthentication")["spec"]["env"]
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} == {key["name"] for key in keys}
    worker = next(one for one in made.of("Deployment") if "pipeline-processing/pool" in one["metadata"]["labels"])
    assert {container(worker)["name"]} == {key["containerName"] for key in keys}
