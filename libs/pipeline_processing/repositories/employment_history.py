"""Employment histories, read from Postgres as they are exported."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from pipeline_processing.repositories.queries import QueryFile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from etl_core.database import Database

COLUMNS: Final = (
    "row_id",
    "agency_id",
    "employee_id",
    "last_name",
    "first_name",
    "middle_initial",
    "gender",
    "race",
    "birth_year",
    "appointed_date",
    "rank",
    "unit",
    "start_date",
    "end_date",
)
"""Columns of the export, in order."""


class EmploymentHistoryRepository:
    """Reads only. Raises ConfigError where a replaced query is missing or returns other columns."""

    columns: Sequence[str] = COLUMNS

    def __init__(self, database: Database, *, queries_dir: Path | None) -> None:
        self._database = database
        self._query = QueryFile("employment_history.sql", queries_dir=queries_dir).query("employment_history", COLUMNS)

    async def rows(self, agency_id: str) -> AsyncGenerator[tuple[object, ...], None]:
        """Yield the agency's rows from a server-side cursor: values as in `COLUMNS`, rows in the order of the query.

        Raises InvalidData, naming SQLSTATE and no value, at the first batch that holds what is no date.
        """
        query = self._query
        rows = self._database.cursor(query.sql, agency_id, columns=query.columns, where=query.where)
        async with aclosing(rows):
            async for row in rows:
                yield tuple(row)

    async def check(self) -> None:
        """Raise ConfigError now where the query would later: it is run for an agency that there is not."""
        async with aclosing(self.rows("")) as rows:
            async for _ in rows:
                break
