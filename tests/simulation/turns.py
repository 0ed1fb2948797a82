"""The turns of processors that are limited in a pod, as the consumer's semaphores give them: first come, first."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulation.terms import Work


class Turns:
    """``limits``: how many items of a processor are in work at once; of any other, any number."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._free = dict(limits)
        self._waiting: dict[str, deque[Work]] = {name: deque() for name in limits}

    @property
    def waiting(self) -> list[Work]:
        """Return what nobody has begun with."""
        return [work for line in self._waiting.values() for work in line]

    def take(self, work: Work) -> bool:
        """Say whether it is its turn; if not, it waits, and `give` returns it once it is."""
        name = work.life.item.processor
        if name not in self._free:
            return True
        if self._free[name]:
            self._free[name] -= 1
            return True
        work.is_waiting = True
        self._waiting[name].append(work)
        return False

    def give(self, work: Work) -> Work | None:
        """Give back its turn, or its place in the line; return whose turn it is now."""
        name = work.life.item.processor
        if name not in self._free:
            return None
        if work.is_waiting:
            self._waiting[name].remove(work)
            return None
        if not self._waiting[name]:
            self._free[name] += 1
            return None
        following = self._waiting[name].popleft()
        following.is_waiting = False
        return following
