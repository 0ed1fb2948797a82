"""What the product asks of a queue; `sqs` and `memory` answer it and pass one contract suite.

Semantics are those of an SQS standard queue: at least once, unordered, a received message is invisible for its lease
and comes back afterwards.
Every batch call returns a report with one entry per input: a batch is never all or nothing, and its failures must be
read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from etl_core.batch import BatchReport

BATCH_LIMIT: Final = 10
"""Entries in one SQS batch call."""
MESSAGE_LIMIT: Final = 1024 * 1024
"""Bytes of a message with its attributes, and of a whole batch."""
VISIBILITY_LIMIT: Final = timedelta(hours=12)
"""A message can be held this long in total, counted from its receive."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send. ``group`` is the fairness group (MessageGroupId on a standard queue)."""

    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    delay: timedelta = timedelta(0)

    def size(self) -> int:
        """Return the bytes SQS counts against `MESSAGE_LIMIT`: body, attribute names, types and values."""
        return len(self.body.encode()) + sum(
            len(n.encode()) + len("String") + len(v.encode()) for n, v in self.attributes.items()
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """One hand-over of a message. ``receipt`` is this hand-over's handle; an older one stops working."""

    message_id: str
    receipt: str
    body: str
    attributes: Mapping[str, str]
    receive_count: int
    sent_at: datetime
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """Approximate message counts; on SQS they lag by up to a minute."""

    visible: int
    in_flight: int
    delayed: int

    def is_empty(self) -> bool:
        """Say whether no message is known in any state."""
        return not (self.visible or self.in_flight or self.delayed)


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """How the queue is configured; ``None`` where it is not set (or, for a memory queue, does not exist)."""

    lease: timedelta
    retention: timedelta
    max_receive_count: int | None = None
    dead_letter_queue: str | None = None


class Queue(Protocol):
    """At-least-once queue. Calls take any number of entries and split them into service batches themselves."""

    @property
    def name(self) -> str:
        """Return the queue's short name, for logs and errors."""
        ...

    async def receive(self, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Return up to min(``limit``, 10) deliveries, waiting up to ``wait`` (≤ 20 s) for the first.

        An empty answer does not mean that the queue is empty.

        Raises Transient or ConfigError (no such queue, denied).
        """
        ...

    async def send(self, messages: Sequence[Message]) -> BatchReport:
        """Send; full batches in parallel, split by count and by bytes.

        An entry may have been sent although it is reported failed.
        """
        ...

    async def extend(self, receipts: Sequence[str], lease: timedelta) -> BatchReport:
        """Set the remaining lease to ``lease`` from now; zero gives the message back at once."""
        ...

    async def delete(self, receipts: Sequence[str]) -> BatchReport:
        """Acknowledge. Deleting what is already deleted succeeds."""
        ...

    async def depth(self) -> Depth:
        """Return the approximate counts."""
        ...

    async def policy(self) -> QueuePolicy:
        """Return the queue's configuration."""
        ...
