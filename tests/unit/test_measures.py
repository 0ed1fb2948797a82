from __future__ import annotations

from datetime import timedelta

import pytest

from etl_core.queue import Delivery
from etl_core.testing.fake_clock import EPOCH
from pipeline_processing import __version__
from pipeline_processing.model import Failure
from pipeline_processing.settlement import Abandon, Bury, Failed, LostLease, Retry, Unrecorded
from pipeline_worker.measures import Measures

AGE = "pipeline_queue_oldest_message_age_seconds"
WAITS = "pipeline_message_wait_seconds"


def delivery(waited: float, *, receive_count: int = 1) -> Delivery:
    return Delivery("m", "r", "", {}, receive_count, EPOCH - timedelta(seconds=waited))


@pytest.fixture
def measures() -> Measures:
    return Measures(["copy"])


def value(measures: Measures, name: str, **labels: str) -> float | None:
    return measures.registry.get_sample_value(name, labels)


def test_a_new_message_tells_how_long_it_waited(measures: Measures) -> None:
    measures.receive([delivery(30), delivery(90)], EPOCH)

    assert (2, 120, 90) == tuple(value(measures, name) for name in (f"{WAITS}_count", f"{WAITS}_sum", AGE))
    assert 1 == value(measures, f"{WAITS}_bucket", le="60.0")


def test_a_message_that_comes_back_has_not_waited_all_that_time(measures: Measures) -> None:
    measures.receive([delivery(30)], EPOCH)
    measures.receive([delivery(9000, receive_count=2)], EPOCH)

    assert (1, 30) == (value(measures, f"{WAITS}_count"), value(measures, AGE))
    assert 2 == value(measures, "pipeline_received_total")


def test_a_clock_behind_the_queues_makes_no_wait_below_nothing(measures: Measures) -> None:
    measures.receive([delivery(-5)], EPOCH)

    assert (0, 0) == (value(measures, f"{WAITS}_sum"), value(measures, AGE))


@pytest.mark.parametrize(("error_class", "label"), [("Throttled", "Throttled"), ("polars.ComputeError", "other")])
def test_a_failed_attempt_is_counted_by_its_class_where_that_is_one_of_ours(
    measures: Measures, error_class: str, label: str
) -> None:
    failure = Failure(error_class, "it failed", "f" * 12, transient=True)

    measures.settle("copy", Failed(failure), Retry(timedelta(seconds=1)), 0.1)

    assert 1 == value(measures, "pipeline_failures_total", processor="copy", error=label)


def test_only_attempts_are_counted_as_failures(measures: Measures) -> None:
    failure = Failure("Unreachable", "no connection", "f" * 12, transient=True)

    measures.settle("copy", Unrecorded(failure), Retry(timedelta(seconds=1)), 0.1)
    measures.settle("copy", LostLease(), Abandon(), 0.1)

    assert value(measures, "pipeline_failures_total", processor="copy", error="Unreachable") is None
    assert 1 == value(measures, "pipeline_items_total", processor="copy", outcome="unrecorded")


def test_what_is_known_beforehand_is_zero_before_it_happens(measures: Measures) -> None:
    known = {"processor": "copy", "outcome": "unrecorded"}
    assert 0 == value(measures, "pipeline_items_total", **known)
    assert 0 == value(measures, "pipeline_items_total", **known | {"processor": "unknown"})
    assert 0 == value(measures, "pipeline_settlements_total", settlement="bury")
    assert 0 == value(measures, "pipeline_receive_total", result="failed")

    measures.settle("copy", Unrecorded(Failure("X", "", "", transient=True)), Bury("permanent"), 0.1)
    assert 1 == value(measures, "pipeline_items_total", **known)


def test_the_version_of_the_code_is_told(measures: Measures) -> None:
    assert 1 == value(measures, "pipeline_build_info", version=__version__)
