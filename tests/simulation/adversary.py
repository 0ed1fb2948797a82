"""Deployments near the rules' lines, and worlds that do their worst within what the rules allow for."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from tests.simulation.services import WINDOW
from tests.simulation.world import Fate, Item, World

from pipeline_processing.deployment import Deployment, parse
from pipeline_processing.safety import SPARE_RECEIVES, prove
from pipeline_processing.safety.lanes import draining, retrying
from pipeline_processing.safety.scaling import connections, writes_per_second
from pipeline_processing.safety.workers import job_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from hypothesis.strategies import DrawFn

    from pipeline_processing.deployment import Pool


LANES = ("live", "slow")
EDGE = st.sampled_from([0, 0, 0, 1, 7, 30])
"""How far from a rule's line, mostly on it."""


MOMENTS = st.integers(0, 900) | st.integers(0, 20_000)
GROWTH = st.fixed_dictionaries(
    {
        "percent": st.sampled_from([100, 1, 30, 900]),
        "pods": st.sampled_from([4, 1]),
        "periodSeconds": st.sampled_from([90, 1, 100, 600, 1800]),
        "stabilizationWindowSeconds": st.sampled_from([0, 0, 60, 600]),
    }
)
PROCESSORS = ("bronze", "silver")
LIMITS = st.dictionaries(st.sampled_from(PROCESSORS), st.integers(1, 3))

LONE_MOMENTS = st.builds(lambda number, rest: number * 1000.0 + rest, st.integers(0, 3), st.integers(0, 300))
"""Further from each other than any lease here is long."""


@st.composite
def pools(draw: DrawFn, name: str, lane: str, longest: int) -> dict[str, Any]:
    heartbeat = draw(st.sampled_from([5, 20, 60]))
    kind = draw(st.sampled_from(["deployment", "deployment", "job", "fixed"]))
    drain = longest + draw(EDGE)
    grace = drain + 1 + draw(EDGE)
    pre_stop = draw(st.sampled_from([0, 0, 15]))
    most = draw(st.integers(1, 5))
    base = draw(st.sampled_from([1, 5, 30]))
    limits = draw(LIMITS)
    least = {"deployment": st.integers(0, most), "job": st.just(0), "fixed": st.integers(1, most)}
    return {
        "name": name,
        "lane": lane,
        "concurrency": draw(st.integers(1, 4) | st.just(12)),
        "processors": limits,
        "typicalItem": f"{max(1, longest * draw(st.integers(1, 10) | st.just(10)) // 10)}s",
        "longestItem": f"{longest}s",
        "terminationGracePeriodSeconds": grace + pre_stop,
        "preStopSeconds": pre_stop,
        "settings": {
            "PIPELINE_BACKOFF_BASE": f"{base}s",
            "PIPELINE_BACKOFF_CAP": f"{base * draw(st.sampled_from([1, 4]))}s",
            "PIPELINE_DATABASE_CONNECTIONS": str(draw(st.integers(1, 3))),
            "PIPELINE_DRAIN": f"{drain}s",
            "PIPELINE_GRACE": f"{grace}s",
            "PIPELINE_HEARTBEAT": f"{heartbeat}s",
            "PIPELINE_LEASE": f"{3 * heartbeat + draw(EDGE)}s",
            "PIPELINE_MAX_ATTEMPTS": str(draw(st.integers(1, 5) | st.just(10))),
            "PIPELINE_RECEIVE_WAIT": f"{draw(st.sampled_from([1, 10, 20]))}s",
        },
        "scaling": {
            "kind": kind,
            "min": draw(least[kind]),
            "max": most,
            "queueLength": draw(st.integers(1, 20)),
            "pollingInterval": draw(st.sampled_from([1, 5, 5, 60, 600, 7200])),
            "cooldownPeriod": draw(st.sampled_from([0, 120, 300, 3600])),
            "scaleOnInFlight": bool(limits) or draw(st.booleans()),  # docs/simulation.md says what is else
            "scaleUp": draw(GROWTH),
            "scaleDown": {"percent": draw(st.sampled_from([10, 100])), "stabilizationWindowSeconds": draw(EDGE)},
            "job": {"activeDeadlineSeconds": 86_400},
        },
    }


@st.composite
def deployments(draw: DrawFn) -> Deployment:
    """Return one that the rules accept, every number on its rule's line or a little inside."""
    lanes = LANES[: draw(st.integers(1, 2))]
    document: dict[str, Any] = {
        "lanes": {
            lane: {
                "queueUrl": f"https://sqs/{lane}",
                "largestBacklog": draw(st.integers(1, 30) | st.just(100)),
                "retention": "14d",
            }
            for lane in lanes
        },
        "pools": [pool for lane in lanes for pool in draw(_pools_of(lane))],
        "limits": {"postgresReserved": 1},
    }
    roomy = parse(document)
    for name, lane in document["lanes"].items():
        workers = list(roomy.pools_of(name))
        took = draining(roomy, name)
        assert took is not None
        lane["retention"] = f"{ceil((took + max(map(retrying, workers))).total_seconds()) + draw(EDGE)}s"
        attempts = max(pool.effective.max_attempts for pool in workers)
        lane["maxReceiveCount"] = attempts + SPARE_RECEIVES + draw(st.integers(0, 1))
    for pool, parsed in zip(document["pools"], roomy.pools, strict=True):
        pool["scaling"]["job"]["activeDeadlineSeconds"] = ceil(job_time(parsed).total_seconds()) + draw(EDGE)
    burst = sum(pool.slots for pool in roomy.pools) * roomy.limits.s3_writes_per_item / WINDOW
    document["limits"]["s3WritesPerSecond"] = ceil(max(writes_per_second(roomy), burst)) + draw(EDGE)
    document["limits"]["postgresConnections"] = connections(roomy) + 1 + draw(EDGE)
    deployment = parse(document)
    assert [] == [finding.message for finding in prove(deployment) if finding.severity == "unsafe"]
    return deployment


@st.composite
def _pools_of(draw: DrawFn, lane: str) -> list[dict[str, Any]]:
    """Return one or two, which agree about the longest item."""
    longest = draw(st.integers(1, 300))
    return [draw(pools(name, lane, longest)) for name in (lane, f"{lane}-too")[: draw(st.sampled_from([1, 1, 2]))]]


def _thousand(moment: float) -> int:
    return int(moment // 1000)


@st.composite
def worlds(draw: DrawFn, deployment: Deployment, *, calm: bool = False) -> World:
    """Return one that keeps the bounds: durations, backlogs, fewer failures than attempts, deaths within the spare.

    A ``calm`` one has one rollout and no evictions, and no more work than largestBacklog x typicalItem. One that is not
    also has renewals that SQS leaves unanswered, messages that it hands out twice, and hours in which KEDA is blind.
    """
    beat = min(pool.effective.heartbeat.total_seconds() for pool in deployment.pools)
    items = [item for name in deployment.lanes for item in draw(_items(deployment, name, calm=calm))]
    moments = st.lists(MOMENTS.map(float), max_size=4)
    return World(
        items,
        seed=draw(st.integers(0, 3)),
        start=draw(st.sampled_from([5.0, 30.0])),
        crashes=draw(moments),
        evictions=[] if calm else draw(moments),
        rollouts=draw(moments)[: 1 if calm else None],
        lag=draw(st.sampled_from([0.0, 60.0])),
        unanswered=[]
        if calm
        else [(at, at + beat) for at in draw(st.lists(LONE_MOMENTS, max_size=4, unique_by=_thousand))],
        uncounted=[] if calm else [(at, at + 3600) for at in draw(moments)],
        needs_database=calm,
    )


@st.composite
def _items(draw: DrawFn, deployment: Deployment, lane: str, *, calm: bool) -> Sequence[Item]:
    workers = list(deployment.pools_of(lane))
    longest, typical = (max(times).total_seconds() for times in zip(*map(_times, workers), strict=True))
    attempts = min(pool.effective.max_attempts for pool in workers)
    at = float(draw(st.sampled_from([0, 0, 1, 61])))  # KEDA looks at 0, and then a whole pollingInterval later
    processor = st.just(PROCESSORS[0]) if draw(st.booleans()) else st.sampled_from(["", *PROCESSORS])
    most = deployment.lanes[lane].largest_backlog
    kinds = [Fate.FAILS, Fate.KILLS] if calm else [Fate.FAILS, Fate.KILLS, Fate.EVICTS]
    worst = [Fate.FAILS if calm else Fate.EVICTS] * (attempts - 1) + [Fate.KILLS] * SPARE_RECEIVES
    fates = st.just(worst) | st.lists(st.sampled_from(kinds), max_size=10)
    doubles = st.just(0) if calm else st.integers(0, 1)
    special = draw(st.lists(st.tuples(fates, st.sampled_from([0.1, 1.0]), doubles), max_size=min(most, 4)))
    found = [
        Item(at, longest * share, _bounded(mishaps, attempts), lane=lane, doubles=twice, processor=draw(processor))
        for mishaps, share, twice in special
    ]
    if calm:
        found = _affordable(found, most * typical)
        spent = sum(map(_work, found))
        most = min(most, len(found) + int((most * typical - spent) / typical))
    count = draw(st.just(most) | st.integers(min(most, max(1, len(found))), most))
    usual = [Item(at, typical, lane=lane, processor=draw(processor)) for _ in range(min(3, count - len(found)))]
    return [*found, *(usual[number % 3] for number in range(count - len(found)))]


def _times(pool: Pool) -> tuple[timedelta, timedelta]:
    return pool.longest_item, pool.typical_item


def _work(item: Item) -> float:
    """Return the time that it keeps places for, all its starts together."""
    return item.seconds * (1 + len(item.fates))


def _affordable(items: Sequence[Item], budget: float) -> list[Item]:
    kept: list[Item] = []
    for item in items:
        if sum(map(_work, kept)) + _work(item) <= budget:
            kept.append(item)
    return kept


def _bounded(mishaps: Sequence[Fate], attempts: int) -> tuple[Fate, ...]:
    """Return them without the failures that would exhaust the attempts; deaths are bounded by the world."""
    kept: list[Fate] = []
    for fate in mishaps:
        if fate is not Fate.FAILS or kept.count(fate) < attempts - 1:
            kept.append(fate)
    return tuple(kept)
