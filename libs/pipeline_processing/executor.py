"""One delivery's life, in named steps; the same in a fleet worker and inline.

How a caller uses it, with any `Queue`::

    context, outcome = await executor.run(delivery, lost=held.lost)
    await settler.settle(context, outcome, held)
    ...
    await settler.flush()                     # once nothing more will come

`run` takes a cancellation of its task for *give the item back* and returns Interrupted, or LostLease when ``lost`` is
set: run it in a task of its own, and stop by looking at the outcome, not by waiting for CancelledError.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog.contextvars import bound_contextvars

from etl_core.errors import ConfigError, InvalidData, LeaseLost, NotFound, Permanent, Transient
from pipeline_processing import __version__
from pipeline_processing.evidence import FailureRecord
from pipeline_processing.failures import describe
from pipeline_processing.messages import RESUMED, TRACEPARENT, Claim, MalformedMessage, decode
from pipeline_processing.model import Attempt, ItemResult, Marker
from pipeline_processing.settlement import (
    AlreadyDone,
    Cancelled,
    Failed,
    Interrupted,
    LostLease,
    Malformed,
    Succeeded,
    Unrecorded,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from etl_core.clock import Clock
    from etl_core.queue import Delivery
    from pipeline_processing.messages import ItemMessage
    from pipeline_processing.model import Item, Processor
    from pipeline_processing.records import Records
    from pipeline_processing.settlement import Outcome


@dataclass(slots=True)
class Context:
    """What is known of a delivery: ``message`` is there once it is decoded, ``attempt`` once work may start."""

    delivery: Delivery
    nonce: str
    started_at: datetime
    lost: asyncio.Event | None = None
    message: ItemMessage | None = None
    attempt: Attempt | None = None

    @property
    def number(self) -> int:
        """Return the attempt's number; 1 where none was started."""
        return self.attempt.number if self.attempt else 1


class _AttemptFailedError(Exception):
    """Carries, as its cause, the error that is the item's own."""


class Executor:
    """Runs deliveries; keeps no state of its own, so any number of them at once."""

    def __init__(
        self,
        processors: Mapping[str, Processor],
        records: Records,
        *,
        resolve: Callable[[ItemMessage], Awaitable[Item]],
        is_cancelled: Callable[[str], Awaitable[bool]],
        worker: str,
        clock: Clock,
        nonce: Callable[[], str],
    ) -> None:
        """Take ``processors`` by name; ``resolve`` reads an item that its message only points to.

        ``is_cancelled`` takes a run id and is asked for every delivery: it should cache.
        """
        self._processors = processors
        self._records = records
        self._resolve_claim = resolve
        self._is_cancelled = is_cancelled
        self._worker = worker
        self._clock = clock
        self._nonce = nonce

    def knows(self, processor: str) -> bool:
        """Say whether there is a processor of this name."""
        return processor in self._processors

    async def run(self, delivery: Delivery, *, lost: asyncio.Event | None = None) -> tuple[Context, Outcome]:
        """Live through one delivery and say what came of it; touches no queue, begins no write once ``lost`` is set."""
        context = Context(delivery, self._nonce(), self._clock.now(), lost)
        try:
            return context, await self._live(context)
        except MalformedMessage as error:
            return context, Malformed(error.reason)
        except _AttemptFailedError as error:
            return context, await self._fail(context, error.__cause__ or error)
        except LeaseLost:
            return context, LostLease()
        except asyncio.CancelledError:
            return context, _interrupted(context)
        except Exception as error:  # noqa: BLE001 - the control store is in the way: nothing is known of the item itself
            return context, Unrecorded(describe(error))

    async def _live(self, context: Context) -> Outcome:
        message = context.message = decode(context.delivery.body)
        with bound_contextvars(
            delivery_id=context.delivery.message_id,
            run_id=message.run_id,
            item_id=message.item_id,
            agency_id=message.agency_id,
        ):
            return await self._work(context, message)

    async def _work(self, context: Context, message: ItemMessage) -> Outcome:
        if await self._is_cancelled(message.run_id):
            return Cancelled()
        if await self._is_done(context.delivery, message):
            return AlreadyDone()
        item = await self._resolve(message)
        context.attempt = await self._begin(context, message, item)
        result = await self._process(context.attempt)
        return await self._mark(context, context.attempt, result)

    async def _is_done(self, delivery: Delivery, message: ItemMessage) -> bool:
        """Look for a marker, but only where something hints at a repeat: it is a request, and mostly finds nothing."""
        if _may_be_repeat(delivery, message):
            return await self._records.markers(message.run_id).exists(message.item_id)
        return False

    async def _resolve(self, message: ItemMessage) -> Item:
        if not isinstance(message.payload, Claim):
            return message.item()
        try:
            return await self._resolve_claim(message)
        except (NotFound, InvalidData, ConfigError) as error:
            raise _AttemptFailedError from error

    async def _begin(self, context: Context, message: ItemMessage, item: Item) -> Attempt:
        number = 1
        if _may_be_repeat(
            context.delivery, message
        ):  # a delivery is no attempt: failure records tell how many there were
            failures = await self._records.evidence(message.run_id).count(message.item_id)
            number = max(1, failures - message.attempt_base + 1)
        traceparent = context.delivery.attributes.get(TRACEPARENT)
        return Attempt(message.run_id, item, number, context.nonce, self._worker, traceparent)

    async def _process(self, attempt: Attempt) -> ItemResult:
        """Run user code: whatever it raises is the item's failure, except a cancellation that came from outside."""
        try:
            result = await self._processor(attempt.item.processor).process(attempt.item)
            check_result(attempt.item, result)
        except LeaseLost:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _AttemptFailedError from error
        except (Exception, SystemExit) as error:
            raise _AttemptFailedError from error
        return result

    def _processor(self, name: str) -> Processor:
        processor = self._processors.get(name)
        if processor is None:  # an older worker during a rollout: a newer one will know it
            raise Transient(f"this worker knows no processor {name}")
        return processor

    async def _mark(self, context: Context, attempt: Attempt, result: ItemResult) -> Outcome:
        if _is_lost(context):
            return LostLease()
        marker = Marker(
            run_id=attempt.run_id,
            item_id=attempt.item.item_id,
            processor=attempt.item.processor,
            agency_id=attempt.item.agency_id,
            nonce=attempt.nonce,
            attempt=attempt.number,
            worker=attempt.worker,
            code_version=__version__,
            finished_at=self._clock.now().isoformat(),
            result=result,
        )
        try:
            stands = await self._records.markers(attempt.run_id).write(marker)
        except InvalidData as error:  # the result is no JSON, or what stands there is no marker: no repeat mends that
            raise _AttemptFailedError from error
        return Succeeded(result) if stands else AlreadyDone()

    async def _fail(self, context: Context, error: BaseException) -> Outcome:
        if _is_lost(context):
            return LostLease()
        message = context.message
        if message is None:
            raise TypeError("an attempt needs a message")
        processor = self._processors.get(message.processor)
        failure = describe(error, packages=(type(processor).__module__.partition(".")[0],))
        record = FailureRecord(
            run_id=message.run_id,
            item_id=message.item_id,
            processor=message.processor,
            agency_id=message.agency_id,
            attempt=context.number,
            nonce=context.nonce,
            failure=failure,
            worker=self._worker,
            code_version=__version__,
            started_at=context.started_at.isoformat(),
            failed_at=self._clock.now().isoformat(),
            message_id=context.delivery.message_id,
            receive_count=context.delivery.receive_count,
            traceparent=context.delivery.attributes.get(TRACEPARENT),
        )
        try:
            evidence = self._records.evidence(message.run_id)
            await evidence.append(record, after=message.attempt_base + context.number - 1)
        except asyncio.CancelledError:
            return _interrupted(context)
        except Exception:  # noqa: BLE001 - see run; without its record the attempt does not count
            return Unrecorded(failure)
        return Failed(failure, error.retry_after if isinstance(error, Transient) else None)


def check_result(item: Item, result: object) -> None:
    """Raise Permanent unless ``result`` is about ``item`` and accounts for each of its inputs (law 11)."""
    if not isinstance(result, ItemResult):
        raise Permanent(f"processor {item.processor} returned {type(result).__name__}, not an ItemResult")
    if result.item_id != item.item_id:
        raise Permanent(f"processor {item.processor} returned the result of another item")
    total = sum(result.counts.values())
    if total != item.inputs or min(result.counts.values(), default=0) < 0 or not 0 <= result.failed <= total:
        raise Permanent(f"processor {item.processor} accounts for {total} inputs of {item.inputs}")


def _may_be_repeat(delivery: Delivery, message: ItemMessage) -> bool:
    return delivery.receive_count > 1 or message.attempt_base > 0 or RESUMED in delivery.attributes


def _is_lost(context: Context) -> bool:
    return context.lost is not None and context.lost.is_set()


def _interrupted(context: Context) -> Interrupted | LostLease:
    """Take the cancellation in: the task lives on to settle, and timeouts within it must not see an old request."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
    return LostLease() if _is_lost(context) else Interrupted()
