"""What a controller decides and computes: no I/O, no clock."""

from __future__ import annotations

import hashlib
import math
import re
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from etl_core.queue import BATCH_LIMIT, MESSAGE_LIMIT, Message
from pipeline_processing.manifest import PART_BYTES
from pipeline_processing.messages import PROCESSOR, RESUMED, TRACEPARENT, encode

if TYPE_CHECKING:
    from pipeline_processing.model import Item

# Dollars a request, us-east-1, standard storage and queues. Source: the services' public price lists, 2025.
PUT_PRICE: Final = 5 / 1_000_000
"""PUT, COPY, POST and LIST."""
GET_PRICE: Final = 0.40 / 1_000_000
QUEUE_PRICE: Final = 0.40 / 1_000_000
BILLED_CHUNK: Final = 64 * 1024
"""Bytes of a queue call that are billed as one request."""
LISTED: Final = 1000
"""Keys in one listing call."""
RUN_RECORDS: Final = 10
"""Writes a run makes whatever its size: its record's changes, manifest head, reports, flag."""

_ENDS: Final = 2
"""Points that a rate needs."""
_GROUP: Final = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}")
"""What SQS takes for a MessageGroupId: ASCII letters, digits and punctuation."""


def group_of(agency_id: str) -> str:
    """Return the fairness group of an agency: its id, or a digest where SQS would not take that."""
    if _GROUP.fullmatch(agency_id):
        return agency_id
    return hashlib.blake2b(agency_id.encode(), digest_size=16).hexdigest()


def message_for(run_id: str, item: Item, *, part: str, resumed: bool) -> Message:
    """Return the item's message. All items of a run share a trace, whose id is derived from the run's."""
    trace = hashlib.blake2b(run_id.encode(), digest_size=16).hexdigest()
    attributes = {PROCESSOR: item.processor, TRACEPARENT: f"00-{trace}-{item.item_id[:16]}-01"}
    if resumed:
        attributes[RESUMED] = "1"
    return Message(encode(run_id, item, part=part), attributes, group_of(item.agency_id))


@dataclass(slots=True)
class Estimate:
    """What a run would take, at least: no retries, no repeats, and without what its processors read and write."""

    items: int = 0
    inputs: int = 0
    manifest_bytes: int = 0
    sends: int = 0
    billed_sends: int = 0
    _batch: int = 0
    _room: int = 0

    def add(self, message: Message, inputs: int) -> None:
        """Count one item, in the order in which items are sent."""
        size = message.size()
        self.items += 1
        self.inputs += inputs
        self.manifest_bytes += len(message.body)
        if self._batch in {0, BATCH_LIMIT} or size > self._room:
            self._close()
            self.sends, self._batch, self._room = self.sends + 1, 0, MESSAGE_LIMIT
        self._batch += 1
        self._room -= size

    def _close(self) -> None:
        if self._batch:
            self.billed_sends += math.ceil((MESSAGE_LIMIT - self._room) / BILLED_CHUNK)

    @property
    def queue_requests(self) -> int:
        """Return the billed queue requests: sends, receives of as many bytes, and deletes by the ten."""
        last = math.ceil((MESSAGE_LIMIT - self._room) / BILLED_CHUNK) if self._batch else 0
        return 2 * (self.billed_sends + last) + math.ceil(self.items / BATCH_LIMIT)

    @property
    def writes(self) -> int:
        """Return the control bucket's writes and listings: a marker an item, the manifest, two listings of markers."""
        parts = math.ceil(self.manifest_bytes / PART_BYTES) if self.items else 0
        return self.items + parts + RUN_RECORDS + 2 * max(1, math.ceil(self.items / LISTED))

    @property
    def reads(self) -> int:
        """Return the control bucket's reads: each marker once, the manifest three times."""
        return self.items + 3 * math.ceil(self.manifest_bytes / PART_BYTES) + RUN_RECORDS

    @property
    def dollars(self) -> float:
        """Return what these requests cost."""
        return self.writes * PUT_PRICE + self.reads * GET_PRICE + self.queue_requests * QUEUE_PRICE


@dataclass(frozen=True, slots=True)
class Look:
    """What a waiting controller sees at one moment; ``at`` is monotonic seconds."""

    at: float
    done: int
    dead: int
    queue_is_empty: bool


Decision = Literal["wait", "confirm", "stalled"]


@dataclass(slots=True)
class Watch:
    """Decides, look by look, whether a run may be complete or has stalled.

    A run has stalled when nothing came for ``stall_after`` and the queue was empty in all counts at this look and the
    one before: SQS's counts are approximate, and one empty answer proves nothing (law 11).
    """

    planned: int
    stall_after: timedelta
    _last: Look | None = None
    _progress_at: float = 0.0

    def see(self, look: Look) -> Decision:
        """Take one look and say what to do: wait on, confirm by a full join, or send again what is pending."""
        last, self._last = self._last, look
        if last is None or (look.done, look.dead) != (last.done, last.dead):
            self._progress_at = look.at
        if look.done + look.dead >= self.planned:
            return "confirm"
        quiet = look.at - self._progress_at >= self.stall_after.total_seconds()
        if quiet and last is not None and last.queue_is_empty and look.queue_is_empty:
            self._progress_at = look.at
            return "stalled"
        return "wait"


def pause_after(poll: timedelta, look_took: timedelta) -> timedelta:
    """Return how long to wait for the next look: looking at a large run must not take more than a tenth of the time."""
    return max(poll, 9 * look_took)


@dataclass(slots=True)
class Pace:
    """Items a second over the last minute or so, and what is left at that rate."""

    window: timedelta = timedelta(minutes=1)
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, at: float, finished: int) -> None:
        """Take note of how many are finished at ``at`` (monotonic seconds)."""
        self._seen.append((at, finished))
        while len(self._seen) > _ENDS and at - self._seen[1][0] >= self.window.total_seconds():
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Return items a second; 0 where that is not known yet."""
        if not self._seen:
            return 0.0
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        return max(0.0, (last - first) / (last_at - first_at)) if last_at > first_at else 0.0

    def remaining(self, planned: int) -> timedelta | None:
        """Return the time that the rest takes at this rate, or None where nothing moves."""
        left = planned - (self._seen[-1][1] if self._seen else 0)
        return timedelta(seconds=left / self.rate) if self.rate else None
