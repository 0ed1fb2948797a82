"""What needs no container to be checked: the Dockerfile, the scripts, the compose file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import unavailable

from etl_core.settings import unknown
from pipeline_local import resources
from pipeline_processing.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE = DOCKER / "compose.yaml"
SCRIPTS = sorted([*DOCKER.rglob("*.sh"), ROOT / ".ci" / "run"])


def checked(tool: str, *arguments: str | Path) -> str:
    """Run one of the developers' tools; what it found."""
    program = shutil.which(tool, path=Path(sys.executable).parent) or shutil.which(tool)
    if program is None:
        unavailable(f"{tool} is not installed (extra `dev`)")
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr or f"exit code {done.returncode}"


def test_the_dockerfile_follows_the_rules() -> None:
    assert "" == checked("hadolint", "--no-color", DOCKER / "Dockerfile")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_script_follows_the_rules(script: Path) -> None:
    assert "" == checked("shellcheck", "--enable", "all", "--exclude", "SC2250,SC2310,SC2311,SC2312", script)
    assert script.stat().st_mode & 0o111 or script.parent.name == ".ci"


def test_the_compose_file_is_one() -> None:
    assert "" == checked("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


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


def test_prometheus_looks_where_the_workers_listen(compose: dict[str, Any]) -> None:
    scraped = yaml.safe_load((DOCKER / "compose" / "prometheus.yaml").read_text(encoding="utf-8"))
    (job,) = scraped["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) <= set(compose["services"])
    assert Settings.model_fields["health_port"].default == found["port"]
