"""Sorting more than memory holds: an external merge sort on local disk."""

from __future__ import annotations

import heapq
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

Entry = tuple[bytes, bytes]

_HEADER: Final = struct.Struct(">II")
_OVERHEAD: Final = 150
"""Bytes that CPython spends on one entry beside its content: a tuple, two bytes objects and a list slot."""
_FAN_IN: Final = 64
"""Sorted files merged at once: bounds open files, and with them read buffers."""
_READ_BUFFER: Final = 64 * 1024


class SortedSpool:
    """Takes entries in any order, gives them back sorted by key (then value), in about ``memory`` bytes.

    Use it as a context manager: its temporary folder (inside ``folder``, or the system's) goes when it closes. It can
    be iterated any number of times, one iteration at a time; an entry added in between is seen by the next one.
    ``unique`` collapses entries equal in key *and* value. Raises OSError when the disk is full.
    """

    def __init__(self, *, memory: int = 16 * 1024 * 1024, folder: Path | None = None, unique: bool = False) -> None:
        self._memory, self._parent, self._unique = memory, folder, unique
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._buffer: list[Entry] = []
        self._buffered = 0
        self._files: list[Path] = []
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._buffer, self._files = [], []
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def add(self, key: bytes, value: bytes) -> None:
        """Take one entry; every so often this sorts and writes what memory holds."""
        # A copy, because orjson hands out small objects that keep 4 KiB each: ten times what is counted here.
        self._buffer.append((key, bytes(memoryview(value))))
        self._buffered += len(key) + len(value) + _OVERHEAD
        if self._buffered >= self._memory:
            self._spill()

    def __iter__(self) -> Iterator[Entry]:
        self._buffer.sort()
        merged = heapq.merge(*(_read(path) for path in self._files), list(self._buffer))
        return _collapse(merged) if self._unique else merged

    def _spill(self) -> None:
        self._buffer.sort()
        self._files.append(self._write(_collapse(self._buffer) if self._unique else self._buffer))
        self._buffer, self._buffered = [], 0
        if len(self._files) >= _FAN_IN:
            merged = heapq.merge(*(_read(path) for path in self._files))
            whole = self._write(_collapse(merged) if self._unique else merged)
            for path in self._files:
                path.unlink()
            self._files = [whole]

    def _write(self, entries: Iterable[Entry]) -> Path:
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="spool-", dir=self._parent)
        path = Path(self._temporary.name) / f"{self._written:06d}"
        self._written += 1
        with path.open("wb", buffering=1024 * 1024) as file:
            for key, value in entries:
                file.write(_HEADER.pack(len(key), len(value)) + key + value)
        return path


def _read(path: Path) -> Iterator[Entry]:
    with path.open("rb", buffering=_READ_BUFFER) as file:
        while header := file.read(_HEADER.size):
            key_size, value_size = _HEADER.unpack(header)
            yield file.read(key_size), file.read(value_size)


def _collapse(entries: Iterable[Entry]) -> Iterator[Entry]:
    last: Entry | None = None
    for entry in entries:
        if entry != last:
            yield entry
        last = entry
