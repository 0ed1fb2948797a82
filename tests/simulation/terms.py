"""What a pod is given: its pool's numbers, what it stands in, and a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_core.retry import Backoff
from pipeline_processing.settlement import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.simulation.agenda import Agenda
    from tests.simulation.lives import Life
    from tests.simulation.queue import Message, SimulatedQueue
    from tests.simulation.services import Database, Storage
    from tests.simulation.worker import Pod
    from tests.simulation.world import Fate, World

    from pipeline_processing.deployment import Pool


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
        self.most_items = pool.scaling.queue_length if pool.scaling.kind == "job" else None
        """What the pod of a job takes before it ends (``--max-items``)."""
        self.turns = {name: places for name, places in pool.processors.items() if places < pool.concurrency}
        """Processors of which a pod may hold more than it works on at once."""
        backoff = Backoff(settings.backoff_base, settings.backoff_cap)
        self.policy = RetryPolicy(settings.max_attempts, backoff, receive_limit)


class Work:
    """One delivery in work."""

    __slots__ = ("expires", "fate", "is_over", "is_waiting", "life", "message", "receipt", "received", "seconds")

    def __init__(self, message: Message, now: float, expires: float) -> None:
        self.message = message
        self.life: Life = message.body
        self.receipt = message.receives
        self.received = now
        self.seconds = 0.0
        self.expires = expires
        self.fate: Fate | None = None
        self.is_over = False
        self.is_waiting = False
        """For its processor's turn; nothing has been begun."""
