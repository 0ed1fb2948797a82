"""Brings every open run of the fleet on: one pass, safe at any time and beside other controllers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import structlog

from etl_core.errors import EtlError
from pipeline_controller.moved_letters import write_missing_dossiers
from pipeline_controller.scatter import Scatter
from pipeline_processing.stages import finish_run, plan_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pipeline_processing.conservation import Conservation
    from pipeline_processing.control import Control
    from pipeline_processing.job import Job
    from pipeline_processing.manifest import Manifest
    from pipeline_processing.model import Json
    from pipeline_processing.runs import Run
    from pipeline_processing.service_handler import Lane, ServiceHandler

What = Literal[
    "gathered", "sent_again", "resumed", "repaired", "waiting", "inline", "failed", "dossiers_written", "left_alone"
]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Action:
    """What was done for one run, in a sentence; ``is_open`` says that something is left to come."""

    run_id: str
    what: What
    why: str
    is_open: bool = False

    def as_json(self) -> dict[str, Json]:
        """Return the action as JSON."""
        return asdict(self)


class Reconcile:
    """One pass over all runs. ``lanes`` are those that are configured; ``load`` returns a job by name."""

    def __init__(
        self, services: ServiceHandler, control: Control, lanes: dict[str, Lane], load: Callable[[str], Job]
    ) -> None:
        self._services, self._control, self._lanes, self._load = services, control, lanes, load

    async def run(self) -> AsyncIterator[Action]:
        """Yield what was done; a run that fails hides no other."""
        for lane in self._lanes.values():
            written = await write_missing_dossiers(lane.dead_letters, self._control)
            for run_id, count in sorted(written.items()):
                yield Action(run_id, "dossiers_written", f"{count} items were moved to {lane.dead_letters.name}")
        async for run_id in self._control.runs.list():
            try:
                action = await self._bring_on(run_id)
            except EtlError as error:
                log.exception("reconcile.failed", run_id=run_id)
                action = Action(run_id, "failed", str(error), is_open=True)
            if action is not None:
                yield action

    async def _bring_on(self, run_id: str) -> Action | None:
        run = await self._control.runs.find(run_id)
        if run is None or run.state == "cancelled":
            return None
        if run.state == "published" and not run.counts.get("dead_items"):
            return await self._repair(run)
        return await self._bring_on_open(run)

    async def _bring_on_open(self, run: Run) -> Action | None:
        if run.lane is not None and run.state in {"planning", "planned"}:
            return await self._resume(run)
        if run.manifest_sha256 is None:
            return Action(run.run_id, "inline", "it is being planned within one process", is_open=True)
        manifest = await self._control.manifest(run)
        survey = await self._control.conserver(run.run_id, manifest).survey()
        if survey.total.pending.items:
            return await self._look_after(run, manifest, survey)
        return await self._finish(run)

    async def _repair(self, run: Run) -> Action | None:
        """Finish a published run whose gather was killed on the way to the flag, which comes last."""
        layout = self._control.layout(run.run_id)
        if [layout.success] == [info.key async for info in self._control.store.list(layout.flags)]:
            return None
        await finish_run(self._load(run.job), self._services, self._control, run.run_id)
        return Action(run.run_id, "repaired", "it was published without its flag")

    async def _finish(self, run: Run) -> Action | None:
        finished = await finish_run(self._load(run.job), self._services, self._control, run.run_id)
        if finished.run.revision == run.revision:
            return None
        return Action(run.run_id, "gathered", f"it is {finished.run.state} now")

    async def _resume(self, run: Run) -> Action:
        """Go on where a controller died while it planned or scattered; one that lives is given time.

        An altered manifest is said at once: waiting does not mend it.
        """
        if run.manifest_sha256 is not None:
            planned = await self._control.manifest(run)
            async for _ in self._control.manifests(run.run_id).items(planned):
                pass
        if run.state == "planned" and run.is_plan_only and not run.scatters:
            return Action(run.run_id, "left_alone", "it was planned alone; `controller scatter` sends it")
        idle = self._control.clock.now() - datetime.fromisoformat(run.entered[run.state])
        if idle < self._services.settings.stall_after:
            return Action(run.run_id, "waiting", f"it was {run.state} {_said(idle)} ago", is_open=True)
        lane = self._lanes.get(run.lane or "")
        if lane is None:
            return Action(run.run_id, "left_alone", f"lane {run.lane} is not configured here", is_open=True)
        run, manifest = await plan_run(
            self._load(run.job), run.spec, self._services, self._control, run_id=run.run_id, lane=run.lane
        )
        if run.is_plan_only and not run.scatters:
            return Action(run.run_id, "resumed", "its controller was gone; it is planned now", is_open=True)
        run, scattered = await Scatter(self._control, lane.queue).scatter(run, manifest, lane=lane.name)
        sent = scattered.sent if scattered else 0
        return Action(run.run_id, "resumed", f"its controller was gone; {sent} items were sent", is_open=True)

    async def _look_after(self, run: Run, manifest: Manifest, survey: Conservation) -> Action:
        pending = survey.total.pending.items
        if run.lane is None:
            return Action(run.run_id, "inline", f"{pending} items wait for its own process", is_open=True)
        lane = self._lanes.get(run.lane)
        if lane is None:
            return Action(run.run_id, "left_alone", f"lane {run.lane} is not configured here", is_open=True)
        quiet = await self._quiet_for(run)
        if quiet < self._services.settings.stall_after or not await self._is_empty(lane):
            return Action(run.run_id, "waiting", f"{pending} items are pending", is_open=True)
        scattered = await Scatter(self._control, lane.queue).send_pending(run, manifest, resumed=True)
        return Action(
            run.run_id,
            "sent_again",
            f"{scattered.sent} items were neither done, dead nor in the queue for {_said(quiet)}",
            is_open=True,
        )

    async def _quiet_for(self, run: Run) -> timedelta:
        """Return how long ago the run last moved: its record, or the newest marker."""
        layout = self._control.layout(run.run_id)
        latest = max(datetime.fromisoformat(at) for at in run.entered.values())
        async for info in self._control.store.list(layout.done):
            latest = max(latest, info.modified)
        return self._control.clock.now() - latest

    async def _is_empty(self, lane: Lane) -> bool:
        """Look twice: the counts are approximate, and one empty answer proves nothing (law 11)."""
        if not (await lane.queue.depth()).is_empty():
            return False
        await self._control.clock.sleep(self._services.settings.poll)
        return (await lane.queue.depth()).is_empty()


def _said(duration: timedelta) -> str:
    return str(timedelta(seconds=int(duration.total_seconds())))
