from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.retry import Backoff

BACKOFF = Backoff(base=timedelta(seconds=2), cap=timedelta(minutes=1))


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (7, 30), (10_000, 30)])
def test_the_middle_of_the_jitter_is_half_of_a_doubling_capped_ceiling(attempt: int, seconds: int) -> None:
    assert timedelta(seconds=seconds) == BACKOFF.delay(attempt, 0.5)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_over_its_cap_nor_under_its_floor(attempt: int, jitter: float) -> None:
    backoff = Backoff(base=timedelta(seconds=2), cap=timedelta(minutes=1), floor=timedelta(seconds=1))
    assert timedelta(seconds=1) <= backoff.delay(attempt, jitter) <= timedelta(minutes=1)


def test_full_jitter_reaches_down_to_nothing() -> None:
    assert timedelta(0) == BACKOFF.delay(9, 0.0)


def test_an_attempt_counts_from_one() -> None:
    with pytest.raises(ValueError, match="counts from 1, got 0"):
        BACKOFF.delay(0, 0.5)
