"""`controller report`: the report that a run's end left, as stored."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from etl_core.errors import ConfigError, NotFound
from pipeline_processing.cli.exits import DONE, PARTLY
from pipeline_processing.reports.page import render
from pipeline_processing.reports.report import Report
from pipeline_processing.reports.summary import lines
from pipeline_processing.reports.text import taken_back

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.control import Control
    from pipeline_processing.runs import Run


async def load_report(control: Control, run_id: str) -> Report | None:
    """Return the report of the run's latest end, None where it has not ended; InvalidData where it is no report."""
    try:
        stored = await control.store.get(control.layout(run_id).report("json"))
    except NotFound:
        return None
    return Report.decode(stored.body)


async def show_report(control: Control, run: Run, *, json_output: bool, page: Path | None) -> int:
    """Say the report on stdout, or write it to ``page`` as HTML: 0 for a success, else 3; ConfigError without one."""
    report = await load_report(control, run.run_id)
    if report is None:
        raise ConfigError(
            f"run {run.run_id} has no report: it is {run.state}",
            where=f"s3://{control.store.bucket}/{control.layout(run.run_id).report('json')}",
            way_out="nothing is to be done"
            if run.state == "cancelled"
            else f"pipeline-processing controller gather --run-id {run.run_id} ends the run and writes it",
        )
    if page is not None:
        await _write(page, render(report, rolled_back_at=run.rolled_back_at))
    if json_output:
        sys.stdout.write(report.encode().decode() + "\n")
    elif page is None:
        sys.stdout.writelines(f"{line}\n" for line in lines(run, report, report_at=None))
    else:
        sys.stdout.write(f"{page}\n")
    if run.rolled_back_at is not None and (json_output or page is not None):
        sys.stderr.write(f"note: the run was {taken_back(run.rolled_back_at)}\n")
    if report.revision != run.revision:
        sys.stderr.write(f"note: this report was written before the run became {run.state}\n")
    return DONE if report.is_success else PARTLY


async def _write(page: Path, text: str) -> None:
    try:
        await asyncio.to_thread(page.write_text, text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the page can not be written: {error.strerror}", where=str(page), way_out="give --html another file"
        ) from error
