"""What the monitor measures: its numbers as they are at each scrape, since ages grow between two looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from etl_core.metrics import new_registry, tell_version
from pipeline_processing import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from etl_core.clock import Clock
    from pipeline_operator.monitor import Watch

_LANE: Final = ("lane",)


def registry_of(watches: Sequence[Watch], clock: Clock) -> CollectorRegistry:
    """Return a registry that answers with the watches' numbers."""
    registry = new_registry()
    tell_version(registry, "pipeline", __version__)
    registry.register(_Numbers(watches, clock))
    return registry


class _Numbers(Collector):
    """What is not known has no series: a lane that was never read, the age of a letter where there is none."""

    def __init__(self, watches: Sequence[Watch], clock: Clock) -> None:
        self._watches = watches
        self._clock = clock

    def describe(self) -> Iterator[Metric]:
        """Return the families without a sample: a registry asks, when there are no numbers yet."""
        yield from _families().values()

    def collect(self) -> Iterator[Metric]:
        """Return the families with the numbers of now."""
        families, now = _families(), self._clock.now()
        for watch in self._watches:
            name, numbers = watch.name, watch.numbers
            read_at = numbers.read_at.timestamp() if numbers else 0.0
            families["refreshed"].add_metric((name,), read_at)
            families["refreshes"].add_metric((name, "done"), watch.done)
            families["refreshes"].add_metric((name, "failed"), watch.failed)
            if numbers is None:
                continue
            for state in ("visible", "in_flight", "delayed"):
                families["messages"].add_metric((name, state), getattr(numbers.depth, state))
            families["dead"].add_metric((name,), numbers.dead_letters)
            families["unread"].add_metric((name,), numbers.unread)
            age, left = numbers.oldest_age(now), numbers.until_dropped(now)
            if age is not None and left is not None:
                families["age"].add_metric((name,), age.total_seconds())
                families["left"].add_metric((name,), left.total_seconds())
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily | CounterMetricFamily]:
    return {
        "messages": GaugeMetricFamily(
            "pipeline_queue_messages",
            "Messages of a lane's queue: visible, in_flight, delayed; SQS's counts lag by up to a minute.",
            labels=("lane", "state"),
        ),
        "dead": GaugeMetricFamily(
            "pipeline_dead_letters", "Messages of a lane's dead-letter queue, in any state.", labels=_LANE
        ),
        "unread": GaugeMetricFamily(
            "pipeline_dead_letters_unread",
            "Dead letters that the latest look could not read: others hold them, or may not be received.",
            labels=_LANE,
        ),
        "age": GaugeMetricFamily(
            "pipeline_dead_letter_oldest_age_seconds",
            "Time since the oldest dead letter was first sent; no series without one.",
            labels=_LANE,
        ),
        "left": GaugeMetricFamily(
            "pipeline_dead_letter_seconds_to_drop",
            "Time until the queue's retention drops the first dead letter; no series without one.",
            labels=_LANE,
        ),
        "refreshed": GaugeMetricFamily(
            "pipeline_monitor_refreshed_timestamp_seconds",
            "When a lane's numbers were last read, in Unix time; 0: never.",
            labels=_LANE,
        ),
        "refreshes": CounterMetricFamily(
            "pipeline_monitor_refreshes", "Looks at a lane: done, failed.", labels=("lane", "result")
        ),
    }
