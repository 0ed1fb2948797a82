"""Exports one agency's employment history as CSV, under a key that names its content."""

from __future__ import annotations

import asyncio
import csv
import io
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import TypeAdapter, ValidationError

from etl_core.errors import InvalidData
from etl_core.retry import Backoff
from pipeline_processing.model import ItemResult
from pipeline_processing.processors.content import ContentFile, store
from pipeline_processing.processors.get_s3_files.destination import content_key
from pipeline_processing.processors.patience import patiently

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.model import Item, Json, Output

NAME: Final = "employment_history"
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula. Source: OWASP, "CSV Injection"."""


class History(Protocol):
    """Where the rows come from: an `EmploymentHistoryRepository`, or a test's rows."""

    @property
    def columns(self) -> Sequence[str]:
        """Return the columns' names, in order."""
        ...

    def rows(self, agency_id: str) -> AsyncGenerator[tuple[object, ...], None]:
        """Yield the agency's rows in one stable order."""
        ...


@dataclass(frozen=True, slots=True)
class Export:
    """The payload of an item of this processor: where to, and all that changes the bytes beside the rows.

    ``formula_safe`` puts a ``'`` before every text that begins like a formula (`FORMULA_STARTS`). It changes the data:
    a reader must take the ``'`` off again. Without it the texts are exact.
    """

    destination_bucket: str
    destination_prefix: str = ""
    formula_safe: bool = False

    def as_json(self) -> dict[str, Json]:
        """Return the item's payload."""
        return {
            "destination_bucket": self.destination_bucket,
            "destination_prefix": self.destination_prefix,
            "formula_safe": self.formula_safe,
        }


@dataclass(frozen=True, slots=True)
class EmploymentHistoryConfig:
    """How histories are exported; none of it changes the bytes."""

    batch_rows: int = 2000
    """Rows formatted at once, off the event loop."""
    concurrency: int = 4
    """Exports at once, each with a database connection."""
    timeout: timedelta = timedelta(hours=1)
    attempts: int = 2
    backoff: Backoff = field(default_factory=lambda: Backoff(timedelta(milliseconds=500), timedelta(seconds=10)))


class CsvContent(ContentFile):
    """RFC 4180 in UTF-8, no byte order mark: CRLF, quotes where needed; NULL and the empty text are both nothing."""

    def __init__(self, columns: Sequence[str], *, formula_safe: bool) -> None:
        super().__init__()
        self.rows = 0
        self._formula_safe = formula_safe
        self._append([columns])

    def append(self, rows: Sequence[Sequence[object]]) -> None:
        """Append ``rows``; only texts are made formula-safe, a negative number stays one."""
        self._append([[_harmless(value) for value in row] for row in rows] if self._formula_safe else rows)
        self.rows += len(rows)

    def _append(self, rows: Iterable[Sequence[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerows(rows)
        self.write(text.getvalue().encode())


class EmploymentHistoryProcessor:
    """One item is one agency's history. An agency without rows gets no file: its item is skipped, counted as empty."""

    name = NAME

    def __init__(
        self,
        config: EmploymentHistoryConfig,
        history: Callable[[], History],
        stores: Callable[[str], ObjectStore],
        clock: Clock,
    ) -> None:
        self._config, self._history, self._stores, self._clock = config, history, stores, clock
        self._slots = asyncio.Semaphore(config.concurrency)

    async def process(self, item: Item) -> ItemResult:
        """Export the item's agency; raises InvalidData where a row does not cast, Transient where a service is away."""
        export = export_of(item)
        async with self._slots:
            return await patiently(
                lambda: self._export(item, export),
                name=item.item_id,
                attempts=self._config.attempts,
                limit=self._config.timeout,
                backoff=self._config.backoff,
                clock=self._clock,
            )

    async def fetch_data(self, agency_id: str, *, formula_safe: bool) -> CsvContent:
        """Return the agency's rows as a CSV on local disk, in bounded memory; the caller closes it."""
        history = self._history()
        content = CsvContent(history.columns, formula_safe=formula_safe)
        try:
            batch: list[tuple[object, ...]] = []
            async with aclosing(history.rows(agency_id)) as rows:
                async for row in rows:
                    batch.append(row)
                    if len(batch) >= self._config.batch_rows:
                        await asyncio.to_thread(content.append, batch)
                        batch = []
            await asyncio.to_thread(content.append, batch)
        except BaseException:
            content.__exit__(None, None, None)
            raise
        return content

    async def upload_to_s3(self, content: CsvContent, agency_id: str, export: Export) -> tuple[Output, bool]:
        """Store the CSV under its content's hash; return the output, and whether it had been there already."""
        key = content_key(export.destination_prefix, agency_id, "employment_history", content.sha256, "csv")
        objects = self._stores(export.destination_bucket)
        return await store(content, objects, key, content_type="text/csv; charset=utf-8", role=NAME)

    async def _export(self, item: Item, export: Export) -> ItemResult:
        with await self.fetch_data(item.agency_id, formula_safe=export.formula_safe) as content:
            if not content.rows:
                return ItemResult(item.item_id, "skipped", {"empty": 1}, details={"rows": 0})
            output, was_there = await self.upload_to_s3(content, item.agency_id, export)
            details = {"rows": content.rows, "sha256": content.sha256}
        if was_there:
            return ItemResult(item.item_id, "skipped", {"skipped": 1}, outputs=(output,), details=details)
        return ItemResult(item.item_id, "done", {"exported": 1}, outputs=(output,), details=details)


def export_of(item: Item) -> Export:
    """Return the item's payload, or raise InvalidData that names the wrong fields and no value."""
    try:
        return _EXPORT.validate_python(item.payload)
    except ValidationError as error:
        places = ", ".join(".".join(str(part) for part in fault["loc"]) for fault in error.errors())
        raise InvalidData(f"the payload is no export; wrong: {places}") from None


_EXPORT: Final = TypeAdapter(Export)


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
