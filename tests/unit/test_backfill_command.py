"""`pipeline-processing backfill`: what it says, what it starts, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

import pipeline_controller.bootstrap
from backfill_world import CONTRACT, UPPER, BackfillWorld
from etl_core.errors import ConfigError
from etl_core.queue.memory import MemoryQueue
from pipeline_processing.cli.backfill import (
    main,
    plan,
    plan_options,
    rollback,
    rollback_options,
    run_arguments,
)
from pipeline_processing.cli.backfill_texts import spelled
from pipeline_processing.jobs.backfill import Backfill
from pipeline_processing.messages import decode
from pipeline_worker.bootstrap import load_processors

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.model import Json

Out = pytest.CaptureFixture[str]


@pytest.fixture
async def world(tmp_path: Path) -> BackfillWorld:
    """Two agencies, published by the first contract; then comes the second one."""
    world = BackfillWorld(tmp_path)
    await world.put("10/a.csv", (1, "north", "Ann"), (2, "SOUTH", "Bob"), ("x", "south", "Zoe"))
    await world.put("20/b.csv", (3, "west", "Cyd"))
    await world.live("live-1")
    world.contract(UPPER)
    return world


async def planned(world: BackfillWorld, out: Out, *arguments: str) -> Json:
    out.readouterr()
    assert 0 == await plan(plan_options(world.arguments(*arguments, "--json")), world.services())
    return orjson.loads(out.readouterr().out)


async def test_a_plan_says_by_agency_why_there_is_work_and_which_rows_it_replaces(
    world: BackfillWorld, capsys: Out
) -> None:
    await world.put("30/new.csv", (5, "north", "Eve"))
    says = await planned(world, capsys, "--stale")
    assert [
        ("10", "other contract", 1, 1, 2),
        ("20", "other contract", 1, 1, 1),
    ] == [
        (one["agency_id"], one["because"], one["files"], one["published_files"], one["published_rows"])
        for one in says["work"]
    ]
    assert [{"agency_id": "30", "reason": "not selected", "files": 1}] == says["left_alone"]
    assert (2, 3) == (says["total"]["files"], says["total"]["published_rows"])
    assert (2, 2, 1) == (says["cost"]["items"], says["cost"]["inputs"], says["cost"]["left_alone"])
    assert says["cost"]["dollars"] > 0


async def test_a_plan_tries_files_out_and_counts_how_their_rows_would_differ(world: BackfillWorld, capsys: Out) -> None:
    sample = {one["source"]: one for one in (await planned(world, capsys, "--stale"))["sample"]}
    one = sample["s3://bronze/10/a.csv"]
    assert ("refined", "10", 1, 1) == (one["status"], one["agency_id"], one["quarantined_before"], one["quarantined"])
    difference = one["difference"]
    assert (["id"], 2, 2, 0, 0, 1) == tuple(
        difference[name] for name in ("key", "before", "after", "added", "gone", "changed")
    )
    assert ({"unit": 1}, {"changed": ["id=1"]}) == (difference["by_column"], difference["examples"])


async def test_a_plan_shows_no_value_of_a_classified_column(world: BackfillWorld, capsys: Out) -> None:
    world.contract(
        CONTRACT.replace("        classification: restricted\n", "").replace(
            "primaryKeyPosition: 1\n", "primaryKeyPosition: 1\n        classification: restricted\n"
        )
    )
    await world.put("10/a.csv", (987654, "north", "Ann"))
    for arguments in (("--json",), ()):
        capsys.readouterr()
        await plan(plan_options(world.arguments("--stale=input", *arguments)), world.services())
        told = capsys.readouterr().out
        assert "987654" not in told
        assert "Ann" not in told
    assert "gone         2" in told


async def test_a_plan_of_a_file_that_its_checks_or_its_reader_refuse_says_so(world: BackfillWorld, capsys: Out) -> None:
    world.contract(UPPER + "    customProperties:\n      - property: quarantine\n        value: {maxShare: 0.1}\n")
    await world.buckets.store("bronze").put("20/b.csv", b"PK\x03\x04 no archive at all")
    sample = (await planned(world, capsys, "--stale"))["sample"]
    assert {"s3://bronze/10/a.csv": "failed", "s3://bronze/20/b.csv": "unreadable"} == {
        one["source"]: one["status"] for one in sample
    }
    assert all(one["reason"] and one["difference"] is None for one in sample)


async def test_a_plan_writes_nothing(world: BackfillWorld, capsys: Out) -> None:
    before = {bucket: await world.keys(bucket) for bucket in ("bronze", "silver", "control")}
    await planned(world, capsys, "--stale")
    assert before == {bucket: await world.keys(bucket) for bucket in before}


@pytest.mark.parametrize("size", [0, 1, 2, 5])
async def test_the_sample_is_as_large_as_asked_and_always_the_same(
    world: BackfillWorld, size: int, capsys: Out
) -> None:
    arguments = ("--stale", "--sample", str(size))
    names = [[one["source"] for one in (await planned(world, capsys, *arguments))["sample"]] for _ in range(2)]
    assert names[0] == names[1]
    assert min(size, 2) == len(names[0])


async def test_published_files_are_tried_out_before_new_ones(world: BackfillWorld, capsys: Out) -> None:
    for number in range(20):
        await world.put(f"30/{number}.csv", (number, "north", "Eve"))
    sample = (await planned(world, capsys, "--all", "--sample", "3"))["sample"]
    assert ["s3://bronze/10/a.csv", "s3://bronze/20/b.csv"] == [one["source"] for one in sample][:2]
    assert ["other contract", "other contract", "never published"] == [one["because"] for one in sample]
    assert 1 == sample[2]["difference"]["added"]


async def test_a_plan_for_people_says_the_same(world: BackfillWorld, capsys: Out) -> None:
    capsys.readouterr()
    assert 0 == await plan(plan_options(world.arguments("--stale")), world.services())
    told = capsys.readouterr().out
    for line in ("agency  because ", "10      other contract  1 ", "changed in        unit 1", "rows replaced  3"):
        assert line in told
    capsys.readouterr()
    await plan(plan_options(world.arguments("--stale=input")), world.services())
    assert "work  none: a run would publish nothing" in capsys.readouterr().out


async def test_a_rollback_asks_first_and_does_nothing_without_a_yes(world: BackfillWorld, capsys: Out) -> None:
    await world.backfill("backfill-1", "--stale")
    after = await world.rows()
    options = rollback_options(["backfill-1", "--dataset", "people"])
    asked: list[str] = []
    assert 3 == await rollback(options, world.services(), ask=lambda question: bool(asked.append(question)))
    assert (["roll run backfill-1 back?"], after) == (asked, await world.rows())
    assert 0 == await rollback(options, world.services(), ask=lambda _: True)
    assert [(1, "north"), (2, "SOUTH"), (3, "west")] == await world.rows()


async def test_a_rollback_with_yes_asks_nobody_and_may_be_repeated(world: BackfillWorld, capsys: Out) -> None:
    await world.backfill("backfill-1", "--stale")

    def nobody(_question: str) -> bool:
        raise AssertionError

    states = []
    for more in (["--dry-run"], ["--yes"], ["--yes"], []):
        capsys.readouterr()
        options = rollback_options(
            ["backfill-1", "--contract", str(world.folder / "people.odcs.yaml"), "--json", *more]
        )
        assert 0 == await rollback(options, world.services(), ask=nobody)
        out = capsys.readouterr().out
        states.append(orjson.loads(out[out.index("{\n") :])["tables"][0]["state"])
    assert ["to be rolled back", "rolled back", "rolled back before", "rolled back before"] == states


def test_a_run_goes_to_the_backfill_lane_with_the_jobs_arguments_behind_two_dashes() -> None:
    given = ["--dataset", "people", "--stale=code", "--run-id", "b1", "--all-agencies", "--no-wait", "--json"]
    expected = ["--run-id", "b1", "--json", "--no-wait", "--", "--dataset", "people", "--stale=code", "--all-agencies"]
    assert (["run", "backfill", "--lane", "backfill", *expected], False) == run_arguments(given)


def test_a_run_in_this_process_has_the_options_of_the_job_alone() -> None:
    given = ["--inline", "--dataset", "people", "--all", "--tolerate-failures", "1%", "--run-id", "b1"]
    expected = ["--dataset", "people", "--all", "--run-id", "b1", "--tolerate-failures", "1%"]
    assert (expected, True) == run_arguments(given)
    with pytest.raises(ConfigError, match="--no-wait is for the fleet"):
        run_arguments([*given, "--no-wait"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "required: COMMAND"),
        (["undo"], "invalid choice: 'undo'"),
        (["run", "--stal"], "unrecognized option --stal (did you mean --stale?)"),
        (["plan", "--sample", "-1"], "'-1' is not a number"),
        (["plan", "--sample", "few"], "'few' is not a number"),
        (["rollback"], "required: RUN"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], says: str, capsys: Out) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert 2 == exited.value.code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["run", "--help"], ["rollback", "--help"]])
def test_each_command_has_its_help(arguments: list[str], capsys: Out) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert 0 == exited.value.code
    assert f"usage: pipeline-processing backfill {arguments[0] if arguments[1:] else ''}".rstrip() in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 50, "1024.0 TiB")])
def test_sizes_are_spelt_for_people(size: int, text: str) -> None:
    assert text == spelled(size)


async def test_work_of_a_backfill_stands_in_a_queue_of_its_own(world: BackfillWorld, capsys: Out) -> None:
    """Workers of the live lane never receive it, however much there is: they read another queue."""
    queues = {}
    for name in ("live", "backfill"):
        dead = queues[f"{name}-dlq"] = MemoryQueue(f"{name}-dlq", world.clock)
        queues[name] = MemoryQueue(name, world.clock, max_receive_count=7, dead_letter_queue=dead)
    services = world.services(queues=queues)
    arguments, _ = run_arguments(["--no-wait", "--run-id", "b1", *world.arguments("--stale")])
    ended = await pipeline_controller.bootstrap.run(
        arguments, services, load_job=lambda _name: Backfill(services.settings)
    )
    assert 0 == ended
    assert (0, 2) == ((await queues["live"].depth()).visible, (await queues["backfill"].depth()).visible)
    letters = await queues["backfill"].receive(limit=10, wait=timedelta(0), lease=timedelta(minutes=1))
    assert {("b1", "silver")} == {(decode(one.body).run_id, decode(one.body).processor) for one in letters}


def test_workers_have_the_processors_of_all_these_jobs(world: BackfillWorld) -> None:
    """A backfill's is the one of the job that it repeats."""
    assert {"silver", "optimize", "vacuum"} <= load_processors(world.services()).keys()
