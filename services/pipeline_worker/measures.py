"""What a worker measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from prometheus_client import Counter, Gauge, Histogram

from etl_core import errors
from etl_core.metrics import DURATIONS, WAITS, new_registry, tell_version
from pipeline_processing import __version__
from pipeline_processing.settlement import Failed, Outcome, Settlement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from prometheus_client import CollectorRegistry

    from etl_core.queue import Delivery

UNKNOWN: Final = "unknown"
"""Stands for the processor of a message that cannot be read, or that names one this worker does not have."""
OTHER: Final = "other"
"""Stands for every class of error that is not of our tree: their names are not known beforehand."""
ERRORS: Final = frozenset(
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.EtlError)
)


class Measures:
    """The worker's metrics, in a registry of their own. ``processor`` takes only names that the worker knows.

    Series that alerts count stand at zero from the start: a rate misses the step from nothing to one.
    """

    def __init__(self, processors: Iterable[str] = (), registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or new_registry()
        tell_version(self.registry, "pipeline", __version__)
        self.items = Counter(
            "pipeline_items", "Deliveries by what came of them.", ["processor", "outcome"], registry=self.registry
        )
        self.failures = Counter(
            "pipeline_failures",
            "Attempts that failed, by the class of their error where it is one of etl_core.errors.",
            ["processor", "error"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "pipeline_item_seconds",
            "From the start of a delivery's work to its outcome.",
            ["processor"],
            buckets=DURATIONS,
            registry=self.registry,
        )
        self.settlements = Counter(
            "pipeline_settlements", "What was done with deliveries.", ["settlement"], registry=self.registry
        )
        self.receives = Counter(
            "pipeline_receive", "Receive calls: messages, empty, failed.", ["result"], registry=self.registry
        )
        self.received = Counter("pipeline_received", "Messages received.", registry=self.registry)
        self.waits = Histogram(
            "pipeline_message_wait_seconds",
            "From a message's send to its first receive; those that come back are not counted again.",
            buckets=WAITS,
            registry=self.registry,
        )
        self.queue_age = Gauge(
            "pipeline_queue_oldest_message_age_seconds",
            "How long the oldest new message of the latest receive had waited; 0 after a poll in vain.",
            registry=self.registry,
        )
        self.leases_lost = Counter(
            "pipeline_lease_lost", "Leases lost while their item was in work.", registry=self.registry
        )
        self.in_flight = Gauge("pipeline_in_flight", "Deliveries held: waiting or in work.", registry=self.registry)
        self.draining = Gauge("pipeline_draining", "1 while the worker drains.", registry=self.registry)
        self._begin(processors)

    def receive(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Count a receive that was answered, and what it brought."""
        self.receives.labels("messages" if deliveries else "empty").inc()
        self.received.inc(len(deliveries))
        # A send time is the service's clock, `now` ours: a wait below nothing is their difference.
        waits = [max(0.0, (now - d.sent_at).total_seconds()) for d in deliveries if d.receive_count == 1]
        for wait in waits:
            self.waits.observe(wait)
        if waits:
            self.queue_age.set(max(waits))

    def settle(self, processor: str, outcome: Outcome, settlement: Settlement, seconds: float) -> None:
        """Count a delivery's end."""
        self.items.labels(processor, _label(type(outcome))).inc()
        self.seconds.labels(processor).observe(seconds)
        self.settlements.labels(_label(type(settlement))).inc()
        if isinstance(outcome, Failed):
            error_class = outcome.failure.error_class
            self.failures.labels(processor, error_class if error_class in ERRORS else OTHER).inc()

    def _begin(self, processors: Iterable[str]) -> None:
        for result in ("messages", "empty", "failed"):
            self.receives.labels(result)
        for settlement in get_args(Settlement):
            self.settlements.labels(_label(settlement))
        for processor in (*processors, UNKNOWN):
            for outcome in get_args(Outcome):
                self.items.labels(processor, _label(outcome))


def _label(kind: type) -> str:
    return kind.__name__.lower()
