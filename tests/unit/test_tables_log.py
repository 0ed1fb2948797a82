from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import polars as pl
import pytest

from etl_core.errors import ConfigError, InvalidData
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.tables import Snapshot, partition_path
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.log import State, key_of
from pipeline_processing.tables.schema import from_json, has_naive_timestamps, merged, schema_of, to_json
from tables_world import adding, numbers, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.model import Json


@pytest.fixture
def store() -> MemoryStore:
    return MemoryBuckets(FakeClock(), strict=True).create("silver")


@pytest.fixture
async def table(store: MemoryStore) -> DeltaTable:
    """A table of three commits with a file each."""
    table = opened(store)
    for number in range(3):
        await table.commit(adding(await written(store, table.root, f"{number}.parquet"), version=number))
    return table


def opened(store: MemoryStore) -> DeltaTable:
    return DeltaTable(store, "t", clock=FakeClock(auto_advance=True), jitter=lambda: 0.5, nonce=numbers())


async def amend(store: MemoryStore, version: int, *actions: Json, keep: bool = True) -> None:
    """Put actions of another writer into the log."""
    key = f"t/{key_of(version)}"
    lines = (await store.get(key)).body.splitlines() if keep else []
    await store.put(key, b"\n".join([*lines, *map(orjson.dumps, actions)]))


# the log


async def test_an_entry_that_is_missing_is_an_error_and_no_shorter_table(store: MemoryStore, table: DeltaTable) -> None:
    await store.delete([f"t/{key_of(1)}"])
    with pytest.raises(InvalidData, match=r"s3://silver/t: entry 1 of the log is missing"):
        await opened(store).snapshot()


async def test_an_entry_that_is_no_json_is_named(store: MemoryStore, table: DeltaTable) -> None:
    await store.put(f"t/{key_of(1)}", b"{")
    with pytest.raises(InvalidData, match=r"s3://silver/t/_delta_log/0{19}1.json: not an entry"):
        await opened(store).snapshot()


@pytest.mark.parametrize(
    "action",
    [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}},
        {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}},
        {"metaData": {"schemaString": '{"fields":[]}', "configuration": {"delta.appendOnly": "true"}}},
    ],
    ids=["deletion vectors", "column mapping", "append only"],
)
async def test_a_table_with_features_that_we_would_break_is_refused(
    store: MemoryStore, table: DeltaTable, action: Json
) -> None:
    await amend(store, 3, action, keep=False)
    with pytest.raises(ConfigError, match="features that this product does not write"):
        await opened(store).snapshot()


async def test_commits_of_other_writers_are_read_and_are_nobodys_run(store: MemoryStore, table: DeltaTable) -> None:
    added = {"path": "_agency_id=a1/x%20y.parquet", "partitionValues": {"_agency_id": "a1"}, "size": 5}
    await amend(
        store,
        3,
        {"commitInfo": {"operation": "WRITE", "engineInfo": "Apache-Spark"}},
        {"add": {**added, "modificationTime": 0, "dataChange": True, "stats": None, "tags": None}},
        {"txn": {"appId": "stream", "version": 7}},
        {"domainMetadata": {"domain": "d", "configuration": "", "removed": False}},
        keep=False,
    )
    snapshot = await table.snapshot()
    theirs = snapshot.files["_agency_id=a1/x y.parquet"]
    assert ((3, 7, 4), (5, 0, {}, None)) == (
        (snapshot.version, snapshot.applied["stream"], len(snapshot.files)),
        (theirs.size, theirs.rows, dict(theirs.tags), theirs.stats),
    )
    newest = await anext(aiter(table.history()))
    assert (3, None, [theirs]) == (newest.version, newest.app, list(newest.added))


async def test_a_checkpoint_of_several_parts_is_refused_and_not_overlooked(
    store: MemoryStore, table: DeltaTable
) -> None:
    await store.put("t/_delta_log/_last_checkpoint", orjson.dumps({"version": 2, "size": 9, "parts": 2}))
    with pytest.raises(ConfigError, match="a checkpoint of several parts"):
        await opened(store).snapshot()


def test_files_that_a_checkpoint_names_before_their_table_come_in_the_order_of_its_columns_too() -> None:
    added = {"path": "a=1/b=2/c=3/f.parquet", "partitionValues": {"c": "3", "a": "1", "b": "2"}, "size": 5}
    state = State()
    state.apply([{"add": added}])
    state.apply([{"metaData": {"schemaString": '{"fields":[]}', "partitionColumns": ["a", "b", "c"]}}])
    assert [("a", "1"), ("b", "2"), ("c", "3")] == list(state.files["a=1/b=2/c=3/f.parquet"].partition.items())


async def test_a_snapshot_does_not_change_when_the_table_does(store: MemoryStore, table: DeltaTable) -> None:
    before = await table.snapshot()
    files = dict(before.files)
    await table.commit(adding(await written(store, table.root, "new.parquet"), app="x", remove=list(files)[:1]))
    assert 3 == (await table.snapshot()).version
    assert (files, 2) == (dict(before.files), before.version)


async def test_other_objects_in_the_log_are_no_entries(store: MemoryStore, table: DeltaTable) -> None:
    for name in ("00000000000000000003.crc", "0000.json", "00000000000000000000.00000000000000000002.compacted.json"):
        await store.put(f"t/_delta_log/{name}", b"?")
    assert await table.snapshot() == await opened(store).snapshot()


async def test_a_table_without_a_way_to_reach_it_by_deltalake_is_not_vacuumed(table: DeltaTable) -> None:
    with pytest.raises(ConfigError, match="without storage options"):
        await table.vacuum(older_than=FakeClock().now() - FakeClock().now(), is_dry_run=True, include_unknown=False)


# schemas


def test_every_type_that_a_table_can_hold_is_spelt_as_delta_lake_does() -> None:
    columns: Mapping[str, pl.DataType] = {
        "b": pl.Boolean(),
        "i8": pl.Int8(),
        "i16": pl.Int16(),
        "i32": pl.Int32(),
        "i64": pl.Int64(),
        "f32": pl.Float32(),
        "f64": pl.Float64(),
        "s": pl.String(),
        "d": pl.Date(),
        "y": pl.Binary(),
        "z": pl.Datetime("us", "UTC"),
        "n": pl.Datetime("us"),
        "m": pl.Decimal(12, 2),
        "l": pl.List(pl.String()),
        "o": pl.Struct({"x": pl.Int64(), "y": pl.List(pl.Date())}),
    }
    schema = schema_of(columns, partition_by=["s"])
    assert ["boolean", "byte", "short", "integer", "long", "float", "double", "string", "date", "binary"] == list(
        schema.columns.values()
    )[:10]
    assert ("timestamp", "timestamp_ntz", "decimal(12,2)") == tuple(schema.columns[name] for name in "znm")
    assert {"type": "array", "elementType": "string", "containsNull": True} == schema.columns["l"]
    assert ["x", "y"] == [field["name"] for field in schema.columns["o"]["fields"]]
    assert schema == from_json(to_json(schema), ["s"])


@pytest.mark.parametrize(
    ("dtype", "way_out"),
    [
        (pl.UInt32(), "signed number"),
        (pl.UInt64(), "signed number"),
        (pl.Time(), "as text"),
        (pl.Duration(), "as a number"),
        (pl.Datetime("ns"), "in microseconds"),
        (pl.Null(), "give the column a type"),
        (pl.Categorical(), "as text"),
        (pl.List(pl.UInt8()), "signed number"),
        (pl.Struct({"x": pl.Time()}), "as text"),
    ],
    ids=str,
)
def test_a_type_that_no_table_can_hold_is_named_with_the_way_out(dtype: pl.DataType, way_out: str) -> None:
    with pytest.raises(ConfigError, match=rf"column odd(\.x)? is .*{way_out}"):
        schema_of({"odd": dtype})


def test_partition_columns_are_there_and_are_plain() -> None:
    with pytest.raises(ConfigError, match="there is no column b"):
        schema_of({"a": pl.Int64()}, partition_by=["b"])
    with pytest.raises(ConfigError, match="column a can not partition"):
        schema_of({"a": pl.List(pl.Int64())}, partition_by=["a"])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (pl.Datetime("us"), True),
        (pl.Datetime("us", "UTC"), False),
        (pl.List(pl.Datetime("us")), True),
        (pl.List(pl.List(pl.Datetime("us"))), True),
        (pl.Struct({"x": pl.Datetime("us")}), True),
        (pl.Struct({"timestamp_ntz": pl.String()}), False),
    ],
    ids=str,
)
def test_a_timestamp_without_a_zone_is_found_at_any_depth(dtype: pl.DataType, *, expected: bool) -> None:
    assert expected == has_naive_timestamps(schema_of({"x": dtype}))


def test_the_schema_of_a_table_keeps_its_order_and_takes_new_columns_at_the_end() -> None:
    table, files = schema_of({"a": pl.Int64(), "b": pl.Int64()}), schema_of({"c": pl.Int64(), "a": pl.Int64()})
    assert ["a", "b", "c"] == list(merged(table, files, where="t").columns)
    assert table == merged(table, None, where="t")


def test_partitions_are_folders_as_hive_spells_them() -> None:
    values = {"year": "2030", "agency": "a b/c=d%é", "none": None, "empty": ""}
    null = "__HIVE_DEFAULT_PARTITION__"
    assert f"agency=a%20b%2Fc%3Dd%25%C3%A9/year=2030/none={null}/empty={null}/" == partition_path(
        values, ["agency", "year", "none", "empty"]
    )
    assert "" == partition_path({}, [])
    assert not Snapshot().exists
