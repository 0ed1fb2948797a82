"""Every item that is not over yet becomes a message: resumable, and safe from two controllers at once.

A repeat may send what is queued already. It says so in an attribute, and the worker that finds it looks for a marker
first: a message too many costs a request, an item without a message would cost the run.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from etl_core.errors import ConfigError, Permanent, Transient
from etl_core.retry import Backoff
from pipeline_processing.messages import message_for
from pipeline_processing.runs import Superseded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_core.queue import Message, Queue
    from pipeline_processing.control import Control
    from pipeline_processing.manifest import Manifest
    from pipeline_processing.runs import Run

CHUNK: Final = 500
CHUNK_BYTES: Final = 8 * 1024 * 1024
TRIES: Final = 8
BACKOFF: Final = Backoff(base=timedelta(milliseconds=500), cap=timedelta(seconds=20), floor=timedelta(milliseconds=100))

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Scattered:
    """What one scatter did."""

    sent: int
    done: int
    dead: int
    resumed: bool


class Scatter:
    """Sends one run's items to one queue."""

    def __init__(self, control: Control, queue: Queue) -> None:
        self._control, self._queue = control, queue

    async def scatter(self, run: Run, manifest: Manifest, *, lane: str) -> tuple[Run, Scattered | None]:
        """Send what is not over and move the run to scattered; None where that was done before.

        Raises Transient where the queue kept refusing (do it again: it resumes), Permanent where it refuses one message
        for ever, ConfigError for a cancelled run.
        """
        run = await self._begin(run, lane)
        if run.state != "planned":
            return run, None
        scattered = await self.send_pending(run, manifest, resumed=run.scatters > 1)
        try:
            run = await self._control.runs.move(run, "scattered", leaving="planned")
        except Superseded as lost:
            run = lost.current
            if run.state == "planned":  # another scatter has begun meanwhile and sends the same: nothing is lost
                run = await self._settle(run)
        return run, scattered

    async def send_pending(self, run: Run, manifest: Manifest, *, resumed: bool) -> Scattered:
        """Send every item that is neither done nor dead, as of now."""
        counts = {"done": 0, "dead": 0, "pending": 0}
        chunk: list[Message] = []
        size = 0
        sending: asyncio.Task[None] | None = None
        try:
            async for item, state in self._control.conserver(run.run_id, manifest).states():
                counts[state] += 1
                if state != "pending":
                    continue
                message = message_for(run.run_id, item, part=manifest.part_of(item.item_id), resumed=resumed)
                chunk.append(message)
                size += len(message.body)
                if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
                    # One chunk is on its way while the next is read: the manifest must not wait for the queue.
                    if sending is not None:
                        await sending
                    sending = asyncio.create_task(self._send(chunk))
                    chunk, size = [], 0
            if sending is not None:
                await sending
            await self._send(chunk)
        finally:
            if sending is not None and not sending.done():
                sending.cancel()
        log.info("run.scattered", run_id=run.run_id, sent=counts["pending"], number=run.scatters)
        return Scattered(counts["pending"], counts["done"], counts["dead"], resumed)

    async def _begin(self, run: Run, lane: str) -> Run:
        while run.state == "planned":
            try:
                return await self._control.runs.move(
                    run, "planned", leaving="planned", scatters=run.scatters + 1, lane=lane
                )
            except Superseded as lost:
                run = lost.current
        if run.state == "cancelled":
            raise ConfigError(f"run {run.run_id} was cancelled", where="--run-id", way_out="start another run")
        return run

    async def _settle(self, run: Run) -> Run:
        while run.state == "planned":
            try:
                run = await self._control.runs.move(run, "scattered", leaving="planned")
            except Superseded as lost:
                run = lost.current
        return run

    async def _send(self, messages: Sequence[Message]) -> None:
        """Send all of ``messages``, reading each entry's failure and sending those again."""
        fault = ""
        for attempt in range(1, TRIES + 1):
            if not messages:
                return
            try:
                report = await self._queue.send(messages)
            except Transient as error:
                fault = str(error)
            else:
                refused = [failure for failure in report.failed if not failure.transient]
                if refused:
                    raise Permanent(f"queue {self._queue.name} refuses {len(refused)} messages: {refused[0].message}")
                fault = report.failed[0].code if report.failed else ""
                messages = [messages[failure.index] for failure in report.failed]
            if messages and attempt < TRIES:
                await self._control.clock.sleep(BACKOFF.delay(attempt, self._control.jitter()))
        if messages:
            raise Transient(f"queue {self._queue.name} did not take {len(messages)} messages: {fault}")
