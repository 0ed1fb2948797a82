from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from etl_core.errors import AccessDenied, ConfigError, Transient
from faulty_store import FaultyStore, Killed
from pipeline_processing.manifest import Tally
from pipeline_processing.stages import open_control, plan_run, run_inline
from tiny_job import TinyJob
from tiny_world import LAYOUT, World

if TYPE_CHECKING:
    from collections.abc import Callable


SPEC = {"items": 10, "agencies": 3, "size": 0}


@pytest.fixture
def world() -> World:
    return World()


async def test_a_run_ends_green_with_every_output_published_once(world: World) -> None:
    job = TinyJob()
    assert 0 == await run_inline(job, SPEC, world.services(), run_id="r1")
    assert [list(range(10))] == await world.published()
    assert ["_SUCCESS"] == await world.flags()
    assert 10 == len(await world.keys("control", LAYOUT.done))
    report = await world.document(LAYOUT.report("json"))
    assert {"items": 10, "inputs": 20} == report["total"]["done"]
    assert ["a0", "a1", "a2"] == [agency["agency_id"] for agency in report["agencies"]]
    assert all(balance["is_conserved"] for balance in [report["total"], *report["agencies"]])
    assert {"copied": 20} == report["outcomes"]
    assert "published" == (await world.document(LAYOUT.run))["state"]


async def test_running_it_again_does_nothing(world: World) -> None:
    await run_inline(TinyJob(), SPEC, world.services(), run_id="r1")
    before = await world.document(LAYOUT.run)
    again = TinyJob()
    assert 0 == await run_inline(again, SPEC, world.services(), run_id="r1")
    assert ([], []) == (again.processed, again.commits)
    assert before == await world.document(LAYOUT.run)


async def test_without_a_control_bucket_it_runs_in_memory_and_says_so(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    services = world.services()
    services.settings = services.settings.model_copy(update={"control_bucket": None})
    assert 0 == await run_inline(TinyJob(), SPEC, services, run_id="r1")
    said = capsys.readouterr()
    assert "PIPELINE_CONTROL_BUCKET" in said.err
    assert "10 items (20 inputs): 10 done" in said.out
    assert [] == await world.keys("control")


async def test_poison_makes_the_run_partial_and_publishes_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 3 == await run_inline(TinyJob(poison=[4]), SPEC, world.services(), run_id="r1")
    assert [] == await world.published()
    assert ["_PARTIAL"] == await world.flags()
    (dossier,) = await world.keys("control", LAYOUT.dead)
    report = await world.document(LAYOUT.report("json"))
    assert [(1, "Permanent", "permanent")] == [(g["items"], g["error_class"], g["reason"]) for g in report["failures"]]
    assert report["failures"][0]["examples"][0]["item_id"] in dossier
    assert "1 of Permanent: the number is poison" in capsys.readouterr().out


async def test_invoking_it_again_gives_the_dead_another_chance(world: World) -> None:
    await run_inline(TinyJob(poison=[4]), SPEC, world.services(), run_id="r1")
    mended = TinyJob()
    assert 0 == await run_inline(mended, SPEC, world.services(), run_id="r1")
    assert [4] == mended.processed
    assert [list(range(10))] == await world.published()
    assert ["_SUCCESS"] == await world.flags()
    assert [] == await world.keys("control", LAYOUT.dead)


async def test_late_items_of_a_tolerated_run_are_a_second_commit(world: World) -> None:
    job = TinyJob(poison=[4])
    assert 0 == await run_inline(job, SPEC, world.services(), run_id="r1", tolerate="10%")
    assert [[n for n in range(10) if n != 4]] == await world.published()
    assert ["_SUCCESS"] == await world.flags()
    job.poison.clear()
    assert 0 == await run_inline(job, SPEC, world.services(), run_id="r1", tolerate="10%")
    assert list(range(10)) in await world.published()
    assert 2 == len((await world.document(LAYOUT.run))["commits"]) == len(job.commits)


@pytest.mark.parametrize(("tolerate", "code", "flag"), [("0", 3, "_PARTIAL"), ("1", 0, "_SUCCESS")])
async def test_failed_inputs_are_published_but_not_green_unless_tolerated(
    world: World, tolerate: str, code: int, flag: str
) -> None:
    assert code == await run_inline(TinyJob(lacking=[2]), SPEC, world.services(), run_id="r1", tolerate=tolerate)
    assert [list(range(10))] == await world.published()
    assert [flag] == await world.flags()
    assert 1 == (await world.document(LAYOUT.report("json")))["total"]["failed_inputs"]


async def test_a_shaky_item_is_tried_again(world: World) -> None:
    job = TinyJob(shaky=[3, 7])
    assert 0 == await run_inline(job, SPEC, world.services(), run_id="r1")
    assert sorted([*range(10), 3, 7]) == sorted(job.processed)


async def test_an_empty_plan_is_a_clear_no_op(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == await run_inline(TinyJob(), {**SPEC, "items": 0}, world.services(), run_id="r1")
    assert "nothing to do" in capsys.readouterr().out
    assert ["_SUCCESS"] == await world.flags()


async def test_payloads_too_large_for_a_message_are_claimed_from_the_manifest(world: World) -> None:
    assert 0 == await run_inline(TinyJob(), {**SPEC, "size": 300_000}, world.services(), run_id="r1")
    assert [list(range(10))] == await world.published()


async def test_arguments_that_name_nothing_leave_nothing_behind(world: World) -> None:
    with pytest.raises(ConfigError, match="no agencies"):
        await run_inline(TinyJob(), {**SPEC, "agencies": 0}, world.services(), run_id="r1")
    assert [] == await world.keys("control")


async def test_a_run_id_of_other_arguments_is_refused_naming_both(world: World) -> None:
    await run_inline(TinyJob(), SPEC, world.services(), run_id="r1")
    with pytest.raises(ConfigError, match="items was 10 and is 11"):
        await run_inline(TinyJob(), {**SPEC, "items": 11}, world.services(), run_id="r1")


async def test_the_scheduled_time_names_the_run(world: World) -> None:
    services = world.services(schedule_time=datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC))
    await run_inline(TinyJob(), SPEC, services)
    job = TinyJob()
    await run_inline(job, SPEC, services)
    assert [] == job.processed
    (run,) = [key async for key in open_control(services).runs.list()]
    assert run.startswith("tiny-20300506T070809Z-")


async def test_a_control_bucket_that_takes_no_marker_ends_the_run_with_an_error(world: World) -> None:
    def deny(_number: int, key: str) -> None:
        if "/done/" in key or "/failed/" in key:
            raise AccessDenied("no writes here")

    control = FaultyStore(world.buckets, "control", before=deny)
    with pytest.raises(Transient, match="can not be recorded"):
        await run_inline(TinyJob(), SPEC, world.services(control), run_id="r1")


def kill_at(write: int) -> Callable[[int, str], None]:
    def check(number: int, _key: str) -> None:
        if number == write:
            raise Killed

    return check


async def kill_and_resume(world: World, control: FaultyStore, poison: list[int]) -> tuple[bool, int]:
    """Return whether the process was killed, and how the next one ended."""
    try:
        await run_inline(TinyJob(poison=poison), SPEC, world.services(control, worker_concurrency=2), run_id="r1")
    except Killed:
        return True, await run_inline(TinyJob(poison=poison), SPEC, world.services(), run_id="r1")
    return False, -1


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("poison", [[], [4]])
async def test_a_process_killed_at_any_write_is_resumed_without_loss(moment: str, poison: list[int]) -> None:
    writes = 0
    while True:
        writes += 1
        world = World()
        control = FaultyStore(world.buckets, "control", **{moment: kill_at(writes)})  # type: ignore[arg-type] # one of two
        was_killed, code = await kill_and_resume(world, control, poison)
        if not was_killed:
            break
        assert (3 if poison else 0) == code
        assert [["_PARTIAL"], ["_SUCCESS"]][not poison] == await world.flags()
        assert ([] if poison else [list(range(10))]) == await world.published()
        report = await world.document(LAYOUT.report("json"))
        run = await world.document(LAYOUT.run)
        assert run["revision"] == report["revision"]
        assert 10 - len(poison) == report["total"]["done"]["items"]
        assert report["total"]["is_conserved"]
    assert writes > 15


async def test_planning_twice_gives_one_manifest(world: World) -> None:
    services = world.services()
    control = open_control(services)
    first = await plan_run(TinyJob(), SPEC, services, control, run_id="r1")
    second = await plan_run(TinyJob(), SPEC, services, control, run_id="r1")
    assert first == second
    assert Tally(10, 20) == Tally(first[1].items, first[1].inputs)
