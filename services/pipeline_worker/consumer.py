"""Receives, bounds and drains: which deliveries are in work, and when none is taken any more."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import structlog

from etl_core.errors import Transient
from etl_core.lifecycle import unfinished
from etl_core.queue import BATCH_LIMIT
from etl_core.retry import Backoff
from pipeline_processing.messages import PROCESSOR
from pipeline_processing.settlement import Failed, LostLease, Unrecorded
from pipeline_worker.measures import UNKNOWN
from pipeline_worker.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from etl_core.clock import Clock
    from etl_core.queue import Delivery, Queue
    from etl_core.queue.lease import Held, LeaseKeeper
    from pipeline_processing.executor import Context, Executor
    from pipeline_processing.settlement import Outcome, Settlement
    from pipeline_processing.settler import Settler
    from pipeline_worker.measures import Measures

BACKOFF: Final = Backoff(base=timedelta(seconds=1), cap=timedelta(seconds=30), floor=timedelta(milliseconds=200))
"""Between receives that fail or come back empty at once, and while the control store can not be written."""
LINGER: Final = timedelta(milliseconds=10)
"""A busy worker's receivers wait this long for more places: ten messages cost one request, as one does."""
LOOK: Final = timedelta(seconds=1)
"""How often lost leases are looked for."""
POLL_SLACK: Final = timedelta(seconds=60)
"""A poll that takes this much longer than its wait hangs."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, and how long. ``max_idle`` and ``until_empty`` end a worker that has nothing to do."""

    lease: timedelta
    wait: timedelta
    drain: timedelta
    grace: timedelta
    concurrency: int = 8
    processors: Mapping[str, int] = field(default_factory=dict)
    receivers: int = 2
    max_idle: timedelta | None = None
    until_empty: bool = False
    max_items: int | None = None
    """Take so many deliveries, or what there is until a poll brings none, finish them however long that takes, and end:
    what a job's pod does, so that it begins nothing when its time is nearly over."""


class _State(Enum):
    WAITING = auto()
    """For its processor's turn; nothing has been started."""
    RUNNING = auto()
    SETTLING = auto()
    """Not to be cancelled any more."""


@dataclass(slots=True, eq=False)
class _Work:
    delivery: Delivery
    held: Held
    state: _State = _State.WAITING


class Consumer:
    """Takes no more deliveries than it has places for, runs each to its settlement, and drains when told to."""

    def __init__(
        self,
        queue: Queue,
        executor: Executor,
        settler: Settler,
        keeper: LeaseKeeper,
        limits: Limits,
        *,
        measures: Measures,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        """Take a ``keeper`` that renews with the same lease as ``limits``; this consumer runs it."""
        self._queue = queue
        self._executor = executor
        self._settler = settler
        self._keeper = keeper
        self._limits = limits
        self._measures = measures
        self._clock = clock
        self._jitter = jitter
        self._slots = Slots(limits.concurrency, limits.max_items)
        self._turns = {name: asyncio.Semaphore(limit) for name, limit in limits.processors.items()}
        self._work: dict[asyncio.Task[None], _Work] = {}
        self._draining = asyncio.Event()
        self._faults: list[BaseException] = []
        self._polls: dict[int, float] = {}
        self._is_reachable = True
        self._unrecorded = 0
        self._resume_at = 0.0
        self._busy_at = clock.monotonic()
        self.stuck = 0
        """Items that ignored their cancellation: given back, but their tasks or threads still run."""
        waits = (
            limits.wait,
            limits.max_idle or limits.wait,
            timedelta(seconds=1) if limits.until_empty else limits.wait,
        )
        self._wait = min(waits)

    @property
    def is_alive(self) -> bool:
        """Say whether no poll hangs."""
        latest = self._clock.monotonic() - (self._wait + POLL_SLACK).total_seconds()
        return all(since > latest for since in self._polls.values())

    @property
    def is_ready(self) -> bool:
        """Say whether the last receive reached the queue and work is still taken."""
        return self._is_reachable and not self._draining.is_set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set or there is nothing left to do, then drain (law 9).

        Raises, after the drain, what a receiver or the lease keeper could not ride out.
        """
        guards = [asyncio.create_task(self._keeper.run()), asyncio.create_task(self._cancel_lost())]
        receivers = [asyncio.create_task(self._receive(number)) for number in range(self._limits.receivers)]
        ends = [asyncio.create_task(stop.wait()), asyncio.create_task(self._draining.wait())]
        try:
            await asyncio.wait({*ends, *guards, *receivers}, return_when=asyncio.FIRST_COMPLETED)
            await self._drain(receivers)
        finally:
            tasks = [*ends, *guards, *receivers, *self._work]
            for task in tasks:
                task.cancel()
            await unfinished(tasks, within=timedelta(seconds=1), clock=self._clock)
        ended = [task for task in (*guards, *receivers) if task.done() and not task.cancelled()]
        faults = [*self._faults, *(error for task in ended if (error := task.exception()))]
        if faults:
            raise faults[0]

    # Receiving

    async def _receive(self, number: int) -> None:
        misses = 0
        while not self._draining.is_set():
            places = await self._take_places()
            if self._draining.is_set():
                self._slots.untake(places)
                return
            asked = self._polls[number] = self._clock.monotonic()
            try:
                deliveries = await self._queue.receive(limit=places, wait=self._wait, lease=self._limits.lease)
                is_over = not deliveries and await self._has_nothing_to_do()
            except Transient as error:
                self._slots.untake(places)
                self._is_reachable = False
                self._measures.receives.labels("failed").inc()
                log.warning("receive.failed", queue=self._queue.name, error=str(error))
                misses += 1
                await self._pause(BACKOFF.delay(misses, self._jitter()))
                continue
            finally:
                del self._polls[number]
            self._is_reachable = True
            self._slots.untake(places - len(deliveries))
            self._measures.receive(deliveries, self._clock.now())
            if is_over:
                self._draining.set()
            elif deliveries:
                misses = 0
                await self._accept(deliveries)
            elif self._clock.monotonic() - asked < self._wait.total_seconds() / 2:
                # Empty at once: the queue is at its limit in flight. That is not *no work*, and no reason to spin.
                misses += 1
                await self._pause(BACKOFF.delay(misses, self._jitter()))
            else:
                self._measures.queue_age.set(0)
                self._slots.spend()

    async def _take_places(self) -> int:
        while not self._draining.is_set():
            await self._slots.wait()
            rest = timedelta(seconds=self._resume_at - self._clock.monotonic())
            if rest > timedelta(0):
                await self._pause(rest)
                continue
            if self._slots.is_spent:
                await self._end_with_the_last()
                continue
            if self._slots.free < min(BATCH_LIMIT, self._limits.concurrency) and self._work:
                await self._clock.sleep(LINGER)
            if places := self._slots.take(BATCH_LIMIT):
                return places
        return 0

    async def _end_with_the_last(self) -> None:
        """Drain once all that may be taken is done; another receiver may still bring less than it asked for."""
        await self._pause(LOOK)
        if self._slots.is_spent and not self._work and not self._polls:
            self._draining.set()

    async def _accept(self, deliveries: Sequence[Delivery]) -> None:
        helds = [self._keeper.hold(delivery) for delivery in deliveries]
        if self._draining.is_set():  # what a poll still brought
            await self._settler.release(deliveries, helds)
            self._slots.give(len(deliveries))
            return
        for delivery, held in zip(deliveries, helds, strict=True):
            work = _Work(delivery, held)
            task = asyncio.create_task(self._live(work))
            self._work[task] = work
            task.add_done_callback(self._leave)
        self._measures.in_flight.set(len(self._work))

    async def _has_nothing_to_do(self) -> bool:
        """Say, after an empty receive, whether that was the end; an empty receive alone proves nothing (law 11)."""
        if self._work or not (self._limits.until_empty or self._limits.max_idle):
            return False
        if self._limits.until_empty:
            return (await self._queue.depth()).is_empty()
        idle = timedelta(seconds=self._clock.monotonic() - self._busy_at)
        return idle >= (self._limits.max_idle or idle) and not (await self._queue.depth()).visible

    async def _pause(self, duration: timedelta) -> None:
        """Wait, but no longer than until the drain begins."""
        drain = asyncio.create_task(self._draining.wait())
        await unfinished([drain], within=duration, clock=self._clock)
        drain.cancel()

    # One delivery

    async def _live(self, work: _Work) -> None:
        turn = self._turns.get(work.delivery.attributes.get(PROCESSOR, ""), nullcontext())
        try:
            async with turn:
                work.state = _State.RUNNING
                begun = self._clock.monotonic()
                context, outcome = await self._executor.run(work.delivery, lost=work.held.lost)
                work.state = _State.SETTLING
        except asyncio.CancelledError:  # while it waited for its turn: the executor takes its own cancellation in
            work.state = _State.SETTLING
            if not work.held.lost.is_set():
                await self._settler.release([work.delivery], [work.held])
            return
        seconds = self._clock.monotonic() - begun
        self._heed(outcome)
        settlement = await self._settler.settle(context, outcome, work.held)
        self._tell(context, outcome, settlement, seconds)

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._work.pop(task)
        self._slots.give(1)
        self._busy_at = self._clock.monotonic()
        self._measures.in_flight.set(len(self._work))
        if not task.cancelled() and (error := task.exception()):
            # Neither the item's fault nor the queue's: a bug. Stop taking work; what is held comes back by itself.
            log.error("worker.faulty", exc_info=error)
            self._faults.append(error)
            self._draining.set()

    def _heed(self, outcome: Outcome) -> None:
        """Take less while the control store fails: each delivery then costs a receive and brings nothing."""
        self._unrecorded = self._unrecorded + 1 if isinstance(outcome, Unrecorded) else 0
        if self._unrecorded:
            self._resume_at = self._clock.monotonic() + BACKOFF.delay(self._unrecorded, self._jitter()).total_seconds()

    def _tell(self, context: Context, outcome: Outcome, settlement: Settlement, seconds: float) -> None:
        message, kind = context.message, type(outcome).__name__.lower()
        known = message is not None and self._executor.knows(message.processor)
        processor = message.processor if message and known else UNKNOWN
        self._measures.settle(processor, outcome, settlement, seconds)
        if isinstance(outcome, LostLease):
            self._measures.leases_lost.inc()
        failure = outcome.failure if isinstance(outcome, Failed | Unrecorded) else None
        log.info(
            "item.settled",
            delivery_id=context.delivery.message_id,
            run_id=message.run_id if message else None,
            item_id=message.item_id if message else None,
            agency_id=message.agency_id if message else None,
            processor=processor,
            attempt=context.number,
            receive_count=context.delivery.receive_count,
            outcome=kind,
            settlement=type(settlement).__name__.lower(),
            wall_seconds=round(seconds, 4),
            **({"error_class": failure.error_class, "fingerprint": failure.fingerprint} if failure else {}),
        )

    # Guarding and draining

    async def _cancel_lost(self) -> None:
        while True:
            await self._clock.sleep(LOOK)
            self._cancel(lambda work: work.held.lost.is_set())

    def _cancel(self, is_meant: Callable[[_Work], bool]) -> None:
        for task, work in self._work.items():
            if work.state is not _State.SETTLING and is_meant(work):
                task.cancel()

    async def _drain(self, receivers: Sequence[asyncio.Task[None]]) -> None:
        self._draining.set()
        self._measures.draining.set(1)
        log.info("drain.started", in_flight=len(self._work))
        spare = max(self._limits.grace - self._limits.drain, timedelta(0))
        self._cancel(lambda work: work.state is _State.WAITING)
        await unfinished([*self._work, *receivers], within=self._limits.drain, clock=self._clock)
        self._cancel(lambda _: True)
        await unfinished([*self._work, *receivers], within=spare / 4, clock=self._clock)
        stuck = [work for work in self._work.values() if work.state is not _State.SETTLING]
        self.stuck = len(stuck)
        last = [
            asyncio.create_task(self._settler.flush()),
            asyncio.create_task(self._settler.release([w.delivery for w in stuck], [w.held for w in stuck])),
        ]
        await unfinished(last, within=spare / 4, clock=self._clock)
        log.info("drain.finished", in_flight=len(self._work), released=len(stuck))
