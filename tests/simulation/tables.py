"""The study's figures as the tables of docs/autoscaling.md and docs/autoscaling/figures.md."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.simulation.study import DEFAULTS, FOR_DRAWN, standings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.measures import Figures
    from tests.simulation.study import Table

COLUMNS: Final = (
    *("drained", "oldest, 95 %", "oldest, most", "wait, 95 %", "quiet agencies' wait, 95 %", "pod-hours", "pods $"),
    *("requests $", "changes", "turns", "cut short", "harmed", "buried"),
)


def ranking(table: Table) -> str:
    """Return every policy with its standing, the best first."""
    rows = []
    for one in standings(table):
        figures = [figure for trace, figure in table[one.policy].items() if trace not in FOR_DRAWN]
        hours, turns = sum(figure.pod_hours for figure in figures), sum(figure.turns for figure in figures)
        name = f"**{one.policy}**" if one.policy == DEFAULTS else one.policy
        score = one.out or f"{one.score:.3f}"
        rows.append([name, score, f"{one.waiting:.3f}", f"{one.money:.3f}", f"{hours:.1f}", f"{turns}"])
    return _table(("policy", "score", "waiting", "money", "pod-hours in all", "turns"), rows)


def by_trace(table: Table, policy: str = DEFAULTS) -> str:
    """Return one policy's figures, a row for each trace."""
    return _table(("trace", *COLUMNS), [[name, *_cells(figures, name)] for name, figures in table[policy].items()])


def page(table: Table) -> str:
    """Return every figure: a table for each trace, a row for each policy."""
    parts = [
        "# Every figure of the autoscaling study",
        "Made by `python -m tests.simulation`; [autoscaling.md](../autoscaling.md) says what the columns mean.",
    ]
    for name in table[DEFAULTS]:
        rows = [[policy, *_cells(row[name], name)] for policy, row in table.items() if name in row]
        parts += [f"## {name}", _table(("policy", *COLUMNS), rows)]
    return "\n\n".join(parts) + "\n"


def inserted(text: str, name: str, table: str) -> str:
    """Return a page's text with this table between its two comments of that name."""
    between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    return between.sub(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", text)


def _cells(figures: Figures, trace: str) -> list[str]:
    return [
        *(_time(seconds) for seconds in (figures.drained, figures.age_95, figures.age_most)),
        *(_time(figures.wait_95), _time(figures.quiet_95) if trace == "noisy" else ""),
        *(f"{figures.pod_hours:.1f}", f"{figures.pods:.2f}", f"{figures.requests:.2f}"),
        *(
            f"{number:,}"
            for number in (figures.changes, figures.turns, figures.cut_short, figures.harmed, figures.buried)
        ),
    ]


def _time(seconds: float) -> str:
    """Return 4 s, 61 s, 12 min, 3.5 h: as precise as the simulation is."""
    for size, unit, least in ((3600, "h", 7200), (60, "min", 600)):
        if seconds >= least:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(row) for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
    return "\n".join(f"| {line} |" for line in lines)
