"""Item, result, failure: the nouns of a run. No I/O, no clock."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Json = Any
"""A value that JSON can say: None, bool, int, float, str, and lists and string-keyed mappings of such."""


def canonical_json(value: Json) -> bytes:
    """Return the one spelling of ``value``: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def item_id_of(processor: str, agency_id: str, payload: Mapping[str, Json]) -> str:
    """Return 32 hex digits: 128-bit BLAKE2b of the canonical JSON of what identifies an item."""
    return hashlib.blake2b(canonical_json([processor, agency_id, payload]), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Item:
    """One unit of work: a file, a pack of small files, or an agency.

    ``payload`` names the inputs with their version or ETag and the parameters; it is all that a processor gets, so it
    must hold
    everything that changes the outcome. ``inputs`` counts what it stands for (the files of a pack; else 1).
    """

    processor: str
    agency_id: str
    payload: Mapping[str, Json]
    inputs: int = 1
    item_id: str = field(default="")

    def __post_init__(self) -> None:
        """Derive the id; an id that was given must be the derived one."""
        derived = item_id_of(self.processor, self.agency_id, self.payload)
        if self.item_id and self.item_id != derived:
            msg = f"item {self.item_id} does not match its content ({derived})"
            raise ValueError(msg)
        object.__setattr__(self, "item_id", derived)


@dataclass(frozen=True, slots=True)
class Output:
    """An object that an attempt wrote; publish reads only those that a winning marker names."""

    bucket: str
    key: str
    size: int
    etag: str
    checksum: str | None = None
    """``SHA256:<hex>`` or another ``ALGORITHM:value``; None where the store gave none."""
    role: str = "data"


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What a processor returns. ``counts`` splits the item's inputs by outcome and must add up to ``Item.inputs``.

    ``failed`` of them did not succeed, each with its reason in ``details``: the item is done, the run is not green.
    """

    item_id: str
    status: Literal["done", "skipped"]
    counts: Mapping[str, int]
    failed: int = 0
    outputs: tuple[Output, ...] = ()
    details: Mapping[str, Json] = field(default_factory=dict)
    """What the job's publish needs; ids, keys, sizes and counts, never row values."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, fit to be shown: no row values (law 13)."""

    error_class: str
    message: str
    fingerprint: str
    """12 hex digits; equal for failures with the same cause."""
    transient: bool
    trace: tuple[str, ...] = ()
    """Frames of our own code, outermost first: ``module:line function``."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of processing. ``number`` counts from 1 since the item was planned or last redriven."""

    run_id: str
    item: Item
    number: int
    nonce: str
    """Unique to this attempt: tells one's own marker from another's (law 4)."""
    worker: str
    traceparent: str | None = None


class Processor(Protocol):
    """The business logic for one kind of item."""

    @property
    def name(self) -> str:
        """Return the name that items and messages carry."""
        ...

    async def process(self, item: Item) -> ItemResult:
        """Do the item's work, idempotently, and return what came of it.

        Raise Transient or Permanent where it can not be done. Never acks.
        """
        ...


@dataclass(frozen=True, slots=True)
class Marker:
    """The body of a marker: the result, and who got there first."""

    run_id: str
    item_id: str
    processor: str
    agency_id: str
    nonce: str
    attempt: int
    worker: str
    code_version: str
    finished_at: str
    """ISO 8601, UTC."""
    result: ItemResult


ItemState = Literal["done", "skipped", "dead", "pending"]


@dataclass(frozen=True, slots=True)
class Gathered:
    """One manifest item with what became of it; ``marker`` is there exactly when the state is done or skipped."""

    item: Item
    state: ItemState
    marker: Marker | None = None


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """An input that failed inside an item that is done. ``name`` is a key or an id, never a row value (law 13)."""

    agency_id: str
    name: str
    status: str
    reason: str = ""
    inputs: int = 1
    """How many inputs share the name: two attachments may be one file."""


@runtime_checkable
class NamesProblems(Protocol):
    """A processor that can tell which inputs failed: asked where a run is not published, as no publish says it then."""

    def problems_of(self, gathered: Gathered) -> Iterable[Problem]:
        """Yield the failed inputs of one item that is done."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """What a job's publish did.

    ``commit`` names the one atomic step, empty where there was none; ``changed`` is False when it had been done before.
    """

    commit: str
    changed: bool
    outputs: tuple[Output, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    """The first of the inputs that failed inside items that are done; `problems.Problems` keeps few enough.

    How many failed in all is what the markers count (`ItemResult.failed`).
    """
    quality: Mapping[str, Json] = field(default_factory=dict)
    """``rows`` by what became of them, ``checks`` over all inputs, some of the ``files``; empty without rows."""
    withheld: str = ""
    """Why readers see nothing of the run, where the job decided so: the run is partly done, whatever is tolerated."""
