"""Markers: create-only objects whose existence means *this item is done*. The first one wins (laws 3 and 4)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.errors import InvalidData, NotFound
from etl_core.objects.create import create_once
from pipeline_processing.model import ItemResult, Marker, Output

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.layout import RunLayout

VERSION: Final = 1
READS: Final = 32
"""Markers read at once by `Markers.read_many`."""


def encode(marker: Marker) -> bytes:
    """Return the body of ``marker``; InvalidData where its result holds what JSON can not say."""
    try:
        return orjson.dumps({"v": VERSION, "marker": marker})
    except orjson.JSONEncodeError as error:
        raise InvalidData(f"processor {marker.processor} returned a result that is not JSON") from error


def decode(body: bytes) -> Marker:
    """Return the marker, or raise InvalidData."""
    try:
        document = orjson.loads(body)
        if document["v"] != VERSION:
            raise InvalidData(f"a marker of version {document['v']}; this code reads version {VERSION}")
        fields = document["marker"]
        result = fields["result"]
        outputs = tuple(Output(**output) for output in result.pop("outputs"))
        return Marker(**{**fields, "result": ItemResult(**result, outputs=outputs)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidData("a marker that is not readable") from error


class Markers:
    """The markers of one run."""

    def __init__(self, store: ObjectStore, layout: RunLayout, clock: Clock, *, jitter: Callable[[], float]) -> None:
        self._store = store
        self._layout = layout
        self._clock = clock
        self._jitter = jitter

    async def write(self, marker: Marker) -> bool:
        """Say whether ``marker`` stands (True) or another's does (False): either way the item is done.

        Raises Transient when neither could be found out; the item may be done all the same: look before working again.
        """

        def is_own(body: bytes) -> bool:
            return decode(body).nonce == marker.nonce

        return await create_once(
            self._store,
            self._layout.marker(marker.item_id),
            encode(marker),
            is_own=is_own,
            clock=self._clock,
            jitter=self._jitter,
        )

    async def exists(self, item_id: str) -> bool:
        """Say whether the item is done."""
        try:
            await self._store.head(self._layout.marker(item_id))
        except NotFound:
            return False
        return True

    async def read(self, item_id: str) -> Marker:
        """Return the item's marker; NotFound when it is not done, InvalidData when the marker is about another."""
        marker = decode((await self._store.get(self._layout.marker(item_id))).body)
        if (marker.run_id, marker.item_id) != (self._layout.run_id, item_id):
            raise InvalidData(f"the marker at {self._layout.marker(item_id)} is about another item")
        return marker

    async def list(self) -> AsyncIterator[str]:
        """Yield the ids of the items that are done, ascending."""
        async for info in self._store.list(self._layout.done):
            item_id = self._layout.item_of(info.key)
            if item_id is not None:
                yield item_id

    async def read_many(self, item_ids: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[Marker]:
        """Yield the markers of ``item_ids`` in that order, reading up to `READS` ahead; errors as for `read`."""
        window: deque[asyncio.Task[Marker]] = deque()
        try:
            async for item_id in _each(item_ids):
                window.append(asyncio.create_task(self.read(item_id)))
                if len(window) >= READS:
                    yield await window.popleft()
            while window:
                yield await window.popleft()
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)


async def _each(item_ids: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    if hasattr(item_ids, "__aiter__"):
        async for item_id in item_ids:
            yield item_id
    else:
        for item_id in item_ids:
            yield item_id
