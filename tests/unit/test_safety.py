from datetime import timedelta

import pytest

from etl_core.queue import QueuePolicy
from pipeline_processing.safety import unsafe
from pipeline_processing.settings import Settings

SAFE_QUEUE = QueuePolicy(
    lease=timedelta(minutes=5), retention=timedelta(days=14), max_receive_count=7, dead_letter_queue="dlq"
)
SAFE_DLQ = QueuePolicy(lease=timedelta(seconds=30), retention=timedelta(days=14))


def _rules(
    *, policy: QueuePolicy = SAFE_QUEUE, dead_letters: QueuePolicy | None = SAFE_DLQ, **settings: object
) -> list[tuple[str, str]]:
    return [(found.rule, found.severity) for found in unsafe(Settings(**settings), policy, dead_letters)]  # type: ignore[arg-type] # the fields' own types are checked by pydantic


def _queue(**changes: object) -> QueuePolicy:
    fields: dict[str, object] = {
        "lease": SAFE_QUEUE.lease,
        "retention": SAFE_QUEUE.retention,
        "max_receive_count": SAFE_QUEUE.max_receive_count,
        "dead_letter_queue": SAFE_QUEUE.dead_letter_queue,
    }
    return QueuePolicy(**{**fields, **changes})  # type: ignore[arg-type] # the fields of the dataclass, by name


def test_the_defaults_are_safe() -> None:
    assert _rules() == []


@pytest.mark.parametrize(("heartbeat", "expected"), [("20s", []), ("20.1s", [("lease-covers-heartbeats", "unsafe")])])
def test_a_lease_covers_three_heartbeats(heartbeat: str, expected: list[tuple[str, str]]) -> None:
    assert expected == _rules(lease="60s", heartbeat=heartbeat)


@pytest.mark.parametrize("grace", ["40s", "39s"])
def test_a_drain_that_does_not_end_within_the_grace_period_is_unsafe(grace: str) -> None:
    assert [("drain-within-grace", "unsafe")] == _rules(drain="40s", grace=grace)


def test_a_poll_that_may_outlast_the_grace_period_is_a_warning() -> None:
    assert [("receive-and-drain-within-grace", "warning")] == _rules(drain="40s", grace="45s", receive_wait="10s")


def test_receives_must_exceed_attempts_by_two() -> None:
    assert [] == _rules(max_attempts=5, policy=_queue(max_receive_count=7))
    assert [("receives-exceed-attempts", "unsafe")] == _rules(max_attempts=5, policy=_queue(max_receive_count=6))


def test_a_queue_without_dead_letters_is_unsafe() -> None:
    policy = _queue(max_receive_count=None, dead_letter_queue=None)

    assert [("has-dead-letters", "unsafe")] == _rules(policy=policy, dead_letters=None)


def test_dead_letters_are_kept_for_fourteen_days() -> None:
    dlq = QueuePolicy(lease=timedelta(seconds=30), retention=timedelta(days=13))

    assert [("dead-letters-are-kept", "unsafe")] == _rules(dead_letters=dlq)


def test_retries_that_outlast_the_retention_are_unsafe() -> None:
    # Five attempts of up to a lease (5 min) and a wait (15 min) each, and two workers that die, each with its work, its
    # lease and its successor's start: 123.5 min.
    assert [] == _rules(policy=_queue(retention=timedelta(minutes=124)))
    assert [("retries-within-retention", "unsafe")] == _rules(policy=_queue(retention=timedelta(minutes=123)))


def test_unsafe_findings_come_first_and_each_says_why_and_what_to_do() -> None:
    found = unsafe(
        Settings(drain=timedelta(seconds=50), grace=timedelta(seconds=55)), _queue(max_receive_count=1), SAFE_DLQ
    )

    assert ["unsafe", "warning"] == [finding.severity for finding in found]
    assert all(finding.message and finding.reason and finding.fix for finding in found)
    assert "maxReceiveCount (1) is less than the attempts (5) + 2" == found[0].message
