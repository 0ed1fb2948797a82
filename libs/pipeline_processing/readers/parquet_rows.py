"""Parquet, a slice at a time: memory is that of the slice, however large the file or its row groups are."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final, Self

import polars as pl

from etl_core.errors import InvalidData
from pipeline_processing.readers import BATCH_ROWS, LINE, Batch, Dialect, Reject
from pipeline_processing.readers.assembling import Counts, Tidy, cut, number
from pipeline_processing.readers.dialects import COLUMNS_LIMIT, unique_names
from pipeline_processing.readers.guarded import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline_processing.contracts.model import Format
    from pipeline_processing.readers.origins import Origin

_TAIL: Final = 8
_CELLS: Final = BATCH_ROWS * 64
_WHAT: Final = "a Parquet file"


class ParquetRows:
    """The rows of a Parquet file. See `pipeline_processing.readers.Rows`."""

    def __init__(self, origin: Origin, form: Format) -> None:
        self._origin = origin
        self._counts = Counts()
        with reading(origin.name, _WHAT, OSError):
            self._scan = pl.scan_parquet(origin.path, glob=False)
            names = self._scan.collect_schema().names()
            self._height = int(self._scan.select(pl.len()).collect().item())
        if not 0 < len(names) <= COLUMNS_LIMIT:
            raise InvalidData(f"{origin.name}: {len(names)} columns; at least one, at most {COLUMNS_LIMIT}")
        self._header, self._more = unique_names(names)
        self._tidy = Tidy(form, self._header)
        self._step = max(1, min(BATCH_ROWS, _CELLS // len(names)))

    @property
    def header(self) -> Sequence[str]:
        """Return the column names."""
        return self._header

    @property
    def dialect(self) -> Dialect:
        """Return what was found out."""
        origin = self._origin
        notes = (*origin.notes, *self._more, *self._counts.notes)
        return Dialect("parquet", origin.compression, member=origin.member, notes=notes)

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return how many records were no data, by why."""
        return dict(self._counts.by_reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._origin.close()

    def __iter__(self) -> Iterator[Batch]:
        given = 0
        for start in range(0, self._height, self._step):
            with reading(self._origin.name, _WHAT, OSError):
                typed = self._scan.slice(start, self._step).collect()
                texts = [text_of(series).alias(name) for series, name in zip(typed, self._header, strict=True)]
            if typed.height != min(self._step, self._height - start):
                raise InvalidData(f"{self._origin.name}: fewer rows than its footer says")
            frame = pl.DataFrame(texts).with_columns(
                pl.int_range(start + 1, start + 1 + typed.height, dtype=pl.UInt64, eager=True).alias(LINE)
            )
            frame, rejects = self._judge(frame, typed)
            batch = number(self._only_data(frame), rejects, given)
            given += batch.frame.height + len(rejects)
            yield from cut(batch, self._header)

    def _only_data(self, frame: pl.DataFrame) -> pl.DataFrame:
        frame = self._tidy.nulls(frame)
        kept = self._tidy.without_totals(frame)
        self._counts.add("totals", frame.height - kept.height)
        return kept

    def _judge(self, frame: pl.DataFrame, typed: pl.DataFrame) -> tuple[pl.DataFrame, list[Reject]]:
        """Part the rows that hold zero characters, or bytes of no text, from the others."""
        faults: dict[int, str] = {}
        for series, name in zip(typed, self._header, strict=True):
            if series.dtype == pl.Binary:
                is_bad = series.is_not_null() & frame[name].is_null()
                faults |= dict.fromkeys(is_bad.arg_true().to_list(), "undecodable")
            if series.dtype in {pl.Binary, pl.String}:
                has_zero = frame[name].str.contains("\0", literal=True).fill_null(value=False)
                faults |= dict.fromkeys(has_zero.arg_true().to_list(), "nul byte")
        if not faults:
            return frame, []
        rejects = [
            Reject(0, int(frame[LINE][at]), faults[at], "in a cell of text", _raw(typed.row(at, named=True)))
            for at in sorted(faults)
        ]
        return frame.with_row_index("?").filter(~pl.col("?").is_in(list(faults))).drop("?"), rejects


def check_ends(origin: Origin) -> None:
    """Raise InvalidData where the file was cut off."""
    with origin.path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _TAIL, 0))
        tail = file.read(_TAIL)
    if not tail.endswith(b"PAR1"):
        raise InvalidData(f"{origin.name}: a Parquet file without its end; was it cut off?")
    if int.from_bytes(tail[:4], "little") > size:
        raise InvalidData(f"{origin.name}: a Parquet file whose footer is damaged")


def text_of(series: pl.Series) -> pl.Series:
    """Return a column's values as texts: ISO 8601, ``true``, nested ones as JSON; bytes that are no UTF-8 as null."""
    kind = series.dtype
    if kind == pl.String:
        return series
    if kind == pl.Binary:
        return pl.Series(series.name, [_decoded(value) for value in series.to_list()], pl.String)
    if kind.is_nested():
        values = [None if value is None else _json(value) for value in series.to_list()]
        return pl.Series(series.name, values, pl.String)
    if isinstance(kind, pl.Datetime):
        zone = "" if kind.time_zone is None else "%:z"
        return series.dt.to_string("%Y-%m-%dT%H:%M:%S%.f" + zone)
    if kind in {pl.Duration, pl.Date, pl.Time}:
        return series.dt.to_string("iso")
    return series.cast(pl.String)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, pl.Series):
        return value.to_list()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _raw(row: dict[str, object]) -> bytes:
    return _json(row).encode("utf-8", "backslashreplace")
