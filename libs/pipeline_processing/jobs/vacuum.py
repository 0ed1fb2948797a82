"""Files of a dataset's tables that nobody needs any more, deleted; without --yes they are only counted."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import TYPE_CHECKING

from pipeline_processing.arguments import Parser
from pipeline_processing.jobs._tables import TableJob, as_json, care, with_table_options
from pipeline_processing.reports.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_processing.job import Job
    from pipeline_processing.model import Json
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.service_handler import ServiceHandler


def parser() -> Parser:
    """Return the parser of the job's arguments."""
    parser = Parser(
        prog="pipeline-processing run vacuum",
        description="Delete files of a dataset's tables that no version within the retention names. Older versions "
        "can not be read any more then, nor can a run that replaced such files be rolled back.",
        allow_abbrev=False,
    )
    with_table_options(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--retention", type=_retention, default="7d", metavar="TIME", help="what is kept, such as 30d (default: 7d)"
    )
    how.add_argument("--i-know", action="store_true", help="allow a retention below 7 days: readers at work may fail")
    how.add_argument(
        "--orphans",
        action="store_true",
        help="also files that no commit ever named: a run that waits for its publish longer than that loses them",
    )
    how.add_argument("--yes", action="store_true", help="delete; without it the files are only counted")
    how.add_argument("--json", action="store_true", help="one JSON document instead of a line a table")
    return parser


async def work(options: argparse.Namespace, destination: Destination, services: ServiceHandler) -> list[str]:
    """Return a line a table."""
    _check(options)
    from pipeline_processing.processors.silver.care import Retention, sweep  # noqa: PLC0415 - discovery stays light

    retention = Retention(options.retention, not options.yes, options.orphans, options.i_know)
    done = await sweep(destination, services, retention)
    if options.json:
        return [as_json(done, is_dry_run=not options.yes)]
    what = "deleted" if options.yes else "would be deleted (--yes does it)"
    return [f"{one.table}: {counted(one.files, 'file')} {what}" for one in done]


def definition() -> Job:
    """Return the job, for the controller and the workers."""
    return TableJob("vacuum", parser, asked)


def asked(options: argparse.Namespace) -> dict[str, Json]:
    """Return what is to be done to each table."""
    _check(options)
    return {
        "retention_seconds": options.retention.total_seconds(),
        "dry_run": not options.yes,
        "orphans": options.orphans,
        "short": options.i_know,
    }


def main(argv: Sequence[str]) -> int:
    """Run in this process; return an exit code."""
    return care(parser().parse_args(argv), work)


def _check(options: argparse.Namespace) -> None:
    """ConfigError before any table is looked for."""
    from pipeline_processing.tables.maintenance import check_retention  # noqa: PLC0415 - discovery stays light

    check_retention(options.retention, is_short_allowed=options.i_know)


def _retention(text: str) -> timedelta:
    from etl_core.settings import parse_duration  # noqa: PLC0415 - discovery stays light

    try:
        kept = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not isinstance(kept, timedelta) or kept < timedelta(0):
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 30d")
    return kept


JOB = (main, "delete files of a dataset's tables that nobody needs any more; counts them unless told --yes")
