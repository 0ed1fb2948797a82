"""What SQS refuses, known before a call: one bad entry must not fail the nine beside it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from etl_core.batch import EntryFailure
from etl_core.queue import BATCH_LIMIT, MESSAGE_LIMIT, Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DELAY_LIMIT: Final = timedelta(minutes=15)
ATTRIBUTE_LIMIT: Final = 10
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def refusal(index: int, message: Message) -> EntryFailure | None:
    """Return why SQS would refuse ``message`` for ever, or None. Source: SendMessage in the SQS API reference."""
    texts = (message.body, *message.attributes.values())
    if not message.body:
        return EntryFailure(index, "MissingParameter", "an empty body can not be sent", transient=False)
    if any(_FORBIDDEN.search(text) for text in texts):
        return EntryFailure(index, "InvalidMessageContents", "characters that SQS does not carry", transient=False)
    if message.size() > MESSAGE_LIMIT:
        return EntryFailure(
            index, "MessageTooLong", f"{message.size()} bytes are over {MESSAGE_LIMIT}", transient=False
        )
    if len(message.attributes) > ATTRIBUTE_LIMIT or not all(message.attributes.values()):
        text = f"at most {ATTRIBUTE_LIMIT} attributes, none of them empty"
        return EntryFailure(index, "InvalidParameterValue", text, transient=False)
    if not timedelta(0) <= message.delay <= DELAY_LIMIT:
        return EntryFailure(index, "InvalidParameterValue", f"a delay over {DELAY_LIMIT}", transient=False)
    return None


def batches(entries: Sequence[tuple[int, Message]]) -> Iterator[list[tuple[int, Message]]]:
    """Yield the entries, in order, in batches that keep within both the count and the byte limit."""
    batch: list[tuple[int, Message]] = []
    room = MESSAGE_LIMIT
    for index, message in entries:
        size = message.size()
        if batch and (len(batch) == BATCH_LIMIT or size > room):
            yield batch
            batch, room = [], MESSAGE_LIMIT
        batch.append((index, message))
        room -= size
    if batch:
        yield batch
