"""The last pass over a file's rows: from staging to the Parquet files that a table takes in, byte for byte the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson
import polars as pl

from etl_core.errors import InvalidData
from pipeline_processing.tables import NULL_FOLDER, partition_path
from pipeline_processing.tables.stats import ROW_GROUP, described

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from polars.io.partition import FileProviderArgs

    from pipeline_processing.model import Json

OPEN_PARTITIONS: Final = 64
"""Partitions written in one pass. Polars closes the longest idle ones past 128, and opens a second file for each."""
OPEN_ROWS: Final = 500_000
"""Rows that the row groups of these partitions hold together while they fill up."""
COMPRESSION_LEVEL: Final = 1
"""Level 3 saves 3 % of a file and costs a third more to write it."""
MAX_PARTITIONS: Final = 256
"""Partitions that one source file may fall into: each is a file, and each `OPEN_PARTITIONS` are a pass."""
FOLDER_LIMIT: Final = 700
"""Bytes of a partition's folders, escaped: a key of S3 has 1024, and the table's root and the file's name in them."""


@dataclass(frozen=True, slots=True)
class Output:
    """One Parquet file. ``partition`` has the values, as texts (None = null), of the columns that are not in the file.

    ``stats`` are ``minValues``, ``maxValues`` and ``nullCount`` by column, as Delta Lake names them.
    """

    path: Path
    partition: Mapping[str, str | None]
    rows: int
    size: int
    sha256: str
    stats: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """How the files are written: ``constants`` are columns of one value for the whole source, added last."""

    partition_by: Sequence[str]
    constants: Mapping[str, str]
    bounded: Collection[str]
    """Columns whose least and greatest values may be told."""
    footer: Mapping[str, str]


def write(rows: pl.LazyFrame, into: Path, shape: Shape, *, heed: Callable[[], None] = lambda: None) -> list[Output]:
    """Write ``rows`` to ``into``, a file a partition, in order of the partitions; at least one file.

    InvalidData where there are more than `MAX_PARTITIONS`. The number of threads does not change the bytes. ``heed`` is
    called before each pass; what it raises ends the writing.
    """
    split_by = [name for name in shape.partition_by if name not in shape.constants]
    fixed = {name: shape.constants[name] for name in shape.partition_by if name in shape.constants}
    rows = with_constants(rows, shape)
    heed()
    found = _write_split(rows, split_by, into, shape, heed) if split_by else {}
    if not found:
        found = {"rows.parquet": dict.fromkeys(split_by)}
        sink(rows.drop(split_by), into / "rows.parquet", shape).collect(engine="streaming")
    order = sorted(found, key=lambda name: [(value is not None, value or "") for value in found[name].values()])
    if NULL_FOLDER in fixed.values() or any(NULL_FOLDER in values.values() for values in found.values()):
        raise InvalidData(f"a value of {', '.join(shape.partition_by)} is {NULL_FOLDER}, which readers take for null")
    partitions = {name: {column: {**fixed, **found[name]}[column] for column in shape.partition_by} for name in order}
    return [_output(into / name, partition, shape) for name, partition in partitions.items()]


def with_constants(rows: pl.LazyFrame, shape: Shape) -> pl.LazyFrame:
    """Return ``rows`` with the columns that have one value."""
    return rows.with_columns(
        pl.lit(value, pl.String).alias(name)
        for name, value in shape.constants.items()
        if name not in shape.partition_by
    )


def _write_split(
    rows: pl.LazyFrame, split_by: Sequence[str], into: Path, shape: Shape, heed: Callable[[], None]
) -> dict[str, dict[str, str | None]]:
    """Return the names of the files that were written, with their partitions' values; empty without a row."""
    partitions = rows.select(split_by).unique().head(MAX_PARTITIONS + 1).collect(engine="streaming").sort(split_by)
    if partitions.height > MAX_PARTITIONS:
        raise InvalidData(f"its rows fall into more than {MAX_PARTITIONS} partitions by {', '.join(split_by)}")
    told = partitions.select(pl.all().cast(pl.String)).iter_rows(named=True)
    if any(len(partition_path(values, split_by)) > FOLDER_LIMIT for values in told):
        raise InvalidData(f"a value of {', '.join(split_by)} is too long for a partition's folder")
    found: dict[str, dict[str, str | None]] = {}

    def name_of(arguments: FileProviderArgs) -> str:
        values = arguments.partition_keys.select(pl.all().cast(pl.String)).row(0, named=True)
        digest = hashlib.blake2b(orjson.dumps(list(values.values())), digest_size=8).hexdigest()
        name = f"rows-{digest}-{arguments.index_in_partition}.parquet"
        found[name] = values
        return name

    target = pl.PartitionBy(
        into, file_path_provider=name_of, key=split_by, include_key=False, approximate_bytes_per_file=None
    )
    row_group = min(ROW_GROUP, OPEN_ROWS // min(OPEN_PARTITIONS, max(1, partitions.height)))
    for chosen in partitions.iter_slices(OPEN_PARTITIONS):
        heed()
        some = rows if chosen.height == partitions.height else rows.filter(is_one_of(chosen))
        sink(some, target, shape, row_group=row_group).collect(engine="streaming")
    return found


def is_one_of(partitions: pl.DataFrame) -> pl.Expr:
    """Return whether a row is of one of ``partitions``, by comparisons that the streaming engine knows."""
    return pl.any_horizontal(
        pl.all_horizontal(
            pl.col(name).eq_missing(pl.lit(values[name], dtype)) for name, dtype in partitions.schema.items()
        )
        for values in partitions.iter_rows(named=True)
    )


def sink(
    rows: pl.LazyFrame, target: Path | pl.PartitionBy, shape: Shape, *, row_group: int = ROW_GROUP
) -> pl.LazyFrame:
    """Return the plan that writes ``rows`` once it is collected."""
    return rows.sink_parquet(
        target,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        row_group_size=row_group,
        statistics=True,
        maintain_order=True,
        metadata=dict(shape.footer),
        lazy=True,
    )


def _output(path: Path, partition: Mapping[str, str | None], shape: Shape) -> Output:
    rows, stats = described(path, shape.bounded)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Output(path, partition, rows, path.stat().st_size, sha256, stats)
