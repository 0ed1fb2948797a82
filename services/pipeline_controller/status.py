"""`controller status`: how far runs are, in columns that add up to what was planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from pipeline_controller.stored_report import load_report
from pipeline_processing.cli.exits import DONE, PARTLY, USAGE
from pipeline_processing.cli.terminal import print_json, print_pairs, print_table
from pipeline_processing.reports.report import balance
from pipeline_processing.runs import OVER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from pipeline_processing.conservation import Balance
    from pipeline_processing.control import Control
    from pipeline_processing.model import Json
    from pipeline_processing.runs import Run
    from pipeline_processing.service_handler import Lane

_TOGETHER: Final = ("planned", "done or skipped", "dead", "pending")
_APART: Final = ("planned", "done", "skipped", "dead", "pending")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a planned run stands, whole and per agency; ``fault`` says why that can not be told.

    Skipped items are told apart from done ones only where the run is over and nothing came since: keys can not.
    """

    total: Mapping[str, Json] | None = None
    agencies: Sequence[Mapping[str, Json]] = ()
    strays: int = 0
    is_apart: bool = False
    fault: str | None = None


async def standing_of(control: Control, run: Run) -> Standing:
    """Count what became of the run's items, from its report where that still holds and from keys where not."""
    if run.manifest_sha256 is None:
        return Standing()
    try:
        survey = await control.conserver(run.run_id, await control.manifest(run)).survey()
    except ConfigError as error:
        return Standing(fault=str(error))
    report = await load_report(control, run.run_id) if run.state in OVER else None
    if report is not None and report.revision == run.revision and _agrees(report.total, survey.total):
        return Standing(report.total, report.agencies, survey.strays, is_apart=True)
    agencies = [{"agency_id": name, **_together(of)} for name, of in sorted(survey.agencies.items())]
    return Standing(_together(survey.total), agencies, survey.strays)


def _together(of: Balance) -> dict[str, Json]:
    """Return a balance from keys as JSON; what keys can not tell is None."""
    return {**balance(of), "skipped": None, "failed_inputs": None}


def _agrees(told: Mapping[str, Json], seen: Balance) -> bool:
    """Say whether keys still show what the report counted."""
    done = told["done"]["items"] + told["skipped"]["items"]
    return bool((done, told["dead"]["items"]) == (seen.done.items, seen.dead.items))


async def show_run(control: Control, run: Run, lane: Lane | None, *, json_output: bool) -> int:
    """Say how far one run is: 0 when it is published, 2 when its manifest is not as planned, else 3."""
    standing = await standing_of(control, run)
    document: dict[str, Json] = {
        "run_id": run.run_id,
        "job": run.job,
        "state": run.state,
        "fault": standing.fault,
        "lane": run.lane,
        "created_at": run.created_at,
        "since": run.entered.get(run.state),
        "commits": len(run.commits),
        "rolled_back_at": run.rolled_back_at,
    }
    if standing.total is not None:
        document |= {"total": standing.total, "strays": standing.strays}
        document["done_includes_skipped"] = not standing.is_apart
    if lane is not None:
        depth = await lane.queue.depth()
        document["queue"] = {"visible": depth.visible, "in_flight": depth.in_flight, "delayed": depth.delayed}
    if json_output:
        print_json({**document, "agencies": list(standing.agencies)})
    else:
        _print_run(document, standing)
    if standing.fault:
        return USAGE
    is_open = standing.total is not None and standing.total["pending"]["items"]
    return DONE if run.state == "published" and not is_open else PARTLY


def _print_run(document: Mapping[str, Json], standing: Standing) -> None:
    plain = {name: value for name, value in document.items() if not isinstance(value, dict | bool)}
    queue = document.get("queue")
    if queue:
        plain["queue"] = ", ".join(f"{count} {name}" for name, count in queue.items())
    print_pairs(plain)
    if standing.total is not None and standing.agencies:
        columns = _APART if standing.is_apart else _TOGETHER
        named = [(str(agency["agency_id"]), agency) for agency in standing.agencies]
        rows = [
            [name, *(of[column.removesuffix(" or skipped")]["items"] for column in columns)]
            for name, of in [*named, ("All", standing.total)]
        ]
        print_table(["agency", *columns], rows)


@dataclass(slots=True)
class _Row:
    """One run in the list; None is what can not be told."""

    run_id: str
    job: str | None = None
    state: str = "unreadable"
    lane: str | None = None
    planned: int | None = None
    done: int | None = None
    skipped: int | None = None
    done_or_skipped: int | None = None
    dead: int | None = None
    pending: int | None = None
    fault: str | None = None
    rolled_back_at: str | None = None

    def cells(self, columns: Sequence[str]) -> list[object]:
        values = (
            self._shown_state if column == "state" else getattr(self, _FIELDS.get(column, column)) for column in columns
        )
        return ["-" if value is None else value for value in values]

    @property
    def _shown_state(self) -> str:
        return self.state if self.rolled_back_at is None else f"{self.state}, rolled back"

    def as_json(self) -> dict[str, Json]:
        return {name: getattr(self, name) for name in self.__slots__}


_FIELDS: Final = {"run": "run_id", "done or skipped": "done_or_skipped", "of them skipped": "skipped"}


async def show_runs(control: Control, job: str | None, *, with_over: bool, json_output: bool) -> int:
    """List the runs that are not over, or all; 2 where a run's records are not what they were."""
    rows = [row async for row in _rows(control, job, with_over=with_over)]
    place = f"s3://{control.store.bucket}/{control.prefix}"
    columns = ["run", "job", "state", "lane", *_TOGETHER]
    if with_over:
        columns.insert(columns.index("dead"), "of them skipped")
    if json_output:
        print_json([row.as_json() for row in rows])
    elif rows:
        print_table(columns, [row.cells(columns) for row in rows])
        print_pairs({f"fault of {row.run_id}": row.fault for row in rows})
    elif with_over:
        print_pairs({"runs": f"none in {place}"})
    else:
        print_pairs({"runs": f"none is open in {place}; --all lists those that are over, too"})
    return USAGE if any(row.fault for row in rows) else DONE


async def _rows(control: Control, job: str | None, *, with_over: bool) -> AsyncIterator[_Row]:
    async for run_id in control.runs.list():
        try:
            run = await control.runs.find(run_id)
        except ConfigError as error:
            yield _Row(run_id, fault=str(error))
            continue
        if run is not None and job in {None, run.job} and (with_over or run.state not in OVER):
            yield await _row(control, run)


async def _row(control: Control, run: Run) -> _Row:
    row = _Row(run.run_id, run.job, run.state, run.lane, run.counts.get("planned_items"))
    row.rolled_back_at = run.rolled_back_at
    if run.state in OVER:
        row.done, row.skipped = run.counts.get("done_items"), run.counts.get("skipped_items")
        row.dead, row.pending = run.counts.get("dead_items"), run.counts.get("pending_items")
        if row.done is not None and row.skipped is not None:
            row.done_or_skipped = row.done + row.skipped
        return row
    standing = await standing_of(control, run)
    row.fault = standing.fault
    if standing.total is not None:
        row.done_or_skipped = standing.total["done"]["items"]
        row.dead, row.pending = standing.total["dead"]["items"], standing.total["pending"]["items"]
    return row
