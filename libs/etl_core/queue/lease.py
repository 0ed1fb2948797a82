"""Keeps the leases of received messages alive, and says so when one is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from etl_core.errors import LeaseLost
from etl_core.queue import VISIBILITY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from datetime import timedelta
    from types import TracebackType

    from etl_core.batch import BatchReport
    from etl_core.clock import Clock
    from etl_core.queue import Delivery, Queue

LOOKS: Final = 4
"""Looks a heartbeat.

How soon a lease that ran out is noticed, and how often a renewal that failed for the moment is tried again.
"""


class Held:
    """A delivery whose lease is being kept. Leave the context (or call `forget`) before the message is settled."""

    def __init__(self, keeper: LeaseKeeper, delivery: Delivery, received: float, expires: float) -> None:
        self.delivery = delivery
        self.lost = asyncio.Event()
        self.received = received
        self.expires = expires
        self._keeper = keeper

    def __enter__(self) -> Self:
        """Return the held delivery."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop renewing."""
        self.forget()

    def forget(self) -> None:
        """Stop renewing; the lease runs on until it ends or the message is settled."""
        self._keeper.drop(self)

    def check(self) -> None:
        """Raise LeaseLost if the lease is lost: call it before a step that another holder must not repeat."""
        if self.lost.is_set():
            raise LeaseLost(f"the lease on message {self.delivery.message_id} is lost")


class LeaseKeeper:
    """Renews the leases of everything that is held, ten a call, at every heartbeat.

    A lease is lost when the queue refuses to renew it, when it ran out by the clock, or when the next renewal would
    pass the 12 hours that SQS allows.
    The holder learns it from ``Held.lost``; the keeper cancels nothing. `run` must be running, as a supervised
    task: ConfigError and AccessDenied
    end it.
    """

    def __init__(self, queue: Queue, *, lease: timedelta, heartbeat: timedelta, clock: Clock) -> None:
        self._queue = queue
        self._lease = lease
        self._heartbeat = heartbeat
        self._clock = clock
        self._held: set[Held] = set()
        self._unanswered: set[Held] = set()

    def __len__(self) -> int:
        """Return how many deliveries are held and not lost."""
        return len(self._held)

    def hold(self, delivery: Delivery) -> Held:
        """Keep the lease of what was received just now, with this keeper's ``lease``."""
        now = self._clock.monotonic()
        held = Held(self, delivery, now, now + self._lease.total_seconds())
        self._held.add(held)
        return held

    def drop(self, held: Held) -> None:
        """Stop renewing ``held``; no effect when that is over already."""
        self._held.discard(held)
        self._unanswered.discard(held)

    async def run(self) -> None:
        """Renew until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._renew_for_ever())

    async def renew(self, helds: Sequence[Held]) -> None:
        """Renew these leases once, now, and note which are lost and which got no answer."""
        asked = self._clock.monotonic()
        renewable = [held for held in helds if held in self._held and self._may_renew(held, asked)]
        if not renewable:
            return
        report = await self._within_a_heartbeat(
            self._queue.extend([held.delivery.receipt for held in renewable], self._lease)
        )
        if report is None:
            self._unanswered.update(held for held in renewable if held in self._held)
            return
        for index in report.succeeded:
            renewable[index].expires = asked + self._lease.total_seconds()
            self._unanswered.discard(renewable[index])
        for fault in report.failed:
            held = renewable[fault.index]
            if held in self._held and fault.transient:
                self._unanswered.add(held)
            elif held in self._held:
                self._lose(held)

    async def _renew_for_ever(self) -> None:
        while True:
            for look in range(1, LOOKS + 1):
                await self._clock.sleep(self._heartbeat / LOOKS)
                await self.renew(list(self._held if look == LOOKS else self._unanswered))

    async def _watch(self) -> None:
        """Notice leases that ran out, also while a renewal hangs."""
        while True:
            await self._clock.sleep(self._heartbeat / LOOKS)
            now = self._clock.monotonic()
            for held in [held for held in self._held if held.expires <= now]:
                self._lose(held)

    async def _within_a_heartbeat(self, renewal: Coroutine[object, object, BatchReport]) -> BatchReport | None:
        """Return the report, or None when the queue did not answer in time."""
        asking = asyncio.ensure_future(renewal)
        waiting = asyncio.ensure_future(self._clock.sleep(self._heartbeat))
        try:
            await asyncio.wait((asking, waiting), return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            waiting.cancel()
            asking.cancel()

    def _may_renew(self, held: Held, now: float) -> bool:
        return now + self._lease.total_seconds() - held.received <= VISIBILITY_LIMIT.total_seconds()

    def _lose(self, held: Held) -> None:
        self.drop(held)
        held.lost.set()
