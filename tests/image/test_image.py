"""The image itself: what it holds, what it weighs, and that every command runs in it as hardened as in the chart."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.image.conftest import Engine

pytestmark = pytest.mark.timeout(900)
"""The first of them builds the image: some minutes where nothing is there yet."""

LIMIT = 350_000_000
"""Bytes that a registry stores and a node pulls, as the registry counts them: the compressed layers."""
USER = 10001


def inside(engine: Engine, image: str, script: str) -> str:
    """Run a shell script in the image, with the rights of no more than the product has; its output."""
    done = engine.run(image, "-c", script, options=("--entrypoint", "sh"))
    assert 0 == done.returncode, done.stderr
    return done.stdout


def python(engine: Engine, image: str, script: str) -> Any:  # noqa: ANN401 - JSON
    """Run Python code in the image that prints JSON; what it printed."""
    done = engine.run(image, "-c", script, options=("--entrypoint", "python"))
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def test_it_prints_its_help(engine: Engine, image: str) -> None:
    done = engine.run(image, "--help")
    assert (0, True) == (done.returncode, "usage: pipeline-processing COMMAND" in done.stdout)


def test_without_arguments_it_says_what_it_can_do_and_that_it_was_misused(engine: Engine, image: str) -> None:
    done = engine.run(image)
    assert (2, True) == (done.returncode, "usage: pipeline-processing COMMAND" in done.stderr)


def test_it_knows_every_job(engine: Engine, image: str) -> None:
    done = engine.run(image, "jobs", "--json")
    assert 0 == done.returncode, done.stderr
    found = json.loads(done.stdout)
    assert [] == found["faults"]
    assert {"get_s3_files", "bronze_to_silver", "backfill"} <= {job["name"] for job in found["jobs"]}


def test_doctor_fails_clearly_where_nothing_is_configured(engine: Engine, image: str) -> None:
    done = engine.run(image, "doctor", "--json")
    assert 2 == done.returncode, done.stderr
    faults = {check["subject"]: check["way_out"] for check in json.loads(done.stdout)["checks"] if check["way_out"]}
    assert "set AWS_DEFAULT_REGION" == faults["aws"]
    assert "PIPELINE_DATABASE_URL" in faults["database"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("worker", "--help"),
        ("controller", "run", "--help"),
        ("dlq", "list", "--help"),
        ("run", "get_s3_files", "--", "--help"),
        ("run", "bronze_to_silver", "--", "--help"),
    ],
    ids=" ".join,
)
def test_every_part_of_the_fleet_is_in_it(engine: Engine, image: str, arguments: tuple[str, ...]) -> None:
    done = engine.run(image, *arguments)
    assert (0, True) == (done.returncode, "usage:" in done.stdout), done.stderr


@pytest.mark.parametrize(
    "program",
    ["pipeline-processing", "pipeline-processing-get-s3-files", "data-pipeline", "data-pipeline-get-s3-files"],
)
def test_every_declared_program_is_in_it(engine: Engine, image: str, program: str) -> None:
    done = engine.run(image, "--help", options=("--entrypoint", program))
    assert (0, True) == (done.returncode, "usage:" in done.stdout), done.stderr


def test_options_alone_run_the_main_job(engine: Engine, image: str) -> None:
    done = engine.run(image, "--agency-id", "10")
    assert 2 == done.returncode
    assert "PIPELINE_" in done.stderr or "--source-bucket" in done.stderr


def test_every_module_can_be_imported(engine: Engine, image: str) -> None:
    """What was taken out of the dependencies is nothing that the product's modules need."""
    script = """
import importlib, json, pkgutil
failed = {}
roots = "data_pipeline etl_core pipeline_controller pipeline_operator pipeline_processing pipeline_worker"
for root in roots.split():
    package = importlib.import_module(root)
    for module in pkgutil.walk_packages(package.__path__, f"{root}."):
        if module.name.startswith("etl_core.testing"):
            continue
        try:
            importlib.import_module(module.name)
        except BaseException as error:
            failed[module.name] = repr(error)
print(json.dumps(failed))
"""
    assert {} == python(engine, image, script)


def test_nothing_is_compiled_at_a_start(engine: Engine, image: str) -> None:
    """Modules are compiled, and not looked at whether they are stale (the header's flags: hash-based, unchecked)."""
    script = """
import importlib.util, json, os, pathlib, sysconfig
def flags(source):
    compiled = pathlib.Path(importlib.util.cache_from_source(str(source)))
    return int.from_bytes(compiled.read_bytes()[4:8], "little") if compiled.exists() else None
sources = pathlib.Path(sysconfig.get_path("purelib")).rglob("*.py")
print(json.dumps({"own": sorted(str(one) for one in sources if flags(one) != 1), "library": flags(os.__file__)}))
"""
    found = python(engine, image, script)
    assert [] == found["own"]
    assert found["library"] is not None


def test_it_starts_as_nobody_in_particular_and_gets_its_signals_itself(engine: Engine, image: str) -> None:
    (found,) = json.loads(engine.done("podman", "image", "inspect", image))
    config = found["Config"]
    assert f"{USER}:{USER}" == config["User"]
    assert ["pipeline-processing"] == config["Entrypoint"]
    assert not config.get("Cmd")
    assert {"8080/tcp": {}} == config["ExposedPorts"]


def test_its_labels_say_what_it_is_made_of(engine: Engine, image: str) -> None:
    (found,) = json.loads(engine.done("podman", "image", "inspect", image))
    labels = {name.rpartition("image.")[2]: value for name, value in found["Labels"].items()}
    assert "pipeline-processing" == labels["title"]
    assert "docker.io/library/python:3.13-slim-trixie" == labels["base.name"]
    assert engine.run(image, "version").stdout.split()[-1] == labels["version"]
    assert {"revision", "created", "source", "base.digest"} <= labels.keys()


def test_nothing_in_it_builds_installs_or_debugs(engine: Engine, image: str) -> None:
    tools = "cc gcc g++ make ld strip objcopy pip pip3 uv wheel hatchling cyclonedx-py git curl wget"
    assert "" == inside(engine, image, f'for tool in {tools}; do command -v "$tool"; done; true')
    script = """
import importlib.util, json
print(json.dumps([name for name in ("pip", "ensurepip", "setuptools", "hatchling") if importlib.util.find_spec(name)]))
"""
    assert [] == python(engine, image, script)


def test_it_tells_nothing_of_the_machine_that_built_it(engine: Engine, image: str) -> None:
    """No pip configuration or cache, no wheels, no source tree, no stub of anything mounted."""
    names = ("pip.conf", "pip", "*.whl", "wheels", "build", "product", "requirements*.lock")
    either = " -o ".join(f"-name '{name}'" for name in names)
    assert "" == inside(engine, image, f"find / -xdev -maxdepth 4 \\( {either} \\) 2> /dev/null; true")


def test_the_account_may_write_to_nothing_but_tmp(engine: Engine, image: str) -> None:
    """By the files' own rights: where a root file system may be written to, too."""
    its = f"-perm -o+w -o -user {USER} -o -group {USER}"
    found = inside(engine, image, f"find / -xdev -not -type l \\( {its} \\) 2> /dev/null; true").split()
    assert set() == set(found) - {"/tmp", "/var/tmp", "/run/lock"}  # noqa: S108 - the container's


def test_it_runs_with_no_rights_at_all(engine: Engine, image: str) -> None:
    done = inside(engine, image, "grep -E 'NoNewPrivs|CapEff|CapBnd' /proc/self/status")
    assert {"NoNewPrivs": "1", "CapEff": "0000000000000000", "CapBnd": "0000000000000000"} == dict(
        line.split(":\t") for line in done.splitlines()
    )


def test_its_bill_of_materials_names_every_distribution(engine: Engine, image: str) -> None:
    script = """
import importlib.metadata, json, pathlib, sys
bill = json.loads(pathlib.Path(sys.prefix, "sbom.cdx.json").read_text())
installed = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
print(json.dumps({"installed": installed, "bill": bill}))
"""
    found = python(engine, image, script)
    bill, installed = found["bill"], found["installed"]
    product = bill["metadata"]["component"]
    listed = {one["name"]: one["version"] for one in [*bill["components"], product]}
    assert "CycloneDX" == bill["bomFormat"]
    assert {_plain(name): version for name, version in installed.items()} == {
        _plain(name): version for name, version in listed.items()
    }
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"])


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def test_it_is_small_enough_to_pull(engine: Engine, image: str, tmp_path: Path, facts: list[str]) -> None:
    engine.done("buildah", "push", "--quiet", image, f"oci:{tmp_path}/image:it")
    blobs = tmp_path / "image" / "blobs" / "sha256"
    index = json.loads((tmp_path / "image" / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"].removeprefix("sha256:")).read_text())
    shutil.rmtree(tmp_path / "image")  # too big to be kept with the other tests' folders
    *below, dependencies, product = (layer["size"] for layer in manifest["layers"])
    pulled = sum(below) + dependencies + product
    unpacked = int(engine.done("podman", "image", "inspect", "--format", "{{.Size}}", image))
    parts = f"base {sum(below) / 1e6:.1f}, dependencies {dependencies / 1e6:.1f}, product {product / 1e6:.1f}"
    facts.append(f"the image: {pulled / 1e6:.1f} MB to pull ({parts}), {unpacked / 1e6:.1f} MB unpacked")
    assert pulled < LIMIT
    # All that a release makes a node pull which has the one before.
    assert product < LIMIT / 100
