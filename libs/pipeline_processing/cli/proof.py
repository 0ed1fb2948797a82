"""`doctor --config FILE`, `doctor --chart VALUES`: the safety proof of a whole deployment, nothing reached."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pipeline_processing.cli.checks import Check
from pipeline_processing.deployment.documents import from_chart, from_document
from pipeline_processing.safety import RULES
from pipeline_processing.safety.finding import roughly
from pipeline_processing.safety.lanes import draining, retrying
from pipeline_processing.safety.scaling import connections, writes_per_second

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline_processing.deployment import Deployment
    from pipeline_processing.safety import Rule


def proof(config: Path | None, chart: Sequence[Path]) -> list[Check]:
    """Return what the deployment amounts to, then every rule with its state; ConfigError for what can not be read."""
    deployment = from_document(config) if config else from_chart(chart)
    return [*_figures(deployment), *(check for rule in RULES for check in _checked(rule, deployment))]


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
