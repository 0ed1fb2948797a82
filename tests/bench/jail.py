"""Runs a command under a hard memory limit: a control group where we may make one, else RLIMIT_DATA."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import MEBIBYTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_GROUPS = {Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes", Path("/sys/fs/cgroup"): "memory.max"}
"""Where control groups of version 1 and 2 are, and the file of each that holds the limit."""


async def run(command: Sequence[str], *, limit_mib: int, environment: Mapping[str, str], cwd: Path) -> str:
    """Return what the command prints; RuntimeError where it fails, which it does when it needs more memory."""
    with _group(limit_mib) as group:

        def enter() -> None:
            if group is not None:
                (group / "cgroup.procs").write_text(str(os.getpid()))
            else:
                resource.setrlimit(resource.RLIMIT_DATA, (limit_mib * MEBIBYTE, limit_mib * MEBIBYTE))

        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
            cwd=cwd,
            preexec_fn=enter,
        )
        told, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{command[-1]} ended with {process.returncode} in {limit_mib} MiB")
        return told.decode()


@contextmanager
def _group(limit_mib: int) -> Iterator[Path | None]:
    for root, limit in _GROUPS.items():
        group = root / f"bench-{os.getpid()}"
        with suppress(OSError):
            group.mkdir()
            try:
                (group / limit).write_text(str(limit_mib * MEBIBYTE))
            except OSError:
                group.rmdir()
                continue
            try:
                yield group
            finally:
                group.rmdir()
            return
    sys.stderr.write("no control group can be made here: RLIMIT_DATA stands for it\n")
    yield None
