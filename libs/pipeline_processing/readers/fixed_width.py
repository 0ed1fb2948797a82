"""Fixed width: each field at its place in the line, counted in characters. Framed as delimited text is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.readers import Dialect
from pipeline_processing.readers.dialects import unique_names
from pipeline_processing.readers.framing import Shape
from pipeline_processing.readers.text_rows import Layout, TextRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.contracts.model import Format
    from pipeline_processing.readers.streams import Source

_NONE: Final = "\x1f"
"""Stands for the delimiter that there is not: ASCII's own unit separator."""


def open_fixed(source: Source, form: Format) -> TextRows:
    """Open a fixed-width file by ``form.widths``; ``form.header_row`` lines at its top are none of the data.

    Spaces around a field are none of it. A line too short for its last field to begin, or with something beyond it, is
    a reject.
    """
    if not form.widths or any(start < 1 or length < 1 for _, start, length in form.widths):
        raise ConfigError(
            "a fixed-width file needs its fields' places", where="format", way_out="give each a name, start and length"
        )
    header, notes = unique_names([name for name, _, _ in form.widths])

    def plan(text: str, is_whole: bool, _codec: str) -> Layout:  # noqa: FBT001 - called in one place
        if is_whole and not text.strip():
            raise InvalidData("the file is empty")
        shape = Shape(_NONE, "", header, 1)
        dialect = Dialect("fixed", header_line=form.header_row or None, notes=notes)
        return Layout(shape, header, form.header_row or 0, _Places(form.widths, header), dialect)

    return TextRows(source, form, plan)


class _Places:
    """Cuts lines at the fields' places."""

    def __init__(self, widths: tuple[tuple[str, int, int], ...], header: tuple[str, ...]) -> None:
        self._places = [(name, start - 1, length) for name, (_, start, length) in zip(header, widths, strict=True)]
        self._last = max(start for _, start, _ in self._places)
        self._end = max(start + length for _, start, length in self._places)

    def split(self, plain: bytes, count: int, *, has_quotes: bool) -> tuple[pl.DataFrame, Mapping[int, str]]:
        del has_quotes
        lines = pl.DataFrame({"?": plain.decode().split("\n")[:count]}, schema={"?": pl.String})
        line = pl.col("?")
        cells = [line.str.slice(start, length).str.strip_chars(" ").alias(name) for name, start, length in self._places]
        sizes = lines.select(length=line.str.len_chars(), filled=line.str.strip_chars_end(" ").str.len_chars())
        faults = sizes.with_row_index("at").filter(
            (pl.col("filled") > 0) & ((pl.col("length") <= self._last) | (pl.col("filled") > self._end))
        )
        details = {at: f"{length} characters where the fields take {self._end}" for at, length, _ in faults.iter_rows()}
        return lines.select(cells), details
