"""Numbered SQL files, each applied once and never altered afterwards."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from etl_core.database import Connection, Database

_FILE: Final = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_LOCK: Final = 0x45544C4D
"""Advisory lock of whoever migrates: "ETLM"."""
_APPLIED: Final = """
create table schema_migrations (
    name       text primary key,
    sha256     text not null,
    applied_at timestamptz not null default now()
)
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Which files a database has, and which it lacks, each in order."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]


async def standing(database: Database, folder: Path | Traversable) -> Standing:
    """Return how the database stands to the files of ``folder``; changes nothing. ConfigError as `apply`."""
    scripts = _scripts(folder)
    async with database.transaction(read_only=True) as connection:
        return _compare(scripts, await _recorded(connection) or {})


async def apply(database: Database, folder: Path | Traversable, *, lock_wait: timedelta | None = None) -> list[str]:
    """Apply the files of ``folder`` that are not applied yet, in order and in one transaction; return their names.

    ConfigError where an applied file was altered since, or is gone. Safe to run twice at once: the second waits, then
    finds nothing to do. With ``lock_wait``, Transient where it, or a statement of a file, waits longer than that for a
    lock: whoever waits for a table's lock holds up everybody that comes after it.
    """
    scripts = _scripts(folder)
    async with database.transaction() as connection:
        if lock_wait is not None:
            milliseconds = f"{lock_wait.total_seconds() * 1000:.0f}"
            await connection.execute("select set_config('lock_timeout', $1, true)", milliseconds)
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        recorded = await _recorded(connection)
        pending = _compare(scripts, recorded or {}).pending
        if recorded is None:
            await connection.execute(_APPLIED)
        for name in pending:
            await connection.execute(scripts[name])
            await connection.execute(
                "insert into schema_migrations (name, sha256) values ($1, $2)", name, _digest(scripts[name])
            )
    return list(pending)


async def _recorded(connection: Connection) -> Mapping[str, str] | None:
    """Return the digest of each applied file, or None before the first: no right to make tables is needed to look."""
    if not await connection.fetchval("select to_regclass('schema_migrations') is not null"):
        return None
    return {row["name"]: row["sha256"] for row in await connection.fetch("select name, sha256 from schema_migrations")}


def _scripts(folder: Path | Traversable) -> dict[str, str]:
    return {
        file.name: file.read_text(encoding="utf-8")
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if _FILE.fullmatch(file.name)
    }


def _digest(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()


def _compare(scripts: Mapping[str, str], recorded: Mapping[str, str]) -> Standing:
    digests = {name: _digest(script) for name, script in scripts.items()}
    faults = [
        f"{name} is gone" if name not in digests else f"{name} was altered"
        for name, digest in sorted(recorded.items())
        if digests.get(name) != digest
    ]
    if faults:
        raise ConfigError(
            f"migrations that are applied already do not match: {'; '.join(faults)}",
            where="migrations",
            way_out="restore these files, and put the change into a new one",
        )
    return Standing(
        tuple(name for name in scripts if name in recorded), tuple(name for name in scripts if name not in recorded)
    )
