"""Buckets that keep nothing in memory, so that a process's peak is the product's alone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from bisect import bisect_left
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from etl_core.batch import BatchReport
from etl_core.errors import NotFound, PreconditionFailed
from etl_core.objects import Blob, ObjectInfo, ObjectRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_AT = datetime(2030, 1, 1, tzinfo=UTC)
_ENTRY = struct.Struct(">16sQ")
_NEAR = 256


class DiskStore:
    """One bucket in a folder, one file an object."""

    def __init__(self, bucket: str, folder: Path) -> None:
        self.bucket = bucket
        self._folder = folder / bucket
        self._folder.mkdir(parents=True, exist_ok=True)

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo:
        return (await self.get(key)).info

    async def get(self, key: str) -> Blob:
        try:
            body = self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(key) from error
        return Blob(ObjectInfo(key, len(body), _etag(body), _AT), body)

    async def stream(self, key: str, *, etag: str | None = None) -> AsyncIterator[bytes]:
        yield (await self.get(key)).body

    async def put(
        self, key: str, body: bytes, *, content_type: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        await asyncio.sleep(0)
        self._path(key).write_bytes(body)
        return ObjectInfo(key, len(body), _etag(body), _AT)

    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        if self._path(key).exists():
            raise PreconditionFailed(key)
        return (await self.put(key, body)).etag

    async def put_if_match(self, key: str, body: bytes, *, etag: str, content_type: str | None = None) -> str:
        if (await self.head(key)).etag != etag:
            raise PreconditionFailed(key)
        return (await self.put(key, body)).etag

    async def upload(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Only count: nobody reads what a benchmark uploads."""
        digest, size = hashlib.md5(usedforsecurity=False), 0
        async for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
        self._path(key).touch()
        return ObjectInfo(key, size, digest.hexdigest(), _AT)

    async def copy(self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]) -> ObjectInfo:
        raise NotImplementedError

    async def list(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[ObjectInfo]:
        for key in sorted(unquote(path.name) for path in self._folder.iterdir()):
            if key.startswith(prefix) and key > start_after:
                yield ObjectInfo(key, 0, "", _AT)

    async def delete(self, keys: Sequence[str]) -> BatchReport:
        for key in keys:
            self._path(key).unlink(missing_ok=True)
        return BatchReport(tuple(range(len(keys))))

    def _path(self, key: str) -> Path:
        return self._folder / quote(key, safe="")


class MadeUpSource(DiskStore):
    """A bucket whose objects exist only while they are listed: ``listing`` takes a prefix and where to start after."""

    def __init__(self, bucket: str, folder: Path, listing: Callable[[str, str], Iterable[tuple[str, int]]]) -> None:
        super().__init__(bucket, folder)
        self._listing = listing

    async def list(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[ObjectInfo]:
        for number, (key, size) in enumerate(self._listing(prefix, start_after)):
            if not number % 1000:
                await asyncio.sleep(0)  # as a page's request would
            yield ObjectInfo(key, size, etag_of(key), _AT)


class MadeUpMarkers(DiskStore):
    """A control bucket whose markers are made from an `Index` as they are read; all else is on disk."""

    def __init__(self, bucket: str, folder: Path, done: str, index: Index, marker: Callable[[str, int], bytes]) -> None:
        super().__init__(bucket, folder)
        self._done, self._index, self._marker = done, index, marker

    async def get(self, key: str) -> Blob:
        if not key.startswith(self._done):
            return await super().get(key)
        await asyncio.sleep(0)
        item_id = key.removeprefix(self._done)
        body = self._marker(item_id, self._index.number(item_id))
        return Blob(ObjectInfo(key, len(body), "0", _AT), body)

    async def list(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[ObjectInfo]:
        if prefix != self._done:
            async for info in super().list(prefix, start_after=start_after):
                yield info
            return
        for position in range(len(self._index)):
            if not position % 1000:
                await asyncio.sleep(0)
            yield ObjectInfo(f"{self._done}{self._index.item_id(position)}", 0, "0", _AT)


class Index:
    """A file of (item id, number), sorted by id; looked up by `pread`, so that no page of it counts as our memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._entries = os.fstat(self._file.fileno()).st_size // _ENTRY.size
        self._last = 0

    @classmethod
    async def write(cls, path: Path, entries: AsyncIterator[tuple[str, int]]) -> None:
        with path.open("wb") as file:
            async for item_id, number in entries:
                file.write(_ENTRY.pack(bytes.fromhex(item_id), number))

    def __len__(self) -> int:
        return self._entries

    def __getitem__(self, position: int) -> bytes:
        return self._read(position)[0]

    def item_id(self, position: int) -> str:
        return self._read(position)[0].hex()

    def number(self, item_id: str) -> int:
        """Look beside the last one first: a gather asks in order, a few at once."""
        wanted = bytes.fromhex(item_id)
        start = max(0, self._last - _NEAR // 2)
        near = os.pread(self._file.fileno(), _NEAR * _ENTRY.size, start * _ENTRY.size)
        at = near.find(wanted)
        is_near = at >= 0 and not at % _ENTRY.size
        self._last = start + at // _ENTRY.size if is_near else bisect_left(self, wanted)
        return self._read(self._last)[1]

    def _read(self, position: int) -> tuple[bytes, int]:
        entry: tuple[bytes, int] = _ENTRY.unpack(os.pread(self._file.fileno(), _ENTRY.size, position * _ENTRY.size))
        return entry


def etag_of(key: str) -> str:
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
