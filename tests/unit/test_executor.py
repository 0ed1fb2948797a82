from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from etl_core.errors import AccessDenied, Conflict, NotFound, Permanent, ReplyLost, Transient, Unreachable
from etl_core.queue import Message
from faulty_store import Killed
from one_queue import LAYOUT, OneQueue, item, result_of
from pipeline_processing.messages import encode
from pipeline_processing.model import Item, ItemResult
from pipeline_processing.settlement import (
    Ack,
    AlreadyDone,
    Bury,
    Cancelled,
    Failed,
    Interrupted,
    LostLease,
    Malformed,
    Release,
    Retry,
    Succeeded,
    Unrecorded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = item(1)
DONE = f"done/{ONE.item_id}"


@pytest.fixture
def world() -> OneQueue:
    return OneQueue()


def at_key(part: str, error: BaseException, *, times: int = 1) -> Callable[[int, str], None]:
    """Raise ``error`` at the first ``times`` writes whose key contains ``part``."""
    left = [times]

    def fault(_number: int, key: str) -> None:
        if part in key and left[0]:
            left[0] -= 1
            raise error

    return fault


async def test_an_item_is_marked_done_and_its_message_deleted(world: OneQueue) -> None:
    await world.send(ONE, traceparent="00-trace")
    context, outcome, settlement = await world.live()
    assert (Succeeded(result_of(ONE)), Ack()) == (outcome, settlement)
    marker = await world.markers.read(ONE.item_id)
    assert ("nonce-1", 1, "w1", result_of(ONE)) == (marker.nonce, marker.attempt, marker.worker, marker.result)
    assert context.attempt is not None
    assert "00-trace" == context.attempt.traceparent
    assert [DONE] == await world.keys()
    assert (await world.queue.depth()).is_empty()


async def test_a_first_delivery_costs_one_write_and_no_lookup(world: OneQueue) -> None:
    reads: list[int] = []
    records = world.faulty(turns=lambda: reads.append(1) or 0)
    await world.send(ONE)
    await world.live(world.executor(records=records))
    assert 1 == len(reads)  # the marker itself


async def test_a_second_delivery_of_a_done_item_is_acked_without_work(world: OneQueue) -> None:
    await world.send(ONE)
    await world.executor().run(await world.receive())  # its worker died before the delete
    _, outcome, settlement = await world.live()
    assert (AlreadyDone(), Ack()) == (outcome, settlement)
    assert [ONE.item_id] == world.processor.started


@pytest.mark.parametrize("base", [1, 0], ids=["redriven", "scattered again"])
async def test_a_message_that_hints_at_a_repeat_is_looked_up_before_work(world: OneQueue, base: int) -> None:
    await world.send(ONE)
    await world.live()
    await world.send(ONE, attempt_base=base, **({} if base else {"resumed": "1"}))
    _, outcome, _ = await world.live()
    assert AlreadyDone() == outcome
    assert [ONE.item_id] == world.processor.started


async def test_of_two_workers_on_one_item_the_first_marker_wins(world: OneQueue) -> None:
    await world.send(ONE, ONE)
    contexts = [await world.executor(worker=name).run(await world.receive()) for name in ("first", "zombie")]
    assert [Succeeded(result_of(ONE)), AlreadyDone()] == [outcome for _, outcome in contexts]
    assert "first" == (await world.markers.read(ONE.item_id)).worker


async def test_an_item_of_a_cancelled_run_is_acked_without_work(world: OneQueue) -> None:
    world.cancelled.add("r1")
    await world.send(ONE)
    _, outcome, settlement = await world.live()
    assert (Cancelled(), Ack()) == (outcome, settlement)
    assert ([], []) == (world.processor.started, await world.keys())


async def test_a_large_item_is_read_from_where_its_claim_points(world: OneQueue) -> None:
    large = Item("copy", "10", {"files": ["x" * 300_000]})
    world.claims[large.item_id] = large
    await world.send(large)
    _, outcome, _ = await world.live()
    assert Succeeded(result_of(large)) == outcome


async def test_an_item_whose_claim_points_nowhere_is_buried_with_its_evidence(world: OneQueue) -> None:
    class Gone(dict[str, Item]):
        def __missing__(self, key: str) -> Item:
            raise NotFound("there is no such part")

    world.claims = Gone()
    large = Item("copy", "10", {"files": ["x" * 300_000]})
    await world.send(large)
    _, _, settlement = await world.live()
    assert Bury("permanent") == settlement
    assert [f"dead/{large.item_id}.json", f"failed/{large.item_id}/1.json"] == await world.keys()


# Failures


def failing_with(*errors: BaseException) -> Callable[[Item, int], Any]:
    async def work(_item: Item, start: int) -> None:
        if start <= len(errors):
            raise errors[start - 1]

    return work


async def test_a_transient_failure_is_recorded_and_comes_back_later(world: OneQueue) -> None:
    world.processor.work = failing_with(Transient("the source is busy"))
    await world.send(ONE)
    _, outcome, settlement = await world.live()
    assert isinstance(outcome, Failed)
    assert isinstance(settlement, Retry)
    before = world.clock.now()
    _, outcome, _ = await world.live()
    assert isinstance(outcome, Succeeded)
    assert settlement.after == world.clock.now() - before
    assert [DONE, f"failed/{ONE.item_id}/1.json"] == await world.keys()
    assert 2 == (await world.markers.read(ONE.item_id)).attempt


async def test_attempts_are_counted_by_failure_records_and_the_last_one_buries(world: OneQueue) -> None:
    world.processor.work = failing_with(*[ValueError("row 'Smith' is bad")] * 9)
    await world.send(ONE)
    outcomes = [await world.live() for _ in range(3)]
    assert [1, 2, 3] == [context.number for context, _, _ in outcomes]
    assert [Retry, Retry, Bury] == [type(settlement) for _, _, settlement in outcomes]
    dossier = await world.evidence.read_dossier(ONE.item_id)
    records = await world.evidence.records(ONE.item_id)
    assert dossier is not None
    assert (3, "attempts_exhausted", "w1", "ValueError") == (
        dossier.attempts,
        dossier.reason,
        dossier.worker,
        dossier.failure.error_class,
    )
    assert records[0].failed_at == dossier.first_failed_at < records[2].failed_at <= dossier.last_failed_at
    assert 1 == len({record.failure.fingerprint for record in records})
    assert "Smith" not in str(dossier)


async def test_deliveries_that_were_no_attempts_do_not_use_attempts_up(world: OneQueue) -> None:
    await world.send(ONE)
    for _ in range(4):  # four drains, or four workers that died
        await world.queue.extend([(await world.receive()).receipt], world.queue._policy.lease * 0)
    world.processor.work = failing_with(Transient("busy"))
    context, _, settlement = await world.live()
    assert (5, 1, Retry) == (context.delivery.receive_count, context.number, type(settlement))


async def test_a_redriven_item_has_all_its_attempts_again(world: OneQueue) -> None:
    world.processor.work = failing_with(*[Transient("busy")] * 9)
    await world.send(ONE)
    for _ in range(3):
        await world.live()
    await world.send(ONE, attempt_base=3)
    lives = [await world.live() for _ in range(3)]
    assert [1, 2, 3] == [context.number for context, _, _ in lives]
    assert [Retry, Retry, Bury] == [type(settlement) for _, _, settlement in lives]
    assert 6 == await world.evidence.count(ONE.item_id)
    dossier = await world.evidence.read_dossier(ONE.item_id)
    assert dossier is not None
    assert (await world.evidence.read(ONE.item_id, 4)).failed_at == dossier.first_failed_at


async def test_an_unknown_processor_is_left_to_a_newer_worker(world: OneQueue) -> None:
    await world.send(item(1, processor="from_the_future"))
    _, outcome, settlement = await world.live()
    assert isinstance(outcome, Failed)
    assert outcome.failure.transient
    assert isinstance(settlement, Retry)


@pytest.mark.parametrize(
    "result",
    [
        None,
        ItemResult(item(2).item_id, "done", {"copied": 3}),
        ItemResult(item(1, inputs=3).item_id, "done", {"copied": 2}),
        ItemResult(item(1, inputs=3).item_id, "done", {"copied": 4, "failed": -1}),
        ItemResult(item(1, inputs=3).item_id, "done", {"copied": 3}, failed=4),
    ],
    ids=["no result", "another item's", "an input is missing", "a negative count", "more failed than there are"],
)
async def test_a_result_that_does_not_account_for_every_input_fails(world: OneQueue, result: object) -> None:
    three = item(1, inputs=3)

    class Careless:
        name = "copy"

        async def process(self, item: Item) -> object:
            return result

    world.processor = Careless()  # type: ignore[assignment] # it breaks the protocol on purpose
    await world.send(three)
    _, outcome, settlement = await world.live()
    assert isinstance(outcome, Failed)
    assert Bury("permanent") == settlement
    assert f"done/{three.item_id}" not in await world.keys()


async def test_a_result_that_is_no_json_fails_for_ever(world: OneQueue) -> None:
    async def work(one: Item, _start: int) -> ItemResult:
        return ItemResult(one.item_id, "done", {"copied": 1}, details={"what": object()})

    world.processor.work = work
    await world.send(ONE)
    _, _, settlement = await world.live()
    assert Bury("permanent") == settlement


@pytest.mark.parametrize(
    "error", [SystemExit(1), asyncio.CancelledError()], ids=["sys.exit", "a cancellation of its own"]
)
async def test_user_code_can_not_end_the_worker(world: OneQueue, error: BaseException) -> None:
    world.processor.work = failing_with(error)
    await world.send(ONE)
    _, outcome, settlement = await world.live()
    assert isinstance(outcome, Failed)
    assert isinstance(settlement, Retry)


# The control store fails


@pytest.mark.parametrize(
    "error", [Unreachable("S3 is away"), AccessDenied("not allowed")], ids=["unreachable", "denied"]
)
async def test_work_whose_marker_can_not_be_written_is_no_attempt_and_comes_back(
    world: OneQueue, error: Exception
) -> None:
    await world.send(ONE)
    records = world.faulty(before=at_key("/done/", error, times=99))
    _, outcome, settlement = await world.live(world.executor(records=records))
    assert isinstance(outcome, Unrecorded)
    assert isinstance(settlement, Retry)
    assert [] == await world.keys()
    context, outcome, _ = await world.live()
    assert (1, Succeeded(result_of(ONE))) == (context.number, outcome)


async def test_a_failure_that_can_not_be_recorded_is_no_attempt(world: OneQueue) -> None:
    world.processor.work = failing_with(Permanent("poison"))
    await world.send(ONE)
    records = world.faulty(before=at_key("/failed/", Unreachable("S3 is away"), times=99))
    _, outcome, settlement = await world.live(world.executor(records=records))
    assert isinstance(outcome, Unrecorded)
    assert "poison" == outcome.failure.message
    assert isinstance(settlement, Retry)


@pytest.mark.parametrize("error", [ReplyLost("cut"), Conflict("409")], ids=["its reply was lost", "a 409"])
async def test_a_failure_record_is_written_once_although(world: OneQueue, error: Exception) -> None:
    world.processor.work = failing_with(Transient("busy"))
    await world.send(ONE)
    await world.live(world.executor(records=world.faulty(after=at_key("/failed/", error))))
    assert [f"failed/{ONE.item_id}/1.json"] == await world.keys()


# Law 2: a crash between any two steps costs a repeat, never a loss and never a double effect


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["work", "/done/", "delete"])
async def test_a_crash_costs_a_repeat_and_no_more(world: OneQueue, step: str, when: str) -> None:
    """The worker dies ``when`` a step of law 2 happens; a second worker meets what that left."""
    crash = at_key(step, Killed())
    records = world.faulty(before=crash) if when == "before" else world.faulty(after=crash)

    async def work(one: Item, _start: int) -> None:
        if step == "work" and when == "before":
            crash(0, step)
        await world.store.put(f"{LAYOUT.root}output", str(one.payload["number"]).encode())
        if step == "work":
            crash(0, step)

    world.processor.work = work
    await world.send(ONE)
    delivery = await world.receive()
    try:
        context, outcome = await world.executor(records=records, worker="dead").run(delivery)
        if when == "after":
            await world.queue.delete([context.delivery.receipt])
        assert step == "delete"
        assert isinstance(outcome, Succeeded)
    except Killed:
        assert step != "delete"
    if step == "delete" and when == "after":
        assert (await world.queue.depth()).is_empty()
    else:
        await world.live(world.executor(worker="next"))
    assert (await world.queue.depth()).is_empty()
    assert [DONE, "output"] == await world.keys()
    winner = "dead" if step == "delete" or (step, when) == ("/done/", "after") else "next"
    assert winner == (await world.markers.read(ONE.item_id)).worker
    assert [] == await world.letters()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["/failed/", "/dead/"])
async def test_a_crash_while_burying_leaves_an_item_that_is_found_dead_or_pending(
    world: OneQueue, step: str, when: str
) -> None:
    world.processor.work = failing_with(*[Permanent("poison")] * 3)
    records = world.faulty(**{when: at_key(step, Killed())})
    await world.send(ONE)
    with pytest.raises(Killed):
        await world.live(world.executor(records=records), world.settler(records=records))
    assert [] == await world.letters()
    await world.live()
    assert (await world.queue.depth()).is_empty()
    assert [ONE.item_id] == [item_id async for item_id in world.evidence.list_dossiers()]
    assert ["permanent"] == [error["reason"] for _, error in await world.letters()]


# Drains and lost leases


async def started(world: OneQueue, lost: asyncio.Event | None = None) -> asyncio.Task[Any]:
    """Start a delivery whose work never ends, and return its task once it has begun."""
    begun = asyncio.Event()

    async def work(_item: Item, _start: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    world.processor.work = work
    await world.send(ONE)
    task = asyncio.create_task(world.executor().run(await world.receive(), lost=lost))
    await begun.wait()
    return task


async def test_an_interrupted_item_is_released_and_leaves_no_record(world: OneQueue) -> None:
    task = await started(world)
    task.cancel()
    context, outcome = await task
    assert Interrupted() == outcome
    assert Release() == await world.settler().settle(context, outcome)
    assert [] == await world.keys()
    assert 1 == (await world.queue.depth()).visible


async def test_after_a_lost_lease_nothing_is_written(world: OneQueue) -> None:
    lost = asyncio.Event()
    task = await started(world, lost)
    lost.set()
    task.cancel()
    _, outcome = await task
    assert LostLease() == outcome
    assert [] == await world.keys()


@pytest.mark.parametrize("end", [None, ValueError("too late")], ids=["a result", "a failure"])
async def test_user_code_that_outlives_its_lease_writes_neither_marker_nor_record(
    world: OneQueue, end: Exception | None
) -> None:
    lost = asyncio.Event()

    async def work(_item: Item, _start: int) -> None:
        lost.set()  # nobody cancels: the keeper noticed it between two looks
        if end:
            raise end

    world.processor.work = work
    await world.send(ONE)
    _, outcome = await world.executor().run(await world.receive(), lost=lost)
    assert LostLease() == outcome
    assert [] == await world.keys()


async def test_a_swallowed_cancellation_does_not_outlive_the_run(world: OneQueue) -> None:
    task = await started(world)
    task.cancel()
    await task
    assert 0 == task.cancelling()


# Malformed


async def test_a_malformed_message_is_buried_without_a_dossier(world: OneQueue) -> None:
    await world.queue.send([Message('{"v": 9, "name": "Smith"}', {"custom": "kept"})])
    _, outcome, settlement = await world.live()
    assert isinstance(outcome, Malformed)
    assert Bury("malformed") == settlement
    ((letter, error),) = await world.letters()
    assert ('{"v": 9, "name": "Smith"}', "kept") == (letter.body, letter.attributes["custom"])
    assert ("malformed", None, None) == (error["reason"], error["run_id"], error["item_id"])
    assert "Smith" not in str(error)
    assert [] == await world.keys()


async def test_a_message_of_a_run_with_odd_characters_can_not_reach_another_runs_keys(world: OneQueue) -> None:
    body = encode("r1", ONE, part="part").replace('"r1"', '"../r2"')
    await world.queue.send([Message(body)])
    _, outcome, _ = await world.live()
    assert isinstance(outcome, Malformed)
