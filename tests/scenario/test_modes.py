"""One process and a fleet leave the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from harness.checks import assert_whole

if TYPE_CHECKING:
    from harness.bucket import Stored
    from harness.fleet import Fleet


def test_one_process_and_a_fleet_leave_the_same_destination(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run, workers = fleet.run(), [fleet.worker(), fleet.worker()]
    run.start().ends()
    for worker in workers:
        worker.stop()
    assert_whole(run, reference)
    by_fleet = run.destination.snapshot()
    run.destination.clear()
    assert {} == run.destination.snapshot()

    run.inline(PIPELINE_CONTROL_BUCKET=fleet.bucket("control").name).ends()

    by_one = run.destination.snapshot()
    catalogs = [_without_the_time(objects.pop("catalog.json")) for objects in (by_fleet, by_one)]
    assert catalogs[0] == catalogs[1]
    assert by_fleet == by_one


def _without_the_time(catalog: Stored) -> object:
    """Return the catalog without when its run was planned: the two runs are two plans."""
    document = orjson.loads(catalog.body)
    for part in (part for parts in document["agencies"].values() for part in parts.values()):
        del part["planned_at"]
    return document, catalog.content_type, catalog.metadata
