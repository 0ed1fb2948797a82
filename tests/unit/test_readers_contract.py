"""What every reader promises, whatever the format: one suite, and each format's file beside it."""

from __future__ import annotations

import gzip
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
import xlsxwriter
import zstandard

from etl_core.errors import InvalidData
from pipeline_processing.contracts.model import Format
from pipeline_processing.readers import BATCH_BYTES, BATCH_ROWS, LINE, ROW, Batch
from pipeline_processing.readers.open_file import open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

HEADER: Final = ("id", "name", "day")
ROWS: Final = BATCH_ROWS + 1234


@dataclass(frozen=True)
class Case:
    """A format: how to write a table in it, and what is bad in the file beside the table's rows."""

    name: str
    write: Callable[[Path, Sequence[tuple[str, ...]]], None]
    form: Format = field(default_factory=Format)
    bad: bytes = b""
    """Appended to the file: one reject and one skipped record, where the format can have such."""


def text(rows: Sequence[tuple[str, ...]], delimiter: str = ",") -> str:
    return "".join(delimiter.join(row) + "\n" for row in (HEADER, *rows))


def write_csv(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_text(text(rows), "utf-8")


def write_tabs(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_bytes(text(rows, "\t").replace("\n", "\r\n").encode("cp1252"))


def write_utf16(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_bytes(text(rows, ";").encode("utf-16"))


def write_gzip(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_bytes(gzip.compress(text(rows).encode(), 1))


def write_zstandard(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_bytes(zstandard.compress(text(rows).encode(), 1))


def write_zip(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", text(rows))


def write_fixed(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_text("".join(f"{i:<8}{name:<12}{day:<10}\n" for i, name, day in rows), "utf-8")


def objects(rows: Sequence[tuple[str, ...]]) -> list[dict[str, str]]:
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


def write_ndjson(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in objects(rows)), "utf-8")


def write_json(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_text(json.dumps(objects(rows)), "utf-8")


def write_workbook(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    book = xlsxwriter.Workbook(path, {"constant_memory": True})
    sheet = book.add_worksheet()
    for number, row in enumerate((HEADER, *rows)):
        sheet.write_row(number, 0, row)
    book.close()


def write_parquet(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    schema = dict.fromkeys(HEADER, pl.String)
    pl.DataFrame(list(rows), schema=schema, orient="row").write_parquet(path, row_group_size=50_000)


CASES: Final = (
    Case("csv", write_csv, bad=b"only,two\n\n"),
    Case("tabs cp1252", write_tabs, bad=b"only\ttwo\r\n\r\n"),
    Case("utf-16", write_utf16, bad="only;two\n\n".encode("utf-16-le")),
    Case("gzip", write_gzip, bad=gzip.compress(b"only,two\n\n")),
    Case("zstandard", write_zstandard, bad=zstandard.compress(b"only,two\n\n")),
    Case("zip", write_zip),
    Case("fixed", write_fixed, Format(widths=(("id", 1, 8), ("name", 9, 12), ("day", 21, 10))), b"short\n\n"),
    Case("ndjson", write_ndjson, bad=b"{no json\n\n"),
    Case("json", write_json),
    Case("xlsx", write_workbook),
    Case("parquet", write_parquet),
)


def table(count: int) -> list[tuple[str, ...]]:
    return [(str(i), f"Zoë {i % 7}", f"20{i % 100:02}-01-02") for i in range(count)]


def read(path: Path, form: Format) -> tuple[list[Batch], dict[str, int], tuple[str, ...], Any]:
    with open_file(path, form) as rows:
        batches = list(rows)
        return batches, dict(rows.skipped), tuple(rows.header), rows.dialect


@pytest.fixture(params=CASES, ids=lambda case: case.name.replace(" ", "_"))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_a_table_comes_back_as_it_was_written(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "file", table(300))
    batches, skipped, header, _ = read(tmp_path / "file", case.form)
    frame = pl.concat([batch.frame for batch in batches])
    assert header == HEADER
    assert [*HEADER, ROW, LINE] == frame.columns
    assert [pl.String] * 3 + [pl.UInt64] * 2 == frame.dtypes
    assert table(300) == frame.select(HEADER).rows()
    assert {} == skipped
    assert [] == [reject for batch in batches for reject in batch.rejects]


def test_rows_and_rejects_are_numbered_together_and_nothing_is_lost(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "file", table(50))
    with (tmp_path / "file").open("ab") as file:
        file.write(case.bad)
    batches, skipped, _, _ = read(tmp_path / "file", case.form)
    rejects = [reject for batch in batches for reject in batch.rejects]
    rows = [number for batch in batches for number in batch.frame[ROW].to_list()]
    is_bad = bool(case.bad)
    assert list(range(1, 51)) == rows
    assert [51] * is_bad == [reject.row for reject in rejects]
    assert ({"blank": 1} if is_bad else {}) == skipped


def test_a_long_file_comes_in_bounded_batches_in_order(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "file", table(ROWS))
    batches, _, _, _ = read(tmp_path / "file", case.form)
    assert len(batches) > 1
    assert max(batch.frame.height for batch in batches) <= BATCH_ROWS
    assert max(batch.frame.estimated_size() for batch in batches) <= BATCH_BYTES * 1.5
    frame = pl.concat([batch.frame for batch in batches])
    assert list(range(1, ROWS + 1)) == frame[ROW].to_list()
    assert frame[LINE].is_sorted()
    assert [str(i) for i in range(ROWS)] == frame["id"].to_list()


def test_reading_twice_gives_the_same(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "file", table(200))
    with (tmp_path / "file").open("ab") as file:
        file.write(case.bad)
    first, second = read(tmp_path / "file", case.form), read(tmp_path / "file", case.form)
    assert [batch.rejects for batch in first[0]] == [batch.rejects for batch in second[0]]
    assert all(one.frame.equals(other.frame) for one, other in zip(first[0], second[0], strict=True))
    assert first[1:] == second[1:]


def test_a_table_without_rows_has_its_header_and_no_batch(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "file", [])
    if not (tmp_path / "file").read_bytes():  # formats whose header is in the rows: nothing is written at all
        with pytest.raises(InvalidData, match="empty"):
            read(tmp_path / "file", case.form)
        return
    batches, skipped, header, _ = read(tmp_path / "file", case.form)
    assert ([], {}) == (batches, skipped)
    assert header in {HEADER, ()}


def test_what_is_given_as_null_becomes_null(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "file", [("1", "N/A", "x"), ("2", "-", "y"), ("3", "Ann", "z")])
    form = Format(widths=case.form.widths, null_values=("", "N/A", "-"))
    batches, _, _, _ = read(tmp_path / "file", form)
    assert [None, None, "Ann"] == batches[0].frame["name"].to_list()


def test_totals_lines_are_left_out_and_counted(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "file", [("1", "Ann", "x"), ("2", "Bob", "y"), ("Total 2", "-", "z")])
    batches, skipped, _, dialect = read(tmp_path / "file", Format(widths=case.form.widths, totals="^Total"))
    assert ["1", "2"] == batches[0].frame["id"].to_list()
    assert {"totals": 1} == skipped
    assert "1 totals line skipped" in dialect.notes
