"""A dead letter: the original message with one attribute that says why it died; and how a queue of them is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Final, Self

from etl_core.queue import MESSAGE_LIMIT, Message
from etl_core.queue.limits import ATTRIBUTE_LIMIT
from pipeline_processing.messages import ERROR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from types import TracebackType

    from etl_core.clock import Clock
    from etl_core.queue import Delivery, Queue
    from pipeline_processing.model import Failure


_LEASE: Final = timedelta(minutes=2)
_WAIT: Final = timedelta(seconds=1)
_EMPTY_RECEIVES: Final = 2
"""Empty receives in a row after which the queue counts as read: one alone proves nothing (law 11)."""
_SPARE_RECEIVES: Final = 100
"""Receives in a row, beyond twice the letters known, that may bring back known letters only before a pass gives up."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a letter is dead. ``run_id`` and ``item_id`` are None where the message could not be read."""

    reason: str
    failure: Failure
    attempts: int
    worker: str
    code_version: str
    died_at: str
    run_id: str | None = None
    item_id: str | None = None

    def encode(self, *, with_message: bool = True) -> str:
        """Return the attribute's value: ASCII, as SQS refuses some characters that JSON may hold as they are."""
        document = {
            "reason": self.reason,
            "class": self.failure.error_class,
            "message": self.failure.message if with_message else "",
            "fingerprint": self.failure.fingerprint,
            "attempts": self.attempts,
            "worker": self.worker,
            "code_version": self.code_version,
            "died_at": self.died_at,
            "run_id": self.run_id,
            "item_id": self.item_id,
        }
        return json.dumps(document, separators=(",", ":"))


def compose(delivery: Delivery, cause: Cause) -> Message:
    """Return the dead letter: all of the message, and the cause as far as the limits leave room."""
    attributes = {name: value for name, value in delivery.attributes.items() if name != ERROR}
    if len(attributes) < ATTRIBUTE_LIMIT:
        for spelled in (cause.encode(), cause.encode(with_message=False)):
            letter = Message(delivery.body, {**attributes, ERROR: spelled}, delivery.group)
            if letter.size() <= MESSAGE_LIMIT:
                return letter
    return Message(delivery.body, attributes, delivery.group)


class Reading:
    """One pass over a dead-letter queue, as an async context manager that gives every letter back on its way out.

    Letters are leased for two minutes, and again before that ends. One that comes back all the same is recognised and
    not given out twice; it is no sign that the queue is read, as others may stand behind it. After a hard kill they
    come back by themselves.
    """

    def __init__(self, queue: Queue, clock: Clock, *, lease: timedelta = _LEASE, wait: timedelta = _WAIT) -> None:
        self._queue = queue
        self._clock = clock
        self._lease = lease
        self._wait = wait
        self._receipts: dict[str, str] = {}
        """The newest of each letter that is still in the queue."""
        self._ends: dict[str, float] = {}
        """When the leases that are renewed run out, the next one first: all leases are equally long."""
        self.count = 0
        """Letters given out."""
        self.dropped = 0
        """Those of them that were deleted."""
        self.gave_up = False
        """Whether the pass ended although the queue kept giving, and gave nothing but known letters."""

    async def __aenter__(self) -> Self:
        """Receive nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what is held. Per-entry failures are leases that ran out: those letters are back already."""
        if self._receipts:
            await self._queue.extend(list(self._receipts.values()), timedelta(0))

    async def batches(self, size: int = 10) -> AsyncIterator[list[Delivery]]:
        """Yield letters not seen before, up to ``size`` (at most 10) at a time, until there are no more."""
        seen: set[str] = set()
        empty = known = 0
        while empty < _EMPTY_RECEIVES:
            await self._renew()
            ends = self._clock.monotonic() + self._lease.total_seconds()
            deliveries = await self._queue.receive(limit=size, wait=self._wait, lease=self._lease)
            for delivery in deliveries:
                self._hold(delivery.message_id, delivery.receipt, ends)
            fresh = [delivery for delivery in deliveries if delivery.message_id not in seen]
            seen |= {delivery.message_id for delivery in fresh}
            empty = 0 if deliveries else empty + 1
            known = 0 if fresh else known + 1
            if fresh:
                self.count += len(fresh)
                yield fresh
            elif known > 2 * len(seen) + _SPARE_RECEIVES:
                self.gave_up = True
                return

    async def drop(self, letters: Iterable[Delivery]) -> list[Delivery]:
        """Delete ``letters`` from the queue; return those that could not be."""
        chosen = list(letters)
        if not chosen:
            return []
        report = await self._queue.delete([self._receipts[letter.message_id] for letter in chosen])
        for index in report.succeeded:
            del self._receipts[chosen[index].message_id]
            self._ends.pop(chosen[index].message_id, None)
        self.dropped += len(report.succeeded)
        return [chosen[failure.index] for failure in report.failed]

    def _hold(self, message_id: str, receipt: str, ends: float) -> None:
        self._receipts[message_id] = receipt
        self._ends.pop(message_id, None)  # to the end of the order
        self._ends[message_id] = ends

    async def _renew(self) -> None:
        """Renew the leases of which half is gone. One that can not be is left to run out: its letter comes back."""
        now = self._clock.monotonic()
        soon = now + self._lease.total_seconds() / 2
        due = list(takewhile(lambda message_id: self._ends[message_id] <= soon, self._ends))
        if not due:
            return
        report = await self._queue.extend([self._receipts[message_id] for message_id in due], self._lease)
        for message_id in due:
            del self._ends[message_id]
        for index in report.succeeded:
            self._ends[due[index]] = now + self._lease.total_seconds()
