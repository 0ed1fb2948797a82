"""Rung `semantics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chart import semantics

if TYPE_CHECKING:
    from tests.chart.rendering import Chart


def test_what_is_rendered_holds_together(chart: Chart) -> None:
    assert [] == semantics.rung(chart)
