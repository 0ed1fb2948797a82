"""Bronze to silver over the real wires: a worker process, the local endpoint, and other people's readers."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import deltalake
import polars as pl
import pytest

from pipeline_local.commands import Commands
from silver_world import CONTRACT, DIRTY, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import LocalStack, QueuePair  # type: ignore[attr-defined]  # mypy takes another folder's conftest

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Fleet:
    stack: LocalStack
    commands: Commands
    contract: Path
    bronze: str
    silver: str

    @property
    def table(self) -> str:
        return f"s3://{self.silver}/silver/people"

    @property
    def options(self) -> dict[str, str]:
        environment = self.stack.environment
        return {
            "aws_endpoint_url": environment["AWS_ENDPOINT_URL"],
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
            "aws_region": environment["AWS_DEFAULT_REGION"],
            "aws_allow_http": "true",
        }

    def put(self, key: str, body: bytes) -> None:
        self.stack.client("s3").put_object(Bucket=self.bronze, Key=key, Body=body)

    def refine(self, run_id: str, *more: str, expected: int = 0) -> dict[str, Any]:
        done = self.commands.run(
            run_id,
            [
                *("controller", "run", "bronze_to_silver", "--run-id", run_id, "--json", "--"),
                *("--contract", str(self.contract), "--all-agencies", *more),
            ],
            expected=expected,
        )
        document: dict[str, Any] = json.loads(done.stdout)
        return document


@pytest.fixture
def fleet(local_stack: LocalStack, queue_pair: QueuePair, tmp_path: Path) -> Iterator[Fleet]:
    control, bronze, silver = (f"{name}-{uuid4().hex[:12]}" for name in ("control", "bronze", "silver"))
    for bucket in (control, bronze, silver):
        local_stack.client("s3").create_bucket(Bucket=bucket)
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
    contract = tmp_path / "people.odcs.yaml"
    contract.write_text(CONTRACT)
    commands = Commands(environment, tmp_path)
    yield Fleet(local_stack, commands, contract, bronze, silver)
    commands.stop()


def test_a_worker_refines_and_every_reader_sees_the_same_rows(fleet: Fleet) -> None:
    fleet.put("10/people.csv", PEOPLE.encode())
    fleet.put("20/people.csv.gz", gzip.compress(DIRTY.encode()))
    fleet.put("å b/people (1).csv", b"id;name;hired\r\n7;Hal;2007-02-03\r\n")
    fleet.commands.start("worker", ["worker", "--lane", "live"])

    outcome = fleet.refine("first")

    assert {"refined": 3} == outcome["report"]["outcomes"]
    assert 4 == outcome["report"]["published_counts"]["rows_out"]
    assert 3 == outcome["report"]["published_counts"]["quarantined"]
    polars = pl.scan_delta(fleet.table, storage_options=fleet.options).collect()
    delta = deltalake.DeltaTable(fleet.table, storage_options=fleet.options)
    assert [(1, "10"), (2, "10"), (3, "20"), (7, "å b")] == sorted(polars.select("id", "_agency_id").rows())
    assert polars.height == delta.count()

    again = fleet.refine("second")
    assert {"unchanged": 3} == again["report"]["outcomes"]
    assert delta.version() == deltalake.DeltaTable(fleet.table, storage_options=fleet.options).version()
