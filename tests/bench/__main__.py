"""Runs each benchmark in a process of its own, one after the other, and prints a table."""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Benchmark:
    """``call`` is module and function; ``kind`` its first argument, else it gets the size and a folder."""

    call: str
    size: int
    quick: int
    kind: str | None = None
    needs_stack: bool = False
    after: str | None = None
    """A benchmark whose folder this one goes on with."""


BENCHMARKS = {
    "worker": Benchmark("throughput:worker", 40_000, 4_000, "memory"),
    "worker-endpoint": Benchmark("throughput:worker", 3_000, 500, "endpoint", needs_stack=True),
    "scatter": Benchmark("throughput:scatter", 100_000, 10_000, "memory"),
    "scatter-endpoint": Benchmark("throughput:scatter", 10_000, 2_000, "endpoint", needs_stack=True),
    "gather": Benchmark("throughput:gather", 40_000, 4_000, "memory"),
    "gather-endpoint": Benchmark("throughput:gather", 3_000, 500, "endpoint", needs_stack=True),
    "plan-million": Benchmark("million:plan", 1_000_000, 50_000),
    "gather-million": Benchmark("million:gather", 1_000_000, 50_000, after="plan-million"),
    "publish-table": Benchmark("tables:publish", 500, 100, "memory"),
    "publish-table-endpoint": Benchmark("tables:publish", 500, 100, "endpoint", needs_stack=True),
    "export-million": Benchmark("million:export", 1_000_000, 50_000, needs_stack=True),
    "refine": Benchmark("refine:dirty", 10_000_000, 300_000),
    "checks": Benchmark("refine:checks", 5_000_000, 300_000, "alone"),
    "checks-pandas": Benchmark("refine:checks", 5_000_000, 300_000, "pandas"),
    "checks-pandera": Benchmark("refine:checks", 5_000_000, 300_000, "pandera"),
    "checks-great-expectations": Benchmark("refine:checks", 5_000_000, 300_000, "great-expectations"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 when a figure is over its limit."""
    options = _parser().parse_args(argv)
    if options.child:
        return _be_child(options)
    figures = _run_all(options)
    if options.json:
        fields = [{**asdict(figure), "share": figure.share} for figure in figures]
        sys.stdout.write(json.dumps({"machine": machine(), "figures": fields}, indent=2) + "\n")
    else:
        _print(figures)
    return 0 if all(figure.is_within_limit for figure in figures) else 1


def _run_all(options: argparse.Namespace) -> list[Figure]:
    names = options.only or list(BENCHMARKS)
    needed = [name for name in BENCHMARKS if name in names or any(BENCHMARKS[other].after == name for other in names)]
    figures = []
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        stack = _stack(folder) if any(BENCHMARKS[name].needs_stack for name in needed) else None
        try:
            environment = stack.up() if stack else {}
            for name in needed:
                sys.stderr.write(f"{name} …\n")
                figure = _run_one(name, options, folder, environment)
                figures += [figure] if name in names else []
        finally:
            if stack:
                stack.reset()
    return figures


def _stack(folder: Path) -> Any:  # noqa: ANN401 - imported late, so that a child of ours begins small
    from pipeline_local.stack import Stack  # noqa: PLC0415 - see above

    folder.chmod(0o755)  # Postgres runs as another account where we are root
    return Stack(folder / "stack", is_durable=False, has_usual_ports=False)


def _run_one(name: str, options: argparse.Namespace, folder: Path, environment: Mapping[str, str]) -> Figure:
    result = folder / f"{name}.json"
    command = [sys.executable, "-m", "tests.bench", "--child", name, "--folder", str(folder)]
    command += ["--quick"] if options.quick else []
    command += ["--profile"] if options.profile else []
    subprocess.run(
        command,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0", **environment},
        stdout=sys.stderr if options.profile else None,
    )
    return Figure(**json.loads(result.read_text()))


def _be_child(options: argparse.Namespace) -> int:
    benchmark = BENCHMARKS[options.child]
    size = benchmark.quick if options.quick else benchmark.size
    module, _, function = benchmark.call.partition(":")
    call: Callable[..., Coroutine[Any, Any, Figure]] = getattr(import_module(f"tests.bench.{module}"), function)
    _log_to_nowhere()
    work = call(benchmark.kind, size) if benchmark.kind else call(size, options.folder)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        profile = cProfile.Profile() if options.profile else None
        figure = profile.runcall(runner.run, work) if profile else runner.run(work)
    if profile:
        _print_profile(profile)
    (options.folder / f"{options.child}.json").write_text(json.dumps(asdict(figure)))
    return 0


def _print_profile(profile: cProfile.Profile) -> None:
    import pstats  # noqa: PLC0415 - only here

    pstats.Stats(profile).sort_stats("tottime").print_stats(40)


def _log_to_nowhere() -> None:
    """Log as a pod does, but to nobody: making a line is a part of the work, a terminal is not."""
    from etl_core.log import configure  # noqa: PLC0415 - only a child needs it

    configure(stream=Path(os.devnull).open("w"))  # noqa: SIM115 - open until the process ends


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


def _print(figures: Sequence[Figure]) -> None:
    from pipeline_processing.cli.terminal import print_table  # noqa: PLC0415 - see _stack

    columns = ("what", "count", "speed", "", "CPU µs each", "of bare calls", "peak MiB", "limit MiB")
    rows = [
        (
            figure.name,
            figure.size,
            round(figure.speed),
            figure.unit,
            round(figure.cpu_us),
            "" if figure.share is None else f"{figure.share:.0%}",
            "" if figure.peak_mib is None else round(figure.peak_mib),
            "" if figure.limit_mib is None else round(figure.limit_mib),
        )
        for figure in figures
    ]
    sys.stdout.write(f"{machine()}\n")
    print_table(columns, rows)
    for figure in figures:
        if not figure.is_within_limit:
            sys.stderr.write(f"over its limit: {figure.name}\n")


def machine() -> str:
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure throughput and memory.")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="a tenth or less of the items: says little")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--profile", action="store_true", help="print what the time goes to; speeds are then wrong")
    parser.add_argument("--child", choices=BENCHMARKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
