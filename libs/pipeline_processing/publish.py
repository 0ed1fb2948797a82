"""The end of a run: publish once, say what happened, raise one flag; idempotent, resumable, safe from several gathers.

The order, and why a death between any two steps costs a repeat and nothing else:

1. ``run.json`` → gathering. A later gather takes over by the same step, so the earlier one can not end the run.
2. The job's publish: one atomic commit that carries the run id; a repeat finds it there (law 5). Skipped while items
   are pending, or more are dead than tolerated: readers see all of a run or none of it.
3. ``run.json`` → published or partial: only the gather that still holds step 1 gets through.
4. ``report.json`` (conditional, never an older revision over a newer one), then ``report.html``.
5. The flag: first the other one goes, then ours comes, so there are never two. A gather that finds the run over but its
   report or flag missing or old does steps 4 and 5 again.
6. ``run.json`` once more: if it has moved since, this gather was late and looks at the run anew.

Late items (a redrive after the run was over) are a second commit of the same run: steps 1 to 6 again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from etl_core.errors import ConfigError, InvalidData, NotFound, PreconditionFailed, ReplyLost, Transient
from pipeline_processing.conservation import Conservation
from pipeline_processing.model import NamesProblems, canonical_json
from pipeline_processing.problems import Problems
from pipeline_processing.reports.failures import FailureGroups
from pipeline_processing.reports.page import render
from pipeline_processing.reports.report import Report, build
from pipeline_processing.runs import Superseded
from pipeline_processing.tolerance import Tolerance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from pipeline_processing.control import Control
    from pipeline_processing.job import Job
    from pipeline_processing.layout import RunLayout
    from pipeline_processing.manifest import Manifest
    from pipeline_processing.model import Gathered, Problem, Published
    from pipeline_processing.runs import Run
    from pipeline_processing.service_handler import ServiceHandler

ROUNDS: Final = 10
PATIENCE: Final = timedelta(minutes=2)
"""How long a gather that was taken over waits for the other to end the run, before it takes over in turn; doubles."""
DOSSIERS_READ: Final = 10_000
_READS: Final = 32

DONE: Final = 0
PARTLY: Final = 3

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Finished:
    """A run after its gather; ``report`` is None only for a cancelled one.

    ``pending`` counts items that were given another chance after the run was over: late items, yet to be published.
    """

    run: Run
    report: Report | None
    pending: int = 0

    @property
    def exit_code(self) -> int:
        """Return 0 for a success, 3 for anything less."""
        return DONE if self.run.state == "published" and not self.pending else PARTLY


@dataclass(slots=True)
class _Account:
    """What one pass over a run's results saw. ``named_by`` are the processors to ask which inputs failed, by name."""

    named_by: Mapping[str, NamesProblems] = field(default_factory=dict)
    conservation: Conservation = field(default_factory=Conservation)
    dead: list[str] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    published: Published | None = None

    def named(self) -> Sequence[Problem]:
        """Return the inputs that failed inside items that are done, as far as their names are known."""
        return self.published.problems if self.published else self.problems.first()

    async def watch(self, results: AsyncIterator[Gathered]) -> AsyncIterator[Gathered]:
        async for gathered in results:
            if gathered.state == "dead" and len(self.dead) < DOSSIERS_READ:
                self.dead.append(gathered.item.item_id)
            if gathered.marker is not None and gathered.marker.result.failed:
                processor = self.named_by.get(gathered.item.processor)
                for problem in processor.problems_of(gathered) if processor else ():
                    self.problems.add(problem)
            yield gathered


def shortfalls(conservation: Conservation, tolerance: Tolerance) -> tuple[list[str], bool]:
    """Return what keeps a run from being whole, one line each, and whether that much is tolerated. Pure."""
    total = conservation.total
    lines = []
    if total.pending.items:
        lines.append(f"pending: {_counted(total.pending.items, 'item')} ({_counted(total.pending.inputs, 'input')})")
    if total.dead.items:
        lines.append(f"dead: {_counted(total.dead.items, 'item')} ({_counted(total.dead.inputs, 'input')})")
    if total.failed_inputs:
        lines.append(f"failed inside items that are done: {_counted(total.failed_inputs, 'input')}")
    failed = _dead_inputs(conservation) + total.failed_inputs
    return lines, not total.pending.items and tolerance.allows(failed, total.planned.inputs)


def may_publish(conservation: Conservation, tolerance: Tolerance) -> bool:
    """Say whether readers may see the run: nothing is pending, and no more is dead than tolerated. Pure.

    Failed inputs of items that are done do not hold a publish up: what is published says which they are.
    """
    total = conservation.total
    return not total.pending.items and tolerance.allows(_dead_inputs(conservation), total.planned.inputs)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _dead_inputs(conservation: Conservation) -> int:
    """Count a dead item that stands for no input as one: it must not be tolerated for nothing."""
    dead = conservation.total.dead
    return max(dead.inputs, dead.items)


class Publisher:
    """Ends runs of one job."""

    def __init__(self, job: Job, services: ServiceHandler, control: Control) -> None:
        self._job, self._services, self._control = job, services, control

    async def finish(self, run_id: str, *, tolerance: Tolerance | None = None) -> Finished:
        """Gather the run as it stands and end it; ``tolerance`` defaults to what was asked for last.

        May be called at any time and any number of times. A run that is published stays so until late items are done.
        Raises Transient when other gathers kept taking the run over; ConfigError when it is not planned.
        """
        patience = PATIENCE
        for _ in range(ROUNDS):
            try:
                return await self._round(run_id, tolerance)
            except Superseded as lost:
                log.info("gather.superseded", run_id=run_id, state=lost.current.state)
                await self._let_finish(lost.current, patience)
                patience *= 2
        raise Transient(f"run {run_id}: other gathers kept taking it over")

    async def _round(self, run_id: str, tolerance: Tolerance | None) -> Finished:
        run = await self._control.runs.load(run_id)
        if run.state == "cancelled":
            return Finished(run, None)
        manifest = await self._control.manifest(run)
        allowed = tolerance or Tolerance.parse(run.tolerance)
        survey = await self._control.conserver(run_id, manifest).survey()
        if _is_settled(run, survey, allowed):
            report = await self._standing_report(run)
            if report is not None:
                return Finished(run, report, survey.total.pending.items)
            # A run that was published is published again: that changes nothing, and says what the report is to say.
            account = await self._account(run_id, manifest, publish_for=run if run.commits else None)
        else:
            run, account = await self._end(run, manifest, survey, allowed)
        report = await self._record(run, account)
        latest = await self._control.runs.load(run_id)
        if latest.revision != run.revision:
            raise Superseded(latest)
        return Finished(run, report, account.conservation.total.pending.items)

    async def _end(
        self, run: Run, manifest: Manifest, survey: Conservation, tolerance: Tolerance
    ) -> tuple[Run, _Account]:
        runs = self._control.runs
        run = await runs.move(run, "gathering", leaving=run.state, tolerance=tolerance.text)
        publishes = may_publish(survey, tolerance)
        account = await self._account(run.run_id, manifest, publish_for=run if publishes else None)
        _, is_whole = shortfalls(account.conservation, tolerance)
        commits = run.commits
        published = account.published
        if published is not None and published.commit and published.commit not in commits:
            commits = (*commits, published.commit)
        is_withheld = published is not None and bool(published.withheld)
        run = await runs.move(
            run,
            "published" if publishes and is_whole and not is_withheld else "partial",
            leaving="gathering",
            counts=_counts(account.conservation),
            commits=commits,
        )
        items = {state: run.counts[f"{state}_items"] for state in ("planned", "done", "skipped", "dead", "pending")}
        log.info("run.ended", run_id=run.run_id, state=run.state, **items)
        return run, account

    async def _account(self, run_id: str, manifest: Manifest, *, publish_for: Run | None = None) -> _Account:
        """Go over every result once, through the job's publish if it is to; a job need not read them all."""
        account = _Account({} if publish_for else self._naming())
        results = account.watch(self._control.conserver(run_id, manifest).gather(account.conservation))
        if publish_for is not None:
            account.published = await self._job.publish(run_id, publish_for.spec, results, self._services)
        async for _ in results:
            pass
        if account.conservation.total.planned.items != manifest.items:
            again = await self._account(run_id, manifest)
            again.published = account.published
            return again
        return account

    def _naming(self) -> dict[str, NamesProblems]:
        """Return the processors that tell failed inputs; none where this process lacks what only workers need."""
        try:
            processors = self._job.processors(self._services)
        except ConfigError:
            return {}
        return {processor.name: processor for processor in processors if isinstance(processor, NamesProblems)}

    async def _record(self, run: Run, account: _Account) -> Report:
        layout = self._control.layout(run.run_id)
        because, _ = shortfalls(account.conservation, Tolerance.parse(run.tolerance))
        if account.published is not None and account.published.withheld:
            because.append(f"withheld from readers: {account.published.withheld}")
        failures = await self._failures(run.run_id, account.dead)
        report = build(
            run, account.conservation, failures, account.published, because=because, problems=account.named()
        )
        await self._write_report(run, layout, report)
        await self._control.store.put(
            layout.report("html"), render(report).encode(), content_type="text/html; charset=utf-8"
        )
        await self._raise_flag(run, layout)
        return report

    async def _failures(self, run_id: str, dead: Sequence[str]) -> FailureGroups:
        groups, evidence = FailureGroups(), self._control.evidence(run_id)
        for start in range(0, len(dead), _READS):
            reads = (evidence.read_dossier(item_id) for item_id in dead[start : start + _READS])
            for dossier in await asyncio.gather(*reads):
                if dossier is not None:
                    groups.add(dossier)
        return groups

    async def _write_report(self, run: Run, layout: RunLayout, report: Report) -> None:
        """Write unless a newer revision's report is there; one that comes in between shows up as another ETag."""
        store, key = self._control.store, layout.report("json")
        try:
            there = await store.get(key)
        except NotFound:
            there = None
        try:
            if there is None:
                await store.put_if_absent(key, report.encode(), content_type="application/json")
            elif _revision(there.body) <= run.revision:
                await store.put_if_match(key, report.encode(), etag=there.info.etag, content_type="application/json")
            else:
                raise Superseded(await self._control.runs.load(run.run_id))
        except (PreconditionFailed, ReplyLost) as error:
            # Either way what stands there now tells: our own revision, or another's that is looked at anew.
            try:
                stands = _revision((await store.get(key)).body)
            except NotFound:
                raise Transient(f"{key} was not written: the request was lost") from error
            if stands != run.revision:
                raise Superseded(await self._control.runs.load(run.run_id)) from error

    async def _raise_flag(self, run: Run, layout: RunLayout) -> None:
        store = self._control.store
        ours, other = _flags(run, layout)
        report = await store.delete([other])
        if report.failed:
            raise Transient(f"{other} could not be removed: {report.failed[0].code}")
        body = canonical_json({"run_id": run.run_id, "revision": run.revision, "report": layout.report("json")})
        await store.put(ours, body, content_type="application/json")

    async def _standing_report(self, run: Run) -> Report | None:
        """Return the run's report if it and the right flag, and only that, stand for the run's revision."""
        layout, store = self._control.layout(run.run_id), self._control.store
        ours, other = _flags(run, layout)
        try:
            report = Report.decode((await store.get(layout.report("json"))).body)
            for key in (layout.report("html"), ours):
                await store.head(key)
        except (NotFound, InvalidData):
            return None
        try:
            await store.head(other)
        except NotFound:
            return report if report.revision == run.revision else None
        return None

    async def _let_finish(self, run: Run, patience: timedelta) -> None:
        """Wait while another gather is at the run; two that kept taking over would never end it."""
        clock, pause = self._control.clock, self._services.settings.poll
        until = clock.monotonic() + patience.total_seconds() * (1 + self._control.jitter())
        while run.state == "gathering" and clock.monotonic() < until:
            await clock.sleep(pause)
            run = await self._control.runs.load(run.run_id)


def _flags(run: Run, layout: RunLayout) -> tuple[str, str]:
    """Return the key of the flag that the run has earned, and of the one that it must not have."""
    return (layout.success, layout.partial) if run.state == "published" else (layout.partial, layout.success)


def _is_settled(run: Run, survey: Conservation, tolerance: Tolerance) -> bool:
    """Say whether the run is over and nothing has come since that could change how it ended."""
    done = run.counts.get("done_items", 0) + run.counts.get("skipped_items", 0)
    if run.state == "published":
        return survey.total.done.items == done or not may_publish(survey, tolerance)
    same = (survey.total.done.items, survey.total.dead.items) == (done, run.counts.get("dead_items", 0))
    return run.state == "partial" and same and run.tolerance == tolerance.text


def _counts(conservation: Conservation) -> dict[str, int]:
    total = conservation.total
    counts: dict[str, int] = {"failed_inputs": total.failed_inputs, "strays": conservation.strays}
    for state in ("planned", "done", "skipped", "dead", "pending"):
        tally = getattr(total, state)
        counts |= {f"{state}_items": tally.items, f"{state}_inputs": tally.inputs}
    return counts


def _revision(body: bytes) -> int:
    try:
        return Report.decode(body).revision
    except InvalidData:
        return 0
