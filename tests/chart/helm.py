"""Rung 2: Helm takes the chart with every example, for every Kubernetes; both Helms make the same of it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any

import yaml
from tests.chart.documents import parse
from tests.chart.rendering import RenderError, lint, template

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chart.rendering import Chart


def rung(chart: Chart) -> list[str]:
    """Lint and render; also read what came out, since Helm lets a key of a manifest stand twice."""
    if not chart.values():
        return ["ci/ has no examples: nothing would be checked"]
    pairs = list(product(chart.values(), chart.kubernetes))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [fault for found in pool.map(lambda pair: list(_faults(chart, *pair)), pairs) for fault in found]


def _faults(chart: Chart, values: Path, kubernetes: str) -> Iterator[str]:
    where = f"{values.name} for Kubernetes {kubernetes}"
    made: dict[str, tuple[Any, ...]] = {}
    for version in chart.helms:
        try:
            lint(chart.path, values, kubernetes, version)
            made[version] = parse(template(chart.path, values, kubernetes, version))
            if not made[version]:
                yield f"{where}: Helm {version} makes no object"
        except RenderError as error:
            yield f"{where}: {error}"
        except yaml.YAMLError as error:
            yield f"{where}: Helm {version} makes what is no YAML: {' '.join(str(error).split())}"
    # Helm 4 puts an empty line between documents.
    if any(documents != made[chart.helms[0]] for documents in made.values()):
        yield f"{where}: Helm {' and '.join(made)} make different things of it"
