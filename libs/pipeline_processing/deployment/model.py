"""What a deployment is made of, and the settings that a pod of it has."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from etl_core.errors import ConfigError
from etl_core.settings import Duration, unknown
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

    from etl_core.queue import QueuePolicy

RETENTION_LIMIT: Final = timedelta(days=14)
"""The longest that SQS keeps a message."""

FOR_KUBERNETES: Final = frozenset(
    {
        "affinity",
        "nodeSelector",
        "podAnnotations",
        "podDisruptionBudget",
        "priorityClassName",
        "role",
        "resources",
        "scratch",
        "tolerations",
        "topologySpread",
    }
)
"""What a pool or a schedule may say beside this, which bears on no rule."""

Count = Annotated[int, Field(ge=0, le=10**8)]
Positive = Annotated[int, Field(ge=1, le=10**8)]
Span = Annotated[Duration, Field(gt=timedelta(0), le=RETENTION_LIMIT)]
"""A time within which SQS has a message."""


def _without_kubernetes(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {name: part for name, part in value.items() if name not in FOR_KUBERNETES}


class Part(BaseModel):
    """Closed: a misspelt key is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Lane(Part):
    """A queue with its dead-letter queue, as they are in AWS; no ``max_receive_count``: no redrive policy."""

    queue_url: str = ""
    max_receive_count: Positive | None = 7
    retention: Span = timedelta(days=4)
    dead_letter_retention: Span = RETENTION_LIMIT
    largest_backlog: Annotated[int, Field(ge=1, le=10**12)] = 1_000_000

    def as_found(self, policy: QueuePolicy, dead_letters: QueuePolicy | None) -> Lane:
        """Return this lane with what its queues really say in place of what was declared."""
        real: dict[str, object] = {"max_receive_count": policy.max_receive_count, "retention": policy.retention}
        if policy.dead_letter_queue is None:
            real["max_receive_count"] = None
        if dead_letters is not None:
            real["dead_letter_retention"] = dead_letters.retention
        return self.model_copy(update=real)


class Growth(Part):
    """How fast an autoscaler may add pods: the larger of ``percent`` and ``pods``, each period."""

    percent: Positive = 100
    pods: Positive = 4
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = 90
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 0


class Shrinkage(Part):
    """How fast an autoscaler may take pods away."""

    percent: Annotated[int, Field(ge=1, le=100)] = 100
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = 60
    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 120


class Fallback(Part):
    """What holds while KEDA can not count messages."""

    failure_threshold: Count = 3
    replicas: Count = 2


class QueueAge(Part):
    """A second trigger: one more pod for each ``threshold`` seconds of age, read from Prometheus."""

    enabled: bool = False
    server_address: str = ""
    threshold: Positive = 300


class JobScaling(Part):
    """What a ScaledJob has of its own."""

    rollout_strategy: Literal["gradual", "immediate"] = "gradual"
    active_deadline_seconds: Positive = 14_400
    backoff_limit: Annotated[int, Field(ge=0, le=0)] = 0
    """None: a second pod would begin with what is left of the first one's deadline; KEDA starts a fresh job."""


class Scaling(Part):
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


class Pool(Part):
    """Workers of one lane. ``settings`` are a pod's variables, whole: read them by `effective`."""

    name: str = Field(min_length=1)
    lane: str
    concurrency: Positive = 8
    processors: dict[str, Positive] = {}
    typical_item: Span = timedelta(seconds=2)
    longest_item: Span = timedelta(minutes=2)
    termination_grace_period_seconds: Positive = 180
    pre_stop_seconds: Count = 0
    settings: dict[str, str] = {}
    scaling: Scaling = Scaling()

    @property
    def effective(self) -> Settings:
        """Return the settings of a pod of this pool; ConfigError for values that are none."""
        given = {
            "PIPELINE_GRACE": f"{self.termination_grace_period_seconds - self.pre_stop_seconds}s",
            **{name: value for name, value in self.settings.items() if value},
            "PIPELINE_WORKER_CONCURRENCY": str(self.concurrency),
        }
        return settings_from(given, where=f"pool {self.name}")

    @property
    def places(self) -> int:
        """Return how many items are in work at once in a pod, though all be of the processor with the fewest places."""
        return min((self.concurrency, *self.processors.values()))

    @property
    def slots(self) -> int:
        """Return how many items can be in work at once, with the most pods."""
        return self.scaling.most * self.concurrency


class Schedule(Part):
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


class Limits(Part):
    """What the services around stand; 0 connections: not limited."""

    postgres_connections: Count = 100
    postgres_reserved: Count = 10
    s3_writes_per_second: Positive = 3500
    s3_writes_per_item: Positive = 3


class Deployment(Part):
    """One installation. Every pool and schedule is whole: defaults are merged in."""

    lanes: dict[str, Lane]
    pools: tuple[Annotated[Pool, BeforeValidator(_without_kubernetes)], ...] = ()
    schedules: tuple[Annotated[Schedule, BeforeValidator(_without_kubernetes)], ...] = ()
    limits: Limits = Limits()

    def pools_of(self, lane: str) -> Iterator[Pool]:
        """Yield the pools that work on this lane."""
        return (pool for pool in self.pools if pool.lane == lane)


def variables_of(settings: Settings) -> dict[str, str]:
    """Return the times and counts of ``settings`` as variables: all that a rule reads, and no secret."""
    spelled = {
        name: f"{value.total_seconds():f}s" if isinstance(value, timedelta) else str(value)
        for name, value in settings
        if isinstance(value, timedelta | int)
    }
    return {f"{settings.model_config['env_prefix']}{name.upper()}": value for name, value in spelled.items()}


def settings_from(variables: Mapping[str, str], *, where: str) -> Settings:
    """Return the settings that these variables alone make, whatever this process's environment holds."""
    variables = {name.upper(): value for name, value in variables.items()}
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
        faults = [f"{prefix}{str(fault['loc'][0]).upper()}: {plain(fault['msg'])}" for fault in error.errors()]
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


def plain(message: str) -> str:
    """Return pydantic's words without what they begin with."""
    return message.removeprefix("Value error, ")
