"""Trying again inside a processor, where giving the whole item back would waste what is done."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, TypeVar

from etl_core.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from etl_core.clock import Clock
    from etl_core.retry import Backoff

T = TypeVar("T")


async def patiently(
    work: Callable[[], Awaitable[T]], *, name: str, attempts: int, limit: timedelta, backoff: Backoff, clock: Clock
) -> T:
    """Await ``work()`` up to ``attempts`` times, each within ``limit``; the last Transient is raised.

    Waits spread by ``name``, so that many of them at once do not meet again, without drawing chance.
    """
    spread = zlib.crc32(name.encode(errors="replace")) / 2**32
    for attempt in range(1, attempts):
        try:
            return await _in_time(work, limit)
        except Transient as error:
            wait = backoff.delay(attempt, spread)
            await clock.sleep(max(wait, error.retry_after or wait))
    return await _in_time(work, limit)


async def _in_time(work: Callable[[], Awaitable[T]], limit: timedelta) -> T:
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await work()
    except TimeoutError as error:
        raise Transient(f"not done within {limit}") from error
