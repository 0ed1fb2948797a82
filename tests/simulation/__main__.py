"""The study: `python -m tests.simulation` runs it and writes docs/autoscaling; the same figures come each time."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.progress import Progress
from tests.simulation.drawing import Panel, picture
from tests.simulation.measures import POD_HOUR
from tests.simulation.study import DEFAULTS, DRAWN, POLICIES, asked_of, from_json, run_named, standings, to_json
from tests.simulation.tables import by_trace, inserted, page, ranking
from tests.simulation.traces import TRACES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.simulation.simulate import Sample
    from tests.simulation.study import Table

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs/autoscaling.md"
FOLDER: Final = ROOT / "docs/autoscaling"
FIGURES: Final = FOLDER / "figures.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; figures of other policies and traces stay as they are."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--trace", action="append", choices=list(TRACES), help="this trace only; may be repeated")
    parser.add_argument("--policy", action="append", choices=[one.name for one in POLICIES], help="this policy only")
    parser.add_argument("--processes", type=int, default=1, help="how many at once; each takes up to 1.5 GiB")
    options = parser.parse_args(argv)
    traces = options.trace or list(TRACES)
    policies = options.policy or [policy.name for policy in POLICIES]
    FOLDER.mkdir(exist_ok=True)
    table = from_json(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    _run(table, policies, traces, options.processes)
    sys.stdout.write(f"{ranking(table)}\n")
    return 0 if standings(table)[0].policy == DEFAULTS else 1


def _run(table: Table, policies: Sequence[str], traces: Sequence[str], processes: int) -> None:
    """Fill the table and the pages, trace by trace, and draw each trace that all drawn policies ran."""
    with Progress() as progress, ProcessPoolExecutor(processes) as pool:
        asked = {trace: [policy for policy in policies if trace in asked_of(policy)] for trace in traces}
        task = progress.add_task("policies x traces", total=sum(len(some) for some in asked.values()))
        for trace in traces:
            tasks = {pool.submit(run_named, policy, trace): policy for policy in asked[trace]}
            drawn: dict[str, Sequence[Sample]] = {}
            for done in as_completed(tasks):
                figures, samples = done.result()
                table.setdefault(tasks[done], {})[trace] = figures
                if tasks[done] in DRAWN:
                    drawn[tasks[done]] = samples
                progress.update(task, advance=1, description=f"{trace}: {tasks[done]}")
            _write(table)
            if len(drawn) == len(DRAWN):
                (FOLDER / f"{trace}.svg").write_text(_drawn(trace, drawn), encoding="utf-8")


def _write(table: Table) -> None:
    ordered = {
        policy.name: {trace: table[policy.name][trace] for trace in TRACES if trace in table[policy.name]}
        for policy in POLICIES
        if policy.name in table
    }
    FIGURES.write_text(to_json(ordered), encoding="utf-8")
    if DOCS.exists():
        text = inserted(DOCS.read_text(encoding="utf-8"), "ranking", ranking(ordered))
        DOCS.write_text(inserted(text, "defaults", by_trace(ordered)), encoding="utf-8")
    (FOLDER / "figures.md").write_text(page(ordered), encoding="utf-8")


def _drawn(trace: str, runs: Mapping[str, Sequence[Sample]]) -> str:
    """Return the picture of one trace, up to the moment from which nothing more happens under any policy."""
    latest = max(max(sample.at for sample in samples if sample.pods["live"]) for samples in runs.values())
    kept = {name: [one for one in runs[name] if one.at <= latest] for name in DRAWN}
    says = TRACES[trace]().says
    return picture(
        says[0].upper() + says[1:],
        [
            Panel(
                "Backlog", {name: [(one.at, one.visible["live"]) for one in kept[name]] for name in kept}, "messages"
            ),
            Panel("Pods", {name: [(one.at, one.pods["live"]) for one in kept[name]] for name in kept}),
            Panel(
                "Age of the oldest message",
                {name: [(one.at, one.oldest["live"]) for one in kept[name]] for name in kept},
                "seconds",
            ),
            Panel("Money for pod-hours", {name: _spent(kept[name]) for name in kept}, "dollars"),
        ],
    )


def _spent(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    spent, before, points = 0.0, 0.0, []
    for sample in samples:
        spent += sample.pods["live"] * (sample.at - before) / 3600 * POD_HOUR
        before = sample.at
        points.append((sample.at, spent))
    return points


if __name__ == "__main__":
    sys.exit(main())
