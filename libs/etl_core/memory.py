"""What bounds the memory of a process that works on large files, and must be said before its libraries load."""

from __future__ import annotations

import ctypes
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({"POLARS_ROW_GROUP_PREFETCH_SIZE": "1"})
"""Polars' Parquet reader holds so many row groups for each file that it has begun; read once, as it loads."""
ARENAS: Final = 2
"""NumPy, sketches and the interpreter allocate by glibc, which keeps what is free in up to eight arenas a core."""
_M_ARENA_MAX: Final = -8
"""The parameter's number in glibc's malloc.h."""


def bound() -> None:
    """Set what a deployment has not set itself; call it once, first thing in a process.

    Measured and left out: Polars allocates by jemalloc, which gives back free pages by itself soon enough; to make it
    do so at once (``_RJEM_MALLOC_CONF=narenas:2,dirty_decay_ms:500``) saves a tenth of memory and costs as much time.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "MALLOC_ARENA_MAX" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, ARENAS)
