"""A printed Job, its pods started as processes on a real endpoint: a pod that replaces another resumes the run."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest
import yaml

from kubelet import started

if TYPE_CHECKING:
    from conftest import LocalStack  # type: ignore[attr-defined] # mypy takes another folder's conftest

COMMAND = [sys.executable, "-m", "pipeline_processing.cli.main"]
ARGS = ("--", "--agency-id", "10", "--attachments-from", "s3")


class Cluster:
    """Starts pods with what a ConfigMap would give them."""

    def __init__(self, stack: LocalStack, environment: dict[str, str]) -> None:
        self.s3 = stack.client("s3")
        self.buckets = {kind: f"{kind}-{uuid4().hex[:12]}" for kind in ("control", "source", "destination")}
        for bucket in self.buckets.values():
            self.s3.create_bucket(Bucket=bucket)
        settings = {f"PIPELINE_{kind.upper()}_BUCKET": bucket for kind, bucket in self.buckets.items()}
        self._environment = {**os.environ, **environment, **settings}

    def run(self, *argv: str) -> str:
        ran = subprocess.run([*COMMAND, *argv], env=self._environment, capture_output=True, text=True, check=False)
        assert 0 == ran.returncode, ran.stderr
        return ran.stdout

    def put(self, name: str) -> None:
        self.s3.put_object(Bucket=self.buckets["source"], Key=f"10/{name}", Body=name.encode())

    def copied(self) -> set[str]:
        found = self.s3.list_objects_v2(Bucket=self.buckets["destination"], Prefix="10/attachments/")
        return {entry["Key"].rpartition("/")[2] for entry in found.get("Contents", [])}

    def runs(self) -> set[str]:
        runs: list[dict[str, Any]] = orjson.loads(self.run("controller", "status", "--all", "--json"))
        return {run["run_id"] for run in runs}


@pytest.fixture
def cluster(local_stack: LocalStack, aws_environment: dict[str, str]) -> Cluster:
    return Cluster(local_stack, aws_environment)


def test_a_pod_that_replaces_another_resumes_its_run_and_a_new_job_of_that_name_begins_one(cluster: Cluster) -> None:
    job = yaml.safe_load(cluster.run("manifest", "get_s3_files", "--mode", "inline", *ARGS))
    cluster.put("first")
    cluster.run(*started(job, job_name="get-s3-files", uid="uid-1"))
    assert {"first"} == cluster.copied()

    cluster.put("second")
    cluster.run(*started(job, job_name="get-s3-files", uid="uid-1"))
    assert ({"first"}, {"get-s3-files-uid-1"}) == (cluster.copied(), cluster.runs())

    cluster.run(*started(job, job_name="get-s3-files", uid="uid-2"))
    assert {"first", "second"} == cluster.copied()
    assert {"get-s3-files-uid-1", "get-s3-files-uid-2"} == cluster.runs()
