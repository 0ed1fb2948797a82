"""Delimited text: comma, tab, semicolon, pipe. Framed by us, split into cells by Polars."""

from __future__ import annotations

import codecs
import csv
from typing import TYPE_CHECKING, Literal

import polars as pl

from etl_core.errors import InvalidData
from pipeline_processing.readers import Dialect
from pipeline_processing.readers.dialects import check_dialect, look, unique_names
from pipeline_processing.readers.framing import Shape
from pipeline_processing.readers.text_rows import Layout, TextRows

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pipeline_processing.contracts.model import Format
    from pipeline_processing.readers.streams import Source


def open_delimited(
    source: Source, form: Format, *, columns: Sequence[str] = (), expected: Collection[str] = ()
) -> TextRows:
    """Open delimited text; ``columns`` and ``expected`` as for `open_file`."""
    check_dialect(form)

    def plan(text: str, is_whole: bool, codec: str) -> Layout:  # noqa: FBT001 - called in one place
        found = look(text, form, is_whole=is_whole, expected=expected, columns=columns)
        given = found.header
        if given is None:
            given = form.names or (tuple(columns) if form.header_row == 0 or len(columns) == found.width else ())
            given = given or tuple(f"column_{number}" for number in range(1, found.width + 1))
        header, notes = unique_names(given)
        if any("\ufffd" in name for name in header):
            notes = (*notes, "the header holds bytes of no character")
        header_bytes = found.header_text.rstrip("\r\n").encode(codec, "replace") or b"\n"
        shape = Shape(found.delimiter, form.quote, given, len(header), found.extra, header_bytes)
        dialect = Dialect("csv", delimiter=found.delimiter, header_line=found.header_line, notes=(*found.notes, *notes))
        return Layout(shape, header, found.skip, _Cells(shape, header, form), dialect)

    return TextRows(source, form, plan)


class _Cells:
    """Splits plain lines: in bulk where Polars finds the rows that we do, else one by one."""

    def __init__(self, shape: Shape, header: tuple[str, ...], form: Format) -> None:
        self._shape = shape
        self._header = header
        self._extra = tuple(f"?{number}" for number in range(shape.extra))
        self._schema = dict.fromkeys([*header, *self._extra], pl.String)
        self._is_null = "" in form.null_values

    def split(self, plain: bytes, count: int, *, has_quotes: bool) -> tuple[pl.DataFrame, Mapping[int, str]]:
        if not count:
            return pl.DataFrame(schema=dict.fromkeys(self._header, pl.String)), {}
        frame = pl.read_csv(
            codecs.BOM_UTF8 + plain if plain.startswith(codecs.BOM_UTF8) else plain,  # Polars takes one for a mark
            has_header=False,
            schema=self._schema,
            separator=self._shape.delimiter,
            quote_char=self._shape.quote if has_quotes else None,
            empty_string_is_null=self._is_null,
        )
        if frame.height != count:
            frame = self._one_by_one(plain)
        if frame.height != count:
            raise InvalidData(f"{count} lines that look like records gave {frame.height} rows")
        if not self._extra:
            return frame, {}
        is_surplus = frame.select(pl.any_horizontal(pl.col(self._extra).fill_null("") != "")).to_series()
        detail = f"{self._shape.width} fields where the header has {self._shape.named}"
        return frame.drop(self._extra), dict.fromkeys(is_surplus.arg_true().to_list(), detail)

    def _one_by_one(self, plain: bytes) -> pl.DataFrame:
        lines = plain.decode().split("\n")
        quote = self._shape.quote
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        records = csv.reader(lines[:-1], delimiter=self._shape.delimiter, quotechar=quote or None, quoting=quoting)
        return pl.DataFrame(list(records), schema=self._schema, orient="row")
