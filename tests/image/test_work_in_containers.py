"""Containers at work on the embedded stack: a worker that drains, and the two jobs from end to end."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from pipeline_local import rosters, sample
from pipeline_processing.layout import RunLayout
from pipeline_processing.messages import PROCESSOR, encode
from pipeline_processing.model import Item

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.conftest import LocalStack, QueuePair
    from tests.image.conftest import Engine

pytestmark = pytest.mark.timeout(900)
"""The first of them builds the image: some minutes where nothing is there yet."""

RUN = RunLayout("pipeline", "r1")
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
PATIENCE = 60.0
USER = 10001


def until(holds: Callable[[], Any], what: str, *, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if holds():
            return
        if process.poll() is not None:
            break
        threading.Event().wait(0.05)
    process.kill()
    assert process.stdout is not None
    pytest.fail(f"{what} did not come about: {process.stdout.read()[-2000:]}")


def variables(environment: dict[str, str], folder: Path) -> tuple[str, ...]:
    """Return podman's options for these variables on the host's network, where the stack listens on the loopback."""
    path = folder / f"environment-{uuid4().hex[:8]}"
    path.write_text("".join(f"{name}={value}\n" for name, value in environment.items()), encoding="utf-8")
    return "--network", "host", "--env-file", str(path)


def distribution(folder: Path, *, group: str, module: str, source: str) -> tuple[str, ...]:
    """Return podman's options that mount a module as a distribution would offer it, and a folder for its files."""
    (folder / "naps").mkdir()
    (folder / "naps").chmod(0o777)  # the account in the container is not the one out here
    metadata = folder / "site" / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{module} = {module}\n")
    (folder / "site" / f"{module}.py").write_text(source, encoding="utf-8")
    mounts = {folder / "site": "/extra:ro", folder / "naps": "/naps"}
    return (
        *(part for outside, inside in mounts.items() for part in ("--volume", f"{outside}:{inside}")),
        *("--env", "PYTHONPATH=/extra", "--env", "NAPS=/naps"),
    )


def test_a_worker_drains_on_sigterm_and_ends_well(  # noqa: PLR0917 - fixtures are given by name
    engine: Engine, image: str, local_stack: LocalStack, bucket: str, queue_pair: QueuePair, tmp_path: Path
) -> None:
    """What can be finished in time is done, the rest is given back, nothing is buried or waits for its lease's end."""
    quick, slow = (Item("nap", "10", payload) for payload in ({"seconds": 1.5}, {"seconds": 3600}))
    sqs, s3 = local_stack.client("sqs"), local_stack.client("s3")
    for item in (quick, slow):
        sqs.send_message(
            QueueUrl=queue_pair.url,
            MessageBody=encode("r1", item, part="p"),
            MessageAttributes={PROCESSOR: {"DataType": "String", "StringValue": "nap"}},
        )
    settings = {
        "PIPELINE_CONTROL_BUCKET": bucket,
        "PIPELINE_LIVE_QUEUE": queue_pair.url,
        "PIPELINE_RECEIVE_WAIT": "1s",
        "PIPELINE_LEASE": "30s",
        "PIPELINE_HEARTBEAT": "5s",
        "PIPELINE_DRAIN": "3s",
        "PIPELINE_GRACE": "20s",
        "PIPELINE_LOG_FORMAT": "json",
    }
    nap = (FIXTURES / "nap_job.py").read_text(encoding="utf-8")
    name, process = engine.start(
        image,
        *("worker", "--lane", "live"),
        options=(
            *variables(local_stack.environment | settings, tmp_path),
            *distribution(tmp_path, group="pipeline_processing.jobs", module="nap_job", source=nap),
        ),
    )
    started = tmp_path / "naps"
    until(
        lambda: {path.name for path in started.iterdir()} == {quick.item_id, slow.item_id},
        "the start of both items",
        process=process,
    )
    assert {USER} == {path.stat().st_uid for path in started.iterdir()}
    engine.done("podman", "kill", "--signal", "TERM", name)
    said, _ = process.communicate(timeout=PATIENCE)
    assert 0 == process.returncode, said
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
    assert [f"{RUN.root}done/{quick.item_id}"] == [key for key in keys if key.startswith(RUN.root)]
    assert ((1, 0), (0, 0)) == (depth(sqs, queue_pair.url), depth(sqs, queue_pair.dead_letter_url))


def depth(sqs: Any, url: str) -> tuple[int, int]:  # noqa: ANN401 - boto3 makes its clients' classes at run time
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(attributes[names[0]]), int(attributes[names[1]])


def test_a_signal_during_a_start_is_not_lost(engine: Engine, image: str, tmp_path: Path) -> None:
    """The kernel drops what process 1 has no handler for; a pod told to end as it starts would live on for long."""
    code = "import pathlib, time; pathlib.Path('/naps/starting').touch(); time.sleep(3600)\n"
    mounts = distribution(tmp_path, group="pipeline_processing.commands", module="stall", source=code)
    name, process = engine.start(image, "stall", options=("--network", "none", *mounts))
    until((tmp_path / "naps" / "starting").exists, "the start", process=process)
    engine.done("podman", "kill", "--signal", "TERM", name)
    said, _ = process.communicate(timeout=PATIENCE)
    assert (130, "interrupted") == (process.returncode, said.strip())


def test_options_alone_copy_an_agencys_files(
    engine: Engine, image: str, local_stack: LocalStack, database_url: str, tmp_path: Path
) -> None:
    environment = local_stack.environment | {"PIPELINE_DATABASE_URL": database_url}
    sample.put_files(environment)
    _fill(database_url)
    done = engine.run(
        image,
        *("--agency-id", "10", "--source-bucket", "agency-source", "--destination-bucket", "agency-destination"),
        *("--run-id", f"image-{uuid4().hex[:8]}", "--json"),
        options=variables(environment, tmp_path),
    )
    assert 0 == done.returncode, done.stderr
    total = json.loads(done.stdout)["report"]["total"]
    assert total["planned"]["items"] == total["done"]["items"] > 0


def _fill(url: str) -> None:
    from tests.conftest import run_apart  # noqa: PLC0415 - found when the tests run

    run_apart(lambda: sample.fill_database(url))


def test_messy_files_become_a_table(engine: Engine, image: str, local_stack: LocalStack, tmp_path: Path) -> None:
    """Readers, contracts, phone numbers, polars and Delta: what was taken out of the dependencies is not missed."""
    rosters.put_rosters(local_stack.environment)
    contract = rosters.contract(tmp_path)
    done = engine.run(
        image,
        *("run", "bronze_to_silver", "--", "--contract", "/contract.yaml", "--all-agencies"),
        *("--source-bucket", "agency-bronze", "--run-id", f"image-{uuid4().hex[:8]}", "--json"),
        options=(*variables(local_stack.environment, tmp_path), "--volume", f"{contract}:/contract.yaml:ro"),
    )
    assert done.returncode in {0, 3}, done.stderr
    found = json.loads(done.stdout)["report"]["published_counts"]
    assert (rosters.EXPECTED.rows_in, rosters.EXPECTED.rows_out, rosters.EXPECTED.quarantined) == tuple(
        found[name] for name in ("rows_in", "rows_out", "quarantined")
    )
