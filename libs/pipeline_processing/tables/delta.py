"""Delta Lake tables, without a catalog: a commit is one create-only object of the log (law 4).

The entry is written by our own store, not by deltalake: its ``AddAction`` has no tags, and it tells neither a lost
reply from a lost race nor a 409 from a 412. deltalake writes the checkpoints and does the vacuum: decision 9.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from etl_core.errors import ConfigError, EtlError, Transient
from etl_core.objects.create import create_once
from pipeline_processing.tables import Snapshot
from pipeline_processing.tables.applying import apply
from pipeline_processing.tables.log import State, commit_of, encode, key_of
from pipeline_processing.tables.replay import LogReader
from pipeline_processing.tables.schema import merged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.tables import Change, Commit, Committed, DataFile, Edit

log = structlog.get_logger(__name__)

CHECKPOINT_EVERY: Final = 20
"""Commits between two checkpoints: a reader fetches up to as many small entries beside the checkpoint."""
_HOUR: Final = timedelta(hours=1)

Answer = TypeVar("Answer")


class DeltaTable:
    """One Delta Lake table at ``root`` in the bucket of ``store``.

    ``options`` gives what deltalake needs to reach the same bucket (`AwsClients.storage_options`); without it the table
    writes no checkpoints and can not be vacuumed. ``nonce`` returns a fresh unique text each time.
    """

    def __init__(
        self,
        store: ObjectStore,
        root: str,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        nonce: Callable[[], str],
        options: Callable[[], Awaitable[Mapping[str, str]]] | None = None,
        checkpoint_every: int = CHECKPOINT_EVERY,
    ) -> None:
        self._store, self._root = store, f"{root.strip('/')}/"
        self._clock, self._jitter, self._nonce = clock, jitter, nonce
        self._options, self._checkpoint_every = options, checkpoint_every
        self._log = LogReader(store, self._root)
        self._state = State()

    @property
    def uri(self) -> str:
        """Return ``s3://bucket/root``."""
        return f"s3://{self._store.bucket}/{self._root.rstrip('/')}"

    @property
    def root(self) -> str:
        """Return the prefix of the table's keys in its bucket; it ends with a slash."""
        return self._root

    async def snapshot(self) -> Snapshot:
        """Return the table as it is now; version `ABSENT` where there is none."""
        return (await self.base())[0]

    async def base(self) -> tuple[Snapshot, State]:
        """Return the table as it is now, and the log's own records with it."""
        state = self._state = await self._log.latest(self._state)
        return Snapshot(state.version, state.files, state.schema, state.applied), state

    async def commit(self, change: Change) -> Committed:
        """Apply ``change`` exactly once, and write a checkpoint where one is due."""
        committed = await apply(self, change, where=self.uri, clock=self._clock, jitter=self._jitter)
        if committed.changed and committed.version and committed.version % self._checkpoint_every == 0:
            await self._checkpoint(committed.version)
        return committed

    async def attempt(self, change: Change, edit: Edit, snapshot: Snapshot, base: State) -> bool:
        """Commit ``edit`` as the successor of ``snapshot``; False where another commit came first."""
        schema = merged(snapshot.schema, change.schema, where=self.uri)
        body = encode(change, edit, state=base, schema=schema, nonce=self._nonce(), now=self._clock.now())
        return await create_once(
            self._store,
            self._root + key_of(snapshot.version + 1),
            body,
            is_own=lambda there: there == body,
            clock=self._clock,
            jitter=self._jitter,
        )

    def files(self) -> AsyncIterator[DataFile]:
        """Yield the live files of one version, by path, in bounded memory."""
        return self._log.files()

    async def history(self) -> AsyncIterator[Commit]:
        """Yield the commits, newest first, as far back as the log reaches."""
        async for version, actions in self._log.entries((await self._log.versions())[::-1]):
            yield commit_of(version, actions)

    async def vacuum(self, *, older_than: timedelta, is_dry_run: bool, include_unknown: bool) -> Sequence[str]:
        """Delete files that no snapshot younger than ``older_than`` names, and what the log keeps too long."""
        if self._options is None:
            raise ConfigError("the table was opened without storage options", where=self.uri)
        options = await self._options()

        def work() -> list[str]:
            table = _opened(self.uri, options)
            found: list[str] = table.vacuum(
                retention_hours=ceil(older_than / _HOUR),  # whole ones only: rather keep too much
                dry_run=is_dry_run,
                full=include_unknown,
                enforce_retention_duration=False,
            )
            if not is_dry_run:
                table.cleanup_metadata()
            return found

        return await self._in_thread("vacuum", work)

    async def _checkpoint(self, version: int) -> None:
        """Write a checkpoint. The commit stands without it, so that a failure is told and no more."""
        if self._options is None:
            return
        try:
            options = await self._options()
            await self._in_thread("checkpoint", lambda: _opened(self.uri, options).create_checkpoint())
        except EtlError as error:
            log.warning("table.checkpoint_failed", table=self.uri, version=version, error=str(error))

    async def _in_thread(self, what: str, work: Callable[[], Answer]) -> Answer:
        from deltalake.exceptions import DeltaError  # noqa: PLC0415 - heavy, and few calls need it

        try:
            return await asyncio.to_thread(work)
        except (DeltaError, OSError) as error:
            raise Transient(f"{self.uri}: {what}: {error}") from error


def _opened(uri: str, options: Mapping[str, str]) -> Any:  # noqa: ANN401 - deltalake is imported where it is used
    import deltalake  # noqa: PLC0415 - see _in_thread

    return deltalake.DeltaTable(uri, storage_options=dict(options))
