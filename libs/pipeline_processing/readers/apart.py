"""A module of ours run in a process of its own, whose memory is limited, as what it reads may end the process."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from typing import Final

from etl_core.errors import InvalidData

BAD_INPUT: Final = 65
"""Exit code: the input is wrong (EX_DATAERR of sysexits.h)."""

_CRASHES: Final = frozenset({signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV})
"""Signals by which a process ends itself. By the others somebody else ends it, and the input is not at fault."""


def run_apart(module: str, *arguments: str, seconds: float, fault: str) -> bytes:
    """Return what the module printed. InvalidData(``fault``) where the input is wrong or the process was ended by it.

    Whatever else goes wrong in it is our own fault, and a RuntimeError.
    """
    command = [sys.executable, "-m", module, *arguments]
    try:
        child = subprocess.run(command, capture_output=True, check=False, timeout=seconds)  # noqa: S603 - our own module
    except subprocess.TimeoutExpired as error:
        raise InvalidData(f"{fault} in {seconds:.0f} s") from error
    if child.returncode == BAD_INPUT or -child.returncode in _CRASHES:
        raise InvalidData(fault)
    if child.returncode:
        last = child.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise RuntimeError(f"{module} failed with {child.returncode}: {last}")
    return child.stdout


def limit_memory(size: int) -> None:
    """Let this process have ``size`` bytes of address space, or less where it may not have so many; no core is kept."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
