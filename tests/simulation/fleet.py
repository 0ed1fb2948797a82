"""The pods of one pool: how many there shall be, who goes, who comes, rollouts."""

from __future__ import annotations

from math import floor, inf
from typing import TYPE_CHECKING, Final, Protocol

from tests.simulation.scaling import Autoscaler, new_jobs
from tests.simulation.worker import Phase, Pod

if TYPE_CHECKING:
    from tests.simulation.scaling import Counts
    from tests.simulation.terms import Surroundings, Terms

    from pipeline_processing.deployment import Pool, Scaling

UNAVAILABLE: Final = 0.25
"""maxUnavailable of the chart's rolling update, rounded down but at least one pod; its maxSurge is 0."""


class Scaler(Protocol):
    """What decides about the pods of a pool: see `tests.simulation.scaling.Autoscaler`."""

    @property
    def next_look(self) -> float:
        """Return when it is to be asked next, in seconds; infinity: never."""
        ...

    def observe(self, now: float, counts: Counts | None, replicas: int) -> int:
        """Return how many pods there shall be; ``counts`` None: SQS could not be asked."""
        ...


def scaler_of(scaling: Scaling) -> Scaler:
    """Return KEDA and the HPA as documented. Its webhook refuses min > max: then nothing scales the Deployment."""
    if scaling.kind == "deployment" and scaling.min <= scaling.max:
        return Autoscaler(scaling)
    return Still()


class Still:
    """Changes nothing."""

    next_look = inf

    def observe(self, now: float, counts: Counts | None, replicas: int) -> int:
        return replicas


class Fleet:
    """One pool's pods. Those that are leaving count no more, as in Kubernetes."""

    def __init__(self, pool: Pool, terms: Terms, around: Surroundings, scaler: Scaler) -> None:
        self.pool, self._terms, self._around, self._scaler = pool, terms, around, scaler
        around.gone, around.ready = self._gone, self._ready
        self.pods: dict[Pod, None] = {}
        self.pod_seconds = 0.0
        self._outdated: set[Pod] = set()
        scaling = pool.scaling
        self._is_refused = scaling.kind != "fixed" and scaling.min > scaling.max
        self.replicas = 0 if scaling.kind == "job" else 1 if self._is_refused else scaling.min

    def begin(self) -> None:
        """Make the first pods and look for the first time."""
        self._balance()
        if self.pool.scaling.kind == "job":
            self._look_for_jobs()
        elif self._scaler.next_look < inf:
            self._around.agenda.at(self._scaler.next_look, self._look)

    @property
    def staying(self) -> list[Pod]:
        return [pod for pod in self.pods if not pod.is_leaving]

    @property
    def busy(self) -> list[Pod]:
        """Return the pods that hold items and were not told to stop."""
        return [pod for pod in self.pods if pod.works and not pod.is_leaving]

    # Scaling

    def _counts(self) -> Counts | None:
        around = self._around
        if any(begin <= around.agenda.now < end for begin, end in around.world.uncounted):
            return None
        return around.queue.approximate(around.chance, around.world.lag)

    def _look(self) -> None:
        self.replicas = self._scaler.observe(self._around.agenda.now, self._counts(), self.replicas)
        self._balance()
        self._around.agenda.at(self._scaler.next_look, self._look)

    def _look_for_jobs(self) -> None:
        scaling, counts = self.pool.scaling, self._counts()
        if counts is not None and not self._is_refused:
            pending = sum(pod.phase is Phase.STARTING for pod in self.pods)
            for _ in range(new_jobs(scaling, counts, running=len(self.pods), pending=pending)):
                self._make()
        self._around.agenda.at(self._around.agenda.now + scaling.polling_interval, self._look_for_jobs)

    def _balance(self) -> None:
        """Make or stop pods until there are as many as there shall be. Nobody chooses which ones go."""
        if self.pool.scaling.kind == "job" or self._outdated:
            return  # a job's pod is not made again; a rollout balances by itself
        staying = self.staying
        for _ in range(self.replicas - len(staying)):
            self._make()
        surplus = len(staying) - self.replicas
        if surplus > 0:
            starting = [pod for pod in staying if pod.phase is Phase.STARTING]
            running = [pod for pod in staying if pod.phase is not Phase.STARTING]
            self._around.chance.shuffle(running)
            for pod in [*starting, *running][:surplus]:
                pod.stop()

    def _make(self) -> Pod:
        pod = Pod(self._terms, self._around)
        self.pods[pod] = None
        if self.pool.scaling.kind == "job":
            deadline = self.pool.scaling.job.active_deadline_seconds
            self._around.agenda.at(self._around.agenda.now + deadline, pod.stop)
        return pod

    def _gone(self, pod: Pod) -> None:
        del self.pods[pod]
        self._outdated.discard(pod)
        self.pod_seconds += self._around.agenda.now - pod.made_at
        if self._outdated:
            self._roll()
        else:
            self._balance()

    # Rollouts

    def roll_out(self) -> None:
        """Replace every pod: a rolling update. Running jobs are left alone, or deleted where the strategy says so."""
        if self.pool.scaling.kind == "job":
            if self.pool.scaling.job.rollout_strategy != "gradual":
                for pod in self.staying:
                    pod.stop()
            return
        self._outdated = set(self.staying)
        self._roll()

    def _ready(self, pod: Pod) -> None:
        if self._outdated:
            self._roll()

    def _roll(self) -> None:
        """Go one step on: stop old pods while enough are available, make new ones while that is not too many."""
        self._outdated = {pod for pod in self._outdated if not pod.is_leaving}
        available = sum(pod.phase is Phase.RUNNING for pod in self.staying)
        spare = available - (self.replicas - max(1, floor(self.replicas * UNAVAILABLE)))
        for pod in sorted(self._outdated, key=lambda pod: (pod.phase is not Phase.STARTING, pod.made_at)):
            if pod.phase is not Phase.STARTING:
                if spare <= 0:
                    break
                spare -= 1
            self._outdated.discard(pod)
            pod.stop()
        for _ in range(self.replicas - len(self.staying)):
            self._make()
        if not self._outdated:
            self._balance()
