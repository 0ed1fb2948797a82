"""What ministack's SQS does otherwise than AWS, where the product would notice; one section a difference.

Standard queues only: FIFO queues stay as ministack has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any, Final

from ministack.services import sqs

from pipeline_local.launcher import move_tasks
from pipeline_local.launcher.backlog import Backlog, Message
from pipeline_local.launcher.connection import until_disconnect

MESSAGE_LIMIT: Final = 1_048_576
VISIBILITY_LIMIT: Final = 43_200
IN_FLIGHT_LIMIT: Final = 120_000
_TURNS_TO_NOTICE: Final = 8
"""Turns of the loop that an end of stream, which the kernel knows already, takes from the socket to a handler."""

Data = dict[str, Any]


def install() -> None:
    """Replace the handlers; call before the first request."""
    sqs._HANDLERS.update(
        {
            "CreateQueue": _create_queue,
            "ReceiveMessage": _receive,
            "DeleteMessage": _delete,
            "DeleteMessageBatch": _delete_batch,
            "ChangeMessageVisibility": _change_visibility,
            "ChangeMessageVisibilityBatch": _change_visibility_batch,
            "SendMessage": _send,
            "SendMessageBatch": _send_batch,
            **move_tasks.HANDLERS,
        }
    )
    sqs._refresh_counts = _refresh_counts
    sqs._restore_state = _restore_state
    sqs.load_persisted_state = _restore_state


_original_create = sqs._act_create_queue
_original_counts = sqs._refresh_counts
_original_receive = sqs._act_receive_message
_original_delete = sqs._act_delete_message
_original_change = sqs._act_change_visibility
_original_send = sqs._act_send_message


# A receive must not scan the backlog: standard queues keep their messages in a Backlog.


def _create_queue(data: Data, url: str) -> Data:
    created: Data = _original_create(data, url)
    _arrange(sqs._get_q(created["QueueUrl"]))
    return created


def _arrange(queue: Data) -> None:
    if not queue["is_fifo"] and not isinstance(queue["messages"], Backlog):
        queue["messages"] = Backlog(queue["messages"])


def _queue(data: Data, url: str, action: str) -> Data:
    queue: Data = sqs._get_q(data.get("QueueUrl", url), f"sqs:{action}")
    _arrange(queue)
    return queue


def _refresh_counts(queue: Data) -> None:
    _arrange(queue)
    if queue["is_fifo"]:
        _original_counts(queue)
        return
    counts = queue["messages"].counts()
    queue["attributes"] |= {
        "ApproximateNumberOfMessages": str(counts.visible),
        "ApproximateNumberOfMessagesNotVisible": str(counts.in_flight),
        "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
    }


def _restore_state(saved: Data | None) -> None:
    """Bring queues back under this start's port: the saved URLs, which are ministack's keys, name the last one's."""
    for (account, region, _), queue in saved["queues"].all_items() if saved else ():
        queue["url"] = sqs._queue_url_for_account(account, queue["name"])
        _arrange(queue)
        sqs._queues.set_scoped(account, region, queue["url"], queue)
        sqs._queue_name_to_url.set_scoped(account, region, queue["name"], queue["url"])


# A waiting receive wakes when a message becomes visible, and takes nothing for a client that is gone: on AWS a poller
# that died does not hide a message until its visibility timeout ends.


async def _receive(data: Data, url: str) -> Data:
    queue = _queue(data, url, "ReceiveMessage")
    if queue["is_fifo"]:
        return await _original_receive(data, url)  # type: ignore[no-any-return] # the patched program is not typed
    limit = int(data.get("MaxNumberOfMessages", 1))
    if not 1 <= limit <= 10:  # noqa: PLR2004 - the API's own limit
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {limit} for parameter MaxNumberOfMessages is invalid. "
            "Reason: Must be between 1 and 10, if provided.",
        )
    visibility = _setting(data, "VisibilityTimeout", queue, "VisibilityTimeout", VISIBILITY_LIMIT)
    wait = _setting(data, "WaitTimeSeconds", queue, "ReceiveMessageWaitTimeSeconds", 20)
    gone = asyncio.ensure_future(until_disconnect())
    try:
        messages = await _wait_for_messages(queue, limit, visibility, wait, gone)
        for _ in range(_TURNS_TO_NOTICE if messages else 1):
            await asyncio.sleep(0)
        if gone.done():
            for message in messages:
                queue["messages"].give_back(message)
            return {}
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
    return {"Messages": [_entry(message, data) for message in messages]} if messages else {}


def _setting(data: Data, name: str, queue: Data, attribute: str, limit: int) -> int:
    given = data.get(name)
    value = int(given if given is not None else queue["attributes"].get(attribute, "0"))
    if not 0 <= value <= limit:
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {value} for parameter {name} is invalid. Reason: Must be >= 0 and <= {limit}, if provided.",
        )
    return value


async def _wait_for_messages(
    queue: Data, limit: int, visibility: int, wait: int, gone: asyncio.Future[None]
) -> list[Message]:
    deadline = time.monotonic() + wait
    backlog: Backlog = queue["messages"]
    while not gone.done():
        if messages := _take(queue, backlog, limit, visibility, is_short_poll=not wait):
            return messages
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        changed = asyncio.ensure_future(backlog.changed(remaining))
        try:
            await asyncio.wait((changed, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
    return []


def _take(queue: Data, backlog: Backlog, limit: int, visibility: int, *, is_short_poll: bool) -> list[Message]:
    if len(backlog) > IN_FLIGHT_LIMIT and backlog.counts().in_flight >= IN_FLIGHT_LIMIT:
        if is_short_poll:
            raise sqs._Err("OverLimit", "Too many messages are in flight for this queue.", 403)
        return []
    retention = int(queue["attributes"].get("MessageRetentionPeriod", "345600"))
    limit_of_receives, dead_letters = _redrive_policy(queue)
    oldest = time.time() - retention

    def refuse(message: Message) -> bool:
        if message["sent_at"] <= oldest:
            return True
        if dead_letters is None or message["receive_count"] < limit_of_receives:
            return False
        # On a standard queue the send time stays, so the dead-letter queue's retention counts from the first send.
        source = {"DeadLetterQueueSourceArn": queue["attributes"]["QueueArn"]}
        dead_letters["messages"].append(
            {**message, "receipt_handle": None, "visible_at": time.time(), "sys": {**message["sys"], **source}}
        )
        return True

    return backlog.take(limit, visibility, refuse)


def _redrive_policy(queue: Data) -> tuple[int, Data | None]:
    text = queue["attributes"].get("RedrivePolicy")
    if not text:
        return 0, None
    policy = json.loads(text)
    dead_letters = sqs._queue_by_arn(policy["deadLetterTargetArn"])
    if dead_letters is not None:
        _arrange(dead_letters)
    return int(policy["maxReceiveCount"]), dead_letters


def _entry(message: Message, data: Data) -> Data:
    sqs._ensure_msg_fields(message)
    entry: Data = {
        "MessageId": message["id"],
        "ReceiptHandle": message["receipt_handle"],
        "MD5OfBody": message["md5_body"],
        "Body": message["body"],
    }
    names = data.get("MessageSystemAttributeNames") or data.get("AttributeNames") or []
    if system := sqs._build_sys_attrs(message, names):
        entry["Attributes"] = system
    if own := sqs._filter_msg_attrs(message["message_attributes"], data.get("MessageAttributeNames") or []):
        entry |= {"MessageAttributes": own, "MD5OfMessageAttributes": sqs._md5_msg_attrs(own)}
    return entry


# Deleting twice succeeds, and an outdated receipt deletes nothing: API_DeleteMessage.


def _delete(data: Data, url: str) -> Data:
    queue = _queue(data, url, "DeleteMessage")
    if queue["is_fifo"]:
        return _original_delete(data, url)  # type: ignore[no-any-return] # the patched program is not typed
    try:
        queue["messages"].remove(data.get("ReceiptHandle") or "")
    except ValueError:
        raise sqs._Err("ReceiptHandleIsInvalid", "The input receipt handle is invalid.", 404) from None
    return {}


def _delete_batch(data: Data, url: str) -> Data:
    sqs._validate_batch_entries(data.get("Entries", []), "DeleteMessageBatchRequestEntry")
    return _each_entry(data, url, _delete)


# Only a message in flight has a visibility to change, and 12 hours is the most in total: API_ChangeMessageVisibility.


def _change_visibility(data: Data, url: str) -> Data:
    queue = _queue(data, url, "ChangeMessageVisibility")
    if queue["is_fifo"]:
        return _original_change(data, url)  # type: ignore[no-any-return] # the patched program is not typed
    receipt, seconds = data.get("ReceiptHandle") or "", int(data.get("VisibilityTimeout", -1))
    if not 0 <= seconds <= VISIBILITY_LIMIT:
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200.",
        )
    try:
        queue["messages"].hide(receipt, seconds, longest=VISIBILITY_LIMIT)
    except ValueError:
        raise sqs._Err("ReceiptHandleIsInvalid", "The input receipt handle is invalid.", 404) from None
    except KeyError:
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {receipt} for parameter ReceiptHandle is invalid. "
            "Reason: Message does not exist or is not available for visibility timeout change.",
        ) from None
    except OverflowError:
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the "
            "message is beyond the limit [43200 seconds].",
        ) from None
    return {}


def _change_visibility_batch(data: Data, url: str) -> Data:
    sqs._validate_batch_entries(data.get("Entries", []), "ChangeMessageVisibilityBatchRequestEntry")
    return _each_entry(data, url, _change_visibility)


# A message's size counts its attributes, and a batch carries each entry's trace header: API_SendMessageBatch.


def _send(data: Data, url: str) -> Data:
    queue = _queue(data, url, "SendMessage")
    limit = int(queue["attributes"].get("MaximumMessageSize", MESSAGE_LIMIT))
    if _size(data) > limit:
        raise sqs._Err(
            "InvalidParameterValue",
            f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes.",
        )
    if not 0 <= int(data.get("DelaySeconds") or 0) <= 900:  # noqa: PLR2004 - the API's own limit
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {data['DelaySeconds']} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be "
            ">= 0 and <= 900.",
        )
    return _original_send(data, url)  # type: ignore[no-any-return] # the patched program is not typed


def _send_batch(data: Data, url: str) -> Data:
    entries = data.get("Entries", [])
    sqs._validate_batch_entries(entries, "SendMessageBatchRequestEntry")
    size = sum(_size(entry) for entry in entries)
    if size > MESSAGE_LIMIT:
        raise sqs._Err(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {MESSAGE_LIMIT} bytes. You have sent {size} bytes.",
        )
    return _each_entry(data, url, _send)


def _size(data: Data) -> int:
    attributes = data.get("MessageAttributes") or {}
    return len((data.get("MessageBody") or "").encode()) + sum(
        len(name.encode())
        + len(value.get("DataType", "").encode())
        + len((value.get("StringValue") or value.get("BinaryValue") or "").encode())
        for name, value in attributes.items()
    )


def _each_entry(data: Data, url: str, call: Any) -> Data:  # noqa: ANN401 - one of the handlers above
    """Make a batch call of single ones: every entry succeeds or fails by itself."""
    succeeded: list[Data] = []
    failed: list[Data] = []
    target = data.get("QueueUrl", url)
    sqs._get_q(target)
    for entry in data["Entries"]:
        try:
            succeeded.append({"Id": entry["Id"], **call({**entry, "QueueUrl": target}, url)})
        except sqs._Err as error:
            failed.append({"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": True})
    return {"Successful": succeeded, "Failed": failed}
