"""Who may do what: the policies of ``docs/aws``, filled in for scenarios, and the roles that they are attached to."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.calls import ACCOUNT, REGION
from harness.iam import Policy, denying, granting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.calls import Calls
    from harness.iam import Part

FOLDER: Final = Path(__file__).parents[3] / "docs" / "aws"
NAMES: Final[Mapping[str, str]] = {
    "Partition": "aws",
    "Account": ACCOUNT,
    "Region": REGION,
    "ControlBucket": "control",
    "ControlPrefix": "pipeline",
    "SourceBucket": "source",
    "DestinationBucket": "destination",
    "SilverBucket": "silver",
    "SilverPrefix": "silver",
    "LiveQueue": "live",
    "LiveDeadLetterQueue": "live-dlq",
    "BackfillQueue": "backfill",
    "BackfillDeadLetterQueue": "backfill-dlq",
}
"""Placeholder -> what a scenario's buckets and queues are called in `Calls`."""

ROLE_OF: Final[Mapping[str, str]] = {
    "controller": "controller",
    "worker": "worker",
    "run": "inline",
    "dlq": "operator",
    "doctor": "doctor",
    "quarantine": "inline",
    "backfill": "controller",
}
"""Command -> the role that it runs in, where a scenario says no other."""
ATTACHED: Final[Mapping[str, Sequence[str]]] = {
    "controller": ("controller.json",),
    "worker": ("worker.json",),
    "inline": ("controller.json", "worker.json", "operator.json"),
    "operator": ("operator.json",),
    "monitor": ("monitor.json",),
    "tables": ("tables.json",),
    "doctor": ("doctor.json",),
    "keda": ("keda.json",),
}
"""Role -> the policies that are attached to it: on the page too, as its test sees.

``doctor`` is whoever runs it, for that time: only what it brings, so that it needs nothing of any role.
"""
OF_BUCKETS: Final = ("bucket-control.json", "bucket-destination.json", "bucket-silver.json")


def denials(calls: Calls) -> list[str]:
    """Say of each call what its role may not do, and of each request that nobody has mapped what it is."""
    found = [f"not mapped to a permission: {request}" for request in calls.unmapped()]
    for role, need in calls.needs():
        if granting(policies(role), need):
            continue
        said = "".join(f", {key} = {value!r}" for key, value in need.context)
        because = sorted({f"docs/aws/{name} {sid}" for name, sid, _ in denying(policies(role), need)})
        missing = " nor ".join(f"docs/aws/{name}" for name in ATTACHED.get(role, ()))
        why = f"forbidden by {because[0]}" if because else f"not in {missing}"
        found.append(f"{role} may not {need.action} on {need.resource}{said}: {why}")
    return found


def unused(calls: Calls) -> set[Part]:
    """Return every part of the policies, of roles that have made a call, that no call has needed."""
    asked = calls.needs()
    every = {part for role in {role for role, _ in asked} for policy in policies(role) for part in policy.allowed()}
    return every - {part for role, need in asked for part in granting(policies(role), need)}


@cache
def policies(role: str) -> tuple[Policy, ...]:
    """Return what holds for ``role``: the policies attached to it, nothing for a stranger, and those of the buckets."""
    return tuple(Policy.load(FOLDER / name, NAMES) for name in (*ATTACHED.get(role, ()), *OF_BUCKETS))
