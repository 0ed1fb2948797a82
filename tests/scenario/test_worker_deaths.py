"""A worker is killed between each two steps of an item's life: a repeat, never a loss and never a double effect."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson
import pytest
from harness.checks import account, assert_conserved, assert_whole, flags
from harness.fleet import Fleet
from harness.programs import until
from harness.wire import COPY, MARKER, RECEIVE, Matching, after, before

if TYPE_CHECKING:
    from pathlib import Path

    from harness.bucket import Stored
    from harness.fleet import Stack
    from harness.wire import Point
    from harness.world import World

DELETE: Matching = {"operation": "DeleteMessageBatch"}
UPLOAD: Matching = {"method": "PUT", "path": r"/employment_history/"}

DEATHS = {
    "when it has received messages": after(RECEIVE),
    "before its first output": before(COPY),
    "after some outputs": after(COPY, skipping=3),
    "after an export and before its marker": after(UPLOAD),
    "before a marker": before(MARKER),
    "after a marker": after(MARKER),
    "after some markers": after(MARKER, skipping=4),
    "before it deletes messages": before(DELETE),
    "after it has deleted messages": after(DELETE),
}


@pytest.mark.parametrize("point", DEATHS.values(), ids=DEATHS)
def test_a_second_worker_finishes_what_a_killed_one_began(
    point: Point, fleet: Fleet, reference: dict[str, Stored]
) -> None:
    run = fleet.run()
    controller = run.start()
    until(lambda: fleet.depth()[0] > 0, "messages")
    fleet.doomed(point, fleet.worker, wire=fleet.worker_wire)

    second = fleet.worker()

    controller.ends()
    fleet.await_empty_queue()
    second.stop()
    assert_whole(run, reference)


def test_an_item_that_kills_its_worker_every_time_is_found_dead_by_reconcile(
    local_stack: Stack, world: World, tmp_path: Path
) -> None:
    settings = {"PIPELINE_MAX_ATTEMPTS": "1", "PIPELINE_LEASE": "2s", "PIPELINE_HEARTBEAT": "500ms"}
    with Fleet(local_stack, world, tmp_path, max_receive_count=3, **settings) as fleet:
        run = fleet.run()
        run.start("--no-wait").ends()
        killer = min(account(run).items)
        deadly: Matching = {"method": "PUT", "path": f"/done/{killer}$"}
        one_at_a_time = partial(fleet.worker, "--concurrency", "1", "--receivers", "1")
        for _ in range(3):
            fleet.doomed(before(deadly), one_at_a_time, wire=fleet.worker_wire)
        last = fleet.worker()
        until(lambda: fleet.depth() == (0, 0), "the queue to give the item up")
        last.stop()
        assert [killer] == account(run).of("pending")

        reconcile = fleet.start("controller", "reconcile")

        reconcile.ends()
        found = assert_conserved(run)
        assert [killer] == found.of("dead")
        assert ["_PARTIAL"] == flags(run)
        dossier = found.dossiers[killer]
        assert ("moved_by_queue", "WorkerLost") == (dossier["reason"], dossier["failure"]["error_class"])
        (letter,) = fleet.dead_letters()
        assert killer == orjson.loads(letter.body)["item_id"]
        assert "error" not in letter.attributes
