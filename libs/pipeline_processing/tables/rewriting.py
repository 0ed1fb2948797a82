"""A file anew without the rows of some sources, or several as one; by way of local disk, in bounded memory."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import InvalidData
from pipeline_processing.tables import DataFile, in_order, partition_path
from pipeline_processing.tables.publication import merged_origins, remaining, tags_of
from pipeline_processing.tables.stats import ROW_GROUP, described

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.tables.publication import Origin

SOURCE: Final = "_source_file"
"""The column that says of each row which source it is from."""
_CHUNK: Final = 1024 * 1024


class FileRewriter:
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


def _told_of(files: Iterable[DataFile]) -> frozenset[str]:
    """Return the columns of which every file with rows tells something: only these may stand in the log (law 13).

    A column that has become classified is told of by older files only.
    """
    told = [{name for names in (file.stats or {}).values() for name in names} for file in files if file.rows]
    return frozenset(set.intersection(*told) if told else ())


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
