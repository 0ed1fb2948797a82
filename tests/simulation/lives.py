"""What becomes of items, and whether that is harm."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from tests.simulation.world import Fate

if TYPE_CHECKING:
    from tests.simulation.world import Item

    from pipeline_processing.settlement import RetryPolicy


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
        "blind",
        "buried",
        "cut_short",
        "deaths",
        "done_at",
        "failures",
        "is_settled",
        "item",
        "letters",
        "messages",
        "overlaps",
        "starts",
        "working",
    )

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done_at: float | None = None
        self.failures = 0
        """Failure records: attempts that failed."""
        self.starts = self.deaths = self.cut_short = 0
        """``deaths``: of its worker. ``cut_short``: a drain gave it back before it was finished."""
        self.working = self.overlaps = 0
        """``overlaps``: starts while another worker was at it."""
        self.messages = self.letters = 0
        self.buried = self.blind = self.is_settled = False

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

    def deserves_burial(self, policy: RetryPolicy) -> bool:
        """Say whether its own doing, not its surroundings', makes it a dead letter."""
        fates = (*self.item.fates, *(self.item.always,) * 100)
        fails = sum(fate is Fate.FAILS for fate in fates)
        return fails >= policy.max_attempts or any(fate is Fate.IS_REFUSED for fate in fates) or self.always_kills

    @property
    def always_kills(self) -> bool:
        return self.item.always is Fate.KILLS
