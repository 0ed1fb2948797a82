"""Where a worker finds the records of whatever run a message belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline_processing.evidence import Evidence
from pipeline_processing.layout import RunLayout
from pipeline_processing.markers import Markers

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Records:
    """The control store of every run under one prefix."""

    store: ObjectStore
    prefix: str
    clock: Clock
    jitter: Callable[[], float]

    def layout(self, run_id: str) -> RunLayout:
        """Return the run's keys."""
        return RunLayout(self.prefix, run_id)

    def markers(self, run_id: str) -> Markers:
        """Return the run's markers; cheap, makes no connection."""
        return Markers(self.store, self.layout(run_id), self.clock, jitter=self.jitter)

    def evidence(self, run_id: str) -> Evidence:
        """Return the run's failure records and dossiers; cheap, makes no connection."""
        return Evidence(self.store, self.layout(run_id), self.clock, jitter=self.jitter)
