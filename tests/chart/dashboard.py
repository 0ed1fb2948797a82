"""Rung 6: every expression of the dashboard parses, and names what is exported."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chart.alerts import check
from tests.chart.objects import Objects
from tests.chart.promql import strangers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.rendering import Chart


def rung(chart: Chart) -> list[str]:
    """Check every dashboard that some example renders."""
    texts = {
        text
        for render in chart.renders()
        for one in Objects.of_text(render.text).of("ConfigMap")
        for name, text in (one.get("data") or {}).items()
        if name.endswith(".json")
    }
    if not texts:
        return ["no example installs the dashboard: nothing would be checked"]
    return [fault for text in sorted(texts) for fault in _faults(text)]


def _faults(text: str) -> Iterator[str]:
    try:
        asked = list(expressions(json.loads(text)["panels"]))
    except (ValueError, KeyError, TypeError) as error:
        yield f"the dashboard is none: {type(error).__name__} {error}"
        return
    rules = [{"record": f"panel:{number}", "expr": plain(expression)} for number, (_, expression) in enumerate(asked)]
    with tempfile.TemporaryDirectory() as folder:
        checked = check("check", Path(folder), panels={"groups": [{"name": "panels", "rules": rules}]})
    if checked.returncode:
        yield f"promtool refuses expressions: {' '.join((checked.stdout + checked.stderr).split())}"
    for title, expression in asked:
        yield from (f"{title}: {fault}" for fault in strangers(plain(expression)))


def expressions(panels: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield each panel's title with each of its expressions."""
    for panel in panels:
        for target in panel.get("targets") or ():
            yield panel["title"], target["expr"]


def plain(expression: str) -> str:
    """Return the expression as Prometheus gets it, for some interval."""
    return re.sub(r"\$__\w+", "5m", expression)
