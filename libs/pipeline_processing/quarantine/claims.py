"""A release's claim on its rows: of two releases of one row, one has it, and the other is told who.

The decisions are committed before the rows are published (`book` tells why nothing is lost in between). A claim is for
one source, all of it or nothing: its rows are in one file, of which no row can be left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError, Transient
from pipeline_processing.quarantine.book import effective, read_decisions
from pipeline_processing.quarantine.decisions import DECISIONS
from pipeline_processing.tables import Change, Edit
from pipeline_processing.tables.publication import origins_of, rollback_app_of
from pipeline_processing.tables.publishing import app_of
from pipeline_processing.tables.schema import schema_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from etl_core.objects import ObjectStore
    from pipeline_processing.tables import DataFile, Snapshot, Table

ROUNDS: Final = 24
"""Times that other releases of the same sources may come in between."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The decisions about one source's rows, in a file of their own; ``base`` is the run that quarantined them."""

    source: str
    base: str
    file: DataFile


@dataclass(frozen=True, slots=True)
class Claimed:
    """What became of a release's claims. ``taken`` has, by source, the ids that are another release's, with its name.

    A source is in either of them; one with a single row taken is not ``granted``.
    """

    granted: frozenset[str] = frozenset()
    taken: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class _Unread(Exception):  # noqa: N818 - no fault: what must be read before the decision can be made
    def __init__(self, files: Sequence[DataFile]) -> None:
        self.files = files
        super().__init__()


async def claim(
    store: ObjectStore,
    table: Table,
    claims: Sequence[Claim],
    *,
    release_id: str,
    version: int,
    rolled_back: Collection[str],
) -> Claimed:
    """Commit the decisions of ``claims`` whose rows are nobody else's; idempotent by release and ``version``.

    ``version`` counts the release's done items, so that it only grows. What was ``rolled_back`` holds nothing.
    """
    own = {one.file.path: one for one in claims}
    read: dict[str, pl.DataFrame] = {}
    ids = {one.source: (await read_decisions(store, table, one.file))["quarantine_id"] for one in claims}

    def taken_in(snapshot: Snapshot) -> dict[str, dict[str, str]]:
        theirs = [
            file
            for file in snapshot.files.values()
            if file.path not in own and not ids.keys().isdisjoint(origin.source for origin in origins_of(file))
        ]
        if unread := [file for file in theirs if file.path not in read]:
            raise _Unread(unread)
        others = pl.concat([pl.DataFrame(schema=DECISIONS), *(read[file.path] for file in theirs)])
        others = others.filter(pl.col("release_id") != release_id)
        found = {}
        for one in claims:
            ruled = effective(others.filter(pl.col("source_file") == one.source), one.base, rolled_back)
            ruled = ruled.filter(pl.col("quarantine_id").is_in(ids[one.source].implode()))
            found[one.source] = dict(ruled.select("quarantine_id", "release_id").iter_rows())
        return found

    def decide(snapshot: Snapshot) -> Edit | None:
        taken = taken_in(snapshot)
        new = [one.file for one in claims if not taken[one.source] and one.file.path not in snapshot.files]
        return Edit(add=new, note={"release": release_id}) if new else None

    for _ in range(ROUNDS):
        try:
            await table.commit(Change(app_of(release_id), version, decide, schema_of(DECISIONS)))
            snapshot = await table.snapshot()
            taken = taken_in(snapshot)
        except _Unread as unread:
            for file in unread.files:
                read[file.path] = await read_decisions(store, table, file)
        else:
            granted = frozenset(one.source for one in claims if one.file.path in snapshot.files)
            return Claimed(granted, {source: of for source, of in taken.items() if source not in granted})
    raise Transient(f"{table.uri}: other releases of the same files kept coming first")


async def give_up(silver: Table, release_id: str) -> bool:
    """Keep a release that was interrupted from ever publishing: its rows are open again. False where that was done.

    ConfigError where rows of it are published: they would have to be taken back.
    """

    def decide(snapshot: Snapshot) -> Edit:
        if any(origin.part == release_id for file in snapshot.files.values() for origin in origins_of(file)):
            raise ConfigError(
                f"rows of release {release_id} are published",
                where=silver.uri,
                way_out=f"resume it with --run-id {release_id}, or roll it back (`backfill rollback`)",
            )
        return Edit(note={"given up": release_id})

    return (await silver.commit(Change(rollback_app_of(release_id), 1, decide))).changed
