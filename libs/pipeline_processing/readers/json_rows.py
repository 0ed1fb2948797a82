"""JSON: one object a line, or an array of objects anywhere in a document. Read twice: first for the columns' names."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Self

from etl_core.errors import InvalidData
from pipeline_processing.readers import RAW_LIMIT, Batch, Dialect
from pipeline_processing.readers.assembling import Assembler, Counts
from pipeline_processing.readers.dialects import COLUMNS_LIMIT, unique_names
from pipeline_processing.readers.encodings import KEPT_BYTES, detect, to_bytes
from pipeline_processing.readers.framing import RECORD_LIMIT
from pipeline_processing.readers.json_text import JsonText, Record
from pipeline_processing.readers.json_values import BadRecordError, cell, keys, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline_processing.contracts.model import Format
    from pipeline_processing.readers.streams import Source

_PIECE = 256 * 1024


def is_lines(head: bytes) -> bool:
    """Say whether the text that begins so is one object a line, rather than a document."""
    lines = [line for line in head.splitlines() if line.strip()][:5]
    whole = [line for line in lines if line.strip().startswith(b"{") and line.strip().endswith(b"}")]
    if len(lines) > 1:
        are_all_begun = all(line.lstrip().startswith(b"{") for line in lines)
        return any(_is_object(line) for line in (whole if are_all_begun else lines[:1]))
    return bool(whole) and not _has_array(whole[0])


def _is_object(line: bytes) -> bool:
    return bool(keys(line.decode("utf-8", "replace")))


def _has_array(line: bytes) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and any(isinstance(v, list) and v and isinstance(v[0], dict) for v in value.values())


class JsonRows:
    """The rows of a JSON file. ``source`` opens it anew. See `pipeline_processing.readers.Rows`."""

    def __init__(
        self, source: Callable[[], Source], form: Format, *, name: str, has_lines: bool, notes: Sequence[str] = ()
    ) -> None:
        self._open = source
        self._form = form
        self._name = name
        self._has_lines = has_lines
        self._counts = Counts()
        self._path = tuple(form.records.split(".")) if form.records else None
        notes = [*notes]
        with source() as opened:
            self._encoding = detect(opened.head, form.encoding)
            self._compression, self._member = opened.compression, opened.member
        if self._path is None and not has_lines:
            self._path = self._only_array(notes)
        self._keys = self._find_keys()
        self._header, more = unique_names(tuple(self._keys))
        self._notes = (*notes, *more)

    @property
    def header(self) -> Sequence[str]:
        """Return the keys of all records, in the order in which they first come."""
        return self._header

    @property
    def dialect(self) -> Dialect:
        """Return what was found out."""
        return Dialect(
            "ndjson" if self._has_lines else "json",
            self._compression,
            self._encoding.name or "ascii",
            member=self._member,
            notes=(*self._notes, *self._counts.notes),
        )

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return how many records were no data, by why."""
        return dict(self._counts.by_reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open between two readings."""

    def __iter__(self) -> Iterator[Batch]:
        self._counts.by_reason.clear()
        assembler = Assembler(self._header, self._form, self._counts)
        with self._open() as source:
            for record in self._records(source):
                value, fault = record.value, record.fault
                if value is None and fault is None:
                    try:
                        value = read_object(record.text)
                    except BadRecordError as error:
                        fault = error
                if value is None or fault is not None:
                    reason, detail = (fault.reason, fault.detail) if fault else ("bad json", "no value")
                    yield from assembler.reject(record.line, reason, detail, self._raw(record.text))
                    continue
                cells = [cell(value.get(key)) for key in self._keys]
                yield from assembler.row(record.line, cells, len(record.text))
        yield from assembler.finish()

    def _find_keys(self) -> list[str]:
        found: dict[str, None] = {}
        is_empty = True
        with self._open() as source:
            for record in self._records(source):
                is_empty = False
                if record.value is not None:
                    found.update(dict.fromkeys(record.value))
                elif record.fault is None:
                    found.update(dict.fromkeys(keys(record.text)))
                if len(found) > COLUMNS_LIMIT:
                    raise InvalidData(f"{self._name}: more than {COLUMNS_LIMIT} different keys")
        if is_empty and not self._is_array():
            raise InvalidData(f"{self._name}: the file is empty")
        self._counts.by_reason.clear()
        return list(found)

    def _is_array(self) -> bool:
        with self._open() as source:
            head = source.head[len(self._encoding.mark) :]
            return self._path is not None or head.decode(self._encoding.name or "utf-8", "replace").lstrip().startswith(
                "["
            )

    def _only_array(self, notes: list[str]) -> tuple[str, ...] | None:
        """Return the path of the first array of objects in the outermost object, where there is one."""
        with self._open() as source:
            paths = list(JsonText(self._texts(source), self._name).array_paths())
        if not paths:
            return None
        others = "".join(f", and not of {path[0]}" for path in paths[1:4])
        notes.append(f"records are those of {paths[0][0]}{others}")
        return paths[0]

    def _raw(self, text: str) -> bytes:
        name = self._encoding.name or "utf-8"
        return to_bytes(text[:RAW_LIMIT], name)

    def _texts(self, source: Source) -> Iterator[str]:
        """Yield the decoded text; bytes of no character come as lone surrogates."""
        name = self._encoding.name or "utf-8"
        decoder = codecs.getincrementaldecoder(name)(KEPT_BYTES)
        skip = len(self._encoding.mark)
        while piece := source.read(_PIECE):
            text = decoder.decode(piece[skip:])
            skip = 0
            if text:
                yield text
        yield decoder.decode(b"", final=True)

    def _records(self, source: Source) -> Iterator[Record]:
        if self._has_lines:
            return self._lines(source)
        return JsonText(self._texts(source), self._name).records(self._path)

    def _lines(self, source: Source) -> Iterator[Record]:
        """Yield the lines that are not blank; of one that is too long only the beginning, as a fault."""
        for line, (raw, length) in enumerate(_split(self._texts(source)), start=1):
            if length > RECORD_LIMIT:
                yield Record(line, raw, fault=BadRecordError("too long", f"{length} characters in one line"))
            elif not raw.strip():
                self._counts.add("blank")
            else:
                yield Record(line, raw)


def _split(texts: Iterator[str]) -> Iterator[tuple[str, int]]:
    """Yield each line without its end, and its length; of one beyond the limit not more than `RAW_LIMIT` characters."""
    rest, dropped = "", 0
    for text in texts:
        *lines, last = (rest + text).split("\n")
        for line in lines:
            yield line.removesuffix("\r"), len(line) + dropped
            dropped = 0
        rest = last
        if len(rest) > RECORD_LIMIT:
            dropped += len(rest) - RAW_LIMIT
            rest = rest[:RAW_LIMIT]
    if rest:
        yield rest, len(rest) + dropped
