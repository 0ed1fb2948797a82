"""Delimited text: comma, tab, semicolon, pipe. Framed by us, split into cells by Polars."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import polars as pl

from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.readers import BATCH_BYTES, BATCH_ROWS, LINE, RAW_LIMIT, ROW, Batch, Dialect, Reject
from pipeline_processing.readers.dialects import check_dialect, look, unique_names
from pipeline_processing.readers.encodings import Transcoder, check_encoding, decide, detect, restore
from pipeline_processing.readers.framing import Framed, Framer, Shape, parse
from pipeline_processing.readers.streams import BLOCK, ByteStream, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline_processing.contracts.model import Format

_KEY: Final = "_at"


class DelimitedRows:
    """A delimited file's rows. ``source`` is closed with it. See `pipeline_processing.readers.Rows`."""

    def __init__(
        self, source: Source, form: Format, *, columns: Sequence[str] = (), expected: Collection[str] = ()
    ) -> None:
        check_dialect(form)
        check_encoding(form.encoding)
        self._source = source
        self._form = form
        self._totals = _totals(form.totals)
        self._skipped: dict[str, int] = {}
        encoding = detect(source.head, form.encoding)
        self._encoding = encoding.name
        self._wide = encoding.name if encoding.is_wide else None
        self._stream: ByteStream = Transcoder(source, encoding) if encoding.is_wide else source
        first = self._stream.read(BLOCK)
        if not encoding.is_wide:
            first = first[len(encoding.mark) :]
        ahead = self._stream.read(BLOCK)
        codec = "utf-8" if self._wide else self._encoding
        text = first.decode(codec or "utf-8", "replace")
        found = look(text, form, is_whole=not ahead, expected=expected, columns=columns)
        names = found.header
        if names is None:
            names = form.names or tuple(columns) or tuple(f"column_{i}" for i in range(1, found.width + 1))
        self._header, notes = unique_names(names)
        self._shape = Shape(
            found.delimiter,
            form.quote,
            tuple(names),
            len(self._header),
            found.extra,
            found.header_text.rstrip("\r\n").encode(codec or "utf-8", "replace") or b"\n",
        )
        self._framer = Framer(self._shape, codec, skip_lines=found.skip)
        self._blocks = [first, ahead]
        self._row = 0
        self._dialect = Dialect(
            "csv",
            source.compression,
            None,
            found.delimiter,
            found.header_line,
            member=source.member,
            notes=(*source.notes, *(["byte order mark"] if encoding.mark else []), *found.notes, *notes),
        )

    @property
    def header(self) -> Sequence[str]:
        """Return the column names, unique."""
        return self._header

    @property
    def dialect(self) -> Dialect:
        """Return what was found out; the encoding is ``ascii`` while nothing else was met."""
        notes = [*self._dialect.notes]
        for why, count in self._skipped.items():
            notes.append(f"{count} {why} line{'s' if count > 1 else ''} skipped")
        return replace(self._dialect, encoding=self._encoding or "ascii", notes=tuple(notes))

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return how many records were no data, by why."""
        return dict(self._skipped)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def __iter__(self) -> Iterator[Batch]:
        while self._blocks:
            block = self._blocks.pop(0)
            following = self._blocks[0] if self._blocks else self._stream.read(BLOCK)
            self._blocks = [following] if following else []
            if self._encoding is None and (decided := decide(block, self._form.encoding)):
                self._encoding = self._framer.codec = decided
            yield from self._batches(self._framer.frame(block, is_last=not following))

    def _batches(self, framed: Framed) -> Iterator[Batch]:
        for why, count in framed.skipped.items():
            self._count(why, count)
        rejects = framed.rejects
        frame = self._frame(framed)
        frame = self._without_totals(self._without_blank(frame, framed))
        frame = self._without_surplus(frame, framed, rejects)
        rejects.sort(key=lambda reject: reject.line)
        if self._wide:
            rejects = [replace(r, raw=restore(r.raw, self._wide)[:RAW_LIMIT]) for r in rejects]
        yield from self._number(frame, rejects)

    def _frame(self, framed: Framed) -> pl.DataFrame:
        """Return the block's rows in the file's order, with `LINE`; and, in `_KEY`, the place of plain ones."""
        frame = self._split(framed)
        if framed.odd:
            names = self._names()
            odd = pl.DataFrame(
                [fields for _, fields in framed.odd], schema=dict.fromkeys(names, pl.String), orient="row"
            ).with_columns(
                pl.Series(LINE, [line for line, _ in framed.odd], pl.UInt64), pl.lit(-1, pl.Int64).alias(_KEY)
            )
            frame = pl.concat([frame, odd]).sort(LINE)
        nulls = self._form.null_values
        if framed.has_quotes or framed.odd or tuple(nulls) != ("",):
            cells = pl.col(self._names())
            frame = frame.with_columns(pl.when(~cells.is_in(list(nulls))).then(cells) if nulls else cells)
        return frame

    def _names(self) -> list[str]:
        return [*self._header, *(f"_extra_{i}" for i in range(self._shape.extra))]

    def _split(self, framed: Framed) -> pl.DataFrame:
        names = self._names()
        count = len(framed.lines)
        if not count:
            frame = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        else:
            plain = framed.plain
            codec = self._framer.codec
            if codec not in {None, "utf-8"} and not plain.isascii():
                plain = plain.decode(codec or "utf-8").encode()
            frame = pl.read_csv(
                plain,
                has_header=False,
                schema=dict.fromkeys(names, pl.String),
                separator=self._shape.delimiter,
                quote_char=self._shape.quote if framed.has_quotes else None,
                empty_string_is_null="" in self._form.null_values,
            )
            if frame.height != count:
                frame = pl.DataFrame(parse(plain.decode(), self._shape), schema=frame.schema, orient="row")
            if frame.height != count:
                raise InvalidData(f"{count} lines gave {frame.height} rows, near line {int(framed.lines[0])}")
        return frame.with_columns(
            pl.Series(LINE, framed.lines.astype(np.uint64)), pl.Series(_KEY, np.arange(count, dtype=np.int64))
        )

    def _without_blank(self, frame: pl.DataFrame, framed: Framed) -> pl.DataFrame:
        if not framed.has_quotes and tuple(self._form.null_values) == ("",):
            return frame  # the framer has seen them
        kept = frame.filter(~pl.all_horizontal(pl.col(self._names()).is_null()))
        self._count("blank", frame.height - kept.height)
        return kept

    def _without_totals(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self._totals is None:
            return frame
        first = pl.coalesce(pl.col(self._names()))
        kept = frame.filter(~first.str.contains(self._totals).fill_null(value=False))
        self._count("totals", frame.height - kept.height)
        return kept

    def _without_surplus(self, frame: pl.DataFrame, framed: Framed, rejects: list[Reject]) -> pl.DataFrame:
        """Reject the rows that have something where every record of the sample had nothing."""
        extra = self._names()[self._shape.named :]
        if not extra:
            return frame
        is_fine = pl.all_horizontal(pl.col(extra).is_null() | (pl.col(extra) == ""))
        for line, at in frame.filter(~is_fine).select(LINE, _KEY).iter_rows():
            raw = framed.data[int(framed.starts[at]) : int(framed.ends[at])][:RAW_LIMIT] if at >= 0 else b""
            detail = f"{self._shape.width} fields where the header has {self._shape.named}"
            rejects.append(Reject(0, line, "ragged", detail, raw))
        return frame.filter(is_fine).drop(extra)

    def _number(self, frame: pl.DataFrame, rejects: list[Reject]) -> Iterator[Batch]:
        """Yield batches of rows and rejects, numbered in the file's order."""
        lines = frame[LINE].to_numpy()
        rejected = np.array([reject.line for reject in rejects], dtype=np.uint64)
        rows = np.arange(1, len(lines) + 1, dtype=np.uint64) + self._row
        rows += np.searchsorted(rejected, lines).astype(np.uint64)
        before = np.searchsorted(lines, rejected)
        numbered = [replace(reject, row=self._row + i + 1 + int(before[i])) for i, reject in enumerate(rejects)]
        self._row += len(lines) + len(rejects)
        frame = frame.select(*self._header, pl.Series(ROW, rows), LINE)
        yield from cut(frame, numbered, before)

    def _count(self, why: str, number: int) -> None:
        if number:
            self._skipped[why] = self._skipped.get(why, 0) + number


def cut(frame: pl.DataFrame, rejects: Sequence[Reject], before: NDArray[np.int64]) -> Iterator[Batch]:
    """Yield batches of the bounded size; a reject goes with the rows that stand around it."""
    size = int(frame.estimated_size())
    step = BATCH_ROWS if size <= BATCH_BYTES else max(1, min(BATCH_ROWS, frame.height * BATCH_BYTES // size))
    given = 0
    for start in range(0, frame.height, step):
        end = min(start + step, frame.height)
        upto = len(rejects) if end == frame.height else int(np.searchsorted(before, end, side="right"))
        yield Batch(frame.slice(start, end - start), tuple(rejects[given:upto]))
        given = upto
    if not frame.height and rejects:
        yield Batch(frame, tuple(rejects))


def _totals(pattern: str | None) -> str | None:
    if pattern is None:
        return None
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            "the pattern of the totals line can not be read", where="format", way_out="look-around is not known"
        ) from error
    return pattern
