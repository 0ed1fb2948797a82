from __future__ import annotations

import csv
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_processing.contracts.model import Format
from pipeline_processing.readers import LINE, RAW_LIMIT, ROW
from pipeline_processing.readers.framing import RECORD_LIMIT, Framed, Framer, Shape
from pipeline_processing.readers.open_file import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SHAPE = Shape(",", '"', ("x", "y"), 2)
LETTERS = st.text(alphabet='ab,"\n\r', max_size=60).map(str.encode)

Record = tuple[int, object]


def never(_cells: Sequence[str]) -> bool:
    return False


def frame(data: bytes, cuts: Sequence[int]) -> tuple[list[Record], dict[str, int]]:
    """Frame ``data`` in blocks that end at ``cuts``; every row (as its bytes' cells) and reject, by its line."""
    framer = Framer(SHAPE, "utf-8", is_totals=never)
    edges = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    blocks = [data[start:end] for start, end in itertools.pairwise(edges)] or [b""]
    found: list[Record] = []
    skipped: dict[str, int] = {}
    for number, block in enumerate(blocks, start=1):
        framed = framer.frame(block, is_last=number == len(blocks))
        for line, content in records(framed):
            if isinstance(content, list) and not any(content):  # quoted emptiness: the framer leaves it to the cells
                framed.skipped["blank"] = framed.skipped.get("blank", 0) + 1
            else:
                found.append((line, content))
        for why, count in framed.skipped.items():
            skipped[why] = skipped.get(why, 0) + count
    return found, skipped


def records(framed: Framed) -> list[Record]:
    plain = list(csv.reader(framed.plain.decode().split("\n")[:-1], strict=True))
    rows: list[Record] = list(zip(framed.lines.tolist(), plain, strict=True))
    rows += framed.odd
    rows += [(reject.line, reject.reason) for reject in framed.rejects]
    return sorted(rows, key=lambda record: record[0])


def physical_lines(data: bytes) -> list[str]:
    return [line.decode() for line in data.splitlines(keepends=True)]


def by_the_rules(data: bytes) -> tuple[list[Record], dict[str, int]]:
    """The same, one line after the other, with nothing but the standard library: slow, and plain to see."""
    lines = physical_lines(data)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += "\n"
    found: list[Record] = []
    skipped: dict[str, int] = {}
    at = 0
    while at < len(lines):
        reader = csv.reader(lines[at:], strict=True)
        try:
            cells, taken = next(reader), reader.line_num
        except csv.Error:
            is_open = reader.line_num > 1 or opens(lines[at])
            found.append((at + 1, "unclosed quote" if is_open else "bad quote"))
            at += 1
            continue
        if not any(cells):
            skipped["blank"] = skipped.get("blank", 0) + 1
        elif len(cells) != len(SHAPE.header):
            found.append((at + 1, "ragged" if taken == 1 else "unclosed quote"))
            taken = 1
        else:
            found.append((at + 1, cells))
        at += taken
    return found, skipped


def opens(line: str) -> bool:
    """Say whether the line alone is wrong only because a quote is open at its end."""
    try:
        next(csv.reader([line], strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


@settings(max_examples=400, deadline=None)
@given(LETTERS)
def test_framing_in_bulk_finds_what_reading_line_by_line_does(data: bytes) -> None:
    assert by_the_rules(data) == frame(data, [])


@settings(max_examples=400, deadline=None)
@given(LETTERS, st.lists(st.integers(1, 60), max_size=5))
def test_where_blocks_end_changes_nothing(data: bytes, cuts: list[int]) -> None:
    assert frame(data, []) == frame(data, cuts)


CELLS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(CELLS.filter(bool), CELLS), min_size=1, max_size=20))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "file.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("first", "second"), *rows])
    form = Format(delimiter=",", header_row=1, null_values=(), encoding="utf-8", kind="csv")
    with open_file(path, form) as opened:
        read = [row[:2] for batch in opened for row in batch.frame.rows()]
        assert {} == {why: n for why, n in opened.skipped.items() if why != "repeated header"}
    assert [row for row in rows if row != ("first", "second")] == read


def rows_of(
    path: Path, content: bytes, form: Format | None = None
) -> tuple[list[tuple[object, ...]], list[tuple[int, int, str, bytes]]]:
    path.write_bytes(content)
    with open_file(path, form or Format()) as opened:
        batches = list(opened)
    rejects = [(reject.row, reject.line, reject.reason, reject.raw) for batch in batches for reject in batch.rejects]
    return [row for batch in batches for row in batch.frame.rows()], rejects


def lines_with(bad: bytes) -> Iterator[bytes]:
    yield b"id,name\n1,Ann\n"
    yield bad
    yield b"3,Cleo\n"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"2\n", "ragged"),
        (b"2,b,c\n", "ragged"),
        (b'2,"b\n', "unclosed quote"),
        (b'2,"b"c\n', "bad quote"),
        (b"2,\0\n", "nul byte"),
        (b"2," + b"x" * RECORD_LIMIT + b"\n", "too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_record_is_a_reject_and_its_neighbours_stay_where_they_are(
    bad: bytes, reason: str, tmp_path: Path
) -> None:
    rows, rejects = rows_of(tmp_path / "f.csv", b"".join(lines_with(bad)))
    assert [("1", "Ann", 1, 2), ("3", "Cleo", 3, 4)] == rows
    assert [(2, 3, reason, bad.rstrip(b"\n")[:RAW_LIMIT])] == rejects


def test_the_raw_bytes_of_a_reject_are_those_of_the_file_whatever_its_encoding(tmp_path: Path) -> None:
    bad = "2;Zoë;zu viel"
    content = f"id;name\n1;Ann\n{bad}\n".encode("utf-16-le")
    _, rejects = rows_of(tmp_path / "f.csv", b"\xff\xfe" + content)
    assert [(2, 3, "ragged", bad.encode("utf-16-le"))] == rejects


def test_lines_are_counted_inside_quotes_too(tmp_path: Path) -> None:
    rows, _ = rows_of(tmp_path / "f.csv", b'id,name\n1,"a\nb\r\nc"\n\n2,d\n')
    assert [(1, 2), (2, 6)] == [row[-2:] for row in rows]


def test_an_open_quote_costs_one_line_and_not_the_rest_of_the_file(tmp_path: Path) -> None:
    good = b"".join(b"%d,name\n" % i for i in range(5000))
    rows, rejects = rows_of(tmp_path / "f.csv", b'id,name\n0,"open\n' + good)
    assert 5000 == len(rows)
    assert [(1, 2, "unclosed quote", b'0,"open')] == rejects


def test_a_record_that_spans_blocks_is_one_record(tmp_path: Path) -> None:
    filler = b"".join(b"%07d,%s\n" % (i, b"x" * 90) for i in range(50_000))
    quoted = b'77,"' + b"line\n" * 900 + b'end"\n'
    rows, rejects = rows_of(tmp_path / "f.csv", b"id,name\n" + (filler + quoted) * 2)
    assert [] == rejects
    assert 2 * 50_001 == len(rows)
    assert ["line\n" * 900 + "end"] * 2 == [row[1] for row in rows if row[0] == "77"]
    assert list(range(1, 2 * 50_001 + 1)) == [row[2] for row in rows]


def test_surplus_fields_that_are_filled_are_a_reject_where_all_others_are_empty(tmp_path: Path) -> None:
    content = b"id,name\n" + b"1,a,,\n" * 300 + b"2,b,,x\n" + b'3,"c\nd",,\n' + b'4,"e\nf",,y\n'
    rows, rejects = rows_of(tmp_path / "f.csv", content)
    assert [*[("1", "a")] * 300, ("3", "c\nd")] == [row[:2] for row in rows]
    assert [(301, 302, "ragged", b"2,b,,x")] == rejects[:1]
    assert {"2,b,,x", '4,"e', 'f",,y'} == {raw.decode() for *_, raw in rejects}


def test_columns_and_row_numbers_have_their_names(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_bytes(b"a\n1\n")
    with open_file(tmp_path / "f.csv") as opened:
        assert ["a", ROW, LINE] == next(iter(opened)).frame.columns
