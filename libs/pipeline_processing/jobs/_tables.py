"""What jobs that look after a dataset's tables have in common: which tables they are, and the run in this process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import orjson

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Sequence

    from pipeline_processing.arguments import Parser
    from pipeline_processing.model import Json
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.service_handler import ServiceHandler
    from pipeline_processing.settings import Settings

    Work = Callable[[argparse.Namespace, Destination, ServiceHandler], Awaitable[list[str]]]


class _Done(Protocol):
    def as_json(self) -> dict[str, Json]: ...


def with_table_options(parser: Parser) -> Parser:
    """Add what names a dataset's tables."""
    what = parser.add_argument_group("whose tables")
    what.add_argument("--dataset", metavar="NAME", help="the dataset's name")
    what.add_argument("--contract", type=Path, metavar="FILE", help="its contract, in place of the name")
    what.add_argument("--silver-bucket", metavar="BUCKET", help="the tables (default: PIPELINE_SILVER_BUCKET)")
    what.add_argument("--silver-prefix", metavar="PREFIX", help="their folder (default: PIPELINE_SILVER_PREFIX)")
    what.add_argument("--format", choices=("delta", "parquet"), default="delta", help="theirs (default: delta)")
    return parser


def destination_of(options: argparse.Namespace, settings: Settings) -> Destination:
    """Return where the tables are; ConfigError where the options do not say it."""
    from pipeline_processing.processors.silver.item import Destination  # noqa: PLC0415 - discovery stays light

    bucket = options.silver_bucket or settings.silver_bucket
    if not bucket:
        raise ConfigError(
            "no silver bucket", where="tables", way_out="give --silver-bucket, or set PIPELINE_SILVER_BUCKET"
        )
    prefix = options.silver_prefix if options.silver_prefix is not None else settings.silver_prefix
    return Destination(bucket, prefix.strip("/"), _dataset(options), options.format)


def care(options: argparse.Namespace, work: Work) -> int:
    """Run ``work`` in this process and write its lines to stdout; return an exit code."""
    from pipeline_processing.service_handler import ServiceHandler  # noqa: PLC0415 - discovery stays light

    async def run() -> list[str]:
        async with ServiceHandler.for_process() as services:
            return await work(options, destination_of(options, services.settings), services)

    for line in asyncio.run(run()):
        sys.stdout.write(f"{line}\n")
    return 0


def as_json(done: Sequence[_Done], *, is_dry_run: bool) -> str:
    """Return one JSON document that says what was done to each table."""
    document = {"dry_run": is_dry_run, "tables": [one.as_json() for one in done]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def _dataset(options: argparse.Namespace) -> str:
    from pipeline_processing.contracts.load import load  # noqa: PLC0415 - discovery stays light

    if options.contract is None:
        if not options.dataset:
            raise ConfigError("which dataset?", where="--dataset", way_out="give --dataset NAME, or --contract FILE")
        return str(options.dataset)
    try:
        text = options.contract.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{options.contract} can not be read: {type(error).__name__}",
            where="--contract",
            way_out="name an ODCS YAML file",
        ) from error
    return load(text, dataset=options.dataset).dataset
