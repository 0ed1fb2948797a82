"""Where a benchmark runs: adapters in memory, or the local endpoint with buckets and queues of its own."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from etl_core.clock import SystemClock
from etl_core.objects.memory import MemoryBuckets
from etl_core.queue.memory import MemoryQueue
from pipeline_local.resources import client, ensure_queue
from pipeline_processing.model import Item, ItemResult, Published
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from etl_core.queue import Queue
    from pipeline_processing.model import Gathered, Json, Processor

RUN_ID = "bench"
AGENCIES = 20
LEASE = timedelta(minutes=5)


@dataclass(frozen=True)
class Place:
    services: ServiceHandler
    queue: Queue
    dead_letters: Queue


@asynccontextmanager
async def place(kind: str) -> AsyncIterator[Place]:
    """Give empty buckets and queues, ``memory`` or ``endpoint``."""
    maker = _memory() if kind == "memory" else _endpoint()
    async with maker as made:
        yield made


@asynccontextmanager
async def _memory() -> AsyncIterator[Place]:
    clock = SystemClock()
    buckets = MemoryBuckets(clock)
    dead_letters = MemoryQueue("live-dlq", clock)
    queue = MemoryQueue("live", clock, lease=LEASE, max_receive_count=8, dead_letter_queue=dead_letters)
    settings = Settings.model_validate({"control_bucket": "control", "live_queue": "live"})
    queues = {"live": queue, "live-dlq": dead_letters}
    async with ServiceHandler(settings, clock=clock, stores=buckets.store, queues=queues.__getitem__) as services:
        yield Place(services, queue, dead_letters)


@asynccontextmanager
async def _endpoint() -> AsyncIterator[Place]:
    environment = dict(os.environ)
    name = f"bench-{uuid4().hex[:12]}"
    client("s3", environment).create_bucket(Bucket=name)
    ensure_queue(client("sqs", environment), name, lease=str(int(LEASE.total_seconds())), max_receive_count=8)
    async with ServiceHandler(Settings(control_bucket=name, live_queue=name)) as services:
        lane = await services.lane("live")
        yield Place(services, lane.queue, lane.dead_letters)


class Nothing:
    """The processor whose items are no work: what is left is what the product itself costs."""

    name = "nothing"

    async def process(self, item: Item) -> ItemResult:
        return ItemResult(item.item_id, "done", {"done": 1})


@dataclass
class NothingJob:
    """Items of the size that a pack of one file has."""

    size: int
    name: str = "nothing"

    def parse(self, argv: Sequence[str]) -> Mapping[str, Json]:
        return {}

    async def plan(self, run_id: str, spec: Mapping[str, Json], services: ServiceHandler) -> AsyncIterator[Item]:
        for item in items(self.size):
            yield item

    def processors(self, services: ServiceHandler) -> Sequence[Processor]:
        return [Nothing()]

    async def publish(
        self, run_id: str, spec: Mapping[str, Json], results: AsyncIterator[Gathered], services: ServiceHandler
    ) -> Published:
        count = sum([1 async for _ in results])
        return Published("nothing", changed=True, counts={"items": count})


def items(size: int) -> list[Item]:
    return [
        Item(
            "nothing",
            f"agency-{number % AGENCIES}",
            {
                "source_bucket": "agency-source",
                "destination_bucket": "agency-destination",
                "files": [
                    {
                        "source_key": f"agency-{number % AGENCIES}/reports/{number:09}.pdf",
                        "destination_key": f"agency-{number % AGENCIES}/attachments/reports/{number:09}.pdf",
                        "size": number,
                        "etag": f"{number:032x}",
                    }
                ],
            },
        )
        for number in range(size)
    ]
