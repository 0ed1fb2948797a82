"""A rollback is noted in the run's record: status and report say so, though the run's state stays what it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest

from backfill_world import UPPER, BackfillWorld, publish
from etl_core.errors import ConfigError
from pipeline_controller.status import show_run, show_runs
from pipeline_controller.stored_report import show_report
from pipeline_processing.cli.backfill import rollback, rollback_options
from pipeline_processing.jobs.backfill import Backfill
from pipeline_processing.stages import open_control

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.control import Control

Out = pytest.CaptureFixture[str]


@pytest.fixture
async def world(tmp_path: Path) -> BackfillWorld:
    """A live run, and a backfill that is rolled back."""
    world = BackfillWorld(tmp_path)
    await world.put("10/a.csv", (1, "north", "Ann"))
    await world.live("live-1")
    world.contract(UPPER)
    await world.backfill("backfill-1", "--stale")
    await taken_back(world)
    return world


async def taken_back(world: BackfillWorld, *more: str) -> None:
    options = rollback_options(["backfill-1", "--dataset", "people", "--yes", *more])
    assert 0 == await rollback(options, world.services())


def control(world: BackfillWorld) -> Control:
    return open_control(world.services())


async def test_the_list_of_runs_says_which_was_rolled_back(world: BackfillWorld, capsys: Out) -> None:
    capsys.readouterr()
    assert 0 == await show_runs(control(world), None, with_over=True, json_output=False)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "published, rolled back" in lines["backfill-1"]
    assert "rolled back" not in lines["live-1"]
    await show_runs(control(world), None, with_over=True, json_output=True)
    backfill, live = orjson.loads(capsys.readouterr().out)
    assert ("published", True, None) == (backfill["state"], bool(backfill["rolled_back_at"]), live["rolled_back_at"])


async def test_a_runs_status_says_when_it_was_rolled_back(world: BackfillWorld, capsys: Out) -> None:
    run = await control(world).runs.load("backfill-1")
    capsys.readouterr()
    assert 0 == await show_run(control(world), run, None, json_output=True)
    assert run.rolled_back_at == orjson.loads(capsys.readouterr().out)["rolled_back_at"]


async def test_its_report_says_so_first_in_every_form(world: BackfillWorld, capsys: Out, tmp_path: Path) -> None:
    run = await control(world).runs.load("backfill-1")
    page = tmp_path / "page.html"
    capsys.readouterr()
    assert 0 == await show_report(control(world), run, json_output=False, page=None)
    assert "! rolled back at 2030-01-01" in capsys.readouterr().out.splitlines()[1]
    assert 0 == await show_report(control(world), run, json_output=False, page=page)
    assert "rolled back at 2030-01-01" in page.read_text(encoding="utf-8")
    assert 0 == await show_report(control(world), run, json_output=True, page=None)
    said = capsys.readouterr()
    assert "note: the run was rolled back" in said.err
    assert "backfill-1" == orjson.loads(said.out[said.out.index("{") :])["run_id"]


async def test_the_note_is_made_once_and_changes_no_state(world: BackfillWorld) -> None:
    before = await control(world).runs.load("backfill-1")
    await taken_back(world)
    assert before == await control(world).runs.load("backfill-1")
    assert (await control(world).runs.load("live-1")).revision == before.revision


async def test_of_two_that_note_at_once_one_does(tmp_path: Path) -> None:
    world = BackfillWorld(tmp_path)
    await world.put("10/a.csv", (1, "north", "Ann"))
    await world.backfill("backfill-1", "--all")
    one, two = await asyncio.gather(*(control(world).runs.note_rolled_back("backfill-1") for _ in range(2)))
    assert one is not None
    assert one == two == await control(world).runs.load("backfill-1")


async def test_a_dry_run_notes_nothing(tmp_path: Path) -> None:
    world = BackfillWorld(tmp_path)
    await world.put("10/a.csv", (1, "north", "Ann"))
    await world.backfill("backfill-1", "--all")
    await taken_back(world, "--dry-run")
    assert (await control(world).runs.load("backfill-1")).rolled_back_at is None


async def test_a_run_that_was_rolled_back_still_does_not_come_back(world: BackfillWorld) -> None:
    run = await control(world).runs.load("backfill-1")
    await control(world).store.delete([control(world).layout("backfill-1").report("json")])
    with pytest.raises(ConfigError, match="was rolled back"):
        await publish(world.services(), Backfill(world.services().settings), "backfill-1")
    assert run.rolled_back_at == (await control(world).runs.load("backfill-1")).rolled_back_at


async def test_a_record_without_a_note_is_written_as_before(world: BackfillWorld) -> None:
    body = (await world.buckets.store("control").get(control(world).layout("live-1").run)).body
    assert "rolled_back_at" not in orjson.loads(body)


async def test_a_run_without_a_record_is_rolled_back_all_the_same(tmp_path: Path) -> None:
    assert await open_control(BackfillWorld(tmp_path).services()).runs.note_rolled_back("backfill-1") is None
