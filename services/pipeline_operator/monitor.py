"""`pipeline-processing dlq monitor`: what the lanes hold, looked at again and again, for alerts to rest on.

Dead letters can not be dated without receiving them, and a letter that is held is one that an operator's redrive does
not find. So a look leases letters for a second only and gives none back: each is hidden for less time than a reader
waits before it calls a queue empty, a monitor that is killed hides nothing, and no receipt of ours is used while
somebody else may hold the letter.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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
"""A long poll asks all of SQS's servers; and what a look itself hides is back before it ends."""
BARREN: Final = 2
"""Receives in a row without a new letter, after which a look ends short of the queue's count."""
LETTERS: Final = 1000
"""Letters that one look reads at most: a hundred receives."""
KEPT: Final = timedelta(hours=1)
"""How long the oldest letter is remembered while looks read others, but not all: it may be the one they missed."""
PATIENCE: Final = timedelta(seconds=30)
"""How long a lane's look may take before it counts as failed."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look saw: how many letters, and when the oldest of them was first sent."""

    count: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Numbers:
    """A lane at one moment. ``oldest`` is when its oldest dead letter was first sent, as far as letters were read."""

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
        self.numbers: Numbers | None = None
        self.error: str | None = None
        """Why the latest refresh failed; None where it did not."""
        self.done = 0
        self.failed = 0

    async def refresh(self) -> None:
        """Read the lane anew. Failures are counted and kept, but for a first ConfigError: nothing would come of it."""
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                self.numbers = await self._read()
        except (EtlError, TimeoutError) as error:
            if isinstance(error, ConfigError) and not self.numbers:
                raise
            self.failed += 1
            self.error = str(error) or f"no answer within {PATIENCE.total_seconds():g} s"
            log.warning("monitor.refresh_failed", lane=self.name, error=self.error)
        else:
            self.done += 1
            self.error = None

    async def _read(self) -> Numbers:
        lane = self._lane = self._lane or await self._services.lane(self.name)
        depth, dead, policy = await asyncio.gather(
            lane.queue.depth(), lane.dead_letters.depth(), lane.dead_letters.policy()
        )
        counted = dead.visible + dead.in_flight + dead.delayed
        if policy.max_receive_count is None:
            sight = await look(lane.dead_letters, dead.visible)
        else:  # a receive would move letters on
            sight = Sight()
            log.warning("monitor.not_read", queue=lane.dead_letters.name, reason="it has a redrive policy itself")
        unread = max(0, counted - sight.count)
        oldest = self._remember(sight.oldest, all_read=not unread)
        return Numbers(self._clock.now(), depth, counted, unread, oldest, policy.retention)

    def _remember(self, found: datetime | None, *, all_read: bool) -> datetime | None:
        """Return the oldest letter: what was ``found``, unless an older one may still be among those not read."""
        now, kept = self._clock.now(), self.numbers.oldest if self.numbers else None
        is_forgotten = self._seen_at is None or now - self._seen_at >= KEPT
        if all_read or kept is None or (found is not None and (found <= kept or is_forgotten)):
            self._seen_at = now
            return found
        return kept


async def look(dead_letters: Queue, counted: int, *, most: int = LETTERS) -> Sight:
    """Return what is to be seen of a dead-letter queue that counts so many letters; see the module's docstring."""
    seen: dict[str, datetime] = {}
    barren = 0
    while len(seen) < min(counted, most) and barren < BARREN:
        letters = await dead_letters.receive(limit=BATCH_LIMIT, wait=WAIT, lease=LEASE)
        known = len(seen)
        seen |= {letter.message_id: letter.sent_at for letter in letters}
        barren = barren + 1 if len(seen) == known else 0
    return Sight(len(seen), min(seen.values(), default=None))


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
