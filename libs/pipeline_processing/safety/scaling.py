"""Rules of what all share: KEDA's numbers, S3's request rate, Postgres' connections, the controllers' times."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

from pipeline_processing.safety.finding import SURGE, Breach, Rule, roughly, say
from pipeline_processing.safety.lanes import draining

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_processing.deployment import Deployment, Pool, Schedule

COUNTS_LAG: Final = timedelta(minutes=1)
"""SQS's counts reach their value about a minute after the last change."""
FOR_MIGRATION: Final = 1
"""Connections of the job that applies the schema before an upgrade."""


def pods_at_once(pool: Pool) -> int:
    """Return how many pods of a pool may run at once, a rollout's included."""
    scaling = pool.scaling
    # KEDA starts jobs up to the maximum beside the minimum.
    return scaling.min + scaling.max if scaling.kind == "job" else ceil(scaling.most * SURGE)


def connections(deployment: Deployment) -> int:
    """Return how many connections to Postgres all processes may hold together."""
    workers = sum(pods_at_once(pool) * pool.effective.database_connections for pool in deployment.pools)
    return workers + sum(one.effective.database_connections for one in _runs(deployment)) + FOR_MIGRATION


def writes_per_second(deployment: Deployment) -> float:
    """Return the rate of writes to S3 with all pods at work, at an item's usual time."""
    items = sum(pods_at_once(pool) * pool.concurrency / pool.typical_item.total_seconds() for pool in deployment.pools)
    return items * deployment.limits.s3_writes_per_item


def _min_within_max(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        scaling = pool.scaling
        if scaling.kind != "fixed" and scaling.min > scaling.max:
            yield Breach(
                f"pool {pool.name}",
                f"scaling.min ({scaling.min}) exceeds scaling.max ({scaling.max})",
                f"set scaling.max to {scaling.min} or more",
                ("scaling.max", scaling.min),
            )


def _scaling_counts_in_flight(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        if pool.scaling.kind != "fixed" and not pool.scaling.scale_on_in_flight:
            yield Breach(
                f"pool {pool.name}",
                "scaling.scaleOnInFlight is false",
                "set it to true",
                ("scaling.scaleOnInFlight", True),
            )


def _writes_within_rate(deployment: Deployment) -> Iterator[Breach]:
    rate, limit = writes_per_second(deployment), deployment.limits.s3_writes_per_second
    if rate > limit:
        slots = sum(pool.slots for pool in deployment.pools)
        yield Breach(
            "limits",
            f"{slots:,} items at once write {rate:,.0f} times a second; S3 takes {limit:,} in a prefix before it splits"
            " it",
            f"lower scaling.max or concurrency: about {int(slots * limit / rate):,} items at once fit; or pack small"
            " items",
        )


def _connections_within_limit(deployment: Deployment) -> Iterator[Breach]:
    limits = deployment.limits
    needed, free = connections(deployment), limits.postgres_connections - limits.postgres_reserved
    if needed > free:
        yield Breach(
            "limits",
            f"all pods together open up to {needed:,} connections, but Postgres has {max(free, 0):,}"
            f" ({limits.postgres_connections:,}, {limits.postgres_reserved:,} kept for others)",
            "lower scaling.max or PIPELINE_DATABASE_CONNECTIONS, or put a pooler between and set"
            f" limits.postgresConnections to {needed + limits.postgres_reserved:,} or more",
            ("postgresConnections", needed + limits.postgres_reserved),
        )


def _no_connections(deployment: Deployment) -> str:
    return "" if deployment.limits.postgres_connections else "limits.postgresConnections is 0: not limited"


def _stall_outlasts_lag(deployment: Deployment) -> Iterator[Breach]:
    for schedule in deployment.schedules:
        if schedule.effective.stall_after <= COUNTS_LAG:
            yield Breach(
                f"schedule {schedule.name}",
                f"a queue counts as empty after {say(schedule.effective.stall_after)}, but its counts lag by up to"
                f" {say(COUNTS_LAG)}",
                f"set PIPELINE_STALL_AFTER above {say(2 * COUNTS_LAG)}",
                ("PIPELINE_STALL_AFTER", say(2 * COUNTS_LAG)),
            )


def _runs_end_in_time(deployment: Deployment) -> Iterator[Breach]:
    for schedule in _runs(deployment):
        took = draining(deployment, schedule.lane)
        deadline = timedelta(seconds=schedule.active_deadline_seconds)
        if took is not None and took > deadline:
            yield Breach(
                f"schedule {schedule.name}",
                f"it is stopped after {say(deadline)}, but its lane's largest backlog takes {roughly(took)}",
                f"set activeDeadlineSeconds to {ceil(took.total_seconds())} or more",
                ("activeDeadlineSeconds", ceil(took.total_seconds())),
            )


def _runs(deployment: Deployment) -> list[Schedule]:
    """Return the schedules that wait for a lane: those of jobs."""
    return [schedule for schedule in deployment.schedules if schedule.job]


def _no_schedules(deployment: Deployment) -> str:
    return "" if deployment.schedules else "there are no schedules"


def _no_runs(deployment: Deployment) -> str:
    return "" if _runs(deployment) else "no job is scheduled"


def _pods_are_filled(deployment: Deployment) -> Iterator[Breach]:
    for pool in deployment.pools:
        scaling = pool.scaling
        if scaling.kind != "fixed" and scaling.queue_length < pool.concurrency:
            yield Breach(
                f"pool {pool.name}",
                f"a pod is started for every {scaling.queue_length} messages, and has places for {pool.concurrency}",
                f"set scaling.queueLength to {pool.concurrency}",
                ("scaling.queueLength", pool.concurrency),
            )


SHARED: Final = (
    Rule(
        "min-within-max",
        "unsafe",
        "KEDA takes the pool's numbers",
        "KEDA refuses the object: the pool stays at one pod, and its backlog is dropped by the queue's retention",
        _min_within_max,
    ),
    Rule(
        "s3-writes-within-rate",
        "unsafe",
        "all pods together write no faster than S3 takes",
        "S3 throttles: attempts fail for no fault of their item, and exhaust its receives",
        _writes_within_rate,
    ),
    Rule(
        "connections-within-limit",
        "unsafe",
        "all pods together fit into Postgres' connections",
        "Postgres refuses the rest: attempts fail for no fault of their item, until it is buried",
        _connections_within_limit,
        _no_connections,
    ),
    Rule(
        "scaling-counts-in-flight",
        "warning",
        "messages in work count when pods are taken away",
        "pods are taken away while they work, and started again for what they gave back",
        _scaling_counts_in_flight,
    ),
    Rule(
        "pods-are-filled",
        "warning",
        "a pod is started for as many messages as it has places",
        "pods that cost and are half empty",
        _pods_are_filled,
    ),
    Rule(
        "stall-outlasts-lag",
        "warning",
        "a queue that only seems empty is not filled again",
        "reconcile would send items again that are still on their way: work done twice",
        _stall_outlasts_lag,
        _no_schedules,
    ),
    Rule(
        "runs-end-in-time",
        "warning",
        "a controller outlives its lane's largest backlog",
        "the run is left unpublished until somebody gathers it by its id",
        _runs_end_in_time,
        _no_runs,
    ),
)
"""What holds of the whole."""
