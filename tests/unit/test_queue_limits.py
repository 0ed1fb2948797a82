from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.queue import BATCH_LIMIT, MESSAGE_LIMIT, Message
from etl_core.queue.limits import batches, refusal


@settings(deadline=None)  # it measures megabytes, not time
@given(st.lists(st.integers(1, MESSAGE_LIMIT), max_size=40))
def test_batches_keep_order_and_both_limits(sizes: list[int]) -> None:
    entries = [(index, Message("x" * size)) for index, size in enumerate(sizes)]
    made = list(batches(entries))
    assert entries == [entry for batch in made for entry in batch]
    assert all(len(batch) <= BATCH_LIMIT for batch in made)
    assert all(sum(message.size() for _, message in batch) <= MESSAGE_LIMIT for batch in made)


def test_a_size_counts_names_types_and_bytes() -> None:
    assert len("é".encode()) + len("name") + len("String") + len("ü".encode()) == Message("é", {"name": "ü"}).size()


def test_an_ordinary_message_is_not_refused() -> None:
    assert refusal(0, Message("{}", {"traceparent": "00-x"})) is None
