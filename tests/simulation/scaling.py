"""How many pods a pool gets: KEDA's rules and the HorizontalPodAutoscaler's, as their sources have them.

`Autoscaler` is a ScaledObject with the HPA that KEDA makes for it; `new_jobs` is a ScaledJob. Neither reads a clock:
whoever simulates asks at `Autoscaler.next_look` and applies the answer.

Sources, by name in the docstrings:

- *executor*: KEDA 2.20, pkg/scaling/executor/scale_scaledobjects.go; *jobs*: scale_jobs.go beside it, and
  pkg/scaling/scaledjob/metrics.go; *scaler*: pkg/scalers/aws_sqs_queue_scaler.go; *fallback*: pkg/fallback/fallback.go
- *spec*: KEDA's documentation, 2.20, reference/scaledobject-spec and scaledjob-spec
- *horizontal*, *calculator*: Kubernetes, pkg/controller/podautoscaler/{horizontal,replica_calculator}.go
- *KEP-853*: Kubernetes enhancement "Configurable scale up/down velocity for HPA"

A pod's readiness is no part of it: the calculator heeds it for CPU and for metrics of pods, not for an external metric
that is a target per pod (GetExternalPerPodMetricReplicas), which is what KEDA makes of every trigger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, inf
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline_processing.deployment.model import Fallback, Growth, Scaling, Shrinkage

SYNC: Final = 15.0
"""Seconds between two looks of the HPA: kube-controller-manager's --horizontal-pod-autoscaler-sync-period."""
TOLERANCE: Final = 0.1
"""A metric this near to its target moves nothing: --horizontal-pod-autoscaler-tolerance."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What SQS says of a queue (``delayed``: sent with a delay), and the age of its oldest message in seconds."""

    visible: int
    in_flight: int = 0
    delayed: int = 0
    oldest: float = 0.0


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger's value with what it aims at per pod. ``value`` is None while it can not be read."""

    value: float | None
    target: float
    activation: float = 0.0

    @property
    def is_active(self) -> bool:
        """Strictly greater (scaler: ``queuelen > activationTargetQueueLength``)."""
        return self.value is not None and self.value > self.activation


@dataclass(frozen=True, slots=True)
class Moment:
    """A number at a time: a recommendation, or pods added or taken away."""

    at: float
    pods: int


def triggers(scaling: Scaling, counts: Counts | None) -> list[Trigger]:
    """Return what the chart's triggers read; without ``counts`` nothing can be read.

    Scaler: ApproximateNumberOfMessages, and …NotVisible where scaleOnInFlight; delayed ones only with scaleOnDelayed,
    which the chart leaves off. A message that waits for its retry is hidden, so it counts as in flight.
    """
    length = None if counts is None else counts.visible + (counts.in_flight if scaling.scale_on_in_flight else 0)
    found = [Trigger(length, scaling.queue_length, scaling.activation_queue_length)]
    if scaling.queue_age.enabled:
        found.append(Trigger(None if counts is None else counts.oldest, scaling.queue_age.threshold))
    return found


def proposal(trigger: Trigger, replicas: int) -> int | None:
    """Return how many pods one metric asks for; None while it can not be read.

    Calculator, GetExternalPerPodMetricReplicas and isWithin: ceil(value ÷ target), unless value ÷ (target x replicas)
    is within the tolerance of 1.
    """
    if trigger.value is None:
        return None
    ratio = trigger.value / (trigger.target * replicas) if replicas else inf
    return replicas if 1.0 - TOLERANCE <= ratio <= 1.0 + TOLERANCE else ceil(trigger.value / trigger.target)


def recommendation(proposals: Sequence[int | None], replicas: int) -> int | None:
    """Return the largest proposal; None for no change.

    Horizontal, computeReplicasForMetrics: the largest counts; a metric that can not be read forbids going down.
    """
    read = [one for one in proposals if one is not None]
    if not read or (len(read) < len(proposals) and max(read) < replicas):
        return None
    return max(read)


def stabilised(wish: int, replicas: int, past: Iterable[Moment], now: float, *, up: float, down: float) -> int:
    """Return ``replicas`` moved as little as the recommendations in both windows allow, this one (``wish``) included.

    Horizontal, stabilizeRecommendationWithBehaviors: the lowest of the last ``up`` seconds limits growth, the highest
    of the last ``down`` seconds limits shrinking.
    """
    past = list(past)
    lowest = min([wish, *(moment.pods for moment in past if moment.at > now - up)])
    highest = max([wish, *(moment.pods for moment in past if moment.at > now - down)])
    return min(max(replicas, lowest), highest)


def growth_limit(replicas: int, changes: Sequence[Moment], now: float, rule: Growth) -> int:
    """Return the most pods that may be, by the larger (selectPolicy Max) of both policies.

    Horizontal, calculateScaleUpLimitWithScalingRules: each policy starts from what there was a period ago, and percents
    are rounded up. ``changes`` are this HPA's own, negative for pods taken away.
    """
    start = replicas - _changed(changes, now - rule.period_seconds)
    return max(replicas, start + rule.pods, ceil(start * (1 + rule.percent / 100)))


def shrinkage_limit(replicas: int, changes: Sequence[Moment], now: float, rule: Shrinkage) -> int:
    """Return the fewest pods that may be.

    Horizontal, calculateScaleDownLimitWithBehaviors: what stays is rounded down, so that at least one pod may go.
    """
    start = replicas - _changed(changes, now - rule.period_seconds)
    return min(replicas, int(start * (1 - rule.percent / 100)))


def fallback_value(trigger: Trigger, rule: Fallback, failures: int, replicas: int) -> Trigger:
    """Return ``trigger`` with a made-up value once it has failed *more than* failureThreshold times in a row.

    Fallback, GetMetricsWithFallback and doFallback, with the chart's behavior, currentReplicasIfHigher: the target
    times fallback.replicas, or times what there is.
    """
    if trigger.value is not None or failures <= rule.failure_threshold:
        return trigger
    return Trigger(trigger.target * max(rule.replicas, replicas), trigger.target, trigger.activation)


@dataclass(slots=True)
class Autoscaler:
    """One pool's KEDA and HPA. KEDA looks at ``begins`` for the first time, the HPA ``phase`` seconds later.

    What KEDA itself does (0 to 1, and all pods away after the cooldown) passes by the HPA's windows and rates.
    """

    scaling: Scaling
    begins: float = 0.0
    phase: float = 0.0
    last_active: float | None = None
    _polls: int = 0
    _syncs: int = 0
    _failures: list[int] = field(default_factory=list)
    _wishes: list[Moment] = field(default_factory=list)
    _changes: list[Moment] = field(default_factory=list)

    @property
    def next_look(self) -> float:
        """Return when `observe` is to be called next: never, for a pool that is not scaled."""
        return inf if self.scaling.kind == "fixed" else min(self._next_poll, self._next_sync)

    @property
    def _next_poll(self) -> float:
        return self.begins + self._polls * self.scaling.polling_interval

    @property
    def _next_sync(self) -> float:
        return self.begins + self.phase + self._syncs * SYNC

    def observe(self, now: float, counts: Counts | None, replicas: int) -> int:
        """Return how many pods there shall be, from ``replicas`` that there shall be now and what the queue holds.

        ``counts`` is None when SQS does not answer. What is not due at ``now`` is not done.
        """
        if self.scaling.kind == "fixed":
            return self.scaling.min
        found = triggers(self.scaling, counts)
        if now >= self._next_poll:
            self._polls += 1
            replicas = self._activate(now, found, replicas)
        if now >= self._next_sync:
            self._syncs += 1
            replicas = self._sync(now, found, replicas)
        return replicas

    def _activate(self, now: float, found: Sequence[Trigger], replicas: int) -> int:
        """KEDA's own part: between none and some. Executor, RequestScale, scaleToZeroOrIdle, scaleFromZeroOrIdle."""
        least, is_error = self.scaling.min, any(trigger.value is None for trigger in found)
        if any(trigger.is_active for trigger in found):
            if replicas == 0:
                self.last_active = now
                return max(least, 1)
            if not is_error:
                self.last_active = now
            return replicas
        if is_error and self.scaling.fallback.replicas:
            return replicas  # the fallback's metric may raise them, but never from none: there the HPA is off
        if replicas and least == 0:
            is_over = self.last_active is None or self.last_active + self.scaling.cooldown_period < now
            return 0 if is_over else replicas
        return max(replicas, least)

    def _sync(self, now: float, found: Sequence[Trigger], replicas: int) -> int:
        """One look of the HPA: horizontal, reconcileAutoscaler. Its minimum is 1 where the pool's is 0 (spec)."""
        least, most = max(self.scaling.min, 1), self.scaling.max
        if not self._wishes:
            self._wishes.append(Moment(now, replicas))
        if replicas == 0:
            return 0  # scaling is disabled while the target has no replicas
        if not least <= replicas <= most:
            return min(max(replicas, least), most)
        wish = recommendation(
            [proposal(trigger, replicas) for trigger in self._with_fallback(found, replicas)], replicas
        )
        if wish is None:
            return replicas
        desired = self._limited(now, self._stabilised(now, wish, replicas), replicas)
        if desired != replicas:
            self._changes.append(Moment(now, desired - replicas))
        return desired

    def _with_fallback(self, found: Sequence[Trigger], replicas: int) -> list[Trigger]:
        failures = self._failures or [0] * len(found)
        self._failures = [
            0 if one.value is not None else before + 1 for one, before in zip(found, failures, strict=True)
        ]
        rule = self.scaling.fallback
        return [fallback_value(one, rule, count, replicas) for one, count in zip(found, self._failures, strict=True)]

    def _stabilised(self, now: float, wish: int, replicas: int) -> int:
        up = self.scaling.scale_up.stabilization_window_seconds
        down = self.scaling.scale_down.stabilization_window_seconds
        self._wishes = [moment for moment in self._wishes if moment.at > now - max(up, down, SYNC)]
        chosen = stabilised(wish, replicas, self._wishes, now, up=up, down=down)
        self._wishes.append(Moment(now, wish))
        return chosen

    def _limited(self, now: float, wish: int, replicas: int) -> int:
        up, down = self.scaling.scale_up, self.scaling.scale_down
        longest = max(up.period_seconds, down.period_seconds)
        self._changes = [change for change in self._changes if change.at > now - longest]
        if wish > replicas:
            return min(wish, self.scaling.max, growth_limit(replicas, self._changes, now, up))
        if wish < replicas:
            return max(wish, self.scaling.min, 1, shrinkage_limit(replicas, self._changes, now, down))
        return replicas


def new_jobs(
    scaling: Scaling,
    counts: Counts,
    *,
    running: int,
    pending: int = 0,
    strategy: Literal["default", "accurate"] = "default",
) -> int:
    """Return how many Jobs a ScaledJob makes at a poll; ``running`` are unfinished, ``pending`` of them without a pod.

    Jobs, RequestJobScale and getScalingDecision. `default` subtracts what runs, so it wants messages in work counted;
    `accurate` subtracts what has not begun, so it wants them not counted (spec).
    """
    [length, *_] = triggers(scaling, counts)
    wanted = ceil(min((length.value or 0) / scaling.queue_length, scaling.max))
    if running < scaling.min:
        return scaling.min - running
    if not (length.is_active or scaling.min > 0):
        return 0
    beyond = running - scaling.min
    if strategy == "default":
        allowed = wanted - beyond
    elif wanted + beyond > scaling.max:
        allowed = scaling.max - beyond
    else:
        allowed = wanted - pending
    return max(0, min(ceil(length.value or 0), allowed))


def ended_by_rollout(strategy: Literal["gradual", "immediate"], running: int) -> int:
    """Return how many running Jobs a change of the ScaledJob ends: `gradual` lets them run (spec, rollout)."""
    return 0 if strategy == "gradual" else running


def _changed(changes: Iterable[Moment], since: float) -> int:
    return sum(change.pods for change in changes if change.at > since)
