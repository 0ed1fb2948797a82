"""Signals, deadlines and a way out: how a long-running process ends."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import timedelta
    from types import FrameType, TracebackType

    from etl_core.clock import Clock

INTERRUPTED: Final = 130
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger(__name__)


class StopSignals:
    """Within this context the first SIGTERM or SIGINT sets `requested`; the second ends the process at once (exit 130).

    For the main thread. ``leave`` ends the process without a word; a test gives another.
    """

    def __init__(self, leave: Callable[[int], object] = os._exit) -> None:
        self.requested = asyncio.Event()
        self._leave = leave

    async def __aenter__(self) -> Self:
        """Take the signals over."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_first, number)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def _on_first(self, number: signal.Signals) -> None:
        log.info("stop.requested", signal=number.name)
        self.requested.set()
        for other in SIGNALS:
            # From here on without the loop, which may be what hangs.
            asyncio.get_running_loop().remove_signal_handler(other)
            signal.signal(other, self._on_second)

    def _on_second(self, _number: int, _frame: FrameType | None) -> None:
        self._leave(INTERRUPTED)


async def unfinished(
    tasks: Collection[asyncio.Task[Any]], *, within: timedelta, clock: Clock
) -> set[asyncio.Task[Any]]:
    """Wait for ``tasks``, at most ``within``, and return those that still run; cancels none, raises none's error."""
    pending = {task for task in tasks if not task.done()}
    alarm = asyncio.create_task(clock.sleep(within))
    try:
        while pending and not alarm.done():
            _, rest = await asyncio.wait({*pending, alarm}, return_when=asyncio.FIRST_COMPLETED)
            pending = {task for task in rest if task is not alarm}
    finally:
        alarm.cancel()
    return pending


@contextmanager
def leaving_within(seconds: float, code: int, *, leave: Callable[[int], object] = os._exit) -> Iterator[None]:
    """End the process with ``code`` if this context is still open after ``seconds``.

    For the last steps: a thread that never returns, or a task that swallows its cancellation, holds them up for ever.
    """
    timer = threading.Timer(seconds, leave, (code,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
