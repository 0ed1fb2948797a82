"""Looking after all of a dataset's tables: fewer and larger files, and none that nobody needs any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from etl_core.errors import ConfigError
from pipeline_processing.model import ItemResult
from pipeline_processing.processors.silver.dataset_tables import check_format
from pipeline_processing.processors.silver.item import Destination
from pipeline_processing.tables import maintenance
from pipeline_processing.tables.compaction import groups, optimize
from pipeline_processing.tables.rewriting import FileRewriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pipeline_processing.model import Item, Json
    from pipeline_processing.service_handler import ServiceHandler

TABLES: Final = ("", "quarantine", "decisions", "files", "profiles")
_SOURCES: Final = {"": "_source_file", "quarantine": "source_file"}
"""Tables whose files say which sources they hold, and the column that does: only such are merged."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Files of one table before and after; ``left``: groups that a publish or another optimize changed meanwhile."""

    table: str
    before: int
    after: int
    left: int = 0

    def as_json(self) -> dict[str, Json]:
        """Return all of it."""
        counts = {"files before": self.before, "files after": self.after, "groups left": self.left}
        return {"table": self.table, **counts}


@dataclass(frozen=True, slots=True)
class Swept:
    """Files of one table that nothing needs any more."""

    table: str
    files: int

    def as_json(self) -> dict[str, Json]:
        """Return all of it."""
        return {"table": self.table, "files swept": self.files}


def rewriter_of(destination: Destination, which: str, services: ServiceHandler) -> FileRewriter | None:
    """Return what writes the table's files anew; None where they do not say what they hold."""
    if which not in _SOURCES:
        return None
    return FileRewriter(
        services.store(destination.bucket),
        destination.root(which),
        clock=services.clock,
        nonce=services.nonce,
        source_column=_SOURCES[which],
    )


async def merge_small(
    destination: Destination, services: ServiceHandler, *, target: int, is_dry_run: bool
) -> list[Merged]:
    """Merge the small files of each table up to ``target`` bytes; a dry run says which files it would be now."""
    found = there(destination, services)
    return [
        await merge_table(destination, which, services, target=target, is_dry_run=is_dry_run)
        async for which in found
        if which in _SOURCES
    ]


async def merge_table(
    destination: Destination, which: str, services: ServiceHandler, *, target: int, is_dry_run: bool
) -> Merged:
    """Merge the small files of one table; one whose files do not say what they hold is left as it is."""
    table, files = services.table(destination, which), rewriter_of(destination, which, services)
    if files is None:
        return Merged(table.uri, 0, 0)
    if is_dry_run:
        found = groups(await table.snapshot(), target)
        return Merged(table.uri, sum(map(len, found)), len(found))
    merged = await optimize(table, files, target=target)
    return Merged(table.uri, merged.before, merged.after, merged.left)


@dataclass(frozen=True, slots=True)
class Retention:
    """What a sweep may delete: see `pipeline_processing.tables.maintenance.vacuum`."""

    older_than: timedelta
    is_dry_run: bool = True
    include_unknown: bool = False
    is_short_allowed: bool = False


async def sweep(destination: Destination, services: ServiceHandler, retention: Retention) -> list[Swept]:
    """Delete, or with a dry run count, in each table what no version within the retention names."""
    return [await sweep_table(destination, which, services, retention) async for which in there(destination, services)]


async def sweep_table(destination: Destination, which: str, services: ServiceHandler, retention: Retention) -> Swept:
    """Delete, or with a dry run count, what no version of the table within the retention names."""
    table = services.table(destination, which)
    found = await maintenance.vacuum(
        table,
        older_than=retention.older_than,
        is_dry_run=retention.is_dry_run,
        include_unknown=retention.include_unknown,
        is_short_allowed=retention.is_short_allowed,
    )
    return Swept(table.uri, len(found))


class TableCare:
    """Looks after one table an item; ``name`` says how. Doing it again does no harm."""

    def __init__(self, name: Literal["optimize", "vacuum"], services: ServiceHandler) -> None:
        self._name, self._services = name, services

    @property
    def name(self) -> str:
        """Return the name that items carry."""
        return self._name

    async def process(self, item: Item) -> ItemResult:
        """Return what was done to the table: files by what became of them."""
        destination, which = Destination(**item.payload["destination"]), item.payload["table"]
        asked, services = item.payload["asked"], self._services
        done: Merged | Swept
        if self._name == "optimize":
            done = await merge_table(destination, which, services, target=asked["target"], is_dry_run=asked["dry_run"])
        else:
            retention = Retention(
                timedelta(seconds=asked["retention_seconds"]), asked["dry_run"], asked["orphans"], asked["short"]
            )
            done = await sweep_table(destination, which, services, retention)
        outcome = "looked at" if asked["dry_run"] else "looked after"
        return ItemResult(item.item_id, "done", {outcome: 1}, details=done.as_json())


async def there(destination: Destination, services: ServiceHandler) -> AsyncIterator[str]:
    """Yield the tables that exist; ConfigError where the dataset has none: nothing looked after is not all well."""
    is_any = False
    for which in TABLES:
        await check_format(services, destination, which)
        if (await services.table(destination, which).snapshot()).exists:
            is_any = True
            yield which
    if not is_any:
        raise ConfigError(
            "there is no table",
            where=services.table(destination).uri,
            way_out="publish to it first, or correct --dataset, --silver-bucket, --silver-prefix, --format",
        )
