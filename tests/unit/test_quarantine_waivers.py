"""Rows that fail two rules, waivers that are active, and an export that is sent a second time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_core.errors import ConfigError
from pipeline_processing.cli.quarantine import options_of, release
from pipeline_processing.contracts.load import load
from pipeline_processing.jobs.release_quarantined import ReleaseQuarantined
from pipeline_processing.processors.release.processor import way_out
from pipeline_processing.quarantine import editing
from quarantine_world import FILE, QuarantineWorld
from silver_world import CONTRACT

if TYPE_CHECKING:
    from pathlib import Path

WAIVER = ("--waive", "hired.type", "--expires", "2031-01-01")


@pytest.fixture
async def world(tmp_path: Path) -> QuarantineWorld:
    return await QuarantineWorld.after_run(tmp_path)


async def edited(world: QuarantineWorld, *changes: tuple[str, str]) -> Path:
    """Write the export with its rows mended; of row 2 ``x`` is the fault."""
    path = world.folder / "mend.csv"
    editing.export(await world.book(), path, contract=load(CONTRACT))
    text = path.read_text(encoding="utf-8-sig")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
    return path


async def one_row(world: QuarantineWorld, change: tuple[str, str]) -> Path:
    path = await edited(world, change)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], *(line for line in lines if change[1] in line)]) + "\n")
    return path


async def test_a_release_honours_the_waivers_that_are_active_for_its_file(world: QuarantineWorld) -> None:
    path = await one_row(world, (",x,Dee,2004-02-03", ",8,Dee,soon"))
    assert 3 == await world.release("rel-1", "--edited", str(path))
    assert 3 == await world.release("rel-2", *WAIVER, "--rule", "hired.type", "--file", FILE)
    assert {2: "open", 3: "open", 4: "waived"} == await world.states()
    assert 0 == await world.release("rel-3", "--edited", str(path))
    assert {2: "released", 3: "open", 4: "waived"} == await world.states()
    await world.run("r2", "--force")
    assert [1, 2, 4] == await world.published()


async def test_a_waiver_that_is_over_helps_no_release(world: QuarantineWorld) -> None:
    path = await one_row(world, (",x,Dee,2004-02-03", ",8,Dee,soon"))
    await world.release("rel-1", "--waive", "hired.type", "--expires", "2030-01-02")
    await world.clock.sleep(timedelta(days=3))
    assert 3 == await world.release("rel-2", "--edited", str(path))
    assert "open" == (await world.states())[2]


async def test_a_row_that_fails_two_rules_is_mended_and_waived_at_once(world: QuarantineWorld) -> None:
    path = await one_row(world, (",x,Dee,2004-02-03", ",8,Dee,soon"))
    assert 0 == await world.release("rel-1", *WAIVER, "--edited", str(path))
    assert {2: "waived", 3: "open", 4: "open"} == await world.states()
    (row,) = (await world.rows()).filter(pl.col("_source_row") == 2, pl.col("_agency_id") == "20").to_dicts()
    assert (8, None) == (row["id"], row["hired"])
    await world.run("r2", "--force")
    assert [1, 2, 4] == await world.published()


async def test_the_way_of_what_still_fails_is_named(world: QuarantineWorld) -> None:
    path = await one_row(world, (",x,Dee,2004-02-03", ",8,Dee,soon"))
    await world.release("rel-1", "--edited", str(path))
    (problem,) = (await world.report("rel-1"))["problems"]
    assert "hired.type (1); where that is right all the same: `quarantine waive --rule hired.type" in problem["reason"]
    assert "--edited FILE" in problem["reason"]


def test_a_record_that_is_no_row_has_no_such_way() -> None:
    assert "" == way_out(["reader.ragged"])


async def test_the_command_waives_edited_rows_whatever_they_failed_first(
    world: QuarantineWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    path = await one_row(world, (",x,Dee,2004-02-03", ",8,Dee,soon"))
    common = ["--contract", str(world.contract), "--reason", "right"]
    waiver = ["--rule", "hired.type", "--expires", "2031-01-01", "--edited", str(path)]
    async with world.handler() as services:
        assert 3 == await release(options_of("release", [*common, "--edited", str(path), "--dry-run"]), services)
        assert "`quarantine waive --rule hired.type" in capsys.readouterr().out
        assert 0 == await release(options_of("waive", [*common, *waiver]), services)
    assert "waived" == (await world.states())[2]


async def test_an_old_export_is_sent_again_without_the_rows_that_are_decided(world: QuarantineWorld) -> None:
    path = await edited(world, (",x,Dee", ",8,Dee"))
    assert 3 == await world.release("rel-1", "--edited", str(path))
    path.write_text(path.read_text(encoding="utf-8").replace("never", "2004-01-01"), encoding="utf-8")
    with pytest.raises(ConfigError, match="1 of its 3 rows are no longer open") as refused:
        await world.release("rel-2", "--edited", str(path))
    assert "--skip-decided" in refused.value.way_out
    assert 3 == await world.release("rel-3", "--edited", str(path), "--skip-decided")
    assert {2: "released", 3: "open", 4: "released"} == await world.states()


async def test_a_row_that_was_never_in_quarantine_is_no_decided_one(world: QuarantineWorld) -> None:
    path = await edited(world, (",x,Dee", ",8,Dee"))
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:2], "0" * 32 + lines[2][32:], ""]))
    with pytest.raises(ConfigError, match="is not in quarantine"):
        await world.release("rel-1", "--edited", str(path), "--skip-decided")


def test_who_releases_is_the_user_unless_somebody_is_named(world: QuarantineWorld) -> None:
    job = ReleaseQuarantined(world.handler().settings)
    words = ["--contract", str(world.contract), "--reason", "a test"]
    assert job.parse(words)["by"]
    assert "Ann" == job.parse([*words, "--by", "Ann"])["by"]


async def test_another_rule_than_the_waived_one_still_narrows_the_edited_rows(world: QuarantineWorld) -> None:
    path = await edited(world, (",x,Dee,2004-02-03", ",8,Dee,soon"))
    assert 0 == await world.release("rel-1", *WAIVER, "--edited", str(path), "--rule", "id.type")
    assert {2: "waived", 3: "open", 4: "open"} == await world.states()
