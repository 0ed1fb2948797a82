"""What bounds the memory of a process that refines files, and can only be said before it starts."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "POLARS_ROW_GROUP_PREFETCH_SIZE": "1",
        "_RJEM_MALLOC_CONF": "dirty_decay_ms:500,muzzy_decay_ms:0,narenas:2",
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_TRIM_THRESHOLD_": "131072",
    }
)
"""Variables to start a worker with, each read once, by libraries as they load.

- Polars' Parquet reader holds so many row groups for each file that it has begun.
- Polars allocates by jemalloc: few arenas, and pages that are free go back to the system within half a second.
- NumPy, sketches and the interpreter allocate by glibc: the same for those.
"""
