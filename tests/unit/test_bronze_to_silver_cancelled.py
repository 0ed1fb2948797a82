"""A task that is cancelled while its thread refines waits for it, and ends cancelled whatever came of it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_core.errors import InvalidData
from pipeline_processing.contracts.load import load
from pipeline_processing.jobs.backfill import Backfill
from pipeline_processing.processors.backfill.preview import Given, Tally, Trials
from pipeline_processing.processors.cancellation import in_thread
from pipeline_processing.processors.refining.refine import open_rows
from pipeline_processing.processors.silver.processor import SilverConfig, SilverProcessor
from silver_world import CONTRACT, PEOPLE, SilverWorld

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.model import Item, Json
    from pipeline_processing.processors.refining.refined import Refined
    from pipeline_processing.readers import Rows

LOOKUP = """
      - name: unit
        logicalType: string
      - name: unit_name
        logicalType: string
        customProperties:
          - property: lookup
            value: {reference: units, on: {unit: code}, take: name}
    customProperties:
      - property: references
        value:
          - {name: units, path: "s3://bronze/reference/units.csv"}
"""


@dataclass
class Gate:
    """Where a thread waits until it is let through; ``folder`` is then asked for."""

    error: Exception | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    passed: threading.Event = field(default_factory=threading.Event)
    found: list[bool] = field(default_factory=list)

    def wait(self, path: Path | None = None) -> None:
        self.reached.set()
        assert self.opened.wait(timeout=30)
        self.found.append(path is None or path.exists())
        self.passed.set()
        if self.error is not None:
            raise self.error

    async def cancel(self, task: asyncio.Task[object]) -> None:
        """Cancel twice while the thread waits, then let it go on."""
        assert await asyncio.to_thread(self.reached.wait, 30)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        self.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert self.passed.is_set()


class Gated(SilverProcessor):
    """Opens every file through a gate."""

    gate: Gate

    async def _refine(self, *given: Json, opened: Callable[[Path, Contract], Rows] | None = None) -> Refined:
        del opened

        def through(path: Path, contract: Contract) -> Rows:
            self.gate.wait(path)
            return open_rows(path, contract)

        return await super()._refine(*given, opened=through)


@pytest.fixture
async def world(tmp_path: Path) -> SilverWorld:
    world = SilverWorld(tmp_path)
    await world.bronze("10/people.csv", PEOPLE)
    return world


async def items(world: SilverWorld) -> list[Item]:
    services = world.handler()
    job = Backfill(services.settings)
    spec = job.parse(world.arguments("--all"))
    return [item async for item in job.plan("r1", spec, services)]


@pytest.mark.parametrize("error", [None, InvalidData("it can not be read")])
async def test_a_processor_cancelled_in_a_refine_ends_cancelled_after_its_thread_and_leaves_no_folder(
    world: SilverWorld, tmp_path: Path, error: Exception | None
) -> None:
    (item,) = await items(world)
    folder = tmp_path / "work"
    folder.mkdir()
    processor = Gated(SilverConfig(folder=folder), world.buckets.store)
    processor.gate = Gate(error)
    await processor.gate.cancel(asyncio.create_task(processor.process(item)))
    assert ([True], []) == (processor.gate.found, list(folder.iterdir()))


class Slow(dict[str, pl.DataFrame]):
    """Reference tables that are looked up through a gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(units=pl.DataFrame({"code": ["N"], "name": ["North"]}))
        self._gate = gate

    def get(self, name: str, default: Json = None) -> Json:
        self._gate.wait()
        return super().get(name, default)


async def test_a_preview_cancelled_in_a_refine_ends_cancelled_after_its_thread(world: SilverWorld) -> None:
    services = world.handler()
    job, tally, gate = Backfill(services.settings), Tally(1), Gate()
    contract = load(CONTRACT + LOOKUP)
    spec = job.parse(world.arguments("--all"))
    assert 1 == len([one async for one in tally.counting(job.judged(spec, contract, services))])
    given = Given(contract, Slow(gate), None, services.clock.now().date())
    tables = services.table(world.destination), services.table(world.destination, "quarantine")
    await gate.cancel(asyncio.create_task(Trials(given, services, *tables, "silver").run(tally.sample)))


async def test_a_thread_is_told_to_stop_only_when_its_task_is_cancelled() -> None:
    assert not await in_thread(lambda stop: stop.is_set())
    heard, gate = [], Gate()

    def work(stop: threading.Event) -> None:
        gate.wait()
        heard.append(stop.is_set())

    await gate.cancel(asyncio.create_task(in_thread(work)))
    assert [True] == heard
    with pytest.raises(InvalidData, match="as it is"):
        await in_thread(lambda _stop: refuse())


def refuse() -> None:
    raise InvalidData("as it is")
