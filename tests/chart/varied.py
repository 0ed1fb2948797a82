"""Renders the chart with values that a test states: those of one of its examples, with others over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from tests.chart.documents import parse
from tests.chart.objects import Objects
from tests.chart.rendering import KUBERNETES, RELEASE, template

from pipeline_processing.deployment import merged

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.objects import Object
    from tests.chart.rendering import Chart


class Varied:
    """A chart to render with values of one's own."""

    def __init__(self, chart: Chart, folder: Path) -> None:
        self.chart = chart
        self._folder = folder
        self._made = 0

    def values(self, over: object = None, *, of: str = "minimal") -> Path:
        """Return a file of values: the example's, with ``over`` merged as Helm merges."""
        (example,) = parse((self.chart.path / "ci" / f"{of}.yaml").read_text(encoding="utf-8"))
        self._made += 1
        place = self._folder / f"values-{self._made}.yaml"
        place.write_text(yaml.safe_dump(merged(example, over or {})), encoding="utf-8")
        return place

    def objects(self, over: object = None, *, of: str = "minimal", release: str = RELEASE) -> Objects:
        return Objects.of_text(self.text(over, of=of, release=release))

    def text(self, over: object = None, *, of: str = "minimal", release: str = RELEASE) -> str:
        """Return the manifests; RenderError where Helm refuses the values."""
        return template(self.chart.path, self.values(over, of=of), KUBERNETES[0], self.chart.helms[0], release)


def only(objects: Objects, kind: str) -> Object:
    """Return the one object of that kind."""
    (found,) = objects.of(kind)
    return found


def schedules(objects: Objects) -> list[Object]:
    """Return the CronJobs that are due some day."""
    return [one for one in objects.of("CronJob") if "pipeline-processing/schedule" in one["metadata"]["labels"]]


def container(one: Object) -> Object:
    """Return the one container of a Deployment, a Job, or what makes Jobs."""
    objects = Objects((one,))
    (pods,) = objects.pods()
    (found,) = pods.containers
    return found


def variables(one: Object) -> dict[str, Any]:
    """Return the variables that the container itself names."""
    return {variable["name"]: variable.get("value") for variable in container(one)["env"]}
