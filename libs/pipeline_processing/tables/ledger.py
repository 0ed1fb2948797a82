"""What is published already: the newest record of every source, read from the tags of a table's files."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Self

import orjson

from etl_core.spool import SortedSpool
from pipeline_processing.tables.publication import Origin, origins_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline_processing.tables import Table


@dataclass(frozen=True, slots=True)
class Record:
    """What is published of one source. Where its items differ in something, it is all of their values with commas."""

    source_version: str
    contract: str
    contract_fingerprint: str
    code: str
    run: str
    planned_at: str
    rows: int
    """With those that were released from quarantine since."""


class Ledger:
    """Every published source with its record, ascending by the source's UTF-8, in bounded memory.

    Use it as a context manager; it may be iterated more than once.
    """

    def __init__(self, spool: SortedSpool) -> None:
        self._spool = spool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.__exit__(None, None, None)

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        for key, entries in groupby(self._spool, key=lambda entry: entry[0]):
            origins = [Origin(**orjson.loads(value)) for _, value in entries]
            if whole := [origin for origin in origins if not origin.part]:  # a part is known by what it adds to
                yield key.decode(errors="surrogatepass"), _record(whole, rows=sum(origin.rows for origin in origins))


async def published(table: Table, *, folder: Path | None = None) -> Ledger:
    """Return the ledger of ``table`` as it is now; empty where there is no table. ``folder`` is for its spool."""
    spool = SortedSpool(folder=folder)
    try:
        async for file in table.files():
            for origin in origins_of(file):
                spool.add(origin.source.encode(errors="surrogatepass"), orjson.dumps(origin))
    except BaseException:
        spool.__exit__(None, None, None)
        raise
    return Ledger(spool)


def _record(origins: list[Origin], *, rows: int) -> Record:
    def told(name: str) -> str:
        return ",".join(sorted({getattr(origin, name) for origin in origins}))

    return Record(
        source_version=told("source_version"),
        contract=told("contract"),
        contract_fingerprint=told("contract_fingerprint"),
        code=told("code"),
        run=told("run"),
        planned_at=told("planned_at"),
        rows=rows,
    )
