"""Agencies and their attachments, read from Postgres."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline_processing.repositories.queries import QueryFile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from etl_core.database import Database


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency as jobs name it."""

    agency_id: str
    name: str


@dataclass(frozen=True, slots=True)
class AttachmentFile:
    """One attachment as the database knows it; what it does not know is None. ``etag`` has no quotes."""

    attachment_id: str
    source_key: str
    employee_id: str | None = None
    size_bytes: int | None = None
    etag: str | None = None
    version_id: str | None = None


_AGENCY: Final = ("agency_id", "name")
_ATTACHMENT: Final = ("attachment_id", "employee_id", "source_key", "size_bytes", "etag", "version_id")


class AttachmentRepository:
    """Reads only. Raises ConfigError where a replaced query is missing or returns other columns."""

    def __init__(self, database: Database, *, queries_dir: Path | None) -> None:
        self._database = database
        queries = QueryFile("attachments.sql", queries_dir=queries_dir)
        self._agencies = queries.query("agencies", _AGENCY)
        self._attachments = queries.query("get_attachment_files_for_s3_processing", _ATTACHMENT)

    async def agencies(self) -> list[Agency]:
        """Return every agency, sorted by id."""
        query = self._agencies
        rows = await self._database.fetch(query.sql, columns=query.columns, where=query.where)
        return sorted((Agency(*row) for row in rows), key=lambda agency: agency.agency_id)

    async def get_attachment_files_for_s3_processing(self, agency_id: str) -> AsyncGenerator[AttachmentFile, None]:
        """Yield the agency's attachments from a server-side cursor; an unknown agency has none."""
        query = self._attachments
        rows = self._database.cursor(query.sql, agency_id, columns=query.columns, where=query.where)
        async with aclosing(rows):
            async for row in rows:
                yield AttachmentFile(
                    attachment_id=row["attachment_id"],
                    source_key=row["source_key"],
                    employee_id=row["employee_id"],
                    size_bytes=row["size_bytes"],
                    etag=(row["etag"] or "").strip('"') or None,
                    version_id=row["version_id"] or None,
                )
