"""Small files of a dataset's tables merged into larger ones; no row changes, and readers and publishes go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline_processing.arguments import Parser
from pipeline_processing.jobs._options import size
from pipeline_processing.jobs._tables import TableJob, as_json, care, with_table_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pipeline_processing.job import Job
    from pipeline_processing.model import Json
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.service_handler import ServiceHandler


def parser() -> Parser:
    """Return the parser of the job's arguments."""
    parser = Parser(
        prog="pipeline-processing run optimize",
        description="Merge small files of a dataset's tables. Safe at any time: no row changes, the old files stay "
        "until a vacuum, and files that a publish replaces meanwhile are left for the next time.",
        allow_abbrev=False,
    )
    with_table_options(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--target-size", type=size, default="128MiB", metavar="SIZE", help="of a merged file (default: 128MiB)"
    )
    how.add_argument("--dry-run", action="store_true", help="only say which files would be merged")
    how.add_argument("--json", action="store_true", help="one JSON document instead of a line a table")
    return parser


async def work(options: argparse.Namespace, destination: Destination, services: ServiceHandler) -> list[str]:
    """Return a line a table."""
    from pipeline_processing.processors.silver.care import merge_small  # noqa: PLC0415 - discovery stays light

    done = await merge_small(destination, services, target=options.target_size, is_dry_run=options.dry_run)
    if options.json:
        return [as_json(done, is_dry_run=options.dry_run)]
    would = "would become" if options.dry_run else "became"
    return [
        f"{one.table}: {one.before:,} files {would} {one.after:,}"
        + (f"; {one.left:,} groups left, as a publish or another optimize changed them" if one.left else "")
        for one in done
    ]


def definition() -> Job:
    """Return the job, for the controller and the workers."""
    return TableJob("optimize", parser, asked)


def asked(options: argparse.Namespace) -> dict[str, Json]:
    """Return what is to be done to each table."""
    return {"target": options.target_size, "dry_run": options.dry_run}


def main(argv: Sequence[str]) -> int:
    """Run in this process; return an exit code."""
    return care(parser().parse_args(argv), work)


JOB = (main, "merge small files of a dataset's tables into larger ones; no row changes")
