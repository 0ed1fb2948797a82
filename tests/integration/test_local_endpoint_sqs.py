"""The local endpoint's SQS answers as AWS documents it; each name is the documented fact."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from pipeline_local.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sqs import SQSClient

    from conftest import LocalStack, QueuePair


@pytest.fixture(scope="module")
def sqs(local_stack: LocalStack) -> SQSClient:
    return local_stack.client("sqs")


def error_code(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"]


def receive(sqs: SQSClient, url: str, **options: object) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=url,
        **{"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10}
        | options,
    )
    return answer.get("Messages", [])


def counts(sqs: SQSClient, url: str) -> tuple[int, int, int]:
    """Visible, in flight, delayed."""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    names = ("", "NotVisible", "Delayed")
    visible, in_flight, delayed = (int(found[f"ApproximateNumberOfMessages{name}"]) for name in names)
    return visible, in_flight, delayed


def arn(sqs: SQSClient, url: str) -> str:
    found: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return found


def dead_letter(sqs: SQSClient, pair: QueuePair, *bodies: str) -> None:
    """Bring messages into the dead-letter queue by the redrive policy, as a crashing worker does."""
    policy = json.loads(
        sqs.get_queue_attributes(QueueUrl=pair.url, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    )
    for body in bodies:
        sqs.send_message(QueueUrl=pair.url, MessageBody=body)
    for _ in range(policy["maxReceiveCount"]):
        assert len(bodies) == len(receive(sqs, pair.url, VisibilityTimeout=0))
    assert [] == receive(sqs, pair.url)


# delivery


def test_a_message_carries_its_attributes_counts_times_group_and_trace(sqs: SQSClient, queue_pair: QueuePair) -> None:
    before = int(time.time() * 1000) - 1
    sqs.send_message_batch(
        QueueUrl=queue_pair.url,
        Entries=[
            {
                "Id": "a",
                "MessageBody": "häll\n☃",
                "MessageGroupId": "agency-7",
                "MessageAttributes": {"processor": {"DataType": "String", "StringValue": "copy"}},
                "MessageSystemAttributes": {
                    "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}
                },
            }
        ],
    )
    [message] = receive(sqs, queue_pair.url, VisibilityTimeout=0)
    assert "häll\n☃" == message["Body"]
    assert "copy" == message["MessageAttributes"]["processor"]["StringValue"]
    assert "agency-7" == message["Attributes"]["MessageGroupId"]
    assert "Root=1-5759e988-bd862e3fe1be46a994272793" == message["Attributes"]["AWSTraceHeader"]
    assert "1" == message["Attributes"]["ApproximateReceiveCount"]
    assert before <= int(message["Attributes"]["SentTimestamp"]) <= int(time.time() * 1000) + 1
    [again] = receive(sqs, queue_pair.url)
    assert "2" == again["Attributes"]["ApproximateReceiveCount"]
    assert message["MessageId"] == again["MessageId"]
    assert message["ReceiptHandle"] != again["ReceiptHandle"]


def test_the_counts_tell_visible_in_flight_and_delayed_apart(sqs: SQSClient, queue_pair: QueuePair) -> None:
    for delay in (0, 0, 0, 900):
        sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x", DelaySeconds=delay)
    receive(sqs, queue_pair.url, MaxNumberOfMessages=1)
    assert (2, 1, 1) == counts(sqs, queue_pair.url)


def test_a_backlog_is_drained_batch_by_batch(sqs: SQSClient, queue_pair: QueuePair) -> None:
    entries = [{"Id": str(number), "MessageBody": "x"} for number in range(10)]
    for _ in range(100):
        sqs.send_message_batch(QueueUrl=queue_pair.url, Entries=entries)
    received = 0
    while batch := receive(sqs, queue_pair.url):
        received += len(batch)
        handles = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(batch)]
        assert [] == sqs.delete_message_batch(QueueUrl=queue_pair.url, Entries=handles).get("Failed", [])
    assert 1000 == received
    assert (0, 0, 0) == counts(sqs, queue_pair.url)


# deleting


def test_a_second_delete_succeeds(sqs: SQSClient, queue_pair: QueuePair) -> None:
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    [message] = receive(sqs, queue_pair.url)
    sqs.delete_message(QueueUrl=queue_pair.url, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=queue_pair.url, ReceiptHandle=message["ReceiptHandle"])
    answer = sqs.delete_message_batch(
        QueueUrl=queue_pair.url, Entries=[{"Id": "a", "ReceiptHandle": message["ReceiptHandle"]}]
    )
    assert ["a"] == [entry["Id"] for entry in answer["Successful"]]
    assert (0, 0, 0) == counts(sqs, queue_pair.url)


def test_an_outdated_receipt_deletes_nothing_and_is_no_error(sqs: SQSClient, queue_pair: QueuePair) -> None:
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    [first] = receive(sqs, queue_pair.url, VisibilityTimeout=0)
    receive(sqs, queue_pair.url)
    sqs.delete_message(QueueUrl=queue_pair.url, ReceiptHandle=first["ReceiptHandle"])
    assert (0, 1, 0) == counts(sqs, queue_pair.url)


def test_a_batch_reports_the_receipt_that_is_none_and_deletes_the_others(sqs: SQSClient, queue_pair: QueuePair) -> None:
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    [message] = receive(sqs, queue_pair.url)
    answer = sqs.delete_message_batch(
        QueueUrl=queue_pair.url,
        Entries=[
            {"Id": "good", "ReceiptHandle": message["ReceiptHandle"]},
            {"Id": "bad", "ReceiptHandle": "nonsense"},
        ],
    )
    assert ["good"] == [entry["Id"] for entry in answer["Successful"]]
    assert [("bad", "ReceiptHandleIsInvalid", True)] == [
        (entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]
    ]


# visibility


def test_visibility_zero_gives_the_message_back_at_once(sqs: SQSClient, queue_pair: QueuePair) -> None:
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    [message] = receive(sqs, queue_pair.url)
    sqs.change_message_visibility(QueueUrl=queue_pair.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert 1 == len(receive(sqs, queue_pair.url))


def test_the_visibility_of_a_message_not_in_flight_can_not_be_changed(sqs: SQSClient, queue_pair: QueuePair) -> None:
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    [message] = receive(sqs, queue_pair.url)
    sqs.delete_message(QueueUrl=queue_pair.url, ReceiptHandle=message["ReceiptHandle"])
    change = {"QueueUrl": queue_pair.url, "VisibilityTimeout": 30}
    assert "InvalidParameterValue" == error_code(
        lambda: sqs.change_message_visibility(**change, ReceiptHandle=message["ReceiptHandle"])
    )
    assert "ReceiptHandleIsInvalid" == error_code(lambda: sqs.change_message_visibility(**change, ReceiptHandle="x"))
    answer = sqs.change_message_visibility_batch(
        QueueUrl=queue_pair.url,
        Entries=[{"Id": "a", "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 30}],
    )
    assert ["InvalidParameterValue"] == [entry["Code"] for entry in answer["Failed"]]


def test_visibility_is_limited_to_twelve_hours_in_total(sqs: SQSClient, queue_pair: QueuePair) -> None:
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    [message] = receive(sqs, queue_pair.url)
    for seconds in (43_200, 43_201):
        assert "InvalidParameterValue" == error_code(
            lambda seconds=seconds: sqs.change_message_visibility(
                QueueUrl=queue_pair.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
            )
        )


# long polling


@pytest.mark.parametrize("event", ["send", "release", "expiry", "delay"])
def test_a_waiting_receive_wakes_when_a_message_becomes_visible(
    sqs: SQSClient, queue_pair: QueuePair, local_stack: LocalStack, event: str
) -> None:
    receipt = ""
    if event in {"release", "expiry"}:
        sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
        visibility = 1 if event == "expiry" else 30
        receipt = receive(sqs, queue_pair.url, VisibilityTimeout=visibility)[0]["ReceiptHandle"]
    got: list[dict[str, Any]] = []
    poller_sqs = local_stack.client("sqs")
    poller = threading.Thread(target=lambda: got.extend(receive(poller_sqs, queue_pair.url, WaitTimeSeconds=20)))
    poller.start()
    if event == "send":
        sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    elif event == "delay":
        sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x", DelaySeconds=1)
    elif event == "release":
        sqs.change_message_visibility(QueueUrl=queue_pair.url, ReceiptHandle=receipt, VisibilityTimeout=0)
    poller.join(15)
    assert not poller.is_alive(), "it waited for its whole 20 s instead"
    assert ["x"] == [message["Body"] for message in got]


def test_a_poller_that_is_gone_takes_no_message(sqs: SQSClient, queue_pair: QueuePair, local_stack: LocalStack) -> None:
    pollers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import boto3, sys; boto3.client('sqs').receive_message(QueueUrl=sys.argv[1], WaitTimeSeconds=20)",
                queue_pair.url,
            ],
            env=local_stack.environment,
        )
        for _ in range(3)
    ]
    assert wait_until(lambda: 3 == waiting_receives(local_stack, pollers), 30)
    for poller in pollers:
        poller.kill()
        poller.wait()
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    [message] = receive(sqs, queue_pair.url, WaitTimeSeconds=5)
    assert "1" == message["Attributes"]["ApproximateReceiveCount"]


def waiting_receives(stack: LocalStack, pollers: list[subprocess.Popen[bytes]]) -> int:
    """Connections that the pollers hold to the endpoint, by the kernel's table."""
    assert all(poller.poll() is None for poller in pollers)
    port = int(stack.endpoint_url.rpartition(":")[2])
    connected = 0
    for poller in pollers:
        lines = Path(f"/proc/{poller.pid}/net/tcp").read_text().splitlines()[1:]
        inodes = {line.split()[9] for line in lines if line.split()[2] == f"0100007F:{port:04X}"}
        links = set()
        for link in Path(f"/proc/{poller.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                links.add(str(link.readlink()))
        connected += any(f"socket:[{inode}]" in links for inode in inodes)
    return connected


def test_a_request_that_is_cut_off_after_it_was_sent_takes_no_message(
    sqs: SQSClient, queue_pair: QueuePair, local_stack: LocalStack
) -> None:
    host, _, port = local_stack.endpoint_url.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port))
    body = json.dumps({"QueueUrl": queue_pair.url, "WaitTimeSeconds": 20})
    headers = {"X-Amz-Target": "AmazonSQS.ReceiveMessage", "Content-Type": "application/x-amz-json-1.0"}
    connection.request("POST", "/", body, headers)
    connection.close()
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="x")
    [message] = receive(sqs, queue_pair.url, WaitTimeSeconds=5)
    assert "1" == message["Attributes"]["ApproximateReceiveCount"]


# sending


def test_an_entry_that_is_too_large_fails_by_itself(sqs: SQSClient, queue_pair: QueuePair) -> None:
    sqs.set_queue_attributes(QueueUrl=queue_pair.url, Attributes={"MaximumMessageSize": "1024"})
    answer = sqs.send_message_batch(
        QueueUrl=queue_pair.url,
        Entries=[
            {"Id": "fits", "MessageBody": "x" * 1024},
            {"Id": "large", "MessageBody": "x" * 1025},
            {
                "Id": "large-by-attribute",
                "MessageBody": "x" * 1000,
                "MessageAttributes": {"name": {"DataType": "String", "StringValue": "x" * 20}},
            },
        ],
    )
    assert ["fits"] == [entry["Id"] for entry in answer["Successful"]]
    assert [("large", "InvalidParameterValue"), ("large-by-attribute", "InvalidParameterValue")] == [
        (entry["Id"], entry["Code"]) for entry in answer["Failed"]
    ]


def test_a_batch_over_one_mebibyte_fails_as_a_whole(sqs: SQSClient, queue_pair: QueuePair) -> None:
    half = "x" * (512 * 1024)
    two = [{"Id": "a", "MessageBody": half}, {"Id": "b", "MessageBody": half}]
    sqs.send_message_batch(QueueUrl=queue_pair.url, Entries=two)
    assert "AWS.SimpleQueueService.BatchRequestTooLong" == error_code(
        lambda: sqs.send_message_batch(QueueUrl=queue_pair.url, Entries=[*two, {"Id": "c", "MessageBody": "x"}])
    )
    assert (2, 0, 0) == counts(sqs, queue_pair.url)


def test_batches_of_none_eleven_or_twins_are_refused(sqs: SQSClient, queue_pair: QueuePair) -> None:
    def send(ids: list[str]) -> Callable[[], object]:
        return lambda: sqs.send_message_batch(
            QueueUrl=queue_pair.url, Entries=[{"Id": one, "MessageBody": "x"} for one in ids]
        )

    assert "AWS.SimpleQueueService.EmptyBatchRequest" == error_code(send([]))
    assert "AWS.SimpleQueueService.TooManyEntriesInBatchRequest" == error_code(send([str(n) for n in range(11)]))
    assert "AWS.SimpleQueueService.BatchEntryIdsNotDistinct" == error_code(send(["a", "a"]))


def test_a_missing_queue_is_told_by_its_own_error(sqs: SQSClient) -> None:
    assert "AWS.SimpleQueueService.NonExistentQueue" == error_code(lambda: sqs.get_queue_url(QueueName="nowhere"))


# dead letters


def test_a_message_received_too_often_moves_with_its_send_time(sqs: SQSClient, queue_pair: QueuePair) -> None:
    sqs.send_message(QueueUrl=queue_pair.url, MessageBody="poison", MessageGroupId="g")
    received = [receive(sqs, queue_pair.url, VisibilityTimeout=0) for _ in range(8)]
    assert [1] * 8 == [len(batch) for batch in received]
    assert [] == receive(sqs, queue_pair.url)
    [dead] = receive(sqs, queue_pair.dead_letter_url)
    first = received[0][0]
    assert first["MessageId"] == dead["MessageId"]
    assert first["Attributes"]["SentTimestamp"] == dead["Attributes"]["SentTimestamp"]
    assert "g" == dead["Attributes"]["MessageGroupId"]
    assert arn(sqs, queue_pair.url) == dead["Attributes"]["DeadLetterQueueSourceArn"]


def test_a_move_task_gives_dead_letters_back_as_new_messages(sqs: SQSClient, queue_pair: QueuePair) -> None:
    dead_letter(sqs, queue_pair, "a", "b", "c")
    source = arn(sqs, queue_pair.dead_letter_url)
    [dead] = receive(sqs, queue_pair.dead_letter_url, MaxNumberOfMessages=1, VisibilityTimeout=0)
    sqs.start_message_move_task(SourceArn=source)
    [task] = finished(sqs, source)
    assert ("COMPLETED", 3, 3) == (
        task["Status"],
        task["ApproximateNumberOfMessagesMoved"],
        task["ApproximateNumberOfMessagesToMove"],
    )
    assert "TaskHandle" not in task
    back = receive(sqs, queue_pair.url)
    assert ["a", "b", "c"] == sorted(message["Body"] for message in back)
    assert {"1"} == {message["Attributes"]["ApproximateReceiveCount"] for message in back}
    assert all("DeadLetterQueueSourceArn" not in message["Attributes"] for message in back)
    assert dead["MessageId"] not in {message["MessageId"] for message in back}
    assert (0, 0, 0) == counts(sqs, queue_pair.dead_letter_url)


def finished(sqs: SQSClient, source: str) -> list[dict[str, Any]]:
    def tasks() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = sqs.list_message_move_tasks(SourceArn=source, MaxResults=10)["Results"]
        return found

    assert wait_until(lambda: tasks()[0]["Status"] not in {"RUNNING", "CANCELLING"}, 20)
    return tasks()


def test_one_move_task_a_source_which_can_be_cancelled(sqs: SQSClient, queue_pair: QueuePair) -> None:
    dead_letter(sqs, queue_pair, *"abcde")
    source = arn(sqs, queue_pair.dead_letter_url)
    handle = sqs.start_message_move_task(SourceArn=source, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    assert handle == sqs.list_message_move_tasks(SourceArn=source)["Results"][0]["TaskHandle"]
    assert "InvalidParameterValue" == error_code(lambda: sqs.start_message_move_task(SourceArn=source))
    sqs.cancel_message_move_task(TaskHandle=handle)
    [task] = finished(sqs, source)
    assert "CANCELLED" == task["Status"]
    assert 5 == sum(sum(counts(sqs, url)) for url in (queue_pair.url, queue_pair.dead_letter_url))
    assert "ResourceNotFoundException" == error_code(lambda: sqs.cancel_message_move_task(TaskHandle="none"))


def test_a_move_task_of_a_message_sent_straight_to_the_dead_letters_fails(
    sqs: SQSClient, queue_pair: QueuePair
) -> None:
    sqs.send_message(QueueUrl=queue_pair.dead_letter_url, MessageBody="x")
    source = arn(sqs, queue_pair.dead_letter_url)
    sqs.start_message_move_task(SourceArn=source)
    assert ["CouldNotDetermineMessageSource"] == [task["FailureReason"] for task in finished(sqs, source)]
    sqs.start_message_move_task(SourceArn=source, DestinationArn=arn(sqs, queue_pair.url))
    assert "COMPLETED" == finished(sqs, source)[0]["Status"]
    assert (1, 0, 0) == counts(sqs, queue_pair.url)


def test_only_a_dead_letter_queue_that_exists_can_be_moved_from(sqs: SQSClient, queue_pair: QueuePair) -> None:
    own = arn(sqs, queue_pair.url)
    assert "InvalidParameterValue" == error_code(lambda: sqs.start_message_move_task(SourceArn=own))
    missing = own.rpartition(":")[0] + f":{uuid4().hex}"
    assert "ResourceNotFoundException" == error_code(lambda: sqs.start_message_move_task(SourceArn=missing))
    dead_letters = arn(sqs, queue_pair.dead_letter_url)
    assert "InvalidParameterValue" == error_code(
        lambda: sqs.start_message_move_task(SourceArn=dead_letters, MaxNumberOfMessagesPerSecond=501)
    )
