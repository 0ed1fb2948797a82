"""Child processes that outlive the command that starts them, and are never confused with a recycled pid."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator, Mapping, Sequence

_GLANCE: Final = 0.02


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process by pid *and* start: after a reboot or a wrap-around the pid may be somebody else's."""

    pid: int
    started: str

    @classmethod
    def nobody(cls) -> ProcessRef:
        """Return a process that never lives."""
        return cls(0, "")

    @classmethod
    def of(cls, pid: int) -> ProcessRef | None:
        """Return the process that has ``pid`` now, or None."""
        started = _start_of(pid)
        return cls(pid, started) if started else None

    def is_alive(self) -> bool:
        """Say whether this very process still runs; a zombie does not."""
        # kill(0) and kill(-1) mean whole groups of processes: nothing below 2 was ever started by us.
        return self.pid > 1 and self.started != "" and _start_of(self.pid) == self.started

    def stop(self, *signals: tuple[signal.Signals, float]) -> None:
        """Send each signal in turn and wait up to its seconds; the first that works ends it."""
        for number, patience in signals:
            if not self.is_alive():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            if wait_until(lambda: not self.is_alive(), patience):
                return
        if self.is_alive():
            raise ConfigError(f"process {self.pid} does not end", where="local stack", way_out=f"kill -9 {self.pid}")


def _start_of(pid: int) -> str:
    """Return when the process started, in the platform's own spelling, or an empty string where there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        _reap(pid)
        return "" if fields[0] in {"Z", "X"} else fields[19]
    listing = subprocess.run(  # noqa: S603 - a fixed program, an integer argument
        ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return "" if not listing or listing.startswith("Z") else listing.partition(" ")[2].strip()


def command_of(pid: int) -> str:
    """Return the command line of a process, or an empty string where there is none."""
    line = Path(f"/proc/{pid}/cmdline")
    if line.parent.parent.joinpath("self").exists():
        try:
            return line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    return subprocess.run(  # noqa: S603 - a fixed program, an integer argument
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()


def _reap(pid: int) -> None:
    """Collect the process if it is a dead child of ours, so that it does not stay a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def wait_until(condition: Callable[[], bool], patience: float) -> bool:
    """Return True as soon as the condition holds, False when it did not within ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_GLANCE)  # the only clock here is that of other processes
    return True


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    account: tuple[int, int] | None = None,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a daemon in its own session, writing to ``log``; ``account`` is the (user, group) it runs as."""
    user, group = account or (None, None)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the stack's own programs
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd="/",
            user=user,
            group=group,
            extra_groups=[] if account else None,
            start_new_session=True,
            pass_fds=tuple(keep),
        )


def listen(port: int, *, patience: float) -> socket.socket:
    """Return a socket that listens on ``port`` of the loopback, or on a free one where that stays taken."""
    if port:
        taken: list[socket.socket] = []
        if wait_until(lambda: _may_listen(port, taken), patience):
            return taken[0]
    any_port: list[socket.socket] = []
    if not _may_listen(0, any_port):
        raise ConfigError("no free port on 127.0.0.1", where="local stack")
    return any_port[0]


def _may_listen(port: int, into: list[socket.socket]) -> bool:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
    except OSError:
        listener.close()
        return False
    into.append(listener)
    return True


def free_port(port: int, *, patience: float) -> int:
    """Return ``port``, or a free one where that stays taken; somebody else may still take it first."""
    with listen(port, patience=patience) as listener:
        return int(listener.getsockname()[1])


def last_lines(log: Path, count: int = 5) -> str:
    """Return the end of a log, on one line, for an error message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return " | ".join(line.strip() for line in lines[-count:] if line.strip())


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock for the block; waits for whoever holds it. The kernel frees it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
