"""Items a second of worker, scatter and gather, each beside the bare adapter calls that it can not do without."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
from tests.bench.figures import Figure, peak_mib, stopwatch
from tests.bench.worlds import LEASE, RUN_ID, Nothing, NothingJob, items, place

from pipeline_controller.scatter import Scatter
from pipeline_processing import stages
from pipeline_processing.markers import encode
from pipeline_processing.messages import message_for
from pipeline_processing.model import ItemResult, Marker
from pipeline_worker.bootstrap import wire
from pipeline_worker.consumer import Limits
from pipeline_worker.measures import Measures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.worlds import Place

    from etl_core.objects import ObjectStore
    from etl_core.queue import Message, Queue
    from pipeline_processing.control import Control
    from pipeline_processing.model import Item

CONCURRENCY = 64
LANES = 8
"""Bare loops at once: as many as a worker has receivers here, each with ten messages in work."""


class Stopping(Nothing):
    """Sets ``stop`` when the last item is in work; the drain lets it end."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.stop = asyncio.Event()

    async def process(self, item: Item) -> ItemResult:
        self.left -= 1
        if not self.left:
            self.stop.set()
        return await super().process(item)


async def worker(kind: str, size: int) -> Figure:
    """One worker, its executor, leases, markers and acknowledgements; the processor does nothing."""
    work = items(size)
    async with place(kind) as there:
        await there.queue.send(_messages(work))
        processor = Stopping(size)
        limits = Limits(
            lease=LEASE,
            wait=timedelta(seconds=2),
            drain=timedelta(seconds=40),
            grace=timedelta(seconds=60),
            concurrency=CONCURRENCY,
            receivers=LANES,
        )
        consumer = wire(
            there.services, there.queue, there.dead_letters, {"nothing": processor}, limits, measures=Measures()
        )
        with stopwatch() as watch:
            await consumer.run(processor.stop)
        await _expect_markers(there, size)
    async with place(kind) as there:
        await there.queue.send(_messages(work))
        with stopwatch() as bare:
            await _work_barely(there.queue, there.services.control, size)
    speed, cpu = watch.speed(size), watch.cpu_us(size)
    return Figure(f"worker, {kind}", "items/s", size, speed, cpu, bare.speed(size), peak_mib())


async def scatter(kind: str, size: int) -> Figure:
    """From a frozen manifest to messages in the queue."""
    job = NothingJob(size)
    async with place(kind) as there:
        control = stages.open_control(there.services)
        run, manifest = await stages.plan_run(job, {}, there.services, control, run_id=RUN_ID)
        with stopwatch() as watch:
            _, scattered = await Scatter(control, there.queue).scatter(run, manifest, lane="live")
        _expect(size, scattered.sent if scattered else 0)
    async with place(kind) as there:
        messages = _messages(items(size))
        with stopwatch() as bare:
            for start in range(0, size, 1000):
                report = await there.queue.send(messages[start : start + 1000])
                _expect(0, len(report.failed))
    speed, cpu = watch.speed(size), watch.cpu_us(size)
    return Figure(f"scatter, {kind}", "msgs/s", size, speed, cpu, bare.speed(size), peak_mib())


async def gather(kind: str, size: int) -> Figure:
    """From markers to the report: survey, join, publish of a job that publishes nothing, report, flag."""
    job = NothingJob(size)
    async with place(kind) as there:
        control = stages.open_control(there.services)
        _, manifest = await stages.plan_run(job, {}, there.services, control, run_id=RUN_ID)
        ids = [item.item_id async for item in control.manifests(RUN_ID).items(manifest)]
        await _put_markers(control, items(size))
        with stopwatch() as watch:
            finished = await stages.finish_run(job, there.services, control, RUN_ID)
        _expect(size, finished.run.counts["done_items"])
        with stopwatch() as bare:
            await _read_barely(control, ids)
    speed, cpu = watch.speed(size), watch.cpu_us(size)
    return Figure(f"gather, {kind}", "items/s", size, speed, cpu, bare.speed(size), peak_mib())


async def _work_barely(queue: Queue, store: ObjectStore, size: int) -> None:
    """Receive ten, put ten objects, delete ten; nothing is decoded, decided, renewed, counted or logged."""
    left = size

    async def lane() -> None:
        nonlocal left
        while left > 0:
            deliveries = await queue.receive(limit=10, wait=timedelta(seconds=1), lease=LEASE)
            puts = (store.put_if_absent(f"done/{delivery.message_id}", b"x" * 500) for delivery in deliveries)
            await asyncio.gather(*puts)
            await queue.delete([delivery.receipt for delivery in deliveries])
            left -= len(deliveries)

    await asyncio.gather(*(lane() for _ in range(LANES)))


async def _read_barely(control: Control, ids: Sequence[str]) -> None:
    """Get each marker and parse its JSON, 32 at once."""
    layout = control.layout(RUN_ID)

    async def read(item_id: str) -> None:
        orjson.loads((await control.store.get(layout.marker(item_id))).body)

    for start in range(0, len(ids), 32):
        await asyncio.gather(*(read(item_id) for item_id in ids[start : start + 32]))


async def _put_markers(control: Control, work: Sequence[Item]) -> None:
    layout = control.layout(RUN_ID)
    for start in range(0, len(work), 32):
        puts = (
            control.store.put(layout.marker(item.item_id), encode(_marker(item))) for item in work[start : start + 32]
        )
        await asyncio.gather(*puts)


def _marker(item: Item) -> Marker:
    result = ItemResult(item.item_id, "done", {"done": 1})
    at = "2030-01-01T00:00:00+00:00"
    return Marker(RUN_ID, item.item_id, item.processor, item.agency_id, "0" * 32, 1, "bench-1", "0", at, result)


def _messages(work: Sequence[Item]) -> list[Message]:
    return [message_for(RUN_ID, item, part="manifest/00000", resumed=False) for item in work]


async def _expect_markers(there: Place, size: int) -> None:
    control = stages.open_control(there.services)
    _expect(size, sum([1 async for _ in control.markers(RUN_ID).list()]))
    _expect(0, (await there.queue.depth()).visible)


def _expect(expected: int, found: int) -> None:
    """A speed of work that was not done is none."""
    if expected != found:
        message = f"expected {expected:,}, found {found:,}: nothing was measured"
        raise AssertionError(message)
