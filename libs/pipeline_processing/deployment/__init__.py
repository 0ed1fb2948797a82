"""A whole installation as data: lanes, pools, schedules and limits, as the chart's values spell them.

`safety` proves one; `documents` reads one. What only Kubernetes reads (resources, tolerations, …) is let pass.
"""

from __future__ import annotations

import difflib
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from etl_core.errors import ConfigError, check_all
from etl_core.settings import Duration, unknown
from pipeline_processing.deployment.cron import check_cron
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

    from etl_core.queue import QueuePolicy

ALL_SECTIONS: Final = ("settings", "lanes", "poolDefaults", "pools", "scheduleDefaults", "schedules", "limits")
"""The top-level keys that make a deployment; the chart mounts just these."""
RETENTION_LIMIT: Final = timedelta(days=14)
"""The longest that SQS keeps a message."""

_FOR_KUBERNETES: Final = frozenset(
    {
        "affinity",
        "nodeSelector",
        "podAnnotations",
        "podDisruptionBudget",
        "priorityClassName",
        "resources",
        "scratch",
        "tolerations",
        "topologySpread",
    }
)
"""What a pool or a schedule may say beside this, which bears on no rule."""
_TOP: Final = "deployment"

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


def _without_kubernetes(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {name: part for name, part in value.items() if name not in _FOR_KUBERNETES}


class _Part(BaseModel):
    """Closed: a misspelt key is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Lane(_Part):
    """A queue with its dead-letter queue, as they are in AWS; no ``max_receive_count``: no redrive policy."""

    queue_url: str = ""
    max_receive_count: Positive | None = 7
    retention: Duration = Field(default=timedelta(days=4), gt=timedelta(0), le=RETENTION_LIMIT)
    dead_letter_retention: Duration = Field(default=RETENTION_LIMIT, gt=timedelta(0), le=RETENTION_LIMIT)
    largest_backlog: Positive = 1_000_000

    def as_found(self, policy: QueuePolicy, dead_letters: QueuePolicy | None) -> Lane:
        """Return this lane with what its queues really say in place of what was declared."""
        real: dict[str, object] = {"max_receive_count": policy.max_receive_count, "retention": policy.retention}
        if policy.dead_letter_queue is None:
            real["max_receive_count"] = None
        if dead_letters is not None:
            real["dead_letter_retention"] = dead_letters.retention
        return self.model_copy(update=real)


class Growth(_Part):
    """How fast an autoscaler may add pods: the larger of ``percent`` and ``pods``, each period."""

    percent: Positive = 100
    pods: Positive = 4
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = 90
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 0


class Shrinkage(_Part):
    """How fast an autoscaler may take pods away."""

    percent: Annotated[int, Field(ge=1, le=100)] = 100
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = 60
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 120


class Fallback(_Part):
    """What holds while KEDA can not count messages."""

    failure_threshold: Count = 3
    replicas: Count = 2


class QueueAge(_Part):
    """A second trigger: one more pod for each ``threshold`` seconds of age, read from Prometheus."""

    enabled: bool = False
    server_address: str = ""
    threshold: Positive = 300


class JobScaling(_Part):
    """What a ScaledJob has of its own."""

    rollout_strategy: Literal["gradual", "immediate"] = "gradual"
    active_deadline_seconds: Positive = 14_400
    backoff_limit: Count = 0


class Scaling(_Part):
    """How many pods a pool has: by KEDA (``deployment``, ``job``), or always ``min`` (``fixed``)."""

    kind: Literal["deployment", "job", "fixed"] = "deployment"
    min: Count = 0
    max: Count = 20
    queue_length: Positive = 8
    activation_queue_length: Count = 0
    scale_on_in_flight: bool = True
    polling_interval: Positive = 5
    cooldown_period: Count = 120
    fallback: Fallback = Fallback()
    scale_up: Growth = Growth()
    scale_down: Shrinkage = Shrinkage()
    queue_age: QueueAge = QueueAge()
    job: JobScaling = JobScaling()

    @property
    def most(self) -> int:
        """Return the most pods there can be at once."""
        return self.min if self.kind == "fixed" else self.max


class Pool(_Part):
    """Workers of one lane. ``settings`` are a pod's variables, whole: read them by `effective`."""

    name: str = Field(min_length=1)
    lane: str
    concurrency: Positive = 8
    processors: dict[str, Positive] = {}
    typical_item: Duration = Field(default=timedelta(seconds=2), gt=timedelta(0))
    longest_item: Duration = Field(default=timedelta(minutes=2), gt=timedelta(0))
    termination_grace_period_seconds: Positive = 180
    pre_stop_seconds: Count = 0
    settings: dict[str, str] = {}
    scaling: Scaling = Scaling()

    @property
    def effective(self) -> Settings:
        """Return the settings of a pod of this pool; ConfigError for values that are none."""
        given = {
            "PIPELINE_GRACE": f"{self.termination_grace_period_seconds - self.pre_stop_seconds}s",
            **self.settings,
            "PIPELINE_WORKER_CONCURRENCY": str(self.concurrency),
        }
        return settings_from(given, where=f"pool {self.name}")

    @property
    def slots(self) -> int:
        """Return how many items can be in work at once, with the most pods."""
        return self.scaling.most * self.concurrency


class Schedule(_Part):
    """A command by time: a job's controller, or any ``command`` of the product."""

    name: str = Field(min_length=1)
    job: str = ""
    command: tuple[str, ...] = ()
    cron: str
    options: tuple[str, ...] = ()
    """The controller's own, before ``--``; ``args`` are the job's, after it."""
    args: tuple[str, ...] = ()
    timezone: str = "Etc/UTC"
    suspend: bool = False
    lane: str = "live"
    starting_deadline_seconds: Positive = 3600
    active_deadline_seconds: Positive = 43_200
    backoff_limit: Count = 6
    ttl_seconds_after_finished: Count = 259_200
    settings: dict[str, str] = {}

    @property
    def effective(self) -> Settings:
        """Return the settings of its pod; ConfigError for values that are none."""
        return settings_from(self.settings, where=f"schedule {self.name}")


class Limits(_Part):
    """What the services around stand; 0 connections: not limited."""

    postgres_connections: Count = 100
    postgres_reserved: Count = 10
    s3_writes_per_second: Positive = 3500
    s3_writes_per_item: Positive = 3


class Deployment(_Part):
    """One installation. Every pool and schedule is whole: defaults are merged in."""

    lanes: dict[str, Lane]
    pools: tuple[Annotated[Pool, BeforeValidator(_without_kubernetes)], ...] = ()
    schedules: tuple[Annotated[Schedule, BeforeValidator(_without_kubernetes)], ...] = ()
    limits: Limits = Limits()

    def pools_of(self, lane: str) -> Iterator[Pool]:
        """Yield the pools that work on this lane."""
        return (pool for pool in self.pools if pool.lane == lane)


_KEYS: Final = sorted(
    {str(field.alias) for part in _Part.__subclasses__() for field in part.model_fields.values()} | _FOR_KUBERNETES
)


def parse(document: Mapping[str, Any], *, where: str = _TOP) -> Deployment:
    """Return what ``document`` describes: `ALL_SECTIONS`, defaults not merged yet. ConfigError lists every fault."""
    if strangers := sorted(set(document) - set(ALL_SECTIONS)):
        raise ConfigError(
            f"no such section: {', '.join(strangers)}", where=where, way_out=f"sections are {', '.join(ALL_SECTIONS)}"
        )
    shared = _texts(document.get("settings") or {})
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


def settings_from(variables: Mapping[str, str], *, where: str) -> Settings:
    """Return the settings that these variables alone make, whatever this process's environment holds."""
    strangers = unknown(Settings, variables)
    if strangers:
        said = "; ".join(f"{name}{f' (did you mean {near}?)' if near else ''}" for name, near in strangers.items())
        raise ConfigError(f"no setting has this name: {said}", where=where, way_out="see docs/settings.md")
    prefix = str(Settings.model_config["env_prefix"])
    fields: dict[str, Any] = {
        name.removeprefix(prefix).lower(): value
        for name, value in variables.items()
        if name.startswith(prefix) and value != ""
    }
    try:
        return _Declared(**fields)
    except ValidationError as error:
        faults = [f"{prefix}{str(fault['loc'][0]).upper()}: {_plain(fault['msg'])}" for fault in error.errors()]
        raise ConfigError("; ".join(faults), where=where, way_out="correct these settings") from None


class _Declared(Settings):
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but what is given."""
        return (init_settings,)


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
        faults += [f"{kind} {one.name}: there is no lane {one.lane!r}" for one in those if one.lane not in lanes]
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


def _place(document: Mapping[str, Any], path: Sequence[int | str]) -> str:
    """Return where a fault is, with a pool's or schedule's name in place of its number."""
    section, *rest = path
    if rest and isinstance(rest[0], int):
        part = document[str(section)][rest[0]]
        name = part.get("name", rest[0]) if isinstance(part, dict) else rest[0]
        return ".".join(str(step) for step in (f"{section}[{name}]", *rest[1:]))
    return ".".join(str(step) for step in path)


def _told(fault: ErrorDetails) -> str:
    if fault["type"] != "extra_forbidden":
        return _plain(fault["msg"])
    near = difflib.get_close_matches(str(fault["loc"][-1]), _KEYS, n=1)
    return f"no such key{f', did you mean {near[0]}?' if near else ''}"


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
