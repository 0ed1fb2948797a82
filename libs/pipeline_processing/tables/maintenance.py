"""Safe defaults for what deletes: a vacuum keeps a week, and tells before it does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_processing.tables import Table

RETENTION: Final = timedelta(days=7)
"""Delta Lake's own default: what a reader that began before a commit may still read, and what a rollback needs."""


async def vacuum(
    table: Table,
    *,
    older_than: timedelta = RETENTION,
    is_dry_run: bool = True,
    include_unknown: bool = False,
    is_short_allowed: bool = False,
) -> Sequence[str]:
    """Delete the files that no snapshot younger than ``older_than`` names; with ``is_dry_run`` tell them only.

    Less than `RETENTION` is a ConfigError unless ``is_short_allowed``: readers at work fail, and a rollback does.
    """
    check_retention(older_than, is_short_allowed=is_short_allowed)
    return await table.vacuum(older_than=older_than, is_dry_run=is_dry_run, include_unknown=include_unknown)


def check_retention(older_than: timedelta, *, is_short_allowed: bool) -> None:
    """ConfigError for less than `RETENTION`, unless that is meant."""
    if older_than < RETENTION and not is_short_allowed:
        raise ConfigError(
            f"{older_than} is shorter than {RETENTION.days} days: readers at work and rollbacks need what it deletes",
            where="vacuum",
            way_out="keep more, or give --i-know, which says that shorter is meant",
        )
