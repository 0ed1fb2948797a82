"""StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask, which ministack lacks.

After API_StartMessageMoveTask and the developer guide's "dead-letter queue redrive": one task a source at a time, at
most 500 messages a second, only from a queue that is a dead-letter queue; a moved message is a new one, with a new id
and send time; a message that nobody dead-lettered by a redrive policy has no source to go back to.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ministack.core.responses import new_uuid
from ministack.services import sqs

if TYPE_CHECKING:
    from pipeline_local.launcher.backlog import Backlog, Message

RATE_LIMIT: Final = 500
_KEPT: Final = 10
_ACTIVE: Final = frozenset({"RUNNING", "CANCELLING"})

Data = dict[str, Any]


@dataclass(slots=True)
class MoveTask:
    """One move; ``destination`` None gives each message back to its own source."""

    source: str
    destination: str | None
    rate: int | None
    to_move: int
    moved: int = 0
    status: str = "RUNNING"
    failure: str | None = None
    started: int = field(default_factory=lambda: int(time.time() * 1000))
    task_id: str = field(default_factory=new_uuid)

    @property
    def handle(self) -> str:
        """Return the opaque handle that cancels the task."""
        return base64.b64encode(json.dumps({"taskId": self.task_id, "sourceArn": self.source}).encode()).decode()

    def described(self) -> Data:
        """Return the task as ListMessageMoveTasks shows it: the handle of running tasks only."""
        found: Data = {
            "TaskHandle": self.handle if self.status == "RUNNING" else None,
            "Status": self.status,
            "SourceArn": self.source,
            "DestinationArn": self.destination,
            "MaxNumberOfMessagesPerSecond": self.rate,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "FailureReason": self.failure,
            "StartedTimestamp": self.started,
        }
        return {name: value for name, value in found.items() if value is not None}


_tasks: dict[str, list[MoveTask]] = {}
_runs: set[asyncio.Task[None]] = set()


async def _start(data: Data, _url: str) -> Data:
    source = _existing(data, "SourceArn")
    if source is None:
        raise sqs._Err("MissingParameter", "The request must contain the parameter SourceArn.")
    if not _is_dead_letter_queue(data["SourceArn"]):
        raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
    _existing(data, "DestinationArn")
    rate = data.get("MaxNumberOfMessagesPerSecond")
    if rate is not None and not 1 <= int(rate) <= RATE_LIMIT:
        raise sqs._Err(
            "InvalidParameterValue",
            f"Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and 500.",
        )
    known = _tasks.setdefault(data["SourceArn"], [])
    if any(task.status in _ACTIVE for task in known):
        raise sqs._Err(
            "InvalidParameterValue",
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
        )
    messages = source["messages"].visible()
    task = MoveTask(data["SourceArn"], data.get("DestinationArn"), int(rate) if rate else None, len(messages))
    known.insert(0, task)
    del known[_KEPT:]
    run = asyncio.create_task(_run(task, source["messages"], messages))
    _runs.add(run)
    run.add_done_callback(_runs.discard)
    return {"TaskHandle": task.handle}


async def _run(task: MoveTask, backlog: Backlog, messages: list[Message]) -> None:
    """Move what was visible at the start, evenly spread over the time that the rate asks for."""
    pause = 1 / (task.rate or RATE_LIMIT)
    begun = time.monotonic()
    for number, message in enumerate(messages):
        await asyncio.sleep(max(0.0, begun + number * pause - time.monotonic()))
        if task.status == "CANCELLING":
            task.status = "CANCELLED"
            return
        target = task.destination or message["sys"].get("DeadLetterQueueSourceArn")
        queue = sqs._queue_by_arn(target) if target else None
        if queue is None:
            task.failure = "AWS.SimpleQueueService.NonExistentQueue" if target else "CouldNotDetermineMessageSource"
            task.status = "FAILED"
            return
        if backlog.release(message):
            queue["messages"].append(_as_new(message))
            task.moved += 1
    task.status = "COMPLETED"


def _as_new(message: Message) -> Message:
    now = time.time()
    system = {name: value for name, value in message["sys"].items() if name != "DeadLetterQueueSourceArn"}
    return {
        **message,
        "id": new_uuid(),
        "sent_at": now,
        "visible_at": now,
        "receipt_handle": None,
        "receive_count": 0,
        "first_receive_at": None,
        "sys": {**system, "SentTimestamp": str(int(now * 1000))},
    }


def _list(data: Data, _url: str) -> Data:
    _existing(data, "SourceArn")
    limit = int(data.get("MaxResults") or 1)
    if not 1 <= limit <= _KEPT:
        raise sqs._Err(
            "InvalidParameterValue", f"Value {limit} for parameter MaxResults is invalid. Reason: Must be 1 to 10."
        )
    return {"Results": [task.described() for task in _tasks.get(data["SourceArn"], [])[:limit]]}


def _cancel(data: Data, _url: str) -> Data:
    for task in (task for tasks in _tasks.values() for task in tasks):
        if task.handle == data.get("TaskHandle"):
            if task.status != "RUNNING":
                raise sqs._Err("UnsupportedOperation", "Only active tasks can be cancelled.")
            task.status = "CANCELLING"
            return {"ApproximateNumberOfMessagesMoved": task.moved}
    raise sqs._Err("ResourceNotFoundException", "Task does not exist.", 404)


def _existing(data: Data, name: str) -> Data | None:
    arn = data.get(name)
    if not arn:
        return None
    queue: Data | None = sqs._queue_by_arn(arn)
    if queue is None:
        raise sqs._Err(
            "ResourceNotFoundException", f"The resource that you specified for the {name} parameter doesn't exist.", 404
        )
    return queue


def _is_dead_letter_queue(arn: str) -> bool:
    policies = (queue["attributes"].get("RedrivePolicy") for _, queue in sqs._queues.all_items())
    return any(policy and json.loads(policy)["deadLetterTargetArn"] == arn for policy in policies)


HANDLERS: Final = {
    "StartMessageMoveTask": _start,
    "ListMessageMoveTasks": _list,
    "CancelMessageMoveTask": _cancel,
}
