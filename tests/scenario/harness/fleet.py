"""A fleet of its own for one scenario: queue, control bucket, wires, and as many real processes as it takes."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from uuid import uuid4

from harness.bucket import Bucket
from harness.calls import Calls
from harness.permissions import ROLE_OF, denials
from harness.programs import Program, until
from harness.wire import Wire
from pipeline_local.resources import ensure_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    import pipeline_local.stack
    from etl_core.testing.faults import FaultProxy
    from harness.wire import Point
    from harness.world import World

JOB: Final = "get_s3_files"
QUICK: Final = {
    "PIPELINE_LEASE": "4s",
    "PIPELINE_HEARTBEAT": "1s",
    "PIPELINE_RECEIVE_WAIT": "1s",
    "PIPELINE_POLL": "300ms",
    "PIPELINE_BACKOFF_BASE": "100ms",
    "PIPELINE_BACKOFF_CAP": "1s",
    "PIPELINE_MAX_ATTEMPTS": "4",
    "PIPELINE_STALL_AFTER": "5s",
    "PIPELINE_DRAIN": "8s",
    "PIPELINE_GRACE": "12s",
    "PIPELINE_LOG_FORMAT": "json",
    "PIPELINE_HEALTH_PORT": "0",
    "PIPELINE_HEALTH_HOST": "127.0.0.1",
}
"""Short enough for a scenario to wait for a lease, and safe together by the product's own rules."""


class Stack(Protocol):
    """What a fleet needs of the local stack."""

    @property
    def environment(self) -> Mapping[str, str]: ...

    @property
    def endpoint_url(self) -> str: ...

    @property
    def database_url(self) -> str: ...

    def client(self, service: str) -> Any: ...  # noqa: ANN401 - boto3 makes its clients' classes at run time

    def sql(self, statement: str) -> str: ...

    @property
    def stack(self) -> pipeline_local.stack.Stack: ...


@dataclass(frozen=True)
class DeadLetter:
    """A message as it lies in the dead-letter queue."""

    body: str
    attributes: Mapping[str, str] = field(compare=False)


class Fleet:
    """Use it as a context manager: on its way out every process is killed."""

    def __init__(
        self,
        stack: Stack,
        world: World,
        folder: Path,
        *,
        max_receive_count: int = 8,
        **settings: str,
    ) -> None:
        self.stack, self.world = stack, world
        self._folder = folder
        self._exit = ExitStack()
        self._programs: list[Program] = []
        mark = uuid4().hex[:8]
        self.sqs, self.s3 = stack.client("sqs"), stack.client("s3")
        self.names = {world.source_bucket: "source"}
        self.calls = Calls(self.names)
        self.control = self.bucket("control")
        self.queue = f"scenario-{mark}"
        self.names |= {self.queue: "live", f"{self.queue}-dlq": "live-dlq"}
        lease = (QUICK | settings)["PIPELINE_LEASE"].removesuffix("s")
        self.queue_url = ensure_queue(self.sqs, self.queue, lease=lease, max_receive_count=max_receive_count)
        self.dead_letter_url = self.sqs.get_queue_url(QueueName=f"{self.queue}-dlq")["QueueUrl"]
        self.worker_wire, self.controller_wire, self.other_wire = (
            self._exit.enter_context(self.wire()) for _ in range(3)
        )
        self.environment: dict[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PIPELINE_"))},
            **{name: value for name, value in stack.environment.items() if name.startswith("AWS_")},
            **QUICK,
            "PIPELINE_CONTROL_BUCKET": self.control.name,
            "PIPELINE_SOURCE_BUCKET": world.source_bucket,
            "PIPELINE_LIVE_QUEUE": self.queue,
            "PIPELINE_DATABASE_URL": world.database_url,
            **settings,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for program in self._programs:
                sys.stderr.write(f"--- {program.name}\n{program.tail()}\n")
        for program in self._programs:
            program.kill()
        self._exit.close()
        if error is None:
            self.assert_permitted()

    def assert_permitted(self) -> None:
        """Assert that each request so far is allowed by the policies of the role that made it."""
        denied = denials(self.calls)
        assert not denied, "\n".join(denied)

    def wire(self) -> AbstractContextManager[Wire]:
        """Return a way to the stack whose requests are held against the policies."""
        return Wire.to(self.stack.endpoint_url, self.calls)

    def bucket(self, kind: str) -> Bucket:
        """Make a bucket that policies know as ``kind``."""
        made = Bucket.make(f"{kind}-{uuid4().hex[:8]}", self.s3)
        self.names[made.name] = kind
        return made

    def run(self, run_id: str = "scenario") -> Run:
        """Return a run of the main job with a destination bucket of its own."""
        return Run(self, run_id, self.bucket("destination"))

    def worker(self, *arguments: str, **environment: str) -> Program:
        """Start a worker."""
        return self.start("worker", "--lane", "live", *arguments, environment=environment)

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None, role: str | None = None) -> Program:
        """Start any command, in its role and on that role's wire unless something else is said."""
        log = self._folder / f"{len(self._programs):02}-{arguments[0]}"
        role = role or ROLE_OF[arguments[0]]
        wire = {"worker": self.worker_wire, "controller": self.controller_wire}.get(role, self.other_wire)
        who = {"AWS_ACCESS_KEY_ID": role, "AWS_ENDPOINT_URL": wire.url}
        program = Program(*arguments, environment={**self.environment, **who, **(environment or {})}, log=log)
        self._programs.append(program)
        return program

    def doomed(self, point: Point, start: Callable[[], Program], *, wire: FaultProxy) -> Program:
        """Start a program that dies, by SIGKILL, at the first request that ``point`` names; return it dead."""
        victims: list[Program] = []

        def strike() -> None:
            victims[0].kill()

        deadly = wire.add(point.rule(strike))
        victims.append(start())
        code = victims[0].wait()
        assert (1, -signal.SIGKILL) == (deadly.hits, code), f"it did not die there, it ended with {code}"
        wire.clear()
        return victims[0]

    def depth(self) -> tuple[int, int]:
        """Return how many messages are visible (delayed ones too) and how many in flight."""
        values = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["All"])["Attributes"]
        delayed = int(values.get("ApproximateNumberOfMessagesDelayed", 0))
        visible, hidden = (int(values[f"ApproximateNumberOfMessages{of}"]) for of in ("", "NotVisible"))
        return visible + delayed, hidden

    def await_empty_queue(self) -> None:
        until(lambda: self.depth() == (0, 0), f"an empty queue, it has {self.depth()}", within=30)

    def dead_letters(self) -> list[DeadLetter]:
        """Return all dead letters, and leave them where they are."""
        found: dict[str, tuple[str, DeadLetter]] = {}
        while batch := self.sqs.receive_message(
            QueueUrl=self.dead_letter_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=60,
            MessageAttributeNames=["All"],
        ).get("Messages"):
            for message in batch:
                values = message.get("MessageAttributes", {}).items()
                letter = DeadLetter(message["Body"], {name: value["StringValue"] for name, value in values})
                found[message["MessageId"]] = message["ReceiptHandle"], letter
        for receipt, _ in found.values():
            self.sqs.change_message_visibility(
                QueueUrl=self.dead_letter_url, ReceiptHandle=receipt, VisibilityTimeout=0
            )
        return sorted((letter for _, letter in found.values()), key=lambda letter: letter.body)

    def send(self, *bodies: str) -> None:
        """Put messages into the queue, past the product."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)


@dataclass(frozen=True)
class Run:
    """One run of the main job over the whole world."""

    fleet: Fleet
    run_id: str
    destination: Bucket

    @property
    def root(self) -> str:
        return f"pipeline/runs/{self.run_id}/"

    @property
    def arguments(self) -> tuple[str, ...]:
        return (
            "--all-agencies",
            "--source-bucket",
            self.fleet.world.source_bucket,
            "--destination-bucket",
            self.destination.name,
            "--pack-max-items",
            "2",
        )

    def beside(self, run_id: str) -> Run:
        """Return another run with the same destination."""
        return Run(self.fleet, run_id, self.destination)

    def start(self, *options: str, environment: Mapping[str, str] | None = None) -> Program:
        """Start a controller that takes this run from where it is to its end."""
        command = ("controller", "run", JOB, "--run-id", self.run_id, *options, "--", *self.arguments)
        return self.fleet.start(*command, environment=environment)

    def gather(self, *options: str) -> Program:
        """Start a controller that gathers the run as it stands."""
        return self.fleet.start("controller", "gather", "--run-id", self.run_id, *options)

    def inline(self, *arguments: str, **environment: str) -> Program:
        """Start the job in one process."""
        command = ("run", JOB, "--", "--run-id", self.run_id, *self.arguments, *arguments)
        return self.fleet.start(*command, environment=environment)

    def keys(self, folder: str = "") -> list[str]:
        return self.fleet.control.keys(f"{self.root}{folder}")
