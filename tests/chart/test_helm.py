"""Rung `helm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chart import helm

if TYPE_CHECKING:
    from tests.chart.rendering import Chart


def test_helm_takes_every_example_and_both_versions_make_the_same_of_it(chart: Chart) -> None:
    assert [] == helm.rung(chart)


def test_the_examples_are_the_ways_to_install_it(chart: Chart) -> None:
    expected = ["irsa", "long-items", "many-pools", "minimal", "no-keda", "pod-identity", "production"]
    assert expected == [values.stem for values in chart.values()]
