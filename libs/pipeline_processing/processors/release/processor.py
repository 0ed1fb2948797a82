"""The release processor: quarantined rows of one file go through the contract again, and those that pass are decided.

The file is read again in the version that was quarantined, so that quarantine needs no clear text of protected columns.
Where that version is gone, its rows are read from quarantine, as long as the contract protects none of their columns.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl
import structlog

from etl_core.errors import AccessDenied, Archived, InvalidData, NotFound, PreconditionFailed
from pipeline_processing.model import ItemResult, Problem
from pipeline_processing.processors.cancellation import in_thread
from pipeline_processing.processors.content import ContentFile, store
from pipeline_processing.processors.refining.refine import open_rows
from pipeline_processing.processors.release.published_keys import keys_of, taken_keys
from pipeline_processing.processors.silver.item import REFINED, pack_of
from pipeline_processing.processors.silver.processor import SilverProcessor, entry_of, footer_of, status_of
from pipeline_processing.processors.silver.snapshots import read_pin
from pipeline_processing.quarantine.decisions import Ruling, decided
from pipeline_processing.quarantine.editing import headers_of, protected_in
from pipeline_processing.quarantine.policy import for_release
from pipeline_processing.quarantine.schema import READER
from pipeline_processing.quarantine.schema import SCHEMA as QUARANTINED
from pipeline_processing.quarantine.selected import KeptRows, MendedRows, SelectedRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.model import Gathered, Item, Json, Output
    from pipeline_processing.processors.refining.refined import Refined
    from pipeline_processing.processors.silver.item import Release, SilverPack, SourceFile
    from pipeline_processing.processors.silver.processor import Given
    from pipeline_processing.readers import Rows

    Opened = Callable[[Path, Contract], Rows]

log = structlog.get_logger(__name__)

NAME: Final = "release"
KEPT: Final = "still_quarantined"
_PARQUET: Final = "application/vnd.apache.parquet"


class ReleaseProcessor(SilverProcessor):
    """One item is rows of one file. A row that fails again is a failed input, and stays in quarantine."""

    name = NAME

    async def process(self, item: Item) -> ItemResult:
        """Send the item's rows through the contract; errors as of `SilverProcessor`."""
        pack = pack_of(item)
        if pack.released is None or len(pack.files) != 1:
            raise InvalidData("the payload is no release of one file's rows")
        release, file = pack.released, pack.files[0]
        given = await self._read_given(pack)
        waived = {*release.waived, *pack.waived.get(file.source, ())}
        given = replace(given, contract=for_release(given.contract, waived))
        entry, outputs = await self._release(item, pack, release, file, given)
        passed = entry.get("passed", 0)
        counts = {
            release.decision: passed,
            KEPT if entry["status"] == REFINED else entry["status"]: release.count - passed,
        }
        return ItemResult(
            item.item_id,
            "done",
            counts={name: count for name, count in counts.items() if count},
            failed=release.count - passed,
            outputs=tuple(outputs),
            details={"files": [entry]},
        )

    def problems_of(self, gathered: Gathered) -> Iterator[Problem]:
        """Yield the files of which rows stay in quarantine, with the rules that these fail."""
        return problems_of(gathered)

    async def _release(
        self, item: Item, pack: SilverPack, release: Release, file: SourceFile, given: Given
    ) -> tuple[Json, list[Output]]:
        selection = pl.read_parquet(await read_pin(self._stores(release.rows.bucket), release.rows))
        async with self._slots:
            with tempfile.TemporaryDirectory(prefix="release-", dir=self._config.folder) as name:
                try:
                    found = await self._sent(item, pack, file, given, selection=selection, folder=Path(name))
                except (NotFound, PreconditionFailed, Archived, AccessDenied, InvalidData) as error:
                    status = status_of(error)
                    log.info("release.failed", source=file.source, status=status)
                    return entry_of(file, status, str(error)), []
                return await self._keep(item, pack, release, file, given, found=found, selection=selection)

    async def _sent(
        self,
        item: Item,
        pack: SilverPack,
        file: SourceFile,
        given: Given,
        *,
        selection: pl.DataFrame,
        folder: Path,
    ) -> tuple[Refined, pl.DataFrame]:
        """Return what became of the rows, and which of them are left out of it as their keys are taken."""
        path, opened = await self._opened(pack, file, folder, selection=selection, contract=given.contract)
        refined = await self._refine(path, item.agency_id, pack, file, given, opened=opened(selection))
        taken = await self._taken(pack, file, given, refined, folder)
        if taken.height:
            left = selection.join(taken, on="source_row", how="anti", maintain_order="left")
            await in_thread(lambda _stop: shutil.rmtree(refined.folder))
            refined = await self._refine(path, item.agency_id, pack, file, given, opened=opened(left))
        return refined, selection.drop("rules").join(taken, on="source_row", how="inner", maintain_order="left")

    async def _taken(
        self, pack: SilverPack, file: SourceFile, given: Given, refined: Refined, folder: Path
    ) -> pl.DataFrame:
        """Return the rows that passed, but have a key that a published row of the file has."""
        published: list[tuple[Path, Mapping[str, str | None]]] = []
        for there in pack.released.published if pack.released else ():
            path = folder / f"published-{len(published)}.parquet"
            try:
                with path.open("wb") as target:
                    async for chunk in self._stores(there.bucket).stream(there.key):
                        await asyncio.to_thread(target.write, chunk)
            except NotFound as error:
                raise InvalidData(
                    "its published rows were written anew since this was planned: release again"
                ) from error
            published.append((path, there.partition))
        released = [(output.path, output.partition) for output in refined.outputs if output.rows]
        return await in_thread(lambda _stop: taken_keys(released, published, file.source, keys_of(given.contract)))

    async def _opened(
        self, pack: SilverPack, file: SourceFile, folder: Path, *, selection: pl.DataFrame, contract: Contract
    ) -> tuple[Path, Callable[[pl.DataFrame], Opened]]:
        """Return what opens those of the selected rows that it is given: in the file, or as quarantine has them."""
        try:
            path = await self._download(file, folder)
            mended = await self._mended(pack, file)
        except (NotFound, PreconditionFailed) as error:
            check_kept(selection, contract, file, error)
            return folder / "gone", lambda some: lambda _path, by: KeptRows(some, by)
        return path, lambda some: lambda path, by: SelectedRows(MendedRows(open_rows(path, by), mended, by), some, by)

    async def _keep(
        self,
        item: Item,
        pack: SilverPack,
        release: Release,
        file: SourceFile,
        given: Given,
        *,
        found: tuple[Refined, pl.DataFrame],
        selection: pl.DataFrame,
    ) -> tuple[Json, list[Output]]:
        """Store what became of the rows. A part of which no row passed has no place in the silver table."""
        refined, taken = found
        path = refined.quarantine or refined.folder / "quarantine.parquet"
        extra = _quarantined(taken, given.contract, item, file)
        footer = footer_of(pack, file, given.contract)
        failing, news = await in_thread(lambda _stop: _failing(path, selection, extra, footer))
        passing = selection.join(failing, on="quarantine_id", how="anti")
        entry, outputs = await self._store(item, pack, given, file, replace(refined, quarantine=path if news else None))
        if news:
            entry["quarantine"]["rows"] = news
        by = Counter(refined.quarantined_by) + Counter(taken["rules"].explode().to_list())
        entry["quarantined_by"] = dict(sorted(by.items()))
        if entry["status"] != REFINED or passing.is_empty():
            entry["outputs"] = []
            return entry, outputs
        entry["passed"] = passing.height
        entry["edited"] = passing["edits"].null_count() < passing.height
        body = decisions_of(passing, pack, release, file)
        with ContentFile() as content:
            content.write(body)
            root = f"{pack.destination.root('decisions')}/"
            key = f"{root}part-{item.item_id[:12]}-{content.sha256[:20]}.parquet"
            objects = self._stores(pack.destination.bucket)
            output, _ = await store(content, objects, key, content_type=_PARQUET, role="decisions")
        entry["decisions"] = {"key": output.key, "size": output.size, "rows": passing.height}
        return entry, [*outputs, output]


def decisions_of(passing: pl.DataFrame, pack: SilverPack, release: Release, file: SourceFile) -> bytes:
    """Return the file of decisions about the rows that passed."""
    ruling = Ruling(
        decision=release.decision,
        reason=release.reason,
        decided_by=release.decided_by,
        decided_at=pack.planned_at,
        release_id=pack.run,
        base=release.base,
        waived=release.waived,
        expires_at=release.expires_at,
    )
    body = io.BytesIO()
    decided(passing, ruling, source=file.source).write_parquet(body, compression="zstd")
    return body.getvalue()


def check_kept(selection: pl.DataFrame, contract: Contract, file: SourceFile, error: Exception) -> None:
    """Raise ``error`` anew where quarantine alone can not give the rows back."""
    gone = f"{file.source} is gone" if isinstance(error, NotFound) else f"{file.source} was replaced"
    protected = sorted(protected_in(contract, headers_of(selection)))
    if protected:
        raise type(error)(
            f"{gone}, and quarantine has only tokens of {', '.join(protected)}: restore it in the version that was read"
        ) from error
    is_record = pl.col("rules").list.eval(pl.element().str.starts_with(f"{READER}.")).list.any()
    if selection.filter(pl.col("raw").is_null() & ~is_record).height:
        raise type(error)(f"{gone}, and quarantine has kept no raw row: restore it in the version read") from error


def problems_of(gathered: Gathered) -> Iterator[Problem]:
    """Yield the file of a done item of which rows stay in quarantine; nothing where the item is not done."""
    if gathered.marker is None or gathered.item.processor != NAME or not gathered.marker.result.failed:
        return
    for entry in gathered.marker.result.details["files"]:
        failing = entry.get("quarantined_by", {})
        because = ", ".join(f"{rule} ({count:,})" for rule, count in _by_count(failing)) + way_out(failing)
        status = KEPT if entry["status"] == REFINED else entry["status"]
        failed = gathered.marker.result.failed
        yield Problem(gathered.item.agency_id, entry["source"], status, entry["reason"] or because, inputs=failed)


def way_out(failing: Iterable[str]) -> str:
    """Return how rows that are right all the same get past the rules that they fail; empty where none can be waived."""
    waivable = [f"--rule {rule}" for rule in sorted(failing) if rule.partition(".")[0] != READER]
    if not waivable:
        return ""
    return (
        f"; where that is right all the same: `quarantine waive {' '.join(waivable)} --expires DATE`, "
        "with the same --edited FILE for rows mended by hand"
    )


def _by_count(rules: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(rules.items(), key=lambda rule: (-rule[1], rule[0]))


def _quarantined(taken: pl.DataFrame, contract: Contract, item: Item, file: SourceFile) -> pl.DataFrame:
    """Return rows whose keys are taken as quarantine has them."""
    fixed = {
        "dataset": contract.dataset,
        "contract_version": contract.version,
        "contract_fingerprint": contract.fingerprint,
        "agency_id": item.agency_id,
        "source_file": file.source,
        "source_version": file.version,
        "raw_sha256": None,
        "released_from": None,
    }
    rows = taken.with_columns(pl.col("rules").list.join(", ").alias("reason"))
    rows = rows.with_columns(pl.lit(value, pl.String()).alias(name) for name, value in fixed.items())
    return rows.select(pl.col(name).cast(dtype) for name, dtype in QUARANTINED.items())


def _failing(
    path: Path, selection: pl.DataFrame, extra: pl.DataFrame, footer: Mapping[str, str]
) -> tuple[pl.DataFrame, int]:
    """Return the ids of the rows that failed again, and of how many there is something new to say.

    Those alone stay in the file at ``path``, marked as rows that stood in quarantine before.
    """
    rows = pl.concat([pl.read_parquet(path), extra]) if path.exists() else extra
    before = selection.select("quarantine_id", pl.col("rules").list.sort().alias("_before"))
    news = (
        rows.join(before, on="quarantine_id", how="left", maintain_order="left")
        .filter(pl.col("rules").list.sort() != pl.col("_before"))
        .with_columns(pl.col("quarantine_id").alias("released_from"))
        .drop("_before")
    )
    news.write_parquet(path, compression="zstd", metadata=dict(footer))
    return rows.select("quarantine_id"), news.height
