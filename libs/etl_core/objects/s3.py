"""An S3 bucket."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from tenacity import retry, retry_if_exception_type, stop_after_attempt

from etl_core.aws import translated
from etl_core.batch import BatchReport, EntryFailure
from etl_core.errors import AccessDenied, ConfigError, EtlError, NotFound, Permanent, ReplyLost, Transient, Unreachable
from etl_core.objects import COPY_LIMIT, DELETE_LIMIT, Blob, ObjectInfo, ObjectRef
from etl_core.objects.limits import check_key, check_metadata
from etl_core.objects.multipart import composite_sha256, copy_in_parts, pinned, upload_in_parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from etl_core.aws import AwsClients

CHUNK: Final = 1024 * 1024
PART_SIZE: Final = 8 * 1024**2
"""Bytes of an uploaded part: a few of them are in memory, and 80 GiB are the largest upload."""
READ_TRIES: Final = 4
_ALGORITHMS: Final = ("SHA256", "SHA1", "CRC64NVME", "CRC32C", "CRC32")
"""Of whole-object checksums, the strongest first."""
"""Connections without a byte of progress before a read gives up."""

_HEADERS: Final = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")
_ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"})
_CHECKSUMS: Final = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class S3Store:
    """One bucket of S3. Every write carries its SHA-256, which S3 checks and `head` gives back.

    ``copy_limit`` and ``part_size`` (S3 wants 5 MiB at least) are for tests and for endpoints with limits of their own.
    """

    def __init__(
        self, clients: AwsClients, bucket: str, *, copy_limit: int = COPY_LIMIT, part_size: int = PART_SIZE
    ) -> None:
        self._clients = clients
        self._bucket = bucket
        self._copy_limit = copy_limit
        self._part_size = part_size
        self._bucket_was_seen = False

    @property
    def bucket(self) -> str:
        """Return the bucket's name."""
        return self._bucket

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo:
        """Return what S3 knows of ``key``."""
        check_key(key)
        client = await self._clients.s3()
        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        try:
            with translated(self._what(key)):
                answer = await client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED", **version)
        except Permanent as error:
            if not isinstance(error, AccessDenied):
                await (
                    self._find_the_bucket()
                )  # the reply to a HEAD has no body that tells a missing bucket or an old token
            raise
        return _info(key, answer)

    @retry(retry=retry_if_exception_type((ReplyLost, Unreachable)), stop=stop_after_attempt(READ_TRIES), reraise=True)
    async def get(self, key: str) -> Blob:
        """Return the object whole, its checksum verified where S3 has one.

        The SDK retries the request; a connection that breaks in the body is read again here.
        """
        check_key(key)
        client = await self._clients.s3()
        with translated(self._what(key)):
            answer = await client.get_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
            async with answer["Body"] as opened:
                del opened  # the SDK gives the bare connection here, which verifies nothing
                body = await answer["Body"].read()
        return Blob(_info(key, answer), body)

    async def stream(self, key: str, *, etag: str | None = None) -> AsyncIterator[bytes]:
        """Yield the body in chunks of up to 1 MiB.

        A dropped connection is resumed where it broke, pinned to the same ETag.
        """
        check_key(key)
        client = await self._clients.s3()
        offset, size, tries = 0, None, 1
        while offset != size:
            pinned: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
            if offset:
                pinned["Range"] = f"bytes={offset}-"
            try:
                with translated(self._what(key)):
                    answer = await client.get_object(Bucket=self._bucket, Key=key, **pinned)
                etag, size = answer["ETag"].strip('"'), offset + answer["ContentLength"]
                async with answer["Body"]:
                    while chunk := await self._read(key, answer["Body"]):
                        offset, tries = offset + len(chunk), 1
                        yield chunk
            except (ReplyLost, Unreachable):
                tries += 1
                if tries > READ_TRIES:
                    raise

    async def put(
        self, key: str, body: bytes, *, content_type: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Write, replacing what is there."""
        check_metadata(metadata or {})
        answer = await self._put(key, body, content_type, {"Metadata": dict(metadata or {})}, retries=True)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if date is None:
            return await self.head(key)
        return ObjectInfo(
            key=key,
            size=len(body),
            etag=answer["ETag"].strip('"'),
            modified=parsedate_to_datetime(date),
            version_id=answer.get("VersionId"),
            content_type=content_type,
            metadata={name.lower(): value for name, value in (metadata or {}).items()},
            checksums={"SHA256": _sha256(body)},
        )

    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        """Create ``key`` in exactly one request and return its ETag."""
        answer = await self._put(key, body, content_type, {"IfNoneMatch": "*"}, retries=False)
        return str(answer["ETag"]).strip('"')

    async def put_if_match(self, key: str, body: bytes, *, etag: str, content_type: str | None = None) -> str:
        """Replace ``key`` in exactly one request, if its ETag still is ``etag``; return the new one."""
        answer = await self._put(key, body, content_type, {"IfMatch": f'"{etag}"'}, retries=False)
        return str(answer["ETag"]).strip('"')

    async def upload(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write a stream; a few parts of it are in memory at once. A body of one part is one put."""
        check_key(key)
        check_metadata(metadata or {})
        bodies = _regroup(chunks, self._part_size)
        head = await _first(bodies, 2)
        if len(head) < 2:  # noqa: PLR2004 - one part or none
            return await self.put(key, b"".join(head), content_type=content_type, metadata=metadata)
        create = self._target(key, content_type, {"Metadata": dict(metadata or {})})
        digests: dict[int, bytes] = {}
        try:
            parts = _chain(head, bodies)
            await upload_in_parts(await self._clients.s3(), create, parts, what=self._what(key), digests=digests)
        except Transient:
            # The completion's reply may be what was lost: the object is ours if it has the checksum of our parts.
            info = await self._head_or_none(key)
            if info is None or info.checksums.get("SHA256") != composite_sha256(digests):
                raise
            return info
        return await self.head(key)

    async def copy(self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]) -> ObjectInfo:
        """Copy on S3's side. Needs s3:GetObjectTagging on the source and s3:PutObjectTagging on the destination."""
        check_key(key)
        check_metadata(metadata)
        client = await self._clients.s3()
        target = self._target(key, info.content_type, {"Metadata": dict(metadata), **info.headers})
        what = f"s3://{source.bucket}/{source.key} → {self._what(key)}"
        if info.size > self._copy_limit:
            await copy_in_parts(client, source, target, size=info.size, part_size=self._part_size, what=what)
            return await self.head(key)
        carried: dict[str, Any] = {"MetadataDirective": "REPLACE", "TaggingDirective": "COPY"}
        with translated(what):
            await client.copy_object(**target, **pinned(source), **carried, ChecksumAlgorithm=_comparable(info))
        return await self.head(key)

    async def list(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[ObjectInfo]:
        """Yield the objects under ``prefix``.

        The SDK asks for url-encoded keys by itself, and decodes them: any key survives the XML.
        """
        client = await self._clients.s3()
        where: dict[str, Any] = {"StartAfter": start_after} if start_after else {}
        while True:
            with translated(self._what(prefix)):
                page = await client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **where)
            for entry in page.get("Contents", ()):
                yield ObjectInfo(
                    key=entry["Key"],
                    size=entry["Size"],
                    etag=entry["ETag"].strip('"'),
                    modified=entry["LastModified"],
                    storage_class=entry.get("StorageClass", "STANDARD"),
                )
            if not page.get("IsTruncated"):
                return
            where = {"ContinuationToken": page["NextContinuationToken"]}

    async def delete(self, keys: Sequence[str]) -> BatchReport:
        """Delete, a thousand a call."""
        failed: list[EntryFailure] = []
        # XML can not carry every key; those go one by one, in the URL.
        odd = [index for index, key in enumerate(keys) if _NOT_XML.search(key)]
        plain = sorted(set(range(len(keys))).difference(odd))
        for start in range(0, len(plain), DELETE_LIMIT):
            failed.extend(await self._delete_many(keys, plain[start : start + DELETE_LIMIT]))
        for index in odd:
            failed.extend(await self._delete_one(keys[index], index))
        lost = {fault.index for fault in failed}
        return BatchReport(tuple(i for i in range(len(keys)) if i not in lost), tuple(failed))

    async def _delete_many(self, keys: Sequence[str], indices: Sequence[int]) -> Sequence[EntryFailure]:
        client = await self._clients.s3()
        unique = list(dict.fromkeys(keys[i] for i in indices))
        try:
            with translated(self._what()):
                answer = await client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in unique], "Quiet": True}
                )
        except EtlError as error:
            return [_failure(index, error) for index in indices]
        errors = {entry["Key"]: entry for entry in answer.get("Errors", ())}
        return [_refusal(i, fault) for i in indices if (fault := errors.get(keys[i]))]

    async def _delete_one(self, key: str, index: int) -> Sequence[EntryFailure]:
        client = await self._clients.s3()
        try:
            with translated(self._what(key)):
                await client.delete_object(Bucket=self._bucket, Key=key)
        except EtlError as error:
            return [_failure(index, error)]
        return ()

    async def _put(
        self, key: str, body: bytes, content_type: str | None, more: Mapping[str, Any], *, retries: bool
    ) -> Mapping[str, Any]:
        check_key(key)
        client = await self._clients.s3(retries=retries)
        with translated(self._what(key)):
            return await client.put_object(
                **self._target(key, content_type, more), Body=body, ChecksumSHA256=_sha256(body)
            )

    async def _read(self, key: str, body: Any) -> bytes:  # noqa: ANN401 - the SDK's is a proxy
        with translated(self._what(key)):
            chunk: bytes = await body.read(CHUNK)
            return chunk

    async def _head_or_none(self, key: str) -> ObjectInfo | None:
        try:
            return await self.head(key)
        except NotFound:
            return None

    async def _find_the_bucket(self) -> None:
        """Raise what a listing says against this bucket, if anything, until it has once said nothing."""
        if self._bucket_was_seen:
            return
        client = await self._clients.s3()
        try:
            with translated(self._what()):
                await client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)
        except AccessDenied:
            return  # it is there
        self._bucket_was_seen = True

    def _target(self, key: str, content_type: str | None, more: Mapping[str, Any]) -> dict[str, Any]:
        kind = {"ContentType": content_type} if content_type else {}
        return {"Bucket": self._bucket, "Key": key, **kind, **more}

    def _what(self, key: str = "") -> str:
        return f"s3://{self._bucket}/{key}"


def _failure(index: int, error: EtlError) -> EntryFailure:
    if isinstance(error, AccessDenied | ConfigError):
        raise error
    return EntryFailure(index, type(error).__name__, str(error), isinstance(error, Transient))


def _refusal(index: int, fault: Mapping[str, Any]) -> EntryFailure:
    code = str(fault.get("Code", ""))
    return EntryFailure(index, code, str(fault.get("Message", "")), code in {"InternalError", "SlowDown"})


def _sha256(body: bytes) -> str:
    return b64encode(hashlib.sha256(body).digest()).decode()


def _comparable(source: ObjectInfo) -> Any:  # noqa: ANN401 - the stubs want a literal, the store says a name
    """Return the algorithm by which a copy can be compared with ``source``; SHA-256 where it has none."""
    whole = (name for name in _ALGORITHMS if "-" not in source.checksums.get(name, "-"))
    return next(whole, "SHA256")


def _info(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    storage_class = answer.get("StorageClass", "STANDARD")
    in_archive = storage_class in _ARCHIVES or answer.get("ArchiveStatus") in _ARCHIVES
    return ObjectInfo(
        key=key,
        size=answer["ContentLength"],
        etag=answer["ETag"].strip('"'),
        modified=answer["LastModified"],
        version_id=answer.get("VersionId"),
        storage_class=storage_class,
        is_archived=in_archive and 'ongoing-request="false"' not in answer.get("Restore", ""),
        content_type=answer.get("ContentType"),
        headers={name: answer[name] for name in _HEADERS if answer.get(name)},
        metadata=dict(answer.get("Metadata", {})),
        checksums={name: answer[f"Checksum{name}"] for name in _CHECKSUMS if answer.get(f"Checksum{name}")},
    )


async def _regroup(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Yield the same bytes in pieces of ``size``, the last one shorter."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        while len(buffer) >= size:
            yield bytes(memoryview(buffer)[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)


async def _first(bodies: AsyncIterator[bytes], count: int) -> list[bytes]:
    """Return up to ``count`` items and leave the iterator open for the rest."""
    found: list[bytes] = []
    while len(found) < count and (body := await anext(bodies, None)) is not None:
        found.append(body)
    return found


async def _chain(head: list[bytes], bodies: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what was read ahead, then the rest, and keep hold of nothing."""
    while head:
        yield head.pop(0)
    async for body in bodies:
        yield body
