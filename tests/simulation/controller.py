"""A controller that waits for the items and sends again what got lost, as `pipeline_controller.gather` does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline_controller.gather import RESENDS
from pipeline_controller.planning import Look, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from random import Random

    from tests.simulation.agenda import Agenda
    from tests.simulation.lives import Life
    from tests.simulation.queue import SimulatedQueue


@dataclass(slots=True)
class Controller:
    """One run's: all ``lives`` of a lane. It decides by the product's own `Watch`."""

    agenda: Agenda
    chance: Random
    queue: SimulatedQueue
    lives: Sequence[Life]
    send: Callable[[Life], None]
    stall_after: timedelta
    poll: float
    lag: float
    resends: int = 0
    is_waiting: bool = True
    _watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self._watch = Watch(len(self.lives), self.stall_after)

    def look(self) -> None:
        """Look once, and again after a while unless all is over or it was of no use too often."""
        counts = self.queue.approximate(self.chance, self.lag)
        is_empty = not (counts.visible or counts.in_flight or counts.delayed)
        done = sum(life.done_at is not None for life in self.lives)
        dead = sum(life.done_at is None and life.has_dossier for life in self.lives)
        decision = self._watch.see(Look(self.agenda.now, done, dead, is_empty))
        if decision == "stalled" and self.resends < RESENDS:
            self.resends += 1
            self._send_again()
        elif decision != "wait":
            self.is_waiting = False
        if self.is_waiting:
            self.agenda.at(self.agenda.now + self.poll, self.look)

    def _send_again(self) -> None:
        for life in self.lives:
            life.has_dossier |= life.letters > 0  # what SQS itself moved is found and told of before anything is sent
            if life.done_at is None and not life.has_dossier:
                self.send(life)
