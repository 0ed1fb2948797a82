"""Fewer, larger files of the same rows: which are merged, and how that is committed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from pipeline_processing.tables import Change, DataFile, Edit
from pipeline_processing.tables.publication import origins_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline_processing.tables import Snapshot, Table
    from pipeline_processing.tables.rewriting import FileRewriter

log = structlog.get_logger(__name__)

APP: Final = "optimize"
TARGET: Final = 128 * 1024 * 1024
"""Bytes of a file as it should be; Delta Lake's own optimize aims at 100 to 256 MiB."""
SMALL: Final = 0.75
"""Share of the target from which on a file is left as it is."""
FILES: Final = 500
"""Files merged into one at most: each is open at once, and is a download."""


@dataclass(frozen=True, slots=True)
class Optimized:
    """What `optimize` did: files before and after; ``left``: groups that a publish or another optimize changed."""

    before: int = 0
    after: int = 0
    left: int = 0


async def optimize(table: Table, files: FileRewriter, *, target: int = TARGET) -> Optimized:
    """Merge small files of one partition up to ``target`` bytes each, one commit a merged file; rows stay as they are.

    Safe at any time, also beside another one: a group of which somebody takes a file meanwhile is left for the next
    time. If that was while it was written, what was written is an orphan for the vacuum.
    """
    snapshot = await table.snapshot()
    before = after = left = 0
    for group in groups(snapshot, target):
        if await _merged(table, files, group):
            before, after = before + len(group), after + 1
        else:
            left += 1
    log.info("table.optimized", table=table.uri, before=before, after=after, left=left)
    return Optimized(before, after, left)


def groups(snapshot: Snapshot, target: int = TARGET) -> list[list[DataFile]]:
    """Return what is to be merged: at least two small files of one partition, published by this product."""
    partitions: dict[tuple[str | None, ...], list[DataFile]] = defaultdict(list)
    for file in sorted(snapshot.files.values(), key=lambda file: (file.modified, file.path)):
        if file.size < SMALL * target and origins_of(file):
            partitions[tuple(file.partition[name] for name in snapshot.partition_by)].append(file)
    return [group for small in partitions.values() for group in _packed(small, target) if len(group) > 1]


def _packed(files: Iterable[DataFile], target: int) -> list[list[DataFile]]:
    packs: list[list[DataFile]] = [[]]
    size = 0
    for file in files:
        if packs[-1] and (size + file.size > target or len(packs[-1]) >= FILES):
            packs.append([])
            size = 0
        packs[-1].append(file)
        size += file.size
    return packs


async def _merged(table: Table, files: FileRewriter, group: Sequence[DataFile]) -> bool:
    """Put one file in the place of ``group``; False where one of its files is not there any more, or is another."""
    if not _stands(group, snapshot := await table.snapshot()):
        return False
    merged = await files.merged(group, partition_by=snapshot.partition_by)

    def decide(snapshot: Snapshot) -> Edit | None:
        if not _stands(group, snapshot):
            return None
        return Edit([merged], [file.path for file in group], is_rewrite=True)

    while _stands(group, snapshot := await table.snapshot()):
        # Another optimize may take the number before: then it has merged something, and this group has its next turn.
        if (await table.commit(Change(APP, snapshot.applied.get(APP, 0) + 1, decide))).changed:
            return True
    log.info("table.group_left", table=table.uri, files=len(group), key=merged.path)
    return False


def _stands(group: Sequence[DataFile], snapshot: Snapshot) -> bool:
    return all(snapshot.files.get(file.path) == file for file in group)
