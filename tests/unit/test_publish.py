from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from pipeline_processing.conservation import Balance, Conservation
from pipeline_processing.manifest import Tally
from pipeline_processing.publish import may_publish, shortfalls
from pipeline_processing.tolerance import Tolerance


def saw(*, done: int = 0, dead: int = 0, pending: int = 0, failed: int = 0) -> Conservation:
    """Return what a run with two inputs an item came to."""
    states = {"done": Tally(done, 2 * done), "dead": Tally(dead, 2 * dead), "pending": Tally(pending, 2 * pending)}
    items = done + dead + pending
    return Conservation(total=Balance(planned=Tally(items, 2 * items), **states, failed_inputs=failed))


NONE, ALL = Tolerance.parse("0"), Tolerance.parse("100%")


def test_a_whole_run_is_published_without_a_word() -> None:
    assert may_publish(saw(done=5), NONE)
    assert ([], True) == shortfalls(saw(done=5), NONE)


def test_an_empty_run_is_whole() -> None:
    assert may_publish(saw(), NONE)
    assert ([], True) == shortfalls(saw(), NONE)


def test_what_is_pending_is_never_tolerated() -> None:
    conservation = saw(done=9, pending=1)
    assert not may_publish(conservation, ALL)
    assert (["pending: 1 item (2 inputs)"], False) == shortfalls(conservation, ALL)


def test_dead_items_are_counted_by_their_inputs() -> None:
    conservation = saw(done=9, dead=1)
    assert not may_publish(conservation, Tolerance.parse("1"))
    assert may_publish(conservation, Tolerance.parse("2"))
    assert may_publish(conservation, Tolerance.parse("10%"))
    assert not may_publish(conservation, Tolerance.parse("9.9%"))


def test_failed_inputs_of_done_items_hold_no_publish_up_but_are_not_green() -> None:
    conservation = saw(done=10, failed=1)
    assert may_publish(conservation, NONE)
    assert (["failed inside items that are done: 1 input"], False) == shortfalls(conservation, NONE)
    assert shortfalls(conservation, Tolerance.parse("1"))[1]


def test_dead_and_failed_inputs_add_up() -> None:
    conservation = saw(done=9, dead=1, failed=1)
    assert not shortfalls(conservation, Tolerance.parse("2"))[1]
    assert shortfalls(conservation, Tolerance.parse("3"))[1]


def test_a_dead_item_without_inputs_counts_as_one() -> None:
    conservation = Conservation(total=Balance(planned=Tally(1, 0), dead=Tally(1, 0)))
    assert not may_publish(conservation, NONE)


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_exactly_the_share_is_allowed_and_not_one_more(failed: int, planned: int) -> None:
    failed = min(failed, planned)
    assert Tolerance.parse("100%").allows(failed, planned)
    assert (failed * 2 <= planned) == Tolerance.parse("50%").allows(failed, planned)
    assert (failed <= 3) == Tolerance.parse("3").allows(failed, planned)


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", "101%", "5 %", "many", "1e3", "0x1", "%", "9" * 5000, "0." + "9" * 5000 + "%", "\u0663"]
)
def test_what_is_no_tolerance_is_a_clear_error(text: str) -> None:
    with pytest.raises(ConfigError, match="neither a count nor a percentage"):
        Tolerance.parse(text)


def test_the_error_of_an_endless_tolerance_is_short() -> None:
    with pytest.raises(ConfigError) as caught:
        Tolerance.parse("9" * 5000)
    assert len(str(caught.value)) < 300
