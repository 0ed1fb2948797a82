"""Peak memory of plan and gather of the main job at a million items, and of an export of a million rows.

The stores keep nothing in memory: sources and markers are made up as they are read, the rest is on disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.disk_store import DiskStore, Index, MadeUpMarkers, MadeUpSource, etag_of
from tests.bench.figures import Figure, peak_mib, stopwatch
from tests.bench.worlds import RUN_ID

from etl_core.clock import SystemClock
from etl_core.database import Database
from pipeline_processing import stages
from pipeline_processing.jobs.get_s3_files import definition
from pipeline_processing.layout import RunLayout
from pipeline_processing.markers import encode
from pipeline_processing.model import Item, ItemResult, Marker, Output
from pipeline_processing.processors.get_s3_files.employment_history import (
    EmploymentHistoryConfig,
    EmploymentHistoryProcessor,
    Export,
)
from pipeline_processing.repositories.employment_history import EmploymentHistoryRepository
from pipeline_processing.repositories.schema import migrate
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl_core.objects import ObjectStore

PLAN_LIMIT_MIB = 300
EXPORT_LIMIT_MIB = 200
AGENCIES = 10
ARGUMENTS = [
    *("--all-agencies", "--attachments-from", "s3", "--pack-max-items", "1"),
    *("--source-bucket", "source", "--destination-bucket", "destination"),
]
SETTINGS = Settings(control_bucket="control", source_bucket="source", destination_bucket="destination")


async def plan(size: int, folder: Path) -> Figure:
    """Plan `size` files, one an item, listed from a bucket: look up, pack, sort, freeze."""
    async with _services(Files(size), folder) as services:
        job = definition()
        control = stages.open_control(services)
        with stopwatch() as watch:
            _, manifest = await stages.plan_run(job, job.parse(ARGUMENTS), services, control, run_id=RUN_ID)
        peak = peak_mib()
        _expect(size, manifest.items)
        items = control.manifests(RUN_ID).items(manifest)
        numbers = ((item.item_id, _number(item.payload["files"][0]["source_key"])) async for item in items)
        await Index.write(folder / "index", numbers)
    return Figure(
        "plan, get_s3_files", "items/s", size, watch.speed(size), watch.cpu_us(size), None, peak, PLAN_LIMIT_MIB
    )


async def gather(size: int, folder: Path) -> Figure:
    """Gather what `plan` froze, every item done: join, manifests as NDJSON and Parquet, catalog, report, flag."""
    index = Index(folder / "index")
    done = RunLayout(SETTINGS.control_prefix, RUN_ID).done
    control_store = MadeUpMarkers("control", folder, done, index, Files(size).marker)
    async with _services(Files(size), folder, control=control_store) as services:
        control = stages.open_control(services)
        with stopwatch() as watch:
            finished = await stages.finish_run(definition(), services, control, RUN_ID)
        _expect(size, finished.run.counts["done_items"])
        _expect(1, len(finished.run.commits))
    speed, cpu = watch.speed(size), watch.cpu_us(size)
    return Figure("gather, get_s3_files", "items/s", size, speed, cpu, None, peak_mib())


async def export(size: int, folder: Path) -> Figure:
    """Export `size` rows of one agency from Postgres to a store that only counts; beside a bare read of the cursor."""
    url = os.environ["PIPELINE_DATABASE_URL"]
    await _fill(url, size)
    database = Database(url)
    try:
        repository = EmploymentHistoryRepository(database, queries_dir=None)
        store = DiskStore("destination", folder)
        processor = EmploymentHistoryProcessor(
            EmploymentHistoryConfig(), lambda: repository, lambda _: store, SystemClock()
        )
        item = Item("employment_history", "bench", Export("destination").as_json())
        with stopwatch() as watch:
            result = await processor.process(item)
        peak = peak_mib()
        _expect(size, result.details["rows"])
        with stopwatch() as bare:
            _expect(size, sum([1 async for _ in repository.rows("bench")]))
    finally:
        await database.aclose()
    speed, cpu = watch.speed(size), watch.cpu_us(size)
    return Figure("export, Postgres to CSV", "rows/s", size, speed, cpu, bare.speed(size), peak, EXPORT_LIMIT_MIB)


@dataclass(frozen=True)
class Files:
    """`size` files, dealt to ten agencies in blocks; everything about one follows from its number."""

    size: int

    @property
    def block(self) -> int:
        return self.size // AGENCIES

    def listing(self, prefix: str, start_after: str) -> Iterator[tuple[str, int]]:
        """Yield keys with their sizes, in order."""
        for agency in range(AGENCIES):
            folder = f"agency-{agency}/"
            is_asked_for = folder.startswith(prefix) or prefix.startswith(folder)
            if is_asked_for and (start_after <= folder or start_after.startswith(folder)):
                for number in range(agency * self.block, (agency + 1) * self.block):
                    key = f"{folder}{_name(number)}"
                    if key > start_after:
                        yield key, number

    def marker(self, item_id: str, number: int) -> bytes:
        """Return the marker of a file that was copied."""
        agency = f"agency-{number // self.block}"
        key = f"{agency}/attachments/{_name(number)}"
        output = Output("destination", key, number, etag_of(key), f"SHA256:{number:064x}", "attachment")
        files = [{"status": "copied", "reason": "", "content_type": "application/pdf"}]
        result = ItemResult(item_id, "done", {"copied": 1}, outputs=(output,), details={"files": files})
        at = "2030-01-01T00:00:00+00:00"
        return encode(Marker(RUN_ID, item_id, "s3_files", agency, "0" * 32, 1, "worker-1", "0", at, result))


def _services(files: Files, folder: Path, *, control: ObjectStore | None = None) -> ServiceHandler:
    def store(bucket: str) -> ObjectStore:
        if bucket == "source":
            return MadeUpSource(bucket, folder, files.listing)
        return control if control and bucket == "control" else DiskStore(bucket, folder)

    return ServiceHandler(SETTINGS, stores=store)


def _name(number: int) -> str:
    return f"reports/2029/case {number:09}.pdf"


def _number(key: str) -> int:
    return int(key.removesuffix(".pdf").rpartition(" ")[2])


async def _fill(url: str, size: int) -> None:
    await migrate(url)
    database = Database(url)
    await database.execute("insert into agencies values ('bench', 'bench') on conflict do nothing")
    await database.execute("delete from employment_history where agency_id = 'bench'")
    await database.execute(
        "insert into employment_history"
        " select 900000000 + n, 'bench', n % 30000, 'LASTNAME' || n % 997, 'FIRST' || n % 89,"
        " 'M', 'F', 'WHITE HISPANIC', (1950 + n % 50)::text, '2005-09-26', 'SERGEANT OF POLICE', (n % 26)::text,"
        " (date '1990-01-01' + n % 9000)::text, '' from generate_series(1, $1::int) n",
        size,
    )
    await database.aclose()


def _expect(expected: int, found: int) -> None:
    """A speed of work that was not done is none."""
    if expected != found:
        message = f"expected {expected:,}, found {found:,}: nothing was measured"
        raise AssertionError(message)
