"""Where the blocks of a file end changes nothing of what is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline_processing.contracts.model import Format
from pipeline_processing.readers.framing import RECORD_LIMIT
from pipeline_processing.readers.open_file import open_file
from pipeline_processing.readers.streams import BLOCK, HEAD

if TYPE_CHECKING:
    from pathlib import Path

EDGES = HEAD + BLOCK
"""The first block is what the file's kind was told by; others follow it."""


def read(path: Path, data: bytes) -> tuple[list[tuple[int, str, str]], list[tuple[int, str]], str]:
    path.write_bytes(data)
    with open_file(path, Format(kind="csv", delimiter=",", header_row=1)) as rows:
        batches = list(rows)
        found = [(line, x, y) for batch in batches for x, y, _, line in batch.frame.iter_rows()]
        return (
            found,
            [(reject.line, reject.reason) for batch in batches for reject in batch.rejects],
            rows.dialect.encoding,
        )


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
@pytest.mark.parametrize("beyond", [-1, 0, 1, 2])
def test_a_line_that_is_too_long_takes_no_other_along(tmp_path: Path, end: bytes, beyond: int) -> None:
    head = b"x,y" + end
    long = b"z" * (EDGES + beyond - len(head) - len(end))
    assert len(long) > RECORD_LIMIT
    found, rejects, _ = read(tmp_path / "a.csv", head + long + end + b"1,2" + end + b"3,4" + end)
    assert found == [(3, "1", "2"), (4, "3", "4")]
    assert rejects == [(2, "too long")]


@pytest.mark.parametrize("letters", range(7))
def test_a_word_that_a_block_cuts_tells_its_encoding_as_a_whole(tmp_path: Path, letters: int) -> None:
    before = b"x,y\n" + b"1,a\n" * ((HEAD - 200) // 4)
    filler = b"q" * (HEAD - len(before) - len(b"2,") - letters)
    found, rejects, encoding = read(tmp_path / "a.csv", before + b"2," + filler + "Иванов".encode() + b"\n3,b\n")
    assert found[-2][2].lstrip("q") == "Иванов"
    assert (rejects, encoding) == ([], "utf-8")


def test_a_mark_at_the_beginning_of_a_block_stays_in_its_cell(tmp_path: Path) -> None:
    found, _, _ = read(tmp_path / "a.csv", b"x,y\n" + "\ufeff1,2\n\ufeff3,4\n".encode())
    assert [row[1:] for row in found] == [("\ufeff1", "2"), ("\ufeff3", "4")]
