"""What a rule is, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from pipeline_processing.deployment import Deployment

Severity = Literal["unsafe", "warning"]

SPARE_RECEIVES: Final = 2
"""Receives that are no attempt: one for a worker that dies, one for a drain that gives the item back."""
SURGE: Final = 2
"""A rollout goes on as new pods are ready: by its end every old one may still drain, and hold its connections."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Where a rule does not hold, what is so, and the nearest change that makes it hold."""

    where: str
    """``pool NAME``, ``lane NAME``, ``schedule NAME`` or ``limits``."""
    message: str
    fix: str
    change: tuple[str, object] | None = None
    """The fix as a key of ``where`` (dots go down; PIPELINE_* are settings) and its value; None: no one value does."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A set that does not fit together: what is so, why it matters, what to change. ``unsafe`` ones are refused."""

    rule: str
    severity: Severity
    where: str
    message: str
    reason: str
    fix: str
    change: tuple[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must fit: ``promise`` says what, ``reason`` what happens else."""

    name: str
    severity: Severity
    promise: str
    reason: str
    check: Callable[[Deployment], Iterator[Breach]]
    skips: Callable[[Deployment], str] = lambda _: ""
    """Why there is nothing to check, or nothing: a skipped rule is not a kept one (law 11)."""

    def findings(self, deployment: Deployment) -> Iterator[Finding]:
        """Yield what does not hold."""
        if self.skips(deployment):
            return
        for breach in self.check(deployment):
            yield Finding(
                self.name, self.severity, breach.where, breach.message, self.reason, breach.fix, breach.change
            )


def say(duration: timedelta) -> str:
    """Return ``duration`` as the settings spell it: 14d, 90s, 1.5s."""
    seconds = duration.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.10g}s"


def roughly(duration: timedelta) -> str:
    """Return ``duration`` for a reader: two digits are enough."""
    seconds = duration.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds:.3g}s"
