"""Worker and controller are killed around every write of a silver run: no row is lost, and none is published twice."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from harness.checks import flags
from harness.programs import until
from harness.silver import SilverRun, bronze
from harness.wire import MARKER, Matching, after, before

if TYPE_CHECKING:
    from pathlib import Path

    from harness.fleet import Fleet
    from harness.wire import Point

DATA: Matching = {"method": "PUT", "path": r"/silver/people/.*\.parquet"}
QUARANTINED: Matching = {"method": "PUT", "path": r"/people__quarantine/part-"}
PROFILE: Matching = {"method": "PUT", "path": r"/_profiles/people/"}
LOG: Matching = {"method": "PUT", "path": r"/silver/people/_delta_log/"}
QUARANTINE_LOG: Matching = {"method": "PUT", "path": r"/people__quarantine/_delta_log/"}
FILES_LOG: Matching = {"method": "PUT", "path": r"/people__files/_delta_log/"}
PROFILES_LOG: Matching = {"method": "PUT", "path": r"/people__profiles/_delta_log/"}
REPORT: Matching = {"method": "PUT", "path": r"/report\.json$"}
CONTRACT: Matching = {"method": "PUT", "path": r"/_contracts/"}

WORKER_DEATHS = {
    "before a file's rows": before(DATA),
    "after a file's rows": after(DATA),
    "after its quarantine": after(QUARANTINED),
    "after its profile": after(PROFILE, skipping=1),
    "before its marker": before(MARKER),
    "after its marker": after(MARKER),
}
CONTROLLER_DEATHS = {
    "after the contract is frozen": after(CONTRACT),
    "before the quarantine's commit": before(QUARANTINE_LOG),
    "after the quarantine's commit": after(QUARANTINE_LOG),
    "after the files' commit": after(FILES_LOG),
    "before the silver table's commit": before(LOG),
    "after the silver table's commit": after(LOG),
    "after the profiles' commit": after(PROFILES_LOG),
    "before the report": before(REPORT),
}
_numbers = count(1)


@pytest.mark.parametrize("point", WORKER_DEATHS.values(), ids=WORKER_DEATHS)
def test_a_second_worker_finishes_and_no_row_is_lost_or_doubled(point: Point, fleet: Fleet, tmp_path: Path) -> None:
    run = SilverRun.make(fleet, tmp_path)
    controller = run.start()
    until(lambda: fleet.depth()[0] > 0, "messages")
    fleet.doomed(point, fleet.worker, wire=fleet.worker_wire)

    second = fleet.worker()

    controller.ends()
    second.stop()
    run.assert_published(bronze())
    assert ["_SUCCESS"] == flags(run)


def test_the_same_command_publishes_once_wherever_its_controller_died(fleet: Fleet, tmp_path: Path) -> None:
    worker = fleet.worker()
    for point in CONTROLLER_DEATHS.values():
        run = SilverRun.make(fleet, tmp_path, f"silver-{next(_numbers)}")
        fleet.doomed(point, run.start, wire=fleet.controller_wire)
        run.start().ends()
        run.assert_published(bronze())
        assert ["_SUCCESS"] == flags(run)
    worker.stop()


def test_two_gathers_at_once_publish_once(fleet: Fleet, tmp_path: Path) -> None:
    run = SilverRun.make(fleet, tmp_path)
    worker = fleet.worker()
    fleet.doomed(before(LOG), run.start, wire=fleet.controller_wire)
    gathers = [run.gather() for _ in range(2)]
    for gather in gathers:
        gather.ends()
    worker.stop()
    run.assert_published(bronze())


def test_a_later_run_replaces_exactly_the_files_that_changed(fleet: Fleet, tmp_path: Path) -> None:
    run = SilverRun.make(fleet, tmp_path)
    worker = fleet.worker()
    run.start().ends()
    changed = {key: body for key, body in bronze(version=1).items() if key.startswith("10/")}
    run.put(changed)
    later = run.another("silver-later")

    fleet.doomed(after(LOG), later.start, wire=fleet.controller_wire)
    later.start().ends()

    worker.stop()
    run.assert_published(bronze() | changed)
