"""A run's results into the dataset's tables: quarantine, files and profiles first, the silver table last.

Each table has one commit for each gather of the run that found more items done; a death between two of them costs a
repeat that changes nothing (law 5). Readers of the silver table see all of a run or none of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Final

import orjson
import polars as pl

from pipeline_processing.model import Output, Published
from pipeline_processing.problems import Problems
from pipeline_processing.processors.silver import dataset_tables as tables
from pipeline_processing.processors.silver.item import NAME, REFINED, pack_of, problems_of
from pipeline_processing.processors.silver.run_quality import RunQuality
from pipeline_processing.quality.drift import drift
from pipeline_processing.quality.profile import Profile
from pipeline_processing.quarantine.schema import SCHEMA as QUARANTINE_COLUMNS
from pipeline_processing.tables import DataFile, ledger
from pipeline_processing.tables.publication import Origin, origins_of, tags_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.model import Gathered, Item, Json, Marker
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.quality.verdict import CheckResult
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.tables.publishing import Publication as Committed

READS: Final = 16
"""Profiles read at once."""


@dataclass(slots=True)
class _Found:
    """What a pass over the run's results has come to; grows with the number of files, not of rows."""

    done: int = 0
    files: list[dict[str, Json]] = field(default_factory=list)
    silver: list[tuple[DataFile, Json]] = field(default_factory=list)
    quarantine: list[DataFile] = field(default_factory=list)
    clean: list[Origin] = field(default_factory=list)
    """Of refined files without a quarantined row."""
    profiles: list[tuple[str, str]] = field(default_factory=list)
    """Agency and key."""
    quality: RunQuality = field(default_factory=RunQuality)
    counts: Counter[str] = field(default_factory=Counter)
    problems: Problems = field(default_factory=Problems)
    failed: int = 0


class Publication:
    """One run's publish. ``publishes_partial``: the files that passed are published even where others failed."""

    def __init__(
        self,
        run_id: str,
        contract: Contract,
        destination: Destination,
        services: ServiceHandler,
        *,
        publishes_partial: bool,
    ) -> None:
        self._run_id, self._contract, self._destination, self._services = run_id, contract, destination, services
        self._planned_at, self._publishes_partial = "", publishes_partial
        self._store = services.store(destination.bucket)

    async def publish(self, results: AsyncIterator[Gathered]) -> Published:
        """Commit what the winning markers name. Nothing is committed to the silver table where the run is withheld."""
        found = _Found()
        async for gathered in results:
            if gathered.marker is not None:
                found.done += 1
                if gathered.item.processor == NAME:
                    self._take(gathered.item, gathered.marker, found)
                    for problem in problems_of(gathered):
                        found.problems.add(problem)
        if not found.files:
            return Published("", changed=False, counts={"files": 0})
        await tables.check_not_rolled_back(self._services, self._destination, self._run_id)
        profiles = await self._profiles(found)
        profile = _merged(profiles.values())
        drifted = await self._drift(profiles)
        withheld = self._withheld(found, drifted)
        await self._commit_quarantine(found, is_withheld=bool(withheld))
        await self._commit_files(found)
        counts = {**found.counts, "files": len(found.files), "drifted_checks": _count_bad(drifted)}
        if withheld:
            return Published(
                "",
                changed=False,
                counts=counts,
                problems=found.problems.first(),
                quality=found.quality.as_json(found.counts, found.files, drifted),
                withheld=withheld,
            )
        committed = await self._commit_silver(found)
        await self._commit_profiles(found, [(None, profile), *sorted(profiles.items())], drifted)
        return Published(
            f"{self._services.table(self._destination).uri}#{self._run_id}@{found.done}",
            committed.changed,
            tuple(self._outputs(found)),
            counts | {"superseded": committed.superseded},
            found.problems.first(),
            found.quality.as_json(found.counts, found.files, drifted),
        )

    def _take(self, item: Item, marker: Marker, found: _Found) -> None:
        pack = pack_of(item)
        self._planned_at = max(self._planned_at, pack.planned_at)
        for entry in marker.result.details["files"]:
            origin = self._origin(item, marker, entry)
            refined = entry.get("refined") or {}
            found.files.append(self._row(item, marker, entry))
            found.counts.update({name: refined.get(name, 0) for name in tables.ROW_COUNTS})
            found.failed += entry["status"] != REFINED
            if refined:
                found.quality.add(refined, pack.waived.get(entry["source"], ()))
                found.profiles.append((item.agency_id, entry["profile"]))
            modified = datetime.fromisoformat(marker.finished_at)
            root = f"{pack.destination.root()}/"
            found.silver += [
                (
                    DataFile(
                        output["key"].removeprefix(root),
                        output["size"],
                        output["rows"],
                        output["partition"],
                        modified,
                        output["stats"],
                        tags_of([origin]),
                    ),
                    output,
                )
                for output in entry.get("outputs", ())
            ]
            self._take_quarantine(entry, origin, modified, found)

    def _take_quarantine(self, entry: Json, origin: Origin, modified: datetime, found: _Found) -> None:
        quarantine = entry.get("quarantine")
        if quarantine is not None:
            root = f"{self._destination.root('quarantine')}/"
            found.quarantine.append(
                DataFile(
                    quarantine["key"].removeprefix(root),
                    quarantine["size"],
                    quarantine["rows"],
                    {},
                    modified,
                    tags=tags_of([origin]),
                )
            )
        elif entry["status"] == REFINED:
            found.clean.append(origin)

    def _origin(self, item: Item, marker: Marker, entry: Json) -> Origin:
        return Origin(
            source=entry["source"],
            source_version=entry["version"],
            contract=self._contract.version,
            contract_fingerprint=self._contract.fingerprint,
            code=marker.code_version,
            run=self._run_id,
            item=item.item_id,
            planned_at=self._planned_at,
        )

    def _row(self, item: Item, marker: Marker, entry: Json) -> dict[str, Json]:
        refined = entry.get("refined") or {}
        verdict = refined.get("verdict") or {}
        return {
            "run_id": self._run_id,
            "planned_at": self._planned_at,
            "agency_id": item.agency_id,
            "source_file": entry["source"],
            "source_version": entry["version"],
            "size": entry["size"],
            "modified": entry["modified"],
            "status": entry["status"],
            "reason": entry["reason"],
            "verdict": verdict.get("status"),
            **{name: refined.get(name) for name in tables.ROW_COUNTS},
            "contract_version": self._contract.version,
            "contract_fingerprint": self._contract.fingerprint,
            "code_version": marker.code_version,
            "item_id": item.item_id,
            "outputs": [output["key"] for output in entry.get("outputs", ())],
            "dialect": _text(refined.get("dialect")),
            "checks": _text(verdict.get("results")),
            "quarantined_by": _text(refined.get("quarantined_by")),
        }

    def _withheld(self, found: _Found, drifted: Sequence[CheckResult]) -> str:
        """Return why readers are to see nothing of the run; empty where they may."""
        verdict = found.quality.verdict
        if verdict is not None and verdict.status == "fail_run":
            return "a check fails the run: " + "; ".join(verdict.because[:3])
        if broken := [one.name for one in drifted if one.status == "failed"]:
            return f"the data drifted: {', '.join(broken[:5])}"
        if found.failed and not self._publishes_partial:
            return f"{found.failed:,} of {len(found.files):,} files failed (--publish-partial publishes the others)"
        return ""

    async def _profiles(self, found: _Found) -> dict[str, Profile]:
        """Merge the items' profiles, agency by agency; grows with the agencies, not with the files."""
        profiles: dict[str, Profile] = {}
        for start in range(0, len(found.profiles), READS):
            some = found.profiles[start : start + READS]
            blobs = await asyncio.gather(*(self._store.get(key) for _, key in some))
            for (agency_id, _), blob in zip(some, blobs, strict=True):
                profile = await asyncio.to_thread(Profile.from_bytes, blob.body)
                before = profiles.get(agency_id)
                profiles[agency_id] = profile if before is None else before.merge(profile)
        return profiles

    async def _drift(self, profiles: Mapping[str, Profile]) -> Sequence[CheckResult]:
        """Compare the agencies that were published before with their own last profiles: like with like."""
        last = await tables.latest_profiles(self._services, self._destination, profiles.keys(), before=self._planned_at)
        if not last:
            return drift(_merged(profiles.values()), None, self._contract.drift)
        now = _merged(profile for agency_id, profile in profiles.items() if agency_id in last)
        before = _merged([Profile.from_bytes(last[agency_id]) for agency_id in sorted(last)])
        return drift(now, before, self._contract.drift)

    async def _commit_silver(self, found: _Found) -> Committed:
        schema = tables.silver_schema(self._contract)
        files = [file for file, _ in found.silver]
        return await tables.commit(
            self._services, self._destination, "", files, run=self._run_id, version=found.done, schema=schema
        )

    async def _commit_quarantine(self, found: _Found, *, is_withheld: bool) -> None:
        """Commit the rejected rows. A source that had some before and has none now gets a file without rows.

        Where a file is not published this time, what is published of it keeps its rejected rows.
        """
        coming = set() if is_withheld else {origins_of(file)[0].source for file, _ in found.silver}
        with await ledger.published(self._services.table(self._destination)) as published:
            kept = {source for source, record in published if record.run != self._run_id} - coming
        with await ledger.published(self._services.table(self._destination, "quarantine")) as published:
            known = {source for source, _ in published} - kept
        rejected = [file for file in found.quarantine if origins_of(file)[0].source not in kept]
        files = [*rejected, *[await self._empty(origin) for origin in found.clean if origin.source in known]]
        if files:
            await tables.commit(
                self._services,
                self._destination,
                "quarantine",
                files,
                run=self._run_id,
                version=found.done,
                schema=tables.QUARANTINE,
            )

    async def _empty(self, origin: Origin) -> DataFile:
        body = tables.encode(pl.DataFrame(schema=QUARANTINE_COLUMNS))
        path = f"part-{origin.item[:12]}-{tables.digest(origin.source.encode())}-empty.parquet"
        info = await self._store.put(f"{self._destination.root('quarantine')}/{path}", body)
        return DataFile(path, info.size, 0, {}, info.modified, tags=tags_of([origin]))

    async def _commit_files(self, found: _Found) -> None:
        frame = pl.DataFrame(found.files, schema=tables.FILES_COLUMNS)
        await tables.append(
            self._services,
            self._destination,
            "files",
            frame,
            tags=self._tags(),
            version=found.done,
            schema=tables.FILES,
        )

    async def _commit_profiles(
        self, found: _Found, profiles: Sequence[tuple[str | None, Profile]], drifted: Sequence[CheckResult]
    ) -> None:
        rows = [
            {
                "run_id": self._run_id,
                "planned_at": self._planned_at,
                "agency_id": agency_id,
                "contract_version": self._contract.version,
                "rows": profile.rows,
                "files": profile.files,
                "summary": _text(profile.as_json()),
                "drift": _text([asdict(one) for one in drifted]) if agency_id is None else None,
                "profile": profile.to_bytes(),
            }
            for agency_id, profile in profiles
        ]
        frame = pl.DataFrame(rows, schema=tables.PROFILES_COLUMNS)
        await tables.append(
            self._services,
            self._destination,
            "profiles",
            frame,
            tags=self._tags(),
            version=found.done,
            schema=tables.PROFILES,
        )

    def _tags(self) -> dict[str, str]:
        return {"run": self._run_id, "planned_at": self._planned_at}

    def _outputs(self, found: _Found) -> Iterable[Output]:
        for _, output in found.silver:
            yield Output(self._destination.bucket, output["key"], output["size"], "", None, "data")


def _merged(profiles: Iterable[Profile]) -> Profile:
    return reduce(Profile.merge, profiles, Profile(0, (), files=0))


def _text(value: Json) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _count_bad(results: Sequence[CheckResult]) -> int:
    return sum(one.status in {"warned", "failed"} for one in results)
