"""The image, built once a session as CI builds it, on a storage of its own; everything is removed afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "docker" / "ci"
BASE, BUILD_BASE = "docker.io/library/python:3.13-slim-trixie", "docker.io/library/python:3.13-trixie"
PATIENCE = 120.0
HARDENED = (
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp"),  # noqa: S108 - the container's own
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
"""As strict as the chart's pods: /tmp is the only place to write to, and there are no rights to gain."""

_skipped: list[str] = []
_facts: list[str] = []


@dataclass
class Engine:
    """buildah and podman; whatever a test starts by `start` ends with the session."""

    containers: list[str] = field(default_factory=list)

    def __call__(self, *command: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CI / "engine.sh", *command], capture_output=True, text=True, check=False, timeout=timeout
        )

    def done(self, *command: str) -> str:
        """Run a command that must succeed; its output."""
        done = self(*command)
        assert 0 == done.returncode, done.stderr
        return done.stdout

    def run(self, image: str, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run the image as hardened as the chart does, with no network unless the options give one."""
        network = () if "--network" in options else ("--network", "none")
        return self(*self._named(), *HARDENED, *network, *options, image, *arguments)

    def start(self, image: str, *arguments: str, options: tuple[str, ...]) -> tuple[str, subprocess.Popen[str]]:
        """Run it in the background; its name for `podman kill`, and the process that ends with its exit code."""
        command = [CI / "engine.sh", *self._named(), *HARDENED, *options, image, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self.containers[-1], process

    def clear(self) -> None:
        """Remove what did not end by itself: a test may have failed, or run out of time."""
        self("podman", "rm", "--force", "--ignore", *self.containers)

    def _named(self) -> tuple[str, ...]:
        self.containers.append(f"test-{uuid4().hex[:12]}")
        return "podman", "run", "--rm", "--name", self.containers[-1]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Return the tools, installed where they can be; where not, everything that needs them is skipped, and says so."""
    tools = subprocess.run([CI / "tools.sh"], capture_output=True, text=True, check=False)
    if tools.returncode:
        _skipped.append(tools.stderr.strip())
        pytest.skip(f"no image can be built here: {tools.stderr.strip()}")
    engine = Engine()
    yield engine
    engine.clear()
    # The overlay driver leaves its folder mounted on itself: then `rm -r .tools` could not remove it.
    subprocess.run(
        ["umount", "--recursive", ROOT / ".tools" / "image" / "storage" / "overlay"], capture_output=True, check=False
    )


@pytest.fixture(scope="session")
def image(engine: Engine) -> Iterator[str]:
    """Return the tag of the image of this source tree."""
    tag = f"localhost/pipeline-processing:test-{uuid4().hex[:12]}"
    built = subprocess.run(
        [CI / "build.sh", tag],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == built.returncode, built.stdout + built.stderr
    yield tag
    engine.clear()
    engine.done("buildah", "rmi", tag)


@pytest.fixture(scope="session")
def facts() -> list[str]:
    """Return the lines that are shown after the tests, passed or not."""
    return _facts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it where nobody overlooks it: an image that was not built was not checked."""
    for fact in _facts:
        terminalreporter.line(fact)
    for reason in _skipped:
        terminalreporter.section("THE IMAGE WAS NOT BUILT", sep="!", red=True)
        terminalreporter.line(f"Its tests are skipped: {reason}")
