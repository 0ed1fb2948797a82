from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.contracts.model import Format
from pipeline_processing.readers.dialects import find_header, unique_names
from pipeline_processing.readers.encodings import decide, detect
from pipeline_processing.readers.open_file import open_file

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.readers.kinds import Kind


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb\nx, y\tz\n", "\t"),
        ("when|what\n10:00:00|x, y\n11:00:00|z\n", "|"),
        ("when,what\n10:00,x\n11:00,y\n", ","),
        ('"a;b","c"\n"1;2","3"\n', ","),
        ("name\nAnn\n", ","),
    ],
)
def test_the_delimiter_is_the_one_that_the_lines_have_evenly(text: str, delimiter: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(text)
    with open_file(tmp_path / "f") as rows:
        assert delimiter == rows.dialect.delimiter


def test_the_header_is_the_first_line_with_names_that_are_expected() -> None:
    rows = [["Agency", "Report", "of"], ["Last", "2019", "2020"], ["Doe", "1", "2"]]
    assert 0 == find_header(rows, (), ())
    assert 1 == find_header(rows, ("last", "2019", "2020"), ())
    assert 1 == find_header(rows, (), ("LAST", "x2019"))


def test_a_first_row_of_values_is_no_header_and_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("1,2020-01-01,$5.00\n2,2020-01-02,$6.00\n")
    with open_file(tmp_path / "f", columns=("id", "day", "pay")) as rows:
        assert ("id", "day", "pay") == rows.header
        assert 2 == sum(batch.frame.height for batch in rows)
        assert ("no line looks like a header",) == rows.dialect.notes
    with open_file(tmp_path / "f", columns=("id", "day")) as rows:
        assert ("column_1", "column_2", "column_3") == rows.header


def test_columns_stand_for_a_header_that_the_contract_says_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("Ann,Lee\nBob,Ray\n")
    with open_file(tmp_path / "f", Format(header_row=0), columns=("first", "last")) as rows:
        assert ("first", "last") == rows.header
        assert [("Ann", "Lee", 1, 1), ("Bob", "Ray", 2, 2)] == next(iter(rows)).frame.rows()


def test_names_are_told_apart_and_never_ours() -> None:
    names, notes = unique_names(["a", "a", " a ", "", "_row", "a_2"])
    assert ("a", "a_2", "a_3", "column_4", "_row_", "a_2_2") == names
    assert ("1 column without a name", "4 column names made unique") == notes


@pytest.mark.parametrize(
    "form", [Format(delimiter="ab"), Format(quote="é"), Format(delimiter='"'), Format(delimiter="\n")]
)
def test_a_dialect_that_can_not_be_is_the_users_to_change(form: Format, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError):
        open_file(tmp_path / "f", form)


@pytest.mark.parametrize(
    ("name", "text", "kind", "notes"),
    [
        ("f.ndjson", '{"a": 1}\n{"a": 2}\n', "csv", ("read as csv, as the contract says; it looks like ndjson",)),
        ("f.csv", "a,b\n1,2\n", "ndjson", ("read as ndjson, as the contract says; it looks like csv",)),
        ("f.ndjson", "a,b\n1,2\n", "csv", ("called .ndjson, and is csv",)),
        ("f.json", '{"a": 1}', "json", ()),
        ("f.csv", "a,b\n1,2\n", "csv", ()),
        ("f.ndjson", "a,b\n1,2\n", None, ("called .ndjson, and is csv",)),
    ],
)
def test_a_kind_that_the_contract_forces_is_remarked_on_as_such(
    name: str, text: str, kind: Kind | None, notes: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with open_file(path, Format(kind=kind)) as rows:
        assert notes == tuple(rows.dialect.notes)


def test_a_pattern_for_totals_that_can_not_be_read_is_the_users_to_change(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="totals"):
        open_file(tmp_path / "f", Format(totals="(?=x)"))


def test_ascii_decides_no_encoding_and_the_end_of_a_block_neither() -> None:
    assert None is decide(b"plain", None)
    assert None is decide(b"plain \xc3", None)
    assert "utf-8" == decide("Zoë Zoë".encode() + b"\xc3", None)
    assert "cp1252" == decide("Zoë Zoé".encode("cp1252"), None)
    assert "cp1250" == decide("Zoë Zoé".encode("cp1252"), "cp1250")
    assert "utf-8" == decide(b"Zo\xc3\xab Zo\xc3\xab Zo\xeb.", None)


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_wide_encodings_are_known_by_their_marks(name: str) -> None:
    found = detect("\ufeffid,name".encode(name), None)
    assert (name, True) == (found.name, found.is_wide)


def test_an_encoding_of_several_bytes_is_read_where_the_contract_names_it(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes("id,name\n1,東京ソ\n2,\n".encode("shift_jis") + b"3,\x81\n4,x,y\n")
    with open_file(tmp_path / "f", Format(encoding="shift_jis")) as rows:
        batches = list(rows)
    assert [("1", "東京ソ"), ("2", None)] == [row[:2] for batch in batches for row in batch.frame.rows()]
    rejects = [(reject.reason, reject.raw) for batch in batches for reject in batch.rejects]
    assert [("undecodable", b"3,\x81"), ("ragged", b"4,x,y")] == rejects


def test_rows_before_the_place_where_a_file_was_cut_off_are_given_and_then_it_fails(tmp_path: Path) -> None:
    packed = gzip.compress(b"id,name\n" + b"".join(b"%d,%d\n" % (i, i * 7919 % 10007) for i in range(800_000)), 1)
    (tmp_path / "f.gz").write_bytes(packed[:-100])
    given = 0
    fault = ""
    with open_file(tmp_path / "f.gz") as rows:
        batches = iter(rows)
        while not fault:
            try:
                given += next(batches).frame.height
            except InvalidData as error:
                fault = str(error)
    assert "f.gz: gzip data that end too early" == fault
    assert given > 100_000


def test_a_header_with_bytes_of_no_character_is_remarked_on(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"id,n\xc3\xa4me\xc3\xa9,\xff\n1,\xc3\xa9,2\n")
    with open_file(tmp_path / "f") as rows:
        assert ("id", "nämeé", "\ufffd") == rows.header
        assert ("the header holds bytes of no character",) == rows.dialect.notes


def test_a_file_is_named_in_messages_as_it_is_called_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "tmp123").write_bytes(b"%PDF-1.4")
    with pytest.raises(InvalidData, match=r"^roster\.csv: a PDF"):
        open_file(tmp_path / "tmp123", name="roster.csv")
