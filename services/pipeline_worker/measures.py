"""What a worker measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from etl_core.metrics import DURATIONS, new_registry

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Measures:
    """The worker's metrics, in a registry of their own. ``processor`` takes only names that the worker knows."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or new_registry()
        self.items = Counter(
            "pipeline_items", "Deliveries by what came of them.", ["processor", "outcome"], registry=self.registry
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
        self.leases_lost = Counter(
            "pipeline_lease_lost", "Leases lost while their item was in work.", registry=self.registry
        )
        self.in_flight = Gauge("pipeline_in_flight", "Deliveries held: waiting or in work.", registry=self.registry)
        self.draining = Gauge("pipeline_draining", "1 while the worker drains.", registry=self.registry)
