"""Which bronze files a run has work with: found by listing, compared with what is published, packed by agency."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import orjson

from etl_core.spool import SortedSpool
from pipeline_processing.model import Item
from pipeline_processing.packing import Packer
from pipeline_processing.processors.silver.item import NAME, SilverPack, SourceFile
from pipeline_processing.unchanged import OTHER_CONTRACT, Unchanged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from etl_core.objects import ObjectStore
    from pipeline_processing.tables.ledger import Record

Reason = Literal["unchanged", "unchanged, of another contract", "not selected", "up to date"]
"""Why a file is left alone.

*unchanged*: this version of it is published; *up to date*: by today's contract and code, too.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A bronze file with what is published of it, if anything is."""

    agency_id: str
    file: SourceFile
    published: Record | None = None


class Select(Protocol):
    """Decides about one file."""

    def __call__(self, found: Found) -> Reason | None:
        """Say why the file is left alone; None where there is work with it."""
        ...


def incremental(contract_fingerprint: str) -> Select:
    """Leave alone what is published in this very version, whatever contract or code it was published with.

    What another contract than that of the fingerprint has published is told apart: a backfill makes it anew.
    """

    def select(found: Found) -> Reason | None:
        if found.published is None or found.published.source_version != found.file.version:
            return None
        return "unchanged" if found.published.contract_fingerprint == contract_fingerprint else OTHER_CONTRACT

    return select


def everything(found: Found) -> Reason | None:
    """Leave nothing alone."""
    del found
    return None


async def list_files(store: ObjectStore, prefix: str, pattern: str) -> AsyncIterator[SourceFile]:
    """Yield the files below ``prefix`` whose name after it matches ``pattern``, a shell-style wildcard.

    Folder placeholders and empty names are no files; an object of no bytes is one, and its verdict says so.
    """
    async for info in store.list(prefix):
        name = info.key.removeprefix(prefix)
        if name and not name.endswith("/") and fnmatch.fnmatchcase(name, pattern):
            yield SourceFile(store.bucket, info.key, info.etag, info.size, info.modified.isoformat())


async def compare(
    found: AsyncIterator[tuple[str, SourceFile]], published: Iterable[tuple[str, Record]]
) -> AsyncIterator[Found]:
    """Yield every file with its record: a merge join, as ``published`` ascends by source. Memory does not grow."""
    with SortedSpool() as spool:
        async for agency_id, file in found:
            spool.add(_order(file.source), orjson.dumps([agency_id, file]))
        records = iter(published)
        record = next(records, None)
        for key, value in spool:
            while record is not None and _order(record[0]) < key:
                record = next(records, None)
            agency_id, fields = orjson.loads(value)
            file = SourceFile(**fields)
            is_known = record is not None and record[0] == file.source
            yield Found(agency_id, file, record[1] if record is not None and is_known else None)


def _order(source: str) -> bytes:
    return source.encode(errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one item holds: files, and bytes as they lie in the bucket."""

    max_items: int
    max_bytes: int


async def items(
    found: AsyncIterator[Found], select: Select, make: Callable[[tuple[SourceFile, ...]], SilverPack], limits: Limits
) -> AsyncIterator[Item]:
    """Yield packs of the files with work, agency by agency, then one item an agency for those left alone."""
    left = Unchanged()
    packers: dict[str, Packer[SourceFile]] = {}
    async for one in found:
        why = select(one)
        if why is not None:
            left.add(one.agency_id, one.file.source, one.file.version, why=why)
            continue
        packer = packers.setdefault(one.agency_id, Packer(max_items=limits.max_items, max_bytes=limits.max_bytes))
        for files in packer.add(one.file, size=one.file.size):
            yield _item(one.agency_id, make(tuple(files)))
    for agency_id, packer in sorted(packers.items()):
        if rest := packer.rest():
            yield _item(agency_id, make(tuple(rest)))
    for item in left.items():
        yield item


def _item(agency_id: str, pack: SilverPack) -> Item:
    return Item(NAME, agency_id, pack.as_json(), inputs=len(pack.files))
