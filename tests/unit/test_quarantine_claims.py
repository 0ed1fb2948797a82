"""Who has a row: claims of several releases, one after the other and at once."""

from __future__ import annotations

import asyncio
import io
import random
from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_core.objects.memory import MemoryBuckets
from etl_core.testing.fake_clock import FakeClock
from faulty_store import FaultyStore
from pipeline_processing.quarantine.claims import Claim, Claimed, claim
from pipeline_processing.quarantine.decisions import DECISIONS
from pipeline_processing.tables import DataFile
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.plain import PlainTable
from pipeline_processing.tables.publication import Origin, tags_of
from tables_world import AT, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pipeline_processing.tables import Table

A, B = "s3://in/a", "s3://in/b"


class Desk:
    """The decisions' table, and claims on it; ``turns`` makes its store hesitate."""

    def __init__(self, kind: Callable[..., Table], turns: Callable[[], int] = lambda: 0) -> None:
        self.clock = FakeClock(auto_advance=True)
        self.store = FaultyStore(MemoryBuckets(self.clock), "silver", turns=turns)
        self.nonce, self._kind = numbers(), kind

    @property
    def table(self) -> Table:
        return self._kind(self.store, "d", clock=self.clock, jitter=lambda: 0.5, nonce=self.nonce)

    async def wish(self, release: str, source: str, ids: Sequence[str], *, base: str = "r1") -> Claim:
        known = {"quarantine_id": ids, "release_id": release, "source_file": source, "base": base}
        frame = pl.DataFrame({name: known.get(name) for name in DECISIONS}).cast(dict(DECISIONS))
        body = io.BytesIO()
        frame.write_parquet(body)
        path = f"part-{release}-{source[-1]}.parquet"
        info = await self.store.put(f"d/{path}", body.getvalue())
        origin = Origin(source, "v1", "1", "f", "c", release, f"i-{source}", AT.isoformat(), part=release, base=base)
        return Claim(source, base, DataFile(path, info.size, len(ids), {}, AT, tags=tags_of([origin])))

    async def claim(self, release: str, *wishes: Claim, version: int = 1, rolled_back: Collection[str] = ()) -> Claimed:
        return await claim(self.store, self.table, wishes, release_id=release, version=version, rolled_back=rolled_back)

    async def holders(self) -> dict[str, list[str]]:
        """Return who has decided about each id."""
        found: dict[str, list[str]] = {}
        for file in (await self.table.snapshot()).files.values():
            frame = pl.read_parquet((await self.store.get(f"d/{file.path}")).body)
            for quarantine_id, release in frame.select("quarantine_id", "release_id").iter_rows():
                found.setdefault(quarantine_id, []).append(release)
        return found


@pytest.fixture(params=[DeltaTable, PlainTable])
def desk(request: pytest.FixtureRequest) -> Desk:
    return Desk(request.param)


async def test_a_claim_on_free_rows_is_granted_and_repeating_it_changes_nothing(desk: Desk) -> None:
    wish = await desk.wish("one", A, ["1", "2"])
    assert Claimed(frozenset({A})) == await desk.claim("one", wish)
    version = (await desk.table.snapshot()).version
    assert Claimed(frozenset({A})) == await desk.claim("one", wish)
    assert version == (await desk.table.snapshot()).version


async def test_a_file_with_one_row_taken_is_refused_whole_and_the_others_are_granted(desk: Desk) -> None:
    await desk.claim("one", await desk.wish("one", A, ["1", "2"]))
    wishes = [await desk.wish("two", A, ["2", "3"]), await desk.wish("two", B, ["4"])]
    assert Claimed(frozenset({B}), {A: {"2": "one"}}) == await desk.claim("two", *wishes)
    assert Claimed(frozenset({B}), {A: {"2": "one"}}) == await desk.claim("two", *wishes)
    assert {"1": ["one"], "2": ["one"], "4": ["two"]} == await desk.holders()


async def test_rows_that_another_run_quarantined_anew_are_free_again(desk: Desk) -> None:
    await desk.claim("one", await desk.wish("one", A, ["1"], base="r1"))
    assert Claimed(frozenset({A})) == await desk.claim("two", await desk.wish("two", A, ["1"], base="r2"))


async def test_what_was_taken_back_holds_nothing(desk: Desk) -> None:
    await desk.claim("one", await desk.wish("one", A, ["1"]))
    wish = await desk.wish("two", A, ["1"])
    assert {A: {"1": "one"}} == (await desk.claim("two", wish)).taken
    assert Claimed(frozenset({A})) == await desk.claim("two", wish, rolled_back={"one"})


async def test_late_items_of_a_release_are_a_second_claim(desk: Desk) -> None:
    first = await desk.wish("one", A, ["1"])
    await desk.claim("one", first)
    late = await desk.wish("one", B, ["2"])
    assert Claimed(frozenset({A, B})) == await desk.claim("one", first, late, version=2)
    assert {"1": ["one"], "2": ["one"]} == await desk.holders()


async def test_a_release_with_nothing_to_claim_writes_nothing(desk: Desk) -> None:
    assert Claimed() == await desk.claim("one")
    assert not (await desk.table.snapshot()).exists


@pytest.mark.parametrize("kind", [DeltaTable, PlainTable])
@pytest.mark.parametrize("seed", range(10))
async def test_of_releases_at_once_each_row_has_one(kind: Callable[..., Table], seed: int) -> None:
    chance = random.Random(seed)
    desk = Desk(kind, turns=lambda: chance.randrange(4))
    names = ["one", "two", "three", "four"]
    wishes = {
        name: [await desk.wish(name, A, chance.sample("12345", 2)), await desk.wish(name, B, chance.sample("678", 1))]
        for name in names
    }
    claimed = await asyncio.gather(*(desk.claim(name, *wishes[name]) for name in names))
    holders = await desk.holders()
    assert {1} == {len(of) for of in holders.values()}
    for name, one in zip(names, claimed, strict=True):
        assert {A, B} == {*one.granted, *one.taken}
        for of in one.taken.values():
            assert of == {quarantine_id: holders[quarantine_id][0] for quarantine_id in of}
        assert (A in one.granted) == any(name in of for row, of in holders.items() if row in "12345")
