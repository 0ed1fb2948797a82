"""Dead letters: what one says, which belong together, and a way to read a queue of them that leaves it as it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from pipeline_processing.messages import ERROR, MalformedMessage, decode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime
    from types import TracebackType

    from etl_core.queue import Delivery, Queue
    from pipeline_processing.messages import ItemMessage

MOVED: Final = "moved"
"""Stands for the fingerprint of letters that SQS itself moved: nobody was left to write their error."""
MALFORMED: Final = "malformed"
"""Stands for the fingerprint of letters whose body is none of ours and left no room for their error."""
UNREADABLE: Final = "unreadable"
"""Stands for the fingerprint of letters whose error can not be read."""

_LEASE: Final = timedelta(minutes=2)
_WAIT: Final = timedelta(seconds=1)
_PATIENCE: Final = 2
"""Receives in a row with nothing new after which the queue counts as read: an empty one alone proves nothing."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a letter is dead, as the worker that buried it wrote; ``None`` where nobody did."""

    fingerprint: str
    error_class: str
    message: str
    reason: str
    attempts: int | None = None
    worker: str | None = None
    code_version: str | None = None
    died_at: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. ``message`` is None where the body is none of ours: then ``malformed`` says why."""

    delivery: Delivery
    cause: Cause
    message: ItemMessage | None
    malformed: str = ""

    def expires_at(self, retention: timedelta) -> datetime:
        """Return when the queue drops it: a dead-letter queue counts from the original send."""
        return self.delivery.sent_at + retention


@dataclass(slots=True)
class Group:
    """Letters with the same fingerprint."""

    cause: Cause
    oldest: datetime
    count: int = 0
    runs: set[str] = field(default_factory=set)
    agencies: set[str] = field(default_factory=set)
    processors: set[str] = field(default_factory=set)

    def add(self, letter: DeadLetter) -> None:
        """Count ``letter`` in."""
        self.count += 1
        self.oldest = min(self.oldest, letter.delivery.sent_at)
        if letter.message:
            self.runs.add(letter.message.run_id)
            self.agencies.add(letter.message.agency_id)
            self.processors.add(letter.message.processor)


class Groups:
    """Letters by fingerprint; holds no letter, only counts and ids."""

    def __init__(self, letters: Iterable[DeadLetter] = ()) -> None:
        self._groups: dict[str, Group] = {}
        for letter in letters:
            self.add(letter)

    def add(self, letter: DeadLetter) -> None:
        """Count ``letter`` into its group."""
        group = self._groups.setdefault(letter.cause.fingerprint, Group(letter.cause, letter.delivery.sent_at))
        group.add(letter)

    def by_size(self) -> list[Group]:
        """Return the groups, largest first, then the one that expires first."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, group.oldest, group.cause.fingerprint))


def parse(delivery: Delivery) -> DeadLetter:
    """Return what ``delivery`` says; total: nothing in a dead-letter queue is unreadable enough to raise."""
    message, malformed = None, ""
    try:
        message = decode(delivery.body)
    except MalformedMessage as fault:
        malformed = fault.reason
    return DeadLetter(delivery, _cause(delivery, malformed), message, malformed)


def _cause(delivery: Delivery, malformed: str) -> Cause:
    text = delivery.attributes.get(ERROR)
    if text is None and malformed:
        return Cause(MALFORMED, "", malformed, "malformed")
    if text is None:
        return Cause(MOVED, "", "moved by the queue: its worker died or never finished", "moved_by_queue")
    try:
        error: dict[str, Any] = orjson.loads(text)
        return Cause(
            fingerprint=str(error["fingerprint"]),
            error_class=str(error["class"]),
            message=str(error["message"]),
            reason=str(error["reason"]),
            attempts=int(error["attempts"]),
            worker=str(error["worker"]),
            code_version=str(error["code_version"]),
            died_at=str(error["died_at"]),
        )
    except (ValueError, KeyError, TypeError):
        return Cause(UNREADABLE, "", "its error attribute can not be read", "unreadable")


class Reading:
    """One pass over a dead-letter queue, as an async context manager that gives every letter back on its way out.

    Letters are leased for two minutes. What comes back within a longer pass is recognised and not given out twice;
    after a hard kill they come back by themselves.
    """

    def __init__(self, queue: Queue, *, lease: timedelta = _LEASE, wait: timedelta = _WAIT) -> None:
        self._queue = queue
        self._lease = lease
        self._wait = wait
        self._held: dict[str, str] = {}
        self.count = 0
        """Letters given out."""

    async def __aenter__(self) -> Self:
        """Receive nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what is held. Per-entry failures are leases that ran out: those letters are back already."""
        if self._held:
            await self._queue.extend(list(self._held.values()), timedelta(0))

    async def batches(self, size: int = 10) -> AsyncIterator[list[DeadLetter]]:
        """Yield letters not seen before, up to ``size`` (at most 10) at a time, until there are no more."""
        idle = 0
        while idle < _PATIENCE:
            letters = []
            for delivery in await self._queue.receive(limit=size, wait=self._wait, lease=self._lease):
                if delivery.message_id not in self._held:
                    letters.append(parse(delivery))
                self._held[delivery.message_id] = delivery.receipt
            idle = 0 if letters else idle + 1
            if letters:
                self.count += len(letters)
                yield letters

    async def drop(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        """Delete ``letters`` from the queue; return those that could not be."""
        chosen = list(letters)
        if not chosen:
            return []
        report = await self._queue.delete([self._held[letter.delivery.message_id] for letter in chosen])
        for index in report.succeeded:
            del self._held[chosen[index].delivery.message_id]
        return [chosen[failure.index] for failure in report.failed]
