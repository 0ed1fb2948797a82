"""A multipart upload.

Parts in parallel, a bounded number at a time; completed at the end, or aborted, but never left behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from etl_core.aws import VENDOR_ERRORS, translated
from etl_core.errors import InvalidData

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from types_aiobotocore_s3.client import S3Client

    from etl_core.objects import ObjectRef

PART_LIMIT: Final = 10_000
"""Parts in one upload."""
PART_SIZE_LIMIT: Final = 5 * 1024**3
"""Bytes in one part."""

UPLOADS: Final = 3
"""Parts of one upload in flight: what bounds its memory."""
COPIES: Final = 8
"""Ranges of one copy in flight; their bytes never come here."""
COPY_PARTS: Final = 100
"""Ranges that a large copy is cut into, where the part size does not ask for fewer."""

SendPart = Callable[[Mapping[str, Any], int], Awaitable[Mapping[str, Any]]]
"""Send one part of the upload (Bucket, Key, UploadId) under this number, and return its entry for the completion."""


async def upload_in_parts(
    client: S3Client, create: Mapping[str, Any], bodies: AsyncIterator[bytes], *, what: str, digests: dict[int, bytes]
) -> None:
    """Upload each body as a part with its SHA-256, which is left in ``digests`` under the part's number."""

    def sender(body: bytes) -> SendPart:
        async def send(upload: Mapping[str, Any], number: int) -> Mapping[str, Any]:
            digests[number] = hashlib.sha256(body).digest()
            checksum = b64encode(digests[number]).decode()
            with translated(what):
                part = await client.upload_part(**upload, PartNumber=number, Body=body, ChecksumSHA256=checksum)
            return {"ETag": part["ETag"], "ChecksumSHA256": checksum}

        return send

    parts = (sender(body) async for body in bodies)
    await _send_in_parts(client, what, {**create, "ChecksumAlgorithm": "SHA256"}, parts, parallel=UPLOADS)


def composite_sha256(digests: Mapping[int, bytes]) -> str:
    """Return the checksum that S3 gives an object of these parts: of their checksums, not of its bytes."""
    whole = hashlib.sha256(b"".join(digests[number] for number in sorted(digests))).digest()
    return f"{b64encode(whole).decode()}-{len(digests)}"


async def copy_in_parts(
    client: S3Client, source: ObjectRef, create: Mapping[str, Any], *, size: int, part_size: int, what: str
) -> None:
    """Copy ``source`` by ranges, each pinned to its ETag; its tags are read and set again."""
    version: dict[str, Any] = {"VersionId": source.version_id} if source.version_id else {}
    with translated(what):
        tags = await client.get_object_tagging(Bucket=source.bucket, Key=source.key, **version)
    tagging = urlencode([(tag["Key"], tag["Value"]) for tag in tags["TagSet"]], quote_via=quote)
    part = min(max(part_size, -(-size // COPY_PARTS)), PART_SIZE_LIMIT)

    def sender(first: int, last: int) -> SendPart:
        async def send(upload: Mapping[str, Any], number: int) -> Mapping[str, Any]:
            span = f"bytes={first}-{last}"
            with translated(what):
                answer = await client.upload_part_copy(
                    **upload, **pinned(source), PartNumber=number, CopySourceRange=span
                )
            result = answer["CopyPartResult"]
            return {name: value for name, value in result.items() if name == "ETag" or name.startswith("Checksum")}

        return send

    async def parts() -> AsyncIterator[SendPart]:
        for first in range(0, size, part):
            yield sender(first, min(first + part, size) - 1)

    # A CRC64 is what S3 joins from parts into one of the whole object, which can be compared with the source's.
    create = {**create, "ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}
    if tagging:
        create["Tagging"] = tagging
    await _send_in_parts(client, what, create, parts(), parallel=COPIES)


def pinned(source: ObjectRef) -> dict[str, Any]:
    """Return the parameters that copy from ``source`` and from nothing that has replaced it."""
    version = {"VersionId": source.version_id} if source.version_id else {}
    match = {"CopySourceIfMatch": f'"{source.etag}"'} if source.etag else {}
    return {"CopySource": {"Bucket": source.bucket, "Key": source.key, **version}, **match}


async def _send_in_parts(
    client: S3Client, what: str, create: Mapping[str, Any], parts: AsyncIterator[SendPart], *, parallel: int
) -> None:
    """Create the upload, send its ``parts`` and complete it; on any failure, or when cancelled, abort it.

    The next part is asked for only when there is room for it: at most ``parallel`` exist at once.
    """
    with translated(what):
        created = await client.create_multipart_upload(**create)
    upload = {"Bucket": create["Bucket"], "Key": create["Key"], "UploadId": created["UploadId"]}
    try:
        entries = await _send_all(upload, parts, parallel)
        with translated(what):
            await client.complete_multipart_upload(**upload, MultipartUpload={"Parts": entries})
    except BaseException:
        with suppress(*VENDOR_ERRORS):  # what stopped the upload matters more; the bucket's lifecycle rule is the net
            await client.abort_multipart_upload(**upload)
        raise


async def _send_all(upload: Mapping[str, Any], parts: AsyncIterator[SendPart], parallel: int) -> list[Any]:
    room = asyncio.Semaphore(parallel)
    tasks: list[asyncio.Task[Mapping[str, Any]]] = []

    async def one(send: SendPart, number: int) -> Mapping[str, Any]:
        try:
            return {**await send(upload, number), "PartNumber": number}
        finally:
            room.release()

    try:
        async with asyncio.TaskGroup() as group:
            await room.acquire()
            async for send in parts:
                if len(tasks) == PART_LIMIT:
                    raise InvalidData(f"{upload['Key']}: more than {PART_LIMIT} parts")
                tasks.append(group.create_task(one(send, len(tasks) + 1)))
                await room.acquire()
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__
    return [task.result() for task in tasks]
