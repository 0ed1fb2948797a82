"""The profile of what a dataset's silver table holds now, merged of the profiles of the runs that still stand in it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pipeline_processing.processors.silver.item import REFINED
from pipeline_processing.quality.profile import Profile
from pipeline_processing.tables.publication import origins_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from etl_core.objects import ObjectStore
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.tables import DataFile, Table


@dataclass(frozen=True, slots=True)
class LiveProfile:
    """``profile`` is None where nothing is meant. ``replaced``: files in it that a later run has published anew.

    A run has one profile an agency, so that it can not be told apart by files. Rows released later are in no profile.
    """

    profile: Profile | None
    runs: int
    replaced: int


async def live_profile(
    services: ServiceHandler, destination: Destination, *, agency_id: str | None, is_meant: Callable[[str], bool]
) -> LiveProfile:
    """Return the profile of one agency, or of all; ``is_meant`` is asked with the time at which a run was planned."""
    live = await _live(services.table(destination))
    refined = await _refined(services, destination, live)
    table, store = services.table(destination, "profiles"), services.store(destination.bucket)
    merged: Profile | None = None
    runs = replaced = 0
    async for file in table.files():
        run = file.tags["run"]
        sources = {name: some for name, some in refined.get(run, {}).items() if not some.isdisjoint(live[run])}
        wanted = sources.keys() if agency_id is None else sources.keys() & {agency_id}
        if not wanted or not is_meant(file.tags["planned_at"]):
            continue
        runs += 1
        replaced += sum(len(sources[name] - live[run]) for name in wanted)
        rows = await _read(store, table, file, ("agency_id", "profile"))
        for body in rows.filter(pl.col("agency_id").is_in(sorted(wanted)))["profile"]:
            profile = await asyncio.to_thread(Profile.from_bytes, body)
            merged = profile if merged is None else merged.merge(profile)
    return LiveProfile(merged, runs, replaced)


async def _live(table: Table) -> Mapping[str, set[str]]:
    """Return the sources of which each run's rows stand, by run; parts are their release's."""
    live: dict[str, set[str]] = defaultdict(set)
    async for file in table.files():
        for origin in origins_of(file):
            if not origin.part:
                live[origin.run].add(origin.source)
    return live


async def _refined(
    services: ServiceHandler, destination: Destination, live: Mapping[str, set[str]]
) -> Mapping[str, Mapping[str, set[str]]]:
    """Return which files the runs of ``live`` have refined, by run and agency: of these are their profiles."""
    store, table = services.store(destination.bucket), services.table(destination, "files")
    found: dict[str, dict[str, set[str]]] = {}
    async for file in table.files():
        if (run := file.tags["run"]) in live:
            rows = await _read(store, table, file, ("agency_id", "source_file", "status"))
            for name, source in rows.filter(pl.col("status") == REFINED).select("agency_id", "source_file").iter_rows():
                found.setdefault(run, {}).setdefault(name, set()).add(source)
    return found


async def _read(store: ObjectStore, table: Table, file: DataFile, columns: Sequence[str]) -> pl.DataFrame:
    body = (await store.get(f"{table.root}{file.path}")).body
    return await asyncio.to_thread(pl.read_parquet, body, columns=list(columns))
