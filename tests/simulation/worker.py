"""One worker in its pod: places, leases, attempts, and a drain; as `pipeline_worker.consumer` does it."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, assert_never

from tests.simulation.keeper import Keeper
from tests.simulation.terms import Work
from tests.simulation.turns import Turns
from tests.simulation.world import Fate

from pipeline_processing.model import Failure, ItemResult
from pipeline_processing.settlement import (
    Abandon,
    Ack,
    AlreadyDone,
    Bury,
    Failed,
    Interrupted,
    LostLease,
    Release,
    Retry,
    Succeeded,
    Unrecorded,
    settle,
)

if TYPE_CHECKING:
    from tests.simulation.lives import Life
    from tests.simulation.queue import Message
    from tests.simulation.terms import Surroundings, Terms

    from pipeline_processing.settlement import Outcome

CLEANING_UP: Final = 0.5
"""Seconds from an item's cancellation to its release; no more than a quarter of the time that the grace leaves."""
LOOK: Final = 1.0
"""Seconds until a job's worker notices that the last of its items is done."""
REFUSAL: Final = 0.05
"""Seconds that it takes to learn that Postgres takes no connection."""

_SUCCEEDED: Final = Succeeded(ItemResult("", "done", {}))
_TRANSIENT: Final = Failed(Failure("Transient", "simulated", "t", transient=True))
_PERMANENT: Final = Failed(Failure("Permanent", "simulated", "p", transient=False))
_UNRECORDED: Final = Unrecorded(Failure("Throttled", "simulated", "u", transient=True))
_INTERRUPTED: Final = Interrupted()
_ALREADY_DONE: Final = AlreadyDone()
_LOST_LEASE: Final = LostLease()


class Phase(Enum):
    STARTING = auto()
    RUNNING = auto()
    DRAINING = auto()
    GONE = auto()


class Pod:
    """From its making to its end. ``is_leaving``: it was told to stop, so it counts no more."""

    def __init__(self, terms: Terms, around: Surroundings) -> None:
        self._terms, self._around = terms, around
        self.made_at = around.agenda.now
        self.phase = Phase.STARTING
        self.is_leaving = False
        self.works: dict[Work, None] = {}
        self._free = terms.concurrency
        self._left = terms.most_items
        self._is_connected = False
        self._is_polling = False
        self._is_pausing = False
        self._polling_since: float | None = None
        self._turns = Turns(terms.turns)
        ready_at = self.made_at + around.world.start
        self._keeper = Keeper(terms, around, self.works.keys(), ready_at, self._lose)
        around.agenda.at(ready_at, self._begin)

    # Receiving

    def _begin(self) -> None:
        if self.phase is not Phase.STARTING:
            return
        self.phase = Phase.RUNNING
        self._around.ready(self)
        self._receive()

    def _receive(self) -> None:
        """Fill the free places; wait where nothing is to be had."""
        queue, terms = self._around.queue, self._terms
        while self.phase is Phase.RUNNING and (places := self._places) > 0:
            got = queue.receive(places, terms.lease)
            if not got:
                self._wait()
                return
            self._polling_since = None
            if self._left is not None:
                self._left -= len(got)
            for message in got:
                self._start(message)
        if self._is_polling:
            self._is_polling = False
            self._around.queue.leave(self._woken)

    @property
    def _places(self) -> int:
        return self._free if self._left is None else min(self._free, self._left)

    def _wait(self) -> None:
        around = self._around
        if around.queue.is_full():
            if not self._is_pausing:
                self._is_pausing = True
                around.agenda.at(around.agenda.now + 1 + 29 * around.chance.random(), self._go_on)
            return
        self._is_polling = True
        around.queue.wait(self._woken)
        if self._left is not None and self._polling_since is None:
            self._polling_since = around.agenda.now
            around.agenda.at(around.agenda.now + self._terms.receive_wait, self._close, around.agenda.now)

    def _close(self, since: float) -> None:
        """Take no more, in a job's pod, after a whole poll that brought nothing (``--max-items``)."""
        if self.phase is Phase.RUNNING and self._polling_since == since:
            self._is_polling = False
            self._around.queue.leave(self._woken)
            self._left = 0
            self._end_if_spent()

    def _end_if_spent(self) -> None:
        if self._left == 0 and not self.works:
            self._around.agenda.at(self._around.agenda.now + LOOK, self._end_spent)

    def _end_spent(self) -> None:
        if self.phase is Phase.RUNNING:
            self._leave()

    def _go_on(self) -> None:
        self._is_pausing = False
        self._receive()

    def _woken(self) -> None:
        self._is_polling = False
        if self.phase is Phase.RUNNING:
            self._receive()
        elif self.phase is Phase.DRAINING and self._places > 0:
            for message in self._around.queue.receive(self._places, self._terms.lease):
                message.body.returns += 1
                self._give_back(message, message.receives, 0.0)
            self._leave_if_done()
        else:
            self._around.queue.nudge()

    # One delivery

    def _start(self, message: Message) -> None:
        now, life = self._around.agenda.now, message.body
        if life.done_at is not None and (message.receives > 1 or message.is_resumed):
            self._delete(message, message.receives)  # what `settle` says of AlreadyDone, at no cost
            self._around.settled(life)
            return
        work = Work(message, now, now + self._terms.lease)
        self.works[work] = None
        self._free -= 1
        if self._turns.take(work):
            self._work_on(work)
        self._keeper.watch()

    def _work_on(self, work: Work) -> None:
        now, life, item = self._around.agenda.now, work.life, work.life.item
        number = life.starts
        life.starts += 1
        life.working += 1
        life.overlaps += life.working > 1
        fate = work.fate = item.fates[number] if number < len(item.fates) else item.always
        seconds = work.seconds = item.seconds * self._around.world.slowness(now)
        if self._around.world.needs_database and not self._connects():
            self._around.agenda.at(now + REFUSAL, self._end, work, _TRANSIENT)
        elif fate is Fate.KILLS or fate is Fate.EVICTS:
            self._around.agenda.at(now + seconds / 2, self._meet, work)
        else:
            self._around.agenda.at(now + seconds, self._finish, work)

    def _take_turn(self, work: Work) -> None:
        """Begin with what has waited; others may have done it meanwhile."""
        if work.life.done_at is not None and (work.receipt > 1 or work.message.is_resumed):
            self._around.agenda.at(self._around.agenda.now, self._find_done, work)
        else:
            self._work_on(work)

    def _find_done(self, work: Work) -> None:
        if not work.is_over:
            self._settle(work, _ALREADY_DONE)

    def _connects(self) -> bool:
        self._is_connected = self._is_connected or self._around.database.connect(self._terms.connections)
        return self._is_connected

    def _meet(self, work: Work) -> None:
        """Let halfway through happen what is to happen; if it is not allowed, or the drain is long enough, go on."""
        if work.is_over:
            return
        now, rest = self._around.agenda.now, work.seconds / 2
        self._around.agenda.at(now + rest, self._finish, work)
        if work.fate is Fate.KILLS:
            self.crash()
        else:
            self.evict()

    def _finish(self, work: Work) -> None:
        """The work itself is done: write, or fail as its fate has it."""
        if work.is_over:
            return
        match work.fate:
            case Fate.FAILS:
                self._end(work, _TRANSIENT)
            case Fate.IS_REFUSED:
                self._end(work, _PERMANENT)
            case _:
                self._write(work)

    def _write(self, work: Work) -> None:
        around, writes = self._around, self._terms.writes
        took = around.storage.wait(around.agenda.now, writes)
        if took is None:  # all writes but the last are outputs, the last is the marker: that is no attempt
            is_marker = around.chance.random() * writes < 1
            self._end(work, _UNRECORDED if is_marker else _TRANSIENT)
        elif took > 0:
            around.agenda.at(around.agenda.now + took, self._end, work, _SUCCEEDED)
        else:
            self._end(work, _SUCCEEDED)

    def _end(self, work: Work, outcome: Outcome) -> None:
        if work.is_over:
            return
        life = work.life
        life.working -= 1
        if outcome is _SUCCEEDED:
            if life.done_at is None:
                life.done_at = self._around.agenda.now
            else:
                outcome = _ALREADY_DONE
        elif isinstance(outcome, Failed):
            life.failures += 1
        self._settle(work, outcome)

    def _settle(self, work: Work, outcome: Outcome) -> None:
        """Do what the product's own `settle` decides."""
        work.is_over = True
        message, life = work.message, work.life
        attempt = _number(work, outcome)
        settlement = settle(outcome, attempt=attempt, policy=self._terms.policy, jitter=self._around.chance.random())
        match settlement:
            case Ack():
                self._delete(message, work.receipt)
            case Retry(after=after):
                self._give_back(message, work.receipt, after.total_seconds())
            case Release():
                self._give_back(message, work.receipt, 0.0)
            case Bury():
                self._bury(life)
                self._delete(message, work.receipt)
            case Abandon():
                pass
            case _:
                assert_never(settlement)
        del self.works[work]
        self._keeper.drop(work)
        self._free += 1
        self._around.settled(life)
        following = self._turns.give(work)
        if self.phase is Phase.RUNNING:
            if following is not None:
                self._take_turn(following)
            self._receive()
            self._end_if_spent()
        elif self.phase is Phase.DRAINING:
            self._leave_if_done()

    def _lose(self, work: Work) -> None:
        """Abandon what another may hold by now."""
        if not work.is_over:
            work.life.working -= not work.is_waiting
            self._settle(work, _LOST_LEASE)

    def _delete(self, message: Message, receipt: int) -> None:
        if self._around.queue.delete(message, receipt):
            message.body.messages -= 1

    def _give_back(self, message: Message, receipt: int, after: float) -> None:
        """As `Settler._give_back`: what SQS would bury at its next receive is sent anew, before the old is deleted."""
        limit = self._terms.policy.receive_limit
        if limit is not None and receipt >= limit:
            self._around.queue.send(message.body, delay=min(after, 900.0), is_resumed=True)
            message.body.messages += 1
            self._delete(message, receipt)
        else:
            self._around.queue.extend(message, receipt, after)

    def _bury(self, life: Life) -> None:
        life.buried = life.has_dossier = True
        if self._around.dead_letters is not None:
            life.letters += 1
            self._around.dead_letters.send(life)

    # Ends

    def stop(self) -> None:
        """Tell the pod to end: preStop hook, SIGTERM, drain; SIGKILL when its grace period is over."""
        if self.is_leaving or self.phase is Phase.GONE:
            return
        self.is_leaving = True
        agenda, terms = self._around.agenda, self._terms
        if self.phase is Phase.STARTING:
            self._leave()
            return
        agenda.at(agenda.now + terms.pre_stop, self._drain)
        agenda.at(agenda.now + terms.termination, self._kill)

    def evict(self) -> None:
        """Tell the pod to end, unless it is a job's: the chart has autoscalers leave those where they are."""
        if self._terms.most_items is None:
            self.stop()

    def _drain(self) -> None:
        if self.phase is not Phase.RUNNING:
            return
        self.phase = Phase.DRAINING
        agenda, terms = self._around.agenda, self._terms
        agenda.at(agenda.now + terms.drain, self._interrupt)
        if self._is_polling:  # what the last poll still brings is given back
            agenda.at(agenda.now + self._around.chance.random() * min(terms.receive_wait, terms.drain), self._end_poll)
        for work in self._turns.waiting:
            work.life.returns += 1
            self._settle(work, _INTERRUPTED)
        self._leave_if_done()

    def _end_poll(self) -> None:
        self._is_polling = False
        self._around.queue.leave(self._woken)
        self._leave_if_done()

    def _interrupt(self) -> None:
        """The drain is over: give back what is not finished, where there is time for that before the grace ends."""
        if self.phase is Phase.DRAINING:
            agenda, spare = self._around.agenda, self._terms.spare
            if spare > 0:
                agenda.at(agenda.now + min(CLEANING_UP, spare / 4), self._release)
            else:
                self._kill()

    def _release(self) -> None:
        if self.phase is Phase.DRAINING:
            for work in list(self.works):
                work.life.working -= 1
                work.life.cut_short += 1
                self._settle(work, _INTERRUPTED)
            self._leave()

    def _leave_if_done(self) -> None:
        if self.phase is Phase.DRAINING and not self.works and not self._is_polling:
            self._leave()

    def crash(self) -> None:
        """Kill the worker, unless that would cost one of its items more receives than the world grants."""
        spare = self._around.world.spare_receives
        if spare is None or all(work.life.spent < spare for work in self.works):
            for work in self.works:
                work.life.crashes += 1
            self._kill()

    def _kill(self) -> None:
        """SIGKILL: what it held comes back when its leases run out."""
        if self.phase is Phase.GONE:
            return
        for work in self.works:
            work.is_over = True
            work.life.deaths += 1
            work.life.working -= not work.is_waiting
            self._around.settled(work.life)
        self.works.clear()
        self._leave()

    def _leave(self) -> None:
        if self.phase is Phase.GONE:
            return
        self.phase = Phase.GONE
        self._around.queue.leave(self._woken)
        if self._is_connected:
            self._around.database.disconnect(self._terms.connections)
        self._around.gone(self)


def _number(work: Work, outcome: Outcome) -> int:
    """Return the attempt's number as executor and settler do: only a repeat has its failure records counted."""
    number = 1
    if work.receipt > 1 or work.message.is_resumed:
        number = work.life.failures if isinstance(outcome, Failed) else work.life.failures + 1
    return max(number, work.receipt) if isinstance(outcome, Unrecorded) else number
