"""What people decided about a source's rows, as far as later runs are planned with it.

A waiver holds for every version of its source until it expires. Rows that were mended by hand are mended again in each
run over the same version: else a backfill would bring them back into quarantine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import orjson
import polars as pl

from pipeline_processing.processors.silver.item import Mended, Pin
from pipeline_processing.processors.silver.snapshots import read_pin
from pipeline_processing.quarantine.book import read_decisions, rolled_back_in
from pipeline_processing.quarantine.decisions import active_waivers
from pipeline_processing.quarantine.selected import SELECTION
from pipeline_processing.tables.publication import origins_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from etl_core.objects import ObjectStore
    from pipeline_processing.model import Json
    from pipeline_processing.processors.silver.item import Destination, Release, SourceFile
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.tables import DataFile

DECISION: Final = "decision"
EXPIRES: Final = "expires_at"
EDITED: Final = "edited"
"""Tags of a file of decisions, so that a plan reads few of them: `EDITED` is the pin of rows that were mended."""


@dataclass(frozen=True, slots=True)
class Standing:
    """``waived`` has the rules by source, ``mended`` the mended rows by source and version."""

    waived: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mended: Mapping[tuple[str, str], tuple[Mended, ...]] = field(default_factory=dict)

    def waived_in(self, files: Sequence[SourceFile]) -> dict[str, tuple[str, ...]]:
        """Return what is waived of these files, by source."""
        return {file.source: self.waived[file.source] for file in files if file.source in self.waived}

    def mended_in(self, files: Sequence[SourceFile]) -> dict[str, tuple[Mended, ...]]:
        """Return what was mended of these very versions of the files, by source."""
        found = {file.source: self.mended.get((file.source, file.version), ()) for file in files}
        return {source: mended for source, mended in found.items() if mended}


def tags_of(release: Release, *, is_edited: bool) -> dict[str, str]:
    """Return the tags of a release's decisions."""
    edited = {EDITED: orjson.dumps(asdict(release.rows)).decode()} if is_edited else {}
    return {DECISION: release.decision, EXPIRES: release.expires_at or "", **edited}


async def standing(destination: Destination, services: ServiceHandler, *, today: date) -> Standing:
    """Return what holds today; what was rolled back or given up does not."""
    table, store = services.table(destination, "decisions"), services.store(destination.bucket)
    waivers: list[DataFile] = []
    edited: list[DataFile] = []
    async for file in table.files():
        if file.tags.get(DECISION) == "waived" and file.tags.get(EXPIRES, "") >= today.isoformat():
            waivers.append(file)
        if EDITED in file.tags:
            edited.append(file)
    if not waivers and not edited:
        return Standing()
    rolled_back = rolled_back_in(await services.table(destination).snapshot())
    decisions = [await read_decisions(store, table, file) for file in waivers]
    mended: dict[tuple[str, str], list[Mended]] = defaultdict(list)
    for file in sorted(edited, key=lambda file: (origins_of(file)[0].rank, file.path)):
        (origin,) = origins_of(file)
        if origin.run not in rolled_back:
            pin = Pin(**orjson.loads(file.tags[EDITED]))
            mended[origin.source, origin.source_version].append(Mended(pin, store.bucket, f"{table.root}{file.path}"))
    return Standing(
        active_waivers(decisions, today=today, rolled_back=rolled_back),
        {key: tuple(found) for key, found in mended.items()},
    )


async def read_mended(stores: Callable[[str], ObjectStore], mended: Sequence[Mended]) -> pl.DataFrame:
    """Return the rows that were mended and then decided; of a cell that was mended twice the later text."""
    found: dict[str, dict[str, Json]] = {}
    for one in mended:
        rows = pl.read_parquet(await read_pin(stores(one.rows.bucket), one.rows))
        decided = pl.read_parquet((await stores(one.bucket).get(one.decisions)).body, columns=["quarantine_id"])
        rows = rows.filter(pl.col("edits").is_not_null()).join(decided, on="quarantine_id", how="semi")
        for row in rows.iter_rows(named=True):
            earlier = found.get(row["quarantine_id"], {"edits": "{}"})["edits"]
            edits = orjson.loads(earlier) | orjson.loads(row["edits"])
            found[row["quarantine_id"]] = {**row, "edits": orjson.dumps(edits).decode()}
    return pl.DataFrame(list(found.values()), schema=SELECTION, orient="row")
