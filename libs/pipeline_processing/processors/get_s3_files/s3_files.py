"""Copies attachments on the server's side, each pinned to what was planned, each with a verdict of its own."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from pydantic import TypeAdapter, ValidationError

from etl_core.errors import (
    EtlError,
    InvalidData,
    NoSuchBucket,
    NotFound,
    Permanent,
    Transient,
)
from etl_core.objects import ObjectRef
from etl_core.retry import Backoff
from pipeline_processing.model import ItemResult, Output, Problem
from pipeline_processing.processors.get_s3_files import source_metadata
from pipeline_processing.processors.patience import patiently
from pipeline_processing.processors.sources import lost_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from etl_core.clock import Clock
    from etl_core.objects import ObjectInfo, ObjectStore
    from pipeline_processing.model import Gathered, Item, Json

NAME: Final = "s3_files"

FileStatus = Literal[
    "copied",
    "skipped",
    "missing",
    "changed",
    "archived",
    "denied",
    "unsafe_key",
    "key_too_long",
    "collision",
    "failed",
]
STORED: Final = frozenset({"copied", "skipped"})
"""Statuses of a file that is at its destination now."""


@dataclass(frozen=True, slots=True)
class FileMapping:
    """One file: from where to where, pinned to the ETag (and version) that planning saw.

    ``attachments`` are the (attachment id, employee id) pairs that it stands for. A file that planning found unfit has
    its ``verdict`` already, with a ``reason``, and is not touched; only such a one may lack its destination.
    """

    source_key: str
    destination_key: str = ""
    attachments: tuple[tuple[str | None, str | None], ...] = ((None, None),)
    size: int | None = None
    etag: str | None = None
    version_id: str | None = None
    verdict: FileStatus | None = None
    reason: str = ""

    def as_json(self) -> Json:
        """Return the mapping as an item's payload holds it, without what is not known."""
        known = {name: getattr(self, name) for name in _FIELDS}
        return {name: value for name, value in known.items() if name == "source_key" or value not in _UNSAID}


_FIELDS: Final = tuple(field.name for field in fields(FileMapping))
_UNSAID: Final = (None, "")


@dataclass(frozen=True, slots=True)
class Pack:
    """The payload of an item of this processor."""

    source_bucket: str
    destination_bucket: str
    files: tuple[FileMapping, ...]

    def as_json(self) -> dict[str, Json]:
        """Return the item's payload."""
        return {
            "source_bucket": self.source_bucket,
            "destination_bucket": self.destination_bucket,
            "files": [mapping.as_json() for mapping in self.files],
        }


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file; ``size`` to ``content_type`` are those of the stored object, None where none is."""

    mapping: FileMapping
    status: FileStatus
    reason: str = ""
    size: int | None = None
    etag: str | None = None
    checksum: str | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class S3Config:
    """How files are copied; none of it changes what a copy is. Items name their own buckets."""

    source_bucket: str = ""
    destination_bucket: str = ""
    concurrency: int = 16
    """Files in work at once, over all items of one processor."""
    timeout: timedelta = timedelta(minutes=15)
    """For one attempt at one file; a multipart copy of 5 TiB needs more."""
    attempts: int = 3
    backoff: Backoff = field(default_factory=lambda: Backoff(timedelta(milliseconds=200), timedelta(seconds=5)))


class _Differs(Transient):
    """The copy is not like its source."""


class S3FileProcessor:
    """Copies packs of files; repeating one copies nothing that is there already."""

    name = NAME

    def __init__(self, config: S3Config, stores: Callable[[str], ObjectStore], clock: Clock) -> None:
        self._config, self._stores, self._clock = config, stores, clock
        self._slots = asyncio.Semaphore(config.concurrency)

    async def process(self, item: Item) -> ItemResult:
        """Copy the item's pack; raises InvalidData for a payload that is none, Transient as `process_files` does."""
        pack = pack_of(item)
        results = await self._copy_all(pack)
        return _summary(item, pack, results)

    def problems_of(self, gathered: Gathered) -> Iterator[Problem]:
        """Yield the files of a done item that are not at their destination."""
        return problems_of(gathered)

    async def process_files(self, mappings: Sequence[FileMapping]) -> list[FileResult]:
        """Copy between the configured buckets and return one result a mapping, in order.

        Raises Transient when a file met a transient fault to the last attempt, after the others are finished: those
        are skipped the next time.
        """
        return await self._copy_all(Pack(self._config.source_bucket, self._config.destination_bucket, tuple(mappings)))

    async def _copy_all(self, pack: Pack) -> list[FileResult]:
        outcomes = await asyncio.gather(
            *(self._copy_one(pack, mapping) for mapping in pack.files), return_exceptions=True
        )
        results = [outcome for outcome in outcomes if isinstance(outcome, FileResult)]
        faults = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for fault in faults:
            if not isinstance(fault, Transient):
                raise fault
        if faults:
            raise Transient(
                f"{len(faults)} of {len(pack.files)} files met a transient fault, the first: {faults[0]}",
                retry_after=max(
                    (f.retry_after for f in faults if isinstance(f, Transient) and f.retry_after), default=None
                ),
            ) from faults[0]
        return results

    async def _copy_one(self, pack: Pack, mapping: FileMapping) -> FileResult:
        if mapping.verdict is not None:
            return FileResult(mapping, mapping.verdict, mapping.reason)
        async with self._slots:
            try:
                return await patiently(
                    lambda: self._copy(pack, mapping),
                    name=mapping.destination_key,
                    attempts=self._config.attempts,
                    limit=self._config.timeout,
                    backoff=self._config.backoff,
                    clock=self._clock,
                )
            except _Differs as error:
                return FileResult(mapping, "failed", str(error))
            except Permanent as error:
                return FileResult(mapping, status_of(error), str(error))

    async def _copy(  # noqa: PLR0911 - one return a finding is what makes it readable
        self, pack: Pack, mapping: FileMapping
    ) -> FileResult:
        source, destination = self._stores(pack.source_bucket), self._stores(pack.destination_bucket)
        there = await _found(destination, mapping.destination_key)
        is_ours = there is not None and _is_copy(there, pack, mapping)
        if there is not None and is_ours and there.etag == mapping.etag:
            return _stored(mapping, "skipped", there)
        if there is not None and _is_original(there, pack):
            return FileResult(mapping, "collision", "what is at its destination, in the source's bucket, is no copy")
        try:
            head = await _found(source, mapping.source_key, version_id=mapping.version_id)
        except NoSuchBucket as error:  # of the destination's it is the deployment's fault, and raised
            return FileResult(mapping, "missing", str(error))
        if there is not None and is_ours and (head is None or head.etag != mapping.etag or _alike(head, there)):
            return _stored(mapping, "skipped", there)
        if head is None:
            return FileResult(mapping, "missing", "the source is not there")
        if mapping.etag not in {None, head.etag} or mapping.size not in {None, head.size}:
            return FileResult(mapping, "changed", "the source is not the planned one any more")
        if head.is_archived:
            return FileResult(
                mapping, "archived", f"restore the source first: it is in storage class {head.storage_class}"
            )
        copied = await destination.copy(
            ObjectRef(pack.source_bucket, mapping.source_key, head.etag, mapping.version_id),
            mapping.destination_key,
            info=head,
            metadata=source_metadata.describe(pack.source_bucket, mapping.source_key, head.etag, carried=head.metadata),
        )
        if not _alike(head, copied):
            raise _Differs("the copy's size or checksum is not the source's")
        return _stored(mapping, "copied", copied, "" if _is_proven(head, copied) else "verified by size only")


def pack_of(item: Item) -> Pack:
    """Return the item's payload, or raise InvalidData that names the wrong fields and no value."""
    try:
        return _PACK.validate_python(item.payload)
    except ValidationError as error:
        places = ", ".join(".".join(str(part) for part in fault["loc"]) for fault in error.errors()[:5])
        raise InvalidData(f"the payload is no pack of files; wrong: {places}") from None


_PACK: Final = TypeAdapter(Pack)


def problems_of(gathered: Gathered) -> Iterator[Problem]:
    """Yield the files of a done item that are not at their destination; none where the item is not done."""
    if gathered.marker is None:
        return
    found = gathered.marker.result.details.get("files", ())
    if all(entry["status"] in STORED for entry in found):
        return  # a payload takes longer to read than its verdicts, and most have nothing to tell
    for mapping, entry in zip(pack_of(gathered.item).files, found, strict=False):
        if entry["status"] not in STORED:
            yield Problem(
                gathered.item.agency_id,
                mapping.source_key,
                entry["status"],
                entry["reason"],
                len(mapping.attachments),
            )


async def _found(store: ObjectStore, key: str, *, version_id: str | None = None) -> ObjectInfo | None:
    try:
        return await store.head(key, version_id=version_id)
    except NotFound:
        return None


def _is_copy(there: ObjectInfo, pack: Pack, mapping: FileMapping) -> bool:
    """Say whether the object at the destination says of itself that it is a copy of the planned source."""
    return (
        mapping.etag is not None
        and mapping.size in {None, there.size}
        and source_metadata.is_of(there.metadata, bucket=pack.source_bucket, key=mapping.source_key, etag=mapping.etag)
    )


def _is_original(there: ObjectInfo, pack: Pack) -> bool:
    """Say whether the object at the destination may be somebody's source, which only a bucket for both can hold."""
    return pack.source_bucket == pack.destination_bucket and not source_metadata.is_any_copy(
        there.metadata, bucket=pack.source_bucket
    )


def _alike(one: ObjectInfo, other: ObjectInfo) -> bool:
    """Say whether nothing tells the two apart: size, and a checksum that both have.

    ETags and checksums of checksums (``…-5``) depend on part sizes and encryption: where they differ they tell nothing.
    """
    if one.size != other.size:
        return False
    common = [name for name in one.checksums if name in other.checksums]
    whole = [name for name in common if "-" not in one.checksums[name] + other.checksums[name]]
    return all(one.checksums[name] == other.checksums[name] for name in whole)


def _is_proven(one: ObjectInfo, other: ObjectInfo) -> bool:
    """Say whether more than the size shows two alike objects to be the same: a checksum, or an ETag that is an MD5."""
    common = (name for name in one.checksums if name in other.checksums)
    return any("-" not in one.checksums[name] for name in common) or ("-" not in one.etag and one.etag == other.etag)


def status_of(error: EtlError) -> FileStatus:
    """Return the status of a file that met ``error``; its message is the reason."""
    return lost_by(error) or "failed"


def _stored(mapping: FileMapping, status: FileStatus, info: ObjectInfo, doubt: str = "") -> FileResult:
    return FileResult(
        mapping,
        status,
        "; ".join(filter(None, (source_metadata.note(info.metadata), doubt))),
        info.size,
        info.etag,
        _checksum(info),
        info.content_type,
    )


def _checksum(info: ObjectInfo) -> str | None:
    """Return the strongest checksum that the store gives, as ``ALGORITHM:value``; SHA-256 in hex, others in base64."""
    if "SHA256" in info.checksums and "-" not in info.checksums["SHA256"]:
        return f"SHA256:{base64.b64decode(info.checksums['SHA256']).hex()}"
    return next((f"{name}:{value}" for name, value in sorted(info.checksums.items())), None)


def _summary(item: Item, pack: Pack, results: Sequence[FileResult]) -> ItemResult:
    counts: Counter[str] = Counter()
    for result in results:
        counts[result.status] += len(result.mapping.attachments)
    return ItemResult(
        item.item_id,
        status="skipped" if set(counts) == {"skipped"} else "done",
        counts=dict(sorted(counts.items())),
        failed=sum(count for status, count in counts.items() if status not in STORED),
        outputs=tuple(
            Output(
                pack.destination_bucket, r.mapping.destination_key, r.size or 0, r.etag or "", r.checksum, "attachment"
            )
            for r in results
            if r.status in STORED
        ),
        details={
            # One entry a file of the payload, in its order; what the outputs say of a stored one is not said again.
            "files": [{"status": r.status, "reason": r.reason, "content_type": r.content_type} for r in results]
        },
    )
