"""Backfills from plan to publish on memory stores, beside plain runs of the same dataset."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from backfill_world import CONTRACT, UPPER, BackfillWorld, Planned
from etl_core.errors import ConfigError
from pipeline_processing.jobs.backfill import Backfill
from pipeline_processing.jobs.bronze_to_silver import BronzeToSilver
from pipeline_processing.processors.backfill.takeback import take_back
from pipeline_processing.processors.silver.dataset_tables import BESIDE
from pipeline_processing.tables import ledger

if TYPE_CHECKING:
    from pathlib import Path


BOTH_FORMATS = pytest.mark.parametrize("world", ["delta", "parquet"], indirect=True)


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> BackfillWorld:
    """Two agencies, published by the first contract."""
    world = BackfillWorld(tmp_path, table_format=getattr(request, "param", "delta"))
    await world.put("10/a.csv", (1, "north", "Ann"), (2, "south", "Bob"))
    await world.put("20/b.csv", (3, "west", "Cyd"))
    assert 0 == (await world.live("live-1")).exit_code
    return world


BEFORE = [(1, "north"), (2, "south"), (3, "west")]
AFTER = [(1, "NORTH"), (2, "SOUTH"), (3, "WEST")]


async def test_a_second_plain_run_enqueues_nothing_and_reports_what_it_left_alone(world: BackfillWorld) -> None:
    settings = world.services().settings
    planned = await Planned.of(world, BronzeToSilver(settings), "live-2")
    assert {"unchanged"} == {item.processor async for item in planned.items()}
    finished = await planned.publish()
    assert (0, {"unchanged": 2}, 0) == (
        finished.exit_code,
        dict(finished.report.outcomes),
        finished.run.counts["pending_inputs"],
    )
    assert (2, 2) == (finished.run.counts["planned_inputs"], finished.run.counts["skipped_inputs"])
    assert (BEFORE, ()) == (await world.rows(), finished.run.commits)


async def test_a_changed_input_is_done_again_and_replaces_its_rows(world: BackfillWorld) -> None:
    await world.put("10/a.csv", (1, "east", "Ann"))
    finished = await world.live("live-2")
    assert {"refined": 1, "unchanged": 1} == dict(finished.report.outcomes)
    assert [(1, "east"), (3, "west")] == await world.rows()


@BOTH_FORMATS
async def test_stale_finds_exactly_what_the_old_contract_published(world: BackfillWorld) -> None:
    world.contract(UPPER)
    await world.put("20/c.csv", (4, "east", "Dee"))
    assert {"refined": 1, "unchanged, of another contract": 2} == dict((await world.live("live-2")).report.outcomes)
    await world.put("30/new.csv", (5, "north", "Eve"))
    finished = await world.backfill("backfill-1", "--stale=contract")
    assert {"refined": 2, "up to date": 1, "not selected": 1} == dict(finished.report.outcomes)
    assert sorted([*AFTER, (4, "EAST")]) == await world.rows()
    again = await world.backfill("backfill-2", "--stale=contract")
    assert {"up to date": 3, "not selected": 1} == dict(again.report.outcomes)
    assert () == again.run.commits


async def test_stale_input_is_what_changed_at_its_source_and_nothing_new(world: BackfillWorld) -> None:
    await world.put("20/b.csv", (3, "east", "Cyd"))
    await world.put("20/new.csv", (4, "east", "Dee"))
    finished = await world.backfill("backfill-1", "--stale=input")
    assert {"refined": 1, "up to date": 1, "not selected": 1} == dict(finished.report.outcomes)
    assert [(1, "north"), (2, "south"), (3, "east")] == await world.rows()


async def test_every_input_of_the_agencies_is_accounted_for(world: BackfillWorld) -> None:
    world.contract(UPPER)
    finished = await world.backfill("backfill-1", "--where", "agency_id = '10'")
    assert {"refined": 1, "not selected": 1} == dict(finished.report.outcomes)
    assert finished.report.total["is_conserved"]
    assert [(1, "NORTH"), (2, "SOUTH"), (3, "west")] == await world.rows()


async def test_a_backfill_by_time_takes_what_was_modified_then(world: BackfillWorld) -> None:
    await world.clock.sleep(timedelta(days=1))
    since = world.clock.now().isoformat()
    await world.put("20/b.csv", (3, "east", "Cyd"))
    finished = await world.backfill("backfill-1", "--since", since, "--force")
    assert {"refined": 1, "not selected": 1} == dict(finished.report.outcomes)


async def test_forcing_the_same_input_contract_and_code_changes_no_row(world: BackfillWorld) -> None:
    finished = await world.backfill("backfill-1", "--force", "--all")
    assert {"refined": 2} == dict(finished.report.outcomes)
    assert BEFORE == await world.rows()
    with await ledger.published(world.services().table(world.destination)) as published:
        assert ["backfill-1", "backfill-1"] == [record.run for _, record in published]


async def test_a_backfill_in_which_a_file_fails_leaves_what_was_published(world: BackfillWorld) -> None:
    world.contract(CONTRACT.replace("version: 1.0.0", "version: 2.0.0"))
    await world.put("20/b.csv", (3, "east", "Cyd"))
    await world.buckets.store("bronze").put("10/a.csv", b"\x00\x01")
    finished = await world.backfill("backfill-1", "--stale")
    assert 3 == finished.exit_code
    assert BEFORE == await world.rows()


async def test_a_resumed_backfill_publishes_once(world: BackfillWorld) -> None:
    world.contract(UPPER)
    first = await world.backfill("backfill-1", "--stale")
    again = await world.backfill("backfill-1", "--stale")
    assert first.run.commits == again.run.commits
    assert AFTER == await world.rows()


@BOTH_FORMATS
async def test_a_rollback_restores_what_the_run_replaced_in_every_table(world: BackfillWorld) -> None:
    await world.put("10/a.csv", (1, "north", "Ann"), ("x", "south", "Bob"))
    await world.live("live-2")
    quarantined = await world.rows("quarantine", ("source_file", "source_row"))
    rows = await world.rows()
    world.contract(UPPER)
    await world.put("10/a.csv", (1, "north", "Ann"), (2, "south", "Bob"), ("y", "z", "Zoe"), ("z", "z", "Zed"))
    await world.backfill("backfill-1", "--stale")
    assert 2 == len(await world.rows("quarantine", ("source_file", "source_row")))
    assert rows != await world.rows()
    done = await take_back("backfill-1", world.destination, world.services(), is_dry_run=False)
    assert {"rolled back"} == {table.state for table in done}
    assert rows == await world.rows()
    assert quarantined == await world.rows("quarantine", ("source_file", "source_row"))
    assert {"live-1", "live-2"} == {run for (run,) in await world.rows("files", ("run_id",))}
    assert {"live-1", "live-2"} == {run for (run,) in await world.rows("profiles", ("run_id",))}


async def test_a_rollback_says_first_what_it_will_do_and_then_does_just_that(world: BackfillWorld) -> None:
    world.contract(UPPER)
    await world.backfill("backfill-1", "--agency-id", "10")
    services = world.services()
    planned = await take_back("backfill-1", world.destination, services, is_dry_run=True)
    assert [(1, "NORTH"), (2, "SOUTH"), (3, "west")] == await world.rows()
    assert ("to be rolled back", 1, 2, 1, 2) == (
        planned[0].state,
        planned[0].files_gone,
        planned[0].rows_gone,
        planned[0].files_back,
        planned[0].rows_back,
    )
    done = await take_back("backfill-1", world.destination, services, is_dry_run=False)
    assert [one.as_json() | {"state": ""} for one in planned] == [one.as_json() | {"state": ""} for one in done]


async def test_a_rollback_may_be_repeated_and_another_backfill_may_follow(world: BackfillWorld) -> None:
    world.contract(UPPER)
    await world.backfill("backfill-1", "--stale")
    services = world.services()
    await take_back("backfill-1", world.destination, services, is_dry_run=False)
    again = await take_back("backfill-1", world.destination, services, is_dry_run=False)
    assert {"rolled back before", "nothing of this run"} == {table.state for table in again}
    assert BEFORE == await world.rows()
    await world.backfill("backfill-2", "--stale")
    assert AFTER == await world.rows()


@BOTH_FORMATS
async def test_a_run_that_a_later_one_has_replaced_is_not_rolled_back_and_nothing_changes(
    world: BackfillWorld,
) -> None:
    world.contract(UPPER)
    await world.backfill("backfill-1", "--stale")
    await world.put("20/b.csv", (3, "east", "Cyd"))
    await world.live("live-2")
    rows = await world.rows()
    with pytest.raises(ConfigError, match="replaced by gather:live-2") as refused:
        await take_back("backfill-1", world.destination, world.services(), is_dry_run=False)
    assert "roll the later run back first" in refused.value.way_out
    assert rows == await world.rows()
    for run in ("live-2", "backfill-1"):
        await take_back(run, world.destination, world.services(), is_dry_run=False)
    assert BEFORE == await world.rows()


async def test_a_run_that_published_nothing_here_is_a_usage_error(world: BackfillWorld) -> None:
    with pytest.raises(ConfigError, match="run nobody published nothing of people"):
        await take_back("nobody", world.destination, world.services(), is_dry_run=True)


async def test_a_rolled_back_run_does_not_come_back_by_a_gather(world: BackfillWorld) -> None:
    world.contract(UPPER)
    planned = await Planned.of(world, Backfill(world.services().settings), "backfill-1", "--stale")
    await planned.work()
    await planned.publish()
    await take_back("backfill-1", world.destination, world.services(), is_dry_run=False)
    await planned.publish()
    assert BEFORE == await world.rows()


@BOTH_FORMATS
async def test_a_late_gather_of_a_rolled_back_run_commits_nothing_to_any_table(world: BackfillWorld) -> None:
    world.contract(UPPER)
    await world.put("20/b.csv", (3, "west", "Cyd"), ("x", "east", "Zoe"))
    planned = await Planned.of(world, Backfill(world.services().settings), "backfill-1", "--stale")
    await planned.work("10")
    assert (await planned.gather()).changed
    await take_back("backfill-1", world.destination, world.services(), is_dry_run=False)
    await planned.work()
    before = [await versions(world), await world.rows()]
    with pytest.raises(ConfigError, match="run backfill-1 was rolled back"):
        await planned.gather()
    assert before == [await versions(world), await world.rows()]
    assert {"live-1"} == {run for (run,) in await world.rows("files", ("run_id",))}


async def versions(world: BackfillWorld) -> list[int]:
    tables = [world.services().table(world.destination, which) for which in ("", *BESIDE)]
    return [(await table.snapshot()).version for table in tables]
