"""Steps that may be repeated are, while a service is away: every step of a controller is one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from etl_core.errors import Transient
from etl_core.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pipeline_processing.control import Control

TRIES: Final = 8
BACKOFF: Final = Backoff(base=timedelta(seconds=1), cap=timedelta(seconds=30), floor=timedelta(milliseconds=500))

T = TypeVar("T")

log = structlog.get_logger(__name__)


async def persist(step: Callable[[], Awaitable[T]], control: Control) -> T:
    """Return what ``step`` returns, trying again on Transient; the last error passes."""
    for attempt in range(1, TRIES):
        try:
            return await step()
        except Transient as error:
            wait = max(BACKOFF.delay(attempt, control.jitter()), error.retry_after or timedelta(0))
            log.warning("controller.step_failed", error=str(error), attempt=attempt, wait_seconds=wait.total_seconds())
            await control.clock.sleep(wait)
    return await step()
