"""The silver processor: a pack of bronze files, each downloaded, refined on local disk and its outputs stored."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import structlog

from etl_core.errors import AccessDenied, Archived, InvalidData, NotFound, PreconditionFailed
from pipeline_processing import __version__
from pipeline_processing.model import ItemResult
from pipeline_processing.processors.cancellation import in_thread
from pipeline_processing.processors.content import ContentFile, store
from pipeline_processing.processors.refining.refine import open_rows, refine
from pipeline_processing.processors.silver.item import NAME, REFINED, FileStatus, SilverPack, pack_of, problems_of
from pipeline_processing.processors.silver.snapshots import read_contract, read_reference
from pipeline_processing.processors.silver.standing import read_mended
from pipeline_processing.processors.sources import lost_by
from pipeline_processing.quarantine.policy import waive
from pipeline_processing.quarantine.selected import MendedRows
from pipeline_processing.tables import partition_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import polars as pl

    from etl_core.objects import ObjectStore
    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.model import Gathered, Item, Json, Output, Problem
    from pipeline_processing.processors.refining.refined import Refined
    from pipeline_processing.processors.silver.item import SourceFile
    from pipeline_processing.readers import Rows

log = structlog.get_logger(__name__)

PROFILES: Final = "_profiles"
_TYPES: Final = {"parquet": "application/vnd.apache.parquet", "zst": "application/zstd"}
"""Content types by a key's ending."""
_KEPT: Final = 32
"""Contracts and reference tables that a worker remembers."""


@dataclass(frozen=True, slots=True)
class SilverConfig:
    """How files are refined; none of it changes the bytes."""

    concurrency: int = 1
    """Files in work at once in one worker: each may take several cores and some 500 MB of memory."""
    folder: Path | None = None
    """Where downloads and staging files lie, about three times a file's uncompressed size; None = the system's."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a file is refined with."""

    contract: Contract
    references: Mapping[str, pl.DataFrame]


class SilverProcessor:
    """One item is a pack of files of one agency; a file that fails for good is a result with its reason."""

    name = NAME

    def __init__(
        self, config: SilverConfig, stores: Callable[[str], ObjectStore], *, token_key: bytes | None = None
    ) -> None:
        self._config, self._stores, self._token_key = config, stores, token_key
        self._slots = asyncio.Semaphore(config.concurrency)
        self._given: dict[tuple[str, str, tuple[tuple[str, str], ...]], Given] = {}

    async def process(self, item: Item) -> ItemResult:
        """Refine every file of the pack; Transient where a service is away, ConfigError where a key is lacking."""
        pack = pack_of(item)
        given = await self._read_given(pack)
        entries: list[Json] = []
        outputs: list[Output] = []
        for file in pack.files:
            contract = waive(given.contract, pack.waived.get(file.source, ()))
            entry, stored = await self._file(item, pack, file, replace(given, contract=contract))
            entries.append(entry)
            outputs += stored
        counts = Counter(entry["status"] for entry in entries)
        return ItemResult(
            item.item_id,
            "done",
            counts=dict(sorted(counts.items())),
            failed=counts.total() - counts[REFINED],
            outputs=tuple(outputs),
            details={"files": entries},
        )

    def problems_of(self, gathered: Gathered) -> Iterable[Problem]:
        """Yield the files of which no row was refined."""
        return problems_of(gathered)

    async def _read_given(self, pack: SilverPack) -> Given:
        """Return what the pack's plan froze; one document may hold the contracts of several datasets."""
        references = tuple(sorted((name, pin.sha256) for name, pin in pack.references.items()))
        key = (pack.destination.dataset, pack.contract.sha256, references)
        if key not in self._given:
            contract = await read_contract(self._stores(pack.contract.bucket), pack.contract, pack.destination.dataset)
            tables = {
                name: await read_reference(self._stores(pin.bucket), pin) for name, pin in pack.references.items()
            }
            while len(self._given) >= _KEPT:
                del self._given[next(iter(self._given))]
            self._given[key] = Given(contract, tables)
        return self._given[key]

    async def _file(self, item: Item, pack: SilverPack, file: SourceFile, given: Given) -> tuple[Json, list[Output]]:
        async with self._slots:
            with tempfile.TemporaryDirectory(prefix="silver-", dir=self._config.folder) as name:
                folder = Path(name)
                try:
                    path = await self._download(file, folder)
                    mended = await self._mended(pack, file)
                    opened = mending(mended)
                    refined = await self._refine(path, item.agency_id, pack, file, given, opened=opened)
                except (NotFound, PreconditionFailed, Archived, AccessDenied, InvalidData) as error:
                    status = status_of(error)
                    log.info("file.failed", source=file.source, status=status)
                    return entry_of(file, status, str(error)), []
                return await self._store(item, pack, given, file, refined)

    async def _download(self, file: SourceFile, folder: Path) -> Path:
        """Write the pinned version to disk under its own name's ending, which readers take for a hint."""
        path = folder / f"source{''.join(PurePosixPath(file.key).suffixes[-2:])[:32]}"
        with path.open("wb") as target:
            async for chunk in self._stores(file.bucket).stream(file.key, etag=file.etag):
                await asyncio.to_thread(target.write, chunk)
        return path

    async def _mended(self, pack: SilverPack, file: SourceFile) -> pl.DataFrame:
        """Return the rows of the file that were mended by hand; none where none were."""
        return await read_mended(self._stores, pack.mended.get(file.source, ()))

    async def _refine(
        self,
        path: Path,
        agency_id: str,
        pack: SilverPack,
        file: SourceFile,
        given: Given,
        *,
        opened: Callable[[Path, Contract], Rows] | None = None,
    ) -> Refined:
        """Refine off the event loop; a cancelled task waits for its thread, which stops soon."""
        return await in_thread(
            lambda stop: refine(
                path,
                given.contract,
                into=path.parent / "out",
                source=file.source,
                source_version=file.version,
                agency_id=agency_id,
                references=given.references,
                token_key=self._token_key,
                today=pack.today,
                footer=footer_of(pack, file, given.contract),
                stop=stop,
                opened=opened,
            )
        )

    async def _store(
        self, item: Item, pack: SilverPack, given: Given, file: SourceFile, refined: Refined
    ) -> tuple[Json, list[Output]]:
        """Store the outputs in the order of law 2: rows, then quarantine, then profile; the marker comes after."""
        objects = self._stores(pack.destination.bucket)
        stored: list[Output] = []
        stem = f"part-{item.item_id[:12]}"

        async def put(path: Path, folder: str, role: str, ending: str) -> Output:
            with await asyncio.to_thread(ContentFile.of, path) as content:
                key = f"{folder}{stem}-{content.sha256[:20]}.{ending}"
                output, _ = await store(content, objects, key, content_type=_TYPES[ending], role=role)
            stored.append(output)
            return output

        passed = refined.verdict.status not in {"fail_file", "fail_run"}
        entry = entry_of(file, REFINED if passed else "failed", "" if passed else _because(refined))
        entry["refined"] = refined.as_json()
        entry["outputs"] = []
        by = given.contract.partition_by
        if passed:
            for made in refined.outputs:
                output = await put(
                    made.path, f"{pack.destination.root()}/{partition_path(made.partition, by)}", "data", "parquet"
                )
                entry["outputs"].append(
                    {
                        "key": output.key,
                        "size": output.size,
                        "rows": made.rows,
                        "partition": dict(made.partition),
                        "stats": made.stats,
                    }
                )
        if refined.quarantine is not None:
            output = await put(refined.quarantine, f"{pack.destination.root('quarantine')}/", "quarantine", "parquet")
            entry["quarantine"] = {"key": output.key, "size": output.size, "rows": refined.quarantined}
        profile = await in_thread(lambda _stop: write_profile(refined, item))
        output = await put(profile, pack.destination.folder(PROFILES), "profile", "zst")
        entry["profile"] = output.key
        return entry, stored


def mending(mended: pl.DataFrame) -> Callable[[Path, Contract], Rows] | None:
    """Return what opens a file with its mended rows; None where there are none."""
    if mended.is_empty():
        return None
    return lambda path, contract: MendedRows(open_rows(path, contract), mended, contract)


def write_profile(refined: Refined, item: Item) -> Path:
    """Write the profile's sketches beside the other outputs and return where; compresses, and blocks."""
    path = refined.folder / f"profile-{item.item_id[:12]}"
    path.write_bytes(refined.profile.to_bytes())
    return path


def status_of(error: Exception) -> FileStatus:
    """Return the status of a file that met ``error``; its message is the reason."""
    return lost_by(error) or "unreadable"


def entry_of(file: SourceFile, status: FileStatus, reason: str) -> dict[str, Json]:
    """Return what a result says of every file."""
    return {
        "source": file.source,
        "version": file.version,
        "size": file.size,
        "modified": file.modified,
        "status": status,
        "reason": reason,
    }


def _because(refined: Refined) -> str:
    return f"{refined.verdict.status.replace('_', ' ')}: {'; '.join(refined.verdict.because[:5])}"


def footer_of(pack: SilverPack, file: SourceFile, contract: Contract) -> dict[str, str]:
    """Return what every Parquet file made of ``file`` says in its footer."""
    return {
        "pipeline.run": pack.run,
        "pipeline.contract": f"{contract.id} {contract.version}",
        "pipeline.contract_fingerprint": contract.fingerprint,
        "pipeline.code_version": __version__,
        "pipeline.source": file.source,
        "pipeline.source_version": file.version,
    }
