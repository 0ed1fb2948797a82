"""A file read again for some of its rows alone, mended where a person mended them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import orjson
import polars as pl

from etl_core.errors import InvalidData
from pipeline_processing.quarantine.schema import SCHEMA
from pipeline_processing.readers import LINE, ROW, Batch, Dialect, Reject
from pipeline_processing.transforms.headers import match

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.readers import Rows

SELECTION: Final = pl.Schema(
    {
        **{name: SCHEMA[name] for name in ("quarantine_id", "source_row", "line", "rules", "raw", "raw_bytes")},
        "reason": pl.String(),
        "edits": pl.String(),
    }
)
"""What a release pins of one source: its rows, as they stand in quarantine, ``edits`` as `editing.EDITS` has them."""
_VALUE: Final = "_value"
_IS_EDITED: Final = "_is_edited"


class SelectedRows:
    """Of ``rows`` those that ``selection`` names, by number, with their edits; numbers and lines stay what they were.

    InvalidData, in the end, where one of them is not there, or starts on another line: then the contract reads the file
    otherwise than when its rows were numbered, and what has the number may be another row.
    """

    def __init__(self, rows: Rows, selection: pl.DataFrame, contract: Contract) -> None:
        self._rows, self._contract = rows, contract
        self._edits = _Edits(selection, contract, rows.header)
        self._lines = selection.select(
            pl.col("source_row").cast(pl.UInt64).alias(ROW), pl.col("line").cast(pl.UInt64).alias("_was")
        )
        self._wanted = dict(self._lines.iter_rows())

    @property
    def header(self) -> Sequence[str]:
        """Return the file's own header."""
        return self._rows.header

    @property
    def dialect(self) -> Dialect:
        """Return what was found out about the file."""
        return self._rows.dialect

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return nothing: what a plain run skips was counted there."""
        return {}

    def __iter__(self) -> Iterator[Batch]:
        """Yield what there is of the selection in each batch."""
        missing = set(self._wanted)
        for batch in self._rows:
            frame = batch.frame.join(self._lines, on=ROW, how="inner", maintain_order="left")
            rejects = [reject for reject in batch.rejects if reject.row in self._wanted]
            moved = frame.filter(pl.col(LINE) != pl.col("_was"))[ROW].to_list()
            moved += [reject.row for reject in rejects if reject.line != self._wanted[reject.row]]
            if moved:
                raise _otherwise(min(moved), "starts on another line")
            missing -= {*frame[ROW].to_list(), *(reject.row for reject in rejects)}
            if frame.height or rejects:
                yield self._edits.apply(Batch(frame.drop("_was"), rejects))
        if missing:
            raise _otherwise(min(missing), "is not there")

    def __enter__(self) -> Self:
        self._rows.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._rows.__exit__(*error)


class KeptRows:
    """The rows of ``selection`` as quarantine has kept them, for a file that is gone; records that are no rows too."""

    def __init__(self, selection: pl.DataFrame, contract: Contract) -> None:
        self._selection = selection.sort("source_row")
        names: dict[str, None] = {}
        for raw in selection["raw"].drop_nulls():
            names |= dict.fromkeys(orjson.loads(raw))
        for edits in selection.filter(pl.col("raw").is_null())["edits"].drop_nulls():
            names |= dict.fromkeys(orjson.loads(edits))
        self._header = list(names)
        self._edits = _Edits(selection, contract, self._header)

    @property
    def header(self) -> Sequence[str]:
        """Return the names that the rows have."""
        return self._header

    @property
    def dialect(self) -> Dialect:
        """Return that these rows come from no file."""
        return Dialect("quarantine", notes=("read from the quarantine: the file is gone",))

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}

    def __iter__(self) -> Iterator[Batch]:
        """Yield all of them."""
        rows = self._selection.filter(pl.col("raw").is_not_null())
        cells = [orjson.loads(raw) for raw in rows["raw"]]
        own = pl.DataFrame(
            {name: [_text(row.get(name)) for row in cells] for name in self._header},
            dict.fromkeys(self._header, pl.String()),
        )
        frame = own.with_columns(
            rows["source_row"].cast(pl.UInt64).alias(ROW), rows["line"].cast(pl.UInt64).alias(LINE)
        )
        rejects = [
            Reject(row["source_row"], row["line"], _reason(row["rules"]), "kept in quarantine", row["raw_bytes"] or b"")
            for row in self._selection.filter(pl.col("raw").is_null()).iter_rows(named=True)
        ]
        yield self._edits.apply(Batch(frame, rejects))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class MendedRows:
    """All ``rows``, those that ``edits`` names (as a `SELECTION`) as they were mended once.

    An edit that does not fit any more is left out: its row is then what it is in the file, for the checks to judge.
    """

    def __init__(self, rows: Rows, edits: pl.DataFrame, contract: Contract) -> None:
        self._rows = rows
        self._edits = _Edits(edits, contract, rows.header, is_strict=False)

    @property
    def header(self) -> Sequence[str]:
        """Return the file's own header."""
        return self._rows.header

    @property
    def dialect(self) -> Dialect:
        """Return what was found out about the file."""
        return self._rows.dialect

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return what the file's reader skipped."""
        return self._rows.skipped

    def __iter__(self) -> Iterator[Batch]:
        """Yield the file's batches, mended."""
        for batch in self._rows:
            yield self._edits.apply(batch)

    def __enter__(self) -> Self:
        self._rows.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._rows.__exit__(*error)


class _Edits:
    """The new texts of a selection, for rows that still stand on the line where they stood.

    InvalidData for a column that the header does not have; without ``is_strict`` its row is left as it is.
    """

    def __init__(
        self, selection: pl.DataFrame, contract: Contract, header: Sequence[str], *, is_strict: bool = True
    ) -> None:
        self._header = list(header)
        known = {name: name for name in header}
        chosen = match(contract.columns, header)
        for column in contract.columns:
            if column.name in chosen:
                known |= {name: chosen[column.name] for name in (column.name, *column.sources) if name not in known}
        self._by_row: dict[tuple[int, int], dict[str, str | None]] = {}
        edited = selection.filter(pl.col("edits").is_not_null()).select("source_row", "line", "edits")
        for row, line, text in edited.iter_rows():
            edits = orjson.loads(text)
            if strange := [name for name in edits if name not in known]:
                if is_strict:
                    raise InvalidData(f"row {row} was given a value for {strange[0]!r}, which is no column of the file")
                continue
            self._by_row[row, line] = {known[name]: value for name, value in edits.items()}
        by_column: dict[str, list[tuple[int, int, str | None]]] = {}
        for (row, line), edits in self._by_row.items():
            for name, value in edits.items():
                by_column.setdefault(name, []).append((row, line, value))
        self._frames = {name: _frame(values) for name, values in by_column.items()}

    def apply(self, batch: Batch) -> Batch:
        """Return the batch with its edits; a record that is no row and was mended has become one."""
        frame = batch.frame
        for name, edits in self._frames.items():
            at = frame.select(ROW, LINE).join(edits, on=[ROW, LINE], how="left", maintain_order="left")
            value = pl.when(at[_IS_EDITED].is_not_null()).then(at[_VALUE]).otherwise(pl.col(name))
            frame = frame.with_columns(value.cast(pl.String).alias(name))
        mended = [reject for reject in batch.rejects if (reject.row, reject.line) in self._by_row]
        if not mended:
            return Batch(frame, batch.rejects)
        cells = [self._by_row[reject.row, reject.line] for reject in mended]
        columns = {name: [row.get(name) for row in cells] for name in self._header}
        numbers = {ROW: [reject.row for reject in mended], LINE: [reject.line for reject in mended]}
        rows = pl.DataFrame({**columns, **numbers}, schema=frame.schema)
        left = [reject for reject in batch.rejects if (reject.row, reject.line) not in self._by_row]
        return Batch(pl.concat([frame, rows]).sort(ROW), left)


def _frame(values: Sequence[tuple[int, int, str | None]]) -> pl.DataFrame:
    frame = pl.DataFrame(values, {ROW: pl.UInt64(), LINE: pl.UInt64(), _VALUE: pl.String()}, orient="row")
    return frame.with_columns(pl.lit(1).alias(_IS_EDITED))


def _otherwise(row: int, what: str) -> InvalidData:
    return InvalidData(
        f"row {row} {what}: the contract reads the file otherwise than when its rows were quarantined; "
        "run the file again instead"
    )


def _reason(rules: Sequence[str]) -> str:
    return rules[0].partition(".")[2].replace("_", " ") if rules else "unknown"


def _text(value: object) -> str | None:
    return None if value is None else str(value)
