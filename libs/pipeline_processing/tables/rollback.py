"""Taking a published run back: what it added goes, what it removed comes back, in one commit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, NotFound
from pipeline_processing.tables import Change, Commit, Committed, DataFile, Edit, Snapshot
from pipeline_processing.tables.compaction import APP as OPTIMIZE
from pipeline_processing.tables.publication import origins_of
from pipeline_processing.tables.publishing import app_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl_core.objects import ObjectStore
    from pipeline_processing.tables import Table

HEADS: Final = 16
"""Files looked for at once."""
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Effect:
    """What a run's commits did to the table, taken together."""

    run: str
    version: int
    """The last version of the run that was committed."""
    added: dict[str, DataFile] = field(default_factory=dict)
    removed: dict[str, DataFile] = field(default_factory=dict)
    retagged: dict[str, DataFile] = field(default_factory=dict)
    """As they were before the run."""
    taken_by: dict[str, str] = field(default_factory=dict)
    """For each file that was removed later: the application that did it."""


async def rollback(table: Table, store: ObjectStore, run: str) -> Committed:
    """Undo the run's publishes in one commit; ``changed`` is False where that has been done.

    ConfigError, and nothing is changed, where the run published nothing here, a later run has replaced something of it,
    its files were compacted, or a file that would come back is gone.
    """
    effect = await effect_of(table, run)
    await _check_there(table, store, effect)
    return await table.commit(
        Change(f"rollback:{run}", effect.version, lambda snapshot: undo(effect, snapshot, where=table.uri))
    )


async def effect_of(table: Table, run: str) -> Effect:
    """Return what the run's commits did; ConfigError where the history does not say it any more."""
    app, commits = app_of(run), list[Commit]()
    taken_by: dict[str, str] = {}
    async for commit in table.history():
        if commit.app == app:
            commits.append(commit)
            if commit.is_first:
                break
        else:
            taken_by |= {file.path: commit.app or "another writer" for file in commit.removed}
    if not commits:
        known = (await table.snapshot()).applied
        what = "its entries are gone from the table's log" if app in known else "it published nothing here"
        raise ConfigError(f"run {run} can not be rolled back: {what}", where=table.uri, way_out="run a backfill")
    if not commits[-1].is_first:
        raise ConfigError(
            f"run {run} can not be rolled back: its first entries are gone from the table's log",
            where=table.uri,
            way_out="run a backfill",
        )
    effect = Effect(run, commits[0].app_version, taken_by=taken_by)
    for commit in reversed(commits):
        _take(effect, commit)
    return effect


def _take(effect: Effect, commit: Commit) -> None:
    for file in commit.removed:
        if effect.added.pop(file.path, None) is None:
            effect.removed[file.path] = effect.retagged.pop(file.path, file)
    for file in commit.added:
        if (former := commit.retagged.get(file.path)) is not None and file.path not in effect.added:
            effect.retagged.setdefault(file.path, replace(file, tags=former))
        elif file.path not in effect.retagged:
            effect.added[file.path] = file


def undo(effect: Effect, snapshot: Snapshot, *, where: str) -> Edit:
    """Return the edit that takes the run out of ``snapshot``; ConfigError where others have built on it. Pure."""
    files = snapshot.files
    lost = [path for path in (*effect.added, *effect.retagged) if path not in files]
    if lost:
        by = sorted({effect.taken_by.get(path, "another commit") for path in lost})
        compacted = by == [OPTIMIZE]
        raise ConfigError(
            f"run {effect.run} can not be rolled back: {len(lost)} of its files are gone from the table, "
            f"{'compacted' if compacted else 'replaced'} by {', '.join(by)} ({_some(lost)})",
            where=where,
            way_out="run a backfill of its sources"
            if compacted
            else "roll the later run back first, or run a backfill",
        )
    back = [file for path, file in effect.removed.items() if path not in files]
    going = {*effect.added, *effect.retagged}
    coming = {origin.source for file in (*back, *effect.retagged.values()) for origin in origins_of(file)}
    twice = [path for path, file in files.items() if path not in going and _holds(file, coming)]
    if twice:
        raise ConfigError(
            f"run {effect.run} can not be rolled back: a later run has published sources that it replaced "
            f"({_some(twice)})",
            where=where,
            way_out="roll the later run back first, or run a backfill",
        )
    return Edit([*back, *effect.retagged.values()], list(effect.added), {"rolled back": effect.run})


async def _check_there(table: Table, store: ObjectStore, effect: Effect) -> None:
    """ConfigError where a file that would come back is not in the bucket as it was."""
    turn = asyncio.Semaphore(HEADS)

    async def is_there(file: DataFile) -> bool:
        async with turn:
            try:
                return (await store.head(table.root + file.path)).size == file.size
            except NotFound:
                return False

    files = list(effect.removed.values())
    there = await asyncio.gather(*map(is_there, files))
    if gone := [file.path for file, is_found in zip(files, there, strict=True) if not is_found]:
        raise ConfigError(
            f"run {effect.run} can not be rolled back: {len(gone)} files that it replaced are deleted ({_some(gone)})",
            where=table.uri,
            way_out="run a backfill of its sources; a longer retention of vacuum keeps such files",
        )


def _holds(file: DataFile, sources: set[str]) -> bool:
    return any(origin.source in sources for origin in origins_of(file))


def _some(paths: Iterable[str]) -> str:
    found = sorted(paths)
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
