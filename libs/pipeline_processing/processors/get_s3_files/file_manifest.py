"""The metadata manifest of an agency: one row an attachment that says what is, made from the winning markers.

Equal results give equal bytes: nothing in it names a run, a worker or a time, and a file that was there already is
`stored` just like one that was copied by this run.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import orjson

from etl_core.errors import InvalidData
from etl_core.spool import SortedSpool
from pipeline_processing.processors.content import ContentFile, store
from pipeline_processing.processors.get_s3_files.destination import content_key
from pipeline_processing.processors.get_s3_files.s3_files import STORED, Pack, pack_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from etl_core.objects import ObjectStore
    from pipeline_processing.model import Gathered, Json, Output

ROLE: Final = "manifest"
COLUMNS: Final = (
    "attachment_id",
    "employee_id",
    "agency_id",
    "source_bucket",
    "source_key",
    "destination_bucket",
    "destination_key",
    "size",
    "etag",
    "checksum",
    "content_type",
    "status",
    "reason",
)
"""``destination_key`` to ``content_type`` are those of the stored object, null where none is stored."""
ROW_GROUP: Final = 50_000
_WRITE_ROWS: Final = 1000


@dataclass(slots=True)
class AgencyManifest:
    """One agency's manifest files, with the rows of each status."""

    agency_id: str
    outputs: tuple[Output, ...]
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """Return the number of attachments."""
        return self.counts.total()


class ManifestRows:
    """Takes results in any order and gives each agency's rows back sorted; holds them on local disk.

    Use it as a context manager.
    """

    def __init__(self) -> None:
        self._spool = SortedSpool()

    def __enter__(self) -> Self:
        self._spool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.__exit__(kind, error, trace)

    def add(self, gathered: Gathered) -> None:
        """Take the rows of one item of `s3_files`; InvalidData where its marker does not fit its payload."""
        agency_id = gathered.item.agency_id
        for row in _rows(gathered):
            order = (agency_id, row["source_key"], row["attachment_id"] or "", row["employee_id"] or "")
            self._spool.add(b"\0".join(part.encode() for part in order), orjson.dumps(row))

    def agencies(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield each agency with its rows as JSON; read an agency's rows before asking for the next."""
        for agency, entries in itertools.groupby(self._spool, key=lambda entry: entry[0].partition(b"\0")[0]):
            yield agency.decode(), (row for _, row in entries)


async def write(agency_id: str, rows: Iterable[bytes], objects: ObjectStore, prefix: str) -> AgencyManifest:
    """Store the agency's ``rows`` as NDJSON and as Parquet, each under its content's hash, in bounded memory."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="manifest-") as folder:
        lines, table = Path(folder) / "rows.ndjson", Path(folder) / "rows.parquet"
        with ContentFile(lines) as content:
            for chunk in _chunks(rows, counts):
                await asyncio.to_thread(content.write, chunk)
            ndjson = await _store(content, objects, prefix, agency_id, "ndjson")
        await asyncio.to_thread(_to_parquet, lines, table)
        with await asyncio.to_thread(ContentFile.of, table) as content:
            parquet = await _store(content, objects, prefix, agency_id, "parquet")
    return AgencyManifest(agency_id, (ndjson, parquet), counts)


def _rows(gathered: Gathered) -> Iterator[dict[str, Json]]:
    item, marker = gathered.item, gathered.marker
    pack = pack_of(item)
    if marker is None:
        yield from (
            row for file in range(len(pack.files)) for row in _rows_of(pack, file, item.agency_id, gathered.state)
        )
        return
    found, outputs = marker.result.details.get("files", ()), iter(marker.result.outputs)
    if len(found) != len(pack.files):
        raise InvalidData(f"the marker of item {item.item_id} tells of {len(found)} files, not {len(pack.files)}")
    for file, entry in enumerate(found):
        output = next(outputs, None) if entry["status"] in STORED else None
        if output is not None and output.key != pack.files[file].destination_key:
            raise InvalidData(f"the marker of item {item.item_id} names outputs that are not its item's")
        status = "stored" if output else entry["status"]
        for row in _rows_of(pack, file, item.agency_id, status):
            if output is not None:
                row |= {
                    "destination_key": output.key,
                    "size": output.size,
                    "etag": output.etag,
                    "checksum": output.checksum,
                    "content_type": entry["content_type"],
                }
            yield row | {"reason": entry["reason"] or None}


def _rows_of(pack: Pack, file: int, agency_id: str, status: str) -> Iterator[dict[str, Json]]:
    mapping = pack.files[file]
    for attachment_id, employee_id in mapping.attachments:
        yield dict.fromkeys(COLUMNS) | {
            "attachment_id": attachment_id,
            "employee_id": employee_id,
            "agency_id": agency_id,
            "source_bucket": pack.source_bucket,
            "source_key": mapping.source_key,
            "destination_bucket": pack.destination_bucket,
            "status": status,
        }


def _chunks(rows: Iterable[bytes], counts: Counter[str]) -> Iterator[bytes]:
    lines: list[bytes] = []
    for row in rows:
        counts[orjson.loads(row)["status"]] += 1
        lines.append(row)
        if len(lines) == _WRITE_ROWS:
            yield b"\n".join(lines) + b"\n"
            lines.clear()
    if lines:
        yield b"\n".join(lines) + b"\n"


def _to_parquet(lines: Path, table: Path) -> None:
    import polars as pl  # noqa: PLC0415 - only a gather needs it, and it takes a while to import

    schema = {name: pl.Int64 if name == "size" else pl.String for name in COLUMNS}
    pl.scan_ndjson(lines, schema=schema).sink_parquet(
        table, compression="zstd", row_group_size=ROW_GROUP, maintain_order=True
    )


async def _store(content: ContentFile, objects: ObjectStore, prefix: str, agency_id: str, extension: str) -> Output:
    key = content_key(prefix, agency_id, ROLE, content.sha256, extension)
    kind = {"ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}[extension]
    output, _ = await store(content, objects, key, content_type=kind, role=ROLE)
    return output
