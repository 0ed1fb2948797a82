"""The simulation's clock: what happens next, and when."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Agenda:
    """Events by time, first entered first where the time is the same. ``now`` is in seconds."""

    now: float = 0.0
    _heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, time: float, act: Callable[..., None], *given: Any) -> None:  # noqa: ANN401 - what ``act`` takes
        """Call ``act(*given)`` at ``time``, or now where that is over."""
        heapq.heappush(self._heap, (max(time, self.now), next(self._order), act, given))

    def run(self, until: float, is_over: Callable[[], bool]) -> None:
        """Let time pass until nothing is left to happen, ``until`` is reached, or ``is_over`` after an event."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until:
            self.now, _, act, given = pop(heap)
            act(*given)
            if is_over():
                return
        self.now = max(self.now, until)
