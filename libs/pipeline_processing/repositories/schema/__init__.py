"""The reference schema, for the local stack and tests; production's is owned elsewhere and is only read."""

from __future__ import annotations

from importlib.resources import files

from etl_core.database import Database
from etl_core.database.migrations import apply


async def migrate(url: str) -> None:
    """Bring the database at ``url`` to the newest reference schema; safe to repeat."""
    database = Database(url, max_connections=1)
    try:
        await apply(database, files(__package__))
    finally:
        await database.aclose()
