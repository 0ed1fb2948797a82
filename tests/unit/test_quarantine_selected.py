"""Some rows of a file, mended: read from the file batch by batch, or from what quarantine has kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import orjson
import polars as pl
import pytest

from etl_core.errors import InvalidData
from pipeline_processing.contracts.load import load
from pipeline_processing.quarantine.selected import SELECTION, KeptRows, MendedRows, SelectedRows
from pipeline_processing.readers import LINE, ROW, Batch, Dialect, Reject
from silver_world import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline_processing.model import Json
    from pipeline_processing.readers import Rows

PEOPLE = load(CONTRACT)


class FakeRows:
    """A file of two batches; records 2 and 5 are no rows. A record's line is its number plus one."""

    header = ("id", "name", "hired")
    dialect = Dialect("csv")
    skipped: Mapping[str, int] = {"blank": 1}

    def __iter__(self) -> Iterator[Batch]:
        yield Batch(frame(1, 3), [reject(2)])
        yield Batch(frame(4, 6), [reject(5)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def frame(*numbers: int) -> pl.DataFrame:
    rows = [(f"{n}", f"name {n}", None, n, n + 1) for n in numbers]
    schema = {**dict.fromkeys(FakeRows.header, pl.String()), ROW: pl.UInt64(), LINE: pl.UInt64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def reject(number: int) -> Reject:
    return Reject(number, number + 1, "ragged", "2 fields where the header has 3", b"x,y")


def selection(edits: Mapping[int, Json], **more: Json) -> pl.DataFrame:
    """Rows by number with their edits (None = none); of 2 and 5 quarantine has the bytes, of the others the row."""
    rows = [
        {
            **dict.fromkeys(SELECTION),
            "quarantine_id": f"q{number}",
            "source_row": number,
            "line": number + 1,
            "rules": ["reader.ragged" if number in {2, 5} else "hired.type"],
            "raw": None
            if number in {2, 5}
            else orjson.dumps({"id": f"{number}", "name": f"name {number}", "hired": None}).decode(),
            "raw_bytes": b"x,y" if number in {2, 5} else None,
            "edits": None if edit is None else orjson.dumps(edit).decode(),
            **more,
        }
        for number, edit in edits.items()
    ]
    return pl.DataFrame(rows, schema=SELECTION, orient="row")


def read(rows: Rows) -> tuple[list[tuple[str | None, ...]], list[int]]:
    """Return the rows with their numbers and lines, and the numbers of the rejects."""
    found: list[tuple[str | None, ...]] = []
    rejected: list[int] = []
    with rows as opened:
        for batch in opened:
            assert [*rows.header, ROW, LINE] == batch.frame.columns
            found += batch.frame.iter_rows()
            rejected += [one.row for one in batch.rejects]
    return found, rejected


def test_only_the_selected_records_come_with_their_numbers_and_lines() -> None:
    rows, rejected = read(SelectedRows(FakeRows(), selection({3: None, 5: None, 6: None}), PEOPLE))
    assert [("3", "name 3", None, 3, 4), ("6", "name 6", None, 6, 7)] == rows
    assert [5] == rejected


def test_edits_change_their_cells_alone_and_make_rows_of_records_that_were_none() -> None:
    edits = {1: {"hired": "2001-01-01"}, 2: {"id": "2", "name": "Bob"}, 4: {"name": None}, 5: None, 6: None}
    rows, rejected = read(SelectedRows(FakeRows(), selection(edits), PEOPLE))
    assert [
        ("1", "name 1", "2001-01-01", 1, 2),
        ("2", "Bob", None, 2, 3),
        ("4", None, None, 4, 5),
        ("6", "name 6", None, 6, 7),
    ] == rows
    assert [5] == rejected


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        (selection({3: None, 9: None}), "row 9 is not there"),
        (selection({3: None, 4: None}, line=4), "row 4 starts on another line"),
        (selection({5: None}, line=7), "row 5 starts on another line"),
    ],
)
def test_rows_that_have_moved_are_not_taken_for_what_they_were(wanted: pl.DataFrame, what: str) -> None:
    with pytest.raises(InvalidData, match=f"{what}: the contract reads the file otherwise"):
        read(SelectedRows(FakeRows(), wanted, PEOPLE))


def test_an_edit_of_a_column_that_the_file_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidData, match="row 3 was given a value for 'born', which is no column of the file"):
        read(SelectedRows(FakeRows(), selection({3: {"born": "1980-01-01"}}), PEOPLE))


def test_kept_rows_are_what_the_file_would_give() -> None:
    edits = {2: {"id": "2", "name": "Bob", "hired": "2001-01-01"}, 1: {"name": "Ann"}, 5: None, 6: None}
    wanted = selection(edits)
    assert read(SelectedRows(FakeRows(), wanted, PEOPLE)) == read(KeptRows(wanted, PEOPLE))
    assert ([], []) == read(KeptRows(wanted.clear(), PEOPLE))


def test_mended_rows_are_all_of_the_file_and_edits_that_do_not_fit_any_more_are_left_out() -> None:
    fitting = {1: {"name": "Ann"}, 2: {"id": "2"}, 3: {"born": "1980"}, 4: {"name": "Dee"}}
    moved = selection({6: {"name": "moved"}, 5: {"id": "moved"}}, line=1)
    mended = MendedRows(FakeRows(), pl.concat([selection(fitting), moved]), PEOPLE)
    rows, rejected = read(mended)
    assert [(1, "Ann"), (2, None), (3, "name 3"), (4, "Dee"), (6, "name 6")] == [(row[3], row[1]) for row in rows]
    assert [5] == rejected
    assert {"blank": 1} == mended.skipped


def test_a_column_may_be_named_as_the_contract_does() -> None:
    named: Iterable[str] = ("ID", "Name", "Hired")

    class Capitals(FakeRows):
        header = tuple(named)

        def __iter__(self) -> Iterator[Batch]:
            yield Batch(frame(1).rename(dict(zip(FakeRows.header, self.header, strict=True))), [reject(2)])

    rows, _ = read(SelectedRows(Capitals(), selection({2: {"id": "2", "hired": "2001-01-01"}}), PEOPLE))
    assert [("2", None, "2001-01-01", 2, 3)] == rows
