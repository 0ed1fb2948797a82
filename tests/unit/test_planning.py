from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.queue import MESSAGE_LIMIT, Message
from etl_core.queue.limits import batches
from pipeline_controller.planning import (
    Decision,
    Look,
    Pace,
    Watch,
    pause_after,
)
from pipeline_processing.messages import group_of, message_for
from pipeline_processing.model import Item
from pipeline_processing.reports.estimate import Estimate

STALL = timedelta(minutes=10)


@given(st.lists(st.integers(min_value=1, max_value=300_000), max_size=60))
def test_an_estimate_counts_the_calls_that_the_queue_will_make(sizes: list[int]) -> None:
    messages = [Message("x" * size) for size in sizes]
    estimate = Estimate()
    for message in messages:
        estimate.add(message, inputs=2)
    made = list(batches(list(enumerate(messages))))
    billed = sum(math.ceil(sum(message.size() for _, message in batch) / 65536) for batch in made)
    assert (len(sizes), 2 * len(sizes), len(made)) == (estimate.items, estimate.inputs, estimate.sends)
    assert 2 * billed + math.ceil(len(sizes) / 10) == estimate.queue_requests


def test_a_million_small_items_cost_what_the_prices_say() -> None:
    estimate = Estimate()
    for _ in range(1_000_000):
        estimate.add(SMALL, inputs=1)
    assert 300_000 == estimate.queue_requests
    assert pytest.approx(0.12 + 5.01 + 0.4, abs=0.05) == estimate.dollars


SMALL = Message("x" * 500)


def looks(watch: Watch, *seen: tuple[float, int, bool]) -> list[Decision]:
    return [watch.see(Look(at, done, 0, is_empty)) for at, done, is_empty in seen]


def test_a_run_is_confirmed_when_as_many_are_over_as_were_planned() -> None:
    watch = Watch(10, STALL)
    assert "wait" == watch.see(Look(0, 8, 1, queue_is_empty=True))
    assert "confirm" == watch.see(Look(1, 8, 2, queue_is_empty=True))


def test_an_empty_queue_alone_is_no_stall() -> None:
    assert ["wait", "wait"] == looks(Watch(10, STALL), (0, 1, True), (599, 1, True))


def test_no_progress_alone_is_no_stall() -> None:
    assert ["wait"] * 3 == looks(Watch(10, STALL), (0, 1, False), (600, 1, False), (1200, 1, True))


def test_no_progress_and_two_empty_looks_are_a_stall_and_patience_starts_anew() -> None:
    seen = looks(Watch(10, STALL), (0, 1, True), (600, 1, True), (700, 1, True), (1200, 1, True))
    assert ["wait", "stalled", "wait", "stalled"] == seen


def test_progress_starts_the_patience_anew() -> None:
    assert ["wait"] * 3 == looks(Watch(10, STALL), (0, 1, True), (599, 2, True), (700, 2, True))


def test_looking_takes_at_most_a_tenth_of_the_time() -> None:
    assert timedelta(seconds=5) == pause_after(timedelta(seconds=5), timedelta(seconds=0.1))
    assert timedelta(seconds=90) == pause_after(timedelta(seconds=5), timedelta(seconds=10))


def test_the_pace_is_that_of_the_last_minute() -> None:
    pace = Pace()
    pace.add(0, 0)
    assert (0.0, None) == (pace.rate, pace.remaining(100))
    pace.add(10, 1000)
    for at in range(20, 200, 10):
        pace.add(at, 1000 + at)
    assert pytest.approx(1.0) == pace.rate
    assert timedelta(seconds=810) == pace.remaining(2000)


@pytest.mark.parametrize("agency_id", ["10", "a-b_c.d", "x" * 128])
def test_an_agency_is_its_own_group(agency_id: str) -> None:
    assert agency_id == group_of(agency_id)


@pytest.mark.parametrize("agency_id", ["Agency 7", "Zürich", "x" * 129, "a\tb"])
def test_an_agency_that_the_queue_would_not_take_is_grouped_by_a_digest(agency_id: str) -> None:
    assert 32 == len(group_of(agency_id))
    assert group_of(agency_id) == group_of(agency_id) != group_of(agency_id + "2")


def test_a_message_fits_the_queue_whatever_its_payload() -> None:
    item = Item("tiny", "a", {"text": "\ufffe\uffff\u0001" * 100_000})
    message = message_for("r1", item, part="p", resumed=False)
    assert message.size() < MESSAGE_LIMIT / 4
    small = message_for("r1", Item("tiny", "a", {"text": "\ufffe\uffff\u0001"}), part="p", resumed=True)
    assert not {"\ufffe", "\uffff", "\u0001"} & set(small.body)
