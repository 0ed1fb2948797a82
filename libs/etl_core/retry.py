"""Backoff as arithmetic: it decides how long, it never sleeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Capped exponential backoff with full jitter.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015:
    ``random(0, min(cap, base * 2**n))``.
    ``floor`` keeps a wait from being zero where an immediate retry would only meet the same fault.
    """

    base: timedelta = timedelta(seconds=2)
    cap: timedelta = timedelta(minutes=15)
    floor: timedelta = timedelta(seconds=0)

    def delay(self, attempt: int, jitter: float) -> timedelta:
        """Return the wait after the ``attempt``-th failure (1 is the first).

        ``jitter`` is drawn uniformly from [0, 1).
        """
        if attempt < 1:
            msg = f"attempt counts from 1, got {attempt}"
            raise ValueError(msg)
        ceiling = min(self.cap.total_seconds(), self.base.total_seconds() * 2.0 ** min(attempt - 1, 62))
        return max(self.floor, timedelta(seconds=ceiling * jitter))
