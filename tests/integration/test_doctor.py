"""The doctor against a real endpoint and a real database."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import LocalStack, QueuePair  # type: ignore[attr-defined] # mypy takes another folder's conftest

COMMAND = [sys.executable, "-m", "pipeline_processing.cli.main", "doctor", "--json"]


@pytest.fixture
def environment(
    aws_environment: dict[str, str], bucket: str, queue_pair: QueuePair, database_url: str
) -> dict[str, str]:
    return {
        **os.environ,
        **aws_environment,
        "PIPELINE_CONTROL_BUCKET": bucket,
        "PIPELINE_SOURCE_BUCKET": bucket,
        "PIPELINE_DESTINATION_BUCKET": bucket,
        "PIPELINE_LIVE_QUEUE": queue_pair.name,
        "PIPELINE_BACKFILL_QUEUE": queue_pair.url,
        "PIPELINE_DATABASE_URL": database_url,
    }


def _doctor(environment: dict[str, str], *argv: str) -> tuple[int, dict[str, dict[str, Any]]]:
    ran = subprocess.run([*COMMAND, *argv], env=environment, capture_output=True, text=True, check=False)
    assert "" == ran.stderr
    document = orjson.loads(ran.stdout)
    assert ran.returncode == document["exit_code"]
    return ran.returncode, {check["subject"]: check for check in document["checks"]}


def test_the_local_stack_is_well_and_the_doctor_leaves_nothing_behind(
    environment: dict[str, str], bucket: str, local_stack: LocalStack
) -> None:
    code, checks = _doctor(environment)

    assert 0 == code, checks
    assert {"ok"} == {check["state"] for check in checks.values()}
    assert {
        "settings",
        "aws",
        "control",
        "live",
        "live dead letters",
        "backfill",
        "database",
        "job get_s3_files",
    } <= set(checks)
    assert f"{bucket}: may list, create, create once, compare, set, read, delete" == checks["control"]["message"]
    assert 0 == local_stack.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"]


def test_what_is_down_missing_or_unsafe_is_told_at_once(
    environment: dict[str, str], queue_pair: QueuePair, local_stack: LocalStack
) -> None:
    sqs = local_stack.client("sqs")
    sqs.set_queue_attributes(QueueUrl=queue_pair.dead_letter_url, Attributes={"MessageRetentionPeriod": str(4 * 86400)})
    broken = {
        "PIPELINE_CONTROL_BUCKET": "no-such-bucket-anywhere",
        "PIPELINE_BACKFILL_QUEUE": "no-such-queue",
        "PIPELINE_DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:9/none",
        "PIPELINE_MAX_ATTEMPTS": "7",
    }

    code, checks = _doctor({**environment, **broken})

    assert 2 == code
    assert ["fault", "fault", "down"] == [checks[name]["state"] for name in ("control", "backfill", "database")]
    assert {"live dead-letters-are-kept", "live receives-exceed-attempts"} == {
        subject for subject, check in checks.items() if check["state"] == "unsafe"
    }
    assert "secret" not in str(checks)


def test_a_service_that_is_down_is_another_exit_code_than_a_fault(environment: dict[str, str]) -> None:
    code, checks = _doctor({**environment, "PIPELINE_DATABASE_URL": "postgresql://u:p@127.0.0.1:9/none"})

    assert (1, "down") == (code, checks["database"]["state"])


def test_a_replaced_query_with_other_columns_is_a_fault_that_lists_both(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "attachments.sql").write_text(
        "-- name: agencies\nselect id::text as agency from agencies;\n"
        "-- name: get_attachment_files_for_s3_processing\nselect 1 as one where $1::text is null;\n"
    )
    (tmp_path / "employment_history.sql").write_text("-- name: employment_history\nselect 1 as one;\n")

    code, checks = _doctor({**environment, "PIPELINE_QUERIES_DIR": str(tmp_path)})

    assert (2, "fault") == (code, checks["database"]["state"])
    assert "the query returns the columns agency; expected agency_id, name" in checks["database"]["message"]


def test_without_credentials_or_region_it_says_so_once(environment: dict[str, str]) -> None:
    bare = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    bare |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none"}

    code, checks = _doctor(bare, "--without", "database")
    assert (2, "S3: no AWS region") == (code, checks["aws"]["message"])
    assert "skipped" == checks["control"]["state"]

    code, checks = _doctor({**bare, "AWS_DEFAULT_REGION": "eu-west-1"}, "--without", "database")
    assert (2, "S3: no AWS credentials") == (code, checks["aws"]["message"])
