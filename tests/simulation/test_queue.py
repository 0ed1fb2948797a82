"""The simulated queue against what AWS documents of SQS, and against the product's own memory queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.agenda import Agenda
from tests.simulation.queue import IN_FLIGHT_LIMIT, Message, SimulatedQueue, State
from tests.simulation.scaling import Counts

from etl_core.queue import Message as ProductMessage
from etl_core.queue.memory import MemoryQueue
from etl_core.testing.fake_clock import FakeClock

LEASE = 30.0
DAY = 86_400.0


class Pair:
    """A queue with dead letters at the third receive's end, and a clock to move by hand."""

    def __init__(self, *, retention: float = 4 * DAY, dead_letter_retention: float = 14 * DAY) -> None:
        self.agenda = Agenda()
        self.moved: list[Any] = []
        self.dropped: list[Any] = []
        self.dead_letters = SimulatedQueue(self.agenda, retention=dead_letter_retention, dropped=self._drop)
        self.queue = SimulatedQueue(
            self.agenda,
            retention=retention,
            max_receives=3,
            dead_letters=self.dead_letters,
            moved=lambda message: self.moved.append(message.body),
            dropped=self._drop,
        )

    def _drop(self, message: Message) -> None:
        self.dropped.append(message.body)

    def wait(self, seconds: float) -> None:
        self.agenda.run(self.agenda.now + seconds, lambda: False)

    def bodies(self, limit: int = 10, lease: float = LEASE) -> list[Any]:
        return [message.body for message in self.queue.receive(limit, lease)]


def test_a_received_message_is_hidden_for_its_lease_and_comes_back_with_a_new_receipt() -> None:
    pair = Pair()
    pair.queue.send("a")
    (first,) = pair.queue.receive(1, LEASE)
    pair.wait(LEASE - 0.001)
    assert [] == pair.bodies()
    pair.wait(0.001)
    (again,) = pair.queue.receive(1, LEASE)
    assert (first, 2) == (again, again.receives)


def test_a_receive_gives_ten_at_most() -> None:
    pair = Pair()
    for number in range(12):
        pair.queue.send(number)
    assert list(range(10)) == pair.bodies(50)
    assert [10, 11] == pair.bodies(50)


def test_an_extension_counts_from_now_and_not_beyond_twelve_hours_from_the_receive() -> None:
    pair = Pair()
    pair.queue.send("a")
    (message,) = pair.queue.receive(1, LEASE)
    pair.wait(20)
    assert pair.queue.extend(message, 1, LEASE)
    pair.wait(29)
    assert Counts(0, 1, 0, 49.0) == pair.queue.counts()
    assert not pair.queue.extend(message, 1, 12 * 3600 - 48)
    assert pair.queue.extend(message, 1, 12 * 3600 - 49)


def test_only_the_newest_receipt_extends_and_deletes() -> None:
    pair = Pair()
    pair.queue.send("a")
    (message,) = pair.queue.receive(1, 1.0)
    pair.wait(1)
    pair.bodies()
    assert not pair.queue.extend(message, 1, LEASE)
    assert not pair.queue.delete(message, 1)
    assert pair.queue.delete(message, 2)
    assert not pair.queue.delete(message, 2)
    assert Counts(0) == pair.queue.counts()


def test_what_was_received_three_times_goes_to_the_dead_letters_at_the_fourth_with_its_first_send_time() -> None:
    pair = Pair()
    pair.wait(5)
    pair.queue.send("poison")
    for _ in range(3):
        assert ["poison"] == pair.bodies(lease=LEASE)
        pair.wait(LEASE)
    assert ([], ["poison"]) == (pair.bodies(), pair.moved)
    assert Counts(1, oldest=3 * LEASE) == pair.dead_letters.counts()


@pytest.mark.parametrize("holds", [False, True])
def test_retention_counts_from_the_send_also_while_a_message_is_held(*, holds: bool) -> None:
    pair = Pair(retention=100)
    pair.queue.send("a")
    if holds:
        pair.queue.receive(1, 1000)
    pair.wait(99.9)
    pair.queue.counts()
    assert [] == pair.dropped
    pair.wait(0.1)
    assert (Counts(0), ["a"]) == (pair.queue.counts(), pair.dropped)


def test_a_dead_letter_is_dropped_by_the_age_that_it_brought_along() -> None:
    pair = Pair(retention=100, dead_letter_retention=120)
    pair.queue.send("poison")
    for _ in range(3):
        pair.bodies(lease=LEASE)
        pair.wait(LEASE)
    pair.bodies()
    pair.wait(29)
    assert 1 == pair.dead_letters.counts().visible
    pair.wait(1)
    assert (0, ["poison"]) == (pair.dead_letters.counts().visible, pair.dropped)


def test_at_the_limit_in_flight_a_receive_comes_back_empty() -> None:
    pair = Pair()
    for number in range(IN_FLIGHT_LIMIT + 1):
        pair.queue.send(number)
    while got := pair.queue.receive(10, LEASE):
        last = got[-1]
    assert (1, IN_FLIGHT_LIMIT) == (pair.queue.visible, pair.queue.in_flight)
    assert pair.queue.is_full()
    pair.queue.delete(last, 1)
    assert [IN_FLIGHT_LIMIT] == pair.bodies()


def test_a_message_may_be_handed_out_twice() -> None:
    pair = Pair()
    pair.queue.send("a", doubles=1)
    assert (["a"], ["a"], []) == (pair.bodies(), pair.bodies(), pair.bodies())


def test_what_is_told_of_the_counts_is_up_to_a_minute_old() -> None:
    pair, chance = Pair(), Random(1)
    ages = []
    for number in range(200):
        pair.queue.send(number)
        ages.append(pair.queue.visible - pair.queue.approximate(chance, 60.0).visible)
        pair.wait(1)
    assert (0, True) == (min(ages), 30 < max(ages) <= 60)


def test_who_waits_is_woken_by_a_send_a_return_and_the_end_of_a_lease() -> None:
    pair = Pair()
    woken: list[float] = []

    def wake() -> None:
        woken.append(pair.agenda.now)

    for act in (
        lambda: pair.queue.send("a"),
        lambda: pair.queue.extend(*pair.queue.receive(1, LEASE), 1, 0.0),
        lambda: pair.queue.receive(1, LEASE),
    ):
        pair.queue.wait(wake)
        act()
        pair.wait(LEASE)
    assert [0.0, 30.0, 90.0] == woken


class Step(NamedTuple):
    act: str
    which: int
    seconds: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["send", "delay", "receive", "receive", "extend", "release", "delete", "wait"]),
        st.integers(0, 11),
        st.sampled_from([0, 1, 5, 30, 60, 3600, 43_200]),
    ),
    max_size=60,
)


class Answers(list[object]):
    """What a queue said to each step, as tuples that two queues can be compared by."""


def _simulated(steps: list[Step]) -> Answers:
    pair, answers = Pair(retention=14 * DAY), Answers()
    held: list[tuple[Message, int]] = []
    numbers = iter(range(1000))
    for step in steps:
        match step.act:
            case "send":
                pair.queue.send(next(numbers))
            case "delay":
                pair.queue.send(next(numbers), delay=float(min(step.seconds, 900)))
            case "receive":
                got = pair.queue.receive(step.which, float(step.seconds))
                held += [(message, message.receives) for message in got]
                answers.append([(message.body, message.receives) for message in got])
            case "wait":
                pair.wait(float(step.seconds))
            case act if held:
                message, receipt = held[step.which % len(held)]
                if act == "delete":
                    pair.queue.delete(message, receipt)
                else:
                    lease = 0.0 if act == "release" else float(step.seconds)
                    answers.append(pair.queue.extend(message, receipt, lease))
        counts = pair.queue.counts()
        answers.append((counts.visible, counts.in_flight, counts.delayed, pair.dead_letters.counts().visible))
    return answers


async def _remembered(steps: list[Step]) -> Answers:
    clock, answers = FakeClock(), Answers()
    dead_letters = MemoryQueue("dead", clock)
    queue = MemoryQueue("queue", clock, max_receive_count=3, dead_letter_queue=dead_letters)
    held: list[str] = []
    numbers = iter(range(1000))
    for step in steps:
        duration = timedelta(seconds=step.seconds)
        match step.act:
            case "send":
                await queue.send([ProductMessage(str(next(numbers)))])
            case "delay":
                await queue.send([ProductMessage(str(next(numbers)), delay=min(duration, timedelta(minutes=15)))])
            case "receive":
                got = await queue.receive(limit=step.which, wait=timedelta(0), lease=duration)
                held += [delivery.receipt for delivery in got]
                answers.append([(int(delivery.body), delivery.receive_count) for delivery in got])
            case "wait":
                await clock.advance(duration)
            case act if held:
                receipt = held[step.which % len(held)]
                if act == "delete":
                    await queue.delete([receipt])
                else:
                    report = await queue.extend([receipt], timedelta(0) if act == "release" else duration)
                    answers.append(bool(report.succeeded))
        depth, dead = await queue.depth(), await dead_letters.depth()
        answers.append((depth.visible, depth.in_flight, depth.delayed, dead.visible))
    return answers


@given(STEPS)
@settings(deadline=None, max_examples=300)
def test_it_answers_any_script_as_the_product_s_memory_queue_does(steps: list[Step]) -> None:
    assert asyncio.run(_remembered(steps)) == _simulated(steps)


def test_a_message_that_is_gone_is_in_no_count() -> None:
    pair = Pair()
    message = pair.queue.send("a")
    pair.queue.receive(1, LEASE)
    pair.queue.delete(message, 1)
    pair.wait(LEASE)
    assert (State.GONE, Counts(0)) == (message.state, pair.queue.counts())
