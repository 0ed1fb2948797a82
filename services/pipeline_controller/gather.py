"""The barrier: waits until every item is done or dead, and sends again what got lost on the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol

import structlog

from etl_core.errors import Transient
from pipeline_controller.moved_letters import write_missing_dossiers
from pipeline_controller.planning import Look, Watch, pause_after
from pipeline_controller.scatter import Scatter

if TYPE_CHECKING:
    from pipeline_processing.control import Control
    from pipeline_processing.manifest import Manifest
    from pipeline_processing.runs import Run
    from pipeline_processing.service_handler import Lane

RESENDS: Final = 3
"""How often a stalled run is sent again before its controller gives up waiting."""

Ending = Literal["complete", "timeout", "stalled", "superseded"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; ``in_flight`` counts the lane's messages, which may be other runs' too."""

    planned: int
    done: int
    dead: int
    in_flight: int


class Watcher(Protocol):
    """Is shown the progress of a run at every look."""

    def update(self, progress: Progress, *, at: float) -> None:
        """Show ``progress``, seen at ``at`` monotonic seconds."""
        ...


class Barrier:
    """Waits for one run at a time."""

    def __init__(
        self, control: Control, lane: Lane, *, poll: timedelta, stall_after: timedelta, watcher: Watcher
    ) -> None:
        self._control, self._lane, self._watcher = control, lane, watcher
        self._poll, self._stall_after = poll, stall_after

    async def wait(self, run: Run, manifest: Manifest, *, patience: timedelta | None) -> Ending:
        """Return once nothing is pending, when waiting on is of no use, or after ``patience``.

        Another controller may end or cancel the run meanwhile: that is *superseded*. A store or queue that fails for a
        while is waited out.
        """
        clock = self._control.clock
        watch = Watch(manifest.items, self._stall_after)
        started, resends = clock.monotonic(), 0
        look_took = timedelta(0)
        while True:
            look_began, pause = clock.monotonic(), self._poll
            try:
                ending, stalled = await self._look(run, manifest, watch)
                if ending is not None:
                    return ending
                if stalled:
                    if resends == RESENDS:
                        return "stalled"
                    resends += 1
                    await self._send_again(run, manifest)
                # A service that was away makes one look long: the shorter of two tells what a look costs.
                before, look_took = look_took, timedelta(seconds=clock.monotonic() - look_began)
                pause = pause_after(self._poll, min(before, look_took))
            except Transient as error:
                log.warning("gather.look_failed", run_id=run.run_id, error=str(error))
            now = clock.monotonic()
            if patience is not None and now - started >= patience.total_seconds():
                return "timeout"
            if patience is not None:
                pause = min(pause, timedelta(seconds=patience.total_seconds() - (now - started)))
            await clock.sleep(pause)

    async def _look(self, run: Run, manifest: Manifest, watch: Watch) -> tuple[Ending | None, bool]:
        current = await self._control.runs.load(run.run_id)
        conserver = self._control.conserver(run.run_id, manifest)
        if current.state == "cancelled":
            return "superseded", False
        if current.state == "published" and not (await conserver.survey()).total.pending.items:
            return "superseded", False  # what is pending in a published run was redriven: it is waited for
        done, dead = await conserver.progress()
        depth = await self._lane.queue.depth()
        now = self._control.clock.monotonic()
        self._watcher.update(Progress(manifest.items, done, dead, depth.in_flight), at=now)
        decision = watch.see(Look(now, done, dead, depth.is_empty()))
        if decision == "confirm":
            # Counting can be fooled by strays; the join can not.
            survey = await conserver.survey()
            watch.planned = manifest.items + survey.strays
            return (None if survey.total.pending.items else "complete"), False
        return None, decision == "stalled"

    async def _send_again(self, run: Run, manifest: Manifest) -> None:
        """First find out who is dead: sending a killer of workers again would only kill more of them."""
        moved = await write_missing_dossiers(self._lane.dead_letters, self._control)
        scattered = await Scatter(self._control, self._lane.queue).send_pending(run, manifest, resumed=True)
        log.warning("run.stalled", run_id=run.run_id, sent=scattered.sent, dead=moved.get(run.run_id, 0))
