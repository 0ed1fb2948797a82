"""A dead letter: the original message with one attribute that says why it died. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_core.queue import MESSAGE_LIMIT, Message
from pipeline_processing.messages import ERROR

if TYPE_CHECKING:
    from etl_core.queue import Delivery
    from pipeline_processing.model import Failure

ATTRIBUTE_LIMIT: Final = 10
"""Attributes that SQS takes with one message."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a letter is dead. ``run_id`` and ``item_id`` are None where the message could not be read."""

    reason: str
    failure: Failure
    attempts: int
    worker: str
    code_version: str
    died_at: str
    run_id: str | None = None
    item_id: str | None = None

    def encode(self, *, with_message: bool = True) -> str:
        """Return the attribute's value: ASCII, as SQS refuses some characters that JSON may hold as they are."""
        document = {
            "reason": self.reason,
            "class": self.failure.error_class,
            "message": self.failure.message if with_message else "",
            "fingerprint": self.failure.fingerprint,
            "attempts": self.attempts,
            "worker": self.worker,
            "code_version": self.code_version,
            "died_at": self.died_at,
            "run_id": self.run_id,
            "item_id": self.item_id,
        }
        return json.dumps(document, separators=(",", ":"))


def compose(delivery: Delivery, cause: Cause) -> Message:
    """Return the dead letter: all of the message, and the cause as far as the limits leave room."""
    attributes = {name: value for name, value in delivery.attributes.items() if name != ERROR}
    if len(attributes) < ATTRIBUTE_LIMIT:
        for spelled in (cause.encode(), cause.encode(with_message=False)):
            letter = Message(delivery.body, {**attributes, ERROR: spelled}, delivery.group)
            if letter.size() <= MESSAGE_LIMIT:
                return letter
    return Message(delivery.body, attributes, delivery.group)
