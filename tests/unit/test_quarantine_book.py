"""The quarantine's tables as they are read: how much work many files are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from etl_core.objects.memory import MemoryBuckets
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.quarantine.book import Book, Filter
from pipeline_processing.tables import DataFile, Snapshot
from pipeline_processing.tables.plain import PlainTable
from pipeline_processing.tables.publication import tags_of
from tables_world import AT, numbers, origin

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, eq=False)
class Counted(DataFile):
    """A file that knows how often any was compared with another."""

    compared: ClassVar[list[str]] = []

    def __eq__(self, other: object) -> bool:
        self.compared.append(self.path)
        return self is other

    def __hash__(self) -> int:
        return hash(self.path)


class Told(PlainTable):
    """A table whose files are told, not read."""

    def __init__(self, *files: DataFile) -> None:
        clock = FakeClock()
        store = MemoryBuckets(clock).create("silver")
        super().__init__(store, "t", clock=clock, jitter=lambda: 0.5, nonce=numbers())
        self._told = Snapshot(1, {file.path: file for file in files})

    async def snapshot(self) -> Snapshot:
        return self._told


async def rows_in(book: Book, files: Sequence[str]) -> int:
    return sum([len(frame) async for frame in book.rows(Filter(files=tuple(files)))])


async def test_many_files_of_one_source_are_not_compared_with_each_other() -> None:
    one = origin("a")
    tables = [Told(*(Counted(f"{number}", 1, 1, {}, AT, tags=tags_of([one])) for number in range(50))) for _ in "qds"]
    with Book(MemoryBuckets(FakeClock()).create("other"), *tables) as book:
        assert 0 == await rows_in(book, ["s3://in/b"])
    assert [] == Counted.compared
