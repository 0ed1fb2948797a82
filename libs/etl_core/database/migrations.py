"""Numbered SQL files, each applied once and never altered afterwards."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from etl_core.database import Database

_FILE: Final = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_LOCK: Final = 0x45544C4D
"""Advisory lock of whoever migrates: "ETLM"."""
_APPLIED: Final = """
create table if not exists schema_migrations (
    name       text primary key,
    sha256     text not null,
    applied_at timestamptz not null default now()
)
"""


async def apply(database: Database, folder: Path | Traversable) -> list[str]:
    """Apply the files of ``folder`` that are not applied yet, in order and in one transaction; return their names.

    ConfigError where an applied file was altered since, or is gone. Safe to run twice at once: the second waits, then
    finds nothing to do.
    """
    scripts = _scripts(folder)
    digests = {name: hashlib.sha256(script.encode()).hexdigest() for name, script in scripts.items()}
    async with database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_APPLIED)
        applied = {
            row["name"]: row["sha256"] for row in await connection.fetch("select name, sha256 from schema_migrations")
        }
        _refuse_altered(applied, digests)
        pending = [name for name in scripts if name not in applied]
        for name in pending:
            await connection.execute(scripts[name])
            await connection.execute(
                "insert into schema_migrations (name, sha256) values ($1, $2)", name, digests[name]
            )
    return pending


def _scripts(folder: Path | Traversable) -> dict[str, str]:
    return {
        file.name: file.read_text(encoding="utf-8")
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if _FILE.fullmatch(file.name)
    }


def _refuse_altered(applied: dict[str, str], digests: dict[str, str]) -> None:
    faults = [
        f"{name} is gone" if name not in digests else f"{name} was altered"
        for name, digest in sorted(applied.items())
        if digests.get(name) != digest
    ]
    if faults:
        raise ConfigError(
            f"migrations that are applied already do not match: {'; '.join(faults)}",
            where="migrations",
            way_out="restore these files, and put the change into a new one",
        )
