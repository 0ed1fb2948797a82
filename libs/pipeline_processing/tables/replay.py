"""Delta Lake's log read back: the newest checkpoint, and the entries since."""

from __future__ import annotations

import asyncio
import struct
import tempfile
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import orjson

from etl_core.errors import ConfigError, InvalidData, NotFound
from etl_core.spool import SortedSpool
from pipeline_processing.tables.log import CHECKPOINT, ENTRY, FOLDER, State, file_of, key_of, parse, partition_columns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from etl_core.objects import ObjectStore
    from pipeline_processing.model import Json
    from pipeline_processing.tables import DataFile

READS: Final = 16
"""Entries read at once."""
ROWS: Final = 10_000
"""Actions of a checkpoint held at once while it is read."""
_HINT: Final = f"{FOLDER}_last_checkpoint"


class LogReader:
    """Reads the log of the table at ``root``, a prefix that ends with a slash."""

    def __init__(self, store: ObjectStore, root: str) -> None:
        self._store, self._root = store, root
        self._where = f"s3://{store.bucket}/{root.rstrip('/')}"

    async def latest(self, known: State) -> State:
        """Return the table's state now; ``known`` is an earlier one, from which only what is newer is read."""
        if known.version >= 0:
            newer = await self._entries_after(known.version)
            if not newer:
                return known
            if newer[0] == known.version + 1:
                return await self._replay(known.copy(), newer)
        checkpoint, versions = await self._start()
        state = State()
        if checkpoint is not None:
            state.version = checkpoint
            async for batch in self._checkpointed(checkpoint):
                state.apply(batch)
        return await self._replay(state, versions)

    async def files(self, folder: Path | None = None) -> AsyncIterator[DataFile]:
        """Yield the live files by path; memory holds one commit's files and the spool's share, ``folder`` its rest."""
        checkpoint, versions = await self._start()
        partition_by: tuple[str, ...] = ()
        with SortedSpool(folder=folder) as spool:
            if checkpoint is not None:
                async for batch in self._checkpointed(checkpoint):
                    partition_by = _spool(spool, checkpoint, batch) or partition_by
            async for version, actions in self.entries(versions, at_once=2):
                partition_by = _spool(spool, version, actions) or partition_by
            for _, changes in groupby(spool, key=lambda entry: entry[0]):
                *_, (_, newest) = changes
                if action := newest[_VERSION.size :]:
                    yield file_of(orjson.loads(action), partition_by)

    async def entries(self, versions: Sequence[int], *, at_once: int = READS) -> AsyncIterator[tuple[int, list[Json]]]:
        """Yield the actions of each of these versions, in the order given."""
        for start in range(0, len(versions), at_once):
            some = versions[start : start + at_once]
            for version, actions in zip(some, await asyncio.gather(*map(self._entry, some)), strict=True):
                yield version, actions

    async def versions(self) -> list[int]:
        """Return the versions whose entry is still there, oldest first."""
        return await self._entries_after(-1)

    async def _entry(self, version: int) -> list[Json]:
        key = self._root + key_of(version)
        return parse((await self._store.get(key)).body, key=f"s3://{self._store.bucket}/{key}")

    async def _replay(self, state: State, versions: Sequence[int]) -> State:
        expected = list(range(state.version + 1, state.version + 1 + len(versions)))
        if list(versions) != expected:
            missing = min({*expected} - {*versions})
            raise InvalidData(f"{self._where}: entry {missing} of the log is missing, though later ones are there")
        async for version, actions in self.entries(versions):
            state.apply(actions)
            state.version = version
        if state.version >= 0:
            state.check(self._where)
        return state

    async def _start(self) -> tuple[int | None, list[int]]:
        """Return the newest checkpoint's version, and those of the entries after it."""
        folder = self._root + FOLDER
        checkpoints: list[int] = []
        versions: list[int] = []
        # An entry's name sorts right after its checkpoint's, and the hint's own version is wanted too.
        async for info in self._store.list(folder, start_after=f"{folder}{await self._hint():020d}"):
            name = info.key.removeprefix(folder)
            if match := CHECKPOINT.fullmatch(name):
                checkpoints.append(int(match[1]))
            elif match := ENTRY.fullmatch(name):
                versions.append(int(match[1]))
        newest = checkpoints[-1] if checkpoints else None
        return newest, [version for version in versions if newest is None or version > newest]

    async def _hint(self) -> int:
        try:
            document = orjson.loads((await self._store.get(self._root + _HINT)).body)
        except NotFound:
            return 0
        if document.get("parts"):
            raise ConfigError(
                "another writer has made a checkpoint of several parts", where=self._where, way_out="checkpoint it anew"
            )
        version: int = document["version"]
        return version

    async def _entries_after(self, version: int) -> list[int]:
        """Return the versions above ``version`` that have an entry, in order."""
        folder = self._root + FOLDER
        start = self._root + key_of(version) if version >= 0 else ""
        found = [
            ENTRY.fullmatch(info.key.removeprefix(folder)) async for info in self._store.list(folder, start_after=start)
        ]
        return [int(match[1]) for match in found if match]

    async def _checkpointed(self, version: int) -> AsyncIterator[list[Json]]:
        """Yield the actions of a checkpoint, some at a time."""
        import polars as pl  # noqa: PLC0415 - heavy, and a table without a checkpoint does not need it

        key = f"{self._root}{FOLDER}{version:020d}.checkpoint.parquet"
        with tempfile.TemporaryDirectory(prefix="checkpoint-") as folder:
            path = Path(folder) / "checkpoint.parquet"
            with path.open("wb") as file:
                async for chunk in self._store.stream(key):
                    file.write(chunk)
            actions = pl.scan_parquet(path)
            wanted = [name for name in actions.collect_schema().names() if name in _ACTIONS]
            start = 0
            while rows := await asyncio.to_thread(_rows, actions.select(wanted).slice(start, ROWS)):
                yield rows
                start += ROWS


_ACTIONS: Final = frozenset({"add", "txn", "metaData", "protocol"})
"""What a snapshot is made of; a checkpoint's removes are for the vacuum only."""


_VERSION: Final = struct.Struct(">Q")


def _spool(spool: SortedSpool, version: int, actions: Sequence[Json]) -> tuple[str, ...]:
    """Take in what happens to files: by path, and of one path in the order of versions; a removal says no more.

    Return the partition columns where the actions say them.
    """
    partition_by: tuple[str, ...] = ()
    for action in actions:
        partition_by = partition_columns(action.get("metaData")) or partition_by
        if added := action.get("add"):
            spool.add(unquote(added["path"]).encode(), _VERSION.pack(version) + orjson.dumps(added))
        elif removed := action.get("remove"):
            spool.add(unquote(removed["path"]).encode(), _VERSION.pack(version))
    return partition_by


def _rows(frame: object) -> list[Json]:
    rows: list[Json] = frame.collect().to_dicts()  # type: ignore[attr-defined] # Polars is imported where it is used
    return rows
