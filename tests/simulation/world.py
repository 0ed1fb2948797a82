"""What happens to a deployment: items, how long they take, what goes wrong and when. Times are seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from pipeline_processing.safety import SPARE_RECEIVES

Times = Sequence[float]
Spans = Sequence[tuple[float, float]]
FOREVER = 30 * 86_400.0


class Fate(Enum):
    """What becomes of one start of an item's work; without one it succeeds."""

    FAILS = auto()
    """Transiently, at its end."""
    IS_REFUSED = auto()
    """Permanently, at its end."""
    KILLS = auto()
    """Its worker, halfway through: SIGKILL, as the OOM killer sends it."""
    EVICTS = auto()
    """Its pod, halfway through: SIGTERM, as a scale-in, a rollout or a node's drain sends it."""


class Item(NamedTuple):
    """``fates`` befall its first starts; ``always`` each later one. Its first ``doubles`` hand-overs do not hide it."""

    at: float = 0.0
    seconds: float = 1.0
    fates: tuple[Fate, ...] = ()
    always: Fate | None = None
    lane: str = "live"
    doubles: int = 0
    agency: int = 0
    processor: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """One history, the same for the same ``seed``. It ends when nothing is left to do, or at ``until``."""

    items: Sequence[Item]
    seed: int = 0
    until: float = FOREVER
    runs_on: bool = False
    """Go on to ``until`` when nothing is left to do, so that pods are seen to go."""
    looked_at: float = 0.0
    """When somebody looks into the dead-letter queues: what they dropped before is lost."""
    start: float = 30.0
    """From a pod's making to its first receive: node, image, interpreter."""
    crashes: Times = ()
    """Moments at which some pod that is at work is killed."""
    evictions: Times = ()
    """Moments at which some pod that is at work is told to stop."""
    rollouts: Times = ()
    spare_receives: int | None = SPARE_RECEIVES
    """Deaths of its worker, by `Fate.KILLS` and ``crashes``, that an item can meet, less the receives that drains took
    up without beginning and those of doubled hand-overs; None: any number."""
    unanswered: Spans = ()
    """While SQS answers no renewal of a lease."""
    uncounted: Spans = ()
    """While KEDA can not count."""
    slowed: Sequence[tuple[float, float, float]] = ()
    """(begin, end, factor): what starts then takes that many times as long, as when S3 throttles."""
    is_fair: bool = False
    """Messages carry their agency as MessageGroupId."""
    lag: float = 60.0
    """How old the counts that SQS tells may be."""
    needs_database: bool = True
    """Each attempt needs its pod's connections to Postgres."""
    is_watched: bool = False
    """The items of each schedule's lane are one run, whose controller waits for them and sends again what got lost."""
    sampled_every: float | None = None
    """Seconds between two samples of the time series; None: none are taken."""

    def slowness(self, now: float) -> float:
        """Return how many times as long as usual work takes that starts now."""
        return next((factor for begin, end, factor in self.slowed if begin <= now < end), 1.0)
