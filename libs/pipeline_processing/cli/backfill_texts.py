"""What `pipeline-processing backfill` prints for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from pipeline_processing.cli.terminal import print_pairs, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from pipeline_processing.processors.backfill.difference import Difference
    from pipeline_processing.processors.backfill.preview import Preview, Trial
    from pipeline_processing.processors.backfill.takeback import TakenBack

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024


def print_preview(preview: Preview) -> None:
    """Print which files there is work with and why, what that changes and costs, and the sample's differences."""
    tally = preview.tally
    rows: list[Sequence[object]] = [
        (agency_id, because, group.files, spelled(group.size), group.published_files, group.published_rows)
        for (agency_id, because), group in sorted(tally.work.items())
    ]
    if rows:
        total = tally.total
        rows.append(("All", "", total.files, spelled(total.size), total.published_files, total.published_rows))
        print_table(("agency", "because", "files", "size", "published", "rows now published"), rows)
    left = [(agency_id, reason, group.files) for (agency_id, reason), group in sorted(tally.left.items())]
    if left:
        print()
        print_table(("agency", "left alone", "files"), left)
    print()
    if not rows:
        print_pairs({"work": "none: a run would publish nothing"})
        return
    cost = preview.estimate
    print_pairs(
        {
            "items": cost.items,
            "rows replaced": tally.total.published_rows,
            "requests": f"{cost.queue_requests:,} to the queue, {cost.writes:,} writes, {cost.reads:,} reads",
            "dollars": f"{preview.dollars:.4f} for requests at least; compute and retries come on top",
        }
    )
    for trial in preview.trials:
        print()
        _print_trial(trial)
    print()
    print_pairs({"note": "nothing was written; `backfill run` with the same arguments does it"})


def _print_trial(trial: Trial) -> None:
    pairs: dict[str, object] = {"sample": trial.source, "because": trial.because, "outcome": trial.status}
    pairs["reason"] = trial.reason or None
    if trial.difference is not None:
        pairs |= _said(trial.difference)
    if trial.quarantined or trial.quarantined_before:
        pairs["quarantined"] = f"{trial.quarantined_before:,} → {trial.quarantined:,}"
    print_pairs(pairs)


def _said(difference: Difference) -> dict[str, object]:
    columns = [f"{name} {count:,}" for name, count in difference.by_column.items()]
    return {
        "compared by": ", ".join(difference.key),
        "rows": f"{difference.before:,} → {difference.after:,}",
        "added": difference.added,
        "gone": difference.gone,
        "changed": difference.changed,
        "changed in": ", ".join(columns) or None,
        "new columns": ", ".join(difference.new_columns) or None,
        "lost columns": ", ".join(difference.lost_columns) or None,
        "other types": ", ".join(f"{name} {text}" for name, text in difference.retyped.items()) or None,
        **{f"{kind}, such as": "; ".join(keys) for kind, keys in difference.examples.items()},
    }


def print_taken_back(found: Sequence[TakenBack], *, out: TextIO | None = None) -> None:
    """Print what becomes, or became, of each table."""
    rows = [
        (one.table, one.state, one.files_gone, one.rows_gone, one.files_back, one.rows_back)
        for one in found
        if one.state != "nothing of this run"
    ]
    columns = ("table", "state", "files gone", "rows gone", "files back", "rows back")
    print_table(columns, rows, out=out or sys.stdout)


def spelled(size: float) -> str:
    """Return bytes for people.

    >>> spelled(1536)
    '1.5 KiB'
    """
    for unit in _UNITS:
        if size < _STEP or unit == _UNITS[-1]:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size} B"
        size /= _STEP
    raise AssertionError
