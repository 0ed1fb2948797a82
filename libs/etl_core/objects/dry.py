"""A store for a rehearsal: reads are real, writes are taken for done and leave nothing behind."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from etl_core.batch import BatchReport
from etl_core.objects import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from etl_core.objects import Blob, ObjectRef, ObjectStore

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class DryStore:
    """One bucket, through which nothing is written; what is written is not read back either."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @property
    def bucket(self) -> str:
        """Return the bucket's name."""
        return self._store.bucket

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo:
        """Return what the real store knows of ``key``."""
        return await self._store.head(key, version_id=version_id)

    async def get(self, key: str) -> Blob:
        """Return the real object."""
        return await self._store.get(key)

    def stream(self, key: str, *, etag: str | None = None) -> AsyncIterator[bytes]:
        """Yield the real object's body."""
        return self._store.stream(key, etag=etag)

    def list(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[ObjectInfo]:
        """Yield the real objects."""
        return self._store.list(prefix, start_after=start_after)

    async def put(
        self, key: str, body: bytes, *, content_type: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Write nothing."""
        info = ObjectInfo(key, len(body), _etag(body), _NEVER)
        return replace(info, content_type=content_type, metadata=metadata or {})

    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        """Write nothing, as if the key had been free."""
        del key, content_type
        return _etag(body)

    async def put_if_match(self, key: str, body: bytes, *, etag: str, content_type: str | None = None) -> str:
        """Write nothing, as if the ETag had matched."""
        del key, etag, content_type
        return _etag(body)

    async def upload(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Read the stream to its end and write nothing."""
        size = sum([len(chunk) async for chunk in chunks])
        return ObjectInfo(key, size, "", _NEVER, content_type=content_type, metadata=metadata or {})

    async def copy(self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]) -> ObjectInfo:
        """Copy nothing."""
        del source
        return replace(info, key=key, metadata=metadata)

    async def delete(self, keys: Sequence[str]) -> BatchReport:
        """Delete nothing."""
        return BatchReport(tuple(range(len(keys))))


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
