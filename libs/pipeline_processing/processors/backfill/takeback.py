"""A run taken back out of all of a dataset's tables: looked at everywhere before anything is changed anywhere."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from etl_core.errors import ConfigError
from pipeline_processing.processors.silver.care import rewriter_of
from pipeline_processing.processors.silver.dataset_tables import BESIDE
from pipeline_processing.tables import Change, Edit
from pipeline_processing.tables.publication import RewritesNeeded, origins_of, rollback_app_of
from pipeline_processing.tables.publishing import app_of
from pipeline_processing.tables.rollback import check_there, effect_of, rollback, undo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_core.objects import ObjectStore
    from pipeline_processing.model import Json
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.tables import DataFile, Snapshot, Table, TableSchema

_NOTHING: Final = 0
"""Version of the rollback of a table that had nothing of the run."""

State = Literal["rolled back", "to be rolled back", "rolled back before", "nothing of this run"]


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What becomes of one table: files and rows of the run that go, and those that come back."""

    table: str
    state: State
    files_gone: int = 0
    rows_gone: int = 0
    """Of the quarantine each row once, however often a release has said anew what it fails."""
    files_back: int = 0
    rows_back: int = 0

    def as_json(self) -> dict[str, Json]:
        """Return all of it."""
        return asdict(self)


async def take_back(
    run: str, destination: Destination, services: ServiceHandler, *, is_dry_run: bool
) -> list[TakenBack]:
    """Restore in every table of the dataset what the run replaced, the dataset's own first; may be repeated.

    ConfigError, and nothing is changed, where the run published nothing, or a table can not be restored: a later run
    has replaced something of this one, or a file that would come back is gone.
    """
    store = services.store(destination.bucket)
    tables = {which: services.table(destination, which) for which in ("", *BESIDE)}
    looked = {which: await _look(table, store, run, which) for which, table in tables.items()}
    if all(found.state == "nothing of this run" for found in looked.values()):
        raise ConfigError(
            f"run {run} published nothing of {destination.dataset}",
            where=tables[""].uri,
            way_out="`controller status --all` lists the runs",
        )
    if is_dry_run:
        return list(looked.values())
    done: list[TakenBack] = []
    for which, found in looked.items():
        is_closed = found.state == "nothing of this run" and await _close(tables[which], run, BESIDE.get(which))
        if is_closed or found.state == "rolled back before":
            done.append(found)
            continue
        try:
            committed = await rollback(tables[which], store, run, rewriter=rewriter_of(destination, which, services))
        except ConfigError as error:
            raise _halfway(error, done) from error
        done.append(replace(found, state="rolled back" if committed.changed else "rolled back before"))
    return done


async def _close(table: Table, run: str, schema: TableSchema | None) -> bool:
    """Keep a gather that is at work from committing to a table that has nothing of the run; False where it has by now.

    A dataset's own table that does not exist has no columns yet, and can not be closed.
    """

    def decide(snapshot: Snapshot) -> Edit | None:
        is_nothing = app_of(run) not in snapshot.applied and (snapshot.exists or schema is not None)
        return Edit(note={"rolled back": run}) if is_nothing else None

    await table.commit(Change(rollback_app_of(run), _NOTHING, decide, schema))
    return app_of(run) not in (await table.snapshot()).applied


def _halfway(error: ConfigError, done: Sequence[TakenBack]) -> ConfigError:
    """Return what to tell where a publish came between the look and this table's turn."""
    back = [table.table for table in done if table.state == "rolled back"]
    if not back:
        return error
    return ConfigError(
        f"{error.what}; {', '.join(back)} had been rolled back by then",
        where=error.where,
        way_out="run a backfill of the run's sources: it brings the tables together again",
    )


async def _look(table: Table, store: ObjectStore, run: str, which: str) -> TakenBack:
    snapshot = await table.snapshot()
    if snapshot.applied.get(rollback_app_of(run), _NOTHING) > _NOTHING:
        return TakenBack(table.uri, "rolled back before")
    if app_of(run) not in snapshot.applied:
        return TakenBack(table.uri, "nothing of this run")
    effect = await effect_of(table, run)
    with suppress(RewritesNeeded):  # what was merged with others is written anew, once the rollback is done
        undo(effect, snapshot, where=table.uri, rewritten={})
    await check_there(table, store, effect)
    going, back = effect.added.values(), [file for path, file in effect.removed.items() if path not in snapshot.files]
    count = _rows_once if which == "quarantine" else _rows
    return TakenBack(table.uri, "to be rolled back", len(going), count(going), len(back), count(back))


def _rows(files: Iterable[DataFile]) -> int:
    return sum(file.rows for file in files)


def _rows_once(files: Iterable[DataFile]) -> int:
    """Count without what releases added: those rows stood in quarantine before (``released_from``)."""
    return sum(file.rows - sum(origin.rows for origin in origins_of(file) if origin.part) for file in files)
