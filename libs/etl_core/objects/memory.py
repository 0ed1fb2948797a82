"""Buckets in this process with the semantics of S3.

Strong reads, conditional writes, ETags, checksums, tags and, optionally, versions.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from base64 import b64encode
from bisect import bisect_right, insort
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from etl_core.batch import BatchReport
from etl_core.errors import Archived, InvalidData, NoSuchBucket, NotFound, PreconditionFailed
from etl_core.objects import Blob, ObjectInfo, ObjectRef
from etl_core.objects.limits import check_key, check_metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from etl_core.clock import Clock

PAGE: Final = 1000
CHUNK: Final = 1024 * 1024
FEW_KEYS: Final = 64


@dataclass(frozen=True, slots=True)
class _Object:
    body: bytes
    etag: str
    modified: datetime
    version_id: str | None = None
    storage_class: str = "STANDARD"
    is_archived: bool = False
    content_type: str = "binary/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def listed(self, key: str) -> ObjectInfo:
        return ObjectInfo(
            key=key, size=len(self.body), etag=self.etag, modified=self.modified, storage_class=self.storage_class
        )

    def info(self, key: str) -> ObjectInfo:
        sha256 = b64encode(hashlib.sha256(self.body).digest()).decode()
        return ObjectInfo(
            key=key,
            size=len(self.body),
            etag=self.etag,
            modified=self.modified,
            version_id=self.version_id,
            storage_class=self.storage_class,
            is_archived=self.is_archived,
            content_type=self.content_type,
            headers=self.headers,
            metadata=self.metadata,
            checksums={"SHA256": sha256},
        )


class _Bucket:
    """One bucket's objects.

    Keys are sorted when they are listed, not when they are written: a million puts cost no sorting.
    """

    def __init__(self) -> None:
        self.objects: dict[str, _Object] = {}
        self.versions: dict[tuple[str, str], _Object] = {}
        self._sorted: list[str] = []
        self._listed: set[str] = set()
        self._unlisted: list[str] = []

    def set(self, key: str, stored: _Object) -> None:
        self.objects[key] = stored
        if stored.version_id:
            self.versions[key, stored.version_id] = stored
        if key not in self._listed:
            self._listed.add(key)
            self._unlisted.append(key)

    def page(self, prefix: str, after: str) -> list[tuple[str, _Object]]:
        """Return up to `PAGE` objects under ``prefix`` with keys over ``after``.

        Code-point order is the byte order of UTF-8.
        """
        keys = self._in_order()
        first = bisect_right(keys, after) if after >= prefix else bisect_right(keys, prefix)
        if after < prefix and first and keys[first - 1] == prefix:
            first -= 1
        found: list[tuple[str, _Object]] = []
        for key in itertools.islice(keys, first, None):
            if not key.startswith(prefix) or len(found) == PAGE:
                break
            if stored := self.objects.get(key):
                found.append((key, stored))
        return found

    def _in_order(self) -> list[str]:
        if len(self._sorted) > 2 * len(self.objects) + PAGE:
            self._sorted = sorted(self.objects)  # most of what was listed has been deleted
            self._listed = set(self._sorted)
        elif len(self._unlisted) <= FEW_KEYS:
            for key in self._unlisted:
                insort(self._sorted, key)
        else:
            self._sorted.extend(self._unlisted)
            self._sorted.sort()
        self._unlisted.clear()
        return self._sorted


class MemoryBuckets:
    """All buckets of one pretended account, so that copies between them work.

    A bucket appears when it is first used; with ``strict`` only by `create`, and using another is the ConfigError
    that S3 gives.
    """

    def __init__(self, clock: Clock, *, strict: bool = False, versioned: bool = False) -> None:
        self._clock = clock
        self._strict = strict
        self._version_ids = itertools.count(1) if versioned else None
        self._buckets: dict[str, _Bucket] = {}

    def create(self, bucket: str) -> MemoryStore:
        """Make a bucket, if it is not there, and return its store."""
        self._buckets.setdefault(bucket, _Bucket())
        return self.store(bucket)

    def store(self, bucket: str) -> MemoryStore:
        """Return a store bound to ``bucket``, whether or not that exists."""
        return MemoryStore(self, bucket)

    def open(self, bucket: str) -> _Bucket:
        """Return a bucket's objects, for the stores of this account."""
        if bucket not in self._buckets:
            if self._strict:
                raise NoSuchBucket(
                    f"there is no bucket {bucket!r}", where="S3", way_out="create it, or name another bucket"
                )
            self._buckets[bucket] = _Bucket()
        return self._buckets[bucket]

    def now(self) -> datetime:
        """Return the time that a write happens at."""
        return self._clock.now()

    def next_version(self) -> str | None:
        """Return a new version id, where versions are kept."""
        return f"v{next(self._version_ids)}" if self._version_ids else None


class MemoryStore:
    """One bucket of a `MemoryBuckets`."""

    def __init__(self, buckets: MemoryBuckets, bucket: str) -> None:
        self._buckets = buckets
        self._bucket = bucket

    @property
    def bucket(self) -> str:
        """Return the bucket's name."""
        return self._bucket

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo:
        """Return what is known of ``key``."""
        await asyncio.sleep(0)
        return self._find(ObjectRef(self._bucket, key, version_id=version_id)).info(key)

    async def get(self, key: str) -> Blob:
        """Return the object whole."""
        await asyncio.sleep(0)
        stored = _readable(self._find(ObjectRef(self._bucket, key)), key)
        return Blob(stored.info(key), stored.body)

    async def stream(self, key: str, *, etag: str | None = None) -> AsyncIterator[bytes]:
        """Yield the body in chunks of 1 MiB."""
        await asyncio.sleep(0)
        body = _readable(self._find(ObjectRef(self._bucket, key, etag=etag)), key).body
        for start in range(0, len(body), CHUNK):
            yield body[start : start + CHUNK]
            await asyncio.sleep(0)

    async def put(
        self, key: str, body: bytes, *, content_type: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Write, replacing what is there."""
        await asyncio.sleep(0)
        return self._write(key, body, content_type, metadata or {}).info(key)

    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        """Create ``key`` and return its ETag, or raise PreconditionFailed."""
        await asyncio.sleep(0)
        if key in self._buckets.open(self._bucket).objects:
            raise PreconditionFailed(f"{self._bucket}/{key} exists")
        return self._write(key, body, content_type, {}).etag

    async def put_if_match(self, key: str, body: bytes, *, etag: str, content_type: str | None = None) -> str:
        """Replace ``key`` if its ETag still is ``etag``; return the new one."""
        await asyncio.sleep(0)
        self._find(ObjectRef(self._bucket, key, etag=etag))
        return self._write(key, body, content_type, {}).etag

    async def upload(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write a stream; the object appears when it is complete."""
        check_key(key)
        check_metadata(metadata or {})
        parts = [chunk async for chunk in chunks]
        return self._write(key, b"".join(parts), content_type, metadata or {}).info(key)

    async def copy(self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]) -> ObjectInfo:
        """Copy from any bucket of the same account; tags are carried, user metadata is replaced."""
        await asyncio.sleep(0)
        original = _readable(self._find(source), source.key)
        copied = self._write(key, original.body, info.content_type, metadata, headers=info.headers, tags=original.tags)
        return copied.info(key)

    async def list(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[ObjectInfo]:
        """Yield the objects under ``prefix`` in byte order; what is written meanwhile may or may not be seen."""
        after = start_after
        while True:
            await asyncio.sleep(0)
            page = self._buckets.open(self._bucket).page(prefix, after)
            for key, stored in page:
                yield stored.listed(key)
            if len(page) < PAGE:
                return
            after = page[-1][0]

    async def delete(self, keys: Sequence[str]) -> BatchReport:
        """Delete; versions stay readable by their ids."""
        await asyncio.sleep(0)
        objects = self._buckets.open(self._bucket).objects
        for key in keys:
            objects.pop(key, None)
        return BatchReport(tuple(range(len(keys))))

    def amend(
        self,
        key: str,
        *,
        storage_class: str | None = None,
        is_archived: bool | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Give a stored object properties that no protocol call sets.

        What S3's lifecycle rules or other writers would have done.
        """
        stored = self._find(ObjectRef(self._bucket, key))
        self._buckets.open(self._bucket).set(
            key,
            replace(
                stored,
                storage_class=stored.storage_class if storage_class is None else storage_class,
                is_archived=stored.is_archived if is_archived is None else is_archived,
                headers=stored.headers if headers is None else headers,
                tags=stored.tags if tags is None else tags,
            ),
        )

    def tags(self, key: str) -> Mapping[str, str]:
        """Return an object's tags."""
        return self._find(ObjectRef(self._bucket, key)).tags

    def _find(self, ref: ObjectRef) -> _Object:
        bucket = self._buckets.open(ref.bucket)
        check_key(ref.key)
        if ref.version_id is None:
            stored = bucket.objects.get(ref.key)
        else:
            stored = bucket.versions.get((ref.key, ref.version_id))
        if stored is None:
            raise NotFound(f"there is no {ref.bucket}/{ref.key}")
        if ref.etag not in {None, stored.etag}:
            raise PreconditionFailed(f"{ref.bucket}/{ref.key} is another object by now")
        return stored

    def _write(
        self,
        key: str,
        body: bytes,
        content_type: str | None,
        metadata: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> _Object:
        check_key(key)
        check_metadata(metadata)
        if not isinstance(body, bytes):
            raise InvalidData(f"a body is bytes, not {type(body).__name__}")
        stored = _Object(
            body=body,
            etag=hashlib.md5(body, usedforsecurity=False).hexdigest(),
            modified=self._buckets.now(),
            version_id=self._buckets.next_version(),
            content_type=content_type or "binary/octet-stream",
            headers=dict(headers or {}),
            metadata={name.lower(): value for name, value in metadata.items()},
            tags=dict(tags or {}),
        )
        self._buckets.open(self._bucket).set(key, stored)
        return stored


def _readable(stored: _Object, key: str) -> _Object:
    if stored.is_archived:
        raise Archived(f"{key} is in storage class {stored.storage_class} and must be restored before it can be read")
    return stored
