"""Build the wheel and fail when a package or a data file of the source tree is not in it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"__pycache__"}


def main() -> int:
    """Return 0 when the wheel holds every file under libs/ and services/ and the chart's defaults, else 1."""
    expected = {
        str(path.relative_to(folder))
        for folder in (ROOT / "libs", ROOT / "services")
        for path in folder.rglob("*")
        if path.is_file() and not LEFT_OUT & set(path.parts)
    } | {"pipeline_processing/chart_values.yaml", "pipeline_processing/chart_values.schema.json"}
    with tempfile.TemporaryDirectory() as target:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, str(ROOT)]
        subprocess.run(command, check=True)
        (wheel,) = Path(target).glob("*.whl")
        found = set(zipfile.ZipFile(wheel).namelist())
    missing = sorted(expected - found)
    for name in missing:
        print(f"not in the wheel: {name}", file=sys.stderr)  # noqa: T201 - a command's output
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
