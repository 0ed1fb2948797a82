from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.retry import Backoff
from pipeline_processing.model import Failure, ItemResult
from pipeline_processing.settlement import (
    Abandon,
    Ack,
    AlreadyDone,
    Bury,
    Cancelled,
    Failed,
    Interrupted,
    LostLease,
    Malformed,
    Outcome,
    Release,
    Retry,
    RetryPolicy,
    Succeeded,
    Unrecorded,
    settle,
)

DURATIONS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=13))
FAILURES = st.builds(Failure, st.just("E"), st.text(), st.just("0" * 12), st.booleans())
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Succeeded(ItemResult("0" * 32, "done", {"copied": 1}))),
    st.sampled_from([AlreadyDone(), Cancelled(), Interrupted(), LostLease()]),
    st.builds(Failed, FAILURES, st.none() | DURATIONS),
    st.builds(Malformed, st.text()),
    st.builds(Unrecorded, FAILURES),
)
ATTEMPTS = st.integers(min_value=1, max_value=10_000)
POLICIES = st.builds(
    RetryPolicy,
    st.integers(min_value=1, max_value=20),
    st.builds(Backoff, DURATIONS.filter(bool), st.just(timedelta(minutes=15))),
)
JITTERS = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(OUTCOMES, ATTEMPTS, POLICIES, JITTERS)
def test_every_outcome_is_settled_by_the_same_rules(
    outcome: Outcome, attempt: int, policy: RetryPolicy, jitter: float
) -> None:
    settlement = settle(outcome, attempt=attempt, policy=policy, jitter=jitter)
    match outcome:
        case Succeeded() | AlreadyDone() | Cancelled():
            assert Ack() == settlement
        case Failed(failure=failure) if not failure.transient:
            assert Bury("permanent") == settlement
        case Failed() if attempt < policy.max_attempts:
            assert isinstance(settlement, Retry)
        case Failed():
            assert Bury("attempts_exhausted") == settlement
        case Malformed():
            assert Bury("malformed") == settlement
        case Unrecorded():
            assert isinstance(settlement, Retry)
        case Interrupted():
            assert Release() == settlement
        case LostLease():
            assert Abandon() == settlement


@given(OUTCOMES, ATTEMPTS, POLICIES, JITTERS)
def test_only_a_malformed_or_failed_item_is_ever_buried(
    outcome: Outcome, attempt: int, policy: RetryPolicy, jitter: float
) -> None:
    if isinstance(settle(outcome, attempt=attempt, policy=policy, jitter=jitter), Bury):
        assert isinstance(outcome, Malformed | Failed)


@given(OUTCOMES, ATTEMPTS, POLICIES, JITTERS)
def test_a_wait_is_never_negative_nor_longer_than_the_cap(
    outcome: Outcome, attempt: int, policy: RetryPolicy, jitter: float
) -> None:
    settlement = settle(outcome, attempt=attempt, policy=policy, jitter=jitter)
    if isinstance(settlement, Retry):
        assert timedelta(0) <= settlement.after <= policy.backoff.cap


@pytest.mark.parametrize(
    ("wish", "after"),
    [(None, 4), (timedelta(seconds=3), 4), (timedelta(seconds=9), 9), (timedelta(hours=2), 60)],
    ids=["none", "shorter", "longer", "beyond the cap"],
)
def test_the_causes_own_wish_lengthens_the_wait_up_to_the_cap(wish: timedelta | None, after: int) -> None:
    policy = RetryPolicy(5, Backoff(timedelta(seconds=4), timedelta(minutes=1)))
    outcome = Failed(Failure("E", "m", "0" * 12, transient=True), wish)
    assert Retry(timedelta(seconds=after)) == settle(outcome, attempt=2, policy=policy, jitter=0.5)
