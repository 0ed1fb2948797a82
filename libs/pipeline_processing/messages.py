"""An item as a queue message and back. Version 1. No I/O."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.queue import Message
from pipeline_processing.layout import ITEM_ID, RUN_ID
from pipeline_processing.model import Item

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.model import Json

VERSION: Final = 1
BODY_LIMIT: Final = 240 * 1024
"""Bytes of body above which the payload stays in the manifest (claim check): four such messages fill a batch, and what
error and trace attributes add still fits into the service's limit."""

TRACEPARENT: Final = "traceparent"
PROCESSOR: Final = "processor"
RESUMED: Final = "resumed"
"""Attribute (any value) of a message that a repeated scatter sent: the item may be done already, so look first."""
ERROR: Final = "error"
"""Attribute that a dead letter carries: JSON, written by `pipeline_processing.settler`."""

_GROUP: Final = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}")
"""What SQS takes for a MessageGroupId: ASCII letters, digits and punctuation."""


class MalformedMessage(ValueError):  # noqa: N818 - the outcome it becomes has this name
    """The body is not an item message of a version that this code reads; ``reason`` holds no payload."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Claim:
    """A pointer into the manifest, for a payload too large for a message."""

    part: str
    """The part's key."""


@dataclass(frozen=True, slots=True)
class ItemMessage:
    """What travels: the item, or where to find it.

    ``attempt_base`` is the number of failure records that do not count any more: those from before the last redrive.
    """

    run_id: str
    item_id: str
    processor: str
    agency_id: str
    payload: Mapping[str, Json] | Claim
    inputs: int = 1
    attempt_base: int = 0

    def item(self) -> Item:
        """Return the item; call it only on a message whose payload is here."""
        if isinstance(self.payload, Claim):
            msg = f"item {self.item_id} is in manifest part {self.payload.part}"
            raise TypeError(msg)
        return Item(self.processor, self.agency_id, self.payload, self.inputs, self.item_id)


def group_of(agency_id: str) -> str:
    """Return the fairness group of an agency: its id, or a digest where SQS would not take that."""
    if _GROUP.fullmatch(agency_id):
        return agency_id
    return hashlib.blake2b(agency_id.encode(), digest_size=16).hexdigest()


def message_for(run_id: str, item: Item, *, part: str, resumed: bool) -> Message:
    """Return the item's message. All items of a run share a trace, whose id is derived from the run's."""
    trace = hashlib.blake2b(run_id.encode(), digest_size=16).hexdigest()
    attributes = {PROCESSOR: item.processor, TRACEPARENT: f"00-{trace}-{item.item_id[:16]}-01"}
    if resumed:
        attributes[RESUMED] = "1"
    return Message(encode(run_id, item, part=part), attributes, group_of(item.agency_id))


def encode(run_id: str, item: Item, *, part: str, attempt_base: int = 0) -> str:
    """Return the body for ``item``, which stands in the manifest part with key ``part``."""
    document: dict[str, Json] = {
        "v": VERSION,
        "run_id": run_id,
        "item_id": item.item_id,
        "processor": item.processor,
        "agency_id": item.agency_id,
        "inputs": item.inputs,
        "payload": item.payload,
    }
    if attempt_base:
        document["attempt_base"] = attempt_base
    body = orjson.dumps(document)
    if len(body) > BODY_LIMIT:
        del document["payload"]
        document["claim"] = {"part": part}
        body = orjson.dumps(document)
    return _carried(body)


def decode(body: str) -> ItemMessage:
    """Return the message, or raise MalformedMessage with a reason that quotes nothing of the body."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedMessage("the body is not JSON") from error
    if not isinstance(document, dict):
        raise MalformedMessage("the body is not a JSON object")
    version = document.get("v")
    if type(version) is not int or version != VERSION:
        raise MalformedMessage(
            "no version" if version is None else f"this code reads version {VERSION}, not the one in the body"
        )
    run_id, item_id, processor, agency_id = (
        _text(document, name) for name in ("run_id", "item_id", "processor", "agency_id")
    )
    if not RUN_ID.fullmatch(run_id):
        raise MalformedMessage("run_id has characters that no run id has")
    if not ITEM_ID.fullmatch(item_id):
        raise MalformedMessage("item_id is not 32 hex digits")
    message = ItemMessage(
        run_id,
        item_id,
        processor,
        agency_id,
        _payload(document),
        _count(document, "inputs", 1),
        _count(document, "attempt_base", 0),
    )
    if not isinstance(message.payload, Claim):
        try:
            message.item()
        except (ValueError, TypeError) as error:
            raise MalformedMessage("item_id does not match the payload") from error
    return message


def rebase(body: str, attempt_base: int) -> str:
    """Return the same message with its attempts counted from ``attempt_base``; ``body`` is one that `decode` reads."""
    return _carried(orjson.dumps({**orjson.loads(body), "attempt_base": attempt_base}))


def _carried(body: bytes) -> str:
    """Escape the two characters that JSON carries and SQS does not; they stand in strings only."""
    return body.decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _payload(document: Mapping[str, Json]) -> Mapping[str, Json] | Claim:
    payload, claim = document.get("payload"), document.get("claim")
    if isinstance(payload, dict) and claim is None:
        return payload
    if payload is None and isinstance(claim, dict) and isinstance(claim.get("part"), str):
        return Claim(claim["part"])
    raise MalformedMessage("needs one of payload (an object) and claim")


def _text(document: Mapping[str, Json], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedMessage(f"{name} is missing or not text")
    return value


def _count(document: Mapping[str, Json], name: str, default: int) -> int:
    value = document.get(name, default)
    if type(value) is not int or value < 0:
        raise MalformedMessage(f"{name} is not a count")
    return value
