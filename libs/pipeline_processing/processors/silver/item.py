"""What one silver item says: which files, by which contract, into which table."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic evaluates the annotations
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, Literal

from pydantic import TypeAdapter, ValidationError

from etl_core.errors import InvalidData
from pipeline_processing.model import Item, Json, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_processing.model import Gathered

NAME: Final = "silver"
"""The processor that such items name."""

FileStatus = Literal["refined", "failed", "unreadable", "missing", "changed", "archived", "denied"]
"""What came of a source file. *failed*: its contract's checks refuse it; *unreadable*: no reader can tell its rows."""
REFINED: Final = "refined"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A bronze object, pinned; ``modified`` is ISO 8601, ``size`` is in bytes."""

    bucket: str
    key: str
    etag: str
    size: int
    modified: str

    @property
    def source(self) -> str:
        """Return what lineage, ledger and quarantine call the file, whatever its version."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def version(self) -> str:
        """Return what tells this content from the same key's others."""
        return self.etag


@dataclass(frozen=True, slots=True)
class Pin:
    """A small object that a plan froze under its content's hash; it is read only if it still is that content."""

    bucket: str
    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a run's tables are."""

    bucket: str
    prefix: str
    dataset: str
    format: Literal["delta", "parquet"] = "delta"

    def folder(self, kind: str) -> str:
        """Return the folder, with a slash at the end, of what belongs to the dataset and to no table of it."""
        return f"{self.prefix}/{kind}/{self.dataset}/".lstrip("/")

    def root(self, table: str = "") -> str:
        """Return the folder of the dataset's own table, or of one beside it, such as ``quarantine``."""
        folder = f"{self.prefix}/" if self.prefix else ""
        return f"{folder}{self.dataset}{f'__{table}' if table else ''}"


@dataclass(frozen=True, slots=True)
class Mended:
    """Rows that a release mended, and the file (of ``bucket``) that says which of them it decided about."""

    rows: Pin
    bucket: str
    decisions: str


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A data file of the silver table, with its partition's values."""

    bucket: str
    key: str
    partition: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Release:
    """``count`` quarantined rows of one file, in ``rows``, and what is decided about those that pass this time.

    ``base`` is the run that quarantined them; only beside what that run published do they have a place.
    """

    rows: Pin
    count: int
    base: str
    decision: Literal["released", "waived"]
    reason: str
    decided_by: str
    waived: tuple[str, ...] = ()
    expires_at: str | None = None
    published: tuple[PublishedFile, ...] = ()
    """Where the contract has keys: what is published of the file."""


@dataclass(frozen=True, slots=True)
class SilverPack:
    """An item's payload: a file, or a pack of small ones, of one agency.

    ``run`` goes into the files' footers; ``planned_at`` (ISO 8601) decides which of two runs' rows of a source stand.
    """

    run: str
    files: tuple[SourceFile, ...]
    contract: Pin
    destination: Destination
    planned_at: str
    references: Mapping[str, Pin] = field(default_factory=dict)
    released: Release | None = None
    """Of the one file only these rows, mended where they were edited: they go through the contract again."""
    waived: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By source, the rules that hold no row of it back."""
    mended: Mapping[str, tuple[Mended, ...]] = field(default_factory=dict)
    """By source, rows of this very version that were mended by hand, the oldest first."""

    @property
    def today(self) -> date:
        """Return the day that checks against the future compare with: an item retried tomorrow has the same."""
        return datetime.fromisoformat(self.planned_at).date()

    def as_json(self) -> dict[str, Json]:
        """Return the item's payload."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def pack_of(item: Item) -> SilverPack:
    """Return the item's payload, or raise InvalidData that names the wrong fields and no value."""
    try:
        return _PACK.validate_python(item.payload)
    except ValidationError as error:
        places = ", ".join(".".join(str(part) for part in fault["loc"]) for fault in error.errors()[:5])
        raise InvalidData(f"the payload is no pack of bronze files; wrong: {places}") from None


_PACK: Final = TypeAdapter(SilverPack)


def problems_of(gathered: Gathered) -> Iterator[Problem]:
    """Yield the files of a done item of which no row was refined; none where the item is not done."""
    if gathered.marker is None or gathered.item.processor != NAME:
        return
    for entry in gathered.marker.result.details.get("files", ()):
        if entry["status"] != REFINED:
            yield Problem(gathered.item.agency_id, entry["source"], entry["status"], entry["reason"])
