"""Rows from lines of text: decoding, framing, numbering. How a plain line becomes cells is the splitter's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import polars as pl

from pipeline_processing.readers import LINE, RAW_LIMIT, Batch, Dialect, Reject
from pipeline_processing.readers.assembling import Counts, Tidy, cut, number
from pipeline_processing.readers.encodings import Transcoder, check_encoding, decide, detect, restore
from pipeline_processing.readers.framing import RECORD_LIMIT, Framed, Framer, Shape
from pipeline_processing.readers.streams import BLOCK, ByteStream, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline_processing.contracts.model import Format


_LINES_AT_ONCE = 500_000
_BEYOND_ASCII = bytes(range(128, 256))


class Splitter(Protocol):
    """Makes cells of plain lines."""

    def split(self, plain: bytes, count: int, *, has_quotes: bool) -> tuple[pl.DataFrame, Mapping[int, str]]:
        """Return a row of texts for each of the ``count`` lines, and why some are none (``ragged``), by their index."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """What was found out about a text file from its beginning. ``dialect`` says so to people."""

    shape: Shape
    header: tuple[str, ...]
    skip_lines: int
    splitter: Splitter
    dialect: Dialect


class TextRows:
    """A text file's rows; ``source`` is closed with it. See `pipeline_processing.readers.Rows`.

    ``plan`` gets the text that the file begins with, whether that is all of it, and its encoding.
    """

    def __init__(self, source: Source, form: Format, plan: Callable[[str, bool, str], Layout]) -> None:
        check_encoding(form.encoding)
        self._source = source
        self._form = form
        self._counts = Counts()
        encoding = detect(source.head, form.encoding)
        self._encoding = encoding.name
        self._wide = encoding.name if encoding.is_wide else None
        self._stream: ByteStream = Transcoder(source, encoding) if encoding.is_wide else source
        first = self._stream.read(BLOCK)
        if not encoding.is_wide:
            first = first[len(encoding.mark) :]
        ahead = self._stream.read(BLOCK)
        codec = "utf-8" if self._wide else self._encoding
        layout = plan(first.decode(codec or "utf-8", "replace"), not ahead, codec or "utf-8")
        self._header = layout.header
        self._splitter = layout.splitter
        self._tidy = Tidy(form, layout.header)
        self._framer = Framer(
            layout.shape, codec, is_totals=self._tidy.is_totals, skip_lines=layout.skip_lines, encoding=self._wide
        )
        self._blocks = [first, ahead]
        self._given = 0
        self._tail = b""
        notes = (*source.notes, *(["byte order mark"] if encoding.mark else []), *layout.dialect.notes)
        self._dialect = replace(layout.dialect, compression=source.compression, member=source.member, notes=notes)

    @property
    def header(self) -> Sequence[str]:
        """Return the column names, unique."""
        return self._header

    @property
    def dialect(self) -> Dialect:
        """Return what was found out; the encoding is ``ascii`` while nothing else was met."""
        return replace(
            self._dialect, encoding=self._encoding or "ascii", notes=(*self._dialect.notes, *self._counts.notes)
        )

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return how many records were no data, by why."""
        return dict(self._counts.by_reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def __iter__(self) -> Iterator[Batch]:
        while self._blocks:
            block = self._blocks.pop(0)
            following = self._blocks[0] if self._blocks else self._stream.read(BLOCK)
            self._blocks = [following] if following else []
            if self._encoding is None:
                data = self._tail + block if following else self._tail + block + b"\n"
                self._encoding = self._framer.codec = decide(data, self._form.encoding)
                # A word that goes on in the next block decides as a whole; its half may look like another encoding.
                word = self._tail + block
                self._tail = word[len(word.rstrip(_BEYOND_ASCII)) :][-RECORD_LIMIT:]
            pieces = _pieces(block)
            for place, piece in enumerate(pieces, start=1):
                framed = self._framer.frame(piece, is_last=not following and place == len(pieces))
                for why, count in framed.skipped.items():
                    self._counts.add(why, count)
                yield from self._batches(framed)

    def _batches(self, framed: Framed) -> Iterator[Batch]:
        frame, rejects = self._cells(framed)
        frame = self._tidy.nulls(frame)
        filled = self._tidy.without_blank(frame)
        self._counts.add("blank", frame.height - filled.height)
        kept = self._tidy.without_totals(filled)
        self._counts.add("totals", filled.height - kept.height)
        if self._wide:
            rejects = [replace(reject, raw=restore(reject.raw, self._wide)[:RAW_LIMIT]) for reject in rejects]
        batch = number(kept, rejects, self._given)
        self._given += kept.height + len(rejects)
        yield from cut(batch, self._header)

    def _cells(self, framed: Framed) -> tuple[pl.DataFrame, list[Reject]]:
        """Return the block's rows and rejects, each in the order of the file."""
        plain, count = framed.plain, len(framed.lines)
        codec = self._framer.codec
        if codec not in {None, "utf-8"} and not plain.isascii():
            plain = plain.decode(codec or "utf-8").encode()
        frame, faults = self._splitter.split(plain, count, has_quotes=framed.has_quotes)
        frame = frame.with_columns(pl.Series(LINE, framed.lines.astype(np.uint64)))
        rejects = framed.rejects
        for at, detail in faults.items():
            raw = framed.data[int(framed.starts[at]) : int(framed.ends[at])][:RAW_LIMIT]
            rejects.append(Reject(0, int(framed.lines[at]), "ragged", detail, raw))
        if faults:
            is_fine = np.ones(count, dtype=np.bool_)
            is_fine[list(faults)] = False
            frame = frame.filter(pl.Series(is_fine))
        if framed.odd:
            names = dict.fromkeys(self._header, pl.String)
            odd = pl.DataFrame([fields for _, fields in framed.odd], schema=names, orient="row")
            lines = pl.Series(LINE, [line for line, _ in framed.odd], pl.UInt64)
            frame = pl.concat([frame, odd.with_columns(lines)]).sort(LINE)
        return frame, sorted(rejects, key=lambda reject: reject.line)


def _pieces(block: bytes) -> list[bytes]:
    """Return the block, or parts of it where its lines are so many that their places would fill the memory."""
    parts = block.count(b"\n") // _LINES_AT_ONCE + 1
    size = len(block) // parts + 1
    return [block] if parts == 1 else [block[at : at + size] for at in range(0, len(block), size)]
