"""Conditional writes whose replies lie: one's own 412, a 409, no reply at all. Each is asked back, none is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from harness.checks import assert_conserved, assert_outputs, assert_whole, flags
from harness.wire import CATALOG, MARKER, Matching, Twice, acting

from etl_core.testing.faults import Answer, LoseReply

if TYPE_CHECKING:
    from harness.bucket import Stored
    from harness.fleet import Fleet
    from harness.wire import Act

    from etl_core.testing.faults import Fault

FAULTS: Final[dict[str, Fault | Act]] = {
    "a 412 that is one's own": Twice(),
    "a 409": Answer(409, "ConditionalRequestConflict"),
    "a reply that is lost": LoseReply(),
}
CONDITIONAL: Final[dict[str, Matching]] = {
    "run.json, created": {"method": "PUT", "path": r"/run\.json$", "headers": {"if-none-match": r"\*"}},
    "run.json, changed": {"method": "PUT", "path": r"/run\.json$", "headers": {"if-match": "."}},
    "manifest.json": {"method": "PUT", "path": r"/manifest\.json$", "headers": {"if-none-match": r"\*"}},
    "catalog.json": {**CATALOG, "headers": {"if-none-match": r"\*"}},
    "report.json": {"method": "PUT", "path": r"/report\.json$", "headers": {"if-none-match": r"\*"}},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_conditional_write_survives(fault: Fault | Act, fleet: Fleet, reference: dict[str, Stored]) -> None:
    rules = {name: fleet.controller_wire.add(acting(fault, where)) for name, where in CONDITIONAL.items()}
    markers = fleet.worker_wire.add(acting(fault, {**MARKER, "headers": {"if-none-match": r"\*"}}, times=5))
    run, worker = fleet.run(), fleet.worker()

    run.start().ends()

    assert dict.fromkeys(CONDITIONAL, 1) == {name: rule.hits for name, rule in rules.items()}
    assert 5 == markers.hits
    fleet.await_empty_queue()
    worker.stop()
    assert_whole(run, reference)


def test_an_update_of_the_catalog_survives_a_lost_reply(fleet: Fleet, reference: dict[str, Stored]) -> None:
    first = fleet.run("first")
    worker = fleet.worker()
    first.start().ends()
    second = first.beside("second")
    lost = fleet.controller_wire.add(acting(LoseReply(), {**CATALOG, "headers": {"if-match": "."}}))

    second.start().ends()

    assert 1 == lost.hits
    fleet.await_empty_queue()
    worker.stop()
    assert {"catalog.json": 2} == dict(first.destination.versions("catalog.json"))
    for run in (first, second):
        found = assert_conserved(run)
        assert [] == found.of("pending") + found.of("dead")
        assert ["_SUCCESS"] == flags(run)
    assert_outputs(second, reference)
    assert [] == fleet.dead_letters()
