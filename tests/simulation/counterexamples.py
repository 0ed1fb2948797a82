"""For each rule that refuses: a deployment that breaks only it, and a world in which that does harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.simulation.documents import LANE, LIMITS, POOL, Change
from tests.simulation.lives import Harm
from tests.simulation.world import Fate, Item, World

FAILS, KILLS, EVICTS = Fate.FAILS, Fate.KILLS, Fate.EVICTS
DAY: Final = 86_400.0


@dataclass(frozen=True)
class Case:
    """``mend`` None: the finding's own change mends it. ``other`` is the world where the mend is a promise about it."""

    breaking: tuple[Change, ...]
    world: World
    harm: Harm
    mend: tuple[Change, ...] | None = None
    other: World | None = None


JOB: Final[tuple[Change, ...]] = (
    (POOL, "scaling.kind", "job"),
    (POOL, "longestItem", "5m"),
    (POOL, "scaling.job.activeDeadlineSeconds", 700),
    (LANE, "largestBacklog", 5),
    (LANE, "retention", "6h"),
)

CASES: Final[dict[str, Case]] = {
    "lease-covers-heartbeats": Case(
        # SQS leaves one renewal without an answer: the next one comes too late.
        breaking=(
            (POOL, "PIPELINE_HEARTBEAT", "60s"),
            (POOL, "PIPELINE_DRAIN", "150s"),
            (POOL, "longestItem", "150s"),
        ),
        world=World([Item(seconds=150)], unanswered=[(85, 95)]),
        harm=Harm.REPEATED,
    ),
    "drain-within-grace": Case(
        # Each rollout meets the same item with 40 seconds to go, and the platform grants 30.
        breaking=((POOL, "terminationGracePeriodSeconds", 30),),
        world=World([Item(seconds=80, fates=(EVICTS,) * 7)]),
        harm=Harm.BURIED,
        mend=((POOL, "terminationGracePeriodSeconds", 100),),
    ),
    "grace-within-termination": Case(
        # The same, by a worker that was told that it has more time.
        breaking=((POOL, "PIPELINE_GRACE", "100s"), (POOL, "terminationGracePeriodSeconds", 30)),
        world=World([Item(seconds=80, fates=(EVICTS,) * 7)]),
        harm=Harm.BURIED,
    ),
    "items-end-within-drain": Case(
        # Six scale-ins give the item back; then its worker dies, once.
        breaking=((POOL, "PIPELINE_DRAIN", "30s"),),
        world=World([Item(seconds=80, fates=(*(EVICTS,) * 6, KILLS))]),
        harm=Harm.BURIED,
        mend=((POOL, "PIPELINE_DRAIN", "80s"),),
    ),
    "items-survive-rollouts": Case(
        breaking=((POOL, "scaling.kind", "fixed"), (POOL, "scaling.min", 2), (POOL, "PIPELINE_DRAIN", "30s")),
        world=World([Item(seconds=80, fates=(*(EVICTS,) * 6, KILLS))]),
        harm=Harm.BURIED,
        mend=((POOL, "PIPELINE_DRAIN", "80s"),),
    ),
    "pools-agree": Case(
        # Items of five minutes, for which jobs are there, are taken by pods that drain for a minute and a half.
        breaking=(
            (LANE, "retention", "2h"),
            (LANE, "largestBacklog", 5),
            (POOL, "scaling.min", 20),
            (POOL, "scaling.max", 20),
            ("pool jobs", "scaling.kind", "job"),
            ("pool jobs", "longestItem", "5m"),
            ("pool jobs", "scaling.job.activeDeadlineSeconds", 700),
        ),
        world=World([Item(seconds=300, fates=(*(EVICTS,) * 6, KILLS))] * 5),
        harm=Harm.BURIED,
        mend=(
            (POOL, "longestItem", "5m"),
            (POOL, "PIPELINE_DRAIN", "5m"),
            (POOL, "terminationGracePeriodSeconds", 400),
        ),
    ),
    "items-fit-visibility": Case(
        # Seven times, twelve hours each. The mend is a promise: such items are cut in two.
        breaking=(
            (LANE, "retention", "11d"),
            (POOL, "longestItem", "13h"),
            (POOL, "PIPELINE_DRAIN", "13h"),
            (POOL, "terminationGracePeriodSeconds", 14 * 3600),
        ),
        world=World([Item(seconds=13 * 3600)]),
        harm=Harm.BURIED,
        other=World([Item(seconds=6.5 * 3600)] * 2),
    ),
    "jobs-outlive-items": Case(
        breaking=(*JOB, (POOL, "scaling.job.activeDeadlineSeconds", 200)),
        world=World([Item(seconds=300)], until=3 * 3600),
        harm=Harm.STUCK,
    ),
    "jobs-survive-rollouts": Case(
        # A rollout every four minutes, and items of five.
        breaking=(*JOB, (POOL, "scaling.job.rolloutStrategy", "immediate")),
        world=World([Item(seconds=290)], rollouts=range(200, 3 * 3600, 240), until=3 * 3600),
        harm=Harm.STUCK,
    ),
    "has-dead-letters": Case(
        breaking=((LANE, "maxReceiveCount", None),),
        world=World([Item(seconds=10, always=KILLS)], spare_receives=None),
        harm=Harm.LOST,
    ),
    "receives-exceed-attempts": Case(
        # It fails four times, and then two workers die with it: the fifth attempt would succeed.
        breaking=((LANE, "maxReceiveCount", 6),),
        world=World([Item(seconds=10, fates=(FAILS, FAILS, FAILS, FAILS, KILLS, KILLS))]),
        harm=Harm.BURIED,
    ),
    "dead-letters-are-kept": Case(
        # It dies on a Friday evening; somebody looks on Monday.
        breaking=((LANE, "deadLetterRetention", "2d"),),
        world=World([Item(seconds=10, always=KILLS)], spare_receives=None, looked_at=2.6 * DAY),
        harm=Harm.LOST,
    ),
    "retries-within-retention": Case(
        breaking=((POOL, "PIPELINE_BACKOFF_BASE", "30m"), (POOL, "PIPELINE_BACKOFF_CAP", "30m")),
        world=World([Item(seconds=10, fates=(FAILS,) * 4)] * 8),
        harm=Harm.LOST,
    ),
    "lanes-have-workers": Case(
        breaking=(("lane idle", "retention", "1h"), ("lane idle", "largestBacklog", 100)),
        world=World([Item(lane="idle")]),
        harm=Harm.LOST,
        mend=(("pool q", "lane", "idle"),),
    ),
    "small-backlogs-wake-a-pool": Case(
        breaking=((POOL, "scaling.activationQueueLength", 5),),
        world=World([Item()] * 5),
        harm=Harm.LOST,
        mend=((POOL, "scaling.activationQueueLength", 0),),
    ),
    "backlog-within-retention": Case(
        breaking=((LANE, "largestBacklog", 4000),),
        world=World([Item(seconds=2)] * 4000),
        harm=Harm.LOST,
        mend=((POOL, "scaling.max", 5),),
    ),
    "lanes-are-apart": Case(
        # Five-minute items, whose own pods would drain them, are taken by the other lane's pods, which give them back.
        breaking=(
            (POOL, "scaling.min", 20),
            (POOL, "scaling.max", 20),
            ("pool slow", "lane", "slow"),
            ("pool slow", "scaling.max", 1),
            ("pool slow", "typicalItem", "5m"),
            ("pool slow", "longestItem", "5m"),
            ("pool slow", "PIPELINE_DRAIN", "310s"),
            ("pool slow", "terminationGracePeriodSeconds", 400),
            ("lane slow", "retention", "2h"),
            ("lane slow", "largestBacklog", 5),
            ("lane slow", "queueUrl", "https://sqs/live"),
        ),
        world=World([Item(seconds=300, lane="slow", fates=(*(EVICTS,) * 6, KILLS))] * 5),
        harm=Harm.BURIED,
        mend=(("lane slow", "queueUrl", "https://sqs/slow"),),
    ),
    "min-within-max": Case(
        # Kept at the one pod that a new Deployment has, it works off half of what two would.
        breaking=((LANE, "largestBacklog", 2300), (LANE, "retention", "70m"), (POOL, "scaling.min", 3)),
        world=World([Item(seconds=2)] * 2300),
        harm=Harm.LOST,
    ),
    "s3-writes-within-rate": Case(
        breaking=(
            (POOL, "concurrency", 50),
            (POOL, "scaling.min", 2),
            (LANE, "largestBacklog", 1500),
            (LIMITS, "s3WritesPerSecond", 20),
        ),
        world=World([Item(seconds=2)] * 1500),
        harm=Harm.BURIED,
        mend=((POOL, "concurrency", 3),),
    ),
    "connections-within-limit": Case(
        breaking=((POOL, "scaling.max", 30), (POOL, "scaling.min", 30), (LIMITS, "postgresConnections", 40)),
        world=World([Item(seconds=2)] * 100),
        harm=Harm.BURIED,
    ),
}

EDGES: Final[tuple[tuple[str, Case], ...]] = (
    (
        # No lease is renewed beyond twelve hours: the last one ends a lease before them.
        "items-fit-visibility",
        Case(
            breaking=(
                (LANE, "retention", "11d"),
                (POOL, "longestItem", "43180s"),
                (POOL, "PIPELINE_DRAIN", "12h"),
                (POOL, "terminationGracePeriodSeconds", 14 * 3600),
            ),
            world=World([Item(seconds=43_180)]),
            harm=Harm.BURIED,
            other=World([Item(seconds=21_590)] * 2),
        ),
    ),
    (
        # All old pods of a rollout still drain, with their connections, when the last new one starts.
        "connections-within-limit",
        Case(
            breaking=(
                (POOL, "scaling.max", 20),
                (POOL, "scaling.min", 20),
                (LANE, "largestBacklog", 300),
                (LANE, "retention", "4h"),
                (LIMITS, "postgresConnections", 95),
                (LIMITS, "postgresReserved", 20),
            ),
            world=World([Item(seconds=80)] * 120, rollouts=[200], start=10.0),
            harm=Harm.BURIED,
        ),
    ),
    (
        # A worker that dies takes the time with it that it had worked.
        "retries-within-retention",
        Case(
            breaking=(
                (POOL, "PIPELINE_MAX_ATTEMPTS", "1"),
                (POOL, "PIPELINE_BACKOFF_CAP", "1s"),
                (LANE, "largestBacklog", 1),
                (LANE, "retention", "265s"),
            ),
            world=World([Item(seconds=80, fates=(KILLS, KILLS))]),
            harm=Harm.LOST,
        ),
    ),
    (
        # A job's pod takes one item, whatever its concurrency, ends, and the next one has to start.
        "backlog-within-retention",
        Case(
            breaking=(
                (POOL, "scaling.kind", "job"),
                (POOL, "concurrency", 4),
                (POOL, "typicalItem", "45s"),
                (LANE, "retention", "1700s"),
            ),
            world=World([Item(seconds=45)] * 100),
            harm=Harm.LOST,
            mend=((LANE, "retention", "5h"),),
        ),
    ),
    (
        # With a hundred messages a pod, a hundred messages are one pod's.
        "backlog-within-retention",
        Case(
            breaking=(
                (POOL, "scaling.max", 10),
                (POOL, "scaling.queueLength", 100),
                (POOL, "typicalItem", "45s"),
                (LANE, "retention", "2500s"),
            ),
            world=World([Item(seconds=45)] * 100),
            harm=Harm.LOST,
            mend=((POOL, "scaling.queueLength", 1),),
        ),
    ),
)
"""Where a rule's line runs closer than one would think."""
