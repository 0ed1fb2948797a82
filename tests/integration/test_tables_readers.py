"""Readers at work while runs are published: each sees all of a run or none of it (law 5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable as DeltaRs
from deltalake import QueryBuilder

from etl_core.aws import AwsClients
from etl_core.clock import SystemClock
from etl_core.objects.s3 import S3Store
from pipeline_processing.tables.compaction import optimize
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.plain import PlainTable
from pipeline_processing.tables.publication import tags_of
from pipeline_processing.tables.publishing import publish
from pipeline_processing.tables.rewriting import FileRewriter
from tables_world import SCHEMA, numbers, origin, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pipeline_processing.tables import DataFile, Table

RUNS, SOURCES = 8, 4
ROWS = 2 * SOURCES

Counts = list[tuple[str, int]]
"""Rows by the run that published them. Each run replaces every source: two runs at once would be half of one."""


class Reader(Protocol):
    async def read(self) -> Counts: ...


class PolarsReader:
    def __init__(self, clients: AwsClients, uri: str) -> None:
        self._clients, self._uri = clients, uri

    async def read(self) -> Counts:
        options = await self._clients.storage_options()
        counts = pl.scan_delta(self._uri, storage_options=options).group_by("name").len()
        return list((await asyncio.to_thread(counts.collect)).iter_rows())


class DeltaRsReader:
    def __init__(self, clients: AwsClients, uri: str) -> None:
        self._clients, self._uri = clients, uri

    async def read(self) -> Counts:
        return await asyncio.to_thread(self._query, await self._clients.storage_options())

    def _query(self, options: dict[str, str]) -> Counts:
        table = DeltaRs(self._uri, storage_options=options)
        query = QueryBuilder().register("t", table).execute("select name, count(*) as n from t group by name")
        return list(pl.DataFrame(query.read_all()).iter_rows())


class DuckDbReader:
    """Reads a snapshot's files, fetched: its wheel can reach neither S3 nor Delta Lake's log by itself."""

    def __init__(self, store: S3Store, table: Table, folder: Path) -> None:
        self._store, self._table, self._folder = store, table, folder

    async def read(self) -> Counts:
        paths = []
        for file in (await self._table.snapshot()).files.values():
            path = self._folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((await self._store.get(self._table.root + file.path)).body)
            paths.append(str(path))
        with duckdb.connect() as connection:
            found = connection.execute(
                "select name, count(*) from read_parquet(?, hive_partitioning = true) group by all",
                [paths],
            )
            return found.fetchall()


class Reading:
    """A reader that reads again and again; `once_more` waits until it has read after now."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._waiting: list[asyncio.Future[None]] = []
        self.seen: list[Counts] = []

    async def run(self) -> None:
        while True:
            self.seen.append(await self._reader.read())
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.set_result(None)

    async def once_more(self) -> None:
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        await answer


@pytest.fixture
async def clients(aws_environment: dict[str, str]) -> AsyncIterator[AwsClients]:
    clients = AwsClients()
    yield clients
    await clients.aclose()


@pytest.fixture
def store(clients: AwsClients, bucket: str) -> S3Store:
    return S3Store(clients, bucket)


async def made(store: S3Store, table: Table, day: int) -> list[DataFile]:
    """The files of the run that is planned on that day."""
    run = f"r{day:02d}"
    origins = [origin(f"s{number}", run=run, day=day) for number in range(SOURCES)]
    rows = [{"name": run, "age": 1}, {"name": run, "age": 2}]
    return [
        await written(store, table.root, f"{run}-{one.item}.parquet", rows, source=one.source, tags=tags_of([one]))
        for one in origins
    ]


async def publish_all(store: S3Store, table: Table, readings: list[Reading]) -> None:
    """Publish run after run, with readers at work all the time, and a compaction now and then."""
    files = FileRewriter(store, table.root, clock=SystemClock(), nonce=numbers("merged"))
    for day in range(1, RUNS + 1):
        new = await made(store, table, day)
        await publish(table, new, run=f"r{day:02d}", version=SOURCES, schema=SCHEMA, rewriter=files)
        if day == 1:
            tasks = [asyncio.create_task(reading.run()) for reading in readings]
        if day % 5 == 0:
            await optimize(table, files)
        await asyncio.gather(*(reading.once_more() for reading in readings))
    await asyncio.gather(*(reading.once_more() for reading in readings))
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError)


def judge(reading: Reading) -> None:
    assert [] == [counts for counts in reading.seen if [ROWS] != [rows for _, rows in counts]]
    assert [(f"r{RUNS:02d}", ROWS)] == reading.seen[-1]
    # A read may have begun before the publish that it is waited for after, so it sees every other run at the least.
    assert RUNS // 2 <= len({name for counts in reading.seen for name, _ in counts})


async def test_polars_delta_rs_and_duckdb_see_whole_runs_of_a_delta_table(
    clients: AwsClients, store: S3Store, tmp_path: Path
) -> None:
    def opened() -> DeltaTable:
        return DeltaTable(
            store,
            "silver/people",
            clock=SystemClock(),
            jitter=lambda: 0.5,
            nonce=nonce,
            options=clients.storage_options,
            checkpoint_every=5,
        )

    nonce = numbers()
    table = opened()
    readings = [
        Reading(PolarsReader(clients, table.uri)),
        Reading(DeltaRsReader(clients, table.uri)),
        Reading(DuckDbReader(store, opened(), tmp_path)),
    ]
    async with asyncio.timeout(120):
        await publish_all(store, table, readings)
    for reading in readings:
        judge(reading)


async def test_duckdb_sees_whole_runs_of_a_plain_table(store: S3Store, tmp_path: Path) -> None:
    nonce = numbers()

    def opened() -> PlainTable:
        return PlainTable(store, "silver/people", clock=SystemClock(), jitter=lambda: 0.5, nonce=nonce)

    reading = Reading(DuckDbReader(store, opened(), tmp_path))
    async with asyncio.timeout(120):
        await publish_all(store, opened(), [reading])
    judge(reading)
