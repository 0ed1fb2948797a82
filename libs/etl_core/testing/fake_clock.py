"""A clock that moves only when a test says so, or by itself whenever everything sleeps."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(2030, 1, 1, tzinfo=UTC)
SETTLE_ROUNDS: Final = 25
"""Turns of the event loop that woken tasks get before time moves on.

A chain of more awaits between two sleeps needs real synchronisation.
"""


class FakeClock:
    """Time under a test's control; sleepers wake in the order of their deadlines, each at exactly its own.

    With ``auto_advance`` time jumps to the next deadline as soon as the loop has nothing else to do. That is for
    tests whose tasks wait on nothing
    but this clock: real I/O looks idle to it.
    """

    def __init__(self, start: datetime = EPOCH, *, auto_advance: bool = False) -> None:
        self._start = start
        self._elapsed = timedelta(0)
        self._auto_advance = auto_advance
        self._order = itertools.count()
        self._sleepers: list[tuple[timedelta, int, asyncio.Future[None]]] = []
        self._driver: asyncio.Task[None] | None = None

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return self._elapsed.total_seconds()

    @property
    def sleepers(self) -> int:
        """Return how many tasks sleep on this clock now."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    async def sleep(self, duration: timedelta) -> None:
        """Give way until the clock has moved by ``duration``."""
        if duration <= timedelta(0):
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + duration, next(self._order), woken))
        if self._auto_advance and (self._driver is None or self._driver.done()):
            self._driver = asyncio.create_task(self._drive())
        await woken

    async def advance(self, duration: timedelta) -> None:
        """Move time by ``duration``; at each deadline on the way the woken tasks have their turns first."""
        target = self._elapsed + duration
        await _settle()
        while (deadline := self._next_deadline()) is not None and deadline <= target:
            self._move_to(deadline)
            await _settle()
        self._move_to(target)
        await _settle()

    async def _drive(self) -> None:
        await _settle()
        while (deadline := self._next_deadline()) is not None:
            self._move_to(deadline)
            await _settle()

    def _next_deadline(self) -> timedelta | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _move_to(self, elapsed: timedelta) -> None:
        self._elapsed = max(self._elapsed, elapsed)
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)


async def _settle() -> None:
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)
