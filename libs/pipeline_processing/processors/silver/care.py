"""Looking after all of a dataset's tables: fewer and larger files, and none that nobody needs any more."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from pipeline_processing.tables import maintenance
from pipeline_processing.tables.compaction import Files, groups, optimize

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from pipeline_processing.model import Json
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.tables import Table

TABLES: Final = ("", "quarantine", "decisions", "files", "profiles")
_SOURCES: Final = {"": "_source_file", "quarantine": "source_file"}
"""Tables whose files say which sources they hold, and the column that does: only such are merged."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Files of one table before and after; ``left``: groups that a publish changed meanwhile."""

    table: str
    before: int
    after: int
    left: int = 0

    def as_json(self) -> dict[str, Json]:
        """Return all of it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Swept:
    """Files of one table that nothing needs any more."""

    table: str
    files: int

    def as_json(self) -> dict[str, Json]:
        """Return all of it."""
        return asdict(self)


async def merge_small(
    destination: Destination, services: ServiceHandler, *, target: int, is_dry_run: bool
) -> list[Merged]:
    """Merge the small files of each table up to ``target`` bytes; a dry run says which files it would be now."""
    store, done = services.store(destination.bucket), []
    async for which, table in _there(destination, services):
        if which not in _SOURCES:
            continue
        if is_dry_run:
            found = groups(await table.snapshot(), target)
            done.append(Merged(table.uri, sum(map(len, found)), len(found)))
            continue
        files = Files(
            store,
            destination.root(which),
            clock=services.clock,
            nonce=services.nonce,
            source_column=_SOURCES[which],
        )
        merged = await optimize(table, files, target=target)
        done.append(Merged(table.uri, merged.before, merged.after, merged.left))
    return done


async def sweep(
    destination: Destination,
    services: ServiceHandler,
    *,
    older_than: timedelta,
    is_dry_run: bool,
    include_unknown: bool,
    is_short_allowed: bool,
) -> list[Swept]:
    """Delete, or with ``is_dry_run`` count, what no snapshot younger than ``older_than`` names, in each table."""
    return [
        Swept(
            table.uri,
            len(
                (
                    await maintenance.vacuum(
                        table,
                        older_than=older_than,
                        is_dry_run=is_dry_run,
                        include_unknown=include_unknown,
                        is_short_allowed=is_short_allowed,
                    )
                ).paths
            ),
        )
        async for _, table in _there(destination, services)
    ]


async def _there(destination: Destination, services: ServiceHandler) -> AsyncIterator[tuple[str, Table]]:
    """Yield the tables that exist; ConfigError where the dataset has none: nothing looked after is not all well."""
    is_any = False
    for which in TABLES:
        table = services.table(destination, which)
        if (await table.snapshot()).exists:
            is_any = True
            yield which, table
    if not is_any:
        raise ConfigError(
            "there is no table",
            where=services.table(destination).uri,
            way_out="publish to it first, or correct --dataset, --silver-bucket, --silver-prefix, --format",
        )
