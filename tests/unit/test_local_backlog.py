from __future__ import annotations

import asyncio
import copy
import random
from typing import Any

import pytest

from pipeline_local.launcher.backlog import Backlog, Counts
from pipeline_local.launcher.sorted_keys import SortedKeys, page_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def message(name: str, *, visible_at: float = 0.0) -> dict[str, Any]:
    return {"id": name, "visible_at": visible_at, "receive_count": 0, "receipt_handle": None, "first_receive_at": None}


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_deep_backlog_is_drained_without_scanning_it(clock: Clock) -> None:
    """A scan at each receive would take 5 * 10^9 steps: the test would not end."""
    backlog = Backlog((message(str(number)) for number in range(100_000)), clock=clock)
    drained = 0
    while batch := backlog.take(10, 30):
        drained += len(batch)
        for one in batch:
            backlog.remove(one["receipt_handle"])
    assert 100_000 == drained
    assert 0 == len(backlog)


def test_a_message_comes_back_when_its_visibility_ends(clock: Clock) -> None:
    backlog = Backlog([message("a")], clock=clock)
    [first] = backlog.take(10, 30)
    receipt = first["receipt_handle"]
    assert [] == backlog.take(10, 30)
    clock.now += 30
    [again] = backlog.take(10, 30)
    assert 2 == again["receive_count"]
    assert receipt != again["receipt_handle"]


def test_an_extended_message_stays_hidden(clock: Clock) -> None:
    backlog = Backlog([message("a")], clock=clock)
    [taken] = backlog.take(1, 30)
    clock.now += 20
    backlog.hide(taken["receipt_handle"], 30, longest=100)
    clock.now += 29
    assert [] == backlog.take(1, 30)
    with pytest.raises(OverflowError):
        backlog.hide(taken["receipt_handle"], 100, longest=100)
    clock.now += 1
    with pytest.raises(KeyError):
        backlog.hide(taken["receipt_handle"], 30, longest=100)


def test_giving_back_leaves_no_trace(clock: Clock) -> None:
    backlog = Backlog([message("a")], clock=clock)
    [taken] = backlog.take(1, 30)
    backlog.give_back(taken)
    assert Counts(visible=1, in_flight=0, delayed=0) == backlog.counts()
    assert [1] == [one["receive_count"] for one in backlog.take(1, 30)]


def test_what_is_refused_leaves_the_queue(clock: Clock) -> None:
    backlog = Backlog([message("poison"), message("good")], clock=clock)
    assert ["good"] == [one["id"] for one in backlog.take(10, 30, lambda one: one["id"] == "poison")]
    assert 1 == len(backlog)


def test_any_history_keeps_every_message_in_one_state(clock: Clock) -> None:
    chance = random.Random(7)
    backlog = Backlog(clock=clock)
    alive: set[str] = set()
    receipts: list[str] = []
    for step in range(5000):
        clock.now += chance.random()
        match chance.randrange(5):
            case 0:
                backlog.append(message(str(step), visible_at=clock.now + chance.choice([0, 0, 5])))
                alive.add(str(step))
            case 1 | 2:
                receipts += [
                    one["receipt_handle"] for one in backlog.take(chance.randint(1, 10), chance.choice([0, 3, 30]))
                ]
            case 3 if receipts:
                receipt = receipts.pop(chance.randrange(len(receipts)))
                before = {one["id"] for one in backlog}
                backlog.remove(receipt)
                alive -= before - {one["id"] for one in backlog}
            case 4 if receipts:
                try:
                    backlog.hide(chance.choice(receipts), chance.choice([0, 10]), longest=100)
                except (KeyError, OverflowError):
                    continue
        counts = backlog.counts()
        assert len(alive) == counts.visible + counts.in_flight + counts.delayed
        assert alive == {one["id"] for one in backlog}


async def test_a_waiter_wakes_for_a_message_appended_by_another_thread() -> None:
    backlog = Backlog()
    waiter = asyncio.create_task(backlog.changed(20))
    await asyncio.sleep(0)
    await asyncio.to_thread(backlog.append, message("a"))
    await asyncio.wait_for(waiter, 10)
    assert ["a"] == [one["id"] for one in backlog.take(1, 30)]


def test_saved_messages_keep_their_receipts(clock: Clock) -> None:
    backlog = Backlog([message("a"), message("b")], clock=clock)
    [taken] = backlog.take(1, 30)
    restored = Backlog(copy.deepcopy(backlog), clock=clock)
    restored.remove(taken["receipt_handle"])
    assert ["b"] == [one["id"] for one in restored]


def test_pages_agree_with_a_plain_sort_at_any_size() -> None:
    chance = random.Random(3)
    keys = SortedKeys({})
    for _ in range(300):
        keys["".join(chance.choices("ab/é😀", k=chance.randint(1, 5)))] = None
    for key in chance.sample(sorted(keys), 50):
        del keys[key]
    for delimiter in ("", "/"):
        for prefix in ("", "a", "a/", "é"):
            rows = []
            for key in sorted((key for key in keys if key.startswith(prefix)), key=str.encode):
                end = key.find("/", len(prefix)) if delimiter else -1
                row = key[: end + 1] if end >= 0 else key
                if row not in rows:
                    rows.append(row)
            for size in (1, 2, 7, 1000):
                found, start = [], ""
                while True:
                    page = page_of(keys.ordered, prefix, delimiter, size, start)
                    found += sorted(page.keys + page.prefixes)
                    if not page.is_truncated:
                        break
                    start = page.marker
                assert rows == found
