"""Keeps a pod's leases, as `etl_core.queue.lease` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.queue import VISIBILITY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.simulation.terms import Surroundings, Terms, Work

LOOKS: Final = 4
"""Looks a heartbeat: when lost leases are noticed, and renewals without an answer tried again."""
_ROUNDING: Final = 1e-6


class Keeper:
    """Renews what is in ``held`` at every heartbeat since ``begun``; tells ``lost`` what it could not keep."""

    def __init__(
        self, terms: Terms, around: Surroundings, held: Collection[Work], begun: float, lost: Callable[[Work], None]
    ) -> None:
        self._lease, self._heartbeat = terms.lease, terms.heartbeat
        self._around, self._held, self._begun, self._lost = around, held, begun, lost
        self._unanswered: set[Work] = set()
        self._hangs_until = 0.0
        self._is_ticking = False

    def watch(self) -> None:
        """Look at the leases while something is held: at whole heartbeats, or at quarters where one is in danger."""
        if self._is_ticking or not self._held:
            return
        is_calm = not self._unanswered and self._lease >= 2 * self._heartbeat
        step = self._heartbeat if is_calm else self._heartbeat / LOOKS
        self._is_ticking = True
        number = int((self._around.agenda.now - self._begun) / step + _ROUNDING) + 1
        self._around.agenda.at(self._begun + number * step, self._tick)

    def drop(self, work: Work) -> None:
        """Renew it no more."""
        self._unanswered.discard(work)

    def _tick(self) -> None:
        self._is_ticking = False
        now = self._around.agenda.now
        for work in [work for work in self._held if work.expires <= now]:
            self._lost(work)
        if now >= self._hangs_until:
            beats = (now - self._begun) / self._heartbeat
            is_beat = abs(beats - round(beats)) < _ROUNDING
            self._renew(list(self._held if is_beat else self._unanswered))
        self.watch()

    def _renew(self, works: list[Work]) -> None:
        now, queue = self._around.agenda.now, self._around.queue
        if works and any(begin <= now < end for begin, end in self._around.world.unanswered):
            self._unanswered.update(works)
            self._hangs_until = now + self._heartbeat  # an answer is waited for so long
            return
        for work in works:
            would_pass = now + self._lease - work.received > VISIBILITY_LIMIT
            if would_pass or not queue.extend(work.message, work.receipt, self._lease):
                self._lost(work)
            else:
                work.expires = now + self._lease
                self._unanswered.discard(work)
