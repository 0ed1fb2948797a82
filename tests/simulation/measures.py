"""What a run of a trace was like: waiting, money, restlessness, harm."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from math import ceil
from typing import TYPE_CHECKING, Final

from tests.simulation.lives import State
from tests.simulation.scaling import SYNC, Autoscaler
from tests.simulation.simulate import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.scaling import Counts
    from tests.simulation.simulate import Result, Sample
    from tests.simulation.traces import Trace

    from pipeline_processing.deployment import Deployment, Scaling

POD_HOUR: Final = 0.5 * 0.04048 + 1.0 * 0.004445
"""Dollars. AWS Fargate in us-east-1, Linux on x86, for what a pod requests: half a CPU and 1 GiB."""
NODE: Final = 120.0
"""Seconds that a pod's place on a node is paid for beyond the pod's life: the node's boot, and its idle end."""
SQS_REQUEST: Final = 0.40e-6
S3_WRITE: Final = 5.0e-6
S3_READ: Final = 0.40e-6
"""Dollars, all three: the numbers that the architecture rests on."""
BATCH: Final = 10
"""Messages of one send, and of one delete."""


@dataclass(slots=True)
class Watched:
    """An autoscaler whose decisions are kept. The HPA looks half a period after KEDA."""

    autoscaler: Autoscaler
    decided: list[int] = field(default_factory=list)

    @property
    def next_look(self) -> float:
        return self.autoscaler.next_look

    def observe(self, now: float, counts: Counts | None, replicas: int) -> int:
        after = self.autoscaler.observe(now, counts, replicas)
        if after != replicas:
            self.decided.append(after - replicas)
        return after


@dataclass(frozen=True, slots=True)
class Figures:
    """One policy over one trace. Times in seconds, money in dollars."""

    drained: float
    """From the last arrival until the queue was empty."""
    age_95: float
    age_most: float
    """Of the oldest message in the queue, over the time in which there was one."""
    wait_95: float
    """From an item's arrival to its end, less its own work."""
    quiet_95: float
    """The same, of the agencies but the biggest."""
    pod_hours: float
    starts: int
    pods: float
    """What hours and starts cost."""
    requests: float
    """What SQS and S3 cost."""
    changes: int
    """Decisions that changed the number of pods."""
    turns: int
    """Of those, changes of direction."""
    cut_short: int
    """Items that a scale-in took away unfinished."""
    harmed: int
    """Items lost, unfinished, or buried that are no poison."""
    buried: int

    def rounded(self) -> Figures:
        """Return them as they are kept: to the thousandth."""
        kept = {one.name: round(getattr(self, one.name), 3) for one in fields(self)}
        return replace(self, **kept)


def measure(deployment: Deployment, trace: Trace) -> tuple[Figures, list[Sample]]:
    """Run ``trace`` through the deployment's one pool; return its figures, and samples for the pictures."""
    watched: list[Watched] = []

    def scaler(scaling: Scaling) -> Watched:
        watched.append(Watched(Autoscaler(scaling, phase=SYNC / 2)))
        return watched[-1]

    result = run(deployment, trace.world, scaler)
    [pool], [one] = deployment.pools, watched
    waits, quiet = _waits(result, trace)
    ages = sorted(sample.oldest[pool.lane] for sample in result.samples if sample.oldest[pool.lane] > 0)
    pod_seconds = result.pod_seconds[pool.name]
    states = result.states
    poison = sum(life.item.always is not None for life in result.lives)
    return Figures(
        drained=_emptied(result.samples, trace, pool.lane) - trace.world.items[-1].at,
        age_95=percentile(ages, 0.95),
        age_most=ages[-1],
        wait_95=percentile(waits, 0.95),
        quiet_95=percentile(quiet, 0.95),
        pod_hours=pod_seconds / 3600,
        starts=(starts := sum(max(0, change) for change in one.decided)),
        pods=(pod_seconds + starts * NODE) / 3600 * POD_HOUR,
        requests=_requests(deployment, result, pod_seconds),
        changes=len(one.decided),
        turns=sum((before > 0) != (after > 0) for before, after in zip(one.decided, one.decided[1:], strict=False)),
        cut_short=sum(life.cut_short for life in result.lives),
        harmed=len(result.lives) - states[State.DONE] - poison,
        buried=states[State.BURIED] + states[State.BURIED_BLIND],
    ), result.samples


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of them do not exceed; 0 of none."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _waits(result: Result, trace: Trace) -> tuple[list[float], list[float]]:
    """Return in order how long done items waited: all, and those of the agencies but 0."""
    slowness = trace.world.slowness
    waits, quiet = [], []
    for life in result.lives:
        if life.done_at is not None:
            item = life.item
            wait = max(0.0, life.done_at - item.at - item.seconds * slowness(life.done_at))
            waits.append(wait)
            if item.agency:
                quiet.append(wait)
    return sorted(waits), sorted(quiet)


def _emptied(samples: Sequence[Sample], trace: Trace, lane: str) -> float:
    last = trace.world.items[-1].at
    empty = (sample.at for sample in samples if sample.at >= last and not sample.oldest[lane])
    return next(empty, samples[-1].at)


def _requests(deployment: Deployment, result: Result, pod_seconds: float) -> float:
    """Return dollars: send, receive, delete; outputs, marker, one read; and the long polls of idle places."""
    [pool] = deployment.pools
    items, worked = len(result.lives), sum(life.item.seconds * life.starts for life in result.lives)
    idle = max(0.0, pod_seconds - worked / pool.concurrency)
    settings = pool.effective
    polls = idle / settings.receive_wait.total_seconds() * settings.worker_receivers
    sqs = 2 * items / BATCH + result.receives[pool.lane] + polls
    return sqs * SQS_REQUEST + items * (deployment.limits.s3_writes_per_item * S3_WRITE + S3_READ)
