"""Files named by their content: written to local disk while they are hashed, then stored under the hash (law 3)."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from typing import IO, TYPE_CHECKING, Final, Self

from etl_core.errors import NotFound
from pipeline_processing.model import Output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import TracebackType

    from etl_core.objects import ObjectInfo, ObjectStore

CHUNK: Final = 1024 * 1024
DIGEST: Final = "sha256"
"""Name of the user metadata that holds the whole hash."""


class ContentFile:
    """A file that knows its size and SHA-256; without a ``path`` a temporary one, gone when its context ends.

    Its methods block on local disk.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes] = path.open("w+b") if path else tempfile.TemporaryFile()  # noqa: SIM115 - see __exit__

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the content of a file that something else wrote."""
        content = cls()
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                content.write(data)
        return content

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        """Return the hash of what was written so far, in hex."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content from its beginning."""
        await asyncio.to_thread(self._file.seek, 0)
        while data := await asyncio.to_thread(self._file.read, CHUNK):
            yield data


async def store(
    content: ContentFile, objects: ObjectStore, key: str, *, content_type: str, role: str
) -> tuple[Output, bool]:
    """Put ``content`` under ``key``, which names its hash; return the output, and whether it had been there already."""
    found = await _identical(objects, key, content)
    info = found or await objects.upload(
        key, content.chunks(), content_type=content_type, metadata={DIGEST: content.sha256}
    )
    output = Output(objects.bucket, key, content.size, info.etag, f"SHA256:{content.sha256}", role)
    return output, found is not None


async def _identical(objects: ObjectStore, key: str, content: ContentFile) -> ObjectInfo | None:
    try:
        info = await objects.head(key)
    except NotFound:
        return None
    return info if (info.size, info.metadata.get(DIGEST)) == (content.size, content.sha256) else None
