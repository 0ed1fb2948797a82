"""A tour of what the product does on AWS, each role with its own policies: all is allowed, and all is needed.

Every other scenario holds its requests against the same policies; this one also asks which permission nobody needs.
"""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import orjson
import pytest
from harness.bucket import Bucket
from harness.calls import Calls
from harness.fleet import Fleet
from harness.iam import granting
from harness.permissions import ATTACHED, denials, policies, unused
from harness.silver import SilverRun, bronze
from harness.wire import COPY, Wire, acting
from harness.world import World, execute, upload

from etl_core.aws import AwsClients
from etl_core.objects import ObjectRef
from etl_core.objects.s3 import S3Store
from etl_core.testing.faults import Delay
from etl_core.testing.objects_contract import MIB, some_bytes
from pipeline_local.resources import ensure_queue
from silver_world import CONTRACT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from harness.fleet import Run, Stack
    from harness.iam import Need, Part

pytestmark = pytest.mark.timeout(600)  # thirty processes, one after another

POISON: Final = 20_007
"""A row of agency 20's history."""
VERSIONED: Final = 2
"""An attachment of which the database knows the version, but neither size nor ETag."""
LOOKUP: Final = CONTRACT.replace(
    "    properties:\n",
    "    customProperties:\n"
    "      - property: references\n"
    "        value: [{name: names, path: 's3://BUCKET/names.csv'}]\n"
    "    properties:\n"
    "      - name: called\n"
    "        logicalType: string\n"
    "        customProperties:\n"
    "          - property: lookup\n"
    "            value: {reference: names, on: {name: name}, take: called}\n",
)

SPARED: Final = {
    ("*", "s3:AbortMultipartUpload"): "asked when an upload of more than 8 MiB fails: a test below makes one",
    ("*", "arn:*:backfill"): "the live lane's twin: test_aws_policies.py sees that they are allowed alike",
    ("*", "arn:*:backfill-dlq"): "the live lane's twin, too",
    ("Sweep", "*/_delta_log/*"): "asked for log entries of more than 30 days: no clock of a test is that far ahead",
}
"""Statement and part, with wildcards -> why the tour does not need it."""


@pytest.fixture(scope="module")
def tour(
    local_stack: Stack, world: World, new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Calls]:
    """What the roles have asked of AWS after one of everything."""
    folder = tmp_path_factory.mktemp("tour")
    with Fleet(local_stack, World(world.source_bucket, new_database()), folder) as fleet:
        backfill = f"{fleet.queue}-backfill"
        ensure_queue(fleet.sqs, backfill, lease="4", max_receive_count=8)
        fleet.names |= {backfill: "backfill", f"{backfill}-dlq": "backfill-dlq"}
        fleet.environment["PIPELINE_BACKFILL_QUEUE"] = backfill
        files = _files(fleet)
        _tables(fleet, folder, files)
        yield fleet.calls


def _files(fleet: Fleet) -> Run:
    """Copy files, with one that goes, an item that is poison and one that the queue itself moves; then mend them."""
    source = fleet.bucket("source")
    upload(fleet.s3, source.name)
    fleet.world = World(source.name, fleet.world.database_url)
    _history_starts(fleet, "unknown")
    version = fleet.s3.head_object(Bucket=source.name, Key="10/with space.pdf")["VersionId"]
    execute(fleet.world.database_url, ("update attachments set version_id = $1 where id = $2", [(version, VERSIONED)]))
    run = fleet.run("files")
    run.start("--no-wait").ends()
    _move_one(fleet)
    gone = {"Bucket": source.name, "Key": "30/plain.txt"}
    marker = fleet.s3.delete_object(**gone)["VersionId"]
    fleet.worker_wire.add(acting(Delay(timedelta(seconds=2)), COPY, times=1))  # longer than a heartbeat
    worker = fleet.worker()
    fleet.await_empty_queue()
    fleet.start("controller", "reconcile").ends()
    fleet.start("controller", "status", "--run-id", run.run_id).ends(3)
    fleet.start("dlq", "show", "moved").ends()
    fleet.start("dlq", "monitor", "--once", role="monitor").ends()
    _history_starts(fleet, "")
    fleet.start("dlq", "redrive", "--all", "--yes").ends()
    fleet.await_empty_queue()
    run.gather().ends(3)
    worker.stop()
    fleet.s3.delete_object(**gone, VersionId=marker)
    run.beside("inline").inline("--destination-prefix", "nested").ends()
    return run


def _history_starts(fleet: Fleet, date: str) -> None:
    execute(fleet.world.database_url, ("update employment_history set start_date = $1 where id = $2", [(date, POISON)]))


def _move_one(fleet: Fleet) -> None:
    """Do with one message, not the poison, what SQS does with one that was received too often."""
    queue = {"QueueUrl": fleet.queue_url}
    messages = fleet.sqs.receive_message(**queue, MaxNumberOfMessages=10)["Messages"]
    moved = next(message for message in messages if orjson.loads(message["Body"])["agency_id"] != "20")
    fleet.sqs.send_message(QueueUrl=fleet.dead_letter_url, MessageBody=moved["Body"])
    fleet.sqs.delete_message(**queue, ReceiptHandle=moved["ReceiptHandle"])
    for message in messages:
        if message is not moved:
            fleet.sqs.change_message_visibility(**queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)


def _tables(fleet: Fleet, folder: Path, files: Run) -> None:
    """Refine, release, merge, refine what changed, take that back, and sweep."""
    run, worker = SilverRun.make(fleet, folder), fleet.worker()
    fleet.s3.put_object(Bucket=run.bronze.name, Key="names.csv", Body=b"name,called\nPerson 1,First\n")
    run.contract.write_text(LOOKUP.replace("BUCKET", run.bronze.name))
    buckets = {"PIPELINE_SILVER_BUCKET": run.destination.name, "PIPELINE_DESTINATION_BUCKET": files.destination.name}
    contract = ("--contract", str(run.contract), "--silver-bucket", run.destination.name)
    run.start().ends()
    fleet.start("doctor", environment=buckets).ends()
    fleet.start("quarantine", "list", "--silver-bucket", run.destination.name, role="controller").ends()
    fleet.start("quarantine", "release", *contract, "--reason", "to see that they still fail").ends(3)
    fleet.start("run", "optimize", "--", *contract, role="tables").ends()
    (changed, *_) = bronze()
    run.put({changed: bronze(version=1)[changed]})
    later = run.another("later")
    later.start().ends()
    fleet.start("backfill", "plan", "--all", "--source-bucket", run.bronze.name, *contract).ends()
    fleet.start("backfill", "rollback", later.run_id, "--yes", *contract).ends()
    fleet.start("run", "vacuum", "--", *contract, "--retention", "0d", "--i-know", "--yes", role="tables").ends()
    worker.stop()
    plain = SilverRun.make(fleet, folder, "plain")
    fleet.start("run", "bronze_to_silver", "--", *plain.arguments, "--format", "parquet").ends()
    of_plain = ("--dataset", "people", "--silver-bucket", plain.destination.name, "--format", "parquet")
    fleet.start("run", "optimize", "--", *of_plain, role="tables").ends()


def test_everything_that_a_role_asks_for_is_allowed_to_it(tour: Calls) -> None:
    assert [] == denials(tour)


def test_every_part_of_every_policy_is_needed_or_its_reason_is_told(tour: Calls) -> None:
    spared = {reason: {part for part in unused(tour) if _is_spared(part, by=reason)} for reason in SPARED}

    assert set() == unused(tour) - set().union(*spared.values())
    assert [] == [reason for reason, parts in spared.items() if not parts], "it is needed, after all"


def test_whichever_part_of_a_policy_is_dropped_some_call_is_denied(tour: Calls) -> None:
    used = {part: [] for role in ATTACHED for policy in policies(role) for part in policy.allowed()}
    for role, need in tour.needs():
        for part in granting(policies(role), need):
            used[part].append((role, need))

    missed = [part for part, calls in used.items() if calls and not _is_missed(part, calls)]

    assert [] == missed, "another statement allows the same: one of them is too much"


def test_a_call_that_is_not_allowed_fails_its_scenario_by_name(
    local_stack: Stack, world: World, tmp_path: Path
) -> None:
    with (
        pytest.raises(
            AssertionError, match=r"^keda may not s3:ListBucket on arn:aws:s3:::control.*docs/aws/keda\.json"
        ),
        Fleet(local_stack, world, tmp_path) as fleet,
    ):
        fleet.start("controller", "status", role="keda").ends()


@pytest.mark.usefixtures("aws_environment")
async def test_uploads_and_copies_in_parts_ask_for_what_the_policies_are_written_for(local_stack: Stack) -> None:
    """Too large for a scenario: the adapters themselves."""
    calls = Calls(names := {})
    buckets = [Bucket.make(f"parts-{kind}-{uuid4().hex[:8]}", local_stack.client("s3")).name for kind in ("a", "b")]
    names |= dict(zip(buckets, ("source", "destination"), strict=True))
    with Wire.to(local_stack.endpoint_url, calls) as wire:
        clients = AwsClients(endpoint_url=wire.url)
        source, destination = (S3Store(clients, name, copy_limit=6 * MIB, part_size=5 * MIB) for name in buckets)
        info = await source.upload("10/k", some_bytes(11 * MIB))
        copy = ObjectRef(buckets[0], "10/k", etag=info.etag, version_id=info.version_id)
        await destination.copy(copy, "10/attachments/k", info=info, metadata={})
        with pytest.raises(ArithmeticError):
            await destination.upload("10/attachments/k", _broken(11 * MIB))
        await clients.aclose()

    assert [] == calls.unmapped()
    asked = {need for _, need in calls.needs() if ":destination/" in need.resource or "Get" in need.action}
    assert {"GetObject", "GetObjectVersion", "GetObjectVersionTagging", "PutObject", "AbortMultipartUpload"} == {
        need.action.removeprefix("s3:") for need in asked
    }
    assert [] == [need for need in asked if not granting(policies("worker"), need)]


async def _broken(size: int) -> AsyncIterator[bytes]:
    async for chunk in some_bytes(size):
        yield chunk
    raise ArithmeticError


def _is_spared(part: Part, *, by: tuple[str, str]) -> bool:
    return all(fnmatchcase(text, pattern) for text, pattern in zip(part[1:], by, strict=True))


def _is_missed(part: Part, calls: list[tuple[str, Need]]) -> bool:
    """Say whether one of the calls is denied once the part is dropped."""
    without = {role: [policy.without(part) for policy in policies(role)] for role in {role for role, _ in calls}}
    return any(not granting(without[role], need) for role, need in calls)
