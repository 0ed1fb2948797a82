"""A queue in this process with the semantics of an SQS standard queue, on an injected clock."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from etl_core.batch import BatchReport, EntryFailure
from etl_core.queue import BATCH_LIMIT, VISIBILITY_LIMIT, Delivery, Depth, Message, QueuePolicy
from etl_core.queue.limits import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from etl_core.clock import Clock


class _State(Enum):
    DELAYED = auto()
    VISIBLE = auto()
    IN_FLIGHT = auto()


@dataclass(slots=True, eq=False)
class _Stored:
    message_id: str
    message: Message
    sent_at: datetime
    state: _State = _State.VISIBLE
    receive_count: int = 0
    received_at: float = 0.0
    visible_at: float = 0.0

    @property
    def receipt(self) -> str:
        return f"{self.message_id}/{self.receive_count}"


@dataclass(slots=True)
class _Hidden:
    """Messages that are not visible yet, by the time they will be; entries whose message moved on are skipped."""

    heap: list[tuple[float, int, _Stored]] = field(default_factory=list)
    order: itertools.count[int] = field(default_factory=itertools.count)

    def add(self, stored: _Stored) -> None:
        heapq.heappush(self.heap, (stored.visible_at, next(self.order), stored))

    def next_at(self) -> float | None:
        return self.heap[0][0] if self.heap else None

    def due(self, now: float) -> Iterable[_Stored]:
        while self.heap and self.heap[0][0] <= now:
            at, _, stored = heapq.heappop(self.heap)
            if stored.state is not _State.VISIBLE and stored.visible_at == at:
                yield stored


class MemoryQueue:
    """An SQS standard queue without the service: leases, receive counts, delays, retention, redrive.

    A message that was received ``max_receive_count`` times goes to ``dead_letter_queue`` when it would be received
    once more, with its original
    send time. One event loop only.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        lease: timedelta = timedelta(seconds=30),
        retention: timedelta = timedelta(days=14),
        max_receive_count: int | None = None,
        dead_letter_queue: MemoryQueue | None = None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._dead_letters = dead_letter_queue
        self._policy = QueuePolicy(
            lease=lease,
            retention=retention,
            max_receive_count=max_receive_count,
            dead_letter_queue=dead_letter_queue.name if dead_letter_queue else None,
        )
        self._ids = itertools.count(1)
        self._stored: dict[str, _Stored] = {}
        self._visible: deque[_Stored] = deque()
        self._hidden = _Hidden()
        self._counts: Counter[_State] = Counter()
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def name(self) -> str:
        """Return the queue's name."""
        return self._name

    async def receive(self, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Return up to min(``limit``, 10) deliveries; with ``wait``, as soon as there is a first one."""
        deadline = self._clock.monotonic() + wait.total_seconds()
        while True:
            await asyncio.sleep(0)  # a service call gives way, even when it answers at once
            if deliveries := self._take(min(limit, BATCH_LIMIT), lease):
                return deliveries
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0:
                return ()
            await self._wait_for_a_message(remaining)

    async def send(self, messages: Sequence[Message]) -> BatchReport:
        """Send; what SQS would refuse is reported per entry."""
        await asyncio.sleep(0)
        failed = [fault for i, message in enumerate(messages) if (fault := refusal(i, message))]
        refused = {fault.index for fault in failed}
        now = self._clock.now()
        for index, message in enumerate(messages):
            if index not in refused:
                self._add(_Stored(f"{self._name}-{next(self._ids)}", message, now), delay=message.delay)
        return BatchReport(tuple(i for i in range(len(messages)) if i not in refused), tuple(failed))

    async def extend(self, receipts: Sequence[str], lease: timedelta) -> BatchReport:
        """Set the remaining lease; only the newest receipt of a message in flight can."""
        await asyncio.sleep(0)
        self._surface()
        now = self._clock.monotonic()
        succeeded: list[int] = []
        failed: list[EntryFailure] = []
        for index, receipt in enumerate(receipts):
            stored = self._find(receipt)
            if stored is None or stored.state is not _State.IN_FLIGHT:
                text = "the message does not exist or is not available for a visibility timeout change"
                failed.append(EntryFailure(index, "InvalidParameterValue", text, transient=False))
            elif now + lease.total_seconds() - stored.received_at > VISIBILITY_LIMIT.total_seconds():
                text = f"the total visibility would exceed {VISIBILITY_LIMIT}"
                failed.append(EntryFailure(index, "InvalidParameterValue", text, transient=False))
            else:
                stored.visible_at = now + lease.total_seconds()
                self._hidden.add(stored)
                succeeded.append(index)
        self._surface()
        self._wake()
        return BatchReport(tuple(succeeded), tuple(failed))

    async def delete(self, receipts: Sequence[str]) -> BatchReport:
        """Acknowledge. An older receipt than the newest, or one of a deleted message, succeeds and deletes nothing."""
        await asyncio.sleep(0)
        for receipt in receipts:
            if stored := self._find(receipt):
                self._remove(stored)
        return BatchReport(tuple(range(len(receipts))))

    async def depth(self) -> Depth:
        """Return the counts, exactly."""
        self._surface()
        return Depth(
            visible=self._counts[_State.VISIBLE],
            in_flight=self._counts[_State.IN_FLIGHT],
            delayed=self._counts[_State.DELAYED],
        )

    async def policy(self) -> QueuePolicy:
        """Return the configuration given to the constructor."""
        return self._policy

    def _take(self, limit: int, lease: timedelta) -> list[Delivery]:
        self._surface()
        now = self._clock.monotonic()
        deliveries: list[Delivery] = []
        while self._visible and len(deliveries) < limit:
            stored = self._visible.popleft()
            if stored.message_id not in self._stored or stored.state is not _State.VISIBLE:
                continue
            if self._clock.now() - stored.sent_at >= self._policy.retention:
                self._remove(stored)
            elif self._dead_letters and stored.receive_count >= (self._policy.max_receive_count or 1):
                self._remove(stored)
                self._dead_letters.accept(stored)
            else:
                stored.receive_count += 1
                stored.received_at = now
                stored.visible_at = now + lease.total_seconds()
                self._change(stored, _State.IN_FLIGHT)
                self._hidden.add(stored)
                deliveries.append(_delivery(stored))
        return deliveries

    def accept(self, stored: _Stored) -> None:
        """Take over a message that another queue gives up; it keeps its id, send time and receive count."""
        dead = _Stored(stored.message_id, stored.message, stored.sent_at, receive_count=stored.receive_count)
        self._add(dead, delay=timedelta(0))

    def _add(self, stored: _Stored, *, delay: timedelta) -> None:
        self._stored[stored.message_id] = stored
        if delay:
            stored.state = _State.DELAYED
            stored.visible_at = self._clock.monotonic() + delay.total_seconds()
            self._hidden.add(stored)
        else:
            stored.state = _State.VISIBLE
            self._visible.append(stored)
        self._counts[stored.state] += 1
        self._wake()

    def _change(self, stored: _Stored, state: _State) -> None:
        self._counts[stored.state] -= 1
        self._counts[state] += 1
        stored.state = state

    def _remove(self, stored: _Stored) -> None:
        del self._stored[stored.message_id]
        self._counts[stored.state] -= 1

    def _find(self, receipt: str) -> _Stored | None:
        stored = self._stored.get(receipt.rpartition("/")[0])
        return stored if stored and stored.receipt == receipt else None

    def _surface(self) -> None:
        for stored in self._hidden.due(self._clock.monotonic()):
            if self._stored.get(stored.message_id) is stored:
                self._change(stored, _State.VISIBLE)
                self._visible.append(stored)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_for_a_message(self, at_most: float) -> None:
        """Return on a send, when something is given back, when a lease or delay ends, or after ``at_most`` seconds."""
        next_at = self._hidden.next_at()
        if next_at is not None:
            at_most = min(at_most, next_at - self._clock.monotonic())
        at_most = max(at_most, 0.000_001)  # a timedelta's resolution: a shorter sleep would not move a clock
        woken = asyncio.get_running_loop().create_future()
        self._waiters.add(woken)
        sleeper = asyncio.ensure_future(self._clock.sleep(timedelta(seconds=at_most)))
        try:
            await asyncio.wait((woken, sleeper), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiters.discard(woken)
            sleeper.cancel()


def _delivery(stored: _Stored) -> Delivery:
    return Delivery(
        message_id=stored.message_id,
        receipt=stored.receipt,
        body=stored.message.body,
        attributes=dict(stored.message.attributes),
        receive_count=stored.receive_count,
        sent_at=stored.sent_at,
        group=stored.message.group,
    )
