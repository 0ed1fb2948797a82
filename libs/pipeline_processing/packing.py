"""Many small files in one item: pure, streaming, first come first packed."""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_SIZE: Final = re.compile(r"([0-9]+)\s*(|B|kB|KB|MB|GB|KiB|MiB|GiB)")
_UNITS: Final = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_BINARY: Final = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_size(text: str) -> int:
    """Return the bytes that ``64MiB``, ``10 MB`` or ``4096`` says; ValueError for anything else.

    >>> parse_size("256MiB")
    268435456
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        msg = f"{text!r} is not a size such as 4096, 10MB or 256MiB"
        raise ValueError(msg)
    return int(match[1]) * (_UNITS | _BINARY)[match[2]]


class Packer(Generic[T]):
    """Cuts a stream of entries into packs of at most ``max_items`` inputs and ``max_bytes`` bytes.

    An entry that alone reaches a limit is a pack of its own. Equal streams give equal packs.

    >>> packer = Packer[str](max_items=2, max_bytes=100)
    >>> [pack for name in "abc" for pack in packer.add(name, size=10)], packer.rest()
    ([['a', 'b']], ['c'])
    """

    def __init__(self, *, max_items: int, max_bytes: int) -> None:
        if max_items < 1 or max_bytes < 1:
            msg = f"a pack holds at least one file and one byte, not {max_items} and {max_bytes}"
            raise ValueError(msg)
        self._max_items, self._max_bytes = max_items, max_bytes
        self._pack: list[T] = []
        self._inputs = 0
        self._bytes = 0

    def add(self, entry: T, *, size: int, inputs: int = 1) -> list[list[T]]:
        """Take ``entry`` and return the packs that are complete by it: none, one or two."""
        if size >= self._max_bytes or inputs >= self._max_items:
            return [[entry]]
        overflows = self._inputs + inputs > self._max_items or self._bytes + size > self._max_bytes
        complete = [self.rest()] if overflows else []
        self._pack.append(entry)
        self._inputs += inputs
        self._bytes += size
        return [*complete, self.rest()] if self._inputs == self._max_items else complete

    def rest(self) -> list[T]:
        """Return the pack in the making, which may be empty, and begin another."""
        pack, self._pack, self._inputs, self._bytes = self._pack, [], 0, 0
        return pack
