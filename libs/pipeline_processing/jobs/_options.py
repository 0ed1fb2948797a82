"""Arguments that jobs have in common: how they are read, and those of a run in this process."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pipeline_processing.packing import parse_size

if TYPE_CHECKING:
    from pipeline_processing.arguments import Parser


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
