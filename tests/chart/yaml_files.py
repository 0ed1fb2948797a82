"""Rung 1: every YAML and JSON file can be read, and says nothing twice."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import yaml
from tests.chart import tools
from tests.chart.documents import parse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.rendering import Chart

_READ = (".yaml", ".yml", ".json")
_MEANT_TO_BE_WRONG = "tests/fixtures/"
"""What tests feed to the readers: some of it is broken on purpose."""


def rung(chart: Chart) -> list[str]:
    """Read the chart's files and, for the chart in its place, those of the whole repository."""
    files = _tracked() if chart.path.is_relative_to(tools.ROOT) else sorted(chart.path.rglob("*"))
    return [
        f"{path.relative_to(chart.path if path.is_relative_to(chart.path) else tools.ROOT)}: {fault}"
        for path in files
        if path.suffix in _READ and "templates" not in path.relative_to(path.anchor).parts and (fault := _fault(path))
    ]


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=tools.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        path
        for name in listed.stdout.splitlines()
        if not name.startswith(_MEANT_TO_BE_WRONG) and (path := tools.ROOT / name).is_file()
    ]


def _fault(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".json":
            json.loads(text, object_pairs_hook=_once)
        else:
            parse(text)
    except (yaml.YAMLError, ValueError) as error:
        return " ".join(str(error).split())
    return ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"stands twice: {', '.join(twice)}")
    return dict(pairs)
