"""A release into the dataset's tables: decisions, then quarantine, then the rows.

Each is one commit that changes nothing when it is repeated, and a death between two of them loses no row and doubles
none:

1. The decisions are the claim on the rows. Until step 3 they are *interrupted*: no other release takes them, and the
   book says which run has to be resumed.
2. What failed again, with its new rules, beside the row in quarantine.
3. The rows that passed, beside what else was published of their file. Only from here on are they out of quarantine.

Where the file was published anew meanwhile, step 3 adds nothing, and the decisions do not hold for what that run found.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline_processing.model import Output, Problem, Published
from pipeline_processing.problems import Problems
from pipeline_processing.processors.release.processor import NAME, problems_of
from pipeline_processing.processors.silver import dataset_tables as tables
from pipeline_processing.processors.silver import standing
from pipeline_processing.processors.silver.item import REFINED, pack_of
from pipeline_processing.quarantine.book import rolled_back_in
from pipeline_processing.quarantine.claims import Claim, claim
from pipeline_processing.tables import DataFile
from pipeline_processing.tables.publication import Origin, origins_of, tags_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.model import Gathered, Item, Json, Marker
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.quarantine.claims import Claimed
    from pipeline_processing.service_handler import ServiceHandler


@dataclass(slots=True)
class _Part:
    """What one item came to."""

    agency_id: str
    origin: Origin
    passed: int
    rows: list[DataFile]
    decisions: DataFile | None
    quarantine: DataFile | None


@dataclass(slots=True)
class _Found:
    done: int = 0
    parts: list[_Part] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    failed: int = 0


class ReleasePublication:
    """One release's publish; grows with the number of files, not of rows, but for the ids of those decided."""

    def __init__(self, run_id: str, contract: Contract, destination: Destination, services: ServiceHandler) -> None:
        self._run_id, self._contract, self._destination, self._services = run_id, contract, destination, services
        self._store = services.store(destination.bucket)

    async def publish(self, results: AsyncIterator[Gathered]) -> Published:
        """Commit what the winning markers name; ``withheld`` says of which files nothing came in, and why."""
        found = _Found()
        async for gathered in results:
            if gathered.marker is not None:
                found.done += 1
                if gathered.item.processor == NAME:
                    found.failed += gathered.marker.result.failed
                    found.parts += self._parts(gathered.item, gathered.marker)
                    for problem in problems_of(gathered):
                        found.problems.add(problem)
        if found.parts:
            await tables.check_not_rolled_back(self._services, self._destination, self._run_id)
        claimed = await self._claim(found)
        await self._commit_quarantine(found, claimed)
        changed = await self._commit_rows(found, claimed)
        live = await self._live()
        granted = [part for part in found.parts if part.origin.source in claimed.granted]
        late = [part for part in granted if part.origin.source not in live]
        for problem in (*self._taken(found, claimed), *self._late(late)):
            found.problems.add(problem)
        uri = self._services.table(self._destination).uri
        return Published(
            f"{uri}#{self._run_id}@{found.done}" if live else "",
            changed,
            tuple(self._outputs(part for part in granted if part.origin.source in live)),
            {
                "rows_released": sum(part.passed for part in granted if part.origin.source in live),
                "rows_still_quarantined": found.failed,
                "rows_taken": sum(map(len, claimed.taken.values())),
            },
            found.problems.first(),
            withheld=_withheld(claimed, late),
        )

    def _parts(self, item: Item, marker: Marker) -> Iterable[_Part]:
        pack = pack_of(item)
        release = pack.released
        if release is None:
            return
        at = datetime.fromisoformat(marker.finished_at)
        for entry in marker.result.details["files"]:
            if entry["status"] != REFINED:
                continue
            origin = Origin(
                source=entry["source"],
                source_version=entry["version"],
                contract=self._contract.version,
                contract_fingerprint=self._contract.fingerprint,
                code=marker.code_version,
                run=self._run_id,
                item=item.item_id,
                planned_at=pack.planned_at,
                part=self._run_id,
                base=release.base,
            )
            rows = [self._file("", made, origin, at) for made in entry["outputs"]]
            decisions, quarantine = (
                self._file(which, entry[which], origin, at) if which in entry else None
                for which in ("decisions", "quarantine")
            )
            if decisions is not None:
                decisions = replace(
                    decisions, tags={**decisions.tags, **standing.tags_of(release, is_edited=entry["edited"])}
                )
            yield _Part(item.agency_id, origin, entry.get("passed", 0), rows, decisions, quarantine)

    def _file(self, which: str, made: Json, origin: Origin, at: datetime) -> DataFile:
        return DataFile(
            made["key"].removeprefix(f"{self._destination.root(which)}/"),
            made["size"],
            made["rows"],
            made.get("partition", {}),
            at,
            made.get("stats"),
            tags=tags_of([origin]),
        )

    async def _claim(self, found: _Found) -> Claimed:
        claims = [Claim(part.origin.source, part.origin.base, part.decisions) for part in found.parts if part.decisions]
        return await claim(
            self._store,
            self._services.table(self._destination, "decisions"),
            claims,
            release_id=self._run_id,
            version=found.done,
            rolled_back=rolled_back_in(await self._services.table(self._destination).snapshot()),
        )

    async def _commit_quarantine(self, found: _Found, claimed: Claimed) -> None:
        files = [part.quarantine for part in found.parts if part.quarantine and part.origin.source not in claimed.taken]
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

    async def _commit_rows(self, found: _Found, claimed: Claimed) -> bool:
        files = [file for part in found.parts if part.origin.source in claimed.granted for file in part.rows]
        if not files:
            return False
        committed = await tables.commit(
            self._services,
            self._destination,
            "",
            files,
            run=self._run_id,
            version=found.done,
            schema=tables.silver_schema(self._contract),
        )
        return committed.changed

    async def _live(self) -> frozenset[str]:
        """Return the sources of which the silver table has this release's part."""
        snapshot = await self._services.table(self._destination).snapshot()
        origins = (origin for file in snapshot.files.values() for origin in origins_of(file))
        return frozenset(origin.source for origin in origins if origin.part == self._run_id)

    def _taken(self, found: _Found, claimed: Claimed) -> Iterable[Problem]:
        for part in found.parts:
            if of := claimed.taken.get(part.origin.source):
                by = ", ".join(sorted({*of.values()}))
                ids = ", ".join(sorted(of)[:5]) + (" …" if len(of) > 5 else "")  # noqa: PLR2004 - enough to look up
                reason = f"{len(of):,} of its rows were taken by release {by}: {ids}"
                yield Problem(part.agency_id, part.origin.source, "taken", reason, inputs=part.passed)

    def _late(self, late: Iterable[_Part]) -> Iterable[Problem]:
        for part in late:
            reason = f"it is not published any more as run {part.origin.base} had published it"
            yield Problem(part.agency_id, part.origin.source, "superseded", reason, inputs=part.passed)

    def _outputs(self, parts: Iterable[_Part]) -> Iterable[Output]:
        root = f"{self._destination.root()}/"
        for part in parts:
            for file in part.rows:
                yield Output(self._destination.bucket, root + file.path, file.size, "", None, "data")


def _withheld(claimed: Claimed, late: list[_Part]) -> str:
    reasons = []
    if claimed.taken:
        reasons.append(f"{len(claimed.taken):,} files of which another release has taken rows")
    if late:
        reasons.append(f"{len(late):,} files that were published anew meanwhile")
    return " and ".join(reasons) and f"{' and '.join(reasons)}: look at what is open and release that"
