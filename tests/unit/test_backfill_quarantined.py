"""What a backfill's plan and a rollback say of rows that left quarantine, beside what the run then does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline_processing.jobs.backfill import Backfill
from pipeline_processing.processors.backfill.takeback import take_back
from pipeline_processing.quarantine import editing
from quarantine_world import QuarantineWorld
from silver_world import CONTRACT

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.processors.backfill.preview import Preview

STRICT = CONTRACT.replace("1.0.0", "1.1.0").replace(
    "      - name: hired\n", "        logicalTypeOptions: {minLength: 2}\n      - name: hired\n"
)
"""Another contract that refuses none of these rows."""


@pytest.fixture
async def world(tmp_path: Path) -> QuarantineWorld:
    """Of three quarantined rows one was mended by hand, then one was waived; the third failed again otherwise."""
    world = await QuarantineWorld.after_run(tmp_path)
    path = tmp_path / "mend.csv"
    editing.export(await world.book(), path)
    text = path.read_text(encoding="utf-8-sig").replace(",x,Dee,2004-02-03", ",8,Dee,2004-02-03")
    path.write_text("".join(line for line in text.splitlines(keepends=True) if ",never," not in line))
    await world.release("rel-1", "--edited", str(path))
    await world.release("rel-2", "--waive", "hired.type", "--expires", "2031-01-01")
    return world


async def preview(world: QuarantineWorld) -> Preview:
    async with world.handler(source_bucket="bronze") as services:
        job = Backfill(services.settings)
        spec = job.parse(["--contract", str(world.contract), "--agency-id", "20", "--stale=contract"])
        return await job.preview(spec, services, sample=1)


async def test_the_sample_of_a_plan_is_what_the_run_does(world: QuarantineWorld) -> None:
    world.contract.write_text(STRICT)
    before = await world.published()
    (trial,) = (await preview(world)).trials
    assert trial.difference is not None
    said = (trial.difference.before, trial.difference.after, trial.difference.gone, trial.quarantined)
    job = Backfill(world.handler(source_bucket="bronze").settings)
    assert 0 == await world.run("bf-1", "--agency-id", "20", "--stale=contract", job=job)
    after = await world.published()
    quarantined = (await world.rows("quarantine")).height - 1  # agency 10 has none
    assert (len(before), len(after), 0, quarantined + 1) == said
    assert [1, 2, 4] == before == after


async def test_rows_now_published_are_those_of_the_table_with_what_was_released(world: QuarantineWorld) -> None:
    world.contract.write_text(STRICT)
    told = await preview(world)
    assert (3, 3) == (told.tally.total.published_rows, len(await world.published()))


async def test_a_row_that_was_released_in_vain_is_one_row_of_the_quarantine(tmp_path: Path) -> None:
    world = await QuarantineWorld.after_run(tmp_path)
    path = tmp_path / "mend.csv"
    editing.export(await world.book(), path)
    text = path.read_text(encoding="utf-8-sig").replace(",x,Dee,2004-02-03", ",7,Dee,soon")
    path.write_text(
        "".join(line for line in text.splitlines(keepends=True) if ",never," not in line and "Eve" not in line)
    )
    assert 3 == await world.release("rel-1", "--edited", str(path))
    world.contract.write_text(STRICT)
    (trial,) = (await preview(world)).trials
    assert (3, 3) == (trial.quarantined_before, trial.quarantined)
    job = Backfill(world.handler(source_bucket="bronze").settings)
    await world.run("bf-1", "--agency-id", "20", "--stale=contract", job=job)
    async with world.handler() as services:
        found = await take_back("bf-1", world.destination, services, is_dry_run=True)
    (quarantine,) = [one for one in found if one.table.endswith("__quarantine")]
    assert (3, 3) == (quarantine.rows_gone, quarantine.rows_back)


async def test_a_plain_run_says_what_a_changed_contract_has_left_behind_and_how_it_is_made_anew(
    world: QuarantineWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.contract.write_text(STRICT)
    assert 0 == await world.run("r2")
    report = await world.report("r2")
    assert {"unchanged, of another contract": 2} == report["outcomes"]
    assert "`pipeline-processing backfill run --stale=contract`" in report["warnings"][0]
    assert "2 unchanged inputs stand as another contract made them" in capsys.readouterr().out
    world.contract.write_text(CONTRACT)
    assert 0 == await world.run("r3")
    assert ({"unchanged": 2}, []) == ((await world.report("r3"))["outcomes"], (await world.report("r3"))["warnings"])
