"""A run's files into a table in one commit: decide, write what the decision needs, commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from etl_core.errors import Transient
from pipeline_processing.tables import Change, Committed, DataFile, Edit, Snapshot, TableSchema
from pipeline_processing.tables.publication import SUPERSEDED, Decision, Rewrite, RewritesNeeded, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_processing.tables import Table

ROUNDS: Final = 8
"""Times that a decision may ask for files to be rewritten: each time somebody has compacted them anew meanwhile."""


class Rewriter(Protocol):
    """Writes a live file anew without some of its sources' rows."""

    async def without(self, file: DataFile, sources: frozenset[str], *, partition_by: Sequence[str]) -> DataFile:
        """Return the written file, in the same partition, under a name of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publish did: ``changed`` is False where the same version of the run had been committed before.

    ``superseded`` counts the origins that gave way then: a repeated publish says the same.
    """

    changed: bool
    superseded: int = 0


def app_of(run: str) -> str:
    """Return the application that the run's publishes are recorded as in a table."""
    return f"gather:{run}"


async def publish(
    table: Table, files: Sequence[DataFile], *, run: str, version: int, schema: TableSchema, rewriter: Rewriter
) -> Publication:
    """Commit the run's ``files``, all of its done items' so far; ``version`` counts those items, so that it only grows.

    Idempotent by run and version. What it replaces goes in the same commit.
    """
    rewritten: dict[Rewrite, DataFile] = {}
    made: list[Decision] = []

    def edit(snapshot: Snapshot) -> Edit:
        made.append(decide(snapshot, files, run=run, rewritten=rewritten))
        return made[-1].edit

    committed = await rewriting(table, Change(app_of(run), version, edit, schema), rewriter, rewritten)
    if not committed.changed:
        return Publication(changed=False, superseded=await _superseded(table, run, version))
    return Publication(changed=True, superseded=len(made[-1].superseded))


async def _superseded(table: Table, run: str, version: int) -> int:
    """Return what the run's commit noted; nought where the log does not reach back to it."""
    found = 0
    async for commit in table.history():
        if commit.app == app_of(run):
            found = int(commit.note.get(SUPERSEDED, "0"))
            if commit.app_version <= version:
                break
    return found


async def rewriting(
    table: Table, change: Change, rewriter: Rewriter | None, rewritten: dict[Rewrite, DataFile]
) -> Committed:
    """Apply ``change``; whatever its decision wants written first is written and put into ``rewritten``."""
    for _ in range(ROUNDS):
        try:
            return await table.commit(change)
        except RewritesNeeded as needed:
            if rewriter is None:
                raise
            snapshot = await table.snapshot()
            for rewrite in needed.rewrites:
                # One that is not live any more: somebody was faster, and the next decision does not ask for it.
                if (file := snapshot.files.get(rewrite.path)) is not None:
                    by = snapshot.partition_by
                    rewritten[rewrite] = await rewriter.without(file, rewrite.sources, partition_by=by)
    raise Transient(f"{table.uri}: its files were compacted anew {ROUNDS} times while {change.app} was committed")
