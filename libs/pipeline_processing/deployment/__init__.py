"""A whole installation as data: lanes, pools, schedules and limits, as the chart's values spell them.

`safety` proves one; `documents` reads one. What only Kubernetes reads (resources, tolerations, …) is let pass.
"""

from __future__ import annotations

import difflib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from etl_core.errors import ConfigError, check_all
from etl_core.settings import unknown
from pipeline_processing.deployment.cron import check_cron
from pipeline_processing.deployment.model import (
    FOR_KUBERNETES,
    RETENTION_LIMIT,
    Deployment,
    Lane,
    Limits,
    Part,
    Pool,
    Scaling,
    Schedule,
    plain,
    settings_from,
)
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from etl_core.queue import QueuePolicy

__all__ = [
    "ALL_SECTIONS",
    "FOR_KUBERNETES",
    "RETENTION_LIMIT",
    "Deployment",
    "Lane",
    "Limits",
    "Pool",
    "Scaling",
    "Schedule",
    "as_running",
    "merged",
    "parse",
    "settings_from",
]

ALL_SECTIONS: Final = ("settings", "lanes", "poolDefaults", "pools", "scheduleDefaults", "schedules", "limits")
"""The top-level keys that make a deployment; the chart mounts just these."""
_KEYS: Final = sorted(
    {str(field.alias) for part in Part.__subclasses__() for field in part.model_fields.values()} | FOR_KUBERNETES
)


def parse(document: Mapping[str, Any], *, where: str = "deployment") -> Deployment:
    """Return what ``document`` describes: `ALL_SECTIONS`, defaults not merged yet. ConfigError lists every fault."""
    if strangers := sorted(set(document) - set(ALL_SECTIONS)):
        raise ConfigError(
            f"no such section: {', '.join(strangers)}", where=where, way_out=f"sections are {', '.join(ALL_SECTIONS)}"
        )
    shared = _texts(document.get("settings") or {})
    settings_from(shared, where=f"{where}: settings")
    whole = {
        "lanes": document.get("lanes") or {},
        "pools": [_whole(pool, document.get("poolDefaults"), shared) for pool in document.get("pools") or ()],
        "schedules": [_whole(one, document.get("scheduleDefaults"), shared) for one in document.get("schedules") or ()],
        "limits": document.get("limits") or {},
    }
    try:
        deployment = Deployment.model_validate(whole)
    except ValidationError as error:
        faults = [f"{_place(whole, fault['loc'])}: {_told(fault)}" for fault in error.errors()]
        raise ConfigError("; ".join(faults), where=where, way_out="correct these values") from None
    _refuse_strays(deployment, where)
    return deployment


def as_running(
    deployment: Deployment,
    pool: str | None,
    variables: Mapping[str, str],
    policy: QueuePolicy,
    dead_letters: QueuePolicy | None,
) -> tuple[Deployment, Pool]:
    """Return the deployment with one pool's settings and queues as they really are, and that pool.

    ``variables`` are the environment of one of its workers. ConfigError where it has no such pool.
    """
    own = next((one for one in deployment.pools if one.name == pool), None)
    if own is None:
        names = ", ".join(one.name for one in deployment.pools)
        raise ConfigError(f"the deployment has no pool {pool!r}", where="PIPELINE_POOL", way_out=f"one of {names}")
    settings = {name: value for name, value in variables.items() if name.startswith("PIPELINE_")}
    real = own.model_copy(
        update={
            "settings": {name: value for name, value in settings.items() if name not in unknown(Settings, settings)},
            "concurrency": int(settings.get("PIPELINE_WORKER_CONCURRENCY", own.concurrency)),
        }
    )
    lanes = deployment.lanes | {own.lane: deployment.lanes[own.lane].as_found(policy, dead_letters)}
    pools = tuple(real if one is own else one for one in deployment.pools)
    return deployment.model_copy(update={"lanes": lanes, "pools": pools}), real


def merged(base: object, over: object) -> Any:  # noqa: ANN401 - a document's parts have any type
    """Return ``base`` with what ``over`` says, as Helm merges values: maps by key, a null unsets, all else replaces."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    kept = {name: part for name, part in base.items() if name not in over}
    return kept | {name: merged(base.get(name), part) for name, part in over.items() if part is not None}


def _texts(variables: Mapping[str, object]) -> dict[str, str]:
    return {str(name): value if isinstance(value, str) else str(value) for name, value in variables.items()}


def _whole(part: object, defaults: object, shared: Mapping[str, str]) -> object:
    """Return a pool or schedule with its defaults, and all its variables: the shared ones, then its own."""
    if not isinstance(part, dict):
        return part
    whole = merged(defaults or {}, part)
    return whole | {"settings": {**shared, **_texts(whole.get("settings") or {})}}


def _refuse_strays(deployment: Deployment, where: str) -> None:
    """Raise for references to lanes that are not there, names used twice, and settings that are none."""
    faults: list[str] = []
    named: dict[str, tuple[Pool | Schedule, ...]] = {"pool": deployment.pools, "schedule": deployment.schedules}
    for kind, those in named.items():
        names = [one.name for one in those]
        faults += [f"two {kind}s are called {name}" for name in sorted({n for n in names if names.count(n) > 1})]
        lanes = deployment.lanes
        faults += [
            f"{kind} {one.name}: there is no lane {one.lane!r}{_among(one.lane, lanes)}"
            for one in those
            if one.lane not in lanes and not (isinstance(one, Schedule) and one.command)
        ]
    faults += [
        f"pool {pool.name}: jobs have no minimum: set scaling.min to 0"
        for pool in deployment.pools
        if pool.scaling.kind == "job" and pool.scaling.min
    ]
    for one in deployment.schedules:
        if bool(one.job) == bool(one.command):
            faults.append(f"schedule {one.name}: give it a job, or a command, one of both")
    parts: tuple[Pool | Schedule, ...] = (*deployment.pools, *deployment.schedules)
    times = [partial(check_cron, one.cron, where=f"schedule {one.name}") for one in deployment.schedules]
    try:
        check_all(*times, *(partial(getattr, part, "effective") for part in parts))
    except ConfigError as error:
        faults.append(str(error))
    if faults:
        raise ConfigError("; ".join(faults), where=where, way_out="correct these values")


def _among(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]}?" if near else f"; there is {', '.join(known) or 'none'}"


def _place(document: Mapping[str, Any], path: Sequence[int | str]) -> str:
    """Return where a fault is, with a pool's or schedule's name in place of its number."""
    section, *rest = path
    if rest and isinstance(rest[0], int):
        part = document[str(section)][rest[0]]
        name = part.get("name", rest[0]) if isinstance(part, dict) else rest[0]
        return ".".join(str(step) for step in (f"{section}[{name}]", *rest[1:]))
    return ".".join(str(step) for step in path)


def _told(fault: ErrorDetails) -> str:
    if fault["type"] == "model_type":
        return "this is no map of keys and values"
    if fault["type"] != "extra_forbidden":
        return plain(fault["msg"])
    near = difflib.get_close_matches(str(fault["loc"][-1]), _KEYS, n=1)
    return f"no such key{f', did you mean {near[0]}?' if near else ''}"
