"""A metrics registry, and what may be measured with it.

Names are ``<product>_<noun>_<unit or total>``; labels have few values, known beforehand: never an id, key or message.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Info, PlatformCollector, ProcessCollector

DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Bucket bounds in seconds, from a small copy to a large file."""
_HOUR: Final = 3600.0
WAITS: Final = (
    *(1.0, 5.0, 15.0, 60.0, 300.0, 900.0),
    *(hours * _HOUR for hours in (1, 4, 12, 24, 72, 168, 336)),
)
"""Bucket bounds in seconds, from a message that is awaited to one that no queue keeps any longer."""


def new_registry() -> CollectorRegistry:
    """Return a registry of its own, with the process's and the platform's metrics; nothing is process-global."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def tell_version(registry: CollectorRegistry, product: str, version: str) -> None:
    """Put ``<product>_build_info{version="…"} 1`` into ``registry``: which code a process runs."""
    Info(f"{product}_build", "The version of the code.", registry=registry).info({"version": version})
