"""Which settings lose work, or bury it without its error, when they meet. Pure rules, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_core.queue import QueuePolicy
    from pipeline_processing.settings import Settings

HEARTBEATS_PER_LEASE: Final = 3
"""Two renewals may fail in a row before a lease is lost."""
SPARE_RECEIVES: Final = 2
"""Receives that are no attempt: one for a worker that dies, one for a drain that gives the item back."""
DEAD_LETTER_RETENTION: Final = timedelta(days=14)
"""The longest that SQS keeps a message."""

Severity = Literal["unsafe", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A set that does not fit together: what is so, why it matters, what to change. ``unsafe`` ones are refused."""

    rule: str
    severity: Severity
    message: str
    reason: str
    fix: str


def unsafe(settings: Settings, policy: QueuePolicy, dead_letters: QueuePolicy | None) -> list[Finding]:
    """Return every finding about one lane, unsafe ones first; empty means that the set is safe."""
    findings = [*_worker(settings), *_redrive(settings, policy), *_retention(settings, policy, dead_letters)]
    return sorted(findings, key=lambda finding: finding.severity != "unsafe")


def _worker(settings: Settings) -> Iterator[Finding]:
    if settings.lease < HEARTBEATS_PER_LEASE * settings.heartbeat:
        yield Finding(
            "lease-covers-heartbeats",
            "unsafe",
            f"the lease ({_say(settings.lease)}) is shorter than {HEARTBEATS_PER_LEASE} heartbeats"
            f" ({_say(settings.heartbeat)} each)",
            "one lost renewal would hand an item to a second worker while the first still works on it",
            f"set PIPELINE_LEASE to {_say(HEARTBEATS_PER_LEASE * settings.heartbeat)} or more, or PIPELINE_HEARTBEAT to"
            f" {_say(settings.lease / HEARTBEATS_PER_LEASE)} or less",
        )
    if settings.drain >= settings.grace:
        yield Finding(
            "drain-within-grace",
            "unsafe",
            f"the drain ({_say(settings.drain)}) does not end within the grace period ({_say(settings.grace)})",
            "the platform kills the worker before it has given its items back: they wait for their leases to run out,"
            " and each rollout costs them a receive",
            "set PIPELINE_DRAIN below PIPELINE_GRACE, and PIPELINE_GRACE to the pod's terminationGracePeriodSeconds",
        )
    elif settings.receive_wait + settings.drain > settings.grace:
        yield Finding(
            "receive-and-drain-within-grace",
            "warning",
            f"a long poll ({_say(settings.receive_wait)}) and a drain ({_say(settings.drain)}) together exceed the"
            f" grace period ({_say(settings.grace)})",
            "messages that arrive in the last poll may be held until their lease runs out",
            "shorten PIPELINE_RECEIVE_WAIT or PIPELINE_DRAIN, or lengthen the grace period",
        )


def _redrive(settings: Settings, policy: QueuePolicy) -> Iterator[Finding]:
    needed = settings.max_attempts + SPARE_RECEIVES
    if policy.dead_letter_queue is None or policy.max_receive_count is None:
        yield Finding(
            "has-dead-letters",
            "unsafe",
            "the queue has no dead-letter queue",
            "an item that kills its worker would come back for ever, until the queue's retention drops it in silence",
            f"give the queue a redrive policy with maxReceiveCount {needed} or more",
        )
    elif policy.max_receive_count < needed:
        yield Finding(
            "receives-exceed-attempts",
            "unsafe",
            f"maxReceiveCount ({policy.max_receive_count}) is less than the attempts ({settings.max_attempts})"
            f" + {SPARE_RECEIVES}",
            "SQS would move items to the dead-letter queue before the worker buries them with their error; a rollout"
            " could bury items that never failed",
            f"set maxReceiveCount to {needed} or more, or PIPELINE_MAX_ATTEMPTS to"
            f" {max(1, policy.max_receive_count - SPARE_RECEIVES)}",
        )


def _retention(settings: Settings, policy: QueuePolicy, dead_letters: QueuePolicy | None) -> Iterator[Finding]:
    if dead_letters is None:
        return
    if dead_letters.retention != DEAD_LETTER_RETENTION:
        yield Finding(
            "dead-letters-are-kept",
            "unsafe",
            f"the dead-letter queue keeps messages for {_say(dead_letters.retention)}, not"
            f" {_say(DEAD_LETTER_RETENTION)}",
            "it counts from the original send, so a dead letter may be dropped before anybody has looked at it",
            "set the dead-letter queue's MessageRetentionPeriod to 1209600 seconds",
        )
    if policy.retention > dead_letters.retention:
        yield Finding(
            "retention-fits-dead-letters",
            "unsafe",
            f"the queue keeps messages longer ({_say(policy.retention)}) than its dead-letter queue"
            f" ({_say(dead_letters.retention)})",
            "a message keeps its send time when it moves: an old one would be dropped on arrival",
            f"set the queue's retention to {_say(dead_letters.retention)} or less",
        )
    longest = settings.max_attempts * (settings.backoff_cap + settings.lease)
    if longest > policy.retention:
        yield Finding(
            "retries-within-retention",
            "warning",
            f"{settings.max_attempts} attempts may take {_say(longest)}, but the queue keeps a message for"
            f" {_say(policy.retention)}",
            "an item that is still being retried would be dropped by the queue; reconcile has to find it",
            "lengthen the queue's retention, or shorten PIPELINE_BACKOFF_CAP",
        )


def _say(duration: timedelta) -> str:
    """Return ``duration`` as the settings spell it: 14d, 90s, 1.5s."""
    seconds = duration.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"
