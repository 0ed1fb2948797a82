"""The tables of a dataset: what columns they have, and how a run's rows get into them."""

from __future__ import annotations

import asyncio
import hashlib
import io
from heapq import nlargest
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError, NotFound
from pipeline_processing.quarantine.schema import SCHEMA as QUARANTINE_COLUMNS
from pipeline_processing.tables import Change, DataFile, Edit
from pipeline_processing.tables.publication import check_stands, origins_of
from pipeline_processing.tables.publishing import app_of, publish
from pipeline_processing.tables.rewriting import FileRewriter
from pipeline_processing.tables.schema import schema_of
from pipeline_processing.transforms.columns import published_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from etl_core.objects import ObjectStore
    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.tables import Snapshot, Table, TableSchema
    from pipeline_processing.tables.publishing import Publication

_MARKS: Final = {"delta": "_delta_log/", "parquet": "_manifest.json"}
"""What is below a table's root in its format, and in no other."""
HEADS: Final = 32
"""Files looked at together before a commit."""
RUNS_BACK: Final = 50
"""Runs in whose profiles an agency's last one is looked for."""
ROW_COUNTS: Final = ("rows_in", "rows_out", "quarantined", "deduplicated")
FILES_COLUMNS: Final = pl.Schema(
    {
        "run_id": pl.String(),
        "planned_at": pl.String(),
        "agency_id": pl.String(),
        "source_file": pl.String(),
        "source_version": pl.String(),
        "size": pl.Int64(),
        "modified": pl.String(),
        "status": pl.String(),
        "reason": pl.String(),
        "verdict": pl.String(),
        **dict.fromkeys(ROW_COUNTS, pl.Int64()),
        "contract_version": pl.String(),
        "contract_fingerprint": pl.String(),
        "code_version": pl.String(),
        "item_id": pl.String(),
        "outputs": pl.List(pl.String()),
        "dialect": pl.String(),
        "checks": pl.String(),
        "quarantined_by": pl.String(),
    }
)
"""One row an input file of a run: the metadata manifest. ``dialect``, ``checks``, ``quarantined_by`` are JSON."""
PROFILES_COLUMNS: Final = pl.Schema(
    {
        "run_id": pl.String(),
        "planned_at": pl.String(),
        "agency_id": pl.String(),
        "contract_version": pl.String(),
        "rows": pl.Int64(),
        "files": pl.Int64(),
        "summary": pl.String(),
        "drift": pl.String(),
        "profile": pl.Binary(),
    }
)
"""One row an agency and one for the whole run (``agency_id`` null): ``profile`` has the sketches, which merge."""
FILES: Final = schema_of(FILES_COLUMNS)
PROFILES: Final = schema_of(PROFILES_COLUMNS)
QUARANTINE: Final = schema_of(QUARANTINE_COLUMNS)
BESIDE: Final = {"quarantine": QUARANTINE, "files": FILES, "profiles": PROFILES}
"""Tables that a run publishes to beside the dataset's own. What people decided about rows is theirs, not the run's."""


def silver_schema(contract: Contract) -> TableSchema:
    """Return the columns and partitioning of the contract's silver table."""
    return schema_of(published_schema(contract), partition_by=contract.partition_by)


async def check_not_rolled_back(services: ServiceHandler, destination: Destination, run: str) -> None:
    """ConfigError where the run was taken back out of any of the dataset's tables, or given up.

    To be called before the run's first commit: a table that had nothing of the run does not know of it.
    """
    for which in ("", *BESIDE):
        check_stands(await services.table(destination, which).snapshot(), run)


async def check_format(services: ServiceHandler, destination: Destination, which: str = "") -> None:
    """ConfigError where a table of the other format stands in the same place: each takes the other's for orphans."""
    other = "parquet" if destination.format == "delta" else "delta"
    root = destination.root(which)
    async for _ in services.store(destination.bucket).list(f"{root}/{_MARKS[other]}"):
        raise ConfigError(
            f"s3://{destination.bucket}/{root} is a table of the format {other}",
            where="--format",
            way_out=f"--format {other}, or another --silver-prefix",
        )


async def commit(
    services: ServiceHandler,
    destination: Destination,
    which: str,
    files: Sequence[DataFile],
    *,
    run: str,
    version: int,
    schema: TableSchema,
) -> Publication:
    """Commit a run's files to one of the dataset's tables, in place of what their sources had there.

    ConfigError where one of them is not in the bucket any more: a table that names it could not be read.
    """
    table = services.table(destination, which)
    column = "source_file" if which else "_source_file"
    store = services.store(destination.bucket)
    await _check_there(table, store, files, run=run, version=version)
    rewriter = FileRewriter(store, table.root, clock=services.clock, nonce=services.nonce, source_column=column)
    return await publish(table, files, run=run, version=version, schema=schema, rewriter=rewriter)


async def _check_there(table: Table, store: ObjectStore, files: Sequence[DataFile], *, run: str, version: int) -> None:
    """Look at each file that the run has not in the table yet: a vacuum of orphans may have taken what waited long."""
    snapshot = await table.snapshot()
    if snapshot.applied.get(app_of(run), -1) >= version:
        return
    live = {origin.identity for file in snapshot.files.values() for origin in origins_of(file)}
    paths = [file.path for file in files if not any(origin.identity in live for origin in origins_of(file))]
    gone: list[str] = []
    for start in range(0, len(paths), HEADS):
        some = paths[start : start + HEADS]
        found = await asyncio.gather(*(_is_there(store, f"{table.root}{path}") for path in some))
        gone += [path for path, is_there in zip(some, found, strict=True) if not is_there]
    if gone:
        raise ConfigError(
            f"{len(gone):,} of the files that the run {run} would publish are deleted, such as {gone[0]}",
            where=table.uri,
            way_out="refine them again: another run, with a new --run-id",
        )


async def _is_there(store: ObjectStore, key: str) -> bool:
    try:
        await store.head(key)
    except NotFound:
        return False
    return True


async def append(
    services: ServiceHandler,
    destination: Destination,
    which: str,
    frame: pl.DataFrame,
    *,
    tags: Mapping[str, str],
    version: int,
    schema: TableSchema,
) -> None:
    """Add ``frame`` to a table of facts about runs; a later version of the run takes the place of an earlier one.

    ``tags`` are ``run`` and ``planned_at``. ConfigError where the run was taken back.
    """
    body, run = encode(frame), tags["run"]
    store, table = services.store(destination.bucket), services.table(destination, which)
    path = f"part-{digest(run.encode())}-{version}-{digest(body)}.parquet"
    info = await store.put(f"{table.root}{path}", body)

    def decide(snapshot: Snapshot) -> Edit:
        check_stands(snapshot, run)
        earlier = [file.path for file in snapshot.files.values() if file.tags.get("run") == run and file.path != path]
        added = DataFile(path, info.size, frame.height, {}, info.modified, tags=dict(tags))
        return Edit(add=[added], remove=earlier, note={"run": run})

    await table.commit(Change(app_of(run), version, decide, schema))


async def latest_profiles(
    services: ServiceHandler, destination: Destination, agencies: Collection[str], *, before: str
) -> dict[str, bytes]:
    """Return the last profile of each of ``agencies`` that a run planned before ``before`` has published.

    Looks back over `RUNS_BACK` runs at most; an agency without a profile there is left out.
    """
    store, table = services.store(destination.bucket), services.table(destination, "profiles")
    runs = [
        (file.tags["planned_at"], file.tags["run"], file.path)
        async for file in table.files()
        if file.tags["planned_at"] < before
    ]
    found: dict[str, bytes] = {}
    for _, _, path in nlargest(RUNS_BACK, runs):
        if len(found) == len(agencies):
            break
        rows = pl.read_parquet((await store.get(f"{table.root}{path}")).body, columns=["agency_id", "profile"])
        for agency_id, body in rows.filter(pl.col("agency_id").is_in(list(agencies))).iter_rows():
            found.setdefault(agency_id, body)
    return found


def encode(frame: pl.DataFrame) -> bytes:
    """Return ``frame`` as one Parquet file: the same rows give the same bytes."""
    body = io.BytesIO()
    frame.write_parquet(body, compression="zstd")
    return body.getvalue()


def digest(content: bytes) -> str:
    """Return 16 hex digits that tell contents apart in a key."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()
