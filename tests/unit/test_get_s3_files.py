"""The main job, inline, on memory adapters: arguments, plan, results, publish."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from etl_core.errors import AccessDenied, ConfigError
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.jobs.get_s3_files import JOB, GetS3Files
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings
from pipeline_processing.stages import run_inline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_core.objects import Blob

S3_ARGS = ("--attachments-from", "s3", "--source-bucket", "src", "--destination-bucket", "dst")


def settings(**given: str | None) -> Settings:
    chosen: dict[str, Any] = {"control_bucket": "ctl", "source_bucket": "src", "destination_bucket": "dst", **given}
    return Settings(**chosen)


def spec_of(*argv: str, **given: str | None) -> Mapping[str, Any]:
    return GetS3Files(settings(**given)).parse(argv)


def test_equal_arguments_give_equal_specs_however_they_are_written() -> None:
    one = spec_of("--agency-id", "10,11", "--agency-id", "9")
    other = spec_of("--agency-id=11", "--agency-id=9, 10,", "--agency-id=9", "--pack-max-bytes", "268435456", "--csv")

    assert one == other
    assert ["10", "11", "9"] == one["agencies"]


def test_a_spec_names_its_buckets_from_arguments_before_settings() -> None:
    spec = spec_of("--agency-id", "10", "--source-bucket", "mine", "--destination-prefix", "/a/b/")

    assert ("mine", "dst", "a/b") == (spec["source_bucket"], spec["destination_bucket"], spec["destination_prefix"])
    assert orjson.loads(orjson.dumps(spec)) == spec


def test_histories_are_exported_by_default_only_where_there_is_a_database() -> None:
    assert [True, False, True, False] == [
        spec_of("--all-agencies")["csv"],
        spec_of("--all-agencies", "--attachments-from", "s3")["csv"],
        spec_of("--all-agencies", "--attachments-from", "s3", "--csv")["csv"],
        spec_of("--all-agencies", "--no-csv")["csv"],
    ]


@pytest.mark.parametrize(
    ("argv", "given", "fault"),
    [
        ((), {}, "whose files"),
        (("--agency-id", " , "), {}, "whose files"),
        (("--agency-id", "1", "--all-agencies"), {}, "whose files"),
        (("--agency-id", "1"), {"source_bucket": None}, "no source bucket.*PIPELINE_SOURCE_BUCKET"),
        (("--agency-id", "1"), {"destination_bucket": None}, "no destination bucket.*--destination-bucket"),
        (("--agency-id", "1", "--destination-prefix", "a/../b"), {}, "dot segment"),
        (("--agency-id", "1", "--attachments-from", "s3", "--source-prefix", "in/"), {}, "the same for every agency"),
    ],
)
def test_a_set_of_arguments_that_can_not_be_is_one_clear_line(
    argv: tuple[str, ...], given: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault) as caught:
        spec_of(*argv, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "argv",
    [("--pack-max-items", "0"), ("--pack-max-bytes", "lots"), ("--attachments-from", "ftp"), ("--agency", "1"), ("x",)],
)
def test_a_wrong_argument_exits_with_2(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        spec_of("--agency-id", "10", *argv)
    assert 2 == caught.value.code
    assert "error: " in capsys.readouterr().err


def test_discovering_the_job_imports_nothing_heavy() -> None:
    heavy = "{'pydantic', 'polars', 'asyncpg', 'aioboto3', 'botocore', 'orjson'}"
    code = f"import sys; import pipeline_processing.jobs.get_s3_files; print(sorted({heavy} & sys.modules.keys()))"

    assert "[]\n" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_job_is_declared() -> None:
    assert callable(JOB[0])
    assert "attachments" in JOB[1]


class World:
    def __init__(self) -> None:
        self.clock = FakeClock(auto_advance=True)
        self.buckets = MemoryBuckets(self.clock, strict=True)
        self.source, self.destination = self.buckets.create("src"), self.buckets.create("dst")
        self.buckets.create("ctl")

    async def run(self, *argv: str, **given: str | None) -> int:
        chosen = settings(**given)
        job = GetS3Files(chosen)
        async with ServiceHandler(chosen, clock=self.clock, stores=self.buckets.store) as services:
            return await run_inline(job, job.parse((*S3_ARGS, *argv)), services)

    async def keys(self) -> list[str]:
        return [info.key async for info in self.destination.list()]

    async def rows(self, agency_id: str) -> list[dict[str, Any]]:
        catalog = orjson.loads((await self.destination.get("catalog.json")).body)
        key = catalog["agencies"][agency_id]["attachments"]["files"][0]["key"]
        return [orjson.loads(line) for line in (await self.destination.get(key)).body.splitlines()]


async def test_the_files_of_an_agency_are_copied_and_published() -> None:
    world = World()
    for key in ("10/a.txt", "10/b/c d.txt", "11/other"):
        await world.source.put(key, key.encode())

    assert 0 == await world.run("--agency-id", "10")

    assert b"10/b/c d.txt" == (await world.destination.get("10/attachments/b/c d.txt")).body
    assert [("10/a.txt", "stored"), ("10/b/c d.txt", "stored")] == [
        (row["source_key"], row["status"]) for row in await world.rows("10")
    ]
    assert not [key for key in await world.keys() if key.startswith("11/")]


async def test_all_agencies_of_a_listing_are_run() -> None:
    world = World()
    for key in ("10/a", "11/b", "README"):
        await world.source.put(key, b"x")

    assert 0 == await world.run("--all-agencies", "--pack-max-items", "1")
    assert {"10/attachments/a", "11/attachments/b"} <= set(await world.keys())


async def test_without_a_control_bucket_the_run_still_publishes() -> None:
    world = World()
    await world.source.put("10/a", b"x")

    assert 0 == await world.run("--agency-id", "10", control_bucket=None)
    assert ["stored"] == [row["status"] for row in await world.rows("10")]


async def test_a_run_over_the_same_files_leaves_the_same_bytes() -> None:
    world = World()
    await world.source.put("10/a", b"x")
    await world.run("--agency-id", "10", "--pack-max-items", "1")
    first = {key: (await world.destination.get(key)).body for key in await world.keys() if "catalog" not in key}

    await world.run("--agency-id", "10", "--pack-max-items", "7")

    assert first == {key: (await world.destination.get(key)).body for key in await world.keys() if "catalog" not in key}


async def test_a_file_that_could_not_be_copied_makes_the_run_partly_done_and_says_why() -> None:
    world = World()
    await world.source.put("10/a", b"x")
    await world.source.put("10/cold", b"x")
    world.source.amend("10/cold", storage_class="GLACIER", is_archived=True)

    assert 3 == await world.run("--agency-id", "10")
    assert ["stored", "archived"] == [row["status"] for row in await world.rows("10")]
    assert "GLACIER" in (await world.rows("10"))[1]["reason"]


@pytest.mark.parametrize(
    ("argv", "fault"),
    [
        (("--agency-id", "1O0"), r"'1O0' is unknown, did you mean 100\?"),
        (("--agency-id", "100", "--source-bucket", "gone"), "gone"),
        (("--agency-id", "100", "--destination-bucket", "gone"), "gone"),
        (("--agency-id", "100", "--destination-bucket", "src"), "among their sources"),
        (("--agency-id", "100", "--destination-bucket", "src", "--destination-prefix", "100"), "among their sources"),
        (("--all-agencies", "--source-prefix", "nowhere/{agency_id}/"), r"there is no agency.*--source-prefix"),
    ],
)
async def test_what_is_wrong_is_said_before_anything_is_done(argv: tuple[str, ...], fault: str) -> None:
    world = World()
    await world.source.put("100/a", b"x")

    with pytest.raises(ConfigError, match=fault):
        await world.run(*argv)

    assert [] == await world.keys()
    assert [] == [info async for info in world.buckets.store("ctl").list()]


async def test_a_bucket_can_be_its_own_destination_in_a_folder_of_its_own() -> None:
    world = World()
    await world.source.put("in/10/a", b"x")
    chosen = settings(destination_bucket="src")
    job = GetS3Files(chosen)
    argv = (
        "--all-agencies",
        "--attachments-from",
        "s3",
        "--source-prefix",
        "in/{agency_id}/",
        "--destination-prefix",
        "out",
    )

    async with ServiceHandler(chosen, clock=world.clock, stores=world.buckets.store) as services:
        assert 0 == await run_inline(job, job.parse(argv), services)
    assert b"x" == (await world.source.get("out/10/attachments/a")).body


class Closed(MemoryStore):
    async def get(self, key: str) -> Blob:
        raise AccessDenied(f"{self.bucket}/{key}: GetObject is denied")


async def test_a_closed_bucket_is_a_fault_of_the_settings() -> None:
    world, chosen = World(), settings()
    await world.source.put("10/a", b"x")
    job = GetS3Files(chosen)

    async with ServiceHandler(chosen, stores=lambda bucket: Closed(world.buckets, bucket)) as services:
        with pytest.raises(ConfigError, match=r"GetObject is denied \(allow s3:ListBucket"):
            await anext(job.plan("r1", job.parse(("--agency-id", "10", *S3_ARGS)), services))
