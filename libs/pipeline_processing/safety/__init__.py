"""Which settings lose work, or bury it without its error, when they meet. Pure rules, each with its reason.

That a set which these rules accept loses and buries nothing is tested in a simulation of queue, pods and crashes; and
that each refusing rule keeps something from being lost, buried or done twice there.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from pipeline_processing.deployment import Deployment, Lane, Pool, Scaling, variables_of
from pipeline_processing.safety.finding import SPARE_RECEIVES, Finding, Rule, Severity
from pipeline_processing.safety.lanes import LANES, REDRIVE
from pipeline_processing.safety.scaling import SHARED
from pipeline_processing.safety.workers import LEASES, PODS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl_core.queue import QueuePolicy
    from pipeline_processing.settings import Settings

__all__ = ["RULES", "SPARE_RECEIVES", "Finding", "Rule", "Severity", "prove", "unsafe"]

RULES: Final = (*LEASES, *PODS, *REDRIVE, *LANES, *SHARED)
"""Every rule, in the order in which they are told."""


def prove(deployment: Deployment, rules: Iterable[Rule] = RULES) -> list[Finding]:
    """Return every finding, unsafe ones first; no unsafe one means that the deployment loses and buries nothing."""
    found = [finding for rule in rules for finding in rule.findings(deployment)]
    return sorted(found, key=lambda finding: finding.severity != "unsafe")


def unsafe(settings: Settings, policy: QueuePolicy, dead_letters: QueuePolicy | None) -> list[Finding]:
    """Return every finding about one worker and its queues, as they are, where nothing is known of a deployment."""
    lane = Lane().as_found(policy, dead_letters)
    pool = Pool(
        name="this worker",
        lane="this",
        # What an item takes is not known: it may take the lease, which is renewed.
        longest_item=settings.lease,
        termination_grace_period_seconds=max(1, ceil(settings.grace.total_seconds())),
        settings=variables_of(settings),
        scaling=Scaling(kind="fixed", min=1),
    )
    return prove(Deployment(lanes={"this": lane}, pools=(pool,)), (*LEASES, *REDRIVE))
