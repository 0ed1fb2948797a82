"""What a benchmark measures, and what it is measured with."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Figure:
    """One row of the table. ``bare`` is the speed of what the work is compared with, in the same process and run."""

    name: str
    unit: str
    size: int
    speed: float
    cpu_us: float
    bare: float | None = None
    peak_mib: float | None = None
    limit_mib: float | None = None

    @property
    def share(self) -> float | None:
        """How fast the work is, measured by what it is compared with."""
        return self.speed / self.bare if self.bare else None

    @property
    def is_within_limit(self) -> bool:
        return self.limit_mib is None or (self.peak_mib is not None and self.peak_mib <= self.limit_mib)


@dataclass
class Stopwatch:
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def speed(self, size: int) -> float:
        return size / self.seconds

    def cpu_us(self, size: int) -> float:
        """CPU microseconds of this process, user and system, for each of ``size``."""
        return self.cpu_seconds / size * 1e6


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    watch = Stopwatch()
    began, cpu_began = time.perf_counter(), time.process_time()
    yield watch
    watch.seconds, watch.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began


def peak_mib() -> float:
    """The largest resident memory that this process had.

    Linux's VmHWM begins anew with each program; ``ru_maxrss`` may still be the parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEBIBYTE
