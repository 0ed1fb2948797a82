"""The simulated worker, alone with a queue: drains, deaths, leases; and beside the product's own consumer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.agenda import Agenda
from tests.simulation.documents import POOL, Change, deployment
from tests.simulation.lives import Life, State
from tests.simulation.queue import SimulatedQueue
from tests.simulation.services import Database, Storage
from tests.simulation.terms import Surroundings, Terms
from tests.simulation.worker import Phase, Pod
from tests.simulation.world import Fate, Item, World

from etl_core.errors import Throttled
from etl_core.queue.lease import LeaseKeeper
from one_queue import LEASE, POLICY, OneQueue, item
from pipeline_processing.messages import PROCESSOR
from pipeline_worker.consumer import Consumer, Limits
from pipeline_worker.measures import Measures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_processing.model import Item as ProductItem

RECEIVES: Final = 7
DAY: Final = 86_400.0


class Middle(Random):
    """Chance that always falls in the middle."""

    def random(self) -> float:
        return 0.5


class Bench:
    """Items in a queue, and pods of `SMALL`'s pool to work on them: drain 90 s of 180, lease 90 s, heartbeat 30 s."""

    def __init__(self, *items: Item, changes: Sequence[Change] = (), world: World | None = None) -> None:
        self.agenda = Agenda()
        self.world = world or World(items, start=0.0, needs_database=False)
        self.dead_letters = SimulatedQueue(self.agenda, retention=14 * DAY)
        self.queue = SimulatedQueue(
            self.agenda, retention=DAY, max_receives=RECEIVES, dead_letters=self.dead_letters, moved=self._moved
        )
        (self.pool,) = deployment(*changes).pools
        self.terms = Terms(self.pool, writes=3, receive_limit=RECEIVES)
        self.database = Database(None)
        self.lives = [Life(one) for one in self.world.items]
        for life in self.lives:
            life.messages = 1
            self.queue.send(life)

    def _moved(self, message: object) -> None:
        life: Life = message.body  # type: ignore[attr-defined] # a message of lives
        life.messages, life.letters = life.messages - 1, life.letters + 1

    def pod(self) -> Pod:
        around = Surroundings(
            agenda=self.agenda,
            chance=Middle(),
            world=self.world,
            queue=self.queue,
            dead_letters=self.dead_letters,
            storage=Storage(3500),
            database=self.database,
            gone=lambda _: None,
            ready=lambda _: None,
            settled=lambda _: None,
        )
        return Pod(self.terms, around)

    def wait(self, seconds: float) -> None:
        self.agenda.run(self.agenda.now + seconds, lambda: False)

    def hidden_until(self) -> float:
        """Return how long the one message stays hidden from now."""
        began = self.agenda.now
        while not self.queue.counts().visible:
            self.wait(1)
        return self.agenda.now - began


def test_a_drain_finishes_what_is_held_and_takes_nothing_more() -> None:
    bench = Bench(Item(seconds=60), Item(seconds=60))
    pod = bench.pod()
    bench.wait(10)
    pod.stop()
    bench.wait(51)
    assert (Phase.GONE, [State.DONE, State.PENDING]) == (pod.phase, [life.state for life in bench.lives])
    assert (1, 0) == (bench.queue.visible, bench.lives[1].starts)


def test_what_a_drain_does_not_finish_goes_back_at_once_and_costs_a_receive() -> None:
    bench = Bench(Item(seconds=200))
    pod = bench.pod()
    bench.wait(10)
    pod.stop()
    bench.wait(89.9)
    assert Phase.DRAINING is pod.phase
    bench.wait(1)
    assert (Phase.GONE, 1, 1, 0) == (pod.phase, bench.queue.visible, bench.lives[0].cut_short, bench.lives[0].deaths)


def test_a_pod_that_is_killed_leaves_its_item_hidden_until_the_lease_runs_out() -> None:
    bench = Bench(Item(seconds=200))
    pod = bench.pod()
    bench.wait(100)  # the last heartbeat was at 90
    pod.crash()
    assert (80, 1, Phase.GONE) == (bench.hidden_until(), bench.lives[0].deaths, pod.phase)


def test_kubernetes_kills_a_pod_whose_drain_is_longer_than_its_grace_period() -> None:
    bench = Bench(Item(seconds=200), changes=[(POOL, "terminationGracePeriodSeconds", 30)])
    pod = bench.pod()
    bench.wait(10)
    pod.stop()
    bench.wait(30)
    assert (Phase.GONE, 1, 0) == (pod.phase, bench.lives[0].deaths, bench.queue.visible)


def test_a_pre_stop_hook_takes_its_time_from_the_drain() -> None:
    late = Bench(Item(seconds=60), changes=[(POOL, "terminationGracePeriodSeconds", 60), (POOL, "preStopSeconds", 40)])
    pod = late.pod()
    late.wait(10)
    pod.stop()
    late.wait(40)
    assert Phase.RUNNING is not pod.phase
    late.wait(11)
    assert State.DONE is late.lives[0].state


def test_leases_are_renewed_for_as_long_as_an_item_takes() -> None:
    bench = Bench(Item(seconds=5000))
    bench.pod()
    bench.wait(5001)
    assert (State.DONE, 1) == (bench.lives[0].state, bench.lives[0].starts)


def test_a_lease_lost_to_a_queue_that_does_not_answer_gives_the_item_to_another() -> None:
    world = World([Item(seconds=400)], start=0.0, needs_database=False, unanswered=[(55, 250)])
    bench = Bench(world=world)
    bench.pod()
    bench.pod()
    bench.wait(119)  # renewed at 30, until 120
    assert (1, 1) == (bench.lives[0].starts, bench.lives[0].working)
    bench.wait(2)
    assert (2, 1) == (bench.lives[0].starts, bench.lives[0].working)


def test_no_lease_is_kept_beyond_twelve_hours() -> None:
    bench = Bench(Item(seconds=13 * 3600.0))
    bench.pod()
    bench.wait(13 * 3600.0 + 1)
    assert (State.PENDING, 2) == (bench.lives[0].state, bench.lives[0].starts)


def test_what_the_queue_would_bury_next_is_sent_anew() -> None:
    bench = Bench(Item(seconds=200))
    for _ in range(RECEIVES):
        pod = bench.pod()
        bench.wait(10)
        pod.stop()
        bench.wait(91)
    assert (State.PENDING, RECEIVES) == (bench.lives[0].state, bench.lives[0].starts)
    (message,) = bench.queue.receive(10, 1.0)
    assert (1, True) == (message.receives, message.is_resumed)


def test_without_connections_attempts_fail_until_there_are_some() -> None:
    bench = Bench(world=World([Item()], start=0.0))
    bench.database = Database(3)
    assert bench.database.connect(2)
    bench.pod()
    bench.wait(1)
    assert (2, State.PENDING) == (bench.lives[0].failures, bench.lives[0].state)  # at once, and after half a second
    bench.database.disconnect(2)
    bench.wait(60)
    assert (State.DONE, 2) == (bench.lives[0].state, bench.database.taken)


# Beside the product's own consumer, on the same script


class Script(NamedTuple):
    """Items as (fives of seconds, failures, whether their processor is limited), and a worker that is told to stop."""

    items: list[tuple[int, int, bool]]
    concurrency: int
    stop: float
    turns: int = 4
    """How many of the limited processor are in work at once."""
    most: int | None = None
    """What it takes before it ends, as the pod of a job does."""


class End(NamedTuple):
    """What became of one item."""

    state: str
    starts: int
    failures: int


SCRIPTS = st.builds(
    Script,
    st.lists(st.tuples(st.integers(1, 8), st.integers(0, 3), st.booleans()), min_size=1, max_size=10),
    st.integers(1, 4),
    st.sampled_from([2.4, 12.4, 47.4, 102.4, 1002.4]),
    st.integers(1, 4),
    st.none() | st.integers(1, 12),
)
DRAIN, GRACE, WAIT = timedelta(seconds=20), timedelta(seconds=40), timedelta(seconds=1.25)
HEARTBEAT = timedelta(seconds=60.77)
"""Polls, drains and heartbeats end when nothing else does: items begin and end at whole seconds."""
LIMITED: Final = "limited"


def _simulated(script: Script) -> list[End]:
    changes: list[Change] = [
        (POOL, "concurrency", script.concurrency),
        (POOL, "PIPELINE_MAX_ATTEMPTS", str(POLICY.max_attempts)),
        (POOL, "PIPELINE_BACKOFF_BASE", "2s"),
        (POOL, "PIPELINE_BACKOFF_CAP", "1m"),
        (POOL, "PIPELINE_LEASE", "5m"),
        (POOL, "PIPELINE_DRAIN", "20s"),
        (POOL, "PIPELINE_GRACE", "40s"),
        (POOL, "PIPELINE_RECEIVE_WAIT", "1.25s"),
        (POOL, "processors", {LIMITED: script.turns}),
    ]
    if script.most is not None:
        changes += [(POOL, "scaling.kind", "job"), (POOL, "scaling.queueLength", script.most)]
    items = [
        Item(seconds=5.0 * fives, fates=(Fate.FAILS,) * failures, processor=LIMITED if is_limited else "")
        for fives, failures, is_limited in script.items
    ]
    bench = Bench(*items, changes=changes)
    pod = bench.pod()
    bench.wait(script.stop)
    pod.stop()
    bench.wait(60)
    return [End(life.state.value, life.starts, life.failures) for life in bench.lives]


async def _real(script: Script) -> list[End]:
    world = OneQueue()
    items = [item(number) for number in range(len(script.items))]
    plans = dict(zip((one.item_id for one in items), script.items, strict=True))

    async def work(one: ProductItem, start: int) -> None:
        fives, failures, _ = plans[one.item_id]
        await world.clock.sleep(timedelta(seconds=5 * fives))
        if start <= failures:
            raise Throttled("simulated")

    world.processor.work = work
    for one in items:  # turns go by the message's attribute
        await world.send(one, **({PROCESSOR: LIMITED} if plans[one.item_id][2] else {}))
    consumer = Consumer(
        world.queue,
        world.executor(),
        world.settler(),
        LeaseKeeper(world.queue, lease=LEASE, heartbeat=HEARTBEAT, clock=world.clock),
        Limits(
            lease=LEASE,
            wait=WAIT,
            drain=DRAIN,
            grace=GRACE,
            concurrency=script.concurrency,
            processors={LIMITED: script.turns},
            receivers=1,
            max_items=script.most,
        ),
        measures=Measures(),
        clock=world.clock,
        jitter=lambda: 0.5,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(consumer.run(stop))
    await world.clock.sleep(timedelta(seconds=script.stop))
    stop.set()
    await running
    keys = await world.keys()
    ends = []
    for one in items:
        failures = sum(key.startswith(f"failed/{one.item_id}/") for key in keys)
        is_done, is_dead = f"done/{one.item_id}" in keys, f"dead/{one.item_id}.json" in keys
        state = State.DONE if is_done else State.BURIED if is_dead else State.PENDING
        ends.append(End(state.value, world.processor.started.count(one.item_id), failures))
    return ends


@given(SCRIPTS)
@settings(deadline=None, max_examples=100)
def test_a_script_ends_as_it_does_with_the_product_s_own_consumer(script: Script) -> None:
    assert asyncio.run(_real(script)) == _simulated(script)


@pytest.mark.parametrize(
    ("script", "starts"),
    [
        pytest.param(Script([(8, 0, False), (8, 0, False), (1, 0, False)], 1, 2.4), [1, 0, 0], id="drains"),
        pytest.param(Script([(8, 0, True), (8, 0, True), (1, 0, False)], 3, 2.4, turns=1), [1, 0, 1], id="turns"),
        pytest.param(Script([(1, 0, False)] * 3, 1, 1002.4, most=2), [1, 1, 0], id="shares"),
        pytest.param(Script([(1, 1, False), (5, 0, False)], 4, 1002.4, most=9), [1, 1], id="empty polls"),
    ],
)
def test_the_comparison_sees_drains_turns_and_the_ends_of_jobs(script: Script, starts: list[int]) -> None:
    ends = _simulated(script)
    assert (starts, True) == ([end.starts for end in ends], "pending" in {end.state for end in ends})
    assert asyncio.run(_real(script)) == ends
