"""The autoscalers' rules, held against the worked examples of KEDA's and Kubernetes' own documents."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from tests.simulation.scaling import (
    SYNC,
    Autoscaler,
    Counts,
    Moment,
    Trigger,
    ended_by_rollout,
    growth_limit,
    new_jobs,
    proposal,
    recommendation,
    shrinkage_limit,
    stabilised,
    triggers,
)

from pipeline_processing.deployment import Scaling

if TYPE_CHECKING:
    from collections.abc import Sequence

FAST = {"percent": 900, "pods": 1, "period_seconds": 15}
AT_ONCE = {"percent": 100, "period_seconds": 15, "stabilization_window_seconds": 0}


def scaling(**fields: object) -> Scaling:
    return Scaling.model_validate({"min": 0, "max": 100, "queue_length": 5, "polling_interval": 15} | fields)


def ran(autoscaler: Autoscaler, looks: Sequence[Counts | None], pods: int, *, since: float = 0.0) -> list[int]:
    """Return the pods after each look; both KEDA and the HPA look every 15 seconds."""
    after = []
    for number, counts in enumerate(looks):
        pods = autoscaler.observe(since + number * SYNC, counts, pods)
        after.append(pods)
    return after


# The metric


@pytest.mark.parametrize(
    ("in_flight_counts", "expected"), [(True, 12), (False, 7)], ids=["in flight counts", "in flight does not"]
)
def test_the_length_of_a_queue_holds_what_is_in_flight_only_where_asked(in_flight_counts: bool, expected: int) -> None:  # noqa: FBT001 - a parameter of pytest
    [length] = triggers(scaling(scale_on_in_flight=in_flight_counts), Counts(visible=7, in_flight=5, delayed=100))
    assert expected == length.value


def test_the_age_of_the_oldest_message_is_a_second_trigger() -> None:
    found = triggers(scaling(queue_age={"enabled": True, "threshold": 300}), Counts(visible=3, oldest=900))
    assert [Trigger(3, 5, 0), Trigger(900, 300, 0)] == found


@pytest.mark.parametrize(("value", "expected"), [(10, False), (11, True), (None, False)])
def test_a_trigger_is_active_strictly_above_its_activation(value: float | None, expected: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    assert expected == Trigger(value, target=5, activation=10).is_active


@pytest.mark.parametrize(
    ("value", "target", "replicas", "expected"),
    [
        (200, 100, 1, 2),  # Kubernetes: twice the target doubles the replicas
        (50, 100, 2, 1),  # Kubernetes: half of it halves them
        (33, 5, 3, 7),  # rounded up
        (0, 5, 3, 0),
        (7, 5, 0, 2),  # of none, any message is infinitely far from the target
    ],
)
def test_a_metric_asks_for_its_total_by_the_target(value: float, target: float, replicas: int, expected: int) -> None:
    assert expected == proposal(Trigger(value, target), replicas)


@pytest.mark.parametrize(("value", "expected"), [(90, 10), (110, 10), (111, 12), (89, 9)])
def test_a_metric_within_a_tenth_of_its_target_moves_nothing(value: int, expected: int) -> None:
    assert expected == proposal(Trigger(value, target=10), replicas=10)


def test_the_largest_proposal_counts() -> None:
    assert 7 == recommendation([3, 7], replicas=5)


def test_a_metric_that_can_not_be_read_forbids_going_down_but_not_up() -> None:
    assert [None, 7, None] == [recommendation(read, replicas=5) for read in ([3, None], [7, None], [None])]


# Rates: the stories of KEP-853 and the example of Kubernetes' page on the HPA


def test_nine_hundred_percent_make_ten_of_one_and_a_hundred_of_ten() -> None:
    assert [10, 100, 1000] == [
        growth_limit(pods, [], 60, scaling(scale_up={"percent": 900, "pods": 1}).scale_up) for pods in (1, 10, 100)
    ]


def test_of_two_policies_the_one_that_allows_more_counts() -> None:
    usual = scaling(scale_up={"percent": 100, "pods": 4, "period_seconds": 15}).scale_up
    assert [5, 8, 10] == [growth_limit(pods, [], 60, usual) for pods in (1, 4, 5)]


def test_a_rate_counts_what_was_added_in_its_period_already() -> None:
    rule = scaling(scale_up={"percent": 1, "pods": 4, "period_seconds": 60}).scale_up
    assert [12, 14] == [growth_limit(12, [Moment(at, 2), Moment(31, 2)], 90, rule) for at in (31, 30)]


def test_ten_percent_take_eight_of_eighty_and_then_eight_of_seventy_two() -> None:
    rule = scaling(scale_down={"percent": 10, "period_seconds": 60}).scale_down
    assert [72, 64] == [shrinkage_limit(pods, [], 60, rule) for pods in (80, 72)]


def test_ten_percent_take_one_pod_however_few_there_are() -> None:
    rule = scaling(scale_down={"percent": 10, "period_seconds": 60}).scale_down
    assert [8, 1, 0] == [shrinkage_limit(pods, [], 60, rule) for pods in (9, 2, 1)]


def test_pods_taken_away_in_a_period_use_its_allowance_up() -> None:
    rule = scaling(scale_down={"percent": 10, "period_seconds": 60}).scale_down
    assert [18, 16] == [shrinkage_limit(18, [Moment(at, -2)], 90, rule) for at in (31, 30)]


# Windows: stories 5 and 6 of KEP-853, a look a minute


def test_of_ten_minutes_of_recommendations_the_highest_counts_for_going_down() -> None:
    recommended = [10, 9, 8, 9, 9, 8, 9, 8, 9, 8, 7]
    past = [Moment(60.0 * minute, pods) for minute, pods in enumerate(recommended)]
    decided = [stabilised(past[at].pods, 10, past[:at], past[at].at, up=0, down=600) for at in (9, 10)]
    assert [10, 9] == decided


def test_of_five_minutes_of_recommendations_the_lowest_counts_for_going_up() -> None:
    recommended = [2, 3, 19, 10, 3, 4, 7]
    past = [Moment(60.0 * minute, pods) for minute, pods in enumerate(recommended)]
    decided = [
        stabilised(past[at].pods, 2, past[:at], past[at].at, up=seconds, down=0) for at, seconds in ((5, 301), (6, 300))
    ]
    assert [2, 3] == decided


def test_without_a_window_the_newest_recommendation_counts() -> None:
    assert [9, 1] == [stabilised(wish, 5, [Moment(14, 5)], 15, up=0, down=0) for wish in (9, 1)]


# What KEDA does: none and some


def test_keda_wakes_one_pod_at_its_poll_and_the_hpa_adds_the_rest_at_its_sync() -> None:
    autoscaler = Autoscaler(scaling(polling_interval=10, scale_up=FAST))
    assert [0, 0] == [autoscaler.next_look, autoscaler.observe(0, Counts(0), 0)]
    assert [10, 1] == [autoscaler.next_look, autoscaler.observe(10, Counts(50), 0)]
    assert [15, 10] == [autoscaler.next_look, autoscaler.observe(15, Counts(50), 1)]


def test_a_look_that_is_not_due_changes_nothing() -> None:
    autoscaler = Autoscaler(scaling())
    autoscaler.observe(0, Counts(0), 0)
    assert 0 == autoscaler.observe(14.9, Counts(50), 0)


def test_as_many_messages_as_the_activation_wake_nobody() -> None:
    picky = scaling(activation_queue_length=10)
    assert [0, 1] == [Autoscaler(picky, phase=5).observe(0, Counts(length), 0) for length in (10, 11)]


def test_the_hpa_takes_no_pod_below_one_and_keda_takes_the_last_after_the_cooldown() -> None:
    autoscaler = Autoscaler(scaling(cooldown_period=60, scale_down=AT_ONCE))
    assert [4, 1, 1, 1, 1, 0] == ran(autoscaler, [Counts(20)] + [Counts(0)] * 5, 4)


def test_the_cooldown_ends_all_pods_at_once_whatever_window_and_rate_say() -> None:
    slow = {"percent": 10, "period_seconds": 60, "stabilization_window_seconds": 300}
    autoscaler = Autoscaler(scaling(cooldown_period=30, scale_down=slow))
    assert [4, 4, 4, 0] == ran(autoscaler, [Counts(20)] + [Counts(0)] * 3, 4)


def test_a_message_during_the_cooldown_begins_it_anew() -> None:
    autoscaler = Autoscaler(scaling(cooldown_period=30))
    looks = [Counts(1), Counts(0), Counts(0), Counts(1), Counts(0), Counts(0), Counts(0)]
    assert [1, 1, 1, 1, 1, 1, 0] == ran(autoscaler, looks, 1)


def test_pods_that_keda_has_never_seen_active_go_without_a_cooldown() -> None:
    assert 0 == Autoscaler(scaling(cooldown_period=300)).observe(0, Counts(0), 3)


def test_a_pool_with_a_minimum_is_never_taken_below_it() -> None:
    autoscaler = Autoscaler(scaling(min=2, cooldown_period=0, scale_down=AT_ONCE))
    assert [2, 2, 2] == ran(autoscaler, [Counts(0)] * 3, 0)


def test_more_pods_than_the_maximum_are_taken_away_at_once() -> None:
    assert 100 == Autoscaler(scaling()).observe(0, Counts(10_000), 120)


def test_a_pool_of_a_fixed_size_is_never_looked_at() -> None:
    autoscaler = Autoscaler(scaling(kind="fixed", min=3))
    assert (inf, 3) == (autoscaler.next_look, autoscaler.observe(0, Counts(10_000), 1))


# The chart's defaults, over minutes


def test_the_defaults_add_four_pods_or_double_every_ninety_seconds() -> None:
    autoscaler = Autoscaler(Scaling(), phase=5)
    assert 1 == autoscaler.observe(0, Counts(100_000), 0)
    after = ran(autoscaler, [Counts(100_000)] * 14, 1, since=5)
    assert [5] * 6 + [10] * 6 + [20] * 2 == after


def test_the_defaults_hold_all_pods_for_two_minutes_after_the_peak() -> None:
    autoscaler = Autoscaler(Scaling())
    ran(autoscaler, [Counts(100_000)] * 20, 1)
    after = ran(autoscaler, [Counts(10)] * 10, 20, since=300)
    assert [20] * 7 + [2] * 3 == after


# When SQS does not answer


def test_the_fallback_holds_after_more_failures_than_its_threshold() -> None:
    autoscaler = Autoscaler(scaling(fallback={"failure_threshold": 3, "replicas": 6}, scale_up=FAST))
    assert [4, 4, 4, 4, 6, 6] == ran(autoscaler, [Counts(20)] + [None] * 5, 4)


def test_the_fallback_takes_no_pod_away() -> None:
    autoscaler = Autoscaler(scaling(fallback={"failure_threshold": 1, "replicas": 2}, scale_down=AT_ONCE))
    assert [4, 4, 4, 4, 4] == ran(autoscaler, [Counts(20)] + [None] * 4, 4)


def test_an_answer_ends_the_count_of_failures() -> None:
    autoscaler = Autoscaler(scaling(fallback={"failure_threshold": 1, "replicas": 6}, scale_up=FAST))
    assert [4, 4, 4, 4, 6] == ran(autoscaler, [Counts(20), None, Counts(20), None, None], 4)


def test_a_pool_of_none_stays_of_none_while_nobody_can_count() -> None:
    autoscaler = Autoscaler(scaling(fallback={"failure_threshold": 0, "replicas": 6}))
    assert [0, 0, 0, 0] == ran(autoscaler, [None] * 4, 0)


def test_pods_outlast_the_cooldown_while_nobody_can_count() -> None:
    autoscaler = Autoscaler(scaling(cooldown_period=15, fallback={"failure_threshold": 100, "replicas": 1}))
    assert [2, 2, 2, 2, 2] == ran(autoscaler, [Counts(10)] + [None] * 4, 2)


# ScaledJob: the examples of its specification


def test_a_job_is_made_for_each_message_that_has_none_yet() -> None:
    one_each = scaling(queue_length=1)
    made = [
        new_jobs(one_each, Counts(visible=all_of_them), running=running)
        for all_of_them, running in ((3, 0), (3, 3), (6, 3))
    ]
    assert [3, 0, 3] == made


def test_jobs_end_with_their_messages_so_that_no_new_ones_are_made() -> None:
    assert 0 == new_jobs(scaling(queue_length=1), Counts(visible=0, in_flight=3), running=3)


def test_jobs_are_never_more_than_the_maximum() -> None:
    few = scaling(queue_length=1, max=10)
    assert [7, 0] == [new_jobs(few, Counts(visible=50), running=running) for running in (3, 10)]


def test_a_minimum_of_jobs_is_kept_without_messages() -> None:
    assert [2, 0] == [new_jobs(scaling(min=2, queue_length=1), Counts(0), running=running) for running in (0, 2)]


def test_the_default_strategy_over_unlocked_messages_makes_too_few_jobs_and_accurate_makes_them() -> None:
    unlocked = scaling(queue_length=1, scale_on_in_flight=False)
    waiting = Counts(visible=3, in_flight=3)
    strategies: list[Any] = ["default", "accurate"]
    assert [0, 3] == [new_jobs(unlocked, waiting, running=3, strategy=strategy) for strategy in strategies]


def test_accurate_does_not_make_a_job_twice_while_the_first_has_not_begun() -> None:
    unlocked = scaling(queue_length=1, scale_on_in_flight=False)
    assert 1 == new_jobs(unlocked, Counts(visible=3), running=2, pending=2, strategy="accurate")


def test_a_gradual_rollout_ends_no_job_and_an_immediate_one_ends_all() -> None:
    assert [0, 4] == [ended_by_rollout("gradual", 4), ended_by_rollout("immediate", 4)]
