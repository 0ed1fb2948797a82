"""The steps of a run, shared by one process and the fleet: plan, work, finish. Each may be repeated at any time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import orjson

from etl_core.errors import ConfigError
from pipeline_processing import __version__, unchanged
from pipeline_processing.control import Control
from pipeline_processing.inline import Inline
from pipeline_processing.model import Marker
from pipeline_processing.publish import Finished, Publisher
from pipeline_processing.reports import summary
from pipeline_processing.runs import Superseded, default_run_id
from pipeline_processing.tolerance import Tolerance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

    from etl_core.objects import ObjectStore
    from pipeline_processing.job import Job
    from pipeline_processing.manifest import Manifest
    from pipeline_processing.model import Item, Json
    from pipeline_processing.runs import Run
    from pipeline_processing.service_handler import ServiceHandler


def open_control(services: ServiceHandler, store: ObjectStore | None = None) -> Control:
    """Return the records in the control bucket, or in ``store``; ConfigError where neither is there."""
    return Control(
        store or services.control,
        services.settings.control_prefix,
        services.clock,
        services.jitter,
        services.nonce,
    )


def choose_run_id(
    job: Job, spec: Mapping[str, Json], services: ServiceHandler, *, scheduled: datetime | None = None
) -> str:
    """Return the id for a run that was given none: of the scheduled time, so that a repeated schedule resumes."""
    return default_run_id(job.name, spec, scheduled or services.settings.schedule_time or services.clock.now())


async def plan_run(
    job: Job,
    spec: Mapping[str, Json],
    services: ServiceHandler,
    control: Control,
    *,
    run_id: str,
    lane: str | None = None,
    tolerance: Tolerance | None = None,
    is_plan_only: bool = False,
) -> tuple[Run, Manifest]:
    """Create or resume the run and freeze its items, once; ConfigError where it is cancelled or another's.

    The first item is asked for before anything is written, so that arguments which name nothing leave nothing behind.
    """
    items: AsyncIterator[Item] | None = None
    if await control.runs.find(run_id) is None:
        items = await _primed(job.plan(run_id, spec, services))
    run = await control.runs.open(
        run_id,
        job.name,
        spec,
        code_version=__version__,
        lane=lane,
        tolerance=tolerance.text if tolerance else "0",
        is_plan_only=is_plan_only,
    )
    if run.state == "planning":
        manifests = control.manifests(run_id)
        manifest = await manifests.load() or await manifests.freeze(items or job.plan(run_id, spec, services))
        if unchanged.NAME in manifest.processors:
            await _skip(control, manifest)
        counts = {"planned_items": manifest.items, "planned_inputs": manifest.inputs}
        try:
            run = await control.runs.move(
                run, "planned", leaving="planning", manifest_sha256=manifest.sha256, counts=counts
            )
        except Superseded as lost:
            run = lost.current
    if run.state == "cancelled":
        raise ConfigError(f"run {run_id} was cancelled", where="--run-id", way_out="start another with a new --run-id")
    return run, await control.manifest(run)


async def work_inline(
    job: Job,
    services: ServiceHandler,
    control: Control,
    run: Run,
    manifest: Manifest,
    *,
    on_settled: Callable[[], None] = lambda: None,
) -> None:
    """Work off, in this process, what is not done yet. Dead items get another chance: no queue holds them."""
    await Inline(job, services, control, on_settled=on_settled).work(run, manifest)


async def finish_run(
    job: Job, services: ServiceHandler, control: Control, run_id: str, *, tolerance: Tolerance | None = None
) -> Finished:
    """Gather the run as it stands, publish what may be, report, raise the flag."""
    return await Publisher(job, services, control).finish(run_id, tolerance=tolerance)


async def run_inline(
    job: Job,
    spec: Mapping[str, Json],
    services: ServiceHandler,
    *,
    run_id: str | None = None,
    tolerate: str = "0",
    json_output: bool = False,
) -> int:
    """Run the job within this process from plan to publish; return 0, or 3 where something is missing.

    Without a control bucket the records live in memory: the run can then not be resumed.
    """
    tolerance = Tolerance.parse(tolerate)
    lasting = services.settings.control_bucket is not None
    if not lasting:
        sys.stderr.write("note: no PIPELINE_CONTROL_BUCKET, so this run's records end with this process\n")
    control = open_control(services, None if lasting else services.memory_store())
    run_id = run_id or choose_run_id(job, spec, services)
    run, manifest = await plan_run(job, spec, services, control, run_id=run_id, tolerance=tolerance)
    await work_inline(job, services, control, run, manifest)
    finished = await finish_run(job, services, control, run_id, tolerance=tolerance)
    say(finished, control if lasting else None, json_output=json_output)
    return finished.exit_code


def say(finished: Finished, control: Control | None, *, json_output: bool) -> None:
    """Write the outcome to stdout; ``control`` is None where the report can not be read any more."""
    if json_output:
        document = summary.as_json(finished.run, finished.report, exit_code=finished.exit_code)
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    report_at = None
    if control is not None:
        page = f"s3://{control.store.bucket}/{control.layout(finished.run.run_id).report('html')}"
        report_at = f"pipeline-processing controller report --run-id {finished.run.run_id} (page: {page})"
    for line in summary.lines(finished.run, finished.report, report_at=report_at):
        sys.stdout.write(f"{line}\n")


async def _skip(control: Control, manifest: Manifest) -> None:
    """Mark what the plan leaves alone, before any scatter can see it: it never becomes a message."""
    markers = control.markers(manifest.run_id)
    async for item in control.manifests(manifest.run_id).items(manifest):
        if item.processor == unchanged.NAME:
            marker = Marker(
                run_id=manifest.run_id,
                item_id=item.item_id,
                processor=item.processor,
                agency_id=item.agency_id,
                nonce=control.nonce(),
                attempt=1,
                worker=unchanged.WORKER,
                code_version=__version__,
                finished_at=control.clock.now().isoformat(),
                result=unchanged.result_of(item),
            )
            await markers.write(marker)


async def _primed(items: AsyncIterator[Item]) -> AsyncIterator[Item]:
    """Return ``items``, the first of which has been made: what is wrong with the arguments has shown."""
    first = await anext(items, None)

    async def all_items() -> AsyncIterator[Item]:
        if first is not None:
            yield first
            async for item in items:
                yield item

    return all_items()
