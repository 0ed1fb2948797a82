"""Rows between two passes over a file: on local disk, a small Parquet file for each batch, in the file's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

_KEEP: Final = "_keep"
_COMPRESSION: Final = "uncompressed"
"""Read once and deleted: lz4 costs more than it saves. By dictionaries alone it is half as large as a CSV file."""


class Staging:
    """Frames of one schema. A row's *position* is its number, from 0, over all of them.

    ``heed`` is called before each frame is read back; what it raises ends the reading.
    """

    def __init__(self, folder: Path, *, heed: Callable[[], None] | None = None) -> None:
        folder.mkdir(parents=True)
        self._folder, self._heed = folder, heed
        self._files: list[Path] = []
        self._starts: list[int] = [0]
        self._schema: pl.Schema | None = None

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return self._starts[-1]

    @property
    def schema(self) -> pl.Schema | None:
        """Return the columns' types; None before the first frame, which may be empty."""
        return self._schema

    def add(self, frame: pl.DataFrame) -> int:
        """Write ``frame`` and return the position of its first row."""
        first = self.rows
        if self._schema is None:
            self._schema = frame.schema
        if frame.height:
            path = self._folder / f"{len(self._files):06d}.parquet"
            frame.write_parquet(path, compression=_COMPRESSION, statistics=False)
            self._files.append(path)
            self._starts.append(first + frame.height)
        return first

    def scan(self, gone: npt.NDArray[np.bool_] | None = None) -> pl.LazyFrame:
        """Return the rows in order, but for those whose position is True in ``gone``: a plan for the streaming engine.

        At least one frame must have been added.
        """
        if not self._files:
            return pl.LazyFrame(schema=self._schema)
        rows = pl.scan_parquet(self._files, glob=False, use_statistics=False, low_memory=True, cache=False)
        if gone is None:
            return rows
        return pl.concat([rows, pl.LazyFrame({_KEEP: ~gone})], how="horizontal").filter(_KEEP).drop(_KEEP)

    def frames(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield the position of each frame's first row, and ``columns`` of it."""
        for start, path in zip(self._starts, self._files, strict=False):
            if self._heed is not None:
                self._heed()
            yield start, pl.read_parquet(path, columns=list(columns), glob=False, use_statistics=False)
