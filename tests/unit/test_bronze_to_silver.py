from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_core.errors import ConfigError
from pipeline_controller.commands import Controller
from pipeline_processing.jobs.bronze_to_silver import BronzeToSilver
from pipeline_processing.stages import finish_run, open_control, plan_run, work_inline
from silver_world import CONTRACT, DIRTY, PEOPLE, SilverWorld

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def world(tmp_path: Path) -> SilverWorld:
    world = SilverWorld(tmp_path)
    await world.bronze("10/people.csv", PEOPLE)
    await world.bronze("20/people.csv", DIRTY)
    return world


async def test_files_of_all_agencies_become_one_table_with_their_lineage(world: SilverWorld) -> None:
    assert 0 == await world.run("r1")
    rows = (await world.rows()).sort("id")
    assert [1, 2, 3] == rows["id"].to_list()
    assert ["10", "10", "20"] == rows["_agency_id"].to_list()
    assert ["s3://bronze/10/people.csv"] * 2 + ["s3://bronze/20/people.csv"] == rows["_source_file"].to_list()
    assert [1, 2, 1] == rows["_source_row"].to_list()


async def test_rows_in_are_rows_out_quarantined_and_deduplicated_in_the_files_table(world: SilverWorld) -> None:
    await world.run("r1")
    files = (await world.rows("files")).sort("agency_id")
    assert [2, 4] == files["rows_in"].to_list()
    assert [2, 1] == files["rows_out"].to_list()
    assert [0, 3] == files["quarantined"].to_list()
    assert ["pass", "warn"] == files["verdict"].to_list()


async def test_rejected_rows_stand_in_the_quarantine_with_their_rules(world: SilverWorld) -> None:
    await world.run("r1")
    rows = (await world.rows("quarantine")).sort("source_row")
    assert [2, 3, 4] == rows["source_row"].to_list()
    assert [["id.type"], ["reader.ragged"], ["hired.type"]] == rows["rules"].to_list()


async def test_a_second_run_over_unchanged_input_enqueues_nothing_and_says_why(world: SilverWorld) -> None:
    await world.run("r1")
    before = await world.rows()
    assert 0 == await world.run("r2")
    report = await world.report("r2")
    assert {"unchanged": 2} == report["outcomes"]
    assert {"items": 2, "inputs": 2} == report["total"]["skipped"]
    assert before.equals(await world.rows())


async def test_a_changed_file_replaces_its_rows_and_leaves_the_others_alone(world: SilverWorld) -> None:
    await world.run("r1")
    await world.bronze("20/people.csv", "id,name,hired\n9,Gil,2009-02-03\n")
    assert 0 == await world.run("r2")
    assert [1, 2, 9] == sorted((await world.rows())["id"].to_list())
    assert 0 == (await world.rows("quarantine")).height
    assert {"refined": 1, "unchanged": 1} == (await world.report("r2"))["outcomes"]


async def test_publishing_a_run_twice_changes_nothing(world: SilverWorld) -> None:
    await world.run("r1")
    before = [(await world.rows(which)).sort(pl.all().exclude(pl.List)) for which in ("", "quarantine", "files")]
    await world.buckets.store("control").delete(["pipeline/runs/r1/_SUCCESS"])
    assert 0 == await world.run("r1")
    after = [(await world.rows(which)).sort(pl.all().exclude(pl.List)) for which in ("", "quarantine", "files")]
    assert all(one.equals(other) for one, other in zip(before, after, strict=True))


async def test_a_file_that_can_not_be_read_withholds_the_run_unless_a_part_may_be_published(world: SilverWorld) -> None:
    await world.bronze("20/broken.csv", "PK\x03\x04 no zip")
    assert 3 == await world.run("r1")
    assert 0 == (await world.rows()).height
    report = await world.report("r1")
    assert ["unreadable"] == [problem["status"] for problem in report["problems"]]
    assert not report["is_published"]
    assert 3 == await world.run("r2", "--publish-partial")
    assert [1, 2, 3] == sorted((await world.rows())["id"].to_list())


async def test_a_run_whose_outputs_were_vacuumed_publishes_nothing_that_can_not_be_read(world: SilverWorld) -> None:
    services = world.handler()
    job, control = BronzeToSilver(services.settings), open_control(services)
    run, manifest = await plan_run(job, job.parse(world.arguments()), services, control, run_id="r1")
    await work_inline(job, services, control, run, manifest)
    written = [key for key in await world.keys("silver", "tables/people/") if key.endswith(".parquet")]
    await world.buckets.store("silver").delete(written[:1])
    with pytest.raises(ConfigError, match="1 of the files that the run r1 would publish are deleted"):
        await finish_run(job, services, control, "r1")
    assert 0 == (await world.rows()).height
    assert 0 == await world.run("r2")
    assert 3 == (await world.rows()).height


async def test_the_footer_names_run_contract_code_and_source(world: SilverWorld) -> None:
    await world.run("r1")
    services = world.handler()
    table = services.table(world.destination)
    files = [file async for file in table.files() if file.partition["_agency_id"] == "10"]
    body = (await world.buckets.store("silver").get(f"{table.root}{files[0].path}")).body
    footer = pl.read_parquet_metadata(body)
    assert "r1" == footer["pipeline.run"]
    assert "people-of-agencies 1.0.0" == footer["pipeline.contract"]
    assert "s3://bronze/10/people.csv" == footer["pipeline.source"]


async def test_the_tables_tags_record_input_contract_and_code_of_every_file(world: SilverWorld) -> None:
    await world.run("r1")
    services = world.handler()
    tags = [file.tags async for file in services.table(world.destination).files()]
    assert {"r1"} == {one["run"] for one in tags}
    assert {"1.0.0"} == {one["contract"] for one in tags}
    assert all(one["source_version"] and one["contract_fingerprint"] and one["code"] for one in tags)


async def test_a_dry_run_writes_nothing_anywhere(world: SilverWorld, capsys: pytest.CaptureFixture[str]) -> None:
    services = world.handler()
    job = BronzeToSilver(services.settings)
    before = [await world.content(bucket) for bucket in ("bronze", "silver", "control")]
    controller = Controller(services, open_control(services, services.memory_store()))
    assert 0 == await controller.estimate(job, job.parse(world.arguments()), "r1")
    assert "inputs" in capsys.readouterr().out
    assert before == [await world.content(bucket) for bucket in ("bronze", "silver", "control")]


async def test_a_bucket_without_agencies_names_the_options_that_say_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no agency \(.*--source-bucket and --source-prefix"):
        await SilverWorld(tmp_path).run("r1", "--source-prefix", "nowhere/{agency_id}/")


def test_a_wrong_set_of_arguments_is_told_all_at_once(tmp_path: Path) -> None:
    world = SilverWorld(tmp_path)
    settings = world.services().settings
    with pytest.raises(ConfigError) as error:
        BronzeToSilver(settings).parse(["--all-agencies", "--contract", str(tmp_path / "none.yaml")])
    said = str(error.value)
    assert all(word in said for word in ("none.yaml", "--source-bucket", "--silver-bucket"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,hired\nAnn,2001-02-03\n", "fail file: required column id is missing"),
        ("id,name,hired\nx,Ann,\n1,Bob,\n", "fail file: more than 10.0000% of the rows are quarantined"),
    ],
)
async def test_a_file_that_fails_says_why_whatever_else_is_wrong_with_it(
    world: SilverWorld, text: str, why: str
) -> None:
    quarantine = (
        "    customProperties:\n      - property: quarantine\n        value: {maxShare: 0.1}\n    properties:\n"
    )
    world.contract.write_text(CONTRACT.replace("    properties:\n", quarantine))
    await world.bronze("20/people.csv", text)
    assert 3 == await world.run("r1")
    assert [why] == [problem["reason"][: len(why)] for problem in (await world.report("r1"))["problems"]]


@pytest.mark.parametrize("options", [[], ["--publish-partial"]])
async def test_a_file_that_is_not_published_leaves_the_quarantine_of_what_is(
    world: SilverWorld, options: list[str]
) -> None:
    await world.run("r1")
    before = await world.rows("quarantine")
    await world.bronze("20/people.csv", "name,hired\nGil,never\n")
    assert 3 == await world.run("r2", *options)
    assert before.equals(await world.rows("quarantine"))
    await world.bronze("20/people.csv", DIRTY)
    assert 0 == await world.run("r3")
    assert {"unchanged": 2} == (await world.report("r3"))["outcomes"]
    assert before.equals(await world.rows("quarantine"))


async def test_a_run_that_is_withheld_empties_no_quarantine(world: SilverWorld) -> None:
    await world.run("r1")
    before = await world.rows("quarantine")
    await world.bronze("20/people.csv", PEOPLE)
    await world.bronze("20/broken.csv", "PK\x03\x04 no zip")
    assert 3 == await world.run("r2")
    assert before.equals(await world.rows("quarantine"))
    assert 3 == await world.run("r3", "--publish-partial")
    assert 0 == (await world.rows("quarantine")).height
