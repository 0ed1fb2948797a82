"""The fleet in one process: the same executor and settler over a queue in memory, fed from the manifest."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from etl_core.errors import Permanent, Transient
from etl_core.queue import VISIBILITY_LIMIT, Message
from etl_core.retry import Backoff
from pipeline_processing.executor import Executor
from pipeline_processing.messages import PROCESSOR, Claim, encode
from pipeline_processing.runs import Cancellations
from pipeline_processing.settlement import Ack, Bury, Interrupted, RetryPolicy, Unrecorded
from pipeline_processing.settler import Settler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from etl_core.queue import Delivery, Queue
    from pipeline_processing.control import Control
    from pipeline_processing.job import Job
    from pipeline_processing.manifest import Manifest, Manifests
    from pipeline_processing.messages import ItemMessage
    from pipeline_processing.model import Item
    from pipeline_processing.runs import Run
    from pipeline_processing.service_handler import ServiceHandler

WORKER: Final = "inline"
AHEAD: Final = 10
"""Messages in memory for each item in work: what waits for a retry must not keep the others from their turn."""
_WAIT: Final = timedelta(seconds=20)


class Inline:
    """Works off one run within this process. ``on_settled`` is called for each item that is done or dead."""

    def __init__(
        self, job: Job, services: ServiceHandler, control: Control, *, on_settled: Callable[[], None] = lambda: None
    ) -> None:
        settings = services.settings
        self._job, self._services, self._control, self._on_settled = job, services, control, on_settled
        self._slots = settings.worker_concurrency
        self._policy = RetryPolicy(settings.max_attempts, Backoff(settings.backoff_base, settings.backoff_cap))
        self._queue, self._dead_letters = services.memory_queue("inline"), services.memory_queue("inline-dead")
        self._room = asyncio.Semaphore(AHEAD * self._slots)
        self._open = 0
        self._is_fed = False
        self._is_over = asyncio.Event()

    async def work(self, run: Run, manifest: Manifest) -> None:
        """Bring every item that is not done to done or dead.

        Raises Transient when results could not be recorded however often they were tried.
        """
        processors = {processor.name: processor for processor in self._job.processors(self._services)}
        control = self._control
        executor = Executor(
            processors,
            control.records,
            resolve=_resolver(control.manifests(run.run_id)),
            is_cancelled=Cancellations(control.runs, control.clock).is_cancelled,
            worker=WORKER,
            clock=control.clock,
            nonce=control.nonce,
        )
        settler = Settler(
            self._queue,
            self._dead_letters,
            control.records,
            policy=self._policy,
            worker=WORKER,
            clock=control.clock,
            jitter=control.jitter,
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed(run, manifest))
                slots = [group.create_task(self._serve(executor, settler)) for _ in range(self._slots)]
                await self._is_over.wait()
                for slot in slots:
                    slot.cancel()
        except BaseExceptionGroup as faults:
            raise _first(faults) from faults
        await settler.flush()

    async def _feed(self, run: Run, manifest: Manifest) -> None:
        evidence = self._control.evidence(run.run_id)
        async for item, state in self._control.conserver(run.run_id, manifest).states():
            if state == "done":
                continue
            base = 0
            if state == "dead":
                base = await evidence.count(item.item_id)
                await evidence.delete_dossier(item.item_id)
            await self._room.acquire()
            self._open += 1
            body = encode(run.run_id, item, part=manifest.part_of(item.item_id), attempt_base=base)
            report = await self._queue.send([Message(body, {PROCESSOR: item.processor}, item.agency_id)])
            if report.failed:
                raise Permanent(f"item {item.item_id} is no message: {report.failed[0].message}")
        self._is_fed = True
        self._look_for_the_end()

    async def _serve(self, executor: Executor, settler: Settler) -> None:
        while True:
            for delivery in await self._queue.receive(limit=1, wait=_WAIT, lease=VISIBILITY_LIMIT):
                await self._live(delivery, executor, settler)

    async def _live(self, delivery: Delivery, executor: Executor, settler: Settler) -> None:
        context, outcome = await executor.run(delivery)
        if isinstance(outcome, Interrupted):  # the executor takes a cancellation for an outcome: here it is the end
            raise asyncio.CancelledError
        if isinstance(outcome, Unrecorded) and delivery.receive_count >= self._policy.max_attempts:
            raise Transient(f"results can not be recorded: {outcome.failure.message}")
        match await settler.settle(context, outcome):
            case Ack():
                self._close()
            case Bury():
                await _empty(self._dead_letters)
                self._close()
            case _:
                pass

    def _close(self) -> None:
        self._open -= 1
        self._room.release()
        self._on_settled()
        self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        if self._is_fed and not self._open:
            self._is_over.set()


async def _empty(queue: Queue) -> None:
    """Forget dead letters: the dossier is the evidence, and nobody redrives a queue in memory."""
    while letters := await queue.receive(limit=10, wait=timedelta(0), lease=VISIBILITY_LIMIT):
        await queue.delete([letter.receipt for letter in letters])


def _resolver(manifests: Manifests) -> Callable[[ItemMessage], Awaitable[Item]]:
    async def resolve(message: ItemMessage) -> Item:
        if not isinstance(message.payload, Claim):
            return message.item()
        return await manifests.read_item(message.payload.part, message.item_id)

    return resolve


def _first(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = faults
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
