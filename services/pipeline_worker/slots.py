"""Places for work: what is not free is not asked for."""

from __future__ import annotations

import asyncio


class Slots:
    """A counting semaphore that gives out several places at once. One event loop only."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._size = size
        self._changed = asyncio.Event()
        self._changed.set()

    @property
    def free(self) -> int:
        """Return how many places nobody has."""
        return self._free

    @property
    def taken(self) -> int:
        """Return how many places somebody has."""
        return self._size - self._free

    async def wait(self) -> None:
        """Return once a place is free; somebody else may be quicker to take it."""
        await self._changed.wait()

    def take(self, most: int) -> int:
        """Take up to ``most`` places that are free and return how many that was, perhaps none."""
        taken = max(0, min(most, self._free))
        self._free -= taken
        self._note()
        return taken

    def give(self, count: int) -> None:
        """Give ``count`` places back; a negative count is a debt: more came than was asked for."""
        self._free += count
        self._note()

    def _note(self) -> None:
        if self._free > 0:
            self._changed.set()
        else:
            self._changed.clear()
