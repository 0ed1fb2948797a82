"""The product's own commands as child processes, the way a user runs them, and their end."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline_local.processes import last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PROGRAM: Final = "pipeline-processing"
DRAIN_PATIENCE: Final = 20.0
_KILL_PATIENCE: Final = 5.0


class CommandFailed(Exception):  # noqa: N818 - what happened, in the words of the one who reads it
    """A command did not end as it should; the message says how it ended and what it said last."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended. ``stdout`` is all it printed there."""

    code: int
    stdout: str


class Commands:
    """Runs commands with one environment; everything still running is ended by `stop`.

    Children get sessions of their own, so that Ctrl-C reaches only this process, which ends them in order.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = {**inherited(os.environ), **environment}
        self._logs = logs
        self._running: list[tuple[str, subprocess.Popen[str]]] = []

    def run(self, name: str, arguments: Sequence[str], *, expected: int = 0) -> Done:
        """Run a command to its end; CommandFailed unless it ends with the ``expected`` code."""
        child = self._start(name, arguments, stdout=subprocess.PIPE)
        stdout, _ = child.communicate()
        self._running.remove((name, child))
        if child.returncode != expected:
            said = last_lines(self._log(name)) or " | ".join(stdout.strip().splitlines()[-5:]) or "nothing"
            raise CommandFailed(
                f"`{shown(arguments)}` ended with code {child.returncode}, expected {expected}; it said: {said}"
            )
        return Done(child.returncode, stdout)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start a command that runs until `stop`; its output goes to ``<name>.log``."""
        self._start(name, arguments, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        """End whatever runs: by SIGTERM, so that workers drain, then by force. CommandFailed if one had died before."""
        running, self._running = self._running, []
        died = [(name, child.returncode) for name, child in running if child.poll() is not None]
        for _, child in running:
            child.terminate()
        for name, child in running:
            try:
                code = child.wait(DRAIN_PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                code = child.wait(_KILL_PATIENCE)
            if code and (name, code) not in died:
                died.append((name, code))
        if died:
            name, code = died[0]
            raise CommandFailed(f"{name} ended with code {code}; it said: {last_lines(self._log(name)) or 'nothing'}")

    def _start(self, name: str, arguments: Sequence[str], *, stdout: int) -> subprocess.Popen[str]:
        with self._log(name).open("w") as log:
            child = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-m", "pipeline_processing.cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
                env=self._environment,
                text=True,
                start_new_session=True,
            )
        self._running.append((name, child))
        return child

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def shown(arguments: Sequence[str]) -> str:
    """Return the command as a user would type it."""
    return shlex.join([PROGRAM, *arguments])


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` without what would point the product to other services than the stack's."""
    return {
        name: value for name, value in environment.items() if not name.startswith(("AWS_", "PIPELINE_", "LOCALSTACK_"))
    }
