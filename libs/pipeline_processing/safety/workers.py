"""Rules of one pool: leases, drains, and how long an item may take."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

from pipeline_processing.safety.finding import Breach, Rule, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_processing.deployment import Deployment, Pool

HEARTBEATS_PER_LEASE: Final = 3
"""Two renewals may fail in a row before a lease is lost."""
VISIBILITY_LIMIT: Final = timedelta(hours=12)
"""SQS holds a message this long in total, counted from its receive."""
JOB_START: Final = timedelta(minutes=5)
"""What a job's deadline must leave for a node, the image and the first receive."""


def _lease_covers_heartbeats(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        settings = pool.effective
        often = settings.lease / HEARTBEATS_PER_LEASE
        often -= often % timedelta(milliseconds=1)
        if settings.lease < (needed := HEARTBEATS_PER_LEASE * settings.heartbeat):
            yield Breach(
                _of(pool),
                f"the lease ({say(settings.lease)}) is shorter than {HEARTBEATS_PER_LEASE} heartbeats"
                f" ({say(settings.heartbeat)} each)",
                f"set PIPELINE_LEASE to {say(needed)} or more, or PIPELINE_HEARTBEAT to {say(often)} or less",
                ("PIPELINE_HEARTBEAT", say(often)),
            )


def _drain_within_grace(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        settings = pool.effective
        if settings.drain >= settings.grace:
            yield Breach(
                _of(pool),
                f"the drain ({say(settings.drain)}) does not end within the grace period ({say(settings.grace)})",
                "set PIPELINE_DRAIN below PIPELINE_GRACE, and PIPELINE_GRACE to the pod's"
                " terminationGracePeriodSeconds",
                ("PIPELINE_DRAIN", say(settings.grace * 0.75)),
            )


def _receive_and_drain_within_grace(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        settings = pool.effective
        if settings.drain < settings.grace < settings.receive_wait + settings.drain:
            yield Breach(
                _of(pool),
                f"a long poll ({say(settings.receive_wait)}) and a drain ({say(settings.drain)}) together exceed the"
                f" grace period ({say(settings.grace)})",
                "shorten PIPELINE_RECEIVE_WAIT or PIPELINE_DRAIN, or lengthen the grace period",
                ("PIPELINE_RECEIVE_WAIT", say(settings.grace - settings.drain)),
            )


def _grace_within_termination(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        grace, allowed = pool.effective.grace, pool.termination_grace_period_seconds
        needed = grace + timedelta(seconds=pool.pre_stop_seconds)
        if needed > timedelta(seconds=allowed):
            yield Breach(
                _of(pool),
                f"PIPELINE_GRACE ({say(grace)}) and the preStop hook ({pool.pre_stop_seconds}s) exceed the pod's grace"
                f" period ({allowed}s)",
                f"set terminationGracePeriodSeconds to {ceil(needed.total_seconds())} or more",
                ("terminationGracePeriodSeconds", ceil(needed.total_seconds())),
            )


def _items_end_within_drain(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        if pool.scaling.kind == "deployment" and pool.longest_item > pool.effective.drain:
            yield _interrupting(pool)


def _items_survive_rollouts(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        if pool.scaling.kind == "fixed" and pool.longest_item > pool.effective.drain:
            yield _interrupting(pool)


def _interrupting(pool: Pool) -> Breach:
    settings = pool.effective
    spare = max(settings.grace - settings.drain, timedelta(seconds=10))
    termination = ceil((pool.longest_item + spare).total_seconds()) + pool.pre_stop_seconds
    return Breach(
        _of(pool),
        f"an item may take {say(pool.longest_item)}, but a drain ends after {say(pool.effective.drain)}",
        f"set PIPELINE_DRAIN to {say(pool.longest_item)} and terminationGracePeriodSeconds to {termination}, or"
        " scaling.kind to job where items take that long",
        ("scaling.kind", "job") if pool.scaling.kind == "deployment" else ("longestItem", say(pool.effective.drain)),
    )


def _items_fit_visibility(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        longest = VISIBILITY_LIMIT - pool.effective.lease  # no renewal may pass the limit, so the last ends before it
        if (needed := staying(pool)) > longest:
            waits = "" if pool.places == pool.concurrency else " with the turns that it waits for"
            yield Breach(
                _of(pool),
                f"an item may take {say(needed)}{waits}, but SQS holds a message for {say(VISIBILITY_LIMIT)}, and a"
                f" lease of {say(pool.effective.lease)} is not renewed beyond that",
                f"cut such items smaller{waits and f', or set concurrency to {pool.places}'}",
                ("concurrency", pool.places) if waits else ("longestItem", say(longest)),
            )


def staying(pool: Pool) -> timedelta:
    """Return the longest that a pod holds an item: until its processor's turn comes, and its work."""
    return ceil(pool.concurrency / pool.places) * pool.longest_item


def job_time(pool: Pool) -> timedelta:
    """Return how long a job's pod may take: its start, a poll for each item of its share, and their work in turns."""
    share = pool.scaling.queue_length
    return JOB_START + share * pool.effective.receive_wait + ceil(share / pool.places) * pool.longest_item


def _jobs_outlive_items(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        deadline = timedelta(seconds=pool.scaling.job.active_deadline_seconds)
        if pool.scaling.kind == "job" and deadline < (needed := job_time(pool)):
            yield Breach(
                _of(pool),
                f"a job is killed after {say(deadline)}, but its {pool.scaling.queue_length} items may take"
                f" {say(needed)}, {pool.places} at once",
                f"set scaling.job.activeDeadlineSeconds to {ceil(needed.total_seconds())} or more"
                + (f", or scaling.queueLength to {pool.places}" if pool.scaling.queue_length > pool.places else ""),
                ("scaling.job.activeDeadlineSeconds", ceil(needed.total_seconds())),
            )


def _turns_are_short(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        for name, places in pool.processors.items():
            if places < pool.concurrency:
                yield Breach(
                    _of(pool),
                    f"of {pool.concurrency} items that a pod holds, only {places} of {name} are worked on",
                    f"set concurrency to {places}, or give {name} a lane of its own, where that lane is all {name}",
                )


def _jobs_survive_rollouts(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        if pool.scaling.kind == "job" and pool.scaling.job.rollout_strategy != "gradual":
            yield Breach(
                _of(pool),
                "a change of the chart kills its running jobs",
                "set scaling.job.rolloutStrategy to gradual",
                ("scaling.job.rolloutStrategy", "gradual"),
            )


def _of(pool: Pool) -> str:
    return f"pool {pool.name}"


LEASES: Final = (
    Rule(
        "lease-covers-heartbeats",
        "unsafe",
        "a lease outlasts two lost renewals",
        "one lost renewal would hand an item to a second worker while the first still works on it",
        _lease_covers_heartbeats,
    ),
    Rule(
        "drain-within-grace",
        "unsafe",
        "a drain ends before the platform kills",
        "the platform kills the worker before it has given its items back: they wait for their leases to run out, and"
        " each rollout costs them a receive",
        _drain_within_grace,
    ),
    Rule(
        "receive-and-drain-within-grace",
        "warning",
        "a last long poll ends in time",
        "messages that arrive in the last poll may be held until their lease runs out",
        _receive_and_drain_within_grace,
    ),
)
"""What holds of any worker, whoever runs it."""

PODS: Final = (
    Rule(
        "grace-within-termination",
        "unsafe",
        "a pod is given the time that its worker counts on",
        "Kubernetes kills the worker before it has given its items back: each rollout costs them a receive",
        _grace_within_termination,
    ),
    Rule(
        "items-end-within-drain",
        "unsafe",
        "an item that a scale-in meets is finished, not given back",
        "each scale-in would cost a long item a receive that is no attempt, until SQS buries what never failed",
        _items_end_within_drain,
    ),
    Rule(
        "items-survive-rollouts",
        "unsafe",
        "an item that a rollout meets is finished",
        "each rollout costs a long item a receive that is no attempt",
        _items_survive_rollouts,
    ),
    Rule(
        "turns-are-short",
        "warning",
        "an item that is held is worked on",
        "items wait in a pod for their turn, not in the queue where another pod could take them, and a drain gives them"
        " back: a receive each",
        _turns_are_short,
    ),
    Rule(
        "items-fit-visibility",
        "unsafe",
        "an item ends while SQS still holds its message",
        "SQS gives it to a second worker while the first still holds it, and again, until it buries it",
        _items_fit_visibility,
    ),
    Rule(
        "jobs-outlive-items",
        "unsafe",
        "a job's deadline leaves time for its items",
        "Kubernetes would kill the job in its work, at every attempt, until SQS buries the item",
        _jobs_outlive_items,
    ),
    Rule(
        "jobs-survive-rollouts",
        "unsafe",
        "a change of the chart lets running jobs end",
        "each change would cost hour-long items a receive that is no attempt, until SQS buries them",
        _jobs_survive_rollouts,
    ),
)
"""What holds of a pool of pods."""
