"""Optimize and vacuum of all of a dataset's tables; what they leave alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

from backfill_world import BackfillWorld, Planned
from etl_core.errors import ConfigError
from pipeline_processing.jobs import optimize, vacuum
from pipeline_processing.jobs._tables import TableJob
from pipeline_processing.processors.backfill.takeback import take_back
from pipeline_processing.processors.silver.care import merge_small
from pipeline_processing.tables import ledger

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from pipeline_processing.model import Json

TABLES = ("--dataset", "people", "--json")


@pytest.fixture(params=["delta", "parquet"])
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> BackfillWorld:
    """Four small files of one agency, one of which is replaced; two files of rejected rows."""
    world = BackfillWorld(tmp_path, table_format=request.param)
    for number in range(4):
        wrong = [("x", "south", "Zoe")] if number < 2 else []
        await world.put(f"10/{number}.csv", (number, "north", "Ann"), *wrong)
    await world.live("live-1")
    await world.put("10/3.csv", (3, "south", "Ann"))
    await world.live("live-2")
    return world


async def optimized(world: BackfillWorld, *arguments: str) -> dict[str, tuple[int, int]]:
    options = optimize.parser().parse_args([*TABLES, *arguments])
    (document,) = await optimize.work(options, world.destination, world.services())
    return {name_of(one): (one["files before"], one["files after"]) for one in orjson.loads(document)["tables"]}


async def vacuumed(world: BackfillWorld, *arguments: str) -> dict[str, int]:
    options = vacuum.parser().parse_args([*TABLES, *arguments])
    (document,) = await vacuum.work(options, world.destination, world.services())
    return {name_of(one): one["files swept"] for one in orjson.loads(document)["tables"]}


def name_of(one: Json) -> str:
    return str(one["table"]).rpartition("/")[2]


async def files_of(world: BackfillWorld, which: str = "") -> int:
    return len((await world.services().table(world.destination, which).snapshot()).files)


ROWS = [(0, "north"), (1, "north"), (2, "north"), (3, "south")]


async def test_small_files_become_one_and_no_row_changes(world: BackfillWorld) -> None:
    assert {"people": (4, 1), "people__quarantine": (2, 1)} == await optimized(world)
    assert (1, 1, ROWS) == (await files_of(world), await files_of(world, "quarantine"), await world.rows())
    assert 2 == len(await world.rows("quarantine", ("source_file", "source_row")))
    assert {} == {name: counts for name, counts in (await optimized(world)).items() if counts != (0, 0)}


async def test_a_dry_run_says_it_and_leaves_the_files(world: BackfillWorld) -> None:
    assert {"people": (4, 1), "people__quarantine": (2, 1)} == await optimized(world, "--dry-run")
    assert 4 == await files_of(world)


async def test_files_of_the_target_size_are_left(world: BackfillWorld) -> None:
    assert {"people": (0, 0), "people__quarantine": (0, 0)} == await optimized(world, "--target-size", "1KiB")


async def test_what_is_published_is_known_after_a_merge_and_a_changed_input_replaces_its_rows(
    world: BackfillWorld,
) -> None:
    await optimized(world)
    with await ledger.published(world.services().table(world.destination)) as published:
        assert ["live-1"] * 3 + ["live-2"] == [record.run for _, record in published]
    assert {"unchanged": 4} == dict((await world.live("live-3")).report.outcomes)
    await world.put("10/1.csv", (1, "west", "Ann"))
    await world.live("live-4")
    assert [(0, "north"), (1, "west"), (2, "north"), (3, "south")] == await world.rows()
    assert 1 == len(await world.rows("quarantine", ("source_file", "source_row")))


async def test_a_run_whose_files_were_merged_is_rolled_back_out_of_the_merged_ones(world: BackfillWorld) -> None:
    await optimized(world)
    services = world.services()
    looked = await take_back("live-2", world.destination, services, is_dry_run=True)
    assert ("to be rolled back", 1, 1) == (looked[0].state, looked[0].rows_gone, looked[0].rows_back)
    assert ROWS == await world.rows()
    await take_back("live-2", world.destination, services, is_dry_run=False)
    assert [(0, "north"), (1, "north"), (2, "north"), (3, "north")] == await world.rows()
    assert 2 == len(await world.rows("quarantine", ("source_file", "source_row")))


async def test_a_dry_run_finds_files_that_are_gone(old: BackfillWorld) -> None:
    await vacuumed(old, "--yes")
    with pytest.raises(ConfigError, match="1 files that it replaced are deleted"):
        await take_back("live-2", old.destination, old.services(), is_dry_run=True)


async def test_a_dataset_without_tables_is_a_usage_error(tmp_path: Path) -> None:
    world = BackfillWorld(tmp_path)
    with pytest.raises(ConfigError, match="there is no table"):
        await merge_small(world.destination, world.services(), target=1, is_dry_run=True)


@pytest.fixture
async def old(tmp_path: Path) -> BackfillWorld:
    """Plain Parquet, whose vacuum needs no S3: one file was replaced eight days ago, one just now."""
    world = BackfillWorld(tmp_path, table_format="parquet")
    for number in range(2):
        await world.put(f"10/{number}.csv", (number, "north", "Ann"))
    await world.live("live-1")
    await world.put("10/0.csv", (0, "south", "Ann"))
    await world.live("live-2")
    await world.clock.sleep(timedelta(days=8))
    await world.put("10/1.csv", (1, "south", "Ann"))
    await world.live("live-3")
    return world


async def data_files(world: BackfillWorld) -> int:
    return sum(key.startswith("tables/people/") and key.endswith(".parquet") for key in await world.keys("silver"))


async def test_a_vacuum_counts_what_it_would_delete_and_deletes_only_when_told(old: BackfillWorld) -> None:
    assert 4 == await data_files(old)
    assert 1 == (await vacuumed(old))["people"]
    assert 4 == await data_files(old)
    assert 1 == (await vacuumed(old, "--yes"))["people"]
    assert (3, 0) == (await data_files(old), (await vacuumed(old))["people"])
    assert [(0, "south"), (1, "south")] == await old.rows()


async def test_what_a_vacuum_keeps_can_still_be_rolled_back_to(old: BackfillWorld) -> None:
    await vacuumed(old, "--yes")
    with pytest.raises(ConfigError, match="1 files that it replaced are deleted"):
        await take_back("live-2", old.destination, old.services(), is_dry_run=False)
    await take_back("live-3", old.destination, old.services(), is_dry_run=False)
    assert [(0, "south"), (1, "north")] == await old.rows()


async def test_less_than_a_week_is_kept_only_by_those_who_know(old: BackfillWorld) -> None:
    with pytest.raises(ConfigError, match=r"shorter than 7 days.*--i-know"):
        await vacuumed(old, "--retention", "1h", "--yes")
    with pytest.raises(ConfigError, match=r"shorter than 7 days.*--i-know"):
        TableJob("vacuum", vacuum.parser, vacuum.asked, old.services().settings).parse([*TABLES, "--retention", "1h"])
    assert 4 == await data_files(old)
    assert 1 == (await vacuumed(old, "--retention", "1h", "--i-know"))["people"]
    await old.clock.sleep(timedelta(hours=2))
    assert 2 == (await vacuumed(old, "--retention", "1h", "--i-know"))["people"]


async def test_what_no_commit_ever_named_is_kept_unless_asked_for(old: BackfillWorld) -> None:
    await old.buckets.store("silver").put("tables/people/_agency_id=10/part-orphan.parquet", b"")
    await old.clock.sleep(timedelta(days=8))
    without, orphans = (await vacuumed(old))["people"], (await vacuumed(old, "--orphans"))["people"]
    assert 1 == orphans - without


@pytest.mark.parametrize("text", ["soon", "-1d"])
def test_a_retention_that_is_no_time_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        vacuum.parser().parse_args([*TABLES, f"--retention={text}"])
    assert 2 == exited.value.code
    assert text in capsys.readouterr().err


async def test_the_jobs_say_it_in_a_line_a_table(old: BackfillWorld) -> None:
    merging = optimize.parser().parse_args(["--dataset", "people", "--dry-run"])
    lines = await optimize.work(merging, old.destination, old.services())
    assert ["s3://silver/tables/people: 2 files would become 1"] == lines[:1]
    sweeping = vacuum.parser().parse_args(["--dataset", "people"])
    lines = await vacuum.work(sweeping, old.destination, old.services())
    assert ["s3://silver/tables/people: 1 file would be deleted (--yes does it)"] == lines[:1]


@pytest.mark.parametrize(
    ("module", "arguments", "expected"),
    [
        (vacuum, ["--yes"], {"files swept": 1}),
        (vacuum, [], {"files swept": 1}),
        (optimize, ["--target-size", "1MiB"], {"files before": 2, "files after": 1, "groups left": 0}),
    ],
)
async def test_the_controller_can_run_them_with_an_item_a_table(
    old: BackfillWorld, module: ModuleType, arguments: list[str], expected: dict[str, int]
) -> None:
    name = module.__name__.rpartition(".")[2]
    job = TableJob(name, module.parser, module.asked, old.services().settings)
    planned = Planned(old, job, "care-1")
    await planned.plan(["--dataset", "people", "--format", "parquet", *arguments])
    assert ["", "files", "profiles"] == sorted([item.payload["table"] async for item in planned.items()])
    await planned.work()
    finished = await planned.publish()
    assert (0, expected) == (finished.exit_code, dict(finished.report.published_counts))
    assert name == module.definition().name
