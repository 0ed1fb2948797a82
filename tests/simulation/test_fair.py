"""Fair queues: held against how Amazon says that they work."""

from __future__ import annotations

from types import SimpleNamespace

from tests.simulation.agenda import Agenda
from tests.simulation.fair import LEAST, FairQueue
from tests.simulation.world import Item


def filled(*agencies: int) -> FairQueue:
    queue = FairQueue(Agenda(), retention=3600.0)
    for agency in agencies:
        queue.send(SimpleNamespace(item=Item(agency=agency), messages=1))
    return queue


def taken(queue: FairQueue, number: int) -> list[int]:
    return [message.body.item.agency for _ in range(number) for message in queue.receive(1, lease=60.0)]


def test_without_a_noisy_group_the_oldest_message_is_first() -> None:
    assert [7, 3, 7, 5] == taken(filled(7, 3, 7, 5), 4)


def test_a_group_with_thirty_and_a_tenth_of_those_in_flight_waits_for_the_quiet_ones() -> None:
    queue = filled(*[0] * 100, 1, 2, 1)
    assert ([0] * LEAST, [1, 2, 1], [0] * 70) == (taken(queue, LEAST), taken(queue, 3), taken(queue, 99))


def test_a_group_with_fewer_than_thirty_in_flight_is_quiet_whatever_its_share() -> None:
    assert [0] * (LEAST - 1) == taken(filled(*[0] * 100, 1), LEAST - 1)


def test_a_group_is_quiet_again_once_its_messages_are_deleted() -> None:
    queue = filled(*[0] * 100, 1, 1)
    for _ in range(LEAST):
        [message] = queue.receive(1, lease=60.0)
        queue.delete(message, message.receives)
    assert [0] == taken(queue, 1)


def test_a_message_that_is_given_back_goes_behind_its_group() -> None:
    queue = filled(4, 9, 4)
    [first] = queue.receive(1, lease=60.0)
    queue.extend(first, first.receives, 0.0)
    assert [9, 4, 4] == taken(queue, 3)
