"""Plants a fault in a copy of the chart and climbs the ladder: which rung catches it?

What Helm or the chart itself would refuse in values is planted in templates, past them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chart.ladder import CHART, RUNGS
from tests.chart.rendering import Chart

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One edit: the first ``old`` of a file becomes ``new``; ``caught_by`` is the rung that minds, ``says`` why."""

    name: str
    caught_by: str
    says: str
    file: str
    old: str
    new: str

    def plant(self, chart: Path) -> None:
        """Edit a copy of the chart; ValueError where that would change nothing."""
        path = chart / self.file
        text = path.read_text(encoding="utf-8")
        if self.old not in text or self.old == self.new:
            raise ValueError(f"{self.name}: nothing to change, since {self.file} has no {self.old!r}")
        path.write_text(text.replace(self.old, self.new, 1), encoding="utf-8")


def copy(place: Path) -> Path:
    """Return a copy of the chart in that folder."""
    return shutil.copytree(CHART, place / CHART.name)


def first_catch(chart: Path) -> tuple[str, list[str]]:
    """Climb until a rung finds something; return its name and what it found, or "" and nothing.

    No fault depends on Helm's or Kubernetes' version, and these two examples render everything.
    """
    narrow = Chart(chart, helms=("4.3",), kubernetes=("1.34.0",), examples=("many-pools", "production"))
    for name, rung in RUNGS.items():
        if found := rung(narrow):
            return name, found
    return "", []
