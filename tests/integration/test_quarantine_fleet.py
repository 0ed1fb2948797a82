"""The release loop over the real wires: the command line, the local endpoint, a worker of the fleet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import polars as pl
import pytest

from pipeline_local.commands import Commands
from quarantine_world import MENDED
from silver_world import CONTRACT, DIRTY, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import LocalStack, QueuePair  # type: ignore[attr-defined]  # mypy takes another folder's conftest

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Desk:
    """What a steward has: the command line, a contract, and a folder."""

    commands: Commands
    folder: Path
    contract: Path
    table: str
    options: dict[str, str]

    def __call__(self, *words: str, expected: int = 0) -> str:
        out: str = self.commands.run("quarantine", ["quarantine", *words], expected=expected).stdout
        return out


@pytest.fixture
def desk(local_stack: LocalStack, queue_pair: QueuePair, tmp_path: Path) -> Iterator[Desk]:
    control, bronze, silver = (f"{name}-{uuid4().hex[:12]}" for name in ("control", "bronze", "silver"))
    s3 = local_stack.client("s3")
    for bucket in (control, bronze, silver):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bronze, Key="10/people.csv", Body=PEOPLE.encode())
    s3.put_object(Bucket=bronze, Key="20/people.csv", Body=DIRTY.encode())
    environment = local_stack.environment | {
        "PIPELINE_CONTROL_BUCKET": control,
        "PIPELINE_SOURCE_BUCKET": bronze,
        "PIPELINE_SILVER_BUCKET": silver,
        "PIPELINE_LIVE_QUEUE": queue_pair.name,
        "PIPELINE_LEASE": "30s",
        "PIPELINE_HEARTBEAT": "5s",
        "PIPELINE_POLL": "1s",
        "PIPELINE_HEALTH_PORT": "0",
    }
    options = {
        "aws_endpoint_url": environment["AWS_ENDPOINT_URL"],
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        "aws_region": environment["AWS_DEFAULT_REGION"],
        "aws_allow_http": "true",
    }
    contract = tmp_path / "people.odcs.yaml"
    contract.write_text(CONTRACT)
    commands = Commands(environment, tmp_path)
    commands.run("refine", ["run", "bronze_to_silver", "--", "--contract", str(contract), "--all-agencies"])
    yield Desk(commands, tmp_path, contract, f"s3://{silver}/silver/people", options)
    commands.stop()


def test_rows_are_mended_and_released_by_the_command_line_and_by_the_fleet(desk: Desk) -> None:
    export = desk.folder / "mend.csv"
    desk("show", "--dataset", "people", "--rule", "id.type", "--export", str(export))
    export.write_text(export.read_text(encoding="utf-8-sig").replace(",x,Dee", ",8,Dee"))
    words = ("--contract", str(desk.contract), "--reason", "typo", "--by", "steward")
    desk("release", *words, "--edited", str(export))

    desk.contract.write_text(MENDED)
    desk.commands.start("worker", ["worker", "--lane", "live"])
    done = desk.commands.run(
        "fleet", ["controller", "run", "release_quarantined", "--run-id", "fleet", "--json", "--", *words], expected=3
    )
    assert {"released": 1, "still_quarantined": 1} == json.loads(done.stdout)["report"]["outcomes"]
    (people,) = json.loads(desk("list", "--all", "--json"))["datasets"]
    assert ("people", {"open": 1, "released": 2}) == (people["dataset"], people["rows"])
    table = pl.scan_delta(desk.table, storage_options=desk.options).collect()
    rows = table.filter(pl.col("_agency_id") == "20").sort("_source_row")
    assert [(1, 3, "Cid"), (2, 8, "Dee"), (4, 5, "Fay")] == rows.select("_source_row", "id", "name").rows()
