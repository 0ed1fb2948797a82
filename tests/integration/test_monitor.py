"""The monitor as a process of its own, on the embedded stack: what a scrape says, outages, and how it ends."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from etl_core.testing.faults import Delay, FaultProxy, Rule, Silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import LocalStack, QueuePair

PATIENCE = 60.0
CLI = [sys.executable, "-m", "pipeline_processing.cli.main", "dlq"]
Samples = dict[tuple[str, ...], float]


class Running:
    """A monitor that runs; ``port`` is where it serves."""

    def __init__(self, environment: dict[str, str], *argv: str) -> None:
        self.popen = subprocess.Popen([*CLI, "monitor", *argv], env=environment, stderr=subprocess.PIPE, text=True)
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = self.event("health.listening")["port"]

    def _read(self) -> None:
        assert self.popen.stderr
        for line in self.popen.stderr:
            self._events.put(json.loads(line))

    def event(self, name: str) -> dict[str, Any]:
        while (event := self._events.get(timeout=PATIENCE))["event"] != name:
            pass
        return event

    def get(self, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def samples(self) -> Samples:
        """Return what a scrape brings: by name, then the values of the labels."""
        families = text_string_to_metric_families(self.get("/metrics"))
        return {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in families
            for sample in family.samples
        }

    def until(self, holds: Callable[[Samples], bool], what: str) -> Samples:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if holds(samples := self.samples()):
                return samples
            threading.Event().wait(0.1)
        pytest.fail(f"{what} did not come about")


@pytest.fixture
def environment(local_stack: LocalStack, queue_pair: QueuePair) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PIPELINE_"))}
    lane = {
        "PIPELINE_LIVE_QUEUE": queue_pair.url,
        "PIPELINE_BACKFILL_QUEUE": "",
        "PIPELINE_HEALTH_HOST": "127.0.0.1",
        "PIPELINE_HEALTH_PORT": "0",
        "PIPELINE_LOG_FORMAT": "json",
    }
    return {**own, **local_stack.environment, **lane}


@contextmanager
def running(environment: dict[str, str], *argv: str) -> Iterator[Running]:
    monitor = Running(environment, *argv)
    try:
        yield monitor
    finally:
        if monitor.popen.poll() is None:
            monitor.popen.kill()
        monitor.popen.wait()


def send(stack: LocalStack, url: str, count: int) -> None:
    sqs = stack.client("sqs")
    for start in range(0, count, 10):
        entries = [{"Id": str(n), "MessageBody": f"letter {n}"} for n in range(start, min(start + 10, count))]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)


def test_a_monitor_serves_what_a_lane_holds_and_ends_with_0(
    local_stack: LocalStack, queue_pair: QueuePair, environment: dict[str, str]
) -> None:
    before = datetime.now(UTC).timestamp()
    send(local_stack, queue_pair.url, 3)
    send(local_stack, queue_pair.dead_letter_url, 25)

    with running(environment, "--interval", "1s") as monitor:
        samples = monitor.until(lambda found: found["pipeline_monitor_refreshes_total", "live", "done"] > 0, "a look")
        assert ("ok\n", "ok\n") == (monitor.get("/healthz"), monitor.get("/readyz"))
        assert (3, 25, 0) == (
            samples["pipeline_queue_messages", "live", "visible"],
            samples["pipeline_dead_letters", "live"],
            samples["pipeline_dead_letters_unread", "live"],
        )
        age, left = (
            samples[f"pipeline_dead_letter_{name}", "live"] for name in ("oldest_age_seconds", "seconds_to_drop")
        )
        assert 0 <= age <= datetime.now(UTC).timestamp() - before + 1
        assert 14 * 86_400 == pytest.approx(age + left)
        assert samples["pipeline_monitor_refreshed_timestamp_seconds", "live"] >= int(before)

        monitor.popen.send_signal(signal.SIGTERM)
        assert 0 == monitor.popen.wait(PATIENCE)


def test_looks_at_five_hundred_letters_over_a_slow_line_leave_none_unread(
    local_stack: LocalStack, queue_pair: QueuePair, environment: dict[str, str]
) -> None:
    send(local_stack, queue_pair.dead_letter_url, 500)

    with FaultProxy.in_thread(local_stack.endpoint_url) as wire:
        wire.add(Rule(Delay(timedelta(milliseconds=50)), operation="ReceiveMessage", times=None))
        with running({**environment, "AWS_ENDPOINT_URL": wire.url}, "--interval", "1s") as monitor:
            looks = ("pipeline_monitor_refreshes_total", "live", "done")
            for count in range(1, 6):
                samples = monitor.until(lambda found, count=count: found[looks] >= count, "a look")
                assert (500, 0) == (
                    samples["pipeline_dead_letters", "live"],
                    samples["pipeline_dead_letters_unread", "live"],
                )


def test_counts_are_served_though_no_letter_can_be_read(
    local_stack: LocalStack, queue_pair: QueuePair, environment: dict[str, str]
) -> None:
    send(local_stack, queue_pair.url, 3)
    send(local_stack, queue_pair.dead_letter_url, 25)

    with FaultProxy.in_thread(local_stack.endpoint_url) as wire:
        hangs = wire.add(Rule(Silence(), operation="ReceiveMessage", times=None))
        with running({**environment, "AWS_ENDPOINT_URL": wire.url}, "--interval", "1s") as monitor:
            samples = monitor.until(
                lambda found: hangs.hits > 0 and ("pipeline_dead_letters", "live") in found, "a look that hangs"
            )
            assert (3, 25, 25) == (
                samples["pipeline_queue_messages", "live", "visible"],
                samples["pipeline_dead_letters", "live"],
                samples["pipeline_dead_letters_unread", "live"],
            )
            assert "ok\n" == monitor.get("/readyz")


def test_a_redrive_beside_a_monitor_finds_every_letter(
    local_stack: LocalStack, bucket: str, queue_pair: QueuePair, environment: dict[str, str]
) -> None:
    send(local_stack, queue_pair.dead_letter_url, 120)

    with running(environment, "--interval", "1s") as monitor:
        monitor.until(lambda found: ("pipeline_dead_letters", "live") in found, "a look")
        redrive = subprocess.run(
            [*CLI, "redrive", "--all", "--force", "--yes", "--json"],
            env={**environment, "PIPELINE_CONTROL_BUCKET": bucket},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (0, "") == (redrive.returncode, redrive.stderr)
        assert 120 == json.loads(redrive.stdout)["redriven"]
        samples = monitor.until(lambda found: not found["pipeline_dead_letters", "live"], "an empty queue")
        assert ("pipeline_dead_letter_oldest_age_seconds", "live") not in samples


def test_a_monitor_outlives_an_outage_with_its_last_numbers(
    local_stack: LocalStack, queue_pair: QueuePair, environment: dict[str, str]
) -> None:
    send(local_stack, queue_pair.dead_letter_url, 2)
    failures = ("pipeline_monitor_refreshes_total", "live", "failed")
    refreshed = ("pipeline_monitor_refreshed_timestamp_seconds", "live")

    with FaultProxy.in_thread(local_stack.endpoint_url) as wire:
        wired = {**environment, "AWS_ENDPOINT_URL": wire.url, "AWS_MAX_ATTEMPTS": "1"}
        with running(wired, "--interval", "1s") as monitor:
            monitor.until(lambda found: found.get(("pipeline_dead_letters", "live")) == 2, "a look")
            wire.call("go_away")
            samples = monitor.until(lambda found: found[failures] > 0, "a failed look")
            assert 2 == samples["pipeline_dead_letters", "live"]
            wire.call("come_back")
            monitor.until(lambda found: found[refreshed] > samples[refreshed], "a fresh look")
            assert monitor.popen.poll() is None


def test_a_monitor_whose_queue_does_not_answer_ends_with_0_all_the_same(
    local_stack: LocalStack, environment: dict[str, str]
) -> None:
    with FaultProxy.in_thread(local_stack.endpoint_url) as wire:
        hangs = wire.add(Rule(Silence(), times=None))
        with running({**environment, "AWS_ENDPOINT_URL": wire.url}, "--interval", "1s") as monitor:
            monitor.until(lambda _: hangs.hits > 0, "a look that hangs")
            monitor.popen.send_signal(signal.SIGTERM)
            assert 0 == monitor.popen.wait(PATIENCE)


def test_a_queue_that_is_not_there_is_told_with_exit_code_2(environment: dict[str, str]) -> None:
    told = subprocess.run(
        [*CLI, "monitor"],
        env={**environment, "PIPELINE_LIVE_QUEUE": "no-such-queue"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == told.returncode
    assert "no-such-queue" in told.stderr.splitlines()[-1]
