"""What a delimited file looks like, judged by how it begins: its delimiter, its header, where its data begin."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, InvalidData

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pipeline_processing.contracts.model import Format

DELIMITERS: Final = (",", "\t", ";", "|", ":")
"""Told apart by how evenly the lines have them; the first of equals."""
COLUMNS_LIMIT: Final = 10_000
_LOOKED_AT: Final = 200
_TEXT_SHARE: Final = 0.6
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_NO_NAME: Final = re.compile(r"[-+$€£(]*[\d.,:/\- ]*\d[\d.,:/\-%) TZ+]*")
"""A number, an amount, a date, a time: a value, not the name of a column."""
_RESERVED: Final = re.compile(r"_row|_line|_was|\?(?:place|rules|\d+)|\*|\^.*\$", re.DOTALL)
"""Names of our own columns, and those that Polars takes for a pattern: of all columns, of some."""
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """``header`` are the names as they stand, or None where there is none; ``skip`` lines stand before the data."""

    delimiter: str
    header: tuple[str, ...] | None
    header_line: int | None
    header_text: str
    skip: int
    width: int
    """Fields that most records of the sample have."""
    extra: int
    """Fields beyond the header that every record has, and has empty."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    lines: int
    fields: list[str]
    text: str


@dataclass(slots=True)
class _Sample:
    """Records of the head, by one delimiter."""

    delimiter: str
    records: list[_Record] = field(default_factory=list)

    @property
    def width(self) -> int:
        widths = Counter(len(record.fields) for record in self.filled)
        return max(widths, key=lambda width: (widths[width], width), default=1)

    @property
    def filled(self) -> list[_Record]:
        return [record for record in self.records if any(cell.strip() for cell in record.fields)]

    @property
    def evenness(self) -> float:
        """Return the share of the records that have the usual number of fields; 0 where that is one."""
        width = self.width
        if width <= 1:
            return 0.0
        filled = self.filled
        return sum(len(record.fields) == width for record in filled) / len(filled)


def look(
    head: str, form: Format, *, is_whole: bool, expected: Collection[str] = (), columns: Sequence[str] = ()
) -> Found:
    """Judge the file that begins with ``head``. ``expected`` are names that a header would have.

    Raises InvalidData where the head is no table: nothing in it, or more than `COLUMNS_LIMIT` columns.
    """
    skip = 0
    notes: list[str] = []
    delimiter = form.delimiter
    if (match := _SEPARATOR_LINE.match(head)) and match.group(1).isascii():
        delimiter = delimiter or match.group(1)
        skip = 1
        notes.append("the first line names the delimiter")
    sample = _sample(head, delimiter, form.quote, skip, is_whole=is_whole)
    if form.header_row == 0:
        return Found(sample.delimiter, None, None, "", skip, sample.width, 0, tuple(notes))
    header = _header_at(sample, form.header_row) if form.header_row else _find_header(sample, expected, columns)
    if header is None:
        notes.append("no line looks like a header")
        return Found(sample.delimiter, None, None, "", skip, sample.width, 0, tuple(notes))
    if len(header.fields) > COLUMNS_LIMIT:
        raise InvalidData(f"a header of {len(header.fields)} columns; at most {COLUMNS_LIMIT}")
    if above := sum(1 for record in sample.records if record.line < header.line):
        notes.append(f"{above} line{'s' if above > 1 else ''} above the header")
    named, extra = _extra(header, [record for record in sample.filled if record.line > header.line])
    if extra:
        notes.append(f"{extra} empty field{'s' if extra > 1 else ''} at the end of every record left out")
    end = header.line - 1 + header.lines
    return Found(
        sample.delimiter, tuple(header.fields[:named]), header.line, header.text, end, sample.width, extra, tuple(notes)
    )


def _sample(head: str, delimiter: str | None, quote: str, skip: int, *, is_whole: bool) -> _Sample:
    candidates = (delimiter,) if delimiter else DELIMITERS
    samples = [_Sample(one, list(_records(head, one, quote, skip, is_whole=is_whole))) for one in candidates]
    best = max(samples, key=lambda sample: (round(sample.evenness, 2) - 0.5 * (sample.delimiter == ":"), sample.width))
    if best.filled:
        return best if delimiter or best.evenness else samples[0]
    if is_whole:
        raise InvalidData("the file is empty")
    columns = max(head.count(one) for one in candidates) + 1
    if columns > COLUMNS_LIMIT:
        raise InvalidData(f"a first line of more than {COLUMNS_LIMIT} columns")
    raise InvalidData(f"no line ends within the first {len(head)} characters: no table")


def _records(head: str, delimiter: str, quote: str, skip: int, *, is_whole: bool) -> Iterator[_Record]:
    """Yield the first records, leniently: this is only to judge by."""
    lines = [match.group() for match in _LINE.finditer(head) if match.group()]
    if not is_whole:
        lines = lines[:-1]
    at = skip
    for _ in range(_LOOKED_AT):
        if at >= len(lines):
            return
        fields, taken = _one(lines[at : at + 50], delimiter, quote)
        yield _Record(at + 1, taken, fields, "".join(lines[at : at + taken]))
        at += taken


def _one(lines: list[str], delimiter: str, quote: str) -> tuple[list[str], int]:
    """Return the record that begins the lines, and how many it has; a quote that does not close is a letter."""
    for attempt in (lines, lines[:1]):
        reader = csv.reader(attempt, delimiter=delimiter, quotechar=quote or None, strict=True) if quote else None
        if reader is None:
            break
        try:
            return next(reader), reader.line_num
        except (csv.Error, StopIteration):
            continue
    return lines[0].rstrip("\r\n").split(delimiter), 1


def _header_at(sample: _Sample, row: int) -> _Record:
    for record in sample.records:
        if record.line <= row < record.line + record.lines:
            return record
    raise InvalidData(f"the header should be in line {row}, and the file has no such line near its beginning")


def _find_header(sample: _Sample, expected: Collection[str], columns: Sequence[str]) -> _Record | None:
    """Return the header's record, or None where there is none."""
    at = find_header([record.fields for record in sample.records], expected, columns)
    return None if at is None else sample.records[at]


def find_header(rows: Sequence[Sequence[str]], expected: Collection[str], columns: Sequence[str]) -> int | None:
    """Return which of the first rows is the header: the first with expected names, else the first of nothing but names.

    None where there is no such row: the first one is data then, and must not be lost.
    """
    filled = [(at, row) for at, row in enumerate(rows) if any(cell.strip() for cell in row)]
    wanted = {_plain(name) for name in (*expected, *columns)}
    for at, row in filled:
        found = {_plain(cell) for cell in row} & wanted
        if found and len(found) * 2 >= min(len(wanted), sum(1 for cell in row if cell.strip())):
            return at
    widths = Counter(max(at for at, cell in enumerate(row, start=1) if cell.strip()) for _, row in filled)
    width = max(widths, key=lambda one: (widths[one], one), default=1)
    for at, row in filled:
        cells = [cell.strip() for cell in row if cell.strip()]
        names = set(cells)
        if (
            len(cells) >= _TEXT_SHARE * width
            and 2 * len(names) >= len(cells)
            and not any(_NO_NAME.fullmatch(name) for name in names)
        ):
            return at
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _extra(header: _Record, below: list[_Record]) -> tuple[int, int]:
    """Return how many names the header has, and how many empty fields every record has beyond them."""
    names = len(header.fields)
    while names > 1 and not header.fields[names - 1].strip():
        names -= 1
    if not below:
        return names, len(header.fields) - names
    widest = max((len(record.fields) for record in below), default=names)
    is_even = all(len(record.fields) == widest for record in below)
    if is_even and widest > names and all(not any(cell.strip() for cell in r.fields[names:]) for r in below):
        return names, widest - names
    return len(header.fields), 0


def unique_names(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names made usable and told apart (``name``, ``name_2``), and notes on what was changed."""
    taken: set[str] = set()
    made: list[str] = []
    doubled = nameless = 0
    for number, name in enumerate(names, start=1):
        base = name.strip().removeprefix("\ufeff")
        if not base:
            nameless += 1
            base = f"column_{number}"
        unique = base if not _RESERVED.fullmatch(base) else f"{base}_"
        suffix = 2
        while unique in taken:
            unique = f"{base}_{suffix}"
            suffix += 1
        doubled += unique != base
        taken.add(unique)
        made.append(unique)
    notes = []
    if nameless:
        notes.append(f"{nameless} column{'s' if nameless > 1 else ''} without a name")
    if doubled:
        notes.append(f"{doubled} column name{'s' if doubled > 1 else ''} made unique")
    return tuple(made), tuple(notes)


def check_dialect(form: Format) -> None:
    """Raise ConfigError where the contract's delimiter or quote is none that we can read."""
    for what, value in (("delimiter", form.delimiter), ("quote", form.quote)):
        if value and (len(value) != 1 or not value.isascii() or value in "\r\n\0"):
            raise ConfigError(f"the {what} must be one ASCII character", where="format", way_out="name one, or none")
    if form.delimiter and form.delimiter == form.quote:
        raise ConfigError("delimiter and quote are the same", where="format", way_out="name two, or none")
