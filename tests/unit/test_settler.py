from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

from etl_core.errors import ConfigError, Permanent, Transient, Unreachable
from etl_core.queue import MESSAGE_LIMIT, Delivery, Message
from etl_core.queue.lease import LeaseKeeper
from one_queue import LEASE, POLICY, OneQueue, item
from pipeline_operator.dead_letters import parse
from pipeline_processing.dead_letters import Cause, compose
from pipeline_processing.model import Failure
from pipeline_processing.settlement import Ack, Bury, Retry, Unrecorded
from pipeline_processing.settler import LINGER

LIMITED = replace(POLICY, receive_limit=7)
"""The policy of a settler that knows the queue's maxReceiveCount."""

if TYPE_CHECKING:
    from pipeline_processing.model import Item, ItemResult

ONE = item(1)


@pytest.fixture
def world() -> OneQueue:
    return OneQueue()


async def poisonous(_item: Item, _start: int) -> ItemResult | None:
    raise Permanent("poison")


async def run(world: OneQueue, count: int) -> list[tuple[object, object]]:
    """Send and run ``count`` items, settling none."""
    await world.send(*(item(number) for number in range(count)))
    return [await world.executor().run(await world.receive()) for _ in range(count)]


async def test_acknowledgements_share_a_request_ten_at_a_time(world: OneQueue) -> None:
    settler = world.settler()
    for context, outcome in await run(world, 23):
        await settler.settle(context, outcome)
    await settler.flush()
    assert [10, 10, 3] == [size for name, size in world.queue.calls if name == "delete"]
    assert (await world.queue.depth()).is_empty()


async def test_a_lone_acknowledgement_waits_no_longer_than_the_linger() -> None:
    world = OneQueue(auto_advance=False)
    await world.send(ONE)
    context, outcome = await world.executor().run(await world.receive())
    await world.settler().settle(context, outcome)
    await world.clock.advance(LINGER * 0.9)
    assert 0 == world.queue.count("delete")
    await world.clock.advance(LINGER * 0.2)
    assert 1 == world.queue.count("delete")


async def test_the_entries_of_a_batch_that_failed_are_deleted_again_and_only_they(world: OneQueue) -> None:
    world.queue.script("delete", {1, 3}, {0})
    settler = world.settler()
    for context, outcome in await run(world, 5):
        await settler.settle(context, outcome)
    await settler.flush()
    assert [5, 2, 1] == [size for name, size in world.queue.calls if name == "delete"]
    assert (await world.queue.depth()).is_empty()


async def test_a_delete_that_can_not_reach_the_queue_is_tried_again(world: OneQueue) -> None:
    world.queue.script("delete", Unreachable("away"), Unreachable("away"))
    await world.send(ONE)
    await world.live()
    assert (await world.queue.depth()).is_empty()


@pytest.mark.parametrize("fault", ["ReceiptHandleIsInvalid", ConfigError("no queue")], ids=["an entry", "the call"])
async def test_a_delete_that_fails_for_good_leaves_the_message_to_come_back(
    world: OneQueue, fault: str | Exception
) -> None:
    world.queue.script("delete", fault)
    await world.send(ONE)
    await world.live()
    assert 1 == (await world.queue.depth()).in_flight
    _, _, settlement = await world.live()
    assert Ack() == settlement
    assert [ONE.item_id] == world.processor.started
    assert (await world.queue.depth()).is_empty()


async def test_a_delete_is_not_tried_again_once_the_lease_is_lost(world: OneQueue) -> None:
    keeper = LeaseKeeper(world.queue, lease=LEASE, heartbeat=LEASE / 3, clock=world.clock)
    world.queue.script("delete", *[Unreachable("away")] * 99)
    await world.send(ONE)
    delivery = await world.receive()
    held = keeper.hold(delivery)
    context, outcome = await world.executor().run(delivery, lost=held.lost)
    settler = world.settler()
    await settler.settle(context, outcome, held)
    held.lost.set()
    await settler.flush()
    assert 0 == world.queue.count("delete")


async def test_a_cancelled_waiter_does_not_take_the_batch_with_it(world: OneQueue) -> None:
    settler = world.settler()
    runs = await run(world, 10)
    for context, outcome in runs[:9]:
        await settler.settle(context, outcome)
    world.queue.script("delete", Unreachable("away"))
    last = asyncio.create_task(settler.settle(*runs[9]))
    await world.clock.sleep(timedelta(milliseconds=1))
    assert (1, False) == (world.queue.count("delete"), last.done())
    last.cancel()
    await settler.flush()
    assert (await world.queue.depth()).is_empty()


async def test_a_dead_letter_carries_the_original_and_its_cause(world: OneQueue) -> None:
    world.processor.work = poisonous
    await world.send(ONE, traceparent="00-trace")
    context, _, settlement = await world.live()
    assert Bury("permanent") == settlement
    ((letter, _),) = await world.letters()
    assert (context.delivery.body, "10") == (letter.body, letter.group)
    assert ("copy", "00-trace") == (letter.attributes["processor"], letter.attributes["traceparent"])
    said = parse(letter)  # as the operator reads it
    dossier = await world.evidence.read_dossier(ONE.item_id)
    assert dossier is not None
    assert ("Permanent", "poison", "permanent", 1, "w1") == (
        said.cause.error_class,
        said.cause.message,
        said.cause.reason,
        said.cause.attempts,
        said.cause.worker,
    )
    assert dossier.failure.fingerprint == said.cause.fingerprint
    assert (len(letter.body), "00-trace") == (dossier.body_size, dossier.traceparent)
    assert any("poisonous" in frame for frame in dossier.failure.trace) is False  # a test is no package of ours
    assert any("executor" in frame for frame in dossier.failure.trace)


@pytest.mark.parametrize("fault", [{0}, "AccessDenied", Unreachable("away")], ids=["an entry", "refused", "the call"])
async def test_a_dead_letter_that_is_not_sent_keeps_its_message(world: OneQueue, fault: set[int] | str) -> None:
    world.processor.work = poisonous
    world.dead_letters.script("send", fault)
    await world.send(ONE)
    _, _, settlement = await world.live()
    assert isinstance(settlement, Retry)
    assert 0 == world.queue.count("delete")
    _, _, settlement = await world.live()
    assert Bury("permanent") == settlement
    assert 1 == len(await world.letters())


async def test_without_its_dossier_no_dead_letter_is_sent(world: OneQueue) -> None:
    def fault(_number: int, key: str) -> None:
        if "/dead/" in key:
            raise Unreachable("away")

    world.processor.work = poisonous
    await world.send(ONE)
    _, _, settlement = await world.live(settler=world.settler(records=world.faulty(before=fault)))
    assert isinstance(settlement, Retry)
    assert [] == await world.letters()
    assert 1 == (await world.queue.depth()).in_flight


async def test_a_message_that_can_not_be_given_back_comes_back_by_itself(world: OneQueue) -> None:
    async def busy(_item: Item, start: int) -> None:
        if start == 1:
            raise Transient("busy")

    world.processor.work = busy
    world.queue.script("extend", {0})
    await world.send(ONE)
    before = world.clock.now()
    await world.live()
    await world.live()
    assert LEASE <= world.clock.now() - before
    assert (await world.queue.depth()).is_empty()


async def test_deliveries_that_could_not_be_recorded_wait_longer_each_time(world: OneQueue) -> None:
    await world.send(ONE)
    failure = Failure("Unreachable", "away", "0" * 12, transient=True)
    context, _ = await world.executor().run(await world.receive())
    waits = []
    for count in (1, 3, 5):
        context.delivery = replace(context.delivery, receive_count=count)
        settlement = await world.settler().settle(context, Unrecorded(failure))
        assert isinstance(settlement, Retry)
        waits.append(settlement.after)
    assert [timedelta(seconds=1), timedelta(seconds=4), timedelta(seconds=16)] == waits


def delivery(body: str = "{}", **attributes: str) -> Delivery:
    return Delivery("m1", "r1", body, attributes, 1, OneQueue().clock.now(), "10")


CAUSE = Cause("permanent", Failure("Permanent", "x" * 500, "0" * 12, transient=False), 1, "w1", "0", "2030", "r1", "i1")


def test_the_cause_gives_way_to_a_body_that_fills_the_message() -> None:
    room = len(b"error") + len(b"String") + len(CAUSE.encode())
    bodies = {"whole": MESSAGE_LIMIT - room, "short": MESSAGE_LIMIT - room + 1, "none": MESSAGE_LIMIT - 20}
    letters = {name: compose(delivery("x" * size), CAUSE) for name, size in bodies.items()}
    assert all(letter.size() <= MESSAGE_LIMIT for letter in letters.values())
    assert "x" * 500 == orjson.loads(letters["whole"].attributes["error"])["message"]
    assert {"message": "", "fingerprint": "0" * 12}.items() <= orjson.loads(
        letters["short"].attributes["error"]
    ).items()
    assert {} == letters["none"].attributes


def test_an_older_cause_is_replaced_and_ten_attributes_are_left_alone() -> None:
    assert CAUSE.encode() == compose(delivery(error="old"), CAUSE).attributes["error"]
    ten = {f"a{number}": "x" for number in range(10)}
    assert ten == compose(delivery(**ten), CAUSE).attributes


def test_the_cause_is_ascii_whatever_the_message_holds() -> None:
    odd = replace(CAUSE, failure=replace(CAUSE.failure, message="\x00\ufffe ünïcödé"))
    letter = compose(delivery(), odd)
    assert isinstance(letter, Message)
    assert letter.attributes["error"].isascii()


async def test_a_hundred_rollouts_bury_nothing(world: OneQueue) -> None:
    await world.send(ONE)
    settler = world.settler(policy=LIMITED)
    for _ in range(100):
        await settler.release([await world.receive()])
        await settler.flush()
    assert (0, 1) == ((await world.dead_letters.depth()).visible, (await world.queue.depth()).visible)


async def test_a_settler_that_does_not_know_the_limit_would_lose_it_to_the_queue(world: OneQueue) -> None:
    await world.send(ONE)
    settler = world.settler()
    for _ in range(7):
        await settler.release([await world.receive()])
    assert [] == list(await world.queue.receive(limit=1, wait=timedelta(0), lease=LEASE))
    assert 1 == (await world.dead_letters.depth()).visible


async def test_a_renewed_item_keeps_its_count_of_attempts_and_its_error(world: OneQueue) -> None:
    async def flaky(_item: Item, _start: int) -> ItemResult | None:
        raise Unreachable("the database takes no connection")

    world.processor.work = flaky
    await world.send(ONE)
    settler = world.settler(policy=LIMITED)
    for _ in range(6):
        await settler.release([await world.receive()])
    settlements = [(await world.live(settler=settler))[2] for _ in range(POLICY.max_attempts)]
    assert [Bury("attempts_exhausted")] == [one for one in settlements if isinstance(one, Bury)]
    ((_, error),) = await world.letters()
    assert ("Unreachable", POLICY.max_attempts) == (error["class"], error["attempts"])


async def test_what_can_not_be_sent_anew_is_given_back_as_it_is(world: OneQueue) -> None:
    await world.send(ONE)
    settler = world.settler(policy=LIMITED)
    delivery = replace(await world.receive(), receive_count=7)
    world.queue.script("send", {0})
    await settler.release([delivery])
    await settler.flush()
    assert (1, 0) == ((await world.queue.depth()).visible, world.queue.count("delete"))
