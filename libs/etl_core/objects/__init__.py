"""What the product asks of an object store; `s3` and `memory` answer it and pass one contract suite.

A store is bound to one bucket. Keys are exact: no store normalises, trims or decodes one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from etl_core.batch import BatchReport

KEY_LIMIT: Final = 1024
"""Bytes of UTF-8 in a key."""
METADATA_LIMIT: Final = 2048
"""Bytes of user-defined metadata, names and values together."""
COPY_LIMIT: Final = 5 * 1024**3
"""Bytes that one CopyObject copies; larger objects need a multipart copy."""
DELETE_LIMIT: Final = 1000
"""Keys in one DeleteObjects call."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object somewhere, pinned.

    A read or copy through it fails with PreconditionFailed when the ETag is another by now.
    """

    bucket: str
    key: str
    etag: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of an object.

    ``etag`` has no quotes; ``checksums`` maps S3's names (``SHA256``, ``CRC64NVME``) to base64.

    A listing fills key, size, etag, modified and storage_class only.
    """

    key: str
    size: int
    etag: str
    modified: datetime
    version_id: str | None = None
    storage_class: str = "STANDARD"
    is_archived: bool = False
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Other system headers an object carries: CacheControl, ContentDisposition, ContentEncoding, ContentLanguage."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blob:
    """A small object, read whole."""

    info: ObjectInfo
    body: bytes


class ObjectStore(Protocol):
    """One bucket.

    All calls raise the errors of `etl_core.errors`; a missing bucket is ConfigError, a missing key NotFound.
    """

    @property
    def bucket(self) -> str:
        """Return the bucket's name."""
        ...

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo:
        """Return what the store knows of ``key``, checksums included."""
        ...

    async def get(self, key: str) -> Blob:
        """Return a small object whole; for anything that may be large use `stream`."""
        ...

    def stream(self, key: str, *, etag: str | None = None) -> AsyncIterator[bytes]:
        """Yield the body in bounded chunks; with ``etag``, PreconditionFailed when the object is another by now."""
        ...

    async def put(
        self, key: str, body: bytes, *, content_type: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Write, replacing what is there."""
        ...

    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        """Create ``key`` and return its ETag.

        Never retried inside: PreconditionFailed = something is there (perhaps by this very call: read it back),
        Conflict = try again, ReplyLost = unknown.
        """
        ...

    async def put_if_match(self, key: str, body: bytes, *, etag: str, content_type: str | None = None) -> str:
        """Replace ``key`` only if its ETag still is ``etag``; return the new ETag.

        Errors as for `put_if_absent`; NotFound when it is gone.
        """
        ...

    async def upload(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write a stream of unknown length in bounded memory; the object appears only when it is complete."""
        ...

    async def copy(self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]) -> ObjectInfo:
        """Copy on the server's side, pinned to ``source``.

        ``info`` is the source's `head` (size, headers), ``metadata`` replaces the user metadata.

        Tags are carried. Over `COPY_LIMIT` by parallel ranges. PreconditionFailed when the source is another by now.
        Returns the destination's `head`.
        """
        ...

    def list(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[ObjectInfo]:
        """Yield the objects under ``prefix`` in byte order of their UTF-8 keys, page by page."""
        ...

    async def delete(self, keys: Sequence[str]) -> BatchReport:
        """Delete; a key that is not there counts as deleted."""
        ...
