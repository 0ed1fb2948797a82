"""The physical lines of a block of bytes, measured in bulk: where they stand, their delimiters, their quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LF, CR, ASCII = 10, 13, 127


class Lines:
    """The complete lines of ``data``; LF, CR LF and CR alone each end one. ``delimiter`` and ``quote`` are one byte.

    Without ``is_last`` a CR at the very end waits for what follows it. ``complete`` is where the last line ends.
    """

    def __init__(self, data: bytes, delimiter: bytes, quote: bytes, *, is_last: bool) -> None:
        self._data = data
        self._bytes = np.frombuffer(data, dtype=np.uint8)
        self._delimiter, self._quote = delimiter[0], quote[0] if quote else None
        self.has_quotes = bool(quote) and quote in data
        self._has_cr = b"\r" in data
        is_end = self._ends(is_last=is_last)
        is_delimiter = self._bytes == self._delimiter
        is_symbol = is_end | is_delimiter
        if self.has_quotes:
            is_symbol |= self._bytes == self._quote
        symbols = np.flatnonzero(is_symbol)
        at_end = np.flatnonzero(is_end[symbols])
        stops = symbols[at_end]
        self.count = len(stops)
        self.complete = int(stops[-1]) + 1 if self.count else 0
        self.starts = np.empty(self.count, dtype=np.int64)
        if self.count:
            self.starts[0] = 0
            self.starts[1:] = stops[:-1] + 1
        self._stops = stops
        self.ends = self._without_cr(stops)
        self.lengths = self.ends - self.starts
        if self.has_quotes:
            self._measure_quoted(symbols, at_end)
        else:
            self.delimiters = np.diff(at_end, prepend=-1) - 1
            self._is_ill_quoted = None

    def _ends(self, *, is_last: bool) -> NDArray[np.bool_]:
        is_end: NDArray[np.bool_] = self._bytes == LF
        if self._has_cr and self._data.count(b"\r") != self._data.count(b"\r\n"):
            is_lone = self._bytes == CR
            is_lone[:-1] &= ~is_end[1:]
            if not is_last:
                is_lone[-1] = False
            is_end |= is_lone
        return is_end

    def _without_cr(self, stops: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self._has_cr or not self.count:
            return stops
        before = np.maximum(stops - 1, 0)
        is_crlf = (self._bytes[stops] == LF) & (self._bytes[before] == CR) & (stops > self.starts)
        ends: NDArray[np.int64] = stops - is_crlf
        return ends

    def _measure_quoted(self, symbols: NDArray[np.int64], at_end: NDArray[np.int64]) -> None:
        """Count delimiters outside quotes, and find the lines where a quote stands where none may.

        A quote opens at a field's beginning or closes at its end; a doubled one does both, next to itself.
        """
        kinds = self._bytes[symbols]
        is_quote = kinds == self._quote
        quotes = np.cumsum(is_quote, dtype=np.uint8)  # whether they are even is all that is asked, so they may wrap
        before = np.zeros(self.count, dtype=np.uint8)
        before[1:] = quotes[at_end[:-1]]
        sizes = np.diff(at_end, prepend=-1)
        whole = int(sizes.sum())
        symbols, kinds, is_quote = symbols[:whole], kinds[:whole], is_quote[:whole]
        is_inside = ((quotes[:whole] - np.repeat(before, sizes)) & 1).view(np.bool_)
        outside = np.cumsum((kinds == self._delimiter) & ~is_inside, dtype=np.int32)[at_end]
        self.delimiters = np.diff(outside, prepend=0)
        at_quote = np.flatnonzero(is_quote)
        where = symbols[at_quote]
        opens = is_inside[at_quote]
        neighbours = self._bytes[np.where(opens, np.maximum(where - 1, 0), np.minimum(where + 1, len(self._bytes) - 1))]
        line_of = np.searchsorted(at_end, at_quote)
        is_fine = (neighbours == self._delimiter) | (neighbours == self._quote)
        is_fine |= np.where(opens, where == self.starts[line_of], (neighbours == LF) | (neighbours == CR))
        is_ill = np.zeros(self.count, dtype=np.bool_)
        is_ill[line_of[~is_fine]] = True
        self._is_ill_quoted = is_ill | (((quotes[at_end] - before) & 1) == 1)

    def is_odd(self, delimiters: int) -> NDArray[np.bool_]:
        """Say of each line whether it must be read with care: the wrong number of delimiters, or its quotes."""
        is_odd: NDArray[np.bool_] = self.delimiters != delimiters
        return is_odd if self._is_ill_quoted is None else is_odd | self._is_ill_quoted

    def holding_zero(self) -> list[int]:
        """Return the lines in which a zero byte stands."""
        if b"\0" not in self._data:
            return []
        where = np.flatnonzero(self._bytes[: self.complete] == 0)
        return [int(line) for line in np.unique(self._line_of(where))]

    def undecodable(self, codec: str) -> list[int]:
        """Return the lines that are not ``codec``."""
        if self._data.isascii():
            return []
        try:
            str(memoryview(self._data)[: self.complete], codec)
        except UnicodeDecodeError:
            beyond = np.flatnonzero(self._bytes[: self.complete] > ASCII)
            return [int(line) for line in np.unique(self._line_of(beyond)) if not self._is_text(int(line), codec)]
        return []

    def _is_text(self, line: int, codec: str) -> bool:
        try:
            self.with_end(line).decode(codec)
        except UnicodeDecodeError:
            return False
        return True

    def equal_to(self, text: bytes) -> NDArray[np.bool_]:
        """Say of each line whether it is exactly ``text``."""
        is_equal: NDArray[np.bool_] = self.lengths == len(text)
        if text and is_equal.any():
            candidates = np.flatnonzero(is_equal)
            for place in (0, len(text) // 2, len(text) - 1):
                candidates = candidates[self._bytes[self.starts[candidates] + place] == text[place]]
            is_equal[:] = False
            for line in candidates.tolist():
                is_equal[line] = self.raw(line, 1) == text
        return is_equal

    def gather(self, is_wanted: NDArray[np.bool_]) -> bytes:
        """Return the wanted lines, each ended by one LF."""
        if is_wanted.all():
            joined = self._data[: self.complete]
        else:
            edges = np.flatnonzero(np.diff(is_wanted, prepend=False, append=False))
            view = memoryview(self._data)
            joined = b"".join(
                view[int(self.starts[first]) : int(self._stops[after - 1]) + 1]
                for first, after in zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True)
            )
        if not self._has_cr:
            return joined
        return joined.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def raw(self, index: int, count: int) -> bytes:
        """Return ``count`` lines from ``index`` on, without the last one's end."""
        return self._data[int(self.starts[index]) : int(self.ends[index + count - 1])]

    def with_end(self, index: int) -> bytes:
        """Return line ``index`` and what ends it."""
        return self._data[int(self.starts[index]) : int(self._stops[index]) + 1]

    def _line_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._stops, positions)
