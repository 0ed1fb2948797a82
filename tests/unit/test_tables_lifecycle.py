"""A table's life under publishes, compactions, rollbacks and vacuums, in both formats, in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from etl_core.errors import ConfigError, InvalidData
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.testing.fake_clock import FakeClock
from faulty_store import FaultyStore, Killed
from pipeline_processing.tables import Change, DataFile, Edit, ledger
from pipeline_processing.tables.compaction import Optimized, optimize
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.maintenance import vacuum
from pipeline_processing.tables.plain import PlainTable
from pipeline_processing.tables.publication import origins_of, tags_of
from pipeline_processing.tables.publishing import Publication, publish
from pipeline_processing.tables.rewriting import FileRewriter
from pipeline_processing.tables.rollback import Effect, rollback, undo
from tables_world import SCHEMA, numbers, origin, rows_of, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline_processing.tables import Table

FORMATS: dict[str, Any] = {"delta": DeltaTable, "plain": PlainTable}
ROOT = "silver/people/"


class World:
    """One table, opened as often as wanted, and the runs that publish to it."""

    def __init__(self, kind: Any, folder: Path) -> None:  # noqa: ANN401 - either format's class
        self.clock = FakeClock(auto_advance=True)
        self.buckets = MemoryBuckets(self.clock, strict=True)
        self.store: MemoryStore = self.buckets.create("silver")
        self._kind, self._nonce, self._folder = kind, numbers(), folder
        self.table: Table = self.open()
        self.rewriter = self.files()

    def open(self, store: MemoryStore | None = None) -> Table:
        table: Table = self._kind(store or self.store, ROOT, clock=self.clock, jitter=lambda: 0.5, nonce=self._nonce)
        return table

    def files(self) -> FileRewriter:
        return FileRewriter(self.store, ROOT, clock=self.clock, nonce=self._nonce, folder=self._folder)

    async def file(self, run: str, source: str, ages: list[int], *, day: int = 1, agency: str = "a1") -> DataFile:
        """A run's file of one source: a row an age, named after its run."""
        one = origin(source, run=run, day=day)
        rows = [{"name": run, "age": age} for age in ages]
        path = f"{run}-{source}.parquet"
        return await written(self.store, ROOT, path, rows, agency=agency, source=one.source, tags=tags_of([one]))

    async def publish(
        self, run: str, *files: DataFile, version: int | None = None, table: Table | None = None
    ) -> Publication:
        return await publish(
            table or self.table,
            files,
            run=run,
            version=len(files) if version is None else version,
            schema=SCHEMA,
            rewriter=self.rewriter,
        )

    async def rows(self) -> list[tuple[str, int]]:
        return await rows_of(self.store, self.table)

    async def ledger(self) -> dict[str, ledger.Record]:
        with await ledger.published(self.table) as published:
            return dict(published)


@pytest.fixture(params=FORMATS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(FORMATS[request.param], tmp_path)


async def test_a_run_replaces_exactly_the_sources_that_it_published(world: World) -> None:
    await world.publish("r1", await world.file("r1", "a", [1]), await world.file("r1", "b", [2]))
    await world.publish("r2", await world.file("r2", "b", [3, 4], day=2))
    assert [("r1", 1), ("r2", 3), ("r2", 4)] == await world.rows()


async def test_the_run_that_was_planned_last_stands_whichever_publishes_last(world: World) -> None:
    older, newer = await world.file("r1", "a", [1], day=1), await world.file("r2", "a", [2], day=2)
    await world.publish("r2", newer)
    late = await world.publish("r1", older)
    assert ([("r2", 2)], Publication(changed=True, superseded=1)) == (await world.rows(), late)


@pytest.mark.parametrize("gathers", [2, 4])
async def test_gathers_of_one_run_at_once_publish_it_once(world: World, gathers: int) -> None:
    await world.publish("r1", await world.file("r1", "a", [1]))
    files = [await world.file("r2", source, [2], day=2) for source in "ab"]
    answers = await asyncio.gather(*(world.publish("r2", *files, table=world.open()) for _ in range(gathers)))
    assert 1 == sum(answer.changed for answer in answers)
    assert [("r2", 2), ("r2", 2)] == await world.rows()
    assert 2 == len([commit async for commit in world.table.history()])


async def test_a_live_run_and_a_backfill_of_the_same_source_at_once_lose_nothing(world: World) -> None:
    live, backfill = await world.file("r1", "a", [1], day=1), await world.file("r2", "a", [2], day=2)
    other = await world.file("r1", "b", [3], day=1)
    await asyncio.gather(
        world.publish("r1", live, other, table=world.open()), world.publish("r2", backfill, table=world.open())
    )
    assert [("r1", 3), ("r2", 2)] == await world.rows()


async def test_late_items_are_a_second_commit_of_the_same_run(world: World) -> None:
    first, late = await world.file("r1", "a", [1]), await world.file("r1", "b", [2])
    await world.publish("r1", first)
    await world.publish("r1", first, late)
    assert [late] == list((await anext(aiter(world.table.history()))).added)
    assert [("r1", 1), ("r1", 2)] == await world.rows()


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_gather_killed_at_any_write_is_repeated_harmlessly(kind: str, tmp_path: Path) -> None:
    for fatal in range(1, 4):
        for when in ("before", "after"):
            world = World(FORMATS[kind], tmp_path)
            await world.publish("r1", await world.file("r1", "a", [1]))
            new = await world.file("r2", "a", [2], day=2)

            def kill(number: int, key: str, fatal: int = fatal) -> None:
                if number == fatal:
                    raise Killed(key)

            doomed = world.open(FaultyStore(world.buckets, "silver", **{when: kill}))
            try:
                await world.publish("r2", new, table=doomed)
            except Killed:
                before = await world.rows()
                assert before in ([("r1", 1)], [("r2", 2)])
            await world.publish("r2", new, table=world.open())
            assert [("r2", 2)] == await world.rows()
            assert 2 == len([commit async for commit in world.table.history()])


async def test_the_ledger_has_each_source_once_sorted_with_its_rows(world: World) -> None:
    await world.publish("r1", await world.file("r1", "b", [1, 2]), await world.file("r1", "a", []))
    split = [await world.file("r2", "é", [1], day=2, agency=agency) for agency in ("a1", "a2")]
    await world.publish("r2", *[replace(file, path=file.path) for file in split])
    found = await world.ledger()
    assert ["s3://in/a", "s3://in/b", "s3://in/é"] == list(found)
    assert [(0, "r1"), (2, "r1"), (2, "r2")] == [(record.rows, record.run) for record in found.values()]
    record = found["s3://in/b"]
    assert ("v1", "1.0.0", "abcd", "0.1.0") == (
        record.source_version,
        record.contract,
        record.contract_fingerprint,
        record.code,
    )


async def test_the_ledger_of_a_table_that_is_not_there_is_empty(world: World) -> None:
    assert {} == await world.ledger()


async def test_compaction_merges_small_files_and_changes_no_row_and_no_record(world: World) -> None:
    for number, source in enumerate("abcd"):
        run = f"r{number}"
        await world.publish(run, await world.file(run, source, [number], agency="a2" if source == "d" else "a1"))
    await world.publish("r9", await world.file("r9", "e", []))
    rows, known = await world.rows(), await world.ledger()
    assert Optimized(4, 1, 0) == await optimize(world.table, world.rewriter)
    assert (rows, known) == (await world.rows(), await world.ledger())
    merged, alone = sorted((await world.table.snapshot()).files.values(), key=lambda file: file.rows, reverse=True)
    assert (3, 1) == (merged.rows, alone.rows)
    assert {"s3://in/a", "s3://in/b", "s3://in/c", "s3://in/e"} == {one.source for one in origins_of(merged)}
    assert {"minValues": {"age": 0}, "maxValues": {"age": 2}} == {
        name: bounds for name, bounds in (merged.stats or {}).items() if name != "nullCount"
    }
    assert Optimized() == await optimize(world.table, world.rewriter)


async def test_files_are_merged_up_to_the_target_only(world: World) -> None:
    files = [await world.file("r1", source, [1]) for source in "abcdef"]
    await world.publish("r1", *files)
    assert Optimized(6, 3, 0) == await optimize(world.table, world.rewriter, target=files[0].size * 2)
    assert Optimized() == await optimize(world.table, world.rewriter, target=files[0].size)


async def test_a_source_that_was_compacted_is_replaced_without_its_neighbours(world: World) -> None:
    await world.publish("r1", await world.file("r1", "a", [1, 2]), await world.file("r1", "b", [3]))
    await optimize(world.table, world.rewriter)
    await world.publish("r2", await world.file("r2", "a", [9], day=2))
    assert [("r1", 3), ("r2", 9)] == await world.rows()
    assert {"s3://in/a": ("r2", 1), "s3://in/b": ("r1", 1)} == {
        source: (record.run, record.rows) for source, record in (await world.ledger()).items()
    }


async def test_a_compaction_of_files_that_a_publish_took_meanwhile_is_left(world: World) -> None:
    await world.publish("r1", await world.file("r1", "a", [1]), await world.file("r1", "b", [2]))
    new = await world.file("r2", "a", [9], day=2)

    class Interrupted(FileRewriter):
        async def merged(self, files: Sequence[DataFile], *, partition_by: Sequence[str]) -> DataFile:
            await world.publish("r2", new)
            return await super().merged(files, partition_by=partition_by)

    files = Interrupted(world.store, ROOT, clock=world.clock, nonce=numbers("again"))
    assert Optimized(0, 0, 1) == await optimize(world.table, files)
    assert [("r1", 2), ("r2", 9)] == await world.rows()


async def test_of_two_optimizes_at_once_each_merges_what_the_other_left_alone(world: World) -> None:
    large = [await world.file("r1", source, list(range(3000)), agency="a1") for source in "ab"]
    small = [await world.file("r1", source, [1], agency="a2") for source in "cd"]
    await world.publish("r1", *large, *small)
    rows, others = await world.rows(), []

    class Interrupted(FileRewriter):
        async def merged(self, files: Sequence[DataFile], *, partition_by: Sequence[str]) -> DataFile:
            if not others:
                others.append(await optimize(world.open(), world.rewriter, target=2 * small[0].size))
            return await super().merged(files, partition_by=partition_by)

    files = Interrupted(world.store, ROOT, clock=world.clock, nonce=numbers("again"))
    assert Optimized(2, 1, 1) == await optimize(world.table, files)
    assert [Optimized(2, 1, 0)] == others
    assert rows == await world.rows()
    live = {*(await world.table.snapshot()).files}
    there = {info.key.removeprefix(ROOT) async for info in world.store.list(ROOT) if info.key.endswith(".parquet")}
    assert (2, {file.path for file in (*large, *small)}) == (len(live), there - live)


async def test_optimizes_of_the_same_files_at_once_merge_them_once(world: World) -> None:
    await world.publish("r1", *[await world.file("r1", source, [1], agency=a) for a in ("a1", "a2") for source in "ab"])
    done = await asyncio.gather(*(optimize(world.open(), world.files()) for _ in range(3)))
    assert (4, 2, 4) == tuple(sum(getattr(one, name) for one in done) for name in ("before", "after", "left"))
    assert [("r1", 1)] * 4 == await world.rows()


async def test_a_publish_whose_file_is_compacted_meanwhile_decides_again(world: World) -> None:
    await world.publish("r1", *[await world.file("r1", source, [1]) for source in "abc"])
    await optimize(world.table, world.rewriter)
    new = await world.file("r2", "a", [9], day=2)

    class Interrupted(FileRewriter):
        calls = 0

        async def without(self, file: DataFile, sources: frozenset[str], *, partition_by: Sequence[str]) -> DataFile:
            self.calls += 1
            answer = await super().without(file, sources, partition_by=partition_by)
            if self.calls == 1:
                await world.publish("r3", await world.file("r3", "b", [8], day=3))
            return answer

    files = Interrupted(world.store, ROOT, clock=world.clock, nonce=numbers("again"))
    await publish(world.open(), [new], run="r2", version=1, schema=SCHEMA, rewriter=files)
    assert [("r1", 1), ("r2", 9), ("r3", 8)] == await world.rows()
    assert 2 == files.calls


async def test_a_file_whose_rows_are_not_what_its_tags_say_is_not_rewritten(world: World) -> None:
    wrong = await written(
        world.store,
        ROOT,
        "x.parquet",
        [{"name": "x", "age": 1}],
        source="s3://in/other",
        tags=tags_of([replace(origin("a"), rows=1), replace(origin("b"), rows=0)]),
    )
    await world.table.commit(Change("gather:r1", 1, lambda _: Edit([wrong]), SCHEMA))
    with pytest.raises(InvalidData, match="1 rows where the tags say 0"):
        await world.publish("r2", await world.file("r2", "a", [2], day=2))


class Read(list[str]):
    """A list that knows how often it was gone through."""

    times = 0

    def __iter__(self) -> Iterator[str]:
        self.times += 1
        return super().__iter__()


@pytest.mark.parametrize("size", [3, 30])
async def test_what_a_commit_removes_is_not_gone_through_for_each_file_of_the_table(world: World, size: int) -> None:
    files = [await world.file("r1", f"{number}", [1]) for number in range(size)]
    await world.publish("r1", *files)
    remove = Read([files[0].path, files[1].path])
    await world.table.commit(Change("x", 1, lambda _: Edit((), remove)))
    assert size - 2 == len((await world.table.snapshot()).files)
    assert remove.times <= 8


async def test_a_rollback_restores_what_was_there_before_the_run(world: World) -> None:
    await world.publish("r1", await world.file("r1", "a", [1]), await world.file("r1", "b", [2]))
    before = await world.table.snapshot()
    first, late = await world.file("r2", "a", [9], day=2), await world.file("r2", "c", [8], day=2)
    await world.publish("r2", first)
    await world.publish("r2", first, late)
    undone = await rollback(world.table, world.store, "r2")
    assert (True, [("r1", 1), ("r1", 2)]) == (undone.changed, await world.rows())
    tags = {path: file.tags for path, file in before.files.items()}
    assert tags == {path: file.tags for path, file in (await world.table.snapshot()).files.items()}


async def test_a_rollback_is_done_once_and_its_run_does_not_come_back(world: World) -> None:
    file = await world.file("r1", "a", [1])
    await world.publish("r1", file)
    await rollback(world.table, world.store, "r1")
    assert not (await rollback(world.table, world.store, "r1")).changed
    assert not (await world.publish("r1", file)).changed
    with pytest.raises(ConfigError, match="run r1 was rolled back"):
        await world.publish("r1", file, await world.file("r1", "b", [2]))
    assert [] == await world.rows()


async def test_a_rollback_fails_where_a_later_run_has_replaced_what_the_run_published(world: World) -> None:
    await world.publish("r1", await world.file("r1", "a", [1]))
    await world.publish("r2", await world.file("r2", "a", [2], day=2), await world.file("r2", "b", [3], day=2))
    await world.publish("r3", await world.file("r3", "a", [4], day=3))
    version = (await world.table.snapshot()).version
    with pytest.raises(
        ConfigError, match=r"1 of its files are gone .* replaced by gather:r3 .*roll the later run back"
    ):
        await rollback(world.table, world.store, "r2")
    assert version == (await world.table.snapshot()).version
    await rollback(world.table, world.store, "r3")
    await rollback(world.table, world.store, "r2")
    assert [("r1", 1)] == await world.rows()


async def test_a_rollback_fails_where_its_files_were_compacted(world: World) -> None:
    await world.publish("r1", await world.file("r1", "a", [1]), await world.file("r1", "b", [1]))
    await optimize(world.table, world.rewriter)
    with pytest.raises(ConfigError, match=r"2 of its files are gone from the table, compacted by optimize"):
        await rollback(world.table, world.store, "r1")


async def test_a_rollback_takes_its_rows_out_of_compacted_files(world: World) -> None:
    await world.publish("r1", *[await world.file("r1", source, [1]) for source in "abc"])
    await optimize(world.table, world.rewriter)
    await world.publish("r2", await world.file("r2", "a", [9], day=2), await world.file("r2", "d", [8], day=2))
    await optimize(world.table, world.rewriter)
    await world.publish("r3", await world.file("r3", "e", [7], day=3))
    await optimize(world.table, world.rewriter)
    assert 1 == len((await world.table.snapshot()).files)
    undone = await rollback(world.table, world.store, "r2", rewriter=world.rewriter)
    assert (True, [("r1", 1)] * 3 + [("r3", 7)]) == (undone.changed, await world.rows())
    assert {"a": "r1", "b": "r1", "c": "r1", "e": "r3"} == {
        source.removeprefix("s3://in/"): record.run for source, record in (await world.ledger()).items()
    }
    assert not (await rollback(world.table, world.store, "r2")).changed


async def test_a_rollback_finds_its_rows_in_every_compacted_file(world: World) -> None:
    for run, day in (("r1", 1), ("r2", 2)):
        places = {"a": "a1", "b": "a2", "c": "a1" if run == "r1" else "a2"}
        files = [await world.file(run, source, [day], day=day, agency=agency) for source, agency in places.items()]
        await world.publish(run, *files, await world.file(run, f"only {run}", [day], day=day))
    await optimize(world.table, world.rewriter)
    assert 2 == len((await world.table.snapshot()).files)
    await rollback(world.table, world.store, "r2", rewriter=world.rewriter)
    assert [("r1", 1)] * 4 == await world.rows()


async def test_a_rollback_gives_no_source_rows_twice(world: World) -> None:
    """It can not come to that by our own commits: so the run's effect is made up."""
    old, new = await world.file("r1", "a", [1]), await world.file("r3", "a", [2], day=3)
    await world.publish("r3", new)
    effect = Effect("r2", 1, removed={old.path: old})
    with pytest.raises(ConfigError, match="a later run has published sources that it replaced"):
        undo(effect, await world.table.snapshot(), where="t")


async def test_a_rollback_fails_where_a_later_run_replaced_what_was_compacted(world: World) -> None:
    await world.publish("r1", await world.file("r1", "a", [1]), await world.file("r1", "b", [1]))
    await optimize(world.table, world.rewriter)
    await world.publish("r2", await world.file("r2", "a", [2], day=2))
    rows = await world.rows()
    with pytest.raises(ConfigError, match="run r1 can not be rolled back: 2 of its files are gone from the table"):
        await rollback(world.table, world.store, "r1", rewriter=world.rewriter)
    assert rows == await world.rows()


async def test_a_rollback_fails_where_a_file_that_would_come_back_is_deleted(world: World) -> None:
    old = await world.file("r1", "a", [1])
    await world.publish("r1", old)
    await world.publish("r2", await world.file("r2", "a", [2], day=2))
    await world.store.delete([ROOT + old.path])
    with pytest.raises(ConfigError, match=r"1 files that it replaced are deleted \(_agency_id=a1/r1-a.parquet\)"):
        await rollback(world.table, world.store, "r2")
    assert [("r2", 2)] == await world.rows()


async def test_a_rollback_of_a_run_that_published_nothing_says_so(world: World) -> None:
    with pytest.raises(ConfigError, match="run r7 can not be rolled back: it published nothing here"):
        await rollback(world.table, world.store, "r7")


async def test_a_rollback_gives_files_that_stayed_their_former_tags(world: World) -> None:
    old = await world.file("r1", "a", [1])
    await world.publish("r1", old)
    await world.publish("r2", replace(old, tags=tags_of([origin("a", run="r2", day=2)])))
    assert "r2" == (await world.ledger())["s3://in/a"].run
    await rollback(world.table, world.store, "r2")
    assert ("r1", [("r1", 1)]) == ((await world.ledger())["s3://in/a"].run, await world.rows())


async def test_a_short_retention_is_meant_or_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="shorter than 7 days"):
        await vacuum(world.table, older_than=timedelta(days=1))


async def test_a_vacuum_of_plain_files_tells_first_and_keeps_what_is_needed(tmp_path: Path) -> None:
    world = World(PlainTable, tmp_path)
    old, new = await world.file("r1", "a", [1]), await world.file("r2", "a", [2], day=2)
    orphan = await world.file("r0", "x", [1])
    await world.publish("r1", old)
    await world.publish("r2", new)
    assert [] == list(await vacuum(world.table))
    await world.clock.advance(timedelta(days=8))
    assert [old.path] == list(await vacuum(world.table))
    assert {old.path, orphan.path} == {*await vacuum(world.table, include_unknown=True)}
    assert [("r2", 2)] == await world.rows()
    await vacuum(world.table, is_dry_run=False)
    left = [info.key.removeprefix(ROOT) async for info in world.store.list(ROOT + "_agency_id")]
    assert sorted([new.path, orphan.path]) == left
