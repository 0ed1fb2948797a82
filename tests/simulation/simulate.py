"""Runs one deployment through one world."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal, NamedTuple

from tests.simulation.agenda import Agenda
from tests.simulation.controller import Controller
from tests.simulation.fair import FairQueue
from tests.simulation.fleet import Fleet, scaler_of
from tests.simulation.lives import Life, State
from tests.simulation.queue import SimulatedQueue
from tests.simulation.services import Database, Storage
from tests.simulation.terms import Surroundings, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.fleet import Scaler
    from tests.simulation.queue import Message
    from tests.simulation.world import Item, World

    from pipeline_processing.deployment import Deployment, Lane, Scaling


class Sample(NamedTuple):
    """What was so at a moment. ``queues`` by lane, the others by pool; ages in seconds."""

    at: float
    visible: dict[str, int]
    in_flight: dict[str, int]
    oldest: dict[str, float]
    replicas: dict[str, int]
    pods: dict[str, int]
    """With those that are leaving: what is paid for."""
    done: int
    dead: int


@dataclass(slots=True)
class Result:
    """What came of it. ``pod_seconds`` is what the pools cost; ``requests`` are receives, by lane."""

    lives: list[Life]
    ended_at: float
    samples: list[Sample]
    pod_seconds: dict[str, float]
    receives: dict[str, int]
    throttled: int
    refused_connections: int

    @property
    def states(self) -> Counter[State]:
        return Counter(life.state for life in self.lives)


@dataclass(slots=True)
class _Station:
    """A queue with its dead letters; lanes with one URL share it."""

    queue: SimulatedQueue
    dead_letters: SimulatedQueue | None
    max_receives: int | None


@dataclass
class _Simulation:
    deployment: Deployment
    world: World
    make_scaler: Callable[[Scaling], Scaler]
    agenda: Agenda = field(default_factory=Agenda)
    lives: list[Life] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    controllers: list[Controller] = field(default_factory=list)
    done: int = 0
    dead: int = 0
    unsettled: int = 0
    """Items that are neither done nor dead nor lost."""

    def __post_init__(self) -> None:
        self.chance = Random(self.world.seed)
        self.unsettled = len(self.world.items)
        self.stations: dict[str, _Station] = {}
        by_url: dict[str, _Station] = {}
        for name, lane in self.deployment.lanes.items():
            key = lane.queue_url or name
            self.stations[name] = by_url[key] = by_url.get(key) or self._station(lane)
        limits = self.deployment.limits
        self.storage = Storage(limits.s3_writes_per_second)
        others = sum(one.effective.database_connections for one in self.deployment.schedules)
        free = limits.postgres_connections - limits.postgres_reserved - others
        self.database = Database(free if limits.postgres_connections else None)
        self.fleets = [self._fleet(number) for number in range(len(self.deployment.pools))]

    def _station(self, lane: Lane) -> _Station:
        dead_letters = None
        if lane.max_receive_count is not None:
            retention = lane.dead_letter_retention.total_seconds()
            dead_letters = SimulatedQueue(self.agenda, retention=retention, dropped=self._letter_dropped)
        kind = FairQueue if self.world.is_fair else SimulatedQueue
        queue = kind(
            self.agenda,
            retention=lane.retention.total_seconds(),
            max_receives=lane.max_receive_count,
            dead_letters=dead_letters,
            moved=self._moved,
            dropped=self._dropped,
        )
        return _Station(queue, dead_letters, lane.max_receive_count)

    def _fleet(self, number: int) -> Fleet:
        pool = self.deployment.pools[number]
        station, world = self.stations[pool.lane], self.world
        terms = Terms(pool, writes=self.deployment.limits.s3_writes_per_item, receive_limit=station.max_receives)
        around = Surroundings(
            agenda=self.agenda,
            chance=self.chance,
            world=world,
            queue=station.queue,
            dead_letters=station.dead_letters,
            storage=self.storage,
            database=self.database,
            gone=lambda _: None,
            ready=lambda _: None,
            settled=self._settled,
        )
        return Fleet(pool, terms, around, self.make_scaler(pool.scaling))

    # What befalls messages

    def _moved(self, message: Message) -> None:
        life: Life = message.body
        life.messages -= 1
        life.letters += 1
        self._settled(life)

    def _dropped(self, message: Message) -> None:
        message.body.messages -= 1
        self._settled(message.body)

    def _letter_dropped(self, message: Message) -> None:
        message.body.letters -= 1

    def _settled(self, life: Life) -> None:
        if not life.is_settled and life.is_at_rest:
            life.is_settled = True
            self.unsettled -= 1
            self.done += life.done_at is not None
            self.dead += life.letters > 0

    # What the world does

    def run(self) -> Result:
        world, agenda = self.world, self.agenda
        self._arrive(iter(sorted(world.items, key=lambda item: item.at)), None)
        for fleet in self.fleets:
            fleet.begin()
        for at in world.crashes:
            agenda.at(at, self._strike, "crash")
        for at in world.evictions:
            agenda.at(at, self._strike, "evict")
        for at in world.rollouts:
            agenda.at(at, self._roll_out)
        if world.sampled_every is not None:
            self._sample()
        agenda.run(world.until, self._is_over)
        return self._result()

    def _arrive(self, rest: Iterator[Item], item: Item | None) -> None:
        """Send what arrives now, and come back for the next."""
        now = self.agenda.now
        while item is None or item.at <= now:
            if item is not None:
                life = Life(item)
                self.lives.append(life)
                self._send(life, doubles=item.doubles)
            item = next(rest, None)
            if item is None:
                self._forget()
                self._watch_over()
                return
        self.agenda.at(item.at, self._arrive, rest, item)

    def _forget(self) -> None:
        """Let queues that nobody asks drop what is too old, too."""
        for station in self.stations.values():
            station.queue.counts()
        if self.unsettled:
            wait = min(station.queue.retention for station in self.stations.values())
            self.agenda.at(self.agenda.now + wait, self._forget)

    def _watch_over(self) -> None:
        """Start a controller for each lane, by the settings of its schedule."""
        for one in self.deployment.schedules if self.world.is_watched else ():
            controller = Controller(
                agenda=self.agenda,
                chance=self.chance,
                queue=self.stations[one.lane].queue,
                lives=[life for life in self.lives if life.item.lane == one.lane],
                send=self._send_again,
                stall_after=one.effective.stall_after,
                poll=one.effective.poll.total_seconds(),
                lag=self.world.lag,
            )
            self.controllers.append(controller)
            controller.look()

    def _send_again(self, life: Life) -> None:
        if life.is_settled:
            life.is_settled = False
            self.unsettled += 1
        self._send(life, is_resumed=True)

    def _send(self, life: Life, *, doubles: int = 0, is_resumed: bool = False) -> None:
        life.messages += 1
        self.stations[life.item.lane].queue.send(life, doubles=doubles, is_resumed=is_resumed)

    def _strike(self, blow: Literal["crash", "evict"]) -> None:
        """Meet one pod that is at work, whichever."""
        if busy := [pod for fleet in self.fleets for pod in fleet.busy]:
            pod = self.chance.choice(busy)
            pod.crash() if blow == "crash" else pod.evict()

    def _roll_out(self) -> None:
        for fleet in self.fleets:
            fleet.roll_out()

    def _is_over(self) -> bool:
        return not (self.unsettled or self.world.runs_on or any(one.is_waiting for one in self.controllers))

    # What is told of it

    def _sample(self) -> None:
        counts = {name: station.queue.counts() for name, station in self.stations.items()}
        fleets = {fleet.pool.name: fleet for fleet in self.fleets}
        self.samples.append(
            Sample(
                at=self.agenda.now,
                visible={name: one.visible for name, one in counts.items()},
                in_flight={name: one.in_flight for name, one in counts.items()},
                oldest={name: one.oldest for name, one in counts.items()},
                replicas={name: len(fleet.staying) for name, fleet in fleets.items()},
                pods={name: len(fleet.pods) for name, fleet in fleets.items()},
                done=self.done,
                dead=self.dead,
            )
        )
        self.agenda.at(self.agenda.now + (self.world.sampled_every or 0.0), self._sample)

    def _result(self) -> Result:
        ended_at = self.agenda.now
        self.agenda.now = max(ended_at, self.world.looked_at)
        for station in self.stations.values():
            if station.dead_letters is not None:
                station.dead_letters.counts()
        pod_seconds: dict[str, float] = {}
        for fleet in self.fleets:
            pod_seconds[fleet.pool.name] = fleet.pod_seconds + sum(ended_at - pod.made_at for pod in fleet.pods)
        return Result(
            lives=self.lives,
            ended_at=ended_at,
            samples=self.samples,
            pod_seconds=pod_seconds,
            receives={name: station.queue.receives for name, station in self.stations.items()},
            throttled=self.storage.refused,
            refused_connections=self.database.refused,
        )


def run(deployment: Deployment, world: World, scaler: Callable[[Scaling], Scaler] = scaler_of) -> Result:
    """Let ``world`` happen to ``deployment``; ``scaler`` makes what decides about a pool's pods."""
    return _Simulation(deployment, world, scaler).run()
