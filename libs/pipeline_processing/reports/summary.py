"""What a run's end looks like on a terminal: a few lines, or the report as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from pipeline_processing.reports import run_quality
from pipeline_processing.reports.page import problems_elsewhere
from pipeline_processing.reports.text import counted, printable, taken_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_processing.model import Json
    from pipeline_processing.reports.report import Report
    from pipeline_processing.runs import Run

GROUPS_SHOWN: Final = 5
PROBLEMS_SHOWN: Final = 10
CHECKS_SHOWN: Final = 8


def as_json(run: Run, report: Report | None, *, exit_code: int) -> dict[str, Json]:
    """Return the whole outcome as JSON; a cancelled run has no report."""
    return {
        "run_id": run.run_id,
        "job": run.job,
        "state": run.state,
        "exit_code": exit_code,
        "report": None if report is None else asdict(report),
    }


def lines(run: Run, report: Report | None, *, report_at: str | None) -> Iterator[str]:
    """Yield the summary, control characters spelled out; ``report_at`` says how the full report can be read."""
    return map(printable, _lines(run, report, report_at=report_at))


def _lines(run: Run, report: Report | None, *, report_at: str | None) -> Iterator[str]:
    if report is None:
        yield f"{run.run_id}: {run.state}"
        return
    yield f"{run.run_id}: {_verdict(report)} in {report.seconds:,.1f} s"
    if run.rolled_back_at is not None:
        yield f"  ! {taken_back(run.rolled_back_at)}"
    total = report.total
    planned = total["planned"]
    if not planned["items"]:
        yield "  nothing to do: the plan has no items"
    else:
        states = ", ".join(
            f"{total[state]['items']:,} {state}"
            for state in ("done", "skipped", "dead", "pending")
            if total[state]["items"] or state == "done"
        )
        yield f"  {counted(planned['items'], 'item')} ({counted(planned['inputs'], 'input')}): {states}"
    if report.outcomes:
        yield "  inputs: " + ", ".join(f"{count:,} {name}" for name, count in report.outcomes.items())
    yield from _quality(report)
    if gave_way := report.published_counts.get("superseded"):
        yield f"  {gave_way:,} of them gave way to a run that was planned later"
    for line in (*report.because, *report.warnings):
        yield f"  ! {line}"
    yield from _problems(report)
    for group in report.failures[:GROUPS_SHOWN]:
        yield f"  ! {group['items']:,} of {group['error_class']}: {group['message']} [{group['fingerprint']}]"
    if len(report.failures) > GROUPS_SHOWN:
        yield f"  ! and {counted(len(report.failures) - GROUPS_SHOWN, 'more cause')}"
    if report_at:
        yield f"  report: {report_at}"


def _quality(report: Report) -> Iterator[str]:
    if not report.quality:
        return
    rows = report.quality["rows"]
    yield (
        f"  rows: {rows['rows_in']:,} in = {rows['rows_out']:,} out + {rows['quarantined']:,} quarantined"
        f" + {rows['deduplicated']:,} deduplicated"
    )
    failed = [check for check in report.quality["checks"] if check["status"] in {"failed", "warned"}]
    for check in failed[:CHECKS_SHOWN]:
        yield f"    {check['status']} {check['name']}: {run_quality.found(check)}"
    if len(failed) > CHECKS_SHOWN:
        yield f"    and {counted(len(failed) - CHECKS_SHOWN, 'more check')}: see the report"
    for rule, count in run_quality.rejected(report.quality).items():
        yield f"    quarantined {rule}: {count:,}"
    for rule, count in report.quality.get("waived", {}).items():
        yield f"    waived {rule}: {count:,}"


def _problems(report: Report) -> Iterator[str]:
    shown = report.problems[:PROBLEMS_SHOWN]
    for problem in shown:
        reason = f": {problem['reason']}" if problem["reason"] else ""
        yield f"    {problem['status']} {problem['name']} (agency {problem['agency_id']}){reason}"
    named = sum(problem["inputs"] for problem in report.problems)
    more = named + report.problems_not_shown - sum(problem["inputs"] for problem in shown)
    if more:
        yield f"    {problems_elsewhere(report, not_shown=more)}"


def _verdict(report: Report) -> str:
    if report.is_success:
        return "done, with tolerated failures" if report.because else "done"
    return "partly done, published" if report.is_published else "partly done, not published"
