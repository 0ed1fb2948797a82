"""The controller is killed at every step of a run; the same command again brings it to the same end, published once."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from harness.checks import assert_whole
from harness.wire import CATALOG, Matching, after, before

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.bucket import Stored
    from harness.fleet import Fleet
    from harness.wire import Point

PART: Matching = {"method": "PUT", "path": r"/manifest/\d+"}
MANIFEST: Matching = {"method": "PUT", "path": r"/manifest\.json$"}
NEW_RUN: Matching = {"method": "PUT", "path": r"/run\.json$", "headers": {"if-none-match": ""}}
RUN: Matching = {"method": "PUT", "path": r"/run\.json$", "headers": {"if-match": ""}}
SEND: Matching = {"operation": "SendMessageBatch"}
LOOK: Matching = {"method": "GET", "query": r"prefix=[^&]*done"}
READ: Matching = {"method": "GET", "path": r"/done/[0-9a-f]{32}$"}
AGENCY_MANIFEST: Matching = {"method": "PUT", "path": r"/manifest/[0-9a-f]{32}\."}
REPORT: Matching = {"method": "PUT", "path": r"/report\.json$"}
PAGE: Matching = {"method": "PUT", "path": r"/report\.html$"}
FLAG: Matching = {"method": "PUT", "path": r"/_SUCCESS$"}

DEATHS = {
    "plan, before the run's record": before(NEW_RUN),
    "plan, after the run's record": after(NEW_RUN),
    "plan, before a part": before(PART),
    "plan, after a part": after(PART),
    "plan, before the manifest's head": before(MANIFEST),
    "plan, after the manifest's head": after(MANIFEST),
    "plan, before the run is planned": before(RUN),
    "scatter, before its first messages": before(SEND),
    "scatter, before its second messages": before(SEND, skipping=1),
    "scatter, after its second messages": after(SEND, skipping=1),
    "waiting": after(LOOK, skipping=3),
    "gather, reading results": after(READ, skipping=5),
    "publish, after an agency's manifest": after(AGENCY_MANIFEST),
    "publish, before the catalog": before(CATALOG),
    "publish, after the catalog": after(CATALOG),
    "publish, before the report": before(REPORT),
    "publish, after the report": after(REPORT),
    "publish, after the report's page": after(PAGE),
    "publish, before the flag": before(FLAG),
    "publish, after the flag": after(FLAG),
}
_numbers = count(1)


@pytest.fixture(scope="module")
def working_fleet(shared_fleet: Fleet) -> Iterator[Fleet]:
    """A fleet whose worker outlives its controllers."""
    worker = shared_fleet.worker()
    yield shared_fleet
    worker.stop()


@pytest.mark.parametrize("point", DEATHS.values(), ids=DEATHS)
def test_the_same_command_brings_a_run_to_its_end(
    point: Point, working_fleet: Fleet, reference: dict[str, Stored]
) -> None:
    run = working_fleet.run(f"run-{next(_numbers)}")
    working_fleet.doomed(point, run.start, wire=working_fleet.controller_wire)

    again = run.start()

    again.ends()
    working_fleet.await_empty_queue()
    assert_whole(run, reference)
