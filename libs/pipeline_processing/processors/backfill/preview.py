"""What a backfill would do, before it does it: counted by agency and reason, and tried out on a sample of files."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from etl_core.errors import AccessDenied, Archived, InvalidData, NotFound, PreconditionFailed
from pipeline_processing.processors.backfill.difference import Difference, compare, rows_of
from pipeline_processing.processors.cancellation import in_thread
from pipeline_processing.processors.refining.refine import refine
from pipeline_processing.processors.silver.item import REFINED, FileStatus
from pipeline_processing.processors.silver.processor import mending, status_of
from pipeline_processing.processors.silver.standing import Standing, read_mended
from pipeline_processing.quarantine.policy import waive
from pipeline_processing.reports.estimate import GET_PRICE, PUT_PRICE, Estimate
from pipeline_processing.tables.publication import origins_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import date

    import polars as pl

    from etl_core.objects import ObjectStore
    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.model import Json
    from pipeline_processing.processors.backfill.selection import Judged
    from pipeline_processing.processors.refining.refined import Refined
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.tables import DataFile, Table

WRITES: Final = 3
"""Objects that a worker writes for a file: rows (of one partition), quarantine, profile."""


@dataclass(slots=True)
class Group:
    """Files with one reason: their bytes in the bucket, and the rows that the table has of them."""

    files: int = 0
    size: int = 0
    published_files: int = 0
    published_rows: int = 0

    def add(self, judged: Judged) -> None:
        """Count one file."""
        self.files += 1
        self.size += judged.file.size
        if judged.published is not None:
            self.published_files += 1
            self.published_rows += judged.published.rows


class Tally:
    """Counts judged files and picks ``sample`` of those with work; grows with the agencies and the sample only.

    The sample is by chance but always the same: the least digests of the names, published files first.
    """

    def __init__(self, sample: int) -> None:
        self.work: dict[tuple[str, str], Group] = defaultdict(Group)
        self.left: dict[tuple[str, str], Group] = defaultdict(Group)
        self._size = sample
        self._heap: list[tuple[bool, int, str, Judged]] = []

    def add(self, judged: Judged) -> None:
        """Count one file."""
        if judged.left is not None:
            self.left[judged.agency_id, judged.left].add(judged)
            return
        self.work[judged.agency_id, judged.because].add(judged)
        source = judged.file.source
        digest = hashlib.blake2b(source.encode(errors="surrogatepass"), digest_size=8).digest()
        # The heap's first is the worst: it goes when a better one comes.
        entry = (judged.published is not None, -int.from_bytes(digest), source, judged)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        elif self._heap and entry[:3] > self._heap[0][:3]:
            heapq.heapreplace(self._heap, entry)

    async def counting(self, judged: AsyncIterator[Judged]) -> AsyncIterator[Judged]:
        """Yield ``judged`` as they are, counted."""
        async for one in judged:
            self.add(one)
            yield one

    @property
    def sample(self) -> list[Judged]:
        """Return the files to try out, by name."""
        return sorted((entry[3] for entry in self._heap), key=lambda judged: judged.file.source)

    @property
    def total(self) -> Group:
        """Return all work together."""
        groups = self.work.values()
        return Group(*(sum(getattr(group, name) for group in groups) for name in Group.__slots__))


@dataclass(frozen=True, slots=True)
class Trial:
    """What the backfill would make of one file. ``difference`` is None where none of its rows would be published."""

    agency_id: str
    source: str
    because: str
    status: FileStatus
    reason: str = ""
    difference: Difference | None = None
    quarantined_before: int = 0
    quarantined: int = 0

    def as_json(self) -> dict[str, Json]:
        """Return all of it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a backfill would do and cost, and how it would change the rows of some files."""

    tally: Tally
    estimate: Estimate
    trials: Sequence[Trial]

    @property
    def dollars(self) -> float:
        """Return what the run's requests cost at least: the fleet's, one read of each file and `WRITES` of its outputs.

        Transfer within a region is free; storage and the workers' hours are not in it.
        """
        return self.estimate.dollars + self.tally.total.files * (GET_PRICE + WRITES * PUT_PRICE)

    def as_json(self) -> dict[str, Json]:
        """Return all of it."""
        return {
            "work": [
                {"agency_id": agency_id, "because": because, **asdict(group)}
                for (agency_id, because), group in sorted(self.tally.work.items())
            ],
            "left_alone": [
                {"agency_id": agency_id, "reason": reason, "files": group.files}
                for (agency_id, reason), group in sorted(self.tally.left.items())
            ],
            "total": asdict(self.tally.total),
            "cost": {**self.estimate.as_json(), "dollars": round(self.dollars, 4)},
            "sample": [trial.as_json() for trial in self.trials],
        }


@dataclass(frozen=True, slots=True)
class Given:
    """What files are refined with."""

    contract: Contract
    references: Mapping[str, pl.DataFrame]
    token_key: bytes | None
    today: date
    standing: Standing = field(default_factory=Standing)
    """What people decided about rows of the files: a run would be planned with it."""


class Trials:
    """Refines files on local disk and compares them with what the tables have of them; writes to no store."""

    def __init__(self, given: Given, services: ServiceHandler, table: Table, quarantine: Table, bucket: str) -> None:
        self._given, self._services = given, services
        self._table, self._quarantine, self._silver = table, quarantine, services.store(bucket)

    async def run(self, sample: Sequence[Judged]) -> list[Trial]:
        """Try each file of ``sample``, one after the other."""
        sources = {judged.file.source for judged in sample}
        live: dict[str, list[DataFile]] = defaultdict(list)
        async for source, file in _files_of(self._table, sources):
            live[source].append(file)
        quarantined: dict[str, int] = defaultdict(int)
        async for source, file in _files_of(self._quarantine, sources):
            quarantined[source] += sum(
                origin.rows for origin in origins_of(file) if origin.source == source and not origin.part
            )
        return [await self._try(judged, live[judged.file.source], quarantined[judged.file.source]) for judged in sample]

    async def _try(self, judged: Judged, live: Sequence[DataFile], quarantined: int) -> Trial:
        with tempfile.TemporaryDirectory(prefix="backfill-") as name:
            folder = Path(name)
            try:
                refined = await self._refine(judged, folder)
            except (NotFound, PreconditionFailed, Archived, AccessDenied, InvalidData) as error:
                return Trial(
                    judged.agency_id,
                    judged.file.source,
                    judged.because,
                    status_of(error),
                    str(error),
                    None,
                    quarantined,
                )
            failed = refined.verdict.status in {"fail_file", "fail_run"}
            difference = None if failed else await self._compare(judged, live, refined, folder)
            return Trial(
                judged.agency_id,
                judged.file.source,
                judged.because,
                "failed" if failed else REFINED,
                "its checks refuse it: what is published of it stays" if failed else "",
                difference,
                quarantined,
                refined.quarantined,
            )

    async def _refine(self, judged: Judged, folder: Path) -> Refined:
        file, given = judged.file, self._given
        path = folder / f"source{''.join(PurePosixPath(file.key).suffixes[-2:])[:32]}"
        await _fetch(self._services.store(file.bucket), file.key, path, etag=file.etag)
        waived = given.standing.waived_in([file]).get(file.source, ())
        mended = given.standing.mended_in([file]).get(file.source, ())
        edits = await read_mended(self._services.store, mended)
        return await in_thread(
            lambda stop: refine(
                path,
                waive(given.contract, waived),
                into=folder / "out",
                source=file.source,
                source_version=file.version,
                agency_id=judged.agency_id,
                references=given.references,
                token_key=given.token_key,
                today=given.today,
                footer={},
                stop=stop,
                opened=mending(edits),
            )
        )

    async def _compare(self, judged: Judged, live: Sequence[DataFile], refined: Refined, folder: Path) -> Difference:
        before = []
        for number, file in enumerate(live):
            path = folder / f"live-{number}.parquet"
            await _fetch(self._silver, self._table.root + file.path, path)
            before.append((path, file.partition))
        after = [(output.path, output.partition) for output in refined.outputs]
        source = judged.file.source
        return await in_thread(
            lambda _stop: compare(rows_of(before, source), rows_of(after, source), self._given.contract)
        )


async def _files_of(table: Table, sources: Iterable[str]) -> AsyncIterator[tuple[str, DataFile]]:
    """Yield the live files that hold rows of one of ``sources``, once for each of them."""
    wanted = frozenset(sources)
    async for file in table.files():
        for source in wanted.intersection(origin.source for origin in origins_of(file)):
            yield source, file


async def _fetch(store: ObjectStore, key: str, path: Path, *, etag: str | None = None) -> None:
    with path.open("wb") as target:
        async for chunk in store.stream(key, etag=etag):
            await asyncio.to_thread(target.write, chunk)
