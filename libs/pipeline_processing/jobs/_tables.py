"""Arguments of commands that look after a dataset's tables: which they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from pipeline_processing.arguments import Parser
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.settings import Settings


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
