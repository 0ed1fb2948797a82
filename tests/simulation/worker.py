"""One worker in its pod: places, leases, attempts, and a drain; as `pipeline_worker.consumer` does it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, assert_never

from tests.simulation.queue import VISIBILITY_LIMIT
from tests.simulation.world import Fate

from etl_core.retry import Backoff
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
    RetryPolicy,
    Succeeded,
    Unrecorded,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.simulation.agenda import Agenda
    from tests.simulation.lives import Life
    from tests.simulation.queue import Message, SimulatedQueue
    from tests.simulation.services import Database, Storage
    from tests.simulation.world import World

    from pipeline_processing.deployment import Pool
    from pipeline_processing.settlement import Outcome

LOOKS: Final = 4
"""Looks of the lease keeper a heartbeat."""
CLEANING_UP: Final = 0.5
"""Seconds from an item's cancellation to its release; no more than a quarter of the time that the grace leaves."""
REFUSAL: Final = 0.05
"""Seconds that it takes to learn that Postgres takes no connection."""

_SUCCEEDED: Final = Succeeded(ItemResult("", "done", {}))
_TRANSIENT: Final = Failed(Failure("Transient", "simulated", "t", transient=True))
_PERMANENT: Final = Failed(Failure("Permanent", "simulated", "p", transient=False))
_UNRECORDED: Final = Unrecorded(Failure("Throttled", "simulated", "u", transient=True))
_INTERRUPTED: Final = Interrupted()
_ALREADY_DONE: Final = AlreadyDone()
_LOST_LEASE: Final = LostLease()


@dataclass(slots=True)
class Surroundings:
    """What a pod stands in."""

    agenda: Agenda
    chance: Random
    world: World
    queue: SimulatedQueue
    dead_letters: SimulatedQueue | None
    storage: Storage
    database: Database
    gone: Callable[[Pod], None]
    ready: Callable[[Pod], None]
    settled: Callable[[Life], None]


class Terms:
    """A pool's numbers, in seconds, and its retry policy."""

    def __init__(self, pool: Pool, *, writes: int, receive_limit: int | None) -> None:
        settings = pool.effective
        self.concurrency = pool.concurrency
        self.writes = writes
        self.lease = settings.lease.total_seconds()
        self.heartbeat = settings.heartbeat.total_seconds()
        self.receive_wait = settings.receive_wait.total_seconds()
        self.drain = settings.drain.total_seconds()
        self.spare = settings.grace.total_seconds() - self.drain
        self.pre_stop = float(pool.pre_stop_seconds)
        self.termination = float(pool.termination_grace_period_seconds)
        self.connections = settings.database_connections
        self.ends_when_idle = pool.scaling.kind == "job"
        backoff = Backoff(settings.backoff_base, settings.backoff_cap)
        self.policy = RetryPolicy(settings.max_attempts, backoff, receive_limit)


class _Work:
    """One delivery in work."""

    __slots__ = ("begun", "expires", "fate", "is_over", "life", "message", "receipt", "received")

    def __init__(self, message: Message, now: float, expires: float) -> None:
        self.message = message
        self.life: Life = message.body
        self.receipt = message.receives
        self.received = self.begun = now
        self.expires = expires
        self.fate: Fate | None = None
        self.is_over = False


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
        self.works: dict[_Work, None] = {}
        self._free = terms.concurrency
        self._is_connected = False
        self._unanswered: set[_Work] = set()
        self._hangs_until = 0.0
        self._is_ticking = False
        self._is_polling = False
        self._is_pausing = False
        around.agenda.at(around.agenda.now + around.world.start, self._begin)

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
        while self.phase is Phase.RUNNING and self._free > 0:
            got = queue.receive(self._free, terms.lease)
            for message in got:
                self._start(message)
            if not got:
                self._wait()
                return
        if self._is_polling:
            self._is_polling = False
            self._around.queue.leave(self._woken)

    def _wait(self) -> None:
        around = self._around
        if self._terms.ends_when_idle and not self.works:
            self._leave()
        elif around.queue.is_full():
            if not self._is_pausing:
                self._is_pausing = True
                around.agenda.at(around.agenda.now + 1 + 29 * around.chance.random(), self._go_on)
        else:
            self._is_polling = True
            around.queue.wait(self._woken)

    def _go_on(self) -> None:
        self._is_pausing = False
        self._receive()

    def _woken(self) -> None:
        self._is_polling = False
        if self.phase is Phase.RUNNING:
            self._receive()
        elif self.phase is Phase.DRAINING and self._free > 0:
            for message in self._around.queue.receive(self._free, self._terms.lease):
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
        work = _Work(message, now, now + self._terms.lease)
        self.works[work] = None
        self._free -= 1
        item = life.item
        number = life.starts
        life.starts += 1
        life.working += 1
        life.overlaps += life.working > 1
        fate = work.fate = item.fates[number] if number < len(item.fates) else item.always
        if self._around.world.needs_database and not self._connects():
            self._around.agenda.at(now + REFUSAL, self._end, work, _TRANSIENT)
        elif fate is Fate.KILLS or fate is Fate.EVICTS:
            self._around.agenda.at(now + item.seconds / 2, self._meet, work)
        else:
            self._around.agenda.at(now + item.seconds, self._finish, work)
        if not self._is_ticking:
            self._tick_later()

    def _connects(self) -> bool:
        self._is_connected = self._is_connected or self._around.database.connect(self._terms.connections)
        return self._is_connected

    def _meet(self, work: _Work) -> None:
        """Let halfway through happen what is to happen; if it is not allowed, or the drain is long enough, go on."""
        if work.is_over:
            return
        now, rest = self._around.agenda.now, work.life.item.seconds / 2
        self._around.agenda.at(now + rest, self._finish, work)
        if work.fate is Fate.KILLS:
            self.crash()
        else:
            self.stop()

    def _finish(self, work: _Work) -> None:
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

    def _write(self, work: _Work) -> None:
        around, writes = self._around, self._terms.writes
        took = around.storage.wait(around.agenda.now, writes)
        if took is None:  # all writes but the last are outputs, the last is the marker: that is no attempt
            is_marker = around.chance.random() * writes < 1
            self._end(work, _UNRECORDED if is_marker else _TRANSIENT)
        elif took > 0:
            around.agenda.at(around.agenda.now + took, self._end, work, _SUCCEEDED)
        else:
            self._end(work, _SUCCEEDED)

    def _end(self, work: _Work, outcome: Outcome) -> None:
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

    def _settle(self, work: _Work, outcome: Outcome) -> None:
        """Do what the product's own `settle` decides."""
        work.is_over = True
        message, life = work.message, work.life
        attempt = 1
        if work.receipt > 1 or message.is_resumed:  # as the executor: only then are failure records counted
            attempt = life.failures if isinstance(outcome, Failed) else life.failures + 1
        if isinstance(outcome, Unrecorded):
            attempt = max(attempt, work.receipt)
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
        self._unanswered.discard(work)
        self._free += 1
        self._around.settled(life)
        if self.phase is Phase.RUNNING:
            self._receive()
        elif self.phase is Phase.DRAINING:
            self._leave_if_done()

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
        life.buried = True
        if self._around.dead_letters is not None:
            life.letters += 1
            self._around.dead_letters.send(life)

    # Leases

    def _tick_later(self) -> None:
        """Look at the leases next at a whole heartbeat since the start, or at a quarter where one is in danger."""
        heartbeat, now = self._terms.heartbeat, self._around.agenda.now
        is_calm = not self._unanswered and self._terms.lease >= 2 * heartbeat
        step = heartbeat if is_calm else heartbeat / LOOKS
        self._is_ticking = True
        number = int((now - self.made_at) / step + 1e-9) + 1
        self._around.agenda.at(self.made_at + number * step, self._tick)

    def _tick(self) -> None:
        self._is_ticking = False
        if self.phase is Phase.GONE or not self.works:
            return
        now, heartbeat = self._around.agenda.now, self._terms.heartbeat
        for work in [work for work in self.works if work.expires <= now]:
            self._lose(work)
        if now >= self._hangs_until:
            beats = (now - self.made_at) / heartbeat
            is_beat = abs(beats - round(beats)) < 1e-6
            self._renew(list(self.works if is_beat else self._unanswered))
        if self.works and not self._is_ticking:
            self._tick_later()

    def _renew(self, works: list[_Work]) -> None:
        around, lease = self._around, self._terms.lease
        now = around.agenda.now
        if works and any(begin <= now < end for begin, end in around.world.unanswered):
            self._unanswered.update(works)
            self._hangs_until = now + self._terms.heartbeat
            return
        for work in works:
            too_long = now + lease - work.received > VISIBILITY_LIMIT
            if too_long or not around.queue.extend(work.message, work.receipt, lease):
                self._lose(work)
            else:
                work.expires = now + lease
                self._unanswered.discard(work)

    def _lose(self, work: _Work) -> None:
        if not work.is_over:
            work.life.working -= 1
            self._settle(work, _LOST_LEASE)

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

    def _drain(self) -> None:
        if self.phase is not Phase.RUNNING:
            return
        self.phase = Phase.DRAINING
        agenda, terms = self._around.agenda, self._terms
        agenda.at(agenda.now + terms.drain, self._interrupt)
        if self._is_polling:  # what the last poll still brings is given back
            agenda.at(agenda.now + self._around.chance.random() * min(terms.receive_wait, terms.drain), self._end_poll)
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
        """Kill the worker, unless one of its items would meet more deaths than the world grants."""
        spare = self._around.world.spare_deaths
        if spare is None or all(work.life.deaths < spare for work in self.works):
            self._kill()

    def _kill(self) -> None:
        """SIGKILL: what it held comes back when its leases run out."""
        if self.phase is Phase.GONE:
            return
        for work in self.works:
            work.is_over = True
            work.life.deaths += 1
            work.life.working -= 1
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
