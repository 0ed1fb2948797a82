"""A small deployment as a document, and changes of it, named as findings name theirs: where, key, value."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from pipeline_processing.deployment import Deployment, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

Change = tuple[str, str, object]

POOL, LANE, SCHEDULE, LIMITS = "pool p", "lane live", "schedule s", "limits"

SMALL: Final[dict[str, Any]] = {
    "settings": {
        "PIPELINE_BACKOFF_BASE": "1s",
        "PIPELINE_BACKOFF_CAP": "20s",
        "PIPELINE_DATABASE_CONNECTIONS": "2",
        "PIPELINE_DRAIN": "90s",
        "PIPELINE_HEARTBEAT": "30s",
        "PIPELINE_LEASE": "90s",
    },
    "lanes": {"live": {"queueUrl": "https://sqs/live", "largestBacklog": 100, "retention": "1h"}},
    "pools": [
        {
            "name": "p",
            "lane": "live",
            "concurrency": 1,
            "typicalItem": "2s",
            "longestItem": "80s",
            "scaling": {"max": 2, "queueLength": 1},
        }
    ],
}
"""Safe: two pods of one place, and a queue that forgets after an hour, so that a world is soon over."""
MODELS: Final[dict[str, dict[str, Any]]] = {
    "pool": SMALL["pools"][0],
    "schedule": {"job": "get_s3_files", "cron": "0 2 * * *"},
}
"""What a pool or schedule is that a change adds."""


def deployment(*changes: Change) -> Deployment:
    """Return `SMALL` with ``changes``."""
    return parse(document(changes))


def document(changes: Iterable[Change]) -> dict[str, Any]:
    changed = deepcopy(SMALL)
    for where, key, value in changes:
        part = _part(changed, where)
        path = ["settings", key] if key.startswith("PIPELINE_") else key.split(".")
        for step in path[:-1]:
            part = part.setdefault(step, {})
        part[path[-1]] = value
    return changed


def _part(whole: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the part that ``where`` names; a pool, lane or schedule that is not there yet is added."""
    kind, _, name = where.partition(" ")
    if kind == "lane":
        lane: dict[str, Any] = whole["lanes"].setdefault(name, {"queueUrl": f"https://sqs/{name}"})
        return lane
    if kind in MODELS:
        parts: list[dict[str, Any]] = whole.setdefault(f"{kind}s", [])
        if name not in [part["name"] for part in parts]:
            parts.append({**deepcopy(MODELS[kind]), "name": name})
        return next(part for part in parts if part["name"] == name)
    limits: dict[str, Any] = whole.setdefault(kind, {})
    return limits
