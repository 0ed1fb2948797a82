"""What all pods share: S3's request rate and Postgres' connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PATIENCE: Final = 3.0
"""Seconds that a throttled write is tried again for inside an attempt (`etl_core.objects.create` waits 3.1 at most)."""
WINDOW: Final = 60.0
"""Seconds over which S3 is taken to average: it documents a rate, and no window."""


@dataclass(slots=True)
class Storage:
    """Takes ``rate`` writes a second, averaged over `WINDOW`. What is more waits up to `PATIENCE`, or is refused."""

    rate: float
    _full_at: float = 0.0
    """When all that was written would be through at ``rate``."""
    refused: int = 0

    def wait(self, now: float, writes: int) -> float | None:
        """Return how long these writes take; None if they are throttled until the attempt gives up."""
        through = max(now, self._full_at) + writes / self.rate
        wait = max(0.0, through - now - WINDOW)
        if wait > PATIENCE:
            self.refused += 1
            return None
        self._full_at = through
        return wait


@dataclass(slots=True)
class Database:
    """Gives out connections while there are any; ``limit`` None: any number."""

    limit: int | None
    taken: int = 0
    refused: int = 0

    def connect(self, count: int) -> bool:
        if self.limit is not None and self.taken + count > self.limit:
            self.refused += 1
            return False
        self.taken += count
        return True

    def disconnect(self, count: int) -> None:
        self.taken -= count
