"""Where one record of a delimited file ends and the next begins, found a block at a time.

Most lines are plain: the right number of delimiters, quotes that open and close where they should. They are told apart
in bulk and stay bytes. Only the suspicious ones are read one by one, strictly; what is not a record becomes a reject,
and framing goes on at the next line, so that one bad quote costs one line and not the rest of the file.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline_processing.readers import RAW_LIMIT, Reject
from pipeline_processing.readers.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

RECORD_LIMIT: Final = 1024 * 1024
"""Bytes of one record. A longer one is a reject, and is not held."""
JOINED_LINES: Final = 1000
"""Physical lines that one quoted field may span."""

csv.field_size_limit(max(csv.field_size_limit(), 2 * RECORD_LIMIT))  # the module's own limit, for the whole process


@dataclass(frozen=True, slots=True)
class Shape:
    """What a record of the file looks like. Rows have ``named`` fields, then up to ``extra`` empty ones."""

    delimiter: str
    quote: str
    header: tuple[str, ...]
    named: int
    extra: int = 0
    header_bytes: bytes = b"\n"
    """The header's line as it stands there; the default is none that a line could equal."""

    @property
    def width(self) -> int:
        """Return how many fields a plain line has."""
        return self.named + self.extra


@dataclass(slots=True)
class Framed:
    """A block taken apart. ``plain`` are whole lines; ``lines`` says where each of them stood, ascending."""

    plain: bytes
    lines: NDArray[np.int64]
    has_quotes: bool
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    odd: list[tuple[int, list[str]]] = field(default_factory=list)
    """Records that were read one by one: line and fields."""
    rejects: list[Reject] = field(default_factory=list)
    """Rejects whose ``row`` is not known yet."""
    skipped: dict[str, int] = field(default_factory=dict)
    data: bytes = b""


class _NeedMoreError(Exception):
    """The record goes on beyond the block."""


class _UnclosedError(Exception):
    """A quote was opened and not closed within the bounds."""


class Framer:
    """Takes blocks, in order; keeps the unfinished end of each for the next. ``codec`` may be set once it is known.

    ``encoding`` is the file's own, where the blocks are not as they stand there: for messages.
    """

    def __init__(
        self,
        shape: Shape,
        codec: str | None,
        *,
        is_totals: Callable[[Sequence[str]], bool],
        skip_lines: int = 0,
        encoding: str | None = None,
    ) -> None:
        self.codec = codec
        self.encoding = encoding
        self.is_totals = is_totals
        self._shape = shape
        self._skip = skip_lines
        self._line = 0
        self._rest = b""
        self._too_long: bytearray | None = None
        self._too_long_size = 0

    def frame(self, block: bytes, *, is_last: bool) -> Framed:
        """Return what ``block`` completes. With ``is_last`` that is everything."""
        rejects: list[Reject] = []
        if self._too_long is not None:
            block = self._pass_over(self._rest + block, rejects, is_last=is_last)
            if self._too_long is not None:
                return _nothing(rejects)
        data = self._rest + block if self._rest else block
        if is_last and data and not data.endswith((b"\n", b"\r")):
            data += b"\n"
        lines = Lines(data, self._shape.delimiter.encode(), self._shape.quote.encode(), is_last=is_last)
        framed = self._take_apart(data, lines, is_last=is_last)
        framed.rejects[:0] = rejects
        return framed

    def _pass_over(self, block: bytes, rejects: list[Reject], *, is_last: bool) -> bytes:
        """Drop the rest of a record that is too long; return what follows it."""
        taken = self._too_long or bytearray()
        ends = [at for at in (block.find(b"\n"), block.find(b"\r")) if at >= 0]
        end = min(ends) if ends else len(block)
        self._rest = b""
        if block[end:] in {b"", b"\r"} and not is_last:  # a CR at the very end waits for what follows it
            self._rest = block[end:]
            self._too_long_size += end
            return b""
        self._too_long_size += end
        after = end + (2 if block[end : end + 2] == b"\r\n" else 1)
        self._too_long = None
        self._line += 1
        rejects.append(Reject(0, self._line, "too long", f"{self._too_long_size} bytes in one line", bytes(taken)))
        return block[after:]

    def _take_apart(self, data: bytes, lines: Lines, *, is_last: bool) -> Framed:
        shape = self._shape
        is_odd = lines.is_odd(shape.width - 1)
        is_odd |= lines.lengths > RECORD_LIMIT
        is_odd[lines.holding_zero()] = True
        is_odd[lines.undecodable(self.codec or "utf-8")] = True
        is_blank = lines.lengths == lines.delimiters
        is_header = lines.equal_to(shape.header_bytes)
        is_taken = np.zeros(lines.count, dtype=np.bool_)
        skip = min(self._skip, lines.count)
        self._skip -= skip
        is_taken[:skip] = True
        framed = _nothing([])
        walk = _Walk(self, lines, framed, is_last=is_last)
        whole = lines.count
        at = skip
        for suspect in np.flatnonzero(is_odd & ~is_blank & ~is_header).tolist():
            if suspect < at:
                continue
            try:
                at = suspect + walk.read(suspect)
            except _NeedMoreError:
                whole = suspect
                break
            is_taken[suspect:at] = True
        is_taken[whole:] = True
        _count(framed.skipped, "blank", int(np.count_nonzero(is_blank & ~is_taken)))
        _count(framed.skipped, "repeated header", int(np.count_nonzero(is_header & ~is_taken)))
        is_plain = ~(is_taken | is_blank | is_header)
        kept = np.flatnonzero(is_plain)
        framed.plain = lines.gather(is_plain)
        framed.has_quotes = lines.has_quotes
        framed.lines = kept + (self._line + 1)
        framed.starts, framed.ends, framed.data = lines.starts[kept], lines.ends[kept], data
        self._line += whole
        self._keep(
            data[int(lines.starts[whole]) if whole < lines.count else lines.complete :], is_whole=whole < lines.count
        )
        return framed

    def _keep(self, rest: bytes, *, is_whole: bool) -> None:
        if len(rest) > RECORD_LIMIT and not is_whole:
            self._too_long = bytearray(rest[:RAW_LIMIT])
            self._too_long_size = len(rest)
            rest = b"\r" if rest.endswith(b"\r") else b""
            self._too_long_size -= len(rest)
        self._rest = rest

    def line(self, index: int) -> int:
        """Return the physical line number of the block's line ``index``."""
        return self._line + index + 1


def _count(counts: dict[str, int], why: str, number: int) -> None:
    if number:
        counts[why] = counts.get(why, 0) + number


def _nothing(rejects: list[Reject]) -> Framed:
    none = np.zeros(0, dtype=np.int64)
    return Framed(b"", none, has_quotes=False, starts=none, ends=none, rejects=rejects)


class _Walk:
    """Reads suspicious records of one block, one by one."""

    def __init__(self, framer: Framer, lines: Lines, framed: Framed, *, is_last: bool) -> None:
        self._framer = framer
        self._shape = framer._shape  # noqa: SLF001 - a part of the framer, apart for its length
        self._codec = framer.codec or "utf-8"
        self._lines = lines
        self._framed = framed
        self._is_last = is_last

    def read(self, index: int) -> int:
        """Take the record that begins at line ``index``; return how many lines it had."""
        lines = self._lines
        if (length := int(lines.lengths[index])) > RECORD_LIMIT:
            return self._reject(index, 1, "too long", f"{length} bytes in one line")
        taken = 0

        def texts() -> Iterator[str]:
            nonlocal taken
            size = 0
            while index + taken < lines.count:
                raw = lines.with_end(index + taken)
                size += len(raw)
                if taken >= JOINED_LINES or size > RECORD_LIMIT:
                    raise _UnclosedError
                taken += 1
                yield raw.decode(self._codec, "surrogateescape")
            if not self._is_last:
                raise _NeedMoreError
            raise _UnclosedError

        try:
            fields = next(self._reader(texts()))
        except _UnclosedError:
            return self._reject(index, 1, "unclosed quote", f"not closed within {taken} lines")
        except csv.Error:
            if taken > 1:
                below = "1 line" if taken == 2 else f"{taken - 1} lines"  # noqa: PLR2004 - a line and its next
                return self._reject(index, 1, "unclosed quote", f"text follows the quote that closes it {below} below")
            return self._reject(index, 1, "bad quote", "text follows a closing quote")
        return self._judge(index, taken, fields)

    def _reader(self, texts: Iterator[str]) -> Iterator[list[str]]:
        if not self._shape.quote:
            return csv.reader(texts, delimiter=self._shape.delimiter, quoting=csv.QUOTE_NONE, strict=True)
        return csv.reader(texts, delimiter=self._shape.delimiter, quotechar=self._shape.quote, strict=True)

    def _judge(self, index: int, taken: int, fields: list[str]) -> int:
        shape = self._shape
        raw = self._lines.raw(index, taken)
        count = len(fields)
        if (zeros := raw.count(b"\0")) > 0:
            return self._reject(index, taken, "nul byte", f"{zeros} zero bytes")
        try:
            raw.decode(self._codec)
        except UnicodeDecodeError as error:
            return self._reject(index, taken, "undecodable", self._misfit(error.start))
        if not any(fields):
            _count(self._framed.skipped, "blank", 1)
        elif count not in {shape.named, shape.width} and taken == 1 and self._framer.is_totals(fields):
            _count(self._framed.skipped, "totals", 1)
        elif count not in {shape.named, shape.width} or any(fields[shape.named :]):
            # A joined record that does not fit is more likely a quote that ran into another's: give the others back.
            reason, lines = ("ragged", 1) if taken == 1 else ("unclosed quote", 1)
            return self._reject(index, lines, reason, f"{count} fields where the header has {shape.named}")
        elif tuple(fields[: shape.named]) == shape.header:
            _count(self._framed.skipped, "repeated header", 1)
        else:
            self._framed.odd.append((self._framer.line(index), fields[: shape.named]))
        return taken

    def _misfit(self, at: int) -> str:
        if self._framer.encoding is not None:
            return f"a character that {self._framer.encoding} does not have"
        return f"byte {at + 1} is no {self._codec}"

    def _reject(self, index: int, taken: int, reason: str, detail: str) -> int:
        raw = self._lines.raw(index, taken)[:RAW_LIMIT]
        self._framed.rejects.append(Reject(0, self._framer.line(index), reason, detail, raw))
        return taken
