"""The inputs of a run that failed one by one: the first of them, by agency and name."""

from __future__ import annotations

from bisect import insort
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline_processing.model import Problem

KEPT: Final = 100
_REASON_SHOWN: Final = 500


class Problems:
    """Collects problems in any order. Memory is bounded by `KEPT`, however many come."""

    def __init__(self) -> None:
        self._kept: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """Keep the problem where it is among the first."""
        if len(self._kept) == KEPT and problem >= self._kept[-1]:
            return
        insort(self._kept, replace(problem, reason=problem.reason[:_REASON_SHOWN]))
        del self._kept[KEPT:]

    def first(self) -> tuple[Problem, ...]:
        """Return the first `KEPT` in the order of agency and name."""
        return tuple(self._kept)
