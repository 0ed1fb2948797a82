"""The reference schema: the local stack's, the tests', and that of an installation with a database of its own.

Where the database is owned elsewhere it is only read, and nobody migrates it from here.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from etl_core.database import Database
from etl_core.database.migrations import apply

SCRIPTS: Final = files(__package__)
"""The numbered files."""


async def migrate(url: str) -> None:
    """Bring the database at ``url`` to the newest reference schema; safe to repeat."""
    database = Database(url, max_connections=1)
    try:
        await apply(database, SCRIPTS)
    finally:
        await database.aclose()
