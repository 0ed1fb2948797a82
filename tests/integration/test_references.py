"""Reference tables from a real database: read when a run is planned, and what can not be read is told by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from etl_core.errors import ConfigError
from etl_core.objects.memory import MemoryBuckets
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.contracts.model import Reference
from pipeline_processing.processors.silver import snapshots
from pipeline_processing.processors.silver.item import Destination
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def services(database_url: str) -> AsyncIterator[ServiceHandler]:
    clock = FakeClock(auto_advance=True)
    buckets = MemoryBuckets(clock)
    settings = Settings.model_validate({"database_url": database_url})
    async with ServiceHandler(settings, clock=clock, stores=buckets.store) as services:
        await services.database.execute(
            "create table units (code text, name text, since date, id uuid default gen_random_uuid(), rank numeric);"
            "insert into units values ('N', 'North', '2001-02-03', default, 1.5), ('S', null, null, default, null);"
        )
        yield services


async def test_a_query_is_frozen_with_its_types_and_read_back_the_same(services: ServiceHandler) -> None:
    reference = Reference("units", query="select code, name, since, id, rank from units order by code")
    store = services.store("silver")
    frozen = snapshots.Snapshots(store, Destination("silver", "t", "people"), services.clock, services.jitter)
    pin = await frozen.freeze_reference(reference, services)
    frame = await snapshots.read_reference(store, pin)
    assert ["N", "S"] == frame["code"].to_list()
    assert ["String", "String", "Date", "String"] == [str(dtype) for dtype in frame.dtypes[:4]]
    assert pin == await frozen.freeze_reference(reference, services)


async def test_a_query_without_rows_and_one_that_is_none_are_told(services: ServiceHandler) -> None:
    with pytest.raises(ConfigError, match="reference units: the query gives no row"):
        await snapshots.read_current(Reference("units", query="select * from units where code = 'X'"), services)
    with pytest.raises(ConfigError, match="reference units"):
        await snapshots.read_current(Reference("units", query="select * from no_such_table"), services)
