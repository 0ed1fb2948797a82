"""The life of a change, whatever the table's format: once, on a fresh snapshot, until it stands or is not needed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import structlog

from etl_core.errors import InvalidData, Transient
from etl_core.retry import Backoff
from pipeline_processing.tables import Committed, partition_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl_core.clock import Clock
    from pipeline_processing.tables import Change, DataFile, Edit, Snapshot

log = structlog.get_logger(__name__)

ROUNDS: Final = 24
"""Lost races before a commit gives up: with four writers at once each loses three at most, so this is a stampede."""
BACKOFF: Final = Backoff(base=timedelta(milliseconds=50), cap=timedelta(seconds=2))


Base = TypeVar("Base")


class Attempts(Protocol[Base]):
    """What `apply` needs of a table; ``Base`` is what its format must know to put a commit on top of a snapshot."""

    async def base(self) -> tuple[Snapshot, Base]:
        """Return the table as it is now."""
        ...

    async def attempt(self, change: Change, edit: Edit, snapshot: Snapshot, base: Base) -> bool:
        """Commit ``edit`` as the successor of ``snapshot``; False where another commit came first."""
        ...


async def apply(
    table: Attempts[Base], change: Change, *, where: str, clock: Clock, jitter: Callable[[], float]
) -> Committed:
    """Apply ``change`` to ``table`` exactly once; Transient after `ROUNDS` lost races."""
    for lost in range(ROUNDS):
        if lost:
            await clock.sleep(BACKOFF.delay(lost, jitter()))
        snapshot, base = await table.base()
        if snapshot.applied.get(change.app, -1) >= change.version:
            return Committed(snapshot.version, changed=False)
        edit = change.decide(snapshot)
        if edit is None:
            return Committed(snapshot.version, changed=False)
        check(change, edit, snapshot, where=where)
        if await table.attempt(change, edit, snapshot, base):
            log.info(
                "table.committed",
                table=where,
                app=change.app,
                app_version=change.version,
                version=snapshot.version + 1,
                added=len(edit.add),
                removed=len(edit.remove),
                races_lost=lost,
            )
            return Committed(snapshot.version + 1, changed=True, edit=edit)
    raise Transient(f"{where}: {ROUNDS} times another commit came first")


def check(change: Change, edit: Edit, snapshot: Snapshot, *, where: str) -> None:
    """InvalidData where an edit does not fit the snapshot that it was decided on: a fault of its decision."""
    added = [file.path for file in edit.add]
    partition_by = change.schema.partition_by if change.schema else snapshot.partition_by
    faults = [
        *(f"{path} is not in the table" for path in edit.remove if path not in snapshot.files),
        *(f"{path} is both added and removed" for path in sorted({*added} & {*edit.remove})),
        *(f"{path} is no path in the table" for path in added if not _is_inside(path)),
        *(fault for file in edit.add if (fault := _misplaced(file, partition_by, snapshot.files.get(file.path)))),
    ]
    if len({*added}) < len(added) or len({*edit.remove}) < len(edit.remove):
        faults.append("a file is named twice")
    if faults:
        raise InvalidData(f"{where}: {faults[0]}" + (f", and {len(faults) - 1} more" if faults[1:] else ""))


def _misplaced(file: DataFile, partition_by: Sequence[str], live: DataFile | None) -> str:
    if live is not None and (live.size, live.rows) != (file.size, file.rows):
        return f"{file.path} is in the table already, and is another file"
    if {*file.partition} != {*partition_by}:
        return f"{file.path} has values for {', '.join(file.partition) or 'no column'}, not for the partition columns"
    folders = partition_path(file.partition, partition_by)
    return "" if file.path.startswith(folders) else f"{file.path} does not begin with its partition's {folders}"


def _is_inside(path: str) -> bool:
    folder, _, _ = path.partition("/")
    is_hidden = folder.startswith(("_", ".")) and "=" not in folder
    return (
        bool(path) and not is_hidden and not path.startswith("/") and "://" not in path and ".." not in path.split("/")
    )
