"""Places for work: what is not free is not asked for."""

from __future__ import annotations

import asyncio


class Slots:
    """A counting semaphore that gives out several places at once, ``total`` in all. One event loop only."""

    def __init__(self, size: int, total: int | None = None) -> None:
        self._free = size
        self._size = size
        self._left = total
        self._is_closed = False
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

    @property
    def is_spent(self) -> bool:
        """Say whether the total is given out, or no more of it is."""
        return self._is_closed or (self._left is not None and self._left <= 0)

    async def wait(self) -> None:
        """Return once a place is free; somebody else may be quicker to take it."""
        await self._changed.wait()

    def take(self, most: int) -> int:
        """Take up to ``most`` places that are free and return how many that was, perhaps none."""
        taken = 0 if self.is_spent else max(0, min(most, self._free, most if self._left is None else self._left))
        self._free -= taken
        if self._left is not None:
            self._left -= taken
        self._note()
        return taken

    def give(self, count: int) -> None:
        """Give ``count`` places back that were used."""
        self._free += count
        self._note()

    def spend(self) -> None:
        """Give out no more, where there is a total."""
        self._is_closed = self._left is not None

    def untake(self, count: int) -> None:
        """Give ``count`` places back as if never taken; a negative count is a debt: more came than was asked for."""
        if self._left is not None:
            self._left += count
        self.give(count)

    def _note(self) -> None:
        if self._free > 0:
            self._changed.set()
        else:
            self._changed.clear()
