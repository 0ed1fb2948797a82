"""What a run would take and cost, before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.queue import BATCH_LIMIT, MESSAGE_LIMIT
from etl_core.spool import SortedSpool
from pipeline_processing import unchanged
from pipeline_processing.manifest import PART_BYTES
from pipeline_processing.messages import message_for
from pipeline_processing.model import Item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from etl_core.queue import Message
    from pipeline_processing.model import Json

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

_NO_PART: Final = "manifest/00000-000000000000.jsonl.zst"
"""Stands for a part's key while nothing is written; as long as a real one, near enough for an estimate."""


@dataclass(slots=True)
class Estimate:
    """What a run would take, at least: no retries, no repeats, and without what its processors read and write."""

    items: int = 0
    inputs: int = 0
    manifest_bytes: int = 0
    sends: int = 0
    billed_sends: int = 0
    left_alone: int = 0
    """Inputs that a plan leaves alone: a marker an agency, and no message."""
    agencies: set[str] = field(default_factory=set)
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

    def as_json(self) -> dict[str, Json]:
        """Return the figures by name."""
        return {
            "items": self.items,
            "inputs": self.inputs,
            "left_alone": self.left_alone,
            "agencies": len(self.agencies),
            "send_calls": self.sends,
            "sqs_requests": self.queue_requests,
            "s3_writes_and_lists": self.writes,
            "s3_reads": self.reads,
            "dollars": round(self.dollars, 4),
        }


async def estimate(run_id: str, items: AsyncIterator[Item]) -> Estimate:
    """Return what a run of these items would take; plans to local disk and writes nothing else."""
    found = Estimate()
    with SortedSpool(unique=True) as spool:
        async for item in items:
            entry = [item.processor, item.agency_id, item.payload, item.inputs]
            spool.add(item.item_id.encode(), orjson.dumps(entry, option=orjson.OPT_SORT_KEYS))
        for _, line in spool:
            item = Item(*orjson.loads(line))
            if item.processor == unchanged.NAME:
                found.left_alone += item.inputs
                continue
            found.add(message_for(run_id, item, part=_NO_PART, resumed=False), item.inputs)
            found.agencies.add(item.agency_id)
    return found
