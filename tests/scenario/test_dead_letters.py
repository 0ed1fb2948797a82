"""What lands in the dead-letter queue, exactly: messages that are none, and poison until it is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from harness.checks import (
    assert_conserved,
    assert_outputs,
    assert_published_once,
    error_of,
    flags,
    read_report,
)
from harness.fleet import Fleet
from harness.world import World, execute, history_rows

from pipeline_processing.model import item_id_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.bucket import Stored
    from harness.fleet import Stack

NAME: Final = "Mustermann 1970-01-01"
_ITEM: Final = {
    "v": 1,
    "run_id": "scenario",
    "item_id": item_id_of("s3_files", "10", {"name": NAME}),
    "processor": "s3_files",
    "agency_id": "10",
    "inputs": 1,
    "payload": {"name": NAME},
}


def _malformed() -> list[str]:
    """Return ten bodies, each wrong in a way of its own."""
    documents: list[object] = [
        [_ITEM],
        {name: value for name, value in _ITEM.items() if name != "v"},
        {**_ITEM, "v": 99},
        {**_ITEM, "run_id": "../../other"},
        {**_ITEM, "item_id": "z" * 32},
        {**_ITEM, "item_id": "0" * 32},
        {name: value for name, value in _ITEM.items() if name != "payload"},
        {**_ITEM, "inputs": -1},
        {**_ITEM, "agency_id": 10},
    ]
    return [f"not JSON, {NAME} \U0001f98a", *(orjson.dumps(document).decode() for document in documents)]


def test_messages_that_are_none_are_buried_beside_a_green_run(fleet: Fleet, reference: dict[str, Stored]) -> None:
    bodies = _malformed()
    fleet.send(*bodies[:5])
    run, worker = fleet.run(), fleet.worker()
    controller = run.start()
    fleet.send(*bodies[5:])

    controller.ends()

    fleet.await_empty_queue()
    worker.stop()
    assert [] == assert_conserved(run).of("pending")
    assert ["_SUCCESS"] == flags(run)
    assert_outputs(run, reference)
    letters = fleet.dead_letters()
    assert 10 == len(set(bodies))
    assert sorted(bodies) == [letter.body for letter in letters]
    for letter in letters:
        error = error_of(letter)
        assert ("malformed", "MalformedMessage", None) == (error["reason"], error["class"], error["item_id"])
        assert error["message"]
        assert NAME not in letter.attributes["error"]


def test_poison_is_buried_with_its_cause_and_done_once_it_is_mended(
    local_stack: Stack,
    world: World,
    new_database: Callable[[], str],
    tmp_path: Path,
    reference: dict[str, Stored],
) -> None:
    own = World(world.source_bucket, new_database())
    row = 20_007
    (good,) = (r for r in history_rows("20") if r[0] == str(row))
    execute(own.database_url, ("update employment_history set start_date = $1 where id = $2", [("unknown", row)]))
    with Fleet(local_stack, own, tmp_path) as fleet:
        run, worker = fleet.run(), fleet.worker()

        run.start().ends(3)

        found = assert_conserved(run)
        (poison,) = found.of("dead")
        assert ("employment_history", "20") == (found.items[poison]["processor"], found.items[poison]["agency_id"])
        assert [] == found.of("pending")
        assert ["_PARTIAL"] == flags(run)
        assert not read_report(run)["is_published"]
        assert_outputs(run, reference, without=["20"])
        _assert_dossier(found.dossiers[poison])
        (letter,) = fleet.dead_letters()
        assert poison == orjson.loads(letter.body)["item_id"]
        assert (poison, "scenario", "permanent") == tuple(error_of(letter)[n] for n in ("item_id", "run_id", "reason"))
        assert found.dossiers[poison]["failure"]["fingerprint"] == error_of(letter)["fingerprint"]
        assert "unknown" not in letter.attributes["error"] + orjson.dumps(found.dossiers[poison]).decode()
        listing = fleet.start("dlq", "list", "--json")
        listing.ends()
        assert error_of(letter)["fingerprint"] in listing.stdout

        execute(own.database_url, ("update employment_history set start_date = $1 where id = $2", [(good[12], row)]))
        fleet.start("dlq", "redrive", "--fingerprint", error_of(letter)["fingerprint"], "--yes").ends()
        run.gather().ends()

        fleet.await_empty_queue()
        worker.stop()
        assert [] == fleet.dead_letters()
        assert [] == run.keys("dead/")
        mended = assert_conserved(run)
        assert [] == mended.of("dead") + mended.of("pending")
        assert ["_SUCCESS"] == flags(run)
        assert [f"{run.root}failed/{poison}/1.json"] == run.keys("failed/")
        assert_outputs(run, reference)
        assert_published_once(run)


def _assert_dossier(dossier: dict[str, object]) -> None:
    """Assert that a dead item explains itself (law 12)."""
    assert ("scenario", "permanent", 1) == (dossier["run_id"], dossier["reason"], dossier["attempts"])
    failure = dossier["failure"]
    assert isinstance(failure, dict)
    assert "InvalidData" == failure["error_class"]
    assert not failure["transient"]
    for said in (failure["message"], failure["fingerprint"], failure["trace"]):
        assert said
    for name in ("worker", "code_version", "first_failed_at", "last_failed_at", "message_id", "body_size"):
        assert dossier[name]
