"""A worker as a process of its own, on the embedded stack: signals, probes, exit codes, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from pipeline_processing.layout import RunLayout
from pipeline_processing.messages import PROCESSOR, encode
from pipeline_processing.model import Item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import LocalStack, QueuePair

RUN = RunLayout("pipeline", "r1")
PATIENCE = 60.0


@dataclass
class Process:
    """A worker that runs; ``events`` fills as it logs."""

    popen: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    other_lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.other_lines.append(line)

    def event(self, name: str) -> dict[str, Any] | None:
        return next((event for event in self.events if event["event"] == name), None)


def until(holds: Callable[[], Any], what: str) -> Any:  # noqa: ANN401 - whatever it was waited for
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := holds():
            return found
        threading.Event().wait(0.05)
    pytest.fail(f"{what} did not come about")
    return None


class Fleet:
    """Queue, control bucket and processes of one test."""

    def __init__(self, stack: LocalStack, bucket: str, queues: QueuePair, folder: Path) -> None:
        self.stack, self.bucket, self.queues = stack, bucket, queues
        self.sqs, self.s3 = stack.client("sqs"), stack.client("s3")
        self.naps = folder / "naps"
        self.naps.mkdir()
        metadata = folder / "site" / "nap-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nap\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[pipeline_processing.jobs]\nnap_job = nap_job\n")
        fixtures = str(Path(__file__).parents[1] / "fixtures")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PIPELINE_"))},
            **stack.environment,
            "PYTHONPATH": os.pathsep.join((str(folder / "site"), fixtures)),
            "NAPS": str(self.naps),
            "PIPELINE_CONTROL_BUCKET": bucket,
            "PIPELINE_CONTROL_PREFIX": "pipeline",
            "PIPELINE_LIVE_QUEUE": queues.url,
            "PIPELINE_RECEIVE_WAIT": "1s",
            "PIPELINE_LEASE": "30s",
            "PIPELINE_HEARTBEAT": "5s",
            "PIPELINE_DRAIN": "2s",
            "PIPELINE_GRACE": "12s",
            "PIPELINE_HEALTH_HOST": "127.0.0.1",
            "PIPELINE_HEALTH_PORT": "0",
            "PIPELINE_LOG_FORMAT": "json",
        }
        self.processes: list[Process] = []

    def send(self, *payloads: dict[str, Any]) -> list[Item]:
        items = [Item("nap", "10", payload) for payload in payloads]
        for start in range(0, len(items), 10):
            self.sqs.send_message_batch(
                QueueUrl=self.queues.url,
                Entries=[
                    {
                        "Id": one.item_id,
                        "MessageBody": encode("r1", one, part="p"),
                        "MessageAttributes": {PROCESSOR: {"DataType": "String", "StringValue": "nap"}},
                    }
                    for one in items[start : start + 10]
                ],
            )
        return items

    def start(self, *arguments: str, **environment: str) -> Process:
        popen = subprocess.Popen(
            [sys.executable, "-m", "pipeline_processing.cli.main", "worker", *arguments],
            env={**self.environment, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        process = Process(popen)
        self.processes.append(process)
        return process

    def wait(self, process: Process) -> int:
        code = process.popen.wait(PATIENCE)
        process.reader.join()
        return code

    def started(self) -> set[str]:
        return {path.name for path in self.naps.iterdir()}

    def keys(self, folder: str) -> set[str]:
        prefix = f"{RUN.root}{folder}/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {entry["Key"].removeprefix(prefix) for page in pages for entry in page.get("Contents", ())}

    def depth(self, url: str) -> tuple[int, int]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(attributes[names[0]]), int(attributes[names[1]])


@pytest.fixture
def fleet(local_stack: LocalStack, bucket: str, queue_pair: QueuePair, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(local_stack, bucket, queue_pair, tmp_path)
    yield fleet
    for process in fleet.processes:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait()


def test_a_worker_works_its_queue_off_and_leaves(fleet: Fleet) -> None:
    items = fleet.send(*({"n": n} for n in range(60)), {"poison": "why"})
    process = fleet.start("--once", "--concurrency", "16")
    assert 0 == fleet.wait(process)
    assert {one.item_id for one in items[:-1]} == fleet.keys("done")
    assert {f"{items[-1].item_id}.json"} == fleet.keys("dead")
    assert ((0, 0), (1, 0)) == (fleet.depth(fleet.queues.url), fleet.depth(fleet.queues.dead_letter_url))
    (letter,) = fleet.sqs.receive_message(
        QueueUrl=fleet.queues.dead_letter_url, MessageAttributeNames=["All"], WaitTimeSeconds=5
    )["Messages"]
    error = json.loads(letter["MessageAttributes"]["error"]["StringValue"])
    assert ("permanent", "Permanent", "why", 1, items[-1].item_id) == tuple(
        error[name] for name in ("reason", "class", "message", "attempts", "item_id")
    )
    assert "nap" == letter["MessageAttributes"]["processor"]["StringValue"]
    settled = [event for event in process.events if event["event"] == "item.settled"]
    assert 61 == len(settled)
    assert {"run_id", "item_id", "agency_id", "delivery_id"} <= settled[0].keys()


def test_a_drain_finishes_what_it_can_gives_back_the_rest_and_buries_nothing(fleet: Fleet) -> None:
    quick, slow, *_ = fleet.send({"seconds": 1.5}, {"seconds": 3600})
    process = fleet.start()
    until(lambda: fleet.started() == {quick.item_id, slow.item_id}, "the start of both")
    process.popen.send_signal(signal.SIGTERM)
    assert 0 == fleet.wait(process)
    assert ({quick.item_id}, set(), set()) == (fleet.keys("done"), fleet.keys("failed"), fleet.keys("dead"))
    assert ((1, 0), (0, 0)) == (fleet.depth(fleet.queues.url), fleet.depth(fleet.queues.dead_letter_url))


def test_an_item_in_a_thread_that_never_ends_does_not_hold_the_exit_up(fleet: Fleet) -> None:
    (stuck,) = fleet.send({"thread": 3600})
    process = fleet.start()
    until(lambda: fleet.started() == {stuck.item_id}, "the start")
    process.popen.send_signal(signal.SIGTERM)
    assert 0 == process.popen.wait(12)
    assert (1, 0) == fleet.depth(fleet.queues.url)
    assert set() == fleet.keys("failed")


def test_a_second_signal_ends_it_at_once(fleet: Fleet) -> None:
    (slow,) = fleet.send({"seconds": 3600})
    process = fleet.start()
    until(lambda: fleet.started() == {slow.item_id}, "the start")
    process.popen.send_signal(signal.SIGINT)
    until(lambda: process.event("drain.started"), "the drain")
    process.popen.send_signal(signal.SIGTERM)
    assert 130 == fleet.wait(process)
    assert (0, 1) == fleet.depth(fleet.queues.url)  # left to its visibility
    assert set() == fleet.keys("failed")


def probe(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, ""


def test_the_probes_tell_a_working_worker_from_a_draining_one(fleet: Fleet) -> None:
    (slow,) = fleet.send({"seconds": 3600})
    process = fleet.start("--health-port", "0")
    until(lambda: fleet.started() == {slow.item_id}, "the start")
    listening = process.event("health.listening")
    assert listening is not None
    port = listening["port"]
    assert (200, 200) == (probe(port, "/healthz")[0], probe(port, "/readyz")[0])
    assert "pipeline_in_flight 1.0" in probe(port, "/metrics")[1]
    process.popen.send_signal(signal.SIGTERM)
    until(lambda: process.event("drain.started"), "the drain")
    assert (200, 503) == (probe(port, "/healthz")[0], probe(port, "/readyz")[0])
    assert 0 == fleet.wait(process)


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ((), {"PIPELINE_HEARTBEAT": "20s"}, "3 heartbeats"),
        ((), {"PIPELINE_DRAIN": "12s"}, "drain"),
        ((), {"PIPELINE_MAX_ATTEMPTS": "7"}, "maxReceiveCount"),
        ((), {"PIPELINE_MAX_ATTEMPTS": "0", "PIPELINE_LEASE": "soon"}, "PIPELINE_LEASE"),
        ((), {"PIPELINE_LIVE_QUEUE": "no-such-queue"}, "no-such-queue"),
        ((), {"PIPELINE_CONTROL_BUCKET": ""}, "PIPELINE_CONTROL_BUCKET"),
        ((), {"PIPELINE_CONTROL_BUCKET": "no-such-bucket"}, "no-such-bucket"),
        (("--lane", "backfill"), {"PIPELINE_BACKFILL_QUEUE": ""}, "PIPELINE_BACKFILL_QUEUE"),
        (("--processor-concurrency", "nab=2"), {}, "did you mean nap?"),
        (("--processor-concurrency", "nap=0"), {}, "NAME=N"),
        (("--max-idle", "soon"), {}, "duration"),
    ],
)
def test_what_can_not_work_is_refused_at_start(
    fleet: Fleet, arguments: tuple[str, ...], environment: dict[str, str], words: str
) -> None:
    fleet.send({"n": 1})
    process = fleet.start("--once", *arguments, **environment)
    assert 2 == fleet.wait(process)
    assert words in "".join(process.other_lines)
    assert (1, 0) == fleet.depth(fleet.queues.url)


DEPLOYMENT = """
lanes: {live: {}, backfill: {}}
pools:
  - {name: live, lane: live, longestItem: 2s, concurrency: 8}
  - {name: slow, lane: backfill, longestItem: 1h}
"""


@pytest.mark.parametrize(
    ("text", "pool", "words"),
    [
        (DEPLOYMENT, "lively", "one of live, slow"),
        (DEPLOYMENT, "slow", "an item may take 1h, but a drain ends after 2s"),
        (DEPLOYMENT.replace("concurrency", "concurency"), "live", "did you mean concurrency?"),
        (DEPLOYMENT + "limits: {postgresConnections: 30}", "live", "connections, but Postgres has 20"),
    ],
)
def test_a_worker_whose_deployment_is_unsafe_or_unknown_is_refused_at_start(
    fleet: Fleet, tmp_path: Path, text: str, pool: str, words: str
) -> None:
    (tmp_path / "deployment.yaml").write_text(text)
    process = fleet.start("--once", PIPELINE_DEPLOYMENT=str(tmp_path / "deployment.yaml"), PIPELINE_POOL=pool)
    assert 2 == fleet.wait(process)
    assert words in "".join(process.other_lines)


def test_what_is_unsafe_in_another_pool_is_told_and_keeps_nobody_from_work(fleet: Fleet, tmp_path: Path) -> None:
    schedules = "schedules: [{name: s, job: j, cron: 0 0 30 2 *}]\n"  # a day that never comes
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT + schedules + "limits: {postgresConnections: 0}")
    fleet.send({"n": 1})
    process = fleet.start("--once", PIPELINE_DEPLOYMENT=str(tmp_path / "deployment.yaml"), PIPELINE_POOL="live")
    assert 0 == fleet.wait(process)
    told = [event["rule"] for event in process.events if event["event"] == "settings.doubtful"]
    assert {"items-end-within-drain", "schedules"} <= set(told)
    assert (0, 0) == fleet.depth(fleet.queues.url)


def test_an_idle_worker_leaves_when_asked_to(fleet: Fleet) -> None:
    assert 0 == fleet.wait(fleet.start("--max-idle", "1s", "--queue", fleet.queues.name))


def test_two_workers_share_a_queue_and_do_each_item_once(fleet: Fleet) -> None:
    items = fleet.send(*({"seconds": 0.05, "n": n} for n in range(80)))
    processes = [fleet.start("--once", "--concurrency", "4") for _ in range(2)]
    assert [0, 0] == [fleet.wait(process) for process in processes]
    assert {one.item_id for one in items} == fleet.keys("done")
    shares = [len([e for e in process.events if e["event"] == "item.settled"]) for process in processes]
    assert 80 == sum(shares)
    assert min(shares) > 0
