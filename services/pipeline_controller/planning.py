"""What a controller decides and computes: no I/O, no clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

_ENDS: Final = 2
"""Points that a rate needs."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a waiting controller sees at one moment; ``at`` is monotonic seconds."""

    at: float
    done: int
    dead: int
    queue_is_empty: bool


Decision = Literal["wait", "confirm", "stalled"]


@dataclass(slots=True)
class Watch:
    """Decides, look by look, whether a run may be complete or has stalled.

    A run has stalled when nothing came for ``stall_after`` and the queue was empty in all counts at this look and the
    one before: SQS's counts are approximate, and one empty answer proves nothing (law 11).
    """

    planned: int
    stall_after: timedelta
    _last: Look | None = None
    _progress_at: float = 0.0

    def see(self, look: Look) -> Decision:
        """Take one look and say what to do: wait on, confirm by a full join, or send again what is pending."""
        last, self._last = self._last, look
        if last is None or (look.done, look.dead) != (last.done, last.dead):
            self._progress_at = look.at
        if look.done + look.dead >= self.planned:
            return "confirm"
        quiet = look.at - self._progress_at >= self.stall_after.total_seconds()
        if quiet and last is not None and last.queue_is_empty and look.queue_is_empty:
            self._progress_at = look.at
            return "stalled"
        return "wait"


def pause_after(poll: timedelta, look_took: timedelta) -> timedelta:
    """Return how long to wait for the next look: looking at a large run must not take more than a tenth of the time."""
    return max(poll, 9 * look_took)


@dataclass(slots=True)
class Pace:
    """Items a second over the last minute or so, and what is left at that rate."""

    window: timedelta = timedelta(minutes=1)
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, at: float, finished: int) -> None:
        """Take note of how many are finished at ``at`` (monotonic seconds)."""
        self._seen.append((at, finished))
        while len(self._seen) > _ENDS and at - self._seen[1][0] >= self.window.total_seconds():
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Return items a second; 0 where that is not known yet."""
        if not self._seen:
            return 0.0
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        return max(0.0, (last - first) / (last_at - first_at)) if last_at > first_at else 0.0

    def remaining(self, planned: int) -> timedelta | None:
        """Return the time that the rest takes at this rate, or None where nothing moves."""
        left = planned - (self._seen[-1][1] if self._seen else 0)
        return timedelta(seconds=left / self.rate) if self.rate else None
