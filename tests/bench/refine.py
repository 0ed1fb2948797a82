"""Rows a CPU-second: a dirty file from bronze to silver in little memory, and checks alone beside other tools' checks.

Each measurement is a process of its own, so that its CPU time and its memory are all that it took, imports included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import venv
from datetime import date
from pathlib import Path
from typing import Any

from tests.bench import jail
from tests.bench.figures import Figure, peak_mib

from etl_core import memory

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".tools" / "bench-peers"
HARD_MIB = 1024
LIMIT_MIB = 700
_AS_ROWS = "rows/CPU-s"


async def dirty(size: int, folder: Path) -> Figure:
    """Everything on: normalise, check, profile, quarantine, deduplicate, write; under a hard limit of 1 GiB."""
    path = folder / "dirty.csv"
    await _told(["write", str(path), str(size)])
    told = await _told(["refine", str(path), str(folder / "refined")], limit_mib=HARD_MIB)
    path.unlink()
    return _figure("refine, dirty CSV", size, told, limit_mib=LIMIT_MIB)


async def checks(peer: str, size: int) -> Figure:
    """Fifteen checks on typed rows in Parquet, and the same by ``peer``; both must find the same."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "typed.parquet"
        await _told(["typed", str(path), str(size)])
        ours = await _told(["checks", str(path)], limit_mib=HARD_MIB)
        if peer == "alone":
            return _figure("15 checks", size, ours)
        command = [str(_peers_python()), str(Path(__file__).with_name("peers.py")), peer, str(path)]
        theirs = json.loads(await jail.run(command, limit_mib=16 * HARD_MIB, environment={}, cwd=ROOT))
    if ours["found"] != theirs["found"]:
        raise RuntimeError(f"we find {ours['found']}, {peer} finds {theirs['found']}")
    sys.stderr.write(f"{peer}: {theirs['cpu']:.1f} CPU-s and {theirs['peak_mib']:.0f} MiB, ours {ours['cpu']:.1f}\n")
    return _figure(f"15 checks, {peer}", size, ours, bare=size / theirs["cpu"])


def _figure(name: str, size: int, told: Any, *, bare: float | None = None, limit_mib: float | None = None) -> Figure:  # noqa: ANN401 - JSON
    return Figure(name, _AS_ROWS, size, size / told["cpu"], told["cpu"] / size * 1e6, bare, told["peak_mib"], limit_mib)


async def _told(arguments: list[str], *, limit_mib: int = 4 * HARD_MIB) -> Any:  # noqa: ANN401 - JSON
    """Return what this module says as a program of its own."""
    command = [sys.executable, "-m", "tests.bench.refine", *arguments]
    return json.loads(await jail.run(command, limit_mib=limit_mib, environment={}, cwd=ROOT))


def _peers_python() -> Path:
    """Return the interpreter of the other tools' environment, made on first use."""
    python = PEERS / "bin" / "python"
    wanted = Path(__file__).with_name("requirements-peers.txt")
    made = PEERS / wanted.name
    if not made.exists() or made.read_text() != wanted.read_text():
        venv.create(PEERS, clear=True, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--no-compile", "-r", wanted], check=True, stdout=sys.stderr
        )
        made.write_text(wanted.read_text())
    return python


def _refine(path: Path, into: Path) -> dict[str, Any]:
    from tests.bench.dirty import contract  # noqa: PLC0415 - only this program needs it

    from pipeline_processing.processors.refining.refine import refine  # noqa: PLC0415 - the same

    refined = refine(
        path,
        contract(),
        into=into,
        source="s3://bronze/dirty.csv",
        source_version="1",
        agency_id="10",
        today=date(2026, 1, 1),
        footer={"pipeline.run": "bench"},
    )
    counts = (refined.rows_in, refined.rows_out, refined.quarantined, refined.deduplicated)
    sys.stderr.write("in {:,}, out {:,}, quarantined {:,}, deduplicated {:,}\n".format(*counts))
    return {}


def _check(path: Path) -> dict[str, Any]:
    import polars as pl  # noqa: PLC0415 - only this program needs it
    from tests.bench.typed import BATCH, contract  # noqa: PLC0415 - the same

    from pipeline_processing.quality.checks import compile_checks  # noqa: PLC0415 - the same

    compiled = compile_checks(contract(), today=date(2026, 1, 1))
    staged = pl.scan_parquet(path)
    rows = int(staged.select(pl.len()).collect().item())
    for start in range(0, rows, BATCH):
        frame = staged.slice(start, BATCH).collect()
        compiled.observe(frame.with_columns(compiled.masks))
    compiled.whole_file(staged)
    verdict = compiled.verdict(rows=compiled.rows, quarantined=0)
    return {"found": {result.name: result.failed for result in verdict.results}}


def main(arguments: list[str]) -> None:
    """Do one of the things that are measured, and say what it took."""
    told: dict[str, Any] = {}
    match arguments:
        case ["write", path, size]:
            from tests.bench.dirty import write  # noqa: PLC0415 - only this program needs it

            write(Path(path), int(size))
        case ["typed", path, size]:
            from tests.bench.typed import write as write_typed  # noqa: PLC0415 - the same

            write_typed(Path(path), int(size))
        case ["refine", path, into]:
            told = _refine(Path(path), Path(into))
        case ["checks", path]:
            told = _check(Path(path))
    sys.stdout.write(json.dumps({**told, "cpu": time.process_time(), "peak_mib": peak_mib()}))


if __name__ == "__main__":
    memory.bound()
    main(sys.argv[1:])
