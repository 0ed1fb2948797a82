"""What the log says of a file's columns: the same of a merged file as of one that was written with all its rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from etl_core.objects.memory import MemoryBuckets
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.processors.refining.silver_file import Output, Shape, write
from pipeline_processing.tables import DataFile
from pipeline_processing.tables.publication import tags_of
from pipeline_processing.tables.rewriting import FileRewriter
from tables_world import AT, numbers, origin

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pipeline_processing.model import Json

FRAME = pl.DataFrame(
    {
        "s": ["x" * 40, "b", None, "a"],
        "n": [3, None, 1, 2],
        "f": [0.5, float("nan"), 2.5, 1.0],
        "d": [date(2030, 1, 2), date(2029, 1, 2), None, date(2031, 1, 2)],
        "t": [datetime(2030, 1, day, tzinfo=UTC) for day in (1, 4, 3, 2)],
        "m": [Decimal("1.50"), Decimal("-2.25"), None, Decimal("9.75")],
        "b": [True, False, None, True],
        "l": [["x"], None, [], ["y"]],
    }
)


def silver(folder: Path, rows: pl.DataFrame, bounded: Collection[str]) -> Output:
    folder.mkdir()
    shape = Shape(("_agency_id",), {"_agency_id": "a1"}, bounded, {})
    (output,) = write(rows.lazy(), folder, shape)
    return output


async def merged(folder: Path, *parts: tuple[pl.DataFrame, Collection[str]]) -> DataFile:
    """What the log says of the merged file of ``parts``, each with the columns that may be told of."""
    clock = FakeClock()
    store = MemoryBuckets(clock).create("silver")
    files = []
    for number, (rows, bounded) in enumerate(parts):
        output = silver(folder / f"{number}", rows, bounded)
        info = await store.put(f"t/{number}.parquet", output.path.read_bytes())
        tags = tags_of([replace(origin(f"{number}"), rows=output.rows)])
        files.append(DataFile(f"{number}.parquet", info.size, output.rows, output.partition, AT, output.stats, tags))
    rewriter = FileRewriter(store, "t", clock=clock, nonce=numbers(), folder=folder)
    return await rewriter.merged(files, partition_by=("_agency_id",))


async def test_a_merged_file_is_told_of_as_one_that_was_written_with_all_the_rows(tmp_path: Path) -> None:
    names = FRAME.columns
    whole = silver(tmp_path / "whole", FRAME, names)
    file = await merged(tmp_path, (FRAME[:2], names), (FRAME[2:], names))
    assert whole.stats == file.stats
    assert ("a", "x" * 32 + "\U0010ffff") == (bounds(file, "minValues")["s"], bounds(file, "maxValues")["s"])
    assert {"s": 1, "n": 1, "f": 0, "d": 1, "t": 0, "m": 1, "b": 1, "l": 1} == bounds(file, "nullCount")


async def test_of_a_column_that_has_become_classified_a_merged_file_tells_nothing(tmp_path: Path) -> None:
    file = await merged(tmp_path, (FRAME[:2], ["s", "n"]), (FRAME[2:], ["n"]), (FRAME[:0], []))
    assert {"minValues": {"n": 1}, "maxValues": {"n": 3}, "nullCount": {"n": 1}} == file.stats


def bounds(file: DataFile, which: str) -> Json:
    return (file.stats or {})[which]
