"""Records that come one at a time, numbered and put together to batches: what the slower readers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.readers import BATCH_BYTES, BATCH_ROWS, LINE, RAW_LIMIT, ROW, Batch, Reject

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline_processing.contracts.model import Format

Cells = list[str | None]
_PLACE = "?place"


class Tidy:
    """What is the same for every format: which texts mean null, which rows are totals and no data."""

    def __init__(self, form: Format, header: Sequence[str]) -> None:
        self._nulls = list(form.null_values)
        self._names = list(header)
        self._totals = form.totals
        if form.totals is not None:
            check_totals(form.totals)

    def nulls(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with null where a text means that there is none."""
        if not self._nulls:
            return frame
        cells = pl.col(self._names)
        # To compare with one text takes less than half the time of a list's.
        is_value = cells != self._nulls[0] if len(self._nulls) == 1 else ~cells.is_in(self._nulls)
        return frame.with_columns(pl.when(is_value).then(cells))

    def without_blank(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that have something in a cell."""
        cells = pl.col(self._names)
        return frame.filter(~pl.all_horizontal(cells.is_null() if "" in self._nulls else cells.fill_null("") == ""))

    def without_totals(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that are no totals line."""
        if self._totals is None:
            return frame
        first = pl.coalesce(pl.col(self._names))
        return frame.filter(~first.str.contains(self._totals).fill_null(value=False))

    def is_totals(self, cells: Sequence[str]) -> bool:
        """Say whether the record is a totals line; of those that do not fit the header, too."""
        first = next((cell for cell in cells if cell not in self._nulls), None)
        return self._totals is not None and bool(pl.Series([first], dtype=pl.String).str.contains(self._totals).any())


def check_totals(pattern: str) -> None:
    """Raise ConfigError where Polars can not read the pattern."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            "the pattern of the totals line can not be read", where="format", way_out="look-around is not known"
        ) from error


class Counts:
    """How many records were no data, by why."""

    def __init__(self) -> None:
        self.by_reason: dict[str, int] = {}

    def add(self, why: str, number: int = 1) -> None:
        """Count ``number`` more."""
        if number:
            self.by_reason[why] = self.by_reason.get(why, 0) + number

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a remark on each."""
        return tuple(f"{n} {why} line{'s' if n > 1 else ''} skipped" for why, n in self.by_reason.items())


class Assembler:
    """Takes rows and rejects in the file's order; gives a batch whenever one is full."""

    def __init__(self, header: Sequence[str], form: Format, counts: Counts) -> None:
        self._header = list(header)
        self._tidy = Tidy(form, header)
        self._counts = counts
        self._rows: list[Cells] = []
        self._lines: list[int] = []
        self._rejects: list[Reject] = []
        self._places: list[int] = []
        self._reject_places: list[int] = []
        self._size = 0
        self._given = 0

    def row(self, line: int, cells: Cells, size: int) -> Iterator[Batch]:
        """Take a row of about ``size`` bytes; yield the batch that it fills."""
        self._rows.append(cells)
        self._lines.append(line)
        self._places.append(len(self._rows) + len(self._rejects))
        yield from self._grow(size)

    def reject(self, line: int, reason: str, detail: str, raw: bytes) -> Iterator[Batch]:
        """Take a record that is no row; yield the batch that it fills."""
        self._rejects.append(Reject(0, line, reason, detail, raw[:RAW_LIMIT]))
        self._reject_places.append(len(self._rows) + len(self._rejects))
        yield from self._grow(len(raw[:RAW_LIMIT]))

    def finish(self) -> Iterator[Batch]:
        """Yield what is left."""
        if not self._rows and not self._rejects:
            return
        frame = pl.DataFrame(self._rows, schema=dict.fromkeys(self._header, pl.String), orient="row")
        frame = frame.with_columns(pl.Series(LINE, self._lines, pl.UInt64), pl.Series(_PLACE, self._places, pl.UInt64))
        rejects, places = self._rejects, self._reject_places
        self._rows, self._lines, self._places, self._rejects, self._reject_places, self._size = [], [], [], [], [], 0
        frame = self._tidy.nulls(frame)
        kept = self._tidy.without_totals(frame)
        self._counts.add("totals", frame.height - kept.height)
        batch = number(kept, rejects, self._given, row_places=kept[_PLACE], reject_places=places)
        self._given += kept.height + len(rejects)
        yield from cut(batch, self._header)

    def _grow(self, size: int) -> Iterator[Batch]:
        self._size += size
        if len(self._rows) + len(self._rejects) >= BATCH_ROWS or self._size >= BATCH_BYTES:
            yield from self.finish()


def number(
    frame: pl.DataFrame,
    rejects: Sequence[Reject],
    given: int,
    *,
    row_places: pl.Series | None = None,
    reject_places: Sequence[int] | None = None,
) -> Batch:
    """Return rows and rejects numbered together in the order of the file, from ``given`` + 1 on.

    Where they stand, ascending, is told by their places; without those, by their lines.
    """
    rows_at = frame[LINE] if row_places is None else row_places
    rejects_at = pl.Series(reject_places or [reject.line for reject in rejects], dtype=pl.UInt64)
    before_row = rejects_at.search_sorted(rows_at, side="left")
    before_reject = rows_at.search_sorted(rejects_at, side="right")
    rows = pl.int_range(given + 1, given + 1 + frame.height, dtype=pl.UInt64, eager=True) + before_row.cast(pl.UInt64)
    numbered = tuple(
        Reject(given + 1 + i + before, reject.line, reject.reason, reject.detail, reject.raw)
        for i, (reject, before) in enumerate(zip(rejects, before_reject, strict=True))
    )
    return Batch(frame.with_columns(rows.alias(ROW)), numbered)


def cut(batch: Batch, header: Sequence[str]) -> Iterator[Batch]:
    """Yield ``batch`` in pieces of the bounded size, with the columns in their order; nothing where it is empty."""
    frame, rejects = batch.frame.select(*header, ROW, LINE), batch.rejects
    size = int(frame.estimated_size())
    step = BATCH_ROWS if size <= BATCH_BYTES else max(1, min(BATCH_ROWS, frame.height * BATCH_BYTES // size))
    given = 0
    for start in range(0, frame.height, step):
        piece = frame.slice(start, step)
        upto = len(rejects)
        if start + step < frame.height:
            last = int(piece[ROW][-1])
            while upto > given and rejects[upto - 1].row > last:
                upto -= 1
        yield Batch(piece, rejects[given:upto])
        given = upto
    if not frame.height and rejects:
        yield Batch(frame, rejects)
