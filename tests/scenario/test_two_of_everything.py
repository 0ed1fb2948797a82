"""Two controllers, two gathers, two deliveries of everything: one publish, one marker, the same bytes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from harness.checks import account, assert_whole
from harness.programs import until
from harness.wire import CATALOG, RECEIVE, acting

from etl_core.testing.faults import Delay, RepeatReceive

if TYPE_CHECKING:
    from harness.bucket import Stored
    from harness.fleet import Fleet, Run


def test_of_two_controllers_of_one_run_both_end_well_and_one_publishes(
    fleet: Fleet, reference: dict[str, Stored]
) -> None:
    run = fleet.run()
    worker = fleet.worker()
    controllers = [run.start(), run.start()]

    for controller in controllers:
        controller.ends()
    fleet.await_empty_queue()
    worker.stop()
    assert_whole(run, reference)


def test_of_two_gathers_that_meet_at_the_catalog_one_commits(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run = fleet.run()
    run.start("--no-wait").ends()
    worker = fleet.worker()
    until(lambda: not account(run).of("pending"), "every item to be done")
    late = Delay(timedelta(seconds=2))
    at_the_catalog = fleet.controller_wire.add(acting(late, CATALOG, times=2))
    gathers = [run.gather(), run.gather()]

    for gather in gathers:
        gather.ends()
    assert at_the_catalog.hits >= 1
    worker.stop()
    assert_whole(run, reference)


def test_every_message_sent_twice_leaves_one_marker_an_item(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run = fleet.run()
    run.start("--no-wait").ends()
    copies = _send_everything_again(fleet)
    workers = [fleet.worker(), fleet.worker()]

    controller = run.start()

    assert len(account(run).items) == copies
    controller.ends()
    fleet.await_empty_queue()
    for worker in workers:
        worker.stop()
    assert_whole(run, reference)


def test_the_same_delivery_handed_out_twice_leaves_one_marker_an_item(
    fleet: Fleet, reference: dict[str, Stored]
) -> None:
    run = fleet.run()
    run.start("--no-wait").ends()
    repeats = fleet.worker_wire.add(acting(RepeatReceive(), RECEIVE, times=3))
    workers = [fleet.worker(), fleet.worker()]

    controller = run.start()

    controller.ends()
    assert 3 == repeats.hits
    fleet.await_empty_queue()
    for worker in workers:
        worker.stop()
    assert_whole(run, reference)


def test_a_run_that_is_over_is_neither_worked_nor_published_again(fleet: Fleet, reference: dict[str, Stored]) -> None:
    run = fleet.run()
    worker = fleet.worker()
    first = run.start()
    first.ends()
    before = _written(run)

    again = run.start()

    again.ends()
    assert before == _written(run)
    assert (0, 0) == fleet.depth()
    worker.stop()
    assert_whole(run, reference)


def _written(run: Run) -> dict[str, int]:
    return dict(run.destination.versions() + run.fleet.control.versions())


def _send_everything_again(fleet: Fleet) -> int:
    """Copy each message of the queue, attributes and all; the originals stay."""
    found = []
    while batch := fleet.sqs.receive_message(
        QueueUrl=fleet.queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=30
    ).get("Messages"):
        found += batch
    for message in found:
        fleet.sqs.send_message(
            QueueUrl=fleet.queue_url,
            MessageBody=message["Body"],
            MessageAttributes={
                name: {"DataType": value["DataType"], "StringValue": value["StringValue"]}
                for name, value in message.get("MessageAttributes", {}).items()
            },
        )
        fleet.sqs.change_message_visibility(
            QueueUrl=fleet.queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
    return len(found)
