"""Taking a published run back: what it added goes, what it removed comes back, in one commit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, NotFound
from pipeline_processing.tables import Change, Commit, Committed, DataFile, Edit, Snapshot
from pipeline_processing.tables.compaction import APP as OPTIMIZE
from pipeline_processing.tables.publication import Rewrite, RewritesNeeded, origins_of, remaining, rollback_app_of
from pipeline_processing.tables.publishing import app_of, rewriting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from etl_core.objects import ObjectStore
    from pipeline_processing.tables import Table
    from pipeline_processing.tables.publishing import Rewriter

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


async def rollback(table: Table, store: ObjectStore, run: str, *, rewriter: Rewriter | None = None) -> Committed:
    """Undo the run's publishes in one commit; ``changed`` is False where that has been done.

    ConfigError, and nothing is changed, where the run published nothing here, a later run has replaced something of it,
    or a file that would come back is gone; without ``rewriter`` also where its files were compacted since.
    """
    effect = await effect_of(table, run)
    app = rollback_app_of(run)
    snapshot = await table.snapshot()
    if snapshot.applied.get(app, -1) >= effect.version:
        return Committed(snapshot.version, changed=False)
    await check_there(table, store, effect)
    rewritten: dict[Rewrite, DataFile] = {}

    def edit(snapshot: Snapshot) -> Edit:
        return undo(effect, snapshot, where=table.uri, rewritten=None if rewriter is None else rewritten)

    return await rewriting(table, Change(app, effect.version, edit), rewriter, rewritten)


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


def undo(
    effect: Effect, snapshot: Snapshot, *, where: str, rewritten: Mapping[Rewrite, DataFile] | None = None
) -> Edit:
    """Return the edit that takes the run out of ``snapshot``; ConfigError where others have built on it. Pure.

    What was compacted since is taken out of the files that hold it now: RewritesNeeded for those that ``rewritten``
    does not have yet. Without ``rewritten`` such a run can not be undone.
    """
    files = snapshot.files
    _check_parts(effect, files, where)
    lost = {path: file for path, file in (effect.added | effect.retagged).items() if path not in files}
    holders = _holders(lost.values(), files) if rewritten is not None else None
    if lost and holders is None:
        raise _built_upon(effect, lost, where)
    back = [file for path, file in effect.removed.items() if path not in files]
    coming = {origin.source for file in (*back, *effect.retagged.values()) for origin in origins_of(file)}
    partly = [] if not holders else [rewrite for rewrite in holders if remaining(files[rewrite.path], rewrite.sources)]
    going = {*effect.added, *effect.retagged, *(rewrite.path for rewrite in holders or ())}
    twice = [path for path, file in files.items() if path not in going and _holds(file, coming)]
    twice += [
        rewrite.path
        for rewrite in partly
        if any(origin.source in coming for origin in remaining(files[rewrite.path], rewrite.sources))
    ]
    if twice:
        raise ConfigError(
            f"run {effect.run} can not be rolled back: a later run has published sources that it replaced "
            f"({_some(twice)})",
            where=where,
            way_out="roll the later run back first, or run a backfill",
        )
    known = rewritten or {}
    if missing := [rewrite for rewrite in partly if rewrite not in known]:
        raise RewritesNeeded(missing)
    return Edit(
        [*back, *effect.retagged.values(), *(known[one] for one in partly)],
        [*(path for path in effect.added if path in files), *(rewrite.path for rewrite in holders or ())],
        {"rolled back": effect.run},
    )


def _check_parts(effect: Effect, files: Mapping[str, DataFile], where: str) -> None:
    """ConfigError where rows that were released from quarantine add to what the run published."""
    parts = {origin.run for file in files.values() for origin in origins_of(file) if origin.base == effect.run}
    if parts:
        raise ConfigError(
            f"run {effect.run} can not be rolled back: rows were released from quarantine since ({_some(parts)})",
            where=where,
            way_out="roll these releases back first",
        )


def _holders(lost: Iterable[DataFile], live: Mapping[str, DataFile]) -> list[Rewrite] | None:
    """Return which live files hold the rows of ``lost``, and whose rows those are; None where not all are there.

    None, too, where a file holds other rows of the same source: by its source alone a row can not be told from them.
    """
    wanted = {origin.identity for file in lost for origin in origins_of(file)}
    if any(not origins_of(file) for file in lost):
        return None
    found: set[tuple[str, str, str]] = set()
    holders = []
    for path, file in live.items():
        held = {origin.identity for origin in origins_of(file)} & wanted
        if held:
            if {source for source, _, _ in held} & {o.source for o in origins_of(file) if o.identity not in wanted}:
                return None
            holders.append(Rewrite(path, frozenset(source for source, _, _ in held)))
            found |= held
    return holders if found == wanted else None


def _built_upon(effect: Effect, lost: Mapping[str, DataFile], where: str) -> ConfigError:
    by = sorted({effect.taken_by.get(path, "another commit") for path in lost})
    compacted = by == [OPTIMIZE]
    return ConfigError(
        f"run {effect.run} can not be rolled back: {len(lost)} of its files are gone from the table, "
        f"{'compacted' if compacted else 'replaced'} by {', '.join(by)} ({_some(lost)})",
        where=where,
        way_out="run a backfill of its sources" if compacted else "roll the later run back first, or run a backfill",
    )


async def check_there(table: Table, store: ObjectStore, effect: Effect) -> None:
    """ConfigError where a file that would come back is not in the bucket as it was."""
    turn = asyncio.Semaphore(HEADS)

    async def is_there(file: DataFile) -> bool:
        async with turn:
            try:
                return (await store.head(table.root + file.path)).size == file.size
            except NotFound:
                return False

    files = [*effect.removed.values(), *effect.retagged.values()]
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
