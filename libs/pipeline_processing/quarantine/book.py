"""The quarantine of a dataset as of one moment: which rows are in it, and what became of them.

A row is *open* while no decision about it holds. A decision holds for what the run ``base`` quarantined: once a later
run has read the source anew, its rows are open again, or gone. A row is out of quarantine when its release's part is in
the silver table; a release that decided and then died before that is *interrupted*: its run has to be resumed.
"""

from __future__ import annotations

import asyncio
import fnmatch
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

import polars as pl

from pipeline_processing.quarantine.decisions import DECISIONS
from pipeline_processing.quarantine.schema import SCHEMA
from pipeline_processing.tables.publication import ROLLED_BACK, origins_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable

    from etl_core.objects import ObjectStore
    from pipeline_processing.tables import DataFile, Snapshot, Table
    from pipeline_processing.tables.publication import Origin

State = Literal["open", "released", "waived", "interrupted", "unpublished"]
"""*unpublished*: the rows that passed of its file are not in the silver table, so there is nothing to add it to."""
_VERDICT: Final = ("rules", "reason", "contract_version", "contract_fingerprint")
"""What a release that did not succeed says anew about a row."""
_HOW: Final = ("decision", "decided_by", "decided_at", "expires_at", "release_id")
COLUMNS: Final = (*SCHEMA, "state", "base", "since", *_HOW, "why")
"""Of a row in the book. ``since`` is when it was quarantined (ISO 8601), ``why`` the reason of the decision."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are meant; each part narrows the others, and an empty one does not.

    ``rules`` and ``files`` are shell-style wildcards, ``files`` over ``s3://bucket/key``.
    """

    rules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    agencies: tuple[str, ...] = ()
    ids: frozenset[str] = frozenset()

    def has_file(self, source: str) -> bool:
        """Say whether rows of ``source`` may be meant."""
        return not self.files or is_meant(source, self.files)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that are meant, of one source."""
        if self.agencies:
            rows = rows.filter(pl.col("agency_id").is_in(self.agencies))
        if self.ids:
            rows = rows.filter(pl.col("quarantine_id").is_in(list(self.ids)))
        if self.rules:
            names = {name for rules in rows["rules"] for name in rules}
            meant = [name for name in names if is_meant(name, self.rules)]
            rows = rows.filter(pl.col("rules").list.eval(pl.element().is_in(meant)).list.any())
        return rows


def is_meant(name: str, patterns: Iterable[str]) -> bool:
    """Say whether one of the shell-style wildcards names ``name``."""
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(slots=True)
class _Source:
    """What the tables have of one source."""

    files: list[DataFile] = field(default_factory=list)
    whole: list[Origin] = field(default_factory=list)
    """What runs have put there; more than one only where a run had two items of it."""
    parts: set[str] = field(default_factory=set)
    """What releases have added to it."""

    @property
    def last(self) -> Origin:
        """Return the newest of the whole ones."""
        return max(self.whole, key=lambda origin: origin.rank)


class Book:
    """The three tables of a dataset, read at one moment; use it as a context manager, as it keeps files on disk."""

    def __init__(self, store: ObjectStore, quarantine: Table, decisions: Table, silver: Table) -> None:
        self._store, self._quarantine, self._decisions, self._silver = store, quarantine, decisions, silver
        self._folder = tempfile.TemporaryDirectory(prefix="quarantine-")
        self._local: dict[str, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @property
    def uri(self) -> str:
        """Return the address of the quarantine's table."""
        return self._quarantine.uri

    async def exists(self) -> bool:
        """Say whether there is a quarantine at all."""
        return (await self._quarantine.snapshot()).exists

    async def rows(self, wanted: Filter, *, columns: Collection[str] = COLUMNS) -> AsyncIterator[pl.DataFrame]:
        """Yield the rows that are meant, a frame a source, in the sources' order and their own, whatever their state.

        Without ``raw`` and ``raw_bytes`` among ``columns`` little of the files is read.
        """
        # The quarantine first: of a run that publishes meanwhile it is then no newer than the silver table.
        found = _by_source(await self._quarantine.snapshot())
        decisions = _by_source(await self._decisions.snapshot())
        silver = await self._silver.snapshot()
        published = _by_source(silver)
        rolled_back = rolled_back_in(silver)
        for name in sorted(found):
            source = found[name]
            if not wanted.has_file(name) or not source.whole or not any(file.rows for file in source.files):
                continue
            base = source.last
            is_whole = _is_published(base, published.get(name))
            if is_whole is None:
                continue
            paths = [await self._fetch(self._quarantine, file) for file in source.files]
            rows = await asyncio.to_thread(_read, paths, name, columns)
            rows = wanted.apply(rows)
            if rows.is_empty():
                continue
            ruled = pl.DataFrame(schema=DECISIONS)
            if name in decisions:
                paths = [await self._fetch(self._decisions, file) for file in decisions[name].files]
                ruled = effective(await asyncio.to_thread(_concat, paths, name), base.run, rolled_back)
            live = published[name].parts if name in published else ()
            yield _stated(rows, ruled, base, live, is_whole=is_whole).select(
                column for column in COLUMNS if column in columns or column not in SCHEMA
            )

    async def _fetch(self, table: Table, file: DataFile) -> Path:
        key = table.root + file.path
        if key not in self._local:
            path = Path(self._folder.name) / f"{len(self._local):06d}.parquet"
            with path.open("wb") as target:
                async for chunk in self._store.stream(key):
                    target.write(chunk)
            self._local[key] = path
        return self._local[key]


async def read_decisions(store: ObjectStore, table: Table, file: DataFile) -> pl.DataFrame:
    """Return the decisions in one file of the table."""
    body = (await store.get(table.root + file.path)).body
    return pl.read_parquet(body).select(pl.col(name).cast(dtype) for name, dtype in DECISIONS.items())


def rolled_back_in(silver: Snapshot) -> frozenset[str]:
    """Return the releases (runs) that were taken back, or given up: what they decided does not hold."""
    return frozenset(
        app.removeprefix(ROLLED_BACK) for app, version in silver.applied.items() if app.startswith(ROLLED_BACK)
    )


def effective(decisions: pl.DataFrame, base: str, rolled_back: Collection[str]) -> pl.DataFrame:
    """Return the decisions that hold about what the run ``base`` has quarantined."""
    return decisions.filter((pl.col("base") == base) & ~pl.col("release_id").is_in(list(rolled_back)))


def _by_source(snapshot: Snapshot) -> dict[str, _Source]:
    found: dict[str, _Source] = defaultdict(_Source)
    for file in snapshot.files.values():
        for origin in origins_of(file):
            source = found[origin.source]
            if not source.files or source.files[-1] is not file:  # a file with several origins of one source
                source.files.append(file)
            if origin.part:
                source.parts.add(origin.part)
            else:
                source.whole.append(origin)
    for source in found.values():
        source.files.sort(key=lambda file: (max(origin.rank for origin in origins_of(file)), file.path))
    return dict(found)


def _is_published(base: Origin, published: _Source | None) -> bool | None:
    """Say whether the rows that passed of the same reading are in the silver table; None where later ones are."""
    if published is None or not published.whole:
        return False
    if any(origin.run == base.run for origin in published.whole):
        return True
    return None if published.last.rank > base.rank else False


def _concat(paths: Iterable[Path], source: str) -> pl.DataFrame:
    frames = [pl.read_parquet(path).filter(pl.col("source_file") == source) for path in paths]
    return pl.concat(frames)


def _read(paths: Iterable[Path], source: str, columns: Collection[str]) -> pl.DataFrame:
    """Return the source's rows: each once, as it was quarantined, with what was last said against it."""
    always = {"quarantine_id", "agency_id", "source_file", "source_row", "released_from", *_VERDICT}
    names = [name for name in SCHEMA if name in columns or name in always]
    frames = [
        pl.scan_parquet(path).filter(pl.col("source_file") == source).select(names).collect(engine="streaming")
        for path in paths
    ]
    rows = pl.concat(frames).cast({name: SCHEMA[name] for name in names})
    first = rows.filter(pl.col("released_from").is_null()).unique("quarantine_id", keep="last", maintain_order=True)
    again = rows.filter(pl.col("released_from").is_not_null()).unique("quarantine_id", keep="last")
    if again.is_empty():
        return first
    newest = again.select("quarantine_id", pl.struct(_VERDICT).alias("_newest"))
    return (
        first.join(newest, on="quarantine_id", how="left", maintain_order="left")
        .with_columns(pl.coalesce(pl.col("_newest").struct.field(name), pl.col(name)).alias(name) for name in _VERDICT)
        .drop("_newest")
    )


def _stated(
    rows: pl.DataFrame, ruled: pl.DataFrame, base: Origin, live: Collection[str], *, is_whole: bool
) -> pl.DataFrame:
    how = ruled.select("quarantine_id", *_HOW, pl.col("reason").alias("why")).unique("quarantine_id", keep="last")
    known = rows.join(how, on="quarantine_id", how="left", maintain_order="left")
    missing = [pl.lit(None, SCHEMA[name]).alias(name) for name in SCHEMA if name not in known.columns]
    decision = pl.col("decision")
    state = (
        pl.when(pl.lit(not is_whole))
        .then(pl.lit("unpublished"))
        .when(decision.is_null())
        .then(pl.lit("open"))
        .when(pl.col("release_id").is_in(list(live)))
        .then(decision)
        .otherwise(pl.lit("interrupted"))
    )
    return known.with_columns(
        *missing, state.alias("state"), pl.lit(base.run).alias("base"), pl.lit(base.planned_at).alias("since")
    )
