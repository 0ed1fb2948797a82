"""Small inputs that a plan freezes: the contract's text, the reference tables. Stored under their content's hash."""

from __future__ import annotations

import hashlib
import io
from contextlib import aclosing
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError, InvalidData, NotFound
from etl_core.objects.create import create_once
from pipeline_processing.contracts.load import load
from pipeline_processing.processors.silver.item import Pin

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.contracts.model import Contract, Reference
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.service_handler import ServiceHandler

REFERENCE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a reference table's file: each worker holds it whole."""
REFERENCE_ROWS: Final = 1_000_000
"""Rows of a reference table that is queried, for the same reason."""
_KEPT: Final = (bool, int, float, str, bytes, Decimal, date, datetime, time)
"""Types that a reference table keeps; a value of any other becomes its text."""
_S3: Final = "s3://"


class Snapshots:
    """Writes and reads what a run's plan froze, in the silver bucket."""

    def __init__(self, store: ObjectStore, destination: Destination, clock: Clock, jitter: Callable[[], float]) -> None:
        self._store, self._destination, self._clock, self._jitter = store, destination, clock, jitter

    async def freeze(self, kind: str, name: str, body: bytes, suffix: str) -> Pin:
        """Store ``body`` once; equal bodies are one object."""
        digest = hashlib.sha256(body).hexdigest()
        folder = f"{self._destination.prefix}/" if self._destination.prefix else ""
        key = f"{folder}_{kind}/{name}/{digest[:32]}.{suffix}"
        await create_once(
            self._store, key, body, is_own=lambda found: found == body, clock=self._clock, jitter=self._jitter
        )
        return Pin(self._store.bucket, key, digest)

    async def freeze_contract(self, contract: Contract, text: str) -> Pin:
        """Store the contract as it was given."""
        return await self.freeze("contracts", contract.dataset, text.encode(), "odcs.yaml")

    async def freeze_reference(self, reference: Reference, services: ServiceHandler) -> Pin:
        """Read the reference table as it is now and store that; ConfigError where it can not be read."""
        frame = await read_current(reference, services)
        body = io.BytesIO()
        frame.write_parquet(body, compression="zstd")
        return await self.freeze("references", reference.name, body.getvalue(), "parquet")


async def read_pin(store: ObjectStore, pin: Pin) -> bytes:
    """Return what was frozen; InvalidData where something else stands there now."""
    body = (await store.get(pin.key)).body
    if hashlib.sha256(body).hexdigest() != pin.sha256:
        raise InvalidData(f"s3://{pin.bucket}/{pin.key} is not what the run was planned with")
    return body


async def read_contract(store: ObjectStore, pin: Pin, dataset: str) -> Contract:
    """Return the contract that the run was planned with."""
    return load((await read_pin(store, pin)).decode(), dataset=dataset)


async def read_reference(store: ObjectStore, pin: Pin) -> pl.DataFrame:
    """Return the reference table that the run was planned with."""
    return pl.read_parquet(await read_pin(store, pin))


async def read_current(reference: Reference, services: ServiceHandler) -> pl.DataFrame:
    """Return the reference table as it is now; ConfigError where it can not be read."""
    where = f"reference {reference.name}"
    if reference.query is not None:
        try:
            return await _queried(reference.query, services, where=where)
        except ConfigError as error:
            raise ConfigError(error.what, where=where, way_out=error.way_out) from error
    path = reference.path or ""
    if not path.startswith(_S3):
        raise ConfigError(
            f"{path!r} is on no machine that plans a run", where=where, way_out="put it in S3 and write s3://bucket/key"
        )
    bucket, _, key = path.removeprefix(_S3).partition("/")
    store = services.store(bucket)
    try:
        info = await store.head(key)
        if info.size > REFERENCE_LIMIT:
            raise ConfigError(f"{path} has {info.size:,} bytes", where=where, way_out=f"at most {REFERENCE_LIMIT:,}")
        body = (await store.get(key)).body
    except NotFound as error:
        raise ConfigError(f"{path} is not there", where=where, way_out="correct the contract's reference") from error
    try:
        if key.endswith(".parquet"):
            return pl.read_parquet(body)
        return pl.read_csv(body, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"{path} is neither CSV nor Parquet", where=where, way_out="write it as one") from error


async def _queried(sql: str, services: ServiceHandler, *, where: str) -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    async with aclosing(services.database.cursor(sql, where=where)) as records:
        async for record in records:
            if len(rows) == REFERENCE_ROWS:
                raise ConfigError(
                    f"the query gives more than {REFERENCE_ROWS:,} rows", where=where, way_out="select fewer"
                )
            rows.append({name: _plain(value) for name, value in record.items()})
    if not rows:
        raise ConfigError("the query gives no row", where=where, way_out="a lookup in nothing finds nothing")
    return pl.DataFrame(rows, infer_schema_length=None)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, _KEPT) else str(value)
