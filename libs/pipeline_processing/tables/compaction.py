"""Fewer, larger files of the same rows; and a file anew without the rows of some sources. In bounded memory."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl
import structlog

from etl_core.errors import InvalidData
from pipeline_processing.tables import Change, DataFile, Edit, in_order, partition_path
from pipeline_processing.tables.publication import merged_origins, origins_of, remaining, tags_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.model import Json
    from pipeline_processing.tables import Snapshot, Table
    from pipeline_processing.tables.publication import Origin

log = structlog.get_logger(__name__)

APP: Final = "optimize"
SOURCE: Final = "_source_file"
"""The column that says of each row which source it is from."""
TARGET: Final = 128 * 1024 * 1024
"""Bytes of a file as it should be; Delta Lake's own optimize aims at 100 to 256 MiB."""
SMALL: Final = 0.75
"""Share of the target from which on a file is left as it is."""
FILES: Final = 500
"""Files merged into one at most: each is open at once, and is a download."""
ROW_GROUP: Final = 50_000
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Optimized:
    """What `optimize` did: files before and after; ``left``: groups that a publish or another optimize changed."""

    before: int = 0
    after: int = 0
    left: int = 0


class Files:
    """Writes a table's files anew, by way of local disk (``folder``, or the system's).

    ``nonce`` returns a fresh unique text each time: a written file's name is its own.
    """

    def __init__(
        self,
        store: ObjectStore,
        root: str,
        *,
        clock: Clock,
        nonce: Callable[[], str],
        folder: Path | None = None,
        source_column: str = SOURCE,
    ) -> None:
        self._store, self._root = store, f"{root.strip('/')}/"
        self._clock, self._nonce, self._folder, self._source = clock, nonce, folder, source_column

    async def without(self, file: DataFile, sources: frozenset[str], *, partition_by: Sequence[str]) -> DataFile:
        """Write ``file`` without the rows of ``sources``, in its partition; the old one stays where it is."""
        wanted = pl.col(self._source).is_in(list(sources)).not_().fill_null(value=True)
        return await self._write([file], partition_by, remaining(file, sources), keep=wanted)

    async def merged(self, files: Sequence[DataFile], *, partition_by: Sequence[str]) -> DataFile:
        """Write the rows of ``files``, all of one partition, into one, in the order given."""
        return await self._write(files, partition_by, merged_origins(files), keep=pl.lit(value=True))

    async def _write(
        self, files: Sequence[DataFile], partition_by: Sequence[str], origins: Sequence[Origin], *, keep: pl.Expr
    ) -> DataFile:
        with tempfile.TemporaryDirectory(prefix="rewrite-", dir=self._folder) as temporary:
            sources = [Path(temporary) / f"{number}.parquet" for number in range(len(files))]
            for file, path in zip(files, sources, strict=True):
                await self._download(file, path)
            target = Path(temporary) / "target.parquet"
            tags = tags_of(origins)
            await asyncio.to_thread(_sink, sources, target, keep, tags)
            rows, stats = await asyncio.to_thread(described, target, _told_of(files))
            if rows != sum(origin.rows for origin in origins):
                raise InvalidData(
                    f"{self._root}{files[0].path}: {rows} rows where the tags say {sum(one.rows for one in origins)}"
                )
            partition = in_order(files[0].partition, partition_by)
            name = f"{partition_path(partition, partition_by)}merged-{self._nonce()}.parquet"
            info = await self._store.upload(self._root + name, _chunks(target))
        return DataFile(name, info.size, rows, partition, self._clock.now(), stats, tags)

    async def _download(self, file: DataFile, path: Path) -> None:
        with path.open("wb") as target:
            async for chunk in self._store.stream(self._root + file.path):
                target.write(chunk)


async def optimize(table: Table, files: Files, *, target: int = TARGET) -> Optimized:
    """Merge small files of one partition up to ``target`` bytes each, one commit a merged file; rows stay as they are.

    Safe at any time, also beside another one: a group of which somebody takes a file meanwhile is left for the next
    time, and what was written for it is an orphan for the vacuum.
    """
    snapshot = await table.snapshot()
    before = after = left = 0
    for group in groups(snapshot, target):
        merged = await files.merged(group, partition_by=snapshot.partition_by)
        if await _swapped(table, group, merged):
            before, after = before + len(group), after + 1
        else:
            left += 1
            log.info("table.group_left", table=table.uri, files=len(group), orphan=merged.path)
    log.info("table.optimized", table=table.uri, before=before, after=after, left=left)
    return Optimized(before, after, left)


def groups(snapshot: Snapshot, target: int = TARGET) -> list[list[DataFile]]:
    """Return what is to be merged: at least two small files of one partition, published by this product."""
    partitions: dict[tuple[str | None, ...], list[DataFile]] = defaultdict(list)
    for file in sorted(snapshot.files.values(), key=lambda file: (file.modified, file.path)):
        if file.size < SMALL * target and origins_of(file):
            partitions[tuple(file.partition[name] for name in snapshot.partition_by)].append(file)
    return [group for small in partitions.values() for group in _packed(small, target) if len(group) > 1]


def _packed(files: Iterable[DataFile], target: int) -> list[list[DataFile]]:
    packs: list[list[DataFile]] = [[]]
    size = 0
    for file in files:
        if packs[-1] and (size + file.size > target or len(packs[-1]) >= FILES):
            packs.append([])
            size = 0
        packs[-1].append(file)
        size += file.size
    return packs


async def _swapped(table: Table, group: Sequence[DataFile], merged: DataFile) -> bool:
    """Put ``merged`` in the place of ``group``; False where one of its files is not there any more, or is another."""

    def decide(snapshot: Snapshot) -> Edit | None:
        if not _stands(group, snapshot):
            return None
        return Edit([merged], [file.path for file in group], is_rewrite=True)

    while _stands(group, snapshot := await table.snapshot()):
        # Another optimize may take the number before: then it has merged something, and this group has its next turn.
        if (await table.commit(Change(APP, snapshot.applied.get(APP, 0) + 1, decide))).changed:
            return True
    return False


def _stands(group: Sequence[DataFile], snapshot: Snapshot) -> bool:
    return all(snapshot.files.get(file.path) == file for file in group)


def _told_of(files: Iterable[DataFile]) -> frozenset[str]:
    """Return the columns of which the files' publisher told anything: only these may stand in the log (law 13)."""
    return frozenset(name for file in files for names in (file.stats or {}).values() for name in names)


def described(path: Path, told_of: frozenset[str]) -> tuple[int, dict[str, Json]]:
    """Return the file's rows and its statistics for the table's log, of the columns ``told_of``.

    Bounds are of integers, finite floats and dates: texts are cut and times rounded in ways that readers must know.
    """
    frame = pl.scan_parquet(path, glob=False)
    schema = {name: dtype for name, dtype in frame.collect_schema().items() if name in told_of}
    bounded = [name for name, dtype in schema.items() if dtype.is_integer() or dtype.is_float() or dtype == pl.Date]
    figures = frame.select(
        pl.len().alias("rows"),
        *(pl.col(name).null_count().alias(f"null {name}") for name in schema),
        *(pl.col(name).min().alias(f"min {name}") for name in bounded),
        *(pl.col(name).max().alias(f"max {name}") for name in bounded),
    )
    row = figures.collect(engine="streaming").row(0, named=True)
    least = {name: _spelt(row[f"min {name}"]) for name in bounded}
    most = {name: _spelt(row[f"max {name}"]) for name in bounded}
    known = [name for name in bounded if least[name] is not None and most[name] is not None]
    return row["rows"], {
        "minValues": {name: least[name] for name in known},
        "maxValues": {name: most[name] for name in known},
        "nullCount": {name: row[f"null {name}"] for name in schema},
    }


def _spelt(value: object) -> Json:
    match value:
        case int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case date():
            return value.isoformat()
    return None


def _sink(sources: Sequence[Path], target: Path, keep: pl.Expr, footer: Mapping[str, str]) -> None:
    """Write the rows that stay. Columns are those of all files: what one lacks is null in its rows."""
    schema: dict[str, pl.DataType] = {}
    for source in sources:
        schema |= pl.read_parquet_schema(source)
    rows = pl.scan_parquet(
        list(sources), schema=schema, missing_columns="insert", low_memory=True, cache=False, glob=False
    )
    rows.filter(keep).sink_parquet(
        target,
        compression="zstd",
        row_group_size=ROW_GROUP,
        maintain_order=True,
        statistics=True,
        metadata=dict(footer),
        engine="streaming",
    )


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
