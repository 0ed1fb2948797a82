"""The chart's own pods, really run: what Helm makes of it goes to `podman play kube` as it is.

Without a cluster there are no probes, and the pods share this machine's network, where the local stack listens; all
else stays: the image's command and the chart's arguments, settings by ConfigMap, secrets by Secret, user,
capabilities, read-only root, volumes.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import yaml
from tests.chart import tools
from tests.chart.ladder import CHART
from tests.chart.rendering import Chart
from tests.chart.varied import Varied
from tests.conftest import run_apart, unavailable
from tests.image.conftest import CI

from pipeline_local import sample
from pipeline_processing.layout import RunLayout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chart.objects import Object, Objects
    from tests.conftest import LocalStack, QueuePair
    from tests.image.conftest import Engine

pytestmark = pytest.mark.timeout(900)
"""The first test of the image builds it."""

SECRET = f"pipeline-secrets-{uuid4().hex[:8]}"
LABELS = {"batch.kubernetes.io/job-name": "attachments-29", "batch.kubernetes.io/controller-uid": "b0c1"}
"""What Kubernetes' Job controller adds."""
RUN_ID = "attachments-29-b0c1"
PROBED = {"PIPELINE_HEALTH_PORT": "0", "PIPELINE_HEALTH_HOST": "127.0.0.1"}
"""On one network two pods can not have one port; the chart's, 8080, may be somebody else's here."""
PATIENCE = 300
"""How often a pod is asked before it is given up."""
LOOK = """
import json, pathlib
own = pathlib.Path("/proc/1")
status = dict(line.split(":\\t", 1) for line in (own / "status").read_text().splitlines() if ":\\t" in line)
def is_writable(folder):
    try:
        pathlib.Path(folder, "probe").write_text("")
    except OSError:
        return False
    return True
print(json.dumps({
    "uid": status["Uid"].split()[0],
    "gid": status["Gid"].split()[0],
    "capabilities": int(status["CapEff"], 16),
    "no new privileges": status["NoNewPrivs"],
    "command": (own / "cmdline").read_text().split("\\0")[-4:-1],
    "writable": [folder for folder in ("/", "/tmp", "/home", "/etc/pipeline-processing") if is_writable(folder)],
}))
"""
"""What a pod's first process may do, asked inside."""


class Cluster:
    """Pods by podman; those that are played are removed in the end."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self._folder = folder
        self._played: list[Path] = []
        self._secrets: list[str] = []

    def play(self, *objects: Object) -> None:
        place = self._folder / f"play-{len(self._played)}.yaml"
        place.write_text(yaml.safe_dump_all(objects, sort_keys=False), encoding="utf-8")
        self._played.append(place)
        self.engine.done("podman", "play", "kube", "--network", "host", str(place))

    def logs(self, name: str) -> list[dict[str, Any]]:
        """Return the container's log, one JSON object a line; what is none is its plain output."""
        told = self.engine("podman", "logs", name)
        lines = [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    def keep(self, name: str, **variables: str) -> None:
        """Make a Secret, in the form in which this podman's `play kube` reads one: JSON of base64."""
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in variables.items()}
        place = self._folder / f"{name}.json"
        place.write_text(json.dumps(encoded), encoding="utf-8")
        self._secrets.append(name)
        self.engine.done("podman", "secret", "create", name, str(place))

    def follow(self, name: str, *, until: str) -> dict[str, Any]:
        """Read the container's log as it is written, up to this event, which is returned; fail when it ends before."""
        command = [CI / "engine.sh", "podman", "logs", "--follow", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as following:
            assert following.stdout is not None
            told = []
            for line in following.stdout:
                told.append(line)
                if f'"{until}"' in line:
                    following.terminate()
                    return dict(json.loads(line))
        pytest.fail("".join(told))

    def ended(self, name: str) -> int:
        """Wait for the container's end; its exit code."""
        self.engine.done("podman", "wait", name)
        return int(json.loads(self.engine.done("podman", "inspect", name))[0]["State"]["ExitCode"])

    def down(self) -> None:
        for place in reversed(self._played):
            self.engine("podman", "play", "kube", "--down", str(place))
        for name in self._secrets:
            self.engine("podman", "secret", "rm", name)


@pytest.fixture
def cluster(engine: Engine, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(engine, tmp_path)
    yield cluster
    cluster.down()


@pytest.fixture
def made(image: str, local_stack: LocalStack, queue_pair: QueuePair, bucket: str, tmp_path: Path) -> Objects:
    """The chart's objects for the local stack."""
    try:
        for version in tools.HELMS:
            tools.helm(version)
    except tools.ToolUnavailableError as error:
        unavailable(str(error))
        raise
    repository, _, tag = image.rpartition(":")
    values = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "aws": {"endpointUrl": local_stack.endpoint_url},
        "identity": {"kind": "none"},
        "secrets": [SECRET],
        "lanes": {"live": {"queueUrl": queue_pair.url, "maxReceiveCount": 8, "retention": "10d"}},
        "settings": {
            "PIPELINE_CONTROL_BUCKET": bucket,
            "PIPELINE_SOURCE_BUCKET": local_stack.environment["PIPELINE_SOURCE_BUCKET"],
            "PIPELINE_DESTINATION_BUCKET": bucket,
            "PIPELINE_RECEIVE_WAIT": "1s",
            "PIPELINE_POLL": "1s",
        },
        "poolDefaults": {"scaling": {"kind": "fixed", "min": 1}, "concurrency": 4},
        "migrations": {"enabled": True},
        "schedules": [{"name": "attachments", "job": "get_s3_files", "cron": "@daily", "args": ["--agency-id", "10"]}],
    }
    return Varied(Chart(CHART), tmp_path).objects(values)


def pod(made: Objects, component: str, labels: dict[str, str], **variables: str) -> Object:
    """Return the pod of a workload, as a controller of Kubernetes would make it, for this machine's network."""
    (pods,) = (found for found in made.pods() if found.labels["app.kubernetes.io/component"] == component)
    spec = dict(pods.spec)
    spec.pop("topologySpreadConstraints", None)
    spec["restartPolicy"] = "Never"
    (container,) = spec["containers"]
    read = {
        variable["name"]: labels[variable["valueFrom"]["fieldRef"]["fieldPath"].split("'")[1]]
        for variable in container.get("env", ())
        if "valueFrom" in variable
    }
    kept = {name: part for name, part in container.items() if not name.endswith("Probe") and name != "ports"}
    kept["env"] = [*container.get("env", ()), *({"name": name, "value": text} for name, text in variables.items())]
    kept["args"] = [_expanded(argument, read) for argument in kept["args"]]
    name = f"{component}-{uuid4().hex[:8]}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": pods.labels | labels},
        "spec": spec | {"containers": [kept]},
    }


def _expanded(argument: str, variables: dict[str, str]) -> str:
    """Return the argument as kubelet passes it on; this podman leaves $(NAME) as it is."""
    return re.sub(
        r"\$\$|\$\((\w+)\)", lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0]), argument
    )


def named(one: Object) -> str:
    """Return podman's name of the pod's one container."""
    return f"{one['metadata']['name']}-{one['spec']['containers'][0]['name']}"


def test_controller_and_worker_of_the_chart_bring_a_run_to_its_end(
    cluster: Cluster, made: Objects, local_stack: LocalStack, bucket: str, database_url: str
) -> None:
    sample.put_files(local_stack.environment)
    run_apart(lambda: sample.fill_database(database_url))
    cluster.keep(SECRET, PIPELINE_DATABASE_URL=database_url, **keys(local_stack))
    worker = pod(made, "worker", {}, **PROBED)
    cluster.play(*made.of("ConfigMap"), worker)
    cluster.follow(named(worker), until="worker.started")
    seen = json.loads(cluster.engine.done("podman", "exec", named(worker), "python3", "-c", LOOK))
    assert seen == {
        "uid": "10001",
        "gid": "10001",
        "capabilities": 0,
        "no new privileges": "1",
        "command": ["worker", "--lane", "live"],
        "writable": ["/tmp"],  # noqa: S108 - the pod's own
    }

    run = RunLayout("pipeline", RUN_ID)
    assert 0 == controlled(cluster, made)
    planned = records(local_stack, bucket, run)
    assert {run.manifest, run.success} <= set(planned)
    assert 0 == controlled(cluster, made)
    assert planned == records(local_stack, bucket, run), "a pod that replaces another is at the same run, which is over"

    cluster.engine.done("podman", "kill", "--signal", "TERM", named(worker))
    assert 0 == cluster.ended(named(worker))
    assert "worker.stopped" == cluster.logs(named(worker))[-1]["event"]


def test_the_monitor_of_the_chart_tells_what_the_lanes_hold(
    cluster: Cluster, made: Objects, local_stack: LocalStack, queue_pair: QueuePair
) -> None:
    local_stack.client("sqs").send_message(QueueUrl=queue_pair.dead_letter_url, MessageBody="{}")
    cluster.keep(SECRET, **keys(local_stack))
    monitor = pod(made, "monitor", {}, **PROBED)
    cluster.play(*made.of("ConfigMap"), monitor)
    port = cluster.follow(named(monitor), until="health.listening")["port"]
    assert "ok\n" == answer(port, "readyz")
    assert 'pipeline_dead_letters{lane="live"} 1.0\n' in answer(port, "metrics")
    cluster.engine.done("podman", "kill", "--signal", "TERM", named(monitor))
    assert 0 == cluster.ended(named(monitor))


def test_the_migration_of_the_chart_needs_nothing_but_its_secret(
    cluster: Cluster, made: Objects, local_stack: LocalStack
) -> None:
    """It runs before the chart's ConfigMaps are there."""
    name = f"fresh_{uuid4().hex[:12]}"
    local_stack.sql(f'create database "{name}"')
    url = local_stack.database_url.rpartition("/")[0] + f"/{name}"
    cluster.keep(SECRET, PIPELINE_DATABASE_URL=url, **keys(local_stack))
    migration = pod(made, "migration", {})
    cluster.play(migration)
    assert 0 == cluster.ended(named(migration))
    run_apart(lambda: sample.fill_database(url))
    local_stack.sql(f'drop database "{name}" with (force)')


def keys(local_stack: LocalStack) -> dict[str, str]:
    return {name: local_stack.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


def answer(port: int, path: str) -> str:
    """Return what the pod answers, once it is 200: probes ask again, too."""
    for _ in range(PATIENCE):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as told:
                return str(told.read().decode())
        except urllib.error.HTTPError:
            threading.Event().wait(0.1)
    pytest.fail(f"/{path} never became 200")


def controlled(cluster: Cluster, made: Objects) -> int:
    """Run the controller's pod to its end; its exit code."""
    controller = pod(made, "controller", LABELS)
    cluster.play(*made.of("ConfigMap"), controller)
    return cluster.ended(named(controller))


def records(local_stack: LocalStack, bucket: str, run: RunLayout) -> dict[str, str]:
    """Return what stands of the run, by key, with its checksum."""
    listed = local_stack.client("s3").list_objects_v2(Bucket=bucket, Prefix=run.root)
    return {entry["Key"]: entry["ETag"] for entry in listed["Contents"]}
