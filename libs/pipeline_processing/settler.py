"""The one place that turns settlements into queue calls, and reads the per-entry failures of every batch (law 7)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, assert_never

import structlog

from etl_core.errors import EtlError, NotFound, Transient
from etl_core.queue import BATCH_LIMIT, Message
from etl_core.queue.limits import DELAY_LIMIT
from etl_core.retry import Backoff
from pipeline_processing import __version__
from pipeline_processing.dead_letters import Cause, compose
from pipeline_processing.evidence import Dossier
from pipeline_processing.failures import fingerprint
from pipeline_processing.messages import RESUMED, TRACEPARENT
from pipeline_processing.model import Failure
from pipeline_processing.settlement import (
    Abandon,
    Ack,
    Bury,
    Failed,
    Malformed,
    Release,
    Retry,
    Unrecorded,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl_core.clock import Clock
    from etl_core.queue import Delivery, Queue
    from etl_core.queue.lease import Held
    from pipeline_processing.executor import Context
    from pipeline_processing.messages import ItemMessage
    from pipeline_processing.records import Records
    from pipeline_processing.settlement import Outcome, RetryPolicy, Settlement

LINGER: Final = timedelta(milliseconds=100)
"""How long an acknowledgement waits for others to share its request."""
DELETE_TRIES: Final = 8
DELETE_BACKOFF: Final = Backoff(base=timedelta(milliseconds=200), cap=timedelta(seconds=20))

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Acked:
    delivery: Delivery
    held: Held | None

    @property
    def is_lost(self) -> bool:
        return self.held is not None and self.held.lost.is_set()

    def forget(self) -> None:
        if self.held is not None:
            self.held.forget()


class Settler:
    """Settles deliveries of one queue. Acknowledgements wait up to `LINGER` to fill a batch: `flush` before leaving."""

    def __init__(
        self,
        queue: Queue,
        dead_letters: Queue,
        records: Records,
        *,
        policy: RetryPolicy,
        worker: str,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._dead_letters = dead_letters
        self._records = records
        self._policy = policy
        self._worker = worker
        self._clock = clock
        self._jitter = jitter
        self._acked: list[_Acked] = []
        self._timer: asyncio.Task[None] | None = None
        self._deletes: set[asyncio.Task[None]] = set()

    async def settle(self, context: Context, outcome: Outcome, held: Held | None = None) -> Settlement:
        """Decide and apply; return what was applied: a Bury that could not be carried out becomes a Retry.

        Never raises for a queue or store that fails: the message then comes back by itself, which is always safe.
        ``held`` is forgotten when the message is settled; without one, its lease must outlast the work.
        Not to be cancelled: cancel the attempt, then settle it.
        """
        settlement = settle(
            outcome, attempt=self._patience(context, outcome), policy=self._policy, jitter=self._jitter()
        )
        match settlement:
            case Ack():
                await self._ack(_Acked(context.delivery, held))
            case Retry(after=after):
                await self._give_back([context.delivery], [held], after)
            case Release():
                await self._give_back([context.delivery], [held], timedelta(0))
            case Bury(reason=reason):
                if await self._bury(context, outcome, reason):
                    await self._ack(_Acked(context.delivery, held))
                else:
                    after = self._policy.backoff.delay(context.delivery.receive_count, self._jitter())
                    await self._give_back([context.delivery], [held], after)
                    return Retry(after)
            case Abandon():
                if held is not None:
                    held.forget()
            case _:
                assert_never(settlement)
        return settlement

    async def release(self, deliveries: Sequence[Delivery], helds: Sequence[Held | None] = ()) -> None:
        """Give back, at once and unprocessed, what nobody has started on."""
        await self._give_back(deliveries, helds, timedelta(0))

    async def flush(self) -> None:
        """Delete everything acknowledged so far; what can not be deleted comes back and is found done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._delete_now()
        while self._deletes:
            await asyncio.wait(self._deletes)

    def _patience(self, context: Context, outcome: Outcome) -> int:
        """Return the attempt's number; where nothing could be recorded no attempt is counted, so deliveries must do."""
        if isinstance(outcome, Unrecorded):
            return max(context.number, context.delivery.receive_count)
        return context.number

    async def _give_back(self, deliveries: Sequence[Delivery], helds: Sequence[Held | None], after: timedelta) -> None:
        for held in helds:
            if held is not None:
                held.forget()  # first: a renewal after ours would hide the message for a whole lease
        limit = self._policy.receive_limit
        if limit is not None and any(delivery.receive_count >= limit for delivery in deliveries):
            deliveries = await self._renew(deliveries, limit, after)
        if not deliveries:
            return
        try:
            report = await self._queue.extend([delivery.receipt for delivery in deliveries], after)
        except EtlError as error:
            log.warning("delivery.not_given_back", deliveries=len(deliveries), error=str(error))
            return
        for failure in report.failed:
            log.warning("delivery.not_given_back", delivery_id=deliveries[failure.index].message_id, code=failure.code)

    async def _renew(self, deliveries: Sequence[Delivery], limit: int, after: timedelta) -> Sequence[Delivery]:
        """Send those anew that the queue would bury at their next receive; return the others.

        Receives are used up by rollouts and outages too, and neither may bury an item (law 9). The fresh message goes
        first: a death before the delete leaves one item twice, never none. Its attempts are still counted by its
        failure records.
        """
        spent = [delivery for delivery in deliveries if delivery.receive_count >= limit]
        fresh = [Message(d.body, {**d.attributes, RESUMED: "renewed"}, d.group, min(after, DELAY_LIMIT)) for d in spent]
        try:
            report = await self._queue.send(fresh)
        except EtlError as error:
            log.warning("delivery.not_renewed", deliveries=len(spent), error=str(error))
            return deliveries
        sent = {spent[index].message_id for index in report.succeeded}
        for failure in report.failed:
            log.warning("delivery.not_renewed", delivery_id=spent[failure.index].message_id, code=failure.code)
        for delivery in spent:
            if delivery.message_id in sent:
                log.info("delivery.renewed", delivery_id=delivery.message_id, number=delivery.receive_count)
                await self._ack(_Acked(delivery, None))
        return [delivery for delivery in deliveries if delivery.message_id not in sent]

    async def _ack(self, acked: _Acked) -> None:
        self._acked.append(acked)
        if len(self._acked) >= BATCH_LIMIT:
            await asyncio.wait(
                {self._delete_now()}
            )  # not awaited itself: whoever waits may be cancelled, the delete not
        elif self._timer is None:
            self._timer = asyncio.create_task(self._delete_soon())

    async def _delete_soon(self) -> None:
        await self._clock.sleep(LINGER)
        self._timer = None
        self._delete_now()

    def _delete_now(self) -> asyncio.Task[None]:
        acked, self._acked = self._acked, []
        task = asyncio.create_task(self._delete(acked))
        self._deletes.add(task)
        task.add_done_callback(self._deletes.discard)
        return task

    async def _delete(self, acked: Sequence[_Acked]) -> None:
        for attempt in range(1, DELETE_TRIES + 1):
            acked = await self._try_to_delete(acked)
            if not acked:
                return
            await self._clock.sleep(DELETE_BACKOFF.delay(attempt, self._jitter()))
        for entry in acked:
            entry.forget()
            log.warning("delivery.not_deleted", delivery_id=entry.delivery.message_id, code="gave_up")

    async def _try_to_delete(self, acked: Sequence[_Acked]) -> Sequence[_Acked]:
        """Delete, and return what is worth another try: not what somebody else may hold by now."""
        held = [entry for entry in acked if not entry.is_lost]
        try:
            report = await self._queue.delete([entry.delivery.receipt for entry in held]) if held else None
        except Transient:
            return held
        except EtlError as error:
            log.error("delivery.not_deleted", deliveries=len(held), error=str(error))  # noqa: TRY400 - the error tree's messages say it all
            for entry in acked:
                entry.forget()
            return ()
        failures = {failure.index: failure for failure in report.failed} if report else {}
        again: list[_Acked] = []
        for index, entry in enumerate(held):
            failure = failures.get(index)
            if failure is not None and failure.transient:
                again.append(entry)
                continue
            entry.forget()
            if failure is not None:
                log.warning("delivery.not_deleted", delivery_id=entry.delivery.message_id, code=failure.code)
        return again

    async def _bury(self, context: Context, outcome: Outcome, reason: str) -> bool:
        """Write the dossier, then send the dead letter; say whether both stand, so that the message may go."""
        match outcome:
            case Failed(failure=failure):
                pass
            case Malformed(reason=text):
                failure = Failure("MalformedMessage", text, fingerprint("MalformedMessage", text, ""), transient=False)
            case _:
                raise TypeError(f"{type(outcome).__name__} is nothing to bury for")
        message = context.message
        try:
            if message is not None:
                await self._write_dossier(context, message, failure, reason)
            report = await self._dead_letters.send([compose(context.delivery, self._cause(context, failure, reason))])
        except EtlError as error:
            log.warning("delivery.not_buried", delivery_id=context.delivery.message_id, error=str(error))
            return False
        for refusal in report.failed:
            log.warning("delivery.not_buried", delivery_id=context.delivery.message_id, code=refusal.code)
        return not report.failed

    async def _write_dossier(self, context: Context, message: ItemMessage, failure: Failure, reason: str) -> None:
        evidence = self._records.evidence(message.run_id)
        now = self._clock.now().isoformat()
        first = now
        if context.number > 1:
            try:
                first = (await evidence.read(message.item_id, message.attempt_base + 1)).failed_at
            except NotFound:
                log.info("evidence.first_record_missing", run_id=message.run_id, item_id=message.item_id)
        await evidence.write_dossier(
            Dossier(
                run_id=message.run_id,
                item_id=message.item_id,
                processor=message.processor,
                agency_id=message.agency_id,
                reason=reason,
                failure=failure,
                attempts=context.number,
                worker=self._worker,
                code_version=__version__,
                first_failed_at=first,
                last_failed_at=now,
                message_id=context.delivery.message_id,
                body_size=len(context.delivery.body.encode()),
                traceparent=context.delivery.attributes.get(TRACEPARENT),
            )
        )

    def _cause(self, context: Context, failure: Failure, reason: str) -> Cause:
        message = context.message
        return Cause(
            reason=reason,
            failure=failure,
            attempts=context.number,
            worker=self._worker,
            code_version=__version__,
            died_at=self._clock.now().isoformat(),
            run_id=message.run_id if message else None,
            item_id=message.item_id if message else None,
        )
