from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import xlsxwriter

from etl_core.errors import InvalidData
from pipeline_processing.contracts.model import Format
from pipeline_processing.readers.merged_cells import Span, join_groups, spans_of
from pipeline_processing.readers.office_guard import check_xlsx
from pipeline_processing.readers.open_file import open_file
from pipeline_processing.readers.parquet_rows import text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def workbook(path: Path, fill: Callable[[Any], None]) -> Path:
    book = xlsxwriter.Workbook(path)
    fill(book)
    book.close()
    return path


def test_the_line_of_a_row_is_its_number_in_the_sheet(tmp_path: Path) -> None:
    def fill(book: Any) -> None:  # noqa: ANN401 - xlsxwriter has no types
        sheet = book.add_worksheet()
        sheet.write_row(4, 2, ["id", "name"])
        sheet.write_row(6, 2, ["1", "Ann"])
        sheet.write_row(7, 2, ["id", "name"])
        sheet.write_row(8, 2, ["2", "Bob"])

    with open_file(workbook(tmp_path / "b.xlsx", fill)) as rows:
        (batch,) = rows
        assert [("1", "Ann", 1, 7), ("2", "Bob", 2, 9)] == batch.frame.rows()
        assert {"blank": 1, "repeated header": 1} == rows.skipped
        assert 5 == rows.dialect.header_line


def test_the_first_sheet_with_cells_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    def fill(book: Any) -> None:  # noqa: ANN401 - xlsxwriter has no types
        book.add_worksheet("Cover")
        for name in ("Data", "Old"):
            book.add_worksheet(name).write_column(0, 0, ["what", name])

    path = workbook(tmp_path / "b.xlsx", fill)
    with open_file(path) as rows:
        assert [("Data", 1, 2)] == next(iter(rows)).frame.rows()
        assert ("Data", ("sheets not read: Cover, Old",)) == (rows.dialect.sheet, tuple(rows.dialect.notes))
    for wanted in ("Old", 3):
        with open_file(path, Format(sheet=wanted)) as rows:
            assert [("Old", 1, 2)] == next(iter(rows)).frame.rows()


def test_merged_cells_group_the_names_below_them() -> None:
    rows = [
        ["Report", "", "", ""],
        ["Officer", "", "Unit", "Note"],
        ["Last", "First", "No", ""],
        ["Doe", "Jo", "1", "x"],
    ]
    spans = spans_of(["B1:E1", "B2:C2", "E2:E3", "nonsense"])
    assert (Span(0, 1, 0, 4), Span(1, 1, 1, 2), Span(1, 4, 2, 4)) == spans
    names = ["Officer Last", "Officer First", "No", "Note"]
    assert (names, 2, True) == join_groups(rows, 1, spans)
    assert (names, 2, True) == join_groups(rows, 2, spans)
    assert (["Officer", "", "Unit", "Note"], 1, False) == join_groups(rows, 1, ())


def test_a_header_row_that_the_contract_names_is_joined_with_none(tmp_path: Path) -> None:
    def fill(book: Any) -> None:  # noqa: ANN401 - xlsxwriter has no types
        sheet = book.add_worksheet()
        sheet.merge_range("A1:B1", "Officer")
        sheet.merge_range("C1:D1", "Pay")
        sheet.write_row(1, 0, ["Badge No.", "Name", "Base", "Extra"])
        sheet.write_row(2, 0, ["42", "Ann", "10", "1"])

    path = workbook(tmp_path / "b.xlsx", fill)
    with open_file(path) as rows:
        assert ["Officer Badge No.", "Officer Name", "Pay Base", "Pay Extra"] == list(rows.header)
        assert ["two header rows joined"] == list(rows.dialect.notes)
    with open_file(path, Format(header_row=2)) as rows:
        assert ["Badge No.", "Name", "Base", "Extra"] == list(rows.header)
        assert (2, ["1 row above the header"]) == (rows.dialect.header_line, list(rows.dialect.notes))
        assert [("42", "Ann", "10", "1", 1, 3)] == next(iter(rows)).frame.rows()


def test_a_title_merged_over_the_whole_width_is_no_group() -> None:
    rows = [["Officers of 2020", ""], ["Last", "First"], ["Doe", "Jo"]]
    assert (["Last", "First"], 1, False) == join_groups(rows, 1, spans_of(["A1:B1"]))


def test_a_part_whose_declared_size_lies_is_not_opened(tmp_path: Path) -> None:
    path = workbook(tmp_path / "b.xlsx", lambda book: book.add_worksheet().write_column(0, 0, ["x"] * 100_000))
    with zipfile.ZipFile(path) as archive:
        true = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    data = path.read_bytes().replace(true.to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(InvalidData, match="damaged"):
        check_xlsx(path, "b.xlsx")


def test_typed_columns_become_texts_that_say_the_same() -> None:
    moment = datetime(2020, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)
    columns = {
        "1": pl.Series([1], dtype=pl.Int64),
        "1946.0": pl.Series([1946.0]),
        "NaN": pl.Series([float("nan")]),
        "true": pl.Series([True]),
        "2020-01-02": pl.Series([date(2020, 1, 2)]),
        "2020-01-02T03:04:05.600": pl.Series([moment.replace(tzinfo=None)], dtype=pl.Datetime("ms")),
        "2020-01-02T03:04:05.600+00:00": pl.Series([moment], dtype=pl.Datetime("us", "UTC")),
        "03:04:05": pl.Series([moment.time().replace(microsecond=0)]),
        "12.340": pl.Series([Decimal("12.340")]),
        "Zoë": pl.Series(["Zoë".encode()]),
    }
    assert list(columns) == [text_of(series)[0] for series in columns.values()]


def test_nested_values_become_json() -> None:
    series = pl.Series([{"day": date(2020, 1, 2), "raw": b"x\xff", "list": [1, None], "pay": Decimal("1.50")}, None])
    assert ['{"day": "2020-01-02", "raw": "x\\\\xff", "list": [1, null], "pay": "1.50"}', None] == text_of(
        series
    ).to_list()


def test_an_unpacked_workbook_goes_when_its_rows_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = workbook(tmp_path / "b.xlsx", lambda book: book.add_worksheet().write_column(0, 0, ["x", "y"]))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(book, "inner.xlsx")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with open_file(tmp_path / "b.zip") as rows:
        assert 1 == len(list((tmp_path / "temporary").iterdir()))
        assert [("y", 1, 2)] == next(iter(rows)).frame.rows()
    assert [] == list((tmp_path / "temporary").iterdir())
