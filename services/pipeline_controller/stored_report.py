"""The report that a run's end left, as stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl_core.errors import NotFound
from pipeline_processing.reports.report import Report

if TYPE_CHECKING:
    from pipeline_processing.control import Control


async def load_report(control: Control, run_id: str) -> Report | None:
    """Return the report of the run's latest end, None where it has not ended; InvalidData where it is no report."""
    try:
        stored = await control.store.get(control.layout(run_id).report("json"))
    except NotFound:
        return None
    return Report.decode(stored.body)
