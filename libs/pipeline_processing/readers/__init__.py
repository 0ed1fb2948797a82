"""From a messy file to rows of text: what every reader gives, whatever the file's format.

A reader turns each record of its file into a row of texts, or into a reject that says why it could not. It never drops,
joins, shifts or repairs one silently: `Batch` rows + rejects = the records of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import polars as pl

ROW: Final = "_row"
"""Column of a batch's frame: the record's number in the file, UInt64, from 1, header and skipped lines not counted."""
LINE: Final = "_line"
"""Column: the physical line (or sheet row) on which the record starts, UInt64, from 1."""
BATCH_ROWS: Final = 65_536
"""Rows of a batch, about; and never more bytes of text than `BATCH_BYTES`."""
BATCH_BYTES: Final = 16 * 1024 * 1024


REASONS: Final = frozenset(
    {
        "ragged",  # too few or too many fields, or characters
        "bad quote",  # text follows a closing quote
        "unclosed quote",  # a quote is not closed, or only by another record's
        "nul byte",
        "undecodable",  # bytes that are no character of the file's encoding, or half a surrogate pair
        "too long",
        "bad json",
        "not an object",  # JSON, but no record
        "duplicate key",
        "too deep",
    }
)
"""Why a record is no row."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that is no row. ``raw`` are its bytes as they stand in the file, cut at `RAW_LIMIT`."""

    row: int
    line: int
    reason: str
    """One of `REASONS`."""
    detail: str
    """Counts and positions only, no values: ``13 fields where the header has 12``."""
    raw: bytes


RAW_LIMIT: Final = 64 * 1024
"""Bytes kept of a reject's raw record."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records: ``frame`` has one String column a header name, in order, then `ROW` and `LINE`.

    An empty cell is null where the format says so (`Format.null_values`); typed cells (XLSX, Parquet, JSON) come as
    text: dates and timestamps in ISO 8601, whole floats without ``.0`` only where the file stores an integer, booleans
    as ``true``/``false``, nested JSON as JSON.
    """

    frame: pl.DataFrame
    rejects: Sequence[Reject] = ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """What was found out about a file; goes to the report."""

    kind: str
    """``csv``, ``ndjson``, ``json``, ``xlsx``, ``xls``, ``parquet``, ``fixed``."""
    compression: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header_line: int | None = None
    sheet: str | None = None
    member: str | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    """Remarks for people: ``byte order mark``, ``2 lines above the header``, ``1 totals line skipped``."""


class Rows(Protocol):
    """An opened file. Use it as a context manager."""

    @property
    def header(self) -> Sequence[str]:
        """Return the column names as the file has them, made unique (``name``, ``name_2``)."""
        ...

    @property
    def dialect(self) -> Dialect:
        """Return what was found out; ``notes`` are complete only after the last batch."""
        ...

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return how many records were left out as no data, by why: ``totals``, ``blank``; complete at the end."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches, once. InvalidData where the rest of the file can not be read at all."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
