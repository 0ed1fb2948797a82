"""What a contract may ask of a run beside its rows: references, drift, refusals, formats; all on memory stores."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import polars as pl
import pytest

from etl_core.errors import ConfigError
from pipeline_processing.jobs.bronze_to_silver import BronzeToSilver
from pipeline_processing.processors.silver import care
from pipeline_processing.processors.silver.item import Destination
from quarantine_world import PROTECTED, QuarantineWorld
from silver_world import CONTRACT, PEOPLE, SilverWorld

if TYPE_CHECKING:
    from pathlib import Path

UNITS = """
      - name: unit
        logicalType: string
      - name: unit_name
        logicalType: string
        customProperties:
          - property: lookup
            value: {reference: units, on: {unit: code}, take: name}
    customProperties:
      - property: references
        value:
          - {name: units, path: "s3://bronze/reference/units.csv"}
"""


@pytest.fixture
def world(tmp_path: Path) -> SilverWorld:
    return SilverWorld(tmp_path)


async def test_a_lookup_reads_the_reference_as_it_was_when_the_run_was_planned(world: SilverWorld) -> None:
    world.contract.write_text(CONTRACT + UNITS)
    await world.bronze("reference/units.csv", "code,name\nN,North\nS,South\n")
    await world.bronze("10/people.csv", "id,name,hired,unit\n1,Ann,2001-02-03,N\n2,Bob,2001-02-03,X\n")
    assert 0 == await world.run("r1", "--agency-id", "10")
    rows = (await world.rows()).sort("id")
    assert [("N", "North"), ("X", None)] == rows.select("unit", "unit_name").rows()
    checks = orjson.loads((await world.rows("files"))["checks"][0])
    assert [("warned", 1)] == [(one["status"], one["failed"]) for one in checks if one["name"] == "unit_name.lookup"]
    assert 1 == len(await world.keys("silver", "tables/_references/units/"))


async def test_a_reference_that_is_not_there_is_told_before_anything_is_planned(world: SilverWorld) -> None:
    world.contract.write_text(CONTRACT + UNITS)
    await world.bronze("10/people.csv", PEOPLE)
    with pytest.raises(ConfigError, match=r"reference units: s3://bronze/reference/units\.csv is not there"):
        await world.run("r1", "--agency-id", "10")
    assert [] == await world.keys("control")


async def test_a_file_that_its_checks_refuse_is_published_by_no_run_and_named(world: SilverWorld) -> None:
    world.contract.write_text(
        CONTRACT + "    quality:\n      - {metric: rowCount, mustBeGreaterThan: 1, severity: error}\n"
    )
    await world.bronze("10/good.csv", PEOPLE)
    await world.bronze("10/short.csv", "id,name,hired\n9,Gil,2009-02-03\n")
    assert 3 == await world.run("r1")
    report = await world.report("r1")
    assert [("s3://bronze/10/short.csv", "failed")] == [(one["name"], one["status"]) for one in report["problems"]]
    assert any(line.startswith("withheld from readers: 1 of 2 files failed") for line in report["because"])
    assert 0 == (await world.rows()).height
    assert ["failed", "refined"] == sorted((await world.rows("files"))["status"].to_list())


async def test_a_check_that_fails_the_run_withholds_all_of_it_even_where_a_part_may_be_published(
    world: SilverWorld,
) -> None:
    rule = "{metric: rowCount, mustBeGreaterThan: 1, customProperties: [{property: action, value: fail_run}]}"
    world.contract.write_text(f"{CONTRACT}    quality:\n      - {rule}\n")
    await world.bronze("10/good.csv", PEOPLE)
    await world.bronze("20/short.csv", "id,name,hired\n9,Gil,2009-02-03\n")
    assert 3 == await world.run("r1", "--publish-partial")
    assert 0 == (await world.rows()).height
    assert any("a check fails the run" in line for line in (await world.report("r1"))["because"])


async def test_drift_from_the_last_published_profile_is_told_and_may_withhold_a_run(world: SilverWorld) -> None:
    many = "".join(f"{number},P{number},2001-02-03\n" for number in range(1, 41))
    world.contract.write_text(
        CONTRACT + "    customProperties:\n      - {property: drift, value: {rows: 0.5, action: fail_run}}\n"
    )
    await world.bronze("10/people.csv", f"id,name,hired\n{many}")
    assert 0 == await world.run("r1")
    await world.clock.sleep(timedelta(days=1))
    await world.bronze("10/people.csv", "id,name,hired\n1,Ann,2001-02-03\n")
    assert 3 == await world.run("r2")
    report = await world.report("r2")
    assert any("the data drifted: drift:rows" in line for line in report["because"])
    assert 40 == (await world.rows()).height
    assert 1 == (await world.rows("profiles")).filter(pl.col("agency_id").is_null()).height


async def test_an_agency_is_compared_with_its_own_last_profile_not_with_all_agencies(world: SilverWorld) -> None:
    world.contract.write_text(
        CONTRACT + "    customProperties:\n      - {property: drift, value: {rows: 0.5, action: fail_run}}\n"
    )
    many = "".join(f"{number},P{number},2001-02-03\n" for number in range(1, 41))
    await world.bronze("10/people.csv", f"id,name,hired\n{many}")
    await world.bronze("20/people.csv", PEOPLE)
    assert 0 == await world.run("r1")
    await world.clock.sleep(timedelta(days=1))
    await world.bronze("20/people.csv", PEOPLE + "3,Cid,2003-02-03\n")
    assert 0 == await world.run("r2")
    assert {"refined": 1, "unchanged": 1} == (await world.report("r2"))["outcomes"]


async def test_plain_parquet_has_the_same_rows_and_is_incremental_too(world: SilverWorld) -> None:
    await world.bronze("10/people.csv", PEOPLE)
    world.destination = Destination("silver", "tables", "people", "parquet")
    assert 0 == await world.run("r1", "--format", "parquet")
    assert [1, 2] == sorted((await world.rows())["id"].to_list())
    assert "tables/people/_manifest.json" in await world.keys("silver")
    assert 0 == await world.run("r2", "--format", "parquet")
    assert {"unchanged": 1} == (await world.report("r2"))["outcomes"]


async def test_a_dataset_has_one_format_and_no_job_of_the_other_touches_it(world: SilverWorld) -> None:
    await world.bronze("10/people.csv", PEOPLE)
    assert 0 == await world.run("r1")
    before = await world.content("silver")
    with pytest.raises(ConfigError, match="s3://silver/tables/people is a table of the format delta"):
        await world.run("r2", "--format", "parquet")
    services, other = world.handler(), Destination("silver", "tables", "people", "parquet")
    with pytest.raises(ConfigError, match="is a table of the format delta"):
        await anext(care.there(other, services))
    assert before == await world.content("silver")


async def test_a_pack_holds_small_files_and_accounts_for_each(world: SilverWorld) -> None:
    for number in range(5):
        await world.bronze(f"10/{number}.csv", f"id,name,hired\n{number},Ann,2001-02-03\n")
    assert 0 == await world.run("r1", "--pack-max-items", "2")
    report = await world.report("r1")
    assert {"items": 3, "inputs": 5} == report["total"]["done"]
    assert 5 == (await world.rows("files")).height


STAFF = """
  - name: staff
    physicalType: table
    logicalType: object
    properties:
      - name: badge
        logicalType: string
        required: true
"""


async def test_two_datasets_of_one_document_are_refined_each_by_its_own_contract(world: SilverWorld) -> None:
    world.contract.write_text(CONTRACT + STAFF)
    await world.bronze("10/people.csv", PEOPLE)
    await world.bronze("10/staff.csv", "badge\nA1\n")
    services = world.handler()
    job, processor = BronzeToSilver(services.settings), services.silver
    names = []
    for dataset in ("people", "staff"):
        spec = job.parse(world.arguments("--dataset", dataset, "--pattern", f"{dataset}.csv"))
        async for item in job.plan(f"run-{dataset}", spec, services):
            (output,) = [one for one in (await processor.process(item)).outputs if one.role == "data"]
            body = (await world.buckets.store("silver").get(output.key)).body
            names.append([name for name in pl.read_parquet_schema(io.BytesIO(body)) if not name.startswith("_")])
    assert [["id", "name", "hired"], ["badge"]] == names


async def test_the_reason_of_a_refused_file_says_what_it_is_refused_for(world: SilverWorld) -> None:
    rules = "    customProperties:\n      - {property: unknownColumns, value: fail_file}\n"
    world.contract.write_text(CONTRACT + rules)
    await world.bronze("10/people.csv", "id,name,hired,shoe\nx,Ann,never,44\n")
    assert 3 == await world.run("r1")
    (problem,) = (await world.report("r1"))["problems"]
    assert problem["reason"].startswith("fail file: columns that the contract does not know: shoe")


async def test_outputs_are_stored_as_what_they_are(world: SilverWorld) -> None:
    await world.bronze("10/people.csv", PEOPLE)
    await world.run("r1")
    store = world.buckets.store("silver")
    keys = [key for folder in ("people/", "_profiles/") for key in await world.keys("silver", f"tables/{folder}")]
    types = {key.rpartition(".")[2]: (await store.head(key)).content_type for key in keys}
    assert ("application/zstd", "application/vnd.apache.parquet") == (types["zst"], types["parquet"])


async def test_agencies_last_published_by_contracts_of_two_types_are_compared_with_all_the_same(tmp_path: Path) -> None:
    world = QuarantineWorld(tmp_path)
    drift = "    customProperties:\n      - {property: drift, value: {nullRate: 0.5, action: fail_run}}\n"
    text = PROTECTED + drift
    number = text.replace("name: name\n        logicalType: string", "name: name\n        logicalType: integer")
    assert number != text
    for run, agency, contract in (("r1", "10", number), ("r2", "20", text.replace("1.0.0", "1.1.0"))):
        world.contract.write_text(contract)
        await world.bronze(f"{agency}/people.csv", "id,name,hired\n1,7,2001-02-03\n")
        assert 0 == await world.run(run, "--agency-id", agency)
        await world.clock.sleep(timedelta(days=1))
    assert 0 == await world.run("r3", "--force")
    profiles = await world.rows("profiles")
    (drifted,) = profiles.filter(pl.col("run_id") == "r3", pl.col("agency_id").is_null())["drift"]
    results = {one["name"]: one for one in orjson.loads(drifted)}
    result = results["drift:name.null_rate"]
    assert ("skipped", ["it was of kind mixed"]) == (result["status"], result["why"])
    assert "passed" == results["drift:id.null_rate"]["status"]
