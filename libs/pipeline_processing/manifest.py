"""A run's item list: frozen, sorted by item id, written once and read in bounded memory."""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_left
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Self

import orjson
import zstandard

from etl_core.errors import ConfigError, InvalidData, NotFound
from etl_core.objects.create import create_once
from etl_core.spool import SortedSpool
from pipeline_processing.model import Item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.layout import RunLayout

VERSION: Final = 1
PART_ITEMS: Final = 50_000
PART_BYTES: Final = 8 * 1024 * 1024
"""Uncompressed bytes after which a part is closed: what a reader holds at once."""


@dataclass(slots=True)
class Tally:
    """How many items, and how many inputs they stand for."""

    items: int = 0
    inputs: int = 0

    def add(self, item: Item) -> None:
        """Count ``item``."""
        self.count(item.inputs)

    def count(self, inputs: int) -> None:
        """Count one item that stands for ``inputs``."""
        self.items += 1
        self.inputs += inputs


@dataclass(frozen=True, slots=True)
class Part:
    """A manifest part: where it is and what it must hold. ``sha256`` is of the stored (compressed) bytes."""

    key: str
    count: int
    sha256: str
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The head of a run's item list, as it stands in ``manifest.json``."""

    run_id: str
    nonce: str
    planned_at: str
    parts: tuple[Part, ...]
    items: int
    inputs: int
    agencies: Mapping[str, Tally]
    processors: Mapping[str, Tally]
    sha256: str = field(default="", compare=False)
    """Of the stored ``manifest.json``; the run's record repeats it, so that an altered head is noticed too."""

    def part_of(self, item_id: str) -> str:
        """Return the key of the part that holds the item; a claim check points to it."""
        return self.parts[bisect_left(self.parts, item_id, key=lambda part: part.last)].key

    def encode(self) -> bytes:
        """Return the stored form."""
        document = asdict(self)
        del document["sha256"]
        return orjson.dumps({"v": VERSION, **document}, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, body: bytes, *, key: str) -> Self:
        """Return the manifest, or raise ConfigError naming ``key``: best the whole address, ``s3://bucket/key``."""
        try:
            document = orjson.loads(body)
            version = document.pop("v")
            parts = tuple(Part(**part) for part in document.pop("parts"))
            agencies, processors = (
                {who: Tally(**tally) for who, tally in document.pop(name).items()}
                for name in ("agencies", "processors")
            )
            manifest = cls(
                **document,
                parts=parts,
                agencies=agencies,
                processors=processors,
                sha256=hashlib.sha256(body).hexdigest(),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _altered(key, "it is not a manifest") from error
        if version != VERSION:
            raise _altered(key, f"it has version {version}, this code reads {VERSION}")
        return manifest


class Manifests:
    """Writes and reads one run's manifest.

    ``nonce`` returns a new unique text a call, ``jitter`` a number in [0, 1).
    """

    def __init__(
        self,
        store: ObjectStore,
        layout: RunLayout,
        clock: Clock,
        *,
        jitter: Callable[[], float],
        nonce: Callable[[], str],
        part_items: int = PART_ITEMS,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._store, self._layout, self._clock = store, layout, clock
        self._jitter, self._nonce = jitter, nonce
        self._part_items, self._part_bytes = part_items, part_bytes

    async def load(self) -> Manifest | None:
        """Return the manifest, or None where the run is not planned yet."""
        try:
            blob = await self._store.get(self._layout.manifest)
        except NotFound:
            return None
        return Manifest.decode(blob.body, key=self._address(self._layout.manifest))

    async def freeze(self, items: AsyncIterator[Item]) -> Manifest:
        """Sort, write and freeze ``items``.

        Of two planners at once the first to finish wins, and both return its manifest. Duplicates collapse.
        Memory does not grow with the number of items; the local disk holds them for a while.
        """
        with SortedSpool(unique=True) as spool:
            async for item in items:
                spool.add(item.item_id.encode(), _line(item))
            manifest = await self._write(spool)
        body = manifest.encode()
        await create_once(
            self._store,
            self._layout.manifest,
            body,
            is_own=lambda found: found == body,
            clock=self._clock,
            jitter=self._jitter,
        )
        frozen = await self.load()
        if frozen is None:
            raise _altered(self._address(self._layout.manifest), "it is gone")
        return frozen

    async def items(self, manifest: Manifest) -> AsyncIterator[Item]:
        """Yield every item in the order of its id, one part in memory at a time; ConfigError names an altered part."""
        last, total = "", 0
        for part in manifest.parts:
            for item in _items(self._address(part.key), await self._part(part)):
                if item.item_id <= last:
                    raise _altered(self._address(part.key), "its items are out of order")
                last, total = item.item_id, total + 1
                yield item
        if total != manifest.items:
            raise _altered(self._address(self._layout.manifest), f"its parts hold {total} items, not {manifest.items}")

    async def read_item(self, part: str, item_id: str) -> Item:
        """Return one item of the part with key ``part``, for a message that only points to it; else NotFound."""
        blob, address = await self._store.get(part), self._address(part)
        for item in _items(address, _unpack(address, blob.body)):
            if item.item_id == item_id:
                return item
        raise NotFound(f"no item {item_id} in {part}")

    async def _write(self, spool: SortedSpool) -> Manifest:
        parts: list[Part] = []
        agencies: dict[str, Tally] = {}
        processors: dict[str, Tally] = {}
        total = Tally()
        for lines in self._cut(_distinct(spool)):
            for _, line in lines:
                fields = orjson.loads(line)  # no Item: its id would be derived anew, a million times
                inputs = fields["inputs"]
                total.count(inputs)
                agencies.setdefault(fields["agency_id"], Tally()).count(inputs)
                processors.setdefault(fields["processor"], Tally()).count(inputs)
            body = await asyncio.to_thread(zstandard.compress, b"".join(line for _, line in lines))
            digest = hashlib.sha256(body).hexdigest()
            key = self._layout.manifest_part(len(parts), digest)
            await self._store.put(key, body, content_type="application/zstd")
            parts.append(Part(key, len(lines), digest, lines[0][0].decode(), lines[-1][0].decode()))
        return Manifest(
            self._layout.run_id,
            self._nonce(),
            self._clock.now().isoformat(),
            tuple(parts),
            total.items,
            total.inputs,
            agencies,
            processors,
        )

    def _cut(self, entries: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
        part: list[tuple[bytes, bytes]] = []
        size = 0
        for entry in entries:
            part.append(entry)
            size += len(entry[1])
            if len(part) >= self._part_items or size >= self._part_bytes:
                yield part
                part, size = [], 0
        if part:
            yield part

    async def _part(self, part: Part) -> bytes:
        address = self._address(part.key)
        try:
            blob = await self._store.get(part.key)
        except NotFound as error:
            raise _altered(address, "it is gone") from error
        if hashlib.sha256(blob.body).hexdigest() != part.sha256:
            raise _altered(address, "its SHA-256 is not the planned one")
        return await asyncio.to_thread(_unpack, address, blob.body)

    def _address(self, key: str) -> str:
        """Return where an object is, as an error is to say it."""
        return f"s3://{self._store.bucket}/{key}"


def _altered(address: str, what: str) -> ConfigError:
    return ConfigError(
        f"the manifest was altered after the plan: {what}",
        where=address,
        way_out="restore the object, or cancel this run and start another with a new --run-id",
    )


def _line(item: Item) -> bytes:
    return orjson.dumps(
        {
            "item_id": item.item_id,
            "processor": item.processor,
            "agency_id": item.agency_id,
            "inputs": item.inputs,
            "payload": item.payload,
        },
        option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE,
    )


def _parse(line: bytes) -> Item:
    return Item(**orjson.loads(line))


def _distinct(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Pass entries on. Equal ones are collapsed already: an id that comes twice has two counts of inputs."""
    last = None
    for entry in entries:
        if entry[0] == last:
            raise InvalidData(f"item {entry[0].decode()} was planned twice with different counts of inputs")
        last = entry[0]
        yield entry


def _unpack(key: str, body: bytes) -> bytes:
    try:
        return zstandard.decompress(body)
    except zstandard.ZstdError as error:
        raise _altered(key, "it can not be unpacked") from error


def _items(key: str, lines: bytes) -> Iterator[Item]:
    start = 0
    while start < len(lines):
        end = lines.index(b"\n", start)
        try:
            yield _parse(lines[start:end])
        except (ValueError, TypeError) as error:
            raise _altered(key, "it holds a line that is no item") from error
        start = end + 1
