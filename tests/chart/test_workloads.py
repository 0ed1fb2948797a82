"""What the chart makes of its values, where it has to agree with what the product does."""

from __future__ import annotations

import re
import shutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.chart.documents import parse
from tests.chart.ladder import CHART
from tests.chart.objects import Objects
from tests.chart.rendering import KUBERNETES, Chart, template
from tests.chart.semantics.subject import Subject
from tests.chart.varied import Varied, container, only, schedules, variables

from pipeline_controller import bootstrap as controller
from pipeline_operator import bootstrap as operator
from pipeline_processing import __version__
from pipeline_processing.deployment import settings_from
from pipeline_processing.deployment.documents import from_chart, from_document
from pipeline_processing.safety import prove
from pipeline_processing.settings import Settings
from pipeline_worker import bootstrap as worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.objects import Object

EXAMPLES = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
OF_THE_PLACE = {"deployment", "pool", "queues", "contracts_dir"}
"""Settings by which the chart tells a pod where it is; no value of a pool."""


@pytest.fixture
def varied(chart: Chart, tmp_path: Path) -> Varied:
    return Varied(chart, tmp_path)


def pod_spec(one: Object) -> Object:
    (pods,) = Objects((one,)).pods()
    return pods.spec


def pod_annotations(one: Object) -> dict[str, str]:
    (pods,) = Objects((one,)).pods()
    return dict((pods.template["metadata"].get("annotations")) or {})


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_worker_proves_the_deployment_that_doctor_proved(varied: Varied, tmp_path: Path, example: str) -> None:
    made = varied.objects(of=example)
    config = next(one for one in made.of("ConfigMap") if "deployment.yaml" in one["data"])
    mounted = tmp_path / "deployment.yaml"
    mounted.write_text(config["data"]["deployment.yaml"], encoding="utf-8")
    assert from_chart([CHART / "ci" / f"{example}.yaml"]) == from_document(mounted)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_safe(example: str) -> None:
    assert [] == prove(from_chart([CHART / "ci" / f"{example}.yaml"]))


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_pool_has_the_settings_that_doctor_took_it_to_have(varied: Varied, example: str) -> None:
    made = varied.objects(of=example)
    deployment = from_chart([CHART / "ci" / f"{example}.yaml"])
    (values,) = parse((CHART / "ci" / f"{example}.yaml").read_text(encoding="utf-8"))
    found = {}
    for pods in made.pods():
        if pods.labels["app.kubernetes.io/component"] == "worker":
            environment = Subject(made, values).environment(pods.containers[0])
            told = settings_from(environment, where=pods.owner)
            assert pods.labels["pipeline-processing/lane"] in told.lanes
            assert (told.pool, str(told.deployment)) == (
                pods.labels["pipeline-processing/pool"],
                "/etc/pipeline-processing/deployment.yaml",
            )
            found[told.pool] = told.model_dump(exclude=OF_THE_PLACE)
    assert {pool.name: pool.effective.model_dump(exclude=OF_THE_PLACE) for pool in deployment.pools} == found


def inline(arguments: list[str]) -> None:
    """Parse what `run` is given; the job's own stand behind its ``--``."""
    job, between, *rest = arguments
    assert "--" == between
    import_module(f"pipeline_processing.jobs.{job}").parser().parse_args(rest)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_product_takes_the_arguments_of_every_pod(varied: Varied, example: str) -> None:
    parsers = {
        "worker": worker.parse,
        "controller": controller.parse,
        "dlq": operator.parse,
        "run": inline,
    }
    taken = []
    for pods in varied.objects(of=example).pods():
        if pods.labels["app.kubernetes.io/component"] == "operator":  # it waits for commands
            continue
        command, *arguments = pods.containers[0]["args"]
        if command != "migrate":
            parsers[command](arguments)
        taken.append(command)
    assert {"worker"} <= set(taken) <= {"worker", "controller", "dlq", "run", "migrate"}


def test_the_chart_installs_this_version_of_the_product(varied: Varied) -> None:
    (chart,) = parse((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert __version__ == chart["appVersion"]
    digest = "sha256:" + "0" * 64
    repository = "111122223333.dkr.ecr.us-east-1.amazonaws.com/pipeline-processing"
    for over, image in (
        ({}, f"{repository}:{__version__}"),
        ({"image": {"tag": "next"}}, f"{repository}:next"),
        ({"image": {"tag": "next", "digest": digest}}, f"{repository}@{digest}"),
    ):
        assert image == container(worker_of(varied.objects(over)))["image"]


def test_a_pools_own_value_wins_even_when_it_is_nothing(varied: Varied) -> None:
    made = varied.objects(
        {
            "poolDefaults": {
                "scaling": {"min": 2, "fallback": {"replicas": 5}},
                "tolerations": [{"key": "a", "operator": "Exists"}],
                "processors": {"silver": 2, "s3_files": 3},
            },
            "pools": [
                {
                    "name": "live",
                    "lane": "live",
                    "processors": {"silver": 1},
                    "scaling": {"min": 0, "fallback": {"replicas": 0}},
                    "tolerations": [],
                    "podDisruptionBudget": {"enabled": False},
                }
            ],
        }
    )
    scaled = only(made, "ScaledObject")["spec"]
    assert [] == made.of("PodDisruptionBudget")
    assert (0, 20, 0) == (scaled["minReplicaCount"], scaled["maxReplicaCount"], scaled["fallback"]["replicas"])
    pool = next(one for one in made.of("Deployment") if one["metadata"]["name"].endswith("-worker-live"))
    assert "tolerations" not in pod_spec(pool)
    limits = ["--processor-concurrency", "s3_files=3", "--processor-concurrency", "silver=1"]
    assert ["worker", "--lane", "live", *limits] == container(pool)["args"]


def test_the_grace_that_a_worker_is_told_is_what_kubernetes_leaves_it(varied: Varied) -> None:
    def told(over: object) -> str:
        return str(variables(worker_of(varied.objects(over)))["PIPELINE_GRACE"])

    assert "180s" == told({})
    assert "590s" == told({"poolDefaults": {"terminationGracePeriodSeconds": 600, "preStopSeconds": 10}})
    assert "100s" == told({"poolDefaults": {"settings": {"PIPELINE_GRACE": "100s"}}})


def test_a_grace_set_for_all_pods_is_not_overruled_for_one(varied: Varied) -> None:
    made = varied.objects({"settings": {"PIPELINE_GRACE": "150s"}})
    assert "PIPELINE_GRACE" not in variables(worker_of(made))
    settings = next(one for one in made.of("ConfigMap") if "PIPELINE_QUEUES" in one["data"])
    assert "150s" == settings["data"]["PIPELINE_GRACE"]


def test_a_lane_that_only_the_values_know_plugs_in(varied: Varied) -> None:
    url = "https://sqs.us-east-1.amazonaws.com/111122223333/night-shift"
    made = varied.objects(
        {"lanes": {"night-shift": {"queueUrl": url}}, "pools": [{"name": "night", "lane": "night-shift"}]}
    )
    one = worker_of(made)
    assert ["worker", "--lane", "night-shift"] == container(one)["args"]
    assert url == variables(one)["QUEUE_URL"]
    settings = next(found for found in made.of("ConfigMap") if "PIPELINE_QUEUES" in found["data"])
    assert url == Settings.model_validate({"queues": settings["data"]["PIPELINE_QUEUES"]}).lanes["night-shift"]


def test_the_fallback_is_no_more_than_the_most_pods(varied: Varied) -> None:
    made = varied.objects({"poolDefaults": {"scaling": {"max": 1, "fallback": {"replicas": 2}}}})
    fallback = only(made, "ScaledObject")["spec"]["fallback"]
    assert {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"} == fallback


def test_a_job_ends_by_itself_after_the_messages_that_it_was_started_for(varied: Varied) -> None:
    made = varied.objects(
        {"pools": [{"name": "hours", "lane": "live", "concurrency": 2, "scaling": {"kind": "job", "queueLength": 4}}]}
    )
    job = only(made, "ScaledJob")
    assert ["worker", "--lane", "live", "--max-items", "4"] == container(job)["args"]
    assert "replicas" not in job["spec"]["jobTargetRef"]
    assert [] == made.of("PodDisruptionBudget")


def test_a_pools_annotations_win_over_the_charts(varied: Varied) -> None:
    own = {"karpenter.sh/do-not-disrupt": "false", "team": "a"}
    job = {"name": "hours", "lane": "live", "scaling": {"kind": "job"}, "podAnnotations": own}
    found = pod_annotations(only(varied.objects({"pools": [job]}), "ScaledJob"))
    assert own.items() <= found.items()
    assert "false" == found["cluster-autoscaler.kubernetes.io/safe-to-evict"]


def test_a_fixed_pool_needs_no_keda(varied: Varied) -> None:
    made = varied.objects(of="no-keda")
    assert [] == made.of("ScaledObject", "ScaledJob", "TriggerAuthentication")
    assert [3] == [one["spec"]["replicas"] for one in made.of("Deployment")]


def test_a_scheduled_run_keeps_its_id_when_its_pod_is_replaced(varied: Varied) -> None:
    schedule = {
        "name": "a",
        "job": "get_s3_files",
        "cron": "@daily",
        "options": ["--tolerate-failures", "1%"],
        "args": ["--agency-id", "$(JOB_UID)$$"],
    }
    (cron,) = schedules(varied.objects({"schedules": [schedule]}))
    own = ["controller", "run", "get_s3_files", "--lane", "live", "--run-id", "$(JOB_NAME)-$(JOB_UID)"]
    # Kubernetes halves each `$$`, and takes no `$$(…)` for a variable: what the user wrote arrives as it was.
    theirs = ["--tolerate-failures", "1%", "--", "--agency-id", "$$(JOB_UID)$$$$"]
    assert [*own, *theirs] == container(cron)["args"]
    read = {variable["name"]: variable.get("valueFrom") for variable in container(cron)["env"]}
    assert read == {
        "JOB_NAME": {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}},
        "JOB_UID": {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}},
    }


def test_a_setting_with_a_dollar_arrives_as_it_was_written(varied: Varied) -> None:
    made = varied.objects({"poolDefaults": {"settings": {"PIPELINE_SILVER_PREFIX": "a$(HOME)$b"}}})
    assert "a$$(HOME)$$b" == variables(worker_of(made))["PIPELINE_SILVER_PREFIX"]


def test_a_schedule_may_run_any_command(varied: Varied) -> None:
    schedule = {"name": "reconcile", "command": ["controller", "reconcile"], "cron": "*/20 * * * *", "args": ["--json"]}
    (cron,) = schedules(varied.objects({"schedules": [schedule]}))
    assert ["controller", "reconcile", "--json"] == container(cron)["args"]


def test_exit_codes_decide_whether_a_job_tries_again(varied: Varied) -> None:
    (cron,) = schedules(varied.objects({"schedules": [{"name": "a", "job": "get_s3_files", "cron": "@daily"}]}))
    job = cron["spec"]["jobTemplate"]["spec"]
    rules = [
        (rule["action"], (rule.get("onExitCodes") or {}).get("values")) for rule in job["podFailurePolicy"]["rules"]
    ]
    assert [("Ignore", None), ("FailJob", [2]), ("FailJob", [3]), ("Ignore", [137])] == rules
    assert "DisruptionTarget" == job["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["type"]
    assert ("Failed", 6) == (job["podReplacementPolicy"], job["backoffLimit"])


def test_changed_settings_roll_the_pods_and_nothing_else_does(varied: Varied, tmp_path: Path) -> None:
    other = {"lanes": {"b": {"queueUrl": "https://sqs.us-east-1.amazonaws.com/1/b"}}}
    pools = {"pools": [{"name": "live", "lane": "live"}, {"name": "b", "lane": "b", "concurrency": 2}]}
    wider = {"pools": [{"name": "live", "lane": "live"}, {"name": "b", "lane": "b", "scaling": {"max": 3}}]}
    before = worker_of(varied.objects({**other, **pools}))["spec"]["template"]
    assert before == worker_of(varied.objects({**other, **wider}))["spec"]["template"]
    assert before == worker_of(varied.objects({**other, **pools, "monitor": {"enabled": False}}))["spec"]["template"]
    changed = worker_of(varied.objects({**other, **pools, "settings": {"PIPELINE_LOG_LEVEL": "debug"}}))
    assert before["metadata"]["annotations"] != pod_annotations(changed)

    newer = tmp_path / "newer"
    shutil.copytree(varied.chart.path, newer)
    chart = yaml.safe_load((newer / "Chart.yaml").read_text(encoding="utf-8"))
    (newer / "Chart.yaml").write_text(yaml.safe_dump(chart | {"version": "9.9.9"}), encoding="utf-8")
    made = template(newer, varied.values({**other, **pools}), KUBERNETES[0], varied.chart.helms[0])
    assert before == worker_of(Objects.of_text(made))["spec"]["template"]


def test_another_queue_changes_what_keda_holds_its_scaler_by(varied: Varied) -> None:
    """KEDA makes its scaler anew only for a new generation of the ScaledObject: the pod's variable alone is not one."""
    url = {"lanes": {"live": {"queueUrl": "https://sqs.us-east-1.amazonaws.com/111122223333/another"}}}
    assert only(varied.objects(), "ScaledObject")["spec"] != only(varied.objects(url), "ScaledObject")["spec"]


def test_the_migration_needs_nothing_that_the_chart_makes_later(varied: Varied) -> None:
    made = varied.objects(of="production")
    hooks = [one for one in made.all if "helm.sh/hook" in (one["metadata"].get("annotations") or {})]
    assert {"Job": "0", "ServiceAccount": "-1"} == {
        one["kind"]: one["metadata"]["annotations"]["helm.sh/hook-weight"] for one in hooks
    }
    migration = next(one for one in hooks if one["kind"] == "Job")
    assert {"pipeline-database", "pipeline-token-key"} == {
        source["secretRef"]["name"] for source in container(migration)["envFrom"]
    }
    assert "acme-pipeline-control" == variables(migration)["PIPELINE_CONTROL_BUCKET"]


def test_big_numbers_are_written_out(varied: Varied) -> None:
    made = varied.objects({"lanes": {"live": {"largestBacklog": 12_345_678}}})
    assert "largestBacklog: 12345678\n" in only_data(made, "deployment.yaml")
    huge = {"poolDefaults": {"scaling": {"queueLength": 12_345_678, "job": {"activeDeadlineSeconds": 12_345_678}}}}
    assert "e+0" not in varied.text(huge)


@pytest.mark.parametrize(
    ("over", "of", "commands"),
    [
        (
            {},
            "minimal",
            [
                "aws eks create-pod-identity-association --cluster-name CLUSTER --role-arn WORKER_ROLE_ARN",
                "kubectl -n fleet create job doctor --from=cronjob/pipeline-pipeline-processing-operator && \\\n",
                "exec job/doctor -- pipeline-processing doctor --without backfill --without database; \\\n",
                "pipeline-processing manifest get_s3_files --release pipeline --name pipeline-pipeline-processing-",
            ],
        ),
        (
            {},
            "production",
            [
                "kubectl -n fleet get scaledobjects,scaledjobs,pods -l app.kubernetes.io/instance=pipeline",
                "kubectl -n fleet exec job/doctor -- pipeline-processing doctor; \\\n",
                "kubectl -n fleet create job pipeline-pipeline-processing-first-run --from=cronjob/",
            ],
        ),
        (
            {},
            "no-keda",
            [
                "kubectl -n fleet get pods -l app.kubernetes.io/instance=pipeline",
                "pipeline-processing doctor --chart values.yaml",
                "--config-map pipeline-pipeline-processing-settings --secret pipeline-aws-keys",
            ],
        ),
    ],
    ids=["Pod Identity, nothing scheduled", "IRSA, schedules", "keys, no KEDA, no operator"],
)
def test_the_notes_tell_the_next_three_commands(
    varied: Varied, tmp_path: Path, over: object, of: str, commands: list[str]
) -> None:
    told = notes(varied, tmp_path, varied.values(over, of=of))
    assert ["1.", "2.", "3."] == re.findall(r"^\d\.", told, re.MULTILINE)
    places = [told.find(command) for command in commands]
    assert places == sorted(places)
    assert -1 not in places


def notes(varied: Varied, folder: Path, values: Path) -> str:
    """Return the notes; `helm template` prints none, so a copy of the chart makes a manifest of them."""
    chart = folder / "telling"
    shutil.copytree(varied.chart.path, chart)
    text = (chart / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    (chart / "templates" / "NOTES.txt").unlink()
    (chart / "templates" / "_told.tpl").write_text(f'{{{{ define "told" }}}}{text}{{{{ end }}}}', encoding="utf-8")
    manifest = '{"kind": "Notes", "metadata": {"name": "notes"}, "text": {{ include "told" . | toJson }}}'
    (chart / "templates" / "told.yaml").write_text(manifest, encoding="utf-8")
    made = Objects.of_text(template(chart, values, KUBERNETES[0], varied.chart.helms[0]))
    return str(only(made, "Notes")["text"])


def worker_of(made: Objects) -> Object:
    """Return the Deployment of the first pool that Helm made."""
    return next(
        one for one in made.of("Deployment") if one["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
    )


def only_data(made: Objects, key: str) -> Any:  # noqa: ANN401 - text
    (found,) = (one["data"][key] for one in made.of("ConfigMap") if key in one["data"])
    return found
