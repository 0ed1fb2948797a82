"""What becomes of items, and whether that is harm."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

from tests.simulation.world import Fate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.simulation.world import Item


class State(Enum):
    DONE = "done"
    PENDING = "pending"
    """Its message is still in a queue."""
    BURIED = "buried"
    """In the dead-letter queue, put there by a worker with its error."""
    BURIED_BLIND = "buried blind"
    """In the dead-letter queue, put there by SQS: nobody knows why."""
    LOST = "lost"
    """In no queue any more, and neither done nor dead."""


class Life:
    """One item's. ``messages`` are those of it in the queue, ``letters`` those in the dead-letter queue."""

    __slots__ = (
        "buried",
        "crashes",
        "cut_short",
        "deaths",
        "done_at",
        "failures",
        "has_dossier",
        "is_settled",
        "item",
        "letters",
        "messages",
        "overlaps",
        "returns",
        "starts",
        "working",
    )

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done_at: float | None = None
        self.failures = 0
        """Failure records: attempts that failed."""
        self.starts = self.deaths = self.crashes = self.cut_short = 0
        """``deaths``: of its worker; ``crashes``: those that the world did. ``cut_short``: given back by a drain."""
        self.returns = 0
        """How often a drain gave it back before anybody had begun with it."""
        self.working = self.overlaps = 0
        """``overlaps``: starts while another worker was at it."""
        self.messages = self.letters = 0
        self.buried = self.has_dossier = self.is_settled = False

    @property
    def state(self) -> State:
        if self.done_at is not None:
            return State.DONE
        if self.letters:
            return State.BURIED if self.buried else State.BURIED_BLIND
        return State.PENDING if self.messages else State.LOST

    @property
    def is_at_rest(self) -> bool:
        """Say whether it is done, or nothing will happen to it any more."""
        return self.done_at is not None or not (self.working or self.messages)

    def must_die(self, max_attempts: int) -> bool:
        """Say whether its own doing, not its surroundings', makes it a dead letter."""
        fates = self.item.fates
        fails = sum(fate is Fate.FAILS for fate in fates) + (max_attempts if self.item.always is Fate.FAILS else 0)
        refused = Fate.IS_REFUSED in {*fates, self.item.always}
        return fails >= max_attempts or refused or self.item.always is Fate.KILLS

    @property
    def spent(self) -> int:
        """Return the receives that it lost to its surroundings so far."""
        return self.crashes + self.returns + self.item.doubles

    @property
    def excused_starts(self) -> int:
        """Return how often its own fates, and deaths that the world may inflict, have it worked on."""
        return 1 + sum(fate is Fate.FAILS for fate in self.item.fates) + self.crashes + self.item.doubles


class Harm(Enum):
    LOST = "lost"
    BURIED = "buried, though it would have succeeded"
    UNEXPLAINED = "buried by SQS without its error"
    STUCK = "never finished"
    OVERLAPPING = "worked on by two at once"
    REPEATED = "worked on again without need"


def harms(lives: Iterable[Life], max_attempts: int) -> dict[Harm, int]:
    """Return how many items came to which harm. Poison is meant to be buried; what dies with its worker, by SQS."""
    return dict(Counter(harm for life in lives for harm in _harms(life, max_attempts)))


def _harms(life: Life, max_attempts: int) -> Iterator[Harm]:
    state, must_die = life.state, life.must_die(max_attempts)
    if state is State.LOST:
        yield Harm.LOST
    elif state is State.PENDING:
        yield Harm.STUCK
    elif state in {State.BURIED, State.BURIED_BLIND} and not must_die:
        yield Harm.BURIED
    elif state is State.BURIED_BLIND and life.item.always is not Fate.KILLS:
        yield Harm.UNEXPLAINED
    if life.overlaps and not life.item.doubles:
        yield Harm.OVERLAPPING
    if life.starts > life.excused_starts and not must_die:
        yield Harm.REPEATED
