"""A police department's published records, whole, through plan, refine and publish: what went in is accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import polars as pl
import pytest

from pipeline_processing.jobs.bronze_to_silver import BronzeToSilver
from pipeline_processing.processors.silver.item import Destination
from pipeline_processing.stages import run_inline
from silver_world import SilverWorld

if TYPE_CHECKING:
    from pipeline_processing.model import Json

ROOT: Final = Path(__file__).parents[2]
CHICAGO: Final = ROOT / "../shared/data/chicago"

pytestmark = pytest.mark.skipif(not CHICAGO.is_dir(), reason="the real input (../shared/data/chicago) is not here")


async def refined(world: SilverWorld, dataset: str, file: str) -> Json:
    services = world.handler()
    await world.buckets.store("bronze").put(f"chicago/{dataset}/{file}", (CHICAGO / file).read_bytes())
    job = BronzeToSilver(services.settings)
    contract = ROOT / f"contracts/{dataset}.odcs.yaml"
    spec = job.parse(
        ["--contract", str(contract), "--agency-id", "chicago", "--source-prefix", f"{{agency_id}}/{dataset}/"]
    )
    world.destination = Destination("silver", "tables", spec["dataset"])
    async with services:
        assert 0 == await run_inline(job, spec, services, run_id=dataset.replace("_", "-"))
    return orjson.loads(
        (await world.buckets.store("control").get(f"pipeline/runs/{dataset.replace('_', '-')}/report.json")).body
    )


async def test_the_roster_is_in_the_table_but_for_the_rows_that_are_named(tmp_path: Path) -> None:
    world = SilverWorld(tmp_path)
    report = await refined(world, "chicago_roster", "roster_1936-2017.csv.gz")
    counts = report["published_counts"]
    assert (32_446, 32_438, 3, 5) == tuple(
        counts[name] for name in ("rows_in", "rows_out", "quarantined", "deduplicated")
    )
    rows = await world.rows()
    assert 32_438 == rows.height
    assert {"chicago"} == set(rows["_agency_id"])
    assert 3 == (await world.rows("quarantine")).height


async def test_the_unit_history_is_in_the_table_but_for_the_rows_that_are_named(tmp_path: Path) -> None:
    world = SilverWorld(tmp_path)
    report = await refined(world, "chicago_unit_history", "unit_history_2016-12.csv.gz")
    counts = report["published_counts"]
    assert (115_987, 114_235, 1_752, 0) == tuple(
        counts[name] for name in ("rows_in", "rows_out", "quarantined", "deduplicated")
    )
    quarantine = await world.rows("quarantine")
    by_rule = dict(quarantine.explode("rules").group_by("rules").agg(pl.len()).iter_rows())
    assert 842 == sum(rows for rule, rows in by_rule.items() if rule.startswith("unit.required"))
    assert 1_752 == quarantine["source_row"].n_unique()
