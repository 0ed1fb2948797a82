from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from etl_core.errors import AccessDenied, ConfigError, Permanent, Throttled, Unreachable
from etl_core.queue import Message
from etl_core.queue.lease import LeaseKeeper
from one_queue import LEASE, OneQueue, item, result_of
from pipeline_worker.consumer import Consumer, Limits
from pipeline_worker.measures import Measures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pipeline_processing.model import Item, ItemResult
    from pipeline_processing.records import Records
    from pipeline_processing.settler import Settler

WAIT, DRAIN, GRACE = timedelta(seconds=10), timedelta(seconds=40), timedelta(seconds=60)


class Running:
    """A consumer in a task of its own, on a clock that the test moves."""

    def __init__(self, world: OneQueue, consumer: Consumer, measures: Measures) -> None:
        self.world, self.consumer, self.measures = world, consumer, measures
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(consumer.run(self.stop))

    async def until(self, holds: Callable[[], bool], *, step: float = 0.5, steps: int = 400) -> None:
        """Let time pass until ``holds``; failing to is a failure of the test, not a hang."""
        for _ in range(steps):
            if holds():
                return
            await self.world.clock.advance(timedelta(seconds=step))
        pytest.fail("it never came about")

    async def drained(self) -> timedelta:
        """Ask for the stop, and return how long that took."""
        begun = self.world.clock.now()
        self.stop.set()
        await self.until(self.task.done)
        await self.task
        return self.world.clock.now() - begun

    def metric(self, name: str, **labels: str) -> float:
        return self.measures.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def world() -> OneQueue:
    return OneQueue(auto_advance=False)


@pytest.fixture
async def start(world: OneQueue) -> AsyncIterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(records: Records | None = None, settler: Settler | None = None, **limits: object) -> Running:
        limits = {"concurrency": 8, "receivers": 1, **limits}
        measures = Measures()
        consumer = Consumer(
            world.queue,
            world.executor(records=records),
            settler or world.settler(records=records),
            LeaseKeeper(world.queue, lease=LEASE, heartbeat=LEASE / 5, clock=world.clock),
            Limits(lease=LEASE, wait=WAIT, drain=DRAIN, grace=GRACE, **limits),  # type: ignore[arg-type] # by name
            measures=measures,
            clock=world.clock,
            jitter=lambda: 0.5,
        )
        running.append(Running(world, consumer, measures))
        return running[-1]

    yield begin
    for one in running:
        if not one.task.done():
            one.task.cancel()
            await one.until(one.task.done)


def gated(world: OneQueue) -> tuple[asyncio.Event, list[int]]:
    """Make the world's processor wait for a gate; the list holds how many work at once, newest last."""
    gate, busy, at_once = asyncio.Event(), 0, [0]

    async def work(_item: Item, _start: int) -> None:
        nonlocal busy
        busy += 1
        at_once.append(busy)
        try:
            await gate.wait()
        finally:
            busy -= 1
            at_once.append(busy)

    world.processor.work = work
    return gate, at_once


def forever(world: OneQueue) -> None:
    async def work(_item: Item, _start: int) -> None:
        await asyncio.Event().wait()

    world.processor.work = work


async def done(world: OneQueue) -> int:
    return len([key for key in await world.keys() if key.startswith("done/")])


async def test_everything_sent_is_done_and_deleted(world: OneQueue, start: Callable[..., Running]) -> None:
    await world.send(*(item(number) for number in range(100)))
    running = start(receivers=3)
    await running.until(lambda: world.queue._counts.total() == 0)
    await running.drained()
    assert 100 == await done(world)
    assert 100 == len(world.processor.started)
    assert 100 == running.metric("pipeline_items_total", processor="copy", outcome="succeeded")
    assert 100 == running.metric("pipeline_settlements_total", settlement="ack")
    assert 0 == running.metric("pipeline_in_flight")


async def test_the_queues_age_is_what_a_message_waited_and_nothing_after_a_poll_in_vain(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    await world.send(item(1))
    await world.clock.advance(timedelta(minutes=3))
    running = start()
    await running.until(lambda: running.metric("pipeline_received_total") == 1)
    assert 180 == running.metric("pipeline_queue_oldest_message_age_seconds")
    await running.until(lambda: running.metric("pipeline_receive_total", result="empty") == 1)
    assert 0 == running.metric("pipeline_queue_oldest_message_age_seconds")
    await running.drained()


async def test_a_busy_worker_receives_and_deletes_in_batches(world: OneQueue, start: Callable[..., Running]) -> None:
    await world.send(*(item(number) for number in range(200)))
    running = start(concurrency=20, receivers=2, until_empty=True)
    await running.until(running.task.done)
    assert world.queue.count("delete") <= 40
    assert world.queue.count("receive") <= 60
    assert 200 == await done(world)


async def test_no_more_is_taken_than_there_are_places(world: OneQueue, start: Callable[..., Running]) -> None:
    gate, at_once = gated(world)
    await world.send(*(item(number) for number in range(30)))
    running = start(concurrency=4, receivers=3)
    await running.until(lambda: at_once[-1] == 4)
    await world.clock.advance(timedelta(minutes=1))
    depth = await world.queue.depth()
    assert (4, 26) == (depth.in_flight, depth.visible)
    gate.set()
    await running.until(lambda: len(world.processor.started) == 30)
    assert 4 == max(at_once)


async def test_a_processors_own_limit_holds_while_others_go_on(world: OneQueue, start: Callable[..., Running]) -> None:
    _, at_once = gated(world)
    await world.send(*(item(number) for number in range(6)))
    running = start(concurrency=8, processors={"copy": 2})
    await running.until(lambda: at_once[-1] == 2)
    await world.clock.advance(timedelta(minutes=1))
    assert 2 == max(at_once)
    assert 6 == (await world.queue.depth()).in_flight


async def test_every_held_message_keeps_its_lease_also_while_it_waits(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    gate, at_once = gated(world)
    await world.send(*(item(number) for number in range(4)))
    running = start(processors={"copy": 1})
    await running.until(lambda: at_once[-1] == 1)
    await world.clock.advance(LEASE * 3)
    assert (4, 0) == ((await world.queue.depth()).in_flight, (await world.queue.depth()).visible)
    gate.set()
    await running.until(lambda: world.queue._counts.total() == 0)
    assert 4 == len(world.processor.started)


async def test_an_item_whose_lease_is_lost_is_stopped_and_left_alone(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    forever(world)
    await world.send(item(1))
    running = start()
    await running.until(lambda: bool(world.processor.started))
    world.queue.script("extend", "InvalidParameterValue")
    await running.until(lambda: running.metric("pipeline_lease_lost_total") == 1)
    assert [] == await world.keys()
    assert 1 == running.metric("pipeline_settlements_total", settlement="abandon")
    assert 0 == world.queue.count("delete")


# Receives that fail or bring nothing


@pytest.mark.parametrize(
    "trouble", [Unreachable("away"), Throttled("slow down"), ""], ids=["away", "throttled", "full"]
)
async def test_a_receive_that_fails_or_is_empty_at_once_does_not_spin(
    world: OneQueue, start: Callable[..., Running], trouble: Exception | str
) -> None:
    world.queue.script("receive", *[trouble] * 1000)
    running = start()
    await world.clock.advance(timedelta(minutes=10))
    assert 20 <= world.queue.count("receive") <= 60
    world.queue.scripts.clear()
    await world.send(item(1))
    await running.until(lambda: world.queue._counts.total() == 0)
    assert 1 == await done(world)


async def test_it_is_ready_while_the_queue_answers_and_no_drain_has_begun(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    running = start()
    assert running.consumer.is_ready
    world.queue.script("receive", *[Unreachable("away")] * 3)
    await running.until(lambda: not running.consumer.is_ready)
    await running.until(lambda: running.consumer.is_ready)
    assert running.consumer.is_alive
    await running.drained()
    assert not running.consumer.is_ready


async def test_a_poll_that_never_ends_makes_it_unhealthy(world: OneQueue, start: Callable[..., Running]) -> None:
    async def hang(**_: object) -> tuple[()]:
        await asyncio.Event().wait()
        return ()

    world.queue.receive = hang  # type: ignore[method-assign, assignment] # a service that accepts and never answers
    running = start()
    await world.clock.advance(WAIT + timedelta(seconds=30))
    assert running.consumer.is_alive
    await world.clock.advance(timedelta(seconds=60))
    assert not running.consumer.is_alive


async def test_a_worker_with_all_places_taken_for_hours_is_healthy(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    forever(world)
    await world.send(item(1), item(2))
    running = start(concurrency=1)
    await running.until(lambda: bool(world.processor.started))
    await world.clock.advance(timedelta(hours=2))
    assert running.consumer.is_alive


@pytest.mark.parametrize("error", [ConfigError("no such queue"), AccessDenied("no")], ids=["no queue", "denied"])
async def test_a_queue_that_is_not_there_ends_the_worker_after_its_drain(
    world: OneQueue, start: Callable[..., Running], error: Exception
) -> None:
    gate, at_once = gated(world)
    await world.send(item(1))
    running = start()
    await running.until(lambda: at_once[-1] == 1)
    world.queue.script("receive", error)
    await running.until(lambda: not running.consumer.is_ready)
    gate.set()
    await running.until(running.task.done)
    with pytest.raises(type(error)):
        await running.task
    assert 1 == await done(world)


async def test_less_is_taken_while_the_control_store_is_away(world: OneQueue, start: Callable[..., Running]) -> None:
    away = True

    def fault(_number: int, _key: str) -> None:
        if away:
            raise Unreachable("S3 is away")

    await world.send(*(item(number) for number in range(200)))
    running = start(records=world.faulty(before=fault), concurrency=2)
    await world.clock.advance(timedelta(minutes=5))
    assert 0 == await done(world)
    assert len(world.processor.started) <= 60
    away = False
    await running.until(lambda: world.queue._counts.total() == 0, step=5)
    assert 200 == await done(world)
    assert [] == await world.letters()


# The end


async def test_an_idle_worker_leaves_when_asked_to(world: OneQueue, start: Callable[..., Running]) -> None:
    await world.send(item(1))
    running = start(max_idle=timedelta(seconds=30))
    await world.clock.advance(timedelta(seconds=25))
    assert not running.task.done()
    await running.until(running.task.done)
    assert 1 == await done(world)


async def test_an_empty_receive_at_the_limit_in_flight_is_not_idleness(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    await world.send(item(1))
    world.queue.script("receive", *[""] * 20)
    running = start(max_idle=timedelta(seconds=5))
    await running.until(running.task.done, step=5)
    assert 1 == await done(world)


async def test_until_empty_waits_for_retries_and_for_what_others_hold(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    async def shaky(_item: Item, begun: int) -> ItemResult | None:
        if begun == 1:
            raise Unreachable("busy")
        return None

    world.processor.work = shaky
    await world.send(item(1), item(2))
    await world.receive()  # somebody else holds one, and dies
    running = start(until_empty=True)
    await running.until(running.task.done, step=5)
    assert 2 == await done(world)


async def test_a_jobs_worker_takes_so_many_items_finishes_them_and_ends(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    gate, at_once = gated(world)
    await world.send(*(item(number) for number in range(9)))
    running = start(concurrency=4, receivers=2, max_items=5)
    await running.until(lambda: at_once[-1] == 4)
    await world.clock.advance(DRAIN * 3)  # longer than any drain would let them have
    assert not running.task.done()
    gate.set()
    await running.until(running.task.done)
    depth = await world.queue.depth()
    assert (5, 4, 0) == (await done(world), depth.visible, depth.in_flight)


async def test_a_jobs_worker_begins_nothing_after_a_poll_that_brought_nothing(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    gate, at_once = gated(world)
    world.queue.script("receive", Throttled("slow down"))
    await world.send(item(1), item(2))
    running = start(receivers=2, max_items=5)
    await running.until(lambda: at_once[-1] == 2)
    await world.clock.advance(WAIT * 3)  # polls that bring nothing
    await world.send(item(3))
    await world.clock.advance(WAIT * 3)
    gate.set()
    await running.until(running.task.done)
    depth = await world.queue.depth()
    assert (2, 1, 0) == (await done(world), depth.visible, depth.in_flight)


async def test_a_drain_lets_started_items_finish(world: OneQueue, start: Callable[..., Running]) -> None:
    gate, at_once = gated(world)
    await world.send(*(item(number) for number in range(3)))
    running = start()
    await running.until(lambda: at_once[-1] == 3)
    running.stop.set()
    await world.clock.advance(timedelta(seconds=20))
    assert not running.task.done()
    gate.set()
    assert DRAIN > await running.drained()
    assert 3 == await done(world)
    assert (await world.queue.depth()).is_empty()


async def test_a_drain_gives_back_what_can_not_finish_and_buries_nothing(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    forever(world)
    await world.send(*(item(number) for number in range(5)))
    running = start(concurrency=5, processors={"copy": 3})
    await running.until(lambda: len(world.processor.started) == 3)
    running.stop.set()
    await world.clock.advance(timedelta(seconds=1))
    assert 2 == (await world.queue.depth()).visible  # never started: at once
    assert GRACE > await running.drained()
    assert 5 == (await world.queue.depth()).visible
    assert ([], []) == (await world.keys(), await world.letters())


async def test_what_a_poll_brings_during_a_drain_is_given_back_at_once(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    running = start()
    await world.clock.advance(timedelta(seconds=1))
    running.stop.set()
    await world.clock.advance(timedelta(seconds=1))
    await world.send(item(1))
    await running.drained()
    assert [] == world.processor.started
    assert 1 == (await world.queue.depth()).visible


async def test_an_item_that_ignores_its_cancellation_is_given_back_all_the_same(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    release = asyncio.Event()

    async def stubborn(_item: Item, _start: int) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    world.processor.work = stubborn
    await world.send(item(1))
    running = start()
    await running.until(lambda: bool(world.processor.started))
    assert GRACE > await running.drained()
    assert 1 == running.consumer.stuck
    assert 1 == (await world.queue.depth()).visible
    release.set()


async def test_a_fault_of_our_own_stops_the_worker_and_loses_nothing(
    world: OneQueue, start: Callable[..., Running]
) -> None:
    world.queue.script("delete", RuntimeError("a bug"))
    gate, _ = gated(world)
    await world.send(item(1), item(2))
    world.dead_letters.script("send", RuntimeError("a bug"))
    await world.queue.send([Message("malformed")])
    running = start()
    await running.until(lambda: not running.consumer.is_ready)
    gate.set()
    await running.until(running.task.done)
    with pytest.raises(RuntimeError, match="a bug"):
        await running.task
    assert 2 == await done(world)


async def test_poison_is_buried_and_its_neighbours_are_done(world: OneQueue, start: Callable[..., Running]) -> None:
    async def work(one: Item, _start: int) -> ItemResult:
        if one.payload["number"] == 3:
            raise Permanent("poison")
        return result_of(one)

    world.processor.work = work
    await world.send(*(item(number) for number in range(6)))
    running = start(until_empty=True)
    await running.until(running.task.done)
    assert 5 == await done(world)
    assert [item(3).item_id] == [error["item_id"] for _, error in await world.letters()]


async def test_metrics_have_no_label_from_a_message(world: OneQueue, start: Callable[..., Running]) -> None:
    await world.send(item(1, processor="invented-by-a-sender"))
    running = start()
    await running.until(lambda: running.metric("pipeline_items_total", processor="unknown", outcome="failed") == 1)
