"""The composition root that a job, a worker or a controller builds.

Settings in, ready parts out, every part injectable.
"""

from __future__ import annotations

import random
import uuid
from contextlib import AsyncExitStack
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from etl_core.clock import Clock, SystemClock
from etl_core.errors import ConfigError
from etl_core.log import configure
from etl_core.settings import load
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from etl_core.aws import AwsClients
    from etl_core.database import Database
    from etl_core.objects import ObjectStore
    from etl_core.queue import Queue
    from pipeline_processing.model import Processor
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.repositories.attachments import AttachmentRepository
    from pipeline_processing.repositories.employment_history import EmploymentHistoryRepository
    from pipeline_processing.tables import Table


@dataclass(frozen=True, slots=True)
class Lane:
    """A queue with its dead-letter queue; work in one lane can not starve another's."""

    name: str
    queue: Queue
    dead_letters: Queue


def lane_variable(name: str) -> str:
    """Return the setting that a lane's queue is named by."""
    return f"PIPELINE_{name.upper()}_QUEUE" if name in {"live", "backfill"} else f"PIPELINE_QUEUES={name}=…"


class ServiceHandler:
    """Make each part once, on first use, and close it on exit.

    Give a part to the constructor and it is used instead of the real one, and not closed: ``stores`` and ``queues`` map
    a bucket's or queue's name to an adapter, ``processors`` a processor's name to it.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Clock | None = None,
        stores: Callable[[str], ObjectStore] | None = None,
        queues: Callable[[str], Queue] | None = None,
        aws: AwsClients | None = None,
        database: Database | None = None,
        attachments: AttachmentRepository | None = None,
        employment_history: EmploymentHistoryRepository | None = None,
        processors: Mapping[str, Processor] | None = None,
        jitter: Callable[[], float] = random.random,
        nonce: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self.settings = settings or load(Settings)
        self.clock = clock or SystemClock()
        self.jitter, self.nonce = jitter, nonce
        self._make_store = stores
        self._make_queue = queues
        self._aws = aws
        self._database = database
        self._attachments = attachments
        self._employment_history = employment_history
        self._processors = dict(processors or {})
        self._stores: dict[str, ObjectStore] = {}
        self._queues: dict[str, Queue] = {}
        self._stack = AsyncExitStack()

    @classmethod
    def for_process(cls, settings: Settings | None = None) -> Self:
        """Return the handler of a process of its own: settings from the environment, logs to stderr as they say."""
        settings = settings or load(Settings)
        configure(level=settings.log_level, style=settings.log_format)
        return cls(settings)

    async def __aenter__(self) -> Self:
        """Open nothing yet: parts are made on first use."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what was made, in reverse order."""
        await self._stack.aclose()

    def rehearsing(self) -> Self:
        """Return a handler of the same parts through which nothing is written to a store."""
        from etl_core.objects.dry import DryStore  # noqa: PLC0415 - only a rehearsal needs it

        dry = copy(self)
        dry._make_store, dry._stores = (lambda bucket: DryStore(self.store(bucket))), {}  # noqa: SLF001 - one of us
        return dry

    @property
    def aws(self) -> AwsClients:
        """Return the AWS clients, closed on exit."""
        if self._aws is None:
            from etl_core.aws import AwsClients  # noqa: PLC0415 - the SDK takes half a second to import

            self._aws = AwsClients()
            self._stack.push_async_callback(self._aws.aclose)
        return self._aws

    def store(self, bucket: str) -> ObjectStore:
        """Return the store bound to ``bucket``."""
        if bucket not in self._stores:
            if self._make_store is None:
                from etl_core.objects.s3 import S3Store  # noqa: PLC0415 - see aws

                self._stores[bucket] = S3Store(self.aws, bucket)
            else:
                self._stores[bucket] = self._make_store(bucket)
        return self._stores[bucket]

    def queue(self, address: str) -> Queue:
        """Return the queue with this name or URL."""
        if address not in self._queues:
            if self._make_queue is None:
                from etl_core.queue.sqs import SqsQueue  # noqa: PLC0415 - see aws

                self._queues[address] = SqsQueue(self.aws, address)
            else:
                self._queues[address] = self._make_queue(address)
        return self._queues[address]

    @property
    def control(self) -> ObjectStore:
        """Return the control bucket's store."""
        bucket = self.settings.control_bucket
        if not bucket:
            raise ConfigError(
                "no control bucket",
                where="settings",
                way_out="set PIPELINE_CONTROL_BUCKET, or `pipeline-processing local up` for a local stack",
            )
        return self.store(bucket)

    def table(self, destination: Destination, which: str = "") -> Table:
        """Return the dataset's own table, or one beside it: ``quarantine``, ``decisions``, ``files``, ``profiles``."""
        store, root = self.store(destination.bucket), destination.root(which)
        if destination.format == "parquet":
            from pipeline_processing.tables.plain import PlainTable  # noqa: PLC0415 - most processes need no table

            return PlainTable(store, root, clock=self.clock, jitter=self.jitter, nonce=self.nonce)
        from pipeline_processing.tables.delta import DeltaTable  # noqa: PLC0415 - the same

        options = None if self._make_store else self.aws.storage_options
        return DeltaTable(store, root, clock=self.clock, jitter=self.jitter, nonce=self.nonce, options=options)

    def memory_store(self) -> ObjectStore:
        """Return a new store in this process, for records that need not outlive it."""
        from etl_core.objects.memory import MemoryBuckets  # noqa: PLC0415 - only a run without a control bucket needs it

        return MemoryBuckets(self.clock).store("memory")

    def memory_queue(self, name: str) -> Queue:
        """Return a new queue in this process, for a run that has no fleet."""
        from etl_core.queue.memory import MemoryQueue  # noqa: PLC0415 - only a run within one process needs it

        return MemoryQueue(name, self.clock)

    def lane_address(self, name: str) -> str:
        """Return the name or URL of the lane's queue."""
        lanes = self.settings.lanes
        if name in lanes:
            return lanes[name]
        others = f"; lanes with one: {', '.join(lanes)}" if lanes else ""
        raise ConfigError(
            f"no queue for the {name} lane{others}",
            where="settings",
            way_out=f"set {lane_variable(name)} to a queue's name or URL",
        )

    async def lane(self, name: str) -> Lane:
        """Return a lane; its dead-letter queue is the one that the queue's redrive policy names."""
        queue = self.queue(self.lane_address(name))
        policy = await queue.policy()
        if not policy.dead_letter_queue:
            raise ConfigError(
                f"queue {queue.name} has no dead-letter queue",
                where=lane_variable(name),
                way_out="give it a redrive policy with maxReceiveCount ≥ attempts + 2",
            )
        return Lane(name, queue, self.queue(policy.dead_letter_queue))

    @property
    def database(self) -> Database:
        """Return the database, whose pool opens on first use and closes on exit."""
        if self._database is None:
            url = self.settings.database_url
            if url is None:
                raise ConfigError(
                    "no database",
                    where="settings",
                    way_out="set PIPELINE_DATABASE_URL=postgresql://user:password@host:port/database",
                )
            from etl_core.database import Database  # noqa: PLC0415 - asyncpg is the optional extra `db`

            self._database = Database(
                url.get_secret_value(),
                statement_cache_size=self.settings.database_statement_cache,
                max_connections=self.settings.database_connections,
                variable="PIPELINE_DATABASE_URL",
            )
            self._stack.push_async_callback(self._database.aclose)
        return self._database

    @property
    def attachments(self) -> AttachmentRepository:
        """Return the repository of attachments and agencies."""
        if self._attachments is None:
            from pipeline_processing.repositories.attachments import (  # noqa: PLC0415 - see database
                AttachmentRepository,
            )

            self._attachments = AttachmentRepository(self.database, queries_dir=self.settings.queries_dir)
        return self._attachments

    @property
    def employment_history(self) -> EmploymentHistoryRepository:
        """Return the repository of employment histories."""
        if self._employment_history is None:
            from pipeline_processing.repositories.employment_history import (  # noqa: PLC0415 - see database
                EmploymentHistoryRepository,
            )

            self._employment_history = EmploymentHistoryRepository(self.database, queries_dir=self.settings.queries_dir)
        return self._employment_history

    @property
    def s3_files(self) -> Processor:
        """Return the processor that copies packs of files."""
        from pipeline_processing.processors.get_s3_files import s3_files  # noqa: PLC0415 - pydantic's adapters take a while

        return self._processor(
            s3_files.NAME, lambda: s3_files.S3FileProcessor(s3_files.S3Config(), self.store, self.clock)
        )

    @property
    def employment_history_export(self) -> Processor:
        """Return the processor that exports employment histories; it needs the database once it has work."""
        from pipeline_processing.processors.get_s3_files import employment_history as history  # noqa: PLC0415 - see s3_files

        return self._processor(
            history.NAME,
            lambda: history.EmploymentHistoryProcessor(
                history.EmploymentHistoryConfig(), lambda: self.employment_history, self.store, self.clock
            ),
        )

    @property
    def silver(self) -> Processor:
        """Return the processor that refines bronze files; a contract with protected columns needs the token key."""
        from pipeline_processing.processors.silver import item, processor  # noqa: PLC0415 - polars takes a while

        key = self.settings.token_key
        return self._processor(
            item.NAME,
            lambda: processor.SilverProcessor(
                processor.SilverConfig(), self.store, token_key=key.get_secret_value().encode() if key else None
            ),
        )

    @property
    def release(self) -> Processor:
        """Return the processor that sends quarantined rows through the contract again; keys as for `silver`."""
        from pipeline_processing.processors.release import processor as release  # noqa: PLC0415 - see silver
        from pipeline_processing.processors.silver import processor  # noqa: PLC0415 - see silver

        key = self.settings.token_key
        return self._processor(
            release.NAME,
            lambda: release.ReleaseProcessor(
                processor.SilverConfig(), self.store, token_key=key.get_secret_value().encode() if key else None
            ),
        )

    def _processor(self, name: str, make: Callable[[], Processor]) -> Processor:
        if name not in self._processors:
            self._processors[name] = make()
        return self._processors[name]
