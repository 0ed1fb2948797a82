"""What the stack's two services have in common: a folder, a log, a lock that lives as long as their processes do."""

from __future__ import annotations

import contextlib
import fcntl
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from etl_core.errors import ConfigError
from pipeline_local.processes import ProcessRef, command_of, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Running:
    """A service that was started: its process and its port."""

    process: ProcessRef
    port: int


class Service(ABC):
    """One of the stack's servers, over the folder that holds all its data."""

    name: ClassVar[str]
    usual_port: ClassVar[int]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0  # the launched server's

    @property
    def log(self) -> Path:
        """Return the file that the server's output goes to."""
        return self.folder / "log"

    @property
    @abstractmethod
    def pid_file(self) -> Path:
        """Return the file that the server itself writes its pid to."""

    @abstractmethod
    def launch(self, port: int, *, patience: float) -> subprocess.Popen[bytes]:
        """Start the server, without waiting for it; on a free port where ``port`` stays taken for that many seconds.

        A killed server's port is freed an instant after its process is seen to be gone.
        """

    @abstractmethod
    def await_ready(self, child: subprocess.Popen[bytes]) -> Running:
        """Return when the launched server answers; ConfigError when it does not."""

    @abstractmethod
    def is_ready(self, running: Running) -> bool:
        """Say whether the server runs and answers."""

    @abstractmethod
    def stop(self, running: Running) -> None:
        """End the server and wait for its end."""

    def orphan(self) -> ProcessRef | None:
        """Return a server of this folder that the state file knows nothing of: its starter was killed just then."""
        try:
            pid = int(self.pid_file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        process = ProcessRef.of(pid)
        return process if process and str(self.folder) in command_of(pid) else None

    @contextlib.contextmanager
    def hold(self) -> Iterator[int]:
        """Lock the folder's data and yield the descriptor; a child that inherits it keeps the lock until it ends.

        So two servers never write the same data, even where a killed server's own children linger.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not wait_until(lambda: _try_lock(descriptor), 15):
                raise ConfigError(
                    f"another {self.name} uses {self.folder}",
                    where="local stack",
                    way_out="stop it, or choose another --data-dir",
                )
            yield descriptor
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
