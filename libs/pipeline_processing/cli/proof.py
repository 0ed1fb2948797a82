"""`doctor --config FILE`, `doctor --chart VALUES`: the safety proof of a whole deployment, nothing reached."""

from __future__ import annotations

import shlex
from contextlib import redirect_stderr
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from etl_core.settings import assuming
from pipeline_processing.arguments import typed_as
from pipeline_processing.cli.checks import Check
from pipeline_processing.cli.manifest_checks import check_command
from pipeline_processing.deployment import settings_from
from pipeline_processing.deployment.documents import from_chart, from_document
from pipeline_processing.jobs.registry import discover, no_processor
from pipeline_processing.safety import RULES
from pipeline_processing.safety.finding import roughly
from pipeline_processing.safety.lanes import draining, retrying
from pipeline_processing.safety.scaling import connections, writes_per_second
from pipeline_processing.service_handler import ServiceHandler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline_processing.deployment import Deployment, Schedule
    from pipeline_processing.jobs.registry import Registry
    from pipeline_processing.safety import Rule


_CONTRACTS: Final = frozenset({"--contract", "--dataset"})
"""Arguments that name a file: it is where the run is, not here."""


def proof(config: Path | None, chart: Sequence[Path]) -> list[Check]:
    """Return what the deployment amounts to, then every rule with its state; ConfigError for what can not be read."""
    deployment = from_document(config) if config else from_chart(chart)
    registry = discover()
    return [
        *_figures(deployment),
        *_processors(deployment, registry),
        *_runs(deployment, registry),
        *(check for rule in RULES for check in _checked(rule, deployment)),
    ]


def _processors(deployment: Deployment, registry: Registry) -> Iterator[Check]:
    """Refuse limits of processors that there are not: the pool's workers would not start."""
    limited = {pool.name: pool.processors for pool in deployment.pools if pool.processors}
    if not limited:
        return
    known = registry.processors(ServiceHandler(settings_from({}, where="")))
    for pool, limits in limited.items():
        for name in (name for name in limits if name not in known):
            error = no_processor(name, known, where=f"pool {pool}: processors")
            yield Check(error.where, "fault", error.what, error.way_out)


def _runs(deployment: Deployment, registry: Registry) -> Iterator[Check]:
    """Let each scheduled job or command read its words, with its schedule's settings and none of this process's."""
    for schedule in deployment.schedules:
        subject = f"schedule {schedule.name}"
        said, words = StringIO(), shlex.join((*(schedule.command or (schedule.job,)), *schedule.args))
        try:
            with redirect_stderr(said), assuming(dict(schedule.effective)):
                _read(schedule, registry)
        except SystemExit:
            yield Check(subject, "fault", said.getvalue().splitlines()[0].removeprefix("error: "), "correct its args")
        except ConfigError as error:
            if error.where in _CONTRACTS and any(name in words for name in _CONTRACTS):
                yield Check(subject, "skipped", f"its contract is read in the cluster: {error.what}")
            else:
                yield Check(subject, "fault", error.what, error.way_out)
        else:
            note = said.getvalue().removeprefix("note: ").strip()
            yield Check(subject, "skipped" if note else "ok", note or f"it is understood: {words}")


def _read(schedule: Schedule, registry: Registry) -> None:
    if schedule.command:
        check_command((*schedule.command, *schedule.args))
    else:
        with typed_as(f"the args of {schedule.job}"):
            registry.load(schedule.job).parse(schedule.args)


def _figures(deployment: Deployment) -> Iterator[Check]:
    """Yield what the rules reckon with, so that a reader can."""
    for name, lane in deployment.lanes.items():
        pools = list(deployment.pools_of(name))
        took = draining(deployment, name)
        longest = max((retrying(pool) for pool in pools), default=timedelta(0))
        pods, slots = sum(pool.scaling.most for pool in pools), sum(pool.slots for pool in pools)
        backlog = f"{lane.largest_backlog:,} items in {roughly(took)}" if took else "nothing is worked on"
        yield Check(
            f"lane {name}",
            "ok",
            f"up to {pods:,} pods, {slots:,} items at once: {backlog}; one item's attempts take up to"
            f" {roughly(longest)}",
        )
    limits = deployment.limits
    used = f"{connections(deployment):,} connections to Postgres"
    if limits.postgres_connections:
        used += f" of {limits.postgres_connections:,}, {limits.postgres_reserved:,} of them kept for others"
    yield Check(
        "together",
        "ok",
        f"up to {used}; {writes_per_second(deployment):,.0f} writes a second to S3 of {limits.s3_writes_per_second:,}",
    )


def _checked(rule: Rule, deployment: Deployment) -> Iterator[Check]:
    if why := rule.skips(deployment):
        yield Check(rule.name, "skipped", why)
        return
    findings = list(rule.findings(deployment))
    if not findings:
        yield Check(rule.name, "ok", rule.promise)
    for found in findings:
        subject = f"{found.where}: {found.rule}"
        yield Check(subject, found.severity, f"{found.message}: {found.reason}", found.fix)
