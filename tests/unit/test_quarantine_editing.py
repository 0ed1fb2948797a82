from __future__ import annotations

import csv
import stat
from typing import TYPE_CHECKING

import orjson
import polars as pl
import pytest

from etl_core.errors import ConfigError
from pipeline_processing.contracts.load import load
from pipeline_processing.quarantine import editing
from pipeline_processing.quarantine.schema import SCHEMA, quarantine_id
from quarantine_world import PROTECTED
from silver_world import CONTRACT

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.model import Json

PEOPLE = load(CONTRACT)
FILE = "s3://bronze/20/people.csv"


def quarantined(row: int, raw: Json, *, file: str = FILE, record: bytes | None = None) -> dict[str, Json]:
    return {
        **dict.fromkeys(SCHEMA),
        "quarantine_id": quarantine_id(file, "v1", row),
        "source_file": file,
        "source_version": "v1",
        "source_row": row,
        "line": row + 1,
        "rules": ["hired.type"],
        "reason": "hired.type",
        "raw": None if raw is None else orjson.dumps(raw).decode(),
        "raw_bytes": record,
    }


def frame(*rows: dict[str, Json]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


ONE = quarantined(1, {"id": "1", "name": "Ann", "hired": None})
TWO = quarantined(2, {"id": "2", "name": "", "hired": "never"})
BROKEN = quarantined(3, None, record=b"3,\xff")

ODD = quarantined(
    7,
    {
        "id": "=1+1",
        "name": 'a "quoted", text;\nof two\r\nlines\r',
        "rules": "a header called like ours",
        "raw.x": "\x00 NUL",
        " spaced ": "  both sides  ",
        "é": "日本\U0001f600",
        "NULL": "NULL",
        "number": "007",
    },
)


def edited(rows: pl.DataFrame, path: Path, *changes: dict[str, str]) -> list[dict[str, str]]:
    """Export, change cells as a person would, read back."""
    editing.export(rows, path, contract=PEOPLE)
    lines = editing.read(path)
    return [line | change for line, change in zip(lines, changes, strict=True)]


def edits(found: pl.DataFrame) -> list[Json]:
    return [None if text is None else orjson.loads(text) for text in found["edits"]]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_nobody_edited_comes_back_without_an_edit_whatever_is_in_it(tmp_path: Path, ending: str) -> None:
    rows = frame(ONE, TWO, ODD, BROKEN)
    path = tmp_path / f"rows.{ending}"
    assert 4 == editing.export(rows, path, contract=PEOPLE)
    assert [None, None, None, None] == edits(editing.compare(editing.read(path), rows, PEOPLE))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_file_saved_by_a_spreadsheet_of_another_country_is_read_too(tmp_path: Path, delimiter: str) -> None:
    rows, path, saved = frame(ONE, TWO), tmp_path / "rows.csv", tmp_path / "saved.csv"
    editing.export(rows, path)
    with path.open(encoding="utf-8-sig", newline="") as source, saved.open("w", newline="") as target:
        csv.writer(target, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
            csv.reader(source)
        )
    assert [None, None] == edits(editing.compare(editing.read(saved), rows, PEOPLE))


def test_an_export_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch(mode=0o644)
    editing.export(frame(ONE), tmp_path / "rows.csv")
    assert 0o600 == stat.S_IMODE((tmp_path / "rows.csv").stat().st_mode)


def test_a_file_that_is_no_export_is_left_as_it_was(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("keep me")
    with pytest.raises(ConfigError, match=r"notes\.txt is neither .csv nor .parquet"):
        editing.export(frame(ONE), notes)
    assert ("keep me", [notes]) == (notes.read_text(), list(tmp_path.iterdir()))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_export_that_breaks_off_leaves_the_one_before(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mend.{ending}"
    editing.export(frame(ONE), path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        editing.export(frame(TWO | {"rules": None}, ONE), path)
    assert (before, [path]) == (path.read_bytes(), list(tmp_path.iterdir()))


def test_only_the_changed_cells_are_edits_and_an_emptied_one_is_null(tmp_path: Path) -> None:
    rows = frame(ONE, TWO)
    lines = edited(rows, tmp_path / "rows.csv", {"hired": "2001-02-03"}, {"hired": "", "name": "Bob"})
    assert [{"hired": "2001-02-03"}, {"hired": None, "name": "Bob"}] == edits(editing.compare(lines, rows, PEOPLE))


def test_columns_called_like_ours_are_the_rows_own(tmp_path: Path) -> None:
    lines = edited(
        frame(ODD), tmp_path / "rows.csv", {"raw.rules": "mended", "rules": "ours: not read", "raw.raw.x": "y"}
    )
    assert [{"rules": "mended", "raw.x": "y"}] == edits(editing.compare(lines, frame(ODD), PEOPLE))


def test_a_record_that_is_no_row_has_the_contracts_columns_to_fill_in(tmp_path: Path) -> None:
    rows = frame(BROKEN)
    lines = edited(rows, tmp_path / "rows.csv", {"id": "3", "name": "Cid"})
    assert "3,\\xff" == lines[0]["record"]
    assert [{"id": "3", "name": "Cid"}] == edits(editing.compare(lines, rows, PEOPLE))


def test_files_of_other_headers_share_an_export_and_none_gets_the_others_columns(tmp_path: Path) -> None:
    other = quarantined(1, {"ID": "9", "Full name": "Zoe"}, file="s3://bronze/30/x.csv")
    rows = frame(ONE, other)
    assert [None, None] == edits(editing.compare(edited(rows, tmp_path / "rows.csv", {}, {}), rows, PEOPLE))
    lines = edited(rows, tmp_path / "rows.csv", {}, {"hired": "2001-01-01"})
    with pytest.raises(ConfigError, match="row 2: its file has no column 'hired'"):
        editing.compare(lines, rows, PEOPLE)


def test_a_row_that_is_not_open_is_named(tmp_path: Path) -> None:
    lines = edited(frame(ONE, TWO), tmp_path / "rows.csv", {}, {})
    with pytest.raises(ConfigError, match=rf"row 2: quarantine_id {TWO['quarantine_id']} is not in quarantine"):
        editing.compare(lines, frame(ONE), PEOPLE)


def test_a_changed_id_is_found_by_the_lineage_beside_it(tmp_path: Path) -> None:
    rows = frame(ONE, TWO)
    lines = edited(
        rows, tmp_path / "rows.csv", {"quarantine_id": TWO["quarantine_id"]}, {"quarantine_id": ONE["quarantine_id"]}
    )
    with pytest.raises(ConfigError, match=r"row 1: its quarantine_id is another row's.*row 2"):
        editing.compare(lines, rows, PEOPLE)


def test_ids_that_stand_twice_or_are_none_are_named_by_row(tmp_path: Path) -> None:
    rows = frame(ONE, TWO, ODD)
    lines = edited(rows, tmp_path / "rows.csv", {}, {"quarantine_id": ONE["quarantine_id"]}, {"quarantine_id": "Ann's"})
    with pytest.raises(ConfigError) as found:
        editing.ids_of(lines)
    assert "row 2: it has the quarantine_id of row 1; row 3: its quarantine_id is none" == found.value.what
    assert "Ann" not in str(found.value)


def test_a_column_that_was_deleted_or_added_is_named(tmp_path: Path) -> None:
    rows = frame(ONE)
    (line,) = edited(rows, tmp_path / "rows.csv", {})
    lacking = {name: text for name, text in line.items() if name != "hired"}
    with pytest.raises(ConfigError, match="row 1: the column 'hired' is missing"):
        editing.compare([lacking], rows, PEOPLE)
    with pytest.raises(ConfigError, match="no exported row has the column 'note'"):
        editing.compare([line | {"note": "?"}], rows, PEOPLE)


def test_another_rows_token_is_no_value(tmp_path: Path) -> None:
    token = "tok_" + "0" * 32
    protected = load(PROTECTED)
    kept = quarantined(1, {"id": "1", "name": token})
    rows = frame(kept, quarantined(2, {"id": "2", "name": "tok_" + "1" * 32}))
    assert [None, None] == edits(editing.compare(edited(rows, tmp_path / "rows.csv", {}, {}), rows, protected))
    lines = edited(rows, tmp_path / "rows.csv", {}, {"name": token})
    with pytest.raises(ConfigError, match="row 2: column 'name' has another row's token"):
        editing.compare(lines, rows, protected)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the column 'quarantine_id' is missing"),
        ("a,b\n1,2\n", "the column 'quarantine_id' is missing"),
        ("quarantine_id,a,a\n1,2,3\n", "two columns are called 'a'"),
        ("quarantine_id,a\n1\n", "row 1 has 1 cells where the header has 2"),
        ("quarantine_id,a\n", "has no rows"),
        ('quarantine_id,a\n1,"never closed\n', "can not be read: Error"),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=what):
        editing.read(path)


def test_other_endings_and_what_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is neither \.csv nor \.parquet"):
        editing.read(tmp_path / "rows.xlsx")
    with pytest.raises(ConfigError, match=r"rows\.csv can not be read: FileNotFoundError"):
        editing.read(tmp_path / "rows.csv")
    with pytest.raises(ConfigError, match="can not be written: No such file or directory"):
        editing.export(frame(ONE), tmp_path / "nowhere" / "rows.csv")


def test_many_faults_are_told_by_the_first_few() -> None:
    lines = [{"quarantine_id": "?"} for _ in range(9)]
    with pytest.raises(ConfigError, match="row 5: its quarantine_id is none; and 4 more"):
        editing.ids_of(lines)
