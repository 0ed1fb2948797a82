"""`pipeline-processing backfill` as it is typed: planned, run by a fleet, rolled back; optimize and vacuum after it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import orjson
import polars as pl
import pytest

from backfill_world import CONTRACT, UPPER
from pipeline_local.commands import Commands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import LocalStack, QueuePair  # type: ignore[attr-defined]  # mypy takes another folder's conftest
    from pipeline_processing.model import Json

pytestmark = pytest.mark.timeout(300)


class Typed:
    """What a person types; the worker is a process of its own."""

    def __init__(self, folder: Path, commands: Commands, stack: LocalStack, silver: str) -> None:
        self.folder, self.stack, self._commands, self._silver = folder, stack, commands, silver

    def contract(self, text: str) -> None:
        (self.folder / "people.odcs.yaml").write_text(text, encoding="utf-8")

    def says(self, *arguments: str, code: int = 0) -> Json:
        out = self._commands.run(" ".join(arguments[:3]), list(arguments), expected=code).stdout
        return orjson.loads(out) if out.startswith("{") else out

    def rows(self) -> list[tuple[int, str]]:
        environment = self.stack.environment
        options = {
            "aws_endpoint_url": environment["AWS_ENDPOINT_URL"],
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
            "aws_region": environment["AWS_DEFAULT_REGION"],
            "aws_allow_http": "true",
        }
        table = pl.scan_delta(f"s3://{self._silver}/silver/people", storage_options=options)
        return table.select("id", "unit").sort("id").collect().rows()


BEFORE, AFTER = [(1, "north"), (2, "west")], [(1, "NORTH"), (2, "WEST")]
PEOPLE = ("--dataset", "people")
EVERYBODY = (*PEOPLE, "--all-agencies")


@pytest.fixture
def typed(local_stack: LocalStack, queue_pair: QueuePair, tmp_path: Path) -> Iterator[Typed]:
    """Two files, published by the first contract, and a worker of the backfill lane."""
    control, bronze, silver = (f"{name}-{uuid4().hex[:12]}" for name in ("control", "bronze", "silver"))
    s3 = local_stack.client("s3")
    for bucket in (control, bronze, silver):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bronze, Key="10/a.csv", Body=b"id,unit,name\n1,north,Ann\n")
    s3.put_object(Bucket=bronze, Key="10/b.csv", Body=b"id,unit,name\n2,west,Bob\n")
    environment = {
        "PIPELINE_CONTROL_BUCKET": control,
        "PIPELINE_SOURCE_BUCKET": bronze,
        "PIPELINE_SILVER_BUCKET": silver,
        "PIPELINE_CONTRACTS_DIR": str(tmp_path),
        "PIPELINE_BACKFILL_QUEUE": queue_pair.name,
        "PIPELINE_LEASE": "30s",
        "PIPELINE_HEARTBEAT": "5s",
        "PIPELINE_POLL": "1s",
        "PIPELINE_HEALTH_PORT": "0",
    }
    commands = Commands(local_stack.environment | environment, tmp_path)
    commands.start("worker", ["worker", "--lane", "backfill"])
    typed = Typed(tmp_path, commands, local_stack, silver)
    typed.contract(CONTRACT)
    typed.says("run", "bronze_to_silver", "--", *EVERYBODY, "--run-id", "live-1")
    yield typed
    commands.stop()


def test_a_backfill_is_planned_run_by_a_fleet_and_rolled_back(typed: Typed) -> None:
    typed.contract(UPPER)
    planned = typed.says("backfill", "plan", *EVERYBODY, "--stale", "--json")
    assert (2, 2) == (planned["total"]["files"], planned["total"]["published_rows"])
    assert [{"unit": 1}, {"unit": 1}] == [one["difference"]["by_column"] for one in planned["sample"]]
    assert BEFORE == typed.rows()

    ended = typed.says("backfill", "run", *EVERYBODY, "--stale", "--run-id", "backfill-1", "--json")
    report = ended["report"]
    assert ("published", "backfill", {"refined": 2}) == (ended["state"], report["lane"], report["outcomes"])
    assert AFTER == typed.rows()

    undone = typed.says("backfill", "rollback", "backfill-1", *PEOPLE, "--yes", "--json")
    assert "rolled back" == undone["tables"][0]["state"]
    assert BEFORE == typed.rows()

    ended = typed.says("backfill", "run", "--inline", *EVERYBODY, "--stale=contract", "--json")
    assert {"refined": 2} == ended["report"]["outcomes"]
    merged = typed.says("run", "optimize", "--", *PEOPLE, "--json")["tables"]
    assert [(2, 1)] == [(one["files before"], one["files after"]) for one in merged if one["files before"]]
    swept = typed.says("run", "vacuum", "--", *PEOPLE, "--retention", "0s", "--i-know", "--yes", "--json")["tables"]
    assert swept[0]["files swept"] >= 4
    assert AFTER == typed.rows()
    typed.says("backfill", "rollback", "nobody", *PEOPLE, "--yes", code=2)
