"""The compose file, which only somebody with Docker can start: its form, its references, and its own parts at work."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.chart import tools
from tests.conftest import run_apart, unavailable

from etl_core.database import Database
from etl_core.settings import unknown
from pipeline_local import resources, sample
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import LocalStack

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE = DOCKER / "compose.yaml"
SERVICES = DOCKER / "compose" / "local_services.py"


def test_the_compose_file_is_one() -> None:
    """By the Compose Specification's own schema, which check-jsonschema brings along."""
    program = shutil.which("check-jsonschema", path=Path(sys.executable).parent) or shutil.which("check-jsonschema")
    if program is None:
        unavailable("check-jsonschema is not installed (extra `dev`)")
    command = [str(program), "--builtin-schema", "vendor.compose-spec", COMPOSE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return document


def test_compose_sets_only_what_there_is_to_set(compose: dict[str, Any]) -> None:
    names = {name for service in compose["services"].values() for name in service.get("environment", ())}
    assert {} == unknown(Settings, names, known={"PIPELINE_TOOLS_DIR"})


def test_compose_names_the_buckets_and_queues_that_are_made(compose: dict[str, Any]) -> None:
    settings = compose["services"]["worker"]["environment"]
    assert {
        "PIPELINE_CONTROL_BUCKET": resources.CONTROL_BUCKET,
        "PIPELINE_SOURCE_BUCKET": resources.SOURCE_BUCKET,
        "PIPELINE_DESTINATION_BUCKET": resources.DESTINATION_BUCKET,
        "PIPELINE_SILVER_BUCKET": resources.SILVER_BUCKET,
        "PIPELINE_LIVE_QUEUE": resources.LIVE_QUEUE,
        "PIPELINE_BACKFILL_QUEUE": resources.BACKFILL_QUEUE,
    } == {name: value for name, value in settings.items() if name.endswith(("_BUCKET", "_QUEUE"))}


def test_compose_mounts_what_is_there(compose: dict[str, Any]) -> None:
    sources = {mount.partition(":")[0] for service in compose["services"].values() for mount in service["volumes"]}
    files, volumes = {one for one in sources if "." in one}, {one for one in sources if "." not in one}
    assert [] == [file for file in sorted(files) if not (DOCKER / file).exists()]
    assert set(compose["volumes"]) == volumes


def test_compose_listens_on_the_loopback_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]


def test_compose_waits_for_what_can_be_waited_for(compose: dict[str, Any]) -> None:
    """A service that others need healthy has a health check; one that they need ended is not started again."""
    services = compose["services"]
    for name, service in services.items():
        needs = service.get("depends_on", {})
        for other in needs:
            condition = needs[other]["condition"] if isinstance(needs, dict) else "service_started"
            assert condition != "service_healthy" or "healthcheck" in services[other], (name, other)
            assert condition != "service_completed_successfully" or services[other].get("restart") == "no"


def test_two_workers_have_time_to_drain(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert 2 == worker["deploy"]["replicas"]
    assert f"{Settings.model_fields['grace'].default.total_seconds():.0f}s" == worker["stop_grace_period"]


def test_prometheus_looks_where_workers_and_monitor_listen(compose: dict[str, Any]) -> None:
    jobs = yaml.safe_load((DOCKER / "compose" / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    found = [
        (name, place["port"]) for job in jobs for place in job.get("dns_sd_configs", ()) for name in place["names"]
    ]
    found += [
        (host, int(port))
        for job in jobs
        for place in job.get("static_configs", ())
        for host, _, port in (target.partition(":") for target in place["targets"])
    ]
    port = Settings.model_fields["health_port"].default
    assert [("worker", port), ("monitor", port)] == found
    assert {"worker", "monitor"} <= set(compose["services"])


def test_prometheus_understands_its_configuration() -> None:
    try:
        promtool = tools.promtool()
    except tools.ToolUnavailableError as error:
        pytest.skip(f"NOT CHECKED, there is no promtool: {error}")
    command = [promtool, "check", "config", DOCKER / "compose" / "prometheus.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_grafana_finds_what_the_dashboard_asks(compose: dict[str, Any]) -> None:
    """The dashboard chooses among data sources of one type, and is mounted where its provider looks."""
    sources = yaml.safe_load((DOCKER / "compose" / "grafana-datasources.yaml").read_text(encoding="utf-8"))
    providers = yaml.safe_load((DOCKER / "compose" / "grafana-dashboards.yaml").read_text(encoding="utf-8"))
    dashboard = json.loads((ROOT / "charts/pipeline-processing/files/dashboard.json").read_text(encoding="utf-8"))
    asked = {one["query"] for one in dashboard["templating"]["list"] if one["type"] == "datasource"}
    assert asked <= {source["type"] for source in sources["datasources"]}
    (folder,) = {provider["options"]["path"] for provider in providers["providers"]}
    mounts = [mount.split(":")[1] for mount in compose["services"]["grafana"]["volumes"]]
    assert [f"{folder}/pipeline-processing.json"] == [mount for mount in mounts if mount.endswith(".json")]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def test_the_endpoint_serves_and_prepare_fills_it_as_often_as_it_is_asked(
    local_stack: LocalStack, tmp_path: Path
) -> None:
    port, database = free_port(), "compose"
    local_stack.sql(f'create database "{database}"')
    url = local_stack.database_url.rpartition("/")[0] + f"/{database}"
    serving = [sys.executable, SERVICES, "endpoint", "--name", "127.0.0.1", "--listen", "127.0.0.1"]
    endpoint = subprocess.Popen([*serving, "--port", str(port), "--data-dir", tmp_path])
    try:
        deadline = time.monotonic() + 60
        while not answers(port) and endpoint.poll() is None and time.monotonic() < deadline:
            threading.Event().wait(0.1)
        environment = local_stack.environment | {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "PIPELINE_DATABASE_URL": url,
        }
        for _ in range(2):
            done = subprocess.run([sys.executable, SERVICES, "prepare"], env=environment, check=False)
            assert 0 == done.returncode
        s3, sqs = (resources.client(service, environment) for service in ("s3", "sqs"))
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=resources.SOURCE_BUCKET)
        assert {file.key for file in sample.files() if file.body is not None} == {
            entry["Key"] for page in pages for entry in page["Contents"]
        }
        assert f"http://127.0.0.1:{port}/" in sqs.get_queue_url(QueueName=resources.LIVE_QUEUE)["QueueUrl"]
        run_apart(lambda: _assert_rows(url, len(sample.files())))
        endpoint.send_signal(signal.SIGTERM)
        assert 0 == endpoint.wait(15)
    finally:
        endpoint.kill()
        endpoint.wait()
        local_stack.sql(f'drop database "{database}" with (force)')


async def _assert_rows(url: str, expected: int) -> None:
    database = Database(url, max_connections=1)
    try:
        (row,) = await database.fetch("select count(*) as rows from attachments")
    finally:
        await database.aclose()
    assert expected == row["rows"]
