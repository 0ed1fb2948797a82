"""Our Delta Lake tables as others read and keep them: deltalake, Polars and DuckDB on the local endpoint."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from deltalake import DeltaTable as Reader
from deltalake import QueryBuilder

from etl_core.aws import AwsClients
from etl_core.clock import SystemClock
from etl_core.errors import AccessDenied
from etl_core.objects.s3 import S3Store
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.tables import Change, Edit
from pipeline_processing.tables.compaction import Optimized, optimize
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.publication import tags_of
from pipeline_processing.tables.publishing import publish
from pipeline_processing.tables.rewriting import FileRewriter
from pipeline_processing.tables.rollback import rollback
from pipeline_processing.tables.schema import schema_of
from tables_world import BY_TWO, TWO, adding, numbers, origin, rows_of, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from etl_core.objects import ObjectStore

FOLDER = "_agency_id=a1/"


@pytest.fixture
async def clients(aws_environment: dict[str, str]) -> AsyncIterator[AwsClients]:
    clients = AwsClients()
    yield clients
    await clients.aclose()


@pytest.fixture
def store(clients: AwsClients, bucket: str) -> S3Store:
    return S3Store(clients, bucket)


@pytest.fixture
def opened(clients: AwsClients, store: S3Store) -> Callable[[], DeltaTable]:
    nonce = numbers()
    return lambda: DeltaTable(
        store,
        "silver/people",
        clock=SystemClock(),
        jitter=lambda: 0.5,
        nonce=nonce,
        options=clients.storage_options,
        checkpoint_every=3,
    )


async def test_deltalake_and_polars_read_what_was_committed(
    clients: AwsClients, store: ObjectStore, opened: Callable[[], DeltaTable]
) -> None:
    table = opened()
    for number, agency in enumerate(["x y", "p%q", "Zoë/é", "a=b:c"]):
        rows = [{"name": agency, "age": number}, {"name": None, "age": None}]
        file = await written(store, table.root, f"{number}.parquet", rows, agency=agency)
        await table.commit(adding(file, version=number))
    empty = await written(store, table.root, "none.parquet", [], agency="none")
    nowhere = await written(store, table.root, "nowhere.parquet", [{"name": "null", "age": 9}], agency=None)
    await table.commit(adding(empty, nowhere, version=9))
    options = await clients.storage_options()
    reader = Reader(table.uri, storage_options=options)
    expected = {("Zoë/é", 2), ("a=b:c", 3), ("p%q", 1), ("x y", 0), (None, 9)}
    found = pl.scan_delta(table.uri, storage_options=options).filter(pl.col("age").is_not_null()).collect()
    assert expected == {*found.select("_agency_id", "age").iter_rows()}
    assert [agency or "null" for agency in found["_agency_id"]] == found["name"].to_list()
    query = "select name, age, _agency_id from t where age is not null"
    sql = pl.DataFrame(QueryBuilder().register("t", reader).execute(query).read_all())
    assert expected == {*sql.select("_agency_id", "age").iter_rows()}
    assert [agency or "null" for agency in sql["_agency_id"]] == sql["name"].to_list()
    assert (4, 9) == (reader.version(), reader.transaction_version("gather:r1"))
    filtered = pl.scan_delta(table.uri, storage_options=options).filter(_agency_id="p%q").collect()
    assert ["p%q", None] == filtered["name"].to_list()


async def test_tags_transactions_and_files_survive_checkpoints_that_deltalake_writes(
    store: ObjectStore, opened: Callable[[], DeltaTable]
) -> None:
    table = opened()
    for number in range(8):
        file = await written(store, table.root, f"{number}.parquet", tags={"source": f"s3://in/{number}"})
        remove = [f"{FOLDER}{number - 1}.parquet"] if number in {2, 5} else []
        await table.commit(adding(file, app=f"gather:r{number}", remove=remove))
    names = [info.key.rpartition("/")[2] async for info in store.list(table.root + "_delta_log/")]
    assert [f"{n:020d}.checkpoint.parquet" for n in (3, 6)] == [n for n in names if n.endswith(".parquet")]
    fresh, known = await opened().snapshot(), await table.snapshot()
    assert {f"{FOLDER}{n}.parquet" for n in (0, 2, 3, 5, 6, 7)} == {*fresh.files}
    assert known == fresh
    streamed = {file.path: file async for file in opened().files()}
    assert dict(known.files) == streamed
    assert {f"s3://in/{n}" for n in (0, 2, 3, 5, 6, 7)} == {file.tags["source"] for file in streamed.values()}


async def test_a_table_is_read_from_its_checkpoint_where_older_entries_are_gone(
    store: ObjectStore, opened: Callable[[], DeltaTable]
) -> None:
    table = opened()
    for number in range(5):
        await table.commit(adding(await written(store, table.root, f"{number}.parquet"), version=number))
    await store.delete([f"{table.root}_delta_log/{n:020d}.json" for n in range(3)])
    assert await table.snapshot() == await opened().snapshot()
    assert [4, 3] == [commit.version async for commit in opened().history()]


async def test_files_of_two_partition_columns_are_merged_and_rewritten_after_a_checkpoint_of_deltalake(
    store: ObjectStore, opened: Callable[[], DeltaTable]
) -> None:
    table = opened()
    rewriter = FileRewriter(store, table.root, clock=SystemClock(), nonce=numbers("merged"))

    async def run(name: str, *sources: str, day: int) -> None:
        files = []
        for source in sources:
            one = origin(source, run=name, day=day)
            rows = [{"name": name, "age": ord(source)}]
            path = f"{name}-{source}.parquet"
            files.append(
                await written(store, table.root, path, rows, year="2030", source=one.source, tags=tags_of([one]))
            )
        await publish(opened(), files, run=name, version=len(files), schema=TWO, rewriter=rewriter)

    sources = "abcdefghijkl"  # the checkpoint spells each file's values in an order by chance
    for day in range(4):
        await run(f"r{day}", *sources[3 * day : 3 * day + 3], day=1 + day)
    assert [BY_TWO] * 12 == [tuple(file.partition) for file in (await opened().snapshot()).files.values()]
    assert [BY_TWO] * 12 == [tuple(file.partition) async for file in opened().files()]
    before = await rows_of(store, table)
    assert Optimized(12, 1, 0) == await optimize(opened(), rewriter)
    for day in range(2):  # the next checkpoint has the merged file
        await run(f"again{day}", "abc"[day], day=9)
    await rollback(opened(), store, "again1", rewriter=rewriter)
    await rollback(opened(), store, "again0", rewriter=rewriter)
    assert before == await rows_of(store, opened())
    assert {"_agency_id=a1/year=2030"} == {path.rpartition("/")[0] for path in (await opened().snapshot()).files}


async def test_timestamps_without_a_zone_declare_their_feature(
    clients: AwsClients, store: ObjectStore, opened: Callable[[], DeltaTable]
) -> None:
    table = opened()
    columns = pl.Schema({"at": pl.Datetime("us"), "amount": pl.Decimal(10, 2), "tags": pl.List(pl.String)})
    await table.commit(adding())
    await table.commit(
        Change(
            "gather:r2",
            1,
            lambda _: Edit(),
            schema_of({**columns, "_agency_id": pl.String()}, partition_by=["_agency_id"]),
        )
    )
    for number in range(2):
        await table.commit(adding(await written(store, table.root, f"{number}.parquet"), version=2 + number))
    reader = Reader(table.uri, storage_options=await clients.storage_options())
    assert (3, 7) == (reader.protocol().min_reader_version, reader.protocol().min_writer_version)
    assert 2 == pl.scan_delta(table.uri, storage_options=await clients.storage_options()).collect().height
    assert await opened().snapshot() == await table.snapshot()


async def test_vacuum_tells_before_it_deletes_and_keeps_what_the_table_needs(
    store: ObjectStore, opened: Callable[[], DeltaTable]
) -> None:
    table = opened()
    old, new = [await written(store, table.root, f"{n}.parquet") for n in ("old", "new")]
    await written(store, table.root, "orphan.parquet")
    await table.commit(adding(old))
    await table.commit(adding(new, version=2, remove=[old.path]))
    told = await table.vacuum(older_than=timedelta(0), is_dry_run=True, include_unknown=False)
    assert [old.path] == list(told)
    assert old.size == (await store.head(table.root + old.path)).size
    await table.vacuum(older_than=timedelta(0), is_dry_run=False, include_unknown=True)
    assert [new.path] == [
        info.key.removeprefix(table.root) async for info in store.list(table.root) if "_delta_log" not in info.key
    ]
    assert {new.path} == {*(await opened().snapshot()).files}


@pytest.mark.parametrize(
    ("retention", "age", "expected"), [(20, 10, 0), (80, 70, 0), (80, 130, 1), (60, 70, 1), (0, 10, 1)]
)
async def test_a_vacuum_never_keeps_less_than_it_was_told_of_the_minutes_since_a_removal(
    clients: AwsClients, store: ObjectStore, retention: int, age: int, expected: int
) -> None:
    then = FakeClock(SystemClock().now() - timedelta(minutes=age))
    table = DeltaTable(store, "t", clock=then, jitter=lambda: 0.5, nonce=numbers(), options=clients.storage_options)
    old = await written(store, table.root, "old.parquet")
    await table.commit(adding(old))
    await table.commit(adding(version=2, remove=[old.path]))
    found = await table.vacuum(older_than=timedelta(minutes=retention), is_dry_run=True, include_unknown=False)
    assert [old.path] * expected == list(found)


async def test_a_commit_stands_where_its_checkpoint_fails(store: ObjectStore) -> None:
    async def options() -> dict[str, str]:
        raise AccessDenied("no credentials for this")

    table = DeltaTable(
        store, "t", clock=SystemClock(), jitter=lambda: 0.5, nonce=numbers(), options=options, checkpoint_every=1
    )
    for number in range(2):
        answer = await table.commit(adding(await written(store, table.root, f"{number}.parquet"), version=number))
        assert (number, True) == (answer.version, answer.changed)
    assert 2 == len((await table.snapshot()).files)
