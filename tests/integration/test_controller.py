"""The controller against stores and queues in memory, with workers of the product beside it."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog

from etl_core.batch import BatchReport, EntryFailure
from etl_core.errors import ConfigError, Permanent, Transient
from etl_core.queue.memory import MemoryQueue
from faulty_store import FaultyStore, Killed
from pipeline_controller.bootstrap import run
from pipeline_controller.moved_letters import write_missing_dossiers
from pipeline_processing.messages import RESUMED, decode
from pipeline_processing.stages import open_control
from tiny_fleet import fleet
from tiny_job import TinyJob
from tiny_world import LAYOUT, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from etl_core.objects.memory import MemoryStore
    from etl_core.queue import Delivery, Message

ALL = list(range(10))


@pytest.fixture(autouse=True)
def _logs_beside_stdout() -> Iterator[None]:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    yield
    structlog.reset_defaults()


@pytest.fixture
def world() -> World:
    return World()


async def control(
    world: World,
    job: TinyJob,
    *argv: str,
    store: MemoryStore | None = None,
    queue: MemoryQueue | None = None,
    **settings: object,
) -> int:
    services = world.services(store, queue, **settings)

    def load(name: str) -> TinyJob:
        assert "tiny" == name
        return job

    return await run(argv, services, load_job=load)


async def start(world: World, job: TinyJob, *argv: str, **parts: Any) -> int:  # noqa: ANN401 - passed on
    return await control(world, job, "run", "tiny", "--run-id", "r1", *argv, **parts)


async def queued(world: World) -> list[Delivery]:
    """Take every message out of the queue."""
    found: list[Delivery] = []
    while deliveries := await world.queue.receive(limit=10, wait=timedelta(0), lease=timedelta(minutes=5)):
        await world.queue.delete([delivery.receipt for delivery in deliveries])
        found.extend(deliveries)
    return found


def numbers(deliveries: Sequence[Delivery]) -> list[int]:
    return sorted(decode(delivery.body).item().payload["number"] for delivery in deliveries)


async def test_a_fleet_run_ends_green_and_equals_the_one_within_a_process(world: World) -> None:
    job = TinyJob()
    async with fleet(world, job):
        assert 0 == await start(world, job)
    assert ["_SUCCESS"] == await world.flags()
    assert [ALL] == await world.published()
    alone = World()
    await control(alone, TinyJob(), "run", "tiny", "--run-id", "r1", "--mode", "inline")
    assert await world.content("destination") == await alone.content("destination")


async def test_messages_carry_trace_processor_and_their_agency_as_group(world: World) -> None:
    await start(world, TinyJob(), "--no-wait")
    deliveries = await queued(world)
    assert ALL == numbers(deliveries)
    assert {"a0", "a1", "a2"} == {delivery.group for delivery in deliveries}
    assert {frozenset({"processor", "traceparent"})} == {frozenset(delivery.attributes) for delivery in deliveries}
    assert 1 == len({delivery.attributes["traceparent"][3:35] for delivery in deliveries})


async def test_every_step_alone_leads_to_the_same_end(world: World) -> None:
    job = TinyJob()
    assert 0 == await control(world, job, "plan", "tiny", "--run-id", "r1")
    assert (await world.queue.depth()).is_empty()
    assert 3 == await control(world, job, "status", "--run-id", "r1")
    assert 0 == await control(world, job, "scatter", "--run-id", "r1")
    async with fleet(world, job):
        assert 0 == await control(world, job, "gather", "--run-id", "r1")
    assert 0 == await control(world, job, "status", "tiny", "--run-id", "r1")
    assert [ALL] == await world.published()


async def test_a_dry_run_writes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == await start(world, TinyJob(), "--dry-run", "--json", "--", "--items", "25")
    said = orjson.loads(capsys.readouterr().out)
    assert (25, 50, 3) == (said["items"], said["inputs"], said["send_calls"])
    assert [] == await world.keys("control")
    assert (await world.queue.depth()).is_empty()


async def test_poison_ends_in_exit_3_with_its_letter_and_a_redrive_turns_it_green(world: World) -> None:
    job = TinyJob(poison=[4])
    async with fleet(world, job):
        assert 3 == await start(world, job)
    assert ["_PARTIAL"] == await world.flags()
    assert [] == await world.published()
    (letter,) = await world.dead_letters.receive(limit=10, wait=timedelta(0), lease=timedelta(minutes=1))
    job.poison.clear()
    # what `dlq redrive` does: send, remove the dossier, delete the letter
    await world.send_back(letter)
    async with fleet(world, job):
        assert 0 == await control(world, job, "gather", "--run-id", "r1")
    assert ["_SUCCESS"] == await world.flags()
    assert [ALL] == await world.published()


async def test_a_timeout_ends_the_run_as_it_is_and_a_later_gather_completes_it(world: World) -> None:
    job = TinyJob()
    assert 3 == await start(world, job, "--timeout", "30s")
    assert ["_PARTIAL"] == await world.flags()
    async with fleet(world, job):
        assert 0 == await control(world, job, "gather", "--run-id", "r1")
    assert ["_SUCCESS"] == await world.flags()


async def test_messages_that_got_lost_are_sent_again(world: World) -> None:
    job = TinyJob()
    await start(world, job, "--no-wait")
    lost = (await queued(world))[:4]
    assert 4 == len(lost)
    async with fleet(world, job):
        assert 0 == await control(world, job, "gather", "--run-id", "r1")
    assert [ALL] == await world.published()


async def test_cancel_drops_what_is_queued_without_work(world: World) -> None:
    job = TinyJob()
    await start(world, job, "--no-wait")
    assert 0 == await control(world, job, "cancel", "--run-id", "r1")
    async with fleet(world, job):
        await world.until_empty()
    assert [] == job.processed
    assert 3 == await control(world, job, "gather", "--run-id", "r1")
    assert [] == await world.flags()
    with pytest.raises(ConfigError, match="was cancelled"):
        await start(world, job)


async def test_a_published_run_can_not_be_cancelled(world: World) -> None:
    job = TinyJob()
    async with fleet(world, job):
        await start(world, job)
    with pytest.raises(ConfigError, match="can not be cancelled"):
        await control(world, job, "cancel", "--run-id", "r1")


async def test_a_manifest_altered_after_the_plan_stops_the_run(world: World) -> None:
    job = TinyJob()
    await control(world, job, "plan", "tiny", "--run-id", "r1")
    store = world.buckets.store("control")
    head = (await store.get(LAYOUT.manifest)).body
    await store.put(LAYOUT.manifest, head.replace(b'"items":10', b'"items":11'))
    with pytest.raises(ConfigError, match="altered after the plan"):
        await control(world, job, "scatter", "--run-id", "r1")
    assert (await world.queue.depth()).is_empty()


async def test_a_resumed_scatter_says_so_and_skips_what_is_over(world: World) -> None:
    job = TinyJob()
    store = FaultyStore(world.buckets, "control", before=kill_on_state("scattered"))
    with pytest.raises(Killed):
        await start(world, job, store=store)
    first = await queued(world)
    assert all(RESUMED not in delivery.attributes for delivery in first)
    assert 0 == await start(world, job, "--no-wait")
    again = await queued(world)
    assert ALL == numbers(first) == numbers(again)
    assert all(RESUMED in delivery.attributes for delivery in again)


def kill_on_state(state: str) -> Callable[[int, str], None]:
    """Die at the write that would move the run to ``state``; states come in a known order of run.json's writes."""
    order = ["planning", "planned", "planned again", "scattered", "gathering", "published"]
    seen = 0

    def check(_number: int, key: str) -> None:
        nonlocal seen
        if key == LAYOUT.run:
            if order[seen] == state:
                raise Killed
            seen += 1

    return check


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_controller_killed_at_any_write_is_resumed(moment: str) -> None:
    writes = 0
    was_killed = True
    while was_killed:
        writes += 1
        world, job = World(), TinyJob()
        store = FaultyStore(world.buckets, "control", **{moment: kill_at(writes)})  # type: ignore[arg-type] # one of two
        async with fleet(world, job):
            try:
                await start(world, job, store=store)
                was_killed = False
            except Killed:
                assert 0 == await start(world, job)
        assert ["_SUCCESS"] == await world.flags()
        assert [ALL] == await world.published()
        assert 1 == len(job.commits)
        assert (await world.document(LAYOUT.run))["revision"] == (await world.document(LAYOUT.report("json")))[
            "revision"
        ]
    assert writes > 8


def kill_at(write: int) -> Callable[[int, str], None]:
    def check(number: int, _key: str) -> None:
        if number == write:
            raise Killed

    return check


@pytest.mark.parametrize("offset", range(12))
async def test_two_controllers_on_one_run_publish_once(offset: int) -> None:
    world, job = World(), TinyJob()
    turns = iter(range(offset, 10_000))
    slow = FaultyStore(world.buckets, "control", turns=lambda: next(turns) % 7)
    async with fleet(world, job):
        assert [0, 0] == list(await asyncio.gather(start(world, job), start(world, job, store=slow)))
    assert 1 == len(job.commits)
    assert [ALL] == await world.published()
    assert ["_SUCCESS"] == await world.flags()
    assert (await world.document(LAYOUT.run))["revision"] == (await world.document(LAYOUT.report("json")))["revision"]


async def test_a_late_gather_does_not_overwrite_a_newer_end(world: World) -> None:
    """One gather saw a dead item and stops before its flag; the item is redriven, another gather ends the run."""
    job = TinyJob(poison=[4])
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Stops(FaultyStore):
        async def put(self, key: str, body: bytes, **options: Any) -> Any:  # noqa: ANN401 - passed on
            if key == LAYOUT.partial and not reached.is_set():
                reached.set()
                await go_on.wait()
            return await super().put(key, body, **options)

    async with fleet(world, job):
        late = asyncio.create_task(start(world, job, store=Stops(world.buckets, "control")))
        await reached.wait()
        job.poison.clear()
        (letter,) = await world.dead_letters.receive(limit=10, wait=timedelta(0), lease=timedelta(minutes=1))
        await world.send_back(letter)
        assert 0 == await control(world, job, "gather", "--run-id", "r1")
        go_on.set()
        assert 0 == await late
    assert ["_SUCCESS"] == await world.flags()
    assert [ALL] == await world.published()


class RefusingQueue(MemoryQueue):
    """Refuses some entries of each call, as SQS may."""

    def __init__(self, world: World, *, transient: bool = True) -> None:
        super().__init__("live", world.clock, dead_letter_queue=world.dead_letters)
        self._target, self._transient, self._calls = world.queue, transient, 0

    async def send(self, messages: Sequence[Message]) -> BatchReport:
        self._calls += 1
        if self._calls == 1:
            raise Transient("no connection")
        refused = range(0, len(messages), 3) if self._calls < 4 else range(0)
        taken = [index for index in range(len(messages)) if index not in refused]
        await self._target.send([messages[index] for index in taken])
        failures = tuple(EntryFailure(i, "InternalError", "try again", self._transient) for i in refused)
        return BatchReport(tuple(taken), failures)


async def test_entries_that_the_queue_refuses_for_now_are_sent_again(world: World) -> None:
    assert 0 == await start(world, TinyJob(), "--no-wait", queue=RefusingQueue(world))
    assert ALL == numbers(await queued(world))


async def test_an_entry_that_the_queue_refuses_for_ever_is_an_error(world: World) -> None:
    with pytest.raises(Permanent, match="refuses 4 messages"):
        await start(world, TinyJob(), "--no-wait", queue=RefusingQueue(world, transient=False))
    assert "planned" == (await world.document(LAYOUT.run))["state"]


async def kill_workers(world: World) -> None:
    """Let the queue move its messages by itself: receive them, and never come back."""
    while (await world.queue.depth()).visible or (await world.queue.depth()).in_flight:
        await world.queue.receive(limit=10, wait=timedelta(0), lease=timedelta(seconds=1))
        await world.clock.sleep(timedelta(seconds=2))


async def test_what_the_queue_moved_itself_gets_a_dossier_once(world: World) -> None:
    await start(world, TinyJob(), "--no-wait")
    await kill_workers(world)
    records = open_control(world.services())
    assert {"r1": 10} == await write_missing_dossiers(world.dead_letters, records)
    assert {} == await write_missing_dossiers(world.dead_letters, records)
    assert 10 == (await world.dead_letters.depth()).visible
    assert 3 == await control(world, TinyJob(), "gather", "--run-id", "r1")
    (group,) = (await world.document(LAYOUT.report("json")))["failures"]
    assert ("moved", "moved_by_queue", 10) == (group["fingerprint"], group["reason"], group["items"])


async def reconcile(world: World, job: TinyJob, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    capsys.readouterr()
    await control(world, job, "reconcile", "--json")
    return [(action["run_id"], action["what"]) for action in orjson.loads(capsys.readouterr().out)]


async def test_reconcile_gathers_what_is_complete(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    job = TinyJob()
    await start(world, job, "--no-wait")
    async with fleet(world, job):
        await world.until_empty()
    assert [("r1", "gathered")] == await reconcile(world, job, capsys)
    assert ["_SUCCESS"] == await world.flags()
    assert [] == await reconcile(world, job, capsys)


async def test_reconcile_raises_the_flag_that_a_killed_gather_did_not(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    job = TinyJob()
    async with fleet(world, job):
        await start(world, job)
    store = world.buckets.store("control")
    await store.delete([LAYOUT.success])
    await store.put(LAYOUT.partial, b"{}")
    assert [("r1", "repaired")] == await reconcile(world, job, capsys)
    assert ["_SUCCESS"] == await world.flags()
    assert [] == await reconcile(world, job, capsys)


async def test_reconcile_sends_nothing_of_a_run_that_was_planned_alone(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    job = TinyJob()
    assert 0 == await control(world, job, "plan", "tiny", "--run-id", "r1")
    await world.clock.sleep(timedelta(days=1))
    assert [("r1", "left_alone")] == await reconcile(world, job, capsys)
    assert (await world.queue.depth()).is_empty()


async def test_a_plan_alone_is_not_to_be_worked_within_this_process(world: World) -> None:
    with pytest.raises(ConfigError, match="planned alone"):
        await control(world, TinyJob(), "plan", "tiny", "--run-id", "r1", "--mode", "inline")
    assert [] == await world.keys("control")


async def test_a_gather_after_a_redrive_of_a_tolerated_run_waits_for_the_late_items(world: World) -> None:
    job = TinyJob(poison=[4])
    async with fleet(world, job):
        assert 0 == await start(world, job, "--tolerate-failures", "10%")
    (letter,) = await world.dead_letters.receive(limit=10, wait=timedelta(0), lease=timedelta(minutes=5))
    await world.send_back(letter)
    assert 3 == await control(world, job, "gather", "--run-id", "r1", "--timeout", "30s")
    assert 3 == await control(world, job, "status", "--run-id", "r1")
    job.poison.clear()
    async with fleet(world, job):
        assert 0 == await control(world, job, "gather", "--run-id", "r1", "--timeout", "30m")
    assert 0 == await control(world, job, "status", "--run-id", "r1")
    assert list(range(10)) in await world.published()


async def test_reconcile_sends_again_what_is_nowhere(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    job = TinyJob()
    await start(world, job, "--no-wait")
    await queued(world)
    assert [("r1", "waiting")] == await reconcile(world, job, capsys)
    await world.clock.sleep(timedelta(minutes=11))
    assert [("r1", "sent_again")] == await reconcile(world, job, capsys)
    assert ALL == numbers(await queued(world))


async def test_reconcile_leaves_alone_what_is_queued(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    job = TinyJob()
    await start(world, job, "--no-wait")
    await world.clock.sleep(timedelta(minutes=11))
    assert [("r1", "waiting")] == await reconcile(world, job, capsys)
    assert 10 == (await world.queue.depth()).visible


@pytest.mark.parametrize("write", range(1, 6))
async def test_reconcile_goes_on_where_a_controller_died(
    world: World, capsys: pytest.CaptureFixture[str], write: int
) -> None:
    job = TinyJob()
    with pytest.raises(Killed):
        await start(world, job, store=FaultyStore(world.buckets, "control", before=kill_at(write)))
    await world.clock.sleep(timedelta(minutes=11))
    found = await reconcile(world, job, capsys)
    if write == 1:
        assert [] == found
        return
    assert [("r1", "resumed")] == found
    async with fleet(world, job):
        await world.until_empty()
    assert [("r1", "gathered")] == await reconcile(world, job, capsys)
    assert [ALL] == await world.published()


async def test_reconcile_does_not_let_one_broken_run_hide_the_others(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    job = TinyJob()
    await control(world, job, "run", "tiny", "--run-id", "broken", "--no-wait")
    await start(world, job, "--no-wait")
    async with fleet(world, job):
        await world.until_empty()
    await world.buckets.store("control").put("pipeline/runs/broken/manifest.json", b"{}")
    assert [("broken", "failed"), ("r1", "gathered")] == await reconcile(world, job, capsys)


async def test_an_unknown_run_another_job_and_another_lane_are_clear_errors(world: World) -> None:
    job = TinyJob()
    with pytest.raises(ConfigError, match="there is no run nowhere"):
        await control(world, job, "status", "--run-id", "nowhere")
    await start(world, job, "--no-wait")
    with pytest.raises(ConfigError, match="belongs to job tiny, not to other"):
        await control(world, job, "gather", "other", "--run-id", "r1")
    with pytest.raises(ConfigError, match="can not be a run's id"):
        await control(world, job, "status", "--run-id", "../r1")
    with pytest.raises(ConfigError, match="PIPELINE_BACKFILL_QUEUE"):
        await control(world, job, "run", "tiny", "--run-id", "r2", "--lane", "backfill")
    assert ["r1"] == [run_id async for run_id in open_control(world.services()).runs.list()]


async def test_status_lists_runs_and_balances_each_agency(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    job = TinyJob(poison=[4])
    async with fleet(world, job):
        await start(world, job)
    capsys.readouterr()
    assert 3 == await control(world, job, "status", "--run-id", "r1", "--json")
    status = orjson.loads(capsys.readouterr().out)
    assert ("partial", "live", {"items": 1, "inputs": 2}) == (status["state"], status["lane"], status["total"]["dead"])
    assert [4, 3, 3] == [agency["planned"]["items"] for agency in status["agencies"]]
    assert 0 == await control(world, job, "status", "--all", "--json")
    (row,) = orjson.loads(capsys.readouterr().out)
    assert ("r1", "tiny", 10, 9, 1) == (row["run_id"], row["job"], row["planned"], row["done"], row["dead"])
    assert 3 == await control(world, job, "status", "--run-id", "r1")
    shown = capsys.readouterr().out
    assert re.search(r"agency +planned +done +skipped +dead +pending", shown)
    assert re.search(r"a1 +3 +2 +0 +1 +0", shown)


async def test_status_lists_what_is_not_over_and_with_all_the_rest(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    job = TinyJob(poison=[4])
    async with fleet(world, job):
        await start(world, job)
    await control(world, job, "plan", "tiny", "--run-id", "r2")
    capsys.readouterr()
    assert 0 == await control(world, job, "status")
    shown = capsys.readouterr().out
    assert re.search(r"run +job +state +lane +planned +done or skipped +dead +pending\n", shown)
    assert re.search(r"r2 +tiny +planned +live +10 +0 +0 +10\n", shown)
    assert "r1" not in shown
    assert 0 == await control(world, job, "cancel", "--run-id", "r2")
    capsys.readouterr()
    assert 0 == await control(world, job, "status")
    assert "none is open" in capsys.readouterr().out
    assert 0 == await control(world, job, "status", "--all")
    shown = capsys.readouterr().out
    assert re.search(r"r1 +tiny +partial +live +10 +9 +0 +1 +0\n", shown)
    assert re.search(r"r2 +tiny +cancelled +live +10 +- +- +- +-\n", shown)


async def test_what_keys_can_not_tell_is_not_told_of_an_open_run_nor_of_late_items(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    job = TinyJob(poison=[4])
    async with fleet(world, job):
        await start(world, job)
        job.poison.clear()
        (letter,) = await world.dead_letters.receive(limit=10, wait=timedelta(0), lease=timedelta(minutes=1))
        await world.send_back(letter)
        await world.until_empty()
    capsys.readouterr()
    assert 3 == await control(world, job, "status", "--run-id", "r1")
    shown = capsys.readouterr().out
    assert re.search(r"agency +planned +done or skipped +dead +pending", shown)
    assert re.search(r"All +10 +10 +0 +0", shown)
    assert 3 == await control(world, job, "status", "--run-id", "r1", "--json")
    status = orjson.loads(capsys.readouterr().out)
    assert (True, None) == (status["done_includes_skipped"], status["total"]["skipped"])


ALTERATIONS = {
    "head": (b'"items":10', b'"items":11', "manifest.json: the manifest was altered after the plan"),
    "part": (b"", b"!", "its SHA-256 is not the planned one"),
    "gone": (b"", b"", "it is gone"),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
async def test_an_altered_manifest_is_said_in_plain_words(
    world: World, capsys: pytest.CaptureFixture[str], alteration: str
) -> None:
    job = TinyJob()
    await control(world, job, "plan", "tiny", "--run-id", "r1")
    await control(world, job, "plan", "tiny", "--run-id", "r2")
    store = world.buckets.store("control")
    there, instead, fault = ALTERATIONS[alteration]
    (part,) = await world.keys("control", f"{LAYOUT.root}manifest/")
    key = LAYOUT.manifest if alteration == "head" else part
    body = (await store.get(key)).body
    await store.put(key, body.replace(there, instead) if there else body + instead)
    if alteration == "gone":
        await store.delete([key])
    capsys.readouterr()

    assert 3 == await control(world, job, "reconcile")
    shown = capsys.readouterr().out
    assert re.search(rf"r1 +failed: s3://control/{re.escape(key)}: .*", shown)
    assert fault in shown
    assert re.search(r"r2 +left alone", shown)

    assert 2 == await control(world, job, "status", "--run-id", "r1")
    shown = capsys.readouterr().out
    assert re.search(r"state +planned", shown)
    assert re.search(rf"fault +s3://control/{re.escape(key)}: ", shown)

    assert 2 == await control(world, job, "status")
    shown = capsys.readouterr().out
    assert re.search(r"r1 +tiny +planned +live +10 +- +- +-\n", shown)
    assert re.search(r"fault of r1 +s3://control/", shown)


@pytest.mark.parametrize(("poison", "code"), [([], 0), ([4], 3)])
async def test_the_report_of_a_run_is_shown_by_a_command_that_its_end_names(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path, poison: list[int], code: int
) -> None:
    job = TinyJob(poison=poison)
    async with fleet(world, job):
        await start(world, job)
    told = capsys.readouterr().out.splitlines()
    assert "  report: pipeline-processing controller report --run-id r1 (page: s3://control/" in told[-1]
    assert code == await control(world, job, "report", "--run-id", "r1")
    assert told[:-1] == capsys.readouterr().out.splitlines()
    assert code == await control(world, job, "report", "--run-id", "r1", "--json")
    assert await world.document(LAYOUT.report("json")) == orjson.loads(capsys.readouterr().out)
    page = tmp_path / "report.html"
    assert code == await control(world, job, "report", "--run-id", "r1", "--html", str(page))
    stored = await world.buckets.store("control").get(LAYOUT.report("html"))
    assert stored.body == page.read_bytes()


async def test_without_a_report_the_way_to_one_is_said(world: World, tmp_path: Path) -> None:
    job = TinyJob()
    await start(world, job, "--no-wait")
    with pytest.raises(ConfigError, match=r"has no report: it is scattered .*controller gather --run-id r1"):
        await control(world, job, "report", "--run-id", "r1")
    async with fleet(world, job):
        await control(world, job, "gather", "--run-id", "r1")
    with pytest.raises(ConfigError, match="the page can not be written"):
        await control(world, job, "report", "--run-id", "r1", "--html", str(tmp_path / "nowhere" / "report.html"))


async def test_a_record_that_can_not_be_read_hides_no_other_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    job = TinyJob()
    await control(world, job, "plan", "tiny", "--run-id", "r1")
    await control(world, job, "plan", "tiny", "--run-id", "r2")
    await world.buckets.store("control").put(LAYOUT.run, b"{}")
    capsys.readouterr()
    assert 2 == await control(world, job, "status")
    shown = capsys.readouterr().out
    assert re.search(r"r1 +- +unreadable", shown)
    assert f"s3://control/{LAYOUT.run}: not a run's record" in shown
    assert re.search(r"r2 +tiny +planned", shown)


@pytest.mark.parametrize("poison", [[4], []])
async def test_the_report_names_failed_inputs_of_a_run_that_is_not_published(
    world: World, poison: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """TinyJob's publish names none, so that where it is published the report can only say where to look."""
    job = TinyJob(poison=poison, lacking=[5])
    async with fleet(world, job):
        assert 3 == await start(world, job)
    report = await world.document(LAYOUT.report("json"))
    assert (["number-5"] if poison else []) == [problem["name"] for problem in report["problems"]]
    assert (0 if poison else 1) == report["problems_not_shown"]
    assert ("number-5" if poison else "see the markers in done/") in capsys.readouterr().out


async def test_an_empty_plan_sends_nothing_and_is_green(world: World) -> None:
    assert 0 == await start(world, TinyJob(), "--", "--items", "0")
    assert ["_SUCCESS"] == await world.flags()


async def test_tolerance_given_at_the_start_holds_for_whoever_ends_the_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    job = TinyJob(poison=[4])
    await start(world, job, "--no-wait", "--tolerate-failures", "10%")
    async with fleet(world, job):
        await world.until_empty()
    assert [("r1", "gathered")] == await reconcile(world, job, capsys)
    assert ["_SUCCESS"] == await world.flags()


async def test_pack_limits_are_passed_on_to_the_job(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        await start(world, TinyJob(), "--pack-max-items", "7")
    assert "unrecognized option --pack-max-items" in capsys.readouterr().err


async def test_everything_that_is_not_set_is_said_at_once(world: World) -> None:
    with pytest.raises(ConfigError, match=r"(?s)PIPELINE_CONTROL_BUCKET.*PIPELINE_LIVE_QUEUE"):
        await start(world, TinyJob(), control_bucket=None, live_queue=None)
