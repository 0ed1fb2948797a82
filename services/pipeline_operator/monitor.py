"""`pipeline-processing dlq monitor`: what the lanes hold, looked at again and again, for alerts to rest on.

Counts come from the queues' attributes, and stand whatever becomes of the look that follows. Dead letters can not be
dated without receiving them, and a letter that is held is one that an operator's redrive does not find. So a look
leases letters for a second only and gives none back: each is hidden for less time than a reader waits before it calls
a queue empty, a monitor that is killed hides nothing, no receipt of ours is used while somebody else may hold the
letter, and the monitor needs no right to change one. A look ends before its first letters come back, and makes several
receives at a time to get far by then. What it does not get to is no fault: the oldest of many looks is a good bound.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from etl_core.errors import ConfigError, EtlError
from etl_core.lifecycle import unfinished
from etl_core.queue import BATCH_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from etl_core.clock import Clock
    from etl_core.queue import Depth, Queue
    from pipeline_processing.service_handler import Lane, ServiceHandler

LEASE: Final = timedelta(seconds=1)
WAIT: Final = timedelta(seconds=1)
"""A long poll asks all of SQS's servers."""
LOOK: Final = timedelta(milliseconds=750)
"""How long a look begins receives: less than a lease, or it would be given its own letters again."""
WIDTH: Final = 10
"""Receives at a time: at 50 ms for one, a look gets to fifteen hundred letters."""
LETTERS: Final = 1000
"""Letters that one look reads at most: a hundred receives."""
KEPT: Final = timedelta(hours=1)
"""How long the oldest letter is remembered while looks read others, but not all: it may be the one they missed."""
PATIENCE: Final = timedelta(seconds=30)
"""How long the counting of a lane may take before it counts as failed; and then how long the look at its letters."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look saw: how many letters, and when the oldest of them was first sent.

    ``is_cut``: it found new letters up to its bound, so that what it did not see is not held back from it.
    """

    count: int = 0
    oldest: datetime | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Numbers:
    """A lane at one moment. ``oldest`` is when its oldest dead letter was first sent, as far as letters were read.

    ``unread`` letters could not be read; those beyond a look's bounds are not among them.
    """

    read_at: datetime
    depth: Depth
    dead_letters: int
    unread: int
    oldest: datetime | None
    retention: timedelta

    def oldest_age(self, now: datetime) -> timedelta | None:
        """Return how long ago the oldest dead letter was first sent; None where none is known."""
        return None if self.oldest is None else now - self.oldest

    def until_dropped(self, now: datetime) -> timedelta | None:
        """Return the time left until the queue drops its first dead letter: it counts from the first send."""
        return None if self.oldest is None else max(self.oldest + self.retention - now, timedelta(0))


class Watch:
    """One lane under watch; keeps its last numbers while it can not be read, and says so."""

    def __init__(self, name: str, services: ServiceHandler) -> None:
        self.name = name
        self._services = services
        self._clock = services.clock
        self._lane: Lane | None = None
        self._seen_at: datetime | None = None
        """When the oldest letter was last read."""
        self._is_readable = False
        """Whether receives leave the dead letters where they are."""
        self.numbers: Numbers | None = None
        self.error: str | None = None
        """Why the latest refresh failed; None where it did not."""
        self.done = 0
        self.failed = 0

    async def refresh(self) -> None:
        """Read the lane anew. Failures are counted and kept, but for a first ConfigError: nothing would come of it."""
        self.error = None
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                lane, self.numbers = await self._counted()
        except (EtlError, TimeoutError) as error:
            if isinstance(error, ConfigError) and not self.numbers:
                raise
            self.error = _told(error)
            log.warning("monitor.refresh_failed", lane=self.name, error=self.error)
        else:
            self.numbers = await self._dated(lane, self.numbers)
        self.done += self.error is None
        self.failed += self.error is not None

    async def _counted(self) -> tuple[Lane, Numbers]:
        """Return the lane with fresh counts, and what the look before this one knew of its letters."""
        lane = self._lane = self._lane or await self._services.lane(self.name)
        depth, dead, policy = await asyncio.gather(
            lane.queue.depth(), lane.dead_letters.depth(), lane.dead_letters.policy()
        )
        self._is_readable = policy.max_receive_count is None
        counted = dead.visible + dead.in_flight + dead.delayed
        unread, oldest = (self.numbers.unread, self.numbers.oldest) if self.numbers else (counted, None)
        return lane, Numbers(self._clock.now(), depth, counted, min(unread, counted), oldest, policy.retention)

    async def _dated(self, lane: Lane, numbers: Numbers) -> Numbers:
        """Return the numbers with what a look at the dead letters saw; a look that fails costs them nothing."""
        sight = Sight()
        if self._is_readable:
            try:
                async with asyncio.timeout(PATIENCE.total_seconds()):
                    sight = await look(lane.dead_letters, numbers.dead_letters, self._clock)
            except (EtlError, TimeoutError) as error:
                self.error = _told(error)
                log.warning("monitor.not_read", queue=lane.dead_letters.name, reason=self.error)
        else:  # a receive would move letters on
            log.warning("monitor.not_read", queue=lane.dead_letters.name, reason="it has a redrive policy itself")
        missed = max(0, numbers.dead_letters - sight.count)
        oldest = self._remember(sight.oldest, all_read=not missed)
        return replace(numbers, unread=0 if sight.is_cut else missed, oldest=oldest)

    def _remember(self, found: datetime | None, *, all_read: bool) -> datetime | None:
        """Return the oldest letter: what was ``found``, unless an older one may still be among those not read."""
        now, kept = self._clock.now(), self.numbers.oldest if self.numbers else None
        is_forgotten = self._seen_at is None or now - self._seen_at >= KEPT
        if all_read or kept is None or (found is not None and (found <= kept or is_forgotten)):
            self._seen_at = now
            return found
        return kept


def _told(error: Exception) -> str:
    return str(error) or f"no answer within {PATIENCE.total_seconds():g} s"


async def look(dead_letters: Queue, counted: int, clock: Clock, *, most: int = LETTERS) -> Sight:
    """Return what is to be seen of a dead-letter queue that counts so many letters; see the module's docstring."""
    seen: dict[str, datetime] = {}
    wanted, until = min(counted, most), clock.monotonic() + LOOK.total_seconds()
    is_fruitful = True
    while is_fruitful and len(seen) < wanted and clock.monotonic() < until:
        width = min(WIDTH, math.ceil((wanted - len(seen)) / BATCH_LIMIT))
        receives = (dead_letters.receive(limit=BATCH_LIMIT, wait=WAIT, lease=LEASE) for _ in range(width))
        known = len(seen)
        for letters in await asyncio.gather(*receives):
            seen |= {letter.message_id: letter.sent_at for letter in letters}
        is_fruitful = len(seen) > known
    return Sight(len(seen), min(seen.values(), default=None), is_cut=is_fruitful and len(seen) < counted)


class Monitor:
    """Refreshes every watch, again and again."""

    def __init__(self, watches: Sequence[Watch], clock: Clock, interval: timedelta) -> None:
        self.watches = watches
        self._clock = clock
        self._interval = interval
        self._turned_at = clock.monotonic()

    @property
    def is_alive(self) -> bool:
        """Say whether looks follow each other; that they fail is for an alert to say, and no restart mends it."""
        return self._clock.monotonic() - self._turned_at < (self._interval + 2 * PATIENCE).total_seconds()

    @property
    def is_ready(self) -> bool:
        """Say whether there are numbers of every lane, fresh or not."""
        return all(watch.numbers for watch in self.watches)

    async def refresh(self) -> None:
        """Read every lane anew; ConfigError where one can not be read at all."""
        async with asyncio.TaskGroup() as group:
            for watch in self.watches:
                group.create_task(watch.refresh())
        self._turned_at = self._clock.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Refresh until ``stop`` is set; a look in progress is dropped, which hides its letters for a second."""
        turning, stopping = asyncio.create_task(self._turn()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({turning, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            turning.cancel()
            stopping.cancel()
            await unfinished([turning, stopping], within=timedelta(seconds=1), clock=self._clock)
        if turning.done() and not turning.cancelled():
            await turning

    async def _turn(self) -> None:
        while True:
            await self.refresh()
            await self._clock.sleep(self._interval)
