"""What a file's columns look like, as sketches that merge: an item's profile gathers into a run's without re-reading.

    profiler = Profiler([("name", pl.String(), False), ("ssn", pl.String(), True)])
    for frame in typed:
        profiler.update(frame)
    profile = profiler.result()

Merging is exact for counts, ranges, lengths and means, and within the sketches' stated errors (see `sketches`) for
distinct values, quantiles and frequent values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import orjson
import zstandard

from etl_core.errors import InvalidData
from pipeline_processing.model import canonical_json
from pipeline_processing.quality.accumulator import Accumulator
from pipeline_processing.quality.profile_column import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from pipeline_processing.model import Json

VERSION: Final = 1
_LARGEST: Final = 256 * 1024 * 1024
"""Bytes of JSON that `Profile.from_bytes` takes: 100,000 columns would be less."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile of one file, or of several merged. ``rows`` counts rows, also where there are no columns."""

    rows: int
    columns: tuple[Column, ...]
    files: int = 1

    def column(self, name: str) -> Column | None:
        """Return the column called ``name``, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    def merge(self, other: Profile) -> Profile:
        """Return the profile of both; a column that only one has is taken as it is, and one of two kinds is *mixed*."""
        theirs = {column.name: column for column in other.columns}
        merged = [c.merge(theirs.pop(c.name)) if c.name in theirs else c for c in self.columns]
        return Profile(self.rows + other.rows, (*merged, *theirs.values()), self.files + other.files)

    def as_json(self) -> dict[str, Json]:
        """Return what people read."""
        return {"rows": self.rows, "files": self.files, "columns": [column.as_json() for column in self.columns]}

    def to_bytes(self) -> bytes:
        """Return the profile with its sketches: JSON, zstd. The same sketches give the same bytes."""
        columns = [column.to_wire() for column in self.columns]
        wire = {"v": VERSION, "rows": self.rows, "files": self.files, "columns": columns}
        return zstandard.ZstdCompressor(level=3).compress(canonical_json(wire))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote; InvalidData for anything else, and for a newer version."""
        try:
            wire = orjson.loads(zstandard.ZstdDecompressor().decompress(data, max_output_size=_LARGEST))
            version = wire["v"]
            if version == VERSION:
                return cls(wire["rows"], tuple(Column.from_wire(one) for one in wire["columns"]), wire["files"])
        except (zstandard.ZstdError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise InvalidData("no profile") from error
        raise InvalidData(f"a profile of version {version!r}, where this code reads {VERSION}")


class Profiler:
    """Profiles frames as they stream by. ``columns`` are (name, type, whether it is classified)."""

    def __init__(self, columns: Sequence[tuple[str, pl.DataType, bool]]) -> None:
        self._rows = 0
        self._columns = {name: Accumulator(name, dtype, is_classified=hidden) for name, dtype, hidden in columns}

    def update(self, frame: pl.DataFrame) -> None:
        """Take the next rows; columns that were not asked for are left alone, one that lacks is an error."""
        self._rows += len(frame)
        for name, accumulator in self._columns.items():
            accumulator.update(frame.get_column(name))

    def result(self) -> Profile:
        """Return the profile of what was seen so far."""
        return Profile(self._rows, tuple(accumulator.result() for accumulator in self._columns.values()))
