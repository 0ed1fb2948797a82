from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from etl_core.batch import BatchReport, EntryFailure
from etl_core.errors import AccessDenied, LeaseLost
from etl_core.queue import VISIBILITY_LIMIT, Message
from etl_core.queue.lease import LeaseKeeper
from etl_core.queue.memory import MemoryQueue
from etl_core.testing.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from etl_core.queue import Delivery

LEASE = timedelta(seconds=60)
HEARTBEAT = timedelta(seconds=20)


class Unwell(MemoryQueue):
    """A queue whose extensions can fail or hang; ``calls`` holds the number of receipts of each."""

    ails: str | None = None

    async def extend(self, receipts: Sequence[str], lease: timedelta) -> BatchReport:
        self.calls = [*getattr(self, "calls", []), len(receipts)]
        match self.ails:
            case "transient":
                return BatchReport(
                    (), tuple(EntryFailure(i, "InternalError", "", transient=True) for i in range(len(receipts)))
                )
            case "hangs":
                await asyncio.Event().wait()
            case "denied":
                raise AccessDenied("sqs:ChangeMessageVisibility")
        return await super().extend(receipts, lease)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> Unwell:
    return Unwell("queue", clock)


@pytest.fixture
def keeper(queue: Unwell, clock: FakeClock) -> LeaseKeeper:
    return LeaseKeeper(queue, lease=LEASE, heartbeat=HEARTBEAT, clock=clock)


@asynccontextmanager
async def running(keeper: LeaseKeeper) -> AsyncIterator[None]:
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def received(queue: MemoryQueue, count: int = 1) -> list[Delivery]:
    await queue.send([Message(str(n)) for n in range(count)])
    found: list[Delivery] = []
    while len(found) < count:
        found += await queue.receive(limit=10, wait=timedelta(0), lease=LEASE)
    return found


async def test_a_held_message_stays_invisible_for_hours(queue: Unwell, keeper: LeaseKeeper, clock: FakeClock) -> None:
    (delivery,) = await received(queue)
    async with running(keeper):
        with keeper.hold(delivery) as held:
            await clock.advance(timedelta(hours=2))
            held.check()
            assert (0, 1) == ((await queue.depth()).visible, (await queue.depth()).in_flight)


async def test_a_heartbeat_renews_everything_in_one_batched_call(
    queue: Unwell, keeper: LeaseKeeper, clock: FakeClock
) -> None:
    deliveries = await received(queue, 25)
    async with running(keeper):
        for delivery in deliveries:
            keeper.hold(delivery)
        await clock.advance(HEARTBEAT * 3)
    assert [25, 25, 25] == queue.calls


async def test_a_forgotten_message_is_renewed_no_more_and_comes_back(
    queue: Unwell, keeper: LeaseKeeper, clock: FakeClock
) -> None:
    (delivery,) = await received(queue)
    async with running(keeper):
        held = keeper.hold(delivery)
        await clock.advance(HEARTBEAT)
        held.forget()
        await clock.advance(LEASE)
    assert ([1], 1, False) == (queue.calls, (await queue.depth()).visible, held.lost.is_set())


async def test_a_refused_renewal_loses_that_lease_and_no_other(
    queue: Unwell, keeper: LeaseKeeper, clock: FakeClock
) -> None:
    gone, kept = await received(queue, 2)
    async with running(keeper):
        lost, safe = keeper.hold(gone), keeper.hold(kept)
        await queue.delete([gone.receipt])
        await clock.advance(HEARTBEAT)
        assert (True, False, 1) == (lost.lost.is_set(), safe.lost.is_set(), len(keeper))
    safe.check()
    with pytest.raises(LeaseLost, match=gone.message_id):
        lost.check()


async def test_a_renewal_that_fails_for_the_moment_is_tried_again_before_the_next_heartbeat(
    queue: Unwell, keeper: LeaseKeeper, clock: FakeClock
) -> None:
    (delivery,) = await received(queue)
    async with running(keeper):
        held = keeper.hold(delivery)
        queue.ails = "transient"
        await clock.advance(HEARTBEAT)
        queue.ails = None
        await clock.advance(HEARTBEAT / 2)
        assert [1, 1] == queue.calls
        await clock.advance(LEASE)
        assert not held.lost.is_set()


@pytest.mark.parametrize("ails", ["transient", "hangs"])
async def test_a_lease_that_can_not_be_renewed_is_lost_when_it_has_run_out_and_not_before(
    queue: Unwell, keeper: LeaseKeeper, clock: FakeClock, ails: str
) -> None:
    (delivery,) = await received(queue)
    async with running(keeper):
        held = keeper.hold(delivery)
        queue.ails = ails
        await clock.advance(LEASE - timedelta(seconds=1))
        assert not held.lost.is_set()
        await clock.advance(HEARTBEAT / 2)
        assert held.lost.is_set()


async def test_a_renewal_that_hangs_does_not_keep_later_ones_from_working(
    queue: Unwell, keeper: LeaseKeeper, clock: FakeClock
) -> None:
    (delivery,) = await received(queue)
    async with running(keeper):
        held = keeper.hold(delivery)
        queue.ails = "hangs"
        await clock.advance(HEARTBEAT + HEARTBEAT / 2)
        queue.ails = None
        await clock.advance(LEASE * 3)
        held.check()


async def test_nothing_is_held_beyond_twelve_hours(queue: Unwell, clock: FakeClock) -> None:
    lease, heartbeat = timedelta(hours=2), timedelta(minutes=30)
    keeper = LeaseKeeper(queue, lease=lease, heartbeat=heartbeat, clock=clock)
    await queue.send([Message("long")])
    (delivery,) = await queue.receive(limit=1, wait=timedelta(0), lease=lease)
    async with running(keeper):
        held = keeper.hold(delivery)
        await clock.advance(VISIBILITY_LIMIT - heartbeat)
        assert not held.lost.is_set()
        await clock.advance(heartbeat)
        assert held.lost.is_set()


async def test_a_keeper_that_may_not_renew_ends_with_the_reason(
    queue: Unwell, keeper: LeaseKeeper, clock: FakeClock
) -> None:
    (delivery,) = await received(queue)
    keeper.hold(delivery)
    queue.ails = "denied"
    task = asyncio.create_task(keeper.run())
    await clock.advance(HEARTBEAT)
    with pytest.raises(ExceptionGroup) as failure:
        await task
    assert [AccessDenied] == [type(error) for error in failure.value.exceptions]
