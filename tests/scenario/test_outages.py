"""S3, SQS and Postgres go away for ten seconds and come back, under running workers and controllers."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from harness.checks import assert_whole
from harness.fleet import Fleet
from harness.programs import PATIENCE, until
from harness.wire import COPY, acting

from etl_core.testing.faults import Delay
from pipeline_local.processes import ProcessRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.bucket import Stored
    from harness.fleet import Stack
    from harness.world import World

OUTAGE: Final = 10.0
PATIENT: Final = {
    "PIPELINE_MAX_ATTEMPTS": "20",
    "PIPELINE_BACKOFF_BASE": "2s",
    "PIPELINE_BACKOFF_CAP": "4s",
    "PIPELINE_STALL_AFTER": "30s",
}
"""Retries that outlast the outage, as production's do: the quick ones of other scenarios span one second."""


@pytest.fixture
def patient_fleet(local_stack: Stack, world: World, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(local_stack, world, tmp_path, max_receive_count=25, **PATIENT) as fleet:
        yield fleet


@pytest.mark.parametrize("service", ["S3", "SQS"])
def test_a_service_that_comes_back_finds_the_fleet_at_work(
    service: str, patient_fleet: Fleet, reference: dict[str, Stored]
) -> None:
    fleet = patient_fleet
    slowly = acting(Delay(timedelta(milliseconds=300)), COPY, times=None)
    with fleet.wire() as s3, fleet.wire() as sqs:
        s3.add(slowly)
        wires = {"S3": s3, "SQS": sqs}
        addresses = {f"AWS_ENDPOINT_URL_{name}": wire.url for name, wire in wires.items()}
        run = fleet.run()
        workers = [fleet.worker("--concurrency", "2", **addresses) for _ in range(2)]
        until(lambda: all(worker.events("worker.started") for worker in workers), "both workers")
        controller = run.start(environment=addresses)
        until(lambda: len(run.keys("done/")) >= 2, "the first markers")

        wires[service].call("go_away")
        _let_pass(OUTAGE)
        wires[service].call("come_back")

        controller.ends()
        fleet.await_empty_queue()
        for worker in workers:
            worker.stop()
    assert_whole(run, reference, may_have_failed=True)


def test_a_database_that_comes_back_finds_the_workers_at_work(
    patient_fleet: Fleet, reference: dict[str, Stored]
) -> None:
    fleet = patient_fleet
    run = fleet.run()
    run.start("--no-wait").ends()
    with _database_away(fleet.stack):
        workers = [fleet.worker(), fleet.worker()]
        controller = run.start()
        until(lambda: bool(run.keys("failed/")), "an export to fail")
        _let_pass(OUTAGE)

    controller.ends()
    fleet.await_empty_queue()
    for worker in workers:
        worker.stop()
    assert_whole(run, reference, may_have_failed=True)


@contextmanager
def _database_away(stack: Stack) -> Iterator[None]:
    (database,) = [service for service in stack.stack.status() if service.name == "postgres"]
    process = ProcessRef.of(database.pid or 0)
    assert process
    process.stop((signal.SIGINT, PATIENCE))
    try:
        yield
    finally:
        stack.stack.up()


def _let_pass(seconds: float) -> None:
    """Wait: an outage is time, there is nothing else to wait for."""
    threading.Event().wait(seconds)
