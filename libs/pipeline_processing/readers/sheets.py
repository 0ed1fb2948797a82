"""Workbooks, XLSX and the old XLS: one sheet, read by calamine behind a guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import polars as pl

from etl_core.errors import InvalidData
from pipeline_processing.readers import BATCH_BYTES, BATCH_ROWS, LINE, Batch, Dialect
from pipeline_processing.readers.assembling import Counts, Tidy, cut, number
from pipeline_processing.readers.cells import read_sheet_apart
from pipeline_processing.readers.dialects import find_header, unique_names
from pipeline_processing.readers.merged_cells import join_groups, spans_of
from pipeline_processing.readers.office_guard import check_xls, check_xlsx

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pipeline_processing.contracts.model import Format
    from pipeline_processing.readers.origins import Origin

_LOOKED_AT: Final = 200
_MIDNIGHT: Final = r"^(\d{4,5}-\d\d-\d\d) 00:00:00$"
_MOMENT: Final = r"^(\d{4,5}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)$"
_TIME: Final = r"^1899-12-3[01] (\d\d:\d\d:\d\d(?:\.\d+)?)$"


class SheetRows:
    """The rows of one sheet. See `pipeline_processing.readers.Rows`.

    Dates come in ISO 8601, formulas as their stored results, error cells as null (the notes count them), merged cells
    as one value and nulls. A whole number has no ``.0``: a workbook does not tell 5 from 5.0.
    """

    def __init__(
        self, origin: Origin, form: Format, kind: str, *, columns: Sequence[str], expected: Collection[str]
    ) -> None:
        self._origin = origin
        self._kind = kind
        self._counts = Counts()
        notes = [*origin.notes]
        book = check_xlsx(origin.path, origin.name) if kind == "xlsx" else check_xls(origin.path, origin.name)
        self._sheet, self._frame = self._load(form, notes)
        self._spans = spans_of(book.merged.get(self._sheet, ()))
        if errors := book.errors.get(self._sheet, 0):
            notes.append(f"{errors} cell{'s' if errors > 1 else ''} with an error (#REF! and the like) read as empty")
        header, self._header_line, above = self._find_header(form, columns, expected)
        notes += above
        self._header, more = unique_names(header)
        self._given = tuple(header) if self._header_line else None
        self._notes = (*notes, *more)
        self._tidy = Tidy(form, self._header)

    @property
    def header(self) -> Sequence[str]:
        """Return the column names, unique."""
        return self._header

    @property
    def dialect(self) -> Dialect:
        """Return what was found out."""
        return Dialect(
            self._kind,
            self._origin.compression,
            header_line=self._header_line or None,
            sheet=self._sheet,
            member=self._origin.member,
            notes=(*self._notes, *self._counts.notes),
        )

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return how many records were no data, by why."""
        return dict(self._counts.by_reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._origin.close()

    def __iter__(self) -> Iterator[Batch]:
        data = self._frame.slice(self._header_line)
        step = max(1, min(BATCH_ROWS, BATCH_BYTES * max(data.height, 1) // max(int(data.estimated_size()), 1)))
        given = 0
        for start in range(0, data.height, step):
            part = data.slice(start, step)
            part.columns = list(self._header)
            first = self._header_line + start + 1
            part = part.with_columns(pl.int_range(first, first + part.height, dtype=pl.UInt64, eager=True).alias(LINE))
            kept = self._only_data(part.with_columns(_iso(pl.col(self._header))))
            batch = number(kept, (), given)
            given += kept.height
            yield from cut(batch, self._header)

    def _load(self, form: Format, notes: list[str]) -> tuple[str, pl.DataFrame]:
        """Return the chosen sheet's name and its cells; they are read apart, as calamine may crash."""
        cells = read_sheet_apart(self._origin.path, self._origin.name, form.sheet)
        if cells.others:
            notes.append(f"sheets not read: {', '.join(cells.others[:10])}")
        return cells.sheet, cells.frame

    def _only_data(self, frame: pl.DataFrame) -> pl.DataFrame:
        frame = self._tidy.nulls(frame)
        data = self._tidy.without_blank(frame)
        self._counts.add("blank", frame.height - data.height)
        kept = self._tidy.without_totals(data)
        self._counts.add("totals", data.height - kept.height)
        if self._given is None:
            return kept
        cells = zip(self._header, self._given, strict=True)
        is_header = pl.all_horizontal(pl.col(name).fill_null("") == text for name, text in cells)
        rows = kept.filter(~is_header)
        self._counts.add("repeated header", kept.height - rows.height)
        return rows

    def _find_header(
        self, form: Format, columns: Sequence[str], expected: Collection[str]
    ) -> tuple[list[str], int, list[str]]:
        """Return the names, the header's row (0 where there is none) and remarks."""
        frame = self._frame
        head = [[cell or "" for cell in row] for row in frame.head(_LOOKED_AT).rows()]
        names = list(form.names or columns) or [f"column_{i}" for i in range(1, frame.width + 1)]
        if form.header_row == 0:
            return self._fit(names), 0, []
        if form.header_row is None:
            at = find_header(head, expected, columns)
        elif form.header_row > len(head):
            raise InvalidData(f"{self._origin.name}: the header should be in row {form.header_row}, which is not there")
        else:
            at = form.header_row - 1
        if at is None:
            return self._fit(names), 0, ["no row looks like a header"]
        # A row that the contract names is the header by itself: nothing else could keep a group's name out of it.
        spans = () if form.header_row else self._spans
        header, last, is_joined = join_groups(head, at, spans)
        notes = ["two header rows joined"] if is_joined else []
        self._drop_empty_end(header, notes, last)
        if above := sum(1 for row in head[: last - is_joined] if any(row)):
            notes.insert(0, f"{above} row{'s' if above > 1 else ''} above the header")
        return header, last + 1, notes

    def _fit(self, names: list[str]) -> list[str]:
        if len(names) != self._frame.width:
            raise InvalidData(
                f"{self._origin.name}: {self._frame.width} columns, and {len(names)} names stand for a header"
            )
        return names

    def _drop_empty_end(self, header: list[str], notes: list[str], at: int) -> None:
        """Leave out columns on the right that have neither a name nor a value."""
        names = len(header)
        while names > 1 and not header[names - 1].strip():
            column = self._frame.to_series(names - 1).slice(at)
            if column.fill_null("").str.strip_chars().ne("").any():
                break
            names -= 1
        if names < len(header):
            notes.append(
                f"{len(header) - names} empty column{'s' if len(header) - names > 1 else ''} at the end left out"
            )
            del header[names:]
            self._frame = self._frame.select(self._frame.columns[:names])


def _iso(cells: pl.Expr) -> pl.Expr:
    """Return moments as ISO 8601: calamine writes a space before the time, and a time as one of day 0."""
    return cells.str.replace(_TIME, "$1").str.replace(_MIDNIGHT, "$1").str.replace(_MOMENT, "${1}T$2")
