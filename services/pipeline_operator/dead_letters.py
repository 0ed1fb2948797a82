"""Dead letters: what one says, which belong together, and whether all were read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline_processing.messages import ERROR, MalformedMessage, decode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from etl_core.queue import Delivery, Depth
    from pipeline_processing.messages import ItemMessage

MOVED: Final = "moved"
"""Stands for the fingerprint of letters that SQS itself moved: nobody was left to write their error."""
MALFORMED: Final = "malformed"
"""Stands for the fingerprint of letters whose body is none of ours and left no room for their error."""
UNREADABLE: Final = "unreadable"
"""Stands for the fingerprint of letters whose error can not be read."""


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


def shortfall(read: int, counted: int, before: Depth) -> str:
    """Say why fewer letters were ``read`` than the queue counted, or return nothing where all were."""
    if read >= counted:
        return ""
    if before.in_flight:
        return (
            f"the queue counts about {counted:,}, {before.in_flight:,} of them held by another reader; try again later"
        )
    if not read:
        return f"the queue counts about {counted:,} but gave none; its count lags by up to a minute"
    return f"read {read:,} of about {counted:,}; its count lags by up to a minute: run it again"
