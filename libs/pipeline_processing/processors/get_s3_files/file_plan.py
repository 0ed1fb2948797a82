"""From an agency's attachments to packs of pinned files: sorted, deduplicated, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.errors import ConfigError, NotFound, Permanent
from etl_core.objects import KEY_LIMIT
from etl_core.spool import SortedSpool
from pipeline_processing.packing import Packer
from pipeline_processing.processors.get_s3_files.destination import UnfitName, attachment_key, relative_name
from pipeline_processing.processors.get_s3_files.s3_files import FileMapping, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from etl_core.objects import ObjectStore
    from pipeline_processing.repositories.attachments import AttachmentFile, AttachmentRepository

HEADS: Final = 32
"""Sources asked for at once while planning."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one item holds."""

    max_items: int
    max_bytes: int


async def known_to_database(repository: AttachmentRepository, agency_id: str) -> AsyncGenerator[FileMapping, None]:
    """Yield one mapping an attachment of the agency, without destination yet."""
    async with aclosing(repository.get_attachment_files_for_s3_processing(agency_id)) as attachments:
        async for attachment in attachments:
            yield _mapping(attachment)


async def found_in_bucket(source: ObjectStore, source_prefix: str) -> AsyncGenerator[FileMapping, None]:
    """Yield one mapping an object under the agency's source prefix, without destination yet."""
    async for info in source.list(source_prefix):
        yield FileMapping(info.key, size=info.size, etag=info.etag)


async def agencies_in_bucket(source: ObjectStore, template: str) -> AsyncIterator[str]:
    """Yield the agencies that have a folder where ``template`` says, by skipping from one to the next."""
    before, _, after = template.partition("{agency_id}")
    if not after.startswith("/"):
        raise ConfigError(
            f"agencies can not be told apart in {template!r}",
            where="--source-prefix",
            way_out="end the agency's segment with a slash, as in {agency_id}/",
        )
    last = after_key = ""
    while (key := await _first(source, before, start_after=after_key)) is not None:
        agency_id, slash, _ = key.removeprefix(before).partition("/")
        if slash and agency_id and agency_id != last:
            yield agency_id
            last = agency_id
        # Of a folder all keys but a few odd ones are below this; a file beside the folders is stepped over.
        after_key = max(key, f"{before}{agency_id}/\U0010ffff") if slash else key


async def _first(source: ObjectStore, prefix: str, *, start_after: str) -> str | None:
    async for info in source.list(prefix, start_after=start_after):
        return info.key
    return None


async def packs(
    found: AsyncIterator[FileMapping],
    *,
    agency_id: str,
    source: ObjectStore,
    source_prefix: str,
    destination_prefix: str,
    limits: Limits,
    forbidden: str | None = None,
) -> AsyncIterator[list[FileMapping]]:
    """Yield packs of mappings, each with a destination and pinned, or with its verdict. Equal inputs give equal packs.

    Sources whose ETag or size is not known are looked up. Of two sources with one destination the first in the order
    of their keys gets it, the other is a `collision`; attachments of the same source are one file. A source below
    ``forbidden``, the folder of the source bucket that runs write into, is `unsafe_key`: a copy could replace it.
    """
    packer = Packer[FileMapping](max_items=limits.max_items, max_bytes=limits.max_bytes)
    with SortedSpool() as spool:
        async for mapping in found:
            placed = (
                replace(mapping, verdict="unsafe_key", reason=f"the source is in {forbidden!r}, which runs write into")
                if forbidden is not None and mapping.source_key.startswith(forbidden)
                else _placed(mapping, agency_id, source_prefix, destination_prefix)
            )
            spool.add(_order(placed), orjson.dumps(placed))
        planned = (_read(value) for _, value in spool)
        async with aclosing(_pinned(planned, source)) as pinned:
            async for mapping in _without_doubles(pinned, limits.max_items):
                size = 0 if mapping.verdict else mapping.size or 0
                for pack in packer.add(mapping, size=size, inputs=len(mapping.attachments)):
                    yield pack
    if rest := packer.rest():
        yield rest


def _mapping(attachment: AttachmentFile) -> FileMapping:
    return FileMapping(
        attachment.source_key,
        attachments=((attachment.attachment_id, attachment.employee_id),),
        size=attachment.size_bytes,
        etag=attachment.etag,
        version_id=attachment.version_id,
    )


def _placed(mapping: FileMapping, agency_id: str, source_prefix: str, destination_prefix: str) -> FileMapping:
    size = len(mapping.source_key.encode(errors="surrogatepass"))
    if not 0 < size <= KEY_LIMIT:
        reason = f"the source key has {size} bytes; S3 has keys of 1 to {KEY_LIMIT}"
        return replace(mapping, verdict="key_too_long" if size else "unsafe_key", reason=reason)
    try:
        name = relative_name(mapping.source_key, source_prefix)
        return replace(mapping, destination_key=attachment_key(destination_prefix, agency_id, name))
    except UnfitName as unfit:
        return replace(mapping, verdict=unfit.status, reason=str(unfit))


def _order(mapping: FileMapping) -> bytes:
    attachment_id, employee_id = mapping.attachments[0]
    parts = (mapping.destination_key, mapping.source_key, mapping.version_id, mapping.etag, attachment_id, employee_id)
    return b"\0".join((part or "").encode(errors="surrogatepass") for part in parts)


def _read(value: bytes) -> FileMapping:
    fields = orjson.loads(value)
    fields["attachments"] = tuple(tuple(pair) for pair in fields["attachments"])
    return FileMapping(**fields)


async def _pinned(mappings: Iterable[FileMapping], source: ObjectStore) -> AsyncGenerator[FileMapping, None]:
    """Yield ``mappings`` in their order, up to `HEADS` look-ups ahead."""
    window: deque[FileMapping | asyncio.Task[FileMapping]] = deque()
    try:
        for mapping in mappings:
            is_known = mapping.verdict or (mapping.etag is not None and mapping.size is not None)
            if is_known and not window:
                yield mapping
                continue
            window.append(mapping if is_known else asyncio.create_task(_pin(mapping, source)))
            if len(window) >= HEADS:
                yield await _next(window)
        while window:
            yield await _next(window)
    finally:
        tasks = [waiting for waiting in window if isinstance(waiting, asyncio.Task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _next(window: deque[FileMapping | asyncio.Task[FileMapping]]) -> FileMapping:
    first = window.popleft()
    return first if isinstance(first, FileMapping) else await first


async def _pin(mapping: FileMapping, source: ObjectStore) -> FileMapping:
    try:
        info = await source.head(mapping.source_key, version_id=mapping.version_id)
    except NotFound:
        return replace(mapping, verdict="missing", reason="the source is not there")
    except Permanent as error:
        return replace(mapping, verdict=status_of(error), reason=str(error))
    # An ETag that the database does know stays: whether it still holds is the copy's finding.
    return replace(mapping, etag=mapping.etag or info.etag, size=info.size if mapping.size is None else mapping.size)


async def _without_doubles(mappings: AsyncIterator[FileMapping], max_items: int) -> AsyncIterator[FileMapping]:
    """Join equal neighbours to one file for all their attachments, and find those whose destination is taken."""
    owner: FileMapping | None = None
    last: FileMapping | None = None
    async for found in mappings:
        mapping = found
        if owner is not None and owner.destination_key != mapping.destination_key:
            owner = None
        if mapping.verdict is None and owner is None:
            owner = mapping
        elif mapping.verdict is None and owner is not None and not _same_source(owner, mapping):
            mapping = replace(mapping, verdict="collision", reason="another source has the same destination")
        if last is not None and len(last.attachments) < max_items and _equal_files(last, mapping):
            last = replace(last, attachments=last.attachments + mapping.attachments)
            continue
        if last is not None:
            yield last
        last = mapping
    if last is not None:
        yield last


def _same_source(one: FileMapping, other: FileMapping) -> bool:
    """Say whether both mean one object. Two ETags of one key do not collide: at most one of the two pins holds."""
    same_version = one.version_id == other.version_id or one.etag == other.etag
    return one.source_key == other.source_key and same_version


def _equal_files(one: FileMapping, other: FileMapping) -> bool:
    return one.source_key == other.source_key and replace(other, attachments=one.attachments) == one
