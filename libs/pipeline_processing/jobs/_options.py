"""Arguments that jobs have in common: how they are read, and those of a run in this process."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Protocol

from pipeline_processing.job import Job
from pipeline_processing.packing import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline_processing.arguments import Parser
    from pipeline_processing.model import Json
    from pipeline_processing.settings import Settings


class JobOfOptions(Job, Protocol):
    """A job whose spec can be made of options that are parsed already."""

    def spec(self, options: argparse.Namespace) -> Mapping[str, Json]:
        """Return the run's spec."""
        ...


def count(text: str) -> int:
    """Return a whole number from 1, for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def size(text: str) -> int:
    """Return bytes, from ``256MiB`` and the like, for argparse."""
    try:
        parsed = parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if parsed < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is less than one byte")
    return parsed


def with_run_options(parser: Parser) -> Parser:
    """Add the options of a run in this process to those of the job."""
    run = parser.add_argument_group("the run")
    run.add_argument("--run-id", metavar="ID", help="resume this run, or give a new one its name")
    run.add_argument(
        "--tolerate-failures",
        default="0",
        metavar="N|P%",
        help="failed inputs that still count as a success (default: 0)",
    )
    run.add_argument("--json", action="store_true", help="print the report as one JSON document")
    return parser


def run_in_process(parser: Parser, make: Callable[[Settings], JobOfOptions], argv: Sequence[str]) -> int:
    """Run ``make``'s job inline in this process; return an exit code."""
    from pipeline_processing.service_handler import ServiceHandler  # noqa: PLC0415 - discovery stays light
    from pipeline_processing.stages import run_inline  # noqa: PLC0415 - the same

    options = with_run_options(parser).parse_args(argv)
    handler = ServiceHandler.for_process()
    job = make(handler.settings)
    spec = job.spec(options)

    async def run() -> int:
        async with handler as services:
            return await run_inline(
                job,
                spec,
                services,
                run_id=options.run_id,
                tolerate=options.tolerate_failures,
                json_output=options.json,
            )

    return asyncio.run(run())
