"""The buckets, queues and database schema that a fresh stack has."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from etl_core.settings import load
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CONTROL_BUCKET: Final = "pipeline-control"
SOURCE_BUCKET: Final = "agency-source"
DESTINATION_BUCKET: Final = "agency-destination"
BRONZE_BUCKET: Final = "agency-bronze"
SILVER_BUCKET: Final = "agency-silver"
LIVE_QUEUE: Final = "pipeline-live"
BACKFILL_QUEUE: Final = "pipeline-backfill"
RETENTION: Final = "1209600"
"""14 days, SQS's longest, on every queue: a dead-letter queue counts from the first send."""


def ensure(environment: Mapping[str, str]) -> None:
    """Make what is missing; whatever is there stays as it is, with its contents."""
    settings = load(Settings)
    sqs, s3 = client("sqs", environment), client("s3", environment)
    for bucket in (CONTROL_BUCKET, SOURCE_BUCKET, DESTINATION_BUCKET, BRONZE_BUCKET, SILVER_BUCKET):
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            s3.create_bucket(Bucket=bucket)
    lease = str(int(settings.lease.total_seconds()))
    for queue in (LIVE_QUEUE, BACKFILL_QUEUE):
        ensure_queue(sqs, queue, lease=lease, max_receive_count=settings.max_attempts + 3)
    _migrate(environment["PIPELINE_DATABASE_URL"])


def client(service: str, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes at run time
    """Return a boto3 client of the stack, whatever the process's own environment says."""
    import boto3  # noqa: PLC0415 - takes a third of a second, and only `up` needs it

    return boto3.client(  # type: ignore[call-overload]  # its overloads take literals only
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def ensure_queue(sqs: Any, name: str, *, lease: str, max_receive_count: int) -> str:  # noqa: ANN401 - see client
    """Make a queue and its dead-letter queue ``<name>-dlq``, or set their attributes; return the queue's URL."""
    shared = {"MessageRetentionPeriod": RETENTION, "VisibilityTimeout": lease}
    dead_letters = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=dead_letters, Attributes=shared)
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": max_receive_count})
    sqs.set_queue_attributes(QueueUrl=url, Attributes=shared | {"RedrivePolicy": redrive})
    return url


def _migrate(url: str) -> None:
    """Bring the reference schema up to date."""
    try:
        from pipeline_processing.repositories.schema import migrate  # noqa: PLC0415 - asyncpg is an optional extra
    except ImportError as error:
        raise ConfigError(
            f"the schema can not be made: {error}",
            where="local stack",
            way_out='pip install "pipeline-processing[local,db]"',
        ) from error
    asyncio.run(migrate(url))
