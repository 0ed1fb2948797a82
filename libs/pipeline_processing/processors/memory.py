"""What bounds the memory of a process that refines files, and can only be said before it starts."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {"POLARS_ROW_GROUP_PREFETCH_SIZE": "1", "MALLOC_ARENA_MAX": "2"}
)
"""Variables to start a worker with, each read once, by libraries as they load.

- Polars' Parquet reader holds so many row groups for each file that it has begun.
- NumPy, sketches and the interpreter allocate by glibc, which keeps what is free in up to eight arenas a core.

Measured and left out: Polars allocates by jemalloc, which gives back free pages by itself soon enough; to make it do so
at once (``_RJEM_MALLOC_CONF=narenas:2,dirty_decay_ms:500``) saves a tenth of memory and costs as much time.
"""
