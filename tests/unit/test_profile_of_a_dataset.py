"""`profile --dataset`: of what the silver table holds now, and not of what runs have replaced since."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipeline_processing.cli.main import main
from pipeline_processing.cli.profile import of_dataset, parser
from pipeline_processing.processors.backfill.takeback import take_back
from pipeline_processing.reports.quality_page import render
from silver_world import PEOPLE, SilverWorld

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.reports.quality_facts import QualityPage

MORE = PEOPLE + "3,Cid,2003-02-03\n"


@pytest.fixture
async def world(tmp_path: Path) -> SilverWorld:
    """Two agencies, published by one run."""
    world = SilverWorld(tmp_path)
    await world.bronze("10/people.csv", PEOPLE)
    await world.bronze("20/people.csv", MORE)
    assert 0 == await world.run("r1")
    await world.clock.sleep(timedelta(days=1))
    return world


async def profiled(world: SilverWorld, *more: str) -> QualityPage:
    async with world.handler() as services:
        return await of_dataset(parser().parse_args(["--dataset", "people", *more]), services)


def rows_of(page: QualityPage) -> int | None:
    return None if page.profile is None else page.profile.rows


async def test_a_run_that_another_has_replaced_is_not_counted(world: SilverWorld) -> None:
    assert 0 == await world.run("r2", "--force")
    page = await profiled(world)
    assert ((await world.rows()).height, "1") == (rows_of(page), page.facts["runs"])
    assert "counted too" not in page.facts


async def test_a_run_that_is_replaced_for_one_agency_counts_for_the_other(world: SilverWorld) -> None:
    await world.bronze("10/people.csv", MORE)
    assert 0 == await world.run("r2")
    page = await profiled(world)
    assert (6, "2") == (rows_of(page), page.facts["runs"])
    assert [3, 3, None] == [rows_of(await profiled(world, "--agency-id", name)) for name in ("10", "20", "30")]


async def test_files_that_were_replaced_with_others_of_their_run_are_told(world: SilverWorld) -> None:
    await world.bronze("10/more.csv", "id,name,hired\n9,Gil,2009-02-03\n")
    await world.bronze("10/people.csv", MORE)
    assert 0 == await world.run("r2")
    await world.clock.sleep(timedelta(days=1))
    await world.bronze("10/people.csv", PEOPLE)
    assert 0 == await world.run("r3")
    page = await profiled(world, "--agency-id", "10")
    assert (4 + 2, "2") == (rows_of(page), page.facts["runs"])
    assert page.facts["counted too"].endswith("runs are profiled whole: 1")


async def test_a_run_that_was_rolled_back_is_not_counted(world: SilverWorld) -> None:
    await world.bronze("10/people.csv", MORE)
    await world.run("r2")
    async with world.handler() as services:
        await take_back("r2", world.destination, services, is_dry_run=False)
    assert 5 == rows_of(await profiled(world))


async def test_a_time_narrows_the_runs(world: SilverWorld) -> None:
    await world.bronze("10/people.csv", MORE)
    await world.run("r2")
    assert [3, 3, 6] == [
        rows_of(await profiled(world, *words))
        for words in (("--until", "2030-01-02"), ("--since", "2030-01-02"), ("--since", "2030-01-01"))
    ]


async def test_a_profiles_page_has_neither_verdict_nor_checks(world: SilverWorld) -> None:
    page = render(await profiled(world))
    assert "Profile: nothing was checked" in page
    for words in ("Accepted", "accepted", "<h2>Checks", "no checks", "Checked against", "in the file"):
        assert words not in page


def test_a_files_profile_has_neither_verdict_nor_checks(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert 0 == main(["profile", str(tmp_path / "people.csv"), "--html", str(tmp_path / "page.html")])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>2</b>in the file" in page
    for words in ("Accepted", "accepted", "<h2>Checks", "no checks", "Checked against"):
        assert words not in page


def test_a_profile_that_can_not_be_written_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert 2 == main(["profile", str(tmp_path / "people.csv"), "--html", str(tmp_path / "none" / "page.html")])
    assert "is no folder" in capsys.readouterr().err
