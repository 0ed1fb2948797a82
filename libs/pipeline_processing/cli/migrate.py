"""`pipeline-processing migrate`: the database at PIPELINE_DATABASE_URL brought to the newest schema."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from etl_core.errors import AccessDenied, ConfigError, Transient
from etl_core.retry import Backoff
from etl_core.settings import parse_duration
from pipeline_processing.arguments import Parser
from pipeline_processing.cli.exits import DONE
from pipeline_processing.cli.terminal import print_json, print_table
from pipeline_processing.reports.text import counted
from pipeline_processing.service_handler import ServiceHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")

PATIENCE: Final = timedelta(minutes=2)
"""An installation may start the database and this at once."""
LOCK_WAIT: Final = timedelta(seconds=10)
_BACKOFF: Final = Backoff(base=timedelta(milliseconds=500), cap=timedelta(seconds=5), floor=timedelta(milliseconds=200))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was applied before, what has been applied now, and what still is not (of a dry run)."""

    before: tuple[str, ...]
    now: tuple[str, ...]
    pending: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Migrate, or with --dry-run look; return an exit code."""
    options = parse(argv)
    outcome = asyncio.run(_open_and_migrate(options))
    if options.json:
        print_json(
            {
                "dry_run": options.dry_run,
                "applied_before": outcome.before,
                "applied_now": outcome.now,
                "pending": outcome.pending,
            }
        )
    else:
        _say(outcome, is_dry_run=options.dry_run)
    return DONE


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read what was typed, and do nothing else."""
    return _parser().parse_args(argv)


async def migrate(services: ServiceHandler, *, patience: timedelta, is_dry_run: bool = False) -> Outcome:
    """Apply what is pending, or only look; Transient where the database does not answer within ``patience``."""
    database = services.database
    from etl_core.database.migrations import apply, standing  # noqa: PLC0415 - asyncpg is the optional extra `db`
    from pipeline_processing.repositories.schema import SCRIPTS  # noqa: PLC0415 - the same

    async def work() -> Outcome:
        now = [] if is_dry_run else await apply(database, SCRIPTS, lock_wait=LOCK_WAIT)
        found = await standing(database, SCRIPTS)
        return Outcome(tuple(name for name in found.applied if name not in now), tuple(now), found.pending)

    try:
        return await _persisting(work, services, patience)
    except AccessDenied as error:
        raise AccessDenied(
            f"{error}: the user in PIPELINE_DATABASE_URL must be allowed to change the schema"
        ) from error


async def _persisting(work: Callable[[], Awaitable[T]], services: ServiceHandler, patience: timedelta) -> T:
    """Repeat what is one transaction until it is through; nothing is half done in between."""
    deadline = services.clock.monotonic() + patience.total_seconds()
    attempt = 0
    while True:
        attempt += 1
        try:
            return await work()
        except Transient as error:
            pause = _BACKOFF.delay(attempt, services.jitter())
            if services.clock.monotonic() + pause.total_seconds() > deadline:
                raise
            if attempt == 1:
                print(f"note: {error}; trying for {patience.total_seconds():g} seconds", file=sys.stderr)
            await services.clock.sleep(pause)


async def _open_and_migrate(options: argparse.Namespace) -> Outcome:
    async with ServiceHandler.for_process() as services:
        try:
            return await migrate(services, patience=options.wait, is_dry_run=options.dry_run)
        except ImportError as error:
            raise ConfigError(
                f"the schema can not be reached: {error}",
                where="migrate",
                way_out='pip install "pipeline-processing[db]"',
            ) from error


def _say(outcome: Outcome, *, is_dry_run: bool) -> None:
    states = {"applied": outcome.before, "applied now": outcome.now, "pending": outcome.pending}
    print_table(("migration", "state"), sorted((name, state) for state, names in states.items() for name in names))
    if is_dry_run:
        print(f"\n{counted(len(outcome.pending), 'migration')} would be applied; nothing was changed")
    else:
        print(f"\n{counted(len(outcome.now), 'migration')} applied; the schema is up to date")


def _parser() -> Parser:
    parser = Parser(
        prog="pipeline-processing migrate",
        description="Bring the database at PIPELINE_DATABASE_URL to the newest schema, in one transaction.",
        epilog="It may be repeated, also while another one of it runs. Exit codes: 0 the schema is up to date (or was "
        "looked at), 1 the database did not answer or refuses, 2 no URL, or a file that is applied was altered.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what is applied and what is pending; change nothing"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument(
        "--wait",
        type=_wait,
        default=PATIENCE,
        metavar="TIME",
        help="wait at most this long for a database that does not answer yet (default: 2m; 0: do not wait)",
    )
    return parser


def _wait(text: str) -> timedelta:
    try:
        value = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not isinstance(value, timedelta):
        raise argparse.ArgumentTypeError(f"{text!r} is no time to wait")
    return value
