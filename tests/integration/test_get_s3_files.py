"""The main job on a real Postgres and a real endpoint: from both sources, with a poison item, in bounded memory."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from etl_core.database import Database
from pipeline_processing.jobs.get_s3_files import GetS3Files
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings
from pipeline_processing.stages import run_inline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import LocalStack  # type: ignore[attr-defined]  # mypy takes another folder's conftest

ODD_NAMES = (
    "plain.txt",
    "  leading and trailing  ",
    "ünïcödé 文書.pdf",
    "a+b%20c&d=e?f#g.json",
    "folder/",
    "deep/er/still.bin",
    "..hidden",
    "a//b",
    "'quotes\" and \\",
    "x" * 980,
)
MEBIBYTE = 1024 * 1024
MEMORY_LIMIT = 200 * MEBIBYTE


@dataclass
class World:
    """Fresh buckets and a fresh database, and the settings that name them."""

    s3: Any
    settings: Settings
    database: Database
    source: str
    destination: str

    async def attach(self, number: int, agency_id: str, key: str, body: bytes | None) -> None:
        """Make an attachment; without a body its object is missing."""
        if body is not None:
            self.s3.put_object(Bucket=self.source, Key=key, Body=body, Metadata={"owner": "clerk"})
        await self.database.fetch(
            "insert into attachments (id, agency_id, source_key) values ($1::int, $2::text, $3::text) returning id",
            number,
            agency_id,
            key,
        )

    async def run(self, *argv: str, run_id: str | None = None) -> int:
        job = GetS3Files(self.settings)
        async with ServiceHandler(self.settings, database=self.database) as services:
            return await run_inline(job, job.parse(argv), services, run_id=run_id)

    def body(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self.destination, Key=key)["Body"].read()
        return body

    def written(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.destination)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def part(self, agency_id: str, name: str) -> dict[str, Any]:
        part: dict[str, Any] = json.loads(self.body("catalog.json"))["agencies"][agency_id][name]
        return part

    def rows(self, agency_id: str) -> list[dict[str, Any]]:
        key = self.part(agency_id, "attachments")["files"][0]["key"]
        return [json.loads(line) for line in self.body(key).splitlines()]

    def failed(self, run_id: str) -> list[tuple[str, str]]:
        """Return the inputs that the run's report names, with their status."""
        prefix, bucket = self.settings.control_prefix, self.settings.control_bucket
        report = self.s3.get_object(Bucket=bucket, Key=f"{prefix}/runs/{run_id}/report.json")["Body"].read()
        return [(problem["name"], problem["status"]) for problem in json.loads(report)["problems"]]

    def history(self, agency_id: str) -> list[list[str]]:
        key = self.part(agency_id, "employment_history")["files"][0]["key"]
        return list(csv.reader(io.StringIO(self.body(key).decode(), newline=""), strict=True))


@pytest.fixture
async def world(local_stack: LocalStack, aws_environment: dict[str, str], database_url: str) -> AsyncIterator[World]:
    s3 = local_stack.client("s3")
    name = database_url.rpartition("_")[2]
    buckets = {kind: f"{kind}-{name}" for kind in ("source", "destination", "control")}
    for bucket in buckets.values():
        s3.create_bucket(Bucket=bucket)
    settings = Settings(
        control_bucket=buckets["control"],
        source_bucket=buckets["source"],
        destination_bucket=buckets["destination"],
        max_attempts=2,
    )
    database = Database(database_url)
    await database.execute("insert into agencies values ('10', 'Springfield'), ('11', 'Shelbyville'), ('12', 'Empty')")
    yield World(s3, settings, database, buckets["source"], buckets["destination"])
    await database.aclose()


async def test_every_attachment_arrives_under_its_own_name_whatever_that_is(world: World) -> None:
    for number, name in enumerate(ODD_NAMES):
        await world.attach(number, "10", f"10/{name}", b"" if name == "folder/" else name.encode())

    assert 0 == await world.run("--agency-id", "10", "--pack-max-items", "4")

    for name in ODD_NAMES:
        assert (b"" if name == "folder/" else name.encode()) == world.body(f"10/attachments/{name}")
    assert {"stored"} == {row["status"] for row in world.rows("10")}
    head = world.s3.head_object(Bucket=world.destination, Key="10/attachments/plain.txt")
    assert {"owner": "clerk", "source-bucket": world.source, "source-key": "10/plain.txt"}.items() <= head[
        "Metadata"
    ].items()


async def test_a_second_run_copies_nothing_and_changes_no_byte(world: World) -> None:
    for number, name in enumerate(ODD_NAMES):
        await world.attach(number, "10", f"10/{name}", name.encode())
    await world.database.execute("insert into employment_history (id, agency_id, unit) values (1, '10', '5')")
    await world.run("--agency-id", "10", run_id="one")
    first = {key: world.s3.head_object(Bucket=world.destination, Key=key)["LastModified"] for key in world.written()}
    rows = world.rows("10")

    assert 0 == await world.run("--agency-id", "10", run_id="two")

    assert set(first) == set(world.written())
    assert rows == world.rows("10")
    assert "two" == world.part("10", "attachments")["run_id"]


async def test_what_became_of_each_attachment_is_in_the_manifest_and_what_failed_in_the_report(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.attach(1, "10", "10/there", b"x")
    await world.attach(2, "10", "10/gone", None)
    await world.attach(3, "10", "there", b"other")
    await world.database.execute("update attachments set etag = 'another', size_bytes = 1 where id = 3")
    await world.attach(4, "10", "10/stale", b"new")
    await world.database.execute("update attachments set etag = 'old', size_bytes = 3 where id = 4")

    assert 3 == await world.run("--agency-id", "10", run_id="one")

    failed = [("10/gone", "missing"), ("10/stale", "changed"), ("there", "collision")]
    assert failed == world.failed("one")
    assert "missing 10/gone (agency 10): the source is not there" in capsys.readouterr().out
    assert [("2", "missing"), ("4", "changed"), ("1", "stored"), ("3", "collision")] == [
        (row["attachment_id"], row["status"]) for row in world.rows("10")
    ]
    assert [key for key in world.written() if "/attachments/" in key] == ["10/attachments/there"]


async def test_a_run_that_is_not_published_names_its_failed_files_too(world: World) -> None:
    await world.attach(1, "10", "10/gone", None)
    await world.database.execute(
        """insert into employment_history (id, agency_id, last_name, start_date) values
           (1, '10', 'One', 'unknown')"""
    )

    assert 3 == await world.run("--agency-id", "10", run_id="one")

    assert "catalog.json" not in world.written()
    assert [("10/gone", "missing")] == world.failed("one")


async def test_a_poison_row_buries_its_agency_s_export_alone_until_it_is_mended(world: World) -> None:
    await world.attach(1, "10", "10/a", b"x")
    await world.database.execute(
        """insert into employment_history (id, agency_id, last_name, start_date) values
           (1, '10', '=cmd()', '2020-01-01'), (2, '10', 'Two', 'unknown'), (3, '11', 'Three', '2020-01-01')"""
    )
    argv = ("--all-agencies", "--formula-safe")

    assert 3 == await world.run(*argv, run_id="run")
    control = world.settings.control_bucket
    dossiers = world.s3.list_objects_v2(Bucket=control, Prefix="pipeline/runs/run/dead/")["Contents"]
    (dossier,) = [world.s3.get_object(Bucket=control, Key=entry["Key"])["Body"].read() for entry in dossiers]
    assert b"22007" in dossier
    assert b"unknown" not in dossier

    await world.database.execute("update employment_history set start_date = '' where id = 2")
    assert 0 == await world.run(*argv, run_id="run")

    header, one, two = world.history("10")
    assert ("row_id", "end_date") == (header[0], header[-1])
    assert [("1", "'=cmd()", "2020-01-01"), ("2", "Two", "")] == [(row[0], row[3], row[12]) for row in (one, two)]
    assert ["row_id", "3"] == [row[0] for row in world.history("11")]


async def test_an_empty_agency_is_a_clear_no_op(world: World) -> None:
    assert 0 == await world.run("--agency-id", "12")
    assert [] == world.written()


async def test_a_source_in_the_folder_that_is_written_into_is_never_overwritten(world: World) -> None:
    inside = "out/10/attachments/a"
    await world.attach(1, "10", "10/a", b"new")
    await world.attach(2, "10", inside, b"the only one")
    await world.attach(3, "10", "10/b", b"first")
    same_bucket = ("--destination-bucket", world.source, "--destination-prefix", "out")

    assert 3 == await world.run("--agency-id", "10", "--no-csv", *same_bucket, run_id="r1")

    assert b"the only one" == world.s3.get_object(Bucket=world.source, Key=inside)["Body"].read()
    assert b"first" == world.s3.get_object(Bucket=world.source, Key="out/10/attachments/b")["Body"].read()
    assert {("10/a", "collision"), (inside, "unsafe_key")} == set(world.failed("r1"))

    world.s3.put_object(Bucket=world.source, Key="10/b", Body=b"second")
    assert 3 == await world.run("--agency-id", "10", "--no-csv", *same_bucket, run_id="r2")
    assert b"second" == world.s3.get_object(Bucket=world.source, Key="out/10/attachments/b")["Body"].read()


async def test_a_listing_and_the_database_lead_to_the_same_copies(world: World) -> None:
    for number, name in enumerate(ODD_NAMES):
        await world.attach(number, "10", f"10/{name}", name.encode())
    await world.run("--agency-id", "10", "--destination-prefix", "db", "--no-csv")

    await world.run("--agency-id", "10", "--destination-prefix", "s3", "--attachments-from", "s3")

    copies = {
        prefix: {
            key.removeprefix(prefix): world.body(key)
            for key in world.written()
            if key.startswith(f"{prefix}/10/attachments/")
        }
        for prefix in ("db", "s3")
    }
    assert len(ODD_NAMES) == len(copies["db"])
    assert copies["db"] == copies["s3"]


@pytest.mark.parametrize(
    "command",
    [
        ("pipeline_processing.cli.main",),
        ("pipeline_processing.cli.get_s3_files",),
        ("pipeline_processing.cli.main", "run", "get_s3_files", "--"),
    ],
)
async def test_every_way_in_runs_it_in_one_process(world: World, database_url: str, command: tuple[str, ...]) -> None:
    await world.attach(1, "10", "10/a", b"x")
    environment = os.environ | {"PIPELINE_DATABASE_URL": database_url}
    environment.pop("PIPELINE_CONTROL_BUCKET", None)
    buckets = ("--source-bucket", world.source, "--destination-bucket", world.destination)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command, "--agency-id", "10", *buckets, "--json"),
        env=environment,
        stdout=PIPE,
        stderr=PIPE,
    )
    output, errors = await process.communicate()

    assert 0 == process.returncode, errors.decode()
    assert json.loads(output)
    assert b"x" == world.body("10/attachments/a")


EXPORT_A_MILLION = r"""
import asyncio, json, re
from pathlib import Path

from pipeline_processing.model import Item
from pipeline_processing.processors.get_s3_files.employment_history import (
    EmploymentHistoryConfig, EmploymentHistoryProcessor, Export,
)
from pipeline_processing.service_handler import ServiceHandler


async def main():
    async with ServiceHandler() as services:
        processor = EmploymentHistoryProcessor(
            EmploymentHistoryConfig(), lambda: services.employment_history, services.store, services.clock
        )
        export = Export(services.settings.destination_bucket)
        return await processor.process(Item("employment_history", "10", export.as_json()))


result = asyncio.run(main())
# Not ru_maxrss: that of a new program may still be its parent's.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"peak": peak, "rows": result.details["rows"], "size": result.outputs[0].size}))
"""


A_MILLION_ROWS = """
-- name: employment_history
select n::text as row_id, $1::text as agency_id, (n / 4)::text as employee_id, 'Last name ' || n as last_name,
       'First ' || n % 1000 as first_name, 'Q' as middle_initial, 'F' as gender, 'WHITE HISPANIC' as race,
       '1971.0' as birth_year, '2005-09-26' as appointed_date, 'SERGEANT' as rank, (n % 30)::text as unit,
       '2007-03-29' as start_date, null::text as end_date
  from generate_series(1, 1000000) n
 order by n
"""


async def test_a_million_rows_are_exported_in_200_mebibytes(world: World, database_url: str, tmp_path: Path) -> None:
    (tmp_path / "employment_history.sql").write_text(A_MILLION_ROWS)
    environment = os.environ | {
        "PIPELINE_DATABASE_URL": database_url,
        "PIPELINE_QUERIES_DIR": str(tmp_path),
        "PIPELINE_DESTINATION_BUCKET": world.destination,
    }

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EXPORT_A_MILLION, env=environment, stdout=PIPE, stderr=PIPE
    )
    output, errors = await process.communicate()
    assert 0 == process.returncode, errors.decode()
    told = json.loads(output)

    assert 1_000_000 == told["rows"]
    assert told["size"] > 50 * MEBIBYTE
    assert told["peak"] <= MEMORY_LIMIT
