"""The product's commands as child processes: started, watched, killed, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline_local.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PATIENCE: Final = 90.0
"""Seconds that anything may take before a scenario gives up; a healthy one never comes near."""


def until(condition: Callable[[], bool], what: str, *, within: float = PATIENCE) -> None:
    """Return as soon as ``condition`` holds; fail, saying ``what`` was awaited, when it does not."""
    assert wait_until(condition, within), f"not within {within:g} s: {what}"


class Program:
    """One command line, running in a session of its own."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = " ".join(arguments[:3])
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline_processing.cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what it has logged under this event name so far."""
        lines = [line for line in (*self.stdout.splitlines(), *self.stderr.splitlines()) if line.startswith('{"')]
        return [event for line in lines if (event := orjson.loads(line)).get("event") == name]

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone; safe from any thread and for a process that has ended."""
        self.signal(signal.SIGKILL)
        self._process.wait(PATIENCE)

    def signal(self, number: signal.Signals) -> None:
        if self.is_running:
            os.kill(self._process.pid, number)

    def stop(self) -> None:
        """SIGTERM once; fail unless it ends well."""
        self.signal(signal.SIGTERM)
        self.ends()

    def ends(self, code: int = 0) -> None:
        """Wait for its end; fail, showing what it said, unless that is with this exit code."""
        assert code == self.wait(), f"`{self.name}` said:\n{self.tail()}"

    def wait(self, within: float = PATIENCE) -> int:
        """Return the exit code; fail when it does not end."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"`{self.name}` did not end within {within:g} s:\n{self.tail()}") from None

    def tail(self) -> str:
        """Return the end of what it said, for a failure's message."""
        return "\n".join((self.stdout.splitlines() + self.stderr.splitlines())[-40:])
