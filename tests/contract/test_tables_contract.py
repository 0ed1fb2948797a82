"""What every table format does: one suite, run on each format, in memory and on the local endpoint."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import polars as pl
import pytest

from etl_core.errors import ConfigError, InvalidData
from etl_core.objects.memory import MemoryBuckets
from etl_core.objects.s3 import S3Store
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.tables import ABSENT, Change, Edit, Snapshot
from pipeline_processing.tables.compaction import Optimized, optimize
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.plain import PlainTable
from pipeline_processing.tables.publication import tags_of
from pipeline_processing.tables.publishing import publish
from pipeline_processing.tables.rewriting import FileRewriter
from pipeline_processing.tables.schema import schema_of
from tables_world import AT, BY_TWO, COLUMNS, SCHEMA, TWO, adding, numbers, origin, rows_of, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_core.objects import ObjectStore
    from pipeline_processing.tables import Table

FORMATS: dict[str, Any] = {"delta": DeltaTable, "plain": PlainTable}


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "memory":
        return MemoryBuckets(FakeClock(), strict=True).create("silver")
    return S3Store(request.getfixturevalue("clients"), request.getfixturevalue("bucket"))


@pytest.fixture(params=FORMATS)
def opened(request: pytest.FixtureRequest, store: ObjectStore) -> Callable[[], Table]:
    """Opens the same table as another process would."""
    kind, root, nonce = FORMATS[request.param], f"silver/t-{uuid4().hex[:6]}", numbers()
    return lambda: kind(store, root, clock=FakeClock(auto_advance=True), jitter=lambda: 0.5, nonce=nonce)


@pytest.fixture
def table(opened: Callable[[], Table]) -> Table:
    return opened()


async def test_a_table_that_nobody_wrote_has_no_files_and_no_history(table: Table) -> None:
    assert Snapshot(ABSENT) == await table.snapshot()
    assert ([], []) == ([f async for f in table.files()], [c async for c in table.history()])


async def test_the_first_commit_makes_the_table_with_its_schema_and_files(store: ObjectStore, table: Table) -> None:
    file = await written(store, table.root, "a.parquet", tags={"source": "s3://in/a.csv", "run": "r1"})
    committed = await table.commit(adding(file))
    snapshot = await table.snapshot()
    assert (0, True, (file,)) == (committed.version, committed.changed, committed.edit and committed.edit.add)
    assert (0, SCHEMA, {"gather:r1": 1}) == (snapshot.version, snapshot.schema, dict(snapshot.applied))
    assert {"_agency_id=a1/a.parquet": file} == dict(snapshot.files)
    assert [("Ann", 1)] == await rows_of(store, table)


async def test_another_process_sees_the_same(store: ObjectStore, opened: Callable[[], Table]) -> None:
    table = opened()
    file = await written(store, table.root, "a.parquet")
    await table.commit(adding(file))
    assert await table.snapshot() == await opened().snapshot()
    assert [file] == [file async for file in opened().files()]


async def test_a_commit_of_the_same_application_and_version_changes_nothing(
    store: ObjectStore, opened: Callable[[], Table]
) -> None:
    table = opened()
    first, second = [await written(store, table.root, f"{n}.parquet") for n in range(2)]
    await table.commit(adding(first, version=5))
    for version in (5, 4):
        again = await opened().commit(adding(second, version=version))
        assert (0, False, None) == (again.version, again.changed, again.edit)
    assert {"_agency_id=a1/0.parquet"} == {*(await table.snapshot()).files}


async def test_a_later_version_of_the_application_is_a_second_commit(store: ObjectStore, table: Table) -> None:
    first, second = [await written(store, table.root, f"{n}.parquet") for n in range(2)]
    await table.commit(adding(first, version=1))
    late = await table.commit(adding(second, version=3))
    assert (1, True, {"gather:r1": 3}) == (late.version, late.changed, dict((await table.snapshot()).applied))


async def test_a_commit_takes_files_out_and_in_at_once(store: ObjectStore, table: Table) -> None:
    old = await written(store, table.root, "old.parquet", [{"name": "Old", "age": 1}])
    new = await written(store, table.root, "new.parquet", [{"name": "New", "age": 2}])
    await table.commit(adding(old))
    await table.commit(adding(new, app="gather:r2", remove=[old.path]))
    assert [("New", 2)] == await rows_of(store, table)


@pytest.mark.parametrize("writers", [2, 4])
async def test_of_gathers_at_once_exactly_one_commits(
    store: ObjectStore, opened: Callable[[], Table], writers: int
) -> None:
    tables = [opened() for _ in range(writers)]
    file = await written(store, tables[0].root, "a.parquet")
    answers = await asyncio.gather(*(table.commit(adding(file)) for table in tables))
    assert (1, {0}) == (sum(answer.changed for answer in answers), {answer.version for answer in answers})
    assert [("Ann", 1)] == await rows_of(store, tables[0])
    assert 1 == len([commit async for commit in tables[0].history()])


async def test_different_runs_at_once_all_commit_each_on_a_fresh_snapshot(
    store: ObjectStore, opened: Callable[[], Table]
) -> None:
    tables = [opened() for _ in range(4)]
    seen: dict[str, list[int]] = {}

    async def publish(table: Table, name: str) -> int:
        file = await written(store, table.root, f"{name}.parquet", [{"name": name, "age": 1}])

        def decide(snapshot: Snapshot) -> Edit:
            seen.setdefault(name, []).append(snapshot.version)
            return Edit([file])

        return (await table.commit(Change(f"gather:{name}", 1, decide, SCHEMA))).version

    versions = await asyncio.gather(*(publish(table, f"r{n}") for n, table in enumerate(tables)))
    assert [0, 1, 2, 3] == sorted(versions)
    assert sorted(versions) == sorted(decided[-1] + 1 for decided in seen.values())
    assert [(f"r{n}", 1) for n in range(4)] == await rows_of(store, tables[0])


async def test_a_decision_that_finds_nothing_to_do_leaves_no_trace(store: ObjectStore, table: Table) -> None:
    await table.commit(adding(await written(store, table.root, "a.parquet")))
    answer = await table.commit(Change("optimize", 1, lambda _snapshot: None))
    assert (0, False, {"gather:r1": 1}) == (answer.version, answer.changed, dict((await table.snapshot()).applied))


async def test_a_commit_without_files_is_remembered(table: Table) -> None:
    answer = await table.commit(adding())
    assert (True, {"gather:r1": 1}) == (answer.changed, dict((await table.snapshot()).applied))


async def test_new_columns_are_added_to_the_table_and_absent_ones_stay(store: ObjectStore, table: Table) -> None:
    await table.commit(adding(await written(store, table.root, "a.parquet")))
    wider = schema_of(
        pl.Schema({"rank": pl.String, **{k: v for k, v in COLUMNS.items() if k != "age"}}), partition_by=["_agency_id"]
    )
    file = await written(store, table.root, "b.parquet")
    await table.commit(replace(adding(file, app="gather:r2"), schema=wider))
    schema = (await table.snapshot()).schema
    assert schema
    assert [*COLUMNS, "rank"] == list(schema.columns)
    assert ("long", "string") == (schema.columns["age"], schema.columns["rank"])


async def test_a_column_that_changes_its_type_is_named_with_the_way_out(store: ObjectStore, table: Table) -> None:
    await table.commit(adding(await written(store, table.root, "a.parquet")))
    other = schema_of(pl.Schema({**COLUMNS, "age": pl.String}), partition_by=["_agency_id"])
    with pytest.raises(ConfigError, match=r"column age is long in the table and string in the contract \(give"):
        await table.commit(replace(adding(app="gather:r2"), schema=other))
    assert 0 == (await table.snapshot()).version


async def test_another_partitioning_is_refused(table: Table) -> None:
    await table.commit(adding())
    with pytest.raises(ConfigError, match=r"partitioned by _agency_id, the contract says nothing"):
        await table.commit(replace(adding(app="gather:r2"), schema=schema_of(COLUMNS)))


async def test_a_table_is_not_made_without_a_schema(table: Table) -> None:
    with pytest.raises(ConfigError, match="the table does not exist"):
        await table.commit(replace(adding(), schema=None))


@pytest.mark.parametrize("path", ["/a.parquet", "_delta_log/a.parquet", "../a.parquet", "s3://x/a.parquet", ""])
async def test_a_path_outside_the_table_is_refused(store: ObjectStore, table: Table, path: str) -> None:
    file = await written(store, table.root, "a.parquet")
    with pytest.raises(InvalidData, match="is no path in the table"):
        await table.commit(adding(replace(file, path=path)))


async def test_an_edit_that_does_not_fit_the_table_is_refused(store: ObjectStore, table: Table) -> None:
    file = await written(store, table.root, "a.parquet")
    await table.commit(adding(file))
    for change, fault in [
        (adding(replace(file, size=1), app="b"), "already, and is another file"),
        (adding(replace(file, path="x.parquet"), app="b"), "does not begin with its partition's _agency_id=a1/"),
        (adding(replace(file, partition={}), app="b"), "no column, not for the partition columns"),
        (adding(app="b", remove=["gone.parquet"]), "gone.parquet is not in the table"),
        (adding(file, app="b", remove=[file.path]), "both added and removed"),
        (adding(app="b", remove=[file.path, file.path]), "named twice"),
    ]:
        with pytest.raises(InvalidData, match=fault):
            await table.commit(change)


async def test_a_file_that_is_live_can_be_given_new_tags(store: ObjectStore, table: Table) -> None:
    file = await written(store, table.root, "a.parquet", tags={"run": "r1"})
    await table.commit(adding(file))
    await table.commit(adding(again := replace(file, tags={"run": "r2"}), app="gather:r2"))
    assert {file.path: again} == dict((await table.snapshot()).files)
    assert [("Ann", 1)] == await rows_of(store, table)


@pytest.mark.parametrize("name", ["two words", "per%20cent%", "a+b=c", "Zoë日本", "x y/q=a:b", "what?#&;,@'()"])
async def test_odd_paths_partitions_and_tags_come_back_as_they_were(
    store: ObjectStore, opened: Callable[[], Table], name: str
) -> None:
    table = opened()
    file = await written(
        store, table.root, f"{name}.parquet", agency=name or "x", tags={"source": f"s3://in/{name}\n\"'"}
    )
    await table.commit(adding(file))
    assert {file.path: file} == dict((await opened().snapshot()).files)
    assert [("Ann", 1)] == await rows_of(store, opened())


async def test_a_partition_of_two_columns_is_one_in_whatever_order_its_values_are_told(
    store: ObjectStore, opened: Callable[[], Table]
) -> None:
    table = opened()
    files = []
    for number, name in enumerate("abcd"):
        one = origin(name)
        rows = [{"name": name, "age": number}]
        file = await written(
            store, table.root, f"{name}.parquet", rows, year="2030", source=one.source, tags=tags_of([one])
        )
        values = {column: file.partition[column] for column in (BY_TWO if number % 2 else BY_TWO[::-1])}
        files.append(replace(file, partition=values))
    rewriter = FileRewriter(store, table.root, clock=FakeClock(), nonce=numbers("merged"))
    await publish(table, files, run="r1", version=4, schema=TWO, rewriter=rewriter)
    for reader in (table, opened()):
        assert [BY_TWO] * 4 == [tuple(file.partition) for file in (await reader.snapshot()).files.values()]
        assert [BY_TWO] * 4 == [tuple(file.partition) async for file in reader.files()]
    assert Optimized(4, 1, 0) == await optimize(table, rewriter)
    assert ["_agency_id=a1/year=2030/merged-merged-0.parquet"] == list((await opened().snapshot()).files)
    again = origin("b", run="r2", day=2)
    new = await written(store, table.root, "new.parquet", [{"name": "B", "age": 9}], year="2030", tags=tags_of([again]))
    await publish(opened(), [new], run="r2", version=1, schema=TWO, rewriter=rewriter)
    assert [("B", 9), ("a", 0), ("c", 2), ("d", 3)] == await rows_of(store, table)


async def test_the_history_has_each_commit_with_what_it_did_newest_first(store: ObjectStore, table: Table) -> None:
    first, second = [await written(store, table.root, f"{n}.parquet", tags={"run": str(n)}) for n in range(2)]
    await table.commit(adding(first, version=2))
    await table.commit(Change("gather:r1", 7, lambda _: Edit([second], [first.path], {"why": "late"}), SCHEMA))
    later, earlier = [commit async for commit in table.history()]
    assert (1, "gather:r1", 7, False, {"why": "late"}) == (
        later.version, later.app, later.app_version, later.is_first, dict(later.note),
    )  # fmt: skip
    assert ([second], [(first.path, {"run": "0"}, first.rows, first.stats)]) == (
        list(later.added), [(file.path, dict(file.tags), file.rows, file.stats) for file in later.removed],
    )  # fmt: skip
    assert (0, 2, True, [first], []) == (
        earlier.version, earlier.app_version, earlier.is_first, list(earlier.added), list(earlier.removed),
    )  # fmt: skip
    assert FakeClock().now() <= earlier.at <= later.at
    assert AT == first.modified
