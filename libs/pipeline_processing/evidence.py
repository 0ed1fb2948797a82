"""What is known of an item that failed: append-only failure records, and a dossier while the item is dead (law 12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from etl_core.errors import InvalidData, NotFound, Transient
from etl_core.objects.create import create_once
from pipeline_processing.model import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.layout import RunLayout

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """Evidence of one attempt that failed. Times are ISO 8601, UTC."""

    run_id: str
    item_id: str
    processor: str
    agency_id: str
    attempt: int
    """Counted since the item was planned or last redriven; the number in the key counts over the run's life."""
    nonce: str
    failure: Failure
    worker: str
    code_version: str
    started_at: str
    failed_at: str
    message_id: str
    receive_count: int
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Dossier:
    """Why an item is dead. ``body_size`` is all that is kept of the message: its body is in the dead-letter queue."""

    run_id: str
    item_id: str
    processor: str
    agency_id: str
    reason: str
    failure: Failure
    attempts: int
    worker: str
    code_version: str
    first_failed_at: str
    last_failed_at: str
    message_id: str
    body_size: int
    traceparent: str | None = None


def encode(evidence: FailureRecord | Dossier) -> bytes:
    """Return the body of a failure record or dossier."""
    return orjson.dumps({"v": VERSION, "evidence": evidence}, option=orjson.OPT_INDENT_2)


def decode_record(body: bytes) -> FailureRecord:
    """Return the failure record, or raise InvalidData."""
    fields = _fields(body)
    try:
        return FailureRecord(**fields)
    except TypeError as error:
        raise InvalidData("a failure record that is not readable") from error


def decode_dossier(body: bytes) -> Dossier:
    """Return the dossier, or raise InvalidData."""
    fields = _fields(body)
    try:
        return Dossier(**fields)
    except TypeError as error:
        raise InvalidData("a dossier that is not readable") from error


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(body)
        if document["v"] != VERSION:
            raise InvalidData(f"evidence of version {document['v']}; this code reads version {VERSION}")
        fields: dict[str, Any] = document["evidence"]
        failure = fields["failure"]
        return {**fields, "failure": Failure(**{**failure, "trace": tuple(failure["trace"])})}
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidData("evidence that is not readable") from error


class Evidence:
    """The failure records and dossiers of one run."""

    def __init__(self, store: ObjectStore, layout: RunLayout, clock: Clock, *, jitter: Callable[[], float]) -> None:
        self._store = store
        self._layout = layout
        self._clock = clock
        self._jitter = jitter

    async def append(self, record: FailureRecord, *, after: int) -> int:
        """Write ``record`` under the first free number above ``after`` and return that number.

        Numbers have no gaps as long as ``after`` is not above `count`. Raises Transient where it could not be written.
        """

        def is_own(body: bytes) -> bool:
            return decode_record(body).nonce == record.nonce

        body, number = encode(record), after
        while True:
            number += 1
            key = self._layout.failure(record.item_id, number)
            if await create_once(self._store, key, body, is_own=is_own, clock=self._clock, jitter=self._jitter):
                return number

    async def count(self, item_id: str) -> int:
        """Return how many attempts of the item have failed over the run's whole life."""
        return sum([1 async for _ in self._store.list(self._layout.failures(item_id))])

    async def read(self, item_id: str, number: int) -> FailureRecord:
        """Return one failure record; NotFound where there is none with that number."""
        return decode_record((await self._store.get(self._layout.failure(item_id, number))).body)

    async def records(self, item_id: str) -> tuple[FailureRecord, ...]:
        """Return all failure records of the item, oldest first."""
        return tuple([await self.read(item_id, number) for number in range(1, await self.count(item_id) + 1)])

    async def write_dossier(self, dossier: Dossier) -> None:
        """Declare the item dead, replacing an older dossier."""
        await self._store.put(self._layout.dossier(dossier.item_id), encode(dossier), content_type="application/json")

    async def read_dossier(self, item_id: str) -> Dossier | None:
        """Return why the item is dead, or None when it is not."""
        try:
            return decode_dossier((await self._store.get(self._layout.dossier(item_id))).body)
        except NotFound:
            return None

    async def delete_dossier(self, item_id: str) -> None:
        """Declare the item alive again; one that is not dead is left as it is. Raises Transient where that failed."""
        report = await self._store.delete([self._layout.dossier(item_id)])
        if report.failed:
            raise Transient(f"the dossier of item {item_id} was not deleted: {report.failed[0].code}")

    async def list_dossiers(self) -> AsyncIterator[str]:
        """Yield the ids of the items that have a dossier, ascending; one that is done as well is done."""
        async for info in self._store.list(self._layout.dead):
            item_id = self._layout.item_of(info.key)
            if item_id is not None:
                yield item_id
