"""What jobs that look after a dataset's tables have in common: which tables they are, and the run in this process."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import orjson

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from pipeline_processing.arguments import Parser
    from pipeline_processing.model import Gathered, Item, Json, Processor, Published
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


class TableJob:
    """A job whose items are a dataset's tables. ``name`` and ``asked`` say what is done to each.

    ``settings`` give what the arguments do not name; without them the environment does.
    """

    def __init__(
        self,
        name: Literal["optimize", "vacuum"],
        parser: Callable[[], Parser],
        asked: Callable[[argparse.Namespace], dict[str, Json]],
        settings: Settings | None = None,
    ) -> None:
        self._name, self._parser, self._asked, self._settings = name, parser, asked, settings

    @property
    def name(self) -> str:
        """Return the module's name."""
        return self._name

    def parse(self, argv: Sequence[str]) -> Mapping[str, Json]:
        """Return the run's spec; exits as argparse does, ConfigError for a wrong set."""
        from etl_core.settings import load  # noqa: PLC0415 - discovery stays light
        from pipeline_processing.settings import Settings  # noqa: PLC0415 - the same

        options = self._parser().parse_args(argv)
        destination = destination_of(options, self._settings or load(Settings))
        return {"destination": asdict(destination), "asked": self._asked(options)}

    async def plan(self, run_id: str, spec: Mapping[str, Json], services: ServiceHandler) -> AsyncIterator[Item]:
        """Yield an item for each of the dataset's tables that is there."""
        from pipeline_processing.model import Item  # noqa: PLC0415 - discovery stays light
        from pipeline_processing.processors.silver import care, item  # noqa: PLC0415 - the same

        del run_id
        destination = item.Destination(**spec["destination"])
        async for which in care.there(destination, services):
            yield Item(self._name, destination.dataset, {**spec, "table": which})

    def processors(self, services: ServiceHandler) -> Sequence[Processor]:
        """Return the processor of this job's items."""
        from pipeline_processing.processors.silver.care import TableCare  # noqa: PLC0415 - discovery stays light

        return (TableCare(self._name, services),)

    async def publish(
        self, run_id: str, spec: Mapping[str, Json], results: AsyncIterator[Gathered], services: ServiceHandler
    ) -> Published:
        """Sum up what was done: each table's own commits have made it visible before."""
        from pipeline_processing.model import Published  # noqa: PLC0415 - discovery stays light

        del run_id, spec, services
        counts: Counter[str] = Counter()
        async for gathered in results:
            if gathered.marker is not None:
                details = gathered.marker.result.details
                counts.update({name: count for name, count in details.items() if isinstance(count, int)})
        return Published("", changed=False, counts=dict(counts))


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
