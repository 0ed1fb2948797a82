"""Rules of one lane: redrive, retention, and whether somebody works on it."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from math import ceil, log
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pipeline_processing.deployment import RETENTION_LIMIT
from pipeline_processing.safety.finding import SPARE_RECEIVES, Breach, Rule, roughly, say
from pipeline_processing.safety.workers import staying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_processing.deployment import Deployment, Lane, Pool

IN_FLIGHT_LIMIT: Final = 120_000
"""Messages in flight that a standard queue allows; beyond it a receive comes back empty."""
HPA_LOOK: Final = 15
"""Seconds between two looks of the HPA: pods are added at one of them."""
POD_START: Final = timedelta(seconds=90)
"""From KEDA's look to a pod that works: SQS's counts lag by a minute, a pod starts in half of one."""
TIME_TO_LOOK: Final = timedelta(days=3)
"""A weekend: what an operator must have before a dead letter is dropped."""


def retrying(pool: Pool) -> timedelta:
    """Return the longest that an item may be on its way once it was received: attempts, waits, workers that die.

    Each time it comes back, a pool that may shrink to nothing may have no pod.
    """
    settings = pool.effective
    back = settings.backoff_cap if _keeps_a_pod(pool) else settings.backoff_cap + waking(pool)
    again = staying(pool) + settings.lease + waking(pool)
    return settings.max_attempts * (staying(pool) + back) + SPARE_RECEIVES * again


def waking(pool: Pool) -> timedelta:
    """Return the longest from a message to the first pod that works on it."""
    return POD_START + timedelta(seconds=pool.scaling.polling_interval)


def growing(pool: Pool) -> timedelta:
    """Return how long the autoscaler takes from the first pod to the most."""
    scaling, up = pool.scaling, pool.scaling.scale_up
    if scaling.kind != "deployment":
        return timedelta(0)
    pods, periods = max(1, scaling.min), 0
    while pods < scaling.max:
        pods += max(up.pods, ceil(pods * up.percent / 100))
        periods += 1
    looks = ceil(up.period_seconds / HPA_LOOK) * HPA_LOOK
    return timedelta(seconds=periods * looks + up.stabilization_window_seconds)


def draining(deployment: Deployment, lane: str, backlog: int | None = None) -> timedelta | None:
    """Return how long a backlog (None: the largest) takes with all pods, at an item's usual time; None: for ever."""
    backlog = backlog or deployment.lanes[lane].largest_backlog
    pools = [pool for pool in deployment.pools_of(lane) if pool.slots]
    if not pools:
        return None
    # A queue does not choose: what is usual in one of its pools comes to the others, too.
    typical = max(pool.typical_item for pool in pools)
    rate = sum(1 / _taking(pool, backlog, typical).total_seconds() for pool in pools)
    slowest = max(2 * waking(pool) + growing(pool) + _tail(pool, typical) for pool in pools)
    return slowest + timedelta(seconds=1 / rate)


def _taking(pool: Pool, backlog: int, typical: timedelta) -> timedelta:
    """Return how long a pool alone works on a backlog. A job's pod takes its share, ends, and another one starts."""
    if pool.scaling.kind != "job":
        return backlog * typical / (pool.scaling.most * pool.places)
    share = pool.scaling.queue_length
    work = share * typical / min(pool.places, share)
    return ceil(backlog / (share * pool.scaling.max)) * (waking(pool) + work) + pool.longest_item


def _tail(pool: Pool, typical: timedelta) -> timedelta:
    """Return what is added as a backlog shrinks below queueLength for each pod, and the pods with it."""
    if pool.scaling.kind != "deployment":
        return timedelta(0)
    return pool.scaling.queue_length * typical / pool.places * (1 + log(pool.scaling.max))


def _has_dead_letters(deployment: Deployment) -> Iterator[Breach]:
    for name, lane in deployment.lanes.items():
        if lane.max_receive_count is None:
            needed = _needed(deployment, name)
            yield Breach(
                f"lane {name}",
                "the queue has no dead-letter queue",
                f"give the queue a redrive policy with maxReceiveCount {needed} or more",
                ("maxReceiveCount", needed),
            )


def _receives_exceed_attempts(deployment: Deployment) -> Iterator[Breach]:
    for name, lane in deployment.lanes.items():
        needed, count = _needed(deployment, name), lane.max_receive_count
        if count is not None and count < needed:
            attempts = needed - SPARE_RECEIVES
            yield Breach(
                f"lane {name}",
                f"maxReceiveCount ({count}) is less than the attempts ({attempts}) + {SPARE_RECEIVES}",
                f"set maxReceiveCount to {needed} or more, or PIPELINE_MAX_ATTEMPTS to"
                f" {max(1, count - SPARE_RECEIVES)}",
                ("maxReceiveCount", needed),
            )


def _needed(deployment: Deployment, lane: str) -> int:
    attempts = [pool.effective.max_attempts for pool in deployment.pools_of(lane)]
    return max(attempts, default=1) + SPARE_RECEIVES


def _dead_letters_are_kept(deployment: Deployment) -> Iterator[Breach]:
    for name, lane in deployment.lanes.items():
        if lane.max_receive_count is not None and lane.dead_letter_retention != RETENTION_LIMIT:
            yield Breach(
                f"lane {name}",
                f"the dead-letter queue keeps messages for {say(lane.dead_letter_retention)}, not"
                f" {say(RETENTION_LIMIT)}",
                f"set the dead-letter queue's MessageRetentionPeriod to {RETENTION_LIMIT.total_seconds():.0f} seconds",
                ("deadLetterRetention", say(RETENTION_LIMIT)),
            )


def _operators_have_time(deployment: Deployment) -> Iterator[Breach]:
    for name, lane in deployment.lanes.items():
        left = lane.dead_letter_retention - lane.retention
        if left < TIME_TO_LOOK:
            yield Breach(
                f"lane {name}",
                f"an item that dies at the end of the queue's retention ({say(lane.retention)}) leaves"
                f" {roughly(max(left, timedelta(0)))} to look at it",
                f"set the queue's retention to {say(lane.dead_letter_retention - TIME_TO_LOOK)} or less",
                ("retention", say(lane.dead_letter_retention - TIME_TO_LOOK)),
            )


def _retries_within_retention(deployment: Deployment) -> Iterator[Breach]:
    for name, lane in deployment.lanes.items():
        for pool in deployment.pools_of(name):
            longest = retrying(pool)
            if longest > lane.retention:
                settings = pool.effective
                yield Breach(
                    f"lane {name}",
                    f"{settings.max_attempts} attempts may take {roughly(longest)} in pool {pool.name}, but the queue"
                    f" keeps a message for {say(lane.retention)}",
                    f"set the queue's retention to {_hours(longest)} or more, or shorten PIPELINE_BACKOFF_CAP",
                    ("retention", _hours(longest)),
                )


def _backlog_within_retention(deployment: Deployment) -> Iterator[Breach]:
    for name, lane in deployment.lanes.items():
        took = draining(deployment, name)
        retries = max((retrying(pool) for pool in deployment.pools_of(name)), default=timedelta(0))
        if took is not None and retries <= lane.retention < took + retries:
            yield _too_slow(deployment, name, lane, took, retries)


def _too_slow(deployment: Deployment, name: str, lane: Lane, took: timedelta, retries: timedelta) -> Breach:
    fits = _fitting(deployment, name, lane.retention - retries)
    pods = sum(pool.scaling.most for pool in deployment.pools_of(name))
    kept = min(took + retries, RETENTION_LIMIT)
    return Breach(
        f"lane {name}",
        f"{lane.largest_backlog:,} items take {roughly(took)} with all {pods:,} pods, and their retries up to"
        f" {roughly(retries)}, but the queue keeps a message for {say(lane.retention)}",
        f"raise scaling.max or concurrency, keep messages longer, or put at most {fits:,} items in at once"
        " (largestBacklog)"
        if fits
        else f"keep messages for {_hours(kept)} or longer, or have pods sooner (scaling.pollingInterval,"
        " scaling.scaleUp): not even one item is sure to be done in time",
        ("largestBacklog", fits) if fits else ("retention", _hours(kept)),
    )


def _fitting(deployment: Deployment, name: str, allowed: timedelta) -> int:
    """Return the largest backlog that is worked off in that time, perhaps none."""
    fits, too_many = 0, deployment.lanes[name].largest_backlog
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        took = draining(deployment, name, middle)
        if took is not None and took <= allowed:
            fits = middle
        else:
            too_many = middle
    return fits


def _lanes_have_workers(deployment: Deployment) -> Iterator[Breach]:
    for name in deployment.lanes:
        pools = list(deployment.pools_of(name))
        if not any(pool.slots for pool in pools):
            who = f"no pod of {', '.join(pool.name for pool in pools)} ever runs" if pools else "no pool works on it"
            yield Breach(
                f"lane {name}", who, "give it a pool whose scaling.max (fixed: scaling.min) is 1 or more, or remove it"
            )


def _small_backlogs_wake_a_pool(deployment: Deployment) -> Iterator[Breach]:
    for name in deployment.lanes:
        pools = [pool for pool in deployment.pools_of(name) if pool.slots]
        if pools and not any(_wakes(pool) for pool in pools):
            least = min(pool.scaling.activation_queue_length for pool in pools)
            yield Breach(
                f"lane {name}",
                f"with up to {least} messages none of its pools has a pod",
                f"set scaling.activationQueueLength to 0, or scaling.min to 1, in pool {pools[0].name}",
            )


def _wakes(pool: Pool) -> bool:
    return _keeps_a_pod(pool) or not pool.scaling.activation_queue_length


def _keeps_a_pod(pool: Pool) -> bool:
    return pool.scaling.kind == "fixed" or pool.scaling.min > 0


def _lanes_are_apart(deployment: Deployment) -> Iterator[Breach]:
    used: dict[str, list[str]] = defaultdict(list)
    for name, lane in deployment.lanes.items():
        if lane.queue_url:
            address = urlsplit(lane.queue_url)
            used[f"{address.netloc.lower()}{address.path}"].append(name)
    for url, names in used.items():
        if len(names) > 1:
            queue = url.rstrip("/").rsplit("/", 1)[-1]
            yield Breach(
                f"lane {names[-1]}", f"lanes {', '.join(names)} share the queue {queue}", "give each lane its own"
            )


def _pools_agree(deployment: Deployment) -> Iterator[Breach]:
    for name in deployment.lanes:
        pools = sorted(deployment.pools_of(name), key=lambda pool: pool.longest_item)
        for pool in pools:
            longest = pools[-1].longest_item
            if pool.longest_item < longest:
                yield Breach(
                    f"pool {pool.name}",
                    f"it is made for items of up to {say(pool.longest_item)}, but lane {name} has some of"
                    f" {say(longest)}, by pool {pools[-1].name}",
                    f"set longestItem to {say(longest)}, or give such items a lane of their own",
                    ("longestItem", say(longest)),
                )


def _in_flight_fits_queue(deployment: Deployment) -> Iterator[Breach]:
    for name in deployment.lanes:
        held = sum(pool.slots for pool in deployment.pools_of(name))
        if held > IN_FLIGHT_LIMIT:
            yield Breach(
                f"lane {name}",
                f"its pools hold up to {held:,} messages at once; a queue allows {IN_FLIGHT_LIMIT:,}",
                "lower scaling.max or concurrency",
            )


def _hours(duration: timedelta) -> str:
    return f"{ceil(duration / timedelta(hours=1))}h"


REDRIVE: Final = (
    Rule(
        "has-dead-letters",
        "unsafe",
        "poison leaves the queue",
        "an item that kills its worker would come back for ever, until the queue's retention drops it in silence",
        _has_dead_letters,
    ),
    Rule(
        "receives-exceed-attempts",
        "unsafe",
        "the worker buries an item, with its error, before SQS does",
        "SQS would move items to the dead-letter queue before the worker buries them with their error; a rollout could"
        " bury items that never failed",
        _receives_exceed_attempts,
    ),
    Rule(
        "dead-letters-are-kept",
        "unsafe",
        "a dead letter is kept as long as SQS can",
        "it counts from the original send, so a dead letter may be dropped before anybody has looked at it",
        _dead_letters_are_kept,
    ),
    Rule(
        "retries-within-retention",
        "unsafe",
        "an item's last attempt comes before its message is dropped",
        "an item that is still being retried would be dropped by the queue; only reconcile could find it",
        _retries_within_retention,
    ),
)
"""What holds of a queue and whoever works on it."""

LANES: Final = (
    Rule(
        "lanes-have-workers",
        "unsafe",
        "somebody works on each lane",
        "its items wait until the queue's retention drops them",
        _lanes_have_workers,
    ),
    Rule(
        "small-backlogs-wake-a-pool",
        "unsafe",
        "one message is enough to start a pod",
        "the last few items wait until the queue's retention drops them",
        _small_backlogs_wake_a_pool,
    ),
    Rule(
        "backlog-within-retention",
        "unsafe",
        "the largest backlog is worked off before messages are dropped",
        "the queue drops what was not reached in time; only reconcile could find it",
        _backlog_within_retention,
    ),
    Rule(
        "lanes-are-apart",
        "unsafe",
        "each lane has queues of its own",
        "what must not starve would wait behind the other lane's backlog, until the queue drops it",
        _lanes_are_apart,
    ),
    Rule(
        "pools-agree",
        "unsafe",
        "whichever pool of a lane takes an item can finish it",
        "a queue does not choose: long items are taken by pods whose drain and deadline are too short for them",
        _pools_agree,
    ),
    Rule(
        "operators-have-time",
        "warning",
        "a dead letter outlives a weekend",
        "a message keeps its send time when it dies: an old one is soon dropped",
        _operators_have_time,
    ),
    Rule(
        "in-flight-fits-queue",
        "warning",
        "all pods together hold fewer messages than SQS allows in flight",
        "beyond it receives come back empty: pods that cost and do nothing",
        _in_flight_fits_queue,
    ),
)
"""What holds of a lane and all its pools."""
