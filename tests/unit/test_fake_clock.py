from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from etl_core.testing.fake_clock import EPOCH, FakeClock


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = FakeClock()
    assert (EPOCH, 0.0) == (clock.now(), clock.monotonic())
    await clock.advance(seconds(90))
    assert (EPOCH + seconds(90), 90.0) == (clock.now(), clock.monotonic())


async def test_sleepers_wake_in_the_order_of_their_deadlines_each_at_its_own() -> None:
    clock, woken = FakeClock(), []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(seconds(nap))
            woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("slow", 5))
        group.create_task(sleeper("twice", 2, 2))
        group.create_task(sleeper("late", 11))
        await clock.advance(seconds(10))
        assert [("twice", 2.0), ("twice", 4.0), ("slow", 5.0)] == woken
        assert 1 == clock.sleepers
        await clock.advance(seconds(1))
    assert ("late", 11.0) == woken[-1]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(seconds(5)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0 == clock.sleepers
    await clock.advance(seconds(10))


async def test_with_auto_advance_time_passes_while_everything_sleeps() -> None:
    clock = FakeClock(auto_advance=True)
    await asyncio.gather(clock.sleep(timedelta(hours=1)), clock.sleep(timedelta(hours=3)))
    assert timedelta(hours=3).total_seconds() == clock.monotonic()


async def test_a_sleep_of_nothing_gives_way_and_moves_nothing() -> None:
    clock = FakeClock(auto_advance=True)
    await clock.sleep(timedelta(0))
    await clock.sleep(seconds(-1))
    assert 0.0 == clock.monotonic()
