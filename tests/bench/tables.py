"""A run's 500 files published to a Delta Lake table in one commit, beside deltalake's own transaction of as many."""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import deltalake
import orjson
import polars as pl
from deltalake.transaction import AddAction
from tests.bench.figures import Figure, peak_mib, stopwatch
from tests.bench.worlds import place

from etl_core.clock import SystemClock
from pipeline_processing.tables import DataFile, partition_path
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.publication import Origin, tags_of
from pipeline_processing.tables.publishing import publish as publish_run
from pipeline_processing.tables.rewriting import FileRewriter
from pipeline_processing.tables.schema import schema_of

AGENCIES = 20
COLUMNS = pl.Schema({"_agency_id": pl.String, **{f"column_{number}": pl.Int64 for number in range(12)}})
SCHEMA = schema_of(COLUMNS, partition_by=["_agency_id"])
SECONDS = 2.0
"""What 500 files may take."""


async def publish(kind: str, size: int) -> Figure:
    """A second run of ``size`` files that replaces all of the first one's, decision and snapshot included."""
    async with place(kind) as there:
        store, count = there.services.control, itertools.count()
        root = f"silver/bench-{random.randrange(16**8):08x}"
        clock = SystemClock()

        def nonce() -> str:
            return f"{next(count):032x}"

        def opened() -> DeltaTable:
            return DeltaTable(store, root, clock=clock, jitter=random.random, nonce=nonce)

        rewriter = FileRewriter(store, root, clock=clock, nonce=nonce)
        first, second = files("r1", 1, size), files("r2", 2, size)
        await publish_run(opened(), first, run="r1", version=size, schema=SCHEMA, rewriter=rewriter)
        with stopwatch() as watch:
            done = await publish_run(opened(), second, run="r2", version=size, schema=SCHEMA, rewriter=rewriter)
        assert done.changed
        commit = await anext(aiter(opened().history()))
        assert (size, size) == (len(commit.added), len(commit.removed))
    assert watch.seconds <= SECONDS * size / 500, f"{size} files took {watch.seconds:.2f} s"
    bare = await asyncio.to_thread(_bare, first)
    name = f"publish, {kind}: files replaced in one commit"
    return Figure(name, "files/s", size, watch.speed(size), watch.cpu_us(size), bare, peak_mib())


def files(run: str, day: int, size: int) -> list[DataFile]:
    """A run's files, one a source, with statistics of every column and all tags."""
    at = datetime(2030, 1, day, tzinfo=UTC)
    made = []
    for number in range(size):
        partition = {"_agency_id": f"agency {number % AGENCIES}"}
        source = f"s3://bronze/agency-{number % AGENCIES}/roster/2030/file-{number:06d}.csv"
        origin = Origin(source, "v1", "1.0.0", "0123456789abcdef", "0.1.0", run, f"{number:032x}", at.isoformat())
        columns = [name for name in COLUMNS if name != "_agency_id"]
        stats = {
            "minValues": dict.fromkeys(columns, 1),
            "maxValues": dict.fromkeys(columns, 10**6),
            "nullCount": dict.fromkeys(columns, 0),
        }
        path = f"{partition_path(partition, ['_agency_id'])}part-{run}-{number:012x}.parquet"
        made.append(DataFile(path, 100_000, 1000, partition, at, stats, tags_of([origin])))
    return made


def _bare(adding: list[DataFile]) -> float:
    """Return the files a second of deltalake's own transaction, which has no tags, on a local disk."""
    with TemporaryDirectory(prefix="bench-table-") as folder:
        schema = deltalake.Schema.from_arrow(COLUMNS)
        table = deltalake.DeltaTable.create(Path(folder), schema, partition_by=["_agency_id"])
        with stopwatch() as watch:
            actions = [
                AddAction(file.path, file.size, file.partition, 0, True, orjson.dumps(file.stats).decode())  # noqa: FBT003 - its data_change
                for file in adding
            ]
            table.create_write_transaction(actions, "append", schema, ["_agency_id"])
    return watch.speed(len(adding))
