"""An SQS standard queue."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from etl_core.aws import translated
from etl_core.batch import BatchReport, EntryFailure
from etl_core.errors import AccessDenied, EtlError, Permanent, Transient
from etl_core.queue import BATCH_LIMIT, VISIBILITY_LIMIT, Delivery, Depth, Message, QueuePolicy
from etl_core.queue.limits import batches, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from etl_core.aws import AwsClients

PARALLEL_BATCHES: Final = 16
_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_POLICY: Final = ("VisibilityTimeout", "MessageRetentionPeriod", "RedrivePolicy")
_OVERLOADED: Final = frozenset({"RequestThrottled", "ThrottlingException", "OverLimit", "InternalError"})


class SqsQueue:
    """A queue by its name, URL or ARN; a name is looked up once, on first use.

    Do not cancel `receive`: messages in a reply that nobody reads stay invisible for their lease.
    """

    def __init__(self, clients: AwsClients, address: str) -> None:
        self._clients = clients
        self._address = address
        self._url = address if address.startswith(("http://", "https://")) else None

    @property
    def name(self) -> str:
        """Return the last segment of the address."""
        return _last_segment(self._address)

    async def receive(self, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Return up to min(``limit``, 10) deliveries.

        ``wait`` is cut to whole seconds and ``lease`` rounded up to them.
        """
        sqs, url = await self._clients.sqs(), await self._queue_url()
        with translated(self._what):
            answer = await sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(limit, BATCH_LIMIT),
                WaitTimeSeconds=int(wait.total_seconds()),
                VisibilityTimeout=_seconds(lease),
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"],
            )
        return [_delivery(message) for message in answer.get("Messages", ())]

    async def send(self, messages: Sequence[Message]) -> BatchReport:
        """Send in full batches, several at a time; what SQS would refuse is not sent but reported."""
        refused = [fault for i, message in enumerate(messages) if (fault := refusal(i, message))]
        skip = {fault.index for fault in refused}
        sendable = [(i, message) for i, message in enumerate(messages) if i not in skip]
        entries = ([_entry(i, message) for i, message in batch] for batch in batches(sendable))
        report = await self._in_batches("send_message_batch", entries)
        return BatchReport(report.succeeded, tuple(sorted((*refused, *report.failed), key=lambda f: f.index)))

    async def extend(self, receipts: Sequence[str], lease: timedelta) -> BatchReport:
        """Set the remaining lease, rounded up to whole seconds."""
        entries = [
            {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": _seconds(lease)}
            for i, receipt in enumerate(receipts)
        ]
        return await self._in_batches("change_message_visibility_batch", _tens(entries))

    async def delete(self, receipts: Sequence[str]) -> BatchReport:
        """Acknowledge."""
        entries = [{"Id": str(i), "ReceiptHandle": receipt} for i, receipt in enumerate(receipts)]
        return await self._in_batches("delete_message_batch", _tens(entries))

    async def depth(self) -> Depth:
        """Return SQS's approximate counts."""
        values = await self._attributes(_COUNTS)
        visible, in_flight, delayed = (int(values.get(name, 0)) for name in _COUNTS)
        return Depth(visible=visible, in_flight=in_flight, delayed=delayed)

    async def policy(self) -> QueuePolicy:
        """Return the configuration.

        The dead-letter queue by its name, since SQS wants it in the same account and region.
        """
        values = await self._attributes(_POLICY)
        redrive = json.loads(values.get("RedrivePolicy") or "{}")
        target = redrive.get("deadLetterTargetArn")
        return QueuePolicy(
            lease=timedelta(seconds=int(values["VisibilityTimeout"])),
            retention=timedelta(seconds=int(values["MessageRetentionPeriod"])),
            max_receive_count=int(redrive["maxReceiveCount"]) if target else None,
            dead_letter_queue=_last_segment(target) if target else None,
        )

    @property
    def _what(self) -> str:
        return f"queue {self.name}"

    async def _queue_url(self) -> str:
        if self._url is None:
            sqs = await self._clients.sqs()
            owner: dict[str, Any] = {}
            if self._address.startswith("arn:"):
                owner["QueueOwnerAWSAccountId"] = self._address.split(":")[4]
            with translated(self._what):
                self._url = (await sqs.get_queue_url(QueueName=self.name, **owner))["QueueUrl"]
        return self._url

    async def _attributes(self, names: Sequence[Any]) -> Mapping[str, str]:
        sqs, url = await self._clients.sqs(), await self._queue_url()
        with translated(self._what):
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))
        return {str(name): value for name, value in answer.get("Attributes", {}).items()}

    async def _in_batches(self, operation: str, calls: Iterable[list[dict[str, Any]]]) -> BatchReport:
        """Call ``operation`` with each list of entries, several at a time, and join the answers."""
        sqs, url = await self._clients.sqs(), await self._queue_url()
        call: Callable[..., Awaitable[Mapping[str, Any]]] = getattr(sqs, operation)
        slots = asyncio.Semaphore(PARALLEL_BATCHES)
        succeeded: list[int] = []
        failed: list[EntryFailure] = []

        async def one(entries: list[dict[str, Any]]) -> None:
            async with slots:
                try:
                    with translated(self._what):
                        answer = await call(QueueUrl=url, Entries=entries)
                except EtlError as error:
                    failed.extend(_failures(entries, error))
                    return
            done = [int(entry["Id"]) for entry in answer.get("Successful", ())]
            faults = [_failure(entry) for entry in answer.get("Failed", ())]
            succeeded.extend(done)
            failed.extend(faults)
            answered = {*done, *(fault.index for fault in faults)}
            unanswered = {int(entry["Id"]) for entry in entries} - answered
            failed.extend(EntryFailure(i, "NoAnswer", "not in the reply", transient=True) for i in unanswered)

        results = await asyncio.gather(*(one(entries) for entries in calls), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return BatchReport(tuple(sorted(succeeded)), tuple(sorted(failed, key=lambda f: f.index)))


def _failures(entries: list[dict[str, Any]], error: EtlError) -> Iterable[EntryFailure]:
    """Say of each entry that its whole call failed; what only a person can mend is raised instead."""
    if isinstance(error, AccessDenied) or not isinstance(error, Transient | Permanent):
        raise error
    code, transient = type(error).__name__, isinstance(error, Transient)
    return [EntryFailure(int(entry["Id"]), code, str(error), transient) for entry in entries]


def _failure(entry: Mapping[str, Any]) -> EntryFailure:
    code = str(entry.get("Code", "")).removeprefix("AWS.SimpleQueueService.")
    transient = not entry.get("SenderFault") or code in _OVERLOADED
    return EntryFailure(int(entry["Id"]), code, str(entry.get("Message", "")), transient)


def _entry(index: int, message: Message) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "Id": str(index),
        "MessageBody": message.body,
        "DelaySeconds": math.ceil(message.delay.total_seconds()),
    }
    if message.attributes:
        entry["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        }
    if message.group is not None:
        entry["MessageGroupId"] = message.group
    return entry


def _delivery(message: Mapping[str, Any]) -> Delivery:
    system = message.get("Attributes", {})
    attributes = message.get("MessageAttributes", {})
    return Delivery(
        message_id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        body=message["Body"],
        attributes={name: value["StringValue"] for name, value in attributes.items() if "StringValue" in value},
        receive_count=int(system["ApproximateReceiveCount"]),
        sent_at=datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC),
        group=system.get("MessageGroupId"),
    )


def _tens(entries: list[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    remaining = iter(entries)
    while batch := list(itertools.islice(remaining, BATCH_LIMIT)):
        yield batch


def _seconds(lease: timedelta) -> int:
    return math.ceil(min(max(lease, timedelta(0)), VISIBILITY_LIMIT).total_seconds())


def _last_segment(address: str) -> str:
    return address.rstrip("/").replace(":", "/").rpartition("/")[2]
