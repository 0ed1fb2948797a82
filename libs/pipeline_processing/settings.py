"""The product's settings: environment variables ``PIPELINE_*``.

Credentials, region and endpoint are the AWS SDK's own variables.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path  # noqa: TC003 - pydantic evaluates the annotations
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from etl_core.settings import Duration  # noqa: TC001 - pydantic evaluates the annotations

_LANE: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def _named_queues(value: object) -> object:
    if not isinstance(value, str):
        return value
    queues: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in value.split(","))):
        lane, equals, queue = (part.strip() for part in pair.partition("="))
        if not (equals and queue and _LANE.fullmatch(lane)):
            msg = f"{pair!r} is not LANE=QUEUE, with a lane's name of a-z, 0-9 and -"
            raise ValueError(msg)
        queues[lane] = queue
    return queues


class Settings(BaseSettings):
    """Everything that a deployment may set. Reading it makes no connection."""

    model_config = SettingsConfigDict(env_prefix="PIPELINE_", extra="ignore", frozen=True, env_ignore_empty=True)

    control_bucket: str | None = Field(default=None, description="Bucket of run records: manifests, markers, reports.")
    control_prefix: str = Field(default="pipeline", description="Prefix inside the control bucket.")
    source_bucket: str | None = Field(default=None, description="Default source bucket of jobs that copy.")
    destination_bucket: str | None = Field(default=None, description="Default destination bucket of jobs that copy.")
    silver_bucket: str | None = Field(default=None, description="Default bucket of the silver tables.")
    silver_prefix: str = Field(default="silver", description="Prefix of the silver tables inside their bucket.")
    contracts_dir: Path | None = Field(default=None, description="Folder of contracts, for `--dataset NAME`.")
    token_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Key that classified columns are hashed and tokenised with; at least 16 characters.",
    )

    live_queue: str | None = Field(
        default=None, description="Name or URL of the live lane's queue; its DLQ is the one of its redrive policy."
    )
    backfill_queue: str | None = Field(default=None, description="Name or URL of the backfill lane's queue.")
    queues: Annotated[dict[str, str], NoDecode, BeforeValidator(_named_queues)] = Field(
        default={}, description="Queues of further lanes: `LANE=QUEUE,LANE=QUEUE`, each a name or URL."
    )

    database_url: SecretStr | None = Field(default=None, description="postgresql://user:password@host:port/database")
    database_statement_cache: int = Field(
        default=100, ge=0, description="Prepared statements kept a connection; 0 behind PgBouncer."
    )
    database_connections: int = Field(
        default=10, ge=1, le=1000, description="Most connections of one process to the database."
    )
    queries_dir: Path | None = Field(default=None, description="Folder of SQL files that replace the built-in queries.")

    lease: Duration = Field(
        default=timedelta(minutes=5),
        gt=timedelta(0),
        le=timedelta(hours=12),
        description="Visibility of a received message.",
    )
    heartbeat: Duration = Field(
        default=timedelta(seconds=60),
        gt=timedelta(0),
        description="How often leases are renewed; at most a third of the lease.",
    )
    receive_wait: Duration = Field(
        default=timedelta(seconds=10),
        ge=timedelta(seconds=1),
        le=timedelta(seconds=20),
        description="Long-poll wait: 1 to 20 s.",
    )
    max_attempts: int = Field(
        default=5, ge=1, description="Attempts before an item is buried; maxReceiveCount must exceed it by two."
    )
    backoff_base: Duration = Field(
        default=timedelta(seconds=2), gt=timedelta(0), description="First retry's longest wait."
    )
    backoff_cap: Duration = Field(
        default=timedelta(minutes=15),
        gt=timedelta(0),
        le=timedelta(hours=12),
        description="Longest wait between retries; SQS hides a message for 12 hours at most.",
    )

    worker_concurrency: int = Field(default=8, ge=1, le=1000, description="Items in work at once in one worker.")
    worker_receivers: int = Field(default=2, ge=1, le=64, description="Concurrent long polls of one worker.")
    drain: Duration = Field(
        default=timedelta(seconds=40), ge=timedelta(0), description="How long a stopping worker lets held items finish."
    )
    grace: Duration = Field(
        default=timedelta(seconds=60), gt=timedelta(0), description="The platform's time from SIGTERM to SIGKILL."
    )
    health_host: str = Field(default="0.0.0.0", description="Address of /healthz, /readyz and /metrics.")  # noqa: S104 - a pod's probes come from outside it
    health_port: int = Field(
        default=8080, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics; 0 picks a free one."
    )

    deployment: Path | None = Field(
        default=None,
        description="File that describes the whole deployment; a worker proves it at its start.",
    )
    pool: str | None = Field(default=None, description="Which of the deployment's pools this worker belongs to.")

    schedule_time: AwareDatetime | None = Field(
        default=None, description="When this run was scheduled (ISO 8601): part of the run id where none is given."
    )
    stall_after: Duration = Field(
        default=timedelta(minutes=10),
        gt=timedelta(0),
        description="No progress and an empty queue this long: re-enqueue what is pending.",
    )
    poll: Duration = Field(
        default=timedelta(seconds=5), gt=timedelta(0), description="How often a waiting controller looks."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="`json`: one object a line; `console`: text for a terminal."
    )

    @property
    def lanes(self) -> dict[str, str]:
        """Return every lane that has a queue, with the queue's name or URL."""
        named = {"live": self.live_queue, "backfill": self.backfill_queue, **self.queues}
        return {lane: queue for lane, queue in named.items() if queue}
