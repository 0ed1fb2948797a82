"""What a release has work with: the open rows that are meant, an item a file, its rows pinned with their edits."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError, NotFound
from pipeline_processing.contracts.model import Contract  # noqa: TC001 - dataclasses keep their annotations
from pipeline_processing.model import Item
from pipeline_processing.processors.release.processor import NAME
from pipeline_processing.processors.release.published_keys import keys_of
from pipeline_processing.processors.silver.dataset_tables import silver_schema
from pipeline_processing.processors.silver.item import PublishedFile, Release, SilverPack, SourceFile
from pipeline_processing.processors.silver.snapshots import Snapshots
from pipeline_processing.processors.silver.standing import Standing, standing
from pipeline_processing.quarantine import editing
from pipeline_processing.quarantine.book import Book, Filter
from pipeline_processing.quarantine.selected import SELECTION
from pipeline_processing.tables.publication import origins_of
from pipeline_processing.tables.schema import merged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from etl_core.objects import ObjectStore
    from pipeline_processing.processors.silver.item import Destination, Pin
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.tables import DataFile, Snapshot

FOLDER: Final = "releases"
_S3: Final = "s3://"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a release is asked for. ``waived`` rules make it a waiver, which has an ``expires_at`` (ISO date)."""

    rows: Filter
    contract: Contract
    text: str
    """The contract's, as it was given."""
    reason: str
    decided_by: str
    edited: str | None = None
    """Of rows mended by hand: a CSV or Parquet file on this machine, or ``s3://bucket/key``."""
    waived: tuple[str, ...] = ()
    expires_at: str | None = None
    skips_decided: bool = False
    """Whether edited rows that are not open any more are left out: else they are a fault."""


def open_book(services: ServiceHandler, destination: Destination) -> Book:
    """Return the dataset's quarantine as it is now."""
    store = services.store(destination.bucket)
    quarantine, decisions = (services.table(destination, which) for which in ("quarantine", "decisions"))
    return Book(store, quarantine, decisions, services.table(destination))


async def items(
    run_id: str,
    wish: Wish,
    destination: Destination,
    services: ServiceHandler,
    *,
    pins: ObjectStore | None = None,
) -> AsyncIterator[Item]:
    """Yield an item for each file that has rows of the wish; ConfigError where nothing can be released.

    What the plan freezes goes to ``pins``, or else beside the tables; the outputs go to the same bucket.
    """
    store = pins or services.store(destination.bucket)
    snapshots = Snapshots(store, destination, services.clock, services.jitter)
    now = services.clock.now()
    if wish.expires_at is not None and wish.expires_at < now.date().isoformat():
        raise ConfigError(f"{wish.expires_at} is over", where="--expires", way_out="name a day to come")
    holding = await standing(destination, services, today=now.date())
    make = _Maker(run_id, wish, now.isoformat(), destination, pins=store.bucket, holding=holding)
    contract_pin: Pin | None = None
    references: dict[str, Pin] = {}
    states: dict[str, int] = {}
    with open_book(services, destination) as book:
        if not await book.exists():
            raise ConfigError(
                "there is no quarantine", where=book.uri, way_out="check --dataset, --silver-* and --format"
            )
        table = await services.table(destination).snapshot()
        merged(table.schema, silver_schema(wish.contract), where=services.table(destination).uri)
        published = files_by_source(table) if keys_of(wish.contract) else {}
        edits = await _edits(wish, book, services) if wish.edited else None
        meant = wish.rows if edits is None else _of_ids(wish, edits["quarantine_id"].to_list())
        async for rows in book.rows(meant):
            for state, count in rows["state"].value_counts().iter_rows():
                states[state] = states.get(state, 0) + count
            rows = rows.filter(pl.col("state") == "open")  # noqa: PLW2901 - the same rows, fewer
            if rows.is_empty():
                continue
            if contract_pin is None:
                contract_pin = await snapshots.freeze_contract(wish.contract, wish.text)
                for one in wish.contract.references:
                    references[one.name] = await snapshots.freeze_reference(one, services)
            pin = await snapshots.freeze(FOLDER, destination.dataset, _selection(rows, edits), "parquet")
            yield make(rows, pin, (contract_pin, references), published.get(rows["source_file"][0], ()))
    if contract_pin is None:
        raise ConfigError(_nothing(states), where="quarantine release", way_out="`quarantine list` shows what is open")


class _Maker:
    def __init__(
        self, run_id: str, wish: Wish, planned_at: str, destination: Destination, *, pins: str, holding: Standing
    ) -> None:
        self._run_id, self._wish, self._planned_at = run_id, wish, planned_at
        self._root, self._bucket, self._standing = f"{destination.root()}/", destination.bucket, holding
        self._destination = replace(destination, bucket=pins)

    def __call__(
        self, rows: pl.DataFrame, pin: Pin, given: tuple[Pin, dict[str, Pin]], published: Sequence[DataFile]
    ) -> Item:
        row, wish = rows.row(0, named=True), self._wish
        bucket, _, key = row["source_file"].removeprefix(_S3).partition("/")
        release = Release(
            rows=pin,
            count=rows.height,
            base=row["base"],
            decision="waived" if wish.waived else "released",
            reason=wish.reason,
            decided_by=wish.decided_by,
            waived=wish.waived,
            expires_at=wish.expires_at,
            published=tuple(PublishedFile(self._bucket, self._root + file.path, file.partition) for file in published),
        )
        files = (SourceFile(bucket, key, row["source_version"], 0, row["since"]),)
        pack = SilverPack(
            run=self._run_id,
            files=files,
            contract=given[0],
            destination=self._destination,
            planned_at=self._planned_at,
            references=given[1],
            released=release,
            waived=self._standing.waived_in(files),
            mended=self._standing.mended_in(files),
        )
        return Item(NAME, row["agency_id"], pack.as_json(), inputs=rows.height)


def files_by_source(table: Snapshot) -> dict[str, list[DataFile]]:
    """Return the live files that have rows of each source."""
    found: dict[str, list[DataFile]] = {}
    for file in table.files.values():
        for source in {origin.source for origin in origins_of(file) if origin.rows}:
            found.setdefault(source, []).append(file)
    return found


def _of_ids(wish: Wish, ids: Sequence[str]) -> Filter:
    """Return the filter of the wish, for edited rows: one that fails a waived rule may have failed others before."""
    rows = wish.rows
    rules = () if wish.waived and {*rows.rules} <= {*wish.waived} else rows.rules
    return Filter(rules, rows.files, rows.agencies, frozenset(ids))


async def _edits(wish: Wish, book: Book, services: ServiceHandler) -> pl.DataFrame:
    """Return what was edited; ConfigError naming the rows of the file that do not fit."""
    edited = await _read_edited(wish.edited or "", services)
    ids = editing.ids_of(edited)
    found = [rows async for rows in book.rows(Filter(ids=frozenset(ids)))]
    rows = pl.concat(found) if found else None
    is_open = pl.col("state") == "open"
    if rows is None or rows.filter(is_open).is_empty():
        raise ConfigError("none of its rows is open in quarantine", where="--edited", way_out="export the rows again")
    decided = frozenset(rows.filter(~is_open)["quarantine_id"]) & frozenset(ids)
    if decided and wish.skips_decided:
        edited = [line for line in edited if line["quarantine_id"] not in decided]
    elif decided:
        raise ConfigError(
            f"{len(decided):,} of its {len(ids):,} rows are no longer open",
            where="--edited",
            way_out="give --skip-decided to send the others, or export the rows again",
        )
    return editing.compare(edited, rows.filter(is_open), wish.contract)


async def _read_edited(where: str, services: ServiceHandler) -> list[dict[str, str]]:
    if not where.startswith(_S3):
        return editing.read(Path(where))
    bucket, _, key = where.removeprefix(_S3).partition("/")
    if not Path(key).name:
        raise ConfigError(f"{where} names no object", where="--edited", way_out="write s3://bucket/key")
    with tempfile.TemporaryDirectory(prefix="edited-") as folder:
        path = Path(folder) / Path(key).name
        try:
            path.write_bytes((await services.store(bucket).get(key)).body)
        except NotFound as error:
            raise ConfigError(f"{where} is not there", where="--edited", way_out="name an existing object") from error
        return editing.read(path)


def _selection(rows: pl.DataFrame, edits: pl.DataFrame | None) -> bytes:
    """Return the rows as they are pinned: equal wishes pin equal bytes."""
    if edits is None:
        rows = rows.with_columns(pl.lit(None, pl.String()).alias("edits"))
    else:
        rows = rows.join(edits, on="quarantine_id", how="left", maintain_order="left")
    body = io.BytesIO()
    rows.sort("source_row").select(pl.col(n).cast(t) for n, t in SELECTION.items()).write_parquet(
        body, compression="zstd"
    )
    return body.getvalue()


def _nothing(states: dict[str, int]) -> str:
    if not states:
        return "no row in quarantine is meant"
    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    hints = {
        "interrupted": "; an interrupted release is resumed by `quarantine release --run-id`, or given up by `abandon`",
        "unpublished": "; rows of a file that is not published itself come back when the file is run again",
    }
    return f"no row that is meant is open: {counts}" + "".join(hints[state] for state in hints if state in states)
