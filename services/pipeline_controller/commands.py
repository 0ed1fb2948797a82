"""The controller's commands, each a few steps that may be repeated; arguments and wiring are `bootstrap`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_core.errors import ConfigError
from pipeline_controller.gather import Barrier
from pipeline_controller.persistence import persist
from pipeline_controller.progress import ProgressDisplay
from pipeline_controller.scatter import Scatter
from pipeline_controller.status import show_run, show_runs
from pipeline_controller.stored_report import show_report
from pipeline_processing.cli.exits import DONE
from pipeline_processing.cli.terminal import print_json, print_pairs
from pipeline_processing.reports.estimate import estimate
from pipeline_processing.stages import finish_run, plan_run, say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path

    from pipeline_processing.control import Control
    from pipeline_processing.job import Job
    from pipeline_processing.manifest import Manifest
    from pipeline_processing.model import Json
    from pipeline_processing.runs import Run
    from pipeline_processing.service_handler import Lane, ServiceHandler
    from pipeline_processing.tolerance import Tolerance


@dataclass(frozen=True, slots=True)
class Controller:
    """Everything that a command works with."""

    services: ServiceHandler
    control: Control
    json_output: bool = False

    async def plan(
        self,
        job: Job,
        spec: Mapping[str, Json],
        run_id: str,
        lane: Lane,
        tolerance: Tolerance,
        *,
        is_plan_only: bool = False,
    ) -> tuple[Run, Manifest]:
        """Create or resume the run and freeze its items."""

        async def step() -> tuple[Run, Manifest]:
            return await plan_run(
                job,
                spec,
                self.services,
                self.control,
                run_id=run_id,
                lane=lane.name,
                tolerance=tolerance,
                is_plan_only=is_plan_only,
            )

        return await persist(step, self.control)

    async def scatter(self, run: Run, manifest: Manifest, lane: Lane) -> tuple[Run, int]:
        """Send what is not over; return how many messages that were. A plan without items needs none."""
        if run.lane not in {None, lane.name}:
            raise ConfigError(
                f"run {run.run_id} belongs to lane {run.lane}, not to {lane.name}",
                where="--lane",
                way_out="leave it out",
            )
        run, scattered = await persist(lambda: self._scatter(run.run_id, manifest, lane), self.control)
        return run, scattered

    async def _scatter(self, run_id: str, manifest: Manifest, lane: Lane) -> tuple[Run, int]:
        run = await self.control.runs.load(run_id)
        run, scattered = await Scatter(self.control, lane.queue).scatter(run, manifest, lane=lane.name)
        return run, scattered.sent if scattered else 0

    async def gather(
        self,
        job: Job,
        run_id: str,
        lane: Lane | None,
        *,
        tolerance: Tolerance | None,
        waits: bool,
        patience: timedelta | None,
    ) -> int:
        """Wait, where there is a fleet to wait for, then end the run as it stands and say what came of it."""
        if waits and lane is not None:
            await self._wait(run_id, lane, patience)
        finished = await persist(
            lambda: finish_run(job, self.services, self.control, run_id, tolerance=tolerance), self.control
        )
        say(finished, self.control, json_output=self.json_output)
        return finished.exit_code

    async def _wait(self, run_id: str, lane: Lane, patience: timedelta | None) -> None:
        settings = self.services.settings
        run = await persist(lambda: self.control.runs.load(run_id), self.control)
        manifest = await persist(lambda: self.control.manifest(run), self.control)
        with ProgressDisplay(run_id, quiet=self.json_output) as display:
            barrier = Barrier(self.control, lane, poll=settings.poll, stall_after=settings.stall_after, watcher=display)
            await barrier.wait(run, manifest, patience=patience)

    async def estimate(self, job: Job, spec: Mapping[str, Json], run_id: str) -> int:
        """Say what a run would send and cost; plans to local disk and writes nothing else."""
        found = await estimate(run_id, job.plan(run_id, spec, self.services.rehearsing()))
        says: dict[str, Json] = {"run_id": run_id, "job": job.name, **found.as_json()}
        if self.json_output:
            print_json({"dry_run": True, **says})
        else:
            print_pairs(says)
            print_pairs({"note": "nothing was written; retries and what processors read and write come on top"})
        return DONE

    async def status(self, run: Run, lane: Lane | None) -> int:
        """Say how far one run is."""
        return await show_run(self.control, run, lane, json_output=self.json_output)

    async def list_runs(self, job: str | None, *, with_over: bool) -> int:
        """List the open runs, or all, or those of one job."""
        return await show_runs(self.control, job, with_over=with_over, json_output=self.json_output)

    async def report(self, run: Run, page: Path | None) -> int:
        """Show the run's stored report."""
        return await show_report(self.control, run, json_output=self.json_output, page=page)

    async def cancel(self, run_id: str) -> int:
        """Cancel the run: its messages are dropped without work from then on."""
        run = await persist(lambda: self.control.runs.cancel(run_id), self.control)
        if self.json_output:
            print_json({"run_id": run_id, "state": run.state})
        else:
            print_pairs({"run_id": run_id, "state": run.state, "note": "workers drop its messages without work"})
        return DONE
