"""A whole installation as data: lanes, pools, schedules and limits, as the chart's values spell them.

`safety` proves one; `documents` reads one. What only Kubernetes reads (resources, tolerations, …) is let pass.
"""

from __future__ import annotations

import difflib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from etl_core.errors import ConfigError, check_all
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
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from etl_core.queue import QueuePolicy
    from pipeline_processing.settings import Settings

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
    "variables_of",
]

ALL_SECTIONS: Final = ("settings", "lanes", "poolDefaults", "pools", "scheduleDefaults", "schedules", "limits")
"""The top-level keys that make a deployment; the chart mounts just these."""
_DERIVED: Final[Mapping[str, str]] = {
    "PIPELINE_WORKER_CONCURRENCY": "say it as the pool's concurrency",
    "PIPELINE_LIVE_QUEUE": "say it as lanes.live.queueUrl",
    "PIPELINE_BACKFILL_QUEUE": "say it as lanes.backfill.queueUrl",
    "PIPELINE_QUEUES": "say it as each lane's queueUrl",
    "PIPELINE_DEPLOYMENT": "leave it out: it is this document",
    "PIPELINE_POOL": "leave it out: each pool's pods have their own",
}
"""Settings that follow from the rest, and what to say in their place."""
_GIVEN: Final = ("--run-id", "--lane", "--mode")
"""Options of a controller that its schedule gives."""
_KEYS: Final = sorted(
    {str(field.alias) for part in Part.__subclasses__() for field in part.model_fields.values()} | FOR_KUBERNETES
)


def parse(document: Mapping[str, Any], *, where: str = "deployment") -> Deployment:
    """Return what ``document`` describes: `ALL_SECTIONS`, defaults not merged yet. ConfigError lists every fault."""
    _check_sections(document, where)
    shared = _texts(document.get("settings") or {}, f"{where}: settings")
    settings_from(shared, where=f"{where}: settings")
    whole = {"lanes": document.get("lanes") or {}, "limits": document.get("limits") or {}}
    for parts, defaults in (("pools", "poolDefaults"), ("schedules", "scheduleDefaults")):
        shape = document.get(defaults) or {}
        whole[parts] = [_whole(part, shape, shared, f"{where}: {parts}") for part in document.get(parts) or ()]
    try:
        deployment = Deployment.model_validate(whole)
    except ValidationError as error:
        faults = [f"{_place(whole, fault['loc'])}: {_told(fault)}" for fault in error.errors()]
        raise ConfigError("; ".join(faults), where=where, way_out="correct these values") from None
    _refuse_strays(deployment, where)
    return deployment


def as_running(
    deployment: Deployment, settings: Settings, policy: QueuePolicy, dead_letters: QueuePolicy | None
) -> tuple[Deployment, Pool]:
    """Return the deployment with a worker's own settings and queues in its pool and lane, as they are, and that pool.

    ConfigError where the deployment has no such pool.
    """
    own = next((one for one in deployment.pools if one.name == settings.pool), None)
    if own is None:
        names = ", ".join(one.name for one in deployment.pools)
        raise ConfigError(
            f"the deployment has no pool {settings.pool!r}", where="PIPELINE_POOL", way_out=f"one of {names}"
        )
    real = own.model_copy(update={"settings": variables_of(settings), "concurrency": settings.worker_concurrency})
    lanes = deployment.lanes | {own.lane: deployment.lanes[own.lane].as_found(policy, dead_letters)}
    pools = tuple(real if one is own else one for one in deployment.pools)
    return deployment.model_copy(update={"lanes": lanes, "pools": pools}), real


def merged(base: object, over: object) -> Any:  # noqa: ANN401 - a document's parts have any type
    """Return ``base`` with what ``over`` says, as Helm merges values: maps by key, a null unsets, all else replaces."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    kept = {name: part for name, part in base.items() if name not in over}
    return kept | {name: merged(base.get(name), part) for name, part in over.items() if part is not None}


def _check_sections(document: Mapping[str, Any], where: str) -> None:
    """Raise where a section is none, or not of its kind, or where there is no lane at all."""
    if strangers := sorted({str(name) for name in document} - set(ALL_SECTIONS)):
        raise ConfigError(
            f"no such section: {', '.join(strangers)}", where=where, way_out=f"sections are {', '.join(ALL_SECTIONS)}"
        )
    for name, part in document.items():
        kind, words = (list, "a list") if name in {"pools", "schedules"} else (dict, "a map of keys and values")
        if part is not None and not isinstance(part, kind):
            raise ConfigError(f"{name} is no {words[2:]}", where=where, way_out=f"write {words}")
    if not document.get("lanes"):
        raise ConfigError("it has no lane, so there is nothing to prove", where=where, way_out="describe its lanes")


def _texts(variables: object, where: str) -> dict[str, str]:
    if not isinstance(variables, dict):
        raise ConfigError("settings are no map of keys and values", where=where, way_out="write NAME: value")
    texts: dict[str, str] = {}
    for name, value in variables.items():
        if isinstance(value, dict | list):
            raise ConfigError(f"{name} is no single value", where=where, way_out="write it as text")
        if str(name).upper() in _DERIVED:
            raise ConfigError(f"{name} is not for settings", where=where, way_out=_DERIVED[str(name).upper()])
        texts[str(name)] = "" if value is None else str(value)
    return texts


def _whole(part: object, defaults: object, shared: Mapping[str, str], where: str) -> object:
    """Return a pool or schedule with its defaults, and all its variables: the shared ones, then its own."""
    if not isinstance(part, dict):
        return part
    whole = merged(defaults, part)
    return whole | {"settings": {**shared, **_texts(whole.get("settings") or {}, f"{where}[{part.get('name')}]")}}


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
    faults += [
        f"pool {pool.name}: typicalItem is longer than longestItem"
        for pool in deployment.pools
        if pool.typical_item > pool.longest_item
    ]
    faults += [
        # Scale-ins would give back what waits for its turn, again and again: found in the simulation.
        f"pool {pool.name}: scaling.scaleOnInFlight must be true where processors have fewer places than concurrency"
        for pool in deployment.pools
        if pool.places < pool.concurrency and not pool.scaling.scale_on_in_flight and pool.scaling.kind != "fixed"
    ]
    faults += [
        f"schedule {one.name}: options may not hold {option}: each run has its own"
        for one in deployment.schedules
        for option in one.options
        if any(given.startswith(option.partition("=")[0]) for given in _GIVEN if len(option) > len("--"))
    ]
    for one in deployment.schedules:
        if bool(one.job) == bool(one.command):
            faults.append(f"schedule {one.name}: give it a job, or a command, one of both")
        if one.command[:2] == ("controller", "run"):
            faults.append(
                f"schedule {one.name}: give it the job, not the command: a job's runs are called by their Jobs"
            )
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
