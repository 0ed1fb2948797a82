"""Values that say more than they seem to: what they inject, spell like something else, give away, or would do later."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.chart.rendering import Chart, RenderError
from tests.chart.varied import Varied, container, variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def varied(chart: Chart, tmp_path: Path) -> Varied:
    return Varied(chart, tmp_path)


@pytest.fixture
def unchecked(chart: Chart, tmp_path: Path) -> Varied:
    """The chart as `--skip-schema-validation` leaves it."""
    place = shutil.copytree(chart.path, tmp_path / "unchecked")
    (place / "values.schema.json").unlink()
    return Varied(Chart(place), tmp_path)


def refusal(varied: Varied, over: object, *, release: str = "pipeline") -> str:
    with pytest.raises(RenderError) as refused:
        varied.text(over, release=release)
    return str(refused.value)


INJECTED = "x=1\n        - --queue\n        - https://evil #"


def test_a_processors_name_adds_no_arguments(varied: Varied, unchecked: Varied) -> None:
    over = {"poolDefaults": {"processors": {INJECTED: 1}}}
    assert "does not match pattern '^[a-z][a-z0-9_]*$'" in refusal(varied, over)
    arguments = container(unchecked.objects(over, of="no-keda").of("Deployment")[-1])["args"]
    assert ["worker", "--lane", "live", "--processor-concurrency", f"{INJECTED}=1"] == arguments


@pytest.mark.parametrize("name", ["NO", "Y", "NULL", "ON"])
def test_a_settings_name_that_yaml_would_take_for_something_else_stays_a_name(varied: Varied, name: str) -> None:
    made = varied.objects({"settings": {name: "12"}, "poolDefaults": {"settings": {name: "null"}}}, of="no-keda")
    shared = next(one["data"] for one in made.of("ConfigMap") if one["metadata"]["name"].endswith("-settings"))
    own = variables(made.of("Deployment")[-1])
    assert ("12", "null") == (shared[name], own[name])
