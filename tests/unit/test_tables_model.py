"""Any order of publishes, compactions and rollbacks, against a model that a child could follow."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from etl_core.objects.memory import MemoryBuckets
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.tables import ledger
from pipeline_processing.tables.compaction import optimize
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.plain import PlainTable
from pipeline_processing.tables.publication import tags_of
from pipeline_processing.tables.publishing import publish
from pipeline_processing.tables.rewriting import FileRewriter
from pipeline_processing.tables.rollback import rollback
from tables_world import SCHEMA, numbers, origin, rows_of, written

if TYPE_CHECKING:
    from pipeline_processing.tables import DataFile, Table

ROOT = "t/"


@dataclass(frozen=True)
class Publish:
    """A run, planned on ``day``, of these sources (each in one or two partitions); twice: the last one comes late."""

    day: int
    sources: tuple[str, ...]
    rows: int
    is_split: bool
    is_late: bool


@dataclass(frozen=True)
class Optimize:
    """Merge all small files there are."""


@dataclass(frozen=True)
class Rollback:
    """Of the run with that number, counted back from the newest."""

    back: int


Step = Publish | Optimize | Rollback
SOURCES = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True).map(tuple)
STEPS = st.lists(
    st.one_of(
        st.builds(Publish, st.integers(1, 28), SOURCES, st.integers(0, 2), st.booleans(), st.booleans()),
        st.builds(Publish, st.integers(1, 28), SOURCES, st.integers(0, 2), st.booleans(), st.booleans()),
        st.just(Optimize()),
        st.builds(Rollback, st.integers(0, 2)),
    ),
    min_size=2,
    max_size=9,
)


@dataclass
class Model:
    """For each source: the runs that have published it, with their day and rows; the last planned one stands."""

    standing: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    took: dict[str, dict[str, tuple[int, str, int] | None]] = field(default_factory=dict)
    """For each run: what stood before it where it took a source."""

    def publish(self, run: str, day: int, source: str, rows: int) -> None:
        there = self.standing.get(source)
        if there is None or (day, run) > there[:2]:
            self.took.setdefault(run, {})[source] = there
            self.standing[source] = (day, run, rows)

    def may_roll_back(self, run: str) -> bool:
        return all(self.standing[source][1] == run for source in self.took.get(run, {}))

    def roll_back(self, run: str) -> None:
        for source, before in self.took.pop(run, {}).items():
            if before is None:
                del self.standing[source]
            else:
                self.standing[source] = before

    def rows(self) -> list[tuple[str, int]]:
        return sorted((f"{run}-{source}", 1) for source, (_, run, rows) in self.standing.items() for _ in range(rows))


class Play:
    """Takes each step on the table and on the model, and compares."""

    def __init__(self, kind: Any, folder: Path) -> None:  # noqa: ANN401 - either format's class
        clock = FakeClock(auto_advance=True)
        self.store = MemoryBuckets(clock, strict=True).create("silver")
        self.table: Table = kind(self.store, ROOT, clock=clock, jitter=lambda: 0.5, nonce=numbers())
        self.files = FileRewriter(self.store, ROOT, clock=clock, nonce=numbers("merged"), folder=folder)
        self.model = Model()
        self.runs: list[str] = []

    async def play(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Publish():
                    await self._publish(step)
                case Optimize():
                    await optimize(self.table, self.files)
                case Rollback():
                    await self._roll_back(step)
            await self._compare()

    async def _publish(self, step: Publish) -> None:
        run = f"r{len(self.runs):02d}"
        self.runs.append(run)
        given: list[DataFile] = []
        for number, source in enumerate(step.sources, start=1):
            given += [await self._file(run, source, step, agency) for agency in ("a1", "a2")[: 1 + step.is_split]]
            if not step.is_late or number >= len(step.sources) - 1:
                for done in step.sources[:number]:
                    self.model.publish(run, step.day, done, step.rows * (1 + step.is_split))
                await publish(self.table, given, run=run, version=number, schema=SCHEMA, rewriter=self.files)

    async def _file(self, run: str, source: str, step: Publish, agency: str) -> DataFile:
        one = origin(source, run=run, day=step.day)
        rows = [{"name": f"{run}-{source}", "age": 1}] * step.rows
        path = f"{run}-{source}.parquet"
        return await written(self.store, ROOT, path, rows, agency=agency, source=one.source, tags=tags_of([one]))

    async def _roll_back(self, step: Rollback) -> None:
        if step.back >= len(self.runs):
            return
        run = self.runs[-1 - step.back]
        if self.model.may_roll_back(run):
            await rollback(self.table, self.store, run, rewriter=self.files)
            self.model.roll_back(run)
        else:
            with pytest.raises(ConfigError, match="can not be rolled back"):
                await rollback(self.table, self.store, run, rewriter=self.files)

    async def _compare(self) -> None:
        assert self.model.rows() == await rows_of(self.store, self.table)
        with await ledger.published(self.table) as published:
            found = {source.removeprefix("s3://in/"): (record.run, record.rows) for source, record in published}
        assert {source: (run, rows) for source, (_, run, rows) in self.model.standing.items()} == found


@pytest.mark.parametrize("kind", [DeltaTable, PlainTable], ids=["delta", "plain"])
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(steps=STEPS)
def test_every_source_has_the_rows_of_the_run_that_was_planned_last(kind: Any, steps: list[Step]) -> None:  # noqa: ANN401 - see Play
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Play(kind, Path(folder)).play(steps))
