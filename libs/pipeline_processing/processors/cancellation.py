"""Work in a thread that a cancelled task does not leave behind."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Made = TypeVar("Made")


async def in_thread(work: Callable[[threading.Event], Made]) -> Made:
    """Return what ``work`` makes in a thread, or raise what it raises.

    A task that is cancelled meanwhile sets the event that ``work`` was given, waits until the thread has ended, however
    it ends, and then ends cancelled: the files that the thread works on may be removed at once.
    """
    stop = threading.Event()
    running = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        while not running.done():
            with suppress(asyncio.CancelledError):  # cancelled again: the thread still runs
                await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # looked at, so that nobody is told of it
        raise
