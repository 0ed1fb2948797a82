"""Dead letters that the queue itself moved, as their worker died too often: they get the dossier they lack (law 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from pipeline_processing import __version__
from pipeline_processing.dead_letters import Reading
from pipeline_processing.evidence import Dossier
from pipeline_processing.messages import ERROR, TRACEPARENT, MalformedMessage, decode
from pipeline_processing.model import Failure

if TYPE_CHECKING:
    from etl_core.queue import Delivery, Queue
    from pipeline_processing.control import Control
    from pipeline_processing.messages import ItemMessage

FINGERPRINT: Final = "moved"
"""The same word by which `dlq` groups these letters, so that its redrive finds them."""
REASON: Final = "moved_by_queue"

log = structlog.get_logger(__name__)


async def write_missing_dossiers(dead_letters: Queue, control: Control) -> dict[str, int]:
    """Read the queue once, give every letter back, and return how many dossiers were written, by run."""
    written: dict[str, int] = {}
    async with Reading(dead_letters, control.clock) as reading:
        async for batch in reading.batches():
            for delivery in batch:
                run_id = await _examine(delivery, control)
                if run_id is not None:
                    written[run_id] = written.get(run_id, 0) + 1
    if reading.gave_up:
        log.warning("dead_letters.read_partly", queue=dead_letters.name, letters=reading.count)
    return written


async def _examine(delivery: Delivery, control: Control) -> str | None:
    """Return the run whose item was given its dossier, or None where none was lacking."""
    if ERROR in delivery.attributes:
        return None
    try:
        message = decode(delivery.body)
    except MalformedMessage:
        return None
    evidence = control.evidence(message.run_id)
    if await control.markers(message.run_id).exists(message.item_id):
        return None
    if await evidence.read_dossier(message.item_id) is not None:
        return None
    now = control.clock.now().isoformat()
    attempts = await evidence.count(message.item_id)
    await evidence.write_dossier(_dossier(delivery, message, attempts - message.attempt_base, now))
    return message.run_id


def _dossier(delivery: Delivery, message: ItemMessage, attempts: int, now: str) -> Dossier:
    failure = Failure(
        "WorkerLost",
        "the queue moved it after too many deliveries: its worker died or never finished",
        FINGERPRINT,
        transient=True,
    )
    return Dossier(
        run_id=message.run_id,
        item_id=message.item_id,
        processor=message.processor,
        agency_id=message.agency_id,
        reason=REASON,
        failure=failure,
        attempts=max(0, attempts),
        worker="",
        code_version=__version__,
        first_failed_at=delivery.sent_at.isoformat(),
        last_failed_at=now,
        message_id=delivery.message_id,
        body_size=len(delivery.body.encode()),
        traceparent=delivery.attributes.get(TRACEPARENT),
    )
