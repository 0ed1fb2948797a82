"""Workers are told to stop while they are busy, or lose their leases: no work is lost, none is buried."""

from __future__ import annotations

import signal
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from harness.checks import account, assert_whole
from harness.programs import PATIENCE, until
from harness.wire import COPY, EXTEND, MARKER, acting, before

from etl_core.testing.faults import Delay, Reset, Silence

if TYPE_CHECKING:
    from harness.bucket import Stored
    from harness.fleet import Fleet
    from harness.programs import Program


def test_a_rollout_under_load_buries_nothing_and_records_no_failure(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run = fleet.run()
    fleet.worker_wire.add(acting(Delay(timedelta(milliseconds=400)), COPY, times=None))
    old = [fleet.worker("--concurrency", "3"), fleet.worker("--concurrency", "3")]
    controller = run.start()
    until(lambda: len(run.keys("done/")) >= 2, "the first markers")

    for worker in old:
        worker.signal(signal.SIGTERM)
    new = [fleet.worker(), fleet.worker()]

    for worker in old:
        worker.ends()
    controller.ends()
    fleet.await_empty_queue()
    for worker in new:
        worker.stop()
    assert any(worker.events("item.settled") for worker in new), "the rollout came too late to prove anything"
    assert_whole(run, reference)


def test_what_a_drain_can_not_finish_it_gives_back_at_once(fleet: Fleet, reference: dict[str, Stored]) -> None:
    a_long_lease = {"PIPELINE_LEASE": "10m", "PIPELINE_DRAIN": "1s", "PIPELINE_GRACE": "5s"}
    run = fleet.run()
    stuck = fleet.worker_wire.add(acting(Silence(), COPY, times=None))
    old = fleet.worker(**a_long_lease)
    controller = run.start()
    until(lambda: stuck.hits >= 3, "copies that hang")

    old.stop()
    fleet.worker_wire.clear()
    new = fleet.worker(**a_long_lease)

    controller.ends()  # long before a lease could have run out
    fleet.await_empty_queue()
    new.stop()
    assert_whole(run, reference)


def test_a_second_signal_stops_at_once(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run = fleet.run()
    stuck = fleet.worker_wire.add(acting(Silence(), COPY, times=None))
    hasty = fleet.worker()
    controller = run.start()
    until(lambda: stuck.hits >= 1, "a copy that hangs")

    hasty.signal(signal.SIGTERM)
    until(lambda: bool(hasty.events("drain.started")), "the drain")
    hasty.signal(signal.SIGTERM)

    hasty.ends(130)
    fleet.worker_wire.clear()
    patient = fleet.worker()
    controller.ends()
    fleet.await_empty_queue()
    patient.stop()
    assert_whole(run, reference)


def test_a_worker_whose_heartbeats_are_lost_gives_up_its_items(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run = fleet.run()
    with fleet.wire() as cut:
        cut.add(acting(Reset(), EXTEND, times=None))
        slow = cut.add(acting(Delay(timedelta(seconds=12)), COPY, times=3))
        zombie = fleet.worker(AWS_ENDPOINT_URL=cut.url)
        controller = run.start()
        until(lambda: slow.hits == 3, "slow copies")

        healthy = fleet.worker()

        controller.ends()
        fleet.await_empty_queue()
        healthy.stop()
        zombie.stop()
    outcomes = [event["outcome"] for event in zombie.events("item.settled")]
    assert "lostlease" in outcomes
    assert_whole(run, reference)


def test_the_marker_of_a_worker_that_was_cut_off_comes_too_late(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run = fleet.run()
    reached, reconnected = threading.Event(), threading.Event()

    def cut_off() -> None:
        reached.set()
        reconnected.wait(PATIENCE)

    with fleet.wire() as partition:
        partition.add(before(MARKER, skipping=2).rule(cut_off, goes_on=True))
        zombie = fleet.worker(AWS_ENDPOINT_URL=partition.url)
        controller = run.start()
        until(reached.is_set, "a marker on its way")
        healthy = fleet.worker()
        until(lambda: not account(run).of("pending"), "the other worker to do it all")

        reconnected.set()

        controller.ends()
        fleet.await_empty_queue()
        healthy.stop()
        zombie.stop()
    assert_whole(run, reference)


def test_a_worker_that_was_frozen_past_its_leases_changes_nothing(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run = fleet.run()
    sleepers: list[Program] = []

    def freeze() -> None:
        sleepers[0].signal(signal.SIGSTOP)

    with fleet.wire() as wire:
        frozen = wire.add(before(MARKER, skipping=1).rule(freeze, goes_on=True))
        sleeper = fleet.worker(AWS_ENDPOINT_URL=wire.url)
        sleepers.append(sleeper)
        controller = run.start()
        until(lambda: frozen.hits == 1, "the freeze")
        healthy = fleet.worker()
        until(lambda: not account(run).of("pending"), "the other worker to do it all")

        sleeper.signal(signal.SIGCONT)

        controller.ends()
        fleet.await_empty_queue()
        healthy.stop()
        sleeper.stop()
    assert_whole(run, reference)
