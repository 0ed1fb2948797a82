"""From an attempt's outcome to what becomes of its delivery: pure, total, the only place that decides (law 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from etl_core.retry import Backoff

if TYPE_CHECKING:
    from datetime import timedelta

    from pipeline_processing.model import Failure, ItemResult


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The work is done and its marker stands, by this attempt."""

    result: ItemResult


@dataclass(frozen=True, slots=True)
class AlreadyDone:
    """A marker stands, by another attempt."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run was cancelled: its items are no longer wanted."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed; its failure record is written. ``retry_after`` is the cause's own wish."""

    failure: Failure
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """The message is not one of ours, or not one that this version reads."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """The control store could not be read or written: the run knows neither success nor failure. Not an attempt."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A drain gave the item back before it was finished. Not an attempt."""


@dataclass(frozen=True, slots=True)
class LostLease:
    """The lease ran out under the attempt: another worker may hold the item now."""


Outcome = Succeeded | AlreadyDone | Cancelled | Failed | Malformed | Unrecorded | Interrupted | LostLease


@dataclass(frozen=True, slots=True)
class Ack:
    """Delete the message: nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Let the message come back ``after`` this long."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Bury:
    """Dossier, then dead-letter queue with the error, then delete."""

    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Give the message back at once, for another worker."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """Do nothing: the message is not ours any more."""


Settlement = Ack | Retry | Bury | Release | Abandon


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently.

    The queue's maxReceiveCount must exceed ``max_attempts`` by two, or SQS buries first and without the error.
    """

    max_attempts: int = 5
    backoff: Backoff = field(default_factory=Backoff)
    receive_limit: int | None = None
    """The queue's maxReceiveCount; None where the queue buries nothing by itself."""


def settle(  # noqa: PLR0911 - one return a case is what makes it readable
    outcome: Outcome, *, attempt: int, policy: RetryPolicy, jitter: float
) -> Settlement:
    """Decide. ``attempt`` counts from 1; ``jitter`` is drawn uniformly from [0, 1)."""
    match outcome:
        case Succeeded() | AlreadyDone() | Cancelled():
            return Ack()
        case Failed(failure=failure) if not failure.transient:
            return Bury("permanent")
        case Failed() if attempt >= policy.max_attempts:
            return Bury("attempts_exhausted")
        case Failed(retry_after=wish):
            delay = policy.backoff.delay(attempt, jitter)
            return Retry(min(max(delay, wish), policy.backoff.cap) if wish else delay)
        case Malformed():
            return Bury("malformed")
        case Unrecorded():
            return Retry(policy.backoff.delay(attempt, jitter))
        case Interrupted():
            return Release()
        case LostLease():
            return Abandon()
        case _:
            assert_never(outcome)
