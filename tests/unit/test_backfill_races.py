"""A backfill and a live run publish the same source at the same time: in both orders, and at every step between."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest

from backfill_world import UPPER, BackfillWorld, Meanwhile, Planned, publish
from etl_core.errors import ConfigError
from faulty_store import FaultyStore, Killed
from pipeline_processing.jobs.backfill import Backfill
from pipeline_processing.jobs.bronze_to_silver import BronzeToSilver
from pipeline_processing.processors.backfill.takeback import take_back
from pipeline_processing.processors.silver.care import merge_small
from pipeline_processing.reports import summary
from pipeline_processing.tables import ledger

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.publish import Finished

Kind = Literal["live", "backfill"]
SHARED = "s3://bronze/10/a.csv"


@dataclass
class Race:
    """Two runs that have done their work and are about to publish; ``first`` was planned first."""

    world: BackfillWorld
    first: Kind
    second: Kind

    def job(self, kind: Kind) -> BronzeToSilver:
        settings = self.world.services().settings
        return Backfill(settings) if kind == "backfill" else BronzeToSilver(settings)

    async def publish(self, kind: Kind, silver: FaultyStore | Meanwhile | None = None) -> Finished:
        return await publish(self.world.services(silver), self.job(kind), f"{kind}-2")

    def again(self) -> Race:
        """Return the same race, to be run another way."""
        return Race(self.world.copy(), self.first, self.second)

    async def check(self) -> None:
        """Nothing is lost, nothing doubled, and the later plan stands for what both have done."""
        later = self.second
        # The backfill has both files of the first run; the live run has the one that changed, and a new one.
        shared = (1, "EAST" if later == "backfill" else "east")
        new = (4, "NEW" if later == "backfill" else "new")
        assert [shared, (3, "WEST"), new] == await self.world.rows()
        with await ledger.published(self.world.services().table(self.world.destination)) as published:
            runs = {source: record.run for source, record in published}
        assert f"{later}-2" == runs[SHARED]
        assert 3 == len(runs)


@pytest.fixture(params=["live first", "backfill first"])
async def race(request: pytest.FixtureRequest, tmp_path: Path) -> Race:
    """Both runs have work with the shared source; the backfill uses the next contract."""
    world = BackfillWorld(tmp_path)
    await world.put("10/a.csv", (1, "north", "Ann"))
    await world.put("20/b.csv", (3, "west", "Cyd"))
    await world.live("live-1")
    await world.put("10/a.csv", (1, "east", "Ann"))
    await world.put("30/c.csv", (4, "new", "Dee"))
    live, backfill = ("live", ()), ("backfill", ("--force", "--all"))
    kinds = [live, backfill] if request.param == "live first" else [backfill, live]
    race = Race(world, kinds[0][0], kinds[1][0])
    old = (tmp_path / "people.odcs.yaml").read_text()
    for kind, arguments in kinds:
        world.contract(UPPER if kind == "backfill" else old)
        planned = await Planned.of(world, race.job(kind), f"{kind}-2", *arguments)
        await planned.work()
    return race


@pytest.mark.parametrize("order", ["as planned", "the other way round"])
async def test_the_later_plan_stands_whichever_publishes_last(race: Race, order: str) -> None:
    one, two = (race.first, race.second) if order == "as planned" else (race.second, race.first)
    ended = {kind: await race.publish(kind) for kind in (one, two)}
    await race.check()
    superseded = {kind: finished.report.published_counts["superseded"] for kind, finished in ended.items()}
    gives_way = {"live": 2, "backfill": 2} if order == "the other way round" else {"live": 0, "backfill": 0}
    assert {race.first: gives_way[race.first], race.second: 0} == superseded


async def test_a_repeated_gather_says_again_what_gave_way(race: Race) -> None:
    await race.publish(race.second)
    first = await race.publish(race.first)
    control = race.world.buckets.store("control")
    await control.delete([key for key in await race.world.keys("control") if f"/{race.first}-2/report" in key])
    again = await race.publish(race.first)
    assert 2 == first.report.published_counts["superseded"]
    assert first.report.published_counts == again.report.published_counts


async def test_what_gave_way_is_said_and_is_no_failure(race: Race) -> None:
    await race.publish(race.second)
    finished = await race.publish(race.first)
    assert (0, True) == (finished.exit_code, finished.report.is_success)
    told = list(summary.lines(finished.run, finished.report, report_at=None))
    assert "  2 of them gave way to a run that was planned later" in told


@pytest.mark.parametrize("outer_is_first", [True, False])
async def test_nothing_is_lost_or_doubled_wherever_one_publish_falls_into_the_other(
    race: Race, *, outer_is_first: bool
) -> None:
    outer, inner = (race.first, race.second) if outer_is_first else (race.second, race.first)
    for at in itertools.count():
        trial = race.again()
        silver = Meanwhile(trial.world.buckets, "silver", at, lambda trial=trial: trial.publish(inner))
        await trial.publish(outer, silver)
        if silver.requests <= at:
            break
        await trial.check()
    assert at > 20


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_or_doubled_when_both_hesitate_at_once(race: Race, seed: int) -> None:
    chance = random.Random(seed)
    stores = [FaultyStore(race.world.buckets, "silver", turns=lambda: chance.randrange(4)) for _ in range(2)]
    await asyncio.gather(race.publish("live", stores[0]), race.publish("backfill", stores[1]))
    await race.check()


async def test_nothing_is_lost_or_doubled_when_files_are_merged_meanwhile(race: Race) -> None:
    async def merge() -> None:
        await merge_small(race.world.destination, race.world.services(), target=1 << 20, is_dry_run=False)

    for kind in (race.second, race.first):
        await merge()
        await race.publish(kind)
    await merge()
    await race.check()


async def test_a_live_publish_that_falls_into_a_rollback_keeps_its_rows(tmp_path: Path) -> None:
    """Either the rollback came first, or it is refused; both ways the sources of the live run have its rows alone."""
    world = BackfillWorld(tmp_path)
    old = (tmp_path / "people.odcs.yaml").read_text()
    await world.put("10/a.csv", (1, "north", "Ann"), ("x", "y", "z"))
    await world.put("20/b.csv", (3, "west", "Cyd"))
    await world.live("live-1")
    world.contract(UPPER)
    await world.backfill("backfill-1", "--stale")
    world.contract(old)
    await world.put("10/a.csv", (1, "east", "Ann"))
    race = Race(world, "backfill", "live")
    await (await Planned.of(world, race.job("live"), "live-2")).work()
    seen, refused = set(), []
    for at in itertools.count():
        trial = race.again()
        silver = Meanwhile(trial.world.buckets, "silver", at, lambda trial=trial: trial.publish("live"))
        try:
            await take_back("backfill-1", world.destination, trial.world.services(silver), is_dry_run=False)
        except ConfigError as error:
            refused.append(str(error))
        if silver.requests <= at:
            break
        rows = await trial.world.rows()
        assert (1, "east") == rows[0]
        assert rows[1:] in ([(3, "west")], [(3, "WEST")])
        seen.add(rows[1])
    assert {(3, "west"), (3, "WEST")} == seen
    assert any("s3://silver/tables/people had been rolled back by then" in error for error in refused)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_gather_of_a_backfill_may_die_at_any_write_and_is_repeated_to_the_same_end(
    race: Race, moment: Literal["before", "after"]
) -> None:
    await race.publish(race.first)
    for at in itertools.count(1):
        trial = race.again()

        def die(number: int, _key: str, *, at: int = at) -> None:
            if number == at:
                raise Killed

        silver = FaultyStore(trial.world.buckets, "silver", **{moment: die})
        with suppress(Killed):
            await trial.publish(race.second, silver)
        if silver.writes < at:
            break
        await trial.publish(race.second)
        await trial.check()
    assert at > 4


async def test_a_late_gather_that_falls_into_the_rollback_of_its_run_leaves_nothing_of_it(tmp_path: Path) -> None:
    """The file with a rejected row comes late: the quarantine knows nothing of the run when it is looked at."""
    world = BackfillWorld(tmp_path)
    await world.put("10/a.csv", (1, "north", "Ann"))
    await world.put("20/b.csv", (3, "west", "Cyd"))
    await world.live("live-1")
    await world.put("20/b.csv", (3, "west", "Cyd"), ("x", "east", "Zoe"))
    planned = await Planned.of(world, Backfill(world.services().settings), "backfill-1", "--all", "--force")
    await planned.work("10")
    await planned.gather()
    await planned.work("20")
    for at in itertools.count():
        other = world.copy()

        async def undo(world: BackfillWorld = other) -> None:
            await take_back("backfill-1", world.destination, world.services(), is_dry_run=False)

        silver = Meanwhile(other.buckets, "silver", at, undo)
        with suppress(ConfigError):
            await planned.elsewhere(other, silver).gather()
        if silver.requests <= at:
            break
        runs = [{run for (run,) in await other.rows(which, ("run_id",))} for which in ("files", "profiles")]
        assert [{"live-1"}, {"live-1"}] == runs
        assert ([], [(1, "north"), (3, "west")]) == (await other.rows("quarantine", ("line",)), await other.rows())
    assert at
